"""Replays of the golden files of XTTS: kind -> what computes every output of such a file. Used by `conformance`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from golden_files import SHARED, Golden, greedy, module_of
from tutortoietts.audio.mel import XTTS_N_FFT, _htk_edges, _triangles, conditioning_mel, speaker_features, speaker_mel
from tutortoietts.audio.reference import first_chunks, peak_normalized
from tutortoietts.audio.resample import resample_sinc
from tutortoietts.core.config_xtts import SpeakerEncoderConfig, XttsConfig, XttsModelConfigs, hifigan_of
from tutortoietts.models.hifigan import Hifigan
from tutortoietts.models.speaker_encoder import SpeakerEncoder
from tutortoietts.models.xtts import Xtts, at_speed
from tutortoietts.text.xtts.tokenizer import XttsTokenizer
from tutortoietts.weights.xtts import mel_stats

__all__ = ["XTTS_KINDS", "XttsModels", "original_stream", "replay_text", "xtts_models"]

RATE = 22050
IGNORED = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class XttsModels:
    """The three models of a release and its mel norms."""

    gpt: Xtts
    decoder: Hifigan
    speaker_encoder: SpeakerEncoder
    norms: Tensor

    def prompt(self, clips: list[Tensor], seconds: float, chunk: float) -> Tensor:
        """Prompt latents (1, P, D) of clips (1, N) by the original's rule."""
        chunks = first_chunks(clips, RATE, seconds=seconds, chunk_seconds=chunk)
        encoded = [self.gpt.conditioning(conditioning_mel(one, self.norms, XTTS_N_FFT)) for one in chunks]
        return torch.stack(encoded).mean(dim=0)

    def vector(self, clips: list[Tensor]) -> Tensor:
        """Speaker vector (1, C) of clips (1, N), the mean over them."""
        each = [self.speaker_encoder(speaker_features(resample_sinc(clip, RATE, 16000))) for clip in clips]
        return torch.stack(each).mean(dim=0)


def xtts_models(weights: dict[str, Tensor], configs: XttsModelConfigs) -> XttsModels:
    """All models from the tensors of a release."""
    parts = {"xtts": configs.gpt, "hifigan": configs.decoder, "speaker_encoder": configs.speaker_encoder}
    made: dict[str, Any] = {kind: module_of(kind, config, weights) for kind, config in parts.items()}
    return XttsModels(
        gpt=made["xtts"], decoder=made["hifigan"], speaker_encoder=made["speaker_encoder"], norms=mel_stats(weights)
    )


def _gpt_model(golden: Golden) -> Xtts:
    return cast(Xtts, module_of("xtts", XttsConfig.from_dict(golden.config), golden.weights))


def _gpt(golden: Golden) -> dict[str, Tensor]:
    model, text = _gpt_model(golden), golden.inputs["text"]
    prompt = model.conditioning(golden.inputs["mel"])
    latents, mel_logits, text_logits = model(prompt, text, golden.inputs["codes"])
    count = golden.outputs["greedy_codes"].shape[1]
    return {
        "conditioning": prompt,
        "latents": latents,
        "mel_logits": mel_logits.transpose(1, 2),
        "text_logits": text_logits.transpose(1, 2),
        "greedy_codes": greedy(model, prompt, text, count, penalty=1.0, may_stop=False),
    }


