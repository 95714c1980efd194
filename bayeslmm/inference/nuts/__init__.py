"""NUTS, by nutpie or PyMC; nothing else imports nutpie.

- ``sample``: the method, by the shortest way that a model allows
- ``marginal``: NUTS on the marginal posterior, without a PyMC model
- ``pymc_model``: NUTS on a PyMC model
- ``run``: chains started, watched and brought back
- ``compile``: a PyMC model compiled for nutpie
- ``load``: nutpie without ArviZ's pictures and without Numba
- ``nutpie_model``: the C callbacks that nutpie calls
"""
