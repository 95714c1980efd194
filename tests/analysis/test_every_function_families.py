"""Each public function of a result: right of every family's responses, or refused by name."""

import inspect
import re
from pathlib import Path

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pytest
import trees

import bayeslmm as bl
from bayeslmm.errors import NumericalWarning, TreeError
from bayeslmm.results.family import family, family_draws

HERE = Path(__file__).parent
# Yes and no, whose mean is curved; and a family with a sigma that is no standard deviation.
FAMILIES = ("bernoulli", "student")
Y = trees.RESPONSES
EXACT = {"rtol": 1e-9, "atol": 1e-12}


def eta_of(idata, group="b_g"):
    """The linear predictor of the rows, shape (n, s), with or without effects."""
    beta = idata["posterior"]["beta"].to_numpy().reshape(-1, 2)
    X = np.column_stack([np.ones(9), trees.TINY["x"]])
    if group is None:
        return X @ beta.T
    effects = idata["posterior"][group].to_numpy().reshape(len(beta), 3, 2)
    own = effects[:, np.searchsorted(list("abc"), trees.TINY["g"])]
    return X @ beta.T + np.einsum("nq,snq->ns", X, own)


def means_of(idata, group="b_g"):
    return family(idata).mean(eta_of(idata, group), family_draws(idata))


def densities_of(idata):
    y = Y[family(idata).name][:, None]
    return family(idata).log_density(y, eta_of(idata), family_draws(idata), None)


def flat(array):
    return array.to_numpy().reshape(-1, array.sizes["obs"]).T


def quiet_loo(idata, **options):
    with pytest.warns(NumericalWarning):
        return bl.loo(idata, **options)


def loo(idata):
    added = bl.add_log_likelihood(idata)
    with pytest.warns(UserWarning, match="Pareto"):
        expected = az.loo(added, reff=1.0)
    # The same densities; the tails' length depends on the relative effective size.
    assert quiet_loo(idata).elpd == pytest.approx(expected.elpd, rel=0.05)


def compare_models(idata):
    with pytest.warns(NumericalWarning):
        table = bl.compare_models({"one": idata, "other": trees.family_tree(family(idata).name)})
    assert table["elpd"].iloc[0] == pytest.approx(quiet_loo(idata).elpd)


def replicates(idata, values):
    """Draws by the family's own equation: y ~ p(. | eta) as NumPy has it."""
    expected = family(idata).draw(
        eta_of(idata), family_draws(idata), None, np.random.default_rng([3, 1])
    )
    np.testing.assert_allclose(values, expected, rtol=1e-9)


def check_groups(idata):
    # Of these draws: means over the draws of each group's mean, within what chance leaves.
    table = bl.check_groups(idata, statistic="mean", random_seed=1)
    means, n = means_of(idata), eta_of(idata).shape[1]
    variance = family(idata).variance(eta_of(idata), family_draws(idata), None)
    for place, label in enumerate("abc"):
        rows = trees.TINY["g"] == label
        error = np.sqrt(variance[rows].sum(axis=0).mean()) / rows.sum() / np.sqrt(n)
        assert abs(table["mean"][place] - means[rows].mean()) < 5 * error


def compare_predictions(idata):
    found = bl.compare_predictions(idata, {"x": "slope"})
    beta, eta = idata["posterior"]["beta"].to_numpy().reshape(-1, 2)[:, 1], eta_of(idata, None)
    slope = family(idata).link.derivative(eta) * beta
    np.testing.assert_allclose(found["mean"], slope.mean(), rtol=1e-7)


def marginal_means(idata):
    found = bl.marginal_means(idata, "x", at={"x": [1]}, average="rows")
    beta = idata["posterior"]["beta"].to_numpy().reshape(-1, 2).sum(axis=1)
    expected = family(idata).mean(beta, family_draws(idata))
    np.testing.assert_allclose(found["mean"], expected.mean(), **EXACT)


