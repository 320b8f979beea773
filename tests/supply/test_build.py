"""Does anything get into an artifact that was not fetched with a hash?"""

import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from supply import authorities, wheels
from tests.supply.project import (
    ANY_PROCESSOR,
    CHANGED,
    CHECKOUT,
    CLIENT,
    CLIENT_OF_ONE,
    GENUINE,
    MACHINES,
    ONE_PROCESSOR,
    Project,
    project,
    write_source_distribution,
    write_wheel,
)

ARCHITECTURES = sorted(MACHINES)
ANOTHER = "x86_64" if platform.machine() in {"arm64", "aarch64"} else "arm64"
"""The one of the processors that this machine has not."""


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """The current folder: a project whose clients are named by the hashes of the wheels that the index offers."""
    monkeypatch.chdir(tmp_path)
    with project(tmp_path) as made:
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        made.require(ANY_PROCESSOR, CLIENT, *[made.offer(architecture, GENUINE) for architecture in ARCHITECTURES])
        made.require(ONE_PROCESSOR, CLIENT_OF_ONE, made.offer("x86_64", GENUINE, CLIENT_OF_ONE))
        yield made


def test_sam_builds_from_the_fetched_wheels_and_asks_no_index(
    offered: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the processor of this machine as for another, and whatever pip is told elsewhere."""
    wheels.fetch("arm64")
    assert offered.requests
    offered.requests.clear()
    offered.offer("arm64", CHANGED)
    offered.offer("x86_64", CHANGED, CLIENT_OF_ONE)
    offered.configuration.write_text(f"[global]\nextra-index-url = {offered.index_url}\nconstraint = nowhere.txt\n")
    monkeypatch.setenv("PIP_CONSTRAINT", "nowhere.txt")
    done = offered.build("arm64")
    assert done.returncode == 0, done.stdout
    assert offered.built(ANY_PROCESSOR) == (GENUINE, "aarch64")
    assert offered.built(ONE_PROCESSOR) == (GENUINE, "x86_64")
    assert offered.requests == []


def test_sam_looks_nowhere_else_for_a_wheel_that_is_not_there(offered: Project) -> None:
    [wheel] = wheels.fetch("x86_64").glob(f"{CLIENT}-*.whl")
    offered.requests.clear()
    wheel.unlink()
    done = offered.build("x86_64")
    assert done.returncode == 1
    assert f"{CLIENT}==1.0" in done.stdout
    assert offered.requests == []


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_changed_wheel_of_an_index_is_refused(
    offered: Project, architecture: str, capfd: pytest.CaptureFixture[str]
) -> None:
    changed = offered.offer(architecture, CHANGED)
    with pytest.raises(subprocess.CalledProcessError):
        wheels.fetch(architecture)
    said = capfd.readouterr().err
    assert f"{CLIENT}==1.0" in said
    assert changed in said


@pytest.mark.thorough(architecture=ARCHITECTURES[1:])  # pip looks at the hash, whatever the processor
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_wheel_that_was_changed_after_it_was_fetched_is_refused(offered: Project, architecture: str) -> None:
    changed = write_wheel(wheels.fetch(architecture), architecture, CHANGED)
    offered.requests.clear()
    done = offered.build(architecture)
    assert done.returncode == 1
    assert f"{CLIENT}==1.0" in done.stdout
    assert changed in done.stdout
    assert offered.requests == []


def test_what_sam_has_kept_of_a_build_without_hashes_is_not_used(offered: Project) -> None:
    """For another processor than its own, SAM takes what any index gives it, and keeps it for the next time."""
    configuration = samconfig("default.global", f'["Architecture={ANOTHER}"]')
    (offered.folder / "samconfig.toml").write_text(f"{configuration}[default.build.parameters]\ncached = true\n")
    wheels.fetch(ANOTHER)
    offered.offer(ANOTHER, CHANGED)
    alone = offered.build_with_sam_alone()
    assert alone.returncode == 0, alone.stdout
    assert offered.built(ANY_PROCESSOR) == (CHANGED, MACHINES[ANOTHER])
    done = offered.build()
    assert done.returncode == 0, done.stdout
    assert offered.built(ANY_PROCESSOR) == (GENUINE, MACHINES[ANOTHER])


def test_no_source_distribution_is_taken(
    offered: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not even if its hash is named, and somebody's own pip prefers them."""
    monkeypatch.setenv("PIP_ONLY_BINARY", "another")  # pip takes its variables in their order
    monkeypatch.setenv("PIP_NO_BINARY", ":all:")
    for wheel in offered.index.rglob("*.whl"):
        wheel.unlink()
    executed = offered.folder / "executed"
    offered.require(ANY_PROCESSOR, CLIENT, write_source_distribution(offered.index / "native-client", executed))
    with pytest.raises(subprocess.CalledProcessError):
        wheels.fetch("arm64")
    assert f"No matching distribution found for {CLIENT}==1.0" in capfd.readouterr().err
    assert not executed.exists()


def test_a_requirement_without_a_hash_is_refused(offered: Project, capfd: pytest.CaptureFixture[str]) -> None:
    offered.require(ANY_PROCESSOR, CLIENT)
    with pytest.raises(subprocess.CalledProcessError):
        wheels.fetch("arm64")
    assert f"{CLIENT}==1.0 --hash=sha256:" in capfd.readouterr().err


def test_nothing_is_fetched_twice_until_the_requirements_change(offered: Project) -> None:
    wheels.fetch("x86_64")
    offered.requests.clear()
    wheels.fetch("x86_64")
    assert offered.requests == []
    offered.require(ANY_PROCESSOR, CLIENT, offered.offer("x86_64", CHANGED))
    [wheel] = wheels.fetch("x86_64").glob(f"{CLIENT}-*.whl")
    assert offered.requests
    assert CHANGED.encode() in wheel.read_bytes()


@pytest.mark.usefixtures("offered")
def test_a_fetch_that_was_interrupted_begins_again() -> None:
    half = Path(".local/wheels/x86_64/half-1.0-py3-none-any.whl")
    half.parent.mkdir(parents=True)
    half.touch()
    assert {path.name.partition("-")[0] for path in wheels.fetch("x86_64").glob("*.whl")} == {CLIENT, CLIENT_OF_ONE}


@pytest.mark.parametrize(
    ("table", "overrides", "architecture"),
    [
        ("default.global", '["VpcId=vpc-1", "Architecture=x86_64"]', "x86_64"),
        ("default.global", '"Architecture=x86_64 VpcId=vpc-1"', "x86_64"),
        ("default.build", '"ParameterKey=Architecture,ParameterValue=x86_64"', "x86_64"),
        ("default.global", '["VpcId=vpc-1"]', "arm64"),  # as the template says
        ("staging.global", '"Architecture=x86_64"', "arm64"),
    ],
)
@pytest.mark.usefixtures("offered")
def test_wheels_are_for_the_processor_that_samconfig_or_the_template_names(
    table: str, overrides: str, architecture: str
) -> None:
    Path("samconfig.toml").write_text(samconfig(table, overrides))
    assert wheels.configured_architecture("default") == architecture


def samconfig(table: str, overrides: str) -> str:
    """A configuration of SAM that gives the template's parameters values."""
    return f"version = 0.1\n[{table}.parameters]\nparameter_overrides = {overrides}\n"


def test_the_layer_has_the_authorities_of_each_region(tmp_path: Path) -> None:
    built = CHECKOUT / ".local/build/CommonLayer/python/rotation/certs"
    (tmp_path / "rds-global-bundle.pem").write_bytes((built / "rds-global-bundle.pem").read_bytes())
    authorities.split(tmp_path)
    expected, found = ({file.name: file.read_text() for file in (c / "regions").iterdir()} for c in (tmp_path, built))
    assert found == expected
    assert "eu-west-1.pem" in found
