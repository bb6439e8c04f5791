"""Inputs and outputs of every model, to compare devices, precisions and kernels. A part of gpu_check.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

CODES, TEXT_TOKENS, CODE_ROWS = 40, 60, 2


def inputs(spec: Any) -> dict[str, Tensor]:
    """Return seeded inputs of the models: voices, text, codes, a mel, latents."""
    import torch

    generator, decoder, width = torch.Generator().manual_seed(1), spec.autoregressive, spec.diffusion.model_channels
    frames = CODES * 4 * 24000 // 22050

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def ids(end: int, *shape: int) -> Tensor:
        return torch.randint(1, end, shape, generator=generator)

    text = ids(min(decoder.number_text_tokens, 100), 1, min(TEXT_TOKENS, decoder.max_text_tokens - 2))
    text[0, -1] = 0
    return {
        "speaker": 0.1 * normal(1, decoder.model_dim),
        "voice": 0.1 * normal(1, 2 * width),
        "text": text,
        "codes": ids(decoder.start_mel_token - 1, CODE_ROWS, CODES),
        "latents": normal(1, CODES, decoder.model_dim),
        "x": normal(1, spec.diffusion.in_channels, frames),
        "step": torch.tensor([2500]),
        "mel": 2 * normal(1, spec.diffusion.in_channels, frames) - 4,
    }


def module_outputs(tts: Any, given: Mapping[str, Tensor]) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """Yield the name of each model and what computes its output from the inputs, on its device in its type."""
    import torch

    def to(module: Any, *names: str) -> list[Tensor]:
        weight = next(one for one in module.parameters() if one.is_floating_point())
        moved = (given[name].to(weight.device) for name in names)
        return [one.to(weight.dtype) if one.is_floating_point() else one for one in moved]

    def decoder() -> Tensor:
        latents, logits, _ = tts.autoregressive(*to(tts.autoregressive, "speaker", "text", "codes"))
        return torch.cat([latents.flatten().float(), logits.flatten()])

    def diffusion() -> Tensor:
        model = tts.diffusion
        latents, voice, x, step = to(model, "latents", "voice", "x", "step")
        return model(x, step, model.align(latents, voice, x.shape[-1]))  # type: ignore[no-any-return]

    def steps() -> Tensor:
        model, (speaker, text, codes) = tts.autoregressive, to(tts.autoregressive, "speaker", "text", "codes")
        prefix, rows = model.prefix(speaker, text), len(codes)
        start, cache = prefix.shape[1], model.allocate_cache(rows, prefix.shape[1] + CODES)
        model.hidden_states(prefix, cache.rows(0, 1))
        cache.fill_rows(0, start)
        fed = torch.cat([torch.full_like(codes[:, :1], model.cfg.start_mel_token), codes], dim=1)
        hidden = []
        for place in range(CODES):
            where = torch.full((rows,), place, device=codes.device)
            x = model.embed_codes(fed[:, place : place + 1], offset=where)
            hidden.append(model.hidden_states(x, cache, position=start + where))
        return torch.cat(hidden, dim=1)

    def ranking() -> Tensor:
        text, codes = to(tts.clvp, "text", "codes")
        return torch.cat([tts.clvp.encode_text(text), tts.clvp.encode_codes(codes)])

    for name, work in {
        "autoregressive": decoder,
        "steps": steps,
        "diffusion": diffusion,
        "clvp": ranking,
        "vocoder": lambda: tts.vocoder(*to(tts.vocoder, "mel")),
        "stream_decoder": lambda: tts.stream_decoder(*to(tts.stream_decoder, "latents", "speaker")),
    }.items():
        yield name, partial(_computed, tts, name, work)


def _computed(tts: Any, name: str, work: Callable[[], Tensor]) -> Tensor:
    import torch

    getattr(tts, "autoregressive" if name == "steps" else name)  # loaded outside of the block, as ever
    with torch.inference_mode():
        return work()
