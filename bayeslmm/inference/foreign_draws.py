"""Draws of other programs: found under their names, and put in the model's order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslmm.errors import TreeError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats

_SAMPLE = ("chain", "draw")


@dataclass(frozen=True)
class ForeignDraws:
    """Draws that another program made, by name.

    Attributes
    ----------
    posterior : Dataset
        The variables.
    stats : Dataset or None
        The sampler's statistics.
    """

    posterior: xr.Dataset
    stats: xr.Dataset | None = None

    @classmethod
    def read(cls, trace: Any) -> ForeignDraws:
        """Find the draws in what a program returned.

        Raises
        ------
        TreeError
            If there are none in it, or not by chain and draw.
        """
        if isinstance(trace, xr.Dataset):
            return cls(trace)
        if isinstance(trace, xr.DataTree) or hasattr(trace, "posterior"):
            if not hasattr(trace, "posterior"):
                present = ", ".join(getattr(trace, "children", ())) or "none"
                raise TreeError(f"The trace has no group 'posterior' (it has: {present}).")
            stats = getattr(trace, "sample_stats", None)
            return cls(_dataset(trace.posterior), None if stats is None else _dataset(stats))
        if isinstance(trace, Mapping):
            return cls(_from_arrays(trace))
        raise TreeError(
            f"A trace is a DataTree with a group 'posterior', a Dataset, or a mapping from names "
            f"to arrays (chain, draw, ...), not a {type(trace).__name__}."
        )

    @property
    def names(self) -> set[str]:
        """The names of its variables."""
        return {str(name) for name in self.posterior.data_vars}

    @property
    def program(self) -> str:
        """Which program drew, as far as the trace says."""
        attrs = self.posterior.attrs
        return str(attrs.get("inference_library", attrs.get("sampler", "another program")))

    @property
    def times(self) -> dict[str, float]:
        """What sampling took, as far as the trace says."""
        found = self.posterior.attrs.get("sampling_time")
        return {} if found is None else {"sampling_time": float(found)}

    def variable(self, name: str, labels: Mapping[str, Sequence[str]] | None = None) -> Floats:
        """Return a variable's draws in the model's order.

        Parameters
        ----------
        name : str
            Such as ``"sd_g"``.
        labels : mapping of str to sequence of str, optional
            Dimension -> the model's labels along it, in order; a number per draw without it.

        Returns
        -------
        ndarray, shape (chain, draw, ...)

        Raises
        ------
        TreeError
            If it is missing, or of another shape or with other labels.
        """
        labels = {} if labels is None else labels
        if name not in self.names:
            raise TreeError(
                f"The trace has no variable {name!r}.{nearest(name, self.names)} It has: "
                f"{', '.join(sorted(self.names)) or 'none'}."
            )
        array = self.posterior[name]
        if not set(_SAMPLE) <= set(array.dims):
            raise TreeError(
                f"The trace's {name!r} has the dimensions {_listed(array.dims)}: those of draws "
                "begin with chain and draw."
            )
        array = array.transpose(*_SAMPLE, ...)
        if set(labels) == set(array.dims[2:]):
            array = array.transpose(*_SAMPLE, *labels)
        wanted = tuple(len(each) for each in labels.values())
        found = array.shape[2:]
        # A single column may have no dimension of its own.
        if found != wanted[: len(found)] or any(size != 1 for size in wanted[len(found) :]):
            raise TreeError(
                f"The trace's {name!r} has the shape {found} behind chain and draw, and "
                f"the model's is {wanted}: {_described(labels)}."
            )
        for (dim, order), own in zip(labels.items(), array.dims[2:], strict=False):
            array = _in_order(array, str(own), dim, order)
        values = np.asarray(array.values, dtype=np.float64)
        return values.reshape(*values.shape[:2], *wanted)


def _in_order(array: xr.DataArray, own: str, dim: str, order: Sequence[str]) -> xr.DataArray:
    """Put one dimension in the model's order by its labels, where it has any."""
    if own not in array.coords:
        return array
    found = [str(label) for label in array.coords[own].values]
    numbered = found == [str(k) for k in range(len(found))]
    if found == list(order) or (numbered and own != dim):
        return array
    if sorted(found) == sorted(order):
        where = {label: place for place, label in enumerate(found)}
        return array.isel({own: [where[label] for label in order]})
    if numbered:
        return array
    foreign = next(label for label in found if label not in order)
    raise TreeError(
        f"The trace's {array.name!r} has {foreign!r} along {own!r}, which the model lacks there."
        f"{nearest(foreign, order)} It has {_some(order)}."
    )


def _dataset(group: Any) -> xr.Dataset:
    return group if isinstance(group, xr.Dataset) else group.to_dataset()


def _from_arrays(trace: Mapping[str, Any]) -> xr.Dataset:
    arrays = {str(name): np.asarray(values) for name, values in trace.items()}
    shapes = {name: values.shape[:2] for name, values in arrays.items()}
    short = [name for name, shape in shapes.items() if len(shape) < 2]
    if short or len(set(shapes.values())) > 1:
        name = short[0] if short else next(iter(shapes))
        other = next((key for key in shapes if shapes[key] != shapes[name]), name)
        shown = ", ".join(f"{key!r} {arrays[key].shape}" for key in dict.fromkeys((name, other)))
        raise TreeError(
            f"Arrays of draws have the shape (chain, draw, ...), the same for all: here are "
            f"{shown}. Of numpyro take mcmc.get_samples(group_by_chain=True)."
        )
    return xr.Dataset(
        {
            name: ((*_SAMPLE, *(f"{name}_dim_{k}" for k in range(values.ndim - 2))), values)
            for name, values in arrays.items()
        }
    )


def _described(labels: Mapping[str, Sequence[str]]) -> str:
    if not labels:
        return "one number"
    return " by ".join(f"{len(order)} of {dim!r} ({_some(order)})" for dim, order in labels.items())


def _some(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:5])
    return shown if len(labels) <= 5 else f"{shown}, ..."


def _listed(dims: Sequence[Any]) -> str:
    return ", ".join(map(str, dims)) or "none"
