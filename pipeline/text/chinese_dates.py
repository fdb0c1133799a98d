"""Chinese years, days and seasons, and the events that are called by their day."""

from __future__ import annotations

import re
from math import gcd
from re import Match

from pipeline.text.chinese_numbers import COUNTED, cardinal, digits, is_counted, spell
from pipeline.text.chinese_patterns import HAN, TO, Rules
from pipeline.text.chinese_units import CURRENCIES


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


# What makes a span of years of two numbers, and what two numbers in brackets count.
_ERA = "[战国朝代位期史唐宋元明清汉隋晋秦周]|王朝|年间|生卒|在世|任期|在任|时期|时代|革命|运动"
_NOT_YEARS = re.compile("(?:价|元|薪|资|量|额|数|率|速|围|距|码|重|米|分|编号|电话|第|型号|年产|每月|每天)[:：]?$")
_MAX_LIFE = 110
_LAST_YEAR = 2100


def _say_life(match: Match[str]) -> str:
    """Read `（1881-1936）` as years: no longer than a life, unless an age of a country is named before."""
    low, high = int(match["low"]), int(match["high"])
    is_era = bool(match["era"] or match.groupdict().get("mark"))
    before = match.string[max(0, match.start() - 4) : match.start()]
    is_round = not (low % 50 or high % 50)
    is_short = high - low <= _MAX_LIFE and low >= 1000
    if not low < high <= _LAST_YEAR or not (is_era or (is_short and not is_round and not _NOT_YEARS.search(before))):
        return match[0]
    mark = match.groupdict().get("mark") or ""
    return f"{match['era'] or ''}{match['open'] or ''}{digits(match['low'])}{mark}到{digits(match['high'])}"


def _say_short_years(match: Match[str]) -> str:
    """Read `03-13年` as years: a number of years begins with no zero, and goes up."""
    low, high = match.groups()
    if low[0] != "0" and high[0] != "0" and int(low) <= int(high):
        return match[0]
    return f"{digits(low)}到{digits(high)}"


def _say_release(match: Match[str]) -> str:
    """Read the year in the name of a program: `Excel 2019`."""
    if (
        match[1].upper() in CURRENCIES
        or (match[3] == "2000" and match[1] not in ("Windows", "Office"))
        or is_counted(match.string[match.end() :][:3])
    ):
        return match[0]
    return f"{match[1]}{match[2]}{digits(match[3])}"


_EVENT = (
    "事变|事件|特?大?地震|晚会|讲话|专案|精神|袭击|恐怖|惨案|运动(?![鞋服型版会员场装量风套裤])|火灾|爆炸|起义|妇女节|青年节|儿童节|劳动节|建军节"
    "|教师节|护士节|大屠杀|空难|大火|矿难|事故|大?案|国庆|购物节|大促|狂欢节|学运|政变|兵变|暴动|纪念日|国难日|革命"
)
_MISHAP = re.compile('[”"』」]?(?:特?大?地震|袭击|恐怖|惨案|火灾|爆炸|大屠杀|空难|大火|矿难|事故|大?案|政变|兵变|暴动)')


def _say_event(match: Match[str]) -> str:
    """Read the day that an event is called by, digit by digit: 九一八; 双十一 where the two are alike."""
    month, day, text = *filter(None, match.groups()), match.string
    if not _is_day(month, day):
        return match[0]
    before, after = text[max(0, match.start() - 8) : match.start()], text[match.end() : match.end() + 8]
    near = re.split("[，。；、]", before)[-1] + re.split("[，。；、]", after)[0]
    if re.search(r"[=＝×÷+]|[的之][值积]|等于", near):
        return match[0]
    if month == day and int(month) > 9 and not _MISHAP.match(text, match.end()):
        return f"双{spell(int(month))}"
    return digits(month + day) if month != "10" else "十" + digits(day)


def _day(month: str, day: str) -> str:
    return f"{spell(int(month))}月{spell(int(day))}日"


def _say_slashed_day(match: Match[str]) -> str:
    month, day = match.groups()
    return _day(month, day) if _is_day(month, day) else match[0]


def _say_slashed_days(match: Match[str]) -> str:
    """Read `11/1-11/11` as days, where two fractions would not go up or would be no fractions."""
    month, day, last_month, last_day = match.groups()
    goes_up = (int(month), int(day)) < (int(last_month), int(last_day))
    if not (_is_day(month, day) and _is_day(last_month, last_day) and goes_up):
        return match[0]
    are_fractions = int(month) * int(last_day) < int(last_month) * int(day) and int(month) < int(day)
    if are_fractions and int(day) < 13 and int(last_day) < 13:
        return match[0]
    return f"{_day(month, day)}到{_day(last_month, last_day)}"


