"""Has anything that is deployed a known vulnerability?

pip-audit asks the advisory database of PyPI. Where that cannot be reached, this says so and is content: whether the
code is right must not depend on the network. A vulnerability that is found is a failure.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_CHECKOUT = Path(__file__).parents[2]
_PIP_AUDIT = _CHECKOUT / ".local/audit/bin/pip-audit"


def main() -> int:
    """Return 1 where a vulnerability is known."""
    files = sorted([*_CHECKOUT.glob("functions/*/requirements.txt"), *_CHECKOUT.glob("layers/*/requirements.txt")])
    packages = [package for file in files for package in _audited(file)]
    for package in packages:
        for vulnerability in package.get("vulns", []):
            fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
            print(f"{package['name']} {package['version']} has {vulnerability['id']}, fixed in {fixed}")
    unknown = sorted({package["name"] for package in packages if "skip_reason" in package})
    if unknown:
        print(f"Not audited, because the advisory database could not be asked: {', '.join(unknown)}")
    return int(any(package.get("vulns") for package in packages))


def _audited(requirements: Path) -> list[dict[str, Any]]:
    """What is known of each package in a file."""
    done = subprocess.run(  # noqa: S603 - the words are ours
        [_PIP_AUDIT, "--disable-pip", "--require-hashes", "--format", "json", "--requirement", requirements],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        audited: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        return [{"name": str(requirements.relative_to(_CHECKOUT)), "skip_reason": done.stderr}]
    return audited


if __name__ == "__main__":
    sys.exit(main())
