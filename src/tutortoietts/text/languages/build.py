"""Rules of a language out of its words: numbers, money, dates, times, units, addresses, for `text.languages`.

A language says how its words go (`Speech`); what a written number, date or amount looks like is known here, once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from tutortoietts.text.languages import Reading, Rule
from tutortoietts.text.numerals import LIMIT
from tutortoietts.text.xtts.tables import ABBREVIATIONS

__all__ = ["Noun", "Speech", "Spoken", "western_plural"]

NUMBER = (
    r"(?:[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}(?![0-9])"  # lakh and crore
    r"|[0-9]{1,3}(?:[.,'’\u00a0\u202f ][0-9]{3})+(?:[.,][0-9]+)?(?![0-9])"
    r"|[0-9]+(?:[.,][0-9]+)?)"
)
_BEFORE = r"(?<![\w.,])"
_SIGN = r"(?P<sign>[-−+]?)"
_LATIN = "0-9A-Za-z\u00c0-\u024f_"
_SCALES = 4  # groups of three digits apart by spaces, at most


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun to be counted: its form after one, after few and after many, and its gender for the number word."""

    one: str
    few: str = ""
    many: str = ""
    gender: str = ""


def western_plural(n: int, noun: Noun) -> str:
    """Return the form after one, or after any other number."""
    return noun.one if n == 1 else noun.many or noun.one


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """Words of a language, and its ways of reading numbers.

    cardinal(n, gender), ordinal(n, gender): number words. counting: the gender of a number without a noun. joint: what
    stands between the words of a number. grouping: the character between thousands. point: what is said between a
    number and its decimals; decimal: another reading of both; decimals_as_number: they are read as one number.
    plural(n, noun): a noun behind a number. count(n, noun): another way to count some numbers of a noun.
    money, cents: nouns by sign or code; scales: words such as "million" between a number and its currency.
    percent: said behind the number, or before it with `percent_first`.
    date(day, month, year or None, the word before); months: as written, of twelve; of: words that may stand between
    day, month and year; day_dot: the day is written as an ordinal, "3.".
    clock(hour, minute); clock_marks: between them; clock_word: written behind them; hours: what "8h" counts.
    year(n): how years are read behind one of year_words.
    ordinal_marks: (pattern, gender) of what makes a number an ordinal. ordinal_dot(word before, word after): the gender
    or ending of an ordinal written "3.", None where the dot ends a sentence. agree(next word): the gender of a number
    before a noun. over, fractions: "1/2". shorts: abbreviations written out. at, dot, slash: in addresses.
    spaced: words are kept apart by spaces.
    """

    tag: str
    cardinal: Callable[[int, str], str]
    ordinal: Callable[[int, str], str]
    counting: str = ""
    grouping: str = "."
    point: str = ""
    decimal: Callable[[int, str], str | None] | None = None
    decimals_as_number: bool = False
    minus: str = ""
    plus: str = ""
    plural: Callable[[int, Noun], str] = western_plural
    money: Mapping[str, Noun] = field(default_factory=dict)
    cents: Mapping[str, Noun] = field(default_factory=dict)
    cents_joint: str = " "
    scales: str = ""
    percent: str = ""
    percent_first: bool = False
    degrees: Noun = field(default_factory=lambda: Noun(""))
    celsius: str = "Celsius"
    fahrenheit: str = "Fahrenheit"
    units: Mapping[str, Noun] = field(default_factory=dict)
    months: tuple[str, ...] = ()
    of: str = ""
    day_dot: bool = False
    date: Callable[[int, int, int | None, str], str] | None = None
    clock: Callable[[int, int], str] | None = None
    clock_marks: str = ":"
    clock_word: str = ""
    hours: Noun | None = None
    year: Callable[[int], str] | None = None
    year_words: str = ""
    ordinal_marks: tuple[tuple[str, str], ...] = ()
    ordinal_dot: Callable[[str, str], str | None] | None = None
    agree: Callable[[str], str] | None = None
    over: str = ""
    fractions: Mapping[tuple[int, int], str] = field(default_factory=dict)
    number_sign: str = ""
    shorts: Mapping[str, str] = field(default_factory=dict)
    at: str = ""
    dot: str = ""
    slash: str = ""
    symbols: Mapping[str, str] = field(default_factory=dict)
    abbreviations: str = ""
    sentence_ends: str = ".!?"
    marks: str = ""
    longest: int | None = None
    joint: str = " "
    spaced: bool = True
    count: Callable[[int, Noun], str | None] | None = None

    def number(self, whole: str, decimals: str = "", gender: str | None = None) -> str:
        """Read digits, with decimals if there are any; a number too large for words digit by digit."""
        gender = self.counting if gender is None else gender
        n = int(whole) if len(whole) < 40 else LIMIT
        if n >= LIMIT:
            first = self.digits(whole)
        elif decimals and self.decimal is not None and (read := self.decimal(n, decimals)):
            return read
        else:
            first = self.cardinal(n, self.counting if decimals else gender)
        if not decimals:
            return first
        return self.joint.join([first, self.point, self._decimals(decimals)])

    def _decimals(self, text: str) -> str:
        rest = text.lstrip("0")
        if not self.decimals_as_number or not rest or len(rest) > 3:
            return self.digits(text)
        return self.joint.join([*[self.digits("0")] * (len(text) - len(rest)), self.cardinal(int(rest), self.counting)])

    def digits(self, text: str) -> str:
        """Read digits one by one."""
        return self.joint.join(self.cardinal(int(char), self.counting) for char in text)

    def counted(self, whole: str, decimals: str, noun: Noun) -> str:
        """Read a number and the noun behind it."""
        n = int(whole) if len(whole) < 40 else LIMIT
        if self.count is not None and not decimals and (words := self.count(n, noun)):
            return words
        if decimals:
            return f"{self.number(whole, decimals)}{self.joint}{self.plural(LIMIT + 2, noun)}"
        return f"{self.number(whole, gender=noun.gender)}{self.joint}{self.plural(n, noun)}"


