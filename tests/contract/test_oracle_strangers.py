"""Is Oracle's admin nobody's tool? What others can write, forge and grant, and what comes of it."""

import logging
import secrets
from collections.abc import Iterator
from dataclasses import replace

import oracledb
import pytest

from rotation.credential import Credential
from rotation.engine import CloneStatus
from rotation.errors import NotPermitted, StatementFailed, Unsafe, Unsupported
from tests.contract.oracle_kit import MAPPING, account, add, definition, documented, filled, name_of
from tests.contract.pairs import Pair, changed, differences, mirror, new_clone, proof_of
from tests.laboratories import INVOICES, ORDERS, deadline, new_password
from tests.laboratories.oracle import OWNER, OracleLaboratory, known, quoted
from tests.local.stand_ins.oracle.database import Database, User
from tests.local.stand_ins.oracle.server import Server

pytestmark = pytest.mark.engine("oracle")


# Who has logged in


def test_the_user_that_logged_in_is_the_one_that_is_changed(oracle: OracleLaboratory, pair: Pair) -> None:
    user, clone = pair
    now, proof = changed(clone), proof_of(oracle, user)
    assert user.password not in repr(proof)
    with oracle.engine.connect(oracle.admin, deadline()) as session:
        session.require_proven(proof)
        assert session.clone_status(user.username, clone.username) is CloneStatus.OURS
        session.mirror(user.username, clone.username)
        session.set_password(clone.username, now.password)
    assert oracle.logs_in(now)


@pytest.fixture(params=["sid", "unique_name", "container", "number"])
def another(request: pytest.FixtureRequest, stand_in: Server, pair: Pair) -> Iterator[Credential]:
    """A login under the name of the user, but in a database or a container of somebody else's, or as another account.

    Of a database, the answer to the login tells that it is another one, or a statement does, which may be made to lie.

    The listener knows it by the same name, and gives it the next connection, and every other one from then on.
    """
    user, _ = pair
    real = stand_in.database
    there = Database(real.version, container=real.container, sid=real.sid)
    number = real.users[name_of(user)].number
    if request.param == "number":
        number += 1
    else:
        setattr(there, request.param, "HERS")
    hers = replace(user, password=new_password())
    there.users[name_of(user)] = User(name_of(user), hers.password, number=number)
    there.system_grants[name_of(user), "CREATE SESSION"] = False
    known_there = stand_in.listener.services[real.service]
    known_there.insert(0, there)
    yield hers
    known_there.remove(there)


def test_a_login_behind_the_same_listener_that_is_another_account_proves_nothing(
    oracle: OracleLaboratory, another: Credential
) -> None:
    proof = proof_of(oracle, another)
    with (
        oracle.engine.connect(oracle.admin, deadline()) as session,
        pytest.raises(Unsafe, match=r'finds another one.*"dbname".*one database only'),
    ):
        session.require_proven(proof)


def test_a_user_that_the_admin_does_not_find_is_none(oracle: OracleLaboratory) -> None:
    user = oracle.new_user()
    proof = proof_of(oracle, user)
    oracle.alter(f"DROP USER {account(user)}")
    with (
        oracle.engine.connect(oracle.admin, deadline()) as session,
        pytest.raises(Unsafe, match="the admin finds none"),
    ):
        session.require_proven(proof)


def test_a_user_that_was_made_anew_meanwhile_is_another_one(oracle: OracleLaboratory, pair: Pair) -> None:
    user, clone = pair
    proof = proof_of(oracle, user)
    with oracle.engine.connect(oracle.admin, deadline()) as session:
        session.require_proven(proof)
        oracle.alter(
            f"DROP USER {account(user)}", f"CREATE USER {account(user)} IDENTIFIED BY {quoted(new_password())}"
        )
        for verb in (session.clone_status, session.mirror):
            with pytest.raises(Unsafe, match="no longer the account that has logged in"):
                verb(user.username, clone.username)


