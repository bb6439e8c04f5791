"""Japanese: numbers in kanji, which the romaniser reads together with their counters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

from tutortoietts.text.languages import Language, Rule
from tutortoietts.text.languages.build import Noun, Speech, Spoken
from tutortoietts.text.numerals.ja import cardinal, digits, ordinal, romaji
from tutortoietts.text.numerals.ja import day as spell_day
from tutortoietts.text.numerals.ja import hour as spell_hour
from tutortoietts.text.numerals.ja import minute as spell_minute

__all__ = ["CODES", "language"]

CODES = ("ja", "ja-JP")
_COUNTS = " ひとつ ふたつ みっつ よっつ いつつ むっつ ななつ やっつ ここのつ".split(" ")
_GREETINGS = {"こんにちは": "こんにちわ", "こんばんは": "こんばんわ"}  # as they are said
_RARE = {"𠮷": "吉", "髙": "高", "﨑": "崎", "德": "徳", "濵": "浜", "邉": "辺", "邊": "辺", "齋": "斎", "齊": "斉"}


def _date(day: int, month: int, year: int | None, before: str = "") -> str:
    return (f"{cardinal(year)}年" if year else "") + f"{cardinal(month)}月 {spell_day(day)} "


def _clock(hour: int, minute: int) -> str:
    return f" {spell_hour(hour)} " + (f"{spell_minute(minute)} " if minute else "")


_WRITTEN = re.compile(r"(?<![0-9])(?<![0-9][.,])(?:([0-9]{4})年)?([0-9]{1,2})月([0-9]{1,2})日")
_THINGS = re.compile(r"(?<![0-9])(?<![0-9][.,])([1-9])つ")
_PEOPLE = re.compile(r"(?<![0-9])(?<![0-9][.,])([12])人(?!前)")
_HOURS = re.compile(r"(?<![0-9])(?<![0-9][.,])([0-9]{1,2})時(?:([0-9]{1,2})分)?(?!間)")
_ALONE = re.compile(r"(?<![0-9])(?<![0-9][.,])([1-9][0-9]{1,14}|[0-9])(?![0-9]|[.,/:-][0-9]|[ぁ-んァ-ヶ一-龥%°])")
_TELEPHONE = re.compile(r"(?<![0-9-])(?<![0-9][.,])0[0-9]{1,3}-[0-9]{2,4}-[0-9]{3,4}(?![0-9-])")
_LONG_VOWEL = re.compile(r"(?<=[ぁ-んァ-ヴ])[ー〜]{2,}")


class _Japanese(Spoken):
    @cached_property
    def rules(self) -> Sequence[Rule]:
        return (
            Rule(re.compile("|".join(_GREETINGS)), lambda match: _GREETINGS[match[0]]),
            Rule(re.compile("|".join(_RARE)), lambda match: _RARE[match[0]]),
            Rule(_LONG_VOWEL, lambda match: "ー"),
            Rule(_WRITTEN, lambda m: _date(int(m[3]), int(m[2]), int(m[1]) if m[1] else None)),
            Rule(_THINGS, lambda match: _COUNTS[int(match[1])]),
            Rule(_PEOPLE, lambda match: "ひとり" if match[1] == "1" else "ふたり"),
            Rule(_TELEPHONE, lambda match: "、".join(digits(group) for group in re.findall(r"[0-9]+", match[0]))),
            Rule(_HOURS, lambda match: _clock(int(match[1]), int(match[2] or 0))),
            *super().rules[:-1],
            Rule(_ALONE, lambda match: romaji(int(match[1]))),
            super().rules[-1],
        )


_DOLLAR, _EURO, _YEN = Noun("ドル"), Noun("ユーロ"), Noun("円")
SPEECH = Speech(
    tag="ja",
    cardinal=cardinal,
    ordinal=ordinal,
    grouping=",",
    point="点",
    minus="マイナス",
    plus="プラス",
    joint="",
    money={
        "$": _DOLLAR,
        "USD": _DOLLAR,
        "€": _EURO,
        "EUR": _EURO,
        "£": Noun("ポンド"),
        "¥": _YEN,
        "￥": _YEN,
        "JPY": _YEN,
    },
    cents={"$": Noun("セント"), "USD": Noun("セント"), "€": Noun("セント"), "EUR": Noun("セント"), "£": Noun("ペンス")},
    cents_joint="",
    scales="億|万|兆",
    percent="パーセント",
    degrees=Noun("度"),
    celsius="",
    fahrenheit="華氏",
    units={
        "km/h": Noun("キロメートル毎時"),
        "km": Noun("キロメートル"),
        "cm": Noun("センチメートル"),
        "mm": Noun("ミリメートル"),
        "m": Noun("メートル"),
        "kg": Noun("キログラム"),
        "g": Noun("グラム"),
        "ml": Noun("ミリリットル"),
        "l": Noun("リットル"),
    },
    date=_date,
    clock=_clock,
    over="割る",
    number_sign="ナンバー",
    at="アットマーク",
    dot="ドット",
    slash="スラッシュ",
    symbols={
        "&": "アンド",
        "@": "アットマーク",
        "%": "パーセント",
        "#": "シャープ",
        "$": "ドル",
        "£": "ポンド",
        "€": "ユーロ",
        "¥": "円",
        "+": "プラス",
        "=": "イコール",
        "×": "かける",
        "÷": "割る",
        "°": "度",
    },
    sentence_ends=".!?。！？",
    marks="ー〜、。！？「」『』・…￥",
    spaced=False,
    longest=71,
)


def language(tag: str) -> Language:
    """Return Japanese."""
    return _Japanese(SPEECH)
