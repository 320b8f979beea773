"""Does a rotation on SQL Server undo what an administrator did to one of the two users of a pair?

The statements for either user are run as they stand in the comparison, and in the error.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest

from rotation.credential import Credential
from rotation.engine import Comparison, Difference
from rotation.engines.sqlserver.connection import Rows, SQLServerConnection
from rotation.errors import RightsDiffer
from rotation.record import ended
from tests.contract.pairs import RecordInMemory, admin_for, new_clone, set_secret
from tests.contract.sqlserver_kit import alter, asked, has_by, needs_stand_in
from tests.laboratories import INVOICES, ORDERS, deadline
from tests.laboratories.sqlserver import CONTAINED, DATABASE, SQLServerLaboratory, bracketed

pytestmark = [pytest.mark.sample(3), pytest.mark.engine("sqlserver")]


@dataclass
class Turns:
    """A pair whose users take turns, as rotations find it."""

    laboratory: SQLServerLaboratory
    current: Credential
    other: Credential
    databases: tuple[str, ...]
    record: RecordInMemory = field(default_factory=RecordInMemory)

    def rotate(self) -> None:
        """Do what setSecret and finishSecret do: the other one is current afterwards."""
        pending = set_secret(self.laboratory, self.current, pair=self.record)
        assert self.laboratory.logs_in(pending)
        self.current, self.other = pending, self.current

    def refused(self) -> Comparison:
        """See that a rotation is refused with both statements for each difference, and changes nothing."""
        before, labels = self.all(), self.record.labels
        found = self.compare()
        with pytest.raises(RightsDiffer) as raised:
            set_secret(self.laboratory, self.current, pair=self.record)
        assert (self.all(), self.record.labels) == (before, labels)
        assert found.differences
        for difference in found.differences:
            assert difference.what in str(raised.value)
            assert f"{difference.change_other} or {difference.change_user}" in str(raised.value)
        return found

    def compare(self) -> Comparison:
        """Compare the two as the admin of a rotation does."""
        with self.laboratory.engine.connect(admin_for(self.laboratory, self.current), deadline()) as session:
            return session.compare(self.current.username, self.other.username)

    def all(self) -> list[object]:
        """Return all that the two have, by the catalog; in one session, because each costs time."""
        with self.laboratory.session(database="master") as run:
            return [has_by(run, user.username, *self.databases) for user in (self.current, self.other)]

    def run(self, statement: str, *users: Credential, database: str) -> None:
        """Run a statement as an administrator, about each of these users."""
        for user in users:
            alter(self.laboratory, statement.format(bracketed(user.username)), database=database)


def paste(laboratory: SQLServerLaboratory, statement: str) -> None:
    """Run what a message says, in a session that is in no particular database."""
    assert statement.startswith("USE ["), statement
    alter(laboratory, statement, database="tempdb")


def change_other(difference: Difference) -> str:
    return difference.change_other


def change_user(difference: Difference) -> str:
    return difference.change_user


@pytest.fixture
def turns(sqlserver: SQLServerLaboratory, furnished: str) -> Turns:
    """Two logins that were rotated once: their record is written. Both have a user in two databases."""
    user = sqlserver.new_user()
    alter(sqlserver, f"CREATE USER {user.username} FOR LOGIN {user.username}", database=furnished)
    turns = Turns(sqlserver, user, new_clone(user), (DATABASE, furnished))
    turns.rotate()
    return turns


@pytest.fixture
def contained_turns(sqlserver: SQLServerLaboratory) -> Turns:
    """Two contained users that were rotated once."""
    user = sqlserver.new_contained_user()
    turns = Turns(sqlserver, user, new_clone(user), (CONTAINED,))
    turns.rotate()
    return turns


@pytest.fixture
def furnished(sqlserver: SQLServerLaboratory, database: str) -> str:
    """One more database, with what there can be rights on."""
    alter(
        sqlserver,
        "CREATE SCHEMA [it's ]]]",
        "CREATE ROLE [r ]]]",
        "CREATE TABLE dbo.t ([a ]]] int, b int)",
        database=database,
    )
    return database


type Kinds = list[tuple[str, str]]
"""What an administrator does, and what takes it back."""


def end_differences(turns: Turns, choose: Callable[[Difference], str], count: int) -> None:
    """Run one of the two statements of each difference."""
    found = turns.refused().differences
    assert len(found) == count
    for difference in found:
        paste(turns.laboratory, choose(difference))


def follow_all(turns: Turns, kinds: Kinds, database: str) -> None:
    """Do all of this to one, to the other, and to both, and undo it, in both directions of the pair."""

    def run(which: int, *users: Credential) -> None:
        for kind in kinds:
            turns.run(kind[which], *users, database=database)

    do, undo = 0, 1
    at_first = turns.all()[0]
    for choose in (change_other, change_user):
        run(do, turns.other)
        end_differences(turns, choose, len(kinds))
        turns.rotate()
        assert (turns.all()[0] == turns.all()[1] == at_first) is (choose is change_other)
    with_it = turns.all()[0]
    for choose in (change_other, change_user):
        run(undo, turns.other)
        end_differences(turns, choose, len(kinds))
        turns.rotate()
        assert turns.all()[0] == turns.all()[1]
        assert (turns.all()[0] == with_it) is (choose is change_other)
    run(do, turns.current, turns.other)
    turns.rotate()
    assert turns.all() == [with_it, with_it]
    for which in (undo, do):
        run(which, turns.current)
        turns.rotate()
    assert turns.all() == [with_it, with_it]


ON_SERVER: Kinds = [
    ("ALTER LOGIN {} WITH CHECK_POLICY = ON", "ALTER LOGIN {} WITH CHECK_EXPIRATION = OFF, CHECK_POLICY = OFF"),
    ("ALTER LOGIN {} WITH DEFAULT_DATABASE = [lab]", "ALTER LOGIN {} WITH DEFAULT_DATABASE = [master]"),
    ("ALTER LOGIN {} WITH DEFAULT_LANGUAGE = [Deutsch]", "ALTER LOGIN {} WITH DEFAULT_LANGUAGE = [us_english]"),
    ("ALTER SERVER ROLE setupadmin ADD MEMBER {}", "ALTER SERVER ROLE setupadmin DROP MEMBER {}"),
    ("GRANT VIEW SERVER STATE TO {}", "REVOKE VIEW SERVER STATE FROM {}"),
    ("GRANT ALTER TRACE TO {} WITH GRANT OPTION", "REVOKE ALTER TRACE FROM {} CASCADE"),
    ("DENY VIEW ANY DEFINITION TO {}", "REVOKE VIEW ANY DEFINITION FROM {}"),
    ("GRANT IMPERSONATE ON LOGIN::sa TO {}", "REVOKE IMPERSONATE ON LOGIN::sa FROM {}"),
    ("GRANT CONNECT SQL TO {} WITH GRANT OPTION", "REVOKE GRANT OPTION FOR CONNECT SQL FROM {} CASCADE"),
]


def test_what_an_administrator_does_on_the_server_is_never_undone(sqlserver: SQLServerLaboratory) -> None:
    user = sqlserver.new_user()
    turns = Turns(replace(sqlserver, admin=sqlserver.superuser), user, new_clone(user), (DATABASE,))
    turns.rotate()
    follow_all(turns, ON_SERVER, "master")


IN_DATABASE: list[Kinds] = [
    [
        ("GRANT INSERT ON dbo.t TO {} WITH GRANT OPTION", "REVOKE INSERT ON dbo.t FROM {} CASCADE"),
        ("DENY DELETE ON dbo.t TO {}", "REVOKE DELETE ON dbo.t FROM {}"),
        ("GRANT SELECT ON dbo.t ([a ]]]) TO {}", "REVOKE SELECT ON dbo.t ([a ]]]) FROM {}"),
        ("DENY SELECT ON dbo.t (b) TO {}", "REVOKE SELECT ON dbo.t (b) FROM {}"),
        ("GRANT EXECUTE ON SCHEMA::[it's ]]] TO {}", "REVOKE EXECUTE ON SCHEMA::[it's ]]] FROM {}"),
        ("GRANT VIEW DEFINITION ON USER::dbo TO {}", "REVOKE VIEW DEFINITION ON USER::dbo FROM {}"),
        ("GRANT CREATE TABLE TO {}", "REVOKE CREATE TABLE FROM {}"),
        ("DENY SHOWPLAN TO {}", "REVOKE SHOWPLAN FROM {}"),
        ("ALTER ROLE [r ]]] ADD MEMBER {}", "ALTER ROLE [r ]]] DROP MEMBER {}"),
        ("ALTER USER {} WITH DEFAULT_SCHEMA = [it's ]]]", "ALTER USER {} WITH DEFAULT_SCHEMA = dbo"),
        (
            "ALTER USER {} WITH ALLOW_ENCRYPTED_VALUE_MODIFICATIONS = ON",
            "ALTER USER {} WITH ALLOW_ENCRYPTED_VALUE_MODIFICATIONS = OFF",
        ),
    ],
    [("GRANT SELECT ON dbo.t TO {}", "REVOKE SELECT ON dbo.t FROM {}")],
]


@pytest.mark.thorough(kinds=IN_DATABASE[1:])
@pytest.mark.parametrize("kinds", IN_DATABASE, ids=["all", "table"])
def test_what_an_administrator_does_in_a_database_is_never_undone(turns: Turns, kinds: Kinds) -> None:
    follow_all(turns, kinds, turns.databases[1])


ON_COLUMNS = [
    ("GRANT SELECT ON dbo.t TO {}", "DENY SELECT ON dbo.t (b) TO {}", "GRANT SELECT ON dbo.t (b) TO {}"),
    ("GRANT SELECT ON dbo.t TO {}", "REVOKE SELECT ON dbo.t (b) FROM {}", "GRANT SELECT ON dbo.t (b) TO {}"),
]


@pytest.mark.parametrize(("first", "do", "undo"), ON_COLUMNS)
def test_what_an_administrator_does_to_columns_is_never_undone(turns: Turns, first: str, do: str, undo: str) -> None:
    turns.run(first, turns.current, turns.other, database=turns.databases[1])
    turns.rotate()
    follow_all(turns, [(do, undo)], turns.databases[1])


OF_CONTAINED: Kinds = [
    (f"GRANT INSERT ON dbo.{INVOICES} TO {{}} WITH GRANT OPTION", f"REVOKE INSERT ON dbo.{INVOICES} FROM {{}} CASCADE"),
    (f"DENY SELECT ON dbo.{INVOICES} TO {{}}", f"REVOKE SELECT ON dbo.{INVOICES} FROM {{}}"),  # noqa: S608 - constants
    ("ALTER ROLE db_datareader ADD MEMBER {}", "ALTER ROLE db_datareader DROP MEMBER {}"),
    ("ALTER USER {} WITH DEFAULT_LANGUAGE = Deutsch", "ALTER USER {} WITH DEFAULT_LANGUAGE = NONE"),
    ("ALTER USER {} WITH DEFAULT_SCHEMA = guest", "ALTER USER {} WITH DEFAULT_SCHEMA = dbo"),
]


def test_what_an_administrator_does_to_a_contained_user_is_never_undone(contained_turns: Turns) -> None:
    follow_all(contained_turns, OF_CONTAINED, CONTAINED)


def test_a_difference_has_a_statement_for_either_user(turns: Turns) -> None:
    current, other = turns.current.username, turns.other.username
    turns.run("GRANT SELECT ON dbo.t TO {}", turns.other, database=turns.databases[1])
    [difference] = turns.refused().differences
    place, right = bracketed(turns.databases[1]), "SELECT ON OBJECT::[dbo].[t]"
    assert difference == Difference(
        f"{other} has GRANT {right} in the database {turns.databases[1]}, {current} does not",
        f"USE {place}; REVOKE {right} FROM [{other}] AS [dbo]",
        f"USE {place}; GRANT {right} TO [{current}]",
    )


def test_several_changes_are_ended_one_by_one(turns: Turns) -> None:
    """Of a pair with changes of both, one by one, in different directions."""
    place = turns.databases[1]
    turns.run("GRANT SELECT, INSERT ON dbo.t TO {}", turns.other, database=place)
    turns.run("DENY UPDATE ON dbo.t TO {}", turns.current, database=place)
    turns.run(f"DENY SELECT ON dbo.{ORDERS} TO {{}}", turns.other, database=DATABASE)
    for choose in (change_other, change_user, change_other, change_user):
        paste(turns.laboratory, choose(turns.refused().differences[0]))
    turns.rotate()
    assert turns.all()[0] == turns.all()[1]


def test_a_change_of_both_is_refused_and_the_message_says_so(turns: Turns) -> None:
    turns.run("GRANT SELECT ON dbo.t TO {}", turns.other, database=turns.databases[1])
    turns.run("GRANT INSERT ON dbo.t TO {}", turns.current, database=turns.databases[1])
    with pytest.raises(RightsDiffer, match=f"{turns.other.username} and {turns.current.username} were changed"):
        turns.rotate()


def test_without_a_record_each_difference_is_refused(turns: Turns) -> None:
    turns.record.labels = frozenset()
    turns.run("GRANT SELECT ON dbo.t TO {}", turns.current, database=turns.databases[1])
    turns.refused()
    paste(turns.laboratory, turns.compare().differences[0].change_other)
    turns.rotate()


# A user that cannot log in

LOCKS = [
    ("ALTER LOGIN {} DISABLE", "ALTER LOGIN [{}] ENABLE"),
    ("DENY CONNECT SQL TO {}", "USE [master]; REVOKE CONNECT SQL FROM [{0}] AS [sa]; GRANT CONNECT SQL TO [{0}]"),
    ("REVOKE CONNECT SQL FROM {}", "USE [master]; GRANT CONNECT SQL TO [{}]"),
]


def locked(turns: Turns, lock: str, unlock: str, database: str) -> None:
    turns.run(lock, turns.other, database=database)
    turns.run("ALTER ROLE db_datareader ADD MEMBER {}", turns.current, database=turns.databases[0])
    before = turns.all()
    for _ in range(2):
        with pytest.raises(RightsDiffer, match="somebody has locked") as raised:
            set_secret(turns.laboratory, turns.current, pair=turns.record)
        assert f"Run {unlock};" in raised.value.remedy
    assert turns.all() == before
    alter(turns.laboratory, unlock, database="master")
    turns.run("ALTER ROLE db_datareader ADD MEMBER {}", turns.other, database=turns.databases[0])
    turns.rotate()


@pytest.mark.parametrize(("lock", "unlock"), LOCKS)
def test_a_login_that_somebody_has_locked_stays_locked(turns: Turns, lock: str, unlock: str) -> None:
    turns = replace(turns, laboratory=replace(turns.laboratory, admin=turns.laboratory.superuser))
    locked(turns, lock, unlock.format(turns.other.username), "master")


@pytest.mark.parametrize("lock", ["REVOKE CONNECT FROM {}", "DENY CONNECT TO {}"])
def test_a_contained_user_that_somebody_has_locked_stays_locked(contained_turns: Turns, lock: str) -> None:
    name = contained_turns.other.username
    revoke = f" REVOKE CONNECT FROM [{name}] AS [dbo];" if lock.startswith("DENY") else ""
    locked(contained_turns, lock, f"USE [{CONTAINED}];{revoke} GRANT CONNECT TO [{name}]", CONTAINED)


def test_a_login_that_failed_logins_have_locked_is_unlocked(turns: Turns) -> None:
    needs_stand_in(turns.laboratory)
    turns.run("ALTER LOGIN {} WITH CHECK_POLICY = ON", turns.current, turns.other, database="master")
    for _ in range(10):
        assert not turns.laboratory.logs_in(replace(turns.other, password="wrong"))
    turns.rotate()


def test_nothing_for_the_current_user_to_run_would_lock_it_out(turns: Turns) -> None:
    turns.run("REVOKE CONNECT SQL FROM {}", turns.other, database="master")
    turns.run("DENY CONNECT TO {}", turns.other, database=turns.databases[1])
    name = turns.current.username
    assert [one.change_user for one in turns.compare().differences] == [
        f"take CONNECT SQL from {name} by hand, which can then no longer connect",
        f"take CONNECT from {name} by hand, which can then no longer connect",
    ]


# Databases


def test_a_database_of_the_current_one_is_followed_and_one_that_the_other_lost_is_not(turns: Turns) -> None:
    place, role = turns.databases[1], "ALTER ROLE [r ]]] ADD MEMBER {}"
    for _ in range(2):
        turns.run("DROP USER {}", turns.current, turns.other, database=place)
        turns.rotate()
        turns.run("CREATE USER {0} FOR LOGIN {0}", turns.current, database=place)
        turns.run(role, turns.current, database=place)
        turns.rotate()
        assert turns.all()[0] == turns.all()[1]
    turns.run("DROP USER {}", turns.other, database=place)
    [difference] = turns.refused().differences
    name, current = bracketed(turns.other.username), turns.current.username
    assert difference.change_other == (
        f"USE {bracketed(place)}; CREATE USER {name} FOR LOGIN {name} WITH DEFAULT_SCHEMA = [dbo],"
        f" ALLOW_ENCRYPTED_VALUE_MODIFICATIONS = OFF; ALTER ROLE [r ]]] ADD MEMBER {name}"
    )
    assert difference.change_user == f"drop the user [{current}] there by hand, if {current} needs nothing there"
    paste(turns.laboratory, difference.change_other)
    turns.rotate()
    turns.run("DROP USER {}", turns.other, database=place)
    turns.refused()
    turns.run("DROP USER {}", turns.current, database=place)
    turns.rotate()
    assert (
        asked(turns.laboratory, "SELECT name FROM sys.database_principals WHERE name = %s", current, database=place)
        == []
    )


def test_a_user_that_was_dropped_while_its_login_was_current_does_not_come_back(turns: Turns) -> None:
    """It was left alone while the other one alone had a user there, and nobody knows who was first."""
    place = turns.databases[1]
    turns.run("DROP USER {}", turns.current, database=place)
    turns.rotate()
    assert turns.compare().differences[0].what.endswith(f"in the database {place}, {turns.other.username} has none")
    turns.refused()
    turns.run("DROP USER {}", turns.current, database=place)
    turns.rotate()


def test_a_database_that_only_the_other_one_was_let_into_is_nobodys_to_change(turns: Turns) -> None:
    """Nor is it, once the current one is let in as well, with other rights."""
    place = turns.databases[1]
    turns.run("DROP USER {}", turns.current, turns.other, database=place)
    turns.rotate()
    turns.run("CREATE USER {0} FOR LOGIN {0}", turns.other, database=place)
    turns.run("GRANT SELECT ON dbo.t TO {}", turns.other, database=place)
    before = turns.all()
    assert turns.compare().differences == []
    turns.rotate()
    assert turns.all() == before[::-1]
    turns.refused()
    turns.run("CREATE USER {0} FOR LOGIN {0}", turns.other, database=place)
    turns.refused()
    paste(turns.laboratory, turns.compare().differences[0].change_user)
    turns.rotate()


def test_an_orphan_is_adopted_by_the_statement(turns: Turns) -> None:
    place, name = turns.databases[1], turns.other.username
    lost = turns.laboratory.new_user()
    turns.run("DROP USER {}", turns.other, database=place)
    turns.run("DROP USER {}", lost, database=DATABASE)
    alter(turns.laboratory, f"CREATE USER {name} FOR LOGIN {lost.username}", database=place)
    alter(turns.laboratory, f"DROP LOGIN {lost.username}")
    [difference] = turns.refused().differences
    assert difference.what.endswith(f"the user [{name}] there belongs to no login")
    paste(turns.laboratory, difference.change_other)
    turns.rotate()


# Ownership


@pytest.mark.thorough(thing=["ROLE::[r ]]]"])
@pytest.mark.parametrize("thing", ["SCHEMA::[it's ]]]", "ROLE::[r ]]]", "OBJECT::dbo.t"])
def test_the_control_that_stands_for_ownership_is_no_difference(turns: Turns, thing: str) -> None:
    place = turns.databases[1]
    turns.run(f"ALTER AUTHORIZATION ON {thing} TO {{}}", turns.current, database=place)
    for _ in range(3):
        turns.rotate()
        assert turns.compare().differences == []
    turns.run(f"ALTER AUTHORIZATION ON {thing} TO {{}}", turns.other, database=place)
    owns = [one for one in turns.compare().differences if "owns" in one.what]
    for difference in owns:
        paste(turns.laboratory, difference.change_user)
    turns.rotate()


def test_what_only_a_change_of_owner_could_end_is_said_in_words(turns: Turns) -> None:
    place, securable = turns.databases[1], "SCHEMA::[it's ]]]"
    turns.run(f"ALTER AUTHORIZATION ON {securable} TO {{}}", turns.current, database=place)
    turns.rotate()
    turns.run(f"REVOKE CONTROL ON {securable} FROM {{}} CASCADE", turns.current, database=place)
    [difference] = turns.compare().differences
    with pytest.raises(RightsDiffer, match=f"{turns.other.username} owns SCHEMA"):
        turns.rotate()
    assert difference.change_other.startswith(f"give {securable}, which {turns.other.username} owns, to another owner")
    paste(turns.laboratory, difference.change_user)
    turns.rotate()


def test_the_owner_of_a_database_is_matched_by_a_member_of_db_owner(turns: Turns) -> None:
    place = turns.databases[1]
    turns.run("DROP USER {}", turns.current, turns.other, database=place)
    turns.rotate()
    turns.run(f"ALTER AUTHORIZATION ON DATABASE::{bracketed(place)} TO {{}}", turns.current, database="master")
    for _ in range(2):
        turns.rotate()
    turns.run("ALTER ROLE db_owner DROP MEMBER {}", turns.other, database=place)
    [difference] = turns.refused().differences
    assert difference.change_user == f"give the database {place} to another owner by hand"
    paste(turns.laboratory, difference.change_other)
    turns.rotate()
    turns.run("ALTER ROLE db_owner DROP MEMBER {}", turns.current, database=place)
    with pytest.raises(RightsDiffer, match=f"{turns.other.username} owns the database"):
        turns.rotate()
    paste(turns.laboratory, turns.compare().differences[0].change_user)
    turns.rotate()
    alter(turns.laboratory, f"ALTER AUTHORIZATION ON DATABASE::{bracketed(place)} TO sa")


# Grantors


def test_what_another_principal_has_granted_is_taken_back_in_its_name(turns: Turns) -> None:
    place, dealer = turns.databases[1], turns.laboratory.new_user()
    alter(
        turns.laboratory,
        f"CREATE USER {dealer.username} FOR LOGIN {dealer.username}",
        f"GRANT SELECT ON dbo.t TO {dealer.username} WITH GRANT OPTION",
        database=place,
    )
    with turns.laboratory.session(replace(dealer, database=place)) as run:
        run(f"GRANT SELECT ON dbo.t TO {bracketed(turns.other.username)}")
    turns.run("DENY SELECT ON dbo.t TO {}", turns.other, database=place)
    [difference] = turns.refused().differences
    assert f"AS [{dealer.username}]" in difference.change_other
    assert "AS [dbo]" in difference.change_other
    paste(turns.laboratory, difference.change_other)
    turns.rotate()


def test_a_grant_option_that_was_used_is_not_taken_with_cascade(turns: Turns) -> None:
    place, third = turns.databases[1], turns.laboratory.new_user()
    alter(turns.laboratory, f"CREATE USER {third.username} FOR LOGIN {third.username}", database=place)
    turns.run("GRANT SELECT ON dbo.t TO {} WITH GRANT OPTION", turns.other, database=place)
    with turns.laboratory.session(replace(turns.other, database=place)) as run:
        run(f"GRANT SELECT ON dbo.t TO {third.username}")
    [difference] = turns.refused().differences
    assert difference.change_other.endswith(f"by hand: {turns.other.username} has granted it to others")
    paste(turns.laboratory, difference.change_user)
    turns.rotate()
    assert turns.compare().differences == []


# States


def test_a_state_changes_only_if_an_administrator_changes_something(turns: Turns) -> None:
    before = turns.compare()
    with turns.laboratory.engine.connect(admin_for(turns.laboratory, turns.current), deadline()) as session:
        session.mirror(turns.current.username, turns.other.username)
        session.set_password(turns.other.username, turns.other.password)
        session.clone_status(turns.other.username, turns.current.username)
    assert turns.laboratory.logs_in(turns.other)
    assert turns.compare() == before
    turns.rotate()
    after = turns.compare()
    assert {after.user_state, after.other_state} == {before.user_state, before.other_state}
    alter(turns.laboratory, "DROP TABLE dbo.t", "CREATE TABLE dbo.t ([a ]]] int, b int)", database=turns.databases[1])
    assert turns.compare() == after


def test_one_that_is_gone_is_not_compared(turns: Turns, contained_turns: Turns) -> None:
    alter(turns.laboratory, f"DROP LOGIN {turns.other.username}")
    with pytest.raises(RightsDiffer, match=f"there is no LOGIN {turns.other.username}"):
        turns.compare()
    alter(turns.laboratory, f"DROP USER {contained_turns.other.username}", database=CONTAINED)
    with pytest.raises(RightsDiffer, match=f"there is no USER {contained_turns.other.username}"):
        contained_turns.compare()


# Interrupted

CHANGES = ("GRANT ", "DENY ", "REVOKE ", "ALTER ", "CREATE ", "COMMIT ")


class Cut(BaseException):
    """The function was killed."""


@pytest.fixture
def cut_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Ends the session after so many statements that change something; a negative number never does."""
    original, left = SQLServerConnection.execute, [-1]

    def execute(
        connection: SQLServerConnection, operation: str, statement: str, arguments: tuple[object, ...] = (), *more: str
    ) -> Rows:
        rows = original(connection, operation, statement, arguments, *more)
        if statement.startswith(CHANGES):
            left[0] -= 1
            if left[0] == 0:
                raise Cut
        return rows

    def set_left(count: int) -> None:
        left[0] = count

    monkeypatch.setattr(SQLServerConnection, "execute", execute)
    yield set_left
    monkeypatch.undo()


