"""bfloat16 training with float32 master weights, and checkpoints that a later run goes on from."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor, nn


class Trainer:
    """AdamW on float32 copies of bfloat16 modules, on a schedule of training minutes.

    The modules run wholly in bfloat16 (matrix units are ten times faster there), while small updates are not lost
    because they are added to the float32 copies. ``progress`` goes from 0 to 1 as ``minutes`` of training pass, over
    however many runs; the learning rate rises for 150 steps, stays, and falls linearly in the last 60 %.
    """

    def __init__(self, modules: nn.ModuleDict, path: Path, minutes: float, rate: float, decay: float = 0.02) -> None:
        self.modules, self.path, self.minutes, self.rate = modules, path, minutes, rate
        self.master = {name: p.detach().float().clone() for name, p in modules.named_parameters()}
        self.averaged = {name: p.clone() for name, p in self.master.items()}
        modules.bfloat16()
        self.live = dict(modules.named_parameters())
        for copy in self.master.values():
            copy.requires_grad_(True)
        groups = [
            {"params": [p for p in self.master.values() if p.ndim > 1], "weight_decay": decay},
            {"params": [p for p in self.master.values() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.97), eps=1e-8, fused=True)
        self.steps, self.seconds = 0, 0.0
        self._resume()
        self._mark = self._saved = time.monotonic()

    def _resume(self) -> None:
        if not self.path.exists():
            return
        saved = torch.load(self.path, weights_only=True)
        with torch.no_grad():
            for name, value in saved["master"].items():
                self.master[name].copy_(value)
                self.averaged[name].copy_(saved["averaged"][name])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.steps, self.seconds = saved["steps"], saved["seconds"]
        self._publish(self.master)

    @property
    def progress(self) -> float:
        return self.seconds / (60 * self.minutes)

    def _publish(self, values: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.live.items():
                parameter.copy_(values[name])

    def step(self, loss: Tensor, clip: float = 1.0) -> float:
        """One update; returns the gradient's norm."""
        loss.backward()  # type: ignore[no-untyped-call]
        for name, parameter in self.live.items():
            if parameter.grad is not None:
                self.master[name].grad = parameter.grad.float()
                parameter.grad = None
        norm = nn.utils.clip_grad_norm_(self.master.values(), clip)
        rate = self.rate * min(1.0, (self.steps + 1) / 150) * max(0.0, min(1.0, (1 - self.progress) / 0.6))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._publish(self.master)
        keep = min(0.998, (1 + self.steps) / (20 + self.steps))
        torch._foreach_lerp_(list(self.averaged.values()), [p.detach() for p in self.master.values()], 1 - keep)
        self.steps += 1
        now = time.monotonic()
        self.seconds += now - self._mark
        self._mark = now
        if now - self._saved > 120:
            self.save()
        return float(norm)

    def save(self) -> None:
        """Write the checkpoint under a temporary name, then rename it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".part")
        state = {
            "master": {k: v.detach() for k, v in self.master.items()},
            "averaged": self.averaged,
            "optimizer": self.optimizer.state_dict(),
            "steps": self.steps,
            "seconds": self.seconds,
        }
        torch.save(state, partial)
        partial.rename(self.path)
        self._saved = time.monotonic()

    def use_averaged(self) -> None:
        """Put the averaged weights into the modules for evaluation."""
        self._publish(self.averaged)

    def use_live(self) -> None:
        """Put the weights being trained back."""
        self._publish(self.master)
