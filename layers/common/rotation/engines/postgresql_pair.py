"""What makes two PostgreSQL roles one user?

The two roles of an alternating pair are the *original* and its *clone*. The clone is a member of the original, and acts as it
from the first moment of a session (`ALTER ROLE clone SET role = original`). So the pair is one owner: a table that either
makes belongs to the original, and either may alter and drop it. And all that the original is granted, the clone has.

    what                                    follows how
    rights on objects, roles                the original holds them, for both
    default privileges                      those of the original; copied, for sessions that left its role
    attributes, limits, validity, settings  copied from the current user to the other one

What the clone was given by itself (by an operator, or by other rotation functions in the past) is handed over: while the clone
is the current user, the original is granted the same; then the clone loses it, and what it owns passes to the original. From
then on a right that is granted to, or revoked from, the original is granted to, or revoked from, both.

The catalog tells what a role holds by itself: pg_shdepend lists the objects that it owns or that have it in their ACL, in all
databases (https://www.postgresql.org/docs/current/catalog-pg-shdepend.html). For a healthy pair the list is empty.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from psycopg2 import sql
from psycopg2.sql import SQL, Identifier, Literal

from rotation.engine import Standing
from rotation.errors import RightsDiffer, Unsafe

INHERIT_AND_SET = 160000
"""The first version in which a membership says by itself what it is good for, and in which CREATEROLE alone rules nobody."""

FLAGS = {
    "rolsuper": "SUPERUSER",
    "rolcreaterole": "CREATEROLE",
    "rolcreatedb": "CREATEDB",
    "rolreplication": "REPLICATION",
    "rolbypassrls": "BYPASSRLS",
}

LISTS = frozenset({
    "local_preload_libraries", "search_path", "session_preload_libraries",
    "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories",
})  # fmt: skip
"""Settings whose value is a list of names, to be set one by one (variable_is_guc_list_quote in PostgreSQL's
src/fe_utils/string_utils.c)."""

ROLES = f"""
    SELECT rolname, oid, {", ".join(FLAGS)}, rolconnlimit, coalesce(rolvaliduntil, 'infinity')::text, rolcanlogin, rolinherit,
           coalesce(shobj_description(oid, 'pg_authid'), '')
    FROM pg_roles WHERE rolname IN (%s, %s)"""  # noqa: S608 - made of constants

SETTINGS = """
    SELECT r.rolname, d.datname, s.setconfig
    FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
    WHERE r.rolname IN (%s, %s)"""

MEMBERSHIPS = """
    SELECT r.rolname, m.admin_option, pg_get_userbyid(m.grantor),
           pg_has_role(%(original)s, m.roleid, CASE WHEN m.admin_option THEN 'MEMBER WITH ADMIN OPTION' ELSE 'MEMBER' END)
    FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
    WHERE m.member = %(clone)s AND m.roleid <> %(original)s"""

TRACES = """
    SELECT s.deptype::text, pg_describe_object(s.classid, s.objid, s.objsubid)
    FROM pg_shdepend s
    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = %s AND s.deptype IN ('o', 'a', 'r')
      AND s.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND s.classid <> 'pg_auth_members'::regclass AND NOT (s.classid = 'pg_default_acl'::regclass AND s.deptype = 'o')
    ORDER BY 2"""
"""What the clone owns (o), is granted (a), or has a policy for (r), here or on shared objects."""

ELSEWHERE = """
    SELECT DISTINCT d.datname
    FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid
    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = %s AND s.deptype IN ('o', 'a', 'r')
      AND d.datname <> current_database() AND d.datallowconn
      AND NOT (s.classid = 'pg_default_acl'::regclass AND s.deptype = 'o')
    ORDER BY 1"""

UNCOVERED = """
    WITH acls (classid, objid, objsubid, owner, acl) AS (
        SELECT 'pg_class'::regclass, oid, 0, relowner, relacl FROM pg_class
        UNION ALL SELECT 'pg_class'::regclass, attrelid, attnum, relowner, attacl
            FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
        UNION ALL SELECT 'pg_namespace'::regclass, oid, 0, nspowner, nspacl FROM pg_namespace
        UNION ALL SELECT 'pg_proc'::regclass, oid, 0, proowner, proacl FROM pg_proc
        UNION ALL SELECT 'pg_type'::regclass, oid, 0, typowner, typacl FROM pg_type
        UNION ALL SELECT 'pg_language'::regclass, oid, 0, lanowner, lanacl FROM pg_language
        UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, 0, fdwowner, fdwacl FROM pg_foreign_data_wrapper
        UNION ALL SELECT 'pg_foreign_server'::regclass, oid, 0, srvowner, srvacl FROM pg_foreign_server
        UNION ALL SELECT 'pg_largeobject'::regclass, oid, 0, lomowner, lomacl FROM pg_largeobject_metadata
        UNION ALL SELECT 'pg_database'::regclass, oid, 0, datdba, datacl FROM pg_database
        UNION ALL SELECT 'pg_tablespace'::regclass, oid, 0, spcowner, spcacl FROM pg_tablespace
        UNION ALL SELECT 'pg_default_acl'::regclass, oid, 0, defaclrole, defaclacl FROM pg_default_acl
        {parameters}
    )
    SELECT o.type, o.identity, c.attname, held.privilege_type, held.is_grantable,
           pg_get_userbyid(d.defaclrole), n.nspname, d.defaclobjtype::text,
           CASE WHEN acls.objsubid > 0 THEN (pg_identify_object(acls.classid, acls.objid, 0)).identity ELSE o.identity END
    FROM acls CROSS JOIN aclexplode(acl) held
         CROSS JOIN pg_identify_object(acls.classid, acls.objid, acls.objsubid) o
         LEFT JOIN pg_attribute c ON acls.classid = 'pg_class'::regclass AND c.attrelid = objid AND c.attnum = objsubid AND objsubid > 0
         LEFT JOIN pg_default_acl d ON acls.classid = 'pg_default_acl'::regclass AND d.oid = objid
         LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
    WHERE held.grantee = %(clone)s AND acls.owner <> %(clone)s AND NOT pg_has_role(%(original)s, acls.owner, 'USAGE')
      AND NOT EXISTS (
        SELECT FROM aclexplode(acl) other
        WHERE other.privilege_type = held.privilege_type AND (other.is_grantable OR NOT held.is_grantable)
          AND CASE WHEN other.grantee = 0 THEN true ELSE pg_has_role(%(original)s, other.grantee, 'USAGE') END)
      AND NOT (acls.classid = 'pg_class'::regclass AND objsubid > 0 AND has_column_privilege(
        %(original)s, objid, objsubid::int2,
        held.privilege_type || CASE WHEN held.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END))
    ORDER BY 1, 2, 4"""
"""What the clone is granted, and the original has from nowhere: not from itself, its roles, PUBLIC, or as the owner."""

PARAMETERS = "UNION ALL SELECT 'pg_parameter_acl'::regclass, oid, 0, 10, paracl FROM pg_parameter_acl"
PARAMETER_ACLS = 150000

DEFAULTS = """
    SELECT n.nspname, d.objtype, CASE WHEN e.grantee = 0 THEN '' WHEN e.grantee <> %(role)s THEN pg_get_userbyid(e.grantee) END,
           e.privilege_type, e.is_grantable
    FROM (SELECT defaclnamespace, defaclobjtype::text, defaclacl FROM pg_default_acl WHERE defaclrole = %(role)s
          UNION ALL
          SELECT 0::oid, t.objtype, acldefault(CASE t.objtype WHEN 'S' THEN 's' ELSE t.objtype END::"char", %(role)s)
          FROM (VALUES ('r'), ('S'), ('f'), ('T'), ('n')) t (objtype)
          WHERE NOT EXISTS (SELECT FROM pg_default_acl
                            WHERE defaclrole = %(role)s AND defaclnamespace = 0 AND defaclobjtype::text = t.objtype)
         ) d (namespace, objtype, acl)
         CROSS JOIN aclexplode(d.acl) e
         LEFT JOIN pg_namespace n ON n.oid = d.namespace"""
"""The default privileges of a role, those that are built in included; the role itself is NULL, PUBLIC is empty."""

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
        arguments: Any = (),
        remedy: str = "",  # noqa: ANN401 - as psycopg2
    ) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows; raises a DatabaseError."""


