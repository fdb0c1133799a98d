"""Books become rows: every word once, nothing of the frame, stable ids, quotes to the right voices."""

import io
import re
import shutil
import zipfile
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs.import_books import main
from pipeline.benchmark import BOOK
from pipeline.books.book_language import BookLanguage
from pipeline.books.casting import Cast, Character, load_casting
from pipeline.books.catalogue import read_book
from pipeline.books.chapters import split_into_chapters
from pipeline.books.document import words_of
from pipeline.books.markdown import read_markdown
from pipeline.books.quotes import find_quotes, split_sentences
from pipeline.books.rows import make_rows
from pipeline.errors import ConfigError, ManifestError
from pipeline.manifest.rows import Manifest

BOOKS = Path(__file__).parents[1] / "fixtures" / "books"
WHOLE_BOOK = Path(__file__).parents[3] / "shared" / "books" / "alice.txt"
CAST = Cast(narrator="anna", characters=(Character(name="Alice", voice="carl"),))


def import_text(data: bytes | str, name: str, cast: Cast = CAST) -> list[dict]:
    document = read_book(data.encode() if isinstance(data, str) else data, name, name)
    chapters = split_into_chapters(document).chapters
    rows, _ = make_rows("book", document.title, document.author, BookLanguage("en"), chapters, cast, name)
    return rows


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower().replace("_", " "))


def test_every_word_of_the_story_is_read_once_and_in_order():
    raw = BOOK.read_text()
    rows = import_text(raw, "alice.txt")
    story = raw[raw.index("CHAPTER I.") : raw.index("End of Project Gutenberg")]
    assert words(" ".join(row["text"] for row in rows)) == words(story)
    assert not re.search("gutenberg|ebook|license", " ".join(row["text"] for row in rows), re.I)
    assert [row["chapter_title"] for row in rows if row["boundary"] == "heading"] == [
        "Chapter I. Down the Rabbit-Hole", "Chapter II. The Pool of Tears", "Chapter III. A Caucus-Race and a Long Tale"
    ]  # fmt: skip


def test_the_whole_book_has_twelve_chapters_and_every_word():
    if not WHOLE_BOOK.exists():
        pytest.skip("the whole book is not beside the project")
    raw = WHOLE_BOOK.read_text()
    rows = import_text(raw, "alice.txt")
    story = raw[raw.index("CHAPTER I. Down") : raw.index("End of Project Gutenberg's")]
    assert words(" ".join(row["text"] for row in rows)) == words(story)
    assert rows[-1]["chapter"] == 12
    assert len({row["utterance_id"] for row in rows}) == len(rows)


def test_boundaries_letters_and_verse():
    rows = import_text(BOOK.read_text(), "alice.txt")
    boundary = {row["text"].lower(): row["boundary"] for row in rows}
    assert boundary["improve his shining tail,"] == "line"
    assert boundary["near the fender,"] == "line"
    assert "scene" in boundary.values()
    assert rows[-1]["boundary"] == "chapter"


def test_capitals_and_emphasis_are_words():
    text = "CHAPTER I. One\n\nIt was VERY odd, very, and the BBC said _so_. He TOOK A WATCH OUT. NASA saw it.\n"
    read = " ".join(row["text"] for row in import_text(text, "b.txt"))
    assert "It was very odd, very, and the BBC said so. He took a watch out. NASA saw it." in read


def test_an_edit_in_one_chapter_keeps_the_ids_of_the_others():
    raw = BOOK.read_text()
    before, after = import_text(raw, "a.txt"), import_text(raw.replace("ever to get out", "to leave").replace(
        "Poor Alice!", "Poor, poor Alice!"), "a.txt")  # fmt: skip

    def ids(rows: list[dict], chapter: int) -> list[str]:
        return [row["utterance_id"] for row in rows if row["chapter"] == chapter]

    assert ids(before, 3) == ids(after, 3)
    assert ids(before, 1) == ids(after, 1)
    assert len(set(ids(before, 2)) ^ set(ids(after, 2))) == 2


HTML = """<html lang="en"><head><title>Tales</title></head><body><h1>Tales</h1><p>Copyright 1900</p>
<h2>Contents</h2><ul><li><a href="#a">Chapter I</a></li></ul>
<h2>Chapter I</h2><h3>The Cat</h3><p>The <em>cat</em> sat.<sup><a href="#n1">1</a></sup> It was <b>late</b>.</p>
<span class="pagenum">[12]</span><div class="poem">Line one<br/>Line two</div><hr/>
<figure><img src="x"/><figcaption>A cat</figcaption></figure><p>The end of it.</p>
<h2>Chapter II</h2><p>Two.</p><div class="footnotes"><p>1. A note.</p></div></body></html>"""


