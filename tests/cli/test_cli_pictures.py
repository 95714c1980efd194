"""All pictures of a study from results that stand there, without another fit."""

import trees
from typer.testing import CliRunner

import bayeslmm
from bayeslmm.cli import app
from bayeslmm.design.fingerprint import fingerprint

FORMULA = "diameter ~ 1 + (1 | plate) + (1 | sample)"


def standing_result(path):
    data = bayeslmm.load_dataset("penicillin")
    tree = trees.random_tree(FORMULA, data, draws=50)
    design = bayeslmm.build_design(FORMULA, data)
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
    expected |= {"trace.svg", "rank.svg"}
    assert {file.name for file in (out / "plates").iterdir()} == expected | {"posterior.nc"}
    assert "Wrote" in result.stdout
