"""Is a difference of two accounts one thing, and do its statements end it?"""

import cProfile
import pstats

import pytest

from rotation.engine import Difference
from rotation.engines.mysql.differences import AccountDifferences, AccountState
from rotation.engines.mysql.names import Account
from rotation.engines.mysql.rights import cannot_grant, parse

USER, OTHER = Account("a", "%"), Account("a_clone", "%")


def compared(user: list[str], other: list[str]) -> list[tuple[str, str, str]]:
    """Compare accounts with these rows of SHOW GRANTS; each text without the accounts."""

    def state(account: Account, rows: list[str]) -> AccountState:
        return AccountState(account, rights=parse(f"{row} TO `x`@`%`" if "FROM" not in row else row for row in rows))

    return [_short(difference) for difference in AccountDifferences(state(USER, user), state(OTHER, other))]


def _short(difference: Difference) -> tuple[str, str, str]:
    change_other = difference.change_other.replace(f" TO {OTHER.quoted}", "").replace(f" FROM {OTHER.quoted}", "")
    change_user = difference.change_user.replace(f" TO {USER.quoted}", "").replace(f" FROM {USER.quoted}", "")
    return difference.what, change_other, change_user


def test_all_privileges_are_one_difference_with_what_they_stand_for() -> None:
    assert compared(["GRANT ALL PRIVILEGES ON `s`.*"], ["GRANT SELECT, INSERT ON `s`.*"]) == [
        (
            "a_clone@% lacks privilege ALL PRIVILEGES on `s`.*",
            "GRANT ALL PRIVILEGES ON `s`.*",
            "REVOKE ALL PRIVILEGES ON `s`.*; GRANT INSERT, SELECT ON `s`.*",
        )
    ]


def test_a_privilege_on_everything_is_one_difference_with_its_restrictions() -> None:
    restricted = ["GRANT SELECT ON *.*", "REVOKE SELECT ON `s`.* FROM `x`@`%`"]
    [(what, give, take)] = compared(restricted, [])
    assert what == "a_clone@% lacks privilege SELECT on *.*"
    assert give == "GRANT SELECT ON *.*; REVOKE SELECT ON `s`.*"
    assert take == "REVOKE SELECT ON *.*"
    [(what, take, give)] = compared([], restricted)
    assert what == "a_clone@% has privilege SELECT on *.*, a@% does not"
    assert (take, give) == ("REVOKE SELECT ON *.*", "GRANT SELECT ON *.*; REVOKE SELECT ON `s`.*")


def test_a_restriction_alone_is_a_difference() -> None:
    restricted = ["GRANT SELECT ON *.*", "REVOKE SELECT ON `s`.* FROM `x`@`%`"]
    assert compared(restricted, ["GRANT SELECT ON *.*"]) == [
        ("a_clone@% lacks restriction SELECT on `s`.*", "REVOKE SELECT ON `s`.*", "GRANT SELECT ON `s`.*")
    ]


@pytest.mark.parametrize(
    ("row", "option", "again"),
    [
        ("GRANT ROLE_ADMIN ON *.*", "WITH GRANT OPTION", "REVOKE ROLE_ADMIN ON *.*; GRANT ROLE_ADMIN ON *.*"),
        ("GRANT `r`@`%`", "WITH ADMIN OPTION", "REVOKE `r`@`%`; GRANT `r`@`%`"),
    ],
)
def test_the_option_to_grant_a_right_is_one_difference(row: str, option: str, again: str) -> None:
    def rights(account: Account, end: str) -> AccountState:
        return AccountState(account, rights=parse([f"{row} TO `x`@`%`{end}"]))

    [(what, give, take)] = map(_short, AccountDifferences(rights(USER, f" {option}"), rights(OTHER, "")))
    assert what.startswith("a_clone@% lacks")
    assert what.endswith(" with the right to grant it")
    assert (give, take) == (f"{row} {option}", again)
    [(what, take, give)] = map(_short, AccountDifferences(rights(USER, ""), rights(OTHER, f" {option}")))
    assert what.endswith(" with the right to grant it, a@% does not")
    assert (give, take) == (f"{row} {option}", again)


def test_a_default_role_that_is_revoked_on_the_way_stays_one() -> None:
    admin = AccountState(USER, rights=parse(["GRANT `r`@`%` TO `x`@`%` WITH ADMIN OPTION"]), default_roles=["`r`@`%`"])
    plain = AccountState(OTHER, rights=parse(["GRANT `r`@`%` TO `x`@`%`"]), default_roles=["`r`@`%`"])
    [difference] = AccountDifferences(admin, plain)
    assert difference.change_user == (
        "REVOKE `r`@`%` FROM 'a'@'%'; GRANT `r`@`%` TO 'a'@'%'; ALTER USER 'a'@'%' DEFAULT ROLE `r`@`%`"
    )


