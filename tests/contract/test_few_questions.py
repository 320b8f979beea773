"""How much does a rotation of a pair say, if nothing has changed since the last one?

Repeats cost a round trip each. Those that are left have a reason. What MySQL and MariaDB are asked, one by one, is in
test_mysql_kept.
"""

from collections.abc import Iterator
from dataclasses import replace

from rotation.credential import Credential
from tests.contract.pairs import RecordInMemory, set_secret
from tests.faults.scenario import DATABASE
from tests.faults.wire import Watch, Wire
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
        assert third(postgresql) < 95

    def test_of_mysql(self, mysql: MySQLLaboratory) -> None:
        assert third(mysql) < 43

    def test_of_mariadb(self, mariadb: MySQLLaboratory) -> None:
        assert third(mariadb) < 38
