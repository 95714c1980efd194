"""The result tree of one fit, and whether its draws are to be trusted; from any sampler."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.errors import NumericalError, SamplingWarning, warn
from bayeslmm.results.convergence import assess
from bayeslmm.results.kept_effects import EffectsStore
from bayeslmm.results.write import (
    build_tree,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.inference.settings import SamplerSettings
    from bayeslmm.model.model import Model
    from bayeslmm.results.kept_effects import KeptEffects
    from bayeslmm.results.write import UnconstrainedDraws


# Settings that are no numbers of the sampler's: they have attributes and groups of their own.
_ELSEWHERE = {"progressbar", "parametrization", "effects"}


def finish_tree(
    model: Model,
    free: UnconstrainedDraws,
    recover: Callable[[EffectsStore], Mapping[str, NDArray[np.float64]]],
    *,
    shape: tuple[int, int],
    settings: SamplerSettings,
    kept: KeptEffects,
) -> xr.DataTree:
    """Draw what the sampler did not, and lay everything out as the result tree.

    Parameters
    ----------
    model : Model
        What was fitted.
    free : UnconstrainedDraws
        What the sampler gave.
    recover : callable
        Puts the random effects in the store and gives the posterior's other variables.
    shape : (int, int)
        Chains and draws.
    settings : SamplerSettings
        As they were used.
    kept : KeptEffects
        Which random effects to keep.

    Returns
    -------
    xarray.DataTree
        As `build_tree` gives it, with the run's attributes.

    Raises
    ------
    NumericalError
        If draws are not finite numbers.

    Warns
    -----
    SamplingWarning
        See `warn_of_sampling_problems`.
    """
    # A stream of its own, so that effects drawn after sampling do not repeat the chains' numbers.
    rng = np.random.default_rng([settings.random_seed or 0, 1])
    priors = model.priors
    back = [factor.shift.raw_effects for factor in priors.factors]
    store = EffectsStore(
        model.design, kept, shape, rng=rng, progressbar=settings.progressbar, back=back
    )
    variables = priors.raw_scales(recover(store))
    _require_finite(variables)
    tree = build_tree(model.stated, variables, free, store)
    tree.attrs |= run_attributes(settings)
    warn_of_sampling_problems(tree)
    return tree


def _require_finite(variables: Mapping[str, NDArray[np.float64]]) -> None:
    """Raise where draws left the range of numbers: they would be NaN in every summary."""
    for name, values in variables.items():
        if not np.isfinite(values).all():
            raise NumericalError(
                f"The draws of {name} are not finite: numbers grew too large or too small to "
                "compute with. Rescale the response, the columns or the weights (a weight w means "
                "Var(e) = sigma^2 / w)."
            )


def each_batch[Batch](batches: Sequence[Batch], *, progressbar: bool) -> Iterable[Batch]:
    """Return batches of effects to be drawn in turn, with a bar where there is a wait to show.

    Parameters
    ----------
    batches : sequence
        A single one takes well under a second.
    progressbar : bool
        Whether anybody wants to see.

    Returns
    -------
    iterable
    """
    if not progressbar or len(batches) == 1:
        return batches
    from rich.progress import track  # noqa: PLC0415 - only who looks needs it

    return track(batches, "Drawing the effects", transient=True)


def run_attributes(settings: SamplerSettings) -> dict[str, Any]:
    """Write how a tree was sampled, for its root attributes.

    Parameters
    ----------
    settings : SamplerSettings
        As they were used.

    Returns
    -------
    dict
        Numbers and text that every file format can hold.
    """
    shown = {key: value for key, value in vars(settings).items() if key not in _ELSEWHERE}
    return {
        "parametrization": settings.parametrization,
        "sampler": settings.sampler,
        "random_seed": settings.random_seed,
        "settings": json.dumps(shown),
    }


def warn_of_sampling_problems(tree: xr.DataTree) -> None:
    """Warn, with advice, when diagnostics say that the draws should not be trusted as they are.

    Parameters
    ----------
    tree : DataTree
        A result.

    Warns
    -----
    SamplingWarning
        At the line outside the package that asked for the fit.
    """
    problems = assess(tree)
    if problems:
        text = "\n".join(f"- {problem.message} {problem.advice}" for problem in problems)
        warn(f"These draws should not be trusted as they are:\n{text}", SamplingWarning)
