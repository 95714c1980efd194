r"""Arms: ``gr(g, by=arm)`` gives the levels of each arm columns, and a covariance, of their own.

A level belongs to one arm. With :math:`z_i` the columns of row i in arm a,

.. math:: G = \bigoplus_a G_a, \quad b_l \sim N(0, G_{a(l)}),

so that the columns of all arms stand side by side, arm by arm, each zero in the rows of others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from bayeslmm.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats


class HasArms(Protocol):
    """A grouping factor, as far as its arms go."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def arms(self) -> Arms | None:
        """Which levels have which columns, where that differs."""
        ...


# Columns that vary over all levels, and levels of which no row has told their arm.
EVERYWHERE = UNTOLD = -1


@dataclass(frozen=True, slots=True)
class Arms:
    """The arms of a factor's levels, ``gr(g, by=arm)``, and the columns that each arm has.

    A level belongs to one arm. It has effects of that arm's columns, and of those that every level
    has; of other arms' columns it has none.

    Attributes
    ----------
    by : str
        The table's column of arms.
    labels : tuple of str
        Labels of the arms.
    columns : tuple of int, length q
        Each random-effect column's arm, `EVERYWHERE` where terms without ``by=`` have it.
    bases : tuple of str, length q
        What the column is called in an arm: ``"Intercept"`` for ``"arm[a]"``, and ``"x"`` for
        ``"arm[a]:x"``.
    levels : tuple of int, length m
        Each level's arm, `UNTOLD` where no row has told it yet.

    Examples
    --------
    >>> Arms("arm", ("a", "b"), (0, 1), ("Intercept", "Intercept"), (0, 0, 1)).holds
    array([[ True, False],
           [ True, False],
           [False,  True]])
    """

    by: str
    labels: tuple[str, ...]
    columns: tuple[int, ...]
    bases: tuple[str, ...]
    levels: tuple[int, ...]

    @property
    def holds(self) -> NDArray[np.bool_]:
        """Whether a level has an effect of a column, shape (m, q)."""
        columns, levels = np.array(self.columns), np.array(self.levels, dtype=np.int64)
        return np.asarray((columns == EVERYWHERE) | (columns == levels[:, None]))

    @property
    def level_labels(self) -> tuple[str, ...]:
        """Label of each level's arm, empty where it is not told."""
        return tuple("" if arm == UNTOLD else self.labels[arm] for arm in self.levels)

    def chosen(self, places: Sequence[int]) -> Self:
        """Return the arms of some levels."""
        return replace(self, levels=tuple(self.levels[place] for place in places))

    def told(self, labels: Sequence[str]) -> Self:
        """Return the arms with those of levels given by their labels."""
        place = {label: arm for arm, label in enumerate(self.labels)}
        return replace(self, levels=tuple(place.get(str(label), UNTOLD) for label in labels))

    def plain(self, *, levels: bool = True) -> dict[str, Any]:
        """Return the arms in JSON's types, with or without those of levels."""
        content = {name: getattr(self, name) for name in ("by", "labels", "columns", "bases")}
        return content | {"levels": self.level_labels if levels else None}

    @classmethod
    def of_plain(cls, content: Mapping[str, Any], levels: Sequence[str] | None = None) -> Self:
        """Return what `plain` gave; `levels` are labels of levels' arms that it was not given.

        Raises
        ------
        TypeError
            If columns are of arms that there are not.
        """
        labels, columns = tuple(map(str, content["labels"])), tuple(map(int, content["columns"]))
        bases = tuple(map(str, content["bases"]))
        if len(bases) != len(columns) or not {*columns} <= {EVERYWHERE, *range(len(labels))}:
            raise TypeError(f"columns of the arms {labels} are {columns}")
        arms = cls(str(content["by"]), labels, columns, bases, ())
        return arms.told(levels if levels is not None else content["levels"] or ())


