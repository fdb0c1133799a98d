r"""Markup in a row's text: what shapes a page, and nobody says: tags, entities, Markdown, wiki text, BBCode, subtitles.

Its words stay, its signs go; whatever carried a meaning that is lost (a link's address, code, a formula) is named.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from re import Match

from pipeline.text.readable import Unread

_MAX_NAMED = 20
_MAX_SHOWN_CHARS = 40
_MAY_HAVE = re.compile(r"[<&\\`$\[{|]|^[ \t]*+(?:[-*+#>=]|\d++[.)])|''|-->|==|::|:[a-z0-9_+-]+:", re.M)

_INLINE = (
    "a abbr acronym b bdi bdo big cite code data del dfn em emphasis font i ins kbd label mark phoneme prosody q rb rt "
    "rp ruby s samp say-as small span strike strong sub sup time tt u var v voice w c lang audio mstts:express-as "
    "amazon:effect"
).split()
_BREAKING = (
    "address article aside blockquote body br break button caption center col colgroup dd details div dl dt fieldset "
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 head header hr html img input li link main meta nav object ol "
    "option p pre section select sentence speak source summary table tbody td textarea tfoot th thead title tr track "
    "ul video iframe svg canvas"
).split()
_ATTRIBUTES = r"(?:\s+[\w:.-]{1,40}\s?=\s?(?:\"[^\"<>]{0,2000}\"|'[^'<>]{0,2000}'|[^\s\"'<>]{1,500})){0,20}+"
_NAMES = "|".join(sorted((re.escape(name) for name in (*_INLINE, *_BREAKING)), key=len, reverse=True))
_UNSPOKEN_ELEMENT = re.compile(r"<(script|style|head|template)\b[^<>]{0,2000}>.{0,2000}?</\1\s?>", re.I | re.S)
_DECLARATION = re.compile(r"<!--.{0,2000}?-->|<!\[CDATA\[|\]\]>|<[!?](?:xml|doctype)\b[^<>]{0,2000}>", re.I | re.S)
_TAG = re.compile(
    rf"<voice\s?:[^<>\n]{{1,80}}>|</?(?P<name>{_NAMES})(?:\.[\w.-]{{1,40}})?{_ATTRIBUTES}\s?/?>|<v(?:\.[\w.]{{1,40}})?\s[^<>\n]{{1,60}}>"
    rf"|<[A-Za-z][\w:.-]{{0,40}}+(?=[^<>]*=|\s?/){_ATTRIBUTES}\s?/?>|</[A-Za-z][\w:.-]{{0,40}}\s?>",
    re.I,
)
_OPENING, _CLOSING = re.compile(r"<(?P<name>[A-Za-z][\w:.-]{0,40})>"), re.compile(r"</([A-Za-z][\w:.-]{0,40})\s?>")
_SUBSTITUTE = re.compile(r"<sub\s+alias\s?=\s?[\"']([^\"'<>]{1,200})[\"']\s?>[^<>]{0,200}</sub\s?>", re.I)
_RAISED = re.compile(r"<sup>\s?([0-9]{1,3})\s?</sup>", re.I)
_RAISE = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_NAMED_AFTER, _NAMED_BEFORE = re.compile(r" (?:tag|element)s?\b"), re.compile(r"\b(?:tag|element)s? $")
_IS_INLINE = frozenset(_INLINE)

_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_ESCAPE = re.compile(r"((?:\\u[0-9A-Fa-f]{4})+)|(?<![A-Za-z]:)(?<!\\)\\[nrt](?![a-z_\\])|\\(?=[\"'*_#`\[\]{}$&%~|>])")
_FENCE = re.compile(r"^[ \t]{0,3}(`{3,}|~{3,})[^\n`]{0,80}\n.*?(?:^[ \t]{0,3}\1[`~]*[ \t]*$|\Z)", re.M | re.S)
_CODE_SPAN = re.compile(r"(`{1,2})(?=\S)([^`\n]{1,400})(?<=\S)\1")
_ROLE = re.compile(r"(?<![\w:]):[a-z][\w:+.-]{1,30}:(?=`)")
_LINK = re.compile(
    r"(!?)\[([^\[\]]{0,500})\]\(\s?<?([^\s()<>]{0,1000}(?:\([^\s()]{0,200}\)[^\s()]{0,200})?)>?"
    r"(?:\s+\"[^\"]{0,200}\")?\s?\)"
)
_REFERENCE = re.compile(r"^[ \t]{0,3}\[(?!\^)[^\[\]\n]{1,100}\]:[ \t]+\S+.*$", re.M)
_AUTOLINK = re.compile(r"<((?:https?|ftp|mailto):[^\s<>]{1,1000})>", re.I)
_TABLE_RULE = re.compile(r"^[ \t]*+(?:\|[ \t]*+)?:?-++:?[ \t]*+(?:\|[ \t]*+:?-++:?[ \t]*+)+\|?[ \t]*+$", re.M)
_TABLE_ROW = re.compile(r"^[ \t]*+\|([^\n]*\S[^\n]*)$", re.M)
_HEADING = re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+([^\n]*)$", re.M)
_WIKI_HEADING = re.compile(r"^[ \t]*(={2,6})[ \t]*([^=\n]{1,200}?)[ \t]*\1[ \t]*$|==([^=\n]{1,100})==", re.M)
_QUOTED_LINE = re.compile(r"^[ \t]{0,8}>(?:[ \t]?>){0,8}[ \t]++(?=\S)", re.M)
_BULLET = re.compile(r"^[ \t]{0,8}[-*+•][ \t]+(?:\[[ xX]\][ \t]+)?(?=\S)", re.M)
_NUMBERED = re.compile(r"^(?=[ \t]{0,8}\d{1,3}[.)][ \t]+\S)", re.M)
_WIKI_LINK = re.compile(r"\[\[(?:[^\[\]|\n]{1,200}\|)?([^\[\]|\n]{1,200})\]\]")
_TEMPLATE = re.compile(r"\{\{[^{}\n]{1,500}\}\}")
_WIKI_QUOTES = re.compile(r"(?<!')('{2,5})(?=[^\s'])([^\n]{1,300}?)(?<=[^\s'])\1(?!')")
_BB = r"b|i|u|s|url|img|quote|code|color|size|list|center|spoiler|font|left|right|highlight"
_BBCODE = re.compile(rf"\[({_BB})(?:=[^\[\]\n]{{1,300}})?\](?=[^\0]{{0,1000}}?\[/\1\])", re.I)
_BBCODE_END = re.compile(rf"\[/(?:{_BB})\]", re.I)
_BBCODE_UNREAD = re.compile(r"\[(img|code)(?:=[^\[\]\n]{1,300})?\][^\[\]]{0,1000}\[/\1\]", re.I)
_TIME = r"(?:\d{1,3}:)?\d{1,2}:\d\d[.,]\d{3}"
_CUE = re.compile(
    rf"(?:^[ \t]*\d{{1,6}}[ \t]*\n)?^[ \t]*{_TIME}[ \t]+-->[ \t]+{_TIME}[^\n]*$"
    r"|^WEBVTT\b[^\n]*$|^\[\d{1,3}:\d\d(?:[.:]\d{1,3})?\]|\{\\[a-z]{1,4}\d?[^{}\n]{0,100}\}",
    re.M,
)
_SHORT_CODE = re.compile(r"(?<![\w:]):(?:[a-z][a-z0-9_-]{1,30}|[+-]1):(?![\w:`])")
_FORMULA = re.compile(
    r"\$\$(?=[^$]*[\\^_=])[^$]{1,500}\$\$|\\\(.{1,500}?\\\)|\\\[.{1,500}?\\\]|\\begin\{(\w{1,20}\*?)\}.{1,2000}?\\end\{\1\}"
    r"|(?<![\w$\\])\$(?=[^\s$])(?:[A-Za-z]|(?=[^$\n]*[\\^_=])[^$\n]{1,200}?)(?<=\S)\$(?![\w$])",
    re.S,
)
_PLAIN_FORMULA = re.compile(r"[\w\s.,+\-=<>()/^{}*]+")
_POWER = re.compile(r"\^(?:\{[^{}^_]{1,20}\}|[\w*])")
_LOWERED = re.compile(r"(?<=[A-Za-z])_(?:\{(\w{1,8})\}|(\w))")
_COMMAND = re.compile(
    r"\\(cite\w{0,8}|ref|label|eqref|pageref|includegraphics|usepackage|documentclass|input|bibliography)\*?"
    r"(?:\[[^\[\]]{0,200}\])?\{[^{}]{0,500}\}|\\[A-Za-z]{2,20}\*?(?=\{([^{}]{0,2000})\})"
)


def take_markup(text: str) -> tuple[str, tuple[Unread, ...]]:
    """Return a text without its markup, and what of that somebody may miss.

    Emphasis, headings, lists, tables and quotes are read without their signs, a table row by row. Left out and named
    are tags, code blocks, addresses of links, templates, formulas with commands, times of subtitles. Nothing is done to
    signs that may be prose: `5 < 6`, `$5`, `[sic]`, `a * b`.
    """
    if not _MAY_HAVE.search(text):
        return text, ()
    return _Markup().take(text)


def decode_entities(text: str) -> str:
    """Return a text with what HTML's entities stand for, also of those that were escaped twice."""
    for _ in range(3):
        if "&" not in text or not _ENTITY.search(text):
            break
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    return text


