"""What does a verify function ask of every password, as its refusal says?

Only the refusal says it: what a function asks for is in its code. These are the texts of Oracle's own functions, and of
functions that call its ORA_COMPLEXITY_CHECK: "Password must contain at least 2 digit(s)" in older versions, and the
messages ORA-28206 to ORA-28217 in newer ones, "password must contain 2 or more digits"
(https://docs.oracle.com/en/error-help/db/ora-28216).
"""

import re
from typing import Final

from rotation.engines.password_rules import PasswordRules
from rotation.passwords import Rule

SETTING: Final = "the profile's PASSWORD_VERIFY_FUNCTION"
LENGTH = re.compile(r"length less than (\d{1,4})", re.IGNORECASE)
COUNT = re.compile(r"(?:at least (\d{1,4})|(\d{1,4}) or more) (uppercase|lowercase|digit|special)", re.IGNORECASE)
NAMES = re.compile(r"contains? the (?:server|database) name|too simple|contains? .*oracle", re.IGNORECASE)
CLASSES = {"uppercase": "UPPERCASE", "lowercase": "LOWERCASE", "digit": "NUMBERS", "special": "PUNCTUATION"}


def _documented(length: int, *, each: int, letters: bool) -> tuple[Rule, ...]:
    names = (*(("UPPERCASE", "LOWERCASE") if letters else ()), "NUMBERS", "PUNCTUATION")
    return (Rule(SETTING, length), *(Rule(SETTING, each, name) for name in names))


OF_ORACLE: Final = {
    "ORA12C_VERIFY_FUNCTION": _documented(8, each=1, letters=False),
    "ORA12C_STRONG_VERIFY_FUNCTION": _documented(9, each=2, letters=True),
    "ORA12C_STIG_VERIFY_FUNCTION": _documented(15, each=1, letters=True),
}
"""What Oracle documents of its own functions, as far as a policy can say it
(https://docs.oracle.com/en/database/oracle/oracle-database/19/dbseg/configuring-authentication.html, "Managing the
Complexity of Passwords"). Elsewhere a function of such a name can have other code."""


def rules(text: str) -> PasswordRules:
    """Return the rules that a refusal names; none if it is about something else, or in another language."""
    lengths = [Rule(SETTING, int(number)) for number in LENGTH.findall(text)]
    counts = [Rule(SETTING, int(one or other), CLASSES[kind.lower()]) for one, other, kind in COUNT.findall(text)]
    return PasswordRules([*lengths, *counts])


def finds_name(text: str) -> bool:
    """Tell whether the password holds a name that it must not hold: of the database, or of its server."""
    return NAMES.search(text) is not None
