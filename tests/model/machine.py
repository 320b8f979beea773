"""What may happen to a rotation, in which order soever, and what holds all the while?

The rules say what the service, the network, the Lambda runtime, operators and attackers do. What must hold are the
promises of the design, as far as they can be seen here; each is checked after every single call, and where a step or a
rotation ends. What an operator breaks by hand we did not promise; that none of *our* calls breaks it, we did.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from rotation.credential import SecretValue
from rotation.errors import (
    LoginRefused,
    NotRotatable,
    OutOfTime,
    RightsDiffer,
    RotationError,
    ServiceFailed,
    Unexpected,
    Unreachable,
    Unsafe,
)
from rotation.kind import Strategy, counterpart
from rotation.logins import NEWER_PASSWORDS
from rotation.steps import Step
from tests.fakes import CURRENT, PENDING, PREVIOUS, PRIMARY, reading
from tests.laboratories import INVOICES, ORDERS
from tests.model.database import IMPOSTOR, KIND
from tests.model.invocations import Fault, Invocation
from tests.model.pair import Pair
from tests.model.scenario import ADMIN, CLONE, TELLTALE, USERS, VICTIM, Scenario
from tests.model.service import WINDOW

MOST_AT_ONCE = 3
GAPLESS = {Strategy.ALTERNATING_USERS, Strategy.DUAL_PASSWORD}
CONNECTIONS = 5
"""How many a healthy rotation makes at most: the last is for a clone that has no mark."""

ENDLESS = 200
"""More calls than any step makes."""

FORGERIES: list[dict[str, object]] = [
    {},
    {"host": IMPOSTOR},
    {"username": VICTIM},
    {"username": ADMIN},
    {"username": VICTIM, "host": IMPOSTOR},
    {"port": 1},
    {"ssl": False},
]
"""What somebody who may write the secret puts into it, with a password of his own."""

RIGHTS = [reading(INVOICES), "write orders", "write invoices"]
"""What administrators grant and revoke. The application needs another one, which stays."""

STATEMENT = re.compile(r"\b(GRANT|REVOKE) ([a-z_ ]+?) (?:TO|FROM) (\w+)|\bALTER USER (\w+) UNLOCK")
"""What RightsDiffer lists."""

MOST_REMEDIES = 4
"""How many things can stand in the way of one rotation, one after the other."""

FOLLOWING: list[dict[str, object]] = [{"username": username} for username in USERS]
"""What an operator puts into a pending version by hand: it follows if it is that user's turn."""

FAULTS = st.sampled_from([None, *Fault])
A_FEW = st.integers(1, 6)
WHICH = st.integers(0, MOST_AT_ONCE - 1)


@dataclass(frozen=True)
class Snapshot:
    """What was true before a call."""

    labels: dict[str, str]
    current: SecretValue
    current_works: bool
    cached_works: bool
    pending_works: bool
    rights: dict[str, frozenset[str]]
    users: dict[str, object]


