"""Rotate many secrets of a stack at once, for example after a leak: `python -m operations.rotate_all`.

A state machine of the stack plans the rotations, and the command shows how many secrets, functions and servers they
are, and asks. Then the state machine rotates them, a few of each server at a time, and the command shows how far it is.
At the end it writes a report: each secret, whether it was rotated, and if not, why.

The state machine goes on if the command is interrupted; --run follows it again. What failed, or was not tried, is
rotated by the command with --rest: it rotates what a run planned, and has not rotated.
"""

import argparse
import json
import shlex
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operations import functions, rotation_report
from operations.calls import Stopped, called, new_session
from operations.person import Person, Terminal
from rotation.errors import RotationError, ServiceFailed
from rotation.fleet.files import FOLDER, SERVERS
from rotation.fleet.outcome import message

NOT_ROTATED, NOT_STARTED = 1, 2
"""The exit codes of a run after which a secret is not rotated, and of one that was not begun."""

SECONDS_BETWEEN_LOOKS = 5.0
OPERATION = "rotating many secrets"
ROTATES = "rotate"
"""The last word of the name of an execution that rotates; one that plans has none."""

type Client = Any
"""A client of Step Functions or S3: boto3's, which have no types here."""


@dataclass(frozen=True)
class Plan:
    """What the state machine has planned."""

    output: dict[str, Any]
    """As `rotation.fleet.handler` returns it: the input of the execution that rotates."""

    @property
    def run(self) -> str:
        """The run's name: its files in the bucket have it."""
        return str(self.output["Run"])

    @property
    def secrets(self) -> int:
        """How many secrets are to be rotated."""
        return int(self.output["Secrets"])

    @property
    def fits_none(self) -> bool:
        """Whether no secret is meant at all: a slip of the pen, or the wrong account."""
        return not any(self.output[name] for name in ("Secrets", "Missing", "Done", "Off"))

    @property
    def missing(self) -> int:
        """How many secrets were named that do not rotate with the stack."""
        return int(self.output["Missing"])


