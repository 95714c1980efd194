"""Legitimate models at the edge: no fixed effects, effects kept in part, awkward column names."""

import numpy as np
import pytest
import trees
import xarray as xr

import bayeslmm as bl
from bayeslmm.kept_effects import EffectsStore, KeptEffects
from bayeslmm.priors import resolve_priors
from bayeslmm.samplers import FreeDraws
from bayeslmm.sampling import build_tree

pytestmark = pytest.mark.filterwarnings("ignore:Pareto k:bayeslmm.errors.NumericalWarning")


def drawn(formula, data, *, effects="draws", seed=0, weights=None):
    """Lay random draws out as a fit does: no compiler, the real tree."""
    design = bl.build_design(formula, data, weights=weights)
    values = trees.random_draws(formula, data, seed=seed, chains=2, draws=100)
    posterior = {name: value for name, value in values.items() if not name.startswith("b_")}
    if not design.coef:
        del posterior["beta"]
    store = EffectsStore(
        design, KeptEffects.of(design, effects), (2, 100), rng=np.random.default_rng(0)
    )
    store.add([values[f"b_{factor.name}"].reshape(200, -1, len(factor.terms))
               for factor in design.factors])  # fmt: skip
    stats = xr.Dataset({"diverging": (("chain", "draw"), np.zeros((2, 100), dtype=bool))})
    free = FreeDraws({}, stats, 0.0, 0.0)
    return build_tree(design, resolve_priors(design), posterior, free, store)


WITHOUT_FIXED_EFFECTS = {
    "summary": lambda idata: str(bl.summary(idata)),
    "fixed_effects": bl.fixed_effects,
    "coefficients": bl.coefficients,
    "icc": bl.icc,
    "r_squared": bl.r_squared,
    "predict": bl.predict,
    "predict_table": bl.predict_table,
    "loo": bl.loo,
    "loo by group": lambda idata: bl.loo(idata, unit="group"),
    "diagnose": bl.diagnose,
    "compare_reml": bl.compare_reml,
    "hypothesis": lambda idata: bl.hypothesis(idata, "sigma > 1"),
    "prior_sensitivity": bl.prior_sensitivity,
}


@pytest.fixture(scope="module")
def without_fixed_effects():
    return drawn("y ~ 0 + (1 | g)", trees.TINY)


@pytest.mark.parametrize("ask", WITHOUT_FIXED_EFFECTS.values(), ids=WITHOUT_FIXED_EFFECTS)
def test_a_model_without_fixed_effects_answers_every_question(without_fixed_effects, ask):
    ask(without_fixed_effects)


def test_predictions_without_fixed_effects_are_the_random_effects(without_fixed_effects):
    idata = without_fixed_effects
    expected = idata["posterior"]["b_g"].to_numpy()[:, :, [2, 0], 0]
    np.testing.assert_array_equal(bl.predict(idata, {"g": ["c", "a"]}), expected)
    assert len(bl.fixed_effects(idata)) == 0


def test_a_tree_that_lost_its_fixed_effects_is_refused():
    idata = drawn("y ~ x + (1 | g)", trees.TINY)
    idata["posterior"] = xr.DataTree(idata["posterior"].to_dataset().drop_vars("beta"))
    with pytest.raises(bl.TreeError, match="no variable 'beta'"):
        bl.fixed_effects(idata)
