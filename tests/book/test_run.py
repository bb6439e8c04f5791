"""Plan, folder, run, resume, redo: nothing is lost, nothing is spoken twice, equal bytes whatever happened."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from fake_speaker import FakeFactory, FakeSpeaker, kinds, make_epub, makes, speak_book, takes
from make_books import epub, paragraphs
from tutortoietts.book.audit import check_takes, coverage, select
from tutortoietts.book.book import Book
from tutortoietts.book.executors import InProcess, Processes
from tutortoietts.book.options import BookOptions
from tutortoietts.book.plan import Edit
from tutortoietts.book.run import Failed, Flagged, Kept, Made, Planned
from tutortoietts.cache.phrases import PhraseCache
from tutortoietts.core.errors import BookError, OptionError, VoiceError

pytest.importorskip("lxml")


def test_make_and_resume(tmp_path: Path) -> None:
    source = make_epub(tmp_path)
    events = makes(Book.open(source))
    assert kinds(events) == {"Made": 32}
    again = FakeSpeaker()
    assert kinds(makes(Book.open(source), again)) == {} and again.calls == []
    assert Book.of_folder(tmp_path / "book.tts").metadata.title == "A Book"


def test_plan_speaks_nothing_and_writes_nothing(tmp_path: Path) -> None:
    speaker = FakeSpeaker()
    plan = Book.open(make_epub(tmp_path)).preview(speaker)
    assert speaker.calls == [] and not (tmp_path / "book.tts").exists()
    assert [chapter.title for chapter in plan.chapters] == ["One", "Two"]
    assert plan.segments[0].id == "c01-s0001" and plan.segments[-1].id == "c02-s0016"


def test_seeds_come_from_content(tmp_path: Path) -> None:
    """A paragraph put in changes no other segment's key, and a repeated one has its own."""
    before = Book.open(make_epub(tmp_path)).preview(FakeSpeaker()).segments
    after = Book.open(make_epub(tmp_path, "<p>New here.</p>" + paragraphs(15))).preview(FakeSpeaker()).segments
    assert {s.key for s in before} < {s.key for s in after} and len(after) == len(before) + 1
    twice = Book.open(make_epub(tmp_path, "<p>Again and again.</p>" * 2)).preview(FakeSpeaker()).segments
    same = [s for s in twice if s.shown == "Again and again."]
    assert len({s.seed for s in same}) == 2 and [s.occurrence for s in same] == [0, 1]
    options = BookOptions(same_repeats=True)
    alike = Book.open(make_epub(tmp_path, "<p>Again and again.</p>" * 2), options=options).preview(FakeSpeaker())
    assert len({s.key for s in alike.segments if s.shown == "Again and again."}) == 1


def test_only_what_changed_is_made_again(tmp_path: Path) -> None:
    source = make_epub(tmp_path)
    makes(Book.open(source))
    lexicon = tmp_path / "lexicon.csv"
    lexicon.write_text("line 3,verse three\n")
    assert kinds(makes(Book.open(source, options=BookOptions(lexicon=(str(lexicon),))))) == {"Made": 2}
    assert kinds(makes(Book.open(source, options=BookOptions(pauses="brisk", loudness="ebu", retries=0)))) == {}
    make_epub(tmp_path, paragraphs(15).replace("line 4", "row 4"))
    assert kinds(makes(Book.open(source))) == {"Made": 1}
    assert kinds(makes(Book.open(source, options=BookOptions(voice="anna")))) == {"Made": 32}


def test_faults_are_repaired_or_flagged(tmp_path: Path) -> None:
    body = (
        "<p>All is well with this one line here.</p><p>This one gets better on a second try here.</p>"
        "<p>This dropword, and this dropword, and one dropword every time.</p>"
        "<p>This one is endless and never stops at all.</p><p>This one is mute and says nothing whatever.</p>"
        "<p>This mumble, and this mumble, says something else.</p><p>This one will explode in the engine, sadly.</p>"
    )
    events = makes(Book.open(make_epub(tmp_path, body, "<p>Fine.</p>")))
    faults = {e.segment.shown.split()[-1]: e.faults for e in events if isinstance(e, Flagged)}
    assert kinds(events) == {"Made": 5, "Flagged": 4, "Failed": 1}
    assert "too short" in faults["time."][0]
    assert faults["all."] == ("never came to an end", "cut off at its end")
    assert faults["whatever."] == ("silent",)
    assert faults["else."] == ("other words than the text's (loss 3.00, limit 2.00)",)
    (failed,) = (event for event in events if isinstance(event, Failed))
    assert "the engine broke" in failed.error
    book = Book.of_folder(tmp_path / "book.tts")
    flagged = select(book.store.plan(), book.store, ["flagged"])
    assert [s.shown.split()[-1] for s in flagged] == ["time.", "all.", "whatever.", "else."]
    book.redo(flagged[:1], accepted=True)
    makes(Book.open(tmp_path / "book.epub"))
    book = Book.of_folder(tmp_path / "book.tts")
    assert len(select(book.store.plan(), book.store, ["flagged"])) == 3
    with pytest.raises(BookError, match="1 segments are not spoken yet"):
        book.export(tmp_path / "x.wav")


