"""200 small random designs: importance sampling against quadrature over the same posterior.

    python benchmarks/importance_designs.py              # some five CPU minutes
    python benchmarks/importance_designs.py --nuts       # against NUTS instead; some ten
    python benchmarks/importance_designs.py --designs 40

Designs of one grouping factor with 3 to 12 levels and 1 to 6 rows a level, or of two crossed
factors, with variance components anywhere from zero to ten times the residual's and default or
extreme priors. The posterior of two or three standard deviations is integrated over a fine grid of
their logarithms by the trapezoid rule (exact to far more digits than are compared), with the
density that `tests/test_collapsed_target.py` holds against dense algebra; so this tests the
sampler, not the density. Compared are mean and sd of each standard deviation's logarithm and its
5, 50, 95 % quantiles, in Monte Carlo standard errors. With `--nuts` the same statistics of the
logarithms are compared with those of marginal NUTS (4 x 2000 draws), both with ArviZ's Monte Carlo
standard errors, where NUTS itself converged (R-hat at most 1.01, no divergences). Where the two
differ by more than four of these, quadrature says which of them is off.
"""

import argparse
import time
import warnings

import arviz as az
import numpy as np
import pandas as pd
from scipy.interpolate import CubicSpline

import bayeslmm as bl
from bayeslmm.gram.gram import gram_of
from bayeslmm.inference.importance.sample import weigh_posterior
from bayeslmm.inference.marginal.target import MarginalTarget
from bayeslmm.inference.method import METHODS
from bayeslmm.inference.reweighting import resample
from bayeslmm.inference.settings import SamplerSettings
from bayeslmm.model.model import Model

PRIORS = [
    {},
    {"sd": "HalfNormal(0.05)"},
    {"sd": "Uniform(0, 1000)", "sigma": "Uniform(0, 1000)"},
    {"sd": "InverseGamma(1, 0.5)"},
    {"sd": "HalfCauchy(100)"},
    {"sd": "Gamma(4, 1)", "sigma": "Exponential(0.1)"},
    {"sd": "LogNormal(-2, 0.5)"},
]
PROBABILITIES = np.array([0.05, 0.5, 0.95])


def random_design(rng, two):
    """A small unbalanced table; every third has no variance between groups at all."""
    m = int(rng.integers(3, 13))
    g = np.repeat(np.arange(m), rng.integers(1, 7, m))
    h = rng.integers(0, 4, len(g))
    h[:4] = np.arange(4) if len(h) >= 4 else h[:4]
    x = rng.normal(size=len(g))
    sd = 0.0 if rng.random() < 1 / 3 else 10 ** rng.uniform(-1, 1)
    y = 3 + x + sd * rng.normal(size=m)[g] + rng.normal(size=len(g))
    if two:
        y = y + 10 ** rng.uniform(-1, 0.5) * rng.normal(size=4)[h]
    table = pd.DataFrame({"y": y, "x": x, "g": g.astype(str), "h": h.astype(str)})
    formula = "y ~ x + (1 | g)" + (" + (1 | h)" if two else "")
    return bl.build_design(formula, table)


def by_quadrature(target, seen):
    """Log-evidence; mean and sd of log sds, quantiles of sds (5, k): by trapezoids in coordinates.

    The grid covers the priors' quantiles and all that importance sampling saw.
    """
    k = target.size
    low, high = (
        target.point(target.prior_quantiles(1e-7)),
        target.point(target.prior_quantiles(1 - 1e-7)),
    )
    low, high = np.maximum(low, -16.0), np.minimum(high, 16.0)
    low, high = np.minimum(low, seen.min(axis=0)), np.maximum(high, seen.max(axis=0))
    # Over everything, then over where anything is.
    for points in (60, 60, 60, 160) if k == 2 else (30, 30, 30, 56):
        axes = [np.linspace(a, b, points) for a, b in zip(low, high, strict=True)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, k)
        log = target.log_density(grid).reshape((points,) * k)
        weight = np.exp(log - log.max())
        marginals = [weight.sum(axis=tuple(set(range(k)) - {j})) for j in range(k)]
        for j, (axis, marginal) in enumerate(zip(axes, marginals, strict=True)):
            inside = np.flatnonzero(marginal > 1e-12 * marginal.max())
            low[j] = axis[max(inside[0] - 2, 0)]
            high[j] = axis[min(inside[-1] + 2, points - 1)]
    steps = [axis[1] - axis[0] for axis in axes]
    evidence = log.max() + np.log(weight.sum()) + np.log(steps).sum()
    # Moments of logarithms: those of an sd of three levels under a flat prior hardly exist.
    values = np.log(target.parameters(np.stack(axes, axis=-1)))
    statistics = np.empty((5, k))
    for j, marginal in enumerate(marginals):
        p = marginal / marginal.sum()
        mean = p @ values[:, j]
        statistics[:2, j] = mean, np.sqrt(p @ (values[:, j] - mean) ** 2)
        # Splines keep the trapezoids' digits between the nodes.
        below = CubicSpline(axes[j], marginal).antiderivative()
        fine = np.linspace(low[j], high[j], 20_001)
        cumulative = below(fine) / below(high[j])
        quantiles = np.interp(PROBABILITIES, np.maximum.accumulate(cumulative), fine)
        statistics[2:, j] = target.coordinates[j].value(quantiles)
    return evidence, statistics


