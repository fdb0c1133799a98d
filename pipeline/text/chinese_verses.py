"""Chapters and verses of the Bible in Chinese: 约翰福音3:16 is 三章十六节."""

from __future__ import annotations

import re
from re import Match

from pipeline.text.chinese_numbers import cardinal
from pipeline.text.chinese_patterns import Rules

_BOOKS = (
    "创世[记纪]|出埃及记|利未记|民数记|申命记|约书亚记|士师记|路得记|撒母耳记[上下]|列王[记纪][上下]|历代志[上下]"
    "|以斯拉记|尼希米记|以斯帖记|约伯记|诗篇|箴言|传道书|雅歌|以赛亚书|耶利米书|耶利米哀歌|以西结书|但以理书|何西阿书"
    "|约珥书|阿摩司书|约拿书|弥迦书|哈巴谷书|西番雅书|哈该书|撒迦利亚书|玛拉基书|马太福音|马可福音|路加福音|约翰福音"
    "|使徒行传|罗马书|哥林多[前后]书|加拉太书|以弗所书|腓立比书|歌罗西书|帖撒罗尼迦[前后]书|提摩太[前后]书|提多书"
    "|希伯来书|雅各书|彼得[前后]书|约翰[一二三壹贰叁]书|犹大书|启示录"
)
# Short names, where no word stands before them; 约, 路, 可, 来 and the like begin times of day.
_SHORT = "太|徒|罗|诗|箴|创|申|启|弗|腓|林[前后]|帖[前后]|彼[前后]|撒[上下]|王[上下]|代[上下]|约[壹贰叁]"
_VERSES = re.compile(r"(\d{1,3})(?:\s?([-–—~～至到])\s?(?:(\d{1,3})[:：])?(\d{1,3}))?")


def _say_verses(match: Match[str]) -> str:
    name, chapter, verses = match["name"], match["chapter"], match["verses"]
    unit = "篇" if name.startswith("诗") else "章"

    def say(found: Match[str]) -> str:
        if not found[2]:
            return cardinal(found[1])
        if found[3]:
            return f"{cardinal(found[1])}节到{cardinal(found[3])}{unit}{cardinal(found[4])}"
        return f"{cardinal(found[1])}到{cardinal(found[4])}"

    return f"{name}{cardinal(chapter)}{unit}{_VERSES.sub(say, verses)}节"


VERSE_RULES: Rules = (
    (rf"(?P<name>(?:{_BOOKS})》?|(?<![㐀-鿿A-Za-z])(?P<short>{_SHORT}))\s?(?P<chapter>\d{{1,3}})\s?[:：]\s?"
     r"(?P<verses>\d{1,3}(?:\s?[-–—~～至到]\s?(?:\d{1,3}[:：])?\d{1,3}|[,，、]\s?\d{1,3}(?![\d:：节章年月日]))*)(?![\d:：])(?(short)(?![㐀-鿿]))",
     _say_verses),
)  # fmt: skip
