"""In what do two users of Oracle differ, and which statements end that? Values only: no connection is needed.

One difference is about one thing: a role; a privilege with all its columns, because one REVOKE takes them all; the
default roles together, because one clause sets them all; a tablespace's quota, and so on. So the statements of two
differences do not undo each other.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any, Final

from rotation.engine import Difference
from rotation.engines.oracle.definition import (
    THE_USER,
    Definition,
    Proxy,
    Synonym,
    attribute_clauses,
    quota_size,
    role_list,
)
from rotation.engines.oracle.packages import group_call, initial_group_call, package_call
from rotation.engines.oracle.rights import (
    DBA,
    UNLIMITED_TABLESPACE,
    Right,
    RightKind,
    collected,
    covers,
    granted,
    has_side_effects,
    identifier,
    on_rds,
    revocation,
    statements,
    whole,
)
from rotation.redaction import said
from rotation.values import dataclass

CREATE_SESSION: Final = "CREATE SESSION"
DEFAULT_GROUP: Final = "DEFAULT_CONSUMER_GROUP"
UNLIMITED: Final = Right(RightKind.SYSTEM, UNLIMITED_TABLESPACE)

ON_OWNED: Final = {
    "ANALYTIC VIEW": "SELECT",
    "CLUSTER": "ALL",
    "HIERARCHY": "SELECT",
    "MATERIALIZED VIEW": "SELECT",
    "SEQUENCE": "SELECT",
    "SQL TRANSLATION PROFILE": "USE",
    "TABLE": "SELECT, INSERT, UPDATE, DELETE",
    "VIEW": "SELECT, INSERT, UPDATE, DELETE",
}
"""What an owner can be asked to grant on an object of this type; EXECUTE on what is not in it, as that is code
(https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/GRANT.html, "Object Privileges")."""


@dataclass(frozen=True)
class Side:
    """One of the two users, and what it is to be like."""

    name: str
    has: Definition
    like: Definition


@dataclass(frozen=True)
class ThingKind[T]:
    """A kind of thing that users can differ in."""

    things: Callable[[Definition], Mapping[Any, Collection[T]]]
    """What a user has of it, by what one statement is about."""
    phrase: Callable[[T, str], str]
    """What a sentence says of one, if the user of this name has it."""
    change: Callable[[Side, AbstractSet[T], AbstractSet[T]], Iterable[str]]
    """The statements that bring a user from the first to the second."""


def differences(user: str, other: str, user_has: Definition, other_has: Definition) -> list[Difference]:
    """Return in what the two differ, each with the statements for either of them."""
    rights = collected(other_has.rights | covered(user_has.rights, other_has.irrevocable))
    pair = Pairing(user, other, user_has, replace(other_has, rights=rights))
    return [difference for kind in KINDS for difference in pair.differences(kind)]


def passing(user: str, other: str, user_has: Definition, other_has: Definition) -> set[str]:
    """Return the sentences that are true for a while, as a rotation makes the other user what the user is.

    A right that loses an option is revoked and granted again, and a role that is granted becomes a default role, or
    not. What one statement does, as a whole or not at all, is not among them.
    """
    pair = Pairing(user, other, user_has, other_has)
    return {*_passing_rights(pair), *_passing_quotas(pair), *_passing_default_roles(pair), *_passing_others(pair)}


def unshared_difference(user: str, other: str, object_type: str, item: str) -> Difference:
    """Return the difference that the other user has no right on something that the user owns."""
    privileges = ON_OWNED.get(object_type, "EXECUTE")
    place = f"{'SQL TRANSLATION PROFILE ' * (object_type == 'SQL TRANSLATION PROFILE')}{identifier(user)}"
    statement = f"GRANT {privileges} ON {place}.{identifier(item)} TO {identifier(other)}"
    if object_type == "QUEUE":
        rights = [Right(RightKind.OBJECT, name, user, item) for name in ("ENQUEUE", "DEQUEUE")]
        statement = _joined(str(package_call(right, other, grants=True)) for right in rights)
    return Difference(
        f"{other} has no right on the {object_type.lower()} {item}, which {user} owns",
        said(statement),
        f"move {said(item)} into a schema that nobody logs in to",
    )


def covered(rights: Iterable[Right], by: Collection[Right]) -> set[Right]:
    """Return those rights that are also there as one of the others, with all their options."""
    return {right for right in rights if any(covers(one, right) for one in by)}


@dataclass(frozen=True)
class Pairing:
    """The two users, and what they have."""

    user: str
    other: str
    user_has: Definition
    other_has: Definition

    def differences[T](self, kind: ThingKind[T]) -> Iterator[Difference]:
        """Yield the differences of a kind, in an order that does not change."""
        user_things, other_things = kind.things(self.user_has), kind.things(self.other_has)
        for key in sorted(user_things.keys() | other_things.keys()):
            user_part, other_part = frozenset(user_things.get(key, ())), frozenset(other_things.get(key, ()))
            if user_part != other_part:
                other_side = Side(self.other, self.other_has, self.user_has)
                user_side = Side(self.user, self.user_has, self.other_has)
                for_other = _joined(kind.change(other_side, other_part, user_part))
                for_user = _joined(kind.change(user_side, user_part, other_part))
                yield Difference(
                    self.sentence(kind, user_part, other_part),
                    said(for_other),
                    said(self._for_user(for_user, user_part - other_part)),
                )

    def sentence[T](self, kind: ThingKind[T], user_part: AbstractSet[T], other_part: AbstractSet[T]) -> str:
        """Return a sentence for one difference."""
        lacks = ", ".join(sorted(kind.phrase(one, self.other) for one in user_part - other_part))
        has = ", ".join(sorted(kind.phrase(one, self.other) for one in other_part - user_part))
        users = ", ".join(sorted(kind.phrase(one, self.user) for one in user_part - other_part))
        if not has:
            return f"{self.other} lacks {lacks}"
        return f"{self.other} has {has}, {self.user} {f'has {users}' if users else 'does not'}"

    def _for_user(self, statement: str, lost: AbstractSet[object]) -> str:
        """Return a statement for the user; if it could lock the user out, say so."""
        if any(isinstance(one, Right) and one.kind is RightKind.SYSTEM and one.name == CREATE_SESSION for one in lost):
            return f"nothing else, because {self.user} needs it to log in"
        logs_in_by_role = Right(RightKind.SYSTEM, CREATE_SESSION) not in {
            replace(right, option=False) for right in self.user_has.rights
        }
        is_of_role = any(
            isinstance(one, str) or (isinstance(one, Right) and one.kind is RightKind.ROLE) for one in lost
        )
        caution = f" (if {self.user} can log in without it)" if logs_in_by_role and is_of_role else ""
        return statement + caution


def _joined(statements: Iterable[str]) -> str:
    """Return the statements one after the other; a block ends with its own semicolon."""
    return "; ".join(statements).replace("END;; ", "END; ")


# Each kind: what there is, how it is called, and what changes it


def _attributes(definition: Definition) -> Mapping[str, Collection[tuple[str, str]]]:
    return {name: {(name, value)} for name, value in definition.attributes.items()}


def _change_attribute(
    side: Side, present: AbstractSet[tuple[str, str]], wanted: AbstractSet[tuple[str, str]]
) -> Iterable[str]:
    if wanted:
        return [f"ALTER USER {identifier(side.name)} {attribute_clauses(dict(wanted))}"]
    return [f"take the {attribute} from {side.name}" for attribute in dict(present)]


def _rights(definition: Definition) -> Mapping[Right, Collection[Right]]:
    found: dict[Right, set[Right]] = {}
    for right in definition.rights:
        found.setdefault(whole(right), set()).add(right)
    return found


def _change_right(side: Side, present: AbstractSet[Right], wanted: AbstractSet[Right]) -> Iterator[str]:
    grants = False
    for statement, right in statements(frozenset(present), frozenset(wanted), side.name):
        grants = statement.startswith("GRANT")
        call = package_call(right, side.name, grants=grants)
        yield str(call) if call else f"{statement}{on_rds(statement, right, side.name)}"
    if grants and right.kind is RightKind.ROLE:
        yield from _change_default_role(side, right.name)
    if has_side_effects(whole(right)):
        yield from _without_side_effects(side, right, grants=grants)


def _without_side_effects(side: Side, right: Right, *, grants: bool) -> Iterator[str]:
    """Yield what leaves the user's quotas, and UNLIMITED TABLESPACE, as they were before this right changed."""
    [*unlimited] = (one for one in side.has.rights if whole(one) == UNLIMITED)
    if right.name == DBA and grants and not unlimited:
        yield revocation(UNLIMITED, side.name)
    if right.name == DBA and not grants and unlimited:
        yield next(statement for statement, _ in statements(frozenset(), frozenset(unlimited), side.name))
    if not grants or (right.name == DBA and not unlimited):
        yield from _change_quotas(side.name, side.has.quotas)


