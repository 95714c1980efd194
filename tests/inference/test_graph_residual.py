"""PyMC graphs of residual structures against dense normals written out in full."""

import warnings

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from pytensor.compile.mode import Mode
from scipy import stats

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, TreeError
from bayeslmm.inference.graph.build import PARAMETRIZATIONS
from bayeslmm.inference.nuts.compile import constrain, free_variables
from bayeslmm.model.model import Model
from bayeslmm.model.residual.entry import by_variable
from bayeslmm.results.kept_effects import EffectsStore, KeptEffects

# The Python linker compiles nothing: these tests evaluate a handful of points.
SLOW_BUT_INSTANT = Mode(linker="py", optimizer="fast_compile")
# Of pairs of groups: what rows of a group share is in some structures already.
FORMULA = "y ~ x + (1 | h)"


LABELS = ["v0", "v1", "v2", "v3", "v4"]


def rows(n_groups=7):
    """Groups of five visits, two in five missing, in an order that is none."""
    rng = np.random.default_rng(5)
    g, t = np.repeat(np.arange(n_groups), 5), np.tile(np.arange(5), n_groups)
    n = len(g)
    table = pd.DataFrame(
        {
            "y": rng.normal(10.0, 3.0, n),
            "x": rng.normal(2.0, 1.0, n),
            "g": g,
            "h": g // 2,
            "t": t,
            "visit": pd.Categorical(np.array(LABELS)[t], LABELS, ordered=True),
            "week": np.array([0, 1, 2, 5, 6])[t],
            "day": np.array([0.0, 1.3, 2.0, 5.5, 5.9])[t] + 0.1 * (g % 2),
            "arm": np.where(g % 2, "new", "old"),
            "f": rng.choice(["a", "b"], n),
            "se": rng.uniform(0.5, 2.0, n),
        }
    )
    keep = (rng.uniform(size=n) < 0.6) | (t == 2)
    # Every visit in both arms, and two groups that have them all.
    keep |= g < 2
    return table[keep].sample(frac=1.0, random_state=1).reset_index(drop=True)


TABLE = rows()
SAME_GROUP = TABLE.g.to_numpy()[:, None] == TABLE.g.to_numpy()
ARM = (TABLE.arm == "old").to_numpy().astype(int)  # in the order of labels: new, old


def diagonal(sd):
    return np.diag(np.square(sd))


def correlated(sd, corr):
    return np.where(SAME_GROUP, np.outer(sd, sd) * corr, 0.0)


def between(column):
    return np.abs(np.subtract.outer(*[TABLE[column].to_numpy().astype(float)] * 2))


def at_arm(values):
    """A value for each pair of rows of a group, from one for each arm."""
    return np.asarray(values)[ARM][:, None]


def by_columns(v):
    x = TABLE.x - TABLE.x.mean()
    second = (TABLE.f == "b") - (TABLE.f == "b").mean()
    return v["sigma"] * np.exp(v["beta_sigma"][0] * x + v["beta_sigma"][1] * second)


def one_or(rho):
    """One on the diagonal, rho elsewhere."""
    return np.where(np.eye(len(TABLE), dtype=bool), 1.0, rho)


LEVEL = (TABLE.f == "b").to_numpy().astype(int)
# What is asked for, and R of the rows from the variables of a result tree.
STRUCTURES = {
    "strata": ({"sigma": "~ 0 + f"}, lambda v: diagonal(v["sigma_by"][LEVEL])),
    "columns": ({"sigma": "~ x + f"}, lambda v: diagonal(by_columns(v))),
    "known": ({"se": "se"}, lambda v: diagonal(TABLE.se)),
    "known and sigma": (
        {"se": "se", "sigma": "~ 1"},
        lambda v: diagonal(np.hypot(TABLE.se, v["sigma"])),
    ),
    "known and strata": (
        {"se": "se", "sigma": "~ 0 + f"},
        lambda v: diagonal(np.hypot(TABLE.se, v["sigma_by"][LEVEL])),
    ),
    "ar1": (
        {"residual": "ar1(t | g)"},
        lambda v: correlated(np.full(len(TABLE), v["sigma"]), v["rho_residual"] ** between("t")),
    ),
    "ar1 with strata": (
        {"residual": "ar1(t | g)", "sigma": "~ 0 + f"},
        lambda v: correlated(v["sigma_by"][LEVEL], v["rho_residual"] ** between("t")),
    ),
    "ou": (
        {"residual": "ou(day | g)"},
        lambda v: correlated(
            np.full(len(TABLE), v["sigma"]), np.exp(-between("day") / v["range_residual"])
        ),
    ),
}


