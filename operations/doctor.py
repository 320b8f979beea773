"""Ask a rotation function what happened to a stuck rotation, and what repairs it: `python -m operations.doctor`.

The function that is attached to the secret reads its versions, tries which of them log in, with two passwords of a user
at most, and says what happened. Then come the commands and statements that repair it, in order. It changes nothing.

With --repair it does the safe ones itself, if it was deployed with AllowDoctorRepair=true: it moves AWSCURRENT to a
version that has just logged in as the same user, or takes AWSPENDING from a version that can never become current.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from operations import functions, report
from operations.calls import new_session
from operations.preflight import FAILS, NOT_ASKED, attached
from rotation.errors import RotationError
from rotation.finding import Outcome

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


def examine(
    lambda_client: functions.Client,
    client: "SecretsManagerClient",
    secret: str,
    function: str = "",
    *,
    repair: bool = False,
) -> functions.Answer:
    """Return what the function says of a secret: the one that is named, or the one that is attached.

    Raises Stopped if none is attached, ServiceFailed if it does not answer, or refuses to repair.
    """
    event = {"Step": "doctor", "SecretId": secret, "Repair": repair}
    return functions.ask(lambda_client, function or attached(client, secret), event)


def show(answer: functions.Answer, output: TextIO, *, as_json: bool = False) -> int:
    """Print what was found; return the exit code."""
    report.show(answer, report.doctors_lines, output, as_json=as_json)
    return FAILS if answer["Outcome"] == Outcome.FAIL else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0: a rotation would succeed; 1: somebody must repair it; 2: nobody was asked."""
    options = _parser().parse_args(arguments)
    try:
        session = new_session(options.profile, options.region)
        clients = functions.new_client(session), session.client("secretsmanager")
        answer = examine(*clients, options.secret, options.function or "", repair=options.repair)
    except RotationError as error:
        print(error, file=sys.stderr)
        return NOT_ASKED
    return show(answer, sys.stdout, as_json=options.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m operations.doctor",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit code: 0 if a rotation would succeed; 1 if something was wrong, also if --repair has done its part;"
        " 2 if nobody was asked.",
    )
    parser.add_argument("secret", help="the name or the ARN of the secret")
    parser.add_argument("--repair", action="store_true", help="do the safe repairs, if the function allows it")
    parser.add_argument("--function", help="the ARN of another function than the one that is attached")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    parser.add_argument("--profile", help="the profile of your AWS configuration")
    parser.add_argument("--region", help="the Region; otherwise that of your AWS configuration")
    return parser


if __name__ == "__main__":
    sys.exit(main())
