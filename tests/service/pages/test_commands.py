"""Does each block of README.md and docs/ do what it says, if somebody pastes it as it stands?

A page's commands run one after the other in one shell, with AWS's own command line, against the laptop-sized AWS and a
real PostgreSQL; after each page an application must be able to log in. SQL runs on real servers. JSON, TOML and YAML
are compared with the template. A block that nothing runs is in NOT_RUN, with the reason: a new block that is in no
table and does not work fails. docs/runbook.md has a test of its own, beside this one.
"""

import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from operations import rotate_all
from rotation.kind import Strategy
from tests.documents import Block, blocks
from tests.laboratories import Laboratory, new_password
from tests.laboratories.postgresql import OLDER
from tests.local.aws import template
from tests.local.aws.iam import Statement
from tests.service.pages.reader import CHECKOUT, SECRET, SINGLE, World, engine_of

DOCUMENTS = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
PAGES = {str(path.relative_to(CHECKOUT)): blocks(path) for path in DOCUMENTS}
TEXTS = {name: (CHECKOUT / name).read_text() for name in [*PAGES, "CONTRIBUTING.md", "SECURITY.md"]}
TEMPLATE = template.load(template.SOURCE)
MAKEFILE = (CHECKOUT / "Makefile").read_text()

NO_CONTAINERS = "needs a container engine; the page says that it was not run"
NO_ACCOUNT = "needs an account of AWS; tests/e2e/test_deploy.py deploys into MiniStack"
NOT_RUN = {
    "template.yaml             every resource": "a tree of folders",
    "make                list the tasks": "a list, each with what it does; its tasks are looked up",
    "tests/local/containers/oracle.sh": NO_CONTAINERS,
    "tests/local/containers/sqlserver.sh": NO_CONTAINERS,
    "tests/local/containers/db2.sh": NO_CONTAINERS,
    "make deployer > deployer.json": f"{NO_ACCOUNT}; tests/supply/test_deployer.py reads the role",
    "export AWS_PROFILE=platform": "names a profile of the reader",
    "secret=$(.local/python/bin/aws": "tests/e2e/test_operations.py pastes it",
    ".local/postgresql/18.*/bin/psql": "tests/e2e/test_operations.py pastes it",
    ".local/python/bin/python -m tests.local.demo.web.picture": "needs Chromium, as the thorough tests of the page do",
    "aws cloudformation deploy --stack-name restart-orders": "tests/e2e/test_events.py deploys it into MiniStack",
    "python -m tests.model.guards": "eight minutes; the page's table is its result",
    "make rotate-all": "needs a state machine, which tests/service/test_rotate_all.py plays; its options are read",
    "make uninstall STACK=secret-rotation": "tests/e2e/test_deploy.py runs it, on MiniStack",
}
"""How a block begins that no test runs, and why."""

NO_COMMANDS = {"text": "what a command printed", "mermaid": "a graph"}
TASKS = {
    "demo": "tests/e2e/test_demo.py",
    "test": "that is this run",
    "test-all": "hours",
    "faults": "hours; its sample is tests/faults/test_killed.py",
    "bench": "half an hour; its sample is tests/bench/test_bench.py",
    "package": "tests/supply/test_package.py",
    "deployer": "tests/supply/test_deployer.py",
    "renew": "asks the package registries for the newest versions",
    "deploy": NO_ACCOUNT,
}
"""The tasks that a page's commands have and that are only looked up here, and what runs them, or why nothing does."""
OPERATIONS = {"attach", "doctor", "preflight", "rotate", "rotate-all"}
"""The tasks that are run here."""

NO_SERVER = "there is no server here, only a stand-in of ours, which would agree with us"
SQL_NOT_RUN = {"oracle": NO_SERVER, "sqlserver": NO_SERVER, "db2": NO_SERVER}

ROTATES = {
    "README.md",
    "docs/getting-started.md",
    "docs/other-accounts.md",
    "docs/rotating.md",
    "docs/when-a-step-fails.md",
}
"""The pages after whose commands the application has another password."""


def commands(page: str) -> list[Block]:
    """Return the blocks of a page that are run here."""
    return [block for block in PAGES[page] if block.language in {"", "sh"} and not _reason(block)]


def _reason(block: Block) -> str | None:
    return next((reason for beginning, reason in NOT_RUN.items() if block.text.startswith(beginning)), None)


RUN_HERE = [page for page in PAGES if page != "docs/runbook.md" and commands(page)]


@pytest.fixture
def world(world: World) -> Iterator[World]:
    """Everything, with the table of getting-started.md's example."""
    with world.session(None) as run:
        run("CREATE TABLE orders ()")
        run("GRANT SELECT ON orders TO orders")
        yield world
        run("DROP TABLE orders")


def _new_secret(world: World) -> None:
    """Write the example of getting-started.md into a file, with the reader's own server."""
    example, *_ = [block.text for block in PAGES["docs/getting-started.md"] if block.language == "json"]
    world.client.delete_secret(SecretId=SECRET, ForceDeleteWithoutRecovery=True)
    own = {
        **json.loads(world.terminal.replaced(example)),
        "port": world.user.port,
        "dbname": world.user.database,
        "password": world.user.password,
    }
    (world.terminal.folder / "secret.json").write_text(json.dumps(own))


