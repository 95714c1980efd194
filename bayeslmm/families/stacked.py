"""Families of stacked rows: several responses of one observation, or several categories of one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.families.links import IDENTITY, LOGIT, Link
from bayeslmm.families.response import ResponseRule

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.families.family import Family, FamilyParameter, MeanForm, Parameters
    from bayeslmm.families.softmax import Multinomial

# Each response has been checked by its own family.
_ANY = ResponseRule("responses of their own families", lambda y, _: np.isfinite(y), "", "trials")


def of_response(parameter: str, response: str) -> str:
    """Name the parameter of one of several responses' families, as in ``shape_count``."""
    return f"{parameter}_{response}"


@dataclass(frozen=True, eq=False)
class OfResponses:
    """Families of several responses, each of its own rows; rows are the first axis of all verbs.

    Attributes
    ----------
    responses : tuple of str
        Their names.
    members : tuple of Family
        Their families.
    part : ndarray of int64, shape (n,)
        Each row's response.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> both = OfResponses(("y", "n"), (bl.Gaussian(), bl.Poisson()), np.array([0, 1]))
    >>> both.mean(np.array([-1.0, 0.0]), {"sigma_y": 2.0})
    array([-1.,  1.])
    """

    responses: tuple[str, ...]
    members: tuple[Family, ...]
    part: Ints = field(repr=False)
    response: ResponseRule = _ANY
    gaussian_scale: Link | None = None
    discrete: bool = False
    latent_at_mean: bool = True
    # Of rows whose families differ no compiled code makes use.
    log_concave: bool = False
    mean_form: MeanForm = "curved"
    level_scale: Link | None = None
    atoms: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """The families' names, one after the other."""
        return ", ".join(member.name for member in self.members)

    @property
    def link(self) -> Link:
        """What is named after the links; means are those of `mean`."""
        return replace(IDENTITY, name=", ".join(member.link.name for member in self.members))

    @property
    def mean_scale(self) -> Link:
        """As `link`."""
        return self.link

    @property
    def links(self) -> tuple[str, ...]:
        """The links as they are."""
        return (self.link.name,)

    @cached_property
    def parameters(self) -> tuple[FamilyParameter, ...]:
        """The parameters of all families, named after their responses."""
        return tuple(
            replace(parameter, name=of_response(parameter.name, response))
            for response, member in zip(self.responses, self.members, strict=True)
            for parameter in member.parameters
        )

    def own(self, k: int, phi: Parameters) -> dict[str, Floats | float]:
        """Return the parameters of one response by the names that its family has for them."""
        return {
            parameter.name: phi[of_response(parameter.name, self.responses[k])]
            for parameter in self.members[k].parameters
        }

    def mean(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute E(y | eta, phi) of each row."""
        out = np.empty_like(eta, dtype=np.float64)
        for k, member in enumerate(self.members):
            out[self.part == k] = member.mean(eta[self.part == k], self.own(k, phi))
        return out

    def mean_slope(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute d E(y | eta, phi) / d eta of each row."""
        out = np.empty_like(eta, dtype=np.float64)
        for k, member in enumerate(self.members):
            out[self.part == k] = member.mean_slope(eta[self.part == k], self.own(k, phi))
        return out

    def variance(self, eta: Floats, phi: Parameters, known: Floats | None, /) -> Floats:
        """Compute Var(y | eta, phi) of each row."""
        out = np.empty_like(eta, dtype=np.float64)
        for k, member in enumerate(self.members):
            rows = self.part == k
            out[rows] = member.variance(eta[rows], self.own(k, phi), self._known(k, known))
        return out

    def log_density(
        self, y: Floats, eta: Floats, phi: Parameters, known: Floats | None, /
    ) -> Floats:
        """Compute log p(y_i | eta_i, phi) of each row."""
        out = np.empty(np.broadcast_shapes(y.shape, eta.shape))
        for k, member in enumerate(self.members):
            rows, own = self.part == k, self.own(k, phi)
            out[rows] = member.log_density(y[rows], eta[rows], own, self._known(k, known))
        return out

    def cdf(self, y: Floats, eta: Floats, phi: Parameters, known: Floats | None, /) -> Floats:
        """Compute P(Y <= y | eta, phi) of each row."""
        out = np.empty(np.broadcast_shapes(y.shape, eta.shape))
        for k, member in enumerate(self.members):
            rows, own = self.part == k, self.own(k, phi)
            out[rows] = member.cdf(y[rows], eta[rows], own, self._known(k, known))
        return out

    def cdf_below(self, y: Floats, eta: Floats, phi: Parameters, known: Floats | None, /) -> Floats:
        """Compute P(Y < y | eta, phi) of each row."""
        out = np.empty(np.broadcast_shapes(y.shape, eta.shape))
        for k, member in enumerate(self.members):
            rows, own = self.part == k, self.own(k, phi)
            out[rows] = member.cdf_below(y[rows], eta[rows], own, self._known(k, known))
        return out

    def tells_level(self, y: Floats, /) -> Floats:
        """Return whether each response depends on eta."""
        out = np.empty(np.shape(y), dtype=bool)
        for k, member in enumerate(self.members):
            out[self.part == k] = member.tells_level(y[self.part == k])
        return out

    def draw(
        self,
        eta: Floats,
        phi: Parameters,
        known: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw each row's response, one response after the other."""
        out = np.empty_like(eta, dtype=np.float64)
        for k, member in enumerate(self.members):
            rows = self.part == k
            out[rows] = member.draw(eta[rows], self.own(k, phi), self._known(k, known), rng)
        return out

    def latent_variance(self, mu: Floats, phi: Parameters, /) -> Floats:
        """Compute the variance around eta on each row's link scale."""
        out = np.empty_like(mu, dtype=np.float64)
        for k, member in enumerate(self.members):
            out[self.part == k] = member.latent_variance(mu[self.part == k], self.own(k, phi))
        return out

    def _known(self, k: int, known: Floats | None) -> Floats | None:
        takes = self.members[k].response.known == "trials"
        return known[self.part == k] if takes and known is not None else None


@dataclass(frozen=True, eq=False)
class OfCategories:
    """A categorical or multinomial family, one row for each category but the reference.

    Rows are the first axis of all verbs, those of an observation together.

    Attributes
    ----------
    member : Multinomial
        The family.
    count : int
        How many categories there are beside the reference.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> three = OfCategories(bl.Categorical(), 2)
    >>> three.mean(np.log([2.0, 1.0, 1.0, 2.0]), {}).tolist()
    [0.5, 0.25, 0.25, 0.5]
    """

    member: Multinomial
    count: int
    link: Link = LOGIT
    gaussian_scale: Link | None = None
    discrete: bool = True
    latent_at_mean: bool = False
    # Concave in all predictors of an observation, of which no compiled code makes use.
    log_concave: bool = False
    mean_form: MeanForm = "curved"
    level_scale: Link | None = None
    atoms: tuple[float, ...] = ()
    parameters: tuple[FamilyParameter, ...] = ()

    @property
    def name(self) -> str:
        """That of the family."""
        return self.member.name

    @property
    def response(self) -> ResponseRule:
        """Counts."""
        return replace(self.member.response, known="trials")

    @property
    def links(self) -> tuple[str, ...]:
        """``("logit",)``."""
        return self.member.links

    @property
    def mean_scale(self) -> Link:
        """The logit."""
        return self.link

    def apart(self, rows: Floats) -> Floats:
        """Return what rows have, categories last: (m (K - 1), ...) as (m, ..., K - 1)."""
        return np.moveaxis(rows.reshape(-1, self.count, *rows.shape[1:]), 1, -1)

    def together(self, apart: Floats) -> Floats:
        """Undo `apart`."""
        rows = np.moveaxis(apart, -1, 1)
        return rows.reshape(-1, *rows.shape[2:])

    def totals(self, known: Floats | None, eta: Floats) -> Floats | None:
        """Return the totals of observations, of those of rows, to go with eta."""
        if known is None:
            return None
        return np.broadcast_to(self.apart(known)[..., 0], self.apart(eta).shape[:-1])

    def mean(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute the probability of each row's category."""
        return self.together(self.member.mean(self.apart(eta), phi))

    def mean_slope(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute p (1 - p), the derivative in the category's own predictor."""
        return self.variance(eta, phi, None)

    def variance(self, eta: Floats, phi: Parameters, known: Floats | None, /) -> Floats:
        """Compute n p (1 - p) of each row's category."""
        return self.together(self.member.variance(self.apart(eta), phi, self.totals(known, eta)))

    def log_density(
        self, y: Floats, eta: Floats, phi: Parameters, known: Floats | None, /
    ) -> Floats:
        """Compute the log-density of each observation, on its first row; zero on its others."""
        both = np.broadcast_arrays(y, eta)
        counts, predictors = (self.apart(one) for one in both)
        found = self.member.log_density(counts, predictors, phi, self.totals(known, both[1]))
        out = np.zeros(predictors.shape)
        out[..., 0] = found
        return self.together(out)

    def cdf(self, y: Floats, eta: Floats, phi: Parameters, known: Floats | None, /) -> Floats:
        """Raise: categories have no order."""
        return self.member.cdf(y, eta, phi, known)

    def cdf_below(self, y: Floats, eta: Floats, phi: Parameters, known: Floats | None, /) -> Floats:
        """Raise: categories have no order."""
        return self.member.cdf_below(y, eta, phi, known)

    def tells_level(self, y: Floats, /) -> Floats:
        """Return whether each count depends on eta: all of them."""
        return self.member.tells_level(y)

    def draw(
        self,
        eta: Floats,
        phi: Parameters,
        known: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw the counts of each row's category, those of an observation together."""
        drawn = self.member.draw(self.apart(eta), phi, self.totals(known, eta), rng)
        return self.together(drawn)

    def latent_variance(self, mu: Floats, phi: Parameters, /) -> Floats:
        """Return pi^2 / 3."""
        return self.member.latent_variance(mu, phi)
