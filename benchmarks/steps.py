"""How far few steps of each diffusion solver are from the solution.

    python benchmarks/steps.py [--model bundled] [--sentences dev|test|FILE] [--limit 6] [--steps 4,6,8,10,15]
                               [--picture docs/steps.png]

For every sentence codes are drawn once; then the same latents and the same starting noise go to every solver. The
solution is that of 1000 steps of dpm++2m (--reference): the probability flow from this noise, which ddim, dpm++2m and
unipc approach. ancestral and dpm++2m_sde draw noise on their way, so they end near it, not at it. So does a start from
the model's own first mel ("regressed S": noised again to trained step S). "other noise" is how far two solutions from
different noises are apart: a distance below it is one that chance makes anyway.

Distances are the mean over frames and bands of the log-mel in nats, and, as "relative", the norm of the difference over
that of the solution about its mean. A table goes to standard output, JSON is its last line.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import recognise
from chart import curves
from evaluate import SETS
from tutortoietts import TextToSpeech
from tutortoietts.core.presets import SpeechOptions, preset_options
from tutortoietts.core.samplers import SAMPLERS
from tutortoietts.engine.decoding.latents import latents_of
from tutortoietts.engine.decoding.loop import decode
from tutortoietts.engine.decoding.request import DecodeRequest
from tutortoietts.engine.denoise import denoise
from tutortoietts.engine.pipeline import token_options
from tutortoietts.sampling.rows import row_generators

STARTS = (100, 300, 1000, 2000)
SEED = 1000


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled", help="what TextToSpeech(model=...) takes")
    parser.add_argument("--voice", help="the default is the model's own")
    parser.add_argument("--sentences", default="dev", help="test, dev or a file of one sentence a line")
    parser.add_argument("--limit", type=int, default=6, help="only the first so many sentences")
    parser.add_argument("--steps", type=_numbers, default=(4, 6, 8, 10, 15), help="with commas between them")
    parser.add_argument("--starts", type=_numbers, default=STARTS, help="trained steps to start the first mel from")
    parser.add_argument("--solvers", default=",".join(SAMPLERS), help="with commas between them")
    parser.add_argument("--guidance", type=float, help="its strength; the default is the preset's")
    parser.add_argument("--reference", type=int, default=1000, help="steps of the solution")
    parser.add_argument("--threads", type=int, help="torch's threads")
    parser.add_argument("--picture", type=Path, help="write the curves here, as a PNG")
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def base_options(tts: TextToSpeech, guidance: float | None) -> SpeechOptions:
    """The preset's, but diffusion from noise, guided or not."""
    options = preset_options(tts.default_preset, own=tts.spec.presets)
    of_noise = {"diffusion_start": "noise", "diffusion_spacing": None, "diffusion_temperature": 1.0}
    options = replace(options, diffusion_iterations=options.diffusion_iterations or 1, **of_noise)
    if guidance is None:
        return options
    return replace(options, cond_free=guidance > 0, cond_free_k=guidance)


@torch.inference_mode()
def drawn_latents(tts: TextToSpeech, text: str, speaker: Tensor, options: SpeechOptions, seed: int) -> Tensor:
    """(1, S, D) of one candidate."""
    ids = torch.nn.functional.pad(tts.tokenizer.encode(text).ids, (0, 1))
    weight = tts.autoregressive.final_norm.weight
    request = DecodeRequest(
        prefix=tts.autoregressive.prefix(speaker.to(weight), ids.to(weight.device)),
        generators=row_generators(seed, 1),
        max_codes=min(options.max_mel_tokens, tts.spec.autoregressive.max_mel_tokens),
        options=token_options(options),
        silence_code=tts.spec.calm_token,
    )
    (codes,) = decode(tts.autoregressive, request)
    return latents_of(tts.autoregressive, request, codes, 0, options.calm_rule)


def ways(chosen: argparse.Namespace, options: SpeechOptions) -> Iterator[tuple[str, int, SpeechOptions]]:
    """(row, steps, options) of everything that is compared with the solution."""
    for steps in chosen.steps:
        for solver in chosen.solvers.split(","):
            yield solver, steps, replace(options, sampler=solver, diffusion_iterations=steps)
    for start in chosen.starts:
        for steps in (s for s in chosen.steps if s <= start + 1):
            shallow = {"diffusion_start": "regressed", "diffusion_start_step": start, "diffusion_iterations": steps}
            yield f"regressed {start}", steps, replace(options, sampler="dpm++2m", **shallow)


def distances(ours: Tensor, solution: Tensor) -> tuple[float, float]:
    """(mean absolute difference in nats, relative)."""
    away = (ours - solution).double()
    return float(away.abs().mean()), float(away.norm() / (solution - solution.mean()).double().norm())


def measure(tts: TextToSpeech, chosen: argparse.Namespace, sentences: Sequence[str]) -> dict[str, Any]:
    """row -> {"nats": {steps: mean over sentences}, "relative": the same}."""
    options = base_options(tts, chosen.guidance)
    voice = chosen.voice or tts.spec.default_voice or tts.voices.voices()[0].name
    speaker, conditioning = tts.get_conditioning_latents(voice)
    found: dict[str, dict[int, list[tuple[float, float]]]] = {}
    for number, text in enumerate(sentences):
        latents = drawn_latents(tts, text, speaker, options, SEED + number)

        def mel(how: SpeechOptions, seed: int, latents: Tensor = latents) -> Tensor:
            return denoise(tts.diffusion, latents, conditioning, how, torch.Generator().manual_seed(seed)).values

        exact = replace(options, sampler="dpm++2m", diffusion_iterations=chosen.reference)
        solution = mel(exact, number)
        far = distances(mel(exact, number + 10_000), solution)
        first = distances(mel(replace(options, diffusion_start="regressed", diffusion_iterations=0), number), solution)
        for steps in chosen.steps:
            found.setdefault("other noise", {}).setdefault(steps, []).append(far)
            found.setdefault("first mel", {}).setdefault(steps, []).append(first)
        for row, steps, how in ways(chosen, options):
            found.setdefault(row, {}).setdefault(steps, []).append(distances(mel(how, number), solution))
    return {
        row: {
            unit: {str(steps): sum(pair[place] for pair in each) / len(each) for steps, each in by_steps.items()}
            for place, unit in enumerate(("nats", "relative"))
        }
        for row, by_steps in found.items()
    }


def table(rows: dict[str, Any], steps: Sequence[int]) -> str:
    lines = ["| steps | " + " | ".join(map(str, steps)) + " |", "|---" * (len(steps) + 1) + "|"]
    for row, units in rows.items():
        cells = [
            f"{units['nats'][str(n)]:.3f} ({units['relative'][str(n)]:.0%})" if str(n) in units["nats"] else ""
            for n in steps
        ]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    chosen = arguments().parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    tts = TextToSpeech(model=chosen.model)
    sentences = recognise.load_sentences(SETS.get(chosen.sentences, chosen.sentences))[: chosen.limit]
    rows = measure(tts, chosen, sentences)
    if chosen.picture:
        lines = {row: [units["nats"].get(str(n), float("nan")) for n in chosen.steps] for row, units in rows.items()}
        curves(chosen.picture, "distance from the solution in nats, by steps", chosen.steps, lines)
    print(table(rows, chosen.steps))
    about = {"model": tts.model, "sentences": len(sentences), "reference": chosen.reference}
    print(json.dumps({**about, "guidance": base_options(tts, chosen.guidance).guidance, "rows": rows}))


if __name__ == "__main__":
    main()