VISIT = TABLE.t.to_numpy()
STRUCTURES |= {
    "unstructured": (
        {"residual": "us(visit | g)"},
        lambda v: correlated(v["sd_residual"][VISIT], v["corr_residual"][np.ix_(VISIT, VISIT)]),
    ),
    "unstructured by arm": (
        {"residual": "us(visit | arm/g)"},
        lambda v: correlated(
            v["sd_residual"][ARM, VISIT], v["corr_residual"][ARM[:, None], VISIT[:, None], VISIT]
        ),
    ),
    "exchangeable": (
        {"residual": "cs(1 | g)"},
        lambda v: correlated(np.full(len(TABLE), v["sigma"]), one_or(v["rho_residual"])),
    ),
    "exchangeable by arm": (
        {"residual": "cs(visit | arm/g)"},
        lambda v: correlated(v["sigma_by"][ARM], one_or(at_arm(v["rho_residual"]))),
    ),
    "exchangeable with strata": (
        {"residual": "cs(1 | g)", "sigma": "~ 0 + f"},
        lambda v: correlated(v["sigma_by"][LEVEL], one_or(v["rho_residual"])),
    ),
    "exchangeable, heterogeneous": (
        {"residual": "csh(visit | g)"},
        lambda v: correlated(v["sd_residual"][VISIT], one_or(v["rho_residual"])),
    ),
    "ar1 by arm": (
        {"residual": "ar1(t | arm/g)"},
        lambda v: correlated(v["sigma_by"][ARM], at_arm(v["rho_residual"]) ** between("t")),
    ),
}


STRUCTURES |= {
    f"{name}, {family}": ({**STRUCTURES[name][0], "family": family}, STRUCTURES[name][1])
    for name, family in [
        ("strata", "lognormal"),
        ("ar1", "lognormal"),
        ("strata", "student"),
        ("columns", "student"),
    ]
}


def products_of_steps(rho):
    """Products of steps between two visits, for rho of each row, shape (n, steps)."""
    first, last = np.minimum.outer(VISIT, VISIT), np.maximum.outer(VISIT, VISIT)
    step = np.arange(4)
    inside = (step >= first[..., None]) & (step < last[..., None])
    return np.prod(np.where(inside, rho[:, None], 1.0), axis=-1)


def from_partials(partials, lags):
    """Autocorrelations by solving for each lag's partial one: Yule-Walker, written out."""
    r = np.eye(1, lags + 1)[0]
    for h in range(1, lags + 1):
        R = r[np.abs(np.subtract.outer(np.arange(h - 1), np.arange(h - 1)))]
        past = np.linalg.solve(R, r[1:h]) if h > 1 else np.zeros(0)
        best, left = past @ r[1:h][::-1], 1.0 - past @ r[1:h]
        r[h] = best + (partials[h - 1] * left if h <= len(partials) else 0.0)
    return r


def of_arma(partials, moving, lags):
    """Autocorrelations of ARMA(p, q) from the moving-average weights of a long past."""
    r = from_partials(partials, max(len(partials), 1))
    p = len(partials)
    toeplitz = r[np.abs(np.subtract.outer(np.arange(p), np.arange(p)))]
    phi = np.linalg.solve(toeplitz, r[1 : p + 1])
    # The moving average is invertible: its coefficients are those of a process of these partials.
    q = len(moving)
    s = from_partials(-np.asarray(moving), max(q, 1))
    theta = -np.linalg.solve(s[np.abs(np.subtract.outer(np.arange(q), np.arange(q)))], s[1 : q + 1])
    psi = np.zeros(4000)
    psi[0] = 1.0
    for k in range(1, len(psi)):
        psi[k] = sum(phi[j] * psi[k - 1 - j] for j in range(min(p, k)))
        psi[k] += theta[k - 1] if k <= q else 0.0
    gamma = np.array([psi[: len(psi) - h] @ psi[h:] for h in range(lags + 1)])
    return gamma / gamma[0]


