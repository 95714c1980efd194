"""Known covariances of levels: who is related to whom, and how closely.

- ``relationship``: what every one of them can tell
- ``matrix``: a covariance matrix with labels, checked
- ``precision``: its inverse with labels
- ``phylogeny``: that of Brownian motion along a tree
- ``newick``: trees as text
- ``pedigree``: additive relationships of animals
- ``known``: what ``known=`` maps names to
- ``plain``: relationships in JSON's types and as arrays
- ``nodes``: a covariance by the sparse inverse of that of nodes
- ``level_map``: effects of levels as combinations of independent ones
"""
