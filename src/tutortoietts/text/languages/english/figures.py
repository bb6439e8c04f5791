"""Numbers without a unit: fractions, ordinals, ranges, arithmetic, scores, and whatever digits are left."""

from __future__ import annotations

import re

from tutortoietts.text.languages import Reading, Rule
from tutortoietts.text.languages.english.amounts import fraction_words
from tutortoietts.text.languages.english.words import LEFT, NUMBER, Numbers, spelled

__all__ = ["early_rules", "rules"]

_MIXED = re.compile(
    rf"{LEFT}(?<![/])(?P<minus>(?<!\w)[-−])?(?P<whole>[0-9]{{1,6}})(?:\s|-|\sand\s)(?P<a>[0-9]{{1,2}})/(?P<b>[0-9]{{1,3}})(?![\w/])"
)
_FRACTION = re.compile(
    rf"{LEFT}(?<![/])(?P<a>[0-9]{{1,4}})\s?/\s?(?P<b>[0-9]{{1,4}})(?P<th>ths?|rds?|nds?)?(?![\w/]|[.,][0-9])"
)
_SLASHES = re.compile(rf"{LEFT}[0-9]{{1,9}}(?:/[0-9]{{1,9}}){{1,20}}(?!\w)")
_ORDINAL = re.compile(
    rf"{LEFT}(?P<number>[0-9]{{1,3}}(?:,[0-9]{{3}}){{1,4}}|[0-9]{{1,15}})(?:\s?(?P<to>[-–]|and)\s?(?P<number2>[0-9]{{1,5}}))?(?P<th>st|nd|rd|th|ST|ND|RD|TH)(?P<s>s)?(?!\w)"
)
_ORDINAL_SPAN = re.compile(r"(?<=[0-9]st|[0-9]nd|[0-9]rd|[0-9]th)\s?[-–]\s?(?=[0-9]{1,4}(?:st|nd|rd|th)\b)")
_RANGE = re.compile(
    rf"(?P<minus>(?<![\w)\]])[-−]?){LEFT}(?P<a>{NUMBER})\s?(?P<mark>[-–—]|\.\.)\s?(?P<minus2>[-−]?)(?P<b>{NUMBER})(?P<size>\s?[kKM])?(?!\w)(?!-[0-9])"
)
_LIST = re.compile(rf"{LEFT}[0-9]{{1,9}}(?:,[0-9]{{1,9}}){{2,200}}(?![\w])")
_SIGNED = re.compile(rf"(?<![\w)\]])(?P<sign>[-−–+±~≈<>≤≥])\s?(?P<number>{NUMBER})")
_MINUS = re.compile(rf"(?<=[0-9)])\s?(?P<sign>−|\s-\s)\s?(?P<number>{NUMBER})")
_POWER = re.compile(
    rf"(?<![\w.,])(?P<base>{NUMBER}|[A-Za-z]{{1,3}})(?:\^(?P<open>\()?(?P<minus>[-−]?)(?P<power>[0-9]{{1,6}}|[a-z](?![a-z]))(?(open)\))|(?P<small>[²³]))(?P<times>[*×]?)"
)
_SCIENTIFIC = re.compile(
    rf"{LEFT}(?P<base>[0-9]{{1,20}}(?:\.[0-9]{{1,20}})?)[eE](?P<sign>[-+−]?)(?P<power>[0-9]{{1,3}})(?!\w)"
)
_OPERATOR = re.compile(
    r"(?<=[\w)\]])(?P<gap>\s?)(?P<sign>[*×÷+=<>≥≤≠≈±^]|[-−/](?=\s?[0-9A-Za-z(]{1,9}\s?=)|[<>=!]=|\+-)"
    r"(?P=gap)(?=[\w(.\-−√$£€])"
)
_MULTIPLY = re.compile(r"(?<=[0-9])\s?[*×·]\s?(?=[0-9])")
_SHORT_THOUSAND = re.compile(
    rf"{LEFT}(?P<number>[0-9]{{1,4}}(?:\.[0-9]{{1,2}})?)(?P<size>[kK]|M|bn|mn)(?P<plus>\+?)(?!\w)"
)
_SIZE = re.compile(rf"{LEFT}(?P<number>{NUMBER})\s?(?P<size>bn|mn|tn)\b\.?")
_HASH = re.compile(r"(?<!\w)#\s?(?P<number>[0-9]{1,9})(?P<more>(?:-[0-9]{1,9}){0,4})(?!\w)")
_NUMBER_MARK = re.compile(r"(?<!\w)(?:No|Nos|no|nos|Nr|NO)\.?\s?(?P<number>[0-9]{1,7})(?![\w%/]|[.,:][0-9])(?<=[0-9])")
_OVER = re.compile(r"(?<=[0-9])\s?/\s?(?=[0-9])")
_SECTION = re.compile(r"(?P<sign>§§?|¶)\s?(?=[0-9IVXa-z])")
_ITEM = re.compile(
    r"(?:(?<=^)|(?<=[.,:!?] )|(?<=[.:] \()|(?<= )(?=[0-9]{1,2}\)))"
    r"(?P<open>\(?)(?P<number>[0-9]{1,3})(?P<mark>[.)])\s+(?=[A-Za-z\"'$0-9])"
)
_SCORE = re.compile(
    r"\b(?P<verb>won|win|wins|lost|lose|loses|lead|led|beat|beating|tied|drew|score|of|by|a|was)\s(?P<a>[0-9]{1,3})[-–](?P<b>[0-9]{1,3})(?![\w-]|\s?(?:years?|days?|weeks?|months?|hours?|minutes?|percent|%))"
)
_PLUS = re.compile(rf"{LEFT}(?P<number>{NUMBER})\+(?!\w|\s?[0-9])")
_ANY = re.compile(rf"(?P<number>{NUMBER}|[0-9]+)")


