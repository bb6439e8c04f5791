"""Public models at full size with random weights: as fast as the real ones, made in seconds, with no download."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from tutortoietts.core.config import kind_of
from tutortoietts.core.errors import OptionError
from tutortoietts.runtime.source import PUBLIC_VOCODERS, ModelSource, public_spec
from tutortoietts.weights.load import build, model_class, shapes

__all__ = ["RANDOM_FULL", "RandomSource", "random_full"]

RANDOM_FULL = "random-full"
_BUNDLED = Path(__file__).resolve().parent.parent / "bundled"
_BLOCK = 1_000_003  # a prime, so that no two rows of a matrix start at the same number
_DEVIATION = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomSource(ModelSource):
    """Source without files: every model is filled from `seed`.

    Text is tokenized by the bundled model's tokenizer, whose tokens are single letters, about twice as many as the
    public one's.
    """

    seed: int = 0

    @property
    def model_id(self) -> str:
        """Id of its own: voices of the public model do not fit these weights, though their sizes do."""
        return RANDOM_FULL

    def file(self, part: str) -> Path:
        """Return the file of the tokenizer or the mel norms; nothing else is a file."""
        if part not in ("tokenizer", "mel_norms"):
            raise OptionError(f"{part} of {RANDOM_FULL} has random weights and no file")
        return _BUNDLED / f"{part}.{'json' if part == 'tokenizer' else 'safetensors'}"

    def load(self, part: str, device: torch.device, dtype: torch.dtype) -> nn.Module:
        """Return a model with random weights, ready to work."""
        config = self.config(part)

        def make() -> nn.Module:
            return model_class(kind_of(config))(config)

        state = dict(random_state(shapes(make), self.seed))
        return build(make, state, device, dtype)

    def check(self) -> None:
        """Do nothing: no file can be missing."""


def random_full(vocoder: str | None = None, seed: int = 0) -> RandomSource:
    """Return the source. vocoder: a public one, by default as for the public checkpoints. Raises OptionError."""
    if vocoder is not None and vocoder not in PUBLIC_VOCODERS:
        raise OptionError(f"vocoder is {vocoder!r}, must be one of {', '.join(PUBLIC_VOCODERS)}")
    return RandomSource(spec=public_spec(), vocoder=vocoder or PUBLIC_VOCODERS[0], seed=seed)


def random_state(wanted: dict[str, torch.Size], seed: int) -> Iterator[tuple[str, Tensor]]:
    """Return small normal numbers for every key, norms around 1: one block of them, cut and repeated, for speed."""
    generator = torch.Generator().manual_seed(seed)
    block = _DEVIATION * torch.randn(_BLOCK, generator=generator)
    block, start = torch.cat([block, block]), 0
    for key, shape in wanted.items():
        count = shape.numel()
        piece = block[start : start + min(count, _BLOCK)]
        values = piece.repeat(-(-count // _BLOCK))[:count].view(shape) if count else block.new_empty(shape)
        start = (start + count) % _BLOCK
        yield key, values + 1.0 if key.endswith("weight") and len(shape) == 1 else values
