"""In what do two accounts differ, and which statements end each difference, at the one or at the other?

Pure: what an account is, to differences. A difference is one thing that an administrator does at once: a privilege on
everything with its restrictions, ALL PRIVILEGES with what they stand for, a right with the option to grant it. If all
statements for the other account are run, in this order, the two are equal; and so with all those for the user's.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import field, replace
from functools import cached_property
from typing import Any

from rotation.engine import Difference
from rotation.engines.mysql.definition import Options, attribute_clause, option_clause, patch
from rotation.engines.mysql.names import Account, literal
from rotation.engines.mysql.rights import ALL, GLOBAL, GRANT_OPTION, Right, RightKind, changes, implied
from rotation.values import dataclass

SINGLE_USER = "use the single-user strategy"
"""What to do if no statement ends a difference."""

MAY_GRANT = Right(RightKind.PRIVILEGE, GRANT_OPTION, GLOBAL)
"""The server gives this to whoever it gives a proxy WITH GRANT OPTION."""

MOST_LETTERS = 1000
"""How long a statement with attributes can be: their user can write any text there."""


@dataclass(frozen=True)
class AccountState:
    """All of an account that a rotation copies to the other user's account."""

    account: Account
    options: Options = field(default_factory=dict)
    plugin: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """The attributes of an account of MySQL, without our mark."""
    methods: frozenset[tuple[str, str]] = frozenset()
    """The ways to log in without a password, of MariaDB: plugin, and what it compares."""
    rights: frozenset[Right] = frozenset()
    proxies: Mapping[Account, bool] = field(default_factory=dict)
    """The accounts that this one may act as, each with whether it may grant that to others."""
    default_roles: Sequence[str] = ()
    """Quoted."""
    is_locked: bool = False

    def things(self, *, is_locked: bool) -> Iterator[str]:
        """Yield each of them as a text, for `rotation.engine.state`."""
        for kind, found in (
            ("option", self.options.items()),
            ("plugin", [self.plugin]),
            ("attribute", self.notes.items()),
            ("method", self.methods),
            ("proxy", [(proxied.quoted, grantable) for proxied, grantable in self.proxies.items()]),
            ("default role", self.default_roles),
            ("locked", [is_locked]),
        ):
            for thing in found:
                yield json.dumps([self.account.host, kind, thing], sort_keys=True)
        for right in self.rights:
            yield f"{self.account.host} {right}"

    def beside(self, rights: AbstractSet[Right]) -> frozenset[Right]:
        """Return what the account has of these, and of what begins or ends with them: see `rights.implied`."""
        items = {right.item for right in rights if not right.column}
        return frozenset(right for item in items for right in self._by_item.get(item, ())) | (rights & self.rights)

    @cached_property
    def _by_item(self) -> Mapping[str, Sequence[Right]]:
        return _grouped((right.item, right) for right in self.rights)

    # What MariaDB does in another way

    def with_default_roles(self, roles: Sequence[str]) -> str:
        """Return the statement that gives the account these default roles."""
        return f"ALTER USER {self.account.quoted} DEFAULT ROLE {', '.join(roles) or 'NONE'}"

    def with_plugin(self, plugin: str) -> str:
        """Return what gives the other user's account this plugin."""
        return f"ALTER USER {self.account.quoted} IDENTIFIED WITH {literal(plugin)} BY RANDOM PASSWORD"


@dataclass(frozen=True)
class _Thing:
    """Rights that are one thing: what only the user's account has of it, and what only the other account has."""

    named: Right
    lacked: frozenset[Right]
    surplus: frozenset[Right]


