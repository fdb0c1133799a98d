"""The Parquet files of a manifest: find them, check their schemas, read rows by row group.

Knows nothing of utterances or units.
"""

from __future__ import annotations

import logging
import re
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from os.path import commonprefix
from urllib.parse import quote

import pyarrow as pa

from pipeline.config.manifest import OWN_COLUMNS, REQUIRED_COLUMNS
from pipeline.config.run import StorageConfig
from pipeline.errors import ManifestError, ObjectChanged
from pipeline.manifest.forms import is_table, list_forms
from pipeline.manifest.parquet_limits import LimitedParquet, OverLimit, expand
from pipeline.storage import ObjectInfo, Storage, open_storage, split_uri

logger = logging.getLogger(__name__)

DAMAGED_PARQUET = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What the reader raises on bytes that are no Parquet, on damaged pages, and on names that are no text."""
_ROWS_AT_ONCE = 65_536
"""Of one column, where no other is read."""
_KEPT_ROW_GROUPS = 2
_KEPT_FILES = 4


@dataclass(frozen=True)
class ShardCopy:
    """The rows of a file that is no shard itself, as Parquet; see `pipeline.manifest.conversion`."""

    open: Callable[[], pa.NativeFile]
    fingerprint: str
    """Of the file itself."""


@dataclass(frozen=True)
class Shard:
    """One Parquet file, or some rows of a file of another form.

    `name` is its path below the manifest's root without `.parquet`, safe as a folder name.
    """

    name: str
    uri: str
    num_rows: int
    fingerprint: str
    """Equal for equal content."""
    info: ObjectInfo
    """Where it is below the manifest's root."""
    schema: pa.Schema = field(default_factory=lambda: pa.schema([]))
    revision: int = 0
    """That an output gave it, see `WorkUnit.revision`."""
    copy: ShardCopy | None = field(default=None, compare=False, repr=False)
    """Its rows, where the file has another form; only in the process that read it."""


class ShardReader:
    """Rows of shards, with the files and row groups that were read last kept, as units are smaller than row groups."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self._infos: dict[str, ObjectInfo] = {}
        """Of shards that are other objects than when the run began, with the same bytes."""
        self._files: OrderedDict[str, tuple[LimitedParquet, list[int]]] = OrderedDict()
        self._row_groups: OrderedDict[tuple[str, int], pa.Table] = OrderedDict()

    def read(self, shard: Shard, first_row: int, last_row: int) -> pa.Table:
        """Return these rows, `last_row` included.

        Raises:
            ObjectChanged: the shard has other bytes than when it was opened, or is gone.
            ManifestError: the shard is damaged.
        """
        with self._lock:
            try:
                return self._read(shard, first_row, last_row)
            except ObjectChanged:
                self._follow(shard)
                return self._read(shard, first_row, last_row)

    def read_column(self, shard: Shard, column: str) -> Iterator[pa.Array]:
        """Yield one column in batches, and read no other."""
        num_rows = 0
        with _report_damage(shard):
            file = _open_shard_file(self._storage, shard)
            for piece in file.iter_column(column, _ROWS_AT_ONCE):
                num_rows += len(piece)
                yield piece
            if num_rows != shard.num_rows:
                raise pa.ArrowInvalid(f"column {column!r} has {num_rows:,} rows, expected {shard.num_rows:,}")
            file.close()

    def _read(self, shard: Shard, first_row: int, last_row: int) -> pa.Table:
        if shard.copy is not None:
            self._check_source(shard)
        file, starts = self._open(shard)
        pieces = []
        # Of row groups that start at the same row all but the last are empty.
        for group in range(bisect_right(starts, first_row) - 1, bisect_right(starts, last_row)):
            table = self._read_group(shard, file, group)
            start = max(first_row, starts[group]) - starts[group]
            pieces.append(table.slice(start, last_row + 1 - starts[group] - start))
        with _report_damage(shard):
            limits = self._storage.settings.limits
            rows = pa.concat_tables(expand(piece, shard.schema, limits) for piece in pieces)
            if rows.num_rows != last_row + 1 - first_row:
                raise pa.ArrowInvalid(f"rows {first_row} to {last_row} are {rows.num_rows:,}")
            return rows

    def check_unchanged(self, shards: Sequence[Shard]) -> None:
        """Look at the shards once more, as rows that are kept here would not show that one has changed.

        Raises:
            ObjectChanged: a shard has other bytes than when it was opened, or is gone.
        """
        # A listing's prefix is any characters, not whole folders.
        prefix = commonprefix([shard.info.path for shard in shards])  # noqa: RUF071
        wanted = {shard.info.path for shard in shards}
        found = {info.path: self._storage.pin(info).etag for info in self._storage.list(prefix) if info.path in wanted}
        with self._lock:
            for shard in shards:
                if found.get(shard.info.path) != self._infos.get(shard.name, shard.info).etag:
                    self._follow(shard)

    def _follow(self, shard: Shard) -> None:
        """Go on with an object of the same bytes: a file that was touched or copied, a node that has its own copy."""
        info = self._storage.find(shard.info.path)
        info = info and self._storage.pin(info)
        expected = shard.fingerprint if shard.copy is None else shard.copy.fingerprint
        if info is None or fingerprint(self._storage, info) != expected:
            raise ObjectChanged(
                f"{shard.uri}: this shard was {'deleted' if info is None else 'replaced or rewritten'} during the run; "
                "put it back as it was and run the same command again, or begin a new output"
            )
        self._infos[shard.name] = info
        if shard.name in self._files:
            self._files.pop(shard.name)[0].close()

    def _check_source(self, shard: Shard) -> None:
        """Look at the file that a copy was made of, as every read of a shard's own file does by itself."""
        info = self._infos.get(shard.name, shard.info)
        found = self._storage.find(info.path)
        if found is None or self._storage.pin(found).etag != info.etag:
            raise ObjectChanged(f"{shard.uri}: was {'deleted' if found is None else 'replaced or rewritten'}")

    def _open(self, shard: Shard) -> tuple[LimitedParquet, list[int]]:
        if shard.name not in self._files:
            with _report_damage(shard):
                file = _open_shard_file(self._storage, shard, self._infos.get(shard.name))
            self._files[shard.name] = (file, [0, *accumulate(file.group_sizes)][:-1])
            if len(self._files) > _KEPT_FILES:
                self._files.popitem(last=False)[1][0].close()
        self._files.move_to_end(shard.name)
        return self._files[shard.name]

    def _read_group(self, shard: Shard, file: LimitedParquet, group: int) -> pa.Table:
        key = (shard.name, group)
        if key not in self._row_groups:
            while len(self._row_groups) >= _KEPT_ROW_GROUPS:  # Before the read, so that both never add up.
                self._row_groups.popitem(last=False)
            with _report_damage(shard):
                self._row_groups[key] = file.read_row_group(group)
        self._row_groups.move_to_end(key)
        return self._row_groups[key]