def change_much(turns: Turns, dealer: Credential) -> None:
    """Change the current user in all ways, and give the other one what takes two statements to take back."""
    current, other, place = bracketed(turns.current.username), bracketed(turns.other.username), turns.databases[1]
    alter(
        turns.laboratory,
        f"ALTER LOGIN {current} WITH DEFAULT_LANGUAGE = [Deutsch]",
        f"ALTER SERVER ROLE setupadmin ADD MEMBER {current}",
        f"GRANT ALTER TRACE TO {current} WITH GRANT OPTION",
        f"DENY VIEW SERVER STATE TO {current}",
    )
    alter(
        turns.laboratory,
        f"GRANT SELECT ON dbo.t TO {current}",
        f"DENY SELECT ON dbo.t (b) TO {current}",
        f"ALTER ROLE [r ]]] ADD MEMBER {current}",
        database=place,
    )
    alter(turns.laboratory, f"GRANT INSERT ON dbo.{ORDERS} TO {current}", database=DATABASE)
    with turns.laboratory.session(replace(dealer, database="master")) as run:
        run(f"GRANT VIEW SERVER STATE TO {other}")


def test_wherever_a_rotation_is_cut_off_the_next_one_ends_it(
    turns: Turns, cut_after: Callable[[int], None], stride: int
) -> None:
    turns = replace(turns, laboratory=replace(turns.laboratory, admin=turns.laboratory.superuser))
    dealer = turns.laboratory.new_user()
    alter(turns.laboratory, f"GRANT VIEW SERVER STATE TO {dealer.username} WITH GRANT OPTION")
    count, is_cut = 1 - stride, True
    while is_cut:
        count += stride
        user = turns.laboratory.new_user()
        fresh = replace(turns, current=user, other=new_clone(user), record=RecordInMemory())
        alter(fresh.laboratory, f"CREATE USER {user.username} FOR LOGIN {user.username}", database=turns.databases[1])
        fresh.rotate()
        change_much(fresh, dealer)
        begun = fresh.compare()
        known = fresh.record.record()
        # The other one has what the dealer gave it, from before the record.
        names = (fresh.current.username, fresh.other.username)
        fresh.record.write_record(replace(known, equal=known.equal | ended(begun, *names).equal))
        cut_after(count)
        try:
            set_secret(fresh.laboratory, fresh.current, pair=fresh.record)
            is_cut = False
        except Cut:
            left = set(fresh.compare().sentences)
            assert left <= {*begun.sentences, *begun.passing}, count
        finally:
            cut_after(-1)
        fresh.rotate()
        assert fresh.all()[0] == fresh.all()[1]
    assert count > 12


