"""A request to the decoder: the prefix, one generator a candidate, options and limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tutortoietts.core.errors import OptionError
from tutortoietts.engine.decoding.model import CodeModelConfig
from tutortoietts.engine.decoding.workspace import Workspaces
from tutortoietts.sampling.tokens import TokenOptions

__all__ = ["DecodeRequest"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodeRequest:
    """Codes to draw after one prefix.

    prefix: embedded speaker and text (1, P, D).
    generators: one a candidate; a candidate's codes depend on its own generator only.
    max_codes: codes a candidate may have, the stop code included.
    min_codes: no stop code before that many codes; equal to `max_codes`, every candidate has exactly that many.
    silence_code: code of silence, with which speech is padded behind its stop code; None for a model without one.
    batch_size: candidates decoded at once, at most.
    cached: False recomputes the whole sequence for each code, as the slow reference.
    check_every: steps between two looks at the device; None: 1 on a CPU, 8 elsewhere.
    on_step: called with (codes drawn, max_codes) at each look; may raise to stop the work.
    latent_of_stop: the latent that the stop code was drawn from is one of the result.
    fixed: decode in steps of fixed shape; None: where CUDA graphs are used. `workspaces` lends their buffers.
    """

    prefix: Tensor
    generators: Sequence[torch.Generator]
    max_codes: int
    options: TokenOptions
    silence_code: int | None = None
    min_codes: int = 0
    latent_of_stop: bool = False
    batch_size: int = 16
    cached: bool = True
    check_every: int | None = None
    on_step: Callable[[int, int], None] | None = None
    fixed: bool | None = None
    workspaces: Workspaces | None = None

    def check(self, cfg: CodeModelConfig) -> None:
        """Raise OptionError unless a model of this configuration can decode the request."""
        limit = cfg.max_mel_tokens
        if not 1 <= self.max_codes <= limit:
            raise OptionError(f"max_mel_tokens is {self.max_codes}, outside 1..{limit} for this model")
        if not 0 <= self.min_codes <= self.max_codes:
            raise OptionError(f"min_mel_tokens is {self.min_codes}, outside 0..{self.max_codes} (max_mel_tokens)")
        if self.batch_size < 1:
            raise OptionError(f"autoregressive_batch_size is {self.batch_size}, must be at least 1")
        if not self.generators:
            raise OptionError("num_autoregressive_samples is 0, must be at least 1")
