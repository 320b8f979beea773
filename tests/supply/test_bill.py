"""Does the bill of materials name what is in each artifact, and does the documentation name what is inside of that?"""

import json
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

from supply import libraries
from tests.local.aws import template
from tests.supply.project import CHECKOUT, PYTHON

ARTIFACTS = CHECKOUT / ".local/build"
BILLS = CHECKOUT / ".local/sbom"
LAYER = "CommonLayer"
NAMES = [
    LAYER,
    *template.resources(template.load(template.SOURCE), "AWS::Serverless::Function"),
    *template.resources(template.load(template.SOURCE), "AWS::Lambda::Function"),
]


def bill(name: str) -> dict[str, Any]:
    """An artifact's bill of materials, which the build has made."""
    read: dict[str, Any] = json.loads((BILLS / f"{name}.cdx.json").read_text())
    return read


def content(name: str) -> Path:
    """Where an artifact's packages are."""
    return ARTIFACTS / name / ("python" if name == LAYER else "")


def test_every_artifact_has_a_bill() -> None:
    assert {path.name for path in BILLS.iterdir()} == {f"{name}.cdx.json" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_bill_names_every_package_of_its_artifact(name: str) -> None:
    there = {(found.name, found.version) for found in distributions(path=[str(content(name))])}
    named = {(one["name"], one["version"]) for one in bill(name)["components"] if not one.get("isExternal")}
    assert named == there


@pytest.mark.parametrize("name", NAMES)
def test_what_comes_from_outside_is_said_to_be_external(name: str) -> None:
    """The layer needs the SDK of Lambda's runtime, the functions need the layer; neither is in the artifact."""
    external = [one["name"] for one in bill(name)["components"] if one.get("isExternal")]
    assert external == (["boto3"] if name == LAYER else [LAYER])
    assert not (content(name) / external[0]).exists()


@pytest.mark.parametrize("name", NAMES)
def test_everything_in_a_bill_hangs_together(name: str) -> None:
    needs = {one["ref"]: set(one.get("dependsOn", [])) for one in bill(name)["dependencies"]}
    open_, reached = {name}, set[str]()
    while open_:
        reached |= open_
        open_ = {needed for ref in open_ for needed in needs.get(ref, ())} - reached
    assert reached == {name, *(one["bom-ref"] for one in bill(name)["components"])}


def test_the_same_artifact_has_the_same_bill() -> None:
    """No time, no random number: who builds again can compare."""
    done = run(
        "from pathlib import Path",
        "from supply import bill",
        f"print(bill.of(Path({str(ARTIFACTS / LAYER)!r})), end='')",
    )
    assert done.stdout == (BILLS / f"{LAYER}.cdx.json").read_text()


def test_a_bill_that_breaks_the_schema_is_an_error(tmp_path: Path) -> None:
    """As it would be if a wheel's own bill had something that CycloneDX does not know."""
    metadata = tmp_path / "client-1.0.dist-info"
    (metadata / "sboms").mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: client\nVersion: 1.0\n")
    (metadata / "RECORD").write_text("client-1.0.dist-info/sboms/inside.json,,\n")
    (metadata / "sboms/inside.json").write_text(
        '{"components": [{"type": "nonsense", "name": "inside", "version": "1"}]}'
    )
    done = run("from pathlib import Path", "from supply import bill", f"bill.of(Path({str(tmp_path)!r}))")
    assert done.returncode == 1
    assert "does not keep to the schema" in done.stderr
    assert "nonsense" in done.stderr


def test_versions_are_those_that_the_clients_tell() -> None:
    """Those that are found in the compiled files are what each client says of its library when it runs."""
    if sys.platform != "linux":
        pytest.skip("the artifact is for Linux")
    told = run_in("PostgreSqlFunction", "import psycopg2", "print(psycopg2.extensions.libpq_version())")
    assert inside("PostgreSqlFunction")["libpq"] == f"{int(told) // 10_000}.{int(told) % 10_000}"
    openssl = (
        "from cryptography.hazmat.backends.openssl.backend import backend",
        "print(backend.openssl_version_text())",
    )
    assert f"OpenSSL {inside('MySqlFunction')['openssl']} " in run_in("MySqlFunction", *openssl)


def test_libpq_for_arm64_tells_its_version_too() -> None:
    """In its code: mov w0, #0x981b; movk w0, #0x2, lsl #16; ret."""
    function = bytes.fromhex("60039352 4000a072 c0035fd6")
    assert libraries.libpq_version(b"\x00" * 8 + function) == "17.11"


def test_a_number_that_could_be_another_is_no_version() -> None:
    two = b"".join(b"\xb8" + number.to_bytes(4, "little") + b"\xc3" for number in (170011, 180001))
    assert libraries.libpq_version(two) is None


def test_documentation_names_the_libraries_inside(capsys: pytest.CaptureFixture[str]) -> None:
    """What `make libraries` prints for the processor of this machine."""
    libraries.main([str(path) for path in BILLS.iterdir()])
    assert capsys.readouterr().out in (CHECKOUT / "docs/supply-chain.md").read_text()


def inside(name: str) -> dict[str, str]:
    """The version of each library inside of an artifact's packages."""
    found = [library for one in bill(name)["components"] for library in one.get("components", [])]
    return {library["name"]: library["version"] for library in found if "version" in library}


def run(*lines: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program with the Python that builds."""
    return subprocess.run(  # noqa: S603 - the words are ours
        [PYTHON, "-c", "\n".join(lines)], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False
    )


def run_in(artifact: str, *lines: str) -> str:
    """What a program prints that has an artifact's packages."""
    done = run(*lines, PYTHONPATH=str(content(artifact)))
    assert done.returncode == 0, done.stderr
    return done.stdout