def test_a_login_that_somebody_disables_while_it_is_prepared_stays_disabled(
    sqlserver: SQLServerLaboratory, cut_after: Callable[[int], None]
) -> None:
    """A rotation that creates a login gives it a password that nobody knows; it disables none."""
    user = sqlserver.new_user()
    turns = Turns(sqlserver, user, new_clone(user), (DATABASE,))
    cut_after(6)
    with suppress(Cut):
        set_secret(sqlserver, user, pair=turns.record)
    cut_after(-1)
    turns.run("ALTER LOGIN {} DISABLE", turns.other, database="master")
    with pytest.raises(RightsDiffer, match="somebody has locked"):
        set_secret(sqlserver, user, pair=turns.record)
    turns.run("ALTER LOGIN {} ENABLE", turns.other, database="master")
    turns.rotate()


def test_what_is_done_to_the_other_one_meanwhile_is_not_taken_for_the_interrupted_rotation(
    turns: Turns, cut_after: Callable[[int], None]
) -> None:
    turns.run("GRANT SELECT ON dbo.t TO {}", turns.current, database=turns.databases[1])
    cut_after(1)
    with suppress(Cut):
        set_secret(turns.laboratory, turns.current, pair=turns.record)
    cut_after(-1)
    turns.run("DENY INSERT ON dbo.t TO {}", turns.other, database=turns.databases[1])
    turns.refused()
    turns.run("REVOKE INSERT ON dbo.t FROM {}", turns.other, database=turns.databases[1])
    turns.rotate()
