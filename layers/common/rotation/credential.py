"""What does a secret's JSON say, and what does a login need of it?

The keys are those of AWS's rotation templates
(https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_secret_json_structure.html), and one of our own:
`"rotation": {"strategy": …, "verify": [statement, …]}`. Every other key is the owner's, and is carried over unchanged.
"""

import json
import math
import re
import unicodedata
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from rotation.errors import InvalidSecret
from rotation.hosts import literal, require_ordinary
from rotation.kind import EngineKind, Strategy

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
HOST = re.compile(rf"(?=.{{1,254}}$){_LABEL}(\.{_LABEL})*\.?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*")
"""A host name, of labels of up to 63 characters (RFC 1035), or an IP address. Clients read more into other texts: a
list of hosts, a path, a whole connection string."""

FEW = 4
"""Characters: a shorter text is in every statement, and is not masked anyway."""

SSL = {True: True, False: False, "true": True, "false": False}
HIGHEST_PORT = 65535

LARGEST = 65536
"""How many bytes a secret may have
(https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html)."""

CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""The categories of characters that no text may hold: controls, halves of a pair, ends of a line or a paragraph.

A user's name is sent before the server has shown what it is (in PostgreSQL's startup packet). With the end of a line in
it, who writes a secret could have the function say a line of another protocol, to a server that is no database. A
password is sent after an answer in the right protocol, but it is held to the same: drivers change, and a text that was
brought onto one line would not be known any more for one that holds it. No generator makes such a password."""

HIDDEN = CONTROLS | {"Cf"}
"""What no name may hold: also characters that nobody sees, or that turn others around. Log lines and errors have names
in them, and people act by what they read there. A password is shown to nobody."""

LAYOUT = frozenset("\t\n\r")
"""The controls that a statement may hold: it is sent after the login."""

ENGINE = re.compile(
    "aurora-(mysql|postgresql)|mariadb|mysql|postgres|(custom-)?(db2|oracle|sqlserver)(-(ae|cdb|ce|dev|ee|ex|se2?|web))*"
)
"""RDS's names of engines, which may be quoted."""

KEYS = (
    "engine",
    "host",
    "port",
    "dbname",
    "username",
    "password",
    "masterarn",
    "ssl",
    "rotation",
    "strategy",
    "verify",
)
"""The keys that are ours, and that may be quoted."""

