"""What does a principal of SQL Server have, and which statements give another principal the same?

A *principal* is here a login, or the user of a login in a database. Its rights are read as the catalog keeps them: a
permission has one row for each principal that has granted or denied it, the *grantor*. REVOKE takes back only what the
user who runs it has granted. What others have granted takes AS and their name
(https://learn.microsoft.com/en-us/sql/t-sql/statements/revoke-transact-sql).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rotation.engines.sqlserver import catalog
from rotation.engines.sqlserver.accounts import BY_SERVER, SQLServerAccount
from rotation.engines.sqlserver.rights import (
    STRENGTH,
    Rights,
    RightState,
    SQLServerRight,
    identifier,
    revoke,
    statements,
)
from rotation.errors import Unsupported
from rotation.values import dataclass

CHECKS = frozenset({"CHECK_POLICY", "CHECK_EXPIRATION"})
DBO, DB_OWNER = 1, "db_owner"
"""The id of the user that the owner of a database is, and the role that has the same rights."""
CONNECT = SQLServerRight("", "", "CONNECT")
"""A user has this right from its creation; the owner of the database needs no such right."""
CONNECT_SQL = SQLServerRight("", "", "CONNECT SQL")
"""A login has this right from its creation."""

type Query = Callable[[str], Sequence[Sequence[Any]]]
"""Runs a query and returns its rows."""


@dataclass(frozen=True)
class GivenRight:
    """A right as one grantor has granted or denied it."""

    right: SQLServerRight
    state: RightState
    grantor: str
    """The grantor's name."""
    is_ours: bool
    """Whether the grantor is the user who is logged in."""
    grantee: str = ""
    """Who has it, if it is one that the principal has granted to somebody else."""


@dataclass(frozen=True)
class Principal:
    """A login, or the user that it is in a database."""

    id: int
    name: str
    sid: bytes
    options: Mapping[str, str]
    """Options and values as ALTER LOGIN and ALTER USER take them."""
    roles: frozenset[str] = frozenset()
    given: tuple[GivenRight, ...] = ()
    """What it was granted and denied."""
    passed_on: tuple[GivenRight, ...] = ()
    """What it has granted and denied to others."""
    owned: frozenset[str] = frozenset()
    """What it owns, as statements name it."""
    database_id: int = BY_SERVER
    """The database that authenticates it, if it is a contained user."""

    @property
    def account(self) -> SQLServerAccount:
        """Which account it is."""
        return SQLServerAccount(self.database_id, self.sid)

    @property
    def rights(self) -> Rights:
        """Its rights: if several grantors have given one, the strongest state counts."""
        return _strongest(self.given)


