"""EPUB: the fifteen oddities; for each the chapters, the text, the warnings."""

from __future__ import annotations

import struct
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from make_books import CONTAINER, epub, li, ncx, opf, page, paragraphs, write_zip
from tutortoietts.book.document import Document
from tutortoietts.book.readers.options import ReadOptions
from tutortoietts.book.readers.read import read_document
from tutortoietts.core.errors import BookError

pytest.importorskip("lxml")


def shape(document: Document) -> list[tuple[str, list[str]]]:
    """Titles, and the texts of the blocks."""
    return [(c.title, [b.text or b.kind for b in c.blocks]) for c in document.chapters]


def texts(document: Document) -> list[str]:
    return [block.text for block in document.blocks() if block.text]


def read(path: Path, **options: object) -> Document:
    return read_document(path, ReadOptions(**options))  # type: ignore[arg-type]


def test_1_nested_contents_with_anchors(tmp_path: Path) -> None:
    body = (
        '<p>Before.</p><h2 id="a">One</h2><p>First.</p><p id="b">Second <a id="mid"/>half.</p>'
        '<h3 id="c">Deep</h3><p>Third.</p>'
    )
    inner = li("Part A", "t.xhtml#a") + li("Half", "t.xhtml#mid") + li("Deep", "t.xhtml#c", li("Deeper", "t.xhtml#zzz"))
    book = epub(tmp_path / "b.epub", {"t.xhtml": body}, contents=li("One", "t.xhtml#a", inner) + li("Gone", "no.xhtml"))
    document = read(book, toc_depth=2)
    assert shape(document) == [
        ("", ["Before."]),
        ("One: Part A", ["One", "First.", "Second"]),
        ("Half", ["half."]),
        ("Deep", ["Deep", "Third."]),
    ]
    assert any("'Gone' points at nothing" in line for line in document.warnings)
    assert any("points at no place" in line for line in read(book, toc_depth=3).warnings)


def test_2_ncx_in_another_folder(tmp_path: Path) -> None:
    files = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER.format(opf="content.opf"),
        "content.opf": opf(
            [("a", "text/a.html", "application/xhtml+xml", ""), ("b", "text/b.html", "application/xhtml+xml", ""),
             ("ncx", "nav/toc.ncx", "application/x-dtbncx+xml", "")], ["b", "a"], version="2.0", toc="ncx",
        ),
        "nav/toc.ncx": ncx([("Alpha", "../text/a.html"), ("Beta", "../text/b.html")]),
        "text/a.html": page("<p>A text.</p>"),
        "text/b.html": page("<p>B text.</p>"),
    }  # fmt: skip
    assert shape(read(write_zip(tmp_path / "b.epub", files))) == [("Beta", ["B text."]), ("Alpha", ["A text."])]


def test_files_beside_the_text_come_last(tmp_path: Path) -> None:
    names = ["a", "b", "c"]
    spine = ['<itemref idref="a"/>', '<itemref idref="b" linear="no"/>', '<itemref idref="c"/>']
    files = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER.format(opf="content.opf"),
        "content.opf": opf([(name, f"{name}.xhtml", "application/xhtml+xml", "") for name in names], spine),
        **{f"{name}.xhtml": page(f"<p>{name.upper()} text.</p>" if name != "c" else "") for name in names},
    }
    document = read(write_zip(tmp_path / "b.epub", files))
    assert [text for _, texts in shape(document) for text in texts] == ["A text.", "B text."]  # c is empty
    assert any("linear=no" in line for line in document.warnings)


def test_3_no_contents(tmp_path: Path) -> None:
    headed = epub(tmp_path / "a.epub", {"a.xhtml": "<h2>I</h2><p>x.</p><h2>II</h2><p>y.</p>", "b.xhtml": "<p>z.</p>"})
    assert shape(read(headed)) == [("I", ["I", "x."]), ("II", ["II", "y.", "z."])]
    plain = epub(tmp_path / "b.epub", {"a.xhtml": "<p>x.</p>", "b.xhtml": "<p>y.</p>"})
    assert shape(read(plain)) == [("", ["x."]), ("", ["y."])]


