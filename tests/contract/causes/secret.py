"""Which causes has the secret itself, the event, the function's environment, or Secrets Manager?"""

import string
from collections.abc import Callable
from dataclasses import replace

from rotation.errors import (
    InvalidConfiguration,
    InvalidEvent,
    InvalidSecret,
    NotRotatable,
    OutOfTime,
    RotationError,
    ServiceFailed,
    Superseded,
    Unexpected,
    Unsafe,
)
from rotation.steps import Step
from tests.contract.causes.kit import ALTERNATING, Case, Cause
from tests.local.aws.secrets_manager import Call, ServiceError

ENGINE = "postgresql"
"""The engine does not matter here: one whose server is there is enough."""

GONE = "arn:aws:secretsmanager:us-east-1:123456789012:secret:gone-abcdef"
READING = "reading the current version of {arn}"


def says(case: Case, **fields: object) -> None:
    """Let the secret say something else."""
    case.fields |= fields


def lacks(case: Case, key: str) -> None:
    """Let the secret lack a key."""
    case.text = (
        '{"engine": "postgres", "host": "db.example.com", "username": "app", "password": "Pw-12345678"}'.replace(
            f'"{key}"', '"other"'
        )
    )


def without_rotation(case: Case) -> None:
    """Turn the rotation off before createSecret."""
    case.hurry()
    case.before[Step.CREATE] = lambda: case.client.cancel_rotate_secret(SecretId=case.arn)


def abandoned(case: Case) -> None:
    """Take AWSPENDING away before setSecret."""
    case.hurry()
    case.before[Step.SET] = lambda: case.client.update_secret_version_stage(
        SecretId=case.arn, VersionStage="AWSPENDING", RemoveFromVersionId=case.token
    )


def not_written(case: Case) -> None:
    """Begin at setSecret."""
    case.hurry()
    case.first = Step.SET


def refused(case: Case, operation: str, code: str, *, admin: bool = False) -> None:
    """Let the service refuse an operation of the function."""
    if admin:
        case.pair()
    wanted = case.fields.get("masterarn")

    def intercept(call: Call, phase: str) -> None:
        if (call.operation, phase) == (operation, "before") and call.secret_id == (wanted or case.arn):
            raise ServiceError(code, "said the service")

    case.before[Step.SET if admin else Step.CREATE] = lambda: setattr(case.service, "intercept", intercept)


def variables(case: Case, **values: str) -> None:
    """Set variables of the function."""
    for name, value in values.items():
        case.patch.setenv(name, value)


def defect(case: Case) -> None:
    """Let a method of the driver fail as nobody meant it to."""

    def connect(*_: object) -> None:
        raise KeyError("Pw-12345678")

    case.patch.setattr(type(case.laboratory.engine), "connect", connect)


def _of_secret(
    name: str, make: Callable[[Case], object], cause: str, remedy: str, error: type[RotationError] = InvalidSecret
) -> Cause:
    return Cause(ENGINE, name, make, Step.CREATE, error, (READING, cause, remedy), by_server=False)


def _field(cause: str, remedy: str, **fields: object) -> Cause:
    return _of_secret(cause, lambda case: says(case, **fields), cause, remedy)


def _text(name: str, text: str | bytes, cause: str, remedy: str) -> Cause:
    return _of_secret(name, lambda case: setattr(case, "text", text), cause, remedy)


def _variable(name: str, value: str, cause: str, remedy: str) -> Cause:
    operation = f"reading the environment variable {name}"
    return Cause(
        ENGINE,
        f"{name}={value}",
        lambda case: variables(case, **{name: value}),
        Step.CREATE,
        InvalidConfiguration,
        (operation, cause, remedy),
        by_server=False,
    )


def _service(name: str, make: Callable[[Case], object], step: Step, says: tuple[str, str, str]) -> Cause:
    return Cause(ENGINE, name, make, step, ServiceFailed, says, by_server=False)


def _staging(name: str, make: Callable[[Case], object], step: Step, says: tuple[str, str, str]) -> Cause:
    return Cause(ENGINE, name, make, step, NotRotatable, says, by_server=False)


