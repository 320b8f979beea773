"""What do the statements do that change logins, users, roles, permissions, databases and tables?

The rules are those of the pages of each statement below https://learn.microsoft.com/en-us/sql/t-sql/statements/.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping

from tests.local.stand_ins.sqlserver.catalog import (
    BY_DATABASE,
    BY_INSTANCE,
    CLASSES,
    DATABASE,
    DATABASE_ROLES,
    DB_OWNER,
    DBO,
    GUEST,
    NO_AUTHENTICATION,
    OBJECT,
    OF_SCHEMA,
    PRINCIPAL,
    PUBLIC,
    RESTRICTED_USER,
    SA,
    SERVER,
    SERVER_PRINCIPAL,
    SINGLE_USER,
    SYSADMIN,
    Catalog,
    Securable,
    Viewer,
    table_name,
)
from tests.local.stand_ins.sqlserver.tsql import Tokens, statements, syntax_error
from tests.local.stand_ins.sqlserver.wire import SqlError, Value

SERVER_PERMISSIONS = frozenset({
    "ADMINISTER BULK OPERATIONS", "ALTER ANY CONNECTION", "ALTER ANY LINKED SERVER", "ALTER ANY LOGIN",
    "ALTER ANY SERVER ROLE", "ALTER SERVER STATE", "ALTER SETTINGS", "ALTER TRACE", "CONNECT SQL", "CONTROL SERVER",
    "CREATE ANY DATABASE", "VIEW ANY DATABASE", "VIEW ANY DEFINITION", "VIEW SERVER STATE",
})  # fmt: skip
DATABASE_PERMISSIONS = frozenset({
    "ALTER ANY DATABASE DDL TRIGGER", "ALTER ANY ROLE", "ALTER ANY USER", "CONNECT", "CONTROL", "CREATE ROLE",
    "CREATE SCHEMA", "CREATE TABLE", "CREATE VIEW", "DELETE", "EXECUTE", "INSERT", "SELECT", "SHOWPLAN", "UPDATE",
    "VIEW DEFINITION",
})  # fmt: skip
_ON_TABLES = {"ALTER", "CONTROL", "DELETE", "EXECUTE", "INSERT", "REFERENCES", "SELECT", "UPDATE", "VIEW DEFINITION"}
_ON_PRINCIPALS = {"ALTER", "CONTROL", "IMPERSONATE", "TAKE OWNERSHIP", "VIEW DEFINITION"}
PERMISSIONS_ON = {
    OBJECT: _ON_TABLES, OF_SCHEMA: _ON_TABLES, PRINCIPAL: _ON_PRINCIPALS, SERVER_PRINCIPAL: _ON_PRINCIPALS,
}  # fmt: skip

CONTAINED_SID = bytes.fromhex("010500000000000903000000")
"""How the SID of a contained user begins; 16 bytes follow (create-user-transact-sql, example G)."""
SID_LENGTH = 16
SHORTEST_PASSWORD, LONGEST_PASSWORD, CLASSES_OF_CHARACTERS = 8, 128, 3

GRANTABLE, OPTION_ONLY, NOTHING = "GRANT_WITH_GRANT_OPTION", "GRANT OPTION FOR", ""


def refusal(what: str, kind: str, name: str) -> SqlError:
    """Say what the server says both of what is not there and of what one may not touch."""
    return SqlError(
        15151, f"Cannot {what} the {kind} '{name}', because it does not exist or you do not have permission."
    )


def new_database(catalog: Catalog, name: str, owner: bytes, *, containment: int = 0, has_guest: int = 0) -> None:
    """Make a database with what every one has."""
    number = catalog.next_id("databases", "database_id", 1)
    catalog.insert(
        "databases", name=name, database_id=number, owner_sid=owner, containment=containment, has_guest=has_guest
    )
    for number, user, sid in ((DBO, "dbo", owner), (GUEST, "guest", b"\0")):
        catalog.insert(
            "database_principals",
            db=name, principal_id=number, name=user, sid=sid, type="S", default_schema_name=user,
            authentication_type=BY_INSTANCE if number == DBO else NO_AUTHENTICATION, owning_principal_id=DBO,
        )  # fmt: skip
        catalog.insert("schemas", db=name, name=user, schema_id=number, principal_id=number)
    for number, role in {PUBLIC: "public", **DATABASE_ROLES}.items():
        catalog.insert(
            "database_principals",
            db=name, principal_id=number, name=role, type="R", is_fixed_role=int(number != PUBLIC),
            authentication_type=NO_AUTHENTICATION, owning_principal_id=DBO,
        )  # fmt: skip
    catalog.insert("database_role_members", db=name, role_principal_id=DB_OWNER, member_principal_id=DBO)


EVENT_GROUPS = {
    "DDL_USER_EVENTS": ("CREATE_USER", "ALTER_USER", "DROP_USER"),
    "DDL_GDR_DATABASE_EVENTS": ("GRANT_DATABASE", "DENY_DATABASE", "REVOKE_DATABASE"),
    "DDL_DATABASE_SECURITY_EVENTS": (
        "CREATE_USER", "ALTER_USER", "DROP_USER", "CREATE_ROLE", "ADD_ROLE_MEMBER", "DROP_ROLE_MEMBER",
        "GRANT_DATABASE", "DENY_DATABASE", "REVOKE_DATABASE",
    ),
}  # fmt: skip
"""As ddl-event-groups has them, of the events that there are here. A group "acts as a macro by adding the event types
it covers to the sys.trigger_events catalog view" (create-trigger-transact-sql)."""

