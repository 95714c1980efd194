import warnings

import numpy as np
import pytest
import trees
from scipy import stats

from bayeslmm.analysis.checks import diagnosis, leave_one_out, likelihood
from bayeslmm.errors import ArgumentError, NumericalWarning, TreeError

NESTED = {
    "y": np.array([1.0, 3.0, 2.0, 6.0, 4.0, 5.0, 2.5, 3.5, 7.0, 3.0, 1.5, 2.0]),
    "x": np.array([0.0, 1.0, 0.0, 1.0, 2.0, 1.0, 0.0, 2.0, 1.0, 0.5, 1.5, 0.0]),
    "school": np.array(list("aaaabbbbcccc")),
    "room": np.array(list("112211221122")),
}


@pytest.fixture(scope="module")
def slopes():
    return trees.random_tree("y ~ x + (x | g)", trees.TINY, draws=50)


def marginal(idata, rows, draw, factors, weights=None):
    """Dense mean and covariance of some rows at one draw, effects of `factors` integrated out."""
    posterior = idata["posterior"].isel(chain=0, draw=draw)
    data = idata["constant_data"].to_dataset().isel(obs=rows)
    x = np.column_stack([np.ones(len(rows)), data["x"]])
    r = np.ones(len(rows)) if weights is None else weights[rows]
    cov = np.diag(posterior["sigma"].item() ** 2 / r)
    for name, columns in factors.items():
        parts = name.split(":")
        labels = [
            ":".join(map(str, row))
            for row in zip(*(data[p].to_numpy() for p in parts), strict=True)
        ]
        z = x[:, columns]
        sd = posterior[f"sd_{name}"].to_numpy()
        corr = posterior[f"corr_{name}"].to_numpy() if f"corr_{name}" in posterior else np.eye(1)
        same = np.equal.outer(labels, labels)
        cov += (z @ (np.outer(sd, sd) * corr) @ z.T) * same
    return x @ posterior["beta"].to_numpy(), cov


