"""Written words and their tokens: as cleaned, as derived from another text, where cleaning crosses words."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from tiny_model import letter_tokenizer
from tutortoietts.core.errors import TextError
from tutortoietts.text.brackets import Passage, parse_brackets
from tutortoietts.text.say_as import spoken_passages
from tutortoietts.text.tokenizer import Tokenizer
from tutortoietts.text.words import WordTokens, word_tokens

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "text"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """One token a character."""
    file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    file.write_text(json.dumps(letter_tokenizer()), encoding="utf-8")
    return Tokenizer(file, unknown="drop")


def spoken(tokenizer: Tokenizer, passage: Passage, words: list[WordTokens]) -> list[tuple[str, str]]:
    """Each word, and what its tokens say."""
    ids = tokenizer.encode_parts([piece for piece, _ in passage.pieces()])[0].ids[0].tolist()
    return [(word.word, tokenizer.decode(ids[slice(*word.tokens)])) for word in words]


def read(tokenizer: Tokenizer, text: str) -> list[tuple[str, str]]:
    passage = parse_brackets(text)
    words = word_tokens(tokenizer, passage, text)
    assert all(text[slice(*word.chars)] == word.word for word in words)
    assert all(a.tokens[1] <= b.tokens[0] and a.chars[1] <= b.chars[0] for a, b in pairwise(words))
    return spoken(tokenizer, passage, words)


def test_words_keep_all_that_is_said_for_them(tokenizer: Tokenizer) -> None:
    assert read(tokenizer, "It cost $5, (said  Dr. O'Neil)!") == [
        ("It", "it"),
        ("cost", "cost"),
        ("$5", "five dollars,"),
        ("said", "said"),
        ("Dr", "doctor"),
        ("O'Neil", "o'neil)!"),
    ]
    assert read(tokenizer, " In 1984 \u2014 caf\u00e9s \u2603 50% ") == [
        ("In", "in"),
        ("1984", "nineteen eighty-four"),
        ("caf\u00e9s", "cafes"),
        ("50%", "fifty"),
    ]


def test_hidden_words_are_left_out(tokenizer: Tokenizer) -> None:
    assert read(tokenizer, "[I am sad,] please feed [the] me.") == [
        ("please", "please"),
        ("feed", "feed"),
        ("me", "me."),
    ]
    assert read(tokenizer, "[Well,]un[believ]able") == [("un", "un"), ("able", "able")]


def test_a_text_derived_from_another(tokenizer: Tokenizer) -> None:
    written = "He paid $1.5 million, \u201c**St. James**\u201d [or who?] said."
    passages = spoken_passages(written, desired_length=30, max_length=45)
    assert len(passages) > 1
    found = [spoken(tokenizer, passage, word_tokens(tokenizer, passage, written)) for passage in passages]
    assert [pair for each in found for pair in each] == [
        ("He", "he"),
        ("paid", "paid"),
        ("$1.5 million", "one point five million dollars,"),
        ("St", "saint"),
        ("James", "james"),
        ("said", "said."),
    ]
    chars = [word.chars for passage in passages for word in word_tokens(tokenizer, passage, written)]
    assert [written[slice(*place)] for place in chars] == ["He", "paid", "$1.5 million", "St", "James", "said"]
    assert chars == sorted(chars)


def test_a_cleaner_that_crosses_words(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = tokenizer._clean
    monkeypatch.setattr(tokenizer, "_clean", lambda text: plain(text).replace("new york", "big apple town"))
    said = dict(read(tokenizer, "We love New York very much."))
    assert {word: said[word] for word in ("We", "love", "very", "much")} == {
        "We": "we",
        "love": "love",
        "very": "very",
        "much": "much.",
    }
    assert (said["New"] + said["York"]).replace(" ", "") == "bigappletown"


def test_nothing_to_say(tokenizer: Tokenizer) -> None:
    with pytest.raises(TextError, match="nothing to say"):
        word_tokens(tokenizer, Passage(text="..."), "...")


@pytest.mark.skipif(not SHARED.exists(), reason=f"{SHARED} is not here")
def test_every_token_of_a_word_in_recorded_texts() -> None:
    tokenizer = Tokenizer(SHARED / "tortoise_tokenizer.json")
    for case in json.loads((SHARED / "cases.json").read_text(encoding="utf-8"))["tokenizer"]:
        if not any(map(str.isalnum, tokenizer.clean(case["text"]))):
            continue
        words = word_tokens(tokenizer, Passage(text=case["text"]), case["text"])
        covered = {token for word in words for token in range(*word.tokens)}
        missed = tokenizer.decode([i for token, i in enumerate(case["ids"]) if token not in covered])
        assert not any(map(str.isalnum, missed)), case["text"]
