"""What do the error codes of Oracle and of its client mean, and what can be done about them?"""

import re
import ssl
from dataclasses import dataclass, replace

import oracledb

from rotation.credential import Credential
from rotation.engines.driver import (
    ANOTHER_PASSWORD,
    CERTIFICATE,
    CORRECT_CAUSE,
    EXPIRED,
    HOST_NAME,
    NO_ANSWER,
    NO_REDIRECT,
    POLICY,
    REPLICA,
    STARTING,
    TOO_MANY,
    UNKNOWN_SERVER,
    Problem,
    find_lock_holder,
    problem,
)
from rotation.engines.oracle import verification
from rotation.engines.oracle.kind import KIND
from rotation.engines.oracle.wire import InvalidAnswer, UnexpectedRedirect
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
    Untrusted,
)
from rotation.redaction import said

UNLOCK = "Unlock the user (ALTER USER … ACCOUNT UNLOCK), and find out what locked it"
NO_SERVICE = 'Correct "dbname" in the secret: a service name that the listener knows, or an SID. On RDS: the DB name'
OLD_VERIFIER = (
    "Set the user's password again, so that it gets a verifier that this client knows (SQLNET.ALLOWED_LOGON_VERSION_…)"
)
NATIVE_ENCRYPTION = (
    "Use TLS (on RDS: the option SSL), and do not require native network encryption at the server"
    " (SQLNET.ENCRYPTION_SERVER, SQLNET.CRYPTO_CHECKSUM_SERVER): this client does not support it"
)
TLS_PORT = (
    'Write the TLS port into the secret (on RDS: that of the option SSL, 2484 by default), or say "ssl": false to send'
    " statements in clear"
)
CIPHER_SUITE = (
    "Enable a cipher suite with ECDHE, and with SHA256 or SHA384, at the server (on RDS: set SQLNET.CIPHER_SUITE of the"
    " option SSL to TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, for example)"
)
TLS_VERSION = "Enable TLS 1.2 at the server (on RDS: set SQLNET.SSL_VERSION of the option SSL to 1.2)"
TOO_LONG = (
    "Shorten the user's name or the password. Names can have 128 bytes, suffix included, and 30 before 12.2. Passwords"
    " can have 30 before 23ai: lower PASSWORD_LENGTH"
)
LOCKED = find_lock_holder("V$LOCK")

LOGIN_PROBLEMS: dict[str, Problem] = {
    "ORA-01017": (LoginRefused, WRONG_PASSWORD),  # invalid credential or not authorized; logon denied
    "ORA-01005": (LoginRefused, WRONG_PASSWORD),  # null password given
    "ORA-28000": (LoginBlocked, UNLOCK),  # the account is locked
    "ORA-28001": (LoginBlocked, EXPIRED),
    "ORA-28032": (LoginBlocked, "Give the user a new password on the primary: it has expired"),
    "ORA-01045": (LoginBlocked, "GRANT CREATE SESSION to the user"),
    "ORA-01035": (LoginBlocked, "End the restricted mode of the database"),
    "ORA-28009": (LoginBlocked, "Put an ordinary user into the secret: SYS can log in as SYSDBA only"),
    "ORA-28040": (LoginBlocked, OLD_VERIFIER),  # no matching authentication protocol
    "DPY-3015": (LoginBlocked, OLD_VERIFIER),  # password verifier type is not supported
    "ORA-12660": (LoginBlocked, NATIVE_ENCRYPTION),
    "DPY-3001": (LoginBlocked, NATIVE_ENCRYPTION),
    "DPY-3010": (LoginBlocked, "Upgrade the database: this client needs Oracle 12.1 or later"),
    "ORA-12514": (LoginBlocked, NO_SERVICE),
    "DPY-6001": (LoginBlocked, NO_SERVICE),  # the client's number for the same
    "ORA-12505": (LoginBlocked, NO_SERVICE),
    "DPY-6003": (LoginBlocked, NO_SERVICE),
    "ORA-00018": (LoginBlocked, TOO_MANY),
    "ORA-00020": (LoginBlocked, TOO_MANY),
    "ORA-02391": (LoginBlocked, TOO_MANY),  # SESSIONS_PER_USER
    "ORA-12516": (LoginBlocked, TOO_MANY),
    "ORA-12519": (LoginBlocked, TOO_MANY),
    "ORA-12520": (LoginBlocked, TOO_MANY),
    "ORA-12526": (LoginBlocked, "End the restricted mode of the database"),
    "ORA-12528": (LoginBlocked, STARTING),
    "ORA-01033": (LoginBlocked, STARTING),
    "ORA-01034": (LoginBlocked, STARTING),
    "ORA-01089": (LoginBlocked, STARTING),
    "ORA-01090": (LoginBlocked, STARTING),
    "ORA-16000": (LoginBlocked, "Set ADG_ACCOUNT_INFO_TRACKING to GLOBAL on the standby, or rotate on the primary"),
    "DPY-6002": (Untrusted, CERTIFICATE),
    "DPY-6006": (Untrusted, HOST_NAME),
}
"""Why a login fails (https://docs.oracle.com/en/error-help/db/; DPY-… are the client's own numbers,
https://python-oracledb.readthedocs.io/en/latest/user_guide/troubleshooting.html)."""

