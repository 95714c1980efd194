"""REML without a dense matrix: each number within its own reported error of the exact one."""

from pathlib import Path

import crossed
import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, SingularFitWarning
from bayeslmm.gram.border.choice import TOLERANCE
from bayeslmm.gram.gram import gram_of
from bayeslmm.reml.krylov.search import search_by_probes
from bayeslmm.reml.parameters import list_targets, values_of
from bayeslmm.reml.search import lambda_factors, search_criterion

INTERCEPTS = "y ~ x + (1 | g) + (1 | h)"
CASES = {
    "random": (INTERCEPTS, {}),
    "communities": (INTERCEPTS, {"kind": "communities"}),
    "chain": (INTERCEPTS, {"kind": "chain"}),
    "movers": (INTERCEPTS, {"kind": "movers"}),
    "slopes": ("y ~ x + (x | g) + (1 | h)", {"slope": 0.3}),
    "three": ("y ~ x + (1 | g) + (1 | h) + (1 | k)", {"third": 200}),
    "nested": ("y ~ x + (1 | k / g) + (1 | h)", {"third": 20}),
    "few numbers": ("y ~ x + ar1(0 + week | g) + (1 | h)", {"weeks": 3}),
}


def values(fit):
    """Variance parameters on their lines: logs, and Fisher's z."""
    table = bl.confidence_intervals(fit, "wald")
    return table.iloc[len(fit.gram.coef) :]


@pytest.fixture(scope="module", params=CASES)
def both(request):
    formula, given = CASES[request.param]
    table = crossed.crossed_table(**given)
    how = {"weights": "w"} if request.param == "random" else {}
    exact = bl.fit_reml(formula, table, border="dense", **how)
    return exact, bl.fit_reml(formula, table, border="krylov", **how)


def test_estimates_are_within_their_chance_of_the_exact_ones(both):
    exact, found = both
    assert found.converged
    assert found.border.method == "krylov"
    assert found.by_probes.probes >= 32
    error = found.probe_error
    assert (error < TOLERANCE).all()
    known, own = values(exact), values(found)
    width = known["upper"] - known["lower"]
    off = (own["estimate"] - known["estimate"]).abs() / (width / (2 * 1.96))
    # Searches stop a thousandth of a standard error from where they lead.
    assert (off < 4.0 * error[off.index] + 0.002).all()
    # Curvature by differences is that of the score: limits agree to a per cent of their width.
    for side in ("lower", "upper"):
        assert ((own[side] - known[side]).abs() < 0.02 * width).all()


def test_fixed_effects_and_likelihood_are_within_their_chance(both):
    exact, found = both
    np.testing.assert_allclose(
        found.fixed_effects["std_error"], exact.fixed_effects["std_error"], rtol=2e-3
    )
    moved = found.fixed_effects["estimate"] - exact.fixed_effects["estimate"]
    assert (moved.abs() < 0.01 * exact.fixed_effects["std_error"]).all()
    assert abs(found.log_likelihood - exact.log_likelihood) < 4.0 * found.loglik_se + 1e-3


def test_effects_are_within_a_hundredth_of_their_standard_errors(both):
    exact, found = both
    for name, table in exact.random_effects.items():
        variance = np.diagonal(exact.prediction_error_covariance[name], axis1=1, axis2=2)
        moved = (found.random_effects[name] - table).to_numpy() / np.sqrt(variance)
        assert np.sqrt(np.mean(moved**2)) < 0.02
        own = np.diagonal(found.prediction_error_covariance[name], axis1=1, axis2=2)
        assert np.sqrt(np.mean((np.sqrt(own / variance) - 1.0) ** 2)) < 0.02


def test_a_sparse_factor_gives_the_dense_numbers(both):
    exact, found = both
    rows = found.data.coded_rows
    own = bl.fit_reml(exact.formula, dict(rows.data), border="sparse", weights=rows.weights)
    assert (own.border.method, own.loglik_se, len(own.probe_error)) == ("sparse", 0.0, 0)
    # Both searches stop where a step promises 1e-6.
    assert abs(own.criterion - exact.criterion) < 1e-5
    np.testing.assert_allclose(own.theta, exact.theta, rtol=2e-4, atol=1e-5)
    known, limits = values(exact), values(own)
    width = known["upper"] - known["lower"]
    for side in ("estimate", "lower", "upper"):
        assert ((limits[side] - known[side]).abs() < 0.01 * width).all()
    for name, table in exact.random_effects.items():
        np.testing.assert_allclose(own.random_effects[name], table, atol=2e-3)
        np.testing.assert_allclose(
            own.prediction_error_covariance[name], exact.prediction_error_covariance[name],
            rtol=2e-3, atol=1e-5,
        )  # fmt: skip
    with pytest.raises(ArgumentError, match="method='wald'"):
        bl.confidence_intervals(own)