@dataclass(frozen=True)
class PrincipalReader:
    """Reads what principals have: on the server, or in the database that the session is in."""

    run: Query
    operation: str
    of_server: bool

    def read(self, *principals: Principal) -> list[Principal]:
        """Return the same principals with their roles, their rights, and what they own."""
        numbers = {principal.id for principal in principals}
        roles, rows = map(self.run, self.queries(*principals))
        found = list(self._found([row for row in rows if not self._is_left_out(row, numbers)], numbers))
        return [
            replace(
                principal,
                roles=frozenset(role for member, role in roles if member == principal.id),
                given=tuple(
                    given for whose, given, _ in found if whose == principal.id and given and not given.grantee
                ),
                passed_on=tuple(
                    given for whose, given, _ in found if whose == principal.id and given and given.grantee
                ),
                owned=frozenset(securable for whose, _, securable in found if whose == principal.id and securable),
            )
            for principal in principals
        ]

    def queries(self, *principals: Principal) -> tuple[str, str]:
        """Return what `read` asks first: for roles, and for rights."""
        ids = _list({principal.id for principal in principals})
        if self.of_server:
            return catalog.SERVER_ROLES.format(ids=ids), catalog.SERVER_RIGHTS.format(ids=ids)
        return catalog.DATABASE_ROLES.format(ids=ids), catalog.DATABASE_RIGHTS.format(ids=ids)

    def _is_left_out(self, row: Sequence[Any], numbers: set[int]) -> bool:
        """Tell whether a row is about no right to copy.

        The owner of the database owns all that a new database has, and its role db_owner has every right on that. No
        principal can be granted a right on itself, and the rights of a pair on each other are its mark.
        """
        whose, class_id, _, major, *_, grantor, _ = row
        principals_class = catalog.SERVER_PRINCIPAL if self.of_server else catalog.DATABASE_PRINCIPAL
        is_of_dbo = whose == DBO or (whose not in numbers and grantor == DBO)
        return is_of_dbo or (class_id == principals_class and major in numbers)

    def _found(self, rows: Sequence[Sequence[Any]], numbers: set[int]) -> Iterator[tuple[int, GivenRight | None, str]]:
        """Yield for each row a principal's id, and a right that it was given or has given, or else what it owns."""
        names = self._names({(row[1], row[3]) for row in rows})
        columns = self._columns({row[3] for row in rows if row[1] == catalog.OBJECT and row[4]})
        people = self._people({row[0] for row in rows} | {row[7] for row in rows if row[7] is not None})
        for row in rows:
            whose, *_, state, grantor, own_id = row
            right = self._right(row, names, columns)
            if state == catalog.OWNED:
                yield whose, None, right.securable
                continue
            given = GivenRight(right, RightState(state), people[grantor], is_ours=grantor == own_id)
            if whose in numbers:
                yield whose, given, ""
            if grantor in numbers:
                yield grantor, replace(given, grantee=people[whose]), ""

    def _right(
        self, row: Sequence[Any], names: Mapping[tuple[int, int], str], columns: Mapping[tuple[int, int], str]
    ) -> SQLServerRight:
        _, class_id, description, major, minor, permission, *_ = row
        securable = "" if class_id in catalog.WHOLE_CLASSES else names.get((class_id, major))
        column = columns.get((major, minor)) if class_id == catalog.OBJECT and minor else ""
        if securable is None or column is None or not catalog.PERMISSION.fullmatch(permission or ""):
            cause = f"this program does not know a permission that is granted on a {description} (number {major})"
            raise Unsupported(self.operation, cause, "Revoke it, or use the single-user strategy")
        return SQLServerRight(column, securable, permission or "")

    def _names(self, securables: set[tuple[int, int]]) -> dict[tuple[int, int], str]:
        """Return how statements name these securables, by class and number."""
        by_class: dict[int, set[int]] = defaultdict(set)
        for class_id, major in securables:
            by_class[class_id].add(major)
        found = {}
        for class_id, numbers in by_class.items():
            if query := catalog.NAMES.get(class_id):
                for number, keyword, schema, name in self.run(query.format(ids=_list(numbers))):
                    parts = filter(None, (schema, name))
                    found[class_id, number] = f"{keyword}::{'.'.join(map(identifier, parts))}"
        return found

    def _columns(self, objects: set[int]) -> dict[tuple[int, int], str]:
        if not objects:
            return {}
        rows = self.run(catalog.COLUMNS.format(ids=_list(objects)))
        return {(number, column): identifier(name) for number, column, name in rows}

    def _people(self, numbers: set[int]) -> dict[int, str]:
        """Return the names of those who have granted something, or were granted it."""
        if not numbers:
            return {}
        query = catalog.SERVER_NAMES if self.of_server else catalog.DATABASE_NAMES
        return {number: str(name) for number, name in self.run(query.format(ids=_list(numbers)))}


def changes(keyword: str, user: Principal, other: Principal, *, as_ours: bool = False) -> list[str]:
    """Return the statements that make `other` what `user` is, on the server or in one database.

    `keyword` is what ALTER calls them, LOGIN or USER. With `as_ours`, also what the user who is logged in has granted
    is taken back with AS: no page says whether REVOKE without it means its own grants, if it has the right to revoke
    from a role.
    """
    return [
        *_option_changes(keyword, user, other),
        *_role_changes("SERVER ROLE" if keyword == "LOGIN" else "ROLE", user, other),
        *right_changes(rights_to_copy(user, other), other, as_ours=as_ours),
    ]


def lost_by_others(user: Principal, other: Principal) -> list[str]:
    """Return what somebody else would lose, because a grant option of `other` can only be revoked with CASCADE."""
    wanted = rights_to_copy(user, other)
    ending = {given.right for given in other.given if given.state is RightState.GRANTABLE}
    ending -= {right for right, state in wanted.items() if state is RightState.GRANTABLE}
    places = {(right.permission, right.securable) for right in ending}
    return [
        f"{given.right} from {given.grantee}, to whom {other.name} has granted it"
        for given in other.passed_on
        if (given.right.permission, given.right.securable) in places
    ]


