"""Shares of variance that relatives have in common: heritability, and Pagel's lambda."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit, ndtri

from bayeslmm.analysis.prediction.linear_predictor import training_design
from bayeslmm.analysis.variance.effect_sizes import table_of
from bayeslmm.analysis.variance.parts import variance_parts
from bayeslmm.errors import TreeError, names_keywords, nearest
from bayeslmm.formula.mixed_formula import parse_formula
from bayeslmm.model.residual.drawn import DrawnResiduals
from bayeslmm.relationships.pedigree import Pedigree
from bayeslmm.reml.result import REMLFit
from bayeslmm.reml.structured.curvature import function_variances
from bayeslmm.results import read
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, check_interval
from bayeslmm.results.known import known_covariances

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr

    from bayeslmm.arrays import Floats
    from bayeslmm.design.grouping import GroupingFactor
    from bayeslmm.relationships.relationship import Relationship

HERITABILITY = "heritability"
LAMBDA = "lambda"


@dataclass(frozen=True)
class _Shares:
    """Draws of the shares of some factors in the whole."""

    of: dict[str, Floats]
    at: str


@names_keywords
def heritability(
    fit: xr.DataTree | REMLFit,
    factor: str | None = None,
    *,
    at: Mapping[str, Any] | None = None,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
) -> pd.DataFrame:
    r"""Describe the share of the variance that the effects of related levels have.

    .. math:: h^2 = \frac{v_A}{\sum_k v_k + v_e}

    with the variances of `icc`, given the predictors: :math:`v_k` the mean over rows of
    :math:`z' G_k z` (times what a known covariance has on its diagonal), :math:`v_e` that of the
    residuals. For a pedigree :math:`v_A` is the additive variance of animals that are not inbred,
    without the factor of the diagonal, in the denominator, too: narrow-sense heritability; for
    other covariances the mean diagonal counts, so that the unit that A was given in does not.

    Parameters
    ----------
    fit : DataTree or REMLFit
        Result of `fit_bayes` or `fit_reml`, with a term ``(... | gr(g, cov=A))``.
    factor : str, optional
        The factor whose levels are related; all such factors if not given.
    at : mapping from covariate to value, optional
        Where random slopes are evaluated; averaged over the training rows without it. Not of REML
        fits.
    ci_prob : float
        Probability of the interval.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval.

    Returns
    -------
    DataFrame
        One row per factor: ``at``, then ``mean``, ``sd``, ``median`` and the interval of the
        posterior; of a REML fit ``estimate``, ``std_error`` and Wald's ``lower`` and ``upper`` on
        the scale of logits, by the delta method (NaN where a variance is on its boundary). All
        between 0 and 1.

    Raises
    ------
    TreeError
        When no factor has a known covariance, or the named one has none.

    See Also
    --------
    icc : the same for every factor.
    pagel_lambda : under its name for a phylogeny.

    References
    ----------
    Wilson, A. J. et al. (2010). An ecologist's guide to the animal model. Journal of Animal Ecology
    79, 13-26. https://doi.org/10.1111/j.1365-2656.2009.01639.x

    Examples
    --------
    >>> import bayeslmm as bl
    >>> parents = bl.pedigree(
    ...     {"id": list("abcdef"), "sire": [None] * 3 + ["a", "a", "c"],
    ...      "dam": [None] * 3 + ["b", "b", "b"]}
    ... )
    >>> table = {"y": [1, 4, 2, 2, 4, 3, 2, 4, 3, 3, 3, 2], "animal": list("abcdef") * 2}
    >>> fit = bl.fit_reml("y ~ 1 + (1 | gr(animal, cov=A))", table, known={"A": parents})
    >>> bl.heritability(fit)["estimate"].round(2).to_dict()
    {'animal': 0.6}
    """
    return _table(fit, factor, at, HERITABILITY, (ci_prob, ci_kind))


@names_keywords
def pagel_lambda(
    fit: xr.DataTree | REMLFit,
    factor: str | None = None,
    *,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
) -> pd.DataFrame:
    r"""Describe Pagel's lambda: which share of the variance follows the phylogeny.

    .. math:: \lambda = \frac{v_A}{\sum_k v_k + v_e}

    with one row for each species and no other effects, :math:`\lambda` is what multiplies the
    covariances between species in ``ape::corPagel``; with several rows, or a species effect
    without the phylogeny beside it, these are among the other parts.

    Parameters
    ----------
    fit : DataTree or REMLFit
        Result of `fit_bayes` or `fit_reml`, with a term ``(1 | gr(species, cov=A))``.
    factor : str, optional
        The factor whose levels are related; all such factors if not given.
    ci_prob : float
        Probability of the interval.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval.

    Returns
    -------
    DataFrame
        As `heritability` gives it.

    Raises
    ------
    TreeError
        When no factor has a known covariance, or the named one has none.

    References
    ----------
    Pagel, M. (1999). Inferring the historical patterns of biological evolution. Nature 401,
    877-884. https://doi.org/10.1038/44766

    Housworth, E. A., Martins, E. P. & Lynch, M. (2004). The phylogenetic mixed model. American
    Naturalist 163, 84-96. https://doi.org/10.1086/380570

    Examples
    --------
    >>> import bayeslmm as bl
    >>> A = bl.phylogeny("(((a:1,b:1):1,c:2):1,(d:1,e:1):2);")
    >>> table = {"y": [1.0, 1.2, 1.9, 3.1, 2.6], "species": list("abcde")}
    >>> fit = bl.fit_reml("y ~ 1 + (1 | gr(species, cov=A))", table, known={"A": A})
    >>> bl.pagel_lambda(fit)["estimate"].between(0, 1).to_dict()
    {'species': True}
    """
    return _table(fit, factor, None, LAMBDA, (ci_prob, ci_kind))


def _table(
    fit: xr.DataTree | REMLFit,
    factor: str | None,
    at: Mapping[str, Any] | None,
    what: str,
    interval: tuple[float, str],
) -> pd.DataFrame:
    if isinstance(fit, REMLFit):
        check_interval(*interval)
        known = _related(fit.data.state.known, fit.formula, factor)
        numbers, where = _of_reml(fit, known, interval[0])
        table = pd.DataFrame(numbers, index=pd.Index(known, name="factor"))
    else:
        read.require_tree(fit)
        known = _related(known_covariances(fit), str(fit.attrs["formula"]), factor)
        shares = _of_draws(fit, known, at)
        table, where = table_of(fit, shares.of, *interval, "factor"), shares.at
    table.insert(0, "at", where)
    table.columns.name = what
    return table


def _related(
    known: Mapping[str, Relationship], formula: str, factor: str | None
) -> dict[str, Relationship]:
    """Return the factors whose levels are related, or the one that is asked for."""
    found = {
        term.factor: known[term.cov]
        for term in parse_formula(formula).random
        if term.cov is not None
    }
    if not found:
        raise TreeError(
            f"No factor of {formula!r} has levels of a known covariance, whose share this is: add "
            "a term such as (1 | gr(animal, cov=A)), with known={'A': ...}. icc has the shares of "
            "factors whose levels are independent."
        )
    if factor is None:
        return found
    if factor not in found:
        raise TreeError(
            f"{factor!r} is no factor with a known covariance of its levels: they are "
            f"{', '.join(found)}.{nearest(str(factor), found)} icc has the shares of the others."
        )
    return {factor: found[factor]}


def _of_draws(
    idata: xr.DataTree, known: Mapping[str, Relationship], at: Mapping[str, Any] | None
) -> _Shares:
    parts = variance_parts(idata, at)
    design = training_design(idata)
    whole = parts.random + parts.residual
    own = dict(parts.factors)
    for factor in design.factors:
        own[factor.name] = own[factor.name] / _inbreeding(factor, known)
        whole = whole - parts.factors[factor.name] + own[factor.name]
    return _Shares({name: own[name] / whole for name in known}, parts.at)


def _inbreeding(factor: GroupingFactor, known: Mapping[str, Relationship]) -> float:
    """Return the mean diagonal over rows, which base animals of a pedigree do not have; else 1."""
    if factor.latent is None or not isinstance(known.get(factor.name), Pedigree):
        return 1.0
    return float(factor.latent.variances[factor.index].mean())


def _of_reml(
    fit: REMLFit, known: Mapping[str, Relationship], ci_prob: float
) -> tuple[dict[str, Floats], str]:
    """Return estimates by column of their table, and where they are."""
    design = fit.data.coded_rows
    moments, slopes = [], False
    for factor in design.factors:
        columns = factor.scaled_columns
        moments.append(columns.T @ columns / design.n / _inbreeding(factor, known))
        slopes |= bool(np.ptp(factor.columns, axis=0).any())
    weights = np.ones(design.n) if design.weights is None else design.weights
    inverse, place = float(np.mean(1.0 / weights)), [f.name for f in design.factors]
    at = [place.index(name) for name in known]

    def shares(roots: Sequence[Floats], rest: Floats) -> Floats:
        own = np.array([np.sum(L @ L.T * m) for L, m in zip(roots, moments, strict=True)])
        if fit.residual is None:
            left = float(rest[0]) ** 2 * inverse
        else:
            structure = fit.residual.structure
            drawn = DrawnResiduals(structure, structure.rows, np.asarray(rest)[None])
            left = float(drawn.mean_variance()[0])
        return np.asarray(own[at] / (own.sum() + left))

    def on_line(roots: Sequence[Floats], rest: Floats) -> Floats:
        return np.asarray(logit(shares(roots, rest)))

    rest = np.array([fit.scale]) if fit.residual is None else fit.residual.phi
    found = shares([fit.scale * L for L in fit.factors], rest)
    error = np.full(len(found), np.nan)
    if not fit.is_singular:
        variance = function_variances(fit, on_line)
        np.sqrt(variance, out=error, where=variance > 0.0)
    half = float(ndtri(0.5 + 0.5 * ci_prob)) * error
    with np.errstate(divide="ignore"):
        line = logit(found)
    table = {
        "estimate": found,
        "std_error": error * found * (1.0 - found),
        "lower": expit(line - half),
        "upper": expit(line + half),
    }
    return table, "averaged over the data" if slopes else "everywhere"
