"""Damaged sound files, weights, voices and configurations for `benchmarks/fuzz.py`: made and tried, one by one."""

from __future__ import annotations

import io
import json
import math
import random
import resource
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import soundfile
import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from fuzz_text import TOKENIZER, check, hostile_texts
from tiny_model import make_tiny_model
from tutortoietts import TextToSpeech
from tutortoietts.audio.io import load_clip
from tutortoietts.core.errors import TutortoieError
from tutortoietts.text.tokenizer import Tokenizer

Case = Callable[[int], "str | None"]
"""Number of a case -> what was wrong with it, or None. Only the errors of `core/errors.py` are right."""

_MOST_BYTES = 200_000_000  # that a sound file may add to the process
_FORMATS = (
    ("wav", "WAV", "PCM_16"), ("wav", "WAV", "FLOAT"), ("wav", "WAV", "ULAW"), ("flac", "FLAC", "PCM_16"),
    ("ogg", "OGG", "VORBIS"), ("opus", "OGG", "OPUS"), ("mp3", "MP3", "MPEG_LAYER_III"), ("aiff", "AIFF", "PCM_16"),
    ("au", "AU", "PCM_16"), ("wav", "RF64", "PCM_24"),
)  # fmt: skip
_NUMBERS = (
    0,
    1,
    -1,
    7,
    10**6,
    2**31,
    2**63,
    -(2**63),
    10**30,
    0.5,
    1e300,
    math.nan,
    math.inf,
    None,
    True,
    "",
    "a",
    [],
    {},
)


def texts(seed: int, count: int, folder: Path) -> Case:
    """Hostile texts through the normaliser, the splitter and the tokenizer."""
    made = list(hostile_texts(seed, count))
    tokenizer = Tokenizer(TOKENIZER, unknown="drop")
    return lambda number: check(made[number], tokenizer, ("en", "en-US", "en-GB")[number % 3])


def sounds(seed: int, count: int, folder: Path) -> Case:
    """Damaged sound files as reference clips."""
    wave = 0.1 * torch.randn(24000 * 3, generator=torch.Generator().manual_seed(seed)).numpy()
    originals = []
    for suffix, container, subtype in _FORMATS:
        buffer = io.BytesIO()
        soundfile.write(buffer, wave, 24000, subtype, format=container)
        originals.append((suffix, buffer.getvalue()))

    def one(number: int) -> str | None:
        draw = random.Random(seed * 1_000_003 + number)
        suffix, data = originals[number % len(originals)]
        path = folder / f"clip.{suffix}"
        path.write_bytes(_damaged(data, draw))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        fault = _tried(lambda: load_clip(path, 22050))
        more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        return f"{more >> 20} MB more" if more > _MOST_BYTES else fault

    return one


def files(seed: int, count: int, folder: Path) -> Case:
    """Damaged weights, voices, tokenizers and specifications of a tiny model that then speaks one word."""
    good, bad = make_tiny_model(folder / "good"), folder / "bad"
    names = sorted(str(path.relative_to(good)) for path in good.rglob("*") if path.is_file())

    def one(number: int) -> str | None:
        draw = random.Random(seed * 1_000_003 + number)
        shutil.rmtree(bad, ignore_errors=True)
        shutil.copytree(good, bad)
        name = draw.choice(("model.json", "tokenizer.json", "voices/anna.safetensors", "voices/carl.pth", *names))
        path = bad / name
        if name.endswith(".pth"):
            _damage_pickle(path, draw)
        elif name.endswith(".json") and draw.random() < 0.8:
            _damage_json(path, draw)
        elif name.endswith(".safetensors") and draw.random() < 0.6:
            _damage_tensors(path, draw)
        else:
            path.write_bytes(_damaged(path.read_bytes(), draw))
        voice = str(bad / "voices" / "carl.pth") if name.endswith(".pth") else "anna"
        options = {"num_autoregressive_samples": 2, "diffusion_iterations": 2, "max_mel_tokens": 8}

        def speak() -> None:
            speech = TextToSpeech(model=bad).speak("Hi there.", voice=voice, seed=1, **options)
            if not bool(speech.samples.isfinite().all()):
                raise AssertionError("the sound is no numbers")

        return _tried(speak, name)

    return one


