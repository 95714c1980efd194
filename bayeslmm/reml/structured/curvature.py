r"""Standard errors of what is told of G and R, from the observed information of both together.

Numbers that are functions of several parameters, such as the entries of a correlation matrix, get
theirs by the delta method.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import NumericalError
from bayeslmm.gram.likelihood import flat_prior, pack_factors
from bayeslmm.kernels.densities import DENSITY, ML_AT_SIGMA, evaluate
from bayeslmm.model.covariance.factors import factor_from_sd_corr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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


def line_variances(
    fit: REMLFit, residual: FittedResiduals, targets: Sequence[Target], point: Floats
) -> Floats:
    """Compute the variances of a structured fit's parameters on their lines.

    Parameters
    ----------
    fit : REMLFit
        The fit.
    residual : FittedResiduals
        Its residual structure.
    targets : sequence of Target
        Its parameters but for the fixed effects: those of G, then the residuals' numbers.
    point : ndarray, shape (len(targets),)
        Where they are on their lines.

    Returns
    -------
    ndarray, shape (len(targets),)
    """
    own = [target for target in targets if target.number < 0]
    numbers = [target for target in targets if target.number >= 0]
    coordinates = replace(residual.coordinates, whole=True)
    x = coordinates.of(residual.phi)
    k = len(own)

    def criterion(at: Floats) -> float:
        factors = factors_at(fit, own, at[:k])
        phi = coordinates.phi(at[k:])
        return criterion_at(residual, factors, phi, restricted=fit.method == "REML")

    def on_lines(at: Floats) -> Floats:
        values = residual.values(coordinates.phi(at))
        return np.array([t.to_line(float(values[t.number])) for t in numbers])

    covariance = inverse_information(criterion, np.concatenate([point[:k], x]))
    J = np.array(
        [
            (on_lines(x + step) - on_lines(x - step)) / (2.0 * _STEP)
            for step in _STEP * np.eye(len(x))
        ]
    ).reshape(len(x), len(numbers))
    of_numbers = np.einsum("in,ij,jn->n", J, covariance[k:, k:], J)
    return np.concatenate([np.diag(covariance)[:k], of_numbers])


def factors_at(fit: REMLFit, targets: Sequence[Target], point: Floats) -> list[Floats]:
    """Return the roots L_k of G_k at sds and correlations given on their lines."""
    sds = [np.zeros(len(f.terms)) for f in fit.gram.factors]
    corrs = [np.eye(len(f.terms)) for f in fit.gram.factors]
    for target, at in zip(targets, point, strict=True):
        value = target.from_line(float(at))
        if target.kind == "sd":
            sds[target.factor][target.row] = value
        else:
            corrs[target.factor][target.row, target.col] = value
            corrs[target.factor][target.col, target.row] = value
    return [factor_from_sd_corr(sd, corr) for sd, corr in zip(sds, corrs, strict=True)]


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
