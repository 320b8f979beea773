"""What is known of SQL Server before anybody connects to it?"""

from rotation.kind import EngineKind, Strategy

DATABASES = "databases"
CREDENTIALS, MAPPINGS, PROXIES, JOBS = "credentials", "linked servers", "proxies", "jobs"
MAIL_PROFILES, CLASSIFIERS, PREDICATES = "mail profiles", "classifiers", "predicates"
"""What alternating users cannot share: see `unshared`."""
EDITIONS = ("ee", "se", "ex", "web", "dev-ee", "dev-se")
CUSTOM_EDITIONS = ("ee", "se", "web", "dev")


SHARED_USERS = frozenset({"dbo", "guest"})
"""Users of a database that several logins can be."""


def normal_name(name: str) -> str:
    """Return a name as the server's usual collation compares it: upper and lower case are the same.

    With a collation that tells them apart, this takes two names for one: it refuses more than it must.
    """
    return name.lower()


def reset_statement(username: str) -> str:
    """Return the statement that gives a login another password."""
    name = username.replace("]", "]]")
    return f"ALTER LOGIN [{name}] WITH PASSWORD = '***'"


KIND = EngineKind(
    name="SQL Server",
    engine_values=frozenset({
        "sqlserver",
        *(f"sqlserver-{edition}" for edition in EDITIONS),
        *(f"custom-sqlserver-{edition}" for edition in CUSTOM_EDITIONS),
    }),
    default_port=1433,
    default_database="master",
    username_limit=128,
    normal_name=normal_name,
    # https://learn.microsoft.com/en-us/sql/t-sql/statements/create-login-transact-sql: "cannot exceed 128 characters",
    # "cannot contain single quotes".
    password_limit=128,
    unusable_in_passwords="'",
    reset_statement=reset_statement,
    strategies=frozenset({Strategy.SINGLE_USER, Strategy.ALTERNATING_USERS}),
    unshared_kinds=frozenset({
        DATABASES, CREDENTIALS, MAPPINGS, PROXIES, JOBS, MAIL_PROFILES, CLASSIFIERS, PREDICATES,
    }),
)  # fmt: skip
