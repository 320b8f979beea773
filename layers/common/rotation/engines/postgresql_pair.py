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
is empty.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from psycopg2 import sql
from psycopg2.sql import SQL, Identifier, Literal

from rotation.engine import Standing
from rotation.engines import postgresql_catalog as catalog
from rotation.errors import RightsDiffer, Unsafe

INHERIT_AND_SET = 160000
"""The first version in which a membership says by itself what it is good for, and in which CREATEROLE alone rules
nobody."""

LISTS = frozenset({
    "local_preload_libraries", "search_path", "session_preload_libraries",
    "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories",
})  # fmt: skip
"""Settings whose value is a list of names, to be set one by one (variable_is_guc_list_quote in PostgreSQL's
src/fe_utils/string_utils.c)."""

KEYWORDS = {
    "sequence": "SEQUENCE", "function": "ROUTINE", "procedure": "ROUTINE", "aggregate": "ROUTINE", "schema": "SCHEMA",
    "type": "TYPE", "domain": "TYPE", "language": "LANGUAGE", "foreign-data wrapper": "FOREIGN DATA WRAPPER",
    "server": "FOREIGN SERVER", "large object": "LARGE OBJECT", "database": "DATABASE", "tablespace": "TABLESPACE",
    "parameter ACL": "PARAMETER",
}  # fmt: skip
"""What GRANT calls what the catalog calls; all else is a TABLE."""

DEFAULT_KEYWORDS = {
    "r": "TABLES",
    "S": "SEQUENCES",
    "f": "ROUTINES",
    "T": "TYPES",
    "n": "SCHEMAS",
    "L": "LARGE OBJECTS",
}


type Arguments = Sequence[object] | Mapping[str, object]
type Attribute = bool | int | str