def _change_default_role(side: Side, role: str) -> Iterator[str]:
    """Yield what a GRANT of this role needs after it: whether the role is then a default role depends on the others."""
    is_wanted = role in side.like.default_roles
    if is_wanted != (side.has.default_role_clause == "ALL"):
        others = side.has.default_roles & side.like.roles - {role}
        clause = role_list(others | {role} if is_wanted else others)
        yield f"ALTER USER {identifier(side.name)} DEFAULT ROLE {clause}"


def _default_roles(definition: Definition) -> Mapping[str, Collection[str]]:
    return {"": definition.default_roles}


def _change_default_roles(side: Side, _present: AbstractSet[str], _wanted: AbstractSet[str]) -> Iterable[str]:
    return [f"ALTER USER {identifier(side.name)} DEFAULT ROLE {side.like.default_role_clause}"]


def _quotas(definition: Definition) -> Mapping[str, Collection[tuple[str, int]]]:
    return {tablespace: {(tablespace, quota)} for tablespace, quota in definition.quotas.items()}


def _change_quota(
    side: Side, present: AbstractSet[tuple[str, int]], wanted: AbstractSet[tuple[str, int]]
) -> Iterator[str]:
    yield from _change_quotas(side.name, dict(wanted) or dict.fromkeys(dict(present), 0))


