"""A Gram in a file: NumPy's npz, versioned, without pickle; read only if it is whole.

Layout of version 1, a zip of npy arrays (little-endian, C order):

- ``header``: UTF-8 bytes of a JSON object with ``format`` ("bayeslmm.gram"), ``version``,
  ``response``, ``coef``, ``factors`` (``name``, ``terms``, ``blocks``, and ``arms``, those of
  ``gr(g, by=arm)``, where there are any), ``pairs`` (``first``, ``second``: places of factors),
  ``n``, ``sum_log_weights``, ``state`` (`DesignState.to_json` without levels, or null) and
  ``scales`` (`DataScales.to_dict`, or null)
- ``scale`` (p, p), ``slope`` (p,), ``cross`` (p + 1, p + 1): as in `Gram`
- for factor k: ``factor_k_levels`` (m,) of text, ``factor_k_scale`` (q, q), ``factor_k_within``
  (m, q, q), ``factor_k_with_fixed`` (m, q, p + 1), ``factor_k_counts`` (m,), and where there are
  any ``factor_k_fixed`` (m, p + 1, p + 1) and ``factor_k_log_weights`` (m,)
- for pair j: ``pair_j_rows`` and ``pair_j_cols`` (n_pairs,), ``pair_j_values``
  (n_pairs, q_first, q_second)
- where the residuals' scale has strata: ``strata`` in the header, with ``names``, ``count``
  and ``sum_of_variances``; ``strata_cells`` (S, r); and for stratum s all of this again, its
  names beginning with ``stratum_s_``

Arrays without elements are left out; ``empty`` in the header holds their shapes and types.
"""

from __future__ import annotations

import json
import lzma
import math
import os
import re
import struct
import tokenize
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.arguments import as_path
from bayeslmm.design.factors.arms import Arms
from bayeslmm.design.grouping import BlockStructure
from bayeslmm.design.scales import DataScales
from bayeslmm.design.state import DesignState
from bayeslmm.errors import DataError
from bayeslmm.gram.blocks import CrossProducts, GramFactor, PairBlocks, Strata
from bayeslmm.gram.check import check_gram
from bayeslmm.gram.strata import MOST_STRATA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

