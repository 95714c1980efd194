"""The plain call's posteriors of bundled counts, answers and ratings against long NUTS runs."""

import warnings
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
from arviz_stats.base import array_stats
from test_marginal_posteriors import bound

import bayeslmm as bl

DRAWS, REFERENCE_DRAWS = 2500, 3000
# Levels of each factor whose effects are compared.
LEVELS = 10


@dataclass(frozen=True)
class Case:
    """A model, and how NUTS has to be run to be a judge of it."""

    formula: str
    data: str
    family: str
    fit: dict = field(default_factory=dict)
    nuts: dict = field(default_factory=dict)


AGE = "use01 ~ age + I(age**2) + urban + livch"
CASES = {
    "cbpp": Case("incidence ~ period + (1 | herd)", "cbpp", "binomial", {"trials": "size"}),
    "contraception": Case(f"{AGE} + (1 | district)", "contraception", "bernoulli"),
    "contraception_slope": Case(f"{AGE} + (urban | district)", "contraception", "bernoulli"),
    "toenail": Case("severe ~ treatment * time + (1 | patientID)", "toenail", "bernoulli"),
    "epil_poisson": Case("y ~ lbase4 * trt + lage + V4 + (1 | subject)", "epil", "poisson"),
    "epil_negbinomial": Case("y ~ lbase4 * trt + lage + V4 + (1 | subject)", "epil", "negbinomial"),
    "grouseticks": Case(
        "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)",
        "grouseticks",
        "poisson",
        # Broods of three chicks beside a level for every chick: sds that mix slowly.
        nuts={"draws": 8000, "target_accept": 0.95},
    ),
    "verbagg": Case(
        "r01 ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)", "verbagg", "bernoulli"
    ),
    "owls": Case(
        "SiblingNegotiation ~ FoodTreatment * SexParent + offset(log(BroodSize)) + (1 | Nest)",
        "owls",
        "negbinomial",
    ),
    "salamanders": Case("count ~ mined + spp + (1 | site)", "salamanders", "poisson"),
    "owls_zero_inflated": Case(
        "SiblingNegotiation ~ FoodTreatment * SexParent + offset(log(BroodSize)) + (1 | Nest)",
        "owls",
        "zero_inflated_negbinomial",
    ),
    "salamanders_zero_inflated": Case(
        "count ~ mined + spp + (1 | site)",
        "salamanders",
        "zero_inflated_poisson",
        {"zi": "~ mined"},
    ),
    "wine": Case("rating ~ temp + contact + (1 | judge)", "wine", "cumulative"),
    "exam_bivariate": Case(
        "mvbind(standLRT, normexam) ~ sex + (1 |p| school)",
        "exam",
        "gaussian",
        # Schools of sixty pupils: intercept and effects mix slowly without centering.
        nuts={"draws": 4000, "target_accept": 0.95},
    ),
    "three columns": Case("y ~ x + z + (x + z | g)", "slopes", "bernoulli"),
    "nested": Case("y ~ x + (1 | g / h)", "nested", "bernoulli"),
    "crossed": Case("y ~ x + (x | g) + (1 | h)", "crossed", "negbinomial"),
}


def table_of(name):
    if name == "verbagg":
        # Every fourth person, 1,896 of the 7,584 rows: NUTS takes a minute instead of many.
        table = pd.DataFrame(bl.load_dataset(name))
        table = table[table["id"].isin(table["id"].unique()[::4])].reset_index(drop=True)
        return table.assign(id=table["id"].astype(str))
    if name == "exam":
        # Every fourth school, for the same reason.
        table = pd.DataFrame(bl.load_dataset(name))
        table = table[table["school"].isin(table["school"].unique()[::4])].reset_index(drop=True)
        return table.assign(school=table["school"].astype(str))
    return SIMULATED[name]() if name in SIMULATED else bl.load_dataset(name)


def labels(prefix, index):
    return [f"{prefix}{k}" for k in index]


def slopes():
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(40), 12)
    x, z = rng.normal(size=(2, len(g)))
    root = np.linalg.cholesky([[1.0, 0.4, 0.0], [0.4, 0.6, 0.1], [0.0, 0.1, 0.4]])
    b = (rng.normal(size=(40, 3)) @ root.T)[g]
    eta = 0.3 + 0.5 * x - 0.7 * z + b[:, 0] + b[:, 1] * x + b[:, 2] * z
    y = rng.random(len(g)) < 1 / (1 + np.exp(-eta))
    return pd.DataFrame({"y": y.astype(int), "x": x, "z": z, "g": labels("g", g)})


def nested():
    rng = np.random.default_rng(6)
    g, h = np.repeat(np.arange(25), 16), np.repeat(np.arange(100), 4)
    x = rng.normal(size=400)
    eta = 0.5 + 0.8 * x + rng.normal(0, 1.0, 25)[g] + rng.normal(0, 1.2, 100)[h]
    y = rng.random(400) < 1 / (1 + np.exp(-eta))
    return pd.DataFrame({"y": y.astype(int), "x": x, "g": labels("g", g), "h": labels("h", h % 4)})


