"""The language of a text, for `language="auto"`: by its script, and between languages in Latin letters by small words.

It answers only where it is sure; anything else is an error that asks for the language. Languages that share a
script with one of ours are recognised by their own letters and refused (Ukrainian, Persian, Swedish, ...).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from tutortoietts.core.errors import OptionError
from tutortoietts.text.languages import LANGUAGES

__all__ = ["detect_language"]

_LONGEST = 4000  # characters that are looked at
_CHINESE = re.compile("[们这吗吧呢没说她你很么还让给个对时为谁哪您它咱啊們這嗎沒說妳麼誰哪]")  # not written in Japanese
_NO_LANGUAGE = re.compile(r"\S*[@/\\]\S*|\b(?:[^\W\d_]\.)+")  # addresses, abbreviations of letters
_NOT_RUSSIAN = re.compile("ъ[^еёюяи\\W]")  # a vowel, as in Bulgarian
_DISTINCT, _SHARE = 3, 0.2  # small words: how many different ones, and of all words
_AHEAD, _AHEAD_OF_OTHERS = 1.5, 1.2  # times the small words of another of ours, and of a language that we do not have
_SCRIPTS = {"HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "ARABIC": "ar", "DEVANAGARI": "hi", "CYRILLIC": "ru"}
_FOREIGN = {
    "ar": "پچژگکیٹڈڑںےہۀۆێڕڵ",
    "ru": "іїєґўђјљњћџѓќѕқғңөұүһәӣӯҳҷѣ",
    "hi": "ळऱ",
    "LATIN": "åøæðþđșțģķļņŗāēīūėįųŋħġċľĺŕơưạảấầậắặẹẽếềệỉịọốồộớờợụủứừự",
}
"""Letters that a script has in other languages only."""

_LETTERS = {"ß": "de", "ñ": "es", "¿": "es", "¡": "es", "ã": "pt", "õ": "pt", "ł": "pl", "ą": "pl", "ę": "pl",
            "ś": "pl", "ź": "pl", "ż": "pl", "ř": "cs", "ě": "cs", "ů": "cs", "ő": "hu", "ű": "hu", "ğ": "tr",
            "ı": "tr", "œ": "fr"}  # fmt: skip
"""Letters that only one of ours has."""

_WORDS = {
    "en": "the and of to is was are were that this with for have has not you he she they we it be been will would from "
    "which there what at by on as but if its his her their your my can could one all an who",
    "es": "el la los las de del que y en un una es por con para no se su lo como más pero al está son fue hay muy este "
    "esta si ya cuando todo nos mi tiene ser",
    "fr": "le la les des et est un une dans que qui pour pas sur avec ce il elle nous vous au aux du ne se sont plus "
    "par cette ses mais ou être a été je tu leur comme on était c'est",
    "de": "der die das und ist nicht ein eine zu den dem des mit sich auf für es im ich sie er wir von war sind auch "
    "als an bei nach wie aus hat noch einen einer aber oder wird",
    "it": "il lo la gli le di che è un una alle delle degli dei dal dalla e per non con "
    "del della sono si più come ma al nel alla questo questa "
    "ha era anche da nella ho molto suo mi ci",
    "pt": "o a os as de do da dos das que e em um uma não para com por no na se é mais como mas ao foi são está muito "
    "ele ela seu sua também eu você isso pelo",
    "pl": "i w na nie to się z że jest do jak o po co tak za ale od przez być był była czy już dla tylko są jego jej "
    "ten tego oraz mnie",
    "tr": "bir ve bu da de için ile çok ne var mı mi o daha gibi ama en ben sen değil olan olarak kadar sonra her şey "
    "iki ki biz onu",
    "nl": "de het een en van is niet dat ik je hij ze we op te in met voor zijn er maar aan om ook als dan bij nog uit "
    "was naar heeft hebben deze wordt door over",
    "cs": "a se na je že v to s z do jsem si jako ale o i by po tak pro co jsou být byl bylo byla který jeho když už "
    "není nebo ze",
    "hu": "a az és nem hogy egy is van ez meg volt de csak el én te ő mi azt ezt már még mint ha vagy kell lesz nagyon "
    "minden pedig",
}
_OTHER_WORDS = {
    "sv": "och att det som en på är av för med den till inte om ett han men var jag har de",
    "da": "og at det er en til på som med de for den af ikke der et han var jeg har seg ikkje deg",
    "af": "die het nie van en is in wat dit ek hy sy ons met vir om te aan nie",
    "ro": "și de la în cu care nu este pe un din mai că au lui pentru ce sau fost",
    "ca": "el la els les de que i en un una és per amb no del al dels més però com ha",
    "gl": "que de na unha non para con como unha máis pero foi dos das está moi ao",
    "hr": "je i u na se da za su ne koji od s kao bio što nije iz ali to sam",
    "sl": "je in na se da za so ne ki od kot bil kar ni iz pa to sem tudi po",
    "sk": "je sa na že to do ako ale aj by po tak pre čo som byť bol bolo ktorý keď už nie alebo",
    "fi": "ja on ei se että oli hän ovat mutta kun niin joka tämä mitä ole minä sen",
    "id": "yang dan di ini itu dengan untuk tidak dari dalam akan pada juga ke ada saya",
    "la": "et in est non ad cum ut sed qui quae quod sunt esse ex ab aut atque enim",
    "eo": "la kaj de en estas ne mi li ŝi ke por kun tio kiu al sed pli oni",
}
_SMALL = {
    code: frozenset(word for word in words.split() if len(word) > 1)
    for code, words in {**_WORDS, **_OTHER_WORDS}.items()
}
_NEED_LETTERS = ("pl", "cs")  # their neighbours share their small words
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


def detect_language(text: str) -> str:
    """Return the code of the text's language, one of `LANGUAGES`. Raise OptionError where that is not certain."""
    looked_at = unicodedata.normalize("NFC", text[:_LONGEST]).lower()
    script = _script_of(looked_at)
    found = None
    if script is not None and not set(_FOREIGN.get(script, "")) & set(looked_at):
        found = _by_words(looked_at) if script == "LATIN" else _certain(script, looked_at)
    if found is None:
        known = ", ".join(LANGUAGES)
        raise OptionError(f'language is "auto", but the language of {text[:40]!r} is not certain: give one of {known}')
    return found


