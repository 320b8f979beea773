"""Does the laptop-sized Secrets Manager rotate as the service does, and break as a test wants it to?"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.local.aws.secrets_manager import LocalSecretsManager, ServiceError, StepEvent

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from tests.local.aws.secrets_manager import Call
from tests.service.local_secrets_manager.calls import (
    FAST,
    STEPS,
    Rotator,
    fail,
    fail_times,
    holder,
    labels,
    refusal,
    rotate,
    token,
)


class TestRotation:
    """RotateSecret, CancelRotateSecret."""

    def test_four_steps_make_the_new_version_current(
        self, service: LocalSecretsManager, client: SecretsManagerClient, secret: str, rotator: Rotator
    ) -> None:
        """Each step gets the ARN, the version token and the same secret rotation token."""
        first = holder(client, secret, "AWSCURRENT")
        version = rotate(service, client, secret, RotationRules={"AutomaticallyAfterDays": 30})
        outcome = service.wait(secret)
        assert (outcome.result, outcome.attempts, outcome.error) == ("succeeded", 1, None)
        assert outcome.version_token == version
        assert rotator.steps == STEPS
        assert {event["SecretId"] for event in rotator.events} == {secret}
        assert {event["ClientRequestToken"] for event in rotator.events} == {version}
        [rotation_token] = {event["RotationToken"] for event in rotator.events}
        assert len(rotation_token) >= 36
        assert labels(client, secret) == {first: {"AWSPREVIOUS"}, version: {"AWSCURRENT", "AWSPENDING"}}
        described = client.describe_secret(SecretId=secret)
        assert described["RotationEnabled"]
        assert described["RotationLambdaARN"].endswith(":function:rotator")
        assert described["RotationRules"] == {"AutomaticallyAfterDays": 30}
        assert (described["NextRotationDate"] - described["LastRotatedDate"]).days == 30

    def test_the_second_rotation_remembers_the_function(
        self, service: LocalSecretsManager, client: SecretsManagerClient, secret: str, rotator: Rotator
    ) -> None:
        """RotateSecret alone rotates again with what is stored; every rotation has its own token."""
        rules: dict[str, Any] = {"ScheduleExpression": "rate(4 hours)", "Duration": "3h"}
        rotate(service, client, secret, RotationRules=rules)
        service.wait(secret)
        version = client.rotate_secret(SecretId=secret)["VersionId"]
        assert service.wait(secret).result == "succeeded"
        assert holder(client, secret, "AWSCURRENT") == version
        assert len({event["RotationToken"] for event in rotator.events}) == 2
        assert client.describe_secret(SecretId=secret)["RotationRules"] == rules

    def test_the_pending_version_begins_without_a_value(
        self, service: LocalSecretsManager, client: SecretsManagerClient, secret: str, rotator: Rotator
    ) -> None:
        """RotateSecret answers while createSecret still runs, and nothing can be read yet."""
        go_on = threading.Event()
        rotator.before["createSecret"] = lambda _event: go_on.wait(5)
        version = token()
        assert rotate(service, client, secret, ClientRequestToken=version) == version
        assert labels(client, secret)[version] == {"AWSPENDING"}
        for by in ({"VersionId": version}, {"VersionStage": "AWSPENDING"}):
            name, _ = refusal(client.get_secret_value, SecretId=secret, **by)
            assert name == "ResourceNotFoundException"
        rotate(service, client, secret, ClientRequestToken=version)
        go_on.set()
        assert service.wait(secret).result == "succeeded"
        assert rotator.steps == STEPS

    def test_a_failing_step_begins_it_all_again(
        self, service: LocalSecretsManager, client: SecretsManagerClient, secret: str, rotator: Rotator
    ) -> None:
        """The retry starts at createSecret and has the same token."""
        rotator.before["setSecret"] = fail_times(1)
        version = rotate(service, client, secret)
        outcome = service.wait(secret)
        assert (outcome.result, outcome.attempts) == ("succeeded", 2)
        assert outcome.error == "StepError: the database said no"
        assert rotator.steps == [*STEPS[:2], *STEPS]
        assert {event["ClientRequestToken"] for event in rotator.events} == {version}

    def test_a_failed_rotation_stays_pending_and_refuses_the_next(
        self, service: LocalSecretsManager, client: SecretsManagerClient, secret: str, rotator: Rotator
    ) -> None:
        """After the last attempt only the same token is accepted, and it may then succeed."""
        rotator.before["testSecret"] = fail
        version = rotate(service, client, secret)
        outcome = service.wait(secret)
        assert (outcome.result, outcome.attempts) == ("failed", 3)
        assert rotator.steps == STEPS[:3] * 3
        assert labels(client, secret)[version] == {"AWSPENDING"}
        assert "LastRotatedDate" not in client.describe_secret(SecretId=secret)
        assert refusal(client.rotate_secret, SecretId=secret) == (
            "InvalidRequestException",
            "A previous rotation isn't complete. That rotation will be reattempted.",
        )
        rotator.before.clear()
        rotate(service, client, secret, ClientRequestToken=version)
        assert service.wait(secret).result == "succeeded"
        assert holder(client, secret, "AWSCURRENT") == version

    def test_a_finished_rotation_is_not_done_again(
        self, service: LocalSecretsManager, client: SecretsManagerClient, secret: str, rotator: Rotator
    ) -> None:
        """RotateSecret with the token of AWSCURRENT changes no label and invokes nothing."""
        version = rotate(service, client, secret)
        service.wait(secret)
        client.update_secret_version_stage(SecretId=secret, VersionStage="AWSPENDING", RemoveFromVersionId=version)
        before = labels(client, secret)
        assert rotate(service, client, secret, ClientRequestToken=version) == version
        service.wait(secret)
        assert labels(client, secret) == before
        assert rotator.steps == STEPS

    def test_a_function_that_is_killed_has_failed(
        self, service: LocalSecretsManager, client: SecretsManagerClient, secret: str, rotator: Rotator
    ) -> None:
        """Whatever ends a function, the rotation is attempted again."""
        kills = iter([SystemExit("killed")])

        def kill_once(_event: object) -> None:
            for kill in kills:
                raise kill

        rotator.before["setSecret"] = kill_once
        rotate(service, client, secret)
        outcome = service.wait(secret)
        assert (outcome.result, outcome.error) == ("succeeded", "SystemExit: killed")

    def test_removing_pending_by_hand_lets_the_next_rotation_begin(
        self, service: LocalSecretsManager, client: SecretsManagerClient, secret: str, rotator: Rotator
    ) -> None:
        """An operator's way out: AWSPENDING on no version is a good end."""
        rotator.before["setSecret"] = fail
        version = rotate(service, client, secret)
        service.wait(secret)
        client.update_secret_version_stage(SecretId=secret, VersionStage="AWSPENDING", RemoveFromVersionId=version)
        rotator.before.clear()
        assert rotate(service, client, secret) != version
        assert service.wait(secret).result == "succeeded"

    def test_steps_that_move_nothing_are_no_success(
        self, service: LocalSecretsManager, client: SecretsManagerClient, secret: str
    ) -> None:
        """A function that only returns leaves AWSPENDING where it must not be."""
        service.register("rotator", lambda _event: None)
        rotate(service, client, secret)
        assert service.wait(secret).result == "failed"

    @pytest.mark.parametrize("operation", ["put_secret_value", "update_secret"])
    def test_somebody_elses_value_abandons_the_rotation(
        self,
        service: LocalSecretsManager,
        client: SecretsManagerClient,
        secret: str,
        rotator: Rotator,
        operation: str,
    ) -> None:
        """A new current value takes AWSPENDING away, and no further step begins."""
        write = getattr(client, operation)
        rotator.before["setSecret"] = lambda event: write(SecretId=event["SecretId"], SecretString="mine")
        version = rotate(service, client, secret)
        assert service.wait(secret).result == "abandoned"
        assert rotator.steps == STEPS[:2]
        assert version not in labels(client, secret)
        assert client.get_secret_value(SecretId=secret)["SecretString"] == "mine"
        rotator.before.clear()
        rotate(service, client, secret)
        assert service.wait(secret).result == "succeeded"

    @pytest.mark.parametrize("has_value", [True, False])
    def test_a_test_only_rotation_leaves_no_trace(self, *, has_value: bool) -> None:
        """RotateImmediately=False runs testSecret on a version that is gone afterwards."""
        seen: list[object] = []
        with LocalSecretsManager(test_version_has_value=has_value) as service:
            client = service.client()
            secret = client.create_secret(Name="database", SecretString="first")["ARN"]

            def look(event: dict[str, Any]) -> None:
                version = event["ClientRequestToken"]
                seen.append((event["Step"], labels(client, secret)[version]))
                seen.append(client.get_secret_value(SecretId=secret, VersionId=version)["SecretString"])

            before = labels(client, secret)
            test: dict[str, Any] = {
                "SecretId": secret,
                "RotationLambdaARN": service.register("look", look),
                "RotateImmediately": False,
            }
            taken = holder(client, secret, "AWSCURRENT")
            name, _ = refusal(client.rotate_secret, **test, ClientRequestToken=taken)
            assert name == "InvalidRequestException"
            client.rotate_secret(**test)
            outcome = service.wait()
            assert seen == [("testSecret", {"AWSPENDING"}), "first"][: 2 if has_value else 1]
            assert outcome.result == ("succeeded" if has_value else "failed")
            assert outcome.attempts == 1
            assert labels(client, secret) == before
            listed = client.list_secret_version_ids(SecretId=secret, IncludeDeprecated=True)
            assert len(listed["Versions"]) == 1
            described = client.describe_secret(SecretId=secret)
            assert described["RotationEnabled"]
            assert "LastRotatedDate" not in described

    def test_cancelling_turns_rotation_off_and_begins_no_further_step(
        self, service: LocalSecretsManager, client: SecretsManagerClient, secret: str, rotator: Rotator
    ) -> None:
        """The labels stay as they are, and the answer names the version to clean up."""
        answers: list[dict[str, Any]] = []
        rotator.before["setSecret"] = lambda event: answers.append(
            dict(client.cancel_rotate_secret(SecretId=event["SecretId"]))
        )
        version = rotate(service, client, secret, RotationRules={"ScheduleExpression": "rate(4 hours)"})
        assert service.wait(secret).result == "cancelled"
        assert rotator.steps == STEPS[:2]
        assert [answer["VersionId"] for answer in answers] == [version]
        assert labels(client, secret)[version] == {"AWSPENDING"}
        described = client.describe_secret(SecretId=secret)
        assert not described["RotationEnabled"]
        assert described["RotationLambdaARN"]
        assert "NextRotationDate" not in described

    def test_a_last_attempt_that_is_cancelled_has_not_failed(
        self, service: LocalSecretsManager, client: SecretsManagerClient, secret: str, rotator: Rotator
    ) -> None:
        """The result says what ended the rotation, also when its last step raised."""
        fail_twice = fail_times(2)

        def cancel_and_fail(event: dict[str, Any]) -> None:
            fail_twice(event)
            client.cancel_rotate_secret(SecretId=event["SecretId"])
            fail(event)

        rotator.before["createSecret"] = cancel_and_fail
        rotate(service, client, secret)
        outcome = service.wait(secret)
        assert (outcome.result, outcome.attempts) == ("cancelled", 3)

    def test_rotation_needs_a_function_that_can_be_invoked(self, client: SecretsManagerClient, secret: str) -> None:
        """No function and an unknown function are refused, and nothing is pending then."""
        assert refusal(client.rotate_secret, SecretId=secret) == (
            "InvalidRequestException",
            "No Lambda rotation function ARN is associated with this secret.",
        )
        unknown = "arn:aws:lambda:us-east-1:123456789012:function:unknown"
        name, _ = refusal(client.rotate_secret, SecretId=secret, RotationLambdaARN=unknown)
        assert name == "AccessDeniedException"
        assert set(*labels(client, secret).values()) == {"AWSCURRENT"}

    def test_a_foreign_rotation_token_is_refused(
        self, service: LocalSecretsManager, client: SecretsManagerClient, secret: str, rotator: Rotator
    ) -> None:
        """Only the rotation's own token is good for PutSecretValue."""
        rotate(service, client, secret)
        service.wait(secret)
        put: dict[str, Any] = {"SecretId": secret, "SecretString": "stolen"}
        name, _ = refusal(client.put_secret_value, **put, RotationToken=token())
        assert name == "InvalidParameterException"
        client.put_secret_value(**put, RotationToken=rotator.events[-1]["RotationToken"])

    def test_each_step_is_shown_as_it_happens(self) -> None:
        """The observer hears of start, end and failure, with times; RotateSecret may wait for the end."""
        shown: list[StepEvent] = []
        with LocalSecretsManager(attempts=2, rotate_before_answering=True, observer=shown.append) as service:
            client = service.client()
            secret = client.create_secret(Name="database", SecretString="first")["ARN"]
            rotator = Rotator(client)
            rotator.before["createSecret"] = fail_times(1)
            service.register("rotator", rotator)
            rotate(service, client, secret)
            assert [(event.step, event.attempt, event.state) for event in shown] == [
                ("createSecret", 1, "started"),
                ("createSecret", 1, "failed"),
                *((step, 2, state) for step in STEPS for state in ("started", "finished")),
            ]
            assert shown[1].error == "StepError: the database said no"
            assert all((event.seconds is None) == (event.state == "started") for event in shown)
            assert [outcome.events for outcome in service.outcomes] == [tuple(shown)]


