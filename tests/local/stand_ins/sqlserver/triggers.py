"""What do the statements do that change DDL triggers?"""

from tests.local.stand_ins.sqlserver.statement import Statements, refusal
from tests.local.stand_ins.sqlserver.tables import DATABASE, Securable

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
"""Stands for a user's id: the trigger runs as the user who fires it."""


class TriggerStatements(Statements):
    """DDL triggers of a database."""

    def create_trigger(self) -> None:
        """CREATE TRIGGER … ON DATABASE."""
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

    def change_trigger(self, verb: str) -> None:
        """DISABLE, ENABLE or DROP a trigger."""
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
