r"""Series with real gaps by Chebyshev nodes in the gap's logarithm: few sums for any gaps.

What neighbours put into C^-1 and log|C| are smooth functions of their gap d, for instance

.. math:: \frac{a(d)}{1 - a(d)^2} \approx \sum_j \ell_j(\log d) \, \frac{a(d_j)}{1 - a(d_j)^2}
          , \quad a(d) = e^{-d / r}

at J gaps d_j. Their poles are at distance pi / 2 from the real axis whatever the range r is, so
that one J serves every range: the error is known before anything is fitted.

References
----------
Trefethen (2013). Approximation Theory and Approximation Practice, chapter 8. SIAM.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.model.residual.chebyshev import chebyshev_nodes, enough_nodes, lagrange_weights
from bayeslmm.model.residual.neighbours import NeighboursAtNodes
from bayeslmm.model.residual.series import Exponential, Series

if TYPE_CHECKING:
    from collections.abc import Callable

    from bayeslmm.arrays import Floats

# Error of a coefficient c in units of 1 + |c|, and the most nodes that are looked at: they reach
# over gaps from an hour to ten years.
_ERROR, _MOST_NODES = 1e-10, 96


def series_at_nodes(exact: Series) -> Series | None:
    """Return a series by nodes in place of gaps.

    Parameters
    ----------
    exact : Series
        With real gaps.

    Returns
    -------
    Series or None
        Its precision and log|C| are those of the exact one but for its ``error``; None where gaps
        are few, or too far apart for nodes.
    """
    strata = max(len(exact.by), 1)
    most = min(_MOST_NODES, (len(exact.gaps) - 1) // strata)
    if not isinstance(exact.decay, Exponential) or most < 1:
        return None
    logs = np.log(exact.gaps)
    middle, half = 0.5 * (logs.max() + logs.min()), 0.5 * (logs.max() - logs.min())
    enough = enough_nodes(_of_any_range(middle, half), _ERROR, most)
    if enough is None:
        return None
    count, error = enough
    nodes = chebyshev_nodes(count)
    weights = lagrange_weights(np.clip((logs - middle) / half, -1.0, 1.0), nodes)
    pairs = exact.neighbours
    return replace(
        exact,
        neighbours=NeighboursAtNodes(
            pairs.n,
            pairs.before,
            pairs.after,
            pairs.slot,
            count * strata,
            weights,
            count * exact.stratum,
        ),
        gaps=np.tile(np.exp(middle + half * nodes), strata),
        stratum=np.repeat(np.arange(strata), count),
        error=error,
    )


def _of_any_range(middle: float, half: float) -> Callable[[Floats], Floats]:
    """Return coefficients and log u as functions of log gap, for ranges from none to any."""
    # Beyond them neighbours are independent, or u is proportional to the gap.
    ranges = np.exp(np.linspace(middle - half - 4.0, middle + half + 14.0, 80))
    decay = Exponential(1.0)

    def functions(t: Floats) -> Floats:
        gap = np.exp(middle + half * t)[:, None]
        a, u = decay.correlation(ranges, gap), decay.room(ranges, gap)
        return np.concatenate([a / u, a / (1.0 + a), np.log(u)], axis=1)

    return functions
