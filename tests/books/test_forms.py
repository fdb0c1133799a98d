"""Word documents and FictionBook become the same chapters; what cannot be read is named with the way."""

import base64
import io
import zipfile

import pytest

from pipeline.books.catalogue import list_books, read_book
from pipeline.books.chapters import split_into_chapters
from pipeline.errors import ManifestError
from pipeline.storage import open_storage

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def texts(data, name):
    document = read_book(data if isinstance(data, bytes) else data.encode(), name, name)
    found = split_into_chapters(document)
    counted = sum(part.num_words + sum(part.left_out.values()) for part in found.parts)
    assert counted == document.num_words
    return document, [[block.text for block in chapter.blocks] for chapter in found.chapters]


def paragraph(text, style="", after=""):
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{properties}<w:r><w:t>{text}</w:t></w:r>{after}</w:p>"


def word_document(body, **files):
    types = "".join(
        f'<Override PartName="/word/{name}.xml" ContentType="application/vnd.openxmlformats-officedocument.'
        f'wordprocessingml.{kind}+xml"/>'
        for name, kind in (("document", "document.main"), ("styles", "styles"), ("footnotes", "footnotes"))
    )
    style = '<w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/></w:style>'
    note = '<w:footnote w:id="2"><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote>'
    files = {
        "[Content_Types].xml": f'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f"{types}</Types>",
        "_rels/.rels": f'<Relationships xmlns="{RELATIONS}"><Relationship Id="r1" Type="{OFFICE}/officeDocument" '
        'Target="word/document.xml"/></Relationships>',
        "word/_rels/document.xml.rels": f'<Relationships xmlns="{RELATIONS}"><Relationship Id="r1" '
        f'Type="{OFFICE}/styles" Target="styles.xml"/><Relationship Id="r2" Type="{OFFICE}/footnotes" '
        'Target="footnotes.xml"/></Relationships>',
        "word/styles.xml": f"<w:styles {W}>{style}</w:styles>",
        "word/footnotes.xml": f"<w:footnotes {W}>{note}</w:footnotes>",
        "word/document.xml": f"<w:document {W}><w:body>{body}</w:body></w:document>",
        "docProps/core.xml": '<c xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Tales</dc:title>'
        "<dc:creator>A. Writer</dc:creator></c>",
        **files,
    }  # fmt: skip
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return sink.getvalue()


MARK = '<w:r><w:footnoteReference w:id="2"/></w:r>'
BODY = (
    paragraph("Chapter 1", "Heading1") + paragraph("The cat sat.", after=MARK)
    + paragraph("Chapter 2", "Heading1") + paragraph("It ran.")
)  # fmt: skip


def test_word_documents():
    pytest.importorskip("mammoth")
    document, found = texts(word_document(BODY), "a.docx")
    assert (document.title, document.author) == ("Tales", "A. Writer")
    assert found == [["Chapter 1", "The cat sat."], ["Chapter 2", "It ran."]]
    for files in ({"word/document.xml": '<!DOCTYPE a [<!ENTITY x "&y;">]><a/>'}, {"../evil": "x"}, {"word/a.xml": "<"}):
        with pytest.raises(ManifestError, match=r"declares entities|leaves the book|not XML"):
            texts(word_document(BODY, **files), "a.docx")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.docx", b"no zip", "not a Word document .*: it is damaged or something else; get the file again, or save"),
        ("a.docx", b"{\\rtf1 x}", "not a Word document .*: it is rich text, .rtf; save it as .docx"),
        ("a.docx", b"\xd0\xcf\x11\xe0", "not a Word document .*: it is a document of Word 97 to 2003"),
        ("a.docx", b"", "not a Word document .*: it is empty"),
        ("a.epub", b"PK\x03\x04 cut", "not an EPUB .*: it is cut off or damaged; get the file again"),
        ("a.epub", b"<html>404</html>", "not an EPUB .*: it is a page of HTML or XML"),
        (
            "a.txt",
            "The cat sat.\n".encode("utf-16-be") * 9,
            "as in UTF-16 text without its mark; save the book again as",
        ),
        ("a.txt", bytes(range(32)) * 9, "is it encrypted, packed or damaged"),
        ("a.md", b"---\ntitle: Cats: A Life\n---\nx\n", "put it in quotes: title: 'Cats: A Life'"),
    ],
)
def test_files_that_are_not_what_their_name_says_are_told_apart(name, data, message):
    with pytest.raises(ManifestError, match=message):
        texts(data, name)


