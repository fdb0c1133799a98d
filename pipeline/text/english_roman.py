"""Roman numerals in English text: of chapters, of kings, of years, in lists. The pronoun I is none."""

from __future__ import annotations

import re
from re import Match

from pipeline.text.english_abbreviations import ENDS
from pipeline.text.english_numbers import cardinal, ordinal, roman_value, year

_HEADINGS = (
    "Chapter|Part|Book|Volume|Act|Scene|Section|Article|Phase|Type|Class|Appendix|Figure|Table|Canto|Episode|Stage"
    "|Title|Level|Grade|Lesson|Unit|War|Bowl|Step|Number|Numbers|Verse|Psalm|Exhibit|Category|Mark|Apollo|Series|Plate"
    "|Letter|Stave|Tome|Lecture|Essay|Epilogue|Sonnet|Paragraph|Question|Problem|Theorem|Note|Story|Page|Room|Cantos"
    "|Chapters|Pages|Parts|Books|Volumes|Acts|Scenes|Sections|Articles|Figures|Tables|Letters|Sonnet|Opus|Op|Vatican|Leg"
)
_MONARCHS = (
    "Louis|Henry|Charles|George|Edward|James|William|Richard|John|Paul|Pius|Benedict|Elizabeth|Mary|Catherine|Francis"
    "|Philip|Alexander|Nicholas|Peter|Frederick|Leo|Innocent|Gregory|Clement|Urban|Ramesses|Rameses|Ptolemy|Napoleon"
    "|Otto|Ivan|Alfonso|Ferdinand|Harald|Christian|Gustav|Carlos|Wilhelm|Friedrich|Mehmed|Selim|Murad|Darius|Xerxes"
    "|Cleopatra|Malcolm|Robert|Stephen|Haakon|Olav|Sixtus|Boniface|Celestine|Julius|Adrian|Martin|Victor|Leopold|Albert"
    "|Juan|Joseph|Pedro|Maximilian|Ludwig|Rudolf|Felipe|Umberto|Edgar|Harold|David|Baldwin|Theodosius|Constantine|Anne"
    "|Margrethe|Isabella|Eugene|Honorius|Callixtus|Sigismund|Casimir|Charlemagne|Suleiman|Tiglath|Artaxerxes|Thutmose"
    "|Ramses|Amenhotep|Seti|Psamtik|Ashurbanipal|Cyrus|Cambyses|Antiochus|Seleucus|Mithridates|Thutmosis|Tuthmosis|Osman"
    "|Ahmed|Mustafa|Bayezid|Mahmud|Abdulhamid|Emmanuel|Emanuel|Willem|Wilhelmina|Beatrix|Carl|Karl|Gustaf|Gustavus|Oscar"
    "|Magnus|Eric|Erik|Canute|Cnut|Valdemar|Sancho|Manuel|Miguel|Stanislaus|Augustus|Matthias|Andrew|Ladislaus|Conrad"
    "|Lothair|Pepin|Hugh|Basil|Michael|Theodore|Justinian|Justin|Valentinian|Eugenius|Hadrian|Anastasius|Felix|Lucius"
    "|Sylvester|Marcellus|Callistus|Calixtus|Rama|Sargon|Shalmaneser|Nebuchadnezzar|Tutmose|Edmund|Ethelred|Frederik"
    "|Amadeus|Humbert|Alaric|Theodoric|Clovis|Childeric|Chlothar|Franz|Nicephorus|Romanus"
)
# Bearers of a fifth or a tenth: with one letter alone, others have an initial, or are Malcolm X.
_FIFTHS = (
    "George|Charles|Henry|James|Philip|Louis|Edward|Ferdinand|Frederick|Christian|Haakon|Olav|Carl|Alfonso|Pius|Paul"
    "|Leo|Urban|Clement|Innocent|Benedict|Sixtus|Martin|Nicholas|Gregory|Ramesses|Ramses|Ptolemy|Mehmed|Murad|Baldwin"
)
_TENTHS = "Louis|Charles|Leo|Pius|Gregory|Innocent|Clement|Benedict|Christian|Alfonso|Boniface|John|Ptolemy"
# Named so by people, too: only what a ruler does tells the number from the pronoun.
_COMMON = frozenset(
    "John Paul Peter David Robert Martin Victor Albert Joseph Stephen Anne Eugene Adrian Michael Andrew Eric Carl Karl"
    " Felix"
    " Oscar Hugh Justin Harold Edgar Juan Pedro Miguel Manuel Malcolm Christian Edmund Theodore Magnus Rama".split()
)
_FIRSTS_DEEDS = re.compile(
    r" (?:reigned|ruled|ascended|abdicated|succeeded|conquered|died|crowned|invaded|besieged|banned|decreed|annexed"
    r"|founded|was (?:the|a|an|not|king|queen|pope|emperor|tsar|crowned|executed|beheaded|assassinated|deposed"
    r"|succeeded|buried|born|murdered|killed|overthrown|restored|proclaimed|married)|became|is (?:the|a|buried|known"
    r"|remembered|said)|has)\b"
)
_FIRSTS_ACTS = re.compile(
    r" (?:was|is|has|had(?! (?:never|always|just|met|seen|known|heard|read|loved|liked)\b)|lost|won|fought|fled"
    r"|built|made|took|came|went|left|sent|held|granted|began|chose|gave (?:the|his|her)|did not|could not|would not"
    r"|may have|might have|himself|herself|who|whose|(?!(?:loved|liked|wanted|needed|mentioned|described|remembered"
    r"|used|asked|called|talked|tried|hated|missed|noticed|recognized|admired|visited|learned|hoped|prayed|worked"
    r"|looked|lived|watched|finished|enjoyed|wished|helped)\b)[a-z]{2,}ed)\b"
)
_SPOKEN_TO = re.compile(
    r"(?i)(?:\b(?:the|this|that|my|dear|poor|said|says|and then|yes|no|oh|ah|well|hello|hi|hey|please|thanks|sorry"
    r"|told|tell|tells|ask|asks|asked|know|knew|think|thought|whom|thing|way|time|day|book|letter|story|man|woman"
    r"|one|person|with|for|about|like|without|beside|the first|the second),? |[“\"‘']\s?)$"
)
_ROYAL = "King|Queen|Pope|Emperor|Empress|Tsar|Czar|Kaiser|Sultan|Prince|Pharaoh|Saint"
# Where "I" after a capitalized heading or a name is the numeral: before a mark, the end, or what goes on about it.
_AFTER_NUMERAL = (
    r"(?=\s*(?:$|[.,:;!?)\]”\"—–]|'s\b|’s\b|\n)"
    r"|\s+(?:of|and|to|in|on|is|was|has|had|begins|began|ended|ends|opens|opened|closes|deals|contains|covers|shows"
    r"|error|errors|describes|introduces|died|reigned|ruled|became|the|at|by|with|for|from|or|as|but|who|whose|which"
    r"|\d|[IVXLC]+\b"
    r"|[A-Z][a-z]+)(?![\w'’]))"
)
_TYPES = "type|phase|class|stage|grade|category|level|part|chapter|act|volume|book|section|scene|article|war"
_HEADING_PATTERN = re.compile(
    rf"\b((?i:{_HEADINGS}))(\.? )([VX](?!\.\s?[A-Z]\.)|[IVXLCDM]{{2,}}|[ivxlc]{{2,}})(?![\w'’&]|\.[A-Z])"
)
_FIRST_PATTERN = re.compile(
    rf"\b((?!(?:Number|Numbers|No|Note|Step|Story)\b)(?:{_HEADINGS}"
    rf"|{_HEADINGS.upper()}))(\.? )(I){_AFTER_NUMERAL}(?!\.[A-Z])"
    rf"|\b(World War) (I)\b(?!['’](?!s))"
    rf"|(?<!the )(?<!that )(?<!this )(?<!every )(?<!a )\b({_TYPES})( )(I)(?=\s+(?:of [A-Z“\"'‘]|begins|ends|opens|\())"
    rf"|(?<!the )(?<!that )(?<!this )(?<!every )(?<!a )\b({_TYPES})( )(I)(?=[.;:!?)](?:\s|$))"
    rf"|\b({_TYPES})( )(I)(?=\s(?:and|or|to) [IVX]+\b|\s(?:error|errors|diabetes|diabetic|trial|trials"
    r"|study|studies|cancer|collagen|railroad|railroads|listed|error-rate|hypersensitivity|supernova|trauma)\b)"
)
_MONARCH_PATTERN = re.compile(
    rf"\b((?:{_ROYAL}) (?:[A-Z][a-z]+ ){{0,2}}[A-Z][a-z]+) (I{_AFTER_NUMERAL}|[VX](?!\.\s?[A-Z])"
    rf"|[IVXL]{{2,}})\b(?!['’](?!s))(?:\.(?= [a-z]|['’]s|[,;:)]))?"
)
_REGNAL_PATTERN = re.compile(
    rf"\b({_MONARCHS}) (I(?=[,;:)?!]|\.(?!\s[A-Z])|\.{ENDS}|['’]s|\s(?:of [A-Z]|and [A-Zhrtl]|or [A-Z]|\(|reigned"
    rf"|ruled|died|ascended"
    r"|(?:in|to|at|by|on|from|as|until|between|after|against|during) (?:[A-Z\d]|the|his|her|a)|the [A-Z]))"
    rf"|I$|V(?!\.)|[IVXL]{{2,}})\b(?!['’](?!s))(?:(?<=[IVX])\.(?=[,;:)]| [a-z]|['’]s))?"
    rf"|\b({_FIFTHS}) (V)(?:\.(?= [a-z])"
    rf"|(?=\.{ENDS}))|\b({_TENTHS}) (X)(?:\.(?= [a-z])|(?=\.{ENDS}|[,;:)]|['’]s| [a-z(]))"
)
_UNDER_FIRST_PATTERN = re.compile(
    rf"(\b(?i:under|with|from|since|after|until|of|by|to) (?:{_MONARCHS})) (I)(?= [A-Z][a-z]+ [a-z])"
)
_FIRST_RULER_PATTERN = re.compile(rf"\b({_MONARCHS}) I(?= [a-z])")
_PERSON_PATTERN = re.compile(rf"\b((?:{_MONARCHS})(?: [A-Z][a-z]*\.?){{1,2}},?) (I{{2,3}}|IV)\b(?!['’](?!s))")
_NAME_PATTERN = re.compile(r"\b([A-Z][a-z]{2,})( )([IVX]{2,}|[XL][IVXL]{2,})\b(?!\.[A-Z])")
_SPAN_PATTERN = re.compile(
    r"\b((?i:pages|chapters|parts|books|volumes|acts|sections|figures|tables|cantos|letters|articles|verses"
    r"|psalms)\.? )([IVXLC]+|[ivxlc]+)(\s?[-–—]\s?| to | and | & )((?!I\b)[IVXLC]+|(?<= to )I\b|(?<=[-–])I\b"
    r"|[ivxlc]+)(?![\w'’])"
)
# "Ith" is "is" with a lisp.
_SUFFIXED_PATTERN = re.compile(
    r"\b([VX][IVX]*(?=th|st|nd|rd)|I[VX](?=th)|II(?=nd)|III(?=rd)|(?<=\b[Tt]he )I(?=st))(?:th|st|nd|rd)\b"
)
_LETTERED_PATTERN = re.compile(
    r"\b((?:(?i:figure|table|plate|section|type|class|stage|phase|grade|level)) )"
    r"([IVX]{1,4})([a-f])\b"
)
_SCENE_PATTERN = re.compile(r"(?<![\w.])([IVX]{1,3})\.([ivx]{1,5})\.(?=\d)")
_PLAY_PATTERN = re.compile(r"(?<![\w.])(I{1,3}|[123]) (Henry|Tamburlaine) (IV|VI)\b")
_CENTURY_PATTERN = re.compile(r"\b([IVX]+)(?:th|TH)?(?= (?:century|Century|centuries|dynasty|Dynasty|Corps|Legion)\b)")
_YEAR_PATTERN = re.compile(r"(?<![\w.])M[MDCLXVI]{3,}(?![\w])")
_LIST_PATTERN = re.compile(r"\bI{1,3}(?:, (?:and |or )?[IVX]+| (?:and|or|to) [IVX]{2,}|[-–][IVX]+)+\b(?!\.[A-Z])")
_ALONE_PATTERN = re.compile(r"(?<![\w.'’-])(?:[IVX]{3,}|[XL][IVXL]{3,}|II|VI|XI|IX)(?![\w'’-]|\.[A-Z])")
_ITEM_PATTERN = re.compile(r"(?m)^(?:([IVXL]{2,})(?=\.\s|\.?$)|([IVX])(?=\.\s+(?:[A-Z][\w'’]*\s?){2}|\.?$))")
_TITLE_CASE = re.compile(r"[^\n]{1,80}[^.?!\n]?(?=\n|$)")
_NOT_NUMERALS = frozenset({"XXX", "XX", "XXL", "XL", "XXXL"})
_ROMAN = re.compile(r"\b(?:[IVXLCDM]+(?:th|TH|st|nd|rd|[a-f])?|[ivx]{2,})\b")
_BEFORE_FIRST = frozenset(f"{_HEADINGS}|{_MONARCHS}|War".lower().split("|")) | {
    "ch",
    "vol",
    "pt",
    "king",
    "queen",
    "pope",
    "art",
}


