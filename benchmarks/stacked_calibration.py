"""Simulation-based calibration of two Gaussian responses with correlated effects and residuals.

    python benchmarks/stacked_calibration.py                # 60 datasets, a CPU minute
    python benchmarks/stacked_calibration.py --datasets 300 # five

As `calibration.py` does it: parameters, effects and responses are drawn from the priors, and the
rank of every true value among its posterior draws must be uniform. The posterior is drawn with all
effects integrated out, by weights: draws are independent. A tenth of each response is lacking.
"""

import argparse
import time
import warnings

import numpy as np
from calibration import DRAWS, report

import bayeslmm as bl

FORMULA = "mvbind(y, z) ~ x + (1 |p| g)"
PRIORS = {
    "Intercept": "Normal(0, 2)", "beta": "Normal(0, 1)", "sd": "HalfNormal(1)",
    "sigma": "Gamma(4, 4)",
}  # fmt: skip


def table(levels=12, rows=6, seed=2026):
    """Levels with a covariate that is centred; a few rows that lack one response."""
    rng = np.random.default_rng(seed)
    n = levels * rows
    x = rng.normal(size=n)
    g = np.char.add("g", np.repeat(np.arange(levels), rows).astype(str))
    return {"x": x - x.mean(), "g": g, "y": rng.normal(size=n), "z": rng.normal(size=n)}


def lacking(data, seed=3):
    """Take a tenth of each response away."""
    rng, n = np.random.default_rng(seed), len(data["x"])
    out = dict(data)
    chosen = rng.permutation(n)[: 2 * (n // 10)].reshape(2, -1)
    for name, some in zip(("y", "z"), chosen, strict=True):
        out[name] = out[name].copy()
        out[name][some] = np.nan
    return out


def quantities(values):
    """What is ranked, by label: arrays over draws, from variables of the tree's shapes."""
    b = values["b_g"]
    return {
        "y_Intercept": values["beta"][:, 0],
        "y_x": values["beta"][:, 1],
        "z_Intercept": values["beta"][:, 2],
        "z_x": values["beta"][:, 3],
        "sd_g[y_Intercept]": values["sd_g"][:, 0],
        "sd_g[z_Intercept]": values["sd_g"][:, 1],
        "corr_g": values["corr_g"][:, 0, 1],
        "sd_residual[y]": values["sd_residual"][:, 0],
        "sd_residual[z]": values["sd_residual"][:, 1],
        "corr_residual": values["corr_residual"][:, 0, 1],
        "b_g[0, y]": b[:, 0, 0],
        "b_g[0, z]": b[:, 0, 1],
        "product of sums of effects": b[..., 0].sum(axis=1) * b[..., 1].sum(axis=1),
    }


def ranks_of(data, truth, seed):
    """Ranks of the true values among the draws, and k-hat."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = bl.fit_bayes(
            FORMULA, data, priors=PRIORS, draws=DRAWS, chains=1, cores=1, random_seed=seed,
            sampler="importance", progressbar=False,
        )  # fmt: skip
    drawn = {str(k): v.to_numpy()[0] for k, v in tree["posterior"].data_vars.items()}
    true, draws = quantities(truth), quantities(drawn)
    k_hat = float(tree["sample_stats"].attrs.get("pareto_k", np.nan))
    return {label: int((draws[label] < true[label]).sum()) for label in true}, k_hat


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--datasets", type=int, default=60)
    parser.add_argument("--seed", type=int, default=2026)
    given = parser.parse_args()
    data, started = lacking(table()), time.process_time()
    design = bl.build_design(FORMULA, data)
    priors = bl.resolve_priors(design, PRIORS)
    simulated = bl.sample_prior(design, priors=priors, draws=given.datasets, random_seed=given.seed)
    rows, worst = [], 0.0
    for k in range(given.datasets):
        truth = {str(n): v.to_numpy()[:, k] for n, v in simulated["prior"].data_vars.items()}
        predictive = simulated["prior_predictive"]
        made = {name: predictive[name].to_numpy()[0, k] for name in ("y", "z")}
        ranks, k_hat = ranks_of(data | made, truth, k + 1)
        rows.append(ranks)
        worst = max(worst, k_hat)
        print(".", end="", flush=True)
    seconds = time.process_time() - started
    print(f"\n{given.datasets} datasets in {seconds:.0f} CPU s, largest k-hat {worst:.2f}")
    report("two responses", {k: np.array([row[k] for row in rows]) for k in rows[0]})


if __name__ == "__main__":
    main()
