"""Stage 6: the Vocos vocoder, from mels of true speech.

Losses: L1 between log-mels, and spectral convergence plus log-magnitude L1 of STFTs of several resolutions (Yamamoto
et al., 2020), then an adversary of small discriminators of spectrograms (Jang et al., 2021) for crisp phases. Without
it speech sounds hoarse: no loss that averages can say which of many phases is right. On a CPU one resolution and one
discriminator a step, on a GPU all of them. Half of the mels are blurred, as those of a model are.
"""

from __future__ import annotations

import copy
import itertools
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
from tutortoietts.train.ragged import Ragged
from tutortoietts.weights.load import save_state

CONFIG = VocosConfig(n_mels=100, dim=192, intermediate_dim=512, layers=6, n_fft=1024, hop=256)
RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512), (256, 64))
JUDGED = ((512, 256), (1024, 512), (2048, 1024))  # (n_fft, hop) of the adversary's spectrograms
FRAMES, BATCH, GPU_BATCH = 64, 24, 48
HOP = CONFIG.hop
RATE = 8e-4
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


class Discriminator(nn.Module):
    """Convolutions over log-magnitudes of waveforms (B, N) at one resolution -> scores and feature maps."""

    def __init__(self, n_fft: int, hop: int, width: int = 16) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        widths = (1, width, 2 * width, 2 * width, 2 * width)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, (5, 3), (2, 1), (2, 1)) for before, after in itertools.pairwise(widths)
        )
        self.score = nn.Conv2d(2 * width, 1, 3, padding=1)

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        x, features = spectrum(wave, self.n_fft, self.hop).clamp(min=1e-4).log()[:, None], list[Tensor]()
        with torch.autocast(wave.device.type, torch.bfloat16):
            for layer in self.layers:
                x = F.leaky_relu(layer(x), 0.1)
                features.append(x)
            return self.score(x).float(), features


def blurred(mel: Tensor, generator: torch.Generator) -> Tensor:
    """Return mels (B, 100, F), half of them smoothed over bands and frames, more or less."""
    smooth = F.avg_pool2d(F.pad(mel[:, None], (1, 1, 2, 2), mode="replicate"), (5, 3), 1)[:, 0]
    share = (2 * torch.rand(len(mel), 1, 1, generator=generator) - 1).clamp(min=0)
    return torch.lerp(mel, smooth, share.to(mel.device))


