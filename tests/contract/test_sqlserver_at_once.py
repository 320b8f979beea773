"""If a step is delivered twice at the same time on SQL Server, does it end well in both?"""

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest

from rotation.errors import NotPermitted, StatementFailed
from tests.contract.pairs import Pair, RecordInMemory, changed, new_clone, set_secret
from tests.contract.sqlserver_kit import alter, differences, has, mirror, needs_stand_in
from tests.laboratories import INVOICES, deadline, new_password
from tests.laboratories.sqlserver import CONTAINED, DATABASE, SQLServerLaboratory, quoted
from tests.local.stand_ins.sqlserver.backend import Answer, SqlError
from tests.local.stand_ins.sqlserver.permissions import PermissionStatements
from tests.local.stand_ins.sqlserver.server import StandInSession

pytestmark = pytest.mark.engine("sqlserver")


@pytest.fixture
def meet(sqlserver: SQLServerLaboratory, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets two sessions of the driver wait for each other before each batch that begins with a text, once."""
    needs_stand_in(sqlserver)

    def before(beginning: str) -> None:
        barrier, original, waited = threading.Barrier(2), StandInSession.batch, set[StandInSession]()

        def batch(session: StandInSession, text: str) -> Iterator[Answer]:
            if text.startswith(beginning) and session not in waited and session._who.program == "secret-rotation":  # noqa: SLF001
                waited.add(session)
                with suppress(threading.BrokenBarrierError):
                    barrier.wait(5)
            return original(session, text)

        monkeypatch.setattr(StandInSession, "batch", batch)

    return before


def twice(work: Callable[[], object]) -> None:
    """Do it in two threads; raises what either of them raises."""
    with ThreadPoolExecutor() as pool:
        for future in [pool.submit(work) for _ in range(2)]:
            future.result()


@pytest.mark.parametrize("is_contained", [False, True], ids=["login", "contained"])
def test_two_invocations_create_one_clone(
    sqlserver: SQLServerLaboratory, meet: Callable[[str], None], is_contained: bool
) -> None:
    user = sqlserver.new_contained_user() if is_contained else sqlserver.new_user()
    clone = new_clone(user)
    meet("CREATE USER" if is_contained else "CREATE LOGIN")
    twice(lambda: mirror(sqlserver, user, clone))
    assert sqlserver.logs_in(clone)


def test_two_invocations_create_one_user_in_a_database(
    sqlserver: SQLServerLaboratory, pair: Pair, meet: Callable[[str], None]
) -> None:
    user, clone = pair
    name, admin = f"two_{secrets.token_hex(3)}", sqlserver.admin.username
    alter(sqlserver, f"CREATE DATABASE {name}")
    try:
        alter(
            sqlserver,
            f"CREATE USER {admin} FOR LOGIN {admin}",
            f"ALTER ROLE db_owner ADD MEMBER {admin}",
            f"CREATE USER {user.username} FOR LOGIN {user.username}",
            f"ALTER ROLE db_datareader ADD MEMBER {user.username}",
            database=name,
        )
        meet("CREATE USER")
        twice(lambda: mirror(sqlserver, user, clone))
        assert has(sqlserver, clone.username, name) == has(sqlserver, user.username, name)
    finally:
        alter(sqlserver, f"DROP DATABASE {name}")


@pytest.mark.parametrize("is_contained", [False, True], ids=["login", "contained"])
def test_a_step_that_is_delivered_twice_at_once_ends_well_in_both(
    sqlserver: SQLServerLaboratory, meet: Callable[[str], None], is_contained: bool
) -> None:
    """The first rotation of a pair, and the next one, which has something to change, with one record."""
    user = sqlserver.new_contained_user() if is_contained else sqlserver.new_user()
    record, place = RecordInMemory(), CONTAINED if is_contained else DATABASE
    meet("CREATE USER" if is_contained else "CREATE LOGIN")
    first, second = new_password(), new_password()
    twice(lambda: set_secret(sqlserver, user, pair=record, password=first))
    alter(sqlserver, f"GRANT INSERT ON dbo.{INVOICES} TO {user.username}", database=place)
    meet("GRANT")
    twice(lambda: set_secret(sqlserver, user, pair=record, password=second))
    clone = set_secret(sqlserver, user, pair=record)
    assert sqlserver.logs_in(clone)
    assert has(sqlserver, clone.username, place) == has(sqlserver, user.username, place)


def test_two_secrets_that_share_an_admin_and_a_database_are_rotated_at_once(
    sqlserver: SQLServerLaboratory, meet: Callable[[str], None]
) -> None:
    records = {sqlserver.new_user(): RecordInMemory() for _ in range(2)}
    waiting = list(records.items()) * 2

    def rotate() -> None:
        user, record = waiting.pop()
        set_secret(sqlserver, user, pair=record)

    for beginning in ("CREATE LOGIN", "GRANT"):
        meet(beginning)
        twice(rotate)
        for user in records:
            assert differences(sqlserver, user, new_clone(user)) == ""
            alter(sqlserver, f"GRANT INSERT ON dbo.{INVOICES} TO {user.username}", database=DATABASE)


@pytest.mark.parametrize("is_contained", [False, True], ids=["login", "contained"])
def test_two_invocations_change_one_password(
    sqlserver: SQLServerLaboratory, meet: Callable[[str], None], is_contained: bool
) -> None:
    user = sqlserver.new_contained_user() if is_contained else sqlserver.new_user()
    new = changed(user)

    def change() -> None:
        with sqlserver.engine.connect(user, deadline()) as session:
            session.change_own_password(new.password)

    meet("ALTER")
    twice(change)
    assert sqlserver.logs_in(new)


def test_a_password_that_somebody_else_has_changed_is_not_taken_for_ours(
    sqlserver: SQLServerLaboratory, pair: Pair
) -> None:
    user, _ = pair
    with sqlserver.engine.connect(user, deadline()) as session:
        alter(sqlserver, f"ALTER LOGIN {user.username} WITH PASSWORD = {quoted(new_password())}")
        with pytest.raises(NotPermitted, match="15151"):
            session.change_own_password(new_password())


def fails(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Make the server choose a session of the driver as the victim of a deadlock; that ends its transaction."""
    original, left = PermissionStatements.grant, [times]

    def grant(statements: PermissionStatements) -> None:
        if left[0] and statements._statement.is_in_transaction:  # noqa: SLF001
            left[0] -= 1
            raise SqlError(1205, "Transaction was deadlocked on lock resources. Rerun the transaction.", 13)
        original(statements)

    monkeypatch.setattr(PermissionStatements, "grant", grant)


@pytest.mark.parametrize(("times", "error"), [(1, None), (2, None), (3, StatementFailed)])
def test_the_victim_of_a_deadlock_tries_again_a_few_times(
    sqlserver: SQLServerLaboratory,
    pair: Pair,
    monkeypatch: pytest.MonkeyPatch,
    times: int,
    error: type[Exception] | None,
) -> None:
    needs_stand_in(sqlserver)
    user, clone = pair
    alter(sqlserver, f"GRANT SELECT ON dbo.{INVOICES} TO {user.username}", database=DATABASE)
    fails(monkeypatch, times)
    if error:
        with pytest.raises(error, match="1205"):
            mirror(sqlserver, user, clone)
    else:
        mirror(sqlserver, user, clone)
        assert sqlserver.may_read(clone, INVOICES)


@pytest.mark.parametrize("is_contained", [False, True], ids=["login", "contained"])
def test_somebody_elses_account_that_appears_meanwhile_is_not_taken_for_the_clone(
    sqlserver: SQLServerLaboratory, monkeypatch: pytest.MonkeyPatch, is_contained: bool
) -> None:
    needs_stand_in(sqlserver)
    user = sqlserver.new_contained_user() if is_contained else sqlserver.new_user()
    kind, place = ("USER", CONTAINED) if is_contained else ("LOGIN", "master")
    stranger = replace(new_clone(user), password=new_password(), database=place)
    create = f"CREATE {kind} {stranger.username} WITH PASSWORD = {quoted(stranger.password)}"
    original, done = StandInSession.batch, list[str]()

    def batch(session: StandInSession, text: str) -> Iterator[Answer]:
        if text == "BEGIN TRANSACTION" and not done:
            done.append(text)
            alter(sqlserver, create, database=place)
        return original(session, text)

    monkeypatch.setattr(StandInSession, "batch", batch)
    with pytest.raises(StatementFailed, match=r"1502[35]"):
        mirror(sqlserver, user, new_clone(user))
    assert sqlserver.logs_in(stranger)
