"""Does a client go where botocore's own would, though the session reads no list of endpoints?"""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.loaders import JSONFileLoader

from rotation import aws

ROOT = Path(__file__).parents[2]
PARTITIONS = json.loads((Path(botocore.session.__file__).parent / "data/partitions.json").read_text())["partitions"]
REGIONS = {each["id"]: sorted(region for region in each["regions"] if "global" not in region) for each in PARTITIONS}
QUICK = {REGIONS[partition][0] for partition in ("aws", "aws-cn", "aws-us-gov")}
CASES = [
    pytest.param(region, id=region, marks=[] if region in QUICK else [pytest.mark.thorough])
    for regions in REGIONS.values()
    for region in regions
]

CALLS: dict[str, tuple[str, dict[str, object]]] = {
    "secretsmanager": ("describe_secret", {"SecretId": "app"}),
    "rds": ("describe_db_instances", {}),
    "events": ("put_events", {"Entries": [{"Source": "rotation"}]}),
    "sts": ("assume_role", {"RoleArn": "arn:aws:iam::123456789012:role/app", "RoleSessionName": "app"}),
    "lambda": ("get_function", {"FunctionName": "app"}),
    "s3": ("list_buckets", {}),
}
"""A call of each service that a function calls."""


class Asked(Exception):
    """A request is about to be sent: where to, and for which Region it is signed."""


def request(session: Any, service: str, config: Config) -> str:  # noqa: ANN401 - botocore has no types
    """Return where a call goes, and what its signature is for; or why it cannot be made."""
    operation, arguments = CALLS[service]

    def stop(request: Any, **_: object) -> None:  # noqa: ANN401 - as above
        signed = request.headers["Authorization"].decode().partition("Credential=")[2].partition(",")[0]
        raise Asked(request.url.partition("?")[0], signed)

    try:
        client = session.create_client(service, config=config, aws_access_key_id="test", aws_secret_access_key="test")
        client.meta.events.register("before-send", stop)
        getattr(client, operation)(**arguments)
    except Asked as asked:
        return str(asked.args)
    except BotoCoreError as error:
        return type(error).__name__
    raise AssertionError


def asked(service: str, region: str) -> Iterator[tuple[str, str]]:
    """Yield where botocore's own client goes, and ours, in each way to name an endpoint."""
    for fips, dual in itertools.product((False, True), repeat=2):
        config = Config(
            region_name=region,
            use_fips_endpoint=fips,
            use_dualstack_endpoint=dual,
            s3={"us_east_1_regional_endpoint": "regional"},
        )
        yield request(PLAIN, service, config), request(aws.session(), service, config)


PLAIN = botocore.session.Session()


@pytest.mark.parametrize("region", CASES)
@pytest.mark.parametrize("service", CALLS)
def test_a_client_goes_where_botocores_own_goes(service: str, region: str) -> None:
    # In the youngest partitions botocore's list knows no names for both kinds of addresses, but its rules do.
    found = [(its, ours) for its, ours in asked(service, region) if its != "EndpointVariantError"]
    assert [ours for _, ours in found] == [its for its, _ in found]
    assert region in found[0][0]


def test_each_service_that_is_called_is_compared() -> None:
    """For others botocore's list can decide, such as IAM's: it has one endpoint, and ours would be another one."""
    sources = "".join(path.read_text() for path in (ROOT / "layers").rglob("*.py"))
    named = set(re.findall(r"(?:new|create)_client\(\s*\"([a-z0-9-]+)\"", sources))
    assert named == set(CALLS)


def test_the_list_of_endpoints_is_not_read() -> None:
    read: list[str] = []

    class Files(JSONFileLoader):
        def load_file(self, file_path: str) -> object:
            read.append(Path(file_path).name)
            return super().load_file(file_path)

    loader = type(aws.session().get_component("data_loader"))
    session = botocore.session.Session()
    session.register_component("data_loader", loader(file_loader=Files()))
    session.create_client("secretsmanager", region_name="us-east-1")
    assert "partitions" in read
    assert "endpoints" not in read


def test_cloudtrail_shows_who_has_called() -> None:
    seen: list[str] = []

    def stop(request: Any, **_: object) -> None:  # noqa: ANN401 - botocore has no types
        seen.append(request.headers["User-Agent"].decode())
        raise Asked

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    client: Any = aws.new_client("secretsmanager", region_name="us-east-1", **keys)
    client.meta.events.register("before-send", stop)
    with pytest.raises(Asked):
        client.describe_secret(SecretId="app")
    assert seen[0].startswith("secret-rotation Botocore/")
