"""Measure the built functions in Lambda's runtime emulator: starts, imports, rotations, sizes. Linux only.

With --against, another function of one engine is measured in turn with ours, and the ratios are shown: ours by theirs.
"""

import argparse
import os
import platform
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from rich.console import Console

from rotation.kind import Strategy
from tests import servers
from tests.bench import gap, growth, growth_page, handlers, imports, rotations, sheets, sizes, starts
from tests.bench.growth import Point
from tests.bench.handlers import Handler
from tests.bench.report import Sheet, picture
from tests.bench.rotations import Bench, Measured, Way
from tests.bench.running import Unmeasurable, running
from tests.bench.sizes import Size
from tests.bench.starts import Start
from tests.local import cost_table

_CHECKOUT = Path(__file__).parents[2]
_STARTS, _IMPORTS, _ROTATIONS = 15, 5, 10
_HANDLER = "lambda_function.lambda_handler"


@dataclass(frozen=True)
class Measurements:
    """All that was measured, by engine."""

    starts: dict[str, dict[str, list[Start]]] = field(default_factory=dict)
    imports: dict[str, dict[str, float]] = field(default_factory=dict)
    sizes: dict[str, Size] = field(default_factory=dict)
    rotations: dict[tuple[str, Way], dict[str, Measured]] = field(default_factory=dict)
    gaps: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def sheets(self) -> Iterator[Sheet]:
        """Yield the tables."""
        yield sheets.of_starts(self.starts)
        yield sheets.of_rotations(self.rotations)
        yield sheets.of_steps(self.rotations)
        yield sheets.of_traffic(self.rotations)
        yield sheets.of_calls(self.rotations)
        yield sheets.of_gaps(self.gaps)
        yield sheets.of_sizes(self.sizes)
        yield sheets.of_imports(self.imports)


def main(words: Sequence[str] | None = None) -> int:
    """Measure, show, and write; return 0, or 1 if a function does not do what is measured."""
    arguments = parsed(words)
    os.environ["ALLOW_LOCAL_HOSTS"] = "true"  # where the servers are
    console = Console(width=200, highlight=False, markup=False)
    try:
        return _grow(arguments, console) if arguments.growth else _compare(arguments, console)
    except Unmeasurable as error:
        return _stopped(str(error))
    except KeyboardInterrupt:
        return _stopped("Interrupted.")


def _compare(arguments: argparse.Namespace, console: Console) -> int:
    """Measure the functions, show, and write; return 0. Raises Unmeasurable."""
    measured = _measure(arguments)
    found = list(measured.sheets())
    for sheet in found:
        sheet.show(console)
    folder = folder_of(arguments)
    _write(folder, found, measured)
    if folder == cost_table.DOCS:
        cost_table.main()
    console.print(f"Written: {folder / 'bench.md'}, with its picture")
    return 0


def _grow(arguments: argparse.Namespace, console: Console) -> int:
    """Measure the curves of the engines with real servers, show, and write; return 0."""
    points = [point for engine in arguments.engine for point in _curves(engine, arguments.largest)]
    found = list(growth_page.sheets(points))
    for sheet in found:
        sheet.show(console)
    folder = folder_of(arguments)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    (folder / "pictures/growth.svg").write_text(growth_page.picture(points))
    page = [growth_page.HEAD.format(machine=_machine()), *(sheet.markdown() for sheet in found)]
    (folder / "growth.md").write_text("\n".join(page).rstrip() + "\n")
    console.print(f"Written: {folder / 'growth.md'}, with its picture")
    return 0


def _curves(engine: str, largest: int | None) -> Iterator[Point]:
    wanted = growth.SIZES if servers.SERVERS[engine].are_real else growth.OF_STAND_INS
    sizes = {what: [size for size in found if size <= (largest or size)] for what, found in wanted.items()}
    server, start = list(servers.SERVERS[engine].own.items())[-1]
    with start() as laboratory:
        os.environ["DB_CA_BUNDLE"] = str(laboratory.ca_bundle or "")
        yield from growth.measure(server, cast("growth.Growable", laboratory), sizes, _say)


def folder_of(arguments: argparse.Namespace) -> Path:
    """Return where the page goes: what docs/ has is replaced by a whole run only."""
    folder: Path | None = arguments.output
    return folder or _CHECKOUT / ("docs" if _is_whole(arguments) else ".local/bench")


def _is_whole(arguments: argparse.Namespace) -> bool:
    """Tell whether a run is of our functions alone, of all of them, and of all that is measured of them."""
    return (
        not (arguments.against or arguments.largest)
        and arguments.engine == list(servers.SERVERS)
        and arguments.strategy == list(Strategy)
        and arguments.starts >= _STARTS
        and arguments.rotations >= _ROTATIONS
    )


def parsed(words: Sequence[str] | None) -> argparse.Namespace:
    """Return the options. Raises SystemExit if something is wrong with them."""
    parser = argparse.ArgumentParser("make bench BENCH_ARGS=…", description=__doc__)
    parser.add_argument("--engine", nargs="+", choices=list(servers.SERVERS), default=list(servers.SERVERS))
    parser.add_argument(
        "--starts", type=_positive, default=_STARTS, metavar="N", help="cold starts; default: %(default)s"
    )
    parser.add_argument("--rotations", type=_positive, default=_ROTATIONS, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--strategy", nargs="+", choices=list(map(str, Strategy)), default=list(Strategy), help="default: all"
    )
    parser.add_argument(
        "--against", nargs="+", type=Path, metavar="FOLDER", help="another function, and the folders of its layers"
    )
    parser.add_argument("--handler", help=f"--against: its handler; default: {_HANDLER}")
    parser.add_argument("--python", type=Path, help="--against: its Python, with awslambdaric; default: this one")
    parser.add_argument("--growth", action="store_true", help="instead: how rotations grow with grants and users")
    parser.add_argument(
        "--largest", type=_positive, metavar="N", help="--growth: no curve goes beyond; default: to the end"
    )
    parser.add_argument("--output", type=Path, help="default: docs; of a part, or with --against, .local/bench")
    arguments = parser.parse_args(words)
    if why := next(_contradictions(arguments), None):
        parser.error(why)
    return arguments


