"""`Correlation`: what a residual structure says of correlation; and independent residuals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.residual_rows import ResidualRows
    from bayeslmm.model.residual.entry import Entry


@dataclass(frozen=True, eq=False)
class Pairs:
    r"""Pairs of rows whose entry of C^-1 is not zero.

    .. math:: [C^{-1}]_{ab} = \sum_{m : \{a_m, b_m\} = \{a, b\}} f_m \, \omega_{k_m}(\phi)

    Where all rows of a group stand in the same way beside each other, their sum stands for them:
    :math:`\omega \, 1 1'` is one pair.

    Attributes
    ----------
    first, second : ndarray of int64, shape (m,)
        The rows a and b in any order, a row with itself among them. What is said of a pair in
        several places adds up. A number from n on is a sum of rows.
    base : ndarray of int64, shape (m,)
        k, the number of omega.
    n_bases : int
        Number of those.
    factor : ndarray, shape (m,), or None
        f; one everywhere where None.
    member : ndarray of int64, shape (n,), or None
        The sum n + member that each row is in; None where there are no sums.
    """

    first: Ints
    second: Ints
    base: Ints
    n_bases: int
    factor: Floats | None = None
    member: Ints | None = None


class Correlation(Protocol):
    r"""The correlation matrix C of the residuals, block-diagonal over groups.

    .. math:: R = D C D, \quad C^{-1} = \sum_k \omega_k(\phi) \, Q_k

    with fixed matrices Q_k, whose entries `Pairs` lists.
    """

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

    @property
    def pairs(self) -> Pairs:
        """Which entries of C^-1 are not zero."""
        ...

    def variables(self, phi: Floats) -> dict[str, Floats]:
        """Name the parameters, shape (..., number of numbers that they consist of)."""
        ...

    def phi(self, variables: Mapping[str, Floats]) -> Floats:
        """Undo `variables`."""
        ...

    def starts(self, phi: Floats) -> list[Floats]:
        """Return parameters to begin searches from, around some, shape (m,)."""
        ...

    def precision(self, phi: Floats) -> tuple[Floats, Floats]:
        """Compute omega, shape (s, n_bases), and log|C|, shape (s,), of parameters (s, m)."""
        ...

    def pull_back(self, phi: Floats, d_omega: Floats, d_logdet: float) -> Floats:
        """Carry gradients in omega and log|C| to the parameters of one point, shape (m,)."""
        ...

    def matrix(self, phi: Floats, rows: ResidualRows, some: Ints) -> Floats:
        """Return C of some rows of one group, shape (s, k, k): the slow twin of `precision`."""
        ...


@dataclass(frozen=True, eq=False)
class Uncorrelated:
    """C = I.

    Attributes
    ----------
    n : int
        Number of rows.
    """

    n: int
    entries: tuple[Entry, ...] = ()

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """None."""
        return {}

    @property
    def coords(self) -> dict[str, tuple[str, ...]]:
        """None."""
        return {}

    @property
    def pairs(self) -> Pairs:
        """Return each row with itself."""
        rows = np.arange(self.n)
        return Pairs(rows, rows, np.zeros(self.n, np.int64), 1)

    def variables(self, phi: Floats) -> dict[str, Floats]:  # noqa: ARG002 - of the protocol
        """Return nothing."""
        return {}

    def phi(self, variables: Mapping[str, Floats]) -> Floats:
        """Return no parameters, of as many draws as there are."""
        shape = next(iter(variables.values())).shape[:2]
        return np.zeros((*shape, 0))

    def starts(self, phi: Floats) -> list[Floats]:
        """Return what is given."""
        return [phi]

    def precision(self, phi: Floats) -> tuple[Floats, Floats]:
        """Return ones and zeros."""
        return np.ones((len(phi), 1)), np.zeros(len(phi))

    def pull_back(
        self,
        phi: Floats,  # noqa: ARG002 - of the protocol
        d_omega: Floats,  # noqa: ARG002
        d_logdet: float,  # noqa: ARG002
    ) -> Floats:
        """Return an empty gradient."""
        return np.zeros(0)

    def matrix(self, phi: Floats, rows: ResidualRows, some: Ints) -> Floats:  # noqa: ARG002
        """Return the identity."""
        return np.broadcast_to(np.eye(len(some)), (len(phi), len(some), len(some)))
