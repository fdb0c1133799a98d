"""Chinese years, days and seasons, and the events that are called by their day."""

from __future__ import annotations

import re
from re import Match

from pipeline.text.chinese_numbers import cardinal, digits, spell
from pipeline.text.chinese_patterns import TO, Rules


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


EARLY_DATE_RULES: Rules = (
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