def _say_heading(match: Match[str]) -> str:
    groups = [group for group in match.groups() if group is not None]
    value = roman_value(groups[-1].upper())
    if value is None:
        return match[0]
    word = groups[0].capitalize() if len(groups[0]) > 2 and groups[0].isupper() else groups[0]
    return f"{word} {cardinal(str(value))}"


def _say_span(match: Match[str]) -> str:
    values = [roman_value(numeral.upper()) for numeral in (match[2], match[4])]
    if None in values:
        return match[0]
    between = " and " if match[3] in (" and ", " & ") else " to "
    return f"{match[1]}{cardinal(str(values[0]))}{between}{cardinal(str(values[1]))}"


def _say_name(match: Match[str]) -> str:
    return match[0] if match[3] in _NOT_NUMERALS else _say_heading(match)


def _say_monarch(match: Match[str]) -> str:
    name, numeral = [group for group in match.groups() if group]
    value = roman_value(numeral)
    return match[0] if value is None else f"{name} the {ordinal(value)}"


def _say_first_ruler(match: Match[str]) -> str:
    """Tell `Charles I lost his head` from `James I love`: by what a ruler does, and no speech around it."""
    deeds = _FIRSTS_DEEDS.match(match.string, match.end())
    if not deeds and (match[1] in _COMMON or not _FIRSTS_ACTS.match(match.string, match.end())):
        return match[0]
    if _SPOKEN_TO.search(match.string[max(0, match.start() - 12) : match.start()]):
        return match[0]
    return f"{match[1]} the first"


