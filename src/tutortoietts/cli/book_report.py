"""Reports of `book plan`, `status` and `check`, as values for JSON and as lines for a person."""

from __future__ import annotations

from typing import Any

from tutortoietts.book.audit import check_takes, coverage
from tutortoietts.book.book import Book
from tutortoietts.book.export.material import Choices, Material
from tutortoietts.book.plan import Plan
from tutortoietts.book.progress import clock
from tutortoietts.book.speaker import Speaker
from tutortoietts.core.errors import BookError

__all__ = ["check_values", "plan_values", "say_check", "say_plan", "say_status", "status_values"]

USUAL_PACE = 0.068  # seconds a spoken character, where the voice's own is not known
BYTES_A_SECOND = 28_000  # of FLAC
SAMPLES = 3
MOST_UNSURE = 20


def plan_values(book: Book, plan: Plan, speaker: Speaker, cost_per_hour: float) -> dict[str, Any]:
    """Return what would be made."""
    pace = {voice: speaker.pace(voice) or USUAL_PACE for voice in {segment.voice for segment in plan.segments}}
    seconds = [len(s.spoken) * pace[s.voice] + s.pause for s in plan.segments]
    chapters = []
    for number, chapter in enumerate(plan.chapters):
        own = plan.of_chapter(number)
        chapters.append(
            {
                "number": number + 1,
                "title": chapter.title,
                "segments": len(own),
                "characters": sum(len(segment.spoken) for segment in own),
                "seconds": round(sum(seconds[i] for i, s in enumerate(plan.segments) if s.chapter == number), 1),
                "samples": [segment.spoken for segment in own[:SAMPLES]],
            }
        )
    hours = _hours_of_work(book, plan)
    return {
        "title": book.metadata.title,
        "authors": book.metadata.authors,
        "chapters": chapters,
        "segments": len(plan.segments),
        "characters": plan.characters,
        "seconds": round(sum(seconds), 1),
        "disk_bytes": round(sum(seconds) * BYTES_A_SECOND),
        "work_seconds": None if hours is None else round(hours * 3600, 1),
        "cost": None if hours is None or not cost_per_hour else round(hours * cost_per_hour, 2),
        "warnings": plan.warnings,
        "unsure": plan.unsure,
        "left_out": [
            {"text": d.text, "where": f"{d.href} {d.element}".strip(), "reason": d.reason} for d in plan.dropped
        ],
    }


def say_plan(values: dict[str, Any]) -> None:
    """Print the plan."""
    author = f" by {', '.join(values['authors'])}" if values["authors"] else ""
    print(f"{values['title']}{author}")
    for chapter in values["chapters"]:
        print(f"{chapter['number']:>4}  {chapter['title'] or '(no title)'}  {clock(chapter['seconds'])}")
        for sample in chapter["samples"]:
            print(f"        {sample}")
    print(
        f"{values['segments']} segments, {values['characters']} characters, about {clock(values['seconds'])} of sound"
    )
    line = f"{values['disk_bytes'] / 1e6:.0f} MB of disk"
    if values["work_seconds"] is not None:
        line += f", about {clock(values['work_seconds'])} of work at the rate measured before"
    if values["cost"] is not None:
        line += f", cost {values['cost']:.2f}"
    print(line)
    for warning in values["warnings"]:
        print(f"warning: {warning}")
    for line in values["unsure"][:MOST_UNSURE]:
        print(f"the voice of dialogue speaks: {line}")
    if len(values["unsure"]) > MOST_UNSURE:
        print(f"... and {len(values['unsure']) - MOST_UNSURE} more quotations (--json lists all)")
    _print_left_out(values["left_out"])


def status_values(book: Book) -> dict[str, Any]:
    """Return what is done, to do and flagged."""
    plan = book.store.plan()
    flagged, todo, seconds = [], [], 0.0
    for segment in plan.segments:
        take = book.store.take(segment)
        if take is None:
            todo.append({"id": segment.id, "text": segment.shown})
            continue
        seconds += take.info["samples"] / take.info["sample_rate"]
        if take.info.get("faults") and not segment.accepted:
            flagged.append({"id": segment.id, "text": segment.shown, "faults": take.info["faults"]})
    return {
        "folder": str(book.store.folder),
        "source": book.source,
        "segments": len(plan.segments),
        "done": len(plan.segments) - len(todo),
        "seconds": round(seconds, 1),
        "to_do": todo,
        "flagged": flagged,
    }


