"""What is measured? Our function of an engine, and perhaps somebody else's."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.local.aws import template
from tests.local.aws.lambda_runtime import BUILT_TEMPLATE, Function, layer

OURS, THEIRS, LIMIT = "this project", "the other", "the limit"


@dataclass(frozen=True)
class Handler:
    """A function that is measured."""

    name: str
    function: Function
    environment: Mapping[str, str] = field(default_factory=dict)
    """What it needs to be told, beside what the template says."""


def ours(engine: str) -> Handler:
    """Return our built function of an engine, by the name that the command line has for it."""
    [name] = (name for name in template.engines() if name.casefold() == engine)
    return Handler(OURS, Function.read(f"{name}Function", BUILT_TEMPLATE), {"ALLOW_LOCAL_HOSTS": "true"})


def limit(engine: str) -> Handler:
    """Return the smallest function that calls Secrets Manager, with the memory and the environment of ours."""
    folder = Path(__file__).with_name("limit")
    return Handler(LIMIT, replace(ours(engine).function, directory=folder, layers=(), handler="limit.handler"))


def theirs(engine: str, folders: Sequence[Path], handler: str, python: Path | None) -> Handler:
    """Return a function of somebody else: its folder, and those of its layers. Raises FileNotFoundError."""
    folder, *layers = [folder.resolve(strict=True) for folder in folders]
    python = python and python.absolute()  # it runs in the folder; a link is how a virtual environment knows itself
    function = replace(
        ours(engine).function, directory=folder, layers=tuple(map(layer, layers)), handler=handler, python=python
    )
    return Handler(THEIRS, function, {"ALLOW_LOCAL_HOSTS": "true"})


def python_of(function: Function) -> list[str]:
    """Return the command of the Python that runs a function: ours without the packages that it has installed."""
    return [str(function.python)] if function.python else [sys.executable, "-S"]
