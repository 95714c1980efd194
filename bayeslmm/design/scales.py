"""`DataScales`: what default priors read off the data, from all rows or merged over batches."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from bayeslmm import names
from bayeslmm.errors import DataError, NumericalError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bayeslmm.arrays import Blocks, Floats
    from bayeslmm.design.factors.arms import Arms


class Factor(Protocol):
    """What is described of a grouping factor; see `GroupingFactor`."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def columns(self) -> Floats:
        """Its columns, shape (n, q)."""
        ...

    @property
    def blocks(self) -> Blocks:
        """Sets of columns; of a smooth those of each curve."""
        ...

    @property
    def arms(self) -> Arms | None:
        """Which levels have which columns, where that differs."""
        ...


class Named(Protocol):
    """What a grouping factor is called, and its columns."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of its columns."""
        ...


class Scaled(Protocol):
    """What is asked of a design whose columns' sizes are checked."""

    @property
    def response(self) -> str:
        """Name of the response."""
        ...

    @property
    def coef(self) -> tuple[str, ...]:
        """Names of the fixed-effect columns."""
        ...

    @property
    def factors(self) -> Sequence[Named]:
        """The grouping factors."""
        ...

    @property
    def scales(self) -> DataScales:
        """Scales of the columns."""
        ...


class Rows(Protocol):
    """What is described of a design; see `Design`."""

    @property
    def responses_of_eta(self) -> tuple[Floats, Floats | None]:
        """Responses on the scale on which they vary around eta, and their offsets or None."""
        ...

    @property
    def X(self) -> Floats:  # noqa: N802 - the literature's name
        """Fixed-effect columns, shape (n, p)."""
        ...

    @property
    def coef(self) -> tuple[str, ...]:
        """Their names."""
        ...

    @property
    def factors(self) -> Sequence[Factor]:
        """The grouping factors."""
        ...

    @property
    def weights(self) -> Floats | None:
        """Weights, shape (n,), or None."""
        ...

    @property
    def offset(self) -> Floats | None:
        """Offset, shape (n,), or None."""
        ...


@dataclass(frozen=True, slots=True)
class ColumnScale:
    """Location and spread of a column; ``a + b`` is that of the rows of both.

    Attributes
    ----------
    n : int
        Number of values.
    mean : float
        Their mean.
    squares : float
        Sum of squared deviations from it.
    low, high : float
        Smallest and largest value.

    Examples
    --------
    >>> whole = ColumnScale.of(np.array([1.0, 2.0, 6.0]))
    >>> parts = ColumnScale.of(np.array([1.0])) + ColumnScale.of(np.array([2.0, 6.0]))
    >>> whole == parts, whole.sd(), round(whole.rms, 4)
    (True, 2.6457513110645907, 3.6968)
    """

    n: int
    mean: float
    squares: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Floats) -> Self:
        """Compute location and spread of some values in two passes over them."""
        if len(values) == 0:
            return cls(0, 0.0, 0.0, np.inf, -np.inf)
        low, high = float(values.min()), float(values.max())
        if low == high:  # deviations of a constant such as 0.1 would be rounding
            return cls(len(values), low, 0.0, low, high)
        mean = float(np.mean(values))
        return cls(len(values), mean, float(np.sum(np.square(values - mean))), low, high)

    def __add__(self, other: ColumnScale) -> Self:
        """Pool two batches: Chan, Golub & LeVeque (1983), doi:10.1080/00031305.1983.10483115."""
        n = self.n + other.n
        if not self.n or not other.n:
            whole = self if self.n else other
            return type(self)(n, whole.mean, whole.squares, whole.low, whole.high)
        step = other.mean - self.mean
        return type(self)(
            n,
            self.mean + step * (other.n / n),
            self.squares + other.squares + step * step * (self.n * (other.n / n)),
            min(self.low, other.low),
            max(self.high, other.high),
        )

    @property
    def largest(self) -> float:
        """The largest absolute value; 0 without any."""
        return max(abs(self.low), abs(self.high)) if self.n else 0.0

    @property
    def constant(self) -> bool:
        """Whether every value is the same."""
        return self.low == self.high

    @property
    def two_valued(self) -> bool:
        """Whether there are two values: then the spread is the largest that mean and range allow.

        Bhatia & Davis (2000), doi:10.2307/2589180, with equality.
        """
        if self.constant or self.n == 0:
            return False
        most = (self.high - self.mean) * (self.mean - self.low)
        # Rounding of the mean of a column such as 0/1 is some 1e-16 of its range.
        return abs(self.squares / self.n - most) <= 1e-12 * (self.high - self.low) ** 2

    def sd(self, ddof: int = 1) -> float:
        """Compute the standard deviation with divisor n - ddof; 0 for a constant or one value."""
        if self.n < 2 or self.constant:
            return 0.0
        return float(np.sqrt(self.squares / (self.n - ddof)))

    @property
    def rms(self) -> float:
        """The root mean square."""
        return float(np.hypot(self.mean, np.sqrt(self.squares / max(self.n, 1))))

    def scale(self, ddof: int = 1) -> float:
        """Compute the standard deviation, or the root mean square where it does not vary."""
        return self.sd(ddof) or self.rms