STEPS = between("t").astype(int)
STRUCTURES |= {
    "heterogeneous ar1": (
        {"residual": "ar1h(visit | g)"},
        lambda v: correlated(v["sd_residual"][VISIT], v["rho_residual"] ** between("t")),
    ),
    "heterogeneous ar1 of numbers": (
        {"residual": "ar1h(week | g)"},
        lambda v: correlated(v["sd_residual"][VISIT], v["rho_residual"] ** between("week")),
    ),
    "ante-dependence": (
        {"residual": "ad(visit | g)"},
        lambda v: correlated(
            np.full(len(TABLE), v["sigma"]),
            products_of_steps(np.tile(v["rho_residual"], (len(TABLE), 1))),
        ),
    ),
    "heterogeneous ante-dependence by arm": (
        {"residual": "adh(visit | arm/g)"},
        lambda v: correlated(
            v["sd_residual"][ARM, VISIT], products_of_steps(v["rho_residual"][ARM])
        ),
    ),
    "Toeplitz": (
        {"residual": "toep(visit | g)"},
        lambda v: correlated(
            np.full(len(TABLE), v["sigma"]), from_partials(v["pacf_residual"], 4)[STEPS]
        ),
    ),
    "heterogeneous Toeplitz by arm": (
        {"residual": "toeph(visit | arm/g)"},
        lambda v: correlated(
            v["sd_residual"][ARM, VISIT],
            np.stack([from_partials(p, 4) for p in v["pacf_residual"]])[ARM[:, None], STEPS],
        ),
    ),
    "arma": (
        {"residual": "arma(t | g, p=1, q=1)"},
        lambda v: correlated(
            np.full(len(TABLE), v["sigma"]),
            of_arma(v["pacf_residual"], v["pacf_ma_residual"], 4)[STEPS],
        ),
    ),
    "arma of higher orders": (
        {"residual": "arma(t | g, p=2, q=2)"},
        lambda v: correlated(
            np.full(len(TABLE), v["sigma"]),
            of_arma(v["pacf_residual"], v["pacf_ma_residual"], 4)[STEPS],
        ),
    ),
    "moving average by arm": (
        {"residual": "arma(t | arm/g, p=0, q=1)"},
        lambda v: correlated(
            v["sigma_by"][ARM],
            np.stack([of_arma([], m, 4) for m in v["pacf_ma_residual"]])[ARM[:, None], STEPS],
        ),
    ),
}


def point_of(graph, seed):
    rng = np.random.default_rng(seed)
    return [(v, v.start + 0.3 * rng.normal(size=v.shape)) for v in free_variables(graph)]


def log_densities(graph, points, variables, *, jacobian=True):
    evaluate = graph.compile_logp(vars=variables, jacobian=jacobian, mode=SLOW_BUT_INSTANT)
    given = [
        {var.name: p for var, (_, p) in zip(graph.value_vars, point, strict=True)}
        for point in points
    ]
    return [float(evaluate(one)) for one in given]


def recovered(model, point, parametrization):
    """The variables of a result tree, from a point."""
    flat = np.concatenate([p.ravel() for _, p in point])[None, None]
    free = constrain(tuple(v for v, _ in point), flat)
    design = model.stated.design
    store = EffectsStore(
        design, KeptEffects.of(design, "draws"), (1, 1), rng=np.random.default_rng(0)
    )
    found = PARAMETRIZATIONS[parametrization].recover(model, free, store) | store.posterior()
    return {name: np.asarray(value)[0, 0] for name, value in found.items()}, free


def linear_predictor(design, values):
    eta = design.X @ values["beta"]
    for factor in design.factors:
        b = values[f"b_{factor.name}"]
        eta = eta + np.sum(factor.columns * b[factor.index], axis=1)
    return eta


def density_of(design, values, R):
    """log p(y | eta), written out."""
    y = design.y
    if design.family.name == "student":
        t = stats.t(values["nu"], scale=np.sqrt(np.diag(R)))
        return lambda eta: t.logpdf(y - eta).sum()
    if design.family.name == "lognormal":
        normal = stats.multivariate_normal(cov=R)
        return lambda eta: normal.logpdf(np.log(y) - eta) - np.log(y).sum()
    return lambda eta: stats.multivariate_normal(eta, R).logpdf(y)


