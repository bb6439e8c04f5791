"""The comparison of two commits by what they say: one number that differs is found, and nothing else is."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from same_sound import Request, clips, compare, digest, kept, requests, speak_all, spoken
from tutortoietts.api import TextToSpeech


def test_a_digest_sees_one_number_and_where_chunks_end() -> None:
    wave = torch.linspace(-1, 1, 100)
    changed = wave.clone()
    changed[50] = torch.nextafter(changed[50], torch.tensor(2.0))
    assert digest([wave]) == digest([wave.clone()])
    others = [[changed], [wave[:60], wave[60:]], [wave[None]], [wave[:-1]]]
    assert len({digest(pieces)["sha256"] for pieces in [[wave], *others]}) == 5


def test_only_the_same_sound_is_the_same() -> None:
    said = {"sha256": "a", "pieces": 1, "numbers": 5}
    failed = {"error": "OptionError: no"}
    base = {"same": said, "other": said, "failed": failed, "gone": said}
    tree = {"same": said, "other": {**said, "sha256": "b"}, "failed": failed, "new": said}
    found = {row["name"]: row["same"] for row in compare(base, tree)}
    assert found == {"same": True, "other": False, "failed": False, "gone": False, "new": False}


def test_requests_have_names_of_their_own_and_cover_all_presets() -> None:
    names = [one.name for one in requests(("fast", "slow"))]
    assert len(names) == len(set(names)) > 30 and {"preset/fast", "preset/slow"} <= set(names)


def test_digests_are_kept_for_the_same_commit_machine_and_script(tmp_path: Path) -> None:
    file, about = tmp_path / "kept.json", {"torch": "2", "script": "a"}
    assert kept(file, about, "c") == kept(None, about, "c") == {}
    file.write_text(json.dumps({"commit": "c", "about": about, "said": {"one": {"sha256": "a"}}}), encoding="utf-8")
    assert kept(file, about, "c") == {"one": {"sha256": "a"}}
    assert kept(file, about, "d") == kept(file, {**about, "script": "b"}, "c") == {}


@pytest.mark.parametrize("call", ["tts", "tts_stream", "clone"])
def test_the_same_request_gives_the_same_digest(streaming_model: Path, tmp_path: Path, call: str) -> None:
    tts = TextToSpeech(streaming_model, device="cpu")
    options: dict[str, Any] = {} if call == "clone" else {"voice_samples": "clips", "max_mel_tokens": 12}
    request = Request(name="one", call=call, options=options)
    one, other = (digest(spoken(tts, request, tmp_path)) for _ in range(2))
    assert one == other and one["numbers"] > 0 and len(clips(tmp_path)) == 2


def test_one_side_prints_a_line_a_request(
    streaming_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("bundled", "stream_vocos"):
        (tmp_path / name).symlink_to(streaming_model, target_is_directory=True)
    monkeypatch.setenv("TUTORTOIETTS_NATIVE", "1")
    speak_all(tmp_path, "stream_vocos/*")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["name"] for line in lines] == [f"stream_vocos/{name}" for name in ("bf16", "fp32", "int8")]
    assert all(line["numbers"] > 0 for line in lines)
