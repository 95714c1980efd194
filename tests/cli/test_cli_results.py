import signal
import subprocess
import sys

import pytest
import xarray as xr

from bayeslmm.cli.results_folder import results_folder, write_results
from bayeslmm.errors import DataWarning, SpecError, TreeError


def write(out, text, name="rail"):
    with results_folder(out, name) as folder:
        (folder / "posterior.nc").write_text(text)


def fail_halfway(out):
    with results_folder(out, "rail") as folder:
        (folder / "posterior.nc").write_text("half")
        (folder / "missing" / "file").write_text("the other half")


def test_a_folder_appears_only_at_the_end(tmp_path):
    with results_folder(tmp_path, "rail") as folder:
        assert folder.parent == tmp_path
        assert not (tmp_path / "rail").exists()
        (folder / "posterior.nc").write_text("draws")
    assert (tmp_path / "rail" / "posterior.nc").read_text() == "draws"
    assert [path.name for path in tmp_path.iterdir()] == ["rail"]


def test_a_new_result_replaces_the_old_one_whole(tmp_path):
    write(tmp_path, "old")
    (tmp_path / "rail" / "extra.csv").write_text("of the old one")
    write(tmp_path, "new")
    assert [path.name for path in (tmp_path / "rail").iterdir()] == ["posterior.nc"]
    assert (tmp_path / "rail" / "posterior.nc").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["rail"]


def test_a_failure_leaves_the_old_result_and_no_rubbish(tmp_path):
    write(tmp_path, "old")
    with pytest.raises(FileNotFoundError):
        fail_halfway(tmp_path)
    assert (tmp_path / "rail" / "posterior.nc").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["rail"]


def test_a_killed_process_leaves_nothing_that_looks_finished(tmp_path):
    code = (
        "import os, pathlib, signal, sys\n"
        "from bayeslmm.cli.results_folder import results_folder\n"
        "with results_folder(pathlib.Path(sys.argv[1]), 'rail') as folder:\n"
        "    (folder / 'posterior.nc').write_text('draws')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(  # noqa: S603 -- our own interpreter and code
        [sys.executable, "-c", code, str(tmp_path)], check=False
    )
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".rail.unfinished-")


def test_missing_parents_are_made(tmp_path):
    write(tmp_path / "a" / "b", "draws")
    assert (tmp_path / "a" / "b" / "rail" / "posterior.nc").is_file()


def test_results_are_readable_by_others(tmp_path):
    write(tmp_path, "draws")
    assert (tmp_path / "rail").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("kind", ["file", "foreign folder", "dangling link"])
def test_what_is_no_result_is_refused(tmp_path, kind):
    final = tmp_path / "rail"
    if kind == "file":
        final.write_text("text")
    elif kind == "foreign folder":
        final.mkdir()
        (final / "thesis.tex").write_text("text")
    else:
        final.symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    with (
        pytest.raises(SpecError, match=r"is not a results folder.*--out"),
        results_folder(tmp_path, "rail"),
    ):
        pytest.fail("the block must not run")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "rail").mkdir()
    write(tmp_path, "draws")
    assert (tmp_path / "rail" / "posterior.nc").is_file()


def test_an_unwritable_parent_is_refused(tmp_path):
    (tmp_path / "out").write_text("a file")
    with (
        pytest.raises(SpecError, match=r"cannot be written.*--out"),
        results_folder(tmp_path / "out", "rail"),
    ):
        pytest.fail("the block must not run")


def test_a_picture_that_cannot_be_drawn_costs_only_itself(tmp_path):
    def fails(_idata):
        raise TreeError("no such factor")

    idata = xr.DataTree.from_dict({"posterior": xr.Dataset({"x": 1.0})})
    with pytest.warns(DataWarning, match=r"levels\.png was not drawn: no such factor"):
        files = write_results(tmp_path, idata, {}, {"levels": fails})
    assert [file.name for file in files] == ["posterior.nc"]


def killed(out, code):
    return subprocess.run(  # noqa: S603 -- our own interpreter and code
        [sys.executable, "-c", code, str(out)], check=False, capture_output=True
    ).returncode


KILLED = """
import os, pathlib, signal, sys
from bayeslmm.cli import results_folder as module
{before}
with module.results_folder(pathlib.Path(sys.argv[1]), 'rail') as folder:
    (folder / 'posterior.nc').write_text('draws')
    {inside}
"""


def test_the_next_run_clears_what_killed_ones_left(tmp_path):
    code = KILLED.format(before="", inside="os.kill(os.getpid(), signal.SIGKILL)")
    assert {killed(tmp_path, code) for _ in range(3)} == {-signal.SIGKILL}
    assert len(list(tmp_path.iterdir())) == 1  # the last one's
    write(tmp_path, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["rail"]


def test_a_result_that_stepped_aside_comes_back(tmp_path):
    write(tmp_path, "old")
    before = "module.shutil.rmtree = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)"
    code = KILLED.format(before=before, inside="pass").replace(
        "with module", "pathlib.Path.rename = kill_second\nwith module"
    )
    kill = (
        "rename, times = pathlib.Path.rename, []\n"
        "def kill_second(path, to):\n"
        "    times.append(1)\n"
        "    len(times) > 1 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return rename(path, to)\n"
    )
    assert killed(tmp_path, code.replace(before, kill)) == -signal.SIGKILL
    assert not (tmp_path / "rail").exists()
    with pytest.raises(FileNotFoundError):
        fail_halfway(tmp_path)
    assert (tmp_path / "rail" / "posterior.nc").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["rail"]


def test_a_run_that_goes_on_is_left_alone(tmp_path):
    (tmp_path / ".rails.unfinished-1").mkdir()
    (tmp_path / ".rail.notes-1").mkdir()
    with results_folder(tmp_path, "rail") as folder:
        (folder / "posterior.nc").write_text("slow")
        write(tmp_path, "quick")
        assert (folder / "posterior.nc").exists()
    assert (tmp_path / "rail" / "posterior.nc").read_text() == "slow"
    left = {".rails.unfinished-1", ".rail.notes-1", "rail"}
    assert {path.name for path in tmp_path.iterdir()} == left
