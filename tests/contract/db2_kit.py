"""What do the contract tests of Db2 do alike, besides `tests.contract.pairs`?"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.local.stand_ins.db2 import server as db2_server
from tests.local.stand_ins.db2.database import Instance
from tests.local.stand_ins.db2.session import Session as Inside


@contextmanager
def inside_session(instance: Instance) -> Iterator[Inside]:
    """Be the instance's owner, who may do everything."""
    database = instance.databases[db2_server.DATABASE]
    with database.open() as store:
        yield Inside(instance, database, "RDSDB", store)


def inside(instance: Instance, statement: str) -> None:
    """Run a statement as the instance's owner."""
    with inside_session(instance) as session:
        session.prepare(statement).run(())
        session.commit()