def say_status(values: dict[str, Any]) -> None:
    """Print the status."""
    print(
        f"{values['source']}: {values['done']} of {values['segments']} segments done, "
        f"{clock(values['seconds'])} of speech"
    )
    if values["to_do"]:
        first = values["to_do"][0]
        print(f"{len(values['to_do'])} to do, the first is {first['id']}: {first['text'][:60]}")
    for entry in values["flagged"]:
        print(f"flagged {entry['id']}: {'; '.join(entry['faults'])}: {entry['text'][:60]}")


def check_values(book: Book, loudness: str | None) -> dict[str, Any]:
    """Return the proofs: takes, coverage, loudness."""
    plan = book.store.plan()
    damaged = check_takes(book.store, plan)
    notes = []
    try:
        account = coverage(book.document, plan)
        covered: dict[str, Any] = {
            "source": account.source, "spoken": account.spoken, "left_out": account.dropped, "missing": account.missing,
        }  # fmt: skip
        complete = account.complete
    except BookError as error:
        notes.append(f"the source cannot be read again: {error}")
        covered, complete = {}, False
    chapters = [] if damaged else _levels(book, loudness)
    faults = [fault for chapter in chapters for fault in chapter["faults"]]
    return {
        "takes": damaged,
        "coverage": covered,
        "left_out": [
            {"text": d.text, "where": f"{d.href} {d.element}".strip(), "reason": d.reason} for d in plan.dropped
        ],
        "chapters": chapters,
        "notes": notes,
        "whole": not damaged and complete and not faults,
    }


def say_check(values: dict[str, Any]) -> None:
    """Print the proofs."""
    for line in [*values["takes"], *values["notes"]]:
        print(line)
    if covered := values["coverage"]:
        out = sum(covered["left_out"].values())
        print(f"{covered['source']} characters in the source, {covered['spoken']} spoken, {out} left out")
        for reason, count in covered["left_out"].items():
            print(f"  {count:>8}  {reason}")
        if covered["missing"]:
            print(f"  unaccounted for: {covered['missing']}")
    if values["chapters"]:
        print("chapter                                     LUFS    RMS   peak  floor")
    for chapter in values["chapters"]:
        verdict = "; ".join(chapter["faults"]) or "pass"
        numbers = " ".join(f"{chapter[name]:6.1f}" for name in ("lufs", "rms", "true_peak", "floor"))
        print(f"{chapter['title'][:40]:<40} {numbers}  {verdict}")
    _print_left_out(values["left_out"])
    print("the book is whole" if values["whole"] else "the book is not whole, see above")


def _levels(book: Book, loudness: str | None) -> list[dict[str, Any]]:
    material = Material(book, Choices(loudness=loudness))
    rows = []
    for chapter in material.timeline.chapters:
        for _ in material.mastering.chapter(chapter):
            pass
        measured = material.mastering.measured[chapter.number]
        level = measured.loudness
        rows.append(
            {
                "title": measured.title, "lufs": round(level.lufs, 2), "rms": round(level.rms, 2),
                "true_peak": round(level.true_peak, 2), "floor": round(level.floor, 1), "faults": list(measured.faults),
            }
        )  # fmt: skip
    return rows


def _print_left_out(entries: list[dict[str, str]]) -> None:
    for entry in entries[:200]:
        print(f"left out ({entry['reason']}): {entry['text'][:70]!r} {entry['where']}")
    if len(entries) > 200:
        print(f"... and {len(entries) - 200} more: --json lists all")


def _hours_of_work(book: Book, plan: Plan) -> float | None:
    """Hours to speak the plan, at the rate of the takes that are there; None before the first."""
    characters = seconds = 0.0
    for segment in plan.segments if book.store.exists else ():
        take = book.store.take(segment)
        if take is not None and take.info.get("made_in"):
            characters += len(segment.spoken)
            seconds += take.info["made_in"]
    return plan.characters * seconds / characters / 3600 if characters else None
