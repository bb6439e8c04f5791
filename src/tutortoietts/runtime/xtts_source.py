"""Files of an XTTS-v2 model: the public release, or a folder with config.json, model.pth, vocab.json."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from torch import Tensor

from tutortoietts.core.config import AlignmentSpec, Config
from tutortoietts.core.errors import ModelError, OptionError
from tutortoietts.core.paths import cache_dir
from tutortoietts.core.spec_xtts import XttsSpec, xtts_spec
from tutortoietts.core.types import Voice
from tutortoietts.runtime.file_source import FileSource

__all__ = ["XTTS", "XttsSource", "is_release", "open_xtts"]

XTTS = "xtts-v2"
_FILES = {"model": "model.pth", "config": "config.json", "vocabulary": "vocab.json", "voices": "speakers_xtts.pth"}
_ALIGNMENT = "alignment.json"
_UNSAFE = re.compile(r"[^\w .-]")


def is_release(folder: Path) -> bool:
    """Return whether a folder has the form of a release: config.json and vocab.json, and no model.json of ours."""
    return (folder / _FILES["config"]).is_file() and not (folder / "model.json").is_file()


@dataclass(frozen=True, kw_only=True)
class XttsSource(FileSource):
    """The files of one XTTS-v2 model; `release` None: the public one, from `models_dir`, the caches or the network."""

    spec: XttsSpec
    release: Path | None = None
    models_dir: Path | None = None
    vocoder: None = None
    tokenizer_basic: bool = False

    @property
    def model_id(self) -> str:
        """Tag of the voices made by these weights; those of two folders do not mix."""
        if self.release is None:
            return self.spec.name
        return f"{XTTS}-{hashlib.sha256(str(self.release.resolve()).encode()).hexdigest()[:8]}"

    @property
    def folder(self) -> Path:
        """Return the folder that keeps the built-in voices, converted, under `voices`."""
        return cache_dir() / "xtts" / self.model_id

    @property
    def alignment_file(self) -> Path:
        """Return the file of the attention heads that `benchmarks/xtts_check.py --calibrate` found, if it was run."""
        return (self.folder if self.release is None else self.release) / _ALIGNMENT

    def file(self, part: str) -> Path:
        """Return the file of a part, fetched if it is public. Raises ModelError, FetchError."""
        return _file(self.release, self.models_dir, "vocabulary" if part == "tokenizer" else "model")

    def config(self, part: str) -> Config:
        """Return the configuration of a part. Raises OptionError for one that XTTS does not have."""
        config: Config | None = getattr(self.spec, part, None)
        if config is None:
            raise OptionError(f"the model {self.spec.name!r} has no {part}")
        return config

    @cached_property
    def mel_norms(self) -> Tensor:
        """Divisors of conditioning mels, (80,) float32, from the checkpoint."""
        from tutortoietts.weights.read import load_state
        from tutortoietts.weights.xtts import mel_stats

        return mel_stats(load_state(self.file("autoregressive"), "model"))

    def check(self) -> None:
        """Find every file, fetching public ones, and convert the built-in voices. Raises ModelError, FetchError."""
        for kind in ("vocabulary", "model"):
            path = _file(self.release, self.models_dir, kind)
            if not path.is_file():
                raise ModelError(f"{path}: there is no such file; the model {self.spec.name!r} needs it", file=path)
        if self.release is None or (self.release / _FILES["voices"]).is_file():
            self._keep_voices(_file(self.release, self.models_dir, "voices"))

    def _keep_voices(self, path: Path) -> None:
        """Write each built-in voice as a voice file of ours, once."""
        from tutortoietts.voices.files import write_voice
        from tutortoietts.weights.xtts import built_in_voices

        folder = self.folder / "voices"
        done = folder / f".{path.stat().st_size}"
        if done.is_file():
            return
        for name, (prompt, vector) in built_in_voices(path).items():
            safe = _UNSAFE.sub("_", name).strip(" .") or "voice"
            voice = Voice(name=safe, model=self.model_id, speaker=prompt.flatten(1), diffusion=vector)
            write_voice(folder / f"{safe}.safetensors", voice)
        done.touch()


def _file(release: Path | None, models_dir: Path | None, kind: str) -> Path:
    from tutortoietts.weights.fetch import fetch
    from tutortoietts.weights.registry import XTTS_RELEASE

    return release / _FILES[kind] if release is not None else fetch(XTTS_RELEASE[kind], models_dir)


def open_xtts(release: Path | None, models_dir: Path | None = None) -> XttsSource:
    """Return the source of the public release, or of a folder in its form. Raises ModelError, FetchError."""
    from tutortoietts.weights.xtts import read_configs, vocabulary_of

    vocabulary = vocabulary_of(_file(release, models_dir, "vocabulary"))
    configs = read_configs(_file(release, models_dir, "config"), vocabulary)
    source = XttsSource(
        spec=xtts_spec(XTTS if release is None else release.name, configs), release=release, models_dir=models_dir
    )
    source.check()
    return replace(source, spec=replace(source.spec, alignment=_alignment(source.alignment_file)))


def _alignment(path: Path) -> AlignmentSpec:
    """Read the heads of a calibration; none where there was none. Raises ModelError."""
    if not path.is_file():
        return AlignmentSpec()
    try:
        return AlignmentSpec.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError, ModelError) as error:
        raise ModelError(f"{path}: {error}: remove it, or calibrate again", file=path) from error
