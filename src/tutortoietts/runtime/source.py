"""Files of a voice model: bundled, the public checkpoints, or a directory with a model.json."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from tutortoietts.core.components import public_vocoders
from tutortoietts.core.config import (
    AutoregressiveConfig,
    ClvpConfig,
    Config,
    CvvpConfig,
    DiffusionConfig,
    HifiganConfig,
    ModelSpec,
)
from tutortoietts.core.errors import ModelError, OptionError
from tutortoietts.core.paths import expanded
from tutortoietts.core.presets import preset_options
from tutortoietts.runtime.file_source import FileSource
from tutortoietts.runtime.xtts_source import XTTS, XttsSource, is_release, open_xtts

__all__ = ["PUBLIC", "PUBLIC_VOCODERS", "ModelSource", "open_source", "public_spec"]

PUBLIC = "tortoise-v2"
PUBLIC_VOCODERS = public_vocoders()
_MOST_BYTES = 1 << 20  # of a model.json
_BUNDLED = Path(__file__).resolve().parent.parent / "bundled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource(FileSource):
    """Source of a voice model's files: a directory, or (`folder` None) the public checkpoints.

    `overrides`: component -> another file for it; `vocoder`: a public vocoder in place of the model's own.
    """

    spec: ModelSpec
    folder: Path | None = None
    models_dir: Path | None = None
    overrides: Mapping[str, Path] = field(default_factory=dict)
    vocoder: str | None = None
    tokenizer_file: Path | None = None
    tokenizer_basic: bool = False

    @property
    def model_id(self) -> str:
        """Id of these weights, which tags the voices made by them: other checkpoints make other latents."""
        own = [
            f"{part}:{self.overrides[part].resolve()}"
            for part in ("autoregressive", "diffusion")
            if part in self.overrides
        ]
        if not own:
            return self.spec.name
        return f"{self.spec.name}-{hashlib.sha256(' '.join(own).encode()).hexdigest()[:8]}"

    def file(self, part: str) -> Path:
        """Return the file of a component, fetched if it is public. Raises ModelError or FetchError."""
        from tutortoietts.weights.fetch import fetch

        public = self._public(part)
        if public is not None:
            return fetch(public, self.models_dir)
        if part in self.overrides:
            return self.overrides[part]
        if part == "tokenizer" and self.tokenizer_file is not None:
            return self.tokenizer_file
        name = self.spec.tokenizer.file if part == "tokenizer" else f"{part}.safetensors"
        return cast(Path, self.folder) / name

    def _public(self, part: str) -> str | None:
        """Return the name of a component's file in the registry, None for a file of the user."""
        if part in self.overrides or (part == "tokenizer" and self.tokenizer_file is not None):
            return None
        if part == "vocoder" and self.vocoder is not None:
            return self.vocoder
        return {"stream_decoder": "hifigan"}.get(part, part) if self.folder is None else None

    def config(self, part: str) -> Config:
        """Return the configuration of a component. Raises OptionError for one that this model does not have."""
        from tutortoietts.weights.registry import lookup

        if part == "vocoder" and self.vocoder is not None:
            return lookup(self.vocoder).config()
        if part in ("cvvp", "random_latent_auto", "random_latent_diffusion"):
            if self.folder is not None:
                raise OptionError(f"the model {self.spec.name!r} has no {part}; use model={PUBLIC!r}")
            return CvvpConfig() if part == "cvvp" else lookup(part).config()
        config: Config | None = getattr(self.spec, part)
        if config is None:
            raise OptionError(f"the model {self.spec.name!r} has no {part}")
        return config

    def check(self) -> None:
        """Find every file, fetching public ones. Raises ModelError for one that is absent, FetchError."""
        from tutortoietts.weights.fetch import fetch_all

        wanted = ["tokenizer", "autoregressive", "diffusion", "clvp", "ctc", "vocoder"]
        wanted += ["stream_decoder"] if self.folder is not None else []  # the public one is fetched when it is used
        parts = [*(part for part in wanted if getattr(self.spec, part) is not None), "mel_norms"]
        public = {part: name for part in parts if (name := self._public(part)) is not None}
        files = [self.file(part) for part in parts if part not in public]
        for file in (*files, *fetch_all(list(public.values()), self.models_dir)):
            if not file.is_file():
                raise ModelError(f"{file}: there is no such file; the model {self.spec.name!r} needs it", file=file)


