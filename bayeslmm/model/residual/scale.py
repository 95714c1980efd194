r"""Scales of residuals: the standard deviation of each row as a function of few parameters.

Rows that share all that their standard deviation depends on are one *cell*:

.. math:: sd_c = \sqrt{se_c^2 + \sigma_c(\phi)^2}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bayeslmm import names
from bayeslmm.model.residual.entry import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.arrays import Floats, Ints


class Scale(Protocol):
    """sigma of each cell, apart from known standard errors."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Its parameters."""
        ...

    @property
    def dims(self) -> Mapping[str, tuple[str, ...]]:
        """Dimensions of its variables in the result tree, after chain and draw."""
        ...

    @property
    def coords(self) -> Mapping[str, tuple[str, ...]]:
        """Coordinates of those dimensions."""
        ...

    def variables(self, phi: Floats) -> dict[str, Floats]:
        """Name the parameters, shape (..., number of them)."""
        ...

    def phi(self, variables: Mapping[str, Floats]) -> Floats:
        """Undo `variables`."""
        ...

    def sigma(self, phi: Floats) -> Floats:
        """Compute sigma of each cell, shape (s, n_cells), of parameters (s, number of them)."""
        ...

    def pull_back(self, phi: Floats, d_sigma: Floats) -> Floats:
        """Carry a gradient in sigma, shape (n_cells,), to the parameters of one point."""
        ...


@dataclass(frozen=True, eq=False)
class NoSigma:
    """Known standard errors are all there is: they multiply a one.

    Attributes
    ----------
    n_cells : int
        Number of cells.
    """

    n_cells: int
    entries: tuple[Entry, ...] = ()

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """None."""
        return {}

    @property
    def coords(self) -> dict[str, tuple[str, ...]]:
        """None."""
        return {}

    def variables(self, phi: Floats) -> dict[str, Floats]:  # noqa: ARG002 - of the protocol
        """Return nothing."""
        return {}

    def phi(self, variables: Mapping[str, Floats]) -> Floats:
        """Return no parameters, of as many draws as there are."""
        shape = next(iter(variables.values())).shape[:2]
        return np.zeros((*shape, 0))

    def sigma(self, phi: Floats) -> Floats:
        """Return ones."""
        return np.ones((len(phi), self.n_cells))

    def pull_back(self, phi: Floats, d_sigma: Floats) -> Floats:  # noqa: ARG002 - of the protocol
        """Return an empty gradient."""
        return np.zeros(0)


@dataclass(frozen=True, eq=False)
class SigmaByStratum:
    """A sigma for each stratum of rows: all rows, categories, or visits.

    Attributes
    ----------
    variable : str
        Its name in the result tree: ``sigma``, ``sigma_by``, ``sd_residual``.
    levels : mapping of str to tuple of str
        Dimension -> labels; none where there is one sigma for all rows.
    which : ndarray of int64, shape (n_cells,)
        The stratum of each cell, counted over all dimensions, the last one fastest.
    """

    variable: str
    levels: Mapping[str, tuple[str, ...]]
    which: Ints

    @property
    def n_strata(self) -> int:
        """Number of strata."""
        return int(np.prod([len(labels) for labels in self.levels.values()], dtype=np.int64))

    @property
    def entries(self) -> tuple[Entry, ...]:
        """A sigma for each stratum, with the prior of sigma."""
        if not self.levels:
            return (Entry(self.variable),)
        combined = [""]
        for labels in self.levels.values():
            combined = [f"{a},{b}" if a else b for a in combined for b in labels]
        return tuple(Entry(self.variable, label, keys=(names.SIGMA,)) for label in combined)

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Its dimensions."""
        return {self.variable: tuple(self.levels)}

    @property
    def coords(self) -> dict[str, tuple[str, ...]]:
        """Their labels."""
        return dict(self.levels)

    def variables(self, phi: Floats) -> dict[str, Floats]:
        """Name the parameters."""
        shape = [len(labels) for labels in self.levels.values()]
        return {self.variable: phi.reshape((*phi.shape[:-1], *shape))}

    def phi(self, variables: Mapping[str, Floats]) -> Floats:
        """Undo `variables`."""
        values = variables[self.variable]
        shape = values.shape[: values.ndim - len(self.levels)]
        return values.reshape(*shape, self.n_strata)

    def sigma(self, phi: Floats) -> Floats:
        """Return each cell's own."""
        return phi[:, self.which]

    def pull_back(self, phi: Floats, d_sigma: Floats) -> Floats:
        """Sum over the cells of each stratum."""
        return np.bincount(self.which, d_sigma, minlength=phi.shape[-1])


@dataclass(frozen=True, eq=False)
class LogLinearSigma:
    r"""A formula of log(sigma): sigma at the columns' means, and a slope for each column.

    .. math:: \sigma_c = \sigma \exp\{(d_c - \bar{d})' \gamma\}

    Attributes
    ----------
    terms : tuple of str, length r
        Names of the columns, the intercept left out.
    columns : ndarray, shape (n_cells, r)
        Their values less their means over the rows.
    spreads : tuple of float, length r
        Their standard deviations over the rows.
    """

    terms: tuple[str, ...]
    columns: Floats
    spreads: tuple[float, ...]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Sigma, and slopes with the prior N(0, 1) for a column of standard deviation one."""
        slopes = [
            Entry(names.BETA_SIGMA, term, -np.inf, default=f"Normal(0, {1.0 / spread!r})")
            for term, spread in zip(self.terms, self.spreads, strict=True)
        ]
        return (Entry(names.SIGMA), *slopes)

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """One of slopes."""
        return {names.SIGMA: (), names.BETA_SIGMA: (names.SIGMA_COEF,)}

    @property
    def coords(self) -> dict[str, tuple[str, ...]]:
        """The columns' names."""
        return {names.SIGMA_COEF: self.terms}

    def variables(self, phi: Floats) -> dict[str, Floats]:
        """Name the parameters."""
        return {names.SIGMA: phi[..., 0], names.BETA_SIGMA: phi[..., 1:]}

    def phi(self, variables: Mapping[str, Floats]) -> Floats:
        """Undo `variables`."""
        return np.concatenate(
            [variables[names.SIGMA][..., None], variables[names.BETA_SIGMA]], axis=-1
        )

    def sigma(self, phi: Floats) -> Floats:
        """Evaluate the formula."""
        return phi[:, :1] * np.exp(phi[:, 1:] @ self.columns.T)

    def pull_back(self, phi: Floats, d_sigma: Floats) -> Floats:
        """Differentiate the formula."""
        weighted = d_sigma * np.exp(self.columns @ phi[1:])
        return np.concatenate([[weighted.sum()], phi[0] * (weighted @ self.columns)])
