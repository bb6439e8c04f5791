"""Fixtures for every test: a tiny model, a user's folders of their own, and what is skipped where."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny_model import make_tiny_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory with tiny random weights (tests/tiny_model.py); do not write into it."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def streaming_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a small streaming decoder over its vocoder."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "streaming", streaming="stream_vocos")


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the user's voices, caches or settings, or goes online."""
    home = tmp_path_factory.mktemp("home")
    for name in ("TORTOISE_MODELS_DIR", "TUTORTOIETTS_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TUTORTOIETTS_VOICES", str(home / "voices"))
    monkeypatch.setenv("TUTORTOIETTS_CACHE", str(home / "cache"))
    monkeypatch.setenv("HF_HOME", str(home / "huggingface"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return home


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not any(item.get_closest_marker("gpu") for item in items):
        return
    import torch

    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA GPU"))
