"""Families by name, and what answers names that are none."""

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, DataError
from bayeslmm.families.registry import FAMILIES, family_of


def test_every_family_is_found_by_its_name_with_its_first_link():
    for name, member in FAMILIES.items():
        family = family_of(name)
        assert family.name == name
        assert family.link.name == family.links[0]
        assert family == member(None)


def test_families_themselves_are_taken_as_they_are():
    family = bl.Bernoulli(link="probit")
    assert family_of(family) is family
    assert family_of(family, "probit") is family
    assert family_of("bernoulli", "probit") == family


@pytest.mark.parametrize(
    ("name", "known_as"),
    [
        ("negative_binomial", "negbinomial"),
        ("negativebinomial", "negbinomial"),
        ("nbinom", "negbinomial"),
        ("nbinom2", "negbinomial"),
        ("t", "student"),
        ("student_t", "student"),
        ("normal", "gaussian"),
        ("Gamma", "gamma"),
        ("Poisson", "poisson"),
        ("Beta", "beta"),
        ("StudentT", "student"),
        ("ordinal", "cumulative"),
        ("partial_credit", "acat"),
        ("wald", "inverse_gaussian"),
        ("inverse.gaussian", "inverse_gaussian"),
        ("betabinomial", "beta_binomial"),
        ("ZIP", "zero_inflated_poisson"),
        ("zinb", "zero_inflated_negbinomial"),
        ("truncated_nbinom2", "truncated_negbinomial"),
    ],
)
def test_other_packages_names_are_answered_with_ours(name, known_as):
    with pytest.raises(ArgumentError, match=f"'{name}': it is called '{known_as}' here"):
        family_of(name)
    assert family_of(known_as)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("binomial(probit)", "family='binomial', link='probit'"),
        ('binomial(link = "cloglog")', "family='binomial', link='cloglog'"),
        ("Gamma(link=log)", "family='gamma', link='log'"),
        ("nbinom2()", "family='negbinomial' instead"),
        ("weibull(log)", "family='weibull', link='log'"),
    ],
)
def test_rs_calls_are_answered_with_the_link_beside(text, answer):
    with pytest.raises(ArgumentError, match="without brackets") as raised:
        family_of(text)
    assert answer in str(raised.value)


def test_a_diffusion_model_is_answered_with_a_model_of_times_and_one_of_choices():
    with pytest.raises(ArgumentError, match=r"'shifted_lognormal' for times.*'bernoulli' for choi"):
        family_of("wiener")


def test_unknown_names_are_answered_with_the_nearest_and_the_list():
    with pytest.raises(
        ArgumentError, match=r"Did you mean 'poisson'\? There are gaussian, ber.* st"
    ):
        family_of("poison")
    with pytest.raises(ArgumentError, match=r"There is no family 'kumaraswamy'\. There are gau"):
        family_of("kumaraswamy")


@pytest.mark.parametrize("value", [3, None, object()])
def test_what_is_neither_name_nor_family_is_refused(value):
    with pytest.raises(ArgumentError, match="a name or a family of bayeslmm"):
        family_of(value)


def test_a_class_is_answered_with_its_call():
    with pytest.raises(ArgumentError, match=r"write Poisson\(\)"):
        family_of(bl.Poisson)


def test_a_link_beside_a_family_with_another_one_is_refused():
    with pytest.raises(ArgumentError, match="give one of the two"):
        family_of(bl.Bernoulli(link="probit"), "logit")


@pytest.mark.parametrize(
    "call", [lambda: bl.Bernoulli(link="probti"), lambda: family_of("bernoulli", "probti")]
)
def test_an_unknown_link_names_the_familys(call):
    with pytest.raises(
        ArgumentError, match=r"'logit', 'probit' and 'cloglog'; link was 'probti'.*mean 'probit'"
    ):
        call()


def test_families_with_one_link_say_what_to_do_instead():
    with pytest.raises(ArgumentError, match=r"link 'log' only.*some below zero"):
        family_of("poisson", "identity")
    with pytest.raises(ArgumentError, match=r"link 'identity' only.*log\(y\) ~ x"):
        family_of("gaussian", "log")


def test_a_family_shows_how_it_is_written():
    assert repr(bl.Beta(link="cloglog")) == "Beta(link='cloglog')"


@pytest.mark.parametrize(
    ("name", "y", "bad", "way_out"),
    [
        ("bernoulli", [0, 1, 2], 2, "family='binomial', trials='size'"),
        ("binomial", [0, 1, 7], 7, "successes \\+ failures"),
        ("binomial", [0, 1, 0.5], 0.5, "p \\* trials"),
        ("binomial", [0, 1, -1], -1, "trials="),
        ("poisson", [0, 3, 1.5], 1.5, "offset\\(log\\(exposure\\)\\)"),
        ("negbinomial", [0, 3, -1], -1, "offset"),
        ("gamma", [0.1, 3, 0], 0, "family='hurdle_gamma'"),
        ("weibull", [0.1, 3, 0], 0, "family='hurdle_gamma'"),
        ("lognormal", [0.1, 3, -2], -2, "'gaussian' or 'student'"),
        ("beta", [0.1, 0.3, 1], 1, "'zero_one_inflated_beta'"),
        ("beta", [0.1, 0.3, 0], 0, "family='zero_inflated_beta'"),
        ("student", [0.1, 0.3, np.inf], np.inf, "Leave these rows out"),
        ("zero_inflated_beta", [0, 0.3, 1], 1, "family='zero_one_inflated_beta'"),
        ("zero_one_inflated_beta", [0, 1, 1.5], 1.5, "Divide percentages by 100"),
        ("hurdle_gamma", [0, 3, -1], -1, "family='gaussian'"),
        ("truncated_poisson", [1, 3, 0], 0, "'hurdle_poisson'"),
    ],
)
def test_impossible_responses_are_named_with_the_way_out(name, y, bad, way_out):
    rule = family_of(name).response
    known = np.array([1.0, 5.0, 5.0]) if name == "binomial" else None
    y = np.array(y, dtype=float)
    with pytest.raises(DataError, match=f"response 'y' is {bad:g}.* in row c.*{way_out}"):
        rule.check(y, known, "y", ["a", "b", "c"], name)
    rule.check(np.where(y == bad, np.nan, y), known, "y", ["a", "b", "c"], name)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("quasipoisson", "negbinomial"), ("quasibinomial", "beta_binomial"), ("tweedie", "gamma")],
)  # fmt: skip
def test_families_that_are_not_here_name_what_stands_nearest(name, nearest):
    with pytest.raises(ArgumentError, match=f"here; nearest is .*{nearest}"):
        family_of(name)
