"""Posteriors with structures of G against dense normals, and their PyMC graphs."""

import numpy as np
import pandas as pd
import pytest
from pytensor.compile.mode import Mode
from scipy import stats

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, DataError, FormulaError
from bayeslmm.gram.gram import Gram
from bayeslmm.inference.graph.build import PARAMETRIZATIONS
from bayeslmm.inference.marginal.target import MarginalTarget
from bayeslmm.inference.method import choose_method
from bayeslmm.inference.nuts.compile import constrain, free_variables
from bayeslmm.inference.settings import SamplerSettings
from bayeslmm.inference.structured.target import StructuredTarget
from bayeslmm.model.model import Model
from bayeslmm.results.kept_effects import EffectsStore, KeptEffects

SLOW_BUT_INSTANT = Mode(linker="py", optimizer="fast_compile")
# A few hundred products of numbers of one size, and a factorization.
ROUNDING = 1e-9
TERMS = {
    "cs": "cs(0 + f | g)",
    "homcs": "homcs(0 + f | g)",
    "ar1": "ar1(0 + week | g)",
    "hetar1": "hetar1(0 + week | g)",
    "ar1 of categories": "ar1(0 + f | g)",
    "ou": "ou(0 + time | g)",
    "toep": "toep(0 + f | g)",
    "homtoep": "homtoep(0 + f | g)",
    "homdiag": "homdiag(0 + f | g)",
    "beside others": "(x | g) + ar1(0 + week | g) + cs(0 + f | h)",
    "nested": "ar1(0 + week | g/k)",
    "crossed": "cs(0 + f | g) + (1 | h)",
}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(3)
    n = 72
    return pd.DataFrame(
        {
            "y": rng.normal(10, 3, n),
            "x": rng.normal(2, 1, n),
            "g": rng.choice(list("pqrst"), n),
            "h": rng.choice(list("uvw"), n),
            "k": rng.choice(list("mn"), n),
            "f": pd.Categorical(rng.choice(["a", "b", "c"], n), ordered=True),
            "week": rng.choice([0, 1, 4], n),
            "time": rng.choice([0.5, 1.0, 3.25, 4.0], n),
        }
    )


def unit_factor(structure, positions, u, q):
    """A correlation matrix by its definition."""
    i, j = np.indices((q, q))
    if structure in ("cs", "homcs"):
        lowest = -1 / (q - 1)
        return np.where(i == j, 1.0, lowest + (1 - lowest) * u[0])
    if structure in ("ar1", "hetar1"):
        lags = np.abs(np.subtract.outer(positions, positions)).astype(int)
        return (2 * u[0] - 1) ** lags
    if structure == "ou":
        lags = np.abs(np.subtract.outer(positions, positions)) / np.median(np.diff(positions))
        return u[0] ** lags
    assert structure in ("toep", "homtoep")
    assert q == 3
    first, second = 2 * u - 1
    r = np.array([1.0, first, first**2 + second * (1 - first**2)])
    return r[np.abs(i - j)]


def covariances(design, priors, sds, partials):
    """G of each factor by definition, from the target's parameters in their order."""
    found, sd, part = [], 0, 0
    for factor, own in zip(design.factors, priors.factors, strict=True):
        q = len(factor.terms)
        columns = np.asarray(own.covariance.sd_columns)
        scale = sds[sd : sd + own.covariance.n_sds][columns]
        sd += own.covariance.n_sds
        R = np.eye(q)
        said = dict(
            zip(factor.blocks, factor.structures or ["us"] * len(factor.blocks), strict=True)
        )
        for structure, at in own.covariance.members:
            u = partials[part : part + structure.n_partials]
            part += structure.n_partials
            for block, one in said.items():
                if set(at) != set(block) or len(block) == 1:
                    continue
                kind = one if isinstance(one, str) else one.kind
                if kind == "us" and len(block) == 2:
                    R[block[0], block[1]] = R[block[1], block[0]] = u[0]
                elif kind != "homdiag":
                    R[np.ix_(block, block)] = unit_factor(kind, one.positions, u, len(block))
        found.append(scale[:, None] * R * scale)
    return found


def dense(design, Gs, R, priors):
    mean, cov = np.array([p.numbers[0] for p in priors.beta]), None
    V = R.copy()
    for factor, G in zip(design.factors, Gs, strict=True):
        same = factor.index[:, None] == factor.index
        V += same * (factor.columns @ G @ factor.columns.T)
    turn = np.eye(design.X.shape[1])
    turn[0, 1:] = -np.asarray(priors.centers)[1:]
    cov = turn @ np.diag([p.numbers[1] ** 2 for p in priors.beta]) @ turn.T
    mean = turn @ mean
    V = V + design.X @ cov @ design.X.T
    return stats.multivariate_normal(design.X @ mean, V).logpdf(design.y)


