"""Latents to mel by estimates of the noise in a mel (Ho et al. 2020, arXiv:2006.11239; variance: arXiv:2102.09672).

Once for an utterance: `conditioning` of the reference clips, `align` of the latents to mel frames, `position_biases`
and, for all steps in a few matrix products, `modulations`. Each step:
    aligned -> integrator layers -> joined with conv(x) -> diffusion layers -> residual blocks -> out

In half precision these stay in float32: the sums of GroupNorm and softmax (inside torch's kernels), the waves of the
step's embedding, the regressed mel and the estimate that is returned.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.core.config import DiffusionConfig
from tutortoietts.nn.blocks import AttentionBlock, TimeConv, TimeGroupNorm

__all__ = ["Diffusion", "DiffusionLayer", "Modulation", "ResidualBlock"]

Modulation = Tensor
"""Scale and shift (blocks, B or 1, 2C) of every residual block, in the order used: all that depends on the step."""

_MAX_PERIOD = 10000.0
_MOST_BIAS_BYTES = 512 << 20


class ResidualBlock(nn.Module):
    """Residual block, x (B, F, C), modulation by the step (B or 1, 2C) -> (B, F, C). The last conv starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm_in = TimeGroupNorm(channels)
        self.conv_in = nn.Linear(channels, channels)
        self.embed = nn.Linear(channels, 2 * channels)
        self.norm_out = TimeGroupNorm(channels)
        self.conv_out = TimeConv(channels, channels, 3)
        _zero(self.conv_out)

    def forward(self, x: Tensor, modulation: Tensor, bias: Tensor | None = None) -> Tensor:
        """Ignore `bias`, so that this block can stand in for a DiffusionLayer."""
        y = self.conv_in(F.silu(self.norm_in(x)))
        scale, shift = modulation.unsqueeze(1).chunk(2, dim=-1)
        y = torch.addcmul(shift, self.norm_out(y), 1 + scale)
        return x + self.conv_out(F.silu(y))  # type: ignore[no-any-return]


