"""The natural normaliser: what is said, where it was written, and that nothing is lost, joined or left over."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from spoken import lines, words

from tutortoietts.core.errors import OptionError, TextError
from tutortoietts.text.brackets import Passage, parse_brackets
from tutortoietts.text.natural import normalize, normalize_passage
from tutortoietts.text.normalize import clean_english


@pytest.mark.parametrize("kind", sorted({line.kind for line in lines()}))
def test_every_line_is_said_as_it_should_be(kind: str) -> None:
    wrong = []
    for line in lines():
        if line.kind == kind:
            said = normalize(line.text, line.language).text
            if words(said) != words(line.spoken[0]):
                wrong.append((line.text, said))
    assert not wrong


def test_there_are_enough_lines_of_each_kind() -> None:
    kinds = Counter(line.kind for line in lines())
    assert sum(kinds.values()) >= 400 and min(kinds.values()) >= 15 and len(kinds) >= 24


def test_languages() -> None:
    assert normalize("3/4/2024", "en").text == normalize("3/4/2024", "EN-us").text == "March fourth, twenty twenty-four"
    assert normalize("3/4/2024", "en_GB").text == "the third of April, twenty twenty-four"
    with pytest.raises(OptionError, match="'tlh' is not known: use one of en, en-US, en-GB"):
        normalize("text", "tlh")
    with pytest.raises(TextError, match="must be a str"):
        normalize(5)  # type: ignore[arg-type]


def test_words_point_into_the_text_as_written() -> None:
    text = "Dr. Smith &amp; I paid **$5.50** on 3/4/2024."
    places = {word.strip(".,"): text[start:end] for word, start, end in normalize(text).words()}
    assert places["doctor"] == "Dr."
    assert places["Smith"] == "Smith"
    assert places["and"] in ("&amp;", "$5.50")
    assert places["cents"] == places["dollars"] == places["five"] == "$5.50"
    assert places["March"] == "3/4/2024" and places["twenty-four"] == "3/4/2024."
    assert places["on"] == "on"


def test_spans_never_go_back_and_stay_inside() -> None:
    for line in lines():
        spans = [(start, end) for _, start, end in normalize(line.text, line.language).words()]
        assert all(0 <= start < end <= len(line.text) for start, end in spans), line.text
        assert spans == sorted(spans), line.text


def test_the_cleaner_leaves_the_words_of_the_normaliser_alone() -> None:
    """So that words of a passage and words of the model's tokens can be counted together."""
    for line in lines():
        said = normalize(line.text, line.language).text
        assert len(clean_english(said).split()) == len(said.split()), line.text


@pytest.mark.parametrize(
    "text", ["1/2", "5*3", "a=b", "R&D", "Tom&Jerry", "file_name", "a→b", "x♥y", "a|b", "and/or", "a\\b", "a^b"]
)
def test_letters_that_were_apart_do_not_meet(text: str) -> None:
    assert re.search(r"\w[ ,-]+\w", normalize(text).text)


def test_symbols_alone_have_names_and_nothing_is_said_of_nothing() -> None:
    assert normalize("👍").text == "thumbs up"
    assert normalize("♥").text == "heart"
    assert [normalize(text).text for text in ("", "  ", "...", "---", "\x00")] == [""] * 5


@pytest.mark.parametrize("seed", range(4))
def test_plain_words_come_through(seed: int) -> None:
    draw = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    plain = ["".join(draw.choice(letters) for _ in range(draw.randint(5, 9))) for _ in range(300)]
    marks = ["", "", "", ",", ".", "!", "?", ";", ":", " -", "..."]
    text = " ".join(word + draw.choice(marks) for word in plain)
    assert re.findall(r"[a-z]+", normalize(text).text) == plain


@pytest.mark.parametrize(
    ("text", "visible", "hidden"),
    [
        ("Yes [no].", ["Yes ", "."], ["no"]),
        ("It costs [about $5] $6.", ["It costs ", "six dollars."], ["about five dollars"]),
        ("1[0]", ["one"], ["zero"]),
        ("$[5]0", ["dollar", "zero"], ["five"]),
        ("[Dr. Who] Mr. Smith", ["mister Smith"], ["doctor Who"]),
    ],
)
def test_what_was_hidden_stays_hidden(text: str, visible: list[str], hidden: list[str]) -> None:
    passage = normalize_passage(parse_brackets(text))
    pieces = passage.pieces()
    assert [piece.strip() for piece, cut in pieces if cut] == hidden
    assert [piece.strip() for piece, cut in pieces if not cut and piece.strip()] == [piece.strip() for piece in visible]


def test_a_passage_knows_its_source() -> None:
    text = "I [really] paid $5."
    passage = normalize_passage(parse_brackets(text))
    places = {word: text[start:end] for word, start, end in passage.words()}
    assert places == {"I": "I", "really": "really", "paid": "paid", "five": "$5", "dollars.": "$5."}


def test_private_characters_of_a_text_are_no_marks() -> None:
    assert normalize_passage(Passage(text="a\ue000b [c")).text == "a b c"
    assert normalize("a\ue000b").text == "ab"


def test_the_work_grows_as_the_text_does() -> None:
    import sys

    def calls(text: str) -> int:
        count = 0

        def note(frame: object, event: str, argument: object) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(note)
        try:
            normalize(text)
        finally:
            sys.setprofile(None)
        return count

    normalize("warm 5")
    sentence = "Dr. Smith paid $5 on 3/4/2024 at 9:30, e.g. for 5 kg of <b>FBI</b> tea & 1/2 of it. "
    assert calls(sentence * 200) < 2.3 * calls(sentence * 100)
