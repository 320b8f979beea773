"""Do passwords follow the environment variables of AWS's templates?"""

import string
from collections.abc import Mapping
from dataclasses import replace

import pytest

from rotation.errors import InvalidConfiguration
from rotation.kind import EngineKind
from rotation.passwords import DEFAULT_EXCLUDED, PasswordPolicy
from tests.fakes import KIND

CLASSES = [string.ascii_lowercase, string.ascii_uppercase, string.digits, string.punctuation]
VARIABLES = ["EXCLUDE_LOWERCASE", "EXCLUDE_UPPERCASE", "EXCLUDE_NUMBERS", "EXCLUDE_PUNCTUATION"]


def passwords(environment: Mapping[str, str], kind: EngineKind = KIND) -> list[str]:
    """Generate 50 passwords."""
    policy = PasswordPolicy.from_environment(environment, kind)
    return [policy.generate("app") for _ in range(50)]


def refusal(environment: Mapping[str, str]) -> InvalidConfiguration:
    """Return the error for an impossible environment."""
    with pytest.raises(InvalidConfiguration) as caught:
        PasswordPolicy.from_environment(environment, KIND)
    return caught.value


def test_by_default_a_password_has_32_characters_of_all_classes_and_none_that_hurts() -> None:
    for password in passwords({}):
        assert len(password) == 32
        assert all(set(password) & set(characters) for characters in CLASSES)
        assert not set(password) & set("/@\"'\\")
        assert set(password) <= set("".join(CLASSES))


def test_no_two_passwords_are_equal() -> None:
    assert len(set(passwords({}))) == 50


def test_all_characters_that_the_policy_allows_are_used() -> None:
    admitted = set("".join(CLASSES)) - set(DEFAULT_EXCLUDED + KIND.unusable_in_passwords)
    policy = PasswordPolicy.from_environment({"PASSWORD_LENGTH": "64"}, KIND)
    seen: set[str] = set()
    while seen != admitted:  # it ends: each character is as likely as the next
        seen |= set(policy.generate("app"))
        assert seen <= admitted


@pytest.mark.parametrize("length", ["8", "64", " 20 "])
def test_the_operator_sets_the_length(length: str) -> None:
    assert {len(password) for password in passwords({"PASSWORD_LENGTH": length})} == {int(length)}


@pytest.mark.parametrize("length", ["7", "65", "0", "-32", "many", "", "32.0"])
def test_an_impossible_length_is_named(length: str) -> None:
    assert "PASSWORD_LENGTH" in str(refusal({"PASSWORD_LENGTH": length}))


@pytest.mark.parametrize(("variable", "characters"), list(zip(VARIABLES, CLASSES, strict=True)), ids=VARIABLES)
@pytest.mark.parametrize("true", ["true", "True", "yes", "y", "1", " TRUE "])
def test_an_excluded_class_is_never_used(variable: str, characters: str, true: str) -> None:
    assert not set("".join(passwords({variable: true}))) & set(characters)


@pytest.mark.parametrize("false", ["false", "False", "no", "n", "0"])
def test_a_class_that_is_not_excluded_is_always_used(false: str) -> None:
    for password in passwords(dict.fromkeys(VARIABLES, false) | {"PASSWORD_LENGTH": "8"}):
        assert all(set(password) & set(characters) for characters in CLASSES)


@pytest.mark.parametrize("variable", [*VARIABLES, "REQUIRE_EACH_INCLUDED_TYPE"])
@pytest.mark.parametrize("text", ["maybe", "", "2"])
def test_a_variable_that_is_neither_true_nor_false_is_named(variable: str, text: str) -> None:
    assert variable in str(refusal({variable: text}))


def test_the_operators_excluded_characters_replace_the_default() -> None:
    made = set("".join(passwords({"EXCLUDE_CHARACTERS": "abcXYZ019%&"})))
    assert not made & set("abcXYZ019%&")
    assert made & set("/@\"'\\")


def test_the_operator_can_exclude_nothing() -> None:
    assert set("".join(passwords({"EXCLUDE_CHARACTERS": "none", "PASSWORD_LENGTH": "64"}))) >= set("/@\"'\\none")


def test_empty_means_the_default() -> None:
    assert not set("".join(passwords({"EXCLUDE_CHARACTERS": "", "PASSWORD_LENGTH": "64"}))) & set("/@\"'\\")


def test_characters_that_the_engine_cannot_take_are_always_excluded() -> None:
    assert "#" not in "".join(passwords({"EXCLUDE_CHARACTERS": "none", "PASSWORD_LENGTH": "64"}))
    assert "%" not in "".join(passwords({}, replace(KIND, unusable_in_passwords="%")))


def test_one_class_can_be_enough() -> None:
    environment = dict.fromkeys(VARIABLES[:2] + VARIABLES[3:], "true")
    assert all(password.isdigit() for password in passwords(environment))


def test_not_all_classes_need_be_there() -> None:
    lone = {"REQUIRE_EACH_INCLUDED_TYPE": "false", "EXCLUDE_CHARACTERS": string.digits, "PASSWORD_LENGTH": "8"}
    assert not set("".join(passwords(lone))) & set(string.digits)


@pytest.mark.parametrize("kept", ["true", "yes"])
def test_a_required_class_without_characters_is_refused(kept: str) -> None:
    error = refusal({"EXCLUDE_CHARACTERS": string.digits, "REQUIRE_EACH_INCLUDED_TYPE": kept})
    assert "EXCLUDE_CHARACTERS" in error.operation


@pytest.mark.parametrize(
    "environment",
    [
        dict.fromkeys(VARIABLES, "true"),
        {"EXCLUDE_CHARACTERS": "".join(CLASSES), "REQUIRE_EACH_INCLUDED_TYPE": "false"},
    ],
    ids=["classes", "characters"],
)
def test_a_policy_that_leaves_no_character_is_refused(environment: dict[str, str]) -> None:
    assert "leaves no character" in refusal(environment).cause
