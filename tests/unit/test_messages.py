"""Does every error say what to do, in plain words, and the same thing in the same words?

Every error is made with an operation, a cause and a remedy. These tests read them from the source: the texts that an
error's class receives, and those in the tables of the drivers.
"""

import ast
import difflib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rotation import errors
from tests.local.messages import ERRORS, PACKAGE, SLOT, SOURCES, VERBS, assigned, texts

HARD = re.compile(
    r"\b(where (it|there|the|a|an|no|nothing|that|they|this)|may not|may be|lest|unheard|healed|[Hh]ave (the|it|a|an)"
    r" \w+ (use|be|have)|[Ll]ook (who|what|which|whether)|is told|tell apart|by the hand of)\b"
)
"""Words that stopped readers of earlier messages."""

ALIKE = 0.9
"""How alike two texts are, as difflib measures it, that say the same in other words."""


SHARED = assigned(
    ast.parse((PACKAGE / "engines" / "driver.py").read_text()),
    assigned(ast.parse((PACKAGE / "errors.py").read_text()), {}),
)


def messages(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the operation, cause and remedy of each error in a module; of a table's rows the remedy alone."""
    tree = ast.parse(path.read_text())
    names = assigned(tree, SHARED)
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[operation, cause, remedy]) if name in ERRORS:
                for one in texts(remedy, names) or [""]:
                    yield ((texts(operation, names) or [""])[0], (texts(cause, names) or [""])[0], one)
            case ast.Tuple(elts=[ast.Name(id=name), remedy]) if name in ERRORS:
                for one in texts(remedy, names):
                    yield "", "", one


MESSAGES = {path.relative_to(PACKAGE).as_posix(): list(messages(path)) for path in SOURCES}
REMEDIES = {
    module: sorted({remedy for _, _, remedy in found if remedy and not remedy.startswith(SLOT)})
    for module, found in MESSAGES.items()
}


def test_the_messages_are_found() -> None:
    assert sum(map(len, REMEDIES.values())) > 200, "the source is written in a way that these tests do not read"


@pytest.mark.parametrize("module", REMEDIES)
def test_a_remedy_begins_with_what_to_do(module: str) -> None:
    others = [one for one in REMEDIES[module] if not one.startswith(errors.RETRIED)]  # that needs nobody
    assert [one for one in others if re.split(r"\W", one, maxsplit=1)[0] not in VERBS] == []


@pytest.mark.parametrize("module", MESSAGES)
def test_messages_are_in_plain_english(module: str) -> None:
    found = [text for message in MESSAGES[module] for text in message]
    assert [(match[0], text) for text in found for match in HARD.finditer(text)] == []


def test_a_remedy_is_not_there_twice_in_other_words() -> None:
    whole = {one for found in REMEDIES.values() for one in found if SLOT not in one}
    # What stands in brackets is the engine's own: a view, a statement, an option.
    remedies = sorted({re.sub(r"\W+", " ", re.sub(r"\(.*?\)", "", one)).strip().lower() for one in whole})
    matchers = (
        (one, other, difflib.SequenceMatcher(None, one, other)) for one, other in itertools.combinations(remedies, 2)
    )
    assert [(one, other) for one, other, match in matchers if match.quick_ratio() > ALIKE < match.ratio()] == []