def test_other_candidates_come_before_new_seeds(tmp_path: Path) -> None:
    source, speaker = make_epub(tmp_path, "<p>There is a spare for this one line here.</p>", ""), FakeSpeaker()
    events = makes(Book.open(source), speaker)
    (made,) = (event for event in events if isinstance(event, Made) and "spare" in event.segment.spoken)
    calls = [call for call in speaker.calls if call[0] == made.segment.spoken]
    assert len(calls) == 1 and speaker.others == 1  # one draw, and no more of its candidates than were needed
    take = Book.of_folder(tmp_path / "book.tts").store.take(made.segment)
    assert take is not None and (take.info["attempt"], take.info["attempts"], take.info["faults"]) == (1, 2, [])


def test_twenty_failures_in_a_row_end_the_run(tmp_path: Path) -> None:
    body = "".join(f"<p>Things explode, number {i}.</p>" for i in range(30))
    speaker = FakeSpeaker()
    with pytest.raises(BookError, match="20 segments in a row failed"):
        makes(Book.open(make_epub(tmp_path, body)), speaker)
    assert len(speaker.calls) == 21


def test_redo_and_take(tmp_path: Path) -> None:
    source = make_epub(tmp_path)
    book = Book.open(source)
    makes(book)
    first = takes(book)
    plan = book.store.plan()
    chosen = select(plan, book.store, ["c01-s0003"])
    book.redo(chosen)
    assert kinds(makes(Book.open(source))) == {"Made": 1}
    assert takes(book).items() > first.items()
    (redone,) = select(book.store.plan(), book.store, ["c01-s0003"])
    assert redone.take == 1 and redone.seed != chosen[0].seed
    book.redo([redone], take=0)
    assert kinds(makes(Book.open(source))) == {}
    assert book.store.plan().segments == plan.segments


def test_edits_survive_a_new_plan(tmp_path: Path) -> None:
    source = make_epub(tmp_path)
    book = Book.open(source)
    makes(book)
    segments = book.store.plan().segments
    book.redo([segments[1]], say="Said otherwise.")
    book.redo([segments[2]], text="Written otherwise.", voice="ben")
    make_epub(tmp_path, "<p>Something new at the start.</p>" + paragraphs(15))
    speaker = FakeSpeaker()
    makes(Book.open(source), speaker)
    assert {call[:2] for call in speaker.calls} == {
        ("Something new at the start.", ""), ("Said otherwise.", ""), ("Written otherwise.", "ben"),
    }  # fmt: skip
    book = Book.open(source)
    edited = [s for s in book.preview(speaker).segments if s.original]
    book.redo(edited)
    again = FakeSpeaker()
    makes(Book.open(source), again)
    assert [call[:2] for call in again.calls] == [("Written otherwise.", "ben")]


def test_selection(tmp_path: Path) -> None:
    book = Book.open(make_epub(tmp_path))
    makes(book)
    plan = book.store.plan()

    def ids(*names: str) -> list[str]:
        return [s.id for s in select(plan, book.store, list(names))]

    assert ids("c01-s0002..c01-s0004", "c02-s0001") == ["c01-s0002", "c01-s0003", "c01-s0004", "c02-s0001"]
    assert len(ids("c02")) == 16 and ids("/line 7 of chapter 2/") == ["c02-s0009"] and len(ids("voice:narrator")) == 32
    for wrong in ("c09-s0001", "flagged", "/(/", "voice:nobody", "c02-s0001..x"):
        with pytest.raises(BookError):
            ids(wrong)


