"""What happens with a strategy? Its application's secret rotates, and the application counts its logins."""

from dataclasses import dataclass

from tests.local.aws.secrets_manager import Outcome
from tests.local.aws.secrets_manager_rotation import STEPS
from tests.local.demo import DemoError
from tests.local.demo.application import Application, Tally
from tests.local.demo.databases import Login, Strategy
from tests.local.demo.scenario import Scenario
from tests.local.demo.versions import comparison, version_states

_LOGINS = 12
"""The logins of each application before RotateSecret, and again after the rotation."""
_PATIENCE = 120.0
_GAP = ("setSecret", "testSecret", "finishSecret")


@dataclass(frozen=True)
class Meanwhile:
    """The counts of the applications during one rotation."""

    fresh: Tally
    caching: Tally


def perform(scenario: Scenario, strategy: Strategy) -> list[Meanwhile]:
    """Make an application and its secret, and rotate that as often as the strategy wants.

    Raises DemoError if a rotation failed, or if logins failed that must not.
    """
    scenario.screen.chapter(strategy.title, strategy.lesson)
    secret_id = scenario.new_secret(strategy)
    titles = [f"RotateSecret {secret_id}"] + [f"RotateSecret {secret_id}, again"] * (strategy.rotations - 1)
    return [_rotate(scenario, strategy, secret_id, title) for title in titles]


def _rotate(scenario: Scenario, strategy: Strategy, secret_id: str, title: str) -> Meanwhile:
    client = scenario.manager.client()
    before = version_states(client, secret_id, scenario.database.work)
    fresh, caching = _applications(scenario, secret_id)
    scenario.screen.section(title)
    with scenario.screen.rotation(STEPS, (fresh, caching)) as view, fresh, caching, scenario.observer.showing(view):
        _wait_for_logins(fresh, caching)
        client.rotate_secret(SecretId=secret_id, RotationLambdaARN=scenario.function_arn)
        outcome = _outcome(scenario, secret_id)
        _wait_for_logins(fresh, caching)
    scenario.screen.versions(comparison(before, version_states(client, secret_id, scenario.database.work)))
    seen = Meanwhile(fresh.tally, caching.tally)
    scenario.screen.conclude(_verdict(strategy, seen, outcome))
    return seen


def _applications(scenario: Scenario, secret_id: str) -> tuple[Application, Application]:
    client = scenario.manager.client()

    def read() -> Login:
        return Login.parse(client.get_secret_value(SecretId=secret_id)["SecretString"])

    cached = read()
    return (
        Application("reads the secret before each login", read, scenario.database.work),
        Application("keeps what it read before the rotation", lambda: cached, scenario.database.work),
    )


def _wait_for_logins(*applications: Application) -> None:
    for application in applications:
        application.wait_for_more(_LOGINS)


def _outcome(scenario: Scenario, secret_id: str) -> Outcome:
    try:
        outcome = scenario.manager.wait(secret_id, _PATIENCE)
    except TimeoutError as error:
        raise DemoError(f"the rotation of {secret_id} did not end within {_PATIENCE:.0f} s") from error
    if outcome.result != "succeeded":
        raise DemoError(
            f"the rotation of {secret_id} {outcome.result} after {outcome.attempts} attempts: {outcome.error}"
        )
    return outcome


def _verdict(strategy: Strategy, seen: Meanwhile, outcome: Outcome) -> str:
    """Return a sentence about the logins. Raises DemoError if more failed than the strategy explains."""
    failed = seen.fresh.failed + seen.caching.failed
    if not strategy.has_gap and not failed:
        return "No login failed."
    if not strategy.has_gap or seen.fresh.failing_since is not None:
        tally = seen.fresh if seen.fresh.failed else seen.caching
        raise DemoError(
            f"{failed} logins failed; with the strategy {strategy.name} none must fail. The last failure: "
            f"{tally.last_failure}. Please report this defect, with this text"
        )
    seconds = sum(event.seconds or 0.0 for event in outcome.events if event.step in _GAP)
    if not seen.fresh.failed:
        return f"No login was refused this time. The gap, from setSecret to finishSecret, was {seconds:.2f} s."
    return (
        f"The expected gap: {seen.fresh.failed} of {seen.fresh.logins} logins with AWSCURRENT were refused, for "
        f"{seen.fresh.gap:.2f} s. From setSecret to finishSecret it took {seconds:.2f} s. An application that caches "
        "the secret must read it again when a login is refused."
    )