CALLER = None


class Definition:
    """One statement, run by somebody."""

    def __init__(self, catalog: Catalog, viewer: Viewer, tokens: Tokens, *, is_in_transaction: bool) -> None:
        self._catalog = catalog
        self._viewer = viewer
        self._tokens = tokens
        self._is_in_transaction = is_in_transaction
        self._event = ""
        """The DDL event that it was, in the database that it was run in."""

    def run(self) -> None:
        """Do what the statement says; raises SqlError."""
        verbs: dict[tuple[str, ...], Callable[[], None]] = {
            ("USE",): self._use,
            ("EXEC", "SP_CONFIGURE"): self._configure,
            ("RECONFIGURE",): lambda: None,
            ("CREATE", "LOGIN"): self._create_login,
            ("ALTER", "LOGIN"): self._alter_login,
            ("DROP", "LOGIN"): self._drop_login,
            ("CREATE", "SERVER", "ROLE"): self._create_server_role,
            ("ALTER", "SERVER", "ROLE"): self._alter_server_role,
            ("CREATE", "USER"): self._create_user,
            ("ALTER", "USER"): self._alter_user,
            ("DROP", "USER"): self._drop_user,
            ("CREATE", "ROLE"): self._create_role,
            ("ALTER", "ROLE"): self._alter_role,
            ("CREATE", "SCHEMA"): self._create_schema,
            ("ALTER", "AUTHORIZATION", "ON"): self._alter_authorization,
            ("GRANT",): self._grant,
            ("DENY",): self._deny,
            ("REVOKE",): self._revoke,
            ("CREATE", "DATABASE"): self._create_database,
            ("ALTER", "DATABASE"): self._alter_database,
            ("DROP", "DATABASE"): self._drop_database,
            ("CREATE", "TABLE"): self._create_table,
            ("DROP", "TABLE"): self._drop_table,
            ("CREATE", "VIEW"): lambda: self._create_code("V", "CREATE VIEW"),
            ("CREATE", "SYNONYM"): lambda: self._create_code("SN", "CREATE TABLE"),
            ("CREATE", "TRIGGER"): self._create_trigger,
            ("DISABLE", "TRIGGER"): lambda: self._change_trigger("DISABLE"),
            ("ENABLE", "TRIGGER"): lambda: self._change_trigger("ENABLE"),
            ("DROP", "TRIGGER"): lambda: self._change_trigger("DROP"),
        }
        for words, do in verbs.items():
            if self._tokens.took(*words):
                here = self._here
                do()
                self._tokens.end()
                self._fire(here)
                return
        raise syntax_error(self._tokens.peek().spelling)

    # Databases and tables

    def _use(self) -> None:
        name = self._tokens.name()
        if not self._catalog.get("databases", "1", name=name):
            raise SqlError(911, f"Database '{name}' does not exist. Make sure that the name is entered correctly.")
        if self._catalog.get("databases", "state", name=name):
            raise SqlError(942, f"Database '{name}' cannot be opened because it is offline.", 14)
        if self._catalog.user_in(self._viewer, name) is None:
            raise SqlError(916, f'The server principal is not able to access the database "{name}".', 14)
        self._viewer.database = self._catalog.spelled(name)

    def _configure(self) -> None:
        self._require_server("ALTER SETTINGS")
        self._tokens.text()
        self._tokens.expect(",")
        self._tokens.take()

    def _create_database(self) -> None:
        name = self._tokens.name()
        containment = int(self._tokens.took("CONTAINMENT", "=", "PARTIAL"))
        self._require_no_transaction()
        self._require_server("CREATE ANY DATABASE", 262)
        if self._catalog.get("databases", "1", name=name):
            raise SqlError(1801, f"Database '{name}' already exists. Choose a different database name.")
        owner = self._catalog.get("server_principals", "sid", principal_id=self._viewer.login)
        new_database(self._catalog, name, owner, containment=containment)

    def _alter_database(self) -> None:
        name = self._tokens.name()
        self._tokens.expect("SET")
        settings: dict[str, dict[str, Value]] = {
            "READ_ONLY": {"is_read_only": 1}, "READ_WRITE": {"is_read_only": 0}, "OFFLINE": {"state": 6},
            "ONLINE": {"state": 0}, "SINGLE_USER": {"user_access": SINGLE_USER},
            "RESTRICTED_USER": {"user_access": RESTRICTED_USER}, "MULTI_USER": {"user_access": 0},
        }  # fmt: skip
        change = settings[self._tokens.one_of(*settings)]
        self._require_no_transaction()
        if self._catalog.user_in(self._viewer, name) != DBO:
            self._require_server("CONTROL SERVER")
        self._catalog.update("databases", change, name=name)

    def _drop_database(self) -> None:
        name = self._catalog.spelled(self._tokens.name())
        self._require_no_transaction()
        self._require_server("CONTROL SERVER")
        for (number,) in self._catalog.run("SELECT object_id FROM all_objects WHERE db = ?", name):
            self._catalog.run(f'DROP TABLE IF EXISTS "{table_name(name, number)}"')
        for table in (
            "database_principals", "database_role_members", "database_permissions", "schemas", "all_objects",
            "triggers", "trigger_events",
        ):  # fmt: skip
            self._catalog.delete(table, db=name)
        self._catalog.delete("databases", name=name)

    def _create_table(self) -> None:
        names = self._tokens.names()
        schema = self._catalog.get("schemas", "schema_id", db=self._here, name=names[-2] if len(names) > 1 else "dbo")
        self._require("CREATE TABLE", Securable(DATABASE), SqlError(262, "CREATE TABLE permission denied.", 14))
        self._require("ALTER", Securable(OF_SCHEMA, schema), SqlError(2760, "The schema may not be used."))
        if self._catalog.object_named(self._viewer, names) is not None:
            raise SqlError(2714, f"There is already an object named '{names[-1]}' in the database.")
        number = self._catalog.next_id("all_objects", "object_id", 1000)
        self._catalog.insert("all_objects", db=self._here, object_id=number, name=names[-1], schema_id=schema, type="U")
        columns: list[str] = []
        self._tokens.expect("(")
        while not columns or self._tokens.took(","):
            name = self._tokens.name()
            default = self._tokens.one_of("INT", "DATETIME DEFAULT GETDATE ( )") != "INT"
            columns.append('"' + name.replace('"', '""') + '"' + " DEFAULT CURRENT_TIMESTAMP" * default)
            self._catalog.insert("all_columns", db=self._here, object_id=number, column_id=len(columns), name=name)
        self._tokens.expect(")")
        self._catalog.run(f'CREATE TABLE "{table_name(self._here, number)}" ({", ".join(columns)})')

    def _create_code(self, sort: str, permission: str) -> None:
        """Make a view or a synonym: a name behind which there is what its owner likes, and that is noted if used."""
        names = self._tokens.names()
        self._tokens.one_of("AS", "FOR")
        self._tokens.rest()
        schema = self._catalog.get("schemas", "schema_id", db=self._here, name=names[-2] if len(names) > 1 else "dbo")
        self._require(permission, Securable(DATABASE), SqlError(262, f"{permission} permission denied.", 14))
        self._require("ALTER", Securable(OF_SCHEMA, schema), SqlError(2760, "The schema may not be used."))
        number = self._catalog.next_id("all_objects", "object_id", 1000)
        self._catalog.insert(
            "all_objects", db=self._here, object_id=number, name=names[-1], schema_id=schema, type=sort
        )

    # DDL triggers

    def _create_trigger(self) -> None:
        definition = f"CREATE TRIGGER {self._tokens.left()}"
        name, runs_as = self._tokens.name(), CALLER
        self._tokens.expect("ON", "DATABASE")
        if self._tokens.took("WITH", "EXECUTE", "AS"):
            runs_as = self._principal(self._tokens.text(), "execute as", "user")
        self._tokens.one_of("FOR", "AFTER")
        events: list[str] = []
        while not events or self._tokens.took(","):
            event = self._tokens.name().upper()
            events += EVENT_GROUPS.get(event, (event,))
        self._tokens.expect("AS")
        self._require_ddl_trigger(name)
        number = self._catalog.next_id("triggers", "object_id", 9000)
        self._catalog.insert(
            "triggers",
            db=self._here, object_id=number, name=name, parent_class=0, runs_as=runs_as, body=self._tokens.rest(),
            definition=definition,
        )  # fmt: skip
        for event in events:
            self._catalog.insert("trigger_events", db=self._here, object_id=number, type_desc=event)

    def _change_trigger(self, verb: str) -> None:
        name = self._tokens.name()
        self._tokens.expect("ON", "DATABASE")
        self._require_ddl_trigger(name)
        if verb == "DROP":
            self._catalog.delete("triggers", db=self._here, name=name)
        else:
            self._catalog.update("triggers", {"is_disabled": int(verb == "DISABLE")}, db=self._here, name=name)

    def _require_ddl_trigger(self, name: str) -> None:
        needed = "ALTER ANY DATABASE DDL TRIGGER"
        self._require(needed, Securable(DATABASE), refusal("alter", "trigger", name))

    def _fire(self, here: str) -> None:
        """Run the triggers of the database for what has been done, each as who did it, unless it says otherwise.

        EXECUTE AS CALLER in it goes back to who did it (execute-as-transact-sql).
        """
        query = """
            SELECT t.name, t.runs_as, t.body FROM triggers t
            JOIN trigger_events e ON e.db = t.db AND e.object_id = t.object_id
            WHERE t.db = ? AND e.type_desc = ? AND t.is_disabled = 0"""
        for name, runs_as, body in self._catalog.run(query, here, self._event) if self._event else ():
            viewer = self._viewer if runs_as is CALLER else Viewer(None, runs_as, here)
            for tokens in statements(body):
                if tokens.took("EXECUTE", "AS", "CALLER"):
                    viewer = self._viewer
                    continue
                self._catalog.spring(viewer, name)
                Definition(self._catalog, viewer, tokens, is_in_transaction=True).run()

    def _drop_table(self) -> None:
        if_exists = self._tokens.took("IF", "EXISTS")
        names = self._tokens.names()
        number = self._catalog.object_named(self._viewer, names)
        if number is None and if_exists:
            return
        if number is None or not self._catalog.allows(self._viewer, "ALTER", Securable(OBJECT, number)):
            raise SqlError(3701, f"Cannot drop the table '{names[-1]}', because it does not exist.", 11)
        self._catalog.delete("all_objects", db=self._here, object_id=number)
        self._catalog.delete("database_permissions", db=self._here, **{"class": OBJECT, "major_id": number})
        self._catalog.run(f'DROP TABLE "{table_name(self._here, number)}"')

    # Logins and server roles

    def _create_login(self) -> None:
        name = self._tokens.name()
        self._tokens.expect("WITH", "PASSWORD", "=")
        password = self._tokens.text()
        options = {"is_policy_checked": 1, "is_expiration_checked": 0, **self._login_options()}
        self._require_server("ALTER ANY LOGIN")
        if "\\" in name:
            raise SqlError(15006, f"'{name}' is not a valid name because it contains invalid characters.")
        if self._catalog.get("server_principals", "1", name=name):
            raise SqlError(15025, f"The server principal '{name}' already exists.")
        sid = options.pop("sid", None) or secrets.token_bytes(SID_LENGTH)
        if not isinstance(sid, bytes) or len(sid) != SID_LENGTH:
            raise SqlError(15419, "Supplied parameter sid should be binary(16).")
        if self._catalog.get("server_principals", "1", sid=sid):
            raise SqlError(15433, "Supplied parameter sid is in use.")
        if options["is_policy_checked"]:
            require_policy(name, password)
        number = self._catalog.next_id("server_principals", "principal_id", 256)
        self._catalog.insert(
            "server_principals",
            principal_id=number, name=name, sid=sid, type="S", password=hashed(password),
            default_database_name="master", default_language_name="us_english",
        )  # fmt: skip
        self._update_login(name, options)
        record(self._catalog, "", Securable(SERVER), number, "CONNECT SQL", "GRANT")

    def _alter_login(self) -> None:
        name = self._tokens.name()
        number = self._catalog.get("server_principals", "principal_id", name=name, type="S")
        may = number is not None and self._may_alter_login(number)
        if self._tokens.took("WITH", "PASSWORD", "="):
            self._change_login_password(name, number, may=may)
            return
        if self._tokens.took("WITH"):
            options = self._login_options(first=True)
        else:
            options = {"is_disabled": int(self._tokens.one_of("ENABLE", "DISABLE") == "DISABLE")}
        if not may:
            raise refusal("alter", "login", name)
        self._update_login(name, options)

    def _change_login_password(self, name: str, number: int | None, *, may: bool) -> None:
        password, old = self._passwords()
        must_change, unlock = self._tokens.took("MUST_CHANGE"), self._tokens.took("UNLOCK")
        options = self._login_options()
        row = self._catalog.get("server_principals", "password", name=name, type="S")
        itself = number is not None and number == self._viewer.login
        proved = old is not None and matches(old, row)
        if not ((may or itself) and proved if old is not None else may) or (options and not may):
            raise refusal("alter", "login", name)
        is_checked = self._catalog.get("server_principals", "is_policy_checked", name=name)
        if options.get("is_policy_checked", is_checked):
            require_policy(name, password)
            # Windows looks at the history where a password is changed, not where it is reset
            # (https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-samr, SamrValidatePassword).
            if old is not None and matches(password, row):
                raise SqlError(15115, "Password validation failed. The password cannot be used at this time.")
        options |= {"password": hashed(password), "must_change": int(must_change)}
        self._update_login(name, {**options, "failures": 0} if unlock else options)

    def _may_alter_login(self, number: int) -> bool:
        """Tell whether this viewer may: one that controls the server is not altered by less."""
        if self._catalog.allows_server(Viewer(number, 0, "master"), "CONTROL SERVER"):
            return self._catalog.allows_server(self._viewer, "CONTROL SERVER")
        return self._catalog.allows_server(self._viewer, "ALTER ANY LOGIN") or self._catalog.allows_server(
            self._viewer, "ALTER", Securable(SERVER_PRINCIPAL, number)
        )

    def _login_options(self, *, first: bool = False) -> dict[str, Value]:
        """Read `, NAME = value …`, the first one without a comma."""
        readers: dict[str, tuple[str, Callable[[], Value]]] = {
            "SID": ("sid", self._tokens.binary),
            "DEFAULT_DATABASE": ("default_database_name", self._existing_database),
            "DEFAULT_LANGUAGE": ("default_language_name", self._tokens.name),
            "CHECK_POLICY": ("is_policy_checked", self._tokens.switch),
            "CHECK_EXPIRATION": ("is_expiration_checked", self._tokens.switch),
        }
        return self._options(readers, first=first)

    def _options(self, readers: Mapping[str, tuple[str, Callable[[], Value]]], *, first: bool) -> dict[str, Value]:
        options = {}
        while first or self._tokens.took(","):
            first = False
            column, read = readers[self._tokens.one_of(*readers)]
            self._tokens.expect("=")
            value = read()
            options[column] = int(value) if isinstance(value, bool) else value
        return options

    def _existing_database(self) -> str:
        name = self._tokens.name()
        if not self._catalog.get("databases", "1", name=name):
            raise SqlError(15010, f"The database '{name}' does not exist. Supply a valid database name.")
        return self._catalog.spelled(name)

    def _update_login(self, name: str, options: Mapping[str, Value]) -> None:
        self._catalog.update("server_principals", options, name=name)
        if options.get("is_policy_checked") == 0 and not options.get("is_expiration_checked"):
            self._catalog.update("server_principals", {"is_expiration_checked": 0}, name=name)
        policy, expiration, must_change = (
            self._catalog.get("server_principals", column, name=name)
            for column in ("is_policy_checked", "is_expiration_checked", "must_change")
        )
        if expiration and not policy:
            raise SqlError(15122, "The CHECK_EXPIRATION option cannot be used when CHECK_POLICY is OFF.")
        if must_change and not expiration:
            raise SqlError(15099, "The MUST_CHANGE option cannot be used when CHECK_EXPIRATION is OFF.")

    def _drop_login(self) -> None:
        name = self._tokens.name()
        number = self._catalog.get("server_principals", "principal_id", name=name, type="S")
        if number is None or not self._may_alter_login(number):
            raise refusal("drop", "login", name)
        if self._catalog.get("databases", "1", owner_sid=self._catalog.get("server_principals", "sid", name=name)):
            raise SqlError(15174, f"Login '{name}' owns one or more database(s).")
        self._catalog.delete("server_principals", principal_id=number)
        self._catalog.delete("server_role_members", member_principal_id=number)
        self._catalog.delete("server_permissions", grantee_principal_id=number)

    def _create_server_role(self) -> None:
        name, owner = self._tokens.name(), self._viewer.login
        if self._tokens.took("AUTHORIZATION"):
            owner = self._server_principal(self._tokens.name(), "find")
        self._require_server("ALTER ANY SERVER ROLE")
        if self._catalog.get("server_principals", "1", name=name):
            raise SqlError(15025, f"The server principal '{name}' already exists.")
        number = self._catalog.next_id("server_principals", "principal_id", 256)
        sid = secrets.token_bytes(SID_LENGTH)
        self._catalog.insert(
            "server_principals", principal_id=number, name=name, sid=sid, type="R", owning_principal_id=owner
        )

    def _alter_server_role(self) -> None:
        name, verb = self._tokens.name(), self._tokens.one_of("ADD MEMBER", "DROP MEMBER")
        role = self._server_principal(name, "alter", "server role")
        if self._catalog.get("server_principals", "is_fixed_role", principal_id=role):
            may = bool({role, SYSADMIN} & self._catalog.server_groups(self._viewer.login))
        else:
            may = self._catalog.allows_server(self._viewer, "ALTER ANY SERVER ROLE")
            may = may or self._catalog.allows_server(self._viewer, "ALTER", Securable(SERVER_PRINCIPAL, role))
        if not may:
            raise refusal("alter", "server role", name)
        membership = {
            "role_principal_id": role, "member_principal_id": self._server_principal(self._tokens.name(), "add")
        }  # fmt: skip
        self._catalog.delete("server_role_members", **membership)
        if verb == "ADD MEMBER":
            self._catalog.insert("server_role_members", **membership)

    def _server_principal(self, name: str, what: str, kind: str = "principal") -> int:
        found = self._catalog.get("server_principals", "principal_id", name=name)
        if found is None:
            raise refusal(what, kind, name)
        return int(found)

    # Users, roles and schemas

    def _create_user(self) -> None:
        name, password, login = self._tokens.name(), None, ""
        self._event = "CREATE_USER"
        if self._tokens.took("WITH", "PASSWORD", "="):
            password = self._tokens.text()
        elif not self._tokens.took("WITHOUT", "LOGIN"):
            self._tokens.expect("FOR", "LOGIN")
            login = self._tokens.name()
        options = self._user_options(first=password is None and self._tokens.took("WITH"))
        self._require("ALTER ANY USER", Securable(DATABASE), SqlError(15247, "User does not have permission."))
        self._require_writable()
        sid = options.pop("sid", None)
        if password is not None:
            sid = self._contained_sid(name, password, sid)
        elif login:
            sid = self._catalog.get("server_principals", "sid", name=login, type="S")
            if sid is None:
                raise SqlError(15007, f"'{login}' is not a valid login or you do not have permission.")
        self._require_new_principal(name)
        if sid and self._catalog.get("database_principals", "1", db=self._here, sid=sid):
            raise SqlError(15063, "The login already has an account under a different user name.")
        number = self._catalog.next_id("database_principals", "principal_id", 5)
        self._catalog.insert(
            "database_principals",
            db=self._here, principal_id=number, name=name, sid=sid, type="S", default_schema_name="dbo",
            authentication_type=BY_DATABASE if password else BY_INSTANCE if login else NO_AUTHENTICATION,
            password=hashed(password) if password else None,
        )  # fmt: skip
        self._catalog.update("database_principals", options, db=self._here, principal_id=number)
        record(self._catalog, self._here, Securable(DATABASE), number, "CONNECT", "GRANT")

    def _require_new_principal(self, name: str) -> None:
        if self._catalog.get("database_principals", "1", db=self._here, name=name):
            raise SqlError(15023, f"User, group, or role '{name}' already exists in the current database.")

    def _contained_sid(self, name: str, password: str, sid: Value) -> bytes:
        if not self._catalog.get("databases", "containment", name=self._here):
            raise SqlError(33233, "You can only create a user with a password in a contained database.")
        require_policy(name, password)
        if sid is None:
            return CONTAINED_SID + secrets.token_bytes(SID_LENGTH)
        if not isinstance(sid, bytes) or not re.fullmatch(re.escape(CONTAINED_SID) + b".{16}", sid, re.DOTALL):
            raise SqlError(15419, "Supplied parameter sid is not that of a contained user.")
        return sid

    def _alter_user(self) -> None:
        name = self._tokens.name()
        self._event = "ALTER_USER"
        self._tokens.expect("WITH")
        number = self._catalog.get("database_principals", "principal_id", db=self._here, name=name, type="S")
        if number is None:
            raise refusal("alter", "user", name)
        options: dict[str, Value]
        if self._tokens.took("PASSWORD", "="):
            may, options = self._new_contained_password(name, number)
        elif self._tokens.took("LOGIN", "="):
            may = self._catalog.allows(self._viewer, "CONTROL")
            options = {"sid": self._sid_to_map(number, self._tokens.name())}
        else:
            options = self._user_options(first=True)
            may = self._catalog.allows(self._viewer, "ALTER", Securable(PRINCIPAL, number))
        if not may:
            raise refusal("alter", "user", name)
        self._require_writable()
        self._catalog.update("database_principals", options, db=self._here, principal_id=number)

    def _new_contained_password(self, name: str, number: int) -> tuple[bool, dict[str, Value]]:
        password, old = self._passwords()
        key: dict[str, Value] = {"db": self._here, "principal_id": number, "authentication_type": BY_DATABASE}
        present = self._catalog.get("database_principals", "password", **key)
        may = present is not None and self._catalog.allows(self._viewer, "ALTER ANY USER")
        if old is not None:
            itself = number == self._catalog.user_in(self._viewer, self._here)
            may = (may or itself) and matches(old, present)
        if may:
            require_policy(name, password)
        return may, {"password": hashed(password)}

    def _sid_to_map(self, number: int, login: str) -> bytes:
        sid = self._catalog.get("server_principals", "sid", name=login, type="S")
        kind = self._catalog.get("database_principals", "authentication_type", db=self._here, principal_id=number)
        if not isinstance(sid, bytes) or kind != BY_INSTANCE:
            raise SqlError(33016, "The user cannot be remapped to a login.")
        return sid

    def _passwords(self) -> tuple[str, str | None]:
        """Read the new password, and the old one where it is there."""
        password = self._tokens.text()
        return password, self._tokens.text() if self._tokens.took("OLD_PASSWORD", "=") else None

    def _user_options(self, *, first: bool) -> dict[str, Value]:
        readers: dict[str, tuple[str, Callable[[], Value]]] = {
            "DEFAULT_SCHEMA": ("default_schema_name", self._tokens.name),
            "DEFAULT_LANGUAGE": ("default_language_name", self._language),
            "SID": ("sid", self._tokens.binary),
            "ALLOW_ENCRYPTED_VALUE_MODIFICATIONS": ("allow_encrypted_value_modifications", self._tokens.switch),
        }
        return self._options(readers, first=first)

    def _language(self) -> str | None:
        return None if self._tokens.took("NONE") else self._tokens.name()

    def _drop_user(self) -> None:
        name = self._tokens.name()
        self._event = "DROP_USER"
        number = self._principal(name, "drop", "user", "S")
        self._require("ALTER ANY USER", Securable(DATABASE), refusal("drop", "user", name))
        self._require_writable()
        if number in (DBO, GUEST):
            raise SqlError(15150, f"Cannot drop the user '{name}'.")
        if self._catalog.get("schemas", "1", db=self._here, principal_id=number):
            raise SqlError(15138, "The database principal owns a schema in the database, and cannot be dropped.")
        self._catalog.delete("database_principals", db=self._here, principal_id=number)
        self._catalog.delete("database_role_members", db=self._here, member_principal_id=number)
        self._catalog.delete("database_permissions", db=self._here, grantee_principal_id=number)

    def _create_role(self) -> None:
        name, owner = self._tokens.name(), self._owner()
        self._require("CREATE ROLE", Securable(DATABASE), SqlError(262, "CREATE ROLE permission denied.", 14))
        self._require_new_principal(name)
        number = self._catalog.next_id("database_principals", "principal_id", 5)
        self._catalog.insert(
            "database_principals",
            db=self._here, principal_id=number, name=name, type="R", owning_principal_id=owner,
            authentication_type=NO_AUTHENTICATION,
        )  # fmt: skip

    def _owner(self) -> int | None:
        if self._tokens.took("AUTHORIZATION"):
            return self._principal(self._tokens.name(), "find", "user")
        return self._catalog.user_in(self._viewer, self._here)

    def _alter_role(self) -> None:
        name, verb = self._tokens.name(), self._tokens.one_of("ADD MEMBER", "DROP MEMBER")
        self._event = "ADD_ROLE_MEMBER" if verb == "ADD MEMBER" else "DROP_ROLE_MEMBER"
        role, member_name = self._principal(name, "alter", "role", "R"), self._tokens.name()
        if role >= DB_OWNER:
            user = self._catalog.user_in(self._viewer, self._here)
            if user is None or not {DBO, DB_OWNER} & self._catalog.database_groups(self._here, user):
                raise refusal("alter", "role", name)
        else:
            self._require("ALTER", Securable(PRINCIPAL, role), refusal("alter", "role", name))
        self._require_writable()
        member = self._principal(member_name, "add", "principal")
        if member == DBO:
            raise SqlError(15405, f"Cannot use the special principal '{member_name}'.")
        membership: dict[str, Value] = {"db": self._here, "role_principal_id": role, "member_principal_id": member}
        self._catalog.delete("database_role_members", **membership)
        if verb == "ADD MEMBER":
            self._catalog.insert("database_role_members", **membership)

    def _create_schema(self) -> None:
        name, owner = self._tokens.name(), self._owner()
        self._require("CREATE SCHEMA", Securable(DATABASE), SqlError(2760, "The schema cannot be created."))
        if self._catalog.get("schemas", "1", db=self._here, name=name):
            raise SqlError(2714, f"There is already an object named '{name}' in the database.")
        number = self._catalog.next_id("schemas", "schema_id", 5)
        self._catalog.insert("schemas", db=self._here, name=name, schema_id=number, principal_id=owner)

    def _alter_authorization(self) -> None:
        sort = self._tokens.one_of("SCHEMA", "ROLE", "DATABASE", "OBJECT")
        self._tokens.expect("::")
        names = self._tokens.names()
        self._tokens.expect("TO")
        to = self._tokens.name()
        self._require("CONTROL", Securable(DATABASE), refusal("find", sort.lower(), names[-1]))
        if sort == "DATABASE":
            sid = self._catalog.get("server_principals", "sid", name=to)
            self._catalog.update("databases", {"owner_sid": sid}, name=names[0])
            self._catalog.update("database_principals", {"sid": sid}, db=names[0], principal_id=DBO)
            return
        owner, here = self._principal(to, "find", "principal"), self._here
        if sort == "OBJECT":
            number = self._catalog.object_named(self._viewer, names)
            self._catalog.update("all_objects", {"principal_id": owner}, db=here, object_id=number)
        elif sort == "SCHEMA":
            self._catalog.update("schemas", {"principal_id": owner}, db=here, name=names[0])
        else:
            self._catalog.update("database_principals", {"owning_principal_id": owner}, db=here, name=names[0])

    def _principal(self, name: str, what: str, kind: str, sort: str = "") -> int:
        key = {"db": self._here, "name": name, **({"type": sort} if sort else {})}
        found = self._catalog.get("database_principals", "principal_id", **key)
        if found is None:
            raise refusal(what, kind, name)
        return int(found)

    # Permissions

    def _grant(self) -> None:
        permissions, on, columns = self._permissions()
        self._tokens.expect("TO")
        grantee = self._tokens.name()
        state = GRANTABLE if self._tokens.took("WITH", "GRANT", "OPTION") else "GRANT"
        self._change("GRANT", permissions, on, columns, grantee, state)

    def _deny(self) -> None:
        permissions, on, columns = self._permissions()
        self._tokens.expect("TO")
        self._change("DENY", permissions, on, columns, self._tokens.name(), "DENY")

    def _revoke(self) -> None:
        state = OPTION_ONLY if self._tokens.took("GRANT", "OPTION", "FOR") else NOTHING
        permissions, on, columns = self._permissions()
        self._tokens.one_of("FROM", "TO")
        self._change("REVOKE", permissions, on, columns, self._tokens.name(), state)

    def _permissions(self) -> tuple[list[str], Securable | None, list[str]]:
        """Read the permissions, what they are on where that is not the server or database, and its columns."""
        names: list[str] = []
        while not names or self._tokens.took(","):
            words = []
            while self._tokens.peek().spelling.upper() not in {",", "ON", "TO", "FROM"}:
                words.append(self._tokens.name().upper())
            names.append(" ".join(words))
        on, columns = self._securable() if self._tokens.took("ON") else (None, [])
        allowed = PERMISSIONS_ON[on.sort] if on else SERVER_PERMISSIONS | DATABASE_PERMISSIONS
        for name in set(names) - allowed:
            raise syntax_error(name)
        return names, on, columns

    def _securable(self) -> tuple[Securable, list[str]]:
        sorts = ("SERVER ROLE", "OBJECT", "SCHEMA", "USER", "ROLE", "LOGIN")
        sort = next((word for word in sorts if self._tokens.took(*word.split(), "::")), "OBJECT")
        names, columns = self._tokens.names(), list[str]()
        if self._tokens.took("("):
            while not columns or self._tokens.took(","):
                columns.append(self._tokens.name())
            self._tokens.expect(")")
        found: int | None
        match sort:
            case "LOGIN" | "SERVER ROLE":
                place, found = SERVER_PRINCIPAL, self._server_principal(names[0], "find", sort.lower())
            case "OBJECT":
                place, found = OBJECT, self._catalog.object_named(self._viewer, names)
            case "SCHEMA":
                place, found = OF_SCHEMA, self._catalog.get("schemas", "schema_id", db=self._here, name=names[0])
            case _:
                place, found = PRINCIPAL, self._principal(names[0], "find", sort.lower())
        if found is None:
            raise refusal("find", sort.lower(), names[-1])
        return Securable(place, found), columns

    def _change(  # noqa: PLR0913, PLR0917 - the parts of a statement
        self, verb: str, permissions: list[str], on: Securable | None, columns: list[str], grantee: str, state: str
    ) -> None:
        cascade = self._tokens.took("CASCADE")
        grantor = self._tokens.name() if verb == "REVOKE" and self._tokens.took("AS") else ""
        for permission in permissions:
            of_server = on.sort == SERVER_PRINCIPAL if on else permission in SERVER_PERMISSIONS
            if of_server and self._here.lower() != "master":
                text = "Permissions at the server scope can only be granted when the current database is master"
                raise SqlError(4621, text)
            place = on or Securable(SERVER if of_server else DATABASE)
            if not self._catalog.may_grant(self._viewer, permission, place):
                text = "Grantor does not have GRANT permission."
                raise refusal("find", "object", "it") if on else SqlError(4613, text)
            find = self._server_principal if of_server else self._principal
            to = find(grantee, "find", "user")
            if to == (SA if of_server else DBO) or to == self._catalog.owner(self._here, place):
                text = "Cannot grant, deny, or revoke permissions to sa, dbo, entity owner, or yourself."
                raise SqlError(4624, text)
            self._event = "" if of_server else f"{verb}_DATABASE"
            by = self._grantor(grantor, of_server=of_server)
            for minor in self._minors(place, columns):
                self._set(Securable(place.sort, place.major, minor), to, permission, state, by, cascade=cascade)

    def _grantor(self, name: str, *, of_server: bool) -> int:
        """Return who is recorded as the grantor, and whose grants are revoked: the one who says it, or who is named.

        "Use the AS principal clause to indicate that you are revoking a permission that was granted by a principal
        other than you" (revoke-transact-sql). It takes membership in db_owner, or to be able to be that principal
        (grant-object-permissions-transact-sql, and those of the other securables).
        """
        if of_server:
            if name and not self._catalog.allows_server(self._viewer, "CONTROL SERVER"):
                raise refusal("find", "user", name)
            return self._server_principal(name, "find", "user") if name else int(self._viewer.login or 0)
        user = self._catalog.user_in(self._viewer, self._here) or 0
        if name and not {DBO, DB_OWNER} & self._catalog.database_groups(self._here, user):
            raise refusal("find", "user", name)
        return self._principal(name, "find", "user") if name else user

    def _minors(self, on: Securable, columns: list[str]) -> list[int]:
        key: dict[str, Value] = {"db": self._here, "object_id": on.major}
        found = [self._catalog.get("all_columns", "column_id", **key, name=column) for column in columns]
        if None in found:
            raise SqlError(1911, "Column name does not exist in the target table.")
        return found or [0]

    def _set(  # noqa: PLR0913 - the columns of the table
        self, on: Securable, to: int, permission: str, state: str, grantor: int, *, cascade: bool
    ) -> None:
        of_server = on.sort in (SERVER, SERVER_PRINCIPAL)
        table = "server_permissions" if of_server else "database_permissions"
        thing: dict[str, Value] = {"class": on.sort, "major_id": on.major, "grantee_principal_id": to}
        thing |= {"permission_name": permission, "grantor_principal_id": grantor}
        thing |= {} if of_server else {"db": self._here}
        before = self._catalog.get(table, "state_desc", **thing, minor_id=on.minor)
        if before == GRANTABLE and state in (NOTHING, OPTION_ONLY, "DENY") and not cascade:
            raise SqlError(4611, "To revoke or deny grantable privileges, specify the CASCADE option.")
        if not of_server:
            self._require_writable()
        if state == OPTION_ONLY:
            # "If the principal has the specified permission without the GRANT option, the permission itself will be
            # revoked" (revoke-transact-sql).
            state = "GRANT" if before == GRANTABLE else NOTHING
        elif (before, state) == (GRANTABLE, "GRANT"):
            state = GRANTABLE  # only REVOKE GRANT OPTION FOR takes it
        if on.minor:
            self._catalog.delete(table, **thing, minor_id=on.minor)
            of_all = self._catalog.get(table, "state_desc", **thing, minor_id=0)
            # "For columns, there is a row for every permission that is different from the corresponding object-level
            # permission" (sys-database-permissions-transact-sql).
            state = "REVOKE" if of_all and not state else NOTHING if state == of_all else state
        else:
            self._catalog.delete(table, **thing)
        if state:
            record(self._catalog, "" if of_server else self._here, on, to, permission, state, grantor)

    # What a statement needs

    @property
    def _here(self) -> str:
        return self._viewer.database

    def _require_server(self, permission: str, number: int = 15247) -> None:
        if not self._catalog.allows_server(self._viewer, permission):
            raise SqlError(number, "User does not have permission to perform this action.")

    def _require(self, permission: str, on: Securable, denied: SqlError) -> None:
        if not self._catalog.allows(self._viewer, permission, on):
            raise denied

    def _require_writable(self) -> None:
        if self._catalog.get("databases", "is_read_only", name=self._here):
            raise SqlError(3906, f'Failed to update database "{self._here}" because the database is read-only.')

    def _require_no_transaction(self) -> None:
        if self._is_in_transaction:
            raise SqlError(226, "The statement is not allowed within multi-statement transaction.")


