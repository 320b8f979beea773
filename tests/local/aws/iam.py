"""May a role make a call? What IAM decides about the policies of a role, and nothing that it would only guess.

A call is allowed if a statement says Allow to its action, on its resource, under its conditions, and none says Deny
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html). Of the policy language,
this knows what the project's policies need. Anything else in them raises Unsupported: no statement is ever passed
over, or taken to mean less than it says.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

FOR_ALL, FOR_ANY = "ForAllValues:", "ForAnyValue:"
ELEMENTS = frozenset({"Sid", "Effect", "Action", "Resource", "Condition"})


type Value = str | tuple[str, ...] | None
"""What a call has for a key: some keys have several values."""


class Unsupported(Exception):
    """A policy says something that this module does not know."""


@dataclass(frozen=True)
class Request:
    """One call, as IAM sees it."""

    action: str
    resource: str
    """The ARN; `*` if the action has no resource."""
    context: Mapping[str, Value] = field(default_factory=dict)
    """What conditions may ask for: every key that is known of such a call, None if this one has no value for it.

    `aws:ResourceTag/*` says that all tags are known: a tag that is not there has no value."""


class AccessDenied(Exception):
    """No statement allows the call, or one denies it; said in AWS's words, as far as the reason."""

    def __init__(self, user: str, request: Request, *, explicit: bool) -> None:
        """`explicit`: a statement denies it."""
        reason = (
            "with an explicit deny in an identity-based policy"
            if explicit
            else f"because no identity-based policy allows the {request.action} action"
        )
        super().__init__(
            f"User: {user} is not authorized to perform: {request.action} on resource: {request.resource} {reason}"
        )
        self.request = request


@dataclass(frozen=True)
class Statement:
    """One statement of a policy."""

    sid: str
    allows: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple["Condition", ...]

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """Read a statement. Raises Unsupported."""
        if unknown := document.keys() - ELEMENTS:
            raise Unsupported(f"a statement has {', '.join(sorted(unknown))}: {document}")
        if not document.get("Sid"):
            raise Unsupported(f"a statement has no Sid to be named by: {document}")
        return cls(
            sid=document["Sid"],
            allows={"Allow": True, "Deny": False}[document["Effect"]],
            actions=as_tuple(document["Action"]),
            resources=tuple(map(_checked, as_tuple(document["Resource"]))),
            conditions=tuple(
                Condition.parse(operator, key, values)
                for operator, keys in document.get("Condition", {}).items()
                for key, values in keys.items()
            ),
        )

    def is_about(self, request: Request) -> bool:
        """Tell whether the call is one that this statement allows or denies. Raises Unsupported."""
        return (
            any(_matches(action.lower(), request.action.lower()) for action in self.actions)
            and any(_matches_arn(resource, request.resource) for resource in self.resources)
            and all(condition.holds(request) for condition in self.conditions)
        )


@dataclass(frozen=True)
class Condition:
    """One key of a statement's conditions: the call's value has to match one of those that are listed."""

    operator: str
    key: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, operator: str, key: str, values: object) -> Self:
        """Read a condition. Raises Unsupported."""
        if _plain(operator) not in OPERATORS:
            raise Unsupported(f"the condition operator {operator}")
        return cls(operator, key, tuple(map(_checked, as_tuple(values))))

    def holds(self, request: Request) -> bool:
        """Compare with the call. Raises Unsupported: nobody knows what the call's value is."""
        context = {key.lower(): value for key, value in request.context.items()}
        known = {self.key.lower(), f"{self.key.lower().partition('/')[0]}/*"}
        if not known & context.keys():
            raise Unsupported(f"a condition on {self.key}, which nobody knows of a call of {request.action}")
        value = context.get(self.key.lower())
        if self.operator.startswith(FOR_ALL):
            return all(self._matches(one) for one in as_tuple(value or []))
        if self.operator.startswith(FOR_ANY):
            return any(self._matches(one) for one in as_tuple(value or []))
        if isinstance(value, tuple):
            raise Unsupported(f"the operator {self.operator} on {self.key}, which has several values")
        return self._matches(value)

    def _matches(self, value: str | None) -> bool:
        matches = OPERATORS[_plain(self.operator)]
        if "Not" in self.operator and len(self.values) > 1:
            raise Unsupported(f"{self.operator} of several values")
        return any(matches(wanted, value) for wanted in self.values)