def test_long_chains_take_a_sparse_factor_by_themselves():
    table = crossed.crossed_table("chain", 5000, 15_000)
    fit = bl.fit_reml(INTERCEPTS, table)
    assert fit.border.method == "sparse"
    assert "a sparse factor is small" in fit.border.reason
    assert fit.converged
    assert "plan" not in vars(fit.gram)


def test_reported_errors_are_honest():
    gram = gram_of(bl.build_design(INTERCEPTS, crossed.crossed_table("communities", 300, 3000)))
    exact = search_criterion(gram, restricted=True)
    off, heights = [], []
    for seed in range(20):
        found, record = search_by_probes(gram, restricted=True, count=32, seed=seed)
        logs = np.log(np.abs(found.packed) * found.sigma / (np.abs(exact.packed) * exact.sigma))
        names = ["sd_g[Intercept]", "sd_h[Intercept]"]
        error = [record.error[name] * np.sqrt(record.variances[name]) for name in names]
        # Searches end within a thousandth of a standard error, whatever the probes.
        ends = [0.001 * np.sqrt(record.variances[name]) for name in names]
        off.append(logs / np.hypot(error, ends))
        heights.append((found.criterion - exact.criterion) / (2.0 * record.loglik_se))
    # The root of chi-square / 20 lies outside these limits once in a thousand times.
    for z in (*np.array(off).T, np.array(heights)):
        assert 0.5 < np.sqrt(np.mean(z**2)) < 1.6


def test_probes_are_doubled_until_their_chance_is_small():
    table = crossed.crossed_table("chain", 400, 1200, sds=(1.0, 1.0, 0.5))
    few = bl.fit_reml(INTERCEPTS, table, border="krylov", probes=2)
    assert few.by_probes.probes > 2
    assert few.probe_error.max() < TOLERANCE


def test_small_borders_are_solved_as_they_were():
    table = crossed.crossed_table(n_levels=100, n=900)
    left, asked = (bl.fit_reml(INTERCEPTS, table, border=how) for how in ("auto", "dense"))
    assert (left.border.method, left.by_probes, left.loglik_se) == ("dense", None, 0.0)
    assert left.criterion == asked.criterion
    np.testing.assert_array_equal(left.theta, asked.theta)


def test_the_same_seed_gives_the_same_fit_and_another_one_another():
    table = crossed.crossed_table(n_levels=100, n=900)
    once, again, other = (
        bl.fit_reml(INTERCEPTS, table, border="krylov", random_seed=seed) for seed in (3, 3, 4)
    )
    assert once.criterion == again.criterion
    assert once.criterion != other.criterion


def test_sds_of_zero_are_found_on_the_boundary():
    table = crossed.crossed_table(n_levels=100, n=900, sds=(0.0, 0.7, 1.0))
    exact = search_criterion(gram_of(bl.build_design(INTERCEPTS, table)), restricted=True)
    assert exact.singular
    with pytest.warns(SingularFitWarning):
        fit = bl.fit_reml(INTERCEPTS, table, border="krylov")
    assert fit.is_singular
    np.testing.assert_allclose(abs(fit.factors[0][0, 0]), abs(exact.packed[0]), atol=2e-3)


def test_levels_that_hang_together_in_two_parts_and_rare_levels_are_no_exception():
    table = crossed.crossed_table(n_levels=100, n=900)
    parts = {**table, "h": np.char.add(table["h"], np.where(table["x"] > 0, "a", "b"))}
    parts["g"] = np.char.add(table["g"], np.where(table["x"] > 0, "a", "b"))
    exact = bl.fit_reml(INTERCEPTS, parts)
    found = bl.fit_reml(INTERCEPTS, parts, border="krylov")
    np.testing.assert_allclose(found.theta, exact.theta, rtol=2e-3)


def test_likelihoods_are_compared_with_common_probes_or_refused():
    table = crossed.crossed_table(n_levels=300, n=3000)
    how = {"method": "ML", "border": "krylov"}
    small, large = (
        bl.fit_reml(f"y ~ {fixed} + (1 | g) + (1 | h)", table, **how) for fixed in ("1", "x")
    )
    exact = [
        bl.fit_reml(f"y ~ {fixed} + (1 | g) + (1 | h)", table, method="ML") for fixed in ("1", "x")
    ]
    chisq = bl.likelihood_ratio_test(small, large)["chisq"].iloc[1]
    known = bl.likelihood_ratio_test(*exact)["chisq"].iloc[1]
    assert abs(chisq - known) < 8.0 * small.by_probes.difference_se(large.by_probes) + 1e-3
    chain = crossed.crossed_table("chain", 400, 1200, sds=(1.0, 1.0, 0.3))
    small, large = (
        bl.fit_reml(f"y ~ {fixed} + (1 | g) + (1 | h)", chain, random_seed=seed, **how)
        for fixed, seed in (("1", 1), ("x", 2))
    )
    with pytest.raises(ArgumentError, match="the same random_seed and more probes"):
        bl.likelihood_ratio_test(small, large)


