"""`tutortoietts say-as`: print what is written beside what will be spoken."""

from __future__ import annotations

from typing import Annotated

import typer

from tutortoietts.cli.common import Debug, Json, guarded, print_json
from tutortoietts.cli.inputs import read_text
from tutortoietts.cli.options import AcceptCpml

TextArgument = Annotated[str | None, typer.Argument(help='Text to read; "-" or nothing reads stdin.')]
ModelOption = Annotated[
    str,
    typer.Option("--model", "-m", help='Model to speak: "bundled", "tortoise-v2", "xtts-v2" or a directory.'),
]
LanguageOption = Annotated[
    str, typer.Option("--language", help="Language of the text: en, en-US, en-GB, another of the model's, or auto.")
]
NormalizeOption = Annotated[
    bool, typer.Option("--normalize/--no-normalize", help="Say numbers, symbols and abbreviations as a person would.")
]


@guarded
def say_as(
    text: TextArgument = None,
    model: ModelOption = "bundled",
    accept_cpml: AcceptCpml = False,
    language: LanguageOption = "en",
    normalize: NormalizeOption = True,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Print the words that will be spoken for TEXT, one passage a line."""
    given = read_text(text)
    from tutortoietts.api import TextToSpeech

    passages = TextToSpeech(model=model, accept_cpml=accept_cpml).say_as(given, normalize=normalize, language=language)
    if as_json:
        print_json({"passages": passages})
        return
    for passage in passages:
        print(passage["spoken"])
