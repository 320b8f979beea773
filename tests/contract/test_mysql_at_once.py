"""Do two invocations that change one user of MySQL or MariaDB at the same time both end well?"""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest

from rotation.credential import Credential
from rotation.engine import KeepsOldPassword
from rotation.engines.mysql.locks import lock_name
from rotation.engines.mysql.session import MySQLSession
from rotation.errors import LoginRefused, PasswordRefused, RotationError, StatementFailed
from tests.contract.mysql_kit import account, alter, reuse_check, rotate, shown
from tests.contract.pairs import Pair, RecordInMemory, changed, new_clone, set_secret
from tests.laboratories import deadline
from tests.laboratories.mysql import MySQLLaboratory, quoted

LOCK_SECONDS = "rotation.engines.mysql.locks.LOCK_SECONDS"


def at_once(*deliveries: Callable[[], object]) -> list[str]:
    """Run all of them, each in a thread that starts when the others do; return the errors."""
    ready, errors = threading.Barrier(len(deliveries)), list[str]()

    def deliver(delivery: Callable[[], object]) -> None:
        ready.wait()
        try:
            delivery()
        except RotationError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=deliver, args=(delivery,)) for delivery in deliveries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def rotate_into(
    pending: list[Credential], laboratory: MySQLLaboratory, current: Credential, record: RecordInMemory
) -> None:
    """Do what setSecret does, and add what is pending.

    Once more, as Secrets Manager does, if the other secret's rotation has replaced the password before it was tried.
    """
    try:
        pending.append(set_secret(laboratory, current, pair=record))
    except LoginRefused:
        pending.append(set_secret(laboratory, current, pair=record))


