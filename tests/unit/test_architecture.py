"""Do imports point one way?"""

import ast
import functools
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "layers" / "common" / "rotation"
MODULES = {
    path.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", "."): path
    for path in PACKAGE.rglob("*.py")
}

CLIENTS = {
    "postgresql": {"psycopg2"},
    "mysql": {"pymysql", "nacl"},  # nacl for a hash of MariaDB's alone: see `rotation.engines.mysql.hashes`
    "mariadb": {"pymysql", "nacl"},
    "oracle": {"oracledb"},
    "sqlserver": {"pytds"},
    "db2": {"ibm_db"},
}
"""The packages that a driver can import: one line for each engine."""

RELATIVES = {"mariadb": {"mysql"}}
"""The engines whose modules a driver imports, besides its own."""

COMMON = {f"rotation.engines.{name}" for name in ("driver", "look", "network", "other_engine", "password_rules")}
"""Modules that every driver can import, and that import no driver."""

DECISIONS = ["rotation.steps", "rotation.strategies"]
ENGINE_CAN_IMPORT = {
    f"rotation.{name}"
    for name in (
        "engine",
        "credential",
        "deadline",
        "environment",
        "errors",
        "finding",
        "hosts",
        "kind",
        "passwords",
        "redaction",
        "values",
    )
}
ENGINES = sorted(name for name in MODULES if name.startswith("rotation.engines."))


@functools.cache
def imports(name: str) -> frozenset[str]:
    """Return everything that a module imports, anywhere in its text."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        match node:
            case ast.Import():
                found |= {alias.name for alias in node.names}
            case ast.ImportFrom(module=str(module), level=0):
                submodules = {f"{module}.{alias.name}" for alias in node.names} & MODULES.keys()
                found |= submodules or {module}
            case ast.ImportFrom():
                raise AssertionError(f"{name}: a relative import hides where it points to")
    return frozenset(found)


def ours(name: str) -> set[str]:
    """Return the modules of our package that a module imports."""
    return {module for module in imports(name) if module.split(".")[0] == "rotation"}


def foreign(name: str) -> set[str]:
    """Return the packages of others that a module imports."""
    return {module.split(".")[0] for module in imports(name)} - sys.stdlib_module_names - {"rotation"}


def reached(name: str) -> set[str]:
    """Return all our modules that are imported with a module, itself included."""
    found, pending = set[str](), {name}
    while pending:
        module = pending.pop()
        found.add(module)
        pending |= (ours(module) & MODULES.keys()) - found
    return found


def engine_of(module: str) -> str:
    """Return the engine that a module of rotation.engines belongs to."""
    return module.removeprefix("rotation.engines.").partition(".")[0]


@pytest.mark.parametrize("name", DECISIONS)
def test_decisions_import_no_service_no_client_and_no_engine(name: str) -> None:
    reachable = reached(name)
    assert not {package for module in reachable for package in foreign(module)}
    assert "rotation.secret" not in reachable
    assert not {module for module in reachable if module.startswith("rotation.engines")}


def test_strategies_do_not_import_the_steps() -> None:
    assert "rotation.steps" not in reached("rotation.strategies")


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_imports_the_protocol_and_its_own_modules_only(name: str) -> None:
    family = {engine_of(name)} | RELATIVES.get(engine_of(name), set())
    own = {module for module in ENGINES if engine_of(module) in family}
    assert ours(name) - ENGINE_CAN_IMPORT - COMMON - own == set()


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_imports_its_own_client_only(name: str) -> None:
    imported = {package for module in reached(name) for package in foreign(module)}
    assert imported <= CLIENTS.get(engine_of(name), set())


def test_only_engines_import_clients() -> None:
    clients = {client for packages in CLIENTS.values() for client in packages}
    assert {name for name in MODULES if foreign(name) & clients} <= set(ENGINES)


def test_no_module_of_the_layer_imports_boto3() -> None:
    """A client is made by botocore: boto3 would bring what moves files to S3 into each cold start."""
    assert not {name for name in MODULES if "boto3" in foreign(name)}


def test_no_module_of_the_layer_imports_the_tests() -> None:
    assert not {name for name in MODULES if "tests" in foreign(name)}
