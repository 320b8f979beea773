"""Does anything that is deployed have a known vulnerability?

pip-audit asks the advisory database of PyPI, or the one that its own variables name. The check of the code must not
depend on the network: if the database does not answer, this prints that nothing was audited, and succeeds. With
AUDIT_REQUIRED=true a missing answer is a failure. A vulnerability is always a failure.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PIP_AUDIT = Path(sys.executable).with_name("pip-audit")


@dataclass(frozen=True, order=True)
class _Package:
    """One package of the requirements files in the current folder, and its known vulnerabilities."""

    name: str
    version: str
    vulnerabilities: tuple[str, ...] = ()
    unknown: str = ""
    """Why nothing is known about it."""


def main() -> int:
    """Return 1 if a vulnerability is known, or if AUDIT_REQUIRED is set and the database did not answer."""
    files = [*Path().glob("functions/*/requirements.txt"), *Path().glob("layers/*/requirements.txt")]
    packages = sorted({package for file in files for package in _audited(file)})
    for package in packages:
        for vulnerability in package.vulnerabilities:
            print(f"{package.name} {package.version} has {vulnerability}")
    unknown = [package for package in packages if package.unknown]
    print(_summary(packages, unknown))
    return int(any(package.vulnerabilities for package in packages) or bool(unknown and _is_required()))


def _audited(requirements: Path) -> Iterator[_Package]:
    """Every package in a file."""
    done = subprocess.run(  # noqa: S603 - the words are ours
        [_PIP_AUDIT, "--disable-pip", "--require-hashes", "--format", "json", "--requirement", requirements],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        answers = {answer["name"]: answer for answer in json.loads(done.stdout)["dependencies"]}
    except ValueError:  # it stops at the first package without an answer
        answers = {}
    silence = {"skip_reason": done.stderr.strip().rpartition("\n")[2]}
    for name, version in _pinned(requirements):
        answer = answers.get(name, silence)
        found = tuple(f"{one['id']}, fixed in {_versions(one['fix_versions'])}" for one in answer.get("vulns", []))
        yield _Package(name, version, found, answer.get("skip_reason", ""))


def _versions(fixed: list[str]) -> str:
    return ", ".join(fixed) or "no version yet"


def _pinned(requirements: Path) -> Iterator[tuple[str, str]]:
    for line in requirements.read_text().splitlines():
        name, pinned, rest = line.partition("==")
        if pinned:
            yield name, rest.split()[0]


def _summary(packages: list[_Package], unknown: list[_Package]) -> str:
    if not unknown:
        return f"The advisory database was asked for all {len(packages)} packages that are deployed."
    few = "NOTHING WAS AUDITED" if len(unknown) == len(packages) else "Not all was audited"
    names = ", ".join(sorted({package.name for package in unknown}))
    hint = "" if _is_required() else " AUDIT_REQUIRED=true makes this an error."
    return f"{few}: the advisory database did not answer for {names} ({unknown[0].unknown}).{hint}"


def _is_required() -> bool:
    """Tell whether a missing answer is a failure: any value except a no."""
    return os.environ.get("AUDIT_REQUIRED", "").lower() not in {"", "0", "no", "false"}


if __name__ == "__main__":
    sys.exit(main())
