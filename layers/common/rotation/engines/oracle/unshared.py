"""What is bound to the name of a user of Oracle, so that the other one of its pair does not have it?

Four sources: objects that only their owner can use, or that nobody was granted; entries of the dictionary that name
the user; triggers that fire for this user only; and expressions of redaction policies that compare its name. What both
users have, because somebody created it for both by hand, is shared.

No catalog shows what code compares a user's name with: in the body of a trigger, a policy function, a view. Label
Security, Database Vault and Real Application Security have views of their own, which their own admins read.
"""

from collections import defaultdict
from collections.abc import Iterator

from rotation.engine import Unshared
from rotation.engines.oracle.admin import ON_SCHEMA, OracleAdmin, Question
from rotation.engines.oracle.catalog import GRANTABLE_TYPES, OracleCatalog, few
from rotation.engines.oracle.connection import Rows
from rotation.engines.oracle.rights import SYS
from rotation.redaction import said
from rotation.values import dataclass

ADMINISTRATIVE, JOBS, TRIGGERS = "administrative privileges", "jobs", "triggers"
OTHER_OBJECTS = "other objects"

OBJECT_KINDS = {
    "CHAIN": "scheduler objects",
    "CREDENTIAL": "credentials",
    "DESTINATION": "scheduler objects",
    "FILE WATCHER": "scheduler objects",
    "JAVA CLASS": "java objects",
    "JAVA DATA": "java objects",
    "JAVA RESOURCE": "java objects",
    "JAVA SOURCE": "java objects",
    "JOB": JOBS,
    "MINING MODEL": "mining models",
    "PROGRAM": "scheduler objects",
    "SCHEDULE": "scheduler objects",
    "SCHEDULER GROUP": "scheduler objects",
}
"""The word for the objects of a type, as DBA_OBJECTS names it. A type that is in none of the lists is an other object:
so what a new version of Oracle brings is refused, and not lost."""

USED_THROUGH_OTHERS = frozenset(
    {
        "DATABASE LINK",  # DBA_DB_LINKS says more
        "DIMENSION",
        "INDEX",
        "INDEX PARTITION",
        "INDEX SUBPARTITION",
        "LOB",
        "LOB PARTITION",
        "LOB SUBPARTITION",
        "MATERIALIZED ZONEMAP",
        "PACKAGE BODY",
        "REWRITE EQUIVALENCE",
        "SYNONYM",  # a rotation copies it
        "TABLE PARTITION",
        "TABLE SUBPARTITION",
        "TRIGGER",
        "TYPE BODY",
        "UNDEFINED",
    }
)
"""The types that no session names: they do their work for whoever uses the object that they belong to."""

OF_QUEUES = frozenset({"RULE", "RULE SET"})
"""The owner of a queue gets these for its subscribers; only the server uses them."""


@dataclass(frozen=True)
class NameBound:
    """A view of SYS whose rows are each about one user; nobody can be granted what a row says."""

    kind: str
    view: str
    key: str
    """The column with the user's name."""
    columns: tuple[str, ...]
    """What is equal if two users have the same."""
    named: int = 1
    """How many of these columns an error names."""
    before: tuple[int, ...] = (1000,)
    """The first version in which another view, or the objects, show the same."""


NAME_BOUND = (
    # Nobody can create one in another's schema, and a synonym over it ends in ORA-02019
    # (https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/CREATE-DATABASE-LINK.html).
    NameBound("database links", "dba_db_links", "owner", ("db_link", "username", "host")),
    NameBound(
        "network acls",
        "dba_host_aces",
        "principal",
        ("privilege", "host", "lower_port", "upper_port", "grant_type", "inverted_principal"),
        named=2,
    ),
    NameBound(
        "network acls",
        "dba_wallet_aces",
        "principal",
        ("privilege", "wallet_path", "grant_type", "inverted_principal"),
        named=2,
    ),
    NameBound(
        "java permissions",
        "dba_java_policy",
        "grantee",
        ("type_name", "name", "action", "kind", "type_schema", "enabled"),
        named=3,
    ),
    # From 19c on, each of these jobs is one of the scheduler, too, and so an object
    # (https://docs.oracle.com/en/database/oracle/oracle-database/19/arpls/DBMS_JOB.html).
    NameBound(JOBS, "dba_jobs", "priv_user", ("job",), before=(19,)),
    NameBound("refresh groups", "dba_refresh", "rowner", ("rname",)),
    NameBound("queue agents", "dba_aq_agent_privs", "db_username", ("agent_name",)),
    NameBound("xstream servers", "dba_xstream_outbound", "connect_user", ("server_name",)),
    NameBound("xstream servers", "dba_xstream_inbound", "apply_user", ("server_name",)),
    NameBound("goldengate privileges", "dba_goldengate_privileges", "username", ("privilege_type",)),
)
"""https://docs.oracle.com/en/database/oracle/oracle-database/19/refrn/static-data-dictionary-views.html has each."""

GRANTED_BY_SYS = ("sysdba", "sysoper", "sysbackup", "sysdg", "syskm")
"""The privileges that only SYS grants: columns of V$PWFILE_USERS, which are TRUE or FALSE."""
PASSWORD_FILE = Question("v_$pwfile_users", ("username",), GRANTED_BY_SYS)

REDACTION = "redaction policies"
_REDACTED = ("object_owner", "object_name", "expression")
REDACTION_POLICIES = Question("redaction_policies", (), (*_REDACTED, "enable"))
REDACTION_EXPRESSIONS = Question("redaction_expressions", (), _REDACTED)
REDACTED = (REDACTION_POLICIES, REDACTION_EXPRESSIONS)
"""A policy redacts what a user reads if its expression says so, and the expression can compare SESSION_USER with a name
(https://docs.oracle.com/en/database/oracle/oracle-database/26/dbred/using-expressions-define-conditions-data-redaction-policies.html).
Since 12.2 a column can have an expression of its own (…/12.2/refrn/REDACTION_EXPRESSIONS.html)."""

