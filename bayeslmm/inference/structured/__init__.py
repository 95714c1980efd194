"""Posteriors of models with a residual structure, the effects integrated out exactly.

- ``target``: the log posterior of all variance parameters, on real coordinates
- ``start``: where searches of its modes begin
- ``recovery``: beta and the random effects drawn back, and everything named
- ``nuts``: NUTS on the same density
- ``sample``: weighted independent draws
"""