class DiffusionLayer(nn.Module):
    """Layer, x (B, F, C), modulation (B or 1, 2C) -> (B, F, C): a residual block, then attention with relative bias."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.resblk = ResidualBlock(channels)
        self.attn = AttentionBlock(channels, heads, relative=True)

    def forward(self, x: Tensor, modulation: Tensor, bias: Tensor | None = None) -> Tensor:
        return self.attn(self.resblk(x, modulation), bias)  # type: ignore[no-any-return]


def _attention(count: int, channels: int, heads: int) -> list[nn.Module]:
    return [AttentionBlock(channels, heads, relative=True) for _ in range(count)]


class Diffusion(nn.Module):
    """Model of the noise, and its variance, in a mel normalised to -1..1."""

    def __init__(self, cfg: DiffusionConfig) -> None:
        super().__init__()
        self.cfg = cfg
        width, heads, mels = cfg.model_channels, cfg.num_heads, cfg.in_channels
        self.contextual_embedder = nn.Sequential(
            TimeConv(mels, width, 3, stride=2),
            TimeConv(width, 2 * width, 3, stride=2),
            *_attention(cfg.contextual_embedder_blocks, 2 * width, heads),
        )
        self.latent_conditioner = nn.Sequential(
            TimeConv(cfg.in_latent_channels, width, 3),
            *_attention(cfg.latent_conditioner_blocks, width, heads),
        )
        self.code_embedding = nn.Embedding(cfg.in_tokens, width)
        self.code_converter = nn.Sequential(*_attention(cfg.code_converter_blocks, width, heads))
        self.code_norm = TimeGroupNorm(width)
        # not in the original, which repeats one latent for all frames of a code; this predicts a residual per sub-frame
        self.spread = nn.Linear(width, cfg.latent_upsample * width) if cfg.latent_upsample > 1 else None
        if self.spread is not None:
            nn.init.zeros_(self.spread.weight)
            nn.init.zeros_(self.spread.bias)
        self.unconditioned_embedding = nn.Parameter(nn.init.normal_(torch.empty(1, width, 1)))
        self.mel_head = TimeConv(width, mels, 3)

        self.time_embed = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.integrator = nn.ModuleList(DiffusionLayer(width, heads) for _ in range(cfg.integrator_layers))
        self.inp_block = TimeConv(mels, width, 3)
        self.integrating_conv: nn.Module = nn.Linear(2 * width, width)
        self.layers = nn.ModuleList(
            [
                *(DiffusionLayer(width, heads) for _ in range(cfg.num_layers)),
                *(ResidualBlock(width) for _ in range(cfg.head_residual_blocks)),
            ]
        )
        self.out_norm = TimeGroupNorm(width)
        self.out_conv = TimeConv(width, cfg.out_channels, 3)
        _zero(self.out_conv)

    def conditioning(self, mels: Tensor) -> Tensor:
        """Return the speaker's scale and shift (B, 2C), means over time and clips: mels (B, clips, 100, T)."""
        batch, clips = mels.shape[:2]
        embedded = self.contextual_embedder(mels.flatten(0, 1).transpose(1, 2)).mean(dim=1)
        return embedded.view(batch, clips, -1).mean(dim=1)  # type: ignore[no-any-return]

    def align(self, latents: Tensor, conditioning: Tensor, frames: int) -> Tensor:
        """Return (B, C, frames), each latent repeated over its frames: latents (B, S, D), conditioning (B, 2C)."""
        return self._aligned(self.latent_conditioner(latents), conditioning, frames)

    def align_codes(self, codes: Tensor, conditioning: Tensor, frames: int) -> Tensor:
        """Align codes (B, S) int64 instead of latents: less exact, but the public checkpoint is trained for it."""
        return self._aligned(self.code_converter(self.code_embedding(codes)), conditioning, frames)

    def _aligned(self, x: Tensor, conditioning: Tensor, frames: int) -> Tensor:
        scale, shift = conditioning.to(x.dtype).unsqueeze(1).chunk(2, dim=-1)
        x = torch.addcmul(shift, self.code_norm(x), 1 + scale)
        if self.spread is not None:
            parts = self.spread(F.silu(x)).unflatten(-1, (self.cfg.latent_upsample, -1))
            x = (x.unsqueeze(2) + parts).flatten(1, 2)
        index = torch.arange(x.shape[1], device=x.device, dtype=torch.float32)
        index = F.interpolate(index[None, None], size=frames, mode="nearest")[0, 0].long()
        return x.index_select(1, index).transpose(1, 2)

    def unconditioned(self, frames: int, batch: int = 1) -> Tensor:
        """Return the replacement for `aligned` without conditioning: (batch, C, frames), a view."""
        return self.unconditioned_embedding.expand(batch, -1, frames)

    def regress(self, aligned: Tensor) -> Tensor:
        """Return a mel without diffusion, (B, 100, F) float32, normalised to -1..1: aligned (B, C, F)."""
        return self.mel_head(aligned.transpose(1, 2)).transpose(1, 2).float()  # type: ignore[no-any-return]

    def position_biases(self, frames: int) -> tuple[Tensor | None, ...]:
        """Return the attention bias of every layer in the order used, for `forward`: it depends on the length only.

        On a GPU these are squares, and those of a long text would fill a small one: past 512 MiB all are None, and each
        is built when it is used.
        """
        blocks = [layer.attn if isinstance(layer, DiffusionLayer) else None for layer in self.step_layers()]
        weight = self.inp_block.weight
        squares = self.cfg.num_heads * frames**2 * weight.element_size() * sum(block is not None for block in blocks)
        if weight.device.type != "cpu" and squares > _MOST_BIAS_BYTES:
            return (None,) * len(blocks)
        return tuple(None if block is None else block.kept_bias(frames) for block in blocks)

    def step_layers(self) -> list[DiffusionLayer | ResidualBlock]:
        """Return the layers that depend on the step, in the order used."""
        return cast("list[DiffusionLayer | ResidualBlock]", [*self.integrator, *self.layers])

    def embed_step(self, step: Tensor) -> Tensor:
        """Return the embedding (B, C) of steps (B,), int or float, 0..3999."""
        half = self.cfg.model_channels // 2
        ramp = torch.arange(half, device=step.device, dtype=torch.float32)
        angles = step[:, None].float() * torch.exp(-math.log(_MAX_PERIOD) * ramp / half)
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1)
        return self.time_embed(waves.to(self.inp_block.weight.dtype))  # type: ignore[no-any-return]

    def modulations(self, embedding: Tensor) -> Modulation:
        """Return the modulations (blocks, N, 2C) of embedded steps (N, C)."""
        active = F.silu(embedding)
        blocks = [layer.resblk if isinstance(layer, DiffusionLayer) else layer for layer in self.step_layers()]
        return torch.stack([block.embed(active) for block in blocks])

    def integrate(
        self, aligned: Tensor, modulation: Modulation, biases: tuple[Tensor | None, ...] | None = None
    ) -> Tensor:
        """Return the integrated (B, C, F) of aligned (B, C, F). It does not depend on x, and for `unconditioned` not
        on the text."""
        y = aligned.transpose(1, 2)
        for i, layer in enumerate(self.integrator):
            y = layer(y, modulation[i], biases[i] if biases else None)
        return y.transpose(1, 2)

    def denoise(
        self,
        x: Tensor,
        modulation: Modulation,
        integrated: Tensor,
        biases: tuple[Tensor | None, ...] | None = None,
    ) -> Tensor:
        """Return the output of `forward`, (B, 200, F) float32: x (B, 100, F), integrated (B, C, F). Either may have one
        row for all."""
        rows = max(x.shape[0], integrated.shape[0])
        y = self.inp_block(x.transpose(1, 2).to(self.inp_block.weight.dtype))
        y = torch.cat([y.expand(rows, -1, -1), integrated.transpose(1, 2).expand(rows, -1, -1)], dim=-1)
        y = self.integrating_conv(y)
        for i, layer in enumerate(self.layers, start=len(self.integrator)):
            y = layer(y, modulation[i], biases[i] if biases else None)
        return self.out_conv(F.silu(self.out_norm(y))).transpose(1, 2).float()  # type: ignore[no-any-return]

    def forward(
        self, x: Tensor, step: Tensor, aligned: Tensor | None, biases: tuple[Tensor | None, ...] | None = None
    ) -> Tensor:
        """Return the noise and then the variance, together (B, 200, F) float32, in x (B, 100, F) at trained step (B,).

        step: int or float, 0..3999. aligned: (B, C, F), or None for the unconditional estimate. biases:
        `position_biases(F)`, if the caller keeps them.
        """
        modulation = self.modulations(self.embed_step(step))
        if aligned is None:
            aligned = self.unconditioned(x.shape[-1], step.shape[0])
        return self.denoise(x, modulation, self.integrate(aligned, modulation, biases), biases)


def _zero(layer: nn.Linear) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
