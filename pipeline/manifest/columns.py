"""The columns that a manifest passes through: pinned by the first start, so that all nights are one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config.manifest import OWN_COLUMNS
from pipeline.errors import ManifestError
from pipeline.manifest.shards import Shard, unify_extra_columns

ReadColumn = Callable[[Shard, str], Iterator[pa.Array]]


def choose_columns(shards: Sequence[Shard], wanted: Sequence[str] | None) -> pa.Schema:
    """Return the columns that a first start passes through, with types that hold the values of every shard.

    A column without a single value is taken for text, and a dictionary for its values.

    Args:
        shards: of the manifest.
        wanted: only these, in this order; none takes all.

    Raises:
        ManifestError: two shards disagree on a type, or no shard has a column that is wanted.
    """
    if wanted is not None:
        known = {name for shard in shards for name in shard.schema.names}
        absent = [name for name in wanted if name not in known]
        if absent:
            raise ManifestError(f"columns: no shard has a column {absent[0]!r}; check the spelling, or leave it out")
        shards = [_select(shard, wanted) for shard in shards]
    unified = unify_extra_columns(shards)
    names = unified.names if wanted is None else [name for name in wanted if name in unified.names]
    return pa.schema([pa.field(name, _plain(unified.field(name).type)) for name in names])


def check_columns(
    shards: Sequence[Shard], pinned: pa.Schema, wanted: Sequence[str] | None, read_column: ReadColumn
) -> None:
    """Refuse shards that do not fit into the table that an output has begun.

    A pinned column that a shard lacks becomes nulls there. One of another type is cast, if no value loses anything.

    Args:
        shards: those that are new to the output, or have changed.
        pinned: the columns of the output.
        wanted: `columns` of the config.
        read_column: of a shard; called only where a type differs.

    Raises:
        ManifestError: a column is new, has values that the pinned type cannot hold, or is not to be kept any more.
    """
    left_out = [name for name in pinned.names if wanted is not None and name not in wanted]
    if left_out:
        raise ManifestError(
            f"columns: leaves out {left_out[0]!r}, which the output has; add it, or choose another output"
        )
    for shard in shards:
        for field in shard.schema:
            if field.name in OWN_COLUMNS or (wanted is not None and field.name not in wanted):
                continue
            if field.name not in pinned.names:
                listed = ", ".join(pinned.names)
                raise ManifestError(
                    f"{shard.uri}: column {field.name!r} is new: the output was begun without it, and its nights would "
                    f"be no one table; set columns to [{listed}] to leave it out, or choose another output"
                )
            kind = pinned.field(field.name).type
            if _plain(field.type) != kind and not all(_fits(part, kind) for part in read_column(shard, field.name)):
                raise ManifestError(
                    f"{shard.uri}: column {field.name!r} is {field.type} with values that the output's {kind} cannot "
                    "hold; cast it, or choose another output"
                )


def _select(shard: Shard, wanted: Sequence[str]) -> Shard:
    fields = [field for field in shard.schema if field.name in wanted]
    return Shard(shard.name, shard.uri, shard.num_rows, shard.fingerprint, shard.info, pa.schema(fields))


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return kind.value_type
    return pa.string() if pa.types.is_null(kind) else kind


def _fits(values: pa.Array, kind: pa.DataType) -> bool:
    """Tell whether values come back from another type as they were."""
    plain = values.cast(_plain(values.type))
    if pa.types.is_floating(plain.type):
        plain = pc.if_else(pc.is_nan(plain), None, plain)  # Which equals nothing, itself included.
    try:
        return bool(plain.cast(kind).cast(plain.type).equals(plain))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
