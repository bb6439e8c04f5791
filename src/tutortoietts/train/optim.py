"""bfloat16 training with float32 master weights, and checkpoints that a later run goes on from."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

SAVE_SECONDS = 120
PROCESSOR_TIME = False  # set by the command line


def _clock() -> float:
    return time.process_time() if PROCESSOR_TIME else time.monotonic()


class Timed:
    """Steps and minutes of a stage, over however many runs, and the checkpoint ``path`` that holds them.

    ``progress`` goes from 0 to 1 as ``minutes`` pass: of the clock on the wall, as a person plans with, or, with
    ``PROCESSOR_TIME``, of the processor, for a machine that others keep busy (with one thread: more of them spin).
    """

    def __init__(self, path: Path, minutes: float) -> None:
        self.path, self.minutes = path, minutes
        self.steps, self.seconds = 0, 0.0
        self._mark, self._saved = _clock(), time.monotonic()

    @property
    def progress(self) -> float:
        return self.seconds / (60 * self.minutes)

    def begin(self, saved: Mapping[str, Any] | None) -> None:
        """Start the clock, from where ``saved`` left it."""
        if saved is not None:
            self.steps, self.seconds = saved["steps"], saved["seconds"]
        self._mark, self._saved = _clock(), time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """Return the checkpoint, if there is one."""
        return torch.load(self.path, weights_only=True, map_location="cpu") if self.path.exists() else None

    def tick(self) -> bool:
        """Count a step; whether a checkpoint is due."""
        now = _clock()
        self.steps, self.seconds, self._mark = self.steps + 1, self.seconds + now - self._mark, now
        return time.monotonic() - self._saved > SAVE_SECONDS

    def write(self, state: Mapping[str, Any]) -> None:
        """Write the checkpoint under a temporary name, then rename it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".part")
        torch.save({**state, "steps": self.steps, "seconds": self.seconds}, partial)
        partial.rename(self.path)
        self._saved = time.monotonic()


class Stateful(Protocol):
    """A module, an optimizer, or anything else of this kind."""

    def state_dict(self) -> Any: ...
    def load_state_dict(self, state_dict: Any) -> Any: ...


class Keeper(Timed):
    """The checkpoint of a stage with a loop of its own: goes on from ``path`` if it exists."""

    def __init__(self, path: Path, minutes: float, parts: Mapping[str, Stateful]) -> None:
        super().__init__(path, minutes)
        self.parts = parts
        saved = self.read()
        if saved is not None:
            for name, part in parts.items():
                part.load_state_dict(saved[name])
        self.begin(saved)

    def save(self) -> None:
        self.write({name: part.state_dict() for name, part in self.parts.items()})


State = Mapping[str, Tensor]


def warm(module: nn.Module, state: State, skip: tuple[str, ...] = ()) -> None:
    """Take from ``state`` what has the same name, but for the names in ``skip``.

    Of tables of another length the rows that both have are taken; other shapes stay as they are.
    """
    with torch.no_grad():
        for name, own in module.state_dict().items():
            value = state.get(name)
            if value is None or name in skip:
                continue
            if value.shape == own.shape:
                own.copy_(value)
            elif value.ndim == own.ndim == 2 and value.shape[1] == own.shape[1]:
                rows = min(len(own), len(value))
                own[:rows].copy_(value[:rows])


class Trainer(Timed):
    """AdamW on float32 copies of bfloat16 modules, on a schedule of training minutes.

    The modules run wholly in bfloat16 (with AMX ten times as fast), while small updates are not lost
    because they are added to the float32 copies. The learning rate rises for 150 steps, stays, and falls linearly in
    the last 60 %.
    """

    def __init__(self, modules: nn.ModuleDict, path: Path, minutes: float, rate: float, decay: float = 0.02) -> None:
        super().__init__(path, minutes)
        self.modules, self.rate = modules, rate
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
        saved = self.read()
        if saved is not None:
            self._resume(saved)
        self.begin(saved)

    def _resume(self, saved: Mapping[str, Any]) -> None:
        with torch.no_grad():
            for name, value in saved["master"].items():
                self.master[name].copy_(value)
                self.averaged[name].copy_(saved["averaged"][name])
        self.optimizer.load_state_dict(saved["optimizer"])
        self._publish(self.master)

    def _publish(self, values: dict[str, Tensor]) -> None:
        with torch.no_grad():
            torch._foreach_copy_(list(self.live.values()), [values[name] for name in self.live])

    def step(self, loss: Tensor, clip: float = 1.0) -> float:
        """Make one update; returns the gradient's norm."""
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
        if self.tick():
            self.save()
        return float(norm)

    def save(self) -> None:
        self.write(
            {
                "master": {k: v.detach() for k, v in self.master.items()},
                "averaged": self.averaged,
                "optimizer": self.optimizer.state_dict(),
            }
        )

    def use_averaged(self) -> None:
        """Put the averaged weights into the modules for evaluation."""
        self._publish(self.averaged)

    def use_live(self) -> None:
        """Put the weights being trained back."""
        self._publish(self.master)
