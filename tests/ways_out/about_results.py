"""Advice on fits, and on questions to them, each taken."""

import re
import tempfile
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import pymc as pm
import pytest
import xarray
from registry import (
    HOW,
    close,
    fitted,
    follows,
    gram,
    posterior,
    posterior_of_gram,
    reml,
    table,
    told,
    works,
)

import bayeslmm as bl
from bayeslmm.analysis.checks import replicates
from bayeslmm.gram.border import limits


@follows("HalfNormal()", "Normal()")
def _():
    formula = "y ~ x + (1 | g)"
    told("Normal(0, 10)", bl.describe_priors, formula, table(), {"x": "nonsense"})
    works(bl.describe_priors, formula, table(), {"x": "Normal(0, 10)"})
    told("HalfNormal(1)", bl.prior_study, formula, table(), ["brms", {"sigma": "HalfNormal(1)"}])
    works(bl.describe_priors, formula, table(), {"sigma": "HalfNormal(1)"})


@follows("StudentT()", "HalfStudentT()")
def _():
    formula = "y ~ x + f + (1 | g)"
    told("StudentT(3, median, s)", bl.fit_bayes, formula, gram(), priors="brms", **HOW)
    scale = "HalfStudentT(3, 2.5)"
    written = {"Intercept": "StudentT(3, 0.5, 2.5)", "sigma": scale, "sd": scale}
    fitted(formula, gram(), priors=written)


@follows("priors=")
def _():
    given = ("y ~ x + (1 | g)", table())
    told("priors=...", bl.prior_study, *given, {"reference": {"sigma": "HalfNormal(1)"}})
    works(bl.prior_study, *given, {"tight": {"sigma": "HalfNormal(1)"}},
          priors={"sigma": "HalfNormal(9)"}, **HOW)  # fmt: skip


@follows("bl.fixed_effects()", "bl.variance_components()", "bl.summary()", "bl.refit_reml()")
def _():
    told("bl.fixed_effects(fit), bl.variance_components(fit) and bl.summary(fit)",
         bl.confidence_intervals, posterior())  # fmt: skip
    told("bl.refit_reml(fit)", bl.confidence_intervals, posterior())
    for verb in (bl.fixed_effects, bl.variance_components, bl.summary, bl.refit_reml):
        works(verb, posterior())


@follows("bl.compare_models()")
def _():
    told("bl.compare_models(", bl.likelihood_ratio_test, posterior(), posterior())
    fits = {"a": posterior("y ~ x + (1 | g)"), "b": posterior("y ~ f + (1 | g)")}
    works(bl.compare_models, fits)


@follows("bl.Priors.from_json()", "bl.build_design()", "bl.describe_priors()")
def _():
    told("bl.Priors.from_json(fit.attrs['priors'])", bl.resolve_priors, posterior())
    works(bl.Priors.from_json, posterior().attrs["priors"])
    works(bl.resolve_priors, bl.build_design("y ~ x", table()))
    works(bl.describe_priors, "y ~ x", table())


@follows("print()", "xarray.open_datatree()")
def _():
    told("print(fit)", bl.summary, reml())
    assert str(works(reml))
    told("xarray.open_datatree(path)", bl.summary, "fit.nc")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "fit.nc")
        posterior().to_netcdf(path)
        with xarray.open_datatree(path) as back:
            works(bl.summary, back)


@follows("loo()", "unit='group'")
def _():
    told("loo(unit='group')", bl.loo, posterior_of_gram())
    works(bl.loo, posterior_of_gram(), unit="group")


@follows("data=")
def _():
    fit = posterior_of_gram()
    summed = works(bl.fit_reml, "y ~ x + f + (1 | g)", gram())
    for verb in (bl.residuals, bl.fitted):
        for of in (fit, summed):
            told("data=", verb, of)
            works(verb, of, data=table())
    told("data=", bl.loo, fit)
    works(bl.log_likelihood, fit, data=table())
    told("data=", bl.marginal_means, fit, "x", average="rows")
    works(bl.marginal_means, fit, "f", data=table())


@follows("weights=")
def _():
    fit = posterior("y ~ x + (1 | g)", weights="w")
    new = table().drop(columns="w")
    told("Give weights=", bl.predict, fit, new, kind="response", random_seed=1)
    works(bl.predict, fit, new, kind="response", random_seed=1, weights=table().w.to_numpy())


