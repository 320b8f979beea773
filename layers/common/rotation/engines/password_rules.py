"""What does a server ask of every password, as far as it shows, and which setting of the function meets it?

If the engine shows it to every user (`EngineKind.shows_password_rules`), createSecret reads it before it makes a
password. A session reads it again after the server has refused a password: it can have changed since.
"""

import os
from collections.abc import Sequence

from rotation.engines.driver import ANOTHER_PASSWORD
from rotation.errors import PasswordRefused
from rotation.kind import EngineKind
from rotation.passwords import PasswordPolicy, Rule
from rotation.values import dataclass


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
