"""Which secrets are to be rotated, and how many at a time?

The secrets of one server are rotated a few at a time, because each rotation logs in several times. Which server a
secret is for stands in its value, which only its rotation function can read. So the function is asked, unless the
secret has the tag `secret-rotation-server`: its value then names the server, for people and for this. Two names of one
server are two servers here; the tag makes them one.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Self

from rotation.errors import InvalidEvent
from rotation.values import dataclass
from rotation.watch.attached import AttachedSecret

SERVER_TAG = "secret-rotation-server"

MOST_AT_ONCE, MOST_SERVERS = 20, 500
"""Bounds: of secrets of one server, and of servers. An account can have 1,000 open map runs: one for each server
(https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html)."""


@dataclass(frozen=True)
class Wish:
    """What an operator wants rotated. An empty part leaves nothing out."""

    tag: str = ""
    """`key` or `key=value`; a key can have `=` in it."""
    prefix: str = ""
    engine: str = ""
    """As the stack names its function, in any letters' case: postgresql and so on."""
    listed: str = ""
    """The key of a file in the bucket: a JSON list of ARNs or names."""
    rest: str = ""
    """The name of an earlier run: what it planned, or what was named to it in vain, and it has not rotated."""
    at_once: int = 2
    """How many secrets of one server are rotated at the same time."""
    servers_at_once: int = 20
    tolerated: int = 10
    """How many percent of the secrets of a server, and of the servers, can fail."""

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> Self:
        """Read the input of an execution. Raises InvalidEvent."""
        try:
            return cls(
                tag=str(said.get("Tag", "")),
                prefix=str(said.get("Prefix", "")),
                engine=str(said.get("Engine", "")),
                listed=str(said.get("Listed", "")),
                rest=str(said.get("Rest", "")),
                at_once=_within(said, "AtOnce", cls.at_once, MOST_AT_ONCE),
                servers_at_once=_within(said, "ServersAtOnce", cls.servers_at_once, MOST_SERVERS),
                tolerated=_within(said, "Tolerated", cls.tolerated, 100, least=0),
            )
        except (TypeError, ValueError) as error:
            raise InvalidEvent("reading what is to be rotated", str(error), "Run make rotate-all") from None

    def means(self, secret: AttachedSecret, listed: Container[str]) -> bool:
        """Tell whether a secret is meant, whether or not it was rotated meanwhile."""
        return (
            secret.name.startswith(self.prefix)
            and (not self.engine or _engine(secret.function_arn) == self.engine.lower())
            and (not self.tag or any(self.tag in (key, f"{key}={text}") for key, text in secret.tags))
            and (not self.has_list or secret.arn in listed or secret.name in listed)
        )

    @property
    def has_list(self) -> bool:
        """Whether only secrets of a list are meant: that of a file, or of an earlier run."""
        return bool(self.listed or self.rest)

    def is_done(self, secret: AttachedSecret) -> bool:
        """Tell whether the earlier run has rotated it: its version is current.

        The date of the last rotation does not tell that. An interrupted rotation can have ended since, with a password
        that it made before.
        """
        return bool(self.rest) and secret.current_version == token(self.rest, secret.arn)


@dataclass(frozen=True)
class Choice:
    """The secrets that are meant."""

    rotating: Sequence[AttachedSecret]
    done: int = 0
    """How many the earlier run has rotated."""
    off: int = 0
    """How many are left out because their rotation is off: to rotate them would switch it on. With a list: 0."""
    missing: Sequence[str] = ()
    """What the list names, and is no secret that rotates with the stack: it is not there, or off."""


def choose(secrets: Iterable[AttachedSecret], wish: Wish, listed: Sequence[str] = ()) -> Choice:
    """Return the secrets that are to be rotated."""
    secrets, names = list(secrets), frozenset(listed)
    meant = [secret for secret in secrets if wish.means(secret, names)]
    on = [secret for secret in meant if secret.rotation_enabled]
    off = [secret for secret in meant if not secret.rotation_enabled]
    rotating = [secret for secret in on if not wish.is_done(secret)]
    missing = names - _names(secrets) | names & _names(off)
    return Choice(rotating, len(on) - len(rotating), 0 if wish.has_list else len(off), sorted(missing))


def _names(secrets: Iterable[AttachedSecret]) -> frozenset[str]:
    """Return all that a list can call them."""
    return frozenset(name for secret in secrets for name in (secret.arn, secret.name))


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
        found = _plain(servers.get(secret.arn, ""))
        groups[found or f"unknown ({_function(secret)})", bool(found)].append(secret)
    return [Server(name, known, members) for (name, known), members in sorted(groups.items())]


def _plain(server: str) -> str:
    """Return the name of a server, without what makes two names of one: capitals, blanks, the dot of the DNS's root."""
    host, colon, port = server.strip().lower().rpartition(":")
    return f"{host.rstrip('.')}{colon}{port.rstrip('.')}"


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