CAUSES = [
    _text("it is no JSON", "Pw-12345678", "the value is not a JSON object", 'Store it as {{"engine"'),
    _text("it is a list", '["Pw-12345678"]', "the value is not a JSON object", 'Store it as {{"engine"'),
    _text("it is binary", b"Pw-12345678", "it holds binary data", "Store the credential as JSON text"),
    _text(
        "a key is there twice", '{"host": "a", "host": "b"}', 'the key "host" twice', "Remove the value that is wrong"
    ),
    _of_secret("no engine", lambda case: lacks(case, "engine"), 'it has no "engine"', "Add what is missing"),
    _of_secret("no host", lambda case: lacks(case, "host"), 'it has no "host"', "Add what is missing"),
    _of_secret("no username", lambda case: lacks(case, "username"), 'it has no "username"', "Add what is missing"),
    _of_secret("no password", lambda case: lacks(case, "password"), 'it has no "password"', "Add what is missing"),
    _field('its "engine" is mysql', "attach the rotation function of that engine", engine="mysql"),
    _field('its "host" is neither', "Write one host name or IP address, without a port", host="db.example.com:5432"),
    _field('its "port" is not a number', "Correct it, or remove it", port="many"),
    _field('its "ssl" is neither true nor false', "remove it to verify TLS", ssl="perhaps"),
    _field('its "username" is not a text', "Correct it in the JSON of the secret", username=7),
    _field('its "masterarn" is not a text', "Correct it in the JSON of the secret", masterarn=""),
    _field('"rotation" is not an object', 'Write it like {{"strategy": "single-user"}}', rotation="single-user"),
    _field('the "strategy" in its "rotation" is unknown', "Choose one of", rotation={"strategy": "triple"}),
    _field('"verify" in its "rotation" is not a list', "Write it like", rotation={"verify": "SELECT 1"}),
    _field('"accept" in its "rotation" is not a list', "accept", rotation={"accept": ["everything"]}),
    Cause(
        ENGINE,
        "a pair without an admin",
        lambda case: case.strategy(ALTERNATING),
        Step.CREATE,
        InvalidSecret,
        (
            "choosing the strategy for {user} at {host}",
            'the secret has no "masterarn"',
            "Add the ARN of the admin secret",
        ),
        by_server=False,
    ),
    _staging("rotation is off", without_rotation, Step.CREATE, ("looking at {arn}", "not enabled", "rotate-secret")),
    _staging(
        "it was abandoned",
        abandoned,
        Step.SET,
        ("version {token} of {arn}", "abandoned", "Run aws secretsmanager rotate"),
    ),
    _staging(
        "it was not written",
        not_written,
        Step.SET,
        ("reading version {token} of {arn}", "it has no value yet", "Start the rotation again"),
    ),
    Cause(
        ENGINE,
        "the pending version names another host",
        lambda case: case.stage("Pw-12345678", host="elsewhere.example.com"),
        Step.SET,
        Superseded,
        (
            "the current one, {user} at {host}",
            "so it does not follow",
            "aws secretsmanager update-secret-version-stage",
        ),
        by_server=False,
    ),
    _variable("PASSWORD_LENGTH", "3", "3 is not from 8 to", "Correct PASSWORD_LENGTH (parameter PasswordLength)"),
    _variable("ALLOW_ADMIN_REPAIR", "perhaps", "it is neither true nor false", "Correct ALLOW_ADMIN_REPAIR"),
    _variable("EXCLUDE_LOWERCASE", "sometimes", "it is neither true nor false", "Correct EXCLUDE_LOWERCASE"),
    _variable("SECRET_ROLE_ARNS", "admin", "its entry 1 is not the ARN of a role", "List one role for each account"),
    Cause(
        ENGINE,
        "no characters are left",
        lambda case: variables(case, PASSWORD_FORBIDDEN_PARTS=" ".join(string.printable)),
        Step.CREATE,
        InvalidConfiguration,
        ("generating a password", "PASSWORD_FORBIDDEN_PARTS", "shorten EXCLUDE_CHARACTERS or PASSWORD_FORBIDDEN_PARTS"),
        by_server=False,
    ),
    Cause(
        ENGINE,
        "an event without a version",
        lambda case: case.event.update(ClientRequestToken="short"),
        Step.CREATE,
        InvalidEvent,
        ("reading the rotation event", "ClientRequestToken", "Attach this function to a secret"),
        by_server=False,
    ),
    Cause(
        ENGINE,
        "no time is left",
        lambda case: setattr(case, "seconds", 1.0),
        Step.CREATE,
        OutOfTime,
        ("{arn}", "the function's timeout is too near", "Raise the function's timeout"),
        by_server=False,
    ),
    Cause(
        ENGINE,
        "a defect",
        defect,
        Step.SET,
        Unexpected,
        ("doing setSecret for {arn}", "KeyError in secret.py", "Report this as a defect"),
        by_server=False,
    ),
    _service(
        "the role may not read the secret",
        lambda case: refused(case, "GetSecretValue", "AccessDeniedException"),
        Step.CREATE,
        (
            READING,
            "secretsmanager:GetSecretValue answered AccessDeniedException",
            "Allow secretsmanager:GetSecretValue to the function's role",
        ),
    ),
    _service(
        "the role may not describe the secret",
        lambda case: refused(case, "DescribeSecret", "AccessDeniedException"),
        Step.CREATE,
        (
            "{arn}",
            "secretsmanager:DescribeSecret answered AccessDeniedException",
            "Allow secretsmanager:DescribeSecret to the function's role",
        ),
    ),
    _service(
        "the role may not write the secret",
        lambda case: refused(case, "PutSecretValue", "AccessDeniedException"),
        Step.CREATE,
        (
            "{arn}",
            "secretsmanager:PutSecretValue answered AccessDeniedException",
            "Allow secretsmanager:PutSecretValue to the function's role",
        ),
    ),
    _service(
        "the role may not use the key",
        lambda case: refused(case, "GetSecretValue", "DecryptionFailure"),
        Step.CREATE,
        (
            READING,
            "secretsmanager:GetSecretValue answered DecryptionFailure",
            "Allow kms:Decrypt on the secret's KMS key",
        ),
    ),
    _service(
        "the role may not encrypt",
        lambda case: refused(case, "PutSecretValue", "EncryptionFailure"),
        Step.CREATE,
        ("{arn}", "secretsmanager:PutSecretValue answered EncryptionFailure", "Allow kms:GenerateDataKey"),
    ),
    _service(
        "the role may not read the admin secret",
        lambda case: refused(case, "GetSecretValue", "AccessDeniedException", admin=True),
        Step.SET,
        (
            "reading the admin secret arn:aws:secretsmanager:",
            "secretsmanager:GetSecretValue answered AccessDeniedException",
            "Allow secretsmanager:GetSecretValue",
        ),
    ),
    _service(
        "the admin secret is gone",
        lambda case: says(case, masterarn=GONE, rotation={"strategy": ALTERNATING}),
        Step.SET,
        (
            f"reading the admin secret {GONE}",
            "ResourceNotFoundException",
            "Check that the secret and its versions still exist",
        ),
    ),
    Cause(
        ENGINE,
        "the admin secret has no host",
        lambda case: says(case, masterarn=case.store('{"username": "admin"}'), rotation={"strategy": ALTERNATING}),
        Step.SET,
        InvalidSecret,
        ("reading the admin secret arn:aws:", 'it has no "host"', "Add engine, host and port to the JSON"),
        by_server=False,
    ),
    Cause(
        ENGINE,
        "the admin secret is for another server",
        lambda case: case.pair(replace(case.laboratory.admin, host="elsewhere.example.com")),
        Step.SET,
        Unsafe,
        ("looking for the admin of {host}", "the admin secret is for elsewhere.example.com", 'Correct "masterarn"'),
        by_server=False,
    ),
]
