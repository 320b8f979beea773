"""What makes two PostgreSQL roles one user?

The two roles of an alternating pair are the *original* and its *clone*. The clone is a member of the original, and
acts as it from the first moment of a session (`ALTER ROLE clone SET role = original`). So the pair is one owner: a
table that either of them creates belongs to the original, and either can alter and drop it. And the clone has every
right that the original has.

    what                                    follows how
    rights on objects, roles                the original holds them, for both
    default privileges                      copied from the original to the clone, for sessions that left its role
    attributes, limits, validity, settings  copied from the current user to the other one

What the clone was given by itself (by an operator, or by other rotation functions in the past) is handed over: while
the clone is the current user, the original is granted the same; then the clone loses it, and what it owns passes to
the original. From then on a right that is granted to the original is granted to both, and so with REVOKE.

The catalog shows what a role holds by itself: pg_shdepend lists the objects that it owns, and those that have it in
their ACL, in all databases (https://www.postgresql.org/docs/current/catalog-pg-shdepend.html). If a pair is healthy,
the list is empty. See `rotation.engines.postgresql.holdings`.

Statements name roles, but a role can be dropped, and another one created under its name. So a pair remembers the oids
of its roles, and compares them again once the clone is locked, and at the end of the transaction.
"""

import logging
from collections.abc import Mapping

from psycopg2.sql import SQL, Composable, Identifier, Literal

from rotation.engine import CloneStatus, Comparison
from rotation.engines.driver import Problem
from rotation.engines.postgresql import catalog
from rotation.engines.postgresql.acting import PostgreSQLActing
from rotation.engines.postgresql.admin import lacking, lacking_attributes
from rotation.engines.postgresql.comparison import LocalComparison, PostgreSQLComparison
from rotation.engines.postgresql.connection import NO_PROBLEMS, ROUNDS, PostgreSQLConnection
from rotation.engines.postgresql.databases import other_databases, require_enterable, visit_other_databases
from rotation.engines.postgresql.default_privileges import PostgreSQLDefaultPrivileges
from rotation.engines.postgresql.expiry import about_expiry, require_valid
from rotation.engines.postgresql.holdings import PostgreSQLHoldings
from rotation.engines.postgresql.memberships import PostgreSQLMemberships
from rotation.engines.postgresql.questions import Question
from rotation.engines.postgresql.roles import (
    PairRoles,
    Role,
    attribute,
    attribute_changes,
    listed,
    quoted,
    require_known,
)
from rotation.engines.postgresql.settings import PostgreSQLSettings
from rotation.errors import RETRIED, RightsDiffer, StatementFailed, Unsafe
from rotation.kind import CLONE_SUFFIX
from rotation.redaction import said

log = logging.getLogger(__name__)


