"""Random effects of levels that no training row had: from N(0, G), or given their relatives'."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky

from bayeslmm import names
from bayeslmm.errors import ArgumentError, nearest
from bayeslmm.gram.border.sparse.unseen import UnseenNodes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.model.covariance.bridge import Widened
    from bayeslmm.relationships.relationship import Relationship

# Labels of a known covariance beyond which it is not laid out as a matrix where nodes will do.
_MANY = 1000
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


@dataclass(frozen=True, slots=True)
class SomeColumns:
    """Some columns of the effects of a factor's new levels: those of one response of several.

    Attributes
    ----------
    whole : NewLevels
        Of all columns, with their correlations.
    places : tuple of int
        Which of them.
    """

    whole: NewLevels
    places: tuple[int, ...]

    def effects(self, labels: Sequence[str]) -> NDArray[np.float64]:
        """Draw b = L z for each label, shape (label, q, s)."""
        return self.whole.effects(labels)[:, list(self.places)]


@dataclass(frozen=True, eq=False)
class RelatedLevels:
    r"""Generator of the effects of levels that had no rows, given those that had.

    With d the levels of the fit and n those of the known covariance A that had no rows,

    .. math:: b_n \mid b_d \sim N(A_{nd} A_{dd}^{-1} b_d, \;
              (A_{nn} - A_{nd} A_{dd}^{-1} A_{dn}) \otimes G)

    given each draw of :math:`b_d` and G: such draws are of the joint posterior of all levels.

    Attributes
    ----------
    relationship : Relationship
        A.
    levels : tuple of str
        The levels that had rows; of none, effects are from N(0, A x G).
    effects_of_known : ndarray, shape (m, q, s)
        Draws of their effects.
    noise : NewLevels, SomeColumns or None
        Draws from N(0, G) by label, the same in any order; None for conditional means alone.

    References
    ----------
    Henderson, C. R. (1975). Best linear unbiased estimation and prediction under a selection
    model. Biometrics 31, 423-447. https://doi.org/10.2307/2529430
    """

    relationship: Relationship
    levels: tuple[str, ...]
    effects_of_known: Floats
    noise: NewLevels | SomeColumns | None

    def effects(self, labels: Sequence[str]) -> Floats:
        """Draw the effects of each label, or give their means, shape (label, q, s)."""
        at = self._places(labels)
        m, q, s = self.effects_of_known.shape
        flat = self.effects_of_known.reshape(m, q * s)
        nodes = self._nodes
        mean: Floats = np.zeros((len(at), q, s))
        if self.levels:
            weights = self._weights[at] if nodes is None else nodes.weights(at)
            mean = (weights @ flat).reshape(-1, q, s)
        if self.noise is None or not labels:
            return mean
        if nodes is not None:
            needed = nodes.needed(at)
            white = self.noise.effects([f"\x1e{nodes.rest[column]}" for column in needed])
            mixed = nodes.spread(at, needed, white.reshape(len(needed), -1))
            return mean + mixed.reshape(-1, *white.shape[1:])
        # Rows of a triangle: a level takes the noise of those before it in A's own order.
        last = int(at.max(initial=-1)) + 1
        white = self.noise.effects(self._rest[:last])
        mixed = self._root[at][:, :last] @ white.reshape(last, -1)
        return mean + mixed.reshape(-1, *white.shape[1:])

    def shares(self, labels: Sequence[str]) -> Floats:
        """Return each label's conditional variance in units of G, shape (label,)."""
        at = self._places(labels)
        if self._nodes is not None:
            return self._nodes.variances(at)
        return np.sum(self._root[at] ** 2, axis=1)

    def totals(self, labels: Sequence[str]) -> Floats:
        """Return each label's variance in units of G, whoever had rows, shape (label,)."""
        own, at = np.unique(labels, return_inverse=True)
        return self.relationship.level_map(own.tolist()).variances[at]

    def weights(self, labels: Sequence[str]) -> Floats:
        """Return the weights of the known levels' effects in each label's mean, (label, m)."""
        return self._weights[[self._rest.index(label) for label in labels]]

    def at_mean(self) -> Self:
        """Return the means of the effects alone, at the posterior mean of the known ones."""
        mean = self.effects_of_known.mean(axis=-1, keepdims=True)
        return replace(self, effects_of_known=mean, noise=None)

    def _places(self, labels: Sequence[str]) -> NDArray[np.int64]:
        """Return where labels stand among those of A without rows."""
        place = {label: k for k, label in enumerate(self._rest)}
        return np.array([place[label] for label in labels], dtype=np.int64)

    @cached_property
    def _nodes(self) -> UnseenNodes | None:
        """The same by nodes with a sparse precision, where A is large and has some."""
        if len(self.relationship) <= _MANY:
            return None
        nodes = self.relationship.nodes_of([*self.levels, *self._rest])
        return None if nodes is None else UnseenNodes(nodes, len(self.levels))

    @cached_property
    def _rest(self) -> list[str]:
        """Labels of A without rows, in its order."""
        known = set(self.levels)
        return [label for label in self.relationship.labels if label not in known]

    @cached_property
    def _blocks(self) -> tuple[Floats, Floats, Floats]:
        labels = [*self.levels, *self._rest]
        A, m = self.relationship.covariance_of(labels), len(self.levels)
        return A[:m, :m], A[m:, :m], A[m:, m:]

    @cached_property
    def _weights(self) -> Floats:
        known, across, _ = self._blocks
        if not self.levels:
            return across
        return np.asarray(cho_solve(cho_factor(known), across.T)).T

    @cached_property
    def _root(self) -> Floats:
        _, across, own = self._blocks
        left = own - self._weights @ across.T
        return np.asarray(cholesky((left + left.T) / 2.0, lower=True))


