"""Laplace's approximation of the likelihood, for any number of factors and columns."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.arrays import for_kernels
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.gram.border.limits import require_few
from bayeslmm.gram.gram import Gram
from bayeslmm.kernels.families.codes import NOT_CONCAVE
from bayeslmm.kernels.laplace_chain.mode import Prior
from bayeslmm.kernels.laplace_chain.moves import laplace_many
from bayeslmm.kernels.laplace_chain.observed import observed_laplace
from bayeslmm.model.plan_rows import plan_rows

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.reml.glmm.coordinates import Coordinates, Point

# Newton's decrement at which a mode counts as found: differences of values need all digits.
_TOLERANCE = 1e-20
_NO_PRIOR = Prior(np.zeros(0), np.zeros((0, 0)), 0.0)


class Laplace:
    r"""The likelihood with the effects integrated out by Laplace's approximation.

    .. math:: \log p(y \mid \beta, \Theta, \phi) \approx \log p(y \mid \hat u) - \tfrac12 \hat u'
              \hat u - \tfrac12 \log |H|, \quad H = I + \Theta' Z' W Z \Theta

    with :math:`\hat u` the mode of the standardised effects at these very parameters, fixed
    effects included, and W the rows' curvatures there.

    Parameters
    ----------
    coordinates : Coordinates
        The model.

    References
    ----------
    Pinheiro & Chao (2006). Efficient Laplacian and adaptive Gaussian quadrature algorithms for
    multilevel generalized linear mixed models. doi:10.1198/106186006X96962
    """

    exact_slopes = False

    def __init__(self, coordinates: Coordinates) -> None:
        design = coordinates.design
        n = design.n
        # The plan asks which levels meet, and neither for a response nor for fixed effects.
        bare = replace(
            design, family=GAUSSIAN, y=np.zeros(n), X=np.empty((n, 0)), coef=(), weights=None,
            offset=None, trials=None,
        )  # fmt: skip
        gram = Gram.from_design(bare)
        require_few(
            gram.n_border, "fit_ml", "fit_bayes takes sampler='nutpie', which forms no such matrix."
        )
        plan = gram.plan
        self._rows, order = plan_rows(design, plan, np.empty((n, 0)), coordinates.Z)
        self._offset, self._X = self._rows.offset, coordinates.X[order]
        self._plan, self._sizes = plan, [(len(f.levels), len(f.terms)) for f in design.factors]
        self._modes = np.zeros(plan.n_columns)

    def value(self, point: Point, *, settle: bool = False) -> float:
        """Evaluate the log-likelihood; -inf where it cannot be computed.

        Parameters
        ----------
        point : Point
            Where.
        settle : bool
            Whether the next search for the modes begins at those of this point.
        """
        eta = for_kernels("offset", self._offset + self._X @ point.beta, np.float64, (None,))
        lam = np.concatenate([np.zeros(0), *(L.ravel() for L in point.factors)])
        rows = self._rows._replace(offset=eta)
        found = laplace_many(
            rows,
            _NO_PRIOR,
            lam[None],
            point.phi[None],
            self._modes[None],
            np.zeros((1, len(self._modes))),
            _TOLERANCE,
        )
        value, effects = float(found[0][0]), found[2][0]
        if not np.isfinite(value):
            return -np.inf
        if self._rows.family in NOT_CONCAVE:
            # Expected information leads to a mode from afar, and observed one says how wide it is.
            observed, mode = observed_laplace(rows, _NO_PRIOR, lam, point.phi, effects)
            if np.isfinite(observed):
                value, effects = float(observed), mode
        if settle:
            self._modes = effects
        return value

    def modes(self, point: Point) -> tuple[Floats, ...]:
        """Return the modes of the standardised effects, shapes (m, q)."""
        self.value(point, settle=True)
        starts = zip(self._plan.columns, self._sizes, strict=True)
        return tuple(self._modes[at : at + m * q].reshape(m, q) for at, (m, q) in starts)
