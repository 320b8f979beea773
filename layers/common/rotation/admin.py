"""Who is the admin of the database that a secret is for?

The secret names an admin secret in `masterarn`. The admin secret is either a full credential, or the master secret
that RDS manages. That one holds a user and a password only: its tags name the instance or cluster, and RDS's API
returns the endpoint.

The admin's password is sent to the admin's own host only. The secret must be for the same database: for that host, or
for one that RDS reports as another endpoint or a copy of it:

    a listener          the ListenerEndpoint of an instance of SQL Server (Always On), in either direction
    a replica           its ReadReplicaSourceDBInstanceIdentifier is the admin's instance (an ARN in another Region)
    a cluster           its endpoint, its reader endpoint, its custom endpoints, and the endpoint of each member

Whole endpoints are compared, as RDS returns them. The first label of a host name proves nothing: anybody can give that
name to an instance in another account or Region, or to a host outside RDS. It only serves to look the instance up.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from rotation.aws import call_aws
from rotation.credential import Credential, SecretValue, parse_credential, parse_object
from rotation.deadline import Deadline
from rotation.errors import InvalidSecret, Unsafe
from rotation.kind import EngineKind
from rotation.redaction import Redactor
from rotation.values import dataclass

if TYPE_CHECKING:
    from mypy_boto3_rds import RDSClient
    from mypy_boto3_rds.type_defs import DBClusterTypeDef, DBInstanceTypeDef, EndpointTypeDef
    from mypy_boto3_secretsmanager import SecretsManagerClient

INSTANCE_TAG, CLUSTER_TAG = "aws:rds:primarydbinstancearn", "aws:rds:primarydbclusterarn"
"""In lower case; RDS writes primaryDBInstanceArn."""

ENDPOINT = re.compile(
    r"(?P<id>[a-z][a-z0-9-]*)\.[a-z0-9-]+\.(rds\.)?(?P<region>[a-z]+(-[a-z]+)+-[0-9])(\.rds)?\.amazonaws\.com(\.cn)?"
)
"""The form of an RDS endpoint, from which the instance or cluster can be looked up."""

ABSENT = frozenset({"DBInstanceNotFound", "DBInstanceNotFoundFault", "DBClusterNotFoundFault"})


@dataclass(frozen=True)
class Admins:
    """Finds the admin of a database."""

    secrets: "SecretsManagerClient"
    rds: "Callable[[str], RDSClient]"
    """Returns RDS's client for a Region."""
    kind: EngineKind
    redactor: Redactor
    """Receives every string that is read, before it is used, and then which of them are public."""
    deadline: Deadline

    def find(self, value: SecretValue) -> Credential:
        """Return the admin of the database that `value` is for, with the admin's own host and port.

        Raises Unsafe if the admin secret is for another database, and InvalidSecret if it is no admin secret.
        """
        arn = str(value.admin_secret)
        operation = f"reading the admin secret {arn}"
        answer = call_aws(
            lambda: self.secrets.get_secret_value(SecretId=arn),
            self.deadline,
            operation,
            "secretsmanager:GetSecretValue",
        )
        text = answer.get("SecretString", "")
        self.redactor.read(text)
        fields = parse_object(text, operation)
        admin = (
            parse_credential(fields, self.kind, operation)
            if "host" in fields
            else self._managed(fields, value.credential, arn, operation)
        )
        self.redactor.release(*admin.public)
        if not self._is_at((admin.host, admin.port), value.credential):
            self._require_related(admin, value.credential)
        return replace(admin, database=value.credential.database if self.kind.admin_needs_database else None)

    def _managed(self, fields: Mapping[str, object], user: Credential, arn: str, operation: str) -> Credential:
        """Complete a master secret that RDS manages, from its tags and RDS's API."""
        answer = call_aws(
            lambda: self.secrets.describe_secret(SecretId=arn),
            self.deadline,
            operation,
            "secretsmanager:DescribeSecret",
        )
        tags = {tag["Key"].lower(): tag["Value"] for tag in answer.get("Tags", [])}
        if arn_of_instance := tags.get(INSTANCE_TAG):
            instance = self._instance(arn_of_instance, arn_of_instance.split(":")[3])
            place = _endpoint(instance) if instance else None
        elif arn_of_cluster := tags.get(CLUSTER_TAG):
            cluster = self._cluster(arn_of_cluster, arn_of_cluster.split(":")[3])
            place = (cluster["Endpoint"], cluster["Port"]) if cluster else None
        else:
            raise InvalidSecret(
                operation,
                'it has no "host", and no tag of a master secret that RDS manages',
                "Add engine, host and port to the JSON of the admin secret",
            )
        if not place:
            raise InvalidSecret(
                operation, "RDS does not know the database in its tags", 'Correct "masterarn" in the secret'
            )
        found = {"engine": user.engine, "host": place[0], "port": place[1]}
        if self.kind.tls_has_own_port:
            if not user.tls:
                raise Unsafe(
                    operation,
                    'RDS manages it, so the admin logs in over TLS only, and the secret has "ssl": false',
                    'Put the port for TLS into the secret, or name an admin secret of your own in "masterarn"',
                )
            found["port"] = user.port
        return parse_credential({**found, **fields}, self.kind, operation)

    def _require_related(self, admin: Credential, user: Credential) -> None:
        if self._is_listener(admin, user) or self._is_copy(admin, user) or self._is_other_endpoint(admin, user):
            return
        raise Unsafe(
            f"looking for the admin of {user.host}:{user.port}",
            f"the admin secret is for {admin.host}:{admin.port}, and RDS reports no relation between the two",
            'Correct "masterarn", or "host" in the secret to that of the admin, of its replica, or of its cluster',
        )

    def _is_listener(self, admin: Credential, user: Credential) -> bool:
        """Tell whether both hosts are endpoints of one instance: its own and its listener's.

        The listener's name need not contain that of the instance, so each of the two hosts is looked up.
        """
        return any(
            self._is_endpoint(instance, other)
            for place, other in ((admin, user), (user, admin))
            if (instance := self._instance_at(place))
        )

    def _is_copy(self, admin: Credential, user: Credential) -> bool:
        """Tell whether the user's host is a read replica of the admin's instance."""
        source, replica = self._instance_at(admin), self._instance_at(user)
        if not source or not replica:
            return False
        # RDS names a source in the same Region by its identifier, in another Region by its ARN.
        name = replica.get("ReadReplicaSourceDBInstanceIdentifier")
        return name == source["DBInstanceArn"] or (name == source["DBInstanceIdentifier"] and _same_region(admin, user))

    def _is_other_endpoint(self, admin: Credential, user: Credential) -> bool:
        """Tell whether both hosts are endpoints of one cluster."""
        cluster = self._cluster_at(admin)
        if not cluster:
            return False
        if (user.host, user.port) in _endpoints(cluster):
            return True
        member = self._instance_at(user)
        if not member or not _same_region(admin, user):
            return False
        return member.get("DBClusterIdentifier") == cluster["DBClusterIdentifier"]

    def _is_at(self, endpoint: tuple[str, int], place: Credential) -> bool:
        """Tell whether this is an endpoint of the server that a login is for.

        On RDS a host is one server, whatever the port; elsewhere another port can be another server.
        """
        host, port = endpoint
        may_differ = self.kind.tls_has_own_port and ENDPOINT.fullmatch(host)
        return host == place.host and bool(port == place.port or may_differ)

    def _instance_at(self, place: Credential) -> "DBInstanceTypeDef | None":
        match = ENDPOINT.fullmatch(place.host)
        instance = self._instance(match["id"], match["region"]) if match else None
        return instance if instance and self._is_endpoint(instance, place) else None

    def _is_endpoint(self, instance: "DBInstanceTypeDef", place: Credential) -> bool:
        """Tell whether this is an endpoint of the instance: its own, or that of its listener."""
        return any(self._is_at(endpoint, place) for endpoint in (_endpoint(instance), _listener(instance)))

    def _cluster_at(self, place: Credential) -> "DBClusterTypeDef | None":
        """Return the cluster that has this endpoint, or whose member has it."""
        match = ENDPOINT.fullmatch(place.host)
        if not match:
            return None
        member = self._instance_at(place)
        if member:
            name = member.get("DBClusterIdentifier")
            return self._cluster(name, match["region"]) if name else None
        cluster = self._cluster(match["id"], match["region"])
        return cluster if cluster and (place.host, place.port) in _endpoints(cluster) else None

    def _instance(self, name: str, region: str) -> "DBInstanceTypeDef | None":
        rds = self.rds(region)
        try:
            found = call_aws(
                lambda: rds.describe_db_instances(DBInstanceIdentifier=name),
                self.deadline,
                f"asking RDS for the instance {name}",
                "rds:DescribeDBInstances",
                expected=ABSENT,
            )["DBInstances"]
        except ClientError:
            return None
        return found[0] if found else None

    def _cluster(self, name: str, region: str) -> "DBClusterTypeDef | None":
        rds = self.rds(region)
        try:
            found = call_aws(
                lambda: rds.describe_db_clusters(DBClusterIdentifier=name),
                self.deadline,
                f"asking RDS for the cluster {name}",
                "rds:DescribeDBClusters",
                expected=ABSENT,
            )["DBClusters"]
        except ClientError:
            return None
        return found[0] if found else None


def _endpoint(instance: "DBInstanceTypeDef") -> tuple[str, int]:
    return _place(instance.get("Endpoint", {}))


def _listener(instance: "DBInstanceTypeDef") -> tuple[str, int]:
    """Return the endpoint of the listener; without one a place that no secret names.

    It leads to the primary of an Always On availability group
    (https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DBInstance.html, ListenerEndpoint).
    """
    return _place(instance.get("ListenerEndpoint", {}))


def _place(endpoint: "EndpointTypeDef") -> tuple[str, int]:
    return endpoint.get("Address", "").lower(), endpoint.get("Port", 0)


def _endpoints(cluster: "DBClusterTypeDef") -> set[tuple[str, int]]:
    hosts = [
        cluster.get("Endpoint", ""),
        cluster.get("ReaderEndpoint", ""),
        *cluster.get("CustomEndpoints", []),
    ]
    return {(host.lower(), cluster["Port"]) for host in hosts if host}


def _same_region(one: Credential, other: Credential) -> bool:
    regions = {match["region"] if (match := ENDPOINT.fullmatch(place.host)) else None for place in (one, other)}
    return len(regions) == 1
