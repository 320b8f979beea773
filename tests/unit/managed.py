"""How is an admin found whose password RDS manages? As much of Secrets Manager and RDS as that takes."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar, cast

from rotation.admin import Admins
from rotation.credential import Credential, SecretValue
from rotation.kind import EngineKind
from rotation.redaction import Redactor
from tests.laboratories import deadline

HOST = "db.c1a2b3c4d5e6.eu-west-1.rds.amazonaws.com"
ARN = "arn:aws:rds:eu-west-1:123456789012:db:db"


class ManagedAdmin:
    """An admin secret that RDS made, and its database; a subclass for each engine."""

    kind: ClassVar[EngineKind]
    secret: ClassVar[Mapping[str, object]]
    """The fields of a user's secret."""

    def __init__(self, **fields: object) -> None:
        self.admin = json.dumps({"username": "admin", "password": "the-admins", **fields})

    def get_secret_value(self, **_: str) -> dict[str, str]:
        """Return the admin secret."""
        return {"SecretString": self.admin}

    def describe_secret(self, **_: str) -> dict[str, object]:
        """Return the tag that RDS writes on a secret that it manages."""
        return {"Tags": [{"Key": "aws:rds:primaryDBInstanceArn", "Value": ARN}]}

    def describe_db_instances(self, **_: str) -> dict[str, object]:
        """Return the instance, with the engine's default port."""
        port = self.kind.default_port
        return {"DBInstances": [{"Endpoint": {"Address": HOST, "Port": port}, "DBInstanceArn": ARN}]}

    def find(self, **fields: object) -> Credential:
        """Return the admin's credential for a user's secret with these fields."""
        text = json.dumps({**self.secret, "host": HOST, "masterarn": "a", **fields})
        value = SecretValue.parse(text, self.kind, "reading")
        client = cast("Any", self)
        return Admins(client, lambda _: client, self.kind, Redactor(), deadline()).find(value)
