"""How much does a rotation of a pair ask, if nothing has changed since the last one?

Repeats cost a round trip each. Those that are left have a reason: before and after the locks are taken, and before and
after the other user is changed, the two are read anew.
"""

from collections.abc import Iterator
from dataclasses import replace

from rotation.credential import Credential
from rotation.engines.mysql.catalog import row
from rotation.engines.mysql.connection import connect
from rotation.engines.mysql.names import Account
from tests.contract.mysql_kit import account, alter
from tests.contract.pairs import RecordInMemory, set_secret
from tests.faults.scenario import DATABASE
from tests.faults.wire import Watch, Wire
from tests.laboratories import deadline
from tests.laboratories.mysql import MySQLLaboratory
from tests.laboratories.postgresql import PostgreSQLLaboratory


def messages(laboratory: MySQLLaboratory | PostgreSQLLaboratory) -> Iterator[int]:
    """Yield how many messages setSecret says in each rotation of a new pair, all logins included."""
    record = RecordInMemory()
    with Wire({DATABASE: laboratory.admin.port}) as wire:
        port = wire.port(DATABASE)
        through = replace(laboratory, admin=replace(laboratory.admin, port=port))
        current, earlier = replace(laboratory.new_user(), port=port), list[Credential]()
        while True:
            watch = wire.watch(Watch())
            pending = set_secret(through, current, *earlier, pair=record)
            current, earlier = pending, [current]
            yield len(watch.places)


def third(laboratory: MySQLLaboratory | PostgreSQLLaboratory) -> int:
    """Return them for the third rotation."""
    counts = messages(laboratory)
    return [next(counts) for _ in range(3)][-1]


class TestMessages:
    """A TLS handshake takes a message more or less, depending on how its records are cut."""

    def test_of_postgresql(self, postgresql: PostgreSQLLaboratory) -> None:
        """Logins are 8 each; the user's are 3 statements each, the admin's are 10."""
        assert third(postgresql) < 46

    def test_of_mysql(self, mysql: MySQLLaboratory) -> None:
        assert third(mysql) < 82

    def test_of_mariadb(self, mariadb: MySQLLaboratory) -> None:
        assert third(mariadb) < 82


class TestOneLook:
    """A question has one answer, until this session changes something or the look ends."""

    def test_what_others_change_is_seen_by_the_next_look(self, mysql: MySQLLaboratory) -> None:
        user = mysql.new_user()
        with connect(mysql.admin, deadline()) as connection:
            with connection.one_look():
                before = row(connection, Account(user.username, "%"))
                alter(mysql, f"ALTER USER {account(user)} ACCOUNT LOCK")
                assert row(connection, Account(user.username, "%")) is before
            with connection.one_look():
                assert row(connection, Account(user.username, "%"))["account_locked"] == "Y"
            alter(mysql, f"ALTER USER {account(user)} ACCOUNT UNLOCK")
            assert row(connection, Account(user.username, "%"))["account_locked"] == "N", "there is no look"

    def test_after_a_change_of_ours_all_is_asked_anew(self, mysql: MySQLLaboratory) -> None:
        user = mysql.new_user()
        with connect(mysql.admin, deadline()) as connection, connection.one_look():
            assert row(connection, Account(user.username, "%"))["account_locked"] == "N"
            connection.execute("locking", f"ALTER USER {account(user)} ACCOUNT LOCK")
            assert row(connection, Account(user.username, "%"))["account_locked"] == "Y"