@dataclass(frozen=True)
class AccountDifferences:
    """In what the other user's account differs from the user's for the same hosts."""

    user: AccountState
    other: AccountState
    gone: frozenset[Right] = frozenset()
    """Rights that nobody can grant, because their object is gone."""

    def __iter__(self) -> Iterator[Difference]:
        """Yield the differences."""
        yield from self._options()
        yield from self._plugins()
        yield from self._notes()
        yield from self._methods()
        yield from self._rights()
        yield from self._proxies()
        yield from self._default_roles()
        if self.user.is_locked and not self.other.is_locked:
            what = f"{self.user.account} is locked, {self.other.account} is not"
            yield self._altered(what, "ACCOUNT LOCK", "ACCOUNT UNLOCK")

    @property
    def locks(self) -> bool:
        """Whether `mirror` locks the other account, because for an instant it will have too many rights."""
        restricts = any(right.kind is RightKind.RESTRICTION for right in self.user.rights - self.other.rights)
        proxies = dict(self.user.proxies.items() - self.other.proxies.items())
        return restricts or (any(proxies.values()) and MAY_GRANT not in self.user.rights)

    def passing(self) -> set[str]:
        """Return the sentences of all differences that `mirror` can make on its way."""
        user, other = self.user.rights, self.other.rights
        _, missing = implied(other, user)
        sentences = {self._lacks(right) for right in (user - other) | missing}
        sentences |= {self._has(right) for right in other - user}
        if any(right.kind is RightKind.ROLE for right in (user ^ other) | missing):
            sentences.add(self._default_roles_differ)
        proxies = dict(self.user.proxies.items() - self.other.proxies.items())
        if any(proxies.values()):
            sentences.add(self._has(MAY_GRANT))
        return sentences | {self._lacks_proxy(proxied) for proxied in proxies}

    def _altered(self, what: str, change_other: str, change_user: str) -> Difference:
        """Return a difference that ends with these clauses of ALTER USER."""
        other, user = self.other.account.quoted, self.user.account.quoted
        return Difference(what, f"ALTER USER {other} {change_other}", f"ALTER USER {user} {change_user}")

    def _options(self) -> Iterator[Difference]:
        for name, value in self.user.options.items():
            if value != (present := self.other.options.get(name)):
                what = (
                    f"{self.other.account} is not defined as {self.user.account} is, in {name}: see SHOW CREATE USER of"
                    " both"
                )
                yield self._altered(what, option_clause({name: value}), option_clause({name: present or ""}))

    def _plugins(self) -> Iterator[Difference]:
        user, other = self.user, self.other
        if user.plugin != other.plugin:
            what = f"{other.account} has the plugin {other.plugin}, {user.account} has {user.plugin}"
            in_words = (
                f"give {user.account} the plugin {other.plugin}, with a password that you write into the secret as well"
            )
            yield Difference(what, other.with_plugin(user.plugin), in_words)

    def _notes(self) -> Iterator[Difference]:
        for key in sorted(patch(self.user.notes, self.other.notes)):
            user, other = ({key: one.notes[key]} if key in one.notes else {} for one in (self.user, self.other))
            what = f"the attribute {json.dumps(key)} of {self.other.account} is not that of {self.user.account}"
            difference = self._altered(what, attribute_clause(patch(user, other)), attribute_clause(patch(other, user)))
            if len(difference.change_other + difference.change_user) > MOST_LETTERS:
                in_words = "copy it from {} to {}, with ALTER USER … ATTRIBUTE"
                one, another = self.user.account, self.other.account
                difference = Difference(what, in_words.format(one, another), in_words.format(another, one))
            yield difference

    def _methods(self) -> Iterator[Difference]:
        for method in sorted(self.user.methods ^ self.other.methods):
            holder, lacking = self.user.account, self.other.account
            if method in self.other.methods:
                holder, lacking = lacking, holder
            give, take = (
                f"give {lacking} that method besides those that SHOW CREATE USER lists",
                f"take that method from {holder}, and keep the others that SHOW CREATE USER lists",
            )
            what = f"{holder} has the method {method[0]} to log in, {lacking} does not"
            yield Difference(what, *((give, take) if method in self.user.methods else (take, give)))

    def _rights(self) -> Iterator[Difference]:
        user, other = self.user, self.other
        for thing in _things(user.rights - self.gone, other.rights):
            what = self._lacks(thing.named) if thing.named in thing.lacked else self._has(thing.named)
            change_other = _statements(other, thing.surplus, thing.lacked)
            change_user = _statements(user, thing.lacked, thing.surplus)
            if thing.named.name == other.account.as_role:  # no account is its own role
                yield Difference(what, SINGLE_USER, change_user, can_follow=False)
            else:
                loops = thing.named.name == user.account.as_role
                yield Difference(what, change_other, SINGLE_USER if loops else change_user)

    def _proxies(self) -> Iterator[Difference]:
        user, other = self.user, self.other
        for proxied in sorted(user.proxies.keys() | other.proxies.keys()):
            wanted, present = user.proxies.get(proxied), other.proxies.get(proxied)
            if wanted == present:
                continue
            if wanted is None:
                what = f"{other.account} has the proxy {proxied}, {user.account} does not"
            elif present is None:
                what = self._lacks_proxy(proxied)
            else:
                holder, lacking = (user.account, other.account) if wanted else (other.account, user.account)
                what = f"{holder} has the right to grant the proxy {proxied}, {lacking} does not"
            yield Difference(
                what,
                _proxy_statements(proxied, other.account, present, wanted) + self._without_option(wanted, other),
                _proxy_statements(proxied, user.account, wanted, present) + self._without_option(present, user),
            )

    def _without_option(self, wanted: bool | None, holder: AccountState) -> str:  # noqa: FBT001 - None: it has no such proxy
        """Return what takes GRANT OPTION on everything back, if a proxy gives it to an account, and neither has it."""
        if wanted and MAY_GRANT not in self.user.rights | self.other.rights:
            return f"; REVOKE GRANT OPTION ON {GLOBAL} FROM {holder.account.quoted}"
        return ""

    def _default_roles(self) -> Iterator[Difference]:
        user, other = self.user, self.other
        if list(user.default_roles) != list(other.default_roles):
            change_other, change_user = (
                other.with_default_roles(user.default_roles),
                user.with_default_roles(other.default_roles),
            )
            yield Difference(self._default_roles_differ, change_other, change_user)

    @property
    def _default_roles_differ(self) -> str:
        return f"the default roles of {self.other.account} are not those of {self.user.account}"

    def _lacks(self, right: Right) -> str:
        return f"{self.other.account} lacks {right}"

    def _has(self, right: Right) -> str:
        return f"{self.other.account} has {right}, {self.user.account} does not"

    def _lacks_proxy(self, proxied: Account) -> str:
        return f"{self.other.account} lacks the proxy {proxied}"


