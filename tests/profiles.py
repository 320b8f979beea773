"""How long do the property tests search, and where do they keep what they need?

`make test` takes the same few examples every time. With `--hypothesis-profile search` there are many more, others each
time; a failure is printed as the calls, or the values, that lead to it.
"""

from pathlib import Path

from hypothesis import HealthCheck, Phase, configuration, settings

SEARCH = "search"
LONGER = 25
"""How many examples the search takes for one of the sample."""

configuration.set_hypothesis_home_dir(Path(__file__).parents[1] / ".local" / "hypothesis")

_SAMPLE = settings(
    derandomize=True,
    database=None,
    deadline=None,  # the machine may be busy
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
    ],  # the same; nothing is kept in them
    report_multiple_bugs=False,
)
settings.register_profile(SEARCH, settings(_SAMPLE, derandomize=False))


def examples(count: int, *, steps: int = 50) -> settings:
    """Return the settings of a test for which so many examples are a fair sample, of so many steps if it has any."""
    if settings.get_current_profile_name() == SEARCH:
        return settings(settings.get_profile(SEARCH), max_examples=count * LONGER, stateful_step_count=steps)
    return settings(_SAMPLE, max_examples=count, stateful_step_count=steps)
