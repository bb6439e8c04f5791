"""All that runs on a CUDA GPU, on one that is not there (tests/fake_cuda.py): no tensor left on the CPU, no types
mixed, and a captured step has nothing that a CUDA graph cannot hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tiny_configs
from fake_cuda import CUDA, FakeGpu, Refused, fake_gpu, there
from support import CONFIG
from tutortoietts.accelerate import accelerate
from tutortoietts.api import TextToSpeech
from tutortoietts.audio.mel import conditioning_mel, diffusion_mel
from tutortoietts.audio.resample import resample_sinc
from tutortoietts.audio.stitch import join, remove_spans
from tutortoietts.core.config import (
    BigVGANConfig,
    ClassifierConfig,
    Config,
    CvvpConfig,
    DvaeConfig,
    RandomLatentConfig,
    UnivNetConfig,
    VocosConfig,
    kind_of,
)
from tutortoietts.core.presets import SpeechOptions
from tutortoietts.core.types import Mel
from tutortoietts.engine.align import text_path
from tutortoietts.engine.conditioning import reference_mels, voice_latents
from tutortoietts.engine.decoding import backends, workspace
from tutortoietts.engine.decoding.backends import open_backend
from tutortoietts.engine.decoding.latents import latents_of
from tutortoietts.engine.decoding.loop import decode
from tutortoietts.engine.decoding.request import DecodeRequest
from tutortoietts.engine.decoding.workspace import Workspaces
from tutortoietts.engine.denoise import Unconditioned, denoise
from tutortoietts.engine.rerank import Ranker
from tutortoietts.engine.streaming.windows import Windows, decode_whole
from tutortoietts.engine.vocode import vocode
from tutortoietts.engine.voice_resolver import VoiceResolver
from tutortoietts.models.stream_vocos import StreamVocos
from tutortoietts.nn.quant import QuantLinear, WeightInt8Linear, quantize
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.runtime.precision import Precision
from tutortoietts.runtime.source import ModelSource, open_source
from tutortoietts.sampling import SOLVERS
from tutortoietts.sampling.rows import row_generators
from tutortoietts.sampling.tokens import TokenOptions
from tutortoietts.weights.load import model_class

F32, F16, BF16 = torch.float32, torch.float16, torch.bfloat16
TYPES = pytest.mark.parametrize("dtype", [F32, F16, BF16], ids=["fp32", "fp16", "bf16"])
PRECISIONS = pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8", "int4"])


@pytest.fixture
def gpu(streaming_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGpu]:
    with fake_gpu(monkeypatch) as device:
        yield device


def made(config: Config, dtype: torch.dtype = F32, device: torch.device = CUDA) -> Any:
    return there(lambda: model_class(kind_of(config))(config), dtype, device)


@pytest.fixture
def speech(gpu: FakeGpu, streaming_model: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TextToSpeech]:
    """A model on the GPU, whose weights have no numbers."""

    def load(source: ModelSource, part: str, device: torch.device, dtype: torch.dtype) -> nn.Module:
        return made(source.config(part), dtype, device)

    monkeypatch.setattr(ModelSource, "load", load)
    return lambda **options: TextToSpeech(streaming_model, device="cuda:0", **options)


def latents(width: int = 64) -> tuple[Tensor, Tensor]:
    return torch.zeros(1, width), torch.zeros(1, 2 * width)


OPTIONS = {"num_autoregressive_samples": 3, "diffusion_iterations": 6, "verbose": False}


@PRECISIONS
def test_it_speaks(speech: Callable[..., TextToSpeech], gpu: FakeGpu, precision: str) -> None:
    wave = speech(precision=precision).tts("Hello there.", conditioning_latents=latents(), **OPTIONS)
    assert wave.device.type == "cpu" and wave.dtype == F32 and wave.shape[:2] == (1, 1)
    assert gpu.captured == 2 and gpu.replays == 8 + 6  # a step for codes and one for the mel


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int4"])
def test_it_speaks_with_parts_that_come_and_go(
    speech: Callable[..., TextToSpeech], gpu: FakeGpu, precision: str
) -> None:
    tts = speech(precision=precision, cpu_offload=True)
    assert tts.tts("Hello there.", conditioning_latents=latents(), **OPTIONS).device.type == "cpu"
    assert gpu.captured == 2  # the codes' anew for each passage, as the weights may lie elsewhere, and the mel's


@PRECISIONS
def test_it_streams(speech: Callable[..., TextToSpeech], precision: str) -> None:
    chunks = list(speech(precision=precision).tts_stream("Hello there.", conditioning_latents=latents()))
    assert chunks and all(chunk.device.type == "cpu" and chunk.dtype == F32 for chunk in chunks)


def test_it_speaks_without_graphs_and_by_the_slow_oracle(
    speech: Callable[..., TextToSpeech], gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUTORTOIETTS_CUDA_GRAPHS", "0")
    for options in ({}, {"kv_cache": False}):
        speech(precision="fp16", **options).tts("Hello [there].", conditioning_latents=latents(), k=2, **OPTIONS)
    assert gpu.captured == 0


@TYPES
@pytest.mark.parametrize("rule", ["after_stop", "anywhere"])
def test_candidates_of_a_model_with_a_code_of_silence(
    gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, rule: str
) -> None:
    """As the public model: rows are repaired, padded and ranked by text and voice; the cache grows on the way."""
    monkeypatch.setattr(backends, "_CODES", 8)
    monkeypatch.setattr(workspace, "_WINDOW", 16)
    gpu.read = 20
    silence, config = 83, tiny_configs.autoregressive(300)
    model, request = made(config, dtype), decoding(3, silence=silence, dtype=dtype)
    (codes,) = decode(model, request)
    assert codes.ids.device == CUDA and codes.hidden is not None and codes.hidden.dtype == dtype
    assert gpu.captured >= 3 and gpu.replays >= 20  # windows of 16
    assert latents_of(model, request, codes, 1, rule).shape[0] == 1
    gpu.read = 2  # of the three rows
    ranker = Ranker(
        made(tiny_configs.clvp(num_speech_tokens=302), dtype),
        torch.zeros(1, 6, dtype=torch.int64, device=CUDA),
        stop_token=config.stop_mel_token,
        silence_code=silence,
        pad_to=60 if rule == "anywhere" else None,
        cvvp=made(cvvp(302), dtype),
        mels=torch.zeros(1, 2, 80, 40, dtype=dtype, device=CUDA),
        cvvp_amount=0.5,
    )
    assert len(ranker.scores(codes)) == 3


def decoding(rows: int, *, silence: int | None = None, dtype: torch.dtype = F32, **changes: Any) -> DecodeRequest:
    usual: dict[str, Any] = {
        "prefix": torch.zeros(1, 9, 32, dtype=dtype, device=CUDA),
        "generators": row_generators(0, rows),
        "max_codes": 50,
        "options": TokenOptions(),
        "silence_code": silence,
    }
    return DecodeRequest(**{**usual, **changes})


def cvvp(codes: int) -> CvvpConfig:
    return CvvpConfig(
        model_dim=32,
        transformer_heads=2,
        mel_codes=codes,
        conditioning_enc_depth=1,
        speech_enc_depth=1,
        head_dim=16,
        rotary_dim=8,
        latent_multiplier=2,
    )


def test_rows_that_are_done_leave_the_batch(gpu: FakeGpu) -> None:
    model, request = made(CONFIG, F16), decoding(4, dtype=F16)
    for fixed in (True, False):
        backend = open_backend(model, DecodeRequest(**{**vars_of(request), "fixed": fixed}), 4)
        with torch.inference_mode():
            backend.state.begin(CONFIG, torch.zeros(4, 50), None, 0, backend.start)
            backend.begin(4)
            index = torch.tensor([2, 3, 0, 1], device=CUDA)
            backend.state.reorder(index)
            backend.keep(index[:2])
            backend.step(backend.state.rows(0, 2), 0)
        assert backend.cache.batch == 2 and backend.cache.keys.device == CUDA


def vars_of(request: DecodeRequest) -> dict[str, Any]:
    return {name: getattr(request, name) for name in DecodeRequest.__dataclass_fields__}


@pytest.mark.parametrize("options", [TokenOptions(top_k=0, top_p=1.0, repetition_penalty=1.0), TokenOptions(top_k=1)])
def test_every_filter_fits_into_a_graph(gpu: FakeGpu, options: TokenOptions) -> None:
    lender = Workspaces()
    list(decode(made(CONFIG, F16), decoding(3, dtype=F16, options=options, workspaces=lender)))
    assert gpu.captured == 1 and lender.idle_bytes > 0


@TYPES
@pytest.mark.parametrize("batched", [True, False])
def test_mels(gpu: FakeGpu, dtype: torch.dtype, batched: bool) -> None:
    mel = some_mel(SpeechOptions(diffusion_iterations=5), dtype, batched=batched)
    assert mel.values.device == CUDA and mel.values.dtype == F32
    assert gpu.captured == (1 if batched else 0)


@pytest.mark.parametrize("sampler", sorted(SOLVERS))
def test_samplers(gpu: FakeGpu, sampler: str) -> None:
    assert some_mel(SpeechOptions(sampler=sampler, diffusion_iterations=4), F16).values.device == CUDA


def some_mel(options: SpeechOptions, dtype: torch.dtype, **more: Any) -> Mel:
    model, (_, voice) = made(tiny_configs.diffusion(), dtype), latents(32)
    spoken = torch.zeros(1, 12, 32, dtype=dtype, device=CUDA)
    return denoise(model, spoken, voice.to(CUDA), options, torch.Generator().manual_seed(0), **more)


@TYPES
@pytest.mark.parametrize("steps", [0, 2])
def test_mels_from_the_regression_and_the_kept_unconditioned(gpu: FakeGpu, dtype: torch.dtype, steps: int) -> None:
    start = {"diffusion_start": "regressed", "diffusion_start_step": 500} if steps else {}
    options = SpeechOptions(sampler="dpm++2m", diffusion_iterations=steps, **{"diffusion_start": "regressed", **start})
    kept = Unconditioned()
    for _ in range(2):
        assert some_mel(options, dtype, unconditioned=kept).values.dtype == F32
    assert gpu.captured == 0  # too few to be worth it


BIGVGAN = BigVGANConfig(
    upsample_initial_channel=16,
    upsample_rates=(4, 4, 16),
    upsample_kernel_sizes=(8, 8, 32),
    resblock_kernel_sizes=(3,),
    resblock_dilation_sizes=((1, 3),),
)
UNIVNET = UnivNetConfig(channel_size=4, kpnet_hidden_channels=8)
VOCOS = VocosConfig(dim=32, intermediate_dim=64, layers=1)


@pytest.mark.parametrize("config", [BIGVGAN, UNIVNET, VOCOS], ids=lambda config: type(config).__name__)
def test_vocoders(gpu: FakeGpu, config: Config) -> None:
    mel = Mel(values=torch.zeros(2, 100, 7, device=CUDA))
    audio = vocode(made(config), mel, torch.Generator().manual_seed(0))
    assert audio.samples.device == CUDA and audio.samples.shape[:2] == (2, 1)


@pytest.mark.parametrize("kind", ["stream_vocos", "hifigan", "lowered hifigan"])
def test_streaming_decoders(gpu: FakeGpu, kind: str) -> None:
    """Over latents and a speaker latent in half precision, as the autoregressive model gives them."""
    decoder = made(tiny_configs.stream_decoder(kind.split()[-1], 32))
    if kind == "stream_vocos":
        decoder = StreamVocos(decoder, made(VOCOS))
    elif kind == "lowered hifigan":
        accelerate(decoder, CUDA, "bf16")
    spoken, speaker = (torch.zeros(*shape, dtype=F16, device=CUDA) for shape in ((1, 40, 32), (1, 32)))
    windows = Windows(decoder, speaker)
    parts = [windows.push(spoken[:, :end], end == 40) for end in (4, 20, 40)]
    whole = decode_whole(decoder, spoken, speaker)
    assert sum(map(len, parts)) == len(whole) and whole.dtype == F32 and whole.device == CUDA


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_voices_from_clips(speech: Callable[..., TextToSpeech], mode: int) -> None:
    tts, clips = speech(precision="fp16"), [torch.zeros(1, 30_000), torch.zeros(1, 200_000)]
    tts._models._norms = torch.ones(80)
    assert [latent.dtype for latent in voice_latents(tts._models, clips, mode)] == [F32, F32]
    assert reference_mels(tts._models, clips).shape[:3] == (1, 2, 80)


def test_random_voices(gpu: FakeGpu, streaming_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = RandomLatentConfig(channels=16, layers=2)
    monkeypatch.setattr(ModelSource, "config", lambda source, part: config)
    monkeypatch.setattr(ModelSource, "load", lambda source, part, device, dtype: made(config, dtype, device))
    half = Precision(name="fp16", dtype=F16, decoder=F16)
    casting = VoiceResolver(LoadedModels(open_source(streaming_model), device=CUDA, dtype=half))
    casting.own = None
    assert casting.random(0).speaker.device.type == "cpu"


@TYPES
def test_other_models(gpu: FakeGpu, dtype: torch.dtype) -> None:
    classifier = ClassifierConfig(base_channels=8, embedding_dim=32, num_attn_heads=2, attn_blocks=1, depth=2)
    assert made(classifier, dtype)(torch.zeros(2, 1, 1000, dtype=dtype, device=CUDA)).shape == (2, 2)
    dvae = made(DvaeConfig(hidden_dim=8, codebook_dim=8, num_tokens=16), dtype)
    mel = torch.zeros(1, 80, 16, dtype=dtype, device=CUDA)
    assert dvae.decode(dvae.encode(mel)).shape == mel.shape


@TYPES
def test_where_the_text_is_spoken(gpu: FakeGpu, dtype: torch.dtype) -> None:
    model, codes = made(CONFIG, dtype), torch.zeros(1, 7, dtype=torch.int64, device=CUDA)
    path = text_path(model, torch.zeros(1, 32, dtype=dtype, device=CUDA), codes[:, :5], codes)
    assert path is not None and len(path) == 7


def test_sound_on_the_gpu(gpu: FakeGpu) -> None:
    wave = torch.zeros(1, 30_000, device=CUDA)
    assert conditioning_mel(wave, torch.ones(80)).device == diffusion_mel(wave).device == CUDA
    assert resample_sinc(wave, 22050, 24000).device == CUDA
    assert join([wave, wave], 24000).device == remove_spans(wave, [(9000, 9500)], 24000).device == CUDA


@pytest.mark.parametrize("rows", [1, 8, 9])
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_weights_of_few_bits(gpu: FakeGpu, precision: str, rows: int) -> None:
    layer = quantize(there(lambda: nn.Linear(128, 48), BF16), precision)
    assert isinstance(layer, QuantLinear) and {tensor.device for tensor in layer.buffers()} == {CUDA}
    assert not isinstance(layer, WeightInt8Linear) or not layer.kernel
    y = layer(torch.zeros(rows, 1, 128, dtype=BF16, device=CUDA))
    assert y.shape == (rows, 1, 48) and y.dtype == BF16 and y.device == CUDA


def half() -> Tensor:
    return torch.zeros(4, 4, dtype=F16, device=CUDA)


WRONG: dict[str, Callable[[], object]] = {
    "a tensor on the CPU": lambda: half() + torch.zeros(4, 4, dtype=F16),
    "an index on the CPU": lambda: half().index_select(0, torch.tensor([1])),
    "an index on another GPU": lambda: half()[torch.tensor([1], device="cuda:1")],
    "another GPU": lambda: half() + torch.zeros(4, 4, dtype=F16, device="cuda:1"),
    "a product of two types": lambda: half() @ torch.zeros(4, 4, device=CUDA),
    "a layer of another type": lambda: there(lambda: nn.Linear(4, 4))(half()),
    "a norm of another type": lambda: there(lambda: nn.LayerNorm(4))(half()),
    "a row of another type": lambda: half().index_copy_(0, torch.tensor([1], device=CUDA), half()[:1].float()),
    "page-locked memory of the GPU": lambda: half().pin_memory(),
}
NOT_CAPTURED: dict[str, Callable[[], object]] = {
    "a number": lambda: half()[0, 0].item(),
    "a list": lambda: half().sum(dim=0).tolist(),
    "a decision": lambda: 1 if half().any() else 0,
    "a comparison": lambda: torch.equal(half(), half()),
    "a choice of rows": lambda: half()[half()[0] > 0],
    "a tensor from the host": lambda: torch.tensor([1.0, 2.0], device=CUDA),
    "one number from the host": lambda: torch.tensor(1.0, device=CUDA),
    "a copy to the device": lambda: half().copy_(torch.zeros(4, 4)),
    "a copy to the host": lambda: half().cpu(),
    "an index of the host": lambda: half()[[0, 1]],
}
CAPTURED: dict[str, Callable[[], object]] = {
    "a number set": lambda: half()[:, 1].fill_(-torch.inf),
    "a column set": lambda: half().__setitem__((slice(None), 1), -torch.inf),
    "a choice of numbers": lambda: torch.where(half() > 0, 1, 2),
    "places": lambda: torch.arange(4, device=CUDA) < half(),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_a_gpu_refuses_is_refused(gpu: FakeGpu, wrong: Callable[[], object]) -> None:
    with pytest.raises((RuntimeError, AssertionError)):
        wrong()


@pytest.mark.parametrize("wrong", NOT_CAPTURED.values(), ids=NOT_CAPTURED)
def test_what_a_graph_cannot_hold_is_refused_in_it_only(gpu: FakeGpu, wrong: Callable[[], object]) -> None:
    wrong()
    with gpu.capture(), pytest.raises(Refused):
        wrong()


@pytest.mark.parametrize("right", CAPTURED.values(), ids=CAPTURED)
def test_what_a_graph_can_hold_is_not(gpu: FakeGpu, right: Callable[[], object]) -> None:
    with gpu.capture():
        right()


def test_a_model_part_left_behind_is_found(gpu: FakeGpu) -> None:
    model = made(CONFIG, F16)
    model.mel_head = made(CONFIG, F16, torch.device("cpu")).mel_head
    with pytest.raises(RuntimeError, match=r"same device|different devices"):
        list(decode(model, decoding(2, dtype=F16)))
