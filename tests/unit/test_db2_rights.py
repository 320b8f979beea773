"""Are the rows of Db2's catalog read right, and are the statements right that make two users alike?"""

from collections.abc import Iterable, Mapping

import pytest

from rotation.engines.db2.access import Access
from rotation.engines.db2.comparison import Db2Comparison, Side
from rotation.engines.db2.rights import VIEWS, Right, Rights, Unreadable, View, changes, identifier, read

USER = '"APP"'

type Row = Mapping[str, object]


def view(name: str) -> View:
    """Return the view of that name."""
    [found] = [view for view in VIEWS if f"SYSCAT.{name} " in view.query]
    return found


def rights(name: str, *rows: Row) -> Rights:
    """Return what rows of a view say of the user."""
    return read(view(name), [{"GRANTOR": "ADMIN", view(name).grantee: "APP", **row} for row in rows], "APP")


def granted(*what: str | Right) -> Rights:
    """Return rights that somebody granted."""
    return Rights(frozenset(right if isinstance(right, Right) else Right(right) for right in what), frozenset())


def statements(have: Rights, want: Rights) -> list[str]:
    """Return what is run, in order."""
    return [change.statement for change in changes(want, have, "APP")]


def sentences(user_rights: Rights, other_rights: Rights) -> list[str]:
    """Return how the two differ."""
    user, other = Side("app", frozenset(), user_rights), Side("clone", frozenset(), other_rights)
    return Db2Comparison(user, other, "DB", lambda: Access(frozenset(), frozenset())).result().sentences


def texts(found: Iterable[Right]) -> set[str]:
    """Return rights as texts."""
    return {str(right) for right in found}


@pytest.mark.parametrize(
    ("name", "row", "expected"),
    [
        ("DBAUTH", {"CONNECTAUTH": "Y", "LOADAUTH": "N"}, {"CONNECT ON DATABASE"}),
        ("DBAUTH", {"DBADMAUTH": "Y"}, {"DBADM WITHOUT DATAACCESS WITHOUT ACCESSCTRL ON DATABASE"}),
        ("DBAUTH", {"LIBRARYADMAUTH": "Y"}, set()),
        ("ROLEAUTH", {"ROLENAME": "R", "ADMIN": "N"}, {'ROLE "R"'}),
        ("ROLEAUTH", {"ROLENAME": "R", "ADMIN": "Y"}, {'ROLE "R" WITH ADMIN OPTION'}),
        ("SCHEMAAUTH", {"SCHEMANAME": "S", "DROPINAUTH": "G"}, {'DROPIN ON SCHEMA "S" WITH GRANT OPTION'}),
        ("TABAUTH", {"TABSCHEMA": 'a"b', "TABNAME": "c.d", "REFAUTH": "Y"}, {'REFERENCES ON TABLE "a""b"."c.d"'}),
        (
            "COLAUTH",
            {"TABSCHEMA": "S", "TABNAME": "T", "COLNAME": "C", "PRIVTYPE": "U", "GRANTABLE": "G"},
            {'UPDATE ("C") ON TABLE "S"."T" WITH GRANT OPTION'},
        ),
        (
            "ROUTINEAUTH",
            {"SCHEMA": "S", "SPECIFICNAME": "N", "ROUTINETYPE": "F", "EXECUTEAUTH": "Y"},
            {'EXECUTE ON SPECIFIC FUNCTION "S"."N"'},
        ),
        (
            "ROUTINEAUTH",
            {"SCHEMA": "S", "SPECIFICNAME": None, "ROUTINETYPE": "P", "EXECUTEAUTH": "G"},
            {'EXECUTE ON PROCEDURE "S".* WITH GRANT OPTION'},
        ),
        (
            "ROUTINEAUTH",
            {
                "SCHEMA": "S",
                "SPECIFICNAME": None,
                "ROUTINETYPE": "M",
                "TYPESCHEMA": "S",
                "TYPENAME": "T",
                "EXECUTEAUTH": "Y",
            },
            {'EXECUTE ON METHOD * FOR "S"."T"'},
        ),
        ("ROUTINEAUTH", {"SCHEMA": "S", "SPECIFICNAME": "N", "ROUTINETYPE": "F", "EXECUTEAUTH": "N"}, set()),
        ("TBSPACEAUTH", {"TBSPACE": "T", "USEAUTH": "G"}, {'USE OF TABLESPACE "T" WITH GRANT OPTION'}),
        ("PASSTHRUAUTH", {"SERVERNAME": "S"}, {'PASSTHRU ON SERVER "S"'}),
        (
            "SECURITYLABELACCESS",
            {"SECPOLICYNAME": "P", "SECLABELNAME": "L", "ACCESSTYPE": "B"},
            {'SECURITY LABEL "P"."L" FOR ALL ACCESS'},
        ),
        (
            "SECURITYPOLICYEXEMPTIONS",
            {"SECPOLICYNAME": "P", "ACCESSRULENAME": "DB2LBACWRITEARRAY", "ACTIONALLOWED": "D"},
            {'EXEMPTION ON RULE DB2LBACWRITEARRAY WRITEDOWN FOR "P"'},
        ),
        (
            "SURROGATEAUTHIDS",
            {"SURROGATEAUTHID": "OTHER", "SURROGATEAUTHIDTYPE": "U"},
            {'SETSESSIONUSER ON USER "OTHER"'},
        ),
        ("SURROGATEAUTHIDS", {"SURROGATEAUTHID": "PUBLIC", "SURROGATEAUTHIDTYPE": "G"}, {"SETSESSIONUSER ON PUBLIC"}),
    ],
)
def test_a_row_is_read_as_what_grant_takes(name: str, row: Row, expected: set[str]) -> None:
    assert texts(rights(name, row).granted) == expected


