"""May these draws be trusted, and what to do if not."""

from __future__ import annotations

from bayeslmm.diagnostics import Problem, assess

__all__ = ["Problem", "assess"]
