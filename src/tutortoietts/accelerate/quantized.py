"""The layers of each model that are quantized."""

from __future__ import annotations

import torch
from torch import nn

from tutortoietts.accelerate.layers import compiled_int8_linear
from tutortoietts.models.clvp import Clvp
from tutortoietts.models.diffusion import Diffusion, ResidualBlock
from tutortoietts.nn.blocks import AttentionBlock
from tutortoietts.nn.code_gpt import CodeGpt
from tutortoietts.nn.quant import quantize

__all__ = ["quantize_model"]


def quantize_model(model: nn.Module, precision: str) -> None:
    """Quantize a model in place to "int8" or "int4", for the device that it is on; other models stay unchanged.

    Raises OptionError if the device has no kernels for it.
    """
    if isinstance(model, CodeGpt):
        _autoregressive(model, precision)
    elif isinstance(model, Diffusion):
        _diffusion(model, precision)
    elif isinstance(model, Clvp):
        for encoder in (model.text_encoder, model.speech_encoder):
            _quantized(encoder, precision)


def _autoregressive(model: CodeGpt, precision: str) -> None:
    """Quantize the blocks; the code head becomes int8, keys and values half precision."""
    _quantized(model.gpt, precision)
    model.mel_head = _quantized(model.mel_head, "int8")
    model.cache_dtype = torch.bfloat16 if model.dtype == torch.float32 else model.dtype


def _diffusion(model: Diffusion, precision: str) -> None:
    """Quantize the layers that every step takes all frames through, but for the first and the last."""
    names = {ResidualBlock: ("conv_in", "conv_out"), AttentionBlock: ("qkv", "proj_out")}
    for layer in model.step_layers():
        for module in layer.modules():
            for name in names.get(type(module), ()):
                setattr(module, name, _quantized(getattr(module, name), precision))
    model.integrating_conv = _quantized(model.integrating_conv, precision)


def _quantized(module: nn.Module, precision: str) -> nn.Module:
    return quantize(module, precision, compiled_int8_linear)
