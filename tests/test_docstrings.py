"""Docstrings and comments are plain English: they begin with a verb or a noun, and use the words of the glossary.

CONTRIBUTING.md has the rules in words.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tutortoietts.cli.main import app

SOURCE = Path(__file__).resolve().parents[1] / "src"
FILES = sorted(SOURCE.rglob("*.py"))

# How no public docstring begins: clauses, prepositions, and words that point at something not named yet.
OPENINGS = """
    What Whatever Whether Which Who Whom Whose Where When While Why How That Than Then So Such If Unless Until Because
    Of For From To At In On By With Without Into Onto Over Under Between Among Before After Behind Beside Through As
    None Not No Nothing Nobody And Or But Also Only Too It Its They Their Them This These Those There Here Both Either
    Neither Same
""".split()
PHRASES = ("The same", "See ", "All that", "So many")

# How no public function's docstring begins: it says what the function does, with a verb.
DETERMINERS = "The A An One Two Three Every Each All Any Some Several Most Many Few At".split()

WALK = r"walk(s|ed|ing)?"

# Words that only this project used, and what to write.
OLD_WORDS = {
    r"trunks?": "backend",
    r"hasten(s|ed|ing)?": "accelerate",
    r"soften(s|ed|ing)?": "softmax, or smooth",
    r"told": "given, known, or reported",
    r"wanted": "needed, or requested",
    r"spared": "saved, or retried",
    r"calm": "silence (calm_rule and calm_token are names)",
    r"whole numbers?": "integer",
    r"oracles?": "reference implementation",
    r"settl(e|es|ed|ing)": "synchronize, or say what is final",
    WALK: "trajectory, or iterate",
    r"crews?": "team",
    r"obstacles?": "reason, why_not",
    r"asked": "requested, or given",
    r"watch(es|ed|ing)?": "progress, or observe",
    r"numbers of (8|16|32) bits": "16-bit numbers",
    r"matrix units?": "AMX",
    r"quantis\w+": "quantize",
    r"so many": "n, or this many",
    r"one 0": "stop token",
    r"as (it|they) (lies?|stands?)": "unchanged",
}


def docstrings(tree: ast.Module) -> Iterator[tuple[str, str, bool]]:
    """Each public module, class, function or method with a docstring: its name, the docstring, and whether it acts."""

    def visit(node: ast.AST, name: str) -> Iterator[tuple[str, str, bool]]:
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            return
        text = ast.get_docstring(node)
        if text:
            yield name, text, not isinstance(node, ast.Module | ast.ClassDef) and not is_property(node)
        if isinstance(node, ast.Module | ast.ClassDef):
            for child in node.body:
                inner = getattr(child, "name", "_")
                if not inner.startswith("_"):
                    yield from visit(child, inner if name == "module" else f"{name}.{inner}")

    yield from visit(tree, "module")


def is_property(node: ast.AST) -> bool:
    decorators = getattr(node, "decorator_list", [])
    return any("property" in ast.unparse(decorator) for decorator in decorators)


def badly_begun(text: str, acts: bool) -> str | None:
    """The reason why a docstring begins badly, if it does."""
    first = re.split(r"[\s,.:;]", text, maxsplit=1)[0]
    if first in OPENINGS or text.startswith(PHRASES):
        return f"begins with {first!r}: begin with a verb or a plain noun phrase"
    if acts and (first in DETERMINERS or not first[:1].isupper() or re.search(r"[^s]s$", first)):
        return f"begins with {first!r}: say what the function does, with a verb: 'Return ...'"
    return None


def prose(file: Path) -> Iterator[tuple[int, str]]:
    """Line number and text of every docstring and comment of a file, without code in backticks."""
    source = file.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, re.sub(r"`[^`]*`", "``", node.value.value)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], re.sub(r"`[^`]*`", "``", token.string)


def old_words(text: str, allowed: str = "") -> list[str]:
    words = ((word.group(), new) for old, new in OLD_WORDS.items() if old != allowed for word in found(old, text))
    return [f"{word!r}: write {new}" for word, new in words]


def found(pattern: str, text: str) -> list[re.Match[str]]:
    return list(re.finditer(rf"\b{pattern}\b", text, re.IGNORECASE))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(SOURCE).as_posix())
def test_public_docstrings_begin_with_a_verb_or_a_noun(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    reasons = ((name, badly_begun(text, acts)) for name, text, acts in docstrings(tree))
    assert [f"{name} {reason}" for name, reason in reasons if reason] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(SOURCE).as_posix())
def test_words_are_those_of_the_glossary(file: Path) -> None:
    allowed = WALK if "readers" in file.parts else ""  # the tree of a document is walked in any codebase
    assert [f"line {line}: {word}" for line, text in prose(file) for word in old_words(text, allowed)] == []


def test_help_lines_begin_with_a_verb_or_a_noun() -> None:
    def lines(command: Any) -> Iterator[str]:
        yield command.help or ""
        yield from (getattr(parameter, "help", None) or "" for parameter in command.params)
        for child in getattr(command, "commands", {}).values():
            yield from lines(child)

    assert [line for line in lines(typer.main.get_command(app)) if badly_begun(line, acts=False)] == []


@pytest.mark.parametrize(
    ("text", "acts"),
    [
        ("What the model says.", False),
        ("Of drawing codes: lower is steadier.", False),
        ("The same, for two.", False),
        ("None, or the text.", True),
        ("The codes of a text.", True),
        ("latents (1, S, D) to sound.", True),
        ("Returns the codes.", True),
    ],
)
def test_bad_openings_are_found(text: str, acts: bool) -> None:
    assert badly_begun(text, acts)


@pytest.mark.parametrize(
    ("text", "acts"),
    [("Return the codes.", True), ("Pass the codes on.", True), ("The codes.", False), ("`speak`: a command.", False)],
)
def test_good_openings_are_let_through(text: str, acts: bool) -> None:
    assert badly_begun(text, acts) is None


def test_old_words_are_found_but_names_are_not(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text('"""The trunk, `settled`, and calm_rule."""\nx = 1  # Whole numbers only\n', encoding="utf-8")
    lines = [(line, word) for line, text in prose(file) for word in old_words(text)]
    assert [line for line, _ in lines] == [1, 2] and "backend" in lines[0][1] and "integer" in lines[1][1]
