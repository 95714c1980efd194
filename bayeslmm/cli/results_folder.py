"""Results folders: written beside their final place, and moved there only when complete."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayeslmm.errors import BayesLMMError, DataWarning, SpecError, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pandas as pd
    import xarray as xr

# A folder that holds this file is one that this package made, and may be replaced.
MARKER = "posterior.nc"


class PictureFormat(StrEnum):
    """How pictures are written."""

    PNG = "png"
    SVG = "svg"


@contextmanager
def results_folder(out: Path, name: str) -> Iterator[Path]:
    """Yield a folder to write into, which becomes ``out/name`` if the block succeeds.

    The folder is made at once, so that an unwritable place shows before hours of sampling. If the
    block raises, or the process is killed, what stood at ``out/name`` stands there still, and the
    next run clears what the killed one left.

    Parameters
    ----------
    out : Path
        Parent of the results; made if missing.
    name : str
        Name of the folder in it.

    Yields
    ------
    Path
        An empty folder beside the final one, on the same file system.

    Raises
    ------
    SpecError
        If nothing can be written there, or something that is not a result already stands there.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as out:
    ...     with results_folder(Path(out), "rail") as folder:
    ...         _ = (folder / "posterior.nc").write_text("draws")
    ...         Path(out, "rail").exists()
    ...     Path(out, "rail", "posterior.nc").read_text()
    False
    'draws'
    """
    final = out / name
    _refuse_foreign(final)
    try:
        out.mkdir(parents=True, exist_ok=True)
        _clear(final)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{name}.unfinished-", dir=out))
    except OSError as error:
        raise SpecError(
            f"Results cannot be written to {str(final)!r}: {error.strerror}. "
            "Choose another folder with --out."
        ) from error
    lock = _lock(unfinished)
    try:
        yield unfinished
        # mkdtemp makes folders for their owner only; results are as readable as any new folder.
        unfinished.chmod(0o755)
        _replace(final, unfinished)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """Mark a folder as that of a living process; None where it is another one's, or unknown.

    The system takes the mark away when the process ends, however it ends.
    """
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ImportError:
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _clear(final: Path) -> None:
    """Remove what killed runs left beside a result, and put back a result that stepped aside."""
    for left in final.parent.glob(f".{glob.escape(final.name)}.*-*"):
        kind = left.name.removeprefix(f".{final.name}.").partition("-")[0]
        if kind not in {"unfinished", "replaced"} or (lock := _lock(left)) is None:
            continue
        if kind == "replaced" and (left / final.name).exists() and not final.exists():
            (left / final.name).rename(final)
        shutil.rmtree(left, ignore_errors=True)
        os.close(lock)


def _refuse_foreign(final: Path) -> None:
    if final.is_dir() and (not any(final.iterdir()) or (final / MARKER).is_file()):
        return
    if final.exists() or final.is_symlink():
        raise SpecError(
            f"{str(final)!r} exists and is not a results folder of bayeslmm, so it is not "
            "replaced. Choose another folder with --out."
        )


def _replace(final: Path, finished: Path) -> None:
    # A folder cannot be renamed over one that has content: the old one steps aside first.
    if not final.exists():
        finished.rename(final)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{final.name}.replaced-", dir=final.parent))
    lock = _lock(aside)
    final.rename(aside / final.name)
    try:
        finished.rename(final)
    except BaseException:
        (aside / final.name).rename(final)
        raise
    finally:
        if final.exists():
            shutil.rmtree(aside, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def write_results(
    folder: Path,
    idata: xr.DataTree,
    tables: Mapping[str, pd.DataFrame],
    pictures: Mapping[str, Callable[[xr.DataTree], Any]],
    form: PictureFormat = PictureFormat.PNG,
) -> list[Path]:
    """Write the tree as netCDF, tables as CSV, and pictures.

    Parameters
    ----------
    folder : Path
        Where to.
    idata : DataTree
        Result of `fit_bayes`; becomes ``posterior.nc``.
    tables : mapping from str to DataFrame
        Each becomes ``<name>.csv``.
    pictures : mapping from str to function
        Each is called with `idata` and becomes ``<name>.png`` or ``<name>.svg``.
    form : PictureFormat
        Which of the two.

    Returns
    -------
    list of Path
        The files, in the order of writing.
    """
    idata.to_netcdf(folder / MARKER)
    return [folder / MARKER, *write_extras(folder, idata, tables, pictures, form)]


def write_extras(
    folder: Path,
    idata: xr.DataTree,
    tables: Mapping[str, pd.DataFrame],
    pictures: Mapping[str, Callable[[xr.DataTree], Any]],
    form: PictureFormat = PictureFormat.PNG,
) -> list[Path]:
    """Write tables as CSV, and pictures, as `write_results` does, without the tree."""
    import matplotlib as mpl  # noqa: PLC0415 -- slow to load; only needed after sampling

    mpl.use("Agg")  # files only: no window, and none needed
    files = []
    for name, table in tables.items():
        files.append(folder / f"{name}.csv")
        # Row numbers would come back as a column without a name.
        table.to_csv(files[-1], index=table.index.names != [None])
    for name, draw in pictures.items():
        try:
            plot = draw(idata)
        except BayesLMMError as error:
            # Hours of sampling are not lost for a picture that cannot be drawn.
            warn(f"{name}.{form} was not drawn: {error}", DataWarning)
            continue
        files.append(folder / f"{name}.{form}")
        _save(plot, files[-1])
    return files


def _save(plot: Any, path: Path) -> None:
    import matplotlib.pyplot as plt  # noqa: PLC0415 -- slow to load

    # arviz-plots hands over a PlotCollection, matplotlib a Figure.
    figure = plot.viz["figure"].item() if hasattr(plot, "viz") else plot
    figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(figure)
