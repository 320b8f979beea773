"""Are the rows of SHOW GRANTS read as they are printed, and which statements make one account like another?"""

import pytest

from rotation.engines.mysql.rights import Change, Right, RightKind, Unreadable, allowing, changes, covers, parse

ACCOUNT = "'x'@'%'"


def privilege(name: str, item: str, column: str = "") -> Right:
    return Right(RightKind.PRIVILEGE, name, item, column)


def dynamic(name: str, *, grantable: bool = False) -> Right:
    return Right(RightKind.DYNAMIC, name, "*.*", grantable=grantable)


def role(name: str, *, grantable: bool = False) -> Right:
    return Right(RightKind.ROLE, name, grantable=grantable)


ROWS: dict[str, set[Right]] = {
    "GRANT USAGE ON *.* TO `a`@`%`": set(),
    "GRANT USAGE ON *.* TO `a`@`%` WITH GRANT OPTION": {privilege("GRANT OPTION", "*.*")},
    "GRANT SELECT, CREATE TEMPORARY TABLES ON *.* TO `a`@`%`": {
        privilege("SELECT", "*.*"),
        privilege("CREATE TEMPORARY TABLES", "*.*"),
    },
    "GRANT APPLICATION_PASSWORD_ADMIN,ROLE_ADMIN ON *.* TO `a`@`%` WITH GRANT OPTION": {
        dynamic("APPLICATION_PASSWORD_ADMIN", grantable=True),
        dynamic("ROLE_ADMIN", grantable=True),
    },
    "GRANT ALL PRIVILEGES ON `shop`.* TO `a`@`%` WITH GRANT OPTION": {
        privilege("ALL PRIVILEGES", "`shop`.*"),
        privilege("GRANT OPTION", "`shop`.*"),
    },
    r"GRANT SELECT, UPDATE ON `sh\_p`.* TO `a`@`%`": {
        privilege("SELECT", r"`sh\_p`.*"),
        privilege("UPDATE", r"`sh\_p`.*"),
    },
    "GRANT SELECT ON `we``ird TO x`.* TO `a`@`%`": {privilege("SELECT", "`we``ird TO x`.*")},
    "GRANT SELECT ON `a``.``b`.`t ON x, WITH GRANT OPTION` TO ` TO `@`%`": {
        privilege("SELECT", "`a``.``b`.`t ON x, WITH GRANT OPTION`")
    },
    "GRANT SELECT (`co,l`, `i)d`), INSERT, DELETE HISTORY ON `shop`.`t` TO `a`@`%`": {
        privilege("SELECT", "`shop`.`t`", "`co,l`"),
        privilege("SELECT", "`shop`.`t`", "`i)d`"),
        privilege("INSERT", "`shop`.`t`"),
        privilege("DELETE HISTORY", "`shop`.`t`"),
    },
    "GRANT EXECUTE ON PROCEDURE `shop`.`p' \"q` TO `a`@`%`": {privilege("EXECUTE", "PROCEDURE `shop`.`p' \"q`")},
    "GRANT USAGE ON FUNCTION `shop`.`f` TO `a`@`%` WITH GRANT OPTION": {
        privilege("GRANT OPTION", "FUNCTION `shop`.`f`")
    },
    "GRANT EXECUTE ON PACKAGE BODY `shop`.`f` TO `a`@`%`": {privilege("EXECUTE", "PACKAGE BODY `shop`.`f`")},
    "GRANT `r w`@`%`,`ro`@`10.%` TO `a`@`%`": {role("`r w`@`%`"), role("`ro`@`10.%`")},
    "GRANT `r``x TO y`@`%` TO `a`@`%` WITH ADMIN OPTION": {role("`r``x TO y`@`%`", grantable=True)},
    "GRANT `r``x` TO `a`@`%` WITH ADMIN OPTION": {role("`r``x`", grantable=True)},
    r"REVOKE SELECT, INSERT ON `sh\_p`.* FROM `a`@`%`": {
        Right(RightKind.RESTRICTION, "SELECT", r"`sh\_p`.*"),
        Right(RightKind.RESTRICTION, "INSERT", r"`sh\_p`.*"),
    },
    "GRANT PROXY ON ``@`` TO `a`@`%` WITH GRANT OPTION": set(),
    "GRANT PROXY ON 'o'r'@'10.%' TO 'a'@'%'": set(),
    "SET DEFAULT ROLE `ro` FOR `a`@`%`": {Right(RightKind.DEFAULT_ROLE, "`ro`")},
    "GRANT SELECT ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*B690' WITH GRANT OPTION": {
        privilege("SELECT", "*.*"),
        privilege("GRANT OPTION", "*.*"),
    },
    "GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED VIA mysql_native_password USING '*66' OR unix_socket"
    " REQUIRE ISSUER '/CN=b'c' SUBJECT '/CN=a' CIPHER 'AES' WITH GRANT OPTION MAX_STATEMENT_TIME 5.500000": {
        privilege("GRANT OPTION", "*.*")
    },
}


