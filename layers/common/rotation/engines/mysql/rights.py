"""Which rights does SHOW GRANTS list, and which statements make the rights of one account those of another?

The rows are read token by token, by the grammar that the servers print: names are in backticks and can hold anything,
also ` TO ` and ` ON `. Nothing is split at words. Pure: rows to rights, rights to statements.

    GRANT privilege [(column, …)], … ON object TO account [WITH GRANT OPTION]
    GRANT role, … TO account [WITH ADMIN OPTION]
    REVOKE privilege, … ON database.* FROM account            a restriction (MySQL's partial_revokes)
    SET DEFAULT ROLE role FOR account                         (MariaDB)
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from itertools import islice

from rotation.values import dataclass

TOKEN = re.compile(
    r"\s*(?P<name>`(?:[^`]|``)*`)|\s*(?P<text>'(?:[^'\\]|\\.|'')*')|\s*(?P<word>[A-Za-z_*][\w*.]*)|\s*(?P<mark>[^\s])"
)

MOST_RIGHTS = 150_000
"""How many rights an account can have at most. They take 80 MB, and were chosen for a function of 256 MB; 5,000 tables
with all privileges are 60,000 rights."""

GLOBAL = "*.*"
DATABASE = re.compile(r"`((?:[^`]|``)*)`\.")
PIECES = re.compile(r"\\?.", re.DOTALL)
"""The letters of a pattern of databases, one of which can have a backslash before it."""
CREATE, USAGE, GRANT_OPTION, ALL = "CREATE", "USAGE", "GRANT OPTION", "ALL PRIVILEGES"

ROUTINES = ("PROCEDURE", "FUNCTION", "PACKAGE BODY", "PACKAGE", "LIBRARY")


class RightKind(StrEnum):
    """The kind of a right: each has its own forms of GRANT and REVOKE."""

    PRIVILEGE = "privilege"
    DYNAMIC = "dynamic privilege"
    ROLE = "role"
    RESTRICTION = "restriction"
    DEFAULT_ROLE = "default role"


@dataclass(frozen=True, order=True)
class Right:
    """One right of an account."""

    kind: RightKind
    name: str
    """The privilege, in the server's words, or the role, quoted."""
    item: str = ""
    """The object as the server prints it: "*.*", "`shop`.`t`", "PROCEDURE `shop`.`p`"."""
    column: str = ""
    """The column, quoted, if the right is for one."""
    grantable: bool = False
    """For roles and dynamic privileges. On objects, GRANT OPTION is a right of its own."""

    @property
    def is_forgotten(self) -> bool:
        """Whether MariaDB (11.3 and later) forgets it at each other change of the account's rights on the same routine.

        Its tables do not hold this right on a routine.
        """
        return self.name == "SHOW CREATE ROUTINE" and self.item.startswith(ROUTINES)

    def __str__(self) -> str:
        column = f" ({self.column})" if self.column else ""
        place = f" on {self.item}" if self.item else ""
        option = " with the right to grant it" if self.grantable else ""
        return f"{self.kind} {self.name}{column}{place}{option}"


@dataclass(frozen=True)
class Change:
    """A statement that grants rights on one thing, or revokes them."""

    statement: str
    what: str
    """The thing, or the role, as the server prints it."""
    given: tuple[Right, ...] = ()
    """The rights that it grants; none if it revokes."""

    @property
    def is_for_columns(self) -> bool:
        """Whether it grants rights on columns. Then it grants nothing else."""
        return any(right.column for right in self.given)

    def taken_from(self, account: str) -> str:
        """Return the statement that revokes from an account what this one grants on columns."""
        return f"REVOKE {', '.join(map(_spelled, self.given))} ON {self.what} FROM {account}"

    def beside_create(self, account: str, rights: frozenset[Right]) -> "Change | None":
        """Return the same with CREATE, if an account that has these rights has it there.

        The server takes rights on a table that does not exist only together with CREATE.
        """
        create = Right(RightKind.PRIVILEGE, CREATE, self.what)
        if not self.given or self.is_for_columns or self.what.endswith(".*") or create not in rights:
            return None
        return Change(_granting([create, *self.given], account).statement, self.what, self.given)

    def single(self, account: str) -> list["Change"]:
        """Return one change for each right that is granted, if there are several."""
        return [_granting([right], account) for right in self.given] if len(self.given) > 1 else []