@dataclass(frozen=True)
class Permission:
    """A statement's right to one action: the smallest thing that a policy could do without."""

    sid: str
    action: str


@dataclass(frozen=True)
class Role:
    """What somebody may do who has this role, and what they did with it."""

    name: str
    session: str
    """The ARN of the session in which a function has the role: who it is, in AWS's messages."""
    statements: tuple[Statement, ...]
    used: dict[Permission, list[Request]] = field(default_factory=dict)
    """The calls that were allowed, by the permission that it took. Where several allow a call, each could go."""
    refused: list[Request] = field(default_factory=list)
    """The calls that were not."""

    @classmethod
    def of(cls, name: str, session: str, documents: Iterable[Mapping[str, Any]]) -> Self:
        """Read the documents of all policies of a role. Raises Unsupported."""
        statements = [statement for document in documents for statement in document["Statement"]]
        return cls(name, session, tuple(map(Statement.parse, statements)))

    def authorize(self, request: Request) -> None:
        """Return if the call is allowed, and note by what; else note the call. Raises AccessDenied, Unsupported."""
        statements = [statement for statement in self.statements if statement.is_about(request)]
        denied = not all(statement.allows for statement in statements)
        if denied or not statements:
            self.refused.append(request)
            raise AccessDenied(self.session, request, explicit=denied)
        if len(statements) == 1:
            for permission in _permissions(statements[0], request):
                self.used.setdefault(permission, []).append(request)

    def allows(self, request: Request) -> bool:
        """Tell whether the call would be allowed; remember nothing. Raises Unsupported."""
        statements = [statement for statement in self.statements if statement.is_about(request)]
        return bool(statements) and all(statement.allows for statement in statements)

    def permissions(self) -> Iterator[Permission]:
        """Yield all that the role's statements allow."""
        for statement in self.statements:
            if statement.allows:
                yield from (Permission(statement.sid, action) for action in statement.actions)


def as_tuple(value: object) -> tuple[str, ...]:
    """One or several, as several."""
    return tuple(map(str, value)) if isinstance(value, (list, tuple)) else (str(value),)


def _permissions(statement: Statement, request: Request) -> Iterator[Permission]:
    for action in statement.actions:
        if _matches(action.lower(), request.action.lower()):
            yield Permission(statement.sid, action)


def _plain(operator: str) -> str:
    return operator.removeprefix(FOR_ALL).removeprefix(FOR_ANY)


def _checked(pattern: str) -> str:
    if "${" in pattern:
        raise Unsupported(f"the policy variable in {pattern}")
    return pattern


def _matches(pattern: str, text: str) -> bool:
    """Compare with a pattern in which `*` is any text and `?` any character."""
    expression = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _matches_arn(pattern: str, text: str) -> bool:
    """Compare each of an ARN's six parts: no wildcard reaches beyond its own."""
    if pattern == "*":
        return True
    patterns, parts = pattern.split(":", 5), text.split(":", 5)
    return len(patterns) == len(parts) and all(map(_matches, patterns, parts))


def _if_there(matches: Callable[[str, str], bool]) -> Callable[[str, str | None], bool]:
    return lambda wanted, value: value is not None and matches(wanted, value)


OPERATORS: Mapping[str, Callable[[str, str | None], bool]] = {
    "StringEquals": _if_there(str.__eq__),
    "StringLike": _if_there(_matches),
    "ArnEquals": _if_there(_matches_arn),
    "ArnLike": _if_there(_matches_arn),
    "ArnNotLike": lambda wanted, value: value is None or not _matches_arn(wanted, value),
    "Bool": _if_there(lambda wanted, value: wanted.lower() == value.lower()),
    "Null": lambda wanted, value: (wanted.lower() == "true") == (value is None),
}
"""The call's value, if it has one, against one that is wanted. Several values are alternatives;
of one that negates, a statement has one."""
