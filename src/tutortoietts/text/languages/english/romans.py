"""Roman numerals: "Chapter IV" four, "Louis XIV" the fourteenth, "Rocky IV" four; not "I", "MIX", "Malcolm X"."""

from __future__ import annotations

import re

from tutortoietts.text.languages import Reading, Rule
from tutortoietts.text.languages.english.letters import STARTERS
from tutortoietts.text.languages.english.words import Numbers, roman, spelled, table

__all__ = ["rules"]

_ROMAN = "[IVXLCDM]{1,12}"
_ANY_ROMAN = "(?:[IVXLCDM]{1,12}|[ivxlcdm]{1,12})"
_KEYS = (
    "[Cc]hapters?|CHAPTERS?|[Pp]arts?|PARTS?|[Bb]ooks?|BOOKS?|[Vv]olumes?|VOLUMES?|[Aa]cts?|ACTS?|[Ss]cenes?|SCENES?|[Cc]antos?|"
    "[Ss]ections?|[Aa]rticles?|[Aa]ppendix|[Pp]hases?|[Tt]ypes?|[Cc]lass|[Ll]evels?|[Ss]tages?|[Gg]rades?|[Tt]ables?|[Ff]igures?|"
    "[Tt]itles?|[Ee]pisodes?|[Ss]eries|[Ss]eason|[Vv]erses?|[Ss]tanzas?|[Pp]ages?|World Wars?|Super Bowl|[Mm]ark|"
    "WrestleMania|SECTIONS?|ARTICLES?|APPENDIX|FIGURES?|TABLES?|TITLES?|EPISODES?|PHASES?|STAGES?|WORLD WARS?|LESSONS?|"
    "UNITS?|PSALMS?|"
    "[Pp]salms?|[Ll]essons?|[Uu]nits?|[Vv]ersion|[Mm]odule|[Cc]lause|[Ss]ymphony|[Ss]onata|[Oo]pus|[Cc]orps|[Dd]ivision|[Tt]ier|"
    "[Ff]actor|[Gg]roup|[Rr]ound|[Pp]ps?\\.|[Vv]ols?\\.|[Cc]h\\.|[Ss]ec\\.|[Ff]ig\\.|[Aa]rt\\.|[Nn]o\\.|[Bb]k\\."
)
_KEYED = re.compile(
    rf"\b(?P<key>{_KEYS})\s(?P<first>{_ANY_ROMAN})(?![\w'’])(?P<more>(?:\s?(?:[-–—,&]|and|or|to|through)\s?{_ANY_ROMAN}(?![\w']))*)(?P<dot>\.(?=\s[A-Z]))?"
)
_LETTER = r"(?:[^\W\d_]|['’-])"
_NAMED = re.compile(
    rf"\b(?P<before>(?:[A-Z]{_LETTER}{{0,30}}\.?\s){{0,2}})(?P<name>[A-Z][a-zà-ÿ]{_LETTER}{{0,30}})\s(?P<numeral>{_ROMAN})(?P<s>'s)?"
    r"(?![\w]|\.[A-Z]|-[A-Z])"
)
_OF_CENTURY = re.compile(
    r"(?<![\w.])(?P<numeral>[IVXivx]{1,7})(?:\s?[-–]\s?(?P<second>[IVXivx]{1,7}))?(?:th)?(?=\s(?:[Cc]entur|[Dd]ynast|[Oo]lympi|[Cc]ongress|[Ll]egion))"
)
_HEADING = re.compile(
    rf"(?:^|(?<=[.!?] )|(?<=[.!?]\"\s))(?P<numeral>{_ROMAN})(?P<dot>\.)(?=\s|$)|^(?P<alone>{_ROMAN})$"
)
_PAREN = re.compile(r"(?<!\w)\((?P<numeral>[ivx]{1,6})\)")


def rules(numbers: Numbers) -> list[Rule]:
    """Return the rules for roman numerals; they come before those for letters."""
    reader = _Romans(numbers)
    return [
        Rule(_KEYED, reader.keyed),
        Rule(_HEADING, reader.heading),
        Rule(_OF_CENTURY, reader.century),
        Rule(_NAMED, reader.named),
        Rule(
            _PAREN,
            lambda match: (
                f"({numbers.cardinal(str(roman(match['numeral'].upper())))})"
                if roman(match["numeral"].upper())
                else None
            ),
        ),
    ]


