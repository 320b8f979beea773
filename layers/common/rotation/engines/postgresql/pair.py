"""What makes two PostgreSQL roles one user?

The two roles of an alternating pair are the *original* and its *clone*. The clone is a member of the original, and
acts as it from the first moment of a session (`ALTER ROLE clone SET role = original`). So the pair is one owner: a
table that either makes belongs to the original, and either may alter and drop it. And all that the original is
granted, the clone has.

    what                                    follows how
    rights on objects, roles                the original holds them, for both
    default privileges                      those of the original; copied, for sessions that left its role
    attributes, limits, validity, settings  copied from the current user to the other one

What the clone was given by itself (by an operator, or by other rotation functions in the past) is handed over: while
the clone is the current user, the original is granted the same; then the clone loses it, and what it owns passes to
the original. From then on a right that is granted to, or revoked from, the original is granted to, or revoked from,
both.

The catalog tells what a role holds by itself: pg_shdepend lists the objects that it owns or that have it in their
ACL, in all databases (https://www.postgresql.org/docs/current/catalog-pg-shdepend.html). For a healthy pair the list
is empty. See `rotation.engines.postgresql.rights`.

Statements name roles, and a name can come to stand for another role. So a `Pair` knows which roles its names stand for,
by their oids, and looks again under the lock, and at the end of the transaction.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2.sql import SQL, Composable, Identifier, Literal

from rotation.engine import CloneStatus
from rotation.engines.postgresql import catalog
from rotation.engines.postgresql.connection import Arguments, Connection, Statement
from rotation.engines.postgresql.memberships import Memberships
from rotation.engines.postgresql.rights import (
    DEFAULT_KEYWORDS,
    INHERIT_AND_SET,
    Couple,
    Holdings,
    acting_as,
    administering,
    require_no_strange_triggers,
)
from rotation.errors import Unsafe

LISTS = frozenset({
    "local_preload_libraries", "search_path", "session_preload_libraries",
    "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories",
})  # fmt: skip
"""Settings whose value is a list of names, to be set one by one (variable_is_guc_list_quote in PostgreSQL's
src/fe_utils/string_utils.c)."""

type Attribute = bool | int | str


@dataclass(frozen=True)
class Role:
    """A row of pg_roles."""

    oid: int
    attributes: dict[str, Attribute]
    """Under the words of ALTER ROLE."""
    can_login: bool
    inherits: bool
    comment: str


type Setting = tuple[str | None, str]
"""A database (None: all) and the name of a setting."""

type Default = tuple[str | None, str, str | None, str, bool]
"""A schema (None: all), a type of object, a grantee (None: the role itself), a privilege, and whether it may be
passed on."""


class Pair:
    """Two roles that take turns, seen in one database."""

    def __init__(self, connection: Connection, user: str, other: str, known: dict[str, int]) -> None:
        """`user` is the one that AWSCURRENT names. The clone is the one whose name is longer by the suffix.

        `known` says which roles the names stand for, as far as that is known; what is found out is added.
        """
        self._connection = connection
        self.user = user
        self.other = other
        self.original, self.clone = sorted((user, other), key=len)
        self._mark = f"Takes turns with {self.original}: rotated by AWS Secrets Manager"
        self._known = known
        self._existed: list[str] = []
        self._roles = self._read_roles()
        self._existed = [name for name in (self.original, self.clone) if name in self._roles]

    def clone_status(self) -> CloneStatus:
        """Tell what the server knows about the other user; raises Unsafe if the original is gone."""
        if self.original not in self._roles:
            raise Unsafe(
                f"looking for {self.original}, of which {self.clone} is the clone",
                f"there is no role {self.original}",
                "Create it, or put a user whose name does not end like a clone's into the secret",
            )
        if self.clone not in self._roles:
            return CloneStatus.ABSENT
        return CloneStatus.OURS if self._is_marked() else CloneStatus.UNKNOWN

    def prepare(self) -> None:
        """Have a clone that carries our mark, and is a member of the original; keep everybody else from changing it.

        Raises Unsafe if somebody else has made a role of that name.
        """
        operation = f"preparing {self.clone}"
        if self.clone not in self._roles:
            self._run(operation, SQL("CREATE ROLE {} NOLOGIN").format(Identifier(self.clone)))
            self._roles = self._read_roles()
            self._known[self.clone] = self._roles[self.clone].oid
        # Two deliveries of one step would stand in each other's way ("tuple concurrently updated"). This locks the
        # clone until the transaction ends, against all that do the same; and only who may administer it can.
        comment = self._roles[self.clone].comment
        marked = comment if self._is_marked() else "\n".join(filter(None, (comment, self._mark)))
        is_ours = self._is_marked() or self.clone in self._known
        if not is_ours:
            raise Unsafe(operation, "somebody has made a role of that name meanwhile", f"Rename or drop {self.clone}")
        self._run(operation, SQL("COMMENT ON ROLE {} IS {}").format(Identifier(self.clone), Literal(marked)))
        self._roles = self._read_roles()
        self._known |= {name: role.oid for name, role in self._roles.items()}
        if not self._is_member():
            options = SQL(" WITH INHERIT TRUE, SET TRUE" if self._memberships_are_explicit else "")
            self._run(
                f"making {self.clone} a member of {self.original}",
                SQL("GRANT {} TO {}").format(Identifier(self.original), Identifier(self.clone)) + options,
            )

    def elsewhere(self) -> list[tuple[str, bool, bool]]:
        """Return in which other databases the clone holds something; where it owns something, and which are operators'.

        Databases that this session's user may not enter are among them only if the clone owns something there.
        """
        if self.clone not in self._roles:
            return []
        rows = self._run("looking for rights in other databases", catalog.ELSEWHERE, (self._roles[self.clone].oid,))
        return [(str(database), bool(owned), bool(operators)) for database, owned, operators in rows]

    def hand_over_memberships(self) -> None:
        """Have the original be a member, for both, of what the clone is a member of by itself."""
        Memberships(self._connection, self._couple()).hand_over()

    def hand_over(self) -> None:
        """Have the original hold, for both, what the clone holds by itself in this database and on shared objects.

        Raises RightsDiffer, and changes nothing, if the current user would lose something.
        """
        self._holdings().hand_over()

    def align(self) -> None:
        """Copy attributes and settings of the current user, and the default privileges of the original."""
        self._roles = self._read_roles()
        self._align_attributes()
        self._align_settings()
        self._align_defaults()
        self._read_roles()  # the names stand for the same roles as when the transaction began

    def differences(self) -> list[str]:
        """Say in what the other user is not what the current one is, as far as all databases share it."""
        missing = [f"there is no role {name}" for name in (self.user, self.other) if name not in self._roles]
        if missing:
            return missing
        differences = (
            [] if self._is_member() else [f"{self.clone} is no member of {self.original}, or may not act as it"]
        )
        differences += [
            f"{self.other} has {attribute} {self._roles[self.other].attributes[attribute]}, {self.user} has {value}"
            for attribute, value in self._attribute_changes().items()
        ]
        differences += [
            f"{role} has another value of the setting {name}{f' in database {database}' if database else ''}"
            for role, (database, name), *_ in self._setting_changes()  # of which any user may keep a secret in its own
        ]
        lacking, surplus = self._default_changes()
        return [
            *differences,
            *Memberships(self._connection, self._couple()).differences(),
            *(f"{self.clone} lacks the default privilege {_spoken(default)}" for default in lacking),
            *(
                f"{self.clone} has the default privilege {_spoken(default)}, {self.original} has not"
                for default in surplus
            ),
        ]

    def holdings(self) -> list[str]:
        """Say what the clone holds by itself, here or on shared objects, that the original does not have."""
        return self._holdings().differences() if self.clone in self._roles else []

    def _align_attributes(self) -> None:
        changes = [_attribute(name, value) for name, value in self._attribute_changes().items()]
        if not self._roles[self.other].can_login:
            changes.append(SQL("LOGIN"))
        if self.other == self.clone and not self._roles[self.clone].inherits:
            # Only so may it connect wherever its original may. It acts as the original from then on.
            changes.append(SQL("INHERIT"))
        if changes:
            statement = SQL("ALTER ROLE {} WITH {}").format(Identifier(self.other), SQL(" ").join(changes))
            self._run(f"giving {self.other} the attributes of {self.user}", statement)

    def _align_settings(self) -> None:
        for role, (database, name), _, wanted in self._setting_changes():
            scope = SQL(" IN DATABASE {}").format(Identifier(database)) if database else SQL("")
            change = (
                SQL(" RESET {}").format(Identifier(name))
                if wanted is None
                else SQL(" SET {} TO {}").format(Identifier(name), _value(name, wanted))
            )
            # A setting of one's own making ("app.tenant") asks for this as well, from everybody but superusers.
            remedy = f'Have a superuser run: GRANT SET ON PARAMETER "{name}" TO "{self._connection.username}"'
            statement = SQL("ALTER ROLE {}").format(Identifier(role)) + scope + change
            self._run(f"giving {role} the setting {name} of {self.user}", statement, remedy=remedy)

    def _align_defaults(self) -> None:
        missing, surplus = self._default_changes()
        if not missing and not surplus:
            return
        require_no_strange_triggers(self._connection)
        with acting_as(self._connection, self._couple(), "clone"):
            for default in sorted(surplus, key=repr):
                self._alter_default(default, "REVOKE", "FROM")
            for default in sorted(missing, key=repr):
                self._alter_default(default, "GRANT", "TO")

    def _alter_default(self, default: Default, verb: str, preposition: str) -> None:
        schema, object_type, grantee, privilege, grantable = default
        statement = SQL(
            "ALTER DEFAULT PRIVILEGES FOR ROLE {clone}{schema} {verb} {privilege} ON {type} {to} {grantee}{option}"
        )
        self._run(
            f"giving {self.clone} the default privileges of {self.original}",
            statement.format(
                clone=Identifier(self.clone),
                schema=SQL(" IN SCHEMA {}").format(Identifier(schema)) if schema else SQL(""),
                verb=SQL(verb),
                privilege=SQL(privilege),
                type=SQL(DEFAULT_KEYWORDS[object_type]),
                to=SQL(preposition),
                grantee=SQL("PUBLIC") if grantee == "" else Identifier(grantee or self.clone),
                option=SQL(" WITH GRANT OPTION" if grantable and verb == "GRANT" else ""),
            ),
        )

    def _attribute_changes(self) -> dict[str, Attribute]:
        other = self._roles[self.other].attributes
        return {name: value for name, value in self._roles[self.user].attributes.items() if other[name] != value}

    def _setting_changes(self) -> list[tuple[str, Setting, str | None, str | None]]:
        """Return which role's settings have what value, None for none, and should have which."""
        settings: dict[str, dict[Setting, str]] = {self.user: {}, self.other: {}}
        for role, database, entries in self._run("reading the settings", catalog.SETTINGS, (self.user, self.other)):
            settings[role] |= {
                (database, name): value for name, _, value in (entry.partition("=") for entry in entries)
            }
        # The clone acts as its original. Where the original acts as a third role, both do.
        act_as: Setting = (None, "role")
        wanted = {
            setting: value
            for setting, value in settings[self.user].items()
            if (setting, value) != (act_as, self.original)
        }
        targets = {self.other: dict(wanted), self.user: dict(settings[self.user])}
        targets[self.clone].setdefault(act_as, self.original)
        return [
            (role, setting, settings[role].get(setting), target.get(setting))
            for role, target in targets.items()
            for setting in sorted(settings[role].keys() | target.keys(), key=repr)
            if settings[role].get(setting) != target.get(setting)
        ]

    def _default_changes(self) -> tuple[set[Default], set[Default]]:
        """Return which default privileges the clone lacks, and which it has too much."""
        wanted, present = self._defaults(self.original, self.clone), self._defaults(self.clone, self.original)
        return wanted - present, present - wanted

    def _defaults(self, role: str, other: str) -> set[Default]:
        arguments = {"role": self._roles[role].oid, "other": self._roles[other].oid}
        rows = self._run("reading the default privileges", catalog.DEFAULTS, arguments)
        return {tuple(row) for row in rows}

    def _is_member(self) -> bool:
        query = catalog.IS_FULL_MEMBER if self._memberships_are_explicit else catalog.IS_MEMBER
        pair = (self._roles[self.original].oid, self._roles[self.clone].oid)
        return bool(self._run("reading the memberships", query, pair))

    def _is_marked(self) -> bool:
        """Tell whether a line, or more, of the clone's comment is our mark: names can have line breaks."""
        return f"\n{self._mark}\n" in f"\n{self._roles[self.clone].comment}\n"

    def _holdings(self) -> Holdings:
        return Holdings(self._connection, self._couple())

    def _couple(self) -> Couple:
        oids = {"original": self._roles[self.original].oid, "clone": self._roles[self.clone].oid}
        return Couple(self.original, self.clone, oids, clone_is_current=self.user == self.clone)

    @property
    def _memberships_are_explicit(self) -> bool:
        return self._connection.server_version >= INHERIT_AND_SET

    def _read_roles(self) -> dict[str, Role]:
        roles = {}
        for name, oid, *flags, limit, valid_until, can_login, inherits, comment in self._run(
            "reading the roles", catalog.ROLES, (self.user, self.other)
        ):
            attributes = dict(zip(catalog.FLAGS.values(), flags, strict=True)) | {
                "CONNECTION LIMIT": limit,
                "VALID UNTIL": valid_until,
            }
            roles[name] = Role(oid, attributes, can_login, inherits, comment)
        require_known((self.user, self.other), self._known, {name: role.oid for name, role in roles.items()})
        return roles

    def _run(
        self, operation: str, statement: Statement, arguments: Arguments = (), remedy: str = ""
    ) -> list[tuple[Any, ...]]:
        remedy = remedy or administering(self._connection, *self._existed)
        return self._connection.execute(operation, statement, arguments, remedy)


