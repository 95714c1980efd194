"""`Observations`: linear predictors and parameters of all responses of each row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm import names
from bayeslmm.analysis.prediction.factor_part import drawn_levels
from bayeslmm.analysis.prediction.linear_predictor import check_seed, linear_predictor
from bayeslmm.analysis.prediction.new_levels import RelatedLevels, SomeColumns
from bayeslmm.analysis.several.response_of import category_counts, layout_of, part_tree
from bayeslmm.results import read

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.analysis.prediction.factor_part import FactorPart
    from bayeslmm.analysis.prediction.linear_predictor import LinearPredictor
    from bayeslmm.arrays import Floats
    from bayeslmm.design.stacked.layout import Layout
    from bayeslmm.design.state import DesignState
    from bayeslmm.families.family import Family


@dataclass(frozen=True, eq=False)
class Observations:
    """Rows of m observations under s draws, response by response.

    Attributes
    ----------
    layout : Layout
        How responses stand beside each other.
    labels : ndarray, shape (m,)
        Labels of the observations.
    eta : tuple of ndarray, shape (m, s)
        Linear predictors.
    families : tuple of Family
        How responses are distributed.
    phi : tuple of mapping
        Draws of their parameters.
    known : tuple of ndarray, shape (m, 1), or None
        Trials of binomial responses.
    covariance : ndarray, shape (s, R, R), or None
        Of an observation's residuals, where all responses are Gaussian.
    shape : tuple of int
        Chains, and draws per chain.
    """

    layout: Layout[DesignState]
    labels: NDArray[Any]
    eta: tuple[Floats, ...]
    families: tuple[Family, ...]
    phi: tuple[dict[str, Floats], ...]
    known: tuple[Floats | None, ...]
    covariance: Floats | None
    shape: tuple[int, int]

    @property
    def stacked(self) -> Floats:
        """Linear predictors of all categories beside the reference, shape (m, s, K - 1)."""
        return np.stack(self.eta, axis=-1)


def observations(idata: xr.DataTree, data: Any = None, **asked: Any) -> Observations:
    """Return what densities, draws and probabilities of several responses are computed from.

    Parameters
    ----------
    idata : DataTree
        Of several responses, or categories.
    data : table, optional
        The rows; those of the fit without it.
    **asked
        As `linear_predictor` takes it.
    """
    layout = layout_of(idata)
    asked = {**asked, "random_seed": check_seed(asked.get("random_seed"))}
    trees = [part_tree(idata, layout, k, every_row=True) for k in range(len(layout.names))]
    of_categories = bool(layout.categories)
    found = [
        linear_predictor(tree, data, **_without_trials(asked, data, of_categories=of_categories))
        for tree in trees
    ]
    found = [_with_columns(idata, layout, k, one, asked) for k, one in enumerate(found)]
    first = found[0]
    return Observations(
        layout=layout,
        labels=first.design.obs,
        eta=tuple(one.rows(slice(None)) for one in found),
        families=tuple(one.family for one in found),
        phi=tuple(dict(one.phi) for one in found),
        known=tuple(None if of_categories else one.known(slice(None)) for one in found),
        covariance=None if of_categories else _covariance(idata, first.kept),
        shape=first.shape,
    )


def _with_columns(
    idata: xr.DataTree,
    layout: Layout[DesignState],
    k: int,
    predictor: LinearPredictor,
    asked: dict[str, Any],
) -> LinearPredictor:
    """Draw effects of unseen levels for all responses together, by the G of all their columns."""

    def drawn(part: FactorPart) -> FactorPart:
        if part.new is None or not layout.blocks.get(part.name):
            return part
        info = read.factor(idata, part.name)
        whole = drawn_levels(idata, info, predictor.kept, asked["random_seed"])
        own = SomeColumns(whole, layout.places(part.name, k))
        if isinstance(part.new, RelatedLevels):
            noise = None if part.new.noise is None else own
            return replace(part, new=replace(part.new, noise=noise))
        return replace(part, new=own)

    return replace(predictor, parts=tuple(map(drawn, predictor.parts)))


def _without_trials(asked: dict[str, Any], data: Any, *, of_categories: bool) -> dict[str, Any]:
    """Give new rows of categories one trial each: their odds have no use for it."""
    return {**asked, "trials": 1} if of_categories and data is not None else asked


def _covariance(idata: xr.DataTree, kept: NDArray[np.intp]) -> Floats | None:
    """Return draws of the covariance of an observation's residuals; None where there is none."""
    held = read.group(idata, "posterior")
    if names.SD_RESIDUAL in held:
        sd, corr = (read.draws(idata, name)[:, kept] for name in (names.SD_RESIDUAL, _CORR))
        whole = sd[..., :, None] * corr * sd[..., None, :]
        return whole.reshape(-1, *whole.shape[2:])
    if names.SIGMA_BY in held:
        sigma = read.draws(idata, names.SIGMA_BY)[:, kept]
        flat = sigma.reshape(-1, sigma.shape[-1])
        return np.asarray(flat[:, :, None] ** 2 * np.eye(flat.shape[1]))
    return None


_CORR = names.CORR_RESIDUAL


def observed_responses(idata: xr.DataTree, layout: Layout[DesignState]) -> Floats:
    """Return the responses of each observation, NaN where it lacks one, shape (m, R).

    Of categories counts of all, the reference first.
    """
    observed = read.group(idata, "observed_data")
    if layout.categories:
        return np.asarray(category_counts(observed, layout))
    return np.column_stack([observed[names.stored(name)].values for name in layout.names])
