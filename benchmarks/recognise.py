"""What a recogniser hears: forced choice among the sentences, and open dictation's word error rate.

The recogniser is pocketsphinx 5 with the English model in its own wheel (``pip install pocketsphinx``). Two searches
read the same 16 kHz clip: a grammar in which each sentence is one alternative, and the general language model. Cepstral
means are taken from the clip alone, so a result does not depend on the clips before it. The work is spread over
processes of this very file (not over forks: the caller may hold a model and threads).

    from recognise import load_sentences, score
    report = score([("slt_0.wav", 0), (samples_16k, 1)], load_sentences("sentences_test.txt"))
    report["forced_choice"], report["word_error_rate"], report["clips"][0]["heard"]
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

REVISION = 1  # raise it when the way of judging changes: what is kept from before is then measured again
RATE = 16000
PAD_SECONDS = 0.25  # silence put round each clip, so that one cut close is not judged by its cut
SETTINGS = {"cmn": "batch", "samprate": RATE, "loglevel": "FATAL"}

Samples = npt.NDArray[Any]
Clip = tuple["str | Path | Samples", int]
Item = tuple[npt.NDArray[np.int16], int]


def load_sentences(path: str | Path) -> list[str]:
    """The sentences of a text file, one a line; ValueError if two of them sound alike or one is empty of words."""
    sentences = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    keys = [plain(sentence) for sentence in sentences]
    if not all(keys) or len(set(keys)) != len(keys):
        raise ValueError(f"{path}: sentences must be distinct and have words")
    return sentences


def plain(text: str) -> str:
    """Lower-case words only, as the recogniser writes them."""
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def read_16k(source: str | Path | Samples) -> npt.NDArray[np.int16]:
    """A file of any rate, or samples already at 16 kHz (float in -1..1, or int16) -> (N,) int16, channels averaged."""
    if isinstance(source, (str, Path)):
        import soundfile

        samples, rate = soundfile.read(source, dtype="float32", always_2d=True)
        samples = resample(samples.mean(1), rate)
    else:
        samples = np.asarray(source).reshape(-1)
    if samples.dtype == np.int16:
        return samples
    return np.round(np.clip(samples, -1, 32767 / 32768) * 32768).astype(np.int16)


def resample(samples: npt.NDArray[np.float32], rate: int, to: int = RATE) -> npt.NDArray[np.float32]:
    """(N,) at ``rate`` Hz -> (N',) at ``to`` Hz by soxr's best quality."""
    if rate == to:
        return samples
    import soxr

    return np.asarray(soxr.resample(samples, rate, to, quality="VHQ"), np.float32)


def grammar(sentences: Sequence[str]) -> str:
    """A JSGF grammar that accepts exactly one of the sentences."""
    return "#JSGF V1.0;\ngrammar choice;\npublic <s> = " + "\n | ".join(plain(s) for s in sentences) + ";\n"


def alignment(reference: list[str], heard: list[str]) -> list[tuple[int | None, int | None]]:
    """The cheapest edit as (reference index | None, heard index | None) pairs: None on the left is an insertion."""
    cost = np.zeros((len(reference) + 1, len(heard) + 1), int)
    cost[:, 0], cost[0, :] = np.arange(len(reference) + 1), np.arange(len(heard) + 1)
    for i, word in enumerate(reference, 1):
        for j, other in enumerate(heard, 1):
            cost[i, j] = min(cost[i - 1, j - 1] + (word != other), cost[i - 1, j] + 1, cost[i, j - 1] + 1)
    i, j, pairs = len(reference), len(heard), []
    while i or j:
        if i and j and cost[i, j] == cost[i - 1, j - 1] + (reference[i - 1] != heard[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif i and cost[i, j] == cost[i - 1, j] + 1:
            i -= 1
            pairs.append((i, None))
        else:
            j -= 1
            pairs.append((None, j))
    return pairs[::-1]


def word_errors(reference: str, heard: str) -> dict[str, int]:
    """``errors`` (substitutions, deletions, insertions), ``words``; ``missing``: how many of the last words were not
    heard at all; ``extra``: how many words were heard after the last of the reference's."""
    want, got = plain(reference).split(), plain(heard).split()
    pairs = alignment(want, got)
    errors = sum(i is None or j is None or want[i] != got[j] for i, j in pairs)
    missing = extra = 0
    for i, _ in reversed(pairs):
        if i is not None:
            break
        extra += 1
    for _, j in reversed(pairs):
        if j is not None:
            break
        missing += 1
    return {"errors": errors, "words": len(want), "missing": missing, "extra": extra}


class Recogniser:
    """Both searches over one set of sentences. Not safe to share between threads."""

    def __init__(self, sentences: Sequence[str]) -> None:
        from pocketsphinx import Decoder

        self._decoder = Decoder(**SETTINGS)  # its default search is the wheel's own language model
        self._open = self._decoder.current_search()
        self._decoder.add_jsgf_string("choice", grammar(sentences))
        self._index = {plain(sentence): i for i, sentence in enumerate(sentences)}
        self._sentences = list(sentences)

    def _search(self, name: str, raw: bytes) -> str:
        """What is heard, "" for nothing."""
        self._decoder.activate_search(name)
        self._decoder.start_utt()
        self._decoder.process_raw(raw, no_search=False, full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return found.hypstr if found else ""

    def hear(self, samples: npt.NDArray[np.int16], index: int, dictation: bool = True) -> dict[str, Any]:
        """One clip (N,) at 16 kHz that should say sentence ``index``."""
        pad = np.zeros(round(PAD_SECONDS * RATE), np.int16)
        raw = np.concatenate((pad, samples, pad)).tobytes()
        chosen = self._index.get(plain(self._search("choice", raw)))
        result = {"index": index, "chosen": chosen, "right": chosen == index}
        if not dictation:
            return result
        heard = self._search(self._open, raw)
        return {**result, "heard": heard, **word_errors(self._sentences[index], heard)}


def _work(items: list[Item], sentences: list[str], dictation: bool) -> list[dict[str, Any]]:
    recogniser = Recogniser(sentences)
    return [recogniser.hear(samples, index, dictation) for samples, index in items]


def _start(items: list[Item], sentences: list[str], dictation: bool) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).resolve()), "--worker"]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    pipe: BinaryIO = worker.stdin  # type: ignore[assignment]
    with pipe:
        pickle.dump((items, sentences, dictation), pipe)
    return worker


