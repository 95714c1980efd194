"""Rows of a REML fit: expected values at its estimates, and what these are uncertain by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array, vstack

from bayeslmm import names
from bayeslmm.analysis.prediction.determined import require_rows
from bayeslmm.analysis.prediction.estimated.estimates import Estimated
from bayeslmm.analysis.prediction.fit_rows import fit_rows
from bayeslmm.analysis.prediction.new_levels import (
    AVERAGE,
    POPULATION,
    RelatedLevels,
    level_policies,
)
from bayeslmm.analysis.prediction.row_numbers import weights_of
from bayeslmm.design.build import rebuild_design
from bayeslmm.design.factors.structured_columns import with_positions
from bayeslmm.errors import DataError, TreeError, nearest
from bayeslmm.gram.border.combinations import (
    Combinations,
    combinations_at_a_time,
    covariance_of_combinations,
)
from bayeslmm.model.covariance.bridge import widened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.design.design import Design
    from bayeslmm.design.grouping import GroupingFactor
    from bayeslmm.relationships.relationship import Relationship
    from bayeslmm.reml.result import REMLFit


@dataclass(frozen=True, eq=False, slots=True)
class Loads:
    """Rows as weights of the effects of one grouping factor.

    Attributes
    ----------
    known : tuple of csr_array, shapes (n, m)
        Of each column's effects, level by level of the fit.
    beyond : ndarray, shape (n,)
        Variance that effects of levels without rows have besides.
    """

    known: tuple[csr_array, ...]
    beyond: Floats


@dataclass(frozen=True, eq=False, slots=True)
class RemlRows:
    """Rows as combinations of a REML fit's effects.

    Attributes
    ----------
    fit : REMLFit
        The fit.
    design : Design
        The rows.
    loads : mapping of str to Loads
        By grouping factor; those that are left out are not among them.
    """

    fit: REMLFit
    design: Design
    loads: Mapping[str, Loads]

    def eta(self) -> Floats:
        """Compute X beta + Z b + offset at the estimates and conditional modes, shape (n,)."""
        eta = self.design.X @ self.fit.conditional.beta
        if self.design.offset is not None:
            eta += self.design.offset
        for name, loads in self.loads.items():
            modes = self.fit.random_effects[name].to_numpy()
            for column, own in enumerate(loads.known):
                eta += own @ modes[:, column]
        return np.asarray(eta)

    def averaged(self, weights: csr_array) -> Averages:
        """Return averages of rows, whose weights are the rows of a matrix (c, n)."""
        random = [[csr_array(weights @ each) for each in own] for own in self._random()]
        return Averages(weights @ self.eta(), Combinations(weights @ self.design.X, random))

    def errors(self) -> Floats:
        """Compute the standard error of each row's eta, shape (n,)."""
        n = self.design.X.shape[0]
        variance, size = np.empty(n), combinations_at_a_time(self.fit.gram)
        for first in range(0, n, size):
            rows = slice(first, min(first + size, n))
            random = [[each[rows] for each in own] for own in self._random()]
            variance[rows] = np.diag(
                _covariance(self.fit, Combinations(self.design.X[rows], random))
            )
        variance += sum(loads.beyond for loads in self.loads.values())
        return np.sqrt(np.maximum(variance, 0.0))

    def _random(self) -> Iterator[tuple[csr_array, ...]]:
        """Yield each grouping factor's weights; none of those that are left out."""
        n = self.design.X.shape[0]
        for factor in self.fit.gram.factors:
            if (loads := self.loads.get(factor.name)) is None:
                shape = n, len(self.fit.random_effects[factor.name])
                yield (csr_array(shape),) * len(factor.terms)
            else:
                yield loads.known


@dataclass(frozen=True, eq=False, slots=True)
class Averages:
    """Averages of rows as combinations of a REML fit's effects.

    Attributes
    ----------
    value : ndarray, shape (c,)
        At the estimates.
    combinations : Combinations
        Their weights.
    """

    value: Floats
    combinations: Combinations


def estimated(fit: REMLFit, parts: Sequence[Averages]) -> Estimated:
    """Return averages of rows, part after part, with their joint covariance."""
    value = np.concatenate([part.value for part in parts])
    fixed = np.concatenate([part.combinations.fixed for part in parts])
    random = [
        [csr_array(vstack(each)) for each in zip(*columns, strict=True)]
        for columns in zip(*(part.combinations.random for part in parts), strict=True)
    ]
    return Estimated(value, _covariance(fit, Combinations(fixed, random)))


def _covariance(fit: REMLFit, combinations: Combinations) -> Floats:
    at = fit.gram, fit.factors, fit.scale
    return covariance_of_combinations(*at, combinations, fit.border.method)


def reml_rows(
    fit: REMLFit,
    design: Design,
    new_levels: Mapping[str, str] | str = "error",
) -> RemlRows:
    """Return the rows of a design as combinations of a REML fit's effects.

    Parameters
    ----------
    fit : REMLFit
        The fit.
    design : Design
        The rows, with the factors that are included.
    new_levels : str or mapping from factor to str
        What to do with levels that the fit did not see, as in `predict`.

    Raises
    ------
    DataError
        If a level is new and may not be.
    """
    included = tuple(factor.name for factor in design.factors)
    policies = level_policies(new_levels, included)
    loads = {factor.name: _loads(fit, factor, policies[factor.name]) for factor in design.factors}
    return RemlRows(fit, design, loads)


