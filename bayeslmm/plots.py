"""The pictures that a mixed-model user expects, each from a result tree alone."""

from __future__ import annotations

from bayeslmm.plots_caterpillar import plot_caterpillar
from bayeslmm.plots_levels import plot_levels

__all__ = ["plot_caterpillar", "plot_levels"]