def _contradictions(arguments: argparse.Namespace) -> Iterator[str]:
    """Yield what does not go together, or is not there: found before anything is measured."""
    if arguments.growth:
        yield from _contradictions_of_growth(arguments)
    elif arguments.largest:
        yield "--largest is for --growth: leave it out"
    elif not any(way[0] in arguments.strategy for engine in arguments.engine for way in servers.SERVERS[engine].ways()):
        yield f"--strategy: {' '.join(arguments.engine)} has no {' or '.join(arguments.strategy)}"
    if arguments.against and len(arguments.engine) != 1:
        yield "--against: name the one --engine that it is for"
    if missing := next((folder for folder in arguments.against or () if not folder.is_dir()), None):
        yield f"--against: {missing} is no folder"
    if arguments.python and not arguments.python.is_file():
        yield f"--python: {arguments.python} is no file"
    if (arguments.handler or arguments.python) and not arguments.against:
        yield "--handler and --python are of another function: name its folder with --against"
    if arguments.output and arguments.output.exists() and not arguments.output.is_dir():
        yield f"--output: {arguments.output} is no folder"


def _contradictions_of_growth(arguments: argparse.Namespace) -> Iterator[str]:
    if arguments.against or arguments.strategy != list(Strategy):
        yield "--growth is of our own pairs: leave --against and --strategy out"
    if arguments.largest and arguments.largest < min(growth.GRANTS):
        yield f"--largest: the curves begin at {min(growth.GRANTS)}"
    if not any(servers.SERVERS[engine].are_real for engine in arguments.engine):
        yield "--growth: no time is measured of stand-ins; name an --engine with a real server, too"


def _positive(text: str) -> int:
    """Read a number of the command line. Raises ArgumentTypeError."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 on")
    return int(text)


def _measure(arguments: argparse.Namespace) -> Measurements:
    found = Measurements()
    for engine in arguments.engine:
        _measure_engine(engine, arguments, found)
    return found


def _measure_engine(engine: str, arguments: argparse.Namespace, found: Measurements) -> None:
    measured = [handlers.ours(engine)]
    if arguments.against:
        measured.append(handlers.theirs(engine, arguments.against, arguments.handler or _HANDLER, arguments.python))
    server, start = list(servers.SERVERS[engine].own.items())[-1]
    _say(f"{server}: cold starts")
    into: defaultdict[str, list[Start]] = defaultdict(list)
    for name, one in starts.measure([*measured, handlers.limit(engine)], arguments.starts):
        into[name].append(one)
    found.starts[server] = into
    for handler in measured:
        label = server if handler.name == handlers.OURS else f"{server}, {handler.name}"
        found.imports[label] = imports.measure(handler, min(_IMPORTS, arguments.starts))
        found.sizes[label] = sizes.measure(handler)
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        bench = Bench(exits.enter_context(start()), folder, exits)
        _measure_rotations(server, bench, measured, arguments, found)


def _measure_rotations(
    server: str, bench: Bench, measured: Sequence[Handler], arguments: argparse.Namespace, found: Measurements
) -> None:
    engine = server.partition("-")[0]
    for way in (Way(*way) for way in servers.SERVERS[engine].ways() if way[0] in arguments.strategy):
        _say(f"{server}: {way}")
        found.rotations[server, way] = rotations.measure(bench, measured, way, arguments.rotations)
        if way.strategy is Strategy.SINGLE_USER:
            found.gaps[server] = _gaps(bench, measured, way, arguments.rotations)


def _gaps(bench: Bench, measured: Sequence[Handler], way: Way, count: int) -> dict[str, list[float]]:
    with ExitStack() as exits:
        functions = [exits.enter_context(running(handler, bench.environment(handler))) for handler in measured]
        found = gap.measure([(bench.scenario(way), function) for function in functions], count)
    return {**found, handlers.LIMIT: gap.limit(bench.scenario(way), count)}


def _stopped(why: str) -> int:
    sys.stderr.write(f"{why} Nothing was written.\n")
    return 1


def _say(what: str) -> None:
    print(f"{what} …", file=sys.stderr, flush=True)  # noqa: T201 - progress, for a person


def _write(folder: Path, found: Sequence[Sheet], measured: Measurements) -> None:
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    title = "A cold start in processor time: import, and the first call"
    (folder / "pictures/bench.svg").write_text(picture(sheets.bars(measured.starts), title))
    page = [sheets.HEAD.format(machine=_machine()), *(sheet.markdown() for sheet in found)]
    (folder / "bench.md").write_text("\n".join(page).rstrip() + "\n")


def _machine() -> str:
    load = f"{os.cpu_count()} processors, load {os.getloadavg()[1]:.0f}"
    return f"Python {platform.python_version()} on {platform.machine()}, {load}"


if __name__ == "__main__":
    sys.exit(main())
