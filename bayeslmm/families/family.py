"""What a response family answers: the protocol, with the equation that each verb satisfies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np

    from bayeslmm.arrays import Floats
    from bayeslmm.families.links import Link
    from bayeslmm.families.response import ResponseRule

# Draws of a family's parameters by name, or one value of each; of a parameter with labels these
# are the first axis, before what is broadcast.
type Parameters = Mapping[str, Floats | float]
# How E(y | eta, phi) follows from eta, h being `Family.mean_scale`: it is h^-1(eta); a(phi) +
# c(phi) h^-1(eta); or h^-1(eta) for large eta alone, and smooth within pi / 2 of the real line.
type MeanForm = Literal["link", "linear", "curved"]


@dataclass(frozen=True)
class FamilyParameter:
    """A parameter phi of a family beside the mean: a number, or one for each of some labels.

    Attributes
    ----------
    name : str
        As in result trees and in priors, e.g. ``"shape"``.
    meaning : str
        What it is, in a few words.
    prior : str or None
        Its default prior as text; None for a scale in the response's unit, whose prior is derived
        from the data.
    lower, upper : float
        Between which it lies.
    labels : tuple of str
        Of several numbers, what each is called; none of a single one.
    dim : str
        Of several numbers, their dimension in a result tree.
    below_response : bool
        Whether it lies below every response: its upper bound is the least of them, and its
        default prior uniform.
    """

    name: str
    meaning: str
    prior: str | None = None
    lower: float = 0.0
    upper: float = math.inf
    labels: tuple[str, ...] = ()
    dim: str = ""
    below_response: bool = False

    @property
    def entries(self) -> tuple[str, ...]:
        """Names of its numbers, such as ``("shape",)`` or ``("threshold[1|2]", ...)``."""
        return tuple(f"{self.name}[{label}]" for label in self.labels) or (self.name,)


class Family(Protocol):
    r"""Distribution of rows that are independent of each other given their linear predictors.

    .. math:: p(y \mid \eta) = \prod_i p(y_i \mid \eta_i, \phi, w_i), \quad
              \eta = X \beta + \sum_k Z_k b_k + o, \quad \mu_i = g^{-1}(\eta_i)

    Members are frozen values without state. `eta`, `y`, parameters and `known` are broadcast
    against each other, so rows may lie along any axis and draws along any other: eta of shape
    (n, s) goes with parameters (s,) and known (n, 1).

    `known` is what is known of the rows beside the predictor, see `ResponseRule.known`: weights w
    of the Gaussian, numbers of trials of the binomial; None stands for ones. Of censored responses
    it is the other end, see `bayeslmm.families.censored`; None stands for none censored.

    The PyMC form of a member stands in `bayeslmm.inference.graph.likelihood` and its compiled form
    in `bayeslmm.kernels`, because this room knows neither. Tests hold both to `log_density`.
    """

    @property
    def name(self) -> str:
        """How the family is called, e.g. ``"gaussian"``."""
        ...

    @property
    def link(self) -> Link:
        """The link g from mu to eta."""
        ...

    @property
    def links(self) -> tuple[str, ...]:
        """Names of the links that the family can have, its default first."""
        ...

    @property
    def parameters(self) -> tuple[FamilyParameter, ...]:
        """The parameters phi, in the order of compiled code; empty where there are none."""
        ...

    @property
    def response(self) -> ResponseRule:
        """What a response must be."""
        ...

    @property
    def gaussian_scale(self) -> Link | None:
        """The h for which h(y) ~ N(eta, sigma^2 / w): effects can be integrated out; or None."""
        ...

    @property
    def mean_scale(self) -> Link:
        """The h whose inverse the mean follows, see `mean_form`: mostly `link`."""
        ...

    @property
    def mean_form(self) -> MeanForm:
        """How the mean follows from `mean_scale`."""
        ...

    @property
    def level_scale(self) -> Link | None:
        """The h for which h(y) has eta as its mean, or median, under an identity link; or None."""
        ...

    @property
    def discrete(self) -> bool:
        """Whether responses are whole numbers, each of them with a probability of its own."""
        ...

    @property
    def atoms(self) -> tuple[float, ...]:
        """Of responses that are otherwise continuous, values with probabilities of their own."""
        ...

    @property
    def latent_at_mean(self) -> bool:
        """Whether `latent_variance` depends on the mean."""
        ...

    @property
    def log_concave(self) -> bool:
        """Whether log p(y | eta) is concave in eta for every y."""
        ...

    def mean(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute E(y | eta, phi), in the response's unit; for the binomial per trial.

        Parameters
        ----------
        eta : ndarray
            Linear predictors.
        phi : mapping of str to ndarray or float
            The family's parameters by name.

        Returns
        -------
        ndarray
            Of the arguments' common shape.
        """
        ...

    def mean_slope(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute d E(y | eta, phi) / d eta; arguments and shape as in `mean`."""
        ...

    def tells_level(self, y: Floats, /) -> Floats:
        """Return whether the density of each response depends on eta, as booleans of y's shape.

        That of a zero beyond a hurdle does not: default priors look at the other rows.
        """
        ...

    def variance(self, eta: Floats, phi: Parameters, known: Floats | None, /) -> Floats:
        """Compute Var(y | eta, phi), in the response's squared unit.

        Parameters
        ----------
        eta, phi
            As in `mean`.
        known : ndarray or None
            Weights or trials; ones where None.

        Returns
        -------
        ndarray
            Of the arguments' common shape; infinite where there is none.
        """
        ...

    def log_density(
        self, y: Floats, eta: Floats, phi: Parameters, known: Floats | None, /
    ) -> Floats:
        """Compute log p(y_i | eta_i, phi, w_i) of each row, every constant included.

        It integrates, or for a discrete response sums, to one over y. It is finite for every
        finite eta wherever y is possible: far out in the tails it neither overflows nor loses
        its digits.

        Parameters
        ----------
        y : ndarray
            Responses.
        eta, phi, known
            As in `variance`.

        Returns
        -------
        ndarray
            Of the arguments' common shape.
        """
        ...

    def cdf(self, y: Floats, eta: Floats, phi: Parameters, known: Floats | None, /) -> Floats:
        """Compute P(Y <= y | eta, phi); arguments and shape as in `log_density`."""
        ...

    def cdf_below(self, y: Floats, eta: Floats, phi: Parameters, known: Floats | None, /) -> Floats:
        """Compute P(Y < y | eta, phi); arguments and shape as in `log_density`."""
        ...

    def draw(
        self,
        eta: Floats,
        phi: Parameters,
        known: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw y ~ p(. | eta, phi, w), independently for each entry of eta.

        Its mean is `mean` (times the trials of a binomial) and its variance `variance`. Random
        numbers are taken in the order of eta's entries, so that rows drawn in chunks are those
        drawn at once.

        Parameters
        ----------
        eta : ndarray
            Linear predictors.
        phi, known
            As in `variance`; they must not broaden eta.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        ndarray
            Of eta's shape, of floats also where they are counts; eta is left as it is.
        """
        ...

    def latent_variance(self, mu: Floats, phi: Parameters, /) -> Floats:
        """Compute the variance of a row around eta on the link scale, for ICC and R2.

        Of yes and no, the variance of the latent response (pi^2 / 3 for logit, 1 for probit,
        pi^2 / 6 for cloglog); else as in Nakagawa, Johnson & Schielzeth (2017),
        doi:10.1098/rsif.2017.0213, at the mean mu: lognormal approximations for log links, the
        delta method for the beta, the rows' own variance where eta is their mean.

        Parameters
        ----------
        mu : ndarray
            Means on the response's scale at which to evaluate it.
        phi
            As in `mean`.

        Returns
        -------
        ndarray
            Of the arguments' common shape.
        """
        ...
