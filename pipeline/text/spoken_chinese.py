"""Chinese text as it is said: every number, date, sum, unit and symbol in characters.

An ordered list of rules, each a pattern and its reading; a rule's output holds no digit, so later rules leave it be.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from re import Match
from typing import Any

_DIGITS = "零一二三四五六七八九"
_MAX_SPELLED_DIGITS = 16
_NUMBER = r"(?>\d++(?:,\d{3}(?!\d))*+(?:\.\d++)?+)"
_START = r"(?<![\d.,])"
_SIGN = r"(?:(?<![A-Za-z0-9)）\]])[-−](?=\d))?"
_TO = r"(?: [-–—~～至到] |[-–—~～至到]|——)"
_HAN = r"㐀-鿿"
_CURRENCIES = {
    "¥": "元", "$": "美元", "US$": "美元", "€": "欧元", "£": "英镑", "HK$": "港元", "NT$": "新台币", "A$": "澳元",
    "C$": "加元", "S$": "新加坡元", "₩": "韩元", "₽": "卢布", "₹": "卢比", "CN¥": "元", "RMB": "元", "CNY": "元",
    "USD": "美元", "EUR": "欧元", "GBP": "英镑", "JPY": "日元", "HKD": "港元",
}  # fmt: skip
_SYMBOL = "(?P<symbol>" + "|".join(map(re.escape, sorted(_CURRENCIES, key=len, reverse=True))) + ")"
_UNITS = {
    "km": "公里", "m": "米", "cm": "厘米", "mm": "毫米", "nm": "纳米", "μm": "微米", "µm": "微米", "kg": "公斤",
    "g": "克",    "mg": "毫克", "μg": "微克", "t": "吨", "L": "升", "l": "升",
    "ml": "毫升", "mL": "毫升", "km²": "平方公里",
    "m²": "平方米", "cm²": "平方厘米", "m³": "立方米", "cm³": "立方厘米", "km2": "平方公里", "m2": "平方米",
    "m3": "立方米",    "㎡": "平方米", "㎏": "公斤", "㎞": "公里", "㎝": "厘米", "㎜": "毫米",
    "Hz": "赫兹", "kHz": "千赫", "MHz": "兆赫",
    "GHz": "吉赫", "W": "瓦", "kW": "千瓦", "MW": "兆瓦", "kWh": "千瓦时", "V": "伏", "kV": "千伏", "mA": "毫安",
    "mAh": "毫安时", "dB": "分贝", "s": "秒", "ms": "毫秒", "min": "分钟", "h": "小时", "kcal": "千卡", "J": "焦耳",
    "kJ": "千焦", "Pa": "帕", "kPa": "千帕", "ft": "英尺", "lb": "磅", "lbs": "磅", "oz": "盎司", "ha": "公顷",
    "px": "像素",    "mph": "英里每小时", "km/h": "公里每小时", "m/s": "米每秒",
    "°C": "摄氏度", "℃": "摄氏度", "°F": "华氏度",
    "℉": "华氏度", "°": "度", "g/L": "克每升", "mg/L": "毫克每升", "kg/m³": "公斤每立方米", "元/kg": "元每公斤",
    "mmHg": "毫米汞柱",
}  # fmt: skip
_UNIT = "(?P<unit>" + "|".join(map(re.escape, sorted(_UNITS, key=len, reverse=True))) + r")(?![A-Za-z0-9²³])"
# Words that count things: "2" before them is 两. 月, 日, 号, 楼, 班, 级 and the like name things: there it stays 二.
_MEASURES = (
    "个|只|条|张|本|位|名|件|块|元|角|点(?!\\d)|分钟|秒|小时|天|年(?!级|代|月|\\d)|岁|倍|次|人|种|份|套|台|部|辆|头|匹|棵|朵"
    "|瓶|杯|碗|盘|斤|公斤|克|吨|米|公里|厘米|毫米|里|升|毫升|平方|立方|句|首|篇|间|座|家|所|步|遍|趟|场|轮|组|对|双|包|袋|盒"
    "|箱|周|星期|礼拜|枚|颗|粒|滴|根|支|枝|把|顶|片|层(?!楼)|国|地|者|边|侧|端|万|亿|千|百(?!分)|美元|欧元|英镑|港元|日元"
    "|韩元|分(?!之|\\d)|档|门|项|道|幅|架|艘|度|股|成|批|群|口|户|顿|餐|晚|夜|世纪|半"
)
_MEASURE_PATTERN = re.compile(_MEASURES)
_VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8",
           "⅞": "7/8"}  # fmt: skip
_CALLED = "电话|手机|热线|拨打|致电|客服|打|传真|号码|尾号"
_NAMED = "编号|卡号|账号|帐号|验证码|邮编|学号|工号|车牌|订单号|单号|微信|QQ|qq|身份证|房间号|证号|房间|航班|代码|密码"
_SYMBOLS = {"/": "斜杠", ".": "点", ":": "冒号", "@": "艾特", "-": "杠", "_": "下划线", "?": "问号", "=": "等于",
            "&": "和", "#": "井号", "%": "百分号", "+": "加"}  # fmt: skip


@lru_cache(maxsize=16_384)
def _spell(value: int) -> str:
    import cn2an  # 30 ms to import: only when the first number comes

    written: Any = cn2an.an2cn(value)
    words = re.sub(r"零一十", "零十", str(written)).replace("零十", "零一十")
    return re.sub(r"^二(?=[百千万亿])", "两", words)


def digits(text: str, one: str = "一") -> str:
    """Read the digits of `text` one by one; `one` is 幺 in telephone numbers."""
    return "".join(
        one if character == "1" else _DIGITS[int(character)] for character in text if character in "0123456789"
    )


def cardinal(number: str, following: str = "") -> str:
    """Read a number such as `1,234.50` or `-7`; over 16 digits, or with a leading zero, digit by digit.

    Args:
        number: as written.
        following: the text after it; before a measure word, 2 is 两.
    """
    sign = "负" if number[0] in "-−" else ""
    whole, point, fraction = number.lstrip("-−+").replace(",", "").partition(".")
    if (len(whole) > 1 and whole[0] == "0") or len(whole) > _MAX_SPELLED_DIGITS:
        words = digits(whole)
    elif whole == "2" and not point and _MEASURE_PATTERN.match(following):
        words = "两"
    else:
        words = _spell(int(whole))
    return sign + words + (f"点{digits(fraction)}" if point and fraction else "")


def _is_day(month: str, day: str) -> bool:
    return 1 <= int(month) <= 12 and 1 <= int(day) <= 31


def _say_date(match: Match[str]) -> str:
    if not _is_day(match["month"], match["day"]):
        return match[0]
    return f"{digits(match['year'])}年{_spell(int(match['month']))}月{_spell(int(match['day']))}日"


def _say_year(match: Match[str]) -> str:
    number = match["year"]
    if number in ("1000", "3000", "5000"):
        return cardinal(number)
    low = f"{digits(match['since'])}{match['mark'] or ''}到" if match["since"] else ""
    return low + digits(number)


def _say_short_date(match: Match[str]) -> str:
    return f"{_spell(int(match[1]))}月{_spell(int(match[2]))}{match[3]}"


def _hour(number: str) -> str:
    return "两" if int(number) == 2 else _spell(int(number))


def _clock(hour: str, minute: str, second: str | None) -> str:
    words = f"{_hour(hour)}点"
    if int(minute) or second:
        words += f"{'零' if int(minute) < 10 and int(minute) else ''}{_spell(int(minute))}分"
    return words + (f"{'零' if 0 < int(second) < 10 else ''}{_spell(int(second))}秒" if second else "")


def _say_time(match: Match[str]) -> str:
    hour, minute, second = match["hour"], match["minute"], match["second"]
    if int(hour) > 24 or int(minute) > 59 or int(second or 0) > 59:
        return match[0]
    half = {"a": "上午", "p": "下午"}.get((match["half"] or "")[:1].lower(), "")
    return half + _clock(hour, minute, second)


def _say_written_time(match: Match[str]) -> str:
    hour, mark, minute = match.groups()
    zero = "零" if len(minute) == 2 and minute[0] == "0" and int(minute) else ""
    return f"{_hour(hour)}{mark}{zero}{_spell(int(minute))}"


def _say_money(match: Match[str]) -> str:
    amount, low = match["amount"], match["low"]
    if "." in amount:
        amount = amount.rstrip("0").rstrip(".")
    scale = {"k": "千", "K": "千", "m": "百万", "M": "百万", "b": "十亿", "B": "十亿", "bn": "十亿"}.get(
        match["scale"] or "", match["scale"] or ""
    )
    currency = _CURRENCIES[match["symbol"]]
    until = f"{cardinal(low, scale or currency)}到" if low else ""
    sign = "负" if match["sign"] else ""
    return f"{sign}{until}{cardinal(amount, scale or currency)}{scale}{currency}"


def _say_percent(match: Match[str]) -> str:
    name = "百分之" if match["mark"] == "%" else "千分之"
    low = f"{_percent(match['low'], name)}到" if match["low"] else ""
    return low + _percent(match["number"], name)


def _percent(number: str, name: str) -> str:
    sign = "负" if number[0] in "-−" else ""
    return sign + name + cardinal(number.lstrip("-−+"))


def _say_unit(match: Match[str]) -> str:
    unit, number = _UNITS[match["unit"]], match["number"]
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
    whole, top, bottom = match.groups()
    if not int(bottom):
        return f"{cardinal(top)}比{cardinal(bottom)}"
    return (f"{cardinal(whole)}又" if whole else "") + f"{cardinal(bottom)}分之{cardinal(top)}"


def _say_range(match: Match[str]) -> str:
    following = match.string[match.end() : match.end() + 4]
    sign = match["sign"]
    return f"{cardinal(sign + match['low'], following)}到{cardinal(match['number'], following)}"


def _say_number(match: Match[str]) -> str:
    number, sign = match["number"], match["sign"]
    following = match.string[match.end() : match.end() + 4].lstrip()
    if match["letter"] is not None and number.isdigit() and len(number) >= 3:
        return digits(number)
    if number.isdigit() and len(number) >= 11 and not number.endswith("000"):
        return sign.replace("-", "负") + digits(number)
    if "." in number and following.startswith(("元", "块", "美元", "欧元", "英镑", "日元", "港元")):
        number = number.rstrip("0").rstrip(".")
    return cardinal(sign + number, following)


def _say_telephone(match: Match[str]) -> str:
    return "，".join(digits(group, one="幺") for group in re.findall(r"\d+", match[0]))


def _say_mobile(match: Match[str]) -> str:
    return ("加八六，" if match[1] else "") + digits(match[2], one="幺")


def _say_version(match: Match[str]) -> str:
    return (match[1] or "") + "点".join(cardinal(number) for number in match[2].split("."))


def _say_ip(match: Match[str]) -> str:
    return "点".join(digits(number, one="幺") for number in match[0].split("."))


def _say_address(match: Match[str]) -> str:
    address = match[0].rstrip(".,;:!?)]")
    tail = match[0][len(address) :]
    address = re.sub(r"^[a-z]+://|/$", "", address, flags=re.IGNORECASE)
    words = []
    for part in re.findall(r"[^\W\d_]+|\d+|.", address):
        if part.isascii() and part.isdigit():
            words.append(digits(part, one="幺" if len(part) > 2 else "一"))
        else:
            words.append(_SYMBOLS.get(part, part if part.isalpha() else ""))
    return " ".join(filter(None, words)) + tail


Rule = tuple[re.Pattern[str], Callable[[Match[str]], str]]
_ADDRESS = re.compile(
    r"(?<![\w.@])(?:https?://[\w./?=&%#:+~@-]+|www\.[\w./?=&%#:+~-]+|[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+"
    r"|(?:[a-z0-9-]{1,63}\.){1,5}(?:com|org|net|edu|gov|io|ai|cn|dev|app|info)(?![\w])(?:/[\w./?=&%#-]*)?)",
    re.IGNORECASE | re.ASCII,
)
_NUMBER_RULES: tuple[Rule, ...] = tuple(
    (re.compile(pattern), reading)
    for pattern, reading in (
        (r"(?:(?<=[:：]\d\d)|(?<=[\d][点日号月年时分]))(?: [-–—~～] |[-–—~～至])(?=\d)", lambda m: "到"),
        (r"(?<![\d/.-])(?P<month>[01]?\d)/(?P<day>[0-3]?\d)/(?P<year>[12]\d{3})(?![\d/-])", _say_date),
        (r"(?<![\d/.-])(?P<year>\d\d)/(?P<month>[01]?\d)/(?P<day>[0-3]?\d)(?![\d/-])", _say_date),
        (r"(?<![\d/.-])(?P<year>[12]\d{3})(?P<sep>[-/.])(?P<month>[01]?\d)(?P=sep)(?P<day>[0-3]?\d)"
         r"(?![\d/-]|\.\d)(?P<time>[T ](?=\d\d?:))?", _say_date),
        (rf"(?<![\d.,])(?:(?P<since>[12]\d{{3}})(?P<mark>年)?{_TO})?(?P<year>[1-9]\d{{3}})(?=\s?年(?!前|后的?今天|历史|以来|之久))",
         _say_year),
        (rf"(?<![\d.,])(?:(?P<since>(?:19|20)\d\d)(?P<mark>)?{_TO})?(?P<year>(?:19|20)\d\d)"
         r"(?=届|级|款|赛季|学年|Q[1-4]|春节|财年|版(?!本)|奥运|世界杯|欧洲杯|新年|高考)", _say_year),
        (r"(?<![\d.,])(\d\d)(?=年(?:\d{1,2}月|代?出?生|毕业|级的))", lambda m: digits(m[1])),
        (r"(?<![\d.,])((?:1[89]|20)\d0)(?=年?代)|(?<![\d.,])([5-9]0|[01]0)(?=后(?!面|来|天))",
         lambda m: digits(m[0])),
        (r"(?<![\d.,])(1?\d)/([0-3]?\d)(日|号)", _say_short_date),
        (r"(?<![\d:.,])(?P<hour>\d{1,2})[:：](?P<minute>\d\d)(?:[:：](?P<second>\d\d))?(?![\d:：])(?:\s?(?P<half>[aApP])\.?[mM]\b\.?)?",
         _say_time),
        (r"(?<![\d.,])(\d{1,2})([点时])(\d{1,2})(?=分)", _say_written_time),
        (rf"(?P<sign>(?<![A-Za-z0-9)）])[-−])?(?<![A-Za-z]){_SYMBOL}\s?(?:(?P<low>{_NUMBER}){_TO}(?:(?P=symbol))?)?(?P<amount>{_NUMBER})"
         r"(?:\s?(?P<scale>[万亿千百]+|(?:bn|[kKmMbB])(?![A-Za-z])))?", _say_money),
        (rf"{_START}(?P<sign>(?<![A-Za-z0-9)）])[-−])?(?:(?P<low>{_NUMBER}){_TO})?(?P<amount>{_NUMBER})(?P<scale>[万亿千百]+)?\s?{_SYMBOL}"
         r"(?![\w$])", _say_money),
        (rf"{_START}(?:(?P<low>{_SIGN}{_NUMBER})[%‰]?{_TO})?(?P<number>{_SIGN}{_NUMBER})\s?(?P<mark>[%‰])",
         _say_percent),
        (r"(?<![\d.,])(\+?86[- ]?)?(1[3-9]\d[- ]?\d{4}[- ]?\d{4})(?!\d)", _say_mobile),
        (r"(?<![\d.,-])(?:0\d{2,3}[- ]\d{7,8}|[48]00-?\d{3,4}-?\d{3,4}|\(0\d{2,3}\)\d{7,8})(?:-\d{1,5})?(?!\d)",
         _say_telephone),
        (r"(?<![\d.,])(?:911(?=事件)|(?:315|618)(?=晚会|大促|购物节))", lambda m: digits(m[0])),
        (r"(?<![\d.,])(?:12306|12315|10086|10010|955\d\d)(?![\d.,%元个万亿])", lambda m: digits(m[0], one="幺")),
        (r"\+\d{1,3}(?:[- ]\d{2,11}){1,4}(?!\d)", lambda m: "加" + _say_telephone(m)),
        (r"(?<![\d.])(1(?:10|19|20|22|14)|12\d{3}|10086|10010|95\d{3})(?=报警|急救|火警|热线|客服|电话|平台)",
         lambda m: digits(m[1], one="幺")),
        (rf"((?:{_CALLED})号?\s?[是为：:]?\s?)(\d{{3,}})(?![\d.,]*[个元块次折%分人张])",
         lambda m: m[1] + digits(m[2], one="幺")),
        (rf"((?:{_NAMED})(?:号码?)?\s?[是为：:]?\s?)(\d{{3,}})(?!\d)", lambda m: m[1] + digits(m[2])),
        (r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])", _say_ip),
        (r"([vV]|版本)?((?<=[vV])\d+\.\d+(?:\.\d+)*|(?<![\d.])\d+(?:\.\d+){2,})(?!\d)", _say_version),
        (r"(?<![\d.,/])(?:(\d{1,3}) )?(\d{1,4})[/⁄](\d{1,4})(?![\d/]|\.\d)", _say_fraction),
        (r"(?<![\d.,])([12]\d\d0)['’]?s(?![A-Za-z])", lambda m: f"{digits(m[1])}年代"),
        (r"(?<![\d.,])([2-9]0)(?:['’]s(?![A-Za-z])|s(?=的|年))", lambda m: f"{cardinal(m[1])}年代"),
        (r"(?<=\d)(?:[wW](?=\+)|w(?![A-Za-z]))", lambda m: "万"),
        (rf"{_START}(?P<sign>{_SIGN})(?:(?P<low>{_NUMBER})(?:°C|℃)?{_TO}(?P<high_sign>-)?)?"
         rf"(?P<number>{_NUMBER})(?P<scale>[万亿千百]+)?\s?{_UNIT}",
         _say_unit),
        (r"(?<![\d:：])(\d{1,4})\s?[:：]\s?(\d{1,4})(?![\d:：])", lambda m: f"{cardinal(m[1])}比{cardinal(m[2])}"),
        (r"(?<![\d.,])(\d{3,4})(?=室|房(?!间)|寝室|路(?:公交|车)|次列车|航班)", lambda m: digits(m[1], one="幺")),
        (r"(?<=[图表])(\d+)-(\d+)", lambda m: f"{cardinal(m[1])}杠{cardinal(m[2])}"),
        (r"(?<![A-Za-z])(?:No|NO|no)\.\s?(\d+)", lambda m: f"第{cardinal(m[1])}"),
        (r"(?:№|#)\s?(\d+)", lambda m: f"{cardinal(m[1])}号"),
        (rf"{_START}(?<![A-Za-z-])(?P<sign>{_SIGN})(?P<low>{_NUMBER}){_TO}(?P<number>{_NUMBER})(?![-]|\d)(?!\s*[=＝])",
         _say_range),
        (r"(?<=第)(\d++)(?!\.\d)", lambda m: _spell(int(m[1])) if len(m[1]) < 13 else digits(m[1])),
        (r"(?<![\w)）])\+(?=\d)", lambda m: "正"),
        (r"(?<=\d)\s?[xX×*]\s?(?=\d)", lambda m: "乘"),
        (r"(?<=\d)\s?[-−]\s?(?=\d[\d.,]*\s*[=＝])", lambda m: "减"),
        (r"(?<=\d)\s?\+\s?(?=\d)", lambda m: "加"),
        (r"(?<=\d)\s?÷\s?(?=\d)", lambda m: "除以"),
        (rf"(?<=[\d万])\+(?=[{_HAN}])", lambda m: "多"),
        (r"(?<=[\d万])\+(?!\s?\d)", lambda m: "加"),
        (r"(?<=[歼轰运直风浪征舟娥宫箭龙])-(?=\d)", lambda m: ""),
        (r"(?<=[A-Za-z])-(?=\d)(?!\d+-)", lambda m: ""),
        (rf"(?P<letter>(?<=[A-Za-z]))?(?P<sign>{_SIGN})(?P<number>{_NUMBER})", _say_number),
    )
)  # fmt: skip
_SYMBOL_RULES: tuple[Rule, ...] = tuple(
    (re.compile(pattern), reading)
    for pattern, reading in (
        (r"\s?(?:≥|>=)\s?", lambda m: "大于等于"),
        (r"\s?(?:≤|<=)\s?", lambda m: "小于等于"),
        (r"\s?≈\s?", lambda m: "约等于"),
        (r"\s?≠\s?", lambda m: "不等于"),
        (r"\s?±\s?", lambda m: "正负"),
        (r"(?<=\w)\s?[=＝]\s?(?=[\w−-])", lambda m: "等于"),
        (r"(?<=\w)\s?\+\s?(?=\w)", lambda m: "加"),
        (r"(?<=[A-Za-z])\+\+", lambda m: "加加"),
        (r"(?<=\w)\s?×\s?(?=\w)", lambda m: "乘"),
        (r"(?<=\w)\s?÷\s?(?=\w)", lambda m: "除以"),
        (r"(?<=\w)\s?>\s?(?=\w)", lambda m: "大于"),
        (r"(?<=\w)\s?<\s?(?=\w)", lambda m: "小于"),
        (rf"(?<=[{_HAN}])\s?&\s?(?=[{_HAN}])", lambda m: "和"),
        (r"\s?&\s?", lambda m: " and "),
        (rf"(?<=[元万亿块])/(?=[{_HAN}])", lambda m: "每"),
        (r"(?<=\w)[~～](?=\w)", lambda m: "到"),
        (r"和/或", lambda m: "和或"),
        (r"(?<=\b[CF])#", lambda m: "井"),
        (rf"(?<=[{_HAN}])/(?=[{_HAN}])", lambda m: "或"),
        (r"@(?=\w)", lambda m: "艾特"),
        (r"(?<=\w)/(?=\w)", lambda m: " "),
        (r"[*_#^`|\\<>{}=+/™®©•·●■◆→←↑↓√∞°%$~～￥¥]+(?![㐀-鿿])|(?<![㐀-鿿])[*_#^`|\\<>{}=+/™®©•●■◆→←↑↓√∞°%$]+"
         r"|[*_#^`|\\<>{}=+/™®©•●■◆→←↑↓√∞°%$~￥¥]+", lambda m: " "),
    )
)  # fmt: skip
_HAS_NUMBER = re.compile(r"[0-9]")
_HAS_SYMBOL = re.compile(r"[^\w\s.,;:!?'\"“”‘’()\[\]—–…，。！？；：、（）《》【】「」『』·～-]|_")
_VULGAR_PATTERN = re.compile(r"(\d)?\s?([" + "".join(_VULGAR) + "])")
_SPACE_AT_MARK = re.compile(r"(?<=[，。！？；：、（《「『]) +| +(?=[，。！？；：、）》」』])")


def say_in_chinese(text: str) -> str:
    """Spell out everything in a Chinese text that is not a word; the punctuation stays."""
    text = _ADDRESS.sub(_say_address, text)
    text = _VULGAR_PATTERN.sub(lambda m: (f"{m[1]} " if m[1] else "") + _VULGAR[m[2]], text)
    if _HAS_NUMBER.search(text):
        for pattern, reading in _NUMBER_RULES:
            text = pattern.sub(reading, text)
    if _HAS_SYMBOL.search(text):
        for pattern, reading in _SYMBOL_RULES:
            text = pattern.sub(reading, text)
    return _SPACE_AT_MARK.sub("", text)
