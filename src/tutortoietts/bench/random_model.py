"""Public models at full size with random weights: as fast as the real ones, made in seconds, with no download."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tutortoietts.core.components import kind_of
from tutortoietts.core.config import Config
from tutortoietts.core.config_xtts import XttsModelConfigs
from tutortoietts.core.errors import OptionError
from tutortoietts.core.spec_xtts import xtts_spec
from tutortoietts.runtime.source import PUBLIC_VOCODERS, ModelSource, public_spec
from tutortoietts.runtime.xtts_source import XttsSource
from tutortoietts.text.xtts.tables import LANGUAGES
from tutortoietts.weights.load import build, model_class, shapes

__all__ = ["RANDOM_FULL", "RANDOM_XTTS", "RandomSource", "RandomXtts", "random_full", "random_xtts"]

RANDOM_FULL = "random-full"
RANDOM_XTTS = "random-xtts"
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
        return _random_module(self.config(part), self.seed, device, dtype)

    def check(self) -> None:
        """Do nothing: no file can be missing."""


@dataclass(frozen=True, kw_only=True)
class RandomXtts(XttsSource):
    """XTTS-v2 at full size without files; text is tokenized by `vocabulary`, or letter by letter."""

    seed: int = 0
    vocabulary: Path | None = None

    @property
    def model_id(self) -> str:
        """Id of its own, as that of `RandomSource`."""
        return RANDOM_XTTS

    def file(self, part: str) -> Path:
        """Return the file of the tokenizer, written when first needed; nothing else is a file."""
        if part != "tokenizer":
            raise OptionError(f"{part} of {RANDOM_XTTS} has random weights and no file")
        if self.vocabulary is not None:
            return self.vocabulary
        path = self.folder / "vocab.json"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(_letters_and_marks()), encoding="utf-8")
        return path

    def load(self, part: str, device: torch.device, dtype: torch.dtype) -> nn.Module:
        """Return a model with random weights, ready to work."""
        return _random_module(self.config(part), self.seed, device, dtype)

    @property
    def mel_norms(self) -> Tensor:
        """Return divisors of 1, (80,) float32."""
        return torch.ones(80)

    def check(self) -> None:
        """Do nothing: no file can be missing."""

    def voice(self) -> tuple[Tensor, Tensor]:
        """Return random latents in the form of `get_conditioning_latents`."""
        generator, gpt = torch.Generator().manual_seed(self.seed), self.spec.autoregressive
        prompt = 0.1 * torch.randn(1, gpt.prompt_latents * gpt.model_dim, generator=generator)
        vector = torch.randn(1, self.spec.stream_decoder.cond_channels, generator=generator)
        return prompt, vector / vector.norm()


def random_xtts(seed: int = 0, vocabulary: Path | None = None) -> RandomXtts:
    """Return XTTS-v2 in the sizes of release 2.0.3 with random weights. vocabulary: a vocab.json of XTTS."""
    return RandomXtts(spec=xtts_spec(RANDOM_XTTS, XttsModelConfigs()), seed=seed, vocabulary=vocabulary)


def _letters_and_marks() -> dict[str, Any]:
    """Return the bundled vocabulary with a mark for each language of XTTS."""
    found: dict[str, Any] = json.loads((_BUNDLED / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = found["model"]["vocab"]
    for code in LANGUAGES:
        mark = "[zh-cn]" if code == "zh" else f"[{code}]"
        vocabulary[mark] = len(vocabulary)
        found["added_tokens"].append({**found["added_tokens"][0], "id": vocabulary[mark], "content": mark})
    return found


def _random_module(config: Config, seed: int, device: torch.device, dtype: torch.dtype) -> nn.Module:
    def make() -> nn.Module:
        return model_class(kind_of(config))(config)

    return build(make, dict(random_state(shapes(make), seed)), device, dtype)


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
