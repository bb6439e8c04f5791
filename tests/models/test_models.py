"""What the golden files do not show: shapes, limits, gradients, and parts that must agree with the whole."""

from __future__ import annotations

from itertools import groupby, product

import pytest
import torch
from torch import nn

import tiny_configs
from tutortoietts.core.config import DvaeConfig, VocosConfig
from tutortoietts.core.errors import OptionError
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.models.clvp import Clvp
from tutortoietts.models.ctc import Ctc
from tutortoietts.models.diffusion import Diffusion
from tutortoietts.models.dvae import Dvae
from tutortoietts.models.vocos import IstftHead, Vocos

AR = tiny_configs.autoregressive(
    48, max_text_tokens=20, max_mel_tokens=24, number_text_tokens=40, start_text_token=40, conditioning_blocks=2
)
DIFFUSION = tiny_configs.diffusion(num_layers=2, in_channels=10, out_channels=20, in_tokens=50)
CLVP = tiny_configs.clvp(num_text_tokens=41, num_speech_tokens=48, speech_enc_depth=2)
DVAE = DvaeConfig(channels=8, num_tokens=16, codebook_dim=4, hidden_dim=8, num_resnet_blocks=1)
VOCOS = VocosConfig(n_mels=10, dim=16, intermediate_dim=32, layers=2)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def randomise(module: nn.Module) -> None:
    """Layers that start at zero would hide mistakes."""
    generator = torch.Generator().manual_seed(7)
    for parameter in module.parameters():
        parameter.data.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)


@pytest.fixture(scope="module")
def autoregressive() -> Autoregressive:
    torch.manual_seed(0)
    model = Autoregressive(AR)
    randomise(model)
    return model.eval()


@pytest.fixture(scope="module")
def diffusion() -> Diffusion:
    torch.manual_seed(0)
    model = Diffusion(DIFFUSION)
    randomise(model)
    return model.eval()


def test_candidates_from_one_prefix_as_the_whole(autoregressive: Autoregressive) -> None:
    """Prefill at batch 1, copied to N rows, then a code at a time at tensor positions: the latents of `forward`."""
    model, rows, steps = autoregressive, 3, 6
    speaker, text = torch.randn(1, 32), torch.tensor([[5, 6, 7, 0]])
    codes = torch.randint(0, 48, (rows, steps))
    with torch.no_grad():
        latents, mel_logits, _ = model(speaker, text, codes)
        prefix = model.prefix(speaker, text)
        cache = model.allocate_cache(rows, prefix.shape[1] + steps)
        model.hidden_states(prefix, cache.rows(0, 1))
        cache.fill_rows(0, prefix.shape[1])
        fed = torch.cat([torch.full((rows, 1), AR.start_mel_token), codes[:, :-1]], dim=1)
        for n in range(steps):
            offset = torch.tensor(n)
            x = model.embed_codes(fed[:, n : n + 1], offset)
            hidden = model.hidden_states(x, cache, position=offset + prefix.shape[1])[:, 0]
            torch.testing.assert_close(hidden, latents[:, n])
            torch.testing.assert_close(model.mel_logits(hidden), mel_logits[:, n])


def test_text_part_and_positions(autoregressive: Autoregressive) -> None:
    embedded = autoregressive.embed_text(torch.tensor([[5, 0]]))
    tokens, places = autoregressive.text_embedding.weight, autoregressive.text_pos_embedding.weight
    want = tokens[torch.tensor([AR.start_text_token, 5, 0, AR.stop_text_token])] + places[:4]
    torch.testing.assert_close(embedded[0], want)
    codes, places = autoregressive.mel_embedding.weight, autoregressive.mel_pos_embedding.weight
    torch.testing.assert_close(autoregressive.embed_codes(torch.tensor([[3, 4]]), 5)[0], codes[3:5] + places[5:7])


def test_too_long_is_an_error(autoregressive: Autoregressive) -> None:
    autoregressive.embed_text(torch.zeros(1, 20, dtype=torch.int64))
    with pytest.raises(OptionError, match="21 text tokens, but this model has positions for 20"):
        autoregressive.embed_text(torch.zeros(1, 21, dtype=torch.int64))
    autoregressive.embed_codes(torch.zeros(1, 8, dtype=torch.int64), 20)
    with pytest.raises(OptionError, match="code position 29 is past the 28"):
        autoregressive.embed_codes(torch.zeros(1, 8, dtype=torch.int64), 21)


