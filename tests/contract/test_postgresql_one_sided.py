"""What does a rotation do if an administrator changed one of the two roles of a PostgreSQL pair, and not the other?"""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest
from psycopg2.sql import SQL, Identifier, Literal

from rotation.credential import Credential
from rotation.engine import Comparison
from rotation.engines.postgresql.connection import PostgreSQLConnection
from rotation.engines.postgresql.pair import PostgreSQLPair
from rotation.errors import RightsDiffer, Unreachable
from tests.contract.pairs import RecordInMemory, differences, set_secret
from tests.contract.postgresql_kit import alter
from tests.laboratories import INVOICES, deadline
from tests.laboratories.postgresql import OLDER, PostgreSQLLaboratory

pytestmark = [
    pytest.mark.sample(3),
    pytest.mark.thorough(postgresql=OLDER),  # the contract runs on all versions
]

STATEMENTS = pytest.mark.parametrize("statement", ["change_other", "change_user"])


@dataclass
class Rotating:
    """A pair whose secret rotates."""

    laboratory: PostgreSQLLaboratory
    current: Credential
    other: Credential
    record: RecordInMemory = field(default_factory=RecordInMemory)

    def rotate(self, *earlier: Credential) -> None:
        """Rotate the secret, and see that the pair is equal."""
        self.other = set_secret(self.laboratory, self.current, *earlier, pair=self.record)
        assert differences(self.laboratory, self.current, self.other) == []
        assert self.laboratory.logs_in(self.current)
        self.current, self.other = self.other, self.current

    def compare(self) -> Comparison:
        """Compare the pair as the admin."""
        with self.laboratory.engine.connect(self.laboratory.admin, deadline()) as session:
            return session.compare(self.current.username, self.other.username)

    def is_refused(self) -> Comparison:
        """See that a rotation is refused, with all statements, and changes nothing; return the differences."""
        before, comparison = self.all_there_is(), self.compare()
        with pytest.raises(RightsDiffer) as raised:
            self.rotate()
        for difference in comparison.differences:
            assert difference.what in raised.value.cause
            assert f"{difference.change_other} or {difference.change_user}" in raised.value.remedy
        assert self.all_there_is() == before
        return comparison

    def run(self, comparison: Comparison, statement: str) -> None:
        """Run what the message says, to the letter, to end each difference."""
        for difference in comparison.differences:
            text, database = getattr(difference, statement), None
            if text.startswith("in database "):
                place, _, text = text.partition(": ")
                database = place.removeprefix("in database ").strip('"')
            with self.laboratory.session(database=database) as run:
                run(text)

    def alter(self, statement: str, *names: str, database: str | None = None) -> None:
        """Run a statement as a superuser."""
        alter(self.laboratory, statement, *names, database=database)

    def all_there_is(self) -> list[list[tuple[object, ...]]]:
        """Return what the server knows of both."""
        names = [self.current.username, self.other.username]
        roles = "(SELECT oid FROM pg_roles WHERE rolname = ANY (%s))"
        with self.laboratory.session() as run:
            return [
                run(f"SELECT * FROM {table} WHERE {column} IN {roles} ORDER BY 1, 2, 3", names)  # noqa: S608 - constants
                for table, column in TABLES.items()
            ]

    @property
    def original(self) -> str:
        """The name of the original."""
        return min(self.current.username, self.other.username, key=len)

    @property
    def clone(self) -> str:
        """The name of the clone."""
        return max(self.current.username, self.other.username, key=len)


TABLES = {
    "pg_authid": "oid",
    "pg_db_role_setting": "setrole",
    "pg_auth_members": "member",
    "pg_shdescription": "objoid",
    "pg_shdepend": "refobjid",
    "(SELECT defaclrole, defaclobjtype, defaclnamespace, defaclacl FROM pg_default_acl) d": "defaclrole",
}


