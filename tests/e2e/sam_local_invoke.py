"""What would `sam local invoke` start a container with? SAM's own code answers, without a container engine.

A program of its own, run with the Python that has SAM, and with the words of the command as its arguments. It writes
the container's environment and the event, as JSON.
"""

import json
import sys
from pathlib import Path

from samcli.commands.local.cli_common.invoke_context import InvokeContext  # type: ignore[import-not-found]
from samcli.commands.local.invoke.cli import cli  # type: ignore[import-not-found]
from samcli.commands.local.lib.local_lambda import LocalLambdaRunner  # type: ignore[import-not-found]
from samcli.lib.providers.sam_function_provider import SamFunctionProvider  # type: ignore[import-not-found]
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider  # type: ignore[import-not-found]


def main() -> None:
    """End with a traceback if SAM does not take a word of the command, or a file that it names."""
    asked = cli.make_context("invoke", sys.argv[1:]).params
    stacks, _ = SamLocalStackProvider.get_stacks(
        asked["template_file"],
        parameter_overrides=asked["parameter_overrides"],
        language_extensions_enabled=asked["language_extensions"],
    )
    functions, directory = SamFunctionProvider(stacks), str(Path(asked["template_file"]).parent)
    variables = InvokeContext._get_env_vars_value(asked["env_vars"])  # noqa: SLF001 - reads the file, and no more
    runner = LocalLambdaRunner(None, functions, directory, directory, env_vars_values=variables)
    config = runner.get_invoke_config(functions.get(asked["function_logical_id"]))
    answer = {
        "environment": config.env_vars.resolve(),
        "event": json.loads(Path(asked["event"]).read_text()),
        "code": config.code_abs_path,
        "architecture": config.architecture,
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
