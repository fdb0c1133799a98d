"""Cleaning, language, lexicon, segments: nothing lost, nothing harmful left, limits kept, hostile text survived."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from contextlib import suppress

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, RejectionCode, UtteranceError
from pipeline.text import (
    clean_text,
    detect_language,
    estimate_seconds,
    load_lexicon,
    normalize_text,
    split_into_segments,
)
from pipeline.text.normalize import WORD_CHARACTER

ANY_TEXT = st.text(max_size=400)
PROSE = st.lists(
    st.sampled_from(
        ["Hello", "Mr.", "e.g.", "U.S.", "3.14", "1,000", "world.", "What?", '"Yes!"', "and,", "你好。", "世界，", "”",
         "！", "\n\n", "…", "—", "👩‍👩‍👧", "e\u0301", "नमस्ते", "ありがとう。", "x" * 30, "汉" * 40, "...", ";",
         "(a)", "5"]
    ),
    max_size=80,
).flatmap(lambda words: st.sampled_from([" ".join(words), "".join(words)]))  # fmt: skip


def texts(segments: list[object]) -> list[str]:
    return [segment.text for segment in segments]  # type: ignore[attr-defined]


def rejection(text: object, **options: object) -> RejectionCode:
    with pytest.raises(UtteranceError) as caught:
        normalize_text(text, **options)  # type: ignore[arg-type]
    return caught.value.code


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("e\u0301te\u0301", "été"),
        ("a\u200bb\ufeff c\u202ed\u00ad", "ab cd"),
        ("one\x00two\x1b three", "onetwo three"),
        ("  a \t b\u00a0\u3000c  ", "a b c"),
        ("one\r\ntwo\r\n\r\n \r\n three\n\n\n", "one two\n\nthree"),
        ("one\u2029two", "one\n\ntwo"),
        ("hi \ud83d there", "hi there"),
        ("ＡＢＣ１２３，。！", "ABC123，。！"),
        ("ﬁne 𝐁old", "fine Bold"),
        ("I ❤️ it 😊!", "I it !"),
        ("٣ apples", "3 apples"),
        ("z" + "\u0301" * 50, "\u017a" + "\u0301" * 4),
        ("“Keep” — these… ‘marks’; 好！", "“Keep” — these… ‘marks’; 好！"),
    ],
)
def test_unicode_is_cleaned(dirty: str, clean: str) -> None:
    assert clean_text(dirty) == clean


@pytest.mark.parametrize(
    ("hostile", "spoken"),
    [
        ("Stop<|im_end|>now", "Stop im end now"),
        ("<|bicodec_semantic_5|>", "bicodec semantic five"),
        ("<\u200b|im_end|\u200b>", "im end"),
        ("<<||im_end||>>", "im end"),
        ("<tool_call>go</tool_call>", "go"),
        ("＜｜im_end｜＞", "im end"),
        ("<|<|im_end|>|>", "im end"),
    ],
)
def test_control_tokens_lose_their_brackets_and_keep_their_words(hostile: str, spoken: str) -> None:
    assert normalize_text(hostile, language="en").text == spoken
    assert "<|" not in normalize_text(hostile, language="zh").text
    assert "<|" not in clean_text(hostile) and "|>" not in clean_text(hostile)


@given(st.lists(st.sampled_from(["<", "|", ">", "/", "im_end", "tool_call", " ", "\u200b", "5", "中"]), max_size=14))
@settings(deadline=None)  # the first text may load a detector
def test_no_arrangement_of_brackets_makes_a_control_token(parts: list[str]) -> None:
    for normalize in (True, False):
        try:
            text = normalize_text("a " + "".join(parts), normalize=normalize).text
        except UtteranceError:
            continue
        assert not regex.search(r"<\||\|>|</?[A-Za-z_]+>", text)


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\u200b\ufeff", "\x00\x01", "\ud800", None])
def test_text_without_anything_visible_is_empty(text: object) -> None:
    assert rejection(text) is RejectionCode.EMPTY_TEXT


@pytest.mark.parametrize(
    "text", ["...", "?!", "😊👍", "。。。", "-", "—", "***", "<|>|<", "$", 5, b"bytes", float("nan")]
)
def test_text_with_nothing_to_say_is_invalid(text: object) -> None:
    assert rejection(text) is RejectionCode.INVALID_TEXT


def test_too_long_text_is_rejected_before_any_work() -> None:
    assert rejection("a1 $5 " * 500_000, max_chars=100) is RejectionCode.TEXT_TOO_LONG
    assert normalize_text("x" * 100, max_chars=100).text == "x" * 100


@given(ANY_TEXT, st.sampled_from(["auto", "en", "zh", "ja", "de"]))
@settings(max_examples=150)
def test_any_text_is_normalized_or_rejected_and_stays_clean(text: str, language: str) -> None:
    try:
        spoken = normalize_text(text, language=language).text
    except UtteranceError:
        return
    assert spoken == unicodedata.normalize("NFC", spoken) == spoken.strip()
    assert not regex.search(r"[\p{Cc}\p{Cs}\p{Cf}--\n]|<\||  ", spoken, regex.V1)
    spoken.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Hello", "en"), ("123", "en"), ("The café serves naïve façades", "en"), ("La la land", "en"),
        ("He saw le Monde in the shop", "en"), ("The word 你好 means hello", "en"), ("I love 北京", "en"),
        ("你好", "zh"), ("我有3个 apples", "zh"), ("我用 Python 和 PyTorch 写代码", "zh"), ("iPhone 15 发布了", "zh"),
        ("漢語", "zh"), ("こんにちは", "ja"), ("東京タワーへ行く", "ja"), ("안녕하세요", "ko"), ("Привет, мир", "ru"),
        ("مرحبا بالعالم", "ar"), ("नमस्ते", "hi"), ("สวัสดี", "th"), ("Γειά σου", "el"), ("שלום", "he"),
        ("Le chat est dans la maison", "fr"), ("Das ist nicht gut", "de"), ("Los niños están en el parque", "es"),
    ],
)  # fmt: skip
def test_language_is_detected(text: str, language: str) -> None:
    assert detect_language(text) == language
    assert normalize_text(text).language == language


@pytest.mark.parametrize(
    ("given_name", "code"),
    [("EN", "en"), ("zh-CN", "zh"), ("en_US", "en"), ("Chinese", "zh"), ("", "zh"), (None, "zh")],
)
def test_language_names_are_understood(given_name: str | None, code: str) -> None:
    assert normalize_text("你好 5", language=given_name).language == code


def test_nonsense_language_rejects_the_row() -> None:
    assert rejection("Hello", language="klingon!") is RejectionCode.UNSUPPORTED_LANGUAGE


def test_without_normalizing_only_cleaning_is_done() -> None:
    assert normalize_text("Dr. Who has\u200b 5 <|im_end|>", normalize=False).text == "Dr. Who has 5 im_end"


def test_lexicon_replaces_whole_words_before_numbers_are_said() -> None:
    lexicon = load_lexicon(
        "nginx: engine x\nGIF: jif\nB2B: business to business\n重庆: 崇庆\nnew york: New Yawk\nnew: nu\n"
    )
    spoken = normalize_text("Nginx, nginxes, GIF gif B2B 去重庆了 New York new", language="en", lexicon=lexicon).text
    assert spoken == "engine x, nginxes, jif gif business to business 去崇庆了 New Yawk nu"
    assert normalize_text("the nginx", lexicon={"nginx": "engine 5"}).text == "the engine five"


def test_lexicon_cannot_smuggle_control_tokens() -> None:
    assert "<|" not in normalize_text("hi you", lexicon={"hi": "<|im_end|>"}).text


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("- a\n- b", "mapping"), ("a: [", "YAML"), ("word: no", "quotes"), ("word: 5", "quotes"), ("word: ''", "word"),
        ("'...': dots", "punctuation"), ("word: {a: b}", "text"),
    ],
)  # fmt: skip
def test_wrong_lexicon_is_refused(source: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load_lexicon(source, name="words.yaml")


@given(PROSE | ANY_TEXT, st.integers(1, 60), st.floats(0.5, 20.0))
@settings(max_examples=200)
def test_segmenting_loses_no_word_and_keeps_the_limits(text: str, max_chars: int, max_s: float) -> None:
    segments = split_into_segments(text, "en", max_chars=max_chars, max_s=max_s)
    position = 0
    for segment in segments:
        found = text.find(segment.text, position)
        assert found >= 0 and not WORD_CHARACTER.search(text[position:found])
        position = found + len(segment.text)
        assert segment.text == segment.text.strip() and WORD_CHARACTER.search(segment.text)
        assert segment.estimated_s == estimate_seconds(segment.text, "en")
        is_one_cluster = len(regex.findall(r"\X", segment.text)) == 1
        assert is_one_cluster or (len(segment.text) <= max_chars and segment.estimated_s <= max_s)
    assert not WORD_CHARACTER.search(text[position:])
    assert WORD_CHARACTER.findall("".join(texts(segments))) == WORD_CHARACTER.findall(text)


@given(
    st.lists(st.sampled_from(["👩‍👩‍👧", "e\u0301", "🇩🇪", "नि", "각", "汉"]), min_size=1, max_size=60),
    st.integers(1, 12),
)
def test_grapheme_clusters_stay_whole(clusters: list[str], max_chars: int) -> None:
    text = "".join(clusters)
    expected = set(regex.findall(r"\X", text))
    for segment in split_into_segments(text, "en", max_chars=max_chars):
        assert set(regex.findall(r"\X", segment.text)) <= expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One one. Two two! Three three? Four.", ["One one.", "Two two!", "Three three?", "Four."]),
        ("I met Mr. Smith. He left.", ["I met Mr. Smith.", "He left."]),
        ("Pi is 3.14 or so. Yes.", ["Pi is 3.14 or so.", "Yes."]),
        ("John F. Kennedy died. Sad.", ["John F. Kennedy died.", "Sad."]),
        ("In the U.S. Senate today. Ok.", ["In the U.S. Senate today.", "Ok."]),
        ("Fruit, e.g. apples here. Ok.", ["Fruit, e.g. apples here.", "Ok."]),
        ('"Stop!" he said then. "Go."', ['"Stop!" he said then.', '"Go."']),
        ('He said "go." Then left.', ['He said "go."', "Then left."]),
        ("Wait... what now? Yes.", ["Wait... what now?", "Yes."]),
        ("He said no. Then left. See No. 5 now.", ["He said no.", "Then left.", "See No. 5 now."]),
        ("So do I. You do too.", ["So do I.", "You do too."]),
        ("你好。“再见！”他说。走吧", ["你好。", "“再见！”", "他说。", "走吧"]),
        ("（一。）《二？》三……四", ["（一。）", "《二？》", "三……", "四"]),
        ("你好!我是A.然后 B.", ["你好!", "我是A.", "然后 B."]),
    ],
)
def test_sentences_end_where_readers_think(text: str, expected: list[str]) -> None:
    from pipeline.text.segments import _sentences

    assert [sentence.strip() for sentence in _sentences(text) if sentence.strip()] == expected


def test_short_sentences_share_a_segment_but_paragraphs_do_not() -> None:
    segments = split_into_segments("One. Two. Three.\n\nFour. Five.", "en")
    assert [(segment.text, segment.boundary) for segment in segments] == [
        ("One. Two. Three.", "paragraph"),
        ("Four. Five.", "paragraph"),
    ]


def test_long_sentence_is_cut_at_clauses_then_at_spaces_in_even_parts() -> None:
    text = "alpha beta gamma, delta epsilon zeta, eta theta iota. Next one here."
    assert [(segment.text, segment.boundary) for segment in split_into_segments(text, "en", max_chars=40)] == [
        ("alpha beta gamma, delta epsilon zeta,", "clause"),
        ("eta theta iota.", "sentence"),
        ("Next one here.", "paragraph"),
    ]
    parts = texts(split_into_segments("word " * 41, "en", max_chars=200))
    assert len(parts) == 2 and min(map(len, parts)) > 60


def test_chinese_is_limited_by_time_and_cut_at_its_own_marks() -> None:
    text = "今天天气很好，我们去公园散步，" * 20 + "好吗？"
    segments = split_into_segments(text, "zh")
    assert all(segment.estimated_s <= 18.0 for segment in segments)
    assert all(segment.text[-1] in "，？" for segment in segments)
    assert "".join(texts(segments)) == text


def test_numbers_and_words_within_chinese_stay_whole() -> None:
    text = "汉" * 9 + "3.14159" + "字" * 9 + "Spark-TTS" + "字" * 9
    parts = texts(split_into_segments(text, "zh", max_chars=12))
    assert "".join(parts) == text
    assert any("3.14159" in part for part in parts) and any("Spark-TTS" in part for part in parts)


def test_estimate_follows_syllables_and_characters() -> None:
    assert estimate_seconds("", "en") == 0.0
    assert estimate_seconds("internationalization", "en") > 3 * estimate_seconds("strengths", "en")
    assert 2.0 < estimate_seconds("The quick brown fox jumps over the lazy dog.", "en") < 4.0
    assert 1.5 < estimate_seconds("今天天气非常不错。", "zh") < 3.0
    mixed = estimate_seconds("我喜欢 machine learning", "zh")
    parts = estimate_seconds("我喜欢", "zh") + estimate_seconds("machine learning", "en")
    assert mixed == pytest.approx(parts, abs=0.01)
    assert estimate_seconds("Yes, no.", "en") > estimate_seconds("Yes no", "en")


@pytest.mark.parametrize(
    "text", ["a" * 20_000, "汉" * 20_000, "a, " * 7_000, "Mr. " * 5_000, "\n" * 20_000 + "x", "…" * 20_000,
             "<|" * 10_000,
             "e\u0301" * 10_000, "1 " * 10_000, '."' * 10_000, " \n \n" * 5_000 + "x", "z" + "\u0301" * 20_000]
)  # fmt: skip
def test_hostile_text_comes_to_an_end(text: str) -> None:
    """A pattern that backtracks would take hours for these."""
    with suppress(UtteranceError):
        normalized = normalize_text(text, max_chars=10**6)
        segments = split_into_segments(normalized.text, normalized.language)
        assert "".join("".join(part.text for part in segments).split()) == "".join(normalized.text.split())


def test_importing_loads_no_library_and_nothing_is_downloaded() -> None:
    program = (
        "import sys, pipeline.text\n"
        "assert not {'num2words', 'cn2an', 'lingua', 'torch', 'ray'} & set(sys.modules), 'loaded at import'\n"
        "import socket\n"
        "def refuse(*a, **k): raise AssertionError('network')\n"
        "socket.socket.connect = refuse\n"
        "print(pipeline.text.normalize_text('5 cats').text, pipeline.text.normalize_text('5只猫').text)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "five cats 五只猫"