def residuals(idata):
    rest = Y[family(idata).name][:, None] - means_of(idata)
    sd = np.sqrt(family(idata).variance(eta_of(idata), family_draws(idata), None))
    np.testing.assert_allclose(bl.residuals(idata), rest.mean(axis=1), **EXACT)
    pearson = bl.residuals(idata, kind="pearson")
    np.testing.assert_allclose(pearson, (rest / sd).mean(axis=1), **EXACT)


def fixed_effects(idata):
    beta = idata["posterior"]["beta"].mean(("chain", "draw"))
    np.testing.assert_allclose(bl.fixed_effects(idata)["mean"], beta)


def random_effects(idata):
    effects = idata["posterior"]["b_g"].mean(("chain", "draw")).to_numpy().ravel()
    np.testing.assert_allclose(bl.random_effects(idata)["mean"], effects)


def coefficients(idata):
    posterior = idata["posterior"].mean(("chain", "draw"))
    lines = (posterior["b_g"].to_numpy() + posterior["beta"].to_numpy()).ravel()
    np.testing.assert_allclose(bl.coefficients(idata)["mean"], lines)


def diagnose(idata):
    known = {parameter.name for parameter in family(idata).parameters}
    assert known <= set(bl.diagnose(idata).table.index)


def plot_levels(idata):
    (axes,) = bl.plot_levels(idata, "x", layout="overlay").axes
    (lines,) = [one for one in axes.collections if hasattr(one, "get_segments")]
    x = np.linspace(0, 1, 21)
    expected = bl.predict(idata, {"x": x, "g": ["a"] * 21}).mean(("chain", "draw"))
    np.testing.assert_allclose(lines.get_segments()[0][:, 1], expected)


def plot_effect(idata):
    (axes,) = bl.plot_effect(idata, "x", at={"x": [0, 1]}).axes
    table = bl.marginal_means(idata, "x", at={"x": [0, 1]})
    np.testing.assert_allclose(axes.lines[0].get_ydata(), table["mean"])


def plot_check(idata):
    z = bl.residuals(idata, kind="quantile", random_seed=0)
    shown = bl.plot_check(idata).axes[1].collections[0].get_offsets()[:, 1]
    np.testing.assert_allclose(np.sort(shown), np.sort(z))


def plot_fixed_effects(idata):
    (axes,) = bl.plot_fixed_effects(idata).axes
    expected = bl.fixed_effects(idata)["mean"]["x"]
    np.testing.assert_allclose(axes.collections[-1].get_offsets()[:, 0], expected)
    unit = {"bernoulli": "logit of the probability of y", "student": "y"}
    assert axes.get_xlabel() == f"{unit[family(idata).name]} per unit of the column"


def plot_caterpillar(idata):
    words = bl.plot_caterpillar(idata).get_supxlabel()
    assert ("on the scale of the logit" in words) == (family(idata).name == "bernoulli")


def plot_ppc_groups(idata):
    (axes,) = bl.plot_ppc_groups(idata, statistic="mean").axes
    table = bl.check_groups(idata, statistic="mean", random_seed=0)
    lines = axes.collections[0].get_segments()
    np.testing.assert_allclose(np.sort([one[0, 1] for one in lines]), np.sort(table["eti95_lb"]))


def plot_variance_partition(idata):
    (axes,) = bl.plot_variance_partition(idata).axes
    latent = "on the latent scale" in axes.get_xlabel()
    assert latent == (family(idata).name == "bernoulli")
    share = axes.lines[1].get_xdata()[0] if len(axes.lines) > 1 else None
    table = bl.icc(idata)
    assert share is None or 0 < share < 1
    assert np.all(table["mean"] < 1)


def plot_covariance(idata):
    assert bl.plot_covariance(idata).axes[0].get_title() == "sd Intercept"


def plot_trace(idata):
    bl.plot_trace(idata)
    titles = " ".join(axes.get_title() for axes in plt.gcf().axes)
    assert all(parameter.name in titles for parameter in family(idata).parameters)


def plot_rank(idata):
    bl.plot_rank(idata)
    titles = " ".join(axes.get_title() for axes in plt.gcf().axes)
    assert all(parameter.name in titles for parameter in family(idata).parameters)


