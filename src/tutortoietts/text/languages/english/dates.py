"""Dates, times, years and decades."""

from __future__ import annotations

import re

from tutortoietts.text.languages import Reading, Rule
from tutortoietts.text.languages.english.words import LEFT, NUMBER, Numbers

__all__ = ["MONTHS", "rules"]

MONTHS = ("January February March April May June July August September October November December").split()
_SHORT = {name[:3].lower(): name for name in MONTHS} | {"sept": "September", "june": "June", "july": "July"}
MONTH = (
    r"(?P<month>January|February|March|April|May|June|July|August|September|October|November|December"
    r"|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec)(?:\.|\b))"
)
_DAYS = {
    "mon": "Monday",
    "tue": "Tuesday",
    "tues": "Tuesday",
    "wed": "Wednesday",
    "weds": "Wednesday",
    "thu": "Thursday",
    "thur": "Thursday",
    "thurs": "Thursday",
    "fri": "Friday",
    "sat": "Saturday",
    "sun": "Sunday",
}
_YEAR = r"(?P<year>[0-9]{4}|['][0-9]{2})(?![0-9]|[.,][0-9]|s\b)"
_SECOND_YEAR = r"(?:\s?[-–—/]\s?(?P<year2>[0-9]{4}|[0-9]{2})(?!\w))?"

_WEEKDAY = re.compile(
    r"\b(?P<day>Mon|Tues?|Weds?|Thu|Thurs?|Fri|Sat|Sun)\b\.?(?=,?\s(?:[0-9]|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
    r"|\s?[-–&]\s?(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b|:|,?\sat\b|(?<=\.),?\s(?:and|or|Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b)"
    r"|\b(?P<dotted>Mon|Tues?|Weds?|Thurs?|Fri)\.|(?<=[-–&])(?P<day2>Mon|Tues?|Wed|Thu|Thurs?|Fri|Sat|Sun)\b\.?"
)
_DAY_SPAN = re.compile(
    r"(?<=Mon|Tue|Wed|Thu|Fri|Sat|Sun|day)\s?[-–]\s?(?=(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun))"
    r"|(?<=Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\s?[-–]\s?(?=(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b)"
)
_ISO = re.compile(
    rf"{LEFT}(?P<year>[12][0-9]{{3}})(?P<mark>[-/.])(?P<month>0?[1-9]|1[0-2])(?P=mark)(?P<day>0?[1-9]|[12][0-9]|3[01])"
    r"(?:[T ](?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9])(?::(?P<second>[0-5][0-9])(?:\.[0-9]{1,9})?)?"
    r"(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?)?"
    r"(?![\w/])(?!-[0-9])"
)
_SLASHED = re.compile(
    rf"{LEFT}(?:(?<![/-])|(?<=/[0-9]{{4}}[-–]))(?P<a>[0-9]{{1,2}})(?P<mark>[/.-])(?P<b>[0-9]{{1,2}})(?P=mark)(?P<year>[0-9]{{4}}|[0-9]{{2}})(?![\w/]|\.[0-9]|-[0-9]{{1,9}}(?![0-9/]))"
)
_DATE_SPAN = re.compile(r"(?<=/[0-9]{4})\s?[-–]\s?(?=[0-9]{1,2}/[0-9]{1,2}/[0-9])")
_DAY_MONTH_SLASH = re.compile(
    r"(?<=\b[Oo]n )(?P<a>[0-9]{1,2})/(?P<b>[0-9]{1,2})(?![\w/])"
    r"|(?<=\b[Bb]y )(?P<a2>[0-9]{1,2})/(?P<b2>[0-9]{1,2})(?![\w/])"
    r"|(?<=day )(?P<a3>[0-9]{1,2})/(?P<b3>[0-9]{1,2})(?![\w/])"
    r"|(?<![\w/.,])(?P<a4>0[1-9])/(?P<b4>[0-9]{1,2})(?![\w/.])|(?<![\w/.,])(?P<a5>[0-9]{1,2})/(?P<b5>0[1-9])(?![\w/.])"
)
_MONTH_FIRST = re.compile(
    rf"(?<!\w){MONTH}\s(?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)?(?![\w:]|[.,][0-9]|%)"
    rf"(?:\s?[-–—]\s?(?P<day2>[0-9]{{1,2}})(?:st|nd|rd|th)?(?![\w:]))?(?:,?\s{_YEAR})?"
)
_DAY_FIRST = re.compile(
    rf"(?P<the>\b[Tt]he\s)?{LEFT}(?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)?(?:\s?[-–—]\s?(?P<day2>[0-9]{{1,2}})(?:st|nd|rd|th)?)?"
    rf"(?:\s|\sof\s|-){MONTH}(?!\w)(?:,?[\s-]{_YEAR})?"
)
_MONTH_YEAR = re.compile(rf"(?<!\w){MONTH}(?:,?\s(?:of\s)?|-){_YEAR}{_SECOND_YEAR}")
_LONE_MONTH = re.compile(
    r"\b(?P<month>Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec)\.(?=\s|$)|\b(?P<bare>Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec)(?=\s?[-–]\s?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b)|(?<=[-–])(?P<bare2>Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec)\b"
)

