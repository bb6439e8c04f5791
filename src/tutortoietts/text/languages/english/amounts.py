"""Money, percent, degrees and units."""

from __future__ import annotations

import re
from typing import Any

from tutortoietts.text.languages import Reading, Rule
from tutortoietts.text.languages.english.words import LEFT, MAGNITUDES, NUMBER, Numbers, split_number, table

__all__ = ["rules"]

MINUS = r"(?:(?<![\w)\]])[-−–]\s?(?=[$£€¥₹.0-9]))?"
TO = r"(?:\s?[-–—]\s?|\s(?:to|and)\s)"
SIZES = r"(?:hundred|thousand|million|billion|trillion)"
MAGNITUDE = rf"(?:[ -]?(?P<size>{SIZES})\b|\s?(?P<short>mn|mio|bn|Bn|tn|trn|MM|[MBT])\b|(?P<letter>[kKmbt])(?!\w))"
_SIGNS = r"(?:US|AU|CA|NZ|HK|[ACSR])?\$|[£€¥￥₹₽₩₺₴₪฿₫₦₱₿]"
_CODES = r"Rs\.?|USD|EUR|GBP|JPY|CNY|RMB|INR|CHF|AUD|CAD|SEK|NOK|DKK|BTC"
_PREFIX = re.compile(
    rf"(?P<minus>{MINUS})(?<![\w$])(?P<sign>{_SIGNS}|(?:{_CODES})(?=\s?[0-9]))\s?(?P<minus2>[-−]?)(?P<number>{NUMBER})"
    rf"(?:(?:(?P<short1>[kKmMbB])|\s(?P<size1>{SIZES}))?(?P<to>\s?[-–—]\s?|\sto\s)(?:{_SIGNS})?(?P<number2>{NUMBER})(?![\w]{{2}}|%|/[0-9]))?(?:{MAGNITUDE})?"
)
_SUFFIX = re.compile(
    rf"(?P<minus>{MINUS}){LEFT}(?P<number>{NUMBER})(?:(?P<to>{TO})(?P<number2>{NUMBER}))?(?:{MAGNITUDE})?"
    rf"\s?(?P<sign>[£€¥₹₽₩₺₴₪฿₫₦₱₿¢]|\$(?![0-9])|(?:{_CODES})(?!\w))"
)
_NOUN = re.compile(r"[ -](bill|note|coin|banknote|gift card|price tag|bet|fine|ticket)\b", re.IGNORECASE)
_PER = re.compile(r"/([A-Za-zμ°]{1,9}[²³]?)(?![\w/])")

_PERCENT = re.compile(
    rf"(?P<minus>{MINUS}){LEFT}(?P<number>{NUMBER})\s?%?(?:(?P<to>{TO})(?P<number2>{NUMBER}))?\s?(?P<sign>%|‰|pct\b)"
)
_DEGREES = re.compile(
    rf"(?P<minus>{MINUS}){LEFT}(?P<number>{NUMBER})\s?°?(?:\s?[CF]\b)?(?:(?P<to>{TO})(?P<minus2>[-−]?)(?P<number2>{NUMBER}))?"
    r"\s?°\s?(?P<scale>[CFKNSEW]\b|(?=[0-9.]))?"
)
_SCALES = {
    "C": " celsius",
    "F": " fahrenheit",
    "K": " kelvin",
    "N": " north",
    "S": " south",
    "E": " east",
    "W": " west",
}
_ARC = re.compile(
    r"(?<=°)\s?(?P<minutes>[0-9]{1,2})\s?['′](?:\s?(?P<seconds>[0-9]{1,2}(?:\.[0-9]{1,6})?)\s?[\"″])?\s?(?P<way>[NSEW]\b)?"
)
_FEET = re.compile(
    rf"{LEFT}(?P<feet>[0-9]{{1,3}})\s?(?:'|ft\.?)\s?-?(?P<inches>[0-9]{{1,2}}(?:\.[0-9])?)(?:\s?(?:\"|''|in\b\.?)|(?=[\s.,;]|$))"
)
_QUOTED_INCH = re.compile(
    rf"{LEFT}(?P<number>[0-9]{{1,2}}/[0-9]{{1,2}}|{NUMBER})(?:\s(?P<fraction>[0-9]{{1,2}}/[0-9]{{1,2}}))?(?P<sign>\"|'(?![\w]))"
    r"(?P<by>\s?[x×]\s?(?=[0-9.]))?"
)
_TIMES = re.compile(rf"{LEFT}(?P<number>{NUMBER})(?P<sign>\s?[x×]\s?(?=[0-9])|[x×](?!\w))")


