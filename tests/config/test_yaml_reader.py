"""yaml_reader.py: keys are text as written, and whatever harms is refused with its place."""

import pytest

from pipeline.config.run import StorageConfig
from pipeline.config.yaml_reader import read_yaml
from pipeline.errors import ConfigError, SpeakerError
from pipeline.synthesis.speaker_definitions import read_definitions


@pytest.mark.parametrize(
    "key", ["0012", "12", "no", "Yes", "on", "12:30", "~", "null", "1.0", "1e3", "0x1F", "2026-01-31", ".inf"]
)
@pytest.mark.parametrize("written", ["{}", "'{}'", '"{}"'])
def test_keys_are_text_as_written(key, written):
    """`0012` was 10, `no` was False, `12:30` was 750, `~` was None."""
    assert read_yaml(f"{written.format(key)}: {{a: 1}}\n", "f.yaml") == {key: {"a": 1}}


def test_values_are_still_what_they_mean():
    text = "a: 12\nb: no\nc: ~\nd: 1.5\ne: [1, '1']\n"
    assert read_yaml(text, "f.yaml") == {"a": 12, "b": False, "c": None, "d": 1.5, "e": [1, "1"]}


@pytest.mark.parametrize(
    ("text", "line", "key", "first"),
    [
        ("anna: 1\nbea: 2\nanna: 3\n", 3, "anna", 1),
        ("a:\n  b: {c: 1, c: 2}\n", 2, "c", 2),
        ("no: 1\n\n'no': 2\n", 3, "no", 1),
        ("- {k: 1}\n- {k: 1,\n   k: 2}\n", 3, "k", 2),
        ("<<: {a: 1}\n<<: {b: 2}\n", 2, "<<", 1),
        ("!!set {a, a}\n", 1, "a", 1),
    ],
)
def test_a_key_that_is_there_twice_is_refused(text, line, key, first):
    with pytest.raises(ConfigError, match=rf"^f\.yaml:{line}: the key '{key}' is on line {first} already; remove one"):
        read_yaml(text, "f.yaml")


def test_keys_of_other_mappings_may_be_equal_and_merged_ones_are_overridden():
    text = "x: &x {a: 1, b: 2}\ny: {<<: *x, a: 3}\nz: [*x, *x]\n"
    assert read_yaml(text, "f.yaml")["y"] == {"a": 3, "b": 2}


@pytest.mark.parametrize("text", ["a: 1\n? [b]\n: 2\n", "a: 1\n? {b: 1}\n: 2\n"])
def test_a_key_that_is_no_text_is_refused(text):
    with pytest.raises(ConfigError, match=r"^f\.yaml:2: a key is a list or a mapping; expected a text"):
        read_yaml(text, "f.yaml")


@pytest.mark.parametrize("text", ['a: 1\nb: "\\ud83d"\n', 'a: 1\n"\\udc00": 1\n', 'a: 1\nc: ["\\ud83d\\ude00"]\n'])
def test_half_a_character_is_refused(text):
    """It could not be written to any file, and ended the run far from here."""
    with pytest.raises(ConfigError, match=r"^f\.yaml:2: \\ud[0-9a-f]{3} is half a character"):
        read_yaml(text, "f.yaml")


BOMBS = {
    "aliases": "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)),
    "merges": "a0: &a0 {k: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40)),
    "itself": "a: &a [*a]\n",
    "depth": "[" * 50_000,
    "depth of blocks": "\n".join(" " * n + "a:" for n in range(2_000)),
    "no date": "a: 2026-99-99\n",
    "no number": "a: !!int one\n",
    "digits": f"a: {'9' * 10_000}\n",
    "code": "a: !!python/object/apply:os.system [ls]\n",
    "not UTF-8": b"a: \xff\xfe\xfd\n",
    "two documents": "a: 1\n---\nb: 2\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_harms_is_refused(name):
    with pytest.raises(ConfigError, match=r"^f\.yaml: (not YAML|more than 1,000,000 values)"):
        read_yaml(BOMBS[name], "f.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\ntitle: Emma: a Novel\n", r"line 2: mapping values .*; put it in quotes: title: 'Emma: a Novel'"),
        ("a:\n  - who: it's: me\n", r"put it in quotes: - who: 'it''s: me'"),
        ("a: @home\n", r"line 1: .*; put it in quotes: a: '@home'"),
        ("a:\n\tb: 1\n", "line 2: .*; indent with spaces, not with tabs"),
        ("a: [1, 2\nb: 3\n", "close the bracket"),
        ("a: {b: c: d}\n", "close the bracket, or put a text with a colon or a comma in it in quotes"),
        ("a: *Anna*\n", "put it in quotes: a: '[*]Anna[*]'"),
        ("a: 1\n".encode("utf-16"), "UTF-16 text, or no text at all; save it as UTF-8"),
        ("a: 1\n".encode("utf-16-le"), "UTF-16 text, or no text at all; save it as UTF-8"),
        (b"a: 1\nb: caf\xe9\n", "line 2 has the byte 0xe9, which is no UTF-8; save it as UTF-8"),
    ],
)
def test_what_is_no_yaml_is_answered_with_what_to_write(text, message):
    with pytest.raises(ConfigError, match=rf"^f\.yaml: not YAML: .*{message}"):
        read_yaml(text, "f.yaml")


def test_a_mark_of_utf_8_is_no_part_of_the_first_key():
    assert read_yaml(b"\xef\xbb\xbfa: 1\n", "f.yaml") == {"a": 1}


def test_speakers_keep_their_ids(tmp_path):
    path = tmp_path / "speakers.yaml"
    path.write_text("0012: {gender: female}\nno: {gender: male}\n12:30: {gender: male}\n~: {gender: male}\n")
    assert [found.speaker_id for found in read_definitions(str(path), StorageConfig())] == ["0012", "no", "12:30", "~"]
    path.write_text("- {speaker_id: 0x12, gender: female}\n")
    with pytest.raises(SpeakerError, match=r"speaker_id: input should be a valid string, got 18; put it in quotes"):
        read_definitions(str(path), StorageConfig())


@pytest.mark.parametrize(
    ("written", "number"), [("0100", "64"), ("-0012", "-10"), ("0_7", "7"), ("1:30", "90"), ("1:30.5", "90.5")]
)
def test_numbers_that_are_not_what_they_look_like_are_refused(written, number):
    """`unit_size: 0100` was 64, `seed: 0012` was 10."""
    with pytest.raises(ConfigError, match=rf"^here:2: YAML reads {written} as the number {number}; write {number} if"):
        read_yaml(f"a: 0\nb: [{written}]\n", "here")
    assert read_yaml(f"b: '{written}'\n", "here") == {"b": written}
    assert read_yaml(f"b: {written}\n", "here", as_text=True) == {"b": written}


def test_other_numbers_are_read():
    written = "[0, 00, -0, 0.5, 010.5, 1_000, 0x10, 08, 1e3, 1.0e+3, .5, 12]"
    assert read_yaml(written, "here") == [0, 0, 0, 0.5, 10.5, 1000, 16, "08", "1e3", 1000.0, 0.5, 12]