# Residuals are written by one hand, whatever the effects' form.
@pytest.mark.parametrize(
    ("name", "parametrization"),
    [*((name, "noncentered") for name in STRUCTURES), ("strata", "centered"), ("ar1", "centered")],
)
def test_the_likelihood_is_the_dense_normal(name, parametrization):
    given, covariance = STRUCTURES[name]
    design = bl.build_design(FORMULA, TABLE, **given)
    model = Model.of(design)
    graph = PARAMETRIZATIONS[parametrization].build(model)
    points = [point_of(graph, seed) for seed in range(3)]
    found = log_densities(graph, points, graph.observed_RVs)
    for point, likelihood in zip(points, found, strict=True):
        values, _ = recovered(model, point, parametrization)
        R = covariance(values)
        eta = linear_predictor(design, values)
        expected = density_of(design, values, R)(eta)
        # Rounding of an n-by-n factorization.
        np.testing.assert_allclose(likelihood, expected, rtol=1e-9)
        # And R is that of the structure itself, which integrates the effects out elsewhere.
        structure = model.structured_residual
        if structure.size:
            phi = structure.phi({k: np.asarray(v)[None, None] for k, v in values.items()})[0]
            for g in np.unique(TABLE.g):
                one = np.flatnonzero(TABLE.g == g)
                own = structure.covariance(phi, one)[0] if structure.rows.correlation else None
                if own is not None:
                    np.testing.assert_allclose(own, R[np.ix_(one, one)], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_priors_are_those_of_the_model(name):
    model = Model.of(bl.build_design(FORMULA, TABLE, **STRUCTURES[name][0]))
    graph = PARAMETRIZATIONS["noncentered"].build(model)
    point = point_of(graph, 1)
    _, free = recovered(model, point, "noncentered")
    for variable, entries in by_variable(model.structured_residual.entries).items():
        priors = [model.priors.parameters[entry.name] for entry in entries]
        if entries[0].is_matrix:
            partials = free[f"{variable}_partial"][0, 0]
            shapes = [
                np.array(entry.partials) + prior.numbers[0]
                for entry, prior in zip(entries, priors, strict=True)
            ]
            expected = stats.beta(shapes, shapes).logpdf(partials).sum()
            own = f"{variable}_partial"
        else:
            own = variable if variable in free else f"{variable}_flat"
            drawn = np.atleast_1d(free[own][0, 0])
            expected = sum(
                float(p.log_density(x)) for p, x in zip(priors, drawn.ravel(), strict=True)
            )
        found = log_densities(graph, [point], [graph[own]], jacobian=False)[0]
        # PyMC's half-t keeps nine digits.
        np.testing.assert_allclose(found, expected, rtol=1e-8)


@pytest.mark.parametrize("name", STRUCTURES)
def test_variables_are_named_and_labelled_as_in_the_tree(name):
    given, _ = STRUCTURES[name]
    graph = bl.build_model(FORMULA, TABLE, **given)
    structure = Model.of(bl.build_design(FORMULA, TABLE, **given)).structured_residual
    for variable in by_variable(structure.entries):
        assert tuple(graph.named_vars_to_dims.get(variable, ())) == structure.dims[variable]
    for dim, labels in structure.coords.items():
        assert graph.coords[dim] == labels


# One of each way that residuals are drawn.
@pytest.mark.parametrize(
    "name",
    ["columns", "known and strata", "ar1 by arm", "unstructured by arm", "exchangeable by arm"],
)
def test_pymc_predicts_with_the_same_covariance(name):
    given, covariance = STRUCTURES[name]
    design = bl.build_design(FORMULA, TABLE, **given)
    model = Model.of(design)
    with bl.build_model(FORMULA, TABLE, **given) as graph:
        values, _ = recovered(model, point_of(graph, 2), "noncentered")
        wanted = [name for name in graph.in_tree if name in values]
        trace = {k: np.broadcast_to(values[k], (1, 4000, *np.shape(values[k]))) for k in values}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(TreeError, match="from the prior"):
                pm.sample_posterior_predictive(to_tree(graph, trace), progressbar=False)
        drawn = pm.sample_posterior_predictive(
            to_tree(graph, trace), freeze_vars=wanted, progressbar=False, random_seed=1,
            compile_kwargs={"mode": SLOW_BUT_INSTANT},
        )  # fmt: skip
    e = drawn["posterior_predictive"]["y"].to_numpy()[0] - linear_predictor(design, values)
    R = covariance(values)
    whitened = np.linalg.solve(np.linalg.cholesky(R), e.T)
    # Means of 4,000 squares or products have errors of 0.022 or less; 5 of them, of 600 numbers.
    np.testing.assert_allclose(whitened @ whitened.T / 4000, np.eye(len(R)), atol=0.12)


def to_tree(graph, trace):
    import xarray as xr

    data = {
        k: (("chain", "draw", *graph.named_vars_to_dims.get(k, ())), v) for k, v in trace.items()
        if k in graph.named_vars
    }  # fmt: skip
    return xr.DataTree.from_dict({"posterior": xr.Dataset(data)})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"residual": "ar1(t | g)"}, "residual= correlates residuals, and Student's t"),
        ({"se": "se"}, "no density in closed form"),
        ({"sigma": "~ 1", "residual": "us(visit | g)"}, "leave residual= out"),
    ],
)
def test_student_residuals_have_scales_only(given, message):
    with pytest.raises(ArgumentError, match=message):
        bl.build_design(FORMULA, TABLE, family="student", **given)


