"""Does each procedure of docs/runbook.md do what it says, if somebody pastes its commands?

A test walks through a section: `step` runs the section's next block as it stands in the page, and the test asserts what
the page says that holds after it. A block that nobody runs is in NOT_RUN, with the reason.
"""

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import psycopg2
import pytest

from rotation.credential import Credential
from rotation.kind import Strategy
from rotation.lambda_handler import rotation_handler
from tests import documents, servers
from tests.laboratories import ORDERS, Laboratory, Run, new_password
from tests.laboratories.postgresql import OLDER, PostgreSQLLaboratory
from tests.local.aws.secrets_manager import REGION, LocalSecretsManager
from tests.local.forked_commands import serving
from tests.service.test_preflight import InvokedContext

PAGE = documents.blocks(Path(__file__).parents[2] / "docs/runbook.md")
SECRET, ADMIN = "orders/postgresql", "orders/admin"
STACK, OTHER_STACK, OTHER_REGION = "secret-rotation", "other-rotation", "eu-central-1"
EDITING, ALARM = "edit-a-secret", "an-alarm-came"
LEAK, SNAPSHOT, REGIONS = "a-leak-rotate-everything-now", "a-restored-snapshot", "failover-to-another-region"
BLUE_GREEN, MOVING, EMPTYING = "bluegreen-deployments", "moving-from-awss-functions-and-back", "emptying-a-pair"
HANDING_OVER, ADMIN_CHANGED = "handing-a-secret-over", "an-admin-secret-that-changed"
AUTHORITY, BY_HAND = "the-certificate-authority-changes", "set-a-password-by-hand"
AN_ADMIN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:orders/admin-AbCdEf"
PAIR, SINGLE = Strategy.ALTERNATING_USERS, Strategy.SINGLE_USER

NO_SESSIONS = "the stand-in has no view of its sessions"
NOT_RUN = {
    "flowchart TD": "a graph",
    "aws secretsmanager cancel-rotate-secret --region eu-west-1": "the laptop-sized Secrets Manager has one Region",
    "SELECT sid, serial# FROM v$session": NO_SESSIONS,
    "SELECT username, count(*) FROM v$session": NO_SESSIONS,
    "SELECT CONCAT('KILL ', session_id)": NO_SESSIONS,
    "SELECT login_name, count(*) FROM sys.dm_exec_sessions": NO_SESSIONS,
}
"""How a block begins that no test runs, and why. `aws rds` and `aws logs` are checked and not sent: forked_commands."""

EDITOR = f"""#!{sys.executable} -IS
import json, os, sys
value = json.load(open(sys.argv[1]))
value.update(json.loads(os.environ["EDIT"]))
json.dump({{key: one for key, one in value.items() if one is not None}}, open(sys.argv[1], "w"))
"""