STATEMENT_PROBLEMS: dict[str, Problem] = {
    "ORA-01031": (NotPermitted, ""),  # insufficient privileges
    "ORA-41900": (NotPermitted, ""),  # the same, with more details (23ai)
    "ORA-01749": (NotPermitted, ""),  # you may not GRANT/REVOKE privileges to/from yourself
    "ORA-01720": (NotPermitted, ""),  # grant option does not exist
    "ORA-01927": (NotPermitted, ""),  # cannot REVOKE privileges you did not grant
    "ORA-01929": (NotPermitted, ""),  # no privileges to GRANT
    "ORA-01932": (NotPermitted, ""),  # ADMIN option not granted for role
    "ORA-06550": (NotPermitted, ""),  # PLS-00201, identifier must be declared: no EXECUTE on the package
    "ORA-16000": (NotPermitted, REPLICA),
    "ORA-28003": (PasswordRefused, POLICY),  # password verification for the specified password failed
    "ORA-28007": (PasswordRefused, ANOTHER_PASSWORD),  # the password cannot be reused
    "ORA-28219": (PasswordRefused, POLICY),  # the mandatory profile's verification failed
    "ORA-00988": (PasswordRefused, POLICY),  # missing or invalid password
    "ORA-00972": (StatementFailed, TOO_LONG),  # identifier is too long: names and passwords are identifiers
    "ORA-28008": (StatementFailed, f"Check whether another rotation changed the password meanwhile. {RETRIED}"),
    "ORA-00054": (StatementFailed, LOCKED),
    "ORA-04020": (StatementFailed, LOCKED),
    "ORA-04021": (StatementFailed, LOCKED),
}

VERIFIED = frozenset({"ORA-28003", "ORA-28219"})
"""A verify function has refused the password; its text says why."""

TLS_PROBLEMS: dict[str, tuple[str, str]] = {
    "HANDSHAKE_FAILURE": ("server and function have no cipher suite in common", CIPHER_SUITE),
    "PROTOCOL_VERSION": ("server and function have no version of TLS in common", TLS_VERSION),
    "UNSUPPORTED_PROTOCOL": ("server and function have no version of TLS in common", TLS_VERSION),
}
"""How OpenSSL's reason ends if the server speaks TLS, but not as `tls_context` wants it. We stay strict: with the suite
that RDS presets, somebody who records the traffic now can read all of it later, with the server's key."""

LOST = frozenset({"DPY-1001", "DPY-4011", "DPY-4024", "DPY-4033", "ORA-00028", "ORA-01012", "ORA-03113", "ORA-03135"})
"""The connection was lost, or there was no answer in time."""
WAS_LOST = "the connection was lost"

QUOTES_STATEMENT = frozenset({"ORA-03048", "ORA-03049", "ORA-03050"})
"""Syntax errors of 23ai, whose text repeats a part of the statement."""

BEHIND = frozenset({"ORA-00604", "ORA-04088"})
"""An error in a statement that another one caused, or in a trigger: what happened is in the code behind."""

REFUSED_BY_TRIGGER = frozenset(f"ORA-{number}" for number in range(20_000, 21_000))
"""The numbers that code can raise by itself, with RAISE_APPLICATION_ERROR, as RDS does in its trigger on DDL."""

