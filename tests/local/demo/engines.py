"""Which databases can be had on a laptop?"""

from tests.local.demo.databases import Engine
from tests.local.demo.mysql import MARIADB, MYSQL
from tests.local.demo.postgresql import POSTGRESQL

ENGINES: dict[str, Engine] = {"postgresql": POSTGRESQL, "mysql": MYSQL, "mariadb": MARIADB}
"""By the name that ENGINE has for `make`, and the files in `events/` have."""
