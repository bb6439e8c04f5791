"""`get_device`."""

from tutortoietts.engine.originals import get_device

__all__ = ["get_device"]
