"""A licence is agreed to before the first download, in one of three ways, and then remembered."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tutortoietts import TextToSpeech
from tutortoietts.core.errors import FetchError
from tutortoietts.core.licences import CPML, MIT
from tutortoietts.weights import fetch
from tutortoietts.weights.licence import accept, accepted, require_consent
from tutortoietts.weights.registry import REGISTRY, XTTS_RELEASE


@pytest.fixture(autouse=True)
def no_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUTORTOIETTS_ACCEPT_CPML", raising=False)


def test_most_licences_need_no_word() -> None:
    require_consent(MIT, "bigvgan")
    assert not any(file.licence.needs_consent for file in REGISTRY.values())


def test_without_a_terminal_the_error_says_how_to_agree() -> None:
    with pytest.raises(FetchError, match=r"non-commercial.*TUTORTOIETTS_ACCEPT_CPML=1") as caught:
        require_consent(CPML, "xtts")
    assert CPML.address in str(caught.value)


@pytest.mark.parametrize(("value", "agreed"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_the_variable_counts(value: str, agreed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTORTOIETTS_ACCEPT_CPML", value)
    assert accepted(CPML) is agreed


def test_an_answer_is_remembered_and_a_no_is_not() -> None:
    asked: list[str] = []

    def answer(text: str) -> str:
        asked.append(text)
        return "no\n" if len(asked) == 1 else "Yes\n"

    with pytest.raises(FetchError, match="not agreed"):
        require_consent(CPML, "xtts", ask=answer)
    require_consent(CPML, "xtts", ask=answer)
    require_consent(CPML, "xtts", ask=answer)
    assert len(asked) == 2 and CPML.address in asked[0] and "non-commercial" in asked[0]


def test_a_terminal_is_asked_on_stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "readline", lambda: "y\n", raising=False)
    require_consent(CPML, "xtts")
    captured = capsys.readouterr()
    assert "[y/N]" in captured.err and not captured.out
    assert accepted(CPML)


def test_nothing_is_downloaded_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    touched: list[object] = []
    monkeypatch.setattr(fetch, "_from_hub", touched.append)
    with pytest.raises(FetchError, match="ACCEPT_CPML"):
        fetch.fetch(XTTS_RELEASE["model"], offline=False)
    assert not touched


def test_a_file_of_known_size_alone_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("{}")
    with pytest.raises(FetchError, match="2 bytes"):
        fetch.verify(XTTS_RELEASE["config"], path)


def test_where_nothing_can_be_kept_it_is_asked_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setenv("TUTORTOIETTS_CACHE", str(blocker / "cache"))
    accept(CPML)
    assert not accepted(CPML)


def test_an_option_agrees_and_is_remembered(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"give --accept-cpml or set TUTORTOIETTS_ACCEPT_CPML=1"):
        require_consent(CPML, "xtts")
    TextToSpeech(accept_cpml=True)
    require_consent(CPML, "xtts")
