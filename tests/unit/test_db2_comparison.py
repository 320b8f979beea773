"""Which statements end a difference between the two users of a Db2 pair, and what can a rotation leave on its way?"""

from rotation.engine import Comparison
from rotation.engines.db2.access import Access
from rotation.engines.db2.comparison import Db2Comparison, Side
from rotation.engines.db2.rights import DBADM_RIGHT, Right, Rights

TABLE = 'ON TABLE "S"."T"'
GRANTABLE = " WITH GRANT OPTION"


def on_table(privilege: str, option: str = "", column: str = "") -> Right:
    """Return a right on the table, or on a column of it."""
    what = f'{privilege} ("{column}") {TABLE}' if column else f"{privilege} {TABLE}"
    return Right(what, option, f"{privilege} {TABLE}", on=TABLE)


def compare(user: set[Right], other: set[Right], enters: frozenset[str] = frozenset()) -> Comparison:
    """Compare a user, a, with another one, b."""
    a, b = (Side(name, frozenset(), Rights(frozenset(has), frozenset())) for name, has in (("a", user), ("b", other)))
    return Db2Comparison(a, b, "DB", lambda: Access(enters, frozenset())).result()


def test_control_comes_with_all_that_it_brings_and_goes_with_it() -> None:
    both = {on_table("CONTROL"), on_table("SELECT", GRANTABLE), on_table("DELETE", GRANTABLE)}
    [one] = compare(both, set()).differences
    assert one.what == f"b lacks CONTROL {TABLE}"
    assert one.change_other.startswith(
        f'GRANT CONTROL {TABLE} TO USER "B"; GRANT DELETE {TABLE} TO USER "B"{GRANTABLE}'
    )
    brought = [part.split()[1] for part in one.change_other.split("; ") if part.startswith("REVOKE")]
    assert brought == ["ALTER", "INDEX", "INSERT", "REFERENCES", "UPDATE"]
    assert one.change_user == "; ".join(
        f'REVOKE {word} {TABLE} FROM USER "A"' for word in ("CONTROL", "DELETE", "SELECT")
    )


def test_what_control_brings_and_the_user_has_not_is_passing() -> None:
    compared = compare({on_table("CONTROL"), on_table("SELECT")}, {on_table("SELECT")})
    assert f"b has DELETE {TABLE}{GRANTABLE}, a has not" in compared.passing
    assert f"b has SELECT {TABLE}{GRANTABLE}, a has SELECT {TABLE}" in compared.passing


def test_columns_are_revoked_together_and_what_stays_is_granted_again() -> None:
    kept, taken = on_table("UPDATE", column="A"), on_table("UPDATE", column="B")
    compared = compare({kept}, {kept, taken})
    [one] = compared.differences
    assert one.change_other == f'REVOKE UPDATE {TABLE} FROM USER "B"; GRANT UPDATE ("A") {TABLE} TO USER "B"'
    assert one.change_user == f'GRANT UPDATE ("B") {TABLE} TO USER "A"'
    assert f'b lacks UPDATE ("A") {TABLE}' in compared.passing


def test_what_is_part_of_dbadm_is_revoked_without_it_and_it_comes_back() -> None:
    part = Right("LOAD ON DATABASE", "", "LOAD ON DATABASE", on="ON DATABASE")
    [one] = compare({DBADM_RIGHT, part}, {DBADM_RIGHT}).differences
    assert one.change_user == (
        "in database RDSADMIN: CALL RDSADMIN.DBADM_REVOKE(?, 'DB', 'DBADM', 'USER A');"
        ' REVOKE LOAD ON DATABASE FROM USER "A";'
        " in database RDSADMIN: CALL RDSADMIN.DBADM_GRANT(?, 'DB', 'DBADM', 'USER A')"
    )
    assert compare({DBADM_RIGHT}, {DBADM_RIGHT, part}).differences == []


def test_a_role_that_lets_the_user_in_is_not_taken() -> None:
    role = Right('ROLE "R"')
    [one] = compare({role}, set(), frozenset({role.what})).differences
    assert one.change_user == "use the single-user strategy, because a cannot work without it"
    [one] = compare({role, Right('ROLE "Q"')}, {Right('ROLE "Q"')}, frozenset({role.what, 'ROLE "Q"'})).differences
    assert one.change_user == "in database RDSADMIN: CALL RDSADMIN.REVOKE_ROLE(?, 'DB', 'R', 'USER A')"


def test_the_state_is_of_one_user_and_tells_granted_from_owned() -> None:
    right = on_table("SELECT")
    granted, owned = Rights(frozenset({right}), frozenset()), Rights(frozenset(), frozenset({right}))
    states = {
        Side("a", groups, rights).state for groups in (frozenset[str](), frozenset("g")) for rights in (granted, owned)
    }
    assert len(states) == 4