FORMAT, VERSION = "bayeslmm.gram", 1
_FACTOR = ("levels", "scale", "within", "with_fixed", "counts", "fixed", "log_weights")
_PAIR = ("rows", "cols", "values")
_EMPTY_KIND = re.compile(r"[<>|=]?[fiU]\d{1,4}")
_NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# What reading headers of every kind, and archives of every kind of damage, may raise.
_FOREIGN = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
_DAMAGED = (
    *(*_FOREIGN, OSError, EOFError, SyntaxError, RuntimeError, MemoryError),
    *(struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
# What all arrays may take beside the file's own size; a bomb of zeros shrinks a thousandfold.
_LEAST_ROOM, _MOST_SHRUNK = 1 << 26, 100


def save_gram(gram: CrossProducts, path: str | os.PathLike[str]) -> None:
    """Write a Gram to a file, all of it or nothing; see `Gram.save`."""
    gram.require_independent_levels("A file of cross-products")
    write_arrays(path, to_arrays(gram))


def load_gram[G: CrossProducts](cls: type[G], path: str | os.PathLike[str]) -> G:
    """Return the Gram that a file holds; see `Gram.load`."""
    return from_arrays(cls, read_arrays(path), str(path))


def to_arrays(gram: CrossProducts) -> dict[str, NDArray[Any]]:
    """Return a Gram as named arrays."""
    header = {
        "format": FORMAT,
        "version": VERSION,
        "response": gram.response,
        "coef": gram.coef,
        "factors": list(map(_described, gram.factors)),
        "pairs": [{"first": pair.first, "second": pair.second} for pair in gram.pairs],
        "n": gram.n,
        "sum_log_weights": gram.sum_log_weights,
        "state": None if gram.state is None else json.loads(gram.state.to_json(levels=False)),
        "scales": None if gram.scales is None else gram.scales.to_dict(),
    }
    if gram.likweight is not None:
        header["likweight"] = gram.likweight
    arrays: dict[str, NDArray[Any]] = {}
    arrays |= {"scale": gram.scale, "slope": gram.slope, "cross": gram.cross}
    for k, factor in enumerate(gram.factors):
        found = {f"factor_{k}_{name}": getattr(factor, name) for name in _FACTOR}
        arrays |= {name: array for name, array in found.items() if array is not None}
    for j, pair in enumerate(gram.pairs):
        arrays |= {f"pair_{j}_{name}": getattr(pair, name) for name in _PAIR}
    if gram.strata is not None:
        header["strata"] = {
            "names": gram.strata.names,
            "count": len(gram.strata.grams),
            "sum_of_variances": gram.strata.sum_of_variances,
        }
        arrays["strata_cells"] = gram.strata.cells
        for s, part in enumerate(gram.strata.grams):
            arrays |= {f"{_stratum(s)}{name}": a for name, a in to_arrays(part).items()}
    header["empty"] = {k: [a.shape, a.dtype.str] for k, a in arrays.items() if a.size == 0}
    filled = {name: array for name, array in arrays.items() if array.size}
    return {"header": encode_header(header), **filled}


def _described(factor: GramFactor) -> dict[str, Any]:
    """Return what a header says of a factor; files of other models stay as they were."""
    content: dict[str, Any] = {"name": factor.name, "terms": factor.terms, "blocks": factor.blocks}
    if factor.structures:
        content["structures"] = [(at.kind, at.positions) for at in factor.structures]
    if factor.arms is not None:
        content["arms"] = factor.arms.plain()
    return content


def gram_dataset(gram: CrossProducts) -> xr.Dataset:
    """Return a Gram as a group of a result tree."""
    import xarray as xr  # noqa: PLC0415 - slow to import

    variables = {
        name: (tuple(f"{name}_{axis}" for axis in range(array.ndim)), array)
        for name, array in to_arrays(gram).items()
    }
    return xr.Dataset(variables)


def gram_of_dataset[G: CrossProducts](cls: type[G], dataset: xr.Dataset) -> G:
    """Return the Gram that a group of a result tree holds."""
    arrays = {str(name): array.to_numpy() for name, array in dataset.data_vars.items()}
    texts = {name: array.astype(str) for name, array in arrays.items() if array.dtype.kind in "OT"}
    return from_arrays(cls, {**arrays, **texts}, "The tree's group of cross-products")


def has_known_errors(dataset: xr.Dataset) -> bool:
    """Return whether the Gram in a group of a result tree is of rows with known standard errors."""
    arrays = {"header": dataset["header"].to_numpy()}
    strata = decode_header(arrays, FORMAT, VERSION, "The tree").get("strata")
    return bool(strata is not None and not strata["names"])


def from_arrays[G: CrossProducts](cls: type[G], arrays: Arrays, source: str) -> G:
    """Return the Gram that named arrays hold.

    Raises
    ------
    DataError
        If they are not those of a Gram of this version.
    """
    try:
        gram = _read_gram(cls, arrays, source)
        check_gram(gram)
    except _FOREIGN as error:
        raise DataError(
            f"{source!r} does not hold a whole Gram: {type(error).__name__}: "
            f"{str(error).rstrip('.')}. Write it again with Gram.save."
        ) from error
    return gram


def _read_gram[G: CrossProducts](cls: type[G], arrays: Arrays, source: str) -> G:
    header = decode_header(arrays, FORMAT, VERSION, source)
    empty = {name: _empty(*kind) for name, kind in header["empty"].items()}
    whole = {**{name: _native(array) for name, array in arrays.items()}, **empty}
    gram = _from_arrays(cls, header, whole)
    if (said := header.get("strata")) is None:
        return gram
    # Nothing is read for more strata than there can be.
    if type(said["count"]) is not int or not 0 < said["count"] <= MOST_STRATA:
        raise ValueError(f"there are {said['count']!r} strata and not 1 to {MOST_STRATA}")
    parts = []
    for s in range(said["count"]):
        start = _stratum(s)
        own = {k[len(start) :]: a for k, a in arrays.items() if k.startswith(start)}
        # A stratum has no strata.
        own = {k: a for k, a in own.items() if not k.startswith("strat")}
        parts.append(_read_gram(CrossProducts, own, source))
    cells, variances = whole["strata_cells"], float(said["sum_of_variances"])
    return replace(gram, strata=Strata(tuple(said["names"]), cells, tuple(parts), variances))


def _stratum(s: int) -> str:
    return f"stratum_{s}_"


def _empty(shape: Sequence[int], kind: str) -> NDArray[Any]:
    """Make an array without elements; whatever its header says, nothing is allocated."""
    if 0 not in shape or not _EMPTY_KIND.fullmatch(kind):
        raise ValueError(f"an array of shape {shape} and type {kind!r} is not empty")
    return np.zeros(shape, dtype=np.dtype(kind))


def _native(array: NDArray[Any]) -> NDArray[Any]:
    """Lay an array out in C order and in this machine's order of bytes, as compiled code reads."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def _from_arrays[G: CrossProducts](cls: type[G], header: dict[str, Any], arrays: Arrays) -> G:
    factors = tuple(
        GramFactor(
            name=f["name"],
            terms=tuple(f["terms"]),
            blocks=tuple(map(tuple, f["blocks"])),
            structures=tuple(BlockStructure.of_plain(*at) for at in f.get("structures", ())),
            levels=arrays[f"factor_{k}_levels"],
            scale=arrays[f"factor_{k}_scale"],
            within=arrays[f"factor_{k}_within"],
            with_fixed=arrays[f"factor_{k}_with_fixed"],
            counts=arrays[f"factor_{k}_counts"],
            fixed=arrays.get(f"factor_{k}_fixed"),
            log_weights=arrays.get(f"factor_{k}_log_weights"),
            arms=Arms.of_plain(f["arms"]) if "arms" in f else None,
        )
        for k, f in enumerate(header["factors"])
    )
    state = header["state"]
    if state is not None:
        levels = {f.name: f.levels.tolist() for f in factors}
        arms = {f.name: f.arms.level_labels for f in factors if f.arms is not None}
        state = DesignState.from_json(json.dumps(state, ensure_ascii=False), levels, arms=arms)
    return cls(
        response=header["response"],
        coef=tuple(header["coef"]),
        factors=factors,
        pairs=tuple(
            PairBlocks(
                pair["first"],
                pair["second"],
                **{name: arrays[f"pair_{j}_{name}"] for name in _PAIR},
            )
            for j, pair in enumerate(header["pairs"])
        ),
        n=header["n"],
        sum_log_weights=float(header["sum_log_weights"]),
        scale=arrays["scale"],
        slope=arrays["slope"],
        cross=arrays["cross"],
        state=state,
        scales=None if header["scales"] is None else DataScales.from_dict(header["scales"]),
        likweight=header.get("likweight"),
    )


def encode_header(header: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Return JSON as an array of bytes."""
    return np.frombuffer(json.dumps(header, ensure_ascii=False).encode(), dtype=np.uint8)


def decode_header(arrays: Arrays, form: str, version: int, source: str) -> dict[str, Any]:
    """Return the JSON of an array of bytes; raise unless it says what the file should be.

    Raises
    ------
    DataError
        If the file is of another kind or version.
    """
    try:
        header: dict[str, Any] = json.loads(arrays["header"].tobytes().decode())
        found = header["format"], header["version"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{source!r} has no header of a {form} file.") from error
    if found[0] != form:
        raise DataError(f"{source!r} is a {found[0]} file, not a {form} file.")
    if found[1] != version:
        raise DataError(
            f"{source!r} is a {form} file of version {found[1]}, and this is version {version}: "
            "read it with the bayeslmm that wrote it, or write it again."
        )
    return header


def write_arrays(path: str | os.PathLike[str], arrays: Arrays) -> None:
    """Write arrays to an npz file that is replaced at once, or not at all."""
    target = as_path("path", path)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            # Reserved names of `savez` are none of ours.
            np.savez(
                file, allow_pickle=False, **{name: np.asarray(a) for name, a in arrays.items()}
            )
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except OSError as error:
        raise DataError(f"Cannot write {str(target)!r}: {error.strerror or error}.") from error
    finally:
        beside.unlink(missing_ok=True)


def read_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Return every array of an npz file, each checked.

    Raises
    ------
    DataError
        If there is no such file, or it is damaged.
    """
    if not os.path.isfile(as_path("path", path)):  # noqa: PTH113 - Path's own raises where a name is too long
        raise DataError(f"There is no file {str(path)!r}.")
    try:
        with zipfile.ZipFile(path) as stored:
            entries = stored.infolist()
            _require_size(sum(e.file_size for e in entries), Path(path).stat().st_size)
            return {e.filename.removesuffix(".npy"): _read_array(stored, e) for e in entries}
    except _DAMAGED as error:  # fmt: skip
        raise DataError(
            f"{str(path)!r} is no npz file, or a damaged one: {error or type(error).__name__}. "
            "Give a whole copy of it, or make it anew."
        ) from error


def _require_size(inflated: int, packed: int) -> None:
    if inflated > max(_LEAST_ROOM, _MOST_SHRUNK * packed):
        raise ValueError(f"its {packed:,} bytes would become {inflated:,}")


def _read_array(stored: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    """Read one npy array of numbers or text whose header and size agree, before it is allocated."""
    with stored.open(entry) as file:
        version = np.lib.format.read_magic(file)
        read_header = _NPY_HEADERS.get(version)
        if read_header is None:
            raise ValueError(f"{entry.filename} is an array of version {version}")
        shape, fortran, dtype = read_header(file)
        if dtype.kind not in "fiubUc" or not dtype.itemsize:
            raise ValueError(f"{entry.filename} holds {dtype}, neither numbers nor text")
        told = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or told != entry.file_size - file.tell():
            raise ValueError(f"{entry.filename} does not have the size that its header tells")
        values = np.frombuffer(bytearray(file.read(told)), dtype=dtype)
    return values.reshape(shape, order="F" if fortran else "C")
