"""The PyMC graphs against densities written out independently, and against their NumPy twins."""

import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from pytensor.graph.traversal import ancestors
from scipy import stats

import bayeslmm as bl
from bayeslmm.inference.graph.build import PARAMETRIZATIONS, build_model
from bayeslmm.inference.graph.covariance import correlation_graph
from bayeslmm.inference.nuts.compile import constrain, free_variables
from bayeslmm.model.covariance.block_covariance import BlockCovariance
from bayeslmm.model.model import Model
from bayeslmm.results.kept_effects import EffectsStore, KeptEffects

# The Python linker compiles nothing: these tests evaluate a handful of points.
SLOW_BUT_INSTANT = Mode(linker="py", optimizer="fast_compile")

FORMULAS = {
    "intercept": "y ~ x + (1 | g)",
    "three correlated columns": "y ~ x + (x + z | g)",
    "uncorrelated": "y ~ x + (x || g)",
    "crossed": "y ~ x + f + (1 | g) + (1 | h)",
    "several terms on a factor": "y ~ x + (1 | g) + (0 + x + z | g)",
    "no intercept": "y ~ 0 + f + (x | g)",
    "no random effects": "y ~ x",
}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(3)
    n = 40
    return pd.DataFrame(
        {
            "y": rng.normal(10, 3, n),
            "x": rng.normal(2, 1, n),
            "z": rng.normal(0, 2, n),
            "f": rng.choice(["a", "b", "c"], n),
            "g": rng.choice(list("pqrst"), n),
            "h": rng.choice(list("uvw"), n),
            "w": rng.uniform(0.5, 2, n),
        }
    )


def unconstrained_points(model, seed, scale=0.3):
    rng = np.random.default_rng(seed)
    start = free_variables(model)
    return [(v, v.start + scale * rng.normal(size=v.shape)) for v in start]


def recovered(design, priors, free, parametrization):
    kept = KeptEffects.of(design, "draws")
    store = EffectsStore(design, kept, (1, 1), rng=np.random.default_rng(0))
    shared = PARAMETRIZATIONS[parametrization].recover(Model(design, priors), free, store)
    return {**shared, **store.posterior()}


def log_density(model, point):
    evaluate = model.compile_logp(mode=SLOW_BUT_INSTANT)
    return float(
        evaluate({value.name: p for value, p in zip(model.value_vars, point, strict=True)})
    )


def half_t(x, nu, scale):
    return np.log(2) + stats.t(nu, scale=scale).logpdf(x)


def lkj(corr, eta):
    """LKJ log-density by its definition, normalized by the onion recursion of Gamma functions."""
    from scipy.special import gammaln

    q = len(corr)
    if q == 1:
        return 0.0
    log_constant = 0.0
    for k in range(1, q):
        log_constant += 0.5 * k * np.log(np.pi)
        log_constant += gammaln(eta + (q - 1 - k) / 2) - gammaln(eta + (q - 1) / 2)
    return (eta - 1) * np.linalg.slogdet(corr)[1] - log_constant


def scales_and_correlations(packed, q):
    """Map an unconstrained packed factor to (sds, correlations), also for complex numbers."""
    chol = np.zeros((q, q), dtype=packed.dtype)
    chol[np.tril_indices(q)] = packed
    chol[np.diag_indices(q)] = np.exp(np.diag(chol))
    cov = chol @ chol.T
    sd = np.sqrt(np.diag(cov))
    return np.concatenate([sd, (cov / sd[:, None] / sd[None, :])[np.tril_indices(q, -1)]]), chol


def log_jacobian(packed, q):
    """Log |d(sd, corr) / d(packed)| by complex steps: exact to rounding, and nobody's algebra."""
    step = 1e-30
    columns = [
        scales_and_correlations(packed + 1j * step * unit, q)[0].imag / step
        for unit in np.eye(len(packed))
    ]
    return np.linalg.slogdet(np.stack(columns))[1]