def reml_design(
    fit: REMLFit,
    data: Any,
    factors: tuple[str, ...],
    *,
    response: bool = False,
    weights: Any = None,
    weighted: bool = False,
    no_level: Sequence[str] = (),
    **options: Any,
) -> Design:
    """Return the design of the rows, the fit's own or others', with these grouping factors only.

    Parameters
    ----------
    fit : REMLFit
        The fit.
    data : table or None
        The rows; the fit's own where None.
    factors : tuple of str
        Grouping factors to keep; smooths stay.
    response : bool
        Whether the rows must have the response.
    weights : column name or array, optional
        Of the rows.
    weighted : bool
        Whether weights count, so that those of the fit's column are taken.
    no_level : sequence of str
        Factors of which a missing label is a level that the fit did not see.
    **options
        Of `rebuild_design`.

    Raises
    ------
    TreeError
        If the fit has no rows, and none are given.
    """
    held = fit.data
    if data is None:
        if not held.has_rows:
            raise TreeError(
                "This fit saw cross-products (a Gram), which hold no rows: give the rows, batch by "
                "batch, as data=."
            )
        design = held.coded_rows
        kept = [f for f in design.factors if f.name in factors or names.is_smooth(f.name)]
        return replace(design, factors=tuple(kept))
    if weighted and weights is None:
        scales = held.scales.weights
        weights = weights_of(data, held.state.weights, weighted=scales is not None)
    wanted = "required" if response else "ignored"
    design = rebuild_design(
        with_positions(held.state, data, factors), data, response=wanted, factors=factors,
        weights=weights, no_level=no_level, **options,
    )  # fmt: skip
    if held.state.dropped:
        require_rows(held.state, fit_rows(fit).columns, data, design.obs)
    return design


def _loads(fit: REMLFit, factor: GroupingFactor, policy: str) -> Loads:
    n, known = len(factor.index), factor.n_known
    own = csr_array((np.ones(n), (np.arange(n), factor.index)), shape=(n, factor.n_indexed))
    if factor.has_members and factor.latent is not None:
        own = csr_array(own @ csr_array(factor.latent.matrix))
    seen, rest = own[:, :known], own[:, known:]
    unseen = [str(level) for level in factor.levels[known:]]
    occurring = np.unique(rest.nonzero()[1])
    share = np.ones(len(unseen))
    held = np.asarray(seen.power(2).sum(axis=1))
    relationship = fit.data.state.relationship(factor.name)
    related = relationship if len(occurring) else None
    covered = related is not None and policy != POPULATION
    if related is not None and covered:
        if lacking := [unseen[k] for k in occurring if unseen[k] not in related]:
            raise DataError(
                f"The factor {factor.name!r} has levels that neither the fit saw nor its known "
                f"covariance holds. {related.lacks(lacking)} `predict` takes them with "
                "new_levels='population' (their effects at zero)."
            )
        levels = tuple(map(str, factor.levels[:known]))
        of_relatives = RelatedLevels(related, levels, np.zeros((known, 1, 1)), None)
        share = of_relatives.shares(unseen)
        seen = csr_array(seen + rest @ csr_array(of_relatives.weights(unseen)))
    elif len(occurring) and policy == "error":
        _refuse(factor, [unseen[k] for k in occurring])
    scattered = policy == "sample" or (covered and policy != AVERAGE)
    G, columns = fit.covariance[factor.name].to_numpy(), factor.columns
    between = np.zeros(n)
    state = fit.data.state
    said = (state.structures or {}).get(factor.name, ())
    wide = widened(factor, state.terms[factor.name], said)
    whole = G if wide is None else wide.covariance(G)
    spread = np.einsum("nq,qr,nr->n", columns, whole, columns)
    beyond = spread * (rest.power(2) @ share) if scattered and unseen else np.zeros(n)
    if wide is not None:
        weights, left = wide.weights(G)
        if relationship is not None:
            held = _told(factor, relationship, share if covered else None)
        between, columns = (columns**2 @ left) * held, columns @ weights
    known_parts = (csr_array(seen.multiply(z[:, None])) for z in columns.T)
    return Loads(tuple(known_parts), beyond + between)


def _told(factor: GroupingFactor, related: Relationship, share: Floats | None) -> Floats:
    """Return the variance of what the fit's levels tell of each row's own, in units of G.

    Their own, and that of relatives less their share that is not told; unseen levels that stay at
    zero have none, `share` being None.
    """
    known, labels = factor.n_known, list(map(str, factor.levels))
    some = np.unique(factor.index)
    some = some if share is not None else some[some < known]
    told = np.zeros(len(labels))
    told[some] = related.level_map([labels[k] for k in some]).variances
    if share is not None:
        told[known:] -= np.where(np.isin(np.arange(known, len(labels)), some), share, 0.0)
    return told[factor.index]


def _refuse(factor: GroupingFactor, unseen: list[str]) -> None:
    known = map(str, factor.levels[: factor.n_known])
    raise DataError(
        f"The factor {factor.name!r} has levels that the fit did not see: "
        f"{', '.join(map(repr, unseen[:5]))}.{nearest(unseen[0], known)} `predict` and "
        "`predict_table` take them with new_levels='population' (their effects at zero) or "
        "new_levels='sample' (the same, with what groups scatter by in their standard errors)."
    )
