"""Does an admin of PostgreSQL change the very role that has logged in, and no other one of its name?"""

import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from psycopg2.sql import SQL, Identifier, Literal

from rotation.credential import Credential
from rotation.engines.postgresql.connection import PostgreSQLConnection
from rotation.errors import NotPermitted, Unsafe
from tests.contract.pairs import new_pair, proof_of
from tests.contract.postgresql_kit import alter
from tests.laboratories import Laboratory, deadline
from tests.laboratories.postgresql import OLDER, PostgreSQLLaboratory

pytestmark = pytest.mark.thorough(postgresql=OLDER)  # no version makes a difference here


class ForgottenError(Exception):
    """What leaves a session like the error that it has raised: nothing is committed."""


def make_anew(postgresql: PostgreSQLLaboratory, user: Credential) -> None:
    """Give somebody else the user's name, and its password, too: only the oid is another one."""
    alter(postgresql, "ALTER ROLE {} RENAME TO {}", user.username, f"former_{secrets.token_hex(4)}")
    postgresql.new_user(user.username, user.password)


def verifier_of(postgresql: PostgreSQLLaboratory, username: str) -> object:
    with postgresql.session() as run:
        [(verifier,)] = run("SELECT rolpassword FROM pg_authid WHERE rolname = %s", username)
    return verifier


def test_a_login_is_one_role_however_often_and_no_other_ones(postgresql: PostgreSQLLaboratory) -> None:
    user, another = postgresql.new_user(), postgresql.new_user()
    proof = proof_of(postgresql, user)
    assert proof == proof_of(postgresql, user)
    assert (proof.username, proof.password) == (user.username, user.password)
    assert proof.principal != proof_of(postgresql, another).principal
    with postgresql.engine.connect(postgresql.admin, deadline()) as session:
        session.require_proven(proof)
        session.require_proven(proof)


def test_a_login_is_proved_after_a_statement_that_was_refused(postgresql: PostgreSQLLaboratory) -> None:
    user = postgresql.new_user()
    with postgresql.engine.connect(user, deadline()) as session:
        with pytest.raises(NotPermitted):
            session.set_password(postgresql.admin.username, "taken over")
        assert session.proof() == proof_of(postgresql, user)


def test_a_user_that_acts_as_another_role_is_itself(postgresql: PostgreSQLLaboratory) -> None:
    user, clone = new_pair(postgresql)
    proof = proof_of(postgresql, clone)
    assert proof.username == clone.username
    assert proof.principal != proof_of(postgresql, user).principal


