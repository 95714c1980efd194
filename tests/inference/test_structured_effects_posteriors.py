"""Posteriors with structures of G by weighted draws, beside NUTS on all effects."""

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl

PRIORS = {"Intercept": "Normal(10, 5)", "week": "Normal(0, 2)", "sd": "HalfNormal(3)",
          "sigma": "HalfNormal(3)"}  # fmt: skip


@pytest.fixture(scope="module")
def table():
    """Thirty groups, each seen three times in weeks 0, 1, 2 and 4, with effects AR(1)."""
    rng = np.random.default_rng(17)
    weeks, groups, rows = np.array([0, 1, 2, 4]), 30, 3
    G = 4.0 * 0.7 ** np.abs(np.subtract.outer(weeks, weeks))
    b = rng.multivariate_normal(np.zeros(4), G, groups)
    g, w = np.repeat(np.arange(groups), 4 * rows), np.tile(np.repeat(np.arange(4), rows), groups)
    y = 10.0 + 0.5 * weeks[w] + b[g, w] + rng.normal(0.0, 1.5, len(g))
    f = pd.Categorical.from_codes(w, ["w0", "w1", "w2", "w4"], ordered=True)
    return pd.DataFrame({"y": y, "g": g.astype(str), "week": weeks[w], "f": f})


def quantities(tree):
    p = tree.posterior
    found = {"sd": p["sd_g"][..., 0], "sigma": p["sigma"], "effect": p["b_g"][..., 3, 2]}
    found |= {name: p[name] for name in ("rho_g",) if name in p}
    found |= {f"beta {k}": p["beta"][..., k] for k in range(2)}
    found["corr"] = p["corr_g"][..., 0, 3]
    return {name: values.to_numpy() for name, values in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("term", ["ar1(0 + week | g)", "homtoep(0 + f | g)", "cs(0 + f | g)"])
def test_weighted_draws_agree_with_nuts_on_all_effects(term, table):
    import arviz as az

    formula, seed = f"y ~ week + {term}", 5
    weighed = bl.fit_bayes(
        formula, table, priors=PRIORS, sampler="importance", draws=2000, random_seed=seed
    )
    assert weighed.sample_stats.attrs["pareto_k"] < 0.5
    judge = bl.fit_bayes(
        formula, table, priors=PRIORS, parametrization="noncentered", sampler="nutpie",
        draws=2000, random_seed=seed,
    )  # fmt: skip
    ours, theirs = quantities(weighed), quantities(judge)
    for name, values in ours.items():
        other = theirs[name]
        # 8,000 weighted draws are worth 4,000 at the least; NUTS's own by their autocorrelation.
        errors = values.var() / 4000 + other.var() / float(az.ess(other))
        score = (values.mean() - other.mean()) / np.sqrt(errors)
        assert abs(score) < 4.0, (name, score)
        assert values.std() == pytest.approx(other.std(), rel=0.12), name
