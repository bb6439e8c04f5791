"""The notice that a model carries: whom it learned from, under which licences."""

from __future__ import annotations

__all__ = ["notice", "teachers_in"]

_HEAD = """# Notice

This voice model is part of Tutortoie TTS and is under its licence, Apache-2.0. It is a small Tortoise; how it was
trained is told in `docs/training.md` of the project. It learned to speak from synthetic speech, and no part of the
synthesisers named here is in this folder.
"""
_TEACHERS = {
    "kokoro": """
## Kokoro-82M

By hexgrad, Apache-2.0 (https://huggingface.co/hexgrad/Kokoro-82M), in the ONNX form of kokoro-onnx by thewh1teagle,
MIT, with the styles in kokoro-js by hexgrad and Xenova, Apache-2.0. It was trained on permissively licensed,
public-domain and synthetic speech. Of that its card credits, as CC BY, readings of the Koniwa corpus (`tnc`,
https://github.com/koniwa/koniwa, CC BY 3.0) and the SIWIS database (CC BY 4.0); its voice list names the readings of
four styles: `jf_gongitsune` *Gongitsune*, `jf_nezumi` *Nezumi no yomeiri*, `jf_tebukuro` *Tebukuro o kai ni*,
`jm_kumo` *Kumo no ito*.
""",
    "flite": """
## CMU Flite, voices slt, rms and kal16

> Copyright (c) Carnegie Mellon University. All rights reserved. Permission is granted, free of charge, to use and
> distribute the software and its documentation without restriction, including without limitation the rights to use,
> copy, modify, merge, publish, distribute, sublicense and/or sell copies of it, provided that the copyright notice, the
> list of conditions and the disclaimer are retained, modifications are clearly marked, the original authors' names are
> not deleted, and they are not used to endorse or promote products derived from it without specific prior written
> permission. Carnegie Mellon University and the contributors disclaim all warranties with regard to the software.
""",
    "joe": """
## Piper, voice en_US-joe-medium

By the authors of Piper. The data of `joe` (NabuCasa's voice-datasets) are CC0. The voice was fine-tuned by its
authors from the voice `lessac`, whose data have a licence for research.
""",
}


def notice(teachers: set[str]) -> str:
    """Markdown for a model that learned from these teachers; KeyError for an unknown one."""
    return _HEAD + "".join(_TEACHERS[name] for name in sorted(teachers, reverse=True))


def teachers_in(text: str) -> set[str]:
    """Return the teachers that a `notice` names."""
    return {name for name, section in _TEACHERS.items() if section in text}
