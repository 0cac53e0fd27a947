"""How a cost grows: the exponent of the power of the size that fits the measured times best."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def exponent(costs: Mapping[int, float]) -> float:
    """Slope of the least-squares line through (log size, log cost): 0 constant, 1 linear, 2 quadratic."""
    sizes, values = np.log(list(costs)), np.log(list(costs.values()))
    return float(np.polyfit(sizes, values, 1)[0])


def last_exponent(costs: Mapping[int, float]) -> float:
    """The same between the two largest sizes, where fixed costs weigh least."""
    return exponent(dict(sorted(costs.items())[-2:]))
