"""What does every engine promise? One class, which the tests of each engine and of the fake run."""

import secrets
from dataclasses import replace

import pytest

from rotation.engine import CloneStatus
from rotation.errors import LoginRefused, NotPermitted, OutOfTime, StatementFailed, Unreachable, Unsafe
from tests.contract.pairs import Pair, admin_for, changed, differences, mirror, new_clone, proof_of
from tests.laboratories import INVOICES, ORDERS, Laboratory, deadline

HOSTILE = ["it's", 'a "name"', "back`tick", "semi; colon --", "per%cent %s", "Ünïcode", "$dollar$", "back\\slash"]


class EngineContract:
    """What `rotation.engine` promises.

    The laboratory is of the engine that the subclass, or its module, is marked with.
    """

    @pytest.fixture
    def new(self, laboratory: Laboratory) -> Pair:
        """A user, and the credential that its clone is to get."""
        user = laboratory.new_user()
        return user, new_clone(user)

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
            later = changed(user)
            with laboratory.engine.connect(user, deadline()) as session:
                session.change_own_password(later.password)
                session.change_own_password(later.password)
            assert laboratory.logs_in(later)
            assert not laboratory.logs_in(user)
            user = later

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
        mirror(laboratory, user, other)
        assert laboratory.logs_in(other)
        assert differences(laboratory, user, other) == []

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

    def test_an_admin_finds_who_has_proved_to_be_there(self, laboratory: Laboratory, new: Pair) -> None:
        user, other = new
        proof = proof_of(laboratory, user)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.require_proven(proof)
            session.mirror(user.username, other.username)
            session.set_password(other.username, other.password)
            assert not session.compare(user.username, other.username).sentences
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

    def test_a_clone_cannot_log_in_before_its_password_is_set(self, laboratory: Laboratory, new: Pair) -> None:
        user, other = new
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.mirror(user.username, other.username)
        assert not laboratory.logs_in(other)
        mirror(laboratory, user, other)
        assert laboratory.logs_in(other)

    def test_a_clone_has_the_rights_of_its_user(self, laboratory: Laboratory, new: Pair) -> None:
        user, other = new
        mirror(laboratory, user, other)
        assert laboratory.may_read(other, ORDERS)
        assert not laboratory.may_read(other, INVOICES)
        assert differences(laboratory, user, other) == []

    def test_mirroring_follows_additions_and_removals(self, laboratory: Laboratory, new: Pair) -> None:
        user, other = new
        mirror(laboratory, user, other)
        laboratory.allow(user.username, INVOICES)
        laboratory.forbid(user.username, ORDERS)
        mirror(laboratory, user, other)
        for who in new:
            assert laboratory.may_read(who, INVOICES)
            assert not laboratory.may_read(who, ORDERS)

    def test_what_the_clone_gains_while_it_is_current_its_user_gets(self, laboratory: Laboratory, new: Pair) -> None:
        user, clone = new
        mirror(laboratory, user, clone)
        laboratory.allow(clone.username, INVOICES)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            assert session.compare(clone.username, user.username).sentences
        mirror(laboratory, clone, user)
        for who in new:
            assert laboratory.may_read(who, INVOICES)
        assert differences(laboratory, clone, user) == []
        laboratory.forbid(user.username, INVOICES)
        mirror(laboratory, user, clone)
        for who in new:
            assert not laboratory.may_read(who, INVOICES)

    def test_what_the_clone_alone_has_goes_when_its_user_is_current(self, laboratory: Laboratory, new: Pair) -> None:
        user, clone = new
        mirror(laboratory, user, clone)
        laboratory.allow(clone.username, INVOICES)
        assert differences(laboratory, user, clone)
        mirror(laboratory, user, clone)
        assert not laboratory.may_read(clone, INVOICES)
        assert not laboratory.may_read(user, INVOICES)

    def test_mirroring_can_be_repeated_and_keeps_both_passwords(self, laboratory: Laboratory, new: Pair) -> None:
        user, other = new
        mirror(laboratory, user, other)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.mirror(user.username, other.username)
            session.mirror(user.username, other.username)
        assert laboratory.logs_in(user)
        assert laboratory.logs_in(other)

    def test_who_compares_again_sees_what_others_have_changed(self, laboratory: Laboratory, new: Pair) -> None:
        user, other = (one.username for one in new)
        mirror(laboratory, *new)
        with laboratory.engine.connect(admin_for(laboratory, new[0]), deadline()) as session:
            assert not session.compare(user, other).sentences
            laboratory.allow(other, INVOICES)
            assert session.compare(user, other).sentences

    def test_what_was_changed_since_the_comparison_is_mirrored(self, laboratory: Laboratory, new: Pair) -> None:
        """The statements of `mirror` do not come from what the comparison has read."""
        user, other = (one.username for one in new)
        mirror(laboratory, *new)
        laboratory.allow(other, INVOICES)
        with laboratory.engine.connect(admin_for(laboratory, new[0]), deadline()) as session:
            assert session.compare(user, other).sentences
            laboratory.allow(user, INVOICES)
            session.mirror(user, other)
        assert laboratory.may_read(new[1], INVOICES)

    def test_a_clone_that_is_absent_can_be_created_and_is_ours_from_then_on(
        self, laboratory: Laboratory, new: Pair
    ) -> None:
        user, other = new
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            assert session.clone_status(user.username, other.username) is CloneStatus.ABSENT
            session.mirror(user.username, other.username)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            assert session.clone_status(user.username, other.username) is CloneStatus.OURS
            assert session.clone_status(other.username, user.username) is CloneStatus.OURS

    def test_somebody_elses_user_of_that_name_is_not_ours(self, laboratory: Laboratory, new: Pair) -> None:
        user, other = new
        laboratory.new_user(other.username)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            assert session.clone_status(user.username, other.username) is CloneStatus.UNKNOWN

    def test_a_user_cannot_set_the_password_of_another(self, laboratory: Laboratory) -> None:
        user, victim = laboratory.new_user(), laboratory.new_user()
        with pytest.raises(NotPermitted), laboratory.engine.connect(user, deadline()) as session:
            session.set_password(victim.username, "taken over")
        assert laboratory.logs_in(victim)

    def test_statements_to_verify_are_run(self, laboratory: Laboratory) -> None:
        user = laboratory.new_user()
        with laboratory.engine.connect(user, deadline()) as session:
            session.verify([laboratory.statement_that_reads(ORDERS)] * 2)
        with pytest.raises((NotPermitted, StatementFailed)), laboratory.engine.connect(user, deadline()) as session:
            session.verify([laboratory.statement_that_reads(INVOICES)])

    def test_no_password_that_we_set_is_in_the_servers_log(self, laboratory: Laboratory, new: Pair) -> None:
        user, other = new
        later = changed(user)
        with laboratory.engine.connect(user, deadline()) as session:
            session.change_own_password(later.password)
        mirror(laboratory, later, other)
        with pytest.raises(NotPermitted), laboratory.engine.connect(later, deadline()) as session:
            session.set_password(laboratory.admin.username, "Refused-" + other.password)
        log = laboratory.log_text()
        assert user.username.casefold() in log.casefold()
        assert later.password not in log
        assert other.password not in log