class RotationMachine(RuleBasedStateMachine):
    """All that can happen to a secret of one strategy."""

    strategy: ClassVar[Strategy]
    scenario: Scenario

    @initialize(through_admin=st.booleans(), has_marks=st.booleans(), is_foreign=st.booleans())
    def begin_with_a_secret(self, *, through_admin: bool, has_marks: bool, is_foreign: bool) -> None:
        """Make it; with `is_foreign`, somebody else has a user that is called like the clone."""
        self.scenario = Scenario(self.strategy, through_admin=through_admin, has_marks=has_marks)
        self.pair = Pair(self.scenario)
        self.aged: set[str] = set()
        """The versions that look like those of an earlier try."""
        self.listed: list[tuple[str, ...]] = []
        """The statements of the last RightsDiffer."""
        self.under_way: list[Invocation] = []
        self.was_misled = False
        """Whether a step of the last rotation was shown labels that somebody had moved."""
        self.tokens = [self.scenario.labels[CURRENT]]
        self.succeeded: dict[str, dict[Step, int]] = {self.tokens[0]: dict.fromkeys(Step, 0)}
        """Which steps of which versions did, and when the last of them began."""
        self.now = 0
        self.rights_changed = self.passwords_changed = -1
        """When anybody but a rotation that is up to date did so last."""
        self.cached = self.scenario.read()
        """What an application has read before the rotation that began last, or since an operator moved AWSCURRENT."""
        self.is_foreign = is_foreign and self.strategy is Strategy.ALTERNATING_USERS
        """Whether somebody else's user has the clone's name."""
        if self.is_foreign:
            self.scenario.database.new_user(CLONE, self.scenario.new_password(), reading(INVOICES))

    def teardown(self) -> None:
        """Leave no thread behind."""
        for invocation in getattr(self, "under_way", ()):
            invocation.kill()

    # What the service does

    @precondition(lambda self: not self.scenario.is_unfinished)
    @rule()
    def a_rotation_begins(self) -> None:
        self._begin()

    @precondition(lambda self: len(self.under_way) < MOST_AT_ONCE)
    @rule(step=st.integers(0, len(Step) - 1), age=st.sampled_from([0, 0, 0, 1, 2]))
    def a_step_is_delivered(self, step: int, age: int) -> None:
        """Begin a step of the rotation that is under way, or of an older one, and leave it before its first call.

        The service calls a step only if the one before it has succeeded.
        """
        token = [self.scenario.labels.get(PENDING, self.tokens[-1]), *reversed(self.tokens)][
            age % (len(self.tokens) + 1)
        ]
        self._deliver(token, self._possible(token)[step % len(self._possible(token))])

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH, calls=A_FEW, fault=FAULTS)
    def it_goes_on(self, which: int, calls: int, fault: Fault | None) -> None:
        """Let a step make a few calls, and disturb the last of them."""
        invocation = self._pick(which)
        for left in range(calls, 0, -1):
            if not invocation.is_over:
                self._go_on(invocation, fault if left == 1 else None)

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH)
    def it_comes_to_its_end(self, which: int) -> None:
        self._finish(self._pick(which))

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH)
    def it_is_killed(self, which: int) -> None:
        invocation = self._pick(which)
        invocation.kill()
        self.under_way.remove(invocation)

    @precondition(lambda self: self.scenario.is_unfinished and len(self.under_way) < MOST_AT_ONCE)
    @rule(calls=st.integers(0, 12), fault=FAULTS)
    def the_next_step_is_delivered_and_disturbed(self, calls: int, fault: Fault | None) -> None:
        """Do the first step that has not succeeded yet, until it is killed, or something happens to it."""
        invocation = self._deliver_next()
        for _ in range(calls):
            if not invocation.is_over:
                self._go_on(invocation)
        if not invocation.is_over and fault is not None:
            self._go_on(invocation, fault)
            self._finish(invocation)
        if not invocation.is_over:
            invocation.kill()
            self.under_way.remove(invocation)

    @precondition(lambda self: self.scenario.is_unfinished and len(self.under_way) < MOST_AT_ONCE)
    @rule(steps=st.integers(1, len(Step)))
    def the_next_steps_are_delivered(self, steps: int) -> None:
        """Do the first steps that have not succeeded yet, undisturbed, besides all that is under way."""
        for _ in range(steps):
            if self.scenario.is_unfinished:
                self._finish(self._deliver_next())

    @rule(age=st.integers(1, 3), back=st.sampled_from([0, 0, 1, 2, 3]))
    def a_step_of_an_older_rotation_comes_late(self, age: int, back: int) -> None:
        token = self.tokens[-1 - age % len(self.tokens)]
        possible = self._possible(token)
        self._finish(self._deliver(token, possible[-1 - back % len(possible)]))

    @rule(
        steps=st.integers(0, len(Step) - 1),
        what=st.sampled_from(["rights", "lock", "password", "roll back", "abandon", "begin"]),
        username=st.sampled_from(USERS),
    )
    def something_happens_between_two_steps(self, steps: int, what: str, username: str) -> None:
        """Do the first steps of a rotation; then an operator does something; then come the others.

        One that fails is the last.
        """
        if not self.scenario.is_unfinished:
            self._begin()
        token = self.scenario.labels[PENDING]
        for number, step in enumerate(Step):
            if number == steps:
                self._do(what, username)
            self._finish(invocation := self._deliver(token, step))
            if invocation.error:
                return

    @precondition(lambda self: self._is_pair and len(self.under_way) < MOST_AT_ONCE)
    @rule(
        rights=st.sets(st.sampled_from(RIGHTS), max_size=2),
        calls=st.integers(5, 20),
        is_killed=st.booleans(),
        what=st.sampled_from(["", "rights", "lock", "abandon", "roll back"]),
        username=st.sampled_from(USERS),
    )
    def something_happens_in_the_middle_of_set_secret(
        self, *, rights: set[str], calls: int, is_killed: bool, what: str, username: str
    ) -> None:
        """Change rights of the current user, let setSecret make some calls, and do something then."""
        for right in sorted(rights):
            user = self.scenario.read().credential.username
            self._change_rights(user, right, may=right not in self.scenario.rights(user))
        if not self.scenario.is_unfinished:
            self._begin()
        token = self.scenario.labels[PENDING]
        self._finish(creating := self._deliver(token, Step.CREATE))
        if creating.error:
            return
        setting = self._deliver(token, Step.SET)
        for _ in range(calls):
            if not setting.is_over:
                self._go_on(setting)
        if is_killed and not setting.is_over:
            setting.kill()
            self.under_way.remove(setting)
        self._do(what, username)

    @rule(ages=st.lists(st.integers(0, 5), min_size=1, max_size=8))
    def the_service_answers_from_the_past(self, ages: list[int]) -> None:
        self.scenario.service.answer_from_the_past(ages)

    # What operators and others do

    @rule()
    def time_passes(self) -> None:
        """Let whatever is pending be that of an earlier try."""
        self.scenario.service.let_time_pass()
        self.aged.add(self.scenario.labels.get(PENDING, ""))

    @precondition(lambda self: self.scenario.is_unfinished)
    @rule()
    def an_operator_abandons_the_rotation(self) -> None:
        self._abandon()

    @precondition(lambda self: PREVIOUS in self.scenario.labels)
    @rule()
    def an_operator_rolls_back(self) -> None:
        self._roll_back()

    @rule(username=st.sampled_from(USERS))
    def an_operator_changes_a_password_behind_our_back(self, username: str) -> None:
        self._change_password(username)

    @rule()
    def an_operator_puts_a_password_that_is_right(self) -> None:
        self._repair()

    @rule(may=st.booleans())
    def an_operator_changes_rights(self, *, may: bool) -> None:
        """Grant the current user something, or revoke it."""
        self._change_rights(self.scenario.read().credential.username, may=may)

    @precondition(lambda self: self._is_pair)
    @rule(username=st.sampled_from(USERS), right=st.sampled_from(RIGHTS), may=st.booleans())
    def an_administrator_changes_either_user(self, *, username: str, right: str, may: bool) -> None:
        self._change_rights(username, right, may=may)

    @precondition(lambda self: self._is_pair)
    @rule(right=st.sampled_from(RIGHTS), may=st.booleans())
    def an_administrator_changes_both(self, *, right: str, may: bool) -> None:
        for username in USERS:
            self._change_rights(username, right, may=may)

    @precondition(lambda self: self._is_pair)
    @rule()
    def an_administrator_locks_the_other_user(self) -> None:
        self._lock()

    @precondition(lambda self: self.listed)
    @rule(which=st.integers(0, 5))
    def an_administrator_runs_a_statement_that_was_listed(self, which: int) -> None:
        self._run_statement(self.listed[which % len(self.listed)])

    @precondition(lambda self: self._is_pair and not self.under_way)
    @rule()
    def somebody_removes_the_record(self) -> None:
        self.pair.forget()

    @precondition(lambda self: self.is_foreign and not self.under_way)
    @rule()
    def that_user_is_dropped(self) -> None:
        self.pair.drop(CLONE)
        self.is_foreign = False

    @precondition(
        lambda self: self.scenario.is_unfinished and self.scenario.value(self.scenario.labels[PENDING]) is None
    )
    @rule(fields=st.sampled_from([*FORGERIES, *FOLLOWING]))
    def somebody_else_writes_the_pending_version(self, fields: dict[str, object]) -> None:
        self.scenario.put(
            self.scenario.labels[PENDING], PENDING, **{**fields, "password": self.scenario.new_password()}
        )

    @precondition(lambda self: not self.under_way)
    @rule(fields=st.sampled_from(FORGERIES[1:]))
    def somebody_else_writes_the_current_version(self, fields: dict[str, object]) -> None:
        self._put(CURRENT, **{**fields, "password": self.scenario.new_password()})

    def _do(self, what: str, username: str) -> None:
        if what == "rights":
            self._change_rights(username, may=reading(INVOICES) not in self.scenario.rights(username))
        elif what == "lock" and self._is_pair:
            self._lock()
        elif what == "password":
            self._change_password(username)
        elif what == "roll back" and PREVIOUS in self.scenario.labels:
            self._roll_back()
        elif what == "abandon" and self.scenario.is_unfinished:
            self._abandon()
        elif what == "begin" and not self.scenario.is_unfinished:
            self._begin()

    # What heals it

    @rule(anew=st.booleans(), with_remedy=st.booleans(), choices=st.integers(0, 2 ** len(RIGHTS) - 1))
    def it_comes_to_rest(self, *, anew: bool, with_remedy: bool, choices: int) -> None:
        """Whatever is under way dies, and the service tries again, or an operator does with a new version.

        If that is right to fail, an operator may do as the message says: then it must succeed. Of the statements that
        RightsDiffer lists for each difference, the operator runs whichever they choose.
        """
        self.teardown()
        self.under_way.clear()
        if anew and self.scenario.is_unfinished:
            self._abandon()
        if not self.scenario.is_unfinished:
            self._begin()
        for _ in range(MOST_REMEDIES + 1):
            obstacles = self._obstacles(self.scenario.labels[PENDING])
            if obstacles:
                self._require_refused(self.scenario.labels[PENDING], obstacles)
            elif self._heals(self.scenario.labels[PENDING]):
                return
            if not with_remedy:
                return
            if obstacles:
                self._follow_the_remedies()
            else:
                self._run_statements(choices)
        raise AssertionError("no dead end: every remedy was tried, and it does not heal")

    def _follow_the_remedies(self) -> None:
        """Do what our messages say, whatever it is that stands in the way."""
        if not self.scenario.is_reachable():
            self._repair()
        other = counterpart(self.scenario.read().credential.username)
        if self.is_foreign or self._is_unproven(other):
            self.is_foreign = False
            self.pair.drop(other)
            self.passwords_changed = self.rights_changed = self._tick()
        if self.scenario.is_unfinished:
            self._abandon()
        self._begin()

    def _require_refused(self, token: str, expected: tuple[type[RotationError], ...]) -> None:
        before = self.scenario.users()
        error = self._run_all(token)
        if self.was_misled and not isinstance(error, expected):
            # As in `_heals`: what it said was about labels that are no longer so.
            self.scenario.service.now += WINDOW
            error = self._run_all(token)
        assert isinstance(error, expected), f"nobody else's user: {error!r} instead of {expected}"
        assert self.scenario.users() == before, "nobody else's user: a user was changed by a rotation that was refused"

    def _run_statements(self, choices: int) -> None:
        """Do as the last RightsDiffer says: for each difference one of the two statements."""
        for number, right in enumerate(sorted({statement[1] for statement in self.listed})):
            either = sorted(statement for statement in self.listed if statement[1] == right)
            self._run_statement(either[choices >> number & 1 if len(either) > 1 else 0])

    def _heals(self, token: str) -> bool:
        """Rotate; return False if the rotation is right to refuse because the two users differ."""
        scenario, former, labels = self.scenario, self.scenario.read(), self.scenario.labels
        worked, must_rotate, statements = scenario.logs_in(former), self.pair.must_rotate(), self.pair.statements()
        other = scenario.database.users.get(counterpart(former.credential.username))
        is_locked = other and not other.verifiers
        error = self._run_all(token)
        if self.was_misled and (error or scenario.labels[CURRENT] != token):
            # An operator moved a label a moment ago, and an answer did not show that: the service tries again, later.
            self.scenario.service.now += WINDOW
            error = self._run_all(token)
        if isinstance(error, RightsDiffer) and not must_rotate:
            listed = {match[0] for match in STATEMENT.finditer(error.remedy)}
            assert is_locked or not statements or listed == statements, f"it lists {listed} instead of {statements}"
            return False
        assert error is None, f"no dead end: it does not heal: {error!r}"
        assert scenario.labels[CURRENT] == token, "no dead end: every step succeeded, and the version is not current"
        assert scenario.labels[PREVIOUS] == labels[CURRENT], "AWSPREVIOUS is not the former current version"
        assert not scenario.is_unfinished
        assert scenario.logs_in(scenario.read()), "AWSCURRENT works: AWSCURRENT does not log in at rest"
        assert reading(ORDERS) in scenario.rights(scenario.read().credential.username)
        if self.strategy in GAPLESS and worked:
            assert scenario.logs_in(former), "AWSCURRENT works: the version before does not log in at rest"
        if self.strategy is Strategy.ALTERNATING_USERS:
            assert scenario.rights(USERS[0]) == scenario.rights(USERS[1]), (
                "rights follow: the rights of the pair differ"
            )
        return True

    def _obstacles(self, token: str) -> tuple[type[RotationError], ...]:
        """Return the errors with which a rotation is right to fail; nothing if it must succeed."""
        if self.scenario.read().credential.host != PRIMARY:
            return (RotationError,)
        if not self.scenario.follows(token):
            return (Unsafe,)
        if self.strategy is Strategy.ALTERNATING_USERS and self.scenario.read().credential.username == ADMIN:
            return (Unsafe,)
        if not self.scenario.is_reachable():
            return (LoginRefused, Unreachable, Unsafe) if self.scenario.read().credential.port == 1 else (LoginRefused,)
        return (
            (Unsafe,)
            if self.is_foreign or self._is_unproven(counterpart(self.scenario.read().credential.username))
            else ()
        )

    def _is_unproven(self, other: str) -> bool:
        """Tell whether nothing says that the user whose turn it is belongs to the secret."""
        users, current = self.scenario.database.users, self.scenario.read().credential.username
        if self.strategy is not Strategy.ALTERNATING_USERS or other not in users or current not in users:
            return False
        is_marked = users[other].mark == current or users[current].mark == other
        is_marked = is_marked and (self.scenario.database.has_marks or not users[other].verifiers)
        is_in_use = bool(users[other].verifiers or users[other].rights)
        return is_in_use and not is_marked and not self.scenario.holds_clone(other)

    def _run_all(self, token: str) -> RotationError | None:
        """Do the four steps, undisturbed, up to the first that fails."""
        is_healthy, self.was_misled = self._is_healthy(token), False
        is_recorded = self._is_pair and self.pair.is_recorded() and self.scenario.value(token) is None
        logins = []
        for step in Step:
            invocation = self._deliver(token, step)
            self._finish(invocation)
            logins += invocation.logins
            self.was_misled = self.was_misled or invocation.was_overtaken
            if invocation.error:
                return invocation.error
            if is_recorded and step is Step.SET and not invocation.saw_past:
                assert "UpdateSecretVersionStage" not in invocation.made, "few calls: it moves labels of its record"
        if is_healthy and not self.was_misled:
            refused = [login.credential for login in logins if login.answer == "refused"]
            # Without a mark, a password proves the clone: the pending one, or the one before.
            is_tried = self.strategy is Strategy.SINGLE_USER or not self.scenario.database.has_marks
            allowed = 1 if token in self.aged and is_tried else 0
            assert len(refused) <= allowed, f"few logins: a healthy rotation had failed logins: {refused}"
            assert len(logins) - len(refused) <= CONNECTIONS, "few logins: a healthy rotation logs in too often"
        return None

    def _is_healthy(self, token: str) -> bool:
        """Tell whether nothing has gone wrong before: AWSCURRENT logs in, and what else there is proves itself."""
        previous = self.scenario.labels.get(PREVIOUS)
        needs_proof = not self.scenario.database.has_marks and previous is not None
        if needs_proof and (previous == token or not self.scenario.logs_in(self.scenario.value(str(previous)))):
            return False
        return self.scenario.logs_in(self.scenario.read()) and not self._obstacles(token)

    # How it is done

    def _begin(self) -> None:
        token = self.scenario.new_token()
        self.scenario.service.begin(self.scenario.arn, token)
        self.tokens.append(token)
        self.succeeded[token] = {}
        self._current_was_moved()

    def _abandon(self) -> None:
        self.scenario.call(
            "UpdateSecretVersionStage", VersionStage=PENDING, RemoveFromVersionId=self.scenario.labels[PENDING]
        )
        self._labels_were_moved()

    def _roll_back(self) -> None:
        labels = self.scenario.labels
        self.scenario.call(
            "UpdateSecretVersionStage",
            VersionStage=CURRENT,
            RemoveFromVersionId=labels[CURRENT],
            MoveToVersionId=labels[PREVIOUS],
        )
        self._current_was_moved()

    def _is_ours(self, username: str) -> bool:
        return (
            username in USERS
            and username in self.scenario.database.users
            and not (self.is_foreign and username == CLONE)
        )

    def _change_password(self, username: str) -> None:
        if self._is_ours(username):
            self.scenario.change_password(username)
            self.pair.locked.pop(username, None)
            self.passwords_changed = self._tick()

    def _change_rights(self, username: str, right: str = RIGHTS[0], *, may: bool) -> None:
        if self._is_ours(username):
            self.rights_changed = self._tick()
            self.pair.change(username, right, self.now, self.under_way, granted=may)
            for invocation in self.under_way:
                invocation.rights_changed = True

    def _lock(self) -> None:
        other = counterpart(self.scenario.read().credential.username)
        if self._is_ours(other):
            self.passwords_changed = self._tick()
            self.pair.lock(other, self.now, self.under_way)
            for invocation in self.under_way:
                invocation.rights_changed = True

    def _run_statement(self, statement: tuple[str, ...]) -> None:
        verb, right, username, unlocked = statement
        if unlocked and self._is_ours(unlocked):
            self.passwords_changed = self._tick()
            self.pair.unlock(unlocked)
        elif username:
            self._change_rights(username, right, may=verb == "GRANT")

    @property
    def _is_pair(self) -> bool:
        return self.strategy is Strategy.ALTERNATING_USERS

    def _put(self, label: str, **fields: object) -> None:
        token = self.scenario.new_token()
        self.scenario.put(token, label, **fields)
        self.tokens.append(token)
        self.succeeded[token] = {}
        self._current_was_moved()

    def _repair(self) -> None:
        """Put a version that has the database's password, as our message says."""
        username = self._user_of_the_secret()
        password = self.scenario.change_password(username)
        self.pair.locked.pop(username, None)
        self.passwords_changed = self._tick()
        self._put(CURRENT, username=username, password=password, host=PRIMARY, port=KIND.default_port, ssl=True)

    def _user_of_the_secret(self) -> str:
        """Return the user that it is for, whatever somebody else wrote into it."""
        username = self.scenario.read().credential.username
        return username if self._is_ours(username) else USERS[0]

    def _tick(self) -> int:
        self.now += 1
        return self.now

    def _current_was_moved(self) -> None:
        """Let an application read the secret: no call of a rotation may lock it out until the next one begins."""
        self.cached = self.scenario.read()
        self._labels_were_moved()

    def _labels_were_moved(self) -> None:
        for invocation in self.under_way:
            self._overtake(invocation)

    def _overtake(self, invocation: Invocation) -> None:
        """Note that labels were moved: what it has seen of them already is no longer so."""
        if invocation.calls:
            invocation.was_overtaken = True
        else:
            self._describe(invocation)

    def _possible(self, token: str) -> list[Step]:
        steps = list(Step)
        return [step for at, step in enumerate(steps) if all(s in self.succeeded[token] for s in steps[:at])]

    def _pick(self, which: int) -> Invocation:
        return self.under_way[which % len(self.under_way)]

    def _deliver_next(self) -> Invocation:
        token = self.scenario.labels[PENDING]
        return self._deliver(token, self._possible(token)[-1])

    def _deliver(self, token: str, step: Step) -> Invocation:
        invocation = self.scenario.invoke(token, step)
        invocation.began_at = self._tick()
        invocation.began_after = self.scenario.service.now - WINDOW
        self._describe(invocation)
        self.under_way.append(invocation)
        if invocation.is_over:
            self._examine(invocation)
        return invocation

    def _describe(self, invocation: Invocation) -> None:
        """Note what its version is as it begins."""
        labels = self.scenario.labels
        invocation.was_staged = invocation.token in (labels[CURRENT], labels.get(PENDING))
        invocation.was_current = invocation.token == labels[CURRENT]
        invocation.login_user = self.scenario.read().credential.username
        invocation.must_rotate = self.pair.must_rotate() and not self.is_foreign

    def _finish(self, invocation: Invocation) -> None:
        while not invocation.is_over:
            self._go_on(invocation)
            assert invocation.calls < ENDLESS, f"one cause, one message: it does not end: {invocation.next_call}"

    def _go_on(self, invocation: Invocation, fault: Fault | None = None) -> None:
        """Make one call, and see what has become of the promises."""
        before, call = self._look(invocation), invocation.next_call
        self.pair.note_call(invocation, call, fault, self._tick())
        self.scenario.service.shown = None
        self.scenario.go_on(invocation, fault)
        self._note_shown(invocation, call)
        if self.scenario.labels != before.labels:
            for other in self.under_way:
                if other.token != invocation.token:
                    self._overtake(other)
        if invocation.was_overtaken:
            self.passwords_changed = self.rights_changed = self._tick()
            self.pair.note_overtaken(invocation, call, before.rights)
        else:
            undone = self.pair.undone(invocation, before.rights)
            assert not undone, f"nothing is undone: {call} {undone}, which undoes what an administrator did"
            self._require_nothing_lost(invocation, before, call)
        self._require_nobody_else_touched(before, call)
        if invocation.is_over:
            self._examine(invocation)

    def _note_shown(self, invocation: Invocation, call: str) -> None:
        """Note whether the last answer was from the past, and nothing in it says so.

        setSecret believes that another version is current only if two answers say so. If one says that its own version
        is current, it does nothing.
        """
        shown, labels = self.scenario.service.shown, self.scenario.labels
        invocation.saw_past = invocation.saw_past or shown is not None
        if not shown or invocation.token not in (shown.get(CURRENT), shown.get(PENDING)):
            return
        is_old = shown.get(CURRENT) != labels[CURRENT]
        is_half = invocation.step is Step.SET and shown.get(CURRENT) not in (invocation.believed, invocation.token)
        if call == "DescribeSecret":
            invocation.believed = shown.get(CURRENT)
        if (is_old and not is_half) or (not is_old and shown.get(PENDING) != labels.get(PENDING)):
            invocation.was_deceived = invocation.was_deceived or labels[CURRENT] == invocation.token
            invocation.was_overtaken = invocation.was_overtaken or labels[CURRENT] != invocation.token

    def _look(self, invocation: Invocation) -> Snapshot:
        scenario = self.scenario
        current = scenario.read()
        return Snapshot(
            labels=scenario.labels,
            current=current,
            current_works=scenario.logs_in(current),
            cached_works=scenario.logs_in(self.cached),
            pending_works=scenario.logs_in(scenario.value(invocation.token)),
            rights={name: scenario.rights(name) for name in scenario.database.users.keys() | set(USERS)},
            users=scenario.users(),
        )

    def _require_nothing_lost(self, invocation: Invocation, before: Snapshot, call: str) -> None:
        scenario, token, labels = self.scenario, invocation.token, self.scenario.labels
        current = scenario.read()
        assert labels.get(PENDING) == before.labels.get(PENDING), f"any step can be repeated: {call} moved AWSPENDING"
        if labels[CURRENT] != before.labels[CURRENT]:
            self._require_promoted(invocation, before, call)
        else:
            assert labels.get(PREVIOUS) == before.labels.get(PREVIOUS), f"{call} moved AWSPREVIOUS"
            rights = scenario.rights(current.credential.username)
            assert rights == before.rights.get(current.credential.username, rights), (
                f"rights follow: {call} changed the rights of the current user"
            )
            if self.strategy in GAPLESS and before.current_works:
                assert scenario.logs_in(current), f"AWSCURRENT works: after {call} AWSCURRENT does not log in"
        if self.strategy in GAPLESS and before.cached_works:
            assert scenario.logs_in(self.cached), f"AWSCURRENT works: {call} locks out who has read the secret before"
        if self.strategy is Strategy.ALTERNATING_USERS and not before.pending_works and not invocation.rights_changed:
            pending = scenario.value(token)
            if scenario.logs_in(pending):
                assert self._pair_is_equal(), (
                    f"the password is written last: after {call} the clone logs in, and its rights are not complete"
                )

    def _require_promoted(self, invocation: Invocation, before: Snapshot, call: str) -> None:
        scenario, token, labels = self.scenario, invocation.token, self.scenario.labels
        assert labels[CURRENT] == token, f"any step can be repeated: {call} made another version current"
        assert before.labels.get(PENDING) == token, (
            f"any step can be repeated: {call} made a version current that was not pending"
        )
        assert labels[PREVIOUS] == before.labels[CURRENT], "AWSPREVIOUS is not the former current version"
        tested = self.succeeded[token][Step.TEST]
        if self.passwords_changed < tested:
            assert scenario.logs_in(scenario.read()), (
                f"AWSCURRENT works: {call} made a version current that does not log in"
            )
        if self.strategy is Strategy.ALTERNATING_USERS and self.rights_changed < tested:
            assert self._pair_is_equal(), (
                "rights follow: the version that became current has not the rights of the former"
            )

    def _require_nobody_else_touched(self, before: Snapshot, call: str) -> None:
        for name in (ADMIN, VICTIM, *([CLONE] if self.is_foreign else [])):
            assert self.scenario.users()[name] == before.users[name], f"nobody else's user: {call} touched {name}"

    def _pair_is_equal(self) -> bool:
        return self.scenario.rights(USERS[0]) == self.scenario.rights(USERS[1])

    def _examine(self, invocation: Invocation) -> None:
        """Look at a step that is over."""
        self.under_way.remove(invocation)
        if invocation.defect:
            raise invocation.defect
        self._require_silence(invocation)
        self._require_careful_logins(invocation)
        assert not invocation.late, f"one cause, one message: though no time was left, it went on to {invocation.late}"
        if invocation.error is None:
            self.succeeded[invocation.token][invocation.step] = invocation.began_at
        self._examine_pair(invocation)
        if invocation.was_overtaken:
            return
        if not invocation.was_disturbed:
            wrong = (ServiceFailed, Unreachable, OutOfTime)
            if self.scenario.read().credential.host == PRIMARY and self.scenario.read().credential.port != 1:
                assert not isinstance(invocation.error, wrong), (
                    f"one cause, one message: it blames what is well: {invocation.error!r}"
                )
        if invocation.was_current and not invocation.was_deceived:
            assert not invocation.writes, f"any step can be repeated: a step that came again wrote {invocation.writes}"
            if invocation.step is not Step.TEST and not invocation.was_disturbed:
                assert invocation.error is None, (
                    f"any step can be repeated: a step that came again failed: {invocation.error!r}"
                )
        elif not invocation.was_staged:
            assert not invocation.writes, (
                f"any step can be repeated: an abandoned rotation went on: {invocation.writes}"
            )
            refused = invocation.was_disturbed or isinstance(invocation.error, NotRotatable)
            assert refused, (
                "any step can be repeated: an abandoned rotation went on, to"
                f" {invocation.outcome or invocation.error!r}"
            )
        elif invocation.step in (Step.CREATE, Step.SET) and self._is_somebody_elses(invocation.token):
            assert not invocation.writes, "nobody else's user: it wrote what somebody else's version asks for"
            assert not invocation.logins, "nobody else's user: it logged in with what somebody else wrote"
            refused = invocation.was_disturbed or isinstance(invocation.error, Unsafe)
            assert refused, (
                f"nobody else's user: it took what somebody else wrote: {invocation.outcome or invocation.error!r}"
            )

    def _examine_pair(self, invocation: Invocation) -> None:
        """Look at what a step that is over says about the pair."""
        error = invocation.error
        if isinstance(error, RightsDiffer):
            self.listed = [match.groups(default="") for match in STATEMENT.finditer(error.remedy)]
            is_gone = "there is no user" in error.cause
            assert self.listed or is_gone, f"one cause, one message: it lists no statement: {error!r}"
        if invocation.was_overtaken:
            return
        if invocation.outcome:
            self.pair.note_success(invocation, self.under_way)
        if isinstance(error, RightsDiffer) and not invocation.rights_changed:
            assert invocation.step is not Step.SET or not invocation.must_rotate, (
                f"no dead end: it refuses, and nobody has touched the other user: {error!r}"
            )
            assert not invocation.writes, f"nothing is undone: it refused, and had written {invocation.writes}"

    def _is_somebody_elses(self, token: str) -> bool:
        """Tell whether a pending version does not follow from the current one."""
        return token != self.scenario.labels[CURRENT] and not self.scenario.follows(token)

    def _require_silence(self, invocation: Invocation) -> None:
        error = invocation.error
        said = [invocation.outcome or "", *map(str, error.args if error else ()), *self.scenario.database.log]
        assert not any(TELLTALE in text for text in said), (
            "no password leaves: a password is in what is said, or logged"
        )
        assert not isinstance(error, Unexpected)
        assert not error or all((error.operation, error.cause, error.remedy)), (
            "one cause, one message: an error does not say all"
        )

    def _require_careful_logins(self, invocation: Invocation) -> None:
        logins = invocation.logins
        assert sum(login.answer == "refused" for login in logins) <= 2 + NEWER_PASSWORDS, "few logins: too many logins"
        silent = next((at for at, login in enumerate(logins) if login.answer == "silence"), len(logins))
        assert len({repr(login.credential) + login.credential.password for login in logins[silent:]}) <= 1, (
            "refused is not unreachable: silence led to another credential"
        )
        proved = False
        for login in logins:
            who = login.credential
            assert who.host in self.scenario.held_at(who.password), (
                f"nobody else's user: a password was sent to {who.host}"
            )
            if self.scenario.is_admin(who) and not (invocation.was_overtaken or invocation.was_deceived):
                assert proved, "nobody else's user: the admin was used before the secret's user had logged in"
            proved = proved or (login.answer == "accepted" and who.username == invocation.login_user)


class SingleUserMachine(RotationMachine):
    """The single user."""

    strategy = Strategy.SINGLE_USER


class AlternatingUsersMachine(RotationMachine):
    """The pair."""

    strategy = Strategy.ALTERNATING_USERS


class DualPasswordMachine(RotationMachine):
    """The user with two passwords."""

    strategy = Strategy.DUAL_PASSWORD


MACHINES = [SingleUserMachine, AlternatingUsersMachine, DualPasswordMachine]
