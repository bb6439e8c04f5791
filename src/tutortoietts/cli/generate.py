"""`tutortoietts generate`, also `python -m tutortoietts.cli.generate`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from tutortoietts.cli.common import SPEAKING, STREAMING, Debug, guarded, new_app
from tutortoietts.cli.inputs import one_voice, read_text
from tutortoietts.cli.options import (
    EngineOptions,
    SpeakOptions,
    StreamOptions,
    TuningOptions,
    flatten,
    integer,
    of_panel,
)

_speaking, _streaming = of_panel(SPEAKING), of_panel(STREAMING)

TextArgument = Annotated[str | None, typer.Argument(help='Text to speak; "-" or nothing reads stdin.')]
VoiceOption = Annotated[
    list[str] | None,
    _speaking(
        "--voice",
        "-v",
        help='Voice: a name, a mix ("a+b"), "random", a clip or a folder of clips [default: the model\'s own].',
    ),
]
CandidatesOption = Annotated[
    int, _speaking(parser=integer, help="Number of results to keep, best first: FILE_1, FILE_2, ...")
]
StreamingOption = Annotated[bool, _streaming("--streaming", help="Write audio while more is being made.")]
FormatOption = Annotated[
    str | None,
    _speaking("--format", help="Format of stdout (-o -): wav, or raw 24 kHz samples: s16le, f32le [default: wav]."),
]
CacheOption = Annotated[
    bool, _speaking("--cache", help="Take the audio from the phrase cache if it was made before; needs --seed.")
]
CheckOption = Annotated[
    bool,
    _speaking("--check", help="Check that the text was said, and said well; faults are printed, with exit code 1."),
]
SsmlOption = Annotated[bool, _speaking("--ssml", help="TEXT is SSML: see docs/books.md for what of it is honoured.")]
AudioDirOption = Annotated[
    str, _speaking("--audio-dir", help="Folder of the sounds that <audio src=...> of --ssml may play [default: none].")
]


@flatten
@guarded
def generate(
    text: TextArgument = None,
    voice: VoiceOption = None,
    speaking: SpeakOptions = SpeakOptions(),  # noqa: B008
    candidates: CandidatesOption = 1,
    form: FormatOption = None,
    cache: CacheOption = False,
    check: CheckOption = False,
    ssml: SsmlOption = False,
    audio_dir: AudioDirOption = "",
    streaming: StreamingOption = False,
    stream: StreamOptions = StreamOptions(),  # noqa: B008
    tuning: TuningOptions = TuningOptions(),  # noqa: B008
    engine: EngineOptions = EngineOptions(),  # noqa: B008
    debug: Debug = False,
) -> None:
    """Speak TEXT into a file. Sampling options that are not given come from the preset."""
    from tutortoietts.cli.speak import Job, load, speak
    from tutortoietts.cli.ssml import check_marked_up, speak_marked_up

    job = Job(
        text=read_text(text),
        voice=one_voice(voice),
        candidates=candidates,
        streaming=streaming,
        stream=stream.given(),
        form=form,
        cache=cache,
        check=check,
        ssml=ssml,
        audio_dir=audio_dir,
        tuning=tuning.given(),
        **speaking.given(),
    )
    if ssml:
        check_marked_up(job)
        engine = replace(engine, enable_redaction=False)  # brackets are text there
    tts, seconds = load(engine, cache=cache)
    speak(tts, job, seconds, speak_marked_up if ssml else None)


app = new_app("Speak TEXT into a file.")
app.command()(generate)

if __name__ == "__main__":
    app(prog_name="generate")
