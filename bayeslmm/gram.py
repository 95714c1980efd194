"""`Gram`: the cross-products of a design, all that a Gaussian likelihood needs; a value that adds.

With rows scaled by sqrt(w), the blocks of W'W for W = [Z_1 ... Z_K X y]. They are kept in
well-conditioned coordinates, X = Xs R, y = Xs slope + r and Z_k = Zs_k M_k, where the columns of Xs
and Zs_k have mean square about one and are nearly orthogonal to each other over all rows: a column
with mean 1e6 and standard deviation 1 then loses no more digits than it would in a two-pass
computation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from scipy.linalg import solve_triangular

from bayeslmm.data_scales import scales_of
from bayeslmm.elimination_plan import EliminationPlan, build_plan
from bayeslmm.errors import DataError
from bayeslmm.gram_sums import pair_sums, reference_columns, sum_by_level, to_reference
from bayeslmm.gram_union import add_grams

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from bayeslmm.arrays import Blocks, Floats
    from bayeslmm.data_scales import DataScales
    from bayeslmm.design import Design, GroupingFactor
    from bayeslmm.design_state import DesignState
    from bayeslmm.disclosure import Disclosure


# Numbers in the levels' own cross-products of fixed effects: 16 MB.
_MOST_OWN = 2_000_000
_grams: WeakKeyDictionary[Design, Gram] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class GramFactor:
    """One grouping factor's names and cross-products.

    Attributes
    ----------
    name : str
        The factor.
    levels : ndarray of str, shape (m,)
        Its levels.
    terms : tuple of str, length q
        Names of its columns.
    blocks : tuple of tuple of int
        Columns that are correlated with each other.
    scale : ndarray, shape (q, q)
        Upper-triangular M with Z = Zs M.
    within : ndarray, shape (m, q, q)
        Zs_i' Zs_i for each level.
    with_fixed : ndarray, shape (m, q, p + 1)
        Zs_i' [Xs r] for each level.
    counts : ndarray of int64, shape (m,)
        Number of rows of each level.
    fixed : ndarray, shape (m, p + 1, p + 1), or None
        [Xs r]_i' [Xs r]_i for each level, which leaving out a level takes; None where they would
        take more than 16 MB.
    log_weights : ndarray, shape (m,), or None
        Sum of log w of each level's rows; None without weights.
    """

    name: str
    levels: NDArray[np.str_]
    terms: tuple[str, ...]
    blocks: Blocks
    scale: Floats
    within: Floats
    with_fixed: Floats
    counts: NDArray[np.int64]
    fixed: Floats | None = None
    log_weights: Floats | None = None


@dataclass(frozen=True, eq=False)
class PairBlocks:
    """Cross-products of two factors' columns, for the pairs of levels that share rows.

    Attributes
    ----------
    first, second : int
        The factors' places in `Gram.factors`, first < second.
    rows, cols : ndarray of int64, shape (n_pairs,)
        Levels of the first and of the second factor, in lexicographic order.
    values : ndarray, shape (n_pairs, q_first, q_second)
        Zs_i' Zs_j.
    """

    first: int
    second: int
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    values: Floats


@dataclass(frozen=True, eq=False)
class Gram:
    """Cross-products of a design's columns.

    ``a + b`` is the Gram of the rows of both; levels are matched by their labels.

    Attributes
    ----------
    response : str
        Name of the response.
    coef : tuple of str, length p
        Names of the fixed-effect columns.
    factors : tuple of GramFactor
        In the design's order.
    pairs : tuple of PairBlocks
        For each two factors.
    n : int
        Number of rows.
    sum_log_weights : float
        sum(log w), zero without weights.
    scale : ndarray, shape (p, p)
        Upper-triangular R with X = Xs R.
    slope : ndarray, shape (p,)
        Coefficients of Xs whose fitted values are subtracted from y.
    cross : ndarray, shape (p + 1, p + 1)
        [Xs r]' [Xs r].
    state : DesignState or None
        How the rows were coded, for rows to come.
    scales : DataScales or None
        Means and spreads of the columns, from which default priors are derived.

    Examples
    --------
    >>> from bayeslmm.design import build_design
    >>> table = {"y": [1.0, 2.0, 4.0, 3.0], "x": [0.0, 1.0, 0.0, 1.0], "g": ["a", "a", "b", "b"]}
    >>> gram = Gram.from_design(build_design("y ~ x + (1 | g)", table))
    >>> (gram.n, gram.coef, (gram + gram).n)
    (4, ('Intercept', 'x'), 8)
    """

    response: str
    coef: tuple[str, ...]
    factors: tuple[GramFactor, ...]
    pairs: tuple[PairBlocks, ...]
    n: int
    sum_log_weights: float
    scale: Floats
    slope: Floats
    cross: Floats
    state: DesignState | None = None
    scales: DataScales | None = None

    @classmethod
    def from_design(cls, design: Design) -> Gram:
        """Sum a design's cross-products in one pass over its rows.

        Parameters
        ----------
        design : Design
            Rows with a response.

        Returns
        -------
        Gram
            Their cross-products.

        Raises
        ------
        DataError
            If there are no rows, or a response, column or offset is not finite, or a weight is
            not positive.
        """
        root, y = _weighted_response(design)
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
            factors.append(_factor_sums(factor, Zs, fixed, M, root))
        return cls(
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
            sum_log_weights=0.0 if root is None else float(2.0 * np.log(root).sum()),
            scale=scale,
            slope=slope,
            cross=fixed.T @ fixed,
            state=design._state,
            scales=scales_of(design),
        )

    def __add__(self, other: Gram) -> Gram:
        """Pool the rows of two Grams of the same model; see `gram_union.add_grams`."""
        return add_grams(self, other) if isinstance(other, Gram) else NotImplemented

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the Gram to an npz file; the layout is described in `bayeslmm.gram_file`.

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
        >>> from bayeslmm.design import build_design
        >>> table = {"y": [1.0, 2.0, 4.0, 3.0], "g": ["a", "a", "b", "b"]}
        >>> gram = Gram.from_design(build_design("y ~ 1 + (1 | g)", table))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     gram.save(Path(folder) / "site.npz")
        ...     back = Gram.load(Path(folder) / "site.npz")
        >>> back.n, back.state == gram.state, bool((back.cross == gram.cross).all())
        (4, True, True)
        """
        from bayeslmm.gram_file import save_gram  # noqa: PLC0415 - it knows what a Gram is

        save_gram(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Gram:
        """Read a Gram that `save` wrote, to the last bit.

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
        from bayeslmm.gram_file import load_gram  # noqa: PLC0415 - it knows what a Gram is

        return load_gram(path)

    def discloses(self) -> Disclosure:
        """Say what whoever has this Gram can read of the rows.

        Sums over many rows tell little of one row, and sums over one row tell all of it.

        Returns
        -------
        Disclosure
            Print it, or see its ``factors``.

        Examples
        --------
        >>> from bayeslmm.design import build_design
        >>> table = {"y": [1.0, 2.0, 4.0, 3.0, 7.0], "g": ["a", "a", "b", "b", "c"]}
        >>> gram = Gram.from_design(build_design("y ~ 1 + (1 | g)", table))
        >>> print(gram.discloses())  # doctest: +ELLIPSIS
        Whoever has this Gram can read:
        ...
        - g: the very rows of 1 levels that have one row only
        ...
        """
        from bayeslmm.disclosure import disclosure  # noqa: PLC0415 - it knows what a Gram is

        return disclosure(self)

    @cached_property
    def origin(self) -> Floats:
        """Coefficients of X whose fitted values are subtracted from y: R^-1 slope."""
        return solve_triangular(self.scale, self.slope) if len(self.slope) else self.slope

    @cached_property
    def plan(self) -> EliminationPlan:
        """The order of elimination, and the cross-products laid out for compiled code."""
        return build_plan(self)


def gram_of(design: Design) -> Gram:
    """Give a design's cross-products, computed once while the design is in use.

    Parameters
    ----------
    design : Design
        The data.

    Returns
    -------
    Gram
        The same object at each call; a `GramDesign`'s own.
    """
    carried = getattr(design, "gram", None)
    if isinstance(carried, Gram):
        return carried
    if design not in _grams:
        _grams[design] = Gram.from_design(design)
    return _grams[design]


def _weighted_response(design: Design) -> tuple[Floats | None, Floats]:
    y = design.y if design.offset is None else design.y - design.offset
    if len(y) == 0:
        raise DataError("The design has no rows.")
    if not np.all(np.isfinite(y)):
        row = int(np.flatnonzero(~np.isfinite(y))[0])
        what = f"Response {design.response!r}"
        raise DataError(f"{what} (less its offset) is {y[row]} in row {row}; drop such rows first.")
    _require_finite_columns(design.X, design.coef, "Fixed-effect column")
    for factor in design.factors:
        kind = f"Random-effect column of factor {factor.name!r},"
        _require_finite_columns(factor.columns, factor.terms, kind)
    if design.weights is None:
        return None, y
    bad = np.flatnonzero(~((design.weights > 0.0) & np.isfinite(design.weights)))
    if len(bad):
        msg = (
            f"The weight of row {bad[0]} is {design.weights[bad[0]]:g}, and {len(bad)} of "
            f"{len(y)} weights are not positive finite numbers. A weight w means "
            "Var(e) = sigma^2 / w: drop rows that should not count."
        )
        raise DataError(msg)
    return np.sqrt(design.weights), y


def _project(
    X: Floats, Xs: Floats, y: Floats, root: Floats | None, scale: Floats
) -> tuple[Floats, Floats]:
    """Fit y by columns that are orthogonal but for rounding; return coefficients and residuals."""
    squares = np.einsum("ij,ij->j", Xs, Xs)
    slope = np.zeros(Xs.shape[1])
    # Weights come last here too: a weighted response with mean 1e6 would round its deviations.
    plain = Xs if root is None else to_reference(X, scale)
    # The level goes first: a response with mean 1e6 then keeps the digits of its deviations.
    for part in (slice(0, 1), slice(1, None)):
        weighted = y if root is None else y * root
        slope[part] = (Xs[:, part].T @ weighted) / np.where(squares[part] > 0, squares[part], 1.0)
        y = y - plain[:, part] @ slope[part]
    return slope, y if root is None else y * root


def _require_finite_columns(columns: Floats, names: tuple[str, ...], kind: str) -> None:
    total = columns.sum(axis=0)  # one pass; NaN and infinities survive a sum
    for name, value in zip(names, total, strict=True):
        if not np.isfinite(value):
            raise DataError(f"{kind} {name!r} has values that are not finite numbers.")


def _factor_sums(
    factor: GroupingFactor, Zs: Floats, fixed: Floats, M: Floats, root: Floats | None
) -> GramFactor:
    m, width = len(factor.levels), fixed.shape[1]
    within, with_fixed = sum_by_level(factor.index, Zs, fixed, m)
    own = None
    if m * width**2 <= _MOST_OWN:
        own, _ = sum_by_level(factor.index, fixed, fixed[:, :0], m)
    return GramFactor(
        name=factor.name,
        levels=factor.levels,
        terms=factor.terms,
        blocks=factor.blocks,
        scale=M,
        within=within,
        with_fixed=with_fixed,
        counts=np.bincount(factor.index, minlength=m),
        fixed=own,
        log_weights=None
        if root is None
        else 2.0 * np.bincount(factor.index, np.log(root), minlength=m),
    )
