"""The 16 languages beside English: what a person would say, and what must hold for any text."""

from __future__ import annotations

import json
import random
import re

import pytest

from conformance import SHARED
from tutortoietts.core.errors import OptionError
from tutortoietts.text.languages import LANGUAGES, find_language
from tutortoietts.text.languages.build import parsed
from tutortoietts.text.natural import normalize
from tutortoietts.text.xtts.cleaner import clean
from tutortoietts.text.xtts.tables import CHARACTER_LIMITS
from tutortoietts.text.xtts.tables import LANGUAGES as XTTS_LANGUAGES

CASES = SHARED / "text" / "xtts_cases.json"
OTHERS = [code for code in LANGUAGES if code != "en"]
ROMANISED = {"zh": "pypinyin", "ja": "cutlet", "ko": "hangul_romanize"}

SAID = {
    "es": [
        ("El 1 de mayo de 2024 a las 8:30.", "el primero de mayo de dos mil veinticuatro a las ocho y treinta."),
        ("Cuesta $1,000 o 1.234,50 €.", "cuesta mil dólares o mil doscientos treinta y cuatro euros con cincuenta céntimos."),
        ("La 3ª planta, el 1er piso, los 4os puestos.", "la tercera planta, el primer piso, los cuartos puestos."),
        ("Hace -5 °C, 21 casas y 1 euro.", "hace menos cinco grados celsius, veintiuna casas y un euro."),
        ("¿Qué pasa?", "¿qué pasa?"),
    ],
    "fr": [
        ("10 000 habitants, 1,5 million.", "dix mille habitants, un virgule cinq million."),
        ("Il est 8h, puis 12h30, le 1er mai 2024.", "il est huit heures, puis douze heures trente, le premier mai deux mille vingt-quatre."),
        ("10euros, la 1re fois, 50 %.", "dix euros, la première fois, cinquante pour cent."),
        ("Ligne 3 : 06 12 34 56 78", "ligne trois: zéro six, un deux, trois quatre, cinq six, sept huit"),
    ],
    "de": [
        ("Am 3. Mai 1984 um 12.30 Uhr.", "am dritten mai neunzehnhundertvierundachtzig um zwölf uhr dreißig."),
        ("Es waren 50. Dann kam der 2. Zug.", "es waren fünfzig. dann kam der zweite zug."),
        ("1 Hund, 1 Katze, 3,5 km, z. B. 1.234 €.", "ein hund, eine katze, drei komma fünf kilometer, zum beispiel eintausendzweihundertvierunddreißig euro."),
        ("Ab 3.14 geht's.", "ab drei komma eins vier geht's."),
    ],
    "it": [
        ("Oggi 20° a Roma, il 1° piano, la 2ª volta.", "oggi venti gradi a roma, il primo piano, la seconda volta."),
        ("La Sig.ra Verdi alle 9:05 paga 3,50 €.", "la signora verdi alle nove e cinque paga tre euro e cinquanta centesimi."),
    ],
    "pt": [
        ("R$ 10,50 às 8h do dia 1 de maio.", "dez reais e cinquenta centavos às oito horas do dia primeiro de maio."),
        ("2 casas, 21 livros, a 2ª vez.", "duas casas, vinte e um livros, a segunda vez."),
    ],
    "nl": [
        ("De 2e keer in 1984 om 9:05 uur: €7,50.", "de tweede keer in negentienvierentachtig om negen uur vijf: zeven euro en vijftig cent."),
        ("5euro", "vijf euro"),
    ],
    "pl": [
        ("3 maja 2024 r. kupiłem 2 kg za 5,20 zł.", "trzeciego maja dwa tysiące dwudziestego czwartego roku kupiłem dwa kilogramy za pięć złotych dwadzieścia groszy."),
        ("1. miejsce, £3, godz. 12:30", "pierwsze miejsce, trzy funty, godzina dwunasta trzydzieści"),
    ],
    "cs": [
        ("Je 12:30, 3. května 2024, to je 100 Kč a $2.", "je dvanáct hodin třicet, třetího května dva tisíce dvacet čtyři, to je sto korun a dva dolary."),
        ("Je to 1. test. 5 °C, 2 koruny", "je to první test. pět stupňů celsia, dva koruny"),
    ],
    "ru": [
        ("3 мая 1984 года, в 2024 году.", "третьего мая тысяча девятьсот восемьдесят четвёртого года, в две тысячи двадцать четвёртом году."),
        ("1-й этаж, 7-ая глава, 21 рубль, 2 кг, £5", "первый этаж, седьмая глава, двадцать один рубль, два килограмма, пять фунтов"),
        ("№ 5, и т. д.", "номер пять, и так далее."),
    ],
    "tr": [
        ("IŞIK %50, 3.14, 1. test. 20€", "ışık yüzde elli, üç virgül bir dört, birinci test. yirmi avro"),
        ("2. kat", "ikinci kat"),
    ],
    "hu": [
        ("2024. május 3. Az 1. teszt 1000 Ft.", "kétezer-huszonnégy május harmadika az első teszt ezer forint."),
        ("12:30, 2 alma, 3,5 km", "tizenkét óra harminc perc, két alma, három egész öt tized kilométer"),
    ],
    "ar": [
        ("١٢٣ كتاب و $2 و 50%", "مائة و ثلاثة و عشرون كتاب و دولاران و خمسون في المئة"),
        ("الساعة 3:05؟", "الساعة الثالثة و خمسة دقيقة؟"),
    ],
    "hi": [
        ("₹1,00,000 और 3:30 बजे।", "एक लाख रुपये और तीन बजकर तीस मिनट।"),
        ("१२३ लोग, 50%", "एक सौ तेईस लोग, पचास प्रतिशत"),
    ],
    "ko": [
        ("사과 3개, 12:30, 2024년 6월 5일", "sagwa se gae, yeoldu si samsib bun, icheon-isibsanyeon yu-wol o-il"),
        ("1번째 €10", "cheos beon-jjae sib yulo"),
    ],
    "ja": [
        ("こんにちは。4時15分に3本。", "konnichiwa. yoji juu gofun ni sanpon."),
        ("5月3日、$20", "go gatsu mikka, nijuu dollar"),
    ],
    "zh": [
        ("2本书，$20，1,234元。", "liang3ben3shu1,er4shi2mei3yuan2,yi1qian1liang3bai3san1shi2si4yuan2,"),
        ("2024年5月3日12:30，-5°", "er4ling2er4si4nian2wu3yue4san1ri4shi2er4dian3san1shi2fen1,fu4wu3du4"),
    ],
}  # fmt: skip


