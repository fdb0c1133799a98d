"""Read Markdown (CommonMark) by way of HTML, with what its front matter says of the book."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from pipeline.books.cleaning import hide_voice_marks
from pipeline.books.document import Block, Document, words_of
from pipeline.books.markup import read_html
from pipeline.config.yaml_reader import read_yaml
from pipeline.errors import ConfigError, ManifestError

_FRONT_MATTER = re.compile(r"---\n(.*?)\n(?:---|\.\.\.)\n", re.S)
_FOOTNOTE = re.compile(r"^\[\^[^\]\n]{1,200}\]:.*(?:\n(?:\n(?= {4}|\t))?(?: {2,}|\t).*)*$|\[\^[^\]\n]{1,200}\]", re.M)
_MAX_NESTING = 40
_MAX_FIRST_NUMBER = 100
_FIELDS = ("title", "author", "language")


def read_markdown(text: str, place: str) -> Document:
    """Read Markdown: CommonMark, with tables and struck words.

    It may begin with a block of `title`, `author`, `language` in YAML at its beginning.

    Raises:
        ManifestError: that block is not YAML or stands for too much, a voice mark has no name, or the text is over a
            limit.
    """
    fields: dict[str, str] = {}
    text = text.replace("\r\n", "\n")
    if match := _FRONT_MATTER.match(text):
        fields = _read_fields(match[1], f"{place}:1: the block between ---")
        text = text[match.end() :]
    # CommonMark knows no footnotes.
    notes = [
        Block("paragraph", match[0], reason="footnote" if "]:" in match[0] else "footnote mark")
        for match in _FOOTNOTE.finditer(text)
    ]
    text = _FOOTNOTE.sub("", text)
    document = read_html(_render(hide_voice_marks(text, place), place), place)
    document.blocks += notes
    document.num_words += words_of(notes)
    for name, value in fields.items():
        setattr(document, name, value)
    return document


def _render(text: str, place: str) -> str:
    from markdown_it import MarkdownIt

    # Indented lines are verse or a letter as likely as a program, which who writes one today puts between fences.
    parser = MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING}).enable(["table", "strikethrough"])
    parser.add_render_rule("code_block", _render_indented)
    environment: dict[str, Any] = {}
    tokens = parser.parse(text, environment)
    # The parser drops what is deeper, and says nothing.
    if any(token.nesting == 1 and token.level + 1 >= _MAX_NESTING for token in tokens):
        raise ManifestError(
            f"{place}: {_MAX_NESTING // 2} lists or {_MAX_NESTING} quotes within each other, or more; set the text out "
            "flatter"
        )
    _keep_numbers(tokens)
    return str(parser.renderer.render(tokens, parser.options, environment))


def _keep_numbers(tokens: Sequence[Any]) -> None:
    """Make paragraphs of a list whose numbers do not count: `2020. It was a year.` is a sentence."""
    opened: list[list[int]] = []
    for place, token in enumerate(tokens):
        if token.type in ("ordered_list_open", "bullet_list_open"):
            opened.append([place])
        elif token.type in ("list_item_open", "list_item_close"):
            opened[-1].append(place)
        elif token.type in ("ordered_list_close", "bullet_list_close"):
            places = [*opened.pop(), place]
            numbers = [int(tokens[at].info) for at in places if tokens[at].type == "list_item_open" and tokens[at].info]
            if token.type == "ordered_list_close" and not _do_count(numbers):
                _part_list(tokens, places)


def _do_count(numbers: Sequence[int]) -> bool:
    steps = {after - before for before, after in pairwise(numbers)}
    return len(numbers) > 1 and numbers[0] < _MAX_FIRST_NUMBER and steps in ({0}, {1})


def _part_list(tokens: Sequence[Any], places: Sequence[int]) -> None:
    from markdown_it.token import Token

    for token in tokens[places[0] : places[-1]]:
        if token.type in ("paragraph_open", "paragraph_close") and token.level == tokens[places[0]].level + 2:
            token.hidden = False
    for place in places:
        token = tokens[place]
        token.hidden = True
        if token.type != "list_item_open":
            continue
        number = f"{token.info}{token.markup}"
        if tokens[place + 1].type == "paragraph_open":
            tokens[place + 2].children.insert(0, Token("text", "", 0, content=f"{number} "))
        else:
            token.type, token.content = "html_block", f"<p>{number}</p>\n"


def _render_indented(self: Any, tokens: Sequence[Any], number: int, options: Any, env: Any) -> str:
    return f"<pre>{html.escape(tokens[number].content)}</pre>\n"


def _read_fields(text: str, place: str) -> dict[str, str]:
    try:
        found: Any = read_yaml(text, place, as_text=True)  # A title of 1984 or 007 is not a number.
    except ConfigError as error:
        raise ManifestError(str(error)) from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ManifestError(f"{place}: expected a mapping such as `title: Emma`, found a {type(found).__name__}")
    fields = {name: found[name] for name in _FIELDS if found.get(name)}
    for name, value in fields.items():
        if not isinstance(value, str):
            raise ManifestError(f"{place}: {name}: expected text, found a {type(value).__name__}")
    return fields
