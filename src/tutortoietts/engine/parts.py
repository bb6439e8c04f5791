"""The models of one voice model: where each comes from, loaded when first needed, placed where it is to work."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from tutortoietts.core.config import (
    AutoregressiveConfig,
    ClvpConfig,
    Config,
    CvvpConfig,
    DiffusionConfig,
    HifiganConfig,
    ModelSpec,
    kind_of,
)
from tutortoietts.core.errors import ModelError, OptionError
from tutortoietts.core.paths import expanded
from tutortoietts.engine.graphs import Workspaces
from tutortoietts.engine.offload import Copier, Offload, copier_for
from tutortoietts.engine.precision import Precision, plain_precision

if TYPE_CHECKING:
    from tutortoietts.models.autoregressive import Autoregressive
    from tutortoietts.models.clvp import Clvp
    from tutortoietts.models.diffusion import Diffusion
    from tutortoietts.text.tokenizer import Tokenizer

__all__ = ["PUBLIC", "PUBLIC_VOCODERS", "Parts", "Source", "open_source", "public_spec"]

PUBLIC = "tortoise-v2"
PUBLIC_VOCODERS = ("bigvgan_base", "bigvgan", "univnet")
_BUNDLED = Path(__file__).resolve().parent.parent / "bundled"
_TOKEN_LIMIT = 400

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a voice model's files lie: a directory of ours, or (`folder` None) the public checkpoints.

    `overrides`: part -> another file for it; `vocoder`: a public vocoder in place of the model's own.
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
        """Tags the voices made by these weights: other checkpoints than the usual ones make other latents."""
        own = [
            f"{part}:{self.overrides[part].resolve()}"
            for part in ("autoregressive", "diffusion")
            if part in self.overrides
        ]
        if not own:
            return self.spec.name
        return f"{self.spec.name}-{hashlib.sha256(' '.join(own).encode()).hexdigest()[:8]}"

    def file(self, part: str) -> Path:
        """The file of a part, fetched if it is public. Raises ModelError or FetchError."""
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
        """What the registry calls the file of a part, None for a file of one's own."""
        if part in self.overrides or (part == "tokenizer" and self.tokenizer_file is not None):
            return None
        if part == "vocoder" and self.vocoder is not None:
            return self.vocoder
        return {"stream_decoder": "hifigan"}.get(part, part) if self.folder is None else None

    def config(self, part: str) -> Config:
        """The configuration of a part. Raises OptionError for one that this model does not have."""
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

    def load(self, part: str, device: torch.device, dtype: torch.dtype) -> nn.Module:
        """A part, ready to work. Raises ModelError, FetchError, OptionError."""
        from tutortoietts.weights.load import load_model

        config = self.config(part)
        return load_model(kind_of(config), self.file(part), config, device, dtype)

    def check(self) -> None:
        """Finds every file, fetching public ones. Raises ModelError for one that is absent, FetchError."""
        from tutortoietts.weights.fetch import fetch_all

        wanted = ["tokenizer", "autoregressive", "diffusion", "clvp", "vocoder"]
        wanted += ["stream_decoder"] if self.folder is not None else []  # the public one is fetched when it is used
        parts = [*(part for part in wanted if getattr(self.spec, part) is not None), "mel_norms"]
        public = {part: name for part in parts if (name := self._public(part)) is not None}
        files = [self.file(part) for part in parts if part not in public]
        for file in (*files, *fetch_all(list(public.values()), self.models_dir)):
            if not file.is_file():
                raise ModelError(f"{file}: there is no such file; the model {self.spec.name!r} needs it", file=file)


def open_source(
    model: str | os.PathLike[str] | Source,
    *,
    vocoder: str | None = None,
    overrides: Mapping[str, str | os.PathLike[str] | None] | None = None,
    **rest: Any,
) -> Source:
    """What `model` names: "bundled", "tortoise-v2" or a directory with a model.json; or a Source made elsewhere.

    `rest`: the other fields of `Source`. Raises OptionError, ModelError.
    """
    if isinstance(model, Source):
        given = {"vocoder": vocoder, **(overrides or {}), **rest}
        for name, value in given.items():
            if value not in (None, False):
                raise OptionError(f"{name}={value!r} cannot be given with a ready model source; set it there")
        model.check()
        return model
    if not isinstance(model, str | os.PathLike):
        raise OptionError(f'model is {model!r}, must be "bundled", {PUBLIC!r} or a directory with a model.json')
    if vocoder is not None and vocoder not in PUBLIC_VOCODERS:
        raise OptionError(f"vocoder is {vocoder!r}, must be one of {', '.join(PUBLIC_VOCODERS)}")
    files = {part: expanded(path) for part, path in (overrides or {}).items() if path is not None}
    if model == PUBLIC:
        source = Source(spec=public_spec(), vocoder=vocoder or "bigvgan_base", overrides=files, **rest)
    else:
        folder = _BUNDLED if model == "bundled" else expanded(model)
        source = Source(spec=read_spec(folder, str(model)), folder=folder, vocoder=vocoder, overrides=files, **rest)
    source.check()
    return source


