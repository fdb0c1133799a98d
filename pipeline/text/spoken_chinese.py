"""Chinese text as it is said: every number, date, sum, unit and symbol in characters.

An ordered list of rules, each a pattern and its reading; a rule's output holds no digit, so later rules leave it be.
"""

from __future__ import annotations

import re
import unicodedata
from re import Match

from pipeline.text.chinese_codes import CODE_RULES, EARLY_CODE_RULES
from pipeline.text.chinese_dates import DATE_RULES, EARLY_DATE_RULES
from pipeline.text.chinese_numbers import cardinal, digits, is_counted, spell
from pipeline.text.chinese_patterns import HAN, NUMBER, SIGN, START, TO, Reading, Rules
from pipeline.text.chinese_scores import say_scores
from pipeline.text.chinese_signs import COMPASS, NAMED_SIGNS, RULERS, SYMBOLS
from pipeline.text.chinese_units import COMPOUND, CURRENCIES, LETTER_ZEROS, SYMBOL, UNIT, scaled, unit_name
from pipeline.text.chinese_verses import VERSE_RULES
from pipeline.text.english_numbers import PLAIN_SCRIPTS, roman_value
from pipeline.text.formulas import FormulaWords, say_formulas

_ENCLOSED = re.compile(r"[\u2460-\u249b\u24ea-\u24ff\u2776-\u2793]")
_FORMULA_WORDS = FormulaWords("减", "负", "小于", "大于", "的{}次方", "除以", "约", "的阶乘")
_VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8",
           "⅞": "7/8"}  # fmt: skip


def _say_power(match: Match[str]) -> str:
    power = match["power"].translate(PLAIN_SCRIPTS)
    unit = match.groupdict().get("unit")
    words = {"2": "的平方", "3": "的三次方"}.get(power, f"的{cardinal(power.lstrip('+'))}次方")
    return words + (unit_name(unit) if unit else "")


def _hour(number: str) -> str:
    return "两" if int(number) == 2 else spell(int(number))


def _clock(hour: str, minute: str, second: str | None) -> str:
    words = f"{_hour(hour)}点"
    # At zero a clock with seconds counts, and says them all.
    has_seconds = bool(second and (int(second) or not (int(hour) or int(minute))))
    if int(minute) or has_seconds:
        words += f"{'零' if int(minute) < 10 and int(minute) else ''}{spell(int(minute))}分"
    return words + (f"{'零' if 0 < int(second or 0) < 10 else ''}{spell(int(second or 0))}秒" if has_seconds else "")


def _say_time(match: Match[str]) -> str:
    hour, minute, second = match["hour"], match["minute"], match["second"]
    if int(hour) > 24 or int(minute) > 59 or int(second or 0) > 59:
        return match[0]
    half = {"a": "上午", "p": "下午"}.get((match["half"] or "")[:1].lower(), "")
    return half + _clock(hour, minute, second)


def _say_written_time(match: Match[str]) -> str:
    hour, mark, minute = match.groups()
    zero = "零" if len(minute) == 2 and minute[0] == "0" and int(minute) else ""
    return f"{_hour(hour)}{mark}{zero}{spell(int(minute))}"


def _say_money(match: Match[str]) -> str:
    amount, low = match["amount"], match["low"]
    if "." in amount:
        amount = amount.rstrip("0").rstrip(".")
    scale = match["scale"] or ""
    if zeros := LETTER_ZEROS.get(scale.lower()):
        low_zeros = LETTER_ZEROS.get((match["low_scale"] or scale).lower(), 0)
        amount, low, scale = scaled(amount, zeros), low and scaled(low, low_zeros), ""
    scale = "万" if scale in ("w", "W") else scale
    currency = CURRENCIES[match["symbol"]]
    until = f"{cardinal(low, scale or currency)}到" if low else ""
    sign = "负" if match["sign"] else ""
    return f"{sign}{until}{cardinal(amount, scale or currency)}{scale}{currency}"


def _say_percent(match: Match[str]) -> str:
    name = "百分之" if match["mark"] == "%" else "千分之"
    low = f"{_percent(match['low'], name)}到" if match["low"] else ""
    return low + _percent(match["number"], name)


def _percent(number: str, name: str) -> str:
    sign = {"-": "负", "−": "负", "+": "正"}.get(number[0], "")
    return sign + name + cardinal(number.lstrip("-−+"))


