"""Sentences, segments, pauses, lexicons, names, subtitles: pure functions on text."""

from __future__ import annotations

import random
import re
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tutortoietts.book.casting import Cast, Rule
from tutortoietts.book.document import Block
from tutortoietts.book.export.subtitles import Cue, Line, cues, to_lrc, to_srt, to_vtt
from tutortoietts.book.export.words import ShownWord
from tutortoietts.book.lexicon import Lexicon, read_lexicon, read_pls
from tutortoietts.book.names import file_name
from tutortoietts.book.pauses import Pauses, pauses_of
from tutortoietts.book.segments import cut_block, pauses_after
from tutortoietts.book.sentences import clauses, quotations, sentences
from tutortoietts.book.spoken import Speech
from tutortoietts.core.errors import OptionError
from tutortoietts.text.traced import Traced


@pytest.mark.parametrize(
    "text",
    [
        "One is here.|Two is here.|Three!",
        "Mr. J. R. R. Tolkien wrote it.|Prof. Lee read it.",
        "“Who is there?” said the old man.|“Only me.”|He went.",
        "It costs 3.50 or 6 ft. of rope.|Then 10 a.m. came.",
        "Wait... what?|I see…|Yes.",
        "“Go!” “No.”|It was I.|He left.",
        "See p. 5 and vol. 2 of it.|Done.",
        "No end",
    ],
)
def test_sentences(text: str) -> None:
    whole = text.replace("|", " ")
    found = [whole[a:b] for a, b in sentences(whole)]
    if text.startswith("“Go!”"):
        assert found[-2:] == ["It was I.", "He left."]
    else:
        assert found == text.split("|")


def test_nothing_is_lost_between_sentences_and_clauses() -> None:
    choice = random.Random(3)
    words = ["one", "Mr.", "“two,”", "three;", "—", "four.", "5.5", "Six!”", "J.", "(seven)", "...", "?"]
    for _ in range(300):
        text = " ".join(choice.choices(words, k=choice.randint(1, 40)))
        for cut in (sentences(text), clauses(text, 0, len(text))):
            assert re.sub(r"\s", "", "".join(text[a:b] for a, b in cut)) == re.sub(r"\s", "", text)


def test_quotations() -> None:
    def parts(text: str) -> list[tuple[str, bool]]:
        return [(text[a:b].strip(), quoted) for a, b, quoted in quotations(text)]

    assert parts("“A,” he said, “b.”") == [("“A,”", True), ("he said,", False), ("“b.”", True)]
    assert parts("It’s the dogs’ bowl, ‘said’ she.") == [
        ("It’s the dogs’ bowl,", False),
        ("‘said’", True),
        ("she.", False),
    ]
    assert parts("“Still open") == [("“Still open", True)]
    assert parts("«Oui», dit-il. „Ja“, sagte er.") == [
        ("«Oui»", True), (", dit-il.", False), ("„Ja“", True), (", sagte er.", False),
    ]  # fmt: skip
    assert parts('A 6" pipe and "this" word.')[-2:] == [('"this"', True), ("word.", False)]


def block(text: str, kind: str = "para") -> Block:
    return Block(kind=kind, text=text)


@pytest.mark.parametrize("desired", [20, 80, 200])
def test_pieces_hold_everything_within_the_limit(desired: int) -> None:
    choice = random.Random(desired)
    words = ["word", "another,", "“said", "so.”", "long" * 30, "end.", "I", "—", "x;"]
    cast = Cast(voices={"narrator": "", "dialogue": "ben"})
    for _ in range(200):
        text = "Word " + " ".join(choice.choices(words, k=choice.randint(1, 60)))
        pieces = cut_block(block(text), cast, 1, desired)
        assert re.sub(r"\s", "", "".join(text[p.start : p.end] for p in pieces)) == re.sub(r"\s", "", text)
        assert all(p.end - p.start <= 1.5 * desired + 12 for p in pieces)


