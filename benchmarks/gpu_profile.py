"""Where the time of each stage goes on a GPU, by Triton kernels and without; and XTTS there. Steps of gpu_check.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Work = Callable[[], object]

ROWS, STEPS, FEW, MANY, FRAMES_OF_CODE = 8, 48, 6, 26, 4 * 24000 / 22050
TOP = 25  # kernels of a stage that are named


def profiled(tts: Any, codes: int, outputs: Callable[[], Iterator[tuple[str, Callable[[], Tensor]]]]) -> Iterator[dict]:
    """Yield what was measured of each stage of a model, and then how far the outputs lie from those of torch alone."""
    from tutortoietts.accelerate.gpu import _state

    todo = list(stages(tts, codes))
    for name, work, count in todo:
        found: dict[str, Any] = {"name": name}
        for way, working in (("kernels", True), ("torch", False)):
            if working and not _state.working:  # a kernel failed, which the log says
                continue
            with kernels(working):
                begun = time.perf_counter()
                work()
                wait(tts.device)
                found |= {f"{way}_first": time.perf_counter() - begun, f"{way}_each": timed(tts.device, work) / count}
        yield found
    for name, work, _ in todo:  # after all times: once torch's profiler has run, every launch takes longer
        yield {"name": f"{name}/launches", **kernel_times(tts.device, work)}
    with kernels(False):
        plain = {name: work() for name, work in outputs()}
    with kernels(_state.working):
        yield {"name": "working", "ok": _state.working}
        for name, work in outputs():
            yield {"name": f"{name}/kernels", "found": work(), "expected": plain[name]}


@contextmanager
def kernels(working: bool) -> Iterator[None]:
    """Use Triton kernels inside a block, or do not."""
    from tutortoietts.accelerate.gpu import _state

    before = _state.working
    _state.working = working
    try:
        yield
    finally:
        _state.working = before and (_state.working or not working)


def stages(tts: Any, codes: int) -> Iterator[tuple[str, Work, int]]:
    """Yield the name of each stage, what runs it, and how many equal pieces of work that is."""
    import torch

    from tutortoietts.core.presets import SpeechOptions
    from tutortoietts.core.types import Mel
    from tutortoietts.engine.denoise import denoise, mel_frames
    from tutortoietts.engine.vocode import vocode

    generator, spec, device = torch.Generator().manual_seed(0), tts.spec, tts.device
    width, frames = spec.autoregressive.model_dim, mel_frames(codes)
    latents = torch.randn(1, codes, width, generator=generator).to(device)
    voice = torch.zeros(1, 2 * spec.diffusion.model_channels, device=device)

    def mel(iterations: int, guided: bool = False) -> Work:
        options = SpeechOptions(sampler="dpm++2m", diffusion_iterations=iterations, cond_free=guided)
        return lambda: denoise(tts.diffusion, latents, voice, options, torch.Generator().manual_seed(0))

    yield "steps", steps(tts, generator), min(STEPS, codes)
    yield f"mel of {FEW} forwards", mel(FEW), 1
    yield f"mel of {MANY} forwards", mel(MANY), 1
    yield f"mel of {FEW} guided forwards", mel(FEW, guided=True), 1
    sound = Mel(values=(2 * torch.randn(1, spec.diffusion.in_channels, frames, generator=generator) - 4).to(device))
    yield "vocoder", lambda: vocode(tts.vocoder, sound, generator), 1
    text = torch.ones(1, min(70, spec.autoregressive.max_text_tokens), dtype=torch.int64, device=device)
    drawn = torch.ones(ROWS, codes, dtype=torch.int64, device=device)

    @torch.inference_mode()
    def ranking() -> None:
        tts.clvp.encode_text(text)
        tts.clvp.encode_codes(drawn, torch.full((ROWS,), codes, device=device))

    yield "ranking", ranking, 1


def steps(tts: Any, generator: Any) -> Work:
    """Return what draws `STEPS` codes for `ROWS` rows, by graphs where those are used; each way has its own."""
    import torch

    from tutortoietts.accelerate.gpu import _state
    from tutortoietts.engine.decoding.workspace import Workspace
    from tutortoietts.sampling.tokens import TokenOptions

    model, spec = tts.autoregressive, tts.spec.autoregressive
    start, count = min(73, spec.max_text_tokens), min(STEPS, spec.max_mel_tokens)
    numbers, options = torch.rand(ROWS, count, generator=generator), TokenOptions()
    spaces: dict[bool, Workspace] = {}

    @torch.inference_mode()
    def work() -> None:
        if _state.working not in spaces:
            spaces[_state.working] = Workspace.allocate(model, ROWS, start + count, count)
        space = spaces[_state.working]
        space.state.begin(model.cfg, numbers, None, count, start)
        for place in range(count):
            space.step(model, options, ROWS, start + place)

    return work


def wait(device: Any) -> None:
    """Wait until the device has done its work."""
    from tutortoietts.runtime.device import synchronizer

    synchronize = synchronizer(device)
    if synchronize is not None:
        synchronize()


def timed(device: Any, work: Work, runs: int = 5) -> float:
    """Return the median seconds of some runs."""
    taken = []
    for _ in range(runs):
        begun = time.perf_counter()
        work()
        wait(device)
        taken.append(time.perf_counter() - begun)
    return median(taken)


def kernel_times(device: Any, work: Work) -> Mapping[str, Any]:
    """Return how many kernels ran, their microseconds, and of the longest names how often and how long."""
    from torch.profiler import ProfilerActivity, profile

    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as record:
        work()
        wait(device)
    own = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    events = sorted(record.key_averages(), key=lambda event: -getattr(event, own))
    return {
        "count": sum(event.count for event in events),
        "microseconds": round(sum(getattr(event, own) for event in events)),
        "longest": [(event.key[:100], event.count, round(getattr(event, own), 1)) for event in events[:TOP]],
    }


def spoken_xtts(tts: Any, voice: Mapping[str, Any], codes: int, runs: int) -> Iterator[dict[str, Any]]:
    """Yield the times of XTTS, and its stream beside its whole sound, which must be equal."""
    import torch

    given = {**voice, "min_mel_tokens": codes, "max_mel_tokens": codes, "use_deterministic_seed": 1}
    text, first, total, whole = "The ship left.", [], [], None
    for _ in range(runs + 1):
        begun, parts = time.perf_counter(), []
        with closing(tts.tts_stream(text, **given)) as chunks:
            for chunk in chunks:
                if not parts:
                    first.append(time.perf_counter() - begun)
                parts.append(chunk)
        begun = time.perf_counter()
        whole = tts.tts(text, verbose=False, **given)
        total.append(time.perf_counter() - begun)
    report = tts.last_report
    yield {
        "name": "times",
        "first_sound": median(first[1:]),
        "first_sound_of_all": first[0],
        "total": median(total[1:]),
        "stages": dict(report.stages),
        "audio_seconds": report.audio_seconds,
    }
    yield {"name": "stream", "found": torch.cat(parts).flatten(), "expected": whole.flatten()}
