"""Variance components as rows of a table, of every fit by maximum likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.covariance.factors import sd_corr_from_factor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bayeslmm.arrays import Floats
    from bayeslmm.design.model_data import FactorData


def component_rows(
    factors: Iterable[FactorData], roots: Iterable[Floats]
) -> list[dict[str, object]]:
    """Return sd, variance and correlations with earlier terms, a row for each factor and term.

    Parameters
    ----------
    factors : iterable of FactorData
        Grouping factors.
    roots : iterable of ndarray, shapes (q, q)
        L with G = L L', in the same order.

    Returns
    -------
    list of dict
        ``factor``, ``term``, ``sd``, ``variance``, and ``corr_<term>`` where correlated.
    """
    rows: list[dict[str, object]] = []
    for factor, L in zip(factors, roots, strict=True):
        sd, corr = sd_corr_from_factor(L)
        pairs = covariance_of(factor).pairs
        for j, term in enumerate(factor.terms):
            row: dict[str, object] = {"factor": factor.name, "term": term}
            row |= {"sd": sd[j], "variance": sd[j] ** 2}
            row |= {f"corr_{factor.terms[i]}": corr[j, i] for i in range(j) if (i, j) in pairs}
            rows.append(row)
    return rows
