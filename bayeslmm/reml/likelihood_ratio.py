"""Likelihood-ratio tests of nested fits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import chi2

from bayeslmm.errors import ArgumentError, names_keywords
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.names import matching, product
from bayeslmm.reml.result import REMLFit, require_fit
from bayeslmm.reml.structured.nesting import (
    described,
    lacking_residuals,
    on_bound,
    require_same_errors,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.gram.blocks import GramFactor
    from bayeslmm.gram.gram import Gram

# The column of one category, such as ``Machine[B]`` or ``Machine[T.B]``.
_CATEGORY = re.compile(r"[^\[\]:]+\[[^\]]*\]")


@names_keywords
def likelihood_ratio_test(fit_a: REMLFit, fit_b: REMLFit) -> pd.DataFrame:
    """Test the smaller of two nested models against the larger, as R's ``anova`` does.

    chisq = 2 (l_large - l_small), compared with a chi-square distribution on the difference in
    the number of parameters. If the smaller model sets variances to zero it lies on the boundary
    of the larger one, and the p-value is then too large rather than too small; ``attrs["note"]``
    says so. Residual structures are compared likewise, by REML too: independent residuals lie
    within every structure, equal sigmas within strata, ``cs`` within ``csh`` and ``toep``, ``ar1``
    within ``ar1h`` and, at equal distances, ``toep``, and all of them within ``us``.

    Parameters
    ----------
    fit_a, fit_b : REMLFit
        Fits of the same rows, in either order; by ML, or by REML with the same fixed effects.

    Returns
    -------
    DataFrame
        Indexed by formula (and residual structure), the smaller model first: ``n_parameters``,
        ``aic``, ``bic``, ``log_likelihood``, ``deviance``, and in the second row ``chisq``, ``df``
        and ``p_value``.

    Raises
    ------
    ArgumentError
        If the two likelihoods cannot be compared; the message says why.

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
    """
    for fit in (fit_a, fit_b):
        require_fit(
            fit, "Posteriors are compared by bl.compare_models({'a': fit_a, 'b': fit_b}) or bl.loo."
        )
    small, large = sorted((fit_a, fit_b), key=lambda fit: fit.n_parameters)
    _require_same_data(small, large)
    _require_comparable(small, large)
    _require_nested(small, large)
    table = pd.DataFrame(
        {
            "n_parameters": [fit.n_parameters for fit in (small, large)],
            "aic": [fit.aic for fit in (small, large)],
            "bic": [fit.bic for fit in (small, large)],
            "log_likelihood": [fit.log_likelihood for fit in (small, large)],
            "deviance": [fit.criterion for fit in (small, large)],
        },
        index=pd.Index([described(small), described(large)], name="formula"),
    )
    # The larger model cannot fit worse; a negative difference is what the searches left open.
    chisq = max(small.criterion - large.criterion, 0.0)
    df = large.n_parameters - small.n_parameters
    table["chisq"] = [np.nan, chisq]
    table["df"] = [np.nan, float(df)]
    table["p_value"] = [np.nan, float(chi2.sf(chisq, df))]
    table.attrs = {"note": on_bound(small, large)}
    return table


def _response_square(gram: Gram) -> float:
    v = np.append(gram.scale @ gram.origin, 1.0)
    return float(v @ gram.cross @ v)


def _of_rows(fit: REMLFit) -> Gram:
    """Return the cross-products of the rows themselves, not scaled by their covariance."""
    return fit.gram if fit.residual is None else fit.residual.bases.reference


def _require_same_data(small: REMLFit, large: REMLFit) -> None:
    a, b = _of_rows(small), _of_rows(large)
    if a.response != b.response:
        msg = f"The fits have different responses, {a.response!r} and {b.response!r}."
        raise ArgumentError(msg)
    if a.n != b.n:
        msg = (
            f"The fits use {a.n} and {b.n} rows, so their likelihoods are of different data. Rows "
            "with a missing value in either model must be dropped from both."
        )
        raise ArgumentError(msg)
    same = np.isclose(_response_square(a), _response_square(b), rtol=1e-8)
    if not same or not np.isclose(a.sum_log_weights, b.sum_log_weights, rtol=1e-8, atol=1e-8):
        msg = "The fits are of different rows, weights or offsets: their responses do not agree."
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


def _require_nested(small: REMLFit, large: REMLFit) -> None:
    if small.n_parameters == large.n_parameters:
        msg = (
            f"Both models have {small.n_parameters} parameters, so neither is nested in the "
            "other. Compare their `aic` or `bic`."
        )
        raise ArgumentError(msg)
    require_same_errors(small, large)
    extra = _absent(small.gram.coef, large.gram.coef)
    extra += _absent(list(small.n_levels), list(large.n_levels))
    lacking = [repr(name) for name in extra] + _lacking_effects(small.gram, large.gram)
    lacking += lacking_residuals(small, large)
    # As far apart as two converged searches of equal minima can be.
    worse = large.criterion > small.criterion + 1e-5
    if lacking or worse:
        why = (
            f"it lacks {', '.join(lacking)}"
            if lacking
            else f"its deviance is higher by {large.criterion - small.criterion:.3g}"
        )
        msg = (
            f"{described(small)!r} is not nested in {described(large)!r}: the larger model should "
            f"contain the smaller one, but {why}. Compare their `aic` or `bic`."
        )
        raise ArgumentError(msg)


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
        for columns in covariance_of(factor).independent:
            names = [factor.terms[j] for j in columns]
            homes = {name: _home(name, factor, large, other) for name in names}
            found += [
                f"the random effect {name!r} by {factor.name!r}"
                for name in names
                if homes[name] is None
            ]
            if None not in homes.values() and len(set(homes.values())) > 1:
                shown = ", ".join(map(repr, names))
                found.append(f"the correlation between {shown} by {factor.name!r}")
    return found


def _home(name: str, own: GramFactor, gram: Gram, factor: GramFactor) -> int | None:
    """Find the set of correlated columns that has a column, or spans it; None if none does."""
    for place, columns in enumerate(covariance_of(factor).independent):
        names = [factor.terms[j] for j in columns]
        there = matching(name, names) is not None or _is_recoded(name, own, names)
        if there or _spans(gram, factor, columns, name):
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
    if fixed is None:
        return False  # without the column's cross-products there is no telling
    p = len(gram.coef)
    column, C = gram.scale[:, gram.coef.index(fixed)], factor.scale[:, list(columns)]
    own = C.T @ factor.within.sum(axis=0) @ C
    beside = C.T @ factor.with_fixed[:, :, :p].sum(axis=0) @ column
    length = float(column @ gram.cross[:p, :p] @ column)
    explained = float(beside @ np.linalg.pinv(own, hermitian=True) @ beside)
    return explained >= (1.0 - 1e-9) * length  # rounding of the cross-products, squared and summed
