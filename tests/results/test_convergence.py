import numpy as np
import trees

import bayeslmm as bl
from bayeslmm.results.convergence import assess

FORMULA = "y ~ x + (x | g)"


def test_chains_that_disagree_and_short_chains_are_problems():
    values = trees.random_draws(FORMULA, trees.TINY)
    values["beta"] = values["beta"] + np.arange(4)[:, None, None]
    idata = trees.make_tree(FORMULA, trees.TINY, values)
    problems = assess(idata)
    assert [problem.name for problem in problems] == ["r_hat", "ess"]
    assert "beta[" in problems[0].message
    assert "do not trust" in str(bl.summary(idata))


def test_divergences_are_a_problem_with_an_advice():
    diverging = np.zeros((4, 250), dtype=bool)
    diverging[1, 3] = True
    values = trees.random_draws(FORMULA, trees.TINY)
    idata = trees.make_tree(FORMULA, trees.TINY, values, sample_stats={"diverging": diverging})
    (problem,) = assess(idata)
    assert problem.name == "divergences"
    assert "1 of 1000" in problem.message
    assert "centered" in problem.advice


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
