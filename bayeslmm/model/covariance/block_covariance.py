r"""`BlockCovariance`: G of one grouping factor, put together from structures of sets of columns.

.. math:: G = \bigoplus_m G_m, \quad G_m = L_m L_m'

where each structure has columns of its own. A formula's terms say which: ``(x | g)`` makes an
unstructured set, ``(x || g)`` and terms of one column are uncorrelated with everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.model.covariance.diagonal import Diagonal
from bayeslmm.model.covariance.factors import theta_names
from bayeslmm.model.covariance.partial_correlations import correlation_of
from bayeslmm.model.covariance.unstructured import Unstructured

if TYPE_CHECKING:
    from bayeslmm.arrays import Blocks, Floats
    from bayeslmm.design.model_data import FactorData
    from bayeslmm.model.covariance.structure import CovarianceStructure

    Columns = tuple[int, ...]


def covariance_of(factor: FactorData) -> BlockCovariance:
    """Return the structure of a grouping factor's G, as its formula's terms have it.

    Parameters
    ----------
    factor : FactorData
        Of a design or of its cross-products.

    Returns
    -------
    BlockCovariance
    """
    return BlockCovariance.of_blocks(factor.name, factor.terms, factor.blocks)


@dataclass(frozen=True)
class BlockCovariance:
    """The covariance of one grouping factor's random effects, in all that does not depend on data.

    Attributes
    ----------
    name : str
        The factor.
    terms : tuple of str, length q
        Names of its columns.
    members : tuple of (CovarianceStructure, tuple of int)
        Structures, each with the columns that it stands for: the uncorrelated ones first, then
        sets of correlated ones by their first column.

    Examples
    --------
    >>> G = BlockCovariance.of_blocks("g", ("Intercept", "x", "z"), ((0, 1), (2,)))
    >>> G.members
    ((Diagonal(n_columns=1), (2,)), (Unstructured(n_columns=2), (0, 1)))
    >>> G.correlation_names
    ('corr_g[Intercept, x]',)
    >>> G.factor(np.array([3.0, 5.0, 2.0]), np.array([0.8])).round(12)
    array([[3., 0., 0.],
           [4., 3., 0.],
           [0., 0., 2.]])
    """

    name: str
    terms: tuple[str, ...]
    members: tuple[tuple[CovarianceStructure, Columns], ...]

    @classmethod
    def of_blocks(cls, name: str, terms: tuple[str, ...], blocks: Blocks) -> BlockCovariance:
        """Return the structure in which columns are correlated as a partition of them says.

        Parameters
        ----------
        name : str
            The factor.
        terms : tuple of str, length q
            Names of its columns.
        blocks : tuple of tuple of int
            A partition of ``range(q)``: an unstructured matrix for each block of several columns.

        Returns
        -------
        BlockCovariance
        """
        alone = tuple(sorted(block[0] for block in blocks if len(block) == 1))
        several = sorted(block for block in blocks if len(block) > 1)
        diagonal: list[tuple[CovarianceStructure, Columns]] = (
            [(Diagonal(len(alone)), alone)] if alone else []
        )
        return cls(name, terms, (*diagonal, *((Unstructured(len(b)), b) for b in several)))

    @property
    def n_columns(self) -> int:
        """q, the number of columns."""
        return len(self.terms)

    @property
    def n_partials(self) -> int:
        """Number of partials of all structures together."""
        return sum(structure.n_partials for structure, _ in self.members)

    @property
    def has_correlations(self) -> bool:
        """Whether any two columns are correlated."""
        return self.n_partials > 0

    @property
    def uncorrelated(self) -> Columns:
        """Columns that are correlated with no other."""
        return tuple(j for structure, at in self.members if not structure.n_partials for j in at)

    @property
    def correlated(self) -> tuple[tuple[CovarianceStructure, Columns], ...]:
        """Structures that have correlations, with their columns, in the order of the partials."""
        return tuple(member for member in self.members if member[0].n_partials)

    @cached_property
    def independent(self) -> Blocks:
        """The finest partition of the columns into independent sets, by their first columns.

        In the relative factor Lambda the lower triangle of each set is free.
        """
        return tuple(
            sorted(
                tuple(columns[j] for j in part)
                for structure, columns in self.members
                for part in structure.independent
            )
        )

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Columns (i, j), i < j, whose correlation is free, in the order of the partials."""
        return tuple(
            (columns[i], columns[j])
            for structure, columns in self.members
            for i, j in structure.pairs
        )

    @property
    def sd_name(self) -> str:
        """Name of the standard deviations in a result tree."""
        return names.sd(self.name)

    @property
    def corr_name(self) -> str:
        """Name of the correlation matrix in a result tree."""
        return names.corr(self.name)

    @property
    def sd_names(self) -> tuple[str, ...]:
        """Name of each column's standard deviation: ``"sd_<factor>[<term>]"``."""
        return tuple(f"{self.sd_name}[{term}]" for term in self.terms)

    @property
    def correlation_names(self) -> tuple[str, ...]:
        """Name of each free correlation, ``"corr_<factor>[<term>, <term>]"``, as in `pairs`."""
        terms = self.terms
        return tuple(f"{self.corr_name}[{terms[i]}, {terms[j]}]" for i, j in self.pairs)

    @property
    def n_theta(self) -> int:
        """Number of Lambda's free entries."""
        return sum(len(columns) * (len(columns) + 1) // 2 for columns in self.independent)

    @property
    def theta_names(self) -> list[str]:
        """Names of Lambda's free entries, set by set of `independent` (`factors.theta_names`)."""
        return [
            name
            for columns in self.independent
            for name in theta_names(self.name, tuple(self.terms[j] for j in columns))
        ]

    @property
    def shape_offsets(self) -> Floats:
        """What the partials' Beta priors add to the concentration, shape (n_partials,)."""
        return np.concatenate([structure.shape_offsets for structure, _ in self.members])

    def correlation_factor(self, partials: Floats) -> Floats:
        """Compute C, with C C' the correlation matrix.

        Parameters
        ----------
        partials : ndarray, shape (..., n_partials)
            Structure by structure.

        Returns
        -------
        ndarray, shape (..., q, q)
            Lower triangular, with rows of unit length.
        """
        q = self.n_columns
        unit = np.zeros((*partials.shape[:-1], q, q))
        for (structure, columns), own in zip(self.members, self._cut(partials), strict=True):
            unit[(..., *np.ix_(columns, columns))] = structure.correlation_factor(own)
        return unit

    def correlation(self, partials: Floats) -> Floats:
        """Compute C C', with exact ones on its diagonal; shapes as in `correlation_factor`."""
        return correlation_of(self.correlation_factor(partials))

    def factor(self, sd: Floats, partials: Floats) -> Floats:
        """Compute L with G = L L'.

        Parameters
        ----------
        sd : ndarray, shape (..., q)
            Standard deviations, in the response's unit per unit of the column.
        partials : ndarray, shape (..., n_partials)
            Structure by structure.

        Returns
        -------
        ndarray, shape (..., q, q)
            Lower triangular, in the unit of `sd`.
        """
        factor = np.zeros((*sd.shape, self.n_columns))
        for (structure, columns), own in zip(self.members, self._cut(partials), strict=True):
            factor[(..., *np.ix_(columns, columns))] = structure.factor(sd[..., columns], own)
        return factor

    def pull_back(self, sd: Floats, partials: Floats, d_factor: Floats) -> tuple[Floats, Floats]:
        """Compute the gradient in standard deviations and partials from that in L.

        Parameters
        ----------
        sd, partials : ndarray, shapes (..., q) and (..., n_partials)
            Where.
        d_factor : ndarray, shape (..., q, q)
            Gradient in L; what stands outside the sets' lower triangles is not read.

        Returns
        -------
        d_sd, d_partials : ndarray, shapes like `sd` and `partials`
        """
        d_sd, d_partials = np.zeros(sd.shape), []
        for (structure, columns), own in zip(self.members, self._cut(partials), strict=True):
            block = d_factor[(..., *np.ix_(columns, columns))]
            d_sd[..., columns], d_own = structure.pull_back(sd[..., columns], own, block)
            d_partials.append(d_own)
        return d_sd, np.concatenate(d_partials, axis=-1)

    def partials_near(self, corr: Floats) -> Floats:
        """Compute partials, off the ends of (-1, 1), of a matrix near `corr`, shape (q, q)."""
        parts = [
            structure.partials_near(corr[np.ix_(columns, columns)])
            for structure, columns in self.members
        ]
        return np.concatenate(parts)

    def log_prior(self, corr: Floats, eta: float) -> Floats:
        """Evaluate the log-density of correlation matrices, shape (..., q, q), over `pairs`."""
        parts = [
            structure.log_prior(corr[(..., *np.ix_(columns, columns))], eta)
            for structure, columns in self.correlated
        ]
        return np.asarray(np.sum(parts, axis=0))

    def marginal_shapes(self, eta: float) -> Floats:
        """Compute a of each free correlation's marginal prior 2 Beta(a, a) - 1, as in `pairs`."""
        return np.concatenate([structure.marginal_shapes(eta) for structure, _ in self.members])

    def draw_correlations(self, eta: float, size: int, rng: np.random.Generator) -> Floats:
        """Draw correlation matrices from their prior, (size, q, q), structure by structure."""
        corr = np.zeros((size, self.n_columns, self.n_columns))
        for structure, columns in self.members:
            drawn = structure.draw_correlations(eta, size, rng)
            corr[(slice(None), *np.ix_(columns, columns))] = drawn
        return corr

    def _cut(self, partials: Floats) -> list[Floats]:
        if len(self.members) == 1:
            return [partials]
        ends = np.cumsum([structure.n_partials for structure, _ in self.members])
        return np.split(partials, ends[:-1], axis=-1)