def _say_unit(match: Match[str]) -> str:
    unit, number = unit_name(match["unit"]), match["number"]
    below_zero = match["sign"] and unit in ("摄氏度", "华氏度", "度")
    sign = "零下" if below_zero else "负" if match["sign"] else ""
    low = match["low"]
    if low and (sign or match["high_sign"]):
        below = "零下" if below_zero or "度" in unit else "负"
        return f"{sign}{cardinal(low, unit)}{unit}到{below if match['high_sign'] else ''}{cardinal(number, unit)}{unit}"
    if low:
        return f"{cardinal(low, unit)}到{cardinal(number, unit)}{unit}"
    scale = match["scale"] or ""
    return sign + cardinal(number, scale or unit) + scale + unit


def _say_fraction(match: Match[str]) -> str:
    sign, whole, top, bottom = match.groups()
    if not int(bottom):
        return f"{cardinal(top)}比{cardinal(bottom)}"
    is_division = int(top) >= int(bottom) and re.match(r"\s?[=＝]|等于", match.string[match.end() : match.end() + 2])
    if is_division and not sign and not whole:
        return f"{cardinal(top)}除以{cardinal(bottom)}"
    if int(top) > int(bottom) > 9 and not sign and not whole:
        return f"{cardinal(top)}比{cardinal(bottom)}"
    return ("负" if sign else "") + (f"{cardinal(whole)}又" if whole else "") + f"{cardinal(bottom)}分之{cardinal(top)}"


def _say_range(match: Match[str]) -> str:
    following = match.string[match.end() : match.end() + 4]
    sign = match["sign"]
    return f"{cardinal(sign + match['low'], following)}到{cardinal(match['number'], following)}"


def _say_number(match: Match[str]) -> str:
    number, sign = match["number"], match["sign"]
    following = "" if match["letter"] is not None else match.string[match.end() : match.end() + 4].lstrip()
    if match["letter"] is not None and number.isdigit() and len(number) >= 3:
        return digits(number)
    # A number of a card, an order, a person: no round one, and nothing is counted.
    is_round = number.endswith("000") or "0000" in number
    if number.isdigit() and len(number) >= 11 and not is_round and not is_counted(following):
        return sign.replace("-", "负") + digits(number)
    if "." in number and following.startswith(("元", "块", "美元", "欧元", "英镑", "日元", "港元")):
        number = number.rstrip("0").rstrip(".")
    return cardinal(sign + number, following)


def _say_address(match: Match[str]) -> str:
    address = match[0].rstrip(".,;:!?)]")
    tail = match[0][len(address) :]
    address = re.sub(r"^[a-z]+://|/$", "", address, flags=re.IGNORECASE)
    words = []
    for part in re.findall(r"[^\W\d_]+|\d+|.", address):
        if part.isascii() and part.isdigit():
            words.append(digits(part, one="幺" if len(part) > 2 else "一"))
        else:
            words.append(SYMBOLS.get(part, part if part.isalpha() else ""))
    return " ".join(filter(None, words)) + tail


