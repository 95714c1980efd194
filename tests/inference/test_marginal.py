"""The marginal parametrization through `fit_bayes`: choices, kept effects, refusals, reuse."""

import json

import numpy as np
import pandas as pd
import pymc as pm
import pytest

import bayeslmm as bl
from bayeslmm import resources
from bayeslmm.gram.gram import gram_of
from bayeslmm.inference.marginal import recovery
from bayeslmm.inference.parametrization import choose_parametrization
from bayeslmm.model.model import Model
from bayeslmm.results.kept_effects import EffectsStore, KeptEffects

FORMULA = "Reaction ~ Days + (Days | Subject)"
QUICK = {"draws": 200, "tune": 300, "chains": 2, "random_seed": 3, "progressbar": False}

# 200 draws are enough to look at a tree, not to trust it.
pytestmark = pytest.mark.filterwarnings("ignore:These draws:bayeslmm.errors.SamplingWarning")


@pytest.fixture(scope="module")
def sleepstudy():
    return bl.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def tree(sleepstudy):
    return bl.fit_bayes(FORMULA, sleepstudy, parametrization="marginal", **QUICK)


def test_the_tree_is_the_same_kind_of_tree(tree):
    posterior = tree["posterior"]
    assert {name: array.dims[2:] for name, array in posterior.data_vars.items()} == {
        "beta": ("coef",),
        "sigma": (),
        "sd_Subject": ("Subject_term",),
        "corr_Subject": ("Subject_term", "Subject_term_bis"),
        "b_Subject": ("Subject", "Subject_term"),
    }
    assert set(tree["log_prior"].data_vars) == {"beta", "sd_Subject", "corr_Subject", "sigma"}
    assert tree.attrs["parametrization"] == "marginal"
    assert tree.attrs["parametrization_reason"] == "asked for"
    # Not the 0.95 of the other forms, which take twice the steps for it; see docs/decisions.
    assert json.loads(tree.attrs["settings"])["target_accept"] == 0.9


def test_the_same_seed_gives_the_same_effects(tree, sleepstudy):
    again = bl.fit_bayes(FORMULA, sleepstudy, parametrization="marginal", **QUICK)
    for name in ("beta", "b_Subject"):
        np.testing.assert_array_equal(again["posterior"][name], tree["posterior"][name])


def test_other_data_and_priors_reuse_the_compiled_model(tree, sleepstudy, monkeypatch):
    def refuse(_model):
        raise AssertionError("compiled again")

    monkeypatch.setattr("bayeslmm.inference.nuts.compile.compile_model", refuse)
    shifted = sleepstudy.assign(Reaction=sleepstudy["Reaction"] + 1000)
    other = bl.fit_bayes(
        FORMULA,
        shifted,
        parametrization="marginal",
        priors={"corr": "LKJ(5)", "sigma": "HalfStudentT(3, 9)"},
        **QUICK,
    )
    beta, before = other["posterior"]["beta"], tree["posterior"]["beta"]
    moved = float((beta - before).sel(coef="Intercept").mean())
    # The intercept follows the shift: within one posterior sd (7) of 1,000.
    assert moved == pytest.approx(1000, abs=7)


def test_auto_takes_the_marginal_form_and_says_why(sleepstudy):
    tree = bl.fit_bayes(FORMULA, sleepstudy, parametrization="auto", **QUICK)
    assert tree.attrs["parametrization"] == "marginal"
    assert "dense matrix of 0 columns" in tree.attrs["parametrization_reason"]


def test_auto_avoids_a_large_border():
    rng = np.random.default_rng(0)
    n = 4000
    table = pd.DataFrame(
        {"y": rng.normal(size=n), "a": rng.integers(0, 400, n), "b": rng.integers(0, 300, n)}
    )
    design = bl.build_design("y ~ 1 + (1 | a) + (1 | b)", table)
    name, reason = choose_parametrization("auto", Model.of(design))
    assert name == "noncentered"
    assert "300 columns" in reason


def test_a_border_beyond_memory_is_refused_with_its_bytes(sleepstudy, monkeypatch):
    design = bl.build_design("y ~ 1 + (1 | a) + (1 | b)", {
        "y": np.arange(40.0) % 7, "a": np.arange(40) % 5, "b": np.arange(40) % 4})  # fmt: skip
    monkeypatch.setattr(resources.os, "sysconf", lambda name: 8 if name == "SC_PAGE_SIZE" else 20)
    with pytest.raises(bl.ArgumentError, match=r"128 bytes each time, of 160 .*'noncentered'"):
        bl.build_model(design, parametrization="marginal")
    # Windows has no sysconf, and some systems do not tell: no reason to refuse.
    monkeypatch.setattr(resources.os, "sysconf", lambda _: -1)
    assert bl.build_model(design, parametrization="marginal").free_RVs
    monkeypatch.delattr(resources.os, "sysconf")
    assert bl.build_model(design, parametrization="marginal").free_RVs


