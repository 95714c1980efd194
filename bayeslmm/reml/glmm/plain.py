"""The likelihood of a model without random effects, and where searches of all models begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy

from bayeslmm.arrays import for_kernels
from bayeslmm.families.ordinal.ordered import Ordered
from bayeslmm.families.ordinal.sticks import THRESHOLD, observed_sticks
from bayeslmm.kernels.families.rows import rows
from bayeslmm.model.compiled_rows import family_code
from bayeslmm.model.quadrature.start import fit_without_effects
from bayeslmm.reml.glmm.coordinates import Point

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.reml.glmm.coordinates import Coordinates

# Precision that keeps fixed effects finite where the likelihood does not.
_SLIGHT = 1e-8
# Bounds of a variance to begin with: in variances of one level's own estimate, and, where levels
# have very much information, in units of the link's scale.
_LEAST, _MOST, _LARGE = 0.1, 100.0, 4.0
# Logarithms of family parameters begin within so much of where they are guessed.
_WIDE = 6.0
# Degrees of freedom to begin with.
_NU = 10.0
_SHARE = 0.3


class Plain:
    """Rows that are independent of each other given the fixed effects.

    Parameters
    ----------
    coordinates : Coordinates
        The model; its random effects, if any, are taken to be zero.
    """

    exact_slopes = True

    def __init__(self, coordinates: Coordinates) -> None:
        design = coordinates.design
        n = design.n
        known = np.ones(n) if design.known is None else design.known
        self.offset = np.zeros(n) if design.offset is None else design.offset
        self.X = coordinates.X
        self._code = family_code(design.family)
        self._y = for_kernels("y", design.y, np.float64, (n,))
        self._known = for_kernels("trials or weights", known, np.float64, (n,))

    def rows(self, beta: Floats, phi: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Return each row's log-density, slope and curvature in eta, and slopes in phi."""
        eta = for_kernels("eta", self.offset + self.X @ beta, np.float64, (None,))
        found: tuple[Floats, Floats, Floats, Floats]
        found = rows(self._code, eta, self._y, self._known, phi)
        return found

    def value(self, point: Point, *, settle: bool = False) -> float:  # noqa: ARG002
        """Evaluate the log-likelihood."""
        return float(self.rows(point.beta, point.phi)[0].sum())

    def value_and_slopes(self, point: Point) -> tuple[float, Point]:
        """Evaluate the log-likelihood and its slopes."""
        value, slope, _, phi_slopes = self.rows(point.beta, point.phi)
        return float(value.sum()), Point(self.X.T @ slope, (), phi_slopes.sum(axis=0))

    def modes(self, _point: Point) -> tuple[Floats, ...]:
        """Return the effects' modes: there are none."""
        return ()


def first_point(coordinates: Coordinates) -> Point:
    """Return where a search begins: the fit without random effects, and variances by moments.

    With rows' slopes l' and curvatures w there, a level's sum s of z l' has a variance of about
    a + v a^2, a the level's sum of w z^2 and v the effects' variance.

    Parameters
    ----------
    coordinates : Coordinates
        The model.

    Returns
    -------
    Point
    """
    plain = Plain(coordinates)
    beta, phi = scored(coordinates, plain)
    _, slope, weight, _ = plain.rows(beta, phi)
    factors = []
    for factor, Z in zip(coordinates.design.factors, coordinates.Z, strict=True):
        diagonal = []
        for z in Z.T:
            s = np.bincount(factor.index, slope * z, len(factor.levels))
            a = np.bincount(factor.index, weight * z * z, len(factor.levels))
            known = max(float(np.mean(a)), 1e-12)
            v = float(np.sum(s * s - a)) / max(float(np.sum(a * a)), 1e-24)
            diagonal.append(np.sqrt(np.clip(v, _LEAST / known, max(_MOST / known, _LARGE))))
        factors.append(np.diag(diagonal))
    return Point(beta, tuple(factors), phi)


def scored(coordinates: Coordinates, plain: Plain) -> tuple[Floats, Floats]:
    """Return fixed effects and family parameters by Fisher's scoring, effects left out."""
    design, X = coordinates.design, plain.X
    family, known = design.family, design.known
    if isinstance(family, Ordered):
        phi = family.thresholds(observed_sticks(design.y, coordinates.n_phi))
        given = {THRESHOLD: phi}
        slight = _SLIGHT * np.ones(coordinates.n_beta)
        beta, _ = fit_without_effects(design, X, given, np.zeros(coordinates.n_beta), slight)
        return beta, phi
    trials = design.trials
    y = design.y if trials is None else design.y / trials
    # Half way to the mean no response lies on the edge of what a mean can be, and half a success
    # or count keeps the mean itself off it.
    discrete = family.response.known == "trials" or np.all(y == np.floor(y))
    middle = (y.sum() + 0.5) / (len(y) + 1.0) if discrete else y.mean()
    eta = (family.level_scale or family.link).link(0.5 * (y + middle))
    beta = np.linalg.lstsq(X, eta - plain.offset, rcond=None)[0]
    names = [parameter.name for parameter in family.parameters]
    first = {"sigma": float(np.std(y)), "nu": _NU}
    plainly = np.where(coordinates.is_share, _SHARE, 1.0)
    phi = np.array([first.get(name, value) for name, value in zip(names, plainly, strict=True)])
    start = coordinates.placed_phi(phi)
    low, high = start - _WIDE, start + _WIDE

    def misfit(numbers: Floats) -> float:
        values = dict(zip(names, coordinates.phi(np.clip(numbers, low, high)), strict=True))
        mean = plain.offset + X @ beta
        with np.errstate(all="ignore"):
            total = -float(np.sum(family.log_density(design.y, mean, values, known)))
        return total if np.isfinite(total) else 1e300

    for _ in range(2 if names else 1):
        given = dict(zip(names, phi, strict=True))
        beta, _ = fit_without_effects(design, X, given, beta, _SLIGHT * np.ones(len(beta)))
        if names:
            found = scipy.optimize.minimize(
                misfit,
                coordinates.placed_phi(phi),
                method="Nelder-Mead",
                options={"xatol": 1e-2},
            )
            phi = coordinates.phi(np.clip(found.x, low, high))
    return beta, phi
