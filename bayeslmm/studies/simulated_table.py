"""Simulated studies: a described table whose response is drawn from parameters that are known."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm.design.build import build_design
from bayeslmm.errors import DataError
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.families.ordinal.sticks import cut_labels
from bayeslmm.formula.mixed_formula import parse_formula
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.simulate import simulate_response
from bayeslmm.resources import memory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from bayeslmm.design.design import Design
    from bayeslmm.families.family import Family

# Where the system does not tell how much memory there is: a terabyte.
_MOST_BYTES = 1 << 40
# Which stream of a seed says what is missing.
_MISSING = 1

RECIPES: dict[str, Callable[..., NDArray[Any]]] = {
    "normal": lambda rng, n, mean, sd: rng.normal(mean, sd, n),
    "uniform": lambda rng, n, low, high: rng.uniform(low, high, n),
    "integer": lambda rng, n, low, high: rng.integers(low, high, n, endpoint=True).astype(float),
    "binary": lambda rng, n, share: (rng.random(n) < share).astype(float),
    "cycle": lambda _, n, *values: np.resize(np.array(values), n),
}


@dataclass(frozen=True, slots=True)
class Covariate:
    """One part of a simulated column.

    Attributes
    ----------
    recipe : str
        ``"normal"`` (mean, sd), ``"uniform"`` (low, high), ``"integer"`` (low, high, both
        included), ``"binary"`` (share of ones), or ``"cycle"``: the values in turn, numbers or
        labels.
    values : tuple
        What the recipe takes.
    per : tuple of str
        Grouping columns within whose cells the column is constant; empty: each row its own.
    """

    recipe: str
    values: tuple[float, ...] | tuple[str, ...]
    per: tuple[str, ...] = ()

    def draw(self, table: pd.DataFrame, rng: np.random.Generator) -> NDArray[Any]:
        """Draw the column for the rows of a table that has its grouping columns."""
        if not self.per:
            return RECIPES[self.recipe](rng, len(table), *self.values)
        cell = table.groupby(list(self.per), sort=False, observed=True).ngroup().to_numpy()
        return RECIPES[self.recipe](rng, int(cell.max()) + 1, *self.values)[cell]


@dataclass(frozen=True, slots=True)
class SimulatedTable:
    """Rows on a grid of levels, covariates by recipe, and a response from known parameters.

    Attributes
    ----------
    formula : str
        The model that the response is drawn from; its left side names the response.
    levels : mapping from str to int
        Grouping columns and how many levels each has. Rows stand on their full grid, which serves
        crossed factors; for nested ones each outer level has inner levels of the same names.
    rows : (int, int)
        Fewest and most rows in each cell of the grid.
    total : int or None
        Rows of the whole table, where `rows` leaves that open.
    columns : mapping from str to tuple of Covariate
        Parts that are added up; a single part may hold labels.
    beta : mapping from coefficient to float
        In the response's unit per column unit.
    sd : mapping from factor to tuple of float
        One standard deviation per column of its random effects.
    corr : mapping from factor to float or tuple of tuples
        One correlation for every pair, or a matrix; uncorrelated without it.
    parameters : mapping from str to float, or tuple of float
        The family's: ``sigma``, the residual standard deviation in the response's unit, for the
        Gaussian; the thresholds of ordered categories, which are 1, ..., K.
    random_seed : int
    missing : float
        Share of rows, at random, whose response was not taken.
    family : Family
        How the response is distributed.
    trials : str, int or None
        Numbers of trials of a binomial response, or their column.

    Examples
    --------
    >>> study = SimulatedTable(
    ...     "y ~ x + (1 | g)", levels={"g": 3}, rows=(2, 2), random_seed=1,
    ...     columns={"x": (Covariate("cycle", (0.0, 1.0)),)},
    ...     beta={"Intercept": 3.0, "x": 0.75}, sd={"g": (1.0,)}, parameters={"sigma": 0.5},
    ... )
    >>> study.load().columns.tolist(), len(study.load())
    (['g', 'x', 'y'], 6)
    >>> study.truth()
    {'Intercept': 3.0, 'x': 0.75, 'sd_g[Intercept]': 1.0, 'sigma': 0.5}
    """

    formula: str
    levels: Mapping[str, int]
    rows: tuple[int, int]
    columns: Mapping[str, tuple[Covariate, ...]]
    beta: Mapping[str, float]
    sd: Mapping[str, tuple[float, ...]]
    parameters: Mapping[str, float | tuple[float, ...]]
    random_seed: int
    total: int | None = None
    corr: Mapping[str, float | tuple[tuple[float, ...], ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    missing: float = 0.0
    family: Family = GAUSSIAN
    trials: str | int | None = None

    def load(self) -> pd.DataFrame:
        """Draw the table: always the same one.

        Returns
        -------
        DataFrame
            Grouping columns as categoricals, then covariates, then the response.

        Raises
        ------
        ArgumentError, DataError, FormulaError
            If the parameters do not fit the formula, or the formula does not fit the columns.
        """
        table, _, y, _ = self._draw()
        # By numbers of their own: which responses are missing does not move those that are there.
        rng = np.random.default_rng([self.random_seed, _MISSING])
        table[self._response()] = np.where(rng.random(len(y)) < self.missing, np.nan, y)
        return table

    def effects(self) -> dict[str, pd.DataFrame]:
        """Return the random effects that the response was drawn with.

        Returns
        -------
        dict of DataFrame
            For each grouping factor its levels by terms, in the response's unit per column unit.
        """
        _, design, _, effects = self._draw()
        return {
            factor.name: pd.DataFrame(
                effects[factor.name],
                index=pd.Index(factor.levels, name=factor.name),
                columns=pd.Index(factor.terms, name="term"),
            )
            for factor in design.factors
        }

    def truth(self) -> dict[str, float]:
        """Name the true parameters as `confidence_intervals` does.

        Returns
        -------
        dict
            Coefficients, ``sd_<factor>[term]``, ``corr_<factor>[term, term]`` where the model that
            simulates has correlations, and the family's parameters.
        """
        _, design = self._design(np.random.default_rng(self.random_seed))
        truth = {name: float(self.beta[name]) for name in design.coef}
        for factor in design.factors:
            covariance = covariance_of(factor)
            q = covariance.n_columns
            sds = np.broadcast_to(self.sd[factor.name], q)[list(covariance.sd_leads)]
            truth |= dict(zip(covariance.sd_names, map(float, sds), strict=True))
            corr = np.broadcast_to(self.corr.get(factor.name, 0.0), (q, q))
            for pair, name in sorted(
                zip(covariance.pairs, covariance.correlation_names, strict=True)
            ):
                truth[name] = float(corr[pair])
        for name, value in self.parameters.items():
            if isinstance(value, tuple):
                cuts = cut_labels([str(k + 1) for k in range(len(value) + 1)])
                truth |= {f"{name}[{cut}]": at for cut, at in zip(cuts, value, strict=True)}
            else:
                truth[name] = value
        return truth

    def describe(self) -> str:
        """Name the source in a few words."""
        sizes = ", ".join(f"{count} {name}" for name, count in self.levels.items())
        return f"simulated ({sizes}; seed {self.random_seed})"

    def _draw(
        self,
    ) -> tuple[pd.DataFrame, Design, NDArray[np.float64], dict[str, NDArray[np.float64]]]:
        rng = np.random.default_rng(self.random_seed)
        table, design = self._design(rng)
        y, effects = simulate_response(
            design,
            beta=self.beta,
            sd=self.sd,
            corr=self.corr,
            parameters=self.parameters,
            random_seed=rng,
        )
        return table, design, y, effects

    def _response(self) -> str:
        response = parse_formula(self.formula).response
        if response is None or not response.isidentifier():
            raise DataError(
                f"A simulation draws a column, and {response!r} is none: give the response of "
                f"{self.formula!r} a plain name."
            )
        return response

    def _design(self, rng: np.random.Generator) -> tuple[pd.DataFrame, Design]:
        table = self._grid(rng)
        for name, parts in self.columns.items():
            drawn = [part.draw(table, rng) for part in parts]
            table[name] = drawn[0] if len(drawn) == 1 else np.sum(drawn, axis=0)
            if table[name].dtype.kind not in "fi":
                labels = list(dict.fromkeys(map(str, parts[0].values)))
                table[name] = pd.Categorical(table[name].astype(str), categories=labels)
        self._response()
        return table, build_design(
            self.formula,
            dict(table),
            response="optional",
            family=self.family,
            trials=self.trials,
        )

    def _require_memory(self) -> None:
        """Raise unless this machine can hold the rows, before any is drawn."""
        cells, columns = math.prod(self.levels.values()), len(self.levels) + len(self.columns) + 2
        rows = cells * max(self.rows[1], 1)
        available, needed = memory() or _MOST_BYTES, 8 * rows * columns
        if needed > available:
            sizes = " x ".join(f"{count:,} {name}" for name, count in self.levels.items())
            raise DataError(
                f"A simulation of {cells:,} cells ({sizes}) with up to {self.rows[1]:,} rows "
                f"each takes {needed:,} bytes, and this machine has {available:,}. Simulate fewer "
                "levels, or fewer rows in each cell."
            )

    def _grid(self, rng: np.random.Generator) -> pd.DataFrame:
        shape = tuple(self.levels.values())
        low, high = self.rows
        self._require_memory()
        counts = rng.integers(low, high, int(np.prod(shape)), endpoint=True)
        if self.total is not None:
            _mend_total(counts, self.total, low, high, rng)
        cells = np.repeat(np.arange(len(counts)), counts)
        places = [place.astype(np.int64) for place in np.unravel_index(cells, shape)]
        return pd.DataFrame(
            {
                name: pd.Categorical.from_codes(
                    place, dtype=pd.CategoricalDtype([str(i) for i in range(1, count + 1)])
                )
                for place, (name, count) in zip(places, self.levels.items(), strict=True)
            }
        )


def _mend_total(
    counts: NDArray[np.int64], total: int, low: int, high: int, rng: np.random.Generator
) -> None:
    """Add or take single rows at random, within the bounds, until their sum is the total."""
    if not low * len(counts) <= total <= high * len(counts):
        raise DataError(f"{len(counts)} cells of {low} to {high} rows cannot hold {total} rows.")
    while missing := total - int(counts.sum()):
        step = int(np.sign(missing))
        open_ = np.flatnonzero(counts < high if step > 0 else counts > low)
        counts[rng.choice(open_, min(abs(missing), len(open_)), replace=False)] += step
