"""Likelihood-ratio tests of nested fits."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from bayeslmm.design.design import Design
from bayeslmm.design.factors.arms import EVERYWHERE
from bayeslmm.errors import ArgumentError, names_keywords
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.gram.gram import Gram, gram_of
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.names import matching, product
from bayeslmm.reml.glmm.result import MLFit
from bayeslmm.reml.krylov.comparison import require_known_difference
from bayeslmm.reml.nested_effects import is_whole_of, lacking_structures, same_column
from bayeslmm.reml.relative import free_columns
from bayeslmm.reml.result import REMLFit, require_fit
from bayeslmm.reml.structured.nesting import (
    bound_in_words,
    described,
    effects_on_bound,
    lacking_residuals,
    on_bound,
    require_same_errors,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.gram.blocks import GramFactor

# The column of one category, such as ``Machine[B]`` or ``Machine[T.B]``.
_CATEGORY = re.compile(r"[^\[\]:]+\[[^\]]*\]")
# Families that another one becomes as its own parameter, shape or nu, goes to infinity.
_LIMITS = {"negbinomial": ("poisson", "shape"), "student": ("gaussian", "nu")}
# As far apart as deviances of two converged searches of equal minima can be.
_SEARCHED = 1e-5


@names_keywords
def likelihood_ratio_test(fit_a: REMLFit | MLFit, fit_b: REMLFit | MLFit) -> pd.DataFrame:
    """Test the smaller of two nested models against the larger, as R's ``anova`` does.

    chisq = 2 (l_large - l_small), compared with a chi-square distribution on the difference in
    the number of parameters. If the smaller model sets variances to zero it lies on the boundary
    of the larger one, and the p-value is then too large rather than too small; ``attrs["note"]``
    says so. So does a Poisson model within a negative binomial one, whose shape is infinite there,
    and a Gaussian one within a Student-t one. Residual structures are compared likewise, by REML
    too: independent residuals lie within every structure, equal sigmas within strata, ``cs`` within
    ``csh`` and ``toep``, ``ar1`` within ``ar1h`` and, at equal distances, ``toep``, and all of them
    within ``us``. Of random effects ``homcs`` lies within ``cs``, ``ar1`` within ``hetar1``, ``cs``
    and ``ar1`` within ``toep``, all of them within the free covariance of the
    same columns, and independent effects within those with standard deviations of their own.

    Parameters
    ----------
    fit_a, fit_b : REMLFit or MLFit
        Fits of the same rows, in either order: both by `fit_ml`, with effects integrated out alike,
        or both by `fit_reml`, by ML or, with the same fixed effects, by REML.

    Returns
    -------
    DataFrame
        Indexed by formula (and residual structure; and family, where those differ), the smaller
        model first: ``n_parameters``, ``aic``, ``bic``, ``log_likelihood``, ``deviance``, and in
        the second row ``chisq``, ``df`` and ``p_value``.

    Raises
    ------
    ArgumentError
        If the two likelihoods cannot be compared, or probes leave too much chance in their
        difference (``border="krylov"``); the message says why.

    References
    ----------
    Self, S. G. & Liang, K.-Y. (1987). Asymptotic properties of maximum likelihood estimators and
    likelihood ratio tests under nonstandard conditions. Journal of the American Statistical
    Association 82, 605-610. https://doi.org/10.1080/01621459.1987.10478472

    Examples
    --------
    >>> from bayeslmm.tables.datasets import load_dataset
    >>> from bayeslmm.reml.fit import fit_reml
    >>> data = load_dataset("sleepstudy")
    >>> small = fit_reml("Reaction ~ Days + (Days || Subject)", data, method="ML")
    >>> large = fit_reml("Reaction ~ Days + (Days | Subject)", data, method="ML")
    >>> likelihood_ratio_test(small, large)[["chisq", "df", "p_value"]].iloc[1].round(4).tolist()
    [0.0639, 1.0, 0.8004]

    >>> from bayeslmm.reml.glmm.fit import fit_ml
    >>> herds, how = load_dataset("cbpp"), {"family": "binomial", "trials": "size"}
    >>> small = fit_ml("incidence ~ 1 + (1 | herd)", herds, **how)
    >>> large = fit_ml("incidence ~ period + (1 | herd)", herds, **how)
    >>> likelihood_ratio_test(small, large)[["chisq", "df", "p_value"]].iloc[1].round(6).tolist()
    [25.551006, 3.0, 1.2e-05]
    """
    for fit in (fit_a, fit_b):
        if not isinstance(fit, MLFit):
            require_fit(
                fit,
                "Posteriors are compared by bl.compare_models({'a': fit_a, 'b': fit_b}) or bl.loo.",
            )
    small, large = sorted((fit_a, fit_b), key=lambda fit: fit.n_parameters)
    if isinstance(small, MLFit) and isinstance(large, MLFit):
        _require_same_rows(small, large)
        _require_same_likelihood(small, large)
    elif isinstance(small, REMLFit) and isinstance(large, REMLFit):
        _require_same_data(_of_rows(small), _of_rows(large))
        _require_comparable(small, large)
        require_known_difference(small, large)
    else:
        raise ArgumentError(
            "One fit is by fit_reml, the other by fit_ml: fit both by bl.fit_ml, whose Gaussian "
            "fits are those of fit_reml(..., method='ML')."
        )
    _require_nested(small, large)
    table = pd.DataFrame(
        {
            "n_parameters": [fit.n_parameters for fit in (small, large)],
            "aic": [fit.aic for fit in (small, large)],
            "bic": [fit.bic for fit in (small, large)],
            "log_likelihood": [fit.log_likelihood for fit in (small, large)],
            "deviance": [fit.criterion for fit in (small, large)],
        },
        index=pd.Index(_labels(small, large), name="formula"),
    )
    # The larger model cannot fit worse; a negative difference is what the searches left open.
    chisq = max(small.criterion - large.criterion, 0.0)
    df = large.n_parameters - small.n_parameters
    table["chisq"] = [np.nan, chisq]
    table["df"] = [np.nan, float(df)]
    table["p_value"] = [np.nan, float(chdtrc(df, chisq))]
    table.attrs = {"note": _on_bound(small, large)}
    return table


def _labels(small: REMLFit | MLFit, large: REMLFit | MLFit) -> list[str]:
    own = [described(f) if isinstance(f, REMLFit) else f.formula for f in (small, large)]
    families = [fit.data.family.name for fit in (small, large)]
    if families[0] == families[1]:
        return own
    return [f"{label}, {name}" for label, name in zip(own, families, strict=True)]


def _on_bound(small: REMLFit | MLFit, large: REMLFit | MLFit) -> str:
    """Return in words what the smaller model puts on its bound."""
    if isinstance(small, REMLFit) and isinstance(large, REMLFit):
        return on_bound(small, large)
    found = effects_on_bound(small.data.factors, large.data.factors)
    if small.data.family.name != large.data.family.name:
        found.append(f"one over {_LIMITS[large.data.family.name][1]}")
    return bound_in_words(found)


def _gram(fit: REMLFit | MLFit) -> Gram:
    """Return the cross-products of a fit's columns; a family's own weights are not in them."""
    if isinstance(fit, REMLFit):
        return fit.gram
    if fit.family.gaussian_scale is not None:
        return gram_of(fit.data)
    rows = replace(fit.data.coded_rows, family=GAUSSIAN, trials=None)
    return Gram.from_design(rows, strata=False)


def _response_square(gram: Gram) -> float:
    v = np.append(gram.scale @ gram.origin, 1.0)
    return float(v @ gram.cross @ v)


def _of_rows(fit: REMLFit) -> Gram:
    """Return the cross-products of the rows themselves, not scaled by their covariance."""
    return fit.gram if fit.residual is None else fit.residual.bases.reference


def _require_same_size(a: Gram | ModelData, b: Gram | ModelData) -> None:
    if a.response != b.response:
        msg = f"The fits have different responses, {a.response!r} and {b.response!r}."
        raise ArgumentError(msg)
    if a.n != b.n:
        msg = (
            f"The fits use {a.n} and {b.n} rows, so their likelihoods are of different data. Rows "
            "with a missing value in either model must be dropped from both."
        )
        raise ArgumentError(msg)


def _require_same_data(a: Gram, b: Gram) -> None:
    _require_same_size(a, b)
    same = np.isclose(_response_square(a), _response_square(b), rtol=1e-8)
    if not same or not np.isclose(a.sum_log_weights, b.sum_log_weights, rtol=1e-8, atol=1e-8):
        msg = "The fits are of different rows, weights or offsets: their responses do not agree."
        raise ArgumentError(msg)


def _require_same_rows(small: MLFit, large: MLFit) -> None:
    one, other = small.data, large.data
    _require_same_size(one, other)
    if not (isinstance(one, Design) and isinstance(other, Design)):
        _require_same_data(_gram(small), _gram(large))
    elif not np.array_equal(_rows(one), _rows(other)):
        msg = (
            "The fits are of different rows, trials, weights or offsets: their responses do not "
            "agree."
        )
        raise ArgumentError(msg)


def _rows(design: Design) -> Floats:
    """Return responses with all that is known of them, in an order of their own."""
    known = (design.y, design.trials, design.weights, design.offset)
    rows = np.column_stack([values for values in known if values is not None])
    return np.asarray(rows[np.lexsort(rows.T)])


def _require_same_likelihood(small: MLFit, large: MLFit) -> None:
    one, other = small.family, large.family
    contained = one.name in (other.name, *_LIMITS.get(other.name, ())[:1])
    if not contained or one.link.name != other.link.name:
        msg = (
            f"The smaller model is of the family {one.name} ({one.link.name}), the larger one of "
            f"{other.name} ({other.link.name}), which does not contain it. Compare their `aic` or "
            "`bic`, which count all constants."
        )
        raise ArgumentError(msg)
    # Without random effects, and where their variances are zero, every approximation is exact.
    if {small.approximation, large.approximation} == {"quadrature", "laplace"}:
        msg = (
            "One log-likelihood is by quadrature, the other by Laplace's approximation, and that "
            "alone makes them differ: fit both with approximation='laplace'."
        )
        raise ArgumentError(msg)


def _require_comparable(small: REMLFit, large: REMLFit) -> None:
    if small.method != large.method:
        msg = (
            f"One fit is by {small.method}, the other by {large.method}: their likelihoods are of "
            "different things. Fit both with method='ML'."
        )
        raise ArgumentError(msg)
    one, other = small.gram.coef, large.gram.coef
    differing = sorted({*_absent(one, other), *_absent(other, one)})
    if small.method == "REML" and differing:
        msg = (
            "Restricted likelihoods of models with different fixed effects cannot be compared: "
            "each is the likelihood of other residuals, those free of its own fixed effects. They "
            f"differ in {', '.join(map(repr, differing))}; fit both with method='ML'."
        )
        raise ArgumentError(msg)


def _require_nested(small: REMLFit | MLFit, large: REMLFit | MLFit) -> None:
    if small.n_parameters == large.n_parameters:
        msg = (
            f"Both models have {small.n_parameters} parameters, so neither is nested in the "
            "other. Compare their `aic` or `bic`."
        )
        raise ArgumentError(msg)
    if isinstance(small, REMLFit) and isinstance(large, REMLFit):
        require_same_errors(small, large)
        lacking = lacking_residuals(small, large)
    else:
        lacking = []
    one, other = _gram(small), _gram(large)
    extra = _absent(one.coef, other.coef)
    extra += _absent(list(small.n_levels), list(large.n_levels))
    lacking = [*map(repr, extra), *_lacking_effects(one, other), *lacking]
    worse = large.criterion > small.criterion + _left_open(small, large)
    if lacking or worse:
        why = (
            f"it lacks {', '.join(lacking)}"
            if lacking
            else f"its deviance is higher by {large.criterion - small.criterion:.3g}"
        )
        one_label, other_label = _labels(small, large)
        msg = (
            f"{one_label!r} is not nested in {other_label!r}: the larger model should "
            f"contain the smaller one, but {why}. Compare their `aic` or `bic`."
        )
        raise ArgumentError(msg)


def _left_open(small: REMLFit | MLFit, large: REMLFit | MLFit) -> float:
    """Return by how much the larger model's deviance may be higher for numerical reasons."""
    total = _SEARCHED
    for fit in (small, large):
        if isinstance(fit, MLFit):
            # A parameter of the family that runs to infinity is held at a ceiling.
            if np.isinf(list(fit.parameters.values())).any():
                return np.inf
            total += 2.0 * (fit.node_error or 0.0)
    return total