def _script_of(text: str) -> str | None:
    """Return a code for a script that one of ours has alone, "LATIN" or "CJK", or None if none has most letters."""
    counts = Counter(name for char in text if char.isalpha() and (name := _script(char)))
    half = counts.total() / 2
    if counts["ja"] and counts["ja"] + counts["CJK"] > half:
        return "ja"
    return next((name for name, count in counts.items() if count > half), None)


def _script(char: str) -> str:
    first = unicodedata.name(char, "").partition(" ")[0]
    return _SCRIPTS.get(first, first)


def _certain(script: str, text: str) -> str | None:
    """Return the language of a script other than Latin."""
    if script == "CJK":
        return "zh" if _CHINESE.search(text) else None
    if script == "ru" and _NOT_RUSSIAN.search(text):
        return None
    return script if script in LANGUAGES else None


def _by_words(text: str) -> str | None:
    """Return the language in Latin letters whose small words and letters stand out, or None."""
    words = _WORD.findall(_NO_LANGUAGE.sub(" ", text))
    hits = {code: [word for word in words if word in small] for code, small in _SMALL.items()}
    letters = Counter({code: 0 for code in _SMALL})
    for char, code in _LETTERS.items():
        letters[code] += min(2, text.count(char))
    scores = Counter({code: len(found) + letters[code] for code, found in hits.items()})
    best, score = scores.most_common(1)[0]
    evidence = len(set(hits[best])) + min(2, letters[best])
    ahead = all(
        score > (_AHEAD if code in LANGUAGES else _AHEAD_OF_OTHERS) * other
        for code, other in scores.items()
        if code != best
    )
    enough = evidence >= _DISTINCT and score >= _SHARE * len(words) and ahead
    return best if enough and best in LANGUAGES and (letters[best] or best not in _NEED_LETTERS) else None
