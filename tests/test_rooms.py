"""The rooms of the design: each imports only itself and rooms above it, and some know nothing of others."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"
PACKAGE = SOURCE / "tutortoietts"
ORDER = (
    "core",
    "text",
    "audio",
    "sampling",
    "native",
    "nn",
    "models",
    "accelerate",
    "weights",
    "voices",
    "runtime",
    "engine",
    "cache",
    "api",
    "bench",
    "book",
    "server",
    "cli",
    "train",
    "bundled",
)
ANYWHERE = {"version"}
KNOWS_NOTHING_OF = {
    "audio": {"text"},
    "sampling": {"text", "audio"},
    "native": {"text", "audio", "sampling"},
    "nn": {"text", "audio", "sampling", "native"},
    "models": {"text", "sampling", "native"},
    "accelerate": {"text", "sampling"},
    "weights": {"text", "audio", "sampling"},
    "voices": {"text", "nn", "models", "sampling", "native", "accelerate"},
    "runtime": {"audio", "sampling"},
    "bench": {"train"},
    "book": {"server"},
    "cli": {"train"},
    "server": {"cli", "train", "book"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(file: Path) -> str:
    first = file.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(tree: ast.AST, file: Path) -> Iterator[str]:
    """Every module that is imported anywhere in the file, written out."""
    package = ["tutortoietts", *file.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield name
            yield from (f"{name}.{alias.name}" for alias in node.names if name == "tutortoietts")


def rooms_used(file: Path) -> set[str]:
    names = imported(ast.parse(file.read_text(encoding="utf-8")), file)
    inner = (name.split(".") for name in names if name.split(".")[0] == "tutortoietts")
    return {parts[1] for parts in inner if len(parts) > 1} - ANYWHERE - {"__version__"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_imports_go_up(file: Path) -> None:
    room = room_of(file)
    if room in ("__init__", "__main__", *ANYWHERE):
        return
    assert room in ORDER, f"{room} is no room of the design"
    allowed = set(ORDER[: ORDER.index(room) + 1]) - KNOWS_NOTHING_OF.get(room, set())
    assert rooms_used(file) <= allowed


def module_of(file: Path) -> str:
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def circle_in(arrows: dict[str, set[str]]) -> list[str]:
    """Return the names of a circle, or nothing."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return path[path.index(name) :]
        if name in done:
            return []
        for other in sorted(arrows.get(name, ())):
            if found := visit(other, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(arrows) if (found := visit(name, []))), [])


def imported_modules(file: Path, modules: Collection[str]) -> set[str]:
    """Return the modules that a file imports: `from room import file` takes the file, not the room."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & set(modules)) or {node.module}
    return found & set(modules)


def test_no_circles() -> None:
    """Imports for type checking and inside functions included."""
    modules = {module_of(file): file for file in FILES}
    arrows = {name: imported_modules(file, modules) - {name} for name, file in modules.items()}
    assert circle_in(arrows) == []
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]


def test_the_old_names_are_only_passed_on() -> None:
    """src/tortoise has nothing of its own but constructors."""
    for file in (SOURCE / "tortoise").rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        own = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        assert set(own) <= {"__init__"}, file


@pytest.mark.parametrize("file", [f for f in FILES if room_of(f) == "core"], ids=lambda file: file.name)
def test_core_runs_without_torch(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for guarded in [node for node in ast.walk(tree) if isinstance(node, ast.If)]:
        guarded.body.clear()  # if TYPE_CHECKING
    assert not [name for name in imported(tree, file) if name.split(".")[0] == "torch"]


def test_the_check_can_fail(tmp_path: Path) -> None:
    tree = ast.parse("def f():\n    from ..engine.decoding.loop import decode\n    import tutortoietts.cli.main\n")
    names = set(imported(tree, PACKAGE / "text" / "split.py"))
    assert names == {"tutortoietts.engine.decoding.loop", "tutortoietts.cli.main"}
