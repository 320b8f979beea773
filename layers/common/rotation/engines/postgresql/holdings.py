"""What does the clone hold by itself, and how does its original get it?

Everything here is about one database, and about the objects that all databases share.

What an *operator* gave the clone, a superuser or a role with CREATEROLE, was meant for the pair: it is handed over, or
the rotation is refused. But everybody who owns something can grant the clone rights on it. Such a *stranger* can
neither stop a rotation nor use the admin for what she cannot do herself. What she gave is handed over in her own name
if the admin can act as her. Otherwise it stays as it is, and is not compared any further: it is of no use to the clone,
which acts as its original.
"""

import logging
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from itertools import groupby, islice

from psycopg2.sql import SQL, Identifier

from rotation.engine import Difference
from rotation.engines.postgresql import catalog
from rotation.engines.postgresql.admin import acting_as, require_no_strange_triggers
from rotation.engines.postgresql.connection import PostgreSQLConnection
from rotation.engines.postgresql.questions import Question
from rotation.engines.postgresql.rights import Grant
from rotation.engines.postgresql.roles import PairRoles, Scope, listed, quoted
from rotation.errors import RightsDiffer, StatementFailed, Unsafe
from rotation.redaction import said

MOST_SHARED = 100
"""How many rights that both have are taken from the clone in one rotation, in one database."""

MOST_FAILURES = 3
"""After so many, no other is tried: each can take as long as waiting for a lock."""

log = logging.getLogger(__name__)


