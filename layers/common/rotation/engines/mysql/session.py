"""MySQL, Amazon RDS for MySQL, and Aurora MySQL (8.0.22 and later; single users from 5.7 on).

The mark of a pair is a random number, a nonce, that both accounts carry in their attributes. Any user may write what it
likes into the attributes of its own account, together with a new password; and so a mark on one of the two proves
nothing. The same number is on both only if an admin wrote it there, or somebody who holds both.
"""

import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from typing import Any

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.mysql.connection import Account, ExpectedError, connect
from rotation.engines.mysql.hashes import matches
from rotation.engines.mysql.pair import GONE, PairSession
from rotation.engines.mysql.rights import GLOBAL, Change
from rotation.engines.mysql.wire import Connection
from rotation.errors import RETRIED, NotPermitted, StatementFailed, Unsupported
from rotation.kind import EngineKind, Strategy

KIND = EngineKind(
    name="MySQL",
    engine_values=frozenset({"mysql", "aurora-mysql"}),
    default_port=3306,
    default_database=None,
    username_limit=32,
    password_limit=128,
    strategies=frozenset(Strategy),
    dual_password_needs_version=True,
    admin_needs_database=False,
)

REPLACE, RETAIN = (8, 0, 13), (8, 0, 14)
"""The first versions with these clauses of ALTER USER (https://dev.mysql.com/doc/refman/8.0/en/alter-user.html)."""

ALTERNATING = (8, 0, 22)
"""The first version with which two users can take turns. ATTRIBUTE came with 8.0.21; from 8.0.22 on statements are
prepared once, and no stored function is called in one that is only prepared, as a view is if columns of it are granted
(https://dev.mysql.com/doc/relnotes/mysql/8.0/en/news-8-0-22.html)."""

DUAL_PLUGINS = frozenset({"caching_sha2_password", "sha256_password", "mysql_native_password"})

WRONG_CURRENT = 3891
"""REPLACE named another password than the primary one."""
NEEDS_CURRENT, IN_HISTORY = 3892, 3638

MARK = "rotation"
"""The attribute of an account that holds the nonce of its pair. As it is an object, whose members are merged, two
deliveries that mark the same account at the same time leave both nonces there."""

NONCE = re.compile(r"[0-9a-f]{32}")

SYSTEM_USER = "SYSTEM_USER"

INVALID_VIEW = 1356
"""ER_VIEW_INVALID: what a view is made of is gone, or who looks at it may not use that."""
EVERYTHING = frozenset({"SELECT", "EXECUTE"})
"""Who has these on *.* may use what is in any view."""

LOCK_SECONDS = 10


class MySQL:
    """The engine; implements `rotation.engine.Engine`."""

    kind = KIND

    def connect(self, credential: Credential, deadline: Deadline) -> "AbstractContextManager[MySQLSession]":
        """Log in; see `rotation.engine.Engine.connect`."""
        return connect(MySQLSession, credential, deadline)


