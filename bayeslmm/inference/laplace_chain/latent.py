"""A model's rows, elimination plan and normal prior as the compiled chain reads them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.arrays import for_kernels
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.gram.gram import Gram
from bayeslmm.kernels.laplace_chain.mode import Prior
from bayeslmm.kernels.laplace_chain.moves import laplace_many
from bayeslmm.model.plan_rows import plan_rows

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.design import Design
    from bayeslmm.gram.elimination_plan import EliminationPlan
    from bayeslmm.kernels.laplace_chain.rows import Rows

_LOG_2PI = float(np.log(2.0 * np.pi))


def elimination_plan(design: Design) -> EliminationPlan:
    """Return the order in which a design's effects are eliminated, whatever its response.

    Parameters
    ----------
    design : Design
        The rows; neither response nor weights are looked at.

    Returns
    -------
    EliminationPlan
        Of cross-products whose values are of no use here.
    """
    return _which_meet(design).plan


def count_border_of(design: Design) -> int:
    """Count the columns that a design's crossed factors leave; nothing is laid out."""
    return _which_meet(design).n_border


def _which_meet(design: Design) -> Gram:
    zeros = replace(design, family=GAUSSIAN, y=np.zeros(design.n), weights=None, trials=None)
    return Gram.from_design(zeros)


@dataclass(frozen=True, eq=False)
class LatentModel:
    r"""Everything about y, u and beta given theta, in the coordinates of compiled code.

    .. math:: y_r \sim p(\cdot \mid \eta_r, \phi), \quad
              \eta = X \beta + \sum_k Z_k L_k u_k + o, \quad u \sim N(0, I), \quad
              \beta \sim N(m, S)

    Fixed effects are R beta there, with X = Xs R and the columns of Xs orthogonal.

    Attributes
    ----------
    rows : Rows
        Sorted by the levels of the finest factor.
    prior : Prior
        Of R beta.
    root : ndarray, shape (p, p)
        R.
    order : tuple of int
        The plan's factors in the design's order.
    sizes : tuple of (int, int)
        Levels and columns of each factor, in the design's order.
    columns : tuple of int
        First column of each factor in a joint solution, in the design's order.
    n_random : int
        Number of random-effect columns.
    """

    rows: Rows
    prior: Prior
    root: Floats
    order: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    columns: tuple[int, ...]
    n_random: int

    @classmethod
    def of(cls, design: Design, plan: EliminationPlan, prior: tuple[Floats, Floats]) -> LatentModel:
        """Lay out a design.

        Parameters
        ----------
        design : Design
            The rows, their family, and weights or trials.
        plan : EliminationPlan
            Of their cross-products.
        prior : (ndarray, ndarray)
            Mean and precision of the fixed effects.

        Returns
        -------
        LatentModel
        """
        n, p = design.X.shape
        Xs, root = np.linalg.qr(design.X) if p else (design.X, np.zeros((0, 0)))
        Xs, root = Xs * np.sqrt(n), root / np.sqrt(n)
        rows, _ = plan_rows(design, plan, Xs, [factor.columns for factor in design.factors])
        return cls(
            rows=rows,
            prior=_turned(prior, root),
            root=root,
            order=plan.order,
            sizes=tuple((len(f.levels), len(f.terms)) for f in design.factors),
            columns=tuple(plan.columns),
            n_random=plan.n_columns,
        )

    @property
    def size(self) -> int:
        """Number of effects, fixed ones included."""
        return self.n_random + len(self.root)

    def private(self) -> LatentModel:
        """Return the same with sums of its own, for a thread of its own."""
        rows = self.rows._replace(floats=self.rows.floats.copy())
        return LatentModel(
            rows, self.prior, self.root, self.order, self.sizes, self.columns, self.n_random
        )

    def start(self) -> Floats:
        """Return effects of zero and fixed effects at their prior's mean, shape (size,)."""
        return np.concatenate([np.zeros(self.n_random), self.prior.mean])

    def values(
        self, lams: Floats, phis: Floats, starts: Floats, eps: Floats | None, tolerance: float
    ) -> tuple[Floats, Floats, Floats, Floats, Ints]:
        """Return what `laplace_many` does; at the modes where `eps` is None."""
        given = np.zeros((len(lams), self.size)) if eps is None else eps
        return laplace_many(self.rows, self.prior, lams, phis, starts, given, tolerance)

    def fixed_effects(self, effects: Floats) -> Floats:
        """Return beta, shape (..., p), of effects (..., size)."""
        return self.raw_beta(effects[..., self.n_random :])

    def raw_beta(self, inner: Floats) -> Floats:
        """Return beta of R beta, shape (..., p)."""
        return np.linalg.solve(self.root, inner[..., None])[..., 0] if len(self.root) else inner

    def random_effects(self, effects: Floats, factors: list[Floats]) -> list[Floats]:
        """Return b = L u of each factor, shapes (s, m, q), of effects (s, size).

        Parameters
        ----------
        effects : ndarray, shape (s, size)
            u in the plan's order, then fixed effects.
        factors : list of ndarray, shapes (s, q, q)
            L of each factor, in the design's order.
        """
        out = []
        for (m, q), first, L in zip(self.sizes, self.columns, factors, strict=True):
            u = effects[:, first : first + m * q].reshape(-1, m, q)
            out.append(np.einsum("sij,smj->smi", L, u))
        return out


def _turned(prior: tuple[Floats, Floats], root: Floats) -> Prior:
    """Carry the prior of beta to R beta, with the constant of its log-density."""
    mean, precision = prior
    p = len(mean)
    back = np.linalg.inv(root) if p else root
    turned = back.T @ precision @ back
    constant = 0.0
    if p:
        sign, logdet = np.linalg.slogdet(turned)
        constant = 0.5 * (logdet - p * _LOG_2PI) if sign > 0 else 0.0
    return Prior(
        for_kernels("prior mean", root @ mean, np.float64, (p,)),
        for_kernels("prior precision", 0.5 * (turned + turned.T), np.float64, (p, p)),
        float(constant),
    )
