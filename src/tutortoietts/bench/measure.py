"""Measure a workload: time by stage against the limit of the machine, first audio, peak memory."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, cast

import torch
from torch import nn

from tutortoietts.bench.limits import Formats, Phase, Shape, Sizes, block_weights, stage_phases
from tutortoietts.bench.machine import Machine, measure_machine
from tutortoietts.bench.memory import PeakMemory, peak_memory
from tutortoietts.bench.workload import Sample, StreamSample, Workload
from tutortoietts.core.config import Config, ModelSpec
from tutortoietts.core.errors import OptionError
from tutortoietts.core.presets import SpeechOptions
from tutortoietts.core.samplers import SAMPLERS
from tutortoietts.core.spec_xtts import XttsSpec
from tutortoietts.engine.progress import STAGES
from tutortoietts.nn.quant import QuantLinear
from tutortoietts.sampling import plan
from tutortoietts.version import __version__

__all__ = ["Figures", "Result", "Stage", "flow_order", "held_bytes", "measure", "threads_set", "where_and_when"]

_ORDER = ("condition", "tokenize", *STAGES)
_MODEL_OF = {
    "codes": "autoregressive",
    "ranking": "clvp",
    "diffusion": "diffusion",
    "decoder": "stream_decoder",
    "vocoder": "vocoder",
}
_WIDTHS = ("autoregressive", "clvp", "diffusion")  # models of which the bytes of weights count
_ASIDE = ("condition",)  # done once for a voice, not for each text
_BEATEN = 0.95  # times the limit; what is between this and 1 is how exactly a machine can be measured

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Seconds of several runs."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figures:
        return cls(median=median(values), least=min(values), most=max(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage. `limit_seconds`: least time on this machine; `ratio`: time over that limit; None: unknown."""

    name: str
    seconds: Figures
    real_time_factor: float
    limit_seconds: float | None
    ratio: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One measured workload. The total is without "condition", which a voice needs once.

    machine: the rates that the limits are computed from.
    """

    settings: Mapping[str, Any]
    stages: Sequence[Stage]
    total: Stage
    audio_seconds: float
    first_audio_seconds: Figures | None
    stream_real_time_factor: float | None
    peak_memory_bytes: int
    peak_memory_kind: str
    machine: Machine

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return asdict(self)


@contextmanager
def threads_set(threads: int | None) -> Iterator[None]:
    """Set the number of torch's threads for a block; None leaves it. Raises OptionError."""
    if threads is None:
        yield
        return
    if threads < 1:
        raise OptionError(f"threads is {threads}, must be at least 1")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def where_and_when(machine: Machine) -> dict[str, Any]:
    """Return date, versions and machine, which belong to every table of figures."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "version": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": asdict(machine),
    }


def measure(workload: Workload, machine: Machine, tell: Tell, *, stream: bool = True) -> Result:
    """Warm up, then measure. tell: called with a line at each run."""
    plan, aside = workload.plan, Aside()
    for number in range(plan.warmup):
        tell(f"warm-up {number + 1} of {plan.warmup}")
        workload.run()
    samples: list[Sample] = []
    with peak_memory(workload.tts.device) as peak:
        for number in range(plan.runs):
            samples.append(workload.run())
            tell(f"run {number + 1} of {plan.runs}: {samples[-1].seconds:.3f} s")
    aside.take(workload, tell, stream)
    result = _result(workload, machine, samples, aside, peak)
    if not (beaten := _beaten(result)):
        return result
    tell(f"{', '.join(beaten)}: faster than the limit, so the machine is measured again")
    machine = machine.best_of(measure_machine(workload.tts.device))
    result = _result(workload, machine, samples, aside, peak)
    if not (beaten := _beaten(result)):
        return result
    tell(f"{', '.join(beaten)}: still faster than the limit, which is left out: other work slowed the measuring,")
    tell("or the numbers of so small a model stay in the machine's caches")
    return _result(workload, machine, samples, aside, peak, refused=beaten)


def _beaten(result: Result) -> list[str]:
    """Return the names of the stages that took less than the least time this machine could take."""
    return [stage.name for stage in result.stages if stage.ratio is not None and stage.ratio < _BEATEN]


class Aside:
    """Measurements beside the runs: making a voice, tokenizing, streaming."""

    def __init__(self) -> None:
        self.condition: list[float] = []
        self.tokenize: list[float] = []
        self.streams: list[StreamSample] = []
        self.tokens = 0

    def take(self, workload: Workload, tell: Tell, stream: bool) -> None:
        """Measure as often as the runs, each after one that does not count, unless there is no warm-up."""
        skip, total = min(workload.plan.warmup, 1), workload.plan.runs
        tell("a voice from a clip")
        self.condition = [workload.condition() for _ in range(skip + total)][skip:]
        pairs = [workload.tokenize() for _ in range(skip + total)][skip:]
        self.tokenize, self.tokens = [seconds for seconds, _ in pairs], pairs[0][1]
        for number in range(skip + total if stream else 0):
            sample = workload.stream()
            tell(f"stream: first sound after {sample.first_seconds:.3f} s")
            self.streams += [sample] if number >= skip else []


def flow_order(names: Iterable[str]) -> list[str]:
    """Return names of stages in the order of the flow, unknown ones last."""
    return sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))


def _result(
    workload: Workload,
    machine: Machine,
    samples: Sequence[Sample],
    aside: Aside,
    peak: PeakMemory,
    refused: Sequence[str] = (),
) -> Result:
    """Return the figures. refused: stages whose limit is not to be believed, which leaves the total without one too."""
    audio = median([sample.audio_seconds for sample in samples])
    shape = _shape(workload, samples[0].parts, audio, aside.tokens)
    limits = _limits(workload, shape, machine)
    taken = {"condition": aside.condition, "tokenize": aside.tokenize}
    for name in samples[0].stages:
        taken[name] = [sample.stages.get(name, 0.0) for sample in samples]
    least = None if set(refused) - set(_ASIDE) else sum(limits[name] for name in limits if name not in _ASIDE)
    limits = {name: seconds for name, seconds in limits.items() if name not in refused}
    streamed = [stream.seconds / stream.audio_seconds for stream in aside.streams if stream.audio_seconds]
    return Result(
        settings=_settings(workload, shape),
        stages=[_stage(name, taken[name], audio, limits.get(name)) for name in flow_order(taken)],
        total=_stage("total", [sample.seconds for sample in samples], audio, least),
        audio_seconds=audio,
        first_audio_seconds=Figures.of([s.first_seconds for s in aside.streams]) if aside.streams else None,
        stream_real_time_factor=median(streamed) if streamed else None,
        peak_memory_bytes=peak.bytes,
        peak_memory_kind=peak.kind,
        machine=machine,
    )


def _stage(name: str, seconds: Sequence[float], audio: float, limit: float | None) -> Stage:
    figures = Figures.of(seconds)
    return Stage(
        name=name,
        seconds=figures,
        real_time_factor=figures.median / audio if audio else float("inf"),
        limit_seconds=limit,
        ratio=figures.median / limit if limit else None,
    )


def _shape(workload: Workload, parts: int, audio: float, tokens: int) -> Shape:
    """Return the shape of what was spoken; where the model chose the end, the codes are derived from the audio."""
    options = workload.options
    codes = workload.codes or max(1, round(audio / parts * 22050 / 1024))
    return Shape(
        text=-(-tokens // parts),
        codes=codes,
        candidates=options.num_autoregressive_samples,
        forwards=_forwards(options) if workload.denoises else 0,
        guided=_guided(options) if workload.denoises else 0,
        parts=parts,
    )


def _forwards(options: SpeechOptions) -> int:
    """Count the diffusion's forwards: a sampler's last step takes one."""
    return (
        SAMPLERS[options.sampler].forwards * (options.diffusion_iterations - 1) + 1
        if options.diffusion_iterations
        else 0
    )


def _guided(options: SpeechOptions) -> int:
    """Count the diffusion's forwards that are guided, and so have two rows."""
    if options.guidance is None or options.diffusion_iterations == 0:
        return 0
    start = None if options.diffusion_start == "noise" else options.diffusion_start_step
    steps = plan(options.sampler, options.diffusion_iterations, options.diffusion_spacing, start)
    return sum(options.cond_free_to <= step <= options.cond_free_from for step in steps)