def test_what_a_user_writes_into_its_attributes_is_one_text_in_each_sql_mode() -> None:
    [difference] = AccountDifferences(AccountState(USER, notes={"x'\\": "'; DROP USER a; -- \\"}), AccountState(OTHER))
    inner = difference.change_other.removeprefix("ALTER USER 'a_clone'@'%' ATTRIBUTE '").removesuffix("'")
    assert "'" not in inner
    [long] = AccountDifferences(AccountState(USER, notes={"x": "y" * 4000}), AccountState(OTHER))
    assert "yyy" not in long.change_other + long.change_user


def test_a_proxy_that_can_be_granted_is_one_difference() -> None:
    proxied = Account("p", "%")
    may_grant = frozenset(parse(["GRANT USAGE ON *.* TO `a`@`%` WITH GRANT OPTION"]))
    [difference] = AccountDifferences(
        AccountState(USER, rights=may_grant, proxies={proxied: True}),
        AccountState(OTHER, rights=may_grant, proxies={proxied: False}),
    )
    assert difference.what == "a@% has the right to grant the proxy p@%, a_clone@% does not"
    assert difference.change_other == "GRANT PROXY ON 'p'@'%' TO 'a_clone'@'%' WITH GRANT OPTION"
    assert difference.change_user == "REVOKE PROXY ON 'p'@'%' FROM 'a'@'%'; GRANT PROXY ON 'p'@'%' TO 'a'@'%'"


def test_a_proxy_gives_no_right_that_neither_has() -> None:
    [difference] = AccountDifferences(AccountState(USER, proxies={Account("p", "%"): True}), AccountState(OTHER))
    grant = "GRANT PROXY ON 'p'@'%' TO 'a_clone'@'%' WITH GRANT OPTION"
    assert difference.change_other == f"{grant}; REVOKE GRANT OPTION ON *.* FROM 'a_clone'@'%'"


def test_a_method_without_a_password_is_named_and_what_it_compares_is_not() -> None:
    [difference] = AccountDifferences(AccountState(USER, methods=frozenset({("pam", "hidden")})), AccountState(OTHER))
    assert difference.what == "a@% has the method pam to log in, a_clone@% does not"
    assert "hidden" not in f"{difference}"


def test_each_thing_changes_the_state() -> None:
    states = [
        AccountState(USER),
        AccountState(USER, options={"REQUIRE": "SSL"}),
        AccountState(USER, plugin="p"),
        AccountState(USER, notes={"x": 1}),
        AccountState(USER, methods=frozenset({("pam", "")})),
        AccountState(USER, methods=frozenset({("pam", "x")})),
        AccountState(USER, rights=parse(["GRANT SELECT ON *.* TO `x`@`%`"])),
        AccountState(USER, proxies={OTHER: False}),
        AccountState(USER, proxies={OTHER: True}),
        AccountState(USER, default_roles=["`r`"]),
    ]
    things = [frozenset(state.things(is_locked=is_locked)) for state in states for is_locked in (False, True)]
    assert len(set(things)) == len(things)


@pytest.mark.parametrize(
    ("row", "can"),
    [
        ("GRANT SELECT ON *.* TO `x`@`%`", True),
        ("GRANT FILE ON *.* TO `x`@`%`", False),
        ("GRANT SELECT (`c`) ON `s`.`t` TO `x`@`%`", True),
        ("GRANT ALL PRIVILEGES ON `s`.* TO `x`@`%`", True),  # the server knows
        ("GRANT INSERT ON `s`.* TO `x`@`%`", False),
        ("GRANT XA_RECOVER_ADMIN ON *.* TO `x`@`%`", True),
        ("GRANT ROLE_ADMIN ON *.* TO `x`@`%`", False),
        ("GRANT `r`@`%` TO `x`@`%`", False),
        ("REVOKE SELECT ON `s`.* FROM `x`@`%`", True),
    ],
)
def test_what_an_admin_cannot_grant_is_known_if_it_is_sure(row: str, *, can: bool) -> None:
    own = parse([
        "GRANT SELECT ON *.* TO `x`@`%` WITH GRANT OPTION",
        "GRANT XA_RECOVER_ADMIN ON *.* TO `x`@`%` WITH GRANT OPTION",
    ])  # fmt: skip
    [right, *_] = parse([row])
    assert cannot_grant(own, right) is not can
    roles = own | parse(["GRANT `r`@`%`, `q`@`%` TO `x`@`%`"])
    assert not cannot_grant(roles, next(iter(parse(["GRANT `r`@`%` TO `x`@`%`"]))))


def work_of(grants: list[str]) -> int:
    """Return how many functions are called while an account is compared with one that has nothing."""
    profile = cProfile.Profile()
    with profile:
        assert len(compared(grants, [])) == len(grants)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


@pytest.mark.parametrize("grant", ["GRANT SELECT ON `s`.`t{}`", "GRANT SELECT (`c{}`) ON `s`.`t`"])
def test_twice_as_many_differences_are_twice_as_much_work(grant: str) -> None:
    """A rotation that was cut off goes on from all that is left, which can be 20,000 rights."""
    few, many = (work_of([grant.format(number) for number in range(count)]) for count in (200, 400))
    assert many < 2.2 * few
