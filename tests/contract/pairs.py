"""What do the contract tests of all engines do with the two users of a pair?"""

from dataclasses import replace

from rotation.credential import Credential
from rotation.engine import CloneStatus, Proof
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


def differences(laboratory: Laboratory, user: Credential, other: Credential) -> list[str]:
    """Do what testSecret does: the other user compares the pair, if the engine lets it, else the admin."""
    who = other if laboratory.engine.kind.clone_sees_rights else admin_for(laboratory, user)
    with laboratory.engine.connect(who, deadline()) as session:
        return list(session.differences(user.username, other.username))


def clone_status(laboratory: Laboratory, user: Credential, other: Credential) -> CloneStatus:
    """Return what the admin knows of a pair."""
    with laboratory.engine.connect(admin_for(laboratory, user), deadline()) as session:
        return session.clone_status(user.username, other.username)


def proof_of(laboratory: Laboratory, user: Credential) -> Proof:
    """Log in, and return who that was."""
    with laboratory.engine.connect(user, deadline()) as session:
        return session.proof()
