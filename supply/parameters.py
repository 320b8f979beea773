"""Which value of each parameter is deployed? All of them are said, so that a value that was removed is gone.

SAM sends only what samconfig.toml says. For the rest it asks CloudFormation for the value of the last deployment. So a
line that is deleted would change nothing. This writes every parameter, with its default if samconfig.toml does not name
it, as YAML for `sam deploy --parameter-overrides file://…`.

Run with the Python that has SAM: SAM's own code reads samconfig.toml and its several forms.
"""

import json
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

from samcli.cli.types import CfnParameterOverridesType  # type: ignore[import-not-found]
from samcli.lib.config.samconfig import SamConfig  # type: ignore[import-not-found]
from samcli.yamlhelper import yaml_parse  # type: ignore[import-not-found]


def main() -> int:
    """Print all parameters, for an environment of samconfig.toml; return 1, and print why, if it is wrong there."""
    [_, environment] = sys.argv
    try:
        tomllib.loads(Path("samconfig.toml").read_text())  # SAM's own error has no text
    except tomllib.TOMLDecodeError as error:
        print(f"samconfig.toml: it is no TOML: {error}. Correct that line; each [table] stands once", file=sys.stderr)
        return 1
    said = configured(Path("samconfig.toml"), environment)
    defaults = {
        name: str(parameter["Default"])
        for name, parameter in yaml_parse(Path("template.yaml").read_text())["Parameters"].items()
    }
    if unknown := sorted(said.keys() - defaults.keys()):
        print(f"samconfig.toml: the template has no parameter {', '.join(unknown)}: remove it there", file=sys.stderr)
        return 1
    # SAM reads each value of a file twice.
    print(json.dumps({name: escaped(escaped(value)) for name, value in {**defaults, **said}.items()}, indent=2))
    return 0


def configured(configuration: Path, environment: str) -> Mapping[str, str]:
    """Return the values that `sam deploy` would read there."""
    tables = SamConfig(configuration.parent, configuration.name).get_all(["deploy"], "parameters", environment)
    read: dict[str, str] = CfnParameterOverridesType().convert(tables.get("parameter_overrides", ""), None, None)
    return read


def escaped(value: str) -> str:
    """Return what SAM reads as this value: it takes a backslash before a space or a quote away."""
    return value.replace(" ", r"\ ").replace('"', r"\"").replace("'", r"\'")


if __name__ == "__main__":
    sys.exit(main())
