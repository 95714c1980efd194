"""Which variances the data tell apart, held against ranks of dense matrices."""

import warnings

import dense
import numpy as np
import pandas as pd
import pytest
from designs import KINDS, random_design
from scipy.optimize import minimize

import bayeslmm as bl
from bayeslmm.gram.gram import Gram
from bayeslmm.model.identification import unidentified, warn_of_single_trials

HOW = {"parametrization": "marginal", "sampler": "importance", "progressbar": False,
       "random_seed": 1, "draws": 200, "tune": 100, "chains": 2}  # fmt: skip
N = 60
RNG = np.random.default_rng(1)
G = RNG.integers(0, 12, N)
TABLE = pd.DataFrame({
    "y": RNG.normal(size=N), "x": RNG.normal(size=N), "w": RNG.uniform(1, 3, N), "g": G,
    "h": RNG.integers(0, 7, N), "row": np.arange(N), "two": np.arange(N) // 2,
    "late": (np.arange(N) > N // 2).astype(float), "same": (G * 5) % 12 + 100,
    "cat": np.where(G % 2 == 0, "a", "b"), "t": np.arange(N) % 2.0, "zero": 0.0,
})  # fmt: skip
TABLE["even"] = TABLE.h % 2 == 0
SD = "the standard deviation of {0!r} by {1!r}".format
# What is named, and whether it cannot be told from the residual.
OPEN = {
    "y ~ x + (1 | row)": ([SD("Intercept", "row")], True),
    "y ~ late + (late | row)": ([SD("Intercept", "row"), SD("late", "row")], True),
    "y ~ t + (t | two)": ([SD("Intercept", "two"), SD("t", "two")], True),
    "y ~ 1 + (x | g) + (x | row)": ([SD("Intercept", "row")], True),
    "y ~ x + (1 | g) + (1 | same)": ([SD("Intercept", "g"), SD("Intercept", "same")], False),
    "y ~ 1 + (1 | g) + (0 + zero | g)": ([SD("zero", "g")], False),
    "y ~ C(h) + (1 | even)": ([SD("Intercept", "even")], False),
    "y ~ 0 + cat + (0 + cat | g)": (["the correlation of 'cat[a]' and 'cat[b]' by 'g'"], False),
}
# As many effects as rows, or more, and all identified.
IDENTIFIED = [
    "y ~ x + (0 + late | row)", "y ~ late + (0 + late | row)", "y ~ t + (t || two)",
    "y ~ x + (x | two)", "y ~ x + (x + late | two)", "y ~ 1 + (1 | g) + (1 | g:h)",
    "y ~ x + (x + w + t + late + I(x * w) | g)", "y ~ I(x + 1000) + (I(x + 1000) || g)",
]  # fmt: skip


def covariances(design):
    """Each variance's and covariance's matrix, X projected off, and the residual's, as rows."""
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    X = design.X * root[:, None]
    M = np.eye(design.n) - X @ np.linalg.pinv(X)
    rows = []
    for factor in design.factors:
        same = factor.index[:, None] == factor.index
        for block in factor.blocks:
            Z = factor.columns[:, list(block)] * root[:, None]
            for r in range(len(block)):
                for c in range(r + 1):
                    V = np.outer(Z[:, r], Z[:, c]) * same
                    V = V + V.T
                    rows.append((M @ V @ M).ravel() / max(np.linalg.norm(V), 1e-300))
    return np.array([*rows, M.ravel() / np.sqrt(design.n)])


def agrees(design):
    matrices = covariances(design)
    full = np.linalg.matrix_rank(matrices, tol=1e-6) == len(matrices)
    found = unidentified(Gram.from_design(design))
    assert full == (found is None)
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n", [14, 25, 60])
def test_identification_is_that_of_dense_matrices(kind, weighted, n):
    agrees(random_design(kind, 2, n=n, weighted=weighted))


@pytest.mark.parametrize("formula", OPEN)
def test_what_is_open_is_named(formula):
    found = agrees(bl.build_design(formula, TABLE))
    assert (list(found.parameters), found.residual) == OPEN[formula]


@pytest.mark.parametrize("formula", IDENTIFIED)
def test_counts_decide_nothing(formula):
    assert agrees(bl.build_design(formula, TABLE)) is None


def test_weights_tell_a_level_for_every_row_where_they_differ():
    formula = "y ~ x + (1 | row)"
    assert agrees(bl.build_design(formula, TABLE, weights="w")) is None
    assert agrees(bl.build_design(formula, TABLE, weights=np.full(N, 2.0))).residual


@pytest.mark.parametrize("formula", [key for key, value in OPEN.items() if value[1]])
def test_reml_refuses_what_it_cannot_tell_from_the_residual(formula):
    with pytest.raises(bl.DataError, match=r"cannot tell the standard dev.*fit_bayes"):
        bl.fit_reml(formula, TABLE)


@pytest.mark.parametrize("formula", ["y ~ x + (1 | row)", "y ~ 1 + (1 | g) + (1 | same)",
                                     "y ~ 0 + cat + (0 + cat | g)"])  # fmt: skip
def test_priors_fit_what_the_data_leave_open_and_a_warning_says_so(formula):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.SamplingWarning)
        with pytest.warns(bl.IdentificationWarning, match="what their posterior says"):
            fit = bl.fit_bayes(formula, TABLE, **HOW)
    assert np.isfinite(fit["posterior"].sigma.to_numpy()).all()


