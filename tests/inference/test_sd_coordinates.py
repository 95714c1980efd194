"""The log-arcsinh scale: the same posterior on a scale without a long tail."""

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.gram.gram import Gram
from bayeslmm.inference.graph.build import build_model
from bayeslmm.inference.marginal.coordinates import sinh_exp
from bayeslmm.inference.marginal.sd_coordinates import LOG_ARCSINH, STRAIGHT, sd_coordinates
from bayeslmm.inference.nuts.compile import constrain, free_variables
from bayeslmm.inference.nuts.pymc_model import structure_key
from bayeslmm.model.model import Model

PASTES = "strength ~ 1 + (1 | batch / cask)"
SLEEPSTUDY = "Reaction ~ Days + (Days | Subject)"


def coordinates(formula, table, priors=None):
    design = bl.build_design(formula, table)
    return sd_coordinates(Gram.from_design(design), bl.resolve_priors(design, priors))


def test_the_straight_coordinate_is_the_logarithm():
    u, one = np.linspace(-8, 8, 17), np.ones(17)
    # sinh(cu)/c is u (1 + (cu)^2 / 6): with c = 1e-3 and |u| = 8 within 1.1e-5 of u.
    np.testing.assert_allclose(np.log(sinh_exp(u, one, STRAIGHT * one)), u, rtol=1.2e-5)


def test_far_points_give_zero_or_infinity_without_a_warning():
    ends = sinh_exp(np.array([-30.0, 30.0]), np.ones(2), np.full(2, LOG_ARCSINH))
    np.testing.assert_array_equal(ends, [0.0, np.inf])


def test_only_sds_that_may_be_zero_are_bent():
    (batch, cask) = coordinates(PASTES, bl.load_dataset("pastes"))
    # lmer's REML estimates (lme4 1.1): 1.287 for batch, whose likelihood ratio against zero is
    # 0.4, and 2.904 for casks.
    assert batch[1] == LOG_ARCSINH
    assert batch[0] > 1.287
    assert cask[1] == STRAIGHT
    assert cask[0] == pytest.approx(2.904, rel=1e-3)
    ((scale, bend),) = coordinates("Yield ~ 1 + (1 | Batch)", bl.load_dataset("dyestuff2"))
    assert bend == LOG_ARCSINH
    # The REML estimate is zero; the posterior's upper end is near sigma (3.7) over sqrt(5 rows),
    # times a few for only six batches.
    assert 2 < scale < 10


def test_the_unit_of_the_response_does_not_matter():
    table = bl.load_dataset("sleepstudy")
    ((scale, bend),) = coordinates(SLEEPSTUDY, table)
    thousands = table.assign(Reaction=1e3 * table["Reaction"])
    ((other, same),) = coordinates(SLEEPSTUDY, thousands)
    # The search stops within its tolerance of the best values, which rounding may shift.
    np.testing.assert_allclose(other, 1e3 * scale, rtol=1e-3)
    np.testing.assert_array_equal(same, bend)


def test_without_a_usable_search_there_still_are_coordinates():
    """Two rows exactly equal in each group: the residual variance tends to zero."""
    table = {"y": [1.0, 1.0, 4.0, 4.0, 3.0, 3.0], "g": list("aabbcc")}
    for priors in (None, {"sd_g": "LogNormal(600, 1)"}, {"sigma": "HalfNormal(1e-200)"}):
        ((scale, bend),) = coordinates("y ~ 1 + (1 | g)", table, priors)
        assert np.isfinite(scale).all()
        assert (scale > 0).all()
        assert np.isin(bend, [LOG_ARCSINH, STRAIGHT]).all()


def test_no_random_effects_no_coordinates():
    assert coordinates("Reaction ~ Days", bl.load_dataset("sleepstudy")) == []


@pytest.fixture(scope="module", params=[None, {"sd_batch": "Gamma(2, 0.5)"}])
def model(request):
    design = bl.build_design(PASTES, bl.load_dataset("pastes"))
    return design, bl.resolve_priors(design, request.param)


def test_the_density_on_the_new_scale_is_prior_times_likelihood_times_jacobian(model):
    """Against SciPy's prior densities and a Jacobian by differences."""
    design, priors = model
    built = build_model(design, priors=priors, parametrization="marginal")
    variables = free_variables(built)
    logp = built.compile_logp(mode="FAST_COMPILE")
    parts = built.compile_logp(jacobian=False, mode="FAST_COMPILE")
    rng = np.random.default_rng(3)
    for _ in range(5):
        u = rng.uniform(-1.5, 1.5, 3)
        at = {value.name: np.atleast_1d(x) for value, x in zip(built.value_vars, u, strict=True)}
        at["sigma_log__"] = np.asarray(u[2])
        ahead, behind = ({k: v + h for k, v in at.items()} for h in (1e-5, -1e-5))
        natural = [values(variables, point) for point in (behind, at, ahead)]
        jacobian = sum(
            np.log((natural[2][k] - natural[0][k]) / 2e-5) for k in range(len(natural[1]))
        )
        # Central differences over 1e-5: errors of order 1e-10, and rounding of 1e-11.
        assert logp(at) - parts(at) == pytest.approx(jacobian, abs=1e-8)
        prior = sum(
            float(p.log_density(x))
            for p, x in zip(
                [priors.factors[0].sd[0], priors.factors[1].sd[0], priors.sigma],
                natural[1],
                strict=True,
            )
        )
        point = {v.name: x for v, x in zip(variables, natural[1], strict=True)}
        assert parts(at) == pytest.approx(prior + likelihood(design, priors, point), rel=1e-10)


def values(variables, point):
    """What the draws' way back to the model's variables makes of a point."""
    flat = np.concatenate([np.ravel(v) for v in point.values()])[None, None]
    return [float(np.ravel(v)[0]) for v in constrain(variables, flat).values()]


def likelihood(design, priors, point):
    from bayeslmm.gram.likelihood import log_density
    from bayeslmm.model.priors.fixed_effects import normal_prior

    sigma = point["sigma"]
    factors = [np.array([[point[f"sd_{f.name}"] / sigma]]) for f in design.factors]
    return log_density(Gram.from_design(design), factors, sigma, *normal_prior(priors))[0]


def test_start_is_where_the_prior_says(model):
    design, priors = model
    built = build_model(design, priors=priors, parametrization="marginal")
    start = constrain(
        free_variables(built),
        np.concatenate([v.start.ravel() for v in free_variables(built)])[None, None],
    )
    # PyMC's support points: the scale of a half-t, the mean of a Gamma.
    expected = [p.parameters[1][1] if p.family == "HalfStudentT" else 4.0
                for p in (priors.factors[0].sd[0], priors.factors[1].sd[0])]  # fmt: skip
    np.testing.assert_allclose(
        [start["sd_batch"].item(), start["sd_batch:cask"].item()], expected, rtol=1e-9
    )


def test_priors_with_other_supports_keep_their_scale_and_their_own_compiled_model():
    design = bl.build_design(PASTES, bl.load_dataset("pastes"))
    keys = set()
    for prior in ("TruncatedNormal(0, 2, lower=0)", "TruncatedNormal(0, 2, lower=0, upper=9)"):
        priors = bl.resolve_priors(design, {"sd_batch": prior})
        built = build_model(design, priors=priors, parametrization="marginal")
        keys.add(structure_key(Model(design, priors), "marginal"))
        transform = built.rvs_to_transforms[built["sd_batch"]]
        assert (type(transform).__name__ == "LogArcsinhTransform") == ("upper" not in prior)
    assert len(keys) == 2
