"""Correlations of groups that are observed at few visits, some of them missing.

- ``shape``: correlations of positions in time, of few parameters; one set of them for each arm
- ``patterns``: groups with missing positions, by the set of those observed
- ``unstructured``: any correlation matrix
- ``stationary``: Toeplitz matrices, and autoregressive moving averages
- ``antedependence``: a correlation for each step from a visit to the next
- ``exchangeable``: compound symmetry
- ``of_rows``: which of them the rows of a design have
"""
