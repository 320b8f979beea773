"""What was found about one secret, before anybody says what it means?"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from enum import StrEnum
from functools import cached_property

from rotation import strategies
from rotation.credential import SecretValue
from rotation.doctor.versions import Version
from rotation.errors import RotationError
from rotation.kind import EngineKind
from rotation.preflight.description import Description
from rotation.record import is_ours
from rotation.staging import CURRENT, PENDING, PREVIOUS
from rotation.strategies import RotationStrategy
from rotation.values import dataclass


class Verdict(StrEnum):
    """What the server says of the login in one version."""

    LOGS_IN = "logs in"
    REFUSED = "is refused"
    NOT_TRIED = "was not tried"


@dataclass(frozen=True)
class Case:
    """A secret, and which of its versions log in."""

    description: Description
    versions: Sequence[Version]
    """The newest first."""
    kind: EngineKind
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    """By the version's id; missing: it was not tried."""
    expiry: str = ""
    """What the server says of the end of AWSCURRENT's password; empty: nothing, or that it is good."""
    can_be_behind: bool = False
    """Whether passwords are set at another host than the one that refuses AWSCURRENT: that one gets them later."""

    def verdict(self, version: Version) -> Verdict:
        """Return what the server said of this version."""
        return self.verdicts.get(version.identity, Verdict.NOT_TRIED)

    def logs_in(self, version: Version) -> bool:
        """Tell whether this version has logged in."""
        return self.verdict(version) is Verdict.LOGS_IN

    @cached_property
    def current(self) -> Version | None:
        """The version that has AWSCURRENT."""
        return next((one for one in self.versions if CURRENT in one.labels), None)

    @cached_property
    def pending(self) -> Version | None:
        """The version that has AWSPENDING, if it is not current."""
        return next((one for one in self.versions if PENDING in one.labels and one != self.current), None)

    @property
    def login(self) -> SecretValue | None:
        """What AWSCURRENT holds, if it is a login."""
        return self.current.value if self.current else None

    @property
    def newer(self) -> list[Version]:
        """The versions that are newer than AWSCURRENT and hold a login, the newest first; without the pending one.

        As in a rotation, versions that have labels of others are left alone.
        """
        if not self.current:
            return []
        newer = self.versions[: self.versions.index(self.current)]
        return [one for one in newer if one.value and one != self.pending and not _is_labelled_by_others(one)]

    @property
    def older(self) -> list[Version]:
        """The versions that are older than AWSCURRENT and hold a login: AWSPREVIOUS first, then the newest."""
        if not self.current:
            return []
        older = self.versions[self.versions.index(self.current) + 1 :]
        found = [one for one in older if one.value and one != self.pending]
        return sorted(found, key=lambda one: PREVIOUS not in one.labels)

    def user(self, version: Version) -> str:
        """Return the user of a version, as the server keeps its name."""
        return self.kind.normal_name(version.value.credential.username) if version.value else ""

    def is_same_user(self, version: Version) -> bool:
        """Tell whether this version names the user of AWSCURRENT."""
        return self.current is not None and self.user(version) == self.user(self.current)

    @cached_property
    def strategy(self) -> RotationStrategy | None:
        """The strategy that AWSCURRENT asks for; None if it asks for none that is possible."""
        if not self.login:
            return None
        with contextlib.suppress(RotationError):
            return strategies.choose(self.login, self.kind)
        return None

    @cached_property
    def next_user(self) -> str:
        """The user that gets the next password: that of AWSCURRENT, or the other one of a pair; empty: not known."""
        with contextlib.suppress(RotationError):
            return self.strategy.next_username(self.login) if self.strategy and self.login else ""
        return ""

    def can_follow(self, version: Version) -> bool:
        """Tell whether a rotation could make this version current: the same place, and the user whose turn it is.

        The same comparison as that of a rotation (`rotation.steps`, rule 5). True if AWSCURRENT does not tell.
        """
        if not self.login or not self.next_user or not version.has_value:
            return True
        if not version.value:
            return False
        password = version.value.credential.password
        return version.value.credential == replace(self.login.credential, username=self.next_user, password=password)


def _is_labelled_by_others(version: Version) -> bool:
    return any(label not in (PREVIOUS, PENDING) and not is_ours(label) for label in version.labels)
