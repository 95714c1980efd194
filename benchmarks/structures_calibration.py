"""Simulation-based calibration of models with structures of R or G, and of a broken one.

    python benchmarks/structures_calibration.py                   # some fifteen CPU minutes
    python benchmarks/structures_calibration.py --datasets 50     # a look

As `calibration.py` does it: parameters, effects and responses are drawn from the priors, and the
rank of every true value among its posterior draws must be uniform. The broken study takes AR(1)
data for compound symmetry.
"""

import argparse
import dataclasses
import time
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from calibration import DRAWS, report, sum_of_effects

import bayeslmm as bl
from bayeslmm.inference.method import METHODS
from bayeslmm.inference.settings import SamplerSettings
from bayeslmm.model.model import Model
from bayeslmm.model.residual.of_design import structured_residuals


class Study(NamedTuple):
    """What is simulated and fitted."""

    formula: str
    given: dict
    priors: dict
    table: Callable[[], dict]
    fitted: dict | None = None


def visits(subjects, times, missing, seed=2026, several=1):
    """A table of subjects and their visits, some of them missing, with a covariate and an arm.

    Of `several` rows that follow each other the visit is the same.
    """
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(subjects), times)
    visit = np.tile(np.arange(times), subjects)
    keep = rng.uniform(size=len(subject)) > missing
    arm = np.where(subject % 3 == 0, "a", np.where(subject % 3 == 1, "b", "c"))
    out = {
        "subject": np.char.add("s", subject.astype(str)),
        "visit": (visit // several).astype(float),
        "arm": arm,
        "x": rng.normal(0.5, 1.0, len(subject)),
        "y": rng.normal(size=len(subject)),
    }
    return {name: values[keep] for name, values in out.items()}


COMMON = {"Intercept": "Normal(0, 2)", "x": "Normal(0, 1)"}
SERIES = COMMON | {"sd": "HalfNormal(1)", "sigma": "Gamma(4, 4)"}
STUDIES = {
    "AR(1) and a random intercept": Study(
        "y ~ x + (1 | subject)",
        {"residual": "ar1(visit | subject)"},
        SERIES,
        lambda: visits(12, 8, 0.1),
    ),
    "three strata": Study(
        "y ~ x + (1 | subject)",
        {"sigma": "~ 0 + arm"},
        COMMON | {"sd": "HalfNormal(1)", "sigma_by": "Gamma(4, 4)"},
        lambda: visits(12, 5, 0.0),
    ),
    "unstructured, visits missing": Study(
        "y ~ x",
        {"residual": "us(visit | subject)"},
        COMMON | {"sd_residual": "Gamma(4, 4)", "corr_residual": "LKJ(2)"},
        lambda: visits(25, 4, 0.12),
    ),
    "effects AR(1), three rows at a visit": Study(
        "y ~ x + ar1(0 + visit | subject)", {}, SERIES, lambda: visits(10, 12, 0.1, several=3)
    ),
    "AR(1) data taken for compound symmetry": Study(
        "y ~ x + (1 | subject)",
        {"residual": "ar1(visit | subject)"},
        SERIES,
        lambda: visits(12, 8, 0.1),
        {"residual": "cs(visit | subject)"},
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
        out |= {f"b_{name}[0, {t}]": b[:, 0, k] for k, t in enumerate(factor.terms)}
        eta = eta + (b[:, factor.index] * factor.columns).sum(axis=2)
        if f"rho_{name}" in values:
            out[f"rho_{name}"] = values[f"rho_{name}"]
    if design.factors:
        out["sum of effects"] = sum_of_effects(design, values)
    if design.residual is None:
        squares = np.sum((design.y - eta) ** 2, axis=1) / values["sigma"] ** 2
        height = -0.5 * squares - design.n * np.log(values["sigma"])
        return out | {"sigma": values["sigma"], "log-likelihood": height}
    structure = structured_residuals(design.residual)
    variables = {name: values[name][None] for name in structure.dims if name in values}
    phi = structure.phi(variables)[0]
    out |= {f"phi[{k}]": phi[:, k] for k in range(structure.size)}
    c, logdet = structure.coefficients(phi)
    records, rest = structure.records(), design.y - eta
    factor = np.ones(len(records.first)) if records.factor is None else records.factor
    pairs = factor * rest[:, records.first] * rest[:, records.second]
    squares = np.einsum("sm,sm->s", c[:, records.base], pairs)
    return out | {"log-likelihood": -0.5 * (squares + logdet)}


def one_dataset(design, priors, truth, seed, structure):
    """Ranks of the true values among draws, and k-hat."""
    settings = SamplerSettings(
        draws=DRAWS, chains=1, random_seed=seed, sampler="importance", progressbar=False, cores=1,
        parametrization="marginal",
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = METHODS["importance"].fit(Model.of(design, priors).at_means, settings)
    drawn = {
        name: v.to_numpy().reshape(-1, *v.shape[2:])[:DRAWS]
        for name, v in tree["posterior"].data_vars.items()
    }
    true, draws = quantities(structure, truth), quantities(design, drawn)
    shared = [label for label in true if label in draws]
    ranks = {label: int((draws[label] < true[label]).sum()) for label in shared}
    return ranks, float(tree["sample_stats"].attrs.get("pareto_k", np.inf))


def calibrate(study, datasets, seed):
    """Ranks by quantity over many simulated datasets."""
    table = study.table()
    design = bl.build_design(study.formula, table, **study.given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the broken study holds twice
        fitted = bl.build_design(study.formula, table, **(study.fitted or study.given))
    priors = bl.resolve_priors(design, study.priors)
    simulated = bl.sample_prior(design, priors=priors, draws=datasets, random_seed=seed)
    chosen = bl.resolve_priors(fitted, study.priors)
    rows, ks = [], []
    started = time.process_time()
    for k in range(datasets):
        truth = {n: v.to_numpy()[:, k] for n, v in simulated["prior"].data_vars.items()}
        y = simulated["prior_predictive"]["y"].to_numpy()[0, k].astype(float)
        made = dataclasses.replace(design, y=y)
        ranks, pareto_k = one_dataset(dataclasses.replace(fitted, y=y), chosen, truth, k + 1, made)
        rows.append(ranks)
        ks.append(pareto_k)
    seconds = time.process_time() - started
    left = sum(not np.isfinite(k) for k in ks)
    print(
        f"\n{datasets} datasets in {seconds:.0f} CPU s; largest k-hat "
        f"{max(k for k in ks if np.isfinite(k)):.2f}, {left} left to NUTS",
        flush=True,
    )
    return {label: np.array([row[label] for row in rows]) for label in rows[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--datasets", type=int, default=300)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--only", help="a study, by the beginning of its name")
    given = parser.parse_args()
    for name, study in STUDIES.items():
        if given.only is None or name.startswith(given.only):
            report(name, calibrate(study, given.datasets, given.seed))


if __name__ == "__main__":
    main()
