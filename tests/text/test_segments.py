"""Where a text may be cut: never in a number, also a spelled-out one, and never inside a title."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.text import normalize_text, split_into_segments

ENGLISH_NUMBERS = st.one_of(
    st.integers(0, 10**9).map(str),
    st.integers(10**3, 10**9).map("{:,}".format),
    st.floats(0, 1e4).map("{:.3f}".format),
    st.integers(1100, 2099).map("in {}".format),
    st.just("555-0142"),
)
CHINESE_NUMBERS = st.one_of(st.integers(10, 10**9).map(str), st.just("2024年12月25日"), st.just("13800138000"))
TITLES = st.sampled_from(["《摔跤吧！爸爸》", "《你好，李焕英》", "《谁先爱上他的？》", "〈一。二〉"])


def cuts(text: str, parts: list[str]) -> list[int]:
    """Return where each part but the first begins; nothing but white space lies between two."""
    places, position = [], 0
    for part in parts:
        start = text.index(part, position)
        assert not text[position:start].strip()
        if position:
            places.append(start)
        position = start + len(part)
    assert not text[position:].strip()
    return places


@given(
    st.lists(st.sampled_from(["he went", "and then", "they saw", "boats"]) | ENGLISH_NUMBERS, min_size=1, max_size=12)
)
@settings(max_examples=200, deadline=None)
def test_a_spelled_out_number_is_not_cut(words: list[str]) -> None:
    text = normalize_text("So " + " was ".join(words), language="en").text
    parts = [segment.text for segment in split_into_segments(text, "en", max_chars=130)]
    whole = [normalize_text(word, language="en").text.removeprefix("in ") for word in words]
    position = 0
    places = cuts(text, parts)
    for word in filter(re.compile("-|hundred|point|five, |[a-z]+teen ").search, whole):
        start = text.index(word, position)
        position = start + len(word)
        assert not [place for place in places if start < place < position], (word, parts)


@given(
    st.lists(
        st.sampled_from(["他们去了", "看见", "然后", "很好，"]) | CHINESE_NUMBERS | TITLES, min_size=1, max_size=16
    )
)
@settings(max_examples=200, deadline=None)
def test_chinese_numbers_and_titles_are_not_cut(words: list[str]) -> None:
    text = normalize_text("说" + "又".join(words), language="zh").text
    parts = [segment.text for segment in split_into_segments(text, "zh", max_chars=40)]
    places = cuts(text, parts)
    whole = re.finditer(r"《[^》]*》|〈[^〉]*〉|[零一二三四五六七八九十百千万亿两点幺]{2,}", text)
    for match in whole:
        assert not [place for place in places if match.start() < place < match.end()], (match[0], parts)


@pytest.mark.parametrize(
    ("text", "language", "parts"),
    [
        ("他看了《摔跤吧！爸爸》。很好。", "zh", ["他看了《摔跤吧！爸爸》。", "很好。"]),
        ("他说：“你好……。”然后走了。", "zh", ["他说：“你好……。”", "然后走了。"]),
        ("他说“走吧。”。然后去了。", "zh", ["他说“走吧。”。", "然后去了。"]),
        ("他喊：“救命！！！”没人理他。", "zh", ["他喊：“救命！！！”", "没人理他。"]),
        ("“I see…” he said. “I see you…” He left.", "en", ["“I see…” he said.", "“I see you…”", "He left."]),
    ],
)
def test_a_closing_mark_stays_with_its_sentence(text: str, language: str, parts: list[str]) -> None:
    longest = max(map(len, parts))
    assert [segment.text for segment in split_into_segments(text, language, max_chars=longest)] == parts


def test_a_number_longer_than_the_limit_is_cut_between_its_words() -> None:
    text = normalize_text("987,654,321,987", language="en").text
    parts = [segment.text for segment in split_into_segments(text, "en", max_chars=40)]
    assert " ".join(parts) == text and len(parts) > 2
