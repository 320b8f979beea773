"""Where in a text are the forms of a secret, whole or in pieces?"""

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from rotation.redaction.spelling import folded

PIECE_LENGTH = 8
"""So many characters in a row of a form are found, because others cut their texts off."""

SEED_LENGTH = 4
SEED_DISTANCE = PIECE_LENGTH - SEED_LENGTH + 1
"""Each piece of a text has one of its seeds: so many characters, from every fifth place on."""

FEW_SEEDS = 400
"""If a text has fewer seeds, it is faster to search the forms for each of them: a fifth of the searches that its pieces
would need."""

type Span = tuple[int, int]
"""The place of something in a text: its begin and its end."""


def occurrences(text: str, forms: Iterable[str]) -> Iterator[Span]:
    """Yield each place of a text that is a whole form."""
    for form in forms:
        start = text.find(form)
        while start >= 0:
            yield start, start + len(form)
            start = text.find(form, start + len(form))


def folded_occurrences(plain_text: str, forms: Iterable[str]) -> Iterator[Span]:
    """Yield where a plain text has a whole folded form, in any case and with any blanks within."""
    found = list(occurrences(folded(plain_text), forms))
    places = [place for place, character in enumerate(plain_text) if character != " "] if found else []
    return ((places[start], places[end - 1] + 1) for start, end in found)


def pieces(text: str, forms: str) -> list[Span]:
    """Return where a text has pieces of the forms; pieces that touch or overlap are one span."""
    starts = range(len(text) - PIECE_LENGTH + 1)
    seeds = range(0, len(text) - SEED_LENGTH + 1, SEED_DISTANCE)
    if len(seeds) < FEW_SEEDS:
        hits = (seed for seed in seeds if text[seed : seed + SEED_LENGTH] in forms)
        near = {at for hit in hits for at in range(hit - SEED_DISTANCE + 1, hit + 1)}
        starts_near = sorted(near.intersection(starts))
        found = {piece for piece in {text[at : at + PIECE_LENGTH] for at in starts_near} if piece in forms}
    else:
        starts_near = list(starts)
        found = {forms[at : at + PIECE_LENGTH] for at in range(len(forms) - PIECE_LENGTH + 1)}
    return merged((at, at + PIECE_LENGTH) for at in starts_near if text[at : at + PIECE_LENGTH] in found)


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return the spans in order; those that touch or overlap become one."""
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def inside(text: str, forms: Iterable[str]) -> Callable[[Span], bool]:
    """Return a function that tells whether a span lies inside one of the whole forms that the text has."""
    ends = [0] * (len(text) + 1)
    for start, end in occurrences(text, forms):
        ends[start] = max(ends[start], end)
    reach = list(accumulate(ends, max))
    return lambda span: reach[span[0]] >= span[1]


def is_word(text: str, start: int, end: int) -> bool:
    """Tell whether a span is not a part of a longer word."""
    before, after = text[start - 1 : start], text[end : end + 1]
    return not (before.isalnum() or after.isalnum() or "_" in (before, after))


def trimmed(text: str, start: int, end: int) -> Span | None:
    """Return a span without the blanks at its ends; None if nothing else is in it."""
    found = text[start:end]
    start += len(found) - len(found.lstrip())
    return (start, start + len(found.strip())) if found.strip() else None
