"""Tables as people have them, turned into shards: columns mapped, ids made, types settled, all in bounded memory.

A start reads such a file once (`intake.py`), into Parquet in a nameless temporary file that goes with its process,
however that ends (`converted_shards.py`). The shard's identity is its rows'; the file is looked at again whenever rows
are read, and another one in its place stops the run. Rows reach replicas with their unit, so that only the driver needs
to see the file.

Knows nothing of outputs or replicas.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.manifest import REQUIRED_COLUMNS, Reading
from pipeline.errors import ManifestError
from pipeline.manifest.converted_shards import settle_types, write_shards
from pipeline.manifest.intake import Intake
from pipeline.manifest.shards import Shard, fingerprint, shard_name
from pipeline.manifest.spool import Spool, SpooledTable
from pipeline.manifest.tables import Source
from pipeline.storage import ObjectInfo, Storage

logger = logging.getLogger(__name__)


def convert_tables(
    storage: Storage, infos: Sequence[ObjectInfo], reading: Reading, required: Collection[str] = REQUIRED_COLUMNS
) -> tuple[list[Shard], list[str]]:
    """Turn files of any form into shards.

    Args:
        storage: where they are.
        infos: of the files.
        reading: what their columns mean.
        required: columns that must be there; a row of one that need not be has null.

    Returns:
        the shards; and what is wrong with files that cannot be read as what they say they are, with file and line.

    Raises:
        ObjectChanged: one changed meanwhile.
    """
    spool, tables, hashes, problems = Spool(), list[SpooledTable](), list[NDArray[np.uint64]](), list[str]()
    for info in sorted(infos, key=lambda info: shard_name(info.path)):
        source = Source(storage.uri_of(info.path), _unused, reading.table, storage.settings.limits, "")
        table = SpooledTable(source, shard_name(info.path), storage.pin(info))
        try:
            hashes += Intake(storage, table, reading, required, spool).run()
        except ManifestError as error:
            problems.append(str(error))
            continue
        tables.append(table)
        made = "" if table.has_ids else "; their ids are made from text and speaker"
        logger.info("%s: %s rows read%s", table.source.uri, f"{table.num_rows:,}", made)
    if problems:
        return [], problems
    numbers = _number_repeats(hashes)
    kinds = settle_types(tables)
    copies, shards, first = Spool(), list[Shard](), 0
    try:
        for table in tables:
            mark = fingerprint(storage, table.info)
            shards += write_shards(table, kinds, {} if table.has_ids else numbers, first, spool, copies, mark)
            first += 0 if table.has_ids else table.num_rows
    except ManifestError as error:
        return [], [str(error)]
    return shards, []


def _unused() -> Any:
    raise AssertionError("only its name is used")


def _number_repeats(hashes: Sequence[NDArray[np.uint64]]) -> dict[int, int]:
    """Return which repeat a row is (2, 3, ...), by its place among all rows whose ids are made."""
    if not hashes:
        return {}
    found = np.concatenate(hashes)
    ordered = np.sort(found)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not repeated.size:
        return {}
    at = np.minimum(np.searchsorted(repeated, found), repeated.size - 1)
    counts: dict[int, int] = {}
    numbers = {}
    for row in np.nonzero(repeated[at] == found)[0]:
        counts[int(at[row])] = counts.get(int(at[row]), 0) + 1
        if counts[int(at[row])] > 1:
            numbers[int(row)] = counts[int(at[row])]
    return numbers
