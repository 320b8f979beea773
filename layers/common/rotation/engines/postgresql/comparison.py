"""In what do the two roles of a pair differ, and what has an administrator changed at one of them?

    what                                a difference, if                 is in the state of
    attributes, limit, validity         the two have other values        the role that has it
    settings                            the same                         the role that has it
    rights, roles                       the clone alone was given it     the role that was given it
    policies, user mappings             the clone alone has it           the clone
    INHERIT of the clone                it is gone, and the original     the clone
                                        is current
    default privileges of the clone     they are not the original's      both
    that the clone is a member          it is not                        both

A rotation can change the last two at the clone, whichever of the two is current. So a change there changes both states,
and is never undone. The original's default privileges can change at any time: the application sets them, in the
sessions of both.

The original holds the rights of both. So if the clone alone has a right, the state of the original must say whether
the original was the one that changed: somebody can have revoked the right from it. Nobody knows beforehand which right
that will be. So its state has a hash of all that it was given in this database and on shared objects, which the server
makes in one query. If the clone alone has something in another database, and is the current user, it is not known
whether somebody has taken it from the original: that is always refused.

Some of what a rotation does undoes nothing, and is no difference. What the clone owns, and the roles that it created,
both get. A clone without the setting `role` was not adopted yet. It gets the setting, and the original's default
privileges if it never had any of its own.
"""

from collections.abc import Iterable, Mapping

from psycopg2.sql import SQL, Identifier

from rotation.engine import Comparison, Difference, state
from rotation.engines.postgresql.acting import PostgreSQLActing
from rotation.engines.postgresql.connection import PostgreSQLConnection
from rotation.engines.postgresql.databases import about_other_databases, other_databases, visit_other_databases
from rotation.engines.postgresql.default_privileges import BothDefaults, PostgreSQLDefaultPrivileges
from rotation.engines.postgresql.holdings import PostgreSQLHoldings
from rotation.engines.postgresql.memberships import PostgreSQLMemberships
from rotation.engines.postgresql.questions import Question
from rotation.engines.postgresql.roles import (
    SINGLE_USER,
    Attribute,
    PairRoles,
    Role,
    Scope,
    attribute,
    attribute_changes,
    quoted,
)
from rotation.engines.postgresql.settings import ROLE, PostgreSQLSettings, Setting
from rotation.values import dataclass

type Settings = Mapping[str, Mapping[Setting, str]]


@dataclass(frozen=True)
class LocalComparison:
    """The two compared, as far as one database shows it."""

    differences: list[Difference]
    other_things: list[str]
    """What stands for the other user: see `rotation.engine.Comparison`."""
    user_things: list[str]
    is_locked: bool
    """Whether the other user cannot log in."""
    others_databases: list[str]
    """The other databases in which the other user has something that a rotation takes from it."""

    def changes_of_other(self, before: "LocalComparison") -> list[str]:
        """Return what somebody did to the other user since, and a rotation would undo. What is gone is no matter."""
        known = {one.what for one in before.differences}
        new = [one.what for one in self.differences if one.what not in known]
        locked = ["it cannot log in any more"] if self.is_locked and not before.is_locked else []
        databases = [name for name in self.others_databases if name not in before.others_databases]
        given = [f"it has something in the database {name}" for name in databases]
        return [*locked, *given, *(new if self.other_things != before.other_things else [])]


