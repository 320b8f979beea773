"""Which pairs of PostgreSQL did somebody who attacked them bring to a stop?"""

from dataclasses import replace

import pytest
from psycopg2.sql import SQL, Identifier

from tests.contract.test_postgresql_one_sided import Rotating
from tests.laboratories.postgresql import OLDER, PostgreSQLLaboratory

pytestmark = pytest.mark.thorough(postgresql=OLDER)  # the contract runs on all versions


@pytest.fixture
def rotating(postgresql: PostgreSQLLaboratory) -> Rotating:
    """A pair that was rotated once: the clone is current."""
    user = postgresql.new_user()
    rotating = Rotating(postgresql, user, replace(user, username=f"{user.username}_clone"))
    rotating.rotate()
    return rotating


@pytest.mark.parametrize("written", ["", 'Foo, "Bar ""x", $user'], ids=["empty", "without quotes"])
def test_a_list_that_was_set_from_current_follows_as_it_is_meant(rotating: Rotating, written: str) -> None:
    """SET … FROM CURRENT stores a list as it was written."""
    with rotating.laboratory.session() as run:
        run("CREATE SCHEMA IF NOT EXISTS foo")
        run("GRANT USAGE ON SCHEMA foo TO PUBLIC")
        run("SELECT set_config('search_path', %s, false)", written)
        run(SQL("ALTER ROLE {} SET search_path FROM CURRENT").format(Identifier(rotating.current.username)))
    for _ in range(2):
        with rotating.laboratory.session(rotating.current) as run:
            assert run("SELECT current_schemas(false)") == [(["foo"] if written else [],)]
        rotating.rotate()


@pytest.mark.parametrize("statement", ["change_other", "change_user"])
def test_the_option_of_a_default_privilege_is_one_difference(rotating: Rotating, statement: str) -> None:
    default = "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA public"
    grant, revoke = "GRANT SELECT ON TABLES TO {}", "REVOKE GRANT OPTION FOR SELECT ON TABLES FROM {}"
    for change in (f"{grant} WITH GRANT OPTION", revoke):
        for role in (rotating.original, rotating.clone):
            rotating.alter(f"{default} {grant}{'' if 'WITH' in change else ' WITH GRANT OPTION'}", role, role)
        assert rotating.compare().sentences == []
        rotating.alter(f"{default} {change}", rotating.clone, rotating.clone)
        comparison = rotating.is_refused()
        assert len(comparison.differences) == 1
        rotating.run(comparison, statement)
        assert rotating.compare().sentences == []