class Waves:
    """Crops of 24 kHz speech with the mel of exactly their frames, from whole clips' mels (so that edges are true)."""

    def __init__(self, paths: list[Path], limit: int, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.keys: list[tuple[str, str]] = []
        mels, waves = [], []
        for path in paths:
            for n, clip in enumerate(read_shard(path)):
                if n == limit:
                    break
                frames = len(clip.samples) // HOP
                if frames > FRAMES + 4:
                    wave = wav24(clip)[: HOP * frames].to(device)
                    mels.append(diffusion_mel(wave[None])[0, :, :frames].T.half())
                    waves.append(wave.view(frames, HOP).half())
                    self.keys.append((clip.speaker, clip.text))
        self.mels, self.waves = Ragged(mels, device), Ragged(waves, device)

    def batch(self, generator: torch.Generator, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Draw what the vocoder is given, the true mel (B, 100, FRAMES) and the wave (B, FRAMES * HOP)."""
        which = torch.randint(len(self.keys), (size,), generator=generator)
        first = (torch.rand(size, generator=generator) * (self.mels.lengths[which] - FRAMES)).long()
        # frame k is centred on sample HOP k; our vocoders make samples HOP k .. HOP (k + 1) - 1 from it
        mel = self.mels.crops(which, first, FRAMES).transpose(1, 2).float()
        return blurred(mel, generator), mel, self.waves.crops(which, first, FRAMES).flatten(1).float()


class Adversary(nn.Module):
    """All discriminators, and the losses of both sides."""

    def __init__(self) -> None:
        super().__init__()
        self.judges = nn.ModuleList(Discriminator(n_fft, hop) for n_fft, hop in JUDGED)

    def chosen(self, step: int) -> list[nn.Module]:
        """Return the discriminators of a step: on a CPU one after the other, on a GPU all."""
        every: list[nn.Module] = list(self.judges)
        return every if next(self.parameters()).is_cuda else [every[step % len(every)]]

    def learn(self, made: Tensor, true: Tensor, step: int) -> Tensor:
        """Return the loss of telling made waveforms (B, N) from true ones."""
        judges, loss = self.chosen(step), made.new_zeros(())
        for judge in judges:
            loss = loss + F.relu(1 - judge(true)[0]).mean() + F.relu(1 + judge(made.detach())[0]).mean()
        return loss / len(judges)

    def fool(self, made: Tensor, true: Tensor, step: int) -> Tensor:
        """Return the vocoder's loss: scores, and distances of feature maps."""
        judges, loss = self.chosen(step), made.new_zeros(())
        for judge in judges:
            score, features = judge(made)
            with torch.no_grad():
                true_features = judge(true)[1]
            loss = loss + 0.3 * F.relu(1 - score).mean()
            loss = loss + 0.6 * sum((a - b).abs().mean() for a, b in zip(features, true_features, strict=True))
        return loss / len(judges)


class Duel:
    """Models that end in a waveform and the adversary they learn against, with their averages and checkpoint.

    ``average`` holds what is to be written: moving averages of the weights of ``models``.
    """

    def __init__(self, models: nn.ModuleDict, path: Path, minutes: float, rate: float, device: str) -> None:
        self.models, self.adversary, self.rate = models.to(device), Adversary().to(device), rate
        self.average = copy.deepcopy(models).requires_grad_(False)
        self._optimizer = torch.optim.AdamW(
            models.parameters(), lr=rate, betas=(0.8, 0.98), weight_decay=0.0, fused=True
        )
        self._critic = torch.optim.AdamW(self.adversary.parameters(), lr=rate / 2, betas=(0.8, 0.98), fused=True)
        parts: dict[str, Stateful] = {
            "models": models,
            "average": self.average,
            "adversary": self.adversary,
            "optimizer": self._optimizer,
            "critic": self._critic,
        }
        self.keeper = Keeper(path, minutes, parts)

    def losses(self, wave: Tensor, mel: Tensor, true: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Return losses of waveforms (B, N) beside the true ones and their mel, without the adversary."""
        # on a CPU one resolution a step, drawn anew: the spectrograms of the loss cost more than the model
        drawn = int(torch.randint(len(RESOLUTIONS), (1,), generator=generator))
        shapes = RESOLUTIONS if wave.is_cuda else RESOLUTIONS[drawn : drawn + 1]
        spectral = torch.stack([spectral_loss(wave, true, shape) for shape in shapes]).mean()
        return {"mel": mel_loss(wave, mel), "spectral": spectral}

    def against(self, wave: Tensor, true: Tensor) -> dict[str, Tensor]:
        """Let the adversary learn from waveforms (B, N) and true ones; return its loss and what it adds to theirs."""
        critic = self.adversary.learn(wave, true, self.keeper.steps)
        self._critic.zero_grad(set_to_none=True)
        critic.backward()  # type: ignore[no-untyped-call]
        self._critic.step()
        fooled = self.adversary.requires_grad_(False).fool(wave, true, self.keeper.steps)
        self.adversary.requires_grad_(True)
        return {"critic": critic.detach(), "fooled": fooled}

    def step(self, loss: Tensor) -> tuple[float, bool]:
        """Make one update; returns the gradient's norm, and whether a checkpoint was written."""
        keeper = self.keeper
        for group in self._optimizer.param_groups:
            group["lr"] = self.rate * min(1, (keeper.steps + 1) / 100) * min(1, 2 * (1 - keeper.progress)) + 1e-6
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.models.parameters(), 5.0)
        self._optimizer.step()
        keep = min(KEEP, (1 + keeper.steps) / (20 + keeper.steps))
        averages: list[Tensor] = list(self.average.parameters())
        torch._foreach_lerp_(averages, [p.detach() for p in self.models.parameters()], 1 - keep)
        due = keeper.tick()
        if due:
            keeper.save()
        return float(norm), due


def adversary_of(checkpoint: Path) -> State | None:
    """Return the adversary of a checkpoint of this stage, None where there is none."""
    return torch.load(checkpoint, weights_only=True)["adversary"] if checkpoint.exists() else None


def train(
    paths: list[Path],
    out: Path,
    minutes: float,
    log: Log,
    adversary_after: float = 0.5,
    limit: int = 150,
    start: State | None = None,
    device: str = "cpu",
) -> None:
    """Train for ``minutes`` in all; the adversary joins after that share of the time.

    Goes on from the .ckpt beside ``out``; without one, starts from the weights of ``out`` if it exists, else ``start``.
    """
    torch.manual_seed(0)
    data, model = Waves(paths, limit, device), Vocos(CONFIG)
    if start or out.exists():
        warm(model, load_file(out) if out.exists() else start or {})
    duel = Duel(nn.ModuleDict({"vocoder": model}), out.with_suffix(".ckpt"), minutes, RATE, device)
    keeper, generator = duel.keeper, torch.Generator().manual_seed(duel.keeper.steps)
    size = BATCH if device == "cpu" else GPU_BATCH
    while (done := keeper.progress) < 1:
        given, mel, true = data.batch(generator, size)
        with torch.autocast(data.device.type, torch.bfloat16):
            wave = model(given)[:, 0].float()
        parts = duel.losses(wave, mel, true, generator)
        loss = 2 * parts["mel"] + parts["spectral"]
        if done >= adversary_after:
            parts |= duel.against(wave, true)
            loss = loss + parts["fooled"]
        norm, saved = duel.step(loss)
        if keeper.steps % 50 == 0:
            log(step=keeper.steps, progress=done, norm=norm, **{k: float(v.detach()) for k, v in parts.items()})
        if saved:
            save_state(out, duel.average["vocoder"].state_dict())
    keeper.save()
    save_state(out, duel.average["vocoder"].state_dict())
