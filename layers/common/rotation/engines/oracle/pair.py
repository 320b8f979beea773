"""What makes two users of Oracle the same?

The current user is the reference: what it has, the other one gets; what it does not have, the other one loses. Nothing
is ever written to the current user. DDL is committed at once, so the order is one that may end anywhere:

    create the user locked  →  mark  →  attributes  →  rights taken, rights given  →  default roles, quotas, consumer
    groups, proxies, synonyms  →  (password)

**The mark.** Users of Oracle have no comment. What can be noted at one is who may connect through it, so the mark of
a clone is

    ALTER USER clone GRANT CONNECT THROUGH original WITH NO ROLES AUTHENTICATION REQUIRED

which lets nobody do anything: the original would have to give the clone's own password, with which anybody logs in as
the clone directly, and with its roles
(https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/ALTER-USER.html, db_user_proxy_clauses).

**What a user owns** is its alone: nobody else can be given an owner's rights. Private synonyms are copied. Of all
else, the other one must have been granted something by hand; and what it was granted on the objects of its partner,
it keeps.
"""

import logging
import secrets
import string
from collections.abc import Mapping, Sequence

import oracledb

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engine import CloneStatus
from rotation.engines.oracle.catalog import NO_ROLES, CatalogSession, Proxy, Shape, sized
from rotation.engines.oracle.connection import NO_SUCH_TABLE, ExpectedError, normal
from rotation.engines.oracle.rights import SYS, Right, Sort, quoted, remedy, revocation, statements, whole
from rotation.errors import NotPermitted, Unsafe, Unsupported
from rotation.redaction import said

logger = logging.getLogger(__name__)

GROUP_RIGHTS = "dbms_resource_manager_privs"

GONE = frozenset({NO_SUCH_TABLE})
NOT_OURS = frozenset({"ORA-01927", "ORA-01932", "ORA-01031", "ORA-41900"})
"""What a REVOKE is answered by who neither granted it nor may take what others did."""