def test_conditioning_is_the_mean_of_clips(autoregressive: Autoregressive) -> None:
    mel = torch.randn(1, 3, 80, 17)
    each = torch.stack([autoregressive.conditioning(mel[:, i : i + 1]) for i in range(3)])
    torch.testing.assert_close(autoregressive.conditioning(mel), each.mean(dim=0))


def test_diffusion_in_parts_as_at_once(diffusion: Diffusion) -> None:
    frames = 23
    x, step = torch.randn(2, 10, frames), torch.tensor([7.0, 3001.5])
    conditioning = diffusion.conditioning(torch.randn(2, 1, 10, 31))
    aligned = diffusion.align(torch.randn(2, 5, 32), conditioning, frames)
    whole = diffusion(x, step, aligned)
    assert whole.shape == (2, 20, frames) and whole.dtype == torch.float32
    biases, modulation = diffusion.position_biases(frames), diffusion.modulations(diffusion.embed_step(step))
    assert all(bias is None or bias.shape == (2, 2 * frames - 1) for bias in biases) and biases[-1] is None
    torch.testing.assert_close(diffusion(x, step, aligned, biases), whole)
    parts = diffusion.denoise(x, modulation, diffusion.integrate(aligned, modulation, biases), biases)
    torch.testing.assert_close(parts, whole)


def test_unconditional_is_the_same_for_all_rows(diffusion: Diffusion) -> None:
    x, step = torch.randn(2, 10, 12), torch.tensor([40, 40])
    whole = diffusion(x, step, None)
    modulation = diffusion.modulations(diffusion.embed_step(step[:1]))
    shared = diffusion.integrate(diffusion.unconditioned(12), modulation)
    torch.testing.assert_close(diffusion.denoise(x, modulation, shared), whole)
    same = diffusion(x[:1].expand(2, -1, -1), step, None)
    torch.testing.assert_close(diffusion.denoise(x[:1], modulation, shared.expand(2, -1, -1)), same)
    both = torch.cat([torch.zeros(1, 32, 12), diffusion.unconditioned(12)])
    torch.testing.assert_close(diffusion(x, step, both)[1:], whole[1:])


