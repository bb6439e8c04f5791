"""A small random decoder and requests for it, shared by the tests of decoding and streaming."""

from __future__ import annotations

import torch

import tiny_configs
from tutortoietts.core.types import Codes
from tutortoietts.engine.decoding.loop import DecodeRequest, decode, join_codes, latents_of
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.sampling.rows import row_generators
from tutortoietts.sampling.tokens import TokenOptions

CONFIG = tiny_configs.autoregressive(number_text_tokens=20, start_text_token=20)
CALM = 3


def lively_model() -> Autoregressive:
    """Random, but lively: its next code depends on the codes before, and it stops after a dozen codes or so."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        made = Autoregressive(CONFIG).eval().requires_grad_(False)
        for parameter in made.parameters():
            parameter += 0.08 * torch.randn_like(parameter)
        made.mel_head.weight *= 2
        made.mel_head.bias[CONFIG.stop_mel_token] += 0.5
    return made


def decode_request(rows: int = 5, *, seed: int = 0, **changes) -> DecodeRequest:
    usual = {
        "speaker": torch.linspace(-1, 1, CONFIG.model_dim)[None],
        "text": torch.tensor([[4, 9, 2, 7, 0]]),
        "generators": row_generators(seed, rows),
        "max_codes": 50,
        "options": TokenOptions(temperature=1.0, top_p=0.95, repetition_penalty=1.1),
        "calm_token": CALM,
    }
    return DecodeRequest(**{**usual, **changes})


def run(model: Autoregressive, wanted: DecodeRequest) -> Codes:
    return join_codes(list(decode(model, wanted)), CONFIG.stop_mel_token)


def latents(model: Autoregressive, codes: Codes) -> torch.Tensor:
    return torch.cat([latents_of(model, decode_request(), codes, row) for row in range(len(codes.ids))], dim=1)
