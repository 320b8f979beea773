"""What do the answers of an Oracle server, and of its listener, mean, and what can be done about them?

An answer is recognised by its code, because servers say the rest in many languages. docs/answers/oracle.md lists all
that are known. An unknown code is an answer as well: of a login that is blocked, or of a statement that failed.
"""

import re
import ssl
from dataclasses import replace

import oracledb

from rotation.credential import Credential
from rotation.engines.driver import (
    ANOTHER_PASSWORD,
    CERTIFICATE,
    CORRECT_CAUSE,
    HOST_NAME,
    NO_ANSWER,
    NO_REDIRECT,
    POLICY,
    REPLICA,
    STARTING,
    TOO_MANY,
    UNKNOWN_SERVER,
    ExpectedError,
    Problem,
    find_lock_holder,
    problem,
)
from rotation.engines.oracle import verification
from rotation.engines.oracle.kind import KIND, normal_name
from rotation.engines.oracle.rights import identifier
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
from rotation.values import dataclass

# In remedies of this module, {user} stands for the quoted name of the login.

UNLOCK = (
    "Find out what locked the user: failed logins (UNIFIED_AUDIT_TRAIL, RETURN_CODE 1017), or an administrator. Then,"
    " as an admin, run: ALTER USER {user} ACCOUNT UNLOCK"
)
NEW_PASSWORD = (
    'Run as an admin: ALTER USER {user} IDENTIFIED BY "***". Write this password into the secret, as a new version, and'  # noqa: S105 - a remedy
    " rotate again"
)
BY_ITSELF = f"Use the single-user strategy, which changes an expired password by itself; or: {NEW_PASSWORD}"
ON_PRIMARY = 'Name the primary in "host": the password has expired, and a standby cannot store a new one'
NO_SESSION = "GRANT CREATE SESSION TO {user}"
RESTRICTED = (
    "End the restricted mode: ALTER SYSTEM DISABLE RESTRICTED SESSION (on RDS: EXEC"
    " rdsadmin.rdsadmin_util.restricted_session(p_enable => FALSE))"
)
ORDINARY_USER = "Put an ordinary user into the secret: SYS can log in as SYSDBA only"
LOGIN_TRIGGER = (
    "Correct, or disable, the trigger that fails at the login: one in DBA_TRIGGERS whose TRIGGERING_EVENT is LOGON."
    f" {RETRIED}"
)
ARCHIVER = f"Free space for the archived redo logs (on RDS: raise the allocated storage). {RETRIED}"
FILTERED = "Allow the function in the rules of the listener, or of the connection manager, that filter connections"
DIRECTORY = (
    'Correct "username" in the secret: the database has no such user with a password, and cannot ask its directory for'
    " it"
)
COMMON_USER = (
    "Put a local user of this database into the secret; or, unless this is RDS, name the service of the root container"
    ' in "dbname": only there can the password of a common user be changed'
)
HELD_BACK = (
    "Find out what logs in as this user with a wrong password, an application with an old one for example: the server"
    f" answers each such login up to 10 s later, and lets no other login of the user pass meanwhile. {RETRIED}"
)
KILLED = f"Find out who ended the session (ALTER SYSTEM KILL SESSION, or a limit of the profile). {RETRIED}"
SLOW = f"Find the session that holds a lock (V$LOCK), or make the statement faster. {RETRIED}"
FORBIDDEN_PART = (
    f"{ANOTHER_PASSWORD}. Add the names of the database and of its server to PASSWORD_FORBIDDEN_PARTS (parameter"
    " PasswordForbiddenParts)"
)
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

EXPIRED_CODE = "ORA-28001"
"""The password is right, and has expired: `rotation.engines.oracle.connection` renews it."""

