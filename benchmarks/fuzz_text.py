"""Hostile texts through the normaliser, the splitter and the tokenizer of the bundled model.

python benchmarks/fuzz_text.py [--seed 0] [--count 6000] [--xtts vocab.json [--cases xtts_cases.json]]

Only the errors of `core/errors.py` may be raised, no text may take over ten seconds, no digit is left in the spoken
form, and every passage has something to say and is short enough. With --xtts the texts go through the 17 languages of
XTTS-v2 and its vocabulary, by turns in spoken words and left to the cleaner; in spoken words no letter may be lost on
the way to the tokens. --cases: each of these texts goes through every language, both ways, before the random ones.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from tutortoietts.core.errors import TutortoieError
from tutortoietts.text.brackets import Passage
from tutortoietts.text.natural import normalize
from tutortoietts.text.normalize import is_sayable
from tutortoietts.text.say_as import spoken_passages
from tutortoietts.text.tokenizer import Tokenizer
from tutortoietts.text.xtts.tables import LANGUAGES
from tutortoietts.text.xtts.tokenizer import XttsTokenizer

TOKENIZER = Path(__file__).resolve().parents[1] / "src" / "tutortoietts" / "bundled" / "tokenizer.json"
_PIECES = (
    "1/2 3.14 $5 $1,234.56 £3.50 27,50€ 9:30PM 00:00 2024-01-05 01/05/2024 31.12.2024 555-123-4567 +44 20 "
    "v2.0.1 192.168.0.1 -5 10-20 Henry VIII Chapter IV XIV I II Dr. St. Mr. Mrs. No. etc. e.g. i.e. U.S.A. J. "
    'R. R. Ph.D. a.m. p.m. 5kg 20°C 6\'2" 12" km/h m/s² https://x.com/a?b=c a@b.co @me #tag C:\\x\\y '
    "/usr/bin file_name.txt **bold** *it* `code` [link](http://a.b) [hidden] [laughs] <b> </b> <br/> <script> "
    "&amp; &#x27; &#0; &#1114112; &foo; 😂 ♥ π ½ ² → ≠ — – … ... !!! ?! \" ' “ ” « » ( ) [ ] { } | \\ / ^ ~ = "
    "+ FBI NASA USA's MP3 iPhone14 COVID-19 F-16 StyleTTS2 1980s '90s 007 1st 22nd 1e6 10^2 H₂O ① Ⅷ ﬁ ｆｕ あ 漢字 "
    "عربى हिन्दी ไทย 한국어 ٣٤ \u200b \xad \ufeff \x00 \x1b[31m \ud800 \ue000 \u202e á̂̃ | --- *** ``` > # - 1. "
    "a) the and or cat Hello world. 99999999999999999999 0000 1,2,3 1.2.3.4.5.6 1:2:3:4 1-2-3-4 1/2/3/4 ,,, "
    "... ;;; \t \n \n\n \r\n"
).split(" ")
_RUNS = "0123456789.,;:-–—/\\'\"()[]{}<>&$€£%#@*_~^|=+ aAiIvVxX\n"


def hostile_texts(seed: int, count: int) -> Iterator[str]:
    """Yield `count` texts that break normalisers: fragments of every kind, long runs, random characters."""
    draw = random.Random(seed)
    for number in range(count):
        kind = number % 6
        if kind == 0:
            yield draw.choice(["", " "]).join(draw.choice(_PIECES) for _ in range(draw.randint(1, 40)))
        elif kind == 1:
            yield "".join(draw.choice(_RUNS) for _ in range(draw.randint(1, 200)))
        elif kind == 2:
            yield "".join(
                chr(draw.choice([draw.randrange(0x250), draw.randrange(0x3000), draw.randrange(0x110000)]))
                for _ in range(60)
            )
        elif kind == 3:
            yield draw.choice(_PIECES + list(_RUNS)) * draw.randint(1, 400)
        elif kind == 4:
            yield (draw.choice(_PIECES) + draw.choice(_RUNS)) * draw.randint(1, 300) + " end"
        else:
            yield " ".join(draw.choice(_PIECES) + draw.choice(_RUNS) for _ in range(draw.randint(1, 200)))


def check(text: str, tokenizer: Tokenizer, language: str, spoken: bool = True) -> str | None:
    """Return what is wrong with what is made of a text, or None. spoken False: the text is left to the cleaner."""
    begun = time.perf_counter()
    try:
        words = normalize(text, language).text if spoken else ""
        parts = spoken_passages(
            text,
            language=language,
            normalize=spoken,
            redaction=False,
            desired_length=80,
            max_length=120,
            count=tokenizer.count,
            limit=121,
        )
        longest = max(tokenizer.count(*(piece for piece, _ in part.pieces())) for part in parts)
    except TutortoieError:
        return None
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if any(char.isascii() and char.isdigit() for char in words):
        return f"a digit is left in {words[:80]!r}"
    if not all(is_sayable(part.text) for part in parts):
        return "a passage has nothing to say"
    if isinstance(tokenizer, XttsTokenizer) and spoken and (lost := lost_letters(parts, tokenizer)):
        return f"lost {lost[:40]!r}"
    if longest > 120:
        return f"a passage has {longest} tokens"
    if (seconds := time.perf_counter() - begun) > 10:
        return f"{seconds:.1f} s"
    return None


def lost_letters(parts: Sequence[Passage], tokenizer: Tokenizer) -> str:
    """Return the letters of passages, as cleaned, that their tokens lack."""
    lost = ""
    for part in parts:
        cleaned = tokenizer.clean(part.text)
        left = Counter(tokenizer.decode(tokenizer.ids(cleaned)))
        lost += "".join(char for char in (Counter(cleaned) - left).elements() if char.isalpha())
    return lost


def case_texts(path: Path) -> list[str]:
    """Return the texts of a file of recorded cases."""
    return [case["text"] for case in json.loads(path.read_text(encoding="utf-8"))["tokenizer"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--xtts", type=Path, help="vocab.json of an XTTS-v2 release")
    parser.add_argument("--cases", type=Path, help="recorded cases, each of which goes through every language")
    options = parser.parse_args()
    if options.cases is not None and options.xtts is None:
        parser.error("--cases needs --xtts")
    ways: list[tuple[Tokenizer, str, bool]] = []
    if options.xtts is None:
        tokenizer = Tokenizer(TOKENIZER, unknown="drop")
        ways = [(tokenizer, language, True) for language in ("en", "en-US", "en-GB")]
    else:
        ways = [
            (XttsTokenizer(options.xtts, language, spoken=spoken), language, spoken)
            for spoken in (True, False)
            for language in LANGUAGES
        ]
    begun, slowest, wrong = time.perf_counter(), 0.0, 0
    cases = [] if options.cases is None else [(text, way) for text in case_texts(options.cases) for way in ways]
    random_texts = ((text, ways[i % len(ways)]) for i, text in enumerate(hostile_texts(options.seed, options.count)))
    for number, (text, way) in enumerate(chain(cases, random_texts)):
        before = time.perf_counter()
        fault = check(text, *way)
        slowest = max(slowest, time.perf_counter() - before)
        if fault:
            wrong += 1
            print(f"text {number} ({way[1]}): {fault}: {text[:100]!r}", file=sys.stderr)
    seconds = round(time.perf_counter() - begun, 1)
    print(
        json.dumps(
            {
                "cases": len(cases),
                "texts": options.count,
                "wrong": wrong,
                "seconds": seconds,
                "slowest": round(slowest, 2),
            }
        )
    )
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
