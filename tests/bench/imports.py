"""What does a handler import, and what does each part cost?"""

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from tests.bench.handlers import Handler, python_of
from tests.bench.running import Unmeasurable
from tests.local.aws.lambda_runtime import RUNTIME_PACKAGES, variables
from tests.local.aws.secrets_manager import REGION

_LINE = re.compile(r"^import time:\s+([0-9]+) \|\s+[0-9]+ \|\s+([\w.]+)$", re.MULTILINE)
_SHOWN = 15
_NOWHERE = "http://127.0.0.1:1"
_HERE = {
    "AWS_REGION": REGION,
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_ENDPOINT_URL": _NOWHERE,
    "SECRETS_MANAGER_ENDPOINT": _NOWHERE,
    "PYTHONDONTWRITEBYTECODE": "1",
}
"""Many a handler makes its client when it is imported; nothing is called then."""


def measure(handler: Handler, times: int) -> dict[str, float]:
    """Return the milliseconds of the parts that cost most, the dearest first.

    Python measures on the clock, which other work makes longer: so it is the least of several times that counts.
    Raises Unmeasurable.
    """
    runs = [_once(handler) for _ in range(times)]
    parts = {part for run in runs for part in run}
    least = {part: min(run.get(part, 0) for run in runs) for part in parts}
    return dict(sorted(least.items(), key=lambda item: -item[1])[:_SHOWN])


def _once(handler: Handler) -> dict[str, float]:
    function = handler.function
    module = function.handler.rpartition(".")[0].replace("/", ".")
    packages = () if function.python else (RUNTIME_PACKAGES,)
    done = subprocess.run(  # noqa: S603 - the words are those of who runs this
        [*python_of(function), "-X", "importtime", "-c", f"import {module}"],
        cwd=function.directory,
        env=variables(replace(function, environment={**function.environment, **_HERE}), *packages),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        why = f"python -c 'import {module}' ends with: {done.stderr.strip().rpartition('\n')[2]}"
        raise Unmeasurable.at_start(handler.name, why)
    return parts(done.stderr)


def parts(text: str) -> dict[str, float]:
    """Return the milliseconds of each package in what Python writes, with all its modules."""
    found: defaultdict[str, float] = defaultdict(float)
    for microseconds, module in _read(text):
        found[_part(module)] += microseconds / 1000
    return dict(found)


def _read(text: str) -> Iterator[tuple[int, str]]:
    for match in _LINE.finditer(text):
        yield int(match[1]), match[2]


def _part(module: str) -> str:
    """Return the package that a module is of; of our own, the engine's."""
    words = module.split(".")
    if words[0].lstrip("_") in sys.stdlib_module_names or words[0] in sys.stdlib_module_names:
        return "Python's own library"
    return ".".join(words[: 3 if words[:2] == ["rotation", "engines"] else 1])
