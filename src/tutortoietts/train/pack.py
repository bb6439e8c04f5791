"""The corpus in few bytes, for a machine that has not rendered it: codes, phones and texts of everything, Opus of some.

Ten hours of codes, phones and texts are under 2 MB; an hour of Opus is about 16 MB.
"""

from __future__ import annotations

import io
import json
import lzma
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from tutortoietts.core.errors import ModelError
from tutortoietts.train.data import RATE, Clip, read_shard, write_arrays, write_shard
from tutortoietts.train.features import CodedClip, read_coded, speaker_of, write_coded

__all__ = ["pack_codes", "pack_speech", "unpack_codes", "unpack_speech"]

CODE_BITS = 10
OPUS_LEVEL = 0.87  # of libsndfile's scale from 0, the most bits, to 1: about 36 kbit/s, a good teacher of vocoders


def to_bits(codes: npt.NDArray[np.int16], width: int = CODE_BITS) -> npt.NDArray[np.uint8]:
    """Pack codes (N,) below 2 ** width in ``width`` bits each; ValueError for one that is not."""
    if len(codes) and not 0 <= int(codes.min()) <= int(codes.max()) < 1 << width:
        raise ValueError(f"codes from {codes.min()} to {codes.max()} do not fit into {width} bits")
    return np.packbits((codes[:, None] >> np.arange(width)) & 1)


def from_bits(packed: npt.NDArray[np.uint8], count: int, width: int = CODE_BITS) -> npt.NDArray[np.int16]:
    """Return the codes (count,) that `to_bits` packed."""
    bits = np.unpackbits(packed, count=count * width).reshape(count, width)
    return np.asarray((bits.astype(np.int16) << np.arange(width, dtype=np.int16)).sum(1), np.int16)


def _squeezed(data: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME), np.uint8)


def pack_codes(sources: list[Path], target: Path) -> int:
    """Coded clips of all ``sources`` as one file; returns its size in bytes."""
    shards = [(path.stem, list(read_coded(path))) for path in sources]
    clips = [clip for _, of in shards for clip in of]
    index = {
        "shards": [[name, len(of)] for name, of in shards],
        "speakers": [of[0].speaker for _, of in shards],
        "lengths": [len(clip.codes) for clip in clips],
    }
    write_arrays(
        target,
        {"codes": len(clips), "bits": CODE_BITS},
        index=_squeezed(json.dumps(index).encode()),
        texts=_squeezed("\n".join(clip.text for clip in clips).encode()),
        codes=to_bits(np.concatenate([clip.codes for clip in clips])),
        phones=_squeezed(np.concatenate([clip.phones for clip in clips]).tobytes()),
    )
    return target.stat().st_size


def read_packed(source: Path) -> Iterator[tuple[str, list[CodedClip]]]:
    """Return the shards (name, clips) of a file of `pack_codes`; ModelError if it is none."""
    try:
        with np.load(source) as data:
            index = json.loads(lzma.decompress(data["index"].tobytes()))
            texts = lzma.decompress(data["texts"].tobytes()).decode().split("\n")
            codes = from_bits(data["codes"], sum(index["lengths"]), json.loads(data["meta"].tobytes())["bits"])
            phones = np.frombuffer(lzma.decompress(data["phones"].tobytes()), np.int8)
    except (KeyError, ValueError, lzma.LZMAError) as error:
        raise ModelError(f"{source} is no packed corpus: {error}") from error
    at = n = 0
    for (name, count), speaker in zip(index["shards"], index["speakers"], strict=True):
        clips = []
        for text, length in zip(texts[n : n + count], index["lengths"][n : n + count], strict=True):
            clips.append(CodedClip(speaker, text, codes[at : at + length], phones[at : at + length]))
            at += length
        n += count
        yield name, clips


def unpack_codes(source: Path, folder: Path) -> int:
    """Write files of codes in ``folder`` unless they are there; returns the number of clips."""
    total = 0
    for name, clips in read_packed(source):
        total += len(clips)
        if not (folder / f"{name}.npz").exists():
            write_coded(folder / f"{name}.npz", clips)
    return total


def pack_speech(sources: list[Path], target: Path, seconds: dict[str, float]) -> int:
    """Write shards as Opus in one file, about this many seconds of each speaker; returns its size in bytes.

    Phone times are left out.
    """
    index, blobs = {}, {}
    left = dict(seconds)
    for path in sources:
        clips = list[Clip]()
        for clip in read_shard(path) if left[speaker_of(path)] > 0 else ():
            if left[clip.speaker] <= 0:
                break
            left[clip.speaker] -= len(clip.samples) / RATE
            clips.append(clip)
        if not clips:
            continue
        stream = io.BytesIO()
        samples = np.concatenate([clip.samples for clip in clips])
        soundfile.write(stream, samples, RATE, format="OGG", subtype="OPUS", compression_level=OPUS_LEVEL)
        index[path.stem] = [[clip.speaker, clip.text, len(clip.samples)] for clip in clips]
        blobs[path.stem] = np.frombuffer(stream.getvalue(), np.uint8)
    write_arrays(target, index, **blobs)
    return target.stat().st_size


def unpack_speech(source: Path, folder: Path) -> int:
    """Write shards in ``folder`` unless they are there; returns the number of clips. Their phones are all silence."""
    with np.load(source) as data:
        index = json.loads(data["meta"].tobytes())
        packed = {name: data[name].tobytes() for name in index if not (folder / f"{name}.npz").exists()}

    def unpack(name: str) -> None:
        samples, _ = soundfile.read(io.BytesIO(packed[name]), dtype="int16")
        clips, at = [], 0
        for speaker, text, length in index[name]:
            end = np.array([length / RATE], np.float32)
            clips.append(Clip(speaker, text, samples[at : at + length], np.zeros(1, np.int8), end))
            at += length
        write_shard(folder / f"{name}.npz", clips)

    with ThreadPoolExecutor() as threads:  # what decodes Opus lets other threads run
        list(threads.map(unpack, packed))
    return sum(map(len, index.values()))