def _say_century(match: Match[str]) -> str:
    value = roman_value(match[1])
    return match[0] if value is None else ordinal(value)


def _say_lettered(match: Match[str]) -> str:
    value = roman_value(match[2])
    return match[0] if value is None else f"{match[1]}{cardinal(str(value))} {match[3]}"


def _say_scene(match: Match[str]) -> str:
    act, scene = roman_value(match[1]), roman_value(match[2].upper())
    return f"{cardinal(str(act))}, {cardinal(str(scene))}, " if act and scene else match[0]


def _say_play(match: Match[str]) -> str:
    part = match[1] if match[1].isdecimal() else str(roman_value(match[1]))
    return f"{cardinal(part)} {match[2]} the {ordinal(roman_value(match[3]) or 0)}"


def _say_year(match: Match[str]) -> str:
    value = roman_value(match[0])
    return year(value) if value is not None and 1000 < value < 2100 else match[0]


def _say_alone(match: Match[str]) -> str:
    def say(numeral: Match[str]) -> str:
        value = roman_value(numeral[0])
        return numeral[0] if value is None or numeral[0] in _NOT_NUMERALS else cardinal(str(value))

    words = re.sub(r"[IVXL]+", say, match[0])
    return re.sub(r"(?<=\w)[-–](?=\w+$)", " to ", words) if re.search("[IVX][-–]", match[0]) else words


