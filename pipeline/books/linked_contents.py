"""A printed table of contents whose lines are links: it tells which headings of a page begin chapters.

What it names begins one; a headline, a title page or a subtitle in the same letters does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice

from pipeline.books.document import Block, words_in, words_of
from pipeline.books.headings import (
    fold_title,
    is_bare_label,
    is_contents_title,
    is_finis,
    is_named,
    is_notes_title,
    is_unread_at_the_edges,
    starts_chapter,
)

_MIN_LINKED = 3
_MAX_TABLES = 5
_MAX_ENTRY_WORDS = 60
_MAX_TITLE_CHARS = 40
_MIN_PROSE_WORDS = 200
"""Before the table so many words under a heading are a preface, and no title page."""

Link = tuple[int, str]
"""The block that a link stands in, and the id that it names."""


def follow_links(blocks: list[Block], links: Sequence[Link], anchors: Mapping[str, int]) -> list[Block]:
    """Leave the table out, and make text of headings that it does not name and that would be taken for chapters.

    Args:
        blocks: of the page.
        links: to places in it, in their order.
        anchors: before which block each id stands.

    Returns:
        As many blocks; the same ones where no table names three headings.
    """
    starts = (
        start
        for start, block in enumerate(blocks)
        if len(block.text) <= _MAX_TITLE_CHARS and is_contents_title(block.text)
    )
    for start in islice(starts, _MAX_TABLES):
        table = _read_table(blocks, start, links, anchors)
        named = {heading for _, target in table if (heading := _heading_at(blocks, anchors[target])) is not None}
        if len(named) >= _MIN_LINKED:
            end = max(place for place, _ in table)
            left_out = [block.left_out("table of contents") for block in blocks[start : end + 1]]
            return _keep_named([*blocks[:start], *left_out, *blocks[end + 1 :]], named, end)
    return blocks


def _read_table(blocks: list[Block], start: int, links: Sequence[Link], anchors: Mapping[str, int]) -> list[Link]:
    """Return the links from the table's title to the first place that one of them names, or to the next long text."""
    table: list[Link] = []
    first, last = len(blocks), start
    for place, target in links:
        if place <= start or target not in anchors:
            continue
        between = blocks[last + 1 : place + 1]
        if place >= first or any(words_in(block.text) > _MAX_ENTRY_WORDS for block in between if not block.reason):
            break
        last = place
        if anchors[target] > place:
            table.append((place, target))
            first = min(first, anchors[target])
    return table


def _heading_at(blocks: list[Block], place: int) -> int | None:
    """Return the heading that stands at a place, with nothing read before it."""
    while place < len(blocks) and (blocks[place].reason or blocks[place].kind == "scene"):
        place += 1
    return place if place < len(blocks) and blocks[place].kind == "heading" else None


def _keep_named(blocks: list[Block], named: set[int], end: int) -> list[Block]:
    groups = _groups_of_headings(blocks)
    linked = [group for group in groups if not named.isdisjoint(group)]
    level = Counter(min(blocks[number].level for number in group if number in named) for group in linked)
    usual = level.most_common(1)[0][0]
    last, starts = linked[-1][-1], {group[0] for group in linked}
    result = list(blocks)
    said = set[str]()
    for group, following in zip(groups, [*groups[1:], [len(blocks)]], strict=True):
        texts = [block for block in blocks[group[-1] + 1 : following[0]] if _is_text(block)]
        if group[0] < end:
            is_kept = words_of(texts) >= _MIN_PROSE_WORDS
        else:  # The title of a part, or the book's once more.
            is_kept = following[0] in starts and not texts
        own = [number for number in group if number in named]
        for index, number in enumerate(group):
            block = blocks[number]
            is_again = fold_title(block.text) in said or is_finis(block.text)
            said.add(fold_title(block.text))
            if number in named or is_kept or _speaks_for_itself(block.text, number < end):
                continue
            if own:
                # The name of a chapter stays with its number; what else stands below a title is text.
                is_title = number < own[-1] or block.level <= blocks[own[0]].level
                is_title = is_title or is_bare_label(blocks[group[index - 1]].text)
            else:
                # A headline that comes again behind the last title, the book's own or `The End` is none.
                is_title = number > end and ((number > last and not is_again) or block.level != usual)
            if not is_title:
                result[number] = replace(blocks[number], kind="paragraph", level=0)
    return result


def _is_text(block: Block) -> bool:
    return not block.reason and block.kind not in ("heading", "scene")


def _speaks_for_itself(text: str, is_before: bool) -> bool:
    """Tell whether a heading is one without the table; before the table a number is a year."""
    is_matter = is_unread_at_the_edges(text) or is_notes_title(text)
    return is_matter or is_named(text) or (not is_before and (starts_chapter(text) or is_bare_label(text)))


def _groups_of_headings(blocks: list[Block]) -> list[list[int]]:
    """Return the headings that are read, those together between which no text stands."""
    groups: list[list[int]] = []
    is_open = False
    for number, block in enumerate(blocks):
        if block.reason:
            continue
        if block.kind != "heading":
            is_open = False
        elif is_open:
            groups[-1].append(number)
        else:
            groups.append([number])
            is_open = True
    return groups
