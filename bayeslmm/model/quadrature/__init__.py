"""The likelihood with the effects of one grouping factor integrated out by quadrature.

- ``rules``: nodes and weights
- ``level_rows``: a design's rows as the kernels read them
- ``likelihood``: log marginal likelihoods, their gradient, and effects drawn back
- ``split``: rows of ordered categories as rows of yes and no
- ``start``: fixed effects without random ones, to begin a search from
- ``enough_nodes``: how many nodes a likelihood needs
"""
