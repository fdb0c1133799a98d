"""Numbers, dates, times, sums and measures of other languages, for weights that speak them."""

from __future__ import annotations

import pytest

from pipeline.text import normalize_text


@pytest.mark.parametrize(
    ("language", "written", "spoken"),
    [
        ("de", "Es kostet 1.249,99 € um 14:30 Uhr.",
         "Es kostet eintausendzweihundertneunundvierzig Euro neunundneunzig um vierzehn Uhr dreißig."),
        ("de", "Am 03.10.1990 und am 3. Oktober 1990.",
         "Am dritten Oktober neunzehnhundertneunzig und am dritten Oktober neunzehnhundertneunzig."),
        ("de", "Der 2. Versuch: 5 %, 20 km/h, 21 °C, 1 €.",
         "Der zweite Versuch: fünf Prozent, zwanzig Kilometer pro Stunde, einundzwanzig Grad Celsius, ein Euro."),
        ("de", "Seit 1984 kamen 5-7 Leute & 1.000 Kinder.",
         "Seit neunzehnhundertvierundachtzig kamen fünf bis sieben Leute und eintausend Kinder."),
        ("fr", "Née le 1er mai 1968 à 14 h 30.",
         "Née le premier mai mille neuf cent soixante-huit à quatorze heures trente."),
        ("fr", "Il a 3,5 euros, 21 €, 50 % et 1 000 000 habitants.",
         "Il a trois virgule cinq euros, vingt et un euros, cinquante pour cent et un million habitants."),
        ("fr", "Le 14/07/1789, le 2e jour, à 1:05.",
         "Le quatorze juillet mille sept cent quatre-vingt-neuf, le deuxième jour, à une heure cinq."),
        ("es", "El 1 de mayo de 1968 a las 15:30, 1,50 €, el 3º piso.",
         "El primero de mayo de mil novecientos sesenta y ocho a las quince y treinta, un euro con cincuenta, el tercer"
         " piso."),
        ("es", "Hay 1.000 casas y 20 km.", "Hay mil casas y veinte kilómetros."),
        ("it", "Il 25/12/2023 alle 9:05 costa € 12,50.",
         "Il venticinque dicembre duemilaventitre alle nove e cinque costa dodici euro e cinquanta."),
        ("pt", "Em 7 de setembro de 1822, R$ 1.234,56 e 30 %.",
         "Em sete de setembro de mil oitocentos e vinte e dois, mil duzentos e trinta e quatro reais e cinquenta e seis"
         " e trinta por cento."),
        ("ja", "2024年3月5日14:30に¥1,500、50%、5km。",
         "二千二十四年三月五日十四時三十分に千五百円、五十パーセント、五キロメートル。"),
        ("ko", "2024년 3월 5일 9:30에 ₩1,500, 50%, 5km.",
         "이천이십사년 삼월 오일 아홉시 삼십분에 천오백 원, 오십 퍼센트, 오 킬로미터."),
        ("ko", "오후 4시에 배 2개, 34살 11명, 2-3마리, 120권, 20명.",
         "오후 네 시에 배 두 개, 서른네 살 열한 명, 두 마리에서 세 마리, 백이십 권, 스무 명."),
        ("ko", "3개월 동안 24시간, 제2장, 010-9876-5432.",
         "삼개월 동안 이십사 시간, 제이장, 공일공, 구팔칠육, 오사삼이."),
        ("es", "Tiene 31 años, 1 gato, 1 foto y 201 camas; 1 turista, página 1 muestra, en 2021 hubo.",
         "Tiene treinta y un años, un gato, una foto y doscientas una camas; uno turista, página uno muestra, en dos"
         " mil veintiuno hubo."),
        ("es", "Solo 1 chica de 21 años o 41 libros.", "Solo una chica de veintiún años o cuarenta y un libros."),
        ("de", "1 Blume, 1 Kind, 1 Zeitung, aber Kapitel 1 Katze.",
         "eine Blume, ein Kind, eine Zeitung, aber Kapitel eins Katze."),
        ("pt", "2 maçãs, 2 dias, 22 casas às 7h45 e 1h.",
         "duas maçãs, dois dias, vinte e duas casas às sete horas e quarenta e cinco e uma hora."),
        ("it", "1 casa, 1 libro, 1 problema.", "una casa, un libro, un problema."),
        ("fr", "Henri IV, François Ier, le XVIIIe siècle, 1 page, £1, 1 livre.",
         "Henri quatre, François premier, le dix-huitième siècle, une page, une livre sterling, un livre."),
        ("ja", "電話は03-9876-5432、気温は18℃。", "電話は零三、九八七六、五四三二、気温は十八度。"),
        ("nl", "Het kost 42 euro.", "Het kost tweeënveertig euro."),
    ],
)  # fmt: skip
def test_numbers_and_what_belongs_to_them_are_said(language: str, written: str, spoken: str) -> None:
    normalized = normalize_text(written, language=language, known_languages=(language,))
    assert (normalized.text, normalized.unread) == (spoken, ())


def test_what_is_not_covered_is_passed_and_named() -> None:
    normalized = normalize_text("Text 5 ⟁.", language="xx", known_languages=("xx",))
    assert normalized.text == "Text 5 ⟁."
    assert [(found.kind, found.text) for found in normalized.unread] == [("digit", "5"), ("symbol", "⟁")]
