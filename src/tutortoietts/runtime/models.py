"""The components of one voice model: each is loaded when first needed and placed where it is to work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tutortoietts.core.errors import ModelError
from tutortoietts.core.spec_xtts import XttsSpec
from tutortoietts.runtime.cuda_graphs import use_cuda_graphs
from tutortoietts.runtime.device import synchronizer
from tutortoietts.runtime.offload import Copier, Offload, copier_for
from tutortoietts.runtime.precision import Precision, plain_precision
from tutortoietts.runtime.source import PUBLIC, ModelSource
from tutortoietts.runtime.xtts_source import XttsSource

if TYPE_CHECKING:
    from tutortoietts.text.tokenizer import Tokenizer

__all__ = ["LoadedModels"]

_TOKEN_LIMIT = 400

_log = logging.getLogger(__name__)


class LoadedModels:
    """The components of one voice model, loaded when first needed.

    With `offload` they wait in CPU memory and are copied to `device` in time (`runtime.offload`). Safe to share between
    threads: loading is done once; with offload one request at a time has the components.
    copier: copies them to the device; None: the usual one of the device.
    """

    def __init__(
        self,
        source: ModelSource | XttsSource,
        *,
        device: torch.device,
        dtype: torch.dtype | Precision,
        offload: bool = False,
        copier: Copier | None = None,
    ) -> None:
        self.source, self.spec = source, source.spec
        given = dtype if isinstance(dtype, Precision) else plain_precision("", dtype)
        self.device, self.dtype, self.precision = device, given.dtype, given
        self.cuda_graphs = use_cuda_graphs(device)
        self.synchronize = synchronizer(device)
        copier = copier or copier_for(device)
        self._offload = Offload(copier) if offload and copier is not None else None
        self.replaced: set[str] = set()  # components that are modules of the caller
        self._loaded: dict[str, nn.Module] = {}
        self._lock = threading.RLock()
        self._tokenizer: Tokenizer | None = None
        self._tokenizers: dict[tuple[str, bool], Tokenizer] = {}
        self._norms: Tensor | None = None

    def has(self, component: str) -> bool:
        """Return whether this model has such a component."""
        return component in self._loaded or getattr(self.spec, component, None) is not None

    def get(self, component: str) -> nn.Module:
        """Return the component, loaded if it is not yet. Raise ModelError, FetchError, OptionError."""
        with self._lock:
            if component not in self._loaded:
                self._settle(component, self._load(component))
            return self._loaded[component]

    def load(self, components: Iterable[str]) -> None:
        """Load several components. Raise ModelError, FetchError, OptionError."""
        for component in components:
            self.get(component)

    def replace(self, component: str, module: nn.Module) -> None:
        """Use `module` as this component from now on, moved to where it works."""
        from tutortoietts.accelerate import accelerate

        with self._lock:
            module = module.to(self._home)
            if component in ("autoregressive", "diffusion"):  # others are used as they were given
                accelerate(module, self.device)
            self.replaced.add(component)
            self._settle(component, module)

    @property
    def offload(self) -> bool:
        """True if components wait in CPU memory."""
        return self._offload is not None

    @property
    def _home(self) -> torch.device:
        return torch.device("cpu") if self.offload else self.device

    def _settle(self, component: str, module: nn.Module) -> None:
        if self._offload is not None:
            self._offload.add(component, module)
        self._loaded[component] = module

    def dtype_of(self, component: str) -> torch.dtype:
        """Return the type of a component's inputs and outputs."""
        if component in ("vocoder", "stream_decoder") or component.startswith("random"):
            return torch.float32
        return self.precision.decoder if component == "autoregressive" else self.dtype

    def _load(self, component: str) -> nn.Module:
        from tutortoietts.accelerate import accelerate

        precision = self.precision.of(component)
        _log.info("loading %s of %s", component, self.spec.name)
        place = self.device if precision in ("int8", "int4") else self._home  # quantized where it will be used
        module = self.source.load(component, place, self.dtype_of(component))
        return accelerate(module, self.device, precision).to(self._home)

    @contextmanager
    def use(self, component: str) -> Iterator[nn.Module]:
        """Yield the component on the working device, for the length of a block; blocks may be nested."""
        module = self.get(component)
        if self._offload is None:
            yield module
            return
        with self._lock:
            module = self._offload.enter(component)
            try:
                yield module
            finally:
                self._offload.leave(component)

    def prepare(self, component: str) -> None:
        """Announce the next component inside a block of `use`, so that it may be copied to the device meanwhile."""
        if self._offload is not None:
            with self._lock:
                self._offload.prepare(component)

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, with its cleaner and the token limit of the autoregressive model."""
        from tutortoietts.text.tokenizer import Tokenizer

        if isinstance(self.spec, XttsSpec):
            return self.tokenizer_for("en", spoken=True)
        with self._lock:
            if self._tokenizer is None:
                basic, path = self.source.tokenizer_basic, self.source.file("tokenizer")
                tokenizer = Tokenizer(
                    path,
                    cleaner_name="basic" if basic else self.spec.tokenizer.cleaner,
                    limit=min(_TOKEN_LIMIT, self.spec.autoregressive.max_text_tokens + 1),
                    unknown="keep" if self.spec.name == PUBLIC else "drop",  # ours have never seen [UNK]
                )
                rows = self.spec.autoregressive.text_vocabulary
                if tokenizer.greatest_id >= rows:
                    raise ModelError(
                        f"{path}: token ids reach {tokenizer.greatest_id}, but the model knows {rows} (0..{rows - 1}): "
                        "it is another model's tokenizer",
                        file=path,
                    )
                self._tokenizer = tokenizer
            return self._tokenizer

    def tokenizer_for(self, language: str, *, spoken: bool) -> Tokenizer:
        """Return the tokenizer of a language; spoken: of texts in spoken words (`text.natural`)."""
        if not isinstance(self.spec, XttsSpec):
            return self.tokenizer
        from tutortoietts.text.xtts.tokenizer import XttsTokenizer

        key = language.partition("-")[0], spoken
        with self._lock:
            if key not in self._tokenizers:
                limit = self.spec.autoregressive.max_text_tokens
                self._tokenizers[key] = XttsTokenizer(self.source.file("tokenizer"), key[0], spoken=spoken, limit=limit)
            return self._tokenizers[key]

    @property
    def mel_norms(self) -> Tensor:
        """Divisors of conditioning mels, (80,) float32."""
        from tutortoietts.weights.load import load_tensor

        with self._lock:
            if self._norms is None:
                path = self.source.file("mel_norms")
                norms = load_tensor(path)
                if norms.shape != (self.spec.autoregressive.mel_channels,) or not bool((norms > 0).all()):
                    needed = f"must hold {self.spec.autoregressive.mel_channels} numbers above 0"
                    raise ModelError(f"{path}: holds {tuple(norms.shape)} numbers, {needed}", file=path)
                self._norms = norms
            return self._norms