def test_short_sentences_are_joined() -> None:
    text = "No. It was not so, and everybody knew it. Yes!"
    assert [text[p.start : p.end] for p in cut_block(block(text), Cast(), 1, 40)] == [text]


def test_unsayable_blocks_have_no_pieces() -> None:
    assert cut_block(block("… — !"), Cast(), 1, 80) == []


def test_rules_choose_speakers() -> None:
    cast = Cast(voices={"narrator": "a", "holmes": "b"}, rules=(Rule(speaker="holmes", regex="^I ", chapter=2),))
    assert cast.spans("I say so.", "para", 2) == [(0, 9, "holmes")]
    assert cast.spans("I say so.", "para", 1) == [(0, 9, "narrator")]


def test_pauses() -> None:
    pauses = Pauses()
    blocks = [
        block("One.", "heading"), block("Two is this. And three is that."), block("“Four.”"), block("“Five.”"),
        block("", "scene"), block("Line one", "verse"), block("Line two", "verse"), block("Six.", "item"),
        block("Seven.", "item"),
    ]  # fmt: skip
    cut = [cut_block(b, Cast(), 1, 12) if b.text else [] for b in blocks]
    found = pauses_after(blocks, cut, pauses)
    assert found[0] == [pauses.heading]
    assert found[1] == [pauses.sentence, pauses.paragraph]
    assert found[2:4] == [[pauses.dialogue], [pauses.scene]] and found[4] == []
    assert found[5:] == [[pauses.verse], [pauses.paragraph], [pauses.item], [pauses.tail]]