def test_align_repeats_the_nearest_latent(diffusion: Diffusion) -> None:
    latents, conditioning = torch.randn(1, 4, 32), torch.randn(1, 64)
    long, short = diffusion.align(latents, conditioning, 13), diffusion.align(latents, conditioning, 4)
    index = torch.tensor([i * 4 // 13 for i in range(13)])
    torch.testing.assert_close(long, short[:, :, index])
    assert diffusion.align_codes(torch.tensor([[1, 2, 3]]), conditioning, 13).shape == (1, 32, 13)
    assert diffusion.regress(long).shape == (1, 10, 13)


def test_clvp_padding_and_one_text() -> None:
    model = Clvp(CLVP)
    text, codes = torch.randint(0, 41, (1, 7)), torch.randint(0, 48, (3, 11))
    latent = model.encode_text(text)
    torch.testing.assert_close(latent.norm(dim=-1), torch.ones(1))
    scores = model.score(latent, model.encode_codes(codes))
    torch.testing.assert_close(scores, model(text.expand(3, -1), codes))
    lengths = torch.tensor([11, 4, 9])
    padded = model.score(latent, model.encode_codes(codes, lengths))
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(padded[row : row + 1], model(text, codes[row : row + 1, :length]))


def test_ctc_sums_the_paths_that_spell_the_text() -> None:
    model = Ctc(tiny_configs.ctc(num_text_tokens=4, num_speech_tokens=48)).eval()
    codes, ones = torch.randint(0, 48, (2, 2)), torch.tensor([2, 2])
    scores = model.out(model.states(codes, ones)).view(2, 4, 4).softmax(-1)  # two rows of scores a code
    for text in ([1], [1, 2], [3, 3], [2, 1, 2], [3, 3, 3]):
        total = torch.zeros(2)
        for path in product(range(4), repeat=4):
            if [token for token, _ in groupby(path) if token] == text:
                total += scores[:, range(4), path].prod(1)
        torch.testing.assert_close(model(torch.tensor([[*text, 0]]), codes), total.log())


def test_ctc_does_not_hear_padding() -> None:
    model, text = Ctc(tiny_configs.ctc(num_text_tokens=9, num_speech_tokens=48)).eval(), torch.tensor([[5, 2, 2, 8, 0]])
    codes = torch.randint(0, 48, (3, 11))
    padded = model(text, codes, torch.tensor([11, 4, 9]))
    for row, length in enumerate((11, 4, 9)):
        torch.testing.assert_close(padded[row : row + 1], model(text, codes[row : row + 1, :length]))


def test_dvae_picks_the_nearest_entry() -> None:
    model = Dvae(DVAE)
    z = model.encode_continuous(torch.randn(2, 8, 16))
    assert z.shape == (2, 4, 4)
    assert torch.equal(model.quantize(z), torch.cdist(z, model.codebook[None]).argmin(dim=-1))
    codes = torch.randint(0, 16, (2, 4))
    assert model.decode(codes).shape == (2, 8, 16)
    torch.testing.assert_close(model.decode(codes), model.decode_continuous(model.codebook[codes]))


def test_vocos_head_inverts_the_stft() -> None:
    """Given the true magnitudes and phases, the waveform comes back, aligned with the centred frames."""
    head = IstftHead(4, 1024, 256)
    head.out = nn.Identity()  # type: ignore[assignment]
    wav = torch.randn(2, 20 * 256)
    spectrum = torch.stft(wav, 1024, 256, window=torch.hann_window(1024), center=True, return_complex=True)[:, :, :20]
    ours = head(torch.cat([spectrum.abs().log(), spectrum.angle()], dim=1).transpose(1, 2))
    assert ours.shape == wav.shape
    torch.testing.assert_close(ours[:, : -3 * 256], wav[:, : -3 * 256], atol=1e-4, rtol=1e-4)


def test_vocos_length_and_limit() -> None:
    model = Vocos(VOCOS)
    assert model(torch.randn(2, 10, 7)).shape == (2, 1, 7 * 256)
    with torch.no_grad():
        model.head.out.bias.fill_(1e4)
    assert torch.isfinite(model(torch.randn(1, 10, 7))).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_trainable(dtype: torch.dtype) -> None:
    """Every parameter that a loss should reach gets a finite gradient, also with weights in bfloat16."""
    ar, diffusion, clvp = Autoregressive(AR), Diffusion(DIFFUSION), Clvp(CLVP)
    vocos, dvae = Vocos(VOCOS), Dvae(DVAE)
    models: list[nn.Module] = [ar, diffusion, clvp, vocos, dvae]
    for model in models:
        randomise(model)
        model.to(dtype)
    text, codes, mel = torch.randint(0, 40, (2, 5)), torch.randint(0, 48, (2, 8)), torch.randn(2, 1, 10, 12).to(dtype)
    latents, mel_logits, text_logits = ar(ar.conditioning(torch.randn(2, 1, 80, 9).to(dtype)), text, codes)
    aligned = diffusion.align(latents, diffusion.conditioning(mel), 12)
    noise = diffusion(mel[:, 0], torch.tensor([3, 999]), aligned)
    free = diffusion(mel[:, 0], torch.tensor([3, 999]), None)
    from_codes = diffusion.align_codes(codes, diffusion.conditioning(mel), 12)
    outputs = [
        mel_logits,
        text_logits,
        noise,
        free,
        diffusion.regress(aligned),
        diffusion.regress(from_codes),
        clvp(text, codes),
        vocos(mel[:, 0]),
        dvae.decode_continuous(dvae.encode_continuous(torch.randn(2, 8, 16).to(dtype))),
    ]
    torch.stack([output.float().square().mean() for output in outputs]).sum().backward()
    for model in models:
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, (type(model).__name__, name)
            assert torch.isfinite(parameter.grad).all(), (type(model).__name__, name)


def test_bfloat16_stays_near_float32(diffusion: Diffusion) -> None:
    x, step, aligned = torch.randn(1, 10, 23), torch.tensor([1500]), torch.randn(1, 32, 23)
    with torch.no_grad():
        want = diffusion(x, step, aligned)
        with torch.autocast("cpu", torch.bfloat16):
            ours = diffusion(x, step, aligned)
    assert 1e-5 < float((ours - want).norm() / want.norm()) < 0.05
