"""What does a secret's JSON say, and what does a login need of it?

The keys are those of AWS's rotation templates
(https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_secret_json_structure.html), and one of our own:
`"rotation": {"strategy": …, "verify": [statement, …], "accept": [word, …]}`. Every other key belongs to the owner, and
stays unchanged.
"""

import json
import math
import re
import unicodedata
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Self

from rotation.errors import InvalidSecret
from rotation.hosts import literal, require_ordinary
from rotation.kind import EngineKind, Strategy
from rotation.values import dataclass

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
HOST = re.compile(rf"(?=.{{1,254}}$){_LABEL}(\.{_LABEL})*\.?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*")
"""A host name with labels of up to 63 characters (RFC 1035), or an IP address. Clients understand other texts, too: a
list of hosts, a path, or a whole connection string."""

SHORTEST_MASKED = 4
"""Characters. A shorter text is part of every statement; the redactor does not mask it."""

SSL = {True: True, False: False, "true": True, "false": False}
HIGHEST_PORT = 65535

LARGEST_SECRET = 65536
"""How many bytes a secret can have
(https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html)."""

CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""The categories of characters that no text can have: controls, halves of surrogate pairs, line ends.

A user's name is sent before the server has proved its protocol (in PostgreSQL's startup packet). If a name had a line
end, the author of a secret could send a line of another protocol to a server that is no database. A password is sent
later, after an answer in the right protocol, but the same rule holds: drivers change, and the redactor could miss a
password in a text that was joined to one line. No generator makes such a password."""

HIDDEN = CONTROLS | {"Cf"}
"""The categories that no name can have: also characters that are invisible, or that change the direction of text.
People act by the names in log lines and errors. A password is shown to nobody, so it can have them."""

LAYOUT = frozenset("\t\n\r")
"""The controls that a statement can have: it is sent after the login."""

ENGINE = re.compile(
    "aurora-(mysql|postgresql)|mariadb|mysql|postgres|(custom-)?(db2|oracle|sqlserver)(-(ae|cdb|ce|dev|ee|ex|se2?|web))*"
)
"""RDS's names of engines, which errors can quote."""

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
    "accept",
)
"""The keys that we define, and that errors can quote."""

NAME = re.compile(r"[^\s:/=]+(?: [^\s:/=]+)*")
ARN = re.compile(r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[\w/+=.@!-]+", re.ASCII)
"""A name, and the ARN of a secret, that are public. Another text could be an address with a password in it."""


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
    port_is_default: bool = field(default=False, compare=False)
    """Whether the JSON names no port, so that the engine's default port is used."""

    def __str__(self) -> str:
        assumed = " (the default port: the secret names none)" if self.port_is_default else ""
        return f"{self.username} at {self.host}:{self.port}{assumed}"

    @property
    def public(self) -> Sequence[str]:
        """The parts that are public: logs and errors can have them."""
        names = [name for name in (self.username, self.database) if name and NAME.fullmatch(name)]
        place = [self.host, self.host.partition(".")[0], str(self.port), f"{self.host}:{self.port}"]
        return [self.engine, *place, *names]


@dataclass(frozen=True, kw_only=True)
class SecretValue:
    """The JSON of one version of a secret, checked; its `repr` shows only values of keys that we define."""

    credential: Credential
    admin_secret: str | None
    """The ARN of the admin secret; AWS's key for it is `masterarn`."""
    strategy: Strategy | None
    """The strategy that the secret asks for by name."""
    verify: tuple[str, ...]
    """The statements that testSecret runs."""
    accept: frozenset[str] = frozenset()
    """What the owner accepts that the two users of a pair cannot share: see `EngineKind.unshared_kinds`."""
    fields: Mapping[str, object] = field(repr=False)

    @classmethod
    def parse(cls, text: str, kind: EngineKind, operation: str) -> Self:
        """Read a version of a secret; raises InvalidSecret, which names the key and what to put there."""
        fields = parse_object(text, operation)
        if kind.needs_database and not fields.get("dbname"):
            raise _invalid(
                operation, 'it has no "dbname"', f'Add the database to log in to, as "dbname": {kind.name} needs one'
            )
        rotation = fields.get("rotation", {})
        if not isinstance(rotation, dict):
            raise _invalid(operation, '"rotation" is not an object', 'Write it like {"strategy": "single-user"}')
        return cls(
            credential=parse_credential(fields, kind, operation),
            admin_secret=_text(fields, "masterarn", operation) if "masterarn" in fields else None,
            strategy=_strategy(rotation, operation),
            verify=_statements(rotation, operation),
            accept=_accepted(rotation, kind, operation),
            fields=fields,
        )

    @property
    def public(self) -> Sequence[str]:
        """The parts that are public. A statement is not, if it has another string of the secret in it."""
        admin = [self.admin_secret] if self.admin_secret and ARN.fullmatch(self.admin_secret) else []
        public = [*self.credential.public, *admin, *([self.strategy] if self.strategy else [])]
        others = {text for key, value in self.fields.items() if key != "rotation" for text in _texts(value)} - {*public}
        return [*public, *(one for one in self.verify if not any(text in one for text in others))]

    def successor(self, username: str, password: str) -> Self:
        """Return the value that follows this one: this user and password, every other key unchanged."""
        return replace(
            self,
            credential=replace(self.credential, username=username, password=password),
            fields={**self.fields, "username": username, "password": password},
        )

    def to_json(self) -> str:
        """Return the JSON text to store, with the keys in their old order.

        A text that would be too large is written without spaces. Half a surrogate pair stays escaped.
        """
        text = json.dumps(self.fields, ensure_ascii=False)
        if not _is_unicode(text):
            return json.dumps(self.fields)
        small = len(text.encode()) <= LARGEST_SECRET
        return text if small else json.dumps(self.fields, ensure_ascii=False, separators=(",", ":"))


def parse_object(text: str, operation: str) -> dict[str, object]:
    """Return the JSON object in `text`; raises InvalidSecret, which quotes nothing of the text except a key's name.

    A key that is there twice is refused: programs differ in which of the two values they read, and writing the secret
    again would lose one.
    """
    try:
        value = json.loads(text, parse_float=_finite, object_pairs_hook=_unique)
    except _Repeated as repeated:
        raise _invalid(operation, f"it has {repeated} twice", "Remove the value that is wrong") from None
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
        named = engine if ENGINE.fullmatch(engine) else "not a name of RDS"
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
            "Write one host name or IP address, without a port",
        )
    host = host.lower().rstrip(".")
    require_ordinary(literal(host), InvalidSecret, operation)
    database = fields.get("dbname", kind.default_database)
    return Credential(
        engine=engine,
        host=host,
        port=_port(fields.get("port", kind.default_port), operation),
        port_is_default="port" not in fields,
        database=kind.default_database if database in (None, "") else _text({"dbname": database}, "dbname", operation),
        username=_text(fields, "username", operation),
        password=_text(fields, "password", operation, CONTROLS),
        tls=parse_ssl(fields, operation),
    )


