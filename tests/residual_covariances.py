"""One model of each residual structure, with R of its rows written out by hand."""

import numpy as np
import pandas as pd

# Of pairs of groups: what rows of a group share is in some structures already.
FORMULA = "y ~ x + (1 | h)"


LABELS = ["v0", "v1", "v2", "v3", "v4"]


def rows(n_groups=7):
    """Groups of five visits, two in five missing, in an order that is none."""
    rng = np.random.default_rng(5)
    g, t = np.repeat(np.arange(n_groups), 5), np.tile(np.arange(5), n_groups)
    n = len(g)
    table = pd.DataFrame(
        {
            "y": rng.normal(10.0, 3.0, n),
            "x": rng.normal(2.0, 1.0, n),
            "g": g,
            "h": g // 2,
            "t": t,
            "visit": pd.Categorical(np.array(LABELS)[t], LABELS, ordered=True),
            "week": np.array([0, 1, 2, 5, 6])[t],
            "day": np.array([0.0, 1.3, 2.0, 5.5, 5.9])[t] + 0.1 * (g % 2),
            "arm": np.where(g % 2, "new", "old"),
            "f": rng.choice(["a", "b"], n),
            "se": rng.uniform(0.5, 2.0, n),
        }
    )
    keep = (rng.uniform(size=n) < 0.6) | (t == 2)
    # Every visit in both arms, and two groups that have them all.
    keep |= g < 2
    return table[keep].sample(frac=1.0, random_state=1).reset_index(drop=True)


TABLE = rows()
SAME_GROUP = TABLE.g.to_numpy()[:, None] == TABLE.g.to_numpy()
ARM = (TABLE.arm == "old").to_numpy().astype(int)  # in the order of labels: new, old


def diagonal(sd):
    return np.diag(np.square(sd))


def correlated(sd, corr):
    return np.where(SAME_GROUP, np.outer(sd, sd) * corr, 0.0)


def between(column):
    return np.abs(np.subtract.outer(*[TABLE[column].to_numpy().astype(float)] * 2))


def at_arm(values):
    """A value for each pair of rows of a group, from one for each arm."""
    return np.asarray(values)[ARM][:, None]


def by_columns(v):
    x = TABLE.x - TABLE.x.mean()
    second = (TABLE.f == "b") - (TABLE.f == "b").mean()
    return v["sigma"] * np.exp(v["beta_sigma"][0] * x + v["beta_sigma"][1] * second)


def one_or(rho):
    """One on the diagonal, rho elsewhere."""
    return np.where(np.eye(len(TABLE), dtype=bool), 1.0, rho)


LEVEL = (TABLE.f == "b").to_numpy().astype(int)
# What is asked for, and R of the rows from the variables of a result tree.
STRUCTURES = {
    "strata": ({"sigma": "~ 0 + f"}, lambda v: diagonal(v["sigma_by"][LEVEL])),
    "columns": ({"sigma": "~ x + f"}, lambda v: diagonal(by_columns(v))),
    "known": ({"se": "se"}, lambda v: diagonal(TABLE.se)),
    "known and sigma": (
        {"se": "se", "sigma": "~ 1"},
        lambda v: diagonal(np.hypot(TABLE.se, v["sigma"])),
    ),
    "known and strata": (
        {"se": "se", "sigma": "~ 0 + f"},
        lambda v: diagonal(np.hypot(TABLE.se, v["sigma_by"][LEVEL])),
    ),
    "ar1": (
        {"residual": "ar1(t | g)"},
        lambda v: correlated(np.full(len(TABLE), v["sigma"]), v["rho_residual"] ** between("t")),
    ),
    "ar1 with strata": (
        {"residual": "ar1(t | g)", "sigma": "~ 0 + f"},
        lambda v: correlated(v["sigma_by"][LEVEL], v["rho_residual"] ** between("t")),
    ),
    "ou": (
        {"residual": "ou(day | g)"},
        lambda v: correlated(
            np.full(len(TABLE), v["sigma"]), np.exp(-between("day") / v["range_residual"])
        ),
    ),
}


