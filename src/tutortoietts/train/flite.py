"""The teacher flite, through its C library: 16 kHz speech with the phones it consists of and when they end.

Needs Debian's ``libflite1`` (a BSD-style licence; the voices slt, rms, awb and kal16 are CMU's own).
"""

# ruff: noqa: RUF001

from __future__ import annotations

import ctypes as c

import numpy as np

from tutortoietts.core.errors import TutortoieError
from tutortoietts.train.phones import PHONE_INDEX, Utterance

_IPA = dict(
    pair.split(":")
    for pair in (
        "pau:_ aa:ɑ ae:æ ah:ʌ ao:ɔ aw:a ax:ə ay:a b:b ch:ʃ d:d dh:ð eh:ɛ er:ɚ ey:e f:f g:ɡ hh:h ih:ɪ iy:i jh:ʒ k:k l:l "
        "m:m n:n ng:ŋ ow:o oy:ɔ p:p r:ɹ s:s sh:ʃ t:t th:θ uh:ʊ uw:u v:v w:w y:j z:z zh:ʒ"
    ).split()
)


class _Voice(c.Structure):
    _fields_ = (("name", c.c_char_p), ("features", c.c_void_p))


class _Wave(c.Structure):
    _fields_ = (
        ("type", c.c_char_p),
        ("sample_rate", c.c_int),
        ("num_samples", c.c_int),
        ("num_channels", c.c_int),
        ("samples", c.POINTER(c.c_short)),
    )


class Flite:
    """The synthesiser with its voices registered on first use. One a process: the library is not re-entrant."""

    def __init__(self) -> None:
        try:
            self._lib = c.CDLL("libflite.so.1", mode=c.RTLD_GLOBAL)
            for name in ("usenglish", "cmulex"):
                c.CDLL(f"libflite_{name}.so.1", mode=c.RTLD_GLOBAL)
        except OSError as error:
            raise TutortoieError(
                f"flite's library cannot be loaded ({error}); install it: apt-get install libflite1"
            ) from error
        self._voices: dict[str, int] = {}
        lib, pointer, text = self._lib, c.c_void_p, c.c_char_p
        signatures = {
            "flite_init": (c.c_int, []),
            "flite_synth_text": (pointer, [text, pointer]),
            "utt_wave": (c.POINTER(_Wave), [pointer]),
            "utt_relation": (pointer, [pointer, text]),
            "relation_head": (pointer, [pointer]),
            "item_next": (pointer, [pointer]),
            "item_feat_string": (text, [pointer, text]),
            "item_feat_float": (c.c_float, [pointer, text]),
            "delete_utterance": (None, [pointer]),
            "feat_set_float": (None, [pointer, text, c.c_float]),
        }
        for name, (result, arguments) in signatures.items():
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments
        lib.flite_init()

    def _voice(self, name: str, pitch: float) -> int:
        if name not in self._voices:
            register = getattr(c.CDLL(f"libflite_cmu_us_{name}.so.1", mode=c.RTLD_GLOBAL), f"register_cmu_us_{name}")
            register.restype, register.argtypes = c.c_void_p, [c.c_char_p]
            self._voices[name] = register(None)
        voice = self._voices[name]
        features = c.cast(voice, c.POINTER(_Voice)).contents.features
        self._lib.feat_set_float(features, b"f0_shift", pitch)
        return voice

    def speak(self, voice: str, text: str, pitch: float = 1.0) -> Utterance:
        """Say ``text`` (ASCII) with the voice ``slt``, ``rms``, ``awb`` or ``kal16``, its pitch times ``pitch``
        (``rms`` takes no notice)."""
        lib = self._lib
        utterance = lib.flite_synth_text(text.encode("ascii"), self._voice(voice, pitch))
        wave = lib.utt_wave(utterance).contents
        rate = int(wave.sample_rate)
        samples = np.ctypeslib.as_array(wave.samples, (wave.num_samples,)).copy()
        phones: list[int] = []
        ends: list[float] = []
        segment = lib.relation_head(lib.utt_relation(utterance, b"Segment"))
        while segment:
            phones.append(PHONE_INDEX[_IPA[lib.item_feat_string(segment, b"name").decode()]])
            ends.append(lib.item_feat_float(segment, b"end"))
            segment = lib.item_next(segment)
        lib.delete_utterance(utterance)
        wave_form = samples.astype(np.float32) / 32768
        return Utterance(wave_form, rate, np.array(phones, np.int8), np.array(ends, np.float32))
