"""The measurements that need a voice model: copy synthesis, the public API, cloning."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

import recognise
import sources
from acoustics import level, log_pitch
from evaluate import SETS, Spoken, enrolment_set, evaluate, face, judges
from raters import similarity
from tutortoietts import TextToSpeech
from tutortoietts.audio.mel import conditioning_mel, diffusion_mel
from tutortoietts.core.presets import preset_options
from tutortoietts.core.types import Mel
from tutortoietts.engine.denoise import denoise, streamed_mel
from tutortoietts.engine.vocode import vocode
from tutortoietts.runtime.source import open_source
from tutortoietts.train.data import LEAD_SECONDS, SPEECH_DBFS, TAIL_SECONDS

RATE = 24000
SEED = 1000
Seconds = tuple[float, float]  # by the clock on the wall, and of all CPU cores together


class Voicer:
    """The public API with one preset, timed."""

    def __init__(self, options: argparse.Namespace) -> None:
        if options.threads:
            torch.set_num_threads(options.threads)
        self.stream = getattr(options, "stream", False)
        self.spec = open_source(options.model).spec
        self.preset = options.preset or self.spec.default_preset
        began = time.perf_counter()
        self.tts = TextToSpeech(model=options.model)
        self._voice_folder = open_source(options.model).folder
        self.load_seconds = time.perf_counter() - began
        self.first_seconds: float | None = None

    def voices(self) -> list[str]:
        """The voices that came with the model."""
        if self._voice_folder is None:
            return []
        return sorted(path.stem for path in (self._voice_folder / "voices").glob("*.safetensors"))

    def say(self, text: str, voice: str | list[str], seed: int) -> tuple[np.ndarray, Seconds]:
        """-> samples (N,) float32 at 24 kHz, and what it took. The first call loads the models, so it is made twice."""
        if self.first_seconds is None:
            self.first_seconds = self._timed(text, voice, seed)[1][0]
        return self._timed(text, voice, seed)

    def _timed(self, text: str, voice: str | list[str], seed: int) -> tuple[np.ndarray, Seconds]:
        began, spent = time.perf_counter(), time.process_time()
        if self.stream:
            chunks = self.tts.stream(text, voice=voice, seed=seed, decoder="stream")
            wave = torch.cat([chunk.reshape(-1) for chunk in chunks])
        else:
            wave = self.tts.tts_with_preset(
                text, preset=self.preset, voice_samples=voice, use_deterministic_seed=seed, verbose=False
            ).reshape(-1)
        return wave.numpy(), (time.perf_counter() - began, time.process_time() - spent)

    def about(self) -> dict[str, Any]:
        first = None if self.first_seconds is None else self.load_seconds + self.first_seconds
        return {
            "model": self.spec.name,
            "preset": "streamed" if self.stream else self.preset,
            "threads": torch.get_num_threads(),
            "load_and_first_sentence_seconds": first,
        }


def _speak_all(
    voicer: Voicer, jobs: dict[str, str | list[str]], sentences: Sequence[str], folder: Path
) -> tuple[list[Spoken], dict[str, dict[str, float]]]:
    """Each sentence in each voice (name -> what `say` takes), kept in ``folder``; each voice's real-time factors."""
    folder.mkdir(parents=True, exist_ok=True)
    clips, factors = list[Spoken](), dict[str, dict[str, float]]()
    times = folder / "seconds.json"
    known: dict[str, Seconds] = json.loads(times.read_text()) if times.exists() else {}
    for name, voice in jobs.items():
        for i, text in enumerate(sentences):
            path = folder / f"{name}_{i}.wav"
            if not path.exists():
                samples, known[path.stem] = voicer.say(text, voice, SEED + i)
                soundfile.write(path, samples, RATE, subtype="PCM_16")
                times.write_text(json.dumps(known))
            clips.append(Spoken.read(path, name, i))
        own = [clip for clip in clips if clip.voice == name and f"{name}_{clip.index}" in known]
        if own:
            wall, cpu = np.sum([known[f"{name}_{clip.index}"] for clip in own], 0)
            spoken = sum(len(clip.samples) / clip.rate for clip in own)
            factors[name] = {"real_time_factor": wall / spoken, "cpu_factor": cpu / spoken}
    return clips, factors


def _folder(options: argparse.Namespace) -> Path:
    return options.out or Path(tempfile.mkdtemp(prefix="quality-"))


