"""Can anybody but an admin make a user of MySQL or MariaDB pass for the other one of a pair?

Whoever holds one of two accounts writes there all that the server lets it write. In one direction it holds the current
user and wants the other's account; in the other one it holds an account of the clone's name, and wants its user's.
"""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pymysql
import pytest

from rotation.credential import Credential
from rotation.engine import CloneStatus, KeepsOldPassword
from rotation.engines.mariadb import methods
from rotation.errors import LoginRefused, Unsafe
from tests.contract.mysql_kit import account, alter, asked, rotate
from tests.contract.pairs import changed, mirror, new_clone, proof_of
from tests.laboratories import deadline
from tests.laboratories.mysql import MySQLLaboratory, quoted

NONCE, ANOTHER = "0" * 32, "f" * 32


def clone_status(laboratory: MySQLLaboratory, user: Credential, other: Credential) -> CloneStatus:
    """Tell what the driver knows of a pair when `user` has logged in."""
    known = proof_of(laboratory, user)
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        session.require_proven(known)
        return session.clone_status(user.username, other.username)


def two(laboratory: MySQLLaboratory) -> tuple[Credential, Credential]:
    """Return two people's users, the names of which are a pair's."""
    user = laboratory.new_user()
    return user, laboratory.new_user(f"{user.username}_clone")


@pytest.fixture(params=[False, True], ids=["holds the user", "holds the clone"])
def backwards(request: pytest.FixtureRequest) -> bool:
    """Whether who attacks holds the account of the clone's name."""
    return bool(request.param)


# MySQL: the attributes of an account


def note(laboratory: MySQLLaboratory, user: Credential, attributes: object) -> None:
    """Write attributes at one's own account, as the server lets everybody do who gives a password with them."""
    with laboratory.session(user) as run:
        password, noted = quoted(user.password), quoted(json.dumps(attributes))
        run(f"ALTER USER {account(user)} IDENTIFIED BY {password} ATTRIBUTE {noted}")


def noted(laboratory: MySQLLaboratory, user: Credential) -> object:
    query = "SELECT attribute FROM information_schema.user_attributes WHERE user = %s"
    [(text,)] = asked(laboratory, query, user.username)
    return json.loads(str(text or "{}")).get("rotation")


def marked(nonce: str = NONCE) -> dict[str, object]:
    return {"rotation": {nonce: True}}


GARBAGE = [
    "app", "", 7, 7.5, True, [], ["x"], {"": 1}, {"x": {"y": []}}, {NONCE: None}, {NONCE[1:]: True},
    {"`'\"\\\n": "`'\"\\\n"}, {"0" * 4000: True}, [{NONCE: True}], {"a": {NONCE: True}},
]  # fmt: skip


def test_any_user_of_mysql_can_write_its_own_attributes(mysql: MySQLLaboratory) -> None:
    """Why a mark on one side proves nothing. A server that refuses to write it is even safer."""
    user = mysql.new_user()
    note(mysql, user, marked())
    assert noted(mysql, user) == {NONCE: True}


def test_a_mark_on_ones_own_account_is_none(mysql: MySQLLaboratory, backwards: bool) -> None:
    attacker, victim = reversed(two(mysql)) if backwards else two(mysql)
    for attributes in (marked(), {"rotation": victim.username}, {"rotation": {NONCE: victim.username}}):
        note(mysql, attacker, attributes)
        assert clone_status(mysql, attacker, victim) is CloneStatus.UNKNOWN
        assert clone_status(mysql, victim, attacker) is CloneStatus.UNKNOWN


def test_a_mark_for_another_pair_is_not_ours(mysql: MySQLLaboratory, backwards: bool) -> None:
    attacker, victim = reversed(two(mysql)) if backwards else two(mysql)
    note(mysql, attacker, marked())
    note(mysql, victim, marked(ANOTHER))
    assert clone_status(mysql, attacker, victim) is CloneStatus.UNKNOWN
    assert clone_status(mysql, victim, attacker) is CloneStatus.UNKNOWN


