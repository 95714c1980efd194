"""How to sample: the settings of every method, checked once."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import SamplingError, check_choice, nearest
from bayeslmm.gram.border.choice import AUTO as AUTO_BORDER
from bayeslmm.gram.border.choice import BORDERS, PROBES, check_probes
from bayeslmm.inference.parametrization import AUTO as AUTO_PARAMETRIZATION
from bayeslmm.resources import usable_cores
from bayeslmm.results.kept_effects import DRAWS

if TYPE_CHECKING:
    from bayeslmm.results.kept_effects import EffectsLike


# At the samplers' own 0.8, variance components near zero left divergences in most reference
# models, and at 0.9 in few: those are sampled once more, carefully. See docs/decisions.
DEFAULT_TARGET_ACCEPT, CAREFUL_TARGET_ACCEPT = 0.9, 0.98
# NUTS by either implementation; importance sampling; quadrature; a chain; the best for a model.
NUTPIE, PYMC, IMPORTANCE, QUADRATURE = "nutpie", "pymc", "importance", "quadrature"
LAPLACE_CHAIN, AUTO = "laplace_chain", "auto"
SAMPLER_NAMES = (NUTPIE, PYMC, IMPORTANCE, QUADRATURE, LAPLACE_CHAIN, AUTO)
# How exact chains are, for a result's record.
EXACT = "a Markov chain whose stationary distribution is the posterior"
# What samplers take as a seed or a count: the largest signed integer.
_MOST = 2**63 - 1


@dataclass(frozen=True)
class SamplerSettings:
    """How to sample; checked when built.

    Attributes
    ----------
    draws, tune, chains : int
        Kept draws and tuning steps per chain, and number of chains.
    cores : int or None
        Chains that run at a time; None for as many as the machine has cores.
    random_seed : int or None
        None draws one, which the result records.
    target_accept : float or None
        Mean acceptance rate that step sizes are tuned to; None stands for 0.9, and for 0.98 where
        draws of the non-centered form diverge at 0.9.
    sampler : str
        ``"nutpie"``, ``"pymc"``, ``"importance"``, ``"quadrature"``, ``"laplace_chain"`` or
        ``"auto"``.
    progressbar : bool
        Whether to show progress.
    parametrization : str
        How the model is written: ``"noncentered"``, ``"centered"``, ``"marginal"`` or ``"auto"``.
    effects : str or mapping
        Which random effects to keep; see `fit_bayes`.
    border : str
        How crossed effects are solved for: ``"auto"``, ``"dense"``, ``"sparse"`` or ``"krylov"``.
    probes : int
        Random probes that the last one begins with.

    Raises
    ------
    SamplingError
        For a value that cannot be sampled with.
    """

    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    cores: int | None = None
    random_seed: int | None = None
    target_accept: float | None = None
    sampler: str = AUTO
    progressbar: bool = True
    parametrization: str = AUTO_PARAMETRIZATION
    effects: EffectsLike = DRAWS
    border: str = AUTO_BORDER
    probes: int = PROBES

    def __post_init__(self) -> None:
        least = {"draws": 1, "tune": 0, "chains": 1, "cores": 1, "random_seed": 0}
        for name, lowest in least.items():
            value = getattr(self, name)
            if value is None and name in {"cores", "random_seed"}:
                continue
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise SamplingError(f"{name} must be a whole number, not {value!r}.")
            if value < lowest:
                raise SamplingError(f"{name} must be at least {lowest}, not {value}.")
            if value > _MOST:
                raise SamplingError(f"{name} must be at most {_MOST}, not {value}.")
            # NumPy's integers are none to JSON and to samplers.
            object.__setattr__(self, name, int(value))
        check_choice("border", self.border, BORDERS)
        check_probes(self.probes)
        if self.sampler == NUTPIE and self.tune == 0:
            raise SamplingError(
                "tune must be at least 1: nutpie's NUTS finds its step size while tuning, and 1000 "
                "steps are usual. sampler='importance' does without."
            )
        target: object = self.target_accept
        if target is not None:
            if not isinstance(target, float | np.floating) or not 0 < target < 1:
                raise SamplingError(f"target_accept must lie between 0 and 1, not {target!r}.")
            object.__setattr__(self, "target_accept", float(target))
        if self.sampler not in SAMPLER_NAMES:
            raise SamplingError(
                f"There is no sampler {self.sampler!r}; choose one of "
                f"{', '.join(map(repr, SAMPLER_NAMES))}."
                f"{nearest(str(self.sampler), SAMPLER_NAMES)}"
            )

    def resolved(self) -> SamplerSettings:
        """Fill in what was left open: seed, number of cores and acceptance rate."""
        seed = self.random_seed
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        cores = self.cores if self.cores is not None else usable_cores()
        return dataclasses.replace(
            self,
            random_seed=int(seed),
            cores=min(cores, self.chains),
            target_accept=self.target_accept or DEFAULT_TARGET_ACCEPT,
        )