@pytest.mark.parametrize("term", TERMS)
def test_the_density_is_that_of_the_normal_with_g_written_out(term, table):
    design = bl.build_design(f"y ~ x + {TERMS[term]}", table)
    priors = bl.resolve_priors(design)
    target = MarginalTarget(Gram.from_design(design), priors)
    rng = np.random.default_rng(4)
    for _ in range(3):
        x = rng.normal(0.0, 0.5, target.size)
        values = target.parameters(x)
        a, b = target.n_sds, target.n_sds + target.n_partials
        Gs = covariances(design, priors, values[:a], values[a:b])
        expected = dense(design, Gs, values[b] ** 2 * np.eye(design.n), priors)
        found = target.log_likelihood(x[None])[0]
        assert found == pytest.approx(expected, rel=ROUNDING)
        value, gradient = target.log_density_and_gradient(x)
        assert value == pytest.approx(target.log_density(x[None])[0], rel=ROUNDING)
        step = 1e-5
        rise = [
            np.subtract(*target.log_density(np.stack([x + axis, x - axis]))) / (2 * step)
            for axis in step * np.eye(len(x))
        ]
        # Rounding over the step: 1e-12 of a value of a few hundred.
        assert np.allclose(gradient, rise, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("term", ["ar1", "hetar1", "toep", "crossed"])
def test_the_density_beside_a_residual_structure(term, table):
    table = table.assign(when=np.arange(len(table)))
    design = bl.build_design(f"y ~ x + {TERMS[term]}", table, residual="ar1(when | g)")
    model = Model.of(design)
    target = StructuredTarget(model)
    x = np.random.default_rng(5).normal(0.0, 0.5, target.size)
    sds, partials, phi, _ = target.parts(target.parameters(x))
    same = table["g"].to_numpy()[:, None] == table["g"].to_numpy()
    lag = np.abs(np.subtract.outer(table["when"].to_numpy(), table["when"].to_numpy()))
    R = phi[0] ** 2 * same * phi[1] ** lag
    expected = dense(design, covariances(design, model.priors, sds, partials), R, model.priors)
    assert target.log_likelihood(x[None])[0] == pytest.approx(expected, rel=ROUNDING)
    value, gradient = target.log_density_and_gradient(x)
    assert value == pytest.approx(target.log_density(x[None])[0], rel=ROUNDING)
    step = 1e-5
    rise = [
        np.subtract(*target.log_density(np.stack([x + axis, x - axis]))) / (2 * step)
        for axis in step * np.eye(len(x))
    ]
    assert np.allclose(gradient, rise, rtol=1e-6, atol=1e-6)  # as above


@pytest.mark.parametrize("parametrization", ["noncentered", "centered"])
@pytest.mark.parametrize("term", ["cs", "ar1", "ou", "homtoep", "homdiag", "beside others"])
def test_the_graph_is_priors_times_normals(term, parametrization, table):
    design = bl.build_design(f"y ~ x + {TERMS[term]}", table)
    model = Model.of(design).at_means
    graph = PARAMETRIZATIONS[parametrization].build(model)
    variables = free_variables(graph)
    rng = np.random.default_rng(6)
    point = [(v, v.start + 0.3 * rng.normal(size=v.shape)) for v in variables]
    given = {value.name: p for value, (_, p) in zip(graph.value_vars, point, strict=True)}
    found = float(graph.compile_logp(jacobian=False, mode=SLOW_BUT_INSTANT)(given))

    flat = np.concatenate([p.ravel() for _, p in point])[None, None]
    free = constrain(tuple(variables), flat)
    store = EffectsStore(
        design, KeptEffects.of(design, "draws"), (1, 1), rng=np.random.default_rng(0)
    )
    values = PARAMETRIZATIONS[parametrization].recover(model, free, store) | store.posterior()
    values = {name: np.asarray(v)[0, 0] for name, v in values.items()}
    eta = design.X @ values["beta"]
    expected = 0.0
    for factor, own in zip(design.factors, model.priors.factors, strict=True):
        b = values[f"b_{factor.name}"]
        eta = eta + np.sum(factor.columns * b[factor.index], axis=1)
        sd, corr = values[own.covariance.sd_name], values.get(own.covariance.corr_name)
        G = np.outer(sd, sd) * (np.eye(len(sd)) if corr is None else corr)
        leads = sd[list(own.covariance.sd_leads)]
        expected += sum(p.log_density(s) for p, s in zip(own.sd, leads, strict=True))
        drawn = [free[v][0, 0].ravel() for v in free if v.startswith(f"corr_{factor.name}_own")]
        shapes = own.covariance.partial_shapes(own.eta if own.corr else 1.0)
        halves = np.concatenate([np.zeros(0), *drawn])
        expected += stats.beta(*shapes.T).logpdf(halves).sum()
        if parametrization == "noncentered":
            expected += stats.norm.logpdf(free[f"z_{factor.name}"]).sum()
        else:
            expected += stats.multivariate_normal(np.zeros(len(sd)), G).logpdf(b).sum()
    centered = model.priors.centered_beta(values["beta"])
    expected += sum(p.log_density(v) for p, v in zip(model.priors.beta, centered, strict=True))
    expected += model.priors.sigma.log_density(values["sigma"])
    expected += stats.norm(eta, values["sigma"]).logpdf(design.y).sum()
    assert found == pytest.approx(float(expected), rel=ROUNDING)


def test_a_tree_has_one_sd_for_each_column_and_the_correlation_by_name(table):
    fit = bl.fit_bayes(
        f"y ~ x + {TERMS['beside others']}", table, sampler="importance", draws=250, random_seed=1,
        priors={"sd": "HalfNormal(3)"},
    )  # fmt: skip
    posterior = fit.posterior
    assert {"rho_g", "rho_h", "corr_g", "sd_g"} <= set(posterior)
    weeks = ["week[0]", "week[1]", "week[4]"]
    sd = posterior["sd_g"].sel(g_term=weeks)
    assert (sd == sd.isel(g_term=0)).all()
    between = posterior["corr_g"].sel(g_term="week[1]", g_term_bis="week[4]")
    assert np.allclose(between, posterior["rho_g"] ** 3, rtol=1e-6, atol=1e-9)
    back = bl.Priors.from_json(fit.attrs["priors"])
    assert back.factors[0].covariance.sd_names[2] == "sd_g[week]"


def test_new_rows_are_coded_at_the_training_rows_positions(table):
    design = bl.build_design("y ~ x + ar1(0 + week | g)", table)
    new = bl.rebuild_design(design.state, {"x": [1.0, 2.0], "week": [4, 0], "g": ["p", "new"]})
    assert new.factors[0].columns.tolist() == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    again = type(design.state).from_json(design.state.to_json())
    assert again == design.state
    with pytest.raises(DataError, match=r"ar1\(\) has no effect at week 2: no training row"):
        bl.rebuild_design(design.state, {"x": [1.0], "week": [2], "g": ["p"]})


@pytest.mark.parametrize(
    ("term", "error", "message"),
    [
        ("ar1(0 + time | g)", DataError, r"counts steps in whole numbers.*ou\(0 \+ time \| g\)"),
        ("toep(0 + week | g)", DataError, r"not equally far apart"),
        ("ou(0 + f | g)", DataError, r"ou\(\) reads times as numbers"),
        ("ar1(0 + h | g)", DataError, r"goes by the order of visits"),
        ("ar1(0 + week + x | g)", FormulaError, r"goes by the values of one column"),
        ("ar1(0 + log(time) | g)", FormulaError, r"goes by the values of one column"),
    ],
)
def test_what_a_structure_cannot_read_is_named(term, error, message, table):
    with pytest.raises(error, match=message):
        bl.build_design(f"y ~ x + {term}", table)


def test_pymc_models_of_the_marginal_density_are_refused_by_name(table):
    with pytest.raises(ArgumentError, match="no PyMC model of the structure of G by 'g'"):
        bl.build_model("y ~ x + cs(0 + f | g)", table, parametrization="marginal")


def test_other_families_structures_are_sampled_by_the_chain(table):
    counts = table.assign(y=np.round(np.abs(table["y"])))
    design = bl.build_design("y ~ x + cs(0 + f | g)", counts, family="poisson")
    settings = SamplerSettings(sampler="auto", parametrization="auto")
    chosen, _ = choose_method(Model.of(design), settings)
    assert chosen.sampler == "laplace_chain"


def test_a_summary_tells_shared_numbers_once(table):
    fit = bl.fit_bayes(
        f"y ~ x + {TERMS['ar1']} + {TERMS['homcs'].replace('| g', '| h')}", table,
        sampler="importance", draws=250, random_seed=1, priors={"sd": "HalfNormal(3)"},
    )  # fmt: skip
    rows = bl.variance_components(fit)
    told = list(zip(rows["factor"], rows["term"], rows["quantity"], strict=True))
    assert told == [
        ("g", "week", "sd"), ("g", "week", "variance"), ("g", "week", "rho"),
        ("h", "f", "sd"), ("h", "f", "variance"), ("h", "f", "rho"),
        ("Residual", "", "sd"), ("Residual", "", "variance"),
    ]  # fmt: skip
    assert {"rho_g", "rho_h"} <= set(bl.diagnose(fit).table.index)
    assert "rho week" in str(bl.summary(fit))
