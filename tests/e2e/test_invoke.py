"""Does one command run a step, with nothing running before, and could `sam local invoke` run it in a container?"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.local.aws.lambda_runtime import LambdaRuntime
from tests.local.aws.secrets_manager_rotation import STEPS
from tests.local.demo.engines import ENGINES
from tests.local.demo.screen import Screen
from tests.local.invoke import __main__ as invoke
from tests.local.invoke.waiting_rotation import WaitingRotation, waiting_rotation
from tests.local.servers.fetch import fetch_newest

CHECKOUT = Path(__file__).parents[2]
SAM_PYTHON = CHECKOUT / ".local/sam/bin/python"
SAM_LOCAL_INVOKE = Path(__file__).with_name("sam_local_invoke.py")
ANOTHER_ADDRESS = "127.0.0.2"
"""On Linux all of 127.0.0.0/8 is this machine; by default nothing listens at this address."""


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest) -> str:
    """The engine that starts fastest, or that a test names; skipped if its server is not available, except in CI."""
    engine: str = getattr(request, "param", "postgresql")
    fetch_newest(engine)
    return engine


@pytest.fixture(scope="module")
def waiting(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WaitingRotation]:
    """A waiting rotation, at an address that a container could reach."""
    if sys.platform != "linux":
        pytest.skip(f"{ANOTHER_ADDRESS} is an address of this machine on Linux only")
    folder = tmp_path_factory.mktemp("files")
    with waiting_rotation(Screen.on(sys.stdout), ENGINES[engine], ANOTHER_ADDRESS, folder) as waiting:
        yield waiting
    assert not folder.exists()


@pytest.mark.parametrize("engine", ["postgresql", "sqlserver"], indirect=True)
def test_a_step_is_done_with_nothing_running(engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On a real server, and on a stand-in."""
    assert invoke.main(["set-secret", "--engine", engine, "--aws", "laptop"]) == 0
    shown = capsys.readouterr().out
    [line] = [record for record in records(shown) if "message" in record]
    assert (line["step"], line["message"]) == ("setSecret", "shop has the pending password")
    [event] = [record for record in records(shown) if "Step" in record]
    assert (line["secret_arn"], line["version_token"]) == (event["SecretId"], event["ClientRequestToken"])
    assert "✔ AWSCURRENT   ✘ AWSCURRENT" in shown
    assert "✘ AWSPENDING   ✔ AWSPENDING" in shown
    assert f"{ENGINES[engine].function} returned null" in shown


def test_what_the_function_refuses_is_reported_in_one_line(
    engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "event.json"
    path.write_text('{"Step": "dance"}')
    assert invoke.main([str(path), "--engine", engine, "--aws", "laptop"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("The invocation failed: PostgreSqlFunction failed with InvalidEvent: ")
    assert captured.err.count("\n") == 1
    assert "· AWSPENDING, empty   · AWSPENDING, empty" in captured.out


def test_an_unknown_engine_is_reported_with_those_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke.main(["create-secret", "--engine", "oracle"]) == 1
    assert capsys.readouterr().err == (
        "The invocation failed: there is no engine oracle here. Name one of postgresql, mysql, mariadb, sqlserver\n"
    )


def test_an_unknown_event_is_reported_with_those_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke.main(["dance", "--engine", "mysql"]) == 1
    assert capsys.readouterr().err == (
        "The invocation failed: there is no event dance. "
        "Name create-secret, finish-secret, set-secret, test-secret, or the path of a file\n"
    )


def test_sam_would_run_each_step_in_a_container_with_an_address_that_leads_here(
    waiting: WaitingRotation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    create, *others, finish = STEPS
    container = would_run(waiting, "PostgreSqlFunction", waiting.event_file(create))
    assert container["environment"]["SECRETS_MANAGER_ENDPOINT"].startswith(f"http://{ANOTHER_ADDRESS}:")
    with LambdaRuntime("PostgreSqlFunction", container["environment"]) as runtime:
        runtime.invoke(container["event"])
        for step in others:
            runtime.invoke(json.loads(waiting.event_file(step).read_text()))
    monkeypatch.setenv("AWS_ENDPOINT_URL", container["environment"]["SECRETS_MANAGER_ENDPOINT"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert invoke.main([str(waiting.event_file(finish)), "--engine", "postgresql"]) == 0, (
        "it goes where that leads, too"
    )
    assert "the version is current now" in capsys.readouterr().out

    client = waiting.laptop.manager.client()
    labels = client.describe_secret(SecretId=waiting.secret_id)["VersionIdsToStages"]
    assert "AWSCURRENT" in labels[container["event"]["ClientRequestToken"]]
    next_version = client.rotate_secret(SecretId=waiting.secret_id)["VersionId"]
    waiting.laptop.manager.wait(waiting.secret_id)
    assert json.loads(waiting.event_file(create).read_text())["ClientRequestToken"] == next_version


def test_sam_would_run_the_watch_in_a_container_too(waiting: WaitingRotation) -> None:
    container = would_run(waiting, "OverdueFunction", "events/overdue.json")
    with LambdaRuntime("OverdueFunction", container["environment"]) as runtime:
        runtime.invoke(container["event"])
        assert '"SecretsAttached":[1' in runtime.logs()


def would_run(waiting: WaitingRotation, function: str, event: Path | str) -> dict[str, Any]:
    """Return what SAM would start a container with for the printed command."""
    sam, local, invoke_, *words = waiting.command(function, event).split()
    assert (Path(sam).name, local, invoke_) == ("sam", "local", "invoke")
    done = subprocess.run([SAM_PYTHON, SAM_LOCAL_INVOKE, *words], capture_output=True, cwd=CHECKOUT, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr.decode()
    answer: dict[str, Any] = json.loads(done.stdout)
    assert Path(answer["code"], "app.py").exists()
    return answer


def records(text: str) -> list[dict[str, Any]]:
    """Return the JSON objects that have lines of their own."""
    return [json.loads(line) for line in map(str.strip, text.splitlines()) if line.startswith("{")]
