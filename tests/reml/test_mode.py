"""REML estimates as modes of the collapsed density, and what is none."""

from dataclasses import replace

import numpy as np
import pytest
import reml_reference

from bayeslmm.errors import ArgumentError, SingularFitWarning
from bayeslmm.gram.likelihood import log_density
from bayeslmm.reml.fit import fit_reml
from bayeslmm.reml.mode import check_mode
from bayeslmm.tables.datasets import load_dataset

# All but the largest, whose curvature by differences takes seconds, and those that warn.
LEFT_OUT = ("insteval", "chem97", "dyestuff2", "airquality", "wafer")
CHECKED = [n for n in reml_reference.NAMES if not n.startswith(LEFT_OUT)]


def reference_fit(name):
    reference = reml_reference.read_reference(name)
    return fit_reml(reference["formula"], reml_reference.read_table(reference))


@pytest.mark.parametrize("name", CHECKED)
def test_reml_is_the_mode_of_the_collapsed_density_under_flat_priors(name):
    fit = reference_fit(name)
    table = check_mode(fit)
    assert table["is_mode"].all()
    # In standard deviations; the search ends where a Newton step promises 1e-9 of the criterion,
    # which is 3e-5 of a standard deviation.
    assert table["distance"].abs().max() < 3e-5
    assert (table["curvature"] < 0).all()
    # The same through the public density: its own slopes, in units of the response's log-density.
    _, d_factors, d_sigma = log_density(fit.gram, fit.factors, fit.sigma)
    assert abs(d_sigma * fit.sigma) < 1e-3
    for slope, factor in zip(d_factors, fit.factors, strict=True):
        assert abs(np.sum(slope * factor)) < 1e-3  # along a common change of all sds


def test_a_variance_of_zero_is_a_mode_where_the_density_falls_with_it():
    with pytest.warns(SingularFitWarning):
        fit = fit_reml("Yield ~ 1 + (1 | Batch)", load_dataset("dyestuff2"))
    row = check_mode(fit).iloc[0]
    assert row["boundary"]
    assert row["is_mode"]
    assert row["curvature"] < 0  # twice the one-sided derivative in the variance


def test_a_variance_of_zero_is_no_mode_where_the_density_rises_with_it():
    fit = fit_reml("Yield ~ 1 + (1 | Batch)", load_dataset("dyestuff"))
    row = check_mode(replace(fit, factors=(np.zeros((1, 1)),))).iloc[0]
    assert row["slope"] == 0  # by symmetry, though it is a minimum in that direction
    assert row["boundary"]
    assert not row["is_mode"]


def test_a_degenerate_correlation_is_a_boundary_too():
    rng = np.random.default_rng(3)
    g = np.repeat([f"g{i}" for i in range(12)], 6)
    x = np.tile(np.arange(6.0), 12)
    # Intercepts and slopes move together exactly: the correlation is one.
    y = (1 + x) * np.repeat(rng.normal(size=12), 6) + rng.normal(size=72)
    with pytest.warns(SingularFitWarning):
        fit = fit_reml("y ~ x + (x | g)", {"y": y, "x": x, "g": g})
    table = check_mode(fit)
    assert table["boundary"].sum() == 1
    assert table["is_mode"].all()


def test_the_distance_is_in_standard_deviations():
    fit = fit_reml("Reaction ~ Days + (Days | Subject)", load_dataset("sleepstudy"))
    before = check_mode(fit)["curvature"].iloc[-1]
    # Sigma moves against fixed relative factors, so (n - p) log sigma has curvature 2 (n - p).
    assert before == pytest.approx(-2 * 178, rel=1e-5)
    moved = check_mode(replace(fit, scale=fit.scale * np.exp(0.1 / np.sqrt(356))))
    assert not moved["is_mode"].all()
    # A tenth of a standard deviation; the density is quadratic to some percent that near.
    alone = moved["slope"].iloc[-1] / np.sqrt(356)
    assert alone == pytest.approx(-0.1, rel=0.05)


def test_the_ml_estimate_is_refused_because_it_is_another_mode():
    fit = fit_reml("travel ~ 1 + (1 | Rail)", load_dataset("rail"), method="ML")
    with pytest.raises(ArgumentError, match="Fit with method='REML'"):
        check_mode(fit)
