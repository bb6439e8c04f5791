"""The voices of the server: names only, never paths; listed, mixed, added with consent, removed."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from tutortoietts.api import TextToSpeech
from tutortoietts.core.errors import OutputError, TutortoieError, VoiceError
from tutortoietts.core.types import Voice
from tutortoietts.server.errors import ApiError, invalid
from tutortoietts.voices.names import RANDOM, check_name
from tutortoietts.voices.store import VoiceSource, VoiceStore

__all__ = ["Voices"]

_KEPT = 64
_CONSENT = "consent.json"


class Voices:
    """Voices of one model, kept in memory once they have spoken. Safe to use from several threads."""

    def __init__(self, tts: TextToSpeech) -> None:
        self._tts = tts
        tts.voices.paths = False
        self._store: VoiceStore = tts.voices
        self._kept: OrderedDict[str, Voice] = OrderedDict()
        self._lock = threading.Lock()

    def listed(self) -> list[dict[str, Any]]:
        """Return every voice as the API lists it."""
        return [self._entry(source) for source in self._store.voices()]

    def names(self) -> list[str]:
        """Return the names of all voices."""
        return [source.name for source in self._store.voices()]

    def check(self, spec: str) -> None:
        """Raise VoiceError unless every term of a mix is the name of a voice here."""
        if spec.strip().lower() == RANDOM:
            return
        terms = self._store.terms(spec)
        if len(terms) == 1 and terms[0][0] in self._kept:
            return
        known = set(self.names())
        for name, _ in terms:
            if name not in known:
                check_name(name)
                self._store.find(name)  # which suggests a similar name
                raise VoiceError(f"no voice named {name!r}")

    def get(self, spec: str, seed: int | None = None) -> Voice:
        """Return the latents of a voice or mix. Raises VoiceError, AudioError."""
        if spec.strip().lower() == RANDOM:
            speaker, diffusion = self._tts.get_random_conditioning_latents(seed)
            return Voice(name=RANDOM, model=self._tts.model, speaker=speaker, diffusion=diffusion)
        with self._lock:
            if spec in self._kept:
                self._kept.move_to_end(spec)
                return self._kept[spec]
        self.check(spec)
        voice = self._store.get(spec, self._tts.model, self._latents)
        with self._lock:
            self._kept[spec] = voice
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return voice

    def add(
        self, name: str, clips: Sequence[Path], consent: str, key: str, *, replace: bool, latents: bool = True
    ) -> dict[str, Any]:
        """Make a voice of clips that the caller has checked, and keep who agreed to it. Raises ApiError, AudioError."""
        try:
            name = check_name(name)
        except VoiceError as error:
            raise invalid(str(error), "name", "invalid_name") from None
        if name in self.names() and not (replace and self._is_own(name)):
            raise ApiError(
                409, f"there is already a voice {name!r}: choose another name, or delete it first",
                param="name", code="voice_exists", headers={"x-should-retry": "false"},
            )  # fmt: skip
        with self._store.adding(name, clips, replace=replace) as source:
            record = {"consent": consent, "key": key, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
            (source.path / _CONSENT).write_text(json.dumps(record), encoding="utf-8")
            if latents:
                self._make(source)
        self._forget()
        return self._entry(self._store.find(name))

    def remove(self, name: str) -> None:
        """Delete an added voice. Raises ApiError 404 and 403."""
        if name not in self.names():
            raise ApiError(404, f"there is no voice {name[:80]!r}", param="voice", code="voice_not_found")
        if not self._is_own(name):
            raise ApiError(403, f"voice {name!r} belongs to the model and stays", param="voice", code="voice_bundled")
        self._store.remove(name)
        self._forget()

    def _make(self, source: VoiceSource) -> None:
        own = VoiceStore(source.path.parent, builtin_folders=(), paths=False)
        own.get(source.path.name, self._tts.model, self._latents)

    def _latents(self, clips: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        speaker, diffusion = self._tts.get_conditioning_latents(clips)
        return speaker, diffusion

    def _is_own(self, name: str) -> bool:
        try:
            return self._store.is_own(self._store.find(name))
        except TutortoieError:
            return False

    def _entry(self, source: VoiceSource) -> dict[str, Any]:
        own = self._store.is_own(source)
        try:
            created = int(source.path.stat().st_mtime)
        except OSError as error:
            raise OutputError(f"voice {source.name!r} vanished") from error
        return {
            "id": source.name,
            "name": source.name,
            "object": "audio.voice",
            "created_at": created,
            "kind": "added" if own else "bundled",
            "languages": ["en"],
        }

    def _forget(self) -> None:
        with self._lock:
            self._kept.clear()