def test_html_leaves_out_what_is_not_read():
    rows = import_text(HTML, "t.html")
    assert [row["text"] for row in rows] == [
        "Chapter I. The Cat", "The cat sat.", "It was late.", "Line one", "Line two", "The end of it.",
        "Chapter II", "Two.",
    ]  # fmt: skip
    assert [row["boundary"] for row in rows] == [
        "heading", "sentence", "paragraph", "line", "scene", "chapter", "heading", "chapter"
    ]  # fmt: skip


def test_markdown_with_voice_marks():
    text = (BOOKS / "cat.md").read_text()
    rows = import_text(text, "cat.md")
    assert [(row["speaker_id"], row["text"]) for row in rows] == [
        ("anna", "The Cat"), ("anna", "The cat spoke."), ("carl", "I am here."), ("anna", "So it was."),
        ("anna", "One"),
        ("anna", "Two"),
    ]  # fmt: skip
    with pytest.raises(ManifestError, match="names nobody"):
        import_text(text.replace("voice:Alice", "voice:Bob"), "cat.md")


def epub(**changes: str) -> bytes:
    files = {
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="o/p.opf"/></rootfiles></container>',
        "o/p.opf": '<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>Tales</dc:title>'
        "<dc:creator>A. Writer</dc:creator><dc:language>en-GB</dc:language></metadata><manifest>"
        '<item id="n" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
        '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="n"/><itemref idref="a"/></spine></package>',
        "o/nav.xhtml": '<html><body><nav><a href="a.xhtml">The Cat</a></nav></body></html>',
        "o/a.xhtml": "<html><body><p>The cat sat.</p></body></html>",
        **changes,
    }
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return sink.getvalue()


def test_epub_takes_titles_from_its_contents():
    rows = import_text(epub(), "t.epub")
    assert [row["text"] for row in rows] == ["The Cat", "The cat sat."]
    assert rows[0]["author"] == "A. Writer"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"../evil.txt": "x"}, r"\.\./evil.txt: a path that leaves"),
        ({"o/a.xhtml": "<p>" + "a" * 9_000_000 + "</p>"}, r"o/a.xhtml: .*times larger once unpacked.*max_ratio"),
        ({"o/a.xhtml": '<!DOCTYPE html [<!ENTITY x SYSTEM "file:///etc/passwd">]><p>&x;</p>'}, "declares entities"),
        (
            {"META-INF/container.xml": '<!DOCTYPE a [<!ENTITY x "&y;">]><container/>'},
            "container.xml: declares entities",
        ),
        ({"META-INF/container.xml": '<container><rootfile full-path="../../x"/></container>'}, "outside of the book"),
    ],
)
def test_harmful_epubs_are_refused(changes, message):
    with pytest.raises(ManifestError, match=message):
        import_text(epub(**changes), "bad.epub")


def test_apostrophes_are_no_quotes():
    text = "'Dinah'll miss me,' said Alice, and the others' faces fell. It was the cat's."
    assert [text[quote.start : quote.end] for quote in find_quotes(text)] == ["'Dinah'll miss me,'"]


OZ = """
                 CONTENTS

   1.  The Cyclone
   2.  The Council



          1.  The Cyclone


    Dorothy lived in the midst of the great Kansas prairies, with Uncle
Henry, who was a farmer, and Aunt Em.

    Their house was small.



          2.  The Council


    She was awakened by a shock.
"""


def test_chapters_may_be_numbered_without_the_word_chapter():
    """As in the Wizard of Oz, all of which was taken for its table of contents."""
    rows = import_text(OZ, "oz.txt")
    assert [row["chapter_title"] for row in rows if row["position"] == 0] == ["1. The Cyclone", "2. The Council"]
    assert [row["text"] for row in rows][-3:] == [
        "Their house was small.", "2. The Council", "She was awakened by a shock."
    ]  # fmt: skip


def test_a_table_of_contents_without_a_heading_after_it_does_not_take_the_book_along():
    text = OZ.replace("          1.  The Cyclone\n", "").replace("          2.  The Council\n", "")
    rows = import_text(text, "oz.txt")
    assert rows[0]["text"].startswith("Dorothy lived in the midst")
    assert rows[-1]["text"] == "She was awakened by a shock."


