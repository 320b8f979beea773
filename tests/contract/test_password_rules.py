"""Does each new password meet what its server asks for? If one is refused, does the error say what to set?"""

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import psycopg2
import pytest
from psycopg2.errors import InvalidParameterValue
from psycopg2.sql import SQL, Identifier, Literal

from rotation.credential import Credential
from rotation.errors import InvalidConfiguration, PasswordRefused
from rotation.kind import Strategy
from rotation.passwords import PasswordPolicy
from rotation.steps import STEPS, Rotation, Step
from tests.contract.mysql_kit import account, alter, setting
from tests.contract.pairs import admin_for
from tests.fakes import FakeSecret
from tests.laboratories import Laboratory, deadline
from tests.laboratories.mysql import MySQLLaboratory
from tests.laboratories.postgresql import OLDER, PostgreSQLLaboratory

COMPONENT = "'file://component_validate_password'"
PLUGIN = "'simple_password_check'"


@contextmanager
def validating(mysql: MySQLLaboratory, **settings: object) -> Iterator[None]:
    """Let validate_password judge, with these settings."""
    alter(mysql, f"INSTALL COMPONENT {COMPONENT}")
    try:
        for name, value in settings.items():
            alter(mysql, f"SET GLOBAL validate_password.{name} = {value}")
        yield
    finally:
        alter(mysql, f"UNINSTALL COMPONENT {COMPONENT}")


@contextmanager
def checking(mariadb: MySQLLaboratory, **settings: object) -> Iterator[None]:
    """Let simple_password_check judge, with these settings."""
    alter(mariadb, f"INSTALL SONAME {PLUGIN}")
    try:
        for name, value in settings.items():
            alter(mariadb, f"SET GLOBAL simple_password_check_{name} = {value}")
        yield
    finally:
        alter(mariadb, f"UNINSTALL SONAME {PLUGIN}")


def refusal(laboratory: MySQLLaboratory, user: Credential, password: str) -> PasswordRefused:
    """Return the error if the user, and if the admin, sets this password: the two differ in who did it only."""
    with pytest.raises(PasswordRefused) as own, laboratory.engine.connect(user, deadline()) as session:
        session.change_own_password(password)
    with pytest.raises(PasswordRefused) as other, laboratory.engine.connect(laboratory.admin, deadline()) as session:
        session.set_password(user.username, password)
    assert own.value.cause.partition(";")[2] == other.value.cause.rpartition(";")[2]
    assert own.value.remedy == other.value.remedy
    assert password not in f"{own.value} {other.value}"
    return own.value


def generated(laboratory: MySQLLaboratory, user: Credential, environment: dict[str, str]) -> str:
    return PasswordPolicy.from_environment(environment, laboratory.engine.kind).generate(user.username)