def open_source(
    model: str | os.PathLike[str] | ModelSource | XttsSource,
    *,
    vocoder: str | None = None,
    overrides: Mapping[str, str | os.PathLike[str] | None] | None = None,
    **rest: Any,
) -> ModelSource | XttsSource:
    """Return the source of a model: "bundled", "tortoise-v2", a directory with a model.json, or a ready source.

    `rest`: the other fields of `ModelSource`. Raises OptionError, ModelError.
    """
    if isinstance(model, ModelSource | XttsSource):
        given = {"vocoder": vocoder, **(overrides or {}), **rest}
        for name, value in given.items():
            if value not in (None, False):
                raise OptionError(f"{name}={value!r} cannot be given with a ready model source; set it there")
        model.check()
        return model
    if not isinstance(model, str | os.PathLike):
        raise OptionError(f'model is {model!r}, must be "bundled", {PUBLIC!r}, {XTTS!r} or a directory with a model')
    if vocoder is not None and vocoder not in PUBLIC_VOCODERS:
        raise OptionError(f"vocoder is {vocoder!r}, must be one of {', '.join(PUBLIC_VOCODERS)}")
    release = None if model in ("bundled", PUBLIC, XTTS) else expanded(model)
    if model == XTTS or (release is not None and is_release(release)):
        _refuse(XTTS if release is None else str(release), {"vocoder": vocoder, **(overrides or {}), **rest})
        return open_xtts(release, rest.get("models_dir"))
    files = {part: expanded(path) for part, path in (overrides or {}).items() if path is not None}
    if model == PUBLIC:
        source = ModelSource(spec=public_spec(), vocoder=vocoder or "bigvgan_base", overrides=files, **rest)
    else:
        folder = _BUNDLED if model == "bundled" else expanded(model)
        source = ModelSource(
            spec=read_spec(folder, str(model)), folder=folder, vocoder=vocoder, overrides=files, **rest
        )
    source.check()
    return source


def _refuse(model: str, given: Mapping[str, Any]) -> None:
    """Raise OptionError for what replaces a file of a Tortoise model."""
    for name, value in given.items():
        if name != "models_dir" and value not in (None, False):
            raise OptionError(f"{name}={value!r} is for models of the Tortoise family, not for {model!r}: leave it out")


def read_spec(folder: Path, name: str) -> ModelSpec:
    """Read the model.json of a directory. Raises ModelError naming the file."""
    path = folder / "model.json"
    if not path.is_file():
        known = f'give "bundled", "{PUBLIC}" or a directory with a model.json'
        raise ModelError(f"model {name!r}: there is no {path}; {known}", file=path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ModelError(f"{path}: has over {_MOST_BYTES} bytes, more than any specification", file=path)
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not JSON ({error})", file=path) from error
    if not isinstance(values, dict):
        raise ModelError(f"{path}: holds a {type(values).__name__}, must be an object", file=path)
    try:
        spec = ModelSpec.from_dict(values)
        for preset in spec.presets:
            preset_options(preset, own=spec.presets)
        return spec
    except ModelError as error:
        raise ModelError(f"{path}: {error}", file=path, key=error.key) from error
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ModelError(f"{path}: holds a value that no model can have ({str(error)[:300]})", file=path) from error


def public_spec() -> ModelSpec:
    """Return the specification of the public checkpoints."""
    from tutortoietts.weights.registry import lookup

    return ModelSpec(
        name=PUBLIC,
        autoregressive=AutoregressiveConfig(),
        diffusion=DiffusionConfig(),
        clvp=ClvpConfig(),
        vocoder=lookup("bigvgan_base").config(),
        stream_decoder=HifiganConfig(),
        reference_mel="nats",
    )