def test_4_pictures(tmp_path: Path) -> None:
    pages = {f"p{i}.xhtml": '<div><img src="scan.png"/></div>' for i in range(3)}
    pages["t.xhtml"] = (
        '<p>Words.</p><p><img src="ornament.png" alt=""/></p><p>More.</p><img src="m.png" alt="A map of the isle"/>'
        '<svg xmlns="http://www.w3.org/2000/svg"><title>no</title><text>Drawn words</text></svg>'
    )
    book = epub(tmp_path / "b.epub", pages)
    document = read(book)
    assert any("nothing to read on 3 pages" in line for line in document.warnings)
    assert [b.text or b.kind for b in document.blocks()] == ["Words.", "scene", "More.", "Drawn words"]
    assert ("A map of the isle", "alternative text of an image (--alt speaks it)") in [
        (d.text, d.reason) for d in document.dropped
    ]
    assert "A map of the isle" in texts(read(book, alt=True))
    with pytest.raises(BookError, match="pictures"):
        read(epub(tmp_path / "c.epub", {"p.xhtml": '<img src="scan.png"/>'}))


@pytest.mark.parametrize("body", ["<p>" + "Word after word. " * 60_000 + "</p>", "<p>A line.</p>" * 30_000])
def test_5_huge_chapters(tmp_path: Path, body: str) -> None:
    book = epub(tmp_path / "b.epub", {"t.xhtml": body})
    document = read(book)
    assert sum(len(text.split()) for text in texts(document)) in (180_000, 60_000)


def test_6_entities(tmp_path: Path) -> None:
    body = "<p>caf&eacute;&nbsp;&mdash; &#233; &#x201c;x&#x201d; AT&amp;amp;T &foo; end.</p>"
    document = read(epub(tmp_path / "b.epub", {"t.xhtml": body}))
    assert texts(document) == ["café — é “x” AT&amp;T &foo; end."]
    assert any("&foo;" in line for line in document.warnings)


@pytest.mark.parametrize("soup", [False, True])
def test_7_self_closed_tags(tmp_path: Path, soup: bool) -> None:
    head = '<html xmlns="http://www.w3.org/1999/xhtml"><head><title/><script src="x.js"/></head>'
    broken = "<br>" if soup else "<br/>"
    text = f'{head}<body><p><a id="x"/>One{broken}two.</p><p/><div>Three <b>four</b></div><p>Five.</p></body></html>'
    book = epub(tmp_path / "b.epub", {"t.xhtml": ""}, files={"OEBPS/t.xhtml": text})
    document = read(book)
    assert " ".join(texts(document)) == "One two. Three four Five."
    assert any("not well-formed" in line for line in document.warnings) == soup


def test_8_other_scripts(tmp_path: Path) -> None:
    body = (
        '<p xml:lang="he" dir="rtl">שלום עולם</p><p xml:lang="ar">مرحبا</p>'
        '<p xml:lang="ja"><ruby>漢字<rp>(</rp><rt>かんじ</rt><rp>)</rp></ruby>です</p><p>English.</p>'
    )
    document = read(epub(tmp_path / "b.epub", {"t.xhtml": body}))
    assert texts(document) == ["שלום עולם", "مرحبا", "漢字です", "English."]
    assert [block.language for block in document.blocks()] == ["he", "ar", "ja", ""]
    assert [d.text for d in document.dropped] == ["(", "かんじ", ")"]


