"""`tutortoietts book`: make, plan, status, redo, export, check, clean."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tutortoietts.cli.common import Debug, Json, guarded, new_app, print_json, say
from tutortoietts.cli.options import EngineOptions, TuningOptions, flatten, integer, number, of_panel
from tutortoietts.core.errors import OptionError

if TYPE_CHECKING:
    from tutortoietts.book.book import Book
    from tutortoietts.book.options import BookOptions

TEXT, VOICES, SOUND, WORK = "Text", "Voices", "Sound", "Work"
_text, _voices, _sound, _work = of_panel(TEXT), of_panel(VOICES), of_panel(SOUND), of_panel(WORK)

app = new_app("Make audiobooks: EPUB, text, Markdown, HTML, Word and PDF to m4b, mp3 and other files.")

Source = Annotated[str, typer.Argument(help='The document; "-" reads text from stdin.')]
Folder = Annotated[Path, typer.Argument(help="The book's folder (BOOK.tts), or the document it was made from.")]
Outputs = Annotated[
    list[Path] | None,
    typer.Option(
        "--output", "-o", help="File to write, by ending m4b, mp3, opus, flac, wav, epub, html, srt, vtt, lrc, json; "
        "without an ending a folder of chapters. Repeatable.",
    ),
]  # fmt: skip
FormatOption = Annotated[str, _sound("--format", help="Format of the files in a folder of chapters.")]
SplitOption = Annotated[
    float, _sound(parser=number, help="Begin a new file where one gets longer than this; 0: never.")
]
LoudnessOption = Annotated[str | None, _sound(help="book, acx, podcast, ebu or off [default: book].")]
RateOption = Annotated[float | None, _sound(parser=number, help="All speech this much faster, 0.5 to 2 [default: 1].")]
ToneOption = Annotated[bool | None, _sound("--room-tone/--no-room-tone", help="Fill pauses with very quiet noise.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class BookChoices:
    """Options of `make` and `plan`: fields of `book.options.BookOptions`; None and empty leave the default."""

    voice: Annotated[str | None, _voices("--voice", "-v", help="Narrator [default: the model's own voice].")] = None
    cast: Annotated[str | None, _voices(help="Voices of the characters: dialogue=VOICE, or a file cast.toml.")] = None
    lexicon: Annotated[list[Path] | None, _text(help="Pronunciation of words: a CSV or PLS file. Repeatable.")] = None
    chapters: Annotated[str | None, _text(help="Chapters to make, such as 1-5,8.")] = None
    toc_depth: Annotated[
        int | None, _text(parser=integer, help="Deepest level of the contents that begins a chapter [default: 2].")
    ] = None
    front: Annotated[
        str | None, _text(help="Front matter: auto leaves out title page, copyright, contents; all; none.")
    ] = None
    notes: Annotated[str | None, _text(help="Notes: skip, inline or end (of the chapter) [default: skip].")] = None
    alt: Annotated[bool | None, _text("--alt/--no-alt", help="Speak the descriptions of pictures.")] = None
    encoding: Annotated[str | None, _text(help="Encoding of a text file that is not UTF-8.")] = None
    chapter_regex: Annotated[str | None, _text(help="Lines of a text file that begin a chapter.")] = None
    headings: Annotated[str | None, _text(help="speak or skip [default: speak].")] = None
    credits: Annotated[str | None, _text(help='Spoken first, such as "{title}, by {author}, read by {narrator}".')] = (
        None
    )
    urls: Annotated[str | None, _text(help="Web addresses: skip, host or full [default: host].")] = None
    language: Annotated[
        str | None, _text(help="Language of the text, such as en-GB, or auto [default: the document's].")
    ] = None
    pauses: Annotated[str | None, _sound(help="book, brisk, or a JSON file of seconds [default: book].")] = None
    seed: Annotated[int | None, _voices(parser=integer, help="Another reading of the whole book [default: 0].")] = None
    same_repeats: Annotated[
        bool | None, _voices("--same-repeats/--no-same-repeats", help="Equal sentences sound the same.")
    ] = None
    retries: Annotated[
        int | None, _voices(parser=integer, help="New tries for a sentence that fails its checks [default: 2].")
    ] = None
    asr: Annotated[
        str | None,
        _voices(help="Check by speech recognition, too: none, pocketsphinx, faster-whisper, module:function."),
    ] = None
    rate: RateOption = None
    loudness: LoudnessOption = None
    room_tone: ToneOption = None
    metadata: Annotated[Path | None, _text(help="JSON file with title, authors and so on.")] = None
    cover: Annotated[Path | None, _text(help="Cover picture [default: the document's own].")] = None
    mark: Annotated[bool | None, _sound("--mark/--no-mark", help='Tag files as "AI-generated speech".')] = None
    preset: Annotated[
        str | None, _voices("--preset", "-p", help="Quality against time [default: the model's own].")
    ] = None

    def options(self, engine: EngineOptions, tuning: TuningOptions) -> BookOptions:
        """Return the options of the book. Raises OptionError."""
        from tutortoietts.book.options import BookOptions

        values: dict[str, Any] = {
            item.name: getattr(self, item.name) for item in fields(self) if getattr(self, item.name) is not None
        }
        values.pop("preset", None)
        for name in ("metadata", "cover"):
            if name in values:
                values[name] = str(values[name].resolve())
        values["lexicon"] = tuple(str(path.resolve()) for path in values.get("lexicon", ()))
        if values.get("cast") and not values["cast"].startswith("dialogue="):
            values["cast"] = str(Path(values["cast"]).resolve())
        loading = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(engine).items()}
        default = asdict(EngineOptions())
        loading = {key: value for key, value in loading.items() if value != default[key] and key != "enable_redaction"}
        values["engine"] = {"load": loading, "preset": self.preset, "options": tuning.given()}
        return BookOptions(**values)


WorkOption = Annotated[Path | None, _work("--work", help="The book's folder [default: BOOK.tts beside the document].")]
WorkersOption = Annotated[int, _work(parser=integer, help="Processes that speak at once, each with its own models.")]
RayOption = Annotated[
    str | None, _work("--ray", help="Workers on a Ray cluster: its address, auto (one that runs here), or local.")
]
GpusOption = Annotated[float, _work(parser=number, help="GPUs of each --ray worker, fractions too.")]
CpusOption = Annotated[float, _work(parser=number, help="Processor cores of each --ray worker.")]
ProgressOption = Annotated[str, _work(help="auto, json (a line an event on stdout) or none.")]
StrictOption = Annotated[bool, _work("--strict", help="End with exit code 1 if anything is flagged or left out.")]
CacheOption = Annotated[bool, _work("--cache/--no-cache", help="Use the phrase cache.")]
CostOption = Annotated[float, _work(parser=number, help="Price of an hour of this machine, to estimate the cost.")]


@app.command("make", short_help="Make the audiobook, or go on with it.")
@flatten
@guarded
def make(
    source: Source,
    output: Outputs = None,
    choices: BookChoices = BookChoices(),
    form: FormatOption = "mp3",
    split_hours: SplitOption = 0.0,
    work: WorkOption = None,
    workers: WorkersOption = 1,
    ray: RayOption = None,
    gpus_per_worker: GpusOption = 0.0,
    cpus_per_worker: CpusOption = 1.0,
    cache: CacheOption = True,
    progress: ProgressOption = "auto",
    strict: StrictOption = False,
    tuning: TuningOptions = TuningOptions(),  # noqa: B008
    engine: EngineOptions = EngineOptions(),  # noqa: B008
    debug: Debug = False,
) -> None:
    """Make the audiobook of SOURCE. Run it again after anything that stopped it: it goes on where it was."""
    from tutortoietts.book.book import Book
    from tutortoietts.cli.book_run import run

    book = Book.open(source, work, choices.options(engine, tuning))
    outputs = output if output is not None else [Path("book.m4b" if source == "-" else Path(source).stem + ".m4b")]
    run(
        book,
        outputs,
        workers=workers,
        cluster=None if ray is None else {"address": ray, "gpus": gpus_per_worker, "cpus": cpus_per_worker},
        cached=cache,
        progress=progress,
        strict=strict,
        form=form,
        split_hours=split_hours,
    )


@app.command("plan", short_help="Show what would be spoken, and how long it takes.")
@flatten
@guarded
def plan(
    source: Source,
    choices: BookChoices = BookChoices(),
    work: WorkOption = None,
    cost_per_hour: CostOption = 0.0,
    as_json: Json = False,
    tuning: TuningOptions = TuningOptions(),  # noqa: B008
    engine: EngineOptions = EngineOptions(),  # noqa: B008
    debug: Debug = False,
) -> None:
    """Show chapters, sentences as they will be spoken, warnings, what is left out, length, time and disk."""
    from tutortoietts.book.book import Book
    from tutortoietts.cli.book_report import plan_values, say_plan
    from tutortoietts.cli.book_run import factory_of

    book = Book.open(source, work, choices.options(engine, tuning))
    speaker = factory_of(book.options, book.language)()
    values = plan_values(book, book.preview(speaker), speaker, cost_per_hour)
    if as_json:
        print_json(values)
    else:
        say_plan(values)


@app.command("status", short_help="Show what is done and what is to do.")
@guarded
def status(work: Folder, as_json: Json = False, debug: Debug = False) -> None:
    """Show how many segments are done, to do and flagged."""
    from tutortoietts.cli.book_report import say_status, status_values

    values = status_values(open_folder(work))
    if as_json:
        print_json(values)
    else:
        say_status(values)


@app.command("redo", short_help="Speak segments anew.")
@guarded
def redo(
    work: Folder,
    segments: Annotated[
        list[str], typer.Argument(help='c03-s0042, c03-s0001..c03-s0009, c03, flagged, voice:NAME or "/regex/".')
    ],
    text: Annotated[str | None, typer.Option(help="Another text, shown and spoken.")] = None,
    say_: Annotated[str | None, typer.Option("--say", help="Another spoken form; the shown text stays.")] = None,
    voice: Annotated[str | None, typer.Option("--voice", "-v", help="Another voice.")] = None,
    seed: Annotated[int | None, typer.Option(parser=integer, help="A seed of your choice.")] = None,
    take: Annotated[int | None, typer.Option(parser=integer, help="Go back to this take; the first is 0.")] = None,
    accept: Annotated[bool, typer.Option("--accept", help="The flagged take is good: do not flag it again.")] = False,
    debug: Debug = False,
) -> None:
    """Speak segments anew, or with another text, voice or seed. Old takes stay, and --take goes back to them."""
    from tutortoietts.book.audit import select
    from tutortoietts.cli.book_run import run

    book = open_folder(work)
    chosen = select(book.store.plan(), book.store, segments)
    changes = {"text": text, "say": say_, "voice": voice, "seed": seed, "take": take, "accepted": accept or None}
    changes = {name: value for name, value in changes.items() if value is not None}
    if (text is not None or say_ is not None) and len(chosen) > 1:
        raise OptionError(f"--text and --say are for one segment, {len(chosen)} are named")
    if take is not None and take < 0:
        raise OptionError(f"--take is {take}, must be 0 or more")
    book.redo(chosen, **changes)
    run(book, [], workers=1, cached=True, progress="auto", strict=False)
    say(f"{len(chosen)} segments redone; tutortoietts book export {work} -o FILE writes the book anew")


@app.command("export", short_help="Write files from what is spoken.")
@guarded
def export(
    work: Folder,
    output: Outputs = None,
    form: FormatOption = "mp3",
    split_hours: SplitOption = 0.0,
    words: Annotated[bool, typer.Option("--words", help="EPUB: highlight words instead of sentences.")] = False,
    loudness: LoudnessOption = None,
    rate: RateOption = None,
    room_tone: ToneOption = None,
    debug: Debug = False,
) -> None:
    """Write files from what is spoken already. Loads no model."""
    from tutortoietts.cli.book_run import write_files

    if not output:
        raise OptionError("nothing to write: name files with -o, such as -o book.m4b")
    book = open_folder(work)
    write_files(
        book, output, form=form, split_hours=split_hours, words=words, loudness=loudness, rate=rate, room_tone=room_tone
    )


@app.command("check", short_help="Prove that the book is whole.")
@guarded
def check(
    work: Folder,
    loudness: LoudnessOption = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check every take, the account of every character of the source, and the loudness of every chapter."""
    from tutortoietts.cli.book_report import check_values, say_check

    values = check_values(open_folder(work), loudness)
    if as_json:
        print_json(values)
    else:
        say_check(values)
    if not values["whole"]:
        raise typer.Exit(1)


@app.command("clean", short_help="Free space.")
@guarded
def clean(
    work: Folder,
    takes: Annotated[bool, typer.Option("--takes", help="Remove takes that the book does not use, too.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Remove all sound; the plan and the edits stay.")] = False,
    debug: Debug = False,
) -> None:
    """Remove what was left by processes that were killed, and say how much that frees."""
    book = open_folder(work)
    freed = book.clean(takes=takes, everything=everything)
    print(f"freed {freed / 1e6:.1f} MB")


def open_folder(work: Path) -> Book:
    """Return the book of a folder, or of the document beside it."""
    from tutortoietts.book.book import Book, default_work

    return Book.of_folder(work if work.is_dir() or not work.is_file() else default_work(work))


if __name__ == "__main__":
    app(prog_name="book")