def test_a_response_cannot_be_exchanged_behind_the_cross_products(sleepstudy):
    model = bl.build_model(FORMULA, sleepstudy, parametrization="marginal")
    with pytest.raises(KeyError, match="response_data"):
        pm.set_data({"response_data": np.zeros(180)}, model=model)


def test_moments_are_those_of_the_draws(tree, sleepstudy):
    moments = bl.fit_bayes(
        FORMULA, sleepstudy, parametrization="marginal", effects="moments", **QUICK
    )
    assert "b_Subject" not in moments["posterior"]
    kept = moments["effects_moments"]
    draws = tree["posterior"]["b_Subject"]
    np.testing.assert_allclose(kept["b_Subject_mean"], draws.mean(("chain", "draw")), rtol=1e-10)
    np.testing.assert_allclose(
        kept["b_Subject_sd"], draws.std(("chain", "draw"), ddof=1), rtol=1e-10
    )
    assert str(bl.summary(moments))
    with pytest.raises(bl.TreeError, match="effects_moments"):
        bl.coefficients(moments)


@pytest.mark.parametrize("parametrization", ["marginal", "noncentered"])
def test_chosen_levels_are_kept_by_label(tree, sleepstudy, parametrization):
    chosen = bl.fit_bayes(
        FORMULA,
        sleepstudy,
        parametrization=parametrization,
        effects={"Subject": ["372", "308"]},
        **QUICK,
    )
    b = chosen["posterior"]["b_Subject"]
    assert list(b["Subject"].to_numpy()) == ["372", "308"]
    if parametrization == "marginal":
        np.testing.assert_array_equal(b, tree["posterior"]["b_Subject"].sel(Subject=b["Subject"]))


def test_batches_of_moments_combine_exactly(sleepstudy):
    design = bl.build_design(FORMULA, sleepstudy)
    rng = np.random.default_rng(1)
    # A mean a million times the spread: naive sums of squares would lose every digit.
    draws = 1e6 + rng.normal(size=(30, 18, 2))
    store = EffectsStore(design, KeptEffects.of(design, "moments"), (3, 10), rng=rng)
    for batch in (draws[:7], draws[7:8], draws[8:]):
        store.add([batch])
    mean, sd = store.moments()["Subject"]
    np.testing.assert_allclose(mean, draws.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(sd, draws.std(axis=0, ddof=1), rtol=1e-8)


def test_small_batches_give_draws_of_the_same_distribution(sleepstudy, monkeypatch):
    monkeypatch.setattr(recovery, "_BATCH_VALUES", 36 * 50)
    tree = bl.fit_bayes(FORMULA, sleepstudy, parametrization="marginal", **QUICK)
    assert np.isfinite(tree["posterior"]["b_Subject"]).all()
    assert np.isfinite(tree["posterior"]["beta"]).all()


@pytest.mark.parametrize(
    ("effects", "message"),
    [
        ("mean", "neither 'draws' nor 'moments'"),
        ("moment", "Did you mean 'moments'"),
        ({"Subjects": "draws"}, "Did you mean 'Subject'"),
        ({"Subject": ["999"]}, "the level '999'"),
        (3, "must be 'draws', 'moments' or a mapping"),
    ],
)
def test_effects_that_cannot_be_kept_are_refused_before_sampling(sleepstudy, effects, message):
    with pytest.raises(bl.ArgumentError, match=message):
        bl.fit_bayes(FORMULA, sleepstudy, effects=effects)


def test_the_cost_of_a_gradient_does_not_depend_on_the_rows():
    """The compiled density is given arrays whose sizes depend on levels only."""
    sizes = []
    for repeats in (1, 50):
        rng = np.random.default_rng(0)
        g = np.tile(np.repeat(np.arange(20), 4), repeats)
        table = {"y": rng.normal(size=len(g)), "x": rng.normal(size=len(g)), "g": g}
        plan = gram_of(bl.build_design("y ~ x + (x | g)", table)).plan
        sizes.append((len(plan.ints), len(plan.floats)))
    assert sizes[0] == sizes[1]