_HALF = r"(?:\s?(?P<half>[aApP]\.?\s?[mM]\b\.?))"
_CLOCK = re.compile(
    rf"{LEFT}(?<![:/])(?P<hour>[0-9]{{1,2}}):(?P<minute>[0-5][0-9])(?::(?P<second>[0-5][0-9])(?:[.,](?P<part>[0-9]{{1,3}}))?)?(?![0-9:]){_HALF}?(?P<h>\s?h\b)?"
)
_TO_TIME = re.compile(r"\s?[-–—]\s?(?=[0-9]{1,2}(?:[:.][0-5][0-9]|\s?[aApP]\.?[mM]))")
_DURATION = re.compile(rf"{LEFT}(?P<hours>[0-9]{{1,3}})h(?P<minutes>[0-9]{{1,2}})(?:m|min)?(?!\w)")
_DOTTED_CLOCK = re.compile(rf"{LEFT}(?P<hour>[0-9]{{1,2}})\.(?P<minute>[0-5][0-9]){_HALF}")
_HOUR = re.compile(rf"{LEFT}(?P<hour>1[0-2]|0?[1-9])(?:\s?(?P<to>[-–—]|to)\s?(?P<hour2>1[0-2]|0?[1-9]))?{_HALF}")
_MILITARY = re.compile(rf"{LEFT}(?P<hour>[01][0-9]|2[0-4])(?P<minute>[0-5][0-9])(?=\s?(?:hours|hrs?)\b)")
_RATIO = re.compile(rf"{LEFT}(?<!:)(?P<a>{NUMBER})\s?:\s?(?P<b>{NUMBER})(?P<c>:[0-9]{{1,3}})?(?![\w:])")
_VERSE = re.compile(
    r"\b(?P<book>(?:Gen(?:esis)?|Exod(?:us)?|Lev(?:iticus)?|Numbers|Deut(?:eronomy)?|Joshua|Judges|Ruth|Samuel|Kings|Chronicles"
    r"|Ezra|Nehemiah|Esther|Job|Psalms?|Ps|Proverbs|Prov|Ecclesiastes|Isaiah|Jeremiah|Lamentations|Ezekiel|Daniel|Hosea|Joel|Amos"
    r"|Jonah|Micah|Malachi|Matthew|Matt|Mark|Luke|John|Acts|Romans|Rom|Corinthians|Cor|Galatians|Ephesians|Philippians|Colossians"
    r"|Thessalonians|Timothy|Titus|Philemon|Hebrews|James|Peter|Jude|Revelation|Rev)\.?)\s(?P<chapter>[0-9]{1,3})[:.](?P<verse>[0-9]{1,3})"
    r"(?:\s?(?P<to>[-–—,])\s?(?P<verse2>[0-9]{1,3}))?(?!\w)"
)
_BOOKS = {
    "gen": "Genesis",
    "exod": "Exodus",
    "lev": "Leviticus",
    "deut": "Deuteronomy",
    "ps": "Psalm",
    "prov": "Proverbs",
    "matt": "Matthew",
    "rom": "Romans",
    "cor": "Corinthians",
    "rev": "Revelation",
}