def test_9_damaged_files(tmp_path: Path) -> None:
    good = epub(tmp_path / "g.epub", {"a.xhtml": "<p>First file.</p>", "b.xhtml": paragraphs(200)})
    data = good.read_bytes()
    for name, damaged in {"cut": data[: len(data) // 2], "text": b"not a zip", "empty": b"", "end": data[:-30]}.items():
        path = tmp_path / f"{name}.epub"
        path.write_bytes(damaged)
        with pytest.raises(BookError, match=name) as caught:
            read(path)
        assert "\n" not in str(caught.value)
    at = zipfile.ZipFile(good).getinfo("OEBPS/b.xhtml").header_offset + 80
    wrong = tmp_path / "crc.epub"
    wrong.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
    document = read(wrong)
    assert texts(document) == ["First file."]
    assert any("b.xhtml" in line and "damaged" in line for line in document.warnings)


def bomb(path: Path, name: str, size: int) -> Path:
    return epub(path, {"a.xhtml": "<p>x</p>"}, files={name: b"\0" * size})


def test_10_bombs(tmp_path: Path) -> None:
    huge = bomb(tmp_path / "b.epub", "OEBPS/a.xhtml", 80 << 20)
    tracemalloc.start()
    started = time.perf_counter()
    with pytest.raises(BookError, match="zip bomb"):
        read(huge)
    assert tracemalloc.get_traced_memory()[1] < 50 << 20
    tracemalloc.stop()
    assert time.perf_counter() - started < 10
    many = tmp_path / "many.epub"
    with zipfile.ZipFile(many, "w") as archive:
        for i in range(10_001):
            archive.writestr(f"{i}", b"")
    with pytest.raises(BookError, match="more than 10000 files"):
        read(many)
    lying = bomb(tmp_path / "lie.epub", "OEBPS/a.xhtml", 11 << 20)
    data = bytearray(lying.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.rfind(mark, 0, data.rfind(b"OEBPS/a.xhtml") if mark == b"PK\x01\x02" else len(data))
        struct.pack_into("<I", data, at + offset, 10)
    (tmp_path / "lie.epub").write_bytes(data)
    with pytest.raises(BookError):
        read(tmp_path / "lie.epub")


SECRET = "the-secret-that-must-not-be-read"


@pytest.mark.parametrize("where", ["META-INF/container.xml", "OEBPS/book.opf", "OEBPS/t.xhtml"])
@pytest.mark.parametrize("system", ["file://{secret}", "http://127.0.0.1:9/x"])
def test_11_external_entities(tmp_path: Path, where: str, system: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    source = system.format(secret=secret)
    book = epub(tmp_path / "b.epub", {"t.xhtml": "<p>Hello.</p>", "u.xhtml": "<p>Safe.</p>"})
    files = {i.filename: zipfile.ZipFile(book).read(i) for i in zipfile.ZipFile(book).infolist()}
    text = files[where].decode().partition("?>\n")[2] or files[where].decode()
    text = text.partition("?>")[2] if text.startswith("<?xml") else text
    declared = f'<!DOCTYPE x [<!ENTITY e SYSTEM "{source}">]>{text.replace("Hello", "&e;").replace("A Book", "&e;")}'
    write_zip(book, {**files, where: declared})
    try:
        document = read(book)
    except BookError as error:
        assert SECRET not in str(error) and "entities" in str(error)
    else:
        assert SECRET not in repr(document)


def test_11_billion_laughs(tmp_path: Path) -> None:
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "ha"}">' for i in range(10))
    text = f"<!DOCTYPE html [{laughs}]>{page('<p>&l9;</p>').partition('?>')[2]}"
    book = epub(tmp_path / "b.epub", {"t.xhtml": "", "u.xhtml": "<p>x.</p>"}, files={"OEBPS/t.xhtml": text})
    with pytest.raises(BookError, match="entities"):
        read(book)


def test_12_duplicates(tmp_path: Path) -> None:
    items = [
        ("a", "a.xhtml", "application/xhtml+xml", ""), ("a", "b.xhtml", "application/xhtml+xml", ""),
        ("m", "missing.xhtml", "application/xhtml+xml", ""),
    ]  # fmt: skip
    files = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER.format(opf="book.opf"),
        "book.opf": opf(items, ["a", "a", "unknown", "m"]),
        "a.xhtml": page('<p id="x">One.</p><p id="x">Two.</p>'),
        "b.xhtml": page("<p>Never.</p>"),
    }
    document = read(write_zip(tmp_path / "b.epub", files))
    assert texts(document) == ["One.", "Two."]
    for part in ("two items have the id 'a'", "names 'a' twice", "unknown item 'unknown'", "missing.xhtml is missing"):
        assert any(part in line for line in document.warnings), part


@pytest.mark.parametrize(
    ("name", "href"),
    [
        ("OEBPS/a b.xhtml", "a%20b.xhtml"),
        ("OEBPS/a+b.xhtml", "a+b.xhtml"),
        ("OEBPS/u\u0308.xhtml", "%C3%BC.xhtml"),
        ("OEBPS/\u00fc.xhtml", "u\u0308.xhtml"),
        ("OEBPS/Text/A.xhtml", "text\\a.xhtml"),
        ("Text/a.xhtml", "../Text/a.xhtml"),
        ("OEBPS/a.xhtml", "./x/../a.xhtml"),
        ("OEBPS/a.xhtml", "/OEBPS/a.xhtml"),
    ],
)
def test_13_hrefs(tmp_path: Path, name: str, href: str) -> None:
    files = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER.format(opf="OEBPS/book.opf"),
        "OEBPS/book.opf": opf([("a", href, "application/xhtml+xml", "")], ["a"]),
        name: page("<p>Found.</p>"),
    }
    assert texts(read(write_zip(tmp_path / "b.epub", files))) == ["Found."]


@pytest.mark.parametrize("href", ["../../a.xhtml", "http://example.com/a.xhtml", "file:///etc/passwd"])
def test_13_hrefs_out_of_the_book(tmp_path: Path, href: str) -> None:
    files = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER.format(opf="OEBPS/book.opf"),
        "OEBPS/book.opf": opf(
            [("a", href, "application/xhtml+xml", ""), ("b", "b.xhtml", "application/xhtml+xml", "")], ["a", "b"]
        ),
        "OEBPS/b.xhtml": page("<p>Found.</p>"),
    }
    document = read(write_zip(tmp_path / "b.epub", files))
    assert texts(document) == ["Found."]
    assert any("points out of the book" in line for line in document.warnings)


