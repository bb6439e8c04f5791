"""Tortoise text to speech: `TextToSpeech().tts("Hello.")` gives a (1, 1, samples) tensor at 24 kHz.

Importing this package is cheap: torch and the models load when a name that needs them is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tutortoietts.version import __version__

if TYPE_CHECKING:
    from tutortoietts.api import TextToSpeech as TextToSpeech
    from tutortoietts.core.errors import AudioError as AudioError
    from tutortoietts.core.errors import Cancelled as Cancelled
    from tutortoietts.core.errors import FetchError as FetchError
    from tutortoietts.core.errors import ModelError as ModelError
    from tutortoietts.core.errors import OptionError as OptionError
    from tutortoietts.core.errors import OutputError as OutputError
    from tutortoietts.core.errors import TextError as TextError
    from tutortoietts.core.errors import TutortoieError as TutortoieError
    from tutortoietts.core.errors import VoiceError as VoiceError
    from tutortoietts.engine.detect import detect as detect
    from tutortoietts.engine.speech import Speech as Speech
    from tutortoietts.engine.speech import SpeechStream as SpeechStream

# Public name -> the module that has it.
_HOMES = {
    "detect": "engine.detect",
    "Speech": "engine.speech",
    "SpeechStream": "engine.speech",
    "AudioError": "core.errors",
    "Cancelled": "core.errors",
    "FetchError": "core.errors",
    "ModelError": "core.errors",
    "OptionError": "core.errors",
    "OutputError": "core.errors",
    "TextError": "core.errors",
    "TextToSpeech": "api",
    "TutortoieError": "core.errors",
    "VoiceError": "core.errors",
}

__all__ = [  # noqa: RUF022  (the class people come for, then errors)
    "TextToSpeech",
    "Speech",
    "SpeechStream",
    "detect",
    "TutortoieError",
    "AudioError",
    "Cancelled",
    "FetchError",
    "ModelError",
    "OptionError",
    "OutputError",
    "TextError",
    "VoiceError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
