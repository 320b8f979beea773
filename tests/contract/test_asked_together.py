"""What if several questions cannot be asked in one statement? Then each is asked alone, and nothing is overlooked.

That an answer counts until the session writes, and no longer, is in test_few_questions and test_attack_looks. That
another delivery can mark a clone while its status is asked is in test_oracle_concurrency.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest

from rotation.engines.oracle import connection as oracle_connection
from rotation.engines.oracle.admin import OracleAdmin
from rotation.engines.oracle.catalog import PRIVILEGES
from tests.contract.oracle_kit import account, name_of
from tests.contract.pairs import admin_for, new_pair
from tests.laboratories import INVOICES, ORDERS, deadline
from tests.laboratories.oracle import OracleLaboratory
from tests.local.stand_ins.db2 import catalog, data
from tests.local.stand_ins.db2.wire import Value
from tests.local.stand_ins.oracle import dictionary
from tests.local.stand_ins.oracle.server import Server
from tests.local.stand_ins.oracle.sql import Reader

if TYPE_CHECKING:
    from tests.laboratories.db2 import Db2Laboratory  # it imports IBM's client, which is for x86_64 only
    from tests.local.stand_ins.oracle.statements import Session


def many_rows(patch: pytest.MonkeyPatch, _: Server) -> None:
    patch.setattr(oracle_connection, "FETCHED_AT_ONCE", 2)


def too_slow(patch: pytest.MonkeyPatch, stand_in: Server) -> None:
    patch.setattr(stand_in.database, "hanging", [" UNION ALL "])
    patch.setattr(oracle_connection, "STATEMENT_SECONDS", 2.0)


def other_types(patch: pytest.MonkeyPatch, stand_in: Server) -> None:
    patch.setattr(stand_in.database, "refuses", {"SELECT '0', ": (12704, "character set mismatch")})


def no_right(patch: pytest.MonkeyPatch, stand_in: Server) -> None:
    patch.setattr(stand_in.database, "refuses", {"SELECT '0', ": (942, "table or view does not exist")})


def other_literals(patch: pytest.MonkeyPatch, written: Callable[[str], str]) -> None:
    """Let the server return a literal that is selected as something else."""
    column_of = dictionary._column  # noqa: SLF001 - of the stand-in

    def column(session: "Session", reader: Reader) -> dictionary.Column:
        found = column_of(session, reader)
        is_literal = found.name.startswith("'")
        return dictionary.Column(found.name, lambda _: written(found.name.strip("'"))) if is_literal else found

    patch.setattr(dictionary, "_column", column)


def with_blanks(patch: pytest.MonkeyPatch, _: Server) -> None:
    """As if it were a CHAR of a length that the server chooses: nothing says which one with CURSOR_SHARING = FORCE."""
    other_literals(patch, lambda text: f"{text:<32}")


def nobodys_rows(patch: pytest.MonkeyPatch, _: Server) -> None:
    other_literals(patch, lambda text: f"-{text}")


@pytest.mark.parametrize("prevent", [many_rows, too_slow, other_types, no_right, with_blanks, nobodys_rows])
def test_what_oracle_cannot_answer_together_is_asked_alone(
    oracle: OracleLaboratory,
    stand_in: Server,
    monkeypatch: pytest.MonkeyPatch,
    prevent: Callable[[pytest.MonkeyPatch, Server], None],
) -> None:
    user, other = new_pair(oracle)
    oracle.allow(user.username, INVOICES)
    oracle.alter(f"ALTER USER {account(other)} QUOTA 10485760 ON users")
    with oracle.engine.connect(admin_for(oracle, user), deadline()) as session:
        found = session.compare(user.username, other.username)
    assert len(found.sentences) == 2
    prevent(monkeypatch, stand_in)
    with oracle.engine.connect(admin_for(oracle, user), deadline()) as session:
        again = session.compare(user.username, other.username)
        assert session.unshared(user.username, other.username) == []
    assert (again.sentences, again.user_state, again.other_state) == (
        found.sentences,
        found.user_state,
        found.other_state,
    )


def test_one_question_to_oracle_is_answered_as_many_are(oracle: OracleLaboratory) -> None:
    user = oracle.new_user()
    oracle.alter(f"GRANT SELECT_CATALOG_ROLE TO {account(user)}")
    with oracle_connection.connect(user, deadline()) as connection:
        admin = OracleAdmin(connection)
        admin.read_ahead("trying", [PRIVILEGES], [name_of(user)])
        rows = admin.read("trying", PRIVILEGES.view, PRIVILEGES.keys, PRIVILEGES.columns, [name_of(user)])
        assert (name_of(user), "CREATE SESSION", "NO") in rows


def test_a_right_that_only_a_view_of_later_versions_shows_is_none_in_earlier_ones(
    db2: "Db2Laboratory", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one of the views, none can be counted in one statement: all of the others are read."""
    user, other = new_pair(db2)
    db2.allow(user.username, INVOICES)
    knows = catalog.is_catalog
    monkeypatch.setattr(data, "is_catalog", lambda schema, name: "MODULEAUTH" not in name and knows(schema, name))
    with db2.engine.connect(admin_for(db2, user), deadline()) as session:
        assert len(session.compare(user.username, other.username).sentences) == 1


def test_names_of_views_that_come_with_blanks_hide_no_right(
    db2: "Db2Laboratory", monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the constants of a UNION ALL were CHAR, which they are with DB2_COMPATIBILITY_VECTOR=100."""
    user, other = new_pair(db2)
    db2.allow(user.username, INVOICES)
    rows_of = data.Data._rows  # noqa: SLF001 - of the stand-in

    def with_blanks(asked: data.Data, text: str, values: Sequence[Value]) -> list[Sequence[Value]]:
        rows = rows_of(asked, text, values)
        return [(f"{row[0]:<40}", *row[1:]) for row in rows] if "COUNT(*) AS AMOUNT" in text else rows

    monkeypatch.setattr(data.Data, "_rows", with_blanks)
    with db2.engine.connect(admin_for(db2, user), deadline()) as session:
        assert len(session.compare(user.username, other.username).sentences) == 1


def test_two_users_without_any_right_of_their_own_are_equal(db2: "Db2Laboratory") -> None:
    """They have what their groups have: so no view has a row of theirs."""
    user, other = new_pair(db2)
    with db2.session() as run:
        for grantee in (f'USER "{one.username.upper()}"' for one in (user, other)):
            run(f"REVOKE CONNECT ON DATABASE FROM {grantee}")
            run(f"REVOKE ROLE ROLE_NULLID_PACKAGES FROM {grantee}")
            run(f"REVOKE SELECT ON TABLE LAB.{ORDERS} FROM {grantee}")  # noqa: S608 - constants, and a quoted name
    with db2.engine.connect(admin_for(db2, user), deadline()) as session:
        assert session.compare(user.username, other.username).sentences == []
        session.mirror(user.username, other.username)