NAME = re.compile(r"[^\s:/=]+(?: [^\s:/=]+)*")
ARN = re.compile(r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[\w/+=.@!-]+", re.ASCII)
"""A name, and the ARN of a secret, that may be said; other texts could be an address with a password in it."""


@dataclass(frozen=True, kw_only=True)
class Credential:
    """All that a login needs; its `repr` hides the password."""

    engine: str
    host: str
    port: int
    database: str | None
    username: str
    password: str = field(repr=False)
    tls: bool
    """Whether the server's certificate is verified; False sends everything in clear, because the secret says so."""

    def __str__(self) -> str:
        return f"{self.username} at {self.host}:{self.port}"

    @property
    def public(self) -> Sequence[str]:
        """What may be said of it."""
        names = [name for name in (self.username, self.database) if name and NAME.fullmatch(name)]
        place = [self.host, self.host.partition(".")[0], str(self.port), f"{self.host}:{self.port}"]
        return [self.engine, *place, *names]


@dataclass(frozen=True, kw_only=True)
class SecretValue:
    """The JSON of one version of a secret, checked; its `repr` shows no value of a key that is not ours."""

    credential: Credential
    admin_secret: str | None
    """What AWS calls `masterarn`: the ARN of the admin secret."""
    strategy: Strategy | None
    """The strategy that the secret asks for by name."""
    verify: tuple[str, ...]
    """The statements that testSecret runs."""
    fields: Mapping[str, object] = field(repr=False)

    @classmethod
    def parse(cls, text: str, kind: EngineKind, operation: str) -> Self:
        """Read a version of a secret; raises InvalidSecret, which names the key and what to put there."""
        fields = parse_object(text, operation)
        if kind.needs_database and not fields.get("dbname"):
            raise _invalid(
                operation, 'it has no "dbname"', f"Add the database to log in to: {kind.name} has no other way"
            )
        rotation = fields.get("rotation", {})
        if not isinstance(rotation, dict):
            raise _invalid(operation, '"rotation" is not an object', 'Write it like {"strategy": "single-user"}')
        return cls(
            credential=parse_credential(fields, kind, operation),
            admin_secret=_text(fields, "masterarn", operation) if "masterarn" in fields else None,
            strategy=_strategy(rotation, operation),
            verify=_statements(rotation, operation),
            fields=fields,
        )

    @property
    def public(self) -> Sequence[str]:
        """What may be said of it. A statement may not, if it holds another string of the secret."""
        admin = [self.admin_secret] if self.admin_secret and ARN.fullmatch(self.admin_secret) else []
        told = [*self.credential.public, *admin, *([self.strategy] if self.strategy else [])]
        others = {text for key, value in self.fields.items() if key != "rotation" for text in _texts(value)} - {*told}
        return [*told, *(one for one in self.verify if not any(text in one for text in others))]

    def successor(self, username: str, password: str) -> Self:
        """Return the value that follows this one: another user or password, every other key as it is."""
        return replace(
            self,
            credential=replace(self.credential, username=username, password=password),
            fields={**self.fields, "username": username, "password": password},
        )

    def to_json(self) -> str:
        """Return the text to store, keys in their old order.

        It is no larger than it was, where size is scarce. Half a character, which no text can hold, stays escaped.
        """
        text = json.dumps(self.fields, ensure_ascii=False)
        if not _is_unicode(text):
            return json.dumps(self.fields)
        small = len(text.encode()) <= LARGEST
        return text if small else json.dumps(self.fields, ensure_ascii=False, separators=(",", ":"))


def parse_object(text: str, operation: str) -> dict[str, object]:
    """Return the JSON object in `text`; raises InvalidSecret, which quotes nothing of the text but a key's name.

    A key that is there twice has two values. Programs differ in which they read, and one would be lost when the secret
    is written again.
    """
    try:
        value = json.loads(text, parse_float=_finite, object_pairs_hook=_unique)
    except _Repeated as repeated:
        raise _invalid(
            operation, f"it has {repeated} twice", "Decide which of the two is right, and remove the other"
        ) from None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _invalid(
            operation,
            "the value is not a JSON object",
            'Store it as {"engine": …, "host": …, "username": …, "password": …}',
        )
    return value


def parse_credential(fields: Mapping[str, object], kind: EngineKind, operation: str) -> Credential:
    """Return the credential in a secret's fields; raises InvalidSecret."""
    missing = [key for key in ("engine", "host", "username", "password") if key not in fields]
    if missing:
        raise _invalid(operation, f"it has no {_quoted(missing)}", "Add what is missing to the JSON of the secret")
    engine = _text(fields, "engine", operation)
    if engine not in kind.engine_values:
        names = ", ".join(sorted(kind.engine_values))
        named = engine if ENGINE.fullmatch(engine) else "none that RDS has"
        raise _invalid(
            operation,
            f'its "engine" is {named}; this function is for {kind.name} ({names})',
            "Correct the engine, or attach the rotation function of that engine to the secret",
        )
    host = _text(fields, "host", operation)
    if not HOST.fullmatch(host):
        raise _invalid(
            operation,
            'its "host" is neither a host name nor an IP address',
            "Write one host, without a port, and nothing else",
        )
    host = host.lower().rstrip(".")
    require_ordinary(literal(host), InvalidSecret, operation)
    database = fields.get("dbname", kind.default_database)
    return Credential(
        engine=engine,
        host=host,
        port=_port(fields.get("port", kind.default_port), operation),
        database=kind.default_database if database in (None, "") else _text({"dbname": database}, "dbname", operation),
        username=_text(fields, "username", operation),
        password=_text(fields, "password", operation, CONTROLS),
        tls=parse_ssl(fields, operation),
    )


def parse_ssl(fields: Mapping[str, object], operation: str) -> bool:
    """Return whether to verify TLS; a secret that does not say gets it. Raises InvalidSecret."""
    ssl = fields.get("ssl", True)
    key = ssl.lower() if isinstance(ssl, str) else ssl
    if not isinstance(key, bool | str) or key not in SSL:
        raise _invalid(
            operation,
            'its "ssl" is neither true nor false',
            "Write true or false, or leave it out to have TLS verified",
        )
    return SSL[key]


def _texts(value: object) -> Iterator[str]:
    """Yield the strings in a value, at any depth, but for those that are too short to be masked."""
    if isinstance(value, str):
        yield from [value] if len(value) >= FEW else []
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _text(fields: Mapping[str, object], key: str, operation: str, unusable: Container[str] = HIDDEN) -> str:
    value = fields[key]
    if not isinstance(value, str) or not _is_text(value, unusable):
        raise _invalid(
            operation,
            f'its "{key}" is not a text, is empty, or holds what is no character, or a control character',
            "Correct it in the JSON of the secret",
        )
    return value


def _port(value: object, operation: str) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= HIGHEST_PORT:
        raise _invalid(
            operation,
            f'its "port" is not a number from 1 to {HIGHEST_PORT}',
            "Correct it, or leave it out for the engine's own",
        )
    return value


def _strategy(rotation: Mapping[str, object], operation: str) -> Strategy | None:
    name = rotation.get("strategy")
    if name is None:
        return None
    if not isinstance(name, str) or name not in set(Strategy):
        cause = 'its "rotation" asks for a "strategy" that there is not'
        raise _invalid(operation, cause, f"Choose one of {', '.join(Strategy)}")
    return Strategy(name)


def _statements(rotation: Mapping[str, object], operation: str) -> tuple[str, ...]:
    verify = rotation.get("verify", [])
    if not isinstance(verify, list) or not all(_is_text(one, CONTROLS, but=LAYOUT) for one in verify):
        raise _invalid(
            operation,
            '"verify" in its "rotation" is not a list of statements, or one holds what is no character, or a control',
            'Write it like ["SELECT 1 FROM orders LIMIT 1"]',
        )
    return tuple(verify)


def _finite(text: str) -> float:
    """Read a number that can be written again: beyond its range, JSON's numbers would become no JSON."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


class _Repeated(Exception):
    """A key is twice in one object."""

    def __str__(self) -> str:
        return f'the key "{self.args[0]}"' if self.args[0] in KEYS else "one of its keys"


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return the object of these keys and values; raises _Repeated."""
    fields: dict[str, object] = {}
    for key, value in pairs:
        if key in fields:
            raise _Repeated(key)
        fields[key] = value
    return fields


def _is_text(value: object, unusable: Container[str], but: Container[str] = ()) -> bool:
    """Tell whether it is a text, not empty, and without characters of these categories, the exceptions aside."""
    if not isinstance(value, str) or not value:
        return False
    return not any(unicodedata.category(each) in unusable and each not in but for each in value)


def _is_unicode(text: str) -> bool:
    """Tell whether every character is one: JSON can name halves of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


def _invalid(operation: str, cause: str, remedy: str) -> InvalidSecret:
    return InvalidSecret(operation, cause, remedy)