class TestFaults:
    """What a test can see and break."""

    def test_calls_are_recorded_without_values(
        self, service: LocalSecretsManager, client: SecretsManagerClient, secret: str
    ) -> None:
        """Operation and parameters are kept; the values and the rotation token are not."""
        service.calls.clear()
        client.put_secret_value(SecretId=secret, SecretString="hidden", ClientRequestToken=(version := token()))
        client.get_secret_value(SecretId=secret, VersionId=version)
        assert [(call.operation, call.secret_id) for call in service.calls] == [
            ("PutSecretValue", secret),
            ("GetSecretValue", secret),
        ]
        assert service.calls[0].parameters == {"SecretId": secret, "ClientRequestToken": version}
        assert "hidden" not in repr(service.calls)

    @pytest.mark.parametrize("phase", ["before", "after"])
    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            (ServiceError("ThrottlingException", "Rate exceeded"), "ThrottlingException"),
            (ServiceError("InternalServiceError", "It broke", 500), "InternalServiceError"),
            (ConnectionError("cut"), None),
        ],
        ids=["throttled", "broken", "cut"],
    )
    def test_a_call_fails_before_or_after_it_took_effect(
        self,
        intercepted: LocalSecretsManager,
        secret: str,
        phase: str,
        fault: Exception,
        code: str | None,
    ) -> None:
        """The caller sees the same failure; whether the value was put depends on the phase."""
        client = intercepted.client(Config(read_timeout=5))

        def break_put(call: Call, moment: str) -> None:
            if (call.operation, moment) == ("PutSecretValue", phase):
                raise fault

        intercepted.intercept = break_put
        with pytest.raises((ClientError, ConnectionClosedError)) as caught:
            client.put_secret_value(SecretId=secret, SecretString="second")
        if code:
            assert isinstance(caught.value, ClientError)
            assert caught.value.response["Error"]["Code"] == code
        expected = "first" if phase == "before" else "second"
        assert client.get_secret_value(SecretId=secret)["SecretString"] == expected

    def test_the_command_line_rotates_too(
        self, service: LocalSecretsManager, client: SecretsManagerClient, secret: str, rotator: Rotator
    ) -> None:
        """Another process needs the environment and nothing else."""
        arn = service.register("rotator", rotator)
        command = ["-m", "awscli", "secretsmanager", "rotate-secret", "--rotation-lambda-arn", arn]
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, *command, "--secret-id", secret],
            env=os.environ | service.environment,
            capture_output=True,
            check=True,
            timeout=20,
        )
        assert service.wait(secret).result == "succeeded"
        assert json.loads(done.stdout)["VersionId"] == holder(client, secret, "AWSCURRENT")

    def test_servers_share_nothing_and_rds_has_the_store_of_its_server(
        self, client: SecretsManagerClient, secret: str
    ) -> None:
        """An instance made with a managed password has its secret at the same endpoint, and nowhere else."""
        with LocalSecretsManager() as other:
            made = other.rds().create_db_instance(
                DBInstanceIdentifier="database",
                DBInstanceClass="db.t4g.micro",
                Engine="postgres",
                MasterUsername="admin",
                ManageMasterUserPassword=True,
                AllocatedStorage=20,
            )
            arn = made["DBInstance"]["MasterUserSecret"]["SecretArn"]
            value = other.client().get_secret_value(SecretId=arn)["SecretString"]
            assert set(json.loads(value)) == {"username", "password"}
            assert refusal(other.client().get_secret_value, SecretId=secret)[0] == "ResourceNotFoundException"
        assert refusal(client.get_secret_value, SecretId=arn)[0] == "ResourceNotFoundException"

    def test_a_read_takes_milliseconds(self, client: SecretsManagerClient, secret: str) -> None:
        """The median of many reads stays small enough for tests that count in hundreds of calls."""
        times = []
        for _ in range(30):
            began = time.perf_counter()
            client.get_secret_value(SecretId=secret)
            times.append(time.perf_counter() - began)
        assert statistics.median(times) < FAST
