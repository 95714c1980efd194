"""NUTS on posteriors with a residual structure, and where it takes over from weighted draws."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, SamplingWarning
from bayeslmm.gram.gram_design import GramDesign
from bayeslmm.inference.importance import algorithm, weigh
from bayeslmm.inference.method import choose_method
from bayeslmm.inference.settings import SamplerSettings
from bayeslmm.inference.structured import sample
from bayeslmm.inference.structured.nuts import Whitened, whitened
from bayeslmm.inference.structured.start import starting_points
from bayeslmm.inference.structured.target import StructuredTarget
from bayeslmm.model.model import Model
from bayeslmm.results.diagnostics import blocks, diagnostics_table

FORMULA, SIGMA = "y ~ x + (1 | g)", "~ 0 + f"
# Two chains of 700 steps: enough to see a wrong density, in a few seconds.
NUTS = {"chains": 2, "draws": 400, "tune": 300, "random_seed": 3, "progressbar": False}


def whitened_target(model: Model) -> Whitened[StructuredTarget]:
    """Return a model's posterior on the scales that suit NUTS."""
    target = StructuredTarget(model)
    return whitened(target, starting_points(target))


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(1)
    n = 60
    g, x = np.repeat(np.arange(12), 5), rng.normal(size=n)
    f = np.where(np.arange(n) % 2, "b", "a")
    e = np.where(f == "b", 2.0, 0.5) * rng.normal(size=n)
    return pd.DataFrame({"y": 1.0 + x + rng.normal(size=12)[g] + e, "x": x, "g": g, "f": f})


@pytest.fixture(scope="module")
def by_nuts(table):
    return bl.fit_bayes(FORMULA, table, sigma=SIGMA, sampler="nutpie", **NUTS)


@pytest.fixture(scope="module")
def by_weights(table):
    return bl.fit_bayes(
        FORMULA, table, sigma=SIGMA, sampler="importance", random_seed=3, progressbar=False
    )


def test_nuts_and_weighted_draws_give_the_same_posterior(by_nuts, by_weights):
    errors = diagnostics_table(by_nuts)["mcse_mean"]
    independent = by_weights["sample_stats"].attrs["ess_draws"]
    alone = dict(scalars(by_weights))
    for label, values in scalars(by_nuts):
        other = alone[label]
        error = np.hypot(errors[label], other.std() / np.sqrt(independent))
        # Some thirty means: the largest of so many scores is beyond 4 once in five hundred.
        assert abs(values.mean() - other.mean()) < 4.0 * error, label
        # Spreads of four hundred draws or more have errors of five per cent.
        assert abs(np.log(values.std() / other.std())) < 0.25, label


def scalars(tree):
    """Labels and draws of everything in the posterior."""
    for _, labels, values in blocks(tree):
        yield from zip(labels, values.reshape(-1, len(labels)).T, strict=True)


def test_the_tree_says_how_it_was_sampled(by_nuts, by_weights):
    assert by_nuts.attrs["sampler"] == by_nuts.attrs["engine"] == "nutpie"
    assert "stationary distribution is the posterior" in by_nuts.attrs["exact"]
    assert by_weights.attrs["sampler"] == by_weights.attrs["engine"] == "importance"
    assert "exact density" in by_weights.attrs["exact"]
    assert by_nuts["posterior"]["sigma_by"].dims == ("chain", "draw", "sigma_level")
    # Near normal in whitened coordinates: a handful of steps a draw.
    assert by_nuts["sample_stats"]["n_steps"].mean() < 8


def test_coordinates_are_whitened_at_the_mode(table):
    model = Model.of(bl.build_design(FORMULA, table, sigma=SIGMA))
    density = whitened_target(model)
    _, gradient = density(np.zeros(len(density.center)))
    np.testing.assert_allclose(gradient, 0.0, atol=1e-2)  # the search's own tolerance
    step = 1e-3
    unit = np.eye(len(gradient))
    hessian = [(density(step * e)[1] - density(-step * e)[1]) / (2 * step) for e in unit]
    # Differences of the gradient with the steps of the search, and with these.
    np.testing.assert_allclose(hessian, -unit, atol=0.05)


