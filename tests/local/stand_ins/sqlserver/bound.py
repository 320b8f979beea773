"""What do the statements and procedures do that bind something to the name of a login?

Those of Agent and Database Mail are procedures of msdb, which write its tables; any login of a server can be granted
SELECT on these
(https://learn.microsoft.com/en-us/sql/relational-databases/system-tables/sql-server-agent-tables-transact-sql).
"""

from collections.abc import Callable, Mapping

from tests.local.stand_ins.sqlserver.backend import SqlError, Value
from tests.local.stand_ins.sqlserver.catalog import Catalog
from tests.local.stand_ins.sqlserver.statement import Statements
from tests.local.stand_ins.sqlserver.tables import DBO, table_name

MSDB_TABLES = {
    "sysproxies": "proxy_id INTEGER, name TEXT",
    "sysproxylogin": "proxy_id INTEGER, sid BLOB",
    "sysjobs": "name TEXT, owner_sid BLOB",
    "sysmail_profile": "profile_id INTEGER, name TEXT",
    "sysmail_principalprofile": "profile_id INTEGER, principal_sid BLOB",
}


def new_msdb_tables(catalog: Catalog) -> None:
    """Create the tables of Agent and Database Mail that there are here."""
    for number, (name, columns) in enumerate(MSDB_TABLES.items(), 500):
        catalog.insert("all_objects", db="msdb", object_id=number, name=name, schema_id=DBO, type="U")
        catalog.run(f'CREATE TABLE "{table_name("msdb", number)}" ({columns})')


class BoundStatements(Statements):
    """Linked servers, credentials, Agent, Database Mail, functions that name logins."""

    def add_linked_server(self) -> None:
        """EXEC sp_addlinkedserver name."""
        [name] = self._arguments()
        self._require_server("ALTER ANY LINKED SERVER")
        number = self._catalog.next_id("servers", "server_id", 1)
        self._catalog.insert("servers", server_id=number, name=name)
        self._catalog.insert("linked_logins", server_id=number, local_principal_id=0)

    def add_linked_login(self) -> None:
        """EXEC sp_addlinkedsrvlogin server, useself, local login, remote user, password."""
        server, _, login, *_ = self._arguments()
        self._require_server("ALTER ANY LINKED SERVER")
        number = self._catalog.get("servers", "server_id", name=server)
        principal = self._server_principal(login, "find", "login")
        self._catalog.insert("linked_logins", server_id=number, local_principal_id=principal)

    def drop_linked_server(self) -> None:
        """EXEC sp_dropserver name, 'droplogins'."""
        name, _ = self._arguments()
        self._require_server("ALTER ANY LINKED SERVER")
        self._catalog.delete("linked_logins", server_id=self._catalog.get("servers", "server_id", name=name))
        self._catalog.delete("servers", name=name)

    def create_credential(self) -> None:
        """CREATE CREDENTIAL name WITH IDENTITY = …."""
        name = self._tokens.name()
        self._tokens.expect("WITH", "IDENTITY", "=")
        self._tokens.text()
        self._require_server("ALTER ANY CREDENTIAL")
        number = self._catalog.next_id("credentials", "credential_id", 101)
        self._catalog.insert("credentials", credential_id=number, name=name)

    def add_proxy(self) -> None:
        """EXEC sp_add_proxy name, credential."""
        name, _ = self._arguments()
        self._to_msdb("sysproxies", proxy_id=self._msdb("sysproxies", "count(*)"), name=name)

    def grant_proxy(self) -> None:
        """EXEC sp_grant_login_to_proxy @proxy_name, @login_name."""
        proxy, login = self._arguments()
        self._to_msdb("sysproxylogin", proxy_id=self._msdb("sysproxies", "proxy_id", proxy), sid=self._sid(login))

    def add_job(self) -> None:
        """EXEC sp_add_job @job_name, @owner_login_name."""
        name, owner = self._arguments()
        self._to_msdb("sysjobs", name=name, owner_sid=self._sid(owner))

    def update_job(self) -> None:
        """EXEC sp_update_job @job_name, @owner_login_name."""
        name, owner = self._arguments()
        self._to_msdb("sysjobs", name=name, owner_sid=self._sid(owner), replaced=name)

    def add_mail_profile(self) -> None:
        """EXEC sysmail_add_profile_sp @profile_name."""
        [name] = self._arguments()
        self._to_msdb("sysmail_profile", profile_id=self._msdb("sysmail_profile", "count(*)"), name=name)

    def grant_mail_profile(self) -> None:
        """EXEC sysmail_add_principalprofile_sp @profile_name, @principal_name, @is_default."""
        profile, user, *_ = self._arguments()
        number = self._msdb("sysmail_profile", "profile_id", profile)
        self._to_msdb("sysmail_principalprofile", profile_id=number, principal_sid=self._sid(user))

    def create_function(self) -> None:
        """CREATE FUNCTION: only its text counts here."""
        definition = f"CREATE FUNCTION {self._tokens.left()}"
        names = self._tokens.names()
        text = self._tokens.rest()
        schema = self._catalog.get("schemas", "schema_id", db=self._here, name=names[-2])
        number = self._catalog.next_id("all_objects", "object_id", 1000)
        kind = "IF" if "RETURNS TABLE" in text else "FN"
        self._catalog.insert(
            "all_objects", db=self._here, object_id=number, name=names[-1], schema_id=schema, type=kind
        )
        bound = int("SCHEMABINDING" in text)
        self._catalog.insert(
            "sql_modules", db=self._here, object_id=number, definition=definition, is_schema_bound=bound
        )

    def drop_function(self) -> None:
        """DROP FUNCTION."""
        number = self._catalog.object_named(self._viewer, self._tokens.names())
        for table in ("all_objects", "sql_modules"):
            self._catalog.delete(table, db=self._here, object_id=number)

    def create_policy(self) -> None:
        """CREATE SECURITY POLICY name ADD FILTER PREDICATE function(column) ON table [WITH (STATE = OFF)]."""
        name = self._tokens.name()
        self._tokens.expect("ADD", "FILTER", "PREDICATE")
        predicate = ".".join(f"[{part}]" for part in self._tokens.names())
        self._tokens.expect("(")
        predicate += f"([{self._tokens.name()}])"
        self._tokens.expect(")", "ON")
        self._tokens.names()
        is_off = self._tokens.took("WITH", "(", "STATE", "=", "OFF", ")")
        key: dict[str, Value] = {
            "db": self._here,
            "object_id": self._catalog.next_id("security_policies", "object_id", 1),
        }
        self._catalog.insert("security_policies", **key, name=name, is_enabled=int(not is_off))
        self._catalog.insert("security_predicates", **key, predicate_definition=predicate)

    def drop_policy(self) -> None:
        """DROP SECURITY POLICY."""
        name = self._tokens.name()
        number = self._catalog.get("security_policies", "object_id", db=self._here, name=name)
        for table in ("security_policies", "security_predicates"):
            self._catalog.delete(table, db=self._here, object_id=number)

    def alter_resource_governor(self) -> None:
        """ALTER RESOURCE GOVERNOR WITH (CLASSIFIER_FUNCTION = …), or RECONFIGURE, or DISABLE."""
        self._require_server("CONTROL SERVER")
        if (verb := self._tokens.one_of("WITH", "RECONFIGURE", "DISABLE")) != "WITH":
            self._catalog.run("UPDATE resource_governor_configuration SET is_enabled = ?", int(verb == "RECONFIGURE"))
            return
        self._tokens.expect("(", "CLASSIFIER_FUNCTION", "=")
        number = self._catalog.object_named(self._viewer, self._tokens.names())
        self._tokens.expect(")")
        if self._here.lower() != "master" or number is None:
            raise SqlError(10920, "Cannot find the user-defined function. It must be in the master database.")
        self._catalog.run("UPDATE resource_governor_configuration SET classifier_function_id = ?", number)

    def _arguments(self) -> list[str]:
        """Read the arguments of a procedure, named or not."""
        arguments: list[str] = []
        while not arguments or self._tokens.took(","):
            if self._tokens.peek().kind == "variable":
                self._tokens.take()
                self._tokens.expect("=")
            arguments.append(
                self._tokens.text() if self._tokens.peek().kind == "text" else self._tokens.take().spelling
            )
        return arguments

    def _sid(self, login: str) -> Value:
        return str_or_bytes(self._catalog.get("server_principals", "sid", name=login))

    def _table(self, name: str) -> str:
        number = self._catalog.get("all_objects", "object_id", db="msdb", name=name)
        return f'"{table_name("msdb", number)}"'

    def _msdb(self, table: str, column: str, name: str | None = None) -> Value:
        where, values = (" WHERE name = ?", [name]) if name else ("", [])
        return str_or_bytes(self._catalog.one(f"SELECT {column} FROM {self._table(table)}{where}", *values))  # noqa: S608

    def _to_msdb(self, table: str, replaced: str | None = None, **values: Value) -> None:
        self._require_server("CONTROL SERVER")
        if replaced:
            self._catalog.run(f"DELETE FROM {self._table(table)} WHERE name = ?", replaced)  # noqa: S608 - constants
        marks = ", ".join("?" * len(values))
        columns = ", ".join(values)
        self._catalog.run(f"INSERT INTO {self._table(table)} ({columns}) VALUES ({marks})", *values.values())  # noqa: S608