@pytest.fixture
def rotating(postgresql: PostgreSQLLaboratory) -> Rotating:
    """A pair that was rotated once: the clone is current."""
    user = postgresql.new_user()
    rotating = Rotating(postgresql, user, replace(user, username=f"{user.username}_clone"))
    rotating.rotate()
    return rotating


@pytest.fixture
def database(postgresql: PostgreSQLLaboratory) -> Iterator[str]:
    """Another database, of the admin's, in which the admin has a table."""
    name = f"other_{secrets.token_hex(4)}"
    alter(postgresql, "CREATE DATABASE {} OWNER {}", name, postgresql.admin.username)
    with postgresql.session(postgresql.admin, name) as run:
        run("CREATE TABLE public.t (id int)")
    yield name
    alter(postgresql, "DROP DATABASE {}", name)


# What both have for themselves


KINDS = {
    "attribute": ("CREATEDB", "CREATEDB", "CREATEDB", "NOCREATEDB"),
    "limit": tuple(f"CONNECTION LIMIT {number}" for number in (3, 4, 5, -1)),
    "validity": tuple(f"VALID UNTIL '{until}'" for until in ("2093-01-01", "2094-01-01", "2095-01-01", "infinity")),
    "setting": (*(f"SET work_mem TO '{number}MB'" for number in (3, 4, 5)), "RESET work_mem"),
    "setting in a database": (
        *(f"IN DATABASE postgres SET work_mem TO '{number}MB'" for number in (3, 4, 5)),
        "IN DATABASE postgres RESET work_mem",
    ),
    "list": (
        *(f"SET search_path TO \"$user\", 'Odd ''{number}'" for number in (3, 4, 5)),
        "RESET search_path",
    ),
    "made-up setting": (
        *(f"SET app.tenant TO '{number}=it''s \"$text$\"'" for number in (3, 4, 5)),
        "RESET app.tenant",
    ),
}
"""What is changed, by turns: the last of the four takes away what the third has given."""


@pytest.fixture(params=KINDS)
def changes(request: pytest.FixtureRequest, postgresql: PostgreSQLLaboratory) -> list[str]:
    """How one thing of a role is changed, four times."""
    kind = request.param
    if kind == "made-up setting" and postgresql.version >= 150000:
        alter(postgresql, "GRANT SET ON PARAMETER app.tenant TO {}", postgresql.admin.username)
    elif kind == "made-up setting":
        kind = "setting"  # only a superuser can give a role the other one
    return [f"ALTER ROLE {{}} {change}" for change in KINDS[kind]]


@pytest.mark.thorough(postgresql=OLDER, changes=list(KINDS)[1:])
def test_a_change_of_the_other_is_refused_until_one_of_the_statements_was_run(
    rotating: Rotating, changes: list[str]
) -> None:
    for statement, change in zip(2 * ["change_other"] + 2 * ["change_user"], changes, strict=True):
        rotating.alter(change, rotating.other.username)
        comparison = rotating.is_refused()
        assert len(comparison.differences) == 1
        assert "it's" not in str(comparison)
        rotating.run(comparison, statement)
        assert rotating.compare().sentences == []
        rotating.rotate()


@pytest.mark.thorough(postgresql=OLDER, changes=list(KINDS)[1:])
def test_a_change_of_the_current_user_follows_and_so_does_one_of_both(rotating: Rotating, changes: list[str]) -> None:
    for number, change in enumerate(dict.fromkeys(changes)):
        rotating.alter(change, rotating.current.username)
        if is_both := number == 2:
            rotating.alter(change, rotating.other.username)
        assert bool(rotating.compare().differences) is not is_both
        rotating.rotate()


@pytest.mark.thorough(postgresql=OLDER, changes=list(KINDS)[1:])
def test_without_a_record_each_difference_is_refused(rotating: Rotating, changes: list[str]) -> None:
    rotating.record = RecordInMemory()
    rotating.alter(changes[0], rotating.current.username)
    rotating.run(rotating.is_refused(), "change_other")
    rotating.rotate()


