"""All pictures of a study from results that stand there, without another fit."""

import numpy as np
import trees
from typer.testing import CliRunner

import bayeslmm
from bayeslmm.cli import app
from bayeslmm.cli.pictures import row_pictures
from bayeslmm.design.fingerprint import fingerprint

FORMULA = "diameter ~ 1 + (1 | plate) + (1 | sample)"


def standing_result(path, formula=FORMULA, dataset="penicillin"):
    data = bayeslmm.load_dataset(dataset)
    tree = trees.random_tree(formula, data, draws=50)
    design = bayeslmm.build_design(formula, data)
    tree.attrs["data_fingerprint"] = fingerprint(design)
    tree.attrs["priors"] = bayeslmm.resolve_priors(design).to_json()
    path.mkdir(parents=True)
    tree.to_netcdf(path / "posterior.nc")


def test_every_picture_of_every_factor_is_drawn_and_added(tmp_path, monkeypatch):
    spec = tmp_path / "plates.toml"
    spec.write_text(f'formula = "{FORMULA}"\ndata = {{ bundled = "penicillin" }}\n')
    out = tmp_path / "results"
    standing_result(out / "plates")
    monkeypatch.setattr(app, "_fit", None)  # nothing is fitted
    options = ["plots", str(spec), "--out", str(out), "--pictures", "svg"]
    result = CliRunner(env={"COLUMNS": "100"}).invoke(app.app, options)
    assert result.exit_code == 0, result.output
    kinds = ("caterpillar", "levels", "shrinkage", "ppc_groups", "covariance")
    expected = {f"{kind}_{factor}.svg" for kind in kinds for factor in ("plate", "sample")}
    expected |= {f"{kind}.svg" for kind in ("variance_partition", "prior_posterior")}
    expected |= {"trace.svg", "rank.svg", "check.svg"}
    assert {file.name for file in (out / "plates").iterdir()} == expected | {"posterior.nc"}
    assert "Wrote" in result.stdout


def test_the_effect_of_each_column_of_the_fixed_part_is_drawn(tmp_path):
    table = bayeslmm.load_dataset("sleepstudy")
    table["half day"] = np.where(table["Days"] < 5, "first", "second")
    table["z"] = table["Days"] % 3
    formula = "Reaction ~ log(Days + 1) * `half day` + offset(z) + (z | Subject)"
    tree = trees.random_tree(formula, table, draws=20)
    pictures = row_pictures(tree)
    assert list(pictures) == ["check", "effect_Days", "effect_half_day"]
    axes = pictures["effect_Days"](tree).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Days", "expected Reaction")


def test_cross_products_have_no_pictures_of_rows():
    table, formula = bayeslmm.load_dataset("dyestuff"), "Yield ~ 1 + (1 | Batch)"
    gram = bayeslmm.gram_from_batches(formula, [table], progressbar=False)
    how = {"parametrization": "marginal", "sampler": "importance", "progressbar": False}
    tree = bayeslmm.fit_bayes(formula, gram, draws=50, chains=2, random_seed=1, **how)
    assert row_pictures(tree) == {}


def test_residual_structures_have_pictures_of_their_own():
    series = trees.structured_tree("ar1")
    assert list(row_pictures(series)) == ["check", "effect_x", "residual_correlation"]
    studies = trees.structured_tree("known", "y ~ x + (1 | g)")
    assert list(row_pictures(studies)) == ["check", "effect_x", "forest"]
    assert "forest" not in row_pictures(trees.structured_tree("known"))
