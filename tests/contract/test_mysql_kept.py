"""Of what MySQL and MariaDB have said of a pair: what does a rotation keep, and what makes it ask again?"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import pytest

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engine import CloneStatus, Engine, InspectedEngine, Session
from rotation.engines.mysql.catalog import rights
from rotation.engines.mysql.connection import MySQLConnection
from rotation.engines.mysql.locks import take_turn
from rotation.engines.mysql.names import Account
from rotation.engines.mysql.session import MySQLSession
from rotation.errors import RightsDiffer
from rotation.kind import EngineKind
from tests.contract.mysql_kit import OnMariaDB, OnMySQL, account, shown
from tests.contract.pairs import new_pair
from tests.contract.test_mysql_one_sided import RecordedPair, new_recorded
from tests.laboratories import INVOICES, ORDERS, deadline
from tests.laboratories.mysql import MySQLLaboratory, said_by_admins

ROWS, LOCKS, DICTIONARY, CHANGE = " ORDER BY user, host", "SELECT GET_LOCK(", "(SELECT 'view', ", "ALTER USER "

READ = [
    "SET NAMES utf8mb4, ",
    ROWS,  # does the account exist that logged in?
    LOCKS,
    DICTIONARY,  # what can the two not share? It comes first: the dictionary of a large server takes its time
    ROWS,  # whose is the other one? Are they equal?
]

ASKED = {
    "MySQL": [
        *READ,
        "SHOW GRANTS FOR ",
        "FROM mysql.proxies_priv ",
        "FROM mysql.default_roles ",
        "SHOW GRANTS FOR ",
        CHANGE,
    ],
    "MariaDB": [
        *READ,
        "SHOW GRANTS FOR ",
        "FROM mysql.proxies_priv ",
        "SHOW GRANTS FOR ",
        CHANGE,
    ],
}
"""What an admin says, in order, if a password is all that changes: a part of each statement."""


@dataclass(frozen=True)
class Interrupted:
    """The engine of a laboratory. Just before an admin says something, somebody does something, once."""

    engine: Engine
    admin: str
    part: str
    """Of the statement."""
    does: Callable[[], None]
    number: int = 1
    """The admin says it for the how maniest time."""

    @property
    def kind(self) -> EngineKind:
        """The facts of the engine."""
        return self.engine.kind

    @contextmanager
    def connect(self, credential: Credential, until: Deadline) -> Iterator[Session]:
        """Log in, and listen if it is the admin."""
        left = [lambda: None] * (self.number - 1) + [self.does] if credential.username == self.admin else []

        def hear(statement: str) -> None:
            if self.part in statement and left:
                left.pop(0)()

        class Listening(MySQLConnection):
            def execute(
                self, operation: str, statement: str, remedy: str = "", expected: frozenset[int] = frozenset()
            ) -> list[tuple[Any, ...]]:
                hear(statement)
                return super().execute(operation, statement, remedy, expected)

            def execute_by_name(self, operation: str, statement: str, remedy: str = "") -> list[dict[str, Any]]:
                hear(statement)
                return super().execute_by_name(operation, statement, remedy)

        with self.engine.connect(credential, until) as session:
            assert isinstance(session, MySQLSession)
            session.connection.__class__ = Listening
            yield session
            assert not left, f"nothing with {self.part} was said"


class Family:
    """What the two promise together; a subclass says where."""

    @pytest.fixture
    def recorded(self, laboratory: MySQLLaboratory) -> RecordedPair:
        return new_recorded(laboratory)

    # What is asked

    def test_a_rotation_that_changes_a_password_only_compares_the_pair_once(self, recorded: RecordedPair) -> None:
        recorded.rotate()
        log = recorded.laboratory.log_files[0]
        since = log.stat().st_size
        recorded.rotate()
        said = list(said_by_admins(log.read_bytes()[since:].decode(errors="replace")))
        expected = ASKED[recorded.laboratory.engine.kind.name]
        assert len(said) == len(expected), said
        for statement, part in zip(said, expected, strict=True):
            assert part in statement

    # What makes it forget

    def test_a_change_of_its_own(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        with having_the_turn(laboratory, user) as (session, is_locked):
            session.connection.execute("changing", f"ALTER USER {account(user)} ACCOUNT LOCK")
            assert is_locked()

    def test_the_turn_of_one_more_user(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        with having_the_turn(laboratory, user) as (session, _):
            ask = partial(rights, session.connection, Account(user.username, "%"))
            before = ask()
            laboratory.allow(user.username, INVOICES)
            assert ask() is before
            take_turn(session.connection, [user.username], "testing")
            assert ask() is before, "it is this one's turn already"
            take_turn(session.connection, [user.username, f"{user.username}_clone"], "testing")
            assert ask() > before

    def test_the_question_what_the_other_user_is(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        names = user.username, f"{user.username}_clone"
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            assert session.clone_status(*names) is CloneStatus.ABSENT
            laboratory.new_user(names[1])
            assert session.clone_status(*names) is CloneStatus.UNKNOWN

    def test_a_comparison_that_finds_a_difference(self, laboratory: MySQLLaboratory) -> None:
        user, clone = new_pair(laboratory)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            laboratory.forbid(clone.username, ORDERS)
            assert session.compare(user.username, clone.username).sentences != []
            laboratory.allow(clone.username, ORDERS)
            assert session.compare(user.username, clone.username).sentences == []

    def test_a_comparison_that_finds_a_lock(self, laboratory: MySQLLaboratory) -> None:
        user, clone = new_pair(laboratory)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            laboratory.lock_user(clone.username)
            assert session.compare(user.username, clone.username).unlock
            laboratory.unlock_user(clone.username)
            assert not session.compare(user.username, clone.username).unlock

    def test_a_look_for_objects_that_comes_after_the_two_were_read(self, laboratory: MySQLLaboratory) -> None:
        """If nobody has logged in, it is not known before which accounts are meant."""
        user, clone = new_pair(laboratory)
        lock = partial(laboratory.lock_user, clone.username)
        engine = Interrupted(laboratory.engine, laboratory.admin.username, DICTIONARY, lock)
        with engine.connect(laboratory.admin, deadline()) as session:
            assert session.clone_status(user.username, clone.username) is CloneStatus.OURS
            session.unshared(user.username, clone.username)
            assert session.compare(user.username, clone.username).unlock

    def test_without_a_turn_nothing_is_kept_but_in_a_look(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        one = Account(user.username, "%")
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            assert isinstance(session, MySQLSession)
            with session.connection.answers.kept():
                assert not session.accounts.is_locked(one)
                laboratory.lock_user(user.username)
                assert not session.accounts.is_locked(one)
            assert session.accounts.is_locked(one)
            laboratory.unlock_user(user.username)
            assert not session.accounts.is_locked(one)

    # What an administrator does meanwhile

    def test_a_lock_while_the_dictionary_is_read_stays(self, recorded: RecordedPair) -> None:
        other = recorded.other.username
        with pytest.raises(RightsDiffer, match="somebody has locked"):
            interrupted(recorded, DICTIONARY, lambda: recorded.laboratory.lock_user(other)).rotate()
        assert not recorded.laboratory.logs_in(recorded.other)

    def test_a_lock_while_the_two_are_made_equal_stays(self, recorded: RecordedPair) -> None:
        other = recorded.other.username
        recorded.laboratory.allow(recorded.current.username, INVOICES)
        with pytest.raises(RightsDiffer, match="somebody has locked"):
            interrupted(recorded, "GRANT ", lambda: recorded.laboratory.lock_user(other)).rotate()
        assert not recorded.laboratory.logs_in(recorded.other)
        recorded.laboratory.unlock_user(other)
        recorded.rotate()
        recorded.require_equal()

    @pytest.mark.parametrize("part", [LOCKS, DICTIONARY, "mysql.proxies_priv", CHANGE])
    @pytest.mark.parametrize("changes_other", [False, True], ids=["current", "other"])
    def test_a_right_that_is_given_to_one_of_the_two_stays(
        self, recorded: RecordedPair, part: str, changes_other: bool
    ) -> None:
        """Before the two are read, or after it: this rotation does not take the right away, and the next one neither.

        Either user can have it alone afterwards. Then the next rotation follows, or asks.
        """
        user = recorded.other if changes_other else recorded.current
        pair = interrupted(recorded, part, lambda: recorded.laboratory.allow(user.username, INVOICES))
        for one in (pair, recorded):
            with suppress(RightsDiffer):
                one.rotate()
            assert f"`{INVOICES}`" in "".join(shown(recorded.laboratory, user))

    @pytest.mark.parametrize("changes_other", [False, True], ids=["current", "other"])
    def test_what_changes_after_the_two_were_read_is_found_by_the_next_rotation(
        self, recorded: RecordedPair, changes_other: bool
    ) -> None:
        user = recorded.other if changes_other else recorded.current
        pair = interrupted(recorded, CHANGE, lambda: recorded.laboratory.allow(user.username, INVOICES))
        pair.rotate()
        recorded.current, recorded.other = pair.current, pair.other
        if not changes_other:  # it is the other user of the next rotation
            recorded.require_refused()
            return
        recorded.rotate()
        recorded.require_equal()
        assert f"`{INVOICES}`" in "".join(shown(recorded.laboratory, recorded.other))


@contextmanager
def having_the_turn(laboratory: MySQLLaboratory, user: Credential) -> Iterator[tuple[MySQLSession, Callable[[], bool]]]:
    """Log in as an admin who has the turn of a user; ask whether its account is locked, and return the question."""
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        assert isinstance(session, MySQLSession)
        take_turn(session.connection, [user.username], "testing")
        is_locked = partial(session.accounts.is_locked, Account(user.username, "%"))
        assert not is_locked()
        yield session, is_locked


def interrupted(recorded: RecordedPair, part: str, does: Callable[[], None]) -> RecordedPair:
    """Return the pair on an engine under which somebody does something meanwhile."""
    laboratory = recorded.laboratory
    engine = Interrupted(laboratory.engine, laboratory.admin.username, part, does)
    return replace(recorded, laboratory=replace(laboratory, engine=cast("InspectedEngine", engine)))


class TestMySQL(OnMySQL, Family):
    """MySQL keeps them."""


class TestMariaDB(OnMariaDB, Family):
    """MariaDB keeps them."""
