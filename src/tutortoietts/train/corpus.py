"""Sentences to speak: WordNet's examples and glosses, the World English Bible, templates and single words.

Sources are Debian packages: ``wordnet-base`` (WordNet licence) and ``sword-text-web`` (public domain, read by
``diatheke``); the templates beside this file are the project's own.
Everything is lower-case ASCII already in the form that the English cleaner gives, but for capital letters that are to
be spelled: "the F B I". Those are lowered once they have been spoken.
"""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

WORDNET = Path("/usr/share/wordnet")
TEMPLATES = Path(__file__).with_name("templates.txt")
MAX_CHARS = 160
_ALLOWED = re.compile(r"[a-zA-Z][a-zA-Z' ,;:.?!-]*")
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth twentieth".split()

_MONTHS = "january february march april may june july august september october november december".split()


def number_words(n: int) -> str:
    """Return ``n`` in 0..999999 in words, without "and" (as the cleaner writes cardinals)."""
    if n < 20:
        return _ONES[n]
    if n < 100:
        return _TENS[n // 10] + (f"-{_ONES[n % 10]}" if n % 10 else "")
    if n < 1000:
        return f"{_ONES[n // 100]} hundred" + (f" {number_words(n % 100)}" if n % 100 else "")
    head, tail = divmod(n, 1000)
    return f"{number_words(head)} thousand" + (f", {number_words(tail)}" if tail else "")


def _number(rng: random.Random) -> str:
    return number_words(rng.choice((rng.randrange(13), rng.randrange(100), rng.randrange(1000), rng.randrange(20000))))


def _year(rng: random.Random) -> str:
    century, rest = rng.choice((17, 18, 19, 19, 20)), rng.randrange(10, 100)
    return f"{number_words(century)} {number_words(rest)}"


def _letter(rng: random.Random) -> str:
    return chr(ord("A") + rng.randrange(26))


def _letters(rng: random.Random) -> str:
    return " ".join(_letter(rng) for _ in range(rng.choice((2, 3, 3, 3, 4))))


def _spelled(rng: random.Random) -> str:
    return ", ".join(_letter(rng) for _ in range(rng.randrange(3, 8)))


def _digits(rng: random.Random) -> str:
    return ", ".join(" ".join(rng.choice(_ONES[:10]) for _ in range(size)) for size in rng.choice(((3, 4), (3, 3, 4))))


_DRAWN: dict[str, Callable[[random.Random], str]] = {
    "n": _number,
    "nth": lambda rng: rng.choice(_ORDINALS),
    "month": lambda rng: rng.choice(_MONTHS),
    "year": _year,
    "letter": _letter,
    "letters": _letters,
    "spelled": _spelled,
    "digits": _digits,
}


def read_templates(path: Path = TEMPLATES) -> dict[str, list[str]]:
    """Return the word lists of a template file by name; the sentences are under ``templates``."""
    lists: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if line.startswith("["):
            entries = lists.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            entries += [entry for entry in line.split("|") if entry]
    return lists


def template_sentence(rng: random.Random, lists: dict[str, list[str]], name: str = "templates") -> str:
    """Return one sentence of the project's own templates: of the list ``name``."""

    def fill(match: re.Match[str]) -> str:
        drawn = _DRAWN.get(match[1])
        return drawn(rng) if drawn else rng.choice(lists[match[1]])

    return re.sub(r"\{(\w+)\}", fill, rng.choice(lists[name]))


def _tidy(text: str, rng: random.Random) -> str | None:
    """Drop what is not plain text, cut long text at a word, end in punctuation; None if unusable."""
    text = re.sub(r"\([^)]*\)|[\"`]|--", " ", text)
    text = re.sub(r"\s+", " ", text).strip(" ,;:-'")
    if len(text) > MAX_CHARS:
        cut = max(text.rfind(mark, 20, MAX_CHARS) for mark in ",;:.")
        cut = cut if cut > 0 else text.rfind(" ", 20, rng.randrange(60, MAX_CHARS))
        text = text[:cut].rstrip(" ,;:-") if cut > 0 else ""
    if not _ALLOWED.fullmatch(text):
        return None
    return (
        text if text[-1] in ".?!" else text.rstrip(",;:-' ") + rng.choice("......?!"[: 6 if rng.random() < 0.93 else 8])
    )


def wordnet_texts() -> tuple[list[str], list[str]]:
    """Return (examples, glosses) as WordNet prints them."""
    examples: list[str] = []
    glosses: list[str] = []
    for part in ("noun", "verb", "adj", "adv"):
        for line in (WORDNET / f"data.{part}").read_text(encoding="latin-1").splitlines():
            _, bar, gloss = line.partition("| ")
            if bar and not line.startswith("  "):
                examples += re.findall(r'"([^"]+)"', gloss)
                glosses += re.sub(r'"[^"]*"', "", gloss).split(";")
    return examples, glosses


def common_words(limit: int = 12000) -> list[str]:
    """Single words that WordNet's sense counts call common, most common first."""
    counts: dict[str, int] = {}
    for line in (WORDNET / "cntlist.rev").read_text().splitlines():
        key, _, count = line.split()
        word = key.split("%")[0]
        if word.isalpha() and word.isascii():
            counts[word] = counts.get(word, 0) + int(count)
    return sorted(counts, key=lambda w: -counts[w])[:limit]


def bible_sentences() -> list[str]:
    """Return clauses of the World English Bible."""
    listing = subprocess.run(
        ["diatheke", "-b", "system", "-k", "modulelist"], capture_output=True, text=True, check=True
    ).stdout
    module = next(line.split(" :")[0] for line in listing.splitlines() if "World English Bible" in line)
    text = subprocess.run(
        ["diatheke", "-b", module, "-k", "Gen-Rev"], capture_output=True, text=True, check=True
    ).stdout
    text = re.sub(r"<[^>]*>", "", text)
    text = re.sub("[\u201c\u201d]", '"', re.sub("[\u2018\u2019]", "'", text)).replace("\u2014", ", ")
    verses = re.sub(r"(?m)^[\w ]+ \d+:\d+: ", "", text)
    return [s for s in re.split(r"(?<=[.?!;])\s+", verses.replace("\n", " ")) if 8 < len(s)]


class Corpus:
    """A mixture of all sources without the ``excluded`` sentences."""

    def __init__(self, excluded: list[str]) -> None:
        self._excluded = {self._key(text) for text in excluded}
        self._examples, self._glosses = wordnet_texts()
        self._bible = bible_sentences()
        self._words = common_words()
        self._templates = read_templates()

    @staticmethod
    def _key(text: str) -> str:
        return re.sub(r"[^a-z ]", "", text.lower().replace("-", " "))

    def _raw(self, rng: random.Random) -> str:
        pick = rng.random()
        if pick < 0.34:
            return rng.choice(self._examples).lower()
        if pick < 0.49:
            return rng.choice(self._bible).lower()
        if pick < 0.58:
            return rng.choice(self._glosses).lower()
        if pick < 0.74:
            return template_sentence(rng, self._templates)
        if pick < 0.94:
            return template_sentence(rng, self._templates, "more")
        count = rng.choice((1, 1, 2, 3, 4, 6))
        return rng.choice((", ", " ")).join(
            self._words[int(len(self._words) * rng.random() ** 2)] for _ in range(count)
        )

    def _single(self, rng: random.Random) -> Iterator[str]:
        while True:
            text = _tidy(self._raw(rng), rng)
            if text and self._key(text) not in self._excluded:
                yield text

    def sentences(self, seed: int) -> Iterator[str]:
        """Endless lines of one or two sentences, at most MAX_CHARS characters, the same for the same seed."""
        rng = random.Random(seed)
        sentences = self._single(rng)
        for first in sentences:
            if len(first) < MAX_CHARS // 2 and rng.random() < 0.35:
                second = next(sentences)
                yield f"{first} {second}" if len(first) + len(second) < MAX_CHARS else second
            else:
                yield first
