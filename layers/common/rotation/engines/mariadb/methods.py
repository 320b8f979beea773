"""How does one log in to an account of MariaDB? An account has one or more authentication methods, and each is enough.

Two methods make two passwords, and another one makes our mark: a hash that no password has, made of the other user's
name. The server's own `'invalid'` is a hash of that kind, too
(https://mariadb.com/docs/server/reference/plugins/authentication-plugins). SET PASSWORD lets any user write such a
hash, but only into the first method that is a password. So a mark counts only after such a method: only an admin can
have written it there. If a policy refuses hashes, the mark is a method unix_socket, which no policy judges: the name
of a system user that does not exist.

Pure: it reads what the server keeps, and writes what statements take.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any

from rotation.engines.mariadb.kind import KIND
from rotation.engines.mysql.hashes import ED25519, NATIVE, PARSEC, ed25519, native
from rotation.engines.mysql.names import Account, identifier, literal
from rotation.engines.mysql.problems import for_user
from rotation.engines.mysql.two_passwords import PUT_ADMIN
from rotation.errors import NotPermitted, Unsupported
from rotation.values import dataclass

HASHED = (NATIVE, ED25519)
"""The plugins whose hashes can be made here."""

PASSWORDS = (*HASHED, PARSEC)
"""The plugins whose hashes a policy can refuse."""

INVALID = "invalid"
"""What the server keeps instead of a hash if no password is to log in."""

SOCKET = "unix_socket"

WITHOUT_PASSWORD = (SOCKET, "gssapi", "pam", "named_pipe")
"""The plugins whose methods hold no password, so that both users of a pair can have the same one."""


@dataclass(frozen=True)
class Method:
    """One way to log in to an account."""

    plugin: str
    secret: str = field(repr=False)
    """The hash, as `USING` takes it."""

    @property
    def quoted(self) -> str:
        """The method as statements take it."""
        return f"{identifier(self.plugin)} USING {literal(self.secret)}" if self.secret else identifier(self.plugin)


def parse(privileges: Mapping[str, Any]) -> list[Method]:
    """Return the methods of an account, in the order in which the server tries them."""
    # An empty entry stands for the method that the account has outside of the list.
    entries = [entry or privileges for entry in privileges.get("auth_or", [{}])]
    return [Method(entry.get("plugin", ""), entry.get("authentication_string", "")) for entry in entries]


def passwords(methods: Sequence[Method], username: str) -> list[Method]:
    """Return the methods that somebody can log in to with a password: the mark of a pair is none.

    But what has the form of the mark, where the user itself can have written it, is one.
    """
    ours, writable = marks(KIND.counterpart(username)), _writable(methods)
    return [
        method
        for at, method in enumerate(methods)
        if method.plugin in PASSWORDS and method.secret != INVALID and (at <= writable or method not in ours)
    ]


def first_password(account: Account, methods: Sequence[Method]) -> Method:
    """Return the first of an account's methods that is a password; raises Unsupported if there is none."""
    for method in methods:
        if method.plugin in HASHED:
            return method
    plugins = ", ".join(method.plugin for method in methods)
    raise Unsupported(f"preparing {account}", f"it logs in with {plugins}", f"Use {' or '.join(HASHED)}")


def without_passwords(methods: Iterable[Method]) -> list[Method]:
    """Return the methods that hold no password."""
    return [method for method in methods if method.plugin in WITHOUT_PASSWORD]


def require_native(who: Account | str, plugins: Iterable[str], operation: str) -> None:
    """Raise Unsupported unless all methods have the one plugin with which an account can have two passwords."""
    if others := set(plugins) - {NATIVE}:
        cause = f"{who} logs in with {', '.join(sorted(others))}"
        raise Unsupported(operation, cause, f"Use another strategy, or an account with {NATIVE} alone")


def require_changeable(username: str, methods: Sequence[Method], operation: str) -> None:
    """Raise NotPermitted unless the user can change its one password: the first method, which SET PASSWORD writes."""
    found = [method.plugin for method in passwords(methods, username)]
    if len(found) > 1 or methods[0].plugin not in found:
        ways = " or ".join(method.plugin for method in methods)
        alter = f"ALTER USER {{user}} IDENTIFIED VIA {(found or [NATIVE])[0]} USING …"
        raise NotPermitted(
            operation,
            f"{username} logs in with {ways}, and SET PASSWORD can change no more than the first",
            for_user(
                f"{PUT_ADMIN}; or run {alter} as an admin, and put the new password into the secret",
                username,
            ),
        )


def password_hash(plugin: str, password: str) -> str:
    """Return what a plugin keeps of a password; empty if that is not known here."""
    if plugin == NATIVE:
        return native(password)
    return ed25519(password) if plugin == ED25519 else ""


def mark(other: str, *, hashes_refused: bool) -> Method:
    """Return the mark of an account that takes turns with `other`: the hash of a text is never the hash of a hash.

    If a policy refuses hashes, the mark has another plugin.
    """
    text = f"This account takes turns with {other}: rotated by AWS Secrets Manager"
    hashed = "*" + hashlib.sha1(text.encode()).hexdigest().upper()  # noqa: S324 - as the server does it
    return Method(SOCKET if hashes_refused else NATIVE, hashed)


def marks(other: str) -> list[Method]:
    """Return both marks."""
    return [mark(other, hashes_refused=refused) for refused in (False, True)]


def is_marked(methods: Sequence[Method], other: str) -> bool:
    """Tell whether these methods include our mark, and have it after the one that their user can write."""
    return any(each in methods[_writable(methods) + 1 :] for each in marks(other))


def _writable(methods: Sequence[Method]) -> int:
    """Return the place of the method that SET PASSWORD writes."""
    return next((at for at, method in enumerate(methods) if method.plugin in HASHED), len(methods))
