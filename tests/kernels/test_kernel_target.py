"""The compiled posterior that NUTS calls, against the same posterior in NumPy and in PyMC."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from designs import at_zero
from numba import types
from test_collapsed_target import FORMULAS, case, random_point, table  # noqa: F401 - a fixture

import bayeslmm as bl
from bayeslmm.inference.graph.build import build_model
from bayeslmm.inference.nuts.marginal import (
    compile_target,
    compiles,
    target_arrays,
    target_for_nuts,
)
from bayeslmm.inference.parametrization import MARGINAL
from bayeslmm.kernels.compiler import helper, sources
from bayeslmm.kernels.compiler.guard import compile_c
from bayeslmm.kernels.compiler.library import COMPILE
from bayeslmm.kernels.compiler.sources import fingerprint, stamp
from bayeslmm.kernels.elimination import factorization
from bayeslmm.kernels.target import target_function
from bayeslmm.resources import single_blas_thread

CLOSED = {
    "defaults": {},
    "kept beta": {"beta": "StudentT(4, 0, 2)", "Intercept": "Cauchy(10, 3)"},
    "beta above zero": {"x": "Gamma(2, 1)", "sd": "InverseGamma(2, 3)", "sigma": "LogNormal(1, 1)"},
    "halves": {"sd": "HalfNormal(2)", "sigma": "Exponential(0.3)", "x": "Normal(0, 2)"},
    "lkj": {"sd": "HalfCauchy(3)", "corr": "LKJ(0.7)", "sigma": "Gamma(2, 1)"},
}


def case_for_nuts(formula, rows, priors):
    design, resolved, target = case(formula, rows, "defaults")
    keys = {"beta", "sigma", *design.coef} if design.coef else {"sigma"}
    keys |= {"sd"} if design.factors else set()
    keys |= {"corr"} if any(f.corr is not None for f in resolved.factors) else set()
    chosen = {key: value for key, value in CLOSED[priors].items() if key in keys}
    resolved = at_zero(bl.resolve_priors(design, chosen))
    plain = type(target)(target.gram, resolved)
    return design, resolved, target_for_nuts(plain)[0]


def call(target, point):
    """Call the C function as nutpie does; give its status, value and gradient."""
    arrays = target_arrays(target)
    words = np.array([array.ctypes.data for array in arrays], dtype=np.uint64)
    gradient, value = np.full(len(point), 7.0), np.full(1, 7.0)
    pointers = [a.ctypes.data_as(target_function().ctypes.argtypes[1]) for a in
                (point, gradient, value)]  # fmt: skip
    with single_blas_thread():
        status = target_function().ctypes(len(point), *pointers, words.ctypes.data)
    return status, value[0], gradient


@pytest.mark.parametrize("priors", CLOSED)
@pytest.mark.parametrize("formula", FORMULAS)
def test_value_and_gradient_are_those_of_the_posterior(formula, priors, table):  # noqa: F811
    *_, target = case_for_nuts(formula, table, priors)
    assert compiles(target)
    rng = np.random.default_rng(3)
    for _ in range(3):
        point = np.ascontiguousarray(random_point(target, rng))
        status, value, gradient = call(target, point)
        expected, slopes = target.log_density_and_gradient(point)
        assert status == 0
        # The same sums in another order: some hundred roundings of numbers below 1000.
        assert value == pytest.approx(expected, rel=1e-12, abs=1e-10)
        assert value == pytest.approx(target.log_density(point[None])[0], rel=1e-12, abs=1e-10)
        np.testing.assert_allclose(gradient, slopes, rtol=1e-9, atol=1e-9)


def test_the_gradient_is_that_of_the_value(table):  # noqa: F811
    *_, target = case_for_nuts("several terms on a factor", table, "kept beta")
    point = np.ascontiguousarray(random_point(target, np.random.default_rng(5)))
    _, _, gradient = call(target, point)
    for k in range(target.size):
        values = []
        for step in (-2e-4, -1e-4, 1e-4, 2e-4):
            moved = point.copy()
            moved[k] += step
            values.append(call(target, moved)[1])
        difference = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / 12e-4
        # Fourth-order differences of values rounded at 1e-13: some 1e-8 of the slope.
        assert gradient[k] == pytest.approx(difference, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("priors", ["defaults", "kept beta"])
def test_it_is_the_posterior_of_the_pymc_model(priors, table):  # noqa: F811
    design, resolved, target = case_for_nuts("crossed", table, priors)
    model = build_model(design, priors=resolved, parametrization=MARGINAL)
    log_density = model.compile_logp(mode="FAST_COMPILE")
    rng = np.random.default_rng(8)
    a, b = target.n_sds, target.n_sds + target.n_partials
    sizes = {name: np.size(value) for name, value in model.initial_point().items()}
    for _ in range(3):
        point = np.ascontiguousarray(random_point(target, rng))
        values, at = {}, 0
        for variable in model.free_RVs:
            name = model.rvs_to_values[variable].name
            if variable.name.startswith("beta"):
                values[name] = _beta_pieces(
                    resolved, variable.name, target.parameters(point)[b + 1 :]
                )
            elif variable.name == "sigma":
                values[name] = point[b]
            elif variable.name.startswith("partial"):
                # log odds of (1 + z) / 2, twice the inverse hyperbolic tangent
                values[name] = 2.0 * point[a:b]
            else:
                values[name] = point[at : at + sizes[name]]
                at += sizes[name]
        expected = log_density(values) + target.n_partials * np.log(2.0)
        assert call(target, point)[1] == pytest.approx(float(expected), rel=1e-9)


def _beta_pieces(priors, name, centered):
    family = name.removeprefix("beta_centered").removeprefix("_")
    return np.array([
        value for value, prior in zip(centered, priors.beta, strict=True)
        if family in ("", prior.family)
    ])  # fmt: skip


@pytest.mark.parametrize(
    "prior", ["Uniform(0, 9)", "TruncatedNormal(0, 1, 0, 5)", "Weibull(1.5, 2)", "Pareto(1, 0.1)"]
)
def test_other_priors_are_left_to_pymc(prior, table):  # noqa: F811
    _, resolved, target = case("intercept", table, "defaults")
    resolved = bl.resolve_priors(case("intercept", table, "defaults")[0], {"sd": prior})
    assert not compiles(type(target)(target.gram, resolved))


def test_a_point_beyond_numbers_is_a_divergence_and_no_crash(table):  # noqa: F811
    *_, target = case_for_nuts("three correlated columns", table, "defaults")
    for size in (800.0, -800.0):
        status, _, _ = call(target, np.full(target.size, size))
        assert status == 3


VAGUE = [
    {"sd": "InverseGamma(0.001, 0.001)"},
    {"sd": "InverseGamma(0.01, 0.01)", "sigma": "InverseGamma(0.01, 0.01)"},
    {"sigma": "Gamma(0.001, 0.001)"},
    {"sigma": "InverseGamma(0.001, 0.001)"},
    {"sigma": "Gamma(0.01, 0.01)", "x": "Gamma(0.001, 0.001)"},
    {"sd": "LogNormal(600, 1)"},
    {"sd": "HalfNormal(1e-9)"},
]


@pytest.mark.parametrize("chosen", VAGUE, ids=str)
def test_chains_start_near_the_data_whatever_the_priors_medians(chosen, table):  # noqa: F811
    design, _, plain = case("nested", table, "defaults")
    target, starts = target_for_nuts(type(plain)(plain.gram, bl.resolve_priors(design, chosen)))
    model = compile_target(target, starts)
    for seed in range(20):
        point = np.ascontiguousarray(model.initial_point_func(seed))
        assert call(target, point)[0] == 0
        # Within e of the starts, which are within thirty of the data's own: the response's sd is 3.
        assert 3 / 90 < target.unpack(point).sigma < 270


# A flat prior of log sd leaves a posterior that reaches to zero: NUTS says so, rightly.
@pytest.mark.filterwarnings("ignore::bayeslmm.SamplingWarning")
@pytest.mark.parametrize("chosen", VAGUE[:4], ids=str)
def test_vague_priors_can_be_fitted(chosen):
    idata = bl.fit_bayes(
        "Yield ~ 1 + (1 | Batch)", bl.load_dataset("dyestuff"), priors=chosen, random_seed=1,
        parametrization="marginal", draws=300, tune=500, progressbar=False,
    )  # fmt: skip
    # REML: 49.5 (lme4); within what a vague prior of either side may do.
    assert 40 < float(idata["posterior"]["sigma"].mean()) < 62


def test_chains_start_at_the_data_and_at_the_priors_so_that_two_modes_show():
    """The prior holds the slope at zero, the data at four; the mass is divided between them."""
    x = np.tile([-1.0, 1.0], 10)
    data = {"x": x, "y": 4.0 * x + np.random.default_rng(3).normal(0, 1.5, 20)}
    with pytest.warns(bl.SamplingWarning, match="R-hat"):
        idata = bl.fit_bayes(
            "y ~ 0 + x", data, priors={"x": "StudentT(3, 0, 0.003)", "sigma": "HalfNormal(3)"},
            parametrization="marginal", random_seed=1, progressbar=False,
        )  # fmt: skip
    slope = idata["posterior"]["beta"].mean("draw").to_numpy().ravel()
    assert slope.min() < 0.5
    assert slope.max() > 3


def test_priors_that_leave_nothing_to_start_from_are_named_as_the_cause():
    with pytest.raises(bl.SamplingError, match=r"no point to start from.*describe_priors"):
        bl.fit_bayes(
            "Yield ~ 1 + (1 | Batch)", bl.load_dataset("dyestuff"), priors={"sigma":
            "HalfNormal(1e-200)"}, parametrization="marginal", progressbar=False, random_seed=1,
        )  # fmt: skip


@stamp
def compiled():
    return 0.0


def test_what_is_compiled_is_known_to_be():
    @stamp
    def never_compiled():
        return 0

    compile_c(types.float64(), compiled)
    assert helper.is_cached(compiled)
    assert not helper.is_cached(never_compiled)


def test_the_fingerprint_changes_with_every_file_of_the_kernels(tmp_path):
    kernels = Path(sources.__file__).parent.parent
    folder = shutil.copytree(kernels, tmp_path / "kernels", ignore=lambda *_: {"__pycache__"})
    known = {fingerprint(folder)}
    assert known == {sources.FINGERPRINT}
    files = [*folder.glob("*.py"), *(folder / "compiler").glob("*.py")]
    assert len(files) > 10
    for file in files:
        file.write_text(file.read_text() + "\n")
        known.add(fingerprint(folder))
    (folder / "new.py").write_text("")
    known.add(fingerprint(folder))
    assert len(known) == len(files) + 2


def test_only_functions_above_the_core_are_stamped_with_the_sub_folders(tmp_path):
    kernels = Path(sources.__file__).parent.parent
    folder = shutil.copytree(kernels, tmp_path / "kernels", ignore=lambda *_: {"__pycache__"})
    core, whole = fingerprint(folder), fingerprint(folder, whole=True)
    (folder / "more").mkdir()
    (folder / "more" / "new.py").write_text("")
    assert fingerprint(folder) == core
    assert fingerprint(folder, whole=True) != whole
    assert factorization.factorize_c.py_func.__qualname__.endswith(core)


def test_the_core_imports_nothing_that_stands_above_it():
    kernels = Path(sources.__file__).parent.parent
    above = {file.parent.name for file in kernels.glob("*/__init__.py")} - set(sources.CORE_FOLDERS)
    inside = [file for name in sources.CORE_FOLDERS for file in (kernels / name).glob("*.py")]
    for file in [*kernels.glob("*.py"), *inside]:
        for name in above:
            assert f"bayeslmm.kernels.{name}" not in file.read_text(), file


def test_what_the_helper_runs_exists():
    assert callable(importlib.import_module(helper.COMPILES).main)


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(helper, "usable_cores", lambda: 2)
    yield
    helper.stop_helper()


@pytest.mark.usefixtures("two_cores")
def test_without_a_helper_everything_is_compiled_here(monkeypatch):
    asked = []

    def refuse(command, **_options):
        asked.append(command)
        raise OSError("no more processes")

    monkeypatch.setattr(helper.subprocess, "Popen", refuse)
    helper.start_helper(density=True)
    assert len(asked) == 1
    assert not helper.helper_at_work()
    # A helper asks for no help, and a frozen application must not start itself.
    monkeypatch.setenv("BAYESLMM_HELPER", "1")
    helper.start_helper(density=True)
    monkeypatch.delenv("BAYESLMM_HELPER")
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    helper.start_helper(density=True)
    assert len(asked) == 1


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("code", ["raise SystemExit(3)", "print('factorization'); print('more')"])
def test_a_helper_that_dies_or_talks_is_not_waited_for(monkeypatch, code):
    monkeypatch.setattr(helper, "_CODE", code)
    helper.start_helper(density=True)
    assert helper.helper_at_work()
    helper.await_factorization()
    helper.await_helper()
    assert not helper.helper_at_work()


@pytest.mark.usefixtures("two_cores")
def test_a_helper_nobody_waits_for_is_ended(monkeypatch):
    monkeypatch.setattr(helper, "_CODE", "import time; time.sleep(600)")
    helper.start_helper(density=True)
    process = helper._helper[0]
    helper.stop_helper()
    assert process.returncode not in (None, 0)
    assert not helper.helper_at_work()


COLD = """
import sys, bayeslmm as bl
idata = bl.fit_bayes('diameter ~ 1 + (1 | plate) + (1 | sample)', bl.load_dataset('penicillin'),
    draws=50, tune=100, parametrization='marginal', random_seed=1, progressbar=False, chains=2)
from bayeslmm.kernels.target import target_function
print(idata['posterior']['b_plate'].to_numpy().tobytes().hex()[:400], target_function().cache_hits)
"""


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="nobody helps on one core")
def test_the_first_process_on_a_machine_draws_what_later_ones_draw(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv(COMPILE, "1")
    command = [sys.executable, "-W", "ignore", "-c", COLD]
    runs = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
        for _ in range(2)
    ]
    cold, warm = (run.split() for run in runs)
    # In the first process too the posterior's code comes from the helper, by way of the cache.
    assert cold == warm
    assert warm[1] == "1"
