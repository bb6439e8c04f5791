"""A small random decoder for the tests of decoding and streaming."""

from __future__ import annotations

import pytest

from support import lively_model
from tutortoietts.models.autoregressive import Autoregressive


@pytest.fixture(scope="module")
def model() -> Autoregressive:
    return lively_model()
