"""Stage 2: the discrete VAE that turns a mel into codes.

Two things help the codes to carry speech rather than voices and noise, and cost nothing at run time: the decoder is
given the speaker while training, and a linear head must name the phones of a code from its codebook entry.
The codebook follows its codes by moving averages (van den Oord et al., 2017, appendix A.1), starts from k-means and
moves entries that nobody uses.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from tutortoietts.core.config import DvaeConfig
from tutortoietts.core.errors import ModelError
from tutortoietts.models.dvae import Dvae
from tutortoietts.train.data import read_shard
from tutortoietts.train.features import code_mel, half_code_phones
from tutortoietts.train.log import Log
from tutortoietts.train.optim import Keeper, Stateful
from tutortoietts.train.phones import PHONES
from tutortoietts.weights.load import save_state

CONFIG = DvaeConfig(
    channels=80, num_tokens=1024, codebook_dim=128, hidden_dim=128, num_resnet_blocks=2, kernel_size=3, num_layers=2
)
CROP_CODES, BATCH = 40, 48
# Beside the model's own keys in its file: the scale of its mels, the head that names phones, the mean of its speakers
EXTRA = ("norms", "phones.weight", "phones.bias", "speaker")


WARPS = (0.86, 1.16)


class Corpus80:
    """Every speaker's conditioning mels joined in time, with the phones of each half code.

    Every speaker is there again as another one, half of its clips at one of WARPS each: codes must do for voices that
    training never heard.
    """

    def __init__(self, paths: list[Path], norms: Tensor) -> None:
        mels: dict[str, list[Tensor]] = {}
        phones: dict[str, list[Tensor]] = {}
        for path in paths:
            for n, clip in enumerate(read_shard(path)):
                for warp in (1.0, WARPS[n % 2]):
                    name = f"{clip.speaker} {warp}"
                    mel = code_mel(clip, norms, warp)
                    mels.setdefault(name, []).append(mel)
                    half = half_code_phones(clip, mel.shape[1] // 4, warp)
                    phones.setdefault(name, []).append(torch.from_numpy(half))
        self.speakers = sorted(mels)
        self.mels = [torch.cat(mels[s], 1) for s in self.speakers]
        self.phones = [torch.cat(phones[s]) for s in self.speakers]

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw random crops: mel (B, 80, 4 S), phones (B, 2 S), speaker (B,)."""
        frames = torch.tensor([m.shape[1] for m in self.mels], dtype=torch.float)
        speaker = torch.multinomial(frames.sqrt(), BATCH, replacement=True, generator=generator)
        mels, phones = [], []
        for s in speaker.tolist():
            codes = self.mels[s].shape[1] // 4 - CROP_CODES
            at = int(torch.randint(codes, (1,), generator=generator))
            mels.append(self.mels[s][:, 4 * at : 4 * (at + CROP_CODES)])
            phones.append(self.phones[s][2 * at : 2 * (at + CROP_CODES)])
        return torch.stack(mels), torch.stack(phones).long(), speaker


