"""What do the answers of a MySQL or MariaDB server mean, and what can be done about them?

An answer is recognised by its number, because servers say the rest in many languages. docs/answers lists them all.
"""

import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Final, Self

import pymysql
from pymysql.converters import escape_string

from rotation.credential import Credential
from rotation.engines.driver import (
    ANOTHER_PASSWORD,
    BUSY,
    CERTIFICATE,
    CORRECT_CAUSE,
    EXPIRED,
    HOST_NAME,
    NO_ANSWER,
    NO_TLS,
    OTHER_TLS,
    POLICY,
    REPLICA,
    STARTING,
    TOO_MANY,
    UNKNOWN_SERVER,
    WRONG_DATABASE,
    Problem,
    find_lock_holder,
    problem,
)
from rotation.engines.mysql.kind import KIND
from rotation.engines.mysql.wire import (
    ACCESS_DENIED,
    EXPIRED_PASSWORD,
    MALFORMED,
    NO_HANDSHAKE,
    NO_PASSWORD_ACCESS,
    REVEALS,
    TOO_LARGE,
)
from rotation.engines.password_rules import PasswordRules
from rotation.errors import (
    RETRIED,
    WRONG_PASSWORD,
    DatabaseError,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    PasswordRefused,
    StatementFailed,
    Unreachable,
    Unsupported,
    Untrusted,
)
from rotation.redaction import said
from rotation.values import dataclass

# In remedies of this module, {user} stands for the quoted name of the login.

ACCOUNTS = "SELECT user, host, ssl_type FROM mysql.user WHERE user IN ({user}, '')"
REFUSED = (
    f"{WRONG_PASSWORD}; or, if it has that already, let the server find an account of this name for the function's"
    f" address, without REQUIRE X509 or a second factor: run {ACCOUNTS}"
)
REFUSED_IN_CLEAR = 'Remove "ssl": false from the secret, if the account has REQUIRE SSL; or '
UNLOCK = "Run ALTER USER {user} ACCOUNT UNLOCK, with the account's host, and find out what locked it"
UNBLOCK_USER = "Run FLUSH PRIVILEGES, so that {user} can log in again, and find out who sent wrong passwords"
RENEW = f"{EXPIRED}, with ALTER USER {{user}} IDENTIFIED BY …"
OTHER_PLUGIN = "Change the account's plugin to caching_sha2_password, or to another one that this function's client has"
NO_REVEALING = "Change the account's plugin to caching_sha2_password, or to another one that sends no password"
LOAD_PLUGIN = "Load the account's authentication plugin into the server, or use another"
UNBLOCK = (
    "Run TRUNCATE TABLE performance_schema.host_cache (before MySQL 8.4 FLUSH HOSTS): the server blocks the function's"
    " address"
)
NO_HOST = "Create an account whose host part matches the function's address"
INIT_CONNECT = "Correct the server's init_connect, or grant {user} what it needs: SELECT @@init_connect"
TLS_ONLY = 'Take "ssl": false out of the secret: the server requires TLS'
TLS_FAILED = f"Run SELECT @@tls_version, @@ssl_cipher, {OTHER_TLS}"
OFFLINE = f"Wait until the server's offline mode ends. {RETRIED}"
RESOURCES = f"Give the server more memory or threads, or close connections. {RETRIED}"
LONGER_NAME = "Use a shorter user name: MySQL takes 32 characters, MariaDB 128, and MariaDB 10.5 and older 80"
READ_WRITE = (
    "Run SET GLOBAL transaction_read_only = OFF (before MariaDB 11.1, and before MySQL 5.7.20, tx_read_only), or take"
    " it out of init_connect"
)
OTHER_DEFINER = (
    "Give the objects whose definer is this account another one, or GRANT ALLOW_NONEXISTENT_DEFINER (before MySQL 8.2"
    " SET_USER_ID) ON *.* TO the admin"
)
INVALID_VIEW = (
    "Repair or drop the view, or take the rights on its columns from the user; if the view works for its users, grant"
    " the admin SELECT and EXECUTE on what is in it"
)
HOLDER = find_lock_holder("performance_schema.metadata_locks")

