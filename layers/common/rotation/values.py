"""Makes a frozen dataclass of a class, for a tenth of what `dataclasses` takes for it.

`dataclasses` writes the methods of each class as text, and compiles it: 0.6 ms of processor time a class. A function
has forty, so that was a tenth of its cold start. Here all classes share the methods below, which know their fields by
name. They do what those of `dataclasses` do (https://docs.python.org/3.13/library/dataclasses.html), whose `fields` and
`replace` work on them, too. What nothing needs here is missing: InitVar, slots, `__post_init__`, `field(init=…)` and
`field(hash=…)`. The last three are refused: mypy believes that they work.
"""

import dataclasses
import operator
from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 - so mypy knows it as what it stands for
else:

    def dataclass(*, frozen: bool, order: bool = False, kw_only: bool = False) -> Callable[[type], type]:
        """Return what makes a dataclass of a class; `frozen` must be True."""
        if not frozen:
            raise TypeError("only frozen dataclasses are made here")
        return lambda cls: _made(cls, order=order, kw_only=kw_only)


def _made(cls: type, *, order: bool, kw_only: bool) -> type:
    cls.__doc__ = cls.__doc__ or cls.__name__  # else dataclasses makes one, which takes longer than all the rest
    dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(cls)
    fields = dataclasses.fields(cls)
    if hasattr(cls, "__post_init__") or any(not field.init or field.hash is not None for field in fields):
        raise TypeError(f"{cls.__name__} needs what is missing here: __post_init__, or field(init=…) or field(hash=…)")
    compared = [field.name for field in fields if field.compare]
    methods = {"__init__": _initializer(fields), "__repr__": _representer(fields)} | _comparers(compared, order=order)
    for name, method in (methods | {"__setattr__": _refuse, "__delattr__": _refuse}).items():
        if name not in cls.__dict__:
            setattr(cls, name, method)
    return cls


def _initializer(fields: tuple[Field[Any], ...]) -> Callable[..., None]:
    names = {field.name for field in fields}
    positional = tuple(field.name for field in fields if not field.kw_only)
    defaults = {field.name: field.default for field in fields if field.default is not MISSING}
    factories = {field.name: field.default_factory for field in fields if field.default_factory is not MISSING}

    def initialize(self: object, /, *values: object, **named: object) -> None:
        state = self.__dict__
        state |= defaults
        state |= zip(positional, values, strict=False)
        if len(values) > len(positional) or not named.keys().isdisjoint(positional[: len(values)]):
            raise TypeError(f"too many values for {type(self).__name__}")
        state |= named
        for name in factories.keys() - state.keys():
            state[name] = factories[name]()
        if wrong := state.keys() ^ names:
            raise TypeError(f"no value, or no field of {type(self).__name__}: {', '.join(sorted(wrong))}")

    return initialize


def _representer(fields: tuple[Field[Any], ...]) -> Callable[..., str]:
    shown = [field.name for field in fields if field.repr]

    def represent(self: object) -> str:
        values = (f"{name}={getattr(self, name)!r}" for name in shown)
        return f"{type(self).__qualname__}({', '.join(values)})"

    return represent


def _comparers(names: list[str], *, order: bool) -> dict[str, Callable[..., Any]]:
    """Return what compares two values of one class by these fields, one after the other."""

    def key(value: object) -> tuple[object, ...]:
        state = value.__dict__
        return tuple([state[name] for name in names])

    def comparer(compare: Callable[[Any, Any], bool]) -> Callable[..., Any]:
        return lambda one, other: compare(key(one), key(other)) if type(one) is type(other) else NotImplemented

    compared = [operator.eq, *((operator.lt, operator.le, operator.gt, operator.ge) if order else ())]
    return {"__hash__": lambda value: hash(key(value))} | {f"__{each.__name__}__": comparer(each) for each in compared}


def _refuse(_: object, name: str, *__: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to, or delete, field {name!r}")