@pytest.mark.parametrize("formula", [key for key, value in OPEN.items() if not value[1]])
@pytest.mark.filterwarnings("ignore::bayeslmm.errors.SingularFitWarning")
@pytest.mark.filterwarnings("ignore::bayeslmm.errors.NumericalWarning")
def test_reml_warns_of_what_says_nothing(formula):
    with pytest.warns(bl.IdentificationWarning, match="say nothing about"):
        bl.fit_reml(formula, TABLE)


def visits(seed, counts):
    """A growth curve with drop-out: `counts` subjects are seen once, twice, five times."""
    rng = np.random.default_rng(seed)
    seen = np.repeat([1, 2, 5], counts)
    subject = np.repeat(np.arange(len(seen)), seen)
    age = np.concatenate([np.arange(k) for k in seen]).astype(float)
    effect = rng.multivariate_normal([0, 0], [[1.0, 0.2], [0.2, 0.3]], len(seen))
    y = 2 + 0.5 * age + effect[subject, 0] + effect[subject, 1] * age
    return pd.DataFrame({"subject": subject, "age": age, "y": y + 0.6 * rng.normal(size=len(age))})


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.SingularFitWarning")
@pytest.mark.parametrize(("seed", "counts"), [(7, (15, 10, 5)), (8, (10, 25, 2)), (9, (30, 0, 6))])
def test_drop_out_is_fitted_where_effects_outnumber_rows(seed, counts):
    table = visits(seed, counts)
    design = bl.build_design("y ~ age + (age | subject)", table)
    assert 2 * len(design.factors[0].levels) >= len(table)
    fit = bl.fit_reml("y ~ age + (age | subject)", table)

    def criterion(p):
        lam = np.array([[np.exp(p[0]), 0.0], [p[1], np.exp(p[2])]])
        return dense.criterion(design, [lam], np.exp(p[3]), True)

    best = minimize(criterion, [0.0, 0.0, -0.5, -0.5], method="BFGS")
    assert fit.criterion == pytest.approx(best.fun, abs=1e-4)  # what BFGS by differences reaches
    gram = bl.gram_from_batches("y ~ age + (age | subject)", [table], progressbar=False)
    again = bl.fit_reml("y ~ age + (age | subject)", gram).criterion
    assert again == pytest.approx(fit.criterion, abs=1e-8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.SamplingWarning)
        drawn = bl.fit_bayes("y ~ age + (age | subject)", table, **HOW)["posterior"]
    ahead = abs(float(drawn.sigma.mean()) - fit.sigma) / float(drawn.sigma.std())
    assert ahead < 1.5  # a posterior's mean beside a mode, in its own standard deviations


@pytest.mark.parametrize(("sizes", "sds"), [((200, 200), (1, 3)), ((80, 300), (2, 3)),
                                            ((300, 60), (0.1, 1))])  # fmt: skip
def test_a_category_may_have_a_larger_residual_variance(sizes, sds):
    rng = np.random.default_rng(4)
    late = np.repeat([0.0, 1.0], sizes)
    table = pd.DataFrame({"late": late, "row": np.arange(len(late))})
    table["y"] = 2 + late + rng.normal(size=len(late)) * np.repeat(np.array(sds, float), sizes)
    fit = bl.fit_reml("y ~ late + (0 + late | row)", table)
    sd = table.groupby("late")["y"].std()  # REML of two groups with variances of their own
    right = [np.sqrt(sd[1.0] ** 2 - sd[0.0] ** 2), sd[0.0]]
    got = [fit.variance_components["sd"].iloc[0], fit.sigma]
    assert got == pytest.approx(right, rel=1e-5)  # the search ends within 1e-6 of the deviance
    drawn = bl.fit_bayes("y ~ late + (0 + late | row)", table, **HOW)["posterior"]
    assert float(drawn.sigma.mean()) == pytest.approx(sd[0.0], rel=0.1)


@pytest.mark.parametrize("ratio", [30.0, 1e3, 5e3, 2e4])
@pytest.mark.filterwarnings("error::bayeslmm.errors.IdentificationWarning")
@pytest.mark.filterwarnings("ignore::bayeslmm.errors.NumericalWarning")
def test_precise_readings_raise_no_alarm(ratio):
    rng = np.random.default_rng(2)
    part, reading = np.repeat(np.arange(15), 4), np.tile(np.arange(4.0), 15)
    level, slope = rng.normal(size=(2, 15))
    y = 100 + level[part] + slope[part] * reading + rng.normal(size=60) / ratio
    table = pd.DataFrame({"part": part, "x": reading, "y": y})
    bl.fit_reml("y ~ x + (x | part)", table)
    crossed = table.assign(y=100 + level[part] + slope[table.x.astype(int)], k=table.x.astype(int))
    crossed["y"] += rng.normal(size=60) / ratio
    bl.fit_reml("y ~ 1 + (1 | part) + (1 | k)", crossed)
    bl.fit_reml("y ~ 1 + (1 | part)", table.assign(y=level[part] + rng.normal(size=60) / ratio))


def test_a_level_of_one_binary_row_says_nothing_on_the_spread_of_levels():
    rng = np.random.default_rng(3)
    table = {
        "y": rng.integers(0, 2, 12),
        "x": rng.normal(size=12),
        "g": [f"g{k}" for k in range(12)],
    }
    design = bl.build_design("y ~ x + (1 | g)", table, family="bernoulli")
    with pytest.warns(bl.IdentificationWarning, match="Each level of 'g' has one row"):
        warn_of_single_trials(design)
    counted = bl.build_design("y ~ x + (1 | g)", table, family="poisson")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_single_trials(counted)
