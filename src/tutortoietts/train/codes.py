"""Stage 3: every rendered clip as codes, and the tokenizer of the bundled model."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, models

from tutortoietts.models.dvae import Dvae
from tutortoietts.train.data import read_shard
from tutortoietts.train.features import SAMPLES_PER_CODE, CodedClip, code_mel, phone_at, write_coded

CHARACTERS = "!'(),-.:;?abcdefghijklmnopqrstuvwxyz"


def write_tokenizer(path: Path) -> None:
    """Write a tokenizer file of single characters in the form of the public one: [STOP], [UNK], [SPACE], characters."""
    vocabulary = {token: i for i, token in enumerate(["[STOP]", "[UNK]", "[SPACE]", *CHARACTERS])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="[UNK]"))
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t in ("[STOP]", "[UNK]", "[SPACE]")]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))


@torch.inference_mode()
def encode(source: Path, target: Path, model: Dvae, norms: torch.Tensor) -> None:
    """Encode one shard unless its codes are newer; clips go through the model one by one, so padding never touches a
    code."""
    if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
        return
    clips = []
    for clip in read_shard(source):
        mel = code_mel(clip, norms)
        codes = model.encode(mel[None])[0].numpy().astype("int16")
        middles = (torch.arange(len(codes)).double().numpy() + 0.5) * SAMPLES_PER_CODE / 22050
        clips.append(CodedClip(clip.speaker, clip.text, codes, phone_at(clip, middles)))
    write_coded(target, clips)