class Spoken:
    """A `Language` made of a `Speech`."""

    def __init__(self, speech: Speech) -> None:
        self.speech = speech
        self.tag = speech.tag
        self.symbols = dict(speech.symbols)
        self.abbreviations = frozenset(speech.abbreviations.split())
        self.sentence_ends = speech.sentence_ends
        self.marks = speech.marks
        self.longest = speech.longest
        self.spaced = speech.spaced

    @cached_property
    def rules(self) -> Sequence[Rule]:
        """The order counts among rules that match at one place: the more special first."""
        makers = (_addresses, _shorts, _dates, _clocks, _money, _percents, _measures, _ordinals, _fractions, _figures)
        rules = [rule for maker in makers for rule in maker(self.speech)]
        return tuple(rules) if self.spaced else tuple(map(_unspaced, rules))


def parsed(written: str, grouping: str, *, amount: bool = False) -> tuple[str, str] | None:
    """Split a written number into whole digits and decimals. amount: of money, which has no three decimals.

    Both separators are understood: of two different ones the last is the decimal mark; one that comes twice, or that
    groups in this language and stands before three digits, groups.
    """
    written = re.sub("['’\u00a0\u202f ]", "", written)
    if re.fullmatch(r"[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}", written):  # lakh and crore
        return written.replace(",", ""), ""
    marks = re.findall(r"[.,]", written)
    if not marks:
        return written, ""
    whole, mark, part = written.rpartition(marks[-1])
    several = len(set(marks)) > 1
    if several and marks.count(marks[-1]) > 1:
        return None
    groups = re.fullmatch(r"[0-9]{1,3}(?:[.,][0-9]{3})*", whole) and len(part) == 3 and not whole.startswith("0")
    if not several and groups and (len(marks) > 1 or mark == grouping or amount):
        return re.sub(r"[.,]", "", written), ""
    if len(marks) > 1 and not several:
        return None
    return re.sub(r"[.,]", "", whole), part


