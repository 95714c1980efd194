"""A fit of a row by the plain call, and which true parameters its intervals hold."""

import time
import warnings
from dataclasses import dataclass

import numpy as np
from census.simulate import simulate

import bayeslmm as bl
from bayeslmm.results.diagnostics import diagnostics_table

KINDS = ("fixed", "sd", "family")


@dataclass(frozen=True)
class Outcome:
    """What became of a row.

    Attributes
    ----------
    method : str
        How it was sampled.
    k_hat, r_hat : float
        Of weighted draws; the largest of the population parameters, of chains; NaN for the other.
    divergences : int
    seconds, cpu_seconds : float
        Of the call, and of all cores.
    asked, held : dict of str to int
        By kind, how many 95 % intervals there are, and how many hold their parameter.
    outside : tuple of str
        The parameters that lie outside.
    """

    method: str
    k_hat: float
    r_hat: float
    divergences: int
    seconds: float
    cpu_seconds: float
    asked: dict
    held: dict
    outside: tuple


def fit(row, **settings):
    """Simulate a row's table and fit it by the plain call, or with these settings."""
    simulated = simulate(row)
    wall, cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.BayesLMMWarning)
        tree = bl.fit_bayes(
            row.formula, simulated.table, **simulated.arguments, random_seed=row.number,
            progressbar=False, **settings,
        )  # fmt: skip
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    asked, held, outside = _coverage(tree, simulated)
    attrs = tree["sample_stats"].attrs
    k_hat = float(attrs.get("pareto_k", np.nan))
    r_hat = np.nan
    if "pareto_k" not in attrs:
        r_hat = float(diagnostics_table(tree, max_effects=0)["r_hat"].max())
    stats = tree["sample_stats"]
    divergences = int(stats["diverging"].sum()) if "diverging" in stats else 0
    return Outcome(_method(tree), k_hat, r_hat, divergences, wall, cpu, asked, held, outside)


def _method(tree):
    sampler, form = tree.attrs["sampler"], tree.attrs["parametrization"]
    if sampler in {"nutpie", "pymc"}:
        return "NUTS, effects integrated out" if form == "marginal" else "NUTS, all effects"
    return {"importance": "weighted draws", "quadrature": "quadrature",
            "laplace_chain": "Laplace chain"}[sampler]  # fmt: skip


def _coverage(tree, simulated):
    asked, held, outside = dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0), []
    for name, true in simulated.truth.items():
        kind = "sd" if name.startswith("sd_") else "family"
        if name in simulated.design.coef:
            kind = "fixed"
        lower, upper = np.quantile(_draws(tree["posterior"], name, kind), [0.025, 0.975])
        asked[kind] += 1
        held[kind] += int(lower <= true <= upper)
        if not lower <= true <= upper:
            outside.append(name)
    return asked, held, tuple(outside)


def _draws(posterior, name, kind):
    """Draws of a parameter by the name that its prior has."""
    if kind == "fixed":
        return posterior["beta"].sel(coef=name).to_numpy()
    if name in posterior:
        return posterior[name].to_numpy()
    variable, _, label = name.removesuffix("]").partition("[")
    (dim,) = set(posterior[variable].dims) - {"chain", "draw"}
    return posterior[variable].sel({dim: label}).to_numpy()