class PostgreSQLHoldings:
    """What the clone owns, and the rights, policies and user mappings that it alone has; memberships aside."""

    def __init__(self, connection: PostgreSQLConnection, roles: PairRoles) -> None:
        """Take the pair, as seen in the database of the connection."""
        self._connection = connection
        self._roles = roles

    @property
    def question(self) -> Question:
        """What is asked about every clone."""
        return Question(catalog.HOLDS, (self._roles.oids["clone"],))

    @property
    def questions_of_things(self) -> list[Question]:
        """What is asked for the states of both."""
        return [self._question_of("original"), self._question_of("clone")]

    def kinds(self) -> set[str]:
        """Return which kinds of things the clone holds: none if the pair is healthy."""
        return {kind for (kind,) in self._connection.ask("reading what the clone holds", self.question)}

    def differences(self, scope: Scope, kinds: set[str]) -> list[Difference]:
        """Return what the clone holds that the original lacks, except for what strangers gave it."""
        clone, original, quoted_ = self._roles.clone, self._roles.original, self._connection.quoted
        owned, take = self._owned(kinds) if scope.counts_own else [], f"take it from {clone}"
        reassign = quoted_(SQL("REASSIGN OWNED BY {clone} TO {original}").format(**self._roles.identifiers()))
        return [
            *(self._roles.difference(f"{clone} owns {thing}", original=reassign, clone=reassign) for thing in owned),
            *(
                self._roles.difference(f"{clone} has {thing}, {original} has not", original=statement, clone=take)
                for thing, statement in self._unmovable(kinds)
            ),
            *(
                self._roles.difference(
                    f"{clone} has {grant}, {original} has not",
                    original=quoted_(grant.giving(self._roles)),
                    clone=quoted_(grant.taking_as_grantor(self._roles)),
                )
                for grant in self._extra(kinds)
                if scope.counts(grant)
            ),
        ]

    def things(self, word: str) -> list[str]:
        """Return what a role of the pair (`original` or `clone`) was given by itself, for its state.

        That is a hash which the server makes. The original can have very many rights.
        """
        operation = f"reading the rights of {getattr(self._roles, word)}"
        [(rights,)] = self._connection.ask(operation, self._question_of(word))
        return [f"rights {rights}"] if rights else []

    def _question_of(self, word: str) -> Question:
        query = catalog.HELD.format(parameters=self._parameters, act_as=self._connection.act_as)
        return Question(query, {"role": self._roles.oids[word]})

    def unmovable_things(self, kinds: set[str]) -> list[str]:
        """Return the policies and user mappings that the clone alone has, for its state."""
        return [thing for thing, _ in self._unmovable(kinds)]

    def require_movable(self) -> None:
        """Raise RightsDiffer if the clone alone has a policy or a user mapping. Changes nothing."""
        self._require_none(self._unmovable(self.kinds()), "give this to")

    def hand_over(self) -> None:
        """Give the original, for both, what the clone holds by itself.

        Raises RightsDiffer, and changes nothing, if that cannot be done.
        """
        kinds = self.kinds()
        if not kinds:
            return
        self._require_none(self._unmovable(kinds), "give this to")
        owned, extra = self._owned(kinds), self._extra(kinds)
        if owned or extra:
            self._hand_over(owned, extra)
        if "a" in kinds:
            self._take_shared()

    def _hand_over(self, owned: Sequence[str], extra: Sequence[Grant]) -> None:
        require_no_strange_triggers(self._connection)
        self._connection.give_way(f"handing over what {self._roles.clone} holds", self._roles.oids["clone"])
        self._hand_over_from_operators([grant for grant in extra if grant.by_operator])
        self._hand_over_from_strangers(one for one in extra if not one.by_operator and one.can_act_as_grantor)
        if owned:
            self._reassign(owned)
        self._check_what_is_left()

    def _take_shared(self) -> None:
        """Take from the clone what its original has as well, if the admin or the pair granted it.

        Nobody has less then: the clone has every right of its original. And no later rotation has to look at it. What
        cannot be taken stays.
        """
        shared = [one for one in self._grants(catalog.SHARED) if one.can_act_as_grantor or self._is_pairs(one)]
        if not shared or self._connection.ask("looking for event triggers", Question(catalog.STRANGE_TRIGGERS)):
            return
        self._connection.give_way(f"taking from {self._roles.clone} what {self._roles.original} has as well")
        self._take(one for one in shared if not self._is_pairs(one))
        if by_pair := [one for one in shared if self._is_pairs(one)]:
            with acting_as(self._connection, self._roles.clone, self._roles.oids["clone"]):
                self._take(by_pair)

    def _is_pairs(self, grant: Grant) -> bool:
        return grant.grantor == self._roles.original

    def _take(self, grants: Iterable[Grant]) -> None:
        failures = 0
        for grant in islice(grants, MOST_SHARED):
            if failures < MOST_FAILURES:
                operation = f"taking {listed([grant])} from {self._roles.clone}"
                taking = [grant.taking(self._roles)]
                if not self._is_pairs(grant):
                    become = SQL("SET LOCAL ROLE {}").format(Identifier(grant.grantor))
                    taking = [become, *taking, SQL("SET LOCAL ROLE NONE")]
                failures += not self._connection.attempt(operation, taking)

    def _hand_over_from_operators(self, grants: Sequence[Grant]) -> None:
        """Grant these rights to the original if the clone is current, and revoke them from the clone, as the admin."""
        for grant in grants:
            for statement in grant.handing_over(self._roles):
                operation = f"handing over {listed([grant])} of {self._roles.clone} to {self._roles.original}"
                give, take = map(self._connection.quoted, (grant.giving(self._roles), grant.taking(self._roles)))
                remedy = f"Run as its owner: {give}; {take}"
                passed_on = f"{give}, as its owner: {self._roles.clone} has granted it to others"
                problems = {"2BP01": (StatementFailed, passed_on)}
                self._connection.execute(operation, statement, remedy=remedy, problems=problems)
        if grants:
            self._require_changed_only({grant.place for grant in grants})

    def _hand_over_from_strangers(self, grants: Iterable[Grant]) -> None:
        """Do the same as each grantor, with no more rights than hers; what she prevents stays as it is."""
        for grantor, hers in groupby(sorted(grants, key=lambda grant: grant.grantor), lambda grant: grant.grantor):
            statements = [statement for grant in hers for statement in grant.handing_over(self._roles)]
            become = SQL("SET LOCAL ROLE {}").format(Identifier(grantor))
            operation = f"handing over what {grantor} gave to {self._roles.clone}"
            self._connection.attempt(operation, [become, *statements, "SET LOCAL ROLE NONE"])

    def _require_changed_only(self, places: set[tuple[int, int]]) -> None:
        """Raise Unsafe if another object was changed: GRANT takes names only, and a schema's owner can swap them."""
        operation = f"checking which objects were granted to {self._roles.original}"
        query = catalog.CHANGED_ACLS.format(parameters=self._parameters)
        if set(map(tuple, self._connection.execute(operation, query))) - places:
            raise Unsafe(
                operation,
                "an object was renamed meanwhile, so that another one got the right",
                "Find out from the server's log who renames objects. Nothing was changed",
            )

    def _reassign(self, owned: Sequence[str]) -> None:
        roles, oids = self._roles, self._roles.oids
        operation = f"handing over to {roles.original} what {roles.clone} owns ({listed(owned)})"
        statement = SQL("REASSIGN OWNED BY {clone} TO {original}").format(**roles.identifiers())
        # A new owner of all but tables must be able to create the same there.
        remedy = (
            f"GRANT CREATE on the schema or database that is named TO {quoted(roles.original)}; or run as a superuser"
            f" in this database: {self._connection.quoted(statement)}"
        )
        [(is_both,)] = self._connection.execute(
            operation, catalog.CAN_BE_BOTH.format(act_as=self._connection.act_as), oids
        )
        with nullcontext() if is_both else acting_as(self._connection, roles.clone, oids["clone"]):
            self._connection.execute(operation, statement, remedy=remedy)

    def _check_what_is_left(self) -> None:
        left = self._extra(self.kinds())
        operators = [(str(one), self._connection.quoted(one.giving(self._roles))) for one in left if one.by_operator]
        self._require_none(operators, "leave this to")
        if strangers := [grant for grant in left if not grant.by_operator]:
            log.warning(said(f"{self._roles.clone} keeps what strangers gave it: {listed(strangers)}"))

    def _require_none(self, left: Sequence[tuple[str, str]], verb: str) -> None:
        """Raise RightsDiffer if there are such things; each comes with the statement that gives it to the original."""
        if left:
            original, clone = self._roles.original, self._roles.clone
            raise RightsDiffer(
                f"handing over to {original} what {clone} holds by itself",
                f"{self._connection.username} cannot {verb} {original} alone: {listed([thing for thing, _ in left])}",
                f"Run as its owner: {listed([statement for _, statement in left])}; or take it from {clone}",
            )

    def _owned(self, kinds: set[str]) -> list[str]:
        if "o" not in kinds:
            return []
        question = Question(catalog.OWNED, (self._roles.oids["clone"],))
        rows = self._connection.ask("reading what the clone owns", question)
        return [str(description) for (description,) in rows]

    def _unmovable(self, kinds: set[str]) -> list[tuple[str, str]]:
        """Return policies and user mappings of the clone's alone, each with how its owner gives it to the original."""
        if not kinds & {"r", "m"}:
            return []
        operation = "reading policies and user mappings of the clone"
        query = catalog.UNMOVABLE.format(is_known=catalog.IS_KNOWN.format(act_as=self._connection.act_as))
        rows = self._connection.ask(operation, Question(query, self._roles.oids))
        if strangers := [str(text) for text, is_known, _ in rows if not is_known]:
            log.warning(said(f"{self._roles.clone} keeps what strangers made for it alone: {listed(strangers)}"))
        return [(str(text), str(statement)) for text, is_known, statement in rows if is_known]

    def _extra(self, kinds: set[str]) -> list[Grant]:
        """Return the rights that were granted to the clone, and that the original lacks."""
        return self._grants(catalog.LACKED) if "a" in kinds else []

    def _grants(self, which: str) -> list[Grant]:
        query = catalog.GRANTS.format(parameters=self._parameters, act_as=self._connection.act_as, which=which)
        rows = self._connection.ask("reading what the clone is granted", Question(query, self._roles.oids))
        return [Grant(*row) for row in rows]

    @property
    def _parameters(self) -> str:
        return catalog.PARAMETERS if self._connection.server_version >= catalog.PARAMETER_ACLS else ""
