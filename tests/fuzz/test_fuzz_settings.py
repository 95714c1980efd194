"""Settings and first arguments of the wrong kind or size."""

import inspect

import numpy as np
import pandas as pd
from fits import HOW, posteriors, reml_fits, table
from hypothesis import strategies as st
from outcome import assert_numbers, fuzzed, outcome

import bayeslmm as bl

SEEDS = st.integers(0, 2**64 - 1)
ONES = np.ones(24)
SETTINGS = {
    "draws": [20, 30, 0, -1, 1.5, "a", np.int64(20), True, None, [1]],
    "tune": [10, -1, "a", 0, np.uint8(3), None],
    "chains": [1, 2, 0, "a", 2.0, None, np.int32(2)],
    "cores": [1, None, 0, -1, "a", 1.0],
    "random_seed": [1, None, -1, 2**70, "a", 1.0, np.int64(3), [1], 2**63 - 1],
    "target_accept": [None, 0.5, 2, 0, "a", np.float32(0.8), True, np.nan],
    "sampler": ["importance", "auto2", None, 3, "IMPORTANCE", ["importance"]],
    "parametrization": ["marginal", None, 3, ["marginal"], "marginal "],
    "missing": ["drop", "raise", None, 3, "x", ["drop"]],
    "effects": ["draws", "moments", None, 3, {"g": ["a"]}, {"g": "a"}, {"nowhere": ["a"]},
                {"g": []}, {}, {"g": None}, ["g"], {"g": [1]}, {1: ["a"]}, "x"],
    "weights": [None, "z", "x", "g", "nowhere", 3, [1, 2], ONES, 0 * ONES, -ONES, np.nan * ONES,
                np.full(24, "a"), pd.Series(ONES), pd.Series(ONES, index=range(3, 27)), True,
                ONES[:, None], {"w": 1}, 1e300 * ONES, 1e-300 * ONES],
    "progressbar": [False, 0, "no", None],
    "priors": [None, "brms", 3, {"sd": "HalfNormal(0)"}, {"sigma": "HalfNormal(1e-200)"}],
}  # fmt: skip


@fuzzed(20, seed=SEEDS)
def test_a_fit_takes_or_refuses_its_settings(seed):
    rng = np.random.default_rng(seed)
    how = HOW | {"draws": 20}
    for name in rng.choice(list(SETTINGS), size=rng.integers(1, 3), replace=False):
        how[str(name)] = SETTINGS[name][rng.integers(len(SETTINGS[name]))]
    formula = ["y ~ x + (x | g)", "y ~ 1 + (1 | g)"][rng.integers(2)]
    tree = outcome(bl.fit_bayes, formula, table(), **how)
    if tree is not None:
        assert_numbers(tree["posterior"])


def design():
    return bl.build_design("y ~ x + (x | g)", table())


@fuzzed(
    10,
    beta=st.sampled_from(
        [None, [0, 1], {"x": 1, "Intercept": 0}, {"x": 1}, {"x": "a", "Intercept": 0}, [1], "a", 3,
         {"x": np.nan, "Intercept": 1}, [[1, 2]], [1, np.inf], [1e308, 1e308], [[1], [1, 2]],
         {"x": [1], "Intercept": 0}]
    ),
    sd=st.sampled_from(
        [None, {"g": [1, 1]}, {"g": 1}, {"g": [-1, 1]}, {"g": [np.nan, 1]}, {"h": 1}, {}, 3, [1],
         {"g": "a"}, {"g": [[1]]}, {"g": [1e200, 1]}, {"g": [0, 0]}]
    ),
    corr=st.sampled_from(
        [None, {"g": np.eye(2)}, {"g": [[1, 2], [2, 1]]}, {"g": 0.5}, {"g": "a"}, {"h": np.eye(2)},
         {"g": [[1, 0.5], [0.4, 1]]}, {"g": np.full((2, 2), np.nan)}, 3]
    ),
    sigma=st.sampled_from([1.0, 0, -1, np.nan, "a", None, [1], 1e308, np.float32(1), True]),
    random_seed=st.sampled_from([None, 1, "a", -1, 1.0, [1]]),
)  # fmt: skip
def test_a_simulated_response_is_numbers(**given):
    answer = outcome(bl.simulate_response, design(), **given)
    assert_numbers(None if answer is None else answer[0])


DOORS = {
    "parse_formula": {}, "build_design": {}, "rebuild_design": {}, "resolve_priors": {},
    "describe_priors": {}, "sample_prior": {}, "build_model": {}, "fit_reml": {},
    "fit_bayes": HOW, "prior_study": HOW | {"scenarios": {"a": "brms"}}, "refit_reml": {},
    "simulate_response": {"beta": [0, 1]}, "gram_from_table": {},
    "gram_from_batches": {"progressbar": False}, "likelihood_ratio_test": {}, "compare_models": {},
    "Gram.load": {}, "Priors.from_json": {}, "DesignState.from_json": {}, "Prior.parse": {},
}  # fmt: skip


@fuzzed(30, seed=SEEDS)
def test_every_door_refuses_what_it_does_not_take(seed):
    rng = np.random.default_rng(seed)
    things = [None, 3, "y ~ x + (x | g)", "x", b"x", {}, [], table(), posteriors()[0], design(),
              design().state, reml_fits()[0], object(), 1j, np.zeros(3)]  # fmt: skip
    name = list(DOORS)[rng.integers(len(DOORS))]
    door = bl
    for part in name.split("."):
        door = getattr(door, part)
    needed = [
        p.name
        for p in inspect.signature(door).parameters.values()
        if p.default is p.empty and p.name not in DOORS[name]
    ]
    outcome(door, **{key: things[rng.integers(len(things))] for key in needed}, **DOORS[name])