_DECADE = re.compile(rf"(?:(?<!\w)'|{LEFT})(?P<digits>[0-9]{{1,3}}0|[0-9]0)'?s(?!\w)")
_DECADE_SPAN = re.compile(r"(?<=[0-9]s)\s?[-–]\s?(?=[0-9'])")
_ERA = re.compile(
    rf"{LEFT}(?P<a>[0-9]{{1,5}})(?:\s?[-–—]\s?(?P<b>[0-9]{{1,5}}))?\s?(?P<era>B\.?C\.?E\.?|B\.?C\.?|A\.?D\.?|C\.?E\.?)(?!\w)"
)
_ERA_FIRST = re.compile(r"\b(?P<era>A\.?D\.?)\s(?P<a>[0-9]{1,4})(?!\w)")
_YEAR_SPAN = re.compile(
    rf"{LEFT}(?<![-–$£€#])(?P<a>1[0-9]{{3}}|20[0-9]{{2}})\s?(?P<mark>[-–—/])\s?(?P<b>1[0-9]{{3}}|20[0-9]{{2}}|[0-9]{{2}})(?![\w%-])(?![.,][0-9])"
)
_SHORT_YEAR = re.compile(r"(?<!\w)'(?P<a>[0-9]{2})(?!\w|')")
_FOUR = re.compile(rf"{LEFT}(?<![#$£€-])(?P<a>[12][0-9]{{3}})(?![\w%°]|[.,:/][0-9]|-[0-9]|\s?[x×*+=/]\s?[0-9])")

_BEFORE_YEAR = re.compile(
    r"(?:\b(?:in|since|by|from|until|till|before|after|during|year|years|circa|early|late|mid|around|of|for|spring|summer|autumn|fall"
    r"|winter|through|to|and|between|christmas|class|model|copyright|election|edition|season|c\.|ca\.|©|easter|q[1-4]|vintage|anno|born|died|est\.)"
    r"[\s-]|[(\[,–—-]\s?|©\s?)$",
    re.IGNORECASE,
)
_SURE_YEAR = re.compile(
    r"\b(?:since|until|till|year|circa|early|late|mid|spring|summer|autumn|fall|winter|christmas|copyright|©|born|died)[\s-]$",
    re.IGNORECASE,
)
_LIKELY_YEAR = re.compile(r"\b(?:in|by)\s$", re.IGNORECASE)
_NOT_COUNTED = re.compile(
    r"[.,;:!?)\"']|\s?$|\s(?:in|on|at|and|when|was|were|the|to|that|by|as|but|or|is|a|an|through|saw|brought|marked|began)\b"
)
_COUNTED = re.compile(
    r"\s(?:(?:[a-z]+\s)?(?!(?:was|is|has|as|its|this|his|us|does|goes|comes|gas|across|plus|versus|perhaps|always|sees|saw|brings|"
    r"marks|less|unless|thus|towards|besides|afterwards|yes|elections?|olympics?|games|census)\b)[a-z]+(?:[^s\s\W]s|es)|people|men|women|children|percent|dollars?|euros?|"
    r"pounds?|feet|mice|sheep|fish|troops|staff|more|of\sthem|times|million|billion|thousand|hundred|or\sso|dozen|more)\b"
)


def rules(numbers: Numbers, day_first: bool) -> list[Rule]:
    """Return the rules for dates and times; `day_first`: 1/2 is the first of February."""
    reader = _Dates(numbers, day_first)
    return [
        Rule(_ISO, reader.iso),
        Rule(_SLASHED, reader.slashed),
        Rule(_DATE_SPAN, lambda match: " to "),
        Rule(_DAY_MONTH_SLASH, reader.short_slashed),
        Rule(_WEEKDAY, reader.weekday),
        Rule(_DAY_SPAN, lambda match: " to "),
        Rule(_MONTH_FIRST, reader.month_first),
        Rule(_DAY_FIRST, reader.day_first_written),
        Rule(_MONTH_YEAR, reader.month_year),
        Rule(_LONE_MONTH, lambda match: month_name(match["month"] or match["bare"] or match["bare2"])),
        Rule(_VERSE, reader.verse),
        Rule(_CLOCK, reader.clock),
        Rule(_DOTTED_CLOCK, reader.clock),
        Rule(_DURATION, reader.duration),
        Rule(_HOUR, reader.hour),
        Rule(_MILITARY, reader.military),
        Rule(_RATIO, reader.ratio),
        Rule(_ERA, reader.era),
        Rule(_ERA_FIRST, reader.era_first),
        Rule(_YEAR_SPAN, reader.year_span),
        Rule(_DECADE, reader.decade),
        Rule(_DECADE_SPAN, lambda match: " to "),
        Rule(_SHORT_YEAR, reader.short_year),
        Rule(_FOUR, reader.four),
    ]