def _open_shard_file(storage: Storage, shard: Shard, info: ObjectInfo | None = None) -> LimitedParquet:
    if shard.copy is not None:
        return LimitedParquet(shard.copy.open(), storage.settings.limits)
    return _open_parquet(storage, info or shard.info)


def _open_parquet(storage: Storage, info: ObjectInfo) -> LimitedParquet:
    return LimitedParquet(storage.open_input(info), storage.settings.limits)


@contextmanager
def _report_damage(shard: Shard) -> Iterator[None]:
    """Turn what Parquet's reader says of a damaged page into an error that names the shard."""
    try:
        yield
    except OverLimit as error:
        raise ManifestError(f"{shard.uri}: {error}") from None
    except DAMAGED_PARQUET as error:
        detail = " ".join(str(error).split())[:200]
        raise ManifestError(f"{shard.uri}: damaged ({detail}); put an intact copy in its place") from error


def find_shards(uri: str, settings: StorageConfig) -> tuple[Storage, list[ObjectInfo]]:
    """Return the manifest's root and what was found below it."""
    if re.search(r"[*?\[]", uri):
        head = re.split(r"[*?\[]", uri, maxsplit=1)[0]
        storage = open_storage(head.rpartition("/")[0] or ("/" if uri.startswith("/") else "."), settings)
        pattern = uri[head.rfind("/") + 1 :]
        try:
            matches = re.compile(_translate_glob(pattern)).fullmatch
        except re.error as error:
            raise ManifestError(f"{uri}: not a glob ({error}); close each [ and order its range") from None
        listed = storage.list(re.split(r"[*?\[]", pattern, maxsplit=1)[0])
        found = [info for info in listed if matches(info.path)]
        expected = "no object matches the pattern"
    else:
        if not re.fullmatch(r"(\w+://[^/]+|\.{0,2}|.*/\.{1,2})/*", uri):  # A bucket or such has no name of its own.
            folder, name = split_uri(uri)
            storage = open_storage(folder, settings)
            if (info := storage.find(name)) is not None:
                return storage, [info]
        storage = open_storage(uri, settings)
        found = _choose_files(uri, storage.list())
        expected = "no such file, and no *.parquet or other table below a folder of this name"
    if not found:
        raise ManifestError(
            f"{uri}: {expected}; expected a file ({list_forms()}), a folder of them, or a glob, which a folder of text "
            "needs, such as texts/*.txt"
        )
    return storage, found


