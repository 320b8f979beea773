"""Which rights on indexes does Db2 pass on? Not those on the indexes that the system makes itself."""

import pytest

from tests.contract.db2_kit import inside, inside_session
from tests.laboratories import deadline
from tests.laboratories.db2 import Db2Laboratory, quoted
from tests.local.stand_ins.db2.database import Instance

pytestmark = pytest.mark.engine("db2")


def test_who_owns_a_table_with_an_unnamed_key_can_be_half_of_a_pair(
    laboratory: Db2Laboratory, instance: Instance
) -> None:
    user = laboratory.new_user()
    clone, table = f"{user.username}_clone", f"T_{user.username.upper()}"
    inside(instance, f"GRANT CREATEIN ON SCHEMA LAB TO USER {quoted(user.username.upper())}")
    with laboratory.session(user) as run:
        run(f"CREATE TABLE LAB.{table} (ID INTEGER NOT NULL PRIMARY KEY)")
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        session.mirror(user.username, clone)
        assert session.compare(user.username, clone).sentences == []
        assert indexes_of(instance, clone) == []
        assert [place for place, _ in indexes_of(instance, user.username)] == ["SYSIBM"]
        session.mirror(clone, user.username)
        assert session.compare(clone, user.username).sentences == []


def test_a_right_on_a_system_made_index_is_never_taken(laboratory: Db2Laboratory, instance: Instance) -> None:
    user = laboratory.new_user()
    clone = f"{user.username}_clone"
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        session.mirror(user.username, clone)
        with inside_session(instance) as owner:
            owner.register("INDEX", "SYSIBM", f"SQL_{user.username}")
            owner.store.execute(
                'INSERT INTO "SYSCAT.INDEXAUTH" (GRANTOR, GRANTEE, GRANTEETYPE, INDSCHEMA, INDNAME, CONTROLAUTH)'
                " VALUES ('BOSS', ?, 'U', 'SYSIBM', ?, 'Y')",
                (clone.upper(), f"SQL_{user.username}"),
            )
        assert session.compare(user.username, clone).sentences == []
        session.mirror(user.username, clone)
    assert len(indexes_of(instance, clone)) == 1


def indexes_of(instance: Instance, username: str) -> list[tuple[str, str]]:
    """Return the indexes on which a user has CONTROL."""
    with inside_session(instance) as session:
        query = 'SELECT INDSCHEMA, INDNAME FROM "SYSCAT.INDEXAUTH" WHERE GRANTEE = ?'
        return session.store.execute(query, (username.upper(),)).fetchall()
