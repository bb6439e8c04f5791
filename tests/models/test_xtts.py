"""What the golden files of XTTS do not show: limits, candidates from one prefix, the compiled decoder, chunks."""

from __future__ import annotations

import pytest
import torch

from tutortoietts.accelerate import accelerate
from tutortoietts.audio.mel import speaker_features
from tutortoietts.audio.reference import first_chunks, peak_normalized, spread_chunks
from tutortoietts.core.config_vocoder import HifiganConfig
from tutortoietts.core.config_xtts import SpeakerEncoderConfig, XttsConfig
from tutortoietts.core.errors import AudioError, OptionError
from tutortoietts.models.hifigan import Hifigan
from tutortoietts.models.speaker_encoder import SpeakerEncoder
from tutortoietts.models.xtts import Xtts, at_speed

GPT = XttsConfig(
    layers=2,
    model_dim=32,
    heads=2,
    max_text_tokens=20,
    max_mel_tokens=24,
    number_text_tokens=40,
    start_text_token=39,
    number_mel_codes=50,
    start_mel_token=48,
    stop_mel_token=49,
    conditioning_blocks=2,
    prompt_latents=4,
)
DECODER = HifiganConfig(
    in_channels=16, upsample_initial_channel=64, cond_channels=12, cond_each_level=True, final_bias=False
)


@pytest.fixture(scope="module")
def gpt() -> Xtts:
    torch.manual_seed(0)
    return Xtts(GPT).eval()


@pytest.fixture(scope="module")
def decoder() -> Hifigan:
    torch.manual_seed(0)
    return Hifigan(DECODER).eval()


def test_candidates_from_one_prefix_as_the_whole(gpt: Xtts) -> None:
    """Prefill at batch 1, copied to N rows, then a code at a time at tensor positions: the latents of `forward`."""
    rows, steps = 3, 6
    prompt, text = torch.randn(1, 4, 32), torch.tensor([[5, 6, 7]])
    codes = torch.randint(0, 48, (rows, steps))
    with torch.no_grad():
        latents, mel_logits, text_logits = gpt(prompt, text, codes)
        prefix = gpt.prefix(prompt, text)
        cache = gpt.allocate_cache(rows, prefix.shape[1] + steps)
        gpt.hidden_states(prefix, cache.rows(0, 1))
        cache.fill_rows(0, prefix.shape[1])
        fed = torch.cat([torch.full((rows, 1), GPT.start_mel_token), codes[:, :-1]], dim=1)
        for n in range(steps):
            offset = torch.tensor(n)
            x = gpt.embed_codes(fed[:, n : n + 1], offset)
            hidden = gpt.hidden_states(x, cache, position=offset + prefix.shape[1])[:, 0]
            torch.testing.assert_close(hidden, latents[:, n])
            torch.testing.assert_close(gpt.mel_logits(hidden), mel_logits[:, n])
    assert text_logits.shape == (rows, 5, 40)


def test_text_and_codes_past_their_tables_are_refused(gpt: Xtts) -> None:
    with pytest.raises(OptionError, match=r"21 text tokens.*positions for 20"):
        gpt.embed_text(torch.zeros(1, 21, dtype=torch.int64))
    with pytest.raises(OptionError, match="28 is past the 27"):
        gpt.embed_codes(torch.zeros(1, 28, dtype=torch.int64))
    assert GPT.max_new_codes == 21


def test_prompt_latents_do_not_depend_on_the_batch(gpt: Xtts) -> None:
    mels = torch.randn(2, 80, 30)
    with torch.no_grad():
        both = gpt.conditioning(mels)
        torch.testing.assert_close(both[1:], gpt.conditioning(mels[1:]))
    assert both.shape == (2, 4, 32)


def test_the_speaker_acts_at_every_level(decoder: Hifigan) -> None:
    latents, speaker = torch.randn(1, 6, 16), torch.randn(1, 12)
    with torch.no_grad():
        wave = decoder(latents, speaker)
        for level in range(4):
            changed = Hifigan(DECODER).eval()
            changed.load_state_dict(decoder.state_dict())
            changed.conds[level].bias.data += 0.1
            assert not torch.allclose(wave, changed(latents, speaker), atol=1e-6)