LOOKS = {
    "large": '<w:p><w:r><w:rPr><w:sz w:val="40"/></w:rPr><w:t>{}</w:t></w:r></w:p>',
    "centered": '<w:p><w:pPr><w:jc w:val="center"/></w:pPr><w:r><w:t>{}</w:t></w:r></w:p>',
    "bold": "<w:p><w:r><w:rPr><w:b/></w:rPr><w:t>{}</w:t></w:r></w:p>",
    "a style in large letters": '<w:p><w:pPr><w:pStyle w:val="Own"/></w:pPr><w:r><w:t>{}</w:t></w:r></w:p>',
    "a style of the outline": '<w:p><w:pPr><w:pStyle w:val="Outlined"/></w:pPr><w:r><w:t>{}</w:t></w:r></w:p>',
}
STYLES = (
    '<w:style w:type="paragraph" w:styleId="Big"><w:name w:val="Big"/><w:rPr><w:sz w:val="36"/></w:rPr></w:style>'
    '<w:style w:type="paragraph" w:styleId="Own"><w:name w:val="Own"/><w:basedOn w:val="Big"/></w:style>'
    '<w:style w:type="paragraph" w:styleId="Outlined"><w:name w:val="Mine"/><w:pPr><w:outlineLvl w:val="0"/></w:pPr>'
    "</w:style>"
)
SPEECH = "The miller came down to the river in the evening, and nobody was there but the old dog, who saw him. " * 3


@pytest.mark.parametrize("look", LOOKS.values(), ids=list(LOOKS))
def test_titles_of_word_documents_that_only_their_look_shows(look):
    pytest.importorskip("mammoth")
    names = ["The River", "The Bridge", "The Mill"]
    body = "".join(look.format(name) + paragraph(SPEECH) for name in names)
    styles = f"<w:styles {W}>{STYLES}</w:styles>"
    _, found = texts(word_document(body, **{"word/styles.xml": styles}), "a.docx")
    assert found == [[name, SPEECH.strip()] for name in names]


def test_hidden_text_and_returns_of_word_documents():
    pytest.importorskip("mammoth")
    text = "<w:r><w:t>He saw it.</w:t><w:cr/><w:t>It ran.</w:t></w:r>"
    hidden = f"<w:p>{text}<w:r><w:rPr><w:vanish{{}}/></w:rPr><w:t> Away.</w:t></w:r></w:p>"
    document, found = texts(word_document(hidden.format("") + hidden.format(' w:val="0"')), "a.docx")
    assert [text.split() for text in found[0]] == ["He saw it. It ran.".split(), "He saw it. It ran. Away.".split()]
    assert [block.text for block in document.blocks if block.reason == "hidden text"] == ["Away."]


FICTION = """<?xml version="1.0" encoding="windows-1251"?>
<FictionBook xmlns="http://www.gribuser.ru/xml/fictionbook/2.0" xmlns:l="http://www.w3.org/1999/xlink"><description>
<title-info><author><first-name>Лев</first-name><last-name>Толстой</last-name></author><book-title>Книга</book-title>
<lang>ru</lang><sequence name="Ряд" number="2"/>
<coverpage><image l:href="#c.png"/></coverpage></title-info></description>
<body><title><p>Книга</p></title><section><title><p>Часть I</p></title>
<section><title><p>I</p></title><p>Первая<a l:href="#n1" type="note">[1]</a> глава.</p></section>
<section><title><p>II</p></title><p>Вторая глава.</p>
<poem><stanza><v>Строка раз</v><v>Строка два</v></stanza></poem></section>
</section></body><body name="notes"><section id="n1"><p>Сноска.</p></section></body>
<binary id="c.png" content-type="image/png">{}</binary></FictionBook>"""


def test_fiction_book():
    picture = b"\x89PNG picture"
    document, found = texts(FICTION.format(base64.b64encode(picture).decode()).encode("cp1251"), "a.fb2")
    assert (document.title, document.author, document.language) == ("Книга", "Лев Толстой", "ru")
    assert (document.edition.series, document.edition.series_number, document.cover) == ("Ряд", "2", picture)
    assert found == [
        ["Часть I", "I", "Первая глава."], ["II", "Вторая глава.", "Строка раз\nСтрока два"]
    ]  # fmt: skip
    with pytest.raises(ManifestError, match="not XML"):
        texts("<FictionBook><body>", "a.fb2")


@pytest.mark.parametrize("suffix", ["mobi", "azw3"])
def test_books_of_kindle_are_named_with_the_way(tmp_path, suffix):
    (tmp_path / f"a.{suffix}").write_bytes(b"BOOKMOBI")
    assert list_books(open_storage(str(tmp_path))) == {"a": f"a.{suffix}"}
    with pytest.raises(ManifestError, match=f"convert it to EPUB first, .* ebook-convert BOOK.{suffix} BOOK.epub"):
        texts(b"BOOKMOBI", f"a.{suffix}")


@pytest.mark.parametrize(("name", "library"), [("a.docx", "mammoth"), ("a.pdf", "pdfminer.six")])
def test_a_missing_library_is_named(monkeypatch, name, library):
    monkeypatch.setitem(__import__("sys").modules, library.partition(".")[0], None)
    with pytest.raises(ManifestError, match=rf"needs the package {library}, which is not .*pip install"):
        texts(b"x", name)