def _unspaced(rule: Rule) -> Rule:
    """The same where words are not kept apart: only Latin letters and digits belong to a number or unit."""
    pattern = rule.pattern.pattern.replace(r"(?<![\w.,])", rf"(?<![{_LATIN}])(?<![0-9][.,])")
    pattern = pattern.replace(r"[\w", f"[{_LATIN}").replace(r"(?!\w)", f"(?![{_LATIN}])")
    return Rule(re.compile(pattern.replace(r"(?<!\w)", f"(?<![{_LATIN}])"), rule.pattern.flags), rule.read)


def _word_before(match: re.Match[str]) -> str:
    """The word before a match, in small letters; "" where something else stands there."""
    before = re.search(r"([^\W\d_]+) $", match.string[max(0, match.start() - 30) : match.start()])
    return before[1].lower() if before else ""


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


def _signed(speech: Speech, sign: str, words: str) -> str:
    name = speech.plus if sign == "+" else speech.minus if sign else ""
    return f"{name}{speech.joint}{words}" if name else words


# --- addresses ---

_MAIL = re.compile(r"(?<![\w.+-])[A-Za-z0-9](?:[A-Za-z0-9._+-]{0,60})@[A-Za-z0-9-]{1,60}(?:\.[A-Za-z0-9-]{1,60}){1,5}")
_LINK = re.compile(r"(?<![\w@.])(?:https?://|www\.)[^\s<>\"'«»“”]{1,300}[^\s<>\"'«»“”.,;:!?)]")


def _addresses(speech: Speech) -> list[Rule]:
    if not speech.at:
        return []
    names = {"@": speech.at, ".": speech.dot, "/": speech.slash, "-": "", "_": "", ":": "", "?": "", "=": "", "&": ""}

    def read(match: re.Match[str]) -> Reading:
        text = re.sub(r"^https?://", "", match[0])
        words: list[str] = []
        for piece in re.findall(r"[^\W\d_]+|[0-9]+|[^\w]|_", text):
            if piece.isdecimal():
                words.append(speech.digits(piece) if len(piece) > 4 or piece[0] == "0" else speech.number(piece))
            else:
                words.append(piece if piece.isalpha() else names.get(piece, ""))
        return " ".join(word for word in words if word)

    return [Rule(_MAIL, read), Rule(_LINK, read)]


# --- abbreviations ---


def _shorts(speech: Speech) -> list[Rule]:
    usual = {f"{short}.": word for short, word in ABBREVIATIONS.get(speech.tag, ()) if len(short) > 1}
    shorts = {**(usual if speech.tag != "ru" else {}), **speech.shorts}
    if not shorts:
        return []
    longest = sorted(shorts, key=len, reverse=True)
    listed = "|".join(_short(short) for short in longest)
    words = {re.sub(r"\s", "", short).lower(): word for short, word in shorts.items()}

    def read(match: re.Match[str]) -> Reading:
        word = words[re.sub(r"\s", "", match[0]).lower()]
        at_end = match[0].endswith(".") and not match.string[match.end() :].strip()
        return f"{word}." if at_end else word

    return [Rule(_pattern(rf"(?<![\w.@'])(?:{listed})(?![\w@])"), read)]


def _short(short: str) -> str:
    """The pattern of an abbreviation; of one letter alone: a capital before another capital."""
    if len(short) == 2 and short[0].isupper():
        return rf"(?-i:{re.escape(short)}(?= [A-ZÀ-Þ]))"
    return re.escape(short).replace(r"\ ", r"[\u00a0\u202f ]?")


# --- dates and times ---


