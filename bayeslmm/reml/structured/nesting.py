"""Which residual structure is a special case of which."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import ArgumentError
from bayeslmm.formula.residual import KINDS
from bayeslmm.model.residual.scale import LogLinearSigma
from bayeslmm.reml.nested_effects import is_on_bound_of_ou, is_whole_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.design.model_data import FactorData
    from bayeslmm.formula.residual import Correlation
    from bayeslmm.model.residual.structured import StructuredResiduals
    from bayeslmm.reml.result import REMLFit

# Correlations, without their standard deviations, that each has for a special case.
_CONTAINS: Mapping[str, frozenset[str]] = {
    "us": frozenset({"cs", "toep", "ad", "ar1", "ou", "arma"}),
    "toep": frozenset({"cs", "ar1", "ou", "arma"}),
    "ad": frozenset({"ar1", "ou"}),
    "ar1": frozenset({"ou"}),
    "arma": frozenset({"ar1", "ou"}),
}
# Of these, those whose special cases need no equal distances between visits.
_ANY_DISTANCES = frozenset({"us", "ad"})
# Beside independent residuals, an Ornstein-Uhlenbeck process is on its bound, a range of zero.
_ON_BOUND = "ou"
_AT_ONE = "correlations among random effects"


def require_same_errors(small: REMLFit, large: REMLFit) -> None:
    """Raise where one of two fits has known standard errors that the other one does not know of.

    Raises
    ------
    ArgumentError
        With what can be compared.
    """
    one, other = _structure(small), _structure(large)
    if not _same_errors(one, other):
        raise ArgumentError(
            "The fits do not have the same known standard errors, so neither is nested in the "
            "other. Compare their `aic` or `bic`."
        )


def lacking_residuals(small: REMLFit, large: REMLFit) -> list[str]:
    """Describe what only the smaller of two models has in its residuals.

    Parameters
    ----------
    small, large : REMLFit
        Fits of the same rows.

    Returns
    -------
    list of str
        Nothing where the smaller one's R is a special case of the larger one's.

    Raises
    ------
    ArgumentError
        If only rows would tell, and there are cross-products.
    """
    if small.residual is None:
        independent = large.residual is None or large.residual.structure.n_scales > 0
        return [] if independent else ["sigma"]
    one, other = small.residual.structure, _structure(large)
    out = []
    if not _has_sigmas_of(one, other):
        out.append("the standard deviations of its residuals")
    own = one.rows.correlation
    theirs = None if other is None else other.rows.correlation
    if own is not None and not _is_special(own, theirs, one):
        out.append(f"the residuals' correlation {own}")
    return out


def on_bound(small: REMLFit, large: REMLFit) -> str:
    """Return in words what the smaller model puts on its bound; nothing where it puts nothing."""
    found = effects_on_bound(small.gram.factors, large.gram.factors)
    one, other = _structure(small), _structure(large)
    if other is not None:
        if one is not None and one.n_scales < other.n_scales and one.n_scales == 0:
            found.append("sigmas")
        theirs = other.rows.correlation
        none = one is None or one.rows.correlation is None
        if none and theirs is not None and theirs.kind == _ON_BOUND:
            found.append("ranges of the residuals' correlation")
    return bound_in_words(found)


def effects_on_bound(small: Sequence[FactorData], large: Sequence[FactorData]) -> list[str]:
    """Name the standard deviations and correlations that the smaller of two models puts at zero.

    No correlation is the bound of an Ornstein-Uhlenbeck process only.
    """
    own = {factor.name: factor for factor in small}
    whole = [is_whole_of(own[factor.name], factor) for factor in large if factor.name in own]
    one, other = (sum(len(factor.terms) for factor in factors) for factors in (small, large))
    other -= sum(max(count - 1, 0) for count in whole)
    found = ["standard deviations of random effects"] if one < other else []
    found += [_AT_ONE] * any(whole)
    if any(is_on_bound_of_ou(own[f.name], f) for f in large if f.name in own):
        found.append("correlations of random effects")
    return found


def bound_in_words(found: Sequence[str]) -> str:
    """Return what a test says of quantities on their bound; nothing of none."""
    if not found:
        return ""
    zeros = [what for what in found if what != _AT_ONE]
    clauses = [f"{' and '.join(zeros)} are on their bound, zero"] * bool(zeros)
    clauses += [f"{_AT_ONE} are on their bound, one"] * (_AT_ONE in found)
    return (
        f"In the smaller model {' and '.join(clauses)}: the p-value is too large rather than too "
        "small."
    )


def described(fit: REMLFit) -> str:
    """Return a fit's formula, with its residual structure where it has one."""
    return fit.formula if fit.residual is None else f"{fit.formula}; {fit.residual.name}"


