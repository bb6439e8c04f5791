"""The cover of a book as a JPEG or PNG that players show."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from tutortoietts.book.needs import need
from tutortoietts.core.errors import BookError, OptionError

__all__ = ["to_picture", "usable_cover"]

_log = logging.getLogger(__name__)

LARGEST = 3000


def usable_cover(given: str, own: Callable[[], bytes]) -> bytes:
    """Return the picture of the file `given`, else the document's `own`, else b"". A damaged own one costs a warning.

    Raises OptionError when the file that is given cannot be read.
    """
    if given:
        try:
            return to_picture(Path(given).read_bytes())
        except (OSError, BookError) as error:
            raise OptionError(f"--cover {given} is no picture that can be read: {error}") from error
    try:
        picture = own()
        return to_picture(picture) if picture else b""
    except BookError as error:
        _log.warning("the book has no cover: %s", error)
        return b""


def to_picture(data: bytes) -> bytes:
    """Return a JPEG or PNG as it is when it is at most 3000 pixels wide and high, else as a JPEG. Raises BookError."""
    av = need("av", "reading covers")
    try:
        with av.open(io.BytesIO(data)) as source:
            stream = source.streams.video[0]
            fits = max(stream.width, stream.height) <= LARGEST
            frame = next(source.decode(stream))
            if fits and data.startswith((b"\xff\xd8", b"\x89PNG")):
                return data
            scale = min(1.0, LARGEST / max(frame.width, frame.height))
            width, height = (max(2, int(side * scale) // 2 * 2) for side in (frame.width, frame.height))
            frame = frame.reformat(width=width, height=height, format="yuvj420p")
        encoder = av.CodecContext.create("mjpeg", "w")
        encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
        encoder.time_base = Fraction(1, 1)
        packets = [*encoder.encode(frame), *encoder.encode(None)]
        return b"".join(bytes(packet) for packet in packets)
    except (av.FFmpegError, ValueError, IndexError, StopIteration) as error:
        raise BookError(f"the cover cannot be read: {error}") from error
