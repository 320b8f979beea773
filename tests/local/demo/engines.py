"""Which databases can the demo run on a laptop?"""

from tests.local.demo import DemoError
from tests.local.demo.databases import Engine
from tests.local.demo.mysql import MARIADB, MYSQL
from tests.local.demo.postgresql import POSTGRESQL
from tests.local.demo.sqlserver import SQLSERVER
from tests.local.servers.fetch import UNAVAILABLE, fetch_newest

ENGINES: dict[str, Engine] = {"postgresql": POSTGRESQL, "mysql": MYSQL, "mariadb": MARIADB, "sqlserver": SQLSERVER}
"""By their names in `make … ENGINE=`."""


def engine_named(name: str) -> Engine:
    """Return the engine with this name. Raises DemoError if there is none."""
    if name not in ENGINES:
        raise DemoError(f"there is no engine {name} here. Name one of {', '.join(ENGINES)}")
    return ENGINES[name]


def fetch_server(name: str) -> None:
    """Install the server of an engine on this machine, before anything waits for it. Raises DemoError."""
    try:
        fetch_newest(name)
    except UNAVAILABLE as error:
        instead = "" if name == "postgresql" else " `make demo` alone, with PostgreSQL, needs nothing of Debian."
        raise DemoError(f"{error}{instead}") from error
