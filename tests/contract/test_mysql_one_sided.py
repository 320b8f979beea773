"""Does a rotation of a pair of MySQL or MariaDB undo nothing that an administrator did to one of the two users?"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from rotation.credential import Credential
from rotation.engine import Comparison
from rotation.engines.mysql.connection import MySQLConnection
from rotation.errors import RETRIED, RightsDiffer
from tests.contract.mysql_kit import account, alter, asked, hosts, shown
from tests.contract.pairs import RecordInMemory, new_clone, set_secret
from tests.laboratories import deadline
from tests.laboratories.mysql import MySQLLaboratory, quoted

pytestmark = pytest.mark.sample(4)

type Change = tuple[Sequence[str], Sequence[str]]
"""The statements that give an account something, and those that take it away."""


@dataclass
class RecordedPair:
    """A pair that rotations have made equal, and recorded."""

    laboratory: MySQLLaboratory
    current: Credential
    other: Credential
    record: RecordInMemory = field(default_factory=RecordInMemory)

    def rotate(self) -> None:
        """Do what setSecret does, and let the two take turns."""
        pending = set_secret(self.laboratory, self.current, self.other, pair=self.record)
        self.current, self.other = pending, self.current

    def give(self, user: Credential, statements: Sequence[str]) -> None:
        """Change a user as an administrator."""
        alter(self.laboratory, *(statement.format(account(user)) for statement in statements))

    def compare(self) -> Comparison:
        with self.laboratory.engine.connect(self.laboratory.admin, deadline()) as session:
            return session.compare(self.current.username, self.other.username)

    def shown(self) -> list[str]:
        return [row for user in (self.current, self.other) for row in shown(self.laboratory, user)]

    def require_refused(self) -> Comparison:
        """Rotate, and require that nothing is changed, and that the error has both statements of each difference."""
        comparison, before = self.compare(), self.shown()
        assert comparison.differences
        with pytest.raises(RightsDiffer) as refused:
            self.rotate()
        for difference in comparison.differences:
            for text in (difference.what, difference.change_other, difference.change_user):
                assert text in str(refused.value)
        assert self.shown() == before
        return comparison

    def paste(self, *statements: str) -> None:
        """Run statements from an error, as the superuser."""
        alter(self.laboratory, *(one for text in statements for one in text.split("; ")))

    def require_equal(self) -> None:
        assert self.compare().sentences == []


@pytest.fixture(params=[False, True], ids=["original current", "clone current"])
def recorded(request: pytest.FixtureRequest, laboratory: MySQLLaboratory) -> RecordedPair:
    """A pair, either of the two current."""
    pair = new_recorded(laboratory)
    if not request.param:
        pair.rotate()
    return pair


def new_recorded(laboratory: MySQLLaboratory) -> RecordedPair:
    """Make a pair, the clone of which is current."""
    user = laboratory.new_user()
    pair = RecordedPair(laboratory, user, new_clone(user))
    pair.rotate()
    return pair


def require_rule(pair: RecordedPair, given: Sequence[str], taken: Sequence[str]) -> None:
    """Give something to one of the two, and take it away, and require all that the rule says."""
    # Given to the other user alone: either statement ends it.
    pair.give(pair.other, given)
    pair.paste(*(difference.change_other for difference in pair.require_refused().differences))
    pair.require_equal()
    pair.give(pair.other, given)
    pair.paste(*(difference.change_user for difference in pair.require_refused().differences))
    pair.require_equal()
    pair.rotate()
    # Taken from the other user alone.
    pair.give(pair.other, taken)
    pair.paste(*(difference.change_other for difference in pair.require_refused().differences))
    pair.require_equal()
    pair.give(pair.other, taken)
    pair.paste(*(difference.change_user for difference in pair.require_refused().differences))
    pair.require_equal()
    pair.rotate()
    # A change of the current user is followed, both ways, and so is the same change of both.
    for statements in (given, taken):
        pair.give(pair.current, statements)
        pair.rotate()
        pair.require_equal()
    for user in (pair.current, pair.other):
        pair.give(user, given)
    pair.rotate()
    pair.require_equal()
    assert pair.laboratory.logs_in(pair.current)
    assert pair.laboratory.logs_in(pair.other)


MYSQL: dict[str, Change] = {
    "static": (["GRANT PROCESS, RELOAD ON *.* TO {}"], ["REVOKE PROCESS, RELOAD ON *.* FROM {}"]),
    "grant option with dynamic privileges": (
        ["GRANT PROCESS ON *.* TO {} WITH GRANT OPTION", "GRANT ROLE_ADMIN ON *.* TO {} WITH GRANT OPTION"],
        ["REVOKE ROLE_ADMIN ON *.* FROM {}", "REVOKE GRANT OPTION ON *.* FROM {}", "GRANT ROLE_ADMIN ON *.* TO {}"],
    ),
    "everything in a database": (
        ["GRANT ALL ON lab.* TO {} WITH GRANT OPTION"],
        ["REVOKE ALL ON lab.* FROM {}", "REVOKE GRANT OPTION ON lab.* FROM {}", "GRANT INSERT ON lab.* TO {}"],
    ),
    "columns that go with their table": (
        ["GRANT SELECT, SELECT (id), SELECT (`co,l`) ON lab.`t ON x` TO {}"],
        ["REVOKE SELECT ON lab.`t ON x` FROM {}", "GRANT SELECT (id) ON lab.`t ON x` TO {}"],
    ),
    "routines": (
        ["GRANT EXECUTE ON PROCEDURE lab.`p' \"q` TO {}", "GRANT EXECUTE ON FUNCTION lab.f TO {} WITH GRANT OPTION"],
        ["REVOKE EXECUTE, GRANT OPTION ON FUNCTION lab.f FROM {}"],
    ),
    "roles": (
        ["GRANT `r w`, lab_ro TO {} WITH ADMIN OPTION", "ALTER USER {} DEFAULT ROLE lab_ro, `r w`"],
        ["REVOKE `r w`, lab_ro FROM {}", "GRANT lab_ro TO {}", "ALTER USER {} DEFAULT ROLE lab_ro"],
    ),
    "attributes": (
        [
            (
                "ALTER USER {} REQUIRE SSL WITH MAX_QUERIES_PER_HOUR 1000 MAX_UPDATES_PER_HOUR 200"
                " MAX_CONNECTIONS_PER_HOUR 3000 MAX_USER_CONNECTIONS 40 PASSWORD EXPIRE INTERVAL 30 DAY"
                " PASSWORD HISTORY 5 PASSWORD REUSE INTERVAL 6 DAY PASSWORD REQUIRE CURRENT OPTIONAL"
                " FAILED_LOGIN_ATTEMPTS 3 PASSWORD_LOCK_TIME UNBOUNDED"
            )
        ],
        [
            (
                "ALTER USER {} REQUIRE NONE WITH MAX_QUERIES_PER_HOUR 0 MAX_UPDATES_PER_HOUR 0"
                " MAX_CONNECTIONS_PER_HOUR 0 MAX_USER_CONNECTIONS 0 PASSWORD EXPIRE DEFAULT PASSWORD HISTORY DEFAULT"
                " PASSWORD REUSE INTERVAL DEFAULT PASSWORD REQUIRE CURRENT DEFAULT FAILED_LOGIN_ATTEMPTS 0"
                " PASSWORD_LOCK_TIME 0"
            )
        ],
    ),
    "comment and attribute": (
        [
            "ALTER USER {} COMMENT 'it''s the \\\"Ünicode\\\" \\\\ one'",
            """ALTER USER {} ATTRIBUTE '{{"more": {{"x": 1, "z": {{"deep": [1, null]}}}}}}'""",
        ],
        ["""ALTER USER {} ATTRIBUTE '{{"comment": null, "more": {{"x": null, "z": {{"deep": "flat"}}}}}}'"""],
    ),
}

MARIADB: dict[str, Change] = {
    "global": (
        ["GRANT SELECT, PROCESS ON *.* TO {} WITH GRANT OPTION"],
        ["REVOKE PROCESS, GRANT OPTION ON *.* FROM {}"],
    ),
    "columns that go with their table": MYSQL["columns that go with their table"],
    "routines": MYSQL["routines"],
    "roles": (
        ["GRANT `r w` TO {} WITH ADMIN OPTION", "GRANT lab_ro TO {}", "SET DEFAULT ROLE lab_ro FOR {}"],
        ["REVOKE ADMIN OPTION FOR `r w` FROM {}", "REVOKE lab_ro FROM {}", "SET DEFAULT ROLE `r w` FOR {}"],
    ),
    "attributes": (
        [
            (
                "ALTER USER {} REQUIRE SSL WITH MAX_QUERIES_PER_HOUR 1000 MAX_UPDATES_PER_HOUR 200"
                " MAX_CONNECTIONS_PER_HOUR 3000 MAX_USER_CONNECTIONS 40 MAX_STATEMENT_TIME 25.5 PASSWORD EXPIRE NEVER"
            )
        ],
        [
            (
                "ALTER USER {} REQUIRE NONE WITH MAX_QUERIES_PER_HOUR 0 MAX_UPDATES_PER_HOUR 0"
                " MAX_CONNECTIONS_PER_HOUR 0 MAX_USER_CONNECTIONS 0 MAX_STATEMENT_TIME 0 PASSWORD EXPIRE DEFAULT"
            )
        ],
    ),
}

OBJECTS = (
    "CREATE TABLE IF NOT EXISTS lab.`t ON x` (id int, `co,l` int)",
    "CREATE PROCEDURE IF NOT EXISTS lab.`p' \"q`() SELECT 1",
    "CREATE FUNCTION IF NOT EXISTS lab.f() RETURNS int DETERMINISTIC NO SQL RETURN 1",
)


class Family:
    """What the two promise together; a subclass says where."""

    everything: Sequence[str]
    """Statements that give an account something of each kind."""
    something: Sequence[str]
    """Statements that take a part of it, in such a way that a rotation revokes more, and grants it again."""

    def test_an_administrators_lock_of_the_other_user_stays(self, recorded: RecordedPair) -> None:
        recorded.laboratory.lock_user(recorded.other.username)
        before, statement = recorded.shown(), f"ALTER USER {account(recorded.other)} ACCOUNT UNLOCK"
        with pytest.raises(RightsDiffer, match="somebody has locked") as refused:
            recorded.rotate()
        assert statement in str(refused.value)
        assert recorded.shown() == before
        assert recorded.compare().unlock == statement
        recorded.paste(statement)
        recorded.rotate()
        assert recorded.compare().unlock is None

    def test_without_a_record_a_difference_is_refused_and_equal_users_rotate(self, recorded: RecordedPair) -> None:
        recorded.record.labels = frozenset()
        recorded.rotate()
        for user, right in ((recorded.current, "INSERT"), (recorded.other, "UPDATE")):
            recorded.record.labels = frozenset()
            recorded.give(user, [f"GRANT {right} ON lab.* TO {{}}"])
            [difference] = recorded.require_refused().differences
            recorded.paste(difference.change_other)
            recorded.rotate()
            recorded.require_equal()

    def test_a_right_that_is_revoked_from_one_and_then_from_the_other_is_given_to_nobody(
        self, recorded: RecordedPair
    ) -> None:
        """The case that began it: what is revoked from the other user does not come back."""
        recorded.give(recorded.current, ["GRANT INSERT ON lab.* TO {}"])
        recorded.rotate()
        recorded.laboratory.forbid(recorded.other.username, "lab_orders")
        recorded.require_refused()
        recorded.laboratory.forbid(recorded.current.username, "lab_orders")
        for _ in range(2):
            recorded.rotate()
            assert not recorded.laboratory.may_read(recorded.current, "lab_orders")

    def test_the_state_of_a_user_is_its_own_and_no_rotation_changes_it(self, recorded: RecordedPair) -> None:
        recorded.give(recorded.current, self.everything)
        recorded.rotate()
        states = set[tuple[str, str]]()
        for _ in range(3):
            comparison = recorded.compare()
            by_name = {
                recorded.current.username: comparison.user_state,
                recorded.other.username: comparison.other_state,
            }
            states.add((by_name[min(by_name)], by_name[max(by_name)]))
            recorded.rotate()
        assert len(states) == 1

    def test_a_host_that_only_one_of_the_two_has_is_a_difference(self, recorded: RecordedPair) -> None:
        laboratory, host = recorded.laboratory, "10.%"
        current = recorded.current
        alter(laboratory, f"CREATE USER {account(current, host)} IDENTIFIED BY {quoted(current.password)}")
        recorded.rotate()  # the current user was changed
        for user in (recorded.current, recorded.other):
            assert host in hosts(laboratory, user)
        alter(laboratory, f"DROP USER {account(recorded.other, host)}")
        [difference] = recorded.require_refused().differences
        assert f"CREATE USER {account(recorded.other, host)}" in difference.change_other
        assert f"DROP USER {account(recorded.current, host)}" in difference.change_user
        password = quoted(recorded.other.password)
        alter(laboratory, f"CREATE USER {account(recorded.other, host)} IDENTIFIED BY {password}")
        recorded.rotate()
        alter(laboratory, f"DROP USER {account(recorded.other, host)}")
        recorded.require_refused()
        alter(laboratory, f"DROP USER {account(recorded.current, host)}")
        recorded.rotate()
        assert hosts(laboratory, recorded.current) == ["%"]

    def test_each_account_of_a_name_has_its_own_differences(self, recorded: RecordedPair) -> None:
        laboratory, host = recorded.laboratory, "10.%"
        current = recorded.current
        alter(laboratory, f"CREATE USER {account(current, host)} IDENTIFIED BY {quoted(current.password)}")
        recorded.rotate()
        alter(laboratory, f"GRANT INSERT ON lab.* TO {account(recorded.other, host)}")
        [difference] = recorded.require_refused().differences
        assert difference.what.startswith(f"{recorded.other.username}@{host} has privilege INSERT on `lab`.*")
        recorded.paste(difference.change_other)
        # A lock of both is no difference, and a lock of one is.
        for user in (recorded.current, recorded.other):
            alter(laboratory, f"ALTER USER {account(user, host)} ACCOUNT LOCK")
        recorded.rotate()
        alter(laboratory, f"ALTER USER {account(recorded.other, host)} ACCOUNT UNLOCK")
        [difference] = recorded.require_refused().differences
        recorded.paste(difference.change_other)
        recorded.rotate()
        assert recorded.compare().unlock is None

    def test_a_user_that_is_gone_is_named(self, recorded: RecordedPair) -> None:
        alter(recorded.laboratory, f"DROP USER {account(recorded.other)}")
        with pytest.raises(RightsDiffer, match=f"there is no user {recorded.other.username}"):
            recorded.compare()

    def test_a_mirror_that_is_cut_off_anywhere_is_ended_by_the_next_one(
        self, laboratory: MySQLLaboratory, monkeypatch: pytest.MonkeyPatch, stride: int
    ) -> None:
        recorded = new_recorded(laboratory)
        recorded.give(recorded.current, self.everything)
        recorded.rotate()
        for survived in range(0, 40, stride):
            cuts = 0
            for statements in (self.something, self.everything):
                recorded.give(recorded.current, statements)
                cuts += require_recovered(recorded, survived, monkeypatch)
            if not cuts:
                break
        assert survived > 4

    def test_a_mirror_that_is_cut_off_while_it_creates_an_account_is_ended_by_the_next_one(
        self, laboratory: MySQLLaboratory, monkeypatch: pytest.MonkeyPatch, stride: int
    ) -> None:
        recorded, host, is_cut, survived = new_recorded(laboratory), "10.%", True, 0
        while is_cut:
            current = account(recorded.current, host)
            alter(laboratory, f"CREATE USER {current} IDENTIFIED BY {quoted(recorded.current.password)}")
            alter(laboratory, *(statement.format(current) for statement in self.everything))
            is_cut = require_recovered(recorded, survived, monkeypatch)
            alter(laboratory, *(f"DROP USER {account(user, host)}" for user in (recorded.current, recorded.other)))
            recorded.rotate()
            survived += stride
        assert survived > 4

    def test_a_pair_that_the_template_of_aws_made_is_adopted(
        self, laboratory: MySQLLaboratory, backwards: bool
    ) -> None:
        pair = adopted(laboratory, is_clone_current=backwards)
        for _ in range(3):
            pair.rotate()
            pair.require_equal()

    def test_a_pair_of_aws_whose_users_differ_is_refused_until_a_statement_was_run(
        self, laboratory: MySQLLaboratory, backwards: bool
    ) -> None:
        pair = adopted(laboratory, is_clone_current=backwards)
        pair.give(pair.current, ["GRANT INSERT ON lab.* TO {}"])
        pair.give(pair.other, ["GRANT UPDATE ON lab.* TO {}"])
        with pytest.raises(RightsDiffer, match="the right one of the two is not known") as refused:
            pair.rotate()
        pasted = re.search(r"\(1\) (.+?) or .+? \(2\) .+? or (.+?)$", refused.value.remedy.removesuffix(f". {RETRIED}"))
        assert pasted
        pair.paste(*pasted.groups())
        pair.rotate()
        pair.require_equal()


@pytest.fixture(params=[False, True], ids=["original current", "clone current"])
def backwards(request: pytest.FixtureRequest) -> bool:
    """Whether the clone is current."""
    return bool(request.param)


def adopted(laboratory: MySQLLaboratory, *, is_clone_current: bool) -> RecordedPair:
    """Make a pair as the rotation function of AWS does: a user without our mark, with the rows of SHOW GRANTS."""
    user = laboratory.new_user()
    clone = new_clone(user)
    alter(laboratory, f"CREATE USER {account(clone)} IDENTIFIED BY {quoted(clone.password)}")
    for (row,) in asked(laboratory, f"SHOW GRANTS FOR {account(user)}"):
        grant = str(row).partition(" TO ")[0]
        alter(laboratory, f"{grant} TO {account(clone)}")
    current, other = (clone, user) if is_clone_current else (user, clone)
    return RecordedPair(laboratory, current, other)


class Killed(Exception):
    """The function was stopped."""


def require_recovered(pair: RecordedPair, survived: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Cut the rotation off, and require that the next one ends it; False if it was not cut off."""
    before = pair.compare()
    is_cut = cut_off(pair, survived, monkeypatch)
    if is_cut:
        assert {*pair.compare().sentences} <= {*before.sentences, *before.passing}
        pair.rotate()
    pair.require_equal()
    return is_cut


