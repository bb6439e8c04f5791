"""End repair and the calm cut."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from tutortoietts.core.errors import OptionError
from tutortoietts.engine.decoding.end_of_speech import latent_count, repair_codes, tail_codes

GOLDEN = Path(__file__).resolve().parents[3].parent / "shared" / "golden" / "code_repair.safetensors"
STOP, CALM = 8193, 83


@pytest.mark.skipif(not GOLDEN.is_file(), reason="the golden files of ../shared are absent")
def test_golden() -> None:
    with safe_open(GOLDEN, "pt") as file:
        config = json.loads(file.metadata()["config"])
        ids, stop, calm = file.get_tensor("input.codes"), config["stop_mel_token"], config["calm_token"]
        assert torch.equal(repair_codes(ids, stop, calm), file.get_tensor("output.repaired"))
        assert torch.equal(latent_count(ids, stop, calm, "anywhere"), file.get_tensor("output.latent_count"))


def row(*codes: int, length: int = 40) -> torch.Tensor:
    return torch.tensor([[*codes, *[STOP] * (length - len(codes))]])


def test_our_rule_keeps_speech_after_a_long_pause() -> None:
    paused = row(5, *[CALM] * 12, 6, 7)
    assert latent_count(paused, STOP, CALM, "anywhere").tolist() == [9]
    assert latent_count(paused, STOP, CALM).tolist() == [15 + 8]


def test_a_pause_before_the_stop_does_not_count() -> None:
    assert latent_count(row(5, CALM, CALM, CALM), STOP, CALM).tolist() == [4 + 8]
    assert latent_count(row(5, CALM, CALM, CALM), STOP, CALM, "anywhere").tolist() == [1 + 8]


def test_without_a_stop_code_nothing_changes() -> None:
    full = torch.arange(40)[None]
    assert torch.equal(repair_codes(full, STOP, CALM), full)
    assert latent_count(full, STOP, CALM).tolist() == [40]


def test_a_late_stop_keeps_everything() -> None:
    late = row(*range(1, 35))
    assert latent_count(late, STOP, CALM).tolist() == [40]
    assert repair_codes(late, STOP, CALM)[0, 34:].tolist() == [CALM, CALM, CALM, 45, 45, 248]


def test_other_code_books_get_only_their_silence() -> None:
    assert repair_codes(row(1, 2), STOP, 7)[0].tolist() == [1, 2, *[7] * 38]
    assert tail_codes(4, 7).tolist() == [7] * 4
    assert tail_codes(2, CALM).tolist() == [CALM, CALM]


def test_unknown_rule() -> None:
    with pytest.raises(OptionError, match="calm_rule is 'never'"):
        latent_count(row(1), STOP, CALM, "never")
