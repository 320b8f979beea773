"""Which causes have MySQL and MariaDB?"""

import struct
from collections.abc import Callable
from dataclasses import replace

from rotation.errors import (
    InvalidConfiguration,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    PasswordRefused,
    RightsDiffer,
    RotationError,
    Unreachable,
    Unsafe,
    Unsupported,
    Untrusted,
)
from rotation.steps import Step
from tests.contract.causes.kit import DUAL, SINGLE, Case, Cause
from tests.contract.impostor import Line, Talk, packet
from tests.contract.mysql_kit import account, alter, setting
from tests.contract.pairs import changed, new_pair
from tests.laboratories import INVOICES
from tests.laboratories.mysql import quoted

MYSQL, MARIADB = "mysql", "mariadb"
LOGIN = "logging in as {user} at {host}"
UNBLOCKED = 1129
UNBLOCK = "TRUNCATE TABLE performance_schema.host_cache"


def user(case: Case, change: str) -> None:
    """Change the account of the user."""
    alter(case.laboratory, f"ALTER USER {account(case.user)} {change}")


def greeted(number: int) -> Talk:
    """Answer a connection with an error."""

    def talk(line: Line) -> None:
        line.say(packet(0, b"\xff" + struct.pack("<H", number) + b"#HY000said the server"))

    return talk


def blocked(case: Case) -> None:
    """Let a wrong password block the account."""
    user(case, "FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME UNBOUNDED")
    case.laboratory.logs_in(changed(case.user))


def used_up(case: Case) -> None:
    """Let the account log in as often as it may."""
    user(case, "WITH MAX_CONNECTIONS_PER_HOUR 1")
    case.laboratory.logs_in(case.user)


def lost(case: Case) -> None:
    """Let nothing that the secret holds log in."""
    case.laboratory.change_password(changed(case.user))


def only_from_elsewhere(case: Case) -> None:
    """Let the account be for other hosts."""
    alter(case.laboratory, f"RENAME USER {account(case.user)} TO {account(case.user, '10.%')}")


def set_up(case: Case, name: str, value: str) -> None:
    """Change a setting of the server."""
    case.during(setting(case.laboratory, name, value))


def read_only(case: Case) -> None:
    """Let nobody write."""
    alter(case.laboratory, "SET GLOBAL super_read_only = ON")
    case.stack.callback(alter, case.laboratory, "SET GLOBAL read_only = OFF")


def without_tls(case: Case) -> None:
    """Let the server want TLS, and the secret none."""
    set_up(case, "require_secure_transport", "ON")
    case.use(tls=False)


def strict(case: Case) -> None:
    """Let the server ask for digits, and the function make none."""
    case.during(case.laboratory.password_policy(case.user.username))
    case.patch.setenv("EXCLUDE_NUMBERS", "true")


def weak(case: Case) -> None:
    """Let the server's policy refuse the staged password."""
    case.during(case.laboratory.password_policy(case.user.username))
    case.stage("weak-1")


def had(case: Case) -> None:
    """Stage a password that the user has had."""
    former, now = case.user.password, changed(case.user)
    user(case, f"IDENTIFIED BY {quoted(former)} PASSWORD HISTORY 5")
    user(case, f"IDENTIFIED BY {quoted(now.password)}")
    case.use(password=now.password)
    case.stage(former)


def stranger(case: Case) -> None:
    """Make a user of the clone's name."""
    case.laboratory.new_user(f"{case.user.username}_clone")
    case.pair()


def unequal(case: Case) -> None:
    """Make a pair of which the other one has more."""
    _, clone = new_pair(case.laboratory, case.user)
    case.laboratory.allow(clone.username, INVOICES)
    case.pair()


def locked(case: Case) -> None:
    """Make a pair of which the other one is locked."""
    _, clone = new_pair(case.laboratory, case.user)
    case.laboratory.lock_user(clone.username)
    case.pair()


def long_name(case: Case) -> None:
    """Put a name into the secret that leaves no room for a clone's."""
    case.use(username="a" * 30)
    case.pair()


def weak_admin(case: Case) -> None:
    """Name an admin that may do nothing."""
    case.pair(case.laboratory.new_user())


