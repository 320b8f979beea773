"""What is bound to the name of a login of SQL Server, so that no GRANT gives it to another login?

What both logins have is shared: the operator has given it to the other one as well. The functions of a resource
governor and of security policies are not run: their texts are searched for the two names, as literals.
"""

from collections.abc import Callable, Sequence
from typing import Any

from rotation.engine import Unshared
from rotation.engines.sqlserver.kind import CLASSIFIERS, CREDENTIALS, JOBS, MAIL_PROFILES, MAPPINGS, PREDICATES, PROXIES
from rotation.engines.sqlserver.principals import Principal
from rotation.engines.sqlserver.rights import identifier, literal
from rotation.redaction import said
from rotation.values import dataclass

type Arguments = tuple[object, ...]
type Run = Callable[[str, Arguments], Sequence[Sequence[Any]]]
"""Runs a query with its arguments, and returns its rows."""

ABSENT = -1
"""The id of a login that does not exist yet."""
MOST_NAMES = 3


@dataclass(frozen=True)
class Binding:
    """One kind of things that are bound to a login, with a query for their names."""

    kind: str
    query: str
    """{user} and {other} are the numbers of the two. Without them the arguments are the SIDs of the two."""
    what: str
    remedy: str
    """{name} is the first thing, quoted, and {text} the same as a literal."""
    tables: tuple[str, ...] = ()
    """The tables of msdb that it reads. Not every admin can."""


BINDINGS = (
    Binding(
        MAPPINGS,
        """
        SELECT s.name FROM sys.linked_logins l JOIN sys.servers s ON s.server_id = l.server_id
        WHERE l.local_principal_id = {user}
          AND l.server_id NOT IN (SELECT server_id FROM sys.linked_logins WHERE local_principal_id = {other})""",
        "has a login mapping of its own at the linked servers",
        "EXEC sp_addlinkedsrvlogin {text}, 'FALSE', {other_text}, N'…', N'…'",
    ),
    Binding(
        CREDENTIALS,
        """
        SELECT c.name FROM sys.credentials c
        WHERE (c.credential_id IN (SELECT credential_id FROM sys.sql_logins WHERE principal_id = {user})
            OR c.credential_id IN (SELECT credential_id FROM sys.server_principal_credentials
                WHERE principal_id = {user}))
          AND NOT EXISTS (SELECT 1 FROM sys.sql_logins o
            WHERE o.principal_id = {other} AND o.credential_id = c.credential_id)
          AND NOT EXISTS (SELECT 1 FROM sys.server_principal_credentials o
            WHERE o.principal_id = {other} AND o.credential_id = c.credential_id)""",
        "is mapped to the credentials",
        "ALTER LOGIN {other_name} WITH CREDENTIAL = {name}",
    ),
    Binding(
        PROXIES,
        """
        SELECT p.name FROM msdb.dbo.sysproxylogin l JOIN msdb.dbo.sysproxies p ON p.proxy_id = l.proxy_id
        WHERE l.sid = %s AND p.proxy_id NOT IN (SELECT proxy_id FROM msdb.dbo.sysproxylogin WHERE sid = %s)""",
        "can use the Agent proxies",
        "EXEC msdb.dbo.sp_grant_login_to_proxy @proxy_name = {text}, @login_name = {other_text}",
        ("sysproxylogin", "sysproxies"),
    ),
    Binding(
        JOBS,
        "SELECT name FROM msdb.dbo.sysjobs WHERE owner_sid = %s AND owner_sid <> %s",
        "owns the Agent jobs",
        "EXEC msdb.dbo.sp_update_job @job_name = {text}, @owner_login_name = N'sa'",
        ("sysjobs",),
    ),
    Binding(
        MAIL_PROFILES,
        """
        SELECT p.name FROM msdb.dbo.sysmail_principalprofile l
            JOIN msdb.dbo.sysmail_profile p ON p.profile_id = l.profile_id
        WHERE l.principal_sid = %s
          AND p.profile_id NOT IN
            (SELECT profile_id FROM msdb.dbo.sysmail_principalprofile WHERE principal_sid = %s)""",
        "can use the private mail profiles",
        "EXEC msdb.dbo.sysmail_add_principalprofile_sp @profile_name = {text}, @principal_name = {other_text},"
        " @is_default = 0",
        ("sysmail_principalprofile", "sysmail_profile"),
    ),
)  # fmt: skip
"""(https://learn.microsoft.com/en-us/sql/relational-databases/system-catalog-views/sys-linked-logins-transact-sql,
…/sys-server-principal-credentials-transact-sql, …/system-tables/sql-server-agent-tables-transact-sql,
…/system-stored-procedures/sysmail-add-principalprofile-sp-transact-sql)"""