def early_rules(numbers: Numbers) -> list[Rule]:
    """Return the rules that come before those for letters with digits."""
    reader = _Figures(numbers)
    return [
        Rule(_SCIENTIFIC, reader.scientific),
        Rule(_SHORT_THOUSAND, reader.short),
        Rule(_POWER, reader.power),
        Rule(_ORDINAL, reader.ordinal),
        Rule(_ORDINAL_SPAN, lambda match: " to "),
    ]


def rules(numbers: Numbers) -> list[Rule]:
    """Return the rules for figures; the last of them reads every digit that is left."""
    reader = _Figures(numbers)
    number = numbers.number
    return [
        Rule(_ITEM, reader.item),
        Rule(_MIXED, reader.mixed),
        Rule(_FRACTION, reader.fraction),
        Rule(_SLASHES, lambda match: " slash ".join(map(number, match[0].split("/")))),
        Rule(_SCORE, lambda match: f"{match['verb']} {number(match['a'])} to {number(match['b'])}"),
        Rule(_RANGE, reader.range),
        Rule(_LIST, reader.list),
        Rule(_SIZE, reader.size),
        Rule(_SIGNED, reader.signed),
        Rule(_MINUS, lambda match: f" minus {number(match['number'])}"),
        Rule(_MULTIPLY, lambda match: " times "),
        Rule(_OPERATOR, reader.operator),
        Rule(_HASH, reader.hash),
        Rule(_OVER, lambda match: " over "),
        Rule(
            _NUMBER_MARK,
            lambda match: f"{'numbers' if match[0][:3].lower() == 'nos' else 'number'} {number(match['number'])}",
        ),
        Rule(
            _SECTION,
            lambda match: (
                "sections " if len(match["sign"]) > 1 else "paragraph " if match["sign"] == "¶" else "section "
            ),
        ),
        Rule(_PLUS, lambda match: f"{number(match['number'])} plus"),
        Rule(_ANY, lambda match: number(match["number"])),
    ]


