"""Does a password that a server's policy refuses come with what the server asks for, and with what to set?"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.errors import PasswordRefused
from rotation.passwords import PasswordPolicy
from tests.contract.mysql_kit import alter
from tests.laboratories import deadline
from tests.laboratories.mysql import MySQLLaboratory

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
    assert error.remedy == "Allow punctuation characters in EXCLUDE_PUNCTUATION and EXCLUDE_CHARACTERS"


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
