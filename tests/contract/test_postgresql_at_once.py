"""What happens if two invocations, or the rotations of two secrets, change the same roles of PostgreSQL at once?"""

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest
from psycopg2 import sql
from psycopg2.sql import SQL, Identifier

from rotation.credential import Credential
from rotation.engines.postgresql.connection import PostgreSQLConnection
from tests.contract.pairs import RecordInMemory, differences, mirror, new_pair, set_secret
from tests.contract.postgresql_kit import alter
from tests.laboratories import INVOICES, deadline
from tests.laboratories.postgresql import OLDER, PostgreSQLLaboratory

pytestmark = pytest.mark.thorough(postgresql=OLDER)  # no version makes a difference here

type Work = Callable[[], None]


@contextmanager
def together(monkeypatch: pytest.MonkeyPatch, *words: str) -> Iterator[None]:
    """Let the first statements of two sessions that have these words be sent at the same time."""
    execute, barrier = PostgreSQLConnection.execute, threading.Barrier(2)
    met: set[int] = set()

    def meet(via: PostgreSQLConnection, operation: str, statement: sql.Composable | str, *more, **others):  # type: ignore[no-untyped-def] # noqa: ANN002, ANN003, ANN202
        if all(word in repr(statement) for word in words) and threading.get_ident() not in met:
            met.add(threading.get_ident())
            barrier.wait(20)
        return execute(via, operation, statement, *more, **others)

    with monkeypatch.context() as patch:
        patch.setattr(PostgreSQLConnection, "execute", meet)
        yield
    assert len(met) == 2


def at_once(*works: Work) -> None:
    """Do all of them at the same time; raises what one of them raises."""
    with ThreadPoolExecutor(len(works)) as threads:
        for future in [threads.submit(work) for work in works]:
            future.result()


def mirroring(postgresql: PostgreSQLLaboratory, user: Credential, other: Credential) -> Work:
    """Return what setSecret does as the admin."""

    def work() -> None:
        with postgresql.engine.connect(postgresql.admin, deadline()) as session:
            session.clone_status(user.username, other.username)
            session.unshared(user.username, other.username)
            session.mirror(user.username, other.username)
            session.set_password(other.username, other.password)

    return work


def test_one_step_twice_at_once_creates_one_clone(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = postgresql.new_user()
    clone = replace(user, username=f"{user.username}_clone", password=secrets.token_urlsafe())
    work = mirroring(postgresql, user, clone)
    with together(monkeypatch, "CREATE ROLE"):
        at_once(work, work)
    assert differences(postgresql, user, clone) == []
    assert postgresql.logs_in(user)


@pytest.mark.parametrize("current", [0, 1], ids=["from the original", "from the clone"])
@pytest.mark.parametrize("secrets_", [1, 2], ids=["one secret", "two secrets"])
def test_a_pair_is_mirrored_twice_at_once(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch, current: int, secrets_: int
) -> None:
    pair, database = new_pair(postgresql), f"other_{secrets.token_hex(4)}"
    user, other = pair[current], pair[1 - current]
    alter(postgresql, "CREATE DATABASE {}", database)
    for place in ("postgres", database):
        table = f"of_{user.username}"
        alter(postgresql, "CREATE TABLE public.{} (id int)", table, database=place)
        alter(postgresql, "ALTER TABLE public.{} OWNER TO {}", table, pair[1].username, database=place)
    alter(postgresql, "ALTER ROLE {} CONNECTION LIMIT 7", user.username)
    alter(postgresql, "ALTER ROLE {} SET work_mem TO '7MB'", user.username)
    alter(postgresql, "ALTER DEFAULT PRIVILEGES FOR ROLE {} GRANT SELECT ON TABLES TO PUBLIC", pair[0].username)
    alter(postgresql, "GRANT SELECT ON public.{} TO {}", INVOICES, pair[1].username)
    another = replace(other, password=other.password if secrets_ == 1 else secrets.token_urlsafe())
    with together(monkeypatch, "COMMENT"):
        at_once(mirroring(postgresql, user, other), mirroring(postgresql, user, another))
    assert postgresql.logs_in(other) or postgresql.logs_in(another)
    assert differences(postgresql, user, other if postgresql.logs_in(other) else another) == []
    alter(postgresql, "DROP DATABASE {}", database)


@pytest.mark.parametrize("current", [0, 1, 2], ids=["new", "from the original", "from the clone"])
def test_one_step_that_is_delivered_twice_at_once_succeeds_in_both(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch, current: int
) -> None:
    """The whole of setSecret, with one record of the pair."""
    user, record = postgresql.new_user(), RecordInMemory()
    for _ in range(1 + current % 2 if current else 0):
        user = set_secret(postgresql, user, pair=record)
    alter(postgresql, "ALTER ROLE {} CONNECTION LIMIT 7", user.username)
    pending: list[Credential] = []
    with together(monkeypatch, "CREATE ROLE" if not current else "COMMENT"):
        at_once(*2 * [lambda: pending.append(set_secret(postgresql, user, pair=record))])
    [works] = [one for one in pending if postgresql.logs_in(one)]
    assert differences(postgresql, user, works) == []
    assert record.record().begun is None
    set_secret(postgresql, works, pair=record)


THINGS = {
    "table": ("'TABLE'", "GRANT SELECT ON public.{thing} TO {clone}"),
    "database": ("'DATABASE'", "GRANT CREATE ON DATABASE {thing} TO {clone}"),
    "role": ("WITH", "GRANT {thing} TO {clone} WITH ADMIN OPTION"),
}


@pytest.mark.parametrize("thing", THINGS)
def test_two_pairs_with_one_admin_are_mirrored_at_once(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch, thing: str
) -> None:
    """Each hands over what its clone may do with the same thing."""
    pairs, name = (new_pair(postgresql), new_pair(postgresql)), f"{thing}_{secrets.token_hex(4)}"
    word, grant = THINGS[thing]
    with postgresql.session(postgresql.admin) as run:
        run(SQL(f"CREATE {thing} {{}} {'(id int)' if thing == 'table' else ''}").format(Identifier(name)))
        for _, clone in pairs:
            run(SQL(grant).format(thing=Identifier(name), clone=Identifier(clone.username)))
    with together(monkeypatch, "GRANT", word, name):
        at_once(*(mirroring(postgresql, clone, user) for user, clone in pairs))
    for user, clone in pairs:
        assert differences(postgresql, clone, user) == []
    alter(postgresql, f"DROP {thing} {{}}", name)


def test_a_user_changes_its_password_twice_at_once(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, password = postgresql.new_user(), secrets.token_urlsafe()

    def change() -> None:
        with postgresql.engine.connect(user, deadline()) as session:
            session.change_own_password(password)

    with together(monkeypatch, "ALTER ROLE", "PASSWORD"):
        at_once(change, change)
    assert postgresql.logs_in(replace(user, password=password))


def test_a_user_changes_its_password_while_an_admin_changes_it(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One secret rotates the original alone, and another one the pair."""
    user, clone = new_pair(postgresql)
    changed = replace(user, password=secrets.token_urlsafe())

    def change() -> None:
        with postgresql.engine.connect(user, deadline()) as session:
            session.change_own_password(changed.password)

    pending = replace(user, password=secrets.token_urlsafe())
    with together(monkeypatch, "ALTER ROLE", "PASSWORD"):
        at_once(change, lambda: mirror(postgresql, clone, pending))
    assert postgresql.logs_in(changed) or postgresql.logs_in(pending)
