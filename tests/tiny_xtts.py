"""A release of XTTS-v2 with the tiny random weights of a golden file: a folder as a user has it after fine-tuning."""

from __future__ import annotations

import json
import string
from pathlib import Path

import torch

from golden_files import SHARED, read

GOLDEN = SHARED / "golden" / "xtts_pipeline.safetensors"
LANGUAGES = ("en", "es", "fr", "de", "it", "pt", "pl", "tr", "ru", "nl", "cs", "ar", "zh-cn", "ja", "hu", "ko", "hi")


def make_tiny_release(folder: Path) -> Path:
    """Fill `folder` with config.json, model.pth, vocab.json and speakers_xtts.pth (Ana Example, Bo Sample)."""
    folder.mkdir(parents=True)
    golden = read(GOLDEN)
    args = {**golden.config, "gpt_max_audio_tokens": 46}
    config = {"model": "xtts", "model_args": args, "temperature": 0.75, "repetition_penalty": 5.0, "gpt_cond_len": 30,
              "gpt_cond_chunk_len": 4, "max_ref_len": 30, "languages": list(LANGUAGES)}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    torch.save({"model": golden.weights}, folder / "model.pth")
    (folder / "vocab.json").write_text(json.dumps(vocabulary()), encoding="utf-8")
    draw = torch.Generator().manual_seed(0)
    width, vector = args["gpt_n_model_channels"], args["d_vector_dim"]
    voices = {
        name: {
            "gpt_cond_latent": torch.randn(1, 32, width, generator=draw),
            "speaker_embedding": torch.randn(1, vector, 1, generator=draw),
        }
        for name in ("Ana Example", "Bo Sample")
    }
    torch.save(voices, folder / "speakers_xtts.pth")
    return folder


def vocabulary() -> dict[str, object]:
    """One token a letter, and the marks of all languages: 85 is [START], as in the golden file."""
    marks = [f"[{code}]" for code in LANGUAGES]
    tokens = ["[STOP]", "[UNK]", "[SPACE]", *marks, *"!'(),-.:;?¿¡", *string.ascii_lowercase, *string.digits]
    tokens += [f"<{number}>" for number in range(len(tokens), 85)] + ["[START]"]
    special = [
        {"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": True}
        for i, token in enumerate(tokens)
        if token.startswith("[")
    ]  # fmt: skip
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
