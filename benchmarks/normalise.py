"""How often what is spoken is right: our normaliser beside two that a user would pick, on the same lines.

python benchmarks/normalise.py [--rival NAME=PYTHON]...

The lines are `tests/text/spoken_en.tsv`: a text and every reading of it that is right. Only what is heard counts: not
case, not marks, not hyphens. A rival runs in the Python that has its package: `nemo` (nemo-text-processing) and
`wetext` (WeTextProcessing); without --rival, in this one, and it is left out where the package is missing. Both leave
acronyms to a later part of their pipelines, so the row "letters forgiven" counts "fbi" as "f b i". The lines and their
readings come from the authors of our normaliser, who had them before them while they wrote it: rivals had not.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "text"))

from spoken import Line, lines, words

_DRIVERS = {
    "nemo": """
from nemo_text_processing.text_normalization.normalize import Normalizer
normalizer = Normalizer(input_case="cased", lang="en")
read = lambda text: normalizer.normalize(text, verbose=False, punct_post_process=True)
""",
    "wetext": """
from tn.english.normalizer import Normalizer
normalizer = Normalizer(overwrite_cache=False)
read = normalizer.normalize
""",
}
_LOOP = """
import json, sys
texts = json.load(sys.stdin)
results = []
for text in texts:
    try:
        results.append(read(text))
    except Exception as error:
        results.append(f"failed: {type(error).__name__}")
print("\\n@@" + json.dumps(results))
"""


def rival(name: str, python: str, texts: list[str]) -> list[str] | None:
    """Read every text with a rival; None where its package is missing."""
    done = subprocess.run(
        [python, "-c", _DRIVERS[name] + _LOOP], input=json.dumps(texts), capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(f"{name} left out: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return list(json.loads(done.stdout.rpartition("\n@@")[2]))


def ours(found: list[Line]) -> list[str]:
    from tutortoietts.text.natural import normalize

    return [normalize(line.text, line.language).text for line in found]


def right(line: Line, said: str, *, forgiving: bool = False) -> bool:
    """Whether what was said is one of the right readings."""
    heard, readings = words(said), [words(reading) for reading in line.spoken]
    if forgiving:
        heard, readings = _joined(heard), [_joined(reading) for reading in readings]
    return heard in readings


def _joined(text: str) -> str:
    """Single letters in a row as one word: "f b i" and "fbi" are equal."""
    return re.sub(r"(?<=\b\w) (?=\w(?:'s)?\b)", "", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rival", action="append", default=[], metavar="NAME=PYTHON", help="a rival and its Python")
    parser.add_argument("--show", metavar="NAME", help="print the lines that this one reads wrongly")
    options = parser.parse_args()
    found = lines()
    texts = [line.text for line in found]
    pythons = dict(given.split("=", 1) for given in options.rival) or dict.fromkeys(_DRIVERS, sys.executable)
    said = {"ours": ours(found)}
    for name, python in pythons.items():
        if (results := rival(name, python, texts)) is not None:
            said[name] = results
    table: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(said, 0))
    totals = {name: sum(map(right, found, results)) for name, results in said.items()}
    forgiven = {
        name: sum(right(line, text, forgiving=True) for line, text in zip(found, results, strict=True))
        for name, results in said.items()
    }
    for name, results in said.items():
        for line, text in zip(found, results, strict=True):
            table[line.kind][name] += right(line, text)
            if options.show == name and not right(line, text):
                print(f"{line.kind}: {line.text!r}\n  heard {words(text)}\n  right {words(line.spoken[0])}")
    print(f"{'kind':<14}{'lines':>6}" + "".join(f"{name:>9}" for name in said))
    for kind, row in table.items():
        print(f"{kind:<14}{sum(line.kind == kind for line in found):>6}" + "".join(f"{row[name]:>9}" for name in said))
    print(f"{'all':<14}{len(found):>6}" + "".join(f"{totals[name]:>9}" for name in said))
    print(f"{'letters forgiven':<20}" + "".join(f"{forgiven[name]:>9}" for name in said))
    print(json.dumps({"lines": len(found), "right": totals, "letters_forgiven": forgiven}))


if __name__ == "__main__":
    main()
