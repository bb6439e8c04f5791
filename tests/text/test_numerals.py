"""Number words of 17 languages against the CLDR's spell-out rules (PyICU) and, as a second opinion, num2words."""

from __future__ import annotations

import importlib
import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from tutortoietts.text.numerals import LIMIT, groups
from tutortoietts.text.xtts.tables import LANGUAGES

DRAWN = random.Random(7)
NUMBERS = [
    *range(1, 1100),
    *(1100, 1500, 1984, 2000, 2001, 2024, 10000, 12000, 21000, 22000, 100000, 101000, 200000, 10**6, 2 * 10**6, 10**9),
    *(DRAWN.randrange(10**digits) + 1 for digits in range(4, 10) for _ in range(60)),
]
YEARS = range(1000, 2101)

CARDINALS = {  # language: locale and rule of the CLDR
    "en": ("en", "cardinal-verbose"),
    "es": ("es", "numbering"),
    "fr": ("fr", "numbering"),
    "de": ("de", "numbering"),
    "it": ("it", "numbering"),
    "pt": ("pt_PT", "cardinal-masculine"),
    "pl": ("pl", "cardinal-masculine"),
    "tr": ("tr", "cardinal"),
    "ru": ("ru", "cardinal-masculine"),
    "nl": ("nl", "cardinal"),
    "cs": ("cs", "cardinal-masculine"),
    "ar": ("ar", "cardinal-masculine"),
    "hu": ("hu", "cardinal"),
    "ko": ("ko", "cardinal-sinokorean"),
    "zh": ("zh", "cardinal-alternate2"),
    "ja": ("ja", "cardinal"),
    "hi": ("hi", "cardinal"),
}
ORDINALS = {
    "en": "ordinal-verbose",
    "fr": "ordinal-masculine",
    "de": "ordinal",
    "it": "ordinal-masculine",
    "tr": "ordinal",
    "ru": "ordinal-masculine",
    "nl": "ordinal",
    "hu": "ordinal",
    "hi": "ordinal-masculine",
    "ko": "ordinal-native-count",
    "zh": "ordinal",
    "ja": "ordinal",
    "es": "ordinal-masculine",
    "pt": "ordinal-masculine",
}


def spell(language: str, n: int, kind: str = "cardinal") -> str:
    module = importlib.import_module(f"tutortoietts.text.numerals.{language}")
    return str(getattr(module, kind)(n))


def squeezed(words: str) -> str:
    """Without what is written in two ways: spaces, hyphens, "and" of Arabic as a word of its own."""
    return re.sub(r"[\s\u00ad,-]", "", words.lower())


def french(words: str) -> str:
    """The CLDR leaves out the plural of cent and vingt before millions, and has -et- where there is none."""
    return re.sub(r"(cent|vingt)s(?=millions?|milliards?)", r"\1", words).replace("et", "")


def italian(words: str) -> str:
    """Ours keeps the o of "ventunomila", as is usual, accents "milletré", and says "un milione e mille"."""
    words = re.sub(r"unomila|unmila|unomilioni|unmilioni", "unmila", words).replace("é", "e")
    return re.sub(r"(milione|milioni|unmila)e", r"\1", words)


def arabic(words: str) -> str:
    """The CLDR writes a hamza that does not belong there, 11 in the feminine, and hundreds as two words."""
    return re.sub("[أإ]", "ا", words)


SAME: dict[str, Callable[[str], str]] = {
    "fr": french,
    "it": italian,
    "nl": lambda words: words.replace("é", "e"),
    "ru": lambda words: words.replace("ё", "е"),
    "hu": lambda words: words.replace("kettőezer", "kétezer").replace("kettőmillió", "kétmillió"),
    "cs": lambda words: re.sub(r"jed(na|en)", "jeden", words),
    "zh": lambda words: words.replace("〇", "零").replace("亿零", "亿").replace("两", "二"),
    "pt": lambda words: re.sub("milh(ões|ão)e", r"milh\1", words).replace("ummil", "mil").replace("quadrin", "quadri"),
    "ar": arabic,
    "es": lambda words: words.replace("decimo", "décimo").replace("décimoctavo", "décimooctavo"),
    "de": lambda words: (
        words.replace("eineMillionen".lower(), "einmillionen")
        .replace("eintausendste", "tausendste")
        .replace("einhundertste", "hundertste")
    ),
}


def differing(language: str, numbers: list[int], rule: str, kind: str) -> list[tuple[int, str, str]]:
    icu: Any = pytest.importorskip("icu")
    locale, _ = CARDINALS[language]
    formatter = icu.RuleBasedNumberFormat(icu.URBNFRuleSetTag.SPELLOUT, icu.Locale(locale))
    same = SAME.get(language, lambda words: words)
    found = []
    for n in numbers:
        ours, theirs = spell(language, n, kind), formatter.format(n, f"%spellout-{rule}")
        if same(squeezed(ours)) != same(squeezed(theirs)):
            found.append((n, ours, theirs))
    return found


@pytest.mark.parametrize("language", sorted(set(CARDINALS) - {"ar", "cs"}))
def test_cardinals_are_those_of_the_cldr(language: str) -> None:
    assert not differing(language, NUMBERS, CARDINALS[language][1], "cardinal")


