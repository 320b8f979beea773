"""Which views, routines, triggers and events of MariaDB name an account as their definer?

See `rotation.engines.mysql.definers`. Routines and events are rows of tables. For views and triggers the server reads
their files, and prepares nothing.
"""

from collections.abc import Mapping
from typing import Final

from rotation.engines.mysql import definers
from rotation.engines.mysql.rights import ALL, GLOBAL

DICTIONARY: Final[Mapping[str, tuple[str, str, str]]] = {
    **definers.DICTIONARY,
    "routine": ("db", "name", "mysql.proc"),
    "event": ("db", "name", "mysql.event"),
}

SETTERS: Final = frozenset({("SET USER", GLOBAL), (ALL, GLOBAL)})
"""The rights to name another definer. SUPER is not enough any more from 11.0 on."""

READERS: Final = frozenset({
    *(("SELECT", item) for item in (GLOBAL, "`mysql`.*", "`mysql`.`proc`")),
    ("SHOW CREATE ROUTINE", GLOBAL),
    (ALL, GLOBAL),
})  # fmt: skip
"""The rights to read the bodies of routines."""


class MariaDBDefiners(definers.Definers):
    """The objects of a MariaDB server, by their definers."""

    setters, readers, dictionary = SETTERS, READERS, DICTIONARY
    column = "BINARY definer"
