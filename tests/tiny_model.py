"""A whole model directory with tiny random weights: it speaks noise, in milliseconds, through the real code."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

FILES = {"autoregressive": "autoregressive", "diffusion": "diffusion", "clvp": "clvp", "vocoder": "vocos"}


def make_tiny_model(folder: Path, seed: int = 0, streaming: str | None = None) -> Path:
    """Fill `folder` with model.json, the four models, a letter tokenizer, mel norms and the voices anna and ben.

    `streaming`: the kind of streaming decoder it also has.
    """
    import torch
    from safetensors.torch import save_file

    import tiny_configs
    from tutortoietts.core.types import Voice
    from tutortoietts.voices.files import write_voice
    from tutortoietts.weights.load import model_class, save_state

    folder.mkdir(parents=True, exist_ok=True)
    spec = tiny_configs.model(streaming)
    width, channels = spec.autoregressive.model_dim, spec.diffusion.model_channels
    files = {**FILES, **({"stream_decoder": streaming} if streaming else {})}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for stem, kind in files.items():
            module = model_class(kind)(getattr(spec, stem))
            with torch.no_grad():
                for parameter in module.parameters():  # zero-initialised layers would hide what goes through them
                    parameter.add_(0.02 * torch.randn_like(parameter))
            save_state(folder / f"{stem}.safetensors", module.state_dict(), kind=kind, dtype=torch.float16)
        for name in ("anna", "ben"):
            latents = {"speaker": torch.randn(1, width), "diffusion": 0.1 * torch.randn(1, 2 * channels)}
            voice = Voice(name=name, model=spec.name, **latents)
            write_voice(folder / "voices" / f"{name}.safetensors", voice)
    (folder / "model.json").write_text(json.dumps(spec.to_dict()), encoding="utf-8")
    (folder / "tokenizer.json").write_text(json.dumps(letter_tokenizer()), encoding="utf-8")
    save_file({"mel_norms": torch.ones(80)}, folder / "mel_norms.safetensors")
    return folder


def letter_tokenizer() -> dict[str, Any]:
    """A `tokenizers` file with one token a character."""
    tokens = ["[STOP]", "[UNK]", "[SPACE]", *"!'(),-.:;?", *string.ascii_lowercase]
    special = [
        {
            "id": i,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i, token in enumerate(tokens[:3])
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "[UNK]",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [],
        },
    }
