"""Golden files taken apart, and what every replay of one needs. `conformance` replays them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from tutortoietts.core.config import CONFIGS, Config
from tutortoietts.nn.code_gpt import CodeGpt
from tutortoietts.sampling.tokens import history_mask, penalize
from tutortoietts.weights.convert import convert
from tutortoietts.weights.load import build, model_class

__all__ = ["SHARED", "Golden", "greedy", "make_model", "module_of", "read", "relative_error"]

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
PLACEHOLDER = 1  # what the original's generate() sees in place of every prefix position


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """One golden file, taken apart: its configuration and the tensors under weight., input. and output."""

    path: Path
    config: dict[str, Any]
    weights: dict[str, Tensor]
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


def read(path: Path) -> Golden:
    """A golden file from disk."""
    parts: dict[str, dict[str, Tensor]] = {"weight": {}, "input": {}, "output": {}}
    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["config"])
        for key in file.keys():
            part, _, name = key.partition(".")
            parts[part][name] = file.get_tensor(key)
    return Golden(
        path=Path(path), config=config, weights=parts["weight"], inputs=parts["input"], outputs=parts["output"]
    )


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """||ours - theirs|| / ||theirs||; infinite for another shape. For integers 0 or infinite."""
    if ours.shape != theirs.shape:
        return float("inf")
    if not theirs.is_floating_point():
        return 0.0 if torch.equal(ours, theirs) else float("inf")
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


def make_model(kind: str, golden: Golden) -> nn.Module:
    """Our module of this kind, float32 on the CPU, with the file's configuration and weights."""
    return module_of(kind, CONFIGS[kind].from_dict(golden.config), golden.weights)


def module_of(kind: str, config: Config, weights: dict[str, Tensor]) -> nn.Module:
    """Our module of this kind and size, from tensors with the original keys."""
    return build(lambda: model_class(kind)(config), convert(kind, weights))


def greedy(
    model: CodeGpt,
    voice: Tensor,
    text: Tensor,
    count: int,
    penalty: float,
    may_stop: bool,
    cached: bool = True,
) -> Tensor:
    """Argmax decoding as the golden notes describe: (1, up to `count`) codes, ending with the stop code if it comes."""
    cfg, prefix = model.sizes, model.prefix(voice, text)
    cache = model.allocate_cache(1, prefix.shape[1] + count) if cached else None
    if cache is not None:
        model.hidden_states(prefix, cache, position=0)
    codes = [cfg.start_mel_token]
    while len(codes) <= count and (len(codes) == 1 or codes[-1] != cfg.stop_mel_token):
        if cache is not None:
            x = model.embed_codes(torch.tensor([codes[-1:]]), offset=len(codes) - 1)
            hidden = model.hidden_states(x, cache, position=prefix.shape[1] + len(codes) - 1)
        else:
            hidden = model.hidden_states(torch.cat([prefix, model.embed_codes(torch.tensor([codes]))], dim=1))
        seen = history_mask(torch.tensor([[PLACEHOLDER, *codes]]), cfg.number_mel_codes)
        logits = penalize(model.mel_logits(hidden[:, -1]), seen, penalty)
        if not may_stop:
            logits[:, cfg.stop_mel_token] = -torch.inf
        codes.append(int(logits.argmax()))
    return torch.tensor([codes[1:]])
