"""What does a new password look like?

The environment variables and their defaults are those of AWS's rotation templates, so that a function can
replace theirs
(https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_available-rotation-templates.html).
AWS has none for a minimum per class, and none for forbidden parts: those variables are ours, and begin with PASSWORD_.
One value differs: an empty EXCLUDE_CHARACTERS is the default, so that no parameter of a stack needs quotes and
backslashes as its own. "none" excludes nothing.
"""

import secrets
import string
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from math import comb
from typing import Self

from rotation.environment import boolean, integer, invalid, named, words
from rotation.errors import InvalidConfiguration
from rotation.kind import EngineKind
from rotation.values import dataclass

CLASSES = {
    "LOWERCASE": string.ascii_lowercase,
    "UPPERCASE": string.ascii_uppercase,
    "NUMBERS": string.digits,
    "PUNCTUATION": string.punctuation,
}
EXCLUDES = {
    "LOWERCASE": "EXCLUDE_LOWERCASE",
    "UPPERCASE": "EXCLUDE_UPPERCASE",
    "NUMBERS": "EXCLUDE_NUMBERS",
    "PUNCTUATION": "EXCLUDE_PUNCTUATION",
}
MINIMUMS = {
    "LOWERCASE": "PASSWORD_MINIMUM_LOWERCASE",
    "UPPERCASE": "PASSWORD_MINIMUM_UPPERCASE",
    "NUMBERS": "PASSWORD_MINIMUM_NUMBERS",
    "PUNCTUATION": "PASSWORD_MINIMUM_PUNCTUATION",
}
"""The variables of each class."""

DEFAULT_LENGTH = 32
DEFAULT_EXCLUDED = "/@\"'\\"
NOTHING_EXCLUDED = "none"
DEFAULT_MINIMUM = 2
"""Of each class: Oracle's ORA12C_STRONG_VERIFY_FUNCTION asks for as many, and no other usual policy for more."""

NAMES = {
    "LOWERCASE": "lower-case letters",
    "UPPERCASE": "capital letters",
    "NUMBERS": "digits",
    "PUNCTUATION": "punctuation characters",
}
"""What each class is called in a sentence."""

SHORTEST_PASSWORD = 8
MOST_CANDIDATES = 1000

GENERATING = "generating a password"
"""What is being done if an error says so."""


@dataclass(frozen=True, kw_only=True)
class CharacterClass:
    """Characters of one class, and how many of them a password has at least."""

    name: str
    characters: str
    minimum: int

    def without(self, excluded: Collection[str]) -> Self:
        """Return the class without these characters, in capitals or not."""
        return replace(self, characters="".join(c for c in self.characters if c.lower() not in excluded))

    def strings(self, count: int, length: int) -> int:
        """Count the ways to put so many of these characters into a string of this length; 0 if they are too few."""
        return comb(length, count) * len(self.characters) ** count if count >= self.minimum else 0


@dataclass(frozen=True)
class Rule:
    """A number that a server asks for."""

    setting: str
    """The server's name for it."""
    minimum: int
    characters: str = ""
    """A class of `CLASSES`; empty if the rule is about the length."""

    def __str__(self) -> str:
        names = NAMES.get(self.characters, "characters")
        return f"at least {self.minimum} {names if self.minimum != 1 else names.removesuffix('s')} ({self.setting})"

    def remedy(self, policy: "PasswordPolicy") -> str:
        """Return what to set, so that passwords meet this rule; empty if they do."""
        if not self.characters:
            return _set("PASSWORD_LENGTH", self.minimum) if policy.length < self.minimum else ""
        minimums = {each.name: each.minimum for each in policy.classes}
        if minimums.get(self.characters, 0) >= self.minimum:
            return ""
        if self.characters in minimums:
            return _set(MINIMUMS[self.characters], self.minimum)
        variables = f"{named(EXCLUDES[self.characters])} and {named('EXCLUDE_CHARACTERS')}"
        return f"Allow {NAMES[self.characters]} in {variables}"