class World:
    """A database with a user called orders, its secret, two stacks with a function each, and somebody's terminal."""

    def __init__(self, laboratory: Laboratory, service: LocalSecretsManager, terminal: documents.Terminal) -> None:
        self.laboratory, self.service, self.terminal = laboratory, service, terminal
        self.client = service.client()
        self.function = service.register(f"{STACK}-PostgreSql", lambda event: self.invoked(self.function, event))
        self.other = service.register(f"{OTHER_STACK}-PostgreSql", lambda event: self.invoked(self.other, event))
        self.user = laboratory.new_user("orders", new_password())
        self.runs_as: Credential | None = replace(laboratory.admin, database=self.user.database)
        self.admin_arn = self._store(ADMIN, laboratory.admin, {})
        terminal.replacing = {
            "orders.c1a2b3c4d5e6.eu-west-1.rds.amazonaws.com": self.user.host,
            "orders-restored.c1a2b3c4d5e6.eu-west-1.rds.amazonaws.com": self.user.host,
            "orders.d7e8f9a0b1c2.eu-central-1.rds.amazonaws.com": self.user.host,
            AN_ADMIN: self.admin_arn,
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-orders-AbCdEf": self.admin_arn,
        }

    def prepare(self, strategy: Strategy = SINGLE) -> "World":
        """Store the secret and attach the function, without rotating."""
        fields = {"masterarn": self.admin_arn} if strategy is PAIR else {}
        self._store(SECRET, self.user, {"rotation": {"strategy": strategy}, **fields})
        self.attach(self.function)
        return self

    def attach(self, function: str) -> None:
        """Let the secret choose a function."""
        self.client.rotate_secret(SecretId=SECRET, RotationLambdaARN=function, RotateImmediately=False)

    def rotate(self) -> None:
        """Rotate, and wait."""
        self.client.rotate_secret(SecretId=SECRET)
        self.require_rotated()

    def require_rotated(self) -> None:
        """Require that the last rotation ended well, and that the application logs in."""
        outcome = self.service.wait(SECRET)
        assert outcome.error is None, outcome
        assert self.application_logs_in()

    def invoked(self, function: str, event: dict[str, Any]) -> object:
        """Do what the function does."""
        context = InvokedContext(invoked_function_arn=function)
        return rotation_handler(self.laboratory.engine)(event, context)  # type: ignore[arg-type]

    def read(self, label: str = "AWSCURRENT") -> Credential:
        """Read the secret as an application does."""
        value = self.value(label)
        return replace(self.user, username=value["username"], password=value["password"])

    def value(self, label: str = "AWSCURRENT") -> dict[str, Any]:
        """Return what the secret says."""
        return dict(json.loads(self.client.get_secret_value(SecretId=SECRET, VersionStage=label)["SecretString"]))

    def application_logs_in(self) -> bool:
        """Log in with AWSCURRENT, and read."""
        return self.laboratory.may_read(self.read(), ORDERS)

    def described(self) -> dict[str, Any]:
        """Return what Secrets Manager says of the secret."""
        return dict(self.client.describe_secret(SecretId=SECRET))

    def follow(self, section: str) -> "Procedure":
        """Begin a section of the page."""
        return Procedure(self, [block for block in PAGE if block.section == section])

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement as the admin."""
        if administer := getattr(self.laboratory, "administer", None):
            administer(statement)  # Db2: in a database of its own, and waited for
            return []
        with self.session(self.runs_as) as run:
            return run(statement)

    def session(self, credential: Credential | None) -> AbstractContextManager[Run]:
        """Connect; without a credential, as the superuser."""
        session: Callable[[Credential | None], AbstractContextManager[Run]] = self.laboratory.session  # type: ignore[attr-defined]
        return session(credential)

    def interrupt_before_finishing(self) -> str:
        """Rotate up to testSecret; return the version."""
        self.service.register(f"{STACK}-PostgreSql", self._all_but_the_end)
        self.client.rotate_secret(SecretId=SECRET)
        self.service.register(f"{STACK}-PostgreSql", lambda event: self.invoked(self.function, event))
        stages = self.described()["VersionIdsToStages"]
        return next(str(version) for version, labels in stages.items() if "AWSPENDING" in labels)

    def _all_but_the_end(self, event: dict[str, Any]) -> object:
        if event["Step"] == "finishSecret":
            raise ConnectionError
        return self.invoked(self.function, event)

    def give_up_what_is_pending(self) -> None:
        """Take AWSPENDING off, as the doctor says."""
        for version, labels in self.described()["VersionIdsToStages"].items():
            if "AWSPENDING" in labels and "AWSCURRENT" not in labels:
                self.client.update_secret_version_stage(
                    SecretId=SECRET, VersionStage="AWSPENDING", RemoveFromVersionId=version
                )

    def verifiers(self) -> dict[str, str]:
        """Return what the server keeps of the passwords, as a snapshot does."""
        with self.session(None) as run:
            return dict(run("SELECT rolname, rolpassword FROM pg_authid WHERE rolname LIKE 'orders%'"))

    def restore(self, verifiers: dict[str, str]) -> None:
        """Let the server have these again."""
        with self.session(None) as run:
            for name, verifier in verifiers.items():
                run(f"ALTER ROLE {name} PASSWORD '{verifier}'")

    def be_in_the_region_of_the_replica(self) -> None:
        """Let the secret be a replica of one in another Region."""
        value = json.dumps(self.value())
        self.service.forget()
        self.admin_arn = self._store(ADMIN, self.laboratory.admin, {})
        self.terminal.replacing = {**self.terminal.replacing, AN_ADMIN: self.admin_arn}
        self.service.replicate_here(SECRET, "eu-west-1", {}, value)

    def admin_value(self) -> dict[str, Any]:
        """Return what the admin secret says."""
        return dict(json.loads(self.client.get_secret_value(SecretId=ADMIN)["SecretString"]))

    def _store(self, name: str, credential: Credential, fields: dict[str, object]) -> str:
        value = {
            "engine": credential.engine,
            "host": credential.host,
            "port": credential.port,
            "username": credential.username,
            "password": credential.password,
            "dbname": credential.database or "",
            **fields,
        }
        return str(self.client.create_secret(Name=name, SecretString=json.dumps(value))["ARN"])


@dataclass
class Procedure:
    """A section of the page, and where the reader is in it."""

    world: World
    left: list[documents.Block]

    def step(self, *, answers: str = "yes\n", expecting: int = 0, password: str = "", secret: str = SECRET) -> Any:  # noqa: ANN401 - text or rows
        """Do what the next block says, and return what is to be seen. `password` is what the reader writes for ***."""
        block = self._next()
        text = self.world.terminal.replaced(block.text).replace("***", password)
        match block.language:
            case "sql":
                return [self.world.query(statement) for statement in text.split(";")][-1]
            case "json":
                return self._edit(text, secret)
            case _:
                return self.world.terminal.run(text, answers=answers, expecting=expecting)

    def end(self) -> None:
        """Require that nothing is left."""
        assert [str(block) for block in self.left if self._is_ours(block)] == []

    def _next(self) -> documents.Block:
        while not self._is_ours(block := self.left.pop(0)):
            pass
        return block

    def _is_ours(self, block: documents.Block) -> bool:
        is_for_us = block.language != "sql" or engine_of(self.world.laboratory) in block.engines
        return is_for_us and not block.text.startswith(tuple(NOT_RUN))

    def _edit(self, changes: str, secret: str) -> str:
        [block] = [block for block in PAGE if block.section == EDITING]
        terminal = self.world.terminal
        editor = terminal.folder / "editor"
        editor.write_text(EDITOR)
        editor.chmod(0o755)
        said = terminal.run(f"EDIT={shlex.quote(changes)}; EDITOR={editor}\n{block.text.replace(SECRET, secret)}")
        assert not (terminal.folder / "secret.json").exists()
        return said


def engine_of(laboratory: Laboratory) -> str:
    """Return the word for an engine in the page."""
    return next(name for name, own in servers.SERVERS.items() if own.engine.kind.name == laboratory.engine.kind.name)


@pytest.fixture(scope="module")
def _service() -> Iterator[LocalSecretsManager]:
    with LocalSecretsManager(attempts=1, rotate_before_answering=True) as service:
        for stack, region in ((STACK, REGION), (STACK, OTHER_REGION), (OTHER_STACK, REGION)):
            session = boto3.Session("test", "test", region_name=region)
            cloudformation = session.client("cloudformation", endpoint_url=service.endpoint_url)
            function = f"arn:aws:lambda:{REGION}:{service.account_id}:function:{stack}-PostgreSql"
            outputs = {"PostgreSqlFunctionArn": {"Value": function}, "LogGroupName": {"Value": f"/{stack}"}}
            template = json.dumps({"Resources": {}, "Outputs": outputs})
            cloudformation.create_stack(StackName=stack, TemplateBody=template)
        yield service


@pytest.fixture(scope="module")
def _programs(_service: LocalSecretsManager) -> Iterator[Path]:
    with serving({**os.environ, **_service.environment, "PYTHONPATH": os.pathsep.join(sys.path)}) as programs:
        yield programs


@pytest.fixture
def new_world(
    _service: LocalSecretsManager, _programs: Path, _connected: None, tmp_path: Path
) -> Iterator[Callable[[Laboratory], World]]:
    """Makes a world around a server; its users are gone afterwards."""
    path = os.pathsep.join([str(_programs), os.environ["PATH"]])
    # Who writes a value with this name is no function, and its password no generated one.
    shell = {"PATH": path, "AWS_SDK_UA_APP_ID": "operator", "COLUMNS": "500"}
    environment = {**os.environ, **_service.environment, **shell}
    worlds = []

    def world(laboratory: Laboratory) -> World:
        worlds.append(World(laboratory, _service, documents.Terminal(tmp_path, environment)))
        return worlds[-1]

    yield world
    _service.forget()
    for made in worlds:
        drop_users(made)


def drop_users(world: World) -> None:
    """Remove what the page calls orders and orders_clone, with the page's own statement."""
    [block] = [block for block in statements(EMPTYING, world.laboratory) if re.match("DROP|CALL", block.text)]
    for statement in block.text.split(";"):
        for name in ("orders_clone", "orders"):
            with suppress(Exception):  # it can be gone, and each client has errors of its own
                world.laboratory.forbid(name, ORDERS)
            with suppress(Exception):
                world.query(statement.replace("orders_clone", name))


