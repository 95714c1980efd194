"""The exceptions and warnings of the package, split by who must act."""

from __future__ import annotations

import difflib
import inspect
import math
import warnings
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


# The whole package, whatever the depth of the file that warns.
_PACKAGE = (str(Path(__file__).parent),)


class BayesLMMError(Exception):
    """Root of every error that this package raises on purpose."""


class FormulaError(BayesLMMError, ValueError):
    """The formula's text must be changed.

    Parameters
    ----------
    message : str
        What is wrong and what to write instead.
    text : str, optional
        The formula; shown under the message.
    span : tuple of int, optional
        Start and end (exclusive) of the culprit in `text`; carets are drawn under it.
    """

    def __init__(
        self, message: str, text: str | None = None, span: tuple[int, int] | None = None
    ) -> None:
        self.message = message
        self.text = text
        self.span = span
        super().__init__(message + _caret(text, span))


class DataError(BayesLMMError, ValueError):
    """The table must be changed, or another one given."""


class PriorError(BayesLMMError, ValueError):
    """A prior must be stated differently."""


class NumericalError(BayesLMMError, ArithmeticError):
    """The computation left the range of floating-point numbers; rescale the data."""


class SamplingError(BayesLMMError, ValueError):
    """The sampler's settings must be changed."""


class ArgumentError(BayesLMMError, ValueError):
    """An argument of the call must be changed: an unknown choice, or a value out of range."""


class KeywordError(ArgumentError, TypeError):
    """A keyword of the call must be changed or added: there is none of this name, or it lacks."""


class TreeError(BayesLMMError, ValueError):
    """A result tree lacks what the question needs, or was not made by this package."""


class SpecError(BayesLMMError, ValueError):
    """A model file (TOML) or a command-line argument must be changed."""


class BayesLMMWarning(UserWarning):
    """Root of every warning that this package issues."""


class DataWarning(BayesLMMWarning):
    """The data were used in a way that the user may not expect (rows or categories dropped)."""


class RankDeficiencyWarning(DataWarning):
    """Columns of the fixed effects were dropped because others already span them."""


class SingularFitWarning(BayesLMMWarning):
    """A variance component was estimated on the boundary of its space."""


class IdentificationWarning(BayesLMMWarning):
    """The data say nothing about a parameter: other values of it fit as well."""


class NumericalWarning(BayesLMMWarning):
    """A result was reached, but with less accuracy than asked for."""


class SamplingWarning(BayesLMMWarning):
    """The draws should not be trusted as they are; the message says what to try."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the caller's own line, however many of the package's functions lie between.

    Parameters
    ----------
    message : str
        What was done or found, and what can be done about it.
    category : type
        One of the warnings of this module.

    Examples
    --------
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn("Dropped 3 rows.", DataWarning)
    >>> print(caught[0].message)
    Dropped 3 rows.
    """
    warnings.warn(message, category, stacklevel=2, skip_file_prefixes=_PACKAGE)


