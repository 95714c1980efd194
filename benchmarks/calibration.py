"""Simulation-based calibration of `parametrization="marginal"`, and of kernels broken on purpose.

    python benchmarks/calibration.py                  # some ten CPU minutes; writes docs/images
    python benchmarks/calibration.py --datasets 50    # a look

Parameters are drawn from their priors, a response from the parameters, and the posterior given that
response is sampled. If sampler and density are right, the rank of each true value among its draws
is uniform (Talts, Betancourt, Simpson, Vehtari & Gelman 2018, arXiv:1804.06788). The log-likelihood
is ranked too, since ranks of parameters alone do not show that the data were used (Modrak et al.
2023, doi:10.1214/23-BA1404). Priors are fixed numbers: defaults would follow each response's scale.
"""

import argparse
import dataclasses
import os
import textwrap
import time
from pathlib import Path

import numpy as np
import pytensor.tensor as pt
from scipy import stats

import bayeslmm as bl
from bayeslmm.gram.gram import Gram, gram_of
from bayeslmm.inference.graph import marginal
from bayeslmm.inference.marginal import recovery
from bayeslmm.inference.marginal.target import MarginalTarget
from bayeslmm.inference.nuts import run
from bayeslmm.inference.nuts.marginal import compile_target, target_for_nuts
from bayeslmm.inference.nuts.pymc_model import structure_key
from bayeslmm.inference.prior_draws import draw_parameters
from bayeslmm.inference.settings import SamplerSettings
from bayeslmm.model.model import Model
from bayeslmm.model.simulate import simulate_response
from bayeslmm.plots.style import GRID, LEVEL, POPULATION, style
from bayeslmm.results.kept_effects import EffectsStore, KeptEffects

IMAGE = Path(__file__).parent.parent / "docs" / "images" / "calibration.png"
PRIORS = {
    "Intercept": "Normal(0, 2)",
    "x": "Normal(0, 1)",
    "sd": "HalfNormal(1)",
    "sigma": "Gamma(4, 4)",
}
FORMULAS = {
    "random slope": "y ~ x + (x | g)",
    "crossed": "y ~ x + (1 | person) + (1 | item)",
}
BINS = 20
# Every tenth of 2 x 1000 draws, the last left out: nearly independent, and 200 ranks, ten to a bin.
THIN, DRAWS = 10, 199
LEVEL_OF_TEST = 0.01


def table_of(name):
    """The rows of each study: unbalanced, with a covariate; responses are simulated."""
    rng = np.random.default_rng(2018)
    if name == "random slope":
        sizes = rng.integers(3, 9, 12)
        g = np.repeat(np.arange(12), sizes)
        return {"g": g.astype(str), "x": rng.normal(0.5, 1.0, len(g)), "y": np.arange(len(g))}
    person, item = (a.ravel() for a in np.meshgrid(np.arange(12), np.arange(8), indexing="ij"))
    kept = rng.random(len(person)) < 0.7
    columns = {"person": person[kept].astype(str), "item": item[kept].astype(str)}
    return columns | {"x": rng.normal(0.5, 1.0, kept.sum()), "y": np.arange(kept.sum())}


def quantities(design, values):
    """What is ranked, by label: arrays over draws, from variables of the tree's shapes."""
    out = {f"beta[{c}]": values["beta"][:, k] for k, c in enumerate(design.coef)}
    residual = design.y - values["beta"] @ design.X.T
    for factor in design.factors:
        name = factor.name
        sd, b = values[f"sd_{name}"], values[f"b_{name}"]
        out |= {f"sd_{name}[{t}]": sd[:, k] for k, t in enumerate(factor.terms)}
        if f"corr_{name}" in values:
            out[f"corr_{name}"] = values[f"corr_{name}"][:, 1, 0]
        out |= {f"b_{name}[0, {t}]": b[:, 0, k] for k, t in enumerate(factor.terms)}
        residual = residual - (b[:, factor.index] * factor.columns).sum(axis=2)
    sigma = values["sigma"]
    square = (residual**2).sum(axis=1)
    out |= {"sigma": sigma, "sum of effects": sum_of_effects(design, values)}
    out["log-likelihood"] = -len(design.y) * np.log(sigma) - square / (2 * sigma**2)
    return out


