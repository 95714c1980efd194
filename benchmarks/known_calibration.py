"""Simulation-based calibration of a model with a phylogeny, and of one that forgets it.

    python benchmarks/known_calibration.py                   # some ten CPU minutes
    python benchmarks/known_calibration.py --datasets 50     # a look

As `calibration.py` does it: parameters, effects of all species of a tree and responses are drawn
from the priors, and the rank of every true value among its posterior draws must be uniform; that
of a species without rows, too, which is foretold from its relatives. The broken study takes the
species for unrelated.
"""

import argparse
import dataclasses
import time
import warnings

import numpy as np
from calibration import DRAWS, report, sum_of_effects

import bayeslmm as bl
from bayeslmm.inference.method import METHODS
from bayeslmm.inference.settings import SamplerSettings
from bayeslmm.model.model import Model

SPECIES, ROWS, WITHOUT_ROWS = 80, 2, 2
FORMULA = "y ~ x + (1 | gr(species, cov=A)) + (1 | own)"
PRIORS = {
    "Intercept": "Normal(0, 2)", "x": "Normal(0, 1)", "sd": "HalfNormal(1)",
    "sigma": "Gamma(4, 4)",
}  # fmt: skip


def random_tree(n, seed):
    """A tree of n species by joining two of them at a time, in Newick's format."""
    rng = np.random.default_rng(seed)
    clades = [(f"s{k}", 0.0) for k in range(n)]
    height = 0.0
    while len(clades) > 1:
        height += rng.exponential(2.0 / (len(clades) * (len(clades) - 1)))
        i, j = sorted(rng.choice(len(clades), 2, replace=False))
        (right, low), (left, high) = clades.pop(j), clades.pop(i)
        clades.append((f"({left}:{height - high},{right}:{height - low})", height))
    return f"{clades[0][0]};"


def table(seed=2026):
    rng = np.random.default_rng(seed)
    species = np.repeat([f"s{k}" for k in range(SPECIES)], ROWS)
    n = len(species)
    return {"y": rng.normal(size=n), "x": rng.normal(0.5, 1.0, n), "species": species,
            "own": species}  # fmt: skip


def quantities(design, values, b_new):
    """What is ranked, by label: arrays over draws, from variables of the tree's shapes."""
    out = {f"beta[{c}]": values["beta"][:, k] for k, c in enumerate(design.coef)}
    eta = values["beta"] @ design.X.T
    for factor in design.factors:
        sd, b = values[f"sd_{factor.name}"], values[f"b_{factor.name}"]
        out |= {f"sd_{factor.name}": sd[:, 0], f"b_{factor.name}[0]": b[:, 0, 0]}
        eta = eta + (b[:, factor.index] * factor.columns).sum(axis=2)
    sigma = values["sigma"]
    squares = np.sum((design.y - eta) ** 2, axis=1) / sigma**2
    likelihood = -0.5 * squares - design.n * np.log(sigma)
    return out | {
        "sigma": sigma,
        "b_species, no rows": b_new,
        "sum of effects": sum_of_effects(design, values),
        "log-likelihood": likelihood,
    }


def simulated(design, A, priors, rng):
    """Parameters, effects and a response from the priors; effect and label without rows."""
    truth = bl.sample_prior(design, priors=priors, draws=1, random_seed=int(rng.integers(2**31)))
    values = {n: v.to_numpy()[:, 0] for n, v in truth["prior"].data_vars.items()}
    known = design.factors[0].levels.tolist()
    labels = [*known, *(label for label in A.labels if label not in known)]
    root = np.linalg.cholesky(A.covariance_of(labels))
    effects = values["sd_species"][0, 0] * root @ rng.standard_normal(len(labels))
    values["b_species"] = effects[None, : len(known), None]
    eta = design.X @ values["beta"][0]
    for factor in design.factors:
        eta = eta + values[f"b_{factor.name}"][0, factor.index, 0]
    y = eta + values["sigma"][0] * rng.standard_normal(design.n)
    return values, y, effects[len(known)], labels[len(known)]


def one_dataset(design, priors, seed):
    settings = SamplerSettings(
        draws=DRAWS, chains=1, random_seed=seed, sampler="importance", progressbar=False, cores=1,
        parametrization="marginal",
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return METHODS["importance"].fit(Model.of(design, priors).at_means, settings)


def calibrate(datasets, seed, *, related):
    """Ranks by quantity over many simulated datasets."""
    A = bl.phylogeny(random_tree(SPECIES + WITHOUT_ROWS, seed))
    rows = table()
    design = bl.build_design(FORMULA, rows, known={"A": A})
    fitted = design if related else bl.build_design("y ~ x + (1 | species) + (1 | own)", rows)
    priors, chosen = bl.resolve_priors(design, PRIORS), bl.resolve_priors(fitted, PRIORS)
    found, ks, started = [], [], time.process_time()
    for k in range(datasets):
        rng = np.random.default_rng([seed, k])
        truth, y, b_new, label = simulated(design, A, priors, rng)
        tree = one_dataset(dataclasses.replace(fitted, y=y), chosen, k + 1)
        drawn = {
            name: v.to_numpy().reshape(-1, *v.shape[2:])[:DRAWS]
            for name, v in tree["posterior"].data_vars.items()
        }
        new = {"x": [0.0], "species": [label], "own": ["s0"]}
        at = bl.predict(
            tree, new, random_effects=["species"], kind="link", random_seed=k,
            new_levels="error" if related else "sample",
        )  # fmt: skip
        foretold = at.to_numpy().reshape(-1)[:DRAWS] - drawn["beta"][:, 0]
        made = dataclasses.replace(design, y=y)
        true = quantities(made, truth, np.array([b_new]))
        draws = quantities(made, drawn, foretold)
        found.append({name: int((draws[name] < true[name]).sum()) for name in true})
        ks.append(float(tree["sample_stats"].attrs.get("pareto_k", np.inf)))
    seconds = time.process_time() - started
    left = sum(not np.isfinite(k) for k in ks)
    largest = max((k for k in ks if np.isfinite(k)), default=np.nan)
    print(
        f"\n{datasets} datasets in {seconds:.0f} CPU s; largest k-hat {largest:.2f}, {left} left "
        "to NUTS",
        flush=True,
    )
    return {label: np.array([row[label] for row in found]) for label in found[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--datasets", type=int, default=300)
    parser.add_argument("--seed", type=int, default=2026)
    given = parser.parse_args()
    report("phylogeny", calibrate(given.datasets, given.seed, related=True))
    report("phylogeny forgotten", calibrate(given.datasets, given.seed, related=False))


if __name__ == "__main__":
    main()
