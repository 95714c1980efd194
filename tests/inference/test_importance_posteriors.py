"""Importance sampling's posteriors on every shipped study against long runs of NUTS."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from test_marginal_posteriors import bound, scores

import bayeslmm as bl
from bayeslmm.studies.model_files.model_spec import read_spec

FILES = sorted((Path(__file__).parents[2] / "models").glob("*.toml"))
# Effects of other responses are integrated out by quadrature, or drawn with all else.
MODELS = [path for path in FILES if read_spec(path).family.name == "gaussian"]
# So many draws by importance: of the trial's 20,000 points few had most weight, and NUTS was run.
FEWER = {"trial": 500}
OTHERS = {"dyestuff2": "Yield ~ 1 + (1 | Batch)"}


def study(key):
    """Formula, table and options of a fit."""
    if key in OTHERS:
        return OTHERS[key], bl.load_dataset(key), {}
    spec = read_spec(next(path for path in MODELS if path.stem == key))
    options = {"priors": dict(spec.priors), "weights": spec.weights, "missing": spec.missing}
    return spec.formula, spec.data.load(), options


@pytest.mark.slow
@pytest.mark.parametrize("key", [*(path.stem for path in MODELS), *OTHERS])
def test_importance_sampling_agrees_with_nuts(key):
    """Every mean, sd and quantile of beta, sd, corr, sigma and b against 4 x 2500 NUTS draws."""
    formula, table, options = study(key)
    options |= {"parametrization": "marginal", "progressbar": False, "draws": 2500}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Dropped .* missing values", bl.DataWarning)
        own = options | {"draws": FEWER.get(key, 2500)}
        ours = bl.fit_bayes(formula, table, sampler="importance", random_seed=3, **own)
        nuts = bl.fit_bayes(formula, table, sampler="nutpie", random_seed=4, **options)
    assert ours.attrs["sampler"] == "importance"
    assert ours["sample_stats"].attrs["pareto_k"] < 0.7
    z = scores(ours, nuts)
    size = np.abs(list(z.values()))
    worst = max(z, key=lambda label: abs(z[label]))
    print(  # noqa: T201 - the figures are the point; pytest shows them with -s or -rP
        f"\n{key}: k-hat {ours['sample_stats'].attrs['pareto_k']:.2f}, {len(z)} scores, root mean "
        f"square {np.sqrt(np.mean(size**2)):.2f}, {(size > 3).sum()} above 3 (expected "
        f"{0.0027 * len(z):.1f}), {(size > 4).sum()} above 4; largest {worst} {z[worst]:.2f}"
    )
    # 4, or where there are thousands of scores, what 1 % of runs would exceed by chance.
    assert size.max() <= bound(len(z))
    assert np.sqrt(np.mean(size**2)) < 1.8
