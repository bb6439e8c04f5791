"""Make a mel from latents and a voice, by diffusion or by regression, alone or as the start."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import Tensor

from tutortoietts.accelerate import diffusion_chain
from tutortoietts.audio.mel import denormalize_mel
from tutortoietts.core.presets import SpeechOptions
from tutortoietts.core.types import Mel
from tutortoietts.models.diffusion import Diffusion, Modulation
from tutortoietts.models.stream_vocos import StreamFront
from tutortoietts.runtime.cuda_graphs import Capture, default_capture, use_cuda_graphs
from tutortoietts.sampling import plan, sample
from tutortoietts.sampling.guidance import NoiseModel
from tutortoietts.sampling.rows import randn

__all__ = ["Unconditioned", "denoise", "mel_frames", "streamed_mel"]

_STEPS_AT_ONCE = 32
_WORTH_CAPTURING = 5  # forwards of one shape
_KEPT_BYTES = 256 << 20


def mel_frames(latents: int) -> int:
    """Return the mel frames (24 kHz, hop 256) of this many latents (22.05 kHz, hop 1024)."""
    return latents * 4 * 24000 // 22050


class Unconditioned:
    """Outputs of the integrator without conditioning, by length and step, shared by the mels of one request.

    At most `most_bytes` are held; the first ones stay.
    """

    def __init__(self, most_bytes: int = _KEPT_BYTES) -> None:
        self._known: dict[tuple[int, float], Tensor] = {}
        self._room = most_bytes

    def get(self, frames: int, step: float) -> Tensor | None:
        """Return (1, C, F), or None if it is not known."""
        return self._known.get((frames, step))

    def put(self, frames: int, step: float, integrated: Tensor) -> None:
        """Keep a copy of `integrated` (1, C, F), so that its batch may be freed."""
        size = integrated.numel() * integrated.element_size()
        if size <= self._room and (frames, step) not in self._known:
            self._room -= size
            self._known[frames, step] = integrated.clone()


@torch.inference_mode()
def streamed_mel(front: StreamFront, latents: Tensor, speaker: Tensor) -> Tensor:
    """Return the mel (1, 100, F) float32, normalised, of a streaming decoder: latents (1, S, D), speaker (1, D)."""
    weight = front.out.weight
    mel: Tensor = front(latents.to(weight), speaker.to(weight))
    return mel.float().clamp(-1.0, 1.0)


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
    capture: Capture | None = None,
    first: Tensor | None = None,
) -> Mel:
    """Denoise: latents (1, S, D), conditioning (1, 2C) -> Mel of `mel_frames(S)` frames, in nats.

    first: the normalised mel (1, 100, F) that a "streamed" start begins from; the result has its frames.
    on_step: called with (done, steps); may raise to stop. unconditioned: shared by the mels of one request.
    capture: makes many forwards of one shape fast; None: CUDA graphs on a CUDA GPU, nothing elsewhere.
    batched: False is the slow reference, where every forward is computed alone and nothing is kept.
    """
    weight = model.inp_block.weight
    frames = mel_frames(latents.shape[1]) if first is None else first.shape[-1]
    aligned = model.align(latents.to(weight), conditioning.to(weight), frames)
    start = model.regress(aligned) if options.diffusion_start == "regressed" else first
    if options.diffusion_iterations == 0 and start is not None:
        return Mel(values=denormalize_mel(start.clamp(-1.0, 1.0)))
    start_step = None if start is None else options.diffusion_start_step
    steps = plan(options.sampler, options.diffusion_iterations, options.diffusion_spacing, start_step)
    interval = None if options.guidance is None else (float(options.cond_free_to), float(options.cond_free_from))
    if batched:
        if capture is None and use_cuda_graphs(weight.device):
            capture = default_capture(weight.device)
        estimate: NoiseModel = _Forwards(model, aligned, steps, interval, unconditioned, capture)
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
    """Forwards of one mel: (x (1, 100, F), step) -> the conditional estimate, with the unconditional one where the
    step lies in the `interval` of guidance, both from one batch.

    Whatever does not depend on x is computed once: position biases; scales and shifts of many steps together, so that
    their weights are read once; the unconditional integrator, where another mel has it.
    On a CPU a step's layers are one compiled call where that can be (`accelerate.diffusion`).
    With `capture`, many forwards of one shape become a `_Fixed`, which computes that integrator again.
    """

    def __init__(
        self,
        model: Diffusion,
        aligned: Tensor,
        steps: list[float],
        interval: tuple[float, float] | None,
        unconditioned: Unconditioned | None,
        capture: Capture | None,
    ) -> None:
        self.model, self.aligned, self.steps, self.interval = model, aligned, steps, interval
        self.unconditioned, self.capture = unconditioned, capture
        self.frames = aligned.shape[-1]
        compiled = aligned.device.type == "cpu" and capture is None
        self.body = (diffusion_chain(model, self.frames) if compiled else None) or model
        self.biases = model.position_biases(self.frames) if self.body is model else None
        self.both = None if interval is None else torch.cat([aligned, model.unconditioned(self.frames)])
        self._place = {step: place for place, step in enumerate(steps)}
        self._block, self._modulations = -1, aligned.new_empty(0)
        self._fixed: dict[bool, _Fixed] = {}

    def __call__(self, x: Tensor, step: float) -> Tensor | tuple[Tensor, Tensor]:
        modulation, guided = self._modulation(step), self._guided(step)
        if self.capture is not None and sum(self._guided(other) == guided for other in self.steps) >= _WORTH_CAPTURING:
            if guided not in self._fixed:
                output = x.new_empty((2 if guided else 1, self.model.cfg.out_channels, self.frames))
                self._fixed[guided] = _Fixed(partial(self._whole, guided=guided), x, modulation, output, self.capture)
            output = self._fixed[guided](x, modulation)
        elif self.unconditioned is not None and guided:
            integrated = self._integrated(self.unconditioned, step, modulation)
            output = self.body.denoise(x, modulation, integrated, self.biases)
        else:
            output = self._whole(x, modulation, guided)
        return (output[:1], output[1:]) if guided else output

    def _guided(self, step: float) -> bool:
        return self.interval is not None and self.interval[0] <= step <= self.interval[1]

    def _whole(self, x: Tensor, modulation: Modulation, guided: bool) -> Tensor:
        """Run a forward of one shape for all steps, which reads no number on the host."""
        aligned = self.both if guided and self.both is not None else self.aligned
        return self.body.denoise(x, modulation, self.body.integrate(aligned, modulation, self.biases), self.biases)

    def _integrated(self, kept: Unconditioned, step: float, modulation: Modulation) -> Tensor:
        """Return the conditional and unconditional output of the integrator (2, C, F)."""
        known = kept.get(self.frames, step)
        if known is not None:
            return torch.cat([self.body.integrate(self.aligned, modulation, self.biases), known])
        both = self.body.integrate(cast(Tensor, self.both), modulation, self.biases)
        kept.put(self.frames, step, both[1:])
        return both

    def _modulation(self, step: float) -> Tensor:
        """Return the scales and shifts of a step (blocks, 1, 2C), also of one that the sampler did not plan."""
        if step not in self._place:
            alone = torch.tensor([step], dtype=torch.float32, device=self.aligned.device)
            return self.model.modulations(self.model.embed_step(alone))
        block, row = divmod(self._place[step], _STEPS_AT_ONCE)
        if block != self._block:
            steps = self.steps[block * _STEPS_AT_ONCE :][:_STEPS_AT_ONCE]
            known = torch.tensor(steps, dtype=torch.float32, device=self.aligned.device)
            self._block = block
            self._modulations = self.model.modulations(self.model.embed_step(known))
        return self._modulations[:, row : row + 1]


class _Fixed:
    """A captured forward over buffers of its own; `output` is one of them.

    It lives as long as its mel: lengths are too many to keep it, and it costs about two forwards to make.
    """

    def __init__(
        self,
        forward: Callable[[Tensor, Modulation], Tensor],
        x: Tensor,
        modulation: Tensor,
        output: Tensor,
        capture: Capture,
    ) -> None:
        self.x, self.modulation = x.clone(), modulation.clone(memory_format=torch.contiguous_format)
        self.output = output

        def step() -> None:
            self.output.copy_(forward(self.x, self.modulation))

        self.run = capture(step, [])

    def __call__(self, x: Tensor, modulation: Tensor) -> Tensor:
        self.x.copy_(x)
        self.modulation.copy_(modulation)
        self.run()
        return self.output.clone()


def _slowly(model: Diffusion, aligned: Tensor, guided: bool) -> NoiseModel:
    def estimate(x: Tensor, step: float) -> Tensor | tuple[Tensor, Tensor]:
        shown = torch.full((1,), step, dtype=torch.float32, device=x.device)
        conditional: Tensor = model(x, shown, aligned)
        return (conditional, model(x, shown, None)) if guided else conditional

    return estimate