@STATEMENTS
def test_a_statement_with_a_strange_name_changes_nothing_else(rotating: Rotating, statement: str) -> None:
    """Whoever owns a database gives it its name, and an administrator runs the statement."""
    name = f"it's \\ $do$ $text$ \"; %s {{}} {secrets.token_hex(4)}"
    rotating.alter("CREATE DATABASE {}", name)
    rotating.alter("ALTER ROLE {} IN DATABASE {} SET app.tenant TO 'theirs'", rotating.other.username, name)
    comparison = rotating.compare()
    assert "theirs" not in str(comparison)
    rotating.run(comparison, statement)
    assert rotating.compare().sentences == []
    rotating.alter("DROP DATABASE {}", name)


def test_a_difference_whose_statement_would_lock_the_current_user_out_has_none(rotating: Rotating) -> None:
    for change in ("VALID UNTIL '2001-01-01'", "CONNECTION LIMIT 0"):
        rotating.alter(f"ALTER ROLE {{}} {change}", rotating.other.username)
    comparison = rotating.is_refused()
    for difference in comparison.differences:
        assert difference.change_user.endswith(f"would lock {rotating.current.username} out")
    rotating.run(comparison, "change_other")
    rotating.rotate()


def test_a_database_does_not_change_how_a_time_reads(rotating: Rotating, database: str) -> None:
    rotating.alter("ALTER ROLE {} VALID UNTIL '2099-01-01'", rotating.current.username)
    states = set()
    for zone in ("UTC", "Asia/Kolkata"):
        rotating.alter(f"ALTER DATABASE {{}} SET timezone TO '{zone}'", database)
        admin = replace(rotating.laboratory.admin, database=database)
        with rotating.laboratory.engine.connect(admin, deadline()) as session:
            comparison = session.compare(rotating.current.username, rotating.other.username)
        states.add((*comparison.sentences, comparison.user_state, comparison.other_state))
    assert len(states) == 1


# What the clone alone was given


GIFTS = {
    "table": "GRANT SELECT ON public.{thing} TO {clone}",
    "with grant option": "GRANT SELECT ON public.{thing} TO {clone} WITH GRANT OPTION",
    "column": "GRANT UPDATE (id) ON public.{thing} TO {clone}",
    "schema": "GRANT CREATE ON SCHEMA {thing} TO {clone}",
    "routine": "GRANT EXECUTE ON FUNCTION {thing}.f(int) TO {clone}",
    "default privileges of another": "ALTER DEFAULT PRIVILEGES IN SCHEMA {thing} GRANT SELECT ON TABLES TO {clone}",
    "role": "GRANT {thing} TO {clone}",
    "role with option": "GRANT {thing} TO {clone} WITH ADMIN OPTION",
}


@pytest.fixture(params=GIFTS)
def give(request: pytest.FixtureRequest, rotating: Rotating) -> Callable[[], None]:
    """Gives something of the admin's to the clone alone."""
    names = {"thing": Identifier(f"thing_{secrets.token_hex(4)}"), "clone": Identifier(rotating.clone)}
    with rotating.laboratory.session() as run:
        run(SQL("CREATE SCHEMA {thing} AUTHORIZATION {admin}").format(
            admin=Identifier(rotating.laboratory.admin.username), **names
        ))  # fmt: skip
    with rotating.laboratory.session(rotating.laboratory.admin) as run:
        run(SQL("CREATE TABLE public.{thing} (id int)").format(**names))
        run(SQL("CREATE ROLE {thing}").format(**names))
        run(SQL("CREATE FUNCTION {thing}.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'").format(**names))
        run(SQL("REVOKE ALL ON FUNCTION {thing}.f FROM PUBLIC").format(**names))

    def give() -> None:
        with rotating.laboratory.session(rotating.laboratory.admin) as run:
            run(SQL(GIFTS[request.param]).format(**names))

    return give


