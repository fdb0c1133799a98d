"""Chinese number words: cardinals, digits one by one, and the 两 before what is counted.

Knows nothing of the text around a number; cn2an does the spelling.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_DIGITS = "零一二三四五六七八九"
_MAX_SPELLED_DIGITS = 16
_YI = 10**8
# Words that count things: "2" before them is 两. 月, 日, 号, 楼, 班, 级 and the like name things: there it stays 二.
COUNTED = (
    "个|只|条|张|本|位|名|件|块|元|角|点(?!\\d)|分钟|秒|小时|天|年(?!级|代|月|\\d)|岁|倍|次|人|种|份|套|台|部|辆|头"
    "|匹|棵|朵"
    "|瓶|杯|碗|盘|斤|公斤|克|吨|米|公里|厘米|毫米|里|升|毫升|平方|立方|句|首|篇|间|座|家|所|步|遍|趟|场|轮|组|对|双"
    "|包|袋|盒"
    "|箱|周|星期|礼拜|枚|颗|粒|滴|根|支|枝|把|顶|片|层(?!楼)|国|地|者|边|侧|端|万|亿|千|百(?!分)|美元|欧元|英镑"
    "|港元|日元"
    "|韩元|分(?!之|\\d)|档|门|项|道|幅|架|艘|度|股|成|批|群|口|户|顿|餐|晚|夜|世纪|半"
)
_MEASURE_PATTERN = re.compile(COUNTED)


def is_counted(following: str) -> bool:
    """Tell whether the text after a number begins with what is counted."""
    return bool(_MEASURE_PATTERN.match(following))


@lru_cache(maxsize=16_384)
def spell(value: int) -> str:
    """Read a whole number."""
    import cn2an  # 30 ms to import: only when the first number comes

    written: Any = cn2an.an2cn(value)
    words = re.sub(r"零一十", "零十", str(written)).replace("零十", "零一十")
    if value > _YI and 0 < value % _YI < _YI // 10 and "亿零" not in words:  # cn2an leaves it out
        words = words.replace("亿", "亿零")
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
        words = spell(int(whole))
    return sign + words + (f"点{digits(fraction)}" if point and fraction else "")
