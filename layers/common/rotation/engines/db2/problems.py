"""What do the answers of a Db2 server, and of IBM's client before it, mean, and what can be done about them?

An answer is recognised by its SQLCODE, and a refused login by the reason in SQL30082N. The words are the client's own,
which has them in English only. docs/answers/db2.md lists them all; IBM's lists are
https://www.ibm.com/docs/en/db2/11.5?topic=messages-sql and …?topic=messages-sql30000-sql30999.
"""

import re
from collections.abc import Mapping
from typing import Final

from rotation.credential import Credential
from rotation.engines.db2.client import CLIENT_CODE, ServerError
from rotation.engines.db2.kind import granted
from rotation.engines.driver import (
    BUSY,
    CERTIFICATE,
    CORRECT_CAUSE,
    EXPIRED,
    HOST_NAME,
    NO_ANSWER,
    NO_BUNDLE,
    POLICY,
    REPLICA,
    STARTING,
    TOO_MANY,
    WRONG_DATABASE,
    Problem,
    find_lock_holder,
    lacks_right,
    problem,
)
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

# In remedies of this module, {user} stands for the name of the user.

NO_TLS = (
    'Write the TLS port of the server into "port" (on RDS: the parameter ssl_svcename), or write "ssl": false into'
    " the secret to send everything in clear"
)
NO_CONNECT = "GRANT CONNECT ON DATABASE TO USER {user}, or to a group or role of the user"
NOT_NOW = f"Check the state of the database. {RETRIED}"
DISABLED = "Enable the user, and find out what disabled it"
LICENSE = "Correct the license of the server, or of the client"
LOCKED = find_lock_holder("MON_GET_APPL_LOCKWAIT")
BY_ADMIN = 'Name an admin in "masterarn", who sets the password'
OTHER_PASSWORD = f'{POLICY}, or name an admin in "masterarn", who sets the password'
WRONG_HOST = 'Correct "host" in the secret, or the DNS of the function\'s VPC'
RENEW = f"{EXPIRED} (CALL RDSADMIN.CHANGE_PASSWORD('{{user}}', '…'), in the database RDSADMIN)"
QUIESCED = f"Run UNQUIESCE DATABASE, or wait: only administrators can connect now. {RETRIED}"
FULL_LOG = "Make room in the transaction log of the database, or end the oldest transaction"
PLUGIN = "Set the server's authentication (SRVCON_AUTH) to SERVER: it asks for another method than a password"

LOGIN_PROBLEMS: Final[Mapping[int, Problem]] = {
    -1336: (Unreachable, WRONG_HOST),
    -30081: (Unreachable, NO_ANSWER),
    -20576: (Untrusted, HOST_NAME),
    -10013: (Untrusted, NO_BUNDLE),
    -1403: (LoginRefused, WRONG_PASSWORD),
    -1404: (LoginBlocked, RENEW),
    -1013: (LoginBlocked, WRONG_DATABASE),
    -1031: (LoginBlocked, WRONG_DATABASE),
    -30061: (LoginBlocked, WRONG_DATABASE),
    -1060: (LoginBlocked, NO_CONNECT),
    -30060: (LoginBlocked, NO_CONNECT),
    -1040: (LoginBlocked, TOO_MANY),
    -1226: (LoginBlocked, TOO_MANY),
    -1245: (LoginBlocked, TOO_MANY),
    -1643: (LoginBlocked, TOO_MANY),
    -1084: (LoginBlocked, BUSY),
    -1220: (LoginBlocked, BUSY),
    -1225: (LoginBlocked, BUSY),
    -1589: (LoginBlocked, BUSY),
    -1035: (LoginBlocked, BUSY),
    -1762: (LoginBlocked, FULL_LOG),
    -1032: (LoginBlocked, STARTING),
    -1224: (LoginBlocked, STARTING),
    -6036: (LoginBlocked, STARTING),
    -1015: (LoginBlocked, NOT_NOW),
    -1034: (LoginBlocked, NOT_NOW),
    -1042: (LoginBlocked, NOT_NOW),
    -1116: (LoginBlocked, NOT_NOW),
    -1117: (LoginBlocked, NOT_NOW),
    -1118: (LoginBlocked, NOT_NOW),
    -1119: (LoginBlocked, NOT_NOW),
    -1120: (LoginBlocked, NOT_NOW),
    -1573: (LoginBlocked, NOT_NOW),
    -1402: (LoginBlocked, NOT_NOW),
    -20157: (LoginBlocked, QUIESCED),
    -1776: (LoginBlocked, REPLICA),
    -8002: (LoginBlocked, LICENSE),
    -1598: (LoginBlocked, LICENSE),
}
"""What the code of a refused connection means. -1643 is in
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/db2-troubleshooting.html. Other codes of the server mean: not
now."""

REASON_PROBLEMS: Final[Mapping[str, Problem]] = {
    "1": (LoginBlocked, RENEW),
    "2": (LoginRefused, WRONG_PASSWORD),
    "6": (LoginRefused, WRONG_PASSWORD),
    "7": (LoginBlocked, DISABLED),
    "9": (LoginBlocked, DISABLED),
    "15": (LoginBlocked, NOT_NOW),
    "17": (LoginBlocked, PLUGIN),
    "19": (LoginBlocked, DISABLED),
    "21": (LoginBlocked, BUSY),
    "24": (LoginRefused, WRONG_PASSWORD),
    "25": (LoginBlocked, NO_CONNECT),
    "26": (LoginBlocked, NOT_NOW),
}
"""What the reason in SQL30082N means. Only 24, 2 and 6 mean that user or password are wrong; Db2 for Linux says 24. 15
means that the server could not find out."""

