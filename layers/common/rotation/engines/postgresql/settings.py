"""Which settings (ALTER ROLE … SET) does the current user have, and how does the other user get the same?"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from psycopg2.sql import SQL, Composable, Identifier, Literal

from rotation.engine import Difference
from rotation.engines.driver import Problem
from rotation.engines.postgresql import catalog
from rotation.engines.postgresql.connection import PostgreSQLConnection
from rotation.engines.postgresql.questions import Question
from rotation.engines.postgresql.roles import PairRoles, quoted
from rotation.errors import StatementFailed
from rotation.values import dataclass

LISTS = frozenset({
    "local_preload_libraries", "search_path", "session_preload_libraries",
    "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories",
})  # fmt: skip
"""Settings whose value is a list of names, each a literal of its own (variable_is_guc_list_quote in PostgreSQL's
src/fe_utils/string_utils.c)."""

FOLDED = frozenset({"search_path", "temp_tablespaces"})
"""Lists of identifiers: without quotes, one stands for its lower case. All other lists are of files."""

type Setting = tuple[str | None, str]
"""A database (None: all) and the name of a setting."""

ROLE: Setting = (None, "role")
"""The setting by which the clone acts as its original."""

NOBODY = "none"
"""The value of `role` of who acts as itself; catalog.SETTINGS says it of a role that nobody can act as, too."""

IGNORED = "22023"
"""invalid_parameter_value: a value that the server has taken once, such as a locale that is gone. Logins only warn."""


@dataclass(frozen=True)
class SettingChange:
    """A setting that one of the two roles must get, or lose."""

    role: str
    database: str | None
    name: str
    value: str | None
    """None: the role loses it."""

    def __str__(self) -> str:
        place = f" in database {self.database}" if self.database else ""
        return f"{self.role} has another value of the setting {self.name}{place}"  # a user can keep a secret in a value

    def statement(self) -> Composable:
        """Return the statement that makes the change."""
        name = Identifier(self.name)
        if self.value is None:
            return self._altering + SQL(" RESET {}").format(name)
        return self._altering + SQL(" SET {} TO {}").format(name, literals(self.name, self.value))

    def shown(self, model: str, quote: Callable[[Composable], str]) -> str:
        """Return the statement for a message: it copies a value that can be a secret from the role `model`.

        The settings that PostgreSQL has itself are none; all others have a dot in their names.
        """
        if self.value is None or "." not in self.name:
            return quote(self.statement())
        setting = quote(self._altering + SQL(" SET {} TO ").format(Identifier(self.name)))
        database = SQL("(SELECT oid FROM pg_database WHERE datname = {})").format(Literal(self.database))
        body = SQL(
            "BEGIN EXECUTE (SELECT {setting} || quote_literal(substr(entry, {length}))"
            " FROM pg_db_role_setting, unnest(setconfig) entry WHERE setrole = {role}::regrole"
            " AND setdatabase = {database} AND starts_with(entry, {prefix})); END"
        ).format(
            setting=Literal(setting),
            length=Literal(len(self.name) + 2),
            role=Literal(quoted(model)),
            database=database if self.database else SQL("0"),
            prefix=Literal(f"{self.name}="),
        )
        return quote(SQL("DO {}").format(Literal(quote(body))))

    @property
    def _altering(self) -> Composable:
        scope = SQL(" IN DATABASE {}").format(Identifier(self.database)) if self.database else SQL("")
        return SQL("ALTER ROLE {}").format(Identifier(self.role)) + scope


class PostgreSQLSettings:
    """The settings of both roles, in all databases."""

    def __init__(self, connection: PostgreSQLConnection, roles: PairRoles) -> None:
        """Take the pair."""
        self._connection = connection
        self._roles = roles

    @property
    def question(self) -> Question:
        """What is asked about the settings."""
        names = {"user": self._roles.user, "other": self._roles.other}
        return Question(catalog.SETTINGS.format(act_as=self._connection.act_as), names)

    def differences(self, settings: Mapping[str, Mapping[Setting, str]]) -> list[Difference]:
        """Return in which settings the other user is not what the current one is, if these are all."""
        return [self._difference(change, settings) for change in setting_changes(self._roles, settings)]

    def _difference(self, change: SettingChange, settings: Mapping[str, Mapping[Setting, str]]) -> Difference:
        roles = self._roles
        model = roles.user if change.role == roles.other else roles.other
        value = settings[change.role].get((change.database, change.name))
        if (change.database, change.name) == ROLE:  # the clone acts as its original if the original acts as nobody else
            value = None if value == roles.original else value
            value = roles.original if model == roles.clone and value is None else value
        back = SettingChange(model, change.database, change.name, value)
        at = {
            change.role: change.shown(model, self._connection.quoted),
            model: back.shown(change.role, self._connection.quoted),
        }
        return Difference(str(change), at[roles.other], at[roles.user])

    def align(self) -> None:
        """Give the other user the settings of the current one, and let the clone act as its original."""
        for change in self._changes():
            # From everybody but superusers, PostgreSQL asks for this also if the setting is made up ("app.tenant").
            remedy = self._remedy(change)
            operation = f"giving {change.role} the setting {change.name} of {self._roles.user}"
            self._connection.execute(operation, change.statement(), remedy=remedy, problems=self._problems(change))

    def _problems(self, change: SettingChange) -> Mapping[str, Problem]:
        """Return what to do if no role can get this value any more."""
        reset = replace(change, role=self._roles.user, value=None).statement()
        return {IGNORED: (StatementFailed, self._connection.quoted(reset))}

    def _remedy(self, change: SettingChange) -> str:
        if self._connection.server_version >= catalog.PARAMETER_ACLS:
            admin = quoted(self._connection.username)
            return f"Run as a superuser: GRANT SET ON PARAMETER {quoted(change.name)} TO {admin}"
        verb = "RESET" if change.value is None else "SET"  # a user can keep a secret in a value
        where = f" IN DATABASE {quoted(change.database)}" if change.database else ""
        like = "" if change.value is None else f" TO the value that {self._roles.user} has"
        return f"Run as a superuser: ALTER ROLE {quoted(change.role)}{where} {verb} {quoted(change.name)}{like}"

    def _changes(self) -> list[SettingChange]:
        return setting_changes(self._roles, self.read())

    def read(self) -> Mapping[str, Mapping[Setting, str]]:
        """Return the settings of both roles."""
        user, other = self._roles.user, self._roles.other
        settings: dict[str, dict[Setting, str]] = {user: {}, other: {}}
        for role, database, entries in self._connection.ask("reading the settings", self.question, self._roles.remedy):
            parts = (entry.partition("=") for entry in entries)
            settings[role] |= {(database, name): canonical(name, value) for name, _, value in parts}
        return settings


def setting_changes(roles: PairRoles, settings: Mapping[str, Mapping[Setting, str]]) -> list[SettingChange]:
    """Return what must change, if these are the settings of both roles.

    If one acts as itself, the other one acts as the original: the clone is told to, and the original need not be.
    """
    users, original = settings[roles.user], roles.original
    # The clone acts as its original. If the original acts as a third role, both do.
    others = {setting: value for setting, value in users.items() if (setting, value) != (ROLE, original)}
    wanted = {roles.other: others, roles.user: dict(users)}
    wanted[roles.clone] |= dict.fromkeys(_as_itself(wanted[roles.clone]), original)
    wanted[roles.clone].setdefault(ROLE, original)
    if roles.clone_is_current:
        own = [one for one in _as_itself(settings[original]) if users.get(one, NOBODY) in (NOBODY, original)]
        others |= dict.fromkeys(own, NOBODY)
    return [
        SettingChange(role, *setting, target.get(setting))
        for role, target in wanted.items()
        for setting in sorted(settings[role].keys() | target.keys(), key=repr)
        if settings[role].get(setting) != target.get(setting)
    ]


def _as_itself(settings: Mapping[Setting, str]) -> list[Setting]:
    return [setting for setting, value in settings.items() if setting[1] == "role" and value == NOBODY]


def literals(name: str, value: str) -> Composable:
    """Return a setting's stored value as ALTER ROLE takes it."""
    if name.lower() not in LISTS:
        return Literal(value)
    return SQL(", ").join(map(Literal, _names(name, value) or [""]))


def canonical(name: str, value: str) -> str:
    """Return a setting's stored value, lists as ALTER ROLE … SET stores them.

    ALTER ROLE … SET … FROM CURRENT stores a list as somebody has written it: without quotes, or empty.
    """
    if name.lower() not in LISTS:
        return value
    return ", ".join(map(quoted, _names(name, value) or [""]))


def _names(setting: str, value: str) -> list[str]:
    found = re.findall(r'"((?:[^"]|"")*)"|([^,\s]+)', value)
    return [
        (bare.lower() if setting.lower() in FOLDED else bare) if bare else text.replace('""', '"')
        for text, bare in found
    ]
