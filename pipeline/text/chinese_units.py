"""Chinese names of currencies and units of measure, and how they are written."""

from __future__ import annotations

import re
from decimal import Decimal

CURRENCIES = {
    "¥": "元", "$": "美元", "US$": "美元", "€": "欧元", "£": "英镑", "HK$": "港元", "NT$": "新台币", "A$": "澳元",
    "C$": "加元", "S$": "新加坡元", "₩": "韩元", "₽": "卢布", "₹": "卢比", "CN¥": "元", "RMB": "元", "CNY": "元",
    "USD": "美元", "EUR": "欧元", "GBP": "英镑", "JPY": "日元", "HKD": "港元",
}  # fmt: skip
SYMBOL = "(?P<symbol>" + "|".join(map(re.escape, sorted(CURRENCIES, key=len, reverse=True))) + ")"
_BASE_UNITS = {
    "km": "公里", "m": "米", "dm": "分米", "cm": "厘米", "mm": "毫米", "nm": "纳米", "μm": "微米", "µm": "微米",
    "kg": "公斤", "g": "克", "mg": "毫克", "μg": "微克", "µg": "微克", "ng": "纳克", "pg": "皮克", "t": "吨",
    "L": "升", "l": "升", "dL": "分升", "dl": "分升", "ml": "毫升", "mL": "毫升", "μL": "微升", "µL": "微升",
    "km²": "平方公里", "m²": "平方米", "dm²": "平方分米", "cm²": "平方厘米", "mm²": "平方毫米",
    "km2": "平方公里", "m2": "平方米", "cm2": "平方厘米", "mm2": "平方毫米",
    "m³": "立方米", "dm³": "立方分米", "cm³": "立方厘米", "mm³": "立方毫米", "km³": "立方公里",
    "m3": "立方米", "cm3": "立方厘米", "mm3": "立方毫米", "mol": "摩尔", "mmol": "毫摩尔", "μmol": "微摩尔",
    "µmol": "微摩尔", "nmol": "纳摩尔", "pmol": "皮摩尔", "IU": "国际单位", "mIU": "毫国际单位", "U": "单位",
    "Hz": "赫兹", "kHz": "千赫", "MHz": "兆赫", "GHz": "吉赫", "W": "瓦", "kW": "千瓦", "MW": "兆瓦", "GW": "吉瓦",
    "mW": "毫瓦", "Wh": "瓦时", "kWh": "千瓦时", "V": "伏", "mV": "毫伏", "kV": "千伏", "A": "安", "mA": "毫安",
    "mAh": "毫安时", "Ω": "欧姆", "kΩ": "千欧", "MΩ": "兆欧", "dB": "分贝", "s": "秒", "ms": "毫秒", "μs": "微秒",
    "ns": "纳秒", "min": "分钟", "h": "小时", "d": "天", "cal": "卡", "kcal": "千卡", "J": "焦耳", "kJ": "千焦",
    "MJ": "兆焦",
    "N·m": "牛米", "Nm": "牛米", "N.m": "牛米",
    "N": "牛", "kN": "千牛", "Pa": "帕", "hPa": "百帕", "kPa": "千帕", "MPa": "兆帕", "mmHg": "毫米汞柱",
    "K": "开", "lm": "流明", "lx": "勒克斯", "cd": "坎德拉", "eV": "电子伏", "ft": "英尺", "in": "英寸", "lb": "磅",
    "lbs": "磅",
    "oz": "盎司", "ha": "公顷", "px": "像素", "mi": "英里", "yd": "码", "mph": "英里每小时", "rpm": "转每分",
    "ppm": "百万分之一",
    "bps": "比特每秒", "kbps": "千比特每秒", "Mbps": "兆比特每秒", "Gbps": "吉比特每秒", "dpi": "点每英寸",
    "°C": "摄氏度", "℃": "摄氏度", "°F": "华氏度", "℉": "华氏度", "°": "度", "KB": "千字节", "kB": "千字节",
    "KiB": "千字节",
}  # fmt: skip
_COMPOUND_ONLY = {"人", "天", "年", "月", "日", "时", "分", "秒", "次", "斤", "吨", "公斤", "千克", "克", "小时",
 "分钟", "平方米", "平米",
                  "升", "毫升", "公里", "米", "台", "件", "个", "头", "亩", "元", "度", "户", "周", "块",
                  "转"}  # fmt: skip
# "5A" is a grade and "3K" a name: these need something after the slash or a space before.
_ONLY_COMPOUND_OR_CLEAR = frozenset({"U", "K", "d", "in", "A", "N"})
UNITS = {written: name for written, name in _BASE_UNITS.items() if written not in _ONLY_COMPOUND_OR_CLEAR} | {
    "m/s²": "米每二次方秒", "m/s2": "米每二次方秒", "km/h": "公里每小时", "Km/h": "公里每小时", "KM/H": "公里每小时",
    "kmh": "公里每小时", "KM": "公里", "Km": "公里", "KG": "公斤", "Kg": "公斤", "CM": "厘米", "MM": "毫米",
    "ML": "毫升", "KW": "千瓦",
    "KWH": "千瓦时", "kwh": "千瓦时", "kw": "千瓦", "hz": "赫兹", "Ml": "毫升", "khz": "千赫", "mhz": "兆赫",
    "ghz": "吉赫", "HZ": "赫兹", "KHZ": "千赫", "MHZ": "兆赫", "GHZ": "吉赫",
}  # fmt: skip
_ALTERNATIVES = "|".join(map(re.escape, sorted(UNITS, key=len, reverse=True)))
_PARTS = "|".join(map(re.escape, sorted({*_BASE_UNITS, *_COMPOUND_ONLY}, key=len, reverse=True)))
UNIT = rf"(?P<unit>(?:{_PARTS})/(?:{_PARTS})(?![A-Za-z0-9²³/])|(?:{_ALTERNATIVES})(?![A-Za-z0-9²³]))"
COMPOUND = rf"(?P<unit>m/s[²2](?![\w²³])|(?:{_PARTS})/(?:{_PARTS})(?![A-Za-z0-9²³/]))"
LETTER_ZEROS = {"k": 3, "m": 6, "b": 9, "bn": 9, "t": 12}
"""How many zeros a letter behind a sum stands for."""


def scaled(number: str, zeros: int) -> str:
    """Write `2.5` with the zeros of its letter: Chinese counts in ten thousands, not in thousands."""
    return f"{Decimal(number.replace(',', '')).scaleb(zeros).normalize():f}"


def unit_name(written: str) -> str:
    """Return how a unit is said: `mmol/L` is 毫摩尔每升."""
    if written in UNITS:
        return UNITS[written]
    top, _, bottom = written.partition("/")
    return f"{_BASE_UNITS.get(top, top)}每{_BASE_UNITS.get(bottom, bottom)}"
