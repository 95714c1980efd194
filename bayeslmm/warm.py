"""Compile the numerical core before anybody waits for it.

::

    python -m bayeslmm.warm

Numba compiles the package's core once per machine and environment, some half a minute of
processor time, and keeps the result beside the package (or under ``NUMBA_CACHE_DIR``). Otherwise
the first fit pays for it. PyMC's models are compiled apart, by PyTensor, when they are first built.
"""

from __future__ import annotations

import sys
import time

import numpy as np


def warm() -> float:
    """Fit a small crossed model in every way that the compiled core serves.

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
    from bayeslmm.datasets import load_dataset  # noqa: PLC0415
    from bayeslmm.elimination import draw_effects, pack_factors  # noqa: PLC0415
    from bayeslmm.fit import fit_bayes  # noqa: PLC0415
    from bayeslmm.reml import fit_reml  # noqa: PLC0415

    start = time.perf_counter()
    formula, data = "diameter ~ 1 + (1 | plate) + (1 | sample)", load_dataset("penicillin")
    fit = fit_reml(formula, data)
    _ = fit.random_effects
    packed = pack_factors(fit.gram, fit.factors)[None]
    draw_effects(fit.gram, packed, np.array([fit.sigma]), np.random.default_rng(1))
    _link(len(fit.gram.coef), fit.gram.plan.ints, fit.gram.plan.floats)
    fit_bayes(
        formula,
        data,
        parametrization="marginal",
        sampler="importance",
        draws=250,
        random_seed=1,
        progressbar=False,
    )
    return time.perf_counter() - start


def _link(p: int, ints: np.ndarray, floats: np.ndarray) -> None:
    """Compile what PyMC's compiled models call."""
    from bayeslmm.collapsed import block_table  # noqa: PLC0415
    from bayeslmm.linked import link_density, linked_density  # noqa: PLC0415

    link_density()
    table = block_table([(1, ((0,),)), (1, ((0,),))])
    linked_density(
        ints, floats, table, np.ones(2), np.zeros(0), 1.0, np.zeros(0), np.zeros(p), np.eye(p)
    )


if __name__ == "__main__":
    sys.stdout.write(f"Compiled the numerical core in {warm():.0f} s, for all later fits.\n")