def errors_of(values, weights):
    """Standard errors of the five statistics, given weighted logarithms: (5,)."""
    size = 1 / np.sum(weights**2)
    mean = weights @ values
    away = (values - mean) ** 2
    variance = weights @ away
    sd_error = np.sqrt(np.sum(weights**2 * (away - variance) ** 2)) / (2 * np.sqrt(variance))
    errors = [np.sqrt(np.sum(weights**2 * away)), sd_error]
    values = np.exp(values)
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    for p in PROBABILITIES:
        spread = np.sqrt(p * (1 - p) / size)
        ends = np.searchsorted(cumulative, [max(p - spread, 0), min(p + spread, 1)])
        a, b = values[order][np.minimum(ends, len(values) - 1)]
        errors.append(0.5 * (b - a))
    return np.array(errors)


def compare(design, priors, seed):
    settings = SamplerSettings(random_seed=seed, sampler="importance").settled()
    target, found = weigh_posterior(Model(design, priors), settings)
    if not found.usable:
        return found, None, None
    plain = target.with_folded(())
    # Far points have no mass, and coordinates that overflow.
    near = found.points[found.log_density > found.log_density.max() - 40.0]
    evidence, expected = by_quadrature(plain, plain.point(target.parameters(near)))
    places = resample(found.weights, np.random.default_rng(seed), 4000)
    draws = target.parameters(found.points[places])
    logs = np.log(draws)
    ours = np.stack([logs.mean(0), logs.std(0), *np.quantile(draws, PROBABILITIES, axis=0)])
    weighted = np.log(target.parameters(found.points))
    errors = np.stack([errors_of(v, found.weights) for v in weighted.T], axis=1)
    # Resampling 4,000 draws adds its own error to the weighted points'.
    errors *= np.sqrt(1 + found.effective_size / 4000)
    return found, (ours - expected) / errors, found.log_evidence - evidence


def statistics_of(tree):
    """Mean, sd and quantiles of each log sd, and their Monte Carlo standard errors."""
    posterior = tree["posterior"].to_dataset()
    names = ["sigma", *(name for name in posterior if str(name).startswith("sd_"))]
    values, errors, worst = [], [], 0.0
    for name in names:
        draws = np.log(posterior[name].to_numpy().reshape(posterior["sigma"].shape))
        kinds = [
            (draws.mean(), {"method": "mean"}),
            (draws.std(), {"method": "sd"}),
            *((np.quantile(draws, p), {"method": "quantile", "prob": p}) for p in PROBABILITIES),
        ]
        values += [value for value, _ in kinds]
        errors += [float(az.mcse(draws, chain_axis=0, draw_axis=1, **how)) for _, how in kinds]
        worst = max(worst, float(az.rhat(draws, chain_axis=0, draw_axis=1)))
    return np.array(values), np.array(errors), worst


