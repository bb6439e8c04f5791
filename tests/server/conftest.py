"""A server with a tiny model, for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Running, running_server


@pytest.fixture(scope="module")
def running(streaming_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for the tests of a module, with folders of its own."""
    patch = pytest.MonkeyPatch()
    patch.setenv("TUTORTOIETTS_VOICES", str(tmp_path_factory.mktemp("voices")))
    with running_server(streaming_model, aliases={"alloy": "anna"}) as made:
        patch.undo()
        yield made