LOGIN_PROBLEMS: dict[str, Problem] = {
    "ORA-01017": (LoginRefused, WRONG_PASSWORD),  # invalid credential or not authorized; logon denied
    "ORA-28000": (LoginBlocked, UNLOCK),  # the account is locked
    EXPIRED_CODE: (LoginBlocked, NEW_PASSWORD),
    "ORA-28032": (LoginBlocked, ON_PRIMARY),  # the password has expired and the database is set to read-only
    "ORA-01045": (LoginBlocked, NO_SESSION),
    "ORA-01035": (LoginBlocked, RESTRICTED),
    "ORA-28009": (LoginBlocked, ORDINARY_USER),
    "ORA-28030": (LoginBlocked, DIRECTORY),
    "ORA-28040": (LoginBlocked, OLD_VERIFIER),  # no matching authentication protocol
    "DPY-3015": (LoginBlocked, OLD_VERIFIER),  # password verifier type is not supported
    "ORA-12650": (LoginBlocked, NATIVE_ENCRYPTION),  # no common encryption or data integrity algorithm
    "ORA-12660": (LoginBlocked, NATIVE_ENCRYPTION),
    "DPY-3001": (LoginBlocked, NATIVE_ENCRYPTION),
    "DPY-3010": (LoginBlocked, "Upgrade the database: this client needs Oracle 12.1 or later"),
    "ORA-12514": (LoginBlocked, NO_SERVICE),
    "DPY-6001": (LoginBlocked, NO_SERVICE),  # the client's number for the same
    "ORA-12505": (LoginBlocked, NO_SERVICE),
    "DPY-6003": (LoginBlocked, NO_SERVICE),
    "ORA-12521": (LoginBlocked, NO_SERVICE),
    "ORA-00018": (LoginBlocked, TOO_MANY),
    "ORA-00020": (LoginBlocked, TOO_MANY),
    "ORA-02391": (LoginBlocked, TOO_MANY),  # SESSIONS_PER_USER
    "ORA-12516": (LoginBlocked, TOO_MANY),
    "ORA-12518": (LoginBlocked, TOO_MANY),
    "ORA-12519": (LoginBlocked, TOO_MANY),
    "ORA-12520": (LoginBlocked, TOO_MANY),
    "ORA-12526": (LoginBlocked, RESTRICTED),
    "ORA-12527": (LoginBlocked, RESTRICTED),
    "ORA-12528": (LoginBlocked, STARTING),
    "ORA-12529": (LoginBlocked, FILTERED),
    "ORA-01033": (LoginBlocked, STARTING),
    "ORA-01034": (LoginBlocked, STARTING),
    "ORA-01089": (LoginBlocked, STARTING),
    "ORA-01090": (LoginBlocked, STARTING),
    "ORA-01092": (LoginBlocked, STARTING),
    "ORA-01109": (LoginBlocked, STARTING),
    "ORA-27101": (LoginBlocked, STARTING),
    "ORA-00257": (LoginBlocked, ARCHIVER),
    "ORA-00604": (LoginBlocked, LOGIN_TRIGGER),
    "ORA-04088": (LoginBlocked, LOGIN_TRIGGER),  # error during execution of trigger
    "ORA-04098": (LoginBlocked, LOGIN_TRIGGER),  # the trigger is invalid
    "ORA-00028": (LoginBlocked, KILLED),
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
    "ORA-65066": (StatementFailed, COMMON_USER),  # the specified changes must apply to all containers
    "ORA-00054": (StatementFailed, LOCKED),
    "ORA-04020": (StatementFailed, LOCKED),
    "ORA-04021": (StatementFailed, LOCKED),
    "ORA-30006": (StatementFailed, LOCKED),
    "ORA-00060": (StatementFailed, RETRIED),  # deadlock detected
    "ORA-01013": (StatementFailed, SLOW),  # user requested cancel of current operation
    "DPY-4024": (StatementFailed, SLOW),  # the server has confirmed that it was cancelled
    "ORA-00028": (StatementFailed, KILLED),
    "ORA-02396": (StatementFailed, KILLED),  # exceeded maximum idle time
    "DPY-4033": (StatementFailed, KILLED),  # the client's number for the same
    "ORA-01012": (Unreachable, STARTING),  # not logged on: the instance ends
    "ORA-01033": (Unreachable, STARTING),
    "ORA-01034": (Unreachable, STARTING),
    "ORA-01089": (Unreachable, STARTING),
    "ORA-01092": (Unreachable, STARTING),
}
"""What an error of a statement means; the remedy is that of who sent it if it is empty."""

REUSED = frozenset({"ORA-28007"})
"""The profile does not allow a password a second time: an earlier invocation can have set it."""

VERIFIED = frozenset({"ORA-28003", "ORA-28219"})
"""A verify function has refused the password; its text says why."""

TLS_PROBLEMS: dict[str, tuple[str, str]] = {
    "HANDSHAKE_FAILURE": ("server and function have no cipher suite in common", CIPHER_SUITE),
    "PROTOCOL_VERSION": ("server and function have no version of TLS in common", TLS_VERSION),
    "UNSUPPORTED_PROTOCOL": ("server and function have no version of TLS in common", TLS_VERSION),
}
"""How OpenSSL's reason ends if the server speaks TLS, but not as `tls_context` wants it. We stay strict: with the suite
that RDS presets, somebody who records the traffic now can read all of it later, with the server's key."""