def _say_item(match: Match[str]) -> str:
    numeral = match[1] or match[2]
    value = roman_value(numeral)
    if match[2] and match[0] == match.string:  # a row that says "I"
        return match[0]
    rest = _TITLE_CASE.match(match.string, match.end())
    if value is None or (match[2] and rest and not _is_title(rest[0])):
        return match[0]
    return cardinal(str(value)).capitalize()


def _is_title(line: str) -> bool:
    """Tell a heading from a sentence that begins with an initial: no full stop at its end, long words capitalized."""
    text = line.strip(" .")
    words = re.findall(r"[^\W\d_]{4,}", text)
    return not line.rstrip().endswith((".", "?", "!", ",")) and all(word[0].isupper() for word in words)


def _may_have_numerals(text: str) -> bool:
    """Tell whether anything but the pronoun can be meant: most texts have an I, and no numeral."""
    for match in _ROMAN.finditer(text):
        if match[0] != "I":
            return True
        before = text[max(0, match.start() - 16) : match.start()].rstrip(" .").rpartition(" ")
        word = before[2].strip("\"'“‘(").lower()
        if not match.start() or word in _BEFORE_FIRST or text[match.end() : match.end() + 1] in ",-–.":
            return True
        if before[0].rpartition(" ")[2].lower() in ("king", "queen", "pope", "emperor", "tsar", "kaiser"):
            return True
    return False


