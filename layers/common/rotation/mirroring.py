"""How does the admin make the other user of a pair what the current one is, and undo nothing?

what the two cannot share is found    →  the two are compared: may a rotation end what differs? (`rotation.record`)
  →  that it begins is recorded       →  the other user is created and made equal  →  compared again
  →  (password)                       →  that the two are equal is recorded, and what an application finds as either
  →  testSecret compares that with what it finds as the other user

Secrets Manager can answer testSecret with the labels of some seconds ago. A label that is missing is no harm: the
current user logs in again. But an older label can match what the other user finds, although the current user finds
something else by now. So if setSecret replaces an older record, it compares the two sessions itself.
"""

import contextlib
import itertools
from collections.abc import Callable, Mapping
from typing import Final

from rotation.credential import Credential, SecretValue
from rotation.engine import CloneStatus, Comparison, Proof, Session
from rotation.errors import RETRIED, DatabaseError, LoginBlocked, LoginRefused, RightsDiffer, Unsafe, Unsupported
from rotation.logins import Context, KeepsRecord, log_in_first, other_passwords
from rotation.record import PairRecord, differ, ended
from rotation.redaction import said

NOT_KNOWN: Final[Mapping[str, str]] = {}
"""What an application finds as a user whose password has expired, or that did not log in."""


DIFFERENT: Final[Mapping[str, str]] = {"either user": "different"}
"""What setSecret records as found, if it has seen that an application finds different things as the two users."""


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
    recorded = begun = pair.record()
    if not before or before.differences or before.unlock:
        begun = recorded.beginning(before)
        pair.write_record(begun)
    try:
        session.mirror(user, other)
    except (Unsafe, Unsupported):
        if _is_unchanged(session, user, other, before):
            pair.write_record(recorded)
        raise
    comparison = require_equal(session, user, other)
    begun.require_not_locked(comparison, user, other)  # somebody can have locked it meanwhile
    return ended(comparison, user, other)


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


def record_end(pair: KeepsRecord, equal: PairRecord, compare: Callable[[], None]) -> None:
    """Record how the rotation left the two, in place of all that was recorded, also meanwhile by another delivery.

    If the record said something before that it does not say any more, an answer that is too old can still show that to
    testSecret. So `compare` is called first. If it raises RightsDiffer, that is recorded, too; if it is cut off,
    nothing is. Either way the next setSecret compares again.
    """
    before = pair.record()
    if before != equal:
        before = PairRecord(before.equal | pair.read_record().equal)
    if not before.equal <= equal.equal:
        try:
            compare()
        except RightsDiffer:
            pair.write_record(equal.finding(DIFFERENT))
            raise
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
    seen yet, the current user logs in again, where the pending one did, with a password that setSecret can have used,
    and the two sessions are compared. If the server refuses that, there is nothing to compare with.
    """
    others, recorded = session.surroundings(), context.pair.record()
    if recorded.has_found(others) or recorded.has_found(NOT_KNOWN) or pending == (now := current()):
        return
    candidates = itertools.chain([now.credential], other_passwords(now, context))
    with contextlib.suppress(LoginRefused):
        found, _ = log_in_first(candidates, context, look_and_prove)
        _require_same(others, pending.credential.username, found, now.credential.username)


def log_in_and_require_same(found: Mapping[str, str], user: str, pending: Credential, context: Context) -> None:
    """Log in as the pending user, and raise RightsDiffer if an application would find something else than this."""
    if found == NOT_KNOWN:
        return
    others, _ = log_in_first([pending], context, look_and_prove)
    _require_same(others, pending.username, found, user)


def _require_same(others: Mapping[str, str], other: str, found: Mapping[str, str], user: str) -> None:
    differences = [
        f"as {other} an application finds {name} to be {said(others[name])}, as {user} {said(value)}"
        for name, value in found.items()
        if name in others and others[name] != value
    ]
    if differences:
        raise RightsDiffer(
            f"comparing the sessions of {other} and {user}",
            "; ".join(differences),
            f"Change the settings of either user in the database, so that both sessions find the same. {RETRIED}",
        )