class PostgreSQLComparison:
    """Two roles that are compared, by an admin or by one of the two."""

    def __init__(
        self, connection: PostgreSQLConnection, roles: PairRoles, rows: Mapping[str, Role], *, is_mirrored: bool
    ) -> None:
        """Take both roles as they were read. `is_mirrored`: this session has mirrored them."""
        self._connection = connection
        self._roles = roles
        self._rows = rows
        self._acting = PostgreSQLActing(connection, roles)
        self._settings = PostgreSQLSettings(connection, roles)
        self._memberships = PostgreSQLMemberships(connection, roles)
        self._default_privileges = PostgreSQLDefaultPrivileges(connection, roles)
        self._holdings = PostgreSQLHoldings(connection, roles)
        self.is_admins = connection.username not in rows
        """Whether an admin compares: only then do the states matter."""
        # What an admin whom somebody trusts could not take away is left, as what strangers gave is.
        self._scope = Scope(counts_own=not self.is_admins, counts_trusted=self.is_admins and not is_mirrored)

    def local(self) -> LocalComparison:
        """Compare them in this database, and in what all databases share."""
        settings, memberships = self._settings, self._memberships
        defaults, holdings = self._default_privileges, self._holdings
        really = "" if self.is_admins else self._acting.ask()
        self.ask([*self.questions, *self.questions_of_states])
        values, is_member, both, kinds = settings.read(), memberships.is_member(), defaults.read(), holdings.kinds()
        differences = [
            *([] if self.is_admins else self._acting.differences(really)),
            *([] if is_member else [self._no_member()]),
            *self._attributes(),
            *self._inheritance(),
            *(one for one in settings.differences(values) if not self._is_unadopted(one, values)),
            *memberships.differences(self._scope),
            *self._defaults(defaults, both, values),
            *holdings.differences(self._scope, kinds),
        ]
        if not self.is_admins:
            return LocalComparison(differences, [], [], is_locked=False, others_databases=[])
        shared = [f"member {is_member}", *both.things()]
        original = [*self._things("original", values), *memberships.things("original", "clone")]
        clone = [*self._things("clone", values), *memberships.things("clone", "original")]
        clone += [f"INHERIT {self._rows[self._roles.clone].inherits}", *holdings.unmovable_things(kinds)]
        of_original = [*shared, *original, *holdings.things("original")]
        of_clone = [*shared, *clone, *holdings.things("clone")]
        other, user = (of_original, of_clone) if self._roles.clone_is_current else (of_clone, of_original)
        is_locked = not self._rows[self._roles.other].can_login
        databases = [] if self._roles.clone_is_current else other_databases(self._connection, self._roles)
        return LocalComparison(
            differences, other, user, is_locked, [one.name for one in databases if not one.is_strangers]
        )

    @property
    def questions(self) -> list[Question]:
        """What is asked about every pair, to compare the two, or to make them equal."""
        return [
            *(self._acting.question, self._settings.question, *self._default_privileges.questions),
            *(*self._memberships.questions, self._holdings.question, about_other_databases(self._roles)),
        ]

    @property
    def questions_of_states(self) -> list[Question]:
        """What is asked about every pair besides, for the states of the two."""
        things = [*self._memberships.questions_of_things, *self._holdings.questions_of_things]
        return things if self.is_admins else []

    def ask(self, questions: Iterable[Question]) -> None:
        """Ask all of them in one message."""
        operation = f"reading what {self._roles.user} and {self._roles.other} are, and have"
        self._connection.ask_all(operation, questions, self._roles.remedy)

    def with_elsewhere(self, local: LocalComparison) -> Comparison:
        """Return the whole comparison, with what the clone holds in other databases."""
        elsewhere, things = self._elsewhere()
        differences = [*local.differences, *elsewhere]
        if not self.is_admins:
            return Comparison(differences, "", "")
        user, other = [*local.user_things], [*local.other_things]
        of_original, of_clone = (other, user) if self._roles.clone_is_current else (user, other)
        of_original += [one.what for one in elsewhere if self._roles.clone_is_current]
        of_clone += things
        unlock = f"ALTER ROLE {quoted(self._roles.other)} LOGIN" if local.is_locked else None
        return Comparison(differences, state(user), state(other), unlock)

    def _elsewhere(self) -> tuple[list[Difference], list[str]]:
        differences: list[Difference] = []
        things: list[str] = []

        def compare(there: PostgreSQLConnection, database: str) -> None:
            holdings, prefix = PostgreSQLHoldings(there, self._roles), f"in database {quoted(database)}: "
            kinds = holdings.kinds()
            for one in holdings.differences(self._scope, kinds):
                what = f"{one.what} (in database {database})"
                differences.append(Difference(what, prefix + one.change_other, prefix + one.change_user))
            if self.is_admins:
                things.extend(f"{database}: {thing}" for thing in self._clone_things(holdings, kinds))

        visit_other_databases(self._connection, other_databases(self._connection, self._roles), compare)
        return differences, things

    def _clone_things(self, holdings: PostgreSQLHoldings, kinds: set[str]) -> list[str]:
        return [*holdings.things("clone"), *holdings.unmovable_things(kinds)]

    def _things(self, word: str, settings: Settings) -> list[str]:
        """Return the attributes and settings of a role of the pair, for its state."""
        name = self._roles.original if word == "original" else self._roles.clone
        values = {setting: value for setting, value in settings[name].items() if not self._makes_pair(setting, value)}
        attributes = [f"{key} {value}" for key, value in self._rows[name].attributes.items()]
        return [*attributes, *(f"setting {setting!r} {value}" for setting, value in values.items())]

    def _makes_pair(self, setting: Setting, value: str) -> bool:
        return (setting, value) == (ROLE, self._roles.original)

    def _no_member(self) -> Difference:
        original, clone = self._roles.original, self._roles.clone
        options = SQL(" WITH INHERIT TRUE, SET TRUE" if self._connection.memberships_have_options else "")
        grant = SQL("GRANT {original} TO {clone}").format(**self._roles.identifiers()) + options
        what = f"{clone} is not a member of {original}, or not one that can act as it"
        return self._roles.difference(what, original=SINGLE_USER, clone=self._connection.quoted(grant))

    def _attributes(self) -> list[Difference]:
        user, other = self._roles.user, self._roles.other
        users, others = self._rows[user], self._rows[other]
        return [
            Difference(
                f"{other} has {name} {others.attributes[name]}, {user} has {value}",
                self._alter(other, name, value),
                self._alter_user(name, others),
            )
            for name, value in attribute_changes(users, others).items()
        ]

    def _alter_user(self, name: str, other: Role) -> str:
        value = other.attributes[name]
        if (name == "VALID UNTIL" and other.is_expired) or (name == "CONNECTION LIMIT" and value == 0):
            return f"{SINGLE_USER}, because the same would lock {self._roles.user} out"
        return self._alter(self._roles.user, name, value)

    def _alter(self, role: str, name: str, value: Attribute) -> str:
        return self._connection.quoted(SQL("ALTER ROLE {} WITH {}").format(Identifier(role), attribute(name, value)))

    def _inheritance(self) -> list[Difference]:
        """Return whether the clone, which is the other one, could not connect wherever its original can."""
        clone = self._roles.clone
        if self._roles.clone_is_current or self._rows[clone].inherits or not self.is_admins:
            return []
        what = f"{clone} has NOINHERIT, so it can connect to less than {self._roles.original}"
        return [Difference(what, f"ALTER ROLE {quoted(clone)} WITH INHERIT", SINGLE_USER)]

    def _is_unadopted(self, difference: Difference, settings: Settings) -> bool:
        """Tell whether this is only that the clone has no setting `role` yet."""
        clone = self._roles.clone
        return (
            self.is_admins
            and ROLE not in settings[clone]
            and difference.what == f"{clone} has another value of the setting role"
        )

    def _defaults(
        self, defaults: PostgreSQLDefaultPrivileges, both: BothDefaults, settings: Settings
    ) -> list[Difference]:
        found = defaults.differences(both)
        is_unadopted = self.is_admins and ROLE not in settings[self._roles.clone]
        return [] if found and is_unadopted and defaults.are_untouched() else found
