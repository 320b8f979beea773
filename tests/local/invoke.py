"""Call one function with one event, as Lambda would, and show what it logs and answers."""

import argparse
import json
import os
import sys
from pathlib import Path

import boto3

from tests.local import template
from tests.local.lambda_runtime import FunctionError, LambdaRuntime

_CHECKOUT = Path(__file__).parents[2]
_PASSED_ON = ("AWS_ENDPOINT_URL", "SECRETS_MANAGER_ENDPOINT", "DB_CA_BUNDLE")


def main() -> None:
    """End with status 1 where the function fails."""
    arguments = _arguments()
    function = arguments.function or _function_for(arguments.event)
    with LambdaRuntime(function, {**_account(), **_settings()}) as runtime:
        try:
            answer = runtime.invoke(json.loads(arguments.event.read_text()))
        except FunctionError as error:
            print(runtime.logs())
            sys.exit(f"{function} failed with {error}")
        print(runtime.logs())
    print(f"{function} returned {json.dumps(answer)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.local.invoke",
        description=__doc__,
        epilog=f"The function gets your AWS credentials and Region, and, where set, {', '.join(_PASSED_ON)}.",
    )
    parser.add_argument("event", type=Path, help="a file of events/")
    parser.add_argument("--function", help="its logical id in the template; else the one that the file is named after")
    return parser.parse_args()


def _function_for(event: Path) -> str:
    """The function whose name, without `Function`, the event's file name begins with."""
    for name in template.resources(template.load(_CHECKOUT / "template.yaml"), "AWS::Serverless::Function"):
        if event.name.startswith(name.removesuffix("Function").lower() + "-"):
            return name
    sys.exit(f"No function goes with {event.name}; name one with --function.")


def _account() -> dict[str, str]:
    """The caller's own credentials and Region, however they were configured; nothing where there are none."""
    session = boto3.Session()
    values: dict[str, str | None] = {"AWS_REGION": session.region_name}
    if credentials := session.get_credentials():
        frozen = credentials.get_frozen_credentials()
        values["AWS_ACCESS_KEY_ID"] = frozen.access_key
        values["AWS_SECRET_ACCESS_KEY"] = frozen.secret_key
        values["AWS_SESSION_TOKEN"] = frozen.token
    return {name: value for name, value in values.items() if value}


def _settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}


if __name__ == "__main__":
    main()
