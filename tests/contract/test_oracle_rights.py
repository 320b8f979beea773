"""Does Oracle bring the other user to the rights of the current one, and to what it owns?"""

import re
from pathlib import Path

import pytest

from rotation.credential import Credential
from rotation.engine import CloneStatus
from rotation.errors import (
    NotPermitted,
    Unsupported,
)
from tests.contract.oracle_kit import (
    AS_DOCUMENTED,
    FOR_ONE_USER,
    RIGHTS,
    account,
    add,
    definition,
    documented,
    filled,
    make_equal,
    name_of,
)
from tests.contract.pairs import Pair, changed, differences, mirror, new_clone
from tests.laboratories import ORDERS, deadline
from tests.laboratories.oracle import ROLLOVER_PROFILE, OracleLaboratory
from tests.local.stand_ins.oracle import server as oracle_server

pytestmark = [pytest.mark.sample(3), pytest.mark.engine("oracle")]


# Rights


@pytest.mark.thorough(turn=[True], sort=list(RIGHTS)[1:])
@pytest.mark.parametrize("sort", RIGHTS)
def test_rights_follow(oracle: OracleLaboratory, things: str, turn: Pair, sort: str) -> None:
    current, other = turn
    for statements in RIGHTS[sort]:
        oracle.alter(*(filled(text, current, things) for text in statements))
        make_equal(oracle, current, other)


@pytest.mark.thorough(turn=[False], sort=list(RIGHTS)[1:])
@pytest.mark.parametrize("sort", RIGHTS)
def test_what_the_other_alone_has_goes(oracle: OracleLaboratory, things: str, turn: Pair, sort: str) -> None:
    current, other = turn
    oracle.alter(*(filled(text, other, things) for text in RIGHTS[sort][0]))
    make_equal(oracle, current, other)


@pytest.mark.parametrize(
    "clauses",
    ["", "WITH NO ROLES", "WITH ROLE {s}_ROLE", 'WITH ROLE ALL EXCEPT "{s} role; --"', "AUTHENTICATION REQUIRED"],
)
def test_proxies_follow_in_both_directions(oracle: OracleLaboratory, things: str, turn: Pair, clauses: str) -> None:
    current, other = turn
    middle, end = oracle.new_user(), oracle.new_user()
    oracle.alter(f'GRANT {things}_ROLE, "{things} role; --" TO {account(current)}, {account(end)}')
    clauses = clauses.replace("{s}", things)
    oracle.alter(f"ALTER USER {account(current)} GRANT CONNECT THROUGH {account(middle)} {clauses}")
    oracle.alter(f"ALTER USER {account(end)} GRANT CONNECT THROUGH {account(current)} {clauses}")
    make_equal(oracle, current, other)
    assert proxies(oracle, other) == proxies(oracle, current)
    oracle.alter(
        f"ALTER USER {account(current)} REVOKE CONNECT THROUGH {account(middle)}",
        f"ALTER USER {account(end)} REVOKE CONNECT THROUGH {account(current)}",
    )
    make_equal(oracle, current, other)
    assert proxies(oracle, other) == proxies(oracle, current) == []


def proxies(oracle: OracleLaboratory, user: Credential) -> list[tuple[object, ...]]:
    """Return who may connect as the user, and as whom it may connect, the pair itself aside."""
    name = name_of(user)
    columns = "client, proxy, authentication, authorization_constraint, role"
    rows = oracle.asked(f"SELECT {columns} FROM sys.dba_proxies WHERE client = :1 OR proxy = :2", name, name)  # noqa: S608 - constants
    others = [row for row in rows if str(row[0]).removesuffix("_CLONE") != str(row[1]).removesuffix("_CLONE")]
    return sorted(tuple(value if value != name else "-" for value in row) for row in others)


def test_the_mark_lets_nobody_do_anything(oracle: OracleLaboratory, pair: Pair) -> None:
    user, clone = pair
    columns = "client, proxy, authentication, authorization_constraint"
    rows = oracle.asked(f"SELECT {columns} FROM sys.dba_proxies WHERE client = :1", name_of(clone))  # noqa: S608 - constants
    assert rows == [(name_of(clone), name_of(user), "YES", "NO CLIENT ROLES MAY BE ACTIVATED")]
    assert not oracle.asked(f"SELECT {columns} FROM sys.dba_proxies WHERE client = :1", name_of(user))  # noqa: S608 - constants


def test_a_right_that_the_admin_cannot_give_is_an_error_that_says_how(
    oracle: OracleLaboratory, things: str, pair: Pair
) -> None:
    user, clone = pair
    admin = oracle.new_user()
    oracle.alter(
        f"GRANT SELECT_CATALOG_ROLE TO {account(admin)}",
        f"GRANT CREATE USER, ALTER USER TO {account(admin)}",
        f"GRANT {things}_ROLE TO {account(user)}",
    )
    wanted = rf'GRANT ANY ROLE.*GRANT "{things}_ROLE" TO "{name_of(clone)}"'
    with pytest.raises(NotPermitted, match=wanted), oracle.engine.connect(admin, deadline()) as session:
        session.mirror(user.username, clone.username)
    assert oracle.logs_in(user)
    lacking = {f"the role {things}_ROLE", f"{things}_ROLE as a default role"}
    assert set(differences(oracle, user, clone)) == {f"{name_of(clone)} lacks {what}" for what in lacking}