@pytest.mark.thorough(postgresql=OLDER, give=[gift for gift in GIFTS if "role" not in gift])
def test_what_the_clone_was_given_is_refused_while_the_original_is_current(
    rotating: Rotating, give: Callable[[], None]
) -> None:
    rotating.rotate()
    give()
    rotating.run(rotating.is_refused(), "change_other")
    rotating.rotate()
    rotating.rotate()
    give()
    rotating.run(rotating.is_refused(), "change_user")
    rotating.rotate()


@pytest.mark.thorough(postgresql=OLDER, give=[gift for gift in GIFTS if "role" not in gift])
def test_what_the_clone_was_given_follows_while_it_is_current(rotating: Rotating, give: Callable[[], None]) -> None:
    give()
    [difference] = rotating.compare().differences
    rotating.rotate()
    rotating.rotate()
    assert difference.what not in rotating.compare().sentences


@STATEMENTS
@pytest.mark.parametrize("thing", ["table", "table that the admin cannot take", "role"])
def test_what_was_revoked_from_the_original_does_not_come_back(rotating: Rotating, thing: str, statement: str) -> None:
    """Both have it, and the clone is current."""
    name = f"thing_{secrets.token_hex(4)}"
    with rotating.laboratory.session(None if "cannot" in thing else rotating.laboratory.admin) as run:
        make, grant, revoke = (
            ("CREATE ROLE {0}", "GRANT {0} TO {1}", "REVOKE {0} FROM {1}")
            if thing == "role"
            else (
                "CREATE TABLE public.{0} (id int)",
                "GRANT SELECT ON public.{0} TO {1}",
                "REVOKE SELECT ON public.{0} FROM {1}",
            )
        )
        run(SQL(make).format(Identifier(name)))
        for role in (rotating.original, rotating.clone):
            run(SQL(grant).format(Identifier(name), Identifier(role)))
        rotating.rotate()
        rotating.rotate()
        run(SQL(grant).format(Identifier(name), Identifier(rotating.clone)))  # a rotation can have taken it
        run(SQL(revoke).format(Identifier(name), Identifier(rotating.original)))
    comparison = rotating.is_refused()
    assert len(comparison.differences) == 1
    rotating.run(comparison, statement)
    rotating.rotate()
    rotating.rotate()


def test_what_the_original_is_given_and_loses_both_have_and_lose(rotating: Rotating) -> None:
    for _ in range(2):
        rotating.laboratory.allow(rotating.original, INVOICES)
        rotating.rotate()
        assert rotating.laboratory.may_read(rotating.current, INVOICES)
        rotating.laboratory.forbid(rotating.original, INVOICES)
        rotating.rotate()
        assert not rotating.laboratory.may_read(rotating.current, INVOICES)
        rotating.rotate()


@STATEMENTS
@pytest.mark.parametrize("current", [0, 1], ids=["the original is current", "the clone is current"])
def test_what_the_clone_was_given_in_another_database_is_refused(
    rotating: Rotating, database: str, current: int, statement: str
) -> None:
    """From there, nobody knows whether the original had it as well."""
    if not current:
        rotating.rotate()
    with rotating.laboratory.session(rotating.laboratory.admin, database) as run:
        run(SQL("GRANT SELECT ON public.t TO {}").format(Identifier(rotating.clone)))
    comparison = rotating.is_refused()
    assert comparison.sentences == [
        f"{rotating.clone} has SELECT on table public.t, {rotating.original} has not (in database {database})"
    ]
    rotating.run(comparison, statement)
    rotating.rotate()
    rotating.rotate()


# Default privileges, which only the clone gets from the original


DEFAULTS = "ALTER DEFAULT PRIVILEGES FOR ROLE {} GRANT SELECT ON TABLES TO PUBLIC"


@STATEMENTS
def test_default_privileges_that_were_set_for_the_clone_are_refused_whichever_is_current(
    rotating: Rotating, statement: str
) -> None:
    for change in (DEFAULTS, "ALTER DEFAULT PRIVILEGES FOR ROLE {} REVOKE EXECUTE ON ROUTINES FROM PUBLIC"):
        rotating.alter(change, rotating.clone)
        rotating.run(rotating.is_refused(), statement)
        rotating.rotate()


