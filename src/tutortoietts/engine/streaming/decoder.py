"""The model's decoder of latents, whichever kind it is of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import cast

from tutortoietts.core.errors import ModelError
from tutortoietts.engine.request import is_own_vocoder
from tutortoietts.engine.streaming.windows import StreamDecoder
from tutortoietts.models.stream_vocos import StreamFront, StreamVocos
from tutortoietts.models.vocos import Vocos
from tutortoietts.runtime.models import LoadedModels

__all__ = ["stream_decoder"]


@contextmanager
def stream_decoder(models: LoadedModels) -> Iterator[StreamDecoder]:
    """Yield the model's streaming decoder on the working device, for the length of a block."""
    with ExitStack() as stack:
        module = stack.enter_context(models.use("stream_decoder"))
        if not isinstance(module, StreamFront):
            yield cast(StreamDecoder, module)
            return
        vocoder = stack.enter_context(models.use("vocoder"))
        if not is_own_vocoder(vocoder):
            raise ModelError(
                f"the streaming decoder of {models.spec.name!r} needs the model's own Vocos, not a "
                f'{type(vocoder).__name__}: stream with decoder="diffusion"'
            )
        yield StreamVocos(module, cast(Vocos, vocoder))
