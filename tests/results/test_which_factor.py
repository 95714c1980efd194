"""One answer everywhere to "which grouping factor?": the one there is, or the one that is named."""

import inspect

import matplotlib.pyplot as plt
import numpy as np
import pytest
import trees

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, TreeError

TABLE = {
    "y": np.array([1.0, 3.0, 2.0, 6.0, 4.0, 5.0, 2.5, 3.5, 7.0, 3.0, 1.5, 2.0]),
    "x": np.array([0.0, 1.0, 0.0, 1.0, 2.0, 1.0, 0.0, 2.0, 1.0, 0.5, 1.5, 0.0]),
    "school": np.array(list("aaaabbbbcccc")),
    "room": np.array(list("112211221122")),
}
# Tables with a row or more for each factor, all of them where none is named.
OF_ALL = {"random_effects", "coefficients", "shrinkage", "compare_random_effects"}
# Of factors whose levels are related, which these have not: tests/analysis/test_known_levels.py.
OF_RELATED = {"heritability", "pagel_lambda"}
ASKING = {
    name
    for name in set(bl.__all__) - OF_RELATED
    if inspect.isfunction(getattr(bl, name))
    and "factor" in inspect.signature(getattr(bl, name)).parameters
}
NEEDED = {"loo": {"unit": "group"}, "marginal_covariance": {"level": "a"}}


@pytest.fixture(autouse=True)
def _close_pictures():
    yield
    plt.close("all")


def answer(name, formula, **given):
    if name == "compare_models":
        fits = {key: trees.random_tree(formula, TABLE, seed=key, draws=50) for key in (1, 2)}
        return bl.compare_models(fits, unit="group", **given)
    if name == "plot_prior_predictive":
        return bl.plot_prior_predictive(bl.sample_prior(formula, TABLE, random_seed=1), **given)
    tree = trees.random_tree(formula, TABLE, draws=50)
    return getattr(bl, name)(tree, **NEEDED.get(name, {}), **given)


def test_the_verbs_that_ask_are_found():
    assert OF_ALL | {"loo", "check_groups", "plot_levels", "plot_prior_predictive"} <= ASKING


@pytest.mark.filterwarnings("ignore::bayeslmm.BayesLMMWarning")
@pytest.mark.parametrize("name", sorted(ASKING))
def test_a_single_factor_is_the_one_that_is_meant(name):
    formula = "y ~ x + (x | school)"
    if name == "compare_models":
        # ArviZ's table has no order of models that are equally good.
        assert len(answer(name, formula)) == 2
        return
    seed = {"random_seed": 1} if name == "check_groups" else {}
    bare, named = answer(name, formula, **seed), answer(name, formula, factor="school", **seed)
    if hasattr(bare, "equals"):
        assert bare.equals(named)
    assert type(bare) is type(named)


@pytest.mark.filterwarnings("ignore::bayeslmm.BayesLMMWarning")
@pytest.mark.parametrize("name", sorted(ASKING - OF_ALL))
def test_of_several_factors_one_must_be_named(name):
    formula = "y ~ x + (1 | school / room)"
    with pytest.raises(TreeError, match=r"the model has 2: .*They are school, school:room"):
        answer(name, formula)
    assert answer(name, formula, factor="school") is not None


@pytest.mark.filterwarnings("ignore::bayeslmm.BayesLMMWarning")
@pytest.mark.parametrize("name", sorted(OF_ALL))
def test_tables_of_all_factors_name_each(name):
    found = answer(name, "y ~ x + (1 | school / room)")
    assert set(found["factor"]) == {"school", "school:room"}


def test_a_factor_without_groups_to_leave_out_is_refused():
    with pytest.raises(ArgumentError, match="add unit='group'"):
        bl.loo(trees.random_tree("y ~ x + (1 | school)", TABLE), factor="school")
