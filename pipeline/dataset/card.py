"""The card of a data set (README.md): what machines read in front, what people read below.

Its front is YAML as data-set hubs and the package `datasets` read it. Knows nothing of stores.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from pipeline.config.printable import without_controls

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_MAX_LISTED = 200
_SPLIT_ORDER = ("train", "validation", "test")
NOT_STATED = "not stated"
"""Of a voice's license or consent."""
_LICENSE_ID = r"[a-z0-9][a-z0-9.-]*"


@dataclass(frozen=True)
class CardFile:
    """What a card says of one data file."""

    path: str
    """From the card's folder."""
    split: str
    num_rows: int
    size: int


def make_card(about: Mapping[str, Any], files: Sequence[CardFile], stats: Mapping[str, Any]) -> str:
    """Return the card.

    Args:
        about: `name`, `license`, `night`, `revision`, `weights` (their sha256s), `format`.
        files: the data files, in their order.
        stats: as `summarize` returns them.
    """
    front = yaml.safe_dump(_front(about, files, stats), sort_keys=False, allow_unicode=True, width=120)
    return f"---\n{front}---\n\n{_body(about, files, stats)}"


def _front(about: Mapping[str, Any], files: Sequence[CardFile], stats: Mapping[str, Any]) -> dict[str, Any]:
    license_ = str(about["license"]).lower()
    is_id = re.fullmatch(_LICENSE_ID, license_) is not None
    front: dict[str, Any] = {
        "license": license_ if is_id else "other",
        **({} if is_id else {"license_name": re.sub(r"[^a-z0-9.]+", "-", license_).strip("-") or "own"}),
        "language": sorted(name for name in stats["languages"] if re.fullmatch("[a-z]{2,3}", name)),
        "pretty_name": str(about["name"]),
        "task_categories": ["text-to-speech", "automatic-speech-recognition"],
        "size_categories": [next((name for below, name in _SIZES if stats["num_rows"] < below), "10M<n<100M")],
        "tags": ["synthetic", "synthetic-speech", "speech", "audio", "spark-tts"],
    }
    if not front["language"]:
        del front["language"]
    splits = _by_split(files)
    if splits:
        data_files = [{"split": split, "path": [file.path for file in found]} for split, found in splits.items()]
        front["configs"] = [{"config_name": "default", "data_files": data_files}]
        sizes = {split: sum(file.size for file in found) for split, found in splits.items()}
        front["dataset_info"] = {
            "splits": [
                {"name": split, "num_bytes": sizes[split], "num_examples": sum(file.num_rows for file in found)}
                for split, found in splits.items()
            ],
            "download_size": sum(sizes.values()),
            "dataset_size": sum(sizes.values()),
        }
    return front


def _by_split(files: Sequence[CardFile]) -> dict[str, list[CardFile]]:
    found: dict[str, list[CardFile]] = {}
    for file in files:
        found.setdefault(file.split, []).append(file)
    order = {split: at for at, split in enumerate(_SPLIT_ORDER)}
    return dict(sorted(found.items(), key=lambda entry: (order.get(entry[0], len(order)), entry[0])))


_MADE = """\
## How it was made

Every clip is **synthetic speech**: a text-to-speech model (Spark-TTS) read the texts. Nobody spoke them. A clip's FLAC
comments say so, too, with the weights and the license. Texts were normalized, cut at sentence ends and synthesized with
a seed that is on record; each take was judged by its length, pauses, silence and clipping, and by a recognizer where
one was set (`measures.wer`). Rows that failed are not here; their number is below.

Weights: {weights}

## Limits

- The voices are imitations made by a model. Do not use them to deceive, or in place of the person whose voice was the
  model's source.
- Prosody, noise and slips of the tongue are those of a model: a recognizer that is trained on this alone will not know
  real rooms, microphones or speakers.
- A take that passed its limits may still hold a wrong word: filter by `measures`.
- The texts' own licenses are in the column `license`, row by row.
{voices}"""

_COLUMNS = """\
## Columns

`audio` (FLAC, mono, 16 bit), `id`, `text`, `spoken_text` (numbers and abbreviations spelled out, as it was sent to the
model), `speaker`, `language`, `duration` (seconds), `measures` (level in dBFS, silence, pace in characters a second,
word and letter errors, likeness of the voice, take), `seed`, `weights` (sha256), `license`, `night` (of the row),
`clip_sha256` (of the clip before its comments), and what the texts had beside.

`files.json` lists every data file with its size and sha256; `removed.parquet` the rows that earlier snapshots had and
this one has not, with the reason; `stats.json` the numbers below and more.
"""

