"""Chinese telephone numbers, codes, versions and other numbers that are read digit by digit."""

from __future__ import annotations

import re
from re import Match

from pipeline.text.chinese_numbers import COUNTED, cardinal, digits
from pipeline.text.chinese_patterns import Rules
from pipeline.text.chinese_units import scaled

_SERVICE = r"(?:110|119|120|122|112|911|999|12[13]\d\d|100[18]\d|9[56]\d{3})"
_CALLED = "电话|手机|热线|拨打|致电|客服|打|传真|号码|尾号"
_NAMED = (
    "编号|卡号|账号|帐号|验证码|邮编|学号|工号|车牌|订单号|单号|微信|QQ群|QQ|qq|身份证|房间号|房号|证号|房间|航班|代码"
    "|密码|取件码|提取码|取餐码|校验码"
)


def _say_telephone(match: Match[str]) -> str:
    return "，".join(digits(group, one="幺") for group in re.findall(r"\d+", match[0]))


def _say_mobile(match: Match[str]) -> str:
    return ("加八六，" if match[1] else "") + digits(match[2], one="幺")


def _say_version(match: Match[str]) -> str:
    return (match[1] or "") + "点".join(cardinal(number) for number in match[2].split("."))


def _say_ip(match: Match[str]) -> str:
    return "点".join(digits(number, one="幺") for number in match[0].split("."))


_PLACES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_STANDARDS = "GBZ?|GJB|DB|HJ|JB|YY|QB|SH|SY|HG|CJJ|JGJ|JTG|DL|ISO|IEC|IEEE|EN|NB|YD|TB|AQ|LY|NY|WS"
_NO_ROOM = rf"(?![\d.,\-–~～]|\s?(?:{COUNTED}|[余多平㎡m]))"
_CLAUSE_ENDS = '(?=$|[，。！？!?,…~～”"）)])'
_WAGES = "薪|工资|收入|待遇|年终奖|预算|报价|到手|存款|offer|底薪|奖金"


def _say_plate(match: Match[str]) -> str:
    return match[1] + " " * bool(match[2]) + re.sub(r"\d", lambda digit: digits(digit[0]), match[3])


def _say_thousands(match: Match[str]) -> str:
    """Read `8k-12k` as a span of sums: it goes up, and 4k and 8k are kinds of screens."""
    low, high = scaled(match[1], 3), scaled(match[2], 3)
    if float(low) >= float(high) or _SCREEN.search(match.string[max(0, match.start() - 6) : match.end() + 6]):
        return match[0]
    return f"{cardinal(low)}到{cardinal(high)}"


_SCREEN = re.compile("分辨率|视频|屏|画质|电视|超清|高清|显示器|采样|比特|Hz|bps|字节|游戏")
EARLY_CODE_RULES: Rules = (
    (rf"((?:{_CALLED}|咨询|订餐|预约|联系方式|TEL|Tel|tel)(?:号码?)?\s?[是为：:.]?\s?)"
     rf"(?!0\d{{2,3}}-)(\d{{3,4}}-\d{{4}})(?![\d-]|[元块万]| \d)",
     lambda m: m[1] + "，".join(digits(group, one="幺") for group in m[2].split("-"))),
    # Standards, which end in the year they are of: GB/T 19001-2016.
    (rf"(?<![A-Za-z])((?:{_STANDARDS})(?:/[TZ])?)\s?(\d{{1,6}}(?:\.\d+)?)\s?[-–—:：]\s?((?:19|20)\d\d)(?!\d)",
     lambda m: f"{m[1].replace('/', ' ')} {'点'.join(map(digits, m[2].split('.')))} {digits(m[3])}"),
    # A room of a house, a box of parcels.
    (r"(?<![\d.-])(\d{1,2})-(\d{1,2})-(?!(?:19|20)\d\d(?!\d))(\d{3,4})(?![\d.%-])",
     lambda m: f"{cardinal(m[1])}杠{cardinal(m[2])}杠{digits(m[3], one='幺')}"),
    (rf"(?<=单元|号楼|号院)(\s?)(\d{{3,4}}){_NO_ROOM}"
     rf"|(?<=\d[栋幢座楼])(\s?)(\d{{3,4}}){_NO_ROOM}"
     rf"|(?<=[A-Za-z][栋幢座])(\s?)(\d{{3,4}}){_NO_ROOM}",
     lambda m: digits(m[0], one="幺")),
    (rf"([{_PLACES}][A-HJ-Z])(\s?[·•・.]?\s?)((?=[A-Z]{{0,5}}\d)[A-HJ-NP-Z\d]{{5,6}})(?![A-Za-z\d.,%]|\s?(?:{COUNTED}))",
     _say_plate),
    (r"(?<![\d.,])(?:[03]0\d{4}|688\d{3}|60\d{4}|[48]3\d{4})(?=[今昨][日天]|[涨跌]停|[收开]盘|股票|[复停]牌|大[涨跌])",
     lambda m: digits(m[0])),
    (r"(?<![\d.,])\d{3}(?=飞机|客机|机型|货机)|(?<=波音|空客)\d{3}(?!\d|架)", lambda m: digits(m[0])),
    (r"(?<![\d.,$¥￥€£])(\d{1,3}(?:\.\d)?)[kK]?\s?[-–—~～至到]\s?(\d{1,3}(?:\.\d)?)[kK](?![A-Za-z])", _say_thousands),
    (rf"((?:{_WAGES})[^\d，。$¥￥€£]{{0,4}})(\d{{1,3}}(?:\.\d)?)[kK](?![A-Za-z])",
     lambda m: m[1] + cardinal(scaled(m[2], 3))),
    # Numbers that stand for words in chats.
    (rf"(?:(?<=^)|(?<=[，。！？!?,…~～“\"（( 真太铁播哈啊了强牛赞]))(?:6{{3,8}}"
     rf"|23{{3,8}})(?:(?=[啊呀哈])|{_CLAUSE_ENDS})",
     lambda m: digits(m[0])),
    (rf"(?:(?<=^)|(?<=[，。！？!?…~～“\"（(]))(?:5201314|1314|520|886){_CLAUSE_ENDS}", lambda m: digits(m[0])),
    (rf"(?<=[死了哈我的])23{{2,8}}{_CLAUSE_ENDS}"
     rf"|(?<=爱你|爱她|爱妳)(?:520|1314){_CLAUSE_ENDS}"
     rf"|(?<=再见|拜拜|走了|下线)886?{_CLAUSE_ENDS}", lambda m: digits(m[0])),
)  # fmt: skip
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
