"""PyMC graphs of residual structures against dense normals written out in full."""

import warnings

import numpy as np
import pymc as pm
import pytest
from pytensor.compile.mode import Mode
from residual_covariances import FORMULA, IN_SIGMA, STRUCTURES, TABLE
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


EVERY = STRUCTURES | IN_SIGMA


# Residuals are written by one hand, whatever the effects' form.
@pytest.mark.parametrize(
    ("name", "parametrization"),
    [
        *((name, "noncentered") for name in EVERY),
        ("strata", "centered"),
        ("ar1", "centered"),
        ("slopes", "centered"),
    ],
)
def test_the_likelihood_is_the_dense_normal(name, parametrization):
    given, covariance = EVERY[name]
    design = bl.build_design(FORMULA, TABLE, **given)
    model = Model.of(design).at_means
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


@pytest.mark.parametrize("name", EVERY)
def test_the_priors_are_those_of_the_model(name):
    model = Model.of(bl.build_design(FORMULA, TABLE, **EVERY[name][0]))
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
        # PyMC's half-t keeps nine digits, of terms that may nearly cancel.
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", EVERY)
def test_variables_are_named_and_labelled_as_in_the_tree(name):
    given, _ = EVERY[name]
    graph = bl.build_model(FORMULA, TABLE, **given)
    structure = Model.of(bl.build_design(FORMULA, TABLE, **given)).structured_residual
    for variable in structure.dims:
        assert tuple(graph.named_vars_to_dims.get(variable, ())) == structure.dims[variable]
    for dim, labels in structure.coords.items():
        assert tuple(graph.coords[dim]) == tuple(labels)


# One of each way that residuals are drawn.
@pytest.mark.parametrize(
    "name",
    [
        "columns",
        "known and strata",
        "ar1 by arm",
        "unstructured by arm",
        "exchangeable by arm",
        "slopes",
    ],
)
def test_pymc_predicts_with_the_same_covariance(name):
    given, covariance = EVERY[name]
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


def test_student_fits_are_summarised_and_drawn_from():
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
    drawn = bl.add_posterior_predictive(tree, random_seed=1)
    found = drawn["posterior_predictive"]["y"].to_numpy().reshape(-1, len(TABLE["y"]))
    eta = bl.predict(tree, kind="link").to_numpy().reshape(found.shape)
    sigma = tree["posterior"]["sigma_by"].to_numpy().reshape(-1, 2)
    own = sigma[:, [("a", "b").index(f) for f in TABLE["f"]]]
    nu = np.repeat(tree["posterior"]["nu"].to_numpy().reshape(-1, 1), own.shape[1], axis=1)
    # Probabilities of standard errors are uniform: a mean of 1/2 and a sd of 0.289, to a few
    # Monte Carlo errors of 1,000 draws of each row.
    ranks = stats.t.cdf((found - eta) / own, nu)
    assert ranks.mean() == pytest.approx(0.5, abs=0.01)
    assert ranks.std() == pytest.approx(12**-0.5, abs=0.01)


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
