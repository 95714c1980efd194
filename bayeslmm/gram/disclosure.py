"""What cross-products tell about single rows, before they leave the place where the rows are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from bayeslmm.gram.blocks import CrossProducts


@dataclass(frozen=True, eq=False)
class Disclosure:
    """What a Gram lets its reader know.

    Attributes
    ----------
    factors : DataFrame
        Indexed by grouping factor. ``levels``: labels that can be read; ``fewest_rows``: rows of
        the smallest level; ``single_rows``: levels of one row, whose row (response and columns) can
        be read exactly; ``few_rows``: levels with fewer rows than sums, whose rows can be
        narrowed down.
    always : tuple of str
        What can be read from any Gram of this kind.
    """

    factors: pd.DataFrame
    always: tuple[str, ...]

    def __str__(self) -> str:
        lines = ["Whoever has this Gram can read:", *(f"- {line}" for line in self.always)]
        for name, row in self.factors.iterrows():
            lines.append(
                f"- {name}: the labels of {row['levels']} levels, the number of rows of each (the "
                f"fewest: {row['fewest_rows']}), and sums of squares and products within each"
            )
            if row["single_rows"]:
                lines.append(
                    f"- {name}: the very rows of {row['single_rows']} levels that have one row only"
                )
            if row["few_rows"] > row["single_rows"]:
                lines.append(
                    f"- {name}: much about the rows of {row['few_rows'] - row['single_rows']} "
                    "more levels, which have fewer rows than sums"
                )
        return "\n".join(lines)


def disclosure(gram: CrossProducts) -> Disclosure:
    """Return what a Gram discloses; see `Gram.discloses`."""
    p = len(gram.coef)
    always = [
        f"the number of rows ({gram.n}), the formula's columns and the response's name",
        "sums of squares and products of the response and all columns, over all rows",
    ]
    if gram.scales is not None:
        always.append(
            "mean, standard deviation, smallest and largest value of the response and every column"
        )
    if gram.pairs:
        always.append("which levels of different factors share rows, and sums within those pairs")
    rows = []
    for factor in gram.factors:
        # So many numbers of a row enter sums of its level: its Z, and X and y beside them.
        width = len(factor.terms) + p + 1
        rows.append(
            {
                "factor": factor.name,
                "levels": len(factor.levels),
                "fewest_rows": int(factor.counts.min(initial=gram.n)),
                "single_rows": int((factor.counts == 1).sum()),
                "few_rows": int((factor.counts < width).sum()),
            }
        )
    columns = ["factor", "levels", "fewest_rows", "single_rows", "few_rows"]
    table = pd.DataFrame(rows, columns=columns).set_index("factor")
    return Disclosure(table, tuple(always))
