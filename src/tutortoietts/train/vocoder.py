"""Stage 6: the Vocos vocoder, from mels of true speech and, once there is a decoder, from what that makes of it.

Losses: L1 between log-mels, and spectral convergence plus log-magnitude L1 of STFTs of several resolutions (Yamamoto
et al., 2020), then an adversary of small discriminators, of spectrograms (Jang et al., 2021) and of periods (Kong et
al., 2020), for crisp phases. Without it speech sounds hoarse: no loss that averages can say which of many phases is
right. On a CPU one resolution and one discriminator a step, on a GPU all of them. Half of the true mels are blurred,
as those of a decoder are.
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
from tutortoietts.train import decoder
from tutortoietts.train.data import read_shard
from tutortoietts.train.features import wav24
from tutortoietts.train.log import Log
from tutortoietts.train.optim import Keeper, State, Stateful, warm
from tutortoietts.train.ragged import Ragged
from tutortoietts.weights.load import save_state

CONFIG = VocosConfig(n_mels=100, dim=256, intermediate_dim=1024, layers=6, n_fft=1024, hop=256)
RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512), (256, 64))
JUDGED = ((512, 128), (1024, 256), (2048, 512))  # (n_fft, hop) of the adversary's spectrograms
PERIODS = (2, 3, 5, 7, 11)  # in samples
FRAMES, BATCH, GPU_BATCH = 64, 24, 48
MADE_SHARE = 0.6  # of the crops whose mel the decoder made, once there are any
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
    """Convolutions over an image of waveforms (B, N), which `image` makes: -> scores and feature maps."""

    layers: nn.ModuleList
    score: nn.Conv2d

    def image(self, wave: Tensor) -> Tensor:
        """Return (B, 1, H, W)."""
        raise NotImplementedError

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        x, features = self.image(wave), []
        with torch.autocast(wave.device.type, torch.bfloat16):
            for layer in self.layers:
                x = F.leaky_relu(layer(x), 0.1)
                features.append(x)
            return self.score(x).float(), features


class SpectrumDiscriminator(Discriminator):
    """Sees log-magnitudes at one resolution."""

    def __init__(self, n_fft: int, hop: int, width: int = 24) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        widths = (1, width, 2 * width, 2 * width, 2 * width)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, (5, 3), (2, 1), (2, 1)) for before, after in itertools.pairwise(widths)
        )
        self.score = nn.Conv2d(2 * width, 1, 3, padding=1)

    def image(self, wave: Tensor) -> Tensor:
        return spectrum(wave, self.n_fft, self.hop).clamp(min=1e-4).log()[:, None]


class PeriodDiscriminator(Discriminator):
    """Sees every period-th sample beside its neighbours."""

    def __init__(self, period: int, width: int = 32) -> None:
        super().__init__()
        self.period = period
        widths = (1, width, 3 * width, 6 * width, 12 * width)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, (5, 1), (3, 1), (2, 0)) for before, after in itertools.pairwise(widths)
        )
        self.score = nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0))

    def image(self, wave: Tensor) -> Tensor:
        return F.pad(wave, (0, -wave.shape[-1] % self.period)).view(len(wave), 1, -1, self.period)


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
        self.made: Ragged | None = None

    def take(self, made: dict[tuple[str, str], Tensor]) -> None:
        """Take mels (F, 100) that a decoder made of some clips; of others, and past their ends, true ones stay."""
        mels = list(torch.split(self.mels.values, self.mels.lengths.tolist()))
        for n, key in enumerate(self.keys):
            if key in made:
                frames = min(len(made[key]), len(mels[n]))
                mels[n] = torch.cat([made[key][:frames].to(mels[n]), mels[n][frames:]])
        self.made = Ragged(mels, self.device)

    def batch(self, generator: torch.Generator, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Draw what the vocoder is given, the true mel (B, 100, FRAMES) and the wave (B, FRAMES * HOP)."""
        which = torch.randint(len(self.keys), (size,), generator=generator)
        first = (torch.rand(size, generator=generator) * (self.mels.lengths[which] - FRAMES)).long()
        # frame k is centred on sample HOP k; our vocoders make samples HOP k .. HOP (k + 1) - 1 from it
        mel = self.mels.crops(which, first, FRAMES).transpose(1, 2).float()
        given = blurred(mel, generator)
        if self.made is not None:
            of_decoder = (torch.rand(size, 1, 1, generator=generator) < MADE_SHARE).to(self.device)
            given = torch.where(of_decoder, self.made.crops(which, first, FRAMES).transpose(1, 2).float(), given)
        return given, mel, self.waves.crops(which, first, FRAMES).flatten(1).float()


class Adversary(nn.Module):
    """All discriminators, and the losses of both sides."""

    def __init__(self) -> None:
        super().__init__()
        self.judges = nn.ModuleList(
            [*(SpectrumDiscriminator(n, h) for n, h in JUDGED), *(PeriodDiscriminator(p) for p in PERIODS)]
        )

    def chosen(self, step: int) -> list[nn.Module]:
        """Return the discriminators of a step: on a CPU one after the other, on a GPU all."""
        every = list(self.judges)
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


def train(
    paths: list[Path],
    out: Path,
    minutes: float,
    log: Log,
    adversary_after: float = 0.5,
    limit: int = 150,
    start: State | None = None,
    device: str = "cpu",
    made: Path | None = None,
) -> None:
    """Train for ``minutes`` in all; the adversary joins after that share of the time.

    Goes on from the .ckpt beside ``out``; without one, starts from the weights of ``out`` if it exists, else ``start``.
    ``made``: a file of `decoder.write_made`, used as soon as it is there.
    """
    torch.manual_seed(0)
    data, model = Waves(paths, limit, device), Vocos(CONFIG)
    if start or out.exists():
        warm(model, load_file(out) if out.exists() else start or {})
    model, adversary = model.to(device), Adversary().to(device)
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.8, 0.98), weight_decay=0.0, fused=True)
    critic = torch.optim.AdamW(adversary.parameters(), lr=RATE / 2, betas=(0.8, 0.98), fused=True)
    parts: dict[str, Stateful] = {
        "model": model,
        "average": average,
        "judges": adversary,
        "optimizer": optimizer,
        "critic": critic,
    }
    keeper = Keeper(out.with_suffix(".ckpt"), minutes, parts)
    generator = torch.Generator().manual_seed(keeper.steps)
    size = BATCH if device == "cpu" else GPU_BATCH
    while (done := keeper.progress) < 1:
        step = keeper.steps
        if made is not None and data.made is None and step % 50 == 0 and made.exists():
            data.take(decoder.read_made(made))
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / 100) * min(1, 2 * (1 - done)) + 1e-6
        given, mel, true = data.batch(generator, size)
        with torch.autocast(data.device.type, torch.bfloat16):
            wave = model(given)[:, 0].float()
        mel_error = mel_loss(wave, mel)
        # on a CPU one resolution a step, drawn anew: the spectrograms of the loss cost more than the model
        drawn = torch.randint(len(RESOLUTIONS), (1,), generator=generator)
        resolutions = [RESOLUTIONS[int(drawn)]] if device == "cpu" else RESOLUTIONS
        loss = 2 * mel_error + sum(spectral_loss(wave, true, shape) for shape in resolutions) / len(resolutions)
        critic_loss = torch.zeros(())
        if done >= adversary_after:
            critic_loss = adversary.learn(wave, true, step)
            critic.zero_grad(set_to_none=True)
            critic_loss.backward()  # type: ignore[no-untyped-call]
            critic.step()
            loss = loss + adversary.requires_grad_(False).fool(wave, true, step)
            adversary.requires_grad_(True)
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
