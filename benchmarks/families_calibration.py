"""Simulation-based calibration of the engines for other response families, and of broken ones.

    python benchmarks/families_calibration.py                              # writes docs/images
    python benchmarks/families_calibration.py --datasets 50 --broken 50    # a look

As `calibration.py` does it: parameters, effects and responses are drawn from the priors, and the
rank of every true value among its posterior draws must be uniform. Two studies are where Laplace's
approximation fails: four yes-or-no rows a level, and effects with sds around 2.

Each dataset has a seed of its own, and its ranks are written as they come: a run that was stopped
goes on where it was, and one with more datasets adds to them. Delete the file to begin anew.
"""

import argparse
import dataclasses
import json
import os
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from calibration import DRAWS, IMAGE, LEVEL_OF_TEST, THIN, sum_of_effects
from rank_tests import draw_ecdfs, report

import bayeslmm as bl
from bayeslmm.inference.laplace_chain import chains, sample
from bayeslmm.inference.laplace_chain.chains import ChainDraws
from bayeslmm.inference.method import METHODS
from bayeslmm.inference.quadrature import sample as quadrature_sample
from bayeslmm.inference.quadrature.target import QuadratureTarget
from bayeslmm.inference.reweighting import resample
from bayeslmm.inference.settings import SamplerSettings
from bayeslmm.model.model import Model
from bayeslmm.model.quadrature.likelihood import DrawnEffects, LevelLikelihood

