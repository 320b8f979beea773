"""What is a secret in the local Secrets Manager, with a version of it that is to be made?"""

import json
import secrets
import uuid
from collections.abc import Callable

from botocore.config import Config

from rotation.credential import SecretValue
from rotation.deadline import Deadline
from rotation.redaction import Redactor
from rotation.secret import SecretUnderRotation
from tests.fakes import KIND, PRIMARY
from tests.laboratories import deadline
from tests.local.aws.secrets_manager import Call, LocalSecretsManager, Phase

VALUE = {"engine": "fake", "host": PRIMARY, "username": "app", "password": "password-0"}
NEW = "password-1"


class Scenario:
    """A secret, under rotation by hand: the function that is attached to it does nothing."""

    def __init__(self, service: LocalSecretsManager, **fields: object) -> None:
        """Make it."""
        self.service = service
        self.client = service.client()
        self.token = str(uuid.uuid4())
        self.first = self.token
        self.arn = self.client.create_secret(
            Name=f"app-{secrets.token_hex(4)}",
            ClientRequestToken=self.token,
            SecretString=json.dumps({**VALUE, **fields}),
        )["ARN"]
        self.redactor = Redactor()

    def begin(self) -> "Scenario":
        """Let the service stage an empty version."""
        self.token = str(uuid.uuid4())
        function = self.service.register("nothing", lambda _: None)
        self.client.rotate_secret(SecretId=self.arn, RotationLambdaARN=function, ClientRequestToken=self.token)
        self.service.wait(self.arn)
        self.service.calls.clear()
        return self

    def secret(
        self, config: Config | None = None, rotation_token: str | None = None, until: Deadline | None = None
    ) -> SecretUnderRotation:
        """Return what is under test, seen from the version that was begun last."""
        client, until = self.service.client(config), until or deadline()
        return SecretUnderRotation(client, self.arn, self.token, KIND, self.redactor, until, rotation_token)

    def successor(self, password: str = NEW) -> SecretValue:
        """Return the value that is to be staged."""
        return SecretValue.parse(json.dumps(VALUE), KIND, "making a value").successor("app", password)

    def put(self, text: str, *labels: str) -> str:
        """Write a version, as an operator; return its id."""
        token = str(uuid.uuid4())
        self.client.put_secret_value(
            SecretId=self.arn, ClientRequestToken=token, SecretString=text, VersionStages=labels or ["AWSCURRENT"]
        )
        return token

    def move(self, label: str, source: str | None, target: str | None) -> None:
        """Move a label, as an operator."""
        places = {"RemoveFromVersionId": source, "MoveToVersionId": target}
        self.client.update_secret_version_stage(
            SecretId=self.arn, VersionStage=label, **{key: value for key, value in places.items() if value}
        )

    def labels(self) -> dict[str, str]:
        """Return which version has which label."""
        versions = self.client.describe_secret(SecretId=self.arn)["VersionIdsToStages"]
        return {label: version for version, labels in versions.items() for label in labels}

    def operations(self) -> list[str]:
        """Return the calls so far."""
        return [call.operation for call in self.service.calls]

    def before(self, operation: str, act: Callable[[], object], times: int = 1, phase: Phase = "before") -> None:
        """Do something right before a call arrives, or after it took effect, so many times."""
        left = iter(range(times))

        def intercept(call: Call, when: Phase) -> None:
            if call.operation == operation and when == phase and next(left, None) is not None:
                act()

        self.service.intercept = intercept