@follows("at=", "at={{}", "average='rows'")
def _():
    told("at={'x': [", bl.marginal_means, posterior(), "x")
    works(bl.marginal_means, posterior(), "x", at={"x": [0, 1]})
    told("average='rows'", bl.marginal_means, posterior(), "f", random_effects="all")
    works(bl.marginal_means, posterior(), "f", random_effects="all", average="rows")


@follows("contrasts=")
def _():
    told("go with contrasts=", bl.marginal_means, posterior(), "f", reference="a")
    works(bl.marginal_means, posterior(), "f", contrasts="reference", reference="a")


@follows("marginal_means()", "by='treatment'", "at={'treatment': ['a', 'b']}",
         "at={'week': [0, 1]}", "contrasts='pairwise'", "by_contrasts='pairwise'")  # fmt: skip
def _():
    fit = fitted(
        "y ~ week * treatment + (1 | g)", table().rename(columns={"x": "week", "f": "treatment"})
    )
    for wrong in ({"by": "treatment"}, {"contrasts": "pairwise"}):
        told("by_contrasts='pairwise'", bl.compare_predictions, fit, {"week": "slope"}, **wrong)
    works(bl.compare_predictions, fit, {"week": "slope"}, at={"treatment": ["a", "b"]})
    found = works(bl.marginal_means, fit, "week", by="treatment", at={"week": [0, 1]},
                  contrasts="pairwise", by_contrasts="pairwise")  # fmt: skip
    slopes = bl.fixed_effects(fit)["mean"]
    close(found.loc[0, "mean"], slopes["week:treatment[T.b]"])


@follows("random_effects='none'", "random_effects='all'")
def _():
    told("random_effects='none'", bl.marginal_means, reml(), "f", random_effects="all")
    works(bl.marginal_means, reml(), "f", random_effects="none", average="rows")
    fit = posterior("y ~ x + (1 | f)")
    told("random_effects='all'", bl.compare_predictions, fit, {"f": ["a", "b"]})
    works(bl.compare_predictions, fit, {"f": ["a", "b"]}, random_effects="all")


@follows("random_effects={}")
def _():
    told("random_effects='none'", bl.predict, posterior(), table().drop(columns="g"))
    works(bl.predict, posterior(), table().drop(columns="g"), random_effects="none")


@follows("new_levels='population'", "new_levels='sample'")
def _():
    new = table(g="unseen")
    told("new_levels='sample'", bl.predict, posterior(), new)
    for policy in ("population", "sample"):
        works(bl.predict, posterior(), new, new_levels=policy, random_seed=1)


@follows("columns=True")
def _():
    new = table(mean=1.0)
    told("leave columns=True out", bl.predict_table, posterior(), new, columns=True)
    works(bl.predict_table, posterior(), new)


@follows("factor={}")
def _():
    told("write factor='g'", bl.plot_levels, posterior(), "g")
    works(bl.plot_levels, posterior(), factor="g")


@follows("numpy.quantile()", "axis=axis")
def _():
    told("numpy.quantile(v, 0.9, axis=axis)", bl.check_groups, posterior(), statistic=len)
    works(bl.check_groups, posterior(), random_seed=1,
          statistic=lambda v, axis: np.quantile(v, 0.9, axis=axis))  # fmt: skip


@follows("fit=")
def _():
    told("as fit=", bl.compare_reml, posterior(), fit=posterior())
    works(bl.compare_reml, posterior(), fit=works(bl.refit_reml, posterior()))


@follows("check_data=False")
def _():
    tree = posterior().copy(deep=True)
    tree.attrs["data_fingerprint"] = 64 * "0"
    told("check_data=False", bl.refit_reml, tree)
    works(bl.refit_reml, tree, check_data=False)


@follows("effects='draws'", "effects='moments'", "effects={'g': ['a', 'b']}")
def _():
    kept = posterior("y ~ x + (1 | g)", effects="moments")
    told("effects='draws'", bl.random_effects, kept)
    works(bl.random_effects, fitted("y ~ x + (1 | g)", table(), effects="draws"))
    fitted("y ~ x + (1 | g)", table(), effects={"g": ["g1", "g2"]})