def expand_roman_numerals(text: str) -> str:
    """Write `Chapter IV` as "Chapter four", `Louis XIV` as "Louis the fourteenth", `MCMXIII` as its year."""
    if not _may_have_numerals(text):
        return text
    text = _ITEM_PATTERN.sub(_say_item, text)
    text = _CENTURY_PATTERN.sub(_say_century, text)
    text = _SUFFIXED_PATTERN.sub(_say_century, text)
    text = _LETTERED_PATTERN.sub(_say_lettered, text)
    text = _SCENE_PATTERN.sub(_say_scene, text)
    text = _PLAY_PATTERN.sub(_say_play, text)
    text = _SPAN_PATTERN.sub(_say_span, text)
    text = _FIRST_PATTERN.sub(_say_heading, text)
    text = _HEADING_PATTERN.sub(_say_heading, text)
    text = _PERSON_PATTERN.sub(_say_monarch, text)
    text = _MONARCH_PATTERN.sub(_say_monarch, text)
    text = _REGNAL_PATTERN.sub(_say_monarch, text)
    text = _UNDER_FIRST_PATTERN.sub(_say_monarch, text)
    text = _FIRST_RULER_PATTERN.sub(_say_first_ruler, text)
    text = _LIST_PATTERN.sub(_say_alone, text)
    text = _NAME_PATTERN.sub(_say_name, text)
    text = _YEAR_PATTERN.sub(_say_year, text)
    return _ALONE_PATTERN.sub(_say_alone, text)
