"""Every figure over a set of clips that each should say one sentence in one voice."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

import recognise
import sources
from acoustics import level, log_pitch
from raters import Mos, SpeakerEncoder, Whisper, similarity, words

HERE = Path(__file__).resolve().parent
SETS = {name: HERE / f"sentences_{name}.txt" for name in ("test", "dev")}
ENROLLED = 20  # sentences of each source voice that define what it sounds like: of a set that is not being measured

# What counts as an ending gone wrong. The source voices themselves trip none of these (`quality.py source` shows it).
LONG_RATIO, LONG_SECONDS = 1.35, 0.4  # speech longer than the source's by this factor and this time: run-on
EXTRA_WORDS = 3  # or so many words heard after the last
SHORT_RATIO = 0.65  # speech shorter than this share of the source's: the ending is missing
MISSING_WORDS = 2  # or so many of the last words not heard, where the source's were
CUT_DB = -20.0  # the last 20 ms this near the loud frames: cut off in speech
JUDGED = 2  # raise it when a judge changes: what is kept from before is then judged again
OTHERS = ("joe", "heart")  # whose pace stands for that of a voice without a source
Embedding = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spoken:
    """One clip: which voice should say which sentence, (N,) samples in -1..1 and their rate."""

    voice: str
    index: int
    samples: npt.NDArray[np.float32]
    rate: int

    @classmethod
    def read(cls, path: Path, voice: str, index: int) -> Spoken:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        return cls(voice, index, samples.mean(1), rate)

    def at_16k(self) -> npt.NDArray[np.float32]:
        return recognise.resample(self.samples, self.rate)


@lru_cache
def judges() -> tuple[Whisper, Mos, SpeakerEncoder]:
    """The networks that judge, loaded once."""
    return Whisper(), Mos(), SpeakerEncoder()


@lru_cache
def face(voice: str, enrol: str) -> tuple[Embedding, float]:
    """A source voice as the speaker encoder knows it from the first sentences of the set ``enrol``, and how like two
    halves of them are."""
    sentences = recognise.load_sentences(SETS[enrol])[:ENROLLED]
    clips = [Spoken.read(path, voice, i) for i, path in enumerate(sources.spoken(voice, sentences))]
    found = np.stack([judges()[2].embed(clip.at_16k()) for clip in clips])
    return found.mean(0), similarity(found[::2].mean(0), found[1::2].mean(0))


def rated(clip: Spoken, sentence: str) -> dict[str, Any]:
    """What Whisper hears, how DNSMOS likes it, whose voice it is, and log2 of its pitch; kept in the cache."""
    samples = clip.at_16k()
    key = hashlib.sha256(f"{JUDGED}\n{sentence}\n".encode() + samples.tobytes()).hexdigest()[:20]
    path = sources.cache_folder() / "rated" / f"{key}.json"
    if path.exists():
        return dict(json.loads(path.read_text()))
    whisper, mos, encoder = judges()
    heard = whisper.hear(samples)
    found = {
        "whisper": heard,
        **{f"whisper_{name}": value for name, value in recognise.word_errors(words(sentence), heard).items()},
        "mos": mos.rate(samples),
        "embedding": encoder.embed(samples).tolist(),
        "pitch": log_pitch(samples.astype(np.float64), recognise.RATE),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    partial.write_text(json.dumps(found))
    partial.replace(path)
    return found


def enrolment_set(sentences: Sequence[str]) -> str:
    """The set to know voices from: not the one measured."""
    return "test" if set(sentences) & set(recognise.load_sentences(SETS["dev"])) else "dev"


def source_seconds(voice: str, sentences: Sequence[str], indices: Sequence[int]) -> dict[int, float]:
    """Seconds of speech of the source for each index; of OTHERS together for a voice that has none."""
    names = [voice] if sources.source_of(voice) else list(OTHERS)
    seconds: dict[int, float] = {}
    for i in set(indices):
        clips = [Spoken.read(sources.speak(name, sentences[i]), name, i) for name in names]
        seconds[i] = mean(level(c.samples, c.rate).speech for c in clips)
    return seconds


def _endings(clip: dict[str, Any], usual: dict[str, Any] | None) -> dict[str, bool]:
    ratio, longer = clip["ratio"], clip["level"]["speech"] * (1 - 1 / clip["ratio"]) if clip["ratio"] else 0.0
    names = ("whisper_extra", "whisper_missing")
    extra, missing = (clip.get(name, 0) - (usual[name] if usual else 0) for name in names)
    return {
        "run_on": (ratio > LONG_RATIO and longer > LONG_SECONDS) or extra >= EXTRA_WORDS,
        "missing_end": ratio < SHORT_RATIO or missing >= MISSING_WORDS,
        "cut": clip["level"]["final_db"] > CUT_DB,
    }


def evaluate(
    clips: Sequence[Spoken],
    sentences: Sequence[str],
    *,
    quick: bool = False,
    sphinx: bool = False,
) -> dict[str, Any]:
    """-> ``voices`` (name -> figures), ``all`` (figures over everything) and ``clips``.

    ``quick`` leaves out all judges but pocketsphinx's forced choice; ``sphinx`` adds its open dictation.
    """
    pairs = [(clip.at_16k(), clip.index) for clip in clips]
    heard = recognise.score(pairs, sentences, dictation=sphinx)["clips"]
    voices = sorted({clip.voice for clip in clips})
    enrol = enrolment_set(sentences)
    results: list[dict[str, Any]] = []
    for voice in voices:
        of = [(clip, result) for clip, result in zip(clips, heard, strict=True) if clip.voice == voice]
        source = sources.source_of(voice)
        seconds = source_seconds(voice, sentences, [clip.index for clip, _ in of])
        levels = [level(clip.samples, clip.rate) for clip, _ in of]
        ratios = [one.speech / seconds[clip.index] for one, (clip, _) in zip(levels, of, strict=True)]
        pace = 1.0 if source else median(ratios) or 1.0
        for (clip, result), one, ratio in zip(of, levels, ratios, strict=True):
            row = {"voice": voice, **result, "level": one.as_dict(), "ratio": ratio / pace}
            usual = None
            if not quick:
                row |= rated(clip, sentences[clip.index])
            if not quick and source:
                said = Spoken.read(sources.speak(source, sentences[clip.index]), source, clip.index)
                row["face"], usual = face(source, enrol), rated(said, sentences[clip.index])
            results.append({**row, **_endings(row, usual)})
    return {
        "voices": {v: figures([r for r in results if r["voice"] == v]) for v in voices},
        "all": figures(results),
        "clips": [{k: v for k, v in row.items() if k not in ("embedding", "face")} for row in results],
    }


def _judged(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The judges' figures over some of ``evaluate``'s clips; none of a voice that has no source is like its source."""
    if "whisper" not in rows[0]:
        return {}
    result = {
        "whisper_error_rate": sum(r["whisper_errors"] for r in rows) / sum(r["whisper_words"] for r in rows),
        "whisper_exact": mean(r["whisper_errors"] == 0 for r in rows),
        **{name: mean(r["mos"][name] for r in rows) for name in ("p808", "overall")},
        "pitch_hertz": float(2 ** np.nanmedian([r["pitch"] for r in rows])),
    }
    if len({r["voice"] for r in rows}) == 1 and "face" in rows[0]:
        known, self_similarity = rows[0]["face"]
        made = np.mean([r["embedding"] for r in rows], 0)
        result |= {"similarity": similarity(made, known), "self_similarity": self_similarity}
    return result