def arms_of_levels(
    names: tuple[str, str],
    rows: tuple[NDArray[np.int64], NDArray[np.int64]],
    levels: Sequence[str],
    labels: Sequence[str],
    known: Sequence[int] = (),
) -> tuple[int, ...]:
    """Return the arm of each level, where all of its rows are in one.

    Parameters
    ----------
    names : tuple of str
        The grouping factor, and the column of arms.
    rows : tuple of ndarray of int64, shapes (n,)
        Each row's level, and each row's arm.
    levels, labels : sequence of str
        Labels of the levels, and of the arms.
    known : sequence of int
        Arms of the first levels, where rows that were read before have told them.

    Returns
    -------
    tuple of int

    Raises
    ------
    DataError
        Naming a level that is in two arms, and these.
    """
    index, codes = rows
    found = np.full(len(levels), UNTOLD)
    found[: len(known)] = known
    told = codes != UNTOLD
    fresh = np.flatnonzero(told & (found[index] == UNTOLD))[::-1]
    found[index[fresh]] = codes[fresh]  # backwards, so that each level has its first row's
    other = np.flatnonzero(told & (found[index] != codes))
    if len(other):
        level, arm = int(index[other[0]]), int(codes[other[0]])
        raise _in_two_arms(
            *names,
            levels[level],
            (labels[int(found[level])], labels[arm]),
            known=level < len(known) and known[level] != UNTOLD,
        )
    return tuple(found.tolist())


def _in_two_arms(
    factor: str, by: str, level: str, arms: tuple[str, str], *, known: bool
) -> DataError:
    if known:
        return DataError(
            f"The level {str(level)!r} of {factor!r} has {by!r} = {arms[1]!r} here, and had "
            f"{arms[0]!r} in the training rows, of which its effects are. Mend these rows, or call "
            "the level something else: then it is a new one."
        )
    return DataError(
        f"The level {str(level)!r} of {factor!r} is in two arms, {by!r} is {arms[0]!r} and "
        f"{arms[1]!r} in its rows: gr({factor}, by={by}) gives each arm a G, and a level has "
        f"effects of one. Where the same label means other levels in other arms, write "
        f"gr({by}:{factor}, by={by}); where levels are in several arms, (0 + {by} | {factor})."
    )


def own_effects(factor: HasArms, effects: Floats) -> Floats:
    """Return effects, shape (..., m, q), with zeros where a level has no effect of a column."""
    return effects if factor.arms is None else np.where(factor.arms.holds, effects, 0.0)


def own_covariances(factor: HasArms, covariances: Floats) -> Floats:
    """Return covariances of each level's effects, shape (m, q, q), with zeros likewise."""
    if factor.arms is None:
        return covariances
    holds = factor.arms.holds
    return np.where(holds[:, :, None] & holds[:, None, :], covariances, 0.0)


def check_arms(factor: HasArms, columns: Floats) -> None:
    """Raise unless every arm of a factor's levels has a variance to be estimated.

    Parameters
    ----------
    factor : GroupingFactor
        Of the training rows.
    columns : ndarray, shape (n, q)
        Its columns.

    Raises
    ------
    DataError
        If there is one arm only, an arm has one level, or a column is zero in all rows of an arm.
    """
    arms = factor.arms
    if arms is None:
        return
    require_several(factor.name, arms)
    largest = np.abs(columns).max(axis=0)
    for j in np.flatnonzero(largest == 0.0):
        raise DataError(
            f"The random-effect column {arms.bases[j]!r} of {factor.name!r} is zero in every row "
            f"of the arm {arms.labels[arms.columns[j]]!r} of {arms.by!r}: its effects change "
            f"nothing there. Leave {arms.bases[j]!r} out of the term."
        )


def require_several(factor: str, arms: Arms) -> None:
    """Raise unless there are several arms, each with several levels.

    Raises
    ------
    DataError
        Naming the arm.
    """
    if len(arms.labels) < 2:
        raise DataError(
            f"gr({factor}, by={arms.by}): every row has {arms.by!r} = {arms.labels[0]!r}, so that "
            f"there is one G. Write (... | {factor})."
        )
    counts = np.bincount(arms.levels, minlength=len(arms.labels))
    if counts.min() < 2:
        arm = arms.labels[int(counts.argmin())]
        has = "no level" if counts.min() == 0 else "one level only"
        raise DataError(
            f"The arm {arm!r} of {arms.by!r} has {has} of {factor!r}: there is no variance between "
            f"levels to estimate. Leave its rows out, join it with another arm, or write "
            f"(... | {factor})."
        )
