"""Titles of chapters that are ordinary paragraphs: found as a sequence with text between, never one line alone."""

import pytest

from pipeline.books.numerals import value_of
from tests.books.test_chapters import STORY, entry, epub, split, titles

CHINESE_STORY = "<p>船很早就离开了港口，岸上没有人说话。</p>"
PLAIN = STORY.removeprefix("<p>").removesuffix("</p>")


def chapters(*names, story=STORY, tag="p"):
    return "".join(f"<{tag}>{name}</{tag}>{story}" for name in names)


def chinese(*names):
    return chapters(*names, story=CHINESE_STORY)


SEQUENCES = {
    "bold": (chapters("<b>Chapter 1</b>", "<b>Chapter 2</b>"), ["Chapter 1", "Chapter 2"]),
    "with a name on the next line": (
        chapters("<b>CHAPTER I</b><br/>The Mill", "<b>CHAPTER II</b><br/>The Quay"),
        ["CHAPTER I. The Mill", "CHAPTER II. The Quay"]),
    "with a name below": (
        f"<p>Chapter 1</p><p><b>The Mill</b></p>{STORY}<p>Chapter 2</p><p><b>The Quay</b></p>{STORY}",
        ["Chapter 1. The Mill", "Chapter 2. The Quay"]),
    "Spanish": (chapters("Capítulo primero", "Capítulo segundo"), ["Capítulo primero", "Capítulo segundo"]),
    "Russian": (chapters("Глава первая", "Глава вторая"), ["Глава первая", "Глава вторая"]),
    "dashes": (chapters("--- Chapter One ---", "--- Chapter Two ---"), ["Chapter One", "Chapter Two"]),
    "stars": (chapters("*** 1 ***", "*** 2 ***"), ["1", "2"]),
    "brackets": (chapters("[Chapter 1]", "[Chapter 2]"), ["Chapter 1", "Chapter 2"]),
    "quotation marks": (chapters("« Chapitre 1 »", "« Chapitre 2 »"), ["Chapitre 1", "Chapitre 2"]),
    "words": (chapters("<b>ONE</b>", "<b>TWO</b>", "<b>THREE</b>"), ["ONE", "TWO", "THREE"]),
    "cells": (chapters("<table><tr><td>Chapter 1</td></tr></table>", "<table><tr><td>Chapter 2</td></tr></table>"),
              ["Chapter 1", "Chapter 2"]),
    "levels": (chapters("Chapter I", tag="h2") + chapters("Chapter II", tag="h3") + chapters("Chapter III", tag="h2"),
               ["Chapter I", "Chapter II", "Chapter III"]),
    "about the author at the end": (chapters("Chapter 1", "Chapter 2", "About the Author"), ["Chapter 1", "Chapter 2"]),
    "parts and numbers": (f"<p>PREMIÈRE PARTIE</p>{chapters('I', 'II')}<p>DEUXIÈME PARTIE</p>{chapters('I', 'II')}",
                          ["I", "II", "I", "II"]),
    "numbers in parts with names": (
        f"<p>PART ONE</p><h1>Water</h1>{chapters('1', '2')}<p>PART TWO</p><h1>Land</h1>{chapters('3')}",
        ["1", "2", "3"]),
    "numbers": (chapters("I", "II", "III"), ["I", "II", "III"]),
    "numbers and names": (chapters("<b>1. The Mill</b>", "<b>2. The Quay</b>", "<b>3. Home</b>"),
                          ["1. The Mill", "2. The Quay", "3. Home"]),
    "mixed": (chapters("I", "II", "III", "IV", "V", "Chapter VI"), ["I", "II", "III", "IV", "V", "Chapter VI"]),
    "some are headings": (chapters("Chapter I", "Chapter II", tag="h2") + chapters("III", "IV")
                          + chapters("Chapter V", tag="h2"), ["Chapter I", "Chapter II", "III", "IV", "Chapter V"]),
    "a prologue": (chapters("Prologue", "Chapter 1", "Chapter 2", "Epilogue"),
                   ["Prologue", "Chapter 1", "Chapter 2", "Epilogue"]),
    "parts": (f"<p>PART ONE</p>{chapters('Chapter 1', 'Chapter 2')}<p>PART TWO</p>{chapters('Chapter 1', 'Chapter 2')}",
              ["Chapter 1", "Chapter 2", "Chapter 1", "Chapter 2"]),
    "behind printed contents": (
        f"<h2>Contents</h2><p>Chapter 1</p><p>Chapter 2</p>{chapters('Chapter 1', 'Chapter 2')}",
        ["Chapter 1", "Chapter 2"]),
    "above headings of sections": (
        f"<p>Chapter 1</p>{STORY}<h3>A Letter</h3>{STORY}<p>Chapter 2</p>{STORY}<h3>A Note</h3>{STORY}",
        ["Chapter 1", "Chapter 2"]),
    "one number is missing": (chapters("Chapter 1", "Chapter 2", "Chapter 4", "Chapter 5"),
                              ["Chapter 1", "Chapter 2", "Chapter 4", "Chapter 5"]),
    "in two stories": (f"<h2>The Mill</h2>{chapters('Chapter 1', 'Chapter 2')}"
                       f"<h2>The Quay</h2>{chapters('Chapter 1', 'Chapter 2')}",
                       ["Chapter 1", "Chapter 2", "Chapter 1", "Chapter 2"]),
    "French": (chapters("CHAPITRE PREMIER", "CHAPITRE DEUX"), ["CHAPITRE PREMIER", "CHAPITRE DEUX"]),
    "German": (chapters("Erstes Kapitel", "Zweites Kapitel"), ["Erstes Kapitel", "Zweites Kapitel"]),
    "Chinese numbers": (chinese("一", "二", "三"), ["一", "二", "三"]),
    "Chinese numbers and names": (chinese("一、磨坊", "二、河边"), ["一、磨坊", "二、河边"]),
    "Chinese digits": (chinese("1、磨坊", "2、河边", "3、家"), ["1、磨坊", "2、河边", "3、家"]),
    "Chinese brackets": (chinese("（一）", "（二）", "（三）"), ["一", "二", "三"]),
    "Chinese with a wedge and an end": (
        chinese("楔子", "第一节 磨坊", "第二节", "尾声", "后记"), ["楔子", "第一节 磨坊", "第二节", "尾声", "后记"]),
    "Chinese volumes": (f"<p>卷一</p>{chinese('第一章', '第二章')}<p>卷二</p>{chinese('第三章')}",
                        ["第一章", "第二章", "第三章"]),
}  # fmt: skip


