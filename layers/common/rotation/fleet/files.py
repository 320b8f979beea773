"""Where are the plan and the outcomes of a run?

In the bucket, below `rotate-all/` and the run's name. No file holds a password.

    plan/servers.json      a list: each server, and the key of the file with its secrets
    plan/servers/N.json    a list: the secrets of one server
    plan/missing.json      a list: what was named, and is no secret that rotates with the stack
    rotated/N.json         the secret with number N was rotated
    failed/N.json          it was not: error, cause and remedy
"""

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.config import Config

from rotation.aws import CONFIG, call_aws, session
from rotation.deadline import Deadline
from rotation.fleet.plan import Server, Wish, token, tolerated
from rotation.values import dataclass

FOLDER = "rotate-all"
SERVERS, MISSING = "plan/servers.json", "plan/missing.json"
THREADS = 20
"""How many files are written, and how many functions are asked, at the same time."""


@dataclass(frozen=True)
class Files:
    """The files of one run."""

    bucket: str
    run: str
    deadline: Deadline

    @property
    def folder(self) -> str:
        """Where they are in the bucket."""
        return f"{FOLDER}/{self.run}"

    def write(self, key: str, content: object) -> None:
        """Write a file. Can be repeated. Raises RotationError."""
        call_aws(
            lambda: client().put_object(Bucket=self.bucket, Key=key, Body=json.dumps(content).encode()),
            self.deadline,
            f"writing {key} into the bucket {self.bucket}",
            "s3:PutObject",
            if_denied="Allow s3:PutObject on rotate-all/* to this function's role, and the use of the bucket's key",
        )

    def read(self, key: str) -> Any:  # noqa: ANN401 - whatever the JSON says
        """Return what a file says. Raises RotationError."""
        answer = call_aws(
            lambda: client().get_object(Bucket=self.bucket, Key=key),
            self.deadline,
            f"reading {key} from the bucket {self.bucket}",
            "s3:GetObject",
            if_denied="Allow s3:GetObject on rotate-all/* to this function's role, and the use of the bucket's key",
        )
        return json.loads(answer["Body"].read())

    def planned(self) -> list[str]:
        """Return the ARNs of all secrets that the run has planned, and what was named in vain. Raises RotationError."""
        keys = [str(server["Key"]) for server in self.read(f"{self.folder}/{SERVERS}")]
        arns = [str(item["SecretId"]) for items in side_by_side(self.read, keys) for item in items]
        return [*arns, *map(str, self.read(f"{self.folder}/{MISSING}"))]

    def write_plan(self, servers: Sequence[Server], wish: Wish, missing: Sequence[str]) -> str:
        """Write the plan; return the key of its first file. Can be repeated."""
        items = [dict(self._server(number, server, wish)) for number, server in enumerate(servers)]
        first = self._numbers(servers)
        side_by_side(
            lambda number: self.write(str(items[number]["Key"]), self._secrets(servers[number], first[number])),
            range(len(servers)),
        )
        self.write(f"{self.folder}/{MISSING}", list(missing))
        key = f"{self.folder}/{SERVERS}"
        self.write(key, items)
        return key

    def _server(self, number: int, server: Server, wish: Wish) -> Iterator[tuple[str, object]]:
        yield "Server", server.name
        yield "Bucket", self.bucket
        yield "Key", f"{self.folder}/plan/servers/{number:06}.json"
        # Of an unknown server nobody knows who else is on it.
        yield "AtOnce", wish.at_once if server.is_known else 1
        yield "Tolerated", tolerated(len(server.secrets), wish.tolerated)
        yield "Secrets", len(server.secrets)

    def _secrets(self, server: Server, first: int) -> list[dict[str, object]]:
        return [
            {
                "Run": self.run,
                "Number": number,
                "Server": server.name,
                "SecretId": secret.arn,
                "FunctionArn": secret.function_arn,
                "Token": token(self.run, secret.arn),
            }
            for number, secret in enumerate(server.secrets, first)
        ]

    @staticmethod
    def _numbers(servers: Sequence[Server]) -> list[int]:
        """Return the number of each server's first secret."""
        numbers = [0]
        for server in servers:
            numbers.append(numbers[-1] + len(server.secrets))
        return numbers


def outcome_key(item: Mapping[str, Any], outcome: str) -> str:
    """Return the key of the file that says how a secret's rotation ended: rotated or failed."""
    return f"{FOLDER}/{item['Run']}/{outcome}/{item['Number']:06}.json"


@functools.cache
def client() -> Any:  # noqa: ANN401 - botocore's, which has no types here
    """Return S3's client, made once. In us-east-1 it takes the Region's endpoint, as everywhere else."""
    config = Config(max_pool_connections=THREADS, s3={"us_east_1_regional_endpoint": "regional"})
    return session().create_client("s3", config=CONFIG.merge(config))


def side_by_side[Item, Result](work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Do the work for all items, several at a time; return the results in order. Raises what the work raises."""
    with ThreadPoolExecutor(THREADS) as threads:
        futures = [threads.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            threads.shutdown(cancel_futures=True)