def _function(world: World) -> None:
    """Let the shell know `$function`, which the pages take from getting-started.md."""
    world.terminal.run(f"function={world.function}")


def _package(world: World) -> None:
    """Have a bucket, and a package."""
    folder = world.terminal.folder / ".aws-sam/package"
    folder.mkdir(parents=True)
    (folder / "template.json").write_text(
        '{"Parameters": {"ArtifactBucket": {"Type": "String"}, "ArtifactPrefix": {"Type": "String"}}, "Resources": {}}'
    )
    world.terminal.run("aws s3 mb s3://artifacts-eu-central-1")
    world.terminal.replacing = {**world.terminal.replacing, "--stack-name secret-rotation ": "--stack-name packaged "}


def _stuck(world: World) -> None:
    """Have a rotation that was given up."""
    world.interrupt_before_finishing()


def _moved_too_early(world: World) -> None:
    """Name the versions."""
    world.rotate()
    of = {label: version for version, labels in world.described()["VersionIdsToStages"].items() for label in labels}
    ids = {f"id of {label}": of[label] for label in ("AWSPREVIOUS", "AWSCURRENT")}
    world.terminal.replacing = {**world.terminal.replacing, "--secret-id …": f"--secret-id {SECRET}", **ids}


def _laptop(world: World) -> None:
    """Take the names of this laptop."""
    names = {"demo/shop": SECRET, "demo/billing": SECRET}
    world.terminal.replacing = {**world.terminal.replacing, **names}


PREPARED: dict[str, Callable[[World], None]] = {
    "README.md": _new_secret,
    "docs/getting-started.md": _new_secret,
    "docs/moving.md": _function,
    "docs/other-accounts.md": _function,
    "docs/deploying.md": _package,
    "docs/when-a-step-fails.md": _stuck,
    "docs/decisions/finish-secret.md": _moved_too_early,
    "docs/rotating.md": _laptop,
}
"""What a reader has when they come to a page's commands."""


@pytest.mark.thorough(postgresql=OLDER)
@pytest.mark.parametrize("page", RUN_HERE)
def test_each_command_of_a_page_works(world: World, page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOW_DOCTOR_REPAIR", "true")
    world.prepare()
    world.terminal.replacing = {
        **world.terminal.replacing,
        "arn:aws:lambda:eu-west-1:123456789012:function:secret-rotation-PostgreSql": world.function,
    }
    if page in PREPARED:
        PREPARED[page](world)
    for block in commands(page):
        world.terminal.run(block.text, answers="yes\nyes\n")
    if page == "docs/decisions/finish-secret.md":
        return  # its command is for a case in which AWSCURRENT does not log in
    assert world.application_logs_in()
    is_rotated = world.read() != world.user
    assert is_rotated is (page in ROTATES)


@pytest.mark.thorough(postgresql=OLDER)
def test_each_command_of_aws_in_a_sentence_works(world: World) -> None:
    world.prepare()
    world.terminal.replacing = {"--stack-name secret-rotation": "--stack-name another"}  # one deletes it
    found = re.findall(r"`(aws [a-z0-9-]+ [a-z-]+ --[^`…]+)`", "\n".join(TEXTS.values()))
    for command in sorted({one for one in found if " OTHER " not in one}):
        world.terminal.run(command)


@pytest.mark.newest
@pytest.mark.real_servers
@pytest.mark.strategies(SINGLE)
def test_the_statements_of_the_pages_work(
    new_world: Callable[[Laboratory], World], every_laboratory: Laboratory, strategy: Strategy, *, through_admin: bool
) -> None:
    assert (strategy, through_admin) == (SINGLE, False)
    world, password = new_world(every_laboratory), new_password()
    every_laboratory.new_user("orders_clone", new_password())
    own = [block for page in PAGES for block in PAGES[page] if page != "docs/runbook.md" and _is_for(block, world)]
    assert own
    with world.session(None) as run:
        try:
            for block in own:
                for statement in _statements(block.text.replace("…", password)):
                    run(statement)
        finally:
            for name in ("rotator", "orders_owner"):
                with suppress(Exception):  # each client has errors of its own, and not all pages make both
                    run(f"DROP OWNED BY {name}")
                with suppress(Exception):
                    run(f"DROP USER {name}")


def _is_for(block: Block, world: World) -> bool:
    return block.language == "sql" and engine_of(world.laboratory) in block.engines


def _statements(text: str) -> Iterator[str]:
    plain = re.sub(r"--.*", "", text)
    yield from (statement.strip() for statement in plain.split(";") if statement.strip())


def test_every_block_has_a_test_or_a_reason() -> None:
    found = [block for own in PAGES.values() for block in own]
    beginnings = [block.text for block in found]
    assert [one for one in NOT_RUN if not any(text.startswith(one) for text in beginnings)] == []
    known = {"", "sh", "sql", "json", "toml", "yaml", *NO_COMMANDS}
    assert [str(block) for block in found if block.language not in known] == []
    engines = {"postgresql", "mysql", "mariadb", *SQL_NOT_RUN}
    sql = [block for block in found if block.language == "sql"]
    assert [str(block) for block in sql if not block.engines or block.engines - engines] == []


def _made(page: str) -> list[list[str]]:
    """Return the words after `make`, in a page's blocks and in the middle of a sentence."""
    inline = re.findall(r"`make ([^`\n]+)`", TEXTS[page])
    lines = [line for block in blocks(CHECKOUT / page) for line in _tasks(block)]
    return [shlex.split(re.split(r" {2,}| > ", line)[0], comments=True) for line in (*inline, *lines)]


def _tasks(block: Block) -> list[str]:
    return re.findall(r"^ *make (\S.*)$", block.text, re.MULTILINE)


@pytest.mark.parametrize("page", TEXTS)
def test_each_task_of_make_is_there_with_its_variables(page: str) -> None:
    tasks = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)) | {".local/uv/.complete"}
    variables = {*re.findall(r"^([A-Z_]+) \?=", MAKEFILE, re.MULTILINE), "PYTHON"}
    wrong = [
        shlex.join(words)
        for words in _made(page)
        if {word.partition("=")[0] for word in words if "=" in word} - variables
        or {word for word in words if "=" not in word and word != "…"} - tasks
    ]
    assert wrong == []