@pytest.mark.parametrize(("page", "expected"), SEQUENCES.values(), ids=SEQUENCES)
def test_paragraphs_that_count_on_are_titles(page, expected):
    assert titles(split(page, "a.html")) == expected


def test_one_entry_of_the_contents_for_all_of_the_book_hides_no_chapters():
    for tag in ("p", "h2"):
        pages = {"t.xhtml": "<p>Salt</p>", "a.xhtml": chapters("<b>Chapter 1</b>", "<b>Chapter 2</b>", tag=tag)}
        contents = entry("Start", "a.xhtml")
        for front in ("", entry("Title Page", "t.xhtml")):
            assert titles(split(epub(pages, front + contents))) == ["Chapter 1", "Chapter 2"]
    pages = {"a.xhtml": chapters("Chapter 1", "Chapter 2"), "b.xhtml": chapters("Chapter 3", "Chapter 4")}
    assert titles(split(epub(pages, entry("Water", "a.xhtml") + entry("Land", "b.xhtml")))) == ["Water", "Land"]


def test_marked_lines_of_a_text_count_on_too():
    for lines in (
        ("--- Chapter One ---", "--- Chapter Two ---"),
        ("*** 1 ***", "*** 2 ***"),
        ("[Letter 1]", "[Letter 2]"),
    ):
        text = "".join(f"{line}\n\n{PLAIN}\n\n" for line in lines)
        assert titles(split(text, "a.txt")) == [line.strip(" -*[]") for line in lines]


