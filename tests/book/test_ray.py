"""Ray: local actors give the bytes of a single process; an actor that is killed loses nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fake_speaker import FakeFactory, FakeSpeaker, kinds, make_epub, makes, takes
from make_books import paragraphs
from tutortoietts.book.book import Book
from tutortoietts.book.ray_executor import RayExecutor
from tutortoietts.book.run import Failed
from tutortoietts.core.errors import BookError, OptionError

pytest.importorskip("lxml")


def executor(count: int = 2, **identity: str) -> RayExecutor:
    return RayExecutor(FakeFactory(), count, {**FakeSpeaker().identity(), **identity})


def test_without_ray_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BookError, match=r"tutortoietts\[ray\]"):
        makes(Book.open(make_epub(tmp_path)), executor=executor())
    with pytest.raises(OptionError):
        executor(0)


@pytest.fixture
def with_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("with_ray")
def test_the_same_bytes_and_killed_actors(tmp_path: Path) -> None:
    body = paragraphs(4) + "<p>This is murder, plain and simple here.</p>"
    source = make_epub(tmp_path, body, paragraphs(4, 2))
    together = Book.open(source, tmp_path / "together.tts")
    events = makes(together, executor=executor())
    assert kinds(events) == {"Made": 10, "Failed": 1}
    (failed,) = (event for event in events if isinstance(event, Failed))
    assert "ended 2 workers" in failed.error
    alone = Book.open(make_epub(tmp_path, paragraphs(4), paragraphs(4, 2)), tmp_path / "alone.tts")
    makes(alone)
    assert takes(together) == takes(alone)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("with_ray")
def test_an_actor_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(BookError, match="differs in engine"):
        makes(Book.open(make_epub(tmp_path)), executor=executor(1, engine="other"))
