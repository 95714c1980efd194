"""Posteriors of categories and of mixed responses against NUTS on graphs written out by hand."""

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from test_known_posterior import scores

import bayeslmm as bl

ANSWERS = ("no", "perhaps", "yes")
# The correlation is uniform.
PRIORS = {
    "Intercept": "Normal(0, 2)", "beta": "Normal(0, 1)", "sd": "HalfNormal(1)", "corr": "LKJ(1)"
}  # fmt: skip


def answers():
    """Every tenth person's 24 answers: no, perhaps, or yes."""
    table = pd.DataFrame(bl.load_dataset("verbagg"))
    table = table[table["id"].isin(table["id"].unique()[::10])].reset_index(drop=True)
    response = pd.Categorical(table["resp"].astype(str), ANSWERS)
    return table.assign(resp=response, id=table["id"].astype(str))


def effects_of(levels):
    """Two effects a level, independent of what the package makes of them."""
    sd = pm.HalfNormal("sd", 1.0, shape=2)
    corr = pm.Uniform("corr", -1.0, 1.0)
    z = pm.Normal("z", shape=(levels, 2))
    second = sd[1] * (corr * z[:, :1] + pm.math.sqrt(1.0 - corr**2) * z[:, 1:])
    return pm.Deterministic("b", pm.math.concatenate([sd[0] * z[:, :1], second], axis=1))


def graph_of_answers(table):
    """A PyMC model of the log-odds of two answers against "no", and no code of the package."""
    levels, index = np.unique(table["id"], return_inverse=True)
    columns = np.column_stack(
        [table["btype"] == "scold", table["btype"] == "shout", table["situ"] == "self"]
    ).astype(float)
    centered = columns - columns.mean(axis=0)
    with pm.Model() as model:
        level = pm.Normal("level", 0.0, 2.0, shape=2)
        slopes = pm.Normal("slopes", 0.0, 1.0, shape=(2, 3))
        b = effects_of(len(levels))
        eta = level + pm.math.dot(centered, slopes.T) + b[index]
        odds = pm.math.concatenate([np.ones((len(table), 1)), pm.math.exp(eta)], axis=1)
        pm.Deterministic("intercept", level - pm.math.dot(slopes, columns.mean(axis=0)))
        pm.Categorical(
            "y",
            p=odds / odds.sum(axis=1, keepdims=True),
            observed=table["resp"].cat.codes.to_numpy(),
        )
    return model


def nuts(model):
    with model:
        return pm.sample(
            2000, tune=1000, chains=4, nuts_sampler="nutpie", random_seed=2, progressbar=False,
            target_accept=0.9,
        )["posterior"]  # fmt: skip


def assert_alike(ours, theirs):
    """Hold means and log sds of everything against each other."""
    found = scores(ours, theirs)
    print(  # noqa: T201 - the figures are the point; pytest shows them with -s or -rP
        f"\n{len(found)} scores, root mean square {np.sqrt(np.mean(found**2)):.2f}, largest "
        f"{np.abs(found).max():.2f}"
    )
    # Of some fifty standard normal scores one above 4 has a chance of 3 in 1,000.
    assert np.abs(found).max() < 4.0


@pytest.mark.slow
def test_categories_have_the_posterior_of_the_graph_by_hand():
    table = answers()
    fit = bl.fit_bayes(
        "resp ~ btype + situ + (1 |p| id)", table, family="categorical", priors=PRIORS, draws=2000,
        random_seed=1, progressbar=False,
    )["posterior"]  # fmt: skip
    other = nuts(graph_of_answers(table))
    ours, theirs = {}, {}
    for k, answer in enumerate(ANSWERS[1:]):
        names = ["Intercept", "btype[T.scold]", "btype[T.shout]", "situ[T.self]"]
        for at, name in enumerate(names):
            ours[f"{answer} {name}"] = fit["beta"].sel(coef=f"{answer}_{name}").to_numpy()
            from_slopes = other["slopes"].to_numpy()[..., k, at - 1]
            theirs[f"{answer} {name}"] = (
                from_slopes if at else other["intercept"].to_numpy()[..., k]
            )
        ours[f"sd {answer}"] = fit["sd_id"].to_numpy()[..., k]
        theirs[f"sd {answer}"] = other["sd"].to_numpy()[..., k]
    ours["corr"], theirs["corr"] = fit["corr_id"].to_numpy()[..., 0, 1], other["corr"].to_numpy()
    for row, level in list(enumerate(np.unique(table["id"])))[::4]:
        for k in range(2):
            ours[f"b[{level}, {k}]"] = fit["b_id"].sel(id=level).to_numpy()[..., k]
            theirs[f"b[{level}, {k}]"] = other["b"].to_numpy()[..., row, k]
    assert_alike(ours, theirs)


def clutches():
    """Eggs and a mother's size, which share what their families have in common."""
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(30), 6)
    x = rng.normal(0.5, 1.0, len(g))
    b = rng.normal(size=(30, 2)) @ np.array([[0.8, 0.3], [0.0, 0.4]])
    size = 1.0 + 0.5 * x + b[g, 0] + rng.normal(0.0, 0.7, len(g))
    eggs = rng.poisson(np.exp(0.5 - 0.3 * x + b[g, 1]))
    return pd.DataFrame({"size": size, "eggs": eggs, "x": x, "g": [f"g{k:02}" for k in g]})


def graph_of_clutches(table):
    """Two likelihoods over one set of correlated effects."""
    levels, index = np.unique(table["g"], return_inverse=True)
    x = table["x"].to_numpy()
    with pm.Model() as model:
        level = pm.Normal("level", 0.0, 2.0, shape=2)
        slope = pm.Normal("slope", 0.0, 1.0, shape=2)
        b = effects_of(len(levels))
        eta = level + (x - x.mean())[:, None] * slope + b[index]
        pm.Deterministic("intercept", level - slope * x.mean())
        pm.Normal("size", eta[:, 0], pm.HalfNormal("sigma", 1.0), observed=table["size"])
        pm.Poisson("eggs", pm.math.exp(eta[:, 1]), observed=table["eggs"])
    return model


@pytest.mark.slow
def test_mixed_responses_have_the_posterior_of_the_graph_by_hand():
    table = clutches()
    fit = bl.fit_bayes(
        "mvbind(size, eggs) ~ x + (1 |p| g)", table,
        family={"size": "gaussian", "eggs": "poisson"}, draws=2000, random_seed=1,
        priors=PRIORS | {"sigma_size": "HalfNormal(1)"},
        progressbar=False,
    )["posterior"]  # fmt: skip
    other = nuts(graph_of_clutches(table))
    ours = {
        "sigma": fit["sigma_size"].to_numpy().reshape(4, -1),
        "corr": fit["corr_g"].to_numpy()[..., 0, 1],
    }
    theirs = {name: other[name].to_numpy() for name in ours}
    for k, response in enumerate(("size", "eggs")):
        for own, name in (("Intercept", "intercept"), ("x", "slope")):
            ours[f"{response} {own}"] = fit["beta"].sel(coef=f"{response}_{own}").to_numpy()
            theirs[f"{response} {own}"] = other[name].to_numpy()[..., k]
        ours[f"sd {response}"] = fit["sd_g"].to_numpy()[..., k]
        theirs[f"sd {response}"] = other["sd"].to_numpy()[..., k]
        for row in range(0, 30, 5):
            ours[f"b[{row}, {k}]"] = fit["b_g"].to_numpy()[..., row, k]
            theirs[f"b[{row}, {k}]"] = other["b"].to_numpy()[..., row, k]
    assert_alike(ours, theirs)
