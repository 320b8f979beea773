"""Which engine does a secret name? Nothing else of the secret leaves this function.

A secret with the tag `auto` has no rotation function yet, so no rotation function can read it: each reads only secrets
that chose it. The function that attaches secrets cannot read any. This one can read the secrets with that tag, can do
nothing else, and answers with one of six words.
"""

from functools import partial
from typing import TYPE_CHECKING

from rotation.aws import call_aws, own_clients
from rotation.credential import parse_object
from rotation.deadline import Deadline
from rotation.errors import InvalidEvent, InvalidSecret, RotationError
from rotation.lambda_handler import logger
from rotation.redaction import Redactor
from rotation.watch.invocation import attempted, seconds_left
from rotation.watch.tags import ENGINES, engine_word

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext


def engine_handler() -> "Callable[[object, LambdaContext], dict[str, str]]":
    """Return the function that Lambda calls with {"SecretId": ARN}.

    It answers {"engine": word}, or {"cause": …, "remedy": …} if the engine cannot be told. It logs only the latter.
    """

    def handler(event: object, context: "LambdaContext") -> dict[str, str]:
        redactor = Redactor()
        word = attempted(lambda: _engine(event, redactor, Deadline(seconds_left(context))), redactor)
        if isinstance(word, RotationError):
            logger.error(str(word), extra={"error": type(word).__name__, "cause": word.cause, "remedy": word.remedy})
            return {"cause": word.cause, "remedy": word.remedy}
        return {"engine": word}

    return handler


def _engine(event: object, redactor: Redactor, deadline: Deadline) -> str:
    arn = event.get("SecretId") if isinstance(event, dict) else None
    if not isinstance(arn, str) or not arn:
        raise InvalidEvent("reading the event", "it names no secret", 'Send {"SecretId": …}')
    operation = f"reading the engine of {arn}"
    read = partial(own_clients().secrets_manager.get_secret_value, SecretId=arn)
    text = call_aws(read, deadline, operation, "secretsmanager:GetSecretValue").get("SecretString", "")
    redactor.read(text)
    redactor.release(arn)
    name = parse_object(text, operation).get("engine")
    if not isinstance(name, str) or not (word := engine_word(name)):
        remedy = f'Correct "engine" in the secret, or tag the secret with one of {", ".join(ENGINES)}'
        raise InvalidSecret(operation, 'its "engine" is missing, or is not one that this application rotates', remedy)
    return word
