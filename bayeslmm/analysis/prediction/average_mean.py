"""Means of responses averaged over normal effects on the scale of the link."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
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
    scale = family.mean_scale.name
    if scale == "identity":
        return family.mean(eta, phi)
    if family.mean_form != "curved":
        if scale == "log":
            return family.mean(eta + 0.5 * variance, phi)
        if scale == "probit":
            return family.mean(eta / np.sqrt(1.0 + variance), phi)
    return _trapezoid(family, eta, np.sqrt(variance), phi)


def _trapezoid(family: Family, eta: Floats, sd: Floats, phi: Parameters) -> Floats:
    """Sum over equally spaced points, more of them where the effect's sd is large."""
    strip = _STRIP.get(family.mean_scale.name, _NARROWEST)
    found = family.mean(eta, phi)
    whole = {name: np.broadcast_to(values, eta.shape) for name, values in phi.items()}
    # Of sds up to 1, 2, 4, ...: one wild draw does not make all others dear.
    sizes = np.ceil(np.log2(np.maximum(sd, 1.0)))
    for size in np.unique(sizes[sd > 0]):
        here = (sizes == size) & (sd > 0)
        centre, width = eta[here], sd[here]
        own = {name: values[here] for name, values in whole.items()}
        step = min(0.5, 2 * np.pi * strip / (DIGITS * 2.0**size))
        # Means that grow as exp(eta) move what counts by the sd.
        above = REACH + (2.0**size if family.mean_form == "curved" else 0.0)
        points = step * np.arange(-np.ceil(REACH / step), np.ceil(above / step) + 1)
        weights = np.exp(-0.5 * points**2)
        total = np.zeros_like(centre)
        for point, weight in zip(points, weights / weights.sum(), strict=True):
            total += weight * family.mean(centre + width * point, own)
        found[here] = total
    return found
