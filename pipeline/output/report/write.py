"""`report.html` of a run: every row of it, to be looked at and listened to without network.

One pass over the commits; then one over what was kept of them, as rows are judged by all others. Memory is bounded by
what `pipeline.output.status` keeps, capped lists and one script of rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

import pyarrow as pa
from markupsafe import Markup

from pipeline.config.run import StorageConfig
from pipeline.manifest.rows import safe_file_name
from pipeline.output.clip_reader import ClipReader
from pipeline.output.pages import REPORT_NAME, data_folder
from pipeline.output.records import AUDIO_COLUMN
from pipeline.output.replaced_takes import ReplacedTakes
from pipeline.output.report.data import PageData
from pipeline.output.report.facts import describe_run, draw_times
from pipeline.output.report.page import draw_plot, link_to, render_page, to_script
from pipeline.output.report.rows import ROW_COLUMNS, Judge, RowPages, RowSpool, SpeakerCounts, Times, read_quality
from pipeline.output.report.sounds import (
    DEFAULT_CLIPS_MB,
    SPECTRUM_HEIGHT,
    SPECTRUM_WIDTH,
    WAVE_WIDTH,
    SoundOf,
    Sounds,
)
from pipeline.output.run_record import RunRecord
from pipeline.output.status import Survey, survey_output
from pipeline.storage import Storage, open_storage, split_uri

NOTHING = "–"
"""In the place of a speaker or language that nobody named."""
FOLDER_FILE = "folder.json"
"""In the folder of a book whose chapters lie elsewhere: `{"folder": ...}`."""
PLAYABLE = ("mp3", "opus", "flac", "wav")
"""Formats of a chapter's player, the smallest first."""


def write_report(
    output: str,
    destination: str | None = None,
    *,
    chapters: str | None = None,
    clips_mb: int = DEFAULT_CLIPS_MB,
    settings: StorageConfig | None = None,
    survey: Survey | None = None,
) -> str:
    """Write a page about a run, at any moment of it.

    Args:
        output: of the run: a folder or an object-store prefix.
        destination: address of the page; none is `report.html` in the output. What is too large for the page is put
            beside it, in a folder of its name: `report-data`.
        chapters: where `jobs.assemble` put the chapters, for their players.
        clips_mb: megabytes of clips that page and folder may hold, the most doubtful first.
        settings: how to reach the store.
        survey: an empty one, for who wants to see what it counts.

    Returns:
        the page's address.

    Raises:
        ConfigError: there is no run here.
        StorageError: a store does not answer.
    """
    source = open_storage(output, settings)
    survey = survey or Survey()
    folder, name = (output, REPORT_NAME) if destination is None else split_uri(destination)
    target = open_storage(folder, settings)
    found = _Found(PageData(target, name), survey)
    status = found.read(source, clips_mb)
    if chapters is not None:
        _add_players(status["books"], open_storage(chapters, settings), target)
    target.put(name, _render(source, target, name, found, status))
    found.data.drop_former()
    return target.uri_of(name)


class _Found:
    """What one pass over an output finds for its page."""

    def __init__(self, data: PageData, survey: Survey) -> None:
        self.data, self.survey, self.times = data, survey, Times()
        self.pages: RowPages

    def read(self, source: Storage, clips_mb: int) -> dict[str, Any]:
        """Read the commits, then what was kept of them; return what `read_status` returns."""
        with RowSpool() as spool:

            def visit(unit_id: str, table: pa.Table) -> None:
                self.times.see(table)
                spool.add(unit_id, table)

            status = survey_output(source, self.survey, ROW_COLUMNS, visit)
            spool.end()
            starts = RunRecord(source).read().starts
            quality = read_quality(starts[-1] if starts else {})
            self.pages = RowPages(Judge(self.survey.histograms, quality), self.data)
            replaced = ReplacedTakes(source)
            with_replaced = set(replaced.list_units())
            for unit_id, batch in spool.read():
                self.times.count(batch)
                self.pages.add(unit_id, batch, replaced.read(unit_id) if unit_id in with_replaced else {})
            self.pages.flush()
            sounds = Sounds(ClipReader(source), self.data, max(0, clips_mb) * 1_000_000)
            first = {*self.pages.doubtful, *self.pages.redone}
            sounds.add(sound for sound in _list_sounds(spool) if sound.number in first)
            sounds.add(_list_replaced(replaced, self.pages.redone))
            sounds.add(_list_sounds(spool))
            sounds.end()
        return status


