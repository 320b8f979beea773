"""Rotate a secret now, and watch the four steps: `python -m operations.rotate`.

Secrets Manager begins the rotation at once. The command shows each step as the function's log tells it, and ends with
the outcome: finished, failed, or still going on. If you may not read the log, the labels of the secret alone show it.
Ctrl-C ends the command, and not the rotation.

If a step fails, Secrets Manager tries the rotation again by itself; the command does not wait for that.
"""

import argparse
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from operations import functions, logs, report
from operations.calls import Stopped, called, new_session
from operations.preflight import FAILS, NOT_ASKED, described
from operations.watching import CLOCK, State, Timer, Watch, unreadable
from rotation.errors import RotationError, ServiceFailed
from rotation.finding import Finding, Outcome, passed
from rotation.steps import Step
from rotation.watch.attached import AttachedSecret
from rotation.watch.health import State as Health
from rotation.watch.health import health

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef, SecretListEntryTypeDef

WAIT = 300.0
ITEM_WIDTH, OUTCOME_WIDTH = max(map(len, Step)), max(map(len, (Outcome.PASS, Outcome.WARN, Outcome.FAIL)))


@dataclass(frozen=True)
class Rotate:
    """One run of the command."""

    secrets_manager: "SecretsManagerClient"
    lambda_client: functions.Client
    logs_client: logs.Client
    tell: Callable[[Finding], None]
    timer: Timer = CLOCK

    def run(self, secret: str, wait: float = WAIT) -> functions.Answer:
        """Rotate, and return what came of it after so many seconds at most.

        Raises Stopped if the secret cannot rotate now, ServiceFailed; nothing was begun then.
        """
        found = described(self.secrets_manager, secret)
        _require_on(found, secret)
        watch = self._begin(secret, found)
        state = watch.until_it_ends(wait)
        return {
            "SecretId": found["ARN"],
            "FunctionArn": found["RotationLambdaARN"],
            "VersionId": watch.version,
            "Outcome": str(watch.findings[-1].outcome),
            "State": str(state),
            "Seconds": round(watch.seconds, 1),
            "Findings": [one.to_json() for one in watch.findings],
        }

    def _begin(self, secret: str, found: "DescribeSecretResponseTypeDef") -> Watch:
        version, began = str(uuid.uuid4()), time.time()
        try:
            called(
                f"rotating {secret}",
                "secretsmanager:RotateSecret",
                lambda: self.secrets_manager.rotate_secret(SecretId=found["ARN"], ClientRequestToken=version),
            )
        except ServiceFailed as refused:
            raise self._explained(refused, secret) from None
        before = str(_attached(found).current_version)
        watch = Watch(self.secrets_manager, secret, found["ARN"], version, before, None, self.tell, self.timer)
        function = found["RotationLambdaARN"]
        watch.say(passed("begun", f"{function} makes version {version}"))
        try:
            group = logs.group_of(self.lambda_client, function)
        except ServiceFailed as error:
            watch.say(unreadable(error))
        else:
            watch.log = logs.Log(self.logs_client, group, found["ARN"], version, began)
        return watch

    def _explained(self, refused: ServiceFailed, secret: str) -> RotationError:
        """Return why RotateSecret was refused, if the labels tell it: another version has AWSPENDING."""
        attached = _attached(described(self.secrets_manager, secret))
        if not attached.unfinished_version:
            return refused
        stuck = health(attached, datetime.now(UTC))
        if stuck.state is Health.FAILED:
            return Stopped(refused.operation, f"it is stuck: {stuck.cause}", f"Run make doctor SECRET={secret}")
        cause = (
            f"another rotation is going on: version {attached.unfinished_version} has AWSPENDING, and the secret last"
            f" changed at {attached.last_changed}"
        )
        remedy = f"Wait some minutes, then run this again; if it is refused again, run make doctor SECRET={secret}"
        return Stopped(refused.operation, cause, remedy)


def _require_on(found: "DescribeSecretResponseTypeDef", secret: str) -> None:
    """Refuse a secret whose rotation is off: RotateSecret would turn it on again."""
    if not found.get("RotationEnabled"):
        cause = "its rotation is off, and to rotate it would turn it on again, with its schedule"
        remedy = f"Run make attach SECRET={secret} ENGINE=… to turn it on without rotating, then run this again"
        raise Stopped(f"rotating {secret}", cause, remedy)


def _attached(found: "DescribeSecretResponseTypeDef") -> AttachedSecret:
    """Return a description in the form of an entry of the list of secrets, where the labels have another name."""
    entry = {**found, "SecretVersionsToStages": found.get("VersionIdsToStages", {})}
    return AttachedSecret.parse(cast("SecretListEntryTypeDef", entry))


def main(arguments: Sequence[str] | None = None, timer: Timer = CLOCK, session: "boto3.Session | None" = None) -> int:
    """Run the command; return 0: it has rotated; 1: it failed, or is still going on; 2: it was not begun."""
    options = _parser().parse_args(arguments)
    try:
        session = session or new_session(options.profile, options.region)
        clients = session.client("secretsmanager"), session.client("lambda"), session.client("logs")
        answer = Rotate(*clients, _silent if options.json else _show, timer).run(options.secret, options.wait)
    except RotationError as error:
        print(error, file=sys.stderr)
        return NOT_ASKED
    report.show(answer, report.last_line, sys.stdout, as_json=options.json)
    return 0 if answer["State"] == State.FINISHED else FAILS


def _show(finding: Finding) -> None:
    report.show_row(finding.to_json(), ITEM_WIDTH, OUTCOME_WIDTH, sys.stdout)


def _silent(_: Finding) -> None:
    """Show nothing now: JSON comes at the end, as a whole."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m operations.rotate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit code: 0 if it has rotated; 1 if a step failed, or if it is still going on; 2 if it was not begun.",
    )
    parser.add_argument("secret", help="the name or the ARN of the secret")
    parser.add_argument(
        "--wait", type=float, default=WAIT, metavar="SECONDS", help="how long to watch it; default: %(default).0f"
    )
    parser.add_argument("--json", action="store_true", help="print what came of it as JSON, at the end")
    parser.add_argument("--profile", help="the profile of your AWS configuration")
    parser.add_argument("--region", help="the Region; otherwise that of your AWS configuration")
    return parser


if __name__ == "__main__":
    sys.exit(main())