def rules(numbers: Numbers, british: bool) -> list[Rule]:
    """Return the rules for amounts."""
    reader = _Amounts(numbers, british)
    return [
        Rule(_PREFIX, reader.money),
        Rule(_SUFFIX, reader.money),
        Rule(_PERCENT, reader.percent),
        Rule(_DEGREES, reader.degrees),
        Rule(_ARC, reader.arc),
        Rule(_FEET, reader.feet),
        Rule(reader.unit_pattern, reader.unit),
        Rule(_QUOTED_INCH, reader.inches),
        Rule(_TIMES, reader.times),
    ]


class _Amounts:
    def __init__(self, numbers: Numbers, british: bool) -> None:
        self.numbers = numbers
        self.currencies: dict[str, list[str]] = table("currencies")
        self.units: dict[str, list[str]] = {
            unit: [re.sub("(met|lit)er", r"\1re", name) if british else name for name in names]
            for unit, names in table("units").items()
        }
        names = "|".join(sorted(map(re.escape, self.units), key=len, reverse=True))
        self.unit_pattern = re.compile(
            rf"(?P<minus>{MINUS}){LEFT}(?:(?P<whole>[0-9]{{1,6}})[ -])??"
            rf"(?:(?P<fraction>[0-9]{{1,2}}/[0-9]{{1,3}})|(?P<number>{NUMBER}))"
            rf"(?:\s?-?(?P<first>{names})?(?P<to>\s?[-–—]\s?|\sto\s|\sand\s|\sor\s|\s?[x×]\s?)(?P<number2>{NUMBER}))?"
            rf"(?P<gap>[ -]?)(?P<unit>{names})(?P<power>[²³]|\^?[23](?!\w))?(?P<dot>\.?)(?![\w°'])"
        )

    def amount(self, match: re.Match[str]) -> str:
        """Read the number or range of a match, with its minus."""
        groups = match.groupdict()
        words = self.numbers.number(groups["number"])
        if groups.get("number2"):
            between = "and" if "and" in groups["to"] else "or" if "or" in groups["to"] else "to"
            between = "by" if groups["to"].strip() in ("x", "×") else between
            minus = "minus " if groups.get("minus2") and groups["number2"] else ""
            words = f"{words} {between} {minus}{self.numbers.number(groups['number2'])}"
        return f"minus {words}" if groups.get("minus") else words

    def money(self, match: re.Match[str]) -> Reading:
        groups = match.groupdict()
        one, many, cent, cents, joint = self.currencies[groups["sign"]]
        size = groups["size"] or MAGNITUDES.get(groups["short"] or groups["letter"] or "", "")
        end = match.end()
        minus = "minus " if groups["minus"] or groups.get("minus2") else ""
        if size or groups["number2"]:
            words = self.amount(match) if not groups.get("minus2") else f"minus {self.amount(match)}"
            first = groups.get("size1") or MAGNITUDES.get(groups.get("short1") or "")
            if first:
                words = words.replace(" to ", f" {first} to ", 1)
            words = f"{words} {size} ".replace("  ", " ") + (one if self._adjective(match, end) else many)
            return self._per(match.string, words, end)
        whole, fraction = split_number(groups["number"])
        if not fraction and (_NOUN.match(match.string, end) or _described(match.string, match.start(), end)):
            return f"{minus}{self.numbers.cardinal(whole)} {one}", end
        if len(fraction) == 2 and cent:
            words = self._cents(whole, fraction, one, many, cent, cents, joint)
        elif len(fraction) == 1 and cent and not groups["number"].startswith("."):
            words = self._cents(whole, fraction + "0", one, many, cent, cents, joint)
        else:
            words = f"{self.numbers.number(groups['number'])} {one if groups['number'] == '1' else many}"
        return self._per(match.string, minus + words, end)

    def _adjective(self, match: re.Match[str], end: int) -> bool:
        if _described(match.string, match.start(), end):
            return True
        return match.string[end : end + 1] == "-" or bool(match["size"] and "-" in match[0][-len(match["size"]) - 1 :])

    def _cents(self, whole: str, fraction: str, one: str, many: str, cent: str, cents: str, joint: str) -> str:
        small = f"{self.numbers.cardinal(fraction)} {cent if fraction == '01' else cents}"
        if not whole.strip("0"):
            return small if fraction.strip("0") else f"zero {many}"
        words = f"{self.numbers.cardinal(whole)} {one if whole == '1' else many}"
        if not fraction.strip("0"):
            return words
        return f"{words} {joint} {small}" if joint else f"{words} {self.numbers.cardinal(fraction)}"

    def _per(self, string: str, words: str, end: int) -> tuple[str, int]:
        """Read "/hr" behind an amount, too."""
        per = _PER.match(string, end)
        if not per:
            return words, end
        unit = per[1].rstrip("²³")
        name = self.units[unit][0] if unit in self.units else unit
        power = {"²": "square ", "³": "cubic "}.get(per[1][-1], "")
        return f"{words} per {power}{name}", per.end()

    def percent(self, match: re.Match[str]) -> Reading:
        return f"{self.amount(match)} {'per mille' if match['sign'] == '‰' else 'percent'}"

    def degrees(self, match: re.Match[str]) -> Reading:
        one = match["number"] == "1" and not match["number2"]
        if re.match(
            r"\s(?:angles?|turns?|rotations?|views?|weather|heat)\b", match.string[match.end() : match.end() + 12]
        ):
            one = True
        return f"{self.amount(match)} {'degree' if one else 'degrees'}{_SCALES.get(match['scale'] or '', '')}"

    def arc(self, match: re.Match[str]) -> Reading:
        words = f" {self.numbers.number(match['minutes'])} minutes"
        if match["seconds"]:
            words += f" {self.numbers.number(match['seconds'])} seconds"
        return words + _SCALES.get(match["way"] or "", "")

    def feet(self, match: re.Match[str]) -> Reading:
        feet = "foot" if match["feet"] == "1" else "feet"
        inches = "inch" if match["inches"] == "1" else "inches"
        return f"{self.numbers.cardinal(match['feet'])} {feet} {self.numbers.number(match['inches'])} {inches}"

    def inches(self, match: re.Match[str]) -> Reading:
        if match["sign"] == '"' and _opened(match.string, match.start()):
            return None
        if (
            match["sign"] == "'"
            and not match["by"]
            and not re.match(
                r"\s?(?:wide|tall|long|deep|high|thick|x|×|by|above|below|board|beam|ceiling)\b",
                match.string[match.end() : match.end() + 10],
            )
        ):
            return None
        one, many = ("inch", "inches") if match["sign"] == '"' else ("foot", "feet")
        if "/" in match["number"]:
            return f"{fraction_words(self.numbers, *match['number'].split('/'))} {one}"
        words = self.numbers.number(match["number"])
        if match["fraction"]:
            words += f" and {fraction_words(self.numbers, *match['fraction'].split('/'))}"
        name = one if match["number"] == "1" and not match["fraction"] else many
        return f"{words} {name}{' by ' if match['by'] else ''}"

    def times(self, match: re.Match[str]) -> Reading:
        words = self.numbers.number(match["number"])
        if (
            match["sign"].strip() in ("x", "×")
            and match.end() < len(match.string)
            and match.string[match.end()].isdigit()
        ):
            sums = re.match(rf"\s?{NUMBER}\s?=", match.string[match.end() : match.end() + 80])
            spaced = match["sign"] == " × " or re.search(
                r"=\s?$", match.string[max(0, match.start() - 3) : match.start()]
            )
            powers = re.match(r"\s?10(?:\^|[²³])", match.string[match.end() : match.end() + 4])
            return f"{words} {'times' if sums or spaced or powers else 'by'} "
        if re.match(r"\s?[-+=*/^)]", match.string[match.end() : match.end() + 2]):
            return f"{words} x"
        return f"{words} times"

    def unit(self, match: re.Match[str]) -> Reading:
        groups: dict[str, Any] = match.groupdict()
        unit, gap, number = groups["unit"], groups["gap"], groups["number"]
        after = match.string[match.end() : match.end() + 14]
        if not self._is_unit(match, after):
            return None
        if groups["fraction"] and unit == "s" and not gap:
            return None
        if groups["first"] and groups["first"] != unit:
            return None
        single = (number == "1" or bool(groups["fraction"] and not groups["whole"])) and not groups["number2"]
        if groups["number2"] and "by" == self._between(groups["to"]):
            single = False
        adjective = (
            _described(match.string, match.start(), match.end())
            or gap == "-"
            or (after.startswith("-") and after[1:2].isalpha())
        )
        one, many = self.units[unit]
        name = one if single or adjective else many
        power = groups["power"]
        if power:
            name = f"{'square' if power[-1] in '2²' else 'cubic'} {name}"
        if groups["fraction"]:
            part = fraction_words(self.numbers, *groups["fraction"].split("/"))
            words = f"{self.numbers.cardinal(groups['whole'])} and {part}" if groups["whole"] else part
            words = f"{'minus ' if groups['minus'] else ''}{words}" + (
                " of a" if single and not groups["whole"] else ""
            )
            words = words.replace("one half of a", "half a")
        else:
            if groups["whole"]:
                return None
            words = self.amount(match)
        end = match.end()
        if groups["dot"] and _sentence_ends_here(match.string, end):
            end -= 1
        return self._per(match.string, f"{words} {name}", end)

    @staticmethod
    def _between(to: str | None) -> str:
        return "by" if to and to.strip() in ("x", "×") else "to"

    def _is_unit(self, match: re.Match[str], after: str) -> bool:
        """Return False for what only looks like a unit: "5 in the room", "the 1990 s", "Section 5 A", "100K"."""
        unit, gap, number = match["unit"], match["gap"], match["number"] or ""
        if unit == "in":
            follows = after.lstrip()
            measured = follows[:1] in (".", ",", ";", ")", "") or re.match(
                r"(?:x|by|wide|tall|long|deep|high|thick)\b", follows
            )
            return (
                gap == "-"
                or not gap
                or bool(match["dot"] and not re.match(r"\s+[A-Z]", after))
                or bool(match["number2"] and measured)
            )
        if len(unit) == 1 and unit.isupper():
            if unit == "K":
                return gap == " " and bool(re.match(r"[.,;)\s]|$", after)) and len(number) >= 2
            return gap != "-" and not (gap == " " and unit in "AN")
        if unit == "s":  # "the 1990s", "the 90s"
            return bool(gap) or not re.fullmatch(r"[0-9]{1,3}0", number)
        if unit in ("ac", "mo", "st", "pt", "cd", "doz"):
            return bool(match["dot"]) or (unit == "st" and gap == " ")
        return True


