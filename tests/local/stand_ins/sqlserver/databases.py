"""What do the statements do that change databases and tables?"""

from tests.local.stand_ins.sqlserver.backend import SqlError, Value
from tests.local.stand_ins.sqlserver.catalog import Catalog
from tests.local.stand_ins.sqlserver.statement import Statements
from tests.local.stand_ins.sqlserver.tables import (
    BY_INSTANCE,
    DATABASE,
    DATABASE_ROLES,
    DB_OWNER,
    DBO,
    GUEST,
    NO_AUTHENTICATION,
    OBJECT,
    OF_SCHEMA,
    PUBLIC,
    READABLE,
    RESTRICTED_USER,
    SINGLE_USER,
    Securable,
    table_name,
)


class DatabaseStatements(Statements):
    """Databases, tables, views and synonyms.

    A database joins one of two availability groups: ag, whose secondaries nobody enters, and readable.
    """

    def use(self) -> None:
        """USE a database."""
        name = self._tokens.name()
        self._catalog.require_entry(self._viewer, name)
        self._viewer.database = self._catalog.spelled(name)

    def configure(self) -> None:
        """Run sp_configure, which changes nothing here."""
        self._require_server("ALTER SETTINGS")
        self._tokens.text()
        self._tokens.expect(",")
        self._tokens.take()

    def create_database(self) -> None:
        """CREATE DATABASE."""
        name = self._tokens.name()
        if self._tokens.took("ON"):
            self.create_snapshot(name)
            return
        containment = int(self._tokens.took("CONTAINMENT", "=", "PARTIAL"))
        self._require_no_transaction()
        self._require_server("CREATE ANY DATABASE", 262)
        if self._catalog.get("databases", "1", name=name):
            raise SqlError(1801, f"Database '{name}' already exists. Choose a different database name.")
        owner = self._catalog.get("server_principals", "sid", principal_id=self._viewer.login)
        new_database(self._catalog, name, owner, containment=containment)

    def alter_database(self) -> None:
        """ALTER DATABASE … SET."""
        name = self._tokens.name()
        self._tokens.expect("SET")
        settings: dict[str, dict[str, Value]] = {
            "READ_ONLY": {"is_read_only": 1}, "READ_WRITE": {"is_read_only": 0}, "OFFLINE": {"state": 6},
            "ONLINE": {"state": 0}, "EMERGENCY": {"state": 5}, "SINGLE_USER": {"user_access": SINGLE_USER},
            "RESTRICTED_USER": {"user_access": RESTRICTED_USER}, "MULTI_USER": {"user_access": 0},
            "HADR AVAILABILITY GROUP = AG": {"is_secondary": 1}, "HADR OFF": {"is_secondary": 0},
            "HADR AVAILABILITY GROUP = READABLE": {"is_secondary": READABLE},
        }  # fmt: skip
        change = settings[self._tokens.one_of(*settings)]
        self._require_no_transaction()
        if self._catalog.user_in(self._viewer, name) != DBO:
            self._require_server("CONTROL SERVER")
        self._catalog.update("databases", change, name=name)

    def back_up_log(self) -> None:
        """BACKUP LOG … WITH NORECOVERY: "leaves the database in the RESTORING state" (backup-transact-sql)."""
        self._restore("TO DISK =", "NORECOVERY", state=1)

    def restore_database(self) -> None:
        """RESTORE DATABASE … WITH RECOVERY."""
        self._restore("", "RECOVERY", state=0)

    def _restore(self, place: str, recovery: str, *, state: int) -> None:
        name = self._tokens.name()
        if place:
            self._tokens.expect(*place.split())
            self._tokens.text()
        self._tokens.expect("WITH", recovery)
        self._require_server("CONTROL SERVER")
        self._catalog.update("databases", {"state": state}, name=name)

    def create_snapshot(self, name: str) -> None:
        """CREATE DATABASE … AS SNAPSHOT OF: what the other database has now, and nothing can change that."""
        self._tokens.expect("(")
        while not self._tokens.took(")"):
            self._tokens.take()
        self._tokens.expect("AS", "SNAPSHOT", "OF")
        source = self._catalog.spelled(self._tokens.name())
        self._require_server("CONTROL SERVER")
        number = self._catalog.next_id("databases", "database_id", 1)
        source_id, owner = (
            self._catalog.get("databases", column, name=source) for column in ("database_id", "owner_sid")
        )
        self._catalog.insert(
            "databases",
            name=name, database_id=number, owner_sid=owner, containment=0, is_read_only=1, source_database_id=source_id,
        )  # fmt: skip
        for table in (
            "database_principals", "database_role_members", "database_permissions", "schemas", "all_objects",
            "all_columns",
        ):  # fmt: skip
            self._catalog.run(f"CREATE TEMP TABLE copied AS SELECT * FROM {table} WHERE db = ?", source)  # noqa: S608
            self._catalog.run("UPDATE copied SET db = ?", name)
            self._catalog.run(f"INSERT INTO {table} SELECT * FROM copied")  # noqa: S608
            self._catalog.run("DROP TABLE copied")

    def drop_database(self) -> None:
        """DROP DATABASE."""
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

    def create_table(self) -> None:
        """CREATE TABLE."""
        names = self._tokens.names()
        schema = self._catalog.get("schemas", "schema_id", db=self._here, name=names[-2] if len(names) > 1 else "dbo")
        self._require("CREATE TABLE", Securable(DATABASE), SqlError(262, "CREATE TABLE permission denied.", 14))
        self._require("ALTER", Securable(OF_SCHEMA, schema), SqlError(2760, "The schema cannot be used."))
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

    def drop_table(self) -> None:
        """DROP TABLE."""
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

    def create_code(self, keyword: str, permission: str) -> None:
        """CREATE VIEW or CREATE SYNONYM: a name that can stand for any code; each use of it is recorded."""
        names = self._tokens.names()
        self._tokens.one_of("AS", "FOR")
        self._tokens.rest()
        schema = self._catalog.get("schemas", "schema_id", db=self._here, name=names[-2] if len(names) > 1 else "dbo")
        self._require(permission, Securable(DATABASE), SqlError(262, f"{permission} permission denied.", 14))
        self._require("ALTER", Securable(OF_SCHEMA, schema), SqlError(2760, "The schema cannot be used."))
        number = self._catalog.next_id("all_objects", "object_id", 1000)
        self._catalog.insert(
            "all_objects", db=self._here, object_id=number, name=names[-1], schema_id=schema, type=keyword
        )


def new_database(catalog: Catalog, name: str, owner: bytes, *, containment: int = 0, has_guest: int = 0) -> None:
    """Create a database with all that every database has."""
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
