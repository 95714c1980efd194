"""Columns that no array, or no square, can hold."""

import warnings

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl

QUICK = {
    "parametrization": "marginal",
    "sampler": "importance",
    "draws": 50,
    "chains": 1,
    "random_seed": 1,
    "progressbar": False,
}
FORMULA = "y ~ x + (x | g)"
rng = np.random.default_rng(0)
group = np.arange(48) % 8
BASE = pd.DataFrame({"x": rng.normal(size=48), "g": [f"g{k}" for k in group]})
slopes = rng.normal(size=8)
BASE["y"] = rng.normal(size=48) + group + slopes[group] * BASE.x
PATHS = {
    "reml": bl.fit_reml,
    "importance": lambda formula, table: bl.fit_bayes(formula, table, **QUICK),
    "prior": bl.sample_prior,
    "graph": bl.build_model,
    "default": bl.fit_bayes,
    "batches": lambda formula, table: bl.gram_from_batches(formula, [table[:24], table[24:]]),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("column", "factor"),
    [
        *(("y", factor) for factor in (1e160, 1e150, 1e-160)),
        *(("x", factor) for factor in (1e160, 1e80, 1e-150, 1e-310)),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value", "ignore:underflow")
def test_columns_that_cannot_be_squared_are_refused(path, column, factor):
    table = BASE.assign(**{column: BASE[column] * factor})
    with pytest.raises(bl.NumericalError, match=f"{column}.*largest absolute value.*another unit"):
        PATHS[path](FORMULA, table)


@pytest.mark.parametrize(("of_y", "of_x"), [(1e49, 1e-49), (1e-49, 1e49), (1e49, 1.0)])
def test_columns_within_the_range_are_fitted_as_in_any_unit(of_y, of_x):
    table = BASE.assign(y=BASE.y * of_y, x=BASE.x * of_x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.SamplingWarning)
        fits = [bl.fit_bayes(FORMULA, data, **QUICK) for data in (BASE, table)]
    ours, theirs = [bl.fixed_effects(fit)["mean"].to_numpy() for fit in fits]
    np.testing.assert_allclose(theirs / (of_y / np.array([1, of_x])), ours, rtol=0.05, atol=0.05)
    reml = [bl.fit_reml(FORMULA, data).fixed_effects["estimate"] for data in (BASE, table)]
    np.testing.assert_allclose(reml[1] / (of_y / np.array([1, of_x])), reml[0], rtol=1e-4)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["text", "category", "object"])
def test_labels_with_null_characters_are_refused(path, kind):
    labels = pd.Series([["a", "a\0", "b", "c"][k % 4] for k in range(48)])
    if kind != "text":
        labels = labels.astype({"category": "category", "object": object}[kind])
    with pytest.raises(bl.DataError, match=r"'g' holds the label 'a\\x00' with a null character"):
        PATHS[path]("y ~ x + (1 | g)", BASE.assign(g=labels))


def test_polars_columns_of_records_lists_and_wide_numbers():
    pl = pytest.importorskip("polars")
    table = pl.from_pandas(BASE)
    for column, wrong in [
        (pl.struct("g", "x").alias("g"), "'g' holds several values in each row"),
        (pl.concat_list("x", "x").alias("x"), "'x' holds several values in each row"),
        (pl.Series("x", [2**100 + k for k in range(48)], dtype=pl.Int128), "beyond 64 bits"),
    ]:
        with pytest.raises(bl.DataError, match=wrong):
            bl.build_design("y ~ x + (1 | g)", table.with_columns(column))
    fits = pl.Series("x", list(range(48)), dtype=pl.Int128)
    design = bl.build_design("y ~ x + (1 | g)", table.with_columns(fits))
    assert design.X[:, 1].tolist() == list(range(48))