@dataclass(frozen=True, eq=False)
class DataScales:
    """The scales of a model's columns; ``a + b`` is those of the rows of both.

    Attributes
    ----------
    response : ColumnScale
        Of the response less its offset.
    observed : ColumnScale
        Of the response as it is.
    fixed : tuple of ColumnScale, length p
        Of the fixed-effect columns.
    random : tuple of tuple of ColumnScale
        Of each factor's columns; of those that differ by arm, of the column in all arms, so that
        priors do not differ by arm.
    weights : ColumnScale or None
        Of the weights, where there are any.
    root : ndarray, shape (p + 1, p + 1), or None
        Upper-triangular factor of [X 1]'[X 1] without weights; None where X has an intercept.
    """

    response: ColumnScale
    observed: ColumnScale
    fixed: tuple[ColumnScale, ...]
    random: tuple[tuple[ColumnScale, ...], ...]
    weights: ColumnScale | None
    root: Floats | None

    @classmethod
    def of(cls, design: Rows) -> Self:
        """Compute the scales of a design's columns.

        Examples
        --------
        >>> from bayeslmm.design.build import build_design
        >>> design = build_design("y ~ x + (1 | g)", {"y": [1, 2, 4, 3], "x": [0, 1, 0, 1],
        ...                                           "g": ["a", "a", "b", "b"]})
        >>> DataScales.of(design).response.mean
        2.5
        """
        y, offset = design.responses_of_eta
        observed = ColumnScale.of(y)
        has_intercept = names.INTERCEPT in design.coef
        with_ones = None if has_intercept else np.column_stack([design.X, np.ones(len(design.X))])
        return cls(
            response=observed if offset is None else ColumnScale.of(y - offset),
            observed=observed,
            fixed=tuple(map(ColumnScale.of, design.X.T)),
            random=tuple(map(_varying, design.factors)),
            weights=None if design.weights is None else ColumnScale.of(design.weights),
            root=None if with_ones is None else triangle(with_ones),
        )

    def __add__(self, other: DataScales) -> Self:
        """Return the scales of both batches of rows."""
        if (self.weights is None) != (other.weights is None):
            raise DataError("One batch of rows has weights and the other has none.")
        root = None
        if self.root is not None and other.root is not None:
            root = triangle(np.vstack([self.root, other.root]))
        return type(self)(
            response=self.response + other.response,
            observed=self.observed + other.observed,
            fixed=_pooled(self.fixed, other.fixed),
            random=tuple(map(_pooled, self.random, other.random)),
            weights=self.weights + other.weights if self.weights and other.weights else None,
            root=root,
        )

    def spanned_constant(self) -> Floats | None:
        """Compute coefficients a with X a = 1; None where the columns span no constant."""
        if self.root is None or len(self.root) == 1:
            return None
        R, n = self.root, self.response.n
        solution, *_ = np.linalg.lstsq(R[:, :-1], R[:, -1], rcond=None)
        missed = np.linalg.norm(R[:, :-1] @ solution - R[:, -1]) / np.sqrt(n)
        # Columns of 0 and 1 reproduce a constant to rounding; anything else misses it clearly.
        # What is left of a zero is rounding, with a sign that rounding decides.
        return np.where(np.abs(solution) < 1e-12, 0.0, solution) if missed < 1e-8 else None

    def keep(self, places: list[int]) -> Self:
        """Return the scales of some fixed-effect columns and of all else."""
        root = self.root
        if root is not None:
            root = triangle(root[:, [*places, -1]])
        fixed = tuple(self.fixed[j] for j in places)
        return type(self)(self.response, self.observed, fixed, self.random, self.weights, root)

    def to_dict(self) -> dict[str, Any]:
        """Return the scales in JSON's types; an undefined range is none."""
        content = asdict(self)
        content["root"] = None if self.root is None else self.root.tolist()
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return the scales that `to_dict` wrote."""

        def column(numbers: Mapping[str, Any]) -> ColumnScale:
            return ColumnScale(int(numbers["n"]), *(float(numbers[k]) for k in _NUMBERS))

        root = content["root"]
        return cls(
            response=column(content["response"]),
            observed=column(content["observed"]),
            fixed=tuple(map(column, content["fixed"])),
            random=tuple(tuple(map(column, factor)) for factor in content["random"]),
            weights=None if content["weights"] is None else column(content["weights"]),
            root=None if root is None else np.array(root, dtype=float).reshape(len(root), -1),
        )


# Beyond these, products of squares of two columns' quotients leave the range of numbers.
_LARGEST, _SMALLEST = 1e50, 1e-50


def check_magnitudes(model: Scaled) -> None:
    """Raise unless squares and quotients of all columns can be computed.

    Parameters
    ----------
    model : Design or GramDesign
        Its columns' names and scales.

    Raises
    ------
    NumericalError
        If a column's largest value is above 1e50, or below 1e-50 without being zero.
    """
    with np.errstate(all="ignore"):  # squares overflow on the way to saying so
        scales = model.scales
    columns = [(f"The response {model.response!r}", scales.observed)]
    columns += [
        (f"The fixed-effects column {name!r}", scale)
        for name, scale in zip(model.coef, scales.fixed, strict=True)
    ]
    for factor, varying in zip(model.factors, scales.random, strict=True):
        columns += [
            (f"The random-effects column {name!r} of {factor.name!r}", scale)
            for name, scale in zip(factor.terms, varying, strict=True)
        ]
    for what, scale in columns:
        largest = scale.largest
        if largest > _LARGEST or 0.0 < largest < _SMALLEST:
            raise NumericalError(
                f"{what} has {largest:.3g} as its largest absolute value, which cannot be squared "
                "without leaving the range of floating-point numbers: choose another unit."
            )


_NUMBERS = ("mean", "squares", "low", "high")


def triangle(columns: Floats) -> Floats:
    """Compute an upper-triangular square R with R'R = columns' columns."""
    width = columns.shape[1]
    upper = np.linalg.qr(columns, mode="r")
    return np.vstack([upper, np.zeros((width - len(upper), width))])


def _varying(factor: Factor) -> tuple[ColumnScale, ...]:
    if names.is_smooth(factor.name):
        return _of_smooth(factor)
    arms, columns = factor.arms, factor.columns
    if arms is None:
        return tuple(map(ColumnScale.of, columns.T))
    # Elsewhere an arm's columns are zero: summed over arms they are the column that was parted.
    of_base = {
        base: ColumnScale.of(columns[:, [name == base for name in arms.bases]].sum(axis=1))
        for base in dict.fromkeys(arms.bases)
    }
    return tuple(of_base[base] for base in arms.bases)


def _of_smooth(factor: Factor) -> tuple[ColumnScale, ...]:
    # One sd is of all columns of a curve together: of size 1, by a number times that. Curves of
    # levels have the size that the curve has over all rows.
    n = len(factor.columns)
    own = float(np.sum(factor.columns**2)) / max(n, 1) if len(factor.blocks) == 1 else 1.0
    size = 1.0 if abs(own - 1.0) < 1e-9 else own
    scales = map(ColumnScale.of, factor.columns.T)
    return tuple(ColumnScale(n, 0.0, size * (n - 1), x.low, x.high) for x in scales)


def _pooled(
    first: tuple[ColumnScale, ...], second: tuple[ColumnScale, ...]
) -> tuple[ColumnScale, ...]:
    return tuple(a + b for a, b in zip(first, second, strict=True))
