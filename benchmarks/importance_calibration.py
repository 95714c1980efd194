"""Simulation-based calibration of `sampler="importance"`, and of weights broken on purpose.

    python benchmarks/importance_calibration.py                  # some ten CPU minutes
    python benchmarks/importance_calibration.py --datasets 100   # a look

The studies, priors and ranks of `calibration.py`; 1,000 datasets each, and the first study again
with a wrong volume of the coordinates and with the proposal's draws unweighted, which must fail.
"""

import argparse
import dataclasses
import os
import time

import numpy as np
from calibration import DRAWS, FORMULAS, PRIORS, quantities, report, table_of

import bayeslmm as bl
from bayeslmm.gram.gram import gram_of
from bayeslmm.inference.importance.sample import weigh_posterior
from bayeslmm.inference.marginal.coordinates import Coordinate
from bayeslmm.inference.marginal.recovery import recover_posterior
from bayeslmm.inference.prior_draws import draw_parameters
from bayeslmm.inference.reweighting import resample
from bayeslmm.inference.settings import SamplerSettings
from bayeslmm.model.model import Model
from bayeslmm.model.simulate import simulate_response
from bayeslmm.results.kept_effects import EffectsStore, KeptEffects


def simulated(design, priors, rng):
    """True values of all parameters and effects, and the design with a response drawn from them."""
    truth = draw_parameters(priors, 1, rng)
    names = [f.name for f in design.factors]
    y, effects = simulate_response(
        design,
        beta=truth["beta"][0],
        sd={name: truth[f"sd_{name}"][0] for name in names},
        corr={n: truth[f"corr_{n}"][0] for n in names if f"corr_{n}" in truth},
        sigma=float(truth["sigma"][0]),
        random_seed=rng,
    )
    truth |= {f"b_{name}": b[None] for name, b in effects.items()}
    return truth, dataclasses.replace(design, y=y)


def one_dataset(design, priors, rng, weigh):
    """Ranks of the true values among 199 draws; the weights' k-hat, effective size, and usability.

    The steps of `fit_bayes` without the tree. Datasets whose weights are not usable are ranked by
    their draws all the same, so that they cannot hide; `fit_bayes` would run NUTS for them.
    """
    truth, design = simulated(design, priors, rng)
    settings = SamplerSettings(
        draws=DRAWS, chains=1, sampler="importance", random_seed=int(rng.integers(2**31))
    ).resolved()
    target, found = weigh_posterior(Model(design, priors), settings)
    places = resample(weigh(found), rng, DRAWS)
    draws = target.unpack(found.points[places][None])
    store = EffectsStore(design, KeptEffects.of(design, "draws"), (1, DRAWS), rng=rng)
    drawn = recover_posterior(gram_of(design), priors, draws, store) | store.posterior()
    drawn = {name: values[0] for name, values in drawn.items()}
    true, values = quantities(design, truth), quantities(design, drawn)
    ranks = {label: int((values[label] < true[label]).sum()) for label in true}
    return ranks, (found.pareto_k, found.effective_size, found.usable)


def calibrate(formula, table, datasets, seed, weigh=lambda found: found.weights):
    design = bl.build_design(formula, table)
    priors = bl.resolve_priors(design, PRIORS)
    rng, rows, records = np.random.default_rng(seed), [], []
    started = time.process_time()
    for _ in range(datasets):
        ranks, record = one_dataset(design, priors, rng, weigh)
        rows.append(ranks)
        records.append(record)
    k, size, usable = (np.array(column) for column in zip(*records, strict=True))
    print(
        f"\n{datasets} datasets in {time.process_time() - started:.0f} CPU s; k-hat: 99 % below "
        f"{np.quantile(k, 0.99):.2f}, largest {k.max():.2f}, {(k > 0.5).sum()} above 0.5, "
        f"{(~usable).sum()} left to NUTS; effective size: 1 % below {np.quantile(size, 0.01):.0f}, "
        f"median {np.median(size):.0f}",
        flush=True,
    )
    return {label: np.array([row[label] for row in rows]) for label in rows[0]}


def unweighted(found):
    return np.full(len(found.weights), 1 / len(found.weights))


def without_volume(formula, table, datasets, seed):
    """Leave the volume out that the logarithm of an sd changes."""
    right = Coordinate.log_volume
    Coordinate.log_volume = lambda self, x: (
        np.zeros_like(x) if self.kind == "log" else right(self, x)
    )
    slope = Coordinate.log_volume_slope
    Coordinate.log_volume_slope = lambda self, x: (
        np.zeros_like(x) if self.kind == "log" else slope(self, x)
    )
    try:
        return calibrate(formula, table, datasets, seed)
    finally:
        Coordinate.log_volume, Coordinate.log_volume_slope = right, slope


def main():
    parser = argparse.ArgumentParser(description="Simulation-based calibration.")
    parser.add_argument("--datasets", type=int, default=1000)
    parser.add_argument("--broken", type=int, default=250, help="datasets of the broken ones")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}, {len(os.sched_getaffinity(0))} cores")
    as_expected = True
    for name, formula in FORMULAS.items():
        ranks = calibrate(formula, table_of(name), given.datasets, given.seed)
        as_expected &= report(f"{name}: `{formula}`", ranks)
    name, formula = next(iter(FORMULAS.items()))
    ranks = calibrate(formula, table_of(name), given.broken, given.seed, unweighted)
    as_expected &= not report("Broken on purpose: no weights", ranks)
    ranks = without_volume(formula, table_of(name), given.broken, given.seed)
    as_expected &= not report("Broken on purpose: no volume of the log scale", ranks)
    raise SystemExit(0 if as_expected else "not every study ended as it should")


if __name__ == "__main__":
    main()