def test_sentences_end_where_people_hear_it():
    text = "Mr. Smith said 'Stop!' and left. 'Why?' he asked. No."
    assert [text[start:end] for start, end in split_sentences(text)] == [
        "Mr. Smith said 'Stop!' and left.", "'Why?' he asked.", "No."
    ]  # fmt: skip


def test_the_command_writes_a_manifest(tmp_path, capsys):
    catalogue = tmp_path / "books"
    catalogue.mkdir()
    (catalogue / "Cat.md").write_text((BOOKS / "cat.md").read_text())
    (catalogue / "Tales.epub").write_bytes(epub())
    casting = tmp_path / "casting.yaml"
    casting.write_text("default: {narrator: anna, characters: [{name: Alice, voice: carl}]}\n")
    arguments = [str(catalogue), "--casting", str(casting), "--output", str(tmp_path / "m")]
    assert main([*arguments, "--dry-run"]) == 0
    assert not (tmp_path / "m").exists()
    assert main(arguments) == 0
    assert "left out" in capsys.readouterr().out
    manifest = Manifest.open(str(tmp_path / "m"))
    assert [shard.name for shard in manifest.shards] == ["cat/part-00000", "tales/part-00000"]
    assert manifest.find_duplicates() == {}
    table = pq.read_table(tmp_path / "m" / "cat" / "part-00000.parquet").to_pylist()
    assert all(first["position"] + 1 == second["position"] for first, second in pairwise(table))
    capsys.readouterr()
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("kept as it was") == 2
    (tmp_path / "m" / "notes.txt").write_text("mine")
    assert main(arguments) == 2


def test_a_changed_book_is_written_as_it_is_now(tmp_path, capsys):
    """It grew a shard with each edit, and sentences that were gone stayed rows of the manifest."""
    (tmp_path / "books").mkdir()
    book, casting = tmp_path / "books" / "cat.md", tmp_path / "casting.yaml"
    arguments = [str(book.parent), "--casting", str(casting), "--output", str(tmp_path / "m")]
    shard = tmp_path / "m" / "cat" / "part-00000.parquet"

    def read(text, narrator):
        book.write_text(text)
        casting.write_text(f"default: {{narrator: {narrator}}}\n")
        assert main(arguments) == 0
        assert [path.name for path in shard.parent.iterdir()] == [shard.name]
        assert shard.read_bytes() == (tmp_path / "m" / "_contents" / "cat.parquet").read_bytes()
        return {row["text"]: row for row in pq.read_table(shard).to_pylist()}

    first = read("# One\n\nThe cat sat. It slept.\n", "anna")
    # As earlier versions wrote an edit.
    shutil.copy(shard, shard.with_name("part-00001.parquet"))
    second = read("# One\n\nThe cat sat. It ran.\n", "anna")
    assert list(second) == ["One", "The cat sat.", "It ran."]
    capsys.readouterr()
    third = read("# One\n\nThe cat sat. It ran.\n", "carl")
    ids = [rows["The cat sat."]["utterance_id"] for rows in (first, second, third)]
    assert len({*ids}) == 1 and third["The cat sat."]["speaker_id"] == "carl"


def test_all_books_that_cannot_be_read_are_reported_at_once_and_the_others_are_imported(tmp_path, capsys):
    catalogue = tmp_path / "books"
    catalogue.mkdir()
    for name, data in {"cat.md": b"# One\n\nThe cat sat.", "cut.epub": epub()[:300], "empty.txt": b""}.items():
        (catalogue / name).write_bytes(data)
    arguments = [str(catalogue), "--output", str(tmp_path / "m")]
    for extra in (["--dry-run"], []):
        assert main([*arguments, *extra]) == 2
        printed = capsys.readouterr()
        assert "cat: " in printed.out
        assert "cut.epub: not an EPUB" in printed.err
        assert "empty.txt: no text" in printed.err
        assert "2 book(s) cannot be read" in printed.err
    for name in ("cut.epub", "empty.txt"):
        (catalogue / name).rename(catalogue / f"_{name}")
    assert main(arguments) == 0
    assert "kept as it was" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alice: {narator: ross}", "alice.narator: unknown setting; did you mean narrator"),
        ("alice: {characters: [{name: A, voic: b}]}", "alice.characters.0.voic: unknown setting; did you mean voice"),
        ("alice: {min_confidence: 2}", r"alice.min_confidence: expected a number .at least 0, at most 1., got 2"),
        ("- alice", "expected a cast for each book_id"),
        ("alice: [", "cast.yaml: not YAML"),
    ],
)
def test_a_wrong_cast_is_reported_with_its_place(text, message):
    with pytest.raises(ConfigError, match=message):
        load_casting(text, "cast.yaml")


