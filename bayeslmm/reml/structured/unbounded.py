r"""Likelihoods without a maximum.

With the residuals of some rows at zero and their sigma going there, the likelihood grows as
:math:`\sigma_k^{-m}`: with m the number of those rows by ML, and less their rank in X by REML.
Parameters that no data tell from each other are warned of.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import DataError, IdentificationWarning, warn
from bayeslmm.gram.coordinates import orthogonal
from bayeslmm.gram.gram import gram_of
from bayeslmm.reml.structured.coordinates import rows_of_strata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.model.residual.structured import StructuredResiduals
    from bayeslmm.reml.structured.coordinates import ResidualCoordinates

# Squares that are this share of the response's are rounding.
_EXACT = 1e-20
# The same of squares that were summed, and then taken from each other.
_ROUNDED = 1e-14
# A coordinate beyond this (a ratio of 150, a correlation of 0.99991) along which the criterion
# still falls by this much a unit: it falls for ever.
_FAR, _FALLS = 5.0, 0.05
# The same in the midst of a search: rows that are fitted exactly give a slope of one or more.
_RUNAWAY, _STEEP = 9.0, 0.5
# What a search at a bound may still promise.
_PROMISE = 1e-3


def require_bounded(design: ModelData, structure: StructuredResiduals, *, restricted: bool) -> None:
    """Raise where the fixed effects alone fit a stratum's rows exactly.

    Parameters
    ----------
    design : Design or GramDesign
        The rows, or cross-products with strata.
    structure : StructuredResiduals
        Their residuals.
    restricted : bool
        REML rather than ML.

    Raises
    ------
    DataError
        Naming the stratum, and what can be done.
    """
    strata = structure.scale.entries
    if structure.se is not None or len(strata) < 2 or any(e.lower != 0.0 for e in strata):
        return
    fits = _by_strata(design, structure) if design.has_rows else _by_grams(design, structure)
    counts = rows_of_strata(structure)
    for entry, fit, count in zip(strata, fits, counts, strict=True):
        if not count:
            raise DataError(
                f"No row has {entry.name}, so that there is nothing to estimate it from. Let its "
                "stratum or visit share what others have, or fit with priors (fit_bayes)."
            )
        rank, exact = fit()
        if not exact:
            continue
        said = f"The fixed effects fit the {_rows(int(count))} of {entry.name} exactly"
        if not restricted or count > rank:
            raise DataError(
                f"{said}: the likelihood grows without bound as that sigma goes to zero. Let the "
                "stratum share the sigma of another one"
                + (", or fit with method='REML'." if count == rank else ".")
            )
        if not design.factors:
            raise DataError(
                f"{said}, which leaves nothing from which to estimate it. Let the stratum share "
                "the sigma of another one, or fit with priors (fit_bayes)."
            )


def _by_strata(
    design: ModelData, structure: StructuredResiduals
) -> Iterator[Callable[[], tuple[int, bool]]]:
    """Give for each stratum the rank of its columns, and whether they fit its rows exactly."""
    rows = design.coded_rows
    y = rows.gaussian_response - (0.0 if rows.offset is None else rows.offset)
    indicate = structure.scale.sigma(np.eye(structure.n_scales))[:, structure.cell] > 0.0

    def fit(some: NDArray[np.bool_]) -> tuple[int, bool]:
        rank, left = _fitted(rows.X[some], y[some])
        return rank, left <= _EXACT * float(y @ y)

    return (partial(fit, some) for some in indicate)


def _by_grams(
    design: ModelData, structure: StructuredResiduals
) -> Iterator[Callable[[], tuple[int, bool]]]:
    """Give the same of cross-products, of whose squares the last digits are rounding."""
    strata = gram_of(design).strata
    assert strata is not None  # noqa: S101 - a structure of cross-products is of their strata
    indicate = structure.scale.sigma(np.eye(structure.n_scales))[:, structure.cell] > 0.0

    def fit(some: NDArray[np.bool_]) -> tuple[int, bool]:
        part = strata.grams[int(np.argmax(some))]
        best, p = orthogonal(part), len(part.coef)
        held = np.diag(best.cross)[:p] > _ROUNDED * best.n
        level = best.slope @ best.cross[:p, :p] @ best.slope
        return int(held.sum()), bool(best.cross[p, p] <= _ROUNDED * (level + best.cross[p, p]))

    return (partial(fit, some) for some in indicate)


def _fitted(X: Floats, y: Floats) -> tuple[int, float]:
    """Return the rank of columns, and the sum of squares that they leave."""
    if not X.shape[1]:
        return 0, float(y @ y)
    lengths = np.linalg.norm(X, axis=0)
    beta, _, rank, _ = np.linalg.lstsq(X / np.where(lengths > 0.0, lengths, 1.0), y)
    rest = y - X @ (beta / np.where(lengths > 0.0, lengths, 1.0))
    return int(rank), float(rest @ rest)


def _rows(count: int) -> str:
    return "one row" if count == 1 else f"{count} rows"


def require_maximum(
    coordinates: ResidualCoordinates, x: Floats, slope: Floats, promise: float, method: str
) -> None:
    """Raise where a search has followed a parameter of R to its bound, and still descends.

    Parameters
    ----------
    coordinates : ResidualCoordinates
        Of the structure.
    x, slope : ndarray
        Where the search ended, and the criterion's gradient there.
    promise : float
        By how much a Newton step would lower the criterion.
    method : {"REML", "ML"}
        Which likelihood was maximised.

    Raises
    ------
    DataError
        Naming the parameters.
    """
    far = (np.abs(x) > _FAR) & ~coordinates.even
    falls = far & ((slope * np.sign(x) < -_FALLS) | (promise > _PROMISE))
    if falls.any():
        raise _no_maximum(coordinates, x, falls, method)


def stop_running_away(
    coordinates: ResidualCoordinates, x: Floats, slope: Floats, method: str
) -> None:
    """Raise where a search is so far out that what it follows has no end.

    Parameters
    ----------
    coordinates : ResidualCoordinates
        Of the structure.
    x, slope : ndarray
        Where the search is, and the criterion's gradient there.
    method : {"REML", "ML"}
        Which likelihood is maximised.

    Raises
    ------
    DataError
        Naming the parameters.
    """
    falls = (np.abs(x) > _RUNAWAY) & (slope * np.sign(x) < -_STEEP) & ~coordinates.even
    if falls.any():
        raise _no_maximum(coordinates, x, falls, method)


def _no_maximum(
    coordinates: ResidualCoordinates, x: Floats, falls: NDArray[np.bool_], method: str
) -> DataError:
    # All others far above the one that is held at one: it is that one which vanishes.
    above = coordinates.is_scale[coordinates.free] & (x > 0.0)
    culprit = np.where(above, coordinates.held, coordinates.free)
    parameters = list(dict.fromkeys(coordinates.labels[k] for k in culprit[falls]))
    return DataError(
        f"The {method} likelihood has no maximum: it still grows where {_listed(parameters)} "
        "has all but reached its bound, as where some rows are fitted exactly, or where there are "
        "too few groups for their covariance. Take a simpler residual structure, or fit with "
        "priors (fit_bayes)."
    )


def warn_of_flat_directions(parameters: Sequence[str]) -> None:
    """Warn where the data cannot tell parameters of G and R from each other.

    Parameters
    ----------
    parameters : sequence of str
        Which they are; nothing is said of none.

    Warns
    -----
    IdentificationWarning
        Naming them.
    """
    if not parameters:
        return
    what = (
        f"cannot tell {_listed(parameters)} from each other: more of one and less of the other"
        if len(parameters) > 1
        else f"say nothing about some number of {parameters[0]}: other values"
    )
    warn(
        f"The data {what} fit as well. Leave out a random-effects term that the residuals' "
        "covariance holds, take a simpler residual structure, or fit with priors (fit_bayes).",
        IdentificationWarning,
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
