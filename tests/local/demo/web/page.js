// Asks for the state some times a second and shows it. All texts are set as texts, never as HTML.
"use strict";

const POLL = 300; // milliseconds
const CALM = matchMedia("(prefers-reduced-motion: reduce)");
const CALM_POLL = 2000; // how often the time line moves then
const WIDTH = 680, LEFT = 12, RIGHT = 668;
const SIGNS = { accepted: "✔ accepted", refused: "✘ refused", unreachable: "✘ no answer" };
const SVG = "http://www.w3.org/2000/svg";

const at = (id) => document.getElementById(id);
let lastLine = 0, drawn = 0, isHeld = false, presses = 0;

function element(name, text, className) {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

// Rows are written only if they have changed: a reader of the screen keeps its place.
function fill(id, rows, make) {
  const key = JSON.stringify(rows);
  const place = at(id);
  if (place.dataset.shown === key) return;
  place.dataset.shown = key;
  place.replaceChildren(...rows.map(make));
}

function row(head, ...cells) {
  const made = document.createElement("tr");
  const first = element("th", head);
  first.scope = "row";
  made.append(first, ...cells);
  return made;
}

function showReaders(readers) {
  const rows = readers.map(({ ticks, ...rest }) => rest);
  fill("reader-rows", rows, (one) => row(
    one.habit,
    element("td", SIGNS[one.last] ?? "none yet", one.last === "accepted" ? "good" : "bad"),
    element("td", String(one.logins), "number"),
    element("td", String(one.failed), "number"),
    element("td", one.gap.toFixed(2), "number"),
  ));
}

function showVersions(versions) {
  fill("version-rows", versions, (one) => row(
    one.id,
    element("td", one.labels.join(", ") || "no label"),
    element("td", one.user),
    element("td", SIGNS[one.password] ?? one.password, { accepted: "good", refused: "bad" }[one.password]),
  ));
}

function showSteps(steps) {
  at("no-steps").hidden = steps.length > 0;
  const rows = steps.map(({ name, attempt, seconds, good, said }) => ({ name, attempt, seconds, good, said }));
  fill("step-rows", rows, (one) => {
    const sign = one.seconds === null ? "… " : one.good ? "✔ " : "✘ ";
    const again = one.attempt > 1 ? ` (attempt ${one.attempt})` : "";
    const taken = one.seconds === null ? "" : `, ${one.seconds.toFixed(2)} s: ${one.said}`;
    return element("li", sign + one.name + again + taken, one.good ? "" : "bad");
  });
}

function showLines(lines) {
  const log = at("log");
  for (const line of lines) {
    const made = element("p", "", line.tone === "plain" ? "" : line.tone);
    made.append(element("time", `${line.at.toFixed(1)} s`), line.text);
    made.dataset.number = line.number;
    log.prepend(made);
    lastLine = line.number;
  }
  while (log.childElementCount > 200) log.lastElementChild.remove();
}

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

function marks(ticks, result, y, x) {
  const path = ticks.filter((tick) => tick[1] === result).map(([when]) => {
    const place = x(when).toFixed(1);
    if (result === "accepted") return `M${place} ${y - 10}v10`;
    return result === "refused" ? `M${place} ${y}v16` : `M${place} ${y + 6}h3v7h-3z`;
  });
  return shape("path", { class: result, d: path.join("") });
}

function drawTimeLine(state) {
  const x = (when) => Math.max(LEFT, RIGHT - (state.now - when) / state.timeLine * (RIGHT - LEFT));
  const parts = [];
  for (let ago = 0; ago <= state.timeLine; ago += 10) {
    const place = x(state.now - ago);
    parts.push(shape("line", { class: "rule", x1: place, x2: place, y1: 128, y2: 134 }));
    const anchor = ago === 0 ? "end" : ago === state.timeLine ? "start" : "middle";
    const label = ago === 0 ? "now" : `${ago} s ago`;
    parts.push(shape("text", { class: "quiet", x: place, y: 146, "text-anchor": anchor }, label));
  }
  let free = LEFT;
  for (const span of state.spans) {
    const begin = x(span.began), end = x(span.ended ?? state.now);
    parts.push(shape("rect", { class: span.good ? "step" : "failed-step", x: begin, y: 20, width: Math.max(3, end - begin), height: 12 }));
    const label = (span.good ? "" : "✘ ") + span.name.replace("Secret", "");
    const room = label.length * 7 + 4; // about: a label that would run into another one is left out
    const place = Math.min(begin, RIGHT - room);
    if (place >= free) {
      parts.push(shape("text", { x: place, y: 15 }, label));
      free = place + room;
    }
  }
  state.readers.forEach((reader, index) => {
    const y = 68 + index * 40;
    parts.push(shape("text", { x: LEFT, y: y - 14 }, reader.habit));
    parts.push(shape("line", { class: "rule", x1: LEFT, x2: RIGHT, y1: y, y2: y }));
    for (const result of ["accepted", "refused", "unreachable"]) parts.push(marks(reader.ticks, result, y, x));
  });
  at("drawing").replaceChildren(...parts);
}

function showState(state) {
  showReaders(state.readers);
  showVersions(state.versions);
  showSteps(state.steps);
  showLines(state.lines);
  at("secret").textContent = state.secret;
  for (const button of document.querySelectorAll("[data-strategy]")) {
    button.setAttribute("aria-pressed", String(button.dataset.strategy === state.strategy));
  }
  for (const lesson of document.querySelectorAll("[data-lesson]")) {
    lesson.hidden = lesson.dataset.lesson !== state.strategy;
  }
  const now = performance.now();
  if (!isHeld && (!CALM.matches || now - drawn >= CALM_POLL)) {
    drawn = now;
    drawTimeLine(state);
  }
}

async function poll() {
  try {
    const before = presses;
    const answer = await fetch(`/state?after=${lastLine}`);
    const state = await answer.json();
    showState(state);
    if (before === presses) document.body.dataset.busy = state.busy; // what is pressed now would have to wait
    if (at("status").dataset.lost) say("", false);
    setTimeout(poll, POLL);
  } catch {
    say("The demo has ended. Start it again, and open the address that it prints.", true);
    setTimeout(poll, 10 * POLL);
  }
}

function say(text, isLost) {
  at("status").textContent = text;
  at("status").dataset.lost = isLost ? "yes" : "";
}

async function post(path) {
  document.body.dataset.busy = true;
  presses += 1;
  const answer = await fetch(path, { method: "POST" });
  presses += 1; // a state that was asked for before this answer is too old
  say((await answer.json()).said, false);
}

for (const button of document.querySelectorAll("[data-press]")) {
  button.addEventListener("click", () => post(`/press/${button.dataset.press}`));
}
for (const button of document.querySelectorAll("[data-strategy]")) {
  button.addEventListener("click", () => post(`/strategy/${button.dataset.strategy}`));
}
at("hold").addEventListener("click", (event) => {
  isHeld = !isHeld;
  event.currentTarget.setAttribute("aria-pressed", String(isHeld));
});
poll();
