"""Replays golden files: `replay(path)` builds our module from the configuration and the original keys in the file (by
the key tables that load the public checkpoints), runs it on the inputs and returns what should equal every `output.*`.

The kind of a file is told by the beginning of its name or, failing that, by what it holds. Sizes come from the file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tutortoietts.audio.mel import conditioning_mel, diffusion_mel, normalize_mel
from tutortoietts.audio.resample import resample_sinc
from tutortoietts.engine.decoding.end_of_speech import latent_count, repair_codes
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.models.diffusion import Diffusion
from tutortoietts.sampling import plan, sample
from tutortoietts.sampling.schedule import trained_schedule
from tutortoietts.sampling.tokens import TokenOptions, history_mask, probabilities
from tutortoietts.weights.load import load_state

sys.path.insert(0, str(Path(__file__).resolve().parent))

from conformance_xtts import XTTS_KINDS, replay_text
from golden_files import SHARED, Golden, greedy, make_model, read, relative_error

__all__ = ["Golden", "greedy", "make_model", "read", "relative_error", "replay", "replay_text"]


def replay(path: str | Path) -> dict[str, Tensor]:
    """Every output of a golden file, recomputed by us. Raises ValueError for a file of a kind we do not know."""
    golden = read(Path(path))
    with torch.no_grad(), _two_threads():
        return _KINDS[_kind(golden)](golden)


@contextmanager
def _two_threads() -> Iterator[None]:
    """UnivNet with random weights amplifies rounding ten-thousandfold, and oneDNN sums in another order on 4 threads
    (relative difference 5e-4) than on the 1 or 2 of the recording."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, 2))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _autoregressive(golden: Golden) -> dict[str, Tensor]:
    model = make_model("autoregressive", golden)
    assert isinstance(model, Autoregressive)
    speaker, text = model.conditioning(golden.inputs["mel"]), golden.inputs["text"]
    latents, mel_logits, text_logits = model(speaker, text, golden.inputs["codes"])
    counts = {name: golden.outputs[name].shape[1] for name in ("greedy_codes", "greedy_plain")}
    return {
        "conditioning": speaker,
        "latents": latents,
        "mel_logits": mel_logits.transpose(1, 2),
        "text_logits": text_logits.transpose(1, 2),
        "greedy_codes": greedy(model, speaker, text, counts["greedy_codes"], penalty=2.0, may_stop=False),
        "greedy_plain": greedy(model, speaker, text, counts["greedy_plain"], penalty=1.0, may_stop=True),
    }


def _diffusion(golden: Golden) -> dict[str, Tensor]:
    model, x, step = _diffusion_model(golden), golden.inputs["x"], golden.inputs["timestep"]
    conditioning = model.conditioning(golden.inputs["mel"])
    aligned = model.align(golden.inputs["latents"], conditioning, x.shape[-1])
    return {
        "conditioning": conditioning,
        "aligned": aligned,
        "conditional": model(x, step, aligned),
        "unconditional": model(x, step, None),
    }


def _diffusion_model(golden: Golden) -> Diffusion:
    model = make_model("diffusion", golden)
    assert isinstance(model, Diffusion)
    return model


def _sampler(golden: Golden) -> dict[str, Tensor]:
    source = read(golden.path.parent / "diffusion.safetensors")
    model, aligned = _diffusion_model(source), _diffusion(source)["aligned"]
    config, noise = golden.config, golden.inputs["noise"]
    if config["trained_steps"] != trained_schedule().trained_steps:
        raise ValueError(f"{golden.path}: {config['trained_steps']} trained steps; the models have 4000")

    def conditional(x: Tensor, step: float) -> Tensor:
        output: Tensor = model(x, torch.full((x.shape[0],), step), aligned)
        return output

    def both(x: Tensor, step: float) -> tuple[Tensor, Tensor]:
        return conditional(x, step), model(x, torch.full((x.shape[0],), step), None)

    def run(solver: str) -> Tensor:
        steps, step_noise = config["steps"], golden.inputs["step_noise"]
        if config["cond_free"]:
            return sample(both, noise, solver, steps, guidance=config["cond_free_k"], step_noise=step_noise)
        return sample(conditional, noise, solver, steps, step_noise=step_noise)

    shown = torch.tensor(plan("ancestral", config["steps"])).long()
    return {"ancestral": run("ancestral"), "ddim": run("ddim"), "timesteps": shown}


