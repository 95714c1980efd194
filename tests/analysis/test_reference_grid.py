"""Contrasts of a fit of lower rank."""

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, RankDeficiencyWarning


def confounded():
    """A treatment crossed with four sites, three of which lie in one region."""
    rng = np.random.default_rng(3)
    table = pd.DataFrame(
        {
            "t": np.tile(["a", "b", "c"], 32),
            "site": np.repeat(["p", "q", "r", "s"], 24),
            "region": np.repeat(["n", "o"], [72, 24]),
            "g": np.tile(np.repeat([f"g{i}" for i in range(8)], 3), 4),
        }
    )
    return table.assign(y=rng.normal(0, 1, 96) + (table["t"] == "b") * 2 + (table["site"] == "q"))


def test_contrasts_are_determined_where_their_means_are_not():
    table = confounded()
    with pytest.warns(RankDeficiencyWarning):
        fit = bl.fit_reml("y ~ t + site + region + (1 | g)", table, rank_deficient="drop")
    with pytest.raises(ArgumentError, match="do not determine the mean at t = a"):
        bl.marginal_means(fit, "t")
    without = bl.fit_reml("y ~ t + site + (1 | g)", table)
    # The same column space, searched twice: nine digits.
    for kind in ("pairwise", "reference", "sequential", "meandev"):
        found, right = (bl.marginal_means(f, "t", contrasts=kind) for f in (fit, without))
        pd.testing.assert_frame_equal(found, right, rtol=1e-6)
    # By site, whose means hang together with the region's.
    found, right = (
        bl.marginal_means(f, "t", by="site", contrasts="pairwise") for f in (fit, without)
    )
    pd.testing.assert_frame_equal(found, right, rtol=1e-6)
    # Differences of differences, from which all that is additive cancels.
    twice = {"contrasts": "pairwise", "by_contrasts": "reference"}
    found = bl.marginal_means(fit, "t", by="region", **twice)
    np.testing.assert_allclose(found[["estimate", "std_error"]], 0, atol=1e-7)
    with pytest.raises(ArgumentError, match="determine the contrast = region: o"):
        bl.marginal_means(fit, "region", contrasts="pairwise")
    # Weights that do not sum to zero are a mean again.
    with pytest.raises(ArgumentError, match="determine the contrast = a"):
        bl.marginal_means(fit, "t", contrasts=[[1, 0, 0]])


def test_a_posterior_of_lower_rank_has_those_contrasts_too():
    table, options = confounded(), {"parametrization": "marginal", "sampler": "importance"}
    with pytest.warns(RankDeficiencyWarning):
        fit, without = (
            bl.fit_bayes(formula, table, rank_deficient="drop", random_seed=1, **options)
            for formula in ("y ~ t + region + site + (1 | g)", "y ~ t + site + (1 | g)")
        )
    found, right = (bl.marginal_means(f, "t", contrasts="pairwise") for f in (fit, without))
    # Independent draws: within some Monte Carlo errors, which are a sixtieth of the sd or less.
    assert (np.abs(found["mean"] - right["mean"]) < 0.1 * right["sd"]).all()
