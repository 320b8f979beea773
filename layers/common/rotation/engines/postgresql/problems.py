"""What do the answers of a PostgreSQL server, and of a pooler before it, mean, and what can be done about them?

An answer is recognised by its code, the SQLSTATE, because servers say the rest in many languages. There are two
exceptions, both in no language but English: the sentences of poolers, which have one code for everything, and those of
libpq, which has none. docs/answers/postgresql.md lists them all.
"""

import re
from collections.abc import Mapping, Sequence

import psycopg2

from rotation.credential import Credential
from rotation.engines.driver import (
    BUSY,
    CERTIFICATE,
    CORRECT_CAUSE,
    HOST_NAME,
    NO_ANSWER,
    NO_BUNDLE,
    NO_RDS_PROXY,
    NO_TLS,
    OTHER_TLS,
    REPLICA,
    STARTING,
    TOO_MANY,
    WRONG_DATABASE,
    Problem,
    find_lock_holder,
    lacks_right,
    problem,
)
from rotation.engines.postgresql.roles import quoted
from rotation.engines.postgresql.wire import ServerError
from rotation.errors import (
    RETRIED,
    WRONG_PASSWORD,
    DatabaseError,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    StatementFailed,
    Unreachable,
    Untrusted,
)
from rotation.redaction import said

# In remedies of this module, {user} and {database} stand for the quoted names of the login.

REFUSED = (
    f"{WRONG_PASSWORD}; or, if its VALID UNTIL has passed, which the server does not say, run as an admin:"
    " ALTER ROLE {user} VALID UNTIL 'infinity'"
)
NO_PROOF = "Ask for SCRAM or md5 in pg_hba.conf: the server asked for no password"
IN_CLEAR = (
    "Ask for SCRAM or md5 in pg_hba.conf, not for the password in clear. On RDS, members of rds_iam can log in with a"
    " token only. Run: REVOKE rds_iam FROM {user}"
)
NO_ENTRY = (
    "Allow this user, database and TLS setting in pg_hba.conf, without a client certificate (on RDS: rds.force_ssl)"
)
TLS_FAILED = f"Run SHOW ssl_max_protocol_version and SHOW ssl_ciphers, {OTHER_TLS}"
IN_CLEAR_ONLY = 'Remove "ssl": false from the secret, if the server takes TLS only (rds.force_ssl, hostssl); or '
FULL_DISK = "Make room on the disk of the server (on RDS: raise the allocated storage)"
NO_LOGIN = "ALTER ROLE {user} LOGIN"
NO_CONNECT = "GRANT CONNECT ON DATABASE {database} TO {user}"
CLOSED = 'ALTER DATABASE {database} ALLOW_CONNECTIONS true; or name another database in the secret, as "dbname"'
LOGIN_TRIGGER = f"Correct, or disable, the event trigger on login that runs this function. {RETRIED}"
LOGIN_FUNCTION = (
    "Let the function that pg_tle runs at each login (pgtle.enable_clientauth) accept {user}: the sentence is its own."
    f" {RETRIED}"
)
LOCKED = find_lock_holder("pg_locks")
NOT_UTF8 = "Rename what has a name that is not UTF-8: a role, a schema, an object or a setting"

POOLER = f"Correct the configuration of the pooler, as docs/behind-a-proxy.md describes. {RETRIED}"
POOLER_USER = "Let the pooler know the user: PgBouncer by auth_query, which needs no change when a password rotates"
POOLER_LOGIN = (
    "Let the pooler log in with the password that the server has: PgBouncer by auth_query, instead of a password in"
    " auth_file"
)
POOLER_DATABASE = 'Correct "dbname" in the secret, or add the database to the pooler'
TLS_ONLY = 'Remove "ssl": false from the secret: the pooler requires TLS'

CLIENT_PROBLEMS: Mapping[str, Problem] = {
    "certificate verify failed": (Untrusted, CERTIFICATE),
    "does not match host name": (Untrusted, HOST_NAME),
    "server does not support SSL": (Untrusted, NO_TLS),
    "root certificate file": (Untrusted, NO_BUNDLE),
    "SSL error: ": (Untrusted, TLS_FAILED),
    "server requested a cleartext password": (Untrusted, IN_CLEAR),
    "authentication method requirement": (Untrusted, NO_PROOF),
}
"""What prevents a login according to libpq, by a part of its text; the first part that is found counts."""

