"""Simulation-based calibration of ordered categories: quadrature, and the chain.

    python benchmarks/ordered_calibration.py                          # 300 data sets by quadrature
    python benchmarks/ordered_calibration.py --sampler laplace_chain
    python benchmarks/ordered_calibration.py --family acat

As `calibration.py` does it: parameters, effects and responses are drawn from the priors, those of
the thresholds through Dirichlet(1, 1, 1, 1) probabilities, and the rank of every true value among
its posterior draws must be uniform.
"""

import argparse
import time
import warnings

import numpy as np
from calibration import DRAWS, report

import bayeslmm as bl

FORMULA = "y ~ x + (1 | g)"
CATEGORIES = ("1", "2", "3", "4")
PRIORS = {"x": "Normal(0, 1)", "sd": "HalfNormal(1)"}
MEMBERS = {"cumulative": bl.Cumulative, "sratio": bl.StoppingRatio, "acat": bl.AdjacentCategory}
# Draws of a chain are correlated: every third is kept.
THIN = {"quadrature": 1, "laplace_chain": 3}


def table(levels=20, rows=5, seed=2026):
    """Levels with a covariate whose mean is not zero."""
    rng = np.random.default_rng(seed)
    g = np.char.add("g", np.repeat(np.arange(levels), rows).astype(str))
    return {"x": 1.0 + rng.normal(size=levels * rows), "g": g, "y": np.ones(levels * rows)}


def quantities(design, values):
    """What is ranked, by label: arrays over draws, from variables of the tree's shapes."""
    b, beta, cuts = values["b_g"][:, :, 0], values["beta"][:, 0], values["threshold"]
    eta = beta[:, None] * design.X[:, 0] + b[:, design.factors[0].index]
    density = design.family.log_density(design.y[:, None], eta.T, {"threshold": cuts.T}, None)
    out = {"beta[x]": beta, "sd_g": values["sd_g"][:, 0], "b_g[0]": b[:, 0], "sum of b": b.sum(1)}
    out |= {f"threshold[{k + 1}]": cuts[:, k] for k in range(cuts.shape[1])}
    out |= {f"stick[{k + 1}]": values["stick"][:, k] for k in range(cuts.shape[1])}
    return out | {"log-likelihood": density.sum(axis=0)}


def ranks_of(design, data, truth, sampler, seed):
    """Ranks of the true values among draws."""
    thin = THIN[sampler]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = bl.fit_bayes(
            FORMULA, data, family=design.family, priors=PRIORS, sampler=sampler,
            draws=DRAWS * thin, chains=1, cores=1, random_seed=seed, progressbar=False,
        )  # fmt: skip
    drawn = {str(k): v.to_numpy()[0, ::thin] for k, v in tree["posterior"].data_vars.items()}
    true, draws = quantities(design, truth), quantities(design, drawn)
    return {label: int((draws[label] < true[label]).sum()) for label in true}, tree.attrs["engine"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--datasets", type=int, default=300)
    parser.add_argument("--family", choices=MEMBERS, default="cumulative")
    parser.add_argument("--link", default="logit")
    parser.add_argument("--sampler", choices=THIN, default="quadrature")
    parser.add_argument("--seed", type=int, default=2026)
    given = parser.parse_args()
    family = MEMBERS[given.family](given.link, CATEGORIES)
    data, started = table(), time.process_time()
    design = bl.build_design(FORMULA, data, family=family)
    simulated = bl.sample_prior(design, priors=PRIORS, draws=given.datasets, random_seed=given.seed)
    rows, engines = [], []
    for k in range(given.datasets):
        truth = {str(n): v.to_numpy()[:, k] for n, v in simulated["prior"].data_vars.items()}
        y = simulated["prior_predictive"]["y"].to_numpy()[0, k]
        own = data | {"y": y}
        made = bl.build_design(FORMULA, own, family=family)
        ranks, engine = ranks_of(made, own, truth, given.sampler, k + 1)
        rows.append(ranks)
        engines.append(engine)
    seconds = time.process_time() - started
    counted = ", ".join(f"{engines.count(name)} by {name}" for name in dict.fromkeys(engines))
    print(f"{given.datasets} data sets in {seconds:.0f} CPU s: {counted}")
    title = f"{given.family} ({given.link}), {given.sampler}"
    report(title, {k: np.array([row[k] for row in rows]) for k in rows[0]})


if __name__ == "__main__":
    main()
