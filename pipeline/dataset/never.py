"""Texts that must never be spoken, such as benchmarks: whole, or so many words of them in a row.

What is kept of them is 64 bits of hash for each text and for each run of words, in the corpus, so that a benchmark is
read again only when it, or the way in which texts are read, has changed.
"""

from __future__ import annotations

import hashlib
import logging
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.config.dataset import DedupConfig, TextSource
from pipeline.config.settings import canonical_json
from pipeline.dataset.corpus import Corpus, Identity
from pipeline.dataset.normal_form import TextReader, find_words
from pipeline.dataset.texts import TextFile, find_files, read_never
from pipeline.errors import UtteranceError
from pipeline.manifest.shards import DAMAGED_PARQUET

logger = logging.getLogger(__name__)
NEVER_PATH = "never.parquet"
_VERSION = 1
"""Raised where texts are read in another way."""
_FINGERPRINT_KEY = b"spark_tts_batch.never"
_SCHEMA = pa.schema([pa.field("is_whole", pa.bool_(), nullable=False), pa.field("hash", pa.uint64(), nullable=False)])
Match = Literal["never_exact", "never_words"]


class NeverTexts:
    """What must never be spoken.

    Args:
        whole: (n,) hashes of whole texts.
        runs: (m,) hashes of runs of words.
        num_words: of a run.
        salt: of the corpus.
    """

    def __init__(self, whole: NDArray[np.uint64], runs: NDArray[np.uint64], num_words: int, salt: bytes) -> None:
        self.whole, self.runs = np.unique(whole), np.unique(runs)
        self._num_words, self._salt = num_words, salt

    def match(self, forms: Iterable[Sequence[str]]) -> Match | None:
        """Return how a text is like one of them, or None.

        Args:
            forms: its words, as they are spoken and as they are written.
        """
        forms = [*forms]
        if _has_any(self.whole, [_hash(words, self._salt) for words in forms]):
            return "never_exact"
        runs = [run for words in forms for run in _hash_runs(words, self._num_words, self._salt)]
        return "never_words" if _has_any(self.runs, runs) else None


def read_never_texts(
    corpus: Corpus, identity: Identity, settings: DedupConfig, reader: TextReader, *, keep: bool
) -> NeverTexts:
    """Read the texts that must never be spoken, or what the corpus has kept of them.

    Args:
        corpus: whose.
        identity: of the corpus.
        settings: where they are.
        reader: of the night.
        keep: whether to keep them for the next night.

    Raises:
        ManifestError: a file cannot be read, or has no column of texts.
    """
    sources = [TextSource(path=place, name="never") for place in settings.never]
    files = [file for source in sources for file in find_files(source, corpus.storage.settings)]
    contents = [[file.uri, file.storage.content_hash(file.info)] for file in files]
    parts = [_VERSION, settings.never_words, reader.describe(), contents]
    fingerprint = hashlib.sha256(canonical_json(parts).encode()).hexdigest().encode()
    found = _read_kept(corpus, fingerprint)
    if found is None:
        whole, runs = array("Q"), array("Q")
        for words in _read_words(files, reader):
            whole.append(_hash(words, identity.key))
            runs.extend(_hash_runs(words, settings.never_words, identity.key))
        found = np.array(whole, np.uint64), np.array(runs, np.uint64)
    never = NeverTexts(*found, settings.never_words, identity.key)
    if keep and files:
        _keep(corpus, never, fingerprint)
    return never


def _read_words(files: Iterable[TextFile], reader: TextReader) -> Iterator[Sequence[str]]:
    """Yield the words of each text, as they are spoken and, where that is not the same, as they are written."""
    for file in files:
        for texts in read_never(file):
            for text in texts:
                written = find_words(text or "")
                try:
                    spoken = reader.read(text, None, check_language=False).words
                except UtteranceError:  # Too long for a row, say; a row may still hold a part of it.
                    spoken = written
                yield from (words for words in dict.fromkeys((spoken, written)) if words)


def _hash(words: Sequence[str], salt: bytes) -> int:
    data = "\0".join(words).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8, key=salt).digest(), "big")


def _hash_runs(words: Sequence[str], num_words: int, salt: bytes) -> Iterator[int]:
    for start in range(len(words) - num_words + 1):
        yield _hash(words[start : start + num_words], salt)


def _has_any(known: NDArray[np.uint64], hashes: Sequence[int]) -> bool:
    if not len(known) or not hashes:
        return False
    wanted = np.array(hashes, np.uint64)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return bool((known[at] == wanted).any())


def _read_kept(corpus: Corpus, fingerprint: bytes) -> tuple[NDArray[np.uint64], NDArray[np.uint64]] | None:
    """Return what is kept; None where it is of other texts, or damaged."""
    try:
        with pq.ParquetFile(pa.BufferReader(corpus.storage.get(NEVER_PATH))) as file:
            if (file.schema_arrow.metadata or {}).get(_FINGERPRINT_KEY) != fingerprint:
                return None
            table = file.read(use_threads=False)
        is_whole = table["is_whole"].to_numpy()
        hashes = table["hash"].to_numpy()
        return hashes[is_whole], hashes[~is_whole]
    except (FileNotFoundError, KeyError, *DAMAGED_PARQUET):
        return None


def _keep(corpus: Corpus, never: NeverTexts, fingerprint: bytes) -> None:
    is_whole = np.arange(len(never.whole) + len(never.runs)) < len(never.whole)
    table = pa.table(
        {"is_whole": is_whole, "hash": np.concatenate([never.whole, never.runs])},
        schema=_SCHEMA.with_metadata({_FINGERPRINT_KEY: fingerprint}),
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="none", use_dictionary=["is_whole"])
    data = bytes(sink.getvalue().to_pybytes())
    info = corpus.storage.find(NEVER_PATH)
    if info is None or info.size != len(data) or corpus.storage.get(NEVER_PATH) != data:
        corpus.storage.put(NEVER_PATH, data)
