"""Does what is deployed match what was tested, in every account, Region and partition where it may be deployed?

What the functions may do, and whether they use it, is asked in tests/e2e/test_permissions.py.
"""

import copy
import importlib
import importlib.util
import json
import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rotation import announcements
from rotation.announcements import Announcement
from rotation.event import RotationEvent
from rotation.kind import EngineKind
from rotation.passwords import EXCLUDES, MINIMUMS, PasswordPolicy
from rotation.steps import Step
from rotation.watch.health import INTERVAL
from rotation.watch.tags import VARIABLES
from tests.fakes import KIND
from tests.local.aws import template
from tests.local.aws.deployed import Stack, document_of
from tests.local.aws.iam import Request

CHECKOUT = Path(__file__).parents[1]
SOURCE = template.SOURCE
TEMPLATE = template.load(SOURCE)
FUNCTIONS = template.resources(TEMPLATE, "AWS::Serverless::Function")
ENGINES = template.engines()
WATCH = template.resources(TEMPLATE, "AWS::Lambda::Function")
CODE = "".join(path.read_text() for path in (CHECKOUT / "layers/common/rotation").rglob("*.py"))
CONFIGURATION = tomllib.loads((CHECKOUT / "samconfig.toml").read_text())
# IBM has no client for Linux on arm64, and the one that there is is large.
OF_ITS_OWN = {"Db2": {"Architectures": ["x86_64"]}}
ACCOUNT, REGION = "123456789012", "eu-central-1"
# Of the actions that know no narrower resource.
EVERYTHING_IS_MEANT = {"UseNetwork", "LeaveNetworkToLambda", "ListSecrets"}
# Which ports its databases have, without TLS and with.
USUAL_PORTS = {
    "PostgreSql": {5432},
    "MySql": {3306},
    "MariaDb": {3306},
    "Oracle": {1521, 2484},
    "SqlServer": {1433},
    "Db2": {50000, 50443},
}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """The template's name of each engine."""
    return str(request.param)


