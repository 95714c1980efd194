"""Random effects standardised, so that they look standard normal where the model holds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.analysis.prediction.linear_predictor import training_design
from bayeslmm.analysis.variance.moments import tree_gram
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.gram.border.moments import conditional_moments
from bayeslmm.gram.border.sparse.suited import suited_gram
from bayeslmm.gram.gram_design import GramDesign
from bayeslmm.model.residual.interpolation import products_of
from bayeslmm.names import is_smooth
from bayeslmm.reml.result import REMLFit
from bayeslmm.resources import single_blas_thread
from bayeslmm.results import read
from bayeslmm.results.family import family
from bayeslmm.results.residual import residual_draws, residual_structure
from bayeslmm.results.smooths import grouping_factors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.analysis.prediction.fit_rows import Fit
    from bayeslmm.arrays import Floats
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.gram.gram import Gram
    from bayeslmm.gram.told import Conditional
    from bayeslmm.results.factor_info import FactorInfo

LEAST = 1e-3  # share of G that the data must have told about an effect, for it to say anything


def standardized_effects(fit: Fit) -> dict[tuple[str, str], Floats]:
    r"""Compute each level's conditional modes in their own standard deviations.

    .. math:: z_{ij} = \hat{b}_{ij} / \sqrt{G_{jj} - \mathrm{Var}(b_{ij} \mid y)}

    Modes shrink, the more the less a level's rows say; by the law of total variance the
    denominator is the standard deviation of what is left of them. G and sigma are the fit's, of a
    posterior the means of G and of sigma^2, or of the parameters of a residual structure. Where
    responses are not Gaussian, they are the effects
    of one posterior draw over that draw's standard deviations, which are standard normal where the
    model holds, too; of effects kept as moments the posterior means over sqrt(E G - Var(b | y)).

    Parameters
    ----------
    fit : DataTree or REMLFit
        The fit.

    Returns
    -------
    dict of (factor, term) to ndarray
        One value for each level about which the data say anything; without terms whose standard
        deviation is zero.

    References
    ----------
    Lange & Ryan (1989), The Annals of Statistics 17(2):624-642, doi 10.1214/aos/1176347130.

    Examples
    --------
    >>> from bayeslmm.reml.fit import fit_reml
    >>> from bayeslmm.tables.datasets import load_dataset
    >>> fit = fit_reml("Yield ~ 1 + (1 | Batch)", load_dataset("dyestuff"))
    >>> standardized_effects(fit)["Batch", "Intercept"].round(2)
    array([-0.52,  0.01,  0.84, -0.68,  1.67, -1.33])
    """
    if not isinstance(fit, REMLFit) and family(fit).name != GAUSSIAN.name:
        infos = grouping_factors(fit)
        if not any(read.has_moments(fit, info.name) for info in infos):
            return _of_one_draw(fit, infos)
    found = {}
    holds = _holds(fit)
    for name, terms, variances, modes, spread in _moments(fit):
        if is_smooth(name):  # its coefficients are one curve's
            continue
        for j, term in enumerate(terms):
            told = variances[j] - spread[:, j]
            said = (told > LEAST * variances[j]) & holds[name][:, j]
            if variances[j] > 0 and said.any():
                found[name, term] = modes[said, j] / np.sqrt(told[said])
    return found


def _of_one_draw(idata: xr.DataTree, infos: Sequence[FactorInfo]) -> dict[tuple[str, str], Floats]:
    found = {}
    for info in infos:
        drawn = read.all_effect_draws(idata, info)[0, -1]
        sd = read.draws(idata, names.sd(info.name))[0, -1]
        for j, term in enumerate(info.terms):
            if sd[j] > 0:
                found[info.name, term] = drawn[info.holds[:, j], j] / sd[j]
    return found


def _holds(fit: Fit) -> dict[str, NDArray[np.bool_]]:
    """Return which levels have which columns, shape (m, q), by factor."""
    if not isinstance(fit, REMLFit):
        infos = read.factors(fit)
        return {info.name: replace(info, levels=info.all_levels).holds for info in infos}
    return {
        factor.name: np.ones((len(factor.levels), len(factor.terms)), dtype=bool)
        if factor.arms is None
        else factor.arms.holds
        for factor in fit.gram.factors
    }


def _moments(fit: Fit) -> Iterator[tuple[str, Sequence[str], Floats, Floats, Floats]]:
    """Yield each factor's name, terms, diagonal of G (q,), and effects' means and variances."""
    if isinstance(fit, REMLFit):
        gram, moments = fit.gram, fit.conditional
        covariances = [fit.covariance[factor.name].to_numpy() for factor in gram.factors]
    elif family(fit).name == GAUSSIAN.name and not read.in_sigma(fit):
        gram, moments, covariances = moments_at_the_means(fit)
    else:
        yield from _of_draws(fit)
        return
    parts = zip(gram.factors, covariances, moments.modes, moments.marginal_cov, strict=True)
    for factor, covariance, modes, spread in parts:
        of_levels = np.diagonal(spread, axis1=1, axis2=2)
        yield factor.name, factor.terms, np.diag(covariance), modes, of_levels


def _of_draws(
    idata: xr.DataTree,
) -> Iterator[tuple[str, Sequence[str], Floats, Floats, Floats]]:
    for info in read.factors(idata):
        variances = np.diagonal(read.covariance_draws(idata, info).mean(axis=0))
        if read.has_moments(idata, info.name):
            kept, name = read.group(idata, "effects_moments"), names.effects(info.name)
            dims = (names.level_dim(info.name), names.term_dim(info.name))
            mean, sd = (
                kept[f"{name}_{which}"].transpose(*dims).to_numpy() for which in ("mean", "sd")
            )
        else:
            drawn = read.all_effect_draws(idata, info)
            mean, sd = drawn.mean(axis=(0, 1)), drawn.std(axis=(0, 1))
        yield info.name, info.terms, variances, mean, np.square(sd)


def moments_at_the_means(idata: xr.DataTree) -> tuple[Gram, Conditional, list[Floats]]:
    """Return cross-products, moments of the effects given the posterior means, and each G.

    They are given the posterior means of G and sigma^2, of a Gaussian response.
    """
    gram, sigma = _gram_at_the_means(idata)
    covariances = [
        read.covariance_draws(idata, read.factor(idata, factor.name)).mean(axis=0)
        for factor in gram.factors
    ]
    relative = [np.linalg.cholesky(covariance) / sigma for covariance in covariances]
    with single_blas_thread():
        return gram, conditional_moments(gram, relative, sigma), covariances


def _gram_at_the_means(idata: xr.DataTree) -> tuple[Gram, float]:
    """Return cross-products and sigma at the posterior means; of R sums of whitened rows and 1."""
    gram, structure = tree_gram(idata), residual_structure(idata)
    design: ModelData
    if gram is None:
        design = replace(training_design(idata), y=read.response(idata))
    else:
        design = GramDesign.of(str(idata.attrs["formula"]), gram)
    if structure is not None:
        phi = residual_draws(idata, structure).mean(axis=0)
        return products_of(design, structure).at(phi), 1.0
    gram = suited_gram(design)
    return gram, float(np.sqrt(np.mean(read.draws(idata, names.SIGMA) ** 2)))
