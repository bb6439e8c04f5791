"""Base of all configurations: reading from and writing to plain mappings, and checks."""

from __future__ import annotations

import dataclasses
import re
import reprlib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, ClassVar, TypeVar

from tutortoietts.core.errors import ModelError

__all__ = ["Config", "check", "check_multiple", "require", "unknown_key"]

GREATEST = 1_000_000  # of any size, so that a damaged file does not build a model for minutes
MOST_LAYERS = 256
_LAYERS = re.compile("layers|depth|blocks")
_LISTS = f"must be a list of at most {MOST_LAYERS} integers of 1..{GREATEST}"

_C = TypeVar("_C", bound="Config")


class Config:
    """Base of all model configurations: reading from and writing to plain mappings, and checks."""

    __slots__ = ()
    IGNORED: ClassVar[frozenset[str]] = frozenset()  # keys of the originals that only matter to training
    FIXED: ClassVar[Mapping[str, Any]] = {}  # keys of the originals of which we support one value

    @classmethod
    def from_dict(cls: type[_C], values: Mapping[str, Any]) -> _C:
        """Read a mapping. Raises ModelError for an unknown key (naming the nearest one) or a value out of range."""
        if not isinstance(values, Mapping):
            raise ModelError(f"{cls.__name__} is {values!r}: must be an object with keys and values")
        names = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        known: dict[str, Any] = {}
        for key, value in values.items():
            if key in names:
                known[key] = _frozen(value)
            elif key in cls.FIXED:
                require(value == cls.FIXED[key], cls, key, value, f"only {cls.FIXED[key]!r} is supported")
            elif key not in cls.IGNORED:
                raise unknown_key(cls.__name__, key, names)
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that ``from_dict`` reads and JSON can hold."""
        return {f.name: _thawed(getattr(self, f.name)) for f in dataclasses.fields(self)}  # type: ignore[arg-type]


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value


def _thawed(value: Any) -> Any:
    return [_thawed(item) for item in value] if isinstance(value, tuple) else value


def unknown_key(owner: str, key: str, names: set[str]) -> ModelError:
    """Return the error for a key that `owner` does not have, with the nearest of `names` or all of them."""
    near = get_close_matches(key, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; known keys are {', '.join(sorted(names))}"
    return ModelError(f"{owner}: unknown key {reprlib.repr(key)}{hint}", key=key)


def require(holds: bool, cls: type, key: str, value: object, limit: str) -> None:
    """Raise ModelError, naming class, key, value and limit, unless `holds`."""
    if not holds:
        raise ModelError(f"{cls.__name__}.{key} is {reprlib.repr(value)}: {limit}", key=key)


def check(config: Any, *, zero: tuple[str, ...] = ()) -> None:
    """Check that every field has the type of its default; integers are positive (those named in `zero` may be 0)."""
    for item in dataclasses.fields(config):
        value, default = getattr(config, item.name), item.default
        cls, name = type(config), item.name
        if isinstance(default, bool):
            require(isinstance(value, bool), cls, name, value, "must be true or false")
        elif isinstance(default, int):
            least = 0 if name in zero else 1
            integer = isinstance(value, int) and not isinstance(value, bool)
            most = MOST_LAYERS if _LAYERS.search(name) else GREATEST
            require(integer and value >= least, cls, name, value, f"must be an integer of at least {least}")
            require(value <= most, cls, name, value, f"must be at most {most}")
        elif isinstance(default, float):
            number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= GREATEST
            require(number, cls, name, value, f"must be a number of at most {GREATEST}")
        elif isinstance(default, str):
            require(isinstance(value, str), cls, name, value, "must be text")
        elif isinstance(default, tuple):
            require(isinstance(value, tuple) and _positive(value), cls, name, value, _LISTS)


def _positive(values: tuple[Any, ...]) -> bool:
    if not 0 < len(values) <= MOST_LAYERS:
        return False
    nested = all(isinstance(v, tuple) and _positive(v) for v in values)
    return nested or all(isinstance(v, int) and not isinstance(v, bool) and 0 < v <= GREATEST for v in values)


def check_multiple(config: Any, name: str, by: str) -> None:
    """Check that the field `name` is a multiple of the field `by`."""
    value, divisor = getattr(config, name), getattr(config, by)
    require(value % divisor == 0, type(config), name, value, f"must be a multiple of {by} ({divisor})")