@pytest.mark.parametrize("login", ["{}_of_a_directory", "{}"], ids=["another name", "the same name"])
def test_a_user_of_a_directory_is_not_the_schema_that_it_gets(
    oracle: OracleLaboratory, stand_in: Server, login: str
) -> None:
    victim = oracle.new_user()
    name = known(login.format(victim.username))
    shared = replace(victim, username=name, password=new_password())
    stand_in.database.enterprise[name] = (shared.password, name_of(victim))
    try:
        with oracle.engine.connect(shared, deadline()) as session, pytest.raises(Unsafe, match="GLOBAL SHARED"):
            session.proof()
    finally:
        del stand_in.database.enterprise[name]


@pytest.mark.parametrize("field", ["proxy", "user"])
def test_a_session_of_somebody_else_is_reported(oracle: OracleLaboratory, stand_in: Server, field: str) -> None:
    """The client asks for no proxy session. Here, the server gives another one than was asked for."""
    user, victim = oracle.new_user(), oracle.new_user()
    begun = stand_in.sessions
    with oracle.engine.connect(user, deadline()) as session:
        setattr(begun[-1], field, name_of(victim))
        with pytest.raises(Unsafe, match=name_of(victim)):
            session.proof()


def test_names_that_differ_in_case_are_two_users_whatever_comparisons_are_set_to(
    oracle: OracleLaboratory, stand_in: Server
) -> None:
    name = f"App{secrets.token_hex(3)}"
    small, large = oracle.new_user(f'"{name}"'), oracle.new_user(f'"{name.upper()}"')
    oracle.allow(large.username, INVOICES)
    clone = new_clone(replace(small, username=name))
    clone = replace(clone, username=f'"{name}_clone"')
    proof = proof_of(oracle, small)
    with trigger(oracle, "AFTER LOGON ON DATABASE", "NLS_COMP = LINGUISTIC NLS_SORT = BINARY_CI"):
        with oracle.engine.connect(oracle.admin, deadline()) as session:
            session.require_proven(proof)
            with pytest.raises(Unsafe):
                session.require_proven(replace(proof, username=large.username))
            session.mirror(small.username, clone.username)
            session.set_password(clone.username, clone.password)
            assert session.compare(small.username, clone.username).sentences == []
        assert stand_in.database.triggers
    assert definition(oracle, clone) == definition(oracle, small)
    assert not oracle.may_read(clone, INVOICES)


def test_a_proof_saves_the_admin_of_two_passwords_a_login(oracle: OracleLaboratory, dual: Credential) -> None:
    now, later = changed(dual), changed(dual)
    add(oracle, dual, now)
    proof, before = proof_of(oracle, now), oracle.logins()
    with oracle.engine.connect(oracle.admin, deadline()) as session:
        session.require_proven(proof)
        session.add_password(dual.username, now.password, later.password)
    after = oracle.logins()
    assert before
    assert after
    assert after.tried - before.tried == 1
    assert [oracle.logs_in(one) for one in (dual, now, later)] == [False, True, True]


# What others have written


@pytest.fixture
def evil(oracle: OracleLaboratory) -> Credential:
    """Somebody who may write code, and more than others."""
    user = oracle.new_user()
    oracle.alter(
        f"GRANT CREATE TABLE, CREATE VIEW, CREATE PROCEDURE, CREATE TYPE, CREATE TRIGGER TO {account(user)}",
        f"GRANT CREATE PUBLIC SYNONYM, CREATE SYNONYM TO {account(user)}",
        f"ALTER USER {account(user)} QUOTA UNLIMITED ON users",
    )
    return user


class trigger:  # noqa: N801 - used like a function
    """A trigger of this user, for a while; of the superuser, if none is named."""

    def __init__(
        self, oracle: OracleLaboratory, event: str, setting: str = "", owner: Credential | None = None
    ) -> None:
        self._oracle = oracle
        self.name = f"{account(owner or oracle.superuser)}.spy_{secrets.token_hex(3)}"
        acts = f"EXECUTE IMMEDIATE 'ALTER SESSION SET {setting}';" if setting else "NULL;"
        self._statement = f"CREATE OR REPLACE TRIGGER {self.name} {event} BEGIN {acts} END;"

    def __enter__(self) -> str:
        self._oracle.alter(self._statement)
        return self.name.replace('"', "").upper()

    def __exit__(self, *_: object) -> None:
        self._oracle.alter(f"DROP TRIGGER {self.name}")


