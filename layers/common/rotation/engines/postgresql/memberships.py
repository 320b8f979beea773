"""Of which roles is the clone a member by itself, and how does its original become one?

The same holds as for rights (`rotation.engines.postgresql.holdings`). What an operator gave is handed over, or the
rotation is refused. What a stranger gave, who can grant a role to others, is handed over if possible, and left if not.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from psycopg2.sql import SQL, Composable, Identifier

from rotation.engine import Difference
from rotation.engines.driver import Problem
from rotation.engines.postgresql import catalog
from rotation.engines.postgresql.admin import acting_as, admin_option
from rotation.engines.postgresql.connection import PostgreSQLConnection
from rotation.engines.postgresql.questions import Question, Rows
from rotation.engines.postgresql.rights import boolean
from rotation.engines.postgresql.roles import PairRoles, Scope, listed
from rotation.errors import RightsDiffer, StatementFailed
from rotation.redaction import said
from rotation.values import dataclass

MOST_FAILURES = 3
"""After so many, no other membership that a stranger gave is tried: each can take as long as waiting for a lock."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Membership:
    """A membership that the clone has, and the original lacks: a row of catalog.EXTRA_MEMBERSHIPS."""

    role: str
    admin: bool
    inherits: bool
    sets: bool
    grantor: str
    by_operator: bool
    original_admin: bool | None
    """Whether the original's own membership has the ADMIN option; None if the original is no member."""
    original_inherits: bool | None
    original_sets: bool | None
    is_own: bool
    """Whether the clone has it because it created the role."""
    can_revoke: bool
    """Whether the admin can end the clone's membership."""
    can_grant: bool
    """Whether the admin can grant the role."""
    clone_can_grant: bool
    is_trusted: bool
    """Whether the operator has let the admin act as the grantor."""

    def __str__(self) -> str:
        return self.role

    def grant(self, roles: PairRoles, *, has_options: bool) -> Composable:
        """Return the statement that makes the original a member, with the same options."""
        grant = SQL("GRANT {} TO {}").format(Identifier(self.role), Identifier(roles.original))
        return grant + SQL(self._options() if has_options else self._admin_option())

    def revoke(self, roles: PairRoles, *, has_options: bool) -> Composable:
        """Return the statement that ends the clone's membership."""
        by = SQL(" GRANTED BY {}").format(Identifier(self.grantor)) if has_options else SQL("")
        return SQL("REVOKE {} FROM {}").format(Identifier(self.role), Identifier(roles.clone)) + by

    def _options(self) -> str:
        """Return its options together with those that the original has (version 16 and later)."""
        admin, inherits, sets = (
            boolean(clones or bool(originals))
            for clones, originals in (
                (self.admin, self.original_admin),
                (self.inherits, self.original_inherits),
                (self.sets, self.original_sets),
            )
        )
        return f" WITH ADMIN {admin}, INHERIT {inherits}, SET {sets}"

    def _admin_option(self) -> str:
        """Return the only option of earlier versions."""
        return " WITH ADMIN OPTION" if self.admin else ""


def _merged(memberships: Iterable[Membership]) -> list[Membership]:
    """Return one membership for each role, with the options of all: each grantor has given the clone one."""
    merged: dict[str, Membership] = {}
    for one in memberships:
        also = merged.get(one.role, one)
        merged[one.role] = replace(
            one,
            admin=one.admin or also.admin,
            inherits=one.inherits or also.inherits,
            sets=one.sets or also.sets,
        )
    return list(merged.values())


