"""What is read of a book and what is not, by part and reason; and when that is so much that somebody must look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pipeline.books.chapters import Split
from pipeline.books.document import Document, words_in
from pipeline.books.limits import cut_title
from pipeline.config.books import ChapterChoice
from pipeline.config.figures import apart
from pipeline.config.printable import one_line

_MAX_EXAMPLES = 3
_MAX_EXAMPLE_CHARS = 80
_MAX_SHOWN = 5
# What a book itself says is no text of the story: it may be long, and nobody misses it.
_EXPECTED = frozenset(
    ("license", "table of contents", "about the edition", "footnote", "footnote mark", "page number",
     "hidden text", "editor's note", "illustration", "reading aid", "struck text", "not chosen")
)  # fmt: skip


def describe_account(document: Document, split: Split, num_read: int) -> dict[str, Any]:
    """Return the words of a book, for its report; those read and left out are all that it has.

    Args:
        document: as its format gives it.
        split: its parts.
        num_read: words in the rows that are made of it.
    """
    left_out: dict[str, dict[str, int]] = {}
    examples: dict[str, list[str]] = {}
    for block in split.blocks:
        if block.reason:
            found = left_out.setdefault(block.reason, {"times": 0, "words": 0})
            found["times"] += 1
            found["words"] += words_in(block.text)
            shown = examples.setdefault(block.reason, [])
            if block.text and len(shown) < _MAX_EXAMPLES:
                shown.append(" ".join(block.text.split())[:_MAX_EXAMPLE_CHARS])
    num_left_out = sum(found["words"] for found in left_out.values())
    num_lost = document.num_words - num_read - num_left_out
    if num_lost:
        left_out["for no known reason"] = {"times": 1, "words": num_lost}
    return {
        "words": {"book": document.num_words, "read": num_read, "left_out": num_left_out + num_lost},
        "left_out": left_out,
        "left_out_examples": {reason: shown for reason, shown in examples.items() if shown},
        "parts": [{**asdict(part), "title": cut_title(part.title)} for part in split.parts],
    }


def describe_words(report: Mapping[str, Any], *, with_parts: bool) -> list[str]:
    """Return lines about what is read of a book and what is left out, for a person.

    Args:
        report: of the import, or what `describe_account` returns with `notes`; of an empty one there are no lines.
        with_parts: also a line for each part, with its number where it is read.
    """
    if not report:
        return []
    words = report["words"]
    lines = [f"  words      {words['book']:,}: {words['read']:,} read, {words['left_out']:,} left out"]
    for reason, found in report["left_out"].items():
        example = "; ".join(report["left_out_examples"].get(reason, ())[:1])
        counts = f"{found['words']:,} words, {found['times']:,} x {reason}"
        lines.append(f"  left out   {counts}" + (f": {example}" if example else ""))
    lines += [f"  note       {note}" for note in report["notes"]]
    for part in report["parts"] if with_parts else ():
        number = "-" if part["chapter"] is None else str(part["chapter"])
        left_out = ", ".join(f"{count:,} {reason}" for reason, count in part["left_out"].items())
        lines.append(
            f"  part       {number:>3} {part['title'][:60] or '(no title)'}: {part['num_words']:,} words"
            + (f", left out: {left_out}" if left_out else "")
        )
    return [one_line(line) for line in lines]


def find_problem(
    account: Mapping[str, Any], split: Split, choice: ChapterChoice | None, max_left_out: float, book_id: str
) -> str:
    """Return why somebody must look before a book is read aloud, and what to do; empty where nobody need.

    Args:
        account: of `describe_account`.
        split: the book's chapters.
        choice: what the config says of them; it has settled what was in doubt.
        max_left_out: share of the words.
        book_id: as the config calls the book.
    """
    if split.unknown:
        return (
            f"chapters.{book_id}: no part of the book is {', '.join(map(repr, split.unknown[:_MAX_SHOWN]))}; a dry run "
            "without this setting shows their numbers and titles"
        )
    if choice is not None:
        return "" if split.chapters else _describe_nothing(split, book_id)
    problems = []
    counted = {
        reason: found["words"] for reason, found in account["left_out"].items() if reason not in _EXPECTED
    }  # fmt: skip
    num_story = account["words"]["book"] - sum(
        found["words"] for reason, found in account["left_out"].items() if reason in _EXPECTED
    )
    num_counted = sum(counted.values())
    if num_counted > max_left_out * max(1, num_story):
        reasons = ", ".join(
            f"{count:,} as {reason}" for reason, count in sorted(counted.items(), key=_by_count) if count
        )
        share, most = apart(num_counted / max(1, num_story), max_left_out, percent=True)
        problems.append(
            f"{num_counted:,} of its {num_story:,} words ({share}) would be left out ({reasons}), expected at most "
            f"{most} (audiobook.import.max_left_out)"
        )
    if split.missing:
        shown = ", ".join(repr(cut_title(label)) for label in split.missing[:_MAX_SHOWN])
        problems.append(
            f"its table of contents names {len(split.missing):,} chapter(s) that its text does not have: {shown}"
        )
    if not problems:
        return ""
    return (
        f"{'; '.join(problems)}; look at its parts with --dry-run, then say what to read: "
        f"audiobook: {{import: {{chapters: {{{book_id}: {{include: all}}}}}}}} takes the chapters as they were found, "
        "and `include` and `exclude` also take numbers and titles (in the file of import-books --config: chapters: ... "
        "without the two levels around it)"
    )


def _describe_nothing(split: Split, book_id: str) -> str:
    titles = [cut_title(part.title) or "(no title)" for part in split.parts if "not chosen" in part.left_out]
    shown = ", ".join(map(repr, titles[:_MAX_SHOWN])) + (", ..." if len(titles) > _MAX_SHOWN else "")
    return (
        f"chapters.{book_id}: nothing is left to read: `include` and `exclude` leave out all that the book has"
        + (f" ({shown})" if titles else "")
        + "; take a chapter out of `exclude` or name one in `include`, or put _ before the name of the file to leave "
        "the book out"
    )


def _by_count(item: tuple[str, int]) -> int:
    return -item[1]
