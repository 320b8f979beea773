"""Does the stand-in for SQL Server forget what it found out about rights, as soon as that may have changed?"""

import pytest

from tests.local.stand_ins.sqlserver.catalog import Catalog
from tests.local.stand_ins.sqlserver.server import StandIn
from tests.local.stand_ins.sqlserver.tables import SERVER, Viewer

LOGIN, PERMISSION = 300, "VIEW SERVER STATE"


@pytest.fixture
def catalog() -> Catalog:
    """With a login that has no right."""
    catalog: Catalog = StandIn("Aa1-of-sa-only")._catalog  # noqa: SLF001 - sessions come over the wire only
    catalog.insert("server_principals", principal_id=LOGIN, name="app", type="S", sid=b"app")
    return catalog


def grant(catalog: Catalog) -> None:
    key = {"class": SERVER, "major_id": 0, "minor_id": 0, "grantee_principal_id": LOGIN}
    catalog.insert("server_permissions", **key, permission_name=PERMISSION, state_desc="GRANT")


def is_allowed(catalog: Catalog) -> bool:
    return catalog.allows_server(Viewer(LOGIN, 0, "master"), PERMISSION)


def test_a_right_that_comes_and_goes(catalog: Catalog) -> None:
    assert not is_allowed(catalog)
    grant(catalog)
    assert is_allowed(catalog)
    catalog.delete("server_permissions", grantee_principal_id=LOGIN)
    assert not is_allowed(catalog)


@pytest.mark.parametrize("back", ["ROLLBACK", "ROLLBACK TO statement"])
def test_a_right_whose_grant_is_rolled_back(catalog: Catalog, back: str) -> None:
    catalog.run("BEGIN")
    catalog.run("SAVEPOINT statement")
    grant(catalog)
    assert is_allowed(catalog)
    catalog.run(back)
    assert not is_allowed(catalog)
