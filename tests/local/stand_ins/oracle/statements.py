"""How does a session of the stand-in for Oracle run a statement? It parses all of it, and only then changes anything.

It knows the statements that a rotation and its tests send, with the clauses that they use. An unknown statement is an
error, and so is a clause in the wrong place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.local.stand_ins.oracle import dictionary, grants, objects, users
from tests.local.stand_ins.oracle.blocks import run_block
from tests.local.stand_ins.oracle.database import Database
from tests.local.stand_ins.oracle.dictionary import Binds
from tests.local.stand_ins.oracle.sql import OracleError, Reader
from tests.local.stand_ins.oracle.users import require_old
from tests.local.stand_ins.oracle.views import Value


@dataclass(frozen=True)
class Result:
    """The result of a statement."""

    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Value]] = ()


@dataclass
class Session:
    """One connection, after the login."""

    database: Database
    user: str
    schema: str
    pending: dict[tuple[str, str], list[tuple[object, ...]]] = field(default_factory=dict)
    """The rows that were inserted and not committed."""
    program: str = ""
    identification: str = "LOCAL"
    proxy: str | None = None
    settings: dict[str, str] = field(default_factory=dict)

    def begin(self) -> None:
        """Run the triggers of a login."""
        self.apply(self.database.fire(self.user, "LOGON"))

    def folded(self, value: Value) -> Value:
        """Return a value as comparisons see it
        (https://docs.oracle.com/en/database/oracle/oracle-database/19/nlspg/linguistic-sorting-and-matching.html)."""  # noqa: D205, D209
        if self.settings.get("NLS_COMP") != "LINGUISTIC" or not isinstance(value, str):
            return value
        return value.lower() if self.settings.get("NLS_SORT", "").endswith("_CI") else value

    def context(self, name: str) -> Value:
        """Return a value of SYS_CONTEXT for this session
        (https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/SYS_CONTEXT.html)."""  # noqa: D205, D209
        values: dict[str, Value] = {
            "SESSION_USER": self.user,
            "SESSION_USERID": str(self.database.users[self.user].number),
            "CURRENT_SCHEMA": self.schema,
            "IDENTIFICATION_TYPE": self.identification,
            "AUTHENTICATION_METHOD": "PASSWORD",
            "PROXY_USER": self.proxy,
            "CURRENT_EDITION_NAME": "ORA$BASE",
            "CON_NAME": self.database.container,
            "DB_UNIQUE_NAME": self.database.unique_name,
            "DATABASE_ROLE": self.database.role,
        }
        if name not in values:
            raise OracleError(2003, "invalid USERENV parameter")
        return values[name]

    def execute(self, statement: str, binds: Binds) -> Result:
        """Run a statement, and write it to the audit trail. Raises OracleError."""
        try:
            result = self._execute(Reader(statement), {name.upper(): value for name, value in binds.items()})
        except OracleError as error:
            self.database.log(self.user, statement, error.number, self.program)
            raise
        self.database.log(self.user, statement, 0, self.program)
        return result

    def change_password(self, old: str, new: str) -> None:
        """Change the password as OCIPasswordChange does. Raises OracleError."""
        try:
            require_old(self, self.database.users[self.user], old)
            self.database.set_password(self.database.users[self.user], new, old)
        except OracleError as error:
            self.database.audit.append(f"{self.user} {error.number} PASSWORD CHANGE")
            raise
        self.database.audit.append(f"{self.user} 0 PASSWORD CHANGE")

    def commit(self) -> None:
        """Commit what was inserted."""
        for place, rows in self.pending.items():
            self.database.rows.setdefault(place, []).extend(rows)
        self.pending.clear()

    def rollback(self) -> None:
        """Roll back what was inserted."""
        self.pending.clear()

    def apply(self, settings: Sequence[tuple[str, str]]) -> None:
        """Change parameters of the session."""
        for name, value in settings:
            if name != "CURRENT_SCHEMA":
                self.settings[name] = value
            elif value in self.database.users:
                self.schema = value
            else:
                raise OracleError(1435, "user does not exist")

    def _execute(self, reader: Reader, binds: Binds) -> Result:
        for beginning, error in self.database.refuses.items():
            if reader.statement.startswith(beginning):
                raise OracleError(*error)
        if reader.took("SELECT"):
            return Result(*dictionary.select(self, reader, binds))
        if reader.took("BEGIN"):
            run_block(self, reader, binds)
            return Result()
        for words, act in STATEMENTS.items():
            if reader.took(*words):
                if words[0] not in ("INSERT", "UPDATE"):
                    self.commit()
                if words != ("ALTER", "SESSION"):
                    self.apply(self.database.fire(self.user, words[0], reader.statement))
                act(self, reader)
                return Result()
        raise OracleError(900, "invalid SQL statement")


STATEMENTS: dict[tuple[str, ...], Callable[[Session, Reader], None]] = {
    ("CREATE", "USER"): users.create_user,
    ("ALTER", "USER"): users.alter_user,
    ("DROP", "USER"): users.drop_user,
    ("GRANT",): grants.grant,
    ("REVOKE",): grants.revoke,
    ("CREATE", "ROLE"): objects.create_role,
    ("CREATE", "PROFILE"): objects.create_profile,
    ("ALTER", "PROFILE"): objects.alter_profile,
    ("CREATE", "TABLE"): objects.create_table,
    ("CREATE", "SEQUENCE"): objects.create_sequence,
    ("CREATE", "DATABASE", "LINK"): objects.create_link,
    ("CREATE", "PUBLIC", "DATABASE", "LINK"): objects.create_public_link,
    ("CREATE", "TRIGGER"): objects.create_trigger,
    ("CREATE", "OR", "REPLACE", "TRIGGER"): objects.create_trigger,
    ("DROP", "TRIGGER"): objects.drop_trigger,
    ("DROP", "TABLE"): objects.drop_table,
    ("CREATE", "SYNONYM"): objects.create_synonym,
    ("CREATE", "OR", "REPLACE", "SYNONYM"): objects.replace_synonym,
    ("CREATE", "OR", "REPLACE", "PUBLIC", "SYNONYM"): objects.replace_public_synonym,
    ("DROP", "SYNONYM"): objects.drop_synonym,
    ("DROP", "PUBLIC", "SYNONYM"): objects.drop_public_synonym,
    ("CREATE", "OR", "REPLACE"): objects.create_code,
    ("ALTER", "SESSION"): objects.alter_session,
    ("INSERT", "INTO"): objects.insert,
}
