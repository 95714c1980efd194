"""Default priors follow the data's origins and units, and so does everything that is fitted."""

import warnings

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.gram.gram_design import design_of
from bayeslmm.model.model import Model

HOW = {"parametrization": "marginal", "sampler": "importance", "progressbar": False,
       "random_seed": 1, "draws": 250}  # fmt: skip
RNG = np.random.default_rng(1)
N, LEVELS = 60, 10
G = np.arange(N) % LEVELS
X = RNG.normal(5, 1, N)
Z = RNG.uniform(1, 3, N)
B, S = RNG.normal(size=LEVELS), 0.5 * RNG.normal(size=LEVELS)
TABLE = pd.DataFrame({"g": [f"g{k}" for k in G], "x": X, "z": Z, "w": RNG.uniform(0.5, 2, N)})
TABLE["y"] = 2 + X + B[G] + S[G] * (X - 5) + 0.7 * RNG.normal(size=N) / np.sqrt(TABLE.w)
FORMULA = "y ~ x + (x | g)"
# x -> a + b x, y -> c y + d: powers of two leave all digits, others leave rounding.
MOVES = {
    "origin": (1000.0, 1.0, 1.0, 0.0),
    "far origin": (-1e5, 1.0, 1.0, 0.0),
    "near origin": (-1.0, 1.0, 1.0, 0.0),
    "other side": (3.0, -2.0, 1.0, 0.0),
    "unit": (0.0, 0.01, 1.0, 0.0),
    "response": (0.0, 1.0, 250.0, -1e4),
    "all": (7.0, 32.0, 0.125, 3.0),
}


def moved(table, a, b, c, d):
    return table.assign(x=a + b * table.x, y=c * table.y + d)


def at_means(fit, mean):
    """Fixed effects, sds, correlation and effects where the column has its mean."""
    posterior = fit["posterior"]
    turn = np.array([[1.0, mean], [0.0, 1.0]])
    sd, corr = posterior.sd_g.to_numpy(), posterior.corr_g.to_numpy()
    G = turn @ (sd[..., :, None] * corr * sd[..., None, :]) @ turn.T
    beta, effects = posterior.beta.to_numpy() @ turn.T, posterior.b_g.to_numpy() @ turn.T
    return G, beta, effects, posterior.sigma.to_numpy()


@pytest.fixture(scope="module")
def reference():
    return at_means(bl.fit_bayes(FORMULA, TABLE, **HOW), TABLE.x.mean())


@pytest.mark.parametrize("name", [name for name in MOVES if name != "other side"])
@pytest.mark.parametrize("form", ["rows", "gram"])
def test_a_posterior_moves_with_origins_and_units(name, form, reference):
    a, b, c, d = MOVES[name]
    table = moved(TABLE, a, b, c, d)
    data = table if form == "rows" else bl.gram_from_batches(FORMULA, [table], progressbar=False)
    G, beta, effects, sigma = at_means(bl.fit_bayes(FORMULA, data, **HOW), table.x.mean())
    unit = np.array([c, c / b])  # a slope's sign turns with its column's
    beta = beta - np.array([d, 0.0])
    # Digits: origin over spread, squared where sds at zero are told from those at the mean.
    lost = (a * 2e-16**0.5) ** 2  # 2e-6 at an origin of 1e5
    close = {"rtol": 1e-6 + 10 * lost, "atol": 1e-6 + 10 * lost}
    np.testing.assert_allclose(G / unit[:, None] / unit, reference[0], **close)
    np.testing.assert_allclose(beta / unit, reference[1], **close)
    np.testing.assert_allclose(effects / unit, reference[2], **close)
    np.testing.assert_allclose(sigma / c, reference[3], **close)


def test_a_mirrored_column_has_the_mirrored_posterior(reference):
    # A correlation's coordinate turns its sign, so the same seed draws other points.
    table = moved(TABLE, *MOVES["other side"])
    fit = bl.fit_bayes(FORMULA, table, **{**HOW, "draws": 2000})
    G, beta, _, sigma = at_means(fit, table.x.mean())
    pairs = (
        (-2 * beta[..., 1], reference[1][..., 1]),
        (sigma, reference[3]),
        (4 * G[..., 1, 1], reference[0][..., 1, 1]),
        (-2 * G[..., 0, 1], reference[0][..., 0, 1]),
    )
    for got, right in pairs:
        assert abs(got.mean() - right.mean()) < 0.15 * right.std()  # 1,000 draws, four errors


