"""`Gram`: the cross-products of a design, all that a Gaussian likelihood needs; a value that adds.

With rows scaled by sqrt(w), the blocks of W'W for W = [Z_1 ... Z_K X y]. They are kept in
well-conditioned coordinates, X = Xs R, y = Xs slope + r and Z_k = Zs_k M_k, where the columns of Xs
and Zs_k have mean square about one and are nearly orthogonal to each other over all rows: a column
with mean 1e6 and standard deviation 1 then loses no more digits than it would in a two-pass
computation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.design.scales import check_magnitudes
from bayeslmm.errors import ArgumentError
from bayeslmm.gram.add import add_grams
from bayeslmm.gram.blocks import CrossProducts, PairBlocks
from bayeslmm.gram.border.chain import count_border
from bayeslmm.gram.disclosure import disclosure
from bayeslmm.gram.elimination_plan import EliminationPlan, build_plan
from bayeslmm.gram.file import load_gram, save_gram
from bayeslmm.gram.latent import latent_of, require_latent, with_latent_levels
from bayeslmm.gram.strata import strata_of
from bayeslmm.gram.sums import (
    _factor_sums,
    _project,
    _weighted_response,
    log_weights,
    pair_sums,
    reference_columns,
)

if TYPE_CHECKING:
    import os

    from bayeslmm.design.design import Design
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.gram.disclosure import Disclosure


@dataclass(frozen=True, eq=False, repr=False)
class Gram(CrossProducts):
    """Cross-products of a design's columns, with the verbs of users; fields in `CrossProducts`.

    ``a + b`` is the Gram of the rows of both; levels are matched by their labels.

    Examples
    --------
    >>> from bayeslmm.design.build import build_design
    >>> table = {"y": [1.0, 2.0, 4.0, 3.0], "x": [0.0, 1.0, 0.0, 1.0], "g": ["a", "a", "b", "b"]}
    >>> gram = Gram.from_design(build_design("y ~ x + (1 | g)", table))
    >>> (gram.n, gram.coef, (gram + gram).n)
    (4, ('Intercept', 'x'), 8)
    """

    @classmethod
    def from_design(cls, design: Design, *, strata: bool = True) -> Gram:
        """Compute a design's cross-products in one pass over its rows.

        Parameters
        ----------
        design : Design
            Rows with a response.
        strata : bool
            Whether to sum those of each stratum of the residuals' scale, too, where ``sigma=`` or
            ``se=`` was given; else they are those of rows with independent residuals.

        Returns
        -------
        Gram
            Their cross-products.

        Raises
        ------
        DataError
            If there are no rows, or a response, column or offset is not finite, or a weight is
            not positive.
        NumericalError
            If a column is too large or too small to be squared.
        ArgumentError
            If the response is not Gaussian on any scale, or strata are asked for and residuals are
            correlated, or have known standard errors beside a sigma.
        """
        require_latent(design)
        latent, labels = latent_of(design)
        # Of latent levels there are no sums by stratum: such rows are in memory.
        total = cls.of_levels(design, strata=strata and not any(latent))
        return with_latent_levels(total, latent, labels)

    @classmethod
    def of_levels(cls, design: Design, *, strata: bool = True) -> Gram:
        """Compute the cross-products of the levels that rows have, latent ones left aside.

        Parameters
        ----------
        design : Design
            Rows with a response.
        strata : bool
            As in `from_design`.

        Returns
        -------
        Gram
            That of `from_design` where no factor has latent levels.
        """
        _require_gaussian(design)
        (root, y), logs = _weighted_response(design), log_weights(design)
        check_magnitudes(design)
        X = design.X
        Xs, scale = reference_columns(X, root)
        slope, rest = _project(X, Xs, y, root, scale)
        fixed = np.column_stack([Xs, rest])
        columns, factors = [], []
        for factor in design.factors:
            Z = factor.columns
            same = Z.shape == X.shape and np.array_equal(Z, X)
            Zs, M = (Xs, scale) if same else reference_columns(Z, root)
            columns.append(Zs)
            factors.append(_factor_sums(factor, Zs, fixed, M, logs))
        total = cls(
            response=design.response,
            coef=tuple(design.coef),
            factors=tuple(factors),
            pairs=tuple(
                PairBlocks(k, m, *pair_sums(first.index, columns[k], second.index, columns[m]))
                for k, first in enumerate(design.factors)
                for m, second in enumerate(design.factors)
                if k < m
            ),
            n=len(y),
            sum_log_weights=0.0 if logs is None else float(logs.sum()),
            likweight=None if design.likweights is None else float(design.likweights.sum()),
            scale=scale,
            slope=slope,
            cross=fixed.T @ fixed,
            state=design._state,
            scales=design.scales,
        )
        parts = strata_of(design, total, fixed, columns) if strata else None
        return total if parts is None else replace(total, strata=parts)

    @classmethod
    def of_nodes(cls, design: Design) -> Gram:
        """Compute a design's cross-products with related levels as nodes of a sparse precision.

        Parameters
        ----------
        design : Design
            Rows with a response; all of its related levels have nodes (`border.sparse.related`).

        Returns
        -------
        Gram
            Of the levels that rows have. What is compiled for a dense border takes no such Gram;
            densities, moments and draws do (`bayeslmm.gram.likelihood`).

        Raises
        ------
        ArgumentError
            If related levels have no nodes.
        """
        for factor in design.factors:
            if factor.latent is not None and factor.latent.nodes is None:
                raise ArgumentError(
                    f"The levels of {factor.name!r} are no nodes with a sparse precision: give "
                    "border='dense', or leave the choice to 'auto'."
                )
        total = cls.of_levels(design, strata=False)
        factors = tuple(
            of
            if known.latent is None
            else replace(of, latent=known.latent, nodes=known.latent.nodes, fixed=None)
            for of, known in zip(total.factors, design.factors, strict=True)
        )
        return replace(total, factors=factors)

    def __add__(self, other: Gram) -> Gram:
        """Return the Gram of the rows of both, which are of one model; see `add_grams`."""
        return add_grams(self, other) if isinstance(other, Gram) else NotImplemented

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the Gram to an npz file; the layout is described in `bayeslmm.gram.file`.

        The file is replaced at once, or left as it was.

        Parameters
        ----------
        path : path
            The file, taken as it is: no ending is added.

        Raises
        ------
        DataError
            If it cannot be written.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from bayeslmm.design.build import build_design
        >>> table = {"y": [1.0, 2.0, 4.0, 3.0], "g": ["a", "a", "b", "b"]}
        >>> gram = Gram.from_design(build_design("y ~ 1 + (1 | g)", table))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     gram.save(Path(folder) / "site.npz")
        ...     back = Gram.load(Path(folder) / "site.npz")
        >>> back.n, back.state == gram.state, bool((back.cross == gram.cross).all())
        (4, True, True)
        """
        save_gram(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Gram:
        """Return a Gram that `save` wrote, to the last bit.

        Parameters
        ----------
        path : path
            The file.

        Returns
        -------
        Gram

        Raises
        ------
        DataError
            If the file is missing, damaged, of another kind, or of another version.
        """
        return load_gram(cls, path)

    def discloses(self) -> Disclosure:
        """Return what whoever has this Gram can read of the rows.

        Sums over many rows tell little of one row, and sums over one row tell all of it.

        Returns
        -------
        Disclosure
            Print it, or see its ``factors``.

        Examples
        --------
        >>> from bayeslmm.design.build import build_design
        >>> table = {"y": [1.0, 2.0, 4.0, 3.0, 7.0], "g": ["a", "a", "b", "b", "c"]}
        >>> gram = Gram.from_design(build_design("y ~ 1 + (1 | g)", table))
        >>> print(gram.discloses())  # doctest: +ELLIPSIS
        Whoever has this Gram can read:
        ...
        - g: the very rows of 1 levels that have one row only
        ...
        """
        return disclosure(self)

    @cached_property
    def plan(self) -> EliminationPlan:
        """The order of elimination, and the cross-products laid out for compiled code.

        Raises
        ------
        ArgumentError
            If related levels are nodes of a sparse precision.
        """
        if self.by_nodes:
            raise ArgumentError(
                "This takes a dense matrix of all levels that are related, of which there are many "
                "here: fit the model with border='dense', or ask about a model of fewer levels."
            )
        return build_plan(self)

    @cached_property
    def scales_plan(self) -> EliminationPlan:
        """A plan of the same working coordinates without any levels, where none is laid out yet."""
        latent = any(factor.latent is not None for factor in self.factors)
        if "plan" in vars(self) or (latent and not self.by_nodes):
            return self.plan
        factors = tuple(
            replace(f, within=f.within[:0], with_fixed=f.with_fixed[:0], latent=None, nodes=None)
            for f in self.factors
        )
        pairs = tuple(
            replace(pair, rows=pair.rows[:0], cols=pair.cols[:0], values=pair.values[:0])
            for pair in self.pairs
        )
        return build_plan(replace(self, factors=factors, pairs=pairs))

    @cached_property
    def n_border(self) -> int:
        """Columns that crossed factors leave, counted without laying anything out.

        Of related levels as nodes those of all factors: what a dense matrix would have at most.
        """
        if self.by_nodes:
            return self.n_effects
        return count_border(self)


def _require_gaussian(design: Design) -> None:
    if design.family.gaussian_scale is None:
        raise ArgumentError(
            f"Cross-products serve Gaussian responses, and the family is {design.family.name!r}: "
            "its likelihood needs the rows."
        )


def gram_of(design: ModelData) -> Gram:
    """Return a design's cross-products: those that it carries, or the sums over its rows.

    Parameters
    ----------
    design : ModelData
        The data.

    Returns
    -------
    Gram
        A `GramDesign`'s own; else computed anew, so whoever needs them twice keeps them, as a
        `Model` does. They are of rows as they are, whatever is said of the residuals.
    """
    carried = getattr(design, "gram", None)
    return (
        carried if isinstance(carried, Gram) else Gram.from_design(design.coded_rows, strata=False)
    )