# What the engines say of themselves.
RECORDED = (
    "nodes", "pareto_k", "effects_acceptance", "acceptance_theta", "acceptance_eps",
    "log_ratio_variance",
)  # fmt: skip
RESULTS = Path("results") / "families_calibration.jsonl"
# Four chains of 500 sweeps, every tenth of which counts; weighted points need no thinning.
SETTINGS = {
    "quadrature": {"draws": DRAWS, "chains": 1},
    "laplace_chain": {"draws": (DRAWS + 1) * THIN // 4, "chains": 4},
}


class Study(NamedTuple):
    """What is simulated and fitted."""

    formula: str
    family: str
    sampler: str
    priors: dict
    table: Callable[[], dict]


def by_level(levels, rows):
    """A table of so many levels with so many rows each, with a covariate; see `simulated`."""
    rng = np.random.default_rng(2018)
    g = np.repeat(np.arange(levels), rows).astype(str)
    return {"g": g, "x": rng.normal(0.5, 1.0, len(g)), "y": np.arange(len(g)) % 2}


def crossed():
    """Twelve persons by eight items, each pair once."""
    rng = np.random.default_rng(2018)
    person, item = (a.ravel() for a in np.meshgrid(np.arange(12), np.arange(8), indexing="ij"))
    x = rng.normal(0.5, 1.0, len(person))
    return {
        "person": person.astype(str), "item": item.astype(str), "x": x, "y": np.arange(len(x)) % 2,
    }  # fmt: skip


def four_answers():
    """Eighty persons who answer four of sixteen items each, every item as often."""
    rng = np.random.default_rng(2018)
    person = np.repeat(np.arange(80), 4)
    item = np.concatenate([rng.permutation(16) for _ in range(20)])
    x = rng.normal(0.5, 1.0, len(person))
    return {
        "person": person.astype(str), "item": item.astype(str), "x": x, "y": np.arange(len(x)) % 2,
    }  # fmt: skip


BINARY = {"Intercept": "Normal(0, 1.5)", "x": "Normal(0, 1)", "sd": "HalfNormal(2)"}
# Around 2, and seldom so small that Laplace's approximation is right.
SPARSE = BINARY | {"sd": "Gamma(8, 4)"}
COUNTS = {
    "Intercept": "Normal(1, 1)",
    "x": "Normal(0, 0.5)",
    "sd": "HalfNormal(0.7)",
    "shape": "Gamma(4, 2)",
}
# Few rows a level and large effects: some levels hold zeros alone, which have two explanations.
ZEROS = {
    "Intercept": "Normal(1, 1)", "x": "Normal(0, 0.5)", "sd": "Gamma(8, 6)", "zi": "Beta(3, 3)"
}  # fmt: skip
STUDIES = {
    "four rows a level": Study(
        "y ~ x + (1 | g)", "bernoulli", "quadrature", SPARSE, lambda: by_level(100, 4)
    ),
    "counts": Study(
        "y ~ x + (x | g)", "negbinomial", "quadrature", COUNTS, lambda: by_level(15, 6)
    ),
    "zeros of two kinds": Study(
        "y ~ x + (1 | g)", "zero_inflated_poisson", "quadrature", ZEROS, lambda: by_level(40, 4)
    ),
    "zeros of two kinds, by the chain": Study(
        "y ~ x + (1 | g)", "zero_inflated_poisson", "laplace_chain", ZEROS, lambda: by_level(40, 4)
    ),
    "crossed": Study(
        "y ~ x + (1 | person) + (1 | item)", "bernoulli", "laplace_chain", BINARY, crossed
    ),
    "crossed, four rows a person": Study(
        "y ~ x + (1 | person) + (1 | item)", "bernoulli", "laplace_chain", SPARSE, four_answers
    ),
}


def quantities(design, values):
    """What is ranked, by label: arrays over draws, from variables of the tree's shapes."""
    out = {f"beta[{c}]": values["beta"][:, k] for k, c in enumerate(design.coef)}
    eta = values["beta"] @ design.X.T
    for factor in design.factors:
        name = factor.name
        sd, b = values[f"sd_{name}"], values[f"b_{name}"]
        out |= {f"sd_{name}[{t}]": sd[:, k] for k, t in enumerate(factor.terms)}
        if f"corr_{name}" in values:
            out[f"corr_{name}"] = values[f"corr_{name}"][:, 1, 0]
        out |= {f"b_{name}[0, {t}]": b[:, 0, k] for k, t in enumerate(factor.terms)}
        eta = eta + (b[:, factor.index] * factor.columns).sum(axis=2)
    phi = {p.name: values[p.name] for p in design.family.parameters}
    out |= phi | {"sum of effects": sum_of_effects(design, values)}
    by_draw = {name: value[:, None] for name, value in phi.items()}
    rows = design.family.log_density(design.y, eta, by_draw, design.known)
    return out | {"log-likelihood": rows.sum(axis=1)}


def one_dataset(study, design, priors, truth, seed):
    """Ranks of the true values among thinned draws, and what the engine says of itself."""
    given = SETTINGS[study.sampler]
    settings = SamplerSettings(
        **given, random_seed=seed, sampler=study.sampler, progressbar=False, cores=1
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tree = METHODS[study.sampler].fit(Model.of(design, priors).at_means, settings)
    every = THIN if given["chains"] > 1 else 1
    drawn = {
        name: v.to_numpy()[:, ::every].reshape(-1, *v.shape[2:])[:DRAWS]
        for name, v in tree["posterior"].data_vars.items()
    }
    true, draws = quantities(design, truth), quantities(design, drawn)
    ranks = {label: int((draws[label] < true[label]).sum()) for label in true}
    said = tree["sample_stats"].attrs
    record = {name: float(said[name]) for name in RECORDED if said.get(name) is not None}
    return ranks, record | {"warned": bool(caught)}


def calibrate(name, datasets, seed, results, broken=None):
    """Ranks by quantity over many simulated datasets; those that are in the file are taken."""
    study = STUDIES[name]
    design = bl.build_design(study.formula, study.table(), family=study.family)
    priors = bl.resolve_priors(design, study.priors)
    key = {"study": name, "broken": broken, "seed": seed}
    found = {line["dataset"]: line for line in kept(results) if key.items() <= line.items()}
    for k in (k for k in range(datasets) if k not in found):
        started = time.process_time()
        own = 100_000 * seed + k
        simulated = bl.sample_prior(design, priors=priors, draws=1, random_seed=own)
        truth = {n: v.to_numpy()[:, 0] for n, v in simulated["prior"].data_vars.items()}
        y = simulated["prior_predictive"]["y"].to_numpy()[0, 0].astype(float)
        # Another seed than the data's: draws must not follow the numbers that made the truth.
        given = dataclasses.replace(design, y=y)
        ranks, record = one_dataset(study, given, priors, truth, own + 50_000)
        seconds = time.process_time() - started
        found[k] = key | {"dataset": k, "seconds": seconds, "ranks": ranks, "record": record}
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found[k]) + "\n")
    lines = [found[k] for k in range(datasets)]
    seconds = sum(line["seconds"] for line in lines)
    records = [line["record"] for line in lines]
    print(f"\n{datasets} datasets in {seconds:.0f} CPU s; {told(records)}", flush=True)
    return {
        label: np.array([line["ranks"][label] for line in lines]) for label in lines[0]["ranks"]
    }


def kept(results):
    """The lines of a file of results, if there is one."""
    if not results.exists():
        results.parent.mkdir(parents=True, exist_ok=True)
        return []
    return [json.loads(line) for line in results.read_text("utf-8").splitlines()]


def told(records):
    """What the engine recorded, over all datasets."""
    out = []
    for name in RECORDED:
        values = [record[name] for record in records if name in record]
        if values:
            low, middle, high = np.quantile(values, [0.0, 0.5, 1.0])
            out.append(f"{name} {low:.3g} to {high:.3g}, median {middle:.3g}")
    if "nodes" in records[0]:
        out.append(f"{sum('pareto_k' not in r for r in records)} left to NUTS")
    return "; ".join([*out, f"{sum(r['warned'] for r in records)} with warnings"])


