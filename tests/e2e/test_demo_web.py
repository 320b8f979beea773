"""Does the page of the demo show what happens, do its buttons do it, and can everybody use it?

The same tests run twice: by HTTP alone, which is cheap, and in a real browser, by its keyboard. The browser is
`thorough`: it is a download of 173 MB.
"""

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import resources
from io import StringIO
from pathlib import Path
from threading import Event
from typing import Any, Protocol

import pytest

from tests.local.aws.lambda_runtime import FunctionError, LambdaRuntime
from tests.local.aws.secrets_manager import LocalSecretsManager
from tests.local.aws.secrets_manager_rotation import STEPS
from tests.local.browser import Browser
from tests.local.demo.engines import ENGINES, fetch_server
from tests.local.demo.screen import Screen
from tests.local.demo.web import server as web
from tests.local.demo.web.readers import READS
from tests.local.demo.web.stage import Stage
from tests.local.evidence import keep_text
from tests.local.servers.processes import LOOPBACK, free_port
from tests.local.servers.relay import Way

FOLDER = Path(web.__file__).parent
PATIENCE = 60
SUCCEEDED = "The rotation succeeded"
FORBIDDEN, NOT_FOUND, CONFLICT = 403, 404, 409
BUTTONS = ["rotate", "kill", "abandon", "cut", "wrong", "heal"]


class Page:
    """A stage, and where its page is."""

    def __init__(self, stage: Stage, address: str) -> None:
        self.stage = stage
        self.address = address

    def state(self, after: int = 0) -> dict[str, Any]:
        """Return what the page asks for."""
        return dict(json.loads(self.text(f"state?after={after}")))

    def text(self, path: str = "") -> str:
        """Return an answer of the server."""
        with urllib.request.urlopen(self.address + path, timeout=PATIENCE) as answer:  # noqa: S310 - the address is ours
            return str(answer.read().decode())

    def refusal(self, path: str, **headers: str) -> int:
        """Return with which status the server refuses to do something."""
        request = urllib.request.Request(self.address + path, b"" if path else None, headers)  # noqa: S310
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=PATIENCE)  # noqa: S310
        refused.value.close()
        return refused.value.code

    def post(self, path: str) -> None:
        """Press as the page does it."""
        origin = {"Origin": self.address.removesuffix("/")}
        request = urllib.request.Request(self.address + path, b"", origin)  # noqa: S310
        urllib.request.urlopen(request, timeout=PATIENCE).close()  # noqa: S310


class Person(Protocol):
    """Uses the page."""

    def press(self, *names: str) -> None:
        """Press buttons, each as soon as what was pressed before is over."""

    def choose(self, strategy: str) -> None:
        """Choose a strategy."""

    def wait_for(self, text: str) -> None:
        """Wait until a line with the text has come since the first of the buttons was pressed last."""

    def everything(self) -> str:
        """Return all that was shown."""