POOLER_PROBLEMS: Mapping[str, Problem] = {
    # PgBouncer, https://github.com/pgbouncer/pgbouncer/tree/master/src: client.c, objects.c, server.c
    "SASL authentication failed": (LoginRefused, REFUSED),
    "password authentication failed": (LoginRefused, REFUSED),
    "auth failed": (LoginRefused, REFUSED),  # before 1.13
    "no such user": (LoginBlocked, POOLER_USER),
    "no such database": (LoginBlocked, POOLER_DATABASE),
    "server login ": (LoginBlocked, POOLER_LOGIN),  # … failed, or … has been failing
    "SSL required": (LoginBlocked, TLS_ONLY),
    "no more connections allowed": (LoginBlocked, TOO_MANY),
    "query_wait_timeout": (LoginBlocked, BUSY),
    # RDS Proxy, https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.troubleshooting.html
    "The password that was provided for the role": (LoginRefused, NO_RDS_PROXY),
    "This RDS proxy has no credentials for the role": (LoginBlocked, NO_RDS_PROXY),
    "This RDS Proxy requires TLS connections": (LoginBlocked, TLS_ONLY),
    "The maximum number of client connections to the proxy exceeded": (LoginBlocked, TOO_MANY),
    "Rate of connection to proxy exceeded": (LoginBlocked, BUSY),
    "Timed-out waiting to acquire database connection": (LoginBlocked, BUSY),
}
"""What a pooler means, by how its sentence begins. Only a pooler names no place in the source of PostgreSQL."""

LOGIN_PROBLEMS: Mapping[str, Problem] = {
    "08000": (LoginBlocked, LOGIN_FUNCTION),  # connection_exception: all that pg_tle says
    "08P01": (LoginBlocked, POOLER),  # protocol_violation: all that PgBouncer says
    "28000": (LoginBlocked, NO_ENTRY),  # invalid_authorization_specification, see is_refusal
    "28P01": (LoginBlocked, NO_PROOF),  # invalid_password, see is_refusal
    "3D000": (LoginBlocked, WRONG_DATABASE),  # invalid_catalog_name
    "42501": (LoginBlocked, NO_CONNECT),  # insufficient_privilege
    "53100": (LoginBlocked, FULL_DISK),  # disk_full
    "53200": (LoginBlocked, BUSY),  # out_of_memory
    "53300": (LoginBlocked, TOO_MANY),  # too_many_connections
    "55000": (LoginBlocked, CLOSED),  # object_not_in_prerequisite_state
    "57014": (LoginBlocked, BUSY),  # query_canceled: authentication_timeout
    "57P01": (LoginBlocked, STARTING),  # admin_shutdown
    "57P02": (LoginBlocked, STARTING),  # crash_shutdown
    "57P03": (LoginBlocked, STARTING),  # cannot_connect_now
    "57P04": (LoginBlocked, WRONG_DATABASE),  # database_dropped
}
"""What a SQLSTATE means if it ends a login."""

STATEMENT_PROBLEMS: Mapping[str, Problem] = {
    "": (Unreachable, NO_ANSWER),  # the connection was lost
    "57P01": (Unreachable, STARTING),  # admin_shutdown
    "57P02": (Unreachable, STARTING),  # crash_shutdown
    "57P03": (Unreachable, STARTING),  # cannot_connect_now
    "08P01": (StatementFailed, POOLER),  # protocol_violation: all that PgBouncer says
    "25P03": (StatementFailed, RETRIED),  # idle_in_transaction_session_timeout
    "42501": (NotPermitted, ""),  # insufficient_privilege
    "25006": (NotPermitted, REPLICA),  # read_only_sql_transaction
    "57014": (StatementFailed, LOCKED),  # query_canceled
    "55P03": (StatementFailed, LOCKED),  # lock_not_available
    "22021": (StatementFailed, NOT_UTF8),  # character_not_in_repertoire
    "22P05": (StatementFailed, NOT_UTF8),  # untranslatable_character
    "40P01": (StatementFailed, RETRIED),  # deadlock_detected
    "40001": (StatementFailed, RETRIED),  # serialization_failure
}
"""What a SQLSTATE means (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""

CONCURRENCY_CODES = frozenset({"23505", "40P01", "40001", "42710"})
"""unique_violation, deadlock_detected, serialization_failure, duplicate_object."""

LOCK_CODES = frozenset({"57014", "55P03"})
"""query_canceled, lock_not_available."""

LOST = "the connection was lost"

CONCURRENTLY = "tuple concurrently"
"""How the text of an internal error (XX000) begins if two sessions change one row of a catalog, in no language."""

AFTER_THE_PASSWORD = "InitializeSessionUserId"  # noqa: S105 - a function of PostgreSQL
"""The function of PostgreSQL that looks at the role once its password was right (miscinit.c)."""

ADVICE = re.compile(r"\s*Either provide the file\b.*", re.DOTALL)
"""What libpq advises if it finds no authorities: also to verify no certificate, which nobody should."""

CONTEXT = re.compile(r"^CONTEXT: ", re.MULTILINE)
"""How libpq introduces which function an error comes from. During a login, only event triggers run functions."""


def login_failure(error: ServerError, credential: Credential, operation: str) -> DatabaseError:
    """Return what a login's failure means."""
    kind, remedy = _login_problem(error)
    if remedy == NO_ENTRY and not credential.tls:
        remedy = f"{IN_CLEAR_ONLY}{remedy[0].lower()}{remedy[1:]}"
    names = {"user": quoted(credential.username), "database": quoted(credential.database or "")}
    for name, name_quoted in names.items():
        remedy = remedy.replace(f"{{{name}}}", name_quoted)
    return kind(operation, (said(ADVICE.sub("", error.text)) or LOST) + _sqlstate(error.code), remedy)


