"""Db2, on Amazon RDS for Db2 (11.5 and 12.1)."""

import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engine import CloneStatus, Proof
from rotation.engines.db2 import connection as db2_session
from rotation.engines.db2.client import Connection
from rotation.engines.db2.connection import UNKNOWN_NAME, ExpectedError, Session, connect
from rotation.engines.db2.proof import ProvenSession, authid, principal
from rotation.engines.db2.rights import (
    VIEWS,
    Change,
    Rights,
    Unreadable,
    changes,
    differences,
    identifier,
    joined,
    read,
)
from rotation.engines.db2.users import Users, users
from rotation.engines.driver import foreign_triggers_allowed, refuse_foreign_triggers
from rotation.errors import NotPermitted, StatementFailed, Unsafe, Unsupported
from rotation.kind import CLONE_SUFFIX, EngineKind, Strategy


def counterpart(username: str) -> str:
    """Return the other user of a pair, whatever the case of its suffix: to the server it makes no difference."""
    return (
        username[: -len(CLONE_SUFFIX)] if authid(username).endswith(authid(CLONE_SUFFIX)) else username + CLONE_SUFFIX
    )


KIND = EngineKind(
    name="Db2",
    engine_values=frozenset({"db2", "db2-se", "db2-ae", "db2-ce"}),
    default_port=50000,
    default_database=None,
    tls_has_own_port=True,
    needs_database=True,
    # RDS documents it of the master user only; AWS's own rotation template keeps to it for all.
    username_limit=16,
    normal_name=authid,
    counterpart=counterpart,
    # https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html, MasterUserPassword.
    password_limit=db2_session.LONGEST,
    unusable_in_passwords=";",  # ends a value in a connection string; see `db2_session.connection_string`
    strategies=frozenset({Strategy.SINGLE_USER, Strategy.ALTERNATING_USERS}),
)

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
"""The names that can be passed on: some of the procedures take a list of them, as one text."""

MARK = "rotates_"
"""The group that marks a user as ours; what follows is the user that it takes turns with.

Users have no comment, and roles, which do, only a SECADM may make, who on RDS is nobody. A group comes into being with
its first member, so a user is marked by the statement that makes it, in all databases of the server. Only the master
user can put somebody into a group. Each of a pair has its own mark, and only that of the other one is looked at: a user
who was made anew under its name has none.
"""

GROUPS = 'SELECT T."GROUP" FROM TABLE(SYSPROC.AUTH_LIST_GROUPS_FOR_AUTHID(CAST(? AS VARCHAR(128)))) AS T'

AT_CONNECT = "SELECT VALUE, DEFERRED_VALUE FROM SYSIBMADM.DBCFG WHERE NAME = 'connect_proc'"
"""The procedure that the database runs at each connect, with the rights of who connects
(https://www.ibm.com/docs/en/db2/11.1?topic=parameters-connect-proc-connect-procedure-name-database). Neither IBM nor
RDS documents one of its own."""

ROUNDS = 3
"""Some grants bring other rights with them, CONTROL does: so they are compared again."""

BY_PROCEDURE = frozenset({"DBADM", "ACCESSCTRL", "DATAACCESS"})
"""The authorities that RDS grants for its master user, who may not: that takes SECADM."""


class Db2:
    """The engine; implements `rotation.engine.Engine`."""

    kind = KIND

    @contextmanager
    def connect(self, credential: Credential, deadline: Deadline) -> Iterator["Db2Session"]:
        """Log in; see `rotation.engine.Engine.connect`."""
        with ExitStack() as more, connect(partial(Db2Session, more), credential, deadline) as session:
            yield session


