"""What does a server ask of every password, as far as it shows, and which setting of the function meets it?

Sessions read it only after the server has refused a password: so it costs a rotation no login and no statement.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from rotation.engines.driver import ANOTHER_PASSWORD
from rotation.errors import PasswordRefused
from rotation.kind import EngineKind
from rotation.passwords import EXCLUDES, MINIMUMS, PasswordPolicy

NAMES = {
    "LOWERCASE": "lower-case letters",
    "UPPERCASE": "capital letters",
    "NUMBERS": "digits",
    "PUNCTUATION": "punctuation characters",
}
"""What each class of `rotation.passwords.CLASSES` is called in a sentence."""


@dataclass(frozen=True)
class Rule:
    """A number that a server asks for."""

    setting: str
    """The server's name for it."""
    minimum: int
    characters: str = ""
    """A class of `rotation.passwords.CLASSES`; empty if the rule is about the length."""

    def __str__(self) -> str:
        return f"at least {self.minimum} {NAMES.get(self.characters, 'characters')} ({self.setting})"

    def remedy(self, policy: PasswordPolicy) -> str:
        """Return what to set, so that passwords meet this rule; empty if they do."""
        if not self.characters:
            return _set("PASSWORD_LENGTH", str(self.minimum)) if policy.length < self.minimum else ""
        minimums = {each.name: each.minimum for each in policy.classes}
        if minimums.get(self.characters, 0) >= self.minimum:
            return ""
        if self.characters in minimums:
            return _set(MINIMUMS[self.characters], str(self.minimum))
        return f"Allow {NAMES[self.characters]} in {EXCLUDES[self.characters]} and EXCLUDE_CHARACTERS"


@dataclass(frozen=True)
class PasswordRules:
    """What a server asks of every password, as far as it shows."""

    rules: Sequence[Rule] = ()
    others: Sequence[str] = ()
    """The server's settings that can refuse a password by what it is: a dictionary, the password before it."""

    def explain(self, refused: PasswordRefused, kind: EngineKind) -> PasswordRefused:
        """Return the error with what the server asks for, and with what to set; itself if the server shows nothing."""
        policy = PasswordPolicy.from_environment(os.environ, kind)
        broken = {rule: remedy for rule in self.rules if (remedy := rule.remedy(policy))}
        if broken:
            cause = f"{refused.cause}; the server asks for {', '.join(map(str, broken))}"
            return PasswordRefused(refused.operation, cause, ". ".join(dict.fromkeys(broken.values())))
        if not self.rules and not self.others:
            return refused
        cause = f"{refused.cause}; passwords of the function's present policy have enough characters of each kind"
        if not self.others:
            return PasswordRefused(refused.operation, cause, ANOTHER_PASSWORD)
        settings = ", ".join(self.others)
        cause += f", and the server also checks {settings}"
        return PasswordRefused(refused.operation, cause, f"{ANOTHER_PASSWORD}; or relax {settings}")


def _set(variable: str, value: str) -> str:
    parameter = variable.title().replace("_", "")
    return f"Set {variable} (parameter {parameter}) to {value} or more"
