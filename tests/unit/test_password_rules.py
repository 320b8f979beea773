"""Does each password have enough of each class, and none of the forbidden parts? Are all others equally likely?"""

import itertools
import re
import string
from collections import Counter
from collections.abc import Callable

import pytest

from rotation.engines import db2, mariadb, mysql, oracle, postgresql, sqlserver
from rotation.engines.driver import unread_password
from rotation.environment import named
from rotation.errors import InvalidConfiguration
from rotation.kind import EngineKind
from rotation.passwords import CLASSES, CharacterClass, PasswordPolicy
from tests.fakes import KIND

KINDS = [
    db2.Db2.kind,
    mariadb.MariaDB.kind,
    mysql.MySQL.kind,
    oracle.Oracle.kind,
    postgresql.PostgreSQL.kind,
    sqlserver.SQLServer.kind,
]
TWO_OF_EACH = dict.fromkeys(CLASSES, 2)


def passwords(environment: dict[str, str], username: str = "app", kind: EngineKind = KIND, many: int = 50) -> list[str]:
    policy = PasswordPolicy.from_environment(environment, kind)
    return [policy.generate(username) for _ in range(many)]


def refusal(environment: dict[str, str], username: str = "app") -> InvalidConfiguration:
    with pytest.raises(InvalidConfiguration) as caught:
        passwords(environment, username, many=1)
    return caught.value


def counts(password: str) -> dict[str, int]:
    return {name: sum(character in characters for character in password) for name, characters in CLASSES.items()}


def has(password: str, minimums: dict[str, int]) -> bool:
    return all(counts(password)[name] >= minimum for name, minimum in minimums.items())


# Minimums


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("length", ["8", "30"])
def test_by_default_there_are_two_of_each_class(kind: EngineKind, length: str) -> None:
    """Oracle's strong verify function asks for it; the usual policies of other servers ask for less."""
    made = passwords({"PASSWORD_LENGTH": length}, kind=kind)
    assert all(len(password) == int(length) and has(password, TWO_OF_EACH) for password in made)


@pytest.mark.parametrize("name", CLASSES)
def test_the_operator_sets_the_minimum_of_a_class(name: str) -> None:
    environment = {f"PASSWORD_MINIMUM_{name}": "20", "PASSWORD_LENGTH": "26"}
    assert {counts(password)[name] for password in passwords(environment)} == {20}


@pytest.mark.parametrize("blank", ["", " "])
def test_a_minimum_without_a_number_is_the_default(blank: str) -> None:
    assert all(
        has(each, TWO_OF_EACH) for each in passwords({"PASSWORD_MINIMUM_NUMBERS": blank, "PASSWORD_LENGTH": "8"})
    )


def test_a_minimum_below_the_required_one_of_each_type_is_one() -> None:
    made = [counts(each)["NUMBERS"] for each in passwords({"PASSWORD_MINIMUM_NUMBERS": "0", "PASSWORD_LENGTH": "9"})]
    assert min(made) == 1


def test_a_class_that_is_not_required_can_still_have_a_minimum() -> None:
    environment = {
        "REQUIRE_EACH_INCLUDED_TYPE": "false",
        "PASSWORD_MINIMUM_NUMBERS": "4",
        "PASSWORD_LENGTH": "9",
    }
    found = [counts(each) for each in passwords(environment)]
    assert min(each["NUMBERS"] for each in found) == 4
    assert min(each["UPPERCASE"] for each in found) == 0


def test_a_class_that_is_left_out_has_no_minimum() -> None:
    environment = {"EXCLUDE_PUNCTUATION": "true", "PASSWORD_MINIMUM_PUNCTUATION": "0"}
    assert {counts(each)["PUNCTUATION"] for each in passwords(environment)} == {0}


@pytest.mark.parametrize(
    ("environment", "variable", "cause"),
    [
        ({"PASSWORD_MINIMUM_NUMBERS": "-1"}, "PASSWORD_MINIMUM_NUMBERS", "less than 0"),
        ({"PASSWORD_MINIMUM_NUMBERS": "two"}, "PASSWORD_MINIMUM_NUMBERS", "not a number"),
        ({"PASSWORD_MINIMUM_NUMBERS": "3", "EXCLUDE_NUMBERS": "true"}, "PASSWORD_MINIMUM_NUMBERS", "EXCLUDE_NUMBERS"),
        ({"PASSWORD_MINIMUM_NUMBERS": "3", "PASSWORD_LENGTH": "8"}, "PASSWORD_LENGTH", "8 is less than .* 9"),
        (
            {
                "PASSWORD_MINIMUM_NUMBERS": "3",
                "EXCLUDE_CHARACTERS": string.digits,
                "REQUIRE_EACH_INCLUDED_TYPE": "no",
            },
            "EXCLUDE_CHARACTERS",
            "PASSWORD_MINIMUM_NUMBERS asks for 3",
        ),
    ],
)
def test_impossible_minimums_are_named_with_one_remedy(environment: dict[str, str], variable: str, cause: str) -> None:
    error = refusal(environment)
    assert re.search(cause, error.cause)
    assert error.remedy == f"Correct {named(variable)} and deploy"


# Forbidden parts


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("username", ["a", "Z", "7", "ab", "A1", "_x"])
def test_no_password_holds_the_users_name_either_way_round(kind: EngineKind, username: str) -> None:
    for password in passwords({"PASSWORD_LENGTH": "30"}, username, kind):
        assert username.lower() not in password.lower()
        assert username.lower()[::-1] not in password.lower()
        assert has(password, TWO_OF_EACH)


def test_a_name_in_quotes_counts_without_them() -> None:
    assert not any("q" in each.lower() for each in passwords({"PASSWORD_LENGTH": "30"}, '"q"', oracle.Oracle.kind))