def _things(user: frozenset[Right], other: frozenset[Right]) -> list[_Thing]:
    """Return the differences, a thing each, in the order in which statements can be run."""
    lacked, surplus = set(user - other), set(other - user)
    things, near = [], _Near(lacked | surplus)
    for named in sorted(lacked | surplus, key=_order):
        if named in lacked or named in surplus:
            together = {right for right in near.to(named) if _belongs(named, right)}
            things.append(_Thing(named, frozenset(together & lacked), frozenset(together & surplus)))
            lacked -= together
            surplus -= together
    return things


class _Near:
    """Rights by what they are and what they are on, so that the parts of a thing are found among a few of them.

    There can be very many differences: a rotation that was cut off goes on from them.
    """

    def __init__(self, rights: AbstractSet[Right]) -> None:
        self._same = _grouped((_without_option(right), right) for right in rights)
        self._by_item = _grouped((right.item, right) for right in rights)
        self._restrictions = [right for right in rights if right.kind is RightKind.RESTRICTION]

    def to(self, named: Right) -> Iterable[Right]:
        """Return rights among which are all that belong to the named one."""
        if named.item == GLOBAL:
            return [*self._by_item[GLOBAL], *self._restrictions]
        takes_others = named.name == ALL or named.is_forgotten
        return self._by_item[named.item] if takes_others else self._same[_without_option(named)]


def _grouped[K](pairs: Iterable[tuple[K, Right]]) -> dict[K, list[Right]]:
    found: dict[K, list[Right]] = defaultdict(list)
    for key, right in pairs:
        found[key].append(right)
    return found


def _without_option(right: Right) -> Right:
    return replace(right, grantable=False) if right.grantable else right


def _order(right: Right) -> tuple[bool, bool, bool, bool, Right]:
    """Order those first that take others with them, and of two the one with the option to grant it."""
    takes_options = (right.name, right.item) == (GRANT_OPTION, GLOBAL)
    return (not takes_options, right.name != ALL, not right.is_forgotten, not right.grantable, right)


def _belongs(named: Right, right: Right) -> bool:
    """Tell whether a right is one thing with the named one."""
    return (
        _is_replaced(named, right)
        or _is_restricted(named, right)
        or (named.is_forgotten and right.item == named.item)
        or _without_option(right) == _without_option(named)
    )


def _is_replaced(named: Right, right: Right) -> bool:
    """Tell whether the named right stands for this one: the server lists ALL PRIVILEGES alone."""
    is_part = right.kind is RightKind.PRIVILEGE and right.item == named.item and right.name != GRANT_OPTION
    return named.name == ALL and is_part


def _is_restricted(named: Right, right: Right) -> bool:
    """Tell whether this is a restriction of the named privilege, on everything: it begins and ends with it."""
    is_global = named.kind is RightKind.PRIVILEGE and named.item == GLOBAL
    return is_global and right.kind is RightKind.RESTRICTION and right.name == named.name


def _statements(holder: AccountState, taken: frozenset[Right], given: frozenset[Right]) -> str:
    """Return what takes rights from an account, and gives it others.

    A role that is revoked on the way stays a default role.
    """
    account, held = holder.account.quoted, holder.beside(taken | given)
    wanted = (held - taken) | given
    planned = changes(held, wanted, account)
    statements = [(change.beside_create(account, held & wanted) or change).statement for change in planned]
    kept = {right.name for right in wanted if right.kind is RightKind.ROLE} & set(holder.default_roles)
    if any(f"REVOKE {role} FROM {account}" in statements for role in kept):
        statements.append(holder.with_default_roles(holder.default_roles))
    return "; ".join(statements)


def _proxy_statements(proxied: Account, holder: Account, present: bool | None, wanted: bool | None) -> str:  # noqa: FBT001 - None: it has no such proxy
    """Return what gives an account this proxy, or takes it."""
    revoke = f"REVOKE PROXY ON {proxied.quoted} FROM {holder.quoted}"
    grant = f"GRANT PROXY ON {proxied.quoted} TO {holder.quoted}{' WITH GRANT OPTION' if wanted else ''}"
    if wanted is None:
        return revoke
    return f"{revoke}; {grant}" if present else grant
