"""Writes the tables of docs/cost.md from what `make bench` measured, and from AWS's prices; its head is by hand.

Run it after each change of docs/bench.md, of docs/beside-aws-templates.md, or of a price:
`.local/python/bin/python -m tests.local.cost_table`.

A rotation is cold: a function that rotates a thousand secrets a month is seldom warm. Processor time becomes billed
time by the share of a processor that Lambda gives (1,769 MB are one), so GB-seconds of processor time do not depend on
the memory. Waiting is added: for each message to a database, and for each call.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.local.aws import template

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = DOCS / "cost.md"
BENCH: Final = DOCS / "bench.md"
BESIDE: Final = DOCS / "beside-aws-templates.md"
MARK: Final = "<!-- Below this line: .local/python/bin/python -m tests.local.cost_table -->\n"

SECRETS: Final = 1000
STEPS: Final = 4
MEMORY_MB: Final = int(template.load(DOCS.parent / "template.yaml")["Globals"]["Function"]["MemorySize"])
MEMORIES_MB: Final = sorted({128, 256, 512, 1024, 1769, MEMORY_MB})
PROCESSOR_MB: Final = 1769
"""The memory with which a function has one processor
(https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html)."""
MESSAGE_SECONDS: Final = 0.001
CALL_SECONDS: Final = 0.01
CALLS_IN_GAP: Final = 3
"""One call of testSecret, and two of finishSecret until AWSCURRENT has moved."""
LOG_BYTES: Final = 4 * (330 + 3 * 26) + 1692 + 6 * 26 + 1886 + 4 * 26
"""Of one rotation: what Lambda itself logs (about 330 bytes for each invocation), six lines of metrics, four of ours,
as counted in the tests' log of a rotation by PostgreSQL; and 26 bytes for each line, as CloudWatch counts."""


@dataclass(frozen=True)
class Price:
    """What a unit costs in us-east-1."""

    what: str
    usd: float
    per: str
    units: float
    page: str
    seen: str
    """The month in which somebody wrote that the page says it: most of these pages show prices to browsers only."""

    def of(self, amount: float) -> float:
        """Return what so many cost."""
        return amount * self.usd / self.units


_SECRETS, _KMS = "https://aws.amazon.com/secrets-manager/pricing/", "https://aws.amazon.com/kms/pricing/"
_LAMBDA = "https://docs.aws.amazon.com/whitepapers/latest/how-aws-pricing-works/lambda.html"
_WATCH, _EVENTS = "https://aws.amazon.com/cloudwatch/pricing/", "https://aws.amazon.com/eventbridge/pricing/"
PRICES: Final[Mapping[str, Price]] = {
    "secret": Price("a secret, each month", 0.40, "one", 1, _SECRETS, "2026-09"),
    "call": Price("calls of Secrets Manager", 0.05, "10,000", 1e4, _SECRETS, "2026-09"),
    "kms": Price("requests to KMS", 0.03, "10,000", 1e4, _KMS, "2026-03"),
    "invocation": Price("invocations of Lambda", 0.20, "1,000,000", 1e6, _LAMBDA, "2026-11"),
    "second": Price("GB-seconds of Lambda, x86_64", 16.67, "1,000,000", 1e6, _LAMBDA, "2026-11"),
    "log": Price("logs", 0.50, "GB", 1e9, _WATCH, "2026-06"),
    "metric": Price("a custom metric, each month", 0.30, "one", 1, _WATCH, "2026-02"),
    "event": Price("events of our own", 1.00, "1,000,000", 1e6, _EVENTS, "2026-03"),
}


@dataclass(frozen=True)
class Rotation:
    """What one rotation uses."""

    name: str
    calls: int
    kms: int
    start: float
    """Seconds of processor time."""
    warm: float
    """The same of the four steps."""
    messages: int
    refused: float = 0.0
    """Seconds of processor time of testSecret and finishSecret: only the database has the new password then."""

    def seconds(self, memory_mb: int) -> float:
        """Return how long it takes with so much memory."""
        waiting = self.messages * MESSAGE_SECONDS + self.calls * CALL_SECONDS
        return (self.start + self.warm) / _processors(memory_mb) + waiting

    def gb_seconds(self, memory_mb: int = MEMORY_MB) -> float:
        """Return what Lambda bills."""
        return self.seconds(memory_mb) * memory_mb / 1024


def _processors(memory_mb: int) -> float:
    return memory_mb / PROCESSOR_MB


THEIRS: Final = "AWS's template"
THEIR_CALLS: Final = 14
"""docs/strategies.md."""
THEIR_KMS: Final = 7
"""Five values that are decrypted, and one that is written: the sixth read finds nothing yet."""


@dataclass(frozen=True)
class Compared:
    """Our processor time by that of AWS's template, and the messages of that."""

    start: float
    warm: float
    messages: int


def main() -> None:
    """Rewrite the page."""
    PAGE.write_text(page(PAGE.read_text(), BENCH.read_text(), BESIDE.read_text()))


def page(old: str, bench: str, beside: str) -> str:
    """Return the page with tables from what was measured."""
    ours = list(_ours(bench))
    compared = dict(_compared(beside))
    pairs = ((one, compared.get(_without_version(one.name))) for one in ours)
    every = [*ours, *(_theirs(one, found) for one, found in pairs if found)]
    return (
        old.partition(MARK)[0]
        + MARK
        + "\n".join(["", *_used(every), "", *_billed(every), "", *_sized(ours), "", *_prices(), ""])
    )


