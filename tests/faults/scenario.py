"""What does a rotation look like from outside: a secret, its user, an application, an operator?"""

import json
import secrets
import uuid
from dataclasses import dataclass, field, replace

from rotation.credential import Credential
from rotation.kind import Strategy
from rotation.steps import Step
from tests.faults import killing
from tests.faults.wire import Watch, Wire
from tests.laboratories import ORDERS, Laboratory
from tests.local.aws.secrets_manager import LocalSecretsManager
from tests.local.servers.processes import LOOPBACK

AWS, DATABASE = "AWS", "database"
"""The parties that a function talks to, over a wire."""


@dataclass
class Scenario:
    """A secret of a new user in a laboratory, under rotation by hand: no service retries behind the test's back.

    The function reaches the database and AWS over the wire alone, all others reach them directly.
    """

    laboratory: Laboratory
    service: LocalSecretsManager
    wire: Wire
    strategy: Strategy
    through_admin: bool
    """Whether the secret names an admin."""
    name: str = field(default_factory=lambda: f"app-{secrets.token_hex(4)}")
    token: str = ""

    def __post_init__(self) -> None:
        """Make the user and the secrets."""
        self.user = self.laboratory.new_user()
        self.client = self.service.client()
        verify = [self.laboratory.statement_that_reads(ORDERS)]
        fields: dict[str, object] = {"rotation": {"strategy": self.strategy, "verify": verify}}
        if self.strategy is Strategy.DUAL_PASSWORD:
            self.laboratory.allow_two_passwords(self.user.username, by_itself=not self.through_admin)
        if self.through_admin:
            admin = self._store(f"{self.name}-admin", self.laboratory.admin, {})
            fields["masterarn"] = admin
        self.arn = self._store(self.name, self.user, fields)
        self.function = self.service.register(self.name, lambda _: None)

    def begin(self) -> None:
        """Let the service stage a new, empty version, and leave the steps to the test."""
        self.token = str(uuid.uuid4())
        self.client.rotate_secret(SecretId=self.arn, RotationLambdaARN=self.function, ClientRequestToken=self.token)
        self.service.wait(self.arn)

    def abandon(self) -> None:
        """Take AWSPENDING away by hand, as an operator does with a rotation that is stuck.

        If the rotation is done, do nothing.
        """
        if self.labels().get("AWSPENDING") not in (None, self.labels()["AWSCURRENT"]):
            self.client.update_secret_version_stage(
                SecretId=self.arn, VersionStage="AWSPENDING", RemoveFromVersionId=self.token
            )

    def run(self, *steps: Step, watch: Watch | None = None) -> killing.Ending:
        """Run the steps, all four where none are named."""
        events = [
            {"Step": step, "SecretId": self.arn, "ClientRequestToken": self.token} for step in steps or tuple(Step)
        ]
        environment = {
            **self.service.environment,
            "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{self.wire.port(AWS)}",
            "DB_CA_BUNDLE": str(self.laboratory.ca_bundle),
            "POWERTOOLS_METRICS_DISABLED": "true",
        }
        return killing.run(self.laboratory.engine, events, environment, self.wire, watch or Watch())

    def rotate(self) -> None:
        """Rotate once, undisturbed."""
        self.begin()
        assert self.run().error is None

    def read(self, label: str = "AWSCURRENT") -> Credential:
        """Read the secret as an application does."""
        return self._credential(self.client.get_secret_value(SecretId=self.arn, VersionStage=label)["SecretString"])

    def version_logs_in(self, version: str) -> bool:
        """Tell whether the server takes what a version holds, whatever its labels; False if it holds nothing."""
        try:
            text = self.client.get_secret_value(SecretId=self.arn, VersionId=version)["SecretString"]
        except self.client.exceptions.ResourceNotFoundException:
            return False
        return self.laboratory.logs_in(self._credential(text))

    def versions(self) -> dict[str, list[str]]:
        """Return the labels of each version that has one."""
        return self.client.describe_secret(SecretId=self.arn)["VersionIdsToStages"]

    def labels(self) -> dict[str, str]:
        """Return which version has which label."""
        return {label: version for version, labels in self.versions().items() for label in labels}

    def application_works(self) -> bool:
        """Tell whether an application that reads the secret now can work."""
        return self.laboratory.may_read(self.read(), ORDERS)

    def require_done(self) -> None:
        """Require that this rotation is done, and nothing is left over."""
        labels = self.labels()
        assert labels["AWSCURRENT"] == self.token
        assert labels.get("AWSPENDING", self.token) == self.token
        assert self.application_works()

    def _credential(self, text: str) -> Credential:
        value = json.loads(text)
        return replace(self.user, username=value["username"], password=value["password"])

    def _store(self, name: str, credential: Credential, fields: dict[str, object]) -> str:
        value = {
            "engine": credential.engine,
            "host": credential.host,
            "port": self.wire.port(DATABASE),
            "username": credential.username,
            "password": credential.password,
            "dbname": credential.database or "",
            **fields,
        }
        return self.client.create_secret(Name=name, SecretString=json.dumps(value))["ARN"]