def test_the_mark_of_earlier_versions_proves_nothing_and_a_password_does(mysql: MySQLLaboratory) -> None:
    user, clone = two(mysql)
    alter(mysql, f"ALTER USER {account(clone)} ATTRIBUTE {quoted(json.dumps({'rotation': user.username}))}")
    assert clone_status(mysql, user, clone) is CloneStatus.UNKNOWN
    proofs = [proof_of(mysql, one) for one in (user, clone)]
    with mysql.engine.connect(mysql.admin, deadline()) as session:
        for known in proofs:
            session.require_proven(known)
        session.mirror(user.username, clone.username)
    assert clone_status(mysql, user, clone) is CloneStatus.OURS
    assert clone_status(mysql, clone, user) is CloneStatus.OURS


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_what_a_user_writes_in_the_place_of_the_mark_confuses_nobody(mysql: MySQLLaboratory, garbage: object) -> None:
    user, clone = two(mysql)
    note(mysql, user, {"rotation": garbage})
    assert clone_status(mysql, user, clone) is CloneStatus.UNKNOWN
    alter(mysql, f"DROP USER {account(clone)}")
    assert rotate(mysql, user, clone) == []
    assert clone_status(mysql, user, clone) is CloneStatus.OURS
    note(mysql, clone, {"rotation": garbage})
    is_object = isinstance(garbage, dict)  # it is merged into the mark, anything else takes its place
    assert clone_status(mysql, user, clone) is (CloneStatus.OURS if is_object else CloneStatus.UNKNOWN)


