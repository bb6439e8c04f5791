"""The way from a reference module to its fast form: compiled kernels on a CPU, quantized and lowered weights."""

from __future__ import annotations

import torch
from torch import nn

from tutortoietts.accelerate.diffusion import AcceleratedDiffusion, DiffusionChain, diffusion_chain
from tutortoietts.accelerate.gpt import (
    AcceleratedAutoregressive,
    AcceleratedGpt,
    AcceleratedXtts,
    GptStep,
    compiled_step,
)
from tutortoietts.accelerate.gpu import fuse
from tutortoietts.accelerate.quantized import quantize_model
from tutortoietts.accelerate.rotary import AcceleratedEncoder
from tutortoietts.accelerate.vocoder import AcceleratedBigVGAN, AcceleratedHifigan, accelerate_vocoder, lower
from tutortoietts.core.errors import OptionError
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.models.bigvgan import BigVGAN
from tutortoietts.models.diffusion import Diffusion
from tutortoietts.models.hifigan import Hifigan
from tutortoietts.models.xtts import Xtts
from tutortoietts.nn.rotary_encoder import RotaryEncoder

__all__ = ["DiffusionChain", "GptStep", "accelerate", "compiled_step", "diffusion_chain", "why_not"]

_PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8", "int4")


def accelerate(module: nn.Module, device: torch.device | str | None = None, precision: str | None = None) -> nn.Module:
    """Give a model its fast form for `device`, in place, and return it.

    device: where it will run; default: where it is. On a CPU the encoders of CLVP and CVVP, BigVGAN and HiFi-GAN run as
    compiled kernels from now on, and `compiled_step` and `diffusion_chain` give those of the other two models. Where a
    kernel cannot stand in (`why_not`), torch does the same work. On a CUDA GPU some layers use kernels in Triton
    (`accelerate.gpu`).

    precision: one of auto, fp32, bf16, fp16, int8, int4; default: keep the weights. "int8" and "int4" quantize
    Autoregressive, Xtts, Diffusion and Clvp, once and for the device that they are on. "bf16" lets vocoders multiply
    16-bit numbers: with AMX in our kernels (so do int8 and int4), and where these do not run, all of HiFi-GAN's
    convolutions but the last become bfloat16. The others leave the weights in the dtype that they were loaded in.

    A vocoder's weights are copied: call it again after a change to them. Raises OptionError for another precision, or
    for one that the device has no kernels for.
    """
    if precision is not None and precision not in _PRECISIONS:
        raise OptionError(f"precision is {precision!r}, must be one of {', '.join(_PRECISIONS)}")
    if precision in ("int8", "int4"):
        quantize_model(module, precision)
    if device is None:
        tensors = (*module.parameters(), *module.buffers())
        device = tensors[0].device if tensors else "cpu"
    if torch.device(device).type == "cpu":
        for part in module.modules():
            _accelerate_one(part, half=precision in ("bf16", "int8", "int4"))
    fuse(module, torch.device(device))
    if isinstance(module, Hifigan) and not isinstance(module, AcceleratedHifigan) and precision == "bf16":
        lower(module, torch.bfloat16)
    return module


def why_not(module: nn.Module) -> str | None:
    """Return why a module does not run in its fast form at present, or None if it does."""
    if isinstance(module, AcceleratedGpt | AcceleratedDiffusion | AcceleratedEncoder):
        return module.why_not()
    if isinstance(module, AcceleratedBigVGAN | AcceleratedHifigan):
        return None
    return f"it is a {type(module).__name__}, which has no fast form or was not accelerated"


def _accelerate_one(module: nn.Module, half: bool) -> None:
    if isinstance(module, BigVGAN | Hifigan):
        accelerate_vocoder(module, half)
    elif type(module) is RotaryEncoder:
        module.__class__ = AcceleratedEncoder
    elif isinstance(module, Autoregressive):
        _mix_in(module, AcceleratedAutoregressive, Autoregressive)
    elif isinstance(module, Xtts):
        _mix_in(module, AcceleratedXtts, Xtts)
    elif isinstance(module, Diffusion):
        _mix_in(module, AcceleratedDiffusion, Diffusion)


def _mix_in(module: nn.Module, fast: type[nn.Module], plain: type[nn.Module]) -> None:
    """Make `fast` the class of a module, or for a subclass of `plain` a base of a class that keeps its methods."""
    kind = type(module)
    if not isinstance(module, fast):
        module.__class__ = fast if kind is plain else type(kind.__name__, (kind, fast), {"__module__": kind.__module__})