def test_student_fits_are_summarised_and_say_what_is_not_computed():
    rng, shape = np.random.default_rng(0), (4, 250)
    trace = {
        "beta": rng.normal(size=(*shape, 2)),
        "sigma_by": rng.uniform(1.0, 2.0, (*shape, 2)),
        "nu": rng.uniform(3.0, 9.0, shape),
        "sd_h": rng.uniform(0.5, 1.0, (*shape, 1)),
        "b_h": rng.normal(size=(*shape, 4, 1)),
    }
    given = {"family": "student", "sigma": "~ 0 + f"}
    tree = bl.adopt(trace, FORMULA, TABLE, **given)
    np.testing.assert_array_equal(tree["posterior"]["nu"], trace["nu"])
    told = bl.variance_components(tree)
    assert told[["term", "quantity"]].to_numpy().tolist()[-3:] == [
        ["a", "sigma"], ["b", "sigma"], ["", "nu"]
    ]  # fmt: skip
    with pytest.raises(TreeError, match="residuals of family 'student' whose sigma follows"):
        bl.add_posterior_predictive(tree)
    with pytest.raises(ArgumentError, match="sigma follows a formula, and quadrature"):
        bl.fit_bayes(FORMULA, TABLE, sampler="quadrature", **given)
    with pytest.raises(ArgumentError, match="sigma follows a formula, and the chain"):
        bl.fit_bayes(FORMULA, TABLE, sampler="laplace_chain", **given)


FIXED = {"Intercept": "Normal(0, 1e-9)", "sigma": "Uniform(2, 2.0001)"}


def test_prior_draws_of_student_and_log_normal_residuals():
    tree = bl.sample_prior(
        "y ~ 1", TABLE, draws=4000, random_seed=1, family="student", sigma="~ 0 + f",
        priors={**FIXED, "nu": "Uniform(5, 5.0001)"},
    )  # fmt: skip
    y = tree["prior_predictive"]["y"].to_numpy()
    assert stats.kstest(y.ravel() / 2.0, stats.t(5).cdf).pvalue > 1e-3
    tree = bl.sample_prior(
        "y ~ 1", TABLE, draws=4000, random_seed=1, family="lognormal", residual="ar1(t | g)",
        priors=FIXED,
    )  # fmt: skip
    log_y = np.log(tree["prior_predictive"]["y"].to_numpy())
    # Of 4,000 draws each row's sd has an error of one per cent.
    np.testing.assert_allclose(log_y.std(axis=(0, 1)), 2.0, rtol=0.06)


def test_no_graph_has_the_effects_integrated_out():
    with pytest.raises(ArgumentError, match="give parametrization='noncentered'"):
        bl.build_model(FORMULA, TABLE, sigma="~ 0 + f", parametrization="marginal")
    graph = bl.build_model(FORMULA, TABLE, sigma="~ 0 + f", parametrization="auto")
    assert "z_h" in graph.named_vars
