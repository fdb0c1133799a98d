"""Chinese text as it is said: every number, date, sum, unit and symbol in characters.

An ordered list of rules, each a pattern and its reading; a rule's output holds no digit, so later rules leave it be.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from re import Match

from pipeline.text.chinese_numbers import cardinal, digits, is_counted, spell
from pipeline.text.chinese_signs import COMPASS, NAMED_SIGNS, RULERS, SYMBOLS
from pipeline.text.chinese_units import CURRENCIES, SYMBOL, UNIT, unit_name
from pipeline.text.english_numbers import PLAIN_SCRIPTS, roman_value
from pipeline.text.formulas import FormulaWords, say_formulas

_NUMBER = r"(?>\d++(?:,\d{3}(?!\d))*+(?:\.\d++)?+)"
_START = r"(?<![\d.])(?<!\d,)"
_SIGN = r"(?:(?<![A-Za-z0-9)）\]])[-−](?=\d))?"
_TO = r"(?: [-–—~～至到] |[-–—~～至到]|——)"
_HAN = r"㐀-鿿"
_SPORT = re.compile(
    "比分|取胜|获胜|战胜|击败|战平|负于|惜败|落败|输给|赢|领先|落后|首局|次局|决胜局|[一二三四五六七八九末首]局"
    "|[国德意巴英法荷韩日美中阿]队|主场|客场|半场"
    "|\\d\\s?比\\s?\\d|[男女][排篮足乒]|大胜|小胜|逆转|点球|总分|扳成|扳平|横扫|淘汰|晋级|球队|联队|[胜平负]了|险胜|完胜|[^\\d]队\\d|球赛|决赛|总比分"
    "|盘中|(?:中国|国足|日本|韩国|朝鲜|伊朗|伊拉克|沙特|卡塔尔|澳大利亚|巴西|阿根廷|乌拉圭|德国|法国|英格兰|西班牙"
    "|意大利|葡萄牙|荷兰|比利时|克罗地亚|俄罗斯|美国|墨西哥|加拿大)(?:男足|女足|男篮|女篮|男排|女排)?\\s?\\d{1,2}[-–:：]\\d{1,2}"
    "(?!\\d|日(?!本)|[年月个天人岁倍万亿米])"
)
_SENTENCE = re.compile(r"[^。！？\n]+")
# What is counted makes a span of it, not a score: 3-5天.
_SCORE = re.compile(
    r"(?<![\d.\-年月/])(\d{1,3})\s?[-–—:：]\s?(\d{1,3})(?![\d\-:：.%年月号点时]|日(?!本)|\s?(?:天|个|人|次|名|岁|米|分钟"
    r"|小时|倍|周|楼|层|岁|万|亿|元|公里|kg|cm|(?:正式|准时)?(?:开始|开赛|开球|开打|打响|举行|进行)))"
)
_ENCLOSED = re.compile(r"[\u2460-\u249b\u24ea-\u24ff\u2776-\u2793]")
_FORMULA_WORDS = FormulaWords("减", "负", "小于", "大于", "的{}次方", "除以", "约", "的阶乘")
_VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8",
           "⅞": "7/8"}  # fmt: skip
_SERVICE = r"(?:110|119|120|122|112|911|999|12[13]\d\d|100[18]\d|9[56]\d{3})"
_CALLED = "电话|手机|热线|拨打|致电|客服|打|传真|号码|尾号"
_NAMED = (
    "编号|卡号|账号|帐号|验证码|邮编|学号|工号|车牌|订单号|单号|微信|QQ群|QQ|qq|身份证|房间号|房号|证号|房间|航班|代码"
    "|密码"
)


def _say_scores(sentence: Match[str]) -> str:
    """Read `3-1` as 三比一 where the sentence is about a game."""
    if not _SPORT.search(sentence[0]):
        return sentence[0]
    return _SCORE.sub(lambda score: f"{cardinal(score[1])}比{cardinal(score[2])}", sentence[0])


def _say_month(match: Match[str]) -> str:
    return f"{digits(match['year'])}年{spell(int(match['month']))}月"


_DAY = r"(?:1[0-2]|[1-9])\.(?:3[01]|[12]\d|[1-9])"
_HOLIDAY = re.compile("放假|假期|国庆|春节|五一|劳动节|元旦|活动|日期|有效期|展期|报名|截止|开放时间")


def _say_days(match: Match[str]) -> str:
    """Read `10.1-10.7` as days where the text is about a holiday or an event."""
    if not _HOLIDAY.search(match.string):
        return match[0]
    days = (day.split(".") for day in match.groups())
    return "到".join(f"{spell(int(month))}月{spell(int(day))}日" for month, day in days)


def _say_season(match: Match[str]) -> str:
    first, mark, last = match.groups()
    return digits(first) + ("" if mark == "/" else "到") + digits(last)


def _say_power(match: Match[str]) -> str:
    power = match["power"].translate(PLAIN_SCRIPTS)
    unit = match.groupdict().get("unit")
    return {"2": "的平方", "3": "的三次方"}.get(power, f"的{cardinal(power.lstrip('+'))}次方") + (
        unit_name(unit) if unit else ""
    )


def _is_day(month: str, day: str) -> bool:
    return 1 <= int(month) <= 12 and 1 <= int(day) <= 31


def _say_date(match: Match[str]) -> str:
    if not _is_day(match["month"], match["day"]):
        return match[0]
    return f"{digits(match['year'])}年{spell(int(match['month']))}月{spell(int(match['day']))}日"


def _say_year(match: Match[str]) -> str:
    number = match["year"]
    if number in ("1000", "3000", "5000"):
        return cardinal(number)
    low = f"{digits(match['since'])}{match['mark'] or ''}到" if match["since"] else ""
    return low + digits(number)


def _say_short_date(match: Match[str]) -> str:
    return f"{spell(int(match[1]))}月{spell(int(match[2]))}{match[3]}"


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
    scale = {"k": "千", "K": "千", "m": "百万", "M": "百万", "b": "十亿", "B": "十亿", "bn": "十亿"}.get(
        match["scale"] or "", match["scale"] or ""
    )
    currency = CURRENCIES[match["symbol"]]
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
            words.append(SYMBOLS.get(part, part if part.isalpha() else ""))
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
        (r"(?<=\d)-{2,3}(?=\d)", lambda m: "-"),
        (r"(?<![\d-])\d(?:-\d){2,3}(?=(?:的)?(?:阵型|阵容|阵式|站位|打法|防守|联防))", lambda m: digits(m[0])),
        (r"(?<=[A-Za-z])(\d{3,}(?=-)|\d+(?=-\d\d))-(\d+)(?![\d.,%-]|[月日号年页])",
         lambda m: f"{digits(m[1])} {digits(m[2])}"),
        (r"(?<![\w.])0[xX]([0-9A-Fa-f]+)(?![A-Za-z0-9])",
         lambda m: "零x" + re.sub(r"\d", lambda d: digits(d[0]), m[1])),
        (r"(?<=满)(\d+)-(\d+)(?![\d年岁])", lambda m: f"{cardinal(m[1])}减{cardinal(m[2])}"),
        (r"(?<!\d)((?:19|20)\d\d)\.(1[0-2]|0?[1-9])\s?[-–—~～至]\s?((?:19|20)\d\d)\.(1[0-2]|0?[1-9])(?![\d.])",
         lambda m: f"{digits(m[1])}年{spell(int(m[2]))}月到{digits(m[3])}年{spell(int(m[4]))}月"),
        (rf"(?<![\d.])({_DAY})\s?[-–—~～至]\s?({_DAY})(?![\d.%])", _say_days),
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
        (r"(?<![\d/.-])((?:19|20)?\d\d)(/|[-–])((?:19|20)?\d\d)(?=\s?(?:赛季|学年|年度|财年|雪季|季|榨季))",
         _say_season),
        (r"(?<![\d/.-])(?P<month>0\d|1[0-2])-(?P<day>0\d|[12]\d|3[01])-(?P<year>[12]\d{3})(?![\d/-])", _say_date),
        (r"(?<![\d/.-])(?P<year>(?:19|20)\d\d)[-/](?P<month>0[1-9]|1[0-2])(?![\d/.年-])", _say_month),
        (r"(?<![\d/.-])(?P<month>0[1-9])\.(?P<year>(?:19|20)\d\d)(?![\d/.%-])", _say_month),
        (r"(?<![\d/.,$￥¥€£-])(0[1-9])\.(0[1-9]|[12]\d|3[01])(?![\d/.%-])",
         lambda m: f"{spell(int(m[1]))}月{spell(int(m[2]))}日"),
        (r"(?<![\d/.-])(?P<year>(?:19|20)\d\d)\.(?P<month>0[1-9])(?![\d/.年%-])", _say_month),
        (r"(?<![\d/.-])(?P<month>0[1-9]|1[0-2])[-/](?P<year>(?:19|20)\d\d)(?![\d/.-])", _say_month),
        (r"(?<![\d/.-])(0[1-9])[-/](0[1-9]|[12]\d|3[01])(?![\d/.日号-])",
         lambda m: f"{spell(int(m[1]))}月{spell(int(m[2]))}日"),
        (r"(?<![\d/.-])(?P<year>[12]\d{3})·(?P<month>[01]?\d)·(?P<day>[0-3]?\d)(?!\d)", _say_date),
        (r"(?<=公元前)(\d{1,4})(?=年)|(?<=公元)(\d{1,4})(?=年)", lambda m: digits(m[0])),
        (r"(?:(?<=[:：]\d\d)|(?<=[\d][点日号月年时分])|(?<=[零一二三四五六七八九]年))(?: [-–—~～] |[-–—~～至])(?=\d"
         r"|公元)",
         lambda m: "到"),
        (r"(?<![\d/.-])(?P<month>[01]?\d)/(?P<day>[0-3]?\d)/(?P<year>[12]\d{3})(?![\d/-])", _say_date),
        (r"(?<![\d/.-])(?P<year>\d\d)/(?P<month>[01]?\d)/(?P<day>[0-3]?\d)(?![\d/-])", _say_date),
        (r"(?<![\d/.-])(?P<year>[12]\d{3})(?P<sep>[-/.])(?P<month>[01]?\d)(?P=sep)(?P<day>[0-3]?\d)"
         r"(?![\d/-]|\.\d)(?P<time>[T ](?=\d\d?:))?", _say_date),
        (r"(?<=《)(\d{4})(?=》)|(?<![\d.,])(?:19|20)\d\d(?=(?:(?:[、,，和及与或]|以及)(?:19|20)\d\d)+年)",
         lambda m: digits(m[0])),
        # "1949年前" is a year, "2000年前" is so long ago.
        (r"(?<![\d.,])(?:19|20)(?!00)\d\d(?=年(?:前|以来))", lambda m: digits(m[0])),
        (rf"(?<![\d.,])(?:(?P<since>[12]\d{{3}})(?P<mark>年)?{_TO})?(?P<year>[1-9]\d{{3}})(?=\s?年(?!前|后的?今天"
         rf"|历史|以来|之久))",
         _say_year),
        (rf"(?<![\d.,])(?:(?P<since>(?:19|20)\d\d)(?P<mark>)?{_TO})?(?P<year>(?:19|20)\d\d)"
         r"(?=届|级|款|赛季|学年|Q[1-4]|春节|财年|版(?!本)|奥运|世界杯|欧洲杯|新年|高考)", _say_year),
        (r"(?<![\d.,])(\d\d)(?=年(?:\d{1,2}月|代?出?生|毕业|级的))", lambda m: digits(m[1])),
        (r"(?<![\d.,])((?:1[89]|20)\d0)(?=年?代)|(?<![\d.,])([0-9][05])(?=后(?![面来天续期者果半方卫台备门]))",
         lambda m: digits(m[0])),
        (r"(?<![\d.,])(1?\d)/([0-3]?\d)(日|号)", _say_short_date),
        (r"(?<![\d:：])(\d{1,4})[:：](\d{1,4})(?=\s?[=＝])|(?<=[=＝])(\d{1,4})[:：](\d{1,4})(?![\d:：]|\.\d)",
         lambda m: f"{cardinal(m[1] or m[3])}比{cardinal(m[2] or m[4])}"),
        (r"((?:比例尺?|赔率|配比|稀释|比值|坡度|杠杆|比率)[^\d，。；]{0,6})(\d{1,4})[:：](\d{1,4}(?:\.\d+)?)(?![\d:：]|,\d)",
         lambda m: f"{m[1]}{cardinal(m[2])}比{cardinal(m[3])}"),
        (r"(?<![\d:.,])(?P<hour>\d{1,2})[:：](?P<minute>\d\d)(?:[:：](?P<second>\d\d))?(?![\d:：]|,\d{3})(?:\s?(?P<half>[aApP])\.?[mM]\b\.?)?",
         _say_time),
        (r"(?<![\d.,])(\d{1,2})([点时])(\d{1,2})(?=分)", _say_written_time),
        (rf"(?P<sign>(?<![A-Za-z0-9)）])[-−])?(?<![A-Za-z]){SYMBOL}\s?(?:(?P<low>{_NUMBER}){_TO}(?:(?P=symbol))?)?(?P<amount>{_NUMBER})"
         r"(?:\s?(?P<scale>[万亿千百]+|(?:bn|[kKmMbB])(?![A-Za-z])))?(?:(?<=[\d万亿])元)?", _say_money),
        (rf"{_START}(?P<sign>(?<![A-Za-z0-9)）])[-−])?(?:(?P<low>{_NUMBER}){_TO})?(?P<amount>{_NUMBER})(?P<scale>[万亿千百]+)?\s?{SYMBOL}"
         r"(?![\w$])", _say_money),
        (rf"{_START}(?:(?P<low>{_SIGN}{_NUMBER})[%‰]?{_TO})?(?P<number>{_SIGN}{_NUMBER})\s?(?P<mark>[%‰])",
         _say_percent),
        (r"(?<![\d.,])(\+?86[- ]?)?(1[3-9]\d[- ]?\d{4}[- ]?\d{4})(?!\d)", _say_mobile),
        (r"(?<![\d.,-])(?:0\d{2,3}[- ]\d{3,4}[- ]?\d{4}"
         r"|[48]00-?\d{3,4}-?\d{3,4}(?![\d.]|\s?[个元人次条张块万亿吨步])|\(0\d{2,3}\)\d{7,8})(?:-\d{1,5})?"
         r"(?!\d)",
         _say_telephone),
        (r"(?<![\d./])9/11(?=事件|恐怖|袭击|之后|以后|以来|遗址)", lambda m: digits(m[0])),
        (r"(?<![\d.,])(?:911(?=事件)|(?:315|618)(?=[”\"]?(?:晚会|大促|购物节)))", lambda m: digits(m[0])),
        (rf"(?<![\d.,]){_SERVICE}(?:(?:[、和及,，/与]|或者?|还是|以及)\s?{_SERVICE})+(?![\d.,]|[个元块次名人起件年米吨公])"
         r"|^(?:110|119|120|122)$",
         lambda m: re.sub(r"\d+", lambda number: digits(number[0], one="幺"), m[0])),
        (r"(?<![\d.,])(?:12306|12315|10086|10010|955\d\d)(?![\d.,%元个万亿人步米条只件名字次天年块公吨份张本])",
         lambda m: digits(m[0], one="幺")),
        (r"\+\d{1,3}(?:[- ]\d{2,11}){1,4}(?!\d)", lambda m: "加" + _say_telephone(m)),
        (r"(?<![\d.])(1(?:10|19|20|22|14)|12\d{3}|10086|10010|95\d{3})(?=报警|民警|巡警|出警|接警|指挥中心|联动|急救|火警|热线|客服|电话|平台)",
         lambda m: digits(m[1], one="幺")),
        (r"((?:急救|火警|报警|匪警|交警|救护车|求助|热线|投诉|查号|天气预报)(?:电话|中心|热线|号码|台|请)?(?:拨打"
         r"|拨|打)?[是为：:]?\s?)(1\d\d|1\d{4})(?![\d.,]|[个元块次名人起件年])",
         lambda m: m[1] + digits(m[2], one="幺")),
        (rf"((?:{_CALLED})号?\s?[是为：:]?\s?)(\d{{3,}})(?![\d.,]*[个元块次折%分人张])",
         lambda m: m[1] + digits(m[2], one="幺")),
        (rf"((?:{_NAMED})(?:号码?)?\s?[是为：:]?\s?)(\d{{3,}})(?!\d)", lambda m: m[1] + digits(m[2])),
        (r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])", _say_ip),
        (r"([vV]|版本)?((?<=[vV])\d+\.\d+(?:\.\d+)*|(?<![\d.])\d+(?:\.\d+){2,})(?!\d)", _say_version),
        (r"(?<=赔率)([为是：: ]?)(\d{1,4})/(\d{1,4})(?![\d/])", lambda m: f"{m[1]}{cardinal(m[2])}比{cardinal(m[3])}"),
        (r"(?<![\d/])(\d{1,2})/(\d{1,2})(?=层)", lambda m: f"{cardinal(m[1])}层，共{cardinal(m[2])}"),
        (rf"(?<![\d.,/])(?<![A-Za-z])({_SIGN})(?:(\d{{1,3}}) )?(\d{{1,4}})\s?[/⁄]\s?(\d{{1,4}})(?![\d/]|\.\d)",
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
        (rf"{_START}(?P<sign>{_SIGN})(?:(?P<low>{_NUMBER})(?:°C|℃)?{_TO}(?P<high_sign>-)?)?"
         rf"(?P<number>{_NUMBER})(?P<scale>[万亿千百]+)?\s?{UNIT}",
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
        (rf"{_START}(?<![A-Za-z-])(?P<sign>{_SIGN})(?P<low>{_NUMBER}){_TO}(?P<number>{_NUMBER})(?![-]|\d)(?!\s*[=＝])",
         _say_range),
        (r"(?<=第)(\d++)(?!\.\d)", lambda m: spell(int(m[1])) if len(m[1]) < 13 else digits(m[1])),
        (r"(?<![\w)）])\+(?=\d)", lambda m: "正"),
        # Events are called by their day: 9·11, 5·12.
        (r"(?<![\d.·])(1[0-2]|[1-9])·(3[01]|[12]?\d)(?=[”\"」』]?(?:事件|特?大?地震|晚会|讲话|专案|精神|袭击|恐怖|惨案|运动|火灾|爆炸|起义))",
         lambda m: digits(m[1] + m[2])),
        (r"(?<=[\d升克米斤])\s?[xX×*·]\s?(?=\d)", lambda m: "乘"),
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
        (r"(?<=[\w)）|])(?P<power>[⁻⁺]?[⁰¹²³⁴-⁹]+)", _say_power),
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
        (r"(?<=\w)\s?×\s?(?=\w)", lambda m: "乘"),
        (r"(?<=\w)\s?÷\s?(?=\w)", lambda m: "除以"),
        (r"(?<=\w)\s?>\s?(?=\w)", lambda m: "大于"),
        (r"(?<=\w)\s?<\s?(?=\w)", lambda m: "小于"),
        (rf"(?<=[{_HAN}])\s?&\s?(?=[{_HAN}])", lambda m: "和"),
        (r"\s?&\s?", lambda m: " and "),
        (rf"(?<=[元万亿块])/(?=[{_HAN}])|(?<=[一二三四五六七八九十百千万][人次个台件斤吨户克升米])/(?=[{_HAN}])"
         r"|(?<=[瓶袋盒包罐片支])/(?=[箱件盒袋包])|(?<=[零一二三四五六七八九十百千万点半亿升克米斤])/(?=[日天月年周时秒分瓶袋盒箱包杯支桶份])",
         lambda m: "每"),
        (r"(?<=\w)[~～](?=\w)", lambda m: "到"),
        (r"和/或", lambda m: "和或"),
        (r"(?<=(?<![A-Za-z])[CF])#", lambda m: "井"),
        (rf"(?<=[{_HAN}])/(?=[{_HAN}])", lambda m: "或"),
        (r"@(?=\w)", lambda m: "艾特"),
        (r"(?<![\u0370-\u03ff])[" + "".join(NAMED_SIGNS) + r"](?![\u0370-\u03ff])", lambda m: NAMED_SIGNS[m[0]]),
        (r"(?<=\w)/(?=\w)", lambda m: " "),
        (r"[*_#^`|\\<>{}=+/™®©•·●■◆→←↑↓√∞°%$~～￥¥]+(?![㐀-鿿])|(?<![㐀-鿿])[*_#^`|\\<>{}=+/™®©•●■◆→←↑↓√∞°%$]+"
         r"|[*_#^`|\\<>{}=+/™®©•●■◆→←↑↓√∞°%$~￥¥]+", lambda m: " "),
    )
)  # fmt: skip
_HAS_NUMBER = re.compile(
    r"[0-9₀-₉⁻⁺]|[IVX](?=[章节部卷回集幕场季篇型期级类度世])|(?<=[㐀-鿿])\s?[IVX]{1,6}(?![A-Za-z])"
)
_WEEKDAYS = re.compile(
    r"(?:(?<=周[一二三四五六日])|(?<=期[一二三四五六日天])|(?<=拜[一二三四五六日天]))\s?[-–—~～]{1,2}\s?(?=(?:周"
    r"|星期|礼拜)?[一二三四五六日天](?![㐀-鿿]{0,2}[-–—~～]))"
)
_NAMELESS = re.compile(r"(?<![0-9A-Za-z)）×])×{2,4}(?![0-9A-Za-z(（×])")
"""Where a text withholds a name: 张××."""
_HAS_SYMBOL = re.compile(r"[^\w\s.,;:!?'\"“”‘’()\[\]—–…，。！？；：、（）《》【】「」『』·～-]|[_⁰¹²³⁴-⁹α-ωΔΩΣ]")
_VULGAR_PATTERN = re.compile(r"(\d)?\s?([" + "".join(_VULGAR) + "])")
_SPACE_AT_MARK = re.compile(r"(?<=[，。！？；：、（《「『]) +| +(?=[，。！？；：、）》」』])")


def say_in_chinese(text: str) -> str:
    """Spell out everything in a Chinese text that is not a word; the punctuation stays."""
    text = _ADDRESS.sub(_say_address, text)
    text = _NAMELESS.sub(lambda m: "某" * len(m[0]), text)
    text = _ENCLOSED.sub(lambda m: spell(int(unicodedata.numeric(m[0]))), text)
    text = _VULGAR_PATTERN.sub(lambda m: (f"{m[1]} " if m[1] else "") + _VULGAR[m[2]], text)
    text = _WEEKDAYS.sub("到", say_formulas(text, _FORMULA_WORDS))
    if _HAS_NUMBER.search(text):
        text = _SENTENCE.sub(_say_scores, text)
        for pattern, reading in _NUMBER_RULES:
            text = pattern.sub(reading, text)
    if _HAS_SYMBOL.search(text):
        for pattern, reading in _SYMBOL_RULES:
            text = pattern.sub(reading, text)
    return _SPACE_AT_MARK.sub("", text)