def require_known(names: Sequence[str], known: Mapping[str, int], found: Mapping[str, int]) -> None:
    """Raise Unsafe if a name that is known stands for another role than it did, or for none."""
    for name in names:
        if name in known and found.get(name) != known[name]:
            raise Unsafe(
                f"looking for the role {name}",
                "it is not the one that it was: it was dropped or renamed, and made anew",
                f"Put the password of the new {name} into the secret, and rotate again",
            )


def _attribute(name: str, value: Attribute) -> Composable:
    if isinstance(value, bool):
        return SQL(name if value else f"NO{name}")
    return SQL(name + " {}").format(Literal(value))


def _value(name: str, value: str) -> Composable:
    """Return a setting's stored value as ALTER ROLE takes it."""
    if name.lower() not in LISTS:
        return Literal(value)
    names = [quoted.replace('""', '"') or bare for quoted, bare in re.findall(r'"((?:[^"]|"")*)"|([^,\s]+)', value)]
    return SQL(", ").join(map(Literal, names))


def _spoken(default: Default) -> str:
    schema, object_type, grantee, privilege, _ = default
    place = f" in schema {schema}" if schema else ""
    to = "itself" if grantee is None else grantee or "PUBLIC"
    return f"{privilege} on {DEFAULT_KEYWORDS[object_type]}{place} to {to}"