def test_mysql_says_which_minimum_to_raise(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user(password=f"Aa1-{secrets.token_urlsafe()}")
    with validating(mysql, special_char_count=15, number_count=1, length=40):
        error = refusal(mysql, user, generated(mysql, user, {"PASSWORD_MINIMUM_LOWERCASE": "18"}))
        assert error.cause.endswith(
            "; the server asks for at least 40 characters (validate_password.length),"
            " at least 15 punctuation characters (validate_password.special_char_count)"
        )
        assert error.remedy == (
            "Set PASSWORD_LENGTH (parameter PasswordLength) to 40 or more."
            " Set PASSWORD_MINIMUM_PUNCTUATION (parameter PasswordMinimumPunctuation) to 15 or more"
        )
        remedied = {"PASSWORD_LENGTH": "40", "PASSWORD_MINIMUM_PUNCTUATION": "15"}
        with mysql.engine.connect(user, deadline()) as session:
            session.change_own_password(generated(mysql, user, remedied))


def test_mysql_judges_the_length_alone_at_its_lowest_policy(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user(password=f"Aa1-{secrets.token_urlsafe()}")
    with validating(mysql, policy=0, special_char_count=15, length=40):
        error = refusal(mysql, user, generated(mysql, user, {}))
    assert "validate_password.length" in error.cause
    assert "special_char_count" not in error.cause
    assert error.remedy == "Set PASSWORD_LENGTH (parameter PasswordLength) to 40 or more"


def test_mysql_says_that_another_password_can_be_accepted(mysql: MySQLLaboratory) -> None:
    """The server counts the characters of the new password that the old one does not have."""
    user = mysql.new_user(password=f"Aa1-{secrets.token_urlsafe()}")
    with (
        validating(mysql, changed_characters_percentage=100),
        mysql.engine.connect(user, deadline()) as session,
        pytest.raises(PasswordRefused) as caught,
    ):
        session.change_own_password(f"{user.password[:-1]}!")
    setting = "validate_password.changed_characters_percentage"
    assert setting in caught.value.cause
    assert caught.value.remedy == f"Rotate again: the server can accept another password; or relax {setting}"


def test_a_class_that_is_left_out_is_allowed_again(mysql: MySQLLaboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXCLUDE_PUNCTUATION", "true")
    user = mysql.new_user(password=f"Aa1-{secrets.token_urlsafe()}")
    with validating(mysql):
        error = refusal(mysql, user, generated(mysql, user, {"EXCLUDE_PUNCTUATION": "true"}))
    assert error.remedy == (
        "Allow punctuation characters in EXCLUDE_PUNCTUATION (parameter ExcludePunctuation)"
        " and EXCLUDE_CHARACTERS (parameter ExcludeCharacters)"
    )


def test_mariadb_says_which_minimum_to_raise(mariadb: MySQLLaboratory) -> None:
    user = mariadb.new_user(password=f"Aa1-{secrets.token_urlsafe()}")
    with checking(mariadb, digits=12, letters_same_case=3, other_characters=0):
        error = refusal(mariadb, user, generated(mariadb, user, {"PASSWORD_MINIMUM_PUNCTUATION": "18"}))
        assert error.cause.endswith(
            "; the server asks for at least 12 digits (simple_password_check_digits),"
            " at least 3 lower-case letters (simple_password_check_letters_same_case),"
            " at least 3 capital letters (simple_password_check_letters_same_case)"
        )
        assert error.remedy.startswith("Set PASSWORD_MINIMUM_NUMBERS (parameter PasswordMinimumNumbers) to 12 or more.")
        remedied = {
            "PASSWORD_MINIMUM_NUMBERS": "12",
            "PASSWORD_MINIMUM_LOWERCASE": "3",
            "PASSWORD_MINIMUM_UPPERCASE": "3",
        }
        changed = replace(user, password=generated(mariadb, user, remedied))
        with mariadb.engine.connect(user, deadline()) as session:
            session.change_own_password(changed.password)
        assert mariadb.logs_in(changed)


# Rotations


class Rotated:
    """A secret of a real user, rotated with passwords of a function that has this environment."""

    def __init__(self, laboratory: Laboratory, user: Credential, strategy: Strategy, **environment: str) -> None:
        """Make the secret."""
        self._laboratory = laboratory
        self._policy = PasswordPolicy.from_environment(environment, laboratory.engine.kind)
        admin = {} if strategy is Strategy.SINGLE_USER else {"masterarn": "arn:admin"}
        login = {"username": user.username, "password": user.password, "host": user.host, "port": user.port}
        fields = {"engine": user.engine, **login, **admin, "rotation": {"strategy": strategy}}
        self.secret = FakeSecret(fields, laboratory.engine.kind)
        self.secret.begin("version-1")

    def run(self, *steps: Step) -> None:
        """Do the steps; all four if none is named."""
        for step in steps or tuple(Step):
            STEPS[step](self._rotation())

    def _rotation(self) -> Rotation:
        return Rotation(
            secret=self.secret,
            engine=self._laboratory.engine,
            deadline=deadline(),
            admin=lambda value: admin_for(self._laboratory, value.credential),
            new_password=self._policy.generate,
            annotate=lambda _: None,
        )


def user_for(laboratory: MySQLLaboratory, strategy: Strategy) -> Credential:
    """Create a user whose password meets the policies here: MariaDB judges it again if another one is added."""
    user = laboratory.new_user(password=f"AAAAAaaaaa123456123456-{secrets.token_urlsafe()}")
    if strategy is Strategy.DUAL_PASSWORD:
        laboratory.allow_two_passwords(user.username, by_itself=False)
    return user


@pytest.mark.parametrize("strategy", Strategy)
def test_mysql_gets_a_password_that_its_policy_accepts(mysql: MySQLLaboratory, strategy: Strategy) -> None:
    rotated = Rotated(mysql, user_for(mysql, strategy), strategy)
    with validating(mysql, special_char_count=15, length=40):
        rotated.run()
    current = rotated.secret.read().credential
    assert len(current.password) == 40
    assert sum(not each.isalnum() for each in current.password) >= 15
    assert mysql.logs_in(current)


@pytest.mark.parametrize("strategy", Strategy)
def test_mariadb_gets_a_password_that_its_policy_accepts(mariadb: MySQLLaboratory, strategy: Strategy) -> None:
    """The clone begins with a password that nobody reads, which the server judges too."""
    rotated = Rotated(mariadb, user_for(mariadb, strategy), strategy, PASSWORD_LENGTH="8")
    with checking(mariadb, digits=12, letters_same_case=5, minimal_length=24):
        rotated.run()
    current = rotated.secret.read().credential
    assert len(current.password) == 24
    assert sum(each.isdigit() for each in current.password) >= 12
    assert mariadb.logs_in(current)


def test_a_class_that_the_server_asks_for_is_missed_before_anything_is_staged(mysql: MySQLLaboratory) -> None:
    single = Strategy.SINGLE_USER
    rotated = Rotated(mysql, user_for(mysql, single), single, EXCLUDE_PUNCTUATION="true")
    with validating(mysql), pytest.raises(InvalidConfiguration) as caught:
        rotated.run(Step.CREATE)
    assert "at least 1 punctuation character (validate_password.special_char_count)" in caught.value.cause
    assert "EXCLUDE_PUNCTUATION (parameter ExcludePunctuation)" in caught.value.remedy
    assert rotated.secret.versions["version-1"] is None


def test_a_length_beyond_the_limit_is_seen_before_anything_is_staged(mysql: MySQLLaboratory) -> None:
    rotated = Rotated(mysql, user_for(mysql, Strategy.SINGLE_USER), Strategy.SINGLE_USER)
    with validating(mysql, length=129), pytest.raises(InvalidConfiguration) as caught:
        rotated.run(Step.CREATE)
    assert "at least 129 characters (validate_password.length)" in caught.value.cause
    assert caught.value.remedy == "Lower validate_password.length on the server"
    assert rotated.secret.versions["version-1"] is None


def test_mariadb_asks_for_nothing_if_it_takes_hashes(mariadb: MySQLLaboratory) -> None:
    rotated = Rotated(mariadb, user_for(mariadb, Strategy.SINGLE_USER), Strategy.SINGLE_USER)
    with checking(mariadb, minimal_length=129), setting(mariadb, "strict_password_validation", "OFF"):
        rotated.run()
    current = rotated.secret.read().credential
    assert len(current.password) == 32
    assert mariadb.logs_in(current)


def test_an_expired_user_of_mysql_can_ask_nothing_and_rotates(mysql: MySQLLaboratory) -> None:
    rotate_expired(mysql)


def test_an_expired_user_of_mariadb_can_ask_nothing_and_rotates(mariadb: MySQLLaboratory) -> None:
    rotate_expired(mariadb)


def rotate_expired(laboratory: MySQLLaboratory) -> None:
    user = user_for(laboratory, Strategy.SINGLE_USER)
    alter(laboratory, f"ALTER USER {account(user)} PASSWORD EXPIRE")
    rotated = Rotated(laboratory, user, Strategy.SINGLE_USER)
    rotated.run()
    assert laboratory.logs_in(rotated.secret.read().credential)


@pytest.mark.thorough(postgresql=OLDER)
def test_postgresql_judges_no_length_because_it_gets_a_verifier(postgresql: PostgreSQLLaboratory) -> None:
    """So there is nothing to ask before a password is made. Since version 18 the length can be set."""
    user = postgresql.new_user()
    limit = "ALTER ROLE {} SET passwordcheck.min_password_length TO 100"
    with postgresql.password_policy(user.username), postgresql.session() as run:
        run(SQL(limit).format(Identifier(user.username)))
    too_short = "a1" * (16 if postgresql.version >= 180000 else 3)
    session = psycopg2.connect(postgresql.dsn(user))
    with closing(session), session.cursor() as cursor, pytest.raises(InvalidParameterValue, match="is too short"):
        cursor.execute(SQL("ALTER ROLE {} PASSWORD {}").format(Identifier(user.username), Literal(too_short)))
    rotated = Rotated(postgresql, user, Strategy.SINGLE_USER)
    rotated.run()
    current = rotated.secret.read().credential
    assert len(current.password) == 32
    assert postgresql.logs_in(current)
