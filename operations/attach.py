"""Attach a rotation function to a secret, without rotating it: `python -m operations.attach`.

The command shows what will happen and asks. Then the secret names the function, with its schedule; nothing rotates,
Secrets Manager only lets the function test the current password. After that the function looks at everything that a
rotation needs (`operations.preflight`), and if one would fail, you are asked whether to turn the rotation off again.

Without --engine and --function it attaches the function that the secret names already, and without --schedule and
--window it keeps the ones that the secret has.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from operations import functions, preflight
from operations.calls import Stopped, called, new_session
from operations.person import Person, Terminal, says_yes
from operations.watching import CLOCK, SECONDS_BETWEEN_LOOKS, Timer
from rotation.doctor.repairs import turn_on
from rotation.errors import RotationError, ServiceFailed
from rotation.finding import Outcome
from rotation.preflight.description import Description
from rotation.staging import CURRENT, PENDING
from rotation.watch.attached import unqualified

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import RotateSecretRequestTypeDef, RotationRulesTypeTypeDef

SCHEDULE, WINDOW = "rate(30 days)", "2h"
LOOKS_AT_TEST = 10
"""So many looks at most, until the version with which Secrets Manager lets the function test has lost AWSPENDING."""


@dataclass(frozen=True)
class Attach:
    """One run of the command."""

    secrets_manager: "SecretsManagerClient"
    lambda_client: functions.Client
    person: Person
    asks: bool = True
    timer: Timer = CLOCK

    def run(
        self, secret: str, function: str = "", schedule: str | None = None, window: str | None = None
    ) -> functions.Answer:
        """Attach the function, and return what it says of the secret. Can be repeated.

        Raises Stopped if the operator says so, if the secret is deleted, a replica, or managed by a service, or if
        there is no function to attach; ServiceFailed, which says so if the function is attached and cannot be asked.
        """
        before = self._described(secret)
        function = function or _known(before)
        rules = _rules(before, schedule, window)
        self.person.tell(f"{before.arn} will rotate with {function}: {_shown(rules)}. Nothing rotates now.")
        if before.is_enabled and before.function_arn != unqualified(function):
            self.person.tell(f"It rotates with {before.function_arn} today, which will be called no more.")
        self._confirm(secret)
        self._attach(secret, function, rules)
        self.person.tell("It is attached.")
        if not _is_pending(before):
            self._wait_for_test(secret)
        answer = self._asked(secret, function)
        if answer["Outcome"] == Outcome.FAIL:
            self._offer_to_turn_off(secret, before)
        return answer

    def _described(self, secret: str) -> Description:
        operation = f"looking at {secret}"
        answer = called(
            operation,
            "secretsmanager:DescribeSecret",
            lambda: self.secrets_manager.describe_secret(SecretId=secret),
        )
        description = Description.parse(answer)
        for finding in description.secret():
            if finding.outcome is Outcome.FAIL:
                raise Stopped(operation, f"{finding.said}, so nothing was changed", finding.remedy)
        return description

    def _wait_for_test(self, secret: str) -> None:
        """Wait until the test of the current password is over: meanwhile a version has AWSPENDING, as in a rotation."""
        for _ in range(LOOKS_AT_TEST):
            if not _is_pending(self._described(secret)):
                return
            self.timer.pause(SECONDS_BETWEEN_LOOKS)

    def _asked(self, secret: str, function: str) -> functions.Answer:
        try:
            return preflight.look(self.lambda_client, self.secrets_manager, secret, function)
        except ServiceFailed as error:
            cause = f"it is attached, but whether a rotation would succeed is not known: {error.cause}"
            raise ServiceFailed(error.operation, cause, error.remedy) from None

    def _confirm(self, secret: str) -> None:
        if self.asks and not says_yes(self.person, "Attach it? yes or no: "):
            remedy = "Run this again and type yes; with OPERATION_ARGS=--yes nobody is asked"
            raise Stopped(f"attaching {secret}", "you did not say yes, so nothing was changed", remedy)

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

    def _offer_to_turn_off(self, secret: str, before: Description) -> None:
        """Turn the rotation off again, if the operator wants it."""
        self.person.tell("A rotation would fail, as the table says.")
        if before.is_enabled:
            back = turn_on(before, before.function_arn).command
            self.person.tell(f"To go back to what rotated it before, run: {back}")
        if self.asks and says_yes(self.person, "Turn its rotation off again? yes or no: "):
            called(
                f"turning the rotation of {secret} off",
                "secretsmanager:CancelRotateSecret",
                lambda: self.secrets_manager.cancel_rotate_secret(SecretId=secret),
            )
            self.person.tell("Its rotation is off.")


def _is_pending(secret: Description) -> bool:
    """Whether a version has AWSPENDING, and is not the current one."""
    return any(PENDING in labels and CURRENT not in labels for labels in secret.stages.values())


def _known(before: Description) -> str:
    """Return the function that the secret names."""
    if before.function_arn:
        return before.function_arn
    operation = f"looking for the function for {before.arn}"
    raise Stopped(operation, "it names none yet", "Name its engine, with ENGINE=… or --engine, or --function")


def _rules(before: Description, schedule: str | None, window: str | None) -> "RotationRulesTypeTypeDef":
    """Return the schedule that is asked for, or the one that there was, or ours."""
    if not schedule and before.schedule:
        return cast("RotationRulesTypeTypeDef", {**before.rules, **({"Duration": window} if window else {})})
    return {"ScheduleExpression": schedule or SCHEDULE, "Duration": window or WINDOW}


def _shown(rules: "RotationRulesTypeTypeDef") -> str:
    when = rules.get("ScheduleExpression") or f"every {rules.get('AutomaticallyAfterDays')} days"
    window = rules.get("Duration")
    return f"{when}, window {window}" if window else str(when)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0: attached, and a rotation would succeed; 1: it would fail; 2: the error says."""
    options = _parser().parse_args(arguments)
    try:
        session = new_session(options.profile, options.region)
        function = options.function or ""
        if options.engine:
            function = functions.of_engine(session.client("cloudformation"), options.stack, options.engine)
        command = Attach(
            session.client("secretsmanager"), functions.new_client(session), Terminal(), asks=not options.yes
        )
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
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--engine", help="postgresql, mysql, mariadb, oracle, sqlserver or db2: the stack's function for it"
    )
    which.add_argument("--function", help="the ARN of the function; default: the one that the secret names")
    parser.add_argument("--stack", default="secret-rotation", help="the name of the stack; default: %(default)s")
    parser.add_argument("--schedule", help=f"rate(…) or cron(…); default: the secret's own, else {SCHEDULE}")
    parser.add_argument(
        "--window", help=f"how long a rotation can begin after that; default: the secret's own, else {WINDOW}"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--profile", help="the profile of your AWS configuration")
    parser.add_argument("--region", help="the Region; otherwise that of your AWS configuration")
    return parser


if __name__ == "__main__":
    sys.exit(main())
