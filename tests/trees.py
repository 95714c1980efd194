"""Small result trees with known draws, so that what a function answers can be worked by hand."""

from __future__ import annotations

import json
import warnings
from functools import cache

import numpy as np
import pandas as pd
import xarray as xr
from family_members import POSITIVE

from bayeslmm import names
from bayeslmm.design.build import build_design
from bayeslmm.errors import IdentificationWarning
from bayeslmm.families.parameters import variables_of
from bayeslmm.model.priors.resolve import resolve_priors
from bayeslmm.model.residual.of_design import structured_residuals
from bayeslmm.results.write import known_groups

# Three levels of 2, 4 and 3 rows.
TINY = {
    "y": np.array([1.0, 3.0, 2.0, 6.0, 4.0, 5.0, 2.5, 3.5, 7.0]),
    "x": np.array([0.0, 1.0, 0.0, 1.0, 2.0, 1.0, 0.0, 2.0, 1.0]),
    "g": np.array(["a", "a", "b", "b", "b", "b", "c", "c", "c"]),
}


def make_tree(formula, data, draws, *, weights=None, sample_stats=None, **response):
    """Build a tree from posterior draws.

    `draws` maps variable names to arrays whose first two dimensions are chain and draw; names and
    labels of the rest come from the formula's own design. `response` is family, link and trials.
    """
    design = build_design(formula, data, weights=weights, **response)
    posterior = {}
    for name, values in draws.items():
        posterior[name] = _variable(name, np.asarray(values, dtype=float), design)
    n = len(design.y)
    rows = {names.OBS: np.arange(n)}
    constant = {}
    for key, column in design.data.items():
        categories = getattr(column, "categories", None)
        attrs = {} if categories is None else {"categories": [str(c) for c in categories]}
        constant[key] = (names.OBS, np.asarray(column), attrs)
    known = {"weights": design.weights, "offset": design.offset, "trials": design.trials}
    known |= {"likweights": design.likweights, "ends": design.ends}
    known["se"] = None if design.residual is None else design.residual.se
    for name, values in known.items():
        if values is not None:
            constant[name] = (names.OBS, values, {"role": name})
    groups = {
        "posterior": xr.Dataset(posterior),
        "observed_data": xr.Dataset({design.response: (names.OBS, design.y)}, coords=rows),
        "constant_data": xr.Dataset(constant, coords=rows),
    }
    groups |= known_groups(design)
    if sample_stats is not None:
        groups["sample_stats"] = xr.Dataset(
            {key: (("chain", "draw"), np.asarray(values)) for key, values in sample_stats.items()}
        )
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {
        "bayeslmm_version": "0.0.0",
        "formula": str(design.formula),
        "response": design.response,
        "family": design.family.name,
        "link": design.family.link.name,
        "parametrization": "noncentered",
        "sampler": "nutpie",
        "priors": "{}",
        "design": design.state.to_json(),
        "versions": "{}",
        "random_seed": 1,
        "settings": json.dumps({"tune": 10}),
        "data_fingerprint": "none",
    }
    return tree


def constant_draws(shape=(2, 8), /, **values):
    """Repeat each value over chains and draws: a posterior without any uncertainty."""
    return {
        name: np.broadcast_to(np.asarray(value, dtype=float), (*shape, *np.shape(value)))
        for name, value in values.items()
    }


def documented_tree():
    """The tree that examples in docstrings look at: one known value, repeated over all draws."""
    draws = constant_draws(
        (4, 250),
        beta=[1.0, 2.0],
        sigma=3.0,
        sd_g=[2.0, 1.0],
        corr_g=[[1.0, 0.5], [0.5, 1.0]],
        b_g=[[1.0, 0.5], [0.0, 0.0], [-1.0, -0.5]],
    )
    tree = make_tree("y ~ x + (x | g)", TINY, draws)
    tree.attrs["priors"] = resolve_priors(build_design("y ~ x + (x | g)", TINY)).to_json()
    return tree


