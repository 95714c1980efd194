"""Whether a machine's memory holds what a fit would form, told before any work starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm.errors import ArgumentError
from bayeslmm.gram.border.limits import require_border
from bayeslmm.inference.settings import IMPORTANCE
from bayeslmm.resources import memory

if TYPE_CHECKING:
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.gram.gram import Gram
    from bayeslmm.inference.settings import SamplerSettings
    from bayeslmm.results.kept_effects import KeptEffects


def require_marginal_border(design: ModelData, gram: Gram) -> None:
    """Raise if the marginal form could not factor the border, with the form to use instead.

    Parameters
    ----------
    design : ModelData
        The model.
    gram : Gram
        Its cross-products.

    Raises
    ------
    ArgumentError
        As `require_border`.
    """
    require_border(
        gram,
        "parametrization='marginal'",
        "Use parametrization='noncentered', which forms no such matrix."
        if design.has_rows
        else "Without rows there is no other way: take a machine with more memory.",
    )


# What a sampler reserves for each step of a chain before the first one: two numbers at least.
_BYTES_A_STEP = 16


def require_steps(settings: SamplerSettings) -> None:
    """Raise unless memory holds what a sampler reserves for all steps, of tuning and of draws.

    Where it cannot be had, compiled samplers end the process instead of raising.

    Parameters
    ----------
    settings : SamplerSettings
        How to sample.

    Raises
    ------
    ArgumentError
        With the numbers to lower.
    """
    available = memory()
    tune = 0 if settings.sampler == IMPORTANCE else settings.tune
    needed = _BYTES_A_STEP * settings.chains * (settings.draws + tune)
    if available is not None and needed > available:
        raise ArgumentError(
            f"{settings.chains:,} chains of {tune:,} tuning steps and {settings.draws:,} draws "
            f"take {needed:,} bytes at least, and this machine has {available:,}. Lower chains, "
            "tune or draws: 4 chains of 1,000 and 1,000 are usual."
        )


def require_effects(design: ModelData, kept: KeptEffects, draws: int) -> None:
    """Raise if asked to keep more draws of random effects than memory holds.

    Parameters
    ----------
    design : ModelData
        The model.
    kept : KeptEffects
        What is to be kept.
    draws : int
        Of all chains.

    Raises
    ------
    ArgumentError
        If the kept draws alone would fill the memory.
    """
    numbers = sum(
        len(kept.levels(factor)) * len(factor.terms)
        for factor in design.factors
        if kept.policies[factor.name] != "moments"
    )
    available, needed = memory(), 8 * numbers * draws
    if available is not None and needed > available:
        raise ArgumentError(
            f"Keeping {draws:,} draws of {numbers:,} random effects takes {needed:,} bytes, and "
            f"this machine has {available:,}. Keep a mean and a standard deviation of each with "
            "effects='moments', or the draws of chosen levels with effects={'g': ['a', 'b']}."
        )
