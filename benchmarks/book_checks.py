"""How well wrong words are found without a recogniser: false alarms on right readings, finds of provoked errors.

    python benchmarks/book_checks.py [--sentences 200] [--voices owen joe clara] [--model DIR] [--write]

Each sentence is spoken as it is, and with one word left out, swapped with its neighbour, or doubled; all four are
judged as readings of the right text, by their codes. Prints the distributions of the measures (loss of the codes under
the text, seconds a character), the limit that gives at most 2 % false alarms, and the share found with it.

A text with a doubled word is often read with the word once, which is no error of the reading: where pocketsphinx is
installed, it decides between the two texts for doubled readings that are not found, and, to show how far it can be
trusted, for some that are, and for right ones.

`--write` keeps limits and paces for this model in the package (engine/calibration.json): run it once for every new
model, about three minutes on two cores. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutortoietts.api import TextToSpeech
from tutortoietts.audio.io import pcm16, resample
from tutortoietts.book.engine import EngineSpeaker
from tutortoietts.engine.check import CALIBRATION, worst_loss
from tutortoietts.engine.pipeline import DrawnPassage, Pipeline
from tutortoietts.engine.words import alignments
from tutortoietts.text.natural import normalize

KINDS = ("right", "dropped", "swapped", "doubled")
FALSE_ALARMS = 0.02
TEXTS = Path(__file__).parent


@dataclass
class Read:
    """A reading of `said`, judged as one of `text`: its loss, its pace, and what makes it sound."""

    loss: float
    seconds: float
    pipeline: Pipeline
    drawn: DrawnPassage
    text: str
    said: str


def changed(text: str, kind: str, choice: random.Random) -> str:
    """The sentence with one word wrong."""
    words = text.split()
    if kind == "right" or len(words) < 4:
        return text
    i = choice.randrange(1, len(words) - 2)
    if kind == "dropped":
        del words[i]
    elif kind == "swapped":
        words[i], words[i + 1] = words[i + 1], words[i]
    else:
        words.insert(i, words[i])
    return " ".join(words)


def reading(speaker: EngineSpeaker, text: str, said: str, voice: str, seed: int) -> Read:
    """Draw the codes of `said` and align them with `text`."""
    spoken, right = (speaker._pipeline(words, voice, seed, "en") for words in (said, text))
    spoken.load()
    drawn = spoken.draw(0)
    codes = drawn.candidates[0].codes
    ids, encoded = codes.ids[:1, : int(codes.lengths[0])], right.encode(0)
    (alignment,) = alignments(right, [(encoded, ids)])
    seconds = ids.shape[1] * right.family.code_seconds / len(text)
    return Read(worst_loss(alignment.losses), seconds, right, drawn, text, said)


def sentences(count: int) -> list[str]:
    """Up to `count` sentences of 20 to 90 characters, in spoken form."""
    lines = [
        line for path in sorted(TEXTS.glob("sentences_*.txt")) for line in path.read_text(encoding="utf-8").splitlines()
    ]
    spoken = [normalize(re.sub(r"^\S+\t", "", line)).text for line in lines if line.strip()]
    return [text for text in dict.fromkeys(spoken) if 20 <= len(text) <= 90][:count]


def heard_as_said(reads: Sequence[Read], others: Sequence[str] = ()) -> tuple[int, int]:
    """(readings in which pocketsphinx hears `said` rather than the other text, readings that it could decide).

    others: the other texts, `text` of each reading if there are none.
    """
    try:
        import pocketsphinx
    except ImportError:
        return 0, 0
    decoder = pocketsphinx.Decoder(samprate=16000, lm=None, loglevel="FATAL")
    yes = decided = 0
    for read, other in zip(reads, others or [read.text for read in reads], strict=True):
        texts = [re.sub(r"[^a-z' ]", "", text.lower().replace("-", " ")) for text in (read.said, other)]
        if any(decoder.lookup_word(word) is None for word in texts[0].split()):
            continue
        samples = read.pipeline.render(read.drawn, read.drawn.candidates[0]).samples.flatten()
        decoder.add_jsgf_string("texts", f"#JSGF V1.0; grammar g; public <g> = {texts[0]} | {texts[1]};")
        decoder.activate_search("texts")
        decoder.start_utt()
        decoder.process_raw(pcm16(resample(samples, read.pipeline.family.sample_rate, 16000)), full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        if found is not None and " ".join(found.hypstr.split()) in texts:
            decided, yes = decided + 1, yes + (" ".join(found.hypstr.split()) == texts[0])
    return yes, decided


def say_hidden(found: dict[str, list[Read]], limit: float, choice: random.Random) -> dict[str, Any]:
    """Print whether doubled words that were not found are heard twice at all."""
    flagged = [read.loss > limit for read in found["doubled"]]
    missed = [read for read, hit in zip(found["doubled"], flagged, strict=True) if not hit]
    control = [read for read, hit in zip(found["doubled"], flagged, strict=True) if hit][:40]
    right = found["right"][:40]
    doubles = [changed(read.text, "doubled", choice) for read in right]
    twice, decided = heard_as_said(missed)
    sure = heard_as_said(control), heard_as_said(right, doubles)
    share = sum(flagged) / max(1, sum(flagged) + round(len(missed) * twice / max(1, decided)))
    print(
        f"doubled  {len(missed)} not found; pocketsphinx hears the word twice in {twice} of {decided} of them, in "
        f"{sure[0][0]} of {sure[0][1]} that were found; right ones are heard right in {sure[1][0]} of {sure[1][1]}"
    )
    print(f"doubled  found of those that are heard twice: about {share:.1%}")
    return {"missed": len(missed), "missed_heard_twice": [twice, decided], "found_heard_twice": sure[0],
            "right_heard_right": sure[1], "found_of_heard_twice": round(share, 4)}  # fmt: skip


def loss_limit(right: Sequence[Read]) -> float:
    """The loss that at most `FALSE_ALARMS` of right readings exceed."""
    losses = sorted(read.loss for read in right)
    return losses[min(len(losses) - 1, int((1 - FALSE_ALARMS) * len(losses)))]


def report(found: dict[str, list[Read]], voices: dict[str, list[float]]) -> dict[str, Any]:
    """Print the tables and return them as values."""
    limit = loss_limit(found["right"])
    values: dict[str, Any] = {
        "sentences": len(found["right"]), "loss_limit": round(limit, 3), "found": {}, "pace": {},
    }  # fmt: skip
    for kind, reads in found.items():
        losses = sorted(read.loss for read in reads)
        share = sum(read.loss > limit for read in reads) / len(reads)
        deciles = [losses[int(q * (len(losses) - 1))] for q in (0.1, 0.5, 0.9)]
        print(f"{kind:<8} loss p10 {deciles[0]:.2f}  median {deciles[1]:.2f}  p90 {deciles[2]:.2f}  found {share:.1%}")
        values["found"][kind] = round(share, 4)
    print(f"limit    {limit:.3f}")
    values["doubled"] = say_hidden(found, limit, random.Random(2))
    for voice, seconds in voices.items():
        tenths = statistics.quantiles(seconds, n=10)
        print(f"{voice:<8} seconds a character p10 {tenths[0]:.4f}  median {tenths[4]:.4f}  p90 {tenths[8]:.4f}")
        values["pace"][voice] = round(tenths[4], 4)
    return values


def write(model: str, values: dict[str, Any]) -> None:
    """Keep the limits of a model in the package."""
    known = json.loads(CALIBRATION.read_text(encoding="utf-8"))
    pace = {**known.get(model, {}).get("pace", {}), **values["pace"]}
    known[model] = {"loss_limit": values["loss_limit"], "pace": pace}
    CALIBRATION.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--voices", nargs="+", default=["owen", "joe", "clara"])
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--write", action="store_true", help="keep the limits in the package")
    given = parser.parse_args()
    speaker = EngineSpeaker(TextToSpeech(given.model, enable_redaction=False))
    found: dict[str, list[Read]] = {kind: [] for kind in KINDS}
    paces: dict[str, list[float]] = {voice: [] for voice in given.voices}
    choice = random.Random(1)
    texts = sentences(given.sentences // len(given.voices))
    for number, (text, voice) in enumerate((text, voice) for text in texts for voice in given.voices):
        for kind in KINDS:
            found[kind].append(reading(speaker, text, changed(text, kind, choice), voice, number))
        paces[voice].append(found["right"][-1].seconds)
        if number % 20 == 19:
            print(f"{number + 1} sentences", file=sys.stderr, flush=True)
    values = report(found, paces)
    if given.write:
        write(speaker.tts.model, values)
    print(json.dumps(values))


if __name__ == "__main__":
    main()
