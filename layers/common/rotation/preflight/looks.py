"""How do looks follow each other? Each says which earlier ones it needs."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from rotation.errors import RotationError, Unexpected
from rotation.finding import Finding, Outcome, failed_with, not_looked_at
from rotation.values import dataclass


@dataclass(frozen=True)
class Look:
    """One look; it is taken if all that it needs went well."""

    item: str
    needs: Sequence[str]
    """The items of earlier looks."""
    look: Callable[[], Iterable[Finding]]
    """Returns one finding or several, of this item or of others. What it raises is a failure."""


def findings_of(looks: Iterable[Look]) -> Iterator[Finding]:
    """Take the looks, and yield what each finds; the items of those that were not taken too."""
    broken: set[str] = set()
    for one in looks:
        missing = [item for item in one.needs if item in broken]
        if missing:
            broken.add(one.item)
            yield not_looked_at(one.item, f"it needs {missing[0]}")
            continue
        found = list(_taken(one))
        broken |= {finding.item for finding in found if finding.outcome is Outcome.FAIL}
        yield from found


def _taken(one: Look) -> Iterator[Finding]:
    try:
        yield from one.look()
    except RotationError as error:
        yield failed_with(one.item, error)
    except Exception as error:  # noqa: BLE001 - a defect in one look is said, and the others are taken
        yield failed_with(one.item, Unexpected.from_exception(error, f"looking at {one.item}"))
