"""Leave-one-group-out beside what it stands for: a fit without each group."""

import numpy as np
import pytest
from scipy.special import logsumexp

from bayeslmm.analysis.checks.leave_one_out import loo
from bayeslmm.inference.fit import fit_bayes
from bayeslmm.model.priors.priors import Priors
from bayeslmm.tables.datasets import load_dataset

FORMULA = "Reaction ~ Days + (Days | Subject)"
# Nineteen fits: chains of the marginal form mix best, and one compiled model serves the refits.
SETTINGS = {"random_seed": 1, "progressbar": False, "parametrization": "marginal"}


def log_density(idata, rows):
    """log p(rows | other groups) = log of the mean over draws of N(X beta, Z G Z' + sigma^2 I)."""
    posterior = idata["posterior"].to_dataset().stack(s=("chain", "draw"))
    x = np.column_stack([np.ones(len(rows)), rows["Days"]])
    beta = posterior["beta"].transpose("s", ...).to_numpy()
    sd = posterior["sd_Subject"].transpose("s", ...).to_numpy()
    corr = posterior["corr_Subject"].transpose("s", ...).to_numpy()
    sigma = posterior["sigma"].to_numpy()
    cov = x @ (sd[:, :, None] * corr * sd[:, None, :]) @ x.T
    cov += sigma[:, None, None] ** 2 * np.eye(len(rows))
    residual = rows["Reaction"].to_numpy() - beta @ x.T
    half = np.linalg.solve(np.linalg.cholesky(cov), residual[..., None])[..., 0]
    each = -0.5 * (
        np.sum(half**2, axis=1) + np.linalg.slogdet(cov)[1] + len(rows) * np.log(2 * np.pi)
    )
    return logsumexp(each) - np.log(len(each)), each


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::bayeslmm.errors.NumericalWarning")
def test_leave_one_group_out_agrees_with_refits_without_each_group():
    data = load_dataset("sleepstudy")
    fit = fit_bayes(FORMULA, data, **SETTINGS)
    # The default priors follow the data's scale; the refits must have the whole fit's.
    estimate = loo(fit, unit="group")
    exact, errors = [], []
    for subject in estimate.elpd_i["Subject"].to_numpy():
        left_out = data["Subject"].astype(str) == subject
        rest = data[~left_out].assign(Subject=data.loc[~left_out, "Subject"].astype(str))
        refit = fit_bayes(FORMULA, rest, priors=whole_priors(fit), **SETTINGS)
        value, each = log_density(refit, data[left_out])
        exact.append(value)
        weights = np.exp(each - each.max())
        errors.append(weights.std() / weights.mean() / np.sqrt(len(weights) / 4))
    differences = estimate.elpd_i.to_numpy() - np.array(exact)
    good = estimate.pareto_k.to_numpy() < estimate.good_k
    # Importance sampling adds noise of its own: 4 standard errors of the refit's mean, with a
    # quarter of the draws counted as effective, and 0.15 for the weights where Pareto k is good.
    assert np.all(np.abs(differences[good]) < 4 * np.array(errors)[good] + 0.15)
    assert abs(differences.sum()) < float(estimate.se)


def whole_priors(fit):
    """Return the priors of the whole fit, spelt out."""
    return Priors.from_json(fit.attrs["priors"])
