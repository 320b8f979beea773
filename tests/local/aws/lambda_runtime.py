"""How does a function run as Lambda would run it, without AWS and without a container engine?

The artifact that `sam build` made, and its layer, run in Lambda's own runtime interface emulator, which comes
with the wheel of SAM's command line, with Lambda's own interface client for Python. They see nothing else: no
package of the development environment, and no variable of ours but those that they are given.

The emulator is a Linux program. Elsewhere, the artifact's libraries could not be loaded either, so the
sources run in a Python process of their own instead; that proves less, so it is said aloud.
"""

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

from tests.local.aws import template
from tests.local.evidence import keep_text
from tests.local.servers.processes import LOOPBACK, Process, accepts_connections, free_port, running

EMULATED_ACCOUNT = "012345678912"
"""The account in the ARN that the emulator tells a function of itself, with the Region us-east-1 and its name."""

_CHECKOUT = Path(__file__).parents[3]
BUILT_TEMPLATE = _CHECKOUT / ".local/build/template.yaml"
_SOURCE_TEMPLATE = _CHECKOUT / "template.yaml"
RUNTIME_PACKAGES = _CHECKOUT / ".local/runtime"
_EMULATORS = _CHECKOUT / ".local/sam/lib/python3.13/site-packages/samcli/local/rapid"
_PLAIN_RUNTIME = Path(__file__).with_name("plain_runtime.py")
_PATIENCE_BEYOND_TIMEOUT = 30
_TIMED_OUT = "Sandbox.Timedout"
# Credentials that no one would take for real ones, so that a forgotten endpoint cannot do harm.
_NO_ACCOUNT = {
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class FunctionError(Exception):
    """The function failed, and Lambda says how."""

    def __init__(self, error_type: str, message: str) -> None:
        """`error_type` is the name of the exception's class, or Lambda's own as `Sandbox.Timedout`."""
        super().__init__(f"{error_type}: {message}")
        self.error_type = error_type
        self.message = message


@dataclass(frozen=True)
class Function:
    """One function, as a template describes it, or as somebody else runs it."""

    name: str
    directory: Path
    handler: str
    layers: tuple[Path, ...]
    timeout: int
    memory: int
    environment: Mapping[str, str]
    python: Path | None = None
    """What runs it, if it brings a Python of its own, in which Lambda's client and boto3 are installed."""

    @classmethod
    def read(cls, name: str, path: Path) -> Self:
        """Find a function in a template, built or not. Raises LookupError."""
        whole = template.load(path)
        properties = template.function_properties(whole, name)
        layers = template.resources(whole, "AWS::Serverless::LayerVersion")
        contents = (path.parent / layers[layer["Ref"]]["ContentUri"] for layer in properties["Layers"])
        variables = properties["Environment"]["Variables"].items()
        values = ((key, template.literal(whole, value)) for key, value in variables)
        return cls(
            name=name,
            directory=path.parent / (properties.get("CodeUri") or properties["Code"]),
            handler=properties["Handler"],
            layers=tuple(map(layer, contents)),
            timeout=properties["Timeout"],
            memory=properties["MemorySize"],
            environment={key: value for key, value in values if value is not None},
        )


class _Runtime(Protocol):
    """Runs a function."""

    @property
    def log(self) -> Path:
        """Where everything goes that the function prints."""

    def call(self, event: str) -> Any:  # noqa: ANN401 - whatever the function returns
        """What the function returns for an event. Raises FunctionError."""

    def kill(self) -> None:
        """Kill the function's process, if it has one now."""


class LambdaRuntime:
    """One function, ready to be called for as long as a `with` block.

    It is named as in the template, or given as a whole.
    `environment` is added to what the template gives the function, `timeout_seconds` replaces the template's.
    A function that ran into its timeout, or ended its process, can be called again, as on Lambda: it starts
    anew.
    """

    def __init__(
        self,
        function: str | Function,
        environment: Mapping[str, str] | None = None,
        *,
        timeout_seconds: int | None = None,
        emulated: bool | None = None,
    ) -> None:
        """Raises LookupError: the template has no such function; FileNotFoundError: it is not built.

        `emulated` is whether the emulator is used; None: on Linux.
        """
        self.emulated = sys.platform == "linux" if emulated is None else emulated
        path = BUILT_TEMPLATE if self.emulated else _SOURCE_TEMPLATE
        declared = function if isinstance(function, Function) else Function.read(function, path)
        self.function = replace(
            declared,
            timeout=timeout_seconds or declared.timeout,
            environment={**_NO_ACCOUNT, **declared.environment, **(environment or {})},
        )
        self._stack = ExitStack()
        self._one_at_a_time = threading.Lock()
        self._runtime: _Runtime

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lambda-")))
            start = _emulate if self.emulated else _run_plainly
            self._runtime = start(self.function, directory, stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        keep_text(f"the log of {self.function.name}", self.logs())
        self._stack.close()

    def invoke(self, event: Mapping[str, object]) -> Any:  # noqa: ANN401 - whatever the function returns
        """Call the function and return what it returns. Raises FunctionError if it fails, for any reason.

        Threads take turns, as on Lambda each call has an environment of its own.
        """
        with self._one_at_a_time:
            try:
                return self._runtime.call(json.dumps(event))
            except FunctionError as error:
                keep_text(f"an error of {self.function.name}", str(error))
                raise

    def kill(self) -> None:
        """Kill the function's process, if it has one now. What it was doing fails; the next call starts it anew."""
        self._runtime.kill()

    def logs(self) -> str:
        """Everything that the function, and its runtime, has printed so far."""
        return self._runtime.log.read_text(errors="replace")


@dataclass(frozen=True)
class _Emulator:
    log: Path
    url: str
    patience: float
    process: Process
    killed: list[int] = field(default_factory=list)

    def call(self, event: str) -> Any:  # noqa: ANN401
        request = urllib.request.Request(self.url, event.encode())  # noqa: S310 - the address is ours
        try:
            with urllib.request.urlopen(request, timeout=self.patience) as response:  # noqa: S310
                return _returned(response.read().decode())
        except urllib.error.HTTPError as error:  # the runtime ended, or could not begin
            return _returned(error.read().decode())
        except OSError as error:
            raise FunctionError("Runtime.Unreachable", f"the emulator did not answer: {error}") from error

    def kill(self) -> None:
        for child in filter(_is_function, _children(self.process.pid)):
            self.killed.append(child)
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def end(self) -> None:
        """End an emulator that would wait ten seconds for a function that was killed before it ends by itself."""
        if self.killed:
            self.kill()
            os.kill(self.process.pid, signal.SIGKILL)


@dataclass(frozen=True)
class _PlainProcess:
    log: Path
    function: Function
    result: Path
    busy: list[subprocess.Popen[str]] = field(default_factory=list)

    def call(self, event: str) -> Any:  # noqa: ANN401
        self.result.unlink(missing_ok=True)
        with (
            self.log.open("a") as log,
            subprocess.Popen(  # noqa: S603 - the words are ours
                [sys.executable, "-P", _PLAIN_RUNTIME, self.function.handler, self.result],
                stdin=subprocess.PIPE,
                text=True,
                stdout=log,
                stderr=log,
                cwd=self.function.directory,
                env=variables(self.function),
            ) as process,
        ):
            self.busy[:] = [process]
            self._feed(process, event)
        if not self.result.exists():
            message = f"Runtime exited with error: exit status {process.returncode}"
            raise FunctionError("Runtime.ExitError", message)
        return _returned(self.result.read_text())

    def kill(self) -> None:
        for process in self.busy:
            process.kill()

    def _feed(self, process: subprocess.Popen[str], event: str) -> None:
        try:
            process.communicate(event, timeout=self.function.timeout)
        except subprocess.TimeoutExpired as error:
            message = f"Task timed out after {self.function.timeout}.00 seconds"
            raise FunctionError(_TIMED_OUT, message) from error
        finally:
            process.kill()


def printed(log: str) -> list[str]:
    """What of a log is there on Lambda, too: the emulator adds lines about itself."""
    return [line for line in log.splitlines() if "] (rapid) " not in line]


def _emulate(function: Function, directory: Path, stack: ExitStack) -> _Runtime:
    front, back = free_port(), free_port()
    addresses = (
        *("--runtime-interface-emulator-address", f"{LOOPBACK}:{front}"),
        *("--runtime-api-address", f"{LOOPBACK}:{back}"),
    )
    # -S: without the packages that this Python has installed.
    python = (function.python,) if function.python else (sys.executable, "-S")
    log = directory / "log"
    process = stack.enter_context(
        running(
            [_emulator(), *addresses, *python, "-m", "awslambdaric", function.handler],
            log=log,
            environment=variables(function, *([] if function.python else [RUNTIME_PACKAGES])),
            directory=function.directory,
        )
    )
    process.wait_until(lambda: accepts_connections(front))
    url = f"http://{LOOPBACK}:{front}/2015-03-31/functions/function/invocations"
    emulator = _Emulator(log, url, function.timeout + _PATIENCE_BEYOND_TIMEOUT, process)
    stack.callback(emulator.end)
    return emulator


def _children(parent: int) -> Iterator[int]:
    """Yield the processes that a process has started. The emulator is a Linux program, so /proc is there."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # one that has just ended
            if int(path.read_text().rpartition(") ")[2].split()[1]) == parent:  # its name can have any character
                yield int(path.parent.name)


def _is_function(process: int) -> bool:
    """Tell a function's process from the shell that ends the emulator with us."""
    with suppress(OSError):
        return b"-m\0awslambdaric\0" in Path(f"/proc/{process}/cmdline").read_bytes().partition(b"-S\0")[2]
    return False


def _run_plainly(function: Function, directory: Path, _: ExitStack) -> _Runtime:
    print(f"{function.name} runs from its sources in plain Python, not in Lambda's runtime emulator.")
    log = directory / "log"
    log.touch()
    return _PlainProcess(log, function, directory / "result.json")


def variables(function: Function, *packages: Path) -> dict[str, str]:
    """The variables that Lambda sets, and the function's own; on the path are its folders, and `packages`."""
    region = function.environment["AWS_REGION"]
    return {
        "PATH": os.defpath,
        "TZ": ":UTC",
        "LANG": "en_US.UTF-8",
        "AWS_DEFAULT_REGION": region,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout),
        "LAMBDA_TASK_ROOT": str(function.directory),
        "PYTHONPATH": os.pathsep.join(map(str, (function.directory, *function.layers, *packages))),
        **function.environment,
    }


def _returned(body: str) -> Any:  # noqa: ANN401
    """What the function returned. Raises FunctionError: the emulator tells most failures in the body only."""
    try:
        value = json.loads(body)
    except ValueError:
        # A timeout is plain text, the only one there is.
        raise FunctionError(_TIMED_OUT, body) from None
    if isinstance(value, dict) and value.keys() >= {"errorType", "errorMessage"}:
        raise FunctionError(value["errorType"], value["errorMessage"])
    return value


def layer(content: Path) -> Path:
    """Return what of a layer is on the path: a built one has a folder for Python."""
    built = content / "python"
    return built if built.exists() else content


def _emulator() -> Path:
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return _EMULATORS / f"aws-lambda-rie-{machine}"
