"""Data files in the form of WebDataset: a tar file of clips, texts and facts for each, and its NeMo manifest beside it.

Made of a data file alone, and named after it, so that equal data files give equal tar files.
"""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Mapping
from typing import Any

from pipeline.config.printable import to_json
from pipeline.dataset.data_files import read_rows
from pipeline.manifest.rows import safe_file_name
from pipeline.output.records import AUDIO_COLUMN
from pipeline.storage import Storage

_FOLDER = "/webdataset/"


def tar_paths(path: str) -> tuple[str, str]:
    """Return where the tar file of a data file and its manifest are.

    Args:
        path: of the data file, `.../data/<name>.parquet`.
    """
    stem = path.removesuffix(".parquet").replace("/data/", _FOLDER)
    return f"{stem}.tar", f"{stem}.jsonl"


def make_tar(source: Storage, path: str) -> tuple[bytes, bytes]:
    """Return the tar file of a data file, and its manifest.

    The manifest has a line a clip as NeMo reads it: `audio_filepath` (in the tar file), `duration`, `text`, and what
    else is known. A clip is three entries of one name: `.flac`, `.txt`, `.json`.

    Args:
        source: the corpus.
        path: of the data file.
    """
    sink, lines = io.BytesIO(), list[str]()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for table in read_rows(source, path):
            lines += [_add_clip(tar, row, posixpath.basename(tar_paths(path)[0])) for row in table.to_pylist()]
    return sink.getvalue(), "".join(lines).encode()


def write_tar(source: Storage, target: Storage, path: str) -> int:
    """Write the tar file of a data file, then its manifest; those that are there already stay.

    Args:
        source: the corpus.
        target: where they go, by the same path.
        path: of the data file.

    Returns:
        how many objects were put.
    """
    tar_path, manifest_path = tar_paths(path)
    if target.exists(manifest_path):  # Written last.
        return 0
    tar, manifest = make_tar(source, path)
    target.put(tar_path, tar)
    target.put(manifest_path, manifest)
    return 2


def _add_clip(tar: tarfile.TarFile, row: Mapping[str, Any], tar_name: str) -> str:
    """Add the entries of one clip; return its line of the manifest."""
    # A dot would end the name that the entries of a clip share.
    name = safe_file_name(str(row["id"])).replace(".", "%2E")
    facts = {key: value for key, value in row.items() if key != AUDIO_COLUMN}
    _add(tar, f"{name}.flac", row[AUDIO_COLUMN]["bytes"])
    _add(tar, f"{name}.txt", str(row["text"]).encode("utf-8", "replace"))
    _add(tar, f"{name}.json", to_json(facts, default=str).encode("utf-8", "replace"))
    line = {
        "audio_filepath": f"{name}.flac",
        "duration": row["duration"],
        "text": row["text"],
        "speaker": row["speaker"],
        "lang": row["language"],
        "id": row["id"],
        "tar": tar_name,
    }
    return to_json(line) + "\n"


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)  # Without times, owners or rights: equal clips give equal files.
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))
