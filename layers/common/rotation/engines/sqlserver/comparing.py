"""In what do the two users of a pair differ on SQL Server, and which statements end each difference, at either of them?

They are compared in parts: on the server, and in each database. The statements are for a person to run, so they take
back each permission in the name of its grantor, and say in which database they belong. If no statement could end a
difference without locking out the current user, or without taking something from somebody else, words stand there.
"""

from collections.abc import Iterator, Sequence
from itertools import chain

from rotation.engine import Comparison, Difference, state
from rotation.engines.sqlserver.principals import (
    CHECKS,
    CONNECT,
    CONNECT_SQL,
    DB_OWNER,
    DBO,
    GivenRight,
    Principal,
    changes,
    option_list,
    owned_alone,
    right_changes,
    rights_to_copy,
)
from rotation.engines.sqlserver.rights import RightState, SQLServerRight, identifier
from rotation.values import dataclass

GRANTED = frozenset({RightState.GRANT, RightState.GRANTABLE})
THE_DATABASE = "the database"
"""What `owned_alone` calls the database itself."""


@dataclass(frozen=True)
class ComparedPart:
    """The two on the server, or in one database."""

    user_name: str
    other_name: str
    user: Principal | None
    other: Principal | None
    database: str = ""
    """Empty for the server."""
    is_orphan: bool = False
    """See `DatabaseUsers`."""

    @property
    def keyword(self) -> str:
        """What ALTER calls them."""
        return "USER" if self.database else "LOGIN"

    def differences(self) -> Iterator[Difference]:
        """Yield all that `mirror` would change here, and what `other` owns alone.

        In a database in which only `other` has a user, that is nothing: somebody else has made it.
        """
        if not self.user:
            return
        if not self.other:
            yield self._missing(self.user)
            return
        if self.other.id != DBO:
            if self.is_orphan:
                yield self._orphan(self.user)
            yield from self._options(self.user, self.other)
            yield from self._roles(self.user, self.other)
            yield from self._rights(self.user, self.other)
        yield from self._owned(self.user, self.other)

    def passing(self) -> Iterator[str]:
        """Yield the differences on the way, if each statement is committed at once.

        If somebody else has granted a right, it is revoked before it is granted. Of several grants, the strongest is
        the one that counts, so those that are left count in between.
        """
        if self.user and self.other:
            wanted, have = rights_to_copy(self.user, self.other), self.other.rights
            for given in self.other.given:
                if wanted.get(given.right) is not have[given.right]:
                    yield from (
                        self._what_right(given.right, wanted.get(given.right), between)
                        for between in (None, given.state)
                        if between is not wanted.get(given.right)
                    )

    def unlock(self) -> str:
        """Return the statement that lets `other` connect, if `user` can and it cannot; empty if that is not so."""
        connect = CONNECT if self.database else CONNECT_SQL
        if self.user and self.other and self.other.rights.get(connect) not in GRANTED:
            wanted = rights_to_copy(self.user, self.other).get(connect)
            return self._give(self.other, connect, wanted) if wanted in GRANTED else ""
        return ""

    def user_things(self) -> list[str]:
        """Return all that `user` has here.

        If only `other` has a user in this database, that is noted, so that `user` is not given one when its turn to
        change comes: somebody can have dropped the user that it had.
        """
        if self.user:
            return self._things(self.user)
        return self._noted(["only the other one has a user"]) if self.other else []

    def other_things(self) -> list[str]:
        """Return all that `other` has here, if `user` has something here."""
        return self._things(self.other) if self.user and self.other else []

    def _things(self, one: Principal) -> list[str]:
        things = [
            f"account {one.sid.hex()}",
            *(f"{option} = {value}" for option, value in one.options.items()),
            *(f"member of {identifier(role)}" for role in one.roles),
            *(_given(right, state) for right, state in one.rights.items()),
            *(f"owner of {securable}" for securable in one.owned),
            *([f"owner of {THE_DATABASE}"] if self.database and one.id == DBO else []),
            *([f"the orphan {identifier(one.name)}"] if self.is_orphan and one is self.other else []),
        ]
        return self._noted(things)

    def _noted(self, things: Sequence[str]) -> list[str]:
        return [f"{identifier(self.database)}: {thing}" for thing in things]

    # One difference of each kind

    def _missing(self, user: Principal) -> Difference:
        login = identifier(self.other_name)
        connects = GivenRight(CONNECT, RightState.GRANT, "dbo", is_ours=False)
        new = Principal(0, self.other_name, b"", user.options, given=(connects,))
        create = f"CREATE USER {login} FOR LOGIN {login} WITH {option_list(user.options)}"
        leave = f"drop the user {identifier(user.name)} there by hand, if {self.user_name} needs nothing there"
        if user.id == DBO:
            leave = f"give the database {self.database} to another owner by hand"
        return Difference(
            f"{self.user_name} has a user{self._place}, {self.other_name} has none",
            self._run(create, *changes("USER", user, new)),
            leave,
        )

    def _orphan(self, user: Principal) -> Difference:
        login = identifier(self.other_name)
        return Difference(
            f"{self.user_name} has a user{self._place}, the user {login} there belongs to no login",
            self._run(f"ALTER USER {login} WITH LOGIN = {login}"),
            f"drop the user {identifier(user.name)} there by hand, if {self.user_name} needs nothing there",
        )

    def _options(self, user: Principal, other: Principal) -> Iterator[Difference]:
        """Compare the options; CHECK_POLICY and CHECK_EXPIRATION change each other, so they are one."""
        for options in (*((option,) for option in user.options if option not in CHECKS), sorted(CHECKS)):
            user_has, other_has = (_values(one, options) for one in (user, other))
            if user_has != other_has:
                yield Difference(
                    f"{self.user_name} has {user_has or 'none'}, {self.other_name} has {other_has or 'none'}"
                    f"{self._place}",
                    self._alter(other, user_has),
                    self._alter(user, other_has),
                )

    def _roles(self, user: Principal, other: Principal) -> Iterator[Difference]:
        for role in sorted(user.roles ^ other.roles):
            has, lacks = (self.user_name, self.other_name) if role in user.roles else (self.other_name, self.user_name)
            yield Difference(
                f"{has} is in the role {identifier(role)}{self._place}, {lacks} is not",
                self._join(other, role, joins=role in user.roles),
                self._join(user, role, joins=role in other.roles),
            )

    def _rights(self, user: Principal, other: Principal) -> Iterator[Difference]:
        wanted, have = rights_to_copy(user, other), other.rights
        for right in sorted(wanted.keys() | have.keys()):
            if wanted.get(right) is not have.get(right):
                yield Difference(
                    self._what_right(right, wanted.get(right), have.get(right)),
                    self._give(other, right, wanted.get(right)),
                    self._give(user, right, have.get(right)),
                )

    def _owned(self, user: Principal, other: Principal) -> Iterator[Difference]:
        for securable in owned_alone(user, other):
            what = f"{self.other_name} owns {securable}{self._place}, {self.user_name} does not"
            if securable == THE_DATABASE:
                leave = f"give the database {self.database} to another owner by hand"
                yield Difference(what, leave, self._join(user, DB_OWNER, joins=True), can_follow=False)
            else:
                control = SQLServerRight("", securable, "CONTROL")
                yield Difference(
                    what,
                    _give_away(other, securable),
                    self._give(user, control, RightState.GRANTABLE),
                    can_follow=False,
                )

    # Sentences and statements

    @property
    def _place(self) -> str:
        return f" in the database {self.database}" if self.database else ""

    def _what_right(self, right: SQLServerRight, wanted: RightState | None, have: RightState | None) -> str:
        if wanted and have:
            user_has, other_has = _given(right, wanted), _given(right, have)
            return f"{self.user_name} has {user_has}, {self.other_name} has {other_has}{self._place}"
        has, lacks = (self.user_name, self.other_name) if wanted else (self.other_name, self.user_name)
        return f"{has} has {_given(right, wanted or have or RightState.GRANT)}{self._place}, {lacks} does not"

    def _run(self, *statements: str) -> str:
        return f"USE {identifier(self.database or 'master')}; {'; '.join(statements)}"

    def _alter(self, one: Principal, options: str) -> str:
        if one.id == DBO or not options:
            return f"nothing at {one.name}, which cannot have that"
        return self._run(f"ALTER {self.keyword} {identifier(one.name)} WITH {options}")

    def _join(self, one: Principal, role: str, *, joins: bool) -> str:
        if one.id == DBO and self.database:
            return f"give the database {self.database} to another owner by hand"
        keyword, verb = "ROLE" if self.database else "SERVER ROLE", "ADD" if joins else "DROP"
        return self._run(f"ALTER {keyword} {identifier(role)} {verb} MEMBER {identifier(one.name)}")

    def _give(self, one: Principal, right: SQLServerRight, wanted: RightState | None) -> str:
        """Return what gives one of the two this right, in this state, instead of what it has; None takes it."""
        if one.id == DBO and self.database:
            return f"give the database {self.database} to another owner by hand"
        if right.securable in one.owned:
            return _give_away(one, right.securable)
        if one is self.user and right in (CONNECT, CONNECT_SQL) and wanted not in GRANTED:
            return f"take {right} from {one.name} by hand, which can then no longer connect"
        passed_on = {(given.right.permission, given.right.securable) for given in one.passed_on}
        ends_option = one.rights.get(right) is RightState.GRANTABLE is not wanted
        if ends_option and (right.permission, right.securable) in passed_on:
            return f"take the grant option for {right} from {one.name} by hand: {one.name} has granted it to others"
        rights = {**one.rights}
        rights.pop(right, None)
        if wanted:
            rights[right] = wanted
        return self._run(*right_changes(rights, one, as_ours=True))


