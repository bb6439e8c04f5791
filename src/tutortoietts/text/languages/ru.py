"""Russian."""

from __future__ import annotations

from tutortoietts.text.languages import Language
from tutortoietts.text.languages.build import Noun, Speech, Spoken
from tutortoietts.text.numerals import plural_slavic
from tutortoietts.text.numerals.ru import cardinal, decimal, ordinal

__all__ = ["CODES", "language"]

CODES = ("ru", "ru-RU")
_MONTHS = "января февраля марта апреля мая июня июля августа сентября октября ноября декабря".split()


def _date(day: int, month: int, year: int | None, before: str = "") -> str:
    return f"{ordinal(day, 'gen')} {_MONTHS[month - 1]}" + (f" {ordinal(year, 'gen')}" if year else "")


def _clock(hour: int, minute: int) -> str:
    hours = f"{cardinal(hour)} {plural_slavic(hour, 'час', 'часа', 'часов')}"
    if not minute:
        return hours
    return f"{hours} {cardinal(minute, 'f')} {plural_slavic(minute, 'минута', 'минуты', 'минут')}"


def _agree(word: str) -> str:
    word = word.lower()
    return "f" if word.endswith(("а", "я", "ость", "ка")) else "n" if word.endswith(("о", "е")) else "m"


def _plural(n: int, noun: Noun) -> str:
    return plural_slavic(n, noun.one, noun.few or noun.one, noun.many or noun.one)


_ROUBLE = Noun("рубль", "рубля", "рублей", "m")
_DOLLAR = Noun("доллар", "доллара", "долларов", "m")
_EURO = Noun("евро", gender="n")
_CENT = Noun("цент", "цента", "центов", "m")
SPEECH = Speech(
    tag="ru",
    cardinal=cardinal,
    ordinal=ordinal,
    counting="m",
    grouping=",",
    point="целых",
    decimal=decimal,
    minus="минус",
    plus="плюс",
    plural=_plural,
    money={
        "₽": _ROUBLE,
        "руб.": _ROUBLE,
        "RUB": _ROUBLE,
        "€": _EURO,
        "EUR": _EURO,
        "$": _DOLLAR,
        "USD": _DOLLAR,
        "£": Noun("фунт", "фунта", "фунтов", "m"),
        "¥": Noun("иена", "иены", "иен", "f"),
    },
    cents={
        "₽": Noun("копейка", "копейки", "копеек", "f"),
        "руб.": Noun("копейка", "копейки", "копеек", "f"),
        "€": _CENT,
        "EUR": _CENT,
        "$": _CENT,
        "USD": _CENT,
        "£": Noun("пенс", "пенса", "пенсов", "m"),
    },
    scales="миллионов|миллиона|миллион|миллиардов|миллиарда|миллиард|тысяч|тысячи|тысяча|млн|млрд|тыс\\.",
    percent="процентов",
    degrees=Noun("градус", "градуса", "градусов", "m"),
    celsius="Цельсия",
    fahrenheit="Фаренгейта",
    units={
        "км/ч": Noun("километр в час", "километра в час", "километров в час", "m"),
        "км": Noun("километр", "километра", "километров", "m"),
        "см": Noun("сантиметр", "сантиметра", "сантиметров", "m"),
        "мм": Noun("миллиметр", "миллиметра", "миллиметров", "m"),
        "м²": Noun("квадратный метр", "квадратных метра", "квадратных метров", "m"),
        "м": Noun("метр", "метра", "метров", "m"),
        "кг": Noun("килограмм", "килограмма", "килограммов", "m"),
        "г": Noun("грамм", "грамма", "граммов", "m"),
        "мл": Noun("миллилитр", "миллилитра", "миллилитров", "m"),
        "л": Noun("литр", "литра", "литров", "m"),
    },
    months=tuple(_MONTHS),
    date=_date,
    clock=_clock,
    ordinal_marks=(
        (r"-?(?:ый|ой|ий|й)(?!\w)", "m"),
        (r"-?(?:ая|я)(?!\w)", "f"),
        (r"-?(?:ое|ее|е|ье)(?!\w)", "n"),
        (r"-?(?:ые|ие)(?!\w)", "pl"),
        (r"-?(?:ого|го)(?!\w)", "gen"),
        (r"-?(?:ому|му)(?!\w)", "dat"),
        (r"-?(?:ом|м)(?!\w)", "loc"),
        (r"-?(?:ую|ю)(?!\w)", "acc"),
        (r"(?= году(?!\w))", "loc"),
        (r"(?= года(?!\w))", "gen"),
        (r"(?= год(?!\w))", "m"),
    ),
    agree=_agree,
    over="дробь",
    fractions={
        (1, 2): "одна вторая",
        (1, 3): "одна третья",
        (2, 3): "две третьих",
        (1, 4): "одна четвёртая",
        (3, 4): "три четвёртых",
    },
    number_sign="номер",
    shorts={
        "т. е.": "то есть",
        "т. д.": "так далее",
        "т. п.": "тому подобное",
        "т. к.": "так как",
        "и др.": "и другие",
        "г.": "года",
        "гг.": "годов",
        "в.": "века",
        "руб.": "рублей",
        "тыс.": "тысяч",
        "млн": "миллионов",
        "млрд": "миллиардов",
        "ул.": "улица",
        "д-р": "доктор",
        "г-н": "господин",
        "г-жа": "госпожа",
        "им.": "имени",
        "см.": "смотри",
        "стр.": "страница",
        "№": "номер",
        "до н. э.": "до нашей эры",
        "н. э.": "нашей эры",
    },
    at="собака",
    dot="точка",
    slash="косая черта",
    symbols={
        "&": "и",
        "@": "собака",
        "%": "процентов",
        "#": "номер",
        "$": "долларов",
        "£": "фунтов",
        "€": "евро",
        "₽": "рублей",
        "+": "плюс",
        "=": "равно",
        "×": "умножить на",
        "÷": "разделить на",
        "°": "градусов",
        "№": "номер",
        "§": "параграф",
        "<": "меньше",
        ">": "больше",
    },
    abbreviations="т е д п к др г гг в руб тыс ул им см стр н э до проф акад",
    marks="№",
    longest=182,
)


def language(tag: str) -> Language:
    """Return Russian."""
    return Spoken(SPEECH)
