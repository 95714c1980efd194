"""Compile the numerical core before anybody waits for it.

::

    python -m bayeslmm.warm
    python -m bayeslmm.warm --families

The second way also compiles what responses that are not Gaussian take, in about twice as long.
Numba compiles the package's core once per machine and environment, some three quarters of a minute
of processor time, and keeps the result beside the package (or under ``NUMBA_CACHE_DIR``). Otherwise
the first fit pays for it. Where machine code was built (`bayeslmm.build_core`), nothing is
compiled, of either kind. PyMC's models are compiled apart, by PyTensor, when they are first built.
"""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any


def warm(*, families: bool = False) -> float:
    """Fit small models in every way that the compiled core serves.

    Parameters
    ----------
    families : bool
        Whether to fit responses that are not Gaussian, too.

    Returns
    -------
    float
        The seconds that it took: next to none where everything was compiled already.

    Examples
    --------
    >>> warm() > 0.0
    True
    """
    # Imported here, so that the time of the imports is told too.
    from bayeslmm.inference.fit import fit_bayes  # noqa: PLC0415
    from bayeslmm.kernels.target import target_function  # noqa: PLC0415
    from bayeslmm.reml.fit import fit_reml  # noqa: PLC0415
    from bayeslmm.tables.datasets import load_dataset  # noqa: PLC0415

    start = time.perf_counter()
    formula, data = "diameter ~ 1 + (1 | plate) + (1 | sample)", load_dataset("penicillin")
    # First: it is where a second process can help.
    target_function()
    _ = fit_reml(formula, data).random_effects
    fit_bayes(
        formula,
        data,
        parametrization="marginal",
        sampler="importance",
        draws=250,
        random_seed=1,
        progressbar=False,
    )
    _interpolate(formula, data)
    if families:
        _fit_families()
    return time.perf_counter() - start


def _fit_families() -> None:
    """Go once through quadrature, the chain and maximum likelihood."""
    from bayeslmm.errors import SamplingWarning  # noqa: PLC0415
    from bayeslmm.inference.fit import fit_bayes  # noqa: PLC0415
    from bayeslmm.kernels.quadrature.target import target_function  # noqa: PLC0415
    from bayeslmm.reml.glmm.fit import fit_ml  # noqa: PLC0415
    from bayeslmm.tables.datasets import load_dataset  # noqa: PLC0415

    data = load_dataset("cbpp")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)  # so few draws
        for formula, sampler in (
            ("incidence ~ 1 + (1 | herd)", "quadrature"),
            ("incidence ~ 1 + (1 | herd) + (1 | period)", "laplace_chain"),
        ):
            fit_bayes(
                formula, data, family="binomial", trials="size", sampler=sampler, draws=100,
                tune=20, chains=2, random_seed=1, progressbar=False,
            )  # fmt: skip
            fit_ml(formula, data, family="binomial", trials="size")
    target_function()


def _interpolate(formula: str, data: Any) -> None:
    """Go once through what large crossed models take, on a small one."""
    import numpy as np  # noqa: PLC0415

    from bayeslmm.design.build import build_design  # noqa: PLC0415
    from bayeslmm.gram.gram import gram_of  # noqa: PLC0415
    from bayeslmm.inference.importance.interpolated_target import interpolate_posterior  # noqa: PLC0415
    from bayeslmm.inference.importance.shared_effects import recover_effects_by_cell  # noqa: PLC0415
    from bayeslmm.inference.marginal.target import MarginalTarget  # noqa: PLC0415
    from bayeslmm.inference.settings import SamplerSettings  # noqa: PLC0415
    from bayeslmm.model.priors.resolve import resolve_priors  # noqa: PLC0415
    from bayeslmm.results.kept_effects import MOMENTS, EffectsStore, KeptEffects  # noqa: PLC0415

    design, rng = build_design(formula, data), np.random.default_rng(1)
    target = interpolate_posterior(MarginalTarget(gram_of(design), resolve_priors(design)), rng)
    points = target.point(target.prior_quantiles(0.5)) + 0.1 * rng.normal(size=(8, target.size))
    store = EffectsStore(design, KeptEffects.of(design, MOMENTS), (4, 2), rng=rng)
    settings = SamplerSettings(progressbar=False).resolved()
    recover_effects_by_cell(
        target, points, target.unpack(points.reshape(4, 2, -1)), store, settings
    )


if __name__ == "__main__":
    took = warm(families="--families" in sys.argv[1:])
    sys.stdout.write(f"Compiled the numerical core in {took:.0f} s, for all later fits.\n")
