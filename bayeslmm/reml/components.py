"""Variance components as rows of a table, of every fit by maximum likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm import names
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.covariance.factors import sd_corr_from_factor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bayeslmm.arrays import Floats
    from bayeslmm.design.model_data import FactorData
    from bayeslmm.model.covariance.block_covariance import BlockCovariance


def component_rows(
    factors: Iterable[FactorData], roots: Iterable[Floats]
) -> list[dict[str, object]]:
    """Return sd, variance and correlations with earlier terms, a row for each factor and term.

    Columns that have one standard deviation, and no correlations or one, are one row. A correlation
    that is a parameter stands with the first of its columns.

    Parameters
    ----------
    factors : iterable of FactorData
        Grouping factors.
    roots : iterable of ndarray, shapes (q, q)
        L with G = L L', in the same order.

    Returns
    -------
    list of dict
        ``factor``, ``term``, ``sd``, ``variance``, ``rho`` where there is one, and
        ``corr_<term>`` where correlated otherwise.
    """
    rows: list[dict[str, object]] = []
    for factor, L in zip(factors, roots, strict=True):
        sd, corr = sd_corr_from_factor(L)
        covariance = covariance_of(factor)
        labels = dict(zip(covariance.sd_leads, sd_labels(covariance), strict=True))
        rhos = {columns: name for name, columns in columns_of_parameters(covariance).items()}
        values = covariance.parameters_of(corr)
        # Of pairs, those whose correlation is no function of a parameter that is told.
        told = {j for columns in rhos for j in columns}
        pairs = {(i, j) for i, j in covariance.pairs if j not in told}
        paired = {j for pair in pairs for j in pair}
        first = {columns[0]: values[name] for columns, name in rhos.items()}
        for j, term in enumerate(factor.terms):
            if j not in labels and j not in paired:
                continue
            shown = labels.get(j, term) if j not in paired else term
            row: dict[str, object] = {"factor": factor.name, "term": shown}
            row |= {"sd": sd[j], "variance": sd[j] ** 2}
            row |= {names.RHO: float(first[j])} if j in first else {}
            row |= {f"corr_{factor.terms[i]}": corr[j, i] for i in range(j) if (i, j) in pairs}
            rows.append(row)
    return rows


def sd_labels(covariance: BlockCovariance) -> list[str]:
    """Return what stands in brackets in the names of standard deviations: terms, or their stem."""
    before = f"{covariance.sd_name}["
    return [name.removeprefix(before).removesuffix("]") for name in covariance.sd_names]


def columns_of_parameters(covariance: BlockCovariance) -> dict[str, tuple[int, ...]]:
    """Return the columns whose correlations follow from each parameter of its own, by its name."""
    ends: dict[int, tuple[int, ...]] = {}
    at = 0
    for structure, columns in covariance.members:
        ends |= {at + k: columns for k in range(structure.n_partials)}
        at += structure.n_partials
    return {name: ends[place] for name, place in covariance.parameter_names}
