"""What does the stand-in for Oracle do with a statement? It reads all of it, and only then does anything.

It knows the statements that a rotation and its tests send, with the clauses that they use. An unknown one is an error,
and so is a clause out of place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tests.local.stand_ins.oracle import dictionary, queues
from tests.local.stand_ins.oracle.database import (
    BY_PACKAGE,
    COLUMN_PRIVILEGES,
    DBA,
    DEFAULT_PROFILE,
    FIRST_WITH_ROLLOVER,
    LIMITS,
    OBJECT_PRIVILEGES,
    PUBLIC,
    ROLLOVER,
    SYS,
    SYSTEM_PRIVILEGES,
    VERIFY_FUNCTIONS,
    Connection,
    Database,
    Held,
    Options,
    Trigger,
    User,
)
from tests.local.stand_ins.oracle.dictionary import Binds, Value
from tests.local.stand_ins.oracle.sql import Kind, OracleError, Reader

FIRST_WITH_SCHEMA_PRIVILEGES = (23,)
WITHOUT_SCHEMA = ("DIRECTORY", "EDITION", "USER")
OBJECT_KINDS = (*WITHOUT_SCHEMA, "MINING MODEL", "JAVA SOURCE", "JAVA RESOURCE", "SQL TRANSLATION PROFILE")


@dataclass(frozen=True)
class Result:
    """What a statement brings."""

    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Value]] = ()


@dataclass
class Session:
    """One connection, whose user logged in."""

    database: Database = field(repr=False)
    user: str
    schema: str
    pending: dict[tuple[str, str], list[tuple[object, ...]]] = field(default_factory=dict)
    """What was inserted and not committed."""
    program: str = ""
    identification: str = "LOCAL"
    proxy: str | None = None
    settings: dict[str, str] = field(default_factory=dict)

    def begin(self) -> None:
        """Run what is to run at a login."""
        self._set(self.database.fire(self.user, "LOGON"))

    def folded(self, value: Value) -> Value:
        """Return a value as comparisons take it
        (https://docs.oracle.com/en/database/oracle/oracle-database/19/nlspg/linguistic-sorting-and-matching.html)."""  # noqa: D205, D209
        is_linguistic = self.settings.get("NLS_COMP") == "LINGUISTIC"
        if is_linguistic and self.settings.get("NLS_SORT", "").endswith("_CI") and isinstance(value, str):
            return value.lower()
        return value

    def context(self, name: str) -> Value:
        """Return what SYS_CONTEXT says of this session
        (https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/SYS_CONTEXT.html)."""  # noqa: D205, D209
        values: dict[str, Value] = {
            "SESSION_USER": self.user,
            "SESSION_USERID": str(self.database.users[self.user].number),
            "CURRENT_SCHEMA": self.schema,
            "IDENTIFICATION_TYPE": self.identification,
            "AUTHENTICATION_METHOD": "PASSWORD",
            "PROXY_USER": self.proxy,
            "CON_NAME": self.database.container,
            "DB_UNIQUE_NAME": self.database.unique_name,
        }
        if name not in values:
            raise OracleError(2003, "invalid USERENV parameter")
        return values[name]

    def _set(self, settings: Sequence[tuple[str, str]]) -> None:
        for name, value in settings:
            if name != "CURRENT_SCHEMA":
                self.settings[name] = value
            elif value in self.database.users:
                self.schema = value
            else:
                raise OracleError(1435, "user does not exist")

    def execute(self, statement: str, binds: Binds) -> Result:
        """Run a statement. Raises OracleError."""
        try:
            result = self._execute(Reader(statement), {name.upper(): value for name, value in binds.items()})
        except OracleError as error:
            self.database.log(self.user, statement, error.number, self.program)
            raise
        self.database.log(self.user, statement, 0, self.program)
        return result

    def change_password(self, old: str, new: str) -> None:
        """Do what OCIPasswordChange does. Raises OracleError."""
        try:
            self._require_old(self.database.users[self.user], old)
            self.database.set_password(self.database.users[self.user], new, old)
        except OracleError as error:
            self.database.audit.append(f"{self.user} {error.number} PASSWORD CHANGE")
            raise
        self.database.audit.append(f"{self.user} 0 PASSWORD CHANGE")

    def commit(self) -> None:
        """Keep what was inserted."""
        for place, rows in self.pending.items():
            self.database.rows.setdefault(place, []).extend(rows)
        self.pending.clear()

    def rollback(self) -> None:
        """Forget what was inserted."""
        self.pending.clear()

    def _execute(self, reader: Reader, binds: Binds) -> Result:
        for beginning, error in self.database.refuses.items():
            if reader.statement.startswith(beginning):
                raise OracleError(*error)
        if reader.took("SELECT"):
            return Result(*dictionary.select(self, reader, binds))
        if reader.took("BEGIN"):
            self._block(reader, binds)
            return Result()
        for words, act in STATEMENTS.items():
            if reader.took(*words):
                if words[0] not in ("INSERT", "UPDATE"):
                    self.commit()
                if words != ("ALTER", "SESSION"):
                    self._set(self.database.fire(self.user, words[0], reader.statement))
                act(self, reader)
                return Result()
        raise OracleError(900, "invalid SQL statement")

    # Users

    def create_user(self, reader: Reader) -> None:
        """CREATE USER … IDENTIFIED BY …, with its clauses."""
        name = reader.identifier()
        user = User(name, "")
        reader.expect("IDENTIFIED", "BY")
        user.password = reader.password()
        changes = self._clauses(reader, user)
        reader.end()
        self.database.require(self.user, "CREATE USER")
        if name in self.database.users or name in self.database.roles:
            raise OracleError(1920, f"user name '{name}' conflicts with another user or role name")
        for change in changes:
            change()
        self.database.require_fit(name, user.profile, user.password, None)
        user.number = next(self.database.numbers)
        self.database.users[name] = user
        self.database.inherited.add((name, PUBLIC))

    def alter_user(self, reader: Reader) -> None:
        """ALTER USER, with its clauses, or for a proxy."""
        name = reader.identifier()
        if reader.sees("GRANT", "CONNECT") or reader.sees("REVOKE", "CONNECT"):
            self._alter_connection(reader, name)
            return
        if reader.took("IDENTIFIED", "BY"):
            self._alter_password(reader, name)
            return
        user = replace(self.database.users.get(name) or User(name, ""))
        changes = self._clauses(reader, user)
        reader.end()
        self.database.require(self.user, "ALTER USER")
        self.database.user(name)
        for change in changes:
            change()
        self.database.users[name] = user

    def _alter_password(self, reader: Reader, name: str) -> None:
        password, old, expire = reader.password(), None, False
        if reader.took("REPLACE"):
            old = reader.password()
        if reader.sees("EXPIRE") and self.database.version >= FIRST_WITH_ROLLOVER:
            reader.expect("EXPIRE", "PASSWORD", "ROLLOVER", "PERIOD")
            expire = True
        user = replace(self.database.users.get(name) or User(name, ""))
        user.history = [*user.history]
        changes = self._clauses(reader, user)
        reader.end()
        is_admin = self.database.may(self.user, "ALTER USER")
        if not is_admin and (name != self.user or changes):
            raise OracleError(1031, "insufficient privileges")
        self.database.user(name)
        if not is_admin:
            self._require_old(user, old)
        self.database.set_password(user, password, old, expire=expire)
        for change in changes:
            change()
        self.database.users[name] = user

    def _require_old(self, user: User, old: str | None) -> None:
        verified = self.database.limit(user.profile, "PASSWORD_VERIFY_FUNCTION") != "NULL"
        if old is None and verified:
            raise OracleError(28221, "REPLACE not specified")
        if old is not None and old not in self.database.passwords(user.name):
            raise OracleError(28008, "invalid old password")

    def _clauses(self, reader: Reader, user: User) -> list[Callable[[], None]]:
        """Read the clauses that CREATE USER and ALTER USER share; return what they do to the user."""
        changes: list[Callable[[], None]] = []
        while not reader.at_end:
            changes.append(self._clause(reader, user))
        return changes

    def _clause(self, reader: Reader, user: User) -> Callable[[], None]:  # noqa: C901, PLR0911 - one for each clause
        database = self.database
        if reader.took("ACCOUNT", "LOCK"):
            return lambda: setattr(user, "locked", True)
        if reader.took("ACCOUNT", "UNLOCK"):
            return lambda: _unlock(user)
        if reader.took("PASSWORD", "EXPIRE"):
            return lambda: setattr(user, "expired", True)
        if database.version >= FIRST_WITH_ROLLOVER and reader.took("EXPIRE", "PASSWORD", "ROLLOVER", "PERIOD"):
            return lambda: _end_rollover(user)
        if reader.took("PROFILE"):
            return self._setting(user, "profile", reader.identifier(), database.profiles, 2380, "profile")
        for words, name in (
            (("DEFAULT", "TABLESPACE"), "default_tablespace"),
            (("TEMPORARY", "TABLESPACE"), "temporary_tablespace"),
        ):
            if reader.took(*words):
                return self._setting(user, name, reader.identifier(), database.tablespaces, 959, "tablespace")
        if reader.took("DEFAULT", "COLLATION"):
            collation = reader.take(Kind.WORD).value
            return lambda: setattr(user, "collation", collation)
        if database.version >= (23, 4) and (reader.sees("READ", "ONLY") or reader.sees("READ", "WRITE")):
            reader.take()
            is_read_only = reader.take().value == "ONLY"
            return lambda: setattr(user, "read_only", is_read_only)
        if reader.took("QUOTA"):
            return self._quota(reader, user)
        if reader.took("DEFAULT", "ROLE"):
            return self._default_roles(reader, user)
        raise OracleError(922, "missing or invalid option")

    def _setting(  # noqa: PLR0913, PLR0917 - what one clause says
        self, user: User, name: str, value: str, known: object, number: int, what: str
    ) -> Callable[[], None]:
        def change() -> None:
            if value not in known:  # type: ignore[operator]
                raise OracleError(number, f"{what} '{value}' does not exist")
            setattr(user, name, value)

        return change

    def _quota(self, reader: Reader, user: User) -> Callable[[], None]:
        size = -1 if reader.took("UNLIMITED") else int(reader.take(Kind.NUMBER).value)
        reader.expect("ON")
        tablespace = reader.identifier()

        def change() -> None:
            if tablespace not in self.database.tablespaces:
                raise OracleError(959, f"tablespace '{tablespace}' does not exist")
            user.quotas = {**user.quotas, tablespace: size}

        return change

    def _default_roles(self, reader: Reader, user: User) -> Callable[[], None]:
        roles: frozenset[str] | None = None
        if reader.took("NONE"):
            roles = frozenset()
        elif not reader.took("ALL"):
            roles = frozenset(reader.listed(reader.identifier))

        def change() -> None:
            for role in roles or ():
                if (user.name, role) not in self.database.role_grants:
                    raise OracleError(1955, f"DEFAULT ROLE '{role}' not granted to user")
            user.default_roles = roles

        return change

    def _alter_connection(self, reader: Reader, client: str) -> None:
        grants = reader.took("GRANT")
        if not grants:
            reader.expect("REVOKE")
        reader.expect("CONNECT", "THROUGH")
        proxy = "" if reader.took("ENTERPRISE", "USERS") else reader.identifier()
        constraint, roles = "PROXY MAY ACTIVATE ALL CLIENT ROLES", frozenset[str]()
        if grants and reader.took("WITH", "NO", "ROLES"):
            constraint = "NO CLIENT ROLES MAY BE ACTIVATED"
        elif grants and reader.took("WITH", "ROLE"):
            excepted = reader.took("ALL", "EXCEPT")
            constraint = "PROXY MAY NOT ACTIVATE ROLE" if excepted else "PROXY MAY ACTIVATE ROLE"
            roles = frozenset(reader.listed(reader.identifier))
        authenticated = grants and reader.took("AUTHENTICATION", "REQUIRED")
        reader.end()
        database = self.database
        database.require(self.user, "ALTER USER")
        database.user(client)
        if proxy:
            database.user(proxy)
        for role in roles:
            if (client, role) not in database.role_grants:
                raise OracleError(1924, f"role '{role}' not granted or does not exist")
        if grants:
            database.connections[client, proxy] = Connection(constraint, roles, authenticated)
        elif database.connections.pop((client, proxy), None) is None:
            raise OracleError(28154, f"Proxy user may not act as client '{client}'")

    def drop_user(self, reader: Reader) -> None:
        """DROP USER … [CASCADE]."""
        name = reader.identifier()
        cascade = reader.took("CASCADE")
        reader.end()
        self.database.require(self.user, "DROP USER")
        self.database.user(name)
        if not cascade and any(owner == name for owner, _ in (*self.database.objects, *self.database.synonyms)):
            raise OracleError(1922, f"CASCADE must be specified to drop '{name}'")
        self.database.forget(name)

    # Rights

    def grant(self, reader: Reader) -> None:
        """GRANT, of all sorts."""
        self._change_rights(reader, "TO")

    def revoke(self, reader: Reader) -> None:
        """REVOKE, of all sorts."""
        self._change_rights(reader, "FROM")

    def _change_rights(self, reader: Reader, to: str) -> None:
        named = reader.listed(lambda: self._right(reader, to))
        if len({name for name, _ in named}) < len(named):
            raise OracleError(1711, "duplicate privilege listed")
        place: tuple[str | None, str | None, str] | None = None
        schema = None
        if reader.took("ON", "SCHEMA"):
            schema = reader.identifier()
        elif reader.took("ON"):
            kind = next((kind for kind in OBJECT_KINDS if reader.took(*kind.split())), None)
            place = (kind, *reader.qualified())
        reader.expect(to)
        grantees = reader.listed(reader.identifier)
        admin = to == "TO" and reader.took("WITH", "ADMIN", "OPTION")
        delegate = to == "TO" and reader.took("WITH", "DELEGATE", "OPTION")
        hierarchy = to == "TO" and reader.took("WITH", "HIERARCHY", "OPTION")
        grantable = to == "TO" and reader.took("WITH", "GRANT", "OPTION")
        reader.end()
        if (place and admin) or (not place and (hierarchy or grantable)):
            raise OracleError(933, "SQL command not properly ended")
        if delegate and not {name for name, _ in named} <= self.database.roles:
            raise OracleError(28704, "DELEGATE OPTION is for roles only")
        acts = [
            self._object_right(name, columns, place, who, Options(grantable, hierarchy), to)
            if place
            else self._schema_right(name, schema, who, to, admin=admin)
            if schema
            else self._system_right(name, who, to, admin=admin)
            for name, columns in named
            for who in map(self.database.grantee, grantees)
        ]
        for act in acts:
            act()
        if delegate:
            self.database.role_delegates |= {(who, name) for who in grantees for name, _ in named}

    def _right(self, reader: Reader, to: str) -> tuple[str, tuple[str, ...]]:
        """Read a privilege of several words with its columns, or a role."""
        if (token := reader.peek()) and token.kind is Kind.NAME:
            return reader.identifier(), ()
        words = []
        while (token := reader.peek()) and token.kind is Kind.WORD and token.value not in ("ON", to):
            words.append(reader.take().value)
        columns: list[str] = []
        if reader.took("("):
            columns = reader.listed(reader.identifier)
            reader.expect(")")
        if not words:
            raise OracleError(990, "missing or invalid privilege")
        return " ".join(words), tuple(columns)

    def _system_right(self, name: str, who: str, to: str, *, admin: bool) -> Callable[[], None]:
        database = self.database
        if name in database.roles:
            return self._role(name, who, to, admin=admin)
        too_new = name == "GRANT ANY SCHEMA PRIVILEGE" and database.version < FIRST_WITH_SCHEMA_PRIVILEGES
        if name not in SYSTEM_PRIVILEGES or name in BY_PACKAGE or too_new:
            raise OracleError(1919 if " " not in name else 990, f"role '{name}' does not exist")
        if not (database.may(self.user, "GRANT ANY PRIVILEGE") or database.may(self.user, name, admin=True)):
            raise OracleError(1031, "insufficient privileges")
        if to == "FROM" and (who, name) not in database.system_grants:
            raise OracleError(1952, "system privileges not granted to")

        def act() -> None:
            if to == "FROM":
                del database.system_grants[who, name]
            else:
                database.system_grants[who, name] = admin or database.system_grants.get((who, name), False)

        return act

    def _role(self, role: str, who: str, to: str, *, admin: bool) -> Callable[[], None]:
        database = self.database
        passes_on = any(database.role_grants.get((one, role), False) for one in database.enabled(self.user))
        if not passes_on and not database.may(self.user, "GRANT ANY ROLE"):
            raise OracleError(1932, f"ADMIN option not granted for role '{role}'")
        if to == "FROM" and (who, role) not in database.role_grants:
            raise OracleError(1951, f"ROLE '{role}' not granted to '{who}'")

        def act() -> None:
            user = database.users.get(who)
            if to == "FROM":
                del database.role_grants[who, role]
                database.role_delegates.discard((who, role))
                if user and user.default_roles is not None:
                    user.default_roles -= {role}
            else:
                database.role_grants[who, role] = admin or database.role_grants.get((who, role), False)

        return act

    def _schema_right(self, name: str, schema: str, who: str, to: str, *, admin: bool) -> Callable[[], None]:
        database = self.database
        if (
            database.version < FIRST_WITH_SCHEMA_PRIVILEGES
            or name not in SYSTEM_PRIVILEGES
            or " ANY " not in f" {name} "
        ):
            raise OracleError(990, "missing or invalid privilege")
        database.user(schema)
        if schema != self.user and not database.may(self.user, "GRANT ANY SCHEMA PRIVILEGE"):
            raise OracleError(1031, "insufficient privileges")
        key = (who, name, schema)
        if to == "FROM" and key not in database.schema_grants:
            raise OracleError(1952, "schema privileges not granted to")

        def act() -> None:
            if to == "FROM":
                del database.schema_grants[key]
            else:
                database.schema_grants[key] = admin or database.schema_grants.get(key, False)

        return act

    def _object_right(  # noqa: PLR0913, PLR0917 - what the statement says of it
        self,
        privilege: str,
        columns: tuple[str, ...],
        place: tuple[str | None, str | None, str],
        who: str,
        options: Options,
        to: str,
    ) -> Callable[[], None]:
        database = self.database
        kind, owner, item = place
        if kind == "USER":
            return self._inheritance(privilege, item, who, to)
        if privilege not in OBJECT_PRIVILEGES or (columns and privilege not in COLUMN_PRIVILEGES):
            raise OracleError(990 if not columns else 969, "missing or invalid privilege")
        if columns and to == "FROM":
            raise OracleError(1750, "UPDATE/REFERENCES may only be REVOKEd from the whole table, not by column")
        owner, item = self._place_of_right(privilege, kind, owner, item)
        if who == self.user:
            raise OracleError(1749, "Cannot GRANT or REVOKE privileges to or from yourself.")
        anybody = owner != SYS and database.may(self.user, "GRANT ANY OBJECT PRIVILEGE")
        is_owner = owner == self.user or (owner == SYS and self.user == SYS)
        may_pass_on = database.held_on(self.user, owner, item).get(privilege, False)
        if to == "FROM":
            revoker, everywhere = self.user, anybody or is_owner
            return lambda: database.revoke_object((who, owner, item, privilege), revoker, anybody=everywhere)
        if not (anybody or is_owner or may_pass_on):
            raise OracleError(1031, "insufficient privileges")
        grantor = self.user if may_pass_on and not is_owner else owner

        def act() -> None:
            for column in columns or ("",):
                held = Held(who, owner, item, privilege, column, grantor)
                before = database.object_grants.get(held, Options())
                database.object_grants[held] = Options(
                    options.grantable or before.grantable, options.hierarchy or before.hierarchy
                )

        return act

    def _place_of_right(self, privilege: str, kind: str | None, owner: str | None, item: str) -> tuple[str, str]:
        """Return the object of a right. Which error somebody gets who cannot see it depends on the statement
        (https://docs.oracle.com/en/error-help/db/ora-22930/, ora-04042, ora-00942)."""  # noqa: D205, D209
        database = self.database
        if kind == "DIRECTORY":
            is_there = database.objects.get((SYS, item)) == kind
            if not is_there or (self.user != SYS and not database.held_on(self.user, SYS, item)):
                raise OracleError(22930, "directory object does not exist")
        if kind in WITHOUT_SCHEMA:
            return SYS, item
        try:
            place = database.find(self.user, self.schema, owner, item)
        except OracleError as error:
            if error.number == 942 and privilege == "EXECUTE":
                raise OracleError(4042, "procedure, function, package, or package body does not exist") from None
            raise
        if database.objects[place] == "DIRECTORY":
            raise OracleError(942, "table or view does not exist")
        return place

    def _inheritance(self, privilege: str, user: str, who: str, to: str) -> Callable[[], None]:
        database = self.database
        if privilege != "INHERIT PRIVILEGES":
            raise OracleError(990, "missing or invalid privilege")
        database.user(user)
        if self.user not in (user, SYS) and not database.may(self.user, "GRANT ANY OBJECT PRIVILEGE"):
            raise OracleError(1031, "insufficient privileges")
        if to == "TO":
            return lambda: database.inherited.add((user, who))
        return lambda: database.inherited.discard((user, who))

    # Objects, roles, profiles

    def create_role(self, reader: Reader) -> None:
        """CREATE ROLE; its maker may pass it on."""
        name = reader.identifier()
        reader.end()
        self.database.require(self.user, "CREATE ROLE")
        if name in self.database.roles or name in self.database.users:
            raise OracleError(1921, f"role name '{name}' conflicts with another user or role name")
        self.database.roles.add(name)
        self.database.role_grants[self.user, name] = True

    def create_profile(self, reader: Reader) -> None:
        """CREATE PROFILE … LIMIT …."""
        self._profile(reader, "CREATE PROFILE", dict.fromkeys(LIMITS, "DEFAULT"))

    def alter_profile(self, reader: Reader) -> None:
        """ALTER PROFILE … LIMIT …."""
        self._profile(reader, "ALTER PROFILE", None)

    def _profile(self, reader: Reader, privilege: str, limits: dict[str, str] | None) -> None:
        name = reader.identifier()
        reader.expect("LIMIT")
        given: dict[str, str] = {}
        while not reader.at_end:
            limit = reader.identifier()
            value = reader.take(Kind.WORD, Kind.NUMBER).value
            if reader.took("/"):
                value = str(float(value) / float(reader.take(Kind.NUMBER).value))
            if limit not in LIMITS or (limit == ROLLOVER and not self.database.has_rollover):
                raise OracleError(2376, "invalid or redundant resource")
            if limit == ROLLOVER and value != "DEFAULT" and not (float(value) == 0 or 1 / 24 <= float(value) <= 60):
                raise OracleError(2377, f"invalid profile limit {limit}")
            if limit == "PASSWORD_VERIFY_FUNCTION" and value not in ("NULL", "DEFAULT", *VERIFY_FUNCTIONS):
                raise OracleError(7443, f"function {value} not found")
            given[limit] = value
        self.database.require(self.user, privilege)
        known = self.database.profiles
        if (limits is None) is not (name in known):
            raise OracleError(2380 if limits is None else 2379, f"profile {name} does not exist, or exists already")
        known[name] = {**(limits if limits is not None else known[name]), **given}
        if name == DEFAULT_PROFILE and "DEFAULT" in given.values():
            raise OracleError(2377, "invalid profile limit")

    def create_table(self, reader: Reader) -> None:
        """CREATE TABLE name (column type, …)."""
        self._create_object(reader, "TABLE")

    def create_sequence(self, reader: Reader) -> None:
        """CREATE SEQUENCE name."""
        self._create_object(reader, "SEQUENCE")

    def _create_object(self, reader: Reader, kind: str) -> None:
        owner, name = reader.qualified()
        place = (owner or self.schema, name)
        if kind == "TABLE":
            reader.expect("(")
            generated = reader.listed(lambda: self._column(reader))
            reader.expect(")")
        else:
            generated = []
        reader.end()
        own = () if owner not in (None, self.user) else (f"CREATE {kind}",)
        self.database.require(self.user, f"CREATE ANY {kind}", *own)
        self.database.user(place[0])
        if place in self.database.objects or place in self.database.synonyms:
            raise OracleError(955, "name is already used by an existing object")
        self.database.objects[place] = kind
        for _ in filter(None, generated):
            # As identity columns have been seen to get them
            sequence = (place[0], f"ISEQ$$_{next(self.database.numbers)}")
            self.database.objects[sequence], self.database.made[sequence] = "SEQUENCE", "GENERATED"

    @staticmethod
    def _column(reader: Reader) -> bool:
        """Read a column; tell whether its values come from a sequence that the server makes."""
        reader.identifier()
        reader.identifier()
        return reader.took("GENERATED", "ALWAYS", "AS", "IDENTITY")

    def create_link(self, reader: Reader) -> None:
        """CREATE DATABASE LINK name [CONNECT TO user IDENTIFIED BY password] USING 'place'.

        Its name has no schema: what comes before a dot is a part of the name
        (https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/CREATE-DATABASE-LINK.html).
        """
        self._link(reader, self.user, "CREATE DATABASE LINK")

    @staticmethod
    def _link_name(reader: Reader) -> str:
        parts = [reader.identifier()]
        while reader.took("."):
            parts.append(reader.identifier())
        return ".".join(parts)

    def create_public_link(self, reader: Reader) -> None:
        """CREATE PUBLIC DATABASE LINK, in the same way."""
        self._link(reader, PUBLIC, "CREATE PUBLIC DATABASE LINK")

    def _link(self, reader: Reader, owner: str, privilege: str) -> None:
        name, username = self._link_name(reader), ""
        if reader.took("CONNECT", "TO"):
            username = reader.identifier()
            reader.expect("IDENTIFIED", "BY")
            reader.password()
        reader.expect("USING")
        host = reader.take(Kind.TEXT).value
        reader.end()
        self.database.require(self.user, privilege)
        place = (owner, name)
        if place in self.database.links:
            raise OracleError(2011, "duplicate database link name")
        self.database.links[place] = (username, host)

    def create_code(self, reader: Reader) -> None:
        """CREATE [OR REPLACE] FUNCTION, OPERATOR, PACKAGE, PROCEDURE, TYPE or VIEW; what it says is not read."""
        kind = reader.take(Kind.WORD).value
        owner, name = reader.qualified()
        place = (owner or self.schema, name)
        reader.rest()
        of_all = {"FUNCTION": "PROCEDURE", "PACKAGE": "PROCEDURE"}.get(kind, kind)
        self.database.require(self.user, *([f"CREATE {of_all}"] if place[0] == self.user else []), "CREATE ANY TABLE")
        if place in self.database.synonyms or self.database.objects.get(place, kind) != kind:
            raise OracleError(955, "name is already used by an existing object")
        self.database.objects[place] = kind

    def create_trigger(self, reader: Reader) -> None:
        """CREATE [OR REPLACE] TRIGGER name AFTER event [OR event] ON DATABASE or [name.]SCHEMA [WHEN (…)] BEGIN …."""
        owner, name = reader.qualified()
        if not reader.took("BEFORE"):
            reader.expect("AFTER")
        events = {reader.take(Kind.WORD).value}
        while reader.took("OR"):
            events.add(reader.take(Kind.WORD).value)
        reader.expect("ON")
        schema = "" if reader.took("DATABASE") else self._schema_of_trigger(reader)
        condition, settings, raises = self._body_of_trigger(reader)
        anywhere = () if (owner or self.user) == self.user and schema in ("", self.user) else ("CREATE ANY TRIGGER",)
        self.database.require(self.user, *(anywhere or ("CREATE TRIGGER", "CREATE ANY TRIGGER")))
        if not schema:
            self.database.require(self.user, "ADMINISTER DATABASE TRIGGER")
        trigger = Trigger(owner or self.user, name, frozenset(events), schema, settings, condition, raises)
        self.database.triggers[trigger.owner, name] = trigger

    @staticmethod
    def _body_of_trigger(reader: Reader) -> tuple[str, tuple[tuple[str, str], ...], int]:
        """Read a WHEN clause, and what follows it, as far as it is understood here."""
        start = reader.peek()
        rest = reader.rest()
        begin = next(token for token in rest if token.value == "BEGIN")
        condition = ""
        if start and start.value == "WHEN":
            condition = reader.statement[start.end : begin.start].strip().removeprefix("(").removesuffix(")")
        body = [token for token in rest if token.start >= begin.start]
        text = next((token.value for token in body if token.kind is Kind.TEXT), "")
        raised = next((token.value for token in body if token.kind is Kind.NUMBER), "0")
        settings = _settings(Reader(text.removeprefix("ALTER SESSION "))) if text.startswith("ALTER SESSION ") else []
        return condition, tuple(settings), int(raised)

    def _schema_of_trigger(self, reader: Reader) -> str:
        owner, word = reader.qualified()
        if word != "SCHEMA":
            raise reader.error()
        return owner or self.user

    def drop_public_synonym(self, reader: Reader) -> None:
        """DROP PUBLIC SYNONYM name."""
        name = reader.identifier()
        reader.end()
        self.database.require(self.user, "CREATE PUBLIC SYNONYM")
        if self.database.synonyms.pop((PUBLIC, name), None) is None:
            raise OracleError(1432, "public synonym to be dropped does not exist")

    def drop_trigger(self, reader: Reader) -> None:
        """DROP TRIGGER name."""
        owner, name = reader.qualified()
        reader.end()
        if self.database.triggers.pop((owner or self.user, name), None) is None:
            raise OracleError(4080, f"trigger '{name}' does not exist")

    def drop_table(self, reader: Reader) -> None:
        """DROP TABLE name."""
        owner, name = reader.qualified()
        reader.end()
        place = (owner or self.schema, name)
        if place not in self.database.objects:
            raise OracleError(942, "table or view does not exist")
        if place[0] != self.user:
            self.database.require(self.user, "DROP ANY TABLE")
        del self.database.objects[place]
        for held in [held for held in self.database.object_grants if (held.owner, held.item) == place]:
            del self.database.object_grants[held]

    def create_synonym(self, reader: Reader) -> None:
        """CREATE SYNONYM name FOR object[@link]."""
        self._synonym(reader)

    def replace_synonym(self, reader: Reader) -> None:
        """CREATE OR REPLACE SYNONYM name FOR object[@link]."""
        self._synonym(reader, may_exist=True)

    def replace_public_synonym(self, reader: Reader) -> None:
        """CREATE OR REPLACE PUBLIC SYNONYM name FOR object."""
        self._synonym(reader, PUBLIC, may_exist=True)

    def _synonym(self, reader: Reader, schema: str | None = None, *, may_exist: bool = False) -> None:
        owner, name = reader.qualified()
        place = (schema or owner or self.schema, name)
        reader.expect("FOR")
        target_owner, target = reader.qualified()
        link = self._link_name(reader) if reader.took("@") else ""
        reader.end()
        own = {PUBLIC: ("CREATE PUBLIC SYNONYM",), self.user: ("CREATE SYNONYM", "CREATE ANY SYNONYM")}
        self.database.require(self.user, *own.get(place[0], ("CREATE ANY SYNONYM",)))
        if place[0] != PUBLIC:
            self.database.user(place[0])
        if place in self.database.objects or (place in self.database.synonyms and not may_exist):
            raise OracleError(955, "name is already used by an existing object")
        self.database.synonyms[place] = (target_owner or self.schema, target, link)

    def drop_synonym(self, reader: Reader) -> None:
        """DROP SYNONYM name."""
        owner, name = reader.qualified()
        reader.end()
        place = (owner or self.schema, name)
        if place not in self.database.synonyms:
            raise OracleError(1434, "private synonym to be dropped does not exist")
        if place[0] != self.user:
            self.database.require(self.user, "DROP ANY SYNONYM")
        del self.database.synonyms[place]

    def alter_session(self, reader: Reader) -> None:
        """ALTER SESSION SET CURRENT_SCHEMA = name, or for one of the parameters of comparisons."""
        self._set(_settings(reader))

    def insert(self, reader: Reader) -> None:
        """INSERT INTO table VALUES (number)."""
        owner, name = reader.qualified()
        reader.expect("VALUES", "(")
        number = reader.take(Kind.NUMBER).value
        reader.expect(")")
        reader.end()
        place = self.database.find(self.user, self.schema, owner, name)
        if self.database.users[self.user].read_only:
            raise OracleError(28194, "Can perform read operations only")
        if not self.database.may_use(self.user, *place, "INSERT"):
            raise OracleError(1031, "insufficient privileges")
        self.pending.setdefault(place, []).append((number,))

    # PL/SQL

    def _block(self, reader: Reader, binds: Binds) -> None:
        calls = []
        while not reader.took("END", ";"):
            calls.append(self._call(reader, binds))
        reader.end()
        self.commit()
        for procedure, arguments in calls:
            procedure(self, *arguments)

    def _call(self, reader: Reader, binds: Binds) -> tuple[Callable[..., None], list[Value]]:
        name, written = self._dotted(reader)
        arguments: list[Value] = []
        if reader.took("("):
            arguments = reader.listed(lambda: self._argument(reader, binds))
            reader.expect(")")
        reader.expect(";")
        if written:
            return lambda session, *_: session.database.spring(session.user, written), arguments
        if name not in PROCEDURES or not self._executes(name.partition(".")[0]):
            raise OracleError(6550, f"PLS-00201: identifier '{name}' must be declared")
        return PROCEDURES[name], arguments

    def _executes(self, package: str) -> bool:
        """Tell whether the user can call a package: most are everybody's, and that of queues is a DBA's."""
        is_given = "EXECUTE" in self.database.held_on(self.user, SYS, package)
        return (SYS, package) not in self.database.objects or is_given or DBA in self.database.enabled(self.user)

    def _dotted(self, reader: Reader) -> tuple[str, tuple[str, str] | None]:
        """Return a name of SYS's, and what a user wrote in its place, if anybody did."""
        parts = [reader.identifier()]
        while reader.took("."):
            parts.append(reader.identifier())
        written = self.database.written(self.schema, parts[0])
        return ".".join(parts[1:] if parts[0] == SYS else parts), written

    def _argument(self, reader: Reader, binds: Binds) -> Value:
        token = reader.peek()
        if token and token.kind is Kind.BIND:
            reader.take()
            if token.value.upper() not in binds:
                raise OracleError(1008, "not all variables bound")
            return binds[token.value.upper()]
        if token and token.kind is Kind.TEXT:
            return reader.take().value
        name, written = self._dotted(reader)
        if written:
            self.database.spring(self.user, written)
        return name

    def _manages(self) -> None:
        if not self.database.may(self.user, "ADMINISTER RESOURCE MANAGER"):
            raise OracleError(29366, "invalid CONSUMER_GROUP argument specified, or insufficient privileges")

    def named(self, name: str) -> User:
        """Return a user by the name that a package was given: upper case, but for what is quoted."""
        return self.database.user(Reader(name).identifier())

    def switch(self, name: str, group: str, option: str) -> None:
        """DBMS_RESOURCE_MANAGER_PRIVS.GRANT_SWITCH_CONSUMER_GROUP."""
        self._manages()
        if group not in self.database.groups:
            raise OracleError(29368, f"consumer group {group} does not exist")
        self.named(name).groups[group] = option == "TRUE"

    def no_switch(self, name: str, group: str) -> None:
        """DBMS_RESOURCE_MANAGER_PRIVS.REVOKE_SWITCH_CONSUMER_GROUP."""
        self._manages()
        if self.named(name).groups.pop(group, None) is None:
            raise OracleError(29399, "user does not have privilege to switch to consumer group")

    def no_manager(self, name: str, privilege: str) -> None:
        """DBMS_RESOURCE_MANAGER_PRIVS.REVOKE_SYSTEM_PRIVILEGE."""
        if not self.database.may(self.user, "ADMINISTER RESOURCE MANAGER", admin=True):
            raise OracleError(1031, "insufficient privileges")
        if privilege != "ADMINISTER_RESOURCE_MANAGER":
            raise OracleError(990, "missing or invalid privilege")
        if self.database.system_grants.pop((self.named(name).name, "ADMINISTER RESOURCE MANAGER"), None) is None:
            raise OracleError(1952, "system privileges not granted to")

    def manager(self, name: str, privilege: str, option: str) -> None:
        """DBMS_RESOURCE_MANAGER_PRIVS.GRANT_SYSTEM_PRIVILEGE: GRANT does not know this privilege."""
        if not self.database.may(self.user, "ADMINISTER RESOURCE MANAGER", admin=True):
            raise OracleError(1031, "insufficient privileges")
        if privilege != "ADMINISTER_RESOURCE_MANAGER":
            raise OracleError(990, "missing or invalid privilege")
        self.database.system_grants[self.named(name).name, "ADMINISTER RESOURCE MANAGER"] = option == "TRUE"

    def begin_plan(self) -> None:
        """DBMS_RESOURCE_MANAGER.CREATE_PENDING_AREA."""
        self._manages()
        if self.database.pending_area is not None:
            raise OracleError(29370, "pending area is already active")
        self.database.pending_area = {}

    def map_user(self, attribute: str, name: str, group: str | None) -> None:
        """DBMS_RESOURCE_MANAGER.SET_CONSUMER_GROUP_MAPPING."""
        self._manages()
        if self.database.pending_area is None:
            raise OracleError(29371, "pending area is not active")
        if attribute != "DBMS_RESOURCE_MANAGER.ORACLE_USER" or (group and group not in self.database.groups):
            raise OracleError(29368, f"consumer group {group} does not exist")
        self.database.pending_area[self.named(name).name] = group or ""

    def submit_plan(self) -> None:
        """DBMS_RESOURCE_MANAGER.SUBMIT_PENDING_AREA."""
        self._manages()
        if self.database.pending_area is None:
            raise OracleError(29371, "pending area is not active")
        for name, group in self.database.pending_area.items():
            self.database.user(name).initial_group = group or "DEFAULT_CONSUMER_GROUP"
        self.database.pending_area = None


def _settings(reader: Reader) -> list[tuple[str, str]]:
    reader.expect("SET")
    found: list[tuple[str, str]] = []
    while not (found and reader.at_end):
        name = reader.take(Kind.WORD).value
        if name not in ("CURRENT_SCHEMA", "NLS_COMP", "NLS_SORT"):
            raise OracleError(2248, "invalid option for ALTER SESSION")
        reader.expect("=")
        found.append((name, reader.identifier()))
    return found


def _unlock(user: User) -> None:
    user.locked = user.timed = False
    user.failed = 0


def _end_rollover(user: User) -> None:
    user.old_password = user.rollover_since = None


STATEMENTS: dict[tuple[str, ...], Callable[[Session, Reader], None]] = {
    ("CREATE", "USER"): Session.create_user,
    ("ALTER", "USER"): Session.alter_user,
    ("DROP", "USER"): Session.drop_user,
    ("GRANT",): Session.grant,
    ("REVOKE",): Session.revoke,
    ("CREATE", "ROLE"): Session.create_role,
    ("CREATE", "PROFILE"): Session.create_profile,
    ("ALTER", "PROFILE"): Session.alter_profile,
    ("CREATE", "TABLE"): Session.create_table,
    ("CREATE", "SEQUENCE"): Session.create_sequence,
    ("CREATE", "DATABASE", "LINK"): Session.create_link,
    ("CREATE", "PUBLIC", "DATABASE", "LINK"): Session.create_public_link,
    ("CREATE", "TRIGGER"): Session.create_trigger,
    ("CREATE", "OR", "REPLACE", "TRIGGER"): Session.create_trigger,
    ("DROP", "TRIGGER"): Session.drop_trigger,
    ("DROP", "TABLE"): Session.drop_table,
    ("CREATE", "SYNONYM"): Session.create_synonym,
    ("CREATE", "OR", "REPLACE", "SYNONYM"): Session.replace_synonym,
    ("CREATE", "OR", "REPLACE", "PUBLIC", "SYNONYM"): Session.replace_public_synonym,
    ("DROP", "SYNONYM"): Session.drop_synonym,
    ("DROP", "PUBLIC", "SYNONYM"): Session.drop_public_synonym,
    ("CREATE", "OR", "REPLACE"): Session.create_code,
    ("ALTER", "SESSION"): Session.alter_session,
    ("INSERT", "INTO"): Session.insert,
}

PROCEDURES: dict[str, Callable[..., None]] = {
    "DBMS_RESOURCE_MANAGER_PRIVS.GRANT_SWITCH_CONSUMER_GROUP": Session.switch,
    "DBMS_RESOURCE_MANAGER_PRIVS.REVOKE_SWITCH_CONSUMER_GROUP": Session.no_switch,
    "DBMS_RESOURCE_MANAGER_PRIVS.GRANT_SYSTEM_PRIVILEGE": Session.manager,
    "DBMS_RESOURCE_MANAGER_PRIVS.REVOKE_SYSTEM_PRIVILEGE": Session.no_manager,
    "DBMS_AQADM.GRANT_QUEUE_PRIVILEGE": queues.grant_on_queue,
    "DBMS_AQADM.REVOKE_QUEUE_PRIVILEGE": queues.revoke_on_queue,
    "DBMS_AQADM.GRANT_SYSTEM_PRIVILEGE": queues.grant_on_all,
    "DBMS_AQADM.REVOKE_SYSTEM_PRIVILEGE": queues.revoke_on_all,
    "DBMS_RESOURCE_MANAGER.CREATE_PENDING_AREA": Session.begin_plan,
    "DBMS_RESOURCE_MANAGER.SET_CONSUMER_GROUP_MAPPING": Session.map_user,
    "DBMS_RESOURCE_MANAGER.SUBMIT_PENDING_AREA": Session.submit_plan,
}
