"""How is a page used as somebody without a mouse would? In a real browser, with keys, by the DevTools protocol."""

import base64
import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.local.servers import chromium

_PATIENCE = 30
_END = b"\0"
_KEYS = {"Tab": (9, ""), "Enter": (13, "\r")}
_SHIFT = 8
_SOON = """new Promise((resolve, reject) => {
    const over = performance.now() + %d;
    const look = () => {
        if (%s) resolve(true);
        else if (performance.now() > over) reject(new Error(document.body.innerText));
        else setTimeout(look, 20);
    };
    look();
})"""


class Browser:
    """A browser with one page."""

    def __init__(self, pipes: chromium.Pipes) -> None:
        self._pipes = pipes
        self._numbers = itertools.count(1)
        self._unread = b""
        self._session: str | None = None
        self.events: list[Mapping[str, Any]] = []
        """What the page has asked for, and what it has complained of."""

    @classmethod
    @contextmanager
    def start(cls) -> "Iterator[Browser]":
        """Run one until the block ends. Raises PackagesUnavailableError."""
        with chromium.running() as pipes:
            browser = cls(pipes)
            target = browser.send("Target.createTarget", url="about:blank")["targetId"]
            browser._session = browser.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Network", "Log"):
                browser.send(f"{domain}.enable")
            yield browser

    def send(self, method: str, **parameters: object) -> Mapping[str, Any]:
        """Send a command and return its answer. Raises AssertionError with what the browser says of it."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": parameters}
        if self._session:
            command["sessionId"] = self._session
        self._pipes.commands.write(json.dumps(command).encode() + _END)
        while (message := self._receive()).get("id") != number:
            self.events.append(message)
        assert "error" not in message, f"{method}: {message['error']}"
        answer: Mapping[str, Any] = message["result"]
        return answer

    def open(self, address: str) -> None:
        """Open a page."""
        self.send("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401 - whatever it is
        """Return what an expression is in the page, or what its promise brings."""
        answer = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait until a condition holds in the page."""
        self.evaluate(_SOON % (_PATIENCE * 1000, condition))

    def key(self, name: str, *, shift: bool = False) -> None:
        """Press a key and let it go."""
        code, text = _KEYS[name]
        keys = {"key": name, "code": name, "windowsVirtualKeyCode": code, "modifiers": _SHIFT if shift else 0}
        self.send("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **keys)
        self.send("Input.dispatchKeyEvent", type="keyUp", **keys)

    def tab_to(self, selector: str) -> None:
        """Go to an element as the keyboard goes: from where one is, by Tab."""
        is_there = f"document.activeElement.matches({json.dumps(selector)})"
        for _ in range(60):
            if self.evaluate(is_there):
                return
            self.key("Tab")
        raise AssertionError(f"Tab does not lead to {selector}")

    def look(self, width: int, height: int, *, scheme: str = "light", motion: str = "no-preference") -> None:
        """Have a window of this size, and these wishes of the person before it."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        wishes = [{"name": name, "value": value} for name, value in features.items()]
        self.send("Emulation.setEmulatedMedia", features=wishes)

    def picture(self) -> bytes:
        """Return the whole page, as PNG."""
        taken = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(taken["data"])

    def _receive(self) -> Mapping[str, Any]:
        while _END not in self._unread:
            more = self._pipes.answers.read(65536)
            assert more, "the browser has ended"
            self._unread += more
        message, _, self._unread = self._unread.partition(_END)
        answer: Mapping[str, Any] = json.loads(message)
        return answer