class Codebook:
    """Exponential moving averages of a codebook (num_tokens, dim) and its use."""

    def __init__(self, tokens: int, dim: int, decay: float = 0.98) -> None:
        self.entries = torch.zeros(tokens, dim)
        self.sums = torch.zeros(tokens, dim)
        self.counts = torch.ones(tokens)
        self.decay = decay

    def state_dict(self) -> dict[str, Tensor]:
        return {"entries": self.entries, "sums": self.sums, "counts": self.counts}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.entries, self.sums, self.counts = (state[name] for name in ("entries", "sums", "counts"))

    def start(self, points: Tensor, generator: torch.Generator) -> None:
        """Start from k-means on ``points`` (N, dim)."""
        tokens = len(self.entries)
        centres = points[torch.randperm(len(points), generator=generator)[:tokens]].clone()
        for _ in range(15):
            nearest = torch.cdist(points, centres).argmin(1)
            counts = torch.bincount(nearest, minlength=tokens).clamp(min=1)
            sums = torch.zeros_like(centres).index_add_(0, nearest, points)
            fresh = points[torch.randint(len(points), (tokens,), generator=generator)]
            used = torch.bincount(nearest, minlength=tokens) > 0
            centres = torch.where(used[:, None], sums / counts[:, None], fresh)
        self.entries, self.sums, self.counts = centres.clone(), centres.clone(), torch.ones(tokens)

    def nearest(self, points: Tensor) -> Tensor:
        return torch.cdist(points, self.entries).argmin(1)

    def update(self, points: Tensor, ids: Tensor, generator: torch.Generator) -> int:
        """Move towards ``points`` (N, dim) quantized as ``ids`` (N,); returns how many dead entries were moved."""
        counts = torch.bincount(ids, minlength=len(self.counts)).float()
        sums = torch.zeros_like(self.sums).index_add_(0, ids, points)
        self.counts.mul_(self.decay).add_(counts, alpha=1 - self.decay)
        self.sums.mul_(self.decay).add_(sums, alpha=1 - self.decay)
        dead = (self.counts < 0.05).nonzero()[:, 0]
        if len(dead):
            fresh = points[torch.randint(len(points), (len(dead),), generator=generator)]
            self.sums[dead], self.counts[dead] = fresh, torch.ones(len(dead))
        self.entries = self.sums / self.counts.clamp(min=1e-4)[:, None]
        return len(dead)


def load(path: Path) -> tuple[Dvae, Tensor]:
    """Load a trained discrete VAE and the norms (80,) of the mels it reads."""
    model, extra = _read(path)
    return model, extra["norms"]


def _read(path: Path) -> tuple[Dvae, dict[str, Tensor]]:
    """Load the model, and what only training needs: `EXTRA`."""
    state = {name: value.float() for name, value in load_file(path).items()}
    extra = {name: state.pop(name) for name in EXTRA if name in state}
    model = Dvae(CONFIG).eval()
    model.load_state_dict(state)
    return model, extra


def adapt(paths: list[Path], out: Path, minutes: float, log: Log, seed: int = 0) -> None:
    """Teach the encoder the speakers of ``paths``; all that says what a code means stays as it is.

    Codebook, decoder and the head that names phones are kept, and the phones weigh more than in `train`: a new
    speaker's codes must say what the others' say. For the first tenth only the speakers themselves are learned.
    Goes on from ``out``, written by `train`, and writes it. Raises ModelError where it lacks that head.
    """
    torch.manual_seed(seed)
    model, extra = _read(out)
    if missing := [name for name in EXTRA if name not in extra]:
        raise ModelError(f"{out} has no {missing[0]}: train dvae writes it")
    corpus, norms = Corpus80(paths, extra["norms"]), extra["norms"]
    phone_head = nn.Linear(CONFIG.codebook_dim, 2 * len(PHONES))
    phone_head.load_state_dict({name: extra[f"phones.{name}"] for name in ("weight", "bias")})
    nn.ModuleList([model.decoder, phone_head]).requires_grad_(False)
    everyone = extra["speaker"].repeat(len(corpus.speakers), 1)
    voices = nn.Embedding.from_pretrained(everyone, freeze=False)  # type: ignore[no-untyped-call]
    learned = [*voices.parameters(), *model.encoder.parameters()]
    groups = [{"params": learned[:1]}, {"params": learned[1:]}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=1e-4)
    parts: dict[str, Stateful] = {"encoder": model.encoder, "voices": voices, "optimizer": optimizer}
    keeper = Keeper(out.with_name("adapted.ckpt"), minutes, parts)
    generator = torch.Generator().manual_seed(seed + keeper.steps)
    while (done := keeper.progress) < 1:
        schedule = min(1, (keeper.steps + 1) / 100) * min(1, 2 * (1 - done))
        optimizer.param_groups[0]["lr"] = 5e-3 * schedule
        optimizer.param_groups[1]["lr"] = 1e-3 * schedule if done >= 0.1 else 0.0
        mel, phones, speaker = corpus.batch(generator)
        with torch.autocast("cpu", torch.bfloat16):
            z = model.encode_continuous(mel).float()
            ids = torch.cdist(z.detach().flatten(0, 1), model.codebook).argmin(1)
            entries = model.codebook[ids].view_as(z)
            quantized = z + (entries - z).detach()
            error, named, right = losses(model, quantized, voices(speaker), phone_head, mel, phones, norms)
        commit = F.mse_loss(z, entries)
        _descend(error + commit + named, optimizer, learned)
        if keeper.steps % 100 == 0:
            log(step=keeper.steps, nat=float(error.detach()), commit=float(commit.detach()), phones=right)
        if keeper.tick():
            keeper.save()
    keeper.save()
    save_state(out, {**model.state_dict(), **extra})


