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
from acoustics import level, timbre
from evaluate import SETS, Spoken, enrolment_set, evaluate, gallery
from tutortoietts import TextToSpeech
from tutortoietts.audio.mel import conditioning_mel, diffusion_mel
from tutortoietts.core.presets import preset_options
from tutortoietts.core.types import Mel
from tutortoietts.engine.denoise import denoise
from tutortoietts.engine.vocode import vocode
from tutortoietts.runtime.source import open_source

RATE = 24000
REFERENCE_DBFS = -21.0  # of the speech, as in training
LEAD_SECONDS, TAIL_SECONDS = 0.06, 0.20
SEED = 1000
Seconds = tuple[float, float]  # by the clock on the wall, and of all CPU cores together


class Voicer:
    """The public API with one preset, timed."""

    def __init__(self, options: argparse.Namespace) -> None:
        if options.threads:
            torch.set_num_threads(options.threads)
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
        wave = self.tts.tts_with_preset(
            text, preset=self.preset, voice_samples=voice, use_deterministic_seed=seed, verbose=False
        )
        return wave.reshape(-1).numpy(), (time.perf_counter() - began, time.process_time() - spent)

    def about(self) -> dict[str, Any]:
        first = None if self.first_seconds is None else self.load_seconds + self.first_seconds
        return {
            "model": self.spec.name,
            "preset": self.preset,
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
    report = evaluate(clips, sentences, quick=options.quick)
    rows: dict[str, dict[str, Any]] = {}
    for name in names:
        rows[name] = report["voices"][name] | factors.get(name, {})
        if sources.is_source(name) and not options.quick:
            heard = sources.figures(name, sentences)["clips"][: options.limit]
            said = [Spoken.read(p, name, i) for i, p in enumerate(sources.spoken(name, sentences[: options.limit]))]
            rows[f"{name} source"] = evaluate(said, sentences, heard=heard)["all"]
    means = {key: float(np.mean([f[key] for f in factors.values()])) for f in factors.values() for key in f}
    rows["all"] = report["all"] | means
    return {"about": voicer.about(), "rows": rows, "clips": report["clips"], "spoken": clips}


def as_trained(clip: Spoken, rate: int) -> Tensor:
    """The source clip at training's loudness and silences, (N,) float32 at ``rate`` Hz."""
    about = level(clip.samples, clip.rate)
    begin = round(max(0.0, about.leading - LEAD_SECONDS) * clip.rate)
    end = round((about.seconds - about.trailing + TAIL_SECONDS) * clip.rate)
    gain = np.float32(10 ** ((REFERENCE_DBFS - about.rms_dbfs) / 20))
    cut = clip.samples[begin:end] * gain
    cut = np.pad(cut, (0, end - begin - len(cut)))
    return torch.from_numpy(recognise.resample(cut, clip.rate, rate))


def _true_codes(dvae_file: Path) -> Callable[[Spoken], Tensor]:
    """A function from a source clip to its codes (1, S), by the discrete VAE of training."""
    from safetensors.torch import load_file

    from tutortoietts.models.dvae import Dvae
    from tutortoietts.train.dvae import CONFIG

    state = load_file(dvae_file)
    norms = state.pop("norms")
    dvae = Dvae(CONFIG).eval()
    dvae.load_state_dict(state)

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
    first_mel = preset_options(voicer.preset, {"diffusion_start": "regressed", "diffusion_iterations": 0}, own=own)
    codes_of = _true_codes(options.dvae) if options.dvae else None
    ways: dict[str, list[Spoken]] = {"vocoder": []}
    if codes_of:
        ways |= {"codes, first mel": [], f"codes, {voicer.preset}": []}
    for voice in options.voices or [v for v in voicer.voices() if sources.is_source(v)]:
        speaker, conditioning = tts.get_conditioning_latents(_named_or_cloned(voicer, voice, sentences))
        for i, path in enumerate(sources.spoken(voice, sentences[: options.limit])):
            clip = Spoken.read(path, voice, i)
            generator = torch.Generator().manual_seed(SEED + i)
            mel = diffusion_mel(as_trained(clip, RATE)[None])[:, :, :-1]
            ways["vocoder"].append(_vocoded(tts, Mel(values=mel), generator, clip))
            if codes_of is None:
                continue
            latents = _latents(tts, sentences[i], speaker, codes_of(clip))
            for name, how in (("codes, first mel", first_mel), (f"codes, {voicer.preset}", told)):
                made = denoise(tts.diffusion, latents, conditioning, how, generator)
                ways[name].append(_vocoded(tts, made, generator, clip))
    rows: dict[str, dict[str, Any]] = {}
    for name, clips in ways.items():
        report = evaluate(clips, sentences, quick=options.quick)
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


def _means(clips: Sequence[Spoken], names: Sequence[str]) -> dict[str, np.ndarray]:
    """The mean timbre of each voice's clips."""
    vectors = {n: [timbre(c.at_16k(), recognise.RATE) for c in clips if c.voice == n] for n in names}
    return {n: np.mean([x for x in v if np.isfinite(x).all()] or v, 0) for n, v in vectors.items()}


def clone(options: argparse.Namespace, sentences: list[str]) -> dict[str, Any]:
    """Voices from reference clips, against the voice they come from and the model's own voices.

    References are sentences of the other set, so of no training. In a row: ``moved``, how far the output has gone from
    the mean of the model's own voices towards the reference's voice (1: all the way), and ``distance`` to it, in
    deviations of single clips, beside that of the own voice which is nearest to it.
    """
    voicer = Voicer(options)
    folder, asked = _folder(options), sentences[: options.limit or 20]
    known, unknown = ([v for v in names.split(",") if v] for names in (options.known, options.unknown))
    cloned: dict[str, str | list[str]] = {v: references(v, sentences, options.references) for v in known + unknown}
    own, _ = _speak_all(voicer, {v: v for v in voicer.voices()}, asked, folder / "own")
    clips, factors = _speak_all(voicer, cloned, asked, folder / "cloned")
    faces = gallery(tuple(dict.fromkeys([*sources.FLITE, *cloned])), enrolment_set(sentences))
    report = evaluate(clips, sentences, quick=options.quick)
    base = _means(own, voicer.voices())
    start = np.mean(list(base.values()), 0)
    rows: dict[str, dict[str, Any]] = {}
    for voice, made in _means(clips, list(cloned)).items():
        target = faces.centres[faces.names.index(voice)]
        way, gone = (target - start) / faces.spread, (made - start) / faces.spread
        away = {name: float(np.sqrt(np.mean(((v - target) / faces.spread) ** 2))) for name, v in base.items()}
        rest = {name: far for name, far in away.items() if name != voice}
        nearest = min(rest, key=lambda name: rest[name])
        heard = [faces.nearest(timbre(c.at_16k(), recognise.RATE)) for c in clips if c.voice == voice]
        rows[f"{voice} ({'known' if voice in known else 'unknown'})"] = {
            **report["voices"][voice],
            "right_voice": heard.count(voice) / len(heard),
            **factors.get(voice, {}),
            "moved": float(way @ gone / (way @ way)),
            "distance": float(np.sqrt(np.mean((gone - way) ** 2))),
            "own_voice": away.get(voice),
            "nearest_other": nearest,
            "nearest_other_distance": rest[nearest],
            "pitch_hertz": float(2 ** made[-1]),
            "target_pitch_hertz": float(2 ** target[-1]),
        }
    return {"about": voicer.about(), "rows": rows, "clips": report["clips"], "spoken": clips}