class _Markup:
    """Takes markup out of one text, and keeps what it was."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], Unread] = {}

    def take(self, text: str) -> tuple[str, tuple[Unread, ...]]:
        """Return the text and what of it is not spoken; whole blocks first, so that nothing in them is looked at."""
        for sign, steps in _STEPS:
            if sign in text:
                for step in steps:
                    text = step(self, text)
        return text, tuple(self.found.values())

    def drop(self, name: str, by: str = " ") -> Callable[[Match[str]], str]:
        """Return what puts something in the place of a match, and names it."""

        def put(match: Match[str]) -> str:
            self.name(match[0], name)
            return by

        return put

    def name(self, markup: str, name: str) -> None:
        """Keep what is not spoken; nothing after the first twenty."""
        shown = " ".join(markup.split())[:_MAX_SHOWN_CHARS]
        if len(self.found) < _MAX_NAMED:
            self.found.setdefault((name, shown), Unread("markup", shown, name))

    def tags(self, text: str) -> str:
        text = _UNSPOKEN_ELEMENT.sub(self.drop("element that is not text"), text)
        text = _DECLARATION.sub(self.drop("comment or declaration"), text)
        text = _AUTOLINK.sub(r"\1", text)
        text = _SUBSTITUTE.sub(r"\1", text)
        text = _RAISED.sub(lambda match: match[1].translate(_RAISE), text)
        closed = {found.lower() for found in _CLOSING.findall(text)}
        text = _OPENING.sub(lambda match: self._take_tag(match) if match["name"].lower() in closed else match[0], text)
        return _TAG.sub(self._take_tag, text)

    def _take_tag(self, match: Match[str]) -> str:
        if match["name"] and (
            _NAMED_AFTER.match(match.string, match.end())
            or _NAMED_BEFORE.search(match.string[max(0, match.start() - 12) : match.start()])
        ):
            return match[0].strip("</>")  # Somebody writes of it.
        if not match[0].startswith("</"):
            self.name(match[0], "tag")
        name = (match["name"] or "").lower()
        if name in ("p", "div", "li", "tr") or re.fullmatch(r"h[1-6]", name):
            return "\n\n"
        if not name and match[0].endswith("/>") and not match[0].lower().startswith("<wbr"):
            return " "  # An unknown mark between two words, as <lb/> or <pb n="3"/>.
        # What is set within a word, as in H<sub>2</sub>O, does not part it.
        return "" if name in _IS_INLINE or not name else ", " if name in ("td", "th") and "/" in match[0][:2] else " "

    def code(self, text: str) -> str:
        text = _FENCE.sub(self.drop("code block", "\n\n"), text)
        text = _ROLE.sub("", text)
        return _CODE_SPAN.sub(r"\2", text)

    def formulas(self, text: str) -> str:
        return _FORMULA.sub(self._take_formula, text)

    def _take_formula(self, match: Match[str]) -> str:
        inner = re.sub(r"^(?:\$\$?|\\[(\[])|(?:\$\$?|\\[)\]])$", "", match[0])
        if match[1] is None and _PLAIN_FORMULA.fullmatch(inner):
            lowered = _LOWERED.sub(lambda sign: f" {sign[1] or sign[2]}", inner)
            if not re.search(r"[\^{}_]", _POWER.sub("", lowered)):
                return lowered
        self.name(match[0], "formula")
        return " "

    def commands(self, text: str) -> str:
        for _ in range(3):  # Commands within commands.
            text, num_found = _COMMAND.subn(self._take_command, text)
            if not num_found:
                break
        return _ESCAPE.sub(_take_escape, text)

    def _take_command(self, match: Match[str]) -> str:
        self.name(match[0], "command")
        return "" if match[1] else " "

    def links(self, text: str) -> str:
        text = _BBCODE_UNREAD.sub(self.drop("code or picture"), text)
        text = _CUE.sub(self.drop("time of a subtitle"), text)
        text = _WIKI_LINK.sub(r"\1", text)
        text = _REFERENCE.sub(self.drop("address of a link"), text)
        text = _LINK.sub(self._take_link, text)
        if "[/" in text:
            text = _BBCODE.sub(self.drop("tag", ""), text)
            text = _BBCODE_END.sub("", text)
        return text

    def _take_link(self, match: Match[str]) -> str:
        if match[3]:
            self.name(match[3], "address of a picture" if match[1] else "address of a link")
        return match[2]

    def cues(self, text: str) -> str:
        return _CUE.sub(self.drop("time of a subtitle", ""), text)

    def templates(self, text: str) -> str:
        return _TEMPLATE.sub(self.drop("template"), self.cues(text))

    def tables(self, text: str) -> str:
        if not _TABLE_RULE.search(text) and len(_TABLE_ROW.findall(text)) < 2:
            return text
        return _TABLE_ROW.sub(_read_row, _TABLE_RULE.sub("", text))

    def headings(self, text: str) -> str:
        return _HEADING.sub(lambda match: "\n{}\n\n".format(match[1].rstrip(" \t#")), text)

    def wiki_headings(self, text: str) -> str:
        return _WIKI_HEADING.sub(lambda match: match[3] or f"\n{match[2]}\n\n", text)

    def quoted_lines(self, text: str) -> str:
        # A line that begins with `> 5` may compare, unless other lines are quoted, too.
        quoted = _QUOTED_LINE.findall(text)
        return text if len(quoted) == 1 and re.match(r"\s*>\s*\d", text) else _QUOTED_LINE.sub("", text)

    def quotes(self, text: str) -> str:
        for _ in range(2):  # Italics within bold.
            text = _WIKI_QUOTES.sub(r"\2", text)
        return text

    def short_codes(self, text: str) -> str:
        return _SHORT_CODE.sub(self.drop("short code of an emoji"), text)

    def lists(self, text: str) -> str:
        if len(_BULLET.findall(text)) > 1:
            text = _BULLET.sub("\n", text)
        if len(_NUMBERED.findall(text)) > 1:
            text = _NUMBERED.sub("\n", text)
        return text


_STEPS: tuple[tuple[str, tuple[Callable[[_Markup, str], str], ...]], ...] = (
    ("`", (_Markup.code,)),
    ("~~~", (_Markup.code,)),
    ("<", (_Markup.tags,)),
    ("-->", (_Markup.cues,)),
    (">", (_Markup.quoted_lines,)),
    ("$", (_Markup.formulas,)),
    ("\\", (_Markup.formulas, _Markup.templates, _Markup.commands)),
    ("{{", (_Markup.templates,)),
    ("[", (_Markup.links,)),
    ("|", (_Markup.tables,)),
    ("#", (_Markup.headings,)),
    ("==", (_Markup.wiki_headings,)),
    ("''", (_Markup.quotes,)),
    (":", (_Markup.short_codes,)),
    ("\n", (_Markup.lists,)),
)
"""By a sign that must be there, in their order."""


def _take_escape(match: Match[str]) -> str:
    if match[1]:
        return bytes.fromhex(match[1].replace("\\u", "")).decode("utf-16-be", "replace")
    return "\n" if match[0] in ("\\n", "\\r", "\\t") else ""


def _read_row(match: Match[str]) -> str:
    cells = ", ".join(cell.strip() for cell in match[1].split("|") if cell.strip())
    return f"\n{cells}\n" if cells else ""
