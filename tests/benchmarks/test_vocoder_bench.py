"""The benchmark of the vocoders runs, on a toy, and says at the end in JSON what it found."""

from __future__ import annotations

from test_decode_bench import report

from tutortoietts.native.vocoder_conv import can_convolve


def test_vocoder() -> None:
    _, found = report("vocoder.py", "--tiny", "--runs", "1")
    ways = ["torch", *(["float32"] if can_convolve() else []), *(["split"] if can_convolve(split=True) else [])]
    assert [(row["model"], row["way"]) for row in found["speed"]] == [
        (m, w) for m in ("bigvgan", "hifigan") for w in ways
    ]
    assert all(row["seconds"] > 0 for row in found["speed"])
    assert all(row["signal_to_noise"] > 50 and row["mel_distance"] < 0.02 for row in found["loss"])
