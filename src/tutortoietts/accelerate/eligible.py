"""Whether modules are still what compiled code takes them for: one that was replaced, subclassed or hooked is not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["forwards", "why_not"]


def forwards(*known: type[nn.Module]) -> Mapping[type[nn.Module], Any]:
    """The classes with their forward passes as they are now: to be asked when the caller is imported."""
    return {kind: kind.forward for kind in known}


def why_not(
    modules: Iterable[nn.Module],
    known: Mapping[type[nn.Module], Any],
    numbers: Collection[torch.dtype],
) -> str | None:
    """Why compiled code cannot stand in for these modules and all within them, or None: it knows the classes `known`,
    as `forwards` found them, with contiguous `numbers` on the CPU."""
    for module in modules:
        for one in module.modules():
            if type(one) is nn.ModuleList:
                continue
            name = type(one).__name__
            if type(one) not in known or type(one).forward is not known[type(one)]:
                return f"a layer is a {name}"
            if "forward" in vars(one) or one._forward_hooks or one._forward_pre_hooks:
                return f"a {name} was changed"
            if not all(_plain(tensor, numbers) for tensor in (*one.parameters(False), *one.buffers(False))):
                return f"the numbers of a {name} are of another kind, or not on the CPU"
    return None


def _plain(tensor: Tensor, numbers: Collection[torch.dtype]) -> bool:
    return tensor.device.type == "cpu" and tensor.dtype in numbers and tensor.is_contiguous()
