"""The golden probabilities and the respaced trained steps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from tutortoietts.sampling import plan
from tutortoietts.sampling.tokens import TokenOptions, history_mask, probabilities

GOLDEN = Path(__file__).resolve().parents[2].parent / "shared" / "golden"
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden files of ../shared are absent")


def test_filters() -> None:
    with safe_open(GOLDEN / "sampling_filters.safetensors", "pt") as file:
        cases = json.loads(file.metadata()["config"])["cases"]
        logits, history = file.get_tensor("input.logits"), file.get_tensor("input.history")
        seen = history_mask(history, logits.shape[1])
        for index, case in enumerate(cases):
            ours = probabilities(logits, seen, TokenOptions(**case))
            theirs = file.get_tensor(f"output.probs_{index}")
            assert torch.equal(ours > 0, theirs > 0), case
            assert (ours - theirs).norm() / theirs.norm() < 1e-5, case


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("sampler_*.safetensors")), ids=lambda path: path.stem)
def test_respaced_steps(path: Path) -> None:
    with safe_open(path, "pt") as file:
        config, steps = json.loads(file.metadata()["config"]), file.get_tensor("output.timesteps")
    assert plan("ddim", config["steps"]) == steps.tolist() == plan("ancestral", config["steps"])
