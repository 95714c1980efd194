"""The curves of smooths on a grid, their derivatives, and differences between levels' curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm import names
from bayeslmm.analysis.prediction.contrast_weights import contrast_weights
from bayeslmm.analysis.prediction.linear_predictor import design_state
from bayeslmm.design.columns.evaluate import evaluate
from bayeslmm.design.columns.memory import restore
from bayeslmm.design.smooths.transformation import SmoothTransformation
from bayeslmm.errors import ArgumentError, TreeError, names_keywords, nearest
from bayeslmm.formula.mixed_formula import parse_formula
from bayeslmm.formula.nodes import Variable
from bayeslmm.formula.tokens import quote
from bayeslmm.names import smooth_column
from bayeslmm.results import read
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from bayeslmm.analysis.prediction.fit_rows import FitRows
    from bayeslmm.arrays import Floats
    from bayeslmm.formula.smooth_terms import SmoothTerm

POINTS = 100
_DERIVATIVES = (0, 1, 2)


@dataclass(frozen=True, eq=False)
class DrawnSmooth:
    """A smooth of a result tree: how it is coded, and draws of its coefficients.

    Attributes
    ----------
    term : SmoothTerm
        As the formula has it.
    transformation : SmoothTransformation
        How the training rows coded it.
    curves : tuple of str, length m
        The levels of `by` that have a curve each; one empty text without any.
    fixed : ndarray, shape (chain, draw, m, u)
        Draws of the coefficients that are not penalised.
    penalized : ndarray, shape (chain, draw, m, q)
        Draws of those that are.
    """

    term: SmoothTerm
    transformation: SmoothTransformation
    curves: tuple[str, ...]
    fixed: Floats
    penalized: Floats

    def draws(self, x: Floats, derivative: int = 0) -> Floats:
        """Compute draws of the curves at x, or of a derivative, shape (chain, draw, m, n)."""
        line = [self.transformation.line(x, derivative)] if self.transformation.straight else []
        constant = np.full(len(x), float(derivative == 0))
        columns = [constant, *line] if self.fixed.shape[-1] > len(line) else line
        fixed = np.column_stack([np.empty((len(x), 0)), *columns])
        Z = self.transformation.penalized(x, derivative)
        return np.asarray(self.fixed @ fixed.T + self.penalized @ Z.T)

    def grid(self) -> Floats:
        """Return places over the training rows' range, shape (points,)."""
        return np.linspace(*self.transformation.reach, POINTS)


def smooth_terms(idata: xr.DataTree) -> dict[str, SmoothTerm]:
    """Return the smooths of a result by name.

    Raises
    ------
    TreeError
        If the model has none, or `idata` is no tree of this package.
    """
    read.require_tree(idata)
    terms = {term.name: term for term in parse_formula(str(idata.attrs["formula"])).smooths}
    if not terms:
        raise TreeError(
            f"{idata.attrs['formula']!r} has no smooth, and this question is about one: add a term "
            "such as s(x)."
        )
    return terms


def drawn_smooth(idata: xr.DataTree, smooth: str | None = None) -> DrawnSmooth:
    """Read a smooth of a result; without a name, the only one.

    Raises
    ------
    ArgumentError
        If there is no such smooth, or none is named and there are several.
    TreeError
        If the model has none, or `idata` is no tree of this package.
    """
    terms = smooth_terms(idata)
    chosen = smooth
    if smooth is None:
        if len(terms) > 1:
            raise ArgumentError(
                f"The model has {len(terms)} smooths: name one, as in "
                f"smooth={next(iter(terms))!r}. They are {', '.join(terms)}."
            )
        chosen = next(iter(terms))
    spelt = {str(term): name for name, term in terms.items()}
    chosen = spelt.get(str(chosen), str(chosen))
    if chosen not in terms:
        raise ArgumentError(
            f"{smooth!r} is no smooth of {idata.attrs['formula']!r}.{nearest(chosen, terms)} It "
            f"has: {', '.join(terms)}."
        )
    term = terms[chosen]
    state = design_state(idata)
    held = restore(state.transforms)[str(term)]
    levels = None if term.by is None else state.columns[term.by].levels
    curves = ("",) if levels is None else levels
    transformation = SmoothTransformation.of_plain(held)
    parts = ["linear"] if transformation.straight else []
    if term.by is not None and levels is None:
        parts = ["constant", *parts]
    penalized = read.all_effect_draws(idata, read.factor(idata, chosen))[:, :, 0]
    return DrawnSmooth(
        term=term,
        transformation=transformation,
        curves=curves,
        fixed=_fixed(idata, chosen, curves, parts),
        penalized=penalized.reshape(*penalized.shape[:2], len(curves), -1),
    )


def _fixed(idata: xr.DataTree, smooth: str, curves: Sequence[str], parts: Sequence[str]) -> Floats:
    """Return draws of coefficients, zeros for columns that others span and that were dropped."""
    coef, beta = read.coefficients(idata), read.draws(idata, names.BETA)
    fixed = np.zeros((*beta.shape[:2], len(curves), len(parts)))
    for m, curve in enumerate(curves):
        for u, part in enumerate(parts):
            name = f"{smooth}[{smooth_column(part, curve)}]"
            if name in coef:
                fixed[:, :, m, u] = beta[..., coef.index(name)]
    return fixed