class Connection(Protocol):
    """What a pair needs of a session."""

    @property
    def username(self) -> str:
        """Who is logged in."""

    @property
    def server_version(self) -> int:
        """160004 is 16.4."""

    def execute(
        self,
        doing: str,
        statement: str | sql.Composable,
        arguments: Arguments = (),
        remedy: str = "",
    ) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows; raises a DatabaseError."""


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

    def __init__(self, connection: Connection, user: str, other: str) -> None:
        """`user` is the one that AWSCURRENT names. The clone is the one whose name is longer by the suffix."""
        self._connection = connection
        self.user = user
        self.other = other
        self.original, self.clone = sorted((user, other), key=len)
        self._mark = f"Takes turns with {self.original}: rotated by AWS Secrets Manager"
        self._existed: list[str] = []
        self._roles = self._read_roles()
        self._existed = [name for name in (self.original, self.clone) if name in self._roles]

    def standing(self) -> Standing:
        """Tell what the server knows about the other user; raises Unsafe where the original is gone."""
        if self.original not in self._roles:
            raise Unsafe(
                f"looking for {self.original}, of which {self.clone} is the clone",
                f"there is no role {self.original}",
                "Create it, or put a user whose name does not end like a clone's into the secret",
            )
        if self.clone not in self._roles:
            return Standing.ABSENT
        return Standing.OURS if self._mark in self._roles[self.clone].comment else Standing.UNKNOWN

    def prepare(self) -> None:
        """Have a clone that carries our mark, is a member of the original, and acts as it."""
        doing = f"preparing {self.clone}"
        # Two deliveries of one step would stand in each other's way ("tuple concurrently updated").
        self._run(doing, SQL("SELECT pg_advisory_xact_lock(hashtext({}))").format(Literal(self._mark)))
        self._roles = self._read_roles()
        if self.clone not in self._roles:
            self._run(doing, SQL("CREATE ROLE {} NOLOGIN").format(Identifier(self.clone)))
            self._roles = self._read_roles()
        comment = self._roles[self.clone].comment
        if self._mark not in comment:
            marked = "\n".join(filter(None, (comment, self._mark)))
            self._run(doing, SQL("COMMENT ON ROLE {} IS {}").format(Identifier(self.clone), Literal(marked)))
        if not self._is_member():
            options = SQL(" WITH INHERIT TRUE, SET TRUE" if self._memberships_are_explicit else "")
            self._run(
                f"making {self.clone} a member of {self.original}",
                SQL("GRANT {} TO {}").format(Identifier(self.original), Identifier(self.clone)) + options,
            )

    def elsewhere(self) -> Sequence[str]:
        """Return the other databases in which the clone holds something by itself."""
        if self.clone not in self._roles:
            return []
        rows = self._run("looking for rights in other databases", catalog.ELSEWHERE, (self._roles[self.clone].oid,))
        return [database for (database,) in rows]

    def hand_over(self) -> None:
        """Have the original hold, for both, what the clone holds by itself; here, and on what all databases share.

        Raises RightsDiffer, and changes nothing, where the current user would lose something.
        """
        self._hand_over_roles()
        owned, uncovered = self._traces("o"), self._uncovered()
        if not owned and not uncovered:
            return
        if self.user == self.clone:
            for grant in uncovered:
                statement = grant.statement(self.original)
                self._run(f"granting {grant} to {self.original}", statement, remedy=grant.remedy(self.original))
            self._require_handed_over([*self._uncovered(), *self._traces("r")], "granted to")
        with self._acting_as(self.original), self._acting_as(self.clone):
            names = {"clone": Identifier(self.clone), "original": Identifier(self.original)}
            doing = f"handing over to {self.original} what {self.clone} owns"
            self._run(doing, SQL("REASSIGN OWNED BY {clone} TO {original}").format(**names))
            # Drops no object, for the clone owns none any more: it takes the clone out of every ACL.
            self._run(doing, SQL("DROP OWNED BY {clone}").format(**names))
        self._require_handed_over(self._uncovered(), "left to")

    def align(self) -> None:
        """Copy attributes and settings of the current user, and the default privileges of the original."""
        self._roles = self._read_roles()
        self._align_attributes()
        self._align_settings()
        self._align_defaults()

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
            *(f"{self.clone} is a member of {role}, {self.original} is not" for role in self._own_roles()),
            *(f"{self.clone} lacks the default privilege {_spoken(default)}" for default in lacking),
            *(
                f"{self.clone} has the default privilege {_spoken(default)}, {self.original} has not"
                for default in surplus
            ),
        ]

    def holdings(self) -> list[str]:
        """Say what the clone holds by itself, here or on shared objects, that the original does not have."""
        if self.clone not in self._roles:
            return []
        return [
            *(f"{self.clone} owns {thing}" for thing in self._traces("o")),
            *(f"{self.clone} has {thing}" for thing in self._traces("r")),
            *(f"{self.clone} has {held}, {self.original} has not" for held in self._uncovered()),
        ]

    def _require_handed_over(self, left: Sequence[object], how: str) -> None:
        if left:
            raise RightsDiffer(
                f"handing over to {self.original} what {self.clone} holds by itself",
                f"{'; '.join(map(str, left))} cannot be {how} {self.original} alone by {self._connection.username}",
                f"As the owner, grant it to {self.original} where it is to be kept, and revoke it from {self.clone}",
            )

    def _hand_over_roles(self) -> None:
        names = {"clone": Identifier(self.clone), "original": Identifier(self.original)}
        for role, admin_option, grantor, covered in self._memberships():
            if covered:
                continue
            doing = f"handing over to {self.original} that {self.clone} is a member of {role}"
            remedy = self._remedy(role)
            if self.user == self.clone:
                option = SQL(" WITH ADMIN OPTION" if admin_option else "")
                grant = SQL("GRANT {role} TO {original}").format(role=Identifier(role), **names) + option
                self._run(doing, grant, remedy=remedy)
            by = SQL(" GRANTED BY {}").format(Identifier(grantor)) if self._memberships_are_explicit else SQL("")
            self._run(
                doing,
                SQL("REVOKE {role} FROM {clone}").format(role=Identifier(role), **names) + by,
                remedy=remedy,
            )

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
        with self._acting_as(self.clone):
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

    @contextmanager
    def _acting_as(self, role: str) -> Iterator[None]:
        """Let the admin use the rights of a role inside the block, where it may not already."""
        doing = f"using the rights of {role}"
        [(may,)] = self._run(doing, "SELECT pg_has_role(current_user, %s, 'USAGE')", (self._roles[role].oid,))
        if may:
            yield
            return
        options = SQL(" WITH INHERIT TRUE, SET TRUE" if self._memberships_are_explicit else "")
        self._run(
            doing,
            SQL("GRANT {} TO CURRENT_USER").format(Identifier(role)) + options,
            remedy=self._remedy(role),
        )
        yield
        self._run(doing, SQL("REVOKE {} FROM CURRENT_USER").format(Identifier(role)))

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
        wanted, present = self._defaults(self.original), self._defaults(self.clone)
        return wanted - present, present - wanted

    def _defaults(self, role: str) -> set[Default]:
        arguments = {"role": self._roles[role].oid}
        rows = self._run("reading the default privileges", catalog.DEFAULTS, arguments)
        return {tuple(row) for row in rows}

    def _is_member(self) -> bool:
        condition = "inherit_option AND set_option" if self._memberships_are_explicit else "true"
        query = f"SELECT 1 FROM pg_auth_members WHERE roleid = %s AND member = %s AND {condition} LIMIT 1"  # noqa: S608 - constants
        pair = (self._roles[self.original].oid, self._roles[self.clone].oid)
        return bool(self._run("reading the memberships", query, pair))

    def _memberships(self) -> list[tuple[Any, ...]]:
        return self._run("reading the memberships", catalog.MEMBERSHIPS, self._oids())

    def _own_roles(self) -> list[str]:
        return [role for role, _, _, covered in self._memberships() if not covered]

    def _traces(self, kind: str) -> list[str]:
        rows = self._run("reading what the clone holds", catalog.TRACES, (self._roles[self.clone].oid,))
        return [description for trace, description in rows if trace == kind]

    def _uncovered(self) -> "list[Grant]":
        # The long query reads every ACL of the database; most of the time the short one says that there is nothing.
        if not self._traces("a"):
            return []
        query = catalog.UNCOVERED.format(
            parameters=catalog.PARAMETERS if self._connection.server_version >= catalog.PARAMETER_ACLS else ""
        )
        return [Grant(*row) for row in self._run("reading what the clone is granted", query, self._oids())]

    def _oids(self) -> dict[str, int]:
        return {"original": self._roles[self.original].oid, "clone": self._roles[self.clone].oid}

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
        return roles

    def _run(
        self, doing: str, statement: str | sql.Composable, arguments: Arguments = (), remedy: str = ""
    ) -> list[tuple[Any, ...]]:
        return self._connection.execute(doing, statement, arguments, remedy or self._remedy(*self._existed))

    def _remedy(self, *roles: str) -> str:
        """Say how the admin gets to administer roles that it did not make (PostgreSQL 16 and later ask for that)."""
        admin = self._connection.username
        grants = "; ".join(f'GRANT "{role}" TO "{admin}" WITH ADMIN OPTION' for role in roles)
        return f"Give {admin} CREATEROLE, and run as the creator of the roles, or as a superuser: {grants}"


@dataclass(frozen=True)
class Grant:
    """A right that the clone has by itself: a row of catalog.UNCOVERED."""

    object_type: str
    identity: str
    column: str | None
    privilege: str
    grantable: bool
    default_owner: str | None
    default_schema: str | None
    default_type: str | None
    whole: str
    """The object itself, where the right is on a column of it."""

    def __str__(self) -> str:
        option = " WITH GRANT OPTION" if self.grantable else ""
        return f"{self.privilege}{option} on {self.object_type} {self.identity}"

    def statement(self, role: str) -> sql.Composable:
        """Return the statement that grants the same to another role."""
        to = SQL(" TO {}").format(Identifier(role)) + SQL(" WITH GRANT OPTION" if self.grantable else "")
        privilege = SQL(self.privilege)
        if self.default_owner and self.default_type:
            schema = SQL(" IN SCHEMA {}").format(Identifier(self.default_schema)) if self.default_schema else SQL("")
            whose = SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {}").format(Identifier(self.default_owner)) + schema
            return whose + SQL(" GRANT {} ON {}").format(privilege, SQL(DEFAULT_KEYWORDS[self.default_type])) + to
        columns = SQL(" ({})").format(Identifier(self.column)) if self.column else SQL("")
        # The identity is the server's own text, quoted by pg_identify_object where it has to be.
        return (
            SQL("GRANT {}{} ON {} {}").format(
                privilege, columns, SQL(KEYWORDS.get(self.object_type, "TABLE")), SQL(self.whole)
            )
            + to
        )

    def remedy(self, role: str) -> str:
        """Say what somebody who may has to do."""
        return f"Grant {self} to {role} as its owner, and revoke it from the clone"


def _attribute(name: str, value: Attribute) -> sql.Composable:
    if isinstance(value, bool):
        return SQL(name if value else f"NO{name}")
    return SQL(name + " {}").format(Literal(value))


def _value(name: str, value: str) -> sql.Composable:
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
