"""How does the admin make the other user of a pair what the current one is, and undo nothing?

what the two cannot share is found    →  the two are compared: may a rotation end what differs? (`rotation.record`)
  →  that it begins is recorded       →  the other user is created and made equal  →  compared again
  →  (password)                       →  that the two are equal is recorded, and what an application finds as either
  →  testSecret compares that with what it finds as the other user
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Final

from rotation.credential import Credential, SecretValue
from rotation.engine import CloneStatus, Comparison, Proof, Session
from rotation.errors import RETRIED, DatabaseError, LoginBlocked, LoginRefused, RightsDiffer, Unsafe, Unsupported
from rotation.logins import Context, KeepsRecord
from rotation.record import PairRecord, differ, ended
from rotation.redaction import said

NOT_KNOWN: Final[Mapping[str, str]] = {}
"""What an application finds as a user whose password has expired, or that did not log in."""


def require_shareable(session: Session, user: str, other: str, accepted: frozenset[str]) -> None:
    """Raise Unsupported if the application would lose something when the other user is current.

    Called before anything is changed, so AWSCURRENT and its user stay as they are.
    """
    lost = [one for one in session.unshared(user, other) if one.kind not in accepted]
    if lost:
        words = ", ".join(f'"{word}"' for word in sorted({one.kind for one in lost}))
        raise Unsupported(
            f"preparing {other}, which takes turns with {user}",
            f"the two cannot share everything: {'; '.join(one.what for one in lost)}",
            f'Use the single-user strategy; or, if the application can do without, add "accept": [{words}] to the'
            ' "rotation" of the secret',
        )


def mirror(session: Session, user: str, other: str, pair: KeepsRecord, *, is_new: bool) -> PairRecord:
    """Make the other user what the user is, unless that could undo what somebody did to the other one.

    Returns the record to write once all of it is committed.
    """
    before = None if is_new else _require_known(session, user, other, pair)
    recorded = pair.record()
    if not before or before.differences or before.unlock:
        pair.write_record(recorded.beginning(before))
    try:
        session.mirror(user, other)
    except (Unsafe, Unsupported):
        if _is_unchanged(session, user, other, before):
            pair.write_record(recorded)
        raise
    return ended(require_equal(session, user, other), user, other)


def _is_unchanged(session: Session, user: str, other: str, before: Comparison | None) -> bool:
    """Tell whether a rotation that was refused has changed nothing, so that it has not begun.

    `before` is None if there was no other user.
    """
    with contextlib.suppress(DatabaseError):
        if before is None:
            return session.clone_status(user, other) is CloneStatus.ABSENT
        return session.compare(user, other) == before
    return False


def _require_known(session: Session, user: str, other: str, pair: KeepsRecord) -> Comparison:
    """Compare the two; raise RightsDiffer if to end the differences could undo what somebody did to the other one."""
    comparison = session.compare(user, other)
    with contextlib.suppress(RightsDiffer):
        pair.record().require_known(comparison, user, other)
        return comparison
    # Another delivery of this step can be changing them right now. And a label can be on a version that was not read:
    # that of an abandoned rotation whose setSecret still ran.
    record, comparison = pair.read_record(), session.compare(user, other)
    record.require_known(comparison, user, other)
    return comparison


def record_end(pair: KeepsRecord, equal: PairRecord) -> None:
    """Record how the rotation left the two, in place of all that was recorded, also meanwhile by another delivery."""
    if pair.record() != equal:
        pair.read_record()
    pair.write_record(equal)


def require_equal(session: Session, user: str, other: str) -> Comparison:
    """Compare the two; raise RightsDiffer if they are not equal."""
    comparison = session.compare(user, other)
    if comparison.differences:
        raise differ(comparison.differences, user, other)
    return comparison


def look_and_prove(session: Session, _: Credential) -> tuple[Mapping[str, str], Proof]:
    """Return what an application finds in the session, and whose it is.

    If the password has expired, nothing is found.
    """
    found = NOT_KNOWN
    with contextlib.suppress(LoginBlocked):
        found = session.surroundings()
    return found, session.proof()


def require_same_surroundings(
    session: Session, pending: SecretValue, current: Callable[[], SecretValue], context: Context
) -> None:
    """Raise RightsDiffer if an application would find something else in this session, the pending user's.

    setSecret has logged in as the current user, and recorded what it found. If that is something else, or cannot be
    seen yet, the current user logs in again, where the pending one did, and the two sessions are compared.
    """
    others, recorded = session.surroundings(), context.pair.record()
    if recorded.has_found(others) or recorded.has_found(NOT_KNOWN) or pending == (now := current()):
        return
    user, other = now.credential, pending.credential.username
    differences = [
        f"as {other} an application finds {name} to be {said(others[name])}, as {user.username} {said(value)}"
        for name, value in _found_as(user, context).items()
        if name in others and others[name] != value
    ]
    if differences:
        raise RightsDiffer(
            f"comparing the sessions of {other} and {user.username}",
            "; ".join(differences),
            f"Change the settings of either user in the database, so that both sessions find the same. {RETRIED}",
        )


def _found_as(user: Credential, context: Context) -> Mapping[str, str]:
    """Log in, and return what an application finds; nothing if the server refuses that."""
    with contextlib.suppress(LoginRefused), context.engine.connect(user, context.deadline) as session:
        return look_and_prove(session, user)[0]
    return NOT_KNOWN