NOTED = (
    '<p>One<a epub:type="noteref" href="#n1">1</a> two<sup><a href="#n2">2</a></sup> three<a href="#n3">*</a> '
    'four<a href="end.xhtml#n4">[4]</a> a <a href="#n1">link</a> H<sub>2</sub>O.</p>'
    '<p><span epub:type="pagebreak" id="pg7">7</span><span class="dropcap">O</span>nce <small>UPON</small> a time.</p>'
    '<p><b>W</b> HEN it rained.</p><p><img src="t.png" alt="T"/>he end.</p>'
    '<aside epub:type="footnote" id="n1"><p>Note one.</p></aside>'
    '<p id="n2"><a href="#r2">2</a> Note two.</p><p><a id="n3">*</a> Note three.</p>'
)


def test_14_notes_and_initials(tmp_path: Path) -> None:
    pages = {"t.xhtml": NOTED, "end.xhtml": '<h2>Notes</h2><p id="n4">[4] Note four.</p><p>Kept.</p>'}
    book = epub(tmp_path / "b.epub", pages)
    lines = ["One two three four a link H2O.", "Once UPON a time.", "WHEN it rained.", "The end."]
    document = read(book)
    assert texts(document) == [*lines, "Notes", "Kept."]
    reasons = {d.reason.split(" (")[0] for d in document.dropped}
    assert reasons == {"mark of a note", "note", "page number", "link back from a note"}
    inline = texts(read(book, notes="inline"))
    assert inline[:2] == [lines[0], "Note one."] and inline[4] == "[4] Note four."
    ends = texts(read(book, notes="end"))
    assert ends[4:8] == ["Note one.", "Note two.", "Note three.", "[4] Note four."]


def with_encryption(path: Path, method: str) -> Path:
    text = (
        '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><e:EncryptedData '
        f'xmlns:e="http://www.w3.org/2001/04/xmlenc#"><e:EncryptionMethod Algorithm="{method}"/>'
        '<e:CipherData><e:CipherReference URI="f.otf"/></e:CipherData></e:EncryptedData></encryption>'
    )
    return epub(path, {"t.xhtml": "<p>Text.</p>"}, files={"META-INF/encryption.xml": text})


def test_15_protection(tmp_path: Path) -> None:
    assert texts(read(with_encryption(tmp_path / "font.epub", "http://www.idpf.org/2008/embedding"))) == ["Text."]
    for path in (
        with_encryption(tmp_path / "adept.epub", "http://www.w3.org/2001/04/xmlenc#aes128-cbc"),
        epub(tmp_path / "rights.epub", {"t.xhtml": "<p>x</p>"}, files={"META-INF/rights.xml": "<x/>"}),
    ):
        with pytest.raises(BookError, match="DRM"):
            read(path)


def test_15_odd_packages(tmp_path: Path) -> None:
    book = epub(tmp_path / "b.epub", {"t.xhtml": "<p>Text.</p>"})
    files = {i.filename: zipfile.ZipFile(book).read(i) for i in zipfile.ZipFile(book).infolist()}
    two = (
        files["META-INF/container.xml"]
        .decode()
        .replace("</rootfiles>", '<rootfile full-path="x.opf" media-type="application/oebps-package+xml"/></rootfiles>')
    )
    packed = write_zip(
        tmp_path / "c.epub", {**files, "META-INF/container.xml": two, "x.opf": files["OEBPS/book.opf"]}, stored=()
    )
    document = read(packed)
    assert texts(document) == ["Text."]
    assert any("2 renditions" in line for line in document.warnings)
    assert any("mimetype is compressed" in line for line in document.warnings)
    del files["mimetype"]
    assert any("mimetype is missing" in line for line in read(write_zip(tmp_path / "d.epub", files)).warnings)


