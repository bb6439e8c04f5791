"""The phrase cache: keys, damage, limits, racing writers, places that cannot be written."""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from tutortoietts.cache.files import SAMPLES, Damaged, SoundFiles
from tutortoietts.cache.keys import phrase_key
from tutortoietts.cache.phrases import PhraseCache, size_limit
from tutortoietts.core.errors import OptionError

DATA = b"fLaC" + bytes(1000)


def key(number: int) -> str:
    return phrase_key(identity={"model": "m", "options": {"temperature": 0.5}}, voice="v", spoken="text", seed=number)


def test_every_part_of_the_key_counts() -> None:
    base = {"identity": {"a": 1, "b": {"c": 2}}, "voice": "v", "spoken": "t", "seed": 1}
    others = [
        {**base, "identity": {"a": 1, "b": {"c": 3}}}, {**base, "identity": {"a": 1, "b": {"d": 2}}},
        {**base, "voice": "w"},
        {**base, "spoken": "T"}, {**base, "seed": 2},
    ]  # fmt: skip
    keys = {phrase_key(**one) for one in [base, *others]}  # type: ignore[arg-type]
    assert len(keys) == 6 and all(len(k) == 64 for k in keys)
    assert phrase_key(**{**base, "identity": {"b": {"c": 2}, "a": 1}}) == phrase_key(**base)  # type: ignore[arg-type]


def test_put_and_get(tmp_path: Path) -> None:
    cache = PhraseCache(tmp_path / "c")
    assert cache.get(key(1)) is None and not (tmp_path / "c").exists()
    assert cache.put(key(1), DATA, {"seconds": 1.5})
    entry = cache.get(key(1))
    assert entry is not None and entry.data() == DATA and entry.info["seconds"] == 1.5
    assert stat.S_IMODE(entry.path.stat().st_mode) == 0o600
    assert cache.status().phrases == 1 and b"text" not in entry.path.with_suffix(".json").read_bytes()