def _tried(work: Callable[[], object], what: str = "") -> str | None:
    try:
        work()
    except TutortoieError as error:
        return None if "\n" not in str(error) or len(str(error)) < 2000 else f"{what}: a message of {len(str(error))}"
    except Exception as error:
        return f"{what} {type(error).__name__}: {str(error)[:200]}"
    return None


def _damaged(data: bytes, draw: random.Random) -> bytes:
    """Change bytes, most of them near the beginning, cut, double or fill with others."""
    changed = bytearray(data)
    kind = draw.randrange(6)
    if kind == 0:
        return bytes(changed[: draw.randrange(len(changed))])
    if kind == 1:
        place = draw.randrange(len(changed))
        return bytes(changed[:place] + draw.randbytes(draw.randrange(1, 5000)) + changed[place:])
    if kind == 2:
        place = draw.randrange(min(120, len(changed) - 4))
        changed[place : place + 4] = struct.pack("<I", draw.choice((0, 1, 5, 2**31 - 1, 2**31, 2**32 - 1)))
        return bytes(changed)
    reach = len(changed) if kind == 3 else min(200, len(changed))
    for _ in range(draw.choice((1, 3, 30))):
        changed[draw.randrange(reach)] = draw.randrange(256)
    return bytes(changed)


def _damage_json(path: Path, draw: random.Random) -> None:
    if draw.random() < 0.1:
        path.write_text(
            draw.choice(("[" * 200_000, '{"a":' * 100_000, "", "null", "[]", "1e999", '"x"')), encoding="utf-8"
        )
        return
    values = json.loads(path.read_text(encoding="utf-8"))
    places = list(_places(values))
    holder, key = draw.choice(places)
    kind = draw.randrange(3)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[draw.choice(("\x1b[31mred", "k" * 100_000, "layer"))] = holder.pop(key)
    else:
        holder[key] = draw.choice(_NUMBERS)
    if path.name == "tokenizer.json" and draw.random() < 0.2:
        values["padding"] = {
            "strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "[STOP]",
        }  # fmt: skip
    path.write_text(json.dumps(values), encoding="utf-8")


def _places(values: Any) -> Any:
    pairs = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in list(pairs):
        yield values, key
        yield from _places(value)


def _damage_tensors(path: Path, draw: random.Random) -> None:
    tensors = {key: tensor.clone() for key, tensor in load_file(path).items()}
    key = draw.choice(sorted(tensors))
    kind = draw.randrange(6)
    if kind == 0:
        tensors[key] = tensors[key].float()
        tensors[key].view(-1)[0] = draw.choice((math.nan, math.inf, 3e38, -3e38, 1e30))
    elif kind == 1:
        del tensors[key]
    elif kind == 2:
        tensors[draw.choice(("\x1b]0;x\x07", "k" * 100_000, "a.b"))] = tensors.pop(key)
    elif kind == 3:
        tensors[key] = tensors[key].reshape(-1)[: draw.randrange(1, 50)].clone()
    elif kind == 4:
        tensors[key] = tensors[key].to(draw.choice((torch.float8_e4m3fn, torch.int64, torch.bool, torch.float64)))
    else:
        tensors[key] = torch.full_like(tensors[key], draw.choice((0.0, 60000.0, -60000.0)))
    save_file(
        tensors, path, {"format": "tutortoietts-voice-1", "name": "\x1b[2J", "model": "tiny", "tutortoietts": "1"}
    )


def _damage_pickle(path: Path, draw: random.Random) -> None:
    pair: Any = (torch.randn(1, 64), torch.randn(1, 128))
    pair = draw.choice(
        (
            pair,
            (torch.zeros(1).expand(1, 10**9), pair[1]),
            (pair[0].to_sparse(), pair[1]),
            (pair[0].double() * 1e300, pair[1]),
            (pair[0] * 3e38, pair[1]),
            (pair[0].to(torch.float8_e5m2), pair[1]),
            (pair[0],), [], {}, "x", (pair[0], None), (pair[0][0], pair[1]), pair[0],
        )
    )  # fmt: skip
    torch.save(pair, path, _use_new_zipfile_serialization=draw.random() < 0.7)
    if draw.random() < 0.5:
        path.write_bytes(_damaged(path.read_bytes(), draw))


KINDS: dict[str, Callable[[int, int, Path], Case]] = {"texts": texts, "sounds": sounds, "files": files}