def statements(section: str, laboratory: Laboratory) -> list[documents.Block]:
    """Return the SQL of a section for an engine."""
    return [block for block in PAGE if block.section == section and engine_of(laboratory) in block.engines]


@pytest.fixture
def world(new_world: Callable[[Laboratory], World], postgresql: PostgreSQLLaboratory) -> World:
    """Everything, around PostgreSQL."""
    return new_world(postgresql)


postgresql_once = pytest.mark.thorough(postgresql=OLDER)
"""A procedure calls AWS; what differs from version to version, the contract tests."""


@postgresql_once
@pytest.mark.parametrize("breaks", ["the editor", "the text", "the terminal", "the name"])
def test_an_edit_that_is_broken_off_writes_nothing_and_leaves_no_file(world: World, breaks: str) -> None:
    """In a shell of somebody's own: it goes on after a command that failed."""
    world.prepare()
    before, terminal = world.described()["VersionIdsToStages"], world.terminal
    [block] = [block for block in PAGE if block.section == EDITING]
    editors = {"the editor": "exit 1", "the text": 'echo , >> "$1"', "the terminal": 'kill -INT "$PPID"; echo > "$1"'}
    editor, left = terminal.folder / "breaking", terminal.folder / "temporary"
    editor.write_text(f"#!/bin/sh\n{editors.get(breaks, 'echo {} > $1')}\n")
    editor.chmod(0o755)
    left.mkdir()
    text = block.text.replace(SECRET, f"{SECRET}-2") if breaks == "the name" else block.text
    terminal.run(f"set +e; EDITOR={editor}; TMPDIR={left}\n{text}\ntrue")
    assert world.described()["VersionIdsToStages"] == before
    assert not list(left.iterdir())


