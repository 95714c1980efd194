"""`Shape`: correlations of positions in time as a function of parameters; one set for each arm."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bayeslmm import names
from bayeslmm.errors import DataError
from bayeslmm.model.residual.series import times_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.residual_rows import ResidualRows
    from bayeslmm.model.residual.entry import Entry


class Shape(Protocol):
    """The correlation matrix C(theta) of the positions in time that rows can have."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Its parameters."""
        ...

    @property
    def dims(self) -> Mapping[str, tuple[str, ...]]:
        """Dimensions of its variables in the result tree, after chain, draw and arm."""
        ...

    @property
    def coords(self) -> Mapping[str, tuple[str, ...]]:
        """Coordinates of those dimensions."""
        ...

    def variables(self, theta: Floats) -> dict[str, Floats]:
        """Name parameters, shape (..., m)."""
        ...

    def theta(self, variables: Mapping[str, Floats]) -> Floats:
        """Undo `variables`."""
        ...

    def starts(self, theta: Floats) -> list[Floats]:
        """Return parameters to begin searches from, around some, shape (m,)."""
        ...

    def correlations(self, theta: Floats, times: Floats) -> Floats:
        """Return C of some positions, shape (s, k, k), of parameters (s, m)."""
        ...


class PositionShape(Shape, Protocol):
    """A shape whose C is inverted for each set of positions that groups were observed at."""

    @property
    def times(self) -> Floats:
        """The positions, as rows have them, ascending; shape (T,)."""
        ...

    @property
    def stationary(self) -> bool:
        """Whether positions that are equally far apart are equally correlated."""
        ...

    def pull_back(self, theta: Floats, d_matrix: Floats) -> Floats:
        """Carry a symmetric gradient in C of all positions to the parameters, shape (m,)."""
        ...


@dataclass(frozen=True, eq=False)
class ByArm:
    """Parameters of one shape, or of one for each arm that groups belong to.

    Attributes
    ----------
    shapes : tuple of Shape
        One for each arm, of the same kind.
    arms : tuple of str
        Labels of the arms; none where all groups share one set of parameters.
    """

    shapes: tuple[Shape, ...]
    arms: tuple[str, ...]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Those of all arms; what names one for all arms names each."""
        if not self.arms:
            return self.shapes[0].entries
        return tuple(
            replace(entry, label=arm if entry.label is None else f"{arm},{entry.label}")
            for arm, shape in zip(self.arms, self.shapes, strict=True)
            for entry in shape.entries
        )

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """With the arms in front."""
        lead = (names.RESIDUAL_BY,) if self.arms else ()
        return {name: (*lead, *dims) for name, dims in self.shapes[0].dims.items()}

    @property
    def coords(self) -> dict[str, tuple[str, ...]]:
        """With the arms."""
        lead = {names.RESIDUAL_BY: self.arms} if self.arms else {}
        return {**lead, **self.shapes[0].coords}

    def variables(self, phi: Floats) -> dict[str, Floats]:
        """Name the parameters of all arms."""
        if not self.arms:
            return self.shapes[0].variables(phi)
        named = self.shapes[0].variables(self.by_arm(phi))
        return dict(named)

    def phi(self, variables: Mapping[str, Floats]) -> Floats:
        """Undo `variables`."""
        theta = self.shapes[0].theta(variables)
        return theta.reshape(*theta.shape[:-2], -1) if self.arms else theta

    def starts(self, phi: Floats) -> list[Floats]:
        """Return those of the shape, the same in all arms."""
        parts = self.by_arm(phi)
        found = [shape.starts(part) for shape, part in zip(self.shapes, parts, strict=True)]
        return [np.concatenate(together) for together in zip(*found, strict=True)]

    def by_arm(self, phi: Floats) -> Floats:
        """Split parameters (..., A m) into those of each arm, shape (..., A, m)."""
        return phi.reshape(*phi.shape[:-1], len(self.shapes), -1)

    def matrix(self, phi: Floats, rows: ResidualRows, some: Ints) -> Floats:
        """Return C of some rows of one group, shape (s, k, k)."""
        arm = self._arm_of(rows, int(some[0]))
        times = np.arange(float(len(some))) if rows.time is None else times_of(rows)[some]
        return self.shapes[arm].correlations(self.by_arm(phi)[:, arm], times)

    def _arm_of(self, rows: ResidualRows, row: int) -> int:
        if not self.arms or rows.by is None:
            return 0
        label = rows.by_labels[int(rows.by[row])]
        if label not in self.arms:
            raise DataError(
                f"Residuals of {label!r} were in no training row: the covariances are those of "
                f"{', '.join(self.arms)}."
            )
        return self.arms.index(label)