@pytest.mark.parametrize(("row", "rights"), ROWS.items(), ids=range(len(ROWS)))
def test_a_row_is_read_as_it_is_meant(row: str, rights: set[Right]) -> None:
    assert parse([row]) == rights


@pytest.mark.parametrize("row", ["", "GRANT", "GRANT SELECT", "GRANT SELECT (`a` ON", "DENY SELECT ON *.* TO `a`@`%`"])
def test_a_row_that_is_not_understood_is_not_passed_over(row: str) -> None:
    with pytest.raises(Unreadable):
        parse([row])


def planned(have: set[Right], want: set[Right]) -> list[str]:
    return [
        change.statement.replace(f" FROM {ACCOUNT}", "").replace(f" TO {ACCOUNT}", "")
        for change in changes(frozenset(have), frozenset(want), ACCOUNT)
    ]


SELECT, OPTION = privilege("SELECT", "*.*"), privilege("GRANT OPTION", "*.*")
TABLE = "`s`.`t`"


def test_equal_rights_need_no_statement() -> None:
    rights = {SELECT, OPTION, dynamic("ROLE_ADMIN"), role("`r`")}
    assert planned(rights, rights) == []


def test_rights_are_taken_before_any_is_given() -> None:
    assert planned({SELECT, role("`r`")}, {privilege("INSERT", "`s`.*"), role("`q`", grantable=True)}) == [
        "REVOKE `r`",
        "REVOKE SELECT ON *.*",
        "GRANT INSERT ON `s`.*",
        "GRANT `q` WITH ADMIN OPTION",
    ]


def test_an_option_alone_is_granted_with_nothing_else() -> None:
    assert planned({SELECT}, {SELECT, OPTION}) == ["GRANT USAGE ON *.* WITH GRANT OPTION"]


@pytest.mark.parametrize("kind", [dynamic, role])
def test_a_right_that_loses_its_option_is_revoked_and_granted_again(kind: type[Right]) -> None:
    name = "ROLE_ADMIN"
    statements_ = planned({kind(name, grantable=True)}, {kind(name)})  # type: ignore[call-arg, arg-type]
    assert [statement.split()[0] for statement in statements_] == ["REVOKE", "GRANT"]


def test_dynamic_privileges_keep_their_option_if_the_static_ones_lose_it() -> None:
    kept = dynamic("ROLE_ADMIN", grantable=True)
    plain = dynamic("XA_RECOVER_ADMIN")
    assert planned({SELECT, OPTION, kept, plain}, {SELECT, kept, plain}) == [
        "REVOKE ROLE_ADMIN ON *.*",
        "REVOKE GRANT OPTION ON *.*",
        "GRANT ROLE_ADMIN ON *.* WITH GRANT OPTION",
    ]


def test_all_privileges_stands_alone_in_a_revoke() -> None:
    have = {privilege("ALL PRIVILEGES", "`s`.*"), privilege("GRANT OPTION", "`s`.*")}
    assert planned(have, {privilege("SELECT", "`s`.*")}) == [
        "REVOKE ALL PRIVILEGES ON `s`.*",
        "REVOKE GRANT OPTION ON `s`.*",
        "GRANT SELECT ON `s`.*",
    ]


def test_all_privileges_replaces_what_is_there_without_taking_it_first() -> None:
    assert planned({privilege("SELECT", "`s`.*")}, {privilege("ALL PRIVILEGES", "`s`.*")}) == [
        "GRANT ALL PRIVILEGES ON `s`.*"
    ]


def test_a_column_that_goes_with_its_table_comes_back() -> None:
    column = privilege("SELECT", TABLE, "`c`")
    assert planned({privilege("SELECT", TABLE), column}, {column}) == [
        f"REVOKE SELECT ON {TABLE}",
        f"GRANT SELECT (`c`) ON {TABLE}",
    ]