class PostgreSQLPair:
    """Two roles that take turns, seen in one database."""

    def __init__(self, connection: PostgreSQLConnection, user: str, other: str, known_oids: dict[str, int]) -> None:
        """Read both roles. `user` is the one that AWSCURRENT names.

        `known_oids` says which roles the names stand for, as far as that is known. What the pair finds out is added.
        """
        self._connection = connection
        self._user = user
        self._other = other
        self._original, self._clone = sorted((user, other), key=len)
        self._mark = f"Takes turns with {self._original}: rotated by AWS Secrets Manager"
        self._known_oids = known_oids
        self._admin: Role | None = None
        self.compared: LocalComparison | None = None
        """What the last comparison found."""
        self._roles = self._read_roles()

    def clone_status(self) -> CloneStatus:
        """Return what the server knows about the clone; raises Unsafe if the original is gone."""
        if self._original not in self._roles:
            raise Unsafe(
                f"looking for {self._original}, whose clone is {self._clone}",
                f"there is no role {self._original}",
                f"Create it, or name a user in the secret that does not end in {CLONE_SUFFIX}",
            )
        if self._clone not in self._roles:
            return CloneStatus.ABSENT
        return CloneStatus.OURS if self._is_marked() else CloneStatus.UNKNOWN

    def mirror(self, compared: "PostgreSQLPair | None" = None) -> None:
        """Make the other user what the current one is; see `rotation.engine.Session`.

        `compared` is the pair as it was compared before. What somebody did to the other user since is not undone.

        All of it happens in one transaction, that of the connection. If the clone holds something in other databases,
        there are more transactions: one that makes it a member of the original, then one for each of those databases,
        then this one. Each ends before the next one begins to change something, because they lock the same roles.

        If another session changes the same things at the same time, all is done again: another invocation of this step,
        or the rotation of another secret.
        """
        known, self.compared = dict(self._known_oids), compared.compared if compared else None
        for _ in range(ROUNDS - 1):
            with self._connection.repeatable():
                self._mirror()
                return
            self._connection.rollback()
            self._known_oids.clear()  # a role that was created is gone
            self._known_oids |= known
            self._roles = self._read_roles()
        self._mirror()

    def _mirror(self) -> None:
        self._lock(compares=True)
        self._require_as_compared()
        require_valid(self._connection, self._user)  # the other user gets the same date
        self._require_possible()
        self._join()
        PostgreSQLMemberships(self._connection, self._pair_roles()).hand_over()
        if other_databases(self._connection, self._pair_roles()):
            self._connection.commit()
            self._hand_over_elsewhere()
            self._lock(compares=True)
            self._require_as_compared()
            self._join()
        self._holdings().hand_over()
        self._align()

    def _require_as_compared(self) -> None:
        """Raise RightsDiffer if somebody has changed the other user since the two were compared.

        The next attempt compares them again. A change of the current user is followed at once, and another delivery of
        this step only takes differences away.
        """
        if not self.compared:
            return
        if changes := self._comparison(is_mirrored=False).local().changes_of_other(self.compared):
            raise RightsDiffer(
                f"preparing {self._other}, which takes turns with {self._user}",
                f"somebody changed {self._other} meanwhile: {listed(changes)}",
                f"{RETRIED}, and the error of the next attempt has the statements that end this",
            )

    def _require_possible(self) -> None:
        """Raise an error if the two cannot be made equal, as far as can be read, before anything of them is changed."""
        roles = self._pair_roles()
        PostgreSQLActing(self._connection, roles).require_possible()
        databases = other_databases(self._connection, roles)
        require_enterable(self._connection, databases, roles)
        PostgreSQLMemberships(self._connection, roles).require_removable()
        self._holdings().require_movable()
        visit_other_databases(
            self._connection,
            [database for database in databases if database.has_unmovable],
            lambda there, _: PostgreSQLHoldings(there, roles).require_movable(),
        )

    def compare(self, *, is_mirrored: bool) -> Comparison:
        """Compare the two; see `rotation.engine.Session`. `is_mirrored`: the same session has mirrored them.

        Another rotation of the same pair can commit while this one reads. So a difference counts if it is read twice.
        """
        comparison = self._comparison(is_mirrored=is_mirrored)
        local = comparison.local()
        for _ in range(ROUNDS):
            if not local.differences or not comparison.is_admins:
                break
            self._connection.forget()
            self._roles, before = self._read_roles(), local
            comparison = self._comparison(is_mirrored=is_mirrored)
            if (local := comparison.local()) == before:
                break
        self.compared = local
        return comparison.with_elsewhere(local)

    def _comparison(self, *, is_mirrored: bool) -> PostgreSQLComparison:
        if missing := [name for name in (self._user, self._other) if name not in self._roles]:
            raise RightsDiffer(
                f"comparing {self._other} with {self._user}",
                f"there is no role {missing[0]}",
                f"Create {self._original}, if that is gone. Rotate again, which creates {self._clone}",
            )
        return PostgreSQLComparison(self._connection, self._pair_roles(), self._roles, is_mirrored=is_mirrored)

    def hand_over(self) -> None:
        """Give the original what the clone holds by itself, in this database and on shared objects."""
        self._lock(compares=False)
        self._join()
        self._holdings().hand_over()

    def _lock(self, *, compares: bool) -> None:
        """Make sure that the clone exists, carries our mark, and is locked by us. Then read both anew, in one message.

        `compares`: if there is nothing to change, the two are compared by what is read here. Raises Unsafe if somebody
        else has created a role of that name.
        """
        self._roles = self._read_roles()  # what was read before a visit to other databases is old
        self._create()
        self._mark_and_lock()
        comparison = self._comparison(is_mirrored=False)
        questions = [self._about_roles, about_expiry(self._user), *comparison.questions]
        comparison.ask([*questions, *comparison.questions_of_states] if compares else questions)
        self._roles = self._read_roles()  # raises Unsafe if the comment went to another role of the clone's name

    def _join(self) -> None:
        """Make sure that the clone is a member of the original."""
        if not PostgreSQLMemberships(self._connection, self._pair_roles()).is_member():
            options = SQL(" WITH INHERIT TRUE, SET TRUE" if self._connection.memberships_have_options else "")
            grant = SQL("GRANT {} TO {}").format(Identifier(self._original), Identifier(self._clone))
            # Nobody can be a member of its own member.
            end = (
                f"REVOKE {quoted(self._clone)} FROM {quoted(self._original)}, and from what the original is a member of"
            )
            problems: Mapping[str, Problem] = {"0LP01": (StatementFailed, end)}
            self._change(f"making {self._clone} a member of {self._original}", grant + options, problems=problems)

    def _create(self) -> None:
        if self._clone not in self._roles:
            self._change(f"creating {self._clone}", SQL("CREATE ROLE {} NOLOGIN").format(Identifier(self._clone)))
            self._roles = self._read_roles()
            self._known_oids[self._clone] = self._roles[self._clone].oid

    def _mark_and_lock(self) -> None:
        """Write our mark into the clone's comment, even if it is there.

        Two invocations of one step would get into each other's way ("tuple concurrently updated"). COMMENT locks the
        clone until the transaction ends, against all others that do the same, and only who administers it can do that.
        """
        operation, comment, is_marked = f"marking {self._clone}", self._roles[self._clone].comment, self._is_marked()
        if not is_marked and self._clone not in self._known_oids:
            cause = "somebody else has created a role of that name meanwhile"
            raise Unsafe(operation, cause, f"Rename or drop {self._clone}")
        self._known_oids |= {name: role.oid for name, role in self._roles.items()}
        marked = comment if is_marked else "\n".join(filter(None, (comment, self._mark)))
        self._change(operation, SQL("COMMENT ON ROLE {} IS {}").format(Identifier(self._clone), Literal(marked)))

    def _hand_over_elsewhere(self) -> None:
        def hand_over(there: PostgreSQLConnection, _: str) -> None:
            self._seen_from(there).hand_over()

        databases = other_databases(self._connection, self._pair_roles())
        if left := visit_other_databases(self._connection, databases, hand_over):
            names = listed(left)
            log.warning(said(f"{self._clone} can hold rights in databases that were not checked: {names}"))

    def _seen_from(self, there: PostgreSQLConnection) -> "PostgreSQLPair":
        return PostgreSQLPair(there, self._user, self._other, dict(self._known_oids))

    def _align(self) -> None:
        """Copy attributes and settings of the current user, and the default privileges of the original."""
        self._roles = self._read_roles()
        self._align_attributes()
        PostgreSQLSettings(self._connection, self._pair_roles()).align()
        PostgreSQLDefaultPrivileges(self._connection, self._pair_roles()).align()
        self._read_roles()  # raises Unsafe if a name stands for another role than when the transaction began

    def _align_attributes(self) -> None:
        wanted = attribute_changes(self._roles[self._user], self._roles[self._other])
        changes = [attribute(name, value) for name, value in wanted.items()]
        if self._other == self._clone and not self._roles[self._clone].inherits:
            # It needs INHERIT to connect wherever its original can. From then on it acts as the original.
            changes.append(SQL("INHERIT"))
        if changes:
            statement = SQL("ALTER ROLE {} WITH {}").format(Identifier(self._other), SQL(" ").join(changes))
            words = [self._connection.quoted(part) for part in changes]
            have_options = self._connection.memberships_have_options
            remedy = lacking_attributes(
                self._connection.username, self._admin, self._other, words, have_options=have_options
            )
            self._change(f"giving {self._other} the attributes of {self._user}", statement, remedy)

    def _is_marked(self) -> bool:
        """Return whether our mark is in the clone's comment, in lines of its own: names can have line breaks."""
        return f"\n{self._mark}\n" in f"\n{self._roles[self._clone].comment}\n"

    def _holdings(self) -> PostgreSQLHoldings:
        return PostgreSQLHoldings(self._connection, self._pair_roles())

    def _pair_roles(self) -> PairRoles:
        names = {"original": self._original, "clone": self._clone}
        oids = {word: self._roles[name].oid for word, name in names.items() if name in self._roles}
        return PairRoles(
            self._original, self._clone, oids, clone_is_current=self._user == self._clone, remedy=self._remedy
        )

    @property
    def _about_roles(self) -> Question:
        return Question(catalog.ROLES, (self._user, self._other, self._connection.username))

    def _read_roles(self) -> dict[str, Role]:
        names, me = (self._user, self._other), self._connection.username
        rows = self._connection.ask("reading the roles", self._about_roles)
        found = {str(name): Role.from_row(*row) for name, *row in rows}
        self._admin, roles = found.get(me), {name: role for name, role in found.items() if name in names}
        require_known(names, self._known_oids, {name: role.oid for name, role in roles.items()})
        return roles

    @property
    def _remedy(self) -> str:
        """What to do if the admin is not permitted to change the two."""
        have_options = self._connection.memberships_have_options
        return lacking(self._connection.username, self._admin, self._roles, have_options=have_options)

    def _change(
        self, operation: str, statement: Composable, remedy: str = "", problems: Mapping[str, Problem] = NO_PROBLEMS
    ) -> None:
        self._connection.execute(operation, statement, remedy=remedy or self._remedy, problems=problems)
