"""What is known of MySQL before anybody connects to it?"""

from rotation.kind import EngineKind, Strategy


def reset_statement(username: str) -> str:
    """Return the statement that gives the account for every host another password.

    In backticks, which are the same in every SQL mode.
    """
    name = username.replace("`", "``")
    return f"ALTER USER `{name}`@`%` IDENTIFIED BY '***'"


KIND = EngineKind(
    name="MySQL",
    engine_values=frozenset({"mysql", "aurora-mysql"}),
    default_port=3306,
    default_database=None,
    username_limit=32,
    password_limit=128,
    reset_statement=reset_statement,
    strategies=frozenset(Strategy),
    unshared_kinds=frozenset({"definers", "wider-accounts"}),
    dual_password_needs_version=True,
    admin_needs_database=False,
    admin_sees_accounts=True,
    admin_sees_passwords=True,
    shows_password_rules=True,
)