_FRACTIONS = {"2": ("half", "halves"), "4": ("quarter", "quarters"), "3": ("third", "thirds")}


def fraction_words(numbers: Numbers, above: str, below: str) -> str:
    """Read a fraction: ("3", "8") -> "three eighths"."""
    ordinal = numbers.ordinal(below).removeprefix("one ")
    one, many = _FRACTIONS.get(below) or (ordinal, ordinal + "s")
    return f"{numbers.cardinal(above)} {one if above == '1' else many}"


def _opened(string: str, place: int) -> bool:
    """Return whether a quotation mark before `place` is open; marks behind digits do not count."""
    before = string[max(0, place - 300) : place]
    before = before[before.rfind("\n") + 1 :]
    return len(re.findall(r'(?<![0-9])"', before)) % 2 == 1


_ARTICLE = re.compile(r"\b[Aa]n?\s$")
_NOT_A_NOUN = re.compile(
    r"\s(?:of|in|for|to|from|and|or|per|on|is|was|each|more|at|by|with|away|an?|the)\b|\s?[^\sa-z]|\s[^a-z]|$"
)


def _described(string: str, start: int, end: int) -> bool:
    """Return whether an amount describes a noun: "a 5 kg bag", "a $100 fine"."""
    return bool(_ARTICLE.search(string, max(0, start - 4), start)) and not _NOT_A_NOUN.match(string, end, end + 12)


def _sentence_ends_here(string: str, place: int) -> bool:
    """Return whether the dot before `place` also ends a sentence."""
    rest = string[place : place + 40]
    return not rest.strip(" \"')\ue000") or bool(re.match(r"[\"')]*\s+[\"'(]*[A-Z]", rest))
