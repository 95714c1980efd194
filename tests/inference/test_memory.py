"""What memory cannot hold is refused before any work starts."""

import pytest

import bayeslmm as bl
from bayeslmm.gram.border import limits
from bayeslmm.inference import memory
from bayeslmm.results.kept_effects import KeptEffects

TABLE = {
    "y": [1.0, 2.0, 4.0, 3.0, 5.0, 7.0, 1.5, 2.5],
    "a": list("pqrpqrpq"),
    "b": list("uuvvuuvv"),
}


@pytest.fixture
def tight(monkeypatch):
    for asks in (limits, memory):
        monkeypatch.setattr(asks, "memory", lambda: 50)


@pytest.mark.usefixtures("tight")
def test_reml_refuses_a_border_that_does_not_fit():
    with pytest.raises(bl.ArgumentError, match=r"REML would factor.*2 x 2.*32 bytes.*of 50 bytes"):
        bl.fit_reml("y ~ 1 + (1 | a) + (1 | b)", TABLE)


@pytest.mark.usefixtures("tight")
def test_draws_that_do_not_fit_are_refused_with_what_to_keep_instead():
    gram = bl.gram_from_batches("y ~ 1 + (1 | a)", [TABLE], progressbar=False)
    words = r"Keeping 4,000 draws of 3 random effects takes 96,000 bytes.*effects='moments'"
    with pytest.raises(bl.ArgumentError, match=words):
        bl.fit_bayes("y ~ (1 | a)", gram, parametrization="marginal", progressbar=False)


@pytest.mark.usefixtures("tight")
def test_moments_and_chosen_levels_take_little_room():
    design = bl.build_design("y ~ 1 + (1 | a)", TABLE)
    memory.require_effects(design, KeptEffects.of(design, "moments"), 4000)
    memory.require_effects(design, KeptEffects.of(design, {"a": ["p"]}), 6)
    with pytest.raises(bl.ArgumentError, match="Keeping 7 draws of 1 random effects"):
        memory.require_effects(design, KeptEffects.of(design, {"a": ["p"]}), 7)


def test_large_borders_of_other_families_are_refused_by_name(monkeypatch):
    monkeypatch.setattr(limits, "LARGEST_DENSE", 1)
    table = TABLE | {"y": [0, 1, 0, 1, 1, 0, 1, 0]}
    how = {"family": "bernoulli", "random_seed": 1, "progressbar": False, "draws": 2}
    with pytest.raises(bl.ArgumentError, match=r"'laplace_chain' factors.* 2 x 2.*'nutpie'"):
        bl.fit_bayes(
            "y ~ 1 + (1 | a) + (1 | b)", table, sampler="laplace_chain", effects="moments", **how
        )
    with pytest.raises(bl.ArgumentError, match=r"fit_ml factors.* 2 x 2.*'nutpie'"):
        bl.fit_ml("y ~ 1 + (1 | a) + (1 | b)", table, family="bernoulli")
