"""What do the tests of the pages' commands share?"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest

from tests import documents
from tests.laboratories import Laboratory
from tests.laboratories.postgresql import PostgreSQLLaboratory
from tests.local.aws.secrets_manager import REGION, LocalSecretsManager
from tests.local.forked_commands import serving
from tests.service.pages.reader import OTHER_REGION, OTHER_STACK, STACK, World, drop_users


@pytest.fixture(scope="session")
def _service() -> Iterator[LocalSecretsManager]:
    with LocalSecretsManager(attempts=1, rotate_before_answering=True) as service:
        for stack, region in ((STACK, REGION), (STACK, OTHER_REGION), (OTHER_STACK, REGION)):
            session = boto3.Session("test", "test", region_name=region)
            cloudformation = session.client("cloudformation", endpoint_url=service.endpoint_url)
            function = f"arn:aws:lambda:{REGION}:{service.account_id}:function:{stack}-PostgreSql"
            outputs = {"PostgreSqlFunctionArn": {"Value": function}, "LogGroupName": {"Value": f"/{stack}"}}
            template = json.dumps({"Resources": {}, "Outputs": outputs})
            cloudformation.create_stack(StackName=stack, TemplateBody=template)
        yield service


@pytest.fixture(scope="session")
def _programs(_service: LocalSecretsManager) -> Iterator[Path]:
    with serving({**os.environ, **_service.environment, "PYTHONPATH": os.pathsep.join(sys.path)}) as programs:
        yield programs


@pytest.fixture
def new_world(
    _service: LocalSecretsManager, _programs: Path, _connected: None, tmp_path: Path
) -> Iterator[Callable[[Laboratory], World]]:
    """Makes a world around a server; its users are gone afterwards."""
    path = os.pathsep.join([str(_programs), os.environ["PATH"]])
    # Who writes a value with this name is no function, and its password no generated one.
    shell = {"PATH": path, "AWS_SDK_UA_APP_ID": "operator", "COLUMNS": "500"}
    environment = {**os.environ, **_service.environment, **shell}
    environment.pop("PYTHONPATH", None)  # the workers of pytest set it, and the python3 of a page is another one
    worlds = []

    def world(laboratory: Laboratory) -> World:
        worlds.append(World(laboratory, _service, documents.Terminal(tmp_path, environment)))
        return worlds[-1]

    yield world
    _service.forget()
    for made in worlds:
        drop_users(made)


@pytest.fixture
def world(new_world: Callable[[Laboratory], World], postgresql: PostgreSQLLaboratory) -> World:
    """Everything, around PostgreSQL."""
    return new_world(postgresql)