def said(text: str, language: str) -> str:
    if language in ROMANISED:
        pytest.importorskip(ROMANISED[language])
    return clean(normalize(text, language).text, language, spoken=True)


@pytest.mark.parametrize(
    ("language", "text", "words"), [(code, *pair) for code, pairs in SAID.items() for pair in pairs]
)
def test_said_as_a_person_would(language: str, text: str, words: str) -> None:
    assert said(text, language) == words


def test_all_languages_of_xtts_are_there() -> None:
    assert set(LANGUAGES) == set(XTTS_LANGUAGES)
    for code in OTHERS:
        language = find_language(code)
        assert language.longest == CHARACTER_LIMITS[code] and language.abbreviations is not None
        assert language.sentence_ends and find_language(code.upper()).tag == code
    with pytest.raises(OptionError, match=r"de-CH.*zh-TW"):
        find_language("xx")


@pytest.mark.parametrize(
    ("written", "grouping", "whole", "part"),
    [
        ("1.234", ".", "1234", ""), ("1,234", ".", "1", "234"), ("1,234", ",", "1234", ""), ("1.234,56", ",", "1234", "56"),
        ("1,234.56", ".", "1234", "56"), ("1,234,567", ".", "1234567", ""), ("1 234 567", ".", "1234567", ""),
        ("0,75", ".", "0", "75"), ("0.123", ".", "0", "123"), ("12'345.6", ",", "12345", "6"), ("1,00,000", ".", "100000", ""),
    ],
)  # fmt: skip
def test_both_separators(written: str, grouping: str, whole: str, part: str) -> None:
    assert parsed(written, grouping) == (whole, part)


def test_money_has_no_three_decimals() -> None:
    assert parsed("1,000", ".", amount=True) == ("1000", "") and parsed("1.2.3", ",") is None


def cases() -> list[str]:
    if not CASES.is_file():
        return ["Text 12, 3.4; 5% €6", "日本語 5本"]
    return [case["text"] for case in json.loads(CASES.read_text(encoding="utf-8"))["tokenizer"]]


@pytest.mark.parametrize("language", OTHERS)
def test_no_text_raises_and_no_digit_or_letter_is_lost(language: str) -> None:
    """Every recorded case through every language, and random strings of its odd characters."""
    draw = random.Random(language)
    pool = "0123456789.,:;/-+%°º'\" €$£¥#@&()aBzéñßшعあ字한अ\n\t½²−–—…"
    texts = cases() + ["".join(draw.choice(pool) for _ in range(draw.randint(1, 60))) for _ in range(150)]
    for text in texts:
        spoken = normalize(text, language).text
        assert not re.search("[0-9]", spoken), (text, spoken)
        kept = spoken.lower()
        plain = re.sub(r"\S*[@./]\S*|\S*[0-9]\S*", " ", text)
        for word in "".join(char if char.isalpha() else " " for char in plain).split():
            if len(word) < 5:
                continue
            assert word.lower() in kept or language == "ja", (word, spoken)


@pytest.mark.parametrize("language", OTHERS)
def test_long_texts_take_linear_time(language: str) -> None:
    """A pattern that backtracks would not come back from these."""
    for text in (
        "1" * 5000,
        "1," * 3000,
        "1 " * 3000,
        "a." * 3000,
        "12.3.4 " * 1000,
        "$" * 3000,
        "1/" * 2000,
        "-" * 5000,
    ):
        normalize(text, language)


@pytest.mark.parametrize("language", OTHERS)
def test_spoken_text_stays_as_it_is(language: str) -> None:
    once = normalize("3.5, 12:30; €20 & 50%", language).text
    assert normalize(once, language).text.lower() == once.lower()