@pytest.mark.parametrize("name", MOVES)
def test_prior_scales_move_with_origins_and_units(name):
    a, b, c, d = MOVES[name]
    scales = []
    for table in (TABLE, moved(TABLE, a, b, c, d)):
        priors = bl.resolve_priors(bl.build_design("y ~ x + (x + z | g)", table))
        (factor,) = priors.factors
        assert factor.shift.means == pytest.approx((0.0, table.x.mean(), table.z.mean()))
        numbers = [prior.numbers[-1] for prior in (*priors.beta, *factor.sd, priors.sigma)]
        scales.append(np.array(numbers))
    unit = np.abs([c, c / b, c, c / b, c, c])
    np.testing.assert_allclose(scales[1] / unit, scales[0], rtol=1e-10)


@pytest.mark.parametrize("form", ["noncentered", "centered", "marginal"])
@pytest.mark.filterwarnings("ignore::bayeslmm.errors.SamplingWarning")
def test_every_form_has_the_one_posterior(form, reference):
    table = moved(TABLE, *MOVES["origin"])
    how = {"draws": 400, "tune": 400, "chains": 2, "random_seed": 3, "progressbar": False}
    G, _, effects, sigma = at_means(
        bl.fit_bayes(FORMULA, table, parametrization=form, **how), table.x.mean()
    )
    # Some hundred effective draws: a tenth of a posterior's standard deviation, three times.
    for got, right in ((np.sqrt(G[..., 0, 0]), np.sqrt(reference[0][..., 0, 0])),
                       (np.sqrt(G[..., 1, 1]), np.sqrt(reference[0][..., 1, 1])),
                       (effects[..., 0, 0], reference[2][..., 0, 0]),
                       (sigma, reference[3])):  # fmt: skip
        assert abs(got.mean() - right.mean()) < 0.3 * right.std()