def test_default_privileges_of_the_original_follow_whichever_is_current(rotating: Rotating) -> None:
    for change in (DEFAULTS, DEFAULTS.replace("GRANT", "REVOKE").replace("TO PUBLIC", "FROM PUBLIC")):
        rotating.alter(change, rotating.original)
        rotating.rotate()


# The pair itself


@pytest.mark.parametrize("current", [0, 1], ids=["the original is current", "the clone is current"])
def test_a_clone_that_is_no_member_any_more_stays_one_until_the_statement_was_run(
    rotating: Rotating, current: int
) -> None:
    if not current:
        rotating.rotate()
    with rotating.laboratory.session(rotating.laboratory.admin) as run:  # who granted it
        run(SQL("REVOKE {} FROM {}").format(Identifier(rotating.original), Identifier(rotating.clone)))
    rotating.run(rotating.is_refused(), "change_user" if current else "change_other")
    rotating.rotate()


def test_a_clone_that_must_not_inherit_any_more_is_refused(rotating: Rotating) -> None:
    rotating.rotate()
    rotating.alter("ALTER ROLE {} NOINHERIT", rotating.clone)
    rotating.run(rotating.is_refused(), "change_other")
    rotating.rotate()


def test_a_locked_other_is_refused_until_it_is_unlocked(rotating: Rotating) -> None:
    for _ in range(2):
        rotating.laboratory.lock_user(rotating.other.username)
        unlock = rotating.is_refused().unlock
        assert unlock
        rotating.alter(unlock.replace("{", "{{"))
        rotating.rotate()


def test_only_a_new_password_unlocks_the_other(rotating: Rotating) -> None:
    """Until then a rotation sees the lock, and is refused."""
    for _ in range(2):
        user, other = rotating.current.username, rotating.other.username
        rotating.laboratory.lock_user(other)
        with rotating.laboratory.engine.connect(rotating.laboratory.admin, deadline()) as session:
            session.mirror(user, other)
            assert session.compare(user, other).unlock
        rotating.laboratory.unlock_user(other)
        rotating.rotate()


def test_a_pair_of_which_one_is_gone_is_not_compared(rotating: Rotating) -> None:
    rotating.rotate()
    rotating.alter("DROP ROLE {}", rotating.clone)
    with pytest.raises(RightsDiffer, match=f"there is no role {rotating.clone}"):
        rotating.compare()
    rotating.rotate()


def test_states_are_those_that_the_last_rotation_left(rotating: Rotating) -> None:
    """A rotation does nothing to an equal pair that its states tell."""
    rotating.rotate()
    rotating.rotate()
    before = rotating.compare()
    rotating.rotate()
    after = rotating.compare()
    assert {before.user_state, before.other_state} == {after.user_state, after.other_state}
    assert len(rotating.record.record().equal) == 3  # what an application finds is the third


# Strangers


@pytest.mark.parametrize("is_trusted", [False, True], ids=["a stranger", "whom the admin can act as"])
def test_only_who_the_operator_trusts_can_stop_a_rotation_by_giving_the_clone_something(
    rotating: Rotating, is_trusted: bool
) -> None:
    stranger = rotating.laboratory.new_user()
    rotating.rotate()
    rotating.alter("CREATE SCHEMA {0} AUTHORIZATION {0}", stranger.username)
    if is_trusted:
        options = " WITH INHERIT TRUE, SET TRUE" if rotating.laboratory.version >= 160000 else ""
        rotating.alter(f"GRANT {{}} TO {{}}{options}", stranger.username, rotating.laboratory.admin.username)
    with rotating.laboratory.session(stranger) as run:
        run(SQL("CREATE TABLE {}.t (id int)").format(Identifier(stranger.username)))
        for role in (rotating.original, rotating.clone):
            run(SQL("GRANT SELECT ON {}.t TO {}").format(Identifier(stranger.username), Identifier(role)))
        run(SQL("REVOKE SELECT ON {}.t FROM {}").format(Identifier(stranger.username), Identifier(rotating.original)))
    rotating.alter("ALTER ROLE {} CONNECTION LIMIT 5", rotating.current.username)
    if is_trusted:
        rotating.run(rotating.is_refused(), "change_other")
    rotating.rotate()
    rotating.alter("ALTER ROLE {} CONNECTION LIMIT 6", rotating.current.username)
    rotating.rotate()


