"""Which default privileges does the original have, and how does its clone get the same?

They count only for a session of the clone that has left its role, and makes something as itself.
"""

from typing import NamedTuple

from psycopg2.sql import SQL, Composable, Identifier

from rotation.engine import Difference
from rotation.engines.postgresql import catalog
from rotation.engines.postgresql.admin import acting_as, require_no_strange_triggers
from rotation.engines.postgresql.connection import PostgreSQLConnection
from rotation.engines.postgresql.questions import Question
from rotation.engines.postgresql.rights import DEFAULT_KEYWORDS, altering_defaults
from rotation.engines.postgresql.roles import PairRoles


class DefaultPrivilege(NamedTuple):
    """A row of catalog.DEFAULTS."""

    schema: str | None
    """None: all schemas."""
    object_type: str
    grantee: str | None
    """None: the role itself; empty: PUBLIC."""
    privilege: str
    grantable: bool

    def __str__(self) -> str:
        place = f" in schema {self.schema}" if self.schema else ""
        to = "itself" if self.grantee is None else self.grantee or "PUBLIC"
        return f"{self.privilege} on {DEFAULT_KEYWORDS[self.object_type]}{place} to {to}"

    def with_other_option(self) -> "DefaultPrivilege":
        """Return the same with the option to grant it, or without, as this one has not."""
        return self._replace(grantable=not self.grantable)

    def statement(self, verb: str, preposition: str, role: str) -> Composable:
        """Return the statement that grants it for a role, or revokes it."""
        return altering_defaults(role, self.schema) + SQL(" {} {} ON {} {} {}{}").format(
            SQL(verb),
            SQL(self.privilege),
            SQL(DEFAULT_KEYWORDS[self.object_type]),
            SQL(preposition),
            SQL("PUBLIC") if self.grantee == "" else Identifier(self.grantee or role),
            SQL(" WITH GRANT OPTION" if self.grantable and verb.startswith("GRANT") else ""),
        )


class BothDefaults(NamedTuple):
    """The default privileges of the two, as they were read."""

    original: set[DefaultPrivilege]
    clone: set[DefaultPrivilege]

    @property
    def missing(self) -> set[DefaultPrivilege]:
        """What the clone lacks."""
        return self.original - self.clone

    @property
    def extra(self) -> set[DefaultPrivilege]:
        """What the clone alone has."""
        return self.clone - self.original

    def things(self) -> list[str]:
        """Return the clone's, for the state of both: only the clone's are ever changed."""
        return sorted(f"default privilege {default!r}" for default in self.clone)


class PostgreSQLDefaultPrivileges:
    """The default privileges of both roles, in the database of the connection."""

    def __init__(self, connection: PostgreSQLConnection, roles: PairRoles) -> None:
        """Take the pair."""
        self._connection = connection
        self._roles = roles

    @property
    def questions(self) -> list[Question]:
        """What is asked about the default privileges of both."""
        return [self._question("original", "clone"), self._question("clone", "original")]

    def read(self) -> BothDefaults:
        """Return the default privileges of both."""
        return BothDefaults(self._read("original", "clone"), self._read("clone", "original"))

    def differences(self, both: BothDefaults) -> list[Difference]:
        """Return which default privileges the clone lacks, and which it alone has."""
        clone, original = self._roles.clone, self._roles.original
        missing, extra = both.missing, both.extra
        optional = sorted((one for one in extra if one.with_other_option() in missing), key=repr)
        extra, missing = extra - {*optional}, missing - {one.with_other_option() for one in optional}
        return [
            *map(self._option_difference, optional),
            *(
                self._difference(
                    f"{clone} has the default privilege {default}, {original} has not", default, ("GRANT", "REVOKE")
                )
                for default in sorted(extra, key=repr)
            ),
            *(
                self._difference(f"{clone} lacks the default privilege {default}", default, ("REVOKE", "GRANT"))
                for default in sorted(missing, key=repr)
            ),
        ]

    def are_untouched(self) -> bool:
        """Return whether nobody has ever set any for the clone."""
        question = Question(catalog.HAS_DEFAULTS, (self._roles.oids["clone"],))
        return not self._connection.ask("reading the default privileges", question)

    def _difference(self, what: str, default: DefaultPrivilege, verbs: tuple[str, str]) -> Difference:
        """Return a difference that these verbs end at the original, and at the clone."""
        names = (self._roles.original, self._roles.clone)
        at_original, at_clone = (
            self._connection.quoted(default.statement(verb, "TO" if verb == "GRANT" else "FROM", name))
            for verb, name in zip(verbs, names, strict=True)
        )
        return self._roles.difference(what, original=at_original, clone=at_clone)

    def _option_difference(self, clones: DefaultPrivilege) -> Difference:
        """Return that the clone's is with GRANT OPTION, and the original's without, or the reverse."""
        clone, original = self._roles.clone, self._roles.original
        has, lacks = ("WITH GRANT OPTION", "without it") if clones.grantable else ("without GRANT OPTION", "with it")
        verbs = ("GRANT", "REVOKE GRANT OPTION FOR") if clones.grantable else ("REVOKE GRANT OPTION FOR", "GRANT")
        what = f"{clone} has the default privilege {clones} {has}, {original} has it {lacks}"
        return self._difference(what, clones._replace(grantable=True), verbs)

    def align(self) -> None:
        """Give the clone the default privileges of its original."""
        both = self.read()
        if both.original == both.clone:
            return
        require_no_strange_triggers(self._connection)
        with acting_as(self._connection, self._roles.clone, self._roles.oids["clone"]):
            for default in sorted(both.extra, key=repr):
                self._change(default.statement("REVOKE", "FROM", self._roles.clone))
            for default in sorted(both.missing, key=repr):
                self._change(default.statement("GRANT", "TO", self._roles.clone))

    def _change(self, statement: Composable) -> None:
        operation = f"giving {self._roles.clone} the default privileges of {self._roles.original}"
        self._connection.execute(operation, statement, remedy=self._roles.remedy)

    def _read(self, role: str, other: str) -> set[DefaultPrivilege]:
        operation, question = "reading the default privileges", self._question(role, other)
        return {DefaultPrivilege(*row) for row in self._connection.ask(operation, question, self._roles.remedy)}

    def _question(self, role: str, other: str) -> Question:
        return Question(catalog.DEFAULTS, {"role": self._roles.oids[role], "other": self._roles.oids[other]})
