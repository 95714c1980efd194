"""Residuals of repeated measures on few visits, against matrices written out from definitions."""

import dense_residuals
import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.gram.structured.records import Records
from bayeslmm.gram.structured.structured_gram import RowGram, StructuredGram
from bayeslmm.kernels.densities import DENSITY, ML, ML_AT_SIGMA, REML
from bayeslmm.kernels.structured.density import structured_density
from bayeslmm.model.residual.of_design import structured_residuals

VISITS = ("baseline", "week 4", "week 8", "week 12")
EFFECTS = {
    "none": "",
    "nested": "+ (1 + x | site/subject)",
    "crossed": "+ (1 | site) + (1 + x | rater)",
}
STRUCTURES = (
    "us(visit | subject)",
    "us(visit | arm/subject)",
    "cs(visit | subject)",
    "cs(1 | subject)",
    "cs(1 | arm/subject)",
    "csh(visit | subject)",
    "csh(visit | arm/subject)",
    "toep(visit | subject)",
    "toeph(visit | arm/subject)",
    "ad(visit | subject)",
    "adh(visit | arm/subject)",
    "ar1h(visit | subject)",
    "ar1h(week | arm/subject)",
    "arma(step | subject, p=1, q=1)",
    "arma(step | arm/subject, p=2, q=0)",
    "arma(step | subject, p=0, q=2)",
)


# Random intercepts beside structures that hold them: what a test of its own says of them.
pytestmark = pytest.mark.filterwarnings("ignore:.* holds what:bayeslmm.IdentificationWarning")


