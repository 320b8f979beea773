"""Which account does `make deploy` change? `python -m operations.account --config-env production` says it first.

Nothing is built before that: without credentials, or without a Region, somebody would learn it minutes later.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from operations.calls import called, new_session
from operations.protect import settings
from rotation.errors import RotationError

if TYPE_CHECKING:
    import boto3


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the account, the Region and who you are there; return 1 if AWS does not know you, or no Region is set."""
    parser = argparse.ArgumentParser(prog="python -m operations.account", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config-env", default="default", help="the environment in samconfig.toml (%(default)s)")
    deployment = settings(parser.parse_args(arguments).config_env)
    try:
        session = new_session(deployment.get("profile"), deployment.get("region"))
        print(described(session, deployment.get("stack_name", "")), flush=True)
    except RotationError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def described(session: "boto3.Session", stack: str) -> str:
    """Return where a stack would be deployed, and as whom. Raises ServiceFailed."""
    client = session.client("sts")
    caller = called("asking AWS who you are", "sts:GetCallerIdentity", client.get_caller_identity)
    return f"{stack} will be deployed into account {caller['Account']}, {session.region_name}, by {caller['Arn']}."


if __name__ == "__main__":
    sys.exit(main())
