"""`generate --ssml`: speak a marked-up text into one file."""

from __future__ import annotations

import secrets
import sys
import time
from typing import TYPE_CHECKING

from tutortoietts.cli.output import STDOUT
from tutortoietts.core.errors import OptionError

if TYPE_CHECKING:
    from tutortoietts.api import TextToSpeech
    from tutortoietts.cli.speak import Job
    from tutortoietts.engine.progress import Report

__all__ = ["check_marked_up", "speak_marked_up"]


def check_marked_up(job: Job) -> None:
    """Raise OptionError for options that --ssml cannot honour, BookError for broken markup."""
    from tutortoietts.book.readers.options import ReadOptions
    from tutortoietts.book.readers.ssml import parse_ssml

    refused = {"--streaming": job.streaming, "--candidates": job.candidates > 1, "--cache": job.cache}
    for name, given in refused.items():
        if given:
            raise OptionError(f"{name} cannot be used with --ssml, whose parts are spoken one by one: remove it")
    if job.normalize is False:
        raise OptionError("--no-normalize cannot be used with --ssml, whose say-as needs the words of numbers")
    parse_ssml(job.text.encode("utf-8"), options=ReadOptions(audio_dir=job.audio_dir))


def speak_marked_up(tts: TextToSpeech, job: Job) -> tuple[Report, list[list[str]]]:
    """Write the sound of a marked-up text, and its times; return the report and the faults, if there is --check."""
    from tutortoietts.audio.io import file_comment, save_audio
    from tutortoietts.book.clip import speak_ssml
    from tutortoietts.book.engine import EngineSpeaker
    from tutortoietts.book.export.times import write_times
    from tutortoietts.book.options import BookOptions
    from tutortoietts.cli.streaming import encoded
    from tutortoietts.engine.progress import Report

    seed = secrets.randbits(31) if job.seed is None else job.seed
    started = time.perf_counter()
    speaker = EngineSpeaker(tts, preset=job.preset, options=job.tuning, seed=seed, language=job.language)
    options = BookOptions(voice=job.voice or "", seed=seed, retries=0, audio_dir=job.audio_dir, language=job.language)
    clip = speak_ssml(job.text, speaker, options)
    (path,) = job.paths
    if path == STDOUT:
        sys.stdout.buffer.write(encoded(clip.samples, clip.sample_rate, job.form or "wav", terms=tts.terms))
        sys.stdout.buffer.flush()
    else:
        save_audio(path, clip.samples, clip.sample_rate, comment=file_comment(tts.terms, mark=job.mark))
    if job.times is not None:
        write_times(
            job.times, clip.text, clip.words, sample_rate=clip.sample_rate, duration=clip.seconds, marks=clip.marks
        )
    report = Report(
        stages={"speech": time.perf_counter() - started},
        audio_seconds=clip.seconds,
        passages=clip.segments,
        candidates=speaker.candidates,
        seed=seed,
    )
    return report, [list(clip.faults)] if job.check else []
