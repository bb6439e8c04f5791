"""The language of a text: found where it is certain, refused where another may be meant."""

from __future__ import annotations

import pytest

from tutortoietts.core.errors import OptionError
from tutortoietts.text.detect import detect_language
from tutortoietts.text.languages import LANGUAGES

SURE = {
    "en": "The ship left the harbour at nine in the morning, and nobody waved.",
    "es": "No sé lo que quieres decir, pero está bien.",
    "fr": "Le bateau a quitté le port à neuf heures du matin et personne n'a fait signe.",
    "de": "Das Schiff verließ den Hafen um neun Uhr morgens, und niemand winkte.",
    "it": "Non so cosa vuoi dire, ma va bene così, come sempre.",
    "pt": "Não sei o que você quer dizer, mas está bem.",
    "pl": "Statek opuścił port o dziewiątej rano i nikt nie pomachał.",
    "tr": "Ne demek istediğini bilmiyorum ama bu iyi bir şey.",
    "ru": "Корабль вышел из гавани в девять утра на Nokia.",
    "nl": "Het schip verliet de haven om negen uur 's ochtends en niemand zwaaide.",
    "cs": "Nevím, co tím myslíš, ale je to v pořádku, řekl.",
    "ar": "غادرت السفينة الميناء في التاسعة صباحا.",
    "zh": "船早上九点离开港口，没有人挥手。",
    "ja": "船は朝九時に港を出た。",
    "hu": "A hajó reggel kilenckor hagyta el a kikötőt, és senki sem integetett, de ez nem baj.",
    "ko": "배는 아침 아홉 시에 항구를 떠났다.",
    "hi": "जहाज सुबह नौ बजे बंदरगाह से निकला।",
}
UNSURE = {
    "Swedish": "Fartyget lämnade hamnen klockan nio och ingen vinkade, men det är inte en sak för mig.",
    "Danish": "Skibet forlod havnen og det er ikke en ting som man kan vente",
    "Afrikaans": "Die skip het die hawe nege-uur in die oggend verlaat en niemand het gewuif nie.",
    "Romanian": "Nava a plecat din port la ora noua dimineata si nimeni nu a facut cu mana.",
    "Catalan": "El vaixell va sortir del port a les nou del matí i ningú no va saludar.",
    "Galician": "O barco saíu do porto ás nove da mañá e ninguén saudou.",
    "Croatian": "Brod je napustio luku u devet ujutro i nitko nije mahnuo, ali to je bilo u redu.",
    "Slovak": "Loď opustila prístav o deviatej ráno a nikto nezamával, ale to je v poriadku.",
    "Vietnamese": "Con tàu rời cảng lúc chín giờ sáng và không ai vẫy tay.",
    "Ukrainian": "Корабель вийшов з гавані о дев'ятій ранку.",
    "Bulgarian": "Корабът напусна пристанището в девет сутринта.",
    "Persian": "کشتی ساعت نه صبح بندر را ترک کرد.",
    "Urdu": "جہاز صبح نو بجے بندرگاہ سے روانہ ہوا۔",
    "Greek": "Το πλοίο έφυγε από το λιμάνι.",
    "kanji or hanzi": "東京都",
    "one word": "Hello",
    "no letters": "123 456",
    "an address": "007 555-1234 #1 a@b.com R&D",
    "nothing": "",
}


def test_there_is_a_text_in_each_language() -> None:
    assert set(SURE) == set(LANGUAGES)


@pytest.mark.parametrize("language", SURE)
def test_a_sentence_tells_its_language(language: str) -> None:
    assert detect_language(SURE[language]) == language


@pytest.mark.parametrize("name", UNSURE)
def test_what_is_not_certain_is_refused_with_the_codes(name: str) -> None:
    with pytest.raises(OptionError, match=r"not certain: give one of en, es, fr"):
        detect_language(UNSURE[name])
