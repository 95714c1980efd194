"""Tables with responses drawn from true parameters at moderate values, by the package itself."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from census.tables import draw_table

import bayeslmm as bl
from bayeslmm.design.predictors import predictor_factors
from bayeslmm.design.residual_rows import sigma_factors
from bayeslmm.model.residual.of_design import structured_residuals

# Some response that each family takes, for a design before there is one.
PLACEHOLDERS = {
    "bernoulli": lambda n: np.arange(n) % 2,
    "psychometric": lambda n: np.arange(n) % 2,
    "cumulative": lambda n: 1 + np.arange(n) % 5,
    "binomial": lambda n: np.arange(n) % 2,
    "beta_binomial": lambda n: np.arange(n) % 2,
    "categorical": lambda n: np.array(["a", "b", "c"])[np.arange(n) % 3],
    **dict.fromkeys(
        (
            "poisson",
            "negbinomial",
            "zero_inflated_poisson",
            "zero_inflated_negbinomial",
            "hurdle_lognormal",
        ),
        lambda n: np.arange(n) % 4,
    ),
    "zero_one_inflated_beta": lambda n: np.arange(n) % 4 / 3,
    **dict.fromkeys(
        ("gamma", "lognormal", "shifted_lognormal", "weibull"), lambda n: 1.0 + np.arange(n) % 3
    ),
    "beta": lambda n: (1.0 + np.arange(n) % 3) / 5,
}
INTERCEPTS = {
    **dict.fromkeys(("gaussian", "student", "skew_normal"), 2.0),
    **dict.fromkeys(("poisson", "gamma", "weibull"), 1.0),
    **dict.fromkeys(("beta", "shifted_lognormal", "zero_one_inflated_beta"), -0.3),
    **dict.fromkeys(("negbinomial", "zero_inflated_poisson", "zero_inflated_negbinomial"), 1.5),
    **dict.fromkeys(("lognormal", "hurdle_lognormal"), 0.5),
}
# Where the predictor is in the response's own unit.
UNIT = {"gaussian", "student", "skew_normal"}
# Of families' parameters, between which ends they are drawn.
PARAMETERS = {
    "sigma": (0.6, 1.2),
    "shape": (1.5, 5.0),
    "phi": (6.0, 20.0),
    "nu": (4.0, 9.0),
    "disc": (0.8, 1.2),
    "ndt": (0.1, 0.3),
    "alpha": (1.0, 3.0),
    "lapse": (0.05, 0.12),
    **dict.fromkeys(("zi", "hu", "zoi", "coi"), (0.15, 0.35)),
}
# Of five ordered categories.
CUTS = (-1.4, -0.4, 0.5, 1.5)
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
    noise = np.random.default_rng(row.number).standard_normal
    for response in responses_of(row):
        table[response] = PLACEHOLDERS.get(row.family, noise)(row.n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.BayesLMMWarning)
        design = bl.build_design(row.formula, table, **arguments)
    return table, arguments, design, rng


def responses_of(row):
    """Return the columns left of the tilde: one, or those that mvbind() joins."""
    left = row.formula.split("~")[0].strip()
    return left.removeprefix("mvbind(").removesuffix(")").split(", ")


def simulate(row):
    """Return a row's table, drawn from parameters at moderate values: always the same one."""
    table, arguments, design, rng = design_of(row)
    scale = 1.0 if row.family in UNIT else 0.6
    beta = _coefficients(row, design, scale, rng)
    truth = dict(zip(design.coef, beta, strict=True))
    sd, corr = {}, {}
    for factor in design.factors:
        name, q = factor.name, len(factor.terms)
        sd[name] = scale * rng.uniform(0.3, 0.9, q) / _lengths(factor)
        corr[name] = _correlations(factor, rng)
    in_parameters = (*sigma_factors(design.residual), *predictor_factors(design.predictors))
    for factor in in_parameters:
        lengths = _lengths(factor)
        sd[factor.name] = rng.uniform(0.2, 0.4, len(lengths)) / lengths
    for factor in (*design.factors, *in_parameters):
        names = (f"sd_{factor.name}[{term}]" for term in factor.terms)
        truth |= dict(zip(names, sd[factor.name], strict=True))
    parameters = _parameters(design, rng)
    for name, value in parameters.items():
        if name == "threshold":
            truth |= {f"threshold[{k}|{k + 1}]": cut for k, cut in enumerate(value, 1)}
        elif np.ndim(value) == 0:
            truth[name] = value
    y, effects = bl.simulate_response(
        design, beta=beta, sd=sd, corr=corr, parameters=parameters, random_seed=rng
    )
    if row.family == "categorical":
        y = _categories(design, beta, effects, rng)
    if "cens" in row.coding:
        y, table[row.coding["cens"]] = _censored(y, rng)
    names = responses_of(row)
    # Of several responses those of one row of the table follow each other.
    table[names] = np.reshape(y, (row.n, len(names)))
    return Simulated(table, arguments, design, truth)