def without_password(case: Case) -> None:
    """Let no password log in to the account."""
    user(case, "IDENTIFIED VIA unix_socket")


def other_plugin(case: Case) -> None:
    """Give the account a plugin that the client lacks."""
    alter(case.laboratory, "INSTALL SONAME 'auth_parsec'")
    case.stack.callback(alter, case.laboratory, "UNINSTALL SONAME 'auth_parsec'")
    user(case, f"IDENTIFIED VIA parsec USING PASSWORD({quoted(case.user.password)})")
    case.stack.callback(alter, case.laboratory, f"DROP USER {account(case.user)}")


def too_many_wrong(case: Case) -> None:
    """Let wrong passwords block the account."""
    set_up(case, "max_password_errors", "1")
    case.laboratory.logs_in(changed(case.user))


def _login(  # noqa: PLR0913, PLR0917 - a row of the table
    engine: str,
    name: str,
    make: Callable[[Case], object],
    cause: str,
    remedy: str,
    error: type[RotationError] = LoginBlocked,
    step: Step = Step.SET,
) -> Cause:
    return Cause(engine, name, make, step, error, (LOGIN, cause, remedy))


def _early(number: int, remedy: str) -> Cause:
    def make(case: Case) -> None:
        case.answers(greeted(number))

    row = _login(MYSQL, f"error {number} before the login", make, f"error {number}", remedy, step=Step.CREATE)
    return replace(row, thorough=number != UNBLOCKED)


def _found(  # noqa: PLR0913, PLR0917 - a row of the table
    engine: str,
    name: str,
    make: Callable[[Case], object],
    step: Step,
    error: type[RotationError],
    says: tuple[str, str, str],
) -> Cause:
    return Cause(engine, name, make, step, error, says, by_server=False)


