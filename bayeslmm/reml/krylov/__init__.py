"""REML and ML of models whose crossed factors are too large for a dense matrix.

- ``criterion``: the criterion from log|V| and T
- ``sparse``: the exact criterion by a sparse factor, where fill is small
- ``score``: the criterion's gradient by probes, each by itself
- ``root``: where that gradient is zero
- ``search``: relative factors, their chance, and the criterion
- ``record``: what a fit keeps of probes
- ``comparison``: likelihoods that are known up to chance, compared or refused
- ``estimate``: an estimate with its surroundings, for posteriors
"""
