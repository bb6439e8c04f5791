"""What is lost in fewer bits: logits, mels and scores against float32, and the speech of the bundled model.

    python benchmarks/precision.py                       logits at full size and of the bundled model, and its speech
    python benchmarks/precision.py --no-speech --layers 4     a minute
    python benchmarks/precision.py --tiny --no-speech    a toy, in seconds: does the script work?

Logits: every precision gets the same prefix and the same codes (of the float32 model) as the float32 model; over all
places the relative error of the logits, how often the likeliest code is the same, and how far the distributions are
apart (Kullback-Leibler, in nats). Random weights have no structure that rounding could spare: a hard case.
Mel: the same latents and the same noise through the preset `ultra_fast_optimized` (for random weights, whose solver
goes astray, one forward): relative error, about the mean. Scores: CLVP's of 16 rows of codes, how far from float32's in
deviations between rows.
Speech: the sentences of benchmarks/quality.py through the public API with each precision; needs what that needs (the
extra `quality`, flite, espeak-ng). The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import torch
from torch import Tensor

from decode import TINY, able, make_model
from steps import base_options, drawn_latents
from tutortoietts import TextToSpeech
from tutortoietts.accelerate import diffusion_chain
from tutortoietts.bench.random_model import RANDOM_FULL, random_full
from tutortoietts.core.config import AutoregressiveConfig
from tutortoietts.core.presets import preset_options
from tutortoietts.engine.decoding.loop import decode
from tutortoietts.engine.decoding.request import DecodeRequest
from tutortoietts.engine.denoise import denoise, mel_frames
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.sampling.rows import row_generators
from tutortoietts.sampling.tokens import TokenOptions

RATE, SEED = 24000, 1000
TEXT = "The quick brown fox jumps over the lazy dog."


def drawn(model: Autoregressive, speaker: Tensor, text: Tensor, count: int) -> Tensor:
    """Codes that this model draws -> (1, count)."""
    request = DecodeRequest(
        prefix=model.prefix(speaker, text),
        generators=row_generators(SEED, 1),
        max_codes=count,
        min_codes=count,
        options=TokenOptions(),
    )
    return next(iter(decode(model, request))).ids


@torch.inference_mode()
def logits(model: Autoregressive, speaker: Tensor, text: Tensor, codes: Tensor) -> Tensor:
    """(places, classes) float32, through the cache as in decoding: the prefix first, then place by place."""
    prefix = model.prefix(speaker.to(model.dtype), text)
    inputs = torch.cat([torch.full_like(codes[:, :1], model.cfg.start_mel_token), codes[:, :-1]], dim=1)
    start = prefix.shape[1]
    cache = model.allocate_cache(1, start + inputs.shape[1])
    model.hidden_states(prefix, cache)
    rows = []
    for place in range(inputs.shape[1]):
        x = model.embed_codes(inputs[:, place : place + 1], offset=place)
        rows.append(model.mel_logits(model.hidden_states(x, cache, position=start + place))[:, 0])
    return torch.cat(rows)


def distance(ours: Tensor, exact: Tensor) -> dict[str, float]:
    """logits (places, classes) each."""
    spread = exact - exact.mean(dim=1, keepdim=True)
    error = (ours - exact) - (ours - exact).mean(dim=1, keepdim=True)  # a constant changes no probability
    ours, exact = ours.log_softmax(dim=1), exact.log_softmax(dim=1)
    return {
        "relative_error": float(error.norm() / spread.norm()),
        "same_likeliest": float((ours.argmax(dim=1) == exact.argmax(dim=1)).float().mean()),
        "divergence": float((exact.exp() * (exact - ours)).sum(dim=1).mean()),
    }


def random_weights(options: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    cfg = TINY if options.tiny else AutoregressiveConfig(layers=options.layers)
    generator = torch.Generator().manual_seed(SEED)
    speaker = torch.randn(1, cfg.model_dim, generator=generator).to(device)
    text = torch.randint(1, cfg.number_text_tokens, (1, 72), generator=generator).to(device)
    text[:, -1] = 0
    exact_model = make_model(cfg, "fp32", device)
    codes = drawn(exact_model, speaker, text, options.codes)
    exact = logits(exact_model, speaker, text, codes)
    del exact_model
    rows = []
    for name in options.precisions:
        ours = logits(make_model(cfg, name, device), speaker, text, codes)
        rows.append({"model": f"random, {cfg.layers} layers", "precision": name, **distance(ours, exact)})
    return rows


def trained(options: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    exact_tts = TextToSpeech(model=options.model, device=device, precision="fp32")
    exact_model = exact_tts.autoregressive
    voice = exact_tts.get_random_conditioning_latents(seed=SEED)[0].to(device)
    ids = exact_tts.tokenizer.encode(TEXT).ids
    text = torch.nn.functional.pad(ids, (0, 1)).to(device)
    codes = drawn(exact_model, voice, text, min(options.codes, exact_model.cfg.max_mel_tokens))
    exact = logits(exact_model, voice, text, codes)
    rows = []
    for name in options.precisions:
        model = TextToSpeech(model=options.model, device=device, precision=name).autoregressive
        rows.append({"model": options.model, "precision": name, **distance(logits(model, voice, text, codes), exact)})
    return rows


@torch.inference_mode()
def mel_and_scores(tts: TextToSpeech, latents: Tensor, rows: Tensor, solve: bool) -> tuple[Tensor, Tensor]:
    """latents (1, S, D), rows of codes (N, S) -> a mel (1, 100, F) or one estimate, and the rows' scores."""
    generator = torch.Generator().manual_seed(SEED)
    model, frames = tts.diffusion, mel_frames(latents.shape[1])
    weight = model.inp_block.weight
    speaker = 0.1 * torch.randn(1, 2 * model.cfg.model_channels, generator=generator)
    text = torch.randint(1, tts.spec.clvp.num_text_tokens - 1, (1, 70), generator=generator)
    scores = tts.clvp.score(tts.clvp.encode_text(text.to(weight.device)), tts.clvp.encode_codes(rows.to(weight.device)))
    if solve:
        mel = denoise(model, latents, speaker, preset_options("ultra_fast_optimized"), generator).values
        return mel, scores
    aligned = model.align(latents.to(weight), speaker.to(weight), frames)
    modulation = model.modulations(model.embed_step(torch.tensor([500.0], device=weight.device)))
    body = diffusion_chain(model, frames) or model
    x = torch.randn(1, model.cfg.in_channels, frames, generator=generator).to(weight.device)
    biases = model.position_biases(frames)
    return body.denoise(x, modulation, body.integrate(aligned, modulation, biases), biases), scores


