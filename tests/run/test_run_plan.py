"""plan.py: which units a start concerns."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from pipeline.manifest.units import plan_units
from pipeline.run.plan import _spread, list_limited


@dataclass
class Rows:
    """A manifest of shards of so many rows."""

    sizes: dict[str, int] = field(default_factory=lambda: {"a": 40, "b": 7, "c": 400, "d": 25})

    def plan(self, unit_size):
        for name, num_rows in self.sizes.items():
            yield from plan_units(name, num_rows, unit_size, 0)


def sample(limit, **sizes):
    manifest = Rows(sizes) if sizes else Rows()
    return list(list_limited(SimpleNamespace(manifest=manifest, config=SimpleNamespace(limit=limit, unit_size=10))))


@pytest.mark.parametrize("limit", [1, 10, 11, 95, 471, 472, 10_000])
def test_a_sample_has_as_many_rows_as_asked_in_whole_units(limit):
    num_rows = sum(unit.num_rows for unit in sample(limit))
    assert min(limit, 472) <= num_rows < limit + 10
    assert len(sample(limit)) == len({unit.unit_id for unit in sample(limit)})


def test_without_a_limit_it_is_everything_in_order():
    assert sample(None) == list(Rows().plan(10))
    assert sample(10_000) == sample(None)


def test_a_higher_limit_adds_to_a_lower_one():
    chosen = set()
    for limit in range(1, 480, 7):
        more = {unit.unit_id for unit in sample(limit)}
        assert chosen <= more
        chosen = more


def test_it_is_spread_over_the_shards():
    """The first rows of a manifest are often one speaker, one book, one kind of text."""
    units = sample(80, a=200, b=200, c=200, d=200)
    assert {unit.shard for unit in units} == {"a", "b", "c", "d"} and len(units) == 8


@pytest.mark.parametrize("count", [0, 1, 2, 3, 64, 65, 1_000])
def test_every_unit_comes_once(count):
    assert sorted(_spread(count)) == list(range(count))
