"""`response_of`: one of several responses as the result that a fit of it alone would be."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslmm import names
from bayeslmm.design.state import DesignState
from bayeslmm.errors import TreeError, names_keywords, nearest
from bayeslmm.families.registry import family_of
from bayeslmm.families.stacked import of_response
from bayeslmm.formula.mixed_formula import parse_formula
from bayeslmm.model.priors.of_parts import priors_of_part
from bayeslmm.model.priors.priors import Priors
from bayeslmm.results import read
from bayeslmm.results.known import known_covariances
from bayeslmm.results.record import has_several

if TYPE_CHECKING:
    from bayeslmm.design.stacked.layout import Layout


def layout_of(idata: xr.DataTree) -> Layout[DesignState]:
    """Return how the responses of a fit stand beside each other.

    Raises
    ------
    TreeError
        If there is one only.
    """
    read.require_tree(idata)
    if not has_several(idata):
        raise TreeError(
            f"This fit has one response, {idata.attrs['response']!r}, and is its own result."
        )
    levels = {info.name: info.all_levels for info in read.factors(idata)}
    known = known_covariances(idata)
    layout = DesignState.from_json(str(idata.attrs["design"]), levels, known=known).layout
    assert layout is not None  # noqa: S101 - of several
    return layout


@names_keywords
def response_of(idata: xr.DataTree, response: str) -> xr.DataTree:
    r"""Return one of several responses as a result of its own, of the same draws.

    .. math:: p(\beta_r, b_r, G_r, \sigma_r \mid y_1, \ldots, y_R)

    The draws are marginals of the joint posterior: all that is asked of a result of one response,
    predictions, residuals, curves, means or variance components, can be asked of this one. What is
    told of a response is not conditional on the others of the same row.

    Of a categorical or multinomial response, a category beside the reference is the binomial
    response of being of it, given that one is of it or of the reference: its coefficients are
    logarithms of odds against the reference.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes` with several responses, or categories.
    response : str
        Which of them.

    Returns
    -------
    DataTree
        With the groups of `fit_bayes` but those of log-densities.

    Raises
    ------
    TreeError
        If there is no such response, or one only.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> rng = np.random.default_rng(1)
    >>> table = {"y": rng.normal(size=40), "z": rng.normal(5, 2, size=40), "g": list("abcde") * 8}
    >>> fit = bl.fit_bayes("mvbind(y, z) ~ 1 + (1 |p| g)", table, draws=50, chains=2,
    ...                    random_seed=1, progressbar=False)
    >>> one = bl.response_of(fit, "z")
    >>> one.attrs["formula"], bl.predict(one, {"g": ["a"]}).shape
    ('z ~ 1 + (1 | g)', (2, 50, 1))
    """
    layout = layout_of(idata)
    if response not in layout.names:
        raise TreeError(
            f"This fit has no response {response!r}.{nearest(str(response), layout.names)} It has "
            f"{', '.join(layout.names)}."
        )
    return part_tree(idata, layout, layout.names.index(response))


def part_tree(
    idata: xr.DataTree, layout: Layout[DesignState], k: int, *, every_row: bool = False
) -> xr.DataTree:
    """Return the tree of one response.

    Parameters
    ----------
    idata : DataTree
        Of several.
    layout : Layout
        How they stand beside each other.
    k : int
        Which of them.
    every_row : bool
        Whether to keep observations that lack it.
    """
    part = _Part(idata, layout, k)
    priors = priors_of_part(Priors.from_json(str(idata.attrs["priors"])), layout, k)
    groups: dict[str, xr.Dataset] = {}
    for name in ("posterior", "prior"):
        if name in idata.children:
            groups[name] = part.draws(read.group(idata, name))
    if "posterior" in groups:
        posterior = {str(key): array.values for key, array in groups["posterior"].items()}
        log_prior = {
            key: (("chain", "draw"), value)
            for key, value in priors.log_densities(posterior).items()
        }
        groups["log_prior"] = xr.Dataset(log_prior)
    if "effects_moments" in idata.children:
        moments = read.group(idata, "effects_moments")
        groups["effects_moments"] = part.of_factors(moments, ("_mean", "_sd"))
    for name in ("sample_stats", names.FITTED_LEVELS):
        if name in idata.children:
            groups[name] = idata[name].to_dataset()
    groups |= part.rows(every_row=every_row)
    tree = xr.DataTree.from_dict(groups)
    for name in part.state.known:
        tree[f"{names.KNOWN}/{name}"] = idata[names.KNOWN][name].copy()
    n = int(tree["observed_data"].sizes[names.OBS])
    tree.attrs = {**idata.attrs, **part.attributes(n), "priors": priors.to_json()}
    return tree


@dataclass(frozen=True)
class _Part:
    """One response of a tree."""

    idata: xr.DataTree
    layout: Layout[DesignState]
    k: int

    @property
    def name(self) -> str:
        return self.layout.names[self.k]

    @property
    def state(self) -> DesignState:
        return self.layout.parts[self.k]

    @property
    def response(self) -> str:
        """What the response is called in the part's formula."""
        if self.layout.categories:
            return self.name
        return parse_formula(self.state.formula).response

    def draws(self, data: xr.Dataset) -> xr.Dataset:
        """Return draws of this response's own parameters, by the names that they have alone."""
        start = sum(len(one.coef) for one in self.layout.parts[: self.k])
        own = slice(start, start + len(self.state.coef))
        found = self.of_factors(data, ("",))
        if names.BETA in data:
            beta = data[names.BETA].isel({names.COEF: own})
            found[names.BETA] = beta.assign_coords({names.COEF: list(self.state.coef)})
        for name, array in self._parameters(data).items():
            found[name] = array.drop_vars([c for c in array.coords if c not in array.dims])
        return found

    def _parameters(self, data: xr.Dataset) -> dict[str, xr.DataArray]:
        labelled = {names.SD_RESIDUAL: names.RESIDUAL_TIME, names.SIGMA_BY: names.SIGMA_LEVEL}
        for variable, dim in labelled.items():
            if variable in data:
                return {names.SIGMA: data[variable].sel({dim: self.name})}
        family = family_of(self.state.family, self.state.link)
        return {p.name: data[of_response(p.name, self.name)] for p in family.parameters}

    def of_factors(self, data: xr.Dataset, suffixes: tuple[str, ...]) -> xr.Dataset:
        """Return effects, and their standard deviations and correlations."""
        found: dict[str, Any] = {}
        for factor, terms in self.state.terms.items():
            places = list(self.layout.places(factor, self.k))
            term, bis = names.term_dim(factor), names.term_dim_bis(factor)
            correlated = any(
                sum(part == self.k for part, _ in block) > 1 for block in self.layout.blocks[factor]
            )
            of_factor = [names.sd(factor), *(names.effects(factor) + s for s in suffixes)]
            of_factor += [names.corr(factor)] if correlated else []
            for variable in of_factor:
                if variable not in data:
                    continue
                array = data[variable]
                for dim in (term, bis):
                    if dim in array.dims:
                        array = array.isel({dim: places}).assign_coords({dim: list(terms)})
                found[variable] = array
        return xr.Dataset(found)

    def rows(self, *, every_row: bool) -> dict[str, xr.Dataset]:
        """Return the observed response and the table's columns, of observations that have it."""
        if "observed_data" not in self.idata.children:
            return {}
        observed = read.group(self.idata, "observed_data")
        constant = read.group(self.idata, "constant_data")
        y, trials = self._response(observed, constant)
        keep = np.ones(len(y), bool) if every_row else ~np.isnan(y)
        rows = {names.OBS: observed[names.OBS].values[keep]}
        columns = {
            str(key): (names.OBS, array.values[keep], array.attrs)
            for key, array in constant.items()
            if "role" not in array.attrs
        }
        if trials is not None:
            label = "trials of the fit" if "trials" in columns else "trials"
            columns[label] = (names.OBS, trials[keep], {"role": "trials"})
        own = {names.stored(self.response): (names.OBS, y[keep])}
        return {
            "observed_data": xr.Dataset(own, coords=rows),
            "constant_data": xr.Dataset(columns, coords=rows),
        }

    def _response(self, observed: xr.Dataset, constant: xr.Dataset) -> tuple[Any, Any]:
        if not self.layout.categories:
            y = observed[names.stored(self.name)].values
            own = [a.values for a in constant.values() if a.attrs.get("response") == self.name]
            return y, own[0] if own else None
        counts = category_counts(observed, self.layout)
        y, against = counts[:, self.k + 1], counts[:, self.k + 1] + counts[:, 0]
        return np.where(against > 0, y, np.nan), np.maximum(against, 1.0)

    def attributes(self, n: int) -> dict[str, Any]:
        """Return what makes the tree readable by itself."""
        told = json.loads(str(self.idata.attrs["n_levels"]))
        whole = f"{self.idata.attrs['data_fingerprint']} {self.name}"
        formula = parse_formula(self.state.formula)
        right = formula.spelt([str(term) for term in formula.random])
        state = self.state.to_json(levels=False)
        if self.layout.categories:
            content = json.loads(state)
            content["formula"] = f"`{self.response}` ~ {right}"
            state = json.dumps(content, ensure_ascii=False)
        return {
            "formula": str(parse_formula(json.loads(state)["formula"])),
            "response": names.stored(self.response),
            "family": self.state.family,
            "link": self.state.link,
            "design": state,
            "n_levels": json.dumps({name: told[name] for name in self.state.terms}),
            "n_obs": n,
            "data_fingerprint": hashlib.sha256(whole.encode()).hexdigest(),
            "marginal_of": str(self.idata.attrs["formula"]),
        }


def category_counts(observed: xr.Dataset, layout: Layout[DesignState]) -> Any:
    """Return how many each observation has of all categories, the reference first, shape (m, K)."""
    if len(observed.data_vars) == 1:
        (codes,) = observed.data_vars.values()
        return np.asarray(
            codes.values[:, None] == np.arange(len(layout.categories)), dtype=np.float64
        )
    return np.column_stack([observed[names.stored(name)].values for name in layout.categories])