def random_draws(design_formula, data, *, seed=0, chains=4, draws=250, **response):
    """Draw every posterior variable of a model from simple independent distributions."""
    rng = np.random.default_rng(seed)
    design = build_design(design_formula, data, **response)
    shape = (chains, draws)
    values = {names.BETA: rng.normal(size=(*shape, len(design.coef)))}
    if design.family.response.ordered:
        sticks = rng.beta(2.0, 3.0, size=(len(design.family.free), *shape))
        cuts = design.family.thresholds(sticks)
        values |= {"stick": np.moveaxis(sticks, 0, -1), "threshold": np.moveaxis(cuts, 0, -1)}
    for parameter in () if design.family.response.ordered else design.family.parameters:
        if design.residual is None or parameter.name != names.SIGMA:
            scale = 1.0 if parameter.upper == np.inf else 0.3 * parameter.upper
            values[parameter.name] = scale * np.exp(0.1 * rng.normal(size=shape))
    if design.residual is not None:
        values |= residual_variables(structured_residuals(design.residual), shape, rng)
    in_sigma = () if design.residual is None else design.residual.factors
    for factor in (*design.factors, *in_sigma):
        q, m = len(factor.terms), len(factor.levels)
        values[names.sd(factor.name)] = np.exp(0.2 * rng.normal(size=(*shape, q)))
        values[names.effects(factor.name)] = rng.normal(size=(*shape, m, q))
        if max(map(len, factor.blocks)) > 1:
            values[names.corr(factor.name)] = _correlations(rng, shape, factor)
    return values


def random_tree(formula, data, *, seed=0, chains=4, draws=250, weights=None, **response):
    """Build a tree with random draws and quiet sampler statistics."""
    values = random_draws(formula, data, seed=seed, chains=chains, draws=draws, **response)
    rng = np.random.default_rng(seed + 1)
    quiet = {
        "diverging": np.zeros((chains, draws), dtype=bool),
        "energy": rng.normal(size=(chains, draws)),
        "tree_depth": np.full((chains, draws), 3),
    }
    return make_tree(formula, data, values, weights=weights, sample_stats=quiet, **response)


ORDERED = ("cumulative", "sratio", "acat")
# A response of each family for the rows of `TINY`, with trials of the binomial.
RESPONSES = {
    "gaussian": TINY["y"],
    "bernoulli": np.array([0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0]),
    "binomial": np.array([0.0, 1.0, 3.0, 2.0, 1.0, 3.0, 0.0, 2.0, 2.0]),
    "poisson": np.array([0.0, 3.0, 1.0, 4.0, 2.0, 7.0, 0.0, 1.0, 5.0]),
    "negbinomial": np.array([0.0, 3.0, 1.0, 4.0, 2.0, 7.0, 0.0, 1.0, 5.0]),
    **dict.fromkeys(POSITIVE, TINY["y"]),
    "beta": TINY["y"] / 8,
    "student": TINY["y"],
    **{name: np.array([1.0, 2.0, 1.0, 3.0, 2.0, 3.0, 1.0, 2.0, 3.0]) for name in ORDERED},
    "skew_normal": TINY["y"],
    "beta_binomial": np.array([0.0, 1.0, 3.0, 2.0, 1.0, 3.0, 0.0, 2.0, 2.0]),
    "zero_inflated_poisson": np.array([0.0, 3.0, 1.0, 4.0, 0.0, 7.0, 0.0, 1.0, 5.0]),
    "zero_inflated_negbinomial": np.array([0.0, 3.0, 1.0, 4.0, 0.0, 7.0, 0.0, 1.0, 5.0]),
    "zero_inflated_binomial": np.array([0.0, 1.0, 3.0, 2.0, 0.0, 3.0, 0.0, 2.0, 2.0]),
    "zero_inflated_beta": np.array([0.0, 0.4, 0.25, 0.75, 0.0, 0.6, 0.3, 0.45, 0.9]),
    "zero_one_inflated_beta": np.array([0.0, 0.4, 0.25, 1.0, 0.0, 0.6, 0.3, 0.45, 1.0]),
    "hurdle_poisson": np.array([0.0, 3.0, 1.0, 4.0, 0.0, 7.0, 0.0, 1.0, 5.0]),
    "hurdle_negbinomial": np.array([0.0, 3.0, 1.0, 4.0, 0.0, 7.0, 0.0, 1.0, 5.0]),
    "hurdle_gamma": np.array([0.0, 3.0, 2.0, 6.0, 0.0, 5.0, 2.5, 3.5, 7.0]),
    "hurdle_lognormal": np.array([0.0, 3.0, 2.0, 6.0, 0.0, 5.0, 2.5, 3.5, 7.0]),
    "truncated_poisson": np.array([1.0, 3.0, 1.0, 4.0, 2.0, 7.0, 1.0, 1.0, 5.0]),
    "truncated_negbinomial": np.array([1.0, 3.0, 1.0, 4.0, 2.0, 7.0, 1.0, 1.0, 5.0]),
}