REASON = re.compile(r'reason\s+"(\d+)"')
SECURITY_FAILED, CHANGE_FAILED = -30082, -30083

HAS_EXPIRED = re.compile(r'SQL30082N .*reason\s+"1"|SQL1404N')
"""How the cause of an error reads if the password has expired."""

NEW_PASSWORD_INVALID: Final = frozenset({(CHANGE_FAILED, "2"), (SECURITY_FAILED, "16")})
"""The new password breaks the server's rules, according to IBM's messages for these reasons; 17 means that no password
can be changed. RDS does not document which of them its servers answer. So this is not a PasswordRefused, which would be
final."""

TLS_HANDSHAKE = "sqlccSSLSocketSetup"
GSKIT = re.compile(r'specific error code\(s\):\s+"(\d+)"')
CERTIFICATE_ERRORS: Final = frozenset({"401", "402", "414", "415", "431", "433", "434"})
"""GSKit's error codes about certificates (https://www.ibm.com/docs/en/ibm-mq/9.3?topic=codes-gskit-return)."""

NO_FILE = "HY507"
"""The SQLSTATE of the client's CLI0157E: the file cannot be opened."""

STATEMENT_PROBLEMS: Final[Mapping[int, Problem]] = {
    -551: (NotPermitted, ""),
    -552: (NotPermitted, ""),
    -1060: (NotPermitted, ""),
    -1092: (NotPermitted, ""),
    -438: (StatementFailed, CORRECT_CAUSE),  # a procedure says why, as those of RDSADMIN do
    -911: (StatementFailed, LOCKED),
    -913: (StatementFailed, LOCKED),
    -952: (StatementFailed, BUSY),
    -964: (StatementFailed, FULL_LOG),
    -968: (StatementFailed, "Make room in the file system of the database"),
    -289: (StatementFailed, "Make room in the table space"),
    -1218: (StatementFailed, BUSY),
    -1229: (StatementFailed, RETRIED),
    -1773: (NotPermitted, REPLICA),
    -1776: (NotPermitted, REPLICA),
    -30081: (Unreachable, NO_ANSWER),
    -1224: (Unreachable, STARTING),
    -30108: (Unreachable, NO_ANSWER),
}
"""What the code of a refused statement means. With -30108, the client reconnected, and the transaction is lost. On Db2
for z/OS, -567 and -553 are about rights. Here they say that a name is not valid (SQL0567N, SQL0553N)."""

SYNTAX_ERROR: Final = -104


def is_answer(error: ServerError) -> bool:
    """Tell whether somebody has answered a login as a server of Db2 does. Others have certificates, too."""
    return _login_problem(error, is_change=False)[0] is not Unreachable and TLS_HANDSHAKE not in error.text


def login_failure(error: ServerError, credential: Credential, operation: str, *, is_change: bool) -> DatabaseError:
    """Return what a failed login means; `is_change` tells whether the login was to change the password."""
    kind, remedy = _login_problem(error, is_change=is_change)
    text = credential.username.replace("'", "''")
    remedy = remedy.replace("'{user}'", f"'{text}'").replace("{user}", granted(credential.username))
    return kind(operation, said(error.text) or "the client gave no reason", remedy)


def _login_problem(error: ServerError, *, is_change: bool) -> Problem:
    found = REASON.search(error.text)
    reason = found[1] if found else ""
    if error.code == CHANGE_FAILED or (is_change and error.code == SECURITY_FAILED):
        # The same password logged in a moment ago. A server that never changes passwords has several codes for that. If
        # the server refuses only this password, the admin gets an error, too.
        is_invalid = (error.code, reason) in NEW_PASSWORD_INVALID
        return NotPermitted, OTHER_PASSWORD if is_invalid else BY_ADMIN
    if error.code == SECURITY_FAILED:
        return problem(REASON_PROBLEMS, reason, (LoginBlocked, NOT_NOW))
    if TLS_HANDSHAKE in error.text:
        number = GSKIT.search(error.text)
        return Untrusted, CERTIFICATE if number and number[1] in CERTIFICATE_ERRORS else NO_TLS
    if (error.code, error.state) == (CLIENT_CODE, NO_FILE):
        return Untrusted, NO_BUNDLE
    usual: Problem = (Unreachable, NO_ANSWER) if error.code == CLIENT_CODE else (LoginBlocked, NOT_NOW)
    return problem(LOGIN_PROBLEMS, error.code, usual)


def statement_failure(error: ServerError, operation: str, username: str, remedy: str) -> DatabaseError:
    """Return what a failed statement means; `remedy` counts if the table has none."""
    if error.code == SYNTAX_ERROR:  # the server quotes the statement
        return StatementFailed(
            f"{operation} as {username}", "the statement has a syntax error (SQL0104N)", "Correct the statement"
        )
    kind, known = problem(STATEMENT_PROBLEMS, error.code, (StatementFailed, ""), remedy)
    usual = lacks_right(username) if kind is NotPermitted else CORRECT_CAUSE
    return kind(f"{operation} as {username}", said(error.text) or "the connection was lost", known or usual)
