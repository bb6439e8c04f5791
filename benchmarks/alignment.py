"""How right word times are: read off the model's attention, and heard by pocketsphinx, which is told the words.

    python benchmarks/alignment.py                    measure the bundled model
    python benchmarks/alignment.py --store FOLDER     calibrate the model of FOLDER, write it to its model.json, measure

Each voice of the model speaks the sentences with the model's default preset; pocketsphinx (``pip install
pocketsphinx``) aligns the known words with the sound, in frames of 10 ms. Sentences that it cannot align to the end are
left out and counted. Compared are the starts and ends of words, after the bias that is stored with the model: by how
much they come late in the median, and the median, 90 % and largest distance. Calibration uses other sentences
(sentences_dev.txt) than the measurement (sentences_test.txt): it takes the heads whose mean gives the least median and
90 % error together, one by one while that helps, and then the median difference of all voices as the bias. The last
line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from recognise import PAD_SECONDS, RATE, SETTINGS, load_sentences, plain, read_16k, resample
from tutortoietts.core.config import AlignmentSpec
from tutortoietts.core.types import Voice, Word
from tutortoietts.engine.align import CODE_SECONDS, align, begins, gazes, word_times
from tutortoietts.engine.pipeline import Pipeline
from tutortoietts.engine.progress import Progress
from tutortoietts.engine.request import Request, resolve_options
from tutortoietts.engine.voice_resolver import VoiceResolver
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.runtime.precision import pick_precision
from tutortoietts.runtime.source import open_source
from tutortoietts.text.brackets import Passage
from tutortoietts.text.words import WordTokens, word_tokens
from tutortoietts.voices.files import read_voice

FOLDER = Path(__file__).parent
SEED, MOST_HEADS, CANDIDATES, TRIED_ON = 1000, 6, 8, 20
LEAST_GAIN = 0.0005  # seconds by which one more head must lessen the error


@dataclass(frozen=True, eq=False)
class Spoken:
    """A sentence as a voice spoke it: `text` (1, T) ending in 0, `codes` (1, S), and what pocketsphinx heard."""

    speaker: Tensor
    text: Tensor
    codes: Tensor
    words: list[WordTokens]
    heard: list[tuple[float, float]]


class Reader:
    """Speaks sentences with one model, and keeps what is needed to align them."""

    def __init__(self, model: str) -> None:
        device = torch.device("cpu")
        source = open_source(model)
        if source.folder is None:
            raise SystemExit(f"{model} has no voices of its own: give a directory with a model.json")
        self.spec = source.spec
        self.models = LoadedModels(source, device=device, dtype=pick_precision("fp32", False, device))
        self.voices = [read_voice(path) for path in sorted((source.folder / "voices").glob("*.safetensors"))]
        self.gpt = cast(Autoregressive, self.models.get("autoregressive"))
        self._resolver = VoiceResolver(self.models)

    def read(self, sentence: str, voice: Voice, seed: int) -> Spoken | None:
        """None if pocketsphinx cannot align it."""
        options = resolve_options(self.spec, None, {})
        request = Request.build(self.models, self._resolver, sentence, options=options, latents=voice, seed=seed)
        request = replace(request, passages=(Passage(text=sentence),))  # in one go
        ((spoken,),) = Pipeline(self.models, request, Progress()).passages()
        words = word_tokens(self.models.tokenizer, spoken.encoded.passage, sentence)
        heard = forced(spoken.samples.flatten(), sentence, request.family.sample_rate)
        if len(heard) != len(words) or spoken.codes.shape[1] < 2:
            return None
        text, codes = spoken.encoded.text, spoken.codes
        return Spoken(speaker=voice.speaker, text=text, codes=codes, words=words, heard=heard)


def forced(samples: Tensor, sentence: str, rate: int) -> list[tuple[float, float]]:
    """Start and end of each word in seconds, from the forced alignment of the sound (N,); [] if it fails."""
    from pocketsphinx import Decoder

    decoder = Decoder(**SETTINGS, lm=None)
    decoder.set_align_text(plain(sentence))
    pad = np.zeros(round(PAD_SECONDS * RATE), np.int16)
    raw = np.concatenate((pad, read_16k(resample(samples.numpy(), rate)), pad))
    decoder.start_utt()
    decoder.process_raw(raw.tobytes(), no_search=False, full_utt=True)
    decoder.end_utt()
    found = [segment for segment in decoder.seg() or () if segment.word[0] not in "<["]
    return [(one.start_frame / 100 - PAD_SECONDS, (one.end_frame + 1) / 100 - PAD_SECONDS) for one in found]


def read_all(reader: Reader, file: str, limit: int | None) -> dict[str, list[Spoken]]:
    """Voice -> the sentences of the file that could be aligned."""
    sentences = load_sentences(FOLDER / file)[:limit]
    spoken: dict[str, list[Spoken]] = {}
    for voice in reader.voices:
        read = [reader.read(sentence, voice, SEED + i) for i, sentence in enumerate(sentences)]
        spoken[voice.name] = [one for one in read if one is not None]
        print(f"{file}: {voice.name} spoke {len(read)}, aligned {len(spoken[voice.name])}", file=sys.stderr)
    return spoken


def calibrate(reader: Reader, spoken: Sequence[Spoken]) -> AlignmentSpec:
    """The heads and the bias that fit these sentences best."""
    spreads = [gazes(reader.gpt, one.speaker, one.text, one.codes) for one in spoken]
    every = range(len(spreads[0]))
    some = np.linspace(0, len(spoken) - 1, min(TRIED_ON, len(spoken))).astype(int)
    alone = {head: cost(start_errors([spoken[i] for i in some], [spreads[i] for i in some], [head])) for head in every}
    candidates = sorted(every, key=lambda head: alone[head])[:CANDIDATES]
    heads, least = list[int](), float("inf")
    while len(heads) < MOST_HEADS:
        costs = {head: cost(start_errors(spoken, spreads, [*heads, head])) for head in candidates if head not in heads}
        head = min(costs, key=lambda head: costs[head], default=-1)
        if head < 0 or costs[head] > least - LEAST_GAIN:
            break
        heads.append(head)
        least = costs[head]
        print(f"{len(heads)} heads: {1000 * least:.1f} ms", file=sys.stderr)
    width = reader.spec.autoregressive.heads
    bias = float(np.median(start_errors(spoken, spreads, heads)))
    return AlignmentSpec(bias_seconds=round(bias, 4), heads=tuple(divmod(head, width) for head in heads))


def start_errors(spoken: Sequence[Spoken], spreads: Sequence[Tensor], heads: Sequence[int]) -> np.ndarray:
    """Seconds by which each word's start comes late, without a bias."""
    late = list[float]()
    for one, spread in zip(spoken, spreads, strict=True):
        times = begins(spread[list(heads)].mean(dim=0)) * CODE_SECONDS
        late += [float(times[word.tokens[0]]) - start for word, (start, _) in zip(one.words, one.heard, strict=True)]
    return np.array(late)