def _dates(speech: Speech) -> list[Rule]:
    if speech.date is None:
        return []
    say = speech.date

    def numeric(match: re.Match[str], day: str, month: str, year: str) -> Reading:
        if not (1 <= int(day) <= 31 and 1 <= int(month) <= 12):
            return None
        return say(int(day), int(month), int(year), _word_before(match))

    rules = [
        Rule(
            re.compile(r"(?<![\w.,/-])([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})(?![\w/-]|[.,][0-9])"),
            lambda match: numeric(match, match[4], match[3], match[1]),
        ),
        Rule(
            re.compile(r"(?<![\w.,/-])([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4})(?![\w/-]|[.,][0-9])"),
            lambda match: numeric(match, match[1], match[3], match[4]),
        ),
    ]
    if speech.months:
        rules.append(_written_date(speech, say))
    if speech.year is not None and speech.year_words:
        year = speech.year
        before = (
            rf"(?<!\w)(?P<word>{speech.year_words})(?P<gap> )(?P<year>1[1-9][0-9]{{2}}|20[0-9]{{2}})(?![\w]|[.,][0-9])"
        )
        rules.append(Rule(_pattern(before), lambda match: f"{match['word']} {year(int(match['year']))}"))
    return rules


def _written_date(speech: Speech, say: Callable[[int, int, int | None, str], str]) -> Rule:
    names = {name.lower(): place % 12 + 1 for place, name in enumerate(speech.months)}
    listed = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    link = rf"(?: (?:{speech.of}))?" if speech.of else ""
    dot = r"\.?" if speech.day_dot else "(?:º|er|°)?"
    written = rf"{_BEFORE}(?P<day>[0-9]{{1,2}}){dot}{link} (?P<month>{listed})(?!\w)"
    pattern = rf"{written}(?:{link} (?P<year>[12][0-9]{{3}})(?![\w]|[.,][0-9]))?"

    def read(match: re.Match[str]) -> Reading:
        day, year = int(match["day"]), match["year"]
        if not 1 <= day <= 31:
            return None
        return say(day, names[match["month"].lower()], int(year) if year else None, _word_before(match))

    return Rule(_pattern(pattern), read)


def _clocks(speech: Speech) -> list[Rule]:
    if speech.clock is None:
        return []
    say = speech.clock

    def read(match: re.Match[str]) -> Reading:
        hour, minute = int(match[1]), int(match[2])
        return say(hour, minute) if hour < 25 and minute < 60 else None

    said = rf" ?(?:{speech.clock_word})(?!\w)" if speech.clock_word else ""
    bare, dotted = speech.clock_marks.replace(".", ""), "." in speech.clock_marks and said
    start, seconds, end = r"(?<![\w.,:])([0-9]{1,2})", "(?::[0-9]{2})?", r"(?![\w:]|[.,][0-9])"
    rules = [Rule(_pattern(f"{start}[{bare}]([0-9]{{2}}){seconds}{f'(?:{said}|{end})' if said else end}"), read)]
    if dotted:  # 12.30 alone is a decimal
        rules.append(Rule(_pattern(rf"{start}\.([0-9]{{2}}){said}"), read))
    if speech.hours is not None:
        hours = speech.hours
        rules.append(
            Rule(_pattern(r"(?<![\w.,:])([0-9]{1,2}) ?h(?!\w)"), lambda match: speech.counted(match[1], "", hours))
        )
    return rules


# --- money and measures ---


def _money(speech: Speech) -> list[Rule]:
    if not speech.money:
        return []
    signs = sorted(speech.money, key=len, reverse=True)
    listed = "|".join(rf"{re.escape(sign)}(?!\w)" if sign[-1].isalpha() else re.escape(sign) for sign in signs)
    scale = rf"(?: (?P<scale>{speech.scales})(?!\w))?" if speech.scales else "(?P<scale>(?!))?"

    def read(match: re.Match[str]) -> Reading:
        sign = next(known for known in signs if known.lower() == match["money"].lower())
        found = parsed(match["number"], speech.grouping, amount=True)
        if found is None:
            return None
        words = _signed(speech, match["sign"], _amount(speech, sign, *found, match["scale"]))
        again = speech.money[sign].one  # "¥5元"
        end = match.end() + (len(again) if match.string.startswith(again, match.end()) else 0)
        return words, end

    before = rf"(?<!\w){_SIGN}(?P<money>{listed}) ?(?P<number>{NUMBER}){scale}(?![0-9])"
    after = rf"{_BEFORE}{_SIGN}(?P<number>{NUMBER}){scale}[\u00a0\u202f ]?(?P<money>{listed})"
    return [Rule(_pattern(before), read), Rule(_pattern(after), read)]


