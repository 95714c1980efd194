"""The normal prior of the fixed effects on their original scale, where it can be integrated out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.model.priors.priors import Priors


def integrates_beta(priors: Priors) -> bool:
    """Return whether every fixed effect has a normal prior, so that all can be integrated out.

    Parameters
    ----------
    priors : Priors
        Every prior of the model.

    Returns
    -------
    bool
        True also where there are no fixed effects.
    """
    return all(prior.family == "Normal" for prior in priors.beta)


def normal_prior(priors: Priors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Compute mean and precision of beta on the original scale.

    The priors are independent for the intercept at the predictors' means and the coefficients;
    on the original scale the intercept is correlated with the rest:

    .. math:: S^{-1} = T' \, \mathrm{diag}(s)^{-2} \, T, \quad (T \beta)_0 = \beta_0 + c' \beta

    Parameters
    ----------
    priors : Priors
        With normal priors of all fixed effects; see `integrates_beta`.

    Returns
    -------
    mean : ndarray, shape (p,)
        In the response's unit per unit of the column.
    precision : ndarray, shape (p, p)
        Inverse of the prior covariance.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> design = bl.build_design("Yield ~ 1 + (1 | Batch)", bl.load_dataset("dyestuff"))
    >>> mean, precision = normal_prior(bl.resolve_priors(design, {"Intercept": "Normal(1500, 50)"}))
    >>> mean.tolist(), precision.tolist()
    ([1500.0], [[0.0004]])
    """
    numbers = np.array([prior.numbers for prior in priors.beta]).reshape(-1, 2)
    turn = np.eye(len(priors.beta))
    if priors.has_intercept:
        turn[priors.own_intercept, np.arange(len(turn))] += np.asarray(priors.centers)
    precision = turn.T @ (turn / numbers[:, 1, None] ** 2)
    return priors.raw_beta(numbers[:, 0]), precision
