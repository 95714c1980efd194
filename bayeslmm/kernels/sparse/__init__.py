"""Sparse Cholesky factors P A P' = L D L', what is solved by them, and entries of inverses.

- ``ordering``: an order of elimination that leaves few entries
- ``symbolic``: elimination tree and pattern of L, from the pattern of A alone
- ``factor``: L and D of numbers, row by row; solutions
- ``inverse``: the entries of the inverse that stand where L has entries
- ``cholesky``: all of it together, for many sets of numbers of one pattern
"""
