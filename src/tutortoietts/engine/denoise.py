"""Latents and a voice to a mel, by diffusion; or by the model's own regression, alone or as the place to start from."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tutortoietts.audio.mel import denormalize_mel
from tutortoietts.core.presets import SpeechOptions
from tutortoietts.core.types import Mel
from tutortoietts.models.diffusion import Diffusion
from tutortoietts.sampling import sample
from tutortoietts.sampling.rows import randn

__all__ = ["denoise", "mel_frames"]


def mel_frames(latents: int) -> int:
    """Mel frames (24 kHz, hop 256) that this many latents (22.05 kHz, hop 1024) last."""
    return latents * 4 * 24000 // 22050


@torch.inference_mode()
def denoise(
    model: Diffusion,
    latents: Tensor,
    conditioning: Tensor,
    options: SpeechOptions,
    generator: torch.Generator,
    *,
    on_step: Callable[[int, int], None] | None = None,
    batched: bool = True,
) -> Mel:
    """latents (1, S, D), conditioning (1, 2C) -> Mel of `mel_frames(S)` frames, in nats.

    `on_step(done, steps)` may raise to stop. `batched` False is the slow oracle of guidance: two forwards a step.
    """
    weight = model.inp_block.weight
    frames = mel_frames(latents.shape[1])
    aligned = model.align(latents.to(weight), conditioning.to(weight), frames)
    start = model.regress(aligned) if options.diffusion_start == "regressed" else None
    if options.diffusion_iterations == 0 and start is not None:
        return Mel(values=denormalize_mel(start.clamp(-1.0, 1.0)))
    noise = randn((1, model.cfg.in_channels, frames), [generator], weight.device) * options.diffusion_temperature
    mel = sample(
        _pair(model, aligned, batched) if options.cond_free else _single(model, aligned),
        noise,
        options.sampler,
        options.diffusion_iterations,
        guidance=options.guidance,
        generator=[generator],
        spacing=options.diffusion_spacing,
        clip=True,
        start=start,
        start_step=None if start is None else options.diffusion_start_step,
        on_step=on_step,
    )
    return Mel(values=denormalize_mel(mel))


def _single(model: Diffusion, aligned: Tensor) -> Callable[[Tensor, float], Tensor]:
    biases = model.position_biases(aligned.shape[-1])

    def estimate(x: Tensor, step: float) -> Tensor:
        output: Tensor = model(x, _steps(step, 1, x), aligned, biases)
        return output

    return estimate


def _pair(model: Diffusion, aligned: Tensor, batched: bool) -> Callable[[Tensor, float], tuple[Tensor, Tensor]]:
    """(conditional, unconditional) by one forward of two rows, or by two forwards."""
    frames = aligned.shape[-1]
    biases = model.position_biases(frames)
    both = torch.cat([aligned, model.unconditioned(frames)])

    def estimate(x: Tensor, step: float) -> tuple[Tensor, Tensor]:
        output: Tensor = model(x.expand(2, -1, -1), _steps(step, 2, x), both, biases)
        return output[:1], output[1:]

    def slowly(x: Tensor, step: float) -> tuple[Tensor, Tensor]:
        shown = _steps(step, 1, x)
        return model(x, shown, aligned), model(x, shown, None)

    return estimate if batched else slowly


def _steps(step: float, rows: int, x: Tensor) -> Tensor:
    return torch.full((rows,), step, dtype=torch.float32, device=x.device)