LOGIN_PROBLEMS: Mapping[int, Problem] = {
    1040: (LoginBlocked, TOO_MANY),  # ER_CON_COUNT_ERROR
    1041: (LoginBlocked, RESOURCES),  # ER_OUT_OF_RESOURCES
    1043: (LoginBlocked, UNKNOWN_SERVER),  # ER_HANDSHAKE_ERROR
    1044: (LoginBlocked, WRONG_DATABASE),  # ER_DBACCESS_DENIED_ERROR
    ACCESS_DENIED: (LoginRefused, REFUSED),
    1049: (LoginBlocked, WRONG_DATABASE),  # ER_BAD_DB_ERROR
    1053: (LoginBlocked, STARTING),  # ER_SERVER_SHUTDOWN
    1129: (LoginBlocked, UNBLOCK),  # ER_HOST_IS_BLOCKED
    1130: (LoginBlocked, NO_HOST),  # ER_HOST_NOT_PRIVILEGED
    1135: (LoginBlocked, RESOURCES),  # ER_CANT_CREATE_THREAD
    1184: (LoginBlocked, INIT_CONNECT),  # ER_NEW_ABORTING_CONNECTION
    1203: (LoginBlocked, TOO_MANY),  # ER_TOO_MANY_USER_CONNECTIONS
    1226: (LoginBlocked, TOO_MANY),  # ER_USER_LIMIT_REACHED
    1251: (LoginBlocked, OTHER_PLUGIN),  # ER_NOT_SUPPORTED_AUTH_MODE
    1524: (LoginBlocked, LOAD_PLUGIN),  # ER_PLUGIN_IS_NOT_LOADED
    NO_PASSWORD_ACCESS: (LoginRefused, REFUSED),
    EXPIRED_PASSWORD: (LoginBlocked, RENEW),
    1862: (LoginBlocked, RENEW),  # ER_MUST_CHANGE_PASSWORD_LOGIN
    3032: (LoginBlocked, OFFLINE),  # ER_SERVER_OFFLINE_MODE
    3118: (LoginBlocked, UNLOCK),  # ER_ACCOUNT_HAS_BEEN_LOCKED
    3159: (LoginBlocked, TLS_ONLY),  # ER_SECURE_TRANSPORT_REQUIRED
    3168: (LoginBlocked, STARTING),  # ER_SERVER_ISNT_AVAILABLE
    3955: (LoginBlocked, UNLOCK),  # ER_USER_ACCESS_DENIED_FOR_USER_ACCOUNT_BLOCKED_BY_PASSWORD_LOCK
    4150: (LoginBlocked, UNBLOCK_USER),  # ER_USER_IS_BLOCKED in MariaDB
    4151: (LoginBlocked, UNLOCK),  # ER_ACCOUNT_HAS_BEEN_LOCKED in MariaDB
    9001: (LoginBlocked, BUSY),  # ProxySQL: no connection to the server was free
    9501: (LoginBlocked, BUSY),  # RDS Proxy: the same
    NO_HANDSHAKE: (Untrusted, UNKNOWN_SERVER),
    TOO_LARGE: (Untrusted, UNKNOWN_SERVER),
    MALFORMED: (Unreachable, 'Correct "host" and "port" in the secret'),
    2059: (LoginBlocked, OTHER_PLUGIN),  # CR_AUTH_PLUGIN_CANNOT_LOAD
    REVEALS: (Untrusted, NO_REVEALING),
}
"""What a number means if it ends a login (https://dev.mysql.com/doc/mysql-errors/9.1/en/server-error-reference.html,
https://mariadb.com/docs/server/reference/error-codes). docs/answers/mysql-and-mariadb.md has a row for each."""

CLIENT_CODES = range(2000, 3000)
"""Errors of the client itself. All others are answers of a server."""

FORBIDDEN = frozenset({1044, 1045, 1142, 1143, 1227, 1370, 1698, 3523, 3530})
"""The user may not run the statement. 1045 is among them: the server answers so to a GRANT on *.* that one may not
make."""

