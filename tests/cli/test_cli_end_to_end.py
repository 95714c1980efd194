"""One real run of the command line, as a user starts it."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import xarray as xr

from bayeslmm.analysis.summaries.tables import fixed_effects

MODELS = Path(__file__).parents[2] / "models"


def test_sleepstudy_is_fitted_from_its_file_and_can_be_read_back(tmp_path):
    command = [
        *(sys.executable, "-c", "from bayeslmm.cli.app import main; main()"),
        *("fit", MODELS / "sleepstudy.toml", "--out", tmp_path),
        *("--draws", "200", "--tune", "300", "--chains", "2"),
    ]
    done = subprocess.run(  # noqa: S603 -- our own interpreter and code
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for text in ("Reaction ~ Days + (Days | Subject)", "180 rows", "18 levels", "HalfStudentT"):
        assert text in done.stdout

    folder = tmp_path / "sleepstudy"
    assert [path.name for path in tmp_path.iterdir()] == ["sleepstudy"]
    idata = xr.open_datatree(folder / "posterior.nc").load()
    assert dict(idata["posterior"].sizes)["draw"] == 200
    table = pd.read_csv(folder / "fixed_effects.csv", index_col="coef")
    # The file and the tree hold the same draws; CSV keeps every digit.
    pd.testing.assert_frame_equal(table, fixed_effects(idata), rtol=1e-12)
    # lme4's REML estimate is 10.47 ms a day with a standard error of 1.55. 400 draws leave a Monte
    # Carlo error of some 0.1: half a standard error allows for seven times that.
    assert abs(table.loc["Days", "mean"] - 10.4673) < 0.8
    effects = pd.read_csv(folder / "random_effects.csv")
    assert len(effects) == 36
    for picture in ("caterpillar.png", "levels.png"):
        assert (folder / picture).stat().st_size > 10_000


def test_a_model_with_two_factors_gets_a_picture_of_each(tmp_path):
    command = [
        *(sys.executable, "-c", "from bayeslmm.cli.app import main; main()"),
        *("fit", MODELS / "pastes.toml", "--out", tmp_path, "--parametrization", "marginal"),
        *("--draws", "60", "--tune", "100", "--chains", "2", "--quiet"),
    ]
    done = subprocess.run(  # noqa: S603 -- our own interpreter and code
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    written = {path.name for path in (tmp_path / "pastes").iterdir()}
    assert {"posterior.nc", "caterpillar_batch.png", "caterpillar_batch_cask.png"} <= written
    assert {"levels_batch.png", "levels_batch_cask.png"} <= written
