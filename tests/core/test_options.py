"""Options are declared once: types, limits and help lie in their fields, and what lists them agrees."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args, get_type_hints

import pytest

from tutortoietts.core.errors import OptionError
from tutortoietts.core.options import SPEECH, Option, SpeechOptions, SpeechOptionsDict, check, declared, option
from tutortoietts.core.streaming import STREAM, Streaming, StreamOptionsDict

ALL = {**SPEECH, **STREAM}


@pytest.mark.parametrize("cls", [SpeechOptions, Streaming])
def test_every_field_is_declared(cls: type[Any]) -> None:
    hints = get_type_hints(cls)
    options = declared(cls)
    assert list(options) == [item.name for item in fields(cls)]
    for name, one in options.items():
        kinds = {kind for kind in get_args(hints[name]) or (hints[name],) if kind is not type(None)}
        assert kinds == {one.type} and getattr(cls(), name) == one.default


def test_keyword_arguments_have_the_types_of_the_fields() -> None:
    assert get_type_hints(SpeechOptionsDict) == get_type_hints(SpeechOptions)
    names = {"stream_chunk_size": "chunk_size", "stream_chunk_max": "chunk_max"}
    hints = get_type_hints(Streaming)
    assert get_type_hints(StreamOptionsDict) == {name: hints[names.get(name, name)] for name in STREAM}
    assert not SpeechOptionsDict.__required_keys__ and not StreamOptionsDict.__required_keys__


@pytest.mark.parametrize("name", ALL)
def test_an_option_has_limits_and_help(name: str) -> None:
    one = ALL[name]
    assert (one.range is None) != (one.choices is None) or one.type is bool
    assert one.choices is None or one.default in one.choices
    for text in filter(None, (one.help, one.details)):
        assert (text[0].isupper() or text[0] in "`0") and text.endswith(".")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, "size is True, must be an integer of 1..9"),
        (2.0, "size is 2.0, must be an integer of 1..9"),
        (float("nan"), "size is nan, must be an integer"),
        (0, "size is 0, outside 1..9"),
        (10**400, "size is 1000+, outside|size is enormous, outside 1..9"),
    ],
)
def test_checks_of_a_number(value: object, message: str) -> None:
    one = Option(type=int, default=1, help="Size.", range=(1, 9))
    check("size", 9, one)
    with pytest.raises(OptionError, match=message):
        check("size", value, one)


def test_checks_of_choices_and_switches() -> None:
    one = Option(type=str, default=None, help="Colour.", choices=(None, "red", "blue"))
    check("colour", None, one)
    with pytest.raises(OptionError, match="colour is 'rad', must be one of None, 'red', 'blue'; did you mean 'red'"):
        check("colour", "rad", one)
    with pytest.raises(OptionError, match="on is 1, must be True or False"):
        check("on", 1, Option(type=bool, default=True, help="Switch."))
    assert one.limits_text == "red, blue" and option(1, "Size.").metadata["option"].type is int
