"""Is the admin found, and found only where RDS says that it is the same database?

RDS is moto's. It knows no custom endpoints and no listeners: a test that needs one puts it into moto's answer, as RDS
gives it.
"""

import functools
import json
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber

from rotation.admin import Admins
from rotation.credential import Credential, SecretValue
from rotation.engines.postgresql.kind import KIND
from rotation.errors import InvalidSecret, ServiceFailed, Unsafe
from rotation.kind import EngineKind
from rotation.redaction import MASK, Redactor
from tests.laboratories import deadline
from tests.local.aws.secrets_manager import REGION, LocalSecretsManager

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_rds import RDSClient

FAR = "eu-west-1"
CLASS = "db.m5d.large"
ADMIN = {"engine": "postgres", "username": "master", "password": "the-admins-password"}


class Account:
    """An AWS account with databases and admin secrets."""

    def __init__(self, service: LocalSecretsManager, rds: "Callable[[str], RDSClient]") -> None:
        self.service = service
        self._rds = rds
        self.secrets = service.client()
        self.redactor = Redactor()
        self.name = f"db-{secrets.token_hex(4)}"
        """Of the database that a test is about; no other test has one of this name."""

    def rds(self, region: str = REGION) -> "RDSClient":
        """Return a client for a Region."""
        return self._rds(region)

    def instance(self, name: str = "", region: str = REGION, **more: Any) -> str:  # noqa: ANN401 - as boto3 takes it
        """Make an instance; return its endpoint."""
        asked = {"Engine": "postgres", "DBInstanceClass": CLASS, **more}
        return _host(self.rds(region).create_db_instance(DBInstanceIdentifier=name or self.name, **asked))

    def replica(self, source: str = "", region: str = REGION) -> str:
        """Make a read replica of an instance; return its endpoint."""
        made = self.rds(region).create_db_instance_read_replica(
            DBInstanceIdentifier=f"{self.name}-replica", SourceDBInstanceIdentifier=source or self.name
        )
        return _host(made)

    def cluster(self, region: str = REGION, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - as boto3 takes it
        """Make a cluster with two members; return RDS's description of it."""
        asked = {
            "Engine": "aurora-postgresql",
            "MasterUsername": "master",
            "MasterUserPassword": "not-the-managed-one",
            **more,
        }
        cluster = self.rds(region).create_db_cluster(DBClusterIdentifier=self.name, **asked)["DBCluster"]
        return dict(cluster)

    def member(self, number: int = 1, region: str = REGION) -> str:
        """Add an instance to the cluster; return its endpoint."""
        return self.instance(f"{self.name}-{number}", region, Engine="aurora-postgresql", DBClusterIdentifier=self.name)

    def admin_secret(self, tags: dict[str, str] | None = None, **fields: object) -> str:
        """Store an admin secret; return its ARN."""
        made = self.secrets.create_secret(
            Name=f"admin-{secrets.token_hex(4)}",
            SecretString=json.dumps({**ADMIN, **fields}),
            Tags=[{"Key": key, "Value": value} for key, value in (tags or {}).items()],
        )
        return made["ARN"]

    def find(
        self,
        admin_secret: str,
        host: str,
        *,
        rds: "Callable[[str], RDSClient] | None" = None,
        kind: EngineKind = KIND,
        **fields: object,
    ) -> Credential:
        """Find the admin for a secret of this host."""
        value = {
            "engine": "postgres",
            "host": host,
            "username": "app",
            "password": "p",
            "masterarn": admin_secret,
            **fields,
        }
        user = SecretValue.parse(json.dumps(value), KIND, "making a secret")
        return Admins(self.secrets, rds or self.rds, kind, self.redactor, deadline()).find(user)


def _host(made: Any) -> str:  # noqa: ANN401 - boto3's answer
    return str(made["DBInstance"]["Endpoint"]["Address"])


@pytest.fixture(scope="module")
def new_client(_service: LocalSecretsManager) -> "Callable[[str], RDSClient]":
    """Makes clients of RDS for a Region."""
    account = boto3.Session("test", "test")
    return lambda region: account.client("rds", region_name=region, endpoint_url=_service.endpoint_url)


@pytest.fixture(scope="module")
def clients(new_client: "Callable[[str], RDSClient]") -> "Callable[[str], RDSClient]":
    """Returns such clients, each made once: that takes a while."""
    return functools.cache(new_client)


@pytest.fixture
def account(service: LocalSecretsManager, clients: "Callable[[str], RDSClient]") -> Account:
    """An account."""
    return Account(service, clients)


def unasked(_: str) -> "RDSClient":
    """Be RDS, which refuses every call."""
    raise AssertionError


# The same host


def test_an_admin_on_the_same_host_is_found_without_asking_rds(account: Account) -> None:
    admin = account.find(account.admin_secret(host="db.example.com"), "db.example.com", rds=unasked)
    assert (admin.username, admin.password) == ("master", "the-admins-password")
    assert (admin.host, admin.port, admin.tls) == ("db.example.com", 5432, True)
    assert account.redactor(f"{admin} with the-admins-password") == f"{admin} with {MASK}"


def test_one_host_can_be_written_in_two_ways(account: Account) -> None:
    account.find(account.admin_secret(host="DB.example.com.", port="5432"), "db.Example.com", rds=unasked)


def test_the_admin_logs_in_to_the_database_of_the_secret(account: Account) -> None:
    arn = account.admin_secret(host="db.example.com", dbname="postgres")
    assert account.find(arn, "db.example.com", dbname="shop").database == "shop"


def test_an_admin_that_needs_no_database_logs_in_to_none(account: Account) -> None:
    arn, kind = account.admin_secret(host="db.example.com", dbname="own"), replace(KIND, admin_needs_database=False)
    assert account.find(arn, "db.example.com", dbname="shop", kind=kind).database is None


def test_the_admins_password_goes_nowhere_in_clear_because_the_users_does(account: Account) -> None:
    assert account.find(account.admin_secret(host="db.example.com"), "db.example.com", ssl=False).tls


# Master secrets that RDS manages


def test_the_master_secret_of_an_instance_leads_to_it(account: Account) -> None:
    host = account.instance(MasterUsername="master", ManageMasterUserPassword=True)
    [instance] = account.rds().describe_db_instances(DBInstanceIdentifier=account.name)["DBInstances"]
    admin = account.find(instance["MasterUserSecret"]["SecretArn"], host)
    assert (admin.host, admin.port, admin.tls) == (host, 5432, True)
    assert account.redactor(f"{admin} with {admin.password}") == f"{admin} with {MASK}"


def test_the_master_secret_of_a_cluster_leads_to_its_writer(account: Account) -> None:
    cluster = account.rds().create_db_cluster(
        DBClusterIdentifier=account.name,
        Engine="aurora-postgresql",
        MasterUsername="master",
        ManageMasterUserPassword=True,
    )["DBCluster"]
    admin = account.find(cluster["MasterUserSecret"]["SecretArn"], cluster["ReaderEndpoint"])
    assert (admin.host, admin.port) == (cluster["Endpoint"], 5432)


@pytest.mark.parametrize("key", ["aws:rds:primaryDBInstanceArn", "aws:rds:primarydbinstancearn"])
def test_the_tag_of_an_instance_can_be_written_in_either_way(account: Account, key: str) -> None:
    host = account.instance()
    arn = f"arn:aws:rds:{REGION}:{account.service.account_id}:db:{account.name}"
    assert account.find(account.admin_secret({key: arn}), host).host == host


@pytest.mark.parametrize("key", ["aws:rds:primaryDBClusterArn", "aws:rds:primarydbclusterarn"])
def test_the_tag_of_a_cluster_can_be_written_in_either_way(account: Account, key: str) -> None:
    cluster = account.cluster()
    assert (
        account.find(account.admin_secret({key: cluster["DBClusterArn"]}), cluster["Endpoint"]).host
        == cluster["Endpoint"]
    )


def test_a_master_secret_of_an_instance_in_another_region_is_looked_up_there(account: Account) -> None:
    host = account.instance(region=FAR)
    arn = f"arn:aws:rds:{FAR}:{account.service.account_id}:db:{account.name}"
    assert account.find(account.admin_secret({"aws:rds:primarydbinstancearn": arn}), host).host == host


@pytest.mark.parametrize("kind", ["instance", "cluster"])
def test_a_master_secret_whose_database_is_gone_says_so(account: Account, kind: str) -> None:
    arn = f"arn:aws:rds:{REGION}:{account.service.account_id}:{kind}:gone"
    with pytest.raises(InvalidSecret, match="RDS does not know the database"):
        account.find(account.admin_secret({f"aws:rds:primarydb{kind}arn": arn}), "db.example.com")


def test_an_admin_secret_without_host_and_tags_says_so(account: Account) -> None:
    with pytest.raises(InvalidSecret, match='it has no "host", and no tag') as caught:
        account.find(account.admin_secret({"team": "shop"}), "db.example.com", rds=unasked)
    assert "the-admins-password" not in str(caught.value)


def test_the_master_secret_of_another_database_is_refused(account: Account) -> None:
    account.instance()
    arn = f"arn:aws:rds:{REGION}:{account.service.account_id}:db:{account.name}"
    with pytest.raises(Unsafe):
        account.find(account.admin_secret({"aws:rds:primarydbinstancearn": arn}), "db.example.com")


# The listener of the admin's instance (SQL Server, Always On)


@pytest.mark.parametrize("name", ["{name}", "another-name"], ids=["named like the instance", "another name"])
def test_a_listener_endpoint_has_the_instances_admin_in_either_direction(
    account: Account, new_client: "Callable[[str], RDSClient]", name: str
) -> None:
    host = account.instance()
    listener = f"{name.format(name=account.name)}.listener00000.{REGION}.rds.amazonaws.com"
    rds = with_listener(new_client, account.name, listener.upper())
    assert account.find(account.admin_secret(host=host), listener, rds=rds).host == host
    assert account.find(account.admin_secret(host=listener), host, rds=rds).host == listener
    with pytest.raises(Unsafe, match="RDS reports no relation"):
        account.find(account.admin_secret(host=host), listener)


def test_a_listener_endpoint_has_the_admin_that_rds_manages(
    account: Account, new_client: "Callable[[str], RDSClient]"
) -> None:
    host = account.instance()
    listener = f"listener.aaaaaaaaaa.{REGION}.rds.amazonaws.com"
    arn = f"arn:aws:rds:{REGION}:{account.service.account_id}:db:{account.name}"
    admin = account.admin_secret({"aws:rds:primarydbinstancearn": arn})
    assert account.find(admin, listener, rds=with_listener(new_client, account.name, listener)).host == host


def test_the_listener_of_another_instance_or_at_another_port_is_refused(
    account: Account, new_client: "Callable[[str], RDSClient]"
) -> None:
    host, other = account.instance(), account.instance(f"{account.name}-other")
    listener = f"listener.aaaaaaaaaa.{REGION}.rds.amazonaws.com"
    rds = with_listener(new_client, account.name, listener)
    with pytest.raises(Unsafe):
        account.find(account.admin_secret(host=other), listener, rds=rds)
    with pytest.raises(Unsafe):
        account.find(account.admin_secret(host=host), listener, rds=rds, port=5433)


def with_listener(new_client: "Callable[[str], RDSClient]", name: str, listener: str) -> "Callable[[str], RDSClient]":
    """Return RDS, which says that this instance has a listener: moto knows none."""

    def client(region: str) -> "RDSClient":
        made = new_client(region)
        made.meta.events.register("after-call.rds.DescribeDBInstances", add)
        return made

    def add(parsed: Any, **_: object) -> None:  # noqa: ANN401 - botocore's answer
        for found in parsed.get("DBInstances", []):
            if found["DBInstanceIdentifier"] == name:
                found["ListenerEndpoint"] = {"Address": listener, "Port": found["Endpoint"]["Port"]}

    return functools.cache(client)


# Copies of the admin's instance


def test_a_replica_of_the_admins_instance_has_the_same_admin(account: Account) -> None:
    host = account.instance()
    assert account.find(account.admin_secret(host=host), account.replica()).host == host


def test_a_replica_in_another_region_has_the_same_admin(account: Account) -> None:
    host = account.instance()
    source = f"arn:aws:rds:{REGION}:{account.service.account_id}:db:{account.name}"
    assert account.find(account.admin_secret(host=host), account.replica(source, FAR)).host == host


def test_the_source_of_the_admins_instance_has_another_admin(account: Account) -> None:
    """An admin that logs in to a replica could not write there, and the primary is not its to rule."""
    host = account.instance()
    with pytest.raises(Unsafe):
        account.find(account.admin_secret(host=account.replica()), host)


def test_a_replica_of_an_instance_of_that_name_in_its_own_region_is_another_database(account: Account) -> None:
    host = account.instance()
    account.instance(region=FAR)
    with pytest.raises(Unsafe):
        account.find(account.admin_secret(host=host), account.replica(region=FAR))


@pytest.mark.parametrize(
    "look_alike",
    [
        "{name}-replica.bbbbbbbbbb.us-east-1.rds.amazonaws.com",
        "{name}-replica.aaaaaaaaaa.eu-west-1.rds.amazonaws.com",
        "{name}-replica.aaaaaaaaaa.us-east-1.rds.amazonaws.com.evil.example",
        "{name}-replica.example.com",
        "{name}-replica",
        "{name}",
    ],
    ids=["another account", "another Region", "below another domain", "outside RDS", "local name", "the admin's name"],
)
def test_a_host_that_looks_like_a_replica_is_refused(account: Account, look_alike: str) -> None:
    host = account.instance()
    account.replica()
    with pytest.raises(Unsafe, match="RDS reports no relation"):
        account.find(account.admin_secret(host=host), look_alike.format(name=account.name))


def test_an_admin_host_that_looks_like_an_instance_is_refused(account: Account) -> None:
    account.instance()
    replica = account.replica()
    with pytest.raises(Unsafe):
        account.find(account.admin_secret(host=f"{account.name}.bbbbbbbbbb.us-east-1.rds.amazonaws.com"), replica)


# Doors to the admin's cluster


def test_the_reader_endpoint_has_the_clusters_admin(account: Account) -> None:
    cluster = account.cluster()
    found = account.find(account.admin_secret(host=cluster["Endpoint"]), cluster["ReaderEndpoint"])
    assert found.host == cluster["Endpoint"]


def test_a_member_instance_has_the_clusters_admin(account: Account) -> None:
    cluster = account.cluster()
    for number in (1, 2):
        account.find(account.admin_secret(host=cluster["Endpoint"]), account.member(number))


def test_the_admin_can_be_named_at_the_writer_instance(account: Account) -> None:
    cluster = account.cluster()
    writer, reader = account.member(1), account.member(2)
    for host in (cluster["Endpoint"], cluster["ReaderEndpoint"], reader):
        assert account.find(account.admin_secret(host=writer), host).host == writer


def test_a_custom_endpoint_has_the_clusters_admin(account: Account, new_client: "Callable[[str], RDSClient]") -> None:
    cluster = account.cluster()
    custom = f"reports.cluster-custom-1k6lxr8jqyta.{REGION}.rds.amazonaws.com"

    def with_custom_endpoint(region: str) -> "RDSClient":
        client = new_client(region)
        client.meta.events.register("after-call.rds.DescribeDBClusters", add)
        return client

    def add(parsed: Any, **_: object) -> None:  # noqa: ANN401 - botocore's answer
        for found in parsed.get("DBClusters", []):
            found["CustomEndpoints"] = [custom.upper()]

    arn = account.admin_secret(host=cluster["Endpoint"])
    assert account.find(arn, custom, rds=with_custom_endpoint).host == cluster["Endpoint"]
    with pytest.raises(Unsafe):
        account.find(arn, custom)


def test_a_multi_az_cluster_has_one_admin_at_all_its_doors(account: Account) -> None:
    """It is a cluster, though its engine is called as an instance's."""
    cluster = account.cluster(Engine="postgres", DBClusterInstanceClass=CLASS, AllocatedStorage=100, Iops=1000)
    admin = account.admin_secret(host=cluster["Endpoint"])
    member = account.instance(f"{account.name}-1", DBClusterIdentifier=account.name)
    for host in (cluster["ReaderEndpoint"], member):
        assert account.find(admin, host).host == cluster["Endpoint"]


def test_a_door_of_a_cluster_of_that_name_in_another_region_is_refused(account: Account) -> None:
    cluster, far = account.cluster(), account.cluster(region=FAR)
    arn = account.admin_secret(host=cluster["Endpoint"])
    for host in (far["Endpoint"], far["ReaderEndpoint"], account.member(region=FAR)):
        with pytest.raises(Unsafe):
            account.find(arn, host)


def test_the_reader_endpoint_of_a_cluster_of_that_name_elsewhere_is_refused(account: Account) -> None:
    cluster = account.cluster()
    foreign = f"{account.name}.cluster-ro-elsewhere0000.{REGION}.rds.amazonaws.com"
    with pytest.raises(Unsafe):
        account.find(account.admin_secret(host=cluster["Endpoint"]), foreign)


def test_an_admin_host_that_looks_like_a_cluster_is_refused(account: Account) -> None:
    cluster = account.cluster()
    foreign = f"{account.name}.cluster-elsewhere0000.{REGION}.rds.amazonaws.com"
    with pytest.raises(Unsafe):
        account.find(account.admin_secret(host=foreign), cluster["ReaderEndpoint"])


def test_a_door_with_another_port_is_refused(account: Account) -> None:
    cluster = account.cluster()
    with pytest.raises(Unsafe):
        account.find(account.admin_secret(host=cluster["Endpoint"]), cluster["ReaderEndpoint"], port=5433)


def test_an_instance_that_is_no_member_is_refused(account: Account) -> None:
    cluster = account.cluster()
    with pytest.raises(Unsafe):
        account.find(account.admin_secret(host=cluster["Endpoint"]), account.instance(f"{account.name}-alone"))


# Refusals


def test_an_unrelated_host_is_refused_and_both_are_named(account: Account) -> None:
    with pytest.raises(Unsafe) as caught:
        account.find(account.admin_secret(host="other.example.com"), "db.example.com", rds=unasked)
    assert "db.example.com:5432" in str(caught.value)
    assert "other.example.com:5432" in str(caught.value)


def test_another_port_of_the_host_is_another_database(account: Account) -> None:
    host = account.instance()
    with pytest.raises(Unsafe):
        account.find(account.admin_secret(host=host, port=5433), host)
    with pytest.raises(Unsafe):
        account.find(account.admin_secret(host=host), account.replica(), port=5433)


def test_the_admin_of_another_engine_is_refused(account: Account) -> None:
    with pytest.raises(InvalidSecret, match="is mysql;"):
        account.find(account.admin_secret(host="db.example.com", engine="mysql"), "db.example.com")


@pytest.mark.parametrize("text", ["no JSON", "[]"])
def test_an_admin_secret_that_is_no_json_object_is_refused(account: Account, text: str) -> None:
    made = account.secrets.create_secret(Name=f"admin-{secrets.token_hex(4)}", SecretString=text)
    with pytest.raises(InvalidSecret, match="reading the admin secret"):
        account.find(made["ARN"], "db.example.com")


def test_an_admin_secret_that_is_not_there_is_named(account: Account) -> None:
    with pytest.raises(ServiceFailed, match="reading the admin secret arn:gone"):
        account.find("arn:gone", "db.example.com")


def test_if_rds_cannot_be_asked_the_permission_is_named(
    account: Account, new_client: "Callable[[str], RDSClient]"
) -> None:
    client = new_client(REGION)
    with Stubber(client) as stubber:
        stubber.add_client_error("describe_db_instances", "AccessDenied", "not authorized", http_status_code=403)
        with pytest.raises(ServiceFailed, match="Allow rds:DescribeDBInstances to the function's role"):
            account.find(account.admin_secret(host=account.instance()), account.replica(), rds=lambda _: client)
