"""What the parameters of a factor's G are called in result trees and tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

from bayeslmm import names
from bayeslmm.model.covariance.factors import theta_names
from bayeslmm.model.covariance.kinds import ONE_SD
from bayeslmm.model.covariance.of_matrix import OfMatrix

if TYPE_CHECKING:
    from bayeslmm.arrays import Blocks
    from bayeslmm.design.grouping import BlockStructure
    from bayeslmm.model.covariance.structure import CovarianceStructure

    Columns = tuple[int, ...]


def own_parameters(structure: CovarianceStructure) -> tuple[str, ...]:
    """Return what a structure calls its own numbers, if they have names."""
    return structure.parameters if isinstance(structure, OfMatrix) else ()


class CovarianceNames(ABC):
    """Names of a `BlockCovariance`'s parameters, by its factor, terms and members."""

    name: str
    terms: tuple[str, ...]
    members: tuple[tuple[CovarianceStructure, Columns], ...]
    said: tuple[tuple[BlockStructure, Columns], ...]

    @property
    @abstractmethod
    def sd_leads(self) -> Columns:
        """The first column of each standard deviation."""

    @cached_property
    @abstractmethod
    def independent(self) -> Blocks:
        """The finest partition of the columns into independent sets."""

    @property
    @abstractmethod
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Columns whose correlation is free."""

    @property
    def sd_name(self) -> str:
        """Name of the standard deviations in a result tree."""
        return names.sd(self.name)

    @property
    def corr_name(self) -> str:
        """Name of the correlation matrix in a result tree."""
        return names.corr(self.name)

    @property
    def sd_labels(self) -> tuple[str, ...]:
        """The term of each standard deviation, or what terms that share it begin with."""
        return tuple(name[len(self.sd_name) + 1 : -1] for name in self.sd_names)

    @property
    def parameter_labels(self) -> tuple[tuple[str, str], ...]:
        """Names of structures' own numbers, and what their columns' names begin with."""
        labels = [
            self._stem(columns)
            for structure, columns in self.members
            for _ in own_parameters(structure)
        ]
        return tuple((name, label) for (name, _), label in
                     zip(self.parameter_names, labels, strict=True))  # fmt: skip

    @property
    def sd_names(self) -> tuple[str, ...]:
        """Name of each standard deviation: ``"sd_<factor>[<term>]"``, or of what terms share."""
        shared = {columns[0]: self._stem(columns) for at, columns in self.said
                  if at.kind in ONE_SD}  # fmt: skip
        labels = [shared.get(j, self.terms[j]) for j in self.sd_leads]
        return tuple(f"{self.sd_name}[{label}]" for label in labels)

    @cached_property
    def parameter_names(self) -> tuple[tuple[str, int], ...]:
        """Names of structures' own numbers in a result tree, with each one's place in partials."""
        own, at = [], 0
        several = sum(bool(own_parameters(structure)) for structure, _ in self.members) > 1
        for structure, columns in self.members:
            for k, _ in enumerate(own_parameters(structure)):
                label = self._stem(columns) if several else ""
                own.append((names.rho(self.name, label), at + k))
            at += structure.n_partials
        return tuple(own)

    def _stem(self, columns: Columns) -> str:
        """Return what the names of columns such as ``week[2]`` begin with."""
        heads = {self.terms[j].rpartition("[")[0] or self.terms[j] for j in columns}
        return heads.pop() if len(heads) == 1 else ", ".join(self.terms[j] for j in columns)

    @property
    def correlation_names(self) -> tuple[str, ...]:
        """Name of each free correlation, ``"corr_<factor>[<term>, <term>]"``, as in `pairs`."""
        terms = self.terms
        return tuple(f"{self.corr_name}[{terms[i]}, {terms[j]}]" for i, j in self.pairs)

    @property
    def n_theta(self) -> int:
        """Number of Lambda's free entries."""
        return sum(len(columns) * (len(columns) + 1) // 2 for columns in self.independent)

    @property
    def theta_names(self) -> list[str]:
        """Names of Lambda's free entries, set by set of `independent` (`factors.theta_names`)."""
        return [
            name
            for columns in self.independent
            for name in theta_names(self.name, tuple(self.terms[j] for j in columns))
        ]