def a_table(seed=1, subjects=24):
    """Subjects in arms and sites, each seen by one rater at most of four visits."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        [(s, v) for s in range(subjects) for v in range(len(VISITS))], columns=["s", "v"]
    )
    rows = rows[(rng.uniform(size=len(rows)) > 0.25) | (rows.s < 2)]
    rows = rows.sample(frac=1.0, random_state=seed)
    x = rng.normal(size=len(rows))
    return pd.DataFrame(
        {
            "y": 2.0 + x + rng.normal(size=len(rows)) * (1.0 + 0.2 * rows.v),
            "x": x,
            "subject": [f"s{s:02d}" for s in rows.s],
            "visit": pd.Categorical.from_codes(rows.v, VISITS, ordered=True),
            "week": np.array([0, 4, 8, 12])[rows.v],
            "step": np.array([0, 1, 2, 4])[rows.v],
            "arm": np.where(rows.s % 2, "drug", "placebo"),
            "site": [f"c{s % 3}" for s in rows.s],
            "rater": [f"r{(s // 3) % 4}" for s in rows.s],
        }
    )


def a_design(structure, effects="none", **how):
    return bl.build_design(f"y ~ x {EFFECTS[effects]}", a_table(), residual=structure, **how)


def a_point(structure, rng):
    """Parameters in the middle of their ranges, by entry: scales, correlations, partials."""
    out = []
    for entry in structure.entries:
        low, high = max(entry.lower, -0.9), min(entry.upper, 2.0)
        n = len(entry.partials) or 1
        out.extend(rng.uniform(low + 0.3 * (high - low), high - 0.2 * (high - low), n))
    return np.array(out)


def lams_of(design, rng):
    out = []
    for factor in design.factors:
        q = len(factor.terms)
        out.append(np.tril(rng.normal(size=(q, q))))
    return out


def evaluate(gram, structure, at, prior, kind):
    phi, lams = at
    c, logdet = structure.coefficients(phi[None])
    packed = np.concatenate([np.zeros(0), *(lam.ravel() for lam in lams)])
    return structured_density(
        gram.plan.ints, gram.floats(c[0], float(logdet[0])), packed, np.zeros(0), *prior, kind
    )


def coefficients(partials):
    """Of an autoregression of order two at most, by its partial autocorrelations."""
    if len(partials) < 2:
        return partials
    first, second = partials
    return np.array([first * (1 - second), second])


def by_definition(kind, times, named, correlation):
    """C of visits, one entry at a time, from named parameters of one arm."""
    n = len(times)
    C = np.eye(n)
    for s in range(n):
        for t in range(s + 1, n):
            rho = named.get("rho_residual")
            if kind == "us":
                C[s, t] = named["corr_residual"][s, t]
            elif kind in ("cs", "csh"):
                C[s, t] = rho
            elif kind in ("ad", "adh"):
                C[s, t] = np.prod(rho[s:t])
            elif kind == "ar1h":
                C[s, t] = rho ** (times[t] - times[s])
            else:
                C[s, t] = correlation[int(times[t] - times[s])]
            C[t, s] = C[s, t]
    return C


def autocorrelations(kind, named, lags):
    """By lag: what partial autocorrelations are by definition, or an infinite moving average."""
    partials = named.get("pacf_residual", np.zeros(0))
    if kind in ("toep", "toeph"):
        r = np.ones(1)
        for k, p in enumerate(partials, start=1):
            # p is the correlation of the ends given what is between them.
            between = r[np.abs(np.subtract.outer(np.arange(k - 1), np.arange(k - 1)))]
            first, last = r[1:k], r[1:k][::-1]
            solved = np.linalg.solve(between, np.column_stack([first, last]))
            r = np.append(r, first @ solved[:, 1] + p * (1.0 - first @ solved[:, 0]))
        return r
    phi = coefficients(partials)
    theta = -coefficients(-named.get("pacf_ma_residual", np.zeros(0)))
    psi = np.zeros(2000)
    psi[0] = 1.0
    for k in range(1, len(psi)):
        psi[k] = theta[k - 1] if k <= len(theta) else 0.0
        psi[k] += sum(f * psi[k - j] for j, f in enumerate(phi, start=1) if k >= j)
    gamma = np.array([psi[: len(psi) - k] @ psi[k:] for k in range(lags + 1)])
    return gamma / gamma[0]


@pytest.fixture(params=STRUCTURES)
def text(request):
    return request.param


@pytest.fixture(params=sorted(EFFECTS))
def effects(request):
    return request.param


def test_densities_are_those_of_dense_normals(text, effects):
    rng = np.random.default_rng(3)
    design = a_design(text, effects)
    structure = structured_residuals(design.residual)
    gram = StructuredGram.from_design(design, structure.records())
    p = design.X.shape[1]
    root = rng.normal(size=(p, p)) / p
    mean, cov = rng.normal(size=p), root @ root.T + np.eye(p)
    flat = np.zeros(p), np.zeros((p, p))
    # Sums of squares of some hundred rows, and their differences: 1e-9 leaves seven digits.
    close = {"rtol": 1e-9, "atol": 1e-9}
    for _ in range(3):
        phi, lams = a_point(structure, rng), lams_of(design, rng)
        R = dense_residuals.residual_covariance(design, structure, phi)
        value = evaluate(gram, structure, (phi, lams), (mean, np.linalg.inv(cov)), DENSITY)[0]
        expected = dense_residuals.log_density(design, lams, R, mean, cov)
        np.testing.assert_allclose(value, expected, **close)
        for kind, how in (
            (REML, {"restricted": True, "profiled": True}),
            (ML, {"restricted": False, "profiled": True}),
            (ML_AT_SIGMA, {"restricted": False, "profiled": False}),
        ):
            value = evaluate(gram, structure, (phi, lams), flat, kind)[0]
            expected = dense_residuals.criterion(design, lams, R, **how)
            np.testing.assert_allclose(value, expected, **close)


def test_covariances_are_those_of_their_definitions(text):
    rng = np.random.default_rng(2)
    design = a_design(text)
    rows, structure = design.residual, structured_residuals(design.residual)
    phi = a_point(structure, rng)
    named = {name: values[0] for name, values in structure.variables(phi[None]).items()}
    spelt, table = rows.correlation, a_table()
    kind = spelt.kind
    for subject in range(6):
        some = np.flatnonzero(table.subject == f"s{subject:02d}")
        visit = table.visit.cat.codes.to_numpy()[some]
        arm = None if spelt.by is None else ["drug", "placebo"].index(table.arm.iloc[some[0]])
        own = {name: values if arm is None else values[arm] for name, values in named.items()}
        numbers = spelt.time in ("week", "step")
        times = np.sort(table[spelt.time].unique()) if numbers else np.arange(4)
        lags = int(times[-1] - times[0])
        acf = autocorrelations(kind, own, lags) if kind[:4] in ("toep", "arma") else None
        C = by_definition(kind, times, own, acf)[np.ix_(visit, visit)]
        scale = own.get("sigma", own.get("sigma_by"))
        sd = own["sd_residual"][visit] if "sd_residual" in own else np.full(len(visit), scale)
        found = structure.covariance(phi[None], some)[0]
        # Toeplitz matrices solve up to three equations; an infinite sum ends at 2000 terms.
        np.testing.assert_allclose(found, sd[:, None] * C * sd, rtol=1e-9, atol=1e-11)


def test_gradients_are_those_of_differences(text):
    rng = np.random.default_rng(4)
    design = a_design(text, "nested")
    structure = structured_residuals(design.residual)
    gram = StructuredGram.from_design(design, structure.records())
    p = design.X.shape[1]
    phi, lams, prior = a_point(structure, rng), lams_of(design, rng), (np.zeros(p), np.eye(p))

    def value(at):
        return evaluate(gram, structure, (at, lams), prior, DENSITY)[0]

    d_floats = evaluate(gram, structure, (phi, lams), prior, DENSITY)[2]
    gradient = structure.pull_back(phi, *gram.pull_back(d_floats))
    step = 1e-5
    expected = [(value(phi + e) - value(phi - e)) / (2 * step) for e in step * np.eye(len(phi))]
    # Errors of central differences: 1e-10 by the step, 1e-14 of the value over it by rounding.
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)


def test_the_precision_is_the_inverse_of_the_matrix(text):
    rng = np.random.default_rng(5)
    design = a_design(text)
    structure = structured_residuals(design.residual)
    correlation, pairs = structure.correlation, structure.correlation.pairs
    phi = np.stack([a_point(structure, rng)[structure.n_scales :] for _ in range(3)])
    omega, logdet = correlation.precision(phi)
    n = len(design.y)
    full = np.zeros((3, n, n))
    given = omega[:, pairs.base] * (1.0 if pairs.factor is None else pairs.factor)
    # A row is itself, and a sum all rows in it.
    items = np.eye(n)
    if pairs.member is not None:
        items = np.concatenate([items, np.eye(pairs.member.max() + 1)[:, pairs.member]])
    for a, b, value in zip(pairs.first, pairs.second, given.T, strict=True):
        product = np.outer(items[a], items[b])
        full += value[:, None, None] * (product if a == b else product + product.T)
    C = np.zeros((3, n, n))
    for g in np.unique(design.residual.group):
        some = np.flatnonzero(design.residual.group == g)
        C[:, some[:, None], some] = correlation.matrix(phi, design.residual, some)
    np.testing.assert_allclose(full @ C, np.broadcast_to(np.eye(n), C.shape), atol=1e-12)
    np.testing.assert_allclose(logdet, np.linalg.slogdet(C)[1], rtol=1e-12)


def test_parameters_are_named_and_read_back(text):
    rng = np.random.default_rng(6)
    structure = structured_residuals(a_design(text).residual)
    phi = np.stack([[a_point(structure, rng) for _ in range(3)] for _ in range(2)])
    named = structure.variables(phi)
    assert set(named) == set(structure.dims)
    for name, values in named.items():
        shape = [len(structure.coords[dim]) for dim in structure.dims[name]]
        assert values.shape == (2, 3, *shape)
    np.testing.assert_allclose(structure.phi(named), phi, rtol=1e-12)
    assert all(len(start) == structure.size for start in structure.starts(phi[0, 0]))


@pytest.mark.parametrize("by", ["", "arm/"])
@pytest.mark.parametrize("sigma", [None, "~ 0 + dose", "~ x"])
@pytest.mark.parametrize("effects", ["", "+ (1 + x | subject)", "+ (1 | item) + (x | dose)"])
def test_sums_of_groups_are_all_pairs_of_their_rows(by, sigma, effects):
    """Compound symmetry, with strata and crossed levels inside the groups and visits missing."""
    rng = np.random.default_rng(7)
    table = a_table().assign(
        item=lambda t: rng.choice(list("uvw"), len(t)),
        dose=lambda t: rng.choice(["p", "q"], len(t)),
    )
    how = {"residual": f"cs(1 | {by}subject)", "sigma": sigma}
    design = bl.build_design(f"y ~ x {effects}", table, **how)
    structure = structured_residuals(design.residual)
    phi = a_point(structure, rng)
    group, n = design.residual.group, design.n
    R = np.zeros((n, n))
    for g in np.unique(group):
        some = np.flatnonzero(group == g)
        R[some[:, None], some] = structure.covariance(phi[None], some)[0]
    first, second = np.nonzero(group[:, None] >= group)  # every pair once, by group
    once = (group[first] == group[second]) & (first >= second)
    first, second = first[once], second[once]
    omega = np.linalg.inv(R)[first, second]
    every = Records.symmetric(first, second, np.zeros(len(first), np.int64), 1, omega)
    wanted = StructuredGram.from_design(design, every).floats(np.ones(1), np.linalg.slogdet(R)[1])
    c, logdet = structure.coefficients(phi[None])
    records = structure.records()
    for gram in (StructuredGram, RowGram):
        found = gram.from_design(design, records)
        np.testing.assert_allclose(
            found.floats(c[0], float(logdet[0])), wanted, rtol=0, atol=1e-12 * np.abs(wanted).max()
        )
        d_floats = rng.normal(size=len(wanted))
        d_c, _ = found.pull_back(d_floats)
        # Floats are linear in the coefficients: the slope along any of them is the product.
        head = found.plan.floats[: len(found.head)]
        step = found.floats(2.0 * c[0], 0.0)[len(head) :] - found.floats(c[0], 0.0)[len(head) :]
        np.testing.assert_allclose(d_c @ c[0], d_floats[len(head) :] @ step, rtol=1e-10)


def test_records_of_compound_symmetry_grow_with_the_rows():
    for k in (10, 100, 1000):
        table = {"y": np.arange(2000.0) % 7, "g": np.arange(2000) // k}
        design = bl.build_design("y ~ 1 + (1 | g)", table, residual="cs(1 | g)", sigma="~ 1")
        records = structured_residuals(design.residual).records()
        assert len(records.first) == 2000 + 2000 // k