def cost(late: np.ndarray) -> float:
    """Median and 90 % of the error after the constant difference, together."""
    away = np.abs(late - np.median(late))
    return float(np.median(away) + np.quantile(away, 0.9))


def measure(reader: Reader, spoken: Sequence[Spoken], spec: AlignmentSpec) -> dict[str, float]:
    """Errors of the starts and ends of words, in milliseconds."""
    starts, ends = list[float](), list[float]()
    for one in spoken:
        alignment = align(reader.gpt, one.speaker, one.text, one.codes, spec.heads)
        found: list[Word] = word_times(alignment, one.words, bias=spec.bias_seconds)
        starts += [word.start - start for word, (start, _) in zip(found, one.heard, strict=True)]
        ends += [word.end - end for word, (_, end) in zip(found, one.heard, strict=True)]
    report: dict[str, float] = {"sentences": len(spoken), "words": len(starts)}
    if not starts:
        return report
    for name, late in (("start", 1000 * np.array(starts)), ("end", 1000 * np.array(ends))):
        away = np.abs(late)
        figures = {
            "late": np.median(late),
            "median": np.median(away),
            "p90": np.quantile(away, 0.9),
            "worst": away.max(),
        }
        report |= {f"{name}_{key}_ms": round(float(value), 1) for key, value in figures.items()}
    return report


def store(folder: Path, spec: AlignmentSpec) -> None:
    """Write the calibration to the folder's model.json."""
    path = folder / "model.json"
    values = json.loads(path.read_text(encoding="utf-8")) | {"alignment": spec.to_dict()}
    fresh = path.with_suffix(".json.part")
    fresh.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    os.replace(fresh, path)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled", help="what to measure; with --store its folder")
    parser.add_argument("--store", type=Path, metavar="FOLDER", help="calibrate this model and write its model.json")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N sentences")
    options = parser.parse_args(arguments)
    reader = Reader(str(options.store or options.model))
    if options.store is not None:
        known = read_all(reader, "sentences_dev.txt", options.limit)
        spec = calibrate(reader, [one for each in known.values() for one in each])
        store(options.store, spec)
        reader.spec = replace(reader.spec, alignment=spec)
    spec = reader.spec.alignment
    report: dict[str, Any] = {"model": reader.spec.name, "alignment": spec.to_dict(), "voices": {}}
    for name, spoken in read_all(reader, "sentences_test.txt", options.limit).items():
        figures = measure(reader, spoken, spec)
        report["voices"][name] = figures
        starts, ends = (", ".join(f"{figures[f'{edge}_{key}_ms']:g}" for key in KEYS) for edge in ("start", "end"))
        print(f"{name:8} {figures['words']:4} words   starts {starts} ms   ends {ends} ms   ({', '.join(KEYS)})")
    print(json.dumps(report))


KEYS = ("late", "median", "p90", "worst")

if __name__ == "__main__":
    main()
