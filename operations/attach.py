"""Attach a rotation function to a secret, without rotating it: `python -m operations.attach`.

The command shows what will happen and asks. Then the secret names the function, with its schedule; nothing rotates,
Secrets Manager only lets the function test the current password. After that the function looks at everything that a
rotation needs (`operations.preflight`), and if one would fail, you are asked whether to turn the rotation off again.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from operations import functions, preflight
from operations.calls import Stopped, called, new_session
from operations.person import Person, Terminal
from rotation.errors import RotationError
from rotation.finding import Outcome
from rotation.watch.attached import unqualified

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import RotateSecretRequestTypeDef, RotationRulesTypeTypeDef

SCHEDULE, WINDOW = "rate(30 days)", "2h"


@dataclass(frozen=True)
class Attach:
    """One run of the command."""

    secrets_manager: "SecretsManagerClient"
    lambda_client: functions.Client
    person: Person
    asks: bool = True

    def run(self, secret: str, function: str, schedule: str, window: str) -> functions.Answer:
        """Attach the function, and return what it says of the secret. Can be repeated.

        Raises Stopped if the operator says so, or if the secret is a replica or managed by a service; ServiceFailed.
        """
        found = called(
            f"looking at {secret}",
            "secretsmanager:DescribeSecret",
            lambda: self.secrets_manager.describe_secret(SecretId=secret),
        )
        before = unqualified(found.get("RotationLambdaARN", "")) if found.get("RotationEnabled") else ""
        self.person.tell(
            f"{found['ARN']} will rotate with {function}: {schedule}, window {window}. Nothing rotates now."
        )
        if before and before != unqualified(function):
            self.person.tell(f"It rotates with {before} today, which will be called no more.")
        self._confirm(secret)
        self._attach(secret, function, {"ScheduleExpression": schedule, "Duration": window})
        self.person.tell("It is attached.")
        answer = preflight.look(self.lambda_client, self.secrets_manager, secret, function)
        if answer["Outcome"] == Outcome.FAIL:
            self._offer_to_turn_off(secret, before)
        return answer

    def _confirm(self, secret: str) -> None:
        if self.asks and self.person.ask("Attach it? yes or no: ") != "yes":
            raise Stopped(f"attaching {secret}", "you did not say yes, so nothing was changed", "Run this again")

    def _attach(self, secret: str, function: str, rules: "RotationRulesTypeTypeDef") -> None:
        request: RotateSecretRequestTypeDef = {
            "SecretId": secret,
            "RotationLambdaARN": function,
            "RotationRules": rules,
            "RotateImmediately": False,
        }
        called(
            f"attaching {function} to {secret}",
            "secretsmanager:RotateSecret",
            lambda: self.secrets_manager.rotate_secret(**request),
        )

    def _offer_to_turn_off(self, secret: str, before: str) -> None:
        """Turn the rotation off again, if the operator wants it."""
        back = f"; to go back to {before}, run make attach with --function {before}" if before else ""
        self.person.tell(f"A rotation would fail, as the table says{back}.")
        if self.asks and self.person.ask("Turn its rotation off again? yes or no: ") == "yes":
            called(
                f"turning the rotation of {secret} off",
                "secretsmanager:CancelRotateSecret",
                lambda: self.secrets_manager.cancel_rotate_secret(SecretId=secret),
            )
            self.person.tell("Its rotation is off.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0: attached, and a rotation would succeed; 1: it would fail; 2: not attached."""
    options = _parser().parse_args(arguments)
    try:
        session = new_session(options.profile, options.region)
        function = options.function or functions.of_engine(
            session.client("cloudformation"), options.stack, options.engine
        )
        command = Attach(session.client("secretsmanager"), session.client("lambda"), Terminal(), asks=not options.yes)
        answer = command.run(options.secret, function, options.schedule, options.window)
    except RotationError as error:
        print(error, file=sys.stderr)
        return preflight.NOT_ASKED
    return preflight.show(answer, sys.stdout)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m operations.attach",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("secret", help="the name or the ARN of the secret")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--engine", help="postgresql, mysql, mariadb, oracle, sqlserver or db2: the stack's function for it"
    )
    which.add_argument("--function", help="the ARN of the function")
    parser.add_argument("--stack", default="secret-rotation", help="the name of the stack; default: %(default)s")
    parser.add_argument("--schedule", default=SCHEDULE, help="rate(…) or cron(…); default: %(default)s")
    parser.add_argument(
        "--window", default=WINDOW, help="how long a rotation can begin after that; default: %(default)s"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--profile", help="the profile of your AWS configuration")
    parser.add_argument("--region", help="the Region; otherwise that of your AWS configuration")
    return parser


if __name__ == "__main__":
    sys.exit(main())
