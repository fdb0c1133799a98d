"""Which output a command works on, where it was given something that has one."""

from __future__ import annotations

from jobs.console import say
from pipeline.config.run import StorageConfig
from pipeline.dataset.corpus import is_corpus, open_run_output
from pipeline.storage import open_storage


def find_output(place: str, endpoint_url: str | None = None) -> str:
    """Return the output that a place is, or that of the run of a data set's corpus; says so on stderr.

    Args:
        place: a folder or an object-store prefix.
        endpoint_url: S3 endpoint for other stores than AWS.
    """
    storage = open_storage(place, StorageConfig(endpoint_url=endpoint_url))
    if not is_corpus(storage):
        return place
    output = open_run_output(storage).uri
    say(f"{place}: the corpus of a data set; this is about its run, {output}", error=True)
    return output
