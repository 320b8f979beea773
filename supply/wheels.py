"""Which wheels can go into the artifacts?

Only wheels with a hash in the requirements files of the template's functions and layers, for the processor of each.
They are fetched into one folder before the build, and the build uses only this folder. No source distribution is ever
fetched: building one runs the code of its makers, or of an attacker in their place.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from tests.local.aws import template

_MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}  # as AWS calls it, and as wheels do
ARCHITECTURES = tuple(_MACHINES)
# The runtime of Python 3.13 is Amazon Linux 2023, which has glibc 2.34.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html, https://docs.aws.amazon.com/linux/al2023/ug/core-glibc.html
_GLIBC_MINOR, _OLDEST_GLIBC_MINOR = 34, 5


def configured_architecture(environment: str) -> str:
    """Return the processor that SAM builds for by default: that of samconfig.toml, else that of the template."""
    file = Path("samconfig.toml")
    tables = tomllib.loads(file.read_text()).get(environment, {}) if file.exists() else {}
    for command in ("build", "global"):
        overrides = tables.get(command, {}).get("parameters", {}).get("parameter_overrides", "")
        # A list, a string or a table; with ParameterKey=… and ParameterValue=…, or without.
        if found := re.search(r"\bArchitecture\W+(?:ParameterValue\W+)?(arm64|x86_64)\b", str(overrides)):
            return found[1]
    default: str = template.load(Path("template.yaml"))["Parameters"]["Architecture"]["Default"]
    return default


def fetch(architecture: str) -> Path:
    """Fetch all wheels for the template in the current folder; return their folder, which has nothing else.

    A complete folder is not fetched again; an interrupted fetch begins again. Raises CalledProcessError, after pip has
    printed which package it refuses or cannot find.
    """
    folder = Path(".local/wheels", architecture)
    needed = _needed(architecture)
    wanted = "".join(f"{_digest(file)} {machine} {file}\n" for file, machine in needed)
    complete = folder / ".complete"
    if complete.exists() and complete.read_text() == wanted:
        return folder
    print(f"Fetching the wheels for {architecture} into {folder} …", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    for file, own_architecture in needed:
        subprocess.run(  # noqa: S603 - the words are ours
            [sys.executable, "-m", "pip", "download", "--quiet", "--quiet", "--requirement", file, "--dest", folder],
            env={**os.environ, **only_hashed_wheels(own_architecture)},
            check=True,
        )
    complete.write_text(wanted)
    return folder


def only_hashed_wheels(*architectures: str) -> dict[str, str]:
    """Return variables that make pip take only wheels with a known hash, of these processors, on any machine."""
    return {
        "PIP_DISABLE_PIP_VERSION_CHECK": "true",
        "PIP_REQUIRE_HASHES": "true",
        "PIP_ONLY_BINARY": ":all:",
        "PIP_NO_BINARY": ":none:",
        "PIP_PLATFORM": " ".join(tag for architecture in architectures for tag in _platforms(architecture)),
    }


def only_from(folder: Path) -> dict[str, str]:
    """Return variables that make pip look only into a folder, and ignore its configuration files."""
    return {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "true", "PIP_FIND_LINKS": str(folder)}


def _platforms(architecture: str) -> list[str]:
    """Return the names of Lambda's Linux in wheels; pip prefers the first."""
    machine = _MACHINES[architecture]
    named_by_glibc = [f"manylinux_2_{minor}_{machine}" for minor in range(_GLIBC_MINOR, _OLDEST_GLIBC_MINOR - 1, -1)]
    return [*named_by_glibc, f"manylinux2014_{machine}"]


def _needed(architecture: str) -> list[tuple[Path, str]]:
    """Return each requirements file of the template, and the processor of its wheels."""
    source = template.load(Path("template.yaml"))
    built = [
        properties
        for kind in ("AWS::Serverless::Function", "AWS::Lambda::Function", "AWS::Serverless::LayerVersion")
        for properties in template.resources(source, kind).values()
    ]
    files = {(_requirements(properties), _processor(properties) or architecture) for properties in built}
    return sorted((file, processor) for file, processor in files if file.exists())


def _requirements(properties: dict[str, Any]) -> Path:
    [folder] = [properties[name] for name in ("CodeUri", "Code", "ContentUri") if name in properties]
    return Path(folder, "requirements.txt")


def _processor(properties: dict[str, Any]) -> str | None:
    """Return the processor that a function names itself; None if it uses that of the build."""
    match properties.get("Architectures"):
        case [str(processor)]:
            return processor
        case _:
            return None


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
