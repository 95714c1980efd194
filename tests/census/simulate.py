"""Tables with responses drawn from true parameters at moderate values, by the package itself."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from census.tables import draw_table

import bayeslmm as bl
from bayeslmm.design.residual_rows import sigma_factors
from bayeslmm.model.residual.of_design import structured_residuals

# Some response that each family takes, for a design before there is one.
PLACEHOLDERS = {
    "bernoulli": lambda n: np.arange(n) % 2,
    "psychometric": lambda n: np.arange(n) % 2,
    "binomial": lambda n: np.arange(n) % 2,
    "poisson": lambda n: np.arange(n) % 4,
    "negbinomial": lambda n: np.arange(n) % 4,
    **dict.fromkeys(
        ("gamma", "lognormal", "shifted_lognormal", "weibull"), lambda n: 1.0 + np.arange(n) % 3
    ),
    "beta": lambda n: (1.0 + np.arange(n) % 3) / 5,
}
INTERCEPTS = {
    **dict.fromkeys(("gaussian", "student", "skew_normal"), 2.0),
    **dict.fromkeys(("poisson", "gamma", "weibull"), 1.0),
    **dict.fromkeys(("beta", "shifted_lognormal"), -0.3),
    "negbinomial": 1.5,
    "lognormal": 0.5,
}
# Where the predictor is in the response's own unit.
UNIT = {"gaussian", "student", "skew_normal"}
# Of families' parameters, between which ends they are drawn.
PARAMETERS = {"sigma": (0.6, 1.2), "shape": (1.5, 5.0), "phi": (6.0, 20.0), "nu": (4.0, 9.0),
              "ndt": (0.1, 0.3), "alpha": (1.0, 3.0), "lapse": (0.05, 0.12)}  # fmt: skip
SEED = 18


@dataclass(frozen=True)
class Simulated:
    """A table of a row, what the fit takes beside it, and the parameters that it was drawn from.

    Attributes
    ----------
    table : DataFrame
    arguments : dict
        Of `build_design` and `fit_bayes` beside formula and table.
    design : Design
        Of the rows before they had a response.
    truth : dict of str to float
        By the names of priors, e.g. ``"x"``, ``"sd_g[Intercept]"``, ``"sigma"``.
    """

    table: pd.DataFrame
    arguments: dict
    design: bl.Design
    truth: dict


def design_of(row):
    """Return a row's table with a response that stands in, the fit's arguments, and its design."""
    rng = np.random.default_rng([SEED, row.number])
    table = draw_table(row.n, row.columns, rng)
    family = row.family if row.own_family is None else row.own_family()
    arguments = {"family": family, **row.coding}
    if row.known is not None:
        arguments["known"] = row.known(table, rng)
    response = row.formula.split("~")[0].strip()
    noise = np.random.default_rng(row.number).standard_normal
    table[response] = PLACEHOLDERS.get(row.family, noise)(row.n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.BayesLMMWarning)
        design = bl.build_design(row.formula, table, **arguments)
    return table, arguments, design, rng


def simulate(row):
    """Return a row's table, drawn from parameters at moderate values: always the same one."""
    table, arguments, design, rng = design_of(row)
    scale = 1.0 if row.family in UNIT else 0.6
    beta = _coefficients(row, design, scale, rng)
    truth = dict(zip(design.coef, beta, strict=True))
    sd, corr = {}, {}
    for factor in design.factors:
        name, q = factor.name, len(factor.terms)
        lengths = np.array([_length(column) for column in np.asarray(factor.columns).T])
        sd[name] = scale * rng.uniform(0.3, 0.9, q) / lengths
        corr[name] = _correlations(factor, rng)
    for factor in sigma_factors(design.residual):
        lengths = np.array([_length(column) for column in np.asarray(factor.columns).T])
        sd[factor.name] = rng.uniform(0.2, 0.4, len(lengths)) / lengths
    for factor in (*design.factors, *sigma_factors(design.residual)):
        names = (f"sd_{factor.name}[{term}]" for term in factor.terms)
        truth |= dict(zip(names, sd[factor.name], strict=True))
    parameters = _parameters(design, rng)
    truth |= {name: value for name, value in parameters.items() if np.ndim(value) == 0}
    y, _ = bl.simulate_response(
        design, beta=beta, sd=sd, corr=corr, parameters=parameters, random_seed=rng
    )
    table[design.response] = y
    return Simulated(table, arguments, design, truth)


def _coefficients(row, design, scale, rng):
    """Draw slopes that together move the predictor by about half of what residuals do."""
    width = 0.5 * scale / np.sqrt(max(1.0, len(design.coef) / 4))
    spread = np.array([_spread(column) for column in design.X.T])
    beta = width * rng.standard_normal(len(spread)) / spread
    if "Intercept" in design.coef:
        at = design.coef.index("Intercept")
        usual = INTERCEPTS.get(row.family, -0.2)
        # At the columns' means, so that products of columns do not lead far away.
        others = np.delete(design.X, at, axis=1).mean(axis=0) @ np.delete(beta, at)
        beta[at] = (usual if row.intercept is None else row.intercept) - others
    return beta


def _spread(column):
    """A column's standard deviation; its length where it is constant."""
    return np.std(column) if np.ptp(column) > 0 else 1.0


def _length(column):
    """The root of a column's mean square about its mean, over the rows that have it."""
    nonzero = np.asarray(column)[np.asarray(column) != 0]
    return max(np.std(column), 0.2) if np.ptp(column) > 0 and len(nonzero) else 1.0


def _correlations(factor, rng):
    """Draw one correlation of the columns of each set that the formula correlates."""
    q = len(factor.terms)
    matrix = np.eye(q)
    for block in factor.blocks:
        rho = rng.uniform(-0.5, 0.5) if len(block) == 2 else rng.uniform(0.0, 0.4)
        for i in block:
            for j in block:
                if i != j and not _apart(factor, i, j):
                    matrix[i, j] = rho
    return matrix


def _apart(factor, i, j):
    """Whether no level has both columns, being in one arm each."""
    return factor.arms is not None and factor.arms.columns[i] != factor.arms.columns[j]


def _parameters(design, rng):
    """Draw parameters of family and residuals: numbers by name, correlations as a matrix."""
    if design.residual is None:
        names = [parameter.name for parameter in design.family.parameters]
        return {name: rng.uniform(*PARAMETERS[name]) for name in names}
    drawn = {}
    for entry in structured_residuals(design.residual).without_effects.entries:
        if entry.is_matrix:
            steps = np.arange(entry.n_columns)
            drawn[entry.variable] = 0.5 ** np.abs(steps[:, None] - steps)
        elif entry.variable == "beta_sigma":
            drawn[entry.name] = rng.uniform(-0.3, 0.3)
        else:
            drawn[entry.name] = rng.uniform(*PARAMETERS["sigma"])
    return drawn