def test_a_hit_is_quick(tmp_path: Path) -> None:
    cache = PhraseCache(tmp_path)
    cache.put(key(1), bytes(200_000), {})
    times = []
    for _ in range(20):
        started = time.perf_counter()
        assert cache.get(key(1)) is not None
        times.append(time.perf_counter() - started)
    assert min(times) < 0.005


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "note", "note cut"])
def test_damage_is_put_aside(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    cache = PhraseCache(tmp_path)
    cache.put(key(1), DATA, {})
    entry = cache.get(key(1))
    assert entry is not None
    note = entry.path.with_suffix(".json")
    if damage == "cut":
        entry.path.write_bytes(DATA[:-1])
    elif damage == "changed":
        entry.path.write_bytes(DATA[:-1] + b"x")
    elif damage == "gone":
        entry.path.unlink()
    elif damage == "note":
        note.write_text("nonsense")
    else:
        note.write_bytes(note.read_bytes()[:-20])
    with caplog.at_level(logging.WARNING):
        assert cache.get(key(1)) is None and cache.get(key(1)) is None
    assert len(caplog.records) == 1
    assert cache.put(key(1), DATA, {}) and cache.get(key(1)) is not None


def test_verify(tmp_path: Path) -> None:
    cache = PhraseCache(tmp_path)
    for number in range(4):
        cache.put(key(number), DATA, {})
    cache._files.path(key(2)).write_bytes(bytes(len(DATA)))
    good, wrong = cache.verify()
    assert good == 3 and len(wrong) == 1
    assert cache.status().damaged == 1 and cache.verify() == (3, [])


def test_samples_and_flac_share_one_cache(tmp_path: Path) -> None:
    cache = PhraseCache(tmp_path)
    cache.put(key(1), DATA, {})
    cache.put(key(2), DATA, {"n": 2}, SAMPLES)
    found = cache.load(key(2))
    assert found is not None and found[0] == DATA and found[1]["n"] == 2 and (tmp_path / key(2)[:2]).exists()
    assert cache.status().phrases == 2 and cache.status().size > 2 * len(DATA) and cache.verify() == (2, [])
    path = cache._files.path(key(2), SAMPLES)
    os.utime(path, (1000, 1000))
    assert cache.load(key(2)) is not None and path.stat().st_mtime > 1000  # touched
    os.utime(path, (1000, 1000))
    assert cache.prune(len(DATA) + 500)[0] == 1 and not path.exists() and cache.get(key(1)) is not None
    cache.put(key(2), DATA, {}, SAMPLES)
    path.write_bytes(DATA[:-1] + b"x")
    assert cache.load(key(2)) is None and cache.status().damaged == 1
    cache.put(key(2), DATA, {}, SAMPLES)
    path.with_suffix(".json").unlink()  # killed between the two files
    assert cache.load(key(2)) is None and list(cache._files.strays()) == [path]
    assert cache.clear()[0] == 1 and not list(tmp_path.rglob("*.f*"))


def test_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = PhraseCache(tmp_path, limit=6000)
    for number in range(5):
        cache.put(key(number), DATA, {})
        os.utime(cache._files.path(key(number)), (1000 + number, 1000 + number))
    assert cache.get(key(0)) is not None  # touched: now the newest
    count, freed = cache.prune(3000)
    assert count >= 2 and freed > 2000 and cache.get(key(0)) is not None and cache.get(key(1)) is None
    assert cache.status().size <= 3000
    assert cache.clear()[0] == 5 - count and cache.status().phrases == 0


def test_the_limit_is_kept_by_writing(tmp_path: Path) -> None:
    cache = PhraseCache(tmp_path, limit=5000)
    for number in range(10):
        cache.put(key(number), DATA, {})
        os.utime(cache._files.path(key(number)), (1000 + number, 1000 + number))
    os.utime(tmp_path / "sweep", (1000, 1000))
    cache.put(key(99), DATA, {})
    assert cache.status().size <= 5000 and cache.get(key(99)) is not None


def test_racing_writers(tmp_path: Path) -> None:
    def write() -> None:
        cache = PhraseCache(tmp_path)
        for number in range(30):
            assert cache.put(key(number % 5), DATA, {"n": 1})
            entry = cache.get(key(number % 5))
            assert entry is None or entry.path.stat().st_size == len(DATA)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert PhraseCache(tmp_path).verify() == (5, []) and not list(PhraseCache(tmp_path)._files.strays())


def test_a_place_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("x")
    cache = PhraseCache(tmp_path / "file" / "cache")
    with caplog.at_level(logging.WARNING):
        assert not cache.put(key(1), DATA, {}) and not cache.put(key(2), DATA, {}) and cache.get(key(1)) is None
    assert len(caplog.records) == 1


def test_links_between_folders(tmp_path: Path) -> None:
    cache, book = PhraseCache(tmp_path / "c"), SoundFiles(tmp_path / "b")
    cache.put(key(1), DATA, {"n": 1})
    entry = cache.get(key(1))
    assert entry is not None
    linked = book.link(entry)
    assert os.path.samefile(linked.path, entry.path)
    cache.clear()
    kept = book.get(key(1), crc=True)
    assert kept is not None and kept.data() == DATA and kept.info["n"] == 1
    linked.path.write_bytes(bytes(len(DATA)))
    with pytest.raises(Damaged):
        kept.data()


@pytest.mark.parametrize(
    ("text", "size"), [("500M", 500 << 20), ("2G", 2 << 30), ("1.5k", 1536), ("0", 0), ("1 MiB", 1 << 20)]
)
def test_sizes(text: str, size: int) -> None:
    assert size_limit(text) == size


@pytest.mark.parametrize("text", ["x", "-1", "1Q", "nan", "G"])
def test_wrong_sizes(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError):
        size_limit(text)
    monkeypatch.setenv("TUTORTOIETTS_PHRASES_MAX", text)
    with pytest.raises(OptionError, match="TUTORTOIETTS_PHRASES_MAX"):
        PhraseCache()