def test_every_block_is_run_or_has_a_reason() -> None:
    beginnings = [block.text for block in PAGE]
    assert [text for text in NOT_RUN if not any(one.startswith(text) for one in beginnings)] == []
    followed = set(re.findall(r"follow\((\w+)\)", Path(__file__).read_text()))
    sections = {globals()[name] for name in followed if name in globals()}
    assert {block.section for block in PAGE} - sections == {"runbook", EDITING}


@postgresql_once
def test_the_doctor_and_its_list_let_a_locked_out_application_in(world: World) -> None:
    world.prepare()
    pending = world.interrupt_before_finishing()
    assert not world.application_logs_in()
    alarm = world.follow(ALARM)
    listed = re.findall(r"^   (aws .+)$", alarm.step(expecting=2), re.MULTILINE)
    for command in listed:
        world.terminal.run(command)
    assert world.application_logs_in()
    assert "AWSCURRENT" in world.described()["VersionIdsToStages"][pending]
    [doctor] = [block for block in PAGE if block.text.startswith("make doctor")]
    assert world.terminal.run(doctor.text).rstrip().endswith(": pass")
    alarm.step()
    alarm.end()


@postgresql_once
def test_the_first_command_shows_whether_a_rotation_is_done(world: World) -> None:
    world.prepare().rotate()
    first = world.follow("runbook")
    labels = json.loads(first.step())
    assert labels == world.described()["VersionIdsToStages"]
    first.end()


