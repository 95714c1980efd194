r"""Standard errors of what is told of G and R, from the observed information of both together.

Numbers that are functions of several parameters, such as the entries of a correlation matrix, get
theirs by the delta method.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import NumericalError
from bayeslmm.gram.likelihood import criterion, flat_prior, log_density, pack_factors
from bayeslmm.kernels.densities import DENSITY, ML_AT_SIGMA, evaluate
from bayeslmm.reml.lines import line_point, line_roots
from bayeslmm.reml.parameters import values_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.reml.parameters import Target
    from bayeslmm.reml.result import REMLFit
    from bayeslmm.reml.structured.fitted import FittedResiduals

# On the lines of log sds, Fisher's z and the like, on which all criteria bend alike.
_STEP = 1e-3


def inverse_information(criterion: Callable[[Floats], float], point: Floats) -> Floats:
    """Compute twice the inverse of a criterion's second differences.

    Parameters
    ----------
    criterion : callable
        -2 log-likelihood.
    point : ndarray, shape (k,)
        Its minimum.

    Returns
    -------
    ndarray, shape (k, k)
        The estimates' covariance; NaN where the criterion does not bend.
    """
    k = len(point)
    H, axes = np.empty((k, k)), _STEP * np.eye(k)
    try:
        for i in range(k):
            for j in range(i + 1):
                a, b = axes[i], axes[j]
                H[i, j] = H[j, i] = (
                    criterion(point + a + b)
                    - criterion(point + a - b)
                    - criterion(point - a + b)
                    + criterion(point - a - b)
                ) / (4.0 * _STEP**2)
        return np.asarray(2.0 * np.linalg.inv(H))
    except (np.linalg.LinAlgError, NumericalError):
        return np.full((k, k), np.nan)


def line_variances(fit: REMLFit, targets: Mapping[str, Target]) -> Floats:
    """Compute the variances of a fit's parameters on their lines.

    Parameters
    ----------
    fit : REMLFit
        The fit.
    targets : mapping of str to Target
        Its parameters but for the fixed effects: those of G, then sigma or the residuals' numbers.

    Returns
    -------
    ndarray, shape (len(targets),)
    """
    residual = fit.residual

    def on_lines(roots: Sequence[Floats], rest: Floats) -> Floats:
        numbers = rest if residual is None else residual.values(rest)
        values = values_of(fit.gram, targets, np.zeros(0), roots, numbers)
        return np.array([target.to_line(values[name]) for name, target in targets.items()])

    return function_variances(fit, on_lines)


def function_variances(
    fit: REMLFit, function: Callable[[Sequence[Floats], Floats], Floats]
) -> Floats:
    """Compute the variances of functions of a fit's G and R by the delta method.

    Parameters
    ----------
    fit : REMLFit
        The fit.
    function : callable
        Of the roots L_k of G_k and of sigma, or the residual structure's parameters; several
        numbers at once.

    Returns
    -------
    ndarray, shape (n,)
    """
    factors = fit.gram.factors
    of_effects = line_point(factors, [fit.scale * lam for lam in fit.factors])
    of_rest = _Rest(fit)
    k, restricted = len(of_effects), fit.method == "REML"

    def height(at: Floats) -> float:
        return of_rest.criterion(line_roots(factors, at[:k]), at[k:], restricted=restricted)

    def told(at: Floats) -> Floats:
        return function(line_roots(factors, at[:k]), of_rest.parameters(at[k:]))

    point = np.concatenate([of_effects, of_rest.point])
    covariance = inverse_information(height, point)
    J = np.array(
        [
            (told(point + step) - told(point - step)) / (2.0 * _STEP)
            for step in _STEP * np.eye(len(point))
        ]
    ).reshape(len(point), -1)
    return np.asarray(np.einsum("in,ij,jn->n", J, covariance, J))


class _Rest:
    """Sigma or a residual structure on its lines.

    Attributes
    ----------
    point : ndarray
        Where it is.
    """

    def __init__(self, fit: REMLFit) -> None:
        self._fit, self._residual = fit, fit.residual
        if fit.residual is None:
            self.point = np.log([fit.scale])
            return
        self._coordinates = replace(fit.residual.coordinates, whole=True)
        self.point = self._coordinates.of(fit.residual.phi)

    def parameters(self, at: Floats) -> Floats:
        """Return sigma, or the structure's parameters."""
        return np.exp(at) if self._residual is None else self._coordinates.phi(at)

    def criterion(self, roots: Sequence[Floats], at: Floats, *, restricted: bool) -> float:
        """Compute -2 log (restricted) likelihood at roots of G."""
        if self._residual is not None:
            phi = self._coordinates.phi(at)
            return criterion_at(self._residual, roots, phi, restricted=restricted)
        gram, sigma = self._fit.gram, float(np.exp(at[0]))
        relative = [L / sigma for L in roots]
        if restricted:
            return -2.0 * log_density(gram, relative, sigma, gradient=False)[0]
        packed = pack_factors(gram, relative)
        return float(criterion(gram, packed, ML_AT_SIGMA, sigma, gradient=False)[0])


def criterion_at(
    residual: FittedResiduals, factors: Sequence[Floats], phi: Floats, *, restricted: bool
) -> float:
    """Compute -2 log (restricted) likelihood of roots L_k of G_k and parameters of R."""
    bases, kind = residual.bases, DENSITY if restricted else ML_AT_SIGMA
    value: float = evaluate(
        bases.plan.ints, bases.floats(phi),
        pack_factors(bases.reference, factors), 1.0, *flat_prior(bases.reference), kind, False,
    )[0]  # fmt: skip
    return -2.0 * value if kind == DENSITY else value
