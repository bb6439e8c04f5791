"""Letters: initials, acronyms, words in capitals, letters with digits."""

from __future__ import annotations

import re

from tutortoietts.text.languages import Reading, Rule
from tutortoietts.text.languages.english.addresses import word_parts
from tutortoietts.text.languages.english.words import Numbers, roman, spelled, table

__all__ = ["STARTERS", "ends_sentence", "rules"]

STARTERS = frozenset(table("words")["starters"].split())
_AHEAD = re.compile(r"[\"')\]]*\s+[\"'(\[]*([A-Za-z']+)")

_DOTTED = re.compile(r"(?<![\w.])(?P<letters>(?:[A-Za-z]\.){2,8}(?:[A-Z](?![\w.]))?)(?P<s>'s|s\b)?(?!\w)")
_SPACED_INITIALS = re.compile(r"(?<![\w.'])(?P<letters>[A-Z]\.(?:[ -][A-Z]\.){1,12})(?!\w)")
_INITIAL = re.compile(r"(?<![\w.'])(?P<letter>[A-Z])\.(?=\s(?:[A-Z][a-z'’]|(?:de|van|von|du|le|la)\s))")
_SINGLE_SPACED = re.compile(r"(?<![\w.'])(?:[A-Z] ){2,20}[A-Z](?![\w'])")

_CONTRACTION = re.compile(r"(?<![\w'])(?P<word>[A-Z]{1,12})'(?P<rest>[A-Z]{1,12})(?![\w'])")
_CAPS = re.compile(
    r"(?<![\w&'])(?P<word>[A-Z][A-Z&]{0,14}[A-Z])(?P<s>'s|s'|s)?(?![\w]|&\w)(?:/(?P<second>[A-Z]{2,6})(?!\w))?"
)
_MIXED = re.compile(
    r"(?<![\w'])(?=[A-Za-z0-9-]{0,40}[A-Za-z])(?=[A-Za-z-]{0,40}[0-9]|[A-Za-z0-9-]{0,40}[0-9][A-Za-z0-9-]{0,10}|[A-Za-z]{0,20}[a-z][A-Z]{2}|[A-Z]{2,10}[a-z]|[A-Za-z]{0,20}[a-z][A-Z](?![\w]))"
    r"[A-Za-z0-9]{1,40}(?:-[A-Za-z0-9]{1,40}){0,6}(?P<s>'s)?(?![\w])"
)
_HYPHENED = re.compile(r"(?<![\w'])[A-Za-z0-9]{1,40}(?:-[A-Za-z0-9]{1,40}){1,6}(?!\w)")
_SPAN = re.compile(r"(?<![\w-])(?P<a>[A-Z])[-–](?P<b>[A-Z])(?![\w-])")
_AMPERSAND = re.compile(r"\s?&\s?(?=\w)|&")
_GRADE = re.compile(r"\b(?P<letter>[A-F])(?P<sign>[+-−])(?![\w\d+-])(?=[\s.,;:!?)\"']|$)")
_SHARP = re.compile(r"(?<!\w)(?P<letter>[A-Ga-gFJ])(?P<sign>#|♯|♭)(?!\w)")
_PLUSES = re.compile(r"(?<!\w)(?P<word>[A-Za-z]{1,12})(?P<sign>\+{1,2})(?![\w+])")


def ends_sentence(string: str, end: int) -> bool:
    """Return whether the dot before `end`, of an abbreviation, also ends a sentence: nothing or a new one follows."""
    if not string[end : end + 12].strip(" \"')]\ue000\n"):
        return not string[end + 12 : end + 13].strip()
    ahead = _AHEAD.match(string, end, end + 60)
    return bool(ahead and ahead[1] in STARTERS)


