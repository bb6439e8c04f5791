"""`tutortoietts clone`, also `python -m tutortoietts.cli.clone`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tutortoietts.cli.common import Debug, Json, guarded, new_app, print_json, say
from tutortoietts.cli.generate import OutputOption, PlayOption, PresetOption, QuietOption, SeedOption
from tutortoietts.cli.inputs import read_text
from tutortoietts.cli.options import EngineOptions, TuningOptions, flatten

if TYPE_CHECKING:
    from tutortoietts.api import TextToSpeech


@flatten
@guarded
def clone(
    name: Annotated[str, typer.Option("--name", "-n", help="What to call the voice.")],
    samples: Annotated[
        list[str], typer.Option("--samples", "-s", help="Clips: files, a folder or a quoted pattern; may be repeated.")
    ],
    text: Annotated[str | None, typer.Option("--text", "-t", help='Say this with it; "-" reads stdin.')] = None,
    output: OutputOption = Path("output.wav"),
    preset: PresetOption = None,
    seed: SeedOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take the name over from a voice you have.")] = False,
    play: PlayOption = False,
    tuning: TuningOptions = TuningOptions(),  # noqa: B008
    engine: EngineOptions = EngineOptions(),  # noqa: B008
    quiet: QuietOption = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Learn a voice from clips, keep it under a name, and say TEXT with it if there is one."""
    from tutortoietts.cli.speak import Job, load, speak
    from tutortoietts.voices.clips import expand_samples

    clips = expand_samples(samples)
    job = None
    if text is not None:
        job = Job(
            text=read_text(text),
            output=output,
            preset=preset,
            voice=name,
            seed=seed,
            play=play,
            quiet=quiet,
            as_json=as_json,
            tuning=tuning.given(),
        )
    tts, seconds = load(engine)
    path = keep_voice(tts, name, clips, replace=replace)
    if not quiet:
        say(f"voice {name!r} of {len(clips)} clips is kept in {path}")
    if job is not None:
        speak(tts, job, seconds)
    elif as_json:
        print_json({"name": name, "path": str(path), "clips": [str(clip) for clip in clips], "model": tts.model})


def keep_voice(tts: TextToSpeech, name: str, clips: list[Path], *, replace: bool) -> Path:
    """The voice's folder, with its latents made; the same clips under the same name are not an error."""
    from tutortoietts.voices.clips import digest

    known = {source.name: source for source in tts.voices.voices() if source.path.parent == tts.voices.folder}
    source = known.get(name)
    if source is None or not source.clips or digest(source.clips) != digest(clips):
        source = tts.voices.add(name, clips, replace=replace)
    tts.get_conditioning_latents(name)
    return source.path


app = new_app("Learn a voice from clips, keep it under a name, and say TEXT with it if there is one.")
app.command()(clone)

if __name__ == "__main__":
    app(prog_name="clone")