def test_the_documented_admin_is_the_one_that_is_tested() -> None:
    page = (Path(__file__).parents[2] / "docs/engines/oracle.md").read_text()
    [block] = re.findall(r"```sql oracle\n(CREATE USER rotator.*?)```", page, re.DOTALL)
    assert tuple(re.sub(r"\s*--.*", "", block).split(";\n")) == (*AS_DOCUMENTED, "")


def test_an_admin_as_documented_makes_and_keeps_a_pair(oracle: OracleLaboratory, things: str) -> None:
    user, role = oracle.new_user(), f"{things}_ROLE"
    clone = new_clone(user)
    oracle.alter(
        f"GRANT CREATE TABLE, {role} TO {account(user)}",
        f"GRANT SELECT, UPDATE (price) ON {things}.parts TO {account(user)}",
        f"ALTER USER {account(user)} QUOTA 1048576 ON users",
        f"ALTER USER {account(user)} PROFILE {ROLLOVER_PROFILE}",
    )
    admin = documented(oracle, role)
    for current, other in ((user, clone), (clone, changed(user))):
        with oracle.engine.connect(admin, deadline()) as session:
            assert session.clone_status(current.username, other.username) is not CloneStatus.UNKNOWN
            session.mirror(current.username, other.username)
            session.set_password(other.username, other.password)
            assert session.compare(current.username, other.username).sentences == []
        assert oracle.may_read(other, ORDERS)
        assert definition(oracle, current) == definition(oracle, other)


def test_an_admin_as_documented_serves_a_single_user_and_two_passwords(
    oracle: OracleLaboratory, dual: Credential
) -> None:
    now, later = changed(dual), changed(dual)
    with oracle.engine.connect(documented(oracle, "", FOR_ONE_USER), deadline()) as session:
        session.reset_password(dual.username, now.password)
    oracle.alter(f"ALTER USER {account(dual)} EXPIRE PASSWORD ROLLOVER PERIOD")
    add(oracle, now, later, documented(oracle, "", FOR_ONE_USER))
    assert [oracle.logs_in(one) for one in (dual, now, later)] == [False, True, True]


def test_objects_of_sys_are_a_matter_of_rds(
    oracle: OracleLaboratory, stand_in: oracle_server.Server, pair: Pair
) -> None:
    user, clone = pair
    stand_in.database.object_grants.update(sys_grant(name_of(user)))
    with (
        pytest.raises(NotPermitted, match=r'GRANT SELECT ON "SYS"."V_\$SESSION".*grant_sys_object'),
        oracle.engine.connect(oracle.admin, deadline()) as session,
    ):
        session.mirror(user.username, clone.username)
    stand_in.database.object_grants.update(sys_grant(name_of(clone)))
    mirror(oracle, user, clone)
    assert differences(oracle, user, clone) == []


def sys_grant(grantee: str) -> dict[oracle_server.Held, oracle_server.Options]:
    held = oracle_server.Held(grantee, "SYS", "V_$SESSION", "SELECT", "", "SYS")
    return {held: oracle_server.Options()}


def test_directories_are_named_as_such(oracle: OracleLaboratory, stand_in: oracle_server.Server, pair: Pair) -> None:
    user, clone = pair
    for who in pair:
        held = oracle_server.Held(name_of(who), "SYS", "LAB_FILES", "READ", "", "SYS")
        if who is user:
            stand_in.database.object_grants[held] = oracle_server.Options()
    with (
        pytest.raises(NotPermitted, match=r'GRANT READ ON DIRECTORY "LAB_FILES" TO'),
        oracle.engine.connect(oracle.admin, deadline()) as session,
    ):
        session.mirror(user.username, clone.username)


# What a user owns


def test_what_a_user_owns_must_have_been_shared_by_hand(oracle: OracleLaboratory, pair: Pair) -> None:
    user, clone = pair
    oracle.alter(
        f"ALTER USER {account(user)} QUOTA UNLIMITED ON users",
        f"CREATE TABLE {account(user)}.own (id NUMBER)",
        f"CREATE SEQUENCE {account(user)}.numbers",
    )
    with (
        pytest.raises(Unsupported, match="owns the sequence NUMBERS, the table OWN"),
        oracle.engine.connect(oracle.admin, deadline()) as session,
    ):
        session.mirror(user.username, clone.username)
    assert any("has no right on the table OWN" in text for text in differences(oracle, user, clone))
    oracle.alter(
        f"GRANT SELECT, INSERT ON {account(user)}.own TO {account(clone)}",
        f"GRANT SELECT ON {account(user)}.numbers TO {account(clone)}",
        f"CREATE SYNONYM {account(clone)}.own FOR {account(user)}.own",
    )
    for current, other in (pair, pair[::-1], pair):
        mirror(oracle, current, other)
        assert differences(oracle, current, other) == []
    with oracle.session(clone) as run:
        run("SELECT 1 FROM own")
