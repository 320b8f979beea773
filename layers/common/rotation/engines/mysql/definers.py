"""Which views, routines, triggers and events name an account as their definer?

The definer is a part of the object, and no grant shares it. A user who is not the definer, and has no right to set one,
cannot ALTER such a view, does not see the body of such a routine, and cannot load a dump that names the definer
(https://dev.mysql.com/doc/refman/8.4/en/stored-objects-security.html). And MySQL refuses to create, or to drop, an
account that an object names as its definer.

The server's dictionary lists them. Reading it calls nothing that is in an object.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from rotation.engine import Unshared
from rotation.engines.mysql import catalog
from rotation.engines.mysql.connection import MySQLConnection
from rotation.engines.mysql.names import Account, identifier, literal
from rotation.engines.mysql.rights import GLOBAL
from rotation.redaction import said
from rotation.values import dataclass

DEFINERS: Final = "definers"
"""The word of `EngineKind.unshared_kinds`."""

MOST_NAMED: Final = 5
"""How many objects of a kind, or rights, a sentence names."""

SETTERS: Final = frozenset({("SET_ANY_DEFINER", GLOBAL), ("SET_USER_ID", GLOBAL), ("SUPER", GLOBAL)})
"""The rights to name another definer: of MySQL from 8.2 on, from 8.0 on, and of both servers before."""

READERS: Final = frozenset({("SELECT", GLOBAL), ("SHOW_ROUTINE", GLOBAL)})
"""The rights to read the bodies of routines."""

DICTIONARY: Final[Mapping[str, tuple[str, str, str]]] = {
    "view": ("table_schema", "table_name", "information_schema.views"),
    "routine": ("routine_schema", "routine_name", "information_schema.routines"),
    "trigger": ("trigger_schema", "trigger_name", "information_schema.triggers"),
    "event": ("event_schema", "event_name", "information_schema.events"),
}
"""Where MySQL keeps the objects: schema, name, table. It shows those that the admin has a right on."""


@dataclass(frozen=True)
class Defined:
    """The objects of one kind that name certain accounts as their definer, or the first of them."""

    kind: str
    names: Sequence[str]

    def __str__(self) -> str:
        named = ", ".join(map(said, self.names[:MOST_NAMED]))
        more = " and more" if len(self.names) > MOST_NAMED else ""
        return f"{self.kind}{'s' if len(self.names) > 1 else ''} {named}{more}"


class Definers:
    """The objects of a server, by their definers."""

    setters, readers, dictionary = SETTERS, READERS, DICTIONARY
    column = "definer"
    """The definer, compared letter by letter: names of users differ in case."""

    def __init__(self, connection: MySQLConnection) -> None:
        self._connection = connection

    def objects(self, accounts: Collection[Account]) -> list[Defined]:
        """Return what names one of these accounts as its definer.

        A server with many objects takes its time. What was read before that is old, and forgotten.
        """
        if not accounts:
            return []
        question = (Definers.objects, frozenset(accounts))
        return self._connection.answers.once(question, lambda: self._ask(accounts))

    def _ask(self, accounts: Collection[Account]) -> list[Defined]:
        query = " UNION ALL ".join(self._query(kind, accounts) for kind in self.dictionary)
        names = defaultdict[str, list[str]](list)
        for kind, schema, name in self._connection.execute("looking for objects by their definer", query):
            names[kind].append(f"{identifier(schema)}.{identifier(name)}")
        self._connection.answers.forget()
        return [Defined(kind, names[kind]) for kind in self.dictionary if kind in names]

    def unshared(self, accounts: Collection[Account], other: str) -> list[Unshared]:
        """Return what the owner of these accounts can do with its objects, and the other user of the pair cannot."""
        objects = self.objects(accounts)
        if objects:
            held = frozenset.intersection(*map(self._held, accounts))
            if held & self.setters:
                objects = [one for one in objects if one.kind == "routine" and not held & self.readers]
        if not objects:
            return []
        users = " and ".join(map(str, sorted(accounts)))
        listed = "; ".join(map(str, objects))
        what = (
            f"{listed}: their definer is {users}, so {other} can neither ALTER such a view, nor see the body of such a"
            " routine, nor load a dump that names this definer"
        )
        return [Unshared(DEFINERS, what)]

    def _query(self, kind: str, accounts: Collection[Account]) -> str:
        """Return the query for the objects of a kind.

        Names are converted: the tables have them in several collations, and a union wants one.
        """
        schema, name, table = self.dictionary[kind]
        columns = f"{literal(kind)}, CONVERT({schema} USING utf8mb4), CONVERT({name} USING utf8mb4)"
        definers = ", ".join(literal(str(account)) for account in sorted(accounts))
        return f"(SELECT {columns} FROM {table} WHERE {self.column} IN ({definers}) LIMIT {MOST_NAMED + 1})"  # noqa: S608 - quoted

    def _held(self, account: Account) -> frozenset[tuple[str, str]]:
        return frozenset((right.name, right.item) for right in catalog.rights(self._connection, account))