# Interrupted


@pytest.mark.parametrize("current", [0, 1], ids=["from the original", "from the clone"])
def test_a_rotation_that_was_cut_off_after_any_statement_is_ended_by_the_next_one(
    rotating: Rotating, database: str, monkeypatch: pytest.MonkeyPatch, current: int
) -> None:
    """The clone owns something in another database, so there are several transactions."""
    cut = Cut()
    monkeypatch.setattr(PostgreSQLPair, "mirror", cut.mirror(PostgreSQLPair.mirror))
    monkeypatch.setattr(PostgreSQLConnection, "_run", cut.run(PostgreSQLConnection._run))  # noqa: SLF001 - the only place
    if not current:
        rotating.rotate()
    for at in range(1, 100):
        rotating.alter("ALTER TABLE public.t OWNER TO {}", rotating.clone, database=database)
        rotating.alter(f"ALTER ROLE {{}} CONNECTION LIMIT {at + 5}", rotating.current.username)  # a session ends late
        rotating.alter(f"ALTER ROLE {{}} SET work_mem TO '{at}MB'", rotating.current.username)
        if current:
            rotating.laboratory.allow(rotating.clone, INVOICES)
        cut.at = at
        try:
            rotating.rotate()
        except Unreachable:
            cut.at = 0
            rotating.rotate()
        else:
            assert at > 10
            return
        rotating.laboratory.forbid(rotating.original, INVOICES)
        rotating.rotate()
    pytest.fail("it does not end")


class Cut:
    """Cuts a session off after a statement of `mirror` that changes something."""

    at = 0
    number = 0
    is_mirroring = False

    def mirror(
        self, mirror: Callable[[PostgreSQLPair, PostgreSQLPair | None], None]
    ) -> Callable[[PostgreSQLPair, PostgreSQLPair | None], None]:
        """Count in here."""

        def counted(pair: PostgreSQLPair, compared: PostgreSQLPair | None) -> None:
            self.number, self.is_mirroring = 0, True
            try:
                mirror(pair, compared)
            finally:
                self.is_mirroring = False

        return counted

    def run(self, run: Callable[..., list[tuple[object, ...]]]) -> Callable[..., list[tuple[object, ...]]]:
        """Count statements, and raise an error after one of them."""

        def counted(via: PostgreSQLConnection, statement: object, *more: object) -> list[tuple[object, ...]]:
            rows = run(via, statement, *more)
            text = statement if isinstance(statement, str) else via.quoted(statement)  # type: ignore[arg-type] # psycopg2's
            if self.is_mirroring and not text.lstrip().startswith(("SELECT", "WITH", "SET", "BEGIN", "ROLLBACK")):
                self.number += 1
                if self.number == self.at:
                    raise Unreachable("mirroring", "cut off", "None")
            return rows

        return counted


# Adopting a pair of AWS's template


@dataclass(frozen=True)
class Adopted:
    """A pair that the template made."""

    pair: tuple[Credential, Credential]
    database: str

    def rotating(self, postgresql: PostgreSQLLaboratory, current: int) -> Rotating:
        """Return it as it is rotated for the first time."""
        return Rotating(postgresql, self.pair[current], self.pair[1 - current])


