"""Which values of parameters does SAM send to CloudFormation, if it is told them in one way or another?

A program of its own, run with the Python that has SAM. It reads one request from standard input, the JSON of a list of
ways, and writes the JSON of as many answers: for each way, what SAM would send for each parameter of the template;
None, if that is "use the previous value". All is SAM's own code.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner
from samcli.cli.types import CfnParameterOverridesType  # type: ignore[import-not-found]
from samcli.commands.deploy.deploy_context import DeployContext  # type: ignore[import-not-found]
from samcli.commands.deploy.guided_config import GuidedConfig  # type: ignore[import-not-found]
from samcli.commands.deploy.guided_context import GuidedContext  # type: ignore[import-not-found]
from samcli.lib.config.samconfig import SamConfig  # type: ignore[import-not-found]
from samcli.yamlhelper import yaml_parse  # type: ignore[import-not-found]

type Sent = dict[str, str | None]


def main() -> None:
    """Answer the ways of one request."""
    template = yaml_parse(Path("template.yaml").read_text())
    ways: dict[str, Callable[[Any, Any], Sent]] = {"guided": guided, "configured": configured, "told": told}
    print(json.dumps([ways[way](template, said) for way, said in json.load(sys.stdin)]))


def guided(template: Mapping[str, Any], said: Mapping[str, str]) -> Sent:
    """Type these values at the questions of `sam deploy --guided`, Enter at all others; deploy from what it wrote."""
    typed = "".join(f"{said.get(name, '')}\n" for name in template["Parameters"])
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "samconfig.toml"
        whole = click.Context(click.Group("sam"), info_name="sam")
        command = click.Context(click.Command("deploy"), info_name="deploy", parent=whole)
        with CliRunner().isolation(input=typed), command as context:
            context.samconfig_dir = folder  # type: ignore[attr-defined]  # SAM's own addition
            answers = GuidedContext.prompt_parameters(
                GuidedContext(*[None] * 13), template["Parameters"], {}, start_bold="", end_bold=""
            )
            GuidedConfig("template.yaml", "parameters").save_config(answers, config_file=configuration.name)
        return configured(template, configuration.read_text())


def configured(template: Mapping[str, Any], text: str) -> Sent:
    """Deploy from a samconfig.toml with this text."""
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "samconfig.toml"
        configuration.write_text(text)
        tables = SamConfig(folder, configuration.name).get_all(["deploy"], "parameters")
        return told(template, tables.get("parameter_overrides", ""))


def told(template: Mapping[str, Any], said: object) -> Sent:
    """Deploy with `--parameter-overrides`."""
    overrides = CfnParameterOverridesType().convert(said, None, None)
    merged = DeployContext.merge_parameters(template, overrides)
    return {parameter["ParameterKey"]: parameter.get("ParameterValue") for parameter in merged}


if __name__ == "__main__":
    main()