def _amount(speech: Speech, sign: str, whole: str, decimals: str, scale: str | None) -> str:
    noun = speech.money[sign]
    if scale:
        return f"{speech.number(whole, decimals)} {scale} {speech.plural(LIMIT + 5, noun)}"
    if not decimals.strip("0"):
        return speech.counted(whole, "", noun)
    cents = speech.cents.get(sign)
    if cents is None or len(decimals) > 2:
        return speech.counted(whole, decimals, noun)
    small = speech.counted(str(int(decimals.ljust(2, "0"))), "", cents)
    if not int(whole):
        return small
    return f"{speech.counted(whole, '', noun)}{speech.cents_joint}{small}"


def _percents(speech: Speech) -> list[Rule]:
    if not speech.percent:
        return []

    def read(match: re.Match[str]) -> Reading:
        found = parsed(match["number"], speech.grouping)
        if found is None:
            return None
        words, name = _signed(speech, match["sign"], speech.number(*found)), speech.percent
        return f"{name}{speech.joint}{words}" if speech.percent_first else f"{words}{speech.joint}{name}"

    rules = [Rule(re.compile(rf"{_BEFORE}{_SIGN}(?P<number>{NUMBER})[\u00a0\u202f ]?[%٪]"), read)]
    if speech.percent_first:
        rules.append(Rule(re.compile(rf"(?<!\w){_SIGN}%(?P<number>{NUMBER})"), read))
    return rules


def _measures(speech: Speech) -> list[Rule]:
    rules: list[Rule] = []
    if speech.degrees.one:
        scales = {"c": speech.celsius, "f": speech.fahrenheit}

        def temperature(match: re.Match[str]) -> Reading:
            found = parsed(match["number"], speech.grouping)
            if found is None:
                return None
            words = speech.counted(*found, speech.degrees)
            scale = scales.get((match["scale"] or "").lower())
            return _signed(speech, match["sign"], f"{words}{speech.joint}{scale}" if scale else words)

        degrees = rf"{_BEFORE}{_SIGN}(?P<number>{NUMBER}) ?°(?: ?(?P<scale>[CF])(?!\w))?"
        rules.append(Rule(re.compile(degrees), temperature))
    if speech.units:
        listed = "|".join(re.escape(unit) for unit in sorted(speech.units, key=len, reverse=True))

        def measure(match: re.Match[str]) -> Reading:
            found = parsed(match["number"], speech.grouping)
            if found is None:
                return None
            return _signed(speech, match["sign"], speech.counted(*found, speech.units[match["unit"]]))

        units = rf"{_BEFORE}{_SIGN}(?P<number>{NUMBER})[\u00a0\u202f ]?(?P<unit>{listed})(?!\w)"
        rules.append(Rule(re.compile(units), measure))
    return rules


# --- numbers ---

_COUNTRY = r"(?<![\w.,-])(?:\+[0-9]{1,3}[ -]?)?"
_TELEPHONE = re.compile(rf"{_COUNTRY}(?:\(0?[0-9]{{1,4}}\) ?)?0[0-9]{{1,5}}(?:[ -][0-9]{{2,8}}){{1,5}}(?![\w-])")


def _ordinals(speech: Speech) -> list[Rule]:
    rules: list[Rule] = []
    if speech.ordinal_dot is not None:
        form_of = speech.ordinal_dot

        def dotted(match: re.Match[str]) -> Reading:
            form = form_of(_word_before(match), match[2])
            return None if form is None else (speech.ordinal(int(match[1]), form), match.end(1) + 1)

        rules.append(Rule(re.compile(r"(?<![\w.,])([0-9]{1,4})\. ([^\W\d_]+)"), dotted))
    for mark, gender in speech.ordinal_marks:

        def read(match: re.Match[str], gender: str = gender) -> Reading:
            return speech.ordinal(int(match[1]), gender) if len(match[1]) < 10 else None

        rules.append(Rule(_pattern(rf"(?<![\w.,])([0-9]+){mark}"), read))
    return rules


