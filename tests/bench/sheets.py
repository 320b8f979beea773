"""Which tables does a run make?"""

from collections.abc import Iterator, Mapping, Sequence

from rotation.steps import Step
from tests.bench.figures import Spread, ratio, shown
from tests.bench.handlers import LIMIT, OURS, THEIRS
from tests.bench.report import Bar, Sheet
from tests.bench.rotations import Measured, Way
from tests.bench.sizes import Size
from tests.bench.starts import Start

type Starts = Mapping[str, Mapping[str, Sequence[Start]]]
type Rotations = Mapping[tuple[str, Way], Mapping[str, Measured]]

HEAD = """# What a rotation costs

`make bench` has written this page: {machine}. The built functions run in Lambda's runtime emulator. PostgreSQL, MySQL
and MariaDB are real servers on the same machine. Oracle, SQL Server and Db2 are stand-ins: their counts are those of
the function, and their times say little about a server.

A figure is a median, with the middle half of the measurements in parentheses. *Processor* is the time that the function
itself was running: what else the machine does can make it half as long again, and the time on the clock
several times as long. Ratios hold best: what they compare ran in turn. Lambda gives a function of 1,024 MB
about 0.58 of a processor ([1,769 MB are one](https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html)).

![Cold starts](pictures/bench.svg)

To compare with a function that you have, name its folder, and those of its layers:

    make bench BENCH_ARGS="--engine postgresql --against FOLDER --handler module.function"

Both run in turn, and the ratios are ours by theirs: below one, this project needs less. Ours reads the authorities of
one Region, as for a host of RDS; the other reads all of them. `BENCH_ARGS=--help` lists the rest.

The other function finds Secrets Manager by `SECRETS_MANAGER_ENDPOINT`, as AWS's templates do, or by
`AWS_ENDPOINT_URL`. It must trust the authorities in the file that `DB_CA_BUNDLE` names. It runs in our Python 3.13 with
boto3. To let it run in another one, add `--python FILE`: a Python with `awslambdaric` and boto3. Put a folder with
spaces into single quotes.
"""


def of_starts(measured: Starts) -> Sheet:
    """Show the cold starts, and their ratios."""
    return Sheet(
        "Cold start",
        f"INIT is what the emulator reports. The limit is a function that calls Secrets Manager with botocore, and does"
        f" nothing else. {_counted(measured)} starts of each.",
        [
            "",
            "INIT ms, clock",
            "import ms, processor",
            "import and first call",
            "memory MB",
            "by limit",
            "by the other",
        ],
        [row for server, found in measured.items() for row in _of_server(server, found)],
    )


def _counted(measured: Starts) -> int:
    return min(len(starts) for found in measured.values() for starts in found.values())


def _of_server(server: str, found: Mapping[str, Sequence[Start]]) -> Iterator[list[str]]:
    for name, starts in found.items():
        ready = [start.ready for start in starts]
        yield [
            _named(server, name),
            str(Spread.of([start.init for start in starts])),
            str(Spread.of([start.imported for start in starts])),
            str(Spread.of(ready)),
            shown(max(start.memory for start in starts)),
            ratio(ready, [start.ready for start in found[LIMIT]]) if name != LIMIT else "",
            ratio(ready, [start.ready for start in found[THEIRS]]) if name == OURS and THEIRS in found else "",
        ]


def bars(measured: Starts) -> list[Bar]:
    """Return the picture's bars: each engine, and the limit once."""
    ours = [(_named(server, name), starts) for server, found in measured.items() for name, starts in found.items()]
    shown_once = [one for one in ours if LIMIT not in one[0]] + [(LIMIT, one[1]) for one in ours if LIMIT in one[0]][:1]
    return [
        Bar(label, Spread.of([s.imported for s in starts]).median, Spread.of([s.ready for s in starts]).median)
        for label, starts in shown_once
    ]


def of_rotations(measured: Rotations) -> Sheet:
    """Show what a warm rotation takes."""
    rows = []
    for server, way, name, one, other in _each(measured):
        processor, clock = one.rotations("processor"), one.rotations("clock")
        compared = ratio(processor, other.rotations("processor")) if other else ""
        label = _named(f"{server}, {way}", name)
        rows.append([label, str(Spread.of(processor)), str(Spread.of(clock)), shown(one.memory), compared])
    note = "All four steps together, in milliseconds; the first two rotations are left out."
    return Sheet("Warm rotation", note, ["", "processor", "clock", "memory MB, at most", "by the other"], rows)


