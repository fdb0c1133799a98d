"""A night's plan: which texts are new, in which split they are, and who reads them; one shard that never changes.

Texts are read in the order that the night gives them, until there is enough: what is read in vain is what was said
before, must never be said, or cannot be said, and each is counted.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config.dataset import NIGHT_COLUMNS, NightConfig, Split, SplitConfig
from pipeline.config.printable import one_line
from pipeline.dataset.corpus import MANIFEST, Corpus, Identity
from pipeline.dataset.ledger import DUPLICATE, LEDGER_SCHEMA, PLANNED, REPEATED, Earlier, Ledger, write_ledger
from pipeline.dataset.never import NeverTexts
from pipeline.dataset.normal_form import SpokenText, TextReader, find_words, hash_words
from pipeline.dataset.scan import Scan, TextRow
from pipeline.dataset.voices import Turns
from pipeline.errors import UtteranceError
from pipeline.output.progress import format_duration

logger = logging.getLogger(__name__)
LONG_ID, CONTRADICTED, WITHDRAWN, BROKEN = "id_too_long", "id_contradicted", "withdrawn", "half_a_character"
_MAX_ID_BYTES = 1_000
_MAX_EXAMPLES = 5
_MOST_AT_ONCE = 200_000
"""Texts in memory."""
_LEAST_AT_ONCE = 2_000
_USUAL_S = 4.0
"""Of a text, before any was read."""
_ROWS_PER_GROUP = 8_192


@dataclass
class PlanCounts:
    """What a plan says of itself; no texts, as it stays when they are withdrawn."""

    night: str
    num_texts_seen: int = 0
    """Rows of all files."""
    num_unchanged: int = 0
    """That earlier nights have seen as they are."""
    num_texts: int = 0
    """Planned."""
    num_rows: int = 0
    hours: float = 0.0
    """Expected."""
    num_corrected: int = 0
    """Of the texts planned: those that take the place of an earlier version."""
    num_returned: int = 0
    """Of the texts planned: those that only speakers read who are withdrawn now."""
    num_superseded: int = 0
    """Rows of earlier nights that leave, as their text was corrected."""
    num_waiting: int = 0
    """New texts that this night has no room for."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Texts that are not planned, by reason."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """Ids of some of them; of rows that contradict each other, where they stand, too."""
    speakers: dict[str, dict[str, float]] = field(default_factory=dict)
    """`rows` and `hours` of each voice."""
    splits: dict[str, dict[str, float]] = field(default_factory=dict)
    """`texts`, `rows` and `hours` of each split."""
    speakers_without: dict[str, list[str]] = field(default_factory=dict)
    """Of the speakers, those whose definition has no `license`, and no `consent`."""

    def leave_out(self, reason: str, row: TextRow) -> None:
        """Count a text that is not planned."""
        self.left_out[reason] += 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < _MAX_EXAMPLES:
            examples.append(f"{row.source}: {row.text_id:.80}".encode("utf-8", "replace").decode())

    def add(self, split: str, voices: Sequence[str], expected_s: float) -> None:
        """Count a text that is planned."""
        hours = expected_s / 3_600
        self.num_texts += 1
        self.num_rows += len(voices)
        self.hours += hours * len(voices)
        part = self.splits.setdefault(split, {"texts": 0, "rows": 0, "hours": 0.0})
        part["texts"] += 1
        part["rows"] += len(voices)
        part["hours"] += hours * len(voices)
        for voice in voices:
            own = self.speakers.setdefault(voice, {"rows": 0, "hours": 0.0})
            own["rows"] += 1
            own["hours"] += hours

    def to_json(self) -> dict[str, Any]:
        """Return what is kept of it."""
        fields = asdict(self)
        fields["left_out"] = dict(sorted(self.left_out.items()))
        for group in (fields["speakers"], fields["splits"]):
            for part in group.values():
                part["hours"] = round(part["hours"], 6)
        return {**fields, "hours": round(self.hours, 6)}