def _fractions(speech: Speech) -> list[Rule]:
    if not speech.over:
        return []

    def read(match: re.Match[str]) -> Reading:
        above, below = int(match[1]), int(match[2])
        named = speech.fractions.get((above, below))
        over = speech.over
        return named or f"{speech.number(match[1])}{speech.joint}{over}{speech.joint}{speech.number(match[2])}"

    return [Rule(re.compile(r"(?<![\w.,/])([0-9]{1,4})/([0-9]{1,4})(?![\w/]|[.,][0-9])"), read)]


def _figures(speech: Speech) -> list[Rule]:
    point = speech.point or speech.dot

    def telephone(match: re.Match[str]) -> Reading:
        groups = re.findall(r"[0-9]+", match[0])
        spoken = f",{speech.joint}".join(speech.digits(group) for group in groups)
        return _signed(speech, "+" if match[0].startswith("+") else "", spoken)

    def version(match: re.Match[str]) -> Reading:
        if parsed(match[0], "."):
            return None
        joint = f"{speech.joint}{speech.dot or point}{speech.joint}"
        return joint.join(speech.number(group) for group in match[0].split("."))

    def range_of(match: re.Match[str]) -> Reading:
        return f"{speech.number(match[1])} - {speech.number(match[2])}"

    def number(match: re.Match[str]) -> Reading:
        written, end = match["number"], match.end()
        if " " in written and not _is_one_number(match):
            written = written.partition(" ")[0]
            end = match.start("number") + len(written)
        found = parsed(written, speech.grouping)
        if found is None:  # "1.2.3" and the like: up to the first mark
            written = re.split("[^0-9]", written, maxsplit=1)[0]
            found, end = (written, ""), match.start("number") + len(written)
        following = match.string[end : end + 40]
        noun = re.match(r" ([^\W\d_]{2,})", following)
        gender = speech.agree(noun[1]) if speech.agree and noun and not found[1] else None
        return _signed(speech, match["sign"] or "", speech.number(*found, gender)), end

    rules = [
        Rule(_TELEPHONE, telephone),
        Rule(re.compile(r"(?<![\w.,-])(?:\+[0-9]{1,3}[ -]?)?[0-9]{3}-[0-9]{3,4}(?:-[0-9]{4})?(?![\w-])"), telephone),
        Rule(re.compile(r"(?<![\w.,])0[0-9]+(?![\w]|[.,][0-9])"), lambda match: speech.digits(match[0])),
        Rule(re.compile(r"(?<![\w.,-])([0-9]{1,4})[-–]([0-9]{1,4})(?![\w-]|[.,][0-9])"), range_of),
        Rule(re.compile(r"(?<![\w.,])[0-9]{1,6}(?:\.[0-9]{1,6}){2,}(?![\w])"), version),
        Rule(re.compile(rf"(?:(?<![\w.,])(?P<sign>[-−+]))?(?<![0-9])(?P<number>{NUMBER})"), number),
    ]  # fmt: skip
    if speech.number_sign:
        rules.insert(0, Rule(re.compile(r"(?<!\w)#(?=[0-9])"), lambda match: speech.number_sign + speech.joint))
    return rules


def _is_one_number(match: re.Match[str]) -> bool:
    """Whether a number with spaces is one: no other number stands beside it, and it has few groups."""
    before = re.search(r"[0-9][.,]? ?$", match.string[max(0, match.start() - 3) : match.start()])
    after = re.match(r" ?[0-9]", match.string[match.end() : match.end() + 2])
    groups = match["number"].count(" ")
    repeated = all(group != "000" for group in match["number"].split(" ")[1:]) and groups > 1
    return not before and not after and groups < _SCALES and not (repeated and groups > 2)