BREAKS_RULES = frozenset({1819, 4165})
"""The server's variables say what it asks for."""

GONE = frozenset({1049, 1054, 1146, 1305})
"""ER_BAD_DB_ERROR, ER_BAD_FIELD_ERROR, ER_NO_SUCH_TABLE, ER_SP_DOES_NOT_EXIST."""

BROKEN_VIEW: Final = 1356
"""ER_VIEW_INVALID: what a view is made of is gone, or the user who looks at the view may not use it."""

STATEMENT_PROBLEMS: Mapping[int, Problem] = {
    1470: (StatementFailed, LONGER_NAME),  # ER_WRONG_STRING_LENGTH
    1133: (StatementFailed, RETRIED),  # ER_PASSWORD_NO_MATCH: no such account any more, says MariaDB
    1141: (StatementFailed, RETRIED),  # ER_NONEXISTING_GRANT: somebody dropped the account, or took the right
    1410: (StatementFailed, RETRIED),  # ER_CANT_CREATE_USER_WITH_GRANT: the same, says MySQL
    EXPIRED_PASSWORD: (LoginBlocked, EXPIRED),  # of an admin: a user renews its own
    1792: (StatementFailed, READ_WRITE),  # ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
    1836: (NotPermitted, REPLICA),  # ER_READ_ONLY_MODE
    3032: (NotPermitted, REPLICA),  # ER_SERVER_OFFLINE_MODE
    1819: (PasswordRefused, POLICY),  # ER_NOT_VALID_PASSWORD
    4165: (PasswordRefused, ANOTHER_PASSWORD),  # too like the old one: changed_characters_percentage
    3638: (PasswordRefused, ANOTHER_PASSWORD),  # ER_CREDENTIALS_CONTRADICT_TO_HISTORY
    1205: (StatementFailed, HOLDER),  # ER_LOCK_WAIT_TIMEOUT
    1969: (StatementFailed, BUSY),  # MariaDB's max_statement_time
    3024: (StatementFailed, BUSY),  # ER_QUERY_TIMEOUT
    1524: (StatementFailed, LOAD_PLUGIN),
    BROKEN_VIEW: (StatementFailed, INVALID_VIEW),
    4006: (StatementFailed, OTHER_DEFINER),  # ER_CANNOT_USER_REFERENCED_AS_DEFINER
    TOO_LARGE: (
        StatementFailed,
        "Make the answer smaller: at most 3 MB and 50,000 rows, or 16 MB for a statement of verify",
    ),
}
"""What it means that a statement failed, if it is not forbidden."""

LOST = frozenset({0, 2003, 2006, 2013, MALFORMED, 2055, 1053, 1927, 3169, 4031})
"""The connection is lost, as the client reports
(https://dev.mysql.com/doc/mysql-errors/9.1/en/client-error-reference.html), or is about to be lost, as the server
reports: it shuts down, or the session was killed."""

SYNTAX_ERROR, CANNOT_USER = 1064, 1396

NEEDS_PRIVILEGE: Final = 1227
"""ER_SPECIFIC_ACCESS_DENIED_ERROR: its text names the privileges of which one is enough."""

PRIVILEGES = re.compile(r"\b[A-Z]+(?:[_ ][A-Z]+)+\b|\b[A-Z]{4,}\b")
"""These are written in capitals, in messages of every language."""

ACL_FAILED: Final = 3501
"""ER_ACL_OPERATION_FAILED: only its text has the error of the storage engine."""

READ_ONLY_TABLE = re.compile(r"\b165\b")
"""HA_ERR_TABLE_READONLY, as with innodb_read_only on a reader of Aurora."""

OPTION_PREVENTS: Final = 1290
"""ER_OPTION_PREVENTS_STATEMENT: only its text names the option. Only with a read-only option another server helps."""

MISMATCHES = frozenset({62, 64})
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""


