"""Speak one job into files or stdout, and report how long it took: shared by `generate` and `clone`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tutortoietts.cli.common import EXIT_FAILURE, hush, print_json, say
from tutortoietts.cli.options import EngineOptions
from tutortoietts.cli.output import STDOUT, keep_inputs, plan_outputs
from tutortoietts.cli.playback import Player, find_player, play, played
from tutortoietts.cli.streaming import FORMATS, encoded, raw, sink
from tutortoietts.core.errors import OptionError
from tutortoietts.core.options import SPEECH, check

if TYPE_CHECKING:
    from tutortoietts.api import TextToSpeech
    from tutortoietts.engine.progress import Report
    from tutortoietts.engine.speech import Speech, SpeechStream


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Text to speak, and where the audio goes; checked when it is made, before any model is loaded.

    stream: arguments of `tts_stream` only; form: format of stdout, one of FORMATS. cache: use the phrase cache.
    check: check what was said. times: file for the times of the words.
    ssml: the text is marked up; audio_dir: folder of the sounds that it may play.
    voice_at: path of the voice, while it has no name yet; clips: files that it is made from.
    Raises OptionError, OutputError.
    """

    text: str
    output: Path
    preset: str | None
    voice: str | None
    seed: int | None
    candidates: int = 1
    streaming: bool = False
    stream: dict[str, Any] = field(default_factory=dict)
    form: str | None = None
    cache: bool = False
    check: bool = False
    ssml: bool = False
    audio_dir: str = ""
    mark: bool = True
    language: str = "en"
    normalize: bool | None = None
    times: Path | None = None
    play: bool = False
    quiet: bool = False
    as_json: bool = False
    tuning: dict[str, Any] = field(default_factory=dict)
    voice_at: str | None = None
    clips: Sequence[Path] = ()
    paths: Sequence[Path] = field(init=False)
    player: Player | None = field(init=False)

    def __post_init__(self) -> None:
        check("--candidates", self.candidates, SPEECH["num_autoregressive_samples"])
        if self.streaming and self.candidates > 1:
            raise OptionError(
                f"--candidates is {self.candidates}, but --streaming writes one result: remove one of the two options"
            )
        if self.stream and not self.streaming:
            raise OptionError(f"--{next(iter(self.stream)).replace('_', '-')} requires --streaming")
        if self.form is not None and self.form not in FORMATS:
            raise OptionError(f"--format is {self.form!r}, must be one of {', '.join(FORMATS)}")
        if self.form is not None and self.output != STDOUT:
            raise OptionError(
                f"--format {self.form} is only for stdout (-o -): the format of {str(self.output)!r} is its extension"
            )
        if self.output == STDOUT and (self.as_json or self.play):
            option = "--json" if self.as_json else "--play"
            raise OptionError(f"{option} cannot be used with -o -, which writes audio to stdout: name a file with -o")
        if self.cache and self.seed is None:
            raise OptionError("--cache gives again what was spoken with a seed: add --seed N, or remove --cache")
        if self.audio_dir and not self.ssml:
            raise OptionError("--audio-dir is for the sounds of --ssml: add that option, or remove this one")
        if self.check and self.streaming:
            raise OptionError("--check looks at the whole sound, --streaming writes it before: remove one of the two")
        if self.times is not None:
            if self.candidates > 1:
                raise OptionError(
                    f"--times is for one result, --candidates is {self.candidates}: remove one of the two"
                )
            from tutortoietts.book.export.times import check_times

            check_times(self.times)
        object.__setattr__(self, "player", find_player(self.streaming) if self.play else None)
        object.__setattr__(self, "paths", plan_outputs(self.output, self.candidates))
        keep_inputs(self.paths, [*self.clips, *_terms(self.voice or "")])

    @property
    def progress(self) -> bool:
        """True if a progress bar is to be shown."""
        return not self.quiet and sys.stderr is not None and sys.stderr.isatty()


def _terms(voice: str) -> list[str]:
    """Return the paths that a voice may name: itself and, of a mix, each voice in it."""
    return [voice, *(term.partition("*")[0].strip() for term in voice.split("+"))]


def load(options: EngineOptions, *, cache: bool = False) -> tuple[TextToSpeech, float]:
    """Return the engine, and the seconds it took to import and open it. cache: with the user's phrase cache."""
    started = time.perf_counter()
    from tutortoietts.api import TextToSpeech

    return TextToSpeech(**asdict(options), phrase_cache=cache), time.perf_counter() - started


Work = Callable[["TextToSpeech", Job], "tuple[Report, list[list[str]]]"]
"""Writes the results of a job; returns the report and, if they were to be checked, the faults of each."""


def speak(tts: TextToSpeech, job: Job, start_seconds: float, work: Work | None = None) -> None:
    """Do a job, report it and play it; a stream is played from its first chunk on.

    work: what writes the results; None: `TextToSpeech.speak_candidates`.
    """
    started = time.perf_counter()
    first: float | None = None
    faults: list[list[str]] = []
    with ExitStack() as listening:
        if job.streaming:
            hear = listening.enter_context(played(job.player, job.paths[0])) if job.player else None
            report, first = _stream(tts, job, hear)
        else:
            report, faults = (work or _at_once)(tts, job)
        if report is not None and (job.as_json or not job.quiet):
            _report(tts, job, report, start_seconds, time.perf_counter() - started, first, faults)
    if job.player and not job.streaming:
        for path in job.paths:
            play(job.player, path)
    if any(faults):
        raise typer.Exit(EXIT_FAILURE)


