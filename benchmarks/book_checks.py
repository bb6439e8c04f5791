"""How well wrong words are found without a recogniser: false alarms on right readings, finds of provoked errors.

    python benchmarks/book_checks.py [--sentences 200] [--voices slt rms]

Each sentence is spoken as it is, and with one word left out, swapped with its neighbour, or doubled; all four are
judged as readings of the right text. Prints the distributions of the two measures (loss of the codes under the text,
seconds a character) and the share found at limits with 2 % false alarms. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
from pathlib import Path
from typing import Any, cast

import torch

from tutortoietts.api import TextToSpeech
from tutortoietts.book.engine import EngineSpeaker, worst_loss
from tutortoietts.engine.align import code_losses
from tutortoietts.text.natural import normalize

KINDS = ("right", "dropped", "swapped", "doubled")
FALSE_ALARMS = 0.02
TEXTS = Path(__file__).parent


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


def measures(speaker: EngineSpeaker, text: str, said: str, voice: str, seed: int) -> tuple[float, float]:
    """(loss under `text`, seconds a character of `text`) of a reading of `said`."""
    tts = speaker.tts
    request = tts._request(said, None, speaker._voice(voice), preset=None, given={}, seed=seed, normalize=False)
    pipeline = tts._pipeline(request, None)
    ((samples, placed),) = pipeline.whole()
    tokens = tts.tokenizer.encode_parts([text])[0].ids
    ids = torch.nn.functional.pad(tokens, (0, 1)).to(tts.device)
    latent = request.voice.speaker.to(tts.device, pipeline.models.dtype_of("autoregressive"))
    with pipeline.models.use("autoregressive") as model:
        losses = [code_losses(cast(Any, model), latent, ids, one.spoken.codes) for one in placed]
    return worst_loss(losses), samples.shape[-1] / speaker.sample_rate / len(text)


def sentences(count: int) -> list[str]:
    """Up to `count` sentences of 20 to 90 characters, in spoken form."""
    lines = [
        line for path in sorted(TEXTS.glob("sentences_*.txt")) for line in path.read_text(encoding="utf-8").splitlines()
    ]
    spoken = [normalize(re.sub(r"^\S+\t", "", line)).text for line in lines if line.strip()]
    return [text for text in dict.fromkeys(spoken) if 20 <= len(text) <= 90][:count]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--voices", nargs="+", default=["slt", "rms"])
    given = parser.parse_args()
    speaker = EngineSpeaker(TextToSpeech(enable_redaction=False))
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    paces: dict[str, list[float]] = {voice: [] for voice in given.voices}
    choice = random.Random(1)
    texts = sentences(given.sentences // len(given.voices))
    for number, (text, voice) in enumerate((text, voice) for voice in given.voices for text in texts):
        for kind in KINDS:
            loss, seconds = measures(speaker, text, changed(text, kind, choice), voice, number)
            found[kind].append((loss, seconds))
            if kind == "right":
                paces[voice].append(seconds)
    print(json.dumps(report(found, paces)))


def report(found: dict[str, list[tuple[float, float]]], paces: dict[str, list[float]]) -> dict[str, Any]:
    """Print the tables and return them as values."""
    right = sorted(loss for loss, _ in found["right"])
    limit = right[min(len(right) - 1, int((1 - FALSE_ALARMS) * len(right)))]
    values: dict[str, Any] = {"sentences": len(right), "limit": round(limit, 3), "found": {}, "pace": {}}
    for kind, rows in found.items():
        losses = sorted(loss for loss, _ in rows)
        share = sum(loss > limit for loss in losses) / len(losses)
        deciles = [losses[int(q * (len(losses) - 1))] for q in (0.1, 0.5, 0.9)]
        print(f"{kind:<8} loss p10 {deciles[0]:.2f}  median {deciles[1]:.2f}  p90 {deciles[2]:.2f}  over {share:.1%}")
        values["found"][kind] = round(share, 4)
    for voice, seconds in paces.items():
        tenths = statistics.quantiles(seconds, n=10)
        print(f"{voice:<8} seconds a character p10 {tenths[0]:.4f}  median {tenths[4]:.4f}  p90 {tenths[8]:.4f}")
        values["pace"][voice] = round(tenths[4], 4)
    return values


if __name__ == "__main__":
    main()
