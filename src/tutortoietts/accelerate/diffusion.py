"""Each step of a `Diffusion` as one chain of layers on a CPU, for mels of one length."""

from __future__ import annotations

import logging
from functools import cache, partial

from torch import Tensor, nn

from tutortoietts.accelerate.cache import chains
from tutortoietts.accelerate.eligible import changed_layer, forwards
from tutortoietts.accelerate.layers import CompiledInt8Linear, can_chain, linear_weights, norm_weights
from tutortoietts.models.diffusion import Diffusion, DiffusionLayer, ResidualBlock
from tutortoietts.native import layer_chain as native
from tutortoietts.native.layer_chain import Attend, Chain, Convolve, Step
from tutortoietts.nn.blocks import AttentionBlock, RelativeBias, TimeConv, TimeGroupNorm
from tutortoietts.nn.quant import Int8RowsLinear, Int8TimeConv

__all__ = ["AcceleratedDiffusion", "DiffusionChain", "diffusion_chain"]

_KNOWN = forwards(
    *(AttentionBlock, DiffusionLayer, ResidualBlock, RelativeBias, TimeConv, TimeGroupNorm),
    *(nn.Embedding, nn.Linear, Int8RowsLinear, CompiledInt8Linear, Int8TimeConv),
)
_STEPS = 5  # of a DiffusionLayer
_METHODS = {name: getattr(Diffusion, name) for name in ("integrate", "denoise")}
_log = logging.getLogger(__name__)


class AcceleratedDiffusion(Diffusion):
    """Model whose steps may go through `diffusion_chain`; `accelerate` turns a `Diffusion` into it."""

    def why_not(self) -> str | None:
        """Return why torch does the steps, or None."""
        if any(getattr(type(self), name) is not method for name, method in _METHODS.items()):
            return f"it is a {type(self).__name__}"
        if _METHODS.keys() & vars(self).keys():
            return "the model was changed"
        return _why_not(self)


def diffusion_chain(model: object, frames: int) -> DiffusionChain | None:
    """Return `integrate` and `denoise` of an accelerated model in compiled form, for mels of `frames`, for one thread.

    None where torch must do it: the model was not accelerated or was changed; the log then says once why.
    """
    if not isinstance(model, AcceleratedDiffusion):
        return None
    reason = model.why_not()
    if reason is not None:
        _say(reason)
        return None
    return DiffusionChain(model, frames)


