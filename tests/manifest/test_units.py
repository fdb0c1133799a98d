"""Units of work follow from a shard's rows and the unit size alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.manifest.units import WorkUnit, count_units, parse_unit_id, plan_units, unit_of_row


@given(st.integers(0, 300), st.integers(1, 40))
def test_each_row_is_in_the_one_unit_that_it_is_said_to_be_in(num_rows, unit_size):
    units = list(plan_units("s", num_rows, unit_size))
    assert [row for unit in units for row in range(unit.first_row, unit.last_row + 1)] == list(range(num_rows))
    assert all(unit.is_planned(num_rows, unit_size) for unit in units)
    assert {unit_of_row("s", num_rows, row, unit_size) for row in range(num_rows)} == set(units)
    assert count_units([num_rows, 0, num_rows], unit_size) == 2 * len(units)


@pytest.mark.parametrize("rows", [(1, 3), (0, 2), (0, 4), (8, 11), (8, 8), (-4, -1), (9, 9), (12, 15)])
def test_other_rows_are_no_unit(rows):
    """Of ten rows in units of four."""
    assert not WorkUnit("s", *rows).is_planned(10, 4)


@given(st.text(min_size=1), st.integers(0, 10**12), st.integers(0, 10**12))
def test_an_id_names_its_unit(shard, first_row, last_row):
    unit = WorkUnit(shard, first_row, last_row)
    assert parse_unit_id(unit.unit_id) == unit


@pytest.mark.parametrize("unit_id", ["s", "/0-1", "s/1-2", "s/a-b", "s/000000000", "s/000000000-00000000²"])
def test_only_unit_ids_are_taken_for_such(unit_id):
    assert parse_unit_id(unit_id) is None
    assert parse_unit_id("deep/s/000000004-000000007") == WorkUnit("deep/s", 4, 7)
