"""Turn mels into sound, always in float32."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tutortoietts.core.errors import ModelError
from tutortoietts.core.types import Audio, Mel

__all__ = ["vocode", "vocode_all"]

_ROWS = 8


@torch.inference_mode()
def vocode(vocoder: nn.Module, mel: Mel, generator: torch.Generator) -> Audio:
    """Make sound: Mel (B, 100, F) -> Audio (B, 1, L) in -1..1.

    generator: for a vocoder that starts from noise (`needs_noise`, as UnivNet). Any module that maps (B, 100, F) to
    (B, 1, L) will do; raise ModelError if it gives another shape.
    """
    weight = next(vocoder.parameters(), mel.values)
    values = mel.values.to(weight.device, torch.float32)
    wave: Tensor = vocoder(values, generator=generator) if _needs_noise(vocoder) else vocoder(values)
    if wave.ndim != 3 or wave.shape[:2] != (values.shape[0], 1):
        raise ModelError(f"the vocoder gives shape {tuple(wave.shape)}, must be ({values.shape[0]}, 1, samples)")
    return Audio(samples=wave.float().clamp(-1.0, 1.0), sample_rate=mel.sample_rate)


def vocode_all(vocoder: nn.Module, mels: Sequence[Mel], generators: Sequence[torch.Generator]) -> list[Audio]:
    """Make sounds: mels (1, 100, F) each -> Audio (1, 1, L) each.

    Mels of one length share a batch, so that padding never leaks between utterances. A vocoder that starts from noise
    takes them one by one: UnivNet magnifies the rounding by which a batch differs.
    """
    same: dict[int, list[int]] = {}
    for place, mel in enumerate(mels):
        same.setdefault(place if _needs_noise(vocoder) else -mel.values.shape[-1], []).append(place)
    made: dict[int, Audio] = {}
    for places in same.values():
        for start in range(0, len(places), _ROWS):
            rows = places[start : start + _ROWS]
            mel = Mel(values=torch.cat([mels[place].values for place in rows]), sample_rate=mels[rows[0]].sample_rate)
            audio = vocode(vocoder, mel, generators[rows[0]])
            each = audio.samples.chunk(len(rows))
            made |= {
                place: Audio(samples=wave, sample_rate=audio.sample_rate)
                for place, wave in zip(rows, each, strict=True)
            }
    return [made[place] for place in range(len(mels))]


def _needs_noise(vocoder: nn.Module) -> bool:
    return bool(getattr(vocoder, "needs_noise", False))
