"""Korean: Sino-Korean numbers, and native ones before their counters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

from tutortoietts.text.languages import Language, Reading, Rule
from tutortoietts.text.languages.build import Noun, Speech, Spoken
from tutortoietts.text.numerals.ko import cardinal, native, ordinal

__all__ = ["CODES", "language"]

CODES = ("ko", "ko-KR")
_NATIVE = "시간|개월|개|명|마리|살|장|권|대|병|잔|사람|그루|송이|켤레|벌|채|척|자루|곳|가지|달|군데|시|분의"
_DIGITS = "공일이삼사오육칠팔구"


def _date(day: int, month: int, year: int | None, before: str = "") -> str:
    months = {6: "유월", 10: "시월"}.get(month, f"{cardinal(month)}월")
    return (f"{cardinal(year)}년 " if year else "") + f"{months} {cardinal(day)}일"


def _clock(hour: int, minute: int) -> str:
    hours = f"{native(hour) if 1 <= hour <= 12 else cardinal(hour)} 시"
    return f"{hours} {cardinal(minute)} 분" if minute else hours


_WRITTEN = re.compile(r"(?<![0-9A-Za-z])(?<![0-9][.,])(?:([12][0-9]{3})년 ?)?([0-9]{1,2})월 ?([0-9]{1,2})일")
_COUNTED = re.compile(rf"(?<![0-9A-Za-z])(?<![0-9][.,])([0-9]{{1,2}}) ?({_NATIVE})")
_TIMES = re.compile(r"(?<![0-9A-Za-z])(?<![0-9][.,])([0-9]{1,2}) ?(번째|째)")
_TELEPHONE = re.compile(r"(?<![0-9A-Za-z.-])0[0-9]{1,2}[- ][0-9]{3,4}[- ][0-9]{4}(?![0-9-])")


def _counted(match: re.Match[str]) -> Reading:
    n, counter = int(match[1]), match[2]
    if counter == "분의" or counter == "개월" or not n:
        return f"{cardinal(n)}{counter}"
    if n > 20 and counter != "살":
        return f"{cardinal(n)} {counter}"
    return f"{native(n)} {counter}"


def _telephone(match: re.Match[str]) -> Reading:
    groups = re.findall(r"[0-9]+", match[0])
    return ", ".join("".join(_DIGITS[int(char)] for char in group) for group in groups)


class _Korean(Spoken):
    @cached_property
    def rules(self) -> Sequence[Rule]:
        return (
            Rule(_WRITTEN, lambda m: _date(int(m[3]), int(m[2]), int(m[1]) if m[1] else None)),
            Rule(_TELEPHONE, _telephone),
            Rule(_TIMES, lambda m: ordinal(int(m[1]))),
            Rule(_COUNTED, _counted),
            *super().rules,
        )


_DOLLAR, _EURO, _WON = Noun("달러"), Noun("유로"), Noun("원")
SPEECH = Speech(
    tag="ko",
    cardinal=cardinal,
    ordinal=ordinal,
    grouping=",",
    point="점",
    minus="마이너스",
    plus="플러스",
    money={
        "$": _DOLLAR,
        "USD": _DOLLAR,
        "€": _EURO,
        "EUR": _EURO,
        "£": Noun("파운드"),
        "₩": _WON,
        "KRW": _WON,
        "¥": Noun("엔"),
    },
    cents={"$": Noun("센트"), "USD": Noun("센트"), "€": Noun("센트"), "EUR": Noun("센트"), "£": Noun("펜스")},
    scales="만|억|백만|조",
    percent="퍼센트",
    degrees=Noun("도"),
    celsius="섭씨",
    fahrenheit="화씨",
    units={
        "km/h": Noun("킬로미터"),
        "km": Noun("킬로미터"),
        "cm": Noun("센티미터"),
        "mm": Noun("밀리미터"),
        "m": Noun("미터"),
        "kg": Noun("킬로그램"),
        "g": Noun("그램"),
        "ml": Noun("밀리리터"),
        "l": Noun("리터"),
    },
    date=_date,
    clock=_clock,
    over="분의",
    number_sign="번호",
    at="골뱅이",
    dot="점",
    slash="슬래시",
    symbols={
        "&": "그리고",
        "@": "골뱅이",
        "%": "퍼센트",
        "#": "번호",
        "$": "달러",
        "£": "파운드",
        "€": "유로",
        "₩": "원",
        "+": "더하기",
        "=": "는",
        "×": "곱하기",
        "÷": "나누기",
        "°": "도",
    },
    spaced=False,
    longest=95,
)


def language(tag: str) -> Language:
    """Return Korean."""
    return _Korean(SPEECH)
