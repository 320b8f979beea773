"""Does each difference of a pair on SQL Server have statements that end it, and do the states change with it?"""

from dataclasses import replace

import pytest

from rotation.engine import Comparison
from rotation.engines.sqlserver.comparing import ComparedPart, compared
from rotation.engines.sqlserver.principals import CONNECT, CONNECT_SQL, DB_OWNER, DBO, GivenRight, Principal
from rotation.engines.sqlserver.rights import RightState, SQLServerRight

READ = SQLServerRight("", "OBJECT::[dbo].[t]", "SELECT")
SCHEMA = "SCHEMA::[s]"
OPTIONS = {"DEFAULT_SCHEMA": "[dbo]"}


def given(right: SQLServerRight, state: RightState = RightState.GRANT, grantor: str = "dbo") -> GivenRight:
    return GivenRight(right, state, grantor, is_ours=False)


APP = Principal(5, "app", b"a", OPTIONS, given=(given(CONNECT),))
CLONE = Principal(6, "app_clone", b"c", OPTIONS, given=(given(CONNECT),))
OF_LOGIN = {"CHECK_EXPIRATION": "OFF", "CHECK_POLICY": "OFF", "DEFAULT_DATABASE": "[master]"}
APP_LOGIN = replace(APP, options=OF_LOGIN, given=(given(CONNECT_SQL),))
CLONE_LOGIN = replace(CLONE, options=OF_LOGIN, given=(given(CONNECT_SQL),))


def part(user: Principal | None = APP, other: Principal | None = CLONE, database: str = "d") -> ComparedPart:
    return ComparedPart("app", "app_clone", user, other, database)


def compare(*parts: ComparedPart) -> Comparison:
    return compared(parts, passing=[], unlock=[])


def with_right(one: Principal, *rights: GivenRight) -> Principal:
    return replace(one, given=(*one.given, *rights))


