"""What does a MariaDB server say of its accounts and its password policy?"""

import json
import logging
import re
from collections.abc import Mapping
from typing import Any

from rotation.engines.mariadb.dialect import POLICY
from rotation.engines.mariadb.methods import Method, parse, password_hash
from rotation.engines.mysql import catalog
from rotation.engines.mysql.connection import MySQLConnection, asked_once
from rotation.engines.mysql.definition import Options, Row, requirement_and_limits
from rotation.engines.mysql.hashes import NATIVE
from rotation.engines.mysql.names import Account, identifier, literal
from rotation.engines.mysql.rights import Right, RightKind
from rotation.errors import Unsupported
from rotation.redaction import said

REUSE = "password_reuse_check"

METHODS_END = re.compile(r" REQUIRE | WITH | ACCOUNT | PASSWORD EXPIRE")

METHOD = re.compile(r"(?:^VIA|\bOR) (\w+)(?:\sUSING\s'([^']*)')?")

log = logging.getLogger(__name__)


@asked_once
def privileges(connection: MySQLConnection, account: Account) -> dict[str, Any]:
    """Return what mysql.global_priv has of an account; raises StatementFailed if there is no such account."""
    found: dict[str, Any] = json.loads(catalog.row(connection, account)["priv"])
    return found


def methods(connection: MySQLConnection, account: Account) -> list[Method]:
    """Return how one logs in to an account."""
    return parse(privileges(connection, account))


def options(row: Row, privileges: Mapping[str, Any]) -> Options:
    """Return what an account is besides name, password, rights and role; see `rotation.engines.mysql.definition`."""
    days = privileges.get("password_lifetime", -1)
    return {
        **requirement_and_limits(row),
        "MAX_STATEMENT_TIME": str(row["max_statement_time"]),
        "PASSWORD EXPIRE": {-1: "DEFAULT", 0: "NEVER"}.get(days, f"INTERVAL {days} DAY"),
    }


def default_roles(row: Row, rights: frozenset[Right]) -> list[str]:
    """Return the default role, quoted, if there is one and it is granted: a revoked role stays the default."""
    role = identifier(row["default_role"])
    return [role] if role in {right.name for right in rights if right.kind is RightKind.ROLE} else []


@asked_once
def rights_by_role(connection: MySQLConnection, role: str) -> frozenset[Right]:
    """Return the rights of a role, quoted, and of those that it has; raises StatementFailed."""
    return catalog.rights_of(connection, role, f"reading the grants of the role {role}")


def own_methods(connection: MySQLConnection, operation: str) -> list[Method]:
    """Return the methods of the user who is logged in, in their order."""
    definition = catalog.own_definition(connection, operation)
    text = METHODS_END.split(definition.partition(" IDENTIFIED ")[2])[0]
    found = METHOD.findall(text) or [(NATIVE, "")]
    return [Method(plugin, secret) for plugin, secret in found]


def own_plugins(connection: MySQLConnection, operation: str) -> list[str]:
    """Return the plugins of these methods."""
    return [method.plugin for method in own_methods(connection, operation)]


def refuses_hashes(connection: MySQLConnection, account: Account) -> bool:
    """Tell whether a policy refuses hashes, also that of this account, because it cannot judge the password."""
    return bool(catalog.row(connection, account)["refuses_hashes"])


def policies(connection: MySQLConnection, operation: str) -> list[str]:
    """Return the plugins that must judge each password."""
    return connection.answers.once(POLICY, lambda: [name for (name,) in connection.execute(operation, POLICY)])


def require_no_history(connection: MySQLConnection, operation: str) -> None:
    """Raise Unsupported if a policy refuses passwords that an account had before."""
    if REUSE in policies(connection, operation):
        cause = f"{REUSE} refuses the current password, which the statement must name"
        raise Unsupported(operation, cause, f"Use another strategy, or run UNINSTALL SONAME '{REUSE}'")


def password_clause(plugin: str, password: str, operation: str, *, hashes_refused: bool) -> str:
    """Return what USING takes for a password: its hash; or the password itself, if a policy must judge it."""
    known = password_hash(plugin, password)
    if known and not hashes_refused:
        return literal(known)
    warn_of_clear_text(operation)
    return f"PASSWORD({literal(password)})"


def warn_of_clear_text(operation: str) -> None:
    """Write to the log that a password is sent in clear."""
    cause = "the server's password policy, or the account's plugin, requires the password in clear text"
    log.warning(said(f"{operation}: {cause}"))
