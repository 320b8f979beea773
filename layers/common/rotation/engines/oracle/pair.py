"""What makes two users of Oracle the same?

The current user is the reference: the other one gets what the current user has, and loses what it does not have.
Nothing is ever written to the current user. DDL is committed at once, so the work can stop after any statement:

    create the user locked  →  mark  →  attributes  →  REVOKE, then GRANT  →  default roles, quotas, consumer
    groups, proxies, synonyms  →  (password)

**The mark.** Users of Oracle have no comment. But a user has a list of proxies that may connect as it, so the mark
of a clone is

    ALTER USER clone GRANT CONNECT THROUGH original WITH NO ROLES AUTHENTICATION REQUIRED

which allows nothing: the original would have to give the clone's own password, with which anybody can log in as the
clone directly, and with its roles
(https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/ALTER-USER.html, db_user_proxy_clauses).

**What a user owns** belongs to it alone: nobody else can be given an owner's rights. Private synonyms are copied. On
all other objects, the other one must have been granted something by hand. It keeps what it was granted on them.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress

from rotation.engine import CloneStatus, Comparison, state
from rotation.engines.driver import ExpectedError, unread_password
from rotation.engines.oracle.admin import NO_SUCH_TABLE, OracleAdmin
from rotation.engines.oracle.catalog import OracleCatalog, User, is_locked
from rotation.engines.oracle.comparison import covered, differences, passing, unshared_difference
from rotation.engines.oracle.definition import (
    ATTRIBUTES,
    NO_ROLES,
    THE_USER,
    Definition,
    Proxy,
    attribute_clauses,
    changed_groups,
    quota_size,
    role_list,
)
from rotation.engines.oracle.kind import KIND
from rotation.engines.oracle.packages import (
    RESOURCES,
    PackageCall,
    group_call,
    initial_group_call,
    package_call,
    package_remedy,
)
from rotation.engines.oracle.problems import REFUSED_BY_TRIGGER
from rotation.engines.oracle.requirements import Requirements
from rotation.engines.oracle.rights import (
    SYS,
    Right,
    has_side_effects,
    identifier,
    packaged_name,
    remedy,
    revocation,
    statements,
    whole,
)
from rotation.errors import RETRIED, DatabaseError, NotPermitted, RightsDiffer, StatementFailed, Unsafe
from rotation.redaction import said

log = logging.getLogger(__name__)

GONE = frozenset({NO_SUCH_TABLE, "ORA-02289", "ORA-04042", "ORA-04043", "ORA-06564", "ORA-22930", "ORA-38802"})
"""There is no such table, sequence, procedure, other object, directory (two numbers) or edition; or none for this
admin."""
NOT_REVOCABLE = frozenset({"ORA-01927", "ORA-01932", "ORA-01031", "ORA-41900"})
"""What the server answers to REVOKE if the admin did not grant the right, and may not revoke what others granted."""

# What another delivery of the same step has done in the meantime is no failure.
EXISTS = frozenset({"ORA-01920"})
NOT_GRANTED = frozenset({"ORA-01951", "ORA-01952"})
NO_SUCH_DEFAULT_ROLE = frozenset({"ORA-01955"})
NO_SUCH_PROXY = frozenset({"ORA-28154"})
NO_SUCH_SYNONYM = frozenset({"ORA-01434"})
PENDING_AREA = frozenset({"ORA-29370"})
"""A session is changing resource plans; there is one pending area in a database."""
MOST_TRIES = 20
"""How often an initial consumer group is set while other sessions have the pending area: each for an instant only."""


class OraclePair:
    """The two users of a pair, seen by an admin. Names are as the server keeps them."""

    def __init__(self, admin: OracleAdmin, catalog: OracleCatalog, user: str, other: str, kept: set[Right]) -> None:
        self._admin = admin
        self._catalog = catalog
        self._user = user
        self._other = other
        self._kept = kept
        """What the admin could not revoke, in this session."""
        self._requirements = Requirements(admin, catalog, user, other)

    def clone_status(self) -> CloneStatus:
        """Tell what is known about the pair; see `rotation.engine.Session`.

        A user that is locked and has nothing is ours as well: its creation was interrupted before it got the mark.
        """
        self._catalog.read_marks()
        users = self._requirements.users()
        if self._other not in users:
            return CloneStatus.ABSENT
        if self._is_marked():
            return CloneStatus.OURS
        self._admin.look.end()  # another delivery can have marked it since
        # In this order: if another delivery marks it right now, one of the two is seen.
        if self._catalog.is_untouched(self._other, users[self._other]) or self._is_marked():
            return CloneStatus.OURS
        return CloneStatus.UNKNOWN

    def mirror(self) -> None:
        """Make the other one what the user is; see `rotation.engine.Session`."""
        self._catalog.read_definitions()
        users = self._requirements.users()
        self._requirements.require_mirrorable(users[self._user])
        self._requirements.require_shared()
        user_has = self._catalog.definition(self._user, self._other)
        if self._other not in users:
            self._create_locked(users[self._user])
        other_has = self._other_definition()
        self._requirements.require_nothing_lost(user_has, other_has)
        if not self._is_marked():
            self._mark()
        self._copy_attributes(user_has, other_has)
        self._copy_rights(user_has, other_has)
        self._copy_default_roles(user_has, other_has)
        self._copy_quotas(user_has, self._after_side_effects(user_has, other_has))
        self._copy_groups(user_has, other_has)
        self._copy_initial_group(user_has, other_has)
        self._copy_proxies(user_has, other_has)
        self._copy_synonyms(user_has, other_has)

    def compare(self) -> Comparison:
        """Compare the two; see `rotation.engine.Session`."""
        user, other = self._user, self._other
        self._catalog.read_definitions()
        users = self._catalog.users(user, other)
        if missing := [name for name in (user, other) if name not in users]:
            cause = f"there is no user {' and no user '.join(missing)}"
            raise RightsDiffer(f"comparing the rights of {other} with those of {user}", cause, f"Create it. {RETRIED}")
        all_of_user, all_of_other = self._catalog.definition(user, other), self._other_definition()
        user_has, other_has = all_of_user.without(self._kept), all_of_other.without(self._kept)
        ungranted = self._catalog.ungranted(user, other)
        return Comparison(
            [
                *differences(user, other, user_has, other_has),
                *(unshared_difference(user, other, object_type, item) for object_type, item in ungranted),
            ],
            state([*all_of_user.things(), *self._hidden(all_of_user, all_of_other)]),
            state(all_of_other.things()),
            f"ALTER USER {identifier(other)} ACCOUNT UNLOCK" if is_locked(users[other]) else None,
            passing(user, other, user_has, other_has),
        )

    def _hidden(self, user_has: Definition, other_has: Definition) -> Iterator[str]:
        """Yield what the other one keeps because the admin cannot revoke it.

        Such a right is no difference, so the rotation goes on. But the two are not equal when it ends. So the state of
        the user says so, and is no state of it in the next rotation, when the user is the other one: that rotation
        does not grant what the user lacks, as somebody can have revoked it from the user.
        """
        held = {*other_has.irrevocable, *(right for right in other_has.rights if whole(right) in self._kept)}
        for right in held - covered(held, user_has.rights):
            yield f"{self._other} keeps the {right}"

    # What there is

    def _other_definition(self) -> Definition:
        return self._catalog.definition(self._other, self._user, self._admin.connection.username)

    def _is_marked(self) -> bool:
        return self._catalog.is_marked(self._user, self._other)

    # What is done

    def _change(self, operation: str, statement: str, privileges: str, done: frozenset[str] = frozenset()) -> None:
        """Run a statement; the codes in `done` say that another delivery of this step has done it."""
        needed = f"GRANT {privileges} TO {packaged_name(self._admin.connection.username)}"
        with suppress(ExpectedError):
            self._admin.change(operation, statement, needed, done)

    def _alter(self, operation: str, user: str, clauses: str, done: frozenset[str] = frozenset()) -> None:
        self._change(operation, f"ALTER USER {identifier(user)} {clauses}", "ALTER USER", done)

    def _create_locked(self, row: User) -> None:
        """Create a user that cannot log in; a policy can require a password, so it gets one that nobody keeps."""
        named = {name: row[name] for name in ATTRIBUTES}
        clauses = (
            f"IDENTIFIED BY {identifier(unread_password(KIND, self._other))} {attribute_clauses(named)} ACCOUNT LOCK"
        )
        statement, operation = f"CREATE USER {identifier(self._other)} {clauses}", f"creating {self._other}, locked"
        needed = f"GRANT CREATE USER TO {packaged_name(self._admin.connection.username)}"
        try:
            self._admin.change(operation, statement, needed, EXISTS)
        except ExpectedError:
            status = self.clone_status()
            if status is not CloneStatus.OURS:  # else another delivery of this step has created it
                cause = "a role has this name" if status is CloneStatus.ABSENT else "somebody else has created it"
                remedy = f"Rename or drop {self._other}, or use the single-user strategy"
                raise Unsafe(operation, cause, remedy) from None

    def _mark(self) -> None:
        mark = Proxy(self._other, self._user, (), NO_ROLES, authenticated=True)
        operation = f"marking {self._other} as the clone or the original of {self._user}"
        self._alter(operation, self._other, f"GRANT {mark.through}{mark.clauses}")

    def _copying(self, what: str) -> str:
        return f"giving {self._other} the {what} of {self._user}"

    def _copy_attributes(self, user_has: Definition, other_has: Definition) -> None:
        if missing := dict(user_has.attributes.items() - other_has.attributes.items()):
            self._alter(self._copying("attributes"), self._other, attribute_clauses(missing))

    def _copy_rights(self, user_has: Definition, other_has: Definition) -> None:
        for right in sorted(other_has.irrevocable - user_has.rights):
            self._warn(right, right.grantor, said(revocation(right, self._other)))
        for statement, right in statements(other_has.rights, user_has.rights, self._other):
            self._copy_right(statement, right)

    def _after_side_effects(self, user_has: Definition, other_has: Definition) -> Definition:
        """Change again what some rights have brought or taken with them; return what the other one has then."""
        if not any(map(has_side_effects, user_has.rights ^ other_has.rights)):
            return other_has
        changed = self._other_definition().without(self._kept)
        for statement, right in statements(changed.rights, user_has.without(self._kept).rights, self._other):
            self._copy_right(statement, right)
        return self._other_definition()

    def _copy_right(self, statement: str, right: Right) -> None:
        grants, admin = statement.startswith("GRANT"), self._admin.connection.username
        call = package_call(right, self._other, grants=grants)
        text = said(str(call) if call else statement)
        operation = f"{self._copying('rights')}: {text}"
        needed = package_remedy(call, admin) if call else remedy(text, right, admin, self._user, self._other)
        expected = GONE | REFUSED_BY_TRIGGER | (frozenset() if grants else NOT_REVOCABLE | NOT_GRANTED)
        try:
            if call:
                self._admin.call_package(operation, call.text, call.arguments, needed, expected)
            else:
                self._admin.change(operation, statement, needed, expected)
        except ExpectedError as refused:
            self._require_done(right, refused, operation, needed, text, grants=grants)

    def _require_done(  # noqa: PLR0913 - what one statement was, and what came of it
        self, right: Right, refused: ExpectedError, operation: str, needed: str, text: str, *, grants: bool
    ) -> None:
        """Raise NotPermitted if the server refused to change a right, unless it is gone, or can stay."""
        if not grants and whole(right) not in map(whole, self._catalog.rights(self._other)):
            return  # another delivery of this step has revoked it, or it went with its object
        if not grants and right.owner != SYS and refused.code not in REFUSED_BY_TRIGGER:
            self._kept.add(whole(right))
            self._warn(right, "another user", text)
            return
        admin = self._admin.connection.username
        causes = {
            refused.code in REFUSED_BY_TRIGGER: f"a trigger of the database refuses it ({refused.code})",
            refused.code in GONE: f"{admin} cannot see the object",  # one that is gone has no grants: so it exists
        }
        cause = causes.get(True, f"{admin} is not the user who granted it ({refused.code})")
        raise NotPermitted(f"{operation} as {admin}", cause, needed) from None

    def _warn(self, right: Right, grantor: str, statement: str) -> None:
        """Log that the other one keeps what another user granted; an admin can revoke what a rotation granted."""
        admin = self._admin.connection.username
        cause = f"{grantor} granted it, and {admin} cannot revoke it"
        log.warning(said(f"{self._other} keeps the {right}: {cause}. To revoke it, run: {statement}"))

    def _copy_default_roles(self, user_has: Definition, other_has: Definition) -> None:
        """Set the default roles; a role that was just granted is one by itself, or not."""
        other_has = other_has.without(self._kept)
        if user_has.default_roles == other_has.default_roles and user_has.rights == other_has.rights:
            return
        clause = user_has.default_role_clause
        if clause == "ALL" and self._kept:  # a role that the other one keeps would be a default role as well
            clause = role_list(user_has.default_roles)
        self._alter(self._copying("default roles"), self._other, f"DEFAULT ROLE {clause}", NO_SUCH_DEFAULT_ROLE)

    def _copy_quotas(self, user_has: Definition, other_has: Definition) -> None:
        for tablespace in sorted(user_has.quotas.keys() | other_has.quotas.keys()):
            quota = user_has.quotas.get(tablespace, 0)
            if quota != other_has.quotas.get(tablespace, 0):
                clause = f"QUOTA {quota_size(quota)} ON {identifier(tablespace)}"
                self._alter(self._copying("quotas"), self._other, clause)

    def _copy_groups(self, user_has: Definition, other_has: Definition) -> None:
        for group in changed_groups(user_has, other_has):
            if group in other_has.groups:
                self._revoke_group(group)
            if group in user_has.groups:
                self._manage_group(group_call(self._other, group, option=user_has.groups[group]))

    def _revoke_group(self, group: str) -> None:
        """Revoke the right to switch to a group. No page says what the server answers if it was revoked already."""
        try:
            self._manage_group(group_call(self._other, group))
        except DatabaseError:
            if group in self._catalog.groups(self._other):
                raise

    def _copy_initial_group(self, user_has: Definition, other_has: Definition) -> None:
        """Set the initial group; a user loses it with the right to switch to it
        (https://docs.oracle.com/en/database/oracle/oracle-database/19/arpls/DBMS_RESOURCE_MANAGER_PRIVS.html)."""  # noqa: D205, D209 - the link takes the line
        group = user_has.initial_group
        if group == other_has.initial_group and group not in changed_groups(user_has, other_has):
            return
        for _ in range(MOST_TRIES):
            with suppress(ExpectedError):
                self._manage_group(initial_group_call(self._other, group), PENDING_AREA)
                return
        cause = "other sessions are changing resource plans"
        raise StatementFailed(self._copying("initial consumer group"), cause, f"Wait for them. {RETRIED}")

    def _manage_group(self, call: PackageCall, expected: frozenset[str] = frozenset()) -> None:
        admin = self._admin.connection.username
        needed = f"Grant {admin} ADMINISTER_RESOURCE_MANAGER with {RESOURCES}.grant_system_privilege"
        self._admin.call_package(self._copying("consumer groups"), call.text, call.arguments, needed, expected)

    def _copy_proxies(self, user_has: Definition, other_has: Definition) -> None:
        operation = self._copying("proxies")
        for proxy in sorted(other_has.proxies - user_has.proxies):
            actual = proxy.renamed(THE_USER, self._other)
            self._alter(operation, actual.client, f"REVOKE {actual.through}", NO_SUCH_PROXY)
        for proxy in sorted(user_has.proxies - other_has.proxies):
            actual = proxy.renamed(THE_USER, self._other)
            self._alter(operation, actual.client, f"GRANT {actual.through}{actual.clauses}")

    def _copy_synonyms(self, user_has: Definition, other_has: Definition) -> None:
        operation, schema = self._copying("synonyms"), identifier(self._other)
        needed = "CREATE ANY SYNONYM, DROP ANY SYNONYM"
        names = {synonym.name for synonym in user_has.synonyms}
        for synonym in sorted(other_has.synonyms - user_has.synonyms):
            if synonym.name not in names:
                statement = f"DROP SYNONYM {schema}.{identifier(synonym.name)}"
                self._change(operation, statement, needed, NO_SUCH_SYNONYM)
        for synonym in sorted(user_has.synonyms - other_has.synonyms):
            name = f"{schema}.{identifier(synonym.name)}"
            self._change(operation, f"CREATE OR REPLACE SYNONYM {name} FOR {synonym.target}", needed)