class Unreadable(Exception):
    """A row is not in the known grammar."""


class TooManyRights(Exception):
    """There are more rights than MOST_RIGHTS."""


def parse(rows: Iterable[str]) -> frozenset[Right]:
    """Return the rights in the rows of SHOW GRANTS, without proxies; raises Unreadable, or TooManyRights."""
    rights = frozenset(islice((right for row in rows for right in _row(_Tokens(row))), MOST_RIGHTS + 1))
    if len(rights) > MOST_RIGHTS:
        raise TooManyRights
    return rights


class _Tokens:
    """A row, token by token."""

    def __init__(self, row: str) -> None:
        self._tokens = [match.group().strip() for match in TOKEN.finditer(row)]
        self._at = 0

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def take(self) -> str:
        token = self.peek()
        if not token:
            raise Unreadable
        self._at += 1
        return token

    def took(self, *tokens: str) -> bool:
        """Take these tokens, if they come next."""
        if tuple(self._tokens[self._at : self._at + len(tokens)]) != tokens:
            return False
        self._at += len(tokens)
        return True

    def ends_with(self, *tokens: str) -> bool:
        return tuple(self._tokens[-len(tokens) :]) == tokens

    def contains(self, *tokens: str) -> bool:
        length = len(tokens)
        return any(tuple(self._tokens[at : at + length]) == tokens for at in range(self._at, len(self._tokens)))


def _row(tokens: _Tokens) -> Iterator[Right]:
    if tokens.took("SET", "DEFAULT", "ROLE"):
        yield Right(RightKind.DEFAULT_ROLE, _account(tokens))
    elif tokens.took("REVOKE"):
        privileges = list(_privileges(tokens))
        place = _object(tokens)
        # MySQL prints the restriction of GRANT OPTION as nothing: see `rotation.engines.mysql.definition`.
        yield from (Right(RightKind.RESTRICTION, privilege, place) for privilege, _ in privileges if privilege)
    elif not tokens.took("GRANT"):
        raise Unreadable
    elif tokens.peek().startswith("`"):
        roles = list(_roles(tokens))
        admin = tokens.ends_with("WITH", "ADMIN", "OPTION")
        yield from (Right(RightKind.ROLE, role, grantable=admin) for role in roles)
    elif tokens.peek() != "PROXY":
        yield from _granted(tokens)


def _granted(tokens: _Tokens) -> Iterator[Right]:
    privileges = list(_privileges(tokens))
    place = _object(tokens)
    # On *.*, MariaDB prints the password and the limits between the account and the option.
    option = tokens.contains("WITH", "GRANT", "OPTION")
    static = False
    for name, column in privileges:
        # Every dynamic privilege has an underscore. Of the static ones only READ_ONLY ADMIN of MariaDB has one.
        if place == GLOBAL and "_" in name and " " not in name:
            yield Right(RightKind.DYNAMIC, name, place, grantable=option)
            continue
        static = True
        if name != USAGE:
            yield Right(RightKind.PRIVILEGE, name, place, column)
    if option and static:
        yield Right(RightKind.PRIVILEGE, GRANT_OPTION, place)


def _privileges(tokens: _Tokens) -> Iterator[tuple[str, str]]:
    """Yield privileges and columns, up to and including ON."""
    while True:
        words = []
        while tokens.peek() not in {",", "(", "ON"}:
            words.append(tokens.take())
        name = " ".join(words)
        if tokens.took("("):
            while True:
                yield name, tokens.take()
                if not tokens.took(","):
                    break
            if not tokens.took(")"):
                raise Unreadable
        else:
            yield name, ""
        if not tokens.took(","):
            break
    if not tokens.took("ON"):
        raise Unreadable