def test_pause_files(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text('{"sentence": 0.5}')
    assert pauses_of(str(path)).sentence == 0.5
    for wrong in ('{"sentence": 50}', '{"silence": 1}', "[1]", "x"):
        path.write_text(wrong)
        with pytest.raises(OptionError):
            pauses_of(str(path))


def lexicon(path: Path, text: str) -> Lexicon:
    path.write_text(text, encoding="utf-8")
    return Lexicon(read_lexicon(path))


def test_lexicon(tmp_path: Path) -> None:
    own = lexicon(
        tmp_path / "l.csv",
        '# names\nCholmondeley,Chumley\n"New York","Nyork"\nYork,Yark\nhermione,her my oh knee,i\nUSA,U S A,,lang=en\n'
        "colou?r(s?),tint,re\nfoot,feet,p\n",
    )
    said = own.apply(Traced("Cholmondeley of New York saw York, HERMIONE, colours, barefooted. cholmondeley"))
    assert said.text == "Chumley of Nyork saw Yark, her my oh knee, tint, barefeeted. cholmondeley"
    assert said.source(0, 7) == (0, 12)
    assert (
        own.apply(Traced("USA"), {"lang": "en"}).text == "U S A"
        and own.apply(Traced("USA"), {"lang": "de"}).text == "USA"
    )


@pytest.mark.parametrize("line", ["only", ",x", "a,b,zz", "(,b,re", "(a+)+$,b,re", "(?P<x>a),b,re", "a,b,,house=3"])
def test_wrong_lexicons(tmp_path: Path, line: str) -> None:
    with pytest.raises(OptionError, match="line 2"):
        lexicon(tmp_path / "l.csv", f"good,fine\n{line}\n")


def test_ten_thousand_lines(tmp_path: Path) -> None:
    own = lexicon(tmp_path / "l.csv", "".join(f"name{i},spoken{i}\n" for i in range(10_000)))
    text = Traced("name9999 met name1 and name12345.")
    assert own.apply(text).text == "spoken9999 met spoken1 and name12345."
    started = time.perf_counter()
    own.apply(text)
    assert time.perf_counter() - started < 1


def test_pls() -> None:
    pytest.importorskip("lxml")
    data = (
        b'<lexicon xmlns="http://www.w3.org/2005/01/pronunciation-lexicon"><lexeme><grapheme>W3C</grapheme><grapheme>WWWC'
        b"</grapheme><alias>Web Consortium</alias></lexeme><lexeme><grapheme>x</grapheme><phoneme>!</phoneme></lexeme>"
        b"<lexeme><grapheme>tomato</grapheme><phoneme alphabet='x-sampa'>t@meItoU</phoneme></lexeme></lexicon>"
    )
    entries, warnings = read_pls(data, "x.pls")
    assert [(e.written, e.spoken) for e in entries] == [
        ("W3C", "Web Consortium"), ("WWWC", "Web Consortium"), ("tomato", "tuhmaytoh"),
    ]  # fmt: skip
    assert len(warnings) == 2 and "x stay as written" in warnings[0] and "tuhmaytoh" in warnings[1]


def test_spoken_forms_know_their_source() -> None:
    shown = "In 1984 Mr. Lee paid $5 at http://www.example.com/a?b=c [ISBN 978-3-16-148410-0]."
    said = Speech().of(shown)
    assert "nineteen eighty-four" in said.text and "example dot com" in said.text
    assert "slash" not in said.text and "ISBN" not in said.text
    words = {word: shown[a:b] for word, a, b in said.words()}
    assert words["five"] == "$5" and words["eighty-four"] == "1984" and words["Lee"] == "Lee"
    assert "slash" in Speech(urls="full").of(shown).text and "example" not in Speech(urls="skip").of(shown).text


def test_file_names() -> None:
    taken: set[str] = set()
    names = [
        file_name(title, taken) for title in ["A/B: “C”?", "a b “c”", "", "con", "x" * 300, "word " * 60, ".. ", "é\0"]
    ]
    assert names[0] == "A B “C”" and names[1] == "a b “c” (2)" and names[2] == "Untitled" and names[3] == "con_"
    assert all(0 < len(name) <= 84 for name in names) and len(set(names)) == len(names)
    assert names[5] == " ".join(["word"] * 16)


def spoken_line(text: str, start: float = 0.0, pace: float = 0.3, speaker: str = "") -> Line:
    words, at = [], 0
    for i, word in enumerate(text.split()):
        words.append(ShownWord(word, start + i * pace, start + (i + 0.9) * pace, (at, at + len(word)), 0.9))
        at += len(word) + 1
    return Line(words=words, speaker=speaker)


def test_cues() -> None:
    text = "It was the best of times, it was the worst of times. " * 4
    found = cues([spoken_line(text), spoken_line("Short one.", 20)])
    assert " ".join(cue.text.replace("\n", " ") for cue in found) == f"{text}Short one."
    for cue in found:
        lines = cue.text.split("\n")
        assert len(lines) <= 2 and max(map(len, lines)) <= 42 and cue.end - cue.start <= 7
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert found[0].text.endswith("times.") or found[0].text.endswith("times,")


def test_subtitle_files() -> None:
    found = cues([spoken_line("One & <two>.", 3599.5), spoken_line("Three.", 400_000.25, speaker="Ann")])
    srt = pytest.importorskip("srt")
    parsed = list(srt.parse(to_srt(found)))
    assert [cue.content for cue in parsed] == ["One & <two>.", "Three."]
    assert parsed[1].start.total_seconds() == 400_000.25 and "111:06:40,250" in to_srt(found)
    vtt = to_vtt(found)
    assert "&amp; <01:00:00.100>&lt;two&gt;." in vtt and "<v Ann>Three." in vtt
    webvtt = pytest.importorskip("webvtt")
    assert [cue.start for cue in webvtt.from_string(vtt)] == ["00:59:59.500", "111:06:40.250"]
    assert to_lrc([spoken_line("One two.", 6000)], {"ti": "T"}) == "[ti:T]\n[100:00.00]<100:00.00>One <100:00.30>two.\n"
    assert Cue(start=0, end=1, words=[]).text == ""
