"""R of `trees.STRUCTURED` and rows like them, from a tree's draws alone, entry by entry."""

import numpy as np
import trees

GROUPS = {
    "ar1", "ou in strata", "cs", "us", "us by arm", "ar1h", "ar1 by arm", "ar1 in strata",
    "effects in sigma and ar1",
}  # fmt: skip


def _draws(idata, name):
    values = idata["posterior"][name].to_numpy()
    return values.reshape(-1, *values.shape[2:])


def _codes(idata, variable, dim, column):
    labels = idata["posterior"][variable][dim].to_numpy().tolist()
    return [labels.index(str(value)) for value in column]


def sds(idata, name, table):
    """Standard deviations of rows, shape (s, n)."""
    n, posterior = len(table["x"]), idata["posterior"]
    size = posterior.sizes["chain"] * posterior.sizes["draw"]
    sigma = np.zeros((size, n))
    if "sigma_by" in posterior:
        sigma = _draws(idata, "sigma_by")[:, _codes(idata, "sigma_by", "sigma_level", table["arm"])]
    elif "beta_sigma" in posterior:
        # ~ x + arm, or ~ arm; the columns centred at the means of the rows that were fitted.
        first = int(posterior.sizes["sigma_coef"] == 1)
        own, at = (
            np.column_stack([t["x"], np.asarray(t["arm"]) == "v"]).astype(float)[:, first:]
            for t in (table, trees.STRUCTURED)
        )
        slopes = _draws(idata, "beta_sigma") @ (own - at.mean(axis=0)).T
        sigma = _draws(idata, "sigma")[:, None] * np.exp(slopes)
    elif "sd_residual" in posterior:
        visit = _codes(idata, "sd_residual", "residual_time", table["visit"])
        sd = _draws(idata, "sd_residual")
        if name == "us by arm":
            sigma = sd[:, _codes(idata, "sd_residual", "residual_by", table["arm"]), visit]
        else:
            sigma = sd[:, visit]
    elif "sigma" in posterior:
        sigma = np.repeat(_draws(idata, "sigma")[:, None], n, axis=1)
    if name in trees.IN_SIGMA:
        sigma = sigma * np.exp(in_sigma(idata, table))
    known = table["sei"] if "known" in name else np.zeros(n)
    return np.sqrt(sigma**2 + known**2)


def in_sigma(idata, table):
    """Random effects in log(sigma) of rows, shape (s, n)."""
    total = 0.0
    for factor in ("g", "arm"):
        if (variable := f"b_sigma_{factor}") in idata["posterior"]:
            array = idata["posterior"][variable]
            columns = {"Intercept": np.ones(len(table["x"])), "x": np.asarray(table["x"])}
            code = _codes(idata, variable, f"sigma_{factor}", table[factor])
            terms = array[f"sigma_{factor}_term"].to_numpy().tolist()
            z = np.column_stack([columns[term] for term in terms])
            total = total + np.einsum("nq,snq->sn", z, _draws(idata, variable)[:, code])
    return total


def correlations(idata, name, table):
    """Correlations of rows, shape (s, n, n)."""
    n, g = len(table["x"]), np.asarray(table["g"])
    if name not in GROUPS:
        return np.eye(n)
    same = g[:, None] == g
    gap = np.abs(np.subtract.outer(table["week"], table["week"]))
    if name in ("ar1", "ar1 in strata", "effects in sigma and ar1"):
        C = _draws(idata, "rho_residual")[:, None, None] ** gap
    elif name == "ar1h":
        visit = np.array(_codes(idata, "sd_residual", "residual_time", table["visit"]))
        gap = np.abs(np.subtract.outer(visit, visit))
        C = _draws(idata, "rho_residual")[:, None, None] ** gap
    elif name == "ar1 by arm":
        arm = np.array(_codes(idata, "rho_residual", "residual_by", table["arm"]))
        C = _draws(idata, "rho_residual")[:, arm][:, :, None] ** gap
    elif name == "ou in strata":
        C = np.exp(-gap / _draws(idata, "range_residual")[:, None, None])
    elif name == "cs":
        rho = _draws(idata, "rho_residual")[:, None, None]
        C = np.where(np.eye(n), 1.0, rho)
    else:
        visit = np.array(_codes(idata, "corr_residual", "residual_time", table["visit"]))
        C = _draws(idata, "corr_residual")
        if name == "us by arm":
            arm = np.array(_codes(idata, "corr_residual", "residual_by", table["arm"]))
            C = C[:, arm[:, None], visit[:, None], visit]
        else:
            C = C[:, visit[:, None], visit]
    return np.where(same, C, 0.0)


def covariance(idata, name, table=None):
    """R of rows, shape (s, n, n)."""
    table = trees.STRUCTURED if table is None else table
    sd = sds(idata, name, table)
    return sd[:, :, None] * correlations(idata, name, table) * sd[:, None, :]


def columns(table):
    """X of ``y ~ x``, which is Z of ``(x | g)`` too."""
    return np.column_stack([np.ones(len(table["x"])), table["x"]])


def eta(idata, table=None, effects=True):
    """Linear predictors, shape (s, n)."""
    table = trees.STRUCTURED if table is None else table
    X = columns(table)
    found = _draws(idata, "beta") @ X.T
    if effects:
        own = _draws(idata, "b_g")[:, np.searchsorted(list("abc"), table["g"])]
        found = found + np.einsum("nq,snq->sn", X, own)
    return found


def effects_covariance(idata):
    """G, shape (s, q, q)."""
    sd = _draws(idata, "sd_g")
    return sd[:, :, None] * _draws(idata, "corr_g") * sd[:, None, :]