@pytest.mark.parametrize("half", [False, True])
def test_the_compiled_decoder_is_the_same(half: bool, decoder: Hifigan) -> None:
    latents, speakers = torch.randn(2, 9, 16), torch.randn(2, 12)
    fast = Hifigan(DECODER).eval()
    fast.load_state_dict(decoder.state_dict())
    accelerate(fast, precision="bf16" if half else None)
    with torch.no_grad():
        want, got = decoder(latents, speakers), fast(latents, speakers)
    assert (got - want).norm() / want.norm() < 1e-4


def test_windows_of_a_decoder_are_the_whole(decoder: Hifigan) -> None:
    """Frames with exactly the context that the reach names give the samples of the whole."""
    latents, speaker = torch.randn(1, 12, 16), torch.randn(1, 12)
    before, after = decoder.reach
    with torch.no_grad():
        want = decoder(latents, speaker)[0, 0]
        count = decoder.frame_count(12)
        pieces = []
        for first in range(0, count, 7):
            end = min(first + 7, count)
            low, high = max(0, first - before), min(count, end + after)
            wave = decoder.synthesize(decoder.frames(latents, low, high), speaker)[0, 0]
            pieces.append(wave[(first - low) * decoder.hop : (end - low) * decoder.hop])
    assert (torch.cat(pieces) - want).norm() / want.norm() < 1e-5


def test_speaker_vectors_have_length_one_and_ignore_loudness() -> None:
    torch.manual_seed(0)
    encoder = SpeakerEncoder(SpeakerEncoderConfig(proj_dim=16, num_filters=(8, 8, 8, 8))).eval()
    wav = torch.randn(2, 5000)
    with torch.no_grad():
        vectors = encoder(speaker_features(wav))
        assert vectors.shape == (2, 16)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
        torch.testing.assert_close(vectors, encoder(speaker_features(wav * 3)), atol=1e-4, rtol=1e-3)
    with pytest.raises(AudioError, match="256 samples"):
        speaker_features(torch.randn(1, 256))


def test_speed_resamples_latents() -> None:
    latents = torch.randn(1, 10, 3)
    assert at_speed(latents, 1.0) is latents
    assert at_speed(latents, 2.0).shape == (1, 5, 3)
    assert at_speed(latents, 0.0).shape == (1, 200, 3)
    torch.testing.assert_close(at_speed(latents, 2.0), latents.unflatten(1, (5, 2)).mean(dim=2))
    with pytest.raises(OptionError, match="leaves nothing"):
        at_speed(latents[:, :1], 2.0)


def test_the_budget_is_spread_over_all_files() -> None:
    clips = [torch.full((1, samples), float(n)) for n, samples in enumerate([2000, 9000, 9000])]
    first = first_chunks(clips, 1000, seconds=12, chunk_seconds=4)
    assert [chunk.shape[1] for chunk in first] == [4000, 4000, 4000]
    assert not any((chunk == 2).all() for chunk in first)
    spread = spread_chunks(clips, 1000, seconds=12, chunk_seconds=4)
    assert [(float(chunk[0, 0]), chunk.shape[1]) for chunk in spread] == [(0, 2000), (1, 4000), (2, 4000)]
    assert all(len(chunk.unique()) == 1 for chunk in spread)


def test_chunks_that_are_too_short() -> None:
    kept = first_chunks([torch.zeros(1, 2200)], 1000, seconds=30, chunk_seconds=1)
    assert [chunk.shape[1] for chunk in kept] == [1000, 1000]
    for rule in (first_chunks, spread_chunks):
        for clips in ([torch.zeros(1, 300)], []):
            with pytest.raises(AudioError, match=r"at least 0\.33 s"):
                rule(clips, 1000, seconds=30, chunk_seconds=4)
        with pytest.raises(OptionError, match=r"chunk_seconds 0\.1"):
            rule([torch.zeros(1, 3000)], 1000, seconds=30, chunk_seconds=0.1)


def test_peaks() -> None:
    assert float(peak_normalized(torch.tensor([[0.1, -0.2]])).abs().max()) == pytest.approx(0.75)
    assert not peak_normalized(torch.zeros(1, 4)).any()