def _choose_files(uri: str, listed: Iterator[ObjectInfo]) -> list[ObjectInfo]:
    """Return the files of a folder that are its manifest: those in Parquet, or else all other tables."""
    shards, tables = list[ObjectInfo](), list[ObjectInfo]()
    for info in listed:
        if re.search(r"(^|/)[._]", info.path):
            continue
        if info.path.endswith(".parquet"):
            shards.append(info)
        elif is_table(info.path):
            tables.append(info)
    beside = [info.path for info in tables if ".json" not in info.path]  # Which lie beside many a data set.
    if shards and beside:
        logger.warning(
            "%s: has Parquet files, so that %s is not read; name it by a glob if it should be", uri, beside[0]
        )
    return shards or tables


def _translate_glob(pattern: str) -> str:
    """Turn a glob into a regular expression; `*` stays within a folder, `**` does not."""
    pieces = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]/]+\])", pattern)
    return "".join(
        pieces.get(part) or (part.replace("[!", "[^") if part.startswith("[") else re.escape(part)) for part in parts
    )


def open_shard(storage: Storage, info: ObjectInfo) -> tuple[Shard, list[str]]:
    """Read a footer.

    Returns:
        the shard, and what its own columns lack to be read as they are.

    Raises:
        ManifestError: it is no Parquet, or larger than it may be.
    """
    uri = storage.uri_of(info.path)
    try:
        info = storage.pin(info)
        file = _open_parquet(storage, info)
        schema, num_rows = file.schema, sum(file.group_sizes)
        file.close()
    except OverLimit as error:
        raise ManifestError(f"{uri}: {error}") from None
    except (*DAMAGED_PARQUET, EOFError) as error:
        raise ManifestError(
            f"{uri}: not a Parquet file ({str(error).splitlines()[0][:120]}); convert it, keep it elsewhere, or let "
            f"its name say its form: {list_forms()}"
        ) from None
    for name in dict.fromkeys(schema.names):
        if schema.names.count(name) > 1:
            raise ManifestError(f"{uri}: column {name!r} occurs {schema.names.count(name)} times; rename all but one")
    shard = Shard(shard_name(info.path), uri, num_rows, fingerprint(storage, info), info, schema.remove_metadata())
    return shard, [*_check_schema(schema)]


def fingerprint(storage: Storage, info: ObjectInfo) -> str:
    """Return a text that is equal for files of equal content."""
    return f"{info.size}-{storage.content_hash(info)}"


def _check_schema(schema: pa.Schema) -> Iterator[str]:
    for name in OWN_COLUMNS:
        if name not in schema.names:
            if name in REQUIRED_COLUMNS:
                yield f"column {name!r} is missing"
            continue
        kind = schema.types[schema.names.index(name)]
        if name == "seed":
            if not (pa.types.is_integer(kind) or pa.types.is_null(kind)):
                yield f"column 'seed' is {kind}"
        elif not _is_text(kind):
            yield f"column {name!r} is {kind}"


def unify_extra_columns(shards: Sequence[Shard]) -> pa.Schema:
    """Return the columns that are passed through, with types that hold the values of every shard.

    Raises:
        ManifestError: two shards disagree on a column; names the shard.
    """
    unified = pa.schema([])
    for schema in dict.fromkeys(shard.schema for shard in shards):
        extra = pa.schema([field.remove_metadata() for field in schema if field.name not in OWN_COLUMNS])
        try:
            unified = pa.unify_schemas([unified, extra], promote_options="permissive")
        except pa.ArrowException as error:
            uri = next(shard.uri for shard in shards if shard.schema == schema)
            detail = " ".join(str(error).split())
            raise ManifestError(
                f"{uri}: a column has another type than in the shards before it ({detail}); cast it"
            ) from None
    return unified


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    # A column without a single value is written as null; its rows are rejected one by one.
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_null(kind)
    )


def to_strings(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return a column of texts as `string`; bytes that are not UTF-8 are replaced by U+FFFD."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        column = column.cast(pa.string())
        column.validate(full=True)
    except pa.ArrowInvalid:  # Bytes that are not UTF-8, which Parquet does not check.
        raw = column.cast(pa.large_binary()).to_pylist()
        return pa.array([None if text is None else text.decode("utf-8", "replace") for text in raw], pa.string())
    return column


def shard_name(path: str) -> str:
    """Return a path that is safe as a folder of the output: hidden names would be skipped, `a=b` taken for a key."""
    parts = path.removesuffix(".parquet").split("/")
    encoded = [quote(part, safe=" ()+,@").replace("~", "%7E") for part in parts]
    name = "/".join(f"%{ord(part[0]):02X}{part[1:]}" if part[0] in "._" else part for part in encoded)
    return re.sub(r"@(?=[0-9]+$)", "%40", name)  # `a@2` is the second revision of `a`.


def find_name_clashes(shards: Sequence[Shard]) -> Iterator[str]:
    """Yield what is wrong with shards that would write into the same folder."""
    seen: dict[str, Shard] = {}
    for shard in shards:
        other = seen.setdefault(shard.name.casefold(), shard)
        if other is not shard:
            yield f"{shard.uri}: has the same output folder as {other.uri}, upper and lower case aside; rename one"
