"""Where do the tests deploy to? An AWS on this machine that takes CloudFormation, for as long as a `with` block.

MiniStack is that AWS, but for Secrets Manager. MiniStack's own calls no function to rotate a secret, and does not list
the functions that rotate; so what is deployed is led to ours, which calls functions by Lambda's API.

It is a stand-in: it runs functions in its own Python, beside its own packages, asks no role for permission and connects
nothing to a VPC. It knows no AWS::SecretsManager::RotationSchedule, and sees no change where nothing but a condition
changes. It knows no AWS::Logs::QueryDefinition, so those are left out. If a resource cannot be deleted, it goes on to
delete what that resource needs, as CloudFormation does
(https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/852).
"""

import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import boto3
from botocore.config import Config

from tests.local.aws import template
from tests.local.aws.lambda_runtime import FunctionError
from tests.local.aws.secrets_manager import REGION, LocalSecretsManager
from tests.local.servers.processes import LOOPBACK, accepts_connections, free_port, run_once, running

_CHECKOUT = Path(__file__).parents[3]
_BUILT_TEMPLATE = _CHECKOUT / ".local/build/template.yaml"
_CONFIGURATION = _CHECKOUT / "samconfig.toml"
_SAM = _CHECKOUT / ".local/sam/bin/sam"
_PYTHON = _CHECKOUT / ".local/aws/bin/python"
_ARCHITECTURE = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
_ONE_TRY = Config(retries={"total_max_attempts": 1}, proxies={})
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
UNKNOWN = {"AWS::Logs::QueryDefinition"}
"""Types of resources that this AWS refuses, and that nothing else in the template needs."""
# Nobody listens there: what would leave this machine fails at once. SAM, for one, asks whether there is a newer SAM.
_NO_INTERNET = {"HTTPS_PROXY": f"http://{LOOPBACK}:9", "HTTP_PROXY": f"http://{LOOPBACK}:9", "NO_PROXY": LOOPBACK}


@dataclass(frozen=True)
class LocalAws:
    """An AWS that runs, on the loopback interface only."""

    endpoint_url: str
    home: Path
    build: Path
    """The folder of the artifacts that `deploy` takes."""
    _session: Any = field(default_factory=lambda: boto3.Session("test", "test", region_name=REGION))
    _one_at_a_time: Lock = field(default_factory=Lock)

    def client(self, service: str) -> Any:  # noqa: ANN401 - only the services that the functions call have types here
        """Return a client of one of its services; a call is tried once."""
        with self._one_at_a_time:
            return self._session.client(service, endpoint_url=self.endpoint_url, config=_ONE_TRY)

    def deploy(self, stack: str, **parameters: str) -> None:
        """Deploy what is built, as `make deploy` does, under a name of its own. Raises ProcessFailedError."""
        with tempfile.NamedTemporaryFile("w", dir=self.build, suffix=".yaml") as copy:
            json.dump(_evaluable(template.load(_BUILT_TEMPLATE)), copy)
            copy.flush()
            values = {"Architecture": _ARCHITECTURE, **parameters}
            run_once(
                [
                    *(_SAM, "deploy", "--template-file", copy.name, "--config-file", _CONFIGURATION),
                    *("--stack-name", stack, "--region", REGION, "--no-confirm-changeset", "--no-progressbar"),
                    *("--parameter-overrides", *(f"{name}={value}" for name, value in values.items())),
                ],
                environment={
                    **_CREDENTIALS,
                    **_NO_INTERNET,
                    "AWS_ENDPOINT_URL": self.endpoint_url,
                    "HOME": str(self.home),
                    "PATH": os.defpath,
                    "SAM_CLI_POLL_DELAY": "0.1",
                    "SAM_CLI_TELEMETRY": "0",
                },
                directory=self.home,
            )

    def invoke(self, function: str, event: Mapping[str, object]) -> Any:  # noqa: ANN401 - whatever the function returns
        """Call a function by its name or ARN and return what it returns. Raises FunctionError if it fails."""
        answer = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        value = json.load(answer["Payload"])
        if "FunctionError" in answer:
            raise FunctionError(value["errorType"], value["errorMessage"])
        return value


@contextmanager
def start(secrets_manager: LocalSecretsManager) -> Iterator[LocalAws]:
    """Run an AWS with this Secrets Manager, in the same account, until the block ends. Raises ProcessFailedError."""
    with tempfile.TemporaryDirectory(prefix="aws-", ignore_cleanup_errors=True) as temporary:
        home, port = Path(temporary), free_port()
        build = _snapshot(home / "checkout")
        environment = {
            **_NO_INTERNET,
            # Its functions inherit these two.
            "ALLOW_LOCAL_HOSTS": "true",
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets_manager.endpoint_url,
            "BIND_HOST": LOOPBACK,
            "GATEWAY_PORT": str(port),
            "HOME": str(home),
            "IOT_MTLS_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
            "MINISTACK_ACCOUNT_ID": secrets_manager.account_id,
            "MINISTACK_HOST": LOOPBACK,
            "PATH": os.defpath,
            "S3_DATA_DIR": str(home / "s3"),
            "SFTP_ENABLED": "0",
            "STATE_DIR": str(home / "state"),
            "TMPDIR": str(home),
        }
        with running(
            [_PYTHON, "-P", "-m", "ministack"], log=home / "log", environment=environment, directory=home
        ) as process:
            process.wait_until(lambda: accepts_connections(port))
            yield LocalAws(f"http://{LOOPBACK}:{port}", home, build)


def _snapshot(checkout: Path) -> Path:
    """Return a copy of the built artifacts, with the two files of the checkout that the template names."""
    build = checkout / _BUILT_TEMPLATE.parent.relative_to(_CHECKOUT)
    shutil.copytree(_BUILT_TEMPLATE.parent, build, ignore=_client_of_db2, copy_function=_link_or_copy)
    for name in ("LICENSE", "README.md"):
        shutil.copy2(_CHECKOUT / name, checkout / name)
    return build


def _client_of_db2(folder: str, names: list[str]) -> list[str]:
    """Return what of a folder is not copied: IBM's client, 136 MB that SAM would compress at each deployment.

    Db2's function is not deployed here.
    """
    return [name for name in names if not name.endswith(".py")] if Path(folder).name == "Db2Function" else []


def _link_or_copy(source: str, target: str) -> None:
    """Give a file a second name; copy it if that is on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _evaluable(whole: dict[str, Any]) -> dict[str, Any]:
    """Return a template whose conditions MiniStack evaluates, and so makes what is to be made and nothing else.

    It takes Fn::Join for a text there. Of a list that is empty, or begins with a text that is not, Fn::Select says the
    same: whether there is anything in it.
    """
    return {**without_unknown(whole), "Conditions": _selecting(whole["Conditions"])}


def without_unknown(whole: dict[str, Any]) -> dict[str, Any]:
    """Return a template without the resources of which MiniStack does not know the type."""
    known = {name: one for name, one in whole["Resources"].items() if "Type" not in one or one["Type"] not in UNKNOWN}
    return {**whole, "Resources": known}


def _selecting(value: Any) -> Any:  # noqa: ANN401 - whatever stands in a template
    match value:
        case {"Fn::Join": ["", {"Ref": _} as elements]}:
            return {"Fn::Select": [0, elements]}
        case {"Fn::Join": _}:
            raise NotImplementedError(value)
        case dict():
            return {key: _selecting(one) for key, one in value.items()}
        case list():
            return [_selecting(one) for one in value]
        case _:
            return value