def sum_of_effects(design, values):
    """The intercept plus the mean of each factor's intercepts: a joint draw of them all."""
    means = [values[f"b_{f.name}"][:, :, 0].mean(axis=1) for f in design.factors]
    return values["beta"][:, 0] + np.sum(means, axis=0)


def one_dataset(design, priors, rng, sample):
    """Ranks of the true values among thinned draws, and the number of divergences.

    The steps of `fit_bayes` without the tree and its diagnostics, which would double the time.
    """
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
    design = dataclasses.replace(design, y=y)
    settings = SamplerSettings(
        draws=1000, tune=400, chains=2, random_seed=int(rng.integers(2**31)), progressbar=False
    ).resolved()
    drawn, stats = sample(design, priors, settings, rng)
    drawn = {name: v.reshape(-1, *v.shape[2:])[:DRAWS] for name, v in drawn.items()}
    true, draws = quantities(design, truth), quantities(design, drawn)
    ranks = {label: int((draws[label] < true[label]).sum()) for label in true}
    return ranks, int(stats["diverging"].sum())


def sample_compiled(design, priors, settings, rng):
    """Thinned draws of everything by what `fit_bayes` runs: the compiled posterior."""
    gram = gram_of(design)
    target, starts = target_for_nuts(MarginalTarget(gram, priors))
    points, stats, _ = run.run_compiled(compile_target(target, starts), settings)
    draws = target.unpack(points[:, ::THIN])
    store = EffectsStore(design, KeptEffects.of(design, "draws"), draws.sigma.shape, rng=rng)
    return recovery.recover_posterior(gram, priors, draws, store) | store.posterior(), stats


def sample_graph(design, priors, settings, rng):
    """The same by the PyMC model, whose density can be replaced by a wrong one."""
    model = Model(design, priors)
    graph, structure = marginal.build(model), structure_key(model, "marginal")
    free = run.run_nutpie(graph, settings, structure)
    thinned = {name: values[:, ::THIN] for name, values in free.values.items()}
    shape = thinned["sigma"].shape
    store = EffectsStore(design, KeptEffects.of(design, "draws"), shape, rng=rng)
    return marginal.recover(model, thinned, store) | store.posterior(), free.stats


def calibrate(formula, table, datasets, seed, sample=sample_compiled):
    """Ranks by quantity over many simulated datasets."""
    # A broken density has the structure of the right one.
    run._compiled.clear()
    design = bl.build_design(formula, table)
    priors = bl.resolve_priors(design, PRIORS)
    rng, rows, divergences = np.random.default_rng(seed), [], 0
    started = time.perf_counter()
    for _ in range(datasets):
        ranks, diverging = one_dataset(design, priors, rng, sample)
        rows.append(ranks)
        divergences += diverging
    run._compiled.clear()
    seconds = time.perf_counter() - started
    print(f"\n{datasets} fits in {seconds:.0f} s, {divergences} divergences", flush=True)
    return {label: np.array([row[label] for row in rows]) for label in rows[0]}


