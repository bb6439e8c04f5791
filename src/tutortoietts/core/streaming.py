"""Options of a stream: which decoder makes the sound, and in chunks of which size."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from tutortoietts.core.errors import OptionError
from tutortoietts.core.options import SPEECH, Option, check, declared, option, plain_number

__all__ = ["DECODERS", "STREAM", "StreamOptionsDict", "Streaming", "refuse_unheard"]

DECODERS = ("auto", "stream", "diffusion")
_MOST = 32  # codes of the later chunks, unless given
_LONGEST = 1000
_ALONE = {"num_autoregressive_samples": 1, "cvvp_amount": 0}  # the only values that a single candidate leaves


@dataclass(frozen=True, slots=True, kw_only=True)
class Streaming:
    """Options of one stream.

    `decoder`: "stream" makes sound straight from the latents of one candidate while its codes are drawn; "diffusion"
    runs the whole pipeline, clause by clause; "auto" is "stream" where the model has such a decoder.
    `chunk_size`: codes (1/21.5 s each) drawn before the first sound of a passage. Two more chunks take as many, then
    the size doubles after every second one up to `chunk_max` codes (None: 32, or `chunk_size` if that is more): larger
    chunks cost less, but are played only when the ones before have put enough sound ahead.
    Raises OptionError for a value outside its limits.
    """

    decoder: str = option(
        "auto",
        "Decoder of the stream: straight from latents while codes are drawn (stream), by the whole pipeline clause "
        "by clause (diffusion), or by the first if the model can (auto).",
        choices=DECODERS,
    )
    chunk_size: int = option(8, "Codes to draw before the first sound (21.5 a second).", range=(1, _LONGEST))
    chunk_max: int | None = option(
        None,
        "Codes of the largest chunks, which come later in a passage; 32 unless given.",
        type=int,
        range=(1, _LONGEST),
    )

    def __post_init__(self) -> None:
        check("decoder", self.decoder, STREAM["decoder"])
        for name in ("chunk_size", "chunk_max"):
            object.__setattr__(self, name, plain_number(getattr(self, name), integer=True))
        _check_codes("stream_chunk_size", self.chunk_size, 1)
        if self.chunk_max is not None:
            _check_codes("stream_chunk_max", self.chunk_max, self.chunk_size)

    def sizes(self) -> Iterator[int]:
        """Yield the number of codes of the first chunk, the second, and so on without end."""
        size, most = self.chunk_size, self.chunk_max or max(_MOST, self.chunk_size)
        yield size
        while True:
            yield size
            yield size
            size = min(2 * size, most)


_NAMES = {"chunk_size": "stream_chunk_size", "chunk_max": "stream_chunk_max"}

STREAM: Mapping[str, Option] = {_NAMES.get(name, name): one for name, one in declared(Streaming).items()}
"""Name of an argument of `tts_stream` -> declaration of the option."""


class StreamOptionsDict(TypedDict, total=False):
    """Options of a stream as keyword arguments: for `Unpack[StreamOptionsDict]` in signatures."""

    decoder: str
    stream_chunk_size: int
    stream_chunk_max: int | None


def _check_codes(name: str, value: object, least: int) -> None:
    integer = isinstance(value, int) and not isinstance(value, bool)
    if not integer or not least <= value <= _LONGEST:  # type: ignore[operator]
        raise OptionError(f"{name} is {value!r}, must be an integer of {least}..{_LONGEST} codes")


def refuse_unheard(given: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise OptionError for an option of `known` that a stream from latents cannot honour: of ranking or diffusion.

    Only what the caller gave is examined: a preset's candidates and steps are simply not used.
    """
    remedy = 'leave it out, or give decoder="diffusion" to stream by the whole pipeline'
    for name, value in given.items():
        if name not in known or SPEECH[name].streamed:
            continue
        if name not in _ALONE:
            raise OptionError(f"{name} is {value!r}, but a stream from latents has no diffusion: {remedy}")
        if value != _ALONE[name]:
            raise OptionError(f"{name} is {value!r}, but a stream draws one candidate and ranks none: {remedy}")
