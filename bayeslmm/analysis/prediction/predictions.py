"""Expected values and new observations of any rows: draws in, labelled arrays out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from bayeslmm import names
from bayeslmm.analysis.prediction.average_mean import ordered_probabilities, require_ordered
from bayeslmm.analysis.prediction.estimated.reml_predictions import (
    Asked,
    predicted,
    predicted_table,
)
from bayeslmm.analysis.prediction.fit_rows import Fit, own_columns
from bayeslmm.analysis.prediction.linear_predictor import (
    LinearPredictor,
    Policy,
    check_seed,
    linear_predictor,
)
from bayeslmm.analysis.prediction.new_levels import refuse_average
from bayeslmm.analysis.prediction.residual_kinds import known_residuals
from bayeslmm.analysis.prediction.row_numbers import row_trials, row_weights
from bayeslmm.errors import ArgumentError, check_choice, names_keywords
from bayeslmm.model.residual.drawn import forecast
from bayeslmm.reml.result import REMLFit
from bayeslmm.results import read
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, check_interval, describe
from bayeslmm.results.family import family, is_additive

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import xarray as xr
    from numpy.typing import NDArray

Kind = Literal["link", "mean", "response", "probability"]
KINDS = ("link", "mean", "response", "probability")
# Kinds that are averages over what eta may be.
AVERAGES = ("mean", "probability")
Residual = Literal["marginal", "conditional"]
RESIDUALS = ("marginal", "conditional")


@names_keywords
def predict(
    idata: Fit,
    data: Any = None,
    *,
    kind: Kind = "mean",
    random_effects: str | Sequence[str] = "all",
    new_levels: Policy | Mapping[str, Policy] = "error",
    draws: int | None = None,
    weights: Any = None,
    trials: Any = None,
    se: Any = None,
    residual: Residual = "marginal",
    random_seed: int | None = None,
) -> xr.DataArray:
    r"""Draw expected values or new observations of rows given eta = X beta + Z b + offset.

    Of a REML fit compute them at the estimates and conditional modes (BLUPs), as lme4's `predict`.

    Parameters
    ----------
    idata : DataTree or REMLFit
        Result of `fit_bayes` or `fit_reml`.
    data : table or mapping of columns, optional
        The rows; the training rows without it. Columns keep the coding, knots and means of the
        fit.
    kind : {"mean", "link", "response", "probability"}
        The expected value E(y | eta), of a binomial response per trial; eta itself, on the scale
        of the link; or a new observation. A Gaussian response has E(y | eta) = eta, and new
        observations eta + e with e ~ N(0, sigma^2 / w). Of ordered categories the mean is that of
        their numbers 1, ..., K, and ``"probability"`` gives P(Y = k | eta) of each of them.
    random_effects : "all", "none" or list of str
        Which grouping factors' effects to include. Those left out are at zero (a typical level),
        and their columns need not be in `data`.
    new_levels : {"error", "population", "sample", "average"} or mapping from factor to these
        What to do with levels that the fit did not see: refuse, put their effects at zero, draw
        them from N(0, G), or average E(y | eta), or probabilities, over N(0, G). A drawn level has
        the same effects in all its rows and in every order of the rows. Effects in sigma follow
        what is said of their factor, or of ``sigma_<factor>``; they matter for new observations
        only. With
        ``"population"`` a missing label is a level that the fit did not see.
    draws : int, optional
        How many draws of each chain to keep, evenly spaced; all of them without it.
    weights : column name or array, optional
        Positive weights of the rows for ``kind="response"``. Without it the training rows have the
        fit's own, and new rows those of the column that the fit took its weights from; where they
        lack it they have weight 1, with a warning.
    trials : column name, array or int, optional
        Numbers of trials of a binomial response for ``kind="response"``; as weights, except that
        new rows must have them.
    se : column name or array, optional
        Known standard errors of the rows for ``kind="response"``, where the fit had such; as
        trials.
    residual : {"marginal", "conditional"}
        Of a fit whose residuals correlate within groups: what to make of new rows of groups that
        the fit saw. ``"marginal"`` leaves the group's residuals aside; ``"conditional"`` adds what
        they tell of the new rows', a forecast. Without correlation both are the same.
    random_seed : int, optional
        Seed of new levels and new observations.

    Returns
    -------
    DataArray, dims (chain, draw, obs), of probabilities (chain, draw, obs, category)
        Named after the response, in its unit; ``obs`` holds the labels of the rows' index, or
        their numbers where they have none. For a million rows prefer `predict_table`, which
        holds a few of them at a time. ``attrs`` holds the kind, and `residual` where it counts.
        Of a REML fit there are no draws, and its dims are (obs).

    Raises
    ------
    ArgumentError
        When an argument is not one of its choices; when draws are asked of a REML fit; when the
        rows lack standard errors that the fit's had; or when the fit dropped columns and does not
        determine what is expected of a row.
    DataError
        When a column is missing or of another type, or a level is new and may not be.
    TreeError
        When `idata` is no tree of this package.

    Notes
    -----
    Where the mean is no linear function of eta, ``"population"`` and ``"average"`` answer two
    questions. The first is the mean of a typical group, g^-1(x'beta): half of the groups have a
    higher one. The second is the mean over all groups, :math:`\int g^{-1}(x'\beta + z'b) \,
    N(b; 0, G) \, db`: what a sample of many groups averages to. With sd 2 on the logit scale, a
    typical group's 0.73 is 0.65 over all groups. Of a Gaussian response both are X beta. Draws by
    ``"sample"`` average to the second one, with the scatter of a single group.

    Residuals with a covariance R are drawn by their groups: rows of one group, new ones too,
    correlate as those of the fit. With e_1 = y - eta of the fit's rows of a group and R in blocks,
    ``residual="conditional"`` adds

    .. math:: E(e_2 \mid e_1) = R_{21} R_{11}^{-1} e_1, \quad
              \mathrm{Var}(e_2 \mid e_1) = R_{22} - R_{21} R_{11}^{-1} R_{12}

    to the rows' eta and variance, draw by draw: h steps beyond the last row of an AR(1) series
    rho^h times its residual. A row at the very time of one that was fitted repeats its residual.

    References
    ----------
    Gelman & Hill (2007), Data Analysis Using Regression and Multilevel/Hierarchical Models,
    Cambridge University Press, section 12.8, for predictions in old and new groups;
    Zeger, Liang & Albert (1988), Biometrics 44(4):1049-1060, doi 10.2307/2531734, for typical and
    averaged means.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> bl.predict(idata, {"x": [0.0, 2.0]}, random_effects="none").mean(("chain", "draw")).values
    array([1., 5.])
    """
    import xarray as xr  # noqa: PLC0415 - slow to import

    if isinstance(idata, REMLFit):
        check_choice("kind", kind, KINDS)
        check_choice("residual", residual, RESIDUALS)
        told = Asked(kind, random_effects, new_levels, draws, weights, trials, se, residual)
        found = predicted(idata, data, told)
        return xr.DataArray(found, attrs={"kind": kind, "formula": idata.formula})
    asked = _Asked(kind, residual, draws, random_seed)
    predictor = asked.predictor(
        idata,
        data,
        random_effects=random_effects,
        new_levels=new_levels,
        weights=weights,
        trials=trials,
        se=se,
    )
    categories = asked.categories(predictor)
    values = np.empty((predictor.n, predictor.size, *map(len, categories.values())))
    for rows, chunk in asked.chunks(idata, predictor):
        values[rows] = chunk
    correlated = predictor.residual is not None and predictor.residual.correlated
    noted = {"residual": residual} if correlated else {}
    posterior = read.group(idata, "posterior")
    return xr.DataArray(
        np.moveaxis(values, 0, 1).reshape(*predictor.shape, predictor.n, *values.shape[2:]),
        dims=("chain", "draw", names.OBS, *categories),
        coords={
            "chain": posterior["chain"],
            "draw": posterior["draw"][predictor.kept],
            names.OBS: predictor.design.obs,
            **categories,
        },
        name=str(idata.attrs["response"]),
        attrs={"kind": kind, "formula": str(idata.attrs["formula"]), **noted},
    )


@names_keywords
def predict_table(
    idata: Fit,
    data: Any = None,
    *,
    kind: Kind = "mean",
    random_effects: str | Sequence[str] = "all",
    new_levels: Policy | Mapping[str, Policy] = "error",
    draws: int | None = None,
    weights: Any = None,
    trials: Any = None,
    se: Any = None,
    residual: Residual = "marginal",
    random_seed: int | None = None,
    columns: bool = False,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
) -> pd.DataFrame:
    """Describe the predictions of rows, in memory that does not grow with rows times draws.

    Parameters
    ----------
    idata, data, kind, random_effects, new_levels, draws, weights, trials, se, residual, random_seed
        As in `predict`.
    columns : bool
        Whether to put the rows' own columns first: all of `data`'s, or those that the model used
        of its training rows.
    ci_prob : float
        Probability of the interval.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval.

    Returns
    -------
    DataFrame
        One row per row of `data`, with its index: ``mean``, ``sd``, ``median`` and the interval,
        exact over the draws that are kept. For ``kind="response"`` it is a prediction interval; for
        ``kind="probability"`` there is a row for each row and category, the latter in the index.
        Of a REML fit ``estimate``, ``std_error`` and Wald's ``lower`` and ``upper``: what fixed and
        random effects are uncertain by at the estimated variances, together; for
        ``kind="response"`` with the residual's variance, for ``new_levels="sample"`` with z'Gz.

    Raises
    ------
    ArgumentError, DataError, TreeError
        As in `predict`; also when one of the rows' own columns is called ``mean``, say.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> rows = {"x": [0.0, 2.0], "g": ["a", "new"]}
    >>> found = predict_table(idata, rows, new_levels="population", columns=True)
    >>> found[["x", "g", "mean"]]
           x    g  mean
    obs
    0    0.0    a   2.0
    1    2.0  new   5.0
    """
    check_interval(ci_prob, ci_kind)
    if isinstance(idata, REMLFit):
        check_choice("kind", kind, KINDS)
        check_choice("residual", residual, RESIDUALS)
        told = Asked(kind, random_effects, new_levels, draws, weights, trials, se, residual)
        numbers = predicted_table(idata, data, told, ci_prob)
        own = [own_columns(idata, data, numbers)] if columns else []
        return pd.concat([*own, numbers], axis=1)
    asked = _Asked(kind, residual, draws, random_seed)
    predictor = asked.predictor(
        idata,
        data,
        random_effects=random_effects,
        new_levels=new_levels,
        weights=weights,
        trials=trials,
        se=se,
    )
    tables, places = [], []
    categories = asked.categories(predictor)
    count = int(np.prod([len(labels) for labels in categories.values()], dtype=np.int64))
    for rows, chunk in asked.chunks(idata, predictor):
        flat = np.moveaxis(chunk, 1, 0).reshape(1, predictor.size, -1)
        described = describe(flat, ci_prob, ci_kind, diagnostics=False)
        tables.append(pd.DataFrame(described))
        places.append(np.repeat(np.arange(predictor.n)[rows], count))
    table = pd.concat(tables).iloc[np.argsort(np.concatenate(places), kind="stable")]
    obs = pd.Index(predictor.design.obs, name=names.OBS)
    index = pd.MultiIndex.from_product([obs, *categories.values()], names=[names.OBS, *categories])
    table = table.set_axis(index if categories else obs)
    if not columns:
        return table
    repeated = own_columns(idata, data, table.set_axis(np.repeat(obs, count)))
    return pd.concat([repeated.set_axis(table.index), table], axis=1)


@dataclass(frozen=True)
class _Asked:
    """What of rows is asked for: the arguments of `predict` by these names."""

    kind: Kind
    residual: Residual
    draws: int | None
    random_seed: int | None

    def predictor(
        self, idata: xr.DataTree, data: Any, *, weights: Any, trials: Any, se: Any, **options: Any
    ) -> LinearPredictor:
        """Check the arguments, and return the linear predictor of the rows.

        Parameters
        ----------
        idata, data, weights, trials, se
            As in `predict`.
        **options
            Of `linear_predictor`.
        """
        check_choice("kind", self.kind, KINDS)
        check_choice("residual", self.residual, RESIDUALS)
        policies = options["new_levels"]
        if self.kind not in AVERAGES:
            way = "take kind='mean', or new_levels='sample', which draws a group."
            refuse_average(policies, f"kind={self.kind!r}", way)
        ahead = self.residual == "conditional"
        if ahead and data is None:
            raise ArgumentError(
                "residual='conditional' foretells new rows from the residuals of the fit's own, "
                "and without data= there are no others: give new rows, or leave residual out."
            )
        if ahead:
            way = "take new_levels='population' or 'sample'."
            refuse_average(policies, "residual='conditional'", way)
        drawn = self.kind == "response"
        # Means of responses that are not Gaussian themselves take the rows' variances.
        of_mean = self.kind == "mean" and not is_additive(family(idata))
        return linear_predictor(
            idata,
            data,
            draws=self.draws,
            weights=row_weights(idata, data, weights) if drawn else weights,
            trials=row_trials(idata, data, trials) if drawn else trials,
            se=se,
            residual=drawn or ahead or of_mean,
            random_seed=self.random_seed,
            any_position=True,
            **options,
        )

    def categories(self, predictor: LinearPredictor) -> dict[str, list[str]]:
        """Return the dimension behind those of rows and draws, with its labels, if any."""
        if self.kind != "probability":
            return {}
        return {names.CATEGORY: list(require_ordered(predictor.family).categories)}

    def chunks(
        self, idata: xr.DataTree, predictor: LinearPredictor
    ) -> Iterator[tuple[slice | NDArray[np.intp], NDArray[np.float64]]]:
        """Yield rows with the draws of what is asked for, shape (rows, s)."""
        # One stream over rows in order, so that the noise does not depend on the size of a chunk.
        generator = np.random.default_rng([check_seed(self.random_seed), 1])
        own = predictor.residual
        if self.residual == "conditional" and own is not None and own.correlated:
            yield from self._ahead(idata, predictor, generator)
            return
        if self.kind == "response":
            for rows, eta in predictor.joint_chunks():
                yield rows, predictor.draw(rows, eta, generator)
            return
        for rows, eta in predictor.chunks():
            if self.kind == "probability":
                phi, parts = predictor.parameters(rows), predictor.parts
                yield rows, ordered_probabilities(predictor.family, eta, phi, parts, rows)
            else:
                yield rows, predictor.expected(rows, eta) if self.kind == "mean" else eta

    def _ahead(
        self, idata: xr.DataTree, predictor: LinearPredictor, generator: np.random.Generator
    ) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Yield all rows at once, given the residuals of their groups."""
        known, rest = known_residuals(idata, predictor, self.draws)
        assert predictor.residual is not None  # noqa: S101 - the caller looked
        mean, sd, drawn = forecast(known, rest, predictor.residual.rows, generator)
        everything = slice(0, predictor.n)
        eta, member = predictor.rows(everything), predictor.family
        if self.kind == "link":
            yield everything, eta + mean
        elif self.kind == "mean":
            yield everything, member.mean(eta + mean, {names.SIGMA: sd})
        else:
            scale = member.gaussian_scale
            assert scale is not None  # noqa: S101 - families with a residual covariance have one
            yield everything, scale.inverse(eta + drawn)