_ADDRESS = re.compile(
    r"(?<![\w.@])(?:https?://[\w./?=&%#:+~@-]+|www\.[\w./?=&%#:+~-]+|[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+"
    r"|(?:[a-z0-9-]{1,63}\.){1,5}(?:com|org|net|edu|gov|io|ai|cn|dev|app|info)(?![\w])(?:/[\w./?=&%#-]*)?)",
    re.IGNORECASE | re.ASCII,
)
_IONS: tuple[str, Reading] = (
    r"(?<![A-Za-z])(NH[4₄]|H[3₃]O|Na|K|H|Li|Ag|(?:Ca|Mg|Cu|Zn|Ba|Fe)2|(?:Al|Fe)3)\+(?![A-Za-z0-9+])",
    lambda m: f"{m[1]}正",
)
_NUMBER_RULES: Rules = (
    _IONS,
    *VERSE_RULES,
    *EARLY_CODE_RULES,
    *EARLY_DATE_RULES,
    (r"(?<=\d)-{2,3}(?=\d)", lambda m: "-"),
    (rf"(?<=\d)([{HAN}]{{1,2}}|w)\s?[-–—~～至]\s?(?=第?\d+(?:\.\d+)?\1)", lambda m: f"{m[1]}到"),
    (rf"(?<=[×÷*])\s?[(（]({NUMBER})\s?[-−]\s?({NUMBER})[)）]|[(（]({NUMBER})\s?[-−]\s?({NUMBER})[)）](?=\s?[×÷*])",
     lambda m: f"({cardinal(m[1] or m[3])}减{cardinal(m[2] or m[4])})"),
    (r"(?<![\d/])24/7(?![\d/层期])", lambda m: "七乘二十四小时"),
    (r"(?<![\d.-])7-11(?=便利店?|超市|门店|店|买|里|关东煮|的(?:店|便当|饭团|关东煮))", lambda m: "七十一"),
    (r"(?<![A-Za-z])([Pp]{1,2}\.?\s?)(\d{1,4})\s?[-–—~～]\s?([Pp]?)(\d{1,4})(?![\dA-Za-z.-])",
     lambda m: f"{m[1]}{cardinal(m[2])}到{m[3]}{cardinal(m[4])}" if int(m[2]) < int(m[4]) else m[0]),
    (r"(?<![\d.])(\d{1,4})(?:st|nd|rd|th)(?![A-Za-z])", lambda m: f"第{cardinal(m[1])}"),
    (r"(?<![\d.])([12])米(\d{2})(?![\d.米厘]|\s?cm)",
     lambda m: f"{cardinal(m[1], '米')}米{digits(m[2][0] + m[2][1].strip('0'))}"),
    (r"(?<![\d/.])(?<!第)(\d{1,2}(?:/\d{1,2})+)(?=期)",
     lambda m: "或".join(map(cardinal, m[1].split("/")))),
    (r"(?<![\d-])\d(?:-\d){2,3}(?=(?:的)?(?:阵型|阵容|阵式|站位|打法|防守|联防))", lambda m: digits(m[0])),
    (r"(?<=[A-Za-z])(\d{3,}(?=-)|\d+(?=-\d\d))-(\d+)(?![\d.,%-]|[月日号年页])",
     lambda m: f"{digits(m[1])} {digits(m[2])}"),
    (r"(?<![\w.])0[xX]([0-9A-Fa-f]+)(?![A-Za-z0-9])",
     lambda m: "零x" + re.sub(r"\d", lambda d: digits(d[0]), m[1])),
    (r"(?<=满)(\d+)-(\d+)(?![\d年岁])", lambda m: f"{cardinal(m[1])}减{cardinal(m[2])}"),
    (r"(?<!\d)((?:19|20)\d\d)\.(1[0-2]|0?[1-9])\s?[-–—~～至]\s?((?:19|20)\d\d)\.(1[0-2]|0?[1-9])(?![\d.])",
     lambda m: f"{digits(m[1])}年{spell(int(m[2]))}月到{digits(m[3])}年{spell(int(m[4]))}月"),
    (r"((?:微信号?|QQ|qq)(?:号码?)?\s?[是为：:]?\s?[A-Za-z]+[_-]?)(\d{3,})(?!\d)", lambda m: m[1] + digits(m[2])),
    (r"(?<=[（(])(\d{6})(?=[)）,，.])", lambda m: digits(m[1])),
    (r"(?<!\d)0(\d)(?=[月日号])", lambda m: m[1]),
    (r"(?<!\d)(\d{2,3})/(\d{2,3})(?=\s?mmHg)", lambda m: f"{cardinal(m[1])}比{m[2]}"),
    (r"(?<=[用耗历]时|时长|成绩|跑出)([：:为是]?)(\d{1,2}):(\d\d):(\d\d)(?![\d:])",
     lambda m: f"{m[1]}{cardinal(m[2], '小时')}小时{spell(int(m[3]))}分{spell(int(m[4]))}秒"),
    (r"(?<![\d:：])(\d{1,2}):(\d\d):(\d\d)(?=[之以]?内|的(?:成绩|时间)|跑完|完赛|夺冠)",
     lambda m: f"{cardinal(m[1], '小时')}小时{spell(int(m[2]))}分{spell(int(m[3]))}秒"),
    (r"(?<=ISBN)([:： ]{0,2})(\d[\d-]{8,15}[\dXx])(?![\d-])",
     lambda m: m[1] + "，".join(digits(group) or group for group in re.findall(r"\d+|[Xx]", m[2]))),
    (r"(?<![\d.'’′°])(\d{1,2})['’′]\s?(\d{1,2})(?:[\"”″]|''|’’|′′)",
     lambda m: f"{cardinal(m[1])}英尺{cardinal(m[2])}英寸" if int(m[2]) < 12
     else f"{cardinal(m[1])}分{cardinal(m[2])}秒"),
    (r"(?<![\d°.])(\d{1,3})′(?![\d\s])", lambda m: f"{cardinal(m[1])}英尺"),
    (r"(\d{1,2}(?:\.\d)?)[\"”″](?=(?:的)?(?:显示器|屏|电视|轮|液晶|显示屏|披萨|蛋糕))",
     lambda m: f"{cardinal(m[1])}英寸"),
    (r"(?<![\w.,])(720|1080|1440|2160)(?=[pPi](?![A-Za-z]))", lambda m: digits(m[1])),
    (r"(\d{1,3}(?:\.\d+)?)°\s?([NSEW])(?![A-Za-z])", lambda m: f"{COMPASS[m[2]]}{cardinal(m[1])}度"),
    (r"(\d{1,3}(?:\.\d+)?)°\s?(\d{1,2})[′'’](?:\s?(\d{1,2}(?:\.\d+)?)[″\"”])?",
     lambda m: f"{cardinal(m[1])}度{cardinal(m[2])}分" + (f"{cardinal(m[3])}秒" if m[3] else "")),
    (r"(?<![A-Za-z])log([₀-₉]+)\s?(\d+|[A-Za-z](?![A-Za-z]))",
     lambda m: f"log以{cardinal(m[1].translate(PLAIN_SCRIPTS))}为底{m[2]}的对数"),
    (r"(?<=[A-Za-z)])[₀-₉]+(?:\.[₀-₉]+)?", lambda m: cardinal(m[0].translate(PLAIN_SCRIPTS))),
    (r"(?<=[A-Za-z)零一二三四五六七八九十])([⁰¹²³⁴-⁹]*+)([⁻⁺])(?![⁰¹²³⁴-⁹])",
     lambda m: (cardinal(m[1].translate(PLAIN_SCRIPTS)) if m[1] else "") + ("正" if m[2] == "⁺" else "负")),
    (rf"(?<=\d)(?P<power>[⁻⁺]?[⁰¹²³⁴-⁹]++)\s?{UNIT}", _say_power),
    *DATE_RULES,
    (r"(?<![\d:：])(\d{1,4})[:：](\d{1,4})(?=\s?[=＝])|(?<=[=＝])(\d{1,4})[:：](\d{1,4})(?![\d:：]|\.\d)",
     lambda m: f"{cardinal(m[1] or m[3])}比{cardinal(m[2] or m[4])}"),
    (r"((?:比例尺?|赔率|配比|稀释|比值|坡度|杠杆|比率)[^\d，。；]{0,6})(\d{1,4})[:：](\d{1,4}(?:\.\d+)?)(?![\d:：]|,\d)",
     lambda m: f"{m[1]}{cardinal(m[2])}比{cardinal(m[3])}"),
    (r"(?<![\d:.,])(?P<hour>\d{1,2})[:：](?P<minute>\d\d)(?:[:：](?P<second>\d\d))?(?![\d:：]|,\d{3})(?:\s?(?P<half>[aApP])\.?[mM]\b\.?)?",
     _say_time),
    (r"(?<![\d.,])(\d{1,2})([点时])(\d{1,2})(?=分)", _say_written_time),
    (rf"(?P<sign>(?<![A-Za-z0-9)）])[-−])?(?<![A-Za-z]){SYMBOL}\s?(?:(?P<low>{NUMBER})(?P<low_scale>[kKmMbB](?={TO}))?{TO}(?:(?P=symbol))?)?(?P<amount>{NUMBER})"
     r"(?:\s?(?P<scale>[万亿千百]+|(?:bn|[kKmMbBwWT])(?![A-Za-z])))?(?:(?<=[\d万亿])元)?", _say_money),
    (rf"{START}(?P<sign>(?<![A-Za-z0-9)）])[-−])?(?:(?P<low>{NUMBER}){TO})?(?P<amount>{NUMBER})(?P<scale>[万亿千百]+)?\s?{SYMBOL}"
     r"(?![\w$])", _say_money),
    (rf"{START}(?:(?P<low>{SIGN}{NUMBER})[%‰]?{TO})?(?P<number>(?:(?<![\w)）\] ])\+)?{SIGN}{NUMBER})\s?(?P<mark>[%‰])",
     _say_percent),
    *CODE_RULES,
    (r"(?<=\d/\d)\s?[-–—~～]\s?(?=\d/\d)", lambda m: "到"),
    (r"(?<=赔率)([为是：: ]?)(\d{1,4})/(\d{1,4})(?![\d/])", lambda m: f"{m[1]}{cardinal(m[2])}比{cardinal(m[3])}"),
    (r"(?<![\d/])(第\s?)?(\d{1,3})/(\d{1,3})(?=层|(?(1)[页集期章回卷讲课]|(?!)))",
     lambda m: f"{m[1] or ''}{cardinal(m[2])}{m.string[m.end()]}，共{cardinal(m[3])}"),
    (rf"(?<![\d.,/])(?<![A-Za-z])({SIGN})(?:(\d{{1,3}}) )?(\d{{1,4}})\s?[/⁄]\s?(\d{{1,4}})(?![\d/]|\.\d)",
     _say_fraction),
    (r"(?<![\w)）])[-−](?=百分之|千分之|\d)(?=百|千)", lambda m: "负"),
    (r"(?<![\d.,])([12]\d\d0)['’]?s(?![A-Za-z])", lambda m: f"{digits(m[1])}年代"),
    (r"(?<![\d.,])([2-9]0)(?:['’]s(?![A-Za-z])|s(?=的|年))", lambda m: f"{cardinal(m[1])}年代"),
    (r"(?<=\d)(?:[wW](?=[+字人元块次粉多])|w(?![A-Za-z]))", lambda m: "万"),
    (r"(?<![\dA-Za-z])(\d{1,4})\s?(?:AD|ad|[Aa]\.[Dd]\.|(BC|bc|[Bb]\.[Cc]\.))(?![A-Za-z])",
     lambda m: f"公元{'前' if m[2] else ''}{digits(m[1])}年"),
    (r"(?<![A-Za-z])([IVX]+)\s?[-~～至]\s?([IVX]+)(?=[型期级类度])",
     lambda m: "到".join(spell(roman_value(part) or 0) for part in m.groups())
     if all(map(roman_value, m.groups())) else m[0]),
    (rf"({RULERS})\s?([IVX]{{1,6}})(?![A-Za-z])(世?)",
     lambda m: f"{m[1]}{spell(roman_value(m[2]) or 0)}{m[3] or '世' * ((roman_value(m[2]) or 0) < 11)}"
     if roman_value(m[2]) else m[0]),
    (r"(?<=[㐀-鿿])[IVX]{1,6}(?=世)", lambda m: spell(roman_value(m[0]) or 0) if roman_value(m[0]) else m[0]),
    (r"(?<=第)([IVX]+)(?=[章节部卷回集幕场季篇])|(?<![A-Za-z])([IVX]+)(?=[型期级类度])",
     lambda m: spell(roman_value(m[0]) or 0) if roman_value(m[0]) else m[0]),
    (r"(?<![\w)）+])\+(?=\d)", lambda m: "正"),
    (rf"{START}(?P<sign>{SIGN})(?:(?P<low>{NUMBER})(?:°C|℃)?{TO}(?P<high_sign>-)?)?"
     rf"(?P<number>{NUMBER})(?P<scale>[万亿千百]+)?\s?{UNIT}",
     _say_unit),
    (r"(?<=\d)[eE][-−](?=\d)", lambda m: "e负"),
    (r"(?<![\w:：])\d{1,3}(?:[:：]\d{1,3}){2,4}(?![\w:：])",
     lambda m: "比".join(map(cardinal, re.findall(r"\d+", m[0])))),
    (r"(?<![\d:：.])(?<!\d,)(\d{1,3}(?:,\d{3})+|\d{1,9}(?:\.\d+)?)\s?[:：]\s?(\d{1,3}(?:,\d{3})+|\d{1,9}(?:\.\d+)?)(?![\d:：])",
     lambda m: f"{cardinal(m[1])}比{cardinal(m[2])}"),
    (r"(?<![\d.,])(\d{3,4})(?=室|房|寝室|路(?:公交|车)|次列车|航班)", lambda m: digits(m[1], one="幺")),
    (r"(?<=[图表])(\d+)-(\d+)", lambda m: f"{cardinal(m[1])}杠{cardinal(m[2])}"),
    (r"(?<![A-Za-z])(?:No|NO|no)\.\s?(\d+)", lambda m: f"第{cardinal(m[1])}"),
    (r"(?:№|#|(?<![A-Za-z])[Nn][º°])\s?(\d+)", lambda m: f"{cardinal(m[1])}号"),
    (rf"{START}(?<![A-Za-z-])(?P<sign>{SIGN})(?P<low>{NUMBER}){TO}(?P<number>{NUMBER})(?![-]|\d)(?!\s*[=＝])",
     _say_range),
    (r"(?<=第)(\d++)(?!\.\d)", lambda m: spell(int(m[1])) if len(m[1]) < 13 else digits(m[1])),
    (r"(?<=[\d升克米斤])\s?[xX×*·]\s?(?=\d)|(?<=[\d)）])\s?[×*]\s?(?=[(（]?[-−]?\d)", lambda m: "乘"),
    (r"(?<=\d)\s?[-−]\s?(?=\d[\d.,]*\s*[=＝])", lambda m: "减"),
    (r"(?<=\d)\s?\+\s?(?=\d)", lambda m: "加"),
    (r"(?<=\d)\s?÷\s?(?=\d)", lambda m: "除以"),
    (rf"(?<=[\d万])\+(?=[{HAN}])", lambda m: "多"),
    (r"(?<=[\d万])\+(?!\s?\d)", lambda m: "加"),
    (r"(?<=[歼轰运直风浪征舟娥宫箭龙])-(?=\d)", lambda m: ""),
    (r"(?<=[A-Za-z])-(?=\d)(?!\d+-)", lambda m: ""),
    (rf"(?P<letter>(?<=[A-Za-z]))?(?P<sign>{SIGN})(?P<number>{NUMBER})", _say_number),
)  # fmt: skip
_SYMBOL_RULES: Rules = (
    (r"(?<=[\w)）|])(?P<power>[⁻⁺]?[⁰¹²³⁴-⁹]+)", _say_power),
    (rf"(?<=次方)/\s?{UNIT}", lambda m: f"每{unit_name(m['unit'])}"),
    (r"§\s?(\w+)", lambda m: f"第{m[1]}节"),
    (r"(?<![A-Za-z0-9|])\|([A-Za-zα-ω零一二三四五六七八九十减加负点]{1,8})\|(?=\s?(?:[=＝<>≤≥≠+]|[小大等]于|减|的))",
     lambda m: f"{m[1]}的绝对值"),
    (r"\s?(?:≥|>=)\s?", lambda m: "大于等于"),
    (r"\s?(?:≤|<=)\s?", lambda m: "小于等于"),
    (r"\s?≈\s?", lambda m: "约等于"),
    (r"\s?≠\s?", lambda m: "不等于"),
    (r"\s?±\s?", lambda m: "正负"),
    (r"(?<=[\w)）])\s?[=＝]\s?(?=[\w−(（√{\[∠∅|“\"-])", lambda m: "等于"),
    (r"(?<=[\w)）])\s?\+\s?(?=[\w(（√])", lambda m: "加"),
    (r"(?<=[A-Za-z])\+\+", lambda m: "加加"),
    _IONS,
    (r"(?<=(?<![A-Za-z])[A-D])[-−](?=[级等]|$|[，。；、！？）)：:])", lambda m: "减"),
    (r"(?<=[A-Za-z])\+(?=[级等]|$|[，。；、！？）)：:的是了\s])", lambda m: "加"),
    (r"(?<=(?<![A-Za-z])[a-zΔθ])\s?→\s?(?=[∞零一二三四五六七八九十负正a-z+−-])", lambda m: "趋于"),
    (r"(?<=[\w)）])\s?×\s?(?=[\w(（√−-])", lambda m: "乘"),
    (r"(?<=[\w)）])\s?÷\s?(?=[\w(（√−-])", lambda m: "除以"),
    (r"(?<=\w)\s?>\s?(?=\w)", lambda m: "大于"),
    (r"(?<=\w)\s?<\s?(?=\w)", lambda m: "小于"),
    (rf"(?<=[{HAN}])\s?&\s?(?=[{HAN}])", lambda m: "和"),
    (r"\s?&\s?", lambda m: " and "),
    (rf"(?<=[元万亿块])/(?=[{HAN}])|(?<=[一二三四五六七八九十百千万][人次个台件斤吨户克升米])/(?=[{HAN}])"
     r"|(?<=[瓶袋盒包罐片支])/(?=[箱件盒袋包])|(?<=[零一二三四五六七八九十百千万点半亿升克米斤])/(?=[日天月年周时秒分瓶袋盒箱包杯支桶份])",
     lambda m: "每"),
    (r"(?<=\w)[~～](?=\w)", lambda m: "到"),
    (r"和/或", lambda m: "和或"),
    (r"(?<=(?<![A-Za-z])[CF])#", lambda m: "井"),
    (rf"(?<=[{HAN}])/(?=[{HAN}])", lambda m: "或"),
    (r"@(?=\w)", lambda m: "艾特"),
    (r"(?<![\u0370-\u03ff])[" + "".join(NAMED_SIGNS) + r"](?![\u0370-\u03ff])", lambda m: NAMED_SIGNS[m[0]]),
    (r"(?<=\w)/(?=\w)", lambda m: " "),
    (r"[*_#^`|\\<>{}=+/™®©•·●■◆→←↑↓√∞°%$~～￥¥]+(?![㐀-鿿])|(?<![㐀-鿿])[*_#^`|\\<>{}=+/™®©•●■◆→←↑↓√∞°%$]+"
     r"|[*_#^`|\\<>{}=+/™®©•●■◆→←↑↓√∞°%$~￥¥]+", lambda m: " "),
)  # fmt: skip
_NUMBER_PATTERNS = tuple((re.compile(pattern), reading) for pattern, reading in _NUMBER_RULES)
_SYMBOL_PATTERNS = tuple((re.compile(pattern), reading) for pattern, reading in _SYMBOL_RULES)
_HAS_NUMBER = re.compile(
    r"[0-9₀-₉⁻⁺]|[IVX](?=[章节部卷回集幕场季篇型期级类度世])|(?<=[㐀-鿿])\s?[IVX]{1,6}(?![A-Za-z])"
)
_WEEKDAYS = re.compile(
    r"(?:(?<=周[一二三四五六日])|(?<=期[一二三四五六日天])|(?<=拜[一二三四五六日天]))\s?[-–—~～]{1,2}\s?(?=(?:周"
    r"|星期|礼拜)?[一二三四五六日天](?![㐀-鿿]{0,2}[-–—~～]))"
)
_CIRCLE_ZERO = re.compile(r"(?<=[〇零一二三四五六七八九十])[○◯]+|[○◯](?=[一二三四五六七八九])")
_NAMELESS = re.compile(r"(?<=[㐀-鿿])[○◯]{2,4}|(?<![0-9A-Za-z)）×])×{2,4}(?![0-9A-Za-z(（×])")
"""Where a text withholds a name: 张××."""
_HAS_SYMBOL = re.compile(r"[^\w\s.,;:!?'\"“”‘’()\[\]—–…，。！？；：、（）《》【】「」『』·～-]|[_⁰¹²³⁴-⁹α-ωΔΩΣ]")
_COMPOUND_BEHIND_EQUAL = re.compile(rf"(?<=\d)\s?{COMPOUND}")
_VULGAR_PATTERN = re.compile(r"(\d)?\s?([" + "".join(_VULGAR) + "])")
_SPACE_AT_MARK = re.compile(r"(?<=[，。！？；：、（《「『]) +| +(?=[，。！？；：、）》」』])")


def say_in_chinese(text: str) -> str:
    """Spell out everything in a Chinese text that is not a word; the punctuation stays."""
    text = _ADDRESS.sub(_say_address, text)
    text = _CIRCLE_ZERO.sub(lambda m: "零" * len(m[0]), text)
    text = _NAMELESS.sub(lambda m: "某" * len(m[0]), text)
    text = _ENCLOSED.sub(lambda m: spell(int(unicodedata.numeric(m[0]))), text)
    text = _VULGAR_PATTERN.sub(lambda m: (f"{m[1]} " if m[1] else "") + _VULGAR[m[2]], text)
    if "=" in text:  # "g=9.8m/s²" is no division
        text = _COMPOUND_BEHIND_EQUAL.sub(lambda m: unit_name(m["unit"]), text)
    text = _WEEKDAYS.sub("到", say_formulas(text, _FORMULA_WORDS))
    if _HAS_NUMBER.search(text):
        text = say_scores(text)
        for pattern, reading in _NUMBER_PATTERNS:
            text = pattern.sub(reading, text)
    if _HAS_SYMBOL.search(text):
        for pattern, reading in _SYMBOL_PATTERNS:
            text = pattern.sub(reading, text)
    return _SPACE_AT_MARK.sub("", text)
