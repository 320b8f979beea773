"""Do parameters arrive as they were written, and is what cannot work refused with a sentence that says what to change?

SAM's own code asks, writes samconfig.toml and reads it again (tests/local/aws/sam_parameters.py). CloudFormation's
rules are evaluated here (tests/local/aws/refusals.py).
"""

import json
import re
import subprocess
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest

from rotation.passwords import DEFAULT_EXCLUDED
from tests.local import parameter_table
from tests.local.aws import template
from tests.local.aws.refusals import refusals

CHECKOUT = Path(__file__).parents[1]
TEMPLATE = template.load(template.SOURCE)
PARAMETERS = TEMPLATE["Parameters"]
DEFAULTS = {name: str(parameter["Default"]) for name, parameter in PARAMETERS.items()}
LISTS = [name for name, parameter in PARAMETERS.items() if parameter["Type"] == "CommaDelimitedList"]
ENGINES = template.engines()
SAM_PYTHON = CHECKOUT / ".local/sam/bin/python"
SAM_PARAMETERS = CHECKOUT / "tests/local/aws/sam_parameters.py"
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:orders/one-AbCdEf"
ROLE = "arn:aws:iam::210987654321:role/rotation"
IN_VPC = {"VpcId": "vpc-0a", "VpcSubnetIds": "subnet-0a,subnet-0b"}
STRINGS = [name for name, parameter in PARAMETERS.items() if parameter["Type"] == "String"]
CHARACTERS = ["none", "/@\"'\\#", "\"'\\/@", "\\", "a b", "'", 'x"', "\\ \\\"\\'", "", " ", "a,b", "\\\\ '"]
ODD = dict(zip(STRINGS, CHARACTERS, strict=False))
"""Values that a shell, TOML or SAM could change."""
TYPED = ["none", "\"'\\/@", "a b", "'x", 'x"']
"""The same for the questions of --guided; what does not survive there is in docs/parameters.md."""

type Sent = dict[str, str | None]


