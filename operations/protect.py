"""Switch on the termination protection of a deployed stack: `python -m operations.protect --config-env production`.

`make deploy` does this after each deployment.
"""

import argparse
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from operations import stacks
from operations.calls import Stopped, new_session
from rotation.errors import RotationError

CONFIGURATION = Path(__file__).parents[1] / "samconfig.toml"


def main(arguments: Sequence[str] | None = None, client: stacks.Client | None = None) -> int:
    """Protect the stack of an environment; return 0 if it is protected, or if there is none."""
    parser = argparse.ArgumentParser(prog="python -m operations.protect", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config-env", default="default", help="the environment in samconfig.toml (%(default)s)")
    try:
        print(protected(settings(parser.parse_args(arguments).config_env), client))
    except RotationError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def settings(environment: str, configuration: Path = CONFIGURATION) -> dict[str, Any]:
    """Return what `sam deploy` reads of an environment: the table of all commands, and over it that of `deploy`."""
    tables = tomllib.loads(configuration.read_text()).get(environment, {})
    return {name: value for of in ("global", "deploy") for name, value in _parameters(tables, of).items()}


def protected(deployment: dict[str, Any], client: stacks.Client | None = None) -> str:
    """Protect the stack; return what was done. Raises RotationError."""
    name = deployment.get("stack_name")
    if not name:
        raise Stopped(
            "looking for the stack to protect",
            "samconfig.toml names no stack_name for this environment",
            "Run aws cloudformation update-termination-protection --enable-termination-protection --stack-name …",
        )
    session = client or new_session(deployment.get("profile"), deployment.get("region")).client("cloudformation")
    stack = stacks.find(session, name)
    if stack is None:
        return f"There is no stack {name}: nothing was deployed, and nothing is protected."
    if not stack.is_protected:
        stacks.protect(session, stack, on=True)
    return f"The stack {name} is protected from deletion. To remove it, run make uninstall STACK={name}"


def _parameters(tables: dict[str, Any], command: str) -> dict[str, Any]:
    return dict(tables.get(command, {}).get("parameters", {}))


if __name__ == "__main__":
    sys.exit(main())
