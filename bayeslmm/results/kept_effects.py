"""Which random effects a result keeps: every draw, mean and sd per level, or chosen levels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.design.factors.arms import own_effects
from bayeslmm.errors import ArgumentError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.design.model_data import FactorData, ModelData


DRAWS, MOMENTS = "draws", "moments"
EffectsLike = str | Mapping[str, str | Iterable[str]]


@dataclass(frozen=True)
class KeptEffects:
    """What to keep of each factor's random effects.

    Attributes
    ----------
    policies : mapping of str to str or tuple of int
        Factor -> ``"draws"``, ``"moments"``, or the places of the levels to keep.
    """

    policies: Mapping[str, str | tuple[int, ...]]

    @classmethod
    def of(cls, design: ModelData, effects: EffectsLike) -> KeptEffects:
        """Read what a user asked for.

        Parameters
        ----------
        design : ModelData
            The model.
        effects : str or mapping
            ``"draws"`` or ``"moments"`` for all factors, or factor -> one of the two or a
            sequence of level labels; factors that are not named keep their draws.

        Returns
        -------
        KeptEffects

        Raises
        ------
        ArgumentError
            For unknown words, factors or levels.
        """
        factors = {factor.name: factor for factor in design.factors}
        if isinstance(effects, str):
            # A smooth's curve is made of its draws, few as they are.
            word = _word(effects)
            return cls({name: DRAWS if names.is_smooth(name) else word for name in factors})
        if not isinstance(effects, Mapping):
            raise ArgumentError(
                f"effects must be 'draws', 'moments' or a mapping of factors, not {effects!r}."
            )
        if unknown := [
            name for name in effects if name not in factors or names.is_smooth(str(name))
        ]:
            raise ArgumentError(
                f"effects names {unknown[0]!r}, which is no grouping factor of this model "
                f"({', '.join(factors) or 'it has none'}).{nearest(str(unknown[0]), factors)}"
            )
        policies: dict[str, str | tuple[int, ...]] = dict.fromkeys(factors, DRAWS)
        for name, wanted in effects.items():
            policies[name] = (
                _word(wanted, name) if isinstance(wanted, str) else _places(factors[name], wanted)
            )
        return cls(policies)

    def levels(self, factor: FactorData) -> NDArray[np.str_]:
        """Return the labels whose draws are kept."""
        policy = self.policies[factor.name]
        return factor.levels if isinstance(policy, str) else factor.levels[list(policy)]


class EffectsStore:
    """Collects random effects batch by batch of draws, keeping only what was asked for.

    Parameters
    ----------
    design : ModelData
        The model.
    kept : KeptEffects
        What to keep.
    shape : tuple of int
        Numbers of chains and draws.
    rng : numpy.random.Generator
        For parametrizations that draw the effects after sampling.
    progressbar : bool
        Whether they may show their progress.
    back : sequence of callable, optional
        What leads from the effects that come to those that are kept, factor by factor; they are
        kept as they come if not given.
    """

    def __init__(
        self,
        design: ModelData,
        kept: KeptEffects,
        shape: tuple[int, int],
        *,
        rng: np.random.Generator,
        progressbar: bool = False,
        back: Sequence[Callable[[Floats], Floats]] | None = None,
    ) -> None:
        self.rng = rng
        self.progressbar = progressbar
        self._shape = shape
        self._back = back
        self._factors = design.factors
        self._kept = kept
        self._count = 0
        self._draws: dict[str, Floats] = {}
        self._mean: dict[str, Floats] = {}
        self._squares: dict[str, Floats] = {}
        total = shape[0] * shape[1]
        for factor in design.factors:
            q = len(factor.terms)
            if kept.policies[factor.name] == MOMENTS:
                self._mean[factor.name] = np.zeros((len(factor.levels), q))
                self._squares[factor.name] = np.zeros((len(factor.levels), q))
            else:
                self._draws[factor.name] = np.empty((total, len(kept.levels(factor)), q))

    def add(self, effects: list[Floats], places: NDArray[np.intp] | None = None) -> None:
        """Take the next draws of every factor's effects, shapes (count, m, q).

        `places` says which draws they are, where they do not come in order. Effects that a level
        does not have (`Arms`) become zero, whatever comes.
        """
        count = len(effects[0]) if effects else 0
        before, after = self._count, self._count + count
        where = slice(before, after) if places is None else places
        if self._back is not None:
            effects = [back(given) for back, given in zip(self._back, effects, strict=True)]
        for factor, drawn in zip(self._factors, effects, strict=True):
            batch = own_effects(factor, drawn)
            policy = self._kept.policies[factor.name]
            if policy == MOMENTS:
                self._add_moments(factor.name, batch, before, after)
            else:
                chosen = batch if isinstance(policy, str) else batch[:, np.array(policy)]
                self._draws[factor.name][where] = chosen
        self._count = after

    def _add_moments(self, name: str, batch: Floats, before: int, after: int) -> None:
        # Means and squares about the mean of two batches combine without cancellation.
        mean = batch.mean(axis=0)
        difference = mean - self._mean[name]
        self._squares[name] += np.square(batch - mean).sum(axis=0)
        self._squares[name] += difference**2 * (before * len(batch) / after)
        self._mean[name] += difference * (len(batch) / after)

    @property
    def keeps_moments_only(self) -> bool:
        """Whether no draw of any effect is kept."""
        return not self._draws

    def add_moments(
        self, means: Sequence[Floats], covariances: Sequence[Floats], count: int
    ) -> None:
        """Take means and covariances of every factor's effects in place of so many draws.

        Parameters
        ----------
        means : sequence of ndarray, shapes (m, q)
            Of the effects given some parameters.
        covariances : sequence of ndarray, shapes (m, q, q)
            Of the same.
        count : int
            Draws of the parameters that they stand for.
        """
        before, after = self._count, self._count + count
        backs = self._back or [_as_it_is] * len(self._factors)
        for factor, back, mean, covariance in zip(
            self._factors, backs, means, covariances, strict=True
        ):
            turn = back(np.eye(mean.shape[1]))  # of rows b: back(b) = b turn
            spread = np.einsum("ji,mjk,ki->mi", turn, covariance, turn)
            own, spread = own_effects(factor, back(mean)), own_effects(factor, spread)
            difference = own - self._mean[factor.name]
            self._squares[factor.name] += count * spread
            self._squares[factor.name] += difference**2 * (before * count / after)
            self._mean[factor.name] += difference * (count / after)
        self._count = after

    def levels(self) -> dict[str, NDArray[np.str_]]:
        """Return the labels of the levels whose draws are kept, by factor."""
        return {factor.name: self._kept.levels(factor) for factor in self._factors}

    def kept_in_part(self) -> tuple[str, ...]:
        """Return the factors of which only some levels are kept."""
        return tuple(
            factor.name
            for factor in self._factors
            if len(self._kept.levels(factor)) < len(factor.levels)
        )

    def posterior(self) -> dict[str, Floats]:
        """Return the kept draws as variables of the posterior."""
        return {
            names.effects(name): draws.reshape(*self._shape, *draws.shape[1:])
            for name, draws in self._draws.items()
        }

    def moments(self) -> dict[str, tuple[Floats, Floats]]:
        """Return mean and standard deviation per level, by factor, where they were asked for."""
        divisor = max(self._count - 1, 1)
        return {
            name: (mean, np.sqrt(self._squares[name] / divisor))
            for name, mean in self._mean.items()
        }


def _as_it_is(effects: Floats) -> Floats:
    return effects


def _word(effects: str, factor: str = "") -> str:
    if effects not in {DRAWS, MOMENTS}:
        if factor:
            raise ArgumentError(
                f"effects gives {effects!r} for {factor!r}, which is neither 'draws' nor "
                f"'moments'; levels are given as a list: {{{factor!r}: [{effects!r}]}}."
                + nearest(effects, (DRAWS, MOMENTS))
            )
        raise ArgumentError(
            f"effects={effects!r} is neither 'draws' nor 'moments'; levels are given as a "
            "mapping, e.g. {'Subject': ['308', '309']}." + nearest(effects, (DRAWS, MOMENTS))
        )
    return effects


def _places(factor: FactorData, wanted: Iterable[str]) -> tuple[int, ...]:
    where = {str(label): place for place, label in enumerate(factor.levels)}
    if not isinstance(wanted, Iterable):
        raise ArgumentError(f"effects gives {wanted!r} for {factor.name!r}: give a list of levels.")
    labels = [str(label) for label in wanted]
    if not labels:
        raise ArgumentError(
            f"effects names no level of {factor.name!r}. 'moments' keeps mean and sd of every "
            "level and no draws."
        )
    if missing := [label for label in labels if label not in where]:
        raise ArgumentError(
            f"effects asks for the level {missing[0]!r} of {factor.name!r}, which the data do not "
            f"have.{nearest(missing[0], list(where)[:1000])}"
        )
    return tuple(dict.fromkeys(where[label] for label in labels))
