"""Chinese telephone numbers, codes, versions and other numbers that are read digit by digit."""

from __future__ import annotations

import re
from re import Match

from pipeline.text.chinese_numbers import cardinal, digits
from pipeline.text.chinese_patterns import Rules

_SERVICE = r"(?:110|119|120|122|112|911|999|12[13]\d\d|100[18]\d|9[56]\d{3})"
_CALLED = "电话|手机|热线|拨打|致电|客服|打|传真|号码|尾号"
_NAMED = (
    "编号|卡号|账号|帐号|验证码|邮编|学号|工号|车牌|订单号|单号|微信|QQ群|QQ|qq|身份证|房间号|房号|证号|房间|航班|代码"
    "|密码"
)


def _say_telephone(match: Match[str]) -> str:
    return "，".join(digits(group, one="幺") for group in re.findall(r"\d+", match[0]))


def _say_mobile(match: Match[str]) -> str:
    return ("加八六，" if match[1] else "") + digits(match[2], one="幺")


def _say_version(match: Match[str]) -> str:
    return (match[1] or "") + "点".join(cardinal(number) for number in match[2].split("."))


def _say_ip(match: Match[str]) -> str:
    return "点".join(digits(number, one="幺") for number in match[0].split("."))


CODE_RULES: Rules = (
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
)  # fmt: skip
