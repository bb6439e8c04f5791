"""Inputs and outputs of every stage of the recipe, and the sizes of the bundled model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from tutortoietts.core.config import (
    AutoregressiveConfig,
    ClvpConfig,
    CtcConfig,
    DiffusionConfig,
    ModelSpec,
    TokenizerSpec,
)
from tutortoietts.core.errors import ModelError, OptionError
from tutortoietts.core.presets import PRESETS as USUAL_PRESETS
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.models.clvp import Clvp
from tutortoietts.models.ctc import Ctc
from tutortoietts.models.diffusion import Diffusion
from tutortoietts.models.stream_vocos import StreamFront
from tutortoietts.text.tokenizer import Tokenizer
from tutortoietts.train import clvp, codes, corpus, ctc, data, decoder, dvae, gpt, optim, pack, streamer, vocoder
from tutortoietts.train.codes import CHARACTERS
from tutortoietts.train.export import averaged, export, fingerprint, make_voice, write_part
from tutortoietts.train.features import measure_norms, shards, speaker_of, unseen
from tutortoietts.train.log import Log
from tutortoietts.train.notice import notice, teachers_in
from tutortoietts.weights.load import save_state

__all__ = ["AUTOREGRESSIVE", "CLVP", "DIFFUSION", "VOICES", "Recipe"]

CODES = dvae.CONFIG.num_tokens
TOKENS = 3 + len(CHARACTERS)
AUTOREGRESSIVE = AutoregressiveConfig(
    layers=6,
    model_dim=256,
    heads=4,
    max_text_tokens=200,
    max_mel_tokens=320,
    number_text_tokens=TOKENS,
    start_text_token=TOKENS,
    number_mel_codes=CODES + 2,
    start_mel_token=CODES,
    stop_mel_token=CODES + 1,
    conditioning_blocks=2,
)
DIFFUSION = DiffusionConfig(
    model_channels=256,
    num_heads=4,
    num_layers=3,
    in_latent_channels=AUTOREGRESSIVE.model_dim,
    in_tokens=1,
    latent_conditioner_blocks=2,
    contextual_embedder_blocks=0,
    code_converter_blocks=0,
    integrator_layers=2,
    head_residual_blocks=2,
    latent_upsample=4,
)
CLVP = ClvpConfig(
    dim_text=128,
    dim_speech=128,
    dim_latent=128,
    num_text_tokens=TOKENS + 1,
    text_enc_depth=2,
    text_heads=2,
    num_speech_tokens=CODES,
    speech_enc_depth=2,
    speech_heads=2,
)
CTC = CtcConfig(num_text_tokens=TOKENS, num_speech_tokens=CODES)
# Training texts have up to MAX_CHARS characters: positions beyond are untrained and not shipped.
SHIPPED = dataclasses.replace(AUTOREGRESSIVE, max_text_tokens=corpus.MAX_CHARS + 1, max_mel_tokens=280)
VOICES = tuple(data.VOICES)
PRESETS = {
    "bundled": {
        "num_autoregressive_samples": 16,
        "temperature": 0.3,
        "top_p": 0.8,
        "repetition_penalty": 1.0,
        "diffusion_iterations": 0,
        "cond_free": False,
        "sampler": "dpm++2m",
        "diffusion_start": "streamed",
        "diffusion_start_step": 300,
    },
}
PRESETS["realtime"] = PRESETS["bundled"] | {"num_autoregressive_samples": 4}
PRESETS["balanced"] = PRESETS["bundled"] | {"num_autoregressive_samples": 8}
# from pure noise, where the others start, this decoder is not trained enough to be understood
PRESETS |= {
    name: PRESETS["bundled"] | {"num_autoregressive_samples": given["num_autoregressive_samples"]}
    for name, given in USUAL_PRESETS.items()
    if name not in PRESETS
}
CHECKPOINTS = {
    "autoregressive": "gpt",
    "clvp": "clvp",
    "ctc": "ctc",
    "diffusion": "decoder",
    "stream_decoder": "stream",
    "vocoder": "vocoder",
}
OTHERS_SECONDS = 90.0  # packed speech of a speaker that is no voice of the model's
HELD_OUT = 48  # clips of every voice that training never sees


@dataclass(frozen=True, slots=True)
class Recipe:
    """The stages, over a working folder. Each can be run again and goes on where it was."""

    work: Path
    start: Path | None = None  # a model directory whose weights a stage without a checkpoint begins with
    new_codes: bool = False  # whether its codes are another discrete VAE's
    device: str = "cpu"

    def first(self, part: str) -> optim.State | None:
        """Return weights to begin with, float32, or None for a start from nothing."""
        path = self.start / f"{part}.safetensors" if self.start else None
        return {k: v.float() for k, v in load_file(path).items()} if path and path.exists() else None

    def log(self, stage: str) -> Log:
        return Log(self.work / f"{stage}.jsonl")

    def norms(self) -> Tensor:
        path = self.work / "mel_norms.safetensors"
        if not path.exists():
            save_state(path, {"mel_norms": measure_norms(shards(self.work / "speech", 1))})
        return load_file(path)["mel_norms"]

    def speech(self, per_voice: int, per_warp: int, unseen_first: bool = False) -> list[Path]:
        """Return at most this many shards of every voice, then of every derived speaker."""
        derived = [name for name in data.speakers(data.TEACHERS) if name not in VOICES]
        chosen = (list(VOICES), per_voice), (derived, per_warp)
        return [p for names, each in chosen for p in shards(self.work / "speech", each, names, unseen_first)]

    def render(
        self, scale: float, teachers: tuple[str, ...], excluded: list[str], worker: int = 0, workers: int = 1
    ) -> None:
        """Render ``scale`` times the usual hours of every speaker of ``teachers``, at least one shard of each."""
        if unknown := [name for name in teachers if name not in data.TEACHERS]:
            raise OptionError(f"no teacher {unknown[0]!r}: there are {', '.join(data.TEACHERS)}")
        amounts = {name: scale * hours for name, hours in data.speakers(teachers).items()}
        data.render_all(self.work / "speech", amounts, excluded, worker, workers)

    def dvae(self, minutes: float) -> None:
        """Half an hour of every voice and a quarter of every other speaker are enough."""
        dvae.train(self.speech(6, 3), self.norms(), self.work / "dvae.safetensors", minutes, self.log("dvae"))

    def adapt(self, minutes: float) -> None:
        """Six shards of every voice and one of every other speaker are enough."""
        dvae.adapt(self.speech(6, 1), self.work / "dvae.safetensors", minutes, self.log("adapt"))

    def codes(self) -> None:
        """Code all speech that is rendered and not yet coded."""
        codes.write_tokenizer(self.work / "tokenizer.json")
        model, norms = dvae.load(self.work / "dvae.safetensors")
        for path in shards(self.work / "speech"):
            codes.encode(path, self.work / "codes" / path.name, model, norms)

    def pack(self, target: Path, speech_hours: float) -> tuple[int, int]:
        """Write all that another machine needs to go on to ``target``; return the bytes of codes and of speech.

        corpus.npz (all codes, phones and texts), speech.npz (Opus: OTHERS_SECONDS of every speaker, and of the voices
        what is left of ``speech_hours``), dvae.safetensors and mel_norms.safetensors.
        """
        target.mkdir(parents=True, exist_ok=True)
        coded = sorted((self.work / "codes").glob("*.npz"))
        if not coded:
            raise ModelError(f"{self.work} has no codes to pack: train codes makes them")
        state = load_file(self.work / "dvae.safetensors")
        save_state(target / "dvae.safetensors", {k: v if k in dvae.EXTRA else v.half() for k, v in state.items()})
        save_state(target / "mel_norms.safetensors", {"mel_norms": self.norms()})
        sizes = [pack.pack_codes(coded, target / "corpus.npz"), 0]
        if speech_hours:
            names = dict.fromkeys(speaker_of(path) for path in coded)
            rest = 3600 * speech_hours - OTHERS_SECONDS * sum(name not in VOICES for name in names)
            seconds = {n: max(rest / len(VOICES), OTHERS_SECONDS) if n in VOICES else OTHERS_SECONDS for n in names}
            speech = [path for path in shards(self.work / "speech", unseen_first=True) if speaker_of(path) in names]
            sizes[1] = pack.pack_speech(speech, target / "speech.npz", seconds)
        return sizes[0], sizes[1]

    def unpack(self, source: Path) -> int:
        """Unpack the files of `pack` into the working folder, unless they are there; returns the number of clips."""
        if not (source / "corpus.npz").exists():
            raise ModelError(f"{source} has no corpus.npz: it is not what train pack writes")
        self.work.mkdir(parents=True, exist_ok=True)
        for name in ("dvae.safetensors", "mel_norms.safetensors"):
            if not (self.work / name).exists():
                state = load_file(source / name)
                save_state(self.work / name, {key: value.float() for key, value in state.items()})
        codes.write_tokenizer(self.work / "tokenizer.json")
        if (source / "speech.npz").exists():
            pack.unpack_speech(source / "speech.npz", self.work / "speech")
        return pack.unpack_codes(source / "corpus.npz", self.work / "codes")

    def clips(self, excluded: list[str], seen_only: bool = False) -> tuple[gpt.Clips, gpt.Clips]:
        """Return (training clips, held-out clips): the last clips of the first shard of every voice are held out.

        ``seen_only``: without the shards that the autoregressive model is not to see. It is surer of what it has seen,
        and what learns from its latents must know them as they are of new text.
        """
        tokenizer = Tokenizer(self.work / "tokenizer.json")
        unwanted = {text.lower() for text in excluded}
        training: list[gpt.Item] = []
        held: list[gpt.Item] = []
        for path in sorted((self.work / "codes").glob("*.npz")):
            if seen_only and unseen(path):
                continue
            items = [item for item in gpt.read_clips([path], tokenizer) if item[0].text not in unwanted]
            if path.stem in {f"{voice}_000" for voice in VOICES}:
                held += items[-HELD_OUT:]
                items = items[:-HELD_OUT]
            training += items
        return gpt.Clips(training, AUTOREGRESSIVE), gpt.Clips(held, AUTOREGRESSIVE)

    def references(self) -> gpt.References:
        return gpt.References(shards(self.work / "speech", 1), self.norms())

    def gpt(self, minutes: float, excluded: list[str]) -> None:
        clips, held = self.clips(excluded, seen_only=True)
        path, start = self.work / "gpt.ckpt", self.first("autoregressive")
        gpt.train(clips, held, self.references(), path, minutes, self.log("gpt"), start, self.new_codes, self.device)

    def clvp(self, minutes: float, excluded: list[str]) -> None:
        clips, held = self.clips(excluded)
        path, start = self.work / "clvp.ckpt", self.first("clvp")
        clvp.train(clips, held, CLVP, path, minutes, self.log("clvp"), start, self.new_codes, self.device)

    def ctc(self, minutes: float, excluded: list[str]) -> None:
        clips, held = self.clips(excluded)
        path, start = self.work / "ctc.ckpt", self.first("ctc")
        ctc.train(clips, held, CTC, path, minutes, self.log("ctc"), start, self.new_codes, self.device)

    def vocoder(self, minutes: float, adversary_after: float) -> None:
        vocoder.train(
            self.speech(6, 3),
            self.work / "vocoder.safetensors",
            minutes,
            self.log("vocoder"),
            adversary_after,
            start=self.first("vocoder"),
            device=self.device,
        )

    def trained(self, part: str) -> optim.State | None:
        """Return averaged weights of a component, float32: of its checkpoint, or of the model to begin with."""
        checkpoint = self.work / f"{CHECKPOINTS[part]}.ckpt"
        if part in ("stream_decoder", "vocoder"):
            file = checkpoint.with_suffix(".safetensors")
            return load_file(file) if file.exists() else self.first(part)
        return averaged(checkpoint) if checkpoint.exists() else self.first(part)

    def needed(self, part: str) -> dict[str, Tensor]:
        """Return `trained`, or raise a ModelError."""
        state = self.trained(part)
        if state is None:
            raise ModelError(f"{self.work} has no {CHECKPOINTS[part]} yet: train {CHECKPOINTS[part]} makes it")
        return dict(state)

    def weights(self, folder: Path) -> list[str]:
        """Write what is trained so far, float16, as another run can begin with; returns the components' names."""
        folder.mkdir(parents=True, exist_ok=True)
        found = {part: state for part in CHECKPOINTS if (state := self.trained(part)) is not None}
        for part, state in found.items():
            write_part(dict(state), folder / f"{part}.safetensors")
        return list(found)

    def _gpt(self) -> Autoregressive:
        model = Autoregressive(AUTOREGRESSIVE).eval()
        optim.warm(model, self.needed("autoregressive"))
        return model

    def pairs(self, excluded: list[str], per_voice: int, per_warp: int) -> decoder.Pairs:
        """Make latents of the current autoregressive model, with mels, from this many shards of every voice.

        Shards that it has not seen come first.
        """
        clips, _ = self.clips(excluded)
        paths = self.speech(per_voice, per_warp, unseen_first=True)
        model = self._gpt().bfloat16().to(self.device)
        made = decoder.make_pairs(paths, clips.put(self.device), model, self.references())
        return decoder.Pairs(made, self.device)

    def decoder(self, minutes: float, excluded: list[str], per_voice: int, per_warp: int) -> None:
        pairs, path = self.pairs(excluded, per_voice, per_warp), self.work / "decoder.ckpt"
        decoder.train(pairs, DIFFUSION, path, minutes, self.log("decoder"), self.first("diffusion"))

    def stream(self, minutes: float, joint_after: float, excluded: list[str], per_voice: int, per_warp: int) -> None:
        pairs = self.pairs(excluded, per_voice, per_warp)
        speakers = streamer.speaker_latents(self._gpt(), self.references(), set(pairs.names))
        streamer.train(
            pairs,
            speakers,
            self.work / "stream.safetensors",
            minutes,
            self.log("stream"),
            joint_after,
            start=self.first("stream_decoder"),
            vocoder_start=self.trained("vocoder"),
            adversary=vocoder.adversary_of(self.work / "vocoder.ckpt"),
        )

    @torch.inference_mode()
    def export(self, folder: Path, name: str, excluded: list[str]) -> int:
        """Write the model directory, float16, named ``name`` and its weights' fingerprint; returns its bytes."""
        speaking = self.needed("autoregressive")
        for key, rows in (("text_pos_embedding", SHIPPED.text_positions), ("mel_pos_embedding", SHIPPED.mel_positions)):
            speaking[f"{key}.weight"] = speaking[f"{key}.weight"][:rows]
        parts = {
            "autoregressive": speaking,
            **{part: self.needed(part) for part in ("diffusion", "clvp", "ctc", "vocoder")},
        }
        if streams := self.trained("stream_decoder"):
            parts["stream_decoder"] = dict(streams)
            StreamFront(streamer.CONFIG).load_state_dict(parts["stream_decoder"])
        model, diffusion = self._gpt(), Diffusion(DIFFUSION).eval()
        diffusion.load_state_dict(parts["diffusion"])
        Clvp(CLVP).load_state_dict(parts["clvp"])
        Ctc(CTC).load_state_dict(parts["ctc"])
        name = f"{name}-{fingerprint(parts['autoregressive'], parts['diffusion'])}"
        references, mels = self.references(), decoder.true_mels(self.speech(1, 0), self.clips(excluded)[0])
        heard = {speaker_of(path) for path in (self.work / "codes").glob("*.npz")}
        named = {speaker: called for speaker, called in data.NAMES.items() if speaker in heard}
        voices = [
            dataclasses.replace(make_voice(speaker, name, model, diffusion, references, mels), name=called)
            for speaker, called in named.items()
        ]
        spec = ModelSpec(
            name=name,
            autoregressive=SHIPPED,
            diffusion=DIFFUSION,
            clvp=CLVP,
            ctc=CTC,
            vocoder=vocoder.CONFIG,
            stream_decoder=streamer.CONFIG if streams else None,
            tokenizer=TokenizerSpec(),
            default_preset="bundled",
            default_voice=voices[0].name,
            calm_token=None,
            presets=PRESETS,
        )
        norms = self.work / "mel_norms.safetensors"
        teachers = {data.teacher_of(speaker) for speaker in heard}
        if self.start and (began := self.start / "NOTICE.md").exists():  # what its weights began with learned, too
            teachers |= teachers_in(began.read_text(encoding="utf-8"))
        return export(folder, spec, parts, self.work / "tokenizer.json", norms, voices, notice(teachers))
