"""What do the function's environment variables say?"""

from collections.abc import Mapping

from rotation.errors import InvalidConfiguration

BOOLEANS = {
    "true": True,
    "yes": True,
    "y": True,
    "1": True,
    "false": False,
    "no": False,
    "n": False,
    "0": False,
}

WITHOUT_PARAMETER = frozenset(
    {"ALLOW_LOCAL_HOSTS", "ATTACH_SCHEDULE", "ATTACH_TAG_KEY", "ATTACH_WINDOW", "ROTATION_FUNCTION_PREFIX"}
)
"""Variables that no parameter of that name sets."""


def boolean(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Return what a variable says, or the default if it is not set; raises InvalidConfiguration."""
    text = environment.get(name, str(default))
    try:
        return BOOLEANS[text.strip().lower()]
    except KeyError:
        raise invalid(name, "it is neither true nor false") from None


def integer(environment: Mapping[str, str], name: str, default: int, *, blank: bool = False) -> int:
    """Return the number that a variable says, or the default if it is not set; raises InvalidConfiguration.

    With `blank`, a variable without a text counts as not set.
    """
    text = environment.get(name, str(default))
    if blank and not text.strip():
        return default
    try:
        return int(text)
    except ValueError:
        raise invalid(name, "it is not a number") from None


def words(environment: Mapping[str, str], name: str) -> list[str]:
    """Return the words of a variable, which spaces separate; none if it is not set."""
    return environment.get(name, "").split()


def invalid(name: str, cause: str) -> InvalidConfiguration:
    """Return the error for a variable with an impossible value."""
    what = name if name in WITHOUT_PARAMETER else named(name)
    return InvalidConfiguration(f"reading the environment variable {name}", cause, f"Correct {what} and deploy")


def named(variable: str) -> str:
    """Return a variable with the parameter of the template that sets it."""
    return f"{variable} (parameter {variable.title().replace('_', '')})"
