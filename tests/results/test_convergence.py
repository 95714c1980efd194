"""The judgement of draws: false alarms, missed ones, and advice that is not already in use."""

import json

import numpy as np
import pytest
import trees

import bayeslmm as bl
from bayeslmm.results.convergence import assess
from bayeslmm.results.diagnostics import diagnostics_table, r_hat_by_chance

FORMULA = "y ~ x + (x | g)"


def autoregressive(rng, chains, draws, columns, correlation):
    """Chains that all come from one distribution, and forget where they were slowly."""
    noise = rng.normal(size=(chains, draws, columns))
    values = noise.copy()
    for step in range(1, draws):
        fresh = np.sqrt(1 - correlation**2) * noise[:, step]
        values[:, step] = correlation * values[:, step - 1] + fresh
    return values


def tree_of(beta, **attrs):
    """A tree whose fixed effects have these draws; the rest is independent."""
    chains, draws, columns = beta.shape
    rng = np.random.default_rng(0)
    table = {f"x{k}": rng.normal(size=40) for k in range(columns - 1)}
    table |= {"y": rng.normal(size=40), "g": np.arange(40) % 8}
    formula = " + ".join(["y ~ 1", *(f"x{k}" for k in range(columns - 1)), "(1 | g)"])
    values = trees.random_draws(formula, table, chains=chains, draws=draws) | {"beta": beta}
    tree = trees.make_tree(formula, table, values)
    tree.attrs |= attrs
    return tree


def test_r_hat_by_chance_is_exceeded_as_often_as_it_says():
    rng = np.random.default_rng(3)
    chains = autoregressive(rng, 4, 500, 400, 0.3)
    from bayeslmm.results.diagnostics import _r_hat

    share = np.mean(_r_hat(chains) > r_hat_by_chance(chains, 0.1))
    # 400 of them: a standard error of 0.015. The two halves of R-hat are correlated and tail sizes
    # are the smaller ones, so the share lies below 0.1; it must not lie above, nor be none.
    assert 0.005 < share < 0.13


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_many_quantities_raise_no_false_alarm(seed):
    beta = autoregressive(np.random.default_rng(seed), 4, 500, 30, 0.5)
    tree = tree_of(beta)
    assert diagnostics_table(tree)["r_hat"].max() > 1.01
    assert not [problem for problem in assess(tree) if problem.name == "r_hat"]
    assert bl.diagnose(tree).ok == (not assess(tree, max_effects=None))


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
def test_a_chain_that_lies_elsewhere_is_found(shift):
    beta = autoregressive(np.random.default_rng(4), 4, 1000, 5, 0.2)
    beta[0, :, 2] += shift
    tree = tree_of(beta)
    (problem, *_) = assess(tree)
    assert problem.name == "r_hat"
    assert "for beta[x1] (1 quantity above 1.01 by more than chance)" in problem.message
    assert float(problem.message.split()[2]) > 1.01


def test_the_smallest_size_says_whether_it_is_of_the_bulk_or_the_tail():
    beta = autoregressive(np.random.default_rng(5), 4, 400, 3, 0.9)
    (problem,) = [problem for problem in assess(tree_of(beta)) if problem.name == "ess"]
    table = diagnostics_table(tree_of(beta))
    kind = "bulk" if table["ess_bulk"].min() < table["ess_tail"].min() else "tail"
    least = min(table["ess_bulk"].min(), table["ess_tail"].min())
    assert problem.message.startswith(f"The {kind} effective sample size is {least:.0f} for beta[")
    assert "below 400" in problem.message
    # What it asks for would do at the same efficiency.
    asked = int(problem.advice.split("draws=")[1].rstrip(".").split(",")[0])
    assert asked >= 400 * 400 / least


@pytest.mark.parametrize(
    ("used", "rate", "tried"),
    [
        ("noncentered", 0.9, ["target_accept=0.95", "parametrization='marginal'"]),
        ("centered", 0.95, ["target_accept=0.98", "parametrization='marginal'"]),
        ("marginal", 0.98, ["target_accept=0.99"]),
        ("marginal", 0.99, ["a prior that keeps standard deviations from zero"]),
    ],
)
def test_advice_never_names_what_is_in_use(used, rate, tried):
    diverging = np.zeros((4, 250), dtype=bool)
    diverging[1, 3] = True
    values = trees.random_draws(FORMULA, trees.TINY)
    tree = trees.make_tree(FORMULA, trees.TINY, values, sample_stats={"diverging": diverging})
    tree.attrs |= {"parametrization": used, "n_levels": json.dumps({"g": 3})}
    tree.attrs["settings"] = json.dumps({"tune": 250, "target_accept": rate})
    (problem,) = assess(tree)
    assert problem.name == "divergences"
    assert "1 of 1000" in problem.message
    assert all(text in problem.advice for text in tried)
    assert repr(used) not in problem.advice
    assert f"target_accept={rate} " not in problem.advice


def test_the_marginal_form_is_not_advised_where_its_border_may_be_large():
    beta = autoregressive(np.random.default_rng(4), 4, 300, 3, 0.2)
    beta[0] += 1
    tree = tree_of(beta, parametrization="noncentered", n_levels=json.dumps({"g": 900, "h": 700}))
    assert "marginal" not in assess(tree)[0].advice
    assert "tune=20" in assess(tree)[0].advice


@pytest.mark.parametrize(("family", "advised"), [("bernoulli", False), ("lognormal", True)])
def test_the_marginal_form_is_advised_only_where_there_is_a_closed_form(family, advised):
    beta = autoregressive(np.random.default_rng(4), 4, 300, 3, 0.2)
    beta[0] += 1
    tree = tree_of(
        beta, parametrization="noncentered", n_levels=json.dumps({"g": 9}), family=family
    )
    assert ("marginal" in assess(tree)[0].advice) is advised


def test_chains_that_disagree_and_short_chains_are_problems():
    values = trees.random_draws(FORMULA, trees.TINY)
    values["beta"] = values["beta"] + np.arange(4)[:, None, None]
    idata = trees.make_tree(FORMULA, trees.TINY, values)
    problems = assess(idata)
    assert [problem.name for problem in problems] == ["r_hat", "ess"]
    assert "beta[" in problems[0].message
    assert "do not trust" in str(bl.summary(idata))


def test_too_few_draws_cannot_be_assessed():
    values = trees.random_draws(FORMULA, trees.TINY, draws=2)
    idata = trees.make_tree(FORMULA, trees.TINY, values)
    assert [problem.name for problem in assess(idata)] == ["draws"]


def test_a_single_chain_is_judged_by_its_halves():
    values = trees.random_draws(FORMULA, trees.TINY, chains=1, draws=1000)
    steady = trees.make_tree(FORMULA, trees.TINY, values)
    assert not [problem for problem in assess(steady) if problem.name == "r_hat"]
    values["sigma"] = values["sigma"] * np.linspace(1, 10, 1000)
    drifting = trees.make_tree(FORMULA, trees.TINY, values)
    assert "r_hat" in [problem.name for problem in assess(drifting)]