class MySQLSession(PairSession):
    """One connection; implements `rotation.engine.Session` and `rotation.engine.KeepsOldPassword`.

    Passwords are sent in clear inside of TLS: the server replaces them in its logs, also where a statement fails
    (https://dev.mysql.com/doc/refman/8.4/en/password-logging.html), and users may not set hashes for themselves.
    """

    def __init__(self, connection: Connection, credential: Credential, deadline: Deadline) -> None:
        super().__init__(connection, credential, deadline)
        self._nonce = secrets.token_hex(16)
        """The pair's; another one, as soon as `mark` has found one."""

    def change_own_password(self, password: str) -> None:
        """Give the user who is logged in this password; see `rotation.engine.Session`."""
        self.proof()
        statement = f"ALTER USER USER() IDENTIFIED BY {self.text(password)}"
        operation = f"changing the password of {self.username}"
        if self.version() >= REPLACE:
            try:
                # An account may have to give the current password, and none is hurt by giving it.
                current = self.text(self._credential.password)
                self.execute(operation, f"{statement} REPLACE {current}", expected=frozenset({WRONG_CURRENT}))
            except ExpectedError:  # logged in with a second password, the one that is kept: see `add_password`
                self.execute(operation, statement)
        else:
            self.execute(operation, statement)
        self._credential = replace(self._credential, password=password)

    def set_password(self, username: str, password: str) -> None:
        """Give another user this password, on every host at once; see `rotation.engine.Session`."""
        self._set_password(username, password, " ACCOUNT UNLOCK")

    def reset_password(self, username: str, password: str) -> None:
        """Give another user this password, on every host at once; see `rotation.engine.Session`."""
        self._set_password(username, password)

    def _set_password(self, username: str, password: str, option: str = "") -> None:
        operation, remedy = f"setting the password of {username}", f"GRANT CREATE USER ON *.* TO {self.username}"
        accounts = self.accounts_to_open(username)
        # A policy on histories refuses a password that an account has already: an earlier delivery has set it.
        secret = f" IDENTIFIED BY {self.text(password)}"
        users = [self.account(account) + ("" if self._has(account, password) else secret) for account in accounts]
        self.execute(operation, f"ALTER USER {', '.join(users)}{option}", remedy)

    def require_two_passwords(self) -> None:
        """See `rotation.engine.KeepsOldPassword`."""
        operation = f"asking whether {self.username} can have two passwords"
        if self.version() < RETAIN:
            version = ".".join(map(str, self.version()))
            raise Unsupported(
                operation,
                f"MySQL {version} keeps one password; 8.0.14 was the first to keep two",
                "Use another strategy",
            )
        plugin = re.search(r"IDENTIFIED WITH '(\w+)", self.own_definition(operation))
        if not plugin or plugin[1] not in DUAL_PLUGINS:
            name = plugin[1] if plugin else "its"
            raise Unsupported(
                operation, f"the authentication plugin {name} keeps one password", "Use another strategy or plugin"
            )

    def add_password(self, username: str, current: str, password: str) -> None:
        """Have the user accept both; see `rotation.engine.KeepsOldPassword`.

        A user has a primary password and a secondary one. RETAIN makes the primary the secondary, and so a repetition
        would lose the one that is to stay. For oneself REPLACE names the password that must be the primary, and the
        server compares and sets. For others there is no such clause: an admin holds a lock, and looks first.
        """
        if username == self.username:
            self._add_own(current, password)
        else:
            self._add_for(username, current, password)

    def marked(self, clones: Iterable[Account], user: str) -> set[Account]:
        """See `AccountsSession`."""
        found = {clone: _nonces(self.row(clone)) for clone in clones}
        mine = {nonce for account in (self.accounts(user) if found else ()) for nonce in _nonces(self.row(account))}
        return {clone for clone, nonces in found.items() if nonces & mine}

    def is_locked(self, account: Account) -> bool:
        """See `AccountsSession`."""
        return bool(self.row(account)["account_locked"] == "Y")

    def has_password(self, account: Account, password: str) -> bool:
        """See `AccountsSession`."""
        row = self.row(account)
        kept = row["authentication_string"], _attributes(row).get("additional_password", "")
        return any(matches(password, stored.encode(), row["plugin"]) for stored in kept)

    def require_copiable(self, account: Account) -> None:
        """See `PairSession`. Without SYSTEM_USER, an admin could never touch a clone that has it."""
        operation = f"preparing the clone of {account}"
        if self.version() < ALTERNATING:
            raise Unsupported(operation, "MySQL before 8.0.22 cannot do it safely", "Use the single-user strategy")
        if (plugin := self.row(account)["plugin"]) not in DUAL_PLUGINS:
            cause = f"it logs in with {plugin}, not with a password that we can set"
            raise Unsupported(operation, cause, f"Use one of {', '.join(sorted(DUAL_PLUGINS))}, or drop that account")
        names = {right.name for right in self.rights(account)}
        if SYSTEM_USER in names and SYSTEM_USER not in {right.name for right in self.rights()}:
            remedy = f"Revoke SYSTEM_USER from {account}, or GRANT SYSTEM_USER ON *.* TO {self.username}"
            raise NotPermitted(operation, f"it has SYSTEM_USER, {self.username} has not", remedy)

    def mark(self, user: str, other: str) -> None:
        """See `PairSession`. It comes first: an interruption leaves a nonce that the next try takes."""
        nonces = {account: _nonces(self.row(account)) for account in self.accounts(user)}
        self._nonce = min(set().union(*nonces.values()), default=self._nonce)
        for account, its in nonces.items():
            if self._nonce not in its:
                remedy = f"GRANT CREATE USER ON *.* TO {self.username}"
                statement = f"ALTER USER {self.account(account)} ATTRIBUTE {self._attribute({MARK: self._mark()})}"
                self.execute(f"marking {account}, with which {other} takes turns", statement, remedy)

    def create_locked(self, clone: Account, account: Account) -> None:
        """See `PairSession`. A policy may refuse a user without a password, so it gets one that nobody reads."""
        operation, mark = f"creating {clone}, locked", self._attribute({MARK: self._mark()})
        plugin = self.row(account)["plugin"]
        password = f"IDENTIFIED WITH {self.text(plugin)} BY RANDOM PASSWORD"
        statement = f"CREATE USER {self.account(clone)} {password} ACCOUNT LOCK ATTRIBUTE {mark}"
        self.execute(operation, statement, f"GRANT CREATE USER ON *.* TO {self.username}")

    def copy_attributes(self, account: Account, clone: Account) -> None:
        """See `PairSession`. The plugin comes with another password, for no account changes it without."""
        source, target = self.row(account), self.row(clone)
        operation, name = f"giving {clone} the attributes of {account}", self.account(clone)
        changes = _metadata_changes(_metadata(source), _metadata(target))
        if self._nonce not in _nonces(target):
            changes[MARK] = self._mark()
        if changes:  # the mark among them: from here on nothing needs the password that comes to an end below
            self.execute(operation, f"ALTER USER {name} ATTRIBUTE {self._attribute(changes)}")
        if source["plugin"] != target["plugin"]:
            self.execute(
                operation, f"ALTER USER {name} IDENTIFIED WITH {self.text(source['plugin'])} BY RANDOM PASSWORD"
            )
        if self._definition(source) != self._definition(target):
            self.execute(operation, f"ALTER USER {name} {self._definition(source)}")
        if "additional_password" in _attributes(target):
            self.execute(operation, f"ALTER USER {name} DISCARD OLD PASSWORD")

    def grant_columns(self, grants: Sequence[Change], account: Account, clone: Account) -> None:
        """See `PairSession`. The server opens a view to find its columns, and calls nothing that is in it."""
        own = {right.name for right in self.rights() if right.item == GLOBAL}
        gone = GONE | {INVALID_VIEW} if own >= EVERYTHING else GONE
        for change in grants:
            self.change(change, account, clone, gone)

    def copy_default_roles(self, account: Account, clone: Account) -> None:
        """See `PairSession`."""
        wanted = self._default_roles(account)
        if wanted != self._default_roles(clone):
            roles = ", ".join(map(self.account, wanted)) or "NONE"
            statement = f"ALTER USER {self.account(clone)} DEFAULT ROLE {roles}"
            self.execute(f"giving {clone} the default roles of {account}", statement)

    def attribute_differences(self, account: Account, clone: Account) -> list[str]:
        """See `PairSession`."""
        source, target = self.row(account), self.row(clone)
        mine, other = self._definition(source), self._definition(target)
        differences = [] if mine == other else [f"{clone} is not defined as {account} is: see SHOW CREATE USER of both"]
        if source["plugin"] != target["plugin"]:
            differences.append(f"{clone} has the plugin {target['plugin']}, {account} has {source['plugin']}")
        if _metadata_changes(_metadata(source), _metadata(target)):
            differences.append(f"the attributes of {clone} are not those of {account}")
        if self._default_roles(account) != self._default_roles(clone):
            differences.append(f"the default roles of {clone} are not those of {account}")
        return differences

    def _has(self, account: Account, password: str) -> bool:
        row = self.row(account)
        expired = row.get("password_expired") == "Y"
        return not expired and matches(password, row["authentication_string"].encode(), row["plugin"])

    def _add_own(self, current: str, password: str) -> None:
        self.proof()
        operation = f"giving {self.username} a second password"
        new, old = self.text(password), self.text(current)
        compare_and_set = f"ALTER USER USER() IDENTIFIED BY {new} REPLACE {old} RETAIN CURRENT PASSWORD"
        remedy = f'GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO {self.username}, or put an admin into "masterarn"'
        try:
            self.execute(operation, compare_and_set, remedy, frozenset({WRONG_CURRENT}))
        except ExpectedError:
            # The primary is the new password already, or the orphan of an abandoned rotation. Healing does not
            # compare, so it could undo what another delivery of this step has just done: one at a time.
            with self._lock(f"rotation:{self.username}", operation):
                if self.accepts(self.username, password):
                    return
                self._make_primary(current, operation)
                with suppress(ExpectedError):  # from here on, the first statement of another delivery succeeds, too
                    self.execute(operation, compare_and_set, remedy, frozenset({WRONG_CURRENT}))
                    return
                if not self.accepts(self.username, password):
                    raise StatementFailed(operation, "another rotation changes the password", RETRIED) from None

    def _make_primary(self, current: str, operation: str) -> None:
        """Put the secondary password, with which we are logged in, in the place of an orphan, without a gap."""
        try:
            statement = f"ALTER USER USER() IDENTIFIED BY {self.text(current)}"
            self.execute(operation, statement, expected=frozenset({NEEDS_CURRENT, IN_HISTORY}))
        except ExpectedError as refusal:
            cause = f"an abandoned rotation left a password that it may not replace by itself (error {refusal.number})"
            raise NotPermitted(operation, cause, 'Put an admin into "masterarn"') from None

    def _add_for(self, username: str, current: str, password: str) -> None:
        operation = f"giving {username} a second password"
        with self._lock(f"rotation:{username}", operation):
            added = [self._add_to_account(account, current, password, operation) for account in self.accounts(username)]
        # Of the accounts that are meant all have it; where nobody has logged in, those that have not are another's.
        if not any(added) or (username in self._proofs and not all(added)):
            cause = f"no account of {username} on this server has the password that is to stay, in a format known here"
            raise Unsupported(
                operation, cause, "Correct the host of the admin secret, or use another strategy or plugin"
            )

    def _add_to_account(self, account: Account, current: str, password: str, operation: str) -> bool:
        """Add the password to an account; False where it has not the current one: it is not the secret's."""
        row = self.row(account)
        plugin, first = row["plugin"], row["authentication_string"].encode()
        second = _attributes(row).get("additional_password", "").encode()
        name, remedy = self.account(account), f"GRANT CREATE USER ON *.* TO {self.username}"
        if not matches(current, first, plugin):
            if not matches(current, second, plugin):
                return False
            if matches(password, first, plugin):
                return True
            # The primary is the orphan of an abandoned rotation. As a hash, the other one passes every policy.
            statement = f"ALTER USER {name} IDENTIFIED WITH {self.text(plugin)} AS 0x{second.hex()}"
            self.execute(operation, statement, remedy)
        self.execute(
            operation, f"ALTER USER {name} IDENTIFIED BY {self.text(password)} RETAIN CURRENT PASSWORD", remedy
        )
        return True

    @contextmanager
    def _lock(self, name: str, operation: str) -> Iterator[None]:
        """Hold a lock of the server, which ends with the session at the latest."""
        seconds = int(self._deadline.allow(LOCK_SECONDS, operation))
        [(got,)] = self.execute(operation, f"SELECT GET_LOCK({self.text(name)}, {seconds})")
        if not got:
            raise self._is_held(name, operation)
        yield
        self.execute(operation, f"DO RELEASE_LOCK({self.text(name)})")

    def _is_held(self, name: str, operation: str) -> StatementFailed:
        """Say who holds a lock: any user may, by any name."""
        [(number,)] = self.execute(operation, f"SELECT IS_USED_LOCK({self.text(name)})")
        who, remedy = "", RETRIED
        if number is not None:
            query = f"SELECT user, host FROM information_schema.processlist WHERE id = {int(number)}"  # noqa: S608
            who = "".join(f" of {user} from {host}" for user, host in self.execute(operation, query))
            remedy = f"{RETRIED}; if that is no function that rotates, run KILL {int(number)}"
        cause = f"connection {number}{who} holds the lock {name}, as another delivery of this step does"
        return StatementFailed(operation, cause, remedy)

    def _default_roles(self, account: Account) -> list[Account]:
        query = "SELECT default_role_user, default_role_host FROM mysql.default_roles"
        rows = self.execute(
            f"reading the default roles of {account}", f"{query} WHERE {self.matches('user', 'host', account)}"
        )
        return sorted(Account(user, host) for user, host in rows)

    def _definition(self, row: Mapping[str, Any]) -> str:
        """Return what an account is but for its name, password, rights and roles, as ALTER USER takes it."""
        locking = _attributes(row).get("Password_locking", {})
        days = locking.get("password_lock_time_days", 0)
        return " ".join([
            f"REQUIRE {self.requirement(row)}",
            f"WITH MAX_QUERIES_PER_HOUR {row['max_questions']} MAX_UPDATES_PER_HOUR {row['max_updates']}",
            f"MAX_CONNECTIONS_PER_HOUR {row['max_connections']} MAX_USER_CONNECTIONS {row['max_user_connections']}",
            f"PASSWORD EXPIRE {_days(row['password_lifetime'])}",
            f"PASSWORD HISTORY {_or_default(row['password_reuse_history'])}",
            f"PASSWORD REUSE INTERVAL {_or_default(row['password_reuse_time'], ' DAY')}",
            f"PASSWORD REQUIRE CURRENT{ {None: ' DEFAULT', 'N': ' OPTIONAL'}.get(row['password_require_current'], '')}",
            f"FAILED_LOGIN_ATTEMPTS {locking.get('failed_login_attempts', 0)}",
            f"PASSWORD_LOCK_TIME {'UNBOUNDED' if days == -1 else days}",
        ])  # fmt: skip

    def _mark(self) -> dict[str, bool]:
        return {self._nonce: True}

    def _attribute(self, changes: Mapping[str, Any]) -> str:
        """Return what ATTRIBUTE takes: it is merged into what is there."""
        return self.text(json.dumps(changes))


