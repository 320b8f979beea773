"""Ask a rotation function whether a rotation of a secret would succeed: `python -m operations.preflight`.

The function that is attached to the secret looks at everything that a rotation needs, and changes nothing: the secret,
its labels and schedule, the network, the server, rights, the two users of a pair. Each item passes, is worth a warning,
fails, or was not looked at; with the cause, and the remedy.

A function can read only secrets that chose it. So attach the secret first; `make attach` does that without rotating.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from operations import functions, report
from operations.calls import Stopped, called, new_session
from rotation.errors import RotationError
from rotation.finding import Outcome

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef

FAILS, NOT_ASKED = 1, 2
"""The exit codes of a secret that would not rotate, and of a question that was not answered."""


def look(
    lambda_client: functions.Client, client: "SecretsManagerClient", secret: str, function: str
) -> functions.Answer:
    """Return what the function says of a secret: the one that is named, or the one that is attached.

    Raises Stopped if none is attached, ServiceFailed if it does not answer.
    """
    return functions.ask(lambda_client, function or attached(client, secret), {"Step": "preflight", "SecretId": secret})


def attached(client: "SecretsManagerClient", secret: str) -> str:
    """Return the function that a secret chose. Raises Stopped if it chose none, ServiceFailed."""
    return described(client, secret)["RotationLambdaARN"]


def described(client: "SecretsManagerClient", secret: str) -> "DescribeSecretResponseTypeDef":
    """Return what Secrets Manager says of a secret that chose a function. Raises Stopped if not, ServiceFailed."""
    operation = f"looking at {secret}"
    found = called(operation, "secretsmanager:DescribeSecret", lambda: client.describe_secret(SecretId=secret))
    if not found.get("RotationLambdaARN"):
        cause = "no rotation function is attached, and a function can read only secrets that chose it"
        raise Stopped(operation, cause, f"Run make attach SECRET={secret} ENGINE=…, which does not rotate it")
    return found


def show(answer: functions.Answer, output: TextIO, *, as_json: bool = False) -> int:
    """Print what was found; return the exit code."""
    report.show(answer, report.lines, output, as_json=as_json)
    return FAILS if answer["Outcome"] == Outcome.FAIL else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0: a rotation would succeed; 1: it would fail; 2: the function could not be asked."""
    options = _parser().parse_args(arguments)
    try:
        session = new_session(options.profile, options.region)
        answer = look(
            functions.new_client(session), session.client("secretsmanager"), options.secret, options.function or ""
        )
    except RotationError as error:
        print(error, file=sys.stderr)
        return NOT_ASKED
    return show(answer, sys.stdout, as_json=options.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m operations.preflight",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit code: 0 if nothing is seen that would fail; 1 if a rotation would fail; 2 if nobody was asked.",
    )
    parser.add_argument("secret", help="the name or the ARN of the secret")
    parser.add_argument("--function", help="the ARN of another function than the one that is attached")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    parser.add_argument("--profile", help="the profile of your AWS configuration")
    parser.add_argument("--region", help="the Region; otherwise that of your AWS configuration")
    return parser


if __name__ == "__main__":
    sys.exit(main())
