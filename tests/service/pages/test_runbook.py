"""Does each procedure of docs/runbook.md do what it says, if somebody pastes its commands?

A test walks through a section: `step` runs the section's next block as it stands in the page, and the test asserts what
the page says that holds after it. A block that nobody runs is in NOT_RUN, with the reason.
"""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest

from rotation.kind import Strategy
from tests.laboratories import ORDERS, Laboratory, new_password
from tests.laboratories.postgresql import OLDER
from tests.service.pages.reader import (
    ADMIN,
    EDITING,
    EMPTYING,
    NOT_RUN,
    PAIR,
    RUNBOOK,
    SECRET,
    SINGLE,
    STACK,
    World,
    engine_of,
    statements,
)

ALARM = "an-alarm-came"
LEAK, SNAPSHOT, REGIONS = "a-leak-rotate-everything-now", "a-restored-snapshot", "failover-to-another-region"
BLUE_GREEN, MOVING = "bluegreen-deployments", "moving-from-awss-functions-and-back"
HANDING_OVER, ADMIN_CHANGED = "handing-a-secret-over", "an-admin-secret-that-changed"
AUTHORITY, BY_HAND = "the-certificate-authority-changes", "set-a-password-by-hand"

postgresql_once = pytest.mark.thorough(postgresql=OLDER)
"""A procedure calls AWS; what differs from version to version, the contract tests."""


@postgresql_once
@pytest.mark.parametrize("breaks", ["the editor", "the text", "the terminal", "the name"])
def test_an_edit_that_is_broken_off_writes_nothing_and_leaves_no_file(world: World, breaks: str) -> None:
    """In a shell of somebody's own: it goes on after a command that failed."""
    world.prepare()
    before, terminal = world.described()["VersionIdsToStages"], world.terminal
    [block] = [block for block in RUNBOOK if block.section == EDITING]
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
    beginnings = [block.text for block in RUNBOOK]
    assert [text for text in NOT_RUN if not any(one.startswith(text) for one in beginnings)] == []
    followed = set(re.findall(r"follow\((\w+)\)", Path(__file__).read_text()))
    sections = {globals()[name] for name in followed if name in globals()}
    assert {block.section for block in RUNBOOK} - sections == {"runbook", EDITING}


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
    [doctor] = [block for block in RUNBOOK if block.text.startswith("make doctor")]
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
    assert re.search(r"^TLS +pass +TLSv1.3, and a certificate .* valid until", authority.step(), re.MULTILINE)
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
