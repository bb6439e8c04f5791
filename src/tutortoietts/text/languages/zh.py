"""Chinese: numbers in characters, before the romaniser."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

from tutortoietts.text.languages import Language, Reading, Rule
from tutortoietts.text.languages.build import Noun, Speech, Spoken, parsed
from tutortoietts.text.numerals.zh import cardinal, digits, ordinal

__all__ = ["CODES", "language"]

CODES = ("zh", "zh-CN", "zh-TW")


def _date(day: int, month: int, year: int | None, before: str = "") -> str:
    return (f"{digits(str(year))}年" if year else "") + f"{cardinal(month)}月{cardinal(day)}日"


def _clock(hour: int, minute: int) -> str:
    hours = f"{'两' if hour == 2 else cardinal(hour)}点"
    if not minute:
        return f"{hours}整"
    return f"{hours}{'零' if minute < 10 else ''}{cardinal(minute)}分"


_YEAR = re.compile(r"(?<![0-9])(?<![0-9][.,])([0-9]{2}|[12][0-9]{3})(?=年(?!代?前))")
_TELEPHONE = re.compile(r"(?<![0-9-])(?<![0-9][.,])(?:\+?86[ -]?)?(?:1[3-9][0-9]{9}|0[0-9]{2,3}-?[0-9]{7,8})(?![0-9-])")
_FRACTION = re.compile(r"(?<![0-9./])([0-9]{1,4})/([0-9]{1,4})(?![0-9/]|[.,][0-9])")
_PERCENT = re.compile(r"(?<![0-9])(?<![0-9][.,])([-−]?)([0-9]+(?:[.,][0-9]+)*)[%％]")
_PAIR = re.compile(r"(?<![0-9第])(?<![0-9][.,])2(?=[个位条只张本件次天名块间台家辆杯碗瓶斤点])")
_LONG = re.compile(r"(?<![0-9])(?<![0-9][.,])[0-9]{8,}(?![0-9]|[.,][0-9])")
_TO = re.compile(r"(?<=[A-Za-z])2(?=[A-Za-z])")


def _percent(match: re.Match[str]) -> Reading:
    found = parsed(match[2], ",")
    if found is None:
        return None
    return f"{'负' if match[1] else ''}百分之{SPEECH.number(*found)}"


class _Chinese(Spoken):
    @cached_property
    def rules(self) -> Sequence[Rule]:
        return (
            Rule(_TELEPHONE, lambda match: digits(re.sub(r"^\+?86[ -]?|\D", "", match[0]))),
            Rule(_YEAR, lambda match: digits(match[1])),
            Rule(_PERCENT, _percent),
            Rule(_FRACTION, lambda match: f"{cardinal(int(match[2]))}分之{cardinal(int(match[1]))}"),
            Rule(_PAIR, lambda match: "两"),
            Rule(_LONG, lambda match: digits(match[0])),
            Rule(_TO, lambda match: " to "),
            *super().rules,
        )


_DOLLAR, _EURO, _YUAN = Noun("美元"), Noun("欧元"), Noun("元")
SPEECH = Speech(
    tag="zh",
    cardinal=cardinal,
    ordinal=ordinal,
    grouping=",",
    point="点",
    minus="负",
    plus="加",
    joint="",
    money={
        "$": _DOLLAR,
        "USD": _DOLLAR,
        "€": _EURO,
        "EUR": _EURO,
        "£": Noun("英镑"),
        "¥": _YUAN,
        "￥": _YUAN,
        "CNY": _YUAN,
    },
    scales="亿|万|百万|千万",
    degrees=Noun("度"),
    celsius="",
    fahrenheit="华氏",
    units={
        "km/h": Noun("公里每小时"),
        "km": Noun("公里"),
        "cm": Noun("厘米"),
        "mm": Noun("毫米"),
        "m": Noun("米"),
        "kg": Noun("公斤"),
        "g": Noun("克"),
        "ml": Noun("毫升"),
        "l": Noun("升"),
    },
    date=_date,
    clock=_clock,
    number_sign="第",
    at="艾特",
    dot="点",
    slash="斜杠",
    symbols={
        "&": "和",
        "@": "在",
        "%": "百分之",
        "#": "号",
        "$": "美元",
        "£": "英镑",
        "€": "欧元",
        "¥": "元",
        "+": "加",
        "=": "等于",
        "×": "乘",
        "÷": "除以",
        "°": "度",
    },
    sentence_ends=".!?。！？",
    marks="，。！？、；：（）《》〈〉【】「」『』—…·￥",
    spaced=False,
    longest=82,
)


def language(tag: str) -> Language:
    """Return Chinese."""
    return _Chinese(SPEECH)
