"""What does the state machine that rotates many secrets ask of its own function?

    plan    list the secrets, find their servers, write the plan
    look    tell whether a secret's new version is current; write it down if so
    fail    write down why a secret was not rotated

Each can be repeated. The function lists and describes secrets, and reads none.
"""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from botocore.config import Config

from rotation.aws import CONFIG, call_aws, own_clients, session
from rotation.deadline import Deadline
from rotation.environment import invalid
from rotation.errors import InvalidEvent, OutOfTime, RotationError, ServiceFailed
from rotation.event import Look
from rotation.fleet import outcome
from rotation.fleet.files import THREADS, Files, outcome_key, side_by_side
from rotation.fleet.plan import Wish, by_function, choose, grouped, tagged_server, tolerated
from rotation.lambda_handler import logger
from rotation.watch.attached import AttachedSecret, attached_secrets, functions_of_stack
from rotation.watch.attaching import Lambda
from rotation.watch.invocation import attempted, seconds_left

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext

type Event = Mapping[str, Any]
type Answer = dict[str, Any]

SERVER_SECONDS = 20.0
"""How long one function can take to name the server of a secret: it can have to be started."""
SERVER_CONFIG = CONFIG.merge(Config(max_pool_connections=THREADS))


def rotate_all_handler() -> "Callable[[object, LambdaContext], Answer]":
    """Return the function that Step Functions calls. It logs and raises the error, if there is one."""

    def handler(event: object, context: "LambdaContext") -> Answer:
        answer = attempted(lambda: _answer(event, Deadline(seconds_left(context))))
        # Raised here, outside of any `except`: the error carries no chain to another exception.
        if isinstance(answer, RotationError):
            said = {"error": type(answer).__name__, "cause": answer.cause, "remedy": answer.remedy}
            logger.error(str(answer), extra=said)
            raise answer
        return answer

    return handler


def _answer(event: object, deadline: Deadline) -> Answer:
    acts = {"plan": _plan, "look": _look, "fail": _fail}
    if not isinstance(event, dict) or event.get("Act") not in acts:
        raise InvalidEvent("reading the event", f'its "Act" is none of {", ".join(acts)}', "Run make rotate-all")
    return acts[event["Act"]](event, deadline)


def _plan(event: Event, deadline: Deadline) -> Answer:
    """Write the plan; return where it is, and what is in it."""
    wish, files = Wish.parse(event["Wish"]), _files(event["Run"], deadline)
    listed = files.read(wish.listed) if wish.listed else ()
    if wish.rest:
        listed = _files(wish.rest, deadline).planned()
    chosen = choose(_attached(deadline), wish, listed)
    servers = grouped(chosen.rotating, _servers(chosen.rotating, deadline))
    key = files.write_plan(servers, wish, chosen.missing)
    logger.info(f"planned {event['Run']}: {len(chosen.rotating)} secrets on {len(servers)} servers")
    return {
        "Run": event["Run"],
        "Bucket": files.bucket,
        "Key": key,
        "Secrets": len(chosen.rotating),
        "Servers": len(servers),
        "Unknown": sum(len(server.secrets) for server in servers if not server.is_known),
        "Functions": by_function(chosen.rotating),
        "Done": chosen.done,
        "Off": chosen.off,
        "Missing": len(chosen.missing),
        "AtOnce": wish.at_once,
        "ServersAtOnce": wish.servers_at_once,
        "Tolerated": tolerated(len(servers), wish.tolerated),
    }


def _look(event: Event, deadline: Deadline) -> Answer:
    """Return the state of a rotation; once it has ended well, that is written down."""
    item = event["Item"]
    arn = item["SecretId"]
    describe = partial(own_clients().secrets_manager.describe_secret, SecretId=arn)
    labels = call_aws(describe, deadline, f"looking at {arn}", "secretsmanager:DescribeSecret")
    began = datetime.fromisoformat(event["Began"])
    found = outcome.state(labels.get("VersionIdsToStages", {}), item["Token"], began, datetime.now(UTC))
    if found is outcome.State.ROTATED:
        _files(item["Run"], deadline).write(outcome_key(item, "rotated"), {"SecretId": arn, "Server": item["Server"]})
    return {"State": str(found)}


def _fail(event: Event, deadline: Deadline) -> Answer:
    """Write down why a secret was not rotated; return it."""
    item = event["Item"]
    why = outcome.failure(item["SecretId"], item)
    _files(item["Run"], deadline).write(
        outcome_key(item, "failed"), {"SecretId": item["SecretId"], "Server": item["Server"], **why}
    )
    logger.error(
        f"rotating {item['SecretId']} with many others: {why['Cause']}",
        extra={"secret_arn": item["SecretId"], **{name.lower(): text for name, text in why.items()}},
    )
    return {"Error": why["Error"]}


def _attached(deadline: Deadline) -> list[AttachedSecret]:
    is_ours = functions_of_stack(_given("ROTATION_FUNCTION_PREFIX"))
    return attached_secrets(own_clients().secrets_manager, is_ours, deadline)


def _servers(secrets: Sequence[AttachedSecret], deadline: Deadline) -> dict[str, str]:
    """Return the server of each secret, by ARN; empty if its function does not name it."""
    client = cast("Lambda", session().create_client("lambda", config=SERVER_CONFIG))
    names = side_by_side(lambda secret: tagged_server(secret) or _server(client, secret, deadline), secrets)
    return dict(zip((secret.arn for secret in secrets), names, strict=True))


def _server(client: Lambda, secret: AttachedSecret, deadline: Deadline) -> str:
    """Ask a rotation function for a secret's server. What it cannot read fails later, and alone."""
    operation = f"asking for the server of {secret.arn}"
    payload = json.dumps({"Step": Look.SERVER, "SecretId": secret.arn}).encode()
    invoke = partial(client.invoke, FunctionName=secret.function_arn, Payload=payload)
    try:
        answer = call_aws(invoke, deadline.at_most(SERVER_SECONDS), operation, "lambda:InvokeFunction")
    except (ServiceFailed, OutOfTime) as error:
        logger.warning(str(error), extra={"secret_arn": secret.arn})
        return ""
    said = json.loads(answer["Payload"].read())
    return str(said.get("Server", "")) if isinstance(said, dict) else ""


def _files(run: str, deadline: Deadline) -> Files:
    return Files(_given("ROTATE_ALL_BUCKET"), run, deadline)


def _given(name: str) -> str:
    if not (text := os.environ.get(name)):
        raise invalid(name, "it is missing or empty")
    return text
