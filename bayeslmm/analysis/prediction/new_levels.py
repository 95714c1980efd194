"""Random effects of levels that no training row had: draws from N(0, G), the same in any order."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import ArgumentError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

AVERAGE, POPULATION = "average", "population"
POLICIES = ("error", POPULATION, "sample", AVERAGE)


@dataclass(frozen=True, slots=True)
class NewLevels:
    """Generator of the effects of a factor's new levels.

    A level's draws depend on the seed, the factor and the level's label only: not on the order of
    the rows, the other levels, the size of a chunk, or how many draws are kept.

    Attributes
    ----------
    factor : str
        Name of the grouping factor.
    roots : ndarray, shape (s, q, q)
        Lower triangular L with G = L L', one for each draw that is kept.
    kept : ndarray of int, shape (s,)
        Which of all draws are kept.
    total : int
        How many draws there are in all.
    seed : int
        The seed.
    """

    factor: str
    roots: NDArray[np.float64]
    kept: NDArray[np.intp]
    total: int
    seed: int

    def effects(self, labels: Sequence[str]) -> NDArray[np.float64]:
        """Draw b = L z for each label, shape (label, q, s)."""
        q = self.roots.shape[-1]
        effects = np.empty((len(labels), q, len(self.kept)))
        for position, label in enumerate(labels):
            normal = self._generator(label).standard_normal((self.total, q))[self.kept]
            effects[position] = np.einsum("sij,sj->is", self.roots, normal)
        return effects

    def _generator(self, label: str) -> np.random.Generator:
        # A counter-based generator keyed by the label costs the same for the millionth level.
        text = f"{self.seed}\x1f{self.factor}\x1f{label}".encode()
        key = np.frombuffer(hashlib.blake2b(text, digest_size=16).digest(), dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key))


def covariance_roots(cov: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lower triangular L with cov = L L' for positive semidefinite matrices.

    Parameters
    ----------
    cov : ndarray, shape (s, q, q)

    Returns
    -------
    ndarray, shape (s, q, q)
        A pivot that rounding left at or below zero gives a column of zeros, where LAPACK's
        Cholesky would refuse: draws with a zero standard deviation are legitimate.

    Examples
    --------
    >>> import numpy as np
    >>> covariance_roots(np.array([[[4.0, 2.0], [2.0, 1.0]]]))[0]
    array([[2., 0.],
           [1., 0.]])
    """
    root = np.zeros_like(cov)
    for j in range(cov.shape[-1]):
        column = cov[:, j:, j] - np.einsum("sik,sk->si", root[:, j:, :j], root[:, j, :j])
        # Relative to the variance itself: what is left of a singular matrix is rounding error.
        positive = column[:, 0] > 1e-14 * np.maximum(cov[:, j, j], 0)
        pivot = np.sqrt(np.where(positive, column[:, 0], 1.0))
        root[:, j:, j] = np.where(positive[:, None], column / pivot[:, None], 0.0)
    return root


def level_policies(new_levels: object, included: tuple[str, ...]) -> dict[str, str]:
    """Return what to do with unseen levels of each included factor.

    Raises
    ------
    ArgumentError
        When a policy or a factor is unknown.

    Examples
    --------
    >>> level_policies({"g": "sample"}, ("g", "h"))
    {'g': 'sample', 'h': 'error'}
    """
    if not isinstance(new_levels, Mapping):
        _check_policy(new_levels)
        return dict.fromkeys(included, str(new_levels))
    for name, policy in new_levels.items():
        _check_policy(policy)
        if name not in included:
            msg = (
                f"new_levels names {name!r}, which is not among the included grouping factors "
                f"({', '.join(included) or 'none'}).{nearest(str(name), included)}"
            )
            raise ArgumentError(msg)
    return {name: str(new_levels.get(name, "error")) for name in included}


def refuse_average(new_levels: object, what: str, way: str) -> None:
    """Raise where unseen levels' means would be averaged and something else is asked for.

    Parameters
    ----------
    new_levels : object
        A policy, or a mapping from factor to these.
    what : str
        What is asked for, as the caller wrote it.
    way : str
        What to write instead.

    Raises
    ------
    ArgumentError
        If a policy is ``"average"``.
    """
    policies = new_levels.values() if isinstance(new_levels, Mapping) else [new_levels]
    if any(isinstance(policy, str) and policy == AVERAGE for policy in policies):
        raise ArgumentError(
            f"new_levels={AVERAGE!r} averages expected responses over groups, and {what} is none: "
            f"{way}"
        )


def _check_policy(policy: object) -> None:
    if policy not in POLICIES:
        msg = (
            "new_levels is 'error', 'population', 'sample' or 'average', or a mapping from "
            f"grouping factors to these; it was {policy!r}.{nearest(str(policy), POLICIES)}"
        )
        raise ArgumentError(msg)