TABLES = [table for binding in BINDINGS for table in binding.tables]
READABLE_TABLES = "SELECT " + ", ".join(
    f"HAS_PERMS_BY_NAME('msdb.dbo.{table}', 'OBJECT', 'SELECT')" for table in TABLES
)
"""Which of them the admin can read."""

CLASSIFIER = """
    SELECT o.name FROM sys.resource_governor_configuration c
        JOIN sys.all_objects o ON o.object_id = c.classifier_function_id
    WHERE c.is_enabled = 1 AND CHARINDEX(%s, OBJECT_DEFINITION(o.object_id)) > 0
      AND CHARINDEX(%s, OBJECT_DEFINITION(o.object_id)) = 0"""
"""The function is in master (https://learn.microsoft.com/en-us/sql/relational-databases/resource-governor)."""

PREDICATE = """
    SELECT DISTINCT f.name FROM sys.security_policies p
        JOIN sys.security_predicates r ON r.object_id = p.object_id
        JOIN sys.sql_modules m ON m.is_schema_bound = 1
        JOIN sys.all_objects f ON f.object_id = m.object_id
        JOIN sys.database_principals u ON u.sid = %s
    WHERE p.is_enabled = 1 AND f.type = 'IF' AND CHARINDEX(f.name, r.predicate_definition) > 0
      AND (CHARINDEX(%s, m.definition) > 0 OR CHARINDEX(QUOTENAME(u.name, ''''), m.definition) > 0)
      AND CHARINDEX(%s, m.definition) = 0"""
"""A predicate is a call of an inline function, which is schema-bound unless the policy says otherwise
(https://learn.microsoft.com/en-us/sql/t-sql/statements/create-security-policy-transact-sql)."""


def for_everybody(user: Principal, other: Principal | None) -> list[tuple[str, Arguments]]:
    """Return the queries of `bound_to_login` that every admin may ask, with their arguments.

    But for the one that looks for a name in a text: it compares as the database does in which its message begins.
    """
    return [(READABLE_TABLES, ()), *(_query(binding, user, other) for binding in BINDINGS if not binding.tables)]


def bound_to_login(run: Run, user: Principal, other: Principal | None, other_name: str) -> list[Unshared]:
    """Return what is bound to a login on the server, as far as the user who is logged in can read it; in master."""
    readable = _readable_tables(run)
    found = []
    for binding in BINDINGS:
        if not readable.issuperset(binding.tables):
            continue
        if names := [name for (name,) in run(*_query(binding, user, other))]:
            remedy = binding.remedy.format(
                name=identifier(names[0]),
                text=literal(names[0]),
                other_name=identifier(other_name),
                other_text=literal(other_name),
            )
            what = f"{user.name} {binding.what} {_listed(names)}; {remedy} gives {other_name} the same"
            if binding.kind == JOBS:
                what = f"{user.name} {binding.what} {_listed(names)}, and {other_name} cannot; {remedy} ends that"
            found.append(Unshared(binding.kind, what))
    classifiers = [name for (name,) in run(CLASSIFIER, (_literal_in_text(user.name), _literal_in_text(other_name)))]
    return [*found, *_named(CLASSIFIERS, "classifier function of the resource governor", classifiers, user, other_name)]


def bound_by_predicates(run: Run, user: Principal, other_name: str, database: str) -> list[Unshared]:
    """Return which security policies of the database that the session is in name the user."""
    arguments = (user.sid, _literal_in_text(user.name), _literal_in_text(other_name))
    functions = [name for (name,) in run(PREDICATE, arguments)]
    place = f"function of a security policy in the database {database}"
    return _named(PREDICATES, place, functions, user, other_name)


def _readable_tables(run: Run) -> set[str]:
    """Return which tables of msdb the user who is logged in can read; a server without Agent has none."""
    [row] = run(READABLE_TABLES, ())
    return {table for table, can_read in zip(TABLES, row, strict=True) if can_read}


def _query(binding: Binding, user: Principal, other: Principal | None) -> tuple[str, Arguments]:
    query = binding.query.format(user=user.id, other=other.id if other else ABSENT)
    return query, (user.sid, other.sid if other else b"") if binding.tables else ()


def _named(kind: str, place: str, functions: list[str], user: Principal, other_name: str) -> list[Unshared]:
    if not functions:
        return []
    what = f"the {place}, {_listed(functions)}, names {user.name} and not {other_name}; ALTER FUNCTION, to name both"
    return [Unshared(kind, what)]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(map(said, names[:MOST_NAMES])) + (f" and {more} more" if more > 0 else "")


def _literal_in_text(name: str) -> str:
    """Return a name as a literal in the text of a function has it."""
    return literal(name).removeprefix("N")
