"""The search for G and R together: several starts, and the lowest of their ends."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.model.covariance.factors import SINGULAR_TOLERANCE
from bayeslmm.reml.descent import ACCEPTABLE, descend, snap_to_zero
from bayeslmm.reml.quasi_newton import GOAL
from bayeslmm.reml.search import Search, lambda_factors
from bayeslmm.reml.starts import NO_MATTER, End, Mode, begin, follow, other_modes, sigma_is_zero
from bayeslmm.reml.structured.coordinates import ResidualCoordinates
from bayeslmm.reml.structured.objective import StructuredObjective
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.model.residual.products import ResidualProducts
    from bayeslmm.model.residual.structured import StructuredResiduals

# Random effects, and a sigma beside known standard errors, begin at what moments say and at so
# much of it: correlated residuals and random effects explain the same thing in part.
_SMALL = 0.1
# Of expensive criteria so many starts are followed, those that are lowest.
_FEW = 2
# Of the logarithm of a range: what a criterion that does not follow is flat by.
_MUCH = 3.0
# Curvature along a direction, in units of the variables' own, that differences of gradients cannot
# tell from none; and the share of a variable in such a direction from which it is named.
_NO_CURVATURE, _TAKES_PART = 1e-6, 0.1


@dataclass(frozen=True, eq=False)
class StructuredSearch:
    """Where a search ended.

    Attributes
    ----------
    found : Search
        Of the relative factors; its sigma is the scale s of R = s^2 R_0, one where none is
        profiled, and it is singular also where parameters of R are on their bounds.
    coordinates : ResidualCoordinates
        Of the structure.
    relative : ndarray, shape (size,)
        The structure's parameters phi_0, of R_0.
    at_bound : tuple of int
        Places in phi of what is on its bound.
    slope : ndarray, shape (number of coordinates,)
        Of the criterion in the structure's coordinates.
    flat : tuple of str
        Parameters that trade off against each other without a change of the criterion.
    """

    found: Search
    coordinates: ResidualCoordinates
    relative: Floats
    at_bound: tuple[int, ...]
    slope: Floats
    flat: tuple[str, ...]

    @property
    def phi(self) -> Floats:
        """The structure's parameters, of R."""
        return self.coordinates.scaled(self.relative, self.found.sigma)


def search_structured(
    bases: ResidualProducts, structure: StructuredResiduals, *, restricted: bool
) -> StructuredSearch:
    """Minimise the criterion over relative factors and the residual structure's parameters.

    Parameters
    ----------
    bases : ResidualProducts
        The cross-products.
    structure : StructuredResiduals
        R.
    restricted : bool
        REML rather than ML.

    Returns
    -------
    StructuredSearch
        The lowest minimum found, and how far it can be trusted.
    """
    unit = 1.0 if structure.se is None else float(np.exp(np.mean(np.log(structure.se))))
    coordinates = ResidualCoordinates(structure, unit)
    with single_blas_thread():
        begun = _starts(bases, coordinates, restricted=restricted)
        if begun[0][0].relative.is_partial.any():
            ends = follow(begun)
        else:
            found_ends = [End(objective, *_descend(objective, x)) for objective, x in begun]
            ends = sorted(found_ends, key=lambda end: end.value)
        end = ends[0]
        objective = end.objective
        near_zero = np.abs(end.x * objective.step)[objective.diagonal] < 0.01
        if end.promise > ACCEPTABLE or np.any(near_zero):
            # A doubtful end gets a second opinion from lme4's starting point.
            other = _descend(objective, _with_unit_factors(objective))
            if other[1] < end.value - GOAL:
                end = End(objective, *other)
        x, value = snap_to_zero(objective, end.x, end.value)
        end = ends[0] = End(objective, x, value, end.promise)
        words = _words_of_bounds(end) if objective.relative.structured else ()
        modes = other_modes(ends, _mode) if objective.relative.is_partial.any() else ()
        at_bound = _at_bound(objective, x, value)
        flat = _flat(objective, x, set(at_bound))
        value, slope = objective(x)  # the scale belongs to the last evaluation
    theta = objective.step * x
    zero = np.abs(theta[objective.diagonal]) < SINGULAR_TOLERANCE
    found = Search(
        packed=objective.packed(x),
        criterion=value,
        sigma=objective.scale,
        singular=bool(zero.any() or at_bound or words),
        converged=end.promise <= (NO_MATTER if words else ACCEPTABLE),
        promise=end.promise,
        n_evaluations=sum({id(own.relative): own.n_evaluations for own, _ in begun}.values()),
        at_bound=words,
        modes=modes,
    )
    of_coordinates = (slope / objective.step)[objective.n_theta :]
    return StructuredSearch(
        found, coordinates, objective.phi(x), tuple(at_bound), of_coordinates, flat
    )


