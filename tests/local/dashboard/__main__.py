"""Draw the dashboard of template.yaml on the fortieth day of a stack: `python -m tests.local.dashboard`."""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.local.aws import template
from tests.local.aws.secrets_manager import REGION, LocalSecretsManager
from tests.local.dashboard.drawing import draw
from tests.local.dashboard.month import STACK, played

SPAN = timedelta(days=30)
"""The time that the dashboard shows when it is opened; its `start` says the same."""


def body() -> tuple[dict[str, Any], str]:
    """Return what the template deploys as dashboard, and the name of the log group."""
    values = {"${AWS::StackName}": STACK, "${AWS::Region}": REGION, "${LogGroup}": f"{STACK}-LogGroup"}
    text: str = template.load(template.SOURCE)["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    for name, value in values.items():
        text = text.replace(name, value)
    return json.loads(text), values["${LogGroup}"]


def main(words: Sequence[str] | None = None) -> int:
    """Write the file, and say where it is."""
    parser = argparse.ArgumentParser(prog="python -m tests.local.dashboard", description=(__doc__ or "").strip())
    parser.add_argument("--output", type=Path, default=Path(".local/dashboard.svg"), help="%(default)s")
    output: Path = parser.parse_args(words).output
    with LocalSecretsManager(attempts=1) as service:
        month = played(service)
    dashboard, log_group = body()
    output.write_text(draw(dashboard, log_group, month.entries, month.end - SPAN, month.end))
    print(output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
