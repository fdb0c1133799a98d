"""Who speaks, scored on annotated novels: `python -m tests.books.score_attribution CORPUS [NOVEL...]`.

CORPUS is a copy of github.com/Priya22/project-dialogism-novel-corpus: `data/NOVEL` holds `novel_text.txt`,
`character_info.csv` (Main Name, Aliases) and `quotation_info.csv` (speaker, quoteByteSpans). A quote is decided if most
of its words have the voice of somebody of the novel's whole cast. A speaker whom the corpus writes by an alias is who
bears it, and people whom its casts have twice are one. Prints a line of Markdown a novel, and one for all.
"""

import argparse
import ast
import csv
import io
import re
import tempfile
from bisect import bisect_left
from collections import Counter
from pathlib import Path

from pipeline.books.casting import Cast, Character
from pipeline.books.catalogue import read_cast_book
from pipeline.config.run import StorageConfig
from pipeline.storage import open_storage

TWICE = {
    "HardTimes": (("Bounderby", "Josiah Bounderby"), ("Harthouse", "Mr. James Harthouse"),
                  ("Childers", "Mr. E. W. B. Childers"), ("Mr. Tom", "Young Thomas"), ("The Whelp", "Young Thomas")),
    "HowardsEnd": (("Mr. Wilcox", "Henry"), ("Mrs. Bast", "Jacky"), ("Fraulein Mosebach", "Frieda")),
    "TheInvisibleMan": (("The Doctor", "Kemp"),),
    "AnneOfGreenGables": (("Miss Stacy", "Miss Muriel Stacy"),),
}  # fmt: skip
"""Names of one person that a novel's cast has as two."""
_WORD = re.compile(r"[^\W_]+")
_LOOK_AHEAD = 3_000


def read_table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))


def read_cast(folder: Path, min_confidence: float) -> Cast:
    characters = []
    for row in read_table(folder / "character_info.csv"):
        name = row["Main Name"].strip()
        if name and not name.startswith("_"):
            aliases = tuple(sorted(set(ast.literal_eval(row["Aliases"])) - {name, ""}))
            characters.append(Character(name=name, voice=f"c{row['Character ID'].strip()}", aliases=aliases))
    return Cast(narrator="narrator", speech="other", min_confidence=min_confidence, characters=tuple(characters))


def label_words(text: str, cast: Cast) -> tuple[list[int], list[str]]:
    """Return where each word of a novel begins, and the voice that reads it; empty for words that are left out."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "novel.txt").write_text(text, "utf-8")
        book = read_cast_book(open_storage(folder, StorageConfig()), "novel", "novel.txt", cast)
    read = [(word.casefold(), row["speaker_id"]) for row in book.rows for word in _WORD.findall(row["text"])]
    own = [(match[0].casefold(), match.start()) for match in _WORD.finditer(text)]
    voices = [""] * len(own)
    at = number = 0
    while number < len(own) and at < len(read):
        if own[number][0] == read[at][0]:
            voices[number] = read[at][1]
            number, at = number + 1, at + 1
            continue
        # The nearest place from which three words are equal again.
        heads = [word for word, _ in read[at : at + 3]]
        reach = range(1, _LOOK_AHEAD)
        skip = next((n for n in reach if [word for word, _ in own[number + n : number + n + 3]] == heads), None)
        number, at = (number + skip, at) if skip else (number + 1, at + 1)
    return [start for _, start in own], voices


def score_novel(folder: Path, min_confidence: float) -> Counter[str]:
    """Return how many quotes there are, are decided, and are right."""
    cast = read_cast(folder, min_confidence)
    voice_of = {name: found.voice for found in reversed(cast.characters) for name in found.aliases}
    voice_of |= {found.name: found.voice for found in cast.characters}
    same = {(voice_of.get(one), voice_of.get(other)) for one, other in TWICE.get(folder.name, ())}
    starts, voices = label_words((folder / "novel_text.txt").read_bytes().decode("utf-8", "replace"), cast)
    score: Counter[str] = Counter()
    for row in read_table(folder / "quotation_info.csv"):
        spoken: Counter[str] = Counter()
        for start, end in ast.literal_eval(row["quoteByteSpans"]):
            spoken.update(voices[bisect_left(starts, start) : bisect_left(starts, end)])
        voice = spoken.most_common(1)[0][0] if spoken else ""
        score["quotes"] += 1
        if voice not in ("", "narrator", "other"):
            score["decided"] += 1
            gold = voice_of.get(row["speaker"].strip())
            score["right"] += voice == gold or (voice, gold) in same
    return score


def describe(name: str, score: Counter[str]) -> str:
    decided, right = score["decided"] / score["quotes"], score["right"] / max(1, score["decided"])
    return f"| {name} | {score['quotes']:,} | {decided:.2f} | {right:.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("novels", nargs="*")
    parser.add_argument("--min-confidence", type=float, default=Cast().min_confidence)
    options = parser.parse_args()
    csv.field_size_limit(1 << 28)
    total: Counter[str] = Counter()
    for novel in options.novels or sorted(path.name for path in (options.corpus / "data").iterdir()):
        score = score_novel(options.corpus / "data" / novel, options.min_confidence)
        total += score
        print(describe(novel, score), flush=True)
    print(describe("all", total))


if __name__ == "__main__":
    main()