def _absent(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return the names whose product is none of the others', in any order of its pieces."""
    return [name for name in names if matching(name, others) is None]


def _lacking_effects(small: Gram, large: Gram) -> list[str]:
    """Describe random effects, and correlations among them, that only the smaller model has."""
    found = []
    for factor in small.factors:
        own = product(factor.name)
        other = next((f for f in large.factors if product(f.name) == own), None)
        if other is None:
            continue
        if not _related_alike(factor, other):
            found.append(f"the covariance that the levels of {factor.name!r} have")
            continue
        homes: dict[str, tuple[int, ...] | None] = {}
        for columns in covariance_of(factor).independent:
            names = [factor.terms[j] for j in columns]
            homes |= {name: _homes(name, factor, large, other) for name in names}
            found += [
                f"the random effect {name!r} by {factor.name!r}"
                for name in names
                if homes[name] is None and not (name == "Intercept" and is_whole_of(factor, other))
            ]
            places = {homes[name] for name in names}
            if None not in places and len(places) > 1:
                shown = ", ".join(map(repr, names))
                found.append(f"the correlation between {shown} by {factor.name!r}")
        found += lacking_structures(factor, other)
    return found


def _related_alike(one: GramFactor, other: GramFactor) -> bool:
    """Return whether levels are independent in both models, or have the same known covariance."""
    if one.latent is None or other.latent is None:
        return one.latent is other.latent
    return one.latent.agrees(other.latent)


def _homes(name: str, own: GramFactor, gram: Gram, factor: GramFactor) -> tuple[int, ...] | None:
    """Find the set that has a column, one for each arm where only the other model has arms."""
    if factor.arms is None or own.arms is not None:
        home = _home(name, own, gram, factor)
        return None if home is None else (home,)
    sets, arms = covariance_of(factor).independent, factor.arms
    homes = []
    for arm in range(len(arms.labels)):
        here = [[arms.bases[j] for j in s if arms.columns[j] in {arm, EVERYWHERE}] for s in sets]
        homes += [
            place
            for place, names in enumerate(here)
            if matching(name, names) is not None or _is_recoded(name, own, names)
        ][:1]
    return tuple(homes) if len(homes) == len(arms.labels) else None


def _home(name: str, own: GramFactor, gram: Gram, factor: GramFactor) -> int | None:
    """Find the set of correlated columns that has a column, or spans it; None if none does."""
    covariance = covariance_of(factor)
    free = free_columns(covariance)
    for place, columns in enumerate(covariance.independent):
        names = [factor.terms[j] for j in columns]
        if same_column(name, names) is not None:
            return place
        # Few numbers leave no room for other columns than a structure's own.
        if columns in free and (
            _is_recoded(name, own, names) or _spans(gram, factor, columns, name)
        ):
            return place
    return None


def _is_recoded(name: str, own: GramFactor, names: list[str]) -> bool:
    """Return whether a category's indicator follows from contrasts of the same variable."""
    if not (_CATEGORY.fullmatch(name) and "Intercept" in names):
        return False
    variable = name.split("[", maxsplit=1)[0]
    mine, theirs = (
        sum(bool(_CATEGORY.fullmatch(n)) and n.split("[")[0] == variable for n in side)
        for side in (own.terms, names)
    )
    return theirs + 1 >= mine


def _spans(gram: Gram, factor: GramFactor, columns: tuple[int, ...], name: str) -> bool:
    """Return whether columns span a fixed effect's, as a factor's indicators the intercept."""
    fixed = matching(name, gram.coef)
    if fixed is None or factor.latent is not None:
        return False  # without the column's cross-products there is no telling
    p = len(gram.coef)
    column, C = gram.scale[:, gram.coef.index(fixed)], factor.scale[:, list(columns)]
    own = C.T @ factor.within.sum(axis=0) @ C
    beside = C.T @ factor.with_fixed[:, :, :p].sum(axis=0) @ column
    length = float(column @ gram.cross[:p, :p] @ column)
    explained = float(beside @ np.linalg.pinv(own, hermitian=True) @ beside)
    return explained >= (1.0 - 1e-9) * length  # rounding of the cross-products, squared and summed
