"""Prior studies beyond one process: killed and taken up again, in parallel, on a cluster."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bayeslmm as bl
from bayeslmm.studies import scenario_run

FORMULA = "Yield ~ 1 + (1 | Batch)"
# Priors of one family: the model is compiled once in each process.
SCENARIOS = {f"scale {s}": {"sd": f"HalfStudentT(3, {s})"} for s in (10, 20, 40, 80, 160)}
# A comparison of numbers that must be equal to the last digit needs few of them.
SETTINGS = {
    "draws": 50, "tune": 200, "chains": 2, "cores": 1, "random_seed": 5, "reweight": False,
    "progressbar": False, "quantities": {"ratio": "sd_Batch[Intercept] / sigma"},
}  # fmt: skip
FINISHED_BEFORE_THE_KILL = 3

CHILD = """
import sys, time
import test_study_processes as here
import bayeslmm as bl
from bayeslmm.studies import scenario_run

fit, calls = scenario_run.fit_bayes, []

def slow(*args, **kwargs):
    calls.append(1)
    if len(calls) > here.FINISHED_BEFORE_THE_KILL:
        time.sleep(600)
    return fit(*args, **kwargs)

scenario_run.fit_bayes = slow
here.run(folder=sys.argv[1])
"""

pytestmark = pytest.mark.filterwarnings("ignore:The draws of these:bayeslmm.errors.SamplingWarning")


def run(**how):
    return bl.prior_study(FORMULA, bl.load_dataset("dyestuff"), SCENARIOS, **SETTINGS, **how)


@pytest.fixture(scope="module")
def whole():
    return run()


def assert_same(one, two):
    for group in ("posterior", "scenarios"):
        assert one[group].to_dataset().equals(two[group].to_dataset())


def test_a_killed_study_keeps_what_is_finished_and_ends_as_if_nothing_had_been(
    tmp_path, whole, monkeypatch
):
    child = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", CHILD, str(tmp_path)],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        # Importing and compiling take a minute on a busy machine.
        deadline = time.monotonic() + 300
        while len(finished(tmp_path)) < FINISHED_BEFORE_THE_KILL and time.monotonic() < deadline:
            assert child.poll() is None, child.stderr.read().decode()[-2000:]
            time.sleep(0.05)
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    assert child.returncode == -signal.SIGKILL
    before = finished(tmp_path)
    assert len(before) == FINISHED_BEFORE_THE_KILL

    fit, calls = scenario_run.fit_bayes, []

    def counted(*args, **kwargs):
        calls.append(1)
        return fit(*args, **kwargs)

    monkeypatch.setattr(scenario_run, "fit_bayes", counted)
    again = run(folder=tmp_path)
    assert len(calls) == 1 + len(SCENARIOS) - FINISHED_BEFORE_THE_KILL
    assert before.items() <= finished(tmp_path).items(), "what was finished is left alone"
    assert_same(again, whole)


def finished(folder):
    return {file.name: file.stat().st_mtime_ns for file in folder.glob("*.nc")}


def test_scenarios_fitted_in_parallel_are_those_fitted_in_turn(whole):
    from joblib.externals.loky import get_reusable_executor

    try:
        assert_same(run(n_jobs=2), whole)
    finally:
        # Idle workers would keep their memory for the rest of the tests.
        get_reusable_executor().shutdown(wait=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed")
def test_a_dask_cluster_can_do_the_fits(whole, tmp_path):
    distributed = pytest.importorskip("distributed", reason="Dask's cluster is not installed")
    import joblib

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
            local_directory=tmp_path,
        ) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config(backend="dask", client=client),
    ):  # fmt: skip
        result = run(n_jobs=2)
        # New processes, and what only a fit imports: the work was the cluster's. (With a single
        # worker joblib would have done it in this process.)
        assert any(client.run(lambda: "nutpie" in sys.modules).values())
    assert_same(result, whole)
