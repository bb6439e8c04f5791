"""The pages tell only what exists: options, links, tables and the Python that they show."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from test_rooms import ORDER
from tutortoietts.cli.main import app
from tutortoietts.cli.reference import checkpoint_table, option_table, preset_table, render

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
BUNDLED_VOICES = ("owen", "joe", "clara")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def options_of(command: Any) -> set[str]:
    return {name for p in command.params for name in [*p.opts, *p.secondary_opts]} | {"--help", "-h"}


def commands(page: Path) -> Iterator[tuple[Any, list[str]]]:
    """Each `tutortoietts ...` line of a page: the command it calls and the words after it."""
    text = page.read_text(encoding="utf-8")
    spans = [line for block in blocks(page, "") for line in block.splitlines()]
    spans += re.findall(r"`(tutortoietts [^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    for span in spans:
        if not span.startswith("tutortoietts "):
            continue
        words = shlex.split(span, comments=True)[1:]
        command = typer.main.get_command(app)
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
        yield command, words


def test_the_page_of_commands_is_up_to_date() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == render(), "run: python -m tutortoietts.cli.reference > docs/cli.md"


def test_tables_are_up_to_date() -> None:
    assert preset_table() in (ROOT / "docs" / "presets.md").read_text(encoding="utf-8")
    assert checkpoint_table() in (ROOT / "docs" / "checkpoints.md").read_text(encoding="utf-8")
    assert option_table() in (ROOT / "docs" / "presets.md").read_text(encoding="utf-8")


def test_one_command_is_enough_to_hear_it() -> None:
    lines = blocks(ROOT / "README.md", "")[0].splitlines()
    assert [line.split()[0] for line in lines] == ["scripts/generate.sh"]


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_every_page_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if page.name != "README.md" and f"{page.name})" not in readme] == []


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/how-it-works.md"])
def test_files_and_names_of_the_code_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    package = ROOT / "src" / "tutortoietts"
    files = set(re.findall(r"`([a-z]+/[\w/.-]+\.(?:py|sh|tsv|md))`", text))
    missing = [file for file in sorted(files) if not ((ROOT / file).exists() or (package / file).exists())]
    assert [file for file in missing if "NAME" not in file and "CODE" not in file] == []
    for file, name in re.findall(r"`([\w/]+\.py)` `([\w.]+)`", text):
        source = (package / file).read_text(encoding="utf-8")
        assert all(re.search(rf"\b{part}\b", source) for part in name.split(".")), (file, name)


def test_the_table_of_rooms_has_their_order() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("| room |")[1].split("\n\n")[0]
    first_cells = re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)
    rooms = [name.strip("`/") for cell in first_cells for name in cell.split(", ")]
    assert rooms == [room for room in ORDER if room in rooms] and len(rooms) > 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_exist(page: Path) -> None:
    for command, words in commands(page):
        assert not hasattr(command, "commands"), f"no such command: {words}"
        if command.name != "train":
            unknown = {word for word in words if re.match(r"-\D", word)} - options_of(command)
            assert not unknown, (command.name, words)
    known = set().union(*(options_of(command) for command in leaves(typer.main.get_command(app))))
    text = page.read_text(encoding="utf-8")
    if page.name not in ("training.md", "quality.md"):
        assert set(re.findall(r"`(--[a-z-]+)", text)) <= known | {"--version"}


def leaves(command: Any) -> Iterator[Any]:
    children = getattr(command, "commands", {})
    if not children:
        yield command
    for child in children.values():
        yield from leaves(child)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, place in re.findall(r"\]\((?!https?:)([^)#]*)(#[^)]+)?\)", page.read_text(encoding="utf-8")):
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not place or place in anchors(file), (target, place)


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {"#" + re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.fixture(scope="module")
def speaking_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with the bundled model's voices."""
    folder = tmp_path_factory.mktemp("speaking") / "tiny"
    shutil.copytree(tiny_model, folder)
    for name in BUNDLED_VOICES:
        shutil.copy(folder / "voices" / "anna.safetensors", folder / "voices" / f"{name}.safetensors")
    return folder


@pytest.mark.parametrize("name", ["README.md", "docs/api.md", "docs/voices.md"])
def test_the_python_runs(
    name: str, speaking_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    few = {"num_autoregressive_samples": 2, "diffusion_iterations": 2}
    monkeypatch.setattr("tutortoietts.runtime.source._BUNDLED", speaking_model)
    monkeypatch.setattr(
        "tutortoietts.core.presets.PRESETS", {"fast": few, "ultra_fast": few, "ultra_fast_optimized": few}
    )
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    for block in blocks(ROOT / name, "python"):
        exec(compile(block, name, "exec"), scope)
    assert scope["speech"].samples.ndim == 1 and len(scope["speech"].samples) > 0