def others(options: argparse.Namespace, device: torch.device, model: str) -> list[dict[str, Any]]:
    """The diffusion and CLVP of a model, or with random weights, in each precision."""
    random = model == RANDOM_FULL

    def opened(name: str) -> TextToSpeech:
        return TextToSpeech(model=random_full() if random else model, device=device, precision=name)

    exact = opened("fp32")
    generator = torch.Generator().manual_seed(SEED)
    rows = torch.randint(0, exact.spec.clvp.num_speech_tokens, (16, options.codes), generator=generator)
    if random:
        latents = torch.randn(1, options.codes, exact.spec.diffusion.in_latent_channels, generator=generator)
    else:
        speaker = exact.get_random_conditioning_latents(seed=SEED)[0]
        latents = drawn_latents(exact, TEXT, speaker, base_options(exact, None), SEED)
    mel, scores = mel_and_scores(exact, latents, rows, not random)
    found = []
    for name in options.precisions:
        our_mel, our_scores = mel_and_scores(opened(name), latents, rows, not random)
        error = float((our_mel - mel).norm() / (mel - mel.mean()).norm())
        away = float((our_scores - scores).abs().mean() / scores.std())
        found.append({"model": model, "precision": name, "mel_error": error, "score_error": away})
    return found


def speech(options: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    import recognise
    from evaluate import SETS, Spoken, evaluate

    sentences = recognise.load_sentences(SETS["test"])
    rows = []
    for name in options.precisions:
        tts = TextToSpeech(model=options.model, device=device, precision=name)
        voices = [voice.name for voice in tts.voices.voices()][: options.voices]
        began, clips = time.perf_counter(), []
        for voice in voices:
            for index, text in enumerate(sentences[: options.limit]):
                wave = tts.tts(text, voice_samples=voice, use_deterministic_seed=SEED + index, verbose=False)
                clips.append(Spoken(voice, index, wave.reshape(-1).numpy(), RATE))
        seconds = time.perf_counter() - began
        figures = evaluate(clips, sentences, quick=options.quick)["all"]
        spoken = sum(len(clip.samples) for clip in clips) / RATE
        rows.append({"precision": name, "real_time_factor": seconds / spoken, **figures})
    return rows


def table(rows: list[dict[str, Any]], columns: list[str]) -> None:
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for row in rows:
        values = [row.get(column) for column in columns]
        print("| " + " | ".join(f"{v:.3g}" if isinstance(v, float) else str(v) for v in values) + " |")
    print()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precisions", help="names, with commas between them; the default is all this device can do")
    parser.add_argument("--model", default="bundled", help="whose logits and speech")
    parser.add_argument("--layers", type=int, default=30, help="of the random full-size model")
    parser.add_argument("--codes", type=int, default=118)
    parser.add_argument("--limit", type=int, default=20, help="sentences of the set")
    parser.add_argument("--voices", type=int, default=2, help="voices that say each")
    parser.add_argument("--quick", action="store_true", help="forced choice only")
    parser.add_argument("--no-speech", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="a toy in place of the full size")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    known = able(torch.device(options.device))
    options.precisions = options.precisions.split(",") if options.precisions else known
    if unknown := set(options.precisions) - set(known):
        parser.error(f"{', '.join(sorted(unknown))}: this device can do {', '.join(known)}")
    return options


def main() -> None:
    options = arguments()
    device = torch.device(options.device)
    report: dict[str, Any] = {"benchmark": "precision", "device": options.device, "torch": torch.__version__}
    report["logits"] = random_weights(options, device) + trained(options, device)
    table(report["logits"], ["model", "precision", "relative_error", "same_likeliest", "divergence"])
    report["others"] = others(options, device, options.model)
    if not options.tiny:
        report["others"] += others(options, device, RANDOM_FULL)
    table(report["others"], ["model", "precision", "mel_error", "score_error"])
    if not options.no_speech:
        from evaluate import rounded

        report["speech"] = rounded(speech(options, device))
        heard = ["precision", "count", "forced_choice", "whisper_error_rate", "similarity", "run_on", "missing_end"]
        table(report["speech"], [*heard, "real_time_factor"])
    print(json.dumps(report))


if __name__ == "__main__":
    main()