def describe_plan(plan: Mapping[str, Any]) -> list[str]:
    """Return what a plan comes to, for a person.

    Args:
        plan: as `PlanCounts.to_json` returns it.
    """
    lines = [
        f"texts      {plan['num_texts_seen']:,} seen, {plan['num_unchanged']:,} known, {plan['num_texts']:,} planned "
        f"({plan['num_corrected']:,} corrected, {plan.get('num_returned', 0):,} of withdrawn voices), "
        f"{plan['num_waiting']:,} wait for another night",
        f"rows       {plan['num_rows']:,}, about {format_duration(plan['hours'] * 3_600)} of audio; "
        f"{plan['num_superseded']:,} of earlier nights leave, as their text was corrected",
    ]
    for title, group in (("splits", plan["splits"]), ("speakers", plan["speakers"])):
        parts = [
            f"{name} {part['rows']:,} ({format_duration(part['hours'] * 3_600)})"
            for name, part in sorted(group.items())
        ]
        lines.append(f"{title:10} {one_line(', '.join(parts)) or 'none'}")
    for term, names in plan.get("speakers_without", {}).items():
        lines.append(
            f"no {term:7} {len(names):,} of {len(plan['speakers']):,} speakers have no `{term}` in the speakers file: "
            f"{one_line(', '.join(names)):.200}"
        )
    for reason, count in plan["left_out"].items():
        examples = [one_line(example) for example in plan["examples"].get(reason, ())]
        if reason == CONTRADICTED:
            lines.append(f"left out   {count:,} {reason}: correct a text where it stands, or take the old row out")
            lines += [f"             {example:.600}" for example in examples]
        else:
            lines.append(f"left out   {count:,} {reason}" + (f": {', '.join(examples[:3]):.200}" if examples else ""))
    return lines


@dataclass
class Plan:
    """What a night will write."""

    counts: PlanCounts
    manifest: bytes
    """The shard, Parquet."""
    ledger: pa.Table

    def write(self, corpus: Corpus) -> None:
        """Write it: the ledger first, which does not count without the shard."""
        night = self.counts.night
        write_ledger(corpus, night, self.ledger, self.counts.to_json())
        corpus.storage.put(f"{MANIFEST}{night}.parquet", self.manifest, if_absent=True)