LOST = frozenset({"DPY-1001", "DPY-4011", "DPY-6005"})
"""The client's numbers for a connection that was lost, or not made. If the server said why, its code comes behind."""
SAYS_NOTHING = frozenset({"ORA-03113", "ORA-03114", "ORA-03135", "ORA-12153", "ORA-12537", "ORA-12547", "ORA-12570"})
"""Codes behind those of the client that say nothing more: there was no answer."""
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
        # The client puts a code of its own before some of the server's, which count if they say why.
        is_told = len(codes) > 1 and codes[0] in LOST and codes[1] not in SAYS_NOTHING
        codes = codes[1:] if is_told else codes
        return cls(codes[0] if codes else "", said("\n".join(lines)), error, tuple(codes))

    @property
    def is_no_answer(self) -> bool:
        """Whether somebody answered a login, or hung up, and not in Oracle's protocol, or not with TLS."""
        match self.cause:
            case ConnectionRefusedError() | TimeoutError() | UnexpectedRedirect() | ssl.SSLCertVerificationError():
                return False
            case OSError():
                return True
        return self.code == "DPY-4011"

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
            return tls_failure(getattr(error.cause, "reason", "") or error.text, operation)
        case UnexpectedRedirect():
            cause = "the listener, or the host's name, redirects the function to another place"
            return LoginBlocked(operation, cause, NO_REDIRECT)
        case InvalidAnswer():
            return Unreachable(operation, f"the answer is not that of an Oracle server: {error.text}", UNKNOWN_SERVER)
    similar = SIMILAR.search(str(error.cause))
    code = similar[1] if similar and error.code not in LOGIN_PROBLEMS else error.code
    if not code or code in LOST | SAYS_NOTHING:
        return Unreachable(operation, error.text or _silence(error), _check_port(error, credential))
    kind, remedy = problem(LOGIN_PROBLEMS, code, (LoginBlocked, _unknown(code)))
    return kind(operation, error.text, _named(remedy, credential))


def _unknown(code: str) -> str:
    return LOGIN_TRIGGER if code in REFUSED_BY_TRIGGER else CORRECT_CAUSE


def change_failure(error: ServerError, credential: Credential, operation: str) -> DatabaseError:
    """Return what an error means that ended a login with a new password."""
    found = error.of_statement()
    if found.code in STATEMENT_PROBLEMS.keys() - LOGIN_PROBLEMS.keys():
        return statement_failure(found, operation, "")
    return login_failure(error, credential, operation)


def held_back(seconds: float, operation: str) -> LoginBlocked:
    """Return the failure of a login to a server that has answered, and then did not end the login."""
    cause = f"the server has answered, but did not finish the login within {seconds:.0f} s"
    return LoginBlocked(operation, cause, HELD_BACK)


def not_renewed(refused: ExpectedError | PasswordRefused, credential: Credential, operation: str) -> LoginBlocked:
    """Return why a password that has expired cannot be renewed by itself."""
    why = refused.cause if isinstance(refused, PasswordRefused) else str(refused.code)
    cause = f"the password is right, and has expired ({EXPIRED_CODE}); the server does not take it once more: {why}"
    return LoginBlocked(operation, cause, _named(BY_ITSELF, credential))


def _named(remedy: str, credential: Credential) -> str:
    return remedy.replace("{user}", identifier(normal_name(credential.username)))


def statement_failure(error: ServerError, operation: str, remedy: str) -> DatabaseError:
    """Return what an error means that ended a statement; `remedy` counts if the user lacks a right."""
    if error.code in LOST or isinstance(error.cause, OSError):
        return Unreachable(operation, error.text or WAS_LOST, NO_ANSWER)
    if error.code in QUOTES_STATEMENT:
        return StatementFailed(operation, f"the statement has a syntax error ({error.code})", "Correct the statement")
    otherwise = (StatementFailed, CORRECT_CAUSE)
    kind, known = problem(STATEMENT_PROBLEMS, error.code, otherwise, remedy)
    if error.code in VERIFIED:
        if verification.finds_name(error.text):
            return PasswordRefused(operation, error.text, FORBIDDEN_PART)
        return verification.rules(error.text).explain(PasswordRefused(operation, error.text, known), KIND)
    return kind(operation, error.text, known)


def _check_port(error: ServerError, credential: Credential) -> str:
    """Return the remedy for a server that gives no answer.

    A listener without TLS closes the connection if the client begins with TLS; one with TLS closes all others.
    """
    was_closed = isinstance(error.cause, ConnectionError) or error.code in LOST
    if not was_closed or isinstance(error.cause, ConnectionRefusedError | TimeoutError):
        return NO_ANSWER
    if credential.tls:
        return f"{NO_ANSWER}. {TLS_PORT}"
    return f'{NO_ANSWER}. Say "ssl": true if the port is for TLS. {NATIVE_ENCRYPTION}'


def _silence(error: ServerError) -> str:
    return "the server gave no answer in time" if isinstance(error.cause, TimeoutError) else WAS_LOST


def tls_failure(reason: str, operation: str) -> Untrusted:
    """Return what it means that TLS did not begin, by OpenSSL's reason."""
    for end, (cause, remedy) in TLS_PROBLEMS.items():
        if reason.endswith(end):
            return Untrusted(operation, f"{cause} ({reason})", remedy)
    return Untrusted(operation, f"the port does not speak TLS: {reason}", TLS_PORT)
