"""Advice on formulas, tables and what is read from them, each taken."""

import tempfile
from pathlib import Path

import pandas as pd
from registry import follows, gram, posterior_of_gram, reml, table, told, works

import bayeslmm as bl


def design(formula, data=None, **given):
    return bl.build_design(formula, table() if data is None else data, **given)


@follows("C()")
def _():
    told("write C(x)", design, "y ~ factor(h) + (1 | g)")
    assert works(design, "y ~ C(h) + (1 | g)").X.shape[1] == 6
    told("write C(x, Poly)", design, "y ~ ordered(h)")
    works(design, "y ~ C(h, Poly)")
    text = table(h=table().h.astype(str))
    told("or write C(h)", design, "y ~ h", text)
    works(design, "y ~ C(h)", text)


@follows("Treatment()")
def _():
    told("C(x, Treatment('b'))", design, "y ~ relevel(f, 'b')")
    assert "C(f, Treatment('b'))[T.a]" in works(design, "y ~ C(f, Treatment('b'))").coef


@follows("I()")
def _():
    told("I(2 * x)", design, "y ~ 2 * x")
    works(design, "y ~ I(2 * x)")
    told("I(10**x)", design, "y ~ exp10(x)")
    works(design, "y ~ I(10**x)")
    told("I(x > 3)", design, "y ~ ifelse(x > 3, 1, 0)")
    works(design, "y ~ I(x > 0.3)")
    told("I(a + b)", design, "y + x ~ h")
    works(design, "I(y + x) ~ h")


@follows("cr()", "df=4", "constraints='center'")
def _():
    told("cr(x, df=4, constraints='center')", design, "y ~ ns(x, 3)")
    told("0 + cr(x, df=4)", design, "y ~ cr(x, df=4)")
    works(design, "y ~ cr(x, df=4, constraints='center')")
    works(design, "y ~ 0 + cr(x, df=4)")


@follows("log()")
def _():
    told("log(x)", design, "y ~ ln(x)")
    works(design, "y ~ log(x)")


@follows("poly()")
def _():
    told("poly(x, 2)", design, "y ~ mo(x)")
    works(design, "y ~ poly(x, 2)")


@follows("raw=True")
def _():
    how = {"progressbar": False}
    told("poly(x, 2, raw=True)", bl.gram_from_batches, "y ~ poly(x, 2)", [table()], **how)
    works(bl.gram_from_batches, "y ~ poly(x, 2, raw=True)", [table()], **how)


@follows("offset()")
def _():
    told("inside offset()", design, "y ~ x + 3")
    assert works(design, "y ~ x + offset(3 * h)").offset is not None


@follows("weights()", "weights='w'")
def _():
    told("weights='w'", design, "y | weights(w) ~ x + (1 | g)")
    assert works(design, "y ~ x + (1 | g)", weights="w").weights.max() > 1


@follows("f()")
def _():
    told("f('y ~ x + (1 | g)', data)", bl.fit_reml, table(), "y ~ x + (1 | g)")
    works(bl.fit_reml, "y ~ x + (1 | g)", table())


@follows('rank_deficient="drop"')
def _():
    twice = table(twice=2 * table().x)
    told('rank_deficient="drop"', design, "y ~ x + twice", twice)
    told("Dropped", design, "y ~ x + twice", twice, rank_deficient="drop")


@follows("missing='drop'")
def _():
    gaps = table(x=table().x.where(table().index > 3))
    told("missing='drop'", design, "y ~ x", gaps, missing="raise")
    told("Dropped 4 of 60 rows", design, "y ~ x", gaps, missing="drop")


@follows("table.set_axis()", "axis=1")
def _():
    numbered = table().set_axis(range(table().shape[1]), axis=1)
    told("table.set_axis(['y', ...], axis=1)", design, "y ~ x", numbered)
    works(design, "y ~ x", numbered.set_axis(table().columns, axis=1))


@follows("sep={}")
def _():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.csv")
        table().to_csv(path, sep=";")
        told("pandas.read_csv(path, sep=';')", design, "y ~ x", pd.read_csv(path))
        works(design, "y ~ x", pd.read_csv(path, sep=";"))


@follows("pandas.read_csv()")
def _():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.csv")
        table().to_csv(path)
        told("pandas.read_csv(", design, "y ~ x", str(path))
        works(design, "y ~ x", pd.read_csv(path))


@follows("{}.to_numpy()")
def _():
    moved = pd.Series(table().w.to_numpy(), index=range(100, 160))
    told("weights.to_numpy()", design, "y ~ x", weights=moved)
    works(design, "y ~ x", weights=moved.to_numpy())
    binomial = {"family": "binomial", "trials": moved + 5}
    told("trials.to_numpy()", design, "h ~ x", **binomial)
    works(design, "h ~ x", **(binomial | {"trials": moved.to_numpy() + 5}))


@follows("pd.read_csv()", "chunksize=500_000", "levels=")
def _():
    formula, how = "y ~ x + (1 | g)", {"progressbar": False}
    told("pd.read_csv(path, chunksize=500_000)", bl.gram_from_batches, formula, iter([table()]),
         **how)  # fmt: skip
    levels = {"g": sorted(set(table().g))}
    works(bl.gram_from_batches, formula, iter([table()]), levels=levels, **how)
    told("leave levels= out", bl.gram_from_batches, formula, [table()], levels={"g": ["g0"]}, **how)
    works(bl.gram_from_batches, formula, [table()], **how)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.csv")
        table().to_csv(path)
        works(bl.gram_from_batches, formula, lambda: pd.read_csv(path, chunksize=500_000), **how)


@follows("gram_from_batches()")
def _():
    told("gram_from_batches(formula, batches", bl.fit_reml, "y ~ x + f + (1 | g)", gram(),
         weights="w")  # fmt: skip
    weighed = works(bl.gram_from_batches, "y ~ x + f + (1 | g)", [table()], weights="w",
                    progressbar=False)  # fmt: skip
    works(bl.fit_reml, "y ~ x + f + (1 | g)", weighed)


@follows("residuals()")
def _():
    told("residuals(fit, data)", bl.plot_check, posterior_of_gram())
    works(bl.residuals, posterior_of_gram(), table())


@follows("method='ML'")
def _():
    larger, smaller = "y ~ x + f + (1 | g)", "y ~ x + (1 | g)"
    told("method='ML'", bl.likelihood_ratio_test, reml(larger), reml(smaller))
    works(bl.likelihood_ratio_test, reml(larger, "ML"), reml(smaller, "ML"))
    told("method='ML'", bl.fit_reml, larger, table(), REML=False)


@follows("method='REML'")
def _():
    told("method='REML'", bl.check_mode, reml(method="ML"))
    works(bl.check_mode, reml(method="REML"))


@follows("center()")
def _():
    far = table(x=table().x + 1e7)
    how = {"sampler": "importance", "draws": 50, "random_seed": 1, "progressbar": False}
    told("Write center(x) in the formula", bl.fit_bayes, "y ~ x + (x | g)", far, **how)
    works(bl.fit_bayes, "y ~ x + (center(x) | g)", far, **how)


@follows("by=arm")
def _():
    arms = table(arm=["a"] * 30 + ["b"] * 30)
    told("gr(g, by=arm) names a column", design, "y ~ (1 | gr(g, by=2))", arms)
    assert works(design, "y ~ (1 | gr(g, by=arm))", arms).factors[0].arms.labels == ("a", "b")