def expected_log_density(design, values, eta=2.0):
    """Priors with Jacobians and likelihood of the non-centered model, from a point."""
    y, X = design.y, design.X
    s_y = y.std(ddof=1)
    beta = values["beta_centered"]
    total = 0.0
    if design.coef[0] == "Intercept":
        slopes = X[:, 1:]
        total += stats.norm(y.mean(), 2.5 * s_y).logpdf(beta[0])
        widths = 2.5 * s_y / slopes.std(axis=0, ddof=1)
        total += stats.norm(0, widths).logpdf(beta[1:]).sum()
        mean = beta[0] + (slopes - slopes.mean(axis=0)) @ beta[1:]
    else:
        widths = 2.5 * s_y / X.std(axis=0, ddof=1)
        total += stats.norm(y.mean(), widths).logpdf(beta).sum()
        mean = X @ beta
    for factor in design.factors:
        z = values[f"z_{factor.name}"]
        total += stats.norm.logpdf(z).sum()
        spread = [1.0 if t == "Intercept" else c.std(ddof=1)
                  for t, c in zip(factor.terms, factor.columns.T, strict=True)]  # fmt: skip
        widths = s_y / np.array(spread)
        chol = np.zeros((len(factor.terms),) * 2)
        for columns in factor.blocks:
            block = list(columns)
            q = len(block)
            if q == 1:
                single = f"sd_{factor.name}"
                if len(factor.blocks) > 1 and any(len(b) > 1 for b in factor.blocks):
                    single += "_uncorrelated"
                ones = [b[0] for b in factor.blocks if len(b) == 1]
                log_sd = values[single][ones.index(block[0])]
                chol[block[0], block[0]] = np.exp(log_sd)
                total += half_t(np.exp(log_sd), 3, widths[block[0]]) + log_sd
                continue
            name = f"G_{factor.name}"
            if q < len(factor.terms):
                name += f"_{block[0]}"
            packed = values[name]
            both, part = scales_and_correlations(packed, q)
            corr = np.eye(q)
            corr[np.tril_indices(q, -1)] = both[q:]
            corr = corr + np.tril(corr, -1).T
            total += half_t(both[:q], 3, widths[block]).sum() + lkj(corr, eta)
            total += log_jacobian(packed, q)
            chol[np.ix_(block, block)] = part
        b = z @ chol.T
        mean = mean + (factor.columns * b[factor.index]).sum(axis=1)
    log_sigma = values["sigma"]
    weight = 1.0 if design.weights is None else design.weights.mean()
    total += half_t(np.exp(log_sigma), 3, s_y * np.sqrt(weight)) + log_sigma
    sd = np.exp(log_sigma) / np.sqrt(1 if design.weights is None else design.weights)
    return total + stats.norm(mean, sd).logpdf(y).sum()


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS.keys())
def test_the_joint_log_density_is_the_one_written_by_hand(table, formula):
    design = bl.build_design(formula, table)
    model = build_model(design)
    for seed in range(3):
        point = unconstrained_points(model, seed)
        values = {variable.name: value for variable, value in point}
        ours = log_density(model, [value for _, value in point])
        # 1e-9 relative: both sides add the same few hundred terms, in another order.
        assert ours == pytest.approx(expected_log_density(design, values), rel=1e-9)


