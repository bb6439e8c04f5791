"""Getting public files: from folders, from a server that lets one resume, or a clear word on what to put where."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from tutortoietts.core.errors import FetchError, ModelError, OptionError
from tutortoietts.weights import fetch as fetching
from tutortoietts.weights.fetch import download, fetch, fetch_all, file_sha256, find, verify
from tutortoietts.weights.registry import REGISTRY, HubFile, PublicFile, WebFile, lookup

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT, by ranges if asked; ``cut`` bytes at most before the connection ends."""

    cut: int | None = None
    ranges = True
    content = CONTENT
    asked: list[str | None]

    def do_GET(self) -> None:
        asked = self.headers["Range"]
        self.asked.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0
        if start >= len(self.content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        body = self.content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.cut])

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[type[Server], str]]:
    handler = type("Handler", (Server,), {"asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield handler, f"http://127.0.0.1:{running.server_port}/file"
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_a_broken_download_goes_on(server: tuple[type[Server], str], tmp_path: Path) -> None:
    handler, url = server
    target = tmp_path / "sub" / "file.bin"
    handler.cut = 100_000
    with pytest.raises(OSError, match="ended after 100000 of 1024000 bytes"):
        download(url, target, DIGEST)
    assert not target.exists()
    handler.cut = None
    assert download(url, target, DIGEST) == target
    assert target.read_bytes() == CONTENT
    assert handler.asked == [None, "bytes=100000-"]
    assert list(target.parent.iterdir()) == [target]


def test_a_server_without_ranges_sends_all_again(server: tuple[type[Server], str], tmp_path: Path) -> None:
    handler, url = server
    (tmp_path / "file.part").write_bytes(b"xyz")
    handler.ranges = False
    assert download(url, tmp_path / "file", DIGEST).read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(server: tuple[type[Server], str], tmp_path: Path) -> None:
    _, url = server
    (tmp_path / "file.part").write_bytes(CONTENT + b"more")
    assert download(url, tmp_path / "file", DIGEST).read_bytes() == CONTENT


def test_a_wrong_digest_leaves_nothing(server: tuple[type[Server], str], tmp_path: Path) -> None:
    handler, url = server
    handler.content = CONTENT[:-1] + b"!"
    with pytest.raises(FetchError, match=f"sha256 .* expected {DIGEST}"):
        download(url, tmp_path / "file", DIGEST)
    assert list(tmp_path.iterdir()) == []
    handler.content = CONTENT
    assert download(url, tmp_path / "file", DIGEST).read_bytes() == CONTENT


def test_web_files_are_kept_in_the_cache(
    server: tuple[type[Server], str], monkeypatch: pytest.MonkeyPatch, own_folders: Path
) -> None:
    handler, url = server
    monkeypatch.delenv("HF_HUB_OFFLINE")
    file = PublicFile(
        name="thing", kind="tokenizer", sources=(WebFile(url=url),), local_names=("thing.json",), megabytes=1,
        sha256=DIGEST,
    )  # fmt: skip
    assert find(file) is None
    path = fetch(file)
    assert path.read_bytes() == CONTENT and own_folders in path.parents
    assert fetch(file) == find(file) == path
    assert handler.asked == [None]


def test_folders_come_first_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, variable, original = tmp_path / "named", tmp_path / "variable", tmp_path / "home/.cache/tortoise/models"
    monkeypatch.setenv("TORTOISE_MODELS_DIR", str(variable))
    for folder in (original, variable, named):
        folder.mkdir(parents=True)
    for folder in (original, variable, named):
        (folder / "clvp2.pth").write_bytes(b"x")
        assert fetch("clvp", named) == folder / "clvp2.pth"
    assert fetch("clvp") == variable / "clvp2.pth"


def test_a_named_folder_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match=r"--models-dir '.*gone' does not exist"):
        find("clvp", tmp_path / "gone")
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORTOISE_MODELS_DIR", str(tmp_path / "file"))
    with pytest.raises(OptionError, match=r"TORTOISE_MODELS_DIR '.*file' is a file"):
        fetch("clvp")
    monkeypatch.setenv("TORTOISE_MODELS_DIR", "~nobody-here/models")
    with pytest.raises(OptionError, match="'~nobody-here' is not known"):
        fetch("clvp")
    monkeypatch.setenv("TUTORTOIETTS_CACHE", "~nobody-here/cache")
    monkeypatch.delenv("TORTOISE_MODELS_DIR")
    with pytest.raises(OptionError, match="'~nobody-here' is not known"):
        fetch("tokenizer")


def test_bigvgan_files_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "bigvgan_generator.pt").write_bytes(b"which one?")
    assert find("bigvgan", tmp_path) is None
    for name, folder in (("bigvgan", "bigvgan_v2_24khz_100band_256x"), ("bigvgan_base", "bigvgan_base_24khz_100band")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "bigvgan_generator.pt").write_bytes(b"x")
        assert find(name, tmp_path) == tmp_path / folder / "bigvgan_generator.pt"


