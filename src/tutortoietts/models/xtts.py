"""Text and a voice to codes, for XTTS-v2: a GPT-2 over [32 prompt latents] [text] [codes].

    text part   start_text, t..., stop_text       t: the tokens alone, without a 0 behind them
    code part   start_mel, c...

Latents are the normalised hidden states from which each code is predicted, the stop code's included.
Perceiver: Jaegle et al. 2021 (arXiv:2103.03206), in the form of Alayrac et al. 2022 (arXiv:2204.14198).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.core.config_xtts import XttsConfig
from tutortoietts.core.errors import OptionError
from tutortoietts.nn.attention import attend
from tutortoietts.nn.blocks import AttentionBlock
from tutortoietts.nn.code_gpt import CodeGpt

__all__ = ["SLOWEST", "Xtts", "at_speed"]

SLOWEST = 0.05  # the least speed that is taken as it is


class PromptEncoder(nn.Module):
    """mel (B, mel_channels, T) -> every time step (B, T, D), through attention blocks."""

    def __init__(self, mel_channels: int, dim: int, heads: int, blocks: int) -> None:
        super().__init__()
        self.init = nn.Linear(mel_channels, dim)
        self.attn = nn.ModuleList(NormalisedResidual(dim, heads) for _ in range(blocks))

    def forward(self, mel: Tensor) -> Tensor:
        x = self.init(mel.transpose(1, 2))
        for block in self.attn:
            x = block(x)
        return x  # type: ignore[no-any-return]


class NormalisedResidual(AttentionBlock):
    """An attention block whose residual starts from the normalised input: y = norm(x) + out(attention(norm(x)))."""

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        normed = self.norm(x)
        batch, length, channels = normed.shape
        qkv = self.qkv(normed).view(batch, length, self.heads, 3, -1)  # for each head [q | k | v]
        q, k, v = qkv.permute(3, 0, 2, 1, 4)
        y = attend(q, k, v).transpose(1, 2).reshape(batch, length, channels)
        return normed + self.proj_out(y)  # type: ignore[no-any-return]


class PerceiverLayer(nn.Module):
    """latents (B, P, D), steps (B, T, D) -> (B, P, D): attention to latents and steps, then a GEGLU feed-forward."""

    def __init__(self, dim: int, heads: int, head_dim: int) -> None:
        super().__init__()
        inner, wide = heads * head_dim, int(dim * 4 * 2 / 3)
        self.heads = heads
        self.q = nn.Linear(dim, inner, bias=False)
        self.kv = nn.Linear(dim, 2 * inner, bias=False)
        self.out = nn.Linear(inner, dim, bias=False)
        self.widen = nn.Linear(dim, 2 * wide)
        self.narrow = nn.Linear(wide, dim)

    def forward(self, latents: Tensor, steps: Tensor) -> Tensor:
        q = self._by_head(self.q(latents))
        k, v = (self._by_head(x) for x in self.kv(torch.cat([latents, steps], dim=1)).chunk(2, dim=-1))
        latents = latents + self.out(attend(q, k, v).transpose(1, 2).flatten(2))
        value, gate = self.widen(latents).chunk(2, dim=-1)
        return latents + self.narrow(value * F.gelu(gate))  # type: ignore[no-any-return]

    def _by_head(self, x: Tensor) -> Tensor:
        """(B, L, heads * E) -> (B, heads, L, E)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


class Perceiver(nn.Module):
    """steps (B, T, D) -> (B, P, D): learned latents that look at the steps, then RMS norm."""

    def __init__(self, cfg: XttsConfig) -> None:
        super().__init__()
        size = (cfg.model_dim, cfg.perceiver_heads, cfg.perceiver_head_dim)
        self.latents = nn.Parameter(nn.init.normal_(torch.empty(cfg.prompt_latents, cfg.model_dim), std=0.02))
        self.layers = nn.ModuleList(PerceiverLayer(*size) for _ in range(cfg.perceiver_layers))
        self.norm = nn.RMSNorm(cfg.model_dim, eps=1e-24)  # the square of the original's least length of a vector

    def forward(self, steps: Tensor) -> Tensor:
        latents = self.latents.expand(steps.shape[0], -1, -1)
        for layer in self.layers:
            latents = layer(latents, steps)
        return self.norm(latents)  # type: ignore[no-any-return]


class Xtts(CodeGpt):
    """All parts of the decoding, and `forward`, the obvious slow way through them."""

    def __init__(self, cfg: XttsConfig) -> None:
        super().__init__(cfg)
        self.cfg = cfg
        size = (cfg.mel_channels, cfg.model_dim, cfg.heads, cfg.conditioning_blocks)
        self.prompt_encoder = PromptEncoder(*size)
        self.perceiver = Perceiver(cfg)

    def conditioning(self, mel: Tensor) -> Tensor:
        """Encode chunks of a reference clip: mel (B, 80, T), divided by the mel norms -> prompt latents (B, P, D)."""
        return self.perceiver(self.prompt_encoder(mel))  # type: ignore[no-any-return]

    def prefix(self, prompt: Tensor, text: Tensor) -> Tensor:
        """Join what comes before the codes: prompt (B, P, D) or (B, P * D), text (B, T) -> (B, P + T + 2, D).

        Either may have batch 1 and is then used for all rows.
        """
        if prompt.ndim == 2:
            prompt = prompt.view(len(prompt), self.cfg.prompt_latents, -1)
        return self.voiced_text(prompt, text)

    def forward(self, prompt: Tensor, text: Tensor, codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the whole sequence at once: prompt (B or 1, P, D), text (B or 1, T), codes (B, S).

        Returns latents (B, S, D), where latent i is what code i was drawn from; mel logits (B, S + 1, V), at i those of
        code i; text logits (B, T + 2, W), of the token after each of the text part.
        """
        inputs = F.pad(codes, (1, 0), value=self.cfg.start_mel_token)
        prefix = self.prefix(prompt, text).expand(codes.shape[0], -1, -1)
        hidden = self.hidden_states(torch.cat([prefix, self.embed_codes(inputs)], dim=1))
        texts, mels = hidden[:, prompt.shape[1] : prefix.shape[1]], hidden[:, prefix.shape[1] :]
        return mels[:, :-1], self.mel_logits(mels), self.text_logits(texts)


def at_speed(latents: Tensor, speed: float) -> Tensor:
    """Resample latents (B, S, D) over time by 1 / speed, linearly -> (B, floor(S / speed), D): the original's rule.

    Speeds below `SLOWEST` count as that. Raises OptionError where nothing would be left.
    """
    scale = 1.0 / max(speed, SLOWEST)
    if scale == 1.0:
        return latents
    if int(latents.shape[1] * scale) < 1:
        raise OptionError(f"speed {speed:g} leaves nothing of {latents.shape[1]} codes: use a lower speed")
    return F.interpolate(latents.transpose(1, 2), scale_factor=scale, mode="linear").transpose(1, 2)