def inside(parameter, value):
    """This value of a family's parameter, or 0.3 of one that is a probability."""
    return value if parameter.upper == np.inf else 0.3


OF_TRIALS = ("binomial", "beta_binomial", "zero_inflated_binomial")
TRIALS = np.array([3.0, 4.0, 3.0, 5.0, 3.0, 6.0, 3.0, 4.0, 3.0])
TINY_FORMULA = "y ~ x + (x | g)"


def family_data(family):
    """`TINY` with a response of this family, and a column of trials."""
    return {**TINY, "y": RESPONSES[family], "size": TRIALS}


@cache
def family_tree(family, link=None, formula=TINY_FORMULA, chains=2, draws=30):
    """A tree of random draws for `family_data`, the same for all tests: leave it as it is."""
    trials = "size" if family in OF_TRIALS else None
    response = {"family": family, "link": link, "trials": trials}
    data = family_data(family)
    values = random_draws(formula, data, chains=chains, draws=draws, **response)
    # Of a Student-t response a variance takes more than two degrees of freedom.
    values |= {"nu": 4 * values["nu"]} if "nu" in values else {}
    # A shift lies below every response.
    values |= {"ndt": 0.1 * values["ndt"]} if "ndt" in values else {}
    return make_tree(formula, data, values, **response)


def _correlations(rng, shape, factor):
    q = len(factor.terms)
    corr = np.broadcast_to(np.eye(q), (*shape, q, q)).copy()
    for block in factor.blocks:
        for i in block:
            for j in block:
                if j < i:
                    # Below 1 / (q - 1) in absolute value, any such matrix is positive definite.
                    bound = 0.9 / max(len(block) - 1, 1)
                    corr[..., i, j] = corr[..., j, i] = rng.uniform(-bound, bound, size=shape)
    return corr


def _variable(name, values, design):
    lead = ("chain", "draw")
    counts = {dim: np.arange(size) for dim, size in zip(lead, values.shape, strict=False)}
    structure = None if design.residual is None else structured_residuals(design.residual)
    if structure is not None and name in structure.dims:
        dims = structure.dims[name]
        coords = {**counts, **{dim: list(structure.coords[dim]) for dim in dims}}
        return xr.DataArray(values, dims=(*lead, *dims), coords=coords)
    of_family = variables_of(design.family)
    if name in of_family:
        dim, labels = of_family[name]
        own = {dim: list(labels)} if labels else {}
        return xr.DataArray(values, dims=(*lead, *own), coords={**counts, **own})
    if name == names.BETA:
        return xr.DataArray(
            values, dims=(*lead, names.COEF), coords={**counts, names.COEF: list(design.coef)}
        )
    for factor in design.factors:
        term, bis = names.term_dim(factor.name), names.term_dim_bis(factor.name)
        level = names.level_dim(factor.name)
        labels = {term: list(factor.terms), bis: list(factor.terms), level: list(factor.levels)}
        dims = {
            names.sd(factor.name): (term,),
            names.corr(factor.name): (term, bis),
            names.effects(factor.name): (level, term),
        }.get(name)
        if dims is not None:
            coords = {**counts, **{dim: labels[dim] for dim in dims}}
            return xr.DataArray(values, dims=(*lead, *dims), coords=coords)
    raise KeyError(name)


