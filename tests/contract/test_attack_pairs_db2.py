"""What can an administrator of Db2 do to a pair, that a rotation must not lose or undo?"""

from dataclasses import replace

import pytest

from rotation.errors import Unsupported
from tests.contract.db2_kit import inside_session
from tests.contract.db2_turns import Turns, give, take
from tests.contract.pairs import set_secret
from tests.contract.test_db2_rights import prepare_objects
from tests.laboratories.db2 import Db2Laboratory
from tests.local.stand_ins.db2.database import Instance

pytestmark = pytest.mark.engine("db2")

SELECT = "SELECT ON TABLE LAB.LAB_INVOICES"


@pytest.fixture
def turns(laboratory: Db2Laboratory, instance: Instance) -> Turns:
    """A pair without TLS, which has rights on a table and a role; its clone is current."""
    laboratory = replace(laboratory, admin=replace(laboratory.admin, tls=False))
    turns = Turns(laboratory, instance, laboratory.new_user())
    prepare_objects(instance)
    for what in (f"{SELECT} … WITH GRANT OPTION", "ROLE CLERKS"):
        give(turns, what, turns.current.username)
    turns.rotate()
    return turns


def depend(instance: Instance, owner: str, kind: str, base: str = "LAB_INVOICES") -> str:
    """Record a view or a trigger of this owner on a table of LAB."""
    name = f"{kind}_OF_{owner}".upper()
    with inside_session(instance) as session:
        run = session.store.execute
        if kind == "TRIGGER":
            run("INSERT INTO \"SYSCAT.TRIGGERS\" VALUES ('LAB', ?, ?, 'Y')", (name, owner.upper()))
            run("INSERT INTO \"SYSCAT.TRIGDEP\" VALUES ('LAB', ?, 'T', 'LAB', ?)", (name, base))
        else:
            row = (name, owner.upper(), base)
            run("INSERT INTO \"SYSCAT.TABDEP\" VALUES ('LAB', ?, 'V', ?, 'T', 'LAB', ?)", row)
        session.commit()
    return name


@pytest.mark.parametrize("kind", ["VIEW", "TRIGGER"])
@pytest.mark.parametrize("lost", ["the right", "the option"])
def test_no_view_or_trigger_becomes_inoperative(turns: Turns, instance: Instance, kind: str, lost: str) -> None:
    """It was created while its owner was current, and all use it: a REVOKE from the owner would end it."""
    name = depend(instance, turns.other, kind)
    take(turns, SELECT, turns.current.username)
    if lost == "the option":
        give(turns, SELECT, turns.current.username)
    before = turns.all_held()
    with pytest.raises(Unsupported, match=f'{turns.other} owns {kind} "LAB"."{name}".*TRANSFER OWNERSHIP OF {kind}'):
        set_secret(turns.laboratory, turns.current, *turns.earlier, pair=turns.record)
    assert turns.all_held() == before


def test_a_role_that_a_view_needs_is_not_revoked(turns: Turns, instance: Instance) -> None:
    depend(instance, turns.other, "VIEW", "OF_CLERKS")
    take(turns, "ROLE CLERKS", turns.current.username)
    with pytest.raises(Unsupported, match="TRANSFER OWNERSHIP OF VIEW"):
        set_secret(turns.laboratory, turns.current, *turns.earlier, pair=turns.record)


def test_a_view_that_needs_something_else_stops_nothing(turns: Turns, instance: Instance) -> None:
    depend(instance, turns.other, "VIEW", "LAB_INVOICES")
    take(turns, "ROLE CLERKS", turns.current.username)
    turns.rotate()