def compared(
    parts: Sequence[ComparedPart], passing: Sequence[str], unlock: Sequence[str], *, is_disabled: bool = False
) -> Comparison:
    """Return the comparison of all parts. No rotation disables a login, also none that creates it."""
    return Comparison(
        differences=list(chain.from_iterable(part.differences() for part in parts)),
        user_state=state(chain.from_iterable(part.user_things() for part in parts)),
        other_state=state(chain.from_iterable(part.other_things() for part in parts)),
        unlock="; ".join(filter(None, unlock)) or None,
        passing=passing,
        is_locked_by_somebody=is_disabled,
    )


def _given(right: SQLServerRight, state: RightState) -> str:
    if state is RightState.GRANTABLE:
        return f"GRANT {right} WITH GRANT OPTION"
    return f"{state} {right}"


def _values(one: Principal, options: Sequence[str]) -> str:
    """Return some options of a principal as ALTER takes them; empty if it has none, as if its default database is gone.

    A user of a database has no CHECK_POLICY.
    """
    return option_list({option: one.options[option] for option in options if option in one.options})


def _give_away(owner: Principal, securable: str) -> str:
    return (
        f"give {securable}, which {owner.name} owns, to another owner by hand (ALTER AUTHORIZATION ON {securable} TO …;"
        " it drops the permissions on that)"
    )
