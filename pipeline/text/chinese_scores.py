"""Chinese scores: `3-1` is 三比一 where a sentence is about a game."""

from __future__ import annotations

import re
from re import Match

from pipeline.text.chinese_numbers import cardinal

_SPORT = re.compile(
    "比分|取胜|获胜|战胜|击败|战平|负于|惜败|落败|输给|赢|领先|落后|首局|次局|决胜局|[一二三四五六七八九末首]局"
    "|[国德意巴英法荷韩日美中阿]队|主场|客场|半场"
    "|\\d\\s?比\\s?\\d|[男女][排篮足乒]|(?:[男女混]|混合)[单双]|抢七|局点|赛点|乒乓球|羽毛球|网球|[首本]回合|大胜|小胜|逆转|点球|总分|扳成|扳平|横扫|淘汰|晋级|球队|联队|[胜平负]了|险胜|完胜|[^\\d]队\\d|球赛|决赛|总比分"
    "|盘中|(?:中国|国足|日本|韩国|朝鲜|伊朗|伊拉克|沙特|卡塔尔|澳大利亚|巴西|阿根廷|乌拉圭|德国|法国|英格兰|西班牙"
    "|意大利|葡萄牙|荷兰|比利时|克罗地亚|俄罗斯|美国|墨西哥|加拿大)(?:男足|女足|男篮|女篮|男排|女排)?\\s?\\d{1,2}[-–:：]\\d{1,2}"
    "(?!\\d|日(?!本)|[年月个天人岁倍万亿米])"
)
# Of clubs, and of the words that name a club only beside a score.
_CLUBS = (
    "曼联|曼城|阿森纳|切尔西|利物浦|热刺|皇马|巴萨|马竞|拜仁|多特蒙?德?|尤文|国米|米兰|罗马|那不勒斯|大巴黎|巴黎|阿贾克斯"
    "|恒大|国安|申花|泰山|鲁能|海港|上港|三镇|建业|亚泰|蓉城|湖人|勇士|火箭|马刺|热火|凯尔特人|绿军|尼克斯|公牛|骑士"
    "|雄鹿|快船|太阳|掘金|独行侠|小牛|雷霆|灰熊|篮网|76人|开拓者|爵士|国王|猛龙|步行者|活塞|老鹰|黄蜂|魔术|奇才|森林狼"
    "|鹈鹕|广东|辽宁|北京|上海|浙江|新疆|山东|广厦|首钢"
)
_CLUBS_PLAY = re.compile(rf"(?:{_CLUBS})队?\s?\d{{1,3}}\s?[-–:：]\s?\d{{1,3}}\s?(?:{_CLUBS})")
_SENTENCE = re.compile(r"[^。！？\n]+")
# What is counted makes a span of it, not a score: 3-5天.
_SCORE = re.compile(
    r"(?<![\d.\-年月/])(\d{1,3})\s?[-–—:：]\s?(\d{1,3})(?![\d\-:：.%年月号点时]|日(?!本)|\s?(?:天|个|人|次|名|岁|米|分钟"
    r"|小时|[倍枚台辆架场轮家条只件项颗发艘]|周|楼|层|岁|万|亿|元|公里|kg|cm|(?:正式|准时)?(?:开始|开赛|开球|开打|打响|举行|进行)))"
)


def say_scores(text: str) -> str:
    """Read scores, sentence by sentence."""
    return _SENTENCE.sub(_say_sentence, text)


def _say_sentence(sentence: Match[str]) -> str:
    """Read `3-1` as 三比一 where the sentence is about a game."""
    if not (_SPORT.search(sentence[0]) or _CLUBS_PLAY.search(sentence[0])):
        return sentence[0]
    return _SCORE.sub(lambda score: f"{cardinal(score[1])}比{cardinal(score[2])}", sentence[0])