def check_choice(argument: str, value: object, choices: Sequence[str]) -> None:
    """Raise unless an argument is one of its choices.

    Parameters
    ----------
    argument : str
        Its name.
    value : object
        What was given.
    choices : sequence of str
        What can be given.

    Raises
    ------
    ArgumentError
        If it is none of them; names the nearest.

    Examples
    --------
    >>> check_choice("missing", "dorp", ("drop", "raise"))
    Traceback (most recent call last):
    bayeslmm.errors.ArgumentError: missing is 'drop' or 'raise'; it was 'dorp'. Did you mean 'drop'?
    """
    if not isinstance(value, str) or value not in choices:
        *others, last = map(repr, choices)
        listed = f"{', '.join(others)} or {last}" if others else last
        raise ArgumentError(
            f"{argument} is {listed}; it was {value!r}.{nearest(str(value), choices)}"
        )


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Return a hint such as ``" Did you mean 'Days'?"``, or an empty string.

    Parameters
    ----------
    name : str
        What was asked for.
    candidates : iterable of str
        What exists.

    Returns
    -------
    str
        The hint, with a leading space.

    Examples
    --------
    >>> nearest("Dyas", ["Reaction", "Days"])
    " Did you mean 'Days'?"
    """
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return f" Did you mean {by_folded[close[0]]!r}?" if close else ""


# What other packages call the same thing.
_OTHER_NAMES = {
    "draws": ("iter", "iterations", "niter", "n_iter", "n_draws", "ndraws", "samples", "n_samples",
              "num_samples", "nsim"),
    "tune": ("warmup", "n_warmup", "num_warmup", "n_tune", "burnin", "burn_in"),
    "chains": ("n_chains", "num_chains", "nchains"),
    "cores": ("n_cores", "ncores", "cpus", "threads"),
    "n_jobs": ("workers",),
    "random_seed": ("seed", "random_state", "rng", "set_seed"),
    "target_accept": ("adapt_delta", "delta", "accept"),
    "ci_prob": ("prob", "level", "conf_level", "hdi_prob", "cred_mass", "ci"),
    "ci_kind": ("kind", "interval", "interval_type"),
    "priors": ("prior", "set_prior"),
    "sampler": ("backend", "nuts_sampler", "algorithm", "inference_method", "engine"),
    "parametrization": ("parameterization",),
    "progressbar": ("progress", "progress_bar", "refresh", "verbose"),
    "data": ("df", "table", "dataframe"),
    "formula": ("model", "f"),
    "weights": ("weight", "w"),
    "missing": ("na_action", "dropna", "na_rm"),
    "method": ("optimizer", "criterion"),
    "parameters": ("parm", "pars", "var_names"),
    "idata": ("fit", "trace", "tree", "posterior"),
    "fit": ("idata", "trace", "tree", "object"),
    "of": ("specs", "variables", "factor", "factors"),
    "contrasts": ("contrast", "interaction"),
    "as_draws": ("draws", "summary"),
    "random_effects": ("re_form", "re_formula", "levels"),
    "kind": ("type",),
    "zi": ("ziformula", "zi_formula"),
}  # fmt: skip
# Those whose values mean the same there.
_NUMBERS = ("draws", "tune", "chains", "cores", "n_jobs", "random_seed", "target_accept", "ci_prob")
_OF_EVENTS = (
    "Write cens=, a column that is 1 where a response is censored, not where it is an event"
)
_SENTENCES = {
    "family": "It is an argument of the fit, fit_bayes(..., family='bernoulli'), and a result has "
    "the one that it was fitted with",
    "link": "It is an argument of the fit, fit_bayes(..., link='probit'), and a result has the one "
    "that it was fitted with",
    "REML": "Write method='REML' or method='ML'",
    "dispformula": "What a family has beside the mean has a formula by its own name: phi='~ x' of "
    "shares, shape='~ x' of counts, sigma='~ x' of Gaussian responses",
    "status": _OF_EVENTS,
    "event": _OF_EVENTS,
}
_OF_SLOPES = (
    "Write at={'treatment': ['a', 'b']} for one at each level; for differences between levels, "
    "also of slopes: marginal_means(idata, 'week', by='treatment', at={'week': [0, 1]}, "
    "contrasts='pairwise', by_contrasts='pairwise')"
)
# What one function leaves to another one.
_ELSEWHERE = {
    ("compare_predictions", name): _OF_SLOPES for name in ("by", "contrasts", "by_contrasts")
} | {
    ("fit_reml", name): "REML is for Gaussian responses: fit_ml(formula, data, family='bernoulli') "
    "maximises the likelihood of others, and fit_bayes has their posterior"
    for name in ("family", "link", "trials")
}
_ELSEWHERE |= {
    ("fit_ml", name): "Parameters have predictors of their own in fit_bayes"
    for name in ("phi", "shape", "nu", "zi", "hu", "zoi", "coi", "disc", "alpha")
}
_ELSEWHERE |= {
    ("fit_ml", name): "Residuals of Gaussian responses have structures in fit_reml(..., "
    "method='ML') and in fit_bayes"
    for name in ("residual", "sigma", "se")
}
_OF_EXPOSURE = (
    "A known part of the linear predictor stands in the formula: offset(log(exposure)), with the "
    "column of exposures, for rates under a log link"
)
_ELSEWHERE |= {
    (function, name): _OF_EXPOSURE
    for function in ("fit_bayes", "fit_ml", "fit_reml", "build_model", "build_design")
    for name in ("offset", "exposure")
}
_VALUES = {("REML", "False"): "Write method='ML'", ("REML", "True"): "Write method='REML'"}


def names_keywords[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Let a public function answer keywords that are not its, or lack, and flags that are none.

    Parameters
    ----------
    function : callable
        Any; its signature and its docstring stay as they are.

    Returns
    -------
    callable
        The same, but that an unknown keyword raises a `KeywordError` that names the one that is
        meant, and a call without an argument that it needs one that names that; and that an
        argument whose default is True or False takes nothing else, since Python would take
        ``"no"`` for True.

    Examples
    --------
    >>> @names_keywords
    ... def fit(formula, *, draws=1000, random_seed=None):
    ...     return draws
    >>> fit("y ~ x", draws=20)
    20
    >>> fit("y ~ x", iter=20)
    Traceback (most recent call last):
    bayeslmm.errors.KeywordError: fit() has no argument 'iter'. Write draws=20.
    """
    return _answering(function, list(inspect.signature(function).parameters))


