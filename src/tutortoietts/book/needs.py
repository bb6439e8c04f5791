"""Optional packages, named in an error when they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from tutortoietts.core.errors import BookError

__all__ = ["need"]

_PACKAGES = {"docx": "python-docx"}


def need(module: str, purpose: str, extra: str = "book") -> Any:
    """Return the imported `module`. Raises BookError that names the package and the extra that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = _PACKAGES.get(module.split(".")[0], module.split(".")[0])
        raise BookError(f"{purpose} needs the package {package}: pip install 'tutortoietts[{extra}]'") from error
