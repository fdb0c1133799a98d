"""What other languages than English and Chinese call months, currencies, units and signs."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Words:
    """What a language calls things; `{}` stands for the number."""

    months: tuple[str, ...] = ()
    date: str = "{day} {month} {year}"
    first_of_month: str | None = None
    time: str = "{hour} {minute}"
    whole_hour: str = "{hour}"
    hour_mark: str = r"h"
    currencies: dict[str, tuple[str, str]] = field(default_factory=dict)
    cents: dict[str, tuple[str, str]] = field(default_factory=dict)
    units: dict[str, tuple[str, str]] = field(default_factory=dict)
    signs: dict[str, str] = field(default_factory=dict)
    join: str = " "
    to: str = "-"
    ordinal_mark: str | None = None
    per: str = " / "
    and_cents: str = " "


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _same(name: str) -> tuple[str, str]:
    return name, name


_EURO_UNITS = ("km", "m", "cm", "mm", "kg", "g", "mg", "t", "l", "ml", "m²", "m³", "km²", "km/h", "°C", "°", "%",
 "min", "h",
               "s", "kW", "W", "V", "MB", "GB", "ha", "Hz")  # fmt: skip


def _units(names: str) -> dict[str, tuple[str, str]]:
    """Pair units with `singular/plural`, parted by commas; one word serves for both."""
    pairs = (name.strip().split("/") for name in names.split(","))
    return {unit: (pair[0], pair[-1]) for unit, pair in zip(_EURO_UNITS, pairs, strict=True)}


LANGUAGES = {
    "de": Words(
        months=_names("Januar Februar März April Mai Juni Juli August September Oktober November Dezember"),
        date="{ordinal} {month} {year}", time="{hour} Uhr {minute}", whole_hour="{hour} Uhr", hour_mark=r"Uhr",
        currencies={"€": _same("Euro"), "$": _same("Dollar"), "£": _same("Pfund"), "CHF": _same("Franken"),
        "¥": _same("Yen")},
        units=_units("Kilometer,Meter,Zentimeter,Millimeter,Kilogramm,Gramm,Milligramm,Tonne/Tonnen,Liter,Milliliter,"
                     "Quadratmeter,Kubikmeter,Quadratkilometer,Kilometer pro Stunde,Grad"
                     " Celsius,Grad,Prozent,Minute/Minuten,"
                     "Stunde/Stunden,Sekunde/Sekunden,Kilowatt,Watt,Volt,Megabyte,Gigabyte,Hektar,Hertz"),
        signs={"&": "und", "+": "plus", "=": "gleich", "×": "mal", "÷": "geteilt durch", "%": "Prozent",
        "§": "Paragraf"},
        to="bis", ordinal_mark=r"\.(?=\s+(?:[A-ZÄÖÜ]|$))", per="pro",
    ),
    "fr": Words(
        months=_names("janvier février mars avril mai juin juillet août septembre octobre novembre décembre"),
        first_of_month="premier", time="{hour} heures {minute}", whole_hour="{hour} heures", hour_mark=r"h(?:eures?)?",
        currencies={"€": ("euro", "euros"), "$": ("dollar", "dollars"), "£": ("livre sterling", "livres sterling"),
        "CHF": ("franc", "francs")},
        units=_units("kilomètre/kilomètres,mètre/mètres,centimètre/centimètres,millimètre/millimètres,kilogramme/kilogrammes,"
                     "gramme/grammes,milligramme/milligrammes,tonne/tonnes,litre/litres,millilitre/millilitres,"
                     "mètre carré/mètres carrés,mètre cube/mètres cubes,kilomètre carré/kilomètres carrés,"
                     "kilomètre par heure/kilomètres par heure,degré Celsius/degrés Celsius,degré/degrés,pour cent,"
                     "minute/minutes,heure/heures,seconde/secondes,kilowatt/kilowatts,watt/watts,volt/volts,mégaoctet/mégaoctets,"
                     "gigaoctet/gigaoctets,hectare/hectares,hertz"),
        signs={"&": "et", "+": "plus", "=": "égale", "×": "fois", "÷": "divisé par", "%": "pour cent",
        "§": "paragraphe"},
        to="à", ordinal_mark=r"(?:er|re|ère|e|ème|ième|nd|nde)\b", per="par",
    ),
    "es": Words(
        months=_names("enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"),
        date="{day} de {month} de {year}", first_of_month="primero", time="{hour} y {minute}",
         whole_hour="{hour} en punto",
        currencies={"€": ("euro", "euros"), "$": ("dólar", "dólares"), "£": ("libra", "libras")},
        units=_units("kilómetro/kilómetros,metro/metros,centímetro/centímetros,milímetro/milímetros,kilogramo/kilogramos,"
                     "gramo/gramos,miligramo/miligramos,tonelada/toneladas,litro/litros,mililitro/mililitros,"
                     "metro cuadrado/metros cuadrados,metro cúbico/metros cúbicos,kilómetro cuadrado/kilómetros"
                     " cuadrados,"
                     "kilómetro por hora/kilómetros por hora,grado Celsius/grados Celsius,grado/grados,por ciento,"
                     "minuto/minutos,hora/horas,segundo/segundos,kilovatio/kilovatios,vatio/vatios,voltio/voltios,"
                     "megabyte/megabytes,gigabyte/gigabytes,hectárea/hectáreas,hercio/hercios"),
        signs={"&": "y", "+": "más", "=": "igual a", "×": "por", "÷": "dividido por", "%": "por ciento"},
        to="a", ordinal_mark=r"\.?[ºª°]", per="por", and_cents=" con ",
    ),
    "it": Words(
        months=_names("gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre"),
        first_of_month="primo", time="{hour} e {minute}", whole_hour="{hour} in punto",
        currencies={"€": _same("euro"), "$": ("dollaro", "dollari"), "£": ("sterlina", "sterline")},
        units=_units("chilometro/chilometri,metro/metri,centimetro/centimetri,millimetro/millimetri,chilogrammo/chilogrammi,"
                     "grammo/grammi,milligrammo/milligrammi,tonnellata/tonnellate,litro/litri,millilitro/millilitri,"
                     "metro quadrato/metri quadrati,metro cubo/metri cubi,chilometro quadrato/chilometri quadrati,"
                     "chilometro all'ora/chilometri all'ora,grado Celsius/gradi Celsius,grado/gradi,per"
                     " cento,minuto/minuti,"
                     "ora/ore,secondo/secondi,chilowatt,watt,volt,megabyte,gigabyte,ettaro/ettari,hertz"),
        signs={"&": "e", "+": "più", "=": "uguale", "×": "per", "÷": "diviso", "%": "per cento"},
        to="a", ordinal_mark=r"[ºª°]", per="al", and_cents=" e ",
    ),
    "pt": Words(
        months=_names("janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro"),
        date="{day} de {month} de {year}", first_of_month="primeiro", time="{hour} e {minute}",
         whole_hour="{hour} horas",
        currencies={"€": ("euro", "euros"), "$": ("dólar", "dólares"), "£": ("libra", "libras"),
        "R$": ("real", "reais")},
        units=_units("quilômetro/quilômetros,metro/metros,centímetro/centímetros,milímetro/milímetros,quilograma/quilogramas,"
                     "grama/gramas,miligrama/miligramas,tonelada/toneladas,litro/litros,mililitro/mililitros,"
                     "metro quadrado/metros quadrados,metro cúbico/metros cúbicos,quilômetro quadrado/quilômetros"
                     " quadrados,"
                     "quilômetro por hora/quilômetros por hora,grau Celsius/graus Celsius,grau/graus,por"
                     " cento,minuto/minutos,"
                     "hora/horas,segundo/segundos,quilowatt/quilowatts,watt/watts,volt/volts,megabyte/megabytes,"
                     "gigabyte/gigabytes,hectare/hectares,hertz"),
        signs={"&": "e", "+": "mais", "=": "igual a", "×": "vezes", "÷": "dividido por", "%": "por cento"},
        to="a", ordinal_mark=r"\.?[ºª°]", per="por", and_cents=" e ",
    ),
    "ja": Words(
        date="{year}年{number}月{day}日", time="{hour}時{minute}分", whole_hour="{hour}時", join="", hour_mark="時",
        currencies={"¥": _same("円"), "$": _same("ドル"), "€": _same("ユーロ"), "£": _same("ポンド")},
        units=_units("キロメートル,メートル,センチメートル,ミリメートル,キログラム,グラム,ミリグラム,トン,リットル,ミリリットル,平方メートル,"
                     "立方メートル,平方キロメートル,キロメートル毎時,度,度,パーセント,分,時間,秒,キロワット,ワット,ボルト,メガバイト,"
                     "ギガバイト,ヘクタール,ヘルツ"),
        signs={"&": "と", "+": "たす", "=": "は", "×": "かける", "÷": "わる", "%": "パーセント"}, to="から",
    ),
    "ko": Words(
        date="{year}년 {number}월 {day}일", time="{hour}시 {minute}분", whole_hour="{hour}시", hour_mark="시",
        currencies={"₩": _same("원"), "$": _same("달러"), "€": _same("유로"), "£": _same("파운드"), "¥": _same("엔")},
        units=_units("킬로미터,미터,센티미터,밀리미터,킬로그램,그램,밀리그램,톤,리터,밀리리터,"
                     "제곱미터,세제곱미터,제곱킬로미터,시속 킬로미터,"
                     "도,도,퍼센트,분,시간,초,킬로와트,와트,볼트,메가바이트,기가바이트,헥타르,헤르츠"),
        signs={"&": "그리고", "+": "더하기", "=": "는", "×": "곱하기", "÷": "나누기", "%": "퍼센트"}, to="에서 ",
    ),
}  # fmt: skip
