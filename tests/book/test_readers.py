"""Text, Markdown, HTML, Word, PDF and stdin: chapters, paragraphs, what is left out, what is refused."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from tutortoietts.book.document import Document
from tutortoietts.book.readers.body import Rules, Run, collapse, origins
from tutortoietts.book.readers.options import ReadOptions
from tutortoietts.book.readers.read import read_document
from tutortoietts.core.errors import BookError, OptionError

pytest.importorskip("lxml")


def shape(document: Document) -> list[tuple[str, list[str]]]:
    return [(c.title, [b.text or b.kind for b in c.blocks]) for c in document.chapters]


def read(path: Path, data: str | bytes, **options: object) -> Document:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_document(path, ReadOptions(**options))  # type: ignore[arg-type]


WRAPPED = """The clerk looked up from the ledger and said that the morning coach
had gone, and that the next would not leave before the evening, where-
upon the traveller sat down beside the fire and asked for some coffee.

It was raining. Nobody else came into the room for the whole of an hour
and the clock went on.

* * *

CHAPTER II.

At six the coach came in at last, with two lamps lit and nobody inside
but an old woman who was asleep.
"""


def test_hard_wrapped_text(tmp_path: Path) -> None:
    document = read(tmp_path / "x.txt", "Chapter I\n\n" + WRAPPED)
    (one, first), (two, second) = shape(document)
    assert (one, two) == ("Chapter I", "CHAPTER II.")
    assert len(first) == 4 and first[3] == "scene" and "whereupon the traveller" in first[1]
    assert second[1].startswith("At six the coach came in at last, with two lamps lit and nobody inside but")


def test_one_paragraph_a_line(tmp_path: Path) -> None:
    document = read(tmp_path / "x.txt", b"\xef\xbb\xbfI\r\n" + b"A line of text.\r\nAnother one.\r\nII\r\nMore.\r\n")
    assert shape(document) == [("I", ["I", "A line of text.", "Another one."]), ("II", ["II", "More."])]


def test_marked_headings_and_own_expressions(tmp_path: Path) -> None:
    text = "# First\n\nOne.\n\n## Second\n\nTwo.\n"
    assert [title for title, _ in shape(read(tmp_path / "x.txt", text))] == ["First", "Second"]
    days = read(tmp_path / "y.txt", "Day 1\n\nA.\n\nDay 2\n\nB.", chapter_regex="^Day")
    assert [title for title, _ in shape(days)] == ["Day 1", "Day 2"]
    with pytest.raises(OptionError, match="regular expression"):
        read(tmp_path / "z.txt", "x", chapter_regex="(")


def test_gutenberg(tmp_path: Path) -> None:
    text = (
        "Title: My Book\nAuthor: An Author\n\n*** START OF THE PROJECT GUTENBERG EBOOK MY BOOK ***\n\nThe text.\n\n"
        "*** END OF THE PROJECT GUTENBERG EBOOK MY BOOK ***\n\nLicence.\n"
    )
    document = read(tmp_path / "x.txt", text)
    assert shape(document) == [("", ["The text."])]
    assert (document.metadata.title, document.metadata.authors) == ("My Book", ["An Author"])
    assert [d.reason for d in document.dropped] == ["Project Gutenberg's own text"] * 2


def test_encodings(tmp_path: Path) -> None:
    latin = "Caf\xe9 au lait.".encode("latin-1")
    with pytest.raises(BookError, match="byte 3 is 0xe9; name its encoding"):
        read(tmp_path / "x.txt", latin)
    assert shape(read(tmp_path / "x.txt", latin, encoding="latin-1")) == [("", ["Caf\xe9 au lait."])]
    assert shape(read(tmp_path / "y.txt", "Hé.".encode("utf-16"))) == [("", ["Hé."])]
    with pytest.raises(OptionError, match="nonsense"):
        read(tmp_path / "x.txt", latin, encoding="nonsense")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [("x.txt", b"", "empty"), ("x.txt", b"\n\n", "no text"), ("x.txt", b"a\0b", "zero bytes"),
     ("x.xyz", b"x", "must end"), ("x.html", b"<p></p>", "no text"), ("x.docx", b"PK", "Word"),
     ("x.pdf", b"%PDF-1.4 x", "PDF")],
)  # fmt: skip
def test_refusals(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    if name.endswith(".docx"):
        pytest.importorskip("docx")
    if name.endswith(".pdf"):
        pytest.importorskip("pypdf")
    with pytest.raises(BookError, match=message) as caught:
        read(tmp_path / name, data)
    assert "\n" not in str(caught.value)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(BookError, match="no file at"):
        read_document(tmp_path / "none.epub")
    with pytest.raises(BookError, match="not a file"):
        read_document(tmp_path)


def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    for data, texts in ((b"Some words.", ["Some words."]), (b"<speak>Marked up.</speak>", ["Marked up."])):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert [block.text for block in read_document("-").blocks()] == texts


def test_markdown(tmp_path: Path) -> None:
    text = (
        "---\ntitle: My Notes\nauthor: Me\n---\n# Book\n\n## One\n\nText *with* `code` and [a link](http://x.y).\n\n"
        "- a\n- b\n\n## Two\n\n> Quoted.\n\n***\n\n| h | i |\n|---|---|\n| 1 | 2 |\n"
    )
    document = read(tmp_path / "x.md", text)
    assert (document.metadata.title, document.metadata.authors) == ("My Notes", ["Me"])
    assert shape(document) == [
        ("Book: One", ["Book", "One", "Text with code and a link.", "a", "b"]),
        ("Two", ["Two", "Quoted.", "scene", "h, i", "1, 2"]),
    ]


def test_html(tmp_path: Path) -> None:
    text = "<!doctype html><title>T</title><script>no()</script><h1>One<h2>A</h2><p>x<br>y<p hidden>z<h1>Two</h1><p>w"
    document = read(tmp_path / "x.html", text)
    assert document.metadata.title == "T"
    assert [title for title, _ in shape(document)] == ["One: A", "Two"]
    assert [d.text for d in document.dropped] == ["z"]


def test_word(tmp_path: Path) -> None:
    docx = pytest.importorskip("docx")
    source = docx.Document()
    source.core_properties.title, source.core_properties.author = "Doc", "Me"
    source.add_heading("One", 1)
    source.add_paragraph("First paragraph.")
    source.add_paragraph("An item", style="List Bullet")
    source.add_heading("Two", 1)
    table = source.add_table(1, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "a", "b"
    source.add_paragraph("Last.")
    source.save(str(tmp_path / "x.docx"))
    document = read_document(tmp_path / "x.docx")
    assert (document.metadata.title, document.metadata.authors) == ("Doc", ["Me"])
    assert shape(document) == [("One", ["One", "First paragraph.", "An item"]), ("Two", ["Two", "a, b", "Last."])]


def pdf(path: Path, pages: list[list[str]]) -> None:
    canvas_module = pytest.importorskip("reportlab.pdfgen.canvas")
    canvas = canvas_module.Canvas(str(path), invariant=1)
    for lines in pages:
        for i, line in enumerate(lines):
            canvas.drawString(72, 770 - 16 * i, line)
        canvas.showPage()
    canvas.save()


def test_pdf(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    names = ["alpha", "bravo", "delta", "gamma", "kappa", "omega"]
    pages = [
        ["MY LITTLE BOOK", f"The {name} people went a long way to their village in the hills, and they",
         f"spoke of {name} things and of the wea-", f"ther for {name} weeks, all of them in a well-",
         f"Known place of {name}.",
         str(number)]
        for number, name in enumerate(names, 1)
    ]  # fmt: skip
    pdf(tmp_path / "x.pdf", pages)
    document = read_document(tmp_path / "x.pdf")
    texts = [block.text for block in document.blocks()]
    assert "weather for gamma weeks" in " ".join(texts) and "well-Known place of gamma." in " ".join(texts)
    assert [d.text for d in document.dropped if d.text.isdigit()] == ["1", "2", "3", "4", "5", "6"]
    assert sum(d.text == "MY LITTLE BOOK" for d in document.dropped) == 6 and "BOOK" not in " ".join(texts)
    assert {d.reason for d in document.dropped} == {"head, foot or number of a page"}
    pdf(tmp_path / "scan.pdf", [[], []])
    with pytest.raises(BookError, match="OCR it first"):
        read_document(tmp_path / "scan.pdf")


def test_origins_are_those_of_the_text() -> None:
    """The slow way, character by character, and the fast one agree."""
    from lxml import etree

    root = etree.fromstring("<p> One\n <b>two\u00ad</b>\u00a0 three\u200b  </p>")
    runs = [
        Run(root.text, root, "text"),
        Run(root[0].text, root[0], "text"),
        Run("put in"),
        Run(root[0].tail, root[0], "tail"),
    ]
    text, places = collapse(runs), origins(runs)
    assert len(text) == len(places) and text == "One twoput in three"
    for char, place in zip(text, places, strict=True):
        if place is not None:
            source = getattr(place.element, place.where)[place.offset]
            assert source == char or (source.isspace() and char == " ")
    assert [place for place in places if place is None].count(None) == 6 and Rules().alt is False
