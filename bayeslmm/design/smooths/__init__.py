"""Penalised smooths in the form of a mixed model: fixed columns and random-effect columns.

- ``basis``: `SplineBasis`: cubic, cyclic and P-splines with their penalties
- ``transformation``: `SmoothTransformation`: what turns a basis into a line and departures from it
- ``columns``: `SmoothColumns`: a smooth's columns of a table's rows
"""