def test_coverage_is_complete(tmp_path: Path) -> None:
    body = "<p>Line one.<a epub:type='noteref' href='#n'>1</a></p><aside epub:type='footnote' id='n'><p>N.</p></aside>"
    book = Book.open(make_epub(tmp_path, body + "<p>***</p><p>***, …</p>"))
    makes(book)
    account = coverage(book.document, book.store.plan())
    assert account.complete and account.source == account.spoken + sum(account.dropped.values())
    plan = book.store.plan()
    del plan.segments[1]
    assert not coverage(book.document, plan).complete


def test_phrase_cache(tmp_path: Path) -> None:
    cache = PhraseCache()
    source = make_epub(tmp_path)
    makes(Book.open(source), cache=cache)
    speaker = FakeSpeaker()
    other = Book.open(source, tmp_path / "other.tts")
    assert kinds(makes(other, speaker, cache=cache)) == {"Kept": 32} and speaker.calls == []
    assert takes(other) == takes(Book.open(source))
    flagged = Book.open(make_epub(tmp_path, "<p>This dropword is flagged, and is never kept.</p>"), tmp_path / "f.tts")
    makes(flagged, cache=cache)
    assert cache.status().phrases == 32  # all are there from before, but the flagged one, which is not kept


def test_damaged_takes_are_made_again(tmp_path: Path) -> None:
    source = make_epub(tmp_path)
    book = Book.open(source)
    makes(book)
    paths = sorted(book.store.folder.glob("takes/*/*.flac"))
    good = takes(book)
    paths[0].write_bytes(paths[0].read_bytes()[:-5])
    paths[1].write_bytes(b"x" * paths[1].stat().st_size)
    paths[2].unlink()
    paths[3].with_suffix(".json").write_text("{")
    assert len(check_takes(book.store, book.store.plan())) == 4
    assert kinds(makes(Book.open(source))) == {"Made": 4}
    assert takes(book) == good and check_takes(book.store, book.store.plan()) == []


def test_two_writers(tmp_path: Path) -> None:
    source = make_epub(tmp_path)
    book = Book.open(source)
    running = book.make(FakeSpeaker())
    next(running)
    with pytest.raises(BookError, match=f"process {os.getpid()}"):
        makes(Book.open(source))
    running.close()  # type: ignore[attr-defined]
    assert kinds(makes(Book.open(source))) == {"Made": 32}


def test_torn_last_lines(tmp_path: Path) -> None:
    source = make_epub(tmp_path)
    book = Book.open(source)
    makes(book)
    book.redo(book.store.plan().segments[:1])
    for name in ("edits.jsonl", "log.jsonl"):
        with (book.store.folder / name).open("a") as file:
            file.write('{"href": "x", "sho')
    book.redo(book.store.plan().segments[1:2])
    assert len(book.store.edits()) == 2


def test_newer_formats_are_refused(tmp_path: Path) -> None:
    book = Book.open(make_epub(tmp_path))
    makes(book)
    path = book.store.folder / "book.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    text = path.read_text()
    with pytest.raises(BookError, match="format 2"):
        Book.of_folder(book.store.folder)
    assert path.read_text() == text
    with pytest.raises(BookError, match="no folder of a book"):
        Book.of_folder(tmp_path)


def test_clean(tmp_path: Path) -> None:
    source = make_epub(tmp_path)
    book = Book.open(source)
    makes(book)
    used = takes(book)
    book.redo(book.store.plan().segments[:2])
    makes(Book.open(source))
    (book.store.folder / "takes" / "00").mkdir(exist_ok=True)
    (book.store.folder / "takes" / "00" / ".x.part").write_bytes(b"12345")
    assert book.clean() == 5
    assert book.clean(takes=True) > 0 and len(takes(book)) == len(used)
    assert book.clean(everything=True) > 0 and takes(book) == {}
    assert kinds(makes(Book.open(source))) == {"Made": 32}


