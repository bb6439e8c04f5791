"""Chinese, Japanese and Korean in Latin letters, by libraries that are extras of the package."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from tutortoietts.core.errors import OptionError

__all__ = ["chinese", "japanese", "korean"]


def _library(module: str, distribution: str, language: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as error:
        raise OptionError(
            f"{language} needs {distribution}, which is not installed: pip install 'tutortoietts[xtts]'"
        ) from error


def chinese(text: str) -> str:
    """Return Chinese in pinyin with tone numbers, without spaces between syllables; other text as it is."""
    pypinyin: Any = _library("pypinyin", "pypinyin", "Chinese")
    style = pypinyin.Style.TONE3
    syllables = pypinyin.pinyin(text, style=style, heteronym=False, neutral_tone_with_five=True)
    return "".join(options[0] for options in syllables)


def japanese(text: str) -> str:
    """Return Japanese in Hepburn romaji, lower case, ASCII only."""
    return str(_cutlet().romaji(text)).lower()


def korean(text: str) -> str:
    """Return Hangul letter by letter in Latin; other text as it is."""
    return str(_transliter().translit(text))


@cache
def _cutlet() -> Any:
    cutlet: Any = _library("cutlet", "cutlet", "Japanese")
    _library("fugashi", "fugashi", "Japanese")
    _library("unidic_lite", "unidic-lite", "Japanese")
    return cutlet.Cutlet()


@cache
def _transliter() -> Any:
    _library("hangul_romanize", "hangul-romanize", "Korean")
    rule: Any = import_module("hangul_romanize.rule")
    return import_module("hangul_romanize").Transliter(rule.academic)