@contextmanager
def replaced(owner, name, wrong):
    """Put a wrong function in the place of a right one."""
    right = getattr(owner, name)
    setattr(owner, name, wrong(right))
    try:
        yield
    finally:
        setattr(owner, name, right)


def one_node(right):
    """Weigh by Laplace's approximation, in the place of the quadrature."""
    return lambda target, points: right(target.with_nodes(1), points)


def gaussian_effects(_):
    """Draw effects of yes-or-no rows from the normal distribution at each level's mode."""

    def draw(likelihood, points, rng, **_):
        rows = likelihood.rows
        level = np.repeat(np.arange(likelihood.n_levels), np.diff(rows.starts))
        fixed = points.beta @ rows.X.T + rows.offset
        L = points.L[:, 0, 0, None]
        u = np.zeros((len(points), likelihood.n_levels))
        member = np.equal.outer(level, np.arange(likelihood.n_levels)).astype(float)
        for _ in range(15):
            p = 1.0 / (1.0 + np.exp(-fixed - (L * u)[:, level]))
            curvature = 1.0 + L**2 * ((p * (1.0 - p)) @ member)
            u = u + np.clip((L * ((rows.y - p) @ member) - u) / curvature, -1.0, 1.0)
        u = u + rng.standard_normal(u.shape) / np.sqrt(curvature)
        ones = np.ones(likelihood.n_levels)
        return DrawnEffects((L * u)[..., None], ones, ones.astype(int))

    return draw


def accept_all(right):
    """Take every proposal of theta and every trajectory's end."""

    def sweep(*arguments):
        chances = list(arguments)
        # Logs of uniform numbers that acceptance ratios are compared with.
        chances[8] = np.full_like(chances[8], -np.inf)
        return right(*chances)

    return sweep


def plain_laplace(_):
    """Draw theta from Laplace's marginal posterior, effects from the normal at their mode."""

    def run(stage, chains, draws, *, seed, **_):
        rng = np.random.default_rng(seed)
        shape, size = (chains, draws), stage.target.latent.size
        # Every tenth counts: these draws are independent, and each is told ten times.
        few = resample(stage.found.weights, rng, chains * draws // THIN)
        points = stage.found.points[few]
        drawn = stage.target.evaluate(points, rng.standard_normal((len(points), size)))

        def tenfold(values):
            return np.repeat(values, THIN, axis=0).reshape(*shape, *values.shape[1:])

        nothing = np.ones(shape)
        return ChainDraws(
            (0,) * chains, tenfold(points), tenfold(drawn.effects), tenfold(drawn.log_ratio),
            tenfold(drawn.log_density), nothing, nothing, np.nan * nothing,
        )  # fmt: skip

    return run


BREAKS = {
    "one node, which is Laplace's approximation": (
        "four rows a level", QuadratureTarget, "log_density", one_node,
    ),
    "effects from the normal distribution at their mode": (
        "four rows a level", LevelLikelihood, "draw", gaussian_effects,
    ),
    "every proposal accepted": ("crossed, four rows a person", chains, "sweep", accept_all),
    "theta and effects by Laplace's approximation": (
        "crossed, four rows a person", sample, "run_chains", plain_laplace,
    ),
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description="Simulation-based calibration.")
    parser.add_argument("--datasets", type=int, default=300)
    parser.add_argument("--broken", type=int, default=300, help="datasets of the broken ones")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[*STUDIES, *BREAKS])
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}, {len(os.sched_getaffinity(0))} cores")
    panels, as_expected = [], True
    for name in (name for name in STUDIES if name in given.only):
        study = STUDIES[name]
        ranks = calibrate(name, given.datasets, given.seed, given.results)
        title = f"{name}: `{study.formula}`, {study.family}, {study.sampler}"
        as_expected &= report(title, ranks) >= LEVEL_OF_TEST
        panels.append((f"{name} ({study.sampler})", ranks, False))
    for broken in (name for name in BREAKS if name in given.only):
        name, owner, attribute, wrong = BREAKS[broken]
        # What is wrong shows with fewer points, too.
        fewer = replaced(quadrature_sample, "_FEWEST_POINTS", lambda _: 1000)
        with replaced(owner, attribute, wrong), fewer:
            ranks = calibrate(name, given.broken, given.seed, given.results, broken)
        as_expected &= report(f"Broken on purpose ({name}): {broken}", ranks) < LEVEL_OF_TEST
        panels.append((broken, ranks, True))
    if len(panels) == len(STUDIES) + len(BREAKS):
        draw_ecdfs(panels, IMAGE.with_name("families_calibration.png"))
    raise SystemExit(0 if as_expected else "not every study ended as it should")


if __name__ == "__main__":
    main()
