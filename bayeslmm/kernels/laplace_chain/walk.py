"""A random walk of theta: priors, proposals and starts at points that only the chain knows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bayeslmm.kernels.compiler.jit import inner
from bayeslmm.kernels.marginal_density import fill_factors
from bayeslmm.kernels.prior_forms import form_at
from bayeslmm.kernels.target import BEND, COORDINATE, FORM, PRIOR, SCALE, coordinate_at

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints

_form_at = inner(form_at)


class Walk(NamedTuple):
    """Steps of a random walk in theta, and what leads from theta to its density."""

    increments: Floats  # (s, k): one for each sweep; no rows for no walk
    kinds: Ints  # (k, 2): of coordinates and priors, as `target.TargetArrays` has them
    numbers: Floats  # (k, WIDTH)
    table: Ints  # from `block_table`
    n_sds: int
    n_partials: int
    reference: Floats  # (k,): where starts of Newton's method are linear in theta
    effects: Floats  # (N,)
    slopes: Floats  # (k, N)
    reach: float  # how far they are, in each coordinate
    # The independent proposals: a mixture of split t distributions.
    centers: Floats  # (m, k)
    inverses: Floats  # (m, k, k): of the axes
    up: Floats  # (m, k)
    down: Floats  # (m, k)
    freedom: Floats  # (m,)
    constants: Floats  # (m,): logs of what the densities are multiplied by, shares included


@inner
def theta_at(walk: Walk, point: Floats, lam: Floats, numbers: Floats) -> float:
    """Fill packed factors and the numbers that parameters follow from; return the log prior."""
    k = len(point)
    values, total = np.empty(k), 0.0
    for i in range(k):
        row = walk.numbers[i]
        values[i], _, volume, _ = coordinate_at(
            walk.kinds[i, COORDINATE], row[SCALE], row[BEND], point[i]
        )
        prior, _ = _form_at(
            walk.kinds[i, PRIOR], row[FORM], row[FORM + 1], row[FORM + 2], row[FORM + 3], values[i]
        )
        total += volume + prior
    end = walk.n_sds + walk.n_partials
    correlation = np.zeros(len(lam))
    for i in range(len(lam)):
        lam[i] = 0.0
    fill_factors(walk.table, values[: walk.n_sds], values[walk.n_sds : end], 1.0, correlation, lam)
    for i in range(len(numbers)):
        numbers[i] = values[end + i]
    for i in range(k):
        if not math.isfinite(values[i]):
            return -math.inf
    return total if math.isfinite(total) else -math.inf


@inner
def start_at(walk: Walk, point: Floats) -> Floats:
    """Return where Newton's method begins: a function of the point alone."""
    out = walk.effects.copy()
    for i in range(len(point)):
        away = min(max(point[i] - walk.reference[i], -walk.reach), walk.reach)
        for j in range(len(out)):
            out[j] += away * walk.slopes[i, j]
    return out


@inner
def log_proposal(walk: Walk, point: Floats) -> float:
    """Evaluate the log-density of the independent proposals (`importance.proposal.Mixture`)."""
    m, k = walk.centers.shape
    logs, top = np.empty(m), -math.inf
    for part in range(m):
        square = 0.0
        for i in range(k):
            z = 0.0
            for j in range(k):
                z += walk.inverses[part, i, j] * (point[j] - walk.centers[part, j])
            z /= walk.up[part, i] if z > 0.0 else walk.down[part, i]
            square += z * z
        nu = walk.freedom[part]
        logs[part] = walk.constants[part] - 0.5 * (nu + k) * math.log1p(square / nu)
        top = max(top, logs[part])
    total = 0.0
    for part in range(m):
        total += math.exp(logs[part] - top)
    return top + math.log(total)