def test_who_takes_a_name_over_that_was_of_a_pair_does_not_get_the_pair(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user()
    clone = new_clone(user)
    rotate(mysql, user, clone)
    for gone, left in ((user, clone), (clone, user)):
        kept = noted(mysql, left)
        alter(mysql, f"DROP USER {account(gone)}")
        new = mysql.new_user(gone.username)
        note(mysql, new, marked(secrets.token_hex(16)))
        assert clone_status(mysql, new, left) is CloneStatus.UNKNOWN
        assert noted(mysql, left) == kept
        alter(mysql, f"ALTER USER {account(new)} ATTRIBUTE {quoted(json.dumps({'rotation': kept}))}")
        assert clone_status(mysql, new, left) is CloneStatus.OURS


def test_an_interruption_after_the_users_mark_leaves_a_nonce_that_the_next_try_takes(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user()
    clone = new_clone(user)
    note(mysql, user, marked())
    assert clone_status(mysql, user, clone) is CloneStatus.ABSENT
    rotate(mysql, user, clone)
    assert noted(mysql, user) == noted(mysql, clone) == {NONCE: True}


def test_deliveries_that_mark_a_user_at_the_same_time_are_of_one_pair(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user()
    clone = new_clone(user)
    rotate(mysql, user, clone)
    # Another one had seen no mark, wrote its own, and came no further.
    alter(mysql, f"ALTER USER {account(user)} ATTRIBUTE {quoted(json.dumps(marked(ANOTHER)))}")
    assert clone_status(mysql, user, clone) is CloneStatus.OURS
    assert rotate(mysql, user, clone) == []
    assert rotate(mysql, clone, changed(user)) == []


def test_each_pair_has_a_nonce_of_its_own(mysql: MySQLLaboratory) -> None:
    seen = set()
    for _ in range(2):
        user = mysql.new_user()
        clone = new_clone(user)
        rotate(mysql, user, clone)
        mark = noted(mysql, user)
        assert noted(mysql, clone) == mark
        assert isinstance(mark, dict)
        [nonce] = mark
        seen.add(nonce)
    assert len(seen) == 2


# MariaDB: the methods of an account


def mark(partner: Credential) -> str:
    """Return the hash that is the mark of an account that takes turns with `partner`."""
    return methods.mark(partner.username, hashes_refused=False).secret  # whoever attacks reads the source


def set_hash(laboratory: MySQLLaboratory, user: Credential, text: str) -> None:
    """Set one's own password to a hash, as everybody may."""
    with laboratory.session(replace(user, database=None)) as run:
        try:
            run(f"SET PASSWORD = {quoted(text)}")
        except pymysql.OperationalError as error:
            if error.args[0] != 1699:  # it says so if the first method is no password, although it has done it
                raise


def hashes(laboratory: MySQLLaboratory, user: Credential) -> list[str]:
    [(text,)] = asked(laboratory, "SELECT priv FROM mysql.global_priv WHERE user = %s", user.username)
    whole = json.loads(str(text))
    return [(entry or whole).get("authentication_string", "") for entry in whole.get("auth_or", [{}])]


def test_a_mark_that_a_user_sets_as_its_password_is_none(mariadb: MySQLLaboratory, backwards: bool) -> None:
    attacker, victim = reversed(two(mariadb)) if backwards else two(mariadb)
    known = [proof_of(mariadb, one) for one in (attacker, victim)]
    set_hash(mariadb, attacker, mark(victim))
    assert hashes(mariadb, attacker) == [mark(victim)]
    for mine, (user, other) in zip(known, ((attacker, victim), (victim, attacker)), strict=True):
        with mariadb.engine.connect(mariadb.admin, deadline()) as session:
            session.require_proven(mine)
            assert session.clone_status(user.username, other.username) is CloneStatus.UNKNOWN


WAYS = [
    "unix_socket OR {native}",
    "unix_socket OR {native} OR unix_socket",
    "{native} OR unix_socket",
    "unix_socket USING 'nobody' OR {native}",
]


@pytest.mark.parametrize("ways", WAYS)
def test_a_mark_in_the_first_method_that_a_user_can_set_is_none(
    mariadb: MySQLLaboratory, ways: str, backwards: bool
) -> None:
    attacker, victim = reversed(two(mariadb)) if backwards else two(mariadb)
    native = f"mysql_native_password USING PASSWORD({quoted(attacker.password)})"
    alter(mariadb, f"ALTER USER {account(attacker)} IDENTIFIED VIA {ways.format(native=native)}")
    known = proof_of(mariadb, attacker)
    set_hash(mariadb, attacker, mark(victim))
    assert mark(victim) in hashes(mariadb, attacker)
    with mariadb.engine.connect(mariadb.admin, deadline()) as session:
        session.require_proven(known)
        assert session.clone_status(attacker.username, victim.username) is CloneStatus.UNKNOWN


def test_a_user_can_set_no_method_but_the_first_password(mariadb: MySQLLaboratory) -> None:
    """Why a mark that comes later is an admin's."""
    user = mariadb.new_user()
    clone = new_clone(user)
    rotate(mariadb, user, clone)
    before = hashes(mariadb, clone)
    for statement in (
        "SET PASSWORD = {hash}",
        "SET PASSWORD FOR {account} = {hash}",
        "ALTER USER {account} IDENTIFIED VIA mysql_native_password USING {hash} OR mysql_native_password USING {hash}",
        "ALTER USER CURRENT_USER() IDENTIFIED BY 'x'",
        "CREATE OR REPLACE USER {account} IDENTIFIED BY 'x'",
        "GRANT USAGE ON *.* TO {account} IDENTIFIED BY 'x'",
        "GRANT USAGE ON *.* TO {account} IDENTIFIED BY PASSWORD {hash}",
        "RENAME USER {account} TO 'x'",
        "UPDATE mysql.global_priv SET priv = '{{}}'",
    ):
        with mariadb.session(replace(clone, database=None)) as run:
            try:
                run(statement.format(account=account(clone), hash=quoted(mark(clone))))
            except pymysql.MySQLError:
                continue
            alter(mariadb, f"SET PASSWORD FOR {account(clone)} = {quoted(before[0])}")
            assert statement.startswith("SET PASSWORD")
    assert hashes(mariadb, clone) == before


def test_an_admin_carries_no_mark_of_a_user_to_where_it_counts(mariadb: MySQLLaboratory, backwards: bool) -> None:
    """The user has two passwords, sets the first one to the mark, and has the admin change the other things."""
    attacker, victim = reversed(two(mariadb)) if backwards else two(mariadb)
    new = changed(attacker)
    changes: list[Callable[[KeepsOldPassword], None]] = [
        lambda session: session.add_password(attacker.username, attacker.password, new.password),
        lambda session: session.reset_password(attacker.username, attacker.password),  # type: ignore[attr-defined]
        lambda session: session.mirror(attacker.username, partner.username),  # type: ignore[attr-defined]
    ]
    partner = replace(attacker, username=f"{attacker.username}_clone")
    for change in changes if not backwards else changes[:2]:
        native = f"mysql_native_password USING PASSWORD({quoted(attacker.password)})"
        ways = f"mysql_native_password USING PASSWORD('first') OR {native}"
        alter(mariadb, f"ALTER USER {account(attacker)} IDENTIFIED VIA {ways}")
        known = proof_of(mariadb, attacker)
        set_hash(mariadb, attacker, mark(victim))
        alter(mariadb, f"ALTER USER {account(victim)} ACCOUNT UNLOCK")
        with mariadb.engine.connect(mariadb.admin, deadline()) as session:
            session.require_proven(known)
            assert isinstance(session, KeepsOldPassword)
            if change is changes[2]:
                with pytest.raises(Unsafe):
                    change(session)
            else:
                change(session)
            assert session.clone_status(attacker.username, victim.username) is CloneStatus.UNKNOWN


@contextmanager
def policy(mariadb: MySQLLaboratory) -> Iterator[None]:
    """Install a plugin that judges passwords, for a while."""
    alter(mariadb, "INSTALL SONAME 'simple_password_check'")
    try:
        yield
    finally:
        alter(mariadb, "UNINSTALL SONAME 'simple_password_check'")


def test_under_a_policy_a_foreign_account_that_can_do_nothing_is_not_ours(mariadb: MySQLLaboratory) -> None:
    user, clone = mariadb.new_user(), mariadb.new_user(password="Aa1-" + secrets.token_urlsafe())
    alter(mariadb, f"RENAME USER {account(clone)} TO {account(f'{user.username}_clone')}")
    clone = replace(clone, username=f"{user.username}_clone")
    alter(mariadb, f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account(clone)}")
    alter(mariadb, f"ALTER USER {account(clone)} ACCOUNT LOCK")
    with policy(mariadb):
        assert clone_status(mariadb, user, clone) is CloneStatus.UNKNOWN


def test_a_pair_is_known_with_and_without_a_policy(mariadb: MySQLLaboratory) -> None:
    user = mariadb.new_user(password="Aa1-" + secrets.token_urlsafe())
    clone, once = changed(new_clone(user)), changed(user)
    with policy(mariadb):
        with mariadb.engine.connect(mariadb.admin, deadline()) as session:
            session.mirror(user.username, clone.username)
        assert not mariadb.logs_in(clone)
        for _ in range(2):
            assert clone_status(mariadb, user, clone) is CloneStatus.OURS
            assert rotate(mariadb, user, clone) == []
            assert mariadb.logs_in(clone)
            assert not mariadb.logs_in(replace(clone, password=""))
        assert rotate(mariadb, clone, once) == []
    assert rotate(mariadb, once, clone) == []
    assert rotate(mariadb, clone, user) == []
    with policy(mariadb):
        assert rotate(mariadb, user, clone) == []
        assert rotate(mariadb, user, clone) == []
        assert mariadb.logs_in(clone)


def test_the_password_of_a_clone_proves_it_under_a_policy(mariadb: MySQLLaboratory) -> None:
    user, clone = two(mariadb)
    new = changed(clone)
    with policy(mariadb):
        proofs = [proof_of(mariadb, one) for one in (user, clone)]
        with mariadb.engine.connect(mariadb.admin, deadline()) as session:
            for known in proofs:
                session.require_proven(known)
            session.mirror(user.username, clone.username)
        assert clone_status(mariadb, user, clone) is CloneStatus.OURS
        mirror(mariadb, user, new)
    assert mariadb.logs_in(new)


def test_a_wrong_password_of_a_user_with_two_kinds_of_methods_is_a_wrong_password(mariadb: MySQLLaboratory) -> None:
    if not asked(mariadb, "SELECT 1 FROM information_schema.plugins WHERE plugin_name = 'ed25519'"):
        alter(mariadb, "INSTALL SONAME 'auth_ed25519'")
    user = mariadb.new_user()
    alter(mariadb, f"ALTER USER {account(user)} IDENTIFIED VIA ed25519 USING PASSWORD({quoted(user.password)})")
    clone = new_clone(user)
    rotate(mariadb, user, clone)
    assert rotate(mariadb, clone, changed(user)) == []
    with pytest.raises(LoginRefused), mariadb.engine.connect(changed(clone), deadline()):
        pass
