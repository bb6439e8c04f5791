"""One HTML file with the sound inside: chapters, text in step with the voice, keyboard, no network."""

from __future__ import annotations

import base64
import html
import json
import secrets
from pathlib import Path
from typing import Any, TextIO

from tutortoietts.book.export.material import Material, part_file, write_chapters
from tutortoietts.book.timeline import Chapter

__all__ = ["write_player"]

PAGE = Path(__file__).parent / "player.html"
CHUNK = 3 << 18  # bytes at a time, a multiple of three, so that pieces of base64 join


def write_player(material: Material, path: Path) -> None:
    """Write the page. It grows with the book: about 30 MB an hour."""
    title = material.metadata.title or "Audiobook"
    head, middle, tail = PAGE.read_text(encoding="utf-8").split("<!--part-->")
    language = html.escape(material.metadata.language or "en")
    with part_file(path) as part, part.open("w", encoding="utf-8") as page:
        page.write(head.replace("{title}", html.escape(title)).replace("{language}", language))
        page.write(_json({"title": title, "authors": material.metadata.authors, "chapters": _chapters(material)}))
        page.write(middle)
        for chapter in material.timeline.chapters:
            _write_sound(material, chapter, page, part.parent)
        page.write(tail)


def _chapters(material: Material) -> list[dict[str, Any]]:
    """Titles and segments; a word is [text, start, end], in seconds of its chapter."""
    return [
        {
            "title": chapter.title,
            "segments": [
                {
                    "id": placed.segment.id,
                    "kind": placed.segment.kind,
                    "new": placed.segment.start == 0,
                    "flagged": bool(placed.take.info.get("faults")) and not placed.segment.accepted,
                    "words": [[w.text, round(w.start, 3), round(w.end, 3)] for w in material.words(placed)],
                }
                for placed in chapter.segments
            ],
        }
        for chapter in material.timeline.chapters
    ]


def _write_sound(material: Material, chapter: Chapter, page: TextIO, folder: Path) -> None:
    """A script element with the chapter's mp3 in base64, which the page turns into sound when it is played."""
    sound = folder / f".part-{secrets.token_hex(4)}.mp3"
    write_chapters(material, sound, [chapter], material.comment(), suffix=".mp3", marks=False)
    try:
        page.write(f'<script type="text/plain" id="sound-{chapter.number}">')
        with sound.open("rb") as file:
            while block := file.read(CHUNK):
                page.write(base64.b64encode(block).decode("ascii"))
        page.write("</script>\n")
    finally:
        sound.unlink(missing_ok=True)


def _json(value: Any) -> str:
    """JSON that can stand inside a script element."""
    return (
        json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/").replace("<!--", "<\\u0021--")
    )
