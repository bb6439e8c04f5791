"""Phonetic spelling (IPA, X-SAMPA) in letters that an English reader says about so: the models read letters only.

respell("təˈmeɪtoʊ")                   # "tuhmaytoh"
respell('t@"meItoU', "x-sampa")        # the same
"""

from __future__ import annotations

import re

__all__ = ["ALPHABETS", "respell"]

ALPHABETS = ("ipa", "x-sampa")

_LETTERS = {
    "tʃ": "ch", "dʒ": "j", "θ": "th", "ð": "th", "ʃ": "sh", "ʒ": "zh", "ŋ": "ng", "ɲ": "ny", "j": "y", "ɹ": "r",
    "ɻ": "r", "ʁ": "r", "ʀ": "r", "ɾ": "r", "ɡ": "g", "x": "kh", "χ": "kh", "ç": "h", "ʔ": "", "ɫ": "l", "ʎ": "ly",
    "ʍ": "wh", "ɥ": "w", "β": "v", "ɸ": "f", "ɣ": "g", "q": "k", "c": "k", "ɬ": "l", "ħ": "h", "ɦ": "h", "y": "ue",
    "iː": "ee", "i": "ee", "ɪ": "i", "e": "e", "ɛ": "e", "æ": "a", "a": "ah", "aː": "ah", "ɑː": "ah", "ɑ": "ah",
    "ɒ": "o", "ɔː": "aw", "ɔ": "aw", "o": "oh", "oː": "oh", "ʊ": "oo", "uː": "oo", "u": "oo", "ʌ": "uh", "ə": "uh",
    "ɐ": "uh", "ɜː": "er", "ɜ": "er", "ɝ": "er", "ɚ": "er", "ɨ": "i", "ɯ": "oo", "ø": "er", "œ": "er", "ɛː": "air",
    "eː": "ay", "eɪ": "ay", "aɪ": "ie", "ɔɪ": "oy", "aʊ": "ow", "oʊ": "oh", "əʊ": "oh", "ɪə": "eer", "iə": "eer",
    "eə": "air", "ɛə": "air", "ʊə": "oor", "ɑɹ": "ar", "ɑr": "ar", "ɔɹ": "or", "ɔr": "or", "ɜɹ": "er", "əɹ": "er",
    "ər": "er", "ɪɹ": "eer", "ɪr": "eer", "ɛɹ": "air", "ɛr": "air", "ʊɹ": "oor", "ʊr": "oor",
    **dict.fromkeys(" ", " "), **{letter: letter for letter in "bdfghklmnprstvwz"},
}  # fmt: skip
_SAMPA = {
    "@": "ə", "{": "æ", "A": "ɑ", "Q": "ɒ", "O": "ɔ", "E": "ɛ", "I": "ɪ", "U": "ʊ", "V": "ʌ", "3": "ɜ", "6": "ɐ",
    "1": "ɨ", "2": "ø", "9": "œ", "T": "θ", "D": "ð", "S": "ʃ", "Z": "ʒ", "N": "ŋ", "J": "ɲ", "L": "ʎ", "R": "ʁ",
    "C": "ç", "G": "ɣ", "B": "β", "X": "χ", "H": "ɥ", "W": "ʍ", "?": "ʔ", "4": "ɾ", "M": "ɯ", "r\\": "ɹ", "h\\": "ɦ",
    "@`": "ɚ", "3`": "ɝ", '"': "ˈ", "%": "ˌ", ":": "ː", ".": ".",
}  # fmt: skip
_MARKS = re.compile("[ˈˌ.‿|'\u0300-\u036fʰʷʲˠ̩͡]")  # stress, syllables, ties, and what letters cannot show
_PARTS = re.compile("|".join(map(re.escape, sorted(_LETTERS, key=len, reverse=True))))
_SAMPA_PARTS = re.compile("|".join(map(re.escape, sorted(_SAMPA, key=len, reverse=True))))


def respell(phones: str, alphabet: str = "ipa") -> str | None:
    """Return English letters for a phonetic spelling; None where it has signs that are not known."""
    if alphabet == "x-sampa":
        phones = _SAMPA_PARTS.sub(lambda match: _SAMPA[match.group(0)], phones)
    bare = _MARKS.sub("", phones.strip())
    parts = _PARTS.findall(bare)
    rest = _PARTS.sub("", bare)
    spelt = "".join(_LETTERS[part] for part in parts)
    return spelt if spelt.strip() and not rest.strip("ː") else None