@dataclass(frozen=True)
class ServerError:
    """An error of the server, or of the client itself, as PyMySQL raises it."""

    number: int
    """0 if the error has none."""
    raw: str = field(repr=False)
    """What the error says: it can hold secrets, so it is compared and never quoted."""

    @classmethod
    def of(cls, error: Exception) -> Self:
        """Read the arguments of an exception."""
        has_number = isinstance(error, pymysql.MySQLError) and error.args and isinstance(error.args[0], int)
        return cls(error.args[0] if has_number else 0, str(error.args[-1]) if error.args else "")

    @property
    def text(self) -> str:
        """What the error says, as it may be quoted."""
        return said(self.raw)


def login_failure(
    error: Exception, credential: Credential, operation: str, problems: Mapping[int, Problem] = LOGIN_PROBLEMS
) -> DatabaseError | Unsupported:
    """Return what it means that a login failed."""
    cause, found = getattr(error, "original_exception", error), ServerError.of(error)
    if isinstance(cause, ssl.SSLError):
        return _tls_failure(cause, operation)
    if isinstance(error, RuntimeError):
        return Unsupported(operation, found.text, 'Remove "ssl": false from the secret, or use another plugin')
    if "SSL connection error" in found.raw or "server doesn't support" in found.raw.lower():
        return Untrusted(operation, found.text, NO_TLS)
    if not found.number or found.number in CLIENT_CODES:
        kind, remedy = problem(problems, found.number, (Unreachable, NO_ANSWER))
    else:
        kind, remedy = problem(problems, found.number, (LoginBlocked, CORRECT_CAUSE))
    if kind is LoginRefused and not credential.tls:
        remedy = f"{REFUSED_IN_CLEAR}{remedy[0].lower()}{remedy[1:]}"
    text = f"{found.text} (error {found.number})" if found.number else found.text or "no answer"
    return kind(operation, text, for_user(remedy, credential.username))


def _tls_failure(error: ssl.SSLError, operation: str) -> DatabaseError:
    if isinstance(error, ssl.SSLCertVerificationError):
        remedy = HOST_NAME if error.verify_code in MISMATCHES else CERTIFICATE
        return Untrusted(operation, said(error.verify_message), remedy)
    text = said(error.reason or "the TLS handshake failed")
    if isinstance(error, ssl.SSLEOFError):
        return Unreachable(operation, f"the server closed the connection in the TLS handshake: {text}", NO_ANSWER)
    return Untrusted(operation, text, TLS_FAILED)


def for_user(remedy: str, username: str) -> str:
    """Return a remedy with the name of the user in it, quoted."""
    return remedy.replace("{user}", f"'{escape_string(username)}'")


def statement_failure(
    error: ServerError,
    operation: str,
    remedy: str,
    warnings: Callable[[], Sequence[ServerError]],
    rules: Callable[[], PasswordRules] = PasswordRules,
) -> DatabaseError:
    """Return what it means that a statement failed; `remedy` is what to do if the user may not run it.

    `warnings` and `rules` are what the server says of the statement, and asks of passwords.
    """
    number, text = error.number, error.text
    if number in LOST:
        return Unreachable(operation, text or "the connection was lost", NO_ANSWER)
    if number == SYNTAX_ERROR:  # its text quotes the statement
        return StatementFailed(operation, f"the statement has a syntax error (error {number})", "Correct the statement")
    is_read_only = number == OPTION_PREVENTS and "read" in error.raw
    if is_read_only or (number == ACL_FAILED and READ_ONLY_TABLE.search(error.raw)):
        return NotPermitted(operation, f"{text} (error {number})", REPLICA)
    if number == CANNOT_USER:  # the warnings say why
        causes = [warning for warning in warnings() if warning.number != CANNOT_USER]
        number = next((cause.number for cause in causes if cause.number in STATEMENT_PROBLEMS), number)
        text = "; ".join([text, *(cause.text for cause in causes)])
    otherwise: Problem = (StatementFailed, CORRECT_CAUSE)
    kind, usual = problem(STATEMENT_PROBLEMS, number, (NotPermitted, "") if number in FORBIDDEN else otherwise, remedy)
    if number in BREAKS_RULES:
        return rules().explain(PasswordRefused(operation, f"{text} (error {number})", usual), KIND)
    return kind(operation, f"{text} (error {number})", usual)
