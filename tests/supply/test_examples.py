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


def test_every_example_names_parameters_of_the_template(package: Package) -> None:
    apps = "".join(path.read_text() for path in EXAMPLES.glob("cdk-*/*") if path.suffix in {".py", ".ts"})
    names = r"\b(Deploy\w+|VpcId|VpcSubnetIds|KmsKeyArns|ArtifactBucket\w*|ArtifactPrefix)\b\"?(?:: | +=)"
    named = set(re.findall(names, apps + TERRAFORM))
    assert {"ArtifactBucket", "KmsKeyArns", "VpcSubnetIds"} < named <= package.read()["Parameters"].keys()


@pytest.mark.thorough(example=["parsed terraform", "cdk-python", "cdk-typescript"])
@pytest.mark.parametrize("example", ["terraform", "parsed terraform", "cdk-python", "cdk-typescript"])
def test_an_example_fits_the_template(example: str, package: Package, tmp_path: Path) -> None:
    match example:
        case "terraform":
            check_module(package)
        case "parsed terraform":
            parse_module()
        case "cdk-python":
            check_app(in_python(package, tmp_path), tmp_path / "python")
        case _:
            made = in_typescript(package, tmp_path)
            check_app(made, tmp_path / "typescript")
            assert made == in_python(package, tmp_path)


def check_module(package: Package) -> None:
    """The module names engines and outputs as the template does, and needs no other capability."""
    plain = package.read()
    assert {"AlarmTopicArn", *(f"{engine}FunctionArn" for engine in template.engines())} <= plain["Outputs"].keys()
    assert f"named as in the template: {', '.join(template.engines())}." in TERRAFORM
    assert 'capabilities = ["CAPABILITY_IAM"]' in TERRAFORM
    roles = template.resources(plain, "AWS::IAM::Role") | template.resources(plain, "AWS::IAM::ManagedPolicy")
    assert not any({"RoleName", "ManagedPolicyName"} & properties.keys() for properties in roles.values())


def parse_module() -> None:
    """A parser of Terraform's language reads the module. Raises CalledProcessError."""
    program = "import hcl2, pathlib, sys; [hcl2.loads(pathlib.Path(name).read_text()) for name in sys.argv[1:]]"
    files = sorted((EXAMPLES / "terraform").glob("*.tf"))
    assert [file.stem for file in files] == ["main", "outputs", "variables"]
    subprocess.run([PYTHON, "-c", program, *files], check=True)  # noqa: S603 - the words are ours


def check_app(made: dict[str, Any], assets: Path) -> None:
    """What an app makes attaches, grants and tags; its functions have their zip files."""
    resources = made["Resources"]
    for name in ("PostgreSqlFunction", "OverdueFunction", "GuardFunction"):
        key = resources[name]["Properties"]["Code"]["S3Key"]
        assert (assets / f"asset.{key}").exists()
    assert {"Key": "team", "Value": "platform"} in resources["PostgreSqlFunction"]["Properties"]["Tags"]
    [schedule] = template.resources(made, "AWS::SecretsManager::RotationSchedule").values()
    assert schedule["RotationLambdaARN"] == {"Fn::GetAtt": ["PostgreSqlFunction", "Arn"]}
    [attached] = template.resources(made, "AWS::SecretsManager::SecretTargetAttachment")
    assert schedule["SecretId"] == {"Ref": attached}
    assert "secretsmanager:RotateSecret" in json.dumps(template.resources(made, "AWS::IAM::Policy"))
    rules = template.resources(made, "AWS::EC2::SecurityGroupIngress").values()
    assert {"Fn::GetAtt": ["FunctionSecurityGroup", "GroupId"]} in [rule["SourceSecurityGroupId"] for rule in rules]


def in_python(package: Package, scratch: Path) -> dict[str, Any]:
    """Return the template that the Python app makes of the package."""
    return synthesised(package, scratch / "python", EXAMPLES / "cdk-python", [str(PYTHON), "app.py"])


def in_typescript(package: Package, scratch: Path) -> dict[str, Any]:
    """Return what the TypeScript app makes of it, with the packages that its lock file has."""
    app = scratch / "app"
    shutil.copytree(EXAMPLES / "cdk-typescript", app, ignore=shutil.ignore_patterns("node_modules"))
    subprocess.run(["npm", "ci", "--silent", "--ignore-scripts"], cwd=app, check=True)  # noqa: S607 - whichever npm there is
    return synthesised(package, scratch / "typescript", app, ["npm", "run", "synth"])


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
