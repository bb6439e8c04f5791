"""SSML: what is honoured, what is warned of, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import soundfile

from fake_speaker import RATE, FakeSpeaker
from tutortoietts.book.book import Book
from tutortoietts.book.clip import speak_ssml
from tutortoietts.book.options import BookOptions
from tutortoietts.book.plan import Segment
from tutortoietts.book.readers.ssml import parse_ssml
from tutortoietts.core.errors import BookError, VoiceError

pytest.importorskip("lxml")


def segments(tmp_path: Path, inner: str) -> list[Segment]:
    path = tmp_path / "x.ssml"
    path.write_text(f"<speak>{inner}</speak>", encoding="utf-8")
    book = Book.open(path)
    list(book.make(FakeSpeaker()))
    return book.store.plan().segments


def test_sentences_paragraphs_and_breaks(tmp_path: Path) -> None:
    found = segments(
        tmp_path,
        '<p><s>One is here.</s> <s>Two is here.</s></p><p>Three <break time="800ms"/> four<break/>.</p>'
        '<p>Five.</p><break time="2s"/><break strength="strong"/>Six.',
    )
    assert [(s.shown, s.pause) for s in found[:4]] == [
        ("One is here.", 0.35), ("Two is here.", 0.7), ("Three", 0.8), ("four", 0.5),
    ]  # fmt: skip
    assert found[-2].pause == 3.0 and found[-1].shown == "Six."


def test_voices_rates_and_volumes(tmp_path: Path) -> None:
    found = segments(
        tmp_path,
        'Plain words. <voice name="anna">Anna <prosody rate="80%" volume="-6dB">slowly <prosody rate="fast">and '
        "fast</prosody></prosody> again.</voice> Plain.",
    )
    assert [(s.shown, s.voice, s.rate, s.volume) for s in found] == [
        ("Plain words.", "", 1.0, 0.0), ("Anna", "anna", 1.0, 0.0), ("slowly", "anna", 0.8, -6.0),
        ("and fast", "anna", 1.0, -6.0), ("again.", "anna", 1.0, 0.0), ("Plain.", "", 1.0, 0.0),
    ]  # fmt: skip
    with pytest.raises(VoiceError, match="nobody"):
        segments(tmp_path, '<voice name="nobody">Hello there.</voice>')


def test_aliases_and_readings(tmp_path: Path) -> None:
    (found,) = segments(
        tmp_path,
        'The <sub alias="World Wide Web Consortium">W3C</sub> has <say-as interpret-as="characters">A1</say-as>, '
        '<say-as interpret-as="digits">42</say-as>, <say-as interpret-as="ordinal">3</say-as>.',
    )
    assert found.shown == "The W3C has A1, 42, 3."
    assert found.spoken == "The World Wide Web Consortium has A, one, four two, third."
    (found,) = segments(
        tmp_path,
        'On <say-as interpret-as="date" format="dmy">4.3.1984</say-as> he called '
        '<say-as interpret-as="telephone">555-12</say-as>.',
    )
    assert found.spoken == "On March fourth, nineteen eighty-four he called five five five, one two."


def test_marks(tmp_path: Path) -> None:
    found = segments(tmp_path, 'Before it. <mark name="here"/>After it, there is more.')
    assert [(s.shown, s.mark) for s in found] == [("Before it.", ""), ("After it, there is more.", "here")]


def test_what_cannot_be_honoured_keeps_its_text() -> None:
    document = parse_ssml(
        b'<speak>A <emphasis>big</emphasis> <phoneme ph="!">tomato</phoneme> <foo>and</foo> '
        b'<prosody pitch="+10%">more</prosody> <say-as interpret-as="shoe">x</say-as>.</speak>'
    )
    assert " ".join(block.text for block in document.blocks()) == "A big tomato and more x."
    assert len(document.warnings) == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<speak>a <break time='11s'/></speak>", "line 1: break of '11s'"),
        ("<speak>\n<prosody rate='500%'>x</prosody></speak>", "line 2: prosody rate '500%'"),
        ("<speak><sub>x</sub></speak>", "needs an alias"),
        ("<speak>a\n<p>b</speak>", "line 2, column"),
        ("<speak></speak>", "no text"),
        ("<p>x</p>", "must begin with <speak>"),
        ("<!DOCTYPE speak [<!ENTITY x 'y'>]><speak>&x;</speak>", "entities"),
    ],
)
def test_broken_markup(text: str, message: str) -> None:
    with pytest.raises(BookError, match=message):
        parse_ssml(text.encode())


def test_phonemes_are_respelt() -> None:
    document = parse_ssml(
        """<speak>You say <phoneme ph="t\u0259\u02c8me\u026ato\u028a">tomato</phoneme>,
        I say <phoneme alphabet="x-sampa" ph='t@"mA:toU'>tomato</phoneme>.</speak>""".encode()
    )
    (block,) = document.blocks()
    assert [alias.spoken for alias in block.aliases] == ["tuhmaytoh", "tuhmahtoh"]
    assert len(document.warnings) == 1 and "nearest English spelling" in document.warnings[0]


def test_sounds_come_from_one_folder_only(tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    rate = 16000
    soundfile.write(tmp_path / "sounds" / "bell.wav", 0.2 * numpy.sin(numpy.arange(rate) / 5), rate)
    soundfile.write(tmp_path / "outside.wav", numpy.ones(100) / 9, rate)
    path = tmp_path / "x.ssml"
    path.write_text('<speak>Here it is: <audio src="bell.wav"/> That was it.</speak>')
    options = BookOptions(audio_dir=str(tmp_path / "sounds"))
    book = Book.open(path, options=options)
    events = list(book.make(FakeSpeaker()))
    plan = book.store.plan()
    assert [segment.shown for segment in plan.segments] == ["Here it is:", "", "That was it."]
    take = book.store.take(plan.segments[1])
    assert take is not None and take.info["samples"] == pytest.approx(RATE, abs=2) and len(events) == 4
    soundfile.write(tmp_path / "sounds" / "bell.wav", 0.2 * numpy.sin(numpy.arange(rate) / 9), rate)
    assert Book.open(path, options=options).preview(FakeSpeaker()).segments[1].key != plan.segments[1].key
    for source in ("../outside.wav", "http://example.org/x.wav", "gone.wav", str(tmp_path / "outside.wav")):
        with pytest.raises(BookError, match="line 1: audio"):
            parse_ssml(f'<speak>A <audio src="{source}"/> b.</speak>'.encode(), options=options.reading())
        kept = parse_ssml(f'<speak>A <audio src="{source}">ding</audio> b.</speak>'.encode(), options=options.reading())
        assert " ".join(block.text for block in kept.blocks()) == "A ding b." and len(kept.warnings) == 1
    with pytest.raises(BookError, match="--audio-dir"):
        parse_ssml(b'<speak>A <audio src="bell.wav"/> b.</speak>')


def test_a_clip() -> None:
    clip = speak_ssml(
        '<speak>One is here. <mark name="here"/>Two <prosody rate="50%">is slow</prosody>, in three.'
        '<break time="2s"/><voice name="anna">Four ends <sub alias="that">it</sub>.</voice></speak>',
        FakeSpeaker(),
    )
    assert clip.text == "One is here. Two is slow , in three. Four ends it."
    assert [clip.text[slice(*word.chars)] for word in clip.words] == clip.text.split()
    starts = {word.word: word.start for word in clip.words}
    assert starts["One"] < 0.3 and starts["Four"] - starts["three."] > 2
    assert clip.marks["here"] == pytest.approx(starts["Two"], abs=0.1)
    assert starts["slow"] - starts["is"] > 0 and clip.words[-1].end <= clip.seconds
    assert clip.faults == () and clip.sample_rate == RATE
    bad = speak_ssml("<speak>This mumble is otherwise.</speak>", FakeSpeaker(), BookOptions(retries=0))
    assert "other words" in bad.faults[0]
    with pytest.raises(BookError, match="could not be spoken: RuntimeError: the engine broke"):
        speak_ssml("<speak>Things explode here.</speak>", FakeSpeaker())
    with pytest.raises(BookError, match="line 1, column"):
        speak_ssml("<speak>One <p> two.</speak>", FakeSpeaker())