@pytest.mark.parametrize("name", ["origin", "unit", "all"])
def test_draws_from_the_prior_move_too(name):
    a, b, c, d = MOVES[name]
    draws = [
        bl.sample_prior(FORMULA, table, draws=50, random_seed=2)["prior_predictive"]["y"].to_numpy()
        for table in (TABLE, moved(TABLE, a, b, c, d))
    ]
    np.testing.assert_allclose((draws[1] - d) / c, draws[0], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("low", [-3.0, 0.0, 0.5])
def test_a_prior_stands_at_zero_where_zero_is_within_the_data(low):
    table = TABLE.assign(x=TABLE.x - TABLE.x.min() + low)
    design = bl.build_design("y ~ x + (x + z | g)", table)
    shift = bl.resolve_priors(design).factors[0].shift
    inside = 0.0 if low <= 0 else table.x.mean()
    assert shift.means == pytest.approx((0.0, inside, table.z.mean()))
    only = bl.build_design(FORMULA, table)
    assert bool(bl.resolve_priors(only).factors[0].shift.columns) == (low > 0)


def test_a_shift_past_the_ends_of_the_data_moves_a_posterior_little():
    # Before, the slope's sd at an origin of 1000 was a four hundredth of what it is at zero.
    sds = []
    for origin in (-5.0, 0.0, 1000.0):
        fit = bl.fit_bayes(FORMULA, TABLE.assign(x=TABLE.x + origin), **HOW)["posterior"]
        sds.append(fit.sd_g.sel(g_term="x").to_numpy())
    assert sds[1].mean() == pytest.approx(sds[2].mean(), rel=1e-6)
    assert abs(sds[0].mean() - sds[1].mean()) < 0.3 * sds[1].std()


@pytest.mark.parametrize("stated", [{"sd_g[Intercept]": "HalfNormal(2)"}, {"sd": "HalfNormal(2)"},
                                    "brms"])  # fmt: skip
def test_stated_priors_are_of_the_parameter_as_it_is(stated):
    design = bl.build_design(FORMULA, TABLE)
    assert bl.resolve_priors(design, stated).factors[0].shift.columns == ()
    model = Model.of(design, stated)
    assert model.at_means is model


@pytest.mark.parametrize("stated", [{"corr": "LKJ(4)"}, {"sd_g[x]": "Exponential(1)"}, None])
def test_priors_survive_json_with_the_place_where_they_stand(stated):
    priors = bl.resolve_priors(bl.build_design(FORMULA, TABLE), stated)
    assert priors.factors[0].shift.columns == (0, 1)
    assert bl.Priors.from_json(priors.to_json()) == priors


def test_densities_in_two_places_are_compared_with_their_volumes():
    # The Jacobian determinant of (sd, corr) -> those at the means, by differences.
    priors = bl.resolve_priors(bl.build_design(FORMULA, TABLE))
    shift, at = priors.factors[0].shift, np.array([1.3, 0.4, -0.3])

    def there(point):
        corr = np.array([[1.0, point[2]], [point[2], 1.0]])
        sd, turned = shift.to_means(point[:2], corr)
        return np.array([*sd, turned[0, 1]])

    steps = 1e-6 * np.eye(3)
    jacobian = np.array([(there(at + h) - there(at - h)) / 2e-6 for h in steps])
    posterior = {"sigma": np.array(1.0), "sd_g": at[:2],
                 "corr_g": np.array([[1.0, at[2]], [at[2], 1.0]])}  # fmt: skip
    expected = np.linalg.slogdet(jacobian)[1]
    assert float(priors.log_volume(posterior)) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("other", [{"sd_g[Intercept]": "HalfStudentT(3, 1.5)"}, "flat",
                                   {"corr": "LKJ(1)"}])  # fmt: skip
@pytest.mark.filterwarnings("ignore::bayeslmm.errors.SamplingWarning")
def test_a_study_reweights_to_what_a_refit_has(other):
    how = {"sampler": "importance", "progressbar": False}
    means = []
    for reweight in (True, False):
        study = bl.prior_study(FORMULA, TABLE, {"other": other}, reweight=reweight, **how)
        summary = bl.summarise_study(study).xs("other", level="scenario")
        means.append(summary.loc[["sd_g[Intercept]", "sd_g[x]", "sigma"]])
    gap = (means[0]["mean"] - means[1]["mean"]).abs() / means[1]["sd"]
    assert gap.max() < 0.15


@pytest.mark.parametrize("factor", [1e-4, 4.0, 1e6])
@pytest.mark.parametrize("formula", ["y ~ x + (1 | g)", FORMULA, "y ~ 0 + x + (0 + x | g)"])
def test_weights_times_a_constant_scale_sigma_and_nothing_else(factor, formula):
    fits = [
        bl.fit_bayes(formula, TABLE.assign(w=k * TABLE.w), weights="w", **HOW)["posterior"]
        for k in (1.0, factor)
    ]
    for name in fits[0].data_vars:
        unit = np.sqrt(factor) if name == "sigma" else 1.0
        np.testing.assert_allclose(fits[1][name] / unit, fits[0][name], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("scheme", [None, "half_cauchy", "flat"])
def test_the_scale_of_sigma_is_that_of_a_row_of_mean_weight(scheme):
    design = bl.build_design(FORMULA, TABLE, weights="w")
    plain = bl.build_design(FORMULA, TABLE)
    ratio = (
        bl.resolve_priors(design, scheme).sigma.numbers[-1]
        / bl.resolve_priors(plain, scheme).sigma.numbers[-1]
    )
    assert ratio == pytest.approx(np.sqrt(TABLE.w.mean()))
    # A row of next to no weight moves it by its share of the rows.
    light = design_of(FORMULA, pd.concat([TABLE, TABLE[:1].assign(w=1e-12)]), weights="w")
    again = bl.resolve_priors(light, scheme).sigma.numbers[-1]
    assert again == pytest.approx(bl.resolve_priors(design, scheme).sigma.numbers[-1], rel=0.03)


@pytest.mark.parametrize(("far", "said"), [(2e4, False), (1e6, True), (-1e7, True)])
def test_columns_so_far_from_zero_that_digits_are_lost_are_told(far, said):
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(8), 6)
    x = rng.normal(0, 0.5, 48)
    y = rng.normal(size=8)[group] + x * rng.normal(0, 0.5, 8)[group] + rng.normal(0, 0.3, 48)
    table = pd.DataFrame({"x": x + far, "y": y, "g": group})
    how = {"sampler": "importance", "draws": 50, "random_seed": 1, "progressbar": False}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bl.fit_bayes("y ~ x + (x | g)", table, **how)
        told = [str(w.message) for w in caught if w.category is bl.NumericalWarning]
    assert [message for message in told if "'x' of 'g' lies" in message] == told
    assert bool(told) == said
    with warnings.catch_warnings():
        warnings.simplefilter("error", bl.NumericalWarning)
        bl.fit_bayes("y ~ x + (center(x) | g)", table, **how)


def test_priors_say_where_they_stand():
    table = pd.DataFrame(
        {"x": np.arange(24.0) + 5, "g": np.arange(24) % 6, "y": np.sin(np.arange(24))}
    )
    priors = bl.resolve_priors(bl.build_design("y ~ x + (x | g)", table))
    assert "Those of g (Intercept, x) are for columns at their means." in repr(priors)
    priors = bl.resolve_priors(bl.build_design("y ~ x + (x || g)", table))
    assert "Those of g" not in repr(priors)
