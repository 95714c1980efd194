"""The posterior of a model with a phylogeny against NUTS on a graph written out by hand."""

import known
import numpy as np
import pymc as pm
import pytest

import bayeslmm as bl

N = 100
PRIORS = {
    "Intercept": "Normal(0, 2)", "x": "Normal(0, 1)", "sd": "HalfNormal(1)",
    "sigma": "HalfNormal(1)",
}  # fmt: skip


def rows(A, family="gaussian"):
    rng = np.random.default_rng(7)
    species = np.repeat([f"s{k}" for k in range(N)], 2)
    x = rng.normal(0.5, 1.0, 2 * N)
    b = np.linalg.cholesky(A.covariance_of([f"s{k}" for k in range(N)])) @ rng.standard_normal(N)
    eta = 1.0 + 0.5 * x + np.repeat(b, 2)
    y = rng.poisson(np.exp(eta)) if family == "poisson" else eta + 0.5 * rng.standard_normal(2 * N)
    return {"y": y, "x": x, "species": species, "own": species}


def by_hand(table, A, family):
    """A PyMC model with `dot`, effects as MvNormal's offsets, and no code of the package."""
    levels, index = np.unique(table["species"], return_inverse=True)
    root = np.linalg.cholesky(A.covariance_of(levels.tolist()))
    x = table["x"]
    with pm.Model() as model:
        intercept, slope = pm.Normal("intercept", 0.0, 2.0), pm.Normal("slope", 0.0, 1.0)
        sd = pm.HalfNormal("sd", 1.0)
        b = pm.Deterministic("b", sd * pm.math.dot(root, pm.Normal("z", shape=len(levels))))
        eta = intercept + slope * (x - x.mean()) + b[index]
        if family == "poisson":
            pm.Poisson("y", pm.math.exp(eta), observed=table["y"])
        else:
            sd_own = pm.HalfNormal("sd_own", 1.0)
            eta = eta + sd_own * pm.Normal("z_own", shape=len(levels))[index]
            pm.Normal("y", eta, pm.HalfNormal("sigma", 1.0), observed=table["y"])
    return model


def scores(ours, theirs):
    """Differences of means, and of log sds, in combined Monte Carlo standard errors."""
    import arviz_stats as azs

    out = []
    for name, mine in ours.items():
        other = theirs[name]
        sizes = [azs.ess(draws) for draws in (mine, other)]
        sds = [draws.std() for draws in (mine, other)]
        error = np.sqrt(sum(sd**2 / size for sd, size in zip(sds, sizes, strict=True)))
        out.append((mine.mean() - other.mean()) / error)
        out.append(np.log(sds[0] / sds[1]) / np.sqrt(sum(0.5 / size for size in sizes)))
    return np.array(out)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_it_is_that_of_the_graph_by_hand(family):
    A = bl.phylogeny(known.random_tree(N, seed=5))
    table = rows(A, family)
    gaussian = family == "gaussian"
    formula = "y ~ x + (1 | gr(species, cov=A))" + " + (1 | own)" * gaussian
    priors = PRIORS if gaussian else {k: v for k, v in PRIORS.items() if k != "sigma"}
    how = {"parametrization": "marginal", "sampler": "importance"} if gaussian else {}
    fit = bl.fit_bayes(
        formula, table, known={"A": A}, priors=priors, family=family, draws=2500, random_seed=1,
        progressbar=False, **how,
    )["posterior"]  # fmt: skip
    with by_hand(table, A, family):
        other = pm.sample(
            3000, tune=1500, chains=4, nuts_sampler="nutpie", random_seed=2, progressbar=False,
            target_accept=0.95,
        )["posterior"]  # fmt: skip
    mean = float(np.mean(table["x"]))
    beta, levels = fit["beta"].to_numpy(), np.unique(table["species"])
    ours = {
        "intercept": beta[..., 0] + mean * beta[..., 1],
        "slope": beta[..., 1],
        "sd": fit["sd_species"].to_numpy()[..., 0],
    }
    if gaussian:
        ours |= {"sd_own": fit["sd_own"].to_numpy()[..., 0], "sigma": fit["sigma"].to_numpy()}
    theirs = {name: other[name].to_numpy() for name in ours}
    for k in range(0, N, 10):
        ours[f"b{k}"] = fit["b_species"].sel(species=levels[k]).to_numpy()[..., 0]
        theirs[f"b{k}"] = other["b"].to_numpy()[..., k]
    found = scores(ours, theirs)
    # Of some thirty standard normal scores one above 4 has a chance of 2 in 1,000.
    assert np.abs(found).max() < 4.0