def compare_with_nuts(design, priors, seed):
    """Scores of importance sampling against NUTS; why there are none, where that is so."""
    trees = []
    for sampler, draws in (("importance", 1000), ("nutpie", 2000)):
        settings = SamplerSettings(
            draws=draws,
            random_seed=seed,
            sampler=sampler,
            progressbar=False,
            parametrization="marginal",
        )
        trees.append(METHODS[sampler].fit(Model(design, priors), settings))
    direct, chains = trees
    if direct.attrs["sampler"] != "importance":
        return None, "left to NUTS"
    ours, errors, _ = statistics_of(direct)
    expected, theirs, rhat = statistics_of(chains)
    divergences = int(chains["sample_stats"]["diverging"].sum())
    if rhat > 1.01 or divergences:
        return None, f"NUTS had R-hat {rhat:.3f} and {divergences} divergences"
    z = (ours - expected) / np.hypot(errors, theirs)
    if np.abs(z).max() <= 4:
        return z, ""
    exact = exact_statistics(design, priors)
    return z, (
        f"they differ by {np.abs(z).max():.1f}; from quadrature importance sampling by "
        f"{np.abs((ours - exact) / errors).max():.1f}, NUTS by "
        f"{np.abs((expected - exact) / theirs).max():.1f}"
    )


def exact_statistics(design, priors):
    """What `statistics_of` estimates, by quadrature."""
    target = MarginalTarget(gram_of(design), priors)
    # A box around the scales of both; the grid then closes in on where anything is.
    _, found = by_quadrature(target, np.array([[-8.0] * target.size, [6.0] * target.size]))
    found[2:] = np.log(found[2:])
    # Coordinates: sds, then sigma; the statistics begin with sigma.
    return np.concatenate([found[:, -1], *found[:, :-1].T])


def against_nuts(designs):
    rng, started, scores, without = np.random.default_rng(8), time.process_time(), [], []
    for number in range(designs):
        design = random_design(rng, two=number % 4 == 3)
        priors = bl.resolve_priors(design, PRIORS[number % len(PRIORS)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bl.SamplingWarning)
            z, why = compare_with_nuts(design, priors, number)
        if why:
            print(f"{number}: {why}, {PRIORS[number % len(PRIORS)]}", flush=True)
        if z is None:
            without.append(why)
            continue
        scores.append(z)
    z = np.concatenate(scores)
    print(
        f"{designs} designs against NUTS, {len(without)} without a comparison, "
        f"{time.process_time() - started:.0f} CPU s\n"
        f"{len(z)} scores: root mean square {np.sqrt(np.mean(z**2)):.2f}, {(np.abs(z) > 3).sum()} "
        f"above 3, {(np.abs(z) > 4).sum()} above 4, largest {np.abs(z).max():.1f}"
    )


def main():
    parser = argparse.ArgumentParser(description="Random small designs against quadrature.")
    parser.add_argument("--designs", type=int, default=200)
    parser.add_argument("--nuts", action="store_true", help="compare with NUTS, not quadrature")
    given = parser.parse_args()
    if given.nuts:
        against_nuts(given.designs)
        return
    rng, started = np.random.default_rng(8), time.process_time()
    scores, shifts, left = [], [], 0
    for number in range(given.designs):
        design = random_design(rng, two=number % 4 == 3)
        chosen = PRIORS[number % len(PRIORS)]
        priors = bl.resolve_priors(design, chosen)
        found, z, shift = compare(design, priors, number)
        if z is None:
            left += 1
            print(f"{number}: left to NUTS, k-hat {found.pareto_k:.2f}, {chosen}", flush=True)
            continue
        scores.append(z.ravel())
        shifts.append(shift)
        if np.abs(z).max() > 4 or abs(shift) > 0.1:
            print(
                f"{number}: largest score {np.abs(z).max():.1f}, evidence off by {shift:.3f}, "
                f"k-hat {found.pareto_k:.2f}, size {found.effective_size:.0f}, {chosen}, "
                f"{len(design.y)} rows, {len(gram_of(design).factors)} factors",
                flush=True,
            )
    z = np.concatenate(scores)
    print(
        f"{given.designs} designs, {left} left to NUTS, {time.process_time() - started:.0f} CPU s\n"
        f"{len(z)} scores: root mean square {np.sqrt(np.mean(z**2)):.2f}, {(np.abs(z) > 3).sum()} "
        f"above 3, {(np.abs(z) > 4).sum()} above 4, largest {np.abs(z).max():.1f}\n"
        f"log-evidence: largest difference {np.abs(shifts).max():.3f}, root mean square "
        f"{np.sqrt(np.mean(np.square(shifts))):.4f}"
    )


if __name__ == "__main__":
    main()