def month_name(written: str) -> str:
    """Return the name of a month: "September" for "Sept."."""
    return _SHORT.get(written.rstrip(".").lower(), written)


class _Dates:
    def __init__(self, numbers: Numbers, day_first: bool) -> None:
        self.numbers = numbers
        self.day_first = day_first

    def _year(self, written: str | None) -> str:
        if not written:
            return ""
        digits = written.lstrip("'")
        if len(digits) == 2:
            return f"oh {self.numbers.cardinal(digits[1])}" if digits[0] == "0" else self.numbers.cardinal(digits)
        return self.numbers.year(digits)

    def date(self, day: str, month: str, year: str, *, after_the: bool = False, day_first: bool | None = None) -> str:
        """Read a date; `year` in words or empty."""
        first = self.day_first if day_first is None else day_first
        ordinal = self.numbers.ordinal(day)
        words = f"{'' if after_the else 'the '}{ordinal} of {month}" if first else f"{month} {ordinal}"
        return f"{words}, {year}" if year else words

    def iso(self, match: re.Match[str]) -> Reading:
        day, month = match["day"], int(match["month"])
        words = self.date(day, MONTHS[month - 1], self._year(match["year"]), after_the=_after_the(match))
        if match["hour"]:
            words += f" at {self._time(match['hour'], match['minute'], match['second'])}"
            words += " u t c" if match["zone"] == "Z" else ""
        return words

    def slashed(self, match: re.Match[str]) -> Reading:
        a, b, year, mark = int(match["a"]), int(match["b"]), match["year"], match["mark"]
        day_first = self.day_first or mark == "."
        day, month = (a, b) if (day_first and b <= 12) or a > 12 else (b, a)
        if not (1 <= day <= 31 and 1 <= month <= 12) or (mark in ".-" and len(year) == 2 and mark == "."):
            return None
        if len(year) == 2:
            year = f"{'20' if int(year) < 50 else '19'}{year}"
        return self.date(str(day), MONTHS[month - 1], self._year(year), after_the=_after_the(match))

    def short_slashed(self, match: re.Match[str]) -> Reading:
        a, b = (int(group) for group in match.groups() if group)
        day, month = (a, b) if (self.day_first and b <= 12) or a > 12 else (b, a)
        if not (1 <= day <= 31 and 1 <= month <= 12):
            return None
        return self.date(str(day), MONTHS[month - 1], "")

    def weekday(self, match: re.Match[str]) -> Reading:
        day = _DAYS[(match["day"] or match["dotted"] or match["day2"]).lower()]
        return day + ("." if match["dotted"] and not match.string[match.end() :][:9].strip() else "")

    def month_first(self, match: re.Match[str]) -> Reading:
        if not 1 <= int(match["day"]) <= 31:
            return None
        if match["month"] in ("May", "March") and re.search(
            r"\b(?:you|I|we|they|he|she|it)\s$", match.string[max(0, match.start() - 5) : match.start()]
        ):
            return None
        month, year = month_name(match["month"]), self._year(match["year"])
        words = f"{month} {self.numbers.ordinal(match['day'])}"
        if match["day2"]:
            words += f" to {self.numbers.ordinal(match['day2'])}"
        return f"{words}, {year}" if year else words

    def day_first_written(self, match: re.Match[str]) -> Reading:
        if not 1 <= int(match["day"]) <= 31:
            return None
        lower = (
            match["month"] in ("May", "March")
            and not match["year"]
            and re.match(r"\s[a-z]+\s(?:be|have|not)\b", match.string[match.end() : match.end() + 20])
        )
        if lower:
            return None
        days = self.numbers.ordinal(match["day"])
        if match["day2"]:
            days += f" to {self.numbers.ordinal(match['day2'])}"
        words = f"{match['the'] or 'the '}{days} of {month_name(match['month'])}"
        year = self._year(match["year"])
        return f"{words}, {year}" if year else words

    def month_year(self, match: re.Match[str]) -> Reading:
        if match["month"] == "May" and match["year"].startswith("'"):
            return None
        words = f"{month_name(match['month'])} {self._year(match['year'])}"
        return f"{words} to {self._span_end(match['year'], match['year2'])}" if match["year2"] else words

    def _span_end(self, first: str, second: str) -> str:
        return self._year(second) if len(second) == 2 else self.numbers.year(second)

    def verse(self, match: re.Match[str]) -> Reading:
        book = match["book"].rstrip(".")
        chapter, verse = self.numbers.cardinal(match["chapter"]), self.numbers.cardinal(match["verse"])
        words = f"{_BOOKS.get(book.lower(), book)} {chapter} {verse}"
        if match["verse2"]:
            words += f" {'and' if match['to'] == ',' else 'to'} {self.numbers.cardinal(match['verse2'])}"
        return words

    def _time(self, hour: str, minute: str, second: str | None = None, *, half: bool = False) -> str:
        cardinal = self.numbers.cardinal
        number = int(hour)
        if int(minute) == 0 and not (second and int(second)):
            if half and number:
                return cardinal(hour)
            if number == 0:
                return "midnight"
            return f"{cardinal(hour)} o'clock" if number <= 12 else f"{cardinal(hour)} hundred"
        minutes = f"oh {cardinal(minute)}" if minute.startswith("0") else cardinal(minute)
        minutes = "oh oh" if minute == "00" else minutes
        words = f"{cardinal(hour)} {minutes}"
        if second and int(second):
            words += f" and {cardinal(second)} second{'' if int(second) == 1 else 's'}"
        return words

    def clock(self, match: re.Match[str]) -> Reading:
        groups = match.groupdict()
        if int(groups["hour"]) > 24:
            return None
        if (
            groups.get("second") is None
            and not groups["half"]
            and re.match(r"\s?:\s?[0-9]", match.string[match.end() : match.end() + 3])
        ):
            return None
        spans = _TO_TIME.match(match.string, match.end()) if int(groups["hour"]) <= 12 else None
        half = bool(groups["half"] or spans)
        words = self._time(groups["hour"], groups["minute"], groups.get("second"), half=half)
        words = f"{words} {_half(groups['half'])}" if groups["half"] else words
        return self._span(match, words, groups["half"])

    def duration(self, match: re.Match[str]) -> Reading:
        """Read a duration: "1h30m" as "one hour thirty minutes"."""
        hours, minutes = match["hours"], match["minutes"]
        words = f"{self.numbers.cardinal(hours)} hour{'' if int(hours) == 1 else 's'}"
        return f"{words} {self.numbers.cardinal(minutes)} minute{'' if int(minutes) == 1 else 's'}"

    def hour(self, match: re.Match[str]) -> Reading:
        words = self.numbers.cardinal(match["hour"].lstrip("0"))
        if match["hour2"]:
            words += f" to {self.numbers.cardinal(match['hour2'].lstrip('0'))}"
        if re.fullmatch(r"[ap] m", match["half"], re.IGNORECASE):
            return None
        return self._span(match, f"{words} {_half(match['half'])}", match["half"])

    def _span(self, match: re.Match[str], words: str, half: str | None) -> tuple[str, int]:
        """Keep the dot of a half day that ends a sentence, and read a dash before another time as "to"."""
        end = match.end()
        if half and half.endswith("."):
            rest = match.string[end : end + 30]
            if not rest.strip(" \"')") or re.match(
                r"[\"')]*\s+[\"'(]*(?:The|A|An|He|She|It|They|We|I|You|But|And|In|On|At|This|That|There|Then|What|When|Where|Who|How|Please|Call|No|Yes|If|So|My|Our|His|Her)\b",
                rest,
            ):
                end -= 1
        dash = _TO_TIME.match(match.string, end)
        return (f"{words} to ", dash.end()) if dash else (words, end)

    def military(self, match: re.Match[str]) -> Reading:
        hour, minute = match["hour"], match["minute"]
        hours = f"zero {self.numbers.cardinal(hour)}" if hour[0] == "0" else self.numbers.cardinal(hour)
        hours = "zero" if hour == "00" else hours
        if minute == "00":
            return f"{hours} hundred"
        return f"{hours} {'oh ' if minute[0] == '0' else ''}{self.numbers.cardinal(minute)}"

    def ratio(self, match: re.Match[str]) -> Reading:
        number = self.numbers.number
        words = f"{number(match['a'])} to {number(match['b'])}"
        return f"{words} to {number(match['c'][1:])}" if match["c"] else words

    def era(self, match: re.Match[str]) -> Reading:
        year = self.numbers.year if "A" in match["era"] or match["era"].startswith("C") else self._bc
        words = year(match["a"])
        if match["b"]:
            words += f" to {year(match['b'])}"
        end = match.end()
        rest = match.string[end : end + 20]
        if match["era"].endswith(".") and not rest.strip(" \"')"):
            end -= 1
        return f"{words} {' '.join(match['era'].replace('.', '').lower())}", end

    def _bc(self, digits: str) -> str:
        return self.numbers.year(digits) if len(digits) == 4 else self.numbers.cardinal(digits)

    def era_first(self, match: re.Match[str]) -> Reading:
        return f"a d {self.numbers.year(match['a'])}"

    def year_span(self, match: re.Match[str]) -> Reading:
        a, b, mark = match["a"], match["b"], match["mark"]
        if _COUNTED.match(match.string, match.end()) and not _SURE_YEAR.search(_before(match)):
            return None
        if len(b) == 2 and mark != "/" and int(b) <= int(a[2:]):
            return None
        if mark == "/" and len(b) == 4:
            return None
        return f"{self.numbers.year(a)} {'' if mark == '/' else 'to '}{self._span_end(a, b)}"

    def decade(self, match: re.Match[str]) -> Reading:
        digits = match["digits"]
        if len(digits) == 3:
            return f"{self.numbers.cardinal(digits)}s"
        if len(digits) == 4 and digits.endswith("00"):
            return (
                f"{self.numbers.cardinal(digits[0])} thousands"
                if digits[1] == "0"
                else f"{self.numbers.cardinal(digits[:2])} hundreds"
            )
        words = self._year(digits)
        if digits.endswith("10") and len(digits) == 4:
            return f"{words}s"
        return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"

    def short_year(self, match: re.Match[str]) -> Reading:
        before = _before(match)
        if re.search(r"'[^'\s][^']{0,80}$", before) and not re.search(
            r"\b(?:of|in|since|summer|class|spring|winter|fall|autumn)\s$", before, re.IGNORECASE
        ):
            return None
        return self._year(match["a"])

    def four(self, match: re.Match[str]) -> Reading:
        """Four digits: a year, or a number of things."""
        digits, before = match["a"], _before(match)
        number = int(digits)
        address = re.match(
            r"\s(?:[NSEW]\.?\s)?(?:[A-Z][\w'.]{1,20}\s){1,3}(?:St|Street|Ave|Avenue|Rd|Road|Blvd|Boulevard|Lane|Ln|Drive|Dr|Way|Place|Pl|Court|Ct)\b",
            match.string[match.end() : match.end() + 70],
        )
        if address:
            return self.numbers.pairs(digits)
        counted = _COUNTED.match(match.string, match.end())
        likely = 1900 <= number < 2100 and _LIKELY_YEAR.search(before)
        if counted and not (likely or _SURE_YEAR.search(before)):
            return self.numbers.cardinal(digits)
        after_year = 1000 < number < 2100 and re.search(r"\b[12][0-9]{3},?\s$", before)
        if 1900 <= number < 2100 or (number < 2200 and _BEFORE_YEAR.search(before)) or after_year:
            return self.numbers.year(digits)
        if 1100 <= number < 1900 and (
            _NOT_COUNTED.match(match.string, match.end())
            or re.match(r"\s[12][0-9]{3}\b", match.string[match.end() : match.end() + 6])
        ):
            return self.numbers.year(digits)
        return self.numbers.cardinal(digits)


def _before(match: re.Match[str]) -> str:
    return match.string[max(0, match.start() - 90) : match.start()]


def _after_the(match: re.Match[str]) -> bool:
    return match.string[max(0, match.start() - 4) : match.start()].lower() == "the "


def _half(written: str) -> str:
    return f"{written[0].lower()} m"
