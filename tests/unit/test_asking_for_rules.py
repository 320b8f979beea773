"""Who asks a server what it demands of passwords, before one is made? And what if no password can meet it?"""

from dataclasses import replace

import pytest

from rotation.engines.mysql import policy
from rotation.errors import InvalidConfiguration, LoginBlocked, Unsupported
from rotation.kind import Strategy
from rotation.passwords import CLASSES, PasswordPolicy, Rule
from rotation.steps import STEPS, Rotation, Step
from tests.fakes import KIND, FakeDatabase, verifier
from tests.unit.scenario import ALTERNATING, APP, CONNECTIONS, SINGLE, Scenario

SHOWING = replace(KIND, shows_password_rules=True)
LONGER = Rule("policy.length", 40)
MORE_DIGITS = Rule("policy.digits", 20, "NUMBERS")


def asking(strategy: Strategy, **kind: bool) -> Scenario:
    """Make a scenario whose database asks for long passwords, and shows it."""
    database = FakeDatabase(replace(SHOWING, **kind))  # type: ignore[arg-type]  # only its booleans are changed
    database.password_rules = [LONGER]
    return Scenario(strategy, database=database)


def create(scenario: Scenario, **environment: str) -> None:
    """Do createSecret with the passwords of a function that has this environment."""
    scenario.begin()
    policy = PasswordPolicy.from_environment(environment, scenario.database.kind)
    rotation: Rotation = replace(scenario.rotation(), new_password=policy.generate)
    STEPS[Step.CREATE](rotation)


def staged_length(scenario: Scenario) -> int:
    """Return how long the pending password is."""
    value = scenario.secret.pending()
    assert value
    return len(value.credential.password)


def counts(password: str) -> dict[str, int]:
    return {name: sum(character in characters for character in password) for name, characters in CLASSES.items()}


# Who asks


@pytest.mark.parametrize("strategy", [SINGLE, ALTERNATING])
def test_the_user_of_awscurrent_asks_in_one_login(strategy: Strategy) -> None:
    scenario = asking(strategy)
    create(scenario)
    assert scenario.users_tried() == [APP]
    assert scenario.asked_for_admin == 0
    assert staged_length(scenario) == 40


@pytest.mark.parametrize("strategy", [SINGLE, ALTERNATING])
def test_a_healthy_rotation_has_one_connection_more(strategy: Strategy) -> None:
    scenario = asking(strategy)
    scenario.rotate()
    assert len(scenario.database.tried) == CONNECTIONS[strategy] + 1
    assert not scenario.database.refused


@pytest.mark.parametrize("strategy", [SINGLE, ALTERNATING])
def test_nobody_asks_if_the_engine_does_not_show_it(strategy: Strategy) -> None:
    scenario = asking(strategy, shows_password_rules=False)
    create(scenario)
    assert scenario.users_tried() == []
    assert staged_length(scenario) == 32


@pytest.mark.parametrize("strategy", [SINGLE, ALTERNATING])
def test_a_refused_login_is_left_to_the_next_step(strategy: Strategy) -> None:
    scenario = asking(strategy)
    scenario.database.users[APP].verifiers = (verifier(APP, "another"),)
    create(scenario)
    assert scenario.users_tried() == [APP]
    assert staged_length(scenario) == 32


def test_an_admin_that_sees_passwords_asks_for_a_single_user() -> None:
    """Else a login of the user could be refused, which a lockout limit of 1 does not forgive."""
    database = FakeDatabase(replace(SHOWING, admin_sees_passwords=True))
    database.password_rules = [LONGER]
    scenario = Scenario(SINGLE, database=database, masterarn="arn:admin", rotation={"strategy": "single-user"})
    create(scenario)
    assert scenario.users_tried() == ["admin"]
    assert staged_length(scenario) == 40
    scenario.secret.abandon()
    scenario.database.users["admin"].verifiers = ()
    with pytest.raises(LoginBlocked, match="arn:admin"):
        create(scenario)


def test_a_strategy_that_is_not_possible_is_said_first() -> None:
    scenario = asking(ALTERNATING, clone_sees_rights=True)
    scenario.secret.versions["version-0"] = scenario.secret.read().to_json().replace(f'"{APP}"', f'"{"a" * 60}"')
    with pytest.raises(Unsupported):
        create(scenario)
    assert scenario.users_tried() == []


# What is made


def test_a_password_meets_both_the_function_and_the_server() -> None:
    policy = PasswordPolicy.from_environment({"PASSWORD_MINIMUM_UPPERCASE": "9"}, KIND)
    for _ in range(50):
        password = policy.generate(APP, [LONGER, MORE_DIGITS, Rule("policy.capitals", 3, "UPPERCASE")])
        assert len(password) == 40
        assert counts(password)["NUMBERS"] >= 20
        assert counts(password)["UPPERCASE"] >= 9
        assert counts(password)["LOWERCASE"] >= 2


def test_minimums_that_do_not_fit_make_the_password_longer() -> None:
    policy = PasswordPolicy.from_environment({"PASSWORD_LENGTH": "8"}, KIND)
    assert len(policy.generate(APP, [MORE_DIGITS])) == 26


def test_a_rule_that_asks_for_nothing_excludes_nothing() -> None:
    policy = PasswordPolicy.from_environment({"EXCLUDE_NUMBERS": "true"}, KIND)
    assert len(policy.generate(APP, [Rule("policy.digits", 0, "NUMBERS"), Rule("policy.length", 0)])) == 32


@pytest.mark.parametrize(
    ("rule", "environment", "remedy"),
    [
        (
            MORE_DIGITS,
            {"EXCLUDE_NUMBERS": "true"},
            (
                "Allow digits in EXCLUDE_NUMBERS (parameter ExcludeNumbers)"
                " and EXCLUDE_CHARACTERS (parameter ExcludeCharacters)"
            ),
        ),
        (Rule("policy.length", 65), {}, "Lower policy.length on the server"),
        (Rule("policy.digits", 59, "NUMBERS"), {}, "Lower policy.digits on the server"),
    ],
    ids=["class left out", "too long", "too many"],
)
def test_what_no_password_can_meet_is_said_before_anything_is_staged(
    rule: Rule, environment: dict[str, str], remedy: str
) -> None:
    scenario = asking(SINGLE)
    scenario.database.password_rules = [Rule("policy.other", 1, "LOWERCASE"), rule]
    with pytest.raises(InvalidConfiguration) as caught:
        create(scenario, **environment)
    assert str(rule) in caught.value.cause
    assert caught.value.remedy == remedy
    assert scenario.secret.versions[scenario.secret.token] is None


def test_a_value_that_is_no_number_asks_for_nothing() -> None:
    variables = {"validate_password.length": "9" * 5000, "simple_password_check_digits": "ten", "x.policy": "1"}
    assert not policy.rules_for_clear_text(variables)