def test_row_log_likelihood_is_the_conditional_normal(slopes):
    values = likelihood.row_log_likelihood(slopes)
    posterior = slopes["posterior"].isel(chain=0, draw=7)
    effects = posterior["b_g"].sel(g=trees.TINY["g"]).to_numpy()
    x = trees.TINY["x"]
    mean = posterior["beta"].to_numpy() @ [np.ones(9), x] + effects[:, 0] + effects[:, 1] * x
    expected = stats.norm.logpdf(trees.TINY["y"], mean, posterior["sigma"].item())
    np.testing.assert_allclose(values[7], expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_group_density_is_the_dense_marginal_normal(weighted):
    weights = np.linspace(0.5, 2, 9) if weighted else None
    idata = trees.random_tree("y ~ x + (x | g)", trees.TINY, draws=50, weights=weights)
    found = likelihood.group_log_likelihood(idata)
    assert found.levels == ("a", "b", "c")
    assert found.conditional == ()
    for draw in (0, 31):
        for position, level in enumerate("abc"):
            rows = np.flatnonzero(trees.TINY["g"] == level)
            mean, cov = marginal(idata, rows, draw, {"g": [0, 1]}, weights)
            expected = stats.multivariate_normal.logpdf(trees.TINY["y"][rows], mean, cov)
            assert found.values[draw, position] == pytest.approx(expected, rel=1e-10)


def test_factors_nested_in_the_group_are_integrated_out_too():
    idata = trees.random_tree("y ~ x + (1 | school/room)", NESTED, draws=50)
    found = likelihood.group_log_likelihood(idata, "school")
    assert set(found.integrated) == {"school", "school:room"}
    rows = np.arange(4, 8)
    mean, cov = marginal(idata, rows, 3, {"school": [0], "school:room": [0]})
    expected = stats.multivariate_normal.logpdf(NESTED["y"][rows], mean, cov)
    assert found.values[3, 1] == pytest.approx(expected, rel=1e-10)


def test_a_crossed_factor_s_effects_are_given():
    idata = trees.random_tree("y ~ x + (1 | school) + (1 | room)", NESTED, draws=50)
    found = likelihood.group_log_likelihood(idata, "school")
    assert found.conditional == ("room",)
    rows = np.arange(4)
    mean, cov = marginal(idata, rows, 5, {"school": [0]})
    rooms = idata["posterior"]["b_room"].isel(chain=0, draw=5).to_numpy()[:, 0]
    expected = stats.multivariate_normal.logpdf(NESTED["y"][rows], mean + rooms[[0, 0, 1, 1]], cov)
    assert found.values[5, 0] == pytest.approx(expected, rel=1e-10)


def tight_tree(formula, seed, y=None):
    """A posterior so tight that importance weights are all alike."""
    data = {**NESTED, **({} if y is None else {"y": y})}
    values = trees.random_draws(formula, data, seed=seed, draws=50)
    tight = {
        name: draws if name.startswith("corr") else 1 + 0.01 * (draws - draws.mean((0, 1)))
        for name, draws in values.items()
    }
    return trees.make_tree(formula, data, tight)


def test_loo_by_group_counts_groups_and_says_what_it_conditions_on():
    result = leave_one_out.loo(tight_tree("y ~ x + (1 | school)", 0), unit="group")
    assert result.n_data_points == 3
    assert result.elpd_i.dims == ("school",)
    assert result.elpd_i.attrs["integrated"] == "school"
    by_row = leave_one_out.loo(tight_tree("y ~ x + (1 | school)", 0))
    assert by_row.n_data_points == 12
    # With hardly any spread in the posterior, leaving out changes little: the plug-in density.
    plug_in = likelihood.row_log_likelihood(tight_tree("y ~ x + (1 | school)", 0)).mean(0)
    np.testing.assert_allclose(by_row.elpd_i, plug_in, atol=0.02)


def test_unreliable_importance_weights_are_reported(slopes):
    with pytest.warns(NumericalWarning, match="unit='group'"):
        leave_one_out.loo(slopes)


def test_models_of_the_same_rows_compare():
    fits = {
        "slope": tight_tree("y ~ x + (1 | school)", 0),
        "flat": tight_tree("y ~ 1 + (1 | school)", 1),
    }
    table = leave_one_out.compare_models(fits)
    assert set(table.index) == {"slope", "flat"}
    assert table["elpd"].is_monotonic_decreasing


def test_what_is_warned_about_a_model_carries_its_name(slopes):
    with pytest.warns(NumericalWarning) as caught:
        leave_one_out.compare_models({"first": slopes, "second": slopes})
    assert {str(warning.message).split(":")[0] for warning in caught} == {
        "Model 'first'",
        "Model 'second'",
    }
    assert all(warning.filename == __file__ for warning in caught)


def test_what_is_no_tree_or_no_mapping_does_not_compare(slopes):
    with pytest.raises(TreeError, match="Model 'b': A result tree"):
        leave_one_out.compare_models({"a": slopes, "b": 3})
    with pytest.raises(ArgumentError, match="maps names to trees"):
        leave_one_out.compare_models([slopes, slopes])


def test_the_left_out_groups_are_named_after_their_factor_whatever_the_order_of_the_terms():
    data = {**NESTED, "y": np.arange(12.0)}
    idata = trees.random_tree("y ~ 1 + (1 | school:room) + (1 | school)", data, draws=50)
    density = likelihood.group_log_likelihood(idata, "school")
    assert density.levels == ("a", "b", "c")
    assert density.integrated == ("school", "school:room")


def test_models_of_other_data_or_scales_do_not_compare():
    one = tight_tree("y ~ x + (1 | school)", 0)
    other = tight_tree("y ~ x + (1 | school)", 0, y=NESTED["y"] + 1)
    with pytest.raises(ArgumentError, match="same rows"):
        leave_one_out.compare_models({"one": one, "other": other})
    logged = tight_tree("log(y) ~ x + (1 | school)", 0)
    with pytest.raises(ArgumentError, match="different scales"):
        leave_one_out.compare_models({"one": one, "logged": logged})
    with pytest.raises(ArgumentError, match="two models"):
        leave_one_out.compare_models({"one": one})


def test_a_good_fit_is_ok():
    found = diagnosis.diagnose(trees.random_tree("y ~ x + (x | g)", trees.TINY))
    assert found.ok
    assert "No problem" in found.text
    assert "E-BFMI" in found.text
    # Every scalar: 2 coefficients, 2 sds, 1 correlation, sigma, 3 levels times 2 effects.
    assert len(found.table) == 12


def test_each_trouble_is_named_with_what_to_try():
    chains, draws = 4, 250
    rng = np.random.default_rng(0)
    values = trees.random_draws("y ~ x + (1 | g)", trees.TINY)
    values["sigma"] = values["sigma"] + np.arange(4)[:, None]
    stats_ = {
        "diverging": np.eye(chains, draws, dtype=bool),
        # A slow random walk: each step is small beside the whole range.
        "energy": np.cumsum(rng.normal(size=(chains, draws)), axis=1),
        "maxdepth_reached": np.ones((chains, draws), dtype=bool),
    }
    idata = trees.make_tree("y ~ x + (1 | g)", trees.TINY, values, sample_stats=stats_)
    found = diagnosis.diagnose(idata)
    assert not found.ok
    assert [problem.name for problem in found.problems] == [
        *("r_hat", "ess", "divergences"),
        *("bfmi", "tree_depth"),
    ]
    assert found.table.index[0] == "sigma"
    assert "target_accept" in str(found)
    assert "<table" in found._repr_html_()


def test_a_handful_of_draws_is_too_few_for_importance_weights():
    idata = trees.random_tree("y ~ x + (x | g)", trees.TINY, chains=2, draws=8)
    with pytest.raises(TreeError, match="16 draws"):
        leave_one_out.loo(idata)
    with pytest.raises(TreeError, match="do not move"):
        leave_one_out.loo(trees.documented_tree())


def test_unknown_units_and_factors_are_refused(slopes):
    with pytest.raises(ArgumentError, match="Did you mean 'group'"):
        leave_one_out.loo(slopes, unit="groups")
    with pytest.raises(TreeError, match="no grouping factor"):
        leave_one_out.loo(slopes, unit="group", factor="h")


def test_leaving_out_a_group_agrees_with_the_posterior_without_it():
    """A model whose leave-one-group-out density has a closed form."""
    # Known sigma and sd, flat prior on the mean: b integrated, mu | data is normal.
    rng = np.random.default_rng(3)
    m, rows, sd, sigma = 12, 4, 1.0, 1.0
    g = np.repeat([f"g{i:02d}" for i in range(m)], rows)
    y = np.repeat(rng.normal(size=m) * sd, rows) + rng.normal(size=m * rows) * sigma
    block = sd**2 + sigma**2 * np.eye(rows)
    means = y.reshape(m, rows).mean(axis=1)
    spread = sd**2 + sigma**2 / rows
    draws = rng.normal(means.mean(), np.sqrt(spread / m), size=(4, 2000, 1))
    values = {
        "beta": draws,
        **trees.constant_draws((4, 2000), sigma=sigma, sd_g=[sd], b_g=np.zeros((m, 1))),
    }
    idata = trees.make_tree("y ~ 1 + (1 | g)", {"y": y, "g": g}, values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = leave_one_out.loo(idata, unit="group")
    for level in range(m):
        rest = np.delete(means, level).mean()
        cov = block + spread / (m - 1)
        exact = stats.multivariate_normal.logpdf(y[level * rows : (level + 1) * rows],
                                                 np.full(rows, rest), cov)  # fmt: skip
        # 8,000 draws with weights of little spread: Monte Carlo error of a log mean near 0.01.
        assert found.elpd_i.to_numpy()[level] == pytest.approx(exact, abs=0.03)


def test_the_log_likelihood_group_is_the_conditional_normal_density():
    tree = trees.random_tree("y ~ x + (x | g)", trees.TINY, seed=3, chains=2, draws=5)
    added = likelihood.add_log_likelihood(tree)
    assert "log_likelihood" not in tree.children
    values = added["log_likelihood"]["y"]
    assert values.dims == ("chain", "draw", "obs")
    draw = tree["posterior"].to_dataset().isel(chain=1, draw=2)
    x, g = trees.TINY["x"], list(trees.TINY["g"])
    beta, b = draw["beta"].to_numpy(), draw["b_g"]
    for row in (0, 4):
        effects = b.sel(g=g[row]).to_numpy()
        mean = beta[0] + effects[0] + (beta[1] + effects[1]) * x[row]
        expected = stats.norm(mean, float(draw["sigma"])).logpdf(trees.TINY["y"][row])
        # The same formula twice in double precision.
        assert float(values[1, 2, row]) == pytest.approx(expected, rel=1e-10)
