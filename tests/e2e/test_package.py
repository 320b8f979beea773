"""Does a folder that `make package` made deploy without SAM, and does what it deploys run?

CloudFormation's own call deploys it, to an AWS on this machine (tests/local/aws/cloudformation.py), after a plain copy
into a bucket. What this deployment does not need is left out of the build: to zip it takes seconds. So are the types of
resources that this AWS does not know.
"""

import json
import sys
from collections.abc import Iterator

import pytest

from supply import wheels
from tests.local.aws import cloudformation, template
from tests.local.aws.cloudformation import LocalAws
from tests.local.aws.lambda_runtime import FunctionError
from tests.local.aws.secrets_manager import REGION, LocalSecretsManager
from tests.supply.packaging import Package, artifacts

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the libraries in the artifacts are for Linux")

STACK, FOLDER = "plain", "releases/1/"
DEPLOYED = {"PostgreSqlFunction", "OverdueFunction", "GuardFunction", "CommonLayer"}
ONLY_POSTGRESQL = {f"Deploy{engine}": "false" for engine in template.engines() if engine != "PostgreSql"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """An AWS with the deployed stack."""
    package = Package.of_the_build(tmp_path_factory.mktemp("package"), without=artifacts() - DEPLOYED)
    with LocalSecretsManager(attempts=1) as service, cloudformation.start(service) as aws:
        deploy(aws, package)
        yield aws


def deploy(aws: LocalAws, package: Package) -> None:
    """Copy the folder into a bucket of the Region, and create a stack from it."""
    bucket = f"artifacts-{REGION}"
    aws.client("s3").create_bucket(Bucket=bucket)
    for file in package.folder.iterdir():
        aws.client("s3").upload_file(str(file), bucket, f"{FOLDER}{file.name}")
    known = cloudformation.without_unknown(template.load(package.template))
    aws.client("s3").put_object(Bucket=bucket, Key=f"{FOLDER}{package.template.name}", Body=json.dumps(known))
    values = {
        "ArtifactBucket": "artifacts",
        "ArtifactBucketPerRegion": "true",
        "ArtifactPrefix": FOLDER,
        "Architecture": wheels.configured_architecture("default"),
        **ONLY_POSTGRESQL,
    }
    aws.client("cloudformation").create_stack(
        StackName=STACK,
        TemplateURL=f"{aws.endpoint_url}/{bucket}/{FOLDER}{package.template.name}",
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    once = {"Delay": 0.1, "MaxAttempts": 600}
    aws.client("cloudformation").get_waiter("stack_create_complete").wait(StackName=STACK, WaiterConfig=once)


def test_the_wanted_functions_are_there(running: LocalAws) -> None:
    functions = running.client("lambda").list_functions()["Functions"]
    assert f"{STACK}-PostgreSql" in {one["FunctionName"] for one in functions}
    assert len(functions) == len(DEPLOYED - {"CommonLayer"})


def test_a_deployed_function_has_its_client_and_its_layer(running: LocalAws) -> None:
    """It comes as far as the event: what it imports is in its zip file, and in the layer's."""
    with pytest.raises(FunctionError, match="reading the rotation event"):
        running.invoke(f"{STACK}-PostgreSql", {})


def test_the_deployed_watch_reads_the_secrets(running: LocalAws) -> None:
    found = running.client("cloudformation").describe_stack_resource(
        StackName=STACK, LogicalResourceId="OverdueFunction"
    )
    running.invoke(found["StackResourceDetail"]["PhysicalResourceId"], {})