def _nonces(row: Mapping[str, Any]) -> set[str]:
    """Return the nonces that an account carries. Its user may have written anything there."""
    mark = _metadata(row).get(MARK)
    return set(filter(NONCE.fullmatch, mark)) if isinstance(mark, dict) else set()


def _attributes(row: Mapping[str, Any]) -> dict[str, Any]:
    attributes: dict[str, Any] = json.loads(row.get("user_attributes") or "{}")
    return attributes


def _metadata(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what people, and we, have noted at the account."""
    metadata: dict[str, Any] = _attributes(row).get("metadata", {})
    return metadata


def _metadata_changes(source: Mapping[str, Any], target: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ATTRIBUTE has to say to make the notes the same, our mark aside."""
    return {key: value for key, value in _patch(source, target).items() if key != MARK}


def _patch(source: Mapping[str, Any], target: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch (https://datatracker.ietf.org/doc/html/rfc7396) that makes of one object another.

    null takes a member away, and an object is merged into the one that is there.
    """
    patch: dict[str, Any] = {}
    for key in source.keys() | target.keys():
        wanted, present = source.get(key), target.get(key)
        if isinstance(wanted, dict) and isinstance(present, dict):
            if inner := _patch(wanted, present):
                patch[key] = inner
        elif wanted != present:
            patch[key] = wanted
    return patch


def _days(lifetime: int | None) -> str:
    if lifetime is None:
        return "DEFAULT"
    return f"INTERVAL {lifetime} DAY" if lifetime else "NEVER"


def _or_default(value: int | None, unit: str = "") -> str:
    return "DEFAULT" if value is None else f"{value}{unit}"
