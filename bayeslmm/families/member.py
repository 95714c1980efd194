"""What the members of the families have in common: a link that is chosen by its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from bayeslmm.errors import ArgumentError, nearest
from bayeslmm.families.links import LINKS, Link

if TYPE_CHECKING:
    from bayeslmm.families.family import Family, FamilyParameter


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
    latent_at_mean: ClassVar[bool] = False
    # What to do where another link is wished for.
    other_link: ClassVar[str] = ""

    def __init__(self, link: str | None = None) -> None:
        chosen = self.links[0] if link is None else link
        if chosen not in self.links:
            raise ArgumentError(self._no_such_link(chosen))
        object.__setattr__(self, "link", LINKS[chosen])

    @property
    def free(self) -> tuple[FamilyParameter, ...]:
        """What priors are on, and from which the parameters follow: the parameters themselves."""
        return cast("Family", self).parameters

    @property
    def mean_scale(self) -> Link:
        """The h for which h(E(y | eta, phi)) - eta is the same for every eta."""
        return self.link

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
