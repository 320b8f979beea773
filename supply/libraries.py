"""Which C libraries are inside the wheels, and in which version?

pip does not know them. A wheel can name them in bills of materials beside its metadata
(https://peps.python.org/pep-0770/). A library can have its version compiled in, as a text or a number. All of them go
into the bills of our artifacts. As a program, this prints the libraries of such bills.
"""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path, PurePath
from typing import Any

type Component = dict[str, Any]
"""As CycloneDX has it."""

_LIBPQ_VERSIONS = range(100_000, 1_000_000)
"""10.0 and later: 170011 is 17.11."""


@dataclass(frozen=True)
class _Library:
    """A library that is recognised by its file."""

    name: str
    file: str
    """A pattern of its name."""
    version: re.Pattern[bytes] | None = None
    """Finds the version, its only group; None if the library has none."""
    cpe: str = ""
    """Its vendor and product in the National Vulnerability Database."""


_OPENSSL = re.compile(rb"OpenSSL (\d+\.\d+\.\d+[a-z]?) +(?:FIPS +)?\d{1,2} [A-Z][a-z]{2} \d{4}")
_IBM = re.compile(rb"@\(#\)ProductVersion: +([\d.]+)")

_LIBRARIES = [
    _Library("OpenSSL", "libcrypto-*.so*", _OPENSSL, "openssl:openssl"),
    _Library("OpenSSL", "_rust.abi3.so", _OPENSSL, "openssl:openssl"),  # cryptography's
    _Library("libpq", "libpq-*.so*", None, "postgresql:postgresql"),
    _Library("OpenLDAP", "libldap-*.so*"),
    _Library("libsodium", "_sodium.*.so"),
    _Library("libffi", "_cffi_backend.*.so"),
    _Library("Db2 CLI driver", "libdb2.so", re.compile(rb"DB2 v(\d+\.\d+\.\d+\.\d+)")),
    _Library("GSKit", "libgsk8ssl_64.so", _IBM),  # IBM's TLS
    _Library("ICC", "libicclib*.so", _IBM),  # IBM's cryptography, under it
]


def inside(distribution: Distribution) -> list[Component]:
    """The libraries in an installed package, without those that are only in its name."""
    stated = list(_stated(distribution))
    found = [library for library in _found(distribution) if not any(_is_same(library, other) for other in stated)]
    unique = {(library["name"], library.get("version", "")): library for library in [*found, *stated]}
    return [library for _, library in sorted(unique.items())]


def _stated(distribution: Distribution) -> Iterator[Component]:
    """Yield the libraries in the wheel's own bills of materials."""
    for file in distribution.files or []:
        if file.parent.name == "sboms" and file.suffix == ".json":
            bill = json.loads(file.read_text())
            for component in bill.get("components", []):
                if not component.get("purl", "").startswith("pkg:pypi/"):
                    yield {key: component[key] for key in ("type", "name", "version", "purl") if key in component}


def _found(distribution: Distribution) -> Iterator[Component]:
    for file in distribution.files or []:
        for library in _LIBRARIES:
            if PurePath(file.name).match(library.file):
                yield _component(library, Path(str(file.locate())))


def _component(library: _Library, file: Path) -> Component:
    compiled = file.read_bytes()
    version = libpq_version(compiled) if library.name == "libpq" else _text(library.version, compiled)
    component = {"type": "library", "name": library.name, "version": version}
    if version and library.cpe:
        component["cpe"] = f"cpe:2.3:a:{library.cpe}:{version}:*:*:*:*:*:*:*"
    return {key: value for key, value in component.items() if value}


def _text(pattern: re.Pattern[bytes] | None, compiled: bytes) -> str | None:
    found = pattern and pattern.search(compiled)
    return found[1].decode() if found else None


def libpq_version(compiled: bytes) -> str | None:
    """Return what PQlibVersion returns: of the functions that return only a number, the one with a version."""
    x86_64 = (int.from_bytes(value, "little") for value in re.findall(rb"\xb8(....)\xc3", compiled, re.DOTALL))
    arm64 = (
        int.from_bytes(low, "little") >> 5 & 0xFFFF | (int.from_bytes(high, "little") >> 5 & 0xFFFF) << 16
        for low, high in re.findall(rb"(...\x52)(...\x72)\xc0\x03\x5f\xd6", compiled, re.DOTALL)
    )
    versions = {number for number in (*x86_64, *arm64) if number in _LIBPQ_VERSIONS}
    return f"{min(versions) // 10_000}.{min(versions) % 10_000}" if len(versions) == 1 else None


def _is_same(found: Component, stated: Component) -> bool:
    """Whether a wheel's bill names a library that its file shows: openssl-libs 3.5.1-7.el9_7, OpenSSL 3.5.1."""
    name, version = str(stated["name"]), str(stated["version"])
    return name.startswith(found["name"].lower()) and version.startswith(found.get("version", "?"))


def main(bills: list[str]) -> None:
    """Print which libraries the packages of these bills have inside."""
    artifacts: dict[tuple[str, str], list[str]] = {}
    for path in sorted(Path(bill) for bill in bills):
        for row in _rows(json.loads(path.read_text())):
            artifacts.setdefault(row, []).append(path.name.partition(".")[0])
    print("| package | libraries inside | artifacts |\n| --- | --- | --- |")
    for (package, inside_it), names in sorted(artifacts.items(), key=lambda row: row[0][0].lower()):
        print(f"| {package} | {inside_it} | {', '.join(names)} |")


def _rows(bill: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each package with libraries. Those in Rust have their own advisories, and are only in the bill."""
    for package in bill["components"]:
        libraries = [one for one in package.get("components", []) if not one.get("purl", "").startswith("pkg:cargo/")]
        if libraries:
            named = (f"{library['name']} {library.get('version', '(version not said)')}" for library in libraries)
            yield f"{package['name']} {package['version']}", ", ".join(named)


if __name__ == "__main__":
    main(sys.argv[1:])