def test_a_restriction_comes_after_its_privilege_and_goes_with_it() -> None:
    restriction = Right(RightKind.RESTRICTION, "SELECT", "`s`.*")
    assert planned(set(), {SELECT, restriction}) == ["GRANT SELECT ON *.*", "REVOKE SELECT ON `s`.*"]
    assert planned({SELECT, restriction}, set()) == ["REVOKE SELECT ON *.*"]
    assert planned({SELECT, restriction}, {SELECT}) == ["GRANT SELECT ON `s`.*"]


def granted(*rights: Right) -> list[Change]:
    return list(changes(frozenset(), frozenset(rights), ACCOUNT))


def test_columns_are_granted_with_nothing_else() -> None:
    column, table = privilege("INSERT", TABLE, "`c`"), privilege("SELECT", TABLE)
    whole, part = granted(column, table, privilege("GRANT OPTION", TABLE))
    assert whole.statement == f"GRANT SELECT ON {TABLE} TO {ACCOUNT} WITH GRANT OPTION"
    assert part.statement == f"GRANT INSERT (`c`) ON {TABLE} TO {ACCOUNT}"
    assert part.is_for_columns
    assert not whole.is_for_columns
    assert whole.what == part.what == TABLE


def test_rights_that_are_given_together_can_be_given_one_by_one() -> None:
    [together] = granted(privilege("SELECT", TABLE), privilege("INSERT", TABLE), privilege("GRANT OPTION", TABLE))
    assert [single.statement for single in together.single(ACCOUNT)] == [
        f"GRANT USAGE ON {TABLE} TO {ACCOUNT} WITH GRANT OPTION",
        f"GRANT INSERT ON {TABLE} TO {ACCOUNT}",
        f"GRANT SELECT ON {TABLE} TO {ACCOUNT}",
    ]
    assert {right for single in together.single(ACCOUNT) for right in single.given} == set(together.given)
    [alone] = granted(role("`r`", grantable=True))
    assert alone.single(ACCOUNT) == []


def test_what_takes_rights_gives_none() -> None:
    have = {SELECT, role("`r`"), dynamic("ROLE_ADMIN"), privilege("SELECT", TABLE, "`c`")}
    assert not any(change.given for change in changes(frozenset(have), frozenset(), ACCOUNT))


def test_a_right_is_described_for_people() -> None:
    assert str(privilege("SELECT", TABLE, "`c`")) == "privilege SELECT (`c`) on `s`.`t`"
    assert str(role("`r`", grantable=True)) == "role `r` with the right to grant it"


@pytest.mark.parametrize(
    ("place", "item", "does"),
    [
        ("*.*", "`shop`.`t`", True),
        ("*.*", "*.*", True),
        ("`shop`.*", "*.*", False),
        ("`shop`.*", "`shop`.*", True),
        ("`shop`.*", "`SHOP`.`t`", True),
        ("`shop`.*", "PROCEDURE `shop`.`p`", True),
        ("`shop`.*", "`shop2`.`t`", False),
        ("`shop`.`t`", "`shop`.`t`", True),
        ("`shop`.`t`", "`shop`.`u`", False),
        ("`shop`.`t`", "`shop`.*", False),
        ("`sh%`.*", "`shop`.`t`", True),
        ("`sh_p`.*", "`shop`.*", True),
        (r"`sh\_p`.*", "`shop`.*", False),
        (r"`sh\_p`.*", "`sh_p`.`t`", True),
        (r"`sh%`.*", r"`sh\_p`.*", True),
        ("`a``b`.*", "`a``b`.`t`", True),
        ("`a.b`.*", "`a+b`.`t`", False),
    ],
)
def test_a_right_on_a_place_covers_what_is_in_it(place: str, item: str, *, does: bool) -> None:
    assert covers(place, item) is does


def test_what_lets_an_account_grant_rights_is_said_as_statements() -> None:
    lacked = [
        privilege("SELECT", "`shop`.`t`"),
        privilege("UPDATE", "`shop`.`t`", "`c`"),
        privilege("GRANT OPTION", "`shop`.*"),
        dynamic("ROLE_ADMIN"),
        role("`r`@`%`"),
    ]
    assert allowing(lacked, ACCOUNT) == [
        "GRANT USAGE ON `shop`.* TO 'x'@'%' WITH GRANT OPTION",
        "GRANT SELECT, UPDATE (`c`) ON `shop`.`t` TO 'x'@'%' WITH GRANT OPTION",
        "GRANT ROLE_ADMIN ON *.* TO 'x'@'%' WITH GRANT OPTION",
        "GRANT `r`@`%` TO 'x'@'%' WITH ADMIN OPTION",
    ]