def _dvae(golden: Golden) -> dict[str, Tensor]:
    model: Any = make_model("dvae", golden)
    codes = model.encode(golden.inputs["mel"])
    return {"codes": codes, "reconstruction": model.decode(codes)}


def _forward(kind: str, output: str, *inputs: str) -> Callable[[Golden], dict[str, Tensor]]:
    """A model whose one output is that of its forward."""

    def run(golden: Golden) -> dict[str, Tensor]:
        return {output: make_model(kind, golden)(*(golden.inputs[name] for name in inputs))}

    return run


def _filters(golden: Golden) -> dict[str, Tensor]:
    logits = golden.inputs["logits"]
    seen = history_mask(golden.inputs["history"], logits.shape[1])
    cases = enumerate(golden.config["cases"])
    return {f"probs_{index}": probabilities(logits, seen, TokenOptions(**case)) for index, case in cases}


def _repair(golden: Golden) -> dict[str, Tensor]:
    ids, stop, calm = golden.inputs["codes"], golden.config["stop_mel_token"], golden.config["calm_token"]
    return {"repaired": repair_codes(ids, stop, calm), "latent_count": latent_count(ids, stop, calm, "anywhere")}


def _audio(golden: Golden) -> dict[str, Tensor]:
    wav = golden.inputs["wav"]
    wav24 = resample_sinc(wav, golden.config["sample_rate"], 24000)
    mel100 = diffusion_mel(wav24)
    return {
        "mel80": conditioning_mel(wav, _mel_norms(golden.path))[0],
        "wav24": wav24,
        "mel100": mel100,
        "normalized": normalize_mel(mel100),
    }


def _mel_norms(path: Path) -> Tensor:
    """The public 80 mel norms: beside the folder of the golden file, or in ../shared."""
    places = (path.resolve().parents[1] / "audio", SHARED / "audio")
    file = next(place for place in places if (place / "mel_norms.safetensors").is_file()) / "mel_norms.safetensors"
    (norms,) = load_state(file).values()
    return norms.flatten()


_KINDS: dict[str, Callable[[Golden], dict[str, Tensor]]] = {
    "audio_features": _audio,
    "autoregressive": _autoregressive,
    "bigvgan": _forward("bigvgan", "waveform", "mel"),
    "classifier": _forward("classifier", "logits", "clip"),
    "clvp": _forward("clvp", "similarity", "text", "codes"),
    "code_repair": _repair,
    "cvvp": _forward("cvvp", "similarity", "mel", "codes"),
    "diffusion": _diffusion,
    "dvae": _dvae,
    "hifigan": _forward("hifigan", "waveform", "latents", "speaker"),
    "random_latent": _forward("random_latent", "latent", "noise"),
    "sampler": _sampler,
    "sampling_filters": _filters,
    "univnet": _forward("univnet", "waveform", "mel", "z"),
    "xtts_sampling": _filters,
    **XTTS_KINDS,
}

_SIGNS: dict[str, str] = {  # a key of the configuration that only this kind has
    "autoregressive": "number_mel_codes",
    "bigvgan": "snake_logscale",
    "classifier": "downsample_factor",
    "clvp": "speech_enc_depth",
    "code_repair": "calm_token",
    "cvvp": "conditioning_enc_depth",
    "diffusion": "in_latent_channels",
    "dvae": "codebook_dim",
    "hifigan": "cond_channels",
    "sampler": "cond_free",
    "sampling_filters": "cases",
    "univnet": "kpnet_conv_size",
    "xtts_audio": "style",
    "xtts_pipeline": "gpt_layers",
    "xtts_decoder": "decoder_input_dim",
    "xtts_speaker_encoder": "proj_dim",
}


def _kind(golden: Golden) -> str:
    """Checked by name first, by content next."""
    return next(_guesses(golden))


def _guesses(golden: Golden) -> Iterator[str]:
    yield from (kind for kind in _KINDS if golden.path.name.startswith(kind))
    yield from (kind for kind, sign in _SIGNS.items() if sign in golden.config and kind != "clvp")
    if "num_audio_tokens" in golden.config:
        yield "xtts_gpt_loss" if "cond_mels" in golden.inputs else "xtts_gpt"
    if "speech_enc_depth" in golden.config:
        yield "clvp"
    if set(golden.config) == {"channels"}:
        yield "random_latent"
    if "wav" in golden.inputs:
        yield "audio_features"
    raise ValueError(f"{golden.path}: no kind of golden file has the configuration keys {sorted(golden.config)}")
