"""Polish."""

from __future__ import annotations

from tutortoietts.text.languages import Language
from tutortoietts.text.languages.build import Noun, Speech, Spoken
from tutortoietts.text.numerals.pl import cardinal, ordinal, plural

__all__ = ["CODES", "language"]

CODES = ("pl", "pl-PL")
_MONTHS = ("stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia").split()


def _date(day: int, month: int, year: int | None, before: str = "") -> str:
    return f"{ordinal(day, 'gen')} {_MONTHS[month - 1]}" + (f" {ordinal(year, 'gen')}" if year else "")


def _clock(hour: int, minute: int) -> str:
    hours = ordinal(hour, "f") if hour else "zero"
    return f"{hours} {cardinal(minute)}" if minute else hours


def _agree(word: str) -> str:
    return "f" if word.lower().endswith(("a", "ć")) else "n" if word.lower().endswith(("o", "ę")) else ""


def _ordinal_dot(before: str, after: str) -> str | None:
    if not after[0].islower():
        return None
    return "f" if after.endswith("a") else "n" if after.endswith(("e", "o")) else "m"


SPEECH = Speech(
    tag="pl",
    cardinal=cardinal,
    ordinal=ordinal,
    point="przecinek",
    decimals_as_number=True,
    minus="minus",
    plus="plus",
    plural=lambda n, noun: plural(n, noun.one, noun.few or noun.one, noun.many or noun.one),
    money={
        "zł": Noun("złoty", "złote", "złotych"),
        "PLN": Noun("złoty", "złote", "złotych"),
        "€": Noun("euro"),
        "EUR": Noun("euro"),
        "$": Noun("dolar", "dolary", "dolarów"),
        "USD": Noun("dolar", "dolary", "dolarów"),
        "£": Noun("funt", "funty", "funtów"),
    },
    cents={
        "zł": Noun("grosz", "grosze", "groszy"),
        "PLN": Noun("grosz", "grosze", "groszy"),
        "€": Noun("cent", "centy", "centów"),
        "EUR": Noun("cent", "centy", "centów"),
        "$": Noun("cent", "centy", "centów"),
        "USD": Noun("cent", "centy", "centów"),
        "£": Noun("pens", "pensy", "pensów"),
    },
    scales="milionów|miliony|milion|miliardów|miliardy|miliard|tysięcy|tysiące|tysiąc|mln|mld|tys\\.",
    percent="procent",
    degrees=Noun("stopień", "stopnie", "stopni"),
    celsius="Celsjusza",
    fahrenheit="Fahrenheita",
    units={
        "km/h": Noun("kilometr na godzinę", "kilometry na godzinę", "kilometrów na godzinę"),
        "km": Noun("kilometr", "kilometry", "kilometrów"),
        "cm": Noun("centymetr", "centymetry", "centymetrów"),
        "mm": Noun("milimetr", "milimetry", "milimetrów"),
        "m²": Noun("metr kwadratowy", "metry kwadratowe", "metrów kwadratowych"),
        "m": Noun("metr", "metry", "metrów"),
        "kg": Noun("kilogram", "kilogramy", "kilogramów"),
        "g": Noun("gram", "gramy", "gramów"),
        "ml": Noun("mililitr", "mililitry", "mililitrów"),
        "l": Noun("litr", "litry", "litrów"),
    },
    months=tuple(_MONTHS),
    date=_date,
    clock=_clock,
    ordinal_marks=((r"(?:st|nd|rd|th|º)(?!\w)", "m"), (r"ª(?!\w)", "f"), (r"-?(?:ego|go)(?!\w)", "gen")),
    ordinal_dot=_ordinal_dot,
    agree=_agree,
    over="łamane przez",
    fractions={
        (1, 2): "jedna druga",
        (1, 3): "jedna trzecia",
        (2, 3): "dwie trzecie",
        (1, 4): "jedna czwarta",
        (3, 4): "trzy czwarte",
    },
    number_sign="numer",
    shorts={
        "św.": "święty",
        "dr": "doktor",
        "mgr": "magister",
        "inż.": "inżynier",
        "prof.": "profesor",
        "np.": "na przykład",
        "itd.": "i tak dalej",
        "itp.": "i tym podobne",
        "tzn.": "to znaczy",
        "tj.": "to jest",
        "m.in.": "między innymi",
        "ul.": "ulica",
        "nr": "numer",
        "str.": "strona",
        "rys.": "rysunek",
        "tab.": "tabela",
        "godz.": "godzina",
        "ok.": "około",
        "r.": "roku",
        "p.n.e.": "przed naszą erą",
        "n.e.": "naszej ery",
        "tys.": "tysięcy",
        "mln": "milionów",
        "mld": "miliardów",
    },
    at="małpa",
    dot="kropka",
    slash="ukośnik",
    symbols={
        "&": "i",
        "@": "małpa",
        "%": "procent",
        "#": "krzyżyk",
        "$": "dolarów",
        "£": "funtów",
        "€": "euro",
        "+": "plus",
        "=": "równa się",
        "×": "razy",
        "÷": "podzielone przez",
        "°": "stopni",
        "§": "paragraf",
        "<": "mniejsze niż",
        ">": "większe niż",
    },
    abbreviations="św dr mgr inż prof np itd itp tzn tj in ul nr str rys tab godz ok p m r n e tys jr",
    marks="ºª",
    longest=224,
)


def language(tag: str) -> Language:
    """Return Polish."""
    return Spoken(SPEECH)