NAMES = {
    "ALL_USERS": "VIEW",
    "DBA_USERS": "VIEW",
    "DBA_TAB_PRIVS": "VIEW",
    "DBA_TRIGGERS": "VIEW",
    "DUAL": "VIEW",
    "SYS": "PACKAGE",
    "SYS_CONTEXT": "FUNCTION",
    "DBMS_RESOURCE_MANAGER": "PACKAGE",
    "DBMS_RESOURCE_MANAGER_PRIVS": "PACKAGE",
}
"""What an admin's session names, and what somebody can make of it in a schema of hers."""

TRAPS = (
    *(f"CREATE OR REPLACE {kind} {{0}}.{name} AS SELECT 1" for name, kind in NAMES.items()),
    "CREATE TABLE {0}.replaced (id NUMBER)",
    "CREATE OR REPLACE VIEW {0}.looked_at AS SELECT {0}.f FROM dual",
    "CREATE OR REPLACE FUNCTION {0}.f RETURN NUMBER AUTHID CURRENT_USER IS BEGIN RETURN 1; END;",
    "CREATE OR REPLACE TYPE {0}.t AUTHID CURRENT_USER AS OBJECT (id NUMBER, MAP MEMBER FUNCTION m RETURN NUMBER)",
    "CREATE OR REPLACE OPERATOR {0}.o BINDING (NUMBER) RETURN NUMBER USING f",
)


@pytest.fixture
def trapped(oracle: OracleLaboratory, evil: Credential, pair: Pair) -> Iterator[Pair]:
    """The pair, whose user has a grant on a trap; each login is led to more of them."""
    user, _ = pair
    oracle.alter(
        *(text.format(account(evil)) for text in TRAPS),
        f"GRANT SELECT ON {account(evil)}.replaced TO {account(user)} WITH GRANT OPTION",
        f"GRANT SELECT ON {account(evil)}.looked_at TO {account(user)}",
        *(f"GRANT EXECUTE ON {account(evil)}.{name} TO {account(user)}" for name in ("f", "t", "o", "sys")),
        "BEGIN sys.dbms_resource_manager_privs.grant_switch_consumer_group('{n}', 'BATCH_GROUP', TRUE); END;".replace(
            "{n}", name_of(user)
        ),
        filled(MAPPING.replace("{g}", "BATCH_GROUP"), user, ""),
        f"CREATE SYNONYM {account(user)}.dba_users FOR {account(evil)}.looked_at",
    )
    synonyms = [name for name in NAMES if name != "DUAL"]
    oracle.alter(*(f"CREATE OR REPLACE PUBLIC SYNONYM {name} FOR {account(evil)}.{name}" for name in synonyms))
    oracle.alter(
        *(f"CREATE OR REPLACE SYNONYM {quoted(oracle.admin.username)}.{n} FOR {account(evil)}.{n}" for n in NAMES)
    )
    yield pair
    oracle.alter(*(f"DROP PUBLIC SYNONYM {name}" for name in synonyms))
    oracle.alter(*(f"DROP SYNONYM {quoted(oracle.admin.username)}.{name}" for name in NAMES))


@pytest.mark.parametrize("where", ["{evil}", "{admin}", ""], ids=["hers", "the admin's own", "public synonyms"])
def test_no_trap_is_sprung_as_the_admin(
    oracle: OracleLaboratory, stand_in: Server, evil: Credential, trapped: Pair, where: str
) -> None:
    user, clone = trapped
    schema = where.format(evil=account(evil), admin=quoted(oracle.admin.username)) or quoted("LAB_THINGS")
    proof = proof_of(oracle, user)
    with (
        trigger(oracle, "AFTER LOGON ON DATABASE", f"CURRENT_SCHEMA = {schema}"),
        oracle.engine.connect(oracle.admin, deadline()) as session,
    ):
        session.require_proven(proof)
        assert session.clone_status(user.username, clone.username) is CloneStatus.OURS
        session.mirror(user.username, clone.username)
        session.set_password(clone.username, changed(clone).password)
        assert session.compare(user.username, clone.username).sentences == []
    assert sprung_by(stand_in, oracle.admin) == []
    assert definition(oracle, clone) == definition(oracle, user)


