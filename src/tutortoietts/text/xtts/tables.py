"""Tables of the original cleaner: languages and their limits, abbreviations, symbols, endings of ordinals."""

from __future__ import annotations

__all__ = ["ABBREVIATIONS", "CHARACTER_LIMITS", "LANGUAGES", "ORDINAL_ENDINGS", "SYMBOLS"]

LANGUAGES = ("en", "es", "fr", "de", "it", "pt", "pl", "tr", "ru", "nl", "cs", "ar", "zh", "ja", "hu", "ko", "hi")

CHARACTER_LIMITS = {
    "en": 250, "es": 239, "fr": 273, "de": 253, "it": 213, "pt": 203, "pl": 224, "tr": 226, "ru": 182, "nl": 251,
    "cs": 186, "ar": 166, "zh": 82, "ja": 71, "hu": 224, "ko": 95, "hi": 150,
}  # fmt: skip
"""Characters that are spoken well at one go."""


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """ "dr doctor; st saint" as pairs, in this order."""
    return tuple((short, word) for short, _, word in (entry.strip().partition(" ") for entry in text.split(";")))


ABBREVIATIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "en": _pairs(
        "mrs misess; mr mister; dr doctor; st saint; co company; jr junior; maj major; gen general; drs doctors; "
        "rev reverend; lt lieutenant; hon honorable; sgt sergeant; capt captain; esq esquire; ltd limited; "
        "col colonel; ft fort"
    ),
    "es": _pairs("sra señora; sr señor; dr doctor; dra doctora; st santo; co compañía; jr junior; ltd limitada"),
    "fr": _pairs("mme madame; mr monsieur; dr docteur; st saint; co compagnie; jr junior; ltd limitée"),
    "de": _pairs("fr frau; dr doktor; st sankt; co firma; jr junior"),
    "pt": _pairs("sra senhora; sr senhor; dr doutor; dra doutora; st santo; co companhia; jr júnior; ltd limitada"),
    "it": _pairs("sig signore; dr dottore; st santo; co compagnia; jr junior; ltd limitata"),
    "pl": _pairs("p pani; m pan; dr doktor; sw święty; jr junior"),
    "cs": _pairs("dr doktor; ing inženýr; p pan"),
    "ru": _pairs("г-жа госпожа; г-н господин; д-р доктор"),  # without a full stop
    "nl": _pairs("dhr de heer; mevr mevrouw; dr dokter; jhr jonkheer"),
    "tr": _pairs("b bay; byk büyük; dr doktor"),
    "hu": _pairs("dr doktor; b bácsi; nőv nővér"),
}

_SIGNS = "&@%#$£°"


def _names(text: str) -> dict[str, str]:
    return dict(zip(_SIGNS, text.split(", "), strict=True))


SYMBOLS: dict[str, dict[str, str]] = {
    "en": _names("and, at, percent, hash, dollar, pound, degree"),
    "es": _names("y, arroba, por ciento, numeral, dolar, libra, grados"),
    "fr": _names("et, arobase, pour cent, dièse, dollar, livre, degrés"),
    "de": _names("und, at, prozent, raute, dollar, pfund, grad"),
    "pt": _names("e, arroba, por cento, cardinal, dólar, libra, graus"),
    "it": _names("e, chiocciola, per cento, cancelletto, dollaro, sterlina, gradi"),
    "pl": _names("i, małpa, procent, krzyżyk, dolar, funt, stopnie"),
    "cs": _names("a, na, procento, křížek, dolar, libra, stupně"),
    "ru": _names("и, собака, процентов, номер, доллар, фунт, градус"),
    "nl": _names("en, bij, procent, hekje, dollar, pond, graden"),
    "tr": _names("ve, at, yüzde, diyez, dolar, sterlin, derece"),
    "hu": _names("és, kukac, százalék, kettőskereszt, dollár, font, fok"),
    "ar": _names("و, على, في المئة, رقم, دولار, جنيه, درجة"),
    "zh": _names("和, 在, 百分之, 号, 美元, 英镑, 度"),
    "ko": _names("그리고, 에, 퍼센트, 번호, 달러, 파운드, 도"),
    "hi": _names("और, ऐट दी रेट, प्रतिशत, हैश, डॉलर, पाउंड, डिग्री"),
}

ORDINAL_ENDINGS = {
    "en": "st|nd|rd|th",
    "hi": "st|nd|rd|th",
    "es": "º|ª|er|o|a|os|as",
    "fr": "º|ª|er|re|e|ème",
    "de": r"st|nd|rd|th|º|ª|\.(?=\s|$)",
    "pt": "º|ª|o|a|os|as",
    "it": "º|°|ª|o|a|i|e",
    "pl": "º|ª|st|nd|rd|th",
    "ar": "ون|ين|ث|ر|ى",
    "cs": r"\.(?=\s|$)",
    "ru": "-й|-я|-е|-ое|-ье|-го",
    "nl": "de|ste|e",
    "tr": r"\.|inci|nci|uncu|üncü",
    "hu": r"\.|adik|edik|odik|ödik|ödike|ik",
    "ko": "번째|번|차|째",
}
