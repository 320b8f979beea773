"""What must who logs in to a MariaDB server know of it? See `rotation.engines.mysql.dialect`."""

from typing import Final

from rotation.engines.mariadb.kind import KIND
from rotation.engines.mysql.dialect import LIMITS, Dialect
from rotation.engines.mysql.problems import LOGIN_PROBLEMS
from rotation.engines.other_engine import MYSQL
from rotation.errors import LoginBlocked, Untrusted

FLUSH_HOSTS = "Run FLUSH HOSTS: the server blocks the function's address"
OTHER_PLUGIN = (
    "Change the account's plugin to ed25519 or mysql_native_password: this function's client lacks the one it has"
)
NO_REVEALING = "Change the account's plugin to ed25519 or mysql_native_password: they send no password"

POLICY: Final = (
    "SELECT plugin_name FROM information_schema.plugins WHERE plugin_type = 'PASSWORD VALIDATION'"
    " AND plugin_status = 'ACTIVE' AND @@strict_password_validation"
)
"""The plugins that must judge each password, so that the server refuses hashes. Selected beside an aggregate, the
variable would be 0, whatever its value is."""

ACCOUNTS: Final = (
    "SELECT user, host, is_role, default_role,"  # noqa: S608 - a constant is put into it
    " ssl_type, ssl_cipher, x509_issuer, x509_subject, max_questions, max_updates, max_connections,"
    f" max_user_connections, max_statement_time, priv, EXISTS ({POLICY}) AS refuses_hashes"
    " FROM mysql.user LEFT JOIN mysql.global_priv USING (user, host)"
)
"""What is read of an account. It has many more columns, and the server describes each column in each answer. Whether
the server refuses hashes is asked along: who reads an account often writes a hash next."""

MARIADB: Final = Dialect(
    kind=KIND,
    sibling=MYSQL,
    limits=f"{LIMITS}, max_statement_time = {{seconds}}",  # for the rest: ALTER USER behind a global read lock
    login_problems={
        **LOGIN_PROBLEMS,
        1129: (LoginBlocked, FLUSH_HOSTS),
        1251: (LoginBlocked, OTHER_PLUGIN),
        2059: (LoginBlocked, OTHER_PLUGIN),
        2061: (Untrusted, NO_REVEALING),
    },
    sql_mode="NO_AUTO_CREATE_USER",  # else a GRANT to an account that is gone creates one without a password
    more_settings=", old_passwords = 0",  # else PASSWORD() makes a hash with which nobody logs in
    accounts=ACCOUNTS,
    greeted_as=True,
)
