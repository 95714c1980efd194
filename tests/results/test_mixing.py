"""R-hat, effective sizes, Monte Carlo errors and E-BFMI are ArviZ's, for all columns at once."""

import numpy as np
import pytest
from arviz_stats.base import array_stats

from bayeslmm.results import mixing

AXES = {"chain_axis": 0, "draw_axis": 1}
# The same sums in another order, and Fourier transforms of other lengths: of some thousand terms.
CLOSE = {"rtol": 1e-9, "atol": 0}
PAIRS = {
    "r_hat": (mixing.r_hat, lambda x: array_stats.rhat(x, method="rank", **AXES)),
    "bulk": (mixing.bulk_size, lambda x: array_stats.ess(x, method="bulk", **AXES)),
    "tail": (
        mixing.tail_size, lambda x: array_stats.ess(x, method="tail", prob=(0.05, 0.95), **AXES),
    ),
    "error": (mixing.mean_error, lambda x: array_stats.mcse(x, method="mean", **AXES)),
}  # fmt: skip


def chains(n_chains, n_draws, kind):
    """Thirty columns, from alternating to hardly moving."""
    rng = np.random.default_rng([n_chains, n_draws])
    draws = rng.normal(size=(n_chains, n_draws, 30))
    keep = np.linspace(-0.95, 0.99, 30)
    for i in range(1, n_draws):
        draws[:, i] += keep * draws[:, i - 1]
    if kind == "equal values":
        return np.round(draws)
    if kind == "heavy tails":
        return np.exp(5 * draws)
    if kind == "apart":
        return draws + np.arange(n_chains)[:, None, None]
    if kind == "constant":
        draws[..., :5], draws[0, :, 5:9] = 1.0, 2.0
    return draws


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["plain", "equal values", "heavy tails", "apart", "constant"])
@pytest.mark.parametrize("n_draws", [4, 5, 6, 7, 9, 20, 101, 1000])
@pytest.mark.parametrize("n_chains", [1, 2, 4])
def test_numbers_are_arviz_s(n_chains, n_draws, kind):
    draws = chains(n_chains, n_draws, kind)
    with np.errstate(all="ignore"):
        for name, (own, theirs) in PAIRS.items():
            if name != "r_hat" or n_chains > 1:
                np.testing.assert_allclose(own(draws), theirs(draws), **CLOSE, err_msg=name)


def test_energy_fractions_are_arviz_s():
    energy = np.random.default_rng(1).normal(size=(4, 300)).cumsum(axis=1)
    np.testing.assert_allclose(
        mixing.energy_fraction(energy), array_stats.bfmi(energy, **AXES), rtol=1e-13
    )


# Powers of two: rounding would part the two draws that are as far from the median as each other.
@pytest.mark.parametrize("unit", [2.0**-600, 2.0**-60, 2.0**300])
def test_the_unit_changes_nothing(unit):
    # ArviZ takes what moves by less than 1e-15 for a constant, whose draws are all worth one each.
    draws = chains(4, 200, "plain")
    np.testing.assert_allclose(mixing.r_hat(unit * draws), mixing.r_hat(draws), rtol=1e-9)
    np.testing.assert_allclose(mixing.bulk_size(unit * draws), mixing.bulk_size(draws), rtol=1e-9)


def test_a_mean_error_is_in_the_draws_own_unit():
    draws = chains(4, 200, "plain")
    np.testing.assert_allclose(
        mixing.mean_error(1e-17 * draws), 1e-17 * mixing.mean_error(draws), rtol=1e-9
    )


@pytest.mark.parametrize("name", PAIRS)
def test_nothing_to_look_at_has_no_numbers(name):
    own, _ = PAIRS[name]
    assert own(np.empty((4, 100, 0))).shape == (0,)
