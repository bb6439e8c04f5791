"""Our number words against those recorded from `inflect`, and on demand against `inflect` itself."""

from __future__ import annotations

import os
import random
import warnings

import pytest

from tutortoietts.text.numbers import MAX_DIGITS, cardinal, ordinal, year


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("0", "zero"),
        ("000", "zero"),
        ("13", "thirteen"),
        ("40", "forty"),
        ("101", "one hundred one"),
        ("1000", "one thousand"),
        ("3001", "three thousand one"),
        ("1001000", "one million, one thousand"),
        ("1000010", "one million ten"),
        ("1" + "0" * 35, "one hundred decillion"),
        ("1" + "0" * 36, "one" + " zero" * 36),
    ],
)
def test_cardinals(digits: str, words: str) -> None:
    assert cardinal(digits) == words


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("0", "zeroth"),
        ("1", "first"),
        ("12", "twelfth"),
        ("20", "twentieth"),
        ("21", "twenty-first"),
        ("101", "one hundred and first"),
        ("1001", "one thousand and first"),
        ("1100", "one thousand, one hundredth"),
        ("12345", "twelve thousand, three hundred and forty-fifth"),
        ("1000000", "one millionth"),
    ],
)
def test_ordinals(digits: str, words: str) -> None:
    assert ordinal(digits) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1001, "ten oh one"),
        (1100, "eleven hundred"),
        (1984, "nineteen eighty-four"),
        (2000, "two thousand"),
        (2009, "two thousand nine"),
        (2010, "twenty ten"),
        (2100, "twenty-one hundred"),
        (2999, "twenty-nine ninety-nine"),
    ],
)
def test_years(number: int, words: str) -> None:
    assert year(number) == words


@pytest.mark.skipif("inflect" not in os.environ.get("ORACLES", ""), reason="importing inflect is slow: ORACLES=inflect")
def test_against_inflect() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inflect = pytest.importorskip("inflect")
        engine = inflect.engine()
    draw = random.Random(7)
    numbers = [*range(130), *(draw.randrange(10 ** draw.randint(1, MAX_DIGITS)) for _ in range(150))]
    numbers += [n * 10 ** draw.randint(0, 20) for n in numbers[100:160]]
    for number in numbers:
        if number < 10**MAX_DIGITS:
            assert cardinal(str(number)) == engine.number_to_words(number, andword=""), number
            assert ordinal(str(number)) == engine.number_to_words(f"{number}th"), number
    for number in draw.sample(range(1001, 3000), 60):
        if number % 100 and not 2000 <= number < 2010:
            pairs = engine.number_to_words(number, andword="", zero="oh", group=2).replace(", ", " ")
            assert year(number) == pairs, number