CAUSES = [
    _login(MYSQL, "a wrong password", lost, "1045", "Put the user's real password", LoginRefused),
    _login(
        MYSQL,
        "another host of the account",
        only_from_elsewhere,
        "1045",
        "let the server find an account of this name",
        LoginRefused,
    ),
    _login(
        MYSQL, "REQUIRE X509", lambda case: user(case, "REQUIRE X509"), "1045", "without REQUIRE X509", LoginRefused
    ),
    _login(
        MYSQL,
        "a locked account",
        lambda case: user(case, "ACCOUNT LOCK"),
        "3118",
        "Run ALTER USER '{user}' ACCOUNT UNLOCK",
        step=Step.CREATE,
    ),
    _login(MYSQL, "a blocked account", blocked, "3955", "Run ALTER USER '{user}' ACCOUNT UNLOCK", step=Step.CREATE),
    _login(MYSQL, "a limit of the account", used_up, "1226", "Raise the connection limit", step=Step.CREATE),
    _login(
        MYSQL,
        "somebody else's database",
        lambda case: case.use(database="mysql"),
        "1044",
        'Correct "dbname"',
        step=Step.CREATE,
    ),
    _login(
        MYSQL,
        "no such database",
        lambda case: case.use(database="nowhere"),
        "1044",
        'Correct "dbname"',
        step=Step.CREATE,
    ),
    _login(
        MYSQL,
        "init_connect",
        lambda case: set_up(case, "init_connect", "'SELECT 1 FROM nowhere.nothing'"),
        "1184",
        "Correct the server's init_connect",
        step=Step.CREATE,
    ),
    _login(MYSQL, "a server that wants TLS", without_tls, "3159", 'Take "ssl": false out', step=Step.CREATE),
    _login(
        MYSQL,
        "an offline server",
        lambda case: set_up(case, "offline_mode", "ON"),
        "3032",
        "Wait until the server's offline mode ends",
        step=Step.CREATE,
    ),
    _early(1040, "Raise the connection limit"),
    _early(1053, "Wait until the database is up"),
    _early(UNBLOCKED, UNBLOCK),
    _early(1130, "Create an account whose host part matches"),
    _early(1135, "Give the server more memory or threads"),
    _early(9501, "Find out what the server is busy with"),
    _early(4999, "Correct the cause"),
    _login(
        MYSQL,
        "another authority",
        lambda case: case.patch.delenv("DB_CA_BUNDLE"),
        "certificate",
        "Give the server a certificate",
        Untrusted,
        Step.CREATE,
    ),
    _login(
        MYSQL,
        "nobody listens",
        lambda case: case.use(port=1),
        "refused",
        "Check that the server is running",
        Unreachable,
        Step.CREATE,
    ),
    _found(
        MYSQL,
        "a server of another engine",
        lambda case: case.use(port=case.other(MARIADB).admin.port),
        Step.CREATE,
        LoginBlocked,
        (LOGIN, "the server there is MariaDB", "Attach the rotation function for MariaDB"),
    ),
    Cause(
        MYSQL,
        "a read-only server",
        read_only,
        Step.SET,
        NotPermitted,
        ("{user}", "1290", 'Name the primary in "host"'),
    ),
    Cause(MYSQL, "a password that it has had", had, Step.SET, PasswordRefused, ("{user}", "3638", "Rotate again")),
    Cause(MYSQL, "a weak password", weak, Step.SET, PasswordRefused, ("{user}", "1819", "Rotate again")),
    _found(
        MYSQL,
        "a policy that the function cannot meet",
        strict,
        Step.CREATE,
        InvalidConfiguration,
        ("generating a password", "validate_password", "Allow digits in EXCLUDE_NUMBERS (parameter ExcludeNumbers)"),
    ),
    Cause(
        MYSQL,
        "a verified statement without a table",
        lambda case: case.strategy(SINGLE, verify=["SELECT 1 FROM nothing_here"]),
        Step.TEST,
        NotPermitted,
        ("running statement 1 of verify as {user}", "1142", "Grant {user} what it lacks"),
    ),
    Cause(
        MYSQL,
        "two passwords without a right",
        lambda case: case.strategy(DUAL),
        Step.SET,
        NotPermitted,
        ("giving {user} a second password", "1227", "GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO {user}"),
    ),
    _found(
        MYSQL,
        "a long name",
        long_name,
        Step.CREATE,
        Unsupported,
        ("naming the clone of aaa", "the limit of MySQL", "Use a name that leaves room"),
    ),
    _found(
        MYSQL,
        "a stranger of the clone's name",
        stranger,
        Step.SET,
        Unsafe,
        ("{user}", "was not created by this rotation", "Rename or drop"),
    ),
    _found(
        MYSQL,
        "a pair that differs",
        unequal,
        Step.SET,
        RightsDiffer,
        ("comparing the rights of {user}_clone", INVOICES, "Run one of the two statements"),
    ),
    _found(
        MYSQL,
        "a pair of which one is locked",
        locked,
        Step.SET,
        RightsDiffer,
        ("preparing {user}_clone", "somebody has locked {user}_clone", "Run ALTER USER"),
    ),
    Cause(
        MYSQL,
        "an admin without rights",
        weak_admin,
        Step.SET,
        NotPermitted,
        ("looking for {user}", "1142", "GRANT SELECT ON mysql.* TO"),
    ),
    _found(
        MYSQL,
        "a wrong password of the admin",
        lambda case: case.pair(changed(case.laboratory.admin)),
        Step.SET,
        LoginBlocked,
        ("the admin", "1045", "into the admin secret {admin}"),
    ),
    _login(MARIADB, "a wrong password", lost, "1045", "Put the user's real password", LoginRefused),
    _login(
        MARIADB, "a locked account", lambda case: user(case, "ACCOUNT LOCK"), "4151", "ACCOUNT UNLOCK", step=Step.CREATE
    ),
    _login(MARIADB, "a blocked account", too_many_wrong, "4150", "Run FLUSH PRIVILEGES", step=Step.CREATE),
    _login(
        MARIADB,
        "a plugin that the client lacks",
        other_plugin,
        "2059",
        "Change the account's plugin to ed25519",
        step=Step.CREATE,
    ),
    _login(MARIADB, "no password login", without_password, "1698", "Put the user's real password", LoginRefused),
    Cause(MARIADB, "a weak password", weak, Step.SET, PasswordRefused, ("{user}", "1819", "Rotate again")),
    _found(
        MARIADB,
        "a stranger of the clone's name",
        stranger,
        Step.SET,
        Unsafe,
        ("{user}", "was not created by this rotation", "Rename or drop"),
    ),
]
