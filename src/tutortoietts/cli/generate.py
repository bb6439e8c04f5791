"""`tutortoietts generate`, also `python -m tutortoietts.cli.generate`."""

from __future__ import annotations

from typing import Annotated

import typer

from tutortoietts.cli.common import Debug, guarded, new_app
from tutortoietts.cli.inputs import one_voice, read_text
from tutortoietts.cli.options import EngineOptions, SpeakOptions, TuningOptions, flatten, whole
from tutortoietts.cli.streaming import StreamOptions

TextArgument = Annotated[str | None, typer.Argument(help='What to say; "-" or nothing reads stdin.')]
VoiceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--voice", "-v", help='A name, a mix ("a+b"), "random", a clip or a folder [default: the model\'s own].'
    ),
]
CandidatesOption = Annotated[int, typer.Option(parser=whole, help="Results to keep, best first: FILE_1, FILE_2, ...")]
StreamingOption = Annotated[bool, typer.Option("--streaming", help="Write the sound while more is being made.")]
FormatOption = Annotated[
    str | None, typer.Option("--format", help="Of -o -: wav, s16le or f32le (raw samples, 24 kHz) [default: wav].")
]


@flatten
@guarded
def generate(
    text: TextArgument = None,
    voice: VoiceOption = None,
    speaking: SpeakOptions = SpeakOptions(),  # noqa: B008
    candidates: CandidatesOption = 1,
    streaming: StreamingOption = False,
    stream: StreamOptions = StreamOptions(),  # noqa: B008
    form: FormatOption = None,
    tuning: TuningOptions = TuningOptions(),  # noqa: B008
    engine: EngineOptions = EngineOptions(),  # noqa: B008
    debug: Debug = False,
) -> None:
    """Speak TEXT into a file."""
    from tutortoietts.cli.speak import Job, load, speak

    job = Job(
        text=read_text(text),
        voice=one_voice(voice),
        candidates=candidates,
        streaming=streaming,
        stream=stream.given(),
        form=form,
        tuning=tuning.given(),
        **speaking.given(),
    )
    tts, seconds = load(engine)
    speak(tts, job, seconds)


app = new_app("Speak TEXT into a file.")
app.command()(generate)

if __name__ == "__main__":
    app(prog_name="generate")