VISIT = TABLE.t.to_numpy()
STRUCTURES |= {
    "unstructured": (
        {"residual": "us(visit | g)"},
        lambda v: correlated(v["sd_residual"][VISIT], v["corr_residual"][np.ix_(VISIT, VISIT)]),
    ),
    "unstructured by arm": (
        {"residual": "us(visit | arm/g)"},
        lambda v: correlated(
            v["sd_residual"][ARM, VISIT], v["corr_residual"][ARM[:, None], VISIT[:, None], VISIT]
        ),
    ),
    "exchangeable": (
        {"residual": "cs(1 | g)"},
        lambda v: correlated(np.full(len(TABLE), v["sigma"]), one_or(v["rho_residual"])),
    ),
    "exchangeable by arm": (
        {"residual": "cs(visit | arm/g)"},
        lambda v: correlated(v["sigma_by"][ARM], one_or(at_arm(v["rho_residual"]))),
    ),
    "exchangeable with strata": (
        {"residual": "cs(1 | g)", "sigma": "~ 0 + f"},
        lambda v: correlated(v["sigma_by"][LEVEL], one_or(v["rho_residual"])),
    ),
    "exchangeable, heterogeneous": (
        {"residual": "csh(visit | g)"},
        lambda v: correlated(v["sd_residual"][VISIT], one_or(v["rho_residual"])),
    ),
    "ar1 by arm": (
        {"residual": "ar1(t | arm/g)"},
        lambda v: correlated(v["sigma_by"][ARM], at_arm(v["rho_residual"]) ** between("t")),
    ),
}


STRUCTURES |= {
    f"{name}, {family}": ({**STRUCTURES[name][0], "family": family}, STRUCTURES[name][1])
    for name, family in [
        ("strata", "lognormal"),
        ("ar1", "lognormal"),
        ("strata", "student"),
        ("columns", "student"),
    ]
}


def products_of_steps(rho):
    """Products of steps between two visits, for rho of each row, shape (n, steps)."""
    first, last = np.minimum.outer(VISIT, VISIT), np.maximum.outer(VISIT, VISIT)
    step = np.arange(4)
    inside = (step >= first[..., None]) & (step < last[..., None])
    return np.prod(np.where(inside, rho[:, None], 1.0), axis=-1)


def from_partials(partials, lags):
    """Autocorrelations by solving for each lag's partial one: Yule-Walker, written out."""
    r = np.eye(1, lags + 1)[0]
    for h in range(1, lags + 1):
        R = r[np.abs(np.subtract.outer(np.arange(h - 1), np.arange(h - 1)))]
        past = np.linalg.solve(R, r[1:h]) if h > 1 else np.zeros(0)
        best, left = past @ r[1:h][::-1], 1.0 - past @ r[1:h]
        r[h] = best + (partials[h - 1] * left if h <= len(partials) else 0.0)
    return r


def of_arma(partials, moving, lags):
    """Autocorrelations of ARMA(p, q) from the moving-average weights of a long past."""
    r = from_partials(partials, max(len(partials), 1))
    p = len(partials)
    toeplitz = r[np.abs(np.subtract.outer(np.arange(p), np.arange(p)))]
    phi = np.linalg.solve(toeplitz, r[1 : p + 1])
    # The moving average is invertible: its coefficients are those of a process of these partials.
    q = len(moving)
    s = from_partials(-np.asarray(moving), max(q, 1))
    theta = -np.linalg.solve(s[np.abs(np.subtract.outer(np.arange(q), np.arange(q)))], s[1 : q + 1])
    psi = np.zeros(4000)
    psi[0] = 1.0
    for k in range(1, len(psi)):
        psi[k] = sum(phi[j] * psi[k - 1 - j] for j in range(min(p, k)))
        psi[k] += theta[k - 1] if k <= q else 0.0
    gamma = np.array([psi[: len(psi) - h] @ psi[h:] for h in range(lags + 1)])
    return gamma / gamma[0]


