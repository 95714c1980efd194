"""A family of the user's own: what functions say of it, and what nobody said."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.errors import ArgumentError
from bayeslmm.families.beta import FRACTIONS
from bayeslmm.families.binomial import SUCCESSES, ZERO_OR_ONE
from bayeslmm.families.gaussian import NUMBERS
from bayeslmm.families.links import LINKS, Link
from bayeslmm.families.response import COUNTS, POSITIVE, ResponseRule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import FamilyParameter, MeanForm, Parameters

# Kinds of responses, and whether they are whole numbers.
RESPONSES: Mapping[str, tuple[ResponseRule, bool]] = {
    "numbers": (replace(NUMBERS, known=None), False),
    "positive": (POSITIVE, False),
    "proportions": (FRACTIONS, False),
    "counts": (COUNTS, True),
    "binary": (ZERO_OR_ONE, True),
    "successes": (SUCCESSES, True),
}
# Half the width of central differences of means: their error is its square, and rounding over it.
_STEP = 1e-5
_REMEMBERED: dict[str, CustomFamily] = {}


@dataclass(frozen=True, repr=False)
class CustomFamily:
    """A family that functions of the user's describe; see `bayeslmm.custom_family`.

    Attributes
    ----------
    name : str
        How it is called.
    link : Link
        From eta to the mean, where no function says what the mean is.
    parameters : tuple of FamilyParameter
        Beside eta.
    kind : str
        A key of `RESPONSES`.
    log_concave : bool
        Whether the log-density is concave in eta; nothing relies on it but a choice of methods.
    logp : callable
        ``(y, eta, **parameters)`` -> tensor, as PyTensor writes it.
    density : callable
        The same of arrays.
    expected, spread, distribution, drawn : callable or None
        Mean, variance, distribution function and draws.
    """

    name: str
    link: Link
    parameters: tuple[FamilyParameter, ...]
    kind: str
    logp: Callable[..., Any]
    density: Callable[..., Floats]
    expected: Callable[..., Floats] | None = None
    spread: Callable[..., Floats] | None = None
    distribution: Callable[..., Floats] | None = None
    drawn: Callable[..., Floats] | None = None
    log_concave: bool = False

    def __repr__(self) -> str:
        return f"custom_family({self.name!r})"

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        # Links by their names; another process remembers the family as this one does.
        values = [getattr(self, field.name) for field in fields(self)]
        values[1] = self.link.name
        return _restored, tuple(values)

    @property
    def links(self) -> tuple[str, ...]:
        """The one link that it has."""
        return (self.link.name,)

    @property
    def response(self) -> ResponseRule:
        """What a response must be."""
        return RESPONSES[self.kind][0]

    @property
    def discrete(self) -> bool:
        """Whether responses are whole numbers."""
        return RESPONSES[self.kind][1]

    @property
    def gaussian_scale(self) -> Link | None:
        """None: effects are sampled."""
        return None

    @property
    def latent_at_mean(self) -> bool:
        """Whether `latent_variance`, which nobody tells, depends on the mean."""
        return False

    @property
    def mean_scale(self) -> Link:
        """The link; of a mean that is a function of the user's, no scale of a known name."""
        if self.expected is None:
            return self.link
        return Link("none", self.link.link, self.link.inverse, self.link.derivative)

    @property
    def mean_form(self) -> MeanForm:
        """That of a mean which is the link's inverse, or else averaged without knowing."""
        return "link" if self.expected is None else "linear"

    @property
    def level_scale(self) -> Link | None:
        """None: responses are compared with eta as they are."""
        return None

    @property
    def atoms(self) -> tuple[float, ...]:
        """None are known."""
        return ()

    def tells_level(self, y: Floats, /) -> Floats:
        """Return that each response depends on eta, as far as is known."""
        return np.full(np.shape(y), fill_value=True)

    def cdf_below(self, y: Floats, eta: Floats, phi: Parameters, known: Floats | None, /) -> Floats:
        """Compute `cdf` of the number before a whole one, and of others `cdf` itself."""
        return self.cdf(y - 1.0 if self.discrete else y, eta, phi, known)

    def mean(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute what `expected` says, or the link's inverse."""
        if self.expected is None:
            return self.link.inverse(eta)
        return self._numbers("mean", self.expected(eta, **phi), eta, phi)

    def mean_slope(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute the derivative of the mean, by central differences where it is a function."""
        if self.expected is None:
            return self.link.derivative(eta)
        up, down = self.mean(eta + _STEP, phi), self.mean(eta - _STEP, phi)
        return np.asarray((up - down) / (2 * _STEP))

    def variance(self, eta: Floats, phi: Parameters, known: Floats | None, /) -> Floats:
        """Compute what `spread` says; of yes and no it follows from the mean."""
        if self.spread is not None:
            found = self.spread(eta, **phi, **self._known(known, eta))
            return self._numbers("variance", found, eta, phi)
        if self.kind in {"binary", "successes"}:
            mean = self.mean(eta, phi)
            return np.asarray((1.0 if known is None else known) * mean * (1 - mean))
        raise self._lacks("variance")

    def log_density(
        self, y: Floats, eta: Floats, phi: Parameters, known: Floats | None, /
    ) -> Floats:
        """Evaluate `logp`."""
        return self.density(np.asarray(y), np.asarray(eta), **phi, **self._known(known, eta))

    def cdf(self, y: Floats, eta: Floats, phi: Parameters, known: Floats | None, /) -> Floats:
        """Compute what `distribution` says; of yes and no it follows from the mean."""
        if self.distribution is not None:
            found = self.distribution(y, eta, **phi, **self._known(known, eta))
            return self._numbers("cdf", found, eta, phi, y)
        if self.kind == "binary":
            below = 1 - self.mean(eta, phi)
            return np.asarray(np.where(y < 0, 0.0, np.where(y < 1, below, 1.0)))
        raise self._lacks("cdf")

    def draw(
        self,
        eta: Floats,
        phi: Parameters,
        known: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw what `drawn` says; of yes and no it follows from the mean."""
        if self.drawn is not None:
            found = self.drawn(eta, rng=rng, **phi, **self._known(known, eta))
            return self._numbers("draw", found, eta, phi).astype(float)
        if self.kind == "binary":
            return np.asarray((rng.random(eta.shape) < self.mean(eta, phi)).astype(float))
        if self.kind == "successes":
            trials = np.ones_like(eta) if known is None else np.broadcast_to(known, eta.shape)
            return rng.binomial(trials.astype(np.int64), self.mean(eta, phi)).astype(float)
        raise self._lacks("draw")

    def latent_variance(self, mu: Floats, phi: Parameters, /) -> Floats:  # noqa: ARG002
        """Raise: no function says what a row's variance is on the scale of the link."""
        raise ArgumentError(
            f"family {self.name!r} is one of your own, whose rows have no known variance on the "
            "scale of the link: take scale='observation'."
        )

    def _known(self, known: Floats | None, eta: Floats) -> dict[str, Floats]:
        name = self.response.known
        return {} if name is None else {name: np.ones_like(eta) if known is None else known}

    def _numbers(
        self, what: str, found: Any, eta: Floats, phi: Parameters, *others: Floats
    ) -> Floats:
        """Return what a function of the user's answered, one number for each row and draw."""
        shape = np.broadcast_shapes(np.shape(eta), *(map(np.shape, (*phi.values(), *others))))
        try:
            return np.broadcast_to(found, shape).copy()
        except ValueError:
            raise ArgumentError(
                f"{what}= of family {self.name!r} answered numbers of shape {np.shape(found)} "
                f"where {shape} was asked for: it has to work number by number."
            ) from None

    def _lacks(self, what: str) -> ArgumentError:
        return ArgumentError(
            f"family {self.name!r} is one of your own, and nothing says its {what}: give "
            f"custom_family(..., {what}=...) a function of arrays."
        )


def remember(family: CustomFamily) -> CustomFamily:
    """Let a family be found by its name in this process, instead of an earlier one of that name."""
    _REMEMBERED[family.name] = family
    return family


def remembered(name: str) -> CustomFamily | None:
    """Return the family of this name, or None."""
    return _REMEMBERED.get(name)


def _restored(name: str, link: str, *others: Any) -> CustomFamily:
    return remember(CustomFamily(name, LINKS[link], *others))
