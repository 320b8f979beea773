"""What does a principal of SQL Server have, and which statements give another one the same?

A *principal* is here a login, or the user that it is in a database. What it has is read as the catalog keeps it: a
permission once for each principal that has granted or denied it, the *grantor*. REVOKE takes back what the one who
says it has granted. What others have granted goes with AS and their name only
(https://learn.microsoft.com/en-us/sql/t-sql/statements/revoke-transact-sql).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rotation.engines.sqlserver import catalog
from rotation.engines.sqlserver.accounts import BY_SERVER, Account
from rotation.engines.sqlserver.rights import STRENGTH, Right, Rights, State, name, revoke, statements
from rotation.errors import Unsupported

DBO, DB_OWNER = 1, "db_owner"
"""The id of the user that the owner of a database is, and the role that has the same rights."""
CONNECT = Right("", "", "CONNECT")
"""What a user has when it is created, and the owner of the database without it."""

type Query = Callable[[str], Sequence[Sequence[Any]]]
"""Runs a query."""


@dataclass(frozen=True)
class Given:
    """A permission, as one has granted or denied it."""

    right: Right
    state: State
    grantor: str
    """The name of who did it; empty if that is the one who asks."""


@dataclass(frozen=True)
class Principal:
    """A login, or the user that it is in a database."""

    id: int
    name: str
    sid: bytes
    options: Mapping[str, str]
    """Under the words of ALTER LOGIN and ALTER USER, as these take them."""
    roles: frozenset[str] = frozenset()
    given: tuple[Given, ...] = ()
    owned: frozenset[str] = frozenset()
    """What belongs to it, as statements name it."""
    has_credential: bool = False
    """Whether it is somebody else, too, outside of the server."""
    let_in_by: int = BY_SERVER
    """The id of its database, of a contained user."""

    @property
    def account(self) -> Account:
        """Which account it is."""
        return Account(self.let_in_by, self.sid)

    @property
    def rights(self) -> Rights:
        """Its permissions: of what several have granted or denied, the strongest counts."""
        return _strongest(self.given)


@dataclass(frozen=True)
class Reader:
    """Reads what principals have: of the server, or in the database that the session is in."""

    run: Query
    operation: str
    of_server: bool

    def read(self, *principals: Principal) -> list[Principal]:
        """Return the same with their roles and permissions, and what they own."""
        numbers = {principal.id for principal in principals}
        ids = _list(numbers)
        roles = self.run((catalog.SERVER_ROLES if self.of_server else catalog.DATABASE_ROLES).format(ids=ids))
        rows = self.run((catalog.SERVER_RIGHTS if self.of_server else catalog.DATABASE_RIGHTS).format(ids=ids))
        themselves = catalog.SERVER_PRINCIPAL if self.of_server else catalog.DATABASE_PRINCIPAL
        # The owner of the database owns what comes with it, and is in the role db_owner, which may do all with it. On
        # itself, nobody can be granted anything; on each other, a pair has its mark.
        rows = [row for row in rows if row[0] != DBO and not (row[1] == themselves and row[3] in numbers)]
        found = list(self._found(rows))
        return [
            replace(
                principal,
                roles=frozenset(role for member, role in roles if member == principal.id),
                given=tuple(given for whose, given, _ in found if whose == principal.id and given),
                owned=frozenset(thing for whose, _, thing in found if whose == principal.id and thing),
            )
            for principal in principals
        ]

    def _found(self, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[int, Given | None, str]]:
        """Yield of each row whose it is, and what is given, or else what is owned."""
        names = self._names({(row[1], row[3]) for row in rows})
        columns = self._columns({row[3] for row in rows if row[1] == catalog.OBJECT and row[4]})
        grantors = self._grantors({row[7] for row in rows} - {None})
        for row in rows:
            whose, *_, state, grantor = row
            right = self._right(row, names, columns)
            if state == catalog.OWNED:
                yield whose, None, right.on
            else:
                yield whose, Given(right, State(state), grantors[grantor] if grantor else ""), ""

    def _right(
        self, row: Sequence[Any], names: Mapping[tuple[int, int], str], columns: Mapping[tuple[int, int], str]
    ) -> Right:
        _, sort, description, major, minor, permission, *_ = row
        on = "" if sort in catalog.WHOLE else names.get((sort, major))
        column = columns.get((major, minor)) if sort == catalog.OBJECT and minor else ""
        if on is None or column is None or not catalog.PERMISSION.fullmatch(permission or ""):
            cause = f"a permission on a {description} (number {major}) is granted that is not known here"
            raise Unsupported(self.operation, cause, "Revoke it, or use the single-user strategy")
        return Right(column, on, permission or "")

    def _names(self, things: set[tuple[int, int]]) -> dict[tuple[int, int], str]:
        """Return what statements call these things, by class and number."""
        by_class: dict[int, set[int]] = defaultdict(set)
        for sort, major in things:
            by_class[sort].add(major)
        found = {}
        for sort, numbers in by_class.items():
            if query := catalog.NAMES.get(sort):
                for number, keyword, schema, its_name in self.run(query.format(ids=_list(numbers))):
                    parts = filter(None, (schema, its_name))
                    found[sort, number] = f"{keyword}::{'.'.join(map(name, parts))}"
        return found

    def _columns(self, objects: set[int]) -> dict[tuple[int, int], str]:
        if not objects:
            return {}
        rows = self.run(catalog.COLUMNS.format(ids=_list(objects)))
        return {(number, column): name(its_name) for number, column, its_name in rows}

    def _grantors(self, numbers: set[int]) -> dict[int, str]:
        if not numbers:
            return {}
        query = catalog.SERVER_NAMES if self.of_server else catalog.DATABASE_NAMES
        return {number: str(its_name) for number, its_name in self.run(query.format(ids=_list(numbers)))}


def changes(kind: str, user: Principal, other: Principal) -> list[str]:
    """Return the statements that make the other one what the current one is, on the server or in one database.

    `kind` is what ALTER calls them, LOGIN or USER.
    """
    options = [] if user.options == other.options else [f"ALTER {kind} {name(other.name)} WITH {listed(user.options)}"]
    return [
        *options,
        *_role_changes("SERVER ROLE" if kind == "LOGIN" else "ROLE", user, other),
        *_right_changes(user, other),
    ]


def owned_alone(user: Principal | None, other: Principal | None) -> list[str]:
    """Return what the other one owns, or has as the owner of the database, and the current one has not."""
    if not other or (user and DB_OWNER in user.roles):
        return []
    if other.id == DBO:
        return ["the database"]
    full = {Right("", thing, "CONTROL"): State.GRANTABLE for thing in other.owned - (user.owned if user else set())}
    return sorted(right.on for right, state in full.items() if not user or user.rights.get(right) is not state)


def listed(options: Mapping[str, str]) -> str:
    """Return options as CREATE and ALTER take them."""
    return ", ".join(f"{option} = {value}" for option, value in options.items())


def _role_changes(kind: str, user: Principal, other: Principal) -> list[str]:
    return [
        *(f"ALTER {kind} {name(role)} DROP MEMBER {name(other.name)}" for role in sorted(other.roles - user.roles)),
        *(f"ALTER {kind} {name(role)} ADD MEMBER {name(other.name)}" for role in sorted(user.roles - other.roles)),
    ]


def _right_changes(user: Principal, other: Principal) -> Iterator[str]:
    wanted = {**user.rights, **{Right("", thing, "CONTROL"): State.GRANTABLE for thing in user.owned}}
    if user.id == DBO:
        wanted[CONNECT] = State.GRANT
    # Who owns a thing may do everything with it, and can be granted nothing on it.
    wanted = {right: state for right, state in wanted.items() if right.on not in other.owned or state is State.DENY}
    have = other.rights
    differing = [given for given in other.given if wanted.get(given.right) is not have[given.right]]
    for given in sorted(differing, key=lambda given: (given.right, given.grantor)):
        if given.grantor:
            yield revoke(given.right, given.state, name(other.name), name(given.grantor))
    left = {right: state for right, state in have.items() if right not in {given.right for given in differing}}
    ours = _strongest(given for given in differing if not given.grantor)
    yield from statements({**left, **ours}, wanted, name(other.name))


def _strongest(found: Iterable[Given]) -> dict[Right, State]:
    rights: dict[Right, State] = {}
    for given in found:
        rights[given.right] = max(given.state, rights.get(given.right, given.state), key=STRENGTH.__getitem__)
    return rights


def _list(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
