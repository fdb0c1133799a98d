"""A number beside its limit."""

from __future__ import annotations

import math
import random

import pytest

from pipeline.config.figures import apart


@pytest.mark.parametrize(
    ("value", "limit", "options", "shown"),
    [
        (0.98, 1.0, {"decimals": 1}, ("0.98", "1")),
        (0.4, 1.0, {"decimals": 1}, ("0.4", "1")),
        (1.0, 1.0, {"decimals": 1}, ("1.0", "1")),
        (600.3, 600.0, {}, ("600.3", "600")),
        (0.1004, 0.1, {"percent": True}, ("10.04%", "10%")),
        (0.123, 0.125, {"percent": True}, ("12%", "12.5%")),
        (0.57, 0.1, {"percent": True}, ("57%", "10%")),
        (1_234.5, 1_234.0, {}, ("1,234.5", "1,234")),
        (-21.99, -22.0, {}, ("-21.99", "-22")),
        (0.07 * 100 / 100, 0.07, {"percent": True}, ("7%", "7%")),
        (math.nan, 1.0, {}, ("nan", "1")),
        (math.inf, 1.0, {}, ("inf", "1")),
    ],
)
def test_a_number_and_its_limit_do_not_contradict(value, limit, options, shown):
    assert apart(value, limit, **options) == shown


def test_whatever_the_numbers_are_their_texts_are_in_the_same_order():
    numbers = random.Random(0)
    for _ in range(3_000):
        limit = round(numbers.uniform(-100, 5_000), numbers.randrange(4))
        value = limit + numbers.choice([-1, 1]) * 10 ** numbers.uniform(-6, 2)
        shown, beside = (float(text.replace(",", "")) for text in apart(value, limit, numbers.randrange(3)))
        assert (shown > beside) == (value > limit) and shown != beside
