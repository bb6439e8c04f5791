"""Stage 6: the Vocos vocoder, from mels of true speech.

Losses: L1 between log-mels, and spectral convergence plus log-magnitude L1 at one of several STFT
resolutions (Yamamoto et al., 2020), then an adversary of small multi-resolution spectrogram discriminators
(Jang et al., 2021) for crisp phases, one resolution a step. Without the adversary speech sounds hoarse: no loss that
averages can say which of many phases is right. Half of the mels are blurred, as those of a decoder are.
"""

from __future__ import annotations

import copy
import itertools
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from tutortoietts.audio.mel import diffusion_mel
from tutortoietts.core.config import VocosConfig
from tutortoietts.models.vocos import Vocos
from tutortoietts.train.data import read_shard
from tutortoietts.train.features import wav24
from tutortoietts.train.log import Log
from tutortoietts.train.optim import Keeper, State, Stateful, warm
from tutortoietts.weights.load import save_state

CONFIG = VocosConfig(n_mels=100, dim=192, intermediate_dim=512, layers=6, n_fft=1024, hop=256)
RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512), (256, 64))
JUDGED = ((512, 256), (1024, 512), (2048, 1024))  # (n_fft, hop) of the adversary's spectrograms
FRAMES, BATCH = 64, 24
KEEP = 0.998  # of the moving average of the weights, which is what is written


def spectrum(wave: Tensor, n_fft: int, hop: int) -> Tensor:
    """Return the magnitudes of (B, N) -> (B, n_fft // 2 + 1, T)."""
    window = torch.hann_window(n_fft, device=wave.device)
    real, imaginary = torch.view_as_real(torch.stft(wave, n_fft, hop, window=window, return_complex=True)).unbind(-1)
    return (real.square() + imaginary.square() + 1e-9).sqrt()


def spectral_loss(made: Tensor, true: Tensor, resolution: tuple[int, int]) -> Tensor:
    """Return the STFT loss of waveforms (B, N) at one (n_fft, hop)."""
    a, b = spectrum(made, *resolution), spectrum(true, *resolution)
    loss: Tensor = (a - b).norm() / b.norm() + (a.clamp(min=1e-4).log() - b.clamp(min=1e-4).log()).abs().mean()
    return loss


def mel_loss(made: Tensor, mel: Tensor) -> Tensor:
    """Return the L1 of the log-mel of waveforms (B, N) and ``mel`` (B, 100, N / 256), without frames at the edges."""
    return (diffusion_mel(made)[:, :, 2:-3] - mel[:, :, 2:-2]).abs().mean()


class Judge(nn.Module):
    """A discriminator of one spectrogram resolution: log-magnitudes (B, 1, F, T) -> scores and feature maps."""

    def __init__(self, n_fft: int, hop: int, width: int = 16) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        widths = (1, width, 2 * width, 2 * width, 2 * width)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, (5, 3), (2, 1), (2, 1)) for before, after in itertools.pairwise(widths)
        )
        self.score = nn.Conv2d(2 * width, 1, 3, padding=1)

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = spectrum(wave, self.n_fft, self.hop).clamp(min=1e-4).log()[:, None]
        features = []
        with torch.autocast("cpu", torch.bfloat16):
            for layer in self.layers:
                x = F.leaky_relu(layer(x), 0.1)
                features.append(x)
            return self.score(x).float(), features


def blurred(mel: Tensor, rng: random.Random) -> Tensor:
    """Return mels (B, 100, F), half of them smoothed over bands and frames, more or less."""
    smooth = F.avg_pool2d(F.pad(mel[:, None], (1, 1, 2, 2), mode="replicate"), (5, 3), 1)[:, 0]
    share = torch.tensor([max(0.0, rng.uniform(-1, 1)) for _ in mel])
    return torch.lerp(mel, smooth, share[:, None, None])


