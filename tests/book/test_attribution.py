"""Who says what is quoted: by the words beside it, by turns, and how sure that is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fake_speaker import FakeSpeaker, make_epub, makes
from tutortoietts.book.attribution import SURE, attribute, speaker_named
from tutortoietts.book.book import Book
from tutortoietts.book.casting import read_cast
from tutortoietts.book.options import BookOptions
from tutortoietts.core.errors import OptionError

TALK = [
    "“It is quite a three pipe problem,” said Holmes, “and I beg that you won’t speak to me.”",
    "“What is it, Holmes?” asked Dr. Watson.",
    "“A letter.”",
    "“From whom?”",
]


def names(texts: list[str]) -> list[list[tuple[str, bool]]]:
    return [[(guess.name, guess.confidence >= SURE) for guess in found.values()] for found in attribute(texts)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("“Look,” said Holmes.", "Holmes"), ("“Look,” Holmes said.", "Holmes"),
        ("“Look!” cried Mr. Holmes.", "Mr. Holmes"),
        ("Holmes said quietly, “Look.”", "Holmes"), ("“Who?” replied the Duke of Kent.", "Duke of Kent"),
        ("“Nobody,” Mary Morstan softly whispered.", "Mary Morstan"), ('"Look," said Holmes.', "Holmes"),
        ("‘Look,’ said Holmes.", "Holmes"), ("“Who?” he asked.", ""), ("“Well?” I said.", ""),
        ("“The cat,” the old man said.", ""), ("Holmes said nothing. “Look.”", ""),
        ("He read the word “gold” aloud.", ""),
    ],
)  # fmt: skip
def test_names_beside_a_quotation(text: str, name: str) -> None:
    assert names([text]) == [[(name, True)] if name else []]


def test_two_people_take_turns() -> None:
    assert names(TALK) == [[("Holmes", True)] * 2, [("Dr. Watson", True)], [("Holmes", True)], [("Dr. Watson", True)]]
    far = attribute([*TALK, *["“Yes.”"] * 12])
    confidences = [guess.confidence for found in far for guess in found.values()]
    assert confidences[-1] < SURE and sorted(confidences[3:], reverse=True) == confidences[3:]  # it fades


def test_turns_end_with_narration_and_with_a_third() -> None:
    assert names([*TALK[:2], "He rose.", "“A letter.”"])[-1] == []
    assert names([*TALK[:2], "“Come in, Holmes.”"])[-1] == []  # who is spoken to does not speak
    assert names(["“A letter.”", "“From whom?” asked Watson.", "“Guess,” said Holmes."])[0] == [("Holmes", True)]


def test_a_quotation_over_paragraphs() -> None:
    assert names(["“This goes on,” said Holmes, “and on.", "“And on.”"])[1] == [("Holmes", True)]
    assert names(["“This goes on.", "“And on,” said Lestrade."])[0] == [("Lestrade", True)]


def test_names_of_speakers() -> None:
    speakers = {"holmes": ("holmes", "Sherlock"), "mrs hudson": ("mrs hudson",), "mary": ("mary",)}
    assert speaker_named("Mr. Sherlock Holmes", speakers) == "holmes" == speaker_named("Sherlock", speakers)
    assert speaker_named("Hudson", speakers) == "mrs hudson" and speaker_named("Lestrade", speakers) is None
    assert speaker_named("Mary Holmes", speakers) is None  # two of them


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib")
def test_a_cast_of_characters(tmp_path: Path) -> None:
    cast = tmp_path / "cast.toml"
    cast.write_text(
        '[voices]\ndialogue = "ben"\nholmes = "holmes"\nwatson = "anna"\n[names]\nwatson = ["the Doctor"]\n'
    )
    body = "".join(f"<p>{text}</p>" for text in [*TALK, "He rose.", "“Gentlemen!” said Lestrade.", "“Is it you?”"])
    source = make_epub(tmp_path, body, "")
    book = Book.open(source, options=BookOptions(cast=str(cast)))
    speaker = FakeSpeaker()
    makes(book, speaker)
    said = {text: voice for text, voice, _ in speaker.calls}
    assert said['"A letter."'] == "holmes" and said['"From whom?"'] == "anna"
    assert said['"Gentlemen!"'] == "ben" and said['"Is it you?"'] == "ben"
    assert "said Holmes," not in said or said["said Holmes,"] == ""
    (unsure,) = book.preview(speaker).unsure
    assert "Lestrade" in unsure and "no voice" in unsure
    cast.write_text('[voices]\nholmes = "holmes"\n[names]\nholms = ["Sherlock"]\n')
    with pytest.raises(OptionError, match="did you mean 'holmes'"):
        read_cast(str(cast), "")
