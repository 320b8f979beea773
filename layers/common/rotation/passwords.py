"""What does a new password look like?

The environment variables and their defaults are those of AWS's rotation templates, so that a function can
replace theirs
(https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_available-rotation-templates.html).
"""

import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from rotation.environment import boolean, integer, invalid
from rotation.kind import EngineKind

CLASSES = {
    "EXCLUDE_LOWERCASE": string.ascii_lowercase,
    "EXCLUDE_UPPERCASE": string.ascii_uppercase,
    "EXCLUDE_NUMBERS": string.digits,
    "EXCLUDE_PUNCTUATION": string.punctuation,
}
"""Each class of characters, under the variable that excludes it."""

DEFAULT_LENGTH = 32
DEFAULT_EXCLUDED = "/@\"'\\"
SHORTEST_PASSWORD = 8


@dataclass(frozen=True, kw_only=True)
class PasswordPolicy:
    """Which passwords are generated."""

    length: int
    classes: tuple[str, ...]
    """The characters to choose from, one string per class; none is empty."""
    each_class: bool
    """Whether a password must have at least one character of each class."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], kind: EngineKind) -> Self:
        """Read the function's environment; characters that the engine cannot take are always excluded.

        Raises InvalidConfiguration for values that cannot be read, or that leave no character to choose from.
        """
        length = integer(environment, "PASSWORD_LENGTH", min(DEFAULT_LENGTH, kind.password_limit))
        if not SHORTEST_PASSWORD <= length <= kind.password_limit:
            raise invalid(
                "PASSWORD_LENGTH",
                f"{length} is not from {SHORTEST_PASSWORD} to {kind.password_limit}, the most that {kind.name} takes",
            )
        excluded = environment.get("EXCLUDE_CHARACTERS", DEFAULT_EXCLUDED) + kind.unusable_in_passwords
        wanted = [chars for name, chars in CLASSES.items() if not boolean(environment, name, default=False)]
        classes = tuple(rest for chars in wanted if (rest := "".join(c for c in chars if c not in excluded)))
        if not classes:
            raise invalid("EXCLUDE_CHARACTERS", "together with the other EXCLUDE_… variables it leaves no character")
        each_class = boolean(environment, "REQUIRE_EACH_INCLUDED_TYPE", default=True)
        if each_class and len(classes) < len(wanted):
            raise invalid("EXCLUDE_CHARACTERS", "it excludes a whole class, but REQUIRE_EACH_INCLUDED_TYPE is true")
        return cls(length=length, classes=classes, each_class=each_class)

    def generate(self) -> str:
        """Return a new password; all that the policy allows are equally likely.

        The characters come from the operating system's CSPRNG. A candidate that lacks a class is thrown away whole:
        putting the missing characters in would make some passwords likelier than others.
        """
        alphabet = "".join(self.classes)
        while True:
            password = "".join(secrets.choice(alphabet) for _ in range(self.length))
            if not self.each_class or all(any(c in chars for c in password) for chars in self.classes):
                return password