def _ours(bench: str) -> Iterator[Rotation]:
    starts = {row[0]: _first(row[3]) / 1000 for row in _table(bench, "Cold start")}
    traffic = {row[0]: row for row in _table(bench, "Calls, messages, logins")}
    operations = list(_table(bench, "Calls of Secrets Manager"))
    steps = {row[0]: row for row in _table(bench, "Each step, warm")}
    for name, processor, *_ in _table(bench, "Warm rotation"):
        counts = {row[1]: int(row[2]) for row in operations if row[0] == name}
        kms = counts["GetSecretValue"] + 2 * counts["PutSecretValue"]
        start, counted = starts[name.partition(",")[0]], traffic[name]
        refused = (_first(steps[name][3]) + _first(steps[name][4])) / 1000
        yield Rotation(name, int(counted[1]), kms, start, _first(processor) / 1000, int(counted[4]), refused)


def _compared(beside: str) -> Iterator[tuple[str, Compared]]:
    """Yield what stands beside AWS's templates, with real servers: by `postgresql, single-user` and so on."""
    for line in beside.splitlines():
        if found := re.match(_BESIDE, line):
            engine, strategy, start, warm, messages = found.groups()
            name = f"{engine.lower()}, {strategy.replace(' ', '-')}"
            yield name, Compared(float(start), float(warm), int(messages))


_BESIDE: Final = r"\| (\w+), ([a-z ]+) \| ([0-9.]+) \| [0-9]+ against [0-9]+ ms: ([0-9.]+) \| [0-9]+ against ([0-9]+): "


def _without_version(name: str) -> str:
    server, _, way = name.partition(", ")
    return f"{server.partition('-')[0]}, {way}" if server[-1].isdecimal() else name


def _theirs(one: Rotation, compared: Compared) -> Rotation:
    """Return what AWS's template uses where this project uses that."""
    start, warm = one.start / compared.start, one.warm / compared.warm
    return Rotation(f"{THEIRS}, {one.name}", THEIR_CALLS, THEIR_KMS, start, warm, compared.messages)


def _used(rotations: Sequence[Rotation]) -> Iterator[str]:
    yield f"## What {SECRETS:,} rotations use\n"
    yield "| | calls of Secrets Manager | requests to KMS | invocations | GB-seconds | logs, MB |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for one in rotations:
        is_theirs = one.name.startswith(THEIRS)
        amounts = (one.calls * SECRETS, one.kms * SECRETS, STEPS * SECRETS, one.gb_seconds() * SECRETS)
        logs = "not measured" if is_theirs else f"{LOG_BYTES * SECRETS / 1e6:.1f}"
        yield f"| {one.name} | {' | '.join(f'{amount:,.0f}' for amount in amounts)} | {logs} |"


def _billed(rotations: Sequence[Rotation]) -> Iterator[str]:
    yield f"## What {SECRETS:,} secrets cost a month\n"
    yield "USD, each rotated once a month, without what is free. Daily, all but the first are 30 times that.\n"
    yield "| | secrets | calls | KMS, with a key of your own | Lambda | logs | rotation, together |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for one in rotations:
        parts = [
            PRICES["call"].of(one.calls * SECRETS),
            PRICES["kms"].of(one.kms * SECRETS),
            PRICES["invocation"].of(STEPS * SECRETS) + PRICES["second"].of(one.gb_seconds() * SECRETS),
        ]
        logs = [] if one.name.startswith(THEIRS) else [PRICES["log"].of(LOG_BYTES * SECRETS)]
        shown = [f"{part:.3f}" for part in (*parts, *logs)] + ([] if logs else ["not measured"])
        total = sum(parts) + sum(logs)
        yield f"| {one.name} | {PRICES['secret'].of(SECRETS):,.0f} | {' | '.join(shown)} | {total:.3f} |"


def _sized(rotations: Sequence[Rotation]) -> Iterator[str]:
    yield "## Memory\n"
    yield f"Seconds of a cold rotation, and USD for {SECRETS:,} of them. The template gives {MEMORY_MB:,} MB.\n"
    yield from _SIZES
    for one in rotations:
        yield f"| {one.name} | {' | '.join(_cell(one, memory) for memory in MEMORIES_MB)} |"
    yield "\nA single user is refused from setSecret's end to that of finishSecret: milliseconds, in a warm function.\n"
    yield from _SIZES
    for one in (one for one in rotations if one.name.endswith("single-user")):
        gaps = (one.refused / _processors(memory) + CALLS_IN_GAP * CALL_SECONDS for memory in MEMORIES_MB)
        yield f"| {one.name} | {' | '.join(f'{gap * 1000:,.0f}' for gap in gaps)} |"


_SIZES: Final = (
    f"| | {' | '.join(f'{memory:,} MB' for memory in MEMORIES_MB)} |",
    f"| --- |{' ---: |' * len(MEMORIES_MB)}",
)


def _cell(one: Rotation, memory_mb: int) -> str:
    return f"{one.seconds(memory_mb):.1f} s, {PRICES['second'].of(one.gb_seconds(memory_mb) * SECRETS):.3f}"


def _prices() -> Iterator[str]:
    yield "## Prices\n\nUSD in us-east-1, and when they were seen.\n"
    yield "| what | USD | for | seen |"
    yield "| --- | ---: | ---: | --- |"
    for one in PRICES.values():
        yield f"| [{one.what}]({one.page}) | {one.usd:.2f} | {one.per} | {one.seen} |"


def _table(bench: str, title: str) -> Iterator[list[str]]:
    """Yield the rows below a heading, but for those of the limit, and of another function."""
    section = bench.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    yield from (row for row in rows[1:] if not row[0].startswith("---") and not row[0].endswith(", the limit"))


def _first(cell: str) -> float:
    found = re.match(r"[0-9.]+", cell)
    if not found:
        raise ValueError(cell)
    return float(found[0])


if __name__ == "__main__":
    main()
