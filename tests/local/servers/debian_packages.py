"""How do the tests get a database server without root, and without installing anything on the machine?

Debian's own packages are resolved, downloaded, checked against the archive's signing keys and unpacked into
an ignored folder of the checkout. apt keeps its state in a temporary folder meanwhile; it takes the machine's
mirrors and proxies, and changes nothing. Programs run with the C library that came along, not the machine's.
"""

import fcntl
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).parents[3] / ".local"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# The machine's sources and the way to them may need the credentials and proxies that the machine's apt has.
SOURCES = Path("/etc/apt")
_INHERITED = re.compile(r"Acquire::(https?|socks5h?|tor|Check-|Force|Retries)", re.IGNORECASE)
_DEBIAN_RELEASES = "(sid|unstable|testing|stable|oldstable|buster|bullseye|bookworm|trixie|forky|duke)"
_ARCHITECTURES = {"x86_64": ("amd64", "x86_64-linux-gnu"), "aarch64": ("arm64", "aarch64-linux-gnu")}
_USELESS = ("doc", "man", "locale", "info", "lintian", "bug")
# Needed by scripts that we never run: we declare them installed to apt.
_PRETENDED = ("perl", "perl-base", "debconf", "init-system-helpers", "adduser", "passwd")
_MANIFEST = ".packages"
_FOLDERS = (
    "etc/apt/apt.conf.d",
    "etc/apt/preferences.d",
    "var/lib/apt/lists/partial",
    "var/cache/apt/archives/partial",
)

type Say = Callable[[str], None]


class PackagesUnavailableError(Exception):
    """The packages could not be had; the message says why, and what to do instead."""


@dataclass(frozen=True)
class Packages:
    """What to unpack: `packages` of a Debian suite with all they depend on, and `alone` without."""

    name: str
    suite: str
    packages: tuple[str, ...]
    alone: tuple[str, ...] = ()
    remedy: str = "for tests, name a server of your own on the command line"
    kept: tuple[str, ...] = ()
    """Folders of `usr/share` that are otherwise removed, like `locale`."""


@dataclass(frozen=True)
class Unpacked:
    """A folder with the packages' files, as they would lie under `/`."""

    root: Path

    def command(self, program: str) -> list[str]:
        """The words that start a program of the packages, with the libraries of the packages."""
        loader = next(path for folder in self._libraries() for path in folder.glob("ld-linux-*.so.*"))
        libraries = ":".join(str(folder) for folder in self._libraries())
        executable = str(self.root / program)
        # Loaders that are named for their version, up to 2.33, are older than this option.
        named = [] if loader.resolve().name.startswith("ld-2.") else ["--argv0", executable]
        return [str(loader), "--library-path", libraries, *named, executable]

    def _libraries(self) -> list[Path]:
        _, triplet = _architecture()
        folders = [self.root / "usr/lib" / triplet, self.root / "lib" / triplet]
        return [folder for folder in folders if folder.is_dir()]


def unpack(wanted: Packages, say: Say | None = None) -> Unpacked:
    """Return the unpacked packages, fetching them the first time.

    May be repeated and run at the same time by several processes: one works, the others wait and reuse. What
    an interrupted run leaves behind is removed by the next. Raises PackagesUnavailableError.
    """
    say = say or (lambda line: print(f"{wanted.name}: {line}", file=sys.stderr, flush=True))
    root = CACHE / wanted.name
    if not _is_complete(root, wanted):
        CACHE.mkdir(exist_ok=True)
        with _locked(CACHE / f"{wanted.name}.lock"):
            if not _is_complete(root, wanted):
                _fetch(wanted, root, say)
    return Unpacked(root)


def _is_complete(root: Path, wanted: Packages) -> bool:
    manifest = root / _MANIFEST
    return manifest.exists() and manifest.read_text().startswith(_title(wanted))


