"""Which views, routines, triggers and events of MariaDB name an account as their definer?

See `rotation.engines.mysql.definers`. Routines and events are rows of tables. For views and triggers the server reads
their files, and prepares nothing.
"""

from collections.abc import Mapping
from typing import Final

from rotation.engines.mysql import definers

DICTIONARY: Final[Mapping[str, str]] = {
    **definers.DICTIONARY,
    "routine": "SELECT db, name FROM mysql.proc",
    "event": "SELECT db, name FROM mysql.event",
}


class MariaDBDefiners(definers.Definers):
    """The objects of a MariaDB server, by their definers."""

    dictionary = DICTIONARY
    column = "BINARY definer"