def _say_lone_day(match: Match[str]) -> str:
    """Read `9/18` as a day where it stands alone and would be no reduced fraction."""
    month, day = int(match[1]), int(match[2])
    is_fraction = month < day and (day < 13 or gcd(month, day) == 1)
    return match[0] if is_fraction or not _is_day(match[1], match[2]) else _day(match[1], match[2])


def _say_span_of_days(match: Match[str]) -> str:
    year, month, day = match["year"], match["month"], match["day"]
    last_year, last_month, last_day = match["last_year"], match["last_month"], match["last_day"]
    if not (_is_day(month, day) and _is_day(last_month or "1", last_day)):
        return match[0]
    last = f"{digits(last_year)}年" if last_year else ""
    last += _day(last_month, last_day) if last_month else f"{spell(int(last_day))}日"
    return f"{digits(year)}年{_day(month, day)}到{last}"


_OCCASION = (
    "[（(]?(?:周|星期|礼拜)[一二三四五六日天]|国庆|元旦|春节|中秋|(?:教师|儿童|劳动|妇女|青年|建军|情人|圣诞|万圣|感恩|母亲|父亲|愚人|护士|植树|购物)节|端午|清明|放假|开学|开幕|开播|开售|开业|开考|上映|上线"
    "|发布|发售|截止|首发|首映|报名|启动|起售|当天|当晚|[上中下]午|凌晨|晚上|早上|晚\\d"
)
EARLY_DATE_RULES: Rules = (
    (r"(?<![\d./-])(?P<year>(?:19|20)\d\d)(?P<sep>[/.-])(?P<month>[01]?\d)(?P=sep)(?P<day>[0-3]?\d)\s?[-–—~～至到]\s?"
     r"(?:(?:(?P<last_year>(?:19|20)\d\d)(?P=sep))?(?P<last_month>[01]?\d)(?P=sep))?(?P<last_day>[0-3]?\d)"
     r"(?![\d/-]|[.:：]\d|日)", _say_span_of_days),
    (r"(?P<era>公元)(?P<open>)(?P<low>\d{1,4})年?\s?[-–—~～至到]{1,2}\s?(?:公元)?(?P<high>\d{1,4})(?=年)", _say_life),
    (r"(?<=公元前)(\d{1,4})年?\s?[-–—~～至到]{1,2}\s?((?:公元)?前?)(\d{1,4})(?=年)",
     lambda m: f"{digits(m[1])}{'年' * ('公元' in m[2])}到{m[2]}{digits(m[3])}"),
    (r"(?:(?<=[（(])|(?<=公元))前(\d{1,4})年?\s?[-–—~～]{1,2}\s?(前|公元前?)?(\d{1,4})(?=年|[)）])",
     lambda m: f"前{digits(m[1])}到{m[2] or ''}{digits(m[3])}"),
    (rf"(?:(?P<era>{_ERA})\s?)?(?P<open>[（(]\s?(?:公元)?)(?P<low>\d{{3,4}})(?P<mark>年)?\s?[-–—~～]{{1,2}}\s?(?P<high>\d{{3,4}})"
     r"(?=年?\s?[)），,；;])", _say_life),
    (rf"(?P<era>{_ERA})(?P<open>\s?)(?P<low>1\d{{3}}|20\d\d)\s?[-–—~～]{{1,2}}\s?(?P<high>1\d{{3}}|20\d\d)"
     rf"(?!\d|[.,:/]\d|[%年-]|\s?(?:{COUNTED}|[A-Za-z]))", _say_life),
    (rf"(?P<era>)(?P<open>[于从自]\s?)(?P<low>1[5-9]\d\d|20\d\d)\s?[-–—~～]{{1,2}}\s?(?P<high>1[5-9]\d\d|20\d\d)"
     rf"(?!\d|[.,:/]\d|[%年-]|\s?(?:{COUNTED}|[A-Za-z]))", _say_life),
    (r"(?<=[〔\[（(【])(?:19|20)\d\d(?=[〕\])）】]\s?(?:第?\s?\d+\s?号"
     r"|(?:[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼]|最高法)\w{0,6}[民刑行执商知初终]))|(?<=〔)(?:19|20)\d\d(?=〕)",
     lambda m: digits(m[0])),
    (r"(?<![A-Za-z])([A-Z][A-Za-z]+)( )((?:19[5-9]|20[0-4])\d)(?![\dA-Za-z%]|[.,:/-]\d|年)", _say_release),
    (r"(?<![\d.,/第:：-])(\d\d)\s?[-–—~～至到]\s?(\d\d)(?=年(?!前|后|来|内|以|之|的?(?:时间|经验|历史)))",
     _say_short_years),
    (r"(?<![\d.,第近约满了这])([0-9]\d)(?=年(?:的)?(?:洪水|抗洪|特大|大?地震|世界杯|奥运|非典|金融危机"
     r"|回归|春晚|高考|亚运|欧洲杯"
     r"|大旱|大水|春节|[春夏秋冬]天?|[初底末]|上半年|下半年|考上|入伍|参军|入党|下海|下岗|结的?婚))",
     lambda m: digits(m[1])),
    (r"(?<![\d.,/-])0\d(?=年(?!级))", lambda m: digits(m[0])),
    (r"(?<![\d.,第共-])(?:[6-9][1-9]|0\d)(?=版(?!本|面|税|块|图|式|次|印))|(?<![\d.,第共-])[012]\d(?=版(?:的?《|电视|电影|连续|红楼))"
     r"|(?<![\d.,第共升到满达于练了-])(?:[6-9][1-9]|0\d)(?=级(?!台阶|楼梯|大?地震|[风装玩角怪技大副别以上]|号))"
     r"|(?<![\d.,第共-])(?:[012]\d(?=级)|[05-9]\d(?=届))(?=[级届](?:的?(?:学生|校友|同学|新生|毕业|本科|硕士|博士|研究生|高中|初中)))",
     lambda m: digits(m[0])),
    (rf"(?<![\d.·])(1[0-2]|[1-9])·(3[01]|[12]\d|[1-9])(?![\d·.])(?=[”\"』」]?(?:{_EVENT})|(?!\s?(?:{COUNTED}|[A-Za-z])))"
     rf"|(?<![\d.·第])(1[0-2]|[1-9])\.(3[01]|[12]\d|[1-9](?!地震))(?=[”\"』」]?(?:{_EVENT}))"
     r"|(?<![\d./第])(1[0-2]|[1-9])/(3[01]|[12]\d|[1-9])(?=[”\"』」]?(?:事变|事件|惨案|大?地震))"
     rf"|(?<![\d.·第])(1[0-2]|[1-9])\.(3[01]|[12]\d)"
     rf"(?=(?:天津|(?!{COUNTED}|[级折度]))[{HAN}]{{2,7}}(?:事件|事故|惨案|空难|大火|爆炸|暴雨))", _say_event),
    (r"(?<![\d./-])(1[0-2]|0?[1-9])/([0-3]?\d)\s?[-–—~～至到]\s?(1[0-2]|0?[1-9])/([0-3]?\d)(?![\d/%]|\.\d|[杯勺=＝])",
     _say_slashed_days),
    (rf"(?<![\d./-])(1[0-2]|0?[1-9])/([0-3]?\d)(?=\s?(?:{_OCCASION}))", _say_slashed_day),
    (r"(?<=截[止至]|日期|期至|生日|直到)([:：到为是]?\s?)(1[0-2]|0?[1-9])/([0-3]?\d)(?![\d/%]|\.\d)",
     lambda m: m[1] + (_day(m[2], m[3]) if _is_day(m[2], m[3]) else m[0][len(m[1]) :])),
    (r"(?:(?<=^)|(?<=[，。；;、！？（(于在自从至]))(1[0-2]|[1-9])/(3[01]|[12]\d|[1-9])(?=$|[，。；;、！？）)])",
     _say_lone_day),
    (rf"(?<![\d.])({_DAY})\s?[-–—~～至]\s?({_DAY})(?![\d.%])", _say_days),
)  # fmt: skip
DATE_RULES: Rules = (
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
    (rf"(?<![\d.,])(?:(?P<since>[12]\d{{3}})(?P<mark>年)?{TO})?(?P<year>[1-9]\d{{3}})(?=\s?年(?!前|后的?今天"
     rf"|历史|以来|之久))",
     _say_year),
    (rf"(?<![\d.,])(?:(?P<since>(?:19|20)\d\d)(?P<mark>)?{TO})?(?P<year>(?:19|20)\d\d)"
     r"(?=届|级|款|赛季|学年|Q[1-4]|春节|财年|版(?!本)|奥运|世界杯|欧洲杯|新年|高考)", _say_year),
    (r"(?<![\d.,])(\d\d)(?=年(?:\d{1,2}月|代?出?生|毕业|级的))", lambda m: digits(m[1])),
    (r"(?<![\d.,])((?:1[89]|20)\d0)(?=年?代)|(?<![\d.,])([0-9][05])(?=后(?![面来天续期者果半方卫台备门]))",
     lambda m: digits(m[0])),
    (r"(?<![\d.,])(1?\d)/([0-3]?\d)(日|号)", _say_short_date),
)  # fmt: skip
