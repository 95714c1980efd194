"""Power-scaling against refits with powered priors, and against another parametrization."""

import logging
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pytest
import trees

import bayeslmm as bl
from bayeslmm.analysis.summaries.quantities import quantity_draws
from bayeslmm.errors import ArgumentError, TreeError

DYESTUFF = "Yield ~ 1 + (1 | Batch)"
SLEEPSTUDY = "Reaction ~ Days + (Days | Subject)"
SAMPLING = {"random_seed": 1, "cores": 2, "progressbar": False, "parametrization": "marginal"}
STUDIES = {"dyestuff": DYESTUFF, "sleepstudy": SLEEPSTUDY}


@pytest.fixture(scope="module")
def dyestuff():
    return bl.fit_bayes(DYESTUFF, bl.load_dataset("dyestuff"), **SAMPLING)


@pytest.fixture(scope="module")
def sleepstudy():
    return bl.fit_bayes(SLEEPSTUDY, bl.load_dataset("sleepstudy"), **SAMPLING)


@pytest.fixture(scope="module")
def table(dyestuff):
    return bl.prior_sensitivity(dyestuff)


@cache
def refitted(name, alpha):
    """Moments of a refit with every prior raised to a power."""
    formula, data = STUDIES[name], bl.load_dataset(name)
    priors = bl.resolve_priors(bl.build_design(formula, data))
    changed = {parameter: prior.powered(alpha) for parameter, prior in priors.entries()}
    settings = SAMPLING | {"random_seed": 2, "draws": 4000}
    return moments(bl.fit_bayes(formula, data, priors=changed, **settings))


def moments(idata):
    """Mean, sd and Monte Carlo standard error of every quantity."""
    import arviz as az

    result = {}
    for name, draws in quantity_draws(idata).items():
        result[name] = (draws.mean(), draws.std(), float(az.mcse(draws)))
    return result


def test_with_six_batches_the_sds_prior_matters_and_the_mean_stays(table):
    # What power-scaling must say of Dyestuff: the sd between batches hangs on its prior.
    assert table.loc["sd_Batch[Intercept]", "prior"] > 0.05
    assert table.loc["sd_Batch[Intercept]", "diagnosis"] == "potential prior-data conflict"
    assert table.loc["Intercept", "diagnosis"] == "✓"
    # The culprit is the sd's own prior, not another one.
    groups = table.loc["sd_Batch[Intercept]", ["beta", "sd_Batch", "sigma"]].astype(float)
    assert groups.idxmax() == "sd_Batch"
    assert groups["beta"] < 0.02


def test_nothing_of_sleepstudy_hangs_on_its_priors(sleepstudy):
    table = bl.prior_sensitivity(sleepstudy)
    assert (table["diagnosis"] == "✓").all()
    assert list(table.index) == [
        "Intercept", "Days", "sd_Subject[Intercept]", "sd_Subject[Days]",
        "corr_Subject[Intercept,Days]", "sigma", "icc[Subject]",
    ]  # fmt: skip
    assert list(table.columns) == [
        "prior", "likelihood", "diagnosis", "shift", "beta", "sd_Subject", "corr_Subject", "sigma",
    ]  # fmt: skip
    assert (table["likelihood"] > 0.05).all()


@pytest.mark.parametrize("alpha", [0.8, 1.25])
@pytest.mark.parametrize("study", STUDIES)
def test_refits_with_powered_priors_move_as_foretold(study, alpha, request):
    idata = request.getfixturevalue(study)
    shift = bl.prior_sensitivity(idata)["shift"]
    before, after = moments(idata), refitted(study, alpha)
    for name, (mean, sd, error) in before.items():
        moved = (after[name][0] - mean) / sd
        noise = 4 * np.hypot(error, after[name][2]) / sd
        foretold = np.log2(alpha) * shift[name]
        # First order in log alpha, |log2 alpha| = 0.32: what is left out is of the order of its
        # square times the shift, 0.1 of 0.2 posterior sds at most.
        assert abs(moved - foretold) < noise + 0.02, name
        if abs(foretold) > noise:
            assert np.sign(moved) == np.sign(foretold), name


def moved_between_refits(study, quantity):
    """Change of a mean from power 0.8 to 1.25, in sds, and its Monte Carlo standard error."""
    (low, sd, low_error), (high, _, high_error) = (
        refitted(study, alpha)[quantity] for alpha in (0.8, 1.25)
    )
    return (high - low) / sd, np.hypot(low_error, high_error) / sd


@pytest.mark.parametrize("study", STUDIES)
def test_what_is_called_sensitive_moves_between_refits_and_nothing_else_does(study, request):
    table = bl.prior_sensitivity(request.getfixturevalue(study))
    for quantity, diagnosis in table["diagnosis"].items():
        moved, error = moved_between_refits(study, quantity)
        if diagnosis == "✓":
            # Less than a tenth of a posterior sd between the two powers.
            assert abs(moved) < 0.1 + 3 * error, quantity
        else:
            assert moved < -3 * error, quantity
    flagged = set(table.index[table["diagnosis"] != "✓"])
    assert ("sd_Batch[Intercept]" in flagged) == (study == "dyestuff")


