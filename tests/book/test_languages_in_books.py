"""Languages within a book: text marked with another language of the model's is spoken in it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fake_speaker import FakeSpeaker, makes
from make_books import epub, li
from tutortoietts.book.book import Book
from tutortoietts.book.clip import speak_ssml
from tutortoietts.book.languages import Languages
from tutortoietts.book.options import BookOptions
from tutortoietts.book.plan import Plan
from tutortoietts.text.natural import normalize

pytest.importorskip("lxml")

TONGUES = ("en", "en-US", "en-GB", "fr", "fr-FR", "zh", "zh-cn")
METADATA = "<dc:title>Two tongues</dc:title><dc:language>en-US</dc:language>"
PAGE = (
    "<h1>One</h1><p>Here are 21 plain words.</p>"
    '<div xml:lang="fr"><p>Il y a 21 pommes sur la table.</p></div>'
    '<p><i lang="fr-CA">Et encore une phrase, toute seule.</i></p>'
    '<p>He said <i xml:lang="fr">déjà vu</i> and left the room.</p>'
    '<p xml:lang="en-GB">In the book’s own language.</p>'
    '<p xml:lang="la">Gallia est omnis divisa in partes tres.</p><p xml:lang="la">Quarum unam incolunt Belgae.</p>'
)


def polyglot(**fields: object) -> FakeSpeaker:
    return replace(FakeSpeaker(), languages=TONGUES, **fields)  # type: ignore[arg-type]


def two_tongues(folder: Path, page: str = PAGE) -> Path:
    return epub(folder / "b.epub", {"a.xhtml": page}, contents=li("One", "a.xhtml"), metadata=METADATA)


def spoken_in(plan: Plan) -> dict[str, str]:
    return {segment.shown: segment.language for segment in plan.segments}


def test_paragraphs_are_spoken_in_their_language(tmp_path: Path) -> None:
    book, speaker = Book.open(two_tongues(tmp_path)), polyglot()
    assert not [event for event in makes(book, speaker) if type(event).__name__ == "Failed"]
    asked = dict(speaker.asked)
    assert asked[normalize("Il y a 21 pommes sur la table.", "fr").text] == "fr"
    plan = book.store.plan()
    foreign = {shown for shown, language in spoken_in(plan).items() if language == "fr"}
    assert foreign == {"Il y a 21 pommes sur la table.", "Et encore une phrase, toute seule."}
    assert {language for _, language in speaker.asked} == {"", "fr"}
    assert asked["Here are twenty-one plain words."] == ""
    (warning,) = [line for line in plan.warnings if "'la'" in line]
    assert "spoken in 'en'" in warning and "fr-FR" in warning


def test_the_words_of_a_foreign_paragraph_keep_their_times(tmp_path: Path) -> None:
    book = Book.open(two_tongues(tmp_path))
    makes(book, polyglot())
    book.export(tmp_path / "b.json")
    (chapter,) = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))["chapters"]
    (french,) = [own for own in chapter["segments"] if own["text"].startswith("Il y a")]
    assert all(word["confidence"] > 0 for word in french["words"])


def test_a_model_of_one_language_keeps_it_with_a_warning_a_language(tmp_path: Path) -> None:
    plan = Book.open(two_tongues(tmp_path)).preview(FakeSpeaker())
    assert set(spoken_in(plan).values()) == {""}
    assert len([line for line in plan.warnings if line.startswith("text marked as")]) == 3  # fr, fr-ca, la


def test_identity_holds_the_language_only_where_it_differs(tmp_path: Path) -> None:
    path = two_tongues(tmp_path)
    one, many = (Book.open(path).preview(speaker).segments for speaker in (FakeSpeaker(), polyglot()))
    same = [a == b for a, b in zip(one, many, strict=True)]
    assert same == [segment.language == "" for segment in many] and not all(same)
    text = "<h1>One</h1><p>Oui.</p>"
    marked = text.replace("<p>", '<p xml:lang="fr">')
    plain, french = (Book.open(two_tongues(tmp_path, page)).preview(polyglot()).segments[-1] for page in (text, marked))
    assert plain.spoken == french.spoken and plain.seed != french.seed and plain.key != french.key


def test_a_book_made_before_goes_on_unchanged(tmp_path: Path) -> None:
    book = Book.open(two_tongues(tmp_path, "<p>One plain line of text.</p><p>Another plain line of text.</p>"))
    makes(book)
    path = book.store.folder / "plan.jsonl"
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    old = [{name: value for name, value in json.loads(line).items() if name != "language"} for line in lines]
    path.write_text("\n".join([head, *map(json.dumps, old)]) + "\n", encoding="utf-8")
    assert len(book.store.plan().segments) == 2
    again = polyglot()
    makes(Book.open(book.source), again)
    assert again.calls == []


def test_ssml_lang_cuts_only_where_another_language_is_spoken() -> None:
    text = '<speak xml:lang="en">She said <lang xml:lang="fr-FR">il fait beau, 21 fois</lang> to me. And left.</speak>'
    speaker = polyglot()
    clip = speak_ssml(text, speaker)
    assert [language for _, language in speaker.asked] == ["", "fr-FR", ""]
    assert "vingt" in speaker.asked[1][0]
    assert clip.text == "She said il fait beau, 21 fois to me. And left." and clip.segments == 3
    assert speak_ssml(text, FakeSpeaker()).segments == 1
    speaker = polyglot()
    text = '<speak><p xml:lang="fr">Bonjour tout le monde.</p><p>Hello to <s xml:lang="tlh">all</s></p></speak>'
    speak_ssml(text, speaker)
    assert [language for _, language in speaker.asked] == ["fr", "", ""]


def test_tags_of_the_book_itself_and_unknown_ones() -> None:
    languages = Languages(polyglot(language="fr"), "en-US")  # --language fr for a book that says it is in English
    assert [languages.of(tag) for tag in ("en", "en-GB", "fr-CA", "", "und")] == [""] * 5
    assert [languages.of(tag) for tag in ("zh-TW", "zh_CN", "ZH")] == ["zh", "zh-cn", "zh"]
    assert languages.warnings == []
    assert languages.of("xx") == languages.of("xx") == "" and len(languages.warnings) == 1


def test_the_option_stands_for_what_the_document_says(tmp_path: Path) -> None:
    book = Book.open(two_tongues(tmp_path), options=BookOptions(language="fr"))
    assert set(spoken_in(book.preview(polyglot(language="fr"))).values()) == {""}
