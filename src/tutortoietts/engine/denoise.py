"""Latents and a voice to a mel, by diffusion; or by the model's own regression, alone or as the place to start from."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tutortoietts.audio.mel import denormalize_mel
from tutortoietts.core.presets import SpeechOptions
from tutortoietts.core.types import Mel
from tutortoietts.models.diffusion import Diffusion, Modulation
from tutortoietts.sampling import plan, sample
from tutortoietts.sampling.guidance import NoiseModel
from tutortoietts.sampling.rows import randn

__all__ = ["Unconditioned", "denoise", "mel_frames"]

_STEPS_AT_ONCE = 32
_KEPT_BYTES = 256 << 20


def mel_frames(latents: int) -> int:
    """Mel frames (24 kHz, hop 256) that this many latents (22.05 kHz, hop 1024) last."""
    return latents * 4 * 24000 // 22050


class Unconditioned:
    """What the integrator makes of no conditioning: it depends on length and step only, so the mels of one request
    share it. Holds at most `most_bytes`; what came first stays."""

    def __init__(self, most_bytes: int = _KEPT_BYTES) -> None:
        self._known: dict[tuple[int, float], Tensor] = {}
        self._room = most_bytes

    def get(self, frames: int, step: float) -> Tensor | None:
        """(1, F, C), if it is known."""
        return self._known.get((frames, step))

    def put(self, frames: int, step: float, integrated: Tensor) -> None:
        """integrated (1, F, C): copied, so that the batch it is a part of may be freed."""
        size = integrated.numel() * integrated.element_size()
        if size <= self._room and (frames, step) not in self._known:
            self._room -= size
            self._known[frames, step] = integrated.clone()


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
    unconditioned: Unconditioned | None = None,
) -> Mel:
    """latents (1, S, D), conditioning (1, 2C) -> Mel of `mel_frames(S)` frames, in nats.

    `on_step(done, steps)` may raise to stop. `unconditioned`: shared by the mels of one request. `batched` False is
    the slow oracle: every forward whole and by itself, nothing kept from one to the next.
    """
    weight = model.inp_block.weight
    frames = mel_frames(latents.shape[1])
    aligned = model.align(latents.to(weight), conditioning.to(weight), frames)
    start = model.regress(aligned) if options.diffusion_start == "regressed" else None
    if options.diffusion_iterations == 0 and start is not None:
        return Mel(values=denormalize_mel(start.clamp(-1.0, 1.0)))
    start_step = None if start is None else options.diffusion_start_step
    steps = plan(options.sampler, options.diffusion_iterations, options.diffusion_spacing, start_step)
    interval = None if options.guidance is None else (float(options.cond_free_to), float(options.cond_free_from))
    if batched:
        estimate: NoiseModel = _Forwards(model, aligned, steps, interval, unconditioned)
    else:
        estimate = _slowly(model, aligned, guided=interval is not None)
    noise = randn((1, model.cfg.in_channels, frames), [generator], weight.device) * options.diffusion_temperature
    mel = sample(
        estimate,
        noise,
        options.sampler,
        options.diffusion_iterations,
        guidance=options.guidance,
        generator=[generator],
        spacing=options.diffusion_spacing,
        clip=True,
        start=start,
        start_step=start_step,
        guidance_interval=interval,
        on_step=on_step,
    )
    return Mel(values=denormalize_mel(mel))


class _Forwards:
    """The forwards of one mel: (x (1, 100, F), step) -> the conditional estimate, with the unconditional one where the
    step lies in the `interval` of guidance, both from one batch.

    What does not depend on x is not computed again: position biases once; scales and shifts for many steps at once, so
    that their weights are read once for all of them; the unconditional integrator, where another mel knows it.
    """

    def __init__(
        self,
        model: Diffusion,
        aligned: Tensor,
        steps: list[float],
        interval: tuple[float, float] | None,
        unconditioned: Unconditioned | None,
    ) -> None:
        self.model, self.aligned, self.steps, self.interval = model, aligned, steps, interval
        self.unconditioned = unconditioned
        self.frames = aligned.shape[-1]
        self.biases = model.position_biases(self.frames)
        self.both = None if interval is None else torch.cat([aligned, model.unconditioned(self.frames)])
        self._place = {step: place for place, step in enumerate(steps)}
        self._block, self._modulations = -1, list[Tensor]()

    def __call__(self, x: Tensor, step: float) -> Tensor | tuple[Tensor, Tensor]:
        modulation = self._modulation(step)
        if self.interval is None or not self.interval[0] <= step <= self.interval[1]:
            return self._forward(x, modulation, self.model.integrate(self.aligned, modulation, self.biases))
        output = self._forward(x, modulation, self._integrated(step, modulation))
        return output[:1], output[1:]

    def _forward(self, x: Tensor, modulation: Modulation, integrated: Tensor) -> Tensor:
        """Of one shape and without a look at any number: what a CUDA graph of this length could hold."""
        return self.model.denoise(x, modulation, integrated, self.biases)

    def _integrated(self, step: float, modulation: Modulation) -> Tensor:
        """Conditional and unconditional (2, F, C)."""
        model, kept = self.model, self.unconditioned
        known = None if kept is None else kept.get(self.frames, step)
        if known is not None:
            return torch.cat([model.integrate(self.aligned, modulation, self.biases), known])
        both = model.integrate(self.both if self.both is not None else self.aligned, modulation, self.biases)
        if kept is not None:
            kept.put(self.frames, step, both[1:])
        return both

    def _modulation(self, step: float) -> list[Tensor]:
        block, row = divmod(self._place[step], _STEPS_AT_ONCE)
        if block != self._block:
            steps = self.steps[block * _STEPS_AT_ONCE :][:_STEPS_AT_ONCE]
            known = torch.tensor(steps, dtype=torch.float32, device=self.aligned.device)
            self._block, self._modulations = block, self.model.modulations(self.model.embed_step(known))
        return [each[row : row + 1] for each in self._modulations]


def _slowly(model: Diffusion, aligned: Tensor, guided: bool) -> NoiseModel:
    def estimate(x: Tensor, step: float) -> Tensor | tuple[Tensor, Tensor]:
        shown = torch.full((1,), step, dtype=torch.float32, device=x.device)
        conditional: Tensor = model(x, shown, aligned)
        return (conditional, model(x, shown, None)) if guided else conditional

    return estimate