def test_weights_divide_the_residual_variance(table):
    design = bl.build_design("y ~ x + (1 | g)", table, weights="w")
    model = build_model(design)
    point = unconstrained_points(model, 0)
    values = {variable.name: value for variable, value in point}
    ours = log_density(model, [value for _, value in point])
    assert ours == pytest.approx(expected_log_density(design, values), rel=1e-9)


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS.keys())
def test_numpy_recovers_what_the_graph_derives(table, formula, parametrization):
    design = bl.build_design(formula, table)
    priors = bl.resolve_priors(design)
    model = build_model(design, priors=priors, parametrization=parametrization)
    contract = ("beta", "sigma", "sd_g", "sd_h", "corr_g", "b_g", "b_h")
    named = [model[name] for name in contract if name in model.named_vars]
    evaluate = model.compile_fn(
        model.replace_rvs_by_values(named),
        inputs=model.value_vars,
        mode=SLOW_BUT_INSTANT,
        on_unused_input="ignore",
    )
    point = unconstrained_points(model, 1)
    arguments = {v.name: p for v, (_, p) in zip(model.value_vars, point, strict=True)}
    expected = dict(zip([v.name for v in named], evaluate(arguments), strict=True))
    flat = np.concatenate([value.ravel() for _, value in point])[None, None, :]
    free = constrain(free_variables(model), flat)
    ours = recovered(design, priors, free, parametrization)
    integrated_out = {"beta", "b_g", "b_h"} if parametrization == "marginal" else set()
    assert set(expected) | integrated_out >= set(ours) >= set(expected)
    for name, value in expected.items():
        # The same few products and exponentials in another order.
        np.testing.assert_allclose(ours[name][0, 0], value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("columns", [2, 3, 4])
def test_priors_of_mixed_families_give_the_same_density_as_one_lkj_cholesky(columns):
    rng = np.random.default_rng(columns)
    n = 60
    data = {"y": rng.normal(size=n), "g": rng.choice(list("abcdef"), n)}
    data |= {f"x{k}": rng.normal(size=n) for k in range(1, columns)}
    slopes = " + ".join(f"x{k}" for k in range(1, columns))
    design = bl.build_design(f"y ~ 1 + ({slopes} | g)", data)
    # Gamma(1, r) is Exponential(r): two families, one density, so both formulations apply.
    last = f"sd_g[x{columns - 1}]"
    one = build_model(design, priors={"sd": "Exponential(0.7)", "corr": "LKJ(1.5)"})
    two = build_model(
        design, priors={"sd": "Exponential(0.7)", last: "Gamma(1, 0.7)", "corr": "LKJ(1.5)"}
    )
    assert "G_g_sd_Gamma" in {v.name for v in two.free_RVs}
    for seed in range(3):
        packed = 0.5 * np.random.default_rng(seed).normal(size=columns * (columns + 1) // 2)
        both, chol = scales_and_correlations(packed, columns)
        density_one = _prior_density_of_block(one, {"G_g": packed})
        density_one -= log_jacobian(packed, columns)
        sd = both[:columns]
        unit = chol / sd[:, None]
        lkj_value = (
            two.rvs_to_transforms[two["G_g"]]
            .forward(unit, *two["G_g"].owner.inputs)
            .eval(mode=SLOW_BUT_INSTANT)
        )
        density_two = _prior_density_of_block(
            two, {"G_g_sd_Exponential": np.log(sd[:-1]), "G_g_sd_Gamma": np.log(sd[-1:]),
                  "G_g": lkj_value}
        )  # fmt: skip
        density_two -= np.log(sd).sum() + _log_jacobian_of_correlations(two, lkj_value)
        assert density_one == pytest.approx(density_two, abs=1e-9)


def _prior_density_of_block(model, values):
    terms = model.logp(vars=[model[name] for name in values], sum=False)
    inputs = [model.rvs_to_values[model[name]] for name in values]
    evaluate = model.compile_fn(terms, inputs=inputs, mode=SLOW_BUT_INSTANT)
    out = evaluate({value.name: values[name] for value, name in zip(inputs, values, strict=True)})
    return sum(float(np.sum(term)) for term in out)


def _log_jacobian_of_correlations(model, value):
    """Log |d corr / d value| by central differences of PyMC's own transform."""
    variable = model["G_g"]
    transform = model.rvs_to_transforms[variable]
    arguments = variable.owner.inputs

    point = pt.dvector("point")
    graph = transform.backward(point, *arguments)
    cholesky = pytensor.function([point], graph, mode=SLOW_BUT_INSTANT, on_unused_input="ignore")

    def correlations(v):
        chol = cholesky(v)
        return (chol @ chol.T)[np.tril_indices(len(chol), -1)]

    # The seven-point rule's error is of order h^6 = 1e-18, rounding's 1e-16 / h = 1e-13.
    h = 1e-3
    columns = []
    for unit in np.eye(len(value)):
        f = [correlations(value + k * h * unit) for k in (-3, -2, -1, 1, 2, 3)]
        columns.append((-f[0] + 9 * f[1] - 45 * f[2] + 45 * f[3] - 9 * f[4] + f[5]) / (60 * h))
    return np.linalg.slogdet(np.stack(columns))[1]


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS.keys())
def test_every_prior_and_every_hyperparameter_reaches_the_likelihood(
    table, formula, parametrization
):
    model = build_model(formula, table, parametrization=parametrization)
    (observed,) = model.observed_RVs
    above = set(ancestors([observed]))
    assert [v.name for v in model.free_RVs if v not in above] == []
    density = set(ancestors([model.logp()]))
    # The columns' means serve only to report the intercept on the original scale.
    unused = {v.name for v in model.data_vars if v not in density} - {"X_centers"}
    assert unused == set()


def test_a_reader_of_the_graph_sees_an_lkj_cholesky_prior(table):
    model = build_model("y ~ x + (x | g)", table)
    assert "LKJCholeskyCov" in type(model["G_g"].owner.op).__name__
    assert set(model.named_vars) >= {"beta", "sd_g", "corr_g", "b_g", "sigma", "y"}
    assert model.named_vars_to_dims["b_g"] == ("g", "g_term")
    assert model.named_vars_to_dims["corr_g"] == ("g_term", "g_term_bis")


def test_fixed_effects_priors_of_several_families_keep_their_order(table):
    priors = {"x": "StudentT(3, 0, 2)", "z": "Normal(1, 2)"}
    design = bl.build_design("y ~ x + z + (1 | g)", table)
    resolved = bl.resolve_priors(design, priors)
    model = build_model(design, priors=resolved)
    point = unconstrained_points(model, 5)
    flat = np.concatenate([value.ravel() for _, value in point])[None, None, :]
    free = constrain(free_variables(model), flat)
    beta = recovered(design, resolved, free, "noncentered")["beta"][0, 0]
    graph = model.compile_fn(
        model.replace_rvs_by_values([model["beta"]]),
        inputs=model.value_vars,
        on_unused_input="ignore",
        mode=SLOW_BUT_INSTANT,
    )
    arguments = {v.name: p for v, (_, p) in zip(model.value_vars, point, strict=True)}
    np.testing.assert_allclose(beta, graph(arguments)[0], rtol=1e-12)
    assert beta[1] == free["beta_centered_StudentT"][0, 0, 0]


@pytest.mark.parametrize("name", ["obs", "beta", "coef", "draw"])
def test_a_factor_with_a_reserved_name_has_a_dimension_of_its_own(table, name):
    renamed = table.rename(columns={"g": name})
    model = build_model(f"y ~ x + (1 | {name})", renamed)
    assert model.named_vars_to_dims[f"b_{name}"] == (f"{name}_level", f"{name}_term")


def test_an_unknown_parametrization_is_refused_with_the_nearest(table):
    with pytest.raises(bl.ArgumentError, match="Did you mean 'noncentered'"):
        build_model("y ~ x + (1 | g)", table, parametrization="non-centered")


def test_prior_predictive_sampling_works_on_the_graph(table):
    with build_model("y ~ x + (x | g)", table):
        tree = pm.sample_prior_predictive(20, random_seed=1)
    assert tree["prior_predictive"]["y"].shape == (1, 20, len(table))


@pytest.mark.parametrize(
    "blocks", [((0,),), ((0, 1),), ((0, 1, 2),), ((0, 1, 2, 3),), ((0, 1), (2,)), ((0, 1), (2, 3))]
)
def test_correlations_in_a_graph_are_those_of_the_structures(blocks):
    terms = tuple("abcd"[: sum(map(len, blocks))])
    G = BlockCovariance.of_blocks("g", terms, blocks)
    partials = np.random.default_rng(len(blocks)).uniform(-0.95, 0.95, size=G.n_partials)
    found = correlation_graph(pt.constant(partials), G).eval(mode=SLOW_BUT_INSTANT)
    # The same products in another order.
    np.testing.assert_allclose(found, G.correlation(partials), rtol=1e-12, atol=1e-12)


def test_chains_start_within_the_width_of_narrow_priors():
    # A column in small units: the prior sd of its coefficient is 0.005, and one is 200 of them.
    rng = np.random.default_rng(1)
    table = {"y": rng.poisson(3.0, 40), "x": 500 * rng.normal(size=40), "g": list("abcd") * 10}
    model = build_model("y ~ x + (1 | g)", table, family="poisson")
    (beta,) = (v for v in free_variables(model) if v.name == "beta_centered")
    (offsets,) = (v for v in free_variables(model) if v.name == "z_g")
    np.testing.assert_allclose(beta.spread, [1.0, 2.5 / np.std(table["x"], ddof=1)])
    assert np.all(offsets.spread == 1.0)