def test_rows_of_the_other_user_are_its_own() -> None:
    row = {"GRANTOR": "ADMIN", "GRANTEE": "OTHER", "ROLENAME": "R", "ADMIN": "N"}
    assert read(view("ROLEAUTH"), [row], "APP").all == frozenset()


def test_each_view_that_ibm_lists_is_read() -> None:
    listed = {
        *("COLAUTH", "DBAUTH", "INDEXAUTH", "MODULEAUTH", "PACKAGEAUTH", "PASSTHRUAUTH", "ROLEAUTH", "ROUTINEAUTH"),
        *("SCHEMAAUTH", "SEQUENCEAUTH", "SURROGATEAUTHIDS", "TABAUTH", "TBSPACEAUTH", "VARIABLEAUTH", "WORKLOADAUTH"),
    }
    assert all(view(name).query.startswith("SELECT ") for name in listed)


def test_a_right_that_is_not_known_is_not_left_out() -> None:
    with pytest.raises(Unreadable, match=r"TABAUTH\.FLYAUTH"):
        rights("TABAUTH", {"TABSCHEMA": "S", "TABNAME": "T", "FLYAUTH": "G"})
    assert rights("TABAUTH", {"TABSCHEMA": "S", "TABNAME": "T", "FLYAUTH": "N"}).all == frozenset()


def test_several_grantors_are_one_right_and_the_option_of_one_counts() -> None:
    table = {"TABSCHEMA": "S", "TABNAME": "T"}
    found = rights("TABAUTH", {**table, "SELECTAUTH": "Y"}, {**table, "GRANTOR": "BOSS", "SELECTAUTH": "G"})
    assert texts(found.all) == {'SELECT ON TABLE "S"."T" WITH GRANT OPTION'}


def test_what_is_missing_is_granted_and_what_is_too_much_is_revoked_first() -> None:
    want, have = granted("CONNECT ON DATABASE"), granted("LOAD ON DATABASE")
    assert statements(have, want) == [
        f"REVOKE LOAD ON DATABASE FROM USER {USER}",
        f"GRANT CONNECT ON DATABASE TO USER {USER}",
    ]
    assert statements(want, want) == []


def test_an_option_is_taken_by_taking_the_right_and_given_by_granting_it_again() -> None:
    plain, option = Right("SELECT ON X"), Right("SELECT ON X", " WITH GRANT OPTION")
    assert statements(granted(plain), granted(option)) == [f"GRANT SELECT ON X TO USER {USER} WITH GRANT OPTION"]
    assert statements(granted(option), granted(plain)) == [
        f"REVOKE SELECT ON X FROM USER {USER}",  # noqa: S608 - what is expected
        f"GRANT SELECT ON X TO USER {USER}",
    ]


def test_revoke_knows_no_columns_so_what_stays_is_granted_again() -> None:
    table = {"TABSCHEMA": "S", "TABNAME": "T", "PRIVTYPE": "U", "GRANTABLE": "N"}
    have = rights("COLAUTH", {**table, "COLNAME": "A"}, {**table, "COLNAME": "B"})
    want = rights("COLAUTH", {**table, "COLNAME": "A"})
    first, second = statements(have, want)
    assert first == f'REVOKE UPDATE ON TABLE "S"."T" FROM USER {USER}'
    assert second == f'GRANT UPDATE ("A") ON TABLE "S"."T" TO USER {USER}'


def test_routines_are_revoked_with_restrict_which_db2_wants() -> None:
    row = {"SCHEMA": "S", "SPECIFICNAME": "N", "ROUTINETYPE": "F", "EXECUTEAUTH": "G"}
    assert statements(rights("ROUTINEAUTH", row), granted()) == [
        f'REVOKE EXECUTE ON SPECIFIC FUNCTION "S"."N" FROM USER {USER} RESTRICT'
    ]


def test_dbadm_is_granted_alone_and_revoked_by_its_name() -> None:
    dbadm = rights("DBAUTH", {"DBADMAUTH": "Y"})
    assert statements(granted(), dbadm) == [
        f"GRANT DBADM WITHOUT DATAACCESS WITHOUT ACCESSCTRL ON DATABASE TO USER {USER}"
    ]
    assert statements(dbadm, granted()) == [f"REVOKE DBADM ON DATABASE FROM USER {USER}"]


def test_control_comes_first_because_it_brings_others() -> None:
    table = {"TABSCHEMA": "S", "TABNAME": "T", "CONTROLAUTH": "Y", "ALTERAUTH": "G"}
    assert statements(granted(), rights("TABAUTH", table)) == [
        f'GRANT CONTROL ON TABLE "S"."T" TO USER {USER}',
        f'GRANT ALTER ON TABLE "S"."T" TO USER {USER} WITH GRANT OPTION',
    ]


def test_what_an_owner_has_is_given_to_the_other_and_never_taken_from_the_owner() -> None:
    row = {"GRANTOR": "SYSIBM", "TABSCHEMA": "S", "TABNAME": "T", "CONTROLAUTH": "Y"}
    owned = rights("TABAUTH", row)
    assert texts(owned.all) == {'CONTROL ON TABLE "S"."T"'}
    assert statements(granted(), owned) == [f'GRANT CONTROL ON TABLE "S"."T" TO USER {USER}']
    assert statements(owned, granted()) == []
    assert sentences(granted(), owned) == []
    assert sentences(owned, granted()) == ['clone lacks CONTROL ON TABLE "S"."T"']


def test_differences_name_both_sides() -> None:
    assert sentences(granted("B"), granted("A")) == ["clone lacks B", "clone has A, app has not"]


def test_identifiers_are_quoted() -> None:
    assert identifier('a"; DROP') == '"a""; DROP"'
