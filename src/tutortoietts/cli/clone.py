"""`tutortoietts clone`, also `python -m tutortoietts.cli.clone`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tutortoietts.cli.common import SPEAKING, Debug, guarded, new_app, print_json, say
from tutortoietts.cli.inputs import read_text
from tutortoietts.cli.options import EngineOptions, SpeakOptions, TuningOptions, flatten, of_panel

if TYPE_CHECKING:
    from tutortoietts.api import TextToSpeech


_speaking = of_panel(SPEAKING)


@flatten
@guarded
def clone(
    name: Annotated[str, _speaking("--name", "-n", help="Name of the new voice.")],
    samples: Annotated[
        list[str],
        _speaking(
            "--samples", "-s", help="Clips of the speaker: files, a folder or a quoted pattern; may be repeated."
        ),
    ],
    text: Annotated[str | None, _speaking("--text", "-t", help='Text to speak with it; "-" reads stdin.')] = None,
    take_over: Annotated[bool, _speaking("--replace", help="Replace a voice of yours that has this name.")] = False,
    speaking: SpeakOptions = SpeakOptions(),  # noqa: B008
    tuning: TuningOptions = TuningOptions(),  # noqa: B008
    engine: EngineOptions = EngineOptions(),  # noqa: B008
    debug: Debug = False,
) -> None:
    """Make a voice from clips, speak TEXT with it if given, and keep it under a name if all went well."""
    from tutortoietts.cli.speak import Job, load, speak
    from tutortoietts.voices.clips import expand_samples
    from tutortoietts.voices.names import check_name

    name, clips = check_name(name), expand_samples(samples)
    job = None
    if text is not None:
        job = Job(text=read_text(text), voice=name, clips=clips, tuning=tuning.given(), **speaking.given())
    tts, seconds = load(engine)
    with voice_of(tts, name, clips, replace=take_over) as place:
        if job is not None:
            speak(tts, replace(job, voice_at=place), seconds)
    path = tts.voices.find(name).path
    if not speaking.quiet:
        say(f"voice {name!r} from {len(clips)} clips is kept in {path}")
    if job is None and speaking.as_json:
        print_json({"name": name, "path": str(path), "clips": [str(clip) for clip in clips], "model": tts.model})


@contextmanager
def voice_of(tts: TextToSpeech, name: str, clips: list[Path], *, replace: bool) -> Iterator[str]:
    """Yield where the new voice is found, with its latents made; keep it under its name if the block succeeds.

    The same clips under the same name are not an error. Raises VoiceError, AudioError, OptionError.
    """
    from tutortoietts.voices.clips import digest

    known = {source.name: source for source in tts.voices.voices() if tts.voices.is_own(source)}
    source = known.get(name)
    if source is not None and source.clips and digest(source.clips) == digest(clips):
        tts.get_conditioning_latents(name)
        yield name
        return
    with tts.voices.adding(name, clips, replace=replace) as new:
        tts.get_conditioning_latents(str(new.path))
        yield str(new.path)


app = new_app("Make a voice from clips, speak TEXT with it if given, and keep it under a name.")
app.command()(clone)

if __name__ == "__main__":
    app(prog_name="clone")
