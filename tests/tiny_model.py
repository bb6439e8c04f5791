"""A whole model directory with tiny random weights: it speaks noise, in milliseconds, through the real code."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

CODES = 32
FILES = {"autoregressive": "autoregressive", "diffusion": "diffusion", "clvp": "clvp", "vocoder": "vocos"}
SPEC: dict[str, Any] = {
    "format": 1,
    "name": "tiny",
    "default_preset": "tiny",
    "tokenizer": {"file": "tokenizer.json", "cleaner": "english"},
    "autoregressive": {
        "layers": 2,
        "model_dim": 64,
        "heads": 2,
        "max_text_tokens": 402,
        "max_mel_tokens": 60,
        "number_mel_codes": CODES + 2,
        "start_mel_token": CODES,
        "stop_mel_token": CODES + 1,
        "conditioning_blocks": 1,
    },
    "diffusion": {
        "model_channels": 64,
        "num_layers": 1,
        "in_latent_channels": 64,
        "in_tokens": CODES + 1,
        "num_heads": 2,
        "latent_conditioner_blocks": 1,
        "contextual_embedder_blocks": 1,
        "code_converter_blocks": 1,
        "integrator_layers": 1,
        "head_residual_blocks": 1,
    },
    "clvp": {
        "dim_text": 32,
        "dim_speech": 32,
        "dim_latent": 32,
        "num_speech_tokens": CODES,
        "text_enc_depth": 1,
        "text_heads": 2,
        "speech_enc_depth": 1,
        "speech_heads": 2,
        "head_dim": 16,
        "rotary_dim": 8,
    },
    "vocoder": {"kind": "vocos", "dim": 32, "intermediate_dim": 64, "layers": 1},
    "stream_decoder": None,
    "calm_token": None,
    "presets": {"tiny": {"num_autoregressive_samples": 2, "diffusion_iterations": 2, "max_mel_tokens": 12}},
}


STREAM_DECODERS: dict[str, dict[str, Any]] = {
    "stream_vocos": {"kind": "stream_vocos", "in_channels": 64, "cond_channels": 64, "dim": 32, "intermediate_dim": 48},
    "hifigan": {
        "kind": "hifigan",
        "in_channels": 64,
        "cond_channels": 64,
        "upsample_initial_channel": 16,
        "upsample_factors": [16, 16],
        "upsample_kernel_sizes": [32, 32],
        "resblock_kernel_sizes": [3, 5],
        "resblock_dilation_sizes": [[1, 3], [1, 3]],
    },
}


def make_tiny_model(folder: Path, seed: int = 0, streaming: str | None = None) -> Path:
    """Fill `folder` with model.json, the four models, a letter tokenizer, mel norms and the voices anna and ben.

    `streaming`: which of STREAM_DECODERS it also has.
    """
    import torch
    from safetensors.torch import save_file

    from tutortoietts.core.config import ModelSpec
    from tutortoietts.core.types import Voice
    from tutortoietts.voices.files import write_voice
    from tutortoietts.weights.load import model_class, save_state

    folder.mkdir(parents=True, exist_ok=True)
    settings = {**SPEC, "stream_decoder": STREAM_DECODERS[streaming] if streaming else None}
    spec = ModelSpec.from_dict(settings)
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
            voice = Voice(name=name, model="tiny", speaker=torch.randn(1, 64), diffusion=0.1 * torch.randn(1, 128))
            write_voice(folder / "voices" / f"{name}.safetensors", voice)
    (folder / "model.json").write_text(json.dumps(settings), encoding="utf-8")
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
