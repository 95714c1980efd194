"""`Model`: everything that is assumed, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from bayeslmm import names
from bayeslmm.design.residual_rows import sigma_factors
from bayeslmm.families.parameters import variables_of
from bayeslmm.gram.border.choice import AUTO
from bayeslmm.gram.border.sparse.suited import suited_gram
from bayeslmm.gram.gram import gram_of
from bayeslmm.model.at_means import shifted
from bayeslmm.model.predictors import parameter_factors, predictors_of
from bayeslmm.model.priors.resolve import resolve_priors
from bayeslmm.model.residual.interpolation import products_of
from bayeslmm.model.residual.of_design import structured_residuals
from bayeslmm.model.residual.sigma_effects import require_closed_form

if TYPE_CHECKING:
    from typing import Self

    from bayeslmm.design.grouping import GroupingFactor
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.families.family import Family, FamilyParameter
    from bayeslmm.gram.gram import Gram
    from bayeslmm.model.priors.priors import Priors
    from bayeslmm.model.priors.resolve import PriorsLike
    from bayeslmm.model.residual.products import ResidualProducts
    from bayeslmm.model.residual.structured import StructuredResiduals


@dataclass(frozen=True, eq=False)
class Model:
    r"""A Bayesian mixed model of data at hand.

    .. math:: y_i \sim p(\cdot \mid \eta_i, \phi), \quad
              \eta = X \beta + \sum_k Z_k b_k + o, \quad b_{ki} \sim N(0, G_k)

    with the family's density p; for the Gaussian y = eta + e with e ~ N(0, R).

    Attributes
    ----------
    design : ModelData
        The data, coded: y, X, Z_k and levels, or their cross-products.
    priors : Priors
        Every prior: of beta, of each G_k's standard deviations and correlations, of sigma.
    told : Model, optional
        Of a model at its columns' means, the model as it was stated.
    border : str
        How effects are solved for, see `suited_gram`.

    Raises
    ------
    DataError
        If response and grouping factors cannot stand beside each other in a result tree.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> table = bl.load_dataset("dyestuff")
    >>> model = Model.of(bl.build_design("Yield ~ 1 + (1 | Batch)", table), {"sd": "Gamma(2, 0.1)"})
    >>> str(model.priors.factors[0].sd[0]), model.gram.n
    ('Gamma(alpha=2, beta=0.1)', 30)
    """

    design: ModelData
    priors: Priors
    told: Model | None = None
    border: str = AUTO

    def __post_init__(self) -> None:
        # Here and not where a tree is written, which is after sampling.
        factors = [factor.name for factor in self.design.factors]
        of_family = variables_of(self.design.family)
        parameters = [*of_family, *(dim for dim, _ in of_family.values() if dim)]
        if self.design.residual is not None:
            structure = self.structured_residual.without_effects
            parameters += [*structure.dims, *structure.coords]
        for predictor in predictors_of(self.design):
            in_tree = (predictor.variable, names.coef_dim(predictor.parameter.name))
            parameters += in_tree
        smooths = [term.name for term in self.design.formula.smooths]
        others = [factor.name for factor in self.parameter_factors]
        names.check_tree(self.design.response, factors, parameters, smooths, others)

    @classmethod
    def of(cls, design: ModelData, priors: PriorsLike | None = None, *, border: str = AUTO) -> Self:
        """Return the model of a design and of what a user says of its priors.

        Parameters
        ----------
        design : ModelData
            The data.
        priors : mapping, str, PriorScheme or Priors, optional
            See `resolve_priors`.
        border : {"auto", "dense", "sparse", "krylov"}
            How effects are solved for.

        Raises
        ------
        PriorError, NumericalError
            As `resolve_priors`.
        """
        return cls(design, resolve_priors(design, priors), border=border)

    @property
    def family(self) -> Family:
        """How a response is distributed given its linear predictor."""
        return self.design.family

    @property
    def family_parameters(self) -> list[FamilyParameter]:
        """The family's parameters but the sigma that a residual structure has instead."""
        structured = self.design.residual is not None
        return [p for p in self.family.parameters if not (structured and p.name == names.SIGMA)]

    @property
    def parameter_factors(self) -> tuple[GroupingFactor, ...]:
        """Grouping factors of random effects in parameters, sigma's first; `names.in_parameter`."""
        return parameter_factors(self.design)

    @property
    def sigma_factors(self) -> tuple[GroupingFactor, ...]:
        """Those of effects in the log(sigma) of a residual structure."""
        return sigma_factors(self.design.residual)

    @cached_property
    def at_means(self) -> Model:
        """The same model with random-effects columns less their means where the priors stand there.

        This is what is sampled: `Priors.raw_scales` and `Shift.raw_effects` lead back.
        """
        data = shifted(self.design, [factor.shift for factor in self.priors.factors])
        return self if data is self.design else replace(self, design=data, told=self)

    @property
    def stated(self) -> Model:
        """The model as it was stated, of which results speak."""
        return self.told or self

    @cached_property
    def gram(self) -> Gram:
        """The cross-products, summed when they are first needed: of rows as they are."""
        return suited_gram(self.design, self.border)

    @cached_property
    def dense_gram(self) -> Gram:
        """The same for what is compiled: related levels hang together in a dense matrix.

        Raises
        ------
        ArgumentError
            If there are too many.
        """
        return gram_of(self.design) if self.gram.by_nodes else self.gram

    @property
    def structured_residual(self) -> StructuredResiduals:
        """The covariance R of the residuals e, where it is more than one sigma."""
        if self.design.residual is None:
            raise ValueError("The residuals of this model are independent, with one sigma.")
        return structured_residuals(self.design.residual)

    @cached_property
    def products(self) -> ResidualProducts:
        """From R's parameters to the cross-products, where R is more than one sigma.

        Raises
        ------
        ArgumentError
            If sigma has random effects.
        """
        require_closed_form(
            self.design.residual, "This", "fit_bayes draws them beside all others, by NUTS."
        )
        return products_of(self.design, self.structured_residual)