def test_a_session_of_another_role_than_was_named_proves_nothing(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a pooler that logs everybody in as one."""
    user, begin = postgresql.new_user(), PostgreSQLConnection.begin

    def begin_as_another(connection: PostgreSQLConnection) -> None:
        alter(postgresql, "ALTER ROLE {0} RENAME TO {1}", user.username, f"pool_{user.username}")
        begin(connection)

    monkeypatch.setattr(PostgreSQLConnection, "begin", begin_as_another)
    expected = pytest.raises(Unsafe, match=f"logged in pool_{user.username}.*pooler")
    with postgresql.engine.connect(user, deadline()) as session, expected:
        session.proof()


def test_a_login_at_another_server_proves_nothing(trusted: Callable[[str], Laboratory]) -> None:
    """Whatever the oids are: those of a copy are the same."""
    laboratories = [trusted(name) for name in ("postgresql-15", "postgresql-18")]
    name = f"everywhere_{secrets.token_hex(4)}"
    proofs = []
    for number, laboratory in zip((15, 18), laboratories, strict=True):
        trusted(f"postgresql-{number}")
        assert isinstance(laboratory, PostgreSQLLaboratory)
        proofs.append(proof_of(laboratory, laboratory.new_user(name)))
    there, here = (proof.principal for proof in proofs)
    oid = re.findall(r"\d+", here)[0]
    copied = replace(proofs[0], principal=re.sub(r"\d+", oid, there, count=1))
    with laboratories[1].engine.connect(laboratories[1].admin, deadline()) as session:
        session.require_proven(proofs[1])
        with pytest.raises(Unsafe, match="another server"):
            session.require_proven(copied)


def test_a_role_made_anew_since_the_login_is_another_one(postgresql: PostgreSQLLaboratory) -> None:
    user = postgresql.new_user()
    proof = proof_of(postgresql, user)
    make_anew(postgresql, user)
    with (
        postgresql.engine.connect(postgresql.admin, deadline()) as session,
        pytest.raises(Unsafe, match="another role"),
    ):
        session.require_proven(proof)


def test_a_role_dropped_since_the_login_is_gone(postgresql: PostgreSQLLaboratory) -> None:
    user = postgresql.new_user()
    proof = proof_of(postgresql, user)
    alter(postgresql, "DROP OWNED BY {}", user.username)
    alter(postgresql, "DROP ROLE {}", user.username)
    with postgresql.engine.connect(postgresql.admin, deadline()) as session, pytest.raises(Unsafe):
        session.require_proven(proof)


@pytest.mark.parametrize("verb", ["set_password", "reset_password"])
def test_a_role_made_anew_before_its_password_is_set_keeps_its_own(postgresql: PostgreSQLLaboratory, verb: str) -> None:
    user = postgresql.new_user()
    proof = proof_of(postgresql, user)
    with suppress(ForgottenError), postgresql.engine.connect(postgresql.admin, deadline()) as session:
        session.require_proven(proof)
        make_anew(postgresql, user)
        before = verifier_of(postgresql, user.username)
        with pytest.raises(Unsafe):
            getattr(session, verb)(user.username, "another one")
        raise ForgottenError
    assert verifier_of(postgresql, user.username) == before


@pytest.mark.parametrize("which", [0, 1], ids=["the original", "the clone"])
def test_a_role_made_anew_before_it_is_mirrored_is_left_alone(postgresql: PostgreSQLLaboratory, which: int) -> None:
    pair = new_pair(postgresql)
    changed = pair[which]
    proof = proof_of(postgresql, changed)
    with suppress(ForgottenError), postgresql.engine.connect(postgresql.admin, deadline()) as session:
        session.require_proven(proof)
        make_anew(postgresql, changed)
        with pytest.raises(Unsafe):
            session.mirror(pair[0].username, pair[1].username)
        raise ForgottenError
    with postgresql.session() as run:
        is_member = "SELECT count(*) FROM pg_auth_members WHERE %s::regrole IN (roleid, member) AND grantor <> 10"
        assert run(is_member, changed.username) == [(0,)]


def test_a_clone_that_somebody_makes_meanwhile_is_not_ours(postgresql: PostgreSQLLaboratory) -> None:
    user = postgresql.new_user()
    clone = f"{user.username}_clone"
    with suppress(ForgottenError), postgresql.engine.connect(postgresql.admin, deadline()) as session:
        session.clone_status(user.username, clone)
        postgresql.new_user(clone)
        with pytest.raises(Unsafe, match="meanwhile"):
            session.mirror(user.username, clone)
        raise ForgottenError
    with postgresql.session() as run:
        assert run("SELECT shobj_description(%s::regrole, 'pg_authid')", clone) == [(None,)]


def test_a_proved_clone_needs_no_mark(postgresql: PostgreSQLLaboratory) -> None:
    """As those that AWS's own functions made."""
    user = postgresql.new_user()
    clone = postgresql.new_user(f"{user.username}_clone")
    proofs = [proof_of(postgresql, one) for one in (user, clone)]
    with postgresql.engine.connect(postgresql.admin, deadline()) as session:
        for proof in proofs:
            session.require_proven(proof)
        session.mirror(user.username, clone.username)
        session.set_password(clone.username, clone.password)
    assert postgresql.logs_in(clone)


MARK = "Takes turns with {}: rotated by AWS Secrets Manager"
COMMENTS = {
    MARK: True,
    "Made by Ann\n" + MARK: True,
    MARK + "\nSeen by Bob": True,
    "Made by Ann\n" + MARK + "\nSeen by Bob": True,
    "Once it said: " + MARK: False,
    MARK + " (no longer)": False,
    MARK.format("x{}"): False,
}


@pytest.mark.parametrize("comment", COMMENTS, ids=range(len(COMMENTS)))
def test_a_mark_is_a_whole_line_of_the_clones_comment(postgresql: PostgreSQLLaboratory, comment: str) -> None:
    user = postgresql.new_user()
    clone = postgresql.new_user(f"{user.username}_clone")
    with postgresql.session() as run:
        text = Literal(comment.format(user.username))
        run(SQL("COMMENT ON ROLE {} IS {}").format(Identifier(clone.username), text))
    with postgresql.engine.connect(postgresql.admin, deadline()) as session:
        clone_status = session.clone_status(user.username, clone.username)
    assert (clone_status.name == "OURS") is COMMENTS[comment]


def test_a_mark_on_the_original_says_nothing(postgresql: PostgreSQLLaboratory) -> None:
    user = postgresql.new_user()
    clone = postgresql.new_user(f"{user.username}_clone")
    with postgresql.session() as run:
        text = Literal(MARK.format(user.username))
        run(SQL("COMMENT ON ROLE {} IS {}").format(Identifier(user.username), text))
    with postgresql.engine.connect(postgresql.admin, deadline()) as session:
        assert session.clone_status(user.username, clone.username).name == "UNKNOWN"


def test_nobody_but_who_administers_a_role_can_mark_it(postgresql: PostgreSQLLaboratory) -> None:
    """Neither its own user, nor somebody else; from version 16 on, not even who has CREATEROLE and did not make it."""
    user, stranger, creator = postgresql.new_user(), postgresql.new_user(), postgresql.new_user()
    alter(postgresql, "ALTER ROLE {} CREATEROLE", creator.username)
    comment = SQL("COMMENT ON ROLE {} IS 'mine'").format(Identifier(user.username))
    for who in (user, stranger, creator):
        with postgresql.session(who) as run:
            if who == creator and postgresql.version < 160000:
                run(comment)
                continue
            with pytest.raises(Exception, match=r"permission denied|must have CREATEROLE"):
                run(comment)