def _object(tokens: _Tokens) -> str:
    """Return the object, up to TO or FROM, as it is printed."""
    parts: list[str] = []
    while tokens.peek() not in {"TO", "FROM"}:
        parts.append(tokens.take())
    text = "".join(parts)
    for routine in ROUTINES:
        if text.startswith(routine.replace(" ", "") + "`"):
            return f"{routine} {text.removeprefix(routine.replace(' ', ''))}"
    return text


def _roles(tokens: _Tokens) -> Iterator[str]:
    while True:
        yield _account(tokens)
        if not tokens.took(","):
            return


def _account(tokens: _Tokens) -> str:
    name = tokens.take()
    return f"{name}@{tokens.take()}" if tokens.took("@") else name


def changes(have: frozenset[Right], want: frozenset[Right], account: str) -> Iterator[Change]:
    """Yield the changes from the rights that an account has to those that it should have; each is committed at once.

    Rights are revoked before any is granted, so at no instant are there more than before or after. Except for
    restrictions: a privilege can only be restricted once it is granted.
    """
    surplus, missing = implied(have, want)
    yield from _revoking(surplus, account)
    for _, rights in _by_item(_of(missing, RightKind.PRIVILEGE)):
        for part in ([right for right in rights if not right.column], [right for right in rights if right.column]):
            if part:
                yield _granting(part, account)
    for right in (*sorted(_of(missing, RightKind.DYNAMIC)), *sorted(_of(missing, RightKind.ROLE))):
        yield _granting([right], account)
    for right in sorted(_of(missing, RightKind.RESTRICTION)):
        yield Change(f"REVOKE {right.name} ON {right.item} FROM {account}", right.item)
    for right in sorted(_of(surplus, RightKind.RESTRICTION)):
        yield Change(_granting([right], account).statement, right.item)


def _revoking(surplus: frozenset[Right], account: str) -> Iterator[Change]:
    for right in sorted(_of(surplus, RightKind.DYNAMIC)):
        yield Change(f"REVOKE {right.name} ON {GLOBAL} FROM {account}", right.name)
    for right in sorted(_of(surplus, RightKind.ROLE)):
        yield Change(f"REVOKE {right.name} FROM {account}", right.name)
    for item, rights in _by_item(_of(surplus, RightKind.PRIVILEGE)):
        # ALL PRIVILEGES must stand alone: in a list, it means something else in the grammar.
        everything = [right for right in rights if right.name == ALL]
        for part in (everything, [right for right in rights if right.name != ALL]):
            if part:
                yield Change(f"REVOKE {', '.join(map(_spelled, part))} ON {item} FROM {account}", item)


def _granting(rights: Sequence[Right], account: str) -> Change:
    """Return the change that grants rights on one thing."""
    first = rights[0]
    if first.kind is RightKind.ROLE:
        option = " WITH ADMIN OPTION" if first.grantable else ""
        return Change(f"GRANT {first.name} TO {account}{option}", first.name, tuple(rights))
    names = [_spelled(right) for right in rights if right.name != GRANT_OPTION]
    option = " WITH GRANT OPTION" if len(names) < len(rights) or first.grantable else ""
    statement = f"GRANT {', '.join(names) or USAGE} ON {first.item} TO {account}{option}"
    return Change(statement, first.item, tuple(rights))