class Planner:
    """Plans one night.

    Args:
        config: of the night.
        night: its name.
        identity: of the corpus.
        ledger: of all other nights.
        reader: reads texts as the run will.
        never: what must never be spoken.
        turns: who reads what.
        pace: seconds spoken for each that is expected.
    """

    def __init__(
        self,
        config: NightConfig,
        night: str,
        identity: Identity,
        ledger: Ledger,
        reader: TextReader,
        never: NeverTexts,
        turns: Turns,
        pace: float = 1.0,
    ) -> None:
        self._settings, self._salt, self._ledger = config.dataset, identity.key, ledger
        self._reader, self._never, self._turns, self._pace = reader, never, turns, pace
        self._extra = config.extra_columns
        self._counts = PlanCounts(night)
        self._said: dict[bytes, Split] = {}
        """What this night says, as hashes of it as it is spoken and written, with its split."""
        self._leaving: frozenset[int] = frozenset()
        """Rows of the ledger whose text is corrected by this night: what they say is free again."""
        self._contents: set[bytes] = set()
        """The same of texts as they were written, where only copies are duplicates."""
        names = ("utterance_id", "text", "speaker_id", "language", *NIGHT_COLUMNS, *self._extra)
        types = {"version": pa.int32()}
        self._schema = pa.schema([pa.field(name, types.get(name, pa.string())) for name in names])

    def plan(self, scan: Scan) -> Plan:
        """Plan what a scan found.

        Raises:
            ConfigError: it would correct more than it may.
            ManifestError: a file of texts cannot be read.
        """
        scan.check_corrections(self._settings.max_corrected)
        counts = self._counts
        counts.num_texts_seen, counts.num_unchanged = scan.num_rows, scan.num_unchanged
        counts.left_out.update({"id_repeated": scan.num_repeated, CONTRADICTED: scan.num_contradicted})
        counts.left_out = +counts.left_out
        self._leaving = frozenset(scan.earlier[scan.order[: scan.num_corrected]].tolist())
        if scan.contradictions:
            counts.examples[CONTRADICTED] = scan.describe_contradictions()
        sink = pa.BufferOutputStream()
        entries: list[dict[str, Any]] = []
        pieces: list[pa.Table] = []
        with pq.ParquetWriter(sink, self._schema, compression="zstd") as writer:
            for rows in self._plan_in_turn(scan, entries):
                writer.write_table(pa.Table.from_pylist(rows, self._schema), row_group_size=_ROWS_PER_GROUP)
                pieces.append(pa.Table.from_pylist(entries, LEDGER_SCHEMA))
                entries.clear()
        pieces.append(pa.Table.from_pylist(entries, LEDGER_SCHEMA))
        return Plan(counts, bytes(sink.getvalue().to_pybytes()), pa.concat_tables(pieces))

    def _plan_in_turn(self, scan: Scan, entries: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
        """Yield rows of the manifest, some at a time; what is to be kept of their texts is added to the entries."""
        at, rows = 0, list[dict[str, Any]]()
        while at < scan.num_corrected or (at < len(scan.order) and not self._is_full()):
            for text in scan.read(at, self._guess_needed(), self._extra):
                if not text.is_correction and self._is_full():
                    break
                at += 1
                self._plan_text(text, rows, entries)
                if len(rows) >= _ROWS_PER_GROUP:
                    yield rows
                    rows = []
        self._counts.num_waiting = len(scan.order) - at
        yield rows

    def _is_full(self) -> bool:
        plan, counts = self._settings.plan, self._counts
        if plan.hours is not None and counts.hours >= plan.hours:
            return True
        return plan.rows is not None and counts.num_rows + plan.voices_per_text > max(plan.rows, plan.voices_per_text)

    def _guess_needed(self) -> int:
        """Return how many texts to read at a time."""
        plan, counts = self._settings.plan, self._counts
        needed = float(_MOST_AT_ONCE)
        if plan.hours is not None:
            text_hours = (
                counts.hours / counts.num_texts if counts.num_texts else plan.voices_per_text * _USUAL_S / 3_600
            )
            needed = min(needed, (plan.hours - counts.hours) / text_hours)
        if plan.rows is not None:
            needed = min(needed, (plan.rows - counts.num_rows) / plan.voices_per_text)
        return max(_LEAST_AT_ONCE, min(_MOST_AT_ONCE, int(1.2 * needed)))

    def _plan_text(self, row: TextRow, rows: list[dict[str, Any]], entries: list[dict[str, Any]]) -> None:
        earlier = self._ledger.read(row.earlier) if row.earlier >= 0 else None
        entry: dict[str, Any] = {"key": row.key, "content": row.content, "version": 1}
        is_corrected = False
        if earlier is not None:
            entry["version"] = earlier.version + row.is_correction
            is_corrected = earlier.outcome == PLANNED and row.is_correction
        if earlier is not None and is_corrected:
            entry["supersedes"] = self._list_superseded(row, earlier)
        self._counts.num_superseded += len(entry.get("supersedes", ()))
        spoken, reason = self._judge(row, entry)
        if earlier is not None and row.is_returning and self._is_withdrawn(row, earlier):
            reason = WITHDRAWN
        if spoken is not None and reason is None:
            split, kept = self._choose_split(entry, earlier)
            if not self._settings.dedup.normalized:
                self._contents.add(row.content)
            expected_s = spoken.expected_s * self._pace
            voices = self._turns.take(split, expected_s, kept)
            entry |= {"outcome": PLANNED, "split": split, "voices": voices}
            entries.append(entry)
            rows.extend(self._make_row(row, entry, voice) for voice in voices)
            self._counts.add(split, voices, expected_s)
            self._counts.num_corrected += is_corrected
            self._counts.num_returned += earlier is not None and earlier.outcome == PLANNED and row.is_returning
            return
        self._counts.leave_out(str(reason), row)
        # A duplicate stays one; all else is looked at again, unless it takes the place of something.
        if reason in (DUPLICATE, REPEATED, WITHDRAWN) or entry.get("supersedes"):
            entries.append(entry | {"outcome": str(reason)})

    def _list_superseded(self, row: TextRow, earlier: Earlier) -> list[str]:
        """Return the rows that leave as their text is corrected; those of withdrawn speakers have left."""
        left = [voice for voice in earlier.voices if voice not in self._ledger.tombstones.ids("speaker")]
        return [make_id(row.source, row.text_id, voice, earlier.version) for voice in left]

    def _is_withdrawn(self, row: TextRow, earlier: Earlier) -> bool:
        """Tell whether a row of this text was taken out by its id: that concerns what it says, whoever reads it."""
        ids = {make_id(row.source, row.text_id, voice, earlier.version) for voice in earlier.voices}
        return bool(ids & self._ledger.tombstones.ids("utterance"))

    def _judge(self, row: TextRow, entry: dict[str, Any]) -> tuple[SpokenText | None, str | None]:
        """Return what is said of a text, or why it is not said; adds its hashes to the entry."""
        if len(row.text_id.encode("utf-8", "surrogatepass")) > _MAX_ID_BYTES:
            return None, LONG_ID
        if not all(map(_is_unicode, (row.text_id, row.text, row.language, row.license, *row.extra.values()))):
            return None, BROKEN
        try:
            spoken = self._reader.read(row.text, row.language)
        except UtteranceError as error:
            return None, str(error.code)
        written = find_words(str(row.text))
        entry["spoken"] = hash_words("spoken", spoken.words, self._salt)
        entry["written"] = hash_words("written", written, self._salt)
        if (match := self._never.match((spoken.words, written))) is not None:
            return spoken, match
        if self._is_repeated(row, entry):
            return spoken, REPEATED
        if self._is_duplicate(row, entry):
            return spoken, DUPLICATE
        return spoken, None

    def _is_repeated(self, row: TextRow, entry: Mapping[str, Any]) -> bool:
        if self._settings.dedup.normalized:
            return entry["spoken"] in self._said or entry["written"] in self._said
        return row.content in self._contents

    def _is_duplicate(self, row: TextRow, entry: Mapping[str, Any]) -> bool:
        if self._settings.dedup.normalized:
            found = self._ledger.find_read((entry["spoken"], entry["written"]))
        else:
            found = self._ledger.find_content(row.content)
        return found is not None and found not in self._leaving and self._ledger.key_of(found) != row.key

    def _choose_split(self, entry: Mapping[str, Any], earlier: Earlier | None) -> tuple[Split, Sequence[str]]:
        """Return the split of a text, and who is to read it, if that is known.

        Words that were said before stay where they were, whichever id they have now; else a correction stays where the
        text was that it corrects.
        """
        hashes = (entry["spoken"], entry["written"])
        split = next((self._said[one] for one in hashes if one in self._said), None)
        if split is None and (found := self._ledger.find_planned(hashes)) is not None:
            split = self._ledger.read(found).split
        kept: Sequence[str] = ()
        if earlier is not None and earlier.outcome == PLANNED and split in (None, earlier.split):
            split, kept = earlier.split, earlier.voices
        split = split or choose_split(entry["spoken"], self._settings.split)
        self._said |= {entry["spoken"]: split, entry["written"]: split}
        return split, kept

    def _make_row(self, row: TextRow, entry: Mapping[str, Any], voice: str) -> dict[str, Any]:
        return {
            "utterance_id": make_id(row.source, row.text_id, voice, entry["version"]),
            "text": row.text,
            "speaker_id": voice,
            "language": row.language,
            "text_id": row.text_id,
            "version": entry["version"],
            "night": self._counts.night,
            "split": entry["split"],
            "license": row.license or self._settings.license,
            "source": row.source,
            **{name: row.extra.get(name) for name in self._extra},
        }


def _is_unicode(text: str | None) -> bool:
    """Tell whether a text can be written: JSON may name half a character."""
    try:
        (text or "").encode()
    except UnicodeEncodeError:
        return False
    return True


def choose_split(spoken: bytes, settings: SplitConfig) -> Split:
    """Return the split of a text by the hash of its words, which holds the salt."""
    share = int.from_bytes(spoken[:8], "big") / 2**64
    if share < settings.test:
        return "test"
    return "validation" if share < settings.test + settings.validation else "train"


def make_id(source: str, text_id: str, speaker_id: str, version: int) -> str:
    """Return the id of a row; other texts, voices or versions have another."""
    # With neither in a speaker's name, the id is read from its end in one way only.
    speaker = speaker_id.replace("%", "%25").replace(".", "%2E")
    return f"{source}-{text_id}.{speaker}.{version}"
