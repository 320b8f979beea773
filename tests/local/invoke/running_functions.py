"""Run a laptop-sized AWS until Ctrl-C, which runs the rotation function itself, so that `rotate-secret` rotates.

The commands for operators work against it as against an account: `make preflight`, `make attach`, `make rotate`,
`make doctor`. At one address it answers for Secrets Manager, Lambda (Invoke, GetFunctionConfiguration), CloudWatch
Logs, and CloudFormation, which has a stack that says which function rotates this engine.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.local.aws.lambda_logs import LoggedFunction, LogGroup, group_of
from tests.local.aws.lambda_runtime import EMULATED_ACCOUNT
from tests.local.demo.command import run, wait_for_interrupt
from tests.local.demo.databases import Engine
from tests.local.demo.engines import ENGINES, engine_named, fetch_server
from tests.local.demo.scenario import Scenario
from tests.local.demo.screen import Screen

_STACK = "secret-rotation"


def main(words: Sequence[str] | None = None) -> int:
    """Return 0: Ctrl-C, which is how it ends well; 1: something failed. Whatever was started has ended by then."""
    return run(lambda: _serve(_arguments(words)), "The laptop-sized AWS")


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.local.invoke.running_functions", description=__doc__)
    databases = f"the database: {', '.join(ENGINES)}; default: %(default)s"
    parser.add_argument("--engine", default="postgresql", help=databases)
    return parser.parse_args(words)


def _serve(arguments: argparse.Namespace) -> None:
    screen, engine = Screen.on(sys.stdout), engine_named(arguments.engine)
    fetch_server(arguments.engine)
    with running_functions(screen, engine) as aws:
        with screen.doing(f"A stack {_STACK} is made in the stand-in for CloudFormation"):
            aws.make_stack(arguments.engine)
        _invite(screen, aws, arguments.engine)
        wait_for_interrupt()


@dataclass(frozen=True)
class RunningFunctions:
    """An AWS that rotates secrets."""

    scenario: Scenario
    attached: str
    """The name of a secret that rotates with the function."""
    unattached: str
    """The name of one that no function rotates yet."""

    def make_stack(self, engine: str) -> None:
        """Make a stack whose outputs name the function, as the template's do."""
        output = {f"{self.scenario.engine.function}Arn": {"Value": self.scenario.function_arn}}
        group = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": f"/{_STACK}/{engine}"}}
        template = {"Resources": {"LogGroup": group}, "Outputs": output}
        client = self.scenario.manager.cloudformation()
        client.create_stack(StackName=_STACK, TemplateBody=json.dumps(template))


@contextmanager
def running_functions(screen: Screen, engine: Engine) -> Iterator[RunningFunctions]:
    """Start everything, and make two secrets; stop it at the end of the block. Raises DemoError."""
    with ExitStack() as stack:
        # The function is told the ARN that the secret names, so that it knows the secret for its own.
        scenario = Scenario.prepare(screen, engine, stack, EMULATED_ACCOUNT)
        manager = scenario.manager
        group = LogGroup(manager.logs(), group_of(scenario.function_arn))
        manager.register(engine.function, LoggedFunction(scenario.runtime, group))
        attached, unattached = scenario.new_secret(engine.strategies[0]), scenario.new_secret(engine.strategies[-1])
        manager.client().rotate_secret(
            SecretId=attached,
            RotationLambdaARN=scenario.function_arn,
            RotationRules={"ScheduleExpression": "rate(30 days)"},
            RotateImmediately=False,
        )
        manager.wait(attached)
        yield RunningFunctions(scenario, attached, unattached)


def _invite(screen: Screen, aws: RunningFunctions, engine: str) -> None:
    function, environment = aws.scenario.engine.function, aws.scenario.manager.environment
    cli, group = ".local/python/bin/aws", group_of(aws.scenario.function_arn)
    screen.pause()
    screen.chapter(
        "An AWS for you",
        f"The secret {aws.attached} rotates with {function}, and nothing rotates {aws.unattached} yet. In another "
        "terminal, in this folder:",
    )
    screen.copyable(
        [
            *(f"export {name}={value}" for name, value in environment.items()),
            f"make preflight SECRET={aws.attached}",
            f"make rotate SECRET={aws.attached}",
            f"make doctor SECRET={aws.attached}",
            f"make attach SECRET={aws.unattached} ENGINE={engine}",
            f"{cli} secretsmanager rotate-secret --secret-id {aws.attached}",
            f"{cli} logs filter-log-events --log-group-name {group} --query 'events[].message'",
        ]
    )
    screen.pause()
    screen.chapter(
        "A secret of your own",
        f"The user {aws.scenario.database.admin.username} can create users on this server, and its login is the secret "
        "demo/admin. How to go on: docs/laptop.md.",
    )
    screen.copyable([f"{cli} secretsmanager get-secret-value --secret-id demo/admin --query SecretString"])
    screen.pause()
    screen.conclude("Ctrl-C here ends it. Nothing of it is kept.")


if __name__ == "__main__":
    sys.exit(main())
