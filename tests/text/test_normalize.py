"""The cleaners: the original's results, and text nobody expected."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from tutortoietts.core.errors import OptionError
from tutortoietts.text.normalize import cleaner, expand_abbreviations, expand_numbers, is_sayable
from tutortoietts.text.transliterate import to_ascii

CASES = Path(__file__).resolve().parents[2].parent / "shared" / "text" / "cases.json"
needs_shared = pytest.mark.skipif(not CASES.exists(), reason=f"{CASES} is not here")

english = cleaner("english")
basic = cleaner("basic")


@needs_shared
def test_every_recorded_cleaning() -> None:
    cases = json.loads(CASES.read_text(encoding="utf-8"))["tokenizer"]
    wrong = {case["text"]: english(case["text"]) for case in cases if english(case["text"]) != case["cleaned"]}
    assert not wrong
    assert len(cases) > 20


@pytest.mark.parametrize(
    ("text", "ascii_text"),
    [
        ("“Quoted” ‘so’ — or – so…", "\"Quoted\" 'so' -- or - so..."),
        ("¡Año! ÀÉÎÕÜ Æthelred Þór straße çedilla", "!Ano! AEIOU AEthelred Thor strasse cedilla"),
        ("£5 ¥6 ¢7 §8 ±9 µ × ÷ °", "PS5 Y=6 C/7 SS8 +-9 u x / deg"),
        ("¼ ½ ¾ ⅓ x²", " 1/4  1/2  3/4  1/3  x2"),
        ("a\u00a0b\u2003c\u200bd\u202fe\u00adf\ufefff", "a b c d eff"),
        ("line\u2028next\u2029para", "line\nnext\n\npara"),
        ("‰ † ‡ • ‼ ⁈ ′ ″ ‹ › № ™ ©", "%0 + ++ * !! ?! ' '' < > No.  (tm) (c)"),
        ("¦ ª º ¹", "| a o 1"),
    ],
)
def test_latin_and_punctuation_read_as_unidecode_reads_them(text: str, ascii_text: str) -> None:
    assert to_ascii(text) == ascii_text


# Where anyascii reads otherwise than Unidecode (third column), on purpose.
OTHER_SCRIPTS = [
    ("日本語 текст", "Ri Ben Yu  tekst", "Ri Ben Yu  tekst"),
    ("中文，测试。", "Zhong Wen ,Ce Shi . ", "Zhong Wen ,Ce Shi . "),
    ("Łódź, Dvořák, œuvre", "Lodz, Dvorak, oeuvre", "Lodz, Dvorak, oeuvre"),
    ("한국어", "HanGugEo", "hangugeo"),
    ("ελληνικά", "ellinika", "ellenika"),
    ("Я люблю Юлию", "Ya lyublyu Yuliyu", "Ia liubliu Iuliiu"),
    ("「はい」、そう。", '"hai", sou. ', "[hai] , sou. "),
]


@pytest.mark.parametrize(("text", "ours", "unidecode"), OTHER_SCRIPTS)
def test_other_scripts_are_read_not_lost(text: str, ours: str, unidecode: str) -> None:
    assert to_ascii(text) == ours
    assert sum(map(str.isalpha, ours)) >= sum(map(str.isalpha, unidecode)) - 1


def test_what_has_no_reading_is_dropped_and_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert to_ascii("ok \U0001f600 \ue000!") == "ok  !"
    assert "U+1F600" in caplog.text and "U+E000" in caplog.text


def test_accents_and_joiners_are_dropped_silently(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert to_ascii("cafe\u0301 a\u200db") == "cafe ab"
    assert not caplog.records


@pytest.mark.parametrize("clean", [english, basic])
def test_control_characters_and_lone_surrogates_never_reach_the_tokenizer(clean, caplog) -> None:  # type: ignore[no-untyped-def]
    with caplog.at_level(logging.WARNING):
        assert clean("A\x00b\x07c\ud800d\tE") == "abcd e"
    assert "U+0000" in caplog.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("£200", "two hundred pounds"),
        ("£1,500", "fifteen hundred pounds"),
        ("$1,000,000", "one million dollars"),
        ("$.50", "fifty cents"),
        ("$0.00", "zero dollars"),
        ("$7.", "seven dollars."),
        ("$,5", "five dollars"),
        ("007", "seven"),
        ("1066 and 1805", "ten sixty-six and eighteen oh five"),
        ("101st 1234th 12th", "one hundred and first one thousand, two hundred and thirty-fourth twelfth"),
        ("0.5", "zero point five"),
        ("1,2,3", "one hundred twenty-three"),
        ("9" * 37, "nine " * 36 + "nine"),
    ],
)
def test_numbers(text: str, words: str) -> None:
    assert expand_numbers(text) == words


@pytest.mark.parametrize("shape", ["{}", "${}", "{}th", "{}.{}", "£{}", "${}.{}"])
def test_numbers_of_any_length_are_spoken(shape: str) -> None:
    digits = "12345" * 2000
    assert expand_numbers(shape.format(digits, digits)).count("four") >= 2000


def test_abbreviations_in_any_case_and_only_whole_words() -> None:
    assert expand_abbreviations("Dr. Who met MRS. Lt. Gen. first. Amr. co-op") == (
        "doctor Who met misess lieutenant general first. Amr. co-op"
    )


def test_basic_keeps_the_alphabet() -> None:
    assert basic('  "Über 12\n Ελλάδα" ') == ' "über 12 ελλάδα" '


def test_sayable() -> None:
    assert is_sayable("a") and is_sayable("…7") and is_sayable("日")
    assert not is_sayable("") and not is_sayable(" .,!?—[]\n")


def test_unknown_cleaner() -> None:
    with pytest.raises(OptionError, match=r"'german'.*basic, english"):
        cleaner("german")