@follows("parametrization='marginal'", "sampler='importance'")
def _():
    formula = "y ~ x + (1 | g)"
    told("parametrization='marginal'", bl.fit_bayes, formula, table(),
         **(HOW | {"parametrization": "centered"}))  # fmt: skip
    told("sampler='importance'", bl.fit_bayes, formula, table(),
         **(HOW | {"sampler": "nutpie", "tune": 0}))  # fmt: skip
    fitted(formula, table(), parametrization="marginal", sampler="importance", tune=0)


@follows("sampler='nutpie'", "draws=1000")
def _():
    told("draws=1000", bl.fit_bayes, "y ~ x + (1 | g)", table(), **(HOW | {"draws": 3}))
    badly = posterior().copy(deep=True)
    badly["sample_stats"].attrs |= {"pareto_k": 0.9, "ess_weights": 20.0}
    assert str(bl.diagnose(badly)).count("sampler='nutpie'") == 2
    fitted("y ~ x + (1 | g)", table(), draws=1000)
    fitted("y ~ x + (1 | g)", table(), draws=50, tune=100, chains=2, sampler="nutpie")


@follows("parametrization={}")
def _():
    # NUTS on the graph takes minutes to compile: what it would advise is a choice that exists.
    told("'marginal'", bl.fit_bayes, "y ~ x", table(), parametrization="nowhere")
    fitted("y ~ x + (1 | g)", table(), parametrization="marginal")


@follows("parametrization='noncentered'")
def _():
    crossed = "y ~ x + (1 | g) + (1 | h)"
    with mock.patch.object(limits, "memory", return_value=50):
        told("parametrization='noncentered'", bl.build_model, crossed, table(),
             parametrization="marginal")  # fmt: skip
    works(bl.build_model, crossed, table(), parametrization="noncentered")


@follows("draws=50", "kind='response'", "predict_table()")
def _():
    tree = posterior().copy(deep=True)
    with mock.patch.object(replicates, "memory", return_value=8 * 4 * 50 * 60):
        told("predict_table(idata, kind='response')", bl.add_posterior_predictive, tree)
        works(bl.add_posterior_predictive, tree, draws=50, random_seed=1)
        works(bl.predict_table, tree, kind="response", random_seed=1)


@follows("weights=None")
def _():
    weighed = posterior("y ~ x + (1 | g)", weights=tuple(table().w))
    told("weights=None", bl.update, weighed, data=table(), progressbar=False)
    works(bl.update, weighed, data=table(), weights=None, progressbar=False)


@follows("add_posterior_predictive()", "pm.sample_posterior_predictive()", "freeze_vars={}")
def _():
    how = {"progressbar": False, "random_seed": 1}
    tree = fitted("y ~ x + (1 | g)", table(), draws=10, chains=1)
    model = bl.build_model("y ~ x + (1 | g)", table(), parametrization="noncentered")
    with model, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyMC's own, on what it draws anew
        told("add_posterior_predictive(trace)", pm.sample_posterior_predictive, tree, **how)
        with pytest.raises(bl.TreeError) as refused:
            pm.sample_posterior_predictive(tree, **how)
        named = re.search(r"freeze_vars=\[(.*?)\]", str(refused.value))[1]
        frozen = [name.strip(" '") for name in named.split(",")]
        assert pm.sample_posterior_predictive(tree, freeze_vars=frozen, **how) is not None
    works(bl.add_posterior_predictive, tree, random_seed=1)


@follows("priors={'sigma': 'InverseGamma(3, {}")
def _():
    merged = table(y=table().groupby("g").y.transform("mean"))
    given = ("y ~ 1 + (1 | g)", merged)
    told("priors={'sigma': 'InverseGamma(3, ", bl.fit_bayes, *given, **HOW)
    with pytest.raises(bl.DataError) as refused:
        bl.fit_bayes(*given, **HOW)
    advised = re.search(r"'(InverseGamma\(.*?\))'", str(refused.value))[1]
    fitted(*given, priors={"sigma": advised})


@follows("InverseGamma()")
def _():
    levels = table().assign(y=table().h.astype("category").cat.codes + 0.5)
    formula = "y ~ 1 + (1 | h)"
    try:
        bl.fit_bayes(formula, levels, **HOW)
    except bl.DataError as error:
        prior = re.search(r"InverseGamma\([^)]*\)", str(error)).group()
    works(bl.fit_bayes, formula, levels, priors={"sigma": prior}, **HOW)
