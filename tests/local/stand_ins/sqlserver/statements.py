"""Which method runs a statement, and which DDL triggers does it fire?

The rules are those of the pages of each statement below https://learn.microsoft.com/en-us/sql/t-sql/statements/.
"""

from collections.abc import Callable

from tests.local.stand_ins.sqlserver import bound
from tests.local.stand_ins.sqlserver.databases import DatabaseStatements
from tests.local.stand_ins.sqlserver.logins import LoginStatements
from tests.local.stand_ins.sqlserver.permissions import PermissionStatements
from tests.local.stand_ins.sqlserver.statement import Statement
from tests.local.stand_ins.sqlserver.tables import Viewer
from tests.local.stand_ins.sqlserver.things import DATABASE_SCOPED_CREDENTIAL, THINGS
from tests.local.stand_ins.sqlserver.triggers import CALLER, TriggerStatements
from tests.local.stand_ins.sqlserver.tsql import statements, syntax_error
from tests.local.stand_ins.sqlserver.users import UserStatements


def run(statement: Statement) -> None:
    """Run a statement, and the triggers that it fires; raises SqlError."""
    tokens, here = statement.tokens, statement.viewer.database
    for words, method in _methods(statement).items():
        if tokens.took(*words):
            method()
            tokens.end()
            if statement.event:
                _fire(statement, here)
            return
    raise syntax_error(tokens.peek().spelling)


def _methods(statement: Statement) -> dict[tuple[str, ...], Callable[[], None]]:
    databases, triggers, logins = (
        DatabaseStatements(statement),
        TriggerStatements(statement),
        LoginStatements(statement),
    )
    users, permissions = UserStatements(statement), PermissionStatements(statement)
    return {
        **bound.methods(bound.BoundStatements(statement)),
        ("USE",): databases.use,
        ("EXEC", "SP_CONFIGURE"): databases.configure,
        ("RECONFIGURE",): lambda: None,
        ("CREATE", "DATABASE", "SCOPED", "CREDENTIAL"): lambda: users.create_thing(THINGS[DATABASE_SCOPED_CREDENTIAL]),
        ("CREATE", "DATABASE"): databases.create_database,
        ("ALTER", "DATABASE"): databases.alter_database,
        ("BACKUP", "LOG"): databases.back_up_log,
        ("RESTORE", "DATABASE"): databases.restore_database,
        ("DROP", "DATABASE"): databases.drop_database,
        ("CREATE", "TABLE"): databases.create_table,
        ("DROP", "TABLE"): databases.drop_table,
        ("CREATE", "VIEW"): lambda: databases.create_code("V", "CREATE VIEW"),
        ("CREATE", "SYNONYM"): lambda: databases.create_code("SN", "CREATE TABLE"),
        ("CREATE", "TRIGGER"): triggers.create_trigger,
        ("DISABLE", "TRIGGER"): lambda: triggers.change_trigger("DISABLE"),
        ("ENABLE", "TRIGGER"): lambda: triggers.change_trigger("ENABLE"),
        ("DROP", "TRIGGER"): lambda: triggers.change_trigger("DROP"),
        ("CREATE", "LOGIN"): logins.create_login,
        ("ALTER", "LOGIN"): logins.alter_login,
        ("DROP", "LOGIN"): logins.drop_login,
        ("CREATE", "SERVER", "ROLE"): logins.create_server_role,
        ("ALTER", "SERVER", "ROLE"): logins.alter_server_role,
        ("CREATE", "USER"): users.create_user,
        ("ALTER", "USER"): users.alter_user,
        ("DROP", "USER"): users.drop_user,
        ("CREATE", "ROLE"): users.create_role,
        ("ALTER", "ROLE"): users.alter_role,
        ("CREATE", "SCHEMA"): users.create_schema,
        ("CREATE",): users.create_thing,
        ("ALTER", "AUTHORIZATION", "ON"): users.alter_authorization,
        ("GRANT",): permissions.grant,
        ("DENY",): permissions.deny,
        ("REVOKE",): permissions.revoke,
    }


def _fire(statement: Statement, here: str) -> None:
    """Run the triggers of the database for the event, each as the user of the statement, unless it names another user.

    EXECUTE AS CALLER in a trigger goes back to the user of the statement (execute-as-transact-sql).
    """
    query = """
        SELECT t.name, t.runs_as, t.body FROM triggers t
        JOIN trigger_events e ON e.db = t.db AND e.object_id = t.object_id
        WHERE t.db = ? AND e.type_desc = ? AND t.is_disabled = 0"""
    for name, runs_as, body in statement.catalog.run(query, here, statement.event):
        viewer = statement.viewer if runs_as is CALLER else Viewer(None, runs_as, here)
        for tokens in statements(body):
            if tokens.took("EXECUTE", "AS", "CALLER"):
                viewer = statement.viewer
                continue
            statement.catalog.record_user_code(viewer, name)
            run(Statement(statement.catalog, viewer, tokens, is_in_transaction=True))