def parse_ssl(fields: Mapping[str, object], operation: str) -> bool:
    """Return whether to use TLS and verify it; True if the secret does not say. Raises InvalidSecret."""
    ssl = fields.get("ssl", True)
    key = ssl.lower() if isinstance(ssl, str) else ssl
    if not isinstance(key, bool | str) or key not in SSL:
        raise _invalid(
            operation,
            'its "ssl" is neither true nor false',
            "Write true or false, or remove it to verify TLS",
        )
    return SSL[key]


def _texts(value: object) -> Iterator[str]:
    """Yield the strings in a value, at any depth, except those that are too short to be masked."""
    if isinstance(value, str):
        yield from [value] if len(value) >= SHORTEST_MASKED else []
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
            f'its "{key}" is not a text, is empty, or has a control character or half a surrogate pair',
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
            "Correct it, or remove it to use the engine's default",
        )
    return value


def _strategy(rotation: Mapping[str, object], operation: str) -> Strategy | None:
    name = rotation.get("strategy")
    if name is None:
        return None
    if not isinstance(name, str) or name not in set(Strategy):
        cause = 'the "strategy" in its "rotation" is unknown'
        raise _invalid(operation, cause, f"Choose one of {', '.join(Strategy)}")
    return Strategy(name)


def _statements(rotation: Mapping[str, object], operation: str) -> tuple[str, ...]:
    verify = rotation.get("verify", [])
    if not isinstance(verify, list) or not all(_is_text(one, CONTROLS, but=LAYOUT) for one in verify):
        raise _invalid(
            operation,
            '"verify" in its "rotation" is not a list of statements, or one has a control character',
            'Write it like ["SELECT 1 FROM orders LIMIT 1"]',
        )
    return tuple(verify)


def _accepted(rotation: Mapping[str, object], kind: EngineKind, operation: str) -> frozenset[str]:
    accept = rotation.get("accept", [])
    if not isinstance(accept, list) or not all(
        isinstance(word, str) and word in kind.unshared_kinds for word in accept
    ):
        known = ", ".join(f'"{word}"' for word in sorted(kind.unshared_kinds))
        raise _invalid(
            operation,
            f'"accept" in its "rotation" is not a list of what {kind.name} cannot share',
            f"Write a list of {known}" if known else 'Remove "accept"',
        )
    return frozenset(accept)


def _finite(text: str) -> float:
    """Read a number; raises ValueError for one that is too large to be written as JSON again."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


class _Repeated(Exception):
    """A key is there twice in one object."""

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
    """Tell whether it is a text, not empty, and has no characters of these categories, except those in `but`."""
    if not isinstance(value, str) or not value:
        return False
    return not any(unicodedata.category(each) in unusable and each not in but for each in value)


def _is_unicode(text: str) -> bool:
    """Tell whether it can be encoded: JSON can hold halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


def _invalid(operation: str, cause: str, remedy: str) -> InvalidSecret:
    return InvalidSecret(operation, cause, remedy)