@pytest.mark.parametrize("reason", ["k-hat", "too many"])
def test_nuts_takes_over_where_weights_cannot_be_used(reason, table, monkeypatch):
    if reason == "k-hat":
        for module in (algorithm, weigh):
            monkeypatch.setattr(module, "MAX_PARETO_K", -9.0)
    else:
        monkeypatch.setattr(sample, "MOST_COORDINATES", 2)
    few = {**NUTS, "draws": 30, "tune": 50}
    # Warns of so few draws, too.
    with pytest.warns(SamplingWarning) as said:
        fit = bl.fit_bayes(FORMULA, table, sigma=SIGMA, sampler="importance", **few)
    first = str(said[0].message)
    assert first.startswith("The posterior was sampled by NUTS")
    assert reason in first
    assert reason in fit.attrs["sampler_reason"]
    assert fit.attrs["sampler"] == "nutpie"


def test_auto_counts_the_coordinates(table, monkeypatch):
    model = Model.of(bl.build_design(FORMULA, table, sigma=SIGMA))

    chosen, _ = choose_method(model, SamplerSettings())
    assert (chosen.sampler, chosen.parametrization) == ("importance", "marginal")
    chosen, reasons = choose_method(model, SamplerSettings(target_accept=0.8))
    assert chosen.sampler == "nutpie"
    assert "target_accept" in reasons["sampler_reason"]
    monkeypatch.setattr(sample, "MOST_COORDINATES", 2)
    chosen, reasons = choose_method(model, SamplerSettings())
    assert chosen.sampler == "nutpie"
    assert reasons["sampler_reason"].startswith("3 parameters are left, too many")


def test_auto_counts_the_border():
    """Of crossed factors with many levels, as without a structure; nothing is fitted."""
    rng = np.random.default_rng(0)
    crossed = {"y": rng.normal(size=900), "f": rng.choice(["u", "v"], 900)}
    formula, said = "y ~ 1 + (1 | a) + (1 | b)", {"sigma": "~ 0 + f"}
    for levels, sampler, form in ((40, "importance", "marginal"), (260, "nutpie", "noncentered")):
        rows = {**crossed, "a": np.arange(900) % levels, "b": rng.integers(0, levels, 900)}
        design = bl.build_design(formula, rows, **said)
        model = Model.of(design)
        border = model.products.plan.n_border
        chosen, reasons = choose_method(model, SamplerSettings())
        assert (chosen.sampler, chosen.parametrization) == (sampler, form)
        told = f"a dense matrix of {border} columns, more than 200" in reasons["sampler_reason"]
        assert told == (border > 200)
    # Where the effects must be integrated out, weights need fewer dense values than NUTS does.
    for other, settings in (
        (model, SamplerSettings(parametrization="marginal")),
        (Model.of(GramDesign.of(formula, bl.Gram.from_design(design))), SamplerSettings()),
    ):
        chosen, reasons = choose_method(other, settings)
        assert (chosen.sampler, chosen.parametrization) == ("importance", "marginal")
        assert f"{border} columns, and NUTS with the effects" in reasons["sampler_reason"]


def test_pymc_samples_graphs_only(table):
    with pytest.raises(ArgumentError, match="no PyMC model of a residual structure"):
        bl.fit_bayes(FORMULA, table, sigma=SIGMA, sampler="pymc", parametrization="marginal")


def test_what_the_density_raises_comes_out(table, monkeypatch):
    def broken(self, point):
        raise ZeroDivisionError("a culprit")

    model = Model.of(bl.build_design(FORMULA, table, sigma=SIGMA))
    density = whitened_target(model)
    monkeypatch.setattr("bayeslmm.inference.structured.nuts.whitened", lambda *_: density)
    monkeypatch.setattr(StructuredTarget, "log_density_and_gradient", broken)
    with pytest.raises(ZeroDivisionError, match="a culprit"):
        bl.fit_bayes(FORMULA, table, sigma=SIGMA, sampler="nutpie", **NUTS)


def test_ctrl_c_returns_what_was_drawn():
    code = (
        "import _thread, signal, threading, warnings, bayeslmm as bl\n"
        # Processes in the background may be started with the signal ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "data = bl.load_dataset('sleepstudy')\n"
        "fit = dict(random_seed=5, tune=50, chains=2, progressbar=False, sampler='nutpie',\n"
        "           sigma='~ Days')\n"
        "bl.fit_bayes('Reaction ~ Days + (1 | Subject)', data, draws=10, **fit)\n"
        "threading.Timer(4.0, _thread.interrupt_main).start()\n"
        "warnings.simplefilter('always')\n"
        "with warnings.catch_warnings(record=True) as said:\n"
        "    tree = bl.fit_bayes('Reaction ~ Days + (1 | Subject)', data, draws=99_000, **fit)\n"
        "assert 0 < tree['posterior'].sizes['draw'] < 99_000\n"
        "assert any('interrupted' in str(w.message) for w in said)\n"
    )
    run = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-W", "ignore", "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
