"""How do the two users of a pair differ in a database, and which statements end each difference?

Nobody can lock a user of RDS for Db2: it has no such procedure. Who is to be kept out loses CONNECT, or the group or
role that has it, and this is a difference like any other.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rotation.engine import Comparison, Difference, state
from rotation.engines.db2.access import Access
from rotation.engines.db2.by_rds import Call, add_to_group, call, remove_from_group
from rotation.engines.db2.kind import normal_name
from rotation.engines.db2.rights import (
    DBADM_RIGHT,
    NOT_FENCED,
    Change,
    Right,
    Rights,
    changes,
    including_first,
    missing,
    surplus,
)

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

    def options(self, what: str) -> frozenset[str]:
        """Return the options with which the user has a right; none if it has not."""
        return frozenset(right.option for right in self.rights.all if right.what == what)

    def after(self, change: Change) -> "Side":
        """Return the user after a change of its rights."""
        granted = set(self.rights.granted)
        if change.grants:
            granted |= {change.right, *_brought(change.right)}
        else:
            granted -= {right for right in granted if right.key == change.right.key}
        return Side(self.name, self.groups, Rights(frozenset(granted), self.rights.owned))

    def outside(self, group: str) -> "Side":
        """Return the user after it was removed from a group."""
        return Side(self.name, self.groups - {group}, self.rights)


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
        for leader, things in self._things():
            ends_at_other = _toward(self.other, self.user, things)
            yield Difference(self._sentence(leader.what), self._texts(ends_at_other), self._change_user(leader, things))

    def _things(self) -> Iterator[tuple[Right, frozenset[str]]]:
        """Yield the rights that differ. CONTROL and what came with it are one thing: one statement grants all of it."""
        more_at_user, more_at_other = (
            {right.what: right for right in sorted(found)}
            for found in (missing(self.user.rights, self.other.rights), surplus(self.user.rights, self.other.rights))
        )
        for side in (more_at_user, {what: more_at_other[what] for what in more_at_other.keys() - more_at_user.keys()}):
            leaders = {right.place: right for what, right in side.items() if what.startswith(CONTROL)}
            together: dict[Right, set[str]] = {}
            for what, right in sorted(side.items(), key=lambda item: including_first(item[1])):
                together.setdefault(leaders.get(right.place, right), set()).add(what)
            yield from ((leader, frozenset(things)) for leader, things in together.items())

    def _change_user(self, leader: Right, things: frozenset[str]) -> str:
        """Say how the user gets what the other has, and loses what the other has not."""
        user, other = self.user, self.other
        if any(right.what in things for right in user.rights.owned - other.rights.all):
            return (
                f"transfer the ownership from {user.name} to somebody else (TRANSFER OWNERSHIP):"
                f" nobody revokes {leader.what} from an owner"
            )
        ends, after = _toward(user, other, things), user
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

    def _sentence(self, what: str, other_options: frozenset[str] | None = None) -> str:
        """Say how the two differ in a right. `other_options`: if the other had it with these options."""
        user, other = self.user, self.other
        user_has = _phrase(what, user.options(what))
        other_has = _phrase(what, other.options(what) if other_options is None else other_options)
        if not other_has:
            return f"{other.name} lacks {user_has}"
        return f"{other.name} has {other_has}, {user.name} has {user_has or 'not'}"

    def _passing(self) -> Iterator[str]:
        """Yield the differences that a rotation makes, and ends.

        It commits before RDS's procedures run, and before it takes what CONTROL brought. A REVOKE takes more than one
        right of a table's columns, and what is to stay is granted again.
        """
        user, nothing = self.user, frozenset[str]()
        for change in changes(user.rights, self.other.rights, self.other.grantee):
            if change.grants:
                brought = WITH_DBADM if change.right == DBADM_RIGHT else _brought(change.right)
                for right in brought:
                    if user.options(right.what) != {right.option}:
                        yield self._sentence(right.what, frozenset({right.option}))
            else:
                again = {right.what for right in user.rights.all if right.key == change.right.key}
                yield from (self._sentence(what, nothing) for what in again)


def _toward(side: Side, model: Side, things: Collection[str]) -> list[Change]:
    """Return the changes after which a user has these rights as the model has them, and all others as before."""
    places = {right.place for right in side.rights.all | model.rights.all if right.what in things}
    now = Side(side.name, side.groups, side.rights.within(places))
    kept = {right for right in now.rights.all if right.what not in things}
    wanted = Rights(frozenset(kept | {right for right in model.rights.all if right.what in things}), frozenset())
    steps: list[Change] = []
    for _ in range(STEPS):
        for change in changes(wanted, now.rights, side.grantee):
            steps.append(change)
            now = now.after(change)
    if DBADM_RIGHT in wanted.all & now.rights.all and now.rights.all - wanted.all:
        return [*steps, *_around_dbadm(now.rights.granted - wanted.all, side.grantee)]
    return steps


def _around_dbadm(rights: Iterable[Right], grantee: str) -> Iterator[Change]:
    """Yield what revokes rights that are part of DBADM from a user who keeps it."""
    yield Change(DBADM_RIGHT, grants=False, grantee=grantee)
    yield from (Change(right, grants=False, grantee=grantee) for right in sorted(rights))
    yield Change(DBADM_RIGHT, grants=True, grantee=grantee)


def _brought(right: Right) -> Iterator[Right]:
    """Yield what a grant of this right also grants."""
    if right.what == NOT_FENCED:
        yield Right(FENCED)
    if right.what.startswith(CONTROL):
        kind = next((kind for kind in WITH_CONTROL if right.place.startswith(kind)), "")
        for privilege in WITH_CONTROL.get(kind, ()):
            key = f"{privilege} {right.place}"
            yield Right(key, WITH_GRANT, key, on=right.place)


def _phrase(what: str, options: Collection[str]) -> str:
    return " and ".join(f"{what}{option}" for option in sorted(options))
