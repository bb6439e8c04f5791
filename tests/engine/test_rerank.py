"""Ranking: rows do not depend on their batch, unfinished ones come last, CVVP is blended in."""

from __future__ import annotations

import pytest
import torch

import tiny_configs
from tutortoietts.core.config import CvvpConfig
from tutortoietts.core.types import Codes
from tutortoietts.engine.rerank import Candidate, Ranker, best
from tutortoietts.models.clvp import Clvp
from tutortoietts.models.ctc import Ctc
from tutortoietts.models.cvvp import Cvvp

STOP, CALM = 21, 3
TEXT = torch.tensor([[5, 9, 2, 0]])


@pytest.fixture(scope="module")
def clvp() -> Clvp:
    cfg = tiny_configs.clvp(num_text_tokens=12, num_speech_tokens=20)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Clvp(cfg).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def ctc() -> Ctc:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        cfg = tiny_configs.ctc(num_text_tokens=12, num_speech_tokens=20)
        return Ctc(cfg).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def cvvp() -> Cvvp:
    cfg = CvvpConfig(
        model_dim=32,
        transformer_heads=2,
        mel_codes=20,
        conditioning_enc_depth=1,
        speech_enc_depth=1,
        head_dim=16,
        rotary_dim=8,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Cvvp(cfg).eval().requires_grad_(False)


def rows(lengths: tuple[int, ...], width: int = 16) -> Codes:
    ids = torch.randint(0, 20, (len(lengths), width), generator=torch.Generator().manual_seed(0))
    for row, length in enumerate(lengths):
        ids[row, length:] = STOP
    counts = torch.tensor(lengths)
    return Codes(ids=ids, lengths=counts, finished=counts < width, hidden=torch.zeros(len(lengths), width, 2))


def part(codes: Codes, start: int, stop: int, width: int) -> Codes:
    return Codes(
        ids=codes.ids[start:stop, :width], lengths=codes.lengths[start:stop], finished=codes.finished[start:stop]
    )


@pytest.mark.parametrize("pad_to", [None, 30])
def test_scores_do_not_depend_on_the_batch(clvp: Clvp, pad_to: int | None) -> None:
    codes = rows((4, 9, 7, 16))
    ranker = Ranker(clvp, TEXT, stop_token=STOP, silence_code=CALM, pad_to=pad_to)
    whole = ranker.scores(codes)
    assert len(set(whole)) == 4
    alone = (
        ranker.scores(part(codes, 0, 1, 5))
        + ranker.scores(part(codes, 1, 3, 10))
        + ranker.scores(part(codes, 3, 4, 16))
    )
    assert alone == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize("pad_to", [None, 30])
def test_memory_is_bounded(clvp: Clvp, pad_to: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows at once, those of like length together: 64 positions are 4 rows of 16, or 2 of 30."""
    codes = rows((4, 9, 7, 16, 0, 3, 12, 5, 16))
    ranker = Ranker(clvp, TEXT, stop_token=STOP, silence_code=CALM, pad_to=pad_to)
    at_once, shapes = ranker.scores(codes), list[tuple[int, ...]]()
    monkeypatch.setattr("tutortoietts.engine.rerank._POSITIONS", 64)
    encode = clvp.encode_codes
    monkeypatch.setattr(
        clvp, "encode_codes", lambda ids, lengths: shapes.append(tuple(ids.shape)) or encode(ids, lengths)
    )
    assert ranker.scores(codes) == pytest.approx(at_once, rel=1e-4)
    assert shapes == ([(4, 5), (4, 16), (1, 16)] if pad_to is None else [(2, 30)] * 4 + [(1, 30)])


def test_half_precision_ranks_alike(clvp: Clvp) -> None:
    half = Clvp(clvp.cfg).eval().requires_grad_(False)
    half.load_state_dict(clvp.state_dict())
    codes = rows((4, 9, 7, 16))
    exact, rough = (
        torch.tensor(Ranker(model, TEXT, stop_token=STOP, silence_code=CALM).scores(codes))
        for model in (clvp, half.bfloat16())
    )
    assert (exact - rough).abs().max() < 0.02 * clvp.temperature.exp() < 0.2


def test_padding_as_the_original_does(clvp: Clvp) -> None:
    codes = rows((4,))
    padded = Ranker(clvp, TEXT, stop_token=STOP, silence_code=CALM, pad_to=30).scores(codes)
    by_hand = torch.cat([codes.ids[:, :4], torch.full((1, 26), CALM)], dim=1)
    assert padded == pytest.approx(clvp(TEXT, by_hand).tolist(), rel=1e-5)
    plain = Ranker(clvp, TEXT, stop_token=STOP, silence_code=CALM).scores(codes)
    assert plain == pytest.approx(clvp(TEXT, codes.ids[:, :4]).tolist(), rel=1e-4)
    assert plain != pytest.approx(padded, rel=1e-3)


def test_a_row_without_codes_has_a_score(clvp: Clvp) -> None:
    assert torch.tensor(Ranker(clvp, TEXT, stop_token=STOP, silence_code=None).scores(rows((0, 3)))).isfinite().all()


def test_cvvp_is_blended(clvp: Clvp, cvvp: Cvvp) -> None:
    codes, mels = rows((8, 5)), torch.randn(1, 2, 80, 40, generator=torch.Generator().manual_seed(1))

    def scores(amount: float) -> torch.Tensor:
        ranker = Ranker(
            clvp, TEXT, stop_token=STOP, silence_code=CALM, pad_to=20, cvvp=cvvp, mels=mels, cvvp_amount=amount
        )
        return torch.tensor(ranker.scores(codes))

    voice, words = scores(1.0), Ranker(clvp, TEXT, stop_token=STOP, silence_code=CALM, pad_to=20).scores(codes)
    torch.testing.assert_close(scores(0.25), 0.25 * voice + 0.75 * torch.tensor(words))
    shown = torch.where(codes.ids == STOP, CALM, codes.ids)
    shown = torch.nn.functional.pad(shown, (0, 4), value=CALM)
    by_hand = torch.stack([cvvp(mels[:, clip], shown) for clip in range(2)]).mean(dim=0)
    torch.testing.assert_close(voice, by_hand, rtol=1e-4, atol=1e-5)


def test_ctc_adds_its_log_likelihood(clvp: Clvp, ctc: Ctc) -> None:
    codes = rows((4, 9, 7, 16))
    parts = [
        torch.tensor(Ranker(*models, TEXT, stop_token=STOP, silence_code=None, ctc=recogniser).scores(codes))
        for models, recogniser in (([clvp], None), ([None], ctc), ([clvp], ctc))
    ]
    torch.testing.assert_close(parts[0] + parts[1], parts[2])
    by_hand = [ctc(TEXT, codes.ids[row : row + 1, :length]) for row, length in enumerate((4, 9, 7, 16))]
    torch.testing.assert_close(parts[1], torch.cat(by_hand))


def test_a_candidate_too_short_for_the_text_is_ranked_last(clvp: Clvp, ctc: Ctc) -> None:
    ranker = Ranker(clvp, torch.arange(1, 12)[None], stop_token=STOP, silence_code=None, ctc=ctc)
    assert [one.row for one in best(ranker.candidates(rows((5, 0, 9)), 0), 3)][-2:] == [0, 1]


def test_without_a_ranking_model_all_are_equal() -> None:
    ranker = Ranker(None, TEXT, stop_token=STOP, silence_code=None)
    found = best(ranker.candidates(rows((16, 5, 9)), first_row=10), 2)
    assert [one.row for one in found] == [11, 12]


def test_best_prefers_what_stopped_then_the_score_then_the_first() -> None:
    codes = rows((3,))
    made = [
        Candidate(row=row, score=score, finished=finished, codes=codes)
        for row, (score, finished) in enumerate([(9.0, False), (1.0, True), (2.0, True), (2.0, True)])
    ]
    assert [one.row for one in best(made, 4)] == [2, 3, 1, 0]
    assert [one.row for one in best(made[::-1], 2)] == [2, 3]


def test_candidates_do_not_keep_their_batch() -> None:
    codes = rows((3, 4))
    one = Ranker(None, TEXT, stop_token=STOP, silence_code=None).candidates(codes, 0)[1].codes
    assert one.ids.untyped_storage().nbytes() < codes.ids.untyped_storage().nbytes()
    assert one.hidden is not None and one.hidden.shape == (1, 16, 2)