def p_value(ranks):
    counts = np.bincount(ranks * BINS // (DRAWS + 1), minlength=BINS)
    return stats.chisquare(counts).pvalue


def log_determinants_times(weight, design):
    """Return what makes a `MarginalDensity` with weight times its log-determinants.

    With a response of zero and a prior mean of zero nothing but the determinants is left of the
    density: -(n log(2 pi sigma^2) + log|V| + log|S| + log|X'V^-1 X / sigma^2 + S^-1|) / 2.
    """
    right = marginal.MarginalDensity()
    empty = Gram.from_design(dataclasses.replace(design, y=np.zeros(len(design.y))))

    def wrong(*inputs):
        *point, ints, _, table, mean, precision = inputs
        value, *rest = right(*inputs)
        floats = pt.constant(empty.plan.floats)
        alone = right(*point, ints, floats, table, pt.zeros_like(mean), precision)[0]
        determinants = alone + 0.5 * len(design.y) * pt.log(2 * np.pi * point[2] ** 2)
        return [value + (weight - 1.0) * determinants, *rest]

    return lambda: wrong


def effects_given_mean_beta(right):
    """Draw effects as if beta were known: at its mean over the draws."""

    def wrong(gram, packed, sigma, rng, *prior, fixed_effects=None):
        beta, _ = right(gram, packed, sigma, rng, *prior, fixed_effects=fixed_effects)
        fixed = np.tile(beta.mean(axis=0), (len(sigma), 1))
        return beta, right(gram, packed, sigma, rng, *prior, fixed_effects=fixed)[1]

    return wrong


BREAKS = {
    "log-determinants left out": (
        marginal,
        "MarginalDensity",
        lambda d: log_determinants_times(0.0, d),
    ),
    "log-determinants halved": (
        marginal,
        "MarginalDensity",
        lambda d: log_determinants_times(0.5, d),
    ),
    "effects drawn given beta's mean": (
        recovery,
        "draw_effects",
        lambda _: effects_given_mean_beta(recovery.draw_effects),
    ),
}


def calibrate_broken(name, formula, table, datasets, seed):
    """Calibrate with one function of the marginal path replaced."""
    module, attribute, make = BREAKS[name]
    right = getattr(module, attribute)
    setattr(module, attribute, make(bl.build_design(formula, table)))
    sample = sample_graph if module is marginal else sample_compiled
    try:
        return calibrate(formula, table, datasets, seed, sample)
    finally:
        setattr(module, attribute, right)


def report(title, ranks):
    """Print p-values as rows of a table; return whether the ranks pass as uniform."""
    values = {label: p_value(r) for label, r in ranks.items()}
    bound = LEVEL_OF_TEST / len(values)
    print(f"\n### {title}\n\n| quantity | p |\n|---|---|")
    for label, p in values.items():
        print(f"| `{label}` | {p:.3g}{' (fails)' if p < bound else ''} |")
    passed = min(values.values()) >= bound
    single = sum(p < LEVEL_OF_TEST for p in values.values())
    print(
        f"\nSmallest p {min(values.values()):.2g} of {len(values)} quantities, bound {bound:.2g} "
        f"(1 % for all together); below 1 % singly: {single}. "
        f"{'Uniform' if passed else 'NOT uniform'}.",
        flush=True,
    )
    return passed


def draw_picture(results):
    """One row of rank histograms per study, with the range that 99 % of counts keep to."""
    columns = max(len(ranks) for ranks, _ in results.values())
    with style() as plt:
        figure, axes = plt.subplots(
            len(results), columns, figsize=(1.45 * columns, 1.6 * len(results)), squeeze=False
        )
        for row, (title, (ranks, broken)) in zip(axes, results.items(), strict=True):
            row[0].set_ylabel(textwrap.fill(title, 22), fontsize=7)
            for axis in row[len(ranks) :]:
                axis.set_visible(False)
            for axis, (label, values) in zip(row, ranks.items(), strict=False):
                low, high = stats.binom(len(values), 1 / BINS).ppf([0.005, 0.995])
                axis.axhspan(low, high, color=GRID, zorder=0)
                counts = np.bincount(values * BINS // (DRAWS + 1), minlength=BINS)
                axis.bar(np.arange(BINS), counts, 1.0, color=POPULATION if broken else LEVEL)
                axis.set(title=label, xticks=[], ylim=(0, max(counts.max(), 1.6 * high)))
                axis.title.set_fontsize(7)
                axis.tick_params(labelsize=6)
        figure.tight_layout()
        IMAGE.parent.mkdir(exist_ok=True)
        figure.savefig(IMAGE, metadata={"Software": None})
        plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description="Simulation-based calibration.")
    parser.add_argument("--datasets", type=int, default=250)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}, {len(os.sched_getaffinity(0))} cores")
    results, as_expected = {}, True
    for name, formula in FORMULAS.items():
        ranks = calibrate(formula, table_of(name), given.datasets, given.seed)
        as_expected &= report(f"{name}: `{formula}`", ranks)
        results[name] = ranks, False
    name, formula = next(iter(FORMULAS.items()))
    for broken in BREAKS:
        ranks = calibrate_broken(broken, formula, table_of(name), given.datasets, given.seed)
        as_expected &= not report(f"Broken on purpose: {broken}", ranks)
        results[f"broken: {broken}"] = ranks, True
    draw_picture(results)
    raise SystemExit(0 if as_expected else "not every study ended as it should")


if __name__ == "__main__":
    main()