@pytest.mark.parametrize(
    ("characters", "message"),
    [
        ("[{name: Ruth, voice: b}, {name: Ann, voice: c}, {name: Ruth, voice: d}]",
         r"b\.characters\.2: 'Ruth' \(voice d\) is the name of characters\.0, 'Ruth' \(voice b\), too"),
        ("[{name: the Cook, voice: b}, {name: Cook, voice: c}]", "'Cook' .* is the name of characters.0, 'the Cook'"),
        ("[{name: Ruth, voice: b, aliases: [Ann]}, {name: Ann, voice: c}]",
         r"b\.characters\.0\.aliases: 'Ann', an alias of 'Ruth', is the name of characters\.1, 'Ann'; remove"),
        ("[{name: Ruth, voice: b}, {name: Ann, voice: c, aliases: [ruth]}]", r"'ruth', an alias of 'Ann'"),
        ("[{name: Ruth, voice: b, aliases: Ruthie}]", r"expected a list of text, got 'Ruthie'; write .Ruthie."),
        ("[{name: '?', voice: b}]", "b.characters.0: the name '.' has no letters; write it as the book does"),
        ("[{name: Ruth, voice: b, aliases: ['']}]", "the name '' has no letters"),
        ("[{name: Ruth}]", r"voice: required, but not given; add `voice: ...` to {'name': 'Ruth'}"),
        ("[{name: Ruth, voice: 12}]", "voice: expected text, got 12; put it in quotes: '12'"),
        ("{Ruth: b}", "expected a list of mappings, got .*; write a list, each part as `- {name: ..., voice: ...}`"),
    ],
)  # fmt: skip
def test_a_cast_that_could_not_be_meant_is_refused_with_what_to_write(characters, message):
    with pytest.raises(ConfigError, match=message):
        load_casting(f"b: {{characters: {characters}}}", "cast.yaml")


def test_a_cast_of_nothing_and_one_in_utf_16_are_refused():
    with pytest.raises(ConfigError, match="b: expected a mapping, got nothing; write settings, such as"):
        load_casting("b:\n", "cast.yaml")
    with pytest.raises(ConfigError, match=r"^cast\.yaml: not YAML: UTF-16 text.*save it as UTF-8"):
        load_casting("b: {}\n".encode("utf-16"), "cast.yaml")


def test_two_characters_may_share_an_alias():
    cast = "{name: Ruth, voice: b, aliases: [the girl]}, {name: Ann, voice: c, aliases: [the girl]}"
    assert len(load_casting(f"b: {{characters: [{cast}]}}", "cast.yaml")["b"].characters) == 2


