"""UnivNet vocoder: a mel and noise to a waveform, through convolutions whose kernels are predicted from the mel.

Jang et al., "UnivNet: A Neural Vocoder with Multi-Resolution Spectrogram Discriminators", 2021.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutortoietts.core.config import UnivNetConfig

__all__ = ["UnivNet"]

_TAIL_FRAMES = 10
_SILENCE = -11.5129  # the mel's floor, log(1e-5)


class UnivNet(nn.Module):
    """Vocoder, mel (B, n_mel, F) -> waveform (B, 1, F * hop)."""

    needs_noise = True

    def __init__(self, cfg: UnivNetConfig) -> None:
        super().__init__()
        self.cfg = cfg
        width = cfg.channel_size
        self.conv_pre = nn.Conv1d(cfg.noise_dim, width, 7, padding=3, padding_mode="reflect")
        self.blocks = nn.ModuleList()
        hop = 1
        for stride in cfg.strides:
            hop *= stride
            self.blocks.append(_Block(cfg, stride, hop))
        self.conv_post = nn.Conv1d(width, 1, 7, padding=3, padding_mode="reflect")

    def forward(self, mel: Tensor, z: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Return samples (B, 1, F * hop) of a log mel (B, n_mel, F).

        z: noise (B, noise_dim, F + 10); drawn from ``generator`` if not given. Ten frames of silence are added after
        the mel and their samples cut off, so that zero padding does not change the end.
        """
        batch, bins, frames = mel.shape
        tail = mel.new_full((batch, bins, _TAIL_FRAMES), _SILENCE)
        mel = torch.cat([mel, tail], dim=2)
        if z is None:
            shape = (batch, self.cfg.noise_dim, frames + _TAIL_FRAMES)
            source = mel.device if generator is None else generator.device
            z = torch.randn(shape, generator=generator, device=source, dtype=torch.float32)
            z = z.to(mel.device, mel.dtype)
        x = self.conv_pre(z)
        for block in self.blocks:
            x = block(x, mel)
        x = torch.tanh(self.conv_post(F.leaky_relu(x, self.cfg.lReLU_slope)))
        return x[..., : frames * self.cfg.hop_length]


class _Block(nn.Module):
    """Block: upsampling by ``stride``, then a gated location-variable convolution for each dilation.

    hop: samples of a frame.
    """

    def __init__(self, cfg: UnivNetConfig, stride: int, hop: int) -> None:
        super().__init__()
        width = cfg.channel_size
        self.slope = cfg.lReLU_slope
        self.hop = hop
        odd = stride % 2
        self.upsample = nn.ConvTranspose1d(
            width, width, 2 * stride, stride=stride, padding=stride // 2 + odd, output_padding=odd
        )
        self.convs = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation) for dilation in cfg.dilations
        )
        self.predictor = _KernelPredictor(cfg)

    def forward(self, x: Tensor, mel: Tensor) -> Tensor:
        """Return (B, C, F * hop): x (B, C, F * hop / stride), mel (B, n_mel, F)."""
        kernels, biases = self.predictor(mel)
        x = self.upsample(F.leaky_relu(x, self.slope))
        for layer, conv in enumerate(self.convs):
            inner = F.leaky_relu(conv(F.leaky_relu(x, self.slope)), self.slope)
            inner = _location_variable_conv(inner, kernels[:, layer], biases[:, layer], self.hop)
            gate, value = inner.chunk(2, dim=1)
            x = x + torch.sigmoid(gate) * torch.tanh(value)
        return x


class _KernelPredictor(nn.Module):
    """Predictor of the kernels and biases of every layer of a block, one set for each mel frame."""

    def __init__(self, cfg: UnivNetConfig) -> None:
        super().__init__()
        self.slope = cfg.lReLU_slope
        self.layers = len(cfg.dilations)
        self.inputs, self.outputs = cfg.channel_size, 2 * cfg.channel_size
        self.kernel_width = 3
        width, size = cfg.kpnet_hidden_channels, cfg.kpnet_conv_size
        self.input = nn.Conv1d(cfg.n_mel_channels, width, 5, padding=2)
        self.residual = nn.ModuleList(
            nn.ModuleList(nn.Conv1d(width, width, size, padding=size // 2) for _ in range(2)) for _ in range(3)
        )
        kernels = self.layers * self.inputs * self.outputs * self.kernel_width
        self.kernel = nn.Conv1d(width, kernels, size, padding=size // 2)
        self.bias = nn.Conv1d(width, self.layers * self.outputs, size, padding=size // 2)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return kernels (B, layers, in, out, width, F) and biases (B, layers, out, F) of a mel (B, n_mel, F)."""
        x = F.leaky_relu(self.input(mel), self.slope)
        for pair in self.residual:
            first, second = cast(nn.ModuleList, pair)
            inner = F.leaky_relu(first(x), self.slope)
            x = x + F.leaky_relu(second(inner), self.slope)
        batch, _, frames = mel.shape
        kernels = self.kernel(x).view(batch, self.layers, self.inputs, self.outputs, self.kernel_width, frames)
        return kernels, self.bias(x).view(batch, self.layers, self.outputs, frames)


def _location_variable_conv(x: Tensor, kernels: Tensor, biases: Tensor, hop: int) -> Tensor:
    """Convolve every frame's ``hop`` samples with that frame's own kernel: one batched matrix product.

    x (B, in, F * hop), kernels (B, in, out, width, F), biases (B, out, F) -> (B, out, F * hop)
    """
    batch, inputs, outputs, width, frames = kernels.shape
    padded = F.pad(x, (width // 2, width // 2))
    windows = padded.unfold(2, hop + width - 1, hop).unfold(3, width, 1)  # (B, in, F, hop, width)
    windows = windows.permute(0, 2, 1, 4, 3).reshape(batch * frames, inputs * width, hop)
    matrices = kernels.permute(0, 4, 2, 1, 3).reshape(batch * frames, outputs, inputs * width)
    offsets = biases.permute(0, 2, 1).reshape(batch * frames, outputs, 1)
    result = torch.baddbmm(offsets, matrices, windows)
    return result.view(batch, frames, outputs, hop).permute(0, 2, 1, 3).reshape(batch, outputs, frames * hop)
