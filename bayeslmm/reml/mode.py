"""The exact check without sampling: the REML estimate is the mode of the collapsed density."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayeslmm import names
from bayeslmm.errors import ArgumentError, names_keywords
from bayeslmm.kernels.densities import DENSITY
from bayeslmm.model.covariance.factors import SINGULAR_TOLERANCE
from bayeslmm.reml.krylov.comparison import require_exact
from bayeslmm.reml.result import REMLFit
from bayeslmm.reml.search import Objective
from bayeslmm.reml.structured.objective import StructuredObjective
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.reml.structured.fitted import FittedResiduals


# In standard deviations of the parameter. A converged search promises at most 1e-6 more in the
# criterion, and half the squared distance from the mode in standard deviations, times two, is it.
AT_MODE = 2e-3
# Curvature below this share of the largest is flat as far as differences of gradients can tell.
_FLAT = 1e-6
_STEP = 1e-4


@names_keywords
def check_mode(fit: REMLFit) -> pd.DataFrame:
    r"""Show that a REML estimate is the mode of the density that the collapsed sampler draws from.

    With random effects and, under a flat prior, fixed effects integrated out, what is left is

    .. math:: \log p(y \mid \Lambda, \sigma) = -\tfrac12 \{ (n - p) \log 2 \pi \sigma^2
        + \log |V| + \log |X'V^{-1}X| + r / \sigma^2 - \sum \log w \}

    (constants of X aside): the restricted log-likelihood. Its gradient in (theta, log sigma) must
    vanish at the REML estimate, in units of its curvature. It is the compiled function that the
    marginal parametrization samples, with flat priors; so this holds one against the other
    without a single draw, and without Monte Carlo error.

    With a residual structure R takes the place of sigma^2, and the gradient is that in (L, phi),
    phi the structure's parameters: of L L' = G, of log sigma, of the inverse hyperbolic tangent of
    correlations.

    A variance on its boundary is a relative factor with a zero on the diagonal. The density is
    even in that entry t, so its slope there is zero by symmetry and says nothing; the condition
    is one-sided, that the density does not rise with the variance: its derivative in t^2, half
    the second derivative in t, is not positive.

    Parameters
    ----------
    fit : REMLFit
        Fitted by REML.

    Returns
    -------
    DataFrame
        One row per entry of theta (of orthogonal columns with mean square one, as the search has
        them; of random effects whose covariance has few numbers, these, on the search's scales)
        and for log sigma, or each parameter of the residual structure: ``value``; ``slope``
        and ``curvature``, first and second derivative of the log-density; ``distance``, the Newton
        step to the mode, in standard deviations of that parameter given the others; ``boundary``,
        whether the entry is zero on the diagonal; ``is_mode``: a distance of at most 0.002, or on
        the boundary no rise.

    Raises
    ------
    ArgumentError
        If the fit is by ML: its mode is another density's.

    References
    ----------
    Harville, D. A. (1974). Bayesian inference for variance components using only error contrasts.
    Biometrika 61, 383-385. https://doi.org/10.1093/biomet/61.2.383

    Examples
    --------
    >>> from bayeslmm.tables.datasets import load_dataset
    >>> from bayeslmm.reml.fit import fit_reml
    >>> fit = fit_reml("Reaction ~ Days + (Days | Subject)", load_dataset("sleepstudy"))
    >>> check_mode(fit)["is_mode"].all()
    np.True_
    """
    _check_fit(fit)
    require_exact(fit, "check_mode", "ask it of a fit with border='dense'.")
    if fit.method != "REML":
        msg = (
            "The mode of the density with the fixed effects integrated out is the REML estimate; "
            f"this fit is by {fit.method}. Fit with method='REML'."
        )
        raise ArgumentError(msg)
    with single_blas_thread():
        density = _Density(fit) if fit.residual is None else _StructuredDensity(fit, fit.residual)
        slope, H = density.slope(density.point), density.curvature()
    boundary = density.diagonal & (np.abs(density.value) < SINGULAR_TOLERANCE)
    distance = _newton_step(slope, -H) * np.sqrt(np.abs(np.diag(H)))
    # Differences of slopes carry rounding of the largest curvature.
    rise = np.diag(H) > _FLAT * np.abs(np.diag(H)).max()
    unit = density.step
    return pd.DataFrame(
        {
            "value": density.value,
            "slope": slope / unit,
            "curvature": np.diag(H) / unit**2,
            "distance": distance,
            "boundary": boundary,
            "is_mode": (np.abs(distance) <= AT_MODE) & ~(boundary & rise),
        },
        index=pd.Index(density.labels, name="parameter"),
    )


def _check_fit(fit: object) -> None:
    if not isinstance(fit, REMLFit):
        msg = f"A REML fit is needed, as `fit_reml` gives it; this is a {type(fit).__name__}."
        raise ArgumentError(msg)


class _Density:
    """The collapsed log-density in scaled entries of theta, and log sigma.

    Attributes
    ----------
    point : ndarray, shape (n_theta + 1,)
        The estimate.
    value, step, diagonal : ndarray, shape (n_theta + 1,)
        Theta of orthogonal columns and log sigma, their scales, and which are entries of theta on
        its diagonal.
    labels : list of str
        What they are called.
    """

    def __init__(self, fit: REMLFit) -> None:
        self._objective = Objective(fit.gram, DENSITY)
        x = self._objective.locate(fit.factors)
        self.step = np.append(self._objective.step, 1.0)
        self.diagonal = np.append(self._objective.diagonal, False)
        self.point = np.append(x, np.log(fit.scale))
        self.value = self.step * self.point
        self.labels = [*self._objective.relative.line_labels, f"log {names.SIGMA}"]
        # One posterior standard deviation of log sigma, so that a step means the same everywhere.
        self._unit = np.append(
            np.ones(len(x)), 1.0 / np.sqrt(2.0 * max(fit.gram.n - len(fit.gram.coef), 1))
        )

    def slope(self, point: Floats) -> Floats:
        """Gradient of the log-density."""
        self._objective.at = float(np.exp(point[-1]))
        _, d_theta = self._objective(point[:-1])
        # For this density the kernel's third answer is the derivative in sigma.
        return np.asarray(np.append(d_theta, self._objective.sigma * self._objective.at))

    def curvature(self) -> Floats:
        """Hessian by central differences of the gradient."""
        rows = []
        for k, unit in enumerate(self._unit):
            move = np.zeros(len(self.point))
            move[k] = _STEP * unit
            ahead, behind = self.slope(self.point + move), self.slope(self.point - move)
            rows.append((ahead - behind) / (2.0 * move[k]))
        H = np.array(rows)
        return np.asarray(0.5 * (H + H.T))


class _StructuredDensity:
    """The same in scaled entries of theta, here of G itself, and in a structure's coordinates."""

    def __init__(self, fit: REMLFit, residual: FittedResiduals) -> None:
        coordinates = replace(residual.coordinates, whole=True)
        self._objective = StructuredObjective(
            residual.bases, coordinates, residual.phi, restricted=True
        )
        factors = [fit.scale * lam for lam in fit.factors]
        self.step, self.diagonal = self._objective.step, self._objective.diagonal
        self.point = self._objective.locate(factors, residual.phi)
        self.value = self.step * self.point
        self.labels = self._objective.relative.line_labels + coordinates.line_labels

    def slope(self, point: Floats) -> Floats:
        """Gradient of the log-density."""
        return -0.5 * self._objective(point)[1]

    def curvature(self) -> Floats:
        """Hessian by central differences of the gradient."""
        return -0.5 * self._objective.curvature(self.point)


def _newton_step(slope: Floats, information: Floats) -> Floats:
    """Step to the mode; along flat directions (a redundant entry) there is none to take."""
    size = np.sqrt(np.maximum(np.abs(np.diag(information)), np.finfo(float).tiny))
    values, axes = np.linalg.eigh(information / np.outer(size, size))
    along = axes.T @ (slope / size)
    curved = np.abs(values) > _FLAT
    return np.asarray(axes @ np.where(curved, along / np.where(curved, values, 1.0), 0.0) / size)
