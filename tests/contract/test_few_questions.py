"""How much does a rotation of a pair say, if nothing has changed since the last one?

Repeats cost a round trip each. Those that are left have a reason. What MySQL and MariaDB are asked, one by one, is in
test_mysql_kept.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rotation.credential import Credential
from rotation.engines.sqlserver.rights import literal
from rotation.errors import NotPermitted
from rotation.record import ended
from tests.contract.pairs import RecordInMemory, admin_for, differences, new_pair, set_secret
from tests.contract.sqlserver_kit import alter
from tests.faults.scenario import DATABASE
from tests.faults.wire import Watch, Wire
from tests.laboratories import INVOICES, deadline, new_password
from tests.laboratories.mysql import MySQLLaboratory
from tests.laboratories.oracle import OracleLaboratory
from tests.laboratories.postgresql import PostgreSQLLaboratory
from tests.laboratories.sqlserver import SQLServerLaboratory, bracketed

if TYPE_CHECKING:
    from tests.laboratories.db2 import Db2Laboratory  # it imports IBM's client, which is for x86_64 only

type AnyLaboratory = MySQLLaboratory | PostgreSQLLaboratory | SQLServerLaboratory | OracleLaboratory | Db2Laboratory


def messages(laboratory: AnyLaboratory, user: Credential | None = None) -> Iterator[int]:
    """Yield how many messages setSecret says in each rotation of a new pair, all logins included."""
    record = RecordInMemory()
    with Wire({DATABASE: laboratory.admin.port}) as wire:
        port = wire.port(DATABASE)
        through = replace(laboratory, admin=replace(laboratory.admin, port=port))
        current, earlier = replace(user or laboratory.new_user(), port=port), list[Credential]()
        while True:
            watch = wire.watch(Watch())
            pending = set_secret(through, current, *earlier, pair=record)
            current, earlier = pending, [current]
            yield len(watch.places)


def warm(laboratory: AnyLaboratory, number: int = 3, user: Credential | None = None) -> int:
    """Return them for the rotation with this number."""
    counts = messages(laboratory, user)
    return [next(counts) for _ in range(number)][-1]


class TestMessages:
    """A TLS handshake takes a message more or less, depending on how its records are cut."""

    def test_of_postgresql(self, postgresql: PostgreSQLLaboratory) -> None:
        """Logins are 8 each; the user's are 3 statements each, the admin's are 10."""
        assert warm(postgresql) < 34

    def test_of_mysql(self, mysql: MySQLLaboratory) -> None:
        assert warm(mysql) < 40

    def test_of_mariadb(self, mariadb: MySQLLaboratory) -> None:
        assert warm(mariadb) < 35

    def test_of_sql_server(self, sqlserver: SQLServerLaboratory) -> None:
        """Logins are 4 each. Five databases are entered in one message, which is long, so it is sent as two."""
        assert warm(sqlserver) < 34

    def test_of_a_contained_user(self, sqlserver: SQLServerLaboratory) -> None:
        assert warm(sqlserver, user=sqlserver.new_contained_user()) < 28

    def test_of_oracle(self, oracle: OracleLaboratory) -> None:
        """Logins are 10 each; the user's are 3 statements, the admin's are 10."""
        assert warm(oracle) < 36

    def test_of_db2(self, db2: "Db2Laboratory") -> None:
        """Four logins of 6 or 7 each; only views that have rows of the two are read."""
        assert warm(db2, 2) < 47


class TestLook:
    """What a session has read counts until it writes; see `rotation.engines.look`."""

    @staticmethod
    def sees_what_others_change_after_it_wrote(laboratory: AnyLaboratory) -> None:
        user, other = new_pair(laboratory)
        laboratory.allow(other.username, INVOICES)
        with laboratory.engine.connect(admin_for(laboratory, user), deadline()) as session:
            assert session.compare(user.username, other.username).sentences
            session.mirror(user.username, other.username)
            laboratory.allow(other.username, INVOICES)
            assert session.compare(user.username, other.username).sentences

    def test_of_sql_server(self, sqlserver: SQLServerLaboratory) -> None:
        self.sees_what_others_change_after_it_wrote(sqlserver)

    def test_of_oracle(self, oracle: OracleLaboratory) -> None:
        self.sees_what_others_change_after_it_wrote(oracle)

    def test_of_db2(self, db2: "Db2Laboratory") -> None:
        self.sees_what_others_change_after_it_wrote(db2)

    def test_what_is_changed_after_a_comparison_that_found_nothing_is_changed_after_the_rotation(
        self, sqlserver: SQLServerLaboratory
    ) -> None:
        """The next rotation follows it, because the record is of what was seen."""
        user, other = new_pair(sqlserver)
        with sqlserver.engine.connect(admin_for(sqlserver, user), deadline()) as session:
            session.compare(user.username, other.username)
            sqlserver.allow(user.username, INVOICES)
            session.mirror(user.username, other.username)
            record = ended(session.compare(user.username, other.username), user.username, other.username)
        assert not sqlserver.may_read(other, INVOICES)
        set_secret(sqlserver, user, pair=RecordInMemory(record.labels))
        assert differences(sqlserver, user, other) == []

    def test_a_login_that_was_exchanged_after_the_comparison_gets_no_password(
        self, sqlserver: SQLServerLaboratory
    ) -> None:
        user, other = new_pair(sqlserver)
        name = bracketed(other.username)
        with sqlserver.engine.connect(admin_for(sqlserver, user), deadline()) as session:
            session.clone_status(user.username, other.username)
            session.compare(user.username, other.username)
            session.mirror(user.username, other.username)
            alter(sqlserver, f"DROP LOGIN {name}", f"CREATE LOGIN {name} WITH PASSWORD = {literal(other.password)}")
            with pytest.raises(NotPermitted, match="sees no such LOGIN"):
                session.set_password(other.username, new_password())
        assert sqlserver.logs_in(replace(other, database="master"))