def owned_alone(user: Principal | None, other: Principal | None) -> list[str]:
    """Return what `other` owns, or has as the owner of the database, and `user` has not."""
    if not other or (user and DB_OWNER in user.roles):
        return []
    if other.id == DBO:
        return ["the database"]
    missing = _full_rights(other.owned - (user.owned if user else set()))
    return sorted(
        right.securable for right, state in missing.items() if not user or user.rights.get(right) is not state
    )


def _option_changes(keyword: str, user: Principal, other: Principal) -> list[str]:
    """Return the statement that gives `other` the options of `user`, without those of a login that it has already.

    CHECK_POLICY and CHECK_EXPIRATION change each other, so both are given
    (https://learn.microsoft.com/en-us/sql/t-sql/statements/alter-login-transact-sql).
    """
    differing = {option for option, value in user.options.items() if other.options.get(option) != value}
    if not differing:
        return []
    kept = [
        option
        for option in user.options
        if keyword == "LOGIN" and option not in differing and not (option in CHECKS and CHECKS & differing)
    ]
    changed = {option: value for option, value in user.options.items() if option not in kept}
    return [f"ALTER {keyword} {identifier(other.name)} WITH {option_list(changed)}"]


def option_list(options: Mapping[str, str]) -> str:
    """Return options as CREATE and ALTER take them."""
    return ", ".join(f"{option} = {value}" for option, value in options.items())


def _role_changes(keyword: str, user: Principal, other: Principal) -> list[str]:
    name = identifier(other.name)
    return [
        *(f"ALTER {keyword} {identifier(role)} DROP MEMBER {name}" for role in sorted(other.roles - user.roles)),
        *(f"ALTER {keyword} {identifier(role)} ADD MEMBER {name}" for role in sorted(user.roles - other.roles)),
    ]


def right_changes(user_rights: Rights, other: Principal, *, as_ours: bool) -> Iterator[str]:
    """Yield the statements that give `other` these rights and no others; `as_ours` as in `changes`."""
    other_rights, name = other.rights, identifier(other.name)
    differing = [given for given in other.given if user_rights.get(given.right) is not other_rights[given.right]]
    # REVOKE on a column of a table makes an exception from the same right on the table. So both are taken back, and
    # what is wanted of them is given again.
    wholes = {_place(given): given for given in other.given if not given.right.column}
    foreign = [given for given in differing if as_ours or not given.is_ours]
    taken = {wholes.get(_place(given), given) for given in foreign}
    for given in sorted(taken, key=lambda given: (given.right, given.grantor)):
        yield revoke(given.right, given.state, name, identifier(given.grantor))
    places = {_place(given) for given in taken if not given.right.column}
    differing_rights = {given.right for given in other.given if given in differing or _place(given) in places}
    equal = {right: state for right, state in other_rights.items() if right not in differing_rights}
    given_by_us = _strongest(given for given in differing if given.is_ours and not as_ours)
    yield from statements({**equal, **given_by_us}, user_rights, name)


def _place(given: GivenRight) -> tuple[str, str, str]:
    """Return what a right on a table and the same right on its columns, by the same grantor, have in common."""
    return given.right.securable, given.right.permission, given.grantor


def rights_to_copy(user: Principal, other: Principal) -> dict[SQLServerRight, RightState]:
    """Return what `other` is to have: the rights of `user`, and CONTROL of what `user` owns."""
    rights = {**user.rights, **_full_rights(user.owned)}
    if user.id == DBO:
        rights[CONNECT] = RightState.GRANT
    # An owner has every right on what it owns, and cannot be granted one.
    return {
        right: state
        for right, state in rights.items()
        if right.securable not in other.owned or state is RightState.DENY
    }


def _full_rights(securables: Iterable[str]) -> Rights:
    return {SQLServerRight("", securable, "CONTROL"): RightState.GRANTABLE for securable in securables}


def _strongest(found: Iterable[GivenRight]) -> dict[SQLServerRight, RightState]:
    rights: dict[SQLServerRight, RightState] = {}
    for given in found:
        rights[given.right] = max(given.state, rights.get(given.right, given.state), key=STRENGTH.__getitem__)
    return rights


def _list(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
