"""Does every engine keep the same promises? One class, run against the fake and every real server."""

import secrets
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.engine import CloneStatus
from rotation.errors import LoginRefused, NotPermitted, OutOfTime, StatementFailed, Unreachable, Unsafe
from tests.fakes import FakeLaboratory
from tests.laboratories import INVOICES, ORDERS, Laboratory, deadline

HOSTILE = ["it's", 'a "name"', "back`tick", "semi; colon --", "per%cent %s", "Ünïcode", "$dollar$", "back\\slash"]


class EngineContract:
    """What `rotation.engine` promises; a subclass says where."""

    @pytest.fixture
    def pair(self, laboratory: Laboratory) -> tuple[Credential, Credential]:
        """A user, and the credential that its clone is to get."""
        user = laboratory.new_user()
        return user, replace(user, username=f"{user.username}_clone", password=secrets.token_urlsafe(18))

    def mirror(self, laboratory: Laboratory, user: Credential, other: Credential) -> None:
        """Do what setSecret does as the admin."""
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.mirror(user.username, other.username)
            session.set_password(other.username, other.password)

    def differences(self, laboratory: Laboratory, user: Credential, other: Credential) -> list[str]:
        """Compare the pair as the engine says that it can be done."""
        who = other if laboratory.engine.kind.clone_sees_rights else laboratory.admin
        with laboratory.engine.connect(who, deadline()) as session:
            return list(session.differences(user.username, other.username))

    def test_the_right_password_logs_in(self, laboratory: Laboratory) -> None:
        with laboratory.engine.connect(laboratory.new_user(), deadline()) as session:
            session.verify([])

    def test_a_wrong_password_is_refused(self, laboratory: Laboratory) -> None:
        with (
            pytest.raises(LoginRefused),
            laboratory.engine.connect(replace(laboratory.new_user(), password="wrong"), deadline()),
        ):
            pass

    def test_an_unknown_user_is_refused(self, laboratory: Laboratory) -> None:
        with (
            pytest.raises(LoginRefused),
            laboratory.engine.connect(replace(laboratory.new_user(), username="nobody_here"), deadline()),
        ):
            pass

    def test_unreachable_is_not_a_wrong_password(self, laboratory: Laboratory, closed_port: int) -> None:
        with (
            pytest.raises(Unreachable),
            laboratory.engine.connect(replace(laboratory.admin, port=closed_port), deadline()),
        ):
            pass

    def test_a_host_that_does_not_exist_is_unreachable(self, laboratory: Laboratory) -> None:
        with (
            pytest.raises(Unreachable),
            laboratory.engine.connect(replace(laboratory.admin, host="nowhere.invalid"), deadline()),
        ):
            pass

    def test_a_server_that_says_nothing_is_unreachable(self, laboratory: Laboratory, silent_port: int) -> None:
        with (
            pytest.raises(Unreachable, match=r"no answer|timed out"),
            laboratory.engine.connect(replace(laboratory.admin, port=silent_port), deadline(2.0)),
        ):
            pass

    def test_without_time_nothing_is_begun(self, laboratory: Laboratory) -> None:
        with pytest.raises(OutOfTime), laboratory.engine.connect(laboratory.admin, deadline(0.5)):
            pass

    def test_a_user_changes_its_own_password_any_number_of_times(self, laboratory: Laboratory) -> None:
        user = laboratory.new_user()
        for _ in range(2):
            changed = replace(user, password=secrets.token_urlsafe(18))
            with laboratory.engine.connect(user, deadline()) as session:
                session.change_own_password(changed.password)
                session.change_own_password(changed.password)
            assert laboratory.logs_in(changed)
            assert not laboratory.logs_in(user)
            user = changed

    @pytest.mark.parametrize("text", HOSTILE)
    def test_hostile_names_and_passwords_are_only_text(self, laboratory: Laboratory, text: str) -> None:
        # Where passwords cannot hold a double quote, names cannot either.
        unusable = str.maketrans("", "", laboratory.engine.kind.unusable_in_passwords)
        text, more = text.translate(unusable), "'\"`\\".translate(unusable)
        user = laboratory.new_user(f"{text} {secrets.token_hex(2)}", f"{text}{more} ")
        other = replace(user, username=f"{user.username}_clone", password=f"{text}\\{more};-- 2")
        with laboratory.engine.connect(user, deadline()) as session:
            session.change_own_password(f"{text} {more} 3")
        assert laboratory.logs_in(replace(user, password=f"{text} {more} 3"))
        self.mirror(laboratory, user, other)
        assert laboratory.logs_in(other)
        assert self.differences(laboratory, user, other) == []

    def test_an_interrupted_session_changes_nothing_or_all(self, laboratory: Laboratory) -> None:
        user = laboratory.new_user()
        with pytest.raises(KeyboardInterrupt), laboratory.engine.connect(user, deadline()):
            raise KeyboardInterrupt
        assert laboratory.logs_in(user)

    def test_a_proof_names_the_user_and_shows_no_password(self, laboratory: Laboratory) -> None:
        user = laboratory.new_user()
        with laboratory.engine.connect(user, deadline()) as session:
            proof = session.proof()
        assert (proof.username, proof.password) == (user.username, user.password)
        assert user.password not in repr(proof)

    def test_a_proof_can_be_given_after_a_statement_was_refused(self, laboratory: Laboratory) -> None:
        user, victim = laboratory.new_user(), laboratory.new_user()
        with laboratory.engine.connect(user, deadline()) as session:
            before = session.proof()
            with pytest.raises(NotPermitted):
                session.set_password(victim.username, "taken over")
            assert session.proof() == before

    def test_an_admin_finds_who_has_proved_to_be_there(self, laboratory: Laboratory) -> None:
        user = laboratory.new_user()
        other = replace(user, username=f"{user.username}_clone", password=secrets.token_urlsafe(18))
        with laboratory.engine.connect(user, deadline()) as session:
            proof = session.proof()
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.require_proven(proof)
            session.mirror(user.username, other.username)
            session.set_password(other.username, other.password)
            assert not session.differences(user.username, other.username)
        assert laboratory.logs_in(user)
        assert laboratory.logs_in(other)

    def test_an_admin_finds_nobody_else_in_its_place(self, laboratory: Laboratory) -> None:
        user, another = laboratory.new_user(), laboratory.new_user()
        with laboratory.engine.connect(another, deadline()) as session:
            proof = replace(session.proof(), username=user.username)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session, pytest.raises(Unsafe):
            session.require_proven(proof)
        with laboratory.engine.connect(user, deadline()) as session:
            nobody = replace(session.proof(), username=f"{user.username}_nobody")
        with laboratory.engine.connect(laboratory.admin, deadline()) as session, pytest.raises(Unsafe):
            session.require_proven(nobody)

    def test_a_clone_cannot_log_in_before_its_password_is_set(
        self, laboratory: Laboratory, pair: tuple[Credential, Credential]
    ) -> None:
        user, other = pair
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.mirror(user.username, other.username)
        assert not laboratory.logs_in(other)
        self.mirror(laboratory, user, other)
        assert laboratory.logs_in(other)

    def test_a_clone_has_the_rights_of_its_user(
        self, laboratory: Laboratory, pair: tuple[Credential, Credential]
    ) -> None:
        user, other = pair
        self.mirror(laboratory, user, other)
        assert laboratory.may_read(other, ORDERS)
        assert not laboratory.may_read(other, INVOICES)
        assert self.differences(laboratory, user, other) == []

    def test_mirroring_follows_additions_and_removals(
        self, laboratory: Laboratory, pair: tuple[Credential, Credential]
    ) -> None:
        user, other = pair
        self.mirror(laboratory, user, other)
        laboratory.allow(user.username, INVOICES)
        laboratory.forbid(user.username, ORDERS)
        self.mirror(laboratory, user, other)
        for who in pair:
            assert laboratory.may_read(who, INVOICES)
            assert not laboratory.may_read(who, ORDERS)

    def test_what_the_clone_gains_while_it_is_current_its_user_gets(
        self, laboratory: Laboratory, pair: tuple[Credential, Credential]
    ) -> None:
        user, clone = pair
        self.mirror(laboratory, user, clone)
        laboratory.allow(clone.username, INVOICES)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            assert session.differences(clone.username, user.username)
        self.mirror(laboratory, clone, user)
        for who in pair:
            assert laboratory.may_read(who, INVOICES)
        assert self.differences(laboratory, clone, user) == []
        laboratory.forbid(user.username, INVOICES)
        self.mirror(laboratory, user, clone)
        for who in pair:
            assert not laboratory.may_read(who, INVOICES)

    def test_what_the_clone_alone_has_goes_when_its_user_is_current(
        self, laboratory: Laboratory, pair: tuple[Credential, Credential]
    ) -> None:
        user, clone = pair
        self.mirror(laboratory, user, clone)
        laboratory.allow(clone.username, INVOICES)
        assert self.differences(laboratory, user, clone)
        self.mirror(laboratory, user, clone)
        assert not laboratory.may_read(clone, INVOICES)
        assert not laboratory.may_read(user, INVOICES)

    def test_mirroring_may_be_repeated_and_keeps_both_passwords(
        self, laboratory: Laboratory, pair: tuple[Credential, Credential]
    ) -> None:
        user, other = pair
        self.mirror(laboratory, user, other)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.mirror(user.username, other.username)
            session.mirror(user.username, other.username)
        assert laboratory.logs_in(user)
        assert laboratory.logs_in(other)

    def test_a_clone_that_is_absent_may_be_created_and_is_ours_from_then_on(
        self, laboratory: Laboratory, pair: tuple[Credential, Credential]
    ) -> None:
        user, other = pair
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            assert session.clone_status(user.username, other.username) is CloneStatus.ABSENT
            session.mirror(user.username, other.username)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            assert session.clone_status(user.username, other.username) is CloneStatus.OURS
            assert session.clone_status(other.username, user.username) is CloneStatus.OURS

    def test_somebody_elses_user_of_that_name_is_not_ours(
        self, laboratory: Laboratory, pair: tuple[Credential, Credential]
    ) -> None:
        user, other = pair
        laboratory.new_user(other.username)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            assert session.clone_status(user.username, other.username) is CloneStatus.UNKNOWN

    def test_a_user_may_not_set_the_password_of_another(self, laboratory: Laboratory) -> None:
        user, victim = laboratory.new_user(), laboratory.new_user()
        with pytest.raises(NotPermitted), laboratory.engine.connect(user, deadline()) as session:
            session.set_password(victim.username, "taken over")
        assert laboratory.logs_in(victim)

    def test_statements_to_verify_are_run(self, laboratory: Laboratory) -> None:
        user = laboratory.new_user()
        with laboratory.engine.connect(user, deadline()) as session:
            session.verify(["SELECT 1 FROM lab_orders", "SELECT 2 FROM lab_orders"])
        with pytest.raises((NotPermitted, StatementFailed)), laboratory.engine.connect(user, deadline()) as session:
            session.verify(["SELECT 1 FROM lab_invoices"])

    def test_no_password_that_we_set_is_in_the_servers_log(
        self, laboratory: Laboratory, pair: tuple[Credential, Credential]
    ) -> None:
        user, other = pair
        changed = replace(user, password=secrets.token_urlsafe(18))
        with laboratory.engine.connect(user, deadline()) as session:
            session.change_own_password(changed.password)
        self.mirror(laboratory, changed, other)
        with pytest.raises(NotPermitted), laboratory.engine.connect(changed, deadline()) as session:
            session.set_password(laboratory.admin.username, "Refused-" + other.password)
        log = laboratory.log_text()
        assert user.username.casefold() in log.casefold()
        assert changed.password not in log
        assert other.password not in log


class TestPostgreSQL(EngineContract):
    """PostgreSQL keeps the contract."""

    @pytest.fixture
    def laboratory(self, postgresql: Laboratory) -> Laboratory:
        return postgresql


class TestMySQL(EngineContract):
    """MySQL keeps the contract."""

    @pytest.fixture
    def laboratory(self, mysql: Laboratory) -> Laboratory:
        return mysql


class TestMariaDB(EngineContract):
    """MariaDB keeps the contract."""

    @pytest.fixture
    def laboratory(self, mariadb: Laboratory) -> Laboratory:
        return mariadb


@pytest.fixture
def closed_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


class TestFake(EngineContract):
    """The fake keeps it, too: so what is decided against the fake is decided against an engine."""

    @pytest.fixture
    def laboratory(self) -> Laboratory:
        return FakeLaboratory()
