"""A small random decoder, requests for it and for a tiny model, shared by the tests of decoding and streaming."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

import tiny_configs
from tutortoietts.accelerate import accelerate
from tutortoietts.core.presets import SpeechOptions
from tutortoietts.core.types import Codes, Voice
from tutortoietts.engine.decoding.latents import latents_of
from tutortoietts.engine.decoding.loop import decode, join_codes
from tutortoietts.engine.decoding.request import DecodeRequest
from tutortoietts.engine.families.tortoise import TORTOISE
from tutortoietts.engine.pipeline import Pipeline
from tutortoietts.engine.progress import Progress
from tutortoietts.engine.request import Request
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.sampling.rows import row_generators
from tutortoietts.sampling.tokens import TokenOptions
from tutortoietts.text.brackets import Passage

CONFIG = tiny_configs.autoregressive(number_text_tokens=20, start_text_token=20)
SILENCE = 3
SPEAKER = torch.linspace(-1, 1, CONFIG.model_dim)[None]
TEXT = torch.tensor([[4, 9, 2, 7, 0]])


def lively_model() -> Autoregressive:
    """Random, but lively: its next code depends on the codes before, and it stops after a dozen codes or so."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        made = Autoregressive(CONFIG).eval().requires_grad_(False)
        for parameter in made.parameters():
            parameter += 0.08 * torch.randn_like(parameter)
        made.mel_head.weight *= 2
        made.mel_head.bias[CONFIG.stop_mel_token] += 0.5
    accelerate(made)
    return made


@cache
def _embeddings() -> Autoregressive:
    return lively_model()


def decode_request(
    rows: int = 5, *, seed: int = 0, model: Autoregressive | None = None, text: Tensor = TEXT, **changes
) -> DecodeRequest:
    """A request for `lively_model`, or for another `model`."""
    embeddings = model or _embeddings()
    usual = {
        "prefix": embeddings.prefix(SPEAKER.to(embeddings.dtype), text),
        "generators": row_generators(seed, rows),
        "max_codes": 50,
        "options": TokenOptions(temperature=1.0, top_p=0.95, repetition_penalty=1.1),
        "silence_code": SILENCE,
    }
    return DecodeRequest(**{**usual, **changes})


def run(model: Autoregressive, request: DecodeRequest) -> Codes:
    return join_codes(list(decode(model, request)), CONFIG.stop_mel_token)


def latents(model: Autoregressive, codes: Codes) -> Tensor:
    return torch.cat([latents_of(model, decode_request(), codes, row) for row in range(len(codes.ids))], dim=1)


def speech_request(*texts: str, options: SpeechOptions, **changes) -> Request:
    """A request for the tiny model, whose passages are `texts`."""
    generator = torch.Generator().manual_seed(0)
    voice = Voice(
        name="test",
        model="tiny",
        speaker=torch.randn(1, 64, generator=generator),
        diffusion=0.1 * torch.randn(1, 128, generator=generator),
    )
    passages = tuple(Passage(text=text) for text in texts)
    return Request(
        **{
            "family": TORTOISE,
            "text": " ".join(texts),
            "passages": passages,
            "voice": voice,
            "options": options,
            "seed": 7,
            **changes,
        }
    )


def pipeline(models: LoadedModels, request: Request, show: Callable[[str, int, int], None] | None = None) -> Pipeline:
    return Pipeline(models, request, Progress(show=show))
