"""Transliterate any text to ASCII, for the English cleaner.

The public model's tokenizer was fitted on text passed through Unidecode. For the characters of English text
(Latin-1, General Punctuation, some symbols) the table below gives the same results. All other scripts go through
`anyascii` (ISC licence), imported when first needed, with two of Unidecode's habits kept: a Han character is a
word of its own, and emoji are dropped. East Asian quotation marks become '"', which the cleaner deletes.
"""

from __future__ import annotations

import logging
import re
import unicodedata

__all__ = ["describe", "to_ascii"]

_log = logging.getLogger(__name__)

# U+00A0 to U+00FF, separated by bars (a bar itself is added below).
_LATIN_1 = (
    " |!|C/|PS|$?|Y=||SS|\"|(c)|a|<<|!||(r)|-|deg|+-|2|3|'|u|P|*|,|1|o|>>| 1/4| 1/2| 3/4|?"
    "|A|A|A|A|A|A|AE|C|E|E|E|E|I|I|I|I|D|N|O|O|O|O|O|x|O|U|U|U|U|Y|Th|ss"
    "|a|a|a|a|a|a|ae|c|e|e|e|e|i|i|i|i|d|n|o|o|o|o|o|/|o|u|u|u|u|y|th|y"
).split("|")

# U+2000 to U+205F; what stands here as "" is invisible or has no reading. Separated by spaces, "_" is a space.
_PUNCTUATION = """
    _ _ _ _ _ _ _ _ _ _ _ _ 0 0 0 0
    - - - - -- -- || underscore ' ' , ' " " ,, "
    + ++ * *> . .. ... . newline newlines 0 0 0 0 0 _
    %0 %00 ' '' ''' ` `` ``` ^ < > * !! !? - underscore
    - ^ *** -- / -[ ]- ?? ?! !? & PP (] [) * 0
    0 0 % ~ 0 0 0 '''' 0 0 0 0 0 0 0 _
""".split()
_SPELLED = {"_": " ", "0": "", "underscore": "_", "newline": "\n", "newlines": "\n\n"}

# Symbols that anyascii writes in another way than the public model was trained on.
_SYMBOLS = {
    "℀": " a/c ",
    "℁": " a/s ",
    "℃": "degC",
    "℅": " c/o ",
    "℆": " c/u ",
    "℉": "degF",
    "№": "No. ",
    "℗": "(p)",
    "℠": "(sm)",
    "™": "(tm)",
    "、": ", ",
    "。": ". ",
}
_FRACTIONS = {
    chr(code): f" {unicodedata.normalize('NFKC', chr(code))} ".replace("\u2044", "/") for code in range(0x2150, 0x215F)
}
_QUOTES = dict.fromkeys("「」『』【】〈〉《》〝〞〟", '"')

_TABLE: dict[int, str] = {
    **{code: "" for code in range(0x80, 0xA0)},
    **{0xA0 + i: reading for i, reading in enumerate(_LATIN_1)},
    0xA6: "|",
    **{0x2000 + i: _SPELLED.get(reading, reading) for i, reading in enumerate(_PUNCTUATION)},
    **{code: "" for code in range(0x2060, 0x2070)},
    **{ord(char): reading for char, reading in {**_SYMBOLS, **_FRACTIONS, **_QUOTES}.items()},
}

# Characters without a sound of their own, dropped without a word: accents, format and variation marks.
_SILENT = ("Mn", "Me", "Cf")


def to_ascii(text: str) -> str:
    """Return `text` in ASCII; characters without a transliteration are dropped and named in one logged warning."""
    if text.isascii():
        return text
    text = text.translate(_TABLE)
    if text.isascii():
        return text
    dropped: dict[str, None] = {}
    text = re.sub(r"[^\x00-\x7f]", lambda match: _read(match.group(), dropped), text)
    if dropped:
        _log.warning("dropped characters that have no reading: %s", describe(dropped))
    return text


def describe(characters: dict[str, None]) -> str:
    """Return a short list of characters for a message: "☃" (U+2603), ... and 3 more."""
    shown = [f"{char!r} (U+{ord(char):04X})" for char in list(characters)[:8]]
    more = len(characters) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _read(char: str, dropped: dict[str, None]) -> str:
    from anyascii import anyascii

    reading = anyascii(char)
    if not reading or (reading.startswith(":") and len(reading) > 1):  # nothing, or the name of an emoji
        if unicodedata.category(char) not in _SILENT:
            dropped[char] = None
        return ""
    return f"{reading} " if _is_han(ord(char)) else reading


def _is_han(code: int) -> bool:
    return 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x3FFFF