def test_czech_cardinals_below_a_thousand_are_those_of_the_cldr() -> None:
    """Beyond, the CLDR has "dvě tisíce", though a thousand is masculine."""
    assert not differing("cs", [n for n in NUMBERS if n < 1000], CARDINALS["cs"][1], "cardinal")


def test_arabic_cardinals_below_a_hundred_are_those_of_the_cldr() -> None:
    """Beyond, the CLDR writes "nine hundred" as two words and leaves out the duals."""
    wrong = {11, *range(200, 1000)}
    assert not differing("ar", [n for n in range(1, 100) if n not in wrong], CARDINALS["ar"][1], "cardinal")


@pytest.mark.parametrize("language", sorted(set(ORDINALS) - {"es", "pt", "it"}))
def test_ordinals_are_those_of_the_cldr(language: str) -> None:
    wrong = range(200, 1000, 100) if language == "ru" else ()  # the CLDR has cardinals there
    assert not differing(language, [n for n in range(1, 1001) if n not in wrong], ORDINALS[language], "ordinal")


@pytest.mark.parametrize("language", ["es", "pt", "it"])
def test_ordinals_are_those_of_the_cldr_up_to_a_hundred(language: str) -> None:
    """Spanish teens are one word or two; 11 and 12 have names of their own."""
    numbers = [n for n in range(1, 101) if language != "es" or n not in (11, 12)]
    assert not differing(language, numbers, ORDINALS[language], "ordinal")


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"zh", "ja", "hi", "hu", "ar", "cs", "it", "tr"}))
def test_cardinals_are_those_that_the_model_was_trained_on(language: str) -> None:
    """num2words, but for its faults (es 21000 "veintiuno mil", de 101000, pt "milhões e nove mil")."""
    num2words: Any = pytest.importorskip("num2words")
    for n in [n for n in NUMBERS if n < 21000]:
        assert spell(language, n) == num2words.num2words(n, lang=language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_number_below_the_limit_has_words_of_its_own(language: str) -> None:
    numbers = sorted({*range(300), *NUMBERS, 10**12, 10**14 + 7, LIMIT - 1})
    words = [spell(language, n) for n in numbers]
    assert len(set(words)) == len(numbers)
    assert not any(char.isdigit() or "  " in word for word in words for char in word)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_ordinal_has_words(language: str) -> None:
    words = [spell(language, n, "ordinal") for n in range(1, 1001)]
    assert len(set(words)) == len(words) and all(words)


def test_genders() -> None:
    cases = {
        ("es", 21, "f"): "veintiuna",
        ("es", 21, "m"): "veintiún",
        ("es", 500, "f"): "quinientas",
        ("fr", 21, "f"): "vingt et une",
        ("fr", 71, "f"): "soixante et onze",
        ("de", 1, "f"): "eine",
        ("de", 101, "m"): "einhundertein",
        ("pt", 200, "f"): "duzentas",
        ("pl", 2, "f"): "dwie",
        ("pl", 12, "f"): "dwanaście",
        ("ru", 2, "f"): "две",
        ("ru", 1, "n"): "одно",
        ("cs", 2, "f"): "dvě",
        ("it", 1, "f"): "una",
    }
    for (language, n, gender), words in cases.items():
        assert importlib.import_module(f"tutortoietts.text.numerals.{language}").cardinal(n, gender) == words


def test_endings_of_slavic_ordinals() -> None:
    from tutortoietts.text.numerals import cs, pl, ru

    assert ru.ordinal(2024, "gen") == "две тысячи двадцать четвёртого" and ru.ordinal(1984, "loc").endswith("четвёртом")
    assert ru.ordinal(3, "f") == "третья" and ru.ordinal(2000) == "двухтысячный" and ru.ordinal(40) == "сороковой"
    assert pl.ordinal(3, "gen") == "trzeciego" and pl.ordinal(2024, "gen") == "dwa tysiące dwudziestego czwartego"
    assert pl.ordinal(2000, "gen") == "dwutysięcznego" and pl.ordinal(2, "n") == "drugie" and pl.ordinal(100) == "setny"
    assert cs.ordinal(3, "gen") == "třetího" and cs.ordinal(21, "f") == "dvacátá první" and cs.ordinal(100) == "stý"


def test_years() -> None:
    from tutortoietts.text.numerals import de, nl

    assert de.year(1984) == "neunzehnhundertvierundachtzig" and de.year(2024) == "zweitausendvierundzwanzig"
    assert nl.year(1984) == "negentienvierentachtig" and nl.year(1900) == "negentienhonderd"
    assert nl.year(1905) == "negentienhonderdvijf" and de.year(1100) == "elfhundert"


def test_german_years_are_those_of_the_cldr() -> None:
    icu: Any = pytest.importorskip("icu")
    from tutortoietts.text.numerals import de

    formatter = icu.RuleBasedNumberFormat(icu.URBNFRuleSetTag.SPELLOUT, icu.Locale("de"))
    for year in [year for year in YEARS if year >= 1100]:
        assert squeezed(de.year(year)) == squeezed(formatter.format(year, "%spellout-numbering-year"))


def test_groups() -> None:
    assert groups(1002003) == [(2, 1), (1, 2), (0, 3)] and groups(5000) == [(1, 5)] and groups(0) == []