class ByHttp:
    """Does what the page's script does."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._seen = 0

    def press(self, *names: str) -> None:
        self._post([f"press/{name}" for name in names])

    def choose(self, strategy: str) -> None:
        self._post([f"strategy/{strategy}"])

    def wait_for(self, text: str) -> None:
        self._until(lambda state: any(text in line["text"] for line in state["lines"]))

    def everything(self) -> str:
        return self._page.text() + self._page.text("state")

    def _post(self, paths: list[str]) -> None:
        for number, path in enumerate(paths):
            self._until(lambda state: not state["busy"])
            if not number:
                self._seen = max((line["number"] for line in self._page.state()["lines"]), default=0)
            self._page.post(path)

    def _until(self, is_so: Any) -> None:  # noqa: ANN401
        deadline = time.monotonic() + PATIENCE
        while not is_so(state := self._page.state(self._seen)):
            assert time.monotonic() < deadline, state["lines"]
            time.sleep(0.02)


class ByBrowser:
    """Goes to each button by Tab, and presses Enter."""

    def __init__(self, browser: Browser, page: Page) -> None:
        self.browser = browser
        self._seen = 0
        browser.open(page.address)
        browser.until("lastLine > 0")

    def press(self, *names: str) -> None:
        self._press([f"[data-press={name}]" for name in names])

    def choose(self, strategy: str) -> None:
        self._press([f"[data-strategy={strategy}]"])
        self.browser.until(f"document.querySelector('[data-strategy={strategy}]').ariaPressed === 'true'")

    def wait_for(self, text: str) -> None:
        lines = "[...document.querySelectorAll('#log p')]"
        self.browser.until(
            f"{lines}.some(line => line.dataset.number > {self._seen} && line.textContent.includes({json.dumps(text)}))"
        )

    def everything(self) -> str:
        return str(self.browser.evaluate("document.documentElement.outerHTML"))

    def _press(self, buttons: list[str]) -> None:
        for number, button in enumerate(buttons):
            self.browser.until("document.body.dataset.busy === 'false'")
            if not number:
                self._seen = self.browser.evaluate("lastLine")
            self.browser.tab_to(button)
            self.browser.key("Enter")


@pytest.fixture(scope="module", params=["postgresql", "mysql", "mariadb", "sqlserver"])
def page(request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page that waits for nothing between two steps."""
    fetch_server(request.param)
    with Stage.open(Screen.on(StringIO()), ENGINES[request.param], 0) as stage, web.serving(stage) as address:
        yield Page(stage, address)
        keep_text("the page of the demo", Page(stage, address).text("state"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser.start() as browser:
        yield browser


@pytest.fixture(params=["http", "browser"])
def person(request: pytest.FixtureRequest, page: Page) -> Iterator[Person]:
    """Somebody who uses the page."""
    using: Person = ByHttp(page) if request.param == "http" else ByBrowser(request.getfixturevalue("browser"), page)
    yield using
    keep_text(f"what the demo showed by {request.param}", using.everything())


# The browser is a large download, and the other engines do what PostgreSQL does, some with a strategy more.
pytestmark = [
    pytest.mark.thorough(person=["browser"]),
    pytest.mark.thorough(page=["mysql", "mariadb", "sqlserver"]),
    pytest.mark.thorough(looked_at_by=["browser"]),
]


def readers(page: Page) -> dict[str, dict[str, Any]]:
    return {reader["habit"]: reader for reader in page.state()["readers"]}


def test_every_strategy_rotates_and_only_a_single_users_applications_are_refused(page: Page, person: Person) -> None:
    for strategy in page.stage.engine.strategies:
        person.choose(strategy.name)
        person.press("rotate")
        person.wait_for(SUCCEEDED)
        state = page.state()
        assert state["strategy"] == strategy.name
        assert [step["name"] for step in state["steps"]] == list(STEPS)
        assert all(step["said"] and step["seconds"] > 0 for step in state["steps"])
        until_shown(page, ["AWSCURRENT", "AWSPENDING"], "accepted")
        if not strategy.has_gap:
            assert [reader["failed"] for reader in readers(page).values()] == [0, 0]
    person.choose("single-user")


def until_shown(page: Page, labels: list[str], password: str) -> None:
    """Wait until a version with these labels is shown, and what the server says of its password."""
    deadline = time.monotonic() + PATIENCE
    while not any(
        version["labels"][: len(labels)] == labels and version["password"] == password
        for version in page.state()["versions"]
    ):
        assert time.monotonic() < deadline, page.state()["versions"]
        time.sleep(0.02)


def test_a_killed_function_is_begun_anew_and_the_rotation_succeeds(page: Page, person: Person) -> None:
    person.press("kill")
    person.wait_for("The function was killed in testSecret")
    person.wait_for(f"{SUCCEEDED}, at attempt 2")
    [killed] = [step for step in page.state()["steps"] if not step["good"]]
    assert killed["name"] == "testSecret"
    assert "Runtime.ExitError" in killed["said"]


def test_an_abandoned_rotation_makes_room_for_the_next(page: Page, person: Person) -> None:
    person.press("abandon")
    person.wait_for("CancelRotateSecret")
    person.wait_for("gave that rotation up")
    person.wait_for(SUCCEEDED)
    until_shown(page, [], "refused")


def test_nothing_logs_in_while_the_database_is_cut_off_and_healing_rotates(page: Page, person: Person) -> None:
    person.press("cut", "rotate")
    person.wait_for("The rotation failed")
    state = page.state()
    assert "Unreachable" in state["steps"][-1]["said"]
    assert [reader["last"] for reader in state["readers"]] == ["unreachable"] * 2
    person.press("heal")
    person.wait_for("The database can be reached again")
    person.wait_for("AWSPENDING from the unfinished version")
    person.wait_for(SUCCEEDED)
    until_shown(page, ["AWSCURRENT", "AWSPENDING"], "accepted")


def test_a_password_changed_by_hand_is_refused_until_the_operator_writes_it_down(page: Page, person: Person) -> None:
    person.press("wrong", "rotate")
    person.wait_for("The rotation failed")
    assert "LoginRefused" in page.state()["steps"][-1]["said"]
    person.press("heal")
    person.wait_for("somebody has changed it outside of the secret")
    person.wait_for("put-secret-value")
    person.wait_for(SUCCEEDED)
    until_shown(page, ["AWSCURRENT", "AWSPENDING"], "accepted")
    person.press("heal")
    person.wait_for("nothing to repair")


def test_a_password_changed_by_hand_is_known_after_another_strategy_was_shown(page: Page, person: Person) -> None:
    person.press("wrong")
    person.choose(page.stage.engine.strategies[1].name)
    person.choose("single-user")
    person.press("heal")
    person.wait_for("put-secret-value")
    person.wait_for(SUCCEEDED)


def test_no_password_is_shown(page: Page, person: Person) -> None:
    person.press("wrong", "heal")
    person.wait_for(SUCCEEDED)
    shown = person.everything()
    passwords = all_passwords(page.stage.scenario.manager)
    assert len(passwords) > 3, "those of the admin, and of all versions"
    assert READS in shown
    assert not [number for number, password in enumerate(passwords) if password in shown]
    assert not re.search(r"SCRAM-SHA-256\$|\$A\$005\$|\*[0-9A-F]{40}", shown)


def all_passwords(manager: LocalSecretsManager) -> set[str]:
    client, found = manager.client(), set()
    for secret in client.list_secrets()["SecretList"]:
        for version in client.list_secret_version_ids(SecretId=secret["Name"], IncludeDeprecated=True)["Versions"]:
            with suppress(
                client.exceptions.ResourceNotFoundException
            ):  # a version that was given up before it had a value
                value = client.get_secret_value(SecretId=secret["Name"], VersionId=version["VersionId"])
                found.add(json.loads(value["SecretString"])["password"])
    return found


def test_only_the_page_itself_can_press(page: Page) -> None:
    ours = page.address.removesuffix("/")
    assert page.address.startswith("http://127.0.0.1:")
    before = page.state()["lines"]
    assert page.refusal("press/cut") == FORBIDDEN
    assert page.refusal("press/cut", Origin="https://elsewhere.example") == FORBIDDEN
    assert page.refusal("press/cut", Origin=ours, Host="elsewhere.example") == FORBIDDEN
    assert page.refusal("", Host="elsewhere.example") == FORBIDDEN
    assert page.refusal("press/everything", Origin=ours) == NOT_FOUND
    assert page.refusal("strategy/none", Origin=ours) == NOT_FOUND
    assert page.state()["lines"] == before


def test_a_number_that_is_too_long_is_answered(page: Page) -> None:
    """Any page can ask for it; its answer, and no traceback in the terminal, is what follows."""
    assert json.loads(page.text(f"state?after={'9' * 5000}"))["lines"] == []


def test_what_has_to_wait_is_refused(page: Page) -> None:
    """One thing at a time; only a killing, an abandoning and a cut can come in between."""
    manager, gate = page.stage.scenario.manager, Event()
    manager.intercept = lambda *_: gate.wait(PATIENCE)
    try:
        page.post("press/rotate")
        assert page.refusal("press/rotate", Origin=page.address.removesuffix("/")) == CONFLICT
    finally:
        manager.intercept = None
        gate.set()
    ByHttp(page).wait_for(SUCCEEDED)


def test_a_function_in_plain_python_is_killed_too(capsys: pytest.CaptureFixture[str]) -> None:
    """It runs so where there is no emulator. It is killed when it comes to Secrets Manager."""
    event = {"Step": "createSecret", "SecretId": "demo", "ClientRequestToken": "0" * 32, "RotationToken": "none"}
    killers: list[Callable[[], None]] = []
    with Way.to(free_port(), lambda: [kill() for kill in killers]) as way:
        environment = {"AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{way.port}"}
        with LambdaRuntime("PostgreSqlFunction", environment, emulated=False) as function:
            killers.append(function.kill)
            with pytest.raises(FunctionError, match=r"Runtime\.ExitError: .*-9"):
                function.invoke(event)
    assert "in plain Python" in capsys.readouterr().out


@pytest.mark.parametrize("looked_at_by", ["eye", "browser"])
def test_the_page_asks_for_nothing_from_elsewhere(
    looked_at_by: str, page: Page, request: pytest.FixtureRequest
) -> None:
    if looked_at_by == "eye":
        texts = [page.text(path) for path in ("", "page.css", "page.js")]
        addresses = {address for text in texts for address in re.findall(r"(?:https?:)?//[\w.]+/?[\w/]*", text)}
        assert {each for each in addresses if "://" in each} == {"http://www.w3.org/2000/svg"}  # a name, not a place
        return
    browser: Browser = request.getfixturevalue("browser")
    browser.events.clear()
    ByBrowser(browser, page).press("rotate")
    asked = [
        event["params"]["request"]["url"] for event in browser.events if event["method"] == "Network.requestWillBeSent"
    ]
    assert len(asked) > 3
    assert [url for url in asked if not url.startswith((page.address, "data:,"))] == []
    complaints = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}
    assert [event for event in browser.events if event["method"] in complaints] == []


@pytest.mark.parametrize("looked_at_by", ["eye", "browser"])
def test_everybody_can_use_the_page(looked_at_by: str, page: Page, request: pytest.FixtureRequest) -> None:
    if looked_at_by == "eye":
        html = page.text()
        assert '<html lang="en">' in html
        assert re.findall(r'<button type="button"[^>]*data-press="(\w+)"', html) == BUTTONS
        assert all(f'id="about-{name}"' in html and f'aria-describedby="about-{name}"' in html for name in BUTTONS)
        assert 'role="log"' in html
        assert 'role="status"' in html
        return
    browser: Browser = request.getfixturevalue("browser")
    axe = resources.files("axe_core_python").joinpath("axe.min.js").read_text()
    using = ByBrowser(browser, page)
    using.press("rotate")
    using.wait_for(SUCCEEDED)
    for scheme in ("light", "dark"):
        for width in (1000, 700, 320):
            browser.look(width, 900, scheme=scheme, motion="reduce")
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
            browser.evaluate(axe)
            found = browser.evaluate("axe.run().then(found => found.violations)")
            assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == [], (scheme, width)
    browser.look(1000, 900)
    for name in BUTTONS:
        browser.tab_to(f"[data-press={name}]")
        assert browser.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"
    check_that_the_time_line_can_be_held(browser)


def check_that_the_time_line_can_be_held(browser: Browser) -> None:
    browser.tab_to("#hold")
    browser.key("Enter")
    browser.until("document.querySelector('#hold').ariaPressed === 'true'")
    held = browser.evaluate("document.querySelector('#drawing').innerHTML")
    counted = browser.evaluate("document.querySelector('#reader-rows').textContent")
    browser.until(f"document.querySelector('#reader-rows').textContent !== {json.dumps(counted)}")
    assert browser.evaluate("document.querySelector('#drawing').innerHTML") == held
