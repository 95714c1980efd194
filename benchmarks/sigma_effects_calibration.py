"""Simulation-based calibration of the location-scale model: random effects in sigma, by NUTS.

    python benchmarks/sigma_effects_calibration.py                # two CPU minutes
    python benchmarks/sigma_effects_calibration.py --datasets 300 # eight

As `calibration.py` does it: parameters, effects and responses are drawn from the priors, and the
rank of every true value among its posterior draws must be uniform. Chains are thinned, so that
draws are nearly independent.
"""

import argparse
import time
import warnings

import numpy as np
from calibration import DRAWS, report

import bayeslmm as bl

FORMULA, SIGMA = "y ~ x + (1 | g)", "~ x + (x | g)"
PRIORS = {
    "Intercept": "Normal(0, 2)", "x": "Normal(0, 1)", "sd": "HalfNormal(1)",
    "sigma": "Gamma(4, 4)", "beta_sigma": "Normal(0, 0.5)", "sd_sigma": "HalfNormal(0.5)",
}  # fmt: skip
THIN = 3


def table(levels=12, rows=8, seed=2026):
    """Levels with a covariate that is centred."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=levels * rows)
    g = np.char.add("g", np.repeat(np.arange(levels), rows).astype(str))
    return {"x": x - x.mean(), "g": g, "y": rng.normal(size=levels * rows)}


def quantities(design, values):
    """What is ranked, by label: arrays over draws, from variables of the tree's shapes."""
    b, in_sigma = values["b_g"], values["b_sigma_g"]
    out = {
        "beta[Intercept]": values["beta"][:, 0],
        "beta[x]": values["beta"][:, 1],
        "sd_g": values["sd_g"][:, 0],
        "sigma": values["sigma"],
        "beta_sigma[x]": values["beta_sigma"][:, 0],
        "sd_sigma_g[Intercept]": values["sd_sigma_g"][:, 0],
        "sd_sigma_g[x]": values["sd_sigma_g"][:, 1],
        "corr_sigma_g": values["corr_sigma_g"][:, 0, 1],
        "b_g[0]": b[:, 0, 0],
        "b_sigma_g[0]": in_sigma[:, 0, 0],
        "sum of effects in sigma": in_sigma[..., 0].sum(axis=1),
    }
    (factor,) = design.residual.factors
    x = design.X[:, 1]
    log_sigma = np.log(values["sigma"])[:, None] + values["beta_sigma"] * (x - x.mean())
    log_sigma = log_sigma + (in_sigma[:, factor.index] * factor.columns).sum(axis=2)
    eta = values["beta"] @ design.X.T + b[:, design.factors[0].index, 0]
    e = (design.y - eta) / np.exp(log_sigma)
    return out | {"log-likelihood": -(0.5 * e**2 + log_sigma).sum(axis=1)}


def ranks_of(design, data, truth, seed):
    """Ranks of the true values among thinned draws, and how many draws diverged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = bl.fit_bayes(
            FORMULA, data, sigma=SIGMA, priors=PRIORS, draws=DRAWS * THIN, tune=400, chains=1,
            cores=1, random_seed=seed, progressbar=False,
        )  # fmt: skip
    drawn = {str(k): v.to_numpy()[0, ::THIN] for k, v in tree["posterior"].data_vars.items()}
    true, draws = quantities(design, truth), quantities(design, drawn)
    diverged = int(tree["sample_stats"]["diverging"].sum())
    return {label: int((draws[label] < true[label]).sum()) for label in true}, diverged


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--datasets", type=int, default=60)
    parser.add_argument("--seed", type=int, default=2026)
    given = parser.parse_args()
    data, started = table(), time.process_time()
    design = bl.build_design(FORMULA, data, sigma=SIGMA)
    priors = bl.resolve_priors(design, PRIORS)
    simulated = bl.sample_prior(design, priors=priors, draws=given.datasets, random_seed=given.seed)
    rows, diverged = [], 0
    for k in range(given.datasets):
        truth = {str(n): v.to_numpy()[:, k] for n, v in simulated["prior"].data_vars.items()}
        y = simulated["prior_predictive"]["y"].to_numpy()[0, k]
        made = bl.build_design(FORMULA, data | {"y": y}, sigma=SIGMA)
        ranks, some = ranks_of(made, data | {"y": y}, truth, k + 1)
        rows.append(ranks)
        diverged += some
        print(".", end="", flush=True)
    seconds = time.process_time() - started
    print(f"\n{given.datasets} datasets in {seconds:.0f} CPU s, {diverged} draws diverged")
    report("random effects in sigma", {k: np.array([row[k] for row in rows]) for k in rows[0]})


if __name__ == "__main__":
    main()
