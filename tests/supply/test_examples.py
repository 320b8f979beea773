"""Do the examples in examples/ fit the template that `make package` makes?

The Terraform module is read, not run: its provider is not to be had here. The CDK apps are run in `make test-all` only:
they need npm, node, and some hundred megabytes of packages in .local/examples.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.local.aws import template
from tests.supply.packaging import Package, artifacts

CHECKOUT = Path(__file__).parents[2]
EXAMPLES = CHECKOUT / "examples"
PYTHON = CHECKOUT / ".local/examples/bin/python"
TERRAFORM = "".join(path.read_text() for path in sorted((EXAMPLES / "terraform").glob("*")))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The package of the build, with a small file in the place of each artifact."""
    return Package.of_the_build(tmp_path_factory.mktemp("package"), without=artifacts())


def test_every_example_names_parameters_and_resources_of_the_template(package: Package) -> None:
    plain = package.read()
    apps = "".join(path.read_text() for path in EXAMPLES.glob("cdk-*/*") if path.suffix in {".py", ".ts"})
    named = set(
        re.findall(
            r"\b(Deploy\w+|Vpc\w+Ids?|VpcId|KmsKeyArns|Artifact(?:Bucket\w*|Prefix))\b\"?(?:: | +=)", apps + TERRAFORM
        )
    )
    assert {"ArtifactBucket", "KmsKeyArns", "VpcSubnetIds"} < named <= plain["Parameters"].keys()
    assert {"Guard", "FunctionSecurityGroup", "PostgreSqlFunction", "PostgreSqlPermission"} <= plain["Resources"].keys()


def test_the_terraform_module_names_outputs_and_engines_of_the_template(package: Package) -> None:
    assert {"AlarmTopicArn", *(f"{engine}FunctionArn" for engine in template.engines())} <= package.read()[
        "Outputs"
    ].keys()
    assert f"named as in the template: {', '.join(template.engines())}." in TERRAFORM
    assert 'capabilities = ["CAPABILITY_IAM"]' in TERRAFORM
    kinds = template.resources(package.read(), "AWS::IAM::Role") | template.resources(
        package.read(), "AWS::IAM::ManagedPolicy"
    )
    assert not any({"RoleName", "ManagedPolicyName"} & properties.keys() for properties in kinds.values())


@pytest.mark.thorough
def test_the_terraform_module_can_be_parsed() -> None:
    program = "import hcl2, json, pathlib, sys; [hcl2.loads(pathlib.Path(f).read_text()) for f in sys.argv[1:]]"
    files = sorted((EXAMPLES / "terraform").glob("*.tf"))
    assert len(files) == len({"main", "variables", "outputs"})
    subprocess.run([PYTHON, "-c", program, *files], check=True)  # noqa: S603 - the words are ours


@pytest.mark.thorough
def test_the_cdk_apps_attach_grant_and_tag_alike(package: Package, tmp_path: Path) -> None:
    """Both apps are synthesised from the packaged template, and say the same."""
    in_python = synthesised(package, tmp_path / "python", EXAMPLES / "cdk-python", [str(PYTHON), "app.py"])
    in_typescript = synthesised(package, tmp_path / "typescript", typescript(tmp_path), ["npm", "run", "synth"])
    assert in_python == in_typescript
    resources = in_python["Resources"]
    for name in ("PostgreSqlFunction", "OverdueFunction", "GuardFunction"):
        key = resources[name]["Properties"]["Code"]["S3Key"]
        assert (tmp_path / "python" / f"asset.{key}").exists()
    assert {"Key": "team", "Value": "platform"} in resources["PostgreSqlFunction"]["Properties"]["Tags"]
    [schedule] = template.resources(in_python, "AWS::SecretsManager::RotationSchedule").values()
    assert schedule["RotationLambdaARN"] == {"Fn::GetAtt": ["PostgreSqlFunction", "Arn"]}
    [attached] = [
        name for name, one in resources.items() if one["Type"] == "AWS::SecretsManager::SecretTargetAttachment"
    ]
    assert schedule["SecretId"] == {"Ref": attached}
    assert "secretsmanager:RotateSecret" in json.dumps(template.resources(in_python, "AWS::IAM::Policy"))
    rules = template.resources(in_python, "AWS::EC2::SecurityGroupIngress").values()
    assert {"Fn::GetAtt": ["FunctionSecurityGroup", "GroupId"]} in [rule["SourceSecurityGroupId"] for rule in rules]


def typescript(scratch: Path) -> Path:
    """Return a copy of the TypeScript app with its packages, as its lock file has them."""
    app = scratch / "app"
    shutil.copytree(EXAMPLES / "cdk-typescript", app, ignore=shutil.ignore_patterns("node_modules"))
    subprocess.run(["npm", "ci", "--silent", "--ignore-scripts"], cwd=app, check=True)  # noqa: S607 - whichever npm there is
    return app


def synthesised(package: Package, into: Path, app: Path, command: list[str]) -> dict[str, Any]:
    """Return the template that an app makes of the package."""
    environment = {
        **os.environ,
        "CDK_CONTEXT_JSON": json.dumps({"package": str(package.folder)}),
        "CDK_OUTDIR": str(into),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    subprocess.run(command, cwd=app, env=environment, check=True, capture_output=True)  # noqa: S603 - the words are ours
    made: dict[str, Any] = json.loads((into / "Orders.template.json").read_text())
    return made