@pytest.mark.parametrize("name", REGISTRY)
def test_offline_says_what_to_put_where(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = REGISTRY[name]
    with pytest.raises(FetchError) as caught:
        fetch(name)
    for part in ("HF_HUB_OFFLINE", file.local_names[0], str(file.sources[0]), "--models-dir", "TORTOISE_MODELS_DIR"):
        assert part in str(caught.value)
    monkeypatch.setenv("TORTOISE_MODELS_DIR", str(tmp_path))
    with pytest.raises(FetchError, match=str(tmp_path)):
        fetch(name)


def test_all_that_is_lacking_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "clvp2.pth").touch()
    assert next(fetch_all(["clvp", "cvvp"], tmp_path)) == tmp_path / "clvp2.pth"
    with pytest.raises(FetchError, match=r"cvvp\.pth .* Not here either: vocoder\.pth \(60 MB\);") as caught:
        list(fetch_all(["clvp", "cvvp", lookup("univnet")], tmp_path))
    assert caught.value.file == "cvvp.pth" and "clvp2" not in str(caught.value)
    with pytest.raises(FetchError) as caught:
        list(fetch_all(["clvp", "univnet"], tmp_path))
    assert "either" not in str(caught.value)


def test_hub_sources_are_tried_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    got = tmp_path / "blob"
    got.write_bytes(b"x")
    asked = []

    def hub(repo: str, path: str, revision: str | None) -> str:
        asked.append((repo, path, revision))
        if repo == "Manmay/tortoise-tts":
            raise huggingface_hub.errors.EntryNotFoundError("404")
        return str(got)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub)
    monkeypatch.setattr(fetching, "_check_reachable", lambda address: None)
    assert fetch("clvp", offline=False) == got
    assert asked == [
        ("Manmay/tortoise-tts", "clvp2.pth", None),
        ("jbetker/tortoise-tts-v2", ".models/clvp2.pth", None),
    ]


def test_no_network_is_known_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: pytest.fail("asked without a network"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr("urllib.request.getproxies", dict)
    with pytest.raises(FetchError, match=r"cvvp\.pth .* no connection to 127\.0\.0\.1") as caught:
        fetch("cvvp", offline=False)
    assert str(caught.value).count("no connection") == 1


def test_the_hub_cache_is_found_without_the_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"x")
    cached = {("Manmay/tortoise-tts", "cvvp.pth"): str(tmp_path / "blob")}
    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache", lambda repo, path, revision: cached.get((repo, path))
    )
    assert fetch("cvvp") == tmp_path / "blob"


def test_verify(tmp_path: Path) -> None:
    (tmp_path / "mel_norms.pth").write_bytes(b"not them")
    with pytest.raises(FetchError, match=r"mel_norms\.pth: sha256 is .* fetch it again"):
        fetch("mel_norms", tmp_path)
    with pytest.raises(FetchError):
        verify(lookup("mel_norms"), tmp_path / "mel_norms.pth")
    verify(lookup("clvp"), tmp_path / "mel_norms.pth")  # nothing known, nothing checked
    assert file_sha256(tmp_path / "mel_norms.pth") == hashlib.sha256(b"not them").hexdigest()


def test_the_tokenizer_of_the_tests_is_the_public_one() -> None:
    path = Path(__file__).resolve().parents[2].parent / "shared" / "text" / "tortoise_tokenizer.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    verify(lookup("tokenizer"), path)
    assert find("tokenizer", path.parent) == path


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(ModelError, match="did you mean 'diffusion'"):
        lookup("difusion")
    with pytest.raises(ModelError, match="not a model"):
        lookup("tokenizer").config()


def test_every_hub_file_has_an_address() -> None:
    for file in REGISTRY.values():
        assert file.sources and file.local_names
        assert all(
            isinstance(source, (HubFile, WebFile)) and str(source).startswith("https") for source in file.sources
        )
