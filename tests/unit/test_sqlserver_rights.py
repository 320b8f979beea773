"""Are the statements the right ones that give a principal of SQL Server the permissions of another?"""

import pytest

from rotation.engines.sqlserver.pair import clone_sid
from rotation.engines.sqlserver.rights import RightState, SQLServerRight, binary, identifier, literal, statements

TABLE = "OBJECT::[dbo].[t]"
READ = SQLServerRight("", TABLE, "SELECT")
READ_A, READ_B = (SQLServerRight(column, TABLE, "SELECT") for column in ("[a]", "[b]"))


def read(state: RightState | None) -> dict[SQLServerRight, RightState]:
    return {READ: state} if state else {}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, RightState.GRANT, "GRANT SELECT ON OBJECT::[dbo].[t] TO [x]"),
        (None, RightState.GRANTABLE, "GRANT SELECT ON OBJECT::[dbo].[t] TO [x] WITH GRANT OPTION"),
        (None, RightState.DENY, "DENY SELECT ON OBJECT::[dbo].[t] TO [x]"),
        (RightState.GRANT, None, "REVOKE SELECT ON OBJECT::[dbo].[t] FROM [x]"),
        (RightState.GRANT, RightState.GRANTABLE, "GRANT SELECT ON OBJECT::[dbo].[t] TO [x] WITH GRANT OPTION"),
        (RightState.GRANT, RightState.DENY, "DENY SELECT ON OBJECT::[dbo].[t] TO [x]"),
        (RightState.GRANTABLE, None, "REVOKE SELECT ON OBJECT::[dbo].[t] FROM [x] CASCADE"),
        (
            RightState.GRANTABLE,
            RightState.GRANT,
            "REVOKE GRANT OPTION FOR SELECT ON OBJECT::[dbo].[t] FROM [x] CASCADE",
        ),
        (RightState.GRANTABLE, RightState.DENY, "DENY SELECT ON OBJECT::[dbo].[t] TO [x] CASCADE"),
        (RightState.DENY, None, "REVOKE SELECT ON OBJECT::[dbo].[t] FROM [x]"),
        (RightState.DENY, RightState.GRANT, "GRANT SELECT ON OBJECT::[dbo].[t] TO [x]"),
        (RightState.DENY, RightState.GRANTABLE, "GRANT SELECT ON OBJECT::[dbo].[t] TO [x] WITH GRANT OPTION"),
    ],
)
def test_each_change_of_state_has_its_statement(before: RightState | None, after: RightState, expected: str) -> None:
    assert list(statements(read(before), read(after), "[x]")) == [expected]


@pytest.mark.parametrize("state", RightState)
def test_what_is_the_same_needs_no_statement(state: RightState) -> None:
    assert not list(statements({READ: state, READ_A: state}, {READ: state, READ_A: state}, "[x]"))


def test_a_permission_of_the_whole_server_or_database_is_on_nothing() -> None:
    assert list(statements({}, {SQLServerRight("", "", "SHOWPLAN"): RightState.GRANT}, "[x]")) == [
        "GRANT SHOWPLAN TO [x]"
    ]


def test_columns_come_after_their_table_and_again_if_it_changed() -> None:
    have = {READ_A: RightState.DENY}
    want = {READ: RightState.GRANT, READ_A: RightState.DENY, READ_B: RightState.REVOKE}
    assert list(statements(have, want, "[x]")) == [
        "GRANT SELECT ON OBJECT::[dbo].[t] TO [x]",
        "DENY SELECT ON OBJECT::[dbo].[t] ([a]) TO [x]",
        "REVOKE SELECT ON OBJECT::[dbo].[t] ([b]) FROM [x]",
    ]


def test_a_column_that_is_like_its_table_again_is_not_made_an_exception() -> None:
    have = {READ: RightState.GRANT, READ_A: RightState.DENY, READ_B: RightState.REVOKE}
    assert list(statements(have, {READ: RightState.GRANT}, "[x]")) == [
        "GRANT SELECT ON OBJECT::[dbo].[t] ([a]) TO [x]",
        "GRANT SELECT ON OBJECT::[dbo].[t] ([b]) TO [x]",
    ]
    assert list(statements({READ_A: RightState.GRANT}, {}, "[x]")) == [
        "REVOKE SELECT ON OBJECT::[dbo].[t] ([a]) FROM [x]"
    ]


def test_names_and_texts_are_quoted_as_the_server_reads_them() -> None:
    assert identifier("it's ]] [x") == "[it's ]]]] [x]"
    assert literal("it's ''") == "N'it''s '''''"
    assert binary(b"\x00\xab") == "0x00AB"


def test_the_clones_sid_is_of_the_same_kind_and_always_the_same() -> None:
    login, contained = bytes(range(16)), bytes.fromhex("010500000000000903000000") + bytes(range(16))
    assert len(clone_sid(login)) == 16
    assert clone_sid(contained)[:12] == contained[:12]
    assert len(clone_sid(contained)) == 28
    assert clone_sid(login) == clone_sid(login)
    assert len({login, clone_sid(login), clone_sid(clone_sid(login)), clone_sid(contained)[12:]}) == 4