class PostgreSQLMemberships:
    """The memberships that the clone has, and its original lacks; all databases share them."""

    def __init__(self, connection: PostgreSQLConnection, roles: PairRoles) -> None:
        """Take the pair."""
        self._connection = connection
        self._roles = roles

    @property
    def questions(self) -> list[Question]:
        """What is asked about the memberships of the clone."""
        return [self._is_member_question, self._extra_question]

    @property
    def questions_of_things(self) -> list[Question]:
        """What is asked for the states of both."""
        return [self._question_of("original", "clone"), self._question_of("clone", "original")]

    def differences(self, scope: Scope) -> list[Difference]:
        """Return the roles of which the clone alone is a member, except for those that strangers gave it."""
        clone, original = self._roles.clone, self._roles.original
        found: dict[str, list[Membership]] = {}
        for one in self._extra():
            if scope.counts(one) and (scope.counts_own or not one.is_own):
                found.setdefault(one.role, []).append(one)
        return [
            self._roles.difference(
                f"{clone} is a member of {role}, {original} is not",
                original=self._connection.quoted(self._grant(_merged(memberships)[0])),
                clone="; ".join(self._connection.quoted(self._revoke(one)) for one in memberships),
            )
            for role, memberships in found.items()
        ]

    def things(self, word: str, other: str) -> list[str]:
        """Return of what a role of the pair (`original` or `clone`) is a member, for its state."""
        return [f"membership {row}" for row in self._ask(self._question_of(word, other))]

    def is_member(self) -> bool:
        """Return whether the clone is a member of the original, and one that can act as it."""
        return bool(self._ask(self._is_member_question))

    def require_removable(self) -> None:
        """Raise RightsDiffer if the clone alone has a role that the admin cannot take from it. Changes nothing."""
        self._require_removable([one for one in self._extra() if one.by_operator])

    def hand_over(self) -> None:
        """Make the original a member, for both, with the same options. Raises NotPermitted."""
        if not (extra := self._extra()):
            return
        self._connection.give_way(f"handing over what {self._roles.clone} is a member of")
        self._hand_over_from_operators([one for one in extra if one.by_operator])
        self._hand_over_from_strangers([one for one in extra if not one.by_operator])
        if any(not one.by_operator for one in extra) and (left := self._extra()):
            log.warning(said(f"{self._roles.clone} stays a member of roles that strangers gave it: {listed(left)}"))

    def _hand_over_from_operators(self, memberships: Sequence[Membership]) -> None:
        """Grant each role to the original, as the admin if it can, and take it from the clone if the admin can.

        A membership that cannot be taken from the clone stays, if the original has it then: the clone has what the
        original has. A role that the clone created belongs to both, whichever is current.
        """
        self._require_removable(memberships)
        granted = _merged([one for one in memberships if self._roles.clone_is_current or one.is_own])
        by_clone = {one.role for one in granted if one.clone_can_grant and not one.can_grant}
        self._execute((one, self._grant(one)) for one in granted if one.role not in by_clone)
        if by_clone:
            with acting_as(self._connection, self._roles.clone, self._roles.oids["clone"]):
                self._execute((one, self._grant(one)) for one in granted if one.role in by_clone)
        # What the clone has granted ends with the membership that let it grant.
        self._execute((one, self._revoke(one)) for one in memberships if one.can_revoke and one.role not in by_clone)

    def _require_removable(self, memberships: Sequence[Membership]) -> None:
        """Raise RightsDiffer if the clone alone has a role that the admin cannot take from it."""
        if self._roles.clone_is_current:
            return
        for one in memberships:
            if not one.can_revoke and not one.is_own:
                give, take = (self._connection.quoted(part) for part in (self._grant(one), self._revoke(one)))
                raise RightsDiffer(
                    self._operation(one),
                    f"{one.grantor} granted it, and {self._connection.username} cannot revoke that",
                    f"Run as {one.grantor}: {take}; or, to give it to both: {give}",
                )

    def _execute(self, work: Iterable[tuple[Membership, Composable]]) -> None:
        for one, statement in work:
            remedy = admin_option(self._connection.username, one.role)
            self._connection.execute(self._operation(one), statement, remedy=remedy, problems=self._problems(one))

    def _problems(self, one: Membership) -> Mapping[str, Problem]:
        """Return what the codes of a refused GRANT of a role mean."""
        revoke = self._connection.quoted(self._revoke(one))
        return {
            "0LP01": (StatementFailed, f"{revoke}: {one} is a member of {self._roles.original}, and not the reverse"),
            "2BP01": (StatementFailed, f"{revoke} CASCADE: {self._roles.clone} has granted {one} to others"),
        }

    def _hand_over_from_strangers(self, memberships: Sequence[Membership]) -> None:
        failures = 0
        for one in memberships:
            statements = [self._grant(one)] if self._roles.clone_is_current else []
            if failures < MOST_FAILURES:
                failures += not all(
                    self._connection.attempt(self._operation(one), [statement])
                    for statement in (*statements, self._revoke(one))
                )

    def _operation(self, one: Membership) -> str:
        return f"handing over to {self._roles.original} that {self._roles.clone} is a member of {one}"

    def _grant(self, one: Membership) -> Composable:
        return one.grant(self._roles, has_options=self._connection.memberships_have_options)

    def _revoke(self, one: Membership) -> Composable:
        return one.revoke(self._roles, has_options=self._connection.memberships_have_options)

    def _extra(self) -> list[Membership]:
        return [Membership(*row) for row in self._ask(self._extra_question)]

    def _ask(self, question: Question) -> Rows:
        return self._connection.ask("reading the memberships", question, self._roles.remedy)

    @property
    def _is_member_question(self) -> Question:
        query = catalog.IS_FULL_MEMBER if self._connection.memberships_have_options else catalog.IS_MEMBER
        return Question(query, (self._roles.oids["original"], self._roles.oids["clone"]))

    @property
    def _extra_question(self) -> Question:
        return Question(catalog.EXTRA_MEMBERSHIPS.format(**self._options), self._roles.oids)

    def _question_of(self, word: str, other: str) -> Question:
        oids = {"role": self._roles.oids[word], "other": self._roles.oids[other]}
        return Question(catalog.MEMBERSHIPS.format(**self._options), oids)

    @property
    def _options(self) -> Mapping[str, str]:
        return catalog.FROM_16 if self._connection.memberships_have_options else catalog.BEFORE_16
