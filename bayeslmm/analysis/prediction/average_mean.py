"""Means of responses, and probabilities, averaged over normal effects on the link's scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import ArgumentError
from bayeslmm.families.ordinal.discrimination import DISC
from bayeslmm.families.ordinal.ordered import Ordered
from bayeslmm.families.ordinal.sticks import THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from bayeslmm.analysis.prediction.factor_part import FactorPart
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Family, Parameters

REACH = 8.5  # standard deviations: the normal mass beyond is 2e-17
# A mean of this link has its nearest pole, or grows without bound, so far from the real line.
_STRIP = {"logit": np.pi, "cloglog": np.pi / 2, "log": np.pi / 2}
# Of a mean that is a function of the user's own.
_NARROWEST = np.pi / 2
DIGITS = 24.0  # the trapezoid rule's error is exp(-DIGITS) = 4e-11


def averaged_mean(family: Family, eta: Floats, variance: Floats, phi: Parameters) -> Floats:
    r"""Compute the expected response of a group that is drawn at random.

    .. math:: \int E(y \mid \eta + a, \phi) \, N(a; 0, v) \, da

    In closed form for means that are eta, its exponential or its normal probability, or shares of
    these; otherwise by
    the trapezoid rule, whose error for such integrands falls exponentially with the step: it takes
    as many points as Gauss and Hermite's for small variances, and stays exact for large ones.

    Parameters
    ----------
    family : Family
        How the response is distributed given eta.
    eta, variance : ndarray, shape (n, s)
        Linear predictors without the effect, and the variance v = z'Gz of what it adds.
    phi : mapping of str to ndarray, shape (s,)
        The family's parameters.

    Returns
    -------
    ndarray, shape (n, s)
        To an absolute error of 1e-10.

    References
    ----------
    Trefethen & Weideman (2014), SIAM Review 56(3):385-458, doi 10.1137/130932132, for the rule.
    Zeger, Liang & Albert (1988), Biometrics 44(4):1049-1060, doi 10.2307/2531734, for what such
    means are.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> eta, v = np.array([[1.0]]), np.array([[4.0]])
    >>> averaged_mean(bl.Bernoulli(), eta, v, {}).round(4), bl.Bernoulli().mean(eta, {}).round(4)
    (array([[0.6477]]), array([[0.7311]]))
    """
    if isinstance(family, Ordered):
        return averaged_over(family, family.mean, eta, variance, phi)
    scale = family.mean_scale.name
    if scale == "identity":
        return family.mean(eta, phi)
    if family.mean_form != "curved":
        if scale == "log":
            return family.mean(eta + 0.5 * variance, phi)
        if scale == "probit":
            return family.mean(eta / np.sqrt(1.0 + variance), phi)
    strip, grows = _STRIP.get(scale, _NARROWEST), family.mean_form == "curved"
    whole = {name: np.broadcast_to(values, eta.shape) for name, values in phi.items()}
    return _trapezoid(family.mean, eta, np.sqrt(variance), whole, strip, grows=grows)


def require_ordered(family: Family) -> Ordered:
    """Return a family of ordered categories.

    Raises
    ------
    ArgumentError
        If it is another one.
    """
    if not isinstance(family, Ordered):
        raise ArgumentError(
            "kind='probability' gives the probability of each category of an ordered response, and "
            f"the family of this fit is {family.name!r}: take kind='mean', its expected value."
        )
    return family


def ordered_probabilities(
    family: Family, eta: Floats, phi: Parameters, parts: Sequence[FactorPart], rows: slice
) -> Floats:
    """Return draws of P(Y = k | eta) of ordered categories, shape (rows, s, categories).

    Parameters
    ----------
    family : Family
        Of ordered categories.
    eta : ndarray, shape (rows, s)
        Linear predictors.
    phi : mapping of str to ndarray
        The thresholds.
    parts : sequence of FactorPart
        Random effects, over unseen levels of which probabilities are averaged where asked for.
    rows : slice
        Which rows they are.
    """
    member, variance = require_ordered(family), np.zeros_like(eta)
    for part in parts:
        if part.average is not None:
            part.add_variance_to(variance, rows)
    return np.moveaxis(averaged_over(member, member.probabilities, eta, variance, phi), 0, -1)


def averaged_over(
    family: Ordered,
    function: Callable[[Floats, Parameters], Floats],
    eta: Floats,
    variance: Floats,
    phi: Parameters,
) -> Floats:
    """Average a function of eta and thresholds as `averaged_mean` does the mean.

    Parameters
    ----------
    family : Ordered
        How the response is distributed given eta.
    function : callable
        Of (eta, phi), with values of shape (..., then as eta).
    eta, variance : ndarray, shape (n, s)
        As in `averaged_mean`.
    phi : mapping of str to ndarray, shape (labels, s)
        The thresholds, and discrimination as (n, s) where it has a formula.

    Returns
    -------
    ndarray, shape (..., n, s)
    """
    # Roots of the denominator come nearer to the real line with each category.
    n_cuts = len(np.asarray(phi[THRESHOLD]))
    strip = _STRIP.get(family.link.name, np.pi / 2) / (n_cuts if family.name == "acat" else 1)
    shape = (n_cuts, *eta.shape)
    own = {THRESHOLD: np.broadcast_to(np.asarray(phi[THRESHOLD])[:, None, :], shape)}
    if DISC in phi:
        own[DISC] = np.broadcast_to(phi[DISC], eta.shape)
        # Of a function of d eta everything is d times as narrow.
        strip /= max(1.0, float(np.max(own[DISC])))
    return _trapezoid(function, eta, np.sqrt(variance), own, strip)


def _trapezoid(
    function: Callable[[Floats, Parameters], Floats],
    eta: Floats,
    sd: Floats,
    phi: Mapping[str, Floats],
    strip: float,
    *,
    grows: bool = False,
) -> Floats:
    """Sum a function over equally spaced points; the last axes of phi and of values are eta's."""
    found = function(eta, phi)
    for here, points, weights in _by_size(sd, strip, grows=grows):
        centre, width = eta[here], sd[here]
        own = {name: values[..., here] for name, values in phi.items()}
        total = np.zeros((*found.shape[: found.ndim - eta.ndim], len(centre)))
        for point, weight in zip(points, weights, strict=True):
            total += weight * function(centre + width * point, own)
        found[..., here] = total
    return found


def _by_size(
    sd: Floats, strip: float, *, grows: bool
) -> Iterator[tuple[NDArray[np.bool_], Floats, Floats]]:
    """Yield where sds are of like size, with the points and weights that these ask for.

    There are more of them where the effect's sd is large.
    """
    # Of sds up to 1, 2, 4, ...: one wild draw does not make all others dear.
    sizes = np.ceil(np.log2(np.maximum(sd, 1.0)))
    for size in np.unique(sizes[sd > 0]):
        step = min(0.5, 2 * np.pi * strip / (DIGITS * 2.0**size))
        # Means that grow as exp(eta) move what counts by the sd.
        above = REACH + (2.0**size if grows else 0.0)
        points = step * np.arange(-np.ceil(REACH / step), np.ceil(above / step) + 1)
        weights = np.exp(-0.5 * points**2)
        yield (sizes == size) & (sd > 0), points, weights / weights.sum()