def test_each_task_in_a_block_is_run_or_has_a_reason() -> None:
    tasks = {task.split()[0] for page in PAGES for block in commands(page) for task in _tasks(block)}
    assert tasks <= TASKS.keys() | OPERATIONS
    assert {task for task in TASKS if not re.search(rf"^{task}:", MAKEFILE, re.MULTILINE)} == set()


@pytest.mark.parametrize("page", [page for page in PAGES if "OutputKey==" in TEXTS[page]])
def test_each_output_of_the_stack_is_there(page: str) -> None:
    outputs = TEMPLATE["Outputs"].keys()
    assert set(re.findall(r"OutputKey=='(\w+)'", TEXTS[page])) <= outputs


def test_the_options_of_rotate_all_are_there() -> None:
    made = [words for page in TEXTS for words in _made(page) if words[0] == "rotate-all"]
    options = [word.partition("=")[2] for words in made for word in words if word.startswith("OPERATION_ARGS=")]
    assert len(options) > 1
    for option in options:
        rotate_all.parsed(shlex.split(option))


def of(language: str) -> list[Any]:
    """Return the blocks of a language, each with its place."""
    return [
        pytest.param(block, id=f"{page}:{block.line}")
        for page, own in PAGES.items()
        for block in own
        if block.language == language
    ]


@pytest.mark.parametrize("block", of("json"))
def test_json_can_be_read_and_policies_are_what_iam_knows(block: Block) -> None:
    said = json.loads(block.text)
    for number, statement in enumerate(said.get("Statement", [said] if "Effect" in said else [])):
        trusted = {"Resource": "*"} if statement.pop("Principal", None) else {}
        Statement.parse({"Sid": str(number), **trusted, **statement})


@pytest.mark.parametrize("block", of("toml"))
def test_toml_names_parameters_of_the_template(block: Block) -> None:
    said = tomllib.loads(block.text)
    while "default" in said or "global" in said or "parameters" in said or "parameter_overrides" in said:
        said = next(said[key] for key in ("default", "global", "parameters", "parameter_overrides") if key in said)
    assert said.keys() <= TEMPLATE["Parameters"].keys()


@pytest.mark.thorough
@pytest.mark.parametrize("block", of("yaml"))
def test_yaml_passes_cfn_lint(block: Block, tmp_path: Path) -> None:
    others = (
        "Resources:\n  OrdersSecret:\n    Type: AWS::SecretsManager::Secret\n"
        "  OrdersDatabase:\n    Type: AWS::RDS::DBInstance\n"
        "    Properties: {DBInstanceClass: db.t4g.micro, Engine: postgres, AllocatedStorage: '20', "
        "ManageMasterUserPassword: true, MasterUsername: postgres, StorageEncrypted: true}\n"
    )
    file = tmp_path / "template.yaml"
    file.write_text(f"AWSTemplateFormatVersion: '2010-09-09'\n{others}{block.text}\n")
    lint = [str(CHECKOUT / ".local/sam/bin/cfn-lint"), "--ignore-checks", "I", "W3011", "--", str(file)]
    done = subprocess.run(lint, capture_output=True, text=True, check=False)  # noqa: S603 - the words are ours
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", of("yaml"))
def test_yaml_imports_what_the_template_exports(block: Block, tmp_path: Path) -> None:
    (tmp_path / "snippet.yaml").write_text(block.text)
    assert all(one["Type"].startswith("AWS::") for one in template.load(tmp_path / "snippet.yaml").values())
    exported = {str(one["Export"]["Name"]["Fn::Sub"]) for one in TEMPLATE["Outputs"].values() if "Export" in one}
    imported = {f"${{AWS::StackName}}-{name}" for name in re.findall(r"!ImportValue secret-rotation-(\w+)", block.text)}
    assert imported <= exported
