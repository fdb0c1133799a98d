"""Books made to do harm, and books that are broken: each is refused by name or read in a moment, and stops no other."""

import io
import os
import random
import zipfile
from dataclasses import replace

import pytest

from jobs.import_books import main
from pipeline.books import catalogue, limits
from pipeline.books.casting import Cast
from pipeline.books.catalogue import read_book, read_cast_book
from pipeline.books.chapters import split_into_chapters
from pipeline.books.document import readable
from pipeline.books.epub_archive import EpubArchive, parse_xml
from pipeline.errors import ManifestError
from pipeline.storage import open_storage

CHAPTER = "<html><body><h1>Chapter I</h1><p>The cat sat.</p></body></html>"
ITEM = '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/>'
NCX_ITEM = '<item id="n{}" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'


def epub(items=ITEM, spine='<itemref idref="a"/>', **files):
    files = {
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="o/p.opf"/></rootfiles></container>',
        "o/p.opf": f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>",
        "o/a.xhtml": CHAPTER,
        **files,
    }
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return sink.getvalue()


def texts(data, name):
    document = read_book(data.encode() if isinstance(data, str) else data, name, name)
    return [block.text for chapter in split_into_chapters(document).chapters for block in chapter.blocks]


def rows_of(folder, data, name):
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_cast_book(open_storage(str(folder)), "book", name, Cast())


@pytest.fixture
def reads(monkeypatch):
    """Every file that is read out of an EPUB."""
    seen = []
    read = EpubArchive.read
    monkeypatch.setattr(EpubArchive, "read", lambda archive, path: seen.append(path) or read(archive, path))
    return seen


def test_a_file_that_the_spine_names_again_and_again_is_read_once(reads):
    """A spine of 1.6 kB made 30 million rows of one chapter."""
    document = read_book(epub(spine='<itemref idref="a"/>' * 1_000), "a.epub", "a.epub")
    assert [block.text for block in readable(document.blocks)] == ["Chapter I", "The cat sat."]
    assert sum(block.reason == "file named again in the reading order" for block in document.blocks) == 999
    assert reads.count("o/a.xhtml") == 1


def test_a_table_of_contents_that_is_named_again_and_again_is_read_once(reads):
    entry = '<navPoint><navLabel><text>One</text></navLabel><content src="a.xhtml"/>{}</navPoint>'
    ncx = f"<ncx><navMap>{entry.format(entry.format(''))}</navMap></ncx>"
    items = ITEM + "".join(map(NCX_ITEM.format, range(500)))
    data = epub(items, **{"o/toc.ncx": ncx, "o/a.xhtml": "<p>The cat sat.</p>"})
    assert texts(data, "a.epub") == ["One", "The cat sat."]
    assert reads.count("o/toc.ncx") == 1


def encryption(*entries):
    data = "".join(
        f'<e:EncryptedData xmlns:e="http://www.w3.org/2001/04/xmlenc#"><e:EncryptionMethod Algorithm="{algorithm}"/>'
        f'<e:CipherData><e:CipherReference URI="{uri}"/></e:CipherData></e:EncryptedData>'
        for uri, algorithm in entries
    )
    return f'<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container">{data}</encryption>'


AES = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
IDPF, ADOBE = "http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"
NOISE = random.Random(7).randbytes(4_000)


@pytest.mark.parametrize(("mark", "scheme"), [("license.lcpl", "LCP"), ("sinf.xml", "Apple"), ("rights.xml", "Adobe")])
def test_encrypted_books_are_refused(mark, scheme):
    """They were read aloud as noise."""
    files = {"META-INF/encryption.xml": encryption(("o/a.xhtml", AES)), f"META-INF/{mark}": "{}", "o/a.xhtml": NOISE}
    with pytest.raises(ManifestError, match=rf"a\.epub!o/a\.xhtml: protected against copying \({scheme}\)"):
        texts(epub(**files), "a.epub")