def in_table(**values: str) -> str:
    """Return a samconfig.toml in the form that docs/parameters.md shows."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    return "\n".join(["version = 0.1", "[default.global.parameters.parameter_overrides]", *lines])


def run(arguments: Sequence[object], text: str = "", directory: Path = CHECKOUT) -> str:
    """Run a program with the Python that has SAM; return what it prints."""
    command = [str(each) for each in (SAM_PYTHON, *arguments)]
    environment = {"SAM_CLI_TELEMETRY": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(  # noqa: S603 - the words are ours
        command, input=text, cwd=directory, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def checkout(folder: Path, configuration: str) -> Path:
    """Return a folder with the template and this samconfig.toml."""
    (folder / "template.yaml").symlink_to(template.SOURCE)
    (folder / "samconfig.toml").write_text(configuration)
    return folder


def examples() -> list[str]:
    """Return each table of parameters that a document has."""
    pages = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
    texts = [block for page in pages for block in re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)]
    return [f"version = 0.1\n{text}" for text in map(textwrap.dedent, texts) if "parameter_overrides]" in text]


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Sent]]:
    """What SAM sends for each way of telling it; none for "the previous value". To start SAM takes its time: once."""
    made = {"made": checkout(tmp_path_factory.mktemp("odd"), in_table(**ODD)), "production": CHECKOUT}
    for name, folder in made.items():
        environment = "default" if name == "made" else name
        text = run([CHECKOUT / "supply/parameters.py", environment], directory=folder)
        (tmp_path_factory.getbasetemp() / f"{name}.yaml").write_text(text)
    mail = {"AlarmEmail": "a@example.com"}
    ways: dict[str, list[tuple[str, object]]] = {
        "defaults": [("guided", {}), ("configured", in_table(**DEFAULTS))],
        "typed": [("guided", {"ExcludeCharacters": value, **mail}) for value in TYPED],
        "written": [("configured", in_table(ExcludeCharacters=value, **mail)) for value in TYPED],
        "lists": [("configured", f'{in_table()}\nVpcSubnetIds = ["subnet-1", " subnet-2", ""]\nKmsKeyArns = []')],
        "nothing": [("configured", "version = 0.1\n[default.global.parameters]\n")],
        "odd": [("configured", in_table(**ODD))],
        "examples": [("configured", text) for text in examples()],
        **{name: [("told", f"file://{tmp_path_factory.getbasetemp() / name}.yaml")] for name in made},
    }
    answers = iter(json.loads(run([SAM_PARAMETERS], json.dumps([way for some in ways.values() for way in some]))))
    return {name: [next(answers) for _ in some] for name, some in ways.items()}


# --------------------------------------------------------------------------------------------------- by way of SAM


def test_every_default_survives_the_questions_and_the_file(sent: dict[str, list[Sent]]) -> None:
    """`sam deploy --guided` with Enter at each question deploys the defaults; so does a file that has them all."""
    assert sent["defaults"] == [DEFAULTS, DEFAULTS]


def test_what_is_excluded_survives(sent: dict[str, list[Sent]]) -> None:
    """Quotes and backslashes arrive as they were typed or written, and no other parameter is lost."""
    for answers in (sent["typed"], sent["written"]):
        assert [answer["ExcludeCharacters"] for answer in answers] == TYPED
        assert {answer["AlarmEmail"] for answer in answers} == {"a@example.com"}


def test_a_list_in_a_table_has_no_empty_entry(sent: dict[str, list[Sent]]) -> None:
    """It can be a list of TOML, of which SAM leaves out what is empty."""
    [answer] = sent["lists"]
    assert (answer["VpcSubnetIds"], answer["KmsKeyArns"]) == ("subnet-1,subnet-2", "")


def test_a_line_that_is_gone_keeps_its_value(sent: dict[str, list[Sent]]) -> None:
    """SAM asks CloudFormation for the previous value of what it is not told."""
    [answer] = sent["nothing"]
    assert set(answer.values()) == {None}


def test_make_deploy_says_every_parameter_as_sam_alone_would(sent: dict[str, list[Sent]]) -> None:
    """What `make deploy` writes, SAM reads as samconfig.toml and the defaults say, whatever characters are in it."""
    [alone], [made], [production] = sent["odd"], sent["made"], sent["production"]
    assert made == {**DEFAULTS, **{name: value for name, value in alone.items() if value is not None}}
    assert production == {**DEFAULTS, "LogRetentionDays": "400"}
    assert "--parameter-overrides file://.aws-sam/parameters.yaml" in (CHECKOUT / "Makefile").read_text()


def test_make_deploy_refuses_a_parameter_that_is_not_there(tmp_path: Path) -> None:
    """Its name is in the error: SAM alone ignores it without a word."""
    folder = checkout(tmp_path, in_table(DatabasePort="5432"))
    with pytest.raises(subprocess.CalledProcessError) as raised:
        run([CHECKOUT / "supply/parameters.py", "default"], directory=folder)
    assert "DatabasePort" in raised.value.stderr


def test_make_deploy_says_which_line_of_samconfig_is_wrong(tmp_path: Path) -> None:
    """A table that a page shows was pasted below the one that is there."""
    table = in_table(DeployDb2="false")
    folder = checkout(tmp_path, f"{table}\n{table.removeprefix('version = 0.1')}")
    with pytest.raises(subprocess.CalledProcessError) as raised:
        run([CHECKOUT / "supply/parameters.py", "default"], directory=folder)
    assert "(at line " in raised.value.stderr
    assert "Traceback" not in raised.value.stderr


def test_the_examples_of_the_documents_are_what_sam_and_cloudformation_take(sent: dict[str, list[Sent]]) -> None:
    """Each example of samconfig.toml, as it stands there."""
    assert sent["examples"]
    for answer in sent["examples"]:
        values = {name: value for name, value in answer.items() if value is not None}
        assert refusals(TEMPLATE, values) == []
    [written] = [answer["ExcludeCharacters"] for answer in sent["examples"] if answer["ExcludeCharacters"]]
    assert f"ExcludeCharacters = '''{written}'''" in parameter_table.PAGE.read_text()


# ------------------------------------------------------------------------------------------- by way of CloudFormation


def test_the_defaults_are_taken_and_empty_is_the_word_for_none() -> None:
    """No list has a default with anything in it, and of the texts only choices, numbers and schedules."""
    assert refusals(TEMPLATE, {}) == []
    assert {DEFAULTS[name] for name in LISTS} == {""}
    assert "none" not in DEFAULTS.values()


@pytest.mark.parametrize("engine", ENGINES)
def test_the_none_of_earlier_versions_is_taken(engine: str) -> None:
    """Stacks that have it need no change."""
    assert refusals(TEMPLATE, {f"{engine}SecretArns": "none", "SecretAccountIds": "none"}) == []


@pytest.mark.parametrize(
    "values",
    [
        *({f"{engine}SecretArns": f"{SECRET},{SECRET}x-AbCdEf"} for engine in ENGINES),
        {"SecretAccountIds": "210987654321, 321098765432", "SecretRoleArns": ROLE},
        {**IN_VPC, "DatabaseSecurityGroups": "sg-0a:5432,sg-0a:3306", "CreateSecretsManagerEndpoint": "true"},
        {**IN_VPC, "CreateRdsEndpoint": "true", "DescribeDatabases": "true", "WatchFunctions": "in-vpc"},
        {**IN_VPC, "CreateEventsEndpoint": "true", "EventBusName": "rotations.of/team_1-a"},
        {"VpcSubnetIds": "subnet-0a", "VpcSecurityGroupIds": "sg-0a", "IpAddressType": "dualstack"},
        {"PasswordLength": "128", "DeployOracle": "false"},
        {"ExcludeNumbers": "true", "PasswordMinimumNumbers": "0", "ExcludeCharacters": "none"},
        {"ReservedConcurrency": "10", "AttachTagKey": "secret-rotation-off-hours"},
        {"NamePrefix": "a" * 53, "WatchFunctions": "none", "AlarmTopicArn": "arn:aws:sns:eu-central-1:1:topic"},
    ],
)
def test_what_can_work_is_taken(values: dict[str, str]) -> None:
    """No rule is too strict."""
    assert refusals(TEMPLATE, values) == []


REFUSED: list[tuple[dict[str, str], str]] = [
    ({f"Deploy{engine}": "false" for engine in ENGINES}, "without an engine"),
    ({"AttachTagKey": "secret-rotation", "WatchFunctions": "none"}, "empty AttachTagKey"),
    ({"RotateAllBucket": "plans", "WatchFunctions": "none"}, "empty RotateAllBucket"),
    *(({f"{engine}SecretArns": SECRET, f"Deploy{engine}": "false"}, f"Empty {engine}SecretArns") for engine in ENGINES),
    *(({f"{engine}SecretArns": f"{SECRET},"}, f"from {engine}SecretArns") for engine in ENGINES),
    *(({f"{engine}SecretArns": f"none,{SECRET}"}, f"from {engine}SecretArns") for engine in ENGINES),
    *(
        ({f"{engine}SecretArns": wrong}, "must have whole ARNs")
        for engine in ENGINES
        for wrong in ("orders", SECRET[:-7])
    ),
    ({"SecretAccountIds": "210987654321,"}, "from SecretAccountIds"),
    ({"SecretAccountIds": "2109"}, "twelve digits"),
    ({**IN_VPC, "DatabaseSecurityGroups": "sg-0a"}, "such as sg-0a1b2c3d:5432"),
    ({**IN_VPC, "DatabaseSecurityGroups": "sg-0a:5432,"}, "from DatabaseSecurityGroups"),
    ({"VpcId": "vpc-0a", "VpcSubnetIds": "subnet-0a,"}, "from VpcSubnetIds"),
    ({"KmsKeyArns": "alias/mine"}, "Aliases"),
    ({"VpcSubnetIds": "subnet-0a"}, "Name the VpcId"),
    ({"VpcId": "vpc-0a"}, "Name VpcSubnetIds, or empty VpcId"),
    ({"VpcSecurityGroupIds": "sg-0a"}, "Name VpcSubnetIds, or empty VpcSecurityGroupIds"),
    ({"DatabaseSecurityGroups": "sg-0a:5432"}, "Name VpcSubnetIds, or empty DatabaseSecurityGroups"),
    ({"WatchFunctions": "in-vpc"}, "set WatchFunctions"),
    ({"IpAddressType": "dualstack"}, "set IpAddressType"),
    ({"CreateSecretsManagerEndpoint": "true"}, "set CreateSecretsManagerEndpoint"),
    ({"CreateRdsEndpoint": "true", "DescribeDatabases": "true"}, "set CreateRdsEndpoint"),
    ({**IN_VPC, "CreateRdsEndpoint": "true"}, "Set DescribeDatabases"),
    ({"CreateEventsEndpoint": "true", "EventBusName": "default"}, "set CreateEventsEndpoint"),
    ({**IN_VPC, "CreateEventsEndpoint": "true"}, "Name a bus in EventBusName"),
    ({"EventBusName": "arn:aws:events:eu-central-1:123456789012:event-bus/default"}, "An ARN does not work"),
    ({"AlarmTopicArn": "arn:topic", "AlarmEmail": "a@example.com"}, "Empty AlarmEmail"),
    ({"PasswordLength": "31"}, "at most 30"),
    ({"PasswordLength": "7"}, "PasswordLength"),
    ({f"Exclude{each}": "true" for each in ("Lowercase", "Uppercase", "Numbers", "Punctuation")}, "needs characters"),
    *(
        ({f"Exclude{each}": "true", f"PasswordMinimum{each}": "1"}, f"Empty PasswordMinimum{each}")
        for each in ("Lowercase", "Uppercase", "Numbers", "Punctuation")
    ),
    ({"NamePrefix": "a" * 54}, "53"),
    ({"ReservedConcurrency": "0"}, "no rotation could run"),
    *(({"AttachTagKey": key}, "mean something else") for key in ("secret-rotation-off", "team-attached")),
]


@pytest.mark.parametrize(("values", "words"), REFUSED, ids=str)
def test_what_cannot_work_is_refused_in_words(values: dict[str, str], words: str) -> None:
    """One sentence at least says what to change."""
    assert [sentence for sentence in refusals(TEMPLATE, values) if words in sentence]


def test_every_list_refuses_an_empty_entry() -> None:
    """A comma too many makes nothing of no name."""
    for name in LISTS:
        said = refusals(TEMPLATE, {**IN_VPC, name: "x,"})
        assert [sentence for sentence in said if f"from {name}." in sentence], name


def test_every_sentence_can_be_met() -> None:
    """No rule is there that nothing breaks."""
    said = {sentence for values, _ in REFUSED for sentence in refusals(TEMPLATE, values)}
    rules = [assertion["AssertDescription"] for rule in TEMPLATE["Rules"].values() for assertion in rule["Assertions"]]
    assert [sentence for sentence in rules if sentence not in said and "a comma too many) from" not in sentence] == []


# ------------------------------------------------------------------------------------------------------- the document


def test_the_page_of_parameters_is_the_templates() -> None:
    """If not: .local/python/bin/python -m tests.local.parameter_table."""
    text = parameter_table.PAGE.read_text()
    assert parameter_table.page(text) == text


def test_the_excluded_characters_are_those_that_the_description_names() -> None:
    """Empty stands for the functions' default."""
    [_, names] = PARAMETERS["ExcludeCharacters"]["Description"].split("Empty: ")
    assert all(character in names or character == "\\" for character in DEFAULT_EXCLUDED)
    assert "the backslash" in names