def _limits(workload: Workload, shape: Shape, machine: Machine) -> dict[str, float]:
    """Return the least seconds of each stage on this machine, in the formats of the models."""
    tts = workload.tts
    sizes = _sizes(tts.spec, None if isinstance(tts.spec, XttsSpec) else tts.vocoder.cfg, ranked=workload.ranked)
    stages = set(stage_phases(sizes, shape, Formats()))
    formats = {stage: _format(tts, part) for stage, part in _MODEL_OF.items() if stage in stages}
    widths = {_MODEL_OF[stage]: width for stage, (width, _) in formats.items() if _MODEL_OF[stage] in _WIDTHS}
    cache = tts.autoregressive.allocate_cache(1, 1).keys.element_size()
    phases = stage_phases(sizes, shape, Formats(**widths, cache=cache))
    return {stage: _least(some, machine, formats.get(stage, formats["codes"])[1]) for stage, some in phases.items()}


def _sizes(spec: ModelSpec | XttsSpec, vocoder: Config | None, *, ranked: bool) -> Sizes:
    """Return the sizes of what a whole utterance goes through. vocoder: the configuration of the one in use."""
    if isinstance(spec, XttsSpec):
        return Sizes(
            autoregressive=spec.autoregressive, decoder=spec.stream_decoder, speaker_encoder=spec.speaker_encoder
        )
    return Sizes(
        autoregressive=spec.autoregressive,
        diffusion=spec.diffusion,
        vocoder=vocoder,
        clvp=spec.clvp if ranked else None,
        ctc=spec.ctc if ranked else None,
    )