def _gpt_loss(golden: Golden) -> dict[str, Tensor]:
    model, inputs = _gpt_model(golden), golden.inputs
    cfg, rows = model.cfg, len(inputs["codes"])
    counts = (inputs["wav_lengths"] / cfg_stride(golden)).ceil().long()
    text = inputs["text"][:, : int(inputs["text_lengths"].max())]
    length = int(counts.max()) + 4
    codes = F.pad(inputs["codes"], (0, max(0, length - inputs["codes"].shape[1])), value=cfg.stop_mel_token)[:, :length]
    codes = codes.masked_fill(torch.arange(length) >= counts[:, None], cfg.stop_mel_token)
    text_targets = F.pad(text, (0, 2), value=cfg.stop_text_token)
    code_targets = F.pad(codes, (0, 1), value=cfg.stop_mel_token)
    places = torch.arange(max(text_targets.shape[1], length + 1))
    text_targets = text_targets.masked_fill(places[: text_targets.shape[1]] > inputs["text_lengths"][:, None], IGNORED)
    code_targets = code_targets.masked_fill(places[: length + 1] > counts[:, None] + 3, IGNORED)

    mels = inputs["cond_mels"]
    prompt = torch.stack([model.conditioning(clip).mean(dim=0) for clip in mels])
    prefix = model.prefix(prompt, text)
    x = torch.cat([prefix, model.embed_codes(F.pad(codes, (1, 0), value=cfg.start_mel_token))], dim=1)
    seen = torch.cat(
        [
            torch.ones(rows, prompt.shape[1], dtype=torch.bool),
            places[: text.shape[1] + 2] <= inputs["text_lengths"][:, None],
            places[: length + 1] <= counts[:, None] + 3,
        ],
        dim=1,
    )
    causal = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
    hidden = model.hidden_states(x, mask=causal & seen[:, None, None, :])
    text_logits = model.text_logits(hidden[:, prompt.shape[1] : prefix.shape[1]]).transpose(1, 2)
    mel_logits = model.mel_logits(hidden[:, prefix.shape[1] :]).transpose(1, 2)
    masked = code_targets.clone()
    start, end = inputs["cond_idxs"][-1].tolist()  # as the original: samples / 256, and only the last row
    masked[-1, start // 256 : end // 256] = IGNORED
    results: dict[str, Tensor] = {}
    for name, targets in (("plain", code_targets), ("lens", code_targets), ("masked", masked)):
        results[f"loss_text_{name}"] = F.cross_entropy(text_logits, text_targets, ignore_index=IGNORED)
        results[f"loss_mel_{name}"] = F.cross_entropy(mel_logits, targets, ignore_index=IGNORED)
        results[f"mel_logits_{name}"] = mel_logits
    return results


def cfg_stride(golden: Golden) -> int:
    """Samples a code."""
    return int(golden.config.get("code_stride_len", 1024))


def _decoder(golden: Golden) -> dict[str, Tensor]:
    weights = {key.removeprefix("waveform_decoder."): tensor for key, tensor in golden.weights.items()}
    model = module_of("hifigan", hifigan_of(golden.config), weights)
    return {"waveform": model(golden.inputs["latents"], golden.inputs["speaker"].flatten(1))}


def _speaker_encoder(golden: Golden) -> dict[str, Tensor]:
    config = SpeakerEncoderConfig.from_dict(golden.config)
    model = cast(SpeakerEncoder, module_of("speaker_encoder", config, golden.weights))
    wav = speaker_features(golden.inputs["wav16"])
    found = {"speaker": model(wav), "speaker_raw": model.raw(wav), "pooled": model.pooled(wav)}
    if "wav16_short" in golden.inputs:
        found["speaker_short"] = model(speaker_features(golden.inputs["wav16_short"]))
    return {name: found[name] for name in golden.outputs or found}


def _audio(golden: Golden) -> dict[str, Tensor]:
    wav, norms = golden.inputs["wav"], golden.inputs["mel_stats"]
    wav16 = resample_sinc(wav, RATE, 16000)
    resampled = {f"wav22_from_{khz}": resample_sinc(golden.inputs[f"wav{khz}"], khz * 1000, RATE) for khz in (24, 48)}
    return {
        "style_mel": conditioning_mel(wav, norms, XTTS_N_FFT),
        "dvae_mel": conditioning_mel(wav, norms),
        "v1_mel": _v1_mel(wav) / norms[:, None],
        "wav16": wav16,
        "speaker_mel": speaker_mel(wav16),
        "speaker_input": speaker_features(wav16),
        "wav22_from_44": resample_sinc(golden.inputs["wav44"], 44100, RATE),
        **resampled,
    }


def _v1_mel(wav: Tensor) -> Tensor:
    """The mel of XTTS v1, which the package does not load: transform and window 4096, hop 1024."""
    window, edges = torch.hann_window(4096), _htk_edges(80, 8000.0)
    power = torch.stft(wav, 4096, 1024, window=window, return_complex=True).abs().square()
    filters = _triangles(edges, RATE, 4096) * (2 / (edges[2:] - edges[:-2]))[:, None]
    return (filters.float() @ power).clamp(min=1e-5).log()


def _pipeline(golden: Golden) -> dict[str, Tensor]:
    models = xtts_models(golden.weights, XttsModelConfigs.from_release(golden.config))
    one, two, text = (golden.inputs[name] for name in ("ref_one", "ref_two", "text"))
    first_second, normed = one[:, :RATE], peak_normalized(one)
    prompt, vector = models.prompt([one], 30, 1), models.vector([one])
    limit = models.gpt.cfg.max_new_codes
    codes = greedy(models.gpt, prompt, text, limit, penalty=10.0, may_stop=True)
    latents, _, _ = models.gpt(prompt, text, codes)
    results = {
        "conditioning": prompt,
        "conditioning_two": models.prompt([one, two], 30, 2),
        "conditioning_len2": models.prompt([one], 2, 1),
        "conditioning_whole": models.prompt([one], 30, 30),
        "conditioning_ref1": models.prompt([first_second], 30, 1),
        "conditioning_norm": models.prompt([normed], 30, 30),
        "speaker": vector[..., None],
        "speaker_two": models.vector([one, two])[..., None],
        "speaker_ref1": models.vector([first_second])[..., None],
        "speaker_norm": models.vector([normed])[..., None],
        "codes": codes,
        "codes_penalty5": greedy(models.gpt, prompt, text, limit, penalty=5.0, may_stop=True),
        "codes_plain": greedy(models.gpt, prompt, text, limit, penalty=1.0, may_stop=True),
        "latents": latents,
    }
    for name in golden.outputs:
        kind, _, rest = name.partition("_")
        if name.startswith("stream_") and not name.endswith("_lengths"):
            size, overlap, speed = rest.split("_")
            chunks = original_stream(models.decoder, latents, vector, int(size), int(overlap), float(speed))
            results[name] = torch.cat(chunks)
            results[f"{name}_lengths"] = torch.tensor([len(chunk) for chunk in chunks])
        elif kind == "latents" and rest:
            results[name] = at_speed(latents, float(rest))
        elif kind == "waveform":
            results[name] = models.decoder(at_speed(latents, float(rest)), vector).flatten()
    return results


def original_stream(
    decoder: nn.Module, latents: Tensor, vector: Tensor, size: int, overlap: int, speed: float
) -> list[Tensor]:
    """Chunks as the original sends them: all latents so far are decoded each time, the last `overlap` samples kept
    back, to be cross-faded with the same place of the next chunk."""
    count, previous, chunks = latents.shape[1], None, []
    ends = [*range(size, count + 1, size), count]
    for end in ends:
        wave = decoder(at_speed(latents[:, :end], speed), vector).flatten()
        chunks.append(_next_chunk(wave, previous, overlap))
        previous = wave
    return chunks


def _next_chunk(wave: Tensor, previous: Tensor | None, overlap: int) -> Tensor:
    if previous is None:
        return wave[:-overlap]
    start = len(previous) - overlap
    chunk = wave[start:-overlap].clone()
    if len(chunk) < overlap:
        return wave[start:]
    fade = torch.linspace(0.0, 1.0, overlap)
    chunk[:overlap] = chunk[:overlap] * fade + previous[-overlap:] * (1 - fade)
    return chunk


XTTS_KINDS: dict[str, Callable[[Golden], dict[str, Tensor]]] = {
    "xtts_audio": _audio,
    "xtts_decoder": _decoder,
    "xtts_gpt_loss": _gpt_loss,
    "xtts_gpt": _gpt,
    "xtts_pipeline": _pipeline,
    "xtts_speaker_encoder": _speaker_encoder,
}


def replay_text(
    case: Mapping[str, Any], vocabulary: Path = SHARED / "text" / "xtts_test_vocab.json"
) -> tuple[str, list[int]]:
    """What the compatible mode makes of a case of xtts_cases.json, and its ids: as the original's inference, which
    strips and lower-cases first, unless the case says "raw"."""
    text = case["text"] if case.get("raw") else case["text"].strip().lower()
    tokenizer = _tokenizer(vocabulary, case["lang"])
    cleaned = tokenizer.clean(text)
    return cleaned, [*tokenizer.prefix, *tokenizer.ids(cleaned)]


@cache
def _tokenizer(vocabulary: Path, language: str) -> XttsTokenizer:
    return XttsTokenizer(vocabulary, language, spoken=False, unknown="keep")