@pytest.mark.parametrize(
    ("character", "noted"),
    [
        (
            Character(name="Alise", voice="b"),
            "the cast has Alise (is it Alice?): the book never has that name; correct it",
        ),
        (Character(name="the old sailer", voice="b"), "the old sailer (is it sailor?)"),
        (
            Character(name="Zuleika", voice="b"),
            "the cast has Zuleika: the book never has that name; correct it, or add as an alias",
        ),
        (Character(name="陈船长", voice="b"), "never has that name"),
        (Character(name="Mrs. Alice Pell", voice="b"), ""),
        (Character(name="Zuleika", voice="b", aliases=("the old sailor's wife",)), ""),
        (Character(name="Zuleika", voice="b", aliases=("I",)), ""),
        (Character(name="王船长", voice="b"), ""),
    ],
)
def test_characters_whom_a_book_never_names_are_noted(character, noted):
    document = read_book("Alice saw the old sailor’s wife. 又见王船长来了。\n".encode(), "b.txt", "b.txt")
    chapters, cast = split_into_chapters(document).chapters, Cast(narrator="anna", characters=(character,))
    _, report = make_rows("b", "B", "", BookLanguage("en"), chapters, cast, "b.txt")
    assert len(report.notes) == bool(noted) and noted in "".join(report.notes)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("no/where", r"no/where: no book found: there is no such folder, only \S+; correct the path"),
        ("one/cat.txt", r"this is a file; name the folder that holds it: \S+/one\n"),
        ("empty", "nothing is there; correct the address, or put books into it: books are files ending in .epub"),
        ("other", r"of 1 file\(s\) none is a book, such as notes.xyz; books are files ending in .epub"),
        ("hidden", "all that is there begins with _ or . and is left out; rename it"),
        ("old", r"1 file\(s\) that may be books cannot be read: cat.rtf; open it in a word processor and save it as"),
    ],
)
def test_a_place_without_books_is_told_apart(tmp_path, capsys, place, message):
    for name in ("one/cat.txt", "other/notes.xyz", "hidden/_cat.txt", "old/cat.rtf"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("The cat sat.")
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / place), "--dry-run"]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_files_that_may_be_books_are_named_beside_those_that_are_read(tmp_path, caplog):
    for name in ("cat.txt", "dog.odt", "old/hen.LIT", "pig.djvu", "_rat.doc", "cover.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("The cat sat.")
    assert main([str(tmp_path), "--dry-run"]) == 0
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "3 file(s) that may be books cannot be read: dog.odt, old/hen.LIT, pig.djvu; open it in a word" in said
    assert "ebook-convert FILE BOOK.epub" in said and "OCR" in said and "_rat" not in said


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("books", "--output: .* lies in the catalogue .*; name a place beside it"),
        ("books/m", "lies in the catalogue"),
        ("link/m", "lies in the catalogue"),
        ("books/../books/m", "lies in the catalogue"),
        ("file", "file is not a folder; name another folder"),
        ("file/m", "file is not a folder; name another folder"),
        ("/proc/m", "/proc is of a file system that holds no files of yours; name another folder"),
    ],
)
def test_an_output_that_cannot_be_one_is_refused_before_a_book_is_read(tmp_path, capsys, output, message):
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "cat.txt").write_text("The cat sat.")
    (tmp_path / "link").symlink_to(tmp_path / "books")
    (tmp_path / "file").write_text("x")
    assert main([str(tmp_path / "books"), "--output", str(tmp_path / output)]) == 2
    printed = capsys.readouterr()
    assert re.search(message, printed.err) and not printed.out
    assert [path.name for path in (tmp_path / "books").iterdir()] == ["cat.txt"]


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("The Project Gutenberg eBook of The Adventures of Sherlock Holmes, by A. C. Doyle",
         ("The Adventures of Sherlock Holmes", "A. C. Doyle")),
        ("Project Gutenberg's Emma, by Jane Austen", ("Emma", "Jane Austen")),
        ("Emma | Project Gutenberg", ("Emma", "")),
        ("Stand, by me", ("Stand, by me", "")),
    ],
)  # fmt: skip
def test_a_page_of_gutenberg_has_its_books_title(title, expected):
    document = read_book(f"<title>{title}</title><p>Text.</p>".encode(), "a.html", "a.html")
    assert (document.title, document.author) == expected


def test_code_of_markdown_is_left_out_and_counted_and_tables_are_read_by_rows():
    text = "# One\n\nRun `go` now.\n\n| a | b |\n|---|---|\n| c | d |\n\n```\nx = 1\n```\n\n"
    text += "    O rose,\n    thou art sick.\n"
    document = read_markdown(text, "a.md")
    assert [block.text for block in document.blocks if not block.reason] == [
        "One", "Run go now.", "a, b", "c, d", "O rose,\nthou art sick."
    ]  # fmt: skip
    assert [(block.text, block.reason) for block in document.blocks if block.reason] == [("x = 1", "code")]
    assert words_of(document.blocks) == document.num_words


NOTES = """CHAPTER I

He read the book[1] twice, and the other one* as well. It was dark.[2]

[1] A folio of the year
1801.

* It was lost.

[3] stood on the door.

He went out.† It rained.

† As it did.

* * *

The stars * of the night * were no notes.

[2] So the parish says.
"""


def test_notes_that_only_their_marks_tell_are_left_out():
    document = read_book(NOTES.encode(), "n.txt", "n.txt")
    assert [block.text for block in document.blocks if not block.reason and block.text] == [
        "CHAPTER I", "He read the book twice, and the other one as well. It was dark.", "[3] stood on the door.",
        "He went out. It rained.", "The stars * of the night * were no notes.",
    ]  # fmt: skip
    assert [block.text for block in document.blocks if block.reason == "footnote"] == [
        "[1] A folio of the year 1801.",
        "* It was lost.",
        "† As it did.",
        "[2] So the parish says.",
    ]
    assert document.num_words == words_of(document.blocks)