def _login_problem(error: ServerError) -> Problem:
    if not error.code:
        part = next((part for part in CLIENT_PROBLEMS if part in error.text), "")
        return problem(CLIENT_PROBLEMS, part, (Unreachable, NO_ANSWER))
    if found := _pooler_problem(error):
        return found
    if error.code.startswith("28") and error.asked_for_password:
        # A password that is wrong, of a user that there is or is not. But NOLOGIN is only said after the right one.
        return (LoginBlocked, NO_LOGIN) if error.routine == AFTER_THE_PASSWORD else (LoginRefused, REFUSED)
    otherwise = LOGIN_TRIGGER if CONTEXT.search(error.text) else CORRECT_CAUSE
    return problem(LOGIN_PROBLEMS, error.code, (LoginBlocked, otherwise))


def _pooler_problem(error: ServerError) -> Problem | None:
    """Return what the sentence of a pooler means. None of them refuses a password that it has not asked for."""
    if error.routine:
        return None
    begin = next((begin for begin in POOLER_PROBLEMS if error.text.startswith(begin)), None)
    found = POOLER_PROBLEMS[begin] if begin else None
    return None if found and found[0] is LoginRefused and not error.asked_for_password else found


def statement_failure(
    error: psycopg2.Error, operation: str, username: str, remedy: str, problems: Mapping[str, Problem]
) -> DatabaseError:
    """Return what a statement's failure means; `problems` counts before the table.

    `remedy` is for a user that is not permitted to do this, and for no other failure.
    """
    otherwise: Problem = (StatementFailed, CORRECT_CAUSE)
    if (error.diag.message_primary or "").startswith(CONCURRENTLY):
        otherwise = (StatementFailed, RETRIED)
    table = {**STATEMENT_PROBLEMS, **problems}
    code = error.pgcode or answer_at_the_end(error).code
    kind, advice = problem(table, code, otherwise, remedy or lacks_right(username))
    return kind(operation, cause(error), advice)


def answer_at_the_end(error: psycopg2.Error) -> ServerError:
    """Return what the server said when it ended the connection; without code if it said nothing.

    If that came before the statement, libpq has no diagnostics of it, as if a login had failed.
    """
    return ServerError("" if error.pgcode else str(error), asked_for_password=True)


def changed_meanwhile(error: psycopg2.Error) -> bool:
    """Return whether another session has changed the same thing, so that the statement can be sent again."""
    return error.pgcode in CONCURRENCY_CODES or (error.diag.message_primary or "").startswith(CONCURRENTLY)


def lock_failure(error: psycopg2.Error, operation: str, holders: Sequence[tuple[int, str]]) -> StatementFailed:
    """Return the failure of a statement that waited too long for what these sessions have locked."""
    sessions = " and ".join(f"session {pid} of {name}" for pid, name in holders)
    end = f"SELECT pg_terminate_backend({holders[0][0]})"
    remedy = f"Wait until it ends, or run: {end}. {RETRIED}"
    return StatementFailed(operation, f"{cause(error)}; the lock is held by {sessions}", remedy)


def cause(error: psycopg2.Error) -> str:
    """Return what the server said about a statement, and its code."""
    if (answer := answer_at_the_end(error)).code:
        return said(answer.text) + _sqlstate(answer.code)
    # The detail of a violated constraint (class 23) quotes the values of a row.
    detail = "" if (error.pgcode or "").startswith("23") else error.diag.message_detail
    texts = filter(None, (error.diag.message_primary or str(error), detail))
    return (": ".join(map(said, texts)).rstrip(".") or LOST) + _sqlstate(error.pgcode)


def _sqlstate(code: str | None) -> str:
    return f" (SQLSTATE {code})" if code else ""