def _structure(fit: REMLFit) -> StructuredResiduals | None:
    return None if fit.residual is None else fit.residual.structure


def _same_errors(one: StructuredResiduals | None, other: StructuredResiduals | None) -> bool:
    known = [None if structure is None else structure.rows.se for structure in (one, other)]
    if one is None or other is None or known[0] is None or known[1] is None:
        return known[0] is known[1]
    if one.rows.counts is None and other.rows.counts is None:
        return np.array_equal(known[0], known[1])
    # Sums of the same numbers in another order differ in their last digits.
    return bool(np.allclose(_sums(one), _sums(other), rtol=1e-9))


def _sums(structure: StructuredResiduals) -> tuple[float, float]:
    """Return the sums of se^2 and of log(se) over all rows."""
    rows = structure.rows
    assert rows.se is not None  # noqa: S101 - the caller looked
    logs = np.log(rows.se) if rows.log_se is None else rows.log_se
    return float(rows.se**2 @ rows.multiplicity), float(logs @ rows.multiplicity)


def _log_sigma_columns(structure: StructuredResiduals | None) -> Floats:
    """Return a basis of all values of log sigma that a structure's scale can have, by row."""
    if structure is None:
        return np.ones((1, 1))
    scale, cell = structure.scale, structure.cell
    if not structure.n_scales:
        return np.zeros((len(cell), 0))
    if isinstance(scale, LogLinearSigma):
        return np.column_stack([np.ones(len(cell)), scale.columns[cell]])
    return np.asarray(scale.sigma(np.eye(structure.n_scales)).T[cell])


def _has_sigmas_of(own: StructuredResiduals, other: StructuredResiduals | None) -> bool:
    """Return whether the second structure's scale can be whatever the first one's can."""
    summed = other is not None and not own.rows.counts is other.rows.counts is None
    if other is None or not summed or own.rows.sigma is None or other.rows.sigma is None:
        return _is_spanned(_log_sigma_columns(own), other)
    if set(own.rows.names) <= set(other.rows.names):
        return True
    raise ArgumentError(
        f"Whether sigma ~ {own.rows.sigma} is a special case of sigma ~ {other.rows.sigma} takes "
        "their columns row by row, and cross-products hold none. Write the larger one as the "
        "smaller one and more, as in '~ f' and '~ f + g', or compare their `aic`."
    )


def _is_spanned(own: Floats, other: StructuredResiduals | None) -> bool:
    theirs = _log_sigma_columns(other)
    if not own.shape[1]:
        return True
    if len(theirs) == 1:
        theirs = np.ones((len(own), 1))
    if not theirs.shape[1]:
        return False
    rest = own - theirs @ np.linalg.lstsq(theirs, own)[0]
    return bool(np.abs(rest).max() <= 1e-8 * max(1.0, float(np.abs(own).max())))


def _is_special(own: Correlation, theirs: Correlation | None, rows: StructuredResiduals) -> bool:
    if theirs is None or own.group != theirs.group or own.by not in (None, theirs.by):
        return False
    kind, other = (c.kind.removesuffix("h") for c in (own, theirs))
    if kind == "cs" and other in ("cs", "toep", "us"):
        return True
    if own.time != theirs.time or (kind != other and kind not in _CONTAINS.get(other, ())):
        return False
    if any(value > theirs.options.get(name, 0) for name, value in own.options.items()):
        # Of two ARMAs; a Toeplitz or unstructured matrix has room for any.
        return other in ("toep", "us")
    numbers = KINDS[own.kind] != "visits", KINDS[theirs.kind] != "visits"
    return other in _ANY_DISTANCES or numbers[0] == numbers[1] or _equal_distances(rows)


def _equal_distances(structure: StructuredResiduals) -> bool:
    """Return whether times are equally far from each other; visits count as such."""
    time = structure.rows.time
    if time is None or structure.rows.visits:
        return True
    gaps = np.diff(np.unique(time.astype(np.float64)))
    return bool(len(gaps) == 0 or np.ptp(gaps) <= 1e-9 * gaps.max())
