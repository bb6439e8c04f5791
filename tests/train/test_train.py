"""The recipe: kernels and batches agree with the models, data is what it says, runs go on where they were."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import tiny_configs
import tutortoietts
from tutortoietts.core.errors import ModelError
from tutortoietts.core.presets import PRESETS
from tutortoietts.engine.denoise import mel_frames
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.sampling.schedule import trained_schedule
from tutortoietts.text.tokenizer import Tokenizer
from tutortoietts.train import corpus, ctc, data, decoder, gpt, kernels, kokoro, optim, pack, recipe
from tutortoietts.train.clvp import damage, misread
from tutortoietts.train.codes import CHARACTERS, write_tokenizer
from tutortoietts.train.data import Clip, read_shard, write_shard
from tutortoietts.train.dvae import Codebook
from tutortoietts.train.features import CodedClip, half_code_phones, phone_at, read_coded, shards, unseen, write_coded
from tutortoietts.train.notice import notice
from tutortoietts.train.optim import Trainer, warm
from tutortoietts.train.phones import PHONES, Utterance, timed

CONFIG = tiny_configs.autoregressive(64, model_dim=64, max_text_tokens=40, number_text_tokens=39, start_text_token=39)


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float(((ours.float() - theirs.float()).norm() / theirs.float().norm()).detach())


def coded(speaker: str, size: int, seed: int) -> CodedClip:
    rng = np.random.default_rng(seed)
    codes, phones = rng.integers(0, 64, size).astype(np.int16), rng.integers(0, 40, size).astype(np.int8)
    return CodedClip(speaker, "a b", codes, phones)


class FixedReferences:
    """The same reference mel every time."""

    def __init__(self) -> None:
        self.mel = torch.randn(1, 80, 20, generator=torch.Generator().manual_seed(1))

    def pooled(self, speaker: str, rng: random.Random, device: torch.device) -> torch.Tensor:
        return self.mel.to(device)


def test_a_padded_batch_computes_what_forward_computes() -> None:
    torch.manual_seed(0)
    model, references = Autoregressive(CONFIG), FixedReferences()
    items = [(coded("x", n, n), np.arange(3, 3 + t)) for n, t in ((9, 5), (14, 11))]
    clips = gpt.Clips(items, CONFIG)
    batch = clips.batch([0, 1], references, random.Random(0))  # type: ignore[arg-type]
    states = gpt.hidden(model.eval(), batch)[batch.code_at].split([10, 15])
    speaker = model.conditioning(references.mel[None])
    for (clip, ids), row in zip(items, states, strict=True):
        text = torch.tensor([[*ids.tolist(), 0]])
        latents, logits, _ = model(speaker, text, torch.from_numpy(clip.codes.astype(np.int64))[None])
        assert relative(row[:-1], latents[0]) < 1e-4
        assert relative(model.mel_logits(row), logits[0, :-1]) < 1e-4
    assert batch.codes.tolist()[9] == CONFIG.stop_mel_token


def test_codes_are_misheard_and_nothing_else_is() -> None:
    torch.manual_seed(0)
    items = [(coded("x", 40, n), np.arange(3, 13)) for n in range(20)]
    batch = gpt.Clips(items, CONFIG).batch(list(range(20)), FixedReferences(), random.Random(0))  # type: ignore[arg-type]
    heard = batch.tokens >= CONFIG.text_vocabulary
    heard &= batch.tokens != CONFIG.text_vocabulary + CONFIG.start_mel_token
    changed = gpt.misheard(batch, CONFIG, 0.25) != batch.tokens
    assert not changed[~heard].any() and 0.2 < float(changed[heard].float().mean()) < 0.3
    assert gpt.misheard(batch, CONFIG, 1.0).max() < CONFIG.text_vocabulary + CONFIG.start_mel_token + 1


def test_layers_drop_in_training_alone() -> None:
    torch.manual_seed(0)
    model, x = Autoregressive(CONFIG), torch.randn(1, 9, 64)
    names = list(model.state_dict())
    before = model.hidden_states(x)
    gpt.drop_in_training(layer for block in model.gpt.blocks for layer in (block.proj, block.narrow))  # type: ignore[misc]
    assert not torch.equal(model.hidden_states(x), before)
    assert torch.equal(model.eval().hidden_states(x), before) and list(model.state_dict()) == names


def test_trunk_with_our_kernels_is_the_models_trunk() -> None:
    if kernels.library() is None:
        pytest.skip("no C compiler: the model's own forward pass is used instead")
    torch.manual_seed(0)
    exact = Autoregressive(CONFIG)
    nn.init.normal_(exact.gpt.blocks[0].qkv.weight, std=0.3)  # type: ignore[union-attr, arg-type]
    model = Autoregressive(CONFIG)
    model.load_state_dict(exact.state_dict())
    model.bfloat16()
    x, grad = torch.randn(3, 21, 64), torch.randn(3, 21, 64)
    a, b = x.clone().requires_grad_(), x.bfloat16().requires_grad_()
    oracle, ours = exact.hidden_states(a), kernels.hidden_states(model, b)
    oracle.backward(grad)
    ours.backward(grad.bfloat16())
    assert relative(ours, oracle) < 0.02
    assert relative(b.grad, a.grad) < 0.03  # type: ignore[arg-type]
    for p, q in zip(model.gpt.blocks.parameters(), exact.gpt.blocks.parameters(), strict=True):
        assert relative(p.grad, q.grad) < 0.08  # type: ignore[arg-type]


def test_order_covers_every_clip_once() -> None:
    clips = gpt.Clips([(coded("x", 5 + n % 30, n), np.arange(3, 10)) for n in range(100)], CONFIG)
    batches = list(clips.order(random.Random(0), tokens=200, longest=1000))
    assert sorted(n for batch in batches for n in batch) == list(range(100))
    assert all(len(b) * max(map(clips.length, b)) <= 200 for b in batches)


def test_clips_too_long_for_the_model_are_left_out() -> None:
    items = [(coded("x", 59, 0), np.arange(3, 8)), (coded("x", 58, 0), np.arange(3, 8))]
    assert len(gpt.Clips(items, CONFIG).items) == 1


def test_every_speaker_is_made_of_styles_that_there_are() -> None:
    for name in (*data.speakers(), *data.UNKNOWN):
        assert set(data.parse_speaker(name).styles) <= set(data.ALL_STYLES), name
    with pytest.raises(ValueError, match="no speaker 'alphq'"):
        data.parse_speaker("alphq")


def test_training_goes_on_where_it_was(tmp_path: Path) -> None:
    def run(steps: int, path: Path) -> torch.Tensor:
        torch.manual_seed(1)
        model = nn.Linear(4, 4)
        trainer = Trainer(nn.ModuleDict({"model": model}), path, minutes=1e6, rate=0.1)
        for _ in range(steps):
            x = torch.full((2, 4), 0.1 * trainer.steps, dtype=torch.bfloat16)
            trainer.step((model(x).float() - 1).square().mean())
        trainer.save()
        return trainer.master["model.weight"].detach()

    whole = run(6, tmp_path / "whole.ckpt")
    run(3, tmp_path / "parts.ckpt")
    assert torch.allclose(run(3, tmp_path / "parts.ckpt"), whole, atol=1e-5)


def test_the_decoders_schedule_is_the_samplers() -> None:
    schedule = trained_schedule()
    steps = torch.tensor([0.0, 10, 500, 1200, 2500, 3999])
    alpha, sigma = decoder.alpha_sigma(steps)
    for i, step in enumerate(steps.tolist()):
        assert float(alpha[i]) == pytest.approx(schedule.alpha(step), rel=0.01)
        assert float(sigma[i]) == pytest.approx(schedule.sigma(step), rel=0.02)


def test_seventeen_codes_are_a_whole_number_of_frames() -> None:
    assert abs(decoder.UNIT_CODES * 4 * 24000 / 22050 - decoder.UNIT_FRAMES) < 0.02
    assert mel_frames(118) == 513


def test_the_bundled_model_has_the_recipes_presets_and_none_of_them_starts_from_noise() -> None:
    shipped = json.loads((Path(tutortoietts.__file__).parent / "bundled" / "model.json").read_text())["presets"]
    assert shipped == recipe.PRESETS and set(PRESETS) < set(shipped)
    assert {preset["diffusion_start"] for preset in shipped.values()} == {"streamed"}


def test_number_words() -> None:
    assert corpus.number_words(0) == "zero"
    assert corpus.number_words(42) == "forty-two"
    assert corpus.number_words(305) == "three hundred five"
    assert corpus.number_words(12_070) == "twelve thousand, seventy"


def test_templates_fill_completely_and_use_known_characters() -> None:
    lists, rng = corpus.read_templates(), random.Random(3)
    for _ in range(300):
        text = corpus.template_sentence(rng, lists)
        assert set(text.lower()) <= set(CHARACTERS) | {" "}, text


def test_tokenizer_file_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    write_tokenizer(path)
    tokenizer = Tokenizer(path)
    tokens = tokenizer.encode("Hello, you!")
    assert tokens.ids.shape == (1, len("hello, you!"))
    assert len(set(tokenizer.ids("abcdefghijklmnopqrstuvwxyz '.,?!"))) == 32


def test_damage_always_changes_the_codes() -> None:
    rng = random.Random(0)
    codes, other = np.arange(40, dtype=np.int16), np.arange(100, 130, dtype=np.int16)
    assert all(not np.array_equal(damage(codes, other, rng), codes) for _ in range(50))


def test_shards_and_codes_read_back(tmp_path: Path) -> None:
    clip = Clip("alpha", "hi.", np.arange(800, dtype=np.int16), np.array([0, 5], np.int8), np.array([0.02, 0.05], "f4"))
    write_shard(tmp_path / "s.npz", [clip, clip])
    first, second = read_shard(tmp_path / "s.npz")
    assert first.text == "hi." and np.array_equal(second.samples, clip.samples)
    assert np.array_equal(second.ends, clip.ends)
    write_coded(tmp_path / "c.npz", [coded("x", 7, 1), coded("y", 3, 2)])
    assert [(c.speaker, len(c.codes)) for c in read_coded(tmp_path / "c.npz")] == [("x", 7), ("y", 3)]


def test_shards_that_are_not_learned_from_come_first_where_they_are_wanted(tmp_path: Path) -> None:
    for name in ("joe_000", "alpha_000", "alpha_001", "alpha_002", "alpha_003", "alpha_004"):
        (tmp_path / f"{name}.npz").touch()
    assert [path.stem for path in shards(tmp_path, 2)] == ["alpha_000", "alpha_001", "joe_000"]
    assert [path.stem for path in shards(tmp_path, 2, unseen_first=True)] == ["alpha_003", "alpha_000", "joe_000"]
    assert [path.stem for path in shards(tmp_path, speakers=["alpha"]) if unseen(path)] == ["alpha_003"]


def test_phones_of_half_codes() -> None:
    ends = np.array([0.03, 0.10], np.float32)
    clip = Clip("slt", "hi.", np.zeros(1600, np.int16), np.array([4, 9], np.int8), ends)
    assert phone_at(clip, np.array([0.0, 0.029, 0.05, 0.2])).tolist() == [4, 4, 9, 0]
    assert len(half_code_phones(clip, 3)) == 6


def test_codebook_follows_its_points_and_revives_the_dead() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(400, 2, generator=generator) * 0.01 + torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(200, 1)
    book = Codebook(4, 2)
    book.start(points, generator)
    for _ in range(300):
        book.update(points, book.nearest(points), generator)
    distance = torch.cdist(points, book.entries).min(1).values
    assert float(distance.max()) < 0.1


def test_codes_keep_their_bits() -> None:
    codes = np.random.default_rng(0).integers(0, 1024, 77).astype(np.int16)
    packed = pack.to_bits(codes)
    assert len(packed) == 97 and np.array_equal(pack.from_bits(packed, 77), codes)
    with pytest.raises(ValueError, match="do not fit into 10 bits"):
        pack.to_bits(np.array([1024], np.int16))


def test_a_packed_corpus_reads_back(tmp_path: Path) -> None:
    write_coded(tmp_path / "x_000.npz", [coded("x", 7, 1), coded("x", 3, 2)])
    write_coded(tmp_path / "y_000.npz", [coded("y", 5, 3)])
    pack.pack_codes([tmp_path / "x_000.npz", tmp_path / "y_000.npz"], tmp_path / "corpus.npz")
    assert pack.unpack_codes(tmp_path / "corpus.npz", tmp_path / "out") == 3
    for name in ("x_000.npz", "y_000.npz"):
        for ours, theirs in zip(read_coded(tmp_path / "out" / name), read_coded(tmp_path / name), strict=True):
            assert (ours.speaker, ours.text) == (theirs.speaker, theirs.text)
            assert np.array_equal(ours.codes, theirs.codes) and np.array_equal(ours.phones, theirs.phones)
    with pytest.raises(ModelError, match="no packed corpus"):
        pack.unpack_codes(tmp_path / "x_000.npz", tmp_path / "other")


def test_packed_speech_is_as_long_and_sounds_alike(tmp_path: Path) -> None:
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(24000) / 24000)).astype(np.int16)
    ends = np.array([1.0], np.float32)
    clips = [Clip("x", text, piece, np.zeros(1, np.int8), ends) for text, piece in (("a", tone), ("b", tone[:9000]))]
    write_shard(tmp_path / "x_000.npz", clips)
    write_shard(tmp_path / "x_001.npz", clips)
    sources = [tmp_path / "x_000.npz", tmp_path / "x_001.npz"]
    pack.pack_speech(sources, tmp_path / "speech.npz", {"x": 1.2})
    assert pack.unpack_speech(tmp_path / "speech.npz", tmp_path / "out") == 2
    assert not (tmp_path / "out" / "x_001.npz").exists()
    first, second = read_shard(tmp_path / "out" / "x_000.npz")
    assert (len(first.samples), len(second.samples), second.text) == (24000, 9000, "b")
    assert np.corrcoef(first.samples[2000:], tone[2000:])[0, 1] > 0.98


def test_weights_to_begin_with() -> None:
    model = nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    start = {"0.weight": torch.ones(6, 3), "1.weight": torch.ones(2, 5), "1.bias": torch.ones(2)}
    warm(model, start, skip=("1.bias",))
    after = model.state_dict()
    assert torch.equal(after["0.weight"], torch.ones(4, 3))  # the rows that both have
    assert all(torch.equal(after[name], before[name]) for name in ("1.weight", "1.bias"))


def test_a_text_is_misread() -> None:
    rng = random.Random(0)
    ids, other = np.array([3, 4, 2, 5, 6, 7]), np.array([8, 2, 9])
    assert all(not np.array_equal(misread(ids, other, rng, space=2), ids) for _ in range(50))
    assert len(misread(np.array([3]), np.array([3]), rng, space=2))


@pytest.mark.parametrize(
    ("name", "styles", "warp", "pitch"),
    [
        ("joex084", {}, 0.84, 1.0),
        ("alpha", {"alpha": 1.0}, 1.0, 1.0),
        ("alpha120kumo-20", {"alpha": 1.2, "kumo": -0.2}, 1.0, 1.0),
        ("alpha50kumo50x092p115", {"alpha": 0.5, "kumo": 0.5}, 0.92, 1.15),
        ("kumop125", {"kumo": 1.0}, 1.0, 1.25),
        ("onyxx092p115", {"onyx": 1.0}, 0.92, 1.15),  # an x and a p of its own
        ("alpha120kumo-20x092p115", {"alpha": 1.2, "kumo": -0.2}, 0.92, 1.15),
    ],
)
def test_names_of_speakers(name: str, styles: dict[str, float], warp: float, pitch: float) -> None:
    assert data.parse_speaker(name) == data.Speaker(styles, warp, pitch)


def test_styles_are_read_or_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTORTOIETTS_KOKORO_STYLES", str(tmp_path))
    with pytest.raises(ModelError, match=r"no style af_alloy\.bin in .*npm pack kokoro-js"):
        kokoro.read_styles()
    for number, file in enumerate(kokoro.STYLES.values()):
        np.full((kokoro.LENGTHS, kokoro.WIDTH), number, "<f4").tofile(tmp_path / file)
    styles = kokoro.read_styles()
    assert list(styles) == list(kokoro.STYLES) and len(styles) == 33
    assert styles["heart"].shape == (kokoro.LENGTHS, kokoro.WIDTH) and styles["kumo"][0, 0] == len(styles) - 1


def test_every_voice_has_a_name_and_hours() -> None:
    assert set(data.NAMES) == set(data.VOICES) == set(recipe.VOICES)
    assert list(data.speakers())[: len(data.VOICES)] == list(recipe.VOICES)


def test_no_speaker_of_training_is_one_kept_unknown() -> None:
    known = [data.parse_speaker(name) for name in data.speakers()]
    assert all(data.parse_speaker(name) not in known for name in data.UNKNOWN)
    assert set(data.speakers(("joe",))) == {name for name in data.speakers() if name.startswith("joe")}
    with pytest.raises(ValueError, match="no speaker"):
        data.parse_speaker("x100")


def test_phones_are_timed() -> None:
    symbols = ["^", "\u02c8", "a", "", "i", " ", "b", " ", "\u02d0", ".", "$"]  # marks of stress and of length
    phones, ends = timed(symbols, np.array([0.1, 0, 0.1, 0.02, 0.1, 0.03, 0.1, 0.2, 0.1, 0.1, 0.1]))
    assert [PHONES[p] for p in phones] == ["_", "a", "i", "b", "_", "_", "_"]
    assert ends.tolist() == pytest.approx([0.1, 0.22, 0.35, 0.45, 0.75, 0.85, 0.95])


def test_speech_is_trimmed_and_levelled() -> None:
    tone = 0.02 * np.sin(2 * np.pi * 300 * np.arange(22050) / 22050)
    samples = np.concatenate((np.zeros(11025), tone, np.zeros(11025))).astype(np.float32)
    said = Utterance(samples, 22050, np.array([0, 5, 0], np.int8), np.array([0.5, 1.5, 2.0], np.float32))
    cut = data.trim(said)
    assert cut.rate == 24000 and len(cut.samples) == pytest.approx(1.26 * 24000, abs=2)
    assert cut.ends.tolist() == pytest.approx([0.06, 1.06, 1.26], abs=1e-3)
    speech = cut.samples[round(0.06 * 24000) : round(1.06 * 24000)]
    assert 10 * np.log10(np.mean(speech**2)) == pytest.approx(-21, abs=0.2)


def test_a_notice_names_the_teachers() -> None:
    both = notice({data.teacher_of(name) for name in data.speakers()})
    assert "Kokoro" in both and "lessac" in both
    assert "lessac" not in notice({data.teacher_of("alpha50kumo50")})


def test_the_recogniser_learns_what_codes_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every character is its own three codes, so a few seconds are enough."""
    monkeypatch.setattr(optim, "PROCESSOR_TIME", True)
    monkeypatch.setattr(ctc, "ROWS", 24)
    rng = np.random.default_rng(0)
    items = []
    for _ in range(200):
        ids = rng.permutation(8)[: rng.integers(3, 7)] + 3
        spoken = np.repeat(3 * ids, 3) + np.tile(np.arange(3), len(ids))
        items.append((CodedClip("x", "", spoken.astype(np.int16), np.repeat(ids, 3).astype(np.int8)), ids))
    clips, logged = gpt.Clips(items, CONFIG), list[dict[str, float]]()
    config = tiny_configs.ctc(dim=64, num_text_tokens=12, num_speech_tokens=40)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # others would spin, and their time counts
    try:
        ctc.train(clips, clips, config, tmp_path / "ctc.ckpt", 0.06, lambda **values: logged.append(values))  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(threads)
    assert logged[-1]["val_text"] < 0.5  # nats a character; 2.1 know that there are eight
