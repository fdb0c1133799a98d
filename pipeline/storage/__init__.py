"""Objects on local disk and in object stores behind one interface: whole objects in and out, with compare-and-swap.

The only place that imports store clients. May import `config` and `errors`.
"""

from pipeline.storage.base import (
    ObjectExists,
    ObjectInfo,
    PreconditionFailed,
    Storage,
    StorePromises,
    Throttled,
    TransientError,
    check_path,
    content_type,
    describe_cause,
)
from pipeline.storage.stores import (
    check_apart,
    check_writable,
    open_storage,
    probe_store,
    read_bytes,
    split_uri,
    write_bytes,
)

__all__ = [
    "ObjectExists",
    "ObjectInfo",
    "PreconditionFailed",
    "Storage",
    "StorePromises",
    "Throttled",
    "TransientError",
    "check_apart",
    "check_path",
    "check_writable",
    "content_type",
    "describe_cause",
    "open_storage",
    "probe_store",
    "read_bytes",
    "split_uri",
    "write_bytes",
]
