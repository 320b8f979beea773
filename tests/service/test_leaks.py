"""Does the scan of everything that a test run writes find a password, and does it fail the run without showing it?"""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from rotation.spelling import ways_to_write
from tests.fakes import FakeDatabase
from tests.leaks import PIECE, Scanner
from tests.local import evidence
from tests.local.secrets_manager import LocalSecretsManager
from tests.service.invoking import Invoke, event
from tests.service.rig import Rig

PASSWORD = '!It\'s a \\ "quoted" päss|w&rd, 100%'
NOISE = "2026-11-22 LOG:  statement: ALTER ROLE app PASSWORD 'SCRAM-SHA-256$4096:…'\n"


@pytest.mark.parametrize("before", range(40))
def test_a_password_is_found_wherever_it_is_and_however_it_is_written_and_not_shown(before: int) -> None:
    for form in ways_to_write(PASSWORD):
        [hit] = set(Scanner([PASSWORD, "another-password-of-some-length"]).hits("x" * before + form + NOISE))
        assert form not in hit
        assert "ALTER ROLE" in hit


def test_a_short_password_is_found_too() -> None:
    assert list(Scanner(["aB3!aB3!"]).hits(f"{NOISE}aB3!aB3!{NOISE}"))


def test_two_in_one_text_are_two() -> None:
    others = [secrets.token_urlsafe(24) for _ in range(2)]
    hits = set(Scanner(others).hits(f"first: {others[0]}{others[1]} {NOISE}"))
    assert len(hits) == 2
    assert not any(other[:PIECE] in hit or other[-PIECE:] in hit for other in others for hit in hits)


def test_what_looks_like_a_part_of_a_password_is_none() -> None:
    assert not list(Scanner([PASSWORD]).hits(PASSWORD[:-1] + NOISE + PASSWORD[1:]))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where evidence is kept during a test."""
    monkeypatch.setenv(evidence.FOLDER, str(tmp_path))
    return tmp_path


def test_what_a_function_generates_is_looked_for_and_what_a_test_makes_up_is_not(
    service: LocalSecretsManager, invoke: Invoke, folder: Path
) -> None:
    rig = Rig(service).begin()
    assert invoke(FakeDatabase(), event(rig, "createSecret")).error is None
    generated = rig.client.get_secret_value(SecretId=rig.arn, VersionId=rig.token)["SecretString"]
    rig.put('{"password": "made-up"}')
    assert [password in generated for password in evidence.passwords(folder)] == [True]


CONFTEST = """
from tests.leaks import Leaks

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Leaks())
"""

TEST = """
import logging
from tests.local.evidence import keep_password, keep_text

PASSWORD = "{password}"
SAID = "{said}"

def test_generating():
    keep_password('{{"password": "%s"}}' % PASSWORD)

def test_printing():
    print("it is", SAID)

def test_logging():
    logging.getLogger().warning("it is %s", SAID)

def test_a_server():
    keep_text("the log of a server", SAID)

def test_failing():
    assert SAID != {said!r}
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_with_a_leak_fails_and_says_where(tmp_path: Path, workers: int) -> None:
    password = secrets.token_urlsafe(24)
    done = run(tmp_path, TEST.format(password=password, said=password), workers)
    leaks = done.stdout.rpartition("a generated password was written")[2]
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "LEAKS: 1 generated passwords" in leaks
    for where in ("::test_printing", "::test_logging", "the log of a server", "::test_failing"):
        assert where in leaks
    assert password not in leaks.partition("short test summary")[0]


def test_a_run_without_a_leak_says_how_much_was_searched(tmp_path: Path) -> None:
    text = TEST.format(password=secrets.token_urlsafe(24), said="another").partition("def test_failing")[0]
    done = run(tmp_path, text, 0)
    assert done.returncode == pytest.ExitCode.OK
    assert "no leak: 1 generated passwords, 3 texts" in done.stdout


def run(folder: Path, test: str, workers: int) -> subprocess.CompletedProcess[str]:
    """Run a test where the plugin is at work."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_planted.py").write_text(test)
    return subprocess.run(  # noqa: S603 - the words are ours
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"-n{workers}", "--rootdir=.", "."],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(evidence.FOLDER)
    monkeypatch.chdir(tmp_path)
    evidence.keep_password('{"password": "p"}')
    evidence.keep_text("nobody", "nothing")
    assert not list(tmp_path.iterdir())