def test_a_trap_is_one(oracle: OracleLaboratory, stand_in: Server, evil: Credential, trapped: Pair) -> None:
    del trapped
    oracle.alter(f"GRANT SELECT ON {account(evil)}.looked_at TO {quoted(oracle.admin.username)}")
    with oracle.session(oracle.admin) as run:
        run(f"SELECT id FROM {account(evil)}.looked_at")  # noqa: S608 - a quoted name
        run(f"ALTER SESSION SET CURRENT_SCHEMA = {account(evil)}")
        run("SELECT SYS_CONTEXT('USERENV', 'CON_NAME') FROM sys.dual")
        run("BEGIN sys.dbms_resource_manager.create_pending_area; END;")
    sprung = sprung_by(stand_in, oracle.admin)
    stand_in.database.sprung.clear()
    assert sprung == [f"{name_of(evil)}.{name}" for name in ("LOOKED_AT", "SYS_CONTEXT", "SYS")]


def sprung_by(stand_in: Server, user: Credential) -> list[str]:
    return [what for who, what in stand_in.database.sprung if who == name_of(user)]


@pytest.mark.parametrize("setting", ["", "CURRENT_SCHEMA = {evil}"])
@pytest.mark.parametrize(
    "event", ["AFTER DDL ON DATABASE", "BEFORE GRANT OR ALTER ON DATABASE", "AFTER DDL ON {admin}.SCHEMA"]
)
def test_nothing_is_sent_if_a_strangers_trigger_would_read_it(  # noqa: PLR0913, PLR0917
    oracle: OracleLaboratory,
    stand_in: Server,
    monkeypatch: pytest.MonkeyPatch,
    evil: Credential,
    trapped: Pair,
    event: str,
    setting: str,
) -> None:
    user, clone = trapped
    now = changed(clone)
    names = {"evil": account(evil), "admin": quoted(oracle.admin.username)}
    with trigger(oracle, event.format(**names), setting.format(**names), evil) as name:
        stand_in.database.read.clear()
        for act in ("mirror", "set_password", "reset_password"):
            argument = clone.username if act == "mirror" else now.password
            with (
                oracle.engine.connect(oracle.admin, deadline()) as session,
                pytest.raises(Unsafe, match=rf"{name}.*Disable them.*ALLOW_FOREIGN_TRIGGERS"),
            ):
                getattr(session, act)(user.username, argument)
        assert [text for _, text in stand_in.database.read if text] == []
        monkeypatch.setenv("ALLOW_FOREIGN_TRIGGERS", "true")
        mirror(oracle, user, now)
        assert any(now.password in text for _, text in stand_in.database.read), "it can read what it is not refused"
    assert sprung_by(stand_in, oracle.admin) == []
    assert oracle.logs_in(now)


@pytest.mark.parametrize(
    ("event", "owner"),
    [
        ("AFTER LOGON ON DATABASE", "{evil}"),
        ("AFTER DDL ON SCHEMA", "{evil}"),
        ("BEFORE DDL ON {user}.SCHEMA", "{evil}"),
        ("AFTER STARTUP ON DATABASE", "{evil}"),
        ("AFTER DDL ON DATABASE", "{admin}"),
        ("AFTER DDL ON DATABASE", "RDSADMIN"),
        ("AFTER DDL ON DATABASE", "SYS"),
    ],
)
def test_triggers_that_read_nothing_of_the_admins_and_those_of_the_server_do_not_matter(  # noqa: PLR0913, PLR0917
    oracle: OracleLaboratory, stand_in: Server, evil: Credential, pair: Pair, event: str, owner: str
) -> None:
    user, clone = pair
    if "RDSADMIN" not in stand_in.database.users:
        oracle.alter(f"CREATE USER rdsadmin IDENTIFIED BY {quoted(new_password())}")
    names = {"evil": account(evil), "admin": quoted(oracle.admin.username), "user": account(user)}
    owner = owner.format(**names)
    with trigger(oracle, event.format(**names), "", replace(evil, username=owner)):
        mirror(oracle, user, clone)
    assert oracle.logs_in(clone)


# What others grant