type Loss = tuple[str, str]
"""A kind, and the name of one thing of it."""


class OracleUnshared:
    """Looks for what one user of a pair has and the other one does not, through an admin."""

    def __init__(self, admin: OracleAdmin, catalog: OracleCatalog, user: str, other: str) -> None:
        self._admin = admin
        self._catalog = catalog
        self._user = user
        self._other = other
        self._operation = f"looking up what only {user} can use"

    def found(self) -> list[Unshared]:
        """Return it, one sentence for each kind; see `rotation.engine.Session.unshared`."""
        lost: dict[str, list[str]] = defaultdict(list)
        for losses in (self._objects(), self._entries(), self._administrative(), self._triggers(), self._redacted()):
            for kind, name in losses:
                lost[kind].append(said(name))
        return [
            Unshared(kind, f"{self._other} cannot use the {kind} of {self._user}: {', '.join(few(sorted(set(names))))}")
            for kind, names in sorted(lost.items())
        ]

    def _objects(self) -> Iterator[Loss]:
        """Yield the objects that the other one has no right on, and none of its own of that name."""
        found = set(self._catalog.owned(self._user))
        has_queues = any(object_type == "QUEUE" for object_type, _ in found)
        owned = {one for one in found if self._kind(one[0]) and not (has_queues and one[0] in OF_QUEUES)}
        if not owned:
            return
        shared = self._catalog.granted_on(self._user, self._other)
        for object_type, name in owned - set(self._catalog.owned(self._other)):
            if name not in shared:
                kind = self._kind(object_type)
                yield kind, f"{object_type} {name}" if kind == OTHER_OBJECTS else name

    @staticmethod
    def _kind(object_type: str) -> str:
        """Return the word for objects of this type; empty if tables and the like are meant, or if nobody names them."""
        is_something_else = object_type in GRANTABLE_TYPES or object_type in USED_THROUGH_OTHERS
        return "" if is_something_else else OBJECT_KINDS.get(object_type, OTHER_OBJECTS)

    def _entries(self) -> Iterator[Loss]:
        """Yield the entries that name the user, if there is no such entry for the other one."""
        existing = self._existing()
        bounds = [bound for bound in self._bounds() if bound.view in existing]
        entries = [Question(bound.view, (bound.key,), bound.columns) for bound in bounds]
        redacted = [one for one in REDACTED if one.view in existing]
        self._admin.read_ahead(self._operation, [*entries, PASSWORD_FILE, *redacted], (self._user, self._other))
        for bound, question in zip(bounds, entries, strict=True):
            user_has, other_has = self._pair_of_rows(question)
            for row in user_has - other_has:
                yield bound.kind, " ".join(str(value) for value in row[: bound.named] if value is not None)

    def _bounds(self) -> list[NameBound]:
        return [bound for bound in NAME_BOUND if self._admin.connection.version < bound.before]

    def _existing(self) -> set[str]:
        """Return which of the views this database has: some come with an option, as those of Java do."""
        views = [*(bound.view for bound in self._bounds()), *(one.view for one in REDACTED)]
        names = [view.upper() for view in views]
        rows = self._admin.read(self._operation, "dba_objects", ["object_name"], ["owner"], names)
        return {name.lower() for name, owner in rows if owner == SYS}

    def _administrative(self) -> Iterator[Loss]:
        user_has, other_has = self._pair_of_rows(PASSWORD_FILE)
        for number, privilege in enumerate(GRANTED_BY_SYS):
            has, shared = (any(row[number] == "TRUE" for row in rows) for rows in (user_has, other_has))
            if has and not shared:
                yield ADMINISTRATIVE, privilege.upper()

    def _triggers(self) -> Iterator[Loss]:
        """Yield the triggers that fire for the user only: on its schema, or with its name in their condition."""
        on_other = set()
        on_user = []
        for owner, name, base, schema, events, condition in self._admin.triggers(self._operation):
            if base.strip() == ON_SCHEMA:
                if schema == self._other:
                    on_other.add(events.strip())
                elif schema == self._user:
                    on_user.append((f"{owner}.{name}", events.strip()))
            elif self._names(condition, self._user) and not self._names(condition, self._other):
                yield TRIGGERS, f"{owner}.{name}"
        yield from ((TRIGGERS, name) for name, events in on_user if events not in on_other)

    def _redacted(self) -> Iterator[Loss]:
        """Yield the objects with an expression that decides by the user's name what is redacted."""
        policies, expressions = (self._rows_of(one) for one in REDACTED)
        found = [(owner, name, text) for owner, name, text, enabled in policies if enabled.strip() == "YES"]
        found += expressions
        for owner, name, text in found:
            if self._names(text, self._user) and not self._names(text, self._other):
                yield REDACTION, f"{owner}.{name}"

    @staticmethod
    def _names(condition: str | None, user: str) -> bool:
        """Tell whether a condition has the user's name as a literal. Nothing of it is evaluated."""
        return f"'{user}'".casefold() in (condition or "").casefold()

    def _rows_of(self, one: Question) -> Rows:
        """Return all rows of a view; none if this database has no such view."""
        return self._admin.read_all(self._operation, one.view, one.columns) if one.view in self._existing() else []

    def _pair_of_rows(self, asked: Question) -> tuple[set[tuple[object, ...]], ...]:
        """Return what a view says about the user, and about the other one."""
        names = (self._user, self._other)
        rows = self._admin.read(self._operation, asked.view, asked.keys, asked.columns, names)
        return tuple({tuple(row) for name, *row in rows if name == wanted} for wanted in names)