_SIGN = {
    "-": "minus",
    "−": "minus",
    "–": "minus",
    "+": "plus",
    "±": "plus or minus",
    "~": "about",
    "≈": "about",
    "<": "less than",
    ">": "more than",
    "≤": "at most",
    "≥": "at least",
}
_OPERATORS = {
    "*": "times",
    "×": "times",
    "÷": "divided by",
    "+": "plus",
    "=": "equals",
    "<": "is less than",
    ">": "is greater than",
    "≥": "is at least",
    "≤": "is at most",
    "≠": "is not equal to",
    "≈": "is about",
    "±": "plus or minus",
    "-": "minus",
    "−": "minus",
    "/": "divided by",
    "==": "equals",
    "<=": "is at most",
    ">=": "is at least",
    "!=": "is not equal to",
    "+-": "plus or minus",
    "^": "to the power of",
}
_DENOMINATORS = {2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 20, 25, 32, 50, 60, 64, 100, 128, 1000}


class _Figures:
    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers

    def item(self, match: re.Match[str]) -> Reading:
        """Read the number of a list item: "2. Milk" -> "two, Milk"."""
        if match["open"] and match["mark"] != ")":
            return None
        before = match.string[max(0, match.start() - 60) : match.start()]
        if match["mark"] == ")" and not match["open"] and before.count("(") > before.count(")"):
            return None
        if (
            match.start()
            and match["mark"] == "."
            and not re.search(r"[.,:!?]\s$", match.string[match.start() - 2 : match.start()])
        ):
            return None
        if (match.string[match.end()].isdigit() and match["mark"] == ".") or (
            match.string[match.end()].islower() and match.start()
        ):
            return None if match.string[match.end()].isdigit() else f"{self.numbers.number(match['number'])}, "
        return f"{self.numbers.number(match['number'])}, "

    def hash(self, match: re.Match[str]) -> Reading:
        """Read a number sign: "#5" as a number, "#12345-67" as digits."""
        if not match["more"]:
            return f"number {self.numbers.number(match['number'])}"
        return "number " + ", ".join(map(self.numbers.digits, f"{match['number']}{match['more']}".split("-")))

    def mixed(self, match: re.Match[str]) -> Reading:
        if not 0 < int(match["a"]) < int(match["b"]):
            return None
        one_half = fraction_words(self.numbers, match["a"], match["b"])
        part = f"a {one_half[4:]}" if one_half.startswith("one ") and int(match["b"]) in (2, 4) else one_half
        minus = "minus " if match["minus"] else ""
        return f"{minus}{self.numbers.cardinal(match['whole'])} and {part}"

    def fraction(self, match: re.Match[str]) -> Reading:
        a, b = int(match["a"]), int(match["b"])
        number = self.numbers.number
        rest = match.string[match.end() : match.end() + 12]
        if match["th"] or (0 < a < b and b in _DENOMINATORS and not re.match(r"\s?(?:stars?|points?|rating)\b", rest)):
            before = match.string[max(0, match.start() - 12) : match.start()]
            if (
                b in (10, 100)
                and re.search(r"\b(?:rat\w+|score\w*|got|gave|it|a)(?:\sa|\sit)?\s$", before)
                and not match["th"]
            ):
                return f"{number(match['a'])} out of {number(match['b'])}"
            return fraction_words(self.numbers, str(a), str(b))
        if (a, b) in ((24, 7), (9, 11), (50, 50), (20, 20), (60, 40), (80, 20), (70, 30), (90, 10), (7, 7)):
            return f"{number(match['a'])} {number(match['b'])}"
        if a == b or re.match(r"\s?(?:stars?|points?|rating)\b", rest):
            return f"{number(match['a'])} out of {number(match['b'])}"
        if 0 < a and 0 < b:
            return f"{number(match['a'])} over {number(match['b'])}"
        return f"{number(match['a'])} slash {number(match['b'])}"

    def ordinal(self, match: re.Match[str]) -> Reading:
        words = self.numbers.ordinal(match["number"].replace(",", ""))
        if match["number2"]:
            first, joint = words, "and" if match["to"] == "and" else "to"
            if joint == "and":
                first = self.numbers.cardinal(match["number"].replace(",", ""))
            words = f"{first} {joint} {self.numbers.ordinal(match['number2'])}"
        return f"{words}s" if match["s"] else words

    def scientific(self, match: re.Match[str]) -> Reading:
        sign = "minus " if match["sign"] in ("-", "−") else ""
        power = self.numbers.number(str(int(match["power"])))
        return f"{self.numbers.number(match['base'])} times ten to the power of {sign}{power}"

    def power(self, match: re.Match[str]) -> Reading:
        base = match["base"]
        words = spelled(base) if base.isalpha() else self.numbers.number(base)
        power, small = match["power"], match["small"]
        if small or (power in ("2", "3") and not match["minus"]):
            raised = "squared" if (small or power) in ("²", "2") else "cubed"
        else:
            minus = "minus " if match["minus"] else ""
            raised = f"to the power of {minus}{self.numbers.number(power) if power.isdigit() else power}"
        return f"{words} {raised}{' times' if match['times'] else ''}"

    def range(self, match: re.Match[str]) -> Reading:
        number = self.numbers.number
        words = f"{number(match['a'])}"
        if match["minus"] and match["minus"] in "-−":
            words = f"minus {words}"
        after = match.string[match.end() : match.end() + 4]
        minus = match["mark"] == "-" and re.match(r"\s?=", after)
        second = f"{'minus ' if match['minus2'] else ''}{number(match['b'])}"
        size = {"k": " thousand", "K": " thousand", "M": " million"}.get((match["size"] or "").strip(), "")
        return f"{words} {'minus' if minus else 'to'} {second}{size}"

    def list(self, match: re.Match[str]) -> Reading:
        if re.fullmatch(r"[0-9]{1,3}(?:,[0-9]{3})+", match[0]) and not re.search(r",[0-9]{3},0", match[0][:0]):
            return None
        return ", ".join(map(self.numbers.number, match[0].split(",")))

    def short(self, match: re.Match[str]) -> Reading:
        if match["size"] == "K" and match["number"] in ("2", "4", "5", "8"):
            return f"{self.numbers.number(match['number'])} k"
        size = {"k": "thousand", "K": "thousand", "M": "million", "bn": "billion", "mn": "million"}[match["size"]]
        return f"{self.numbers.number(match['number'])} {size}{' plus' if match['plus'] else ''}"

    def size(self, match: re.Match[str]) -> Reading:
        size = {"bn": "billion", "mn": "million", "tn": "trillion"}[match["size"]]
        return f"{self.numbers.number(match['number'])} {size}", match.end("size")

    def signed(self, match: re.Match[str]) -> Reading:
        sign = match["sign"]
        if sign == "–" and match.start() and match.string[match.start() - 1] == " " and re.match(r"–\s", match[0]):
            return None
        if sign == "-" and " " in match[0] and match.start():
            return None
        return f"{_SIGN[sign]} ", match.start("number")

    def operator(self, match: re.Match[str]) -> Reading:
        sign = match["sign"]
        before, after = match.string[match.start() - 1], match.string[match.end() : match.end() + 1]
        figure = before.isdigit() or after.isdigit()
        if sign in "<>*" and not match["gap"] and not figure:
            return None
        if sign == "*" and match["gap"] and not (figure and _operand(match.string, match.start(), match.end())):
            return None
        if sign == "^" and not ((before.isalnum() and after.isalnum()) or before == ")"):
            return None
        return f" {_OPERATORS[sign]} "


def _operand(string: str, start: int, end: int) -> bool:
    """Return whether both neighbours of an operator are numbers, single letters or brackets."""
    before = re.search(r"(?:\b[A-Za-z]|[0-9.]|\))$", string[max(0, start - 2) : start])
    after = re.match(r"(?:[A-Za-z]\b|[0-9.(√$])", string[end : end + 2])
    return bool(before and after)
