"""Which function follows which advice, and what only looks like advice."""

import warnings
from functools import cache

import numpy as np
import pandas as pd

import bayeslmm as bl

FOLLOWED = {}
HOW = {"draws": 100, "chains": 4, "random_seed": 1, "progressbar": False,
       "parametrization": "marginal", "sampler": "importance"}  # fmt: skip

ECHO = "repeats what was given"
CODE = "source text of compiled code"
NOTATION = "a distribution or a variance in words"
# What looks like advice and is none.
NO_ADVICE = {
    **dict.fromkeys(
        ("border={}", "link=", "by={}", "c={}", "kind={}", "name={}",
         "df={}", "draws={}", "effects={}", "eta={}", "folder={}", "lower={}",
         "q={}", "sampler={}", "upper={}", "x={}", "statistic()", "axis=0"),
        ECHO,
    ),
    **dict.fromkeys(
        ("carray()", "function()", "int()", "isfinite()", "log_density()", "pointer()", "range()",
         "value.item()", "main()", "density={density}"),
        CODE,
    ),
    **dict.fromkeys(
        ("llvm.memcpy.p0.p0.i64()", "llvm.memset.p0.i64()", "call()", "store()", "malloc()",
         "free()", "address()", "ctypes.CDLL()", "NRT_MemInfo_call_dtor()",
         "NRT_MemInfo_alloc_aligned()"),
        "source text of machine code that is built ahead",
    ),
    **dict.fromkeys(("N()", "Var()", "exp()", "Gamma()", "LogNormal()", "Uniform()"), NOTATION),
    "Beta()": NOTATION,
    "categories={}": "part of a representation",
    "categories=[{}, ...]": "of pandas.Categorical, in an expression that is followed",
    "predict()": "kind='response' is followed",
    "hom=": "an option of structures in formulas",
    **dict.fromkeys(("cbind()", "Surv()", "trunc()"), "R's, which the message says is none here"),
    "cens={}": ECHO,
    "us()": "a structure with the names that were given, exchanged",
    "mvbind()": "of formulas, where several responses stand",
    **dict.fromkeys(("by=", "cov="), "brms's arguments of gr(), which the message says are none"),
    **dict.fromkeys(
        ("FamilyParameter()", "upper=1.0", "pt.log()", "pt.sigmoid()"),
        "part of an expression that is followed",
    ),
    **dict.fromkeys(("mcmc.get_samples()", "group_by_chain=True"), "numpyro's, which is not here"),
    **dict.fromkeys(("write.tree()", "chronos()", "compute.brlen()"), "ape's, which is R's"),
    **dict.fromkeys(("np.eye()", "np.diag()", "len()"), "part of an expression that is followed"),
    **dict.fromkeys(("known={{}", "cov={}", "known={'A': ...}"), "known=, with a name filled in"),
    "gr()": "a word of formulas, which cov= says how to write",
    "random_effects=": "a pattern for which the command line writes --population",
    "dtype=": "an argument of whatever reads the file",
    'style="text-align: {}"': "HTML",
}  # fmt: skip


def follows(*remedies):
    """Register the function that takes advice: an error or a warning first, then none."""

    def register(function):
        for remedy in remedies:
            assert remedy not in FOLLOWED, f"{remedy} is followed twice"
            FOLLOWED[remedy] = function
        return function

    return register


def told(words, call, *args, **kwargs):
    """Call what fails, or warns, with these words in its message."""
    kwargs = dict(kwargs)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            call(*args, **kwargs)
        except bl.BayesLMMError as error:
            messages = [str(error)]
        else:
            messages = [str(one.message) for one in caught]
    assert any(words in message for message in messages), (words, messages)


def works(call, *args, **kwargs):
    """Call what the advice asks for; warnings about few draws do not count."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", bl.SamplingWarning)
        warnings.simplefilter("ignore", bl.SingularFitWarning)
        warnings.simplefilter("ignore", bl.NumericalWarning)
        answer = call(*args, **kwargs)
    assert answer is not None
    return answer


@cache
def _rows():
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(10), 6)
    rows = pd.DataFrame(
        {
            "x": rng.uniform(size=60),
            "g": [f"g{k}" for k in g],
            "h": np.tile(np.arange(6), 10),
            "f": np.tile(["a", "b", "c"], 20),
            "w": rng.integers(1, 4, 60),
        }
    )
    rows["y"] = np.sin(6 * rows.x) + rng.normal(0, 1, 10)[g] + rng.normal(0, 0.3, 60)
    return rows


def table(**columns):
    return _rows().assign(**columns)


@cache
def posterior(formula="y ~ x + f + (x | g)", **how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.BayesLMMWarning)
        return bl.fit_bayes(formula, table(), **(HOW | how))


@cache
def reml(formula="y ~ x + f + (x | g)", method="REML"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.BayesLMMWarning)
        return bl.fit_reml(formula, table(), method=method)


@cache
def gram(formula="y ~ x + f + (1 | g)"):
    return bl.gram_from_table(formula, table())


@cache
def posterior_of_gram():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.BayesLMMWarning)
        return bl.fit_bayes("y ~ x + f + (1 | g)", gram(), **HOW)


def fitted(formula, data, **how):
    return works(bl.fit_bayes, formula, data, **(HOW | how))


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-9)