def _change_quotas(user: str, quotas: Mapping[str, int]) -> Iterator[str]:
    for tablespace, quota in sorted(quotas.items()):
        yield f"ALTER USER {identifier(user)} QUOTA {quota_size(quota)} ON {identifier(tablespace)}"


def _groups(definition: Definition) -> Mapping[str, Collection[tuple[str, bool]]]:
    return {group: {(group, option)} for group, option in definition.groups.items()}


def _change_group(
    side: Side, present: AbstractSet[tuple[str, bool]], wanted: AbstractSet[tuple[str, bool]]
) -> Iterator[str]:
    for group in dict(present):
        yield str(group_call(side.name, group))
    for group, option in wanted:
        yield str(group_call(side.name, group, option=option))
        if group in dict(present) and group == side.like.initial_group:  # it was no longer the initial one
            yield str(initial_group_call(side.name, group))


def _initial_group(definition: Definition) -> Mapping[str, Collection[tuple[str]]]:
    return {"": {(definition.initial_group,)}}


def _change_initial_group(side: Side, _: AbstractSet[tuple[str]], wanted: AbstractSet[tuple[str]]) -> Iterable[str]:
    return [str(initial_group_call(side.name, group)) for (group,) in wanted]


def _proxies(definition: Definition) -> Mapping[tuple[str, str], Collection[Proxy]]:
    found: dict[tuple[str, str], set[Proxy]] = {}
    for proxy in definition.proxies:
        found.setdefault((proxy.client, proxy.proxy), set()).add(proxy)
    return found


def _change_proxy(side: Side, present: AbstractSet[Proxy], wanted: AbstractSet[Proxy]) -> Iterator[str]:
    for proxy in (one.renamed(THE_USER, side.name) for one in sorted(present)[:1]):
        yield f"ALTER USER {identifier(proxy.client)} REVOKE {proxy.through}"
    for proxy in (one.renamed(THE_USER, side.name) for one in sorted(wanted)):
        yield f"ALTER USER {identifier(proxy.client)} GRANT {proxy.through}{proxy.clauses}"


def _synonyms(definition: Definition) -> Mapping[str, Collection[Synonym]]:
    return {synonym.name: {synonym} for synonym in definition.synonyms}


def _change_synonym(side: Side, present: AbstractSet[Synonym], wanted: AbstractSet[Synonym]) -> Iterator[str]:
    for synonym in wanted:
        place = f"{identifier(side.name)}.{identifier(synonym.name)}"
        yield f"CREATE OR REPLACE SYNONYM {place} FOR {synonym.target}"
    for synonym in () if wanted else present:
        yield f"DROP SYNONYM {identifier(side.name)}.{identifier(synonym.name)}"


