"""Does the demo show what it promises, and is everything stopped afterwards?"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from html import unescape
from itertools import batched
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from tests.local.aws.secrets_manager_rotation import STEPS
from tests.local.demo import __main__ as command
from tests.local.demo import scenario
from tests.local.demo.databases import LoginFailed
from tests.local.demo.engines import ENGINES
from tests.local.servers.fetch import fetch_newest
from tests.local.servers.processes import free_port

CHECKOUT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "tests.local.demo"]
IN_A_TERMINAL = [
    *(sys.executable, "-c"),
    "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))",
]
CONTROL_CHARACTERS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
SINGLE_USER, ALTERNATING_USERS, DUAL_PASSWORD = "Single user", "Alternating users", "Dual password"
SEAMLESS = {
    "postgresql": [ALTERNATING_USERS],
    "mysql": [ALTERNATING_USERS, DUAL_PASSWORD],
    "mariadb": [ALTERNATING_USERS, DUAL_PASSWORD],
    "sqlserver": [ALTERNATING_USERS],
}
CHAPTER = f"^({SINGLE_USER}|{ALTERNATING_USERS}|{DUAL_PASSWORD}) ─+$"
COUNTS = re.compile(r"… (reads|keeps) .*? (\d+) +(\d+)\b")
VERIFIER = re.compile(r"SCRAM-SHA-256\$|\$A\$005\$|\*[0-9A-F]{40}")
PATIENCE = 60
INTERRUPTED = 130

type Demo = subprocess.Popen[str]


@pytest.fixture(scope="module", params=SEAMLESS)
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine; skipped if its server is not available, except in CI."""
    return available(request.param)


@pytest.fixture(scope="module")
def quickest() -> str:
    """The engine that starts fastest, for tests of the demo itself."""
    return available("postgresql")


def available(engine: str) -> str:
    """Return the engine's name when its server is installed."""
    fetch_newest(engine)
    return engine


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder for temporary files; servers that refuse to run as root can enter it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@contextmanager
def running(room: Path, *options: str, inside: list[str] | None = None) -> Iterator[Demo]:
    """Run the demo outside a terminal: without colours, even if the environment asks for them."""
    with subprocess.Popen(  # noqa: S603 - the words are ours
        [*(inside or []), *DEMO, *options],
        cwd=CHECKOUT,
        env={**os.environ, "TMPDIR": str(room), "FORCE_COLOR": "1", "TERM": "xterm-256color"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as demo:
        try:
            yield demo
        finally:
            demo.kill()


def read_until(demo: Demo, expected: str) -> str:
    """Return the lines up to the one with the expected text."""
    lines = []
    for line in demo.stdout or ():
        lines.append(line)
        if expected in line:
            return "".join(lines)
    pytest.fail(f"{expected!r} is not in\n{''.join(lines)}")


@pytest.mark.thorough(engine=["postgresql", "mariadb", "sqlserver"])  # MariaDB is as MySQL; the others: below
def test_it_shows_each_step_of_each_strategy_and_no_login_fails_but_of_a_single_user(
    room: Path, engine: str, tmp_path: Path
) -> None:
    picture = tmp_path / "demo.svg"
    with running(room, "--engine", engine, "--svg", str(picture)) as demo:
        output, _ = demo.communicate(timeout=PATIENCE)
    assert demo.returncode == 0, output
    assert_all_is_shown(engine, output)
    assert drawn(picture) == [SEAMLESS[engine][-1], "RotateSecret", *STEPS]
    assert not list(room.iterdir())


def assert_all_is_shown(engine: str, output: str) -> None:
    """Look for each step of each strategy, and for what became of the logins."""
    _, *chapters = re.split(CHAPTER, output, flags=re.MULTILINE)
    strategies = dict(batched(chapters, 2, strict=True))
    assert list(strategies) == [SINGLE_USER, *SEAMLESS[engine]]
    steps = {name: re.findall(r"✔ (\w+) +\d+\.\d\d s  \w", text) for name, text in strategies.items()}
    assert steps == {SINGLE_USER: [*STEPS], **{name: [*STEPS, *STEPS] for name in SEAMLESS[engine]}}
    failed = {name: [int(number) for *_, number in COUNTS.findall(text)] for name, text in strategies.items()}
    fresh, cached = failed.pop(SINGLE_USER)
    assert fresh < cached, "a cached password stays refused"
    assert failed == {name: [0, 0, 0, 0] for name in SEAMLESS[engine]}
    assert min(int(logins) for _, logins, _ in COUNTS.findall(output)) >= 24, "it logged in all the while"
    assert ("A real server, " in output) == ENGINES[engine].is_real
    assert not CONTROL_CHARACTERS.search(output)
    assert max(map(len, output.splitlines())) < 90


def drawn(picture: Path) -> list[str]:
    """Return the strategy and the steps that a picture shows."""
    chapters = f"{SINGLE_USER}|{ALTERNATING_USERS}|{DUAL_PASSWORD}"
    return re.findall(rf"(?:{chapters}|\w+Secret)\b(?= )", text_of(picture))


def text_of(picture: Path) -> str:
    return unescape(re.sub(r"<[^>]*>", " ", picture.read_text())).replace("\xa0", " ")


@pytest.mark.thorough(engine=["mysql", "mariadb"])  # it says what it says of MySQL
def test_it_prints_no_password(room: Path, engine: str, tmp_path: Path) -> None:
    """The passwords of all versions of all secrets are read from the demo's own Secrets Manager, while it runs."""
    picture = tmp_path / "demo.svg"
    with running(room, "--engine", engine, "--keep", "--svg", str(picture)) as demo:
        output = read_until(demo, "list-secret-version-ids")
        passwords = all_passwords(dict(re.findall(r"export (\w+)=(\S+)", output)))
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=PATIENCE)
    assert demo.returncode == 0, rest
    assert len(passwords) == 2 + 3 * len(SEAMLESS[engine]) + 1, (
        "single user two versions, other strategies three; admin"
    )
    shown = re.sub(r"[\s│]", "", output + rest + text_of(picture))  # joins a password that was wrapped
    leaked = sum(password in shown for password in passwords)
    assert leaked == 0
    assert not VERIFIER.search(output + rest)
    story, *_ = output.partition("export ")  # the commands that follow are as long as they are
    assert_all_is_shown(engine, story)
    assert not list(room.iterdir())


def all_passwords(environment: dict[str, str]) -> set[str]:
    session = boto3.Session(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
    client = session.client(
        "secretsmanager",
        region_name=environment["AWS_REGION"],
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        config=Config(proxies={}),
    )
    names = [secret["Name"] for secret in client.list_secrets()["SecretList"]]
    versions = [
        (name, version["VersionId"])
        for name in names
        for version in client.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)["Versions"]
    ]
    values = [client.get_secret_value(SecretId=name, VersionId=version)["SecretString"] for name, version in versions]
    return {json.loads(value)["password"] for value in values}


@pytest.mark.thorough(engine=["mysql", "mariadb"])  # real servers, as PostgreSQL
def test_after_an_interrupt_nothing_is_left(room: Path, engine: str) -> None:
    with running(room, "--engine", engine) as demo:
        read_until(demo, "✔ createSecret")
        started = descendants(demo.pid)
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=PATIENCE)
    assert demo.returncode == INTERRUPTED
    assert "Traceback" not in rest
    own = ENGINES[engine].is_real  # a stand-in is not a separate process
    assert len(started) > 1 + own, "the server and the emulator were seen"
    assert_ended(started)
    assert not list(room.iterdir())


