"""Priors of the entries of one variable of a result tree, and their joint density."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.model.priors.lkj import lkj_log_density
from bayeslmm.model.priors.prior import LKJ

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.model.priors.prior import Prior


def by_variable(parameters: Mapping[str, Prior]) -> dict[str, list[Prior]]:
    """Return the priors of each variable of a result tree, in the order of its entries.

    Examples
    --------
    >>> from bayeslmm.model.priors.prior import Prior
    >>> prior = Prior.parse("Normal(0, 1)")
    >>> {k: len(v) for k, v in by_variable({"a[x]": prior, "a[y]": prior, "b": prior}).items()}
    {'a': 2, 'b': 1}
    """
    out: dict[str, list[Prior]] = {}
    for name, prior in parameters.items():
        out.setdefault(name.partition("[")[0], []).append(prior)
    return out


def log_density_of(priors: Sequence[Prior], values: Floats, *, single: bool) -> Floats:
    """Sum the log-densities of a variable's entries, over all but the dimensions of draws.

    `single` says that the variable is one number, or one matrix, without labels.
    """
    if priors[0].family == LKJ:
        apart = values[..., None, :, :] if single else values
        parts = [lkj_log_density(apart[..., k, :, :], p.numbers[0]) for k, p in enumerate(priors)]
        return np.asarray(np.sum(parts, axis=0))
    if single:
        return priors[0].log_density(values)
    n, used = values.ndim - 1, values.shape[-1]
    while used < len(priors):
        n -= 1
        used *= values.shape[n]
    return sum_log_density(tuple(priors), values.reshape(*values.shape[:n], len(priors)))


def sum_log_density(priors: tuple[Prior, ...], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum the log-densities of entries along the last axis, each under its own prior."""
    parts = [prior.log_density(x[..., k]) for k, prior in enumerate(priors)]
    return np.sum(parts, axis=0)