def of_steps(measured: Rotations) -> Sheet:
    """Show what each step takes."""
    rows = []
    for server, way, name, one, _ in _each(measured):
        medians = [shown(Spread.of([taken.processor for taken in one.steps[step]]).median) for step in Step]
        rows.append([_named(f"{server}, {way}", name), *medians])
    return Sheet("Each step, warm", "Milliseconds of processor time.", ["", *Step], rows)


def of_traffic(measured: Rotations) -> Sheet:
    """Show what goes over the wire."""
    rows = []
    for server, way, name, one, other in _each(measured):
        first, warm = one.first, one.warm
        compared = ratio([warm.messages], [other.warm.messages]) if other else ""
        refused = "not told" if one.refused is None else str(one.refused)
        counts = [warm.calls.total(), warm.connections, first.messages, warm.messages, warm.database_bytes, refused]
        rows.append([_named(f"{server}, {way}", name), *map(str, counts), compared])
    note = (
        "Of one rotation. A message is what the function says to the database until it is answered, be it a part of a"
        " login. Refused logins are those of all rotations together, as the server has logged them."
    )
    columns = ["calls", "connections", "messages, first", "messages, warm", "bytes, warm", "refused", "by the other"]
    return Sheet("Calls, messages, logins", note, ["", *columns], rows)


def of_calls(measured: Rotations) -> Sheet:
    """Show the calls of AWS by operation."""
    rows = [
        [_named(f"{server}, {way}", name), operation, str(count), str(one.warm.call_bytes[operation])]
        for server, way, name, one, _ in _each(measured)
        for operation, count in sorted(one.warm.calls.items())
    ]
    note = "Of one warm rotation: requests and answers together."
    return Sheet("Calls of Secrets Manager", note, ["", "operation", "calls", "bytes"], rows)


def of_gaps(measured: Mapping[str, Mapping[str, Sequence[float]]]) -> Sheet:
    """Show how long a reader cannot log in."""
    note = (
        "A reader of the secret logs in again and again while a single user rotates: milliseconds on the clock in which"
        " it is refused, in a warm function. With the other strategies it never is. The limit is a call and a login:"
        " a rotation proves the password and moves AWSCURRENT. The reader runs on the same two processors."
    )
    rows = [
        [
            _named(server, name),
            str(Spread.of(gaps)),
            ratio(gaps, found[THEIRS]) if name == OURS and THEIRS in found else "",
        ]
        for server, found in measured.items()
        for name, gaps in found.items()
    ]
    return Sheet("The gap of a single user", note, ["", "milliseconds", "by the other"], rows)


def of_sizes(measured: Mapping[str, Size]) -> Sheet:
    """Show the artifacts."""
    rows = [[server, shown(size.files), shown(size.zipped)] for server, size in measured.items()]
    return Sheet("Artifacts", "Megabytes, with the layer.", ["", "files", "zipped"], rows)


def of_imports(measured: Mapping[str, Mapping[str, float]]) -> Sheet:
    """Show what is imported."""
    parts = {
        part: max(found.get(part, 0) for found in measured.values()) for each in measured.values() for part in each
    }
    rows = [
        [part, *(shown(found[part]) if part in found else "" for found in measured.values())]
        for part in sorted(parts, key=lambda part: -parts[part])
    ]
    note = (
        "The 15 dearest parts of `python -X importtime`, each without what it imports itself: milliseconds on the"
        " clock, the least of several times. Compare them within a column."
    )
    return Sheet("Imports", note, ["", *measured], rows)


def _each(measured: Rotations) -> Iterator[tuple[str, Way, str, Measured, Measured | None]]:
    for (server, way), found in measured.items():
        for name, one in found.items():
            yield server, way, name, one, found.get(THEIRS) if name == OURS else None


def _named(what: str, handler: str) -> str:
    """Name a row; ours is named by what it is about."""
    return what if handler == OURS else f"{what}, {handler}"