STEPS = between("t").astype(int)
STRUCTURES |= {
    "heterogeneous ar1": (
        {"residual": "ar1h(visit | g)"},
        lambda v: correlated(v["sd_residual"][VISIT], v["rho_residual"] ** between("t")),
    ),
    "heterogeneous ar1 of numbers": (
        {"residual": "ar1h(week | g)"},
        lambda v: correlated(v["sd_residual"][VISIT], v["rho_residual"] ** between("week")),
    ),
    "ante-dependence": (
        {"residual": "ad(visit | g)"},
        lambda v: correlated(
            np.full(len(TABLE), v["sigma"]),
            products_of_steps(np.tile(v["rho_residual"], (len(TABLE), 1))),
        ),
    ),
    "heterogeneous ante-dependence by arm": (
        {"residual": "adh(visit | arm/g)"},
        lambda v: correlated(
            v["sd_residual"][ARM, VISIT], products_of_steps(v["rho_residual"][ARM])
        ),
    ),
    "Toeplitz": (
        {"residual": "toep(visit | g)"},
        lambda v: correlated(
            np.full(len(TABLE), v["sigma"]), from_partials(v["pacf_residual"], 4)[STEPS]
        ),
    ),
    "heterogeneous Toeplitz by arm": (
        {"residual": "toeph(visit | arm/g)"},
        lambda v: correlated(
            v["sd_residual"][ARM, VISIT],
            np.stack([from_partials(p, 4) for p in v["pacf_residual"]])[ARM[:, None], STEPS],
        ),
    ),
    "arma": (
        {"residual": "arma(t | g, p=1, q=1)"},
        lambda v: correlated(
            np.full(len(TABLE), v["sigma"]),
            of_arma(v["pacf_residual"], v["pacf_ma_residual"], 4)[STEPS],
        ),
    ),
    "arma of higher orders": (
        {"residual": "arma(t | g, p=2, q=2)"},
        lambda v: correlated(
            np.full(len(TABLE), v["sigma"]),
            of_arma(v["pacf_residual"], v["pacf_ma_residual"], 4)[STEPS],
        ),
    ),
    "moving average by arm": (
        {"residual": "arma(t | arm/g, p=0, q=1)"},
        lambda v: correlated(
            v["sigma_by"][ARM],
            np.stack([of_arma([], m, 4) for m in v["pacf_ma_residual"]])[ARM[:, None], STEPS],
        ),
    ),
}


def with_effects(sd, b, columns=None, by="g"):
    """Standard deviations times exp(z'b), of each row's level of a factor."""
    level = np.unique(TABLE[by].astype(str), return_inverse=True)[1]
    z = np.ones((len(TABLE), 1)) if columns is None else np.column_stack(columns)
    return sd * np.exp(np.sum(z * b[level], axis=1))


ONE = np.ones(len(TABLE))
# Random effects in log(sigma); of `se` no value is near zero, so that priors stand at its mean.
IN_SIGMA = {
    "intercepts": (
        {"sigma": "~ 1 + (1 | g)"},
        lambda v: diagonal(with_effects(v["sigma"], v["b_sigma_g"])),
    ),
    "slopes": (
        {"sigma": "~ x + f + (x + se | g)"},
        lambda v: diagonal(with_effects(by_columns(v), v["b_sigma_g"], [ONE, TABLE.x, TABLE.se])),
    ),
    "uncorrelated slopes": (
        {"sigma": "~ (x || g)"},
        lambda v: diagonal(with_effects(v["sigma"], v["b_sigma_g"], [ONE, TABLE.x])),
    ),
    "crossed in strata": (
        {"sigma": "~ 0 + f + (1 | g) + (0 + x | t)"},
        lambda v: diagonal(
            with_effects(
                with_effects(v["sigma_by"][LEVEL], v["b_sigma_g"]), v["b_sigma_t"], [TABLE.x], "t"
            )
        ),
    ),
    "beside known": (
        {"se": "se", "sigma": "~ 1 + (1 | g)"},
        lambda v: diagonal(np.hypot(TABLE.se, with_effects(v["sigma"], v["b_sigma_g"]))),
    ),
    "beside ar1": (
        {"residual": "ar1(t | g)", "sigma": "~ (1 | h)"},
        lambda v: correlated(
            with_effects(v["sigma"], v["b_sigma_h"], by="h"), v["rho_residual"] ** between("t")
        ),
    ),
}
IN_SIGMA |= {
    f"slopes, {family}": ({**IN_SIGMA["slopes"][0], "family": family}, IN_SIGMA["slopes"][1])
    for family in ("student", "lognormal")
}
