"""`Entry`: one parameter of a residual structure, as priors and result trees name it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.model.priors.prior import Prior


@dataclass(frozen=True)
class Entry:
    """A parameter that has a prior.

    Attributes
    ----------
    variable : str
        Its variable in the result tree, such as ``"sigma_by"``.
    label : str or None
        Its coordinate there; None where the variable is one number.
    lower, upper : float
        Between which it lies.
    default : str or None
        Its default prior as text; None for that of sigma.
    keys : tuple of str
        What else names its prior, from the more to the less specific.
    partials : tuple of float
        Of a correlation matrix under an LKJ prior with concentration eta: what the Beta priors of
        its partial correlations add to eta, one for each; see `CovarianceStructure.shape_offsets`.
    alone : bool
        Whether the variable's name is not a key of its prior, as of an intercept.
    """

    variable: str
    label: str | None = None
    lower: float = 0.0
    upper: float = math.inf
    default: str | None = None
    keys: tuple[str, ...] = ()
    partials: tuple[float, ...] = ()
    alone: bool = False

    @property
    def name(self) -> str:
        """How a prior of it is called, such as ``"sigma_by[Male]"``."""
        return self.variable if self.label is None else f"{self.variable}[{self.label}]"

    @property
    def all_keys(self) -> tuple[str, ...]:
        """Every key of its prior, the most specific first."""
        own = () if self.label is None or self.alone else (self.variable,)
        return tuple(dict.fromkeys((self.name, *own, *self.keys)))

    @property
    def is_matrix(self) -> bool:
        """Whether it is a correlation matrix, whose prior is an LKJ."""
        return bool(self.partials)

    @property
    def n_columns(self) -> int:
        """Of a matrix, the number of its columns: q, with q (q - 1) / 2 partial correlations."""
        return (1 + math.isqrt(1 + 8 * len(self.partials))) // 2


def coordinates(
    entries: Sequence[Entry], priors: Sequence[Prior]
) -> list[tuple[str, Prior | float]]:
    """Return the name and prior of each number that a structure's parameters consist of.

    Parameters
    ----------
    entries : sequence of Entry
        Of a structure.
    priors : sequence of Prior
        One for each.

    Returns
    -------
    list of (str, Prior or float)
        For a partial correlation the shape a of its prior 2 Beta(a, a) - 1.
    """
    out: list[tuple[str, Prior | float]] = []
    for entry, prior in zip(entries, priors, strict=True):
        if entry.is_matrix:
            eta = prior.numbers[0]
            out += [
                (f"partial_{entry.name}[{k}]", eta + offset)
                for k, offset in enumerate(entry.partials)
            ]
        else:
            out.append((entry.name, prior))
    return out


def by_variable(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Return the entries of each variable of a result tree, in the order of its elements.

    Examples
    --------
    >>> known = by_variable([Entry("a", "x"), Entry("b"), Entry("a", "y")])
    >>> {variable: len(own) for variable, own in known.items()}
    {'a': 2, 'b': 1}
    """
    out: dict[str, list[Entry]] = {}
    for entry in entries:
        out.setdefault(entry.variable, []).append(entry)
    return out


def draw_entries(
    entries: Sequence[Entry], priors: Sequence[Prior], size: int, rng: np.random.Generator
) -> Floats:
    """Draw a structure's parameters from their priors.

    Parameters
    ----------
    entries : sequence of Entry
        Of a structure.
    priors : sequence of Prior
        One for each.
    size : int
        Number of draws.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray, shape (size, number of numbers that the parameters consist of)
    """
    drawn = [np.zeros((size, 0))]
    for entry, prior in zip(entries, priors, strict=True):
        if entry.is_matrix:
            a = prior.numbers[0] + np.array(entry.partials)
            drawn.append(2.0 * rng.beta(a, a, (size, len(a))) - 1.0)
        else:
            drawn.append(prior.draw(size, rng)[:, None])
    return np.concatenate(drawn, axis=1)
