"""How is a rotation drawn on a time line? The steps, and below them each login of two readers of the secret."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tests.local.pictures.look import WIDTH, box, drawing, line, text

_LEFT, _RIGHT, _HEAD, _PANEL = 196, 16, 66, 148
_STEPS = {"createSecret": "blue", "setSecret": "orange", "testSecret": "violet", "finishSecret": "green"}


@dataclass(frozen=True)
class Span:
    """Something took time; in seconds from RotateSecret."""

    name: str
    began: float
    ended: float


@dataclass(frozen=True)
class Attempt:
    """A login."""

    began: float
    ended: float
    refused: bool = False


@dataclass(frozen=True)
class Watched:
    """A rotation, and the logins of two readers meanwhile."""

    title: str
    steps: Sequence[Span]
    fresh: Sequence[Attempt]
    """Of an application that reads the secret before each login."""
    caching: Sequence[Attempt]
    """Of one that keeps what it read before the rotation."""

    @property
    def begin(self) -> float:
        """When the first login began."""
        return min(one.began for one in (*self.fresh, *self.caching))

    @property
    def end(self) -> float:
        """When the last login ended."""
        return max(one.ended for one in (*self.fresh, *self.caching))

    def around(self, margin: float) -> "Watched":
        """Leave the logins out that were longer than `margin` before the first step, or after the last one."""
        begin, end = self.steps[0].began - margin, self.steps[-1].ended + margin
        fresh, caching = ([one for one in each if begin <= one.began <= end] for each in (self.fresh, self.caching))
        return replace(self, fresh=fresh, caching=caching)

    def gap(self) -> Span | None:
        """Return the time in which the first reader could not log in, if there was one."""
        refused = [one for one in self.fresh if one.refused]
        if not refused:
            return None
        ended = [one.began for one in self.fresh if not one.refused and one.began > refused[-1].began]
        return Span("gap", refused[0].began, ended[0] if ended else self.end)


@dataclass(frozen=True)
class _Scale:
    """Where a time is on the paper."""

    begin: float
    pixels: float
    """Of a second."""
    step: float
    """Seconds from one number to the next."""

    def at(self, seconds: float) -> float:
        """Return the distance from the left."""
        return _LEFT + (seconds - self.begin) * self.pixels


def picture(title: str, shown: Sequence[Watched]) -> str:
    """Return an SVG with one panel for each rotation. All have the same scale."""
    begin, end = min(one.begin for one in shown), max(one.end for one in shown)
    scale = _Scale(begin, (WIDTH - _LEFT - _RIGHT) / (end - begin), _round((end - begin) / 5))
    panels = [one for number, each in enumerate(shown) for one in _panel(each, _HEAD + number * _PANEL, scale)]
    return drawing(WIDTH, _HEAD + len(shown) * _PANEL, title, [*_head(title), *panels])


def _head(title: str) -> Iterator[str]:
    yield text(12, 24, title, more='font-size="14"')
    for number, (name, color) in enumerate(_STEPS.items()):
        yield box(12 + number * 104, 36, 12, 12, f"f-{color}")
        yield text(28 + number * 104, 46, name)
    yield _tick(438, 36, refused=False)
    yield text(446, 46, "a login")
    yield _tick(506, 24, refused=True)
    yield text(514, 46, "a login that is refused")


def _panel(shown: Watched, top: int, scale: _Scale) -> Iterator[str]:
    yield text(12, top + 14, shown.title, more='font-weight="700"')
    if gap := shown.gap():
        left, milliseconds = scale.at(gap.began), 1000 * (gap.ended - gap.began)
        yield box(left, top + 22, scale.at(gap.ended) - left, 98, "f-sand")
        yield text(left, top + 16, f"gap: {milliseconds:.0f} ms", "red")
    yield text(12, top + 40, "steps", "quiet")
    for step in shown.steps:
        yield box(
            scale.at(step.began), top + 28, scale.at(step.ended) - scale.at(step.began), 16, f"f-{_STEPS[step.name]}"
        )
    yield from _reader("reads the secret each time", shown.fresh, top + 52, scale)
    yield from _reader("keeps what it read", shown.caching, top + 84, scale)
    yield from _axis(shown, top + 122, scale)


def _reader(habit: str, attempts: Sequence[Attempt], top: int, scale: _Scale) -> Iterator[str]:
    refused = sum(one.refused for one in attempts)
    yield text(12, top + 10, habit, "quiet")
    yield text(12, top + 24, f"{refused} of {len(attempts)} refused", "red" if refused else "quiet")
    yield line(_LEFT, top + 12, WIDTH - _RIGHT, top + 12)
    yield from (_tick(scale.at(one.began), top, refused=one.refused) for one in attempts)


def _tick(x: float, top: float, *, refused: bool) -> str:
    """Above the line if it succeeded, below it if not."""
    return box(x, top + 12 if refused else top, 3, 12, "f-red" if refused else "f-green")


def _axis(shown: Watched, top: float, scale: _Scale) -> Iterator[str]:
    for number in range(math.ceil(scale.begin / scale.step), math.floor(shown.end / scale.step) + 1):
        seconds = number * scale.step
        yield line(scale.at(seconds), top, scale.at(seconds), top + 5, "quiet")
        said = f"{1000 * seconds:.0f} ms" if number else "RotateSecret"
        yield text(scale.at(seconds), top + 17, said, "quiet", 'font-size="11" text-anchor="middle"')


def _round(seconds: float) -> float:
    """Return a round number near it."""
    power: float = 10 ** math.floor(math.log10(seconds))
    return min((1, 2, 5, 10), key=lambda one: abs(one * power - seconds)) * power