def _at_once(tts: TextToSpeech, job: Job) -> tuple[Report, list[list[str]]]:
    """Write the results; return the report and, if they were to be checked, the faults of each."""
    results = tts.speak_candidates(
        job.text,
        job.candidates,
        preset=job.preset,
        voice=job.voice_at or job.voice,
        normalize=job.normalize,
        language=job.language,
        verbose=job.progress,
        seed=job.seed,
        **job.tuning,
    )
    for path, speech in zip(job.paths, results, strict=True):
        if path == STDOUT:
            sys.stdout.buffer.write(encoded(speech.samples, tts.sample_rate, job.form or "wav", terms=speech.terms))
            sys.stdout.buffer.flush()
        else:
            speech.save(path, mark=job.mark)
    _write_times(job, results[0])
    return results[0].report, [list(speech.check().faults) for speech in results] if job.check else []


def _stream(tts: TextToSpeech, job: Job, hear: Callable[[bytes], None] | None) -> tuple[Report | None, float]:
    """Write chunks as they come, until the reader closes. Return the report, None if it did, and the seconds until the
    first chunk.

    hear: also called with each chunk, as 16-bit samples.
    """
    from tutortoietts.audio.io import file_comment

    started, first, comment = time.perf_counter(), 0.0, file_comment(tts.terms, mark=job.mark)
    stream = tts.stream(
        job.text,
        voice=job.voice_at or job.voice,
        normalize=job.normalize,
        language=job.language,
        verbose=job.progress,
        seed=job.seed,
        preset=job.preset,
        **job.stream,
        **job.tuning,
    )
    try:
        with stream, sink(job.paths[0], tts.sample_rate, job.form or "wav", comment=comment, terms=tts.terms) as write:
            for chunk in stream:
                if hear is not None:
                    hear(raw(chunk, "s16le"))
                write(chunk)
                first = first or time.perf_counter() - started
    except BrokenPipeError:
        hush(sys.stdout)
        return None, first
    _write_times(job, stream)
    return stream.report, first


def _write_times(job: Job, result: Speech | SpeechStream) -> None:
    """Write the file of --times, if there is one."""
    if job.times is not None:
        from tutortoietts.book.export.times import write_times

        seconds = result.report.audio_seconds
        write_times(job.times, job.text, result.words, sample_rate=result.sample_rate, duration=seconds)


def _report(
    tts: TextToSpeech,
    job: Job,
    report: Report,
    start: float,
    seconds: float,
    first: float | None,
    checks: Sequence[list[str]],
) -> None:
    loading = report.stages.get("load", 0.0)
    stages = {"start": start, **report.stages, "other": max(0.0, seconds - report.seconds)}
    factor = (seconds - loading) / report.audio_seconds
    values: dict[str, Any] = {
        "files": [str(path) for path in job.paths],
        "model": tts.model,
        "preset": job.preset or tts.default_preset,
        "voice": job.voice,
        "seed": report.seed,
        "passages": report.passages,
        "candidates": report.candidates,
        "audio_seconds": round(report.audio_seconds, 3),
        "seconds": round(start + seconds, 3),
        "real_time_factor": round(factor, 3),
        "first_audio_seconds": None if first is None else round(start + first, 3),
        "redraws": report.redraws,
        "faults": dict(report.faults),
        "stages": {name: round(value, 3) for name, value in stages.items()},
    }
    if job.check:
        values["checks"] = [{"good": not faults, "faults": faults} for faults in checks]
    if job.as_json:
        print_json(values)
    if not job.quiet:
        _say_report(values)


def _say_report(values: dict[str, Any]) -> None:
    """Print the report on stderr. Starting and loading do not count in the real-time factor."""
    audio = values["audio_seconds"]
    say(f"{', '.join(values['files'])}: {audio:.2f} s of audio, preset {values['preset']}, seed {values['seed']}")
    if values.get("faults"):
        faults = ", ".join(f"{name} {count}" for name, count in values["faults"].items())
        say(f"  {values['redraws']} passages drawn again; faults: {faults}")
    for file, checked in zip(values["files"], values.get("checks", ()), strict=False):
        for fault in checked["faults"] or ["said as written, as far as the model can tell"]:
            say(f"  check     {file}: {fault}")
    for name, seconds in values["stages"].items():
        if name == "other" or seconds < 0.005:
            continue
        once = name in ("start", "load")
        say(f"  {name:<10}{seconds:8.2f} s" + ("" if once else f"   real-time factor {seconds / audio:.2f}"))
    if values["first_audio_seconds"] is not None:
        say(f"  first sound after {values['first_audio_seconds']:.2f} s")
    say(f"  {'total':<10}{values['seconds']:8.2f} s   real-time factor {values['real_time_factor']:.2f} once loaded")