def score(
    clips: Sequence[Clip], sentences: Sequence[str], *, dictation: bool = True, processes: int = 2
) -> dict[str, Any]:
    """Recognise ``clips``, each a (file or 16 kHz samples, index of the sentence it should say).

    -> ``count``, ``forced_choice`` (share whose sentence is the one heard among all), ``word_error_rate`` (errors over
    words of all), ``exact`` (share without an error), and ``clips``: a dict for each, in order, with what was heard.
    ``dictation`` False leaves out open dictation, nine tenths of the time (0.4 seconds a second of speech).
    ValueError for no clips or an index outside the sentences; RuntimeError if the recogniser fails.
    """
    if not clips:
        raise ValueError("no clips to recognise")
    if bad := [index for _, index in clips if not 0 <= index < len(sentences)]:
        raise ValueError(f"sentence {bad[0]} outside 0..{len(sentences) - 1}")
    items = [(read_16k(source), index) for source, index in clips]
    order = sorted(range(len(items)), key=lambda i: -len(items[i][0]))
    shares = [order[k::processes] for k in range(processes) if order[k::processes]]
    workers = [_start([items[i] for i in share], list(sentences), dictation) for share in shares]
    results: list[dict[str, Any]] = [{} for _ in items]
    for share, worker in zip(shares, workers, strict=True):
        pipe: BinaryIO = worker.stdout  # type: ignore[assignment]
        with pipe:
            output = pipe.read()
        if worker.wait():
            raise RuntimeError(f"the recogniser stopped with code {worker.returncode}; is pocketsphinx 5 installed?")
        for i, result in zip(share, pickle.loads(output), strict=True):
            results[i] = result
    return {**summary(results), "clips": results}


def summary(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures over some of ``score``'s clips."""
    count = len(results)
    report = {"count": count, "forced_choice": sum(r["right"] for r in results) / count}
    if "errors" in results[0]:
        report["word_error_rate"] = sum(r["errors"] for r in results) / sum(r["words"] for r in results)
        report["exact"] = sum(r["errors"] == 0 for r in results) / count
    return report


def fingerprint() -> str:
    """Changes when the recogniser or its settings do: part of a cache's key."""
    from importlib.metadata import version

    text = f"{version('pocketsphinx')} {SETTINGS} {PAD_SECONDS} {REVISION}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


if __name__ == "__main__" and sys.argv[1:] == ["--worker"]:
    os.setpriority(os.PRIO_PROCESS, 0, max(5, os.getpriority(os.PRIO_PROCESS, 0)))
    answer = _work(*pickle.load(sys.stdin.buffer))
    sys.stdout.buffer.write(pickle.dumps(answer))