def str_or_bytes(value: object) -> Value:
    """Return a cell as what it is."""
    assert value is None or isinstance(value, (str, int, bytes))
    return value


def methods(bound: BoundStatements) -> Mapping[tuple[str, ...], Callable[[], None]]:
    """Return which method runs which statement."""
    msdb = ("EXEC", "MSDB", ".", "DBO", ".")
    return {
        ("EXEC", "SP_ADDLINKEDSERVER"): bound.add_linked_server,
        ("EXEC", "SP_ADDLINKEDSRVLOGIN"): bound.add_linked_login,
        ("EXEC", "SP_DROPSERVER"): bound.drop_linked_server,
        ("CREATE", "CREDENTIAL"): bound.create_credential,
        (*msdb, "SP_ADD_PROXY"): bound.add_proxy,
        (*msdb, "SP_GRANT_LOGIN_TO_PROXY"): bound.grant_proxy,
        (*msdb, "SP_ADD_JOB"): bound.add_job,
        (*msdb, "SP_UPDATE_JOB"): bound.update_job,
        (*msdb, "SYSMAIL_ADD_PROFILE_SP"): bound.add_mail_profile,
        (*msdb, "SYSMAIL_ADD_PRINCIPALPROFILE_SP"): bound.grant_mail_profile,
        ("CREATE", "FUNCTION"): bound.create_function,
        ("DROP", "FUNCTION"): bound.drop_function,
        ("CREATE", "SECURITY", "POLICY"): bound.create_policy,
        ("DROP", "SECURITY", "POLICY"): bound.drop_policy,
        ("ALTER", "RESOURCE", "GOVERNOR"): bound.alter_resource_governor,
    }
