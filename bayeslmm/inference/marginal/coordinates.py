"""Scales on which a parameter can take any real value, with the volume that they change."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats


IDENTITY, LOG, FOLDED, ATANH, LOGIT, UPPER = "identity", "log", "folded", "atanh", "logit", "upper"
LOG_ARCSINH = "log-arcsinh"
# Beyond, exp(x) and what is computed from it overflow; such points have no posterior mass.
_FAR = 300.0
_CLOSEST = 1.0 - 1e-15


@dataclass(frozen=True)
class Coordinate:
    r"""One real coordinate of a parameter.

    ``"identity"``: x; ``"log"``: lower + exp(x); ``"upper"``: upper - exp(x); ``"logit"``: from
    (lower, upper); ``"atanh"``: tanh(x), from (-1, 1); ``"folded"``: abs(x), whose two signs share
    the density of one value, so that a density that ends high at zero is a hill around zero;
    ``"log-arcsinh"``: scale exp(sinh(bend x) / bend), see `sinh_exp`.

    Attributes
    ----------
    name : str
        The parameter, as in ``"sd_Subject[Days]"``.
    kind : str
        One of the seven.
    lower, upper : float
        Ends of the parameter's support.
    scale, bend : float
        Of a log-arcsinh scale.

    Examples
    --------
    >>> Coordinate("sigma", "log").value(np.array([0.0]))
    array([1.])
    >>> str(Coordinate("sigma", "log"))
    'log sigma'
    """

    name: str
    kind: str
    lower: float = 0.0
    upper: float = math.inf
    scale: float = 1.0
    bend: float = 1.0

    @property
    def bounded(self) -> bool:
        """Whether the parameter has an end that its coordinate has not."""
        return self.kind not in (IDENTITY, FOLDED)

    @classmethod
    def of_support(cls, name: str, lower: float, upper: float) -> Coordinate:
        """Choose the usual scale of a parameter with this support."""
        if math.isinf(lower):
            kind = IDENTITY if math.isinf(upper) else UPPER
        else:
            kind = LOG if math.isinf(upper) else LOGIT
        return cls(name, kind, lower, upper)

    def value(self, x: Floats) -> Floats:
        """Return the parameter at coordinates `x`, elementwise."""
        if self.kind == IDENTITY:
            return x
        if self.kind == FOLDED:
            return np.abs(x)
        if self.kind == ATANH:
            return np.clip(np.tanh(x), -_CLOSEST, _CLOSEST)
        if self.kind == LOGIT:
            return np.asarray(self.lower + (self.upper - self.lower) * expit(x))
        if self.kind == LOG_ARCSINH:
            return sinh_exp(x, self.scale, self.bend)
        away = np.exp(np.clip(x, -_FAR, _FAR))
        return np.asarray(self.lower + away if self.kind == LOG else self.upper - away)

    def coordinate(self, value: Floats) -> Floats:
        """Undo `value`; of a folded coordinate, the non-negative one."""
        if self.kind in (IDENTITY, FOLDED):
            return value
        if self.kind == ATANH:
            return np.arctanh(value)
        if self.kind == LOGIT:
            return np.asarray(logit((value - self.lower) / (self.upper - self.lower)))
        if self.kind == LOG_ARCSINH:
            return np.asarray(np.arcsinh(self.bend * np.log(value / self.scale)) / self.bend)
        return np.log(value - self.lower if self.kind == LOG else self.upper - value)

    def slope(self, x: Floats) -> Floats:
        """Return d value / d x."""
        if self.kind == IDENTITY:
            return np.ones_like(x)
        if self.kind == FOLDED:
            return np.where(x < 0, -1.0, 1.0)
        sign = -1.0 if self.kind == UPPER else 1.0
        return np.asarray(sign * np.exp(self.log_volume(x)))

    def log_volume(self, x: Floats) -> Floats:
        """Return log|d value / d x|, less log 2 where two coordinates share one value."""
        if self.kind == IDENTITY:
            return np.zeros_like(x)
        if self.kind == FOLDED:
            return np.full_like(x, -math.log(2.0))
        if self.kind == ATANH:
            return log_one_less_square(x)
        if self.kind == LOGIT:
            width = math.log(self.upper - self.lower)
            return width - np.abs(x) - 2.0 * np.log1p(np.exp(-np.abs(x)))
        if self.kind == LOG_ARCSINH:
            bent = self.bend * x
            log_cosh = np.abs(bent) + np.log1p(np.exp(-2.0 * np.abs(bent))) - math.log(2.0)
            return np.asarray(math.log(self.scale) + np.sinh(bent) / self.bend + log_cosh)
        return np.clip(x, -_FAR, _FAR)

    def log_volume_slope(self, x: Floats) -> Floats:
        """Return the derivative of `log_volume`."""
        if self.kind in (IDENTITY, FOLDED):
            return np.zeros_like(x)
        if self.kind == ATANH:
            return -2.0 * np.tanh(x)
        if self.kind == LOGIT:
            return np.asarray(1.0 - 2.0 * expit(x))
        if self.kind == LOG_ARCSINH:
            bent = self.bend * x
            return np.asarray(np.cosh(bent) + self.bend * np.tanh(bent))
        return np.ones_like(x)

    def __str__(self) -> str:
        return self.name if self.kind == IDENTITY else f"{self.kind} {self.name}"


def sinh_exp(u: Floats, scale: Floats | float, bend: Floats | float) -> Floats:
    r"""Return sds at real coordinates.

    .. math:: sd = s \exp(\sinh(c u) / c)

    For c to 0 that is s exp(u). For larger c the density of u falls like exp(-exp(c|u|) / 2c) on
    both sides where that of sd is flat at zero, or falls by a power of sd.

    Parameters
    ----------
    u : ndarray, shape (..., k)
        Real coordinates.
    scale : ndarray, shape (k,), or float
        The sd at zero, s.
    bend : ndarray, shape (k,), or float
        c > 0.

    Returns
    -------
    ndarray, shape (..., k)
        Standard deviations.

    Examples
    --------
    >>> sinh_exp(np.array([0.0, -1.0]), np.array([3.0, 1.0]), np.array([2.0, 2.0])).round(3)
    array([3.   , 0.163])
    """
    # Far to the right the result is infinite, which no posterior reaches.
    with np.errstate(over="ignore"):
        return np.asarray(scale * np.exp(np.sinh(bend * u) / bend))


def log_one_less_square(x: Floats) -> Floats:
    """Return log(1 - tanh(x)^2), right also where tanh(x) rounds to one."""
    return np.asarray(2.0 * (math.log(2.0) - np.abs(x) - np.log1p(np.exp(-2.0 * np.abs(x)))))