NONE = {
    "one line": (f"<h2>The Mill</h2>{STORY}<p>Chapter 1</p>{STORY}<h2>The Quay</h2>{STORY}", ["The Mill", "The Quay"]),
    "two numbers": (chapters("1", "2"), [""]),
    "numbers of scenes": (f"<h2>The Mill</h2>{chapters('1', '2', '3')}<h2>The Quay</h2>{chapters('1', '2')}",
                          ["The Mill", "The Quay"]),
    "numbers of pages": ("<p>The boat left</p><p>1</p><p>the harbor. It was</p><p>2</p><p>late.</p><p>3</p>"
                         f"{STORY}", [""]),
    "a list": (f"<h2>The Mill</h2>{STORY}<p>1. Oars</p><p>2. Sails</p><p>3. Rope</p>{STORY}<h2>The Quay</h2>{STORY}",
               ["The Mill", "The Quay"]),
    "printed contents": ("".join(f"<p>{n}. Boats</p><ul><li>{n}.1. Oars</li></ul>" for n in (1, 2, 3)), [""]),
    "numbers and names in one story": (
        f"<h2>Bread</h2>{chapters('1. Mix Flour', '2. Add Eggs', '3. Bake')}<h2>Salt</h2>{STORY}", ["Bread", "Salt"]),
    "sentences": (f"<h2>The Mill</h2>{chapters('Chapter one was long.', 'Chapter two was not.')}", ["The Mill"]),
    "sections below chapters": (f"<h2>第一章</h2>{chinese('第一节', '第二节')}<h2>第二章</h2>{chinese('第一节')}",
                                ["第一章", "第二章"]),
}  # fmt: skip


@pytest.mark.parametrize(("page", "expected"), NONE.values(), ids=NONE)
def test_lines_that_are_no_sequence_of_titles_stay_text(page, expected):
    assert titles(split(page, "a.html")) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("XIV", 14), ("the first", 1), ("Twenty-one", 21), ("vingtième", 20), ("Zweites", 2), ("zwölftes", 12),
        ("二十三", 23), ("一百零五", 105), ("１２", 12), ("last", None), ("mill", None), ("", None),
        ("dix", 10), ("dix-septième", 17), ("décimo", 10), ("seconda", 2), ("двенадцатая", 12), ("dieciséis", 16),
    ],
)  # fmt: skip
def test_values_of_numbers(text, value):
    assert value_of(text) == value


def titles_of(page):
    return titles(split(f"<html><body>{page}</body></html>", "a.html"))


STYLED = {
    "bold": "<p><b>{}</b></p>",
    "centered": '<p align="center">{}</p>',
    "by style": '<p style="text-indent:0; text-align: center"><i>{}</i></p>',
    "in a center": "<center><font size='+2'>{}</font></center>",
    "large": '<p><span style="font-size:20.0pt">{}</span></p>',
    "large by tag": '<p><font size="5">{}</font></p>',
}


@pytest.mark.parametrize("title", STYLED.values(), ids=STYLED)
def test_titles_that_only_their_look_shows(title):
    text = "<p>The miller came down to the river in the evening, and nobody was there but the old dog.</p>" * 4
    names = ["The River", "The Bridge", "The Mill"]
    page = f"<h1>The Tale</h1>{title.format('By Somebody Else')}" + "".join(title.format(name) + text for name in names)
    assert titles_of(page) == names
    assert titles_of("".join(title.format(name) + text for name in names[:2])) == [""]
    assert titles_of("".join(title.format(f"{name}.") + text for name in names)) == [""]
    numbered = "".join(title.format(f"Chapter {at}") + text + title.format(names[at - 1]) + text for at in (1, 2, 3))
    assert titles_of(numbered) == ["Chapter 1", "Chapter 2", "Chapter 3"]


def test_large_titles_with_few_capitals():
    text = (
        "<p>Der Müller kam am Abend zum Fluss hinunter, und niemand war da außer dem alten Hund, der ihn ansah.</p>" * 4
    )
    names = ["Am großen Fluss", "Die alte Mühle", "Kam er wieder?"]
    assert titles_of("".join(f"<p><span style='font-size:20pt'>{name}</span></p>{text}" for name in names)) == names
    assert titles_of("".join(f"<p align='center'>{name}</p>{text}" for name in names)) == [""]


def test_titles_above_text_that_only_breaks_part():
    text = "The miller came down to the river in the evening, and nobody was there but the old dog.<br><br>" * 4
    names = ["THE RIVER", "THE BRIDGE", "THE MILL"]
    assert titles_of("".join(f"<center><b>{name}</b></center><br><br>{text}" for name in names)) == names