def test_no_password_holds_a_forbidden_part() -> None:
    environment = {"PASSWORD_FORBIDDEN_PARTS": " x  Y1 oracle ", "PASSWORD_LENGTH": "64"}
    for password in passwords(environment, many=100):
        assert not any(part in password.lower() for part in ("x", "y1", "oracle"))


def test_a_long_password_of_few_characters_ends() -> None:
    """Almost every string of 64 digits has the digit of the name, and one in two the other part."""
    environment = {f"EXCLUDE_{name}": "true" for name in CLASSES if name != "NUMBERS"}
    for password in passwords({**environment, "PASSWORD_LENGTH": "64", "PASSWORD_FORBIDDEN_PARTS": "12"}, "7"):
        assert not {"7"} & set(password)
        assert "12" not in password


@pytest.mark.parametrize(
    ("environment", "username"),
    [
        ({"PASSWORD_FORBIDDEN_PARTS": " ".join(string.digits)}, "app"),
        ({"EXCLUDE_CHARACTERS": string.digits[1:]}, "0"),
        (
            {
                "EXCLUDE_CHARACTERS": string.ascii_lowercase[1:],
                **{f"EXCLUDE_{name}": "true" for name in CLASSES if name != "LOWERCASE"},
            },
            "aa",
        ),
        (
            {
                "REQUIRE_EACH_INCLUDED_TYPE": "false",
                "EXCLUDE_CHARACTERS": string.ascii_lowercase[1:],
                **{f"EXCLUDE_{name}": "true" for name in CLASSES if name != "LOWERCASE"},
            },
            "a",
        ),
    ],
    ids=["all digits", "the only digit", "the only string", "the only character"],
)
def test_parts_that_leave_no_password_are_refused(environment: dict[str, str], username: str) -> None:
    error = refusal(environment, username)
    assert error.operation == "generating a password"
    assert "PASSWORD_FORBIDDEN_PARTS" in error.remedy


def test_parts_that_leave_no_password_are_refused_before_a_password_is_made() -> None:
    with pytest.raises(InvalidConfiguration):
        PasswordPolicy.from_environment({"PASSWORD_FORBIDDEN_PARTS": " ".join(string.punctuation)}, KIND)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_password_can_be_made_for_no_name(kind: EngineKind) -> None:
    assert all(has(each, TWO_OF_EACH) for each in passwords({"PASSWORD_FORBIDDEN_PARTS": "x"}, "", kind, many=5))


def test_a_throw_away_password_follows_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD_LENGTH", "12")
    monkeypatch.setenv("PASSWORD_MINIMUM_PUNCTUATION", "4")
    monkeypatch.setenv("PASSWORD_FORBIDDEN_PARTS", "z")
    for _ in range(100):
        password = unread_password(KIND, "q")
        assert has(password, {**TWO_OF_EACH, "PUNCTUATION": 4})
        assert not set("qQzZ") & set(password)


# Uniform


def test_all_passwords_that_the_policy_allows_are_equally_likely() -> None:
    """Compared with a list of all of them: the characters are few, and the name excludes some strings."""
    policy = PasswordPolicy(
        length=4,
        longest=4,
        classes=(
            CharacterClass(name="LOWERCASE", characters="abc", minimum=1),
            CharacterClass(name="NUMBERS", characters="12", minimum=0),
            CharacterClass(name="PUNCTUATION", characters="!", minimum=1),
        ),
        forbidden=frozenset({"2"}),
    )
    allowed = {
        "".join(each)
        for each in itertools.product("abc1!", repeat=4)
        if {*"abc"} & {*each} and "!" in each and not re.search("ab|ba", "".join(each))
    }
    rounds = 64
    found = Counter(policy.generate("AB") for _ in range(rounds * len(allowed)))
    assert found.keys() == allowed
    # Each is counted 64 times on average, with a standard deviation of 8: seven of them do not occur by chance.
    assert max(abs(count - rounds) for count in found.values()) < 56


# What servers ask for


def oracle_strong(password: str, username: str) -> bool:
    """ORA12C_STRONG_VERIFY_FUNCTION (Oracle's Security Guide, "Password Complexity Verification Functions")."""
    lower = password.lower()
    return (
        9 <= len(password) <= 30
        and '"' not in password
        and has(password, TWO_OF_EACH)
        and username.lower() not in lower
        and username.lower()[::-1] not in lower
    )


def windows(password: str, username: str) -> bool:
    """CHECK_POLICY: https://learn.microsoft.com/en-us/sql/relational-databases/security/password-policy."""
    return len(password) >= 8 and sum(map(bool, counts(password).values())) >= 3 and username not in password.lower()


def one_of_each(password: str, _: str) -> bool:
    """validate_password and simple_password_check with their defaults."""
    return len(password) >= 8 and has(password, dict.fromkeys(CLASSES, 1))


@pytest.mark.parametrize(
    ("kind", "accepts"),
    [
        (oracle.Oracle.kind, oracle_strong),
        (sqlserver.SQLServer.kind, windows),
        (mysql.MySQL.kind, one_of_each),
        (mariadb.MariaDB.kind, one_of_each),
    ],
    ids=["oracle", "sqlserver", "mysql", "mariadb"],
)
@pytest.mark.parametrize("username", ["ab", "hr", "app_clone"])
def test_the_defaults_of_the_stack_meet_the_policies_of_servers(
    kind: EngineKind, accepts: Callable[[str, str], bool], username: str
) -> None:
    assert all(accepts(each, username) for each in passwords({"PASSWORD_LENGTH": "30"}, username, kind, many=300))
