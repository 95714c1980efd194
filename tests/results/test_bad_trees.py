"""No result tree, or one with a piece missing: every function that reads one says so."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import trees
import xarray as xr

import bayeslmm as bl
from bayeslmm.errors import BayesLMMError, TreeError

NAMES = [
    "summary",
    "fixed_effects",
    "random_effects",
    "coefficients",
    "variance_components",
    "icc",
    "r_squared",
    "shrinkage",
    "design_effect",
    "predict",
    "predict_table",
    "diagnose",
    "loo",
    "check_groups",
    "add_log_likelihood",
    "plot_levels",
    "plot_caterpillar",
    "plot_shrinkage",
    "plot_covariance",
    "plot_variance_partition",
    "plot_ppc_groups",
    "plot_trace",
    "plot_rank",
    "refit_reml",
    "compare_reml",
]
READERS = {
    **{name: lambda tree, name=name: getattr(bl, name)(tree) for name in NAMES},
    "loo by group": lambda tree: bl.loo(tree, unit="group"),
    "marginal_covariance": lambda tree: bl.marginal_covariance(tree, level="a"),
    "compare_predictions": lambda tree: bl.compare_predictions(tree, {"x": [0, 1]}),
    "hypothesis": lambda tree: bl.hypothesis(tree, "x > 0"),
}


@pytest.fixture(scope="module")
def idata():
    return trees.random_tree("y ~ x + (x | g)", trees.TINY, draws=40)


@pytest.fixture(autouse=True)
def _no_figures_left():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def fit():
    return bl.fit_reml("Reaction ~ Days + (1 | Subject)", bl.load_dataset("sleepstudy"))


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_tree_of_this_package_is_refused_with_where_to_get_one(idata, fit, reader):
    foreign = xr.DataTree.from_dict({"posterior": idata["posterior"].to_dataset()})
    for thing in (pd.DataFrame({"x": [1]}), "fit.nc", None, xr.DataTree(), foreign):
        with pytest.raises(TreeError, match="fit_bayes"):
            READERS[reader](thing)
    if reader in {"predict", "predict_table"}:  # which take a REML fit
        return
    with pytest.raises(TreeError, match=r"print\(fit\)"):
        READERS[reader](fit)


# A missing piece is an error of ours or no matter at all: never a traceback from the depths.
@pytest.mark.filterwarnings("ignore::bayeslmm.errors.BayesLMMWarning")
@pytest.mark.parametrize("reader", READERS)
def test_a_missing_group_or_variable_is_named_or_not_needed(idata, reader):
    pieces = [(group, None) for group in idata.children]
    pieces += [("posterior", name) for name in idata["posterior"].data_vars]
    for group, name in pieces:
        lacking = idata.copy()
        if name is None:
            del lacking[group]
        else:
            lacking[group] = lacking[group].to_dataset().drop_vars(name)
        try:
            READERS[reader](lacking)
        except BayesLMMError as error:
            assert repr(name or group) in str(error), (group, name)  # noqa: PT017
        plt.close("all")


def test_the_levels_of_a_tree_without_effects_cannot_be_known(idata):
    lacking = idata.copy()
    lacking["posterior"] = lacking["posterior"].to_dataset().drop_vars("b_g")
    for reader in ("shrinkage", "marginal_covariance", "loo by group", "check_groups"):
        with pytest.raises(TreeError, match="'b_g'"):
            READERS[reader](lacking)
    # What asks for no level needs none.
    assert bl.icc(lacking)["mean"].between(0, 1).all()