_LOAD = """\
## How to load it

```python
import datasets

found = datasets.load_dataset("{place}")  # the folder of this card
```

The texts of one split are in no other, and stay there in later snapshots. Files of nights that did not change lie in
the folders of earlier snapshots: `files.json` and the front of this card name them.
"""


def _body(about: Mapping[str, Any], files: Sequence[CardFile], stats: Mapping[str, Any]) -> str:
    title = without_controls(str(about["name"]))
    revision = f", revision {about['revision']}" if about["revision"] else ""
    weights = ", ".join(f"`sha256:{name}`" for name in about["weights"]) or "none yet"
    rejected = f", {stats['num_rejected']:,} rejected" if stats["num_rejected"] else ""
    parts = [
        f"# {title}\n\nSnapshot of {about['night']}{revision}: {stats['num_rows']:,} clips of synthetic speech, "
        f"{_hours(stats['hours'])} hours{rejected}. License: {_cell(about['license'])}.\n",
        _MADE.format(weights=weights, voices=_voices_without_terms(stats["speakers"])),
        "## Splits\n\n" + _table("split", stats["splits"]),
        "## Speakers\n\n" + _table("speaker", stats["speakers"]),
        "## Languages\n\n" + _table("language", stats["languages"]),
        "## Licenses of the texts\n\n" + _table("license", stats["licenses"]),
        "## Nights\n\n" + _table("night", stats["nights"]),
        "## Measures\n\n" + _measures(stats["measures"]),
        _coverage(stats["coverage"]),
        _COLUMNS,
        _LOAD.format(place=f"snapshots/{about['night']}"),
    ]
    return "\n".join(parts)


def _cell(text: object) -> str:
    """Return what others wrote as one line or cell of a table, in which nothing is markup."""
    return re.sub(r"([\\|`*_\[\]<>#&])", r"\\\1", without_controls(str(text)))


def _hours(hours: float) -> str:
    return f"{hours:,.2f}" if hours >= 1 else f"{hours:.2g}"


def _voices_without_terms(speakers: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a line on the voices whose license or consent nobody has written down; nothing where there are none."""
    missing = {
        "license": sum(entry.get("license") is None for entry in speakers.values()),
        "consent": sum(describe_consent(entry) == NOT_STATED for entry in speakers.values()),
    }
    told = [f"no {name} on record: {count:,} of {len(speakers):,}" for name, count in missing.items() if count]
    return f"- Voices with {'; with '.join(told)}.\n" if told else ""


def describe_consent(entry: Mapping[str, Any]) -> str:
    """Return whether somebody has consented to a voice.

    Args:
        entry: of the speaker, as stats.json has it.
    """
    if entry.get("has_consent"):
        return "on record"
    return "nobody's voice" if entry.get("kind") == "created" else NOT_STATED


def _table(title: str, groups: Mapping[str, Mapping[str, Any]]) -> str:
    has_accepted = any("accepted" in entry for entry in groups.values())
    head = [title, "rows", "hours", *(["accepted"] if has_accepted else [])]
    head += ["license of the voice", "consent"] if title == "speaker" else []
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    ordered = (
        sorted(groups.items(), key=lambda entry: (-entry[1]["num_rows"], entry[0]))
        if title != "night"
        else [*groups.items()][::-1]
    )
    for name, entry in ordered[:_MAX_LISTED]:
        cells = [_cell(name), f"{entry['num_rows']:,}", _hours(entry["hours"])]
        if has_accepted:
            share = entry.get("accepted")
            cells.append("" if share is None else f"{share:.1%}")
        if title == "speaker":
            cells += [_cell(entry.get("license") or NOT_STATED), describe_consent(entry)]
        lines.append(f"| {' | '.join(cells)} |")
    if len(ordered) > _MAX_LISTED:
        lines.append(f"\n{len(ordered) - _MAX_LISTED:,} more are in `stats.json`.")
    return "\n".join(lines) + "\n"


def _measures(measures: Mapping[str, Mapping[str, float] | None]) -> str:
    titles = {
        "duration_s": "duration, s",
        "chars_per_s": "pace, characters/s",
        "rms_dbfs": "level, dBFS RMS",
        "wer": "word error rate",
    }
    lines = ["| measure | 5 % | 25 % | median | 75 % | 95 % |", "|---|---|---|---|---|---|"]
    for name, found in measures.items():
        if found is not None:
            lines.append(f"| {titles[name]} | {' | '.join(f'{value:.2f}' for value in found.values())} |")
    return "\n".join(lines) + "\n"


def _coverage(coverage: Mapping[str, int]) -> str:
    return (
        f"## Coverage\n\n{coverage['words']:,} different words, {coverage['letters']:,} letters, "
        f"{coverage['trigrams']:,} sequences of three letters (a word's edges included) in what is spoken; how they "
        "grew is in `stats.json`, by night.\n"
    )
