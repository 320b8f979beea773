"""What is in an artifact? CycloneDX's own tool makes a bill of materials from the built folder."""

import functools
import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion  # type: ignore[import-not-found]
from cyclonedx.validation.json import JsonStrictValidator  # type: ignore[import-not-found]

from supply import libraries

_CHECKOUT = Path(__file__).parents[1]
_LAYER = "CommonLayer"
_VERSION = "1.7"  # the first with isExternal: a component that comes from outside the artifact


def of(artifact: Path) -> str:
    """The bill of a built function or layer: the same text for the same content.

    Raises ValueError if it does not match CycloneDX's schema.
    """
    folder = artifact / "python" if artifact.name == _LAYER else artifact
    bill = _packages(folder)
    bill["metadata"]["component"] = _itself(artifact.name)
    components = bill.setdefault("components", [])
    inside = {distribution.name: libraries.inside(distribution) for distribution in distributions(path=[str(folder)])}
    for component in components:
        if found := inside[component["name"]]:
            component["components"] = found
    components.append(_from_outside(artifact.name))
    bill["dependencies"] = [*bill.get("dependencies", []), _first(bill)]
    text = json.dumps(bill, indent=2, sort_keys=True) + "\n"
    if wrong := _validator().validate_str(text):
        raise ValueError(f"the bill of {artifact.name} does not keep to the schema: {wrong}")
    return text


def _packages(folder: Path) -> dict[str, Any]:
    """Return what CycloneDX's tool finds in a folder. With -S it ignores the packages of this Python."""
    tool = Path(sys.executable).with_name("cyclonedx-py")
    options = ["-S", "--no-validate", "--output-reproducible", "--spec-version", _VERSION]
    done = subprocess.run(  # noqa: S603 - the words are ours
        [tool, "environment", *options, sys.executable],
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # its note that it did not validate
        check=True,
    )
    bill: dict[str, Any] = json.loads(done.stdout)
    return bill


def _itself(name: str) -> dict[str, str]:
    version = tomllib.loads((_CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    kind = "library" if name == _LAYER else "application"
    return {"type": kind, "bom-ref": name, "group": "secret-rotation", "name": name, "version": version}


def _from_outside(name: str) -> dict[str, Any]:
    """Return what the code needs from outside: a function the layer, the layer the SDK of Lambda's runtime."""
    if name == _LAYER:
        return {"type": "library", "bom-ref": "boto3", "name": "boto3", "purl": "pkg:pypi/boto3", "isExternal": True}
    return {**_itself(_LAYER), "isExternal": True}


def _first(bill: dict[str, Any]) -> dict[str, Any]:
    """Return what the artifact's own code needs: every package that no other package needs."""
    brought = {ref for one in bill.get("dependencies", []) for ref in one.get("dependsOn", [])}
    refs = [component["bom-ref"] for component in bill["components"]]
    return {"ref": bill["metadata"]["component"]["bom-ref"], "dependsOn": sorted(set(refs) - brought)}


@functools.cache
def _validator() -> JsonStrictValidator:
    return JsonStrictValidator(SchemaVersion.from_version(_VERSION))
