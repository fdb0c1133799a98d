"""The sine of an angle as kernels for CPUs and GPUs compute it: a polynomial between -pi/2 and pi/2.

All are exact in float32, or are meant as the nearest number of it.
"""

from __future__ import annotations

import math

PER_PI = 1 / math.pi
ROUNDER = 1.5 * 2**23
"""What is added to it and taken off again comes back as a whole number."""
# pi in three parts, the first ones with so few bits that their products with small whole numbers are exact.
PI_HIGH = 3.140625
PI_MIDDLE = 9.67502593994140625e-4
PI_LOW = math.pi - PI_HIGH - PI_MIDDLE
HALF_PI = math.pi / 2
# Of x^3, x^5, x^7 and x^9.
SINE_3, SINE_5, SINE_7, SINE_9 = -1.6666663e-1, 8.3330255e-3, -1.9807414e-4, 2.6019031e-6
