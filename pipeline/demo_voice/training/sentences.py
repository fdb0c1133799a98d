"""English sentences to train on, and the ones to test with, which share no sentence (and some of them no rare word).

Sources: clauses of Debian's `fortunes`, glosses and examples of `wordnet-base`, definitions of its dictionaries
(`dict-gcide`, `dict-devil`, ...), and sentences put together from their words and those of `wamerican`. Half of them get
the marks that books have: typographic quotes, dashes, colons, brackets. The texts are read, not shipped.
"""

from __future__ import annotations

import gzip
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_FORTUNES = Path("/usr/share/games/fortunes")
_WORDS = Path("/usr/share/dict/words")
_WORDNET = Path("/usr/share/wordnet")
_DICTIONARIES = Path("/usr/share/dictd")
_MAX_DICTIONARY_BYTES = 64 << 20
_SENTENCE = re.compile(r"[A-Z][A-Za-z',; -]{5,160}[.!?]")
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_GLOSS = re.compile(r"[a-z][a-z',-]*(?: [a-z][a-z',-]*){2,24}")
_PARTS_OF_GLOSS = re.compile(r'"([^"]*)"|([^;"]+)')
_WRITTEN_WORD = re.compile(r"[^ —]+—?")
_FUNCTION_WORDS = (
    "the a an of to in and that is was it for on with as at by from be are were this his her their our my your we they "
    "he she you I not but or so if when will can could would should has have had do did no all some one two into over "
    "after before under about then now there here what who which how why very"
).split()

TRAINED_MARKS = ".,;:!?'\"“”‘’—…()-"
"""All punctuation of the training text of the next training; what weights were taught is in their text.yaml."""
MAX_TRAINED_CHARS = 149
"""Of a training sentence."""
MAX_SPOKEN_CHARS = 75
"""Of a segment: of chapter I of Alice, by ross, Whisper tiny.en heard .26 of the words wrong in segments of up to 149,
.20 of up to 110, .16 of up to 75 (2026-11-29)."""
NEVER_TRAINED = (
    "harbor lantern pelican cinnamon volcano trumpet orchard saddle compass blizzard carnival pigeon tornado mustard "
    "sapphire gallery bandit hammock pebble rocket sailor tunnel velvet walnut canyon dolphin emerald falcon glacier "
    "helmet igloo jungle kettle lobster magnet napkin oyster parrot quilt ribbon"
).split()
"""Taken out of all training text, whatever their ending."""

EVERYDAY = tuple(
    """The weather is nice this morning.|I would like a cup of tea, please.|She left her keys on the kitchen table.
We are going to the market after lunch.|He has been working here for many years.|Can you tell me what time it is?
The children are playing in the garden.|My brother lives in a small town near the sea.|Please close the door when you leave.
I forgot to call my mother last night.|They bought a new house in the country.|The train was late again today.
Do you want to come with us tomorrow?|There is a lot of work to do this week.|He told me a story about his old dog.
The water in the lake is very cold.|I cannot find my glasses anywhere.|We had dinner with some friends on Friday.
The shop on the corner sells fresh bread.|She is learning how to play the piano.|It was dark when we came home.
You should take the second street on the left.|The doctor said that he needs more rest.|Nobody knows where the money went.
I think it is going to rain soon.|The book on the desk belongs to my teacher.|We waited for an hour, but nobody came.
Her father works in a large office in the city.|This is the best soup I have ever had.|They walked slowly along the river.
What did you do during the summer?|The baby slept through the whole night.|He opened the window and looked outside.
I need to buy milk, eggs, and some butter.|The meeting starts at nine in the morning.|She was happy to see her old friend again.
The road to the village is closed.|Put the plates back on the shelf.|His car broke down on the way to work.
We could hear music from the house next door.|I read the paper every day before breakfast.|The cat is asleep under the chair.
They have lived in the same street since the war.|It takes ten minutes to walk to the station.|You can leave your coat on the bed.
The old man sat down and began to talk.|I will send you a letter next month.|She put on her shoes and went out.
The teacher asked us to read the first page.|There were not many people at the party.|He wants to become a pilot one day.
The lights went out and we lit a candle.|My sister is taller than my father.|Do not forget to lock the front gate.
We saw some beautiful birds in the park.|The bridge over the river is very old.|I was tired, so I went to bed early.
He paid for the coffee and left the room.|The dog barked at the man in the black hat.|Everything was quiet in the early morning."""
    .replace("\n", "|").split("|")
)  # fmt: skip

