"""A PyMC model that does not predict from parameters which PyMC would draw from the prior.

`pm.sample_posterior_predictive` draws every free variable that a trace lacks from its prior, with
no word. A result tree holds ``beta`` and ``b_<factor>`` instead of what they are computed from, so
that replicates would spread as the prior's do. PyMC reuses them where `freeze_vars` names them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pymc as pm
from pytensor.graph.traversal import ancestors

from bayeslmm import names
from bayeslmm.errors import TreeError

if TYPE_CHECKING:
    from collections.abc import Sequence


class LinearMixedModel(pm.Model):  # type: ignore[misc]
    """A `pymc.Model` that knows which of its variables a result tree holds.

    Attributes
    ----------
    response : str
        The name of the response.
    in_tree : tuple of str
        The variables of a result tree, but for correlations.
    effects : list of str
        Free variables that PyMC may draw anew where the parameters are given: those of new levels.
    integrates_effects : bool
        Whether the response's distribution has the effects integrated out, so that no draw of
        them enters it.
    adaptation : str
        Which mass matrices nutpie learns: ``"diag"``, or ``"low_rank"`` of models whose effects
        trade with intercepts and stay parameters even of a Gaussian response.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.response = ""
        self.in_tree: tuple[str, ...] = ()
        self.effects: list[str] = []
        self.integrates_effects = False
        self.adaptation = "diag"

    def compile_fn(self, outs: Any, *, inputs: Sequence[Any] | None = None, **kwargs: Any) -> Any:
        """Compile a function of the model's variables, as PyMC does.

        Raises
        ------
        TreeError
            If some parameters are given and others would be drawn from their priors.
        """
        # Densities are functions of value variables; drawing forward, of the variables themselves.
        variables = {*self.free_RVs, *self.deterministics}
        given = [one for one in inputs or () if one in variables]
        if given:
            self._require_parameters(outs if isinstance(outs, list | tuple) else [outs], given)
        return super().compile_fn(outs, inputs=inputs, **kwargs)

    def _require_parameters(self, outs: Sequence[Any], given: Sequence[Any]) -> None:
        if self.integrates_effects and any(one.name == self.response for one in outs):
            raise TreeError(
                f"Where the effects are integrated out, PyMC would draw {self.response!r} with "
                "fixed and random effects from their priors, not from the posterior. Take "
                "add_posterior_predictive(trace), which needs no PyMC, or a model that is built "
                "with parametrization='noncentered'."
            )
        reached = set(ancestors(outs, blockers=given)) - set(given)
        drawn = [one.name for one in self.free_RVs if one in reached]
        if all(name in self.effects for name in drawn):
            return
        # Standard deviations that are free variables, so that PyMC is not in doubt about them.
        wanted = [
            name
            for name in self.in_tree
            if not name.startswith(names.SD_PREFIX)
            or names.is_of_residuals(name)
            or self[name] in self.free_RVs
        ]
        raise TreeError(
            f"PyMC would draw {', '.join(drawn)} from the prior, since the trace lacks them. A "
            f"tree of fit_bayes has {', '.join(wanted)} in their place: write "
            f"pm.sample_posterior_predictive(trace, freeze_vars={wanted!r}), or "
            "add_posterior_predictive(trace), which needs no PyMC."
        )
