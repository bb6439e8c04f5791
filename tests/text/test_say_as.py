"""Spoken passages beside the text as written."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import pytest
from spoken import words

import tutortoietts
from tutortoietts.core.errors import TextError
from tutortoietts.text.natural import normalize
from tutortoietts.text.say_as import said_as, spoken_passages
from tutortoietts.text.tokenizer import Tokenizer

BUNDLED = Path(tutortoietts.__file__).with_name("bundled") / "tokenizer.json"
TALE = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, "
    "it was the epoch of belief, it was the epoch of incredulity, it was the season of Light, it was a season of Night."
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(BUNDLED, unknown="drop", limit=121)


def split(text: str, tokenizer: Tokenizer, *, normalize: bool = True) -> list[str]:
    """As the bundled model is given it."""
    return [
        part.text
        for part in spoken_passages(
            text, normalize=normalize, desired_length=80, max_length=120, count=tokenizer.count, limit=tokenizer.limit
        )
    ]


def _random_text(seed: int) -> str:
    draw = random.Random(seed)
    kinds = [
        lambda: "".join(draw.choice("abcdefghij") for _ in range(draw.randint(1, 9))),
        lambda: str(draw.randrange(10 ** draw.randint(1, 12))),
        lambda: f"${draw.randrange(10**9):,}.{draw.randrange(100):02d}",
        lambda: f"{draw.random() * 1000:.3f}%",
        lambda: f"{draw.randint(1, 12)}/{draw.randint(1, 28)}/{draw.randint(1900, 2030)}",
        lambda: f"{draw.randint(0, 23)}:{draw.randint(0, 59):02d}",
        lambda: draw.choice(
            ["Dr. Smith", "St. Louis", "U.S. troops", "James T. Kirk", "etc.", "e.g. this", "FBI", "a@b.com"]
        ),
    ]
    marks = ["", "", "", ",", ".", "!", ";", '"', " -", "\n"]
    return " ".join(draw.choice(kinds)() + draw.choice(marks) for _ in range(150))


@pytest.mark.parametrize("seed", range(6))
def test_the_words_of_the_passages_are_those_of_the_whole(seed: int, tokenizer: Tokenizer) -> None:
    text = _random_text(seed)
    parts = split(text, tokenizer)
    assert words(" ".join(parts)) == words(normalize(text).text)
    assert len(parts) > 5 and all(len(part) <= 121 for part in parts)


@pytest.mark.parametrize("seed", range(6))
def test_without_the_normaliser_no_number_is_torn(seed: int, tokenizer: Tokenizer) -> None:
    text = _random_text(seed)
    parts = split(text, tokenizer, normalize=False)
    torn = [word for word in " ".join(parts).split() if word not in text.split()]
    alone = [word for word in text.split() if tokenizer.count(word) >= tokenizer.limit]
    assert "".join("".join(parts).split()).replace("-", "") == "".join(text.split()).replace("-", "")
    assert len(torn) <= 3 * len(alone)


@pytest.mark.parametrize(
    "end", ["James T. Kirk to speak first.", "Dr. Smith, who was tired.", "the U.S. army to go home."]
)
@pytest.mark.parametrize("with_words", [True, False])
def test_no_passage_ends_at_an_abbreviation(end: str, with_words: bool, tokenizer: Tokenizer) -> None:
    text = f"The bridge of the ship was quiet that night because all were waiting for {end}"
    assert len(split(text, tokenizer, normalize=with_words)) == 1


def test_long_sentences_are_cut_at_commas_and_dashes(tokenizer: Tokenizer) -> None:
    parts = split(TALE, tokenizer)
    assert len(parts) == 2 and parts[0].endswith(",") and " ".join(parts) == TALE
    storm = (
        "The air carries that distinctive electric charge that precedes rain - a mix of ozone and wet soil that makes "
    )
    assert split(storm + "everything feel fresh and alive.", tokenizer)[0].endswith("precedes rain")


def test_a_lone_quotation_mark_opens_nothing(tokenizer: Tokenizer) -> None:
    text = 'The board is 6" wide. Cut it in half. Then sand it. Then paint it. Then let it dry. Then bring it in. Done.'
    for with_words in (True, False):
        assert all(part[-1] == "." for part in split(text, tokenizer, normalize=with_words))


def test_a_rule_of_dashes_behind_numbers_is_skipped_and_the_rest_said(tokenizer: Tokenizer) -> None:
    text = f"A good sentence. 2026 1999 1987 1776 1492 1066 1815 {'-' * 40} Another good one."
    for with_words in (True, False):
        parts = split(text, tokenizer, normalize=with_words)
        assert parts[0].startswith("A good sentence.") and parts[-1].endswith("Another good one.")
        assert "--" not in "".join(parts)


def test_a_cut_number_is_cut_between_its_groups(tokenizer: Tokenizer) -> None:
    parts = split("The budget was $1,234,567,890.12 in 2019 and $9,876,543,210.98 in 2020.", tokenizer)
    assert parts[0].endswith(("thousand", "million", "dollars"))
    alone = split("$1,234,567,890.12 in all, said he who had counted it.", tokenizer, normalize=False)
    assert " ".join(alone).replace(", ", ",").startswith("$1,234,567,890.12 in all")


def test_brackets(caplog: pytest.LogCaptureFixture, tokenizer: Tokenizer) -> None:
    def heard(text: str) -> str:
        return said_as(text, spoken_passages(text), tokenizer.clean)[0]["spoken"]

    assert heard("Robots[, get him!]") == "robots"
    assert heard("Yes [no].") == "yes."
    assert heard("that[[[...have...]]]") == "that"
    assert heard("See [the docs](https://example.com) now.") == "see the docs now."
    assert heard("A word.[12] More.") == "a word. more."
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        assert heard("That is funny [laugh]") == "that is funny"
        assert heard("Well [chuckles softly], okay. [sigh]") == "well, okay."
    assert "[laugh] is left out: sounds cannot be asked for in brackets" in caplog.text
    assert all(not part.hidden for part in spoken_passages("[sigh] No."))
    with pytest.raises(TextError, match="nothing to say"):
        spoken_passages("[laughs]")


def test_hidden_words_are_not_joined_to_visible_ones() -> None:
    (part,) = spoken_passages("that[have]s")
    assert part.text == "that have s" and [piece.strip() for piece, cut in part.pieces() if cut] == ["have"]


def test_said_as_covers_the_text() -> None:
    text = "Dr. Smith paid $5. [Who?] The FBI came, on 3/4/2024, and it left at 9:30."
    said = said_as(text, spoken_passages(text, desired_length=20, max_length=60))
    assert len(said) > 1
    assert "".join("".join(passage["text"].split()) for passage in said) == "".join(text.split())
    assert said[0]["spoken"].startswith("doctor Smith paid five dollars.")


def test_without_redaction_brackets_are_left_out_and_their_words_said() -> None:
    assert spoken_passages("Yes [no].", redaction=False)[0].text == "Yes no."
    assert spoken_passages("Yes [no].", redaction=False, normalize=False)[0].text == "Yes no."
    with pytest.raises(TextError, match="must be a str"):
        spoken_passages(None)  # type: ignore[arg-type]
