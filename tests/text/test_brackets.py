"""Bracketed text: what is spoken, and what of it is cut."""

from __future__ import annotations

import logging

import pytest

from tutortoietts.core.errors import TextError
from tutortoietts.text.brackets import Passage, parse_brackets


@pytest.mark.parametrize(
    ("text", "plain", "hidden"),
    [
        ("no brackets", "no brackets", []),
        ("[I am really sad,] Please feed me.", "I am really sad, Please feed me.", ["I am really sad,"]),
        ("a [b] c [d]", "a b c d", ["b", "d"]),
        ("a [b [c] d] e", "a b c d e", ["b c d"]),
        ("a [][b][c] d", "a bc d", ["bc"]),
    ],
)
def test_spans(text: str, plain: str, hidden: list[str]) -> None:
    passage = parse_brackets(text)
    assert passage.text == plain
    assert [plain[start:end] for start, end in passage.hidden] == hidden
    assert "".join(piece for piece, _ in passage.pieces()) == plain
    assert [piece for piece, cut in passage.pieces() if cut] == hidden


@pytest.mark.parametrize(
    ("text", "plain", "hidden"),
    [
        ("a [b c", "a b c", ()),
        ("a b] c", "a b c", ()),
        ("[a [b] c", "a b c", ((2, 3),)),
        ("]a[ b [c]", "a b c", ((4, 5),)),
    ],
)
def test_an_unpaired_bracket_hides_nothing_and_is_reported(
    text: str, plain: str, hidden: tuple[tuple[int, int], ...], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        passage = parse_brackets(text)
    assert (passage.text, passage.hidden) == (plain, hidden)
    assert "unpaired" in caplog.text


def test_many_unpaired_brackets_are_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    passage = parse_brackets("a " + "[" * 500)
    assert passage.text == "a "
    (record,) = caplog.records
    assert record.getMessage().startswith("unpaired '[' at character 2 (and 499 more) is left out")


def test_everything_hidden() -> None:
    with pytest.raises(TextError, match="all of the text is in"):
        parse_brackets("[all of it]. !")


def test_spans_must_fit() -> None:
    for hidden in [((0, 9),), ((2, 2),), ((2, 3), (1, 2)), ((0, 1), (1, 2))]:
        with pytest.raises(TextError, match="does not fit"):
            Passage(text="four", hidden=hidden)
