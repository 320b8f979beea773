"""What do the server's plugins ask of every password?

Every user can read their variables (https://dev.mysql.com/doc/refman/8.4/en/validate-password-options-variables.html,
https://mariadb.com/docs/server/reference/plugins/password-validation-plugins).
"""

from collections.abc import Mapping, Sequence
from typing import Final

from rotation.engines.password_rules import PasswordRules
from rotation.passwords import Rule

STRICT = "strict_password_validation"
"""MariaDB takes no hashes if it is on, because a plugin cannot judge them."""

PATTERNS = ("validate_password%", "%_password_check%", "password_reuse_check%", STRICT)
VARIABLES: Final = "SHOW GLOBAL VARIABLES WHERE " + " OR ".join(f"variable_name LIKE '{each}'" for each in PATTERNS)

LENGTHS = ("validate_password.length", "validate_password_length", "simple_password_check_minimal_length")
CLASSES = {
    "mixed_case_count": ("LOWERCASE", "UPPERCASE"),
    "number_count": ("NUMBERS",),
    "special_char_count": ("PUNCTUATION",),
    "letters_same_case": ("LOWERCASE", "UPPERCASE"),
    "digits": ("NUMBERS",),
    "other_characters": ("PUNCTUATION",),
}
"""What the variables that end so ask for: first those of validate_password, then those of simple_password_check."""

OTHERS = {
    "dictionary_file": "",
    "changed_characters_percentage": "0",
    "cracklib_password_check_dictionary": "",
    "password_reuse_check_interval": None,
}
"""Variables that can refuse a password by what it is, each with the value that switches it off, if one does."""


MOST_DIGITS = 10
"""The server's numbers have 32 bits; what has more is none of them."""


def rules_for_clear_text(variables: Mapping[str, str]) -> Sequence[Rule]:
    """Return what these variables ask for; nothing if the server gets hashes, which it does not judge."""
    return () if variables.get(STRICT) == "OFF" else rules(variables).rules


def rules(variables: Mapping[str, str]) -> PasswordRules:
    """Return what these variables of a server ask for."""
    found: list[Rule] = []
    policy = next((value for name, value in variables.items() if name.endswith("policy")), "")
    for name, value in variables.items():
        if not value.isdecimal() or len(value) > MOST_DIGITS:
            continue
        if name in LENGTHS:
            found.append(Rule(name, int(value)))
        elif policy.upper() not in {"LOW", "0"}:
            kinds = next((kinds for end, kinds in CLASSES.items() if name.endswith(end)), ())
            found += [Rule(name, int(value), kind) for kind in kinds]
    others = [
        name
        for name, value in variables.items()
        if any(name.endswith(end) and value != off for end, off in OTHERS.items())
    ]
    return PasswordRules(found, others)
