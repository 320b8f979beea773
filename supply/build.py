"""Builds what is deployed, and the tests' own copy of it: with SAM, only from wheels that were fetched before.

SAM lets pip choose. For the processor of this machine, pip takes the files with the hashes of the requirements files.
For another processor, SAM asks every index that pip knows, by name and version. So pip's own variables are set here:
pip takes only wheels with a known hash, and only from the folder of wheels.
"""

import argparse
import compileall
import os
import shutil
import subprocess
import sys
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any

from supply import authorities, bill, wheels

_CHECKOUT = Path(__file__).parents[1]
_SAM = _CHECKOUT / ".local/sam/bin/sam"


def main() -> int:
    """Build the template in the current folder; return 1, and print the reason, if it fails."""
    arguments = _arguments()
    architecture = arguments.architecture or wheels.configured_architecture(arguments.config_env)
    try:
        folder = wheels.fetch(architecture)
    except subprocess.CalledProcessError:
        return 1
    print(f"Building into {arguments.into} …", flush=True)
    # A function can have its own processor, as Db2's. pip prefers one: no package can be needed for both.
    pip = wheels.only_hashed_wheels(architecture, *wheels.ARCHITECTURES) | wheels.only_from(folder)
    built = _sam_build(arguments, pip)
    if built.returncode:
        print(built.stdout)
        return 1
    for certs in arguments.into.glob("*/python/rotation/certs"):
        authorities.split(certs)
    # Lambda cannot keep compiled files, and would compile at each cold start.
    if not compileall.compile_dir(arguments.into, quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH):
        return 1
    _write_bills(arguments.into)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m supply.build", description=__doc__)
    parser.add_argument("into", type=Path, help="the folder of the artifacts; their bills of materials go beside it")
    parser.add_argument("--config-env", default="default", help="the tables of samconfig.toml")
    parser.add_argument(
        "--architecture", choices=wheels.ARCHITECTURES, help="default: as in samconfig.toml, else as in the template"
    )
    return parser.parse_args()


def _sam_build(arguments: argparse.Namespace, pip: dict[str, str]) -> subprocess.CompletedProcess[str]:
    # Not cached: SAM's cache can be from a `sam build` without these variables.
    command: list[Any] = [_SAM, "build", "--no-cached", "--config-env", arguments.config_env]
    if arguments.architecture:
        command += ["--parameter-overrides", f"Architecture={arguments.architecture}"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(  # noqa: S603 - the words are ours
        [*command, "--build-dir", arguments.into],
        env={**inherited, **pip, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def _write_bills(artifacts: Path) -> None:
    folder = artifacts.parent / "sbom"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for artifact in sorted(path for path in artifacts.iterdir() if path.is_dir()):
        (folder / f"{artifact.name}.cdx.json").write_text(bill.of(artifact))


if __name__ == "__main__":
    sys.exit(main())
