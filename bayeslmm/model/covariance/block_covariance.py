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
from scipy.special import betaincinv

from bayeslmm.design.grouping import BlockStructure
from bayeslmm.model.covariance.diagonal import Diagonal
from bayeslmm.model.covariance.kinds import ONE_SD, member_of
from bayeslmm.model.covariance.naming import CovarianceNames
from bayeslmm.model.covariance.of_matrix import OfMatrix
from bayeslmm.model.covariance.partial_correlations import correlation_of

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    return BlockCovariance.of_blocks(factor.name, factor.terms, factor.blocks, factor.structures)


@dataclass(frozen=True)
class BlockCovariance(CovarianceNames):
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
    said : tuple of (BlockStructure, tuple of int)
        What is said of sets of columns beyond who is correlated with whom.

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
    said: tuple[tuple[BlockStructure, Columns], ...] = ()

    @classmethod
    def of_blocks(
        cls,
        name: str,
        terms: tuple[str, ...],
        blocks: Blocks,
        structures: Sequence[BlockStructure] = (),
    ) -> BlockCovariance:
        """Return the structure in which columns are correlated as a partition of them says.

        Parameters
        ----------
        name : str
            The factor.
        terms : tuple of str, length q
            Names of its columns.
        blocks : tuple of tuple of int
            A partition of ``range(q)``: an unstructured matrix for each block of several columns.
        structures : sequence of BlockStructure
            What is said of each block; nothing where it is empty.

        Returns
        -------
        BlockCovariance
        """
        alone = tuple(sorted(block[0] for block in blocks if len(block) == 1))
        by_block = dict(zip(blocks, structures or [BlockStructure()] * len(blocks), strict=True))
        several = sorted(block for block in blocks if len(block) > 1)
        diagonal: list[tuple[CovarianceStructure, Columns]] = (
            [(Diagonal(len(alone)), alone)] if alone else []
        )
        members = (*diagonal, *((member_of(by_block[b], len(b)), b) for b in several))
        said = tuple((by_block[b], b) for b in several if by_block[b].kind != "us")
        return cls(name, terms, members, said)

    @property
    def n_columns(self) -> int:
        """q, the number of columns."""
        return len(self.terms)

    @cached_property
    def sd_columns(self) -> Columns:
        """Of each column, which of the standard deviations is its own, by their first columns."""
        first = list(range(self.n_columns))
        for structure, columns in self.said:
            if structure.kind in ONE_SD:
                for j in columns:
                    first[j] = columns[0]
        places = {j: k for k, j in enumerate(sorted(set(first)))}
        return tuple(places[j] for j in first)

    @property
    def n_sds(self) -> int:
        """Number of standard deviations: q, less where columns share one."""
        return max(self.sd_columns) + 1

    @property
    def sd_leads(self) -> Columns:
        """The first column of each standard deviation."""
        return tuple(self.sd_columns.index(k) for k in range(self.n_sds))

    @property
    def of_one_number(self) -> Columns:
        """Columns whose correlations are one number, which has a name of its own."""
        return tuple(
            j
            for structure, columns in self.members
            if isinstance(structure, OfMatrix) and structure.parameters
            for j in columns
        )

    @property
    def of_few_numbers(self) -> bool:
        """Whether some correlations follow from fewer numbers than there are pairs."""
        return any(isinstance(structure, OfMatrix) for structure, _ in self.members)

    @property
    def compiles(self) -> bool:
        """Whether compiled code has a form of it: nothing is said of any block."""
        return not self.said

    @property
    def n_partials(self) -> int:
        """Number of partials of all structures together."""
        return sum(structure.n_partials for structure, _ in self.members)

    @property
    def n_canonical(self) -> int:
        """Number of canonical partial correlations of `independent` sets."""
        return sum(len(columns) * (len(columns) - 1) // 2 for columns in self.independent)

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
    def shape_offsets(self) -> Floats:
        """What the partials' Beta priors add to the concentration, where it compiles."""
        return self.partial_shapes(1.0)[:, 0] - 1.0

    def partial_shapes(self, eta: float) -> Floats:
        """Return the Beta shapes a, b of each partial, on its interval's scale; (n_partials, 2)."""
        return np.concatenate([structure.partial_shapes(eta) for structure, _ in self.members])

    @property
    def in_unit_interval(self) -> tuple[bool, ...]:
        """Whether each partial lies in (0, 1); in (-1, 1) else."""
        return tuple(
            structure.in_unit_interval
            for structure, _ in self.members
            for _ in range(structure.n_partials)
        )

    def column_sds(self, sd: Floats) -> Floats:
        """Give each column its standard deviation, shape (..., n_sds) -> (..., q)."""
        return sd if self.compiles else np.asarray(sd[..., self.sd_columns])

    def parameter_values(self, partials: Floats) -> dict[str, Floats]:
        """Name structures' own numbers, of partials (..., n_partials)."""
        values = [
            structure.values(own) if isinstance(structure, OfMatrix) else own
            for (structure, _), own in zip(self.members, self.split_partials(partials), strict=True)
        ]
        joined = np.concatenate(values, axis=-1)
        return {name: joined[..., at] for name, at in self.parameter_names}

    def variables(self, sd: Floats, partials: Floats) -> dict[str, Floats]:
        """Name what a result tree holds of draws of sds (..., n_sds) and partials."""
        out = {self.sd_name: self.column_sds(sd)}
        if self.has_correlations:
            out[self.corr_name] = self.correlation(partials)
            out |= self.parameter_values(partials)
        return out

    def shared_sds(self, sd: Floats) -> Floats:
        """Return a standard deviation for each set of columns that share one: (q,) -> (n_sds,).

        It is the root mean square of the columns' own.
        """
        if self.compiles:
            return sd
        counts = np.bincount(self.sd_columns)
        return np.asarray(np.sqrt(np.bincount(self.sd_columns, sd**2) / counts))

    def parameters_of(self, corr: Floats) -> dict[str, Floats]:
        """Name structures' own numbers, of correlation matrices (..., q, q)."""
        values = [
            structure.values(structure.near(corr[(..., *np.ix_(columns, columns))]))[..., 0]
            for structure, columns in self.members
            if isinstance(structure, OfMatrix) and structure.parameters
        ]
        return {name: v for (name, _), v in zip(self.parameter_names, values, strict=True)}

    def sum_shared(self, d_sds: Floats) -> Floats:
        """Carry a gradient in each column's sd, (..., q), to the sds, (..., n_sds)."""
        if self.compiles:
            return d_sds
        out = np.zeros((*d_sds.shape[:-1], self.n_sds))
        for j, k in enumerate(self.sd_columns):
            out[..., k] += d_sds[..., j]
        return out

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
        for (structure, columns), own in zip(
            self.members, self.split_partials(partials), strict=True
        ):
            unit[(..., *np.ix_(columns, columns))] = structure.correlation_factor(own)
        return unit

    def correlation(self, partials: Floats) -> Floats:
        """Compute C C', with exact ones on its diagonal; shapes as in `correlation_factor`."""
        return correlation_of(self.correlation_factor(partials))

    def factor(self, sd: Floats, partials: Floats) -> Floats:
        """Compute L with G = L L'.

        Parameters
        ----------
        sd : ndarray, shape (..., n_sds)
            Standard deviations, in the response's unit per unit of the column.
        partials : ndarray, shape (..., n_partials)
            Structure by structure.

        Returns
        -------
        ndarray, shape (..., q, q)
            Lower triangular, in the unit of `sd`.
        """
        sd = self.column_sds(sd)
        factor = np.zeros((*sd.shape, self.n_columns))
        for (structure, columns), own in zip(
            self.members, self.split_partials(partials), strict=True
        ):
            factor[(..., *np.ix_(columns, columns))] = structure.factor(sd[..., columns], own)
        return factor

    def pull_back(self, sd: Floats, partials: Floats, d_factor: Floats) -> tuple[Floats, Floats]:
        """Compute the gradient in standard deviations and partials from that in L.

        Parameters
        ----------
        sd, partials : ndarray, shapes (..., n_sds) and (..., n_partials)
            Where.
        d_factor : ndarray, shape (..., q, q)
            Gradient in L; what stands outside the sets' lower triangles is not read.

        Returns
        -------
        d_sd, d_partials : ndarray, shapes like `sd` and `partials`
        """
        sd = self.column_sds(sd)
        d_sd, d_partials = np.zeros(sd.shape), []
        for (structure, columns), own in zip(
            self.members, self.split_partials(partials), strict=True
        ):
            block = d_factor[(..., *np.ix_(columns, columns))]
            d_sd[..., columns], d_own = structure.pull_back(sd[..., columns], own, block)
            d_partials.append(d_own)
        return self.sum_shared(d_sd), np.concatenate(d_partials, axis=-1)

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

    def correlation_quantiles(self, eta: float, levels: Floats) -> Floats:
        """Compute prior quantiles of a correlation, those of the largest set; shape of `levels`.

        Of a structure with a correlation of its own, it is that one.
        """
        structure, _ = max(self.correlated, key=lambda member: len(member[1]))
        a, b = structure.correlation_shapes(eta)
        found = betaincinv(a, b, levels)
        if isinstance(structure, OfMatrix):
            return np.asarray(structure.values(found[..., None])[..., 0])
        return np.asarray(2.0 * found - 1.0)

    def draw_correlations(self, eta: float, size: int, rng: np.random.Generator) -> Floats:
        """Draw correlation matrices from their prior, (size, q, q), structure by structure."""
        corr = np.zeros((size, self.n_columns, self.n_columns))
        for structure, columns in self.members:
            drawn = structure.draw_correlations(eta, size, rng)
            corr[(slice(None), *np.ix_(columns, columns))] = drawn
        return corr

    def split_partials(self, partials: Floats) -> list[Floats]:
        """Part partials (..., n_partials) by structure."""
        if len(self.members) == 1:
            return [partials]
        ends = np.cumsum([structure.n_partials for structure, _ in self.members])
        return np.split(partials, ends[:-1], axis=-1)
