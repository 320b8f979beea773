"""Run one step of a rotation, as Lambda would, and show what the function logs, answers and changes.

As a rule all of it is on this machine: a database server and a stand-in for Secrets Manager are started, and a secret
is brought to where Secrets Manager would call for that step.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import boto3

from tests.local.aws.lambda_runtime import FunctionError, LambdaRuntime, printed
from tests.local.aws.secrets_manager_rotation import STEPS
from tests.local.demo import DemoError
from tests.local.demo.command import run
from tests.local.demo.engines import ENGINES, engine_named, fetch_server
from tests.local.demo.laptop import Event
from tests.local.demo.scenario import Scenario
from tests.local.demo.screen import Screen
from tests.local.demo.versions import comparison, version_states

_EVENTS = Path(__file__).parents[3] / "events"
_LAPTOP, _ACCOUNT = "laptop", "account"
_ENDPOINTS = ("AWS_ENDPOINT_URL", "SECRETS_MANAGER_ENDPOINT")
_PASSED_ON = (*_ENDPOINTS, "ALLOW_LOCAL_HOSTS", "DB_CA_BUNDLE")


def main(words: Sequence[str] | None = None) -> int:
    """Return 0: the function returned; 1: it failed, or was not called; 130: Ctrl-C. Whatever was started has ended."""
    return run(lambda: _invoke(_arguments(words)), "The invocation")


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.local.invoke", description=__doc__)
    parser.add_argument("event", help="create-secret, set-secret, test-secret, finish-secret, or the path of a file")
    databases = f"the database: {', '.join(ENGINES)}; default: %(default)s"
    parser.add_argument("--engine", default="postgresql", help=databases)
    parser.add_argument(
        "--aws",
        choices=(_LAPTOP, _ACCOUNT),
        default=_ACCOUNT if any(_environment(_ENDPOINTS)) else _LAPTOP,
        help=f"{_ACCOUNT}: send the event as it is to the AWS of your credentials and Region, or to the one that "
        f"{_ENDPOINTS[0]}… names; default: {_ACCOUNT} if that is set, else {_LAPTOP}",
    )
    return parser.parse_args(words)


def _invoke(arguments: argparse.Namespace) -> None:
    engine = arguments.engine
    function = engine_named(engine).function
    event = _read(_event_file(arguments.event))
    if arguments.aws == _ACCOUNT:
        _invoke_with_account(function, event)
    else:
        _invoke_on_laptop(engine, event)


def _event_file(name: str) -> Path:
    for path in (_EVENTS / f"{name}.json", Path(name)):
        if path.is_file():
            return path
    steps = [path.stem for path in sorted(_EVENTS.glob("*-secret.json"))]
    raise DemoError(f"there is no event {name}. Name {', '.join(steps)}, or the path of a file")


def _read(path: Path) -> Event:
    try:
        event = json.loads(path.read_text())
    except ValueError as error:
        raise DemoError(f"{path} is not JSON: {error}") from error
    if not isinstance(event, dict):
        raise DemoError(f"{path} holds no JSON object, which an event is")
    return event


def _invoke_with_account(function: str, event: Event) -> None:
    with LambdaRuntime(function, {**_credentials(), **_environment(_PASSED_ON)}) as runtime:
        try:
            print(f"{function} returned {json.dumps(runtime.invoke(event))}")
        except FunctionError as error:
            raise DemoError(f"{function} failed with {error}") from error
        finally:
            print(*printed(runtime.logs()), sep="\n")


def _credentials() -> dict[str, str]:
    """The caller's own credentials and Region, however they were configured; nothing if there are none."""
    session = boto3.Session()
    values: dict[str, str | None] = {"AWS_REGION": session.region_name}
    if credentials := session.get_credentials():
        frozen = credentials.get_frozen_credentials()
        values["AWS_ACCESS_KEY_ID"] = frozen.access_key
        values["AWS_SECRET_ACCESS_KEY"] = frozen.secret_key
        values["AWS_SESSION_TOKEN"] = frozen.token
    return {name: value for name, value in values.items() if value}


def _environment(beginnings: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(beginnings) and value}


def _invoke_on_laptop(engine: str, event: Event) -> None:
    screen = Screen.on(sys.stdout)
    fetch_server(engine)
    with ExitStack() as stack:
        scenario = Scenario.prepare(screen, ENGINES[engine], stack)
        secret_id, expected = _secret_before(scenario, event)
        event |= {key: expected[key] for key in ("SecretId", "ClientRequestToken")}
        screen.pause()
        screen.section("The event, with SecretId and ClientRequestToken of the secret that was made for it")
        screen.copyable([json.dumps(event)])
        _show_call(scenario, secret_id, event)


def _show_call(scenario: Scenario, secret_id: str, event: Event) -> None:
    """Call the function, and show what it prints, changes and returns. Raises DemoError: it failed."""
    screen, function, client = scenario.screen, scenario.engine.function, scenario.manager.client()
    printed_before = len(scenario.runtime.logs())
    before = version_states(client, secret_id, scenario.database.work)
    answer, failure = None, None
    try:
        answer = scenario.runtime.invoke(event)
    except FunctionError as error:
        failure = error
    screen.pause()
    screen.section("What the function printed")
    screen.copyable(printed(scenario.runtime.logs()[printed_before:]))
    screen.versions(comparison(before, version_states(client, secret_id, scenario.database.work)))
    if failure:
        raise DemoError(f"{function} failed with {failure}") from failure
    screen.conclude(f"{function} returned {json.dumps(answer)}")


def _secret_before(scenario: Scenario, event: Event) -> tuple[str, Event]:
    """Return a secret to which Secrets Manager would send such an event now, and what it would send."""
    step = event["Step"] if event.get("Step") in STEPS else STEPS[0]
    sent: list[Event] = []

    def stop_before_step(next_event: Event) -> None:
        if sent or next_event["Step"] == step:
            sent.append(next_event)
        else:
            scenario.runtime.invoke(next_event)

    secret_id = scenario.new_secret(scenario.engine.strategies[0])
    with scenario.screen.doing(f"RotateSecret {secret_id}, up to {step}"):
        scenario.rotate(secret_id, stop_before_step)
    return secret_id, sent[0]


if __name__ == "__main__":
    sys.exit(main())
