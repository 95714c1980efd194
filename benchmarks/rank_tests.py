"""Whether ranks of simulation-based calibration are uniform: tests, and their ECDFs drawn."""

import textwrap

import numpy as np
from calibration import DRAWS, LEVEL_OF_TEST, p_value
from scipy import stats

from bayeslmm.plots.style import DATA, GRID, LEVEL, POPULATION, style


def difference(ranks):
    """The share of ranks below each of 0 to DRAWS + 1, less that of uniform ranks."""
    below = np.cumsum(np.bincount(ranks, minlength=DRAWS + 1)) / len(ranks)
    return np.concatenate([[0.0], below]) - np.linspace(0.0, 1.0, DRAWS + 2)


def tests(ranks):
    """Two p-values: of 20 bins, which sees ranks pile up, and of the ECDF, which sees them lean.

    The distribution of the latter's largest difference is that of continuous numbers, which for
    whole ones is conservative.
    """
    largest = np.abs(difference(ranks)).max()
    return p_value(ranks), float(stats.kstwo.sf(largest, len(ranks)))


def report(title, ranks):
    """Print p-values as rows of a table; return the smallest times the number of tests."""
    values = {label: tests(r) for label, r in ranks.items()}
    number = 2 * len(values)
    print(
        f"\n### {title}\n\n| quantity | p of 20 bins | p of the ECDF | adjusted |\n"
        "|---|---|---|---|"
    )
    for label, (bins, ecdf) in values.items():
        print(f"| `{label}` | {bins:.2g} | {ecdf:.2g} | {min(1.0, number * min(bins, ecdf)):.2g} |")
    smallest = min(1.0, number * min(min(pair) for pair in values.values()))
    verdict = "Uniform" if smallest >= LEVEL_OF_TEST else "NOT uniform"
    print(f"\nSmallest p, adjusted for {number} tests: {smallest:.2g}. {verdict}.", flush=True)
    return smallest


def draw_ecdfs(panels, path):
    """Differences of ECDFs from uniform: a panel for each (title, ranks, broken).

    The band holds all lines of a panel with probability 99 %, by Bonferroni's bound over them.
    """
    columns = (len(panels) + 1) // 2
    with style() as plt:
        figure, axes = plt.subplots(
            2, columns, figsize=(3.0 * columns, 4.6), sharex=True, squeeze=False
        )
        for axis in axes.ravel()[len(panels) :]:
            axis.set_visible(False)
        at = np.linspace(0.0, 1.0, DRAWS + 2)
        for axis, (title, ranks, broken) in zip(axes.ravel(), panels, strict=False):
            n = len(next(iter(ranks.values())))
            width = stats.kstwo.isf(LEVEL_OF_TEST / len(ranks), n)
            axis.axhspan(-width, width, color=GRID, zorder=0)
            lines = {label: difference(values) for label, values in ranks.items()}
            outside = [label for label, line in lines.items() if np.abs(line).max() > width]
            for label, line in lines.items():
                shown = POPULATION if label in outside else LEVEL
                axis.plot(at, line, color=shown, lw=0.9, alpha=0.85)
            axis.text(
                0.98, 0.98, "\n".join(outside), color=POPULATION, fontsize=6, va="top", ha="right",
                transform=axis.transAxes,
            )  # fmt: skip
            axis.axhline(0.0, color=DATA, lw=0.6)
            reach = max(1.5 * width, 1.15 * max(np.abs(line).max() for line in lines.values()))
            axis.set(ylim=(-reach, reach), xlim=(0.0, 1.0))
            told = f"{'broken: ' if broken else ''}{title}, {n} datasets"
            axis.set_title(textwrap.fill(told, 34), fontsize=8)
            axis.tick_params(labelsize=6.5)
        for axis in axes[-1]:
            axis.set_xlabel("rank / 199", fontsize=8)
        for row in axes:
            row[0].set_ylabel("ECDF less uniform", fontsize=8)
        figure.tight_layout()
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path, metadata={"Software": None})
        plt.close(figure)
