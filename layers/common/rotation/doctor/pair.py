"""What does a pair have that stops its next rotation?

AWS's templates copy few of a user's rights to its clone, and compare nothing afterwards. So such a pair can have
a clone that is current and can do less. A rotation refuses it, because it does not know which of the two is right. The
original is: the clone was made to be like it.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from rotation.credential import Credential, SecretValue
from rotation.deadline import Deadline
from rotation.doctor.case import Case, Verdict
from rotation.doctor.diagnosis import Diagnosis, State
from rotation.doctor.repairs import run_statement
from rotation.doctor.trials import FEW_PASSWORDS, is_there
from rotation.engine import CloneStatus, Comparison, Engine, Proof, Session
from rotation.errors import LoginRefused, RightsDiffer
from rotation.kind import Strategy
from rotation.logins import admin_over, as_admin, at_admins_place, prove
from rotation.values import dataclass


@dataclass(frozen=True)
class PairLook:
    """What a doctor looks at a pair with."""

    engine: Engine
    deadline: Deadline
    admin: Callable[[SecretValue], Credential]
    """As `rotation.logins.Context.admin`."""

    def of(self, case: Case) -> Iterator[Diagnosis]:
        """Yield what a rotation would refuse. Changes nothing.

        The admin looks only after the user of AWSCURRENT has logged in, as in a rotation. Raises what `Engine.connect`
        and `Session.compare` raise.
        """
        is_pair = case.strategy is not None and case.strategy.name is Strategy.ALTERNATING_USERS
        if case.login and case.current and is_pair and case.logs_in(case.current):
            comparison = self._compared(case, case.login, case.next_user)
            if comparison:
                yield from _refusals(case, comparison)

    def _compared(self, case: Case, current: SecretValue, other: str) -> Comparison | None:
        """Compare the two users; None if there is only one."""
        user = current.credential.username
        admin = admin_over(current, self, user, other)
        proof = self._proof(current.credential, admin)
        with as_admin(admin, current, self) as session:
            session.require_proven(proof)
            status = session.clone_status(user, other)
            if status is CloneStatus.UNKNOWN:
                self._prove_ours(session, case, current.credential, admin)
            return None if status is CloneStatus.ABSENT else session.compare(user, other)

    def _prove_ours(self, session: Session, case: Case, user: Credential, admin: Credential) -> None:
        """Bind the admin's session to the other user, if the password of the newest older version opens it.

        Pairs that AWS's templates made have no mark, so a rotation asks for the same proof.
        """
        other = self.engine.kind.normal_name(case.next_user)
        refused = [one for one in case.versions if case.user(one) == other and case.verdict(one) is Verdict.REFUSED]
        older = [one.value for one in case.older if one.value and case.user(one) == other and is_there(one.value, user)]
        for value in older[: int(len(refused) < FEW_PASSWORDS)]:
            login = replace(user, username=value.credential.username, password=value.credential.password)
            with contextlib.suppress(LoginRefused):
                session.require_proven(self._proof(login, admin))

    def _proof(self, user: Credential, admin: Credential) -> Proof:
        there = at_admins_place(user, admin, self)
        with self.engine.connect(there, self.deadline) as session:
            return prove(session, there)


def _refusals(case: Case, comparison: Comparison) -> Iterator[Diagnosis]:
    user, other = case.login.credential.username if case.login else "", case.next_user
    if comparison.unlock and _is_refused(case, replace(comparison, differences=())):
        sentence = f"Somebody has locked {other}, whose turn is next, and a rotation does not let it log in again."
        repair = run_statement(f"{other} can log in again: run it as an admin of the database.", comparison.unlock)
        yield Diagnosis(State.CLONE_LOCKED, sentence, [repair])
    if _is_refused(case, replace(comparison, unlock=None)):
        is_clone = len(user) > len(other)
        clone, original = (user, other) if is_clone else (other, user)
        sentence = (
            f"{clone} and {original} have different rights, and no rotation has recorded why: AWS's templates leave"
            f" such a pair. If {original} is right, run the statements; they change {clone} only."
        )
        statements = [one.change_user if is_clone else one.change_other for one in comparison.differences]
        done = [
            run_statement(f"One thing less differs: {one.what}.", statement)
            for one, statement in zip(comparison.differences, statements, strict=True)
        ]
        yield Diagnosis(State.PAIR_DIFFERS, sentence, done)


def _is_refused(case: Case, comparison: Comparison) -> bool:
    user = case.login.credential.username if case.login else ""
    try:
        case.description.record.require_known(comparison, user, case.next_user)
    except RightsDiffer:
        return True
    return False
