"""A source of models in files: what the families' sources share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import nn

from tutortoietts.core.components import kind_of
from tutortoietts.core.config import Config

__all__ = ["FileSource"]


class FileSource(ABC):
    """Source of a voice model whose components lie in files."""

    __slots__ = ()

    @abstractmethod
    def file(self, part: str) -> Path:
        """Return the file of a component, fetched if it is public. Raises ModelError or FetchError."""

    @abstractmethod
    def config(self, part: str) -> Config:
        """Return the configuration of a component. Raises OptionError for one that this model does not have."""

    def load(self, part: str, device: torch.device, dtype: torch.dtype) -> nn.Module:
        """Load a component. Raises ModelError, FetchError, OptionError."""
        from tutortoietts.weights.load import load_model

        config = self.config(part)
        return load_model(kind_of(config), self.file(part), config, device, dtype)
