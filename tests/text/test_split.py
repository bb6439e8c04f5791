"""Splitting: the original's parts, and the promises of ours."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

from tutortoietts.core.errors import OptionError, TextError
from tutortoietts.text.brackets import Passage, parse_brackets
from tutortoietts.text.split import passages, split_and_recombine_text

CASES = Path(__file__).resolve().parents[2].parent / "shared" / "text" / "cases.json"


@pytest.mark.skipif(not CASES.exists(), reason=f"{CASES} is not here")
def test_every_recorded_split() -> None:
    cases = json.loads(CASES.read_text(encoding="utf-8"))["splitter"]
    assert len(cases) > 20
    for case in cases:
        got = split_and_recombine_text(case["text"], case["desired_length"], case["max_length"])
        assert got == case["parts"], (case["text"][:60], case["desired_length"])


def _prose(seed: int, words: int) -> str:
    draw = random.Random(seed)
    marks = ["", "", "", "", ",", ".", "!", "?", '"', "...", ' "', "\n"]
    return " ".join("abcdefghij"[: draw.randint(1, 10)] + draw.choice(marks) for _ in range(words))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("desired", "longest"), [(200, 300), (20, 40), (1, 1), (50, 50)])
def test_no_letter_is_lost_and_no_part_too_long(seed: int, desired: int, longest: int) -> None:
    text = _prose(seed, 300)
    parts = split_and_recombine_text(text, desired, longest)
    assert "".join(filter(str.isalpha, "".join(parts))) == "".join(filter(str.isalpha, text))
    assert max(map(len, parts)) <= longest + 1  # a closing quotation mark and the space after it stay with their quote
    assert all(part == part.strip() and part for part in parts)


def test_a_hundred_thousand_characters() -> None:
    text = "It was a bright cold day in April, and the clocks were striking. " * 1600
    parts = split_and_recombine_text(text)
    assert len(text) > 100_000 and " ".join(parts) == text.strip()


def test_bad_lengths() -> None:
    for desired, longest in [(0, 10), (20, 10)]:
        with pytest.raises(OptionError, match="1 <= desired <= max"):
            split_and_recombine_text("text", desired, longest)


def test_passages_split_as_the_plain_text_and_carry_what_is_hidden() -> None:
    text = "First  one [whispers\nsoftly] here. [Then] a second. And “a [third” one]."
    passage = parse_brackets(text)
    parts = passages(passage, desired_length=20, max_length=40)
    assert [part.text for part in parts] == split_and_recombine_text(passage.text, 20, 40)
    hidden = " ".join(piece for part in parts for piece, cut in part.pieces() if cut)
    assert hidden == 'whispers softly Then third" one'


def test_a_hidden_span_that_is_split_stays_hidden_on_both_sides() -> None:
    parts = passages(parse_brackets("Say [one two. three four. five] six."), desired_length=10, max_length=16)
    assert len(parts) > 1
    shown = [piece.strip() for part in parts for piece, cut in part.pieces() if not cut and piece.strip()]
    assert shown == ["Say", "six."]


def test_the_work_grows_as_the_text_does() -> None:
    def calls(pairs: int) -> int:
        """Function calls made by splitting a text of so many bracket pairs."""
        passage, count = parse_brackets("one [two] " * pairs), 0

        def note(frame: object, event: str, argument: object) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(note)
        try:
            parts = passages(passage)
        finally:
            sys.setprofile(None)
        assert sum(len(part.hidden) for part in parts) == pairs
        return count

    assert calls(2000) < 2.3 * calls(1000)


def test_parts_over_the_token_limit_are_split_again() -> None:
    def count(text: str) -> int:  # digits grow when they are spelled out
        return sum(8 if char.isdigit() else 1 for char in text)

    text = "Call 123456789 or 987654321 now. " * 30 + "5" * 400
    parts = passages(Passage(text=text), count=count, limit=100)
    assert all(count(part.text) < 100 for part in parts)
    assert "".join("".join(part.text.split()) for part in parts) == "".join(text.split())


def test_clauses_end_at_commas_once_they_are_long_enough() -> None:
    text = "When the rain, which had begun at noon, stopped at last, we went out: the streets were empty; all slept."
    whole = passages(Passage(text=text), desired_length=30, max_length=200)
    parts = [p.text for p in passages(Passage(text=text), desired_length=30, max_length=200, clauses=True)]
    assert [p.text for p in whole] == [text]
    assert parts == [
        "When the rain, which had begun at noon,",
        "stopped at last, we went out:",
        "the streets were empty; all slept.",
    ]
    quoted = Passage(text='She said "it rains a lot, and in winter, too, it snows a lot", and then she left us.')
    assert [p.text for p in passages(quoted, desired_length=20, max_length=200, clauses=True)] == [
        'She said "it rains a lot, and in winter, too, it snows a lot",',
        "and then she left us.",
    ]


def test_a_character_over_the_limit() -> None:
    with pytest.raises(TextError, match="'5' alone is 8 tokens, must be fewer than 8"):
        passages(Passage(text="5"), count=lambda text: 8 * len(text), limit=8)


@pytest.mark.parametrize("text", ["", "  ", ". . .", "—", '"'])
def test_nothing_to_say(text: str) -> None:
    with pytest.raises(TextError, match="nothing to say"):
        passages(Passage(text=text))


def test_a_part_without_a_reading_is_left_out_and_the_others_spoken(caplog: pytest.LogCaptureFixture) -> None:
    def count(text: str) -> int:
        return 0 if text.startswith("\u0294") else len(text) + 1

    text = "One sentence here. " + "\u0294" * 18 + ". Another one."
    parts = passages(Passage(text=text), desired_length=10, max_length=20, count=count, limit=100)
    assert [part.text for part in parts] == ["One sentence here.", "Another one."]
    assert "none of its characters has a reading" in caplog.text
    with pytest.raises(TextError, match="nothing to say"):
        passages(Passage(text="\u0294"), count=count, limit=100)
