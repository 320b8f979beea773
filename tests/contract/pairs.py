"""What do the contract tests of all engines do with the two users of a pair?"""

from dataclasses import dataclass, replace

from rotation.credential import Credential, SecretValue
from rotation.deadline import Deadline
from rotation.engine import CloneStatus, Proof
from rotation.logins import Context, KeepsRecord
from rotation.record import PairRecord
from rotation.strategies import AlternatingUsers
from tests.laboratories import Laboratory, deadline, new_password

type Pair = tuple[Credential, Credential]


def new_clone(user: Credential) -> Credential:
    """Return the credential that a user's clone is to get."""
    return replace(user, username=f"{user.username}_clone", password=new_password())


def new_pair(laboratory: Laboratory, user: Credential | None = None) -> Pair:
    """Make a user, unless there is one, and its clone, which can log in."""
    user = user or laboratory.new_user()
    clone = new_clone(user)
    mirror(laboratory, user, clone)
    return user, clone


def changed(user: Credential) -> Credential:
    """Return the credential with a new password, which is not set yet."""
    return replace(user, password=new_password())


def admin_for(laboratory: Laboratory, user: Credential) -> Credential:
    """Return the admin as a rotation of this user logs it in."""
    needs_database = laboratory.engine.kind.admin_needs_database
    return replace(laboratory.admin, database=user.database) if needs_database else laboratory.admin


def mirror(laboratory: Laboratory, user: Credential, other: Credential) -> None:
    """Do what setSecret does as the admin."""
    with laboratory.engine.connect(admin_for(laboratory, user), deadline()) as session:
        session.mirror(user.username, other.username)
        session.set_password(other.username, other.password)


@dataclass
class RecordInMemory:
    """Keeps what a secret's labels would say of its pair; implements `rotation.logins.KeepsRecord`."""

    labels: frozenset[str] = frozenset()

    def record(self) -> PairRecord:
        """Return what is recorded."""
        return PairRecord.from_labels(self.labels)

    def read_record(self) -> PairRecord:
        """Return the same: there is nothing that was not read."""
        return self.record()

    def write_record(self, record: PairRecord) -> None:
        """Replace it."""
        self.labels = record.labels


def set_secret(  # noqa: PLR0913 - what a step is made of
    laboratory: Laboratory,
    user: Credential,
    *earlier: Credential,
    accept: frozenset[str] = frozenset(),
    pair: KeepsRecord | None = None,
    password: str | None = None,
    within: Deadline | None = None,
) -> Credential:
    """Do what setSecret does for a secret of this user with alternating users, and return what is pending.

    `earlier` are what older versions of the secret hold, `accept` is what the secret accepts, `pair` keeps the record,
    `password` is the one of the pending version; none: a new one. `within` is the time that the step has.
    """
    kind = laboratory.engine.kind
    current = SecretValue(credential=user, admin_secret="arn", strategy=None, verify=(), fields={}, accept=accept)
    pending = current.successor(kind.counterpart(user.username), password or new_password())
    context = Context(
        engine=laboratory.engine,
        deadline=within or deadline(),
        admin=lambda value: admin_for(laboratory, value.credential),
        newer=lambda: iter(()),
        earlier=lambda: iter([replace(current, credential=credential) for credential in earlier]),
        pair=pair or RecordInMemory(),
    )
    AlternatingUsers(kind).set_password(current, pending, context)
    return pending.credential


def differences(laboratory: Laboratory, user: Credential, other: Credential) -> list[str]:
    """Do what testSecret does: the other user compares the pair, if the engine lets it, else the admin."""
    who = other if laboratory.engine.kind.clone_sees_rights else admin_for(laboratory, user)
    with laboratory.engine.connect(who, deadline()) as session:
        return session.compare(user.username, other.username).sentences


def clone_status(laboratory: Laboratory, user: Credential, other: Credential) -> CloneStatus:
    """Return what the admin knows of a pair."""
    with laboratory.engine.connect(admin_for(laboratory, user), deadline()) as session:
        return session.clone_status(user.username, other.username)


def proof_of(laboratory: Laboratory, user: Credential) -> Proof:
    """Log in, and return who that was."""
    with laboratory.engine.connect(user, deadline()) as session:
        return session.proof()
