"""`custom_family`: a response family from a log-density that PyTensor writes."""

from __future__ import annotations

import keyword
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayeslmm.errors import ArgumentError, check_choice, names_keywords
from bayeslmm.families.custom import RESPONSES, CustomFamily, remember
from bayeslmm.families.family import FamilyParameter
from bayeslmm.families.links import LINKS
from bayeslmm.families.registry import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bayeslmm.arrays import Floats

type ResponseKind = Literal["numbers", "positive", "proportions", "counts", "binary", "successes"]

# What a parameter cannot be called: what functions are given beside it, and a model's own names.
_TAKEN = {"y", "eta", "rng", "trials", "weights", "beta", "sd", "corr", "scheme"}
_PREFIXES = ("sd_", "corr_", "b_", "beta_")


@names_keywords
def custom_family(
    name: str,
    logp: Callable[..., Any],
    *,
    parameters: Sequence[FamilyParameter] = (),
    response: ResponseKind = "numbers",
    link: str = "identity",
    mean: Callable[..., Floats] | None = None,
    draw: Callable[..., Floats] | None = None,
    variance: Callable[..., Floats] | None = None,
    cdf: Callable[..., Floats] | None = None,
    log_density: Callable[..., Floats] | None = None,
) -> CustomFamily:
    r"""Return a response family of your own, from its log-density.

    .. math:: y_i \sim p(\cdot \mid \eta_i, \phi), \quad \eta = X \beta + \sum_k Z_k b_k + o

    Models with it are sampled by NUTS, with the effects as parameters. Summaries, predictions and
    leave-one-out ask the functions below, which work on arrays of any shape, number by number:
    rows along one axis, draws along another. Parameters are handed over by their names, and the
    numbers of trials of ``response="successes"`` as ``trials``.

    Parameters
    ----------
    name : str
        What to call it. A family of this name that was made before is forgotten.
    logp : callable
        ``logp(y, eta, **parameters)``: log p(y_i | eta_i, phi) of each row, in PyTensor.
    parameters : sequence of FamilyParameter, default ()
        phi: names, default priors and bounds, each a number; without a prior a scale in the
        response's unit, whose prior is derived from the data.
    response : str, default "numbers"
        What responses are: ``"numbers"``, ``"positive"``, ``"proportions"`` (strictly between 0
        and 1), ``"counts"``, ``"binary"`` (0 and 1) or ``"successes"`` (with ``trials=``).
    link : str, default "identity"
        From eta to the mean where `mean` is not given, and in any case the scale on which default
        priors are stated: ``"identity"``, ``"log"``, ``"logit"``, ``"probit"`` or ``"cloglog"``.
    mean : callable, optional
        ``mean(eta, **parameters)``: E(y); of successes per trial.
    draw : callable, optional
        ``draw(eta, rng=..., **parameters)``: a y for each eta. Binary responses and successes are
        drawn by their means.
    variance, cdf : callable, optional
        ``variance(eta, **parameters)`` and ``cdf(y, eta, **parameters)``, for Pearson's and for
        quantile residuals. Of binary responses they follow from the mean.
    log_density : callable, optional
        `logp` of arrays, where NumPy or SciPy is quicker than what PyTensor evaluates.

    Returns
    -------
    CustomFamily
        For ``family=``. Its name alone does for the rest of the process; a result that is read in
        another one wants the same call there first.

    Raises
    ------
    ArgumentError
        If the name is a built-in family's or no name, there is no such response or link, a
        parameter's name is taken, or something is no function.

    See Also
    --------
    fit_bayes : takes it as ``family=``.

    References
    ----------
    Wichmann & Hill (2001), The psychometric function: I. Fitting, sampling, and goodness of fit,
    Perception & Psychophysics 63:1293-1313, doi:10.3758/BF03194544, for the example.

    Examples
    --------
    Answers to stimuli, of which some are given with eyes shut: a share of lapses, wherever the
    stimulus is, beside a logistic curve.

    >>> import bayeslmm as bl
    >>> import numpy as np
    >>> import pytensor.tensor as pt
    >>> from scipy.special import expit
    >>> def logp(y, eta, lapse):
    ...     p = 0.5 * lapse + (1 - lapse) * pt.sigmoid(eta)
    ...     return pt.log(pt.switch(pt.eq(y, 1), p, 1 - p))
    >>> def mean(eta, lapse):
    ...     return 0.5 * lapse + (1 - lapse) * expit(eta)
    >>> lapse = bl.FamilyParameter("lapse", "share of lapses", "Beta(1, 19)", upper=1.0)
    >>> family = bl.custom_family(
    ...     "psychometric", logp, parameters=[lapse], response="binary", link="logit", mean=mean
    ... )
    >>> y, eta = np.array([0.0, 1.0]), np.array(3.0)
    >>> family.log_density(y, eta, {"lapse": 0.1}, None).round(4)
    array([-2.3786, -0.0973])
    """
    if not isinstance(name, str) or not name.strip() or name in FAMILIES:
        what = "is a family already" if name in FAMILIES else "is no name"
        raise ArgumentError(f"name={name!r} {what}: choose another for a family of your own.")
    check_choice("response", response, tuple(RESPONSES))
    check_choice("link", link, tuple(LINKS))
    functions = {
        "logp": logp, "mean": mean, "draw": draw, "variance": variance, "cdf": cdf,
        "log_density": log_density,
    }  # fmt: skip
    for what, function in functions.items():
        if not callable(function) and (function is not None or what == "logp"):
            raise ArgumentError(f"{what}= is a function; it was {function!r}.")
    own = tuple(parameters)
    for parameter in own:
        _require_parameter(parameter)
    names = tuple(parameter.name for parameter in own)
    if len(set(names)) < len(names):
        raise ArgumentError(f"The parameters {', '.join(names)} have a name twice: rename one.")
    density = log_density or CompiledDensity(name, logp, discrete=RESPONSES[response][1])
    return remember(
        CustomFamily(name, LINKS[link], own, response, logp, density, mean, variance, cdf, draw)
    )


