"""One tree of errors, drawn at the top of its file."""

from __future__ import annotations

import re

from tutortoietts.core import errors


def test_the_drawing_is_the_tree() -> None:
    drawn = re.findall(r"[├└]── (\w+)(?: +\((\w+)\))?", errors.__doc__ or "")
    made = {name: getattr(errors, name) for name in errors.__all__ if name != "TutortoieError"}
    assert {name for name, _ in drawn} == set(made)
    for name, also in drawn:
        assert issubclass(made[name], errors.TutortoieError)
        builtin = [base.__name__ for base in made[name].__mro__ if base.__module__ == "builtins"]
        assert not also or also in builtin, name


def test_every_error_is_public() -> None:
    kinds = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert kinds == set(errors.__all__)
