"""Which secrets are to be rotated, and how many at a time?

The secrets of one server are rotated a few at a time, because each rotation logs in several times. Which server a
secret is for stands in its value, which only its rotation function can read. So the function is asked, unless the
secret has the tag `secret-rotation-server`: its value then names the server, for people and for this. Two names of one
server are two servers here; the tag makes them one.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from rotation.errors import InvalidEvent
from rotation.watch.attached import AttachedSecret

SERVER_TAG = "secret-rotation-server"

MOST_AT_ONCE, MOST_SERVERS = 20, 500
"""Bounds: of secrets of one server, and of servers. An account can have 1,000 open map runs: one for each server
(https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html)."""


@dataclass(frozen=True)
class Wish:
    """What an operator wants rotated. An empty part leaves nothing out."""

    tag: str = ""
    """`key` or `key=value`."""
    prefix: str = ""
    engine: str = ""
    """As the stack names its function, in any letters' case: postgresql and so on."""
    listed: str = ""
    """The key of a file in the bucket: a JSON list of ARNs or names."""
    since: datetime | None = None
    """Leaves out what was rotated at this time or later: an earlier run has done it."""
    at_once: int = 2
    """How many secrets of one server are rotated at the same time."""
    servers_at_once: int = 20
    tolerated: int = 10
    """How many percent of the secrets of a server, and of the servers, can fail."""

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> Self:
        """Read the input of an execution. Raises InvalidEvent."""
        since = said.get("Since", "")
        try:
            return cls(
                tag=str(said.get("Tag", "")),
                prefix=str(said.get("Prefix", "")),
                engine=str(said.get("Engine", "")),
                listed=str(said.get("Listed", "")),
                since=datetime.fromisoformat(since) if since else None,
                at_once=_within(said, "AtOnce", cls.at_once, MOST_AT_ONCE),
                servers_at_once=_within(said, "ServersAtOnce", cls.servers_at_once, MOST_SERVERS),
                tolerated=_within(said, "Tolerated", cls.tolerated, 100, least=0),
            )
        except (TypeError, ValueError) as error:
            raise InvalidEvent("reading what is to be rotated", str(error), "Run make rotate-all") from None

    def means(self, secret: AttachedSecret, listed: Container[str]) -> bool:
        """Tell whether a secret is meant, whether or not it was rotated meanwhile."""
        key, _, value = self.tag.partition("=")
        return (
            secret.name.startswith(self.prefix)
            and (not self.engine or _engine(secret.function_arn) == self.engine.lower())
            and (not self.tag or any(key == own and value in ("", text) for own, text in secret.tags))
            and (not self.listed or secret.arn in listed or secret.name in listed)
        )

    def is_done(self, secret: AttachedSecret) -> bool:
        """Tell whether an earlier run has rotated it."""
        return bool(self.since and secret.last_rotation and secret.last_rotation >= self.since)


@dataclass(frozen=True)
class Choice:
    """The secrets that are meant."""

    rotating: Sequence[AttachedSecret]
    done: int = 0
    """How many were rotated since the time that was given."""
    off: int = 0
    """How many are left out because their rotation is off: to rotate them would switch it on."""


def choose(secrets: Iterable[AttachedSecret], wish: Wish, listed: Sequence[str] = ()) -> Choice:
    """Return the secrets that are to be rotated."""
    names = frozenset(listed)
    meant = [secret for secret in secrets if wish.means(secret, names)]
    on = [secret for secret in meant if secret.rotation_enabled]
    rotating = [secret for secret in on if not wish.is_done(secret)]
    return Choice(rotating, len(on) - len(rotating), len(meant) - len(on))


@dataclass(frozen=True)
class Server:
    """The secrets of one database server."""

    name: str
    """`host:port`, the value of the tag, or `unknown (function)`."""
    is_known: bool
    secrets: Sequence[AttachedSecret]


def grouped(secrets: Iterable[AttachedSecret], servers: Mapping[str, str]) -> list[Server]:
    """Return the secrets by server. `servers` has the server of each secret that was found, by ARN."""
    groups: defaultdict[tuple[str, bool], list[AttachedSecret]] = defaultdict(list)
    for secret in secrets:
        found = servers.get(secret.arn, "")
        groups[found or f"unknown ({_function(secret)})", bool(found)].append(secret)
    return [Server(name, known, members) for (name, known), members in sorted(groups.items())]


def tagged_server(secret: AttachedSecret) -> str:
    """Return the server that a secret's tag names; empty if it has no such tag."""
    return dict(secret.tags).get(SERVER_TAG, "")


def tolerated(number: int, percent: int) -> int:
    """Return how many of so many can fail until the rest is left alone.

    One failure stops nobody else, so that the smallest server is not left because of it. Of one, none is tolerated: a
    server whose only secret fails counts as failed.
    """
    return max(1, number * percent // 100) if number > 1 else 0


def token(run: str, arn: str) -> str:
    """Return the id of the version that a run makes of a secret: a repeated call rotates nothing twice."""
    return hashlib.sha256(f"{run} {arn}".encode()).hexdigest()


def by_function(secrets: Iterable[AttachedSecret]) -> dict[str, int]:
    """Return how many secrets each function rotates, by its name."""
    return dict(sorted(Counter(map(_function, secrets)).items()))


def _function(secret: AttachedSecret) -> str:
    return secret.function_arn.rpartition(":")[2]


def _engine(function_arn: str) -> str:
    return function_arn.rpartition("-")[2].lower()


def _within(said: Mapping[str, Any], name: str, default: int, most: int, least: int = 1) -> int:
    number = said.get(name, default)
    if not isinstance(number, int) or not least <= number <= most:
        raise ValueError(f"{name} is no number from {least} to {most}")
    return int(number)