class Db2Session(ProvenSession):
    """One connection, in one transaction; implements `rotation.engine.Session`.

    Passwords reach the server as values of parameters, or in the login, so no text of a statement holds one.
    """

    def __init__(self, more: ExitStack, connection: Connection, credential: Credential, deadline: Deadline) -> None:
        super().__init__(connection, credential, deadline)
        self._more = more
        self._people: Users | None = None

    def require_proven(self, proof: Proof) -> None:
        """Bind this session to a user that logged in; see `rotation.engine.Session`.

        No other user of the server can have its name, so nothing is left to remember.
        """
        operation = f"looking for the {proof.username} that has logged in"
        if proof.principal != principal(proof.username, self.database_of_login()):
            cause = "another user has logged in, or to another database"
            raise Unsafe(operation, cause, 'Write the database of the admin into "dbname"')
        self._require_existing(self._users(), proof.username, operation)

    def change_own_password(self, password: str) -> None:
        """Give the user who is logged in this password; see `rotation.engine.Session`.

        Db2 changes a password while somebody logs in, and only there
        (https://www.ibm.com/docs/en/db2/11.5?topic=commands-connect). RDS does not say whether its servers do; AWS's
        template for single users has the master user do it. A server that refuses leaves the password as it is.
        """
        if password != self._credential.password:
            with connect(Session, self._credential, self._deadline, password):
                self._credential = replace(self._credential, password=password)

    def clone_status(self, user: str, other: str) -> CloneStatus:
        """Tell what is known about the pair; see `rotation.engine.Session`."""
        self._require_names(user, other)
        people = self._users()
        self._require_existing(people, user, f"looking for {user}")
        if not people.exists(other):
            return CloneStatus.ABSENT
        return CloneStatus.OURS if self._is_marked(other, user) else CloneStatus.UNKNOWN

    def mirror(self, user: str, other: str) -> None:
        """Make `other` what `user` is in this database; see `rotation.engine.Session`.

        Users and groups cannot be rolled back, and come first. Then the rights change in one transaction, but for those
        that only RDS itself may grant.
        """
        self._require_names(user, other)
        people = self._users()
        self._mirror_groups(people, user, other)
        for _ in range(ROUNDS):
            if not self._mirror_rights(people, user, other):
                break

    def set_password(self, username: str, password: str) -> None:
        """Give another user this password; see `rotation.engine.Session`."""
        self._users().set_password(username, password)

    def reset_password(self, username: str, password: str) -> None:
        """Give another user this password; see `rotation.engine.Session`. Whether it may log in is another matter."""
        self._users().set_password(username, password)

    def differences(self, user: str, other: str) -> Sequence[str]:
        """Say in what the two differ in this database; see `rotation.engine.Session`."""
        groups, others = self._groups(user, other), self._groups(other, user)
        wanted, present = self._rights(user, other)
        return [
            *(f"{other} is not in the group {group}" for group in sorted(groups - others)),
            *(f"{other} is in the group {group}, {user} is not" for group in sorted(others - groups)),
            *differences(present, wanted, other, user),
        ]

    def _users(self) -> Users:
        """Log in to RDSADMIN, once, until this session ends: all that an admin changes begins with that."""
        if not self._people:
            people = self._more.enter_context(users(self._credential, self._deadline))
            self._require_no_connect_procedure()
            self._people = people
        return self._people

    def _require_no_connect_procedure(self) -> None:
        """Raise Unsafe if something ran at the connect of this session, which has the rights of an admin."""
        if not foreign_triggers_allowed():
            operation = "looking for a connect procedure (connect_proc)"
            rows = self.execute(operation, AT_CONNECT, remedy=self._remedy_to_read)
            refuse_foreign_triggers(operation, sorted({str(name) for row in rows for name in row.values() if name}))

    def _require_existing(self, people: Users, user: str, operation: str) -> None:
        if not people.exists(user):
            cause, remedy = f"there is no user {user} on the admin's server", "Correct the host of the admin secret"
            raise Unsafe(operation, cause, remedy)

    def _require_names(self, user: str, other: str) -> None:
        operation = f"looking at {user} and {other}"
        for name in (user, other):
            if not NAME.fullmatch(name):
                cause = f"{name!r} is not made of letters, digits and _, or does not begin with a letter"
                raise Unsupported(operation, cause, "Take another name, or the single-user strategy")

    def _is_marked(self, user: str, partner: str) -> bool:
        return authid(MARK + partner) in self._memberships(user)

    def _memberships(self, username: str) -> frozenset[str]:
        rows = self.execute(f"reading the groups of {username}", GROUPS, (authid(username),), self._remedy_to_read)
        return frozenset(row["GROUP"] for row in rows)

    def _groups(self, username: str, partner: str) -> frozenset[str]:
        """Return the groups that the other user is to be in, too: not the mark, nor one that is called like a user."""
        own = {authid(username), authid(partner), authid(MARK + username), authid(MARK + partner)}
        return self._memberships(username) - own

    def _mirror_groups(self, people: Users, user: str, other: str) -> None:
        # Db2 shows names of groups in upper case; where they are kept, they are in lower case.
        wanted, mark = {name.lower() for name in self._groups(user, other)}, (MARK + user).lower()
        if not self._is_marked(user, other):
            people.join(user, [(MARK + other).lower()])
        if not people.exists(other):
            people.add(other, _unknown_password(), [mark, *sorted(wanted)])
            return
        present = {name.lower() for name in self._groups(other, user)}
        missing = sorted(wanted - present) + ([] if self._is_marked(other, user) else [mark])
        if missing:
            people.join(other, missing)
        if surplus := sorted(present - wanted):
            people.leave(other, surplus)

    def _rights(self, user: str, other: str) -> tuple[Rights, Rights]:
        """Return what the two may do in this database."""
        operation, names = f"reading the rights of {user} and {other}", (authid(user), authid(other))
        parts = []
        for view in VIEWS:
            try:
                rows = self.execute(operation, view.query, names, self._remedy_to_read, frozenset({UNKNOWN_NAME}))
                parts.append([read(view, rows, name) for name in names])
            except ExpectedError:  # this version of Db2 has no such view, and so no such right
                continue
            except Unreadable as error:
                cause = f"{error} is a right that is not known here"
                raise StatementFailed(operation, cause, "Use the single-user strategy, and report it") from None
        mine, others = zip(*parts, strict=True)
        return joined(mine), joined(others)

    def _mirror_rights(self, people: Users, user: str, other: str) -> bool:
        """Make the rights the same; False, and nothing done, where they are. Raises NotPermitted."""
        operation, grantee = f"giving {other} the rights of {user}", identifier(authid(other))
        refused: list[tuple[Change, NotPermitted]] = []
        wanted, present = self._rights(user, other)
        todo = list(changes(present, wanted, grantee))
        for change in todo:
            remedy = f"Let {self.username} grant and revoke it, or take it from {user if change.grants else other}"
            try:
                self.execute(operation, change.statement, (), f"{remedy}: {change.statement}")
            except NotPermitted as error:
                refused.append((change, error))
        # RDS works in a session of its own, which must not wait for the locks of this one.
        self.commit()
        for change, refusal in refused:
            if not self._change_by_procedure(people, change, other, operation):
                raise refusal from None
        return bool(todo)

    def _change_by_procedure(self, people: Users, change: Change, other: str, operation: str) -> bool:
        """Have RDS do what its master user may not; False where there is no procedure for it."""
        word, _, rest = change.right.what.partition(" ")
        database, grantee = str(self._credential.database).upper(), f"USER {authid(other)}"
        name = rest.strip('"')
        if word == "ROLE" and NAME.fullmatch(name):
            if change.grants:
                people.run(
                    operation, "RDSADMIN.GRANT_ROLE", database, name, grantee, "Y" if change.right.option else "N"
                )
            else:
                people.run(operation, "RDSADMIN.REVOKE_ROLE", database, name, grantee)
            return True
        if word in BY_PROCEDURE and rest.endswith("ON DATABASE"):
            procedure = "RDSADMIN.DBADM_GRANT" if change.grants else "RDSADMIN.DBADM_REVOKE"
            people.run(operation, procedure, database, word, grantee)
            return True
        return False

    @property
    def _remedy_to_read(self) -> str:
        return f"Let {self.username} read the catalog: DBADM, or what the master user of RDS has"


def _unknown_password() -> str:
    """Return a password that nobody learns: a user cannot be made without. It has characters of every class."""
    return f"Aa1-{secrets.token_urlsafe(24)}"
