"""How is a secret attached, detached, and asked for its engine?

Each secret gets a time of its own, so that one that AWS does not answer for does not use up the time of all others.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol, cast

from botocore.exceptions import ClientError

from rotation.aws import call_aws, new_client
from rotation.deadline import Deadline
from rotation.errors import NotAttachable
from rotation.values import dataclass
from rotation.watch.attached import DETACHED
from rotation.watch.by_tag import Act, Stack, TaggedSecret, decide, is_attached_by_tag, operation
from rotation.watch.tags import AUTO, Mark, Wish

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import SecretListEntryTypeDef

SECONDS = 20.0
"""How long one secret can take."""

PAUSE = 0.2
"""Seconds before each secret that is changed: at most 5 calls of RotateSecret and CancelRotateSecret in a second, and
10 of TagResource. AWS allows 50 of each, together with everybody else's in the account and Region
(https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html). Each secret that is attached also
runs testSecret, which logs in to a database."""

LISTING = "listing the secrets that carry the tag"


class Lambda(Protocol):
    """The part of botocore's client of Lambda that is used here."""

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Mapping[str, Any]:  # noqa: N803 - botocore's names
        """Invoke a function and wait for its answer."""


@dataclass(frozen=True)
class Attaching:
    """The calls for the secrets of one stack."""

    client: "SecretsManagerClient"
    stack: Stack
    seconds_left: Callable[[], float]

    @cached_property
    def deadline(self) -> Deadline:
        """The end of the whole run."""
        return Deadline(self.seconds_left)

    def has_time(self) -> bool:
        """Tell whether another secret can be begun."""
        return self.deadline.left() > SECONDS + PAUSE

    def tagged_secrets(self) -> "Iterator[TaggedSecret]":
        """Yield the secrets that carry the tag, or our mark; changes of the last five minutes can be missing.

        Our mark's key begins with that of the tag, and the filter finds keys by their beginning.
        """
        for entry in self._entries():
            secret = TaggedSecret.parse(entry)
            if {self.stack.keys.engine, self.stack.keys.attached} & secret.tags.keys():
                yield secret

    def settle(self, arn: str) -> Act:
        """Do what is to be done with one secret as it is now; return what was done. Raises RotationError.

        The list of secrets can be five minutes old, a description is not. Can be repeated, also after it was killed.
        """
        self.deadline.pause(PAUSE, LISTING)
        start = max(0.0, self.seconds_left() - SECONDS)
        return _One(self.client, self.stack, Deadline(lambda: self.seconds_left() - start)).settle(arn)

    def _entries(self) -> "Iterator[SecretListEntryTypeDef]":
        page: dict[str, str] = {}
        filters: Any = [{"Key": "tag-key", "Values": [self.stack.keys.engine]}]
        while True:
            call = partial(self.client.list_secrets, MaxResults=100, Filters=filters, **page)  # type: ignore[arg-type]  # a plain dict
            answer = call_aws(
                call,
                self.deadline,
                LISTING,
                "secretsmanager:ListSecrets",
                if_denied="Allow secretsmanager:ListSecrets to this function's role",
            )
            yield from answer["SecretList"]
            if not answer.get("NextToken"):
                return
            page = {"NextToken": answer["NextToken"]}


@dataclass(frozen=True)
class _One:
    """The calls for one secret."""

    client: "SecretsManagerClient"
    stack: Stack
    deadline: Deadline

    def settle(self, arn: str) -> Act:
        if (secret := self._described(arn)) is None:
            return Act.NOTHING
        act = decide(secret, self.stack)
        match act:
            case Act.ATTACH:
                self._attach(secret, self.stack.wish(secret))
            case Act.DETACH:
                self._call(secret, "CancelRotateSecret", partial(self.client.cancel_rotate_secret, SecretId=secret.arn))
                self._write(secret, DETACHED)
            case Act.CLEAR:
                self._write(secret, "" if secret.rotates else DETACHED)
        return act

    def _described(self, arn: str) -> TaggedSecret | None:
        """Return the secret as it is now; None if it is gone: the list can be older than its deletion."""
        call = partial(self.client.describe_secret, SecretId=arn)
        operation, gone = f"attaching {arn} by its tag", ("ResourceNotFoundException",)
        try:
            answer = call_aws(call, self.deadline, operation, "secretsmanager:DescribeSecret", expected=gone)
        except ClientError:
            return None
        return TaggedSecret.parse(answer)

    def _attach(self, secret: TaggedSecret, wish: Wish) -> None:
        mark = Mark(self._function(secret, wish))
        # What the tag has already attached was rotated then, if that was asked for.
        immediately = wish.immediately and not is_attached_by_tag(secret, self.stack)
        if self.stack.mark(secret) != mark:
            self._write(secret, str(mark))
        self._call(
            secret,
            "RotateSecret",
            partial(
                self.client.rotate_secret,
                SecretId=secret.arn,
                RotationLambdaARN=mark.function_arn,
                RotationRules={"ScheduleExpression": wish.rules.schedule, "Duration": wish.rules.window},
                RotateImmediately=immediately,
            ),
        )
        self._write(secret, str(replace(mark, digest=wish.rules.digest)))

    def _function(self, secret: TaggedSecret, wish: Wish) -> str:
        if wish.engine != AUTO:
            return self.stack.function_of(wish.engine, secret)
        if is_attached_by_tag(secret, self.stack):
            return secret.function_arn
        return self.stack.function_of(engine_of(secret, self.deadline), secret)

    def _write(self, secret: TaggedSecret, mark: str) -> None:
        tag = {"Key": self.stack.keys.attached, "Value": mark}
        # The answer is empty by itself, which call_aws would take for one that was cut off.
        self._call(
            secret,
            "TagResource",
            lambda: {"done": True, **self.client.tag_resource(SecretId=secret.arn, Tags=[tag])},  # type: ignore[list-item]  # a plain dict
        )

    def _call(self, secret: TaggedSecret, name: str, call: Callable[[], Mapping[str, object]]) -> None:
        permission = f"secretsmanager:{name}"
        call_aws(call, self.deadline, operation(secret), permission, if_denied=_if_denied(permission))


def engine_of(secret: TaggedSecret, deadline: Deadline) -> str:
    """Return the engine that the secret's JSON names, as a value of the tag. Raises RotationError.

    The one function that can read the secret is asked, and it says nothing else.
    """
    client = cast("Lambda", new_client("lambda"))
    payload = json.dumps({"SecretId": secret.arn}).encode()
    call = partial(client.invoke, FunctionName=os.environ["ENGINE_FUNCTION_ARN"], Payload=payload)
    answer = call_aws(call, deadline, operation(secret), "lambda:InvokeFunction")
    said = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        cause, remedy = "its engine could not be read", "Find the cause in the ERROR line of the engine's function"
        raise NotAttachable(operation(secret), cause, remedy)
    if not said.get("engine"):
        raise NotAttachable(operation(secret), said["cause"], said["remedy"])
    return str(said["engine"])


def _if_denied(permission: str) -> str:
    if permission == "secretsmanager:RotateSecret":
        return (
            f"Allow {permission} and lambda:InvokeFunction to this function's role, and the invocation of the rotation "
            "function to secretsmanager.amazonaws.com"
        )
    return f"Allow {permission} to this function's role"