def passes_keywords_to[**P, R](
    *others: Callable[..., Any],
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function that hands further keywords to others answer those that none of them has.

    Parameters
    ----------
    *others : callable
        Who takes what its ``**settings`` hold.

    Returns
    -------
    callable
        A decorator that does what `names_keywords` does.

    Examples
    --------
    >>> def fit(*, draws=1000):
    ...     return draws
    >>> @passes_keywords_to(fit)
    ... def update(**settings):
    ...     return fit(**settings)
    >>> update(draws=20)
    20
    >>> update(iter=20)
    Traceback (most recent call last):
    bayeslmm.errors.KeywordError: update() has no argument 'iter'. Write draws=20.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        listed: dict[str, None] = {}
        for one in (function, *others):
            parameters = inspect.signature(one).parameters.values()
            listed |= {p.name: None for p in parameters if p.kind is not p.VAR_KEYWORD}
        return _answering(function, list(listed))

    return decorate


def _answering[**P, R](function: Callable[P, R], known: Sequence[str]) -> Callable[P, R]:
    """Return a function that raises for keywords that are none of the known ones."""
    parameters = inspect.signature(function).parameters.values()
    flags = [parameter.name for parameter in parameters if isinstance(parameter.default, bool)]
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    # By place, as far as they may be given by it.
    needed = [
        (math.inf if p.kind is p.KEYWORD_ONLY else place, p.name)
        for place, p in enumerate(parameters)
        if p.default is p.empty and p.kind not in variadic
    ]

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if unknown := kwargs.keys() - known - _parameters_of_own(function, kwargs):
            name = next(name for name in kwargs if name in unknown)
            advice = _ELSEWHERE.get((function.__name__, name)) or _advice(name, kwargs[name], known)
            raise KeywordError(f"{function.__name__}() has no argument {name!r}. {advice}.")
        if lacking := [name for place, name in needed if place >= len(args) and name not in kwargs]:
            raise KeywordError(
                f"{function.__name__}() needs {' and '.join(lacking)}, which this call does not "
                f"give. Its arguments are {', '.join(known)}."
            )
        for name in flags:
            if name in kwargs and not isinstance(kwargs[name], bool | np.bool_):
                raise ArgumentError(f"{name} is True or False; it was {kwargs[name]!r}.")
        return function(*args, **kwargs)

    return call


def _parameters_of_own(function: Callable[..., Any], kwargs: Mapping[str, Any]) -> set[str]:
    """Return the parameters of a family of the user's own, of which formulas may be given."""
    if not hasattr(function, "takes_formulas"):
        return set()
    return {parameter.name for parameter in getattr(kwargs.get("family"), "parameters", ())}


def _advice(name: str, value: Any, known: Sequence[str]) -> str:
    if "method" in known and (name, str(value)) in _VALUES:
        return _VALUES[name, str(value)]
    if name in _SENTENCES and (name != "REML" or "method" in known):
        return _SENTENCES[name]
    folded = name.casefold().replace(".", "_")
    for own in known:
        if folded in _OTHER_NAMES.get(own, ()):
            return f"Write {own}={value!r}" if own in _NUMBERS else f"Write {own}=... instead"
    hint = nearest(name, known)
    return f"{hint.strip()} Its arguments are {', '.join(known)}".strip()


def _caret(text: str | None, span: tuple[int, int] | None) -> str:
    if text is None:
        return ""
    shown = text.replace("\n", " ").replace("\t", " ")
    if span is None:
        return f"\n    {shown}"
    start, end = span
    return f"\n    {shown}\n    {' ' * start}{'^' * max(end - start, 1)}"