def crossed():
    rng = np.random.default_rng(7)
    g, h = (a.ravel() for a in np.meshgrid(np.arange(30), np.arange(12), indexing="ij"))
    x = rng.normal(size=len(g))
    b = rng.normal(size=(30, 2)) @ np.array([[0.6, 0.1], [0.0, 0.3]])
    mean = np.exp(0.8 + 0.4 * x + b[g, 0] + b[g, 1] * x + rng.normal(0, 0.5, 12)[h])
    y = rng.poisson(mean * rng.gamma(3.0, 1 / 3.0, len(g)))
    return pd.DataFrame({"y": y, "x": x, "g": labels("g", g), "h": labels("h", h)})


SIMULATED = {"slopes": slopes, "nested": nested, "crossed": crossed}


def quantities(tree):
    """Draws (chain, draw) by label: all parameters, each correlation once, some of the effects."""
    out = {}
    for name, array in tree["posterior"].data_vars.items():
        values = array.to_numpy()
        if name.startswith("corr_"):
            values = values[(..., *np.tril_indices(values.shape[-1], -1))]
        elif name.startswith("b_"):
            values = values[:, :, :: -(-values.shape[2] // LEVELS)]
        flat = values.reshape(*values.shape[:2], -1)
        out |= {f"{name}[{k}]": flat[..., k] for k in range(flat.shape[-1])}
    return out


def moments(draws):
    """Mean and sd, with the Monte Carlo standard error of each."""
    axes = {"chain_axis": 0, "draw_axis": 1}
    errors = [float(array_stats.mcse(draws, method=m, **axes)) for m in ("mean", "sd")]
    return np.array([draws.mean(), draws.std(ddof=1)]), np.array(errors)


def scores(ours, theirs):
    """Differences of means and sds in combined Monte Carlo standard errors, by label."""
    one, other = quantities(ours), quantities(theirs)
    assert list(one) == list(other)
    out = {}
    for label, draws in one.items():
        (x, x_error), (y, y_error) = moments(draws), moments(other[label])
        z = (x - y) / np.hypot(x_error, y_error)
        out |= {f"{label} mean": z[0], f"{label} sd": z[1]}
    assert np.isfinite(list(out.values())).all()
    return out


def sizes(tree):
    """Smallest effective size of a parameter's mean, and which parameter's."""
    axes = {"chain_axis": 0, "draw_axis": 1}
    found = {
        label: float(array_stats.ess(draws, **axes))
        for label, draws in quantities(tree).items()
        if not label.startswith("b_")
    }
    worst = min(found, key=found.__getitem__)
    return f"{found[worst]:,.0f} ({worst})"


def lost_chains(tree):
    """How many chains of NUTS stayed where they started, far from where the others are.

    A Poisson chain that starts where means are billions may do so without a divergence, its
    log-density billions below the others'.
    """
    means = tree["sample_stats"]["lp"].mean("draw")
    return int((means < means.max() - 100.0).sum())


def fit_both(case):
    common = {"family": case.family, "progressbar": False, **case.fit}
    table = table_of(case.data)
    with warnings.catch_warnings():
        # R-hat of long chains may leave 1.01 for a few effects; Monte Carlo errors allow for it.
        warnings.simplefilter("ignore", bl.SamplingWarning)
        ours = bl.fit_bayes(case.formula, table, draws=DRAWS, random_seed=3, **common)
        theirs = bl.fit_bayes(
            case.formula, table, sampler="nutpie", parametrization="noncentered", random_seed=4,
            **{"draws": REFERENCE_DRAWS, "target_accept": 0.9, **common, **case.nuts},
        )  # fmt: skip
    return ours, theirs


@pytest.mark.slow
@pytest.mark.parametrize("key", CASES)
def test_the_plain_call_has_the_posterior_of_long_nuts(key):
    """Means and sds of every parameter and of effects, in Monte Carlo errors of both."""
    ours, theirs = fit_both(CASES[key])
    assert ours.attrs["sampler"] in ("quadrature", "laplace_chain", "importance")
    assert lost_chains(theirs) == 0
    z = scores(ours, theirs)
    size = np.abs(list(z.values()))
    worst = max(z, key=lambda label: abs(z[label]))
    diverging = int(theirs["sample_stats"]["diverging"].sum())
    print(  # noqa: T201 - the figures are the point; pytest shows them with -s or -rP
        f"\n{key}: {ours.attrs['sampler']}, {len(z)} scores, root mean square "
        f"{np.sqrt(np.mean(size**2)):.2f}, {(size > 3).sum()} above 3 (expected "
        f"{0.0027 * len(z):.1f}); largest {worst} {z[worst]:.2f}; smallest effective size "
        f"{sizes(ours)} of {4 * DRAWS}, NUTS {sizes(theirs)} with {diverging} divergences"
    )
    # 4, or where there are hundreds of scores, what 1 % of runs would exceed by chance.
    assert size.max() <= bound(len(z))
    # Means of effects share the intercept's error, so this is loose.
    assert np.sqrt(np.mean(size**2)) < 1.8
