"""What do all functions of the watch share?"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from rotation.errors import RotationError, Unexpected
from rotation.redaction import LONGEST, Redactor, redacting

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


def seconds_left(context: "LambdaContext") -> Callable[[], float]:
    """Return a function that returns how many seconds Lambda still gives."""
    return lambda: context.get_remaining_time_in_millis() / 1000


def attempted[T](work: Callable[[], T], redactor: Redactor | None = None) -> T | RotationError:
    """Return the result of the work, or its error, without secrets and chained exceptions."""
    redactor = redactor or Redactor()
    try:
        with redacting(redactor):
            return work()
    except RotationError as error:
        return error.rewritten(partial(redactor.said, most=LONGEST))
    except Exception as error:  # noqa: BLE001 - the text of any exception can hold a secret and must not get out
        return Unexpected.from_exception(error, "watching the rotations")
