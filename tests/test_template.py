"""Does what is deployed match what was tested, and may it do what the code does, and no more?"""

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rotation.event import RotationEvent
from rotation.steps import Step
from tests.local import template

CHECKOUT = Path(__file__).parents[1]
TEMPLATE = template.load(CHECKOUT / "template.yaml")
FUNCTIONS = template.resources(TEMPLATE, "AWS::Serverless::Function")
CODE = "".join(path.read_text() for path in (CHECKOUT / "layers/common/rotation").rglob("*.py"))
# Secrets Manager needs these of us, and only where it uses them for us.
BY_WAY_OF_SECRETS_MANAGER = {"kms:Decrypt", "kms:GenerateDataKey"}


@pytest.fixture(params=FUNCTIONS)
def name(request: pytest.FixtureRequest) -> str:
    """The logical id of each function."""
    return str(request.param)


@pytest.fixture
def function(name: str) -> dict[str, Any]:
    """The properties of each function, those that Globals give it included."""
    return template.function_properties(TEMPLATE, name)


def statements() -> Iterator[dict[str, Any]]:
    """Each statement that the template writes out."""
    for policy in template.resources(TEMPLATE, "AWS::IAM::ManagedPolicy").values():
        yield from policy["PolicyDocument"]["Statement"]
    for properties in FUNCTIONS.values():
        for policy in properties["Policies"]:
            yield from policy.get("Statement", [])


def as_list(value: object) -> list[Any]:
    """One or several, as a list."""
    return value if isinstance(value, list) else [value]


def actions() -> set[str]:
    """Each action that the template allows, SAM's own policies aside."""
    return {action for statement in statements() for action in as_list(statement["Action"])}


def substituted(value: dict[str, str]) -> str:
    """What is in a `!Sub`."""
    return value["Fn::Sub"]


def test_handler_is_loaded_as_lambda_does(function: dict[str, Any]) -> None:
    """The handler is found where `CodeUri` and `Handler` say, and can be called."""
    module, _, attribute = function["Handler"].partition(".")
    spec = importlib.util.spec_from_file_location(module, CHECKOUT / function["CodeUri"] / f"{module}.py")
    assert spec
    assert spec.loader
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    assert callable(getattr(app, attribute))


def test_artifact_has_what_it_imports_and_no_more(function: dict[str, Any]) -> None:
    """A function's folder holds its binding and its client, pinned by hash."""
    folder = CHECKOUT / function["CodeUri"]
    assert {path.name for path in folder.iterdir()} - {"__pycache__"} == {"app.py", "requirements.txt"}
    requirements = (folder / "requirements.txt").read_text()
    assert re.search(r"^[\w.-]+==\S+ \\$", requirements, re.MULTILINE)
    assert "--hash=sha256:" in requirements


def test_layer_is_built_for_the_functions(function: dict[str, Any]) -> None:
    """Layer and function are for one Python and one processor."""
    [reference] = function["Layers"]
    layer = TEMPLATE["Resources"][reference["Ref"]]
    assert layer["Metadata"]["BuildMethod"] == function["Runtime"]
    assert [layer["Metadata"]["BuildArchitecture"]] == function["Architectures"] == [{"Ref": "Architecture"}]
    assert layer["Properties"]["CompatibleRuntimes"] == [function["Runtime"]]
    assert layer["Properties"]["CompatibleArchitectures"] == function["Architectures"]


def test_function_rotates_only_secrets_that_chose_it(function: dict[str, Any]) -> None:
    """Both policies on rotated secrets name this function, by the name that it has."""
    function_name = substituted(function["FunctionName"])
    managed, inline = function["Policies"][:2]
    assert managed == {"AWSSecretsManagerRotationPolicy": {"FunctionName": function["FunctionName"]}}
    for statement in inline["Statement"]:
        chosen = statement["Condition"]["StringEquals"]["secretsmanager:resource/AllowRotationLambdaArn"]
        assert substituted(chosen).endswith(f":function:{function_name}")


def test_secrets_manager_of_this_account_alone_invokes(name: str) -> None:
    """Each function has one permission, for Secrets Manager, in the name of this account."""
    permissions = template.resources(TEMPLATE, "AWS::Lambda::Permission").values()
    [permission] = (one for one in permissions if one["FunctionName"] == {"Ref": name})
    assert permission == {
        "FunctionName": {"Ref": name},
        "Action": "lambda:InvokeFunction",
        "Principal": "secretsmanager.amazonaws.com",
        "SourceAccount": {"Ref": "AWS::AccountId"},
    }


def test_log_group_is_the_functions_own(function: dict[str, Any]) -> None:
    """Logs go where Lambda's basic policy lets them go, and do not stay for ever."""
    group = TEMPLATE["Resources"][function["LoggingConfig"]["LogGroup"]["Ref"]]["Properties"]
    assert substituted(group["LogGroupName"]) == f"/aws/lambda/{substituted(function['FunctionName'])}"
    assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_function_can_be_found_after_deployment(name: str) -> None:
    """Its ARN, which a secret is told, is an output."""
    assert {"Fn::GetAtt": f"{name}.Arn"} in [output["Value"] for output in TEMPLATE["Outputs"].values()]


def test_nothing_is_allowed_on_everything() -> None:
    """No statement of ours has a wildcard for an action, or for all resources."""
    for statement in statements():
        assert not [action for action in as_list(statement["Action"]) if "*" in action]
        assert "*" not in as_list(statement["Resource"])


def test_keys_are_used_by_way_of_secrets_manager_only() -> None:
    """Every statement on a key says through which service."""
    for statement in statements():
        if any(action.startswith("kms:") for action in as_list(statement["Action"])):
            service = substituted(statement["Condition"]["StringEquals"]["kms:ViaService"])
            assert service == "secretsmanager.${AWS::Region}.${AWS::URLSuffix}"


@pytest.mark.parametrize("action", sorted(actions() - BY_WAY_OF_SECRETS_MANAGER))
def test_every_permission_is_used(action: str) -> None:
    """The code makes the call that the permission is for."""
    operation = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", action.partition(":")[2]).lower()
    assert f".{operation}(" in CODE


def test_parameters_are_grouped_and_labelled() -> None:
    """The console shows every parameter in a group, under a name, and says what empty means."""
    interface = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [parameter for group in interface["ParameterGroups"] for parameter in group["Parameters"]]
    assert sorted(grouped) == sorted(interface["ParameterLabels"]) == sorted(TEMPLATE["Parameters"])
    for parameter in TEMPLATE["Parameters"].values():
        assert parameter["Default"] != "" or "mpty" in parameter["Description"]


@pytest.mark.parametrize("step", Step)
def test_event_for_each_step_of_each_engine(name: str, step: Step) -> None:
    """`events/` has a valid event for every step of every function."""
    file_name = f"{name.removesuffix('Function').lower()}-{step.removesuffix('Secret')}-secret.json"
    event = json.loads((CHECKOUT / "events" / file_name).read_text())
    assert RotationEvent.parse(event).step is step


def test_every_event_is_tested() -> None:
    """`events/` has no file that the test above does not know."""
    assert len(list((CHECKOUT / "events").iterdir())) == len(FUNCTIONS) * len(Step)
