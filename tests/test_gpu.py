"""A whole tiny model on a real GPU, in every precision."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tutortoietts.api import TextToSpeech

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8", "int4"])
@pytest.mark.parametrize("cpu_offload", [False, True])
def test_it_speaks(streaming_model: Path, precision: str, cpu_offload: bool) -> None:
    if precision == "int4" and torch.cuda.get_device_capability()[0] < 8:
        pytest.skip("int4 needs a GPU of capability 8")
    tts = TextToSpeech(streaming_model, device="cuda", precision=precision, cpu_offload=cpu_offload)
    options = {"voice_samples": "anna", "num_autoregressive_samples": 3, "diffusion_iterations": 6, "verbose": False}
    waves = [tts.tts("Hello there.", use_deterministic_seed=1, **options) for _ in range(2)]  # the second replays
    assert waves[0].isfinite().all() and torch.equal(*waves)
    for decoder in ("stream", "diffusion"):
        chunks = list(tts.tts_stream("Hello there. And more.", voice_samples="ben", decoder=decoder))
        assert torch.cat(chunks).isfinite().all()