def trial(seed=0, n=40):
    """A three-arm trial: unequal arms, weeks missing at random, a covariate, a factor, sites."""
    rng = np.random.default_rng(seed)
    arm = rng.choice(["placebo", "low", "high"], n, p=[0.5, 0.3, 0.2])
    table = pd.DataFrame(
        {
            "subject": np.repeat([f"s{i:02d}" for i in range(n)], 3),
            "week": np.tile([0, 4, 12], n),
            "arm": pd.Categorical(np.repeat(arm, 3), ["placebo", "low", "high"]),
            "sex": np.repeat(rng.choice(["f", "m"], n, p=[0.7, 0.3]), 3),
            "age": np.repeat(rng.normal(50, 10, n).round(1), 3),
            "site": np.repeat(rng.choice(["u", "v", "w"], n), 3),
        }
    )
    own = np.repeat(rng.normal(0, 2, n), 3)
    rest = rng.normal(0, 2, len(table))
    table["y"] = 20 - 0.3 * table["week"] + 0.1 * table["age"] + own + rest
    return table[rng.random(len(table)) > 0.1].reset_index(drop=True)


# Rows with strata of sigma, known standard errors, groups and times in no order.
STRUCTURED = {
    "y": np.array([1.0, 3.0, 2.0, 6.0, 4.0, 5.0, 2.5, 3.5, 7.0, 4.5]),
    "x": np.array([0.0, 1.0, 0.0, 1.0, 2.0, 1.0, 0.0, 2.0, 1.0, 3.0]),
    "g": np.array(["a", "a", "b", "b", "b", "b", "c", "c", "c", "a"]),
    "arm": pd.Categorical(["v", "v", "w", "w", "w", "w", "v", "v", "v", "v"], ["w", "v"]),
    "week": np.array([1.0, 3.0, 4.0, 2.0, 1.0, 3.0, 2.0, 1.0, 4.0, 2.0]),
    "visit": pd.Categorical.from_codes(
        [0, 2, 3, 1, 0, 2, 1, 0, 3, 1], ["one", "two", "three", "four"]
    ),
    "sei": np.array([0.5, 0.6, 0.7, 0.5, 0.4, 0.6, 0.8, 0.5, 0.6, 0.7]),
}
STRUCTURES = {
    "strata": {"sigma": "~ 0 + arm"},
    "covariate": {"sigma": "~ x + arm"},
    "known": {"se": "sei"},
    "known and sigma": {"se": "sei", "sigma": "~ 1"},
    "known and strata": {"se": "sei", "sigma": "~ 0 + arm"},
    "ar1": {"residual": "ar1(week | g)"},
    "ou in strata": {"residual": "ou(week | g)", "sigma": "~ 0 + arm"},
    "cs": {"residual": "cs(1 | g)"},
    "us": {"residual": "us(visit | g)"},
    "us by arm": {"residual": "us(visit | arm/g)"},
    "ar1 in strata": {"residual": "ar1(week | g)", "sigma": "~ 0 + arm"},
    "ar1h": {"residual": "ar1h(visit | g)"},
    "ar1 by arm": {"residual": "ar1(week | arm/g)"},
}
# Random effects in sigma, over which no integral has a closed form.
IN_SIGMA = {
    "effects in sigma": {"sigma": "~ arm + (x | g)"},
    "effects in sigma and ar1": {"sigma": "~ 1 + (1 | g)", "residual": "ar1(week | g)"},
    "effects in sigma beside known": {"se": "sei", "sigma": "~ 1 + (1 | arm) + (0 + x | g)"},
}


@cache
def structured_tree(name, formula=TINY_FORMULA, chains=2, draws=30, seed=0, **response):
    """A tree of random draws for `STRUCTURED` with a structure by name: leave it as it is."""
    said = {**(STRUCTURES | IN_SIGMA)[name], **response}
    with warnings.catch_warnings():
        # That random intercepts and a matrix say the same: these draws come from neither.
        warnings.simplefilter("ignore", IdentificationWarning)
        values = random_draws(formula, STRUCTURED, chains=chains, draws=draws, seed=seed, **said)
        return make_tree(formula, STRUCTURED, values, **said)


def residual_variables(structure, shape, rng):
    """Draw a residual structure's parameters, and name them."""
    numbers = []
    for entry in structure.entries:
        if entry.is_matrix:
            numbers += [rng.uniform(-0.4, 0.4, size=shape) for _ in entry.partials]
        elif entry.lower == 0.0 and entry.upper == np.inf:
            numbers.append(np.exp(0.1 * rng.normal(size=shape)))
        else:
            numbers.append(rng.uniform(0.1, 0.6, size=shape))
    phi = np.stack(numbers, axis=-1) if numbers else np.zeros((*shape, 0))
    return structure.without_effects.variables(phi) if numbers else {}
