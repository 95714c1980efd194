"""Small fits for questions: posteriors of a few draws, and REML."""

import inspect
import warnings
from functools import cache

import numpy as np
import pandas as pd

import bayeslmm as bl

HOW = {"draws": 40, "chains": 2, "random_seed": 1, "progressbar": False,
       "parametrization": "marginal", "sampler": "importance"}  # fmt: skip
FORMULAS = ("y ~ x + f + (x | g) + (1 | h)", "y ~ poly(z, 2) * f + (1 | g/h)", "y ~ x + (x | g)")
# The first argument of verbs that ask a result something.
RESULTS = ("idata", "fit", "fits", "fit_a", "study", "tree_of_draws")


def table(n=24):
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "x": rng.normal(size=n),
            "z": rng.integers(0, 3, n),
            "f": pd.Categorical(rng.choice(["a", "b", "c"], n)),
            "g": rng.choice(list("abc"), n),
            "h": rng.integers(0, 4, n),
        }
    )


@cache
def posteriors():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.BayesLMMWarning)
        return [bl.fit_bayes(formula, table(), **HOW) for formula in FORMULAS]


@cache
def reml_fits():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.BayesLMMWarning)
        return [bl.fit_reml(formula, table()) for formula in FORMULAS[::2]]


@cache
def verbs():
    """Return the public functions that ask a result something, each with its parameters."""
    found = {}
    for name in sorted(bl.__all__):
        function = getattr(bl, name)
        if inspect.isfunction(function):
            parameters = list(inspect.signature(function).parameters.values())
            if parameters and parameters[0].name in RESULTS:
                found[name] = [p for p in parameters[1:] if p.kind is not p.VAR_KEYWORD]
    return found
