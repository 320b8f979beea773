"""Does the laptop-sized Secrets Manager keep the rules of values and labels, as real clients see them over HTTP?"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from tests.local.aws.secrets_manager import LocalSecretsManager

from tests.service.local_secrets_manager.calls import holder, labels, move_current, refusal, token


class TestReading:
    """GetSecretValue, DescribeSecret, ListSecretVersionIds."""

    def test_the_default_is_what_the_label_says(self, client: SecretsManagerClient, secret: str) -> None:
        """Moving AWSCURRENT by hand changes what a reader without a version gets."""
        first = holder(client, secret, "AWSCURRENT")
        client.put_secret_value(SecretId=secret, SecretString="second")
        move_current(client, secret, first)
        assert client.get_secret_value(SecretId=secret)["SecretString"] == "first"

    def test_version_and_label_must_belong_together(self, client: SecretsManagerClient, secret: str) -> None:
        """A version that exists is not found under a label that it lacks."""
        current = holder(client, secret, "AWSCURRENT")
        found = client.get_secret_value(SecretId=secret, VersionId=current, VersionStage="AWSCURRENT")
        assert found["SecretString"] == "first"
        name, _ = refusal(client.get_secret_value, SecretId=secret, VersionId=current, VersionStage="AWSPENDING")
        assert name == "ResourceNotFoundException"

    def test_what_is_missing_is_named(self, client: SecretsManagerClient, secret: str) -> None:
        """A missing secret, version and label are three messages of one kind."""
        unknown = token()
        assert refusal(client.get_secret_value, SecretId="nothing") == (
            "ResourceNotFoundException",
            "Secrets Manager can't find the specified secret.",
        )
        assert refusal(client.get_secret_value, SecretId=secret, VersionId=unknown) == (
            "ResourceNotFoundException",
            f"Secrets Manager can't find the specified secret value for VersionId: {unknown}",
        )
        assert refusal(client.get_secret_value, SecretId=secret, VersionStage="AWSPENDING") == (
            "ResourceNotFoundException",
            "Secrets Manager can't find the specified secret value for staging label: AWSPENDING",
        )

    def test_an_unlabelled_version_is_readable_but_not_described(
        self, client: SecretsManagerClient, secret: str
    ) -> None:
        """A version without labels is found by its id only."""
        first = holder(client, secret, "AWSCURRENT")
        for value in ("second", "third"):
            client.put_secret_value(SecretId=secret, SecretString=value)
        assert first not in labels(client, secret)
        assert client.get_secret_value(SecretId=secret, VersionId=first)["SecretString"] == "first"
        listed = next(entry for entry in client.list_secrets()["SecretList"] if entry["ARN"] == secret)
        assert first not in listed["SecretVersionsToStages"]

    def test_versions_are_listed_page_by_page(self, client: SecretsManagerClient, secret: str) -> None:
        """Unlabelled versions are listed on demand, and pages add up."""
        for value in ("second", "third", "fourth"):
            client.put_secret_value(SecretId=secret, SecretString=value)
        short = client.list_secret_version_ids(SecretId=secret)
        assert {version["VersionId"] for version in short["Versions"]} == set(labels(client, secret))
        assert short["ARN"] == secret
        page: Any = {}
        pages: list[Any] = []
        while not pages or "NextToken" in page:
            more = {"NextToken": page["NextToken"]} if pages else {}
            page = client.list_secret_version_ids(SecretId=secret, IncludeDeprecated=True, MaxResults=3, **more)
            pages.append(page["Versions"])
        assert [len(page) for page in pages] == [3, 1]
        dates = [version["CreatedDate"] for page in pages for version in page]
        assert dates == sorted(dates)
        name, _ = refusal(client.list_secret_version_ids, SecretId=secret, NextToken="9")
        assert name == "InvalidNextTokenException"

    def test_a_deleted_secret_is_refused(self, client: SecretsManagerClient, secret: str) -> None:
        """A secret that waits for its deletion is neither read nor written."""
        client.delete_secret(SecretId=secret)
        assert refusal(client.get_secret_value, SecretId=secret)[0] == "InvalidRequestException"
        put = refusal(client.put_secret_value, SecretId=secret, SecretString="late")
        assert put[0] == "InvalidRequestException"


class TestPutting:
    """PutSecretValue, UpdateSecret, CreateSecret."""

    def test_a_new_value_takes_the_labels(self, client: SecretsManagerClient, secret: str) -> None:
        """AWSCURRENT goes to the new version and AWSPREVIOUS to the one before."""
        first = holder(client, secret, "AWSCURRENT")
        second = client.put_secret_value(SecretId=secret, SecretString="second")
        assert second["VersionStages"] == ["AWSCURRENT"]
        assert labels(client, secret) == {first: {"AWSPREVIOUS"}, second["VersionId"]: {"AWSCURRENT"}}
        third = client.update_secret(SecretId=secret, SecretString="third", Description="said")
        assert labels(client, secret) == {
            second["VersionId"]: {"AWSPREVIOUS"},
            third["VersionId"]: {"AWSCURRENT"},
        }
        assert client.describe_secret(SecretId=secret)["Description"] == "said"

    def test_own_labels_move_and_stay_single(self, client: SecretsManagerClient, secret: str) -> None:
        """A label that is put again leaves the version that had it; AWSCURRENT stays where it is."""
        first = holder(client, secret, "AWSCURRENT")
        one, two = (
            client.put_secret_value(SecretId=secret, SecretString=value, VersionStages=["blue"])["VersionId"]
            for value in ("second", "third")
        )
        assert labels(client, secret) == {first: {"AWSCURRENT"}, two: {"blue"}}
        assert one not in labels(client, secret)

    def test_the_first_value_is_current_whatever_its_labels(self, client: SecretsManagerClient) -> None:
        """A secret made empty gets AWSCURRENT with its first value."""
        arn = client.create_secret(Name=f"secret-{uuid4()}")["ARN"]
        put = client.put_secret_value(SecretId=arn, SecretString="first", VersionStages=["AWSPENDING"])
        assert set(put["VersionStages"]) == {"AWSCURRENT", "AWSPENDING"}

    @pytest.mark.parametrize("stage", ["AWSCURRENT", "AWSPENDING", None])
    def test_a_version_gets_its_value_once(self, client: SecretsManagerClient, secret: str, stage: str | None) -> None:
        """The same value again changes nothing; another value is refused, whatever labels the version has."""
        version = token()
        first: dict[str, Any] = {"SecretId": secret, "ClientRequestToken": version, "SecretString": "own"}
        client.put_secret_value(**first, VersionStages=[stage or "AWSPENDING"])
        if stage is None:
            client.update_secret_version_stage(SecretId=secret, VersionStage="AWSPENDING", RemoveFromVersionId=version)
        before = labels(client, secret)
        client.put_secret_value(**first)
        assert labels(client, secret) == before
        for write in (client.put_secret_value, client.update_secret):
            name, message = refusal(write, **first | {"SecretString": "other"})
            assert name == "ResourceExistsException"
            assert version in message
            assert "other" not in message
        assert client.get_secret_value(SecretId=secret, VersionId=version)["SecretString"] == "own"

    def test_binary_values_come_back(self, client: SecretsManagerClient, secret: str) -> None:
        """Bytes are a value of their own kind."""
        client.put_secret_value(SecretId=secret, SecretBinary=b"\x00\xff")
        found = client.get_secret_value(SecretId=secret)
        assert found["SecretBinary"] == b"\x00\xff"
        assert "SecretString" not in found

    def test_a_value_that_looks_like_a_form_is_only_a_value(self, client: SecretsManagerClient, secret: str) -> None:
        """A password may hold any character."""
        value = "x&SecretId=other&VersionStages=y&Action=DeleteSecret\u20ac"
        client.put_secret_value(SecretId=secret, SecretString=value)
        assert client.get_secret_value(SecretId=secret)["SecretString"] == value

    def test_limits_hold(self, client: SecretsManagerClient, secret: str) -> None:
        """64 KiB, 20 labels, tokens of 32 to 64 characters."""
        client.put_secret_value(SecretId=secret, SecretString="x" * 65_536)
        for write in (client.put_secret_value, client.update_secret):
            name, message = refusal(write, SecretId=secret, SecretString="x" * 65_537)
            assert name == "ValidationException"
            assert "xx" not in message
        name, _ = refusal(client.create_secret, Name=f"secret-{uuid4()}", SecretString="\u20ac" * 22_000)
        assert name == "ValidationException"
        many = [f"label-{number}" for number in range(20)]
        version = client.put_secret_value(SecretId=secret, SecretString="many", VersionStages=many)["VersionId"]
        name, _ = refusal(
            client.update_secret_version_stage,
            SecretId=secret,
            VersionStage="one more",
            MoveToVersionId=version,
        )
        assert name == "LimitExceededException"
        name, _ = refusal(client.put_secret_value, SecretId=secret, SecretString="y", ClientRequestToken="t" * 65)
        assert name == "InvalidParameterException"

    def test_two_at_once_are_one_after_the_other(
        self, intercepted: LocalSecretsManager, client: SecretsManagerClient, secret: str
    ) -> None:
        """Of two different values for one version, sent at once, one is kept and the other refused."""
        together = threading.Barrier(2)
        intercepted.intercept = lambda call, phase: (
            together.wait(5) if (call.operation, phase) == ("PutSecretValue", "before") else None
        )
        version = token()

        def put(value: str) -> str:
            try:
                client.put_secret_value(SecretId=secret, SecretString=value, ClientRequestToken=version)
            except client.exceptions.ResourceExistsException:
                return "refused"
            return value

        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(put, ["one", "two"]))
        kept = client.get_secret_value(SecretId=secret)["SecretString"]
        assert sorted(answers) == sorted([kept, "refused"])


class TestMovingLabels:
    """UpdateSecretVersionStage."""

    @pytest.mark.parametrize("label", ["AWSCURRENT", "AWSPENDING", "blue"])
    def test_the_version_that_has_the_label_must_be_named(
        self, client: SecretsManagerClient, secret: str, label: str
    ) -> None:
        """Without RemoveFromVersionId, or with another version there, the label stays where it is."""
        first = holder(client, secret, "AWSCURRENT")
        second = client.put_secret_value(SecretId=secret, SecretString="2", VersionStages=["green"])["VersionId"]
        if label != "AWSCURRENT":
            client.update_secret_version_stage(SecretId=secret, VersionStage=label, MoveToVersionId=first)
        move: dict[str, Any] = {"SecretId": secret, "VersionStage": label, "MoveToVersionId": second}
        before = labels(client, secret)
        name, message = refusal(client.update_secret_version_stage, **move)
        assert name == "InvalidParameterException"
        assert f"Staging label {label} is currently attached to version {first}" in message
        name, _ = refusal(client.update_secret_version_stage, **move, RemoveFromVersionId=second)
        assert name == "InvalidParameterException"
        assert labels(client, secret) == before
        client.update_secret_version_stage(**move, RemoveFromVersionId=first)
        assert holder(client, secret, label) == second

    def test_previous_follows_current(self, client: SecretsManagerClient, secret: str) -> None:
        """AWSPREVIOUS is put on the version that AWSCURRENT left, also on the way back."""
        first = holder(client, secret, "AWSCURRENT")
        second = client.put_secret_value(SecretId=secret, SecretString="second")["VersionId"]
        move_current(client, secret, first)
        assert labels(client, secret) == {first: {"AWSCURRENT"}, second: {"AWSPREVIOUS"}}

    @pytest.mark.parametrize("names_holder", [True, False])
    def test_moving_current_to_where_it_is_changes_nothing(
        self, client: SecretsManagerClient, secret: str, *, names_holder: bool
    ) -> None:
        """AWSPREVIOUS is not lost when a finished move is asked for again."""
        second = client.put_secret_value(SecretId=secret, SecretString="second")["VersionId"]
        before = labels(client, secret)
        more: dict[str, Any] = {"RemoveFromVersionId": second} if names_holder else {}
        client.update_secret_version_stage(SecretId=secret, VersionStage="AWSCURRENT", MoveToVersionId=second, **more)
        assert labels(client, secret) == before

    def test_current_is_never_taken_away(self, client: SecretsManagerClient, secret: str) -> None:
        """A label can be removed, but not AWSCURRENT."""
        first = holder(client, secret, "AWSCURRENT")
        second = client.put_secret_value(SecretId=secret, SecretString="2", VersionStages=["blue"])["VersionId"]
        client.update_secret_version_stage(SecretId=secret, VersionStage="blue", RemoveFromVersionId=second)
        assert labels(client, secret) == {first: {"AWSCURRENT"}}
        name, message = refusal(
            client.update_secret_version_stage,
            SecretId=secret,
            VersionStage="AWSCURRENT",
            RemoveFromVersionId=first,
        )
        assert name == "InvalidParameterException"
        assert "can't be completely removed" in message

    def test_an_unknown_version_is_not_found(self, client: SecretsManagerClient, secret: str) -> None:
        """A label cannot be moved to a version that does not exist."""
        name, _ = refusal(
            client.update_secret_version_stage, SecretId=secret, VersionStage="blue", MoveToVersionId=token()
        )
        assert name == "ResourceNotFoundException"


class TestReplicas:
    """StopReplicationToReplica."""

    def test_a_replica_cannot_be_written_until_it_is_promoted(
        self, service: LocalSecretsManager, client: SecretsManagerClient
    ) -> None:
        """It keeps its ARN, value and labels, and does not rotate; what is not a replica is refused."""
        name = f"replica-{uuid4()}"
        arn = service.replicate_here(name, "eu-west-1", {"team": "orders"}, "first")
        refusal(client.put_secret_value, SecretId=arn, SecretString="second")
        first = holder(client, arn, "AWSCURRENT")
        assert client.stop_replication_to_replica(SecretId=name)["ARN"] == arn
        described = client.describe_secret(SecretId=arn)
        assert "PrimaryRegion" not in described
        assert "RotationEnabled" not in described
        assert client.get_secret_value(SecretId=name, VersionId=first)["SecretString"] == "first"
        client.put_secret_value(SecretId=arn, SecretString="second")
        assert holder(client, arn, "AWSPREVIOUS") == first
        kind, _ = refusal(client.stop_replication_to_replica, SecretId=arn)
        assert kind == "InvalidRequestException"
