"""Each step of a `Diffusion` as one chain of layers (`native.layer_chain`), on a CPU, for mels of one length."""

from __future__ import annotations

import ctypes
import logging
from functools import cache

from torch import Tensor, nn

from tutortoietts.accelerate.eligible import forwards, why_not
from tutortoietts.models.diffusion import Diffusion, DiffusionLayer, ResidualBlock
from tutortoietts.native import layer_chain as native
from tutortoietts.native.layer_chain import Attend, Chain, Convolve, Step
from tutortoietts.nn.blocks import AttentionBlock, RelativeBias, TimeConv, TimeGroupNorm
from tutortoietts.nn.quant import Int8RowsLinear, Int8TimeConv

__all__ = ["DiffusionChain"]

_KNOWN = forwards(
    *(AttentionBlock, DiffusionLayer, ResidualBlock, RelativeBias, TimeConv, TimeGroupNorm),
    *(nn.Embedding, nn.Linear, Int8RowsLinear, Int8TimeConv),
)
_LAYER = 5  # steps of a DiffusionLayer
_OWN = Diffusion.integrate, Diffusion.denoise
_log = logging.getLogger(__name__)


class DiffusionChain:
    """`integrate` and `denoise` are those of the model, in float32. For one request. `fit` makes it."""

    def __init__(self, model: Diffusion, frames: int, library: ctypes.CDLL) -> None:
        width, mels = model.cfg.model_channels, model.cfg.in_channels
        # the signal: x | what attention reads, queries, keys and values | what it makes | mel | estimate
        self._x, self._work, self._mixed = slice(0, width), slice(width, 4 * width), slice(4 * width, 5 * width)
        self._mel = slice(5 * width, 5 * width + mels)
        self._made = slice(self._mel.stop, self._mel.stop + model.cfg.out_channels)
        self._joined = slice(2 * width, 3 * width)  # of integrating_conv's input, behind what is made of the mel
        self._lines = model.position_biases(frames)
        layers = [*model.integrator, *model.layers]
        steps = [step for number, layer in enumerate(layers) for step in self._layer(layer, number)]
        x, work = self._x.start, self._work.start
        between: list[Step] = [
            Convolve(layer=model.inp_block, source=self._mel.start, target=work),
            Convolve(layer=model.integrating_conv, source=work, target=x),
        ]
        end = Convolve(layer=model.out_conv, norm=model.out_norm, active="silu", source=x, target=self._made.start)
        self._integrating = _LAYER * len(model.integrator)
        first, rest = steps[: self._integrating], steps[self._integrating :]
        self._chain = Chain([*first, *between, *rest, end], self._made.stop, frames, library)

    @classmethod
    def fit(cls, model: nn.Module, frames: int) -> DiffusionChain | None:
        """A chain for mels of so many frames; None, said once in the log, where torch must do it."""
        reason = _obstacle(model)
        library = native.library() if reason is None else None
        if library is None:
            _say(reason or "no compiled kernels")
            return None
        return cls(model, frames, library)  # type: ignore[arg-type]

    def integrate(self, aligned: Tensor, modulation: Tensor, biases: object = None) -> Tensor:
        """aligned (B, C, F), modulation (blocks, B or 1, 2C) -> (B, C, F). `biases` are known."""
        signal = self._chain.signal(len(aligned))
        signal[:, self._x] = aligned
        self._chain.run(len(aligned), modulations=modulation, stop=self._integrating)
        return signal[:, self._x].clone()

    def denoise(self, x: Tensor, modulation: Tensor, integrated: Tensor, biases: object = None) -> Tensor:
        """x (B or 1, 100, F), integrated (B or 1, C, F) -> (B, 200, F)."""
        rows = max(len(x), len(integrated))
        signal = self._chain.signal(rows)
        signal[:, self._mel] = x
        signal[:, self._joined] = integrated
        self._chain.run(rows, modulations=modulation, start=self._integrating)
        return signal[:, self._made].clone()

    def _layer(self, layer: nn.Module, number: int) -> list[Step]:
        x, work, mixed = self._x.start, self._work.start, self._mixed.start
        block = layer.resblk if isinstance(layer, DiffusionLayer) else layer
        assert isinstance(block, ResidualBlock)
        steps: list[Step] = [
            Convolve(layer=block.conv_in, norm=block.norm_in, active="silu", source=x, target=work),
            Convolve(
                layer=block.conv_out,
                norm=block.norm_out,
                modulation=number,
                active="silu",
                source=work,
                target=x,
                add=True,
            ),
        ]
        if isinstance(layer, DiffusionLayer):
            attn, line = layer.attn, self._lines[number]
            size = attn.proj_out.in_features // attn.heads
            steps += [
                Convolve(layer=attn.qkv, norm=attn.norm, source=x, target=work),
                Attend(
                    heads=attn.heads,
                    size=size,
                    step=3 * size,
                    apart=size,
                    line=None if line is None else line.flip(1),
                    source=work,
                    target=mixed,
                ),
                Convolve(layer=attn.proj_out, source=mixed, target=x, add=True),
            ]
        return steps


def _obstacle(model: nn.Module) -> str | None:
    """Why torch must do it, or None."""
    if not isinstance(model, Diffusion) or (type(model).integrate, type(model).denoise) != _OWN:
        return f"it is a {type(model).__name__}"
    if {"integrate", "denoise"} & vars(model).keys():
        return "the model was changed"
    ends = (model.inp_block, model.integrating_conv, model.out_norm, model.out_conv)
    reason = why_not((*model.integrator, *model.layers, *ends), _KNOWN, native.NUMBERS)
    if reason is not None:
        return reason
    width = model.cfg.model_channels
    for module in (module for part in (model.integrator, model.layers) for module in part.modules()):
        known: tuple[tuple[nn.Linear, int, int], ...]
        if isinstance(module, ResidualBlock):
            known = ((module.conv_in, width, width), (module.conv_out, width, width))
        elif isinstance(module, AttentionBlock):
            known = ((module.qkv, width, 3 * width), (module.proj_out, width, width))
            if not native.can_attend(width // module.heads):
                return f"its heads are of {width // module.heads}"
        else:
            if isinstance(module, TimeGroupNorm) and not module.affine:
                return "a norm has no weights"
            continue
        for layer, inputs, outputs in known:
            if not native.can_run(layer, inputs, outputs):
                return f"a layer is {layer.in_features} to {layer.out_features}"
    around = (
        (model.inp_block, model.cfg.in_channels, width),
        (model.integrating_conv, 2 * width, width),
        (model.out_conv, width, model.cfg.out_channels),
    )
    return None if all(native.can_run(*one) for one in around) else f"it is {width} wide"


@cache
def _say(reason: str) -> None:
    _log.info("the diffusion in single torch operations: %s", reason)
