"""Run a laptop-sized AWS until Ctrl-C, with a secret whose rotation waits for you to do its steps.

For `sam local invoke`, which runs the function in a container, it writes the events that Secrets Manager would send,
and the file for --env-vars.
"""

import argparse
import ipaddress
import json
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.local.aws.secrets_manager import REGION
from tests.local.aws.secrets_manager_rotation import STEPS
from tests.local.demo import DemoError
from tests.local.demo.command import run, wait_for_interrupt
from tests.local.demo.databases import Engine
from tests.local.demo.engines import ENGINES, engine_named, fetch_server
from tests.local.demo.laptop import Event, Laptop
from tests.local.demo.screen import Screen
from tests.local.servers.processes import LOOPBACK
from tests.local.servers.relay import relaying

_FILES = Path(".local/laptop")
_TEMPLATE = ".local/build/template.yaml"
_ARCHITECTURE = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"


def main(words: Sequence[str] | None = None) -> int:
    """Return 0: Ctrl-C, which is how it ends well; 1: something failed. Whatever was started has ended by then."""
    return run(lambda: _serve(_arguments(words)), "The laptop-sized AWS")


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.local.invoke.waiting_rotation", description=__doc__)
    databases = f"the database: {', '.join(ENGINES)}; default: %(default)s"
    parser.add_argument("--engine", default="postgresql", help=databases)
    parser.add_argument(
        "--address",
        default="host.docker.internal",
        help="the address at which a container reaches this machine: a name for 127.0.0.1, or one of this machine's "
        "IPv4 addresses, which is listened on; default: %(default)s",
    )
    return parser.parse_args(words)


def _serve(arguments: argparse.Namespace) -> None:
    screen, engine = Screen.on(sys.stdout), engine_named(arguments.engine)
    fetch_server(arguments.engine)
    with waiting_rotation(screen, engine, arguments.address, _FILES / arguments.engine) as waiting:
        _invite(screen, waiting)
        wait_for_interrupt()


@dataclass(frozen=True)
class WaitingRotation:
    """A rotation that Secrets Manager has begun, and whose steps nobody does."""

    laptop: Laptop
    secret_id: str
    address: str
    """The address at which a container reaches this machine."""
    folder: Path
    """Has the files, as long as they are of use."""

    def event_file(self, step: str) -> Path:
        """Return the file with the event for a step, which is named as those in `events/`."""
        return self.folder / f"{step}.json".replace("Secret", "-secret")

    @property
    def environment_file(self) -> Path:
        """The file for --env-vars."""
        return self.folder / "env-vars.json"

    def command(self, function: str, event: Path | str) -> str:
        """Return the command that runs a function, built for this machine's processor, in a container."""
        build = f"--template {_TEMPLATE} --language-extensions --parameter-overrides Architecture={_ARCHITECTURE}"
        files = f"--event {event} --env-vars {self.environment_file}"
        return f".local/sam/bin/sam local invoke {function} {build} {files}"

    def write_event(self, event: Event) -> None:
        """Keep what Secrets Manager sends."""
        _write(self.event_file(str(event["Step"])), event)

    def write_environment(self, port: int) -> None:
        """Write for every function, and of these variables SAM sets those that it declares in the template."""
        variables = {
            "ALLOW_LOCAL_HOSTS": "true",
            "SECRETS_MANAGER_ENDPOINT": f"http://{self.address}:{port}",
            "ROTATION_FUNCTION_PREFIX": f"arn:aws:lambda:{REGION}:{self.laptop.manager.account_id}:function:",
        }
        _write(self.environment_file, {"Parameters": variables})


@contextmanager
def waiting_rotation(screen: Screen, engine: Engine, address: str, folder: Path) -> Iterator[WaitingRotation]:
    """Start everything, and have a secret rotate; stop it at the end of the block, and remove the files.

    Whoever rotates the secret again finds the next events in the same files. Raises DemoError.
    """
    with ExitStack() as stack:
        laptop = Laptop.start(screen, engine, stack)
        port = urlsplit(laptop.manager.endpoint_url).port or 0
        for each in (port, laptop.database.admin.port):
            _listen(address, each, stack)
        # Without TLS: the certificate is for other names, and a container has no file with its authority.
        secret_id = laptop.new_secret(engine.strategies[0], host=address, ssl=False)
        folder.mkdir(parents=True, exist_ok=True)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        waiting = WaitingRotation(laptop, secret_id, address, folder)
        waiting.write_environment(port)
        laptop.rotate(secret_id, waiting.write_event)
        yield waiting


def _listen(address: str, port: int, stack: ExitStack) -> None:
    """Listen on an address of this machine, too; not on a name, which others resolve to 127.0.0.1."""
    if address == LOOPBACK or not _is_ipv4(address):
        return
    try:
        stack.enter_context(relaying(address, port))
    except OSError as error:
        raise DemoError(
            f"cannot listen on {address}, port {port}: {error}. ADDRESS must be one of this machine"
        ) from error


def _is_ipv4(address: str) -> bool:
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        return False
    return True


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def _invite(screen: Screen, waiting: WaitingRotation) -> None:
    function, secret_id = waiting.laptop.engine.function, waiting.secret_id
    steps = " ".join(waiting.event_file(step).stem for step in STEPS)
    screen.pause()
    screen.chapter(
        "A rotation waits for you",
        f"Secrets Manager has begun to rotate {secret_id}, and nobody does the steps. If there is a container engine, "
        "SAM does them, in Lambda's own image. In another terminal, in this folder:",
    )
    screen.copyable(
        [
            *(f"export {name}={value}" for name, value in waiting.laptop.manager.environment.items()),
            f"for step in {steps}; do",
            f"  {waiting.command(function, waiting.folder / '$step.json')}",
            "done",
            f".local/python/bin/aws secretsmanager list-secret-version-ids --secret-id {secret_id}",
            f".local/python/bin/aws secretsmanager rotate-secret --secret-id {secret_id} # writes the next events",
            waiting.command("OverdueFunction", "events/overdue.json"),
        ]
    )
    screen.pause()
    screen.conclude(
        f"One address has to be right: {waiting.address}, at which a container reaches this machine. Docker Desktop "
        "has host.docker.internal for that. Docker Engine on Linux has the gateway of its bridge: make aws "
        "ADDRESS=172.17.0.1, as a rule (docker network inspect bridge). An address that is given so is open to whoever "
        "reaches it, while this runs."
    )


if __name__ == "__main__":
    sys.exit(main())
