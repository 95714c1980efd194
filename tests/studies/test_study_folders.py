"""Folders that cannot keep a study, and model files that ask for too much."""

import os
import time

import pytest
import xarray as xr

import bayeslmm as bl
from bayeslmm.studies.files import StudyFolder

ARGUMENTS = ("Yield ~ 1 + (1 | Batch)", {"wide": {"sd": "HalfNormal(30)"}})


def study(folder):
    formula, scenarios = ARGUMENTS
    return bl.prior_study(
        formula, bl.load_dataset("dyestuff"), scenarios, folder=folder, sampler="importance",
        parametrization="marginal", draws=100, random_seed=1, progressbar=False,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["file", "below a file", "too long", "dangling link"])
def test_a_folder_that_cannot_be_is_refused_before_anything_is_fitted(tmp_path, kind, monkeypatch):
    file = tmp_path / "file"
    file.write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    folder = {
        "file": file,
        "below a file": file / "folder",
        "too long": tmp_path / ("x" * 300),
        "dangling link": tmp_path / "link",
    }[kind]
    monkeypatch.setattr("bayeslmm.studies.study.refit_scenario", None)
    with pytest.raises(bl.ArgumentError, match="Give another folder, or none"):
        study(folder)


@pytest.mark.parametrize(
    "error", [RuntimeError("NetCDF: HDF error"), OSError(28, "No space left on device")]
)
def test_a_disk_that_fills_up_is_told_with_the_way_to_go_on(tmp_path, monkeypatch, error):
    write = xr.DataTree.to_netcdf

    def full(tree, path, **more):
        path.write_text("half")
        raise error

    monkeypatch.setattr(xr.DataTree, "to_netcdf", full)
    with pytest.raises(bl.ArgumentError, match="Free space there and run the study again"):
        study(tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []
    monkeypatch.setattr(xr.DataTree, "to_netcdf", write)
    assert study(tmp_path / "kept")["scenarios"].sizes["scenario"] == 2


def test_what_killed_runs_began_is_cleared_and_what_living_ones_begin_is_not(tmp_path):
    old, young, kept = (tmp_path / name for name in ("a.7.part", "b.8.part", "c.1234.nc"))
    for file in (old, young, kept):
        file.write_bytes(b"0")
    long_ago = time.time() - 2 * 3600
    for file in (old, kept):
        os.utime(file, (long_ago, long_ago))
    StudyFolder(tmp_path, "key").prepare()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["b.8.part", "c.1234.nc"]


def test_no_folder_needs_no_place():
    StudyFolder(None, "").prepare()


SIMULATION = """title = "t"
formula = "y ~ x + (1 | g)"
[data.simulation]
random_seed = {seed}
sigma = 1.0
levels = {{ g = {levels}{more} }}
rows = {rows}
columns = {{ x = {{ normal = [0, 1] }} }}
beta = {{ Intercept = 1.0, x = 1.0 }}
sd = {{ g = 1.0 }}
"""


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"levels": 10**12}, "Simulate fewer"),
        ({"rows": 10**13}, "Simulate fewer"),
        ({"rows": f"[1, {10**15}]"}, "Simulate fewer"),
        ({"levels": 10**6, "more": ", h = 1000000"}, "Simulate fewer"),
        ({"seed": -1}, "'random_seed' must be 0 or more"),
    ],
)
def test_a_simulation_that_cannot_be_is_refused(tmp_path, asked, words):
    text = SIMULATION.format(**{"seed": 1, "levels": 5, "more": "", "rows": 2} | asked)
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(bl.BayesLMMError, match=words):
        bl.read_spec(tmp_path / "m.toml").data.load()


@pytest.mark.parametrize("deep", ["[" * 5000 + "]" * 5000, "{a=" * 5000 + "1" + "}" * 5000])
def test_deep_model_files_are_refused(tmp_path, deep):
    (tmp_path / "m.toml").write_text(f'a = {deep}\ntitle = "t"\n')
    with pytest.raises(bl.SpecError, match="nested too deeply"):
        bl.read_spec(tmp_path / "m.toml")
