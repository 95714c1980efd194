"""`ModelData`: what a fit needs of its data, whether rows are at hand or cross-products only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from bayeslmm.arrays import Blocks
    from bayeslmm.design.design import Design
    from bayeslmm.design.factors.arms import Arms
    from bayeslmm.design.grouping import BlockStructure
    from bayeslmm.design.predictors import ParameterRows
    from bayeslmm.design.residual_rows import ResidualRows
    from bayeslmm.design.scales import DataScales
    from bayeslmm.design.stacked.stack import Stack
    from bayeslmm.design.state import DesignState
    from bayeslmm.families.family import Family
    from bayeslmm.formula.mixed_formula import MixedFormula
    from bayeslmm.relationships.level_map import LevelMap


class FactorData(Protocol):
    """A grouping factor, as far as it is known without rows."""

    @property
    def name(self) -> str:
        """``"Subject"``, or ``"a:b"`` for combinations."""
        ...

    @property
    def levels(self) -> NDArray[np.str_]:
        """Labels of the levels, shape (m,)."""
        ...

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the q columns whose effects vary over the levels."""
        ...

    @property
    def blocks(self) -> Blocks:
        """A partition of ``range(q)``: columns of a block are correlated with each other."""
        ...

    @property
    def structures(self) -> tuple[BlockStructure, ...]:
        """What is said of each block's covariance; none where nothing is said of any."""
        ...

    @property
    def latent(self) -> LevelMap | None:
        """T, where effects are T v of latent levels' v; None where levels are independent."""
        ...

    @property
    def arms(self) -> Arms | None:
        """Which levels have which columns, where that differs."""
        ...


@runtime_checkable
class ModelData(Protocol):
    r"""The data of a mixed model, coded.

    .. math:: y = X \beta + \sum_k Z_k b_k + o + e, \quad e_i \sim N(0, \sigma^2 / w_i)

    `Design` holds the rows; `GramDesign` holds their cross-products, which a Gaussian likelihood
    makes do with. What needs rows asks for `coded_rows`.
    """

    @property
    def formula(self) -> MixedFormula:
        """What was asked for."""
        ...

    @property
    def response(self) -> str:
        """Name of the response y."""
        ...

    @property
    def coef(self) -> tuple[str, ...]:
        """Names of the p columns of X."""
        ...

    @property
    def factors(self) -> tuple[FactorData, ...]:
        """Grouping factors, in the order in which the formula first names them."""
        ...

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """Weights w, shape (n,); None without any, and where they are in the cross-products."""
        ...

    @property
    def offset(self) -> NDArray[np.float64] | None:
        """Offset o, shape (n,); None without any, and where it is in the cross-products."""
        ...

    @property
    def residual(self) -> ResidualRows | None:
        """What is known of the residuals' scales, groups and times; None where nothing is."""
        ...

    @property
    def predictors(self) -> tuple[ParameterRows, ...]:
        """Predictors of the family's parameters that have formulas."""
        ...

    @property
    def stack(self) -> Stack[Design] | None:
        """Of several responses, which of them each row is of."""
        ...

    @property
    def family(self) -> Family:
        """How the response is distributed given the linear predictor."""
        ...

    @property
    def n(self) -> int:
        """Number of rows."""
        ...

    @property
    def state(self) -> DesignState:
        """What it takes to code new rows in the same way."""
        ...

    @property
    def scales(self) -> DataScales:
        """Means and spreads of the columns, from which default priors are derived."""
        ...

    @property
    def has_rows(self) -> bool:
        """Whether there are rows, or cross-products only."""
        ...

    @property
    def response_rows(self) -> NDArray[np.float64]:
        """The response, shape (n,), or (0,) where there are cross-products only."""
        ...

    @property
    def coded_rows(self) -> Design:
        """The design that holds the rows.

        Raises
        ------
        DataError
            If there are cross-products only.
        """
        ...

    def numbers(self) -> Iterator[NDArray[Any]]:
        """Iterate over all arrays that a fit sees, in one order: they tell its data from others."""
        ...
