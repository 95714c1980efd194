"""Closed forms of log priors as numbers that compiled code reads."""

from __future__ import annotations

import math
from typing import NamedTuple

Pair = tuple[float, float]
NORMAL, STUDENT, POWERS, INVERSE, LOG_NORMAL, PARTIAL = range(6)


class Form(NamedTuple):
    """A prior's closed form: which one, up to three numbers, and what its logarithm starts from."""

    kind: int
    a: float
    b: float
    c: float
    constant: float


def form_at(  # noqa: PLR0911 - compiled code takes no keywords, and has six forms
    kind: int, a: float, b: float, c: float, constant: float, x: float
) -> Pair:
    """Evaluate a closed form's logarithm and its derivative, inside the support or at its end.

    Parameters
    ----------
    kind : int
        `NORMAL` (a: mean, b: sd); `STUDENT` (degrees of freedom, location, scale); `POWERS`,
        x^(a - 1) exp(-b x); `INVERSE`, x^(-a - 1) exp(-b / x); `LOG_NORMAL` (mean and sd of the
        logarithm); `PARTIAL`, (1 - x^2)^(a - 1).
    a, b, c, constant : float
        As in `Form`.
    x : float
        The number.

    Returns
    -------
    value, slope : float
        Also finite numbers where the slope is of no use: at zero, below which nothing is.
    """
    if kind == NORMAL:
        z = (x - a) / b
        return constant - 0.5 * z * z, -z / b
    if kind == STUDENT:
        z = (x - b) / c
        return (
            constant - 0.5 * (a + 1.0) * math.log1p(z * z / a),
            -(a + 1.0) * z / (a + z * z) / c,
        )
    if kind == PARTIAL:
        rest = (1.0 - x) * (1.0 + x)
        return constant + (a - 1.0) * math.log(rest), -2.0 * (a - 1.0) * x / rest
    if x == 0.0:
        # The limit from above; a slope there is only ever met where a = 1.
        if kind != POWERS or a > 1.0:
            return -math.inf, 0.0
        return (constant if a == 1.0 else math.inf), -b
    if kind == POWERS:
        return constant + (a - 1.0) * math.log(x) - b * x, (a - 1.0) / x - b
    if kind == INVERSE:
        return constant - (a + 1.0) * math.log(x) - b / x, (b / x - a - 1.0) / x
    z = (math.log(x) - a) / b
    return constant - math.log(x) - 0.5 * z * z, -(1.0 + z / b) / x