RIGHT = {
    "add_log_likelihood": lambda idata: np.testing.assert_allclose(
        flat(bl.add_log_likelihood(idata)["log_likelihood"]["y"]), densities_of(idata), **EXACT
    ),
    "log_likelihood": lambda idata: np.testing.assert_allclose(
        flat(bl.log_likelihood(idata, trees.family_data(family(idata).name))),
        densities_of(idata),
        **EXACT,
    ),
    "add_posterior_predictive": lambda idata: replicates(
        idata, flat(bl.add_posterior_predictive(idata, random_seed=3)["posterior_predictive"]["y"])
    ),
    "predict": lambda idata: np.testing.assert_allclose(
        flat(bl.predict(idata)), means_of(idata), **EXACT
    ),
    "predict_table": lambda idata: np.testing.assert_allclose(
        bl.predict_table(idata)["mean"], means_of(idata).mean(axis=1), **EXACT
    ),
    "fitted": lambda idata: np.testing.assert_allclose(
        bl.fitted(idata), means_of(idata).mean(axis=1), **EXACT
    ),
} | {
    check.__name__: check
    for check in (
        loo, compare_models, check_groups, compare_predictions, marginal_means, residuals,
        fixed_effects, random_effects, coefficients, diagnose, plot_levels, plot_effect,
        plot_check, plot_fixed_effects, plot_caterpillar, plot_ppc_groups,
        plot_variance_partition, plot_covariance, plot_trace, plot_rank,
    )
}  # fmt: skip

REFUSED = {
    "compare_reml": {},
    "compare_random_effects": {},
    "refit_reml": {},
    "plot_comparison": {},
    "shrinkage": {},
    "plot_shrinkage": {},
}

# Held to their equations for every family elsewhere.
ELSEWHERE = {
    "icc": "test_effect_sizes_families.py",
    "r_squared": "test_effect_sizes_families.py",
    "design_effect": "test_effect_sizes_families.py",
    "heritability": "test_known_levels.py",
    "pagel_lambda": "test_known_levels.py",
    "marginal_covariance": "test_effect_sizes_families.py",
    "implied_priors": "test_prior_families.py",
    "prior_sensitivity": "test_prior_families.py",
    "compare_ml": "test_compare_ml.py",
    "plot_residual_correlation": "../plots/test_plots_residual.py",
    "plot_forest": "../plots/test_plots_residual.py",
    "smooth_curves": "test_smooths.py",
    "response_of": "test_several_responses.py",
    "category_probabilities": "test_several_responses.py",
    "smooths": "test_smooths.py",
    "plot_smooth": "test_smooths.py",
    "plot_categories": "test_ordered_fits.py",
}
# Of draws as they are, whatever the response, or of fits by REML.
DRAWS_ALONE = {
    "tidy_draws", "hypothesis", "summary", "variance_components", "sensitivity_tree",
    "plot_prior_posterior", "plot_prior_sensitivity", "plot_prior_predictive", "update",
    "confidence_intervals", "check_mode",
}  # fmt: skip


@pytest.fixture(scope="module", params=FAMILIES)
def idata(request):
    return trees.family_tree(request.param)


@pytest.mark.parametrize("name", RIGHT)
def test_what_answers_is_right(name, idata):
    RIGHT[name](idata)
    plt.close("all")


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_for_gaussian_responses_says_so(name, idata):
    with pytest.raises(TreeError, match=rf"family of\s+this fit is '{family(idata).name}'"):
        getattr(bl, name)(idata, **REFUSED[name])


def test_no_public_function_of_a_result_is_forgotten():
    signatures = (Path(bl.__file__).parent / "__init__.pyi").read_text()
    known = {*RIGHT, *REFUSED, *ELSEWHERE, *DRAWS_ALONE}
    for name in re.findall(r" as (\w+)", signatures):
        value = getattr(bl, name)
        if not inspect.isfunction(value):
            continue
        first = next(iter(inspect.signature(value).parameters), "")
        assert name in known or first not in {"idata", "fit", "fits", "tree_of_draws"}, name
    for name, place in ELSEWHERE.items():
        assert name in (HERE / place).read_text()