def implied(have: frozenset[Right], want: frozenset[Right]) -> tuple[frozenset[Right], frozenset[Right]]:
    """Return what to revoke and what to grant, because revoking one right revokes others with it.

    - REVOKE of the global GRANT OPTION removes that of the dynamic privileges from the server's tables, but not from
      its memory. So they are revoked first, and granted again after it: at an interruption, memory and tables agree.
    - Revoking a privilege on a table revokes it on the columns, too; revoking ALL PRIVILEGES revokes every privilege.
    - Granting a role or a dynamic privilege with the option to grant it adds the option. A mandatory role cannot be
      revoked.
    - Granting ALL PRIVILEGES grants every privilege, so none of them needs to be revoked before.
    - Any change of rights on a routine revokes SHOW CREATE ROUTINE there, on MariaDB.
    - A restriction ends with its global privilege.
    """
    missing = want - have
    surplus = frozenset(right for right in have - want if replace(right, grantable=True) not in missing)
    if Right(RightKind.PRIVILEGE, GRANT_OPTION, GLOBAL) in surplus:
        grantable = frozenset(right for right in _of(have, RightKind.DYNAMIC) if right.grantable)
        surplus |= grantable
        missing |= grantable & want
    taken = {(right.name, right.item) for right in _of(surplus, RightKind.PRIVILEGE) if not right.column}
    missing |= {right for right in want if right.column and (right.name, right.item) in taken}
    missing |= {right for right in _of(want, RightKind.PRIVILEGE) if (ALL, right.item) in taken}
    changed = {right.item for right in surplus | missing}
    missing |= {right for right in want if right.is_forgotten and right.item in changed}
    covered = {right.item for right in missing if right.name == ALL}
    surplus = frozenset(right for right in surplus if right.item not in covered or right.name in (ALL, GRANT_OPTION))
    ending = {right.name for right in have - want if right.kind is RightKind.PRIVILEGE and right.item == GLOBAL}
    surplus = frozenset(
        right for right in surplus if right.kind is not RightKind.RESTRICTION or right.name not in ending
    )
    return surplus, missing


def cannot_grant(own: frozenset[Right], right: Right) -> bool:
    """Tell whether a user that has these rights surely cannot grant this one. If it is not sure, the server decides.

    A right on a database, or on the databases of a pattern, covers what is in them.
    """
    names = {one.name for one in own}
    if right.kind is RightKind.ROLE:
        return not names & {"ROLE_ADMIN", "SUPER"} and not any(one.kind is RightKind.ROLE for one in own)
    if right.kind is RightKind.DYNAMIC:
        return "SUPER" not in names and Right(RightKind.DYNAMIC, right.name, GLOBAL, grantable=True) not in own
    if right.kind is not RightKind.PRIVILEGE:
        return False
    counting = {one.name for one in own if one.kind is RightKind.PRIVILEGE and covers(one.item, right.item)}
    return GRANT_OPTION not in counting or (right.name != ALL and not counting & {right.name, ALL})


def covers(place: str, item: str) -> bool:
    """Tell whether a right on a place can be one on this item too. Some servers ignore the case of names."""
    if place == GLOBAL or place.casefold() == item.casefold():
        return True
    outer, inner = DATABASE.search(place), DATABASE.search(item)
    if not outer or not inner or not place.endswith(".*"):
        return False
    pattern = "".join(map(_matching, PIECES.findall(outer[1])))
    return bool(re.fullmatch(pattern, inner[1], re.IGNORECASE | re.DOTALL))


def _matching(piece: str) -> str:
    """Return what matches a piece of a pattern of databases."""
    return {"%": ".*", "_": "."}.get(piece) or rf"\\?{re.escape(piece[-1])}"


def allowing(lacked: Iterable[Right], account: str) -> list[str]:
    """Return the statements after which this account can grant these rights."""
    rights = frozenset(lacked)
    options = (
        [*found, Right(RightKind.PRIVILEGE, GRANT_OPTION, item)]
        for item, found in _by_item(_of(rights, RightKind.PRIVILEGE))
    )
    others = (
        [replace(right, grantable=True)]
        for kind in (RightKind.DYNAMIC, RightKind.ROLE)
        for right in sorted(_of(rights, kind))
    )
    return [_granting(found, account).statement for found in (*options, *others)]


def _of(rights: frozenset[Right], kind: RightKind) -> frozenset[Right]:
    return frozenset(right for right in rights if right.kind is kind)


def _by_item(rights: frozenset[Right]) -> list[tuple[str, list[Right]]]:
    items: dict[str, list[Right]] = defaultdict(list)
    for right in sorted(rights):
        items[right.item].append(right)
    return sorted(items.items())


def _spelled(right: Right) -> str:
    return f"{right.name} ({right.column})" if right.column else right.name
