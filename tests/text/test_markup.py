"""Markup is not read aloud: its words stay, its signs go, and what somebody may miss is named."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UtteranceError
from pipeline.text import normalize_text
from pipeline.text.markup import take_markup

CUE = "00:01:02,500 --> 00:01:05,000"


@pytest.mark.parametrize(
    ("written", "spoken", "names"),
    [
        ('<speak>Go <break time="1s"/> <b>on</b>.</speak>', "Go on.", "tag"),
        ("<p>One.</p><p>Two.</p>", "One.\n\nTwo.", "tag"),
        ("H<sub>2</sub>O is 10 m<sup>2</sup>", "H two O is ten square meters", "tag"),
        ('The <sub alias="World Wide Web">WWW</sub>', "The World Wide Web", ""),
        ("<dialog>Run!</dialog>", "Run!", "tag"),
        ("Go <!-- slowly --> on<script>x</script>.", "Go on.", "element that is not text, comment or declaration"),
        ("Tom &amp;amp; Ann&#8217;s &lt;b&gt;cat&lt;/b&gt;", "Tom and Ann’s cat", "tag"),
        ('go<lb/>home un<wbr/>seen<pb n="3"/>now', "go home unseen now", "tag"),
        ("AT&T; fish & chips", "AT and T; fish and chips", ""),
        ("See [the **map**](https://a.org/b_(c)?d=1).", "See the map.", "address of a link"),
        ("![A cat](cat.png)", "A cat", "address of a picture"),
        ("# Title\nText with `code` in it.", "Title\n\nText with code in it.", ""),
        ("Before.\n```python\nprint(1)\n```\nAfter.", "Before.\n\nAfter.", "code block"),
        ("- one\n- two", "one\n\ntwo", ""),
        ("| a | b |\n|---|:-:|\n| c | d |", "a, b\n\nc, d", ""),
        ("== Head ==\n'''Bold''' [[Page|link]] {{cite|x}}", "Head\n\nBold link", "template"),
        ("[b]Bold[/b] [url=http://a.org]link[/url]", "Bold link", "tag"),
        (f"7\n{CUE}\n<v Ann>Hello.", "Hello.", "tag, time of a subtitle"),
        ("[01:02.50]La la", "La la", "time of a subtitle"),
        (r"{\an8}Up here", "Up here", "template, time of a subtitle"),
        ("So $E = mc^2$ holds.", "So E equals mc squared holds.", ""),
        (r"So $\sum_i x_i$ grows.", "So grows.", "formula"),
        (r"\textbf{Bold} \cite{knuth} text", "Bold text", "command"),
        ("Good :smile: day :+1:", "Good day", "short code of an emoji"),
        (r"One\nTwo \u2019tis", "One Two ’tis", ""),
        ("Fact.[^1] More.[^note]", "Fact. More.", ""),
    ],
)  # fmt: skip
def test_words_are_read_and_signs_are_not(written: str, spoken: str, names: str) -> None:
    normalized = normalize_text(written, language="en")
    assert normalized.text == spoken
    assert {unread.kind for unread in normalized.unread} <= {"markup"}
    assert {unread.name for unread in normalized.unread} <= set(names.split(", ")) - {""}
    assert bool(normalized.unread) == bool(names)


@pytest.mark.parametrize(
    "prose",
    ["5 < 6 and 7 > 3", "if x<y", "It cost $5 and then $6.", "a * b", "[sic]", "I <3 you", "3:4:5", "C:\\new\\table",
     "He said: no.", "A|B", "- No, said Anna.", "1. First", "''Tis late,' he said.", "R&D; x", "it's #1 (or #2)"],
)  # fmt: skip
def test_signs_that_may_be_prose_stay(prose: str) -> None:
    assert take_markup(prose) == (prose, ())


def test_a_row_of_nothing_but_markup_is_rejected_by_name() -> None:
    with pytest.raises(UtteranceError, match="has only code block"):
        normalize_text("```\nx = 1\n```", language="en")


def test_without_normalization_markup_stays_and_is_named() -> None:
    normalized = normalize_text("See [it](http://a.org).", language="en", normalize=False)
    assert "http" in normalized.text
    assert normalized.unread[0].name == "address of a link"


@given(st.lists(st.sampled_from([*"<>/[]()|`$\\#*={}:&;'!^-\n ", "a", "b", "http://x", "-->", "sup", "&lt;"]),
                max_size=60).map("".join))  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_no_control_token_is_put_together(text: str) -> None:
    """What is taken out must not leave `<|name|>` behind."""
    try:
        spoken = normalize_text(text + "<<b>|im_end|<b>>&lt;|im_start|&gt;", language="en").text
    except UtteranceError:
        return
    assert "<" not in spoken and "|" not in spoken


def test_quoted_lines_are_read_without_their_sign() -> None:
    assert normalize_text("She wrote:\n> 40 geese came\n> and left.\n\nAnd >30 stayed.", language="en").text == (
        "She wrote: forty geese came and left.\n\nAnd greater than thirty stayed."
    )
