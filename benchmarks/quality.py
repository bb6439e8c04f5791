"""Speech quality: what recognisers hear, how listeners would like it, whose voice it is, whether it ends.

    python benchmarks/quality.py source [--variants]              the source synthesisers themselves
    python benchmarks/quality.py wavs DIR                         files named VOICE_INDEX.wav (index in the set, from 0)
    python benchmarks/quality.py copy --model DIR [--dvae FILE]   copy synthesis: vocoder; true codes to speech
    python benchmarks/quality.py model --model DIR                the public API with the model's default preset
    python benchmarks/quality.py clone --model DIR                reference clips of a known and of an unknown voice

Common: --sentences test|dev|FILE, --limit N, --json FILE, --picture FILE.png, --quick (forced choice only), --sphinx
(also pocketsphinx's open dictation). A table goes to standard output and JSON is its last line. Needs the extra
``quality`` and, for the teachers, the packages that docs/training.md names. Sentences of the sets are never in
training. What each column means: docs/quality.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import recognise
import sources
from evaluate import SETS, Spoken, evaluate, rounded, table, write_json
from picture import spectrograms
from tutortoietts.train.data import UNKNOWN


def arguments() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--sentences", default="test", help="test, dev or a file of one sentence a line")
    common.add_argument("--limit", type=int, help="only the first so many sentences")
    common.add_argument("--quick", action="store_true", help="forced choice only: a tenth of the time")
    common.add_argument("--sphinx", action="store_true", help="also pocketsphinx's open dictation: twice the time")
    common.add_argument("--json", type=Path, help="write every figure of every clip here")
    common.add_argument("--picture", type=Path, help="write a PNG here: spectrograms of each voice's first clip")
    voices = argparse.ArgumentParser(add_help=False)
    voices.add_argument("--voices", help="names, with commas between them; the default is all")
    model = argparse.ArgumentParser(add_help=False)
    model.add_argument("--model", default="bundled", help="what TextToSpeech(model=...) takes")
    model.add_argument("--preset", help="the default is the model's own")
    model.add_argument("--threads", type=int, help="torch's threads")
    model.add_argument("--out", type=Path, help="keep the WAVs here; what is there already is not made again")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    source = commands.add_parser("source", parents=[common, voices], help="the source synthesisers")
    source.add_argument("--variants", action="store_true", help="also through other rates and at one loudness")
    wavs = commands.add_parser("wavs", parents=[common, voices], help="a folder of VOICE_INDEX.wav")
    wavs.add_argument("folder", type=Path)
    copy = commands.add_parser("copy", parents=[common, voices, model], help="copy synthesis")
    copy.add_argument("--dvae", type=Path, help="the discrete VAE of the model's training (safetensors with its norms)")
    spoken = commands.add_parser("model", parents=[common, voices, model], help="text to speech through the public API")
    spoken.add_argument("--stream", action="store_true", help="straight from the latents, whatever the preset")
    clone = commands.add_parser("clone", parents=[common, model], help="voices from reference clips")
    clone.add_argument("--known", default="heart,michael", help="speakers of training, by clips that were not in it")
    clone.add_argument("--unknown", default=",".join(UNKNOWN), help="speakers that training never heard")
    clone.add_argument("--people", type=Path, nargs="*", help="recordings of one person each, 10 to 30 seconds")
    clone.add_argument("--references", type=int, default=4, help="reference clips a voice")
    return parser


def chosen_sentences(options: argparse.Namespace) -> list[str]:
    """The whole set: forced choice is among all of it, whatever --limit says."""
    return recognise.load_sentences(SETS.get(options.sentences, options.sentences))


def spoken_by_source(voice: str, sentences: list[str], limit: int | None) -> list[Spoken]:
    paths = sources.spoken(voice, sentences[:limit])
    return [Spoken.read(path, voice, i) for i, path in enumerate(paths)]


def read_folder(folder: Path, voices: list[str] | None, limit: int | None) -> list[Spoken]:
    """VOICE_INDEX.wav of a folder; SystemExit for a name of another form or none at all."""
    clips = []
    for path in sorted(folder.glob("*.wav")):
        voice, _, index = path.stem.rpartition("_")
        if not voice or not index.isdecimal():
            raise SystemExit(f"{path.name}: files are named VOICE_INDEX.wav")
        if (voices is None or voice in voices) and (limit is None or int(index) < limit):
            clips.append(Spoken.read(path, voice, int(index)))
    if not clips:
        raise SystemExit(f"{folder}: no VOICE_INDEX.wav to measure")
    return clips


VARIANTS: dict[str, Callable[[Spoken], Spoken]] = {
    "22050": lambda c: Spoken(c.voice, c.index, recognise.resample(c.samples, c.rate, 22050), 22050),
    "24000": lambda c: Spoken(c.voice, c.index, recognise.resample(c.samples, c.rate, 24000), 24000),
    "-26 dBFS": lambda c: Spoken(c.voice, c.index, _at_loudness(c.samples, -26.0), c.rate),
}


def _at_loudness(samples: Any, dbfs: float) -> Any:
    return samples * np.float32(10 ** (dbfs / 20) / max(1e-9, float(np.sqrt(np.mean(samples**2)))))


def source(options: argparse.Namespace, sentences: list[str]) -> dict[str, Any]:
    rows, clips = {}, list[Spoken]()
    for voice in options.voices or sources.TAUGHT.values():
        said = spoken_by_source(voice, sentences, options.limit)
        clips += said
        rows[voice] = evaluate(said, sentences, quick=options.quick, sphinx=options.sphinx)["all"]
        for name, change in VARIANTS.items() if options.variants else ():
            changed = [change(clip) for clip in said]
            rows[f"{voice} {name}"] = evaluate(changed, sentences, quick=options.quick, sphinx=options.sphinx)["all"]
    return {"rows": rows, "spoken": clips}


def wavs(options: argparse.Namespace, sentences: list[str]) -> dict[str, Any]:
    clips = read_folder(options.folder, options.voices, options.limit)
    if bad := [clip.index for clip in clips if clip.index >= len(sentences)]:
        raise SystemExit(f"{options.folder}: index {bad[0]} outside 0..{len(sentences) - 1} of the sentences")
    report = evaluate(clips, sentences, quick=options.quick, sphinx=options.sphinx)
    return {"rows": {**report["voices"], "all": report["all"]}, "clips": report["clips"], "spoken": clips}


def copy(options: argparse.Namespace, sentences: list[str]) -> dict[str, Any]:
    import synthesis

    return synthesis.copy(options, sentences)


def model(options: argparse.Namespace, sentences: list[str]) -> dict[str, Any]:
    import synthesis

    return synthesis.model(options, sentences)


def clone(options: argparse.Namespace, sentences: list[str]) -> dict[str, Any]:
    import synthesis

    return synthesis.clone(options, sentences)


def draw(path: Path, clips: list[Spoken]) -> None:
    first: dict[str, Spoken] = {}
    for clip in clips:
        first.setdefault(clip.voice, clip)
    spectrograms(path, [(clip.samples, clip.rate) for clip in first.values()])


def main() -> None:
    options = arguments().parse_args()
    options.voices = options.voices.split(",") if getattr(options, "voices", None) else None
    sentences = chosen_sentences(options)
    command = {"source": source, "wavs": wavs, "copy": copy, "model": model, "clone": clone}[options.command]
    try:
        report = command(options, sentences)
    except (FileNotFoundError, ValueError, RuntimeError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
    clips = report.pop("spoken", [])
    if options.picture and clips:
        draw(options.picture, clips)
    if options.json:
        write_json(options.json, {"command": options.command, "sentences": options.sentences, **report})
    print(table(report["rows"]))
    report.pop("clips", None)
    print(json.dumps(rounded({"command": options.command, "sentences": options.sentences, **report})))


if __name__ == "__main__":
    main()
