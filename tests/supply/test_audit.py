"""Is a known vulnerability an error, and the silence of the advisory database one if somebody relies on it?"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.local.servers.processes import LOOPBACK, free_port
from tests.supply.project import CHECKOUT

HASH = f"--hash=sha256:{'0' * 64}"
VULNERABLE, SOUND, UNANSWERED = "vulnerable", "sound", "unanswered"
ADVISORY = {
    "id": "PYSEC-2026-1",
    "affected": [
        {
            "package": {"name": VULNERABLE, "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}


@dataclass(frozen=True)
class Deployment:
    """A checkout whose functions need some packages."""

    folder: Path

    def require(self, *names: str, function: str = "one") -> None:
        """Have a function need these packages."""
        file = self.folder / "functions" / function / "requirements.txt"
        file.parent.mkdir(parents=True)
        file.write_text("".join(f"{name}==1.0 {HASH}\n" for name in names))

    def audit(self, database: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `make audit`, which asks the database at a URL."""
        service = {"PIP_AUDIT_VULNERABILITY_SERVICE": "osv", "PIP_AUDIT_OSV_URL": database}
        outside = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "AUDIT_REQUIRED"}}
        return subprocess.run(  # noqa: S603 - the words are ours
            ["make", "--no-print-directory", "audit", *arguments],  # noqa: S607 - the one that runs the tests
            cwd=self.folder,
            env={**outside, **service, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    """A checkout whose tasks are ours."""
    for name in ("Makefile", "supply", "tests", ".local"):
        (tmp_path / name).symlink_to(CHECKOUT / name)
    (tmp_path / "layers").mkdir()
    return Deployment(tmp_path)


@contextmanager
def database() -> Iterator[str]:
    """An advisory database in the manner of OSV, which knows one advisory, and fails at one package; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
            self.send_response(503 if asked == UNANSWERED else 200)
            self.end_headers()
            self.wfile.write(json.dumps({"vulns": [ADVISORY]} if asked == VULNERABLE else {}).encode())

        def log_message(self, _format: str, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://{LOOPBACK}:{server.server_port}/"
        finally:
            server.shutdown()


def test_packages_without_an_advisory_pass(deployment: Deployment) -> None:
    deployment.require(SOUND, "other")
    with database() as url:
        done = deployment.audit(url, "AUDIT_REQUIRED=true")
    assert done.returncode == 0, done.stdout
    assert done.stdout == "The advisory database was asked for all 2 packages that are deployed.\n"


def test_a_known_vulnerability_is_an_error(deployment: Deployment) -> None:
    deployment.require(SOUND, VULNERABLE)
    with database() as url:
        done = deployment.audit(url)
    assert done.returncode != 0
    assert "vulnerable 1.0 has PYSEC-2026-1, fixed in 1.1\n" in done.stdout


def test_silence_is_said_and_no_error_for_who_does_not_rely_on_it(deployment: Deployment) -> None:
    deployment.require(SOUND)
    done = deployment.audit(f"http://{LOOPBACK}:{free_port()}/")
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("NOTHING WAS AUDITED: the advisory database did not answer for sound (")
    assert done.stdout.endswith(" AUDIT_REQUIRED=true makes this an error.\n")


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [(["AUDIT_REQUIRED=true"], {}), ([], {"AUDIT_REQUIRED": "true"}), ([], {"AUDIT_REQUIRED": "1"})],
)
def test_silence_is_an_error_for_who_relies_on_it(
    deployment: Deployment, arguments: list[str], environment: dict[str, str]
) -> None:
    deployment.require(SOUND)
    done = deployment.audit(f"http://{LOOPBACK}:{free_port()}/", *arguments, **environment)
    assert done.returncode != 0
    assert "NOTHING WAS AUDITED" in done.stdout


def test_an_answer_that_is_none_is_silence(deployment: Deployment) -> None:
    deployment.require(UNANSWERED)
    with database() as url:
        done = deployment.audit(url, "AUDIT_REQUIRED=true")
    assert done.returncode != 0
    assert "NOTHING WAS AUDITED" in done.stdout


def test_half_an_answer_is_said_to_be_one(deployment: Deployment) -> None:
    deployment.require(VULNERABLE)
    deployment.require(UNANSWERED, function="two")
    with database() as url:
        done = deployment.audit(url)
    assert done.returncode != 0
    assert "vulnerable 1.0 has PYSEC-2026-1" in done.stdout
    assert "Not all was audited: the advisory database did not answer for unanswered (" in done.stdout