@postgresql_once
@pytest.mark.parametrize("strategy", [SINGLE, PAIR])
def test_a_leaked_password_is_refused_in_the_end(world: World, strategy: Strategy) -> None:
    world.prepare(strategy)
    leaked, leak = world.read(), world.follow(LEAK)
    leak.step()
    leak.step()
    world.require_rotated()
    assert world.laboratory.logs_in(leaked) == (strategy is PAIR)
    leak.step()
    world.require_rotated()
    assert not world.laboratory.logs_in(leaked)
    with world.session(world.read()) as run:
        world.runs_as = None  # the master of RDS has pg_signal_backend, our admin has not
        assert leak.step() == [(True,)]
        with pytest.raises(psycopg2.OperationalError):
            run("SELECT 1")
    before, others = world.read(), list[object]()
    production = world.service.register(f"{STACK}-production-PostgreSql", others.append)
    world.client.rotate_secret(SecretId=ADMIN, RotationLambdaARN=production, RotateImmediately=False)
    world.service.wait(ADMIN)
    others.clear()
    leak.step()
    world.require_rotated()
    assert world.read() != before
    assert not others, "a stack whose name begins like ours is somebody else's"
    leak.end()


@postgresql_once
@pytest.mark.parametrize("strategy", [SINGLE, PAIR])
@pytest.mark.thorough(strategy=[SINGLE])
def test_a_restored_snapshot_is_rotated_again(world: World, strategy: Strategy) -> None:
    world.prepare(strategy)
    world.rotate()
    snapshot, verifiers = [world.read(), world.read("AWSPREVIOUS")], world.verifiers()
    world.rotate()
    world.restore(verifiers)
    assert not world.application_logs_in()
    restored = world.follow(SNAPSHOT)
    restored.step()
    listed = json.loads(restored.step())
    assert sorted(listed) == listed
    restored.step()
    assert world.application_logs_in()
    restored.step()
    assert world.value()["host"] == world.user.host
    assert re.search(r"^login +pass", restored.step(), re.MULTILINE)
    restored.step()
    world.require_rotated()
    assert world.read() not in snapshot
    restored.end()


@postgresql_once
def test_a_replica_is_promoted_and_rotates_in_its_own_region(world: World) -> None:
    failover = world.prepare(PAIR).follow(REGIONS)
    failover.step()
    assert [one["Region"] for one in world.described()["ReplicationStatus"]] == ["eu-central-1"]
    world.be_in_the_region_of_the_replica()
    assert world.application_logs_in()
    failover.step()
    assert "PrimaryRegion" not in world.described()
    assert "RotationLambdaARN" not in world.described()
    failover.step()
    assert world.value()["masterarn"] == world.admin_arn
    assert re.search(r"^login +pass", failover.step(), re.MULTILINE)
    before = world.read()
    failover.step()
    world.require_rotated()
    assert world.read() != before
    failover.step()
    assert [one["Region"] for one in world.described()["ReplicationStatus"]] == ["eu-west-1"]
    failover.end()