@pytest.fixture(params=[*FUNCTIONS, *WATCH])
def function(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The properties of each function, those that Globals give it included."""
    if request.param in FUNCTIONS:
        return template.function_properties(TEMPLATE, request.param)
    return WATCH[request.param]


def deployed(**parameters: str) -> Stack:
    """The stack that these parameters make."""
    return Stack.deploy(SOURCE, name="rotation", region=REGION, account_id=ACCOUNT, parameters=parameters)


def statements(stack: Stack) -> dict[str, list[dict[str, Any]]]:
    """Each statement of a stack's roles and managed policies, resolved, by its Sid."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name in [*stack.of_type("AWS::IAM::Role"), *stack.of_type("AWS::IAM::ManagedPolicy")]:
        properties = stack.properties(name)
        policies = [*properties.get("Policies", []), *([properties] if "PolicyDocument" in properties else [])]
        for document in map(document_of, policies):
            for statement in document["Statement"]:
                found.setdefault(statement["Sid"], []).append(statement)
    return found


def as_list(value: object) -> list[Any]:
    """One or several, as a list."""
    return value if isinstance(value, list) else [value]


# ------------------------------------------------------------------------------------------------------- the artifacts


def test_handler_is_loaded_as_lambda_does(function: dict[str, Any]) -> None:
    """The handler is found where the template says, and can be called."""
    module, _, attribute = function["Handler"].partition(".")
    folder = function.get("CodeUri") or function["Code"]
    spec = importlib.util.spec_from_file_location(module, CHECKOUT / folder / f"{module}.py")
    assert spec
    assert spec.loader
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    assert callable(getattr(app, attribute))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_artifact_has_what_it_imports_and_no_more(name: str) -> None:
    """An engine's folder holds its binding and its client, pinned by hash, never to be built from source."""
    folder = CHECKOUT / FUNCTIONS[name]["CodeUri"]
    assert {path.name for path in folder.iterdir()} - {"__pycache__"} == {
        "app.py",
        "requirements.in",
        "requirements.txt",
    }
    requirements = (folder / "requirements.txt").read_text()
    assert "\n--only-binary :all:\n" in requirements
    assert re.search(r"^[\w.-]+==\S+ \\$", requirements, re.MULTILINE)
    assert "--hash=sha256:" in requirements


def test_layer_is_built_for_the_functions(function: dict[str, Any]) -> None:
    """Layer and function are for one Python; the layer, which is built for one processor, runs on each of them."""
    [reference] = function["Layers"]
    layer = TEMPLATE["Resources"][reference["Ref"]]
    assert layer["Metadata"]["BuildMethod"] == function["Runtime"]
    assert layer["Metadata"]["BuildArchitecture"] == {"Ref": "Architecture"}
    assert layer["Properties"]["CompatibleRuntimes"] == [function["Runtime"]]
    both = TEMPLATE["Parameters"]["Architecture"]["AllowedValues"]
    assert layer["Properties"]["CompatibleArchitectures"] == both
    assert function["Architectures"][0] in ({"Ref": "Architecture"}, *both)


def test_every_variable_is_read(function: dict[str, Any]) -> None:
    """No function is given a variable that nobody reads."""
    unread = [name for name in function["Environment"]["Variables"] if name not in CODE]
    assert set(unread) <= {"POWERTOOLS_LOG_LEVEL", "AWS_STS_REGIONAL_ENDPOINTS"}  # Powertools and the SDK read them


# ------------------------------------------------------------------------------------------------------- the engines


def test_the_engines_differ_in_names_only() -> None:
    """Who has read one engine's resources, outputs and conditions has read them all, but for what OF_ITS_OWN has."""
    seen = set()
    for engine in ENGINES:
        ours = {
            section: {key: copy.deepcopy(value) for key, value in TEMPLATE[section].items() if engine in key}
            for section in ("Resources", "Conditions", "Outputs", "Parameters")
        }
        for name, value in OF_ITS_OWN.get(engine, {}).items():
            assert ours["Resources"][f"{engine}Function"]["Properties"].pop(name) == value
        text = json.dumps(ours)
        folder = FUNCTIONS[f"{engine}Function"]["CodeUri"].removeprefix("functions/")
        text = re.sub(rf"RDS for [^.]*|SQL Server|(?i:{folder})", "ENGINE", text)
        seen.add(json.dumps(json.loads(text), sort_keys=True))
    assert len(seen) == 1


@pytest.mark.parametrize("wanted", ["true", "false"])
def test_nothing_is_there_of_an_engine_that_is_not_wanted(engine: str, wanted: str) -> None:
    """Not its function, its role, its alarm or its schedules, whatever else is said about it."""
    secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:one-AbCdEf"
    parameters = {f"Deploy{engine}": wanted, f"{engine}SecretArns": secret, "SecretAccountIds": "210987654321"}
    stack = deployed(**parameters)
    made = {name.removeprefix(engine) for name in stack.resources if name.startswith(engine)}
    everything = {"Function", "Role", "Permission", "FailedAlarm", "AccountPermission210987654321"}
    schedule = "Schedule" + re.sub(r"\W", "", secret)
    assert made == ({*everything, schedule} if wanted == "true" else set())


def test_a_function_rotates_only_secrets_that_chose_it(engine: str) -> None:
    """Of this account, in this Region, and by the name that the function has."""
    stack = deployed()
    role = stack.properties(f"{engine}Role")
    [statement] = [each for policy in role["Policies"] for each in policy["PolicyDocument"]["Statement"]]
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:rotation-{engine}"
    assert stack.resolver.arn(f"{engine}Function") == function
    assert statement["Condition"] == {"StringEquals": {"secretsmanager:resource/AllowRotationLambdaArn": function}}
    assert statement["Resource"] == f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:*"


def test_a_function_reads_the_admin_secrets_of_its_own_engine(engine: str) -> None:
    """No other function may, and without any there is no such statement."""
    arn = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:admin-AbCdEf"
    assert "ReadAdminSecrets" not in statements(deployed())
    stack = deployed(**{f"{engine}AdminSecretArns": arn})
    [statement] = statements(stack)["ReadAdminSecrets"]
    assert statement["Resource"] == [arn]
    assert statement in stack.properties(f"{engine}Role")["Policies"][0]["PolicyDocument"]["Statement"]


def test_secrets_manager_invokes_for_the_accounts_that_were_named(engine: str) -> None:
    """Secrets of this account, and of the accounts in SecretAccountIds; no permission is for everybody."""
    stack = deployed(SecretAccountIds="210987654321,321098765432")
    permissions = [
        stack.properties(name) for name in stack.of_type("AWS::Lambda::Permission") if name.startswith(engine)
    ]
    assert {permission["SourceAccount"] for permission in permissions} == {ACCOUNT, "210987654321", "321098765432"}
    assert {permission["Principal"] for permission in permissions} == {"secretsmanager.amazonaws.com"}
    assert {permission["FunctionName"] for permission in permissions} == {f"rotation-{engine}"}


def test_a_schedule_waits_for_the_permission_and_does_not_rotate_at_once(engine: str) -> None:
    """Secrets Manager invokes the function as soon as it is attached, if only to test."""
    arns = [f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}" for name in ("a/b-AbCdEf", "a-b-AbCdEg")]
    stack = deployed(**{f"{engine}SecretArns": ",".join(arns)})
    schedules = stack.of_type("AWS::SecretsManager::RotationSchedule")
    assert {stack.properties(name)["SecretId"] for name in schedules} == set(arns)
    for name in schedules:
        assert stack.resources[name]["DependsOn"] == f"{engine}Permission"
        assert stack.resolver.resolve(stack.resources[name]["Metadata"]["After"]) == stack.resolver.name("Guard")
        properties = stack.properties(name)
        assert properties["RotationLambdaARN"] == stack.resolver.arn(f"{engine}Function")
        assert properties["RotateImmediatelyOnUpdate"] == "false"
        assert properties["RotationRules"] == {"ScheduleExpression": "rate(30 days)", "Duration": "2h"}


def test_a_function_can_be_found_after_deployment(engine: str) -> None:
    """Its ARN, which a secret is told, and its role's, which policies name, are outputs for other stacks."""
    for kind in ("Function", "Role"):
        output = TEMPLATE["Outputs"][f"{engine}{kind}Arn"]
        assert output["Value"] == {"Fn::GetAtt": f"{engine}{kind}.Arn"}
        assert output["Export"]["Name"] == {"Fn::Sub": f"${{AWS::StackName}}-{engine}{kind}Arn"}


def test_the_guard_knows_all_functions_and_goes_before_them() -> None:
    """CloudFormation deletes the guard before what its properties refer to."""
    guard = TEMPLATE["Resources"]["Guard"]["Properties"]
    arns = [value["Fn::If"][1] for value in guard["FunctionArns"]]
    assert arns == [{"Fn::GetAtt": f"{name}.Arn"} for name in FUNCTIONS]
    scheduled = guard["ScheduledSecretArns"]["Fn::Split"][1]["Fn::Join"][1]
    assert [value["Fn::If"][0] for value in scheduled] == [f"{engine}Scheduled" for engine in ENGINES]


# ------------------------------------------------------------------------------------------------------- permissions


def test_nothing_is_allowed_on_everything_without_a_reason() -> None:
    """No action has a wildcard, and of the resources only those whose actions know no narrower one."""
    arn = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
    everything = statements(
        deployed(
            VpcSubnetIds="subnet-1",
            VpcSecurityGroupIds="sg-1",
            DescribeDatabases="true",
            KmsKeyArns=arn,
            AdminKmsKeyArns=arn,
            SecretRoleArns="arn:aws:iam::210987654321:role/rotation",
            PostgreSqlAdminSecretArns=f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:admin-AbCdEf",
            AttachTagKey="secret-rotation",
            EventBusName="default",
            RotateAllBucket="plans",
        )
    )
    assert len(everything) == 27
    for sid, same in everything.items():
        for statement in same:
            assert not [action for action in as_list(statement["Action"]) if "*" in action]
            assert ("*" in as_list(statement["Resource"])) == (sid in EVERYTHING_IS_MEANT)


@pytest.mark.parametrize(
    ("parameter", "value", "sid"),
    [
        ("VpcSubnetIds", "subnet-1", "UseNetwork"),
        ("VpcSubnetIds", "subnet-1", "LeaveNetworkToLambda"),
        ("KmsKeyArns", "arn:aws:kms:eu-central-1:123456789012:key/1", "UseKeys"),
        ("AdminKmsKeyArns", "arn:aws:kms:eu-central-1:123456789012:key/1", "DecryptAdminSecrets"),
        ("DescribeDatabases", "true", "FindDatabases"),
        ("SecretRoleArns", "arn:aws:iam::210987654321:role/rotation", "AssumeSecretRoles"),
        ("EventBusName", "default", "TellOfRotations"),
        ("AttachTagKey", "secret-rotation", "AttachTaggedSecrets"),
        ("AttachTagKey", "secret-rotation", "DetachSecretsAttachedByTag"),
        ("AttachTagKey", "secret-rotation", "RememberAttachedSecrets"),
        ("AttachTagKey", "secret-rotation", "ReadTaggedSecrets"),
        ("RotateAllBucket", "plans", "RotateManySecrets"),
        ("RotateAllBucket", "plans", "KeepPlansAndOutcomes"),
    ],
)
def test_a_statement_is_there_only_if_it_is_needed(parameter: str, value: str, sid: str) -> None:
    """Each that is not needed by all has a parameter."""
    assert sid not in statements(deployed())
    assert sid in statements(deployed(**{parameter: value}))


def test_keys_are_used_by_way_of_secrets_manager_only() -> None:
    """Every statement on a key says through which service, and on which keys."""
    stack = deployed(KmsKeyArns="key-1,key-2", AdminKmsKeyArns="key-3")
    found = statements(stack)
    for sid, keys in {"UseKeys": ["key-1", "key-2"], "DecryptAdminSecrets": ["key-3"]}.items():
        [statement] = found[sid]
        via = {"StringEquals": {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}}
        assert (statement["Resource"], statement["Condition"]) == (keys, via)


def test_only_our_events_are_put_and_only_on_the_bus_that_was_named(engine: str) -> None:
    """As the code says them: the template repeats its words."""
    role = deployed(EventBusName="ours").roles[f"{engine}Role"]
    bus = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/ours"
    for what in Announcement:
        context = {"events:source": announcements.SOURCE, "events:detail-type": str(what)}
        assert role.allows(Request(announcements.PERMISSION, bus, context))
        for key in context:
            assert not role.allows(Request(announcements.PERMISSION, bus, {**context, key: "other"}))
        assert not role.allows(Request(announcements.PERMISSION, bus.replace("ours", "default"), context))


@pytest.mark.parametrize("action", ["Create", "Delete", "Describe"])
def test_network_interfaces_are_made_by_lambda_and_not_by_the_functions_code(engine: str, action: str) -> None:
    """The role is the same; where the function's code calls, AWS says so."""
    stack = deployed(VpcSubnetIds="subnet-1", VpcSecurityGroupIds="sg-1")
    call = f"ec2:{action}NetworkInterface{'s' if action == 'Describe' else ''}"
    callers = {None: True, stack.resolver.arn(f"{engine}Function"): False}
    for caller, may in callers.items():
        request = Request(call, "*", {"lambda:sourcefunctionarn": caller})
        assert stack.roles[f"{engine}Role"].allows(request) is may


def test_no_parameter_lets_secrets_name_hosts_on_the_functions_own_side() -> None:
    """Who deploys the stack does not switch it on by mistake; `sam local invoke` may set what is there."""
    stack = deployed(AttachTagKey="secret-rotation", RotateAllBucket="plans")
    assert {stack.environment(name).get("ALLOW_LOCAL_HOSTS") for name in FUNCTIONS} == {"false"}
    assert not [name for name in WATCH if "ALLOW_LOCAL_HOSTS" in stack.environment(name)]


# ------------------------------------------------------------------------------------------------------- network


type Rule = tuple[str, int, str]
"""A protocol, a port, and whereto."""


def ways_out(**parameters: str) -> list[Rule]:
    """Where the security group lets the functions out that the stack makes, and which databases it lets them into."""
    stack = deployed(VpcId="vpc-1", VpcSubnetIds="subnet-1", **parameters)
    rules = stack.properties("FunctionSecurityGroup")["SecurityGroupEgress"]
    ways = [stack.properties(name) for name in stack.of_type("AWS::EC2::SecurityGroupEgress")]
    assert {way["GroupId"] for way in ways} <= {stack.resolver.name("FunctionSecurityGroup")}
    return [as_rule(rule) for rule in [*rules, *ways]]


def as_rule(rule: dict[str, Any]) -> Rule:
    """What a rule lets out."""
    [target] = rule.keys() - {"Description", "GroupId", "IpProtocol", "FromPort", "ToPort"}
    assert int(rule["FromPort"]) == int(rule["ToPort"])
    return rule["IpProtocol"], int(rule["FromPort"]), rule[target]


def ports(rules: list[Rule]) -> set[int]:
    """The ports of the databases in these rules."""
    return {port for protocol, port, _ in rules if protocol == "tcp"} - {443, 53}


def test_the_functions_get_out_to_databases_dns_and_https_only() -> None:
    """The usual ports of all engines, each of which has its own in the code."""
    usual = set().union(*USUAL_PORTS.values())
    assert set(map(int, re.findall(r"default_port=(\d+)", CODE))) <= usual
    expected = [("tcp", port, "0.0.0.0/0") for port in sorted(usual | {443, 53})] + [("udp", 53, "0.0.0.0/0")]
    assert sorted(ways_out()) == sorted(expected)


def test_no_port_is_open_for_an_engine_that_is_not_deployed(engine: str) -> None:
    """Alone, an engine has its own ports; without it, the others have theirs."""
    others = [other for other in ENGINES if other != engine]
    assert ports(ways_out(**{f"Deploy{other}": "false" for other in others})) == USUAL_PORTS[engine]
    of_others = set().union(*(USUAL_PORTS[other] for other in others))
    assert ports(ways_out(**{f"Deploy{engine}": "false"})) == of_others


@pytest.mark.parametrize("wanted", ["true", "false"])
def test_each_database_is_let_in_on_its_port_and_no_rule_is_there_twice(wanted: str) -> None:
    """Usual port or not, any number of groups. EC2 takes no rule twice. With IPv6, the others are there for it too."""
    databases = {("sg-0a", 5432), ("sg-0a", 6432), ("sg-0b", 6432), ("sg-0c", 443)}
    parameters = {
        "DatabaseSecurityGroups": ",".join(f"{group}:{port}" for group, port in databases),
        "IpAddressType": "dualstack",
        **{f"Deploy{engine}": wanted for engine in ENGINES},
    }
    rules = ways_out(**parameters)
    assert len(rules) == len(set(rules))
    assert {(target, port) for _, port, target in rules if target.startswith("sg-")} == databases
    anywhere = [(protocol, port, "0.0.0.0/0") for protocol, port, target in rules if target == "::/0"]
    assert sorted(anywhere) == sorted(rule for rule in rules if rule[2] == "0.0.0.0/0")
    stack = deployed(VpcId="vpc-1", VpcSubnetIds="subnet-1", **parameters)
    ingress = [stack.properties(name) for name in stack.of_type("AWS::EC2::SecurityGroupIngress")]
    assert {(rule["GroupId"], int(rule["FromPort"])) for rule in ingress} == databases
    assert {rule["SourceSecurityGroupId"] for rule in ingress} == {stack.resolver.name("FunctionSecurityGroup")}


@pytest.mark.parametrize(
    ("more", "target"),
    [
        ({}, "rotation-EndpointSecurityGroup"),
        ({"CreateRdsEndpoint": "true"}, "rotation-EndpointSecurityGroup"),
        ({"DescribeDatabases": "true", "CreateRdsEndpoint": "true"}, "0.0.0.0/0"),
        ({"SecretRoleArns": "arn:aws:iam::210987654321:role/rotation"}, "0.0.0.0/0"),
        ({"WatchFunctions": "in-vpc"}, "0.0.0.0/0"),
        ({"EventBusName": "default"}, "0.0.0.0/0"),
        ({"EventBusName": "default", "CreateEventsEndpoint": "true"}, "rotation-EndpointSecurityGroup"),
    ],
    ids=[
        "Secrets Manager",
        "an endpoint that is not used",
        "RDS, in any Region",
        "STS",
        "CloudFormation",
        "EventBridge",
        "EventBridge, by its endpoint",
    ],
)
@pytest.mark.parametrize("network", ["ipv4", "dualstack"])
def test_if_the_endpoint_is_all_that_is_called_https_goes_to_it_only(
    more: dict[str, str], target: str, network: str
) -> None:
    """Else to AWS, wherever that is."""
    rules = ways_out(CreateSecretsManagerEndpoint="true", IpAddressType=network, **more)
    expected = {target, "::/0"} if network == "dualstack" and target == "0.0.0.0/0" else {target}
    assert {target for _, port, target in rules if port == 443} == expected


def test_outside_a_vpc_there_is_nothing_of_a_network() -> None:
    """Nor does a function say anything about one."""
    stack = deployed()
    assert not [name for name, resource in stack.resources.items() if resource["Type"].startswith("AWS::EC2::")]
    assert not [name for name in stack.of_type("AWS::Lambda::Function") if "VpcConfig" in stack.properties(name)]


def test_the_network_is_made_if_there_is_none() -> None:
    """Its own security group, and the endpoints, which the functions call by their own names."""
    stack = deployed(
        VpcId="vpc-1",
        VpcSubnetIds="subnet-1,subnet-2",
        CreateSecretsManagerEndpoint="true",
        CreateRdsEndpoint="true",
        CreateEventsEndpoint="true",
        IpAddressType="dualstack",
        AttachTagKey="secret-rotation",
        RotateAllBucket="plans",
    )
    assert stack.properties("PostgreSqlFunction")["VpcConfig"] == {
        "SubnetIds": ["subnet-1", "subnet-2"],
        "SecurityGroupIds": [stack.resolver.name("FunctionSecurityGroup")],
        "Ipv6AllowedForDualStack": True,
    }
    environment = stack.environment("PostgreSqlFunction")
    for variable, (name, service) in {
        "SECRETS_MANAGER_ENDPOINT": ("SecretsManagerEndpoint", "secretsmanager"),
        "RDS_ENDPOINT": ("RdsEndpoint", "rds"),
        "EVENTS_ENDPOINT": ("EventsEndpoint", "events"),
    }.items():
        endpoint = stack.properties(name)
        assert endpoint["ServiceName"] == f"com.amazonaws.{REGION}.{service}"
        assert endpoint["PrivateDnsEnabled"] is False
        assert endpoint["IpAddressType"] == "dualstack"
        assert environment[variable] == f"https://rotation-{name.lower()}.vpce.amazonaws.com"
    assert {stack.environment(name)["SECRETS_MANAGER_ENDPOINT"] for name in WATCH} == {""}


@pytest.mark.parametrize("groups", ["", "sg-1,sg-2"])
def test_only_the_functions_get_into_the_endpoints(groups: str) -> None:
    """By their group, and by the roles that they have or assume; and nothing gets out."""
    role = "arn:aws:iam::210987654321:role/rotation"
    stack = deployed(
        VpcId="vpc-1",
        VpcSubnetIds="subnet-1",
        VpcSecurityGroupIds=groups,
        CreateSecretsManagerEndpoint="true",
        CreateRdsEndpoint="true",
        CreateEventsEndpoint="true",
        EventBusName="default",
        SecretRoleArns=role,
        DeployOracle="false",
    )
    group = stack.properties("EndpointSecurityGroup")
    assert "SecurityGroupIngress" not in group
    assert [rule["CidrIp"] for rule in group["SecurityGroupEgress"]] == ["127.0.0.1/32"]
    [rule] = [stack.properties(name) for name in stack.of_type("AWS::EC2::SecurityGroupIngress")]
    assert (rule["GroupId"], rule["FromPort"]) == (stack.resolver.name("EndpointSecurityGroup"), 443)
    own = stack.resolver.name("FunctionSecurityGroup") if not groups else "sg-1"
    assert rule["SourceSecurityGroupId"] == own
    roles = {stack.resolver.arn(f"{engine}Role") for engine in ENGINES if engine != "Oracle"}
    for name in ("SecretsManagerEndpoint", "RdsEndpoint"):
        statements = stack.properties(name)["PolicyDocument"]["Statement"]
        let_in = [arn for one in statements for arn in as_list(one["Condition"]["ArnEquals"]["aws:PrincipalArn"])]
        assert set(let_in) == {*roles, role}
    [statement] = stack.properties("EventsEndpoint")["PolicyDocument"]["Statement"]  # events are put in no other role
    assert set(statement["Condition"]["ArnEquals"]["aws:PrincipalArn"]) == roles
    assert statement["Resource"] == f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"


@pytest.mark.parametrize("where", ["outside-vpc", "in-vpc", "none"])
def test_the_watch_runs_where_it_was_asked_to(where: str) -> None:
    """In the functions' subnets with what that needs, or outside; or nothing is there of it."""
    stack = deployed(
        VpcId="vpc-1",
        VpcSubnetIds="subnet-1",
        CreateSecretsManagerEndpoint="true",
        WatchFunctions=where,
        AttachTagKey="secret-rotation",
        RotateAllBucket="plans",
        PostgreSqlSecretArns=f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:one-AbCdEf",
    )
    made = {name for name in WATCH if name in stack.resources}
    assert made == (set() if where == "none" else set(WATCH))
    configurations = [stack.properties(name).get("VpcConfig") for name in made]
    rotating = stack.properties("PostgreSqlFunction")["VpcConfig"]
    assert all(each == (rotating if where == "in-vpc" else None) for each in configurations)
    assert {stack.environment(name)["SECRETS_MANAGER_ENDPOINT"] for name in made} <= {""}
    if made:
        request = Request("ec2:CreateNetworkInterface", "*", {"lambda:sourcefunctionarn": None})
        assert stack.roles["WatchRole"].allows(request) is (where == "in-vpc")
    for name, resource in stack.resources.items():
        stack.properties(name)  # nothing refers to what is not there
        stack.resolver.resolve(resource.get("Metadata", {}).get("After"))


def test_security_groups_that_were_given_are_used() -> None:
    """No other is made, and the first of them is the source of the databases' rule."""
    stack = deployed(
        VpcId="vpc-1",
        VpcSubnetIds="subnet-1",
        VpcSecurityGroupIds="sg-1,sg-2",
        DatabaseSecurityGroups="sg-0d:5432",
    )
    assert stack.of_type("AWS::EC2::SecurityGroup") == []
    assert stack.of_type("AWS::EC2::SecurityGroupEgress") == []
    assert stack.properties("PostgreSqlFunction")["VpcConfig"]["SecurityGroupIds"] == ["sg-1", "sg-2"]
    [rule] = [stack.properties(name) for name in stack.of_type("AWS::EC2::SecurityGroupIngress")]
    assert (rule["GroupId"], rule["SourceSecurityGroupId"]) == ("sg-0d", "sg-1")
    output = TEMPLATE["Outputs"]["SecurityGroupId"]["Value"]
    assert stack.resolver.resolve(output) == "sg-1"


def test_functions_have_the_prefix_that_was_asked_for(engine: str) -> None:
    """The function, the secrets that it may rotate, and the watch, all by that name; it fits into 64 characters."""
    prefix = "a" * 53
    stack = deployed(NamePrefix=prefix)
    name = f"{prefix}-{engine}"
    assert stack.properties(f"{engine}Function")["FunctionName"] == name
    assert len(name) <= 64
    [statement] = stack.properties(f"{engine}Role")["Policies"][0]["PolicyDocument"]["Statement"]
    condition = statement["Condition"]["StringEquals"]
    arn = stack.resolver.arn(f"{engine}Function")
    assert condition == {"secretsmanager:resource/AllowRotationLambdaArn": arn}
    assert arn.startswith(stack.environment("OverdueFunction")["ROTATION_FUNCTION_PREFIX"])


def test_in_another_partition_everything_is_called_as_there() -> None:
    """ARNs, the service that keys are used through, and the endpoints' services have other names in China."""
    stack = Stack.deploy(
        SOURCE,
        name="rotation",
        region="cn-north-1",
        account_id=ACCOUNT,
        parameters={
            "AWS::Partition": "aws-cn",
            "AWS::URLSuffix": "amazonaws.com.cn",
            "KmsKeyArns": "key-1",
            "DescribeDatabases": "true",
            "VpcId": "vpc-1",
            "VpcSubnetIds": "subnet-1",
            "CreateSecretsManagerEndpoint": "true",
            "CreateRdsEndpoint": "true",
        },
    )
    everything = json.dumps([stack.properties(name) for name in stack.resources])
    assert "arn:aws:" not in everything
    [keys] = statements(stack)["UseKeys"]
    assert keys["Condition"]["StringEquals"]["kms:ViaService"] == "secretsmanager.cn-north-1.amazonaws.com.cn"
    assert stack.properties("SecretsManagerEndpoint")["ServiceName"] == "com.amazonaws.cn-north-1.secretsmanager"
    assert stack.properties("RdsEndpoint")["ServiceName"] == "cn.com.amazonaws.cn-north-1.rds"
    assert stack.environment("GuardFunction")["URL_SUFFIX"] == "amazonaws.com.cn"


# ------------------------------------------------------------------------------------------------------- operations


def test_logs_do_not_stay_for_ever_but_outlive_the_stack() -> None:
    """All functions write into one group, with the retention and the key that were asked for."""
    stack = deployed(LogRetentionDays="30", LogKmsKeyArn="key-1")
    assert stack.properties("LogGroup") == {"RetentionInDays": "30", "KmsKeyId": "key-1"}
    assert stack.resources["LogGroup"]["DeletionPolicy"] == "RetainExceptOnCreate"
    for name in stack.of_type("AWS::Lambda::Function"):
        assert stack.properties(name)["LoggingConfig"] == {"LogGroup": stack.resolver.name("LogGroup")}


@pytest.mark.parametrize("own", [True, False])
def test_alarms_and_failed_rotations_are_told_to_one_topic(*, own: bool) -> None:
    """The stack's own, or the one that was given."""
    stack = deployed(**{} if own else {"AlarmTopicArn": "arn:topic"})
    topic = stack.resolver.arn("AlarmTopic") if own else "arn:topic"
    alarms = stack.of_type("AWS::CloudWatch::Alarm")
    assert len(alarms) == len(ENGINES) + 3
    for name in alarms:
        assert stack.properties(name)["AlarmActions"] == [topic]
    [target] = stack.properties("RotationFailedRule")["Targets"]
    assert target["Arn"] == topic
    assert (stack.of_type("AWS::SNS::Topic") == ["AlarmTopic"]) == own


def test_metrics_are_those_that_the_code_writes() -> None:
    """Alarms and dashboard ask for names and dimensions that exist; CloudWatch shows nothing where they do not."""
    stack = deployed()
    widgets = json.loads(stack.properties("Dashboard")["DashboardBody"])["widgets"]
    metrics = [metric for widget in widgets for metric in widget["properties"].get("metrics", [])]
    names = {metric[1] for metric in metrics}
    counts = {"SecretsOff", "SecretsFailed", "SecretsOverdue"}
    assert names == {"StepDuration", "RotationFinished", "SecretsAttached", "DaysSinceRotation", *counts}
    assert [name for name in names if f'"{name}"' not in CODE] == []
    alarms = [stack.properties(name) for name in ("OverdueAlarm", "SecretsOffAlarm", "SecretsFailedAlarm")]
    assert {alarm["MetricName"] for alarm in alarms} == counts
    for alarm in alarms:
        assert alarm["Dimensions"] == [{"Name": "service", "Value": "rotation"}]


def kind_of(engine: str) -> EngineKind:
    """Return what the code says of an engine of the template."""
    kind = importlib.import_module(f"rotation.engines.{engine.lower()}.kind").KIND
    assert isinstance(kind, EngineKind)
    return kind


def test_the_dashboard_shows_every_engine_and_asks_for_no_metrics_by_search() -> None:
    """CloudWatch's SEARCH finds only metrics that were written within two weeks: a rotation can be older."""
    text = deployed().properties("Dashboard")["DashboardBody"]
    assert "SEARCH(" not in text
    metrics = [metric for widget in json.loads(text)["widgets"] for metric in widget["properties"].get("metrics", [])]
    for name in ("RotationFinished", "StepDuration"):
        assert [metric[3] for metric in metrics if name in metric] == [kind_of(engine).name for engine in ENGINES]


def test_the_watch_runs_in_the_first_minute_of_each_quarter_of_an_hour() -> None:
    """Its code tells from the clock what it said before."""
    schedule = deployed().properties("OverdueSchedule")["ScheduleExpression"]
    assert schedule == "cron(0/15 * * * ? *)"
    assert timedelta(minutes=15) == INTERVAL


def test_code_signing_boundary_and_concurrency_reach_what_they_are_for() -> None:
    """Every function is signed, every role is bounded; concurrency is set aside for the engines."""
    stack = deployed(
        CodeSigningConfigArn="csc",
        PermissionsBoundaryArn="boundary",
        ReservedConcurrency="2",
        AttachTagKey="secret-rotation",
        RotateAllBucket="plans",
    )
    functions = stack.of_type("AWS::Lambda::Function")
    assert len(functions) == len(FUNCTIONS) + len(WATCH)
    assert {stack.properties(name)["CodeSigningConfigArn"] for name in functions} == {"csc"}
    assert {stack.properties(name)["PermissionsBoundary"] for name in stack.of_type("AWS::IAM::Role")} == {"boundary"}
    assert {stack.properties(name)["ReservedConcurrentExecutions"] for name in FUNCTIONS} == {"2"}


# ------------------------------------------------------------------------------------------------------- tags


def test_without_a_key_there_is_nothing_that_attaches_by_tag() -> None:
    """Neither a function nor a role; what may do what is asked in tests/service/test_by_tag.py."""
    more = set(deployed(AttachTagKey="secret-rotation").resources) - set(deployed().resources)
    assert {name for name in TEMPLATE["Resources"] if name.startswith(("Attach", "Engine"))} == more


def test_without_a_bucket_there_is_nothing_that_rotates_many_secrets() -> None:
    """What may do what is asked in tests/service/test_rotate_all.py."""
    more = set(deployed(RotateAllBucket="plans").resources) - set(deployed().resources)
    assert {name for name in TEMPLATE["Resources"] if name.startswith("RotateAll")} == more


def test_many_secrets_of_another_stack_cannot_be_rotated() -> None:
    """Its name begins like this one's."""
    stack = deployed(RotateAllBucket="plans")
    for name, action in {"RotateAllMachineRole": "RotateSecret", "RotateAllRole": "DescribeSecret"}.items():
        for function, may in {"rotation-MySql": True, "rotation-production-MySql": False, "other-MySql": False}.items():
            arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"
            context = {"secretsmanager:resource/AllowRotationLambdaArn": arn}
            secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:one-AbCdEf"
            assert stack.roles[name].allows(Request(f"secretsmanager:{action}", secret, context)) is may


def test_the_function_that_attaches_knows_each_engine_that_is_deployed() -> None:
    """By the tag's value; an engine that is not deployed has no function there."""
    stack = deployed(AttachTagKey="secret-rotation", DeployOracle="false")
    environment = stack.environment("AttachFunction")
    assert set(VARIABLES) == {engine.lower() for engine in ENGINES}
    for engine in ENGINES:
        expected = "" if engine == "Oracle" else stack.resolver.arn(f"{engine}Function")
        assert environment[VARIABLES[engine.lower()]] == expected
    assert (environment["ATTACH_TAG_KEY"], environment["ATTACH_SCHEDULE"]) == ("secret-rotation", "rate(30 days)")


def test_runs_that_attach_do_not_start_each_other_and_do_not_overlap() -> None:
    """The function writes tags; CloudTrail's events about these would invoke it for ever."""
    stack = deployed(AttachTagKey="secret-rotation")
    detail = stack.properties("AttachRule")["EventPattern"]["detail"]
    arns = [one["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] for one in detail["$or"]]
    assert arns == [[{"exists": False}], [{"anything-but": [stack.resolver.arn("AttachRole")]}]]
    assert {"CreateSecret", "TagResource", "UntagResource"} <= set(detail["eventName"])
    assert stack.properties("AttachFunction")["ReservedConcurrentExecutions"] == 1
    for rule in ("AttachRule", "AttachSchedule"):
        [target] = stack.properties(rule)["Targets"]
        assert target["Arn"] == stack.resolver.arn("AttachFunction")
        permission = stack.properties(f"{rule}Permission")
        assert (permission["Principal"], permission["SourceArn"]) == ("events.amazonaws.com", stack.resolver.arn(rule))


def test_what_cannot_be_attached_sets_off_an_alarm() -> None:
    """By a metric that the code writes."""
    alarm = deployed(AttachTagKey="secret-rotation").properties("AttachAlarm")
    assert f'"{alarm["MetricName"]}"' in CODE
    assert alarm["Dimensions"] == [{"Name": "service", "Value": "rotation"}]


@pytest.mark.parametrize(("key", "taken"), [("secret-rotation", True), ("", True), ("a b", False), ("aws:x", False)])
def test_the_key_of_the_tag_leaves_room_for_the_others_and_is_no_json(key: str, *, taken: bool) -> None:
    """It stands in the text of a policy; the longest of the other keys has 12 characters more, and AWS takes 128."""
    pattern = TEMPLATE["Parameters"]["AttachTagKey"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, key)) is taken
    assert not [character for character in '"\\${}*?' if re.fullmatch(pattern, f"a{character}")]
    assert not re.fullmatch(pattern, "k" * (129 - len("-immediately")))


# ------------------------------------------------------------------------------------------------------- for its users


def test_parameters_are_grouped_and_say_what_their_defaults_mean() -> None:
    """The console shows every parameter in a group; "empty" and "none" are explained."""
    interface = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [parameter for group in interface["ParameterGroups"] for parameter in group["Parameters"]]
    assert sorted(grouped) == sorted(TEMPLATE["Parameters"])
    for parameter in TEMPLATE["Parameters"].values():
        assert parameter["Default"] != "" or "Empty: " in parameter["Description"]
        assert parameter["Default"] != "none" or '"none": ' in parameter["Description"]


def test_the_parameters_of_passwords_have_the_defaults_of_the_functions() -> None:
    """Only the length is the stack's own, for Oracle; and every engine takes these defaults."""
    stack = deployed()
    for name in template.resources(TEMPLATE, "AWS::Serverless::Function"):
        environment = stack.environment(name)
        groups = ("PASSWORD_", "EXCLUDE_", "REQUIRE_")
        handed_over = {variable for variable in environment if variable.startswith(groups)}
        others = {"PASSWORD_LENGTH", "EXCLUDE_CHARACTERS", "REQUIRE_EACH_INCLUDED_TYPE", "PASSWORD_FORBIDDEN_PARTS"}
        assert handed_over == {*others, *EXCLUDES.values(), *MINIMUMS.values()}
        policy = PasswordPolicy.from_environment(environment, KIND)
        assert policy == PasswordPolicy.from_environment({"PASSWORD_LENGTH": "30"}, KIND)


@pytest.mark.parametrize("environment", ["default", "staging", "production"])
def test_each_environment_builds_and_deploys(environment: str) -> None:
    """It says all that `sam` must be told, and no parameter that the template does not have."""
    tables = CONFIGURATION[environment]
    common = tables["global"]["parameters"]
    assert common["language_extensions"] is True
    assert set(common.get("parameter_overrides", {})) <= set(TEMPLATE["Parameters"])
    assert tables["deploy"]["parameters"]["capabilities"] == ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
    assert len({each["global"]["parameters"]["stack_name"] for each in list(CONFIGURATION.values())[1:]}) == 3


@pytest.mark.parametrize("step", Step)
def test_event_for_each_step(step: Step) -> None:
    """`events/` has a valid event for every step."""
    event = json.loads((CHECKOUT / "events" / f"{step.removesuffix('Secret')}-secret.json").read_text())
    assert RotationEvent.parse(event).step is step
