"""A project of two functions, whose clients come as wheels for a processor, and an index that offers them."""

import hashlib
import io
import json
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.local.servers.processes import LOOPBACK

CHECKOUT = Path(__file__).parents[2]
PYTHON = CHECKOUT / ".local/supply/bin/python"
SAM = CHECKOUT / ".local/sam/bin/sam"
MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
CLIENT, CLIENT_OF_ONE = "native_client", "db2_client"
GENUINE, CHANGED = "genuine", "changed"

ANY_PROCESSOR, ONE_PROCESSOR = "AnyProcessor", "OneProcessor"
"""A function that runs on what is built for, and one that does not, as Db2's."""

_NO_NEWS_OF_SAM = '{"lastVersionCheck": 4102444800.0}'  # in 2100; once a week, it asks whether it is still the newest
_METADATA = "Metadata-Version: 2.1\nName: {}\nVersion: 1.0\n"
_TEMPLATE = {
    "Transform": "AWS::Serverless-2016-10-31",
    "Parameters": {"Architecture": {"Type": "String", "Default": "arm64"}},
    "Globals": {
        "Function": {"Runtime": "python3.13", "Handler": "app.handler", "Architectures": [{"Ref": "Architecture"}]}
    },
    "Resources": {
        ANY_PROCESSOR: {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": ANY_PROCESSOR}},
        ONE_PROCESSOR: {
            "Type": "AWS::Serverless::Function",
            "Properties": {"CodeUri": ONE_PROCESSOR, "Architectures": ["x86_64"]},
        },
    },
}


@dataclass(frozen=True)
class Project:
    """A folder with a template, and an index on this machine, which is the only one that pip knows."""

    folder: Path
    index: Path
    index_url: str
    requests: list[str] = field(default_factory=list)
    """What the index was asked for, and what it was asked to fetch from elsewhere."""

    def require(self, function: str, client: str, *hashes: str) -> None:
        """Write a function that needs a client with one of these hashes."""
        folder = self.folder / function
        folder.mkdir(exist_ok=True)
        (folder / "app.py").touch()
        requirement = " ".join([f"{client}==1.0", *(f"--hash=sha256:{one}" for one in hashes)])
        (folder / "requirements.txt").write_text(requirement)

    def offer(self, architecture: str, content: str, client: str = CLIENT) -> str:
        """Have the index offer a client's wheel for a processor, in place of an earlier one; return its hash."""
        return write_wheel(self.index / client.replace("_", "-"), architecture, content, client)

    @property
    def configuration(self) -> Path:
        """The file of pip's configuration, which a user has for all of his projects."""
        return self.folder / "pip/pip.conf"

    @property
    def environment(self) -> dict[str, str]:
        """What leads pip to the index; and if it looks anywhere else, that is where it comes out."""
        proxy = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), self.index_url)
        return {"PIP_INDEX_URL": self.index_url, "XDG_CONFIG_HOME": str(self.folder), **proxy}

    def build(self, architecture: str = "") -> subprocess.CompletedProcess[str]:
        """Build as the Makefile does, for the processor that one names or else for that of the configuration."""
        told = ["--architecture", architecture] if architecture else []
        return self._run(PYTHON, "-m", "supply.build", ".aws-sam/build", *told)

    def build_with_sam_alone(self) -> subprocess.CompletedProcess[str]:
        """Build as somebody does who does not use the Makefile."""
        return self._run(SAM, "build")

    def _run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        path = f"{PYTHON.parent}{os.pathsep}{os.environ['PATH']}"
        own = {
            "PYTHONPATH": str(CHECKOUT),
            "PATH": path,
            "SAM_CLI_TELEMETRY": "0",
            "__SAM_CLI_APP_DIR": str(self.folder),
        }
        return subprocess.run(  # noqa: S603 - the words are ours
            command,
            cwd=self.folder,
            env={**os.environ, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def built(self, function: str) -> tuple[str, str]:
        """What stands in an artifact's client, and the processor that its wheel was for."""
        artifact = self.folder / ".aws-sam/build" / function
        [metadata] = artifact.glob("*.dist-info/WHEEL")
        machine = metadata.read_text().strip().rpartition("manylinux_2_28_")[2]
        [module] = artifact.glob("*_client.py")
        return module.read_text(), machine


@contextmanager
def project(folder: Path) -> Iterator[Project]:
    """A project in an empty folder, and its index while it runs."""
    index = folder / "index"
    requests: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, _format: str, *_arguments: object) -> None:
            requests.append(self.path)

    for client in (CLIENT, CLIENT_OF_ONE):
        (index / client.replace("_", "-")).mkdir(parents=True)
    (folder / "template.yaml").write_text(json.dumps(_TEMPLATE))
    (folder / "metadata.json").write_text(_NO_NEWS_OF_SAM)
    with ThreadingHTTPServer((LOOPBACK, 0), partial(Handler, directory=index)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            made = Project(folder, index, f"http://{LOOPBACK}:{server.server_port}/", requests)
            made.configuration.parent.mkdir()
            made.configuration.write_text(f"[global]\nextra-index-url = {made.index_url}\nno-cache-dir = true\n")
            yield made
        finally:
            server.shutdown()


def write_wheel(folder: Path, architecture: str, content: str, client: str = CLIENT) -> str:
    """Write a client's wheel for a processor; return its hash."""
    tag = f"cp313-cp313-manylinux_2_28_{MACHINES[architecture]}"
    files = {
        f"{client}.py": content,
        f"{client}-1.0.dist-info/METADATA": _METADATA.format(client),
        f"{client}-1.0.dist-info/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n",
        f"{client}-1.0.dist-info/RECORD": "",
    }
    path = folder / f"{client}-1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(zipfile.ZipInfo(name), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_source_distribution(folder: Path, executed: Path) -> str:
    """Write the client's source distribution, which leaves a trace when it is built or asked; return its hash."""
    setup = (
        f"open({str(executed)!r}, 'w').close()\nimport setuptools\nsetuptools.setup(name={CLIENT!r}, version='1.0')\n"
    )
    path = folder / f"{CLIENT}-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in {"PKG-INFO": _METADATA.format(CLIENT), "setup.py": setup}.items():
            member = tarfile.TarInfo(f"{CLIENT}-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()
