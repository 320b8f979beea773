"""What does the demo do, and in which order?"""

from collections.abc import Callable
from contextlib import ExitStack

from tests.local.demo.application import Tally
from tests.local.demo.databases import Engine
from tests.local.demo.rotations import Meanwhile, perform
from tests.local.demo.scenario import Scenario
from tests.local.demo.screen import Screen

_SHELL = "export {}={}"
_AWS = ".local/python/bin/aws secretsmanager {} --secret-id demo/{}"


def play(screen: Screen, engine: Engine, linger: Callable[[], None] | None = None) -> None:
    """Start everything, rotate with each strategy of the engine, show the results, and stop everything.

    `linger`, if given, is called before everything is stopped. Raises DemoError and OSError.
    """
    with ExitStack() as stack:
        scenario = Scenario.prepare(screen, engine, stack)
        tallies = {strategy.title: perform(scenario, strategy) for strategy in engine.strategies}
        _conclude(screen, scenario, tallies)
        if linger:
            _invite(screen, scenario)
            linger()


def _conclude(screen: Screen, scenario: Scenario, tallies: dict[str, list[Meanwhile]]) -> None:
    rotations = scenario.manager.outcomes
    steps = sum(len(outcome.events) // 2 for outcome in rotations)
    screen.summary(
        "Results of this run",
        [
            (
                "server",
                f"{scenario.engine.name} {scenario.database.version}, TLS with verified certificate and host name",
            ),
            ("function", _provenance(scenario)),
            ("rotations", f"{len(rotations)} through RotateSecret, {steps} steps"),
            ("logins", "\n".join(_logins(title, seen) for title, seen in tallies.items())),
            ("not shown", _not_shown(scenario.engine)),
        ],
    )
    screen.summary(
        "Where to go next",
        [
            ("make aws", "leaves such an AWS running, for a secret of your own: docs/laptop.md"),
            ("README.md", "how to deploy, attach secrets, choose a strategy, handle failures"),
            ("make test", "tests every promise, on several server versions, with faults"),
            ("make deploy", "shows what would change in your AWS account, and asks first"),
        ],
    )


def _provenance(scenario: Scenario) -> str:
    if scenario.runtime.emulated:
        cold = scenario.manager.outcomes[0].events[1].seconds or 0.0
        return (
            f"{scenario.engine.function}, the artifact of `sam build`, in Lambda's emulator; "
            f"its cold start is in the first step's {cold:.2f} s"
        )
    return (
        f"{scenario.engine.function} from its sources, in plain Python: Lambda's emulator is not for this system, "
        "so the artifact of `sam build` was not run"
    )


def _not_shown(engine: Engine) -> str:
    if engine.is_real:
        return "IAM, KMS, networks, the service itself: Secrets Manager was a stand-in"
    return f"IAM, KMS, networks, Secrets Manager itself, {engine.name} itself: these two were stand-ins"


def _logins(title: str, seen: list[Meanwhile]) -> str:
    fresh, caching = _failed([each.fresh for each in seen]), _failed([each.caching for each in seen])
    return f"{title}: {fresh} failed; with the secret cached, {caching}"


def _failed(tallies: list[Tally]) -> str:
    return f"{sum(tally.failed for tally in tallies)} of {sum(tally.logins for tally in tallies)}"


def _invite(screen: Screen, scenario: Scenario) -> None:
    application = scenario.engine.strategies[-1].application
    screen.pause()
    screen.chapter("Look around", "All of it runs until Ctrl-C. In another terminal, in this folder:")
    screen.copyable(
        [
            *(_SHELL.format(name, value) for name, value in scenario.manager.environment.items()),
            _AWS.format("rotate-secret", application),
            _AWS.format("list-secret-version-ids --include-deprecated", application),
        ]
    )
