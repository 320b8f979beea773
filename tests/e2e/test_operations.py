"""Do the operator's commands work against an AWS that runs the built function, as `make aws` has one?"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from operations import attach, doctor, preflight, rotate
from operations.watching import Timer
from tests.documents import blocks
from tests.local.aws.secrets_manager_rotation import STEPS
from tests.local.demo.databases import Login
from tests.local.demo.engines import ENGINES, fetch_server
from tests.local.demo.screen import Screen
from tests.local.invoke.running_functions import RunningFunctions, running_functions

CHECKOUT = Path(__file__).parents[2]
INSTALLED = "--old-file=.local/sam/.complete"
"""SAM is there, however old it is: these tests need it, and do not install it again."""


@pytest.fixture(scope="module")
def aws() -> Iterator[RunningFunctions]:
    """An AWS with PostgreSQL, which starts fastest."""
    fetch_server("postgresql")
    with running_functions(Screen.on(sys.stdout), ENGINES["postgresql"]) as aws:
        yield aws


@pytest.fixture(scope="module")
def _stack(aws: RunningFunctions) -> None:
    """The stack of `make aws`, which names the function."""
    aws.make_stack("postgresql")


@pytest.fixture
def _exported(aws: RunningFunctions, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `make aws` prints was pasted."""
    for name, value in aws.scenario.manager.environment.items():
        monkeypatch.setenv(name, value)


def test_make_rotate_rotates_and_shows_each_step(aws: RunningFunctions) -> None:
    client = aws.scenario.manager.client()
    before = json.loads(client.get_secret_value(SecretId=aws.attached)["SecretString"])
    done = subprocess.run(  # noqa: S603 - the words are ours
        ["make", INSTALLED, "rotate", f"SECRET={aws.attached}"],  # noqa: S607 - whichever make there is
        env={"PATH": os.environ["PATH"], **aws.scenario.manager.environment},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line and not line.startswith(" ")]
    found = client.get_secret_value(SecretId=aws.attached)
    assert [row[:2] for row in rows[:-1]] == [[item, "pass"] for item in ("begun", *STEPS, "outcome")]
    assert rows[-1] == [f"{found['ARN']}:", "finished"]
    now = json.loads(found["SecretString"])
    assert (now["username"], now["password"] != before["password"]) == (before["username"], True)
    assert now["password"] not in done.stdout + done.stderr
    aws.scenario.database.work(Login.parse(found["SecretString"]))


@pytest.mark.usefixtures("_exported")
def test_preflight_and_doctor_answer_in_the_same_aws(aws: RunningFunctions, capsys: pytest.CaptureFixture[str]) -> None:
    assert preflight.main([aws.attached]) == 0
    shown = capsys.readouterr().out
    assert "this function is attached and on: rate(30 days)" in " ".join(shown.split())
    assert "AWSCURRENT logs in" in shown
    assert doctor.main([aws.attached, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["State"] in {"healthy", "pending on current"}


@pytest.mark.thorough(named_by=["engine"])  # the stand-in for CloudFormation takes seconds to begin
@pytest.mark.parametrize("named_by", ["function", "engine"])
@pytest.mark.usefixtures("_exported")
def test_a_secret_that_nothing_rotates_is_attached_and_then_rotates(
    aws: RunningFunctions, named_by: str, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    secret = f"again-{named_by}"
    client = aws.scenario.manager.client()
    client.create_secret(Name=secret, SecretString=client.get_secret_value(SecretId=aws.unattached)["SecretString"])
    if named_by == "engine":
        request.getfixturevalue("_stack")
    assert preflight.main([secret]) == preflight.NOT_ASKED
    assert f"Run make attach SECRET={secret}" in capsys.readouterr().err
    name = {"function": aws.scenario.function_arn, "engine": "postgresql"}[named_by]
    assert attach.main([secret, f"--{named_by}", name, "--yes"]) == 0
    assert rotate.main([secret], Timer(pause=lambda _: aws.scenario.manager.wait(secret))) == 0
    assert "the version is current now" in capsys.readouterr().out


@pytest.mark.thorough(breaks=[True])  # a dozen commands of a shell, each of which starts a Python
@pytest.mark.parametrize("breaks", [False, True])
@pytest.mark.usefixtures("_exported", "_stack")
def test_the_recipe_for_a_secret_of_your_own_can_be_pasted(
    aws: RunningFunctions, monkeypatch: pytest.MonkeyPatch, *, breaks: bool
) -> None:
    monkeypatch.setenv("MAKEFLAGS", f"{INSTALLED} --no-print-directory")  # `make test` is make, too
    page = [block.text for block in blocks(CHECKOUT / "docs/laptop.md") if block.section == "a-secret-of-your-own"]
    begin, spoil, repair = page
    client = aws.scenario.manager.client()
    try:
        assert pasted(begin).splitlines()[-1].endswith(": finished")
        if breaks:
            spoilt = pasted("\n".join([*logged_in(begin), spoil]), fails=True)
            assert ": failed\n" in spoilt
            assert "none logs in" in spoilt
            labels = client.describe_secret(SecretId="mine")["VersionIdsToStages"]
            [pending] = [version for version, stages in labels.items() if stages == ["AWSPENDING"]]
            client.update_secret_version_stage(SecretId="mine", VersionStage="AWSPENDING", RemoveFromVersionId=pending)
            assert pasted("\n".join([*logged_in(begin), repair])).splitlines()[-1].endswith(": finished")
    finally:
        (CHECKOUT / ".local/mine.json").unlink(missing_ok=True)
        client.delete_secret(SecretId="mine", ForceDeleteWithoutRecovery=True)
        pasted("\n".join([*logged_in(begin), '.local/postgresql/18.*/bin/psql -c "DROP ROLE mine"']))


def logged_in(block: str) -> list[str]:
    """Return the lines that let psql log in: a reader's shell still has them at the next block."""
    return block.splitlines()[:3]


def pasted(block: str, *, fails: bool = False) -> str:
    """Run a block as a reader does who answers yes; return what is shown. A command can fail if that is its point."""
    shell = ["bash", "-c" if fails else "-ec", block]
    done = subprocess.run(shell, input="yes\n", cwd=CHECKOUT, capture_output=True, text=True, check=False)  # noqa: S603
    assert fails or done.returncode == 0, done.stdout + done.stderr
    return done.stdout