RIGHTS = ThingKind(_rights, lambda right, _: f"the {right}", _change_right)
DEFAULT_ROLES = ThingKind(_default_roles, lambda role, _: f"{role} as a default role", _change_default_roles)
QUOTAS = ThingKind(_quotas, lambda quota, _: f"a quota of {quota_size(quota[1])} on {quota[0]}", _change_quota)
GROUPS = ThingKind(_groups, lambda group, _: f"the consumer group {group[0]}{' to pass on' * group[1]}", _change_group)
INITIAL_GROUP = ThingKind(
    _initial_group, lambda group, _: f"the initial consumer group {group[0]}", _change_initial_group
)
PROXIES = ThingKind(_proxies, lambda proxy, name: str(proxy.renamed(THE_USER, name)), _change_proxy)
KINDS: Final[tuple[ThingKind[Any], ...]] = (
    ThingKind(_attributes, lambda attribute, _: f"the {attribute[0]} {attribute[1]}", _change_attribute),
    RIGHTS,
    DEFAULT_ROLES,
    QUOTAS,
    GROUPS,
    INITIAL_GROUP,
    PROXIES,
    ThingKind(_synonyms, lambda synonym, _: f"the synonym {synonym.name} for {synonym.target}", _change_synonym),
)
"""In this order: a role can be a default role only if it is granted, and a proxy can have it only then."""


# What is true for a while


def _passing_rights(pair: Pairing) -> Iterator[str]:
    for now, about in _steps(pair):
        user_part, other_part = (frozenset(one for one in rights if whole(one) == about) for rights in now)
        if user_part != other_part:
            yield pair.sentence(RIGHTS, user_part, other_part)


def _steps(pair: Pairing) -> Iterator[tuple[tuple[frozenset[Right], frozenset[Right]], Right]]:
    """Yield what the two have after each statement, and what it was about."""
    user_has, other_has = _rights(pair.user_has), dict(_rights(pair.other_has))
    for statement, right in statements(pair.other_has.rights, pair.user_has.rights, pair.other):
        about = whole(right)
        before = frozenset(other_has.get(about, ()))
        after = granted(before, statement, right) if statement.startswith("GRANT") else frozenset[Right]()
        other_has[about] = set(after)
        yield (frozenset(user_has.get(about, ())), after), about


def _passing_quotas(pair: Pairing) -> Iterator[str]:
    """Yield what some rights take or bring on the way: quotas, and UNLIMITED TABLESPACE."""
    changed = {right for _, right in statements(pair.other_has.rights, pair.user_has.rights, pair.other)}
    if not any(map(has_side_effects, changed)):
        return
    for quota in pair.user_has.quotas.items():
        yield pair.sentence(QUOTAS, frozenset({quota}), frozenset())
    user_part = frozenset(right for right in pair.user_has.rights if whole(right) == UNLIMITED)
    for other_part in (frozenset[Right](), frozenset({UNLIMITED})):
        if user_part != other_part:
            yield pair.sentence(RIGHTS, user_part, other_part)


def _passing_default_roles(pair: Pairing) -> Iterator[str]:
    """Whether a role that is granted is a default role depends on what no view shows; so each way is followed.

    ALL as the default roles counts for later roles, too; a list does not
    (https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/ALTER-USER.html, "DEFAULT ROLE Clause").
    """
    changes = [
        (statement.startswith("GRANT"), right.name)
        for statement, right in statements(pair.other_has.rights, pair.user_has.rights, pair.other)
        if right.kind is RightKind.ROLE
    ]
    wanted, before = pair.user_has.default_roles, pair.other_has.default_roles
    for later in (frozenset(role for _, role in changes), before, frozenset[str]()):
        present = before
        for grants, role in changes:
            present = present | ({role} & later) if grants else present - {role}
            if present != wanted:
                yield pair.sentence(DEFAULT_ROLES, wanted, present)


def _passing_others(pair: Pairing) -> Iterator[str]:
    """Yield what is true between a revocation and the grant after it."""
    kinds: tuple[ThingKind[Any], ...] = (GROUPS, PROXIES)
    for kind in kinds:
        user_things, other_things = kind.things(pair.user_has), kind.things(pair.other_has)
        for key in user_things.keys() & other_things.keys():
            if set(user_things[key]) != set(other_things[key]):
                yield pair.sentence(kind, frozenset(user_things[key]), frozenset())
    if pair.user_has.initial_group != DEFAULT_GROUP:
        user_part, other_part = frozenset({(pair.user_has.initial_group,)}), frozenset({(DEFAULT_GROUP,)})
        yield pair.sentence(INITIAL_GROUP, user_part, other_part)