def model(options: argparse.Namespace, sentences: list[str]) -> dict[str, Any]:
    """Every sentence in every voice through the public API."""
    voicer = Voicer(options)
    names = options.voices or voicer.voices()
    clips, factors = _speak_all(voicer, {n: n for n in names}, sentences[: options.limit], _folder(options))
    report = evaluate(clips, sentences, quick=options.quick, sphinx=options.sphinx)
    rows: dict[str, dict[str, Any]] = {}
    for name in names:
        rows[name] = report["voices"][name] | factors.get(name, {})
        if sources.source_of(name) and not options.quick:
            said = [Spoken.read(p, name, i) for i, p in enumerate(sources.spoken(name, sentences[: options.limit]))]
            rows[f"{name} source"] = evaluate(said, sentences, sphinx=options.sphinx)["all"]
    means = {key: float(np.mean([f[key] for f in factors.values()])) for f in factors.values() for key in f}
    rows["all"] = report["all"] | means
    return {"about": voicer.about(), "rows": rows, "clips": report["clips"], "spoken": clips}


def as_trained(clip: Spoken, rate: int) -> Tensor:
    """The source clip at training's loudness and silences, (N,) float32 at ``rate`` Hz."""
    about = level(clip.samples, clip.rate)
    begin = round(max(0.0, about.leading - LEAD_SECONDS) * clip.rate)
    end = round((about.seconds - about.trailing + TAIL_SECONDS) * clip.rate)
    gain = np.float32(10 ** ((SPEECH_DBFS - about.rms_dbfs) / 20))
    cut = clip.samples[begin:end] * gain
    cut = np.pad(cut, (0, end - begin - len(cut)))
    return torch.from_numpy(recognise.resample(cut, clip.rate, rate))


def _true_codes(dvae_file: Path) -> Callable[[Spoken], Tensor]:
    """A function from a source clip to its codes (1, S), by the discrete VAE of training."""
    from tutortoietts.train.dvae import load

    dvae, norms = load(dvae_file)

    def codes(clip: Spoken) -> Tensor:
        wave = as_trained(clip, 22050)
        wave = torch.nn.functional.pad(wave, (0, -len(wave) % 1024))
        return dvae.encode(conditioning_mel(wave[None], norms)[:, :, :-1])

    return codes


def copy(options: argparse.Namespace, sentences: list[str]) -> dict[str, Any]:
    """True mels through the vocoder; and, with --dvae, true codes through latents, decoder and vocoder."""
    voicer = Voicer(options)
    tts = voicer.tts
    own = voicer.spec.presets
    told = preset_options(voicer.preset, own=own)
    refined = preset_options(voicer.preset, {"diffusion_iterations": told.diffusion_iterations + 2}, own=own)
    codes_of = _true_codes(options.dvae) if options.dvae else None
    ways: dict[str, list[Spoken]] = {"vocoder": []}
    if codes_of:
        ways |= {f"codes, {voicer.preset}": [], "codes, 2 steps more": []}
    for voice in options.voices or [v for v in voicer.voices() if sources.source_of(v)]:
        speaker, conditioning = tts.get_conditioning_latents(_named_or_cloned(voicer, voice, sentences))
        for i, path in enumerate(sources.spoken(voice, sentences[: options.limit])):
            clip = Spoken.read(path, voice, i)
            generator = torch.Generator().manual_seed(SEED + i)
            mel = diffusion_mel(as_trained(clip, RATE)[None])[:, :, :-1]
            ways["vocoder"].append(_vocoded(tts, Mel(values=mel), generator, clip))
            if codes_of is None:
                continue
            latents = _latents(tts, sentences[i], speaker, codes_of(clip))
            started = told.diffusion_start == "streamed"
            first = streamed_mel(tts.stream_decoder, latents, speaker) if started else None
            for name, how in ((f"codes, {voicer.preset}", told), ("codes, 2 steps more", refined)):
                made = denoise(tts.diffusion, latents, conditioning, how, generator, first=first)
                ways[name].append(_vocoded(tts, made, generator, clip))
    rows: dict[str, dict[str, Any]] = {}
    for name, clips in ways.items():
        report = evaluate(clips, sentences, quick=options.quick, sphinx=options.sphinx)
        rows |= {f"{voice}: {name}": figures for voice, figures in report["voices"].items()}
        if options.out:
            _keep(options.out, name, clips)
    return {"about": voicer.about(), "rows": dict(sorted(rows.items())), "spoken": ways["vocoder"]}


def _named_or_cloned(voicer: Voicer, voice: str, sentences: Sequence[str]) -> str | list[str]:
    """The model's own voice of that name, or clips of the source."""
    return voice if voice in voicer.voices() else references(voice, sentences, 4)


def references(voice: str, sentences: Sequence[str], count: int) -> list[str]:
    """The last sentences of the other set, spoken by the source: of no training, and not what is to be said."""
    others = recognise.load_sentences(SETS[enrolment_set(sentences)])[-count:]
    return [str(path) for path in sources.spoken(voice, others)]


