"""The original cleaner of XTTS, step by step, and what the romanisers make of Chinese, Japanese and Korean."""

from __future__ import annotations

import re
from functools import cache

from tutortoietts.core.errors import OptionError
from tutortoietts.text.transliterate import to_ascii
from tutortoietts.text.xtts import romanize
from tutortoietts.text.xtts.numbers import expand_numbers
from tutortoietts.text.xtts.tables import ABBREVIATIONS, LANGUAGES, SYMBOLS

__all__ = ["clean", "language_code"]

_SPACES = re.compile(r"\s+")
_SURROGATES = re.compile("[\ud800-\udfff]")
_TURKISH_CAPITALS = str.maketrans("İÖÜ", "iöü")
_TURKISH_LETTERS = str.maketrans("İIÖÜ", "iıöü")
_CHINESE_GAPS = re.compile(r"(?<=,)[\s,]+|\s+(?=,)")


def language_code(tag: str) -> str:
    """Return the code of a language tag, such as "zh" for "zh-cn". OptionError lists the codes."""
    code = tag.strip().lower().replace("_", "-").partition("-")[0] if isinstance(tag, str) else ""
    if code not in LANGUAGES:
        raise OptionError(f"language {tag!r} is not one of XTTS: use one of {', '.join(LANGUAGES)}")
    return code


def clean(text: str, language: str, *, spoken: bool = False) -> str:
    """Return text as the model was trained to see it: lower case, numbers and symbols in words, romanised where needed.

    language: a code or tag, see `language_code`. spoken: the text is in spoken words already (`text.natural`), so
    numbers and abbreviations are left alone, and capitals of Turkish become small as in Turkish. Where the original
    raises (Czech ordinals, Hindi numbers), ours reads the number. Raises OptionError for another language, and where a
    romaniser is not installed.
    """
    code = language_code(language)
    text = _SURROGATES.sub("", text)
    if code == "ja":
        return _japanese(text) if spoken else romanize.japanese(text)
    text = text.replace('"', "")
    if code == "tr":
        text = text.translate(_TURKISH_LETTERS if spoken else _TURKISH_CAPITALS)
    text = text.lower()
    if code == "zh":
        from tutortoietts.text.xtts.chinese import expand_chinese

        text = _CHINESE_GAPS.sub("", expand_chinese(text)) if spoken else expand_chinese(text)
    elif not spoken:
        text = expand_numbers(text, code)
    for pattern, word in () if spoken else _abbreviations(code):
        text = pattern.sub(word, text)
    for sign, word in SYMBOLS[code].items():
        text = text.replace(sign, f" {word} ").replace("  ", " ").strip()
    text = _SPACES.sub(" ", text).strip()
    if code == "zh":
        return romanize.chinese(text)
    return romanize.korean(text) if code == "ko" else text


def _japanese(text: str) -> str:
    """Return Japanese in romaji; letters that have none, such as those of other languages, in Latin ones."""
    made = romanize.japanese(text)
    if made.count("?") <= text.count("?") + text.count("？"):
        return made
    strange = {char for char in text if char.isalpha() and not char.isascii() and romanize.japanese(char) == "?"}
    return romanize.japanese(text.translate({ord(char): to_ascii(char) for char in strange}))


@cache
def _abbreviations(code: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    end = r"\b" if code == "ru" else r"\."
    return tuple(
        (re.compile(rf"\b{re.escape(short)}{end}", re.IGNORECASE), word) for short, word in ABBREVIATIONS.get(code, ())
    )