@postgresql_once
def test_no_rotation_comes_between_blue_and_green(world: World) -> None:
    world.prepare()
    before, deployment = world.read(), world.follow(BLUE_GREEN)
    deployment.step()
    assert not world.described()["RotationEnabled"]
    assert {"Key": "secret-rotation-off", "Value": "blue/green"} in world.described()["Tags"]
    deployment.step()
    assert re.search(r"^login +pass", deployment.step(), re.MULTILINE)
    assert world.described()["RotationEnabled"]
    assert "secret-rotation-off" not in str(world.described()["Tags"])
    assert world.read() == before
    deployment.step()
    world.require_rotated()
    assert world.read() != before
    deployment.end()


@postgresql_once
def test_a_secret_moves_from_awss_function_and_back(world: World) -> None:
    world.prepare()
    tested: list[object] = []
    awss = world.service.register("SecretsManagerRotation", lambda event: tested.append(event["Step"]))
    world.attach(awss)
    before, moving = world.read(), world.follow(MOVING)
    assert moving.step() == f"{awss}\n"
    assert re.search(r"^login +pass", moving.step(), re.MULTILINE)
    assert (world.described()["RotationLambdaARN"], world.read()) == (world.function, before)
    moving.step()
    world.require_rotated()
    tested.clear()
    moving.step()
    assert (world.described()["RotationLambdaARN"], tested) == (awss, ["testSecret"])
    assert world.application_logs_in()
    moving.end()


@pytest.mark.newest
@pytest.mark.real_servers
@pytest.mark.strategies(PAIR)
def test_a_pair_is_emptied(
    new_world: Callable[[Laboratory], World], every_laboratory: Laboratory, strategy: Strategy, *, through_admin: bool
) -> None:
    assert through_admin
    world = new_world(every_laboratory).prepare(strategy)
    world.rotate()
    clone, emptying = world.read(), world.follow(EMPTYING)
    assert emptying.step() == '"username": "orders_clone"\n'
    emptying.step()
    world.require_rotated()
    emptying.step()
    assert list(emptying.step()) == []
    assert world.laboratory.logs_in(clone)
    emptying.step()
    assert not world.laboratory.logs_in(clone)
    before = world.read()
    emptying.step()
    world.require_rotated()
    assert (world.read().username, world.read() == before) == ("orders", False)
    assert not world.laboratory.logs_in(before)
    emptying.end()


@postgresql_once
@pytest.mark.parametrize("strategy", [SINGLE, PAIR])
@pytest.mark.thorough(strategy=[SINGLE])
def test_a_secret_is_handed_over(world: World, strategy: Strategy) -> None:
    world.prepare(strategy)
    world.rotate()
    before, handing = world.read(), world.follow(HANDING_OVER)
    assert re.search(r"^login +pass", handing.step(), re.MULTILINE)
    assert (world.described()["RotationLambdaARN"], world.read()) == (world.other, before)
    handing.step()
    world.require_rotated()
    assert world.read() != before
    handing.end()


@postgresql_once
def test_an_admin_whose_password_was_changed_is_put_right(world: World) -> None:
    world.prepare(PAIR)
    world.client.put_secret_value(SecretId=ADMIN, SecretString=json.dumps({**world.admin_value(), "password": "Old-1"}))
    changed, before = world.follow(ADMIN_CHANGED), world.read()
    world.client.rotate_secret(SecretId=SECRET)
    refused = world.service.wait(SECRET)
    assert "AWSPENDING" in str(world.described())
    assert world.admin_arn in str(refused.error)
    assert (world.read(), world.application_logs_in()) == (before, True)
    changed.step(password=world.laboratory.admin.password, secret=ADMIN)
    changed.step(password="another-password")
    world.service.wait(SECRET)
    changed.step()
    world.give_up_what_is_pending()
    changed.step()
    world.require_rotated()
    changed.end()


