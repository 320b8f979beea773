"""What has happened to a secret, and what repairs it?

    AWSCURRENT   AWSPENDING            state
    logs in      none                  healthy; given up, if a newer version is left
    logs in      on AWSCURRENT's       pending on current: healthy, too
    logs in      no value              pending empty: createSecret did not end
    logs in      does not log in       not set: setSecret did not end
    logs in      logs in               not finished: testSecret or finishSecret did not end
    refused      logs in               locked out: a single user between setSecret and finishSecret
    refused      refused, or none      abandoned, if a newer version logs in; restored, if an older one does
    refused      refused, or none      none logs in
    any          cannot follow         superseded, and then one of the others

Each row is about the versions. Whether rotation is on, and what a pair has, is looked at besides.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import StrEnum

from rotation.doctor import repairs
from rotation.doctor.case import Case, Verdict
from rotation.doctor.repairs import Repair
from rotation.doctor.versions import Version
from rotation.finding import Finding, Outcome
from rotation.kind import Strategy
from rotation.staging import PENDING
from rotation.values import dataclass


class State(StrEnum):
    """What a secret is in."""

    HEALTHY = "healthy"
    PENDING_ON_CURRENT = "pending on current"
    GIVEN_UP = "given up"
    PENDING_EMPTY = "pending empty"
    NOT_SET = "not set"
    NOT_FINISHED = "not finished"
    LOCKED_OUT = "locked out"
    ABANDONED = "abandoned"
    RESTORED = "restored"
    NONE_LOGS_IN = "none logs in"
    SUPERSEDED = "superseded"
    NO_CURRENT = "no current login"
    NOT_OURS = "not ours to rotate"
    NOT_KNOWN = "not known"
    ROTATION_OFF = "rotation off"
    OTHER_FUNCTION = "other function"
    PAIR_DIFFERS = "pair differs"
    CLONE_LOCKED = "clone locked"
    EXPIRED = "expired"


GOOD = frozenset({State.HEALTHY, State.PENDING_ON_CURRENT})
PASSING = frozenset(
    {State.GIVEN_UP, State.PENDING_EMPTY, State.NOT_SET, State.NOT_FINISHED, State.OTHER_FUNCTION, State.EXPIRED}
)
"""States in which the application has lost nothing, and that a rotation ends."""


@dataclass(frozen=True)
class Diagnosis:
    """One thing that has happened."""

    state: State
    sentence: str
    repairs: Sequence[Repair] = ()
    """In the order in which they are done."""
    rotates: bool = False
    """Whether a new rotation ends it, after the repairs of all diagnoses."""

    @property
    def outcome(self) -> Outcome:
        """How bad it is."""
        if self.state in GOOD:
            return Outcome.PASS
        return Outcome.WARN if self.state in PASSING else Outcome.FAIL

    def finding(self) -> Finding:
        """Return it as a finding, as a preflight shows it."""
        return Finding(str(self.state), self.outcome, self.sentence)


def of_versions(case: Case) -> Iterator[Diagnosis]:
    """Yield what the versions, and their logins, show: the pending version first."""
    if not case.current or not case.login:
        yield _no_current(case)
        return
    pending = case.pending
    if pending and not case.can_follow(pending):
        yield _superseded(case, pending)
        pending = None
    if case.logs_in(case.current):
        if case.expiry:
            sentence = f"AWSCURRENT logs in, but {case.expiry}. A rotation ends it."
            yield Diagnosis(State.EXPIRED, sentence, rotates=True)
        yield _works(case, case.current, pending)
    elif case.verdict(case.current) is Verdict.REFUSED:
        diagnosis = _refused(case, case.current, pending)
        yield replace(diagnosis, sentence=f"{diagnosis.sentence}{_behind(case)}")


def of_rotation(case: Case, function_arn: str) -> Iterator[Diagnosis]:
    """Yield what the schedule shows."""
    description, turn_on = case.description, repairs.turn_on(case.description, function_arn)
    if description.function_arn and description.function_arn != function_arn:
        sentence = f"{description.function_arn} rotates this secret, and not the function that you asked."
        yield Diagnosis(State.OTHER_FUNCTION, sentence, [turn_on])
    elif not description.is_enabled:
        yield Diagnosis(State.ROTATION_OFF, "Rotation is off, so no rotation begins by itself or goes on.", [turn_on])


def _no_current(case: Case) -> Diagnosis:
    problem = case.current.problem if case.current else "no version has AWSCURRENT"
    sentence = f"Applications find no login in AWSCURRENT: {problem or 'it has no value'}."
    freed = _freed(case, case.pending) if case.pending else []
    return Diagnosis(State.NO_CURRENT, sentence, [*freed, repairs.put(case.description.arn)])


def _superseded(case: Case, pending: Version) -> Diagnosis:
    why = pending.problem or f"it names {pending.value.credential if pending.value else 'nobody'}"
    sentence = (
        f"AWSPENDING is on version {pending.identity}, which can never become current, because {why}: somebody edited"
        " it, or the secret, during a rotation."
    )
    return Diagnosis(State.SUPERSEDED, sentence, [repairs.remove_pending(case.description.arn, pending, is_safe=True)])


def _works(case: Case, current: Version, pending: Version | None) -> Diagnosis:
    """Return what is to be said if the application can log in."""
    if pending:
        state, sentence = _unfinished(case, pending)
        return Diagnosis(state, sentence, _freed(case, pending), rotates=True)
    if PENDING in current.labels:
        sentence = "AWSCURRENT logs in, and AWSPENDING is on the same version: the last rotation ended well."
        return Diagnosis(State.PENDING_ON_CURRENT, sentence)
    if case.newer:
        sentence = (
            f"AWSCURRENT logs in. Version {case.newer[0].identity} is newer and has no label: a rotation gave it up, or"
            " somebody did. The next rotation makes another one."
        )
        return Diagnosis(State.GIVEN_UP, sentence)
    return Diagnosis(State.HEALTHY, "AWSCURRENT logs in, and no rotation is under way.")


def _unfinished(case: Case, pending: Version) -> tuple[State, str]:
    """Return what a rotation that has not ended has done."""
    if not pending.has_value:
        return State.PENDING_EMPTY, "A rotation has begun, and createSecret has not written a password."
    if case.logs_in(pending):
        return State.NOT_FINISHED, "AWSCURRENT and AWSPENDING log in: testSecret or finishSecret did not end."
    if case.strategy and case.strategy.name is Strategy.DUAL_PASSWORD and case.verdict(pending) is Verdict.NOT_TRIED:
        sentence = "AWSCURRENT logs in, and a rotation has not ended. AWSPENDING was not tried: it can log in, too."
        return State.NOT_FINISHED, sentence
    return State.NOT_SET, "A rotation has written a password, and setSecret has not set it; AWSCURRENT logs in."


def _refused(case: Case, current: Version, pending: Version | None) -> Diagnosis:
    """Return what is to be said if the application is locked out."""
    if pending and case.logs_in(pending):
        sentence = (
            "The server has the password of AWSPENDING and refuses that of AWSCURRENT: a rotation ended between"
            " setSecret and finishSecret, and the application is locked out."
        )
        return Diagnosis(State.LOCKED_OUT, sentence, _moves(case, current, pending, pending))
    if newer := _first(case, case.newer):
        sentence = (
            f"The server has the password of version {newer.identity}, which has no label: a rotation was abandoned"
            " after it set that password, and the application is locked out."
        )
        return Diagnosis(State.ABANDONED, sentence, _moves(case, current, newer, pending))
    if older := _first(case, case.older):
        sentence = (
            f"The server has the password of version {older.identity}, which is older than AWSCURRENT: a snapshot was"
            " restored, or somebody moved a label; the application is locked out."
        )
        return Diagnosis(State.RESTORED, sentence, _moves(case, current, older, pending))
    return _none_logs_in(case, current, pending)


def _behind(case: Case) -> str:
    if not case.can_be_behind or not case.login:
        return ""
    host = case.login.credential.host
    return (
        f" The admin sets passwords at another host than {host}: if that is a replica, ask again once it is not behind."
    )


def _none_logs_in(case: Case, current: Version, pending: Version | None) -> Diagnosis:
    user = current.value.credential.username if current.value else ""
    untried = [one for one in (*case.newer, *case.older) if case.verdict(one) is Verdict.NOT_TRIED]
    more = f" {len(untried)} more versions were not tried; TRY_MORE_PASSWORDS tries them." if untried else ""
    sentence = (
        f"The server refuses every password of {user} that was tried: somebody has changed it outside of the secret."
        f"{more}"
    )
    arn, lasting = case.description.arn, case.kind.lasting_statement
    reset = [repairs.reset(user, case.kind.reset_statement(user))]
    reset += [repairs.last(user, lasting(user))] if lasting else []
    return Diagnosis(State.NONE_LOGS_IN, sentence, [*_freed(case, pending or current), *reset, repairs.put(arn)])


def _first(case: Case, versions: Sequence[Version]) -> Version | None:
    """Return the first that logs in: of the user of AWSCURRENT, if there is one."""
    works = [one for one in versions if case.logs_in(one)]
    return next((one for one in works if case.is_same_user(one)), works[0] if works else None)


def _moves(case: Case, current: Version, target: Version, pending: Version | None) -> list[Repair]:
    """Move AWSCURRENT; first AWSPENDING leaves the version that would keep the next rotation from beginning."""
    is_safe = case.is_same_user(target) and not case.can_be_behind
    freed = [] if pending == target else _freed(case, pending or current, is_safe=is_safe and not pending)
    return [*freed, repairs.move_current(case.description.arn, current, target, is_safe=is_safe)]


def _freed(case: Case, version: Version, *, is_safe: bool = False) -> list[Repair]:
    """Take AWSPENDING from this version, if it has it.

    No rotation begins while AWSPENDING is on another version than AWSCURRENT
    (https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CancelRotateSecret.html).
    """
    is_there = PENDING in version.labels
    return [repairs.remove_pending(case.description.arn, version, is_safe=is_safe)] if is_there else []
