"""The linear predictor eta = X beta + Z b + offset of any rows, chunk by chunk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayeslmm import names
from bayeslmm.analysis.prediction.average_mean import averaged_mean
from bayeslmm.analysis.prediction.determined import require_rows
from bayeslmm.analysis.prediction.factor_part import FactorPart, factor_parts, new_in_parameter
from bayeslmm.analysis.prediction.grouping_columns import (
    chosen_effects,
    grouping_terms,
    require_grouping_columns,
    without_level,
)
from bayeslmm.analysis.prediction.new_levels import level_policies
from bayeslmm.analysis.prediction.row_numbers import row_errors
from bayeslmm.design.build import rebuild_design
from bayeslmm.design.factors.structured_columns import with_positions
from bayeslmm.design.response import require_known
from bayeslmm.design.state import DesignState
from bayeslmm.errors import ArgumentError, TreeError
from bayeslmm.results import read
from bayeslmm.results.family import family, family_draws, is_additive
from bayeslmm.results.known import known_covariances
from bayeslmm.results.parameters import drawn_parameters
from bayeslmm.results.record import require_one_response
from bayeslmm.results.residual import drawn_residuals, has_structure, parameter_factors
from bayeslmm.results.row_statements import with_row_statements
from bayeslmm.results.rows import training_table
from bayeslmm.results.units import column_units

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.design.design import Design
    from bayeslmm.design.grouping import GroupingFactor
    from bayeslmm.families.family import Family
    from bayeslmm.model.residual.drawn import DrawnResiduals
    from bayeslmm.results.parameters import DrawnParameters

Policy = Literal["error", "population", "sample", "average"]
CHUNK_BYTES = 32 * 2**20  # of one array of rows by draws; a handful of them live at once


@dataclass(frozen=True, eq=False, slots=True)
class LinearPredictor:
    """Columns and draws from which eta of some rows is computed.

    Attributes
    ----------
    design : Design
        The rows' columns.
    beta : ndarray, shape (p, s)
        Draws of the fixed effects.
    family : Family
        How a response is distributed given eta.
    phi : mapping of str to ndarray, shape (s,)
        Draws of the family's parameters.
    parts : tuple of FactorPart
        The random effects that are included.
    shape : tuple of int
        Chains and draws per chain that are kept.
    kept : ndarray of int
        Which draws of each chain are kept.
    residual : DrawnResiduals or None
        Covariance of the rows' residuals, where they have a structure and the caller reads it.
    modelled : DrawnParameters or None
        Of parameters with predictors of their own, where there are any.
    """

    design: Design
    beta: NDArray[np.float64]
    family: Family
    phi: Mapping[str, NDArray[np.float64]]
    parts: tuple[FactorPart, ...]
    shape: tuple[int, int]
    kept: NDArray[np.intp]
    residual: DrawnResiduals | None = None
    modelled: DrawnParameters | None = None

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.design.X.shape[0])

    @property
    def size(self) -> int:
        """Number of draws s."""
        return int(self.beta.shape[1])

    def chunks(self) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Yield runs of rows with their draws of eta, shape (rows, s)."""
        size = max(1, CHUNK_BYTES // (8 * max(self.size, 1)))
        for start in range(0, self.n, size):
            rows = slice(start, min(start + size, self.n))
            yield rows, self.rows(rows)

    def joint_chunks(self) -> Iterator[tuple[slice | NDArray[np.intp], NDArray[np.float64]]]:
        """Yield rows with their draws of eta as `chunks` does, correlated rows together."""
        if self.residual is None or not self.residual.correlated:
            yield from self.chunks()
            return
        size = max(1, CHUNK_BYTES // (8 * max(self.size, 1)))
        groups = self.residual.groups()
        ends = np.cumsum([len(group) for group in groups])
        for chunk in np.unique(ends // size):
            rows = np.concatenate([groups[k] for k in np.flatnonzero(ends // size == chunk)])
            yield rows, self.rows(rows)

    def parameters(self, rows: slice | NDArray[np.intp]) -> dict[str, NDArray[np.float64]]:
        """Return draws of the family's parameters, of each row where they differ by rows.

        Returns
        -------
        dict of str to ndarray, shape (s,) or (rows, s)
        """
        by_rows = {} if self.modelled is None else self.modelled.values(rows)
        if self.residual is None:
            self.require_parameters()
            return {**self.phi, **by_rows}
        return {**self.phi, **by_rows, names.SIGMA: self.residual.sd(rows)}

    def require_parameters(self) -> None:
        """Raise where the family's parameters are those of a residual structure, not read here.

        Raises
        ------
        TreeError
            Saying what can be asked.
        """
        known = {parameter.name for parameter in self.family.parameters}
        told = {*self.phi, *(one.parameter for one in self.design.predictors)}
        if self.residual is None and not known <= told:
            raise TreeError(
                f"Expected {self.family.name} responses follow from each row's own sigma, and the "
                "residuals of this fit have a structure: ask for scale='link' where there is one, "
                "or give whole rows to predict."
            )

    def draw(
        self,
        rows: slice | NDArray[np.intp],
        eta: NDArray[np.float64],
        generator: np.random.Generator,
    ) -> NDArray[np.float64]:
        """Draw responses of rows, shape (rows, s); those of a residual group are drawn together."""
        scale = self.family.gaussian_scale
        if self.residual is None or not self.residual.correlated or scale is None:
            return self.family.draw(eta, self.parameters(rows), self.known(rows), generator)
        return scale.inverse(eta + self.residual.draw(np.arange(self.n)[rows], generator))

    def expected(self, rows: slice, eta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return draws of E(y | eta) of some rows, averaged over unseen levels where asked for.

        Parameters
        ----------
        rows : slice
            The rows.
        eta : ndarray, shape (rows, s)
            Their linear predictors.
        """
        phi = self.phi if is_additive(self.family) else self.parameters(rows)
        if all(part.average is None for part in self.parts):
            return self.family.mean(eta, phi)
        variance = np.zeros_like(eta)
        for part in self.parts:
            part.add_variance_to(variance, rows)
        return averaged_mean(self.family, eta, variance, phi)

    def mean_chunks(self) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Yield runs of rows with their draws of E(y | eta), shape (rows, s)."""
        for rows, eta in self.chunks():
            yield rows, self.expected(rows, eta)

    def posterior_mean(self) -> NDArray[np.float64]:
        """Return the posterior mean of E(y | eta), shape (n,)."""
        if is_additive(self.family):
            return self.mean()
        means = np.empty(self.n)
        for rows, values in self.mean_chunks():
            means[rows] = values.mean(axis=1)
        return means

    def mean(self) -> NDArray[np.float64]:
        """Return the posterior mean of eta, shape (n,); exact, since eta is linear in the draws."""
        eta = self.design.X @ self.beta.mean(axis=1, keepdims=True)
        if self.design.offset is not None:
            eta += self.design.offset[:, None]
        for part in self.parts:
            part.at_mean().add_to(eta, slice(None))
        return eta[:, 0]

    def known(self, rows: slice | NDArray[np.intp]) -> NDArray[np.float64] | None:
        """Return weights or trials of some rows, shape (rows, 1) to go with eta; None for ones."""
        known = self.design.known
        return None if known is None else known[rows, None]

    def log_density(
        self,
        rows: slice | NDArray[np.intp],
        y: NDArray[np.float64],
        eta: NDArray[np.float64],
        phi: Mapping[str, NDArray[np.float64]],
    ) -> NDArray[np.float64]:
        """Return log p(y_i | eta_i), each as often as its row counts, (rows, s); y is of all."""
        found = self.family.log_density(y[rows, None], eta, phi, self.known(rows))
        counted = self.design.likweights
        return found if counted is None else np.asarray(counted[rows, None] * found)

    def rows(self, rows: slice | NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the draws of eta of some rows, shape (rows, s)."""
        eta = self.design.X[rows] @ self.beta
        if self.design.offset is not None:
            eta += self.design.offset[rows, None]
        for part in self.parts:
            part.add_to(eta, rows)
        return eta


def linear_predictor(
    idata: xr.DataTree,
    data: Any = None,
    *,
    random_effects: str | Sequence[str] = "all",
    new_levels: Policy | Mapping[str, Policy] = "error",
    draws: int | None = None,
    weights: Any = None,
    trials: Any = None,
    random_seed: int | None = None,
    any_rows: bool = False,
    residual: bool = False,
    se: Any = None,
    any_position: bool = False,
) -> LinearPredictor:
    """Return the linear predictor of a table's rows under a posterior.

    With `residual` the covariance of the rows' residuals comes with it, where they have a
    structure; it reads columns of its own, and `se` where the fit had standard errors.

    With `any_rows` the caller sees to it that a fit which dropped columns determines what it makes
    of the rows; without it each row's expected value must be determined. With `any_position`
    effects by ``ar1()`` and ``ou()`` are drawn at positions that no training row had.

    Raises
    ------
    ArgumentError
        When an argument is not one of its choices, or the fit does not determine a row.
    DataError
        When a column is missing or has another type, or a level is new and may not be.
    TreeError
        When `idata` is no tree of this package.
    """
    read.require_tree(idata)
    require_one_response(idata)
    included, in_parameters = chosen_effects(idata, random_effects)
    policies = level_policies(new_levels, included, in_parameters)
    require_known(family(idata), weights, trials)
    structured, terms = residual and has_structure(idata), grouping_terms(idata)
    if data is None:
        rows = training_table(idata) if structured else read.columns(idata)
        se = read.constant(idata, "se") if structured and se is None else se
        weights = read.constant(idata, "weights") if weights is None else weights
        trials = read.constant(idata, "trials") if trials is None else trials
    else:
        rows = data
        se = row_errors(idata, data, se)
        here = [n for n in in_parameters if structured or names.apart(n)[0] != names.SIGMA]
        require_grouping_columns(terms, data, included, tuple(here))
    state = design_state(idata)
    further = any_position and data is not None
    design = rebuild_design(
        with_positions(state, data, included) if further else state,
        rows,
        response="ignored",
        factors=included,
        weights=weights,
        no_level=without_level(terms, policies),
        trials=trials,
        residual=structured,
        se=se,
        in_parameters=in_parameters,
    )
    if data is None:
        design = replace(with_row_statements(design, idata), labels=read.row_labels(idata))
    elif state.dropped and not any_rows:
        require_rows(state, training_columns(idata), data, design.obs)
    chains, total = read.sample_shape(idata)
    kept = _kept(total, draws)
    seed = check_seed(random_seed)
    parts = tuple(
        part
        for f in design.factors
        if f.name in included or names.is_smooth(f.name)
        for part in factor_parts(idata, f, policies.get(f.name, "error"), kept, seed, state=state)
    )
    beta = read.draws(idata, names.BETA)[:, kept]

    def new(factor: GroupingFactor) -> NDArray[np.float64]:
        return new_in_parameter(idata, factor, policies[factor.name], kept, seed)

    return LinearPredictor(
        design=design,
        beta=np.ascontiguousarray(beta.reshape(chains * len(kept), beta.shape[-1]).T),
        family=family(idata),
        phi=family_draws(idata, kept),
        parts=parts,
        shape=(chains, len(kept)),
        kept=kept,
        residual=drawn_residuals(idata, design, kept, new) if structured else None,
        modelled=drawn_parameters(idata, design, kept, new) if design.predictors else None,
    )


def design_state(idata: xr.DataTree) -> DesignState:
    """Return how the fit coded its columns."""
    read.require_tree(idata)
    require_one_response(idata)
    # Trees hold the levels as coordinates; attributes of netCDF files are limited in size.
    infos = read.factors(idata)
    levels = {info.name: info.all_levels for info in (*infos, *parameter_factors(idata))}
    arms = {info.name: info.arms.level_labels for info in infos if info.arms is not None}
    known = known_covariances(idata)
    state = DesignState.from_json(str(idata.attrs["design"]), levels, arms=arms, known=known)
    drawn = read.coefficients(idata)
    if drawn != state.coef:
        raise TreeError(
            f"The draws are of {', '.join(drawn)}, and the design state describes "
            f"{', '.join(state.coef)}: they belong to different fits."
        )
    for info in infos:
        if info.terms != state.terms[info.name]:
            raise TreeError(
                f"The draws of {info.name!r} are of {', '.join(info.terms)}, and the design state "
                f"describes {', '.join(state.terms[info.name])}: they belong to different fits."
            )
    return state


def training_columns(idata: xr.DataTree) -> dict[str, NDArray[Any]] | None:
    """Return the columns of the training rows; None where the fit saw cross-products only."""
    return None if read.from_cross_products(idata) else read.columns(idata)


def training_design(idata: xr.DataTree) -> Design:
    """Return the design of the training rows, rebuilt from the tree alone."""
    structured = has_structure(idata)
    design = rebuild_design(
        design_state(idata),
        training_table(idata) if structured else read.columns(idata),
        weights=read.constant(idata, "weights"),
        trials=read.constant(idata, "trials"),
        residual=structured,
        se=read.constant(idata, "se"),
    )
    design = with_row_statements(design, idata)
    return replace(design, labels=read.row_labels(idata), units=column_units(idata))


def check_seed(random_seed: int | None) -> int:
    """Return the seed, or a fresh one.

    Raises
    ------
    ArgumentError
        When it is not a non-negative integer.
    """
    if random_seed is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
    if isinstance(random_seed, bool) or not isinstance(random_seed, (int, np.integer)):
        msg = f"random_seed is a non-negative integer or None; it was {random_seed!r}."
        raise ArgumentError(msg)
    if random_seed < 0:
        msg = f"random_seed is a non-negative integer or None; it was {random_seed}."
        raise ArgumentError(msg)
    return int(random_seed)


def _kept(total: int, draws: int | None) -> NDArray[np.intp]:
    if draws is None:
        return np.arange(total)
    if isinstance(draws, bool) or not isinstance(draws, (int, np.integer)) or draws < 1:
        msg = f"draws is how many draws of each chain to keep, 1 to {total}; it was {draws!r}."
        raise ArgumentError(msg)
    if draws > total:
        msg = f"draws={draws} asks for more than the {total} draws of each chain."
        raise ArgumentError(msg)
    return np.linspace(0, total - 1, int(draws)).round().astype(np.intp)
