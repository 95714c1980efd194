"""What stateful transforms learnt from the training rows, in JSON's types and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def store(memory: Mapping[str, Mapping[Any, Any]]) -> dict[str, Any]:
    """Return what transforms learnt in JSON's types, so that states compare and travel.

    Examples
    --------
    >>> store({"poly(x, 1)": {"alpha": {0: np.float64(4.5)}}})
    {'poly(x, 1)': {'alpha': {'__pairs__': [[0, 4.5]]}}}
    """
    return {call: _to_plain(learnt) for call, learnt in memory.items()}


def restore(stored: Mapping[str, Any]) -> dict[str, dict[Any, Any]]:
    """Return what `store` was given; it may be changed without changing the state.

    Examples
    --------
    >>> restore({"poly(x, 1)": {"alpha": {"__pairs__": [[0, 4.5]]}}})
    {'poly(x, 1)': {'alpha': {0: 4.5}}}
    """
    return {call: from_plain(learnt) for call, learnt in stored.items()}


def _to_plain(value: Any) -> Any:
    match value:
        case Mapping() if all(isinstance(key, str) for key in value):
            return {key: _to_plain(inner) for key, inner in value.items()}
        case Mapping():  # JSON's keys are text; poly's are powers
            return {"__pairs__": [[_to_plain(k), _to_plain(v)] for k, v in value.items()]}
        case np.ndarray() if value.ndim > 0:
            return {"__array__": value.tolist()}
        case np.ndarray() | np.generic():
            return value.item()
        case list() | tuple():
            return [_to_plain(inner) for inner in value]
        case _:
            return value


def from_plain(value: Any) -> Any:
    """Return one value that `store` was given."""
    match value:
        case {"__pairs__": pairs}:
            return {from_plain(k): from_plain(v) for k, v in pairs}
        case {"__array__": nested}:
            return np.array(nested)
        case Mapping():
            return {key: from_plain(inner) for key, inner in value.items()}
        case list():
            return [from_plain(inner) for inner in value]
        case _:
            return value