@torch.inference_mode()
def _latents(tts: TextToSpeech, text: str, speaker: Tensor, codes: Tensor) -> Tensor:
    ids = tts.tokenizer.encode(text).ids
    ids = torch.nn.functional.pad(ids, (0, 1))
    return tts.autoregressive(speaker, ids, codes)[0]


def _vocoded(tts: TextToSpeech, mel: Mel, generator: torch.Generator, clip: Spoken) -> Spoken:
    samples = vocode(tts.vocoder, mel, generator).samples.reshape(-1).numpy()
    return Spoken(clip.voice, clip.index, samples, RATE)


def _keep(folder: Path, name: str, clips: Sequence[Spoken]) -> None:
    into = folder / name.replace(", ", "-").replace(" ", "-")
    into.mkdir(parents=True, exist_ok=True)
    for clip in clips:
        soundfile.write(into / f"{clip.voice}_{clip.index}.wav", clip.samples, clip.rate, subtype="PCM_16")


def _humans(files: Sequence[Path], folder: Path) -> dict[str, list[str]]:
    """Recordings of one person each, by file name: cut into references of about six seconds, kept in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[str]] = {}
    for file in files:
        clip = Spoken.read(file, file.stem, 0)
        size = 6 * clip.rate
        for at in range(0, max(1, min(len(clip.samples), 5 * size) - size // 2), size):
            path = folder / f"{file.stem}_{at // size}.wav"
            soundfile.write(path, clip.samples[at : at + size], clip.rate, subtype="PCM_16")
            found.setdefault(file.stem, []).append(str(path))
    return found


def _embeddings(clips: Sequence[Spoken]) -> dict[str, np.ndarray]:
    """What the speaker encoder makes of each voice's clips: name -> (N, 256), in the order of the sentences."""
    encoder = judges()[2]
    names = sorted({clip.voice for clip in clips})
    return {name: np.stack([encoder.embed(c.at_16k()) for c in clips if c.voice == name]) for name in names}


def _target(voice: str, clips: list[str], sentences: Sequence[str]) -> tuple[np.ndarray, float, float]:
    """A reference's voice: its mean embedding, how like itself it is, and its pitch in hertz."""
    spoken = [Spoken.read(Path(path), voice, i).at_16k() for i, path in enumerate(clips)]
    pitch = float(2 ** np.nanmedian([log_pitch(s.astype(np.float64), recognise.RATE) for s in spoken]))
    if sources.source_of(voice):
        return *face(voice, enrolment_set(sentences)), pitch
    found = np.stack([judges()[2].embed(one) for one in spoken])
    halves = similarity(found[::2].mean(0), found[1::2].mean(0)) if len(found) > 1 else 1.0
    return found.mean(0), halves, pitch


def clone(options: argparse.Namespace, sentences: list[str]) -> dict[str, Any]:
    """Voices from reference clips, against the voice they come from and the model's own voices.

    References are sentences of the other set, so of no training. In a row: ``similarity`` of the output to the target
    beside that of the own voice which is nearest to it, and ``nearer``: in how many sentences the output is nearer to
    the target than any own voice that says the same.
    """
    voicer = Voicer(options)
    folder, asked = _folder(options), sentences[: options.limit or 20]
    known, unknown = ([v for v in names.split(",") if v] for names in (options.known, options.unknown))
    given = {v: references(v, sentences, options.references) for v in known + unknown}
    given |= _humans(options.people or [], folder / "people")
    own, _ = _speak_all(voicer, {v: v for v in voicer.voices()}, asked, folder / "own")
    clips, factors = _speak_all(voicer, dict(given), asked, folder / "cloned")
    report = evaluate(clips, sentences, quick=options.quick, sphinx=options.sphinx)
    ours, made = _embeddings(own), _embeddings(clips)
    rows: dict[str, dict[str, Any]] = {}
    for voice, paths in given.items():
        target, itself, pitch = _target(voice, paths, sentences)
        rest = {name: of for name, of in ours.items() if sources.source_of(name) != voice}
        alike = {name: similarity(of.mean(0), target) for name, of in rest.items()}
        nearest = max(alike, key=lambda name: alike[name])
        best = np.max([[similarity(one, target) for one in of] for of in rest.values()], 0)
        rows[f"{voice} ({'known' if voice in known else 'unknown'})"] = {
            **report["voices"][voice],
            **factors.get(voice, {}),
            "similarity": similarity(made[voice].mean(0), target),
            "self_similarity": itself,
            "nearest_own": nearest,
            "nearest_similarity": alike[nearest],
            "nearer": float(
                np.mean([similarity(one, target) > far for one, far in zip(made[voice], best, strict=True)])
            ),
            "target_pitch_hertz": pitch,
        }
    return {"about": voicer.about(), "rows": rows, "clips": report["clips"], "spoken": clips}