def test_ctrl_c_in_a_terminal_leaves_the_terminal_as_it_was(room: Path, quickest: str) -> None:
    with running(room, "--engine", quickest, inside=IN_A_TERMINAL) as demo:
        output = read_until(demo, "finishSecret")
        assert demo.stdin
        demo.stdin.write("\x03")
        demo.stdin.flush()
        rest, _ = demo.communicate(timeout=PATIENCE)
    assert demo.returncode == INTERRUPTED, rest
    assert "Traceback" not in rest
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    assert output.count(hidden) + rest.count(hidden) == output.count(shown) + rest.count(shown) > 0
    assert not list(room.iterdir())


def test_the_page_is_served_until_ctrl_c(room: Path, quickest: str) -> None:
    with running(room, "--engine", quickest, "--web") as demo:
        address = read_until(demo, "http://127.0.0.1:").split()[-1]
        with urllib.request.urlopen(address, timeout=PATIENCE) as page:  # noqa: S310 - the address is the demo's
            assert b"PostgreSQL credentials rotate" in page.read()
        started = descendants(demo.pid)
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=PATIENCE)
    assert demo.returncode in {0, INTERRUPTED}, rest  # as soon as the address is printed, it waits
    assert_ended(started)
    assert not list(room.iterdir())


def test_what_is_not_built_is_reported_in_one_line_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def not_built(*_: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(scenario, "LambdaRuntime", not_built)
    assert command.main([]) == 1
    errors = capsys.readouterr().err
    assert errors == "The demo failed: PostgreSqlFunction is not built. `make demo` builds it first.\n"


def test_an_unknown_engine_is_reported_with_those_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--engine", "oracle"]) == 1
    captured = capsys.readouterr()
    assert captured.err == (
        "The demo failed: there is no engine oracle here. Name one of postgresql, mysql, mariadb, sqlserver\n"
    )
    assert not captured.out


def test_only_an_answer_says_that_a_password_is_refused() -> None:
    """SQL Server's client repeats the answer to an earlier login if there is no answer."""
    engine = ENGINES["sqlserver"]
    with engine.start() as database:
        login = database.new_application(engine.strategies[0])
        database.work(login)
        wrong, nowhere = replace(login, password="wrong"), replace(login, port=free_port())
        for attempt, refused in ((wrong, True), (nowhere, False), (wrong, True), (nowhere, False)):
            with pytest.raises(LoginFailed) as failed:
                database.work(attempt)
            assert failed.value.refused == refused


def assert_ended(processes: set[int]) -> None:
    """Give processes with a signal a moment to end."""
    deadline = time.monotonic() + 5
    while left := processes & alive().keys():
        assert time.monotonic() < deadline, f"{len(left)} processes are left"
        time.sleep(0.02)


def descendants(ancestor: int) -> set[int]:
    """Return the processes that it has started, and all that these have started."""
    found, parents = {ancestor}, alive()
    while more := {process for process, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {ancestor}


def alive() -> dict[int, int]:
    """Return the parent of each process that has not ended."""
    if Path("/proc/self/stat").exists():
        rows = (words for path in Path("/proc").glob("[0-9]*/stat") if (words := status(path)))
    else:
        shown = subprocess.run(["ps", "-A", "-o", "pid=,state=,ppid="], capture_output=True, text=True, check=True)  # noqa: S607
        rows = (line.split() for line in shown.stdout.splitlines())
    return {int(process): int(parent) for process, state, parent, *_ in rows if not state.startswith("Z")}


def status(path: Path) -> list[str] | None:
    """Return the id, state and parent of a process; None if it has just ended."""
    try:
        text = path.read_text()
    except OSError:
        return None
    process, _, rest = text.partition(" (")  # the name follows, and can have any character
    return [process, *rest.rpartition(") ")[2].split()]
