"""What is known of MariaDB before anybody connects to it?"""

from rotation.engines.mysql.kind import reset_statement
from rotation.kind import EngineKind, Strategy

KIND = EngineKind(
    name="MariaDB",
    engine_values=frozenset({"mariadb"}),
    default_port=3306,
    default_database=None,
    username_limit=128,
    password_limit=128,
    reset_statement=reset_statement,
    strategies=frozenset(Strategy),
    unshared_kinds=frozenset({"definers", "wider-accounts"}),
    clone_may_lack_mark=True,  # a strict password policy takes no hash, and so no mark
    dual_password_needs_admin=True,
    admin_needs_database=False,
    admin_sees_accounts=True,
    admin_sees_passwords=True,
    shows_password_rules=True,
)