def _require_parameter(parameter: FamilyParameter) -> None:
    if not isinstance(parameter, FamilyParameter):
        raise ArgumentError(
            "parameters= is a list such as [FamilyParameter('lapse', 'share of lapses', "
            f"'Beta(1, 19)', upper=1.0)]; it holds {parameter!r}."
        )
    name = parameter.name
    spelt = name.isidentifier() and not keyword.iskeyword(name)
    if not spelt or name in _TAKEN or name.startswith(_PREFIXES):
        raise ArgumentError(
            f"A family's parameter cannot be called {name!r}: take a name of letters and digits "
            "that is none of a model's own."
        )
    if parameter.labels or parameter.below_response:
        raise ArgumentError(
            f"The parameter {name!r} of a family of your own is one number between bounds that do "
            "not depend on the data: leave labels and below_response out."
        )


@dataclass(eq=False)
class CompiledDensity:
    """A log-density that PyTensor writes, of arrays.

    Parameters
    ----------
    name : str
        The family's name.
    logp : callable
        (y, eta, **parameters) -> tensor.
    discrete : bool
        Whether y are whole numbers.
    """

    name: str
    logp: Callable[..., Any]
    discrete: bool
    _compiled: Callable[..., Floats] | None = None

    def __call__(self, y: Floats, eta: Floats, **others: Floats) -> Floats:
        """Evaluate it where arrays, broadcast against each other, meet."""
        arrays = np.broadcast_arrays(y, eta, *others.values())
        if self._compiled is None:
            self._compiled = self._compile(tuple(others))
        flat = [np.ascontiguousarray(array, dtype=float).ravel() for array in arrays]
        values = self._compiled(*flat)
        return np.asarray(values, dtype=float).reshape(arrays[0].shape)

    def __getstate__(self) -> dict[str, Any]:
        # Compiled functions stay in their process.
        return {**self.__dict__, "_compiled": None}

    def _compile(self, names: tuple[str, ...]) -> Callable[..., Floats]:
        import pytensor  # noqa: PLC0415 - seconds, for who asks for densities alone
        import pytensor.tensor as pt  # noqa: PLC0415

        inputs = [pt.dvector(name) for name in ("y", "eta", *names)]
        y = pt.cast(inputs[0], "int64") if self.discrete else inputs[0]
        value = log_density_of(self.name, self.logp, y, *inputs[1:], names=names)
        # Nothing is compiled: each operation is one of NumPy's on whole arrays.
        mode = pytensor.compile.mode.Mode(linker="py", optimizer="fast_compile")
        function: Callable[..., Floats] = pytensor.function(
            inputs, value, mode=mode, on_unused_input="ignore"
        )
        return function


def log_density_of(
    family: str, logp: Callable[..., Any], y: Any, eta: Any, *others: Any, names: Sequence[str]
) -> Any:
    """Return a user's log-density of rows as a graph.

    Parameters
    ----------
    family : str
        The family's name.
    logp : callable
        The user's.
    y, eta : tensor, shape (n,)
        Responses and linear predictors.
    *others : tensor
        Parameters, and the numbers of trials.
    names : sequence of str
        What they are called.

    Raises
    ------
    ArgumentError
        If the function fails, or does not answer a number for each row.
    """
    try:
        value = logp(y, eta, **dict(zip(names, others, strict=True)))
    except Exception as error:
        raise ArgumentError(
            f"logp of family {family!r} failed with tensors y, eta"
            f"{''.join(f', {name}' for name in names)}: {error}. It is written in PyTensor, as in "
            "pt.log(pt.sigmoid(eta))."
        ) from error
    if getattr(value, "ndim", None) != 1:
        raise ArgumentError(
            f"logp of family {family!r} answered {value!r}: it has to be a tensor with the "
            "log-density of each row, not their sum."
        )
    return value