@names_keywords
def smooth_curves(
    idata: xr.DataTree,
    smooth: str | None = None,
    *,
    at: Any = None,
    derivative: int = 0,
    contrasts: Any = None,
    reference: Any = None,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
) -> pd.DataFrame:
    r"""Describe the posterior of a smooth's curve, point by point.

    .. math:: f(x) = \alpha_1 (x - \bar{x}) + \sum_j Z_j(x) u_j

    on the scale of the linear predictor. Over the training rows' x it is zero on average (that of
    ``by=`` a number is not): where the response lies is what the intercept says, and
    `marginal_means` adds up all parts of the model.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    smooth : str, optional
        Its name, such as ``"s(x)"`` or ``"s(x, by=f)"``; the only one without it.
    at : sequence of float, optional
        Values of what is inside the smooth, log(x) of ``s(log(x))``; 100 evenly spaced ones over
        the training rows without it. Beyond these a curve goes on as a straight line.
    derivative : {0, 1, 2}
        Of which order; 0 is the curve itself, and True is 1.
    contrasts : str, mapping or matrix, optional
        Differences between the curves of ``by=`` levels instead of these: ``"pairwise"``,
        ``"reference"`` and all else that `marginal_means` takes. They are differences in shape,
        without that of the levels' means.
    reference : label, optional
        The level that ``contrasts="reference"`` compares with; the first without it.
    ci_prob : float
        Probability of each point's interval.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval.

    Returns
    -------
    DataFrame
        One row per curve and value: ``smooth``, ``level`` (or the contrast; empty where there is
        one curve), ``x``, then ``mean``, ``sd``, ``median`` and the interval, in the unit of the
        linear predictor, per unit of x to the power of `derivative`.

    Raises
    ------
    ArgumentError
        If there is no such smooth, or an argument makes no sense.
    TreeError
        If the model has no smooth, or `idata` is no tree of this package.

    References
    ----------
    Wood, S. N. (2017). Generalized Additive Models: An Introduction with R, 2nd ed.
    doi:10.1201/9781315370279

    Examples
    --------
    >>> import bayeslmm as bl
    >>> x = np.linspace(0.0, 6.0, 60)
    >>> noise = np.random.default_rng(1).normal(0.0, 0.3, 60)
    >>> idata = bl.fit_bayes("y ~ s(x)", {"y": np.sin(x) + noise, "x": x}, random_seed=1,
    ...                      parametrization="marginal", sampler="importance")
    >>> bl.smooth_curves(idata, at=[1.5, 4.5])[["smooth", "x", "mean"]].round(1)
      smooth    x  mean
    0   s(x)  1.5   1.0
    1   s(x)  4.5  -1.0
    """
    drawn = drawn_smooth(idata, smooth)
    x = drawn.grid() if at is None else checked_values(at)
    labels, values = curves_of(drawn, x, derivative, contrasts, reference)
    numbers = describe(values.reshape(*values.shape[:2], -1), ci_prob, ci_kind, diagnostics=False)
    table = pd.DataFrame(
        {
            "smooth": drawn.term.name,
            "level": np.repeat(np.array(labels, dtype=object), len(x)),
            "x": np.tile(x, len(labels)),
        }
    )
    return pd.concat([table, pd.DataFrame(numbers)], axis=1)


def curves_of(
    drawn: DrawnSmooth, x: Floats, derivative: int, contrasts: Any, reference: Any
) -> tuple[list[str], Floats]:
    """Return the curves' or their contrasts' labels, and draws, shape (chain, draw, m, n).

    Raises
    ------
    ArgumentError
        If the derivative is of another order, or there are no curves to compare.
    """
    if derivative not in _DERIVATIVES:
        raise ArgumentError(
            f"derivative is the order, 0, 1 or 2, of which 0 is the curve; it was {derivative!r}."
        )
    values = drawn.draws(x, int(derivative))
    if contrasts is None:
        if reference is not None:
            raise ArgumentError("reference goes with contrasts='reference'; leave it out.")
        return list(drawn.curves), values
    if drawn.curves == ("",):
        raise ArgumentError(
            f"contrasts compares the curves of levels, and {drawn.term.name} has one curve: fit "
            f"s({drawn.term.variable}, by=f), or leave contrasts= out."
        )
    labels, weights = contrast_weights(contrasts, drawn.curves, "contrasts", reference)
    return labels, np.einsum("cm,sdmn->sdcn", weights, values)


def checked_values(at: Any) -> Floats:
    """Return the values at which curves are asked for.

    Raises
    ------
    ArgumentError
        If they are no finite numbers.
    """
    try:
        x = np.atleast_1d(np.asarray(at, dtype=np.float64))
    except (TypeError, ValueError):
        x = np.full(1, np.nan)
    if x.ndim != 1 or not len(x) or not np.isfinite(x).all():
        raise ArgumentError(f"at is a list of finite numbers, such as [0, 1.5]; it was {at!r}.")
    return x


def training_values(drawn: DrawnSmooth, rows: FitRows) -> Floats | None:
    """Return what the training rows have inside a smooth, shape (n,); None without rows."""
    atom = next(inside for term, inside in rows.terms.smooths if term == drawn.term)
    if rows.columns is None:
        return None
    if isinstance(atom, Variable):
        return np.asarray(rows.columns[atom.name], dtype=np.float64)
    columns = {quote(name): np.asarray(rows.columns[name]) for name in atom.variables}
    return np.asarray(evaluate(atom, columns, restore(rows.state.transforms)), dtype=np.float64)