def _list_sounds(spool: RowSpool) -> Iterator[SoundOf]:
    number = 0
    for unit_id, batch in spool.read():
        columns = (batch.column(name).to_pylist() for name in ("status", "row", "audio_path"))
        for status, row, path in zip(*columns, strict=True):
            if status == "ok":
                yield SoundOf(number, unit_id, {"row": row, "audio_path": path})
            number += 1


def _list_replaced(replaced: ReplacedTakes, redone: Mapping[int, tuple[str, int]]) -> Iterator[SoundOf]:
    """Yield takes that were replaced, numbered -1 for that of row 0, -2 for that of row 1."""
    for unit_id, numbers in groupby(redone, key=lambda number: redone[number][0]):
        clips = replaced.read(unit_id)
        for number in numbers:
            if (record := clips.get(redone[number][1])) is not None:
                yield SoundOf(-number - 1, unit_id, record, record[AUDIO_COLUMN]["bytes"])


def _render(
    source: Storage,
    target: Storage,
    page_name: str,
    found: _Found,
    status: dict[str, Any],
) -> bytes:
    pages, data = found.pages, found.data
    base = link_to(source, "audio", target)
    about = {
        "num_rows": pages.num_rows,
        # Of the folder `audio`, without its name, as paths of clips begin with it.
        "base": None if base is None else base.removesuffix("audio"),
        "place": source.uri,
        "folder": data_folder(page_name),
        "doubtful": pages.doubtful,
        "picture": [WAVE_WIDTH, SPECTRUM_WIDTH, SPECTRUM_HEIGHT],
        "data": data.index,
    }
    return render_page(
        "pipeline.output.report",
        "report.html.j2",
        title=source.uri,
        status=status,
        plots=[draw_plot(histogram) for histogram in found.survey.histograms.values()],
        times=draw_times(found.times),
        run=describe_run(RunRecord(source)),
        speakers=[_describe_speaker(name, counts) for name, counts in sorted(pages.speakers.items())],
        other_speakers=_describe_speaker("others", pages.other_speakers),
        speaker_options=_options(sorted(pages.speakers)),
        language_options=_options(sorted(pages.languages)),
        status_options=_status_options(status["rejected"]),
        num_doubtful=pages.num_doubtful,
        num_listed=len(pages.doubtful),
        about=Markup(to_script(about)),
        scripts=Markup(data.scripts_within()),
    )


def _status_options(codes: Iterable[str]) -> list[tuple[str, str]]:
    rejected = [(f"rejected/{code}", f"rejected: {code}") for code in codes]
    return [("", "all"), ("ok", "accepted"), ("rejected", "rejected"), *rejected, ("removed", "removed")]


def _options(names: list[str]) -> list[tuple[str, str]]:
    return [("", "all"), *((name or NOTHING, name or NOTHING) for name in names)]


def _describe_speaker(name: str, counts: SpeakerCounts) -> dict[str, Any]:
    return {
        "name": name,
        "num_rows": counts.num_rows,
        "num_ok": counts.num_ok,
        "num_rejected": counts.num_rejected,
        "num_doubtful": counts.num_doubtful,
        "audio_s": counts.audio_s,
        **{measure: counts.mean(measure) for measure in ("rate", "level", "wer")},
    }


def _add_players(books: list[dict[str, Any]], made: Storage, page: Storage) -> None:
    names = {info.path for info in made.list()}
    for book in books:
        folder = _folder_of(made, safe_file_name(book["book_id"]), names)
        for chapter in book["chapters"]:
            stem = f"{folder}/{chapter['chapter']:03d}"
            found = next((f"{stem}.{suffix}" for suffix in PLAYABLE if f"{stem}.{suffix}" in names), None)
            if found is not None:
                chapter["link"], chapter["place"] = link_to(made, found, page), made.uri_of(found)


def _folder_of(made: Storage, name: str, files: set[str]) -> str:
    """Return where a book's chapters lie: in a folder of its id, or in the one that this folder names."""
    if f"{name}/{FOLDER_FILE}" not in files:
        return name
    try:
        return str(json.loads(made.get(f"{name}/{FOLDER_FILE}"))["folder"])
    except (ValueError, KeyError, TypeError):
        return name