class Family:
    """What the two promise together; a subclass says where."""

    @pytest.fixture
    def pair(self, laboratory: MySQLLaboratory) -> Pair:
        user = laboratory.new_user()
        return user, new_clone(user)

    def test_one_step_delivered_several_times_ends_well_in_all_in_both_directions(
        self, laboratory: MySQLLaboratory, pair: Pair
    ) -> None:
        current, pending = pair
        for right in ("INSERT, UPDATE ON lab.*", "SELECT ON lab.lab_invoices", "DELETE ON lab.*") * 2:
            alter(laboratory, f"GRANT {right} TO {account(current)}")
            assert at_once(*[partial(rotate, laboratory, current, pending)] * 4) == []
            assert rotate(laboratory, current, pending) == []
            assert laboratory.logs_in(pending)
            alter(laboratory, f"REVOKE {right} FROM {account(pending)}")
            current, pending = pending, changed(current)

    def test_two_secrets_that_share_a_pair_end_well_and_one_of_them_has_the_password(
        self, laboratory: MySQLLaboratory, pair: Pair
    ) -> None:
        user, clone = pair
        another = changed(clone)
        assert at_once(lambda: rotate(laboratory, user, clone), lambda: rotate(laboratory, user, another)) == []
        assert [laboratory.logs_in(clone), laboratory.logs_in(another)].count(True) == 1

    def test_two_secrets_with_one_pair_that_rotate_at_once_both_succeed(self, laboratory: MySQLLaboratory) -> None:
        current, records = laboratory.new_user(), (RecordInMemory(), RecordInMemory())
        for right in ("INSERT", "UPDATE", "DELETE"):
            alter(laboratory, f"GRANT {right} ON lab.* TO {account(current)}")
            pending: list[Credential] = []
            assert at_once(*(partial(rotate_into, pending, laboratory, current, record) for record in records)) == []
            [current] = filter(laboratory.logs_in, pending)

    def test_two_secrets_whose_pairs_share_a_user_end_well(self, laboratory: MySQLLaboratory, pair: Pair) -> None:
        user, clone = pair
        third = new_clone(clone)
        assert rotate(laboratory, user, clone) == []
        for _ in range(3):
            errors = at_once(lambda: rotate(laboratory, user, clone), lambda: rotate(laboratory, clone, third))
            assert errors == []
            assert laboratory.logs_in(clone)
            assert laboratory.logs_in(third)

    def test_secrets_that_share_an_admin_do_not_wait_for_each_other(self, laboratory: MySQLLaboratory) -> None:
        pairs = [(user, new_clone(user)) for user in (laboratory.new_user() for _ in range(4))]
        assert at_once(*(lambda pair=pair: rotate(laboratory, *pair) for pair in pairs)) == []
        assert all(laboratory.logs_in(clone) for _, clone in pairs)

    def test_two_that_add_a_password_through_an_admin_end_well(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        new = changed(user)

        def add() -> None:
            with laboratory.engine.connect(laboratory.admin, deadline()) as session:
                assert isinstance(session, KeepsOldPassword)
                session.add_password(user.username, user.password, new.password)

        assert at_once(*[add] * 4) == []
        assert laboratory.logs_in(user)
        assert laboratory.logs_in(new)

    def test_a_strangers_lock_is_waited_for_once_and_passed_over(
        self, laboratory: MySQLLaboratory, pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(LOCK_SECONDS, 1)
        stranger = laboratory.new_user()
        with held(laboratory, stranger, pair[0]):
            assert rotate(laboratory, *pair) == []
        assert laboratory.logs_in(pair[1])
        assert f"of {stranger.username} from" in caplog.text
        assert "is passed over" in caplog.text

    def test_a_lock_that_a_killed_function_left_behind_is_passed_over(
        self, laboratory: MySQLLaboratory, pair: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(LOCK_SECONDS, 1)
        with held(laboratory, laboratory.admin, pair[1]):
            assert rotate(laboratory, *pair) == []
        assert laboratory.logs_in(pair[1])

    def test_an_invocation_that_is_at_work_too_long_is_named_and_nothing_is_changed(
        self, laboratory: MySQLLaboratory, pair: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(LOCK_SECONDS, 1)
        before = shown(laboratory, pair[0])
        with held(laboratory, laboratory.admin, pair[0], "SELECT SLEEP(3)"):
            with pytest.raises(StatementFailed, match=r"connection \d+ of admin from .* holds the lock rotation:app_"):
                rotate(laboratory, *pair)
            assert shown(laboratory, pair[0]) == before
        assert rotate(laboratory, *pair) == []

    def test_an_admin_has_the_locks_of_both_as_soon_as_it_asks_whose_the_other_is(
        self, laboratory: MySQLLaboratory, pair: Pair
    ) -> None:
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.clone_status(pair[0].username, pair[1].username)
            first, second = holders(laboratory, pair)
            assert first == second is not None

    def test_the_second_lock_is_not_taken_before_the_first(
        self, laboratory: MySQLLaboratory, pair: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So two sessions never wait for each other."""
        monkeypatch.setattr(LOCK_SECONDS, 1)
        with (
            held(laboratory, laboratory.admin, pair[0], "SELECT SLEEP(2)"),
            laboratory.engine.connect(laboratory.admin, deadline()) as session,
        ):
            with pytest.raises(StatementFailed, match="holds the lock"):
                session.clone_status(pair[0].username, pair[1].username)
            assert holders(laboratory, pair)[1] is None

    def test_a_session_that_is_left_behind_ends_with_its_locks_after_a_minute(
        self, laboratory: MySQLLaboratory
    ) -> None:
        with laboratory.engine.connect(laboratory.new_user(), deadline()) as session:
            assert isinstance(session, MySQLSession)
            assert session.connection.execute("asking", "SELECT @@SESSION.wait_timeout") == [(60,)]


def holders(laboratory: MySQLLaboratory, pair: Pair) -> list[object]:
    """Return the numbers of the connections that hold the locks of the two."""
    names = ", ".join(f"IS_USED_LOCK({quoted(lock_name(user.username))})" for user in pair)
    with laboratory.session() as run:
        return [*run(f"SELECT {names}")[0]]


@contextmanager
def held(laboratory: MySQLLaboratory, who: Credential, user: Credential, work: str = "") -> Iterator[None]:
    """Hold the lock of a user in a session that is idle, or at work."""
    with laboratory.session(replace(who, database=None)) as run:
        assert run(f"SELECT GET_LOCK({quoted(lock_name(user.username))}, 0)") == [(1,)]
        working = threading.Thread(target=run, args=(work or "DO 0",))
        working.start()
        yield
        working.join()


class TestMySQL(Family):
    """MySQL keeps them."""

    @pytest.fixture
    def laboratory(self, mysql: MySQLLaboratory) -> MySQLLaboratory:
        return mysql

    def test_a_user_whose_password_another_invocation_has_just_changed_is_content(self, mysql: MySQLLaboratory) -> None:
        user = mysql.new_user()
        new = changed(user)
        alter(mysql, f"ALTER USER {account(user)} PASSWORD HISTORY 5")
        with mysql.engine.connect(user, deadline()) as late:
            with mysql.engine.connect(user, deadline()) as session:
                session.change_own_password(new.password)
            late.change_own_password(new.password)
        assert mysql.logs_in(new)

    def test_a_password_of_the_history_that_nobody_has_set_again_is_refused(self, mysql: MySQLLaboratory) -> None:
        user = mysql.new_user()
        alter(mysql, f"ALTER USER {account(user)} PASSWORD HISTORY 5")
        new = changed(user)
        alter(mysql, *(f"ALTER USER {account(user)} IDENTIFIED BY {quoted(one.password)}" for one in (new, user)))
        with mysql.engine.connect(user, deadline()) as session, pytest.raises(PasswordRefused, match="error 3638"):
            session.change_own_password(new.password)


class TestMariaDB(Family):
    """MariaDB keeps them."""

    @pytest.fixture
    def laboratory(self, mariadb: MySQLLaboratory) -> MySQLLaboratory:
        return mariadb

    def test_the_lock_of_a_long_name_is_no_longer_than_the_server_takes(self, mariadb: MySQLLaboratory) -> None:
        user = mariadb.new_user("ü" * 110 + secrets.token_hex(4))
        clone = new_clone(user)
        assert at_once(*[lambda: rotate(mariadb, user, clone)] * 3) == []
        assert mariadb.logs_in(clone)

    def test_a_user_whose_password_another_invocation_has_just_changed_is_content(
        self, mariadb: MySQLLaboratory
    ) -> None:
        user = mariadb.new_user()
        new = changed(user)
        with reuse_check(mariadb), mariadb.engine.connect(user, deadline()) as late:
            with mariadb.engine.connect(user, deadline()) as session:
                session.change_own_password(new.password)
            late.change_own_password(new.password)
        assert mariadb.logs_in(new)
