"""How do the two users of a pair differ in a database, and which statements end each difference?

Nobody can lock a user of RDS for Db2: it has no such procedure. Who is to be kept out loses CONNECT, or the group or
role that has it, and this is a difference like any other.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Self

from rotation.engine import Comparison, Difference, state
from rotation.engines.db2.access import Access
from rotation.engines.db2.by_rds import Call, add_to_group, call, remove_from_group
from rotation.engines.db2.kind import normal_name
from rotation.engines.db2.rights import (
    DBADM_RIGHT,
    NOT_FENCED,
    PART_OF_DBADM,
    Change,
    Right,
    Rights,
    changes,
    including_first,
    missing,
    surplus,
)
from rotation.values import dataclass

CONTROL: Final = "CONTROL "

WITH_CONTROL: Final = {
    "ON TABLE": ("ALTER", "DELETE", "INDEX", "INSERT", "REFERENCES", "SELECT", "UPDATE"),
    "ON PACKAGE": ("BIND", "EXECUTE"),
}
"""What a grant of CONTROL brings with it, each WITH GRANT OPTION. REVOKE CONTROL leaves all of it."""

WITH_GRANT: Final = " WITH GRANT OPTION"

FENCED: Final = "CREATE_EXTERNAL_ROUTINE ON DATABASE"
"""Comes with CREATE_NOT_FENCED_ROUTINE."""

WITH_DBADM: Final = (Right("ACCESSCTRL ON DATABASE"), Right("DATAACCESS ON DATABASE"))
"""What can come with DBADM: RDS does not document what its procedure grants."""

STEPS: Final = 3
"""How many times rights on one object are changed until they are what is wanted: CONTROL brings too many."""


@dataclass(frozen=True)
class Side:
    """One of the two users, and what it has."""

    name: str
    groups: frozenset[str]
    rights: Rights

    @property
    def grantee(self) -> str:
        """Return the name, as the catalog has it."""
        return normal_name(self.name)

    @property
    def state(self) -> str:
        """Return what stands for all that a rotation copies of this user."""
        groups = (f"group {group}" for group in self.groups)
        granted = (f"granted {right}" for right in self.rights.granted)
        return state([*groups, *granted, *(f"owned {right}" for right in self.rights.owned)])

    def phrase(self, rights: Iterable[str]) -> str:
        """Say which of these rights the user has, with their options; an empty text for none."""
        return " and ".join(str(has) for right in rights for has in sorted(self.rights.all) if has.what == right)

    def with_rights(self, rights: Iterable[Right]) -> Self:
        """Return the user after these rights were granted."""
        return replace(self, rights=Rights(self.rights.granted | set(rights), self.rights.owned))

    def after(self, change: Change) -> Self:
        """Return the user after a change of its rights."""
        if change.grants:
            return self.with_rights([change.right, *_brought(change.right)])
        kept = frozenset(right for right in self.rights.granted if right.key != change.right.key)
        return replace(self, rights=Rights(kept, self.rights.owned))

    def outside(self, group: str) -> Self:
        """Return the user after it was removed from a group."""
        return replace(self, groups=self.groups - {group})


@dataclass(frozen=True)
class _Thing:
    """Rights that can only change together."""

    shown: Sequence[str]
    """Those that a sentence names."""
    rights: frozenset[str]


@dataclass(frozen=True)
class Db2Comparison:
    """The user and the other user in one database, side by side."""

    user: Side
    other: Side
    database: str
    read_access: Callable[[], Access]
    """Returns through which groups and roles users enter the database."""

    def result(self) -> Comparison:
        """Compare the two."""
        differences = [*self._groups(), *self._rights()]
        return Comparison(differences, self.user.state, self.other.state, passing=frozenset(self._passing()))

    def sentences(self) -> Iterator[str]:
        """Say how the rights of the two differ."""
        yield from map(self._sentence, self._things())

    def _groups(self) -> Iterator[Difference]:
        user, other = self.user, self.other
        for group in sorted(user.groups - other.groups):
            taken = self._unless_locked_out([remove_from_group(user.name, group)], user.outside(group))
            what = f"{other.name} is not in the group {group}"
            yield Difference(what, str(add_to_group(other.name, group)), taken)
        for group in sorted(other.groups - user.groups):
            what = f"{other.name} is in the group {group}, {user.name} is not"
            taken = str(remove_from_group(other.name, group))
            yield Difference(what, taken, str(add_to_group(user.name, group)))

    def _rights(self) -> Iterator[Difference]:
        for thing in self._things():
            ends = self._texts(_toward(self.other, self.user, thing.rights))
            yield Difference(self._sentence(thing), ends, self._change_user(thing))

    def _things(self) -> Iterator[_Thing]:
        """Yield what differs. What one statement grants or revokes together is one thing."""
        lacking, surplus_ = missing(self.user.rights, self.other.rights), surplus(self.user.rights, self.other.rights)
        differing = {right.what: right for right in sorted(lacking | surplus_)}
        leaders = {right.place: right for what, right in differing.items() if what.startswith(CONTROL)}
        together: dict[str, list[Right]] = {}
        for right in sorted(differing.values(), key=lambda one: (one not in lacking, *including_first(one))):
            together.setdefault(leaders.get(right.place, right).key, []).append(right)
        for rights in together.values():
            first, *more = sorted(rights, key=including_first)
            # All that goes in the direction of CONTROL comes or goes with it, so it is not named.
            same = (lacking if first in lacking else surplus_) if first.place in leaders else ()
            shown = [first.what, *(right.what for right in more if right not in same)]
            yield _Thing(shown, frozenset({first.what, *(right.what for right in more)}))

    def _change_user(self, thing: _Thing) -> str:
        """Say how the user gets what the other has, and loses what the other has not."""
        user, other = self.user, self.other
        if any(right.what in thing.rights for right in user.rights.owned - other.rights.all):
            return (
                f"transfer the ownership from {user.name} to somebody else (TRANSFER OWNERSHIP):"
                f" nobody revokes {thing.shown[0]} from an owner"
            )
        ends, after = _toward(user, other, thing.rights), user
        for change in ends:
            after = after.after(change)
        return self._unless_locked_out(ends, after)

    def _unless_locked_out(self, steps: Sequence[Change | Call], after: Side) -> str:
        """Return the statements that take something from the user; words, if the user could do nothing after that."""
        user = self.user
        is_taken = any(not step.grants if isinstance(step, Change) else True for step in steps)
        if is_taken and self.read_access().is_lost(user.rights, user.groups, after.rights, after.groups):
            return f"use the single-user strategy, because {user.name} cannot work without it"
        return self._texts(steps)

    def _texts(self, steps: Iterable[Change | Call]) -> str:
        return "; ".join(str(step) if isinstance(step, Call) else self._text(step) for step in steps)

    def _text(self, change: Change) -> str:
        return str(call(change, self.database) or change.statement)

    def _sentence(self, thing: _Thing) -> str:
        user_has, other_has = (side.phrase(thing.shown) for side in (self.user, self.other))
        if not other_has:
            return f"{self.other.name} lacks {user_has}"
        return f"{self.other.name} has {other_has}, {self.user.name} has {user_has or 'not'}"

    def _passing(self) -> Iterator[str]:
        """Yield the differences that a rotation makes, and ends.

        It commits before RDS's procedures run, and before it takes what CONTROL brought. A REVOKE takes more than one
        right of a table's columns, and what is to stay is granted again.
        """
        revoked = changed = self.other
        for change in changes(self.user.rights, self.other.rights, self.other.grantee):
            changed = changed.after(change)
            if change.right == DBADM_RIGHT and change.grants:
                changed = changed.with_rights(WITH_DBADM)
            revoked = revoked if change.grants else changed
        for other in (revoked, changed):
            yield from replace(self, other=other).sentences()


def _toward(side: Side, model: Side, things: Collection[str]) -> list[Change]:
    """Return the changes after which a user has these rights as the model has them, and all others as before."""
    rights = side.rights.within({right.place for right in side.rights.all | model.rights.all if right.what in things})
    if DBADM_RIGHT.what not in things:
        rights = Rights(rights.granted - {DBADM_RIGHT}, rights.owned)
    kept = {right for right in rights.all if right.what not in things}
    wanted = Rights(frozenset(kept | {right for right in model.rights.all if right.what in things}), frozenset())
    now, steps = replace(side, rights=rights), list[Change]()
    for _ in range(STEPS):
        for change in changes(wanted, now.rights, side.grantee):
            steps.append(change)
            now = now.after(change)
    has_dbadm = DBADM_RIGHT in side.rights.all & model.rights.all
    if has_dbadm and any(not change.grants and change.right.key in PART_OF_DBADM for change in steps):
        return [
            Change(DBADM_RIGHT, grants=False, grantee=side.grantee),
            *steps,
            Change(DBADM_RIGHT, grants=True, grantee=side.grantee),
        ]
    return steps


def _brought(right: Right) -> Iterator[Right]:
    """Yield what a grant of this right also grants."""
    if right.what == NOT_FENCED:
        yield Right(FENCED)
    if right.what.startswith(CONTROL):
        kind = next((kind for kind in WITH_CONTROL if right.place.startswith(kind)), "")
        for privilege in WITH_CONTROL.get(kind, ()):
            key = f"{privilege} {right.place}"
            yield Right(key, WITH_GRANT, key, on=right.place)
