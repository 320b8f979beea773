"""Which passwords does the stand-in accept, and what does it store of them?"""

import hashlib
import re
import secrets

from tests.local.stand_ins.sqlserver.backend import SqlError

SHORTEST_PASSWORD, LONGEST_PASSWORD, CLASSES_OF_CHARACTERS = 8, 128, 3


def require_policy(name: str, password: str) -> None:
    """Raise the error of the default policy of Windows for a password that it refuses.

    (https://learn.microsoft.com/en-us/sql/relational-databases/security/password-policy)
    """
    failed = "Password validation failed. The password does not meet the policy requirements because it is"
    if len(password) < SHORTEST_PASSWORD:
        raise SqlError(15116, f"{failed} too short.")
    if len(password) > LONGEST_PASSWORD:
        raise SqlError(15117, f"{failed} too long.")
    kinds = sum(bool(re.search(kind, password)) for kind in ("[A-Z]", "[a-z]", "[0-9]", "[^A-Za-z0-9]"))
    if kinds < CLASSES_OF_CHARACTERS or name.lower() in password.lower():
        raise SqlError(15118, f"{failed} not complex enough.")


def hashed(password: str) -> str:
    """Return what the server stores of a password."""
    salt = secrets.token_hex(4)
    return salt + hashlib.sha512((salt + password).encode()).hexdigest()


def matches(password: str, kept: str | None) -> bool:
    """Tell whether this is the password."""
    return bool(kept) and kept == str(kept)[:8] + hashlib.sha512((str(kept)[:8] + password).encode()).hexdigest()