@dataclass(frozen=True)
class RotateAll:
    """One run of the command."""

    states: Client
    s3: Client
    machine: str
    bucket: str
    person: Person
    asks: bool = True
    seconds_between_looks: float = SECONDS_BETWEEN_LOOKS

    def plan(self, wish: dict[str, object], listed: Sequence[str] = ()) -> Plan:
        """Let the state machine plan; return the plan. Nothing is rotated. Raises ServiceFailed."""
        run = f"run-{uuid.uuid4()}"
        if listed:
            wish = {**wish, "Listed": f"{FOLDER}/{run}/list.json"}
            self._upload(str(wish["Listed"]), json.dumps(listed))
        self._start(run, wish)
        return self.planned(run)

    def require_plan(self, run: str) -> None:
        """Raise ServiceFailed if an earlier run has none. The function could not tell: it must not list the bucket."""
        rotation_report.Bucket(self.s3, self.bucket).read(f"{FOLDER}/{run}/{SERVERS}")

    def planned(self, run: str) -> Plan:
        """Return the plan of a run, once it is made. Raises ServiceFailed."""
        ended = self._wait(run)
        if ended["status"] != "SUCCEEDED":
            raise ServiceFailed("planning the rotations", _cause(ended), "Correct the cause, then run this again")
        return Plan(json.loads(ended["output"]))

    def show(self, plan: Plan) -> None:
        """Say what would be rotated."""
        said = plan.output
        self.person.tell(f"{said['Secrets']} secrets on {said['Servers']} servers ({plan.run}):")
        for name, number in said["Functions"].items():
            self.person.tell(f"  {number} with {name}")
        self.person.tell(
            f"At most {said['AtOnce']} secrets of one server at a time, and {said['ServersAtOnce']} servers."
        )
        for number, what in (
            (said["Unknown"], "are for a server that their function does not name: one at a time"),
            (said["Done"], "are left out: the earlier run has rotated them"),
            (said["Off"], "are left out: their rotation is off"),
            (said["Missing"], "were named, and rotate with no function of the stack, or are off; the report has them"),
        ):
            if number:
                self.person.tell(f"{number} secrets {what}.")

    def rotate(self, plan: Plan) -> None:
        """Rotate what is planned, and show how far it is, until the state machine has ended. Can be repeated.

        Raises Stopped if the operator says so, or if another run rotates; ServiceFailed.
        """
        name = f"{plan.run}-{ROTATES}"
        if self.asks and self.person.ask("Rotate them now? yes or no: ") != "yes":
            raise Stopped(OPERATION, "you did not say yes, so nothing was rotated", "Run this again")
        self._require_alone(name, plan)  # after the answer, which can take an hour
        if self._start(name, plan.output):
            self.person.tell(f"They rotate. If you interrupt this, it goes on; follow it with --run {plan.run}")
            self.person.tell(f"To stop it: aws stepfunctions stop-execution --execution-arn {self._arn(name)}")
        else:
            self.person.tell("This run was begun before: nothing is rotated anew")
        ended = self._wait(name, plan)
        if ended["status"] != "SUCCEEDED":
            self.person.tell(f"It has stopped: {_cause(ended)}")

    def report(self, plan: Plan, path: Path) -> int:
        """Write the report; return how many secrets are not rotated. Raises ServiceFailed."""
        rows = rotation_report.rows(rotation_report.Bucket(self.s3, self.bucket), plan.run, plan.output["Key"])
        if len(rows) != plan.secrets + plan.missing:
            cause = f"{plan.secrets + plan.missing} secrets were planned, and the bucket has {len(rows)}"
            raise ServiceFailed(
                "reading the report", cause, "Find out who can write into the bucket, then run this anew"
            )
        try:
            rotation_report.write(rows, path)
        except OSError as error:
            remedy = f"Name another file with --report, and this run with --run {plan.run}"
            raise Stopped(f"writing {path}", str(error.strerror), remedy) from None
        rotated = sum(row.outcome == rotation_report.ROTATED for row in rows)
        self.person.tell(f"{rotated} of {len(rows)} secrets are rotated. The report: {path}")
        return len(rows) - rotated

    def _start(self, name: str, value: object) -> bool:
        """Start an execution, unless it was started before; return whether it runs."""
        try:
            called(
                "starting the state machine",
                "states:StartExecution",
                lambda: self.states.start_execution(stateMachineArn=self.machine, name=name, input=json.dumps(value)),
            )
        except ServiceFailed as error:
            if "ExecutionAlreadyExists" not in error.cause:
                raise
            return False
        return True

    def _require_alone(self, name: str, plan: Plan) -> None:
        """Refuse to rotate while another run does: they do not know what the other one does on a server."""
        answer = called(
            "looking for other runs",
            "states:ListExecutions",
            lambda: self.states.list_executions(stateMachineArn=self.machine, statusFilter="RUNNING", maxResults=1000),
        )
        for other in (one["name"] for one in answer["executions"]):
            if other != name and other.endswith(f"-{ROTATES}"):
                run = other.removesuffix(f"-{ROTATES}")
                cause = f"{run} rotates now, and together they would rotate too many secrets of a server at once"
                raise Stopped(
                    OPERATION, cause, f"Follow it with --run {run}; then begin this one, with --run {plan.run}"
                )

    def _wait(self, name: str, plan: Plan | None = None) -> dict[str, Any]:
        """Return the description of an execution that has ended."""
        shown = ""
        while True:
            ended: dict[str, Any] = called(
                "looking at the state machine",
                "states:DescribeExecution",
                lambda: self.states.describe_execution(executionArn=self._arn(name)),
            )
            if plan and (said := self._progress(plan)) != shown:
                shown = said
                self.person.tell(said)
            if ended["status"] != "RUNNING":
                return ended
            time.sleep(self.seconds_between_looks)

    def _progress(self, plan: Plan) -> str:
        bucket = rotation_report.Bucket(self.s3, self.bucket)
        rotated, failed = (
            len(bucket.numbers(plan.run, outcome)) for outcome in (rotation_report.ROTATED, rotation_report.FAILED)
        )
        return f"  {rotated} of {plan.secrets} rotated, {failed} failed"

    def _upload(self, key: str, text: str) -> None:
        called(
            f"writing the list into the bucket {self.bucket}",
            "s3:PutObject",
            lambda: self.s3.put_object(Bucket=self.bucket, Key=key, Body=text.encode()),
        )

    def _arn(self, name: str) -> str:
        return f"{self.machine.replace(':stateMachine:', ':execution:', 1)}:{name}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0: all are rotated; 1: some are not; 2: it was not begun, or cannot be followed."""
    try:
        options = parsed(arguments)
        session = new_session(options.profile, options.region)
        machine, bucket = _machine(session.client("cloudformation"), options.stack)
        clients = session.client("stepfunctions"), session.client("s3")
        return run(RotateAll(*clients, machine, bucket, Terminal(), asks=not options.yes), options)
    except RotationError as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("Interrupted. If rotations have begun, they go on.", file=sys.stderr)
    return NOT_STARTED


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options. Raises Stopped if they do not say what is meant."""
    options = _parser().parse_args(arguments)
    _check(options)
    return options


def run(command: RotateAll, options: argparse.Namespace) -> int:
    """Plan, ask, rotate and report; return the exit code. Raises RotationError if it is not begun."""
    if options.rest:
        command.require_plan(options.rest)
    plan = command.planned(options.run) if options.run else command.plan(_wish(options), _listed(options.list))
    command.show(plan)
    if plan.fits_none:
        cause = "no secret that has a function of the stack fits the options"
        raise Stopped(OPERATION, cause, "Correct the options: capitals count in names and tags")
    if options.dry_run or not plan.secrets + plan.missing:
        return 0
    if plan.secrets:
        command.rotate(plan)
    if not command.report(plan, options.report or Path(f"{plan.run}.csv")):
        return 0
    if plan.secrets:
        command.person.tell(f"To rotate the rest, run {_again(options, plan)}")
    return NOT_ROTATED


def _machine(client: Client, stack: str) -> tuple[str, str]:
    """Return the stack's state machine and its bucket. Raises Stopped."""
    outputs = functions.outputs(client, stack, OPERATION)
    if "RotateAllMachineArn" in outputs:
        return outputs["RotateAllMachineArn"], outputs["RotateAllBucketName"]
    raise Stopped(OPERATION, f"the stack {stack} has no state machine for it", "Set RotateAllBucket, and deploy")


