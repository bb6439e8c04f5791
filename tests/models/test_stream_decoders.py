"""Streaming decoders: reach is what perturbations say, any part alone is that part of the whole, settled stays."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tutortoietts.accelerate import accelerate
from tutortoietts.core.config import HifiganConfig, StreamVocosConfig, VocosConfig
from tutortoietts.core.errors import ModelError
from tutortoietts.engine.streaming.windows import StreamDecoder, Windows, decode_whole
from tutortoietts.models.hifigan import Hifigan
from tutortoietts.models.stream_vocos import StreamFront, StreamVocos
from tutortoietts.models.vocos import Vocos
from tutortoietts.native.vocoder_conv import can_convolve

UPSAMPLER = {
    "upsample_initial_channel": 8,
    "resblock_kernel_sizes": (3, 5),
    "resblock_dilation_sizes": ((1, 3), (1, 2)),
}
WIDTHS = {"in_channels": 6, "cond_channels": 3}


def lively(module: nn.Module) -> nn.Module:
    """Nothing that starts at zero hides what goes through it."""
    for parameter in module.parameters():
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    return module.eval().requires_grad_(False)


def make(name: str) -> StreamDecoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name == "vocos":
            front = StreamFront(StreamVocosConfig(dim=8, intermediate_dim=12, layers=2, n_mels=5, hop=32, **WIDTHS))
            vocoder = Vocos(VocosConfig(n_mels=5, dim=8, intermediate_dim=12, layers=2, n_fft=128, hop=32))
            return StreamVocos(lively(front), lively(vocoder))  # type: ignore[arg-type]
        sizes = {"even": ((4, 2), (8, 4)), "wide": ((8, 4), (16, 8)), "odd": ((3, 5), (5, 9))}[name]
        factors, kernels = sizes
        stride = 4 * factors[0] * factors[1]
        cfg = HifiganConfig(
            upsample_factors=factors, upsample_kernel_sizes=kernels, code_stride=stride, **WIDTHS, **UPSAMPLER
        )
        return lively(Hifigan(cfg))  # type: ignore[return-value]


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


NAMES = ["even", "wide", "odd", "vocos"]


@pytest.mark.parametrize("name", NAMES)
def test_reach_is_what_moves_a_frames_samples(name: str) -> None:
    decoder = make(name)
    x = decoder.frames(draw(1, 30, 6)).clone().requires_grad_()
    middle = x.shape[-1] // 2
    with torch.enable_grad():
        wave = decoder.synthesize(x, draw(1, 3)).flatten()
        (gradient,) = torch.autograd.grad(wave[middle * decoder.hop : (middle + 1) * decoder.hop].sum(), x)
    moved = gradient[0].abs().sum(dim=0).nonzero().flatten().tolist()
    assert decoder.reach == (middle - moved[0], moved[-1] - middle)


@pytest.mark.parametrize("name", NAMES)
def test_frames_come_in_any_part(name: str) -> None:
    decoder, latents = make(name), draw(2, 11, 6)
    whole = decoder.frames(latents)
    count = decoder.frame_count(11)
    assert whole.shape[-1] == count
    for first, end in ((0, 1), (0, 9), (7, 30), (count - 1, count), (3, count)):
        torch.testing.assert_close(decoder.frames(latents, first, end), whole[..., first:end], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_settled_frames_do_not_change(name: str) -> None:
    decoder, latents = make(name), draw(1, 12, 6)
    whole = decoder.frames(latents)
    for count in range(1, 12):
        sure = decoder.settled(count)
        other = torch.cat([latents[:, :count], draw(1, 3, 6, seed=9)], dim=1)
        if sure:
            torch.testing.assert_close(decoder.frames(latents[:, :count], 0, sure), whole[..., :sure])
        assert not torch.allclose(decoder.frames(other, 0, sure + 1)[..., sure:], whole[..., sure : sure + 1])


@pytest.mark.parametrize("name", ["even", "wide", "odd"])
@pytest.mark.parametrize("half", [False, True])
def test_windows_of_an_accelerated_decoder_are_the_whole_to_the_bit(name: str, half: bool) -> None:
    """So no join can click, whatever is rounded."""
    if not can_convolve():
        pytest.skip("no C compiler")
    decoder, latents, speaker = make(name), draw(1, 40, 6), draw(1, 3)
    slow = decode_whole(decoder, latents, speaker)
    accelerate(decoder, precision="bf16" if half else None)  # type: ignore[arg-type]
    whole = decode_whole(decoder, latents, speaker)
    assert (whole - slow).norm() < 1e-4 * slow.norm()
    for step in (1, 3, 8):
        windows = Windows(decoder, speaker)
        sizes = [*range(step, 40, step), 40]
        assert torch.equal(torch.cat([windows.push(latents[:, :size], size == 40) for size in sizes]), whole)


def test_the_public_sizes() -> None:
    """The sound is 13 frames, three codes, behind what is drawn; the small front is small."""
    with torch.device("meta"):
        public = Hifigan(HifiganConfig())
        small = StreamFront(StreamVocosConfig())
    assert public.reach == (13, 13) and public.hop == 256
    assert public.frame_count(118) == small.frame_count(118) == 118 * 4 * 24000 // 22050
    assert sum(parameter.numel() for parameter in small.parameters()) <= 300_000


def test_gradients_reach_every_weight_and_rows_do_not_mix() -> None:
    front = make("vocos").front  # type: ignore[attr-defined]
    front.requires_grad_(True)
    latents, speaker = draw(2, 7, 6), draw(2, 3)
    front(latents, speaker).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in front.parameters())
    with torch.no_grad():
        torch.testing.assert_close(front(latents, speaker)[:1], front(latents[:1], speaker[:1]))
        assert not torch.allclose(front(latents, speaker)[:1], front(latents[:1], speaker[1:]))


def test_a_front_and_a_vocoder_must_fit() -> None:
    with torch.device("meta"), pytest.raises(ModelError, match=r"\(100, 256\), but the vocoder takes \(80, 256\)"):
        StreamVocos(StreamFront(StreamVocosConfig()), Vocos(VocosConfig(n_mels=80)))


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_surroundings_that_are_skipped_change_nothing(name: str, fast: bool) -> None:
    decoder = make(name)
    if fast and isinstance(decoder, Hifigan):
        accelerate(decoder)
    frames, speaker, hop = decoder.frames(draw(1, 30, 6)), draw(1, 3), decoder.hop
    with torch.no_grad():
        whole = decoder.synthesize(frames, speaker)
        for before, after in ((0, 0), (1, 0), (0, 2), (decoder.reach[0], decoder.reach[1]), (5, frames.shape[-1] - 6)):
            want = whole[..., before * hop : whole.shape[-1] - after * hop]
            got = decoder.synthesize(frames, speaker, (before, after))
            torch.testing.assert_close(got, want, rtol=0, atol=1e-6)


def test_a_window_computes_less_than_the_whole() -> None:
    """Of the last level only the samples that are sounded, and the few that their layers see."""
    decoder = make("even")
    assert isinstance(decoder, Hifigan)
    needed = decoder.needed(40, (13, 13))
    entering, _ = needed.levels[-1]
    assert 14 * decoder.hop <= entering.stop - entering.start < 20 * decoder.hop
