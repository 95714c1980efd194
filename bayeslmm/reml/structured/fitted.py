"""`FittedResiduals`: a residual structure at its estimates."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from scipy.linalg import solve_triangular

from bayeslmm.errors import ArgumentError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.model.residual.products import ResidualProducts
    from bayeslmm.model.residual.structured import StructuredResiduals
    from bayeslmm.reml.structured.coordinates import ResidualCoordinates

# Rows of a covariance matrix that a summary has room for.
_MOST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Number:
    """One number that is told of a residual structure.

    Attributes
    ----------
    variable : str
        Its variable in a result tree.
    labels : tuple of str
        Its coordinates there; of a matrix, row and column come last.
    index : tuple of int
        Its place in the variable.
    kind : {"sigma", "corr", "slope"}
        What it is: positive, between -1 and 1, or any number.
    """

    variable: str
    labels: tuple[str, ...]
    index: tuple[int, ...]
    kind: Literal["sigma", "corr", "slope"]

    @property
    def name(self) -> str:
        """How it is called, such as ``"sigma_by[Male]"``."""
        if not self.labels:
            return self.variable
        between = ", " if self.is_pair else ","
        return f"{self.variable}[{between.join(self.labels)}]"

    @property
    def is_pair(self) -> bool:
        """Whether it is an entry of a matrix."""
        return self.kind == "corr" and len(self.labels) > 1


def numbers_of(structure: StructuredResiduals) -> tuple[Number, ...]:
    """Return every number that is told of a residual structure, matrices below their diagonal."""
    kinds: dict[str, Literal["sigma", "corr", "slope"]] = {}
    for entry in structure.entries:
        positive = entry.lower == 0.0 and np.isinf(entry.upper)
        slope = np.isinf(entry.lower)
        kinds[entry.variable] = "sigma" if positive else "slope" if slope else "corr"
    out = []
    for variable, dims in structure.dims.items():
        kind = kinds.get(variable, "corr")
        coords = [structure.coords[dim] for dim in dims]
        matrix = any(e.variable == variable and e.is_matrix for e in structure.entries)
        for index in itertools.product(*(range(len(labels)) for labels in coords)):
            if matrix and not index[-2] < index[-1]:
                continue
            labels = tuple(labels[i] for labels, i in zip(coords, index, strict=True))
            out.append(Number(variable, labels, index, kind))
    return tuple(out)


@dataclass(frozen=True, eq=False)
class FittedResiduals:
    """A residual structure at its estimates.

    Attributes
    ----------
    structure : StructuredResiduals
        R as a function of its parameters.
    phi : ndarray, shape (size,)
        The estimates.
    coordinates : ResidualCoordinates
        Of the search.
    bases : ResidualProducts
        The cross-products for any parameters.
    at_bound : tuple of int
        Places in phi of what is on its bound.
    """

    structure: StructuredResiduals
    phi: Floats
    coordinates: ResidualCoordinates
    bases: ResidualProducts
    at_bound: tuple[int, ...]

    @property
    def name(self) -> str:
        """How the structure is spelt."""
        return self.structure.name

    @cached_property
    def numbers(self) -> tuple[Number, ...]:
        """What is told of it."""
        return numbers_of(self.structure)

    def values(self, phi: Floats | None = None) -> Floats:
        """Return `numbers` at parameters, shape (len(numbers),); at the estimates by default."""
        found = self.structure.variables(self.phi if phi is None else phi)
        return np.array([found[n.variable][n.index] for n in self.numbers], dtype=np.float64)

    @cached_property
    def table(self) -> pd.DataFrame:
        """Every number by its name: column ``estimate``."""
        index = pd.Index([number.name for number in self.numbers], name="parameter")
        return pd.DataFrame({"estimate": self.values()}, index)

    @property
    def sigmas(self) -> dict[str, float]:
        """Standard deviation by stratum or visit; under an empty name where there is one."""
        values = zip(self.numbers, self.values().tolist(), strict=True)
        return {",".join(n.labels): value for n, value in values if self._is_sigma(n)}

    def _is_sigma(self, number: Number) -> bool:
        return number.kind == "sigma" and number.variable in self.structure.scale.dims

    def boundary(self) -> list[str]:
        """Return in words what is on its bound."""
        out = []
        for k in self.at_bound:
            low, high = self.coordinates.bounds[k]
            value, name = self.phi[k], self.coordinates.labels[k]
            if self.coordinates.is_scale[k]:
                out.append(f"{name} is zero")
            elif np.isinf(high):
                end = "zero" if value < self.coordinates.default[k] else "infinite"
                out.append(f"{name} is at {value:.2g}, all but {end}")
            else:
                bound = low if value - low < high - value else high
                what = "a partial correlation of " if self._is_matrix(k) else ""
                out.append(f"{what}{name} is at its bound {bound:.3g}")
        return list(dict.fromkeys(out))

    def _is_matrix(self, k: int) -> bool:
        name = self.coordinates.labels[k]
        return any(entry.name == name and entry.is_matrix for entry in self.structure.entries)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return what a summary shows beside the standard deviations: title -> table."""
        shown = [n.name for n in self.numbers if not (self._is_sigma(n) or n.is_pair)]
        out = {"Residual parameters": self.table.loc[shown]} if shown else {}
        rows = self.structure.rows
        if rows.correlation is None or not rows.visits:
            return out
        for by in rows.by_labels or (None,):
            R = self.covariance(by)
            if len(R) <= _MOST_SHOWN:
                of = "" if by is None else f" in {rows.correlation.by} {by}"
                out[f"Residual covariance{of} (correlations above)"] = _with_correlations(R)
        return out

    @property
    def sd(self) -> Floats:
        """Standard deviation of each row's residual, shape (n,)."""
        sd: Floats = self.structure.sd(self.phi[None])[0][self.structure.cell]
        return sd if self.structure.relative is None else sd * self.structure.relative

    def covariance(self, by: str | None = None) -> pd.DataFrame:
        """Return R of the group with the most rows, by visit or time.

        Parameters
        ----------
        by : str, optional
            Among the groups of this stratum, where each has parameters of its own.

        Raises
        ------
        ArgumentError
            If residuals are independent, or there is no such stratum.
        """
        rows = self.structure.rows
        if rows.correlation is None:
            raise ArgumentError(
                "The residuals of this fit are independent: fit.residual_parameters says how they "
                "spread."
            )
        among = np.arange(rows.n)
        if by is not None:
            if rows.by is None or by not in rows.by_labels:
                known = ", ".join(rows.by_labels) or "none"
                raise ArgumentError(
                    f"There is no stratum {by!r} of the residuals' parameters."
                    f"{nearest(by, rows.by_labels)} There are: {known}."
                )
            among = np.flatnonzero(rows.by == rows.by_labels.index(by))
        some = among[rows.group[among] == np.argmax(np.bincount(rows.group[among]))]
        return self._of_rows(some)

    def _of_rows(self, some: Ints) -> pd.DataFrame:
        rows = self.structure.rows
        if rows.time is None:
            labels = [str(k + 1) for k in range(len(some))]
        else:
            some = some[np.argsort(rows.time[some], kind="stable")]
            at = rows.time[some]
            labels = [rows.visits[k] if rows.visits else f"{k:g}" for k in at.tolist()]
        name = rows.correlation.time if rows.correlation is not None else None
        index = pd.Index(labels, name=name)
        R = self.structure.covariance(self.phi[None], some)[0]
        return pd.DataFrame(R, index=index, columns=index)

    def roots(self) -> Iterator[tuple[Ints, Floats]]:
        """Yield the rows of each group in the order of time, and the Cholesky factor of their R."""
        rows = self.structure.rows
        time = np.zeros(rows.n) if rows.time is None else rows.time
        order = np.lexsort((time, rows.group))
        for some in np.split(order, np.flatnonzero(np.diff(rows.group[order])) + 1):
            R = self.structure.covariance(self.phi[None], some)[0]
            yield some, np.linalg.cholesky(R)

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """Draw residuals of the rows from N(0, R), shape (count, n)."""
        z = rng.standard_normal((count, self.structure.rows.n))
        if self.structure.rows.correlation is None:
            return z * self.sd
        for some, L in self.roots():
            z[:, some] = z[:, some] @ L.T
        return z

    def whitened(self, rest: Floats, *, correlated: bool) -> Floats:
        """Return residuals in standard deviations of their rows.

        Parameters
        ----------
        rest : ndarray, shape (n,)
            y - X beta - Z b.
        correlated : bool
            Whether to take their correlation away, too: each less what those before it foretell.
        """
        if not correlated or self.structure.rows.correlation is None:
            return rest / self.sd
        out = rest.copy()
        for some, L in self.roots():
            out[some] = solve_triangular(L, rest[some], lower=True)
        return out


def _with_correlations(R: pd.DataFrame) -> pd.DataFrame:
    """Put correlations in place of the covariances above the diagonal."""
    values = R.to_numpy()
    sd = np.sqrt(np.diag(values))
    upper = np.triu(np.ones(R.shape, dtype=bool), 1)
    shown = np.where(upper, values / np.outer(sd, sd), values)
    return pd.DataFrame(shown, index=R.index, columns=R.columns)