@dataclass(frozen=True)
class Role:
    """A row of pg_roles."""

    oid: int
    attributes: dict[str, bool | int | str]
    """Under the words of ALTER ROLE."""
    can_login: bool
    inherits: bool
    comment: str


Setting = tuple[str | None, str]
"""A database (None: all) and the name of a setting."""

Default = tuple[str | None, str, str | None, str, bool]
"""A schema (None: all), a type of object, a grantee (None: the role itself), a privilege, and whether it may be passed on."""


class Pair:
    """Two roles that take turns, seen in one database."""

    def __init__(self, connection: Connection, user: str, other: str) -> None:
        """`user` is the one that AWSCURRENT names. The clone is the one whose name is longer by the suffix."""
        self._connection = connection
        self.user = user
        self.other = other
        self.original, self.clone = sorted((user, other), key=len)
        self._mark = f"Takes turns with {self.original}: rotated by AWS Secrets Manager"
        self._roles = self._read_roles()

    def standing(self) -> Standing:
        """Tell what the server knows about the other user; raises Unsafe where the original is gone."""
        if self.original not in self._roles:
            raise Unsafe(
                f"looking for {self.original}, of which {self.clone} is the clone",
                f"there is no role {self.original}",
                f"Create it, or put a user whose name does not end like a clone's into the secret",
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
        rows = self._run("looking for rights in other databases", ELSEWHERE, (self._roles[self.clone].oid,))
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
            # Drops no object: the clone owns none any more. It takes the clone out of every ACL that the admin may change.
            self._run(doing, SQL("DROP OWNED BY {clone}").format(**names))
        self._require_handed_over(self._uncovered(), "left to")

    def align(self) -> None:
        """Copy the attributes, limits, validity and settings of the current user, and the default privileges of the original."""
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
            f"{role} has the setting {name}{f' in database {database}' if database else ''} = {now!r} instead of {wanted!r}"
            for role, (database, name), now, wanted in self._setting_changes()
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
        """Say what the clone holds by itself in this database, or on shared objects, that the original does not have."""
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
            # Only so may it connect to a database that its original may connect to. It acts as the original from then on.
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
            "ALTER DEFAULT PRIVILEGES FOR ROLE {clone}{schema} {verb} {privilege} ON {type} {preposition} {grantee}{option}"
        )
        self._run(
            f"giving {self.clone} the default privileges of {self.original}",
            statement.format(
                clone=Identifier(self.clone),
                schema=SQL(" IN SCHEMA {}").format(Identifier(schema)) if schema else SQL(""),
                verb=SQL(verb),
                privilege=SQL(privilege),
                type=SQL(DEFAULT_KEYWORDS[object_type]),
                preposition=SQL(preposition),
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

    def _attribute_changes(self) -> dict[str, bool | int | str]:
        other = self._roles[self.other].attributes
        return {name: value for name, value in self._roles[self.user].attributes.items() if other[name] != value}

    def _setting_changes(self) -> list[tuple[str, Setting, str | None, str | None]]:
        """Return which role's settings have what value, None for none, and should have which."""
        settings: dict[str, dict[Setting, str]] = {self.user: {}, self.other: {}}
        for role, database, entries in self._run("reading the settings", SETTINGS, (self.user, self.other)):
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
        rows = self._run("reading the default privileges", DEFAULTS, arguments)
        return {tuple(row) for row in rows}

    def _is_member(self) -> bool:
        condition = "inherit_option AND set_option" if self._memberships_are_explicit else "true"
        query = f"SELECT 1 FROM pg_auth_members WHERE roleid = %s AND member = %s AND {condition} LIMIT 1"  # noqa: S608 - constants
        pair = (self._roles[self.original].oid, self._roles[self.clone].oid)
        return bool(self._run("reading the memberships", query, pair))

    def _memberships(self) -> list[tuple[Any, ...]]:
        return self._run("reading the memberships", MEMBERSHIPS, self._oids())

    def _own_roles(self) -> list[str]:
        return [role for role, _, _, covered in self._memberships() if not covered]

    def _traces(self, kind: str) -> list[str]:
        rows = self._run("reading what the clone holds", TRACES, (self._roles[self.clone].oid,))
        return [description for trace, description in rows if trace == kind]

    def _uncovered(self) -> "list[Grant]":
        # The long query reads every ACL of the database; most of the time the short one says that there is nothing.
        if not self._traces("a"):
            return []
        query = UNCOVERED.format(parameters=PARAMETERS if self._connection.server_version >= PARAMETER_ACLS else "")
        return [Grant(*row) for row in self._run("reading what the clone is granted", query, self._oids())]

    def _oids(self) -> dict[str, int]:
        return {"original": self._roles[self.original].oid, "clone": self._roles[self.clone].oid}

    @property
    def _memberships_are_explicit(self) -> bool:
        return self._connection.server_version >= INHERIT_AND_SET

    def _read_roles(self) -> dict[str, Role]:
        roles = {}
        for name, oid, *flags, limit, valid_until, can_login, inherits, comment in self._run(
            "reading the roles", ROLES, (self.user, self.other)
        ):
            attributes = dict(zip(FLAGS.values(), flags, strict=True)) | {
                "CONNECTION LIMIT": limit,
                "VALID UNTIL": valid_until,
            }
            roles[name] = Role(oid, attributes, can_login, inherits, comment)
        return roles

    def _run(
        self, doing: str, statement: str | sql.Composable, arguments: Any = (), remedy: str = ""
    ) -> list[tuple[Any, ...]]:  # noqa: ANN401 - as psycopg2
        return self._connection.execute(doing, statement, arguments, remedy or self._remedy(self.original, self.clone))

    def _remedy(self, *roles: str) -> str:
        """Say how the admin gets to administer roles that it did not make (PostgreSQL 16 and later ask for that)."""
        admin = self._connection.username
        grants = "; ".join(f'GRANT "{role}" TO "{admin}" WITH ADMIN OPTION' for role in roles)
        return f"Give {admin} CREATEROLE and what it is to hand on, and run as the creator of the role, or as a superuser: {grants}"


@dataclass(frozen=True)
class Grant:
    """A right that the clone has by itself: a row of UNCOVERED."""

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


def _attribute(name: str, value: bool | int | str) -> sql.Composable:
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
    return f"{privilege} on {DEFAULT_KEYWORDS[object_type]}{place} to {'itself' if grantee is None else grantee or 'PUBLIC'}"