class DiffusionChain:
    """`integrate` and `denoise` of a model, in float32, for one mel."""

    def __init__(self, model: Diffusion, frames: int) -> None:
        width, mels = model.cfg.model_channels, model.cfg.in_channels
        # the signal: x | input of attention, or queries, keys and values | its output | mel | estimate
        self._x, self._work, self._mixed = slice(0, width), slice(width, 4 * width), slice(4 * width, 5 * width)
        self._mel = slice(5 * width, 5 * width + mels)
        self._estimate = slice(self._mel.stop, self._mel.stop + model.cfg.out_channels)
        self._joined = slice(2 * width, 3 * width)  # second half of the input of integrating_conv, after the mel's
        self._integrating = _STEPS * len(model.integrator)
        self._buffers = chains.get(model, [model], frames, partial(self._build, model, frames)).buffers()

    def integrate(self, aligned: Tensor, modulation: Tensor, biases: object = None) -> Tensor:
        """Return (B, C, F): aligned (B, C, F), modulation (blocks, B or 1, 2C). `biases` is ignored."""
        signal = self._buffers.signal(len(aligned))
        signal[:, self._x] = aligned
        self._buffers.run(len(aligned), modulations=modulation, stop=self._integrating)
        return signal[:, self._x].clone()

    def denoise(self, x: Tensor, modulation: Tensor, integrated: Tensor, biases: object = None) -> Tensor:
        """Return (B, 200, F): x (B or 1, 100, F), integrated (B or 1, C, F). `biases` is ignored."""
        rows = max(len(x), len(integrated))
        signal = self._buffers.signal(rows)
        signal[:, self._mel] = x
        signal[:, self._joined] = integrated
        self._buffers.run(rows, modulations=modulation, start=self._integrating)
        return signal[:, self._estimate].clone()

    def _build(self, model: Diffusion, frames: int) -> Chain:
        layers = zip(model.step_layers(), model.position_biases(frames), strict=True)
        steps = [step for number, (layer, bias) in enumerate(layers) for step in self._layer(layer, number, bias)]
        x, work = self._x.start, self._work.start
        between: list[Step] = [
            Convolve(layer=linear_weights(model.inp_block), source=self._mel.start, target=work),
            Convolve(layer=linear_weights(model.integrating_conv), source=work, target=x),
        ]
        last = linear_weights(model.out_conv), norm_weights(model.out_norm)
        end = Convolve(layer=last[0], norm=last[1], activation="silu", source=x, target=self._estimate.start)
        first, rest = steps[: self._integrating], steps[self._integrating :]
        return Chain([*first, *between, *rest, end], self._estimate.stop, frames, native.library())

    def _layer(self, layer: DiffusionLayer | ResidualBlock, number: int, bias: Tensor | None) -> list[Step]:
        x, work, mixed = self._x.start, self._work.start, self._mixed.start
        block = layer.resblk if isinstance(layer, DiffusionLayer) else layer
        steps: list[Step] = [
            Convolve(
                layer=linear_weights(block.conv_in),
                norm=norm_weights(block.norm_in),
                activation="silu",
                source=x,
                target=work,
            ),
            Convolve(
                layer=linear_weights(block.conv_out),
                norm=norm_weights(block.norm_out),
                modulation=number,
                activation="silu",
                source=work,
                target=x,
                add=True,
            ),
        ]
        if isinstance(layer, DiffusionLayer):
            attn = layer.attn
            size = attn.proj_out.in_features // attn.heads
            steps += [
                Convolve(layer=linear_weights(attn.qkv), norm=norm_weights(attn.norm), source=x, target=work),
                Attend(
                    heads=attn.heads,
                    size=size,
                    head_stride=3 * size,
                    part_stride=size,
                    bias=None if bias is None else bias.flip(1),
                    source=work,
                    target=mixed,
                ),
                Convolve(layer=linear_weights(attn.proj_out), source=mixed, target=x, add=True),
            ]
        return steps


def _why_not(model: Diffusion) -> str | None:
    ends = (model.inp_block, model.integrating_conv, model.out_norm, model.out_conv)
    reason = changed_layer((*model.step_layers(), *ends), _KNOWN, native.DTYPES)
    if reason is not None:
        return reason
    width = model.cfg.model_channels
    for module in (module for layer in model.step_layers() for module in layer.modules()):
        known: tuple[tuple[nn.Linear, int, int], ...]
        if isinstance(module, ResidualBlock):
            known = ((module.conv_in, width, width), (module.conv_out, width, width))
        elif isinstance(module, AttentionBlock):
            known = ((module.qkv, width, 3 * width), (module.proj_out, width, width))
            if (width // module.heads) % native.OUTPUTS:
                return f"its heads are of {width // module.heads}"
        else:
            if isinstance(module, TimeGroupNorm) and not module.affine:
                return "a norm has no weights"
            continue
        for layer, inputs, outputs in known:
            if not can_chain(layer, inputs, outputs):
                return f"a layer is {layer.in_features} to {layer.out_features}"
    around = (
        (model.inp_block, model.cfg.in_channels, width),
        (model.integrating_conv, 2 * width, width),
        (model.out_conv, width, model.cfg.out_channels),
    )
    if not all(can_chain(*one) for one in around):
        return f"it is {width} wide"
    return None if native.library() is not None else "no compiled kernels"


@cache
def _say(reason: str) -> None:
    _log.info("the diffusion in single torch operations: %s", reason)