_CARRIERS = (
    "We found the {} in the kitchen.",
    "She painted a picture of a {} on the wall.",
    "I have never seen a {} like this one before.",
    "The {} was the best part of the story.",
)
UNTRAINED_WORDS = tuple(_CARRIERS[index % len(_CARRIERS)].format(word) for index, word in enumerate(NEVER_TRAINED))


def is_trainable(sentence: str) -> bool:
    """Return whether a sentence is not one of the test's, and holds none of the words kept from training."""
    lowered = sentence.lower()
    if sentence in EVERYDAY or sentence in UNTRAINED_WORDS:
        return False
    return not any(word in lowered for word in NEVER_TRAINED)


def read_fortunes() -> list[str]:
    """Return the sentences of plain words among Debian's fortunes, each once, in order.

    Raises:
        SystemExit: they are not installed.
    """
    if not _FORTUNES.is_dir() or not _WORDS.is_file():
        raise SystemExit(
            "sentences: Debian's fortunes and wamerican are needed; run apt-get install fortunes wamerican"
        )
    seen: dict[str, None] = {}
    for path in sorted(path for path in _FORTUNES.iterdir() if path.is_file() and not path.suffix):
        text = re.sub(r"\s+", " ", path.read_text(encoding="utf-8", errors="replace").replace("\n%\n", " | "))
        for match in _SENTENCE.finditer(text):
            sentence = match[0].replace(" - ", ", ").replace("--", ", ")
            words = sentence.split()
            if 2 <= len(words) <= 25 and max(map(len, words)) < 18 and not re.search(r"\b[A-Z]{2,}", sentence):
                seen[re.sub(r" +", " ", sentence)] = None
    return [sentence for sentence in seen if is_trainable(sentence)]


def read_glosses() -> list[str]:
    """Return the glosses and examples of WordNet that are plain words, as sentences, each once, in order.

    Raises:
        SystemExit: it is not installed.
    """
    files = sorted(_WORDNET.glob("data.*"))
    if not files:
        raise SystemExit("sentences: WordNet's glosses are needed; run apt-get install wordnet-base")
    seen: dict[str, None] = {}
    for path in files:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            _, bar, gloss = line.partition(" | ")
            for example, clause in _PARTS_OF_GLOSS.findall(gloss) if bar else ():
                text = re.sub(r"^\([^()]*\)", "", (example or clause).strip()).strip().rstrip(".,")
                if _GLOSS.fullmatch(text):
                    seen[f"{text[0].upper()}{text[1:]}."] = None
    return [sentence for sentence in seen if is_trainable(sentence)]


def read_dictionaries() -> list[str]:
    """Return the sentences of plain words in the dictionaries that are installed; none is needed."""
    seen: dict[str, None] = {}
    for path in sorted(_DICTIONARIES.glob("*.dict.dz")):
        with gzip.open(path) as file:
            text = re.sub(r"\s+", " ", file.read(_MAX_DICTIONARY_BYTES).decode("utf-8", "replace"))
        for match in _SENTENCE.finditer(text):
            words = match[0].split()
            if 4 <= len(words) <= 25 and max(map(len, words)) < 18 and not re.search(r"\b[A-Z]{2,}|\b\w\.", match[0]):
                seen[match[0].replace("--", ", ").replace(" ,", ",")] = None
    return [sentence for sentence in seen if is_trainable(sentence)]


