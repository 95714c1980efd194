"""Pictures of the parts: lines on logarithmic axes, or points for effective draws per second."""

import matplotlib as mpl
import numpy as np
import pandas as pd

mpl.use("Agg")

LINES = {
    "rows": ("rows", "rows", {"pass s": "bayeslmm, cross-products", "REML s": "bayeslmm, REML",
                              "posterior s": "bayeslmm, posterior", "lme4 s": "lme4, REML",
                              "rstanarm s": "rstanarm, posterior", "Bambi s": "Bambi, posterior"}),
    "levels": ("levels", "levels of g", {"REML call s": "bayeslmm", "lme4 s": "lme4"}),
    "crossed": ("levels of each", "levels of each factor",
                {"REML call s": "bayeslmm", "lme4 s": "lme4"}),
}  # fmt: skip


def draw(name, table, path):
    """Draw a part's table, if there is a picture of it."""
    import matplotlib.pyplot as plt

    if name in LINES:
        figure = lines(table, *LINES[name])
    elif name == "reference":
        figure = points(table)
    else:
        return
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


def lines(table, x, label, series):
    """Seconds against size, both logarithmic."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.8))
    for column, name in series.items():
        seconds = pd.to_numeric(table.get(column, pd.Series(dtype=float)), errors="coerce")
        if seconds.notna().any():
            axes.plot(table[x], seconds, marker="o", markersize=4, label=name)
    axes.set(xscale="log", yscale="log", xlabel=label, ylabel="seconds")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def points(table):
    """Effective draws per second, a panel per model."""
    import matplotlib.pyplot as plt

    models = list(dict.fromkeys(table["model"]))
    figure, panels = plt.subplots(
        len(models), 1, figsize=(6.5, 1.9 * len(models)), sharex=True, squeeze=False
    )
    for axes, model in zip(panels[:, 0], models, strict=True):
        found = table[table["model"] == model]
        places = np.arange(len(found))
        # Not bars: on a logarithmic axis their lengths would mean nothing.
        axes.plot(found["ESS/s"], places, "o", color="0.2")
        axes.set_ylim(-0.6, len(found) - 0.4)
        axes.grid(alpha=0.3)
        axes.set_yticks(places, found["program"])
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_title(model, loc="left", fontsize="medium")
    panels[-1, 0].set_xlabel("effective draws per second, worst parameter")
    figure.tight_layout()
    return figure
