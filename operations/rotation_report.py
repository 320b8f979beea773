"""Which secrets of a run were rotated, and why not the others?

It is read from the run's files in the bucket (`rotation.fleet.files`).
"""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from operations.calls import called
from rotation.fleet.files import FOLDER, MISSING

ROTATED, FAILED, OPEN, UNKNOWN = "rotated", "failed", "not finished", "not planned"
OPEN_REMEDY = "Run make rotate-all again, with --rest"
NOT_OURS = "no secret of this account and Region has this name or ARN, a function of the stack, and its rotation on"
NOT_OURS_REMEDY = "Correct the list, or run make attach for this secret"
THREADS = 8

type Client = Any
"""A client of S3: boto3's, which has no types here."""


@dataclass(frozen=True)
class Row:
    """One secret, as the report has it."""

    secret: str
    server: str
    outcome: str
    """ROTATED, FAILED, OPEN: it was not tried, or the run had stopped before it ended; UNKNOWN: it is not ours."""
    error: str = ""
    cause: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Bucket:
    """The bucket with the files of all runs."""

    client: Client
    name: str

    def numbers(self, run: str, outcome: str) -> set[int]:
        """Return the numbers of the secrets of a run that ended so. Raises ServiceFailed."""
        folder = f"{FOLDER}/{run}/{outcome}/"
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=folder)
        listed = called(f"listing {folder} in the bucket {self.name}", "s3:ListBucket", lambda: list(pages))
        names = (found["Key"].removeprefix(folder) for page in listed for found in page.get("Contents", ()))
        return {int(name.removesuffix(".json")) for name in names}

    def read(self, key: str) -> Any:  # noqa: ANN401 - whatever the JSON says
        """Return what a file says. Raises ServiceFailed."""
        return called(
            f"reading {key} from the bucket {self.name}",
            "s3:GetObject",
            lambda: json.loads(self.client.get_object(Bucket=self.name, Key=key)["Body"].read()),
        )


def rows(bucket: Bucket, run: str, plan: str) -> list[Row]:
    """Return a row for each secret of a plan, in its order, and for what was named in vain. Raises ServiceFailed."""
    with ThreadPoolExecutor(THREADS) as threads:
        planned = list(threads.map(bucket.read, (server["Key"] for server in bucket.read(plan))))
        failed = sorted(bucket.numbers(run, FAILED))
        keys = (f"{FOLDER}/{run}/{FAILED}/{number:06}.json" for number in failed)
        why = dict(zip(failed, threads.map(bucket.read, keys), strict=True))
    rotated = bucket.numbers(run, ROTATED)
    missing = bucket.read(f"{FOLDER}/{run}/{MISSING}")
    return [
        *_rows((item for items in planned for item in items), rotated, why),
        *(Row(name, "", UNKNOWN, cause=NOT_OURS, remedy=NOT_OURS_REMEDY) for name in missing),
    ]


def write(report: Iterable[Row], path: Path) -> None:
    """Write the report as CSV."""
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(field.name for field in fields(Row))
        lines.writerows(map(_harmless, report))


def _rows(items: Iterable[dict[str, Any]], rotated: set[int], why: dict[int, dict[str, str]]) -> Iterator[Row]:
    for item in items:
        secret, server, number = item["SecretId"], item["Server"], item["Number"]
        if number in rotated:
            yield Row(secret, server, ROTATED)
        elif said := why.get(number):
            yield Row(secret, server, FAILED, said["Error"], said["Cause"], said["Remedy"])
        else:
            yield Row(secret, server, OPEN, remedy=OPEN_REMEDY)


def _harmless(row: Row) -> Sequence[str]:
    """Return the cells; none is a formula for a spreadsheet: a server's name comes from a secret."""
    return [f"'{cell}" if cell.lstrip().startswith(("=", "+", "-", "@")) else cell for cell in astuple(row)]