@postgresql_once
def test_a_new_authority_is_trusted_once_the_bundle_has_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.prepare()
    authority, before = world.follow(AUTHORITY), world.read()
    assert re.search(r"^TLS +warn +TLSv1.3, and a certificate .* valid until", authority.step(), re.MULTILINE)
    authority.step()
    with monkeypatch.context() as patch:
        patch.delenv("DB_CA_BUNDLE")  # the list of RDS, which does not have the authority of our server
        assert re.search(r"^network +fail .*local issuer", world.follow(AUTHORITY).step(expecting=2), re.MULTILINE)
    assert (world.read(), world.application_logs_in()) == (before, True)
    authority.step()
    world.require_rotated()
    authority.end()


@postgresql_once
def test_a_password_is_set_by_hand(world: World) -> None:
    world.prepare()
    world.laboratory.change_password(replace(world.user, password=new_password()))
    assert not world.application_logs_in()
    setting, password = world.follow(BY_HAND), new_password()
    setting.step(password=password)
    setting.step(password=password)
    assert (world.application_logs_in(), world.read().password) == (True, password)
    setting.step()
    world.require_rotated()
    assert world.read().password != password
    setting.end()


@pytest.mark.newest
@pytest.mark.strategies(SINGLE)
def test_the_statements_of_each_engine_do_what_the_page_says(
    new_world: Callable[[Laboratory], World], every_laboratory: Laboratory, strategy: Strategy, *, through_admin: bool
) -> None:
    assert (strategy, through_admin) == (SINGLE, False)
    world, password = new_world(every_laboratory), new_password()
    if engine_of(every_laboratory) == "oracle":
        world.runs_as = None  # the master of RDS has DROP USER; what rotates need not have it
    clone = every_laboratory.new_user("orders_clone", new_password())
    [setting] = statements(BY_HAND, every_laboratory)
    world.query(setting.text.replace("***", password))
    assert every_laboratory.logs_in(replace(world.user, password=password))
    assert every_laboratory.logs_in(clone)
    every_laboratory.forbid("orders_clone", ORDERS)  # as a rotation leaves the clone of a PostgreSQL
    [dropping] = [block for block in statements(EMPTYING, every_laboratory) if re.match("DROP|CALL", block.text)]
    for statement in dropping.text.split(";"):
        world.query(statement)
    assert not every_laboratory.logs_in(clone)
    assert every_laboratory.logs_in(replace(world.user, password=password))


@pytest.mark.newest
@pytest.mark.engine("mysql")
def test_the_older_of_two_passwords_is_refused_in_the_end(
    new_world: Callable[[Laboratory], World], laboratory: Laboratory
) -> None:
    world = new_world(laboratory)
    laboratory.allow_two_passwords("orders", by_itself=True)
    world.prepare(Strategy.DUAL_PASSWORD)
    leaked, leak = world.read(), world.follow(LEAK)
    leak.step()
    leak.step()
    world.require_rotated()
    assert laboratory.logs_in(leaked)
    leak.step()
    world.require_rotated()
    assert not laboratory.logs_in(leaked)


@pytest.mark.newest
@pytest.mark.engine("mysql")
def test_a_mysql_shows_the_statements_that_end_sessions(
    new_world: Callable[[Laboratory], World], laboratory: Laboratory
) -> None:
    world = new_world(laboratory)
    world.runs_as = None
    with world.session(world.user) as run:
        [(number,)] = run("SELECT CONNECTION_ID()")
        [ending] = statements(LEAK, laboratory)
        assert world.query(ending.text) == [(f"CALL mysql.rds_kill({number})",)]
        looking, _ = statements(EMPTYING, laboratory)
        assert world.query(looking.text) == []