def losses(
    model: Dvae, quantized: Tensor, voices: Tensor, phone_head: nn.Linear, mel: Tensor, phones: Tensor, norms: Tensor
) -> tuple[Tensor, Tensor, float]:
    """Return nats off ``mel`` (B, 80, 4 S), nats a phone of ``phones`` (B, 2 S), and the share of phones named rightly.

    ``quantized`` (B, S, dim) are codebook entries, ``voices`` (B, dim) speakers, ``norms`` (80,) the mel's scale.
    """
    decoded = model.decode_continuous(quantized + voices[:, None]).float()
    named = phone_head(quantized).float().unflatten(-1, (2, len(PHONES))).flatten(0, 2)
    right = (named.argmax(1) == phones.flatten()).float().mean()
    error = ((decoded - mel).abs() * norms[:, None]).mean()
    return error, F.cross_entropy(named, phones.flatten()), float(right)


def _descend(loss: Tensor, optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()


def train(paths: list[Path], norms: Tensor, out: Path, minutes: float, log: Log, seed: int = 0) -> None:
    """Train for ``minutes`` in all, going on from the .ckpt beside ``out`` if there is one.

    ``out``, written at the end: safetensors of Dvae's own keys and of `EXTRA`.
    """
    torch.manual_seed(seed)
    corpus = Corpus80(paths, norms)
    model = Dvae(CONFIG)
    book = Codebook(CONFIG.num_tokens, CONFIG.codebook_dim)
    voices = nn.Embedding(len(corpus.speakers), CONFIG.codebook_dim)
    phone_head = nn.Linear(CONFIG.codebook_dim, 2 * len(PHONES))
    parameters = [*model.parameters(), *voices.parameters(), *phone_head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.98), weight_decay=1e-4)
    heads = nn.ModuleList([voices, phone_head])
    parts: dict[str, Stateful] = {"model": model, "codebook": book, "heads": heads, "optimizer": optimizer}
    keeper = Keeper(out.with_suffix(".ckpt"), minutes, parts)
    generator = torch.Generator().manual_seed(seed + keeper.steps)
    while (done := keeper.progress) < 1:
        step = keeper.steps
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1, (step + 1) / 100) * min(1, 2.5 * (1 - done)) + 1e-6
        mel, phones, speaker = corpus.batch(generator)
        with torch.autocast("cpu", torch.bfloat16):
            z = model.encode_continuous(mel).float()  # (B, S, dim)
            points = z.detach().reshape(-1, z.shape[-1])
            quantized, commit, dead = z, torch.zeros(()), 0
            if step == 200:
                many = [points] + [
                    model.encode_continuous(corpus.batch(generator)[0]).detach().float().flatten(0, 1) for _ in range(8)
                ]
                book.start(torch.cat(many), generator)
            if step >= 200:
                ids = book.nearest(points)
                dead = book.update(points, ids, generator)
                entries = book.entries[ids].view_as(z)
                commit = F.mse_loss(z, entries)
                quantized = z + (entries - z).detach()
            error, named, right = losses(model, quantized, voices(speaker), phone_head, mel, phones, norms)
        _descend(error + 0.25 * commit + 0.3 * named, optimizer, parameters)
        if step % 100 == 0:
            used = int((book.counts > 0.5).sum())
            log(
                step=step,
                nat=float(error.detach()),
                commit=float(commit.detach()),
                phones=right,
                used=used,
                dead=dead,
            )
        if keeper.tick():
            keeper.save()
    keeper.save()
    state = model.state_dict()
    state["codebook"] = book.entries
    extra = {f"phones.{name}": value for name, value in phone_head.state_dict().items()}
    save_state(out, {**state, **extra, "norms": norms, "speaker": voices.weight.detach().mean(0)})