def test_front_matter_is_listed(tmp_path: Path) -> None:
    pages = {
        "c.xhtml": '<section epub:type="copyright-page"><p>Copyright me.</p></section>',
        "t.xhtml": "<h1>One</h1><p>Body text of the book, long enough.</p>" + paragraphs(9) + "",
        "i.xhtml": "<h1>Index</h1><p>aardvark 3</p>",
    }
    contents = li("Copyright", "c.xhtml") + li("One", "t.xhtml") + li("Index", "i.xhtml")
    book = epub(tmp_path / "b.epub", pages, contents=contents)
    document = read(book)
    assert [c.title for c in document.chapters] == ["One"]
    assert {d.text for d in document.dropped} == {"Copyright me.", "Index", "aardvark 3"}
    assert [c.title for c in read(book, front="all").chapters] == ["Copyright", "One", "Index"]


def test_a_large_chapter_is_no_front_matter(tmp_path: Path) -> None:
    pages = {"a.xhtml": "<h1>Cover</h1>" + paragraphs(20), "b.xhtml": "<h1>Two</h1><p>x.</p>"}
    document = read(epub(tmp_path / "b.epub", pages, contents=li("Cover", "a.xhtml") + li("Two", "b.xhtml")))
    assert [c.title for c in document.chapters] == ["Cover", "Two"]
    assert any("is read" in line for line in document.warnings)


def test_metadata(tmp_path: Path) -> None:
    metadata = (
        '<dc:title id="s">Sub</dc:title><dc:title id="m">Main’s “T”</dc:title><meta refines="#m" property="title-type">'
        'main</meta><dc:creator id="c1">Ann Author</dc:creator><dc:creator id="c2">Ill U</dc:creator>'
        '<meta refines="#c2" property="role">ill</meta>'
        "<dc:description>&lt;p&gt;Nice &lt;b&gt;book&lt;/b&gt;&lt;/p&gt;</dc:description>"
        '<dc:identifier>urn:isbn:978-3-16-148410-0</dc:identifier><meta name="calibre:series" content="Set"/>'
    )
    found = read(epub(tmp_path / "b.epub", {"t.xhtml": "<p>x.</p>"}, metadata=metadata)).metadata
    assert (found.title, found.authors, found.description) == ("Main’s “T”", ["Ann Author"], "Nice book")
    assert (found.isbn, found.series) == ("9783161484100", "Set")


def test_blocks_of_every_kind(tmp_path: Path) -> None:
    body = (
        "<h1>Head</h1><blockquote><p>Said.</p></blockquote><ul><li>One<ul><li>Two</li></ul></li><li><p>Three</p></li>"
        "</ul><table><tr><td>a</td><td>b</td></tr></table><div class='poem'><p>Line one<br/>line two</p></div>"
        "<hr/><p>* * *</p><pre>code x</pre><p>Roses are red<br/>violets are blue<br/>and so on</p>"
    )
    blocks = list(read(epub(tmp_path / "b.epub", {"t.xhtml": body})).blocks())
    assert [(b.kind, b.text) for b in blocks] == [
        ("heading", "Head"), ("quote", "Said."), ("item", "One"), ("item", "Two"), ("item", "Three"), ("row", "a, b"),
        ("verse", "Line one"), ("verse", "line two"), ("scene", ""), ("scene", ""), ("code", "code x"),
        ("verse", "Roses are red"), ("verse", "violets are blue"), ("verse", "and so on"),
    ]  # fmt: skip


def test_every_character_is_read_or_listed(tmp_path: Path) -> None:
    book = epub(
        tmp_path / "b.epub", {"t.xhtml": NOTED + "<p hidden=''>Secret.</p>", "end.xhtml": '<p id="n4">[4] N.</p>'}
    )
    document = read(book)
    archive = zipfile.ZipFile(book)
    pages = [archive.read(f"OEBPS/{name}").decode() for name in ("t.xhtml", "end.xhtml")]
    whole = [text.partition("<body>")[2].partition("</body>")[0] for text in pages]
    import lxml.html

    source = "".join(lxml.html.fromstring(f"<div>{body}</div>").text_content() for body in whole)
    read_text = "".join([*(b.text for b in document.blocks()), *(d.text for d in document.dropped)])
    count = {c: source.count(c) for c in set(source) if not c.isspace()}
    got = {c: read_text.count(c) for c in set(read_text) if not c.isspace()}
    assert got.pop("T") == 1  # the initial that is a picture
    assert got == count