@dataclass(frozen=True, eq=False)
class BetweenPositions:
    """Generator of effects at positions that no training row had, given those at the others.

    Attributes
    ----------
    columns : Widened
        Where the fit's columns stand among all.
    G : ndarray, shape (s, q, q)
        Draws of the covariance of the fit's columns.
    noise : NewLevels or RelatedLevels
        Standard normals by label, one for each further column; those of levels with a known
        covariance have it.
    """

    columns: Widened
    G: Floats
    noise: NewLevels | RelatedLevels

    def effects(self, labels: Sequence[str], known: Floats) -> Floats:
        """Draw effects of all columns, (label, width, s), given those of the fit's, (label, q, s).

        A level's draws depend on the rows' positions, and not on the other levels.
        """
        return self.columns.effects(known, self.G, self.noise.effects(labels))

    def means(self, known: Floats) -> Floats:
        """Return the means of effects of all columns, (label, width, s), as `effects`."""
        shape = len(known), self.columns.n_new, known.shape[2]
        return self.columns.effects(known, self.G, np.zeros(shape))


@dataclass(frozen=True, eq=False)
class WidenedLevels:
    """Generator of new levels' effects at all positions.

    Attributes
    ----------
    levels : NewLevels or RelatedLevels
        At those that training rows had.
    beside : BetweenPositions
        At the others.
    """

    levels: NewLevels | RelatedLevels
    beside: BetweenPositions

    def effects(self, labels: Sequence[str]) -> Floats:
        """Draw the effects of each label, or give their means, shape (label, width, s)."""
        if isinstance(self.levels, RelatedLevels) and self.levels.noise is None:
            return self.beside.means(self.levels.effects(labels))
        return self.beside.effects(labels, self.levels.effects(labels))

    def variances(self, labels: Sequence[str], columns: Floats, whole: Floats) -> Floats:
        r"""Return the variance of z'b given the effects of levels that had rows, shape (label, s).

        .. math:: d \, z'Gz + (a - d) \, z'Wz

        with a a label's variance in A, d what is left of it given its relatives, and W what is left
        of G (all in `whole`) given the positions that training rows had.

        Parameters
        ----------
        labels : sequence of str
        columns : ndarray, shape (label, width)
            z.
        whole : ndarray, shape (s, width, width)
        """
        related = self.levels
        assert isinstance(related, RelatedLevels)  # noqa: S101 - others have nothing to go by
        share, total = related.shares(labels), related.totals(labels)
        left = columns**2 @ self.beside.columns.left(self.beside.G)
        every = np.einsum("rp,spq,rq->rs", columns, whole, columns)
        return np.asarray(share[:, None] * every + (total - share)[:, None] * left)


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


def level_policies(
    new_levels: object, included: tuple[str, ...], in_parameters: tuple[str, ...] = ()
) -> dict[str, str]:
    """Return what to do with unseen levels of each included factor.

    Effects in parameters, `in_parameters`, follow what is said of their grouping factor, unless
    they are named themselves.

    Raises
    ------
    ArgumentError
        When a policy or a factor is unknown.

    Examples
    --------
    >>> level_policies({"g": "sample"}, ("g", "h"))
    {'g': 'sample', 'h': 'error'}
    """
    known = (*included, *in_parameters)
    if not isinstance(new_levels, Mapping):
        _check_policy(new_levels)
        return dict.fromkeys(known, str(new_levels))
    for name, policy in new_levels.items():
        _check_policy(policy)
        if name not in {*known, *(names.apart(one)[1] for one in in_parameters)}:
            msg = (
                f"new_levels names {name!r}, which is not among the included grouping factors "
                f"({', '.join(known) or 'none'}).{nearest(str(name), known)}"
            )
            raise ArgumentError(msg)
    policies = {name: str(new_levels.get(name, "error")) for name in included}
    for name in in_parameters:
        same = new_levels.get(names.apart(name)[1], "error")
        policies[name] = str(new_levels.get(name, same))
    return policies


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
