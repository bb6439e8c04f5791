"""Streaming from latents: joined it is the whole, for every length; latents by the rules; closing; threads."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from support import CONFIG, SILENCE, decode_request, pipeline, speech_request
from tiny_model import make_tiny_model
from tutortoietts.core.errors import Cancelled, ModelError, OptionError
from tutortoietts.core.presets import SpeechOptions
from tutortoietts.core.streaming import Streaming
from tutortoietts.core.types import Codes
from tutortoietts.engine.decoding.latents import latents_of
from tutortoietts.engine.decoding.loop import decode, decode_incrementally
from tutortoietts.engine.decoding.request import DecodeRequest
from tutortoietts.engine.pipeline import Pipeline
from tutortoietts.engine.progress import Progress
from tutortoietts.engine.request import Request, resolve_streaming
from tutortoietts.engine.streaming import from_latents
from tutortoietts.engine.streaming.from_latents import speak_from_latents, stream_decoder, stream_from_latents
from tutortoietts.engine.streaming.stream import stream
from tutortoietts.engine.streaming.turns import CROWD, Turns
from tutortoietts.engine.streaming.windows import Windows, decode_whole
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.nn.kv_cache import KVCache
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.runtime.source import open_source
from tutortoietts.text.brackets import Passage

HOP = 256


@pytest.fixture(scope="module", params=["stream_vocos", "hifigan"])
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModels:
    folder = make_tiny_model(tmp_path_factory.mktemp("streaming"), streaming=request.param)
    return LoadedModels(open_source(folder), device=torch.device("cpu"), dtype=torch.float32)


STREAM = Streaming(decoder="stream")


def spoken(codes: int, *texts: str, **changes) -> Request:
    """A request whose passages have exactly so many codes."""
    options = SpeechOptions(num_autoregressive_samples=1, min_mel_tokens=codes, max_mel_tokens=codes)
    return speech_request(*(texts or ("one two",)), options=options, streaming=STREAM, **changes)


def streamed(models: LoadedModels, request: Request, **progress) -> Iterator[Tensor]:
    return stream(Pipeline(models, request, Progress(**progress)), STREAM)


def latents_so_far(model: Autoregressive, work: DecodeRequest, *rest: Any) -> Iterator[tuple[Tensor, Codes | None]]:
    return from_latents._latents(model, work, decode_incrementally(model, work), *rest)


def chunks_of(models: LoadedModels, request: Request, streaming: Streaming) -> list[Tensor]:
    pieces = list(stream_from_latents(pipeline(models, request), 0, streaming))
    assert [piece.spoken is None for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    waves = [piece.samples for piece in pieces]
    assert all(wave.ndim == 1 and wave.dtype == torch.float32 and not wave.is_inference() for wave in waves)
    return waves


def test_in_a_crowd_the_first_chunk_is_two_windows_and_the_sound_the_same(models: LoadedModels) -> None:
    turns, streaming = Turns(), Streaming(chunk_size=8, chunk_max=8)
    alone = chunks_of(models, spoken(30), streaming)
    with ExitStack() as stack:
        listeners = [stack.enter_context(turns.listener()) for _ in range(CROWD + 1)]
        pieces = stream_from_latents(pipeline(models, spoken(30)), 0, streaming, listeners[0])
        together = [piece.samples for piece in pieces]
    assert torch.equal(torch.cat(together), torch.cat(alone))
    assert [len(wave) for wave in together] == [len(alone[0]) + len(alone[1]), *map(len, alone[2:])]


@pytest.mark.parametrize("codes", [4, 9])
def test_in_a_crowd_little_sound_is_not_held_back_for_ever(models: LoadedModels, codes: int) -> None:
    turns = Turns()
    alone = chunks_of(models, spoken(codes), Streaming(chunk_size=8))
    with ExitStack() as stack:
        listeners = [stack.enter_context(turns.listener()) for _ in range(CROWD + 1)]
        (piece,) = stream_from_latents(pipeline(models, spoken(codes)), 0, Streaming(chunk_size=8), listeners[0])
    assert torch.equal(piece.samples, torch.cat(alone)) and piece.spoken is not None


@pytest.mark.parametrize("codes", range(24, 32))
def test_joins_are_those_of_the_whole_at_every_length_modulo_the_chunk(models: LoadedModels, codes: int) -> None:
    chunks = chunks_of(models, spoken(codes), Streaming(chunk_size=8, chunk_max=8))
    whole = speak_from_latents(pipeline(models, spoken(codes)), 0)
    assert len(chunks) >= 3
    joined = torch.cat(chunks)
    assert joined.shape == whole.shape
    assert (joined - whole).norm() < 1e-4 * whole.norm()
    scale = whole.diff().abs().max()
    place = 0
    for chunk in chunks[:-1]:
        place += len(chunk)
        around = slice(place - 2 * HOP, place + 2 * HOP)
        assert (joined[around].diff() - whole[around].diff()).abs().max() < 1e-4 * scale  # no click


@pytest.mark.parametrize("codes", [1, 9, 40])
def test_a_streamed_start_without_steps_sounds_as_the_stream(streaming_model: Path, codes: int) -> None:
    """The same codes, front and vocoder: only rounding differs, by the tolerance of the joins."""
    models = LoadedModels(open_source(streaming_model), device=torch.device("cpu"), dtype=torch.float32)
    how = {"num_autoregressive_samples": 1, "min_mel_tokens": codes, "max_mel_tokens": codes}
    options = SpeechOptions(**how, diffusion_start="streamed", diffusion_iterations=0)
    (whole,) = pipeline(models, speech_request("one two", options=options)).speak(0)
    want = speak_from_latents(pipeline(models, spoken(codes)), 0)
    assert whole.samples.flatten().shape == want.shape
    assert (whole.samples.flatten() - want).norm() < 1e-4 * want.norm()


def test_half_precision_stops_before_the_decoder(models: LoadedModels) -> None:
    half = LoadedModels(models.source, device=models.device, dtype=torch.bfloat16)
    joined = torch.cat(chunks_of(half, spoken(9), Streaming()))
    assert joined.shape == torch.cat(chunks_of(models, spoken(9), Streaming())).shape


@pytest.mark.parametrize("codes", [1, 2, 3, 5, 8, 9, 20, 60])
@pytest.mark.parametrize("streaming", [Streaming(), Streaming(chunk_size=1, chunk_max=1), Streaming(chunk_size=7)])
def test_nothing_is_lost_at_any_length(models: LoadedModels, codes: int, streaming: Streaming) -> None:
    joined = torch.cat(chunks_of(models, spoken(codes), streaming))
    whole = speak_from_latents(pipeline(models, spoken(codes)), 0)
    assert len(joined) == codes * 4 * 24000 // 22050 * HOP
    assert (joined - whole).norm() < 1e-4 * whole.norm()


@pytest.mark.parametrize(("share", "whole"), [(1.0, True), (0.2, False)])
def test_the_joins_can_be_wrong(models: LoadedModels, share: float, whole: bool) -> None:
    """Windows too narrow are noticed. (That no frame may be left out, the tests of the decoders' reach show.)"""
    with from_latents.stream_decoder(models) as decoder:
        latents, speaker = torch.randn(1, 40, 64), torch.randn(1, 64)
        want = decode_whole(decoder, latents, speaker)
        windows = Windows(decoder, speaker)
        windows.before, windows.after = round(share * windows.before), round(share * windows.after)
        joined = torch.cat([windows.push(latents[:, :size], size == 40) for size in range(2, 41)])
        assert ((joined - want).norm() < 1e-4 * want.norm()) == whole


def test_a_window_costs_what_is_new(models: LoadedModels, monkeypatch: pytest.MonkeyPatch) -> None:
    with from_latents.stream_decoder(models) as decoder:
        windows = Windows(decoder, torch.randn(1, 64))
        latents, sizes = torch.randn(1, 400, 64), []
        synthesize = type(decoder).synthesize
        monkeypatch.setattr(
            type(decoder), "synthesize", lambda self, x, *rest: sizes.append(x.shape[-1]) or synthesize(self, x, *rest)
        )
        for size in range(32, 401, 32):
            windows.push(latents[:, :size], size == 400)
        around = windows.before + windows.after
    assert sum(sizes) <= decoder.frame_count(400) + len(sizes) * around
    assert max(sizes) <= 32 * 4.36 + around + 1


def test_the_first_chunk_comes_after_the_first_codes(models: LoadedModels) -> None:
    seen: list[int] = []
    codes_only = pipeline(models, spoken(60), lambda stage, done, _: seen.append(done) if stage == "codes" else None)
    chunks = stream_from_latents(codes_only, 0, Streaming())
    drawn = []
    for _ in chunks:
        drawn.append(max(seen))
    assert drawn == [8, 16, 24, 40, 56, 60]


@pytest.mark.parametrize("silence", [SILENCE, None])
@pytest.mark.parametrize("rule", ["after_stop", "anywhere"])
@pytest.mark.parametrize("steps", [50, 14])
def test_latents_are_those_of_the_rule(model: Autoregressive, silence: int | None, rule: str, steps: int) -> None:
    """Whatever is streamed early belongs to the latents that a whole decoding ends with."""
    stopped = 0
    for seed in range(12):
        whole = decode_request(1, seed=seed, silence_code=silence, max_codes=steps)
        (codes,) = decode(model, whole)
        want = latents_of(model, whole, codes, 0, rule)
        stopped += int(codes.finished[0])
        wanted = decode_request(1, seed=seed, silence_code=silence, max_codes=steps, check_every=1)
        *early, (latents, last) = latents_so_far(model, wanted, rule, iter([1] * 99), Progress())
        assert last is not None
        torch.testing.assert_close(latents, want, rtol=1e-4, atol=1e-5)
        for so_far, nothing in early:
            assert nothing is None
            torch.testing.assert_close(so_far, want[:, : so_far.shape[1]], rtol=1e-4, atol=1e-5)
            assert so_far.shape[1] <= want.shape[1]
    assert stopped > 3


def test_a_long_silence_ends_the_drawing_where_the_rule_says(model: Autoregressive) -> None:
    silent = Autoregressive(CONFIG).eval().requires_grad_(False)
    silent.load_state_dict(model.state_dict())
    silent.mel_head.bias[SILENCE] += 100
    seen: list[int] = []
    wanted = decode_request(1, on_step=lambda done, _: seen.append(done), min_codes=49)  # both draw the likeliest
    *_, (latents, _) = latents_so_far(silent, wanted, "anywhere", iter([4] * 99), Progress())
    assert latents.shape[1] == 8 and max(seen) == 12
    *_, (latents, _) = latents_so_far(silent, wanted, "after_stop", iter([4] * 99), Progress())
    assert latents.shape[1] == 50


def test_the_public_end_that_overwrites_drawn_codes(model: Autoregressive) -> None:
    big = type(CONFIG)(**{**CONFIG.to_dict(), "number_mel_codes": 300, "max_text_tokens": 40})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        public = Autoregressive(big).eval().requires_grad_(False)
    public.mel_head.bias[25] += 100  # stops as soon as it may: at the last place

    def wanted() -> DecodeRequest:
        return decode_request(1, model=public, max_codes=20, silence_code=83, min_codes=19, check_every=1)

    (codes,) = decode(public, wanted())
    assert codes.lengths.tolist() == [19]
    want = latents_of(public, wanted(), codes, 0)
    *early, (latents, _) = latents_so_far(public, wanted(), "after_stop", iter([1] * 99), Progress())
    torch.testing.assert_close(latents, want)
    assert codes.hidden is not None and not torch.allclose(codes.hidden, want)
    for so_far, _ in early:
        torch.testing.assert_close(so_far, want[:, : so_far.shape[1]])
    assert early[-1][0].shape[1] == 18


def test_decoding_incrementally_is_decoding(model: Autoregressive) -> None:
    for cached in (True, False):
        (codes,) = decode(model, decode_request(1, seed=3, cached=cached))
        *_, last = decode_incrementally(model, decode_request(1, seed=3, cached=cached))
        assert torch.equal(codes.ids, last.ids) and torch.equal(codes.lengths, last.lengths)
    with pytest.raises(OptionError, match="2 candidates cannot be decoded incrementally"):
        decode_incrementally(model, decode_request(2))


def test_passages_are_joined_by_pauses(models: LoadedModels) -> None:
    wanted = spoken(9, "one two", "three")
    joined = torch.cat(list(streamed(models, wanted)))
    single = [torch.cat(list(streamed(models, spoken(9, text)))) for text in ("one two",)]
    pause = round(0.1 * 24000)
    assert len(joined) == 2 * len(single[0]) + pause
    rest = joined[len(single[0]) :]
    assert torch.equal(joined[: len(single[0]) - 120], single[0][:-120])
    assert rest[: pause + 1].abs().max() == 0 and joined[len(single[0]) - 1].abs() < 1e-3
    assert rest[pause + 1 :].abs().max() > 0


def test_hidden_text_is_cut(models: LoadedModels) -> None:
    passage = Passage(text="so sad now, feed me", hidden=((0, 11),))
    (cut,) = streamed(models, spoken(30, passages=(passage,)))
    plain = torch.cat(list(streamed(models, spoken(30, passage.text))))
    assert 0 < len(cut) < len(plain)


def caches() -> int:
    gc.collect()
    return sum(type(thing) is KVCache for thing in gc.get_objects())


def test_closing_ends_the_work_and_frees_the_cache(models: LoadedModels) -> None:
    seen: list[int] = []
    before = caches()
    chunks = streamed(models, spoken(60), show=lambda _, done, total: seen.append(done))
    next(chunks)
    steps = len(seen)
    assert caches() > before
    chunks.close()  # type: ignore[attr-defined]
    assert len(seen) == steps and caches() == before


def test_two_streams_at_once_are_two_streams(models: LoadedModels) -> None:
    wanted = [spoken(40, "one two", "three", seed=seed) for seed in (1, 2, 3)]
    alone = [torch.cat(list(streamed(models, one))) for one in wanted]
    iterators = [streamed(models, one) for one in wanted]
    turns: list[list[Tensor]] = [[] for _ in wanted]
    while iterators:
        for which, chunks in enumerate(list(iterators)):
            turns[which].extend(chunk for chunk in [next(chunks, None)] if chunk is not None)
        if all(sum(map(len, turn)) == len(want) for turn, want in zip(turns, alone, strict=True)):
            break
    assert all(torch.equal(torch.cat(turn), want) for turn, want in zip(turns, alone, strict=True))
    threaded: dict[int, Tensor] = {}

    def work(which: int) -> None:
        threaded[which] = torch.cat(list(streamed(models, wanted[which])))

    threads = [threading.Thread(target=work, args=(which,)) for which in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(threaded[which], alone[which]) for which in range(3))


def test_a_stream_may_be_stopped_from_outside(models: LoadedModels) -> None:
    stop = threading.Event()
    chunks = streamed(models, spoken(60), stop=stop)
    next(chunks)
    stop.set()
    with pytest.raises(Cancelled):
        next(chunks)


def test_what_cannot_be_streamed_is_refused(models: LoadedModels, tiny_model: Path) -> None:
    several = SpeechOptions(num_autoregressive_samples=2, max_mel_tokens=9)
    with pytest.raises(OptionError, match="2 candidates cannot be decoded incrementally"):
        next(streamed(models, speech_request("one two", options=several)))
    plain = LoadedModels(open_source(tiny_model), device=torch.device("cpu"), dtype=torch.float32)
    with pytest.raises(OptionError, match="'tiny' has no streaming decoder: give decoder=\"diffusion\""):
        resolve_streaming(plain, "stream")
    assert resolve_streaming(plain).decoder == "diffusion"
    with pytest.raises(OptionError, match=r"stream_chunk_size and stream_chunk_max apply only to decoder=\"stream\""):
        resolve_streaming(plain, chunk_size=4)


def test_another_vocoder_cannot_take_part(streaming_model: Path) -> None:
    models = LoadedModels(open_source(streaming_model), device=torch.device("cpu"), dtype=torch.float32)
    own = models.get("vocoder")
    models.replace("vocoder", torch.nn.Identity())
    assert resolve_streaming(models).decoder == "diffusion"
    with pytest.raises(OptionError, match="another module takes the place of the vocoder"):
        resolve_streaming(models, "stream")
    with pytest.raises(ModelError, match="needs the model's own Vocos, not a Identity"), stream_decoder(models):
        pass
    models.replace("vocoder", own)
    assert resolve_streaming(models).decoder == "stream"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, when its compiler is imported
def test_a_compiled_vocoder_streams(streaming_model: Path) -> None:
    models = LoadedModels(open_source(streaming_model), device=torch.device("cpu"), dtype=torch.float32)
    want = torch.cat(list(streamed(models, spoken(9))))
    models.replace("vocoder", torch.compile(models.get("vocoder"), backend="eager"))
    torch.testing.assert_close(torch.cat(list(streamed(models, spoken(9)))), want)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decoder": "steam"}, "decoder is 'steam', must be one of 'auto', 'stream', 'diffusion'"),
        ({"chunk_size": 0}, r"stream_chunk_size is 0, must be an integer of 1\.\.1000 codes"),
        ({"chunk_size": 2.5}, "stream_chunk_size is 2.5"),
        ({"chunk_size": 9, "chunk_max": 8}, r"stream_chunk_max is 8, must be an integer of 9\.\.1000 codes"),
    ],
)
def test_bad_settings(options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Streaming(**options)


@pytest.mark.parametrize(
    ("options", "want"), [({}, [8, 8, 8, 16, 16, 32, 32]), ({"chunk_size": 50}, [50] * 7), ({"chunk_max": 8}, [8] * 7)]
)
def test_chunks_grow(options: dict, want: list[int]) -> None:
    sizes: Iterator[int] = Streaming(**options).sizes()
    assert [next(sizes) for _ in range(7)] == want