def tables_of_parts(parametrization, parts=8):
    """Sensitivity tables of equal parts of a long fit: their spread is their Monte Carlo error."""
    long = SAMPLING | {"parametrization": parametrization, "draws": 4000}
    idata = bl.fit_bayes(DYESTUFF, bl.load_dataset("dyestuff"), **long)
    size = 4000 // parts
    tables = []
    for part in range(parts):
        draws = slice(part * size, (part + 1) * size)
        cut = idata.map_over_datasets(lambda d: d.isel(draw=draws) if "draw" in d.dims else d)  # noqa: B023
        cut.attrs = dict(idata.attrs)
        tables.append(bl.prior_sensitivity(cut))
    return tables


def test_another_parametrization_gives_the_same_table_within_monte_carlo_error():
    numbers = ["prior", "likelihood", "shift", "beta", "sd_Batch", "sigma"]
    marginal, noncentered = (
        np.stack([each[numbers].to_numpy(dtype=float) for each in tables_of_parts(way)])
        for way in ("marginal", "noncentered")
    )
    error = np.sqrt((marginal.var(axis=0, ddof=1) + noncentered.var(axis=0, ddof=1)) / 8)
    z = np.abs(marginal.mean(axis=0) - noncentered.mean(axis=0)) / error
    # 24 comparisons of Student's t with some 14 degrees of freedom: beyond 5 in 0.5 % of runs.
    assert z.max() < 5
    # And the error is small enough for that to say something, next to values up to 0.2.
    assert np.median(error) < 0.01


def test_a_users_quantity_joins_the_table(dyestuff, table):
    ours = bl.prior_sensitivity(
        dyestuff, {"in seconds": lambda posterior: 60 * posterior["sigma"] + 1}
    )
    assert ours.index[-1] == "in seconds"
    # A change of units changes nothing.
    columns = ["prior", "likelihood", "shift", "sigma"]
    expected = table.loc["sigma", columns].astype(float)
    np.testing.assert_allclose(ours.loc["in seconds", columns].astype(float), expected, rtol=1e-6)


def test_only_the_groups_asked_for_are_scaled(dyestuff):
    table = bl.prior_sensitivity(dyestuff, groups=["sigma"])
    assert list(table.columns) == ["prior", "likelihood", "diagnosis", "shift", "sigma"]
    with pytest.raises(ArgumentError, match=r"no prior group 'sd_batch'\. Did you mean 'sd_Batch'"):
        bl.prior_sensitivity(dyestuff, groups=["sd_batch"])


def test_the_tree_for_arviz_holds_the_density_of_the_parameters(dyestuff):
    tree = bl.sensitivity_tree(dyestuff)
    assert tree["log_prior"].to_dataset().equals(dyestuff["log_prior"].to_dataset())
    density = tree["log_likelihood"]["Yield"].to_numpy()
    prior = sum(array.to_numpy() for array in dyestuff["log_prior"].values())
    # The log-posterior of the four dimensions varies like half a chi-squared of three or so, not
    # like one with a dimension per batch.
    assert 0.5 < (density + prior).var() < 4


def test_arvizs_log_stays_silent_and_is_put_back(dyestuff, caplog):
    level = logging.getLogger("arviz_stats").level
    with caplog.at_level(logging.WARNING):
        bl.prior_sensitivity(dyestuff)
    assert not caplog.records
    assert logging.getLogger("arviz_stats").level == level


def test_the_picture_has_a_row_per_quantity(dyestuff):
    collection = bl.plot_prior_sensitivity(dyestuff, show=["sd_Batch[Intercept]", "sigma"])
    figure = collection.viz["figure"].item()
    assert len(figure.axes) == 4
    with pytest.raises(ArgumentError, match=r"no quantity 'sigm'\. Did you mean 'sigma'"):
        bl.plot_prior_sensitivity(dyestuff, show=["sigm"])
    plt.close("all")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alphas": (1.0, 1.1)}, "alphas must enclose 1"),
        ({"quantities": {"a": lambda posterior: posterior["nothing"]}}, "KeyError"),
        ({"quantities": {"a": lambda posterior: posterior["b_Batch"]}}, "could not be computed"),
        ({"quantities": {"a": lambda posterior: 1.0}}, r"shape \(4, 1000\); its function gave"),
        (
            {"quantities": {"a": lambda posterior: posterior["sigma"] * np.nan}},
            "not finite",
        ),
    ],
)
def test_questions_without_an_answer_are_refused(dyestuff, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        bl.prior_sensitivity(dyestuff, **arguments)


def test_a_tree_without_log_prior_is_refused():
    with pytest.raises(TreeError, match="log_prior"):
        bl.prior_sensitivity(trees.random_tree("y ~ x + (x | g)", trees.TINY, draws=20))
