"""The scripts that measure the normaliser run, on few texts."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import fuzz_text
from golden_files import SHARED
from tutortoietts.text.tokenizer import Tokenizer
from tutortoietts.text.xtts.tables import LANGUAGES
from tutortoietts.text.xtts.tokenizer import XttsTokenizer

FOLDER = Path(fuzz_text.__file__).parent
VOCABULARY = SHARED / "text" / "xtts_test_vocab.json"


@pytest.mark.parametrize("seed", range(2))
def test_hostile_texts_raise_nothing(seed: int) -> None:
    tokenizer = Tokenizer(fuzz_text.TOKENIZER, unknown="drop", limit=121)
    logging.disable(logging.CRITICAL)
    try:
        faults = [(fuzz_text.check(text, tokenizer, "en"), text) for text in fuzz_text.hostile_texts(seed, 150)]
    finally:
        logging.disable(logging.NOTSET)
    assert not [found for found in faults if found[0]]


@pytest.mark.skipif(not VOCABULARY.is_file(), reason="the test vocabulary of ../shared is absent")
@pytest.mark.parametrize("spoken", [True, False])
@pytest.mark.parametrize("language", LANGUAGES)
def test_hostile_texts_raise_nothing_in_the_languages_of_xtts(language: str, spoken: bool) -> None:
    for library in {"zh": ["pypinyin"], "ja": ["cutlet"], "ko": ["hangul_romanize"]}.get(language, []):
        pytest.importorskip(library)
    tokenizer = XttsTokenizer(VOCABULARY, language, spoken=spoken)
    texts = fuzz_text.hostile_texts(LANGUAGES.index(language), 30)
    logging.disable(logging.CRITICAL)
    try:
        faults = [(fuzz_text.check(text, tokenizer, language, spoken), text) for text in texts]
    finally:
        logging.disable(logging.NOTSET)
    assert not [found for found in faults if found[0]]


def test_the_same_seed_gives_the_same_texts() -> None:
    assert [*fuzz_text.hostile_texts(3, 30)] == [*fuzz_text.hostile_texts(3, 30)] != [*fuzz_text.hostile_texts(4, 30)]


def test_a_fault_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(text: str, language: str) -> None:
        raise IndexError(text)

    monkeypatch.setattr(fuzz_text, "normalize", broken)
    assert fuzz_text.check("five", Tokenizer(fuzz_text.TOKENIZER), "en") == "IndexError: five"


def test_the_score_without_rivals() -> None:
    command = [sys.executable, str(FOLDER / "normalise.py"), "--rival", f"nemo={sys.executable}"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["right"] == {"ours": found["lines"]} and "nemo left out" in result.stderr