def test_voices_and_casts(tmp_path: Path) -> None:
    body = "<p>“Who is there?” said the old man. “Tell me now, please!”</p><p>He waited for a long time there.</p>"
    source = make_epub(tmp_path, body, "<p>“All of it is said by somebody.”</p>")
    speaker = FakeSpeaker()
    makes(Book.open(source, options=BookOptions(voice="anna", cast="dialogue=ben")), speaker)
    said = {text: voice for text, voice, _ in speaker.calls}
    assert {text for text, voice in said.items() if voice == "ben"} == {
        '"Who is there?"', '"Tell me now, please!"', '"All of it is said by somebody."',
    }  # fmt: skip
    cast = tmp_path / "cast.toml"
    cast.write_text('[voices]\nholmes = "holmes"\n[[rule]]\nspeaker = "holmes"\nregex = "waited"\n')
    if sys.version_info >= (3, 11):
        speaker = FakeSpeaker()
        makes(Book.open(source, options=BookOptions(cast=str(cast))), speaker)
        assert [text for text, voice, _ in speaker.calls if voice == "holmes"] == ["He waited for a long time there."]
        cast.write_text('[[rule]]\nspeaker = "narator"\nregex = "x"\n')
        with pytest.raises(OptionError, match="did you mean 'narrator'"):
            makes(Book.open(source, options=BookOptions(cast=str(cast))))
    with pytest.raises(VoiceError):
        makes(Book.open(source, options=BookOptions(voice="nobody")))


def test_chapters_and_headings(tmp_path: Path) -> None:
    source = make_epub(tmp_path)
    book = Book.open(source, options=BookOptions(chapters="2", headings="skip"))
    makes(book)
    plan = book.store.plan()
    assert len(plan.segments) == 15 and [c.title for c in plan.chapters] == ["Two"]
    assert coverage(book.document, plan).complete
    everything = Book.open(source).preview(FakeSpeaker()).segments
    assert {s.key for s in plan.segments} < {s.key for s in everything}


def test_processes_give_the_same_bytes(tmp_path: Path) -> None:
    source = make_epub(tmp_path, paragraphs(4), paragraphs(4, 2))
    alone = Book.open(source, tmp_path / "alone.tts")
    makes(alone)
    together = Book.open(source, tmp_path / "together.tts")
    log = tmp_path / "log"
    factory = FakeFactory(log=str(log))
    executor = Processes(factory, 2, dict(FakeSpeaker().identity()))
    assert kinds(makes(together, executor=executor)) == {"Made": 10}
    assert takes(together) == takes(alone)
    assert max(Counter(log.read_text().splitlines()).values()) == 1


def test_a_worker_that_is_killed(tmp_path: Path) -> None:
    body = paragraphs(3) + "<p>This is murder, plain and simple here.</p>"
    source = make_epub(tmp_path, body, paragraphs(3, 2))
    book = Book.open(source)
    executor = Processes(FakeFactory(), 2, dict(FakeSpeaker().identity()))
    events = makes(book, executor=executor)
    assert kinds(events) == {"Made": 8, "Failed": 1}
    (failed,) = (event for event in events if isinstance(event, Failed))
    assert "ended 2 workers" in failed.error


def test_a_worker_of_another_kind(tmp_path: Path) -> None:
    book = Book.open(make_epub(tmp_path))
    executor = Processes(FakeFactory(), 1, {**FakeSpeaker().identity(), "engine": "other"})
    with pytest.raises(BookError, match="differs in engine"):
        makes(book, executor=executor)


def test_killed_at_twenty_moments(tmp_path: Path) -> None:
    """SIGKILL after one to three segments and a moment, twenty times, then to the end: the bytes of a calm run."""
    source = make_epub(tmp_path)
    calm = Book.open(source, tmp_path / "calm.tts")
    makes(calm)
    log = tmp_path / "log"
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["fake_speaker", "tutortoietts.book.book"])
    choice = random.Random(5)
    book = Book.open(source)
    kills = 0
    while kills < 20 and len(takes(book)) < 30:
        ours, theirs = server.Pipe(duplex=False)
        process = server.Process(target=speak_book, args=(str(source), str(log), theirs))
        process.start()
        theirs.close()
        for _ in range(choice.randint(1, 3)):
            ours.recv()
        for _ in range(choice.randint(0, 20_000)):  # some moment within the next segment
            pass
        process.kill()
        process.join()
        ours.close()
        kills += 1
    assert kills >= 10
    assert kinds(makes(book))["Failed"] == 0
    assert takes(book) == takes(calm)
    assert check_takes(book.store, book.store.plan()) == []
    assert sum(Counter(log.read_text().splitlines()).values()) <= 32 + kills