class _Romans:
    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers
        words = table("words")
        self.letters = frozenset(words["acronyms"].split())
        self.regnal = frozenset(words["regnal"].split())
        self.given = frozenset(words["given"].split())
        self.rulers = frozenset(words["rulers"].split())

    def keyed(self, match: re.Match[str]) -> Reading:
        key, first = match["key"], match["first"]
        if not roman(first.upper()) or (
            first == "I"
            and not match["more"]
            and re.match(r"\s[a-z]", match.string[match.end() : match.end() + 2])
            and key not in ("World War", "Chapter", "Act", "Part", "Book")
        ):
            return None
        if (
            first.islower()
            and first
            in ("i", "mix", "mild", "dim", "did", "di", "mi", "li", "id", "vim", "mid", "c", "d", "m", "x", "l")
            and not re.match("(?:[Pp]|[Cc]hap|[Vv]ol|[Ss]ec)", key)
        ):
            return None
        if first in (
            "MIX",
            "DI",
            "MI",
            "LI",
            "CIVIL",
            "DIM",
            "MIC",
            "CD",
            "DC",
            "DVD",
            "C",
            "D",
            "M",
        ) and not key.lower().startswith(("chap", "part", "book", "vol")):
            return None
        end = match.end("more") if match["dot"] is None else match.end()
        words = f"{self._key(key)} {self._cardinal(first)}"
        for joint, numeral in re.findall(rf"\s?([-–—,&]|and|or|to|through)\s?({_ANY_ROMAN})", match["more"]):
            if not roman(numeral.upper()):
                return None
            words += {"-": " to ", "–": " to ", "—": " to ", ",": ", ", "&": " and "}.get(
                joint, f" {joint} "
            ) + self._cardinal(numeral)
        return words + (match["dot"] or ""), end

    def _key(self, key: str) -> str:
        short = {
            "pp.": "pages",
            "p.": "page",
            "vol.": "volume",
            "vols.": "volumes",
            "ch.": "chapter",
            "sec.": "section",
            "fig.": "figure",
            "art.": "article",
            "no.": "number",
            "bk.": "book",
            "ps.": "pages",
        }
        return short.get(key.lower(), key.lower() if key.isupper() and len(key) > 2 else key)

    def _cardinal(self, numeral: str) -> str:
        return self.numbers.cardinal(str(roman(numeral.upper())))

    def _ordinal(self, numeral: str) -> str:
        return self.numbers.ordinal(str(roman(numeral.upper())))

    def heading(self, match: re.Match[str]) -> Reading:
        numeral = match["numeral"] or match["alone"]
        if not roman(numeral) or numeral in ("MIX", "DI", "MI", "MD", "CD", "DC", "C", "D", "M", "L"):
            return None
        if numeral == "I" and match.start() and match["dot"]:
            return None
        return f"{self._cardinal(numeral)}{match['dot'] or ''}"

    def century(self, match: re.Match[str]) -> Reading:
        numeral, second = match["numeral"], match["second"]
        if not roman(numeral.upper()) or numeral == "i" or (second and not roman(second.upper())):
            return None
        return f"{self._ordinal(numeral)} to {self._ordinal(second)}" if second else self._ordinal(numeral)

    def named(self, match: re.Match[str]) -> Reading:
        """Read a numeral after a name: "Louis XIV" the fourteenth, "Rocky II" two."""
        name, numeral = match["name"], match["numeral"]
        value = roman(numeral)
        before = match["before"].split()
        regnal = name in self.regnal or bool(
            before and before[-1] in self.regnal and name in ("Paul", "Gustav", "Wilhelm", "Emanuel", "Carlos")
        )
        ruled = any(word in self.rulers for word in before)
        person = (
            regnal or ruled or bool(before and before[-1].rstrip(".") in self.given | self.regnal) or name in self.given
        )
        if not value or numeral in (
            "MIX",
            "DI",
            "CIVIL",
            "MI",
            "LI",
            "DIM",
            "CD",
            "DC",
            "MD",
            "MC",
            "DVD",
            "L",
            "C",
            "D",
            "M",
            "LCD",
            "MM",
            "CC",
        ):
            return None
        if name in STARTERS and not regnal:
            return None
        rest = match.string[match.end() : match.end() + 24]
        if numeral == "I" and not (
            (regnal or ruled)
            and re.match(r"[.,;:!?)]|\s(?:of|was|is|had|died|became|and|reigned|ruled|came|signed|made)\b|'s|$", rest)
        ):
            return None
        if (
            numeral in ("V", "X")
            and not (regnal or ruled)
            and not re.match(r"[.,;:!?)]|$|\s(?:is|was|came|has|will)\b", rest)
        ):
            return None
        if (
            name in ("Malcolm", "Generation", "Gen", "Mr", "Dr", "Vitamin", "Channel", "Project", "Team", "Plan")
            and len(numeral) == 1
        ):
            return None
        words = f"the {self._ordinal(numeral)}" if person else self._cardinal(numeral)
        start = match.start("name") - match.start()
        return f"{match[0][:start]}{name} {words}{match['s'] or ''}" if not before else self._with_titles(match, words)

    def _with_titles(self, match: re.Match[str], words: str) -> Reading:
        """Leave words before the name unchanged, unless they need a reading of their own."""
        before = match["before"]
        if "." in before or any(word.isupper() for word in before.split()):
            return None if not before else f"{self._plain(before)}{match['name']} {words}{match['s'] or ''}"
        return f"{before}{match['name']} {words}{match['s'] or ''}"

    def _plain(self, before: str) -> str:
        titles: dict[str, str] = table("abbreviations")["titles"]
        read = []
        for word in before.split():
            bare = word.rstrip(".")
            if bare.lower() in titles and word.endswith("."):
                read.append(titles[bare.lower()])
            elif len(bare) == 1 or (bare.isupper() and bare in self.letters):
                read.append(spelled(bare))
            else:
                read.append(word)
        return " ".join(read) + " "