def require_policy(name: str, password: str) -> None:
    """Raise what the default policy of Windows says against a password.

    (https://learn.microsoft.com/en-us/sql/relational-databases/security/password-policy)
    """
    failed = "Password validation failed. The password does not meet the policy requirements because it is"
    if len(password) < SHORTEST_PASSWORD:
        raise SqlError(15116, f"{failed} too short.")
    if len(password) > LONGEST_PASSWORD:
        raise SqlError(15117, f"{failed} too long.")
    kinds = sum(bool(re.search(kind, password)) for kind in ("[A-Z]", "[a-z]", "[0-9]", "[^A-Za-z0-9]"))
    if kinds < CLASSES_OF_CHARACTERS or name.lower() in password.lower():
        raise SqlError(15118, f"{failed} not complex enough.")


def record(  # noqa: PLR0913, PLR0917 - the columns of the table
    catalog: Catalog, database: str, on: Securable, to: int, permission: str, state: str, grantor: int = DBO
) -> None:
    """Note a permission, without asking anybody."""
    values: dict[str, Value] = {"class": on.sort, "class_desc": CLASSES[on.sort], "major_id": on.major}
    values |= {"minor_id": on.minor, "grantee_principal_id": to, "grantor_principal_id": grantor}
    values |= {"permission_name": permission, "state_desc": state, **({"db": database} if database else {})}
    catalog.insert("database_permissions" if database else "server_permissions", **values)


def hashed(password: str) -> str:
    """Return what is kept of a password."""
    salt = secrets.token_hex(4)
    return salt + hashlib.sha512((salt + password).encode()).hexdigest()


def matches(password: str, kept: str | None) -> bool:
    """Tell whether it is that password."""
    return bool(kept) and kept == str(kept)[:8] + hashlib.sha512((str(kept)[:8] + password).encode()).hexdigest()
