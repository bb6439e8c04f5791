"""The loaded models of one voice model: each is loaded when first needed and placed where it is to work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from tutortoietts.engine.decoding.workspace import Workspaces
from tutortoietts.runtime.offload import Copier, Offload, copier_for
from tutortoietts.runtime.precision import Precision, plain_precision
from tutortoietts.runtime.source import PUBLIC, ModelSource

if TYPE_CHECKING:
    from tutortoietts.models.autoregressive import Autoregressive
    from tutortoietts.models.clvp import Clvp
    from tutortoietts.models.diffusion import Diffusion
    from tutortoietts.text.tokenizer import Tokenizer

__all__ = ["LoadedModels"]

_TOKEN_LIMIT = 400

_log = logging.getLogger(__name__)


class LoadedModels:
    """The loaded models. With `offload` they wait in the CPU's memory and visit `device` in time (`runtime.offload`).

    Safe to share between threads: loading is done once; with offload one request at a time has the parts.
    `copier`: how they get to the device and back, where the device's own way is not wanted.
    """

    def __init__(
        self,
        source: ModelSource,
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
            cast("Autoregressive | Diffusion | Clvp", module).quantize(weights)  # on the device that will use them
        return self._accelerated(module.to(self._home))

    def _accelerated(self, module: nn.Module) -> nn.Module:
        """A vocoder or a ranking model that is fast on this device; others as they are."""
        from tutortoietts.models.bigvgan import BigVGAN
        from tutortoietts.models.hifigan import Hifigan
        from tutortoietts.nn.rotary_encoder import RotaryEncoder

        if self.device.type == "cpu":
            for encoder in module.modules():
                if isinstance(encoder, RotaryEncoder):
                    encoder.accelerate()
        if self.device.type == "cpu" and isinstance(module, BigVGAN | Hifigan):
            module.accelerate(half=self.precision.half_products)
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
