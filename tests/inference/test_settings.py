"""Settings of samplers: NumPy's numbers, what memory must hold, and a start for every chain."""

import json
import subprocess
import sys

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.inference import memory
from bayeslmm.inference.nuts.nutpie_model import has_start, nutpie_model
from bayeslmm.inference.settings import SamplerSettings
from bayeslmm.resources import memory as available

MODEL = ("Yield ~ 1 + (1 | Batch)", "dyestuff")


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
@pytest.mark.parametrize("name", ["draws", "tune", "chains", "cores", "random_seed"])
def test_numpy_integers_are_kept_as_pythons(kind, name):
    settings = SamplerSettings(**{name: kind(7)})
    assert type(getattr(settings, name)) is int
    assert json.loads(json.dumps(settings.__dict__))[name] == 7


def test_a_fit_takes_numpy_integers_for_everything():
    formula, data = MODEL
    idata = bl.fit_bayes(
        formula,
        bl.load_dataset(data),
        parametrization="marginal",
        sampler="importance",
        draws=np.int64(50),
        chains=np.int32(2),
        tune=np.int64(20),
        random_seed=np.uint32(3),
        target_accept=np.float32(0.9),
        progressbar=False,
    )
    assert idata["posterior"].sizes["draw"] == 50


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"draws": np.float64(200)}, "draws must be a whole number"),
        ({"tune": np.bool_(1)}, "tune must be a whole number"),
        ({"random_seed": 2**70}, "random_seed must be at most"),
        ({"chains": np.int64(0)}, "chains must be at least 1"),
        ({"target_accept": "0.9"}, "between 0 and 1, not '0.9'"),
        ({"target_accept": 1}, "between 0 and 1"),
        ({"target_accept": np.nan}, "between 0 and 1"),
    ],
)
def test_what_is_no_setting_is_named(setting, words):
    with pytest.raises(bl.SamplingError, match=words):
        SamplerSettings(**setting)


@pytest.mark.parametrize(
    "many", [{"draws": 2**40}, {"tune": 2**40}, {"chains": 2**40}, {"tune": 2**62}]
)
@pytest.mark.parametrize("sampler", ["nutpie", "pymc", "auto"])
def test_steps_that_memory_cannot_hold_are_refused_before_anything(many, sampler):
    formula, data = MODEL
    with pytest.raises(bl.ArgumentError, match=r"Lower chains, tune or draws|Keeping"):
        bl.fit_bayes(formula, bl.load_dataset(data), sampler=sampler, **many)


def test_importance_sampling_reserves_nothing_for_tuning(monkeypatch):
    monkeypatch.setattr(memory, "memory", lambda: 10**6)
    memory.require_steps(SamplerSettings(draws=10, tune=10**9, sampler="importance"))
    with pytest.raises(bl.ArgumentError, match="tune"):
        memory.require_steps(SamplerSettings(draws=10, tune=10**9))


def test_a_limit_of_the_process_counts_as_its_memory():
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 33, 1 << 33))\n"
        "from bayeslmm.resources import memory; print(memory())"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)  # noqa: S603
    whole = available()
    assert whole is None or int(run.stdout) == min(whole, 1 << 33)


def test_starts_are_tried_before_threads_run():
    import numba
    from numba.core import types

    pointer = types.CPointer(types.double)

    def somewhere(size, point, gradient, value, shared):
        value[0] = point[0]
        return 0 if point[0] > 0.9 else 3

    signature = types.int64(types.uint64, pointer, pointer, pointer, types.voidptr)
    model = nutpie_model(numba.cfunc(signature)(somewhere), np.zeros((1, 2)), np.zeros(1))
    assert has_start(model, 500, 1)
    assert not has_start(nutpie_model(model.compiled_logp_func, np.full((1, 2), -1.0), np.zeros(1)),
                         500, 1)  # fmt: skip


@pytest.mark.parametrize(
    "priors", ['{"sd": "Uniform(0, 1e300)"}', '{"sigma": "HalfNormal(1e-200)"}']
)
def test_a_process_survives_a_model_without_a_start(priors):
    script = f"""
import bayeslmm as bl
data = bl.load_dataset("sleepstudy")
try:
    bl.fit_bayes("Reaction ~ Days + (Days | Subject)", data, priors={priors}, progressbar=False,
                 parametrization="marginal", draws=50, tune=50, chains=4, random_seed=1)
except bl.SamplingError as error:
    print(error)
"""
    run = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "no point to start from" in run.stdout
