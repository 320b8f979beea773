"""Are values what `dataclasses` would have made of them?"""

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field, replace
from typing import Any, ClassVar

import pytest

from rotation import values


def server(dataclass: Any) -> Any:  # noqa: ANN401 - ours, and that of the library
    """Return where a database is, as one of the two makes it."""

    @dataclass(frozen=True)
    class Server:
        """Where a database is."""

        scheme: ClassVar[str] = "tcp"
        host: str
        port: int = 5432
        password: str = field(default="", repr=False)
        note: str = field(default="", compare=False)
        tags: dict[str, str] = field(default_factory=dict, compare=False)

    return Server


Server, Model = server(values.dataclass), server(dataclasses.dataclass)


@values.dataclass(frozen=True, order=True)
class Version:
    """Something with an order."""

    major: int
    minor: int = 0


@values.dataclass(frozen=True)
class Named(Version):
    """Something with more fields than its base."""

    name: str = "none"

    def __repr__(self) -> str:
        """Its own text is kept."""
        return f"<{self.name}>"


@values.dataclass(frozen=True, kw_only=True)
class Options:
    """What is given by name alone."""

    depth: int
    wide: bool = False


MAKES: dict[str, Callable[[Any], Any]] = {
    "least": lambda made: made("a"),
    "places": lambda made: made("a", 1),
    "all": lambda made: made("a", 1, "secret", "a note", {"x": "y"}),
    "names": lambda made: made(host="a", tags={}),
    "both": lambda made: made("a", note="other"),
    "replaced": lambda made: replace(made("a", 7), port=8),
    "copied": lambda made: copy.deepcopy(made("a", tags={"x": "y"})),
}
"""Ways to make one."""

WRONG: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda made: made(),
    "too much": lambda made: made("a", 1, "", "", {}, 6),
    "twice": lambda made: made("a", host="b"),
    "no field": lambda made: made("a", nothing=1),
    "of the class": lambda made: replace(made("a"), scheme="udp"),
}


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_a_value_is_what_the_library_makes(make: Callable[[Any], Any]) -> None:
    ours, model = make(Server), make(Model)
    assert repr(ours) == repr(model)
    assert dataclasses.asdict(ours) == dataclasses.asdict(model)
    assert [each.name for each in dataclasses.fields(ours)] == [each.name for each in dataclasses.fields(model)]
    assert Server.__match_args__ == Model.__match_args__
    assert Server.__doc__ == "Where a database is."


@pytest.mark.parametrize("one", MAKES.values(), ids=MAKES)
@pytest.mark.parametrize("other", MAKES.values(), ids=MAKES)
def test_values_are_equal_if_those_of_the_library_are(one: Callable[[Any], Any], other: Callable[[Any], Any]) -> None:
    assert (one(Server) == other(Server)) == (one(Model) == other(Model))
    assert (hash(one(Server)) == hash(other(Server))) == (hash(one(Model)) == hash(other(Model)))
    assert one(Server) != other(Model)


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_value_with_too_much_or_too_little_is_refused(wrong: Callable[[Any], object]) -> None:
    for made in (Server, Model):
        with pytest.raises((TypeError, ValueError)):
            wrong(made)


def test_a_value_does_not_change() -> None:
    server = Server("a")
    with pytest.raises(FrozenInstanceError, match="host"):
        server.host = "b"
    with pytest.raises(FrozenInstanceError, match="host"):
        del server.host
    assert server == Server("a")


def test_each_value_has_a_default_of_its_own() -> None:
    assert Server("a").tags is not Server("a").tags


def test_values_have_the_order_of_their_fields() -> None:
    versions = [Version(2), Version(1, 9), Version(1, 10)]
    assert sorted(versions) == [Version(1, 9), Version(1, 10), Version(2)]
    assert Version(1) <= Version(1)
    assert Version(2) >= Version(1, 9)
    assert Version(2) > Version(1)
    with pytest.raises(TypeError):
        assert Version(1) < Named(2)


def test_a_value_has_the_fields_of_its_base() -> None:
    assert (Named(1, 2, "x").minor, repr(Named(1, name="x"))) == (2, "<x>")
    assert Named(1) != Version(1)


def test_what_is_given_by_name_alone_has_no_place() -> None:
    assert Options(depth=3) == Options(wide=False, depth=3)
    with pytest.raises(TypeError):
        Options(3)  # type: ignore[call-arg]


def test_a_value_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(Version(1, 2))) == Version(1, 2)  # noqa: S301 - our own


def _checked() -> type:
    class Checked:
        port: int

        def __post_init__(self) -> None:
            """The library would call it."""

    return Checked


def _counted() -> type:
    class Counted:
        port: int
        count: int = field(default=0, init=False)

    return Counted


def _hashed() -> type:
    class Hashed:
        host: str
        tags: dict[str, str] = field(hash=False)

    return Hashed


@pytest.mark.parametrize("made", [_checked, _counted, _hashed])
def test_what_is_missing_is_refused_where_it_is_written(made: Callable[[], type]) -> None:
    """Mypy takes the library's word that it works: a check that nobody calls would be lost without a word."""
    with pytest.raises(TypeError, match="is missing"):
        values.dataclass(frozen=True)(made())


def test_only_frozen_values_are_made() -> None:
    with pytest.raises(TypeError, match="frozen"):
        values.dataclass(frozen=False)