@pytest.fixture
def stranger(oracle: OracleLaboratory) -> Credential:
    """A user who owns a table, and may pass SELECT on another's on."""
    user = oracle.new_user()
    oracle.alter(
        f"GRANT CREATE TABLE, CREATE ROLE TO {account(user)}",
        f"ALTER USER {account(user)} QUOTA UNLIMITED ON users",
        f"GRANT SELECT ON {OWNER}.{INVOICES} TO {account(user)} WITH GRANT OPTION",
    )
    with oracle.session(user) as run:
        run('CREATE TABLE "my; table\n\'" (id NUMBER)')
    return user


HERS = 'GRANT SELECT ON "my; table\n\'" TO {} WITH GRANT OPTION'
PASSED_ON = f"GRANT SELECT ON {OWNER}.{INVOICES} TO {{}} WITH GRANT OPTION"


def as_stranger(oracle: OracleLaboratory, stranger: Credential, *statements: str) -> None:
    with oracle.session(stranger) as run:
        for statement in statements:
            run(statement)


@pytest.mark.parametrize("grant", [HERS, PASSED_ON], ids=["her own", "passed on"])
def test_what_a_stranger_gives_to_the_other_user_stops_nothing(
    oracle: OracleLaboratory, stranger: Credential, pair: Pair, caplog: pytest.LogCaptureFixture, grant: str
) -> None:
    user, clone = pair
    as_stranger(oracle, stranger, grant.format(account(clone)))
    with caplog.at_level(logging.WARNING):
        mirror(oracle, user, clone)
    assert differences(oracle, user, clone) == []
    assert oracle.logs_in(clone)
    told = [record.getMessage() for record in caplog.records]
    if grant == PASSED_ON:  # Nobody but the stranger can take it
        assert (
            [text for text in told if name_of(stranger) in text and f'REVOKE SELECT ON "{OWNER}"' in text] == told != []
        )
    else:
        assert told == []
        assert not oracle.may_read(clone, f'{account(stranger)}."my; table\n\'"')


def test_what_a_stranger_gives_is_given_again_if_the_user_has_it(
    oracle: OracleLaboratory, stranger: Credential, pair: Pair
) -> None:
    """Else the stranger could take it back from the one of the two."""
    user, clone = pair
    as_stranger(oracle, stranger, PASSED_ON.format(account(clone)).removesuffix(" WITH GRANT OPTION"))
    oracle.allow(user.username, INVOICES)
    mirror(oracle, user, clone)
    as_stranger(oracle, stranger, f"REVOKE SELECT ON {OWNER}.{INVOICES} FROM {account(clone)}")  # noqa: S608 - quoted
    assert oracle.may_read(clone, INVOICES)
    assert differences(oracle, user, clone) == []


def test_what_a_stranger_gives_to_the_user_is_given_to_the_other_one(
    oracle: OracleLaboratory, stranger: Credential, pair: Pair
) -> None:
    user, clone = pair
    as_stranger(oracle, stranger, HERS.format(account(user)), PASSED_ON.format(account(user)))
    mirror(oracle, user, clone)
    assert differences(oracle, user, clone) == []
    assert oracle.may_read(clone, INVOICES)


def test_an_admin_that_can_take_little_leaves_what_strangers_gave_and_names_it(
    oracle: OracleLaboratory, stranger: Credential, things: str, caplog: pytest.LogCaptureFixture
) -> None:
    user = oracle.new_user()
    clone, role = new_clone(user), f"ROLE_{secrets.token_hex(3)}".upper()
    admin = documented(oracle, f"{things}_ROLE")
    with oracle.engine.connect(admin, deadline()) as session:
        session.mirror(user.username, clone.username)
    oracle.alter(f"REVOKE GRANT ANY OBJECT PRIVILEGE FROM {account(admin)}")
    oracle.alter(f"GRANT SELECT ON {OWNER}.{ORDERS} TO {account(admin)} WITH GRANT OPTION")
    as_stranger(oracle, stranger, HERS.format(account(clone)), f"CREATE ROLE {role}")
    as_stranger(oracle, stranger, f"GRANT {role} TO {account(clone)} WITH ADMIN OPTION")
    with caplog.at_level(logging.WARNING), oracle.engine.connect(admin, deadline()) as session:
        session.mirror(user.username, clone.username)
        assert session.compare(user.username, clone.username).sentences == []
        session.set_password(clone.username, clone.password)
    told = "\n".join(record.getMessage() for record in caplog.records)
    assert len(told.splitlines()) == 2
    assert f'REVOKE "{role}" FROM {account(clone)}' in told
    assert f"REVOKE SELECT ON {account(stranger)}" in told
    assert oracle.logs_in(clone)


