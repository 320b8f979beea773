"""What can an administrator of Oracle do to a pair, that a rotation must not lose or undo?"""

import pytest

from rotation.errors import Unsupported
from tests.contract.oracle_kit import account, name_of, paste, unshared
from tests.contract.pairs import Pair, RecordInMemory, set_secret
from tests.contract.test_oracle_one_sided import after_each_change, alter, compared, definitions, refused, rotated
from tests.laboratories import deadline
from tests.laboratories.oracle import OracleLaboratory
from tests.local.stand_ins.oracle.server import Server

pytestmark = pytest.mark.engine("oracle")

QUOTA = "ALTER USER {} QUOTA 10485760 ON users"
UNLIMITED = {
    "revoked": (["GRANT UNLIMITED TABLESPACE TO {}", QUOTA], ["REVOKE UNLIMITED TABLESPACE FROM {}", QUOTA]),
    "stays without DBA": (
        ["GRANT DBA TO {}", QUOTA],
        ["REVOKE DBA FROM {}", "GRANT UNLIMITED TABLESPACE TO {}", QUOTA],
    ),
    "comes with DBA": ([QUOTA], ["GRANT DBA TO {}"]),
    "is not wanted with DBA": ([QUOTA], ["GRANT DBA TO {}", "REVOKE UNLIMITED TABLESPACE FROM {}", QUOTA]),
}
"""With UNLIMITED TABLESPACE all quotas go, and it comes and goes with DBA: what a user has, and what changes then."""


@pytest.mark.parametrize("kind", UNLIMITED)
def test_quotas_outlast_unlimited_tablespace(oracle: OracleLaboratory, things: str, turn: Pair, kind: str) -> None:
    current, other = turn
    record = RecordInMemory()
    for statements in UNLIMITED[kind]:
        alter(oracle, things, current, statements)
        if statements is UNLIMITED[kind][0]:
            alter(oracle, things, other, statements)
        other = rotated(oracle, current, other, record)
        current, other = other, current


@pytest.mark.parametrize("is_kept", [True, False])
@pytest.mark.parametrize("kind", UNLIMITED)
def test_statements_about_unlimited_tablespace_leave_quotas(
    oracle: OracleLaboratory, things: str, pair: Pair, kind: str, *, is_kept: bool
) -> None:
    current, other = pair
    first, then = UNLIMITED[kind]
    record = RecordInMemory()
    for one in (current, other):
        alter(oracle, things, one, first)
    other = rotated(oracle, current, other, record)
    alter(oracle, things, other, then)
    before = definitions(oracle, current, other)
    for difference in refused(oracle, current, other, record).differences:
        paste(oracle, difference.change_user if is_kept else difference.change_other)
    assert definitions(oracle, current, other) == [before[is_kept]] * 2
    rotated(oracle, current, other, record)
    assert compared(oracle, current, other).differences == []


@pytest.mark.parametrize("kind", UNLIMITED)
def test_wherever_it_is_cut_off_the_next_rotation_goes_on(
    oracle: OracleLaboratory, things: str, pair: Pair, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    current, other = pair
    first, then = UNLIMITED[kind]
    for one in pair:
        alter(oracle, things, one, first)
    alter(oracle, things, current, then)
    left: list[str] = []
    with (
        oracle.engine.connect(oracle.admin, deadline()) as looking,
        oracle.engine.connect(oracle.admin, deadline()) as session,
    ):
        before = session.compare(current.username, other.username)
        after_each_change(
            monkeypatch, lambda _: left.extend(looking.compare(current.username, other.username).sentences)
        )
        session.mirror(current.username, other.username)
    assert set(left) <= {*before.sentences, *before.passing}
    assert compared(oracle, current, other).sentences == []


def test_what_went_on_from_a_third_is_not_taken_from_a_fourth(
    oracle: OracleLaboratory, things: str, pair: Pair
) -> None:
    """The third has the right from its owner as well, but without the option: the fourth would lose it."""
    current, other = pair
    third, fourth, record = oracle.new_user(), oracle.new_user(), RecordInMemory()
    select = f"GRANT SELECT ON {things}.parts TO"
    oracle.alter(*(f"{select} {account(one)} WITH GRANT OPTION" for one in pair), f"{select} {account(third)}")
    other = rotated(oracle, current, other, record)
    for one, grantee, option in ((other, third, " WITH GRANT OPTION"), (third, fourth, "")):
        with oracle.session(one) as run:
            run(f"{select} {account(grantee)}{option}")
    oracle.alter(f"REVOKE SELECT ON {things}.parts FROM {account(current)}")  # noqa: S608 - made-up names
    with pytest.raises(Unsupported, match=f"{name_of(third)} would lose.* WITH GRANT OPTION"):
        set_secret(oracle, current, other, pair=record)
    assert oracle.may_read(fourth, f"{things}.parts")


@pytest.mark.parametrize("view", ["REDACTION_POLICIES", "REDACTION_EXPRESSIONS"])
def test_a_redaction_that_depends_on_the_name_is_not_shared(
    oracle: OracleLaboratory, stand_in: Server, pair: Pair, view: str
) -> None:
    """The other one would read stars in place of numbers of cards."""
    user, clone = pair

    def row(condition: str) -> dict[str, str | int | None]:
        expression = f"SYS_CONTEXT('USERENV','SESSION_USER') NOT IN ({condition})"
        return {"OBJECT_OWNER": "SHOP", "OBJECT_NAME": "CARDS", "EXPRESSION": expression, "ENABLE": "YES    "}

    shown = stand_in.database.named[view]
    shown[:] = [row(f"'{name_of(user)}', '{name_of(clone)}'")]
    assert unshared(oracle, user, clone) == []
    shown[:] = [row(f"'{name_of(user)}'")]
    [lost] = unshared(oracle, user, clone)
    assert (lost.kind, lost.what.partition(": ")[2]) == ("redaction policies", "SHOP.CARDS")
    assert lost.kind in oracle.engine.kind.unshared_kinds
    assert unshared(oracle, clone, user) == []
    if view == "REDACTION_POLICIES":
        shown[:] = [{**shown[0], "ENABLE": "NO     "}]
        assert unshared(oracle, user, clone) == []
    shown.clear()
