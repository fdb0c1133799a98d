"""An audit of many objects stays small: its storage makes up what it is asked for, nothing is kept."""

from __future__ import annotations

import tracemalloc
from itertools import islice

from pipeline.config.run import StorageConfig
from pipeline.output.verify import Audit
from pipeline.storage import ObjectInfo
from tests.fakes import MemoryStorage
from tests.outputs import begin_run, make_shard

PAGE = 1_000


class EndlessStorage(MemoryStorage):
    """Many WAVs in the listing, page by page, as an object store gives them."""

    num_objects = 200_000

    def _list_page(self, prefix, token):
        if prefix != "audio/":
            return super()._list_page(prefix, None)
        first = int(token or 0)
        stop = min(first + PAGE, self.num_objects)
        page = [ObjectInfo(f"audio/s/u{number:07d}.0123456789ab.wav", 1_000, "e") for number in range(first, stop)]
        return page, str(stop) if stop < self.num_objects else None


def test_a_long_listing_is_audited_as_it_comes():
    storage = EndlessStorage(StorageConfig())
    begin_run(storage, [make_shard("s", 8)], unit_size=8)
    findings = Audit(storage).findings()
    assert next(findings).kind == "orphaned"
    tracemalloc.start()
    try:
        # Findings come in batches of one size; whatever is kept of each object would show between the two looks.
        alive = []
        for _ in range(2):
            assert sum(1 for _ in islice(findings, 32_768)) == 32_768
            alive.append(tracemalloc.get_traced_memory()[0])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()  # Tracing is slow.
    assert alive[1] - alive[0] < 500_000 and peak < 20e6
    assert sum(1 for _ in findings) == storage.num_objects - 2 * 32_768 - 1