@pytest.mark.parametrize("what", ["table", "role"])
def test_what_a_stranger_gives_to_the_user_and_the_admin_cannot_is_named(
    oracle: OracleLaboratory, stranger: Credential, what: str
) -> None:
    user = oracle.new_user()
    clone, admin, role = new_clone(user), documented(oracle, "CONNECT"), f"ROLE_{secrets.token_hex(3)}".upper()
    oracle.alter(f"REVOKE GRANT ANY OBJECT PRIVILEGE FROM {account(admin)}")
    oracle.alter(f"GRANT SELECT ON {OWNER}.{ORDERS} TO {account(admin)} WITH GRANT OPTION")
    if what == "table":
        as_stranger(oracle, stranger, HERS.format(account(user)))
    else:
        as_stranger(oracle, stranger, f"CREATE ROLE {role}", f"GRANT {role} TO {account(user)}")
    hers = rf'"{role}"' if what == "role" else f"{account(stranger)}"
    with (
        oracle.engine.connect(admin, deadline()) as session,
        pytest.raises(NotPermitted, match=rf"GRANT [^.]*{hers}.*revoke it from {name_of(user)}") as raised,
    ):
        session.mirror(user.username, clone.username)
    assert "\n" not in str(raised.value)


def test_whose_code_can_use_a_users_rights_is_not_mirrored(
    oracle: OracleLaboratory, stranger: Credential, pair: Pair
) -> None:
    user, clone = pair
    as_stranger(oracle, stranger, f"GRANT INHERIT PRIVILEGES ON USER {account(stranger)} TO {account(user)}")
    as_stranger(oracle, stranger, f"GRANT INHERIT PRIVILEGES ON USER {account(stranger)} TO {account(clone)}")
    mirror(oracle, user, clone)
    assert differences(oracle, user, clone) == []


def test_no_user_can_write_our_mark(oracle: OracleLaboratory, evil: Credential) -> None:
    clone = oracle.new_user(f"{evil.username}_clone")
    for client, proxy in ((clone, evil), (evil, clone)):
        mark = f"GRANT CONNECT THROUGH {account(proxy)} WITH NO ROLES AUTHENTICATION REQUIRED"
        with oracle.session(client) as run, pytest.raises(oracledb.DatabaseError, match="ORA-01031"):
            run(f"ALTER USER {account(client)} {mark}")
    with oracle.engine.connect(oracle.admin, deadline()) as session:
        assert session.clone_status(evil.username, clone.username) is CloneStatus.UNKNOWN


def test_a_link_that_is_no_plain_name_goes_into_no_statement(
    oracle: OracleLaboratory, stand_in: Server, pair: Pair
) -> None:
    user, clone = pair
    stand_in.database.synonyms[name_of(user), "X"] = ("", "T", 'l" FOR x')
    with (
        oracle.engine.connect(oracle.admin, deadline()) as session,
        pytest.raises(Unsupported, match="no plain link"),
    ):
        session.mirror(user.username, clone.username)


def test_a_statement_that_hangs_names_what_it_was_for(oracle: OracleLaboratory, stand_in: Server, pair: Pair) -> None:
    """A privilege on code that runs is waited for: whoever gave it can have the code run on."""
    user, clone = pair
    oracle.allow(user.username, INVOICES)
    stand_in.database.refuses["GRANT SELECT"] = (4021, "timeout occurred while waiting to lock object")
    try:
        with (
            oracle.engine.connect(oracle.admin, deadline()) as session,
            pytest.raises(
                StatementFailed, match=rf'GRANT SELECT ON "{OWNER}"\."{INVOICES.upper()}".*ORA-04021.*holds the lock'
            ),
        ):
            session.mirror(user.username, clone.username)
    finally:
        stand_in.database.refuses.clear()
