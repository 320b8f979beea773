"""Which verify functions does the stand-in for Oracle have?"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class VerifyFunction:
    """What one of Oracle's own functions requires of a password
    (https://docs.oracle.com/en/database/oracle/oracle-database/19/dbseg/configuring-authentication.html, "Managing the
    Complexity of Passwords")."""  # noqa: D205, D209

    length: int
    letters: tuple[int, int, int]
    """The fewest letters, the fewest capital letters, and the fewest small letters."""
    digits: int
    specials: int
    distance: int

    def problem(self, password: str, names: Iterable[str], old: str | None) -> str:
        """Return why it refuses a password; empty if it accepts it."""
        least, upper, lower = self.letters
        counts = (
            (len(password), self.length),
            (sum(map(str.isalpha, password)), least),
            (sum(map(str.isupper, password)), upper),
            (sum(map(str.islower, password)), lower),
            (sum(map(str.isdigit, password)), self.digits),
            (sum(not letter.isalnum() for letter in password), self.specials),
        )
        if any(count < fewest for count, fewest in counts):
            return "ORA-20001: Password is too short, or lacks letters, digits or special characters"
        folded = password.lower()
        if any(name.lower() in folded or name.lower()[::-1] in folded for name in names):
            return "ORA-20002: Password contains the username, the server name, or oracle"
        if old is not None and _distance(password, old) < self.distance:
            return f"ORA-20011: Password should differ from the old password by at least {self.distance} characters"
        return ""


def _distance(one: str, other: str) -> int:
    """Return how many characters must be changed, added or removed to turn one text into the other."""
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        before, row[0] = row[0], number
        for place, its in enumerate(other, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (letter != its))
    return row[-1]


VERIFY_FUNCTIONS = {
    "ORA12C_VERIFY_FUNCTION": VerifyFunction(8, (1, 0, 0), 1, 1, 3),
    "ORA12C_STRONG_VERIFY_FUNCTION": VerifyFunction(9, (4, 2, 2), 2, 2, 4),
}
