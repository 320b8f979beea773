"""Was a password that a rotation generated written anywhere during the whole test run?

A plugin of pytest. Where every process of the run has ended, it searches all that was kept (`tests.local.evidence`)
for every password that a function has put into a Secrets Manager of ours, in whatever way it could be written: the
statement logs of the servers, what the functions logged and measured and raised, and what pytest itself reports. A
single hit fails the run. It is said where; the password is not shown.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from rotation.redaction import MASK, Redactor
from rotation.redaction.spelling import ways_to_write
from tests.local import evidence

PIECE = 8
"""No password is shorter (`rotation.passwords.SHORTEST_PASSWORD`)."""

LONG = 24
"""From this length on, pieces of it are looked for at some places of a text only, in a fraction of the time."""

AROUND, WIDE = 60, 2000
"""How much is shown of what surrounds it, and of how much that is taken."""


class Scanner:
    """Finds passwords."""

    def __init__(self, passwords: Iterable[str]) -> None:
        self._redact = Redactor()
        self._pieces: dict[str, set[str]] = {}
        self._short: set[str] = set()
        for password in passwords:
            self._redact.add_secret(password)
            for form in ways_to_write(password):
                if len(form) < LONG:
                    self._short.add(form)
                    continue
                for start in range(len(form) - PIECE + 1):
                    self._pieces.setdefault(form[start : start + PIECE], set()).add(form)

    def hits(self, text: str) -> Iterator[str]:
        """Yield what surrounds each password in the text, the password itself being masked."""
        # Of a form that is long enough, a whole piece begins at one of these places, wherever the form itself begins.
        for place in range(0, len(text), LONG - PIECE + 1):
            for form in self._pieces.get(text[place : place + PIECE], ()):
                start = text.find(form, max(0, place - len(form)), place + len(form))
                if start >= 0:
                    yield self._excerpt(text, start, start + len(form))
                    break
        for form in self._short:
            if (start := text.find(form)) >= 0:
                yield self._excerpt(text, start, start + len(form))

    def _excerpt(self, text: str, start: int, end: int) -> str:
        # What surrounds it may be a password, too: masked before it is cut.
        before, after = self._redact(text[max(0, start - WIDE) : start]), self._redact(text[end : end + WIDE])
        return f"{before[-AROUND:]}{MASK}{after[:AROUND]}".replace("\n", " ")


class Leaks:
    """What the plugin does in the one process that runs all others."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="evidence-"))
        self._summary = ""
        self._found: list[str] = []
        os.environ[evidence.FOLDER] = str(self._folder)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a test has printed and logged, and how it failed."""
        written = [content for _, content in report.sections] if report.when == "teardown" else []  # it has all
        evidence.keep_text(f"the report of {report.nodeid}", "\n".join([report.longreprtext, *written]))

    @pytest.hookimpl(trylast=True)  # the others end their processes here
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Search."""
        passwords = evidence.passwords(self._folder)
        scanner, texts, size = Scanner(passwords), 0, 0
        for written in evidence.texts(self._folder):
            texts, size = texts + 1, size + len(written.text)
            hits = dict.fromkeys(scanner.hits(written.text))
            self._found += [f"{written.name}: …{hit}…" for hit in hits]
        self._summary = f"{len(passwords)} generated passwords, {texts} texts, {size / 1e6:.1f} MB"
        if self._found:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was found."""
        if self._found:
            terminalreporter.section("a generated password was written", red=True, bold=True)
            for line in self._found:
                terminalreporter.write_line(line)
        verdict = f"{len(self._found)} LEAKS" if self._found else "no leak"
        terminalreporter.write_line(f"{verdict}: {self._summary}")

    def pytest_unconfigure(self) -> None:
        """Throw all away."""
        os.environ.pop(evidence.FOLDER, None)
        shutil.rmtree(self._folder, ignore_errors=True)
