"""Separation: combinations of fixed effects whose maximum likelihood estimates are infinite."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import scipy

from bayeslmm.design.rank.estimable import is_estimable, span
from bayeslmm.design.rank.identifiability import dependent_columns
from bayeslmm.errors import DataError
from bayeslmm.reml.glmm.coordinates import Coordinates
from bayeslmm.reml.glmm.plain import Plain, scored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.design.design import Design

# A row whose response is as good as certain by the fit without random effects is suspicious.
_CERTAIN = 1e-4
# What the linear program leaves of zero; columns are scaled to at most one.
_ROUNDING = 1e-7


@dataclass(frozen=True, eq=False)
class Separation:
    r"""Where the likelihood keeps rising along a combination of fixed effects.

    Along :math:`\beta + t \delta` no row's density falls, whatever the random effects, and that of
    some rows rises to one. In the limit these rows say nothing of the rest.

    Attributes
    ----------
    rest : Design
        The other rows, with columns that those identify.
    limits : mapping of str to float
        Infinite estimates by coefficient; NaN where the sign is open.
    n_rows : int
        How many rows are separated.
    """

    rest: Design
    limits: dict[str, float]
    n_rows: int


def find_separation(design: Design) -> Separation | None:
    """Return where estimates run to infinity, or None.

    Parameters
    ----------
    design : Design
        Rows of a binary, binomial or count response; of others there is nothing to be found.

    Returns
    -------
    Separation or None

    Raises
    ------
    DataError
        If all rows are separated, so that nothing is left to be estimated.

    References
    ----------
    Albert & Anderson (1984). On the existence of maximum likelihood estimates in logistic
    regression models. doi:10.1093/biomet/71.1.1

    Konis (2007). Linear programming algorithms for detecting separated data in binary logistic
    regression models. DPhil thesis, University of Oxford.
    """
    sides = _sides(design)
    if sides is None or not len(design.coef) or not _suspicious(design):
        return None
    direction, scale = _direction(design.X, sides)
    away = np.abs(design.X / scale @ direction) > _ROUNDING
    if not away.any():
        return None
    if away.all():
        told = ", ".join(design.coef[j] for j in np.flatnonzero(np.abs(direction) > _ROUNDING))
        raise DataError(
            f"Fixed effects tell the response {design.response!r} without error in every row "
            f"({told}): their estimates by maximum likelihood are infinite, and nothing is left "
            "to estimate the others from. fit_bayes, whose priors keep coefficients finite, fits "
            "such rows."
        )
    X = design.X[~away]
    finite = is_estimable(np.eye(len(design.coef)), *span(X))
    dependent = dependent_columns(X, design.coef)
    kept = [j for j, name in enumerate(design.coef) if name not in dependent]
    limits = {
        name: float(np.copysign(np.inf, d)) if abs(d) > _ROUNDING else np.nan
        for name, d, known in zip(design.coef, direction, finite, strict=True)
        if not known
    }
    return Separation(_rest(design, ~away, kept), limits, int(away.sum()))


def _sides(design: Design) -> Floats | None:
    """Return 1 where a row's density rises with eta for ever, -1 where it falls, else 0."""
    y, kind = design.y, design.family.name
    if kind in ("bernoulli", "binomial"):
        trials = np.ones(len(y)) if design.trials is None else design.trials
        sides = np.where(y == trials, 1.0, np.where(y == 0, -1.0, 0.0))
        return np.where(trials == 0, 0.0, sides)
    if kind in ("poisson", "negbinomial"):
        return np.where(y == 0, -1.0, 0.0)
    return None


def _suspicious(design: Design) -> bool:
    coordinates = Coordinates(design)
    plain = Plain(coordinates)
    value = plain.rows(*scored(coordinates, plain))[0]
    return bool(np.any(value > -_CERTAIN))


def _direction(X: Floats, sides: Floats) -> tuple[Floats, Floats]:
    """Return delta, of columns over their scales, that separates as many rows as possible."""
    scale = np.abs(X).max(axis=0)
    rows = np.unique(np.column_stack([X / scale, sides]), axis=0)
    A, s = rows[:, :-1], rows[:, -1]
    free, p = s != 0, X.shape[1]
    k = int(free.sum())
    # Maximise the sum of gains t, at most one each, with t <= s x'delta and x'delta = 0 elsewhere.
    found = scipy.optimize.linprog(
        np.concatenate([np.zeros(p), -np.ones(k)]),
        A_ub=np.hstack([-s[free, None] * A[free], np.eye(k)]),
        b_ub=np.zeros(k),
        A_eq=np.hstack([A[~free], np.zeros((len(A) - k, k))]) if k < len(A) else None,
        b_eq=np.zeros(len(A) - k) if k < len(A) else None,
        bounds=[(None, None)] * p + [(0.0, 1.0)] * k,
    )
    if found.x is None:
        return np.zeros(p), scale
    return np.asarray(found.x[:p]), scale


def _rest(design: Design, kept: NDArray[np.bool_], columns: list[int]) -> Design:
    def some(values: Floats | None) -> Floats | None:
        return None if values is None else values[kept]

    return replace(
        design,
        y=design.y[kept],
        X=np.ascontiguousarray(design.X[kept][:, columns]),
        coef=tuple(design.coef[j] for j in columns),
        factors=tuple(
            replace(factor, index=factor.index[kept], columns=factor.columns[kept])
            for factor in design.factors
        ),
        weights=some(design.weights),
        offset=some(design.offset),
        trials=some(design.trials),
    )
