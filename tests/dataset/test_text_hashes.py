"""text_hashes.py: what is kept of text files changes no plan, and saves reading files that are as they were."""

import random

import pytest

from pipeline.dataset import text_hashes
from pipeline.dataset.text_hashes import TEXTS, TextHashes
from pipeline.errors import ManifestError
from tests.dataset.planning import Desk, rows_of

NIGHTS = [f"2026-11-{day:02d}" for day in range(10, 20)]
WORDS = "boat river house garden window street letter night morning winter bridge water stone bread".split()


@pytest.fixture(autouse=True)
def few_rows(monkeypatch):
    monkeypatch.setattr(text_hashes, "LEAST_ROWS", 3)


@pytest.fixture
def files_read(monkeypatch):
    """The names of the files whose rows are read to be hashed."""
    names = []
    original = text_hashes.read_texts

    def note(file):
        names.append(file.info.path)
        return original(file)

    monkeypatch.setattr(text_hashes, "read_texts", note)
    return names


def make_desk(folder):
    folder.mkdir()
    desk = Desk(folder, split={"test": 0.2, "validation": 0.1}, plan={"rows": 25})
    desk.texts = [{"path": str(folder / "texts/*.csv"), "name": "news"}]
    return desk


def texts(first, count):
    return {f"n{at}": f"The {WORDS[at % 14]} and the {WORDS[at // 14 % 14]}." for at in range(first, first + count)}


@pytest.mark.parametrize("seed", range(4))
def test_kept_hashes_change_no_plan(tmp_path, seed):
    dice = random.Random(seed)
    desks = [make_desk(tmp_path / name) for name in ("kept", "read")]
    desks[1].keeps_hashes = False
    files = {f"f{at}.csv": texts(12 * at, 12) for at in range(4)}
    for night in NIGHTS[:5]:
        for desk in desks:
            for path in (desk.folder / "texts").glob("*"):
                path.unlink()
            for name, rows in files.items():
                desk.write(rows, name)
        kept, read = (desk.plan(night) for desk in desks)
        assert (rows_of(kept), kept.counts.to_json()) == (
            rows_of(read),
            {**read.counts.to_json(), "examples": kept.counts.to_json()["examples"]},
        )
        assert kept.ledger.equals(read.ledger)
        name = dice.choice([*files])
        changed = dict(files[name])
        changed[dice.choice([*changed])] = f"The {dice.choice(WORDS)} fell on {dice.choice(WORDS)}."
        changed |= texts(100 * dice.randrange(9), dice.randrange(4))
        files[name] = dict(dice.sample([*changed.items()], dice.randrange(2, len(changed))))
        if dice.random() < 0.4:
            files[f"g{dice.randrange(99)}.csv"] = files.pop(dice.choice([*files]))


def test_files_that_are_as_they_were_are_not_read_again(tmp_path, files_read):
    desk = make_desk(tmp_path / "desk")
    for name, first in (("a.csv", 0), ("b.csv", 20), ("few.csv", 40)):
        desk.write(texts(first, 2 if name == "few.csv" else 10), name)
    desk.plan(NIGHTS[0])
    assert files_read == ["a.csv", "b.csv", "few.csv"]
    files_read.clear()
    (desk.folder / "texts/a.csv").touch()
    desk.write({**texts(20, 10), "n99": "The gate is open."}, "b.csv")
    assert desk.plan(NIGHTS[1]).counts.num_texts_seen == 23
    assert files_read == ["b.csv", "few.csv"], "of a file that was touched, or copied, the content is the same"
    (desk.folder / "texts/a.csv").unlink()
    desk.plan(NIGHTS[2])
    assert len([*desk.corpus.storage.list(TEXTS)]) == 1, "what was kept of a file that is gone goes, too"


@pytest.mark.parametrize(
    "change",
    [{"language": "en"}, {"id_column": "other"}, {"text_column": "title"}],
    ids=["language", "id_column", "text_column"],
)
def test_files_that_are_read_in_another_way_are_read_again(tmp_path, files_read, change):
    desk = make_desk(tmp_path / "desk")
    rows = [f"n{at},m{at},The {word} fell.,A {word} falls." for at, word in enumerate(WORDS)]
    (desk.folder / "texts/a.csv").write_text("\n".join(["id,other,text,title", *rows]) + "\n")
    desk.plan(NIGHTS[0], write=False)
    files_read.clear()
    desk.texts[0] |= change
    desk.plan(NIGHTS[1], write=False)
    assert files_read == ["a.csv"]


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "other"])
def test_damaged_hashes_are_made_again(tmp_path, files_read, damage):
    desk = make_desk(tmp_path / "desk")
    desk.write(texts(0, 40), "a.csv")
    desk.plan(NIGHTS[0])
    (info,) = desk.corpus.storage.list(TEXTS)
    data = bytearray(desk.corpus.storage.get(info.path))
    if damage == "bit":
        data[60] ^= 1
    files_read.clear()
    desk.corpus.storage.put(
        info.path, {"cut": bytes(data[:-9]), "empty": b"", "other": b"PAR1"}.get(damage, bytes(data))
    )
    counts = desk.plan(NIGHTS[1]).counts
    assert (counts.num_texts_seen, counts.num_unchanged, counts.left_out) == (40, 25, {})
    assert files_read == ["a.csv"]


def test_hashes_of_other_rows_are_refused(tmp_path, monkeypatch):
    desk = make_desk(tmp_path / "desk")
    desk.write(texts(0, 40), "a.csv")
    original = TextHashes.hash_rows

    def hash_backwards(self, file, rows):
        keys, contents = original(self, file, rows)
        return tuple(
            b"".join(hashes[at : at + 16] for at in range(len(hashes) - 16, -1, -16)) for hashes in (keys, contents)
        )

    with monkeypatch.context() as patch, pytest.raises(ManifestError):
        patch.setattr(TextHashes, "hash_rows", hash_backwards)
        desk.plan(NIGHTS[0])
    with pytest.raises(
        ManifestError, match=r"a\.csv: row .* is not the text that was hashed.*delete the folder texts/"
    ):
        desk.plan(NIGHTS[0])
    (info,) = desk.corpus.storage.list(TEXTS)
    desk.corpus.storage.delete(info.path)
    assert desk.plan(NIGHTS[0]).counts.num_texts == 25