def test_what_takes_exact_likelihoods_is_refused(both):
    _, found = both
    with pytest.raises(ArgumentError, match="method='wald'"):
        bl.confidence_intervals(found)
    with pytest.raises(ArgumentError, match="border='dense'"):
        bl.check_mode(found)
    assert "probes leave a chance" in repr(found)


def test_updates_take_the_same_probes():
    table = crossed.crossed_table(n_levels=100, n=900)
    fit = bl.fit_reml(INTERCEPTS, table, border="krylov", random_seed=5)
    again = bl.update(fit, ". ~ . - x")
    assert again.border.method == "krylov"
    assert again.by_probes.seed == 5


@pytest.mark.parametrize(
    ("formula", "given", "match"),
    [
        (INTERCEPTS, {"sigma": "~ 1 + x"}, "a residual structure"),
        (INTERCEPTS, {"probes": 1}, "probes must be a whole number from 2"),
        (INTERCEPTS, {"random_seed": -1}, "random_seed must be a whole number from 0"),
    ],
)
def test_what_iterations_do_not_fit_is_refused_by_name(formula, given, match):
    table = crossed.crossed_table(n_levels=20, n=200)
    with pytest.raises(ArgumentError, match=match):
        bl.fit_reml(formula, table, border="krylov", **given)


def insteval():
    table = pd.read_csv(
        Path(__file__).parent.parent / "reference" / "data" / "InstEval.csv.gz",
        dtype=dict.fromkeys(("s", "d", "dept"), str),
    )
    return bl.build_design("y ~ 1 + (1 | s) + (1 | d)", table)


def on_lines(gram, found):
    """Parameters as their errors are told: logs of standard deviations, Fisher's z."""
    targets = {name: t for name, t in list_targets(gram).items() if t.kind != "beta"}
    roots = [found.sigma * lam for lam in lambda_factors(gram, found.packed)]
    values = values_of(gram, targets, np.zeros(0), roots, np.array([found.sigma]))
    return {name: float(targets[name].to_line(value)) for name, value in values.items()}


@pytest.mark.slow
@pytest.mark.parametrize("case", [*CASES, "InstEval"])
def test_reported_errors_are_honest_at_three_thousand_levels(case):
    if case == "InstEval":
        design = insteval()
    else:
        formula, given = CASES[case]
        sizes = {"n_levels": 3000, "n": 30_000} | ({"third": 150} if "third" in given else {})
        design = bl.build_design(formula, crossed.crossed_table(**(given | sizes)))
    gram = gram_of(design)
    exact = search_criterion(gram, restricted=True)
    known, off, errors = on_lines(gram, exact), [], []
    for seed in range(20):
        found, record = search_by_probes(gram, restricted=True, count=32, seed=seed)
        # Searches, the exact one too, end within a thousandth or two of a standard error.
        z = {
            name: (value - known[name])
            / (np.hypot(record.error[name], 0.0015) * np.sqrt(record.variances[name]))
            for name, value in on_lines(gram, found).items()
        }
        z["likelihood"] = (found.criterion - exact.criterion) / np.hypot(
            2.0 * record.loglik_se, 0.002
        )
        off.append(z)
        of_estimates = {name: record.error[name] for name in known}
        errors.append(of_estimates | {"likelihood": record.loglik_se})
    z, error = pd.DataFrame(off), pd.DataFrame(errors)
    assert z.abs().max().max() < 4.0, z.abs().max()
    # The root of chi-square / 20 leaves 0.4 to 1.6 once in a thousand times. Errors that are too
    # large show where they are above what searches leave.
    size = np.sqrt((z**2).mean())
    assert (size < 1.6).all(), size
    assert (size[error.min() > 0.003] > 0.4).all(), size


def test_cross_products_of_batches_are_enough(tmp_path):
    table = crossed.crossed_table(n_levels=200, n=2000)
    frame = pd.DataFrame(table)
    frame.to_parquet(tmp_path / "rows.parquet")
    gram = bl.gram_from_table(INTERCEPTS, str(tmp_path / "rows.parquet"))
    whole = bl.fit_reml(INTERCEPTS, table, border="krylov")
    summed = bl.fit_reml(INTERCEPTS, gram, border="krylov")
    # The same levels in the same order have the same probes.
    np.testing.assert_allclose(summed.theta, whole.theta, rtol=1e-6)
    assert "plan" not in vars(summed.gram)