def figures(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures over some of ``evaluate``'s clips."""
    levels = [r["level"] for r in rows]
    shares = {name: mean(bool(r[name]) for r in rows) for name in ("run_on", "missing_end", "cut")}
    averages = ("leading", "trailing", "rms_dbfs", "peak_dbfs", "seconds")
    return {
        **recognise.summary(rows),
        **_judged(rows),
        **shares,
        "pace": mean(r["ratio"] for r in rows),
        **{name: mean(one[name] for one in levels) for name in averages},
        "peak_max_dbfs": max(one["peak_dbfs"] for one in levels),
        "clipped": mean(one["clipped"] > 0 for one in levels),
        "silent": mean(one["speech"] == 0 for one in levels),
    }


_COLUMNS = {
    "n": ("count", "{:d}"),
    "choice": ("forced_choice", "{:.0%}"),
    "Whisper WER": ("whisper_error_rate", "{:.3f}"),
    "exact": ("whisper_exact", "{:.0%}"),
    "P.808": ("p808", "{:.2f}"),
    "DNSMOS": ("overall", "{:.2f}"),
    "like source": ("similarity", "{:.2f}"),
    "source itself": ("self_similarity", "{:.2f}"),
    "sphinx WER": ("word_error_rate", "{:.3f}"),
    "run-on": ("run_on", "{:.0%}"),
    "no end": ("missing_end", "{:.0%}"),
    "cut": ("cut", "{:.0%}"),
    "pace": ("pace", "{:.2f}"),
    "lead s": ("leading", "{:.2f}"),
    "tail s": ("trailing", "{:.2f}"),
    "RMS dB": ("rms_dbfs", "{:.1f}"),
    "peak dB": ("peak_max_dbfs", "{:.1f}"),
    "RTF": ("real_time_factor", "{:.2f}"),
    "CPU": ("cpu_factor", "{:.2f}"),
    "nearest own": ("nearest_own", "{}"),
    "its likeness": ("nearest_similarity", "{:.2f}"),
    "nearer": ("nearer", "{:.0%}"),
    "Hz": ("pitch_hertz", "{:.0f}"),
    "target Hz": ("target_pitch_hertz", "{:.0f}"),
}


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Figures by name as Markdown; a column that no row has is left out."""
    columns = {head: spec for head, spec in _COLUMNS.items() if any(r.get(spec[0]) is not None for r in rows.values())}
    lines = [["", *columns], ["---"] * (1 + len(columns))]
    for name, row in rows.items():
        cells = [form.format(row[key]) if row.get(key) is not None else "" for key, form in columns.values()]
        lines.append([name, *cells])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines)


def rounded(value: Any) -> Any:
    """The same with floats to five digits and None for NaN, for JSON that a person reads."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.5g}") if np.isfinite(value) else None
    return value


def write_json(path: Path, report: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rounded(report), indent=1) + "\n")