@dataclass(frozen=True, kw_only=True)
class PasswordPolicy:
    """Which passwords are generated."""

    length: int
    longest: int
    """The engine's limit."""
    classes: tuple[CharacterClass, ...]
    """None is empty, and their minimums fit into the length."""
    forbidden: frozenset[str] = frozenset()
    """What no password contains, in capitals or not; in lower case."""
    normal_name: Callable[[str], str] = str
    """Returns a user's name as the server keeps it."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], kind: EngineKind) -> Self:
        """Read the function's environment; characters that the engine cannot take are always excluded.

        Raises InvalidConfiguration for values that cannot be read, and for values that no password can meet.
        """
        length = integer(environment, "PASSWORD_LENGTH", min(DEFAULT_LENGTH, kind.password_limit))
        if not SHORTEST_PASSWORD <= length <= kind.password_limit:
            raise invalid(
                "PASSWORD_LENGTH",
                f"{length} is not from {SHORTEST_PASSWORD} to {kind.password_limit}, the most that {kind.name} takes",
            )
        excluded = _read_excluded(environment) + kind.unusable_in_passwords
        found = [_read_class(environment, name, excluded) for name in CLASSES]
        classes = tuple(each for each in found if each.characters)
        if not classes:
            raise invalid("EXCLUDE_CHARACTERS", "together with the other EXCLUDE_… variables it leaves no character")
        least = sum(each.minimum for each in classes)
        if least > length:
            cause = f"{length} is less than the minimums of all classes (PASSWORD_MINIMUM_…) together: {least}"
            raise invalid("PASSWORD_LENGTH", cause)
        forbidden = frozenset(word.lower() for word in words(environment, "PASSWORD_FORBIDDEN_PARTS"))
        policy = cls(
            length=length,
            longest=kind.password_limit,
            classes=classes,
            forbidden=forbidden,
            normal_name=kind.normal_name,
        )
        if forbidden:
            policy.generate("")  # raises if they leave no password
        return policy

    def meeting(self, rules: Sequence[Rule]) -> Self:
        """Return the policy that meets a server's rules too: of its passwords, or of longer ones.

        Raises InvalidConfiguration if no password of the engine meets both.
        """
        asked = [rule for rule in rules if rule.minimum > 0]
        names = {"", *(each.name for each in self.classes)}
        for rule in asked:
            if rule.characters not in names:
                cause = f"the server asks for {rule}, and the function's variables leave them out"
                raise InvalidConfiguration(GENERATING, cause, rule.remedy(self))
        most = {name: max((rule.minimum for rule in asked if rule.characters == name), default=0) for name in names}
        classes = tuple(replace(each, minimum=max(each.minimum, most[each.name])) for each in self.classes)
        length = max(self.length, most[""], sum(each.minimum for each in classes))
        if length > self.longest:
            cause = f"the server asks for {', '.join(map(str, asked))}"
            cause += f"; such a password has {length} characters, and the engine's limit is {self.longest}"
            settings = ", ".join(dict.fromkeys(rule.setting for rule in asked if rule.remedy(self)))
            raise InvalidConfiguration(GENERATING, cause, f"Lower {settings} on the server")
        return replace(self, length=length, classes=classes)

    def generate(self, username: str, rules: Sequence[Rule] = ()) -> str:
        """Return a new password for this user that meets these rules of its server; see `meeting`.

        All that the policy allows are equally likely.

        It holds no forbidden part, and not the user's name, forwards or backwards, in capitals or not. Only parts of
        two characters and more need several candidates: characters that are forbidden alone are never chosen. It ends
        after 1,000 candidates at the latest. With the default policy and a name of two letters, 3 in 100 candidates
        hold the name; 1,000 in a row do not occur. Raises InvalidConfiguration if all do.
        """
        if rules:
            return self.meeting(rules).generate(username)
        name = self.normal_name(username).lower() if username else ""
        parts = (self.forbidden | {name, name[::-1]}) - {""}
        classes = [each.without({part for part in parts if len(part) == 1}) for each in self.classes]
        if all(each.characters or not each.minimum for each in classes) and any(each.characters for each in classes):
            for _ in range(MOST_CANDIDATES):
                password = _candidate([each for each in classes if each.characters], self.length)
                if not any(part in password.lower() for part in parts):
                    return password
        raise InvalidConfiguration(
            GENERATING,
            "PASSWORD_FORBIDDEN_PARTS, or the user's name, occurs in every password that the other variables allow",
            "Allow more characters: shorten EXCLUDE_CHARACTERS or PASSWORD_FORBIDDEN_PARTS",
        )


def _set(variable: str, value: int) -> str:
    return f"Set {named(variable)} to {value} or more"


def _read_excluded(environment: Mapping[str, str]) -> str:
    """Return the characters that no password has; empty: AWS's set."""
    said = environment.get("EXCLUDE_CHARACTERS") or DEFAULT_EXCLUDED
    return "" if said == NOTHING_EXCLUDED else said