def _title(wanted: Packages) -> str:
    return f"{wanted.suite}: {' '.join(wanted.packages + wanted.alone)}\n"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(wanted: Packages, root: Path, say: Say) -> None:
    started = time.monotonic()
    partial = root.with_name(f"{root.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(root, ignore_errors=True)
    try:
        with tempfile.TemporaryDirectory(prefix="apt-") as work:
            archives = _Apt.prepare(wanted, Path(work)).download(say)
            say(f"unpacking {len(archives)} packages")
            partial.mkdir()
            _unpack(wanted, archives, partial)
        partial.rename(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    say(f"ready after {time.monotonic() - started:.0f} s: {_versions(root, wanted)}")


def _unpack(wanted: Packages, archives: list[Path], root: Path) -> None:
    manifest = [_title(wanted)]
    for archive in archives:
        _run(wanted, ["dpkg-deb", "--extract", str(archive), str(root)])
        manifest.append(_run(wanted, ["dpkg-deb", "--show", str(archive)]))
    for folder in set(_USELESS) - set(wanted.kept):
        shutil.rmtree(root / "usr/share" / folder, ignore_errors=True)
    (root / _MANIFEST).write_text("".join(manifest))


def _versions(root: Path, wanted: Packages) -> str:
    lines = (root / _MANIFEST).read_text().splitlines()[1:]
    return ", ".join(line.replace("\t", " ") for line in lines if line.split("\t")[0] in wanted.packages)


@dataclass(frozen=True)
class _Apt:
    """apt with a state of its own in a temporary folder."""

    wanted: Packages
    work: Path
    keyring: Path

    @classmethod
    def prepare(cls, wanted: Packages, work: Path) -> "_Apt":
        missing = [tool for tool in ("apt-get", "apt-config", "dpkg-deb") if shutil.which(tool) is None]
        if missing:
            raise _unavailable(wanted, f"no {' or '.join(missing)} here, as Debian and its relatives have")
        architecture, _ = _architecture(wanted)
        settings = _run(wanted, ["apt-config", "dump", "Acquire"]).splitlines()
        apt = cls(wanted, work, _keyring(wanted, work))
        for folder in _FOLDERS:
            (work / folder).mkdir(parents=True)
        (work / "status").write_text("".join(_pretend(package, architecture) for package in _PRETENDED))
        (work / "apt.conf").write_text(_configuration(work, architecture, settings))
        return apt

    def download(self, say: Say) -> list[Path]:
        """Every package that is wanted or needed, from the first mirror that has them."""
        self._update(say)
        install = ["apt-get", "install", "--quiet=2", "--yes", "--no-install-recommends"]
        plan = self._apt([*install, "--print-uris", *self.wanted.packages])
        sizes = [int(line.split()[2]) for line in plan.splitlines() if line.startswith("'")]
        say(f"downloading {len(sizes) + len(self.wanted.alone)} packages ({sum(sizes) / 1e6:.0f} MB)")
        self._apt([*install, "--download-only", *self.wanted.packages])
        archives = self.work / "var/cache/apt/archives"
        if self.wanted.alone:
            self._apt(["apt-get", "download", "--quiet=2", *self.wanted.alone], archives)
        return sorted(archives.glob("*.deb"))

    def _update(self, say: Say) -> None:
        refused = [_unavailable(self.wanted, f"apt's sources in {SOURCES} name no mirror of Debian")]
        for mirror in _mirrors(SOURCES):
            say(f"reading the package lists of Debian {self.wanted.suite} from {mirror}")
            # A late mirror is good enough for a test server; its signature must be right all the same.
            source = f"deb [signed-by={self.keyring} check-valid-until=no] {mirror} {self.wanted.suite} main\n"
            (self.work / "etc/apt/sources.list").write_text(source)
            try:
                self._apt(["apt-get", "update", "--quiet=2", "-o", "APT::Update::Error-Mode=any"])
            except PackagesUnavailableError as error:
                refused.append(error)
            else:
                return
        raise refused[-1]

    def _apt(self, command: list[str], directory: Path | None = None) -> str:
        environment = {"APT_CONFIG": str(self.work / "apt.conf"), "LC_ALL": "C"}
        return _run(self.wanted, command, directory or self.work, environment)


def _configuration(work: Path, architecture: str, settings: list[str]) -> str:
    inherited = [line for line in settings if _INHERITED.match(line)]
    own = {
        "Dir": f"{work}/",
        "Dir::State::status": work / "status",
        "Dir::Etc::netrc": SOURCES / "auth.conf",
        "Dir::Etc::netrcparts": SOURCES / "auth.conf.d",
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Debug::NoLocking": "true",
    }
    defaults = ['Acquire::Retries "3";', 'Acquire::http::Timeout "20";', 'Acquire::https::Timeout "20";']
    return "\n".join([*defaults, *inherited, *(f'{name} "{value}";' for name, value in own.items()), ""])


def _pretend(package: str, architecture: str) -> str:
    return (
        f"Package: {package}\nStatus: install ok installed\nArchitecture: {architecture}\n"
        "Multi-Arch: allowed\nVersion: 999\nMaintainer: nobody\nDescription: not needed\n\n"
    )


def _mirrors(sources: Path) -> list[str]:
    """The Debian mirrors that the machine's apt uses, without repetition.

    Somebody else's repository that looks like one is harmless: Debian's signature is asked for in any case.
    """
    files = [sources / "sources.list", *sorted((sources / "sources.list.d").glob("*"))]
    lines = [line for file in files if file.is_file() for line in _one_line_sources(file)]
    is_debian = re.compile(rf"(https?://\S+/debian[^/\s]*)/? .*\b{_DEBIAN_RELEASES} .*\bmain\b")
    found = [match[1] for line in lines if (match := is_debian.match(line))]
    main = [mirror for mirror in found if not mirror.endswith(("-security", "-debug", "-ports"))]
    return list(dict.fromkeys(main))


def _one_line_sources(file: Path) -> Iterator[str]:
    """`URI suites components` for each enabled binary source of a `.list` or `.sources` file."""
    text = re.sub(r"(?m)^\s*#.*\n?", "", file.read_text(errors="replace"))
    if file.suffix == ".list":
        yield from re.findall(r"(?m)^\s*deb\s+(?:\[[^\]]*\]\s*)?(\S.*)$", text)
    if file.suffix == ".sources":
        for stanza in re.split(r"\n\s*\n", text):
            fields = {
                name.lower(): value.split() for name, value in re.findall(r"(?m)^([\w-]+):((?:.*\n?[ \t])*.*)$", stanza)
            }
            if "deb" in fields.get("types", []) and fields.get("enabled") != ["no"]:
                rest = fields.get("suites", []) + fields.get("components", [])
                yield from (" ".join([uri, *rest]) for uri in fields.get("uris", []))


def _keyring(wanted: Packages, work: Path) -> Path:
    """Debian's public keys: the machine's or, on a relative of Debian, from that distribution's package."""
    if KEYRING.exists():
        return KEYRING
    try:
        _run(wanted, ["apt-get", "download", "--quiet=2", "debian-archive-keyring"], work)
        [archive] = work.glob("debian-archive-keyring*.deb")
        _run(wanted, ["dpkg-deb", "--extract", str(archive), str(work / "keyring")])
    except (PackagesUnavailableError, ValueError) as error:
        reason = f"Debian's public keys are missing ({KEYRING}); install the package debian-archive-keyring"
        raise _unavailable(wanted, reason) from error
    return work / "keyring" / KEYRING.relative_to("/")


def _architecture(wanted: Packages | None = None) -> tuple[str, str]:
    try:
        return _ARCHITECTURES[platform.machine()]
    except KeyError:
        reason = f"there are only {' and '.join(_ARCHITECTURES)} recipes, and this is {platform.machine()}"
        raise _unavailable(wanted or Packages("packages", "", ()), reason) from None


def _run(
    wanted: Packages,
    command: list[str],
    directory: Path | None = None,
    environment: dict[str, str] | None = None,
) -> str:
    result = subprocess.run(  # noqa: S603  the words are ours
        command,
        cwd=directory,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        said = "; ".join(line for line in result.stderr.splitlines() if line.startswith(("E:", "W:", "dpkg-deb:")))
        raise _unavailable(wanted, f"{shlex.join(command[:2])} failed: {(said or result.stderr.strip()).rstrip('.')}")
    return result.stdout


def _unavailable(wanted: Packages, reason: str) -> PackagesUnavailableError:
    return PackagesUnavailableError(f"{wanted.name} could not be fetched: {reason}. Instead, {wanted.remedy}.")
