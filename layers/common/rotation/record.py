"""Which of the two users of a pair did an administrator change?

A rotation makes the other user of a pair what the current one is. So it follows a change of the current user. But if
somebody changed the *other* user since the last rotation, the same statements would undo that change. The two states
alone do not say which of the two was changed. So each rotation records how it left them, in staging labels on its own
version of the secret:

    RotationEqual-STATE-STATE-FOUND   the two were equal, and had these states; an application found this as the user
    RotationBegun-HASH-HASH-…         a rotation began to end these differences; RotationBegun-ALL: all that there are

    the two do not differ                        → go on
    they differ, and a rotation had begun that   → it was interrupted: end it
    they differ, the other is as it was recorded → the current user was changed: follow
    else                                         → refuse, with the two statements for each difference

The parts of a label are hashes, in any order. A rotation makes the hash of what it sees, and looks for it in the label.

Whoever can write the labels holds both users' passwords already. A false label makes the other user what the current
one is, or lets a pair pass in which an application finds something else; it does nothing more. A secret keeps a version
as long as it has a label, and has 20 labels at most
(https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html).
"""

import itertools
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, Self

from rotation.engine import Comparison, Difference, state
from rotation.errors import RETRIED, RightsDiffer
from rotation.values import dataclass

EQUAL: Final = "RotationEqual-"
BEGUN: Final = "RotationBegun-"
EVERYTHING = frozenset({"ALL"})
"""What a rotation began to end, if that does not fit into a label, or if it created the other user."""

HASH_LENGTH, MOST_HASHES = 6, 34
"""Letters of a hash, and how many of them fit into one label of 256 characters."""

MOST_STATES = 9
"""How many states fit into one label. There can be more, if several rotations were cut off while they recorded."""

MOST_LISTED = 20
"""How many differences one message lists."""


@dataclass(frozen=True)
class PairRecord:
    """What the labels of a secret say about its pair."""

    equal: frozenset[str] = frozenset()
    """The states of the two when a rotation left them equal, and what an application found as the user."""
    begun: frozenset[str] | None = None
    """What a rotation began to end, and did not record as ended: hashes of differences."""

    @classmethod
    def from_labels(cls, labels: AbstractSet[str]) -> Self:
        """Read the labels; others than ours say nothing."""
        begun = [label for label in labels if label.startswith(BEGUN)]
        return cls(_parts(EQUAL, labels), _fitting(_parts(BEGUN, begun)) if begun else None)

    @property
    def labels(self) -> frozenset[str]:
        """The labels that say this."""
        equal = [EQUAL + "-".join(parts) for parts in itertools.batched(sorted(self.equal), MOST_STATES, strict=False)]
        return frozenset([*equal, *([] if self.begun is None else [BEGUN + "-".join(sorted(self.begun))])])

    def beginning(self, comparison: Comparison | None) -> "PairRecord":
        """Return the record of a rotation that begins to end these differences; None: the other user is new."""
        if comparison is None:
            return PairRecord(self.equal, EVERYTHING)
        sentences = {*comparison.sentences, *comparison.passing}
        return PairRecord(self.equal, _fitting(frozenset(map(_hash, sentences)) | (self.begun or frozenset())))

    def finding(self, found: Mapping[str, str]) -> "PairRecord":
        """Return this record of an end, with what an application finds as the current user; {}: that is not known."""
        return PairRecord(self.equal | {_found(found)})

    def has_found(self, found: Mapping[str, str]) -> bool:
        """Tell whether a rotation recorded that an application finds this, by name, and nothing else."""
        return _found(found) in self.equal

    def require_known(self, comparison: Comparison, user: str, other: str) -> None:
        """Raise RightsDiffer if to end these differences could undo what somebody did to the other user."""
        self.require_not_locked(comparison, user, other)
        was_interrupted = self._was_interrupted(comparison)
        left = [one for one in comparison.differences if not (was_interrupted and one.can_follow)]
        if not all(one.can_follow for one in left):
            raise differ(left, user, other, "and not all of them can be ended by a rotation")
        if was_interrupted:
            return
        if comparison.differences and _of(other, comparison.other_state) not in self.equal:
            raise differ(comparison.differences, user, other, self._why(comparison, user, other))

    def require_not_locked(self, comparison: Comparison, user: str, other: str) -> None:
        """Raise RightsDiffer if the other user is locked, and no rotation has begun to do that."""
        if comparison.unlock and not self._began_to_lock(comparison, comparison.unlock):
            raise RightsDiffer(
                f"preparing {other}, which takes turns with {user}",
                f"somebody has locked {other}, and the rotation would let it log in",
                f"Run {comparison.unlock}; or use the single-user strategy",
            )

    def _began_to_lock(self, comparison: Comparison, unlock: str) -> bool:
        """Tell whether a rotation locked the other user: it was creating it, or said so (`Comparison.passing`)."""
        if self.begun is None or comparison.is_locked_by_somebody:
            return False
        return self.begun == EVERYTHING or _hash(unlock) in self.begun

    def _was_interrupted(self, comparison: Comparison) -> bool:
        if self.begun is None:
            return False
        return self.begun == EVERYTHING or {_hash(text) for text in comparison.sentences} <= self.begun

    def _why(self, comparison: Comparison, user: str, other: str) -> str:
        if not self.equal:
            return "and no rotation has recorded that they were equal, so the right one of the two is not known"
        is_same = _of(user, comparison.user_state) in self.equal
        changed = f"{other} was changed" if is_same else f"{other} and {user} were changed"
        return f"and {changed} since the last rotation, which would undo that"


def is_ours(label: str) -> bool:
    """Tell whether a label belongs to the record of a pair."""
    return label.startswith((EQUAL, BEGUN))


def ended(comparison: Comparison, user: str, other: str) -> PairRecord:
    """Return the record of a rotation that left the two equal."""
    return PairRecord(frozenset({_of(user, comparison.user_state), _of(other, comparison.other_state)}))


def differ(differences: Collection[Difference], user: str, other: str, why: str = "") -> RightsDiffer:
    """Return the error that lists the differences, each with the statement for either user."""
    listed, more = list(differences)[:MOST_LISTED], len(differences) - MOST_LISTED
    numbered = [f"({number}) {one.what}" for number, one in enumerate(listed, 1)]
    statements = [f"({number}) {one.change_other} or {one.change_user}" for number, one in enumerate(listed, 1)]
    return RightsDiffer(
        f"comparing the rights of {other} with those of {user}",
        "; ".join([*numbered, *([f"{more} more"] if more > 0 else []), *([why] if why else [])]),
        f"Run one of the two statements for each difference: {' '.join(statements)}. {RETRIED}",
    )


def _parts(prefix: str, labels: Collection[str]) -> frozenset[str]:
    found = (label.removeprefix(prefix).split("-") for label in labels if label.startswith(prefix))
    return frozenset(part for parts in found for part in parts if part)


def _fitting(begun: frozenset[str]) -> frozenset[str]:
    """Return what a rotation began to end, as one label can say it. Several say it if the recording was cut off."""
    return EVERYTHING if begun >= EVERYTHING or len(begun) > MOST_HASHES else begun


def _of(user: str, its_state: str) -> str:
    """Return the state as one of this user: it is never compared with that of another one."""
    return state([user, its_state])


def _found(found: Mapping[str, str]) -> str:
    return state(f"{name} is {value}" for name, value in found.items())


def _hash(sentence: str) -> str:
    return state([sentence])[:HASH_LENGTH]