def read_spec(folder: Path, name: str) -> ModelSpec:
    """The model.json of a directory. Raises ModelError naming the file."""
    path = folder / "model.json"
    if not path.is_file():
        known = f'give "bundled", "{PUBLIC}" or a directory with a model.json'
        raise ModelError(f"model {name!r}: there is no {path}; {known}", file=path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not JSON ({error})", file=path) from error
    if not isinstance(values, dict):
        raise ModelError(f"{path}: holds a {type(values).__name__}, must be an object", file=path)
    try:
        return ModelSpec.from_dict(values)
    except ModelError as error:
        raise ModelError(f"{path}: {error}", file=path, key=error.key) from error


def public_spec() -> ModelSpec:
    """The sizes of the public checkpoints."""
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


class Parts:
    """The loaded models. With `offload` they wait in the CPU's memory and visit `device` in time (`engine.offload`).

    Safe to share between threads: loading is done once; with offload one request at a time has the parts.
    `copier`: how they get to the device and back, where the device's own way is not wanted.
    """

    def __init__(
        self,
        source: Source,
        *,
        device: torch.device,
        dtype: torch.dtype | Precision,
        offload: bool = False,
        copier: Copier | None = None,
    ) -> None:
        self.source, self.spec = source, source.spec
        given = dtype if isinstance(dtype, Precision) else plain_precision("", dtype)
        self.device, self.dtype, self.precision = device, given.dtype, given
        copier = copier or copier_for(device)
        self._offload = Offload(copier) if offload and copier is not None else None
        self.workspaces = Workspaces()
        self._loaded: dict[str, nn.Module] = {}
        self._lock = threading.RLock()
        self._tokenizer: Tokenizer | None = None
        self._norms: Tensor | None = None

    def has(self, part: str) -> bool:
        """Whether this model has such a part."""
        return part in self._loaded or getattr(self.spec, part, None) is not None

    def get(self, part: str) -> nn.Module:
        """The part, loaded if it is not yet. Raises ModelError, FetchError, OptionError."""
        with self._lock:
            if part not in self._loaded:
                self._settle(part, self._load(part))
            return self._loaded[part]

    def replace(self, part: str, module: nn.Module) -> None:
        """Use `module` instead, moved to where this part works."""
        with self._lock:
            self._settle(part, module.to(self._home))

    @property
    def offload(self) -> bool:
        """Whether parts wait in the CPU's memory."""
        return self._offload is not None

    @property
    def _home(self) -> torch.device:
        return torch.device("cpu") if self.offload else self.device

    def _settle(self, part: str, module: nn.Module) -> None:
        if self._offload is not None:
            self._offload.add(part, module)
        self._loaded[part] = module

    def dtype_of(self, part: str) -> torch.dtype:
        """Of a part's inputs and outputs."""
        if part in ("vocoder", "stream_decoder") or part.startswith("random"):
            return torch.float32
        return self.precision.decoder if part == "autoregressive" else self.dtype

    def _load(self, part: str) -> nn.Module:
        weights = self.precision.weights_of(part)
        _log.info("loading %s of %s", part, self.spec.name)
        module = self.source.load(part, self._home if weights is None else self.device, self.dtype_of(part))
        if weights is not None:
            cast("Autoregressive | Diffusion | Clvp", module).quantise(weights)  # on the device that will use them
        return self._hastened(module.to(self._home))

    def _hastened(self, module: nn.Module) -> nn.Module:
        """A vocoder or a ranking model that is fast on this device; others as they are."""
        from tutortoietts.models.bigvgan import BigVGAN
        from tutortoietts.models.hifigan import Hifigan
        from tutortoietts.nn.rotary_encoder import RotaryEncoder

        if self.device.type == "cpu":
            for encoder in module.modules():
                if isinstance(encoder, RotaryEncoder):
                    encoder.hasten()
        if self.device.type == "cpu" and isinstance(module, BigVGAN | Hifigan):
            module.hasten(half=self.precision.half_products)
        if isinstance(module, Hifigan) and module.native is None and self.dtype == torch.bfloat16:
            module.lower(self.dtype)
        return module

    @contextmanager
    def use(self, part: str) -> Iterator[nn.Module]:
        """The part on the working device, for the length of a block; blocks may be nested."""
        module = self.get(part)
        if self._offload is None:
            yield module
            return
        with self._lock:
            module = self._offload.enter(part)
            try:
                yield module
            finally:
                self._offload.leave(part)

    def prepare(self, part: str) -> None:
        """Inside a block of `use`: this part is the next, and may come to the device beside the work."""
        if self._offload is not None:
            with self._lock:
                self._offload.prepare(part)

    @property
    def tokenizer(self) -> Tokenizer:
        """Of this model, with its cleaner and the token limit of the autoregressive model."""
        from tutortoietts.text.tokenizer import Tokenizer

        with self._lock:
            if self._tokenizer is None:
                basic = self.source.tokenizer_basic
                self._tokenizer = Tokenizer(
                    self.source.file("tokenizer"),
                    cleaner_name="basic" if basic else self.spec.tokenizer.cleaner,
                    limit=min(_TOKEN_LIMIT, self.spec.autoregressive.max_text_tokens + 1),
                    unknown="keep" if self.spec.name == PUBLIC else "drop",  # ours have never seen [UNK]
                )
            return self._tokenizer

    @property
    def mel_norms(self) -> Tensor:
        """(80,) float32: what conditioning mels are divided by."""
        from tutortoietts.weights.load import load_tensor

        with self._lock:
            if self._norms is None:
                self._norms = load_tensor(self.source.file("mel_norms"))
            return self._norms
