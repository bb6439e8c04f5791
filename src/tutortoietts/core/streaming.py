"""How sound is streamed: by which decoder, and in chunks of what size."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tutortoietts.core.errors import OptionError

__all__ = ["DECODERS", "Streaming", "refuse_unheard"]

DECODERS = ("auto", "stream", "diffusion")
_MOST = 32  # codes of the later chunks, unless said otherwise
_LONGEST = 1000
_HEARD = frozenset(
    """
    temperature length_penalty repetition_penalty top_p top_k max_mel_tokens min_mel_tokens calm_rule
    latent_averaging_mode
    """.split()
)
_ALONE = {"num_autoregressive_samples": 1, "cvvp_amount": 0}  # the only values a single candidate leaves


@dataclass(frozen=True, slots=True, kw_only=True)
class Streaming:
    """`decoder`: "stream" makes sound straight from the latents of one candidate while its codes are drawn;
    "diffusion" takes the whole pipeline, passage by passage; "auto": "stream" where the model has such a decoder.

    `chunk_size`: codes (1/21.5 s each) drawn before the first sound of a passage. Two more chunks take as many, then
    the size doubles after every second one up to `chunk_max` codes (None: 32, or `chunk_size` if that is more): larger
    chunks cost less, but are played only when the ones before have put enough sound ahead.
    """

    decoder: str = "auto"
    chunk_size: int = 8
    chunk_max: int | None = None

    def __post_init__(self) -> None:
        if self.decoder not in DECODERS:
            known = ", ".join(map(repr, DECODERS))
            raise OptionError(f"decoder is {self.decoder!r}, must be one of {known}")
        _check_codes("stream_chunk_size", self.chunk_size, 1)
        if self.chunk_max is not None:
            _check_codes("stream_chunk_max", self.chunk_max, self.chunk_size)

    def sizes(self) -> Iterator[int]:
        """Codes of the first chunk, the second, and so on without end."""
        size, most = self.chunk_size, self.chunk_max or max(_MOST, self.chunk_size)
        yield size
        while True:
            yield size
            yield size
            size = min(2 * size, most)


def _check_codes(name: str, value: object, least: int) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not least <= value <= _LONGEST:  # type: ignore[operator]
        raise OptionError(f"{name} is {value!r}, must be a whole number of {least}..{_LONGEST} codes")


def refuse_unheard(given: Mapping[str, Any], known: Collection[str]) -> None:
    """OptionError for an option of `known` that a stream from latents cannot honour: what ranks or denoises.

    Only what the caller gave is looked at: a preset's candidates and steps are simply not used.
    """
    remedy = 'leave it out, or give decoder="diffusion" to stream by the whole pipeline'
    for name, value in given.items():
        if name not in known or name in _HEARD:
            continue
        if name not in _ALONE:
            raise OptionError(f"{name} is {value!r}, but a stream from latents has no diffusion: {remedy}")
        if value != _ALONE[name]:
            raise OptionError(f"{name} is {value!r}, but a stream draws one candidate and ranks none: {remedy}")
