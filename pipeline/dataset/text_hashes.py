"""The hashes of the rows of text files, kept in the corpus, so that a file that is as it was is not read row by row.

<corpus>/texts/<hash of its address>.parquet holds two hashes a row. A file is known again by its content and by how its
rows are read; what is kept may be deleted at any time. Files of few rows are read each night.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config.settings import canonical_json
from pipeline.dataset.corpus import Corpus
from pipeline.dataset.ledger import HASH, join_hashes
from pipeline.dataset.normal_form import HASH_BYTES
from pipeline.dataset.texts import TextFile, Texts, read_texts
from pipeline.manifest.shards import DAMAGED_PARQUET

TEXTS = "texts/"
LEAST_ROWS = 1_000
"""Of a file whose hashes are kept: for fewer, asking for them takes as long as reading the file."""
_VERSION = 2
"""Raised where rows are read or hashed in another way."""
_READ_AS_KEY = b"spark_tts_batch.read_as"
_SCHEMA = pa.schema([pa.field("key", HASH, nullable=False), pa.field("content", HASH, nullable=False)])


class TextHashes:
    """Hashes rows, or finds their hashes where they are kept.

    Args:
        salt: of the corpus.
        corpus: where hashes are kept; none keeps none.
        keep: whether new ones are to be kept, too.
    """

    def __init__(self, salt: bytes, corpus: Corpus | None = None, *, keep: bool = False) -> None:
        self._new_hash = hashlib.blake2b(digest_size=HASH_BYTES, key=salt).copy
        self._corpus, self._keep = corpus, keep and corpus is not None

    def read(self, file: TextFile) -> Iterator[tuple[bytes, bytes]]:
        """Yield the hashes of which text each row is, and of what it says, one after another, some rows at a time.

        Raises:
            ManifestError: the file cannot be read.
            ObjectChanged: it became another one meanwhile.
        """
        if self._corpus is None:
            yield from (self.hash_rows(file, texts) for texts in read_texts(file))
            return
        path, read_as = _path_of(file), _how_read(file)
        known = _read_kept(self._corpus, path, read_as)
        if known is not None:
            yield join_hashes(known, "key"), join_hashes(known, "content")
            return
        pieces: list[tuple[bytes, bytes]] = []
        for texts in read_texts(file):
            piece = self.hash_rows(file, texts)
            if self._keep:
                pieces.append(piece)
            yield piece
        if sum(len(keys) for keys, _ in pieces) >= LEAST_ROWS * HASH_BYTES:
            _write_kept(self._corpus, path, read_as, pieces)

    def hash_rows(self, file: TextFile, texts: Texts) -> tuple[bytes, bytes]:
        """Return the hashes of rows of a file, as `read` yields them."""
        name = file.source.name
        # Without an id a text is what it says.
        keys = [
            f"{name}\0{text_id}" if text_id is not None else f"{name}\0\0{text}"
            for text_id, text in zip(texts.ids, texts.texts, strict=True)
        ]
        contents = [f"{text}\0{language}" for text, language in zip(texts.texts, texts.languages, strict=True)]
        return _hash_all(keys, self._new_hash), _hash_all(contents, self._new_hash)

    def drop_others(self, files: Collection[TextFile]) -> None:
        """Delete what is kept of files other than these."""
        if self._corpus is not None and self._keep:
            wanted = {_path_of(file) for file in files}
            for info in [*self._corpus.storage.list(TEXTS)]:
                if info.path not in wanted:
                    self._corpus.storage.delete(info.path)


def _hash_all(texts: Sequence[str], new_hash: Callable[[], hashlib.blake2b]) -> bytes:
    """Return the hashes of texts; a copy of a hash that has its key is made in half the time of another one."""
    hashes = []
    for text in texts:
        added = new_hash()
        added.update(text.encode("utf-8", "surrogatepass"))
        hashes.append(added.digest())
    return b"".join(hashes)


def _path_of(file: TextFile) -> str:
    address = f"{file.source.name}\0{file.uri}".encode("utf-8", "surrogatepass")
    return f"{TEXTS}{hashlib.blake2b(address, digest_size=12).hexdigest()}.parquet"


def _how_read(file: TextFile) -> bytes:
    """Return what the hashes of a file's rows depend on."""
    content = file.storage.content_hash(file.info)
    source = file.source.model_dump(mode="json", include={"name", "language", "id_column", "text_column"})
    parts = [_VERSION, source, file.table.model_dump(mode="json"), content]
    return hashlib.sha256(canonical_json(parts).encode("utf-8", "surrogatepass")).hexdigest().encode()


def _read_kept(corpus: Corpus, path: str, read_as: bytes) -> pa.Table | None:
    """Return what is kept; None where it is of another content, or damaged."""
    try:
        source = pa.BufferReader(corpus.storage.get(path))
        with pq.ParquetFile(source, page_checksum_verification=True) as file:
            schema = file.schema_arrow
            if (schema.metadata or {}).get(_READ_AS_KEY) != read_as or not schema.remove_metadata().equals(_SCHEMA):
                return None
            table = file.read(use_threads=False)
        table.validate(full=True)
        return table
    except (FileNotFoundError, *DAMAGED_PARQUET):
        return None


def _write_kept(corpus: Corpus, path: str, read_as: bytes, pieces: Sequence[tuple[bytes, bytes]]) -> None:
    columns = [
        pa.FixedSizeBinaryArray.from_buffers(HASH, len(joined) // HASH_BYTES, [None, pa.py_buffer(joined)])
        for joined in (b"".join(hashes) for hashes in zip(*pieces, strict=True))
    ]
    table = pa.table(columns, schema=_SCHEMA.with_metadata({_READ_AS_KEY: read_as}))
    sink = pa.BufferOutputStream()
    pq.write_table(
        table, sink, compression="none", use_dictionary=False, write_statistics=False, write_page_checksum=True
    )
    corpus.storage.put(path, bytes(sink.getvalue().to_pybytes()))
