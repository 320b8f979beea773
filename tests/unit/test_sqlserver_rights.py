"""Are the statements the right ones that give a principal of SQL Server the permissions of another?"""

import pytest

from rotation.engines.sqlserver.pair import clone_sid
from rotation.engines.sqlserver.rights import Right, State, binary, name, statements, text

TABLE = "OBJECT::[dbo].[t]"
READ = Right("", TABLE, "SELECT")
READ_A, READ_B = (Right(column, TABLE, "SELECT") for column in ("[a]", "[b]"))


def read(state: State | None) -> dict[Right, State]:
    return {READ: state} if state else {}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, State.GRANT, "GRANT SELECT ON OBJECT::[dbo].[t] TO [x]"),
        (None, State.GRANTABLE, "GRANT SELECT ON OBJECT::[dbo].[t] TO [x] WITH GRANT OPTION"),
        (None, State.DENY, "DENY SELECT ON OBJECT::[dbo].[t] TO [x]"),
        (State.GRANT, None, "REVOKE SELECT ON OBJECT::[dbo].[t] FROM [x]"),
        (State.GRANT, State.GRANTABLE, "GRANT SELECT ON OBJECT::[dbo].[t] TO [x] WITH GRANT OPTION"),
        (State.GRANT, State.DENY, "DENY SELECT ON OBJECT::[dbo].[t] TO [x]"),
        (State.GRANTABLE, None, "REVOKE SELECT ON OBJECT::[dbo].[t] FROM [x] CASCADE"),
        (
            State.GRANTABLE,
            State.GRANT,
            "REVOKE GRANT OPTION FOR SELECT ON OBJECT::[dbo].[t] FROM [x] CASCADE",
        ),
        (State.GRANTABLE, State.DENY, "DENY SELECT ON OBJECT::[dbo].[t] TO [x] CASCADE"),
        (State.DENY, None, "REVOKE SELECT ON OBJECT::[dbo].[t] FROM [x]"),
        (State.DENY, State.GRANT, "GRANT SELECT ON OBJECT::[dbo].[t] TO [x]"),
        (State.DENY, State.GRANTABLE, "GRANT SELECT ON OBJECT::[dbo].[t] TO [x] WITH GRANT OPTION"),
    ],
)
def test_each_change_of_state_has_its_statement(before: State | None, after: State, expected: str) -> None:
    assert list(statements(read(before), read(after), "[x]")) == [expected]


@pytest.mark.parametrize("state", State)
def test_what_is_the_same_needs_no_statement(state: State) -> None:
    assert not list(statements({READ: state, READ_A: state}, {READ: state, READ_A: state}, "[x]"))


def test_a_permission_of_the_whole_server_or_database_is_on_nothing() -> None:
    assert list(statements({}, {Right("", "", "SHOWPLAN"): State.GRANT}, "[x]")) == ["GRANT SHOWPLAN TO [x]"]


def test_columns_come_after_their_table_and_again_where_it_changed() -> None:
    have = {READ_A: State.DENY}
    want = {READ: State.GRANT, READ_A: State.DENY, READ_B: State.REVOKE}
    assert list(statements(have, want, "[x]")) == [
        "GRANT SELECT ON OBJECT::[dbo].[t] TO [x]",
        "DENY SELECT ON OBJECT::[dbo].[t] ([a]) TO [x]",
        "REVOKE SELECT ON OBJECT::[dbo].[t] ([b]) FROM [x]",
    ]


def test_a_column_that_is_like_its_table_again_is_not_made_an_exception() -> None:
    have = {READ: State.GRANT, READ_A: State.DENY, READ_B: State.REVOKE}
    assert list(statements(have, {READ: State.GRANT}, "[x]")) == [
        "GRANT SELECT ON OBJECT::[dbo].[t] ([a]) TO [x]",
        "GRANT SELECT ON OBJECT::[dbo].[t] ([b]) TO [x]",
    ]
    assert list(statements({READ_A: State.GRANT}, {}, "[x]")) == ["REVOKE SELECT ON OBJECT::[dbo].[t] ([a]) FROM [x]"]


def test_names_and_texts_are_quoted_as_the_server_reads_them() -> None:
    assert name("it's ]] [x") == "[it's ]]]] [x]"
    assert text("it's ''") == "N'it''s '''''"
    assert binary(b"\x00\xab") == "0x00AB"


def test_the_clones_sid_is_of_the_same_kind_and_always_the_same() -> None:
    login, contained = bytes(range(16)), bytes.fromhex("010500000000000903000000") + bytes(range(16))
    assert len(clone_sid(login)) == 16
    assert clone_sid(contained)[:12] == contained[:12]
    assert len(clone_sid(contained)) == 28
    assert clone_sid(login) == clone_sid(login)
    assert len({login, clone_sid(login), clone_sid(clone_sid(login)), clone_sid(contained)[12:]}) == 4