def test_the_clock_set_back(tmp_path: Path) -> None:
    source = make_epub(tmp_path)
    book = Book.open(source)
    makes(book)
    long_ago = time.time() - 1e9
    for path in book.store.folder.rglob("*.*"):
        os.utime(path, (long_ago, long_ago))
    assert kinds(makes(Book.open(source))) == {}


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_epub(tmp_path)
    book = Book.open(source)
    put, count = book.store.takes.put, 0

    def full(*arguments: object, **rest: object) -> object:
        nonlocal count
        count += 1
        if count > 3:
            raise OSError(28, "No space left on device")
        return put(*arguments, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(book.store.takes, "put", full)
    with pytest.raises(BookError, match="is full: free some space"):
        makes(book)
    assert kinds(makes(Book.open(source))) == {"Made": 29}
    monkeypatch.setattr(Book, "of_folder", Book.of_folder)
    small = Book.open(source, tmp_path / "small.tts")
    monkeypatch.setattr(type(small.store), "free_bytes", lambda self: 1000)
    with pytest.raises(BookError, match="free some space"):
        makes(small)


def test_stop_between_segments(tmp_path: Path) -> None:
    source = make_epub(tmp_path)
    speaker = FakeSpeaker()
    events = makes(Book.open(source), speaker, stop=lambda: len(speaker.calls) >= 5)
    assert kinds(events) == {"Made": 5}
    assert kinds(makes(Book.open(source))) == {"Made": 27}


def test_events_carry_what_happened(tmp_path: Path) -> None:
    events = makes(Book.open(make_epub(tmp_path)))
    assert events[0] == Planned(segments=32, done=0, characters=sum(len(e.segment.spoken) for e in events[1:]))  # type: ignore[union-attr]
    assert all(isinstance(event, Made) and event.seconds > 0 for event in events[1:])
    assert Kept(segment=events[1].segment, seconds=1.0) == replace(  # type: ignore[union-attr]
        Kept(segment=events[1].segment, seconds=2.0),
        seconds=1.0,  # type: ignore[union-attr]
    )


def test_options_are_kept(tmp_path: Path) -> None:
    options = BookOptions(voice="anna", chapters="1-2", lexicon=(), rate=1.25, engine={"load": {"precision": "fp32"}})
    makes(Book.open(make_epub(tmp_path), options=options))
    assert Book.of_folder(tmp_path / "book.tts").options == options
    text = json.loads((tmp_path / "book.tts" / "book.json").read_text())
    assert text["format"] == 1 and text["source"] == str(tmp_path / "book.epub")


@pytest.mark.parametrize(
    "wrong",
    [{"rate": 3.0}, {"chapters": "3-1"}, {"chapters": "x"}, {"notes": "loud"}, {"loudness": "loud"}, {"retries": -1},
     {"pauses": "never"}, {"toc_depth": 0}, {"front": "x"}, {"urls": "x"}, {"headings": "x"}],
)  # fmt: skip
def test_wrong_options(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        BookOptions(**wrong)  # type: ignore[arg-type]


def test_edits_merge() -> None:
    edit = Edit(href="a", shown="x", say="y").merged(Edit(href="a", shown="x", take=2))
    assert (edit.say, edit.take, edit.voice) == ("y", 2, None)


def test_in_process_is_the_default(tmp_path: Path) -> None:
    speaker = FakeSpeaker()
    makes(Book.open(make_epub(tmp_path)), speaker, executor=InProcess(speaker))
    assert len(speaker.calls) == 32


def test_a_book_in_another_language_is_warned_of(tmp_path: Path) -> None:
    metadata = "<dc:title>Buch</dc:title><dc:language>xx-YY</dc:language>"
    source = epub(tmp_path / "book.epub", {"a.xhtml": "<p>Hallo, da ist ein Satz.</p>"}, metadata=metadata)
    plan = Book.open(source).preview(FakeSpeaker())
    assert plan.warnings == ["the book is in 'xx-YY', which is read by the rules of 'en'"]


def test_the_language_of_a_book_is_found_on_request(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("Das Schiff verließ den Hafen um neun Uhr, und niemand winkte.", encoding="utf-8")
    assert Book.open(tmp_path / "b.txt", options=BookOptions(language="auto"), work=tmp_path / "w").language == "de"
    (tmp_path / "c.txt").write_text("Hm.", encoding="utf-8")
    with pytest.raises(OptionError, match="not certain"):
        _ = Book.open(tmp_path / "c.txt", options=BookOptions(language="auto"), work=tmp_path / "v").language