def _censored(y, rng):
    """Watch each row until a time that does not depend on its own."""
    until = np.median(y) * rng.uniform(0.7, 3.0, len(y))
    return np.minimum(y, until), np.where(y > until, "right", "none")


def _categories(design, beta, effects, rng):
    """Draw categories from their predictors, of which the first one's is zero."""
    eta = design.X @ beta
    for factor in design.factors:
        eta += np.sum(factor.columns * effects[factor.name][factor.index], axis=1)
    eta = np.column_stack([_by_observation(design, eta, k) for k in range(len(design.stack.names))])
    weights = np.exp(np.column_stack([np.zeros(len(eta)), eta]))
    shares = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    which = np.sum(rng.uniform(size=(len(eta), 1)) > shares[:, :-1], axis=1)
    return np.array(["a", *design.stack.names], dtype=object)[which]


def _by_observation(design, values, part):
    """Values of one response's rows, by observation."""
    return design.stack.spread(part, values[design.stack.rows_of(part)])


def _coefficients(row, design, scale, rng):
    """Draw slopes that together move the predictor by about half of what residuals do."""
    width = 0.5 * scale / np.sqrt(max(1.0, len(design.coef) / 4))
    spread = np.array([_spread(column) for column in design.X.T])
    beta = width * rng.standard_normal(len(spread)) / spread
    usual = INTERCEPTS.get(row.family, -0.2) if row.intercept is None else row.intercept
    intercepts = [at for at, name in enumerate(design.coef) if _is_intercept(name)]
    slopes = beta.copy()
    slopes[intercepts] = 0.0
    for at in intercepts:
        # At the means of its rows, so that products of columns do not lead far away.
        beta[at] = usual - np.mean((design.X @ slopes)[design.X[:, at] == 1.0])
    return beta


def _spread(column):
    """A column's standard deviation; its length where it is constant."""
    return np.std(column) if np.ptp(column) > 0 else 1.0


def _lengths(factor):
    """By how much the columns of a factor's effects vary; one, of intercepts."""
    return np.array([
        1.0 if _is_intercept(term) or np.ptp(column) == 0 else max(np.std(column), 0.2)
        for term, column in zip(factor.terms, np.asarray(factor.columns).T, strict=True)
    ])  # fmt: skip


def _is_intercept(name):
    """Whether a column is an intercept, perhaps of one of several responses."""
    return name == "Intercept" or name.endswith("_Intercept")


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


def _predictor(rows, rng):
    """Draw coefficients of a parameter's formula, on the scale of its link."""
    low, high = PARAMETERS[rows.parameter]
    middle = (low + high) / 2
    level = np.log(middle / (1 - middle)) if high < 1 else np.log(middle)
    constant = rows.coef[:1] == ("Intercept",)
    found = {}
    for name, column in zip(rows.coef, rows.columns.T, strict=True):
        slope = rng.uniform(-0.4, 0.4) / _spread(column)
        alone = name == "Intercept"
        found[f"beta_{rows.parameter}[{name}]"] = level if alone else slope + level * (not constant)
    return found


def _parameters(design, rng):
    """Draw parameters of family and residuals: numbers by name, correlations as a matrix."""
    if design.residual is None:
        modelled = {rows.parameter: rows for rows in design.predictors}
        names = [p.name for p in design.family.parameters if p.name not in modelled]
        of_formulas = {}
        for rows in modelled.values():
            of_formulas |= _predictor(rows, rng)
        drawn = {name: rng.uniform(*PARAMETERS[name]) for name in names if name != "threshold"}
        return drawn | of_formulas | ({"threshold": np.array(CUTS)} if "threshold" in names else {})
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