CHANGES = [
    {"options": {"DEFAULT_SCHEMA": "[s]"}},
    {"roles": frozenset({"r"})},
    {"given": (given(CONNECT), given(READ))},
    {"given": (given(CONNECT), given(READ, RightState.DENY))},
    {"given": ()},
    {"owned": frozenset({SCHEMA})},
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_one_changes_its_state_only_and_is_a_difference(change: dict[str, object]) -> None:
    equal = compare(part())
    assert equal.differences == []
    user, other = (compare(part(**{who: replace(one, **change)})) for who, one in (("user", APP), ("other", CLONE)))  # type: ignore[arg-type]  # any field
    assert user.user_state != equal.user_state
    assert user.other_state == equal.other_state
    assert other.user_state == equal.user_state
    assert other.other_state != equal.other_state
    assert len(user.differences) == len(other.differences) == 1
    assert equal.user_state != equal.other_state, "the state of one is never taken for that of the other"


def test_the_order_and_the_grantor_are_no_part_of_a_state() -> None:
    rights = given(READ), given(SQLServerRight("", "", "SHOWPLAN"))
    states = {
        compare(part(user=with_right(APP, *some))).user_state
        for some in (rights, rights[::-1], (given(READ, grantor="x"), *rights))
    }
    assert len(states) == 1


def test_a_right_that_others_have_granted_has_other_states_on_the_way() -> None:
    denied = with_right(CLONE_LOGIN, given(READ, RightState.DENY), given(READ, RightState.GRANT, "dealer"))
    option = with_right(APP_LOGIN, given(READ, RightState.GRANTABLE))
    found = part(option, denied, "")
    [difference] = found.differences()
    assert difference.change_other == (
        "USE [master]; REVOKE SELECT ON OBJECT::[dbo].[t] FROM [app_clone] AS [dbo];"
        " REVOKE SELECT ON OBJECT::[dbo].[t] FROM [app_clone] AS [dealer];"
        " GRANT SELECT ON OBJECT::[dbo].[t] TO [app_clone] WITH GRANT OPTION"
    )
    right = "SELECT ON OBJECT::[dbo].[t]"
    assert set(found.passing()) == {
        f"app has GRANT {right} WITH GRANT OPTION, app_clone does not",
        f"app has GRANT {right} WITH GRANT OPTION, app_clone has GRANT {right}",
        f"app has GRANT {right} WITH GRANT OPTION, app_clone has DENY {right}",
    }


def test_options_that_change_each_other_are_one_difference() -> None:
    other = replace(CLONE_LOGIN, options={**OF_LOGIN, "CHECK_POLICY": "ON"})
    [difference] = part(APP_LOGIN, other, "").differences()
    assert difference.what == (
        "app has CHECK_EXPIRATION = OFF, CHECK_POLICY = OFF, app_clone has CHECK_EXPIRATION = OFF, CHECK_POLICY = ON"
    )
    assert difference.change_user == "USE [master]; ALTER LOGIN [app] WITH CHECK_EXPIRATION = OFF, CHECK_POLICY = ON"


def test_a_default_database_that_is_gone_is_given_to_nobody() -> None:
    gone = {option: value for option, value in OF_LOGIN.items() if option != "DEFAULT_DATABASE"}
    [difference] = part(APP_LOGIN, replace(CLONE_LOGIN, options=gone), "").differences()
    assert difference.what == "app has DEFAULT_DATABASE = [master], app_clone has none"
    assert difference.change_user.startswith("nothing at app")
    assert not list(part(replace(APP_LOGIN, options=gone), CLONE_LOGIN, "").differences())


@pytest.mark.parametrize(
    ("user", "other", "words"),
    [
        (APP, replace(CLONE, given=()), "take CONNECT from app by hand"),
        (APP, replace(CLONE, given=(given(CONNECT, RightState.DENY),)), "take CONNECT from app by hand"),
        (replace(APP, id=DBO, roles=frozenset({DB_OWNER})), CLONE, "give the database d to another owner"),
        (replace(APP, id=DBO), with_right(CLONE, given(READ)), "give the database d to another owner"),
        (replace(APP, id=DBO), replace(CLONE, options={"DEFAULT_SCHEMA": "[s]"}), "nothing at app"),
        (replace(APP, owned=frozenset({SCHEMA})), CLONE, f"give {SCHEMA}, which app owns, to another owner by hand"),
        (
            replace(
                with_right(APP, given(READ, RightState.GRANTABLE)),
                passed_on=(replace(given(READ), grantee="third"),),
            ),
            CLONE,
            "take the grant option for SELECT ON OBJECT::[dbo].[t] from app by hand",
        ),
        (APP, None, "drop the user [app] there by hand"),
        (replace(APP, id=DBO), None, "give the database d to another owner"),
    ],
)
def test_nothing_is_given_to_run_that_would_take_more_than_the_difference(
    user: Principal, other: Principal | None, words: str
) -> None:
    [difference] = part(user, other).differences()
    assert difference.change_user.startswith(words)
    assert difference.change_other.startswith("USE [d]; ")


def test_what_only_the_other_one_has_in_a_database_is_noted_and_no_difference() -> None:
    server = part(APP_LOGIN, CLONE_LOGIN, "")
    without, alone = compare(server, part(None, None)), compare(server, part(None, CLONE))
    assert alone.differences == []
    assert alone.other_state == without.other_state
    assert alone.user_state != without.user_state


def test_who_cannot_connect_is_unlocked_if_the_other_one_can() -> None:
    locked = replace(CLONE_LOGIN, given=(given(CONNECT_SQL, RightState.DENY),))
    assert part(APP_LOGIN, locked, "").unlock() == (
        "USE [master]; REVOKE CONNECT SQL FROM [app_clone] AS [dbo]; GRANT CONNECT SQL TO [app_clone]"
    )
    assert part(APP_LOGIN, CLONE_LOGIN, "").unlock() == part(replace(APP_LOGIN, given=()), locked, "").unlock() == ""