class PairSession(CatalogSession):
    """A session that can make users alike."""

    def __init__(self, connection: oracledb.Connection, credential: Credential, deadline: Deadline) -> None:
        super().__init__(connection, credential, deadline)
        self._kept: set[Right] = set()

    def clone_status(self, user: str, other: str) -> CloneStatus:
        """Tell what is known about the pair; see `rotation.engine.Session`.

        A user that is locked and has nothing is ours, too: its creation was cut off before it got its mark.
        """
        user, other = normal(user), normal(other)
        users = self._users(user, other)
        self._require_possible(users, user, other)
        if other not in users:
            return CloneStatus.ABSENT
        if self._is_marked(user, other) or self._is_untouched(other, users[other]):
            return CloneStatus.OURS
        return CloneStatus.UNKNOWN

    def mirror(self, user: str, other: str) -> None:
        """Make `other` what `user` is; see `rotation.engine.Session`."""
        user, other = normal(user), normal(other)
        users = self._users(user, other)
        self._require_possible(users, user, other)
        self._require_copiable(users[user], user)
        if other not in users:
            self._create_locked(other, users[user])
        if not self._is_marked(user, other):
            mark = Proxy(other, user, (), NO_ROLES, authenticated=True)
            self._alter(f"marking {other} as the other of {user}", other, f"GRANT {_connection(mark)}")
        self._require_shared(user, other)
        wanted, present = self._shapes(user, other)
        self._copy_attributes(user, other, wanted, present)
        self._copy_rights(user, other, wanted, present)
        self._copy_default_roles(user, other, wanted, present)
        self._copy_quotas(user, other, wanted, present)
        self._copy_groups(user, other, wanted, present)
        self._copy_proxies(user, other, wanted, present)
        self._copy_synonyms(user, other, wanted, present)

    def differences(self, user: str, other: str) -> Sequence[str]:
        """Say in what the two differ; see `rotation.engine.Session`."""
        user, other = normal(user), normal(other)
        missing = [f"there is no user {name}" for name in (user, other) if name not in self._users(user, other)]
        if missing:
            return missing
        mine, others = (shape.without(self._kept).sentences() for shape in self._shapes(user, other))
        return [
            *(f"{other} lacks {sentence}" for sentence in sorted(mine - others)),
            *(f"{other} has {sentence}, {user} has not" for sentence in sorted(others - mine)),
            *(f"{other} may do nothing with {thing}, which {user} owns" for thing in self._unshared(user, other)),
        ]

    # What there is

    def _shapes(self, user: str, other: str) -> tuple[Shape, Shape]:
        return self._shape(user, other), self._shape(other, user, self.username)

    # What cannot be

    def _require_possible(self, users: Mapping[str, Mapping[str, str]], user: str, other: str) -> None:
        operation = f"looking for {user} and {other}"
        if user not in users:
            raise Unsafe(
                operation, f"there is no user {user} on the admin's server", "Correct the host of the admin secret"
            )
        for name, row in users.items():
            if row["oracle_maintained"] == "Y" or name == self.username:
                cause = f"{name} is {'the admin itself' if name == self.username else 'maintained by Oracle'}"
                raise Unsafe(operation, cause, "Put a user of the application into the secret")

    def _require_copiable(self, row: Mapping[str, str], user: str) -> None:
        operation = f"preparing the clone of {user}"
        if row["common"] == "YES":
            raise Unsupported(
                operation, "it is a common user, of all containers", "Use a local user, or the single-user strategy"
            )
        if row["authentication_type"] != "PASSWORD":
            cause = f"it logs in by {row['authentication_type']}, not with a password"
            raise Unsupported(operation, cause, "Use a user with a password")

    def _require_shared(self, user: str, other: str) -> None:
        if things := self._unshared(user, other):
            raise Unsupported(
                f"preparing {other}, which takes turns with {user}",
                f"{user} owns {', '.join(things)}, and nobody else can be given an owner's rights",
                f"Grant {other} what it needs of it, and have its sessions begin with ALTER SESSION SET CURRENT_SCHEMA"
                f" = {quoted(user)}; or move it into a schema that nobody logs in to; or use another strategy",
            )

    # What is done

    def _alter(self, operation: str, user: str, clauses: str) -> None:
        self.command(operation, f"ALTER USER {quoted(user)} {clauses}", f"GRANT ALTER USER TO {self.username}")

    def _create_locked(self, other: str, row: Mapping[str, str]) -> None:
        """Create a user that cannot log in. A policy may refuse one without a password, so nobody keeps that one."""
        operation = f"creating {other}, locked"
        clauses = f"IDENTIFIED BY {quoted(_throw_away())} {_attributes(row)} ACCOUNT LOCK"
        self.command(operation, f"CREATE USER {quoted(other)} {clauses}", f"GRANT CREATE USER TO {self.username}")

    def _copy_attributes(self, user: str, other: str, wanted: Shape, present: Shape) -> None:
        if wanted.attributes != present.attributes:
            self._alter(f"giving {other} the attributes of {user}", other, _attributes(wanted.attributes))

    def _copy_rights(self, user: str, other: str, wanted: Shape, present: Shape) -> None:
        for right in sorted(present.strangers - wanted.rights):
            self._tell(other, right, right.grantor, said(revocation(right, other)))
        for statement, right in statements(present.rights, wanted.rights, other):
            text = said(statement)
            operation, needed = f"giving {other} the rights of {user}: {text}", remedy(text, right, self.username, user)
            may_stay = statement.startswith("REVOKE") and right.owner != SYS
            try:
                self.command(operation, statement, needed, GONE | (NOT_OURS if may_stay else frozenset()))
            except ExpectedError:
                if not may_stay:  # what is gone has no grants: it is there, and not for this admin to see
                    cause = "it may not see the object"
                    raise NotPermitted(f"{operation} as {self.username}", cause, needed) from None
                self._keep(other, right, text)

    def _keep(self, other: str, right: Right, statement: str) -> None:
        """Leave what somebody else gave to the other one. What a rotation gave, its admin may take."""
        self._kept.add(whole(right))
        self._tell(other, right, "somebody else", statement)

    def _tell(self, other: str, right: Right, giver: str, statement: str) -> None:
        text = (
            f"{other} keeps the {right}: {giver} gave it, and {self.username} may not take it. To take it: {statement}"
        )
        logger.warning(said(text))

    def _copy_default_roles(self, user: str, other: str, wanted: Shape, present: Shape) -> None:
        """Set the default roles; a role that was granted just now became one by itself, or did not."""
        roles = {right.name for right in wanted.rights if right.sort is Sort.ROLE}
        present = present.without(self._kept)
        if wanted.default_roles == present.default_roles and wanted.rights == present.rights:
            return
        names = ", ".join(map(quoted, sorted(wanted.default_roles)))
        clause = "ALL" if wanted.default_roles == roles and not self._kept else names or "NONE"
        self._alter(f"giving {other} the default roles of {user}", other, f"DEFAULT ROLE {clause}")

    def _copy_quotas(self, user: str, other: str, wanted: Shape, present: Shape) -> None:
        operation = f"giving {other} the quotas of {user}"
        for tablespace in sorted(wanted.quotas.keys() | present.quotas.keys()):
            quota = wanted.quotas.get(tablespace, 0)
            if quota != present.quotas.get(tablespace, 0):
                self._alter(operation, other, f"QUOTA {sized(quota)} ON {quoted(tablespace)}")

    def _copy_groups(self, user: str, other: str, wanted: Shape, present: Shape) -> None:
        operation = f"giving {other} the consumer groups of {user}"
        for group in sorted(present.groups.keys() | wanted.groups.keys()):
            if wanted.groups.get(group) == present.groups.get(group):
                continue
            if group in present.groups:
                self._manage(operation, f"{GROUP_RIGHTS}.revoke_switch_consumer_group(:name, :grp);", other, group)
            if group in wanted.groups:
                option = "TRUE" if wanted.groups[group] else "FALSE"
                call = f"{GROUP_RIGHTS}.grant_switch_consumer_group(:name, :grp, {option});"
                self._manage(operation, call, other, group)
        if wanted.initial_group != present.initial_group:
            steps = (
                "create_pending_area",
                "set_consumer_group_mapping(dbms_resource_manager.oracle_user, :name, :grp)",
                "submit_pending_area",
            )
            block = " ".join(f"dbms_resource_manager.{step};" for step in steps)
            self._manage(operation, block, other, wanted.initial_group)

    def _manage(self, operation: str, calls: str, user: str, group: str) -> None:
        name = user if user.isidentifier() and user == user.upper() else quoted(user)
        right = f"{GROUP_RIGHTS}.grant_system_privilege (ADMINISTER_RESOURCE_MANAGER)"
        self.call_package(operation, calls, f"Let {self.username} do so with {right}", name=name, grp=group)

    def _copy_proxies(self, user: str, other: str, wanted: Shape, present: Shape) -> None:
        operation = f"giving {other} the proxies of {user}"
        for verb, proxies in (
            ("REVOKE", present.proxies - wanted.proxies),
            ("GRANT", wanted.proxies - present.proxies),
        ):
            for proxy in sorted(proxies):
                client, through = (other if name == "\0" else name for name in (proxy.client, proxy.proxy))
                real = Proxy(client, through, proxy.roles, proxy.constraint, proxy.authenticated)
                self._alter(operation, client, f"{verb} {_connection(real, with_clauses=verb == 'GRANT')}")

    def _copy_synonyms(self, user: str, other: str, wanted: Shape, present: Shape) -> None:
        operation = f"giving {other} the synonyms of {user}"
        names = {synonym.name for synonym in wanted.synonyms}
        remedy = f"GRANT CREATE ANY SYNONYM, DROP ANY SYNONYM TO {self.username}"
        for synonym in sorted(present.synonyms - wanted.synonyms):
            if synonym.name not in names:
                self.command(operation, f"DROP SYNONYM {quoted(other)}.{quoted(synonym.name)}", remedy)
        for synonym in sorted(wanted.synonyms - present.synonyms):
            name = f"{quoted(other)}.{quoted(synonym.name)}"
            self.command(operation, f"CREATE OR REPLACE SYNONYM {name} FOR {synonym.target}", remedy)


def _attributes(row: Mapping[str, str]) -> str:
    return " ".join(
        f"{clause} {quoted(row[name])}"
        for clause, name in (
            ("DEFAULT TABLESPACE", "default_tablespace"),
            ("TEMPORARY TABLESPACE", "temporary_tablespace"),
            ("PROFILE", "profile"),
        )
    )


def _connection(proxy: Proxy, *, with_clauses: bool = True) -> str:
    through = quoted(proxy.proxy) if proxy.proxy else "ENTERPRISE USERS"
    return f"CONNECT THROUGH {through}{proxy.clauses if with_clauses else ''}"


def _throw_away() -> str:
    """Return a password of 30 characters that satisfies the verify functions that Oracle and RDS bring along."""
    classes = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "_#$")
    characters = [secrets.choice(classes[place % len(classes)]) for place in range(30)]
    secrets.SystemRandom().shuffle(characters)
    return secrets.choice(string.ascii_letters) + "".join(characters[1:])
