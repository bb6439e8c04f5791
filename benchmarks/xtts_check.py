"""Checks of XTTS-v2 with its real files, which the tests do not have.

python benchmarks/xtts_check.py --voice clip.wav [--model xtts-v2] [--device cuda] [--out DIR] [--calibrate]

A voice is made of the clip, five languages are spoken, each stream is compared with the whole, and durations are
judged by the length of the text. Where the package `openai-whisper` is installed, it writes down what it hears. The
sound files are kept with --out, to be listened to. Exit status 1 if a check failed. Prints JSON lines.

--calibrate finds the attention heads that follow the text in all of these sentences, and writes them beside the model,
from where `Speech.words` takes them; without it the heads are found anew for each passage.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from pathlib import Path
from typing import Any

import torch

from tutortoietts import TextToSpeech
from tutortoietts.audio.resample import resample_sinc
from tutortoietts.cache.files import replace_file
from tutortoietts.engine.align import gazes, head_worths
from tutortoietts.engine.pipeline import Pipeline
from tutortoietts.engine.progress import Progress
from tutortoietts.engine.request import Request, resolve_options

TEXTS = {
    "en": "The ship left the harbour at nine in the morning, and nobody waved.",
    "es": "El barco salió del puerto a las nueve de la mañana y nadie saludó.",
    "fr": "Le bateau a quitté le port à neuf heures du matin et personne n'a fait signe.",
    "de": "Das Schiff verließ den Hafen um neun Uhr morgens, und niemand winkte.",
    "pl": "Statek opuścił port o dziewiątej rano i nikt nie pomachał.",
}
MOST_HEADS, STEADY_IN = 6, 0.8  # heads that are averaged, and the share of passages in which each follows the text
SLOWEST, FASTEST = 0.2, 0.03  # seconds a character
CLOSE = 1e-3  # relative difference of a stream: tools that sum in another order are further apart than float32 here


def check(tts: TextToSpeech, voice: Any, language: str, text: str, out: Path | None) -> tuple[dict[str, Any], Any]:
    """Speak a text at once and as a stream; return what was measured, and the speech."""
    started = time.perf_counter()
    speech = tts.speak(text, voice=voice, language=language, seed=1, redraws=0)
    seconds = time.perf_counter() - started
    started, first, chunks = time.perf_counter(), None, []
    for chunk in tts.stream(text, voice=voice, language=language, seed=1):
        first = first or time.perf_counter() - started
        chunks.append(chunk)
    joined = torch.cat(chunks)
    same = joined.shape == speech.samples.shape
    difference = float((joined - speech.samples).norm() / speech.samples.norm()) if same else float("inf")
    pace = speech.seconds / len(text)
    if out is not None:
        speech.save(out / f"{language}.wav")
    faults = [
        *(["the stream differs from the whole"] if difference > CLOSE else []),
        *(["too long or too short for its text"] if not FASTEST <= pace <= SLOWEST else []),
        *(["silent or clipped"] if not 0.01 < float(speech.samples.abs().max()) <= 1.0 else []),
    ]
    found = {
        "language": language,
        "seconds": round(speech.seconds, 2),
        "real_time_factor": round(seconds / speech.seconds, 3),
        "first_sound": round(first or 0.0, 3),
        "stream_difference": difference,
        "faults_drawn": dict(speech.report.faults),
        "words_timed": sum(word.confidence > 0 for word in speech.words),
        "faults": faults,
    }
    return found, speech


def calibrate(tts: TextToSpeech, voice: Any) -> dict[str, Any]:
    """Find the heads that follow the text in most sentences, write them beside the model, and return them."""
    models, total, followed, passages = tts._models, None, None, 0
    options = resolve_options(tts.spec, None, {})
    for language, text in TEXTS.items():
        request = Request.build(
            models, tts._voices, text, options=options, voice_samples=voice, seed=1, language=language
        )
        pipeline = Pipeline(models, request, Progress())
        for (spoken,) in pipeline.passages():
            speaker = request.voice.speaker.to(models.device, models.dtype_of("autoregressive"))
            worth = head_worths(gazes(tts.autoregressive, speaker, spoken.encoded.text, spoken.codes)).cpu()
            total = worth if total is None else total + worth
            followed = (worth > 0).int() if followed is None else followed + (worth > 0)
            passages += 1
    assert total is not None and followed is not None
    best = [int(head) for head in total.topk(MOST_HEADS).indices if followed[head] >= STEADY_IN * passages]
    heads = tts.spec.autoregressive.heads
    pairs = [list(divmod(head, heads)) for head in best]
    path = models.source.alignment_file
    if pairs:
        replace_file(path, json.dumps({"heads": pairs}).encode())
    return {"calibration": str(path) if pairs else "no head follows the text in most sentences", "heads": pairs}


def word_errors(said: str, heard: str) -> float:
    """Return the word error rate, punctuation and capitals aside."""
    first, second = ("".join(c if c.isalnum() else " " for c in text.lower()).split() for text in (said, heard))
    row = list(range(len(second) + 1))
    for number, word in enumerate(first, 1):
        last, row[0] = row[0], number
        for place, other in enumerate(second, 1):
            last, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, last + (word != other))
    return row[-1] / max(1, len(first))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice", required=True, help="a clip of six seconds or more, or the name of a built-in voice")
    parser.add_argument("--model", default="xtts-v2")
    parser.add_argument("--device")
    parser.add_argument("--out", type=Path, help="folder for the sound files")
    parser.add_argument("--calibrate", action="store_true", help="find the heads that times of words are read from")
    options = parser.parse_args()
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    tts = TextToSpeech(model=options.model, device=options.device)
    whisper = None
    if importlib.util.find_spec("whisper") is not None:
        whisper = importlib.import_module("whisper").load_model("base")
    failed = False
    for language, text in TEXTS.items():
        found, speech = check(tts, options.voice, language, text, options.out)
        if whisper is not None:
            samples = resample_sinc(speech.samples[None], tts.sample_rate, 16000)[0]
            heard = whisper.transcribe(samples.numpy(), language=language)["text"].strip()
            found |= {"heard": heard, "word_error_rate": round(word_errors(text, heard), 3)}
        print(json.dumps(found, ensure_ascii=False), flush=True)
        failed = failed or bool(found["faults"])
    if options.calibrate:
        print(json.dumps(calibrate(tts, options.voice)))
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
