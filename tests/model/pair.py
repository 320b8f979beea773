"""What did administrators do to the two users of a pair, and what must a rotation leave as it is?

This knows what the server did and when, which the program does not. So it knows who changed what. It does not read the
labels of the program.

What it allows, because the program cannot know better:

- An administrator changes something back to what it was when a rotation last ended. Then nothing was changed.
- An administrator changes something between the comparison of a setSecret and its statements.
- A rotation was interrupted, and an administrator changes at the other user what the rotation was changing. If it was
  creating the other user, that is everything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rotation.kind import counterpart
from rotation.steps import Step
from tests.model.invocations import Fault, Invocation
from tests.model.scenario import USERS, Scenario

type Rights = frozenset[str]


@dataclass(frozen=True)
class Act:
    """What an administrator did last to one right of one user."""

    granted: bool
    at: int


@dataclass
class Trace:
    """What a setSecret can have recorded, and when it looked."""

    invocation: Invocation
    at: int
    rights: Rights | None
    """Those that it left equal, or those that it began to change: None if it began to create the user."""
    other: str
    recorded_at: int
    """When that was recorded, or can have been."""


@dataclass
class Pair:
    """The pair, as one sees it who sees everything."""

    scenario: Scenario
    acts: dict[tuple[str, str], Act] = field(default_factory=dict)
    locked: dict[str, tuple[tuple[str, ...], int]] = field(default_factory=dict)
    """Whom an administrator has locked: the passwords it had, and when."""
    equal: list[Trace] = field(default_factory=list)
    """How rotations left the two: one, unless a rotation was interrupted when it recorded it."""
    begun: list[Trace] = field(default_factory=list)
    """What rotations began to change, and did not end."""
    ended: list[tuple[float, Trace]] = field(default_factory=list)
    """What rotations began to change, and ended, and when in seconds: answers from the past can still show it."""
    acted_at: int = -1
    is_touched: bool = False
    """Whether anybody has changed one of the two since a rotation last left them equal."""
    is_unclear: bool = False
    """Whether something else than a change of the current user, and of it alone, has happened since."""
    changed: str | None = None
    """The user that was changed, if that is clear."""

    # What administrators do

    def change(self, username: str, right: str, now: int, under_way: Sequence[Invocation], *, granted: bool) -> bool:
        """Grant it, or revoke it; tell whether that changed anything."""
        rights = self.scenario.database.users[username].rights
        if (right in rights) == granted:
            return False
        (rights.add if granted else rights.discard)(right)
        self.acts[username, right] = Act(granted, now)
        self._note(username, now, under_way)
        return True

    def lock(self, username: str, now: int, under_way: Sequence[Invocation]) -> None:
        """Let it log in no more."""
        user = self.scenario.database.users[username]
        if user.verifiers:
            self.locked[username] = user.verifiers, now
            user.verifiers = ()
            self._note(username, now, under_way)

    def unlock(self, username: str) -> None:
        """Let it log in again; one that never could gets a password."""
        verifiers, _ = self.locked.pop(username, ((), 0))
        if verifiers:
            self.scenario.database.users[username].verifiers = verifiers
        elif not self.scenario.database.users[username].verifiers:
            self.scenario.change_password(username)

    def drop(self, username: str) -> None:
        """Remove it: the next rotation creates it anew."""
        del self.scenario.database.users[username]
        self.locked.pop(username, None)
        self.acts = {key: act for key, act in self.acts.items() if key[0] != username}
        self.is_touched = self.is_unclear = False
        self.changed = None

    def forget(self) -> None:
        """Remove what is recorded about the pair."""
        self.scenario.remove_record()
        self.equal, self.begun = [], []
        self.is_touched = self.is_unclear = True

    def _note(self, username: str, now: int, under_way: Sequence[Invocation]) -> None:
        other, current = counterpart(username), self.scenario.read().credential.username
        is_compared = any(invocation.has_looked for invocation in under_way)
        if other not in self.scenario.database.users and not is_compared:
            return  # it is created later, with what there is then
        as_recorded = len(self.equal) == 1 and self.equal[0].rights == self.scenario.rights(other)
        is_clear = username == current and as_recorded and not (self.begun or is_compared or self.locked)
        self.acted_at, self.is_touched = now, True
        if is_clear and self.changed in {None, username}:
            self.changed = username
        else:
            self.is_unclear = True

    # What must be

    def must_rotate(self) -> bool:
        """Tell whether a rotation has no reason to refuse because the two differ."""
        current = self.scenario.read().credential.username
        other = self.scenario.database.users.get(counterpart(current))
        if not other or not self.is_touched or (not self.differing() and other.verifiers):
            return True
        return self.changed == current and not self.is_unclear

    def is_recorded(self) -> bool:
        """Tell whether the two are what the last rotation has recorded, so that there is nothing to record."""
        other = counterpart(self.scenario.read().credential.username)
        is_left = len(self.equal) == 1 and not self.begun and not self.is_touched
        return is_left and other in self.scenario.database.users

    def differing(self) -> Rights:
        """Return the rights that one of the two has."""
        return self.scenario.rights(USERS[0]) ^ self.scenario.rights(USERS[1])

    def statements(self) -> set[str]:
        """Return what RightsDiffer must list at this moment: for each difference, a statement for either user."""
        found = set()
        for right in self.differing():
            has, lacks = USERS if right in self.scenario.rights(USERS[0]) else reversed(USERS)
            found |= {f"GRANT {right} TO {lacks}", f"REVOKE {right} FROM {has}"}
        return found

    def undone(self, invocation: Invocation, before: Mapping[str, Rights]) -> str | None:
        """Tell which act of an administrator a call has undone, if it has undone one."""
        for name in USERS:
            now = self.scenario.rights(name)
            for right in before[name] ^ now:
                if self._is_undone(invocation, name, right, granted=right in now):
                    return f"gave {right} to {name}" if right in now else f"took {right} from {name}"
        return self._unlocked(invocation)

    def _is_undone(self, invocation: Invocation, name: str, right: str, *, granted: bool) -> bool:
        act, model = self.acts.get((name, right)), self.acts.get((counterpart(name), right))
        if not act or act.granted == granted:
            return False
        followed = model and model.granted == granted and model.at > act.at
        net_nothing = any((right in (trace.rights or ())) == (not granted) for trace in self.equal)
        return not (followed or net_nothing or self._is_excused(invocation, act.at, name, right))

    def _unlocked(self, invocation: Invocation) -> str | None:
        for name, (_, at) in list(self.locked.items()):
            if self.scenario.database.users[name].verifiers:
                del self.locked[name]
                if not self._is_excused(invocation, at, name, None):
                    return f"unlocked {name}"
        return None

    def _is_excused(self, invocation: Invocation, at: int, name: str, right: str | None) -> bool:
        """Tell whether an administrator did something where the program cannot know that it was one."""
        if invocation.compared_at is not None and at > invocation.compared_at:
            return True
        seen = [trace for ended, trace in self.ended if invocation.saw_past and ended > invocation.began_after]
        return any(
            trace.at < at and (trace.rights is None or (trace.other == name and right in trace.rights))
            for trace in [*self.begun, *seen]
        )

    # What rotations do

    def note_call(self, invocation: Invocation, call: str, fault: Fault | None, now: int) -> None:
        """Note what a setSecret is about to see, or to record."""
        if invocation.step is not Step.SET or fault is Fault.REFUSED:
            return
        other = call.rpartition(" ")[2]
        if call.startswith("look at "):
            invocation.has_looked = True
            if other not in self.scenario.database.users:
                invocation.compared_at, invocation.compared, invocation.differing = now, other, None
        elif call.startswith("compare ") and not invocation.has_mirrored:
            invocation.compared_at, invocation.compared, invocation.differing = now, other, self.differing()
        elif call.startswith("compare ") and not self.differing():
            invocation.equal = Trace(invocation, now, self.scenario.rights(other), other, now)
            self.equal.append(invocation.equal)
        elif call.startswith("read the rights of "):
            invocation.has_mirrored = True
        elif call == "DescribeSecret":
            invocation.read_at = now
        elif call == "UpdateSecretVersionStage" and isinstance(invocation.equal, Trace):
            invocation.equal.recorded_at = now
        elif call == "UpdateSecretVersionStage" and invocation.compared_at is not None and not invocation.has_mirrored:
            self.begun.append(Trace(invocation, invocation.compared_at, invocation.differing, invocation.compared, now))

    def note_overtaken(self, invocation: Invocation, call: str, before: Mapping[str, Rights]) -> None:
        """Note what a step does that others have overtaken: nobody can hold it to anything."""
        if self.differing() - (before[USERS[0]] ^ before[USERS[1]]):
            self.is_touched = self.is_unclear = True
        if invocation.step is Step.SET and call == "UpdateSecretVersionStage":
            self.is_unclear = True
        self._unlocked(invocation)

    def note_success(self, invocation: Invocation, under_way: Sequence[Invocation]) -> None:
        """Note that a rotation left the two equal, and has recorded it."""
        if not isinstance(equal := invocation.equal, Trace):
            return

        read_at = max(invocation.began_at, invocation.read_at)

        def can_be_recorded(trace: Trace) -> bool:
            is_under_way = any(trace.invocation is other for other in under_way)
            return trace.invocation is not invocation and (is_under_way or trace.recorded_at > read_at)

        self.ended += [(self.scenario.service.now, trace) for trace in self.begun if not can_be_recorded(trace)]
        self.equal = [equal, *filter(can_be_recorded, self.equal)]
        self.begun = [*filter(can_be_recorded, self.begun)]
        self.acts = {key: act for key, act in self.acts.items() if act.at > equal.at}
        self.is_touched = self.is_unclear = self.acted_at > equal.at
        self.changed = None