CODE = re.compile(r"\b(?:ORA|DPY|TNS)-\d{4,5}\b")
SIMILAR = re.compile(r"\(Similar to (ORA-\d{5})\)")


@dataclass(frozen=True)
class ServerError:
    """An error of the server or of the client, as read from the client."""

    code: str
    """ORA-01017, DPY-6005: empty if there is none."""
    text: str
    cause: BaseException | None = None
    codes: tuple[str, ...] = ()
    """All codes, the first of each line."""

    @classmethod
    def read(cls, error: BaseException) -> "ServerError":
        """Read an error of the client; if it could not connect, the reason is in the error behind it."""
        cause = error.__cause__
        if isinstance(cause, oracledb.Error) or (cause and isinstance(error, oracledb.Error)):
            return cls.read(cause)
        lines = [line for line in str(error).splitlines() if not line.startswith("Help: ")]
        codes = [code for line in lines for code in CODE.findall(line)[:1]]
        # The client puts a code of its own before some of the server's: of a lost connection, that one counts.
        return cls(codes[0] if codes else "", said("\n".join(lines)), error, tuple(codes))

    def of_statement(self) -> "ServerError":
        """Return the same with the code that says why a statement failed. A login's code stays: what a logon trigger
        met elsewhere, a wrong password for example, says nothing about this login."""  # noqa: D205, D209 - two facts
        return replace(self, code=next((code for code in self.codes if code not in BEHIND), self.code))


def login_failure(error: ServerError, credential: Credential, operation: str) -> DatabaseError:
    """Return what an error means that ended a login."""
    match error.cause:
        case ssl.SSLCertVerificationError():
            return Untrusted(operation, getattr(error.cause, "verify_message", "") or error.text, CERTIFICATE)
        case ssl.SSLError():
            return _tls_failure(getattr(error.cause, "reason", "") or error.text, operation)
        case UnexpectedRedirect():
            cause = "the listener, or the host's name, redirects the function to another place"
            return LoginBlocked(operation, cause, NO_REDIRECT)
        case InvalidAnswer():
            return Unreachable(operation, f"the answer is not that of an Oracle server: {error.text}", UNKNOWN_SERVER)
    similar = SIMILAR.search(str(error.cause))
    code = similar[1] if similar and error.code not in LOGIN_PROBLEMS else error.code
    kind, remedy = problem(LOGIN_PROBLEMS, code, (Unreachable, _check_port(error, credential)))
    return kind(operation, error.text or _silence(error), remedy)


def statement_failure(error: ServerError, operation: str, remedy: str) -> DatabaseError:
    """Return what an error means that ended a statement; `remedy` counts if the user lacks a right."""
    if error.code in LOST or isinstance(error.cause, OSError):
        return Unreachable(operation, error.text or WAS_LOST, NO_ANSWER)
    if error.code in QUOTES_STATEMENT:
        return StatementFailed(operation, f"the statement has a syntax error ({error.code})", "Correct the statement")
    otherwise = (StatementFailed, CORRECT_CAUSE)
    kind, known = problem(STATEMENT_PROBLEMS, error.code, otherwise, remedy)
    if error.code in VERIFIED:
        return verification.rules(error.text).explain(PasswordRefused(operation, error.text, known), KIND)
    return kind(operation, error.text, known)


def _check_port(error: ServerError, credential: Credential) -> str:
    """Return the remedy for a server that gives no answer.

    A listener without TLS closes the connection if the client begins with TLS; one with TLS closes all others.
    """
    was_closed = isinstance(error.cause, ConnectionError) or error.code in LOST
    if not was_closed or isinstance(error.cause, ConnectionRefusedError | TimeoutError):
        return NO_ANSWER
    return f"{NO_ANSWER}. {TLS_PORT}" if credential.tls else f'{NO_ANSWER}. Say "ssl": true if the port is for TLS'


def _silence(error: ServerError) -> str:
    return "the server gave no answer in time" if isinstance(error.cause, TimeoutError) else WAS_LOST


def _tls_failure(reason: str, operation: str) -> Untrusted:
    for end, (cause, remedy) in TLS_PROBLEMS.items():
        if reason.endswith(end):
            return Untrusted(operation, f"{cause} ({reason})", remedy)
    return Untrusted(operation, f"the port does not speak TLS: {reason}", TLS_PORT)