def find_words(text: str) -> list[tuple[int, int]]:
    """Return where each word of a sentence stands, as many as are in what is spoken of it: a dash parts two."""
    return [match.span() for match in _WRITTEN_WORD.finditer(text)]


def spoken_form(text: str) -> str:
    """Return a sentence as flite reads it: brackets, dashes and colons are short pauses, quotes are none."""
    text = re.sub('[“”"‘]', "", text.replace("’", "'"))
    text = re.sub(r"\)(?=[.,;:!?…]|$)", "", text.replace(" (", ", ")).replace(")", ",")
    text = re.sub("…$", ".", text.replace("—", ", ").replace(":", ","))
    return re.sub(",{2,}", ",", text.replace("…", ","))


def write_marks(sentence: str, rng: random.Random) -> str:
    """Return a sentence with marks as books have them; its words stay."""
    sentence = sentence.replace("'", "’")
    words = sentence.split(" ")
    inside = [number for number in range(1, len(words) - 1) if words[number][-1].isalpha()]
    commas = [number for number in range(len(words) - 1) if words[number].endswith(",")]
    kind = rng.random()
    if kind < 0.35 and (commas or len(inside) > 3):
        number = rng.choice(commas or inside)
        words[number] = words[number].rstrip(",") + rng.choice(("—", "—", ":", ";", "…"))
    elif kind < 0.5 and len(inside) > 4:
        first = rng.choice(inside[1:-2])
        last = min(first + rng.randrange(3), inside[-1])
        words[first], words[last] = f"({words[first].rstrip(',')}", words[last].rstrip(",")
        words[last] += ")"
    elif kind < 0.6 and words[-1].endswith("."):
        words[-1] = words[-1][:-1] + "…"
    sentence = " ".join(words).replace("— ", "—")
    opening, closing = rng.choice(("“”", "“”", '""', "‘’"))
    if rng.random() < 0.5:
        at = sentence.find(", ")
        if at > 0 and rng.random() < 0.5:
            return f"{opening}{sentence[: at + 1]}{closing}{sentence[at + 1 :]}"
        return f"{opening}{sentence}{closing}"
    return sentence


def make_sentences(seed: int) -> Iterator[str]:
    """Yield training sentences without end: found ones, and loose words; half of them with the marks of books."""
    rng = random.Random(seed)
    sources = [found for found in (read_fortunes(), read_glosses(), read_dictionaries()) if found]
    counts = Counter(word for found in sources for sentence in found for word in _WORD.findall(sentence.lower()))
    frequent = [word for word, count in counts.most_common(6000) if count > 1]
    weights = [counts[word] ** 0.4 for word in frequent]
    rare = [word for word in _WORDS.read_text().split() if re.fullmatch(r"[a-z]{3,11}", word)]
    while True:
        kind = rng.random()
        if kind < 0.45:
            sentence = rng.choice(rng.choice(sources))
            words = sentence.split()
            if len(words) > 12 and rng.random() < 0.5:
                start = rng.randrange(len(words) - 8)
                words = words[start : start + rng.randint(3, 9)]
                sentence = " ".join([words[0].capitalize(), *words[1:]]).rstrip(",;.!?") + rng.choice("...!?")
        else:
            count = min(rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12)), 12)
            words = []
            while len(words) < count:
                if words and rng.random() < 0.35:
                    words.append(rng.choice(_FUNCTION_WORDS))
                elif rng.random() < 0.25:
                    words.append(rng.choice(rare))
                else:
                    words.append(rng.choices(frequent, weights)[0])
                if len(words) < count and rng.random() < 0.06:
                    words[-1] += ","
            sentence = " ".join(words)
            sentence = sentence[0].upper() + sentence[1:] + rng.choice("....!?")
        if is_trainable(sentence):
            if rng.random() < 0.5:
                sentence = write_marks(sentence, rng)
            if len(sentence) <= MAX_TRAINED_CHARS:
                yield sentence