def _check(options: argparse.Namespace) -> None:
    which = (options.tag, options.prefix, options.engine, options.list, options.all, options.rest)
    how = (options.at_once, options.servers_at_once, options.tolerated)
    if options.run and (any(which) or any(number is not None for number in how)):
        cause = "--run goes on with a plan that was made: it says which secrets are meant, and how many at a time"
        raise Stopped(OPERATION, cause, "Leave --run out, or the other options")
    if not any((*which, options.run)):
        cause = "nothing says which secrets are meant"
        raise Stopped(OPERATION, cause, "Name --tag, --prefix, --engine, --list or --all")
    if options.rest and options.list:
        raise Stopped(OPERATION, "--rest has a list of its own: what the run planned", "Leave --list out")


def _wish(options: argparse.Namespace) -> dict[str, object]:
    said = {
        "Tag": options.tag,
        "Prefix": options.prefix,
        "Engine": options.engine,
        "Rest": options.rest,
        "AtOnce": options.at_once,
        "ServersAtOnce": options.servers_at_once,
        "Tolerated": options.tolerated,
    }
    return {name: value for name, value in said.items() if value is not None}


def _listed(path: Path | None) -> list[str]:
    """Return the secrets that a file names, one in each line. Raises Stopped."""
    if not path:
        return []
    try:
        names = path.read_text(encoding="utf-8-sig").split()
    except OSError as error:
        raise Stopped(f"reading {path}", str(error.strerror), "Name a file that can be read") from None
    except UnicodeError:
        raise Stopped(f"reading {path}", "it is no text in UTF-8", "Save it as UTF-8") from None
    if names:
        return names
    raise Stopped(f"reading {path}", "it names no secret", "Write one ARN or name in each line")


def _again(options: argparse.Namespace, plan: Plan) -> str:
    """Return the command that rotates what is left."""
    given = {name: getattr(options, name) for name in ("stack", "profile", "region")}
    words = [word for name, value in {"rest": plan.run, **given}.items() if value for word in (f"--{name}", str(value))]
    return f"make rotate-all OPERATION_ARGS={shlex.quote(shlex.join(words))}"


def _cause(ended: dict[str, Any]) -> str:
    """Return why an execution has ended."""
    said = filter(None, [ended.get("error", ""), message(ended.get("cause", ""))])
    return f"{ended['status']}: {': '.join(said) or 'no reason given'}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m operations.rotate_all",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit code: 0 if all are rotated; 1 if some are not; 2 if it was not begun, or cannot be followed."
        " docs/rotate-all.md has more.",
    )
    parser.add_argument("--tag", metavar="KEY[=VALUE]", help="the secrets with this tag")
    parser.add_argument("--prefix", help="those whose names begin so")
    parser.add_argument("--engine", help="those of postgresql, mysql, mariadb, oracle, sqlserver or db2")
    parser.add_argument(
        "--list", type=Path, metavar="FILE", help="those that a file names: an ARN or name in each line"
    )
    parser.add_argument("--all", action="store_true", help="all that rotate with the stack's functions")
    parser.add_argument(
        "--rest", metavar="NAME", help="what an earlier run planned, or was given in vain, and has not rotated"
    )
    parser.add_argument("--at-once", type=int, metavar="N", help="secrets of one server at a time; default: 2")
    parser.add_argument("--servers-at-once", type=int, metavar="N", help="servers at a time; default: 20")
    parser.add_argument(
        "--tolerated",
        type=int,
        metavar="PERCENT",
        help="how many can fail, of a server and of the servers; default: 10",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be rotated, and rotate nothing")
    parser.add_argument("--run", metavar="NAME", help="go on with, or follow, a run that was planned before")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="where the report goes; default: the run's name.csv"
    )
    parser.add_argument("--stack", default="secret-rotation", help="the name of the stack; default: %(default)s")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--profile", help="the profile of your AWS configuration")
    parser.add_argument("--region", help="the Region; otherwise that of your AWS configuration")
    return parser


if __name__ == "__main__":
    sys.exit(main())