def rules(numbers: Numbers) -> list[Rule]:
    """Return the rules for letters."""
    reader = _Letters(numbers)
    return [
        Rule(_DOTTED, reader.dotted),
        Rule(_SPACED_INITIALS, reader.spaced),
        Rule(_INITIAL, reader.initial),
        Rule(_SINGLE_SPACED, lambda match: match[0].lower() if " I " not in match[0] else None),
        Rule(_SHARP, lambda match: f"{match['letter'].lower()} {'flat' if match['sign'] == '♭' else 'sharp'}"),
        Rule(_PLUSES, reader.pluses),
        Rule(_GRADE, reader.grade),
        Rule(_MIXED, reader.mixed),
        Rule(_CONTRACTION, reader.contraction),
        Rule(_CAPS, reader.capitals),
        Rule(_HYPHENED, reader.hyphened),
        Rule(_SPAN, lambda match: f"{match['a'].lower()} to {match['b'].lower()}"),
        Rule(_AMPERSAND, lambda match: " and "),
    ]


class _Letters:
    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers
        words = table("words")
        self.acronym_words: dict[str, str] = words["acronym_words"]
        self.letters = frozenset(words["acronyms"].split())
        self.common = frozenset(words["common"].split())
        self.given = frozenset(words["given"].split())

    def dotted(self, match: re.Match[str]) -> Reading:
        letters = match["letters"].replace(".", "")
        known: dict[str, str] = table("abbreviations")["dotted"]
        lower = letters.lower()
        end = match.end()
        stop = "." if match["letters"].endswith(".") and not match["s"] and ends_sentence(match.string, end) else ""
        if lower in known:
            return f"{known[lower]}{stop}"
        return f"{spelled(letters)}{self._plural(match['s'])}{stop}"

    @staticmethod
    def _plural(ending: str | None) -> str:
        return "'s" if ending else ""

    def spaced(self, match: re.Match[str]) -> Reading:
        letters = re.findall("[A-Z]", match["letters"])
        stop = "." if ends_sentence(match.string, match.end()) else ""
        return f"{' '.join(letters).lower()}{stop}"

    def initial(self, match: re.Match[str]) -> Reading:
        """Read one initial: only between or before names, "James T. Kirk", not "Vitamin C. The ..."."""
        following = _AHEAD.match(match.string, match.end(), match.end() + 60)
        word = following[1] if following else ""
        if word in STARTERS and word not in self.given:
            return None
        before = match.string[max(0, match.start() - 40) : match.start()]
        name = re.search(r"(?:^|[^\w])([A-Z][\w'’-]*)\.?\s$", before)
        if name and name[1] in (
            "Plan",
            "Vitamin",
            "Hepatitis",
            "Group",
            "Team",
            "Section",
            "Type",
            "Grade",
            "Option",
            "Part",
            "Room",
            "Appendix",
            "Class",
            "Exhibit",
        ):
            return None
        if match["letter"] == "I" and not (name and name[1] in self.given):
            return None
        if not name and re.search(r"[a-z]\s$", before) and word not in self.given and match["letter"] in "AI":
            return None
        return match["letter"].lower()

    def pluses(self, match: re.Match[str]) -> Reading:
        word, sign = match["word"], match["sign"]
        if len(sign) == 1 and not (
            len(word) == 1
            or word.isupper()
            or re.match(r"\s?$|[\s.,;:!?)]", match.string[match.end() : match.end() + 1])
        ):
            return None
        if (
            len(sign) == 1
            and re.match(r"\s[\w(]", match.string[match.end() : match.end() + 2])
            and len(word) == 1
            and word.islower()
        ):
            return None
        word = spelled(word) if word.isupper() and word not in self.acronym_words else word
        return f"{word}{' plus' * len(sign)}"

    def grade(self, match: re.Match[str]) -> Reading:
        if match["sign"] not in "+-−":
            return None
        return f"{match['letter'].lower()} {'plus' if match['sign'] == '+' else 'minus'}"

    def contraction(self, match: re.Match[str]) -> Reading:
        """Read "DON'T" and "I'M" as words, "FBI'S" as letters."""
        word, rest = match["word"], match["rest"]
        letters = rest == "S" and (word in self.letters or word in self.acronym_words)
        return f"{self.read_capitals(word, match) if letters else word.lower()}'{rest.lower()}"

    def capitals(self, match: re.Match[str]) -> Reading:
        """Read a word in capitals: letters, or a word that somebody shouts."""
        word, ending = match["word"], match["s"]
        if "&" in word:
            words = " and ".join(spelled(part) if len(part) < 4 else part.lower() for part in word.split("&") if part)
            return f"{words}{self._plural(ending)}"
        words = self.read_capitals(word, match)
        if ending:
            words += self._plural(ending) if " " in words or ending == "'s" else "s"
        if match["second"]:
            second = self.read_capitals(match["second"], match)
            words += f" {second}"
        return words

    def read_capitals(self, word: str, match: re.Match[str]) -> str:
        if word in self.acronym_words:
            return self.acronym_words[word]
        if word in ("IT", "US", "WHO", "AM", "PM"):
            return self._doubtful(word, match)
        if word in self.letters:
            return spelled(word)
        if word in self.common:
            return word.lower()
        if (
            roman(word) > 1
            and set(word) <= set("IVX")
            and re.search(r"\b[Tt]he\s$", match.string[max(0, match.start() - 4) : match.start()])
        ):
            return self.numbers.ordinal(str(roman(word)))
        vowels = sum(char in "AEIOUY" for char in word)
        if roman(word) and word not in ("MIX", "DIM") and vowels < len(word) and set(word) <= set("IVX"):
            return (
                self.numbers.cardinal(str(roman(word)))
                if re.search(r"[A-Z][a-z]+\s$", match.string[max(0, match.start() - 20) : match.start()])
                else spelled(word)
            )
        if vowels and (len(word) >= 6 or self._shouted(match)):
            return word.lower()
        if len(word) <= 5 or not vowels:
            return spelled(word)
        return word.lower()

    def _doubtful(self, word: str, match: re.Match[str]) -> str:
        """Read a word that may also be letters: IT, US, WHO."""
        after = match.string[match.end() : match.end() + 20]
        before = match.string[max(0, match.start() - 12) : match.start()]
        if word == "IT":
            told = re.match(
                r"\s(?:department|team|support|manager|staff|guy|industry|sector|services?|specialist|consultant|system)",
                after,
            )
            return "i t" if told or re.search(r"\b(?:in|an|our)\s$", before) else "it"
        if word == "AM" and before.endswith("I "):
            return "am"
        if self._shouted(match):
            return word.lower() if word not in ("AM", "PM") else spelled(word)
        return spelled(word)

    def _shouted(self, match: re.Match[str]) -> bool:
        """Return whether a neighbour is a word in capitals too (and no acronym)."""
        before = re.search(r"([A-Z'’]+)[,;:!?]?\s$", match.string[max(0, match.start() - 20) : match.start()])
        after = re.match(r"[,;:!?]?\s([A-Z'’]+)\b(?![a-z])", match.string[match.end() : match.end() + 20])
        for found in (before, after):
            if found and len(found[1]) > 1 and found[1] not in self.letters and found[1] not in self.acronym_words:
                return True
        for found in (before, after):
            if found and found[1] in ("I", "A"):
                longer = re.search(
                    r"\b[A-Z]{2,}\b",
                    match.string[max(0, match.start() - 40) : match.end() + 40].replace(match["word"], ""),
                )
                return bool(longer)
        return False

    def mixed(self, match: re.Match[str]) -> Reading:
        """Read letters with digits or capitals inside: "MP3", "iPhone14", "F-16", "ChatGPT", "StyleTTS2-LibriTTS"."""
        ending = match["s"] or ""
        written = match[0][: len(match[0]) - len(ending)] if ending else match[0]
        if written in self.acronym_words:
            return self.acronym_words[written] + ending
        special: dict[str, str] = table("words")["mixed"]
        if written in special:
            return special[written] + ending
        if not any(map(str.isdigit, written)):
            words = " ".join(filter(None, map(self._camel, written.split("-"))))
            return None if words == written else words + ending
        if re.fullmatch(r"[0-9]+(?:st|nd|rd|th)(?:-[a-z-]+)?", written):
            head, _, tail = written.partition("-")
            return f"{self.numbers.ordinal(head[:-2])}{' ' + tail if tail else ''}{ending}"
        if re.fullmatch(r"[0-9]{1,6}(?:-[a-z]{2,})+", written):
            head, _, tail = written.partition("-")
            return f"{self.numbers.year(head) if len(head) == 4 else self.numbers.number(head)} {tail}{ending}"
        if re.fullmatch(r"(?:mid|pre|post|early|late)-[0-9]{4}s?", written):
            head, _, tail = written.partition("-")
            return f"{head} ", match.start() + len(head) + 1
        if re.fullmatch(r"[0-9]+", written):
            return None
        series = re.fullmatch(r"([A-Za-z])[0-9]{1,4}-\1[0-9]{1,4}", written)
        words = (" to " if series else " ").join(
            filter(None, (self._alphanumeric(part) for part in written.split("-")))
        )
        return words + ending

    def _camel(self, part: str) -> str:
        """Read "LibriTTS" as "libri t t s"; leave "McDonald", "YouTube"."""
        pieces = word_parts(part)
        if not any(len(piece) > 1 and piece.isupper() for piece in pieces) and not (
            len(pieces) > 1 and pieces[-1].isupper()
        ):
            return part
        if re.fullmatch(r"[A-Z]{2,}s", part):
            return f"{spelled(part[:-1])}'s"
        if re.fullmatch(r"[a-z][A-Z]{2,}", part):
            return f"{part[0]} {spelled(part[1:])}"
        if pieces == ["Ph", "D"]:
            return "p h d"
        return " ".join(self.acronym_words.get(p) or (spelled(p) if p.isupper() else p) for p in pieces)

    def _alphanumeric(self, part: str) -> str:
        words: list[str] = []
        for piece in re.findall(r"[0-9]+|[A-Za-z]+", part):
            if piece.isdigit():
                leading = piece.startswith("0") and len(piece) > 1
                words.append(self.numbers.digits(piece) if leading or len(piece) > 4 else self.numbers.pairs(piece))
            elif len(piece) > 1 and piece.isupper():
                words.append(
                    self.acronym_words.get(piece)
                    or (piece.lower() if piece in self.common and len(piece) > 3 else spelled(piece))
                )
            elif any(map(str.isupper, piece[1:])):
                words.append(self._camel(piece))
            else:
                words.append(piece.lower() if len(piece) == 1 else piece)
        return " ".join(words)

    def hyphened(self, match: re.Match[str]) -> Reading:
        """Read acronyms in compounds: "US-based", "FBI-led", "ex-CEO"."""
        parts = match[0].split("-")
        if not any(len(part) > 1 and part.isupper() for part in parts) or (
            all(part.isupper() for part in parts) and len(parts) > 1 and all(part in self.common for part in parts)
        ):
            if any(part.isupper() and len(part) > 1 for part in parts):
                return match[0].lower()
            return None
        words = []
        for part in parts:
            if len(part) > 1 and part.isupper() and part.isalpha():
                known = self.acronym_words.get(part)
                words.append(
                    known
                    or (
                        part.lower()
                        if (part in self.common and part not in ("US", "IT"))
                        or (len(part) > 5 and any(c in "AEIOU" for c in part))
                        else spelled(part)
                    )
                )
            elif part.isdigit():
                words.append(self.numbers.number(part))
            else:
                words.append(part)
        return " ".join(words)
