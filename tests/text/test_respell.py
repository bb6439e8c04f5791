"""Phonetic spellings in English letters."""

from __future__ import annotations

import pytest

from tutortoietts.text.respell import respell


@pytest.mark.parametrize(
    ("ipa", "sampa", "letters"),
    [
        ("təˈmeɪtoʊ", 't@"meItoU', "tuhmaytoh"), ("tʃɜːtʃ", "tS3:tS", "cherch"), ("ˈθɪŋkɪŋ", '"TINkIN', "thingking"),
        ("ʃiː", "Si:", "shee"), ("kaʊ", "kaU", "kow"), ("bɔɪ", "bOI", "boy"), ("mʌtʃ", "mVtS", "muhch"),
        ("kæt", "k{t", "kat"),
    ],
)  # fmt: skip
def test_both_alphabets(ipa: str, sampa: str, letters: str) -> None:
    assert respell(ipa) == letters == respell(sampa, "x-sampa")


@pytest.mark.parametrize("phones", ["", "ˈ", "!kung", "東京", "t3"])
def test_what_is_not_known_is_refused(phones: str) -> None:
    assert respell(phones) is None
