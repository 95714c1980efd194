"""What the members of the families have in common: a link that is chosen by its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bayeslmm.errors import ArgumentError, nearest
from bayeslmm.families.links import LINKS, Link

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Family, MeanForm, Parameters


@dataclass(frozen=True, init=False, repr=False)
class Member:
    """A frozen value that is its class and its link; equal where both are.

    Parameters
    ----------
    link : str, optional
        Name of the link, one of `links`; by default the first of them.

    Raises
    ------
    ArgumentError
        If the family does not have this link; names those that it has.
    """

    link: Link
    name: ClassVar[str]
    links: ClassVar[tuple[str, ...]]
    # The h for which h(y) is Gaussian given eta.
    gaussian_scale: ClassVar[Link | None] = None
    discrete: ClassVar[bool] = False
    atoms: ClassVar[tuple[float, ...]] = ()
    mean_form: ClassVar[MeanForm] = "link"
    latent_at_mean: ClassVar[bool] = False
    # What to do where another link is wished for.
    other_link: ClassVar[str] = ""

    def __init__(self, link: str | None = None) -> None:
        chosen = self.links[0] if link is None else link
        if chosen not in self.links:
            raise ArgumentError(self._no_such_link(chosen))
        object.__setattr__(self, "link", LINKS[chosen])

    @property
    def mean_scale(self) -> Link:
        """The h for which h(E(y | eta, phi)) - eta is the same for every eta."""
        return self.link

    def mean_slope(self: Family, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute d E(y | eta, phi) / d eta, by the scale on which means move as eta does."""
        scale = self.mean_scale
        if scale.name == self.link.name:
            return scale.derivative(eta)
        return scale.derivative(scale.link(self.mean(eta, phi)))

    @property
    def level_scale(self) -> Link | None:
        """The h on whose scale a response is compared with eta under an identity link."""
        return self.gaussian_scale

    def tells_level(self, y: Floats, /) -> Floats:
        """Return whether each response depends on eta: all of them."""
        return np.full(np.shape(y), fill_value=True)

    def cdf_below(
        self: Family, y: Floats, eta: Floats, phi: Parameters, known: Floats | None, /
    ) -> Floats:
        """Compute P(Y < y | eta, phi, w), less than `cdf` where y has a probability of its own."""
        if self.discrete:
            return self.cdf(y - 1.0, eta, phi, known)
        below = self.cdf(y, eta, phi, known)
        for atom in self.atoms:
            mass = np.exp(self.log_density(np.array(atom), eta, phi, known))
            below = below - np.where(y == atom, mass, 0.0)
        return np.maximum(below, 0.0)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(link={self.link.name!r})"

    def __reduce__(self) -> tuple[type[Member], tuple[str]]:
        # By names: other processes have functions of their own.
        return type(self), (self.link.name,)

    def _no_such_link(self, link: object) -> str:
        *others, last = map(repr, self.links)
        has = f"links {', '.join(others)} and {last}" if others else f"link {last} only"
        hint = nearest(str(link), self.links) if others else ""
        more = f" {self.other_link}" if self.other_link else ""
        return f"family={self.name!r} has the {has}; link was {link!r}.{hint}{more}"


POSITIVE_MEANS = (
    "Its means are positive, and under any other link normal effects would give some below zero."
)