def _words_of_bounds(end: End[StructuredObjective]) -> tuple[str, ...]:
    """Return in words what is on its bound of G's correlations, and of R's scale beside G."""
    objective = end.objective
    theta = objective.step * end.x
    found = objective.relative.on_bound(theta[: objective.n_theta])
    if objective.coordinates.profiled and sigma_is_zero(end):
        found.append("the residuals' scale is all but zero")
    return tuple(found)


def _mode(end: End[StructuredObjective]) -> Mode:
    objective = end.objective
    objective(end.x, gradient=False)
    s = objective.scale
    lams = lambda_factors(objective.bases.reference, objective.packed(end.x))
    phi = objective.coordinates.scaled(objective.phi(end.x), s)
    return Mode(end.value, tuple(s * lam for lam in lams), s, phi)


def _descend(objective: StructuredObjective, x: Floats) -> tuple[Floats, float, float]:
    if not len(x):
        return x, objective(x)[0], 0.0
    return descend(objective, x)


def _starts(
    bases: ResidualProducts, coordinates: ResidualCoordinates, *, restricted: bool
) -> list[tuple[StructuredObjective, Floats]]:
    """Return where to begin: from each start of the correlation, G and sigma large and small."""
    structure, out = coordinates.structure, []
    beside = bool(coordinates.even.any())
    with_shares = structure.rows.correlation is not None or structure.rows.se is not None
    for phi in structure.starts(coordinates.default):
        objective = StructuredObjective(bases, coordinates, phi, restricted=restricted)
        of_factors = (1.0, _SMALL) if with_shares and objective.n_theta else (1.0,)
        of_sigmas = (1.0, _SMALL) if beside else (1.0,)
        sds = ~objective.relative.is_partial
        for theta in begin(objective.relative, objective.start[: objective.n_theta]):
            start = np.append(theta, objective.start[objective.n_theta :])
            own = objective.begun(start) if len(sds) > sds.sum() else objective
            for share, of_sigma in itertools.product(of_factors, of_sigmas):
                x = start.copy()
                x[: own.n_theta][sds] *= share
                x[own.n_theta :][coordinates.even] *= of_sigma
                out.append((own, x / own.step))
    if out[0][0].expensive and len(out) > _FEW:
        out.sort(key=lambda start: start[0](start[1], gradient=False)[0])
        out = out[:_FEW]
    return out


def _at_bound(objective: StructuredObjective, x: Floats, value: float) -> list[int]:
    """Return the places in phi of what is on its bound: ranges where a longer one is as good."""
    coordinates = objective.coordinates
    found = coordinates.at_bound(objective.free(x))
    for k in np.flatnonzero(coordinates.endless):
        for side in (-_MUCH, _MUCH):
            moved = objective.step * x
            moved[objective.n_theta + k] += side
            if abs(objective(moved / objective.step, gradient=False)[0] - value) < ACCEPTABLE:
                found.append(int(coordinates.free[k]))
                break
    return found


def _flat(objective: StructuredObjective, x: Floats, of_bounds: set[int]) -> tuple[str, ...]:
    """Return the parameters that a direction without curvature moves, away from bounds."""
    if objective.expensive or len(x) < 2:
        return ()
    at = objective.step * x
    inside = np.abs(at) >= SINGULAR_TOLERANCE
    inside |= ~objective.diagonal
    inside[objective.n_theta :] &= ~np.isin(objective.coordinates.free, list(of_bounds))
    H = objective.curvature(x)[np.ix_(inside, inside)]
    if not H.size:
        return ()
    # Relative to the variables' own curvatures, which steps from the start may be far from.
    unit = np.sqrt(np.maximum(np.abs(np.diag(H)), np.finfo(float).tiny))
    size, axes = np.linalg.eigh(H / np.outer(unit, unit))
    if size[0] > _NO_CURVATURE:
        return ()
    moved = np.zeros(len(x), dtype=bool)
    moved[inside] = np.abs(axes[:, 0]) > _TAKES_PART
    factors = objective.bases.reference.factors
    of_theta = [names.sd(factors[k].name) for k in objective.relative.factor_places]
    labels = [*of_theta, *objective.labels[objective.n_theta :]]
    return tuple(dict.fromkeys(label for label, part in zip(labels, moved, strict=True) if part))


def _with_unit_factors(objective: StructuredObjective) -> Floats:
    theta = objective.start.copy()
    theta[: objective.n_theta] = objective.diagonal[: objective.n_theta]
    return np.asarray(theta / objective.step)
