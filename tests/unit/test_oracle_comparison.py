"""Does each difference of two users of Oracle have its own statements, which undo no other one's?"""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from rotation.engines.oracle.comparison import differences, passing
from rotation.engines.oracle.definition import Definition
from rotation.engines.oracle.rights import Right, RightKind

R, S = (Right(RightKind.ROLE, name) for name in "RS")
SESSION = Right(RightKind.SYSTEM, "CREATE SESSION")


def user(*rights: Right, defaults: Iterable[str] = (), irrevocable: Iterable[Right] = ()) -> Definition:
    return Definition(
        {}, frozenset(rights), frozenset(irrevocable), frozenset(defaults), {}, {}, "G", frozenset(), frozenset()
    )


DEFAULTS = {
    "a role that is no default role, to one with ALL": (
        user(R, S, defaults="S"),
        user(S, defaults="S"),
        'GRANT "R" TO "O"; ALTER USER "O" DEFAULT ROLE "S"',
    ),
    "a role that is no default role, to one with a list": (user(R), user(S), 'GRANT "R" TO "O"'),
    "a default role, to one with ALL": (user(R, defaults="R"), user(), 'GRANT "R" TO "O"'),
    "a default role, to one with a list": (
        user(R, S, defaults="R"),
        user(S),
        'GRANT "R" TO "O"; ALTER USER "O" DEFAULT ROLE "R"',
    ),
    "an option less, with a list": (
        user(R, S, defaults="R"),
        user(replace(R, option=True), S, defaults="R"),
        'REVOKE "R" FROM "O"; GRANT "R" TO "O"; ALTER USER "O" DEFAULT ROLE "R"',
    ),
}


@pytest.mark.parametrize("what", DEFAULTS)
def test_a_role_is_granted_as_a_default_role_or_not(what: str) -> None:
    user_has, other_has, statements = DEFAULTS[what]
    found = [one for one in differences("U", "O", user_has, other_has) if "the role R" in one.what]
    assert [one.change_other for one in found] == [statements]


def test_what_a_third_user_gave_is_no_difference_if_it_has_all_options() -> None:
    right = Right(RightKind.OBJECT, "SELECT", "S", "T")
    option = replace(right, option=True)
    assert differences("U", "O", user(right), user(irrevocable=[option])) == []
    assert differences("U", "O", user(), user(irrevocable=[option])) == []
    [lacks] = differences("U", "O", user(option), user(irrevocable=[right]))
    assert lacks.what == "O lacks the object privilege SELECT on S.T with the right to pass it on"


def test_a_hierarchy_is_a_difference() -> None:
    right = Right(RightKind.OBJECT, "SELECT", "S", "T")
    [found] = differences("U", "O", user(replace(right, hierarchy=True)), user(right))
    assert found.what == (
        "O has the object privilege SELECT on S.T, U has the object privilege SELECT on S.T with its hierarchy"
    )
    assert found.change_other == 'GRANT SELECT ON "S"."T" TO "O" WITH HIERARCHY OPTION'
    assert found.change_user == 'REVOKE SELECT ON "S"."T" FROM "U"; GRANT SELECT ON "S"."T" TO "U"'


def test_all_columns_of_a_privilege_are_one_thing() -> None:
    a, b, c = (Right(RightKind.OBJECT, "UPDATE", "S", "T", column=column) for column in "ABC")
    [found] = differences("U", "O", user(a, b), user(b, c))
    assert found.what.startswith("O has the object privilege UPDATE (C) on S.T, U has the object privilege UPDATE (A)")
    assert found.change_user == (
        'REVOKE UPDATE ON "S"."T" FROM "U"; GRANT UPDATE ("B") ON "S"."T" TO "U"; GRANT UPDATE ("C") ON "S"."T" TO "U"'
    )


def test_a_role_without_which_the_user_could_not_log_in_is_taken_with_care() -> None:
    [found, _] = differences("U", "O", user(R, defaults="R"), user())
    assert found.change_user == 'REVOKE "R" FROM "U" (if U can log in without it)'
    [found, _] = differences("U", "O", user(R, SESSION, defaults="R"), user(SESSION))
    assert found.change_user == 'REVOKE "R" FROM "U"'
    [found] = differences("U", "O", user(SESSION), user())
    assert found.change_user == "nothing else, because U needs it to log in"


def test_a_role_that_gets_both_options_has_one_of_them_for_a_while() -> None:
    both = replace(R, option=True, delegate=True)
    assert (
        "O has the role R with the right to pass it on, U has the role R with the right to pass it on to delegate"
        in (passing("U", "O", user(both), user()))
    )