@pytest.mark.parametrize(
    "entries",
    [
        [("o/font.otf", IDPF), ("o/other%20font.otf", ADOBE)],
        [("o/picture.jpg", AES)],
        [],
    ],
)
def test_what_is_encrypted_and_not_read_does_no_harm(entries):
    files = {"META-INF/encryption.xml": encryption(*entries), "META-INF/rights.xml": "<rights/>"}
    assert texts(epub(**files), "a.epub") == ["Chapter I", "The cat sat."]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"META-INF/encryption.xml": "<encryption>"}, r"encryption\.xml: not XML"),
        ({"META-INF/encryption.xml": encryption(("o/a%2Exhtml", AES))}, "protected against copying; use"),
        ({"META-INF/encryption.xml": encryption(("o/a.xhtml", IDPF)), "o/a.xhtml": NOISE}, "not text: .* encrypted"),
        ({"o/a.xhtml": NOISE}, r"a\.xhtml: not text: [\d,]+ of [\d,]+ characters cannot be read"),
    ],
)
def test_noise_is_not_read_aloud(files, message):
    with pytest.raises(ManifestError, match=message):
        texts(epub(**files), "a.epub")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_at_any_byte_of_an_epub_is_a_refusal(method):
    """What zlib said of a damaged file was a traceback."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as packed, zipfile.ZipFile(io.BytesIO(epub())) as archive:
        for name in archive.namelist():
            packed.writestr(name, archive.read(name))
    whole, num_refused = sink.getvalue(), 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x5A
        try:
            texts(bytes(damaged), "a.epub")
        except ManifestError:
            num_refused += 1
    assert num_refused > len(whole) / 4


def test_a_link_inside_an_epub_is_refused():
    link = zipfile.ZipInfo("o/a.xhtml")
    link.external_attr = 0o120777 << 16
    sink = io.BytesIO(epub(**{"o/a.xhtml": CHAPTER}))
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(sink, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ManifestError, match=r"o/a\.xhtml: a link, expected a file"):
        texts(sink.getvalue(), "a.epub")


@pytest.mark.parametrize(
    ("limit", "name", "data"),
    [
        ("max_book_bytes", "a.txt", "Hello there.\n"),
        ("max_text_bytes", "a.txt", "Hello there.\n"),
        ("max_text_bytes", "a.epub", epub()),
        ("max_unpacked_bytes", "a.epub", epub()),
        ("max_items", "a.epub", epub(ITEM + "".join(map(NCX_ITEM.format, range(9))), **{"o/toc.ncx": "<ncx/>"})),
        ("max_items", "a.epub", epub(spine='<itemref idref="a"/>' * 9)),
        ("max_items", "a.epub", epub(**{f"o/{number}": "" for number in range(9)})),
        ("max_blocks", "a.epub", epub(**{"o/a.xhtml": "<p>One.</p>" * 9})),
        ("max_blocks", "a.html", "<p>One.</p>" * 9),
        ("max_blocks", "a.html", '<p class="verse">One</p>' * 9),
        ("max_blocks", "a.md", "# One\n\nTwo.\n\n" * 9),
        ("max_blocks", "a.txt", "CHAPTER I\n\n" + "- one\n" * 9),
        ("max_rows", "a.txt", "CHAPTER I\n\n" + "Say one. " * 9),
        ("max_depth", "a.html", "<div>" * 20 + "x"),
    ],
)
def test_what_is_over_a_limit_is_refused_by_the_limits_name(tmp_path, monkeypatch, limit, name, data):
    assert rows_of(tmp_path, data, name).rows
    monkeypatch.setattr(limits, "LIMITS", replace(limits.LIMITS, **{limit: 8}))
    with pytest.raises(ManifestError, match=rf"expected at most 8 \({limit}\)"):
        rows_of(tmp_path, data, name)


MANY = " ".join(f"a{number}=1" for number in range(501))


@pytest.mark.parametrize(
    "page",
    [
        f"<p {MANY}>Hi</p>",
        "<p " + "".join(f'a{number}=""' for number in range(501)) + ">Hi</p>",
        "<p/" + "/".join(f"a{number}" for number in range(501)) + ">Hi</p>",
        "<p " + " ".join(f"<a{number}" for number in range(501)) + ">Hi</p>",
        "<p " + " ".join(f"={number}" for number in range(1_002)) + ">Hi</p>",
        f'<!-- <a b=" --><p {MANY} c="">Hi</p>',
        f"<title><script></title><p {MANY}>Hi</p>",
        f'<textarea><a b="</textarea><p {MANY} c="">Hi</p>',
        f'<a b="<p {MANY}>"x',
        "<a " * 502,
    ],
)
def test_a_tag_of_many_attributes_is_refused(page):
    """The parser took two minutes for 200,000 of them, and the square of that for more."""
    with pytest.raises(ManifestError, match=r"near line 2: a tag with more than 500 attributes \(max_attributes\)"):
        texts(f"<body>\n{page}", "a.html")


def test_a_tag_of_many_attributes_is_refused_in_xml():
    """A Word file of 450 kB took 18 s."""
    for tag in (f"<ü:p {MANY}/>", f"<_p {MANY} c='>'/>"):
        with pytest.raises(ManifestError, match=r"x: near line 2: a tag with more than 500 attributes"):
            parse_xml(f"<book>\n{tag}</book>", "x")
    assert len(parse_xml(f"<book><!-- {MANY} -->2 &lt; {MANY}<p/></book>", "x")) == 2


def test_long_tags_comments_and_scripts_are_no_such_tags():
    page = (
        f"<p {MANY.replace('a500=1', '').replace('a499=1', '')} title='{MANY}'>One.</p><!-- <p {MANY}> -->"
        f"<script>if (a <b {MANY}) f('</p>')</script><img src='data:{'abc ' * 9_000}'><p>Two.</p><!--><p>Three.</p>-->"
    )
    assert texts(page, "a.html")[:3] == ["One.", "Two.", "Three."]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        ), "once aliases"),
        ("title: &a [*a]", "once aliases"),
        ("title: " + "[" * 3_000, "not YAML"),
        ("title: [", "not YAML"),
        ("title: !!int x", "not YAML"),
        ("title: {a: 1}", "title: expected text, found a dict"),
        ("author: [Anna]", "author: expected text, found a list"),
        ("- Emma", "expected a mapping such as `title: Emma`, found a list"),
        ('title: "\\ud800"', "half a character"),
        ("title: a\ntitle: b", "remove one of them"),
    ],
)  # fmt: skip
def test_front_matter_goes_through_the_one_reader_of_yaml(block, message):
    """495 bytes took 3.6 GB, and a date that is none ended the import of all books."""
    with pytest.raises(ManifestError, match=rf"a\.md:1: the block between ---.*{message}"):
        read_book(f"---\n{block}\n---\n# One\n\nHello.\n".encode(), "a.md", "a.md")


@pytest.mark.parametrize("title", ["2026-99-99", "007", "no", "12:30", "9" * 5_000, "0x" + "f" * 5_000, "1_000", "1e9"])
def test_a_title_is_as_it_is_written(title):
    document = read_book(f"---\ntitle: {title}\n---\n# One\n\nHello.\n".encode(), "a.md", "a.md")
    assert document.title == title


@pytest.mark.parametrize("mark", ["- ", "1. ", "> "])
def test_nothing_of_nested_lists_and_quotes_is_lost(mark):
    """From the tenth list on items were dropped without a word."""

    def nest(depth):
        prefix = mark if mark == "> " else " " * len(mark)
        lines = [f"{prefix * level}{mark}Item {level} is here." for level in range(depth)]
        return "# One\n\n" + "\n\n".join(lines)

    assert sum("Item" in text for text in texts(nest(19), "book.md")) == 19
    with pytest.raises(
        ManifestError, match=r"book\.md: 20 lists or 40 quotes within each other, or more; set the text"
    ):
        texts(nest(41), "book.md")


def test_titles_hold_no_control_characters_and_no_pages(tmp_path):
    head = f"<title>\x1b[31mRed\x07 \u009b1m{'x' * 400}</title><meta name=author content='A\x1b]0;x'>"
    page = f"{head}<h1>C</h1><p>Hi \x1b[2J.</p>"
    book = rows_of(tmp_path, page, "a.html")
    row = book.rows[-1]
    assert (row["author"], row["text"]) == ("A ]0;x", "Hi [2J.")
    assert row["book_title"] == book.report["title"] and row["book_title"].startswith("[31mRed 1mx")
    assert len(row["book_title"]) == 300 and row["book_title"].endswith("x…")


@pytest.mark.parametrize(
    ("encoding", "declaration"),
    [
        ("iso-8859-1", '<?xml version="1.0" encoding="ISO-8859-1"?>'),
        ("cp1252", ""),
        ("cp1252", '<?xml version="1.0" encoding="unicode_escape"?>'),
        ("utf-8", '<?xml version="1.0" encoding="ISO-8859-1"?>'),
        ("utf-16", ""),
        ("utf-8-sig", ""),
    ],
)
def test_a_page_is_read_in_the_encoding_that_it_has(encoding, declaration):
    page = f"{declaration}<html><body><p>Café, naïve, Über.</p></body></html>"
    assert texts(page.encode(encoding), "a.html") == ["Café, naïve, Über."]
    assert texts(epub(**{"o/a.xhtml": page.encode(encoding)}), "a.epub") == ["Café, naïve, Über."]


def test_a_chinese_page_says_its_encoding():
    page = '<html><head><meta charset="gb2312"></head><body><p>你好,世界。</p></body></html>'
    assert texts(page.encode("gb2312"), "a.html") == ["你好,世界。"]


def test_a_page_that_is_read_only_in_part_is_refused():
    """All that follows a paragraph of 10 MB, and it, went without a word."""
    with pytest.raises(ManifestError, match=r"a\.html: the rest cannot be read: line 1: .*limit"):
        texts("<p>" + "word " * 2_100_000 + "<p>after", "a.html")


# Each took the square of its length, minutes or more, in one of the rules that it is made for.
@pytest.mark.parametrize(
    ("name", "data", "num_rows"),
    [
        ("dots.txt", "CHAPTER I\n\n" + "." * 200_000 + "x\n", 2),
        ("contents.txt", "CHAPTER I\n\n" + ("." * 50_000 + "\n") * 3 + "\nHello.\n", 2),
        ("lines.txt", "CHAPTER I\n\n" + "word word\n" * 50_000, 2),
        ("voice.txt", "CHAPTER I\n\n<voice:" + " " * 20_000 + "a\n\nHello.\n", 3),
        ("capitals.txt", "CHAPTER I\n\n" + "HELLO world " * 40_000 + "\n", 2),
        ("accents.txt", "CHAPTER I\n\na" + "\u0301\u0327" * 50_000 + "\n", 2),
        ("notes.md", "# Chapter I\n\n" + "[^" * 20_000 + "\n\nHello.\n", 2),
        ("verse.html", "<h1>Chapter I</h1>" + "<p class=verse>A line of verse</p>" * 20_000, 20_001),
        ("quotes.html", "<h1>Chapter I</h1><p>" + "“Hi,” said Bob. " * 15_000, 15_001),
        ("contents.html", "<h2>Contents</h2><h2>Chapter I</h2>" * 8_000 + "<p>Hello.</p>", 2),
    ],
)
def test_rules_take_no_more_time_than_the_text_is_long(tmp_path, name, data, num_rows):
    assert len(rows_of(tmp_path, data, name).rows) == num_rows


def test_a_book_that_breaks_the_reader_stops_no_other(tmp_path, monkeypatch, capsys):
    books = tmp_path / "books"
    books.mkdir()
    (books / "bad.md").write_text("# One\n\nHello.\n")
    (books / "bomb.md").write_text("---\ntitle: !!timestamp soon\n---\n# One\n\nHello.\n")
    (books / "cut.epub").write_bytes(epub()[:-30])
    (books / "good.md").write_text("# One\n\nThe cat sat.\n")
    read = catalogue.read_book

    def fail(data, name, place):
        if name == "bad.md":
            raise RecursionError("maximum recursion depth exceeded")
        return read(data, name, place)

    monkeypatch.setattr(catalogue, "read_book", fail)
    for extra in (["--dry-run"], ["--output", str(tmp_path / "m")]):
        assert main([str(books), *extra]) == 2
        printed = capsys.readouterr()
        assert "good: " in printed.out and "Traceback" not in printed.err
        assert "bad.md: reading it failed with RecursionError" in printed.err
        assert "bomb.md:1: the block between ---: not YAML" in printed.err
        assert "3 book(s) cannot be read" in printed.err
    assert os.listdir(tmp_path / "m" / "good") == ["part-00000.parquet"]


def test_wrong_bytes_in_a_text_in_utf8_are_named_and_the_rest_is_read():
    text = "Chapter 1\n\nThe café was naïve — or so “he” said.\n\n"
    document = read_book(text.encode() + b"The caf\xe9 don\x92t close.\n\nIt is na\xc3 over\xe2\x80.", "a.txt", "a.txt")
    assert [block.text for block in document.blocks][2:] == ["The café don’t close.", "It is na\ufffd over\ufffd."]
    assert any("E9 in line 5, 92 in line 5, C3 in line 7, ..." in note for note in document.notes)
    latin = "Die Bäckerei öffnete bald, und der alte Mann kam mit seinem Hund an den Fluss, um Brot zu holen.".encode(
        "cp1252"
    )
    assert "Bäckerei öffnete" in read_book(latin, "a.txt", "a.txt").blocks[0].text
