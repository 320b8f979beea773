"""What is an account of MySQL, as its row of mysql.user says, besides its name, password, rights and roles?

Pure: it reads rows, and writes what statements take. MariaDB's accounts share the first half of it.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from rotation.engines.mysql.hashes import matches
from rotation.engines.mysql.names import literal

type Row = Mapping[str, Any]

type Options = Mapping[str, str]
"""What an account is, by the option of ALTER USER that says it."""

MARK = "rotation"
"""The attribute of an account that holds the nonce of its pair. As it is an object, whose members are merged, two
invocations that mark the same account at the same time leave both nonces there."""

NONCE = re.compile(r"[0-9a-f]{32}")

APOSTROPHE = r"\u0027"
"""As JSON can write it."""


def options(row: Row) -> Options:
    """Return the account's definition."""
    locking = attributes(row).get("Password_locking", {})
    days = locking.get("password_lock_time_days", 0)
    return {
        **requirement_and_limits(row),
        "PASSWORD EXPIRE": _expiry(row["password_lifetime"]),
        "PASSWORD HISTORY": _or_default(row["password_reuse_history"]),
        "PASSWORD REUSE INTERVAL": _or_default(row["password_reuse_time"], " DAY"),
        "PASSWORD REQUIRE CURRENT": {None: "DEFAULT", "N": "OPTIONAL"}.get(row["password_require_current"], ""),
        "FAILED_LOGIN_ATTEMPTS": str(locking.get("failed_login_attempts", 0)),
        "PASSWORD_LOCK_TIME": "UNBOUNDED" if days == -1 else str(days),
    }


def requirement_and_limits(row: Row) -> Options:
    """Return what an account must bring (TLS) and how much it may do, alike on both servers."""
    return {
        "REQUIRE": _requirement(row),
        "MAX_QUERIES_PER_HOUR": str(row["max_questions"]),
        "MAX_UPDATES_PER_HOUR": str(row["max_updates"]),
        "MAX_CONNECTIONS_PER_HOUR": str(row["max_connections"]),
        "MAX_USER_CONNECTIONS": str(row["max_user_connections"]),
    }


def option_clause(options: Options) -> str:
    """Return the clauses that give an account these options, in the order of the grammar, which is theirs."""
    words: list[str] = []
    for name, value in options.items():
        if name.startswith("MAX_") and "WITH" not in words:
            words.append("WITH")
        words.append(f"{name} {value}".rstrip())
    return " ".join(words)


def attributes(row: Row) -> dict[str, Any]:
    """Return all that MySQL keeps as JSON at an account."""
    found: dict[str, Any] = json.loads(row.get("user_attributes") or "{}")
    return found


def metadata(row: Row) -> dict[str, Any]:
    """Return the part of the attributes that users and rotations write."""
    found: dict[str, Any] = attributes(row).get("metadata", {})
    return found


def unprinted_restrictions(row: Row) -> list[str]:
    """Return the databases in which GRANT OPTION on everything does not count: SHOW GRANTS does not list them."""
    return [one["Database"] for one in attributes(row).get("Restrictions", ()) if "GRANT" in one["Privileges"]]


def notes(row: Row) -> dict[str, Any]:
    """Return the metadata without our mark."""
    return {key: value for key, value in metadata(row).items() if key != MARK}


def nonces(row: Row) -> set[str]:
    """Return the nonces that an account carries. Its user can have written anything there."""
    mark = metadata(row).get(MARK)
    return set(filter(NONCE.fullmatch, mark)) if isinstance(mark, dict) else set()


def attribute_clause(changes: Mapping[str, Any]) -> str:
    """Return the clause that merges these into the metadata of an account."""
    # Without a quote in it, the text is one in each sql_mode: an operator can paste what a user wrote.
    return f"ATTRIBUTE {literal(json.dumps(changes).replace("'", APOSTROPHE))}"


def patch(wanted: Row, present: Row) -> dict[str, Any]:
    """Return the merge patch (https://datatracker.ietf.org/doc/html/rfc7396) that turns one object into another.

    null removes a member, and an object is merged into the one that is there.
    """
    changed: dict[str, Any] = {}
    for key in wanted.keys() | present.keys():
        new, old = wanted.get(key), present.get(key)
        if isinstance(new, dict) and isinstance(old, dict):
            if inner := patch(new, old):
                changed[key] = inner
        elif new != old:
            changed[key] = new
    return changed


def primary_hash(row: Row) -> bytes:
    """Return the hash of the password that logs in first."""
    return str(row["authentication_string"]).encode()


def secondary_hash(row: Row) -> bytes:
    """Return the hash of the old password that is kept; empty if there is none."""
    return str(attributes(row).get("additional_password", "")).encode()


def has_password(row: Row, password: str) -> bool:
    """Tell whether one of the account's hashes is that of this password."""
    return any(matches(password, kept, row["plugin"]) for kept in (primary_hash(row), secondary_hash(row)))


def needs_password(row: Row, password: str) -> bool:
    """Tell whether the account must be given this password: it is not the primary one already, or it has expired."""
    return row.get("password_expired") == "Y" or not matches(password, primary_hash(row), row["plugin"])


def _requirement(row: Row) -> str:
    """Return what the account must bring, as REQUIRE takes it."""
    if row["ssl_type"] != "SPECIFIED":
        return {"": "NONE", "ANY": "SSL", "X509": "X509"}[row["ssl_type"]]
    parts = {"SUBJECT": row["x509_subject"], "ISSUER": row["x509_issuer"], "CIPHER": row["ssl_cipher"]}
    return " AND ".join(f"{name} {literal(_decoded(value))}" for name, value in parts.items() if value)


def _expiry(days: int | None) -> str:
    if days is None:
        return "DEFAULT"
    return f"INTERVAL {days} DAY" if days else "NEVER"


def _or_default(value: int | None, unit: str = "") -> str:
    return "DEFAULT" if value is None else f"{value}{unit}"


def _decoded(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
