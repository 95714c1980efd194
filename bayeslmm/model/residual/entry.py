"""`Entry`: one parameter of a residual structure, as priors and result trees name it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    """

    variable: str
    label: str | None = None
    lower: float = 0.0
    upper: float = math.inf
    default: str | None = None
    keys: tuple[str, ...] = ()
    partials: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """How a prior of it is called, such as ``"sigma_by[Male]"``."""
        return self.variable if self.label is None else f"{self.variable}[{self.label}]"

    @property
    def all_keys(self) -> tuple[str, ...]:
        """Every key of its prior, the most specific first."""
        own = () if self.label is None else (self.variable,)
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