def cut_off(pair: RecordedPair, survived: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Rotate, and stop after so many statements that change something; False if that is the end of it."""
    left, execute = survived, MySQLConnection.execute

    def dying(
        connection: MySQLConnection,
        operation: str,
        statement: str,
        *more: Any,  # noqa: ANN401 - passed on
        **named: Any,  # noqa: ANN401 - passed on
    ) -> list[tuple[Any, ...]]:
        nonlocal left
        if statement.startswith(("CREATE", "ALTER", "GRANT", "REVOKE", "DROP", "SET DEFAULT")):
            if not left:
                raise Killed
            left -= 1
        return execute(connection, operation, statement, *more, **named)

    with monkeypatch.context() as patched:
        patched.setattr(MySQLConnection, "execute", dying)
        try:
            pair.rotate()
        except Killed:
            return True
    return False


@pytest.mark.engine("mysql")
class TestMySQL(Family):
    """MySQL keeps them."""

    everything = (
        "GRANT PROCESS, RELOAD ON *.* TO {} WITH GRANT OPTION",
        "GRANT ROLE_ADMIN, XA_RECOVER_ADMIN ON *.* TO {} WITH GRANT OPTION",
        "GRANT SELECT, SELECT (id), SELECT (`co,l`) ON lab.`t ON x` TO {}",
        "GRANT `r w`, lab_ro TO {} WITH ADMIN OPTION",
        "ALTER USER {} DEFAULT ROLE lab_ro, `r w`",
        "ALTER USER {} REQUIRE SSL COMMENT 'x'",
    )
    something = (
        "REVOKE GRANT OPTION ON *.* FROM {}",
        "REVOKE SELECT ON lab.`t ON x` FROM {}",
        "GRANT SELECT (id) ON lab.`t ON x` TO {}",
        "REVOKE `r w`, lab_ro FROM {}",
        "GRANT lab_ro TO {}",
        "ALTER USER {} DEFAULT ROLE lab_ro",
        """ALTER USER {} REQUIRE NONE ATTRIBUTE '{{"comment": null}}'""",
    )

    @pytest.fixture
    def laboratory(self, mysql: MySQLLaboratory) -> MySQLLaboratory:
        alter(mysql, *OBJECTS, "CREATE ROLE IF NOT EXISTS `r w`, lab_ro")
        return mysql

    def test_an_account_that_was_dropped_at_the_current_user_is_dropped_at_the_other(
        self, recorded: RecordedPair
    ) -> None:
        laboratory, current = recorded.laboratory, recorded.current
        alter(laboratory, f"CREATE USER {account(current, '10.%')} IDENTIFIED BY {quoted(current.password)}")
        recorded.rotate()
        alter(laboratory, f"DROP USER {account(recorded.current, '10.%')}")
        recorded.rotate()
        assert hosts(laboratory, recorded.current) == ["%"]

    @pytest.mark.thorough(recorded=[True], given=[given for given, _ in MYSQL.values()][1:])
    @pytest.mark.parametrize(("given", "taken"), MYSQL.values(), ids=list(MYSQL))
    def test_what_an_administrator_did_to_the_other_user_is_not_undone(
        self, recorded: RecordedPair, given: Sequence[str], taken: Sequence[str]
    ) -> None:
        require_rule(recorded, given, taken)


@pytest.mark.engine("mariadb")
class TestMariaDB(Family):
    """MariaDB keeps them."""

    everything = (
        "GRANT PROCESS, RELOAD ON *.* TO {} WITH GRANT OPTION",
        "GRANT SELECT, SELECT (id), SELECT (`co,l`) ON lab.`t ON x` TO {}",
        "GRANT `r w` TO {} WITH ADMIN OPTION",
        "GRANT lab_ro TO {}",
        "SET DEFAULT ROLE lab_ro FOR {}",
        "ALTER USER {} REQUIRE SSL",
    )
    something = (
        "REVOKE GRANT OPTION ON *.* FROM {}",
        "REVOKE SELECT ON lab.`t ON x` FROM {}",
        "GRANT SELECT (id) ON lab.`t ON x` TO {}",
        "REVOKE lab_ro FROM {}",
        "SET DEFAULT ROLE `r w` FOR {}",
        "REVOKE ADMIN OPTION FOR `r w` FROM {}",
        "ALTER USER {} REQUIRE NONE",
    )

    @pytest.fixture
    def laboratory(self, mariadb: MySQLLaboratory) -> MySQLLaboratory:
        alter(mariadb, *OBJECTS)
        with mariadb.session(mariadb.admin) as run:
            for role in ("`r w`", "lab_ro"):
                run(f"CREATE ROLE IF NOT EXISTS {role}")
                run(f"GRANT {role} TO root@'%' WITH ADMIN OPTION")
        return mariadb

    @pytest.mark.thorough(recorded=[True], given=[given for given, _ in MARIADB.values()][1:])
    @pytest.mark.parametrize(("given", "taken"), MARIADB.values(), ids=list(MARIADB))
    def test_what_an_administrator_did_to_the_other_user_is_not_undone(
        self, recorded: RecordedPair, given: Sequence[str], taken: Sequence[str]
    ) -> None:
        require_rule(recorded, given, taken)