def _read_class(environment: Mapping[str, str], name: str, excluded: str) -> CharacterClass:
    """Return a class as the variables leave it: with no characters, and a minimum of 0, if it is left out."""
    each_type = boolean(environment, "REQUIRE_EACH_INCLUDED_TYPE", default=True)
    is_left_out = boolean(environment, EXCLUDES[name], default=False)
    variable = MINIMUMS[name]
    minimum = integer(environment, variable, DEFAULT_MINIMUM if each_type and not is_left_out else 0, blank=True)
    if minimum < 0:
        raise invalid(variable, f"{minimum} is less than 0")
    if is_left_out:
        if minimum:
            raise invalid(variable, f"it asks for {minimum}, but {EXCLUDES[name]} is true")
        return CharacterClass(name=name, characters="", minimum=0)
    characters = "".join(c for c in CLASSES[name] if c not in excluded)
    if each_type and not characters:
        raise invalid("EXCLUDE_CHARACTERS", "it excludes a whole class, but REQUIRE_EACH_INCLUDED_TYPE is true")
    if minimum and not characters:
        raise invalid("EXCLUDE_CHARACTERS", f"it excludes a whole class, but {variable} asks for {minimum}")
    return CharacterClass(name=name, characters=characters, minimum=max(minimum, int(each_type)))


def _candidate(classes: Sequence[CharacterClass], length: int) -> str:
    """Return one of all strings that have enough of each class; they are equally likely.

    First comes how many characters each class gives, by how many strings have so many of it; then the characters; then
    their order. Strings that lack a class are never made, so rare ones need no more time. The operating system's
    CSPRNG chooses.
    """
    chosen: list[str] = []
    for each, endings in zip(classes, _endings(tuple(classes), length), strict=True):
        left = length - len(chosen)
        count = _choose([each.strings(count, left) * endings[left - count] for count in range(left + 1)])
        chosen += (secrets.choice(each.characters) for _ in range(count))
    secrets.SystemRandom().shuffle(chosen)
    return "".join(chosen)


@lru_cache(maxsize=8)
def _endings(classes: tuple[CharacterClass, ...], length: int) -> Sequence[Sequence[int]]:
    """Count, for each class, the strings of each length up to this one that have enough of all classes behind it.

    The counts say nothing of a password. They are kept, for they take 0.7 ms, a tenth of createSecret.
    """
    counted = [[1] + [0] * length]  # no class is behind the last
    for each in reversed(classes[1:]):
        shorter = counted[0]
        counted.insert(
            0, [sum(each.strings(k, left) * shorter[left - k] for k in range(left + 1)) for left in range(length + 1)]
        )
    return counted


def _choose(weights: Sequence[int]) -> int:
    """Return a position in the list: the higher its weight, the likelier."""
    number = secrets.randbelow(sum(weights))
    for position, weight in enumerate(weights):
        if number < weight:
            return position
        number -= weight
    raise AssertionError