def _least(phases: Sequence[Phase], machine: Machine, name: str) -> float:
    return sum(phase.seconds(machine.bandwidth, machine.rate(name)) for phase in phases)


def _format(tts: Any, part: str) -> tuple[float, str]:
    """Return (bytes per weight, format of the products with it)."""
    module: nn.Module = getattr(tts, part)
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    width = float(dtype.itemsize)
    if part == "autoregressive":  # may be quantized: what its blocks really hold
        width = held_bytes(cast(nn.Module, module.gpt)) / block_weights(tts.spec.autoregressive)
    if part == "autoregressive" and width < 1.4:
        return width, "int8" if width > 0.9 else "bf16"  # weights of 4 bits are expanded for the product
    if any(isinstance(layer, QuantLinear) for layer in module.modules()):
        return 1.0, "int8"
    names = {torch.bfloat16: "bf16", torch.float16: "fp16"}
    return width, names.get(dtype, "fp32")


def held_bytes(module: nn.Module) -> int:
    """Count the bytes of all weights in a module; a quantized layer counts its own."""
    own = getattr(module, "nbytes", None)
    if isinstance(own, int):
        return own
    return sum(p.nbytes for p in module.parameters(recurse=False)) + sum(
        held_bytes(child) for child in module.children()
    )


def _settings(workload: Workload, shape: Shape) -> dict[str, Any]:
    tts, plan = workload.tts, workload.plan
    return {
        "model": tts.model,
        "preset": workload.preset,
        "device": str(tts.device),
        "precision": tts.precision,
        "kv_cache": tts.kv_cache,
        "cpu_offload": tts.cpu_offload,
        "text": plan.text,
        "codes": shape.codes,
        "codes_forced": workload.codes is not None,
        "text_tokens": shape.text,
        "parts": shape.parts,
        "frames": shape.frames,
        "candidates": shape.candidates,
        "sampler": workload.options.sampler,
        "forwards": shape.forwards,
        "guided": shape.guided,
        "stream_decoder": workload.decoder,
        "runs": plan.runs,
        "warmup": plan.warmup,
        "seed": plan.seed,
    }