class Waves:
    """Crops of 24 kHz speech with the mel of exactly their frames, from whole clips' mels (so that edges are true)."""

    def __init__(self, paths: list[Path], limit: int) -> None:
        self.items: list[tuple[Tensor, Tensor]] = []
        for path in paths:
            for n, clip in enumerate(read_shard(path)):
                if n == limit:
                    break
                wave = wav24(clip)
                if len(wave) > (FRAMES + 4) * 256:
                    self.items.append((diffusion_mel(wave[None])[0].half(), wave.half()))

    def batch(self, rng: random.Random, size: int = BATCH) -> tuple[Tensor, Tensor]:
        """Draw mel (B, 100, FRAMES) and wave (B, FRAMES * 256)."""
        mels, waves = [], []
        for mel, wave in rng.choices(self.items, k=size):
            at = rng.randrange(len(wave) // 256 - FRAMES)
            # frame k is centred on sample 256 k; our vocoders make samples 256 k .. 256 k + 255 from it
            mels.append(mel[:, at : at + FRAMES])
            waves.append(wave[256 * at : 256 * (at + FRAMES)])
        return torch.stack(mels).float(), torch.stack(waves).float()


def train(
    paths: list[Path],
    out: Path,
    minutes: float,
    log: Log,
    adversary_after: float = 0.5,
    limit: int = 150,
    start: State | None = None,
) -> None:
    """Train for ``minutes`` in all; the adversary joins after that share of the time.

    Goes on from the .ckpt beside ``out``; without one, starts from the weights of ``out`` if it exists, else ``start``.
    """
    torch.manual_seed(0)
    data, model = Waves(paths, limit), Vocos(CONFIG)
    if start or out.exists():
        warm(model, load_file(out) if out.exists() else start or {})
    judges = nn.ModuleList(Judge(n, h) for n, h in JUDGED)
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=8e-4, betas=(0.8, 0.98), weight_decay=0.0, fused=True)
    critic = torch.optim.AdamW(judges.parameters(), lr=4e-4, betas=(0.8, 0.98), fused=True)
    parts: dict[str, Stateful] = {
        "model": model,
        "average": average,
        "judges": judges,
        "optimizer": optimizer,
        "critic": critic,
    }
    keeper = Keeper(out.with_suffix(".ckpt"), minutes, parts)
    rng = random.Random(keeper.steps)
    while (done := keeper.progress) < 1:
        step = keeper.steps
        for group in optimizer.param_groups:
            group["lr"] = 8e-4 * min(1, (step + 1) / 100) * min(1, 2 * (1 - done)) + 1e-6
        mel, true = data.batch(rng)
        with torch.autocast("cpu", torch.bfloat16):
            made = model(blurred(mel, rng))[:, 0].float()
        mel_error = mel_loss(made, mel)
        # one resolution a step, drawn anew: the spectrograms of the loss cost more than the model
        loss = 2 * mel_error + spectral_loss(made, true, rng.choice(RESOLUTIONS))
        critic_loss = torch.zeros(())
        if done >= adversary_after:
            judge = judges[step % len(judges)]
            score, wanted = judge(true)
            critic_loss = F.relu(1 - score).mean() + F.relu(1 + judge(made.detach())[0]).mean()
            critic.zero_grad(set_to_none=True)
            critic_loss.backward()  # type: ignore[no-untyped-call]
            critic.step()
            score, features = judge(made)
            loss = loss + 0.3 * F.relu(1 - score).mean()
            loss = loss + 0.6 * sum((a - b.detach()).abs().mean() for a, b in zip(features, wanted, strict=True))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        keep = min(KEEP, (1 + step) / (20 + step))
        torch._foreach_lerp_(list(average.parameters()), [p.detach() for p in model.parameters()], 1 - keep)
        if step % 50 == 0:
            values = {"mel": mel_error, "loss": loss, "critic": critic_loss, "norm": norm}
            log(step=step, progress=done, **{name: float(value.detach()) for name, value in values.items()})
        if keeper.tick():
            keeper.save()
            save_state(out, average.state_dict())
    keeper.save()
    save_state(out, average.state_dict())