@pytest.fixture
def adopted(postgresql: PostgreSQLLaboratory) -> Iterator[Adopted]:
    """A pair made by the statements of AWS's template for two users, which has used two databases since."""
    user = postgresql.new_user()
    clone = replace(user, username=f"{user.username}_clone", password=secrets.token_urlsafe())
    names = {"user": Identifier(user.username), "clone": Identifier(clone.username)}
    with postgresql.session(postgresql.admin) as run:
        run(SQL("CREATE ROLE {clone} WITH LOGIN PASSWORD {password}").format(password=Literal(clone.password), **names))
        run(SQL("GRANT {user} TO {clone}").format(**names))
    database = f"of_{user.username}"
    alter(postgresql, "CREATE DATABASE {} OWNER {}", database, user.username)
    for place in ("postgres", database):
        with postgresql.session(database=place) as run:
            for statement in (
                "CREATE SCHEMA {user} AUTHORIZATION {user}",
                "CREATE TABLE {user}.of_clone (id int)",
                "ALTER TABLE {user}.of_clone OWNER TO {clone}",
                "CREATE TABLE {user}.of_user (id int)",
                "ALTER TABLE {user}.of_user OWNER TO {user}",
                "GRANT SELECT ON {user}.of_user TO {clone}",
                "ALTER DEFAULT PRIVILEGES FOR ROLE {user} GRANT SELECT ON TABLES TO {clone}, PUBLIC",
            ):
                run(SQL(statement).format(**names))
    yield Adopted((user, clone), database)
    alter(postgresql, "DROP DATABASE {}", database)


BOTH_WAYS = pytest.mark.parametrize("current", [0, 1], ids=["from the original", "from the clone"])


@BOTH_WAYS
def test_a_pair_that_the_template_made_is_adopted_at_the_first_rotation(
    postgresql: PostgreSQLLaboratory, adopted: Adopted, current: int
) -> None:
    rotating = adopted.rotating(postgresql, current)
    assert rotating.compare().sentences == []
    rotating.rotate(rotating.other)
    for place in ("postgres", adopted.database):
        for who in (rotating.current, rotating.other):
            with postgresql.session(who, place) as run:
                run(SQL("SELECT FROM {}.of_clone").format(Identifier(rotating.original)))
    rotating.rotate()


@BOTH_WAYS
@pytest.mark.parametrize(
    "change",
    [
        "ALTER ROLE {user} CONNECTION LIMIT 5",
        "ALTER ROLE {clone} SET work_mem TO '5MB'",
        "GRANT SELECT ON public.lab_invoices TO {clone}",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {clone} GRANT INSERT ON TABLES TO PUBLIC",
    ],
)
def test_what_differs_in_a_pair_that_the_template_made_is_refused(
    postgresql: PostgreSQLLaboratory, adopted: Adopted, current: int, change: str
) -> None:
    rotating = adopted.rotating(postgresql, current)
    with postgresql.session(postgresql.admin if "lab" in change else None) as run:
        run(SQL(change).format(user=Identifier(rotating.original), clone=Identifier(rotating.clone)))
    comparison = rotating.compare()
    with pytest.raises(RightsDiffer, match="no rotation has recorded"):
        rotating.rotate(rotating.other)
    rotating.run(comparison, "change_other")
    rotating.rotate(rotating.other)


@BOTH_WAYS
def test_an_adoption_that_was_cut_off_after_any_statement_is_ended_by_the_next_one(
    postgresql: PostgreSQLLaboratory, adopted: Adopted, monkeypatch: pytest.MonkeyPatch, current: int
) -> None:
    cut, rotating = Cut(), adopted.rotating(postgresql, current)
    monkeypatch.setattr(PostgreSQLPair, "mirror", cut.mirror(PostgreSQLPair.mirror))
    monkeypatch.setattr(PostgreSQLConnection, "_run", cut.run(PostgreSQLConnection._run))  # noqa: SLF001 - the only place
    for cut.at in range(1, 100):
        try:
            rotating.rotate(rotating.other)
        except Unreachable:
            continue
        assert cut.at > 10
        return
    pytest.fail("it does not end")
