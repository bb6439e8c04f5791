"""Token ids as recorded, and the errors around them; a tokenizer of our own where the public one is not needed."""

from __future__ import annotations

import json
import logging
import string
from pathlib import Path

import pytest
import torch
from tokenizers import AddedToken, models, pre_tokenizers
from tokenizers import Tokenizer as Library

from tutortoietts.core.errors import ModelError, OptionError, TextError
from tutortoietts.text.brackets import parse_brackets
from tutortoietts.text.split import passages
from tutortoietts.text.tokenizer import Tokenizer

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "text"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One token a letter, and "th"."""
    special = ["[STOP]", "[UNK]", "[SPACE]"]
    pieces = [*special, *"!'(),-./:;?", *string.ascii_lowercase, "th"]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    library = Library(models.BPE(vocab=vocabulary, merges=[("t", "h")], unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    library.add_special_tokens([AddedToken(piece, normalized=False) for piece in special])
    file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    library.save(str(file))
    return file


@pytest.mark.skipif(not SHARED.exists(), reason=f"{SHARED} is not here")
def test_every_recorded_id() -> None:
    tokenizer = Tokenizer(SHARED / "tortoise_tokenizer.json")
    assert tokenizer.vocabulary == 255
    for case in json.loads((SHARED / "cases.json").read_text(encoding="utf-8"))["tokenizer"]:
        cleaned = tokenizer.clean(case["text"])
        assert tokenizer.ids(cleaned) == case["ids"], case["text"]
        assert tokenizer.decode(case["ids"]) == case["decoded"]
        assert tokenizer.count(case["text"]) == len(case["ids"]) + 1
        if any(map(str.isalnum, cleaned)):
            assert tokenizer.encode(case["text"]).ids.tolist() == [case["ids"]]


def test_encode_and_decode(path: Path) -> None:
    tokenizer = Tokenizer(path)
    tokens = tokenizer.encode("The  Cat.")
    assert tokens.text == "the cat."
    assert tokens.ids.dtype == torch.int64 and tuple(tokens.ids.shape) == (1, 7)
    assert tokens.ids[0, 2] == 2, "a space is [SPACE]"
    assert tokenizer.decode(tokens.ids[0].tolist()) == "the cat."


def test_special_tokens_cannot_be_typed(path: Path) -> None:
    ids = Tokenizer(path).ids(Tokenizer(path).clean("a[STOP]b"))
    assert 0 not in ids


def test_unknown_characters_are_kept_or_dropped_and_named(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        kept = Tokenizer(path).encode("a%b = c").ids[0].tolist()
        dropped = Tokenizer(path, unknown="drop").encode("a%b = c").ids[0].tolist()
    assert kept.count(1) == 2 and [i for i in kept if i != 1] == dropped
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2 and all("'%' (U+0025)" in m and "'=' (U+003D)" in m for m in messages)
    assert "passed as [UNK]" in messages[0] and messages[1].startswith("dropped")


@pytest.mark.parametrize("text", ["", "   ", "?!...", "\x00", "[]", "\U0001f600"])
def test_nothing_to_say(path: Path, text: str) -> None:
    with pytest.raises(TextError, match=r"nothing to say in .*letter or digit"):
        Tokenizer(path).encode(text)


def test_only_unknown_characters_dropped_is_nothing_to_say(path: Path) -> None:
    with pytest.raises(TextError, match="nothing to say"):
        Tokenizer(path, cleaner_name="basic", unknown="drop").encode("日本")


def test_token_limit_counts_the_appended_zero(path: Path) -> None:
    tokenizer = Tokenizer(path, limit=10)
    assert tokenizer.encode("abcdefgh").ids.shape[1] == 8
    with pytest.raises(TextError, match="is 10 tokens, must be fewer than 10: split"):
        tokenizer.encode("abcdefghi")


def test_pieces_of_a_bracketed_text_are_found_again(path: Path) -> None:
    tokenizer = Tokenizer(path)
    passage = parse_brackets("[I am sad,] please feed me.")
    pieces = passage.pieces()
    tokens, ends = tokenizer.encode_parts([piece for piece, _ in pieces])
    assert [hidden for _, hidden in pieces] == [True, False]
    assert tokens.text == "i am sad, please feed me."
    assert tokens.ids.tolist() == tokenizer.encode(passage.text).ids.tolist()
    assert tokenizer.decode(tokens.ids[0, : ends[0]].tolist()) == "i am sad,"
    assert ends[1] == tokens.ids.shape[1]


def test_pieces_do_not_double_spaces(path: Path) -> None:
    tokens, _ = Tokenizer(path).encode_parts(["one ", " two"])
    assert tokens.text == "one two"


def test_bracketed_parts_fit_as_they_are_encoded(path: Path) -> None:
    """Numbers that brackets take apart have more words than whole ones."""
    tokenizer = Tokenizer(path, limit=60)
    text = parse_brackets("1[0]0[0]0[0]0 " * 4 + "end")
    assert tokenizer.count("1000000") < 20 < tokenizer.count(*"1000000") < 60
    parts = passages(text, count=tokenizer.count, limit=tokenizer.limit)
    for part in parts:
        pieces = [piece for piece, _ in part.pieces()]
        tokens, _ = tokenizer.encode_parts(pieces)
        assert tokenizer.count(*pieces) == tokens.ids.shape[1] + 1 < 60
    assert "".join(part.text for part in parts).replace(" ", "") == text.text.replace(" ", "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no tokenizer at"),
        (b"{}", "not a Hugging Face tokenizers file"),
        (b"\xff\xfe", "cannot read the tokenizer"),
    ],
)
def test_bad_files(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "tokenizer.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        Tokenizer(file)
    assert caught.value.file == file


def test_a_tokenizer_without_the_special_tokens(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    Library(models.BPE(vocab={"a": 0}, merges=[])).save(str(file))
    with pytest.raises(ModelError, match=r"has no \[UNK\]"):
        Tokenizer(file)


def test_bad_options(path: Path) -> None:
    with pytest.raises(OptionError, match="unknown='ignore'"):
        Tokenizer(path, unknown="ignore")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="limit of 1"):
        Tokenizer(path, limit=1)
    with pytest.raises(OptionError, match="cleaner"):
        Tokenizer(path, cleaner_name="latin")


def test_letters_without_a_reading_count_nothing(path: Path) -> None:
    tokenizer = Tokenizer(path)
    assert tokenizer.count("\u0294\u0295.") == 0
    assert tokenizer.count("a \u0294") > 0
