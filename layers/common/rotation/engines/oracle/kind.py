"""What is known of Oracle before anybody connects to it?"""

from rotation.errors import InvalidSecret
from rotation.kind import CLONE_SUFFIX, EngineKind, Strategy


def normal_name(name: str) -> str:
    """Return a user's name as the server keeps it: in upper case, or exactly what is between double quotes.

    The clients, the command line of sqlplus, and AWS's templates (DBMS_ASSERT.ENQUOTE_NAME) read names in this way.
    Raises InvalidSecret if no user can have the name.
    """
    is_quoted = len(name) > 1 and name[0] == name[-1] == '"'
    found = name[1:-1] if is_quoted else name.upper()
    if not found or '"' in found or "\0" in found:
        remedy = 'Correct "username" in the secret: double quotes can only enclose the whole name'
        raise InvalidSecret(f"reading the user name {name}", "no user of Oracle can have this name", remedy)
    return found


def counterpart(username: str) -> str:
    """Return the other user of a pair, written like the first: with or without quotes, in capitals or not.

    AWS's templates write _CLONE. The server distinguishes upper and lower case only inside quotes.
    """
    quote = '"' if username.startswith('"') else ""
    name = username.strip('"')
    stem = name[: -len(CLONE_SUFFIX)]
    has_suffix = name == _with_suffix(stem) if quote else name.lower().endswith(CLONE_SUFFIX)
    return f"{quote}{stem if has_suffix else _with_suffix(name)}{quote}"


def _with_suffix(name: str) -> str:
    return name + (CLONE_SUFFIX.upper() if name.isupper() else CLONE_SUFFIX)


def reset_statement(username: str) -> str:
    """Return the statement that gives a user another password."""
    return f'ALTER USER "{normal_name(username)}" IDENTIFIED BY "***"'


KIND = EngineKind(
    name="Oracle",
    # Secrets for AWS's templates say `oracle`; the others are RDS's own names.
    engine_values=frozenset(
        {
            "oracle",
            "oracle-ee",
            "oracle-ee-cdb",
            "oracle-se2",
            "oracle-se2-cdb",
            "custom-oracle-ee",
            "custom-oracle-ee-cdb",
            "custom-oracle-se2",
            "custom-oracle-se2-cdb",
        }
    ),
    default_port=1521,
    tls_has_own_port=True,
    default_database=None,
    needs_database=True,
    # Bytes, since 12.2 (https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/Database-Object-Names-and-Qualifiers.html).
    username_limit=128,
    username_length=lambda name: len(name.strip('"').encode()),
    normal_name=normal_name,
    counterpart=counterpart,
    # Bytes, up to 21c (https://docs.oracle.com/en/error-help/db/ora-00972/); 23ai takes 1024.
    password_limit=30,
    # A password is an identifier in double quotes, and nothing can be escaped in it.
    unusable_in_passwords='"',
    reset_statement=reset_statement,
    strategies=frozenset(Strategy),
    # Found by OracleUnshared
    unshared_kinds=frozenset(
        {
            "administrative privileges",
            "credentials",
            "database links",
            "goldengate privileges",
            "java objects",
            "java permissions",
            "jobs",
            "mining models",
            "network acls",
            "other objects",
            "queue agents",
            "redaction policies",
            "refresh groups",
            "scheduler objects",
            "triggers",
            "xstream servers",
        }
    ),
    dual_password_needs_version=True,
)
